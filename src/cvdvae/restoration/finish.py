"""What happens to a sample after the network, written once.

Cut to [0, 1], and marked where it exploded; put into its frame, where only a region varies; the
nearest image with Hx = y; rounded to the levels that y has, 255 for 8 bits, so that H of what is
saved stays as near to y. Values that are not whole are not rounded. Where y has noise, the sample
explains it within that (`cvdvae.restoration.tolerance`), and is rounded value by value.

Explained in docs/explanation/method.md.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.base import Degradation
from ..degradations.downscaling import Downscaling
from ..degradations.newton import TOLERANCE
from ..degradations.projection import project, round_consistently
from ..degradations.strip import Strip, sees
from ..imaging.values import EIGHT_BITS, from_levels, to_levels
from .seams import mended
from .taper import set_in
from .tolerance import Tolerance, explain
from .workers import held, uncast

FAR, NEAR, MANY = 1.0, 0.25, 0.01
"""A sample has exploded if a value is further than `FAR` outside of [0, 1], or if more than this
share of all its values is further than `NEAR`, as in a saturated block."""


MISSED = 1 / 10
"""Share of an 8-bit level by which Hx of a large image may miss y before it is rounded."""


class Frame(NamedTuple):
    """What stays of an earlier sample where only a region varies.

    Attributes:
        region: Where it varies, ``(1, 1, H, W)`` bool.
        x: The sample as it is saved, ``(1, C, H, W)`` in [0, 1].
        weights: How strongly: `taper` of the whole region, ``(1, 1, H, W)``.
    """

    region: Tensor
    x: Tensor
    weights: Tensor


class Finished(NamedTuple):
    """Samples as they leave the program.

    Attributes:
        x: Float in [0, 1], ``(n, C, H, W)``.
        pixels: The same as they are saved: whole levels, uint8 up to 255 of them, else int32;
            float64 in [0, 1] where nothing is rounded.
        exploded: Which came out of the network not finite or far from any image, ``(n,)`` bool:
            they are kept in their places, but are no answer and count in no statistic. Of a strip:
            which of them have down to its end, by their share of the whole image.
    """

    x: Tensor
    pixels: Tensor
    exploded: Tensor

    @property
    def answers(self) -> Tensor:
        """The float samples that did not explode."""
        return self.x[~self.exploded]


@uncast
def finish(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    consistent: bool = True,
    frame: Frame | None = None,
    levels: int | None = EIGHT_BITS,
    tolerance: Tolerance | None = None,
) -> Finished:
    """Finish the samples of one image.

    Args:
        x: What the network gives, float, ``(n, C, H, W)``, any values.
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``.
        degradation: H.
        consistent: Whether to project and to round consistently, or only to cut and round.
        frame: What stays, where only a region varies.
        levels: Of y, and of what is saved; None for values that are not rounded.
        tolerance: What the noise of y leaves open; None where y is Hx, and rounded at most.
    """
    if frame is None and isinstance(degradation, Downscaling) and in_strips(degradation):
        strips = finish_in_strips(
            lambda a, b: x[:, :, a:b], y, degradation, consistent, levels, tolerance
        )
        return joined(strips)
    x, exploded = cut(x, levels)
    shadow, region = y, None
    if frame is not None:
        shadow, region = degradation.A(frame.x), frame.region
        x = set_in(x, frame.x, frame.weights, degradation if consistent else None)
        x = torch.where(region, x.clamp(0, 1), frame.x)
    if not consistent:
        return Finished(x, to_levels(x, levels), exploded)
    if tolerance is not None:
        x = explain(x, y, degradation, tolerance, region)
        return Finished(x, to_levels(x, levels), exploded)
    within, shadow = _tolerance(levels), shadow.expand(len(x), -1, -1, -1)
    x = project(x, shadow, degradation, region=region, tolerance=within, levels=levels)
    return Finished(x, _rounded(x, y, degradation, region, levels), exploded)


def _tolerance(levels: int | None) -> float:
    """Of the projection: what rounding to 8 bits makes up for is not worth a step."""
    return TOLERANCE if levels is None or levels > EIGHT_BITS else MISSED / levels


def _rounded(
    x: Tensor, y: Tensor, degradation: Degradation, region: Tensor | None, levels: int | None
) -> Tensor:
    if levels is None:
        return to_levels(x, None)
    return round_consistently(x, y, degradation, region=region, levels=levels)


def joined(strips: Iterable[Finished]) -> Finished:
    """Strips of samples, from the top downwards, as one."""
    x, pixels, exploded = zip(*strips, strict=True)
    return Finished(torch.cat(x, 2), torch.cat(pixels, 2), torch.stack(exploded).any(0))


def cut(x: Tensor, levels: int | None = EIGHT_BITS) -> tuple[Tensor, Tensor]:
    """What the network gives, on the CPU and cut to [0, 1], and which samples exploded.

    It is float64 where it will not be rounded: float32 would round it.
    """
    x, off = _cut(x, levels)
    return x, off / math.prod(x.shape[1:]) > MANY


def _cut(x: Tensor, levels: int | None) -> tuple[Tensor, Tensor]:
    """As `cut`, with how many values of every sample were further than `NEAR` outside, float64:
    infinitely many where one was not finite, or further than `FAR`."""
    x = x.float().cpu()
    outside = ((x - 0.5).abs() - 0.5).flatten(1)
    many = (outside > NEAR).sum(1).double()
    off = torch.where((outside <= FAR).all(1), many, math.inf)
    x = torch.nan_to_num(x, nan=0.5).clamp(0, 1)
    return x if levels is not None else x.double(), off


def in_grey(x: Tensor) -> Tensor:
    """The same grey in all colours of images ``(n, C, H, W)``: a grey y has grey samples."""
    return x.mean(1, keepdim=True).expand_as(x)


STRIP_PIXELS = 2**20
"""Images of more pixels than this are finished in strips of about so many."""
OVERLAP = 8
"""Rows of y by which strips overlap."""


def in_strips(degradation: Downscaling) -> bool:
    """Whether images of this size are finished in strips."""
    return math.prod(degradation.hr_size) > STRIP_PIXELS


def finish_in_strips(
    rows: Callable[[int, int], Tensor],
    y: Tensor,
    degradation: Downscaling,
    consistent: bool = True,
    levels: int | None = EIGHT_BITS,
    tolerance: Tolerance | None = None,
    strip_pixels: int | None = None,
) -> Iterator[Finished]:
    """As `finish`, strip after strip from the top, in the memory of one.

    The pixels above a strip are final, and what they add to y is taken off. Those below it, as far
    as rows of y see across its end, are projected with it, and once more with the next one. Where y
    has noise, nothing is final: a strip is explained with its neighbours on both sides.

    Args:
        rows: Gives rows a … b − 1 of what the network gives, ``(n, C, b − a, W)``; each is asked
            for once, from the top downwards.
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``.
        degradation: H.
        consistent: As for `finish`.
        levels: As for `finish`.
        tolerance: As for `finish`.
        strip_pixels: About how many pixels a strip has.
    """
    return _Strips(rows, y, degradation, consistent, levels, tolerance, strip_pixels)


class _Strips(Iterator[Finished]):
    """See `finish_in_strips`. Between two strips it holds their edges alone: there may be many."""

    def __init__(
        self,
        rows: Callable[[int, int], Tensor],
        y: Tensor,
        degradation: Downscaling,
        consistent: bool,
        levels: int | None,
        tolerance: Tolerance | None,
        strip_pixels: int | None,
    ) -> None:
        self.rows, self.y, self.degradation = rows, y, degradation
        self.consistent, self.levels, self.tolerance = consistent, levels, tolerance
        (height, width), scale = (
            degradation.hr_size,
            degradation.hr_size[0] / degradation.lr_size[0],
        )
        self.height, self.overlap = height, math.ceil(OVERLAP * scale)
        self.wanted = max(self.overlap, (strip_pixels or STRIP_PIXELS) // width)
        empty = torch.empty(len(y), y.shape[1], 0, width, dtype=torch.float32, device="cpu")
        self.above = self.below = empty
        self.top, self.known, self.off = 0, 0, torch.zeros((), dtype=torch.float64, device="cpu")
        self.before: Tensor | None = None

    def __next__(self) -> Finished:
        y, levels, top, overlap = self.y, self.levels, self.top, self.overlap
        if top >= self.height:
            raise StopIteration
        bottom = top + self.wanted
        bottom = bottom if self.height - bottom >= overlap else self.height
        end, kept = min(self.height, bottom + overlap), bottom - top
        x, more = _cut(self.rows(self.known, end), levels)
        self.off = self.off + more
        given = x = torch.cat([self.below.expand(len(x), -1, -1, -1), x], 2)
        above = self.above.expand(len(x), -1, -1, -1)
        if self.consistent and self.tolerance is not None:
            x = _explained(above, x, y, self.degradation, top, self.tolerance)
            pixels = to_levels(x, levels)
        elif self.consistent:
            x, pixels = _meet(above, x, y, self.degradation, top, levels, self.before)
            self.before = None if levels is None else from_levels(pixels[:, :, kept:], levels)
        else:
            pixels = to_levels(x, levels)
        if self.tolerance is None:
            final = from_levels(pixels[:, :, :kept], levels).to(x.dtype)
            given = torch.cat([final, x[:, :, kept:]], 2)
        self.above = held(torch.cat([above, given[:, :, :kept]], 2)[:, :, -2 * overlap :])
        self.below = held(given[:, :, kept:])
        self.top, self.known = bottom, end
        exploded = self.off / (y.shape[1] * self.height * x.shape[3]) > MANY
        return Finished(x[:, :, :kept], pixels[:, :, :kept], exploded)


@uncast
def _explained(
    above: Tensor,
    x: Tensor,
    y: Tensor,
    degradation: Downscaling,
    top: int,
    tolerance: Tolerance,
) -> Tensor:
    """`explain` of the rows of x, from `top` on, with what the network gives above them."""
    start, end = top - above.shape[2], top + x.shape[2]
    seen = {row: sees(degradation, row) for row in _near(start, end, degradation)}
    whole = [row for row, rows in seen.items() if rows.start >= start and rows.stop <= end]
    lr_rows = slice(whole[0], whole[-1] + 1)
    operator = Strip(degradation, lr_rows, slice(start, end))
    explained = explain(torch.cat([above, x], 2), y[:, :, lr_rows], operator, tolerance)
    return explained[:, :, above.shape[2] :]


@uncast
def _meet(
    above: Tensor,
    x: Tensor,
    y: Tensor,
    degradation: Downscaling,
    top: int,
    levels: int | None,
    before: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Project and round the rows of x, from `top` on, below the final rows `above`.

    With those the first of them were rounded to `before`, which is None for the first strip, and
    where nothing is rounded.
    """
    end = top + x.shape[2]
    seen = {row: sees(degradation, row) for row in _near(top, end, degradation)}
    complete = [i for i, rows in seen.items() if rows.stop > top and rows.stop <= end]
    # A row of y that sees mostly what is final cannot be met by the little that is free. It has
    # been met with the strip above, and rounding to 8 bits keeps it; finer levels do not.
    least = 0.5 if levels is not None and levels <= EIGHT_BITS else 0.05
    free = [i for i in complete if _share(degradation, i, seen[i], top) >= least]
    start = min([top, *(seen[i].start for i in complete)])
    whole = torch.cat([above[:, :, above.shape[2] - (top - start) :], x], 2)
    region = torch.ones(1, 1, end - start, 1, dtype=torch.bool, device="cpu")
    region[:, :, : top - start] = False
    window = slice(start, end)
    if free:
        lr_rows = slice(free[0], free[-1] + 1)
        shadow = y[:, :, lr_rows].expand(len(x), -1, -1, -1)
        operator = Strip(degradation, lr_rows, window)
        within = _tolerance(levels)
        whole = project(whole, shadow, operator, region=region, tolerance=within, levels=levels)
        if before is not None and levels is not None:
            near = {row: seen[row] for row in complete}
            whole = mended(whole, before, y, degradation, near, start, top, levels)
    if not complete:
        return whole[:, :, top - start :], to_levels(whole[:, :, top - start :], levels)
    lr_rows = slice(complete[0], complete[-1] + 1)
    operator = Strip(degradation, lr_rows, window)
    pixels = _rounded(whole, y[:, :, lr_rows], operator, region, levels)
    return whole[:, :, top - start :], pixels[:, :, top - start :]


def _share(degradation: Downscaling, row: int, seen: slice, top: int) -> float:
    """How much of what a row of y sees lies from `top` on."""
    weights = degradation.rows.window(slice(row, row + 1), seen)[0].abs()
    return float(weights[max(0, top - seen.start) :].sum() / weights.sum())


def _near(top: int, end: int, degradation: Downscaling) -> range:
    """Rows of y that may see rows `top` … `end` − 1 of x."""
    scale, margin = degradation.hr_size[0] / degradation.lr_size[0], 4
    first = max(0, int(top / scale) - margin)
    return range(first, min(degradation.lr_size[0], math.ceil(end / scale) + margin))
