"""Where a strip of an image goes on below one that is final, and y is hard to meet.

A y of hard black and white leaves x hardly any choice. What the strip above was rounded to has met
it, with some rows further down that are not final yet; the projection of the next strip comes to
others, and not always to those that can go on from the final rows. So where it misses y, these rows
begin as they met it before, become those of the projection further down, and are moved until what
lies between meets y, too (`violate_least`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..degradations.infeasible import MORE, SLACK, outside, room, violate_least
from ..degradations.strip import Strip
from ..degradations.within import Within

HALF = 0.5 - SLACK
"""Levels beyond its room where Hx is rounded to another level than y."""


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
    """The rows of a strip, where they miss y near its seam and those before did not.

    Args:
        x: Rows from `start` on, projected from `top` on, ``(n, C, rows, W)``.
        before: What the rows from `top` on were rounded to with the strip above, in [0, 1].
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``.
        degradation: H of the whole image.
        seen: Which rows of x each row of y sees that sees no others, in their order.
        start: The first row of x.
        top: The first that is not final.
        levels: Steps between 0 and 1 to which x is rounded next.

    Returns:
        x; each sample by itself.
    """
    bottom = top + before.shape[2]
    near = [row for row, rows in seen.items() if rows.start < bottom]
    end = max(seen[row].stop for row in near)
    known = sum(seen[row].stop <= bottom for row in near)
    lr_rows, moving = slice(near[0], near[-1] + 1), slice(top - start, bottom - start)
    operator = Strip(degradation, lr_rows, slice(start, end))
    least, most = room(y[:, :, lr_rows].double(), levels)

    def missed(part: Tensor) -> Tensor:
        """In levels, of every row of y that is near."""
        beyond = outside(operator.A(part), least, most).abs() * levels - HALF
        return beyond.clamp(min=0).amax((0, 1, 3))

    region = torch.zeros(1, 1, end - start, 1, dtype=torch.bool, device="cpu")
    region[:, :, moving] = True
    weight = (torch.arange(before.shape[2], device="cpu") + 0.5) / before.shape[2]
    weight = (2 * weight - 0.5).clamp(0, 1)[:, None].double()
    result = x
    for i in range(len(x)):
        part = x[i : i + 1, :, : end - start].double()
        left = missed(part)
        if not bool(left.any()):
            continue
        blend = part.clone()
        blend[:, :, moving] = before[i].double()
        if bool(missed(blend)[:known].any()):
            continue
        blend[:, :, moving] = torch.lerp(before[i].double(), part[:, :, moving], weight)
        within = Within(operator, region.expand_as(part))
        given = operator.A(torch.where(region, 0, part))
        begun, few = torch.where(region, blend, 0), least - given
        moved = violate_least(within, begun, few, (2, 3), MORE, most=most - given)
        moved = torch.where(region, moved, part)
        if float(missed(moved).sum()) < float(left.sum()):
            result = result.clone() if result is x else result
            result[i, :, : end - start] = moved[0].to(x)
    return result
