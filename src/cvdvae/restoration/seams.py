"""Where a strip of an image goes on below one that is final, and y is hard to meet.

A y of hard black and white leaves x hardly any choice. What the strip above was rounded to has met
it, with some rows further down that are not final yet; the projection of the next strip comes to
others, and not always to those that can go on from the final rows. So where it misses what was met
before, these rows begin as they were then, become those of the projection further down and to the
sides, and are moved until all that either meets is met (`violate_least`). What neither meets is
nobody's aim: it may be what no image gives.

Explained in docs/explanation/projection.md.
"""

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..degradations.infeasible import MORE, SLACK, outside, room, violate_least
from ..degradations.strip import Strip, used_by
from ..degradations.within import Within

SPARE = 0.5 - SLACK
"""Levels beyond its room where Hx is rounded to another level than y."""
AROUND = 8
"""Columns of y to either side of what is missed that are moved with it."""


def mended(
    x: Tensor,
    before: Tensor,
    y: Tensor,
    degradation: Downscaling,
    seen: Mapping[int, slice],
    start: int,
    top: int,
    levels: int,
) -> Tensor:
    """The rows of a strip, where they miss what those before met near its seam.

    Args:
        x: Rows from `start` on, projected from `top` on, ``(n, C, rows, W)``.
        before: What the rows from `top` on were rounded to with the strip above, in [0, 1].
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``; one that is not in whole levels is
            left as it is.
        degradation: H of the whole image.
        seen: Which rows of x each row of y sees that sees no others, in their order.
        start: The first row of x.
        top: The first that is not final.
        levels: Steps between 0 and 1 to which x is rounded next.

    Returns:
        x itself where nothing is moved; each sample by itself.
    """
    bottom = top + before.shape[2]
    near = [row for row, rows in seen.items() if rows.start < bottom]
    lr_rows, moving = slice(near[0], near[-1] + 1), slice(top - start, bottom - start)
    least, most = room(y[:, :, lr_rows].double(), levels)
    if torch.equal(least, most):
        return x
    end = max(bottom, *(seen[row].stop for row in near))
    known = sum(seen[row].stop <= bottom for row in near)
    operator = Strip(degradation, lr_rows, slice(start, end))

    def met(part: Tensor) -> Tensor:
        return outside(operator.A(part), least, most).abs() * levels < SPARE

    result = x
    for i in range(len(x)):
        part = x[i : i + 1, :, : end - start].double()
        now = met(part)
        if bool(now[:, :, :known].all()):
            continue
        then = part.clone()
        then[:, :, moving] = before[i : i + 1].double()
        asked = met(then)
        asked[:, :, known:] = False  # rows that see further down than was rounded
        wanted, asked = asked & ~now, asked | now
        few, many = torch.where(asked, least, -math.inf), torch.where(asked, most, math.inf)
        for colour, columns in _spans(wanted[0]):
            some = (slice(None), slice(colour, colour + 1), slice(None), columns)
            span = _Span(operator, columns, moving)
            moved = span.moved(part[:, some[1]], then[:, some[1]], few[some], many[some])
            left = outside(span.operator.A(moved), few[some], many[some]).abs() * levels >= SPARE
            if int(left.sum()) < int(wanted[some].sum()):
                result = result.clone() if result is x else result
                result[i, colour, : end - start, span.seen] = moved[0, 0].to(x)
    return result


def _spans(wanted: Tensor) -> Iterator[tuple[int, slice]]:
    """Colours, and the columns of y around some results, ``(C, h, w)`` bool; spans are apart."""
    for colour, missed in enumerate(wanted.any(1)):
        near = F.max_pool1d(missed[None].float(), 2 * AROUND + 1, 1, AROUND)[0] > 0
        outer = near.new_zeros(1)
        for first, end in near.diff(prepend=outer, append=outer).nonzero().view(-1, 2).tolist():
            yield colour, slice(first, end)


class _Span:
    """Some columns of y, and the pixels that no others see.

    Args:
        strip: H of some rows.
        columns: Which columns of y.
        moving: Which rows of pixels may move.

    Attributes:
        seen: The columns of pixels that these of y see.
        operator: H from those to these.
        region: The pixels that may move, bool, ``(rows, columns)``.
        share: How much of a pixel is as it is now, of one between that and what it was before;
            float64 of the same shape.
    """

    def __init__(self, strip: Strip, columns: slice, moving: slice) -> None:
        matrix, (lr_rows, hr_rows) = strip.columns, strip.rows.shape
        lr_width, hr_width = matrix.shape
        first, last = used_by(matrix, columns.start), used_by(matrix, columns.stop - 1)
        self.seen = slice(first.start, last.stop)
        self.operator = Strip(strip, slice(0, lr_rows), slice(0, hr_rows), (columns, self.seen))
        left = used_by(matrix, columns.start - 1).stop if columns.start > 0 else 0
        right = used_by(matrix, columns.stop).start if columns.stop < lr_width else hr_width
        row, column = (_centres(s) for s in (slice(0, hr_rows), self.seen))
        inside = (column > left) & (column < right)
        self.region = ((row > moving.start) & (row < moving.stop))[:, None] & inside
        down = 2 * (row - moving.start) / (moving.stop - moving.start) - 0.5
        ramp = AROUND / 2 * hr_width / lr_width
        from_left = (column - left) / ramp if left > 0 else torch.ones_like(column)
        from_right = (right - column) / ramp if right < hr_width else torch.ones_like(column)
        across = 1 - torch.minimum(from_left, from_right)
        self.share = torch.maximum(down[:, None], across).clamp(0, 1)

    def moved(self, now: Tensor, then: Tensor, least: Tensor, most: Tensor) -> Tensor:
        """What comes nearest to the room of Hx from between two images of the strip's rows.

        Args:
            now: As the strip is projected, and stays outside of `region`, ``(1, 1, rows, W)``.
            then: As it was rounded with the strip above.
            least: The least that Hx may be, ``(1, 1, h, columns)``.
            most: The most.
        """
        now, then = now[..., self.seen], then[..., self.seen]
        region = self.region.expand_as(now)
        given = self.operator.A(torch.where(region, 0, now))
        begun = torch.where(region, torch.lerp(then, now, self.share), 0)
        within = Within(self.operator, region)
        moved = violate_least(within, begun, least - given, (2, 3), MORE, most=most - given)
        return torch.where(region, moved, now)


def _centres(pixels: slice) -> Tensor:
    return torch.arange(pixels.start, pixels.stop, dtype=torch.float64, device="cpu") + 0.5
