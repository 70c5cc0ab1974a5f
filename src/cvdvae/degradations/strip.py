"""H of a strip: what some rows of y, and some columns of these, say of some of x."""

from torch import Tensor

from .base import LinearOperator
from .downscaling import Downscaling
from .resize import BandedMatrix
from .tiles import Separable


class Strip(LinearOperator):
    """Rows of a separable H, ``Y = R_h[i, j] X R_wᵀ``, and columns where they are named.

    It takes a strip of x to the rows of y that see nothing but that strip. Projecting and rounding
    by it, strip after strip, takes the memory of one strip.

    Args:
        degradation: H of the whole image, or of a part.
        lr_rows: Which rows of y.
        hr_rows: Which rows of x; they hold all that `lr_rows` see.
        columns: Which columns of y, and which of x, which hold all that those see; all by default.
    """

    mixes_colours = False
    colours_alike = exact = True

    def __init__(
        self,
        degradation: Separable,
        lr_rows: slice,
        hr_rows: slice,
        columns: tuple[slice, slice] | None = None,
    ) -> None:
        self.rows, self.columns = degradation.rows.part(lr_rows, hr_rows), degradation.columns
        if columns is not None:
            self.columns = self.columns.part(*columns)
        self._adjoints = self.rows.transposed(), self.columns.transposed()

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, rows of x, W)`` to ``(N, C, rows of y, w)``."""
        return self.columns.along_width(self.rows.along_height(x))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, C, rows of y, w)`` to ``(N, C, rows of x, W)``."""
        rows, columns = self._adjoints
        return columns.along_width(rows.along_height(y))

    def A_dagger(self, y: Tensor) -> Tensor:
        """Not there: a strip is only projected onto.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a strip has no pseudo-inverse of its own")

    def mean_eigenvalue(self) -> float:
        """``tr(H Hᵀ) / m``, the product of both sides'."""
        return self.rows.mean_square() * self.columns.mean_square()


def sees(degradation: Downscaling, row: int) -> slice:
    """Which rows of x a row of y sees."""
    return used_by(degradation.rows, row)


def used_by(matrix: BandedMatrix, row: int) -> slice:
    """From the first to the last column in which a row of a matrix is not zero."""
    reached = matrix.reach(slice(row, row + 1))
    used = matrix.window(slice(row, row + 1), reached)[0].nonzero().flatten()
    return slice(reached.start + int(used[0]), reached.start + int(used[-1]) + 1)
