"""How far an image is from the truth, pixel by pixel."""

import torch
from torch import Tensor

from ..imaging.values import decibels

BORDER = 5
"""Half of SSIM's window."""

LUMA = (65.481, 128.553, 24.966)
"""What R, G and B in [0, 1] add to Y, in 8-bit levels above `BLACK` (ITU-R BT.601)."""
BLACK = 16.0
"""Y of black; that of white is 235."""


def psnr(x: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, ``−10 log₁₀ mean (x − r)²``; infinite where they agree, or
    differ by the rounding of float64 alone.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        reference: One image ``(C, H, W)`` or as many as x.

    Returns:
        ``(N,)``, float64.
    """
    return decibels((x.double() - reference.double()).square().mean((1, 2, 3)))


def ssim(x: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, Gaussian window of 11 pixels, σ = 1.5), `(N,)`.

    The mean is over windows that lie inside the image, as in the paper and in scikit-image.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``, of more than 10 pixels a side.
        reference: One image ``(C, H, W)`` or as many as x.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, full = structural_similarity_index_measure(
        x.float(), reference.float().expand_as(x), data_range=1.0, return_full_image=True
    )
    inside = full[..., BORDER:-BORDER, BORDER:-BORDER]
    values: Tensor = inside.reshape(len(x), -1).mean(1)
    return values


def luma(x: Tensor) -> Tensor:
    """Y of YCbCr (ITU-R BT.601, as MATLAB's ``rgb2ycbcr``), in levels over 255, not rounded.

    Args:
        x: Images in [0, 1], ``(..., 3, H, W)``, or grey, ``(..., 1, H, W)``.

    Returns:
        Values in [16/255, 235/255], ``(..., 1, H, W)``, float64.

    Example:
        >>> (luma(torch.tensor([0.0, 1.0]).expand(3, 1, 2)) * 255).round().tolist()
        [[[16.0, 235.0]]]
    """
    weights = torch.tensor(LUMA, dtype=torch.float64, device=x.device).view(3, 1, 1)
    return (BLACK + (weights * x.double()).sum(-3, keepdim=True)) / 255


def psnr_y(x: Tensor, reference: Tensor, border: int) -> Tensor:
    """PSNR of `luma` against a peak of 255 levels, as papers on super-resolution report it, `(N,)`.

    Args:
        x: Images in [0, 1], ``(N, 1 or 3, H, W)``, of 8-bit values for a figure that compares.
        reference: One image ``(C, H, W)`` or as many as x.
        border: Pixels that do not count on every side: the scale, by convention.
    """
    return psnr(_inner(luma(x), border), _inner(luma(reference), border))


def ssim_y(x: Tensor, reference: Tensor, border: int) -> Tensor:
    """`ssim` of `luma`, as papers on super-resolution report it, ``(N,)``.

    Args:
        x: Images in [0, 1], ``(N, 1 or 3, H, W)``, of more than ``10 + 2 border`` pixels a side.
        reference: One image ``(C, H, W)`` or as many as x.
        border: As for `psnr_y`.
    """
    return ssim(_inner(luma(x), border), _inner(luma(reference), border))


def _inner(x: Tensor, border: int) -> Tensor:
    height, width = x.shape[-2:]
    return x[..., border : height - border, border : width - border]
