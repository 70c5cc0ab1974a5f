"""The degradation H that the models are trained for, and the baseline that knows nothing of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .downscaling import Downscaling
from .resize import BandedMatrix

FITS = 2**20
"""Most pixels under the middle of y that are added up one by one."""


class BicubicDownscaling(Downscaling):
    """H of `torch.nn.functional.interpolate(mode="bicubic", antialias=True)`, borders included.

    Args:
        hr_size: Height and width of the high-resolution image.
        lr_size: Height and width of the low-resolution image.

    Raises:
        InputError: ``H Hᵀ`` is singular, so that some y have no x with Hx = y.

    Example:
        >>> H = BicubicDownscaling((64, 64), (8, 8))
        >>> y = torch.rand(1, 3, 8, 8)
        >>> torch.allclose(H.A(H.A_dagger(y)), y, atol=1e-5)
        True
    """

    def __init__(self, hr_size: tuple[int, int], lr_size: tuple[int, int]) -> None:
        super().__init__(hr_size, lr_size)

    def mean_eigenvalue(self) -> float:
        """``‖Hᵀ e‖²`` for e in the middle of y: what ``tr(H Hᵀ) / m`` is away from borders."""
        row, column = _middle(self.rows), _middle(self.columns)
        if len(row) * len(column) > FITS:
            return float(row.square().sum() * column.square().sum())
        # Added up like the pixels of an RGB image: the last bit goes into every projection, and so
        # into the samples of the bundled models.
        return float(torch.outer(row, column).expand(3, -1, -1).square().sum() / 3)


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


def _middle(matrix: BandedMatrix) -> Tensor:
    """The middle row, as far as its block reaches."""
    middle = matrix.shape[0] // 2
    rows = slice(middle, middle + 1)
    return matrix.window(rows, matrix.reach(rows))[0]
