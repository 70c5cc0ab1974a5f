"""What rounding leaves more than half a level off, for a separable H: a search nearby.

y was rounded, too: wanted is not Hx = y but ``|Hx − y| < ½`` level at every result. Beside hard
edges of black and white no image in range may have Hx = y, and the one that stands for it may have
some results beyond a half, though others have room left. There pixels are moved by a level, one at
a time, as long as that lowers::

    V(e) = Σ max(|e| − ½ + margin, 0)²,    e = y − Hx in levels

Explained in docs/explanation/projection.md.
"""

import torch
from torch import Tensor

from .columns import Columns

HALF, MARGIN = 0.5, 0.01
FEW, SHARE, FAR = 512, 1 / 20, 2.0
"""More results beyond a half than so few, and than this share of all, or one so many levels off,
belong to a y that no image has."""
MOVES = 100
"""Most moves for one result."""
SLOW = 0.6
"""It is given up where passes leave more than this share of V, on average: where there is an image
they leave far less, and where there is none hundreds would follow."""


def beyond(error: Tensor) -> Tensor:
    """Which results are off by half a level or more, bool."""
    return error.abs() >= HALF


def settle(
    level: Tensor,
    error: Tensor,
    region: Tensor | None,
    down: Columns,
    across: Columns,
    levels: int,
) -> None:
    """Move levels of one colour of an image, in place; not at all if more results would be off.

    Args:
        level: Whole numbers in 0 … `levels`, ``(H, W)``.
        error: ``y − H level``, ``(h, w)`` float64 in levels; it follows what is moved.
        region: Which pixels may be moved, bool, ``(H, W)``; all of them by default.
        down: The columns of H's matrix of rows.
        across: Those of its matrix of columns.
        levels: The largest level.
    """
    before, most, first = torch.inf, float(_price(error).sum()), (level.clone(), error.clone())
    bound = max(FEW, int(SHARE * error.numel()))
    while 0 < len(off := beyond(error).nonzero()) <= bound and float(error.abs().max()) < FAR:
        price = float(_price(error).sum())
        if price >= before or price > most:
            break
        before, most = price, SLOW * most
        for i, j in off.tolist():
            pixels = _seen_by(i, down), _seen_by(j, across)
            allowed = None if region is None else region[pixels[0]][:, pixels[1]]
            for _ in range(MOVES):
                if abs(float(error[i, j])) < HALF or not _moved(
                    level, error, (i, j), pixels, allowed, (down, across), levels
                ):
                    break
    if int(beyond(error).sum()) > int(beyond(first[1]).sum()):
        level.copy_(first[0])
        error.copy_(first[1])


def _seen_by(result: int, side: Columns) -> Tensor:
    """The pixels of a side that a result sees."""
    return ((side.results == result) & (side.values != 0)).any(1).nonzero().flatten()


def _moved(
    level: Tensor,
    error: Tensor,
    at: tuple[int, int],
    pixels: tuple[Tensor, Tensor],
    allowed: Tensor | None,
    matrices: tuple[Columns, Columns],
    levels: int,
) -> bool:
    """Make the best move for a result; whether there is one."""
    (rows, columns), (down, across) = pixels, matrices
    # What each of the pixels (p, q) adds to the results (a, b) that see it: (p, q, a, b).
    seen = down.values[rows][:, None, :, None] * across.values[columns][None, :, None, :]
    to = (down.results[rows][:, None, :, None], across.results[columns][None, :, None, :])
    here = ((to[0] == at[0]) & (to[1] == at[1])) * seen
    sign = torch.sign(here.sum((2, 3)) * error[at])
    before = error[to]
    gain = _price(before) - _price(before - sign[..., None, None] * seen)
    gain = gain.sum((2, 3))
    after = level[rows][:, columns] + sign
    possible = (sign != 0) & (after >= 0) & (after <= levels)
    if allowed is not None:
        possible &= allowed
    gain = gain.masked_fill(~possible, 0)
    best = int(gain.argmax())
    if float(gain.flatten()[best]) <= 0:
        return False
    p, q = divmod(best, len(columns))
    level[rows[p], columns[q]] = after[p, q].to(level.dtype)
    # Near the last results `Columns` names one several times, with zeros: all count.
    error.index_put_((to[0][p, 0], to[1][0, q]), -sign[p, q] * seen[p, q], accumulate=True)
    return True


def _price(error: Tensor) -> Tensor:
    """V, result by result."""
    return (error.abs() - HALF + MARGIN).clamp_(min=0).square_()
