"""Which program made a photograph small, as far as its spectrum tells.

What H lets through near the highest frequency differs: picking pixels folds everything back, a box
much, Lanczos hardly anything, and a triangle weakens what is below. Photographs differ more from
each other; but much alike in all of them is how their spectrum falls. So of photographs that are
shrunk by every program, the logarithm φ of the spectrum is taken to be normal about a mean of its
own for every program, with one covariance for all (linear discriminant analysis)::

    log p(φ|H) = −½ (φ − μ_H)ᵀ C⁻¹ (φ − μ_H) + const = w_H · φ + b_H + const

Probabilities follow with Bayes' rule. They are of a photograph that one of these programs has
shrunk: one that nothing has shrunk gets some, too, and nothing then speaks against ``bicubic``.
"""

import io
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checkpoints.shrinking import Shrinking
from ..degradations.kernels import KERNELS
from ..domains.simulate import simulate_at_scale
from ..errors import InputError
from ..imaging.io import to_pil, to_tensor
from .transforms import luma_of

PROGRAMS = ("bicubic", "pillow-lanczos", "pillow-bilinear", "box", "nearest")
"""What can be told apart: MATLAB's is the bicubic but for the border, a browser's canvas the box
but for factors that are no power of two (`Kernel.like`)."""

QUALITIES = (75, 85, 92)
"""Of JPEG, at which photographs are stored."""

BLOCK = 32
"""Side of the squares whose spectra are averaged; neighbours overlap by half."""

LEAST = 48
"""Side in pixels of a photograph below which nothing is said."""

LARGEST = 512
"""Side of the middle of a photograph that is looked at."""

FLAT = 1e3
"""Energy of a square's spectrum, that of a variance of 0.03 squared grey levels: where there is
less, nothing is to be seen."""

DIAGONAL, CAUTION = 0.3, 0.6
"""Share of the covariance's diagonal in its estimate, and what log-likelihoods are multiplied by,
since photographs that were not fitted on vary more."""

SURE = 0.7
"""How likely a program must be to be advised."""

FEWEST = 20
"""Photographs without which nothing is fitted."""


def spectrum(y: Tensor) -> Tensor | None:
    """φ: logarithms of the mean spectrum of the livelier half of an image's squares.

    Args:
        y: ``(C, h, w)`` in [0, 1]; of more than `LARGEST` pixels a side, the middle.

    Returns:
        ``(FREQUENCIES,)`` float64: turning or mirroring the image changes next to nothing. None
        where a side has fewer than `LEAST` pixels, or where all is flat.
    """
    height, width = y.shape[1:]
    if min(height, width) < LEAST:
        return None
    rows, columns = (_middle(side) for side in (height, width))
    luma = 255 * luma_of(y[None, :, rows, columns].double().cpu())[0, 0]
    squares = luma.unfold(0, BLOCK, BLOCK // 2).unfold(1, BLOCK, BLOCK // 2).flatten(0, 1)
    squares = squares - squares.mean((1, 2), keepdim=True)
    half = BLOCK // 2 + 1
    power = torch.fft.rfft2(squares * _window()).abs().square()
    mirrored = power.flip(1).roll(1, 1)
    power = (power + mirrored)[:, :half] / 2
    power = (power + power.transpose(1, 2)) / 2
    energy = power.sum((1, 2), keepdim=True)
    lively = ((energy >= energy.median()) & (energy > FLAT)).flatten()
    if not lively.any():
        return None
    mean = (power / energy)[lively].mean(0)
    first, second = torch.triu_indices(half, half, device="cpu")
    return torch.log(mean[first, second] + 1e-9)


def _middle(side: int) -> slice:
    size = min(side, LARGEST) // (BLOCK // 2) * (BLOCK // 2)
    return slice((side - size) // 2, (side - size) // 2 + size)


@lru_cache(maxsize=1)
def _window() -> Tensor:
    """Hann's, so that the borders of a square do not count."""
    side = torch.hann_window(BLOCK, periodic=False, dtype=torch.float64, device="cpu")
    return side[:, None] * side


class Likely(NamedTuple):
    """A program, and how likely it is that it has made a photograph small.

    Attributes:
        program: One of `PROGRAMS`.
        probability: In [0, 1].
    """

    program: str
    probability: float

    def __str__(self) -> str:
        return f"{KERNELS[self.program].program} ({self.probability:.0%})"


def likely(shrinking: Shrinking | None, y: Tensor, compressed: bool = False) -> list[Likely]:
    """The programs that may have made an image small, the likeliest first.

    Args:
        shrinking: What the model knows of spectra.
        y: The image, ``(C, h, w)`` in [0, 1].
        compressed: Whether it comes from a JPEG file.

    Returns:
        All the programs; none where the model knows nothing of them, or the image tells nothing.
    """
    seen = None if shrinking is None else spectrum(y)
    if shrinking is None or seen is None:
        return []
    found = zip(shrinking.programs, shrinking.probabilities(seen, compressed).tolist(), strict=True)
    return sorted((Likely(*one) for one in found), key=lambda one: -one.probability)


class Spectra(NamedTuple):
    """Spectra of photographs, each shrunk by all `PROGRAMS`.

    Attributes:
        scale: By what.
        plain: ``(N, K, d)``.
        compressed: After JPEG of every quality, ``(N, Q, K, d)``.
    """

    scale: int
    plain: Tensor
    compressed: Tensor


def spectra_of(
    photos: Iterable[Image.Image], scale: int, on_photo: Callable[[], None] | None = None
) -> Spectra:
    """Shrink photographs by all programs, and take their spectra.

    Args:
        photos: At their own resolution; those that leave too little to tell are left out.
        scale: By what to shrink them.
        on_photo: Called after every one.

    Returns:
        The spectra of all that can be used.

    Raises:
        InputError: None can be used.
    """
    found = []
    for photo in photos:
        found += _spectra(photo, scale)
        if on_photo is not None:
            on_photo()
    if not found:
        raise InputError(f"no photograph has {LEAST * scale} pixels a side and shows something")
    together = torch.stack(found)
    return Spectra(scale, together[:, 0], together[:, 1:])


def _spectra(photo: Image.Image, scale: int) -> list[Tensor]:
    """As it is and after JPEG of every quality, ``(1 + Q, K, d)``; nothing of what is no use."""
    if min(photo.size) < LEAST * scale:
        return []
    left, top = (max(0, (side - LARGEST * scale) // 2) for side in photo.size)
    middle = photo.crop((left, top, photo.width - left, photo.height - top))
    small = [simulate_at_scale(middle, scale, shrunk_by=program)[0] for program in PROGRAMS]
    every = [*small, *(stored(y, quality) for quality in QUALITIES for y in small)]
    seen = [phi for y in every if (phi := spectrum(y)) is not None]
    if len(seen) < len(every):
        return []
    return [torch.stack(seen).unflatten(0, (-1, len(PROGRAMS)))]


def stored(y: Tensor, quality: int) -> Tensor:
    """An image as a JPEG file of a quality gives it back, ``(C, h, w)`` in [0, 1]."""
    stream = io.BytesIO()
    to_pil(y).save(stream, "JPEG", quality=quality)
    return to_tensor(Image.open(stream))


def fit_shrinking(spectra: Spectra) -> Shrinking:
    """Estimate w and b, of photographs as they are and of compressed ones.

    Raises:
        InputError: There are fewer than `FEWEST` photographs.
    """
    if len(spectra.plain) < FEWEST:
        raise InputError(
            f"at least {FEWEST} photographs are needed to fit on, and {len(spectra.plain)} of "
            f"those given have {LEAST * spectra.scale} pixels a side and show something"
        )
    pairs = [_discriminant(part) for part in (spectra.plain, spectra.compressed.flatten(0, 1))]
    weights, biases = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    return Shrinking(spectra.scale, PROGRAMS, weights.float(), biases.float())


def _discriminant(spectra: Tensor) -> tuple[Tensor, Tensor]:
    """w ``(K, d)`` and b ``(K,)`` from spectra ``(N, K, d)``."""
    means = spectra.mean(0)
    within = (spectra - means).flatten(0, 1)
    covariance = within.T @ within / len(within)
    covariance = torch.lerp(covariance, covariance.diag().diag(), DIAGONAL)
    weights = torch.linalg.solve(covariance, means.T).T
    biases = -(weights * means).sum(1) / 2
    return CAUTION * weights, CAUTION * biases


class Told(NamedTuple):
    """How well programs are told apart.

    Attributes:
        right: Share of images whose likeliest program is the right one.
        sure: Share of images whose likeliest program has at least `SURE`.
        right_when_sure: Share of right ones among those.
        given_when_sure: Their mean probability.
        confusion: Share of images of a program (row) that are taken for another, ``(K, K)``.
    """

    right: float
    sure: float
    right_when_sure: float
    given_when_sure: float
    confusion: np.ndarray


def tell(shrinking: Shrinking, spectra: Spectra, compressed: bool = False) -> Told:
    """Count on photographs that were not fitted on.

    Raises:
        InputError: It was not fitted on `PROGRAMS`.
    """
    if shrinking.programs != PROGRAMS:
        raise InputError(f"these spectra are of other programs than {', '.join(PROGRAMS)}")
    seen = spectra.compressed.flatten(0, 1) if compressed else spectra.plain
    probability, found = shrinking.probabilities(seen, compressed).max(-1)
    programs = torch.arange(len(PROGRAMS), device="cpu")
    right, sure = found == programs, probability >= SURE
    confusion = (found[..., None] == programs).double().mean(0)
    return Told(
        float(right.double().mean()),
        float(sure.double().mean()),
        float(right[sure].double().mean()) if sure.any() else 0.0,
        float(probability[sure].mean()) if sure.any() else 0.0,
        confusion.numpy(),
    )
