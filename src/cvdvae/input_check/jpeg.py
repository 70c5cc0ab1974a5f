"""Traces of JPEG compression in the pixels of an image, where its blocks begin at the corner.

Both were looked for in the image as it is: once it has been resized or moved, they are gone.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..degradations.block_dct import BLOCK, LUMA_CHROMA, MIDDLE, enlargement, steps_at, transformed

QUALITIES = range(10, 96)

ROUNDING = 0.5
"""Standard deviation of a coefficient about its lattice, in grey levels, from rounding the pixels.
"""

OUTLIER = -1.0
"""No coefficient counts less than this, in nats: pixels cut to [0, 255] throw some off."""

LEAST_COLOUR = 1.5
"""Standard deviation of chroma, in grey levels, below which nothing is said about it."""


def traces(y: Tensor) -> dict[str, float]:
    """``lattice`` and ``subsampled`` of an image ``(3, h, w)``, where they can say anything."""
    if len(y) not in (1, 3):
        return {}
    found = {"lattice": lattice(y), "subsampled": subsampling(y)}
    return {name: value for name, value in found.items() if value is not None}


def lattice(y: Tensor) -> float | None:
    """How much likelier the luma coefficients are on JPEG's lattice than anywhere, in nats.

    ``max_q Σ log( Q_q N(c; m Q_q, ROUNDING²) )`` over the coefficients c that are nearest to a
    multiple m ≠ 0 of their step Q_q at quality q: small coefficients are near zero anyway.

    Args:
        y: An image in [0, 1], ``(3, h, w)``.

    Returns:
        The log-likelihood ratio, or None where the image is not made of whole blocks, or is all
        of one value: its only coefficients are then on some lattice.
    """
    height, width = y.shape[1:]
    luma = _luma_chroma(y)[:1] - MIDDLE
    if height % BLOCK or width % BLOCK or float(luma.max() - luma.min()) < ROUNDING:
        return None
    coefficients = transformed(luma, luma.new_ones(BLOCK, BLOCK)).view(-1, BLOCK, BLOCK)
    steps = _steps()
    multiple = torch.round(coefficients / steps)
    offset = (coefficients - multiple * steps) / ROUNDING
    nats = torch.log(steps / ROUNDING) - 0.5 * math.log(2 * math.pi) - 0.5 * offset**2
    counted = (multiple != 0) & (steps > 2)
    return float((nats.clamp(min=OUTLIER) * counted).sum((1, 2, 3)).max())


def subsampling(y: Tensor) -> float | None:
    """How much less of chroma than of luma lies outside of what half its resolution can hold.

    JPEG usually stores chroma at half the resolution, and libjpeg enlarges it again with weights ¾
    and ¼. What chroma has beyond that space is then rounding alone.

    Args:
        y: An image in [0, 1], ``(3, h, w)``.

    Returns:
        Logarithm of the ratio of the two root mean squares, or None where a side is odd or there
        is hardly any colour.
    """
    height, width = y.shape[1:]
    if height % 2 or width % 2:
        return None
    channels = _luma_chroma(y)
    chroma = channels[1:]
    if float((chroma - chroma.mean((1, 2), keepdim=True)).square().mean().sqrt()) < LEAST_COLOUR:
        return None
    beyond = channels - _onto_half(height) @ channels @ _onto_half(width)
    luma, colour = (part.square().mean().sqrt() for part in (beyond[:1], beyond[1:]))
    return float(torch.log(luma + ROUNDING) - torch.log(colour + ROUNDING))


def _luma_chroma(y: Tensor) -> Tensor:
    """Y, Cb − 128 and Cr − 128 of JFIF, ``(3, h, w)`` in float64."""
    y = y.double().cpu()
    return torch.einsum("ij,jhw->ihw", y.new_tensor(LUMA_CHROMA), 255 * y)


@lru_cache(maxsize=1)
def _steps() -> Tensor:
    """Those of luma at every quality, ``(Q, 1, 8, 8)``."""
    return torch.stack([steps_at(quality)[0] for quality in QUALITIES])[:, None]


@lru_cache(maxsize=16)
def _onto_half(size: int) -> Tensor:
    """The projection of a side onto what libjpeg makes of half as many pixels."""
    basis: Tensor = torch.linalg.qr(enlargement(size)).Q
    return basis @ basis.T
