"""How far an image is from the truth, pixel by pixel."""

import torch
from torch import Tensor

BORDER = 5
"""Half of SSIM's window."""


def psnr(x: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, ``−10 log₁₀ mean (x − r)²``; infinite where they agree.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        reference: One image ``(C, H, W)`` or as many as x.

    Returns:
        ``(N,)``, float64.
    """
    return -10 * torch.log10((x.double() - reference.double()).square().mean((1, 2, 3)))


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
