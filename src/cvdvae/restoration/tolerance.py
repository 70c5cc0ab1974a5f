"""What the noise of y leaves open: how far a sample may be from Hx = y, and how it gets there.

A camera that catches P photons where an image is 1 sees ``y = Poisson(P · Hx) / P``, of variance
``σ² = Hx / P``. A sample with Hx = y would carry that noise as if it were structure. With
p(x|z) = N(μ(z), s²I) what z and y together say of x is instead ::

    E[x | z, y] = μ + Hᵀ (H Hᵀ + σ²/s² I)⁻¹ (y − H μ)

with the mean variance over y for σ²: the projection onto {Hx = y} where there is no noise, and μ
where there is nothing but noise. `cvdvae.restoration.posterior.measurement` has the derivation.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.base import Degradation, Products, cut_as, ends_of
from ..degradations.damped import solve
from ..degradations.foreign import in_precision
from ..degradations.infeasible import violate_least
from ..degradations.spectrum import white_noise
from ..degradations.within import Within
from ..imaging.values import EIGHT_BITS, from_levels, rounding_of, to_levels
from .posterior.measurement import Measurement, conditional_draw

WIDENING, WIDENINGS = 1.5, 14
"""By what s grows, and how often it may, for a sample that does not explain y."""
STEPS, SLOW = 300, 0.02
"""Most steps within [0, 1], and the share of χ² that some of them must take away to go on."""
BEYOND = 3.0
"""A sample explains y while its χ² is within so many standard deviations of what noise gives."""
ROUND_OFF, COARSE_ROUND_OFF = 1e-9, 1e-5
"""What float64, and float32, leaves of the largest value where a Fourier or cosine transform has
none."""


class NoiseLevel(NamedTuple):
    """The noise in y, as misfits are measured and judged by it.

    Attributes:
        sigma: σ, the root of its mean variance, in the units of y; 0 where y is exact.
        spread: Variance of ``(Hx − y)² / σ²`` of the true x, the mean over y: 2 where a Gaussian
            noise is the same everywhere.
    """

    sigma: float = 0.0
    spread: float = 2.0


NO_NOISE = NoiseLevel()


class Tolerance(NamedTuple):
    """How far the samples of one image may be from Hx = y.

    Attributes:
        sigma: Standard deviation σ of the noise in y, in units of an image in [0, 1].
        pixel_std: s, how far x may be from what the network gives, in the same units.
    """

    sigma: float
    pixel_std: float

    @property
    def damping(self) -> float:
        """``σ² / s²``."""
        return (self.sigma / self.pixel_std) ** 2


@dataclass(frozen=True)
class PhotonNoise:
    """The noise of a camera, and what a model leaves to chance.

    Attributes:
        photons: P, how many photons a value of 1 stands for, positive.
        pixel_std: As in `Tolerance`.

    Example:
        >>> noise = PhotonNoise(photons=100, pixel_std=0.01)
        >>> round(noise.tolerance(torch.full((1, 1, 8, 8), 0.25)).sigma, 3)
        0.05
    """

    photons: float
    pixel_std: float

    def tolerance(self, y: Tensor) -> Tolerance:
        """For one image in [0, 1], ``(1, C, h, w)``."""
        return Tolerance((float(y.double().mean()) / self.photons) ** 0.5, self.pixel_std)

    def level(self, y: Tensor) -> NoiseLevel:
        """What judges samples of one image in [0, 1], ``(C, h, w)`` of 8 bits, whose rounding is
        noise, too; nought of a black one.

        With v = y/P + r the variance of a value, r that of rounding, the fourth central moment of a
        Poisson variable (3λ² + λ for a mean of λ) gives its square the variance 2v² + y/P³.
        """
        light = y.double()
        if not light.any():  # black has no photons
            return NO_NOISE
        variance = light / self.photons + rounding_of(EIGHT_BITS) ** 2
        mean = float(variance.mean())
        spread = 2 * variance.square() + light / self.photons**3
        return NoiseLevel(math.sqrt(mean), float(spread.mean()) / mean**2)


def tolerance_of(noise: PhotonNoise | None, y: Tensor) -> Tolerance | None:
    """What the noise of an image ``(1, C, h, w)`` leaves open; None where it has none."""
    found = None if noise is None else noise.tolerance(y)
    return found if found is not None and found.sigma > 0 else None  # black has no photons


def level_of(noise: PhotonNoise | None, y: Tensor) -> NoiseLevel:
    """The noise in y, ``(C, h, w)``; nought where it has none."""
    return NO_NOISE if noise is None else noise.level(y)


def photons_of(noise: PhotonNoise | None) -> float:
    """How many photons a value of 1 stands for; 0 without noise."""
    return 0.0 if noise is None else noise.photons


def explain(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    tolerance: Tolerance,
    region: Tensor | None = None,
) -> Tensor:
    """``E[x | z, y]`` of the samples of one image, cut to [0, 1].

    Args:
        x: What the network gives, μ(z), ``(n, C, H, W)``.
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``.
        degradation: H.
        tolerance: σ and s.
        region: Which pixels may move, bool, broadcasts to `x`; all of them by default.

    Returns:
        Images of the shape and dtype of `x`.
    """
    y, (sigma, std) = y.to(x.dtype), tolerance
    if region is None:
        return conditional_draw(x, y, degradation, std, sigma).clamp(0, 1)
    within, error = Within(degradation, region), y - cut_as(y, degradation.A(x), sigma)
    return (x + within.A_adjoint(solve(within, error, (sigma / std) ** 2))).clamp(0, 1)


def nearest_explaining(
    mean: Tensor, measurement: Measurement, count: int, levels: int | None = EIGHT_BITS
) -> Tensor:
    """``E[x | z, y]``, with a wider p(x|z) for samples that would not explain y otherwise.

    A network may be surer of its image than it should be. For such samples s grows until what is
    saved of them passes the test of `within_noise`: the larger s, the nearer Hx comes to y
    (Morozov's discrepancy principle, 1966). Where [0, 1] is in the way, steps within it go on from
    there, as far as it takes, and up to `STEPS`. Where they find no image that passes, the nearest
    of s stays.

    Args:
        mean: μ(z), ``(n, C, H, W)``.
        measurement: What is known of x, with noise.
        count: How many values of y say anything of x; see `measured`.
        levels: Steps between 0 and 1 to which what is saved is rounded; None for none.

    Returns:
        Images of the shape and dtype of `mean`, which may leave [0, 1].
    """
    H, y, sigma = measurement.degradation, measurement.y, measurement.sigma

    def off(x: Tensor) -> Tensor:
        saved = from_levels(to_levels(x, levels), levels).to(x)
        return misfit(cut_as(y, H.A(saved), sigma) - y, count, sigma)

    x = measurement.draw(mean)
    misses = off(x)
    left = (~within_noise(misses, count)).nonzero().flatten()
    for step in range(1, WIDENINGS + 1):
        if not len(left):
            break
        wider = measurement.widened(WIDENING**step).draw(mean[left])
        found = off(wider)
        worse = found > misses[left]  # where [0, 1] is in the way; rounding may hide a small step
        x[left[~worse]], misses[left[~worse]] = wider[~worse], found[~worse]
        left = left[~worse & ~within_noise(found, count)]

    def explains(one: Tensor) -> bool:
        return bool(within_noise(off(one), count))

    wanted = sigma**2 * _numbers(count) * _most(count)
    least, most = ends_of(y)
    for i in (~within_noise(misses, count)).nonzero().flatten().tolist():
        start = x[i : i + 1].clamp(0, 1)
        within = violate_least(H, start, least, (1, 2, 3), STEPS, SLOW, wanted, explains, most)
        if explains(within):
            x[i] = within[0]
    return x


class Count(int):
    """How many values were measured, each by itself.

    Attributes:
        numbers: In how many numbers of y they stand, some of them more than once.
    """

    numbers: int

    def __new__(cls, values: int, numbers: int) -> "Count":
        """So many values, in so many numbers."""
        count = super().__new__(cls, values)
        count.numbers = numbers
        return count

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]
        """What a copy is made from."""
        return int(self), self.numbers


def measured(degradation: Products, y: Tensor) -> Tensor:
    """Which values of y, ``(1, …)``, say anything of x, bool: a pixel in a hole does not."""
    try:
        seen = _of_noise(in_precision(degradation, torch.float64), y.double())
    except Exception:  # an operator of others, that takes float32 alone and says so in its own way
        seen = _of_noise(degradation, y)
    least = ROUND_OFF if seen.dtype == torch.float64 else COARSE_ROUND_OFF
    return seen.abs() > least * seen.abs().max()


def _of_noise(degradation: Products, y: Tensor) -> Tensor:
    """H of white noise, always the same."""
    return degradation.A(white_noise(degradation.A_adjoint(y)))


def misfit(error: Tensor, count: int, sigma: float) -> Tensor:
    """Root mean square of ``(Hx − y) / σ`` of every sample, float64 ``(n,)``.

    A true image has 1 on average, and less behind a JPEG (`block_dct`) or where y cuts strong noise
    at 0 and 1; the most likely one has somewhat less.

    Args:
        error: ``Hx − y``, ``(n, …)``, nought where nothing was measured, with Hx as
            `cvdvae.degradations.base.cut_as` has it.
        count: How many values of y say anything of x; as `Count` where y has some more than once.
        sigma: σ, positive.
    """
    return (error.double().square().flatten(1).sum(1) / _numbers(count)).sqrt() / sigma


def within_noise(misfit: Tensor, count: int, spread: float = NO_NOISE.spread) -> Tensor:
    """Which samples explain y, by a χ² test from above: ``χ² ≤ m + BEYOND √(2m)``, bool ``(n,)``.

    Args:
        misfit: As `misfit` has it.
        count: m, how many values of y say anything of x.
        spread: As `NoiseLevel` has it, for the 2.
    """
    return misfit.square() <= _most(count, spread)


def _numbers(count: int) -> int:
    """In how many numbers of y the values stand, and 1 where nothing was measured."""
    return max(1, count.numbers if isinstance(count, Count) else count)


def _most(count: int, spread: float = NO_NOISE.spread) -> float:
    """The square of a misfit up to which a sample explains y."""
    return 1 + BEYOND * math.sqrt(spread / max(1, count))
