"""Diagonal Gaussians, and the noise that they are sampled with (`cvdvae.gaussian.noise`).

Explained in docs/explanation/sampling.md.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .noise import Noise

MAX_LOG_STD = 4.0
"""Bound on what a network may say: without it, one state off the beaten track gives a huge z, which
gives a state still further off, until the numbers overflow."""


class DiagonalGaussian(NamedTuple):
    """``N(mean, diag(exp(log_std))²)``, one per element of the batch.

    Attributes:
        mean: Means, ``(N, C, H, W)``.
        log_std: Natural logarithms of the standard deviations, ``(N, C, H, W)``.
    """

    mean: Tensor
    log_std: Tensor

    @classmethod
    def from_channels(
        cls, statistics: Tensor, max_log_std: float = MAX_LOG_STD
    ) -> "DiagonalGaussian":
        """Split ``(N, 2C, H, W)``: means, then log standard deviations, at most `max_log_std`.

        In float32 whatever the network computes in: a KL is a small difference of large terms.
        """
        mean, log_std = statistics.float().chunk(2, dim=1)
        return cls(mean, log_std.clamp(max=max_log_std))

    def relative_to(self, base: "DiagonalGaussian") -> "DiagonalGaussian":
        """Read self as differences to `base`: its mean is in standard deviations of `base`.

        ``N(μ_b + σ_b μ, (σ_b σ)²)``; ``mean = log_std = 0`` is `base` itself.
        """
        mean = base.mean + base.log_std.exp() * self.mean
        return DiagonalGaussian(mean, base.log_std + self.log_std)

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """`at` fresh noise, which is drawn at temperature 0 too, so that what comes after it is the
        same at every temperature."""
        return self.at(noise.normal(self.mean), temperature)

    def at(self, epsilon: Tensor, temperature: float = 1.0) -> Tensor:
        """``mean + temperature · std · ε``."""
        if temperature == 0:
            return self.mean
        return self.mean + temperature * self.log_std.exp() * epsilon

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z in nats, summed over all but the batch: ``(N,)``."""
        standardized = (z - self.mean) * torch.exp(-self.log_std)
        terms = -0.5 * standardized**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        return terms.flatten(1).sum(1)

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """``KL(self ‖ other)`` in nats, summed over all but the batch: ``(N,)``.

        ``log σ_p − log σ_q + (σ_q² + (μ_q − μ_p)²) / 2σ_p² − 1/2`` per dimension.
        """
        ratio = torch.exp(2 * (self.log_std - other.log_std))
        shift = (self.mean - other.mean) * torch.exp(-other.log_std)
        terms = other.log_std - self.log_std + 0.5 * (ratio + shift**2 - 1)
        return terms.flatten(1).sum(1)


SAMPLED_TOGETHER = 2**12
"""Positions of a latent group whose Gaussians are computed and drawn together on a processor: what
is made on the way stays in its cache."""


class Conditional:
    """A diagonal Gaussian that is computed when it is asked for, as a whole or in strips of rows.

    Args:
        of: The Gaussian of some rows.
        given: What it is computed from, ``(N, …, H, W)``.
        channels: C of the values.

    Example:
        >>> from cvdvae.gaussian.noise import SeededNoise
        >>> mean = torch.arange(6.0).view(1, 1, 3, 2)
        >>> p = Conditional(lambda rows: DiagonalGaussian(*2 * [mean[:, :, rows]]), mean, 1)
        >>> torch.equal(p.sample(SeededNoise(0, [0])), p().sample(SeededNoise(0, [0])))
        True
    """

    def __init__(
        self, of: Callable[[slice], DiagonalGaussian], given: Tensor, channels: int
    ) -> None:
        self.of, self.given, self.channels = of, given, channels

    @classmethod
    def known(cls, gaussian: DiagonalGaussian) -> "Conditional":
        """One that is computed already."""

        def of(rows: slice) -> DiagonalGaussian:
            return DiagonalGaussian(gaussian.mean[:, :, rows], gaussian.log_std[:, :, rows])

        return cls(of, gaussian.mean, gaussian.mean.shape[1])

    def __call__(self) -> DiagonalGaussian:
        """All of it."""
        return self.of(slice(None))

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """As `DiagonalGaussian.sample`; strip by strip where no gradient is wanted."""
        if torch.is_grad_enabled() or self.given.device.type != "cpu":
            return self().sample(noise, temperature)
        n, _, height, width = self.given.shape
        z = torch.empty(
            (n, self.channels, height, width),
            dtype=torch.promote_types(self.given.dtype, torch.float32),
            device=self.given.device,
            memory_format=torch.channels_last,
        )
        epsilon = noise.normal(z)
        step = max(1, SAMPLED_TOGETHER // (n * width))
        for top in range(0, height, step):
            rows = slice(top, top + step)
            z[:, :, rows] = self.of(rows).at(epsilon[:, :, rows], temperature)
        return z
