"""The degradation H that the models are trained for, and the baseline that knows nothing of it."""

import torch.nn.functional as F
from torch import Tensor

from .downscaling import Downscaling


class BicubicDownscaling(Downscaling):
    """H of `torch.nn.functional.interpolate(mode="bicubic", antialias=True)`, borders included.

    Args:
        hr_size: Height and width of the high-resolution image.
        lr_size: Height and width of the low-resolution image.

    Raises:
        InputError: ``H Hᵀ`` is singular, so that some y have no x with Hx = y.

    Example:
        >>> import torch
        >>> H = BicubicDownscaling((64, 64), (8, 8))
        >>> y = torch.rand(1, 3, 8, 8)
        >>> torch.allclose(H.A(H.A_dagger(y)), y, atol=1e-5)
        True
    """

    def __init__(self, hr_size: tuple[int, int], lr_size: tuple[int, int]) -> None:
        super().__init__(hr_size, lr_size)


def downscaling(hr_size: tuple[int, int], lr_size: tuple[int, int], by: str) -> Downscaling:
    """H of one of the programs in `kernels.KERNELS`; the models are trained for ``bicubic``.

    Raises:
        InputError: There is no such program, or ``H Hᵀ`` is singular.
    """
    if by == "bicubic":
        return BicubicDownscaling(hr_size, lr_size)
    return Downscaling(hr_size, lr_size, by)


def upscale_bicubic(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Plain bicubic interpolation of ``(N, C, h, w)`` in [0, 1], kept in [0, 1]: the baseline."""
    return F.interpolate(y, size, mode="bicubic").clamp(0, 1)
