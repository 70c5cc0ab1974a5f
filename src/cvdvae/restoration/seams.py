"""Where a strip of an image goes on below one that is final, and y is hard to meet.

A y of hard black and white leaves x hardly any choice. What the strip above was rounded to has met
it, with some rows further down that are not final yet; the projection of the next strip comes to
others, and not always to those that can go on from the final rows. So where it misses what was met
before, these rows begin as they were then, become those of the projection further down, and are
moved until all that either meets is met (`violate_least`). What neither meets is nobody's aim: it
may be what no image gives.

Explained in docs/explanation/projection.md.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..degradations.infeasible import MORE, SLACK, outside, room, violate_least
from ..degradations.strip import Strip
from ..degradations.within import Within

SPARE = 0.5 - SLACK
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

    region = torch.zeros(1, 1, end - start, 1, dtype=torch.bool, device="cpu")
    region[:, :, moving] = True
    weight = (torch.arange(before.shape[2], device="cpu") + 0.5) / before.shape[2]
    weight = (2 * weight - 0.5).clamp(0, 1)[:, None].double()
    result = x
    for i in range(len(x)):
        part, then = x[i : i + 1, :, : end - start].double(), before[i : i + 1].double()
        now = met(part)
        if bool(now[:, :, :known].all()):
            continue
        blend = part.clone()
        blend[:, :, moving] = then
        asked = met(blend)
        asked[:, :, known:] = False  # rows that see further down than was rounded
        if not bool((asked & ~now).any()):
            continue
        asked |= now
        blend[:, :, moving] = torch.lerp(then, part[:, :, moving], weight)
        given = operator.A(torch.where(region, 0, part))
        few = torch.where(asked, least, -math.inf) - given
        many = torch.where(asked, most, math.inf) - given
        within, begun = Within(operator, region.expand_as(part)), torch.where(region, blend, 0)
        moved = violate_least(within, begun, few, (2, 3), MORE, most=many)
        moved = torch.where(region, moved, part)
        if int((asked & ~met(moved)).sum()) < int((asked & ~now).sum()):
            result = result.clone() if result is x else result
            result[i, :, : end - start] = moved[0].to(x)
    return result
