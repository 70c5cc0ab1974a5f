"""The degradation H: antialiased bicubic downscaling, as two small matrices.

Bicubic downscaling is separable and linear, ``Y = R_h X R_wᵀ`` for every colour, with one matrix
per side. So is its pseudo-inverse, ``X = P_h Y P_wᵀ`` with ``P = Rᵀ (R Rᵀ)⁻¹``. The methods have
the names of `deepinv.physics.LinearPhysics`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

MAX_CONDITION = 1e6


class BicubicDownscaling:
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
        self.hr_size, self.lr_size = hr_size, lr_size
        self.rows = _matrix(hr_size[0], lr_size[0])
        self.columns = _matrix(hr_size[1], lr_size[1])
        self.rows_inverse = _pseudo_inverse(self.rows)
        self.columns_inverse = _pseudo_inverse(self.columns)

    @classmethod
    def of_scale(cls, hr_size: tuple[int, int], scale: int) -> "BicubicDownscaling":
        """H that divides both sides by `scale`, rounded down (but to no less than one pixel)."""
        height, width = hr_size
        return cls(hr_size, (max(1, height // scale), max(1, width // scale)))

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)`` to ``(N, C, h, w)``.

        Raises:
            InputError: x has another size than `hr_size`.
        """
        _check(x, self.hr_size)
        return _sandwich(self.rows, x, self.columns)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, C, h, w)`` to ``(N, C, H, W)``."""
        _check(y, self.lr_size)
        return _sandwich(self.rows.T, y, self.columns.T)

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``, the smallest x with Hx = y: ``(N, C, h, w)`` to ``(N, C, H, W)``."""
        _check(y, self.lr_size)
        return _sandwich(self.rows_inverse, y, self.columns_inverse)


def upscale_bicubic(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Plain bicubic interpolation of ``(N, C, h, w)`` in [0, 1], kept in [0, 1]: the baseline."""
    return F.interpolate(y, size, mode="bicubic").clamp(0, 1)


def _matrix(hr: int, lr: int) -> Tensor:
    """The matrix of one side, ``(lr, hr)`` in float64: H applied to an identity."""
    if min(hr, lr) < 1:
        raise InputError(f"cannot shrink a side of {hr} pixels to {lr}")
    identity = torch.eye(hr, dtype=torch.float64)[None, None]
    shrunk: Tensor = F.interpolate(identity, (lr, hr), mode="bicubic", antialias=True)
    return shrunk[0, 0]


def _pseudo_inverse(matrix: Tensor) -> Tensor:
    gram = matrix @ matrix.T
    if float(torch.linalg.cond(gram)) > MAX_CONDITION:
        lr, hr = matrix.shape
        raise InputError(
            f"shrinking {hr} pixels to {lr} cannot be inverted (H Hᵀ is singular): "
            f"the low-resolution side must be smaller"
        )
    solution: Tensor = torch.linalg.solve(gram, matrix)
    return solution.T.contiguous()


def _sandwich(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    return left.to(x) @ x @ right.T.to(x)


def _check(x: Tensor, size: tuple[int, int]) -> None:
    if x.ndim != 4 or tuple(x.shape[2:]) != size:
        raise InputError(
            f"expected images of shape (N, C, {size[0]}, {size[1]}), not {tuple(x.shape)}"
        )
