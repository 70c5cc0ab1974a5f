"""Traces of JPEG compression in the pixels of an image, where its blocks begin at the corner.

Both were looked for in the image as it is: once it has been resized or moved, they are gone.
"""

import math

import torch
from torch import Tensor

BLOCK = 8

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantization steps of luma at quality 50 (ITU-T T.81, annex K), which libjpeg scales."""

QUALITIES = range(10, 96)

ROUNDING = 0.5
"""Standard deviation of a coefficient about its lattice, in grey levels, from rounding the pixels.
"""

OUTLIER = -1.0
"""No coefficient counts less than this, in nats: pixels cut to [0, 255] throw some off."""

LEAST_COLOUR = 1.5
"""Standard deviation of chroma, in grey levels, below which nothing is said about it."""


def lattice(y: Tensor) -> float | None:
    """How much likelier the luma coefficients are on JPEG's lattice than anywhere, in nats.

    ``max_q Σ log( Q_q N(c; m Q_q, ROUNDING²) )`` over the coefficients c that are nearest to a
    multiple m ≠ 0 of their step Q_q at quality q: small coefficients are near zero anyway.

    Args:
        y: An image in [0, 1], ``(3, h, w)``.

    Returns:
        The log-likelihood ratio, or None where the image is not made of whole blocks.
    """
    height, width = y.shape[1:]
    if height % BLOCK or width % BLOCK:
        return None
    luma = _luma_chroma(y)[0] - 128
    blocks = luma.unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).reshape(-1, BLOCK, BLOCK)
    cosines = _cosines()
    coefficients = cosines @ blocks @ cosines.T
    steps = torch.stack([_steps(quality) for quality in QUALITIES])[:, None]
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
    matrix = torch.tensor(
        [
            [0.299, 0.587, 0.114],
            [-0.168736, -0.331264, 0.5],
            [0.5, -0.418688, -0.081312],
        ],
        dtype=torch.float64,
    )
    return torch.einsum("ij,jhw->ihw", matrix, 255 * y.double().cpu())


def _cosines() -> Tensor:
    """The orthonormal DCT of a block's side, ``(8, 8)``."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos(math.pi * k[:, None] * (k + 0.5) / BLOCK) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def _steps(quality: int) -> Tensor:
    """Quantization steps as libjpeg scales them, ``(8, 8)``."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = torch.tensor(LUMINANCE, dtype=torch.float64)
    return ((table * scale + 50) / 100).floor().clamp(1, 255)


def _onto_half(size: int) -> Tensor:
    """The projection of a side onto what libjpeg makes of half as many pixels."""
    half = size // 2
    enlarge = torch.zeros(size, half, dtype=torch.float64)
    for i in range(half):
        for pixel, neighbour in ((2 * i, i - 1), (2 * i + 1, i + 1)):
            enlarge[pixel, i] += 0.75
            enlarge[pixel, min(max(neighbour, 0), half - 1)] += 0.25
    basis: Tensor = torch.linalg.qr(enlarge).Q
    return basis @ basis.T
