"""Random degradations to train on: what may have happened to an image, and how badly."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..degradations.base import Degradation
from ..degradations.bicubic import BicubicDownscaling
from ..degradations.block_dct import ROUNDING, BlockDCT
from ..degradations.blur import Blur, gaussian, motion
from ..degradations.composed import Composed, as_jpeg
from ..degradations.mask import Mask

NOISELESS, LEAST_NOISE, MOST_NOISE = 0.3, 0.005, 0.1
"""Share of images without noise; the σ of the others lies between, evenly on a logarithmic scale.
"""


class Degraded(NamedTuple):
    """Degraded images.

    Attributes:
        y: What is seen, ``(N, …)``.
        degradation: H.
        sigma: Standard deviation of the noise in y.
    """

    y: Tensor
    degradation: Degradation
    sigma: float


Random = Callable[[np.random.Generator, int], Degradation]


def random_blur(rng: np.random.Generator, side: int) -> Degradation:
    """A Gaussian of 0.5 to 3 pixels, whose kernel reaches 4 of them: no further than the image."""
    return Blur((side, side), gaussian(rng.uniform(0.5, min(3, (side - 1) // 2 / 4))))


def random_motion(rng: np.random.Generator, side: int) -> Degradation:
    """A movement of 3 to 15 pixels, or as far as the image reaches, in any direction."""
    length = rng.uniform(3, min(15, (side - 1) // 2 * 2))
    return Blur((side, side), motion(length, rng.uniform(0, 180)), "circular")


def downscaling_by(scale: int) -> Random:
    """Bicubic, by this scale."""
    return lambda rng, side: BicubicDownscaling.of_scale((side, side), scale)


def random_holes(rng: np.random.Generator, side: int) -> Degradation:
    """One to three rectangles, of a twelfth of the side up to two thirds of it."""
    known = torch.ones(side, side, dtype=torch.bool)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        height, width = (int(rng.integers(max(1, side // 12), 2 * side // 3)) for _ in "hw")
        top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
        known[top : top + height, left : left + width] = False
    return Mask(known)


def random_half(rng: np.random.Generator, side: int) -> Degradation:
    """Up to half of the image is missing, from one of its sides."""
    known = torch.ones(side, side, dtype=torch.bool)
    known[: int(rng.integers(side // 8, side // 2 + 1))] = False
    return Mask(torch.rot90(known, int(rng.integers(4))).contiguous())


def random_pixels(rng: np.random.Generator, side: int) -> Degradation:
    """5 to 70 % of the pixels are missing."""
    return Mask(torch.from_numpy(rng.random((side, side)) >= rng.uniform(0.05, 0.7)))


def nothing(rng: np.random.Generator, side: int) -> Degradation:
    """Nothing but noise."""
    return Mask(torch.ones(side, side, dtype=torch.bool))


def random_jpeg(rng: np.random.Generator, side: int) -> Degradation:
    """Quality 20 to 95, with and without subsampled chroma."""
    return BlockDCT.of_quality((side, side), int(rng.integers(20, 96)), int(rng.choice([1, 2, 2])))


def random_small_jpeg(rng: np.random.Generator, side: int) -> Degradation:
    """Shrunk by 2 or 4, and then a JPEG of quality 30 to 95, as pictures come from the web."""
    small = BicubicDownscaling.of_scale((side, side), int(rng.choice([2, 4])))
    quality, chroma = int(rng.integers(30, 96)), int(rng.choice([1, 2, 2]))
    return Composed(small, BlockDCT.of_quality(small.lr_size, quality, chroma))


DEGRADATIONS: dict[str, tuple[Random, float]] = {
    "blur": (random_blur, 0.15),
    "motion": (random_motion, 0.04),
    "downscaling-2": (downscaling_by(2), 0.04),
    "downscaling-4": (downscaling_by(4), 0.05),
    "downscaling-8": (downscaling_by(8), 0.04),
    "holes": (random_holes, 0.13),
    "half": (random_half, 0.04),
    "pixels": (random_pixels, 0.18),
    "noise": (nothing, 0.05),
    "jpeg": (random_jpeg, 0.22),
    "small-jpeg": (random_small_jpeg, 0.06),
}
"""What may happen, and how often unless a configuration says otherwise."""
COLOUR = 3


def kinds(channels: int, shares: Mapping[str, float] | None = None) -> list[str]:
    """Those of `DEGRADATIONS` that may happen to images of so many channels, and have a share."""
    possible = [name for name in DEGRADATIONS if channels == COLOUR or "jpeg" not in name]
    return [name for name in possible if not shares or shares.get(name)]


def degraded(
    x: Tensor,
    seed: tuple[int, ...],
    kind: str | None = None,
    shares: Mapping[str, float] | None = None,
) -> Degraded:
    """Degrade some images in one random way.

    Args:
        x: Images in [0, 1], ``(N, C, H, H)``.
        seed: What the way and the noise are a function of.
        kind: One of `DEGRADATIONS`; drawn by default.
        shares: How often each of them is drawn, and no other; the usual ones by default.
    """
    rng = np.random.default_rng(seed)
    names = kinds(x.shape[1], shares)
    often = np.array([shares[name] if shares else DEGRADATIONS[name][1] for name in names])
    drawn = str(rng.choice(names, p=often / often.sum()))
    kind = kind or drawn
    degradation = DEGRADATIONS[kind][0](rng, x.shape[-1])
    noiseless, where = rng.random() < NOISELESS, rng.random()
    file = as_jpeg(degradation, x)
    if file is not None:
        return Degraded(file, degradation, ROUNDING)
    y = degradation.A(x)
    low, high = math.log(LEAST_NOISE), math.log(MOST_NOISE)
    sigma = math.exp(low + (high - low) * where)
    if noiseless and kind != "noise":
        sigma = 0.0
    noise = torch.from_numpy(rng.standard_normal(y.shape, np.float32)).to(y)
    if isinstance(degradation, Mask):
        noise = degradation.A(noise)
    return Degraded(y + sigma * noise, degradation, sigma)
