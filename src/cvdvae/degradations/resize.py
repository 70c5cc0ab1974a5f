"""Matrices of one side that are zero far from the diagonal, and their pseudo-inverses.

A result is mixed from a few neighbours, so the matrix R of a side, ``(m, n)``, is a band. It is
kept as dense blocks, one for every 64 results, with the columns that they reach: at 16,000 → 4,000
that is 9 MB instead of 512. The pseudo-inverse ``P = Rᵀ (R Rᵀ)⁻¹`` is dense, but the inverse of a
band that is well conditioned decays exponentially away from the diagonal (Demko, Moss & Smith
1984). So the rows J of P are those of a window W of results around what J meets::

    P[J, W] = R[W, J]ᵀ (R[W] R[W]ᵀ)⁻¹

W grows until what it cuts off is smaller than `CUT`.

Explained in docs/explanation/projection.md.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..errors import InputError
from .kernels import KERNELS

RESULTS = 64
"""Rows of a block."""
MAX_CONDITION = 1e6
CUT = 1e-12
MARGIN = 32
"""How many results W has at first on either side of those that J meets."""
NEAR = 12
"""As many, where a few digits are enough."""

T = TypeVar("T")


class SubMatrix(NamedTuple):
    """A part of a matrix: the rows and the columns where it lies, and what stands there."""

    rows: slice
    columns: slice
    values: Tensor


def once_for_each(make: Callable[["BandedMatrix"], T]) -> Callable[["BandedMatrix"], T]:
    """Keeps what is made of a matrix with it: many strips of an image have the same columns."""

    @wraps(make)
    def made(matrix: "BandedMatrix") -> T:
        name = make.__qualname__
        if name not in matrix.made:
            with torch.inference_mode(False):  # a later gradient may need it
                matrix.made[name] = make(matrix)
        known: T = matrix.made[name]
        return known

    return made


class BandedMatrix:
    """A matrix whose rows are zero outside of the columns that their block reaches.

    Args:
        shape: Rows and columns.
        blocks: One below the other, float64; together they have all rows.
    """

    def __init__(self, shape: tuple[int, int], blocks: tuple[SubMatrix, ...]) -> None:
        self.shape, self.blocks = shape, blocks
        self.made = dict[str, Any]()

    def along_height(self, x: Tensor) -> Tensor:
        """The matrix times every column of x: ``(…, n, W)`` to ``(…, m, W)``."""
        parts = [b.values.to(x) @ x[..., b.columns, :] for b in self.blocks]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -2)

    def along_width(self, x: Tensor) -> Tensor:
        """The matrix times every row of x: ``(…, H, n)`` to ``(…, H, m)``."""
        parts = [x[..., b.columns] @ b.values.T.to(x) for b in self.blocks]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def window(self, rows: slice, columns: slice) -> Tensor:
        """Some rows and columns as a dense matrix."""
        if len(self.blocks) == 1 and self.blocks[0].columns == slice(0, self.shape[1]):
            return self.blocks[0].values[rows, columns]
        dense = torch.zeros(_length(rows), _length(columns), dtype=torch.float64, device="cpu")
        for block in self.blocks:
            down, across = _common(rows, block.rows), _common(columns, block.columns)
            if _length(down) and _length(across):
                values = block.values[_within(down, block.rows), _within(across, block.columns)]
                dense[_within(down, rows), _within(across, columns)] = values
        return dense

    def part(self, rows: slice, columns: slice) -> "BandedMatrix":
        """Some rows, which reach nothing but these columns."""
        blocks = []
        for block in self.blocks:
            down, across = _common(rows, block.rows), _common(columns, block.columns)
            if _length(down):
                values = block.values[_within(down, block.rows), _within(across, block.columns)]
                blocks.append(SubMatrix(_within(down, rows), _within(across, columns), values))
        return BandedMatrix((_length(rows), _length(columns)), tuple(blocks))

    def dense(self) -> Tensor:
        """All of it, ``(m, n)``."""
        return self.window(slice(0, self.shape[0]), slice(0, self.shape[1]))

    def reach(self, rows: slice) -> slice:
        """The columns that these rows reach."""
        reached = [b.columns for b in self.blocks if _length(_common(rows, b.rows))]
        return slice(min(c.start for c in reached), max(c.stop for c in reached))

    def mean_square(self) -> float:
        """``‖R‖² / m``: the mean eigenvalue of ``R Rᵀ``."""
        return sum(float(block.values.square().sum()) for block in self.blocks) / self.shape[0]

    def squared(self) -> "BandedMatrix":
        """The square of every value."""
        blocks = [b._replace(values=b.values.square()) for b in self.blocks]
        return BandedMatrix(self.shape, tuple(blocks))

    @once_for_each
    def transposed(self) -> "BandedMatrix":
        """The transpose, in as many blocks."""
        blocks = []
        for rows in _chunks(self.shape[1], len(self.blocks)):
            meeting = [b.rows for b in self.blocks if _length(_common(rows, b.columns))]
            columns = slice(meeting[0].start, meeting[-1].stop) if meeting else slice(0, 0)
            values = self.window(columns, rows)
            if len(self.blocks) > 1:
                used = values.any(1).nonzero().flatten()
                first, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
                values = values[first:end]
                columns = slice(columns.start + first, columns.start + end)
            blocks.append(SubMatrix(rows, columns, values.T))
        return BandedMatrix((self.shape[1], self.shape[0]), tuple(blocks))


class Side(NamedTuple):
    """What shrinking does to one side.

    Attributes:
        matrix: R, ``(m, n)``.
        adjoint: Rᵀ.
        inverse: ``Rᵀ (R Rᵀ)⁻¹``, ``(n, m)``.
    """

    matrix: BandedMatrix
    adjoint: BandedMatrix
    inverse: BandedMatrix


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def side(hr: int, lr: int, kernel: str) -> Side:
    """The matrices of a side of `hr` pixels that becomes `lr`.

    Raises:
        InputError: There is no such kernel, no pixel is left, or ``R Rᵀ`` is singular, so that some
            y have no x with Hx = y.
    """
    matrix = resize_matrix(hr, lr, kernel)
    return Side(matrix, matrix.transposed(), pseudo_inverse(matrix))


def resize_matrix(hr: int, lr: int, kernel: str) -> BandedMatrix:
    """R, ``(lr, hr)``, by one of the `KERNELS`."""
    if kernel not in KERNELS:
        raise InputError(f"there is no kernel '{kernel}': take one of {', '.join(KERNELS)}")
    if min(hr, lr) < 1:
        raise InputError(f"cannot shrink a side of {hr} pixels to {lr}")
    blocks = []
    for rows in _chunks(lr, -(-lr // RESULTS)):
        pixels, weights = KERNELS[kernel].taps(
            hr, lr, torch.arange(rows.start, rows.stop, device="cpu")
        )
        columns = slice(int(pixels.min()), int(pixels.max()) + 1) if lr > RESULTS else slice(0, hr)
        values = torch.zeros(_length(rows), _length(columns), dtype=torch.float64, device="cpu")
        values.scatter_add_(1, pixels - columns.start, weights)
        blocks.append(SubMatrix(rows, columns, values))
    return BandedMatrix((lr, hr), tuple(blocks))


def pseudo_inverse(matrix: BandedMatrix) -> BandedMatrix:
    """``Rᵀ (R Rᵀ)⁻¹``, ``(n, m)``, with an error below 1e-10.

    Raises:
        InputError: ``R Rᵀ`` is singular.
    """
    blocks = [_inverse_block(matrix, block) for block in matrix.transposed().blocks]
    return BandedMatrix((matrix.shape[1], matrix.shape[0]), tuple(blocks))


@once_for_each
def gram_inverse(matrix: BandedMatrix) -> BandedMatrix:
    """``(R Rᵀ)⁻¹``, ``(m, m)``, with an error of about 1e-5: where an iteration starts."""
    lr, blocks = matrix.shape[0], []
    for rows in _chunks(lr, max(1, lr // MARGIN)):
        window = slice(max(0, rows.start - NEAR), min(lr, rows.stop + NEAR))
        near = matrix.window(window, matrix.reach(window))
        inverse = torch.linalg.inv(near @ near.T)
        blocks.append(SubMatrix(rows, window, inverse[_within(rows, window)].contiguous()))
    return BandedMatrix((lr, lr), tuple(blocks))


def _inverse_block(matrix: BandedMatrix, block: SubMatrix) -> SubMatrix:
    """Some rows of the pseudo-inverse; `block` has the same rows of the transpose."""
    lr, hr = matrix.shape
    margin = MARGIN
    while True:
        window = slice(max(0, block.columns.start - margin), min(lr, block.columns.stop + margin))
        reached = matrix.reach(window)
        columns = slice(min(reached.start, block.rows.start), max(reached.stop, block.rows.stop))
        near = matrix.window(window, columns)
        gram = near @ near.T
        if float(torch.linalg.cond(gram)) > MAX_CONDITION:
            raise InputError(
                f"shrinking {hr} pixels to {lr} cannot be inverted (H Hᵀ is singular): "
                f"the low-resolution side must be smaller"
            )
        solution = torch.linalg.solve(gram, near[:, _within(block.rows, columns)])
        top = solution[: margin // 4 if window.start > 0 else 0]
        bottom = solution[-margin // 4 if window.stop < lr else len(solution) :]
        if not bool((torch.cat((top, bottom)).abs() > CUT).any()):
            return SubMatrix(block.rows, window, solution.T.contiguous())
        margin *= 2


def _chunks(length: int, count: int) -> list[slice]:
    """Cut a side into `count` slices of about the same length."""
    ends = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def _length(part: slice) -> int:
    return max(0, int(part.stop - part.start))


def _common(a: slice, b: slice) -> slice:
    return slice(max(a.start, b.start), min(a.stop, b.stop))


def _within(part: slice, whole: slice) -> slice:
    """The part as seen from the start of the whole."""
    return slice(part.start - whole.start, part.stop - whole.start)
