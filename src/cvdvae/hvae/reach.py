"""What of the states at every stride matters for a part of an image: as far as blocks can see.

Explained in docs/explanation/prior.md.
"""

import math

from torch import Tensor

from ..gaussian.noise import Inside

REACH = 3 / 4
"""Share of what blocks can see that matters: with it `benchmarks/halos.py` finds no value of a tile
further than a tenth of a level of 255 from that of the whole."""


def around(inside: Inside, reach: float, stride: int, step: int, size: tuple[int, int]) -> Inside:
    """Rows and columns of a state, so many pixels around a part of the images.

    Args:
        inside: Rows and columns of the images, in pixels.
        reach: How many pixels around them.
        stride: Of the state.
        step: A multiple of the stride: slices begin and end at multiples of it, or with the images.
        size: Height and width of the images.

    Returns:
        Slices of the ``H/r`` rows and ``W/r`` columns.

    Example:
        >>> around((slice(32, 40), slice(0, 64)), 9, stride=4, step=8, size=(64, 64))
        (slice(4, 14, None), slice(0, 16, None))
    """
    rows, columns = (
        slice(
            max(0, math.floor((wanted.start - reach) / step) * step) // stride,
            min(side, math.ceil((wanted.stop + reach) / step) * step) // stride,
        )
        for side, wanted in zip(size, inside, strict=True)
    )
    return rows, columns


def scaled(inside: Inside, factor: int) -> Inside:
    """The same rows and columns at a stride so many times finer."""
    rows, columns = (slice(factor * s.start, factor * s.stop) for s in inside)
    return rows, columns


def union(one: Inside, other: Inside) -> Inside:
    """The smallest part that holds both."""
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def part_of(h: Tensor, had: Inside, wanted: Inside, factor: int = 1) -> Tensor:
    """A part of a state.

    Args:
        h: The state, ``(N, C, rows, columns)``.
        had: Which rows and columns it has.
        wanted: Those that are taken, all of them there; given at a stride ``factor`` times finer.
        factor: Divides where they begin and end.
    """
    rows, columns = (
        slice(w.start // factor - h.start, w.stop // factor - h.start)
        for w, h in zip(wanted, had, strict=True)
    )
    return h[:, :, rows, columns]
