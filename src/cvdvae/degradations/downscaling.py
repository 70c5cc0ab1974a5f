"""The degradation H of a program that shrinks images, as one small matrix for every side.

Shrinking is separable and linear, ``Y = R_h X R_wᵀ`` for every colour. So is its pseudo-inverse,
``X = P_h Y P_wᵀ`` with ``P = Rᵀ (R Rᵀ)⁻¹``. The matrices are bands, so sides of 16,000 pixels take
megabytes and not gigabytes.

Explained in docs/explanation/projection.md.
"""

from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from .base import LinearOperator, check_shape
from .resize import BandedMatrix, side
from .separable import LONGEST, Spectrum


class Downscaling(LinearOperator):
    """H of one of the programs in `kernels.KERNELS`, borders included.

    Args:
        hr_size: Height and width of the high-resolution image.
        lr_size: Height and width of the low-resolution image.
        by: The kernel.

    Attributes:
        rows: ``R_h``.
        columns: ``R_w``.

    Raises:
        InputError: There is no such kernel, or ``H Hᵀ`` is singular, so that some y have no x with
            Hx = y.

    Example:
        >>> import torch
        >>> H = Downscaling((64, 64), (8, 8), by="pillow-lanczos")
        >>> y = torch.rand(1, 3, 8, 8)
        >>> torch.allclose(H(H.A_dagger(y)), y, atol=1e-5)
        True
    """

    mixes_colours = False
    colours_alike = exact = True

    def __init__(
        self, hr_size: tuple[int, int], lr_size: tuple[int, int], by: str = "bicubic"
    ) -> None:
        self.hr_size, self.lr_size = (hr_size[0], hr_size[1]), (lr_size[0], lr_size[1])
        self.by, self.pixelwise = by, by in ("nearest", "pillow-nearest")
        height, width = (side(hr, lr, by) for hr, lr in zip(hr_size, lr_size, strict=True))
        self.rows, self._rows_adjoint, self._rows_inverse = height
        self.columns, self._columns_adjoint, self._columns_inverse = width

    @classmethod
    def of_scale(cls, hr_size: tuple[int, int], scale: int, **how: str) -> Self:
        """H that divides both sides by `scale`, rounded down (but to no less than one pixel)."""
        height, width = hr_size
        return cls(hr_size, (max(1, height // scale), max(1, width // scale)), **how)

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)`` to ``(N, C, h, w)``.

        Raises:
            InputError: x has another size than `hr_size`.
        """
        check_shape(x, "C", *self.hr_size)
        return self.columns.along_width(self.rows.along_height(x))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, C, h, w)`` to ``(N, C, H, W)``.

        Raises:
            InputError: y has another size than `lr_size`.
        """
        check_shape(y, "C", *self.lr_size)
        return self._columns_adjoint.along_width(self._rows_adjoint.along_height(y))

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``, the smallest x with Hx = y: ``(N, C, h, w)`` to ``(N, C, H, W)``.

        Raises:
            InputError: y has another size than `lr_size`.
        """
        check_shape(y, "C", *self.lr_size)
        return self._columns_inverse.along_width(self._rows_inverse.along_height(y))

    def solve(self, y: Tensor, damping: float) -> Tensor | None:
        """``(H Hᵀ + λ I)⁻¹ y`` for sides of y up to `LONGEST`; None beyond, to be iterated."""
        check_shape(y, "C", *self.lr_size)
        return self._spectrum.solve(y, damping) if max(self.lr_size) <= LONGEST else None

    def diagonal(self, weights: Tensor) -> Tensor:
        """The diagonal of ``H diag(w) Hᵀ`` for w of the shape of images, in that of y."""
        rows, columns = self._squared
        return columns.along_width(rows.along_height(weights))

    @cached_property
    @torch.inference_mode(False)
    def _squared(self) -> tuple[BandedMatrix, BandedMatrix]:
        return self.rows.squared(), self.columns.squared()

    @cached_property
    @torch.inference_mode(False)
    def _spectrum(self) -> Spectrum:
        return Spectrum.of(self.rows.dense(), self.columns.dense())

    def mean_eigenvalue(self) -> float:
        """``tr(H Hᵀ) / m``, the product of both sides'."""
        return self.rows.mean_square() * self.columns.mean_square()
