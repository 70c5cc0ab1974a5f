"""What happens to a sample after the network, written once.

Cut to [0, 1], and marked where it exploded; put into its frame, where only a region varies; the
nearest image with Hx = y; rounded to 8 bits so that H of what is saved stays as near to y.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.base import Degradation
from ..degradations.downscaling import Downscaling
from ..degradations.projection import project, round_consistently
from ..degradations.strip import Strip, sees
from ..imaging.io import to_bytes

FAR, NEAR, MANY = 1.0, 0.25, 0.01
"""A sample has exploded if a value is further than `FAR` outside of [0, 1], or if more than this
share of its values is further than `NEAR`, as in a saturated block."""


class Frame(NamedTuple):
    """What stays of an earlier sample where only a region varies.

    Attributes:
        region: Where it varies, ``(1, 1, H, W)`` bool.
        x: The sample as it is saved, ``(1, 3, H, W)`` in [0, 1].
    """

    region: Tensor
    x: Tensor


class Finished(NamedTuple):
    """Samples as they leave the program.

    Attributes:
        x: Float in [0, 1], ``(n, 3, H, W)``.
        pixels: The same as they are saved, uint8.
        exploded: Which came out of the network not finite or far from any image, ``(n,)`` bool:
            they are kept in their places, but are no answer and count in no statistic.
    """

    x: Tensor
    pixels: Tensor
    exploded: Tensor

    @property
    def answers(self) -> Tensor:
        """The float samples that did not explode."""
        return self.x[~self.exploded]


def finish(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    consistent: bool = True,
    frame: Frame | None = None,
) -> Finished:
    """Finish the samples of one image.

    Args:
        x: What the network gives, float, ``(n, 3, H, W)``, any values.
        y: The low-resolution image in [0, 1], ``(1, 3, h, w)``.
        degradation: H.
        consistent: Whether to project and to round consistently, or only to cut and round.
        frame: What stays, where only a region varies.
    """
    if frame is None and isinstance(degradation, Downscaling) and x[0, 0].numel() > STRIP_PIXELS:
        strips = finish_in_strips(lambda a, b: x[:, :, a:b], y, degradation, consistent)
        return _joined(list(strips))
    x, exploded = cut(x)
    shadow, region = y, None
    if frame is not None:
        x = torch.where(frame.region, x, frame.x)
        shadow, region = degradation.A(frame.x), frame.region
    if not consistent:
        return Finished(x, to_bytes(x), exploded)
    x = project(x, shadow.expand(len(x), -1, -1, -1), degradation, region=region)
    return Finished(x, round_consistently(x, y, degradation, region=region), exploded)


def _joined(strips: list[Finished]) -> Finished:
    exploded = torch.stack([strip.exploded for strip in strips]).any(0)
    x, pixels = (torch.cat(parts, 2) for parts in list(zip(*strips, strict=True))[:2])
    return Finished(x, pixels, exploded)


def cut(x: Tensor) -> tuple[Tensor, Tensor]:
    """What the network gives, on the CPU and cut to [0, 1], and which samples exploded."""
    x = x.float().cpu()
    outside = ((x - 0.5).abs() - 0.5).flatten(1)
    exploded = ~(outside <= FAR).all(1) | ((outside > NEAR).float().mean(1) > MANY)
    return torch.nan_to_num(x, nan=0.5).clamp(0, 1), exploded


STRIP_PIXELS = 2**20
"""Images of more pixels than this are finished in strips of about so many."""
OVERLAP = 8
"""Rows of y by which strips overlap, at least: what is done at the end of one is done again."""


def finish_in_strips(
    rows: Callable[[int, int], Tensor],
    y: Tensor,
    degradation: Downscaling,
    consistent: bool = True,
    strip_pixels: int | None = None,
) -> Iterator[Finished]:
    """As `finish`, strip after strip from the top, in the memory of one.

    The pixels above a strip are final, and what they add to y is taken off; those below are
    projected and rounded with it, but only kept with the next one. So every row of y is met.

    Args:
        rows: Gives rows a … b − 1 of what the network gives, ``(n, 3, b − a, W)``; asked for from
            the top downwards, the last ones of a strip once more with the next.
        y: The low-resolution image in [0, 1], ``(1, 3, h, w)``.
        degradation: H.
        consistent: As for `finish`.
        strip_pixels: About how many pixels a strip has.
    """
    (height, width), scale = degradation.hr_size, degradation.hr_size[0] / degradation.lr_size[0]
    wanted = max(1, (strip_pixels or STRIP_PIXELS) // width)
    overlap = math.ceil(OVERLAP * scale)
    above = torch.empty(0)
    top = 0
    while top < height:
        bottom = min(height, top + max(wanted, overlap))
        if height - bottom < overlap:
            bottom = height
        end = min(height, bottom + overlap)
        x, exploded = cut(rows(top, end))
        if consistent:
            finished = _finish_strip(above, x, y, degradation, top)
        else:
            finished = Finished(x, to_bytes(x), exploded)
        kept = slice(0, bottom - top)
        finished = Finished(finished.x[:, :, kept], finished.pixels[:, :, kept], exploded)
        yield finished
        above = torch.cat([above, finished.pixels], 2) if len(above) else finished.pixels
        above = above[:, :, -4 * overlap :]
        top = bottom


def _finish_strip(
    above: Tensor, x: Tensor, y: Tensor, degradation: Downscaling, top: int
) -> Finished:
    """Project and round the rows from `top` on, below final pixels."""
    (height, _), (lr_height, _) = degradation.hr_size, degradation.lr_size
    end = top + x.shape[2]
    seen = [sees(degradation, row) for row in _near(top, end, degradation)]
    first = next(i for i, rows in enumerate(seen) if rows.stop > top)
    last = max(i for i, rows in enumerate(seen) if rows.stop <= end or end == height)
    offset = _near(top, end, degradation).start
    lr_rows = slice(offset + first, min(lr_height, offset + last + 1))
    start = min(seen[first].start, top)
    operator = Strip(degradation, lr_rows, slice(start, end))
    final = above[:, :, above.shape[2] - (top - start) :].float() / 255 if top > start else None
    whole = x if final is None else torch.cat([final, x], 2)
    region = torch.ones(1, 1, whole.shape[2], 1, dtype=torch.bool)
    region[:, :, : top - start] = False
    part = y[:, :, lr_rows]
    shadow = part.expand(len(x), -1, -1, -1)
    whole = project(whole, shadow, operator, region=region)
    pixels = round_consistently(whole, part, operator, region=region)
    below = slice(top - start, None)
    return Finished(whole[:, :, below], pixels[:, :, below], torch.zeros(len(x), dtype=torch.bool))


def _near(top: int, end: int, degradation: Downscaling) -> range:
    """Rows of y that may see rows `top` … `end` − 1 of x."""
    scale, margin = degradation.hr_size[0] / degradation.lr_size[0], 4
    first = max(0, int(top / scale) - margin)
    return range(first, min(degradation.lr_size[0], math.ceil(end / scale) + margin))
