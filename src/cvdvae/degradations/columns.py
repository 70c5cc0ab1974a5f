"""The columns of a banded matrix: what a pixel of a side adds to which results."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .resize import BandedMatrix, once_for_each


class Columns(NamedTuple):
    """The column of a matrix at every pixel of a side: where it is not zero, and its values."""

    results: Tensor
    values: Tensor


@once_for_each
def columns_of(matrix: BandedMatrix) -> Columns:
    """Of R ``(m, n)``: both are ``(n, k)``, k the most results that a pixel reaches."""
    first, columns = [], []
    for block in matrix.transposed().blocks:
        for row in block.values:
            used = row.nonzero().flatten()
            start, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
            first.append(block.columns.start + start)
            columns.append(row[start:end])
    most = max(1, *(len(c) for c in columns))
    values = torch.stack([F.pad(c, (0, most - len(c))) for c in columns])
    results = torch.tensor(first, device="cpu")[:, None] + torch.arange(most, device="cpu")
    return Columns(results.clamp(max=matrix.shape[0] - 1), values)
