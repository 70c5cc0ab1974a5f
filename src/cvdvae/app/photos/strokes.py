"""What a visitor has painted, as the browser tells it."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...restoration.edits import MAX_REGION_SIDE

MAX_STROKES, MAX_POINTS = 500, 20_000
MAX_WORK = 2**34
"""As `_work` counts it: a few seconds, or 3,000 points of a brush as wide as half the picture."""

PART = "give a part of it"
SMALLER = f"choose a smaller factor, or {PART}"
"""What to do with an image that is too large to be painted on."""

Point = tuple[float, float]
TOUCHED = 0.5
"""How far beyond the brush the centre of a pixel may be that it touches."""

DAMAGED = "what was painted cannot be read: paint it again"
TOO_MUCH = "more was painted than is taken at once: clear it, and paint with a larger brush"

TOO_WIDE = "more was painted than is taken at once: clear it, and paint less"


def region_of(strokes: Any, size: tuple[int, int], advice: str = SMALLER) -> Tensor:
    """The pixels that strokes cover, ``(H, W)`` bool.

    Args:
        strokes: Dictionaries with `size`, half the width of the brush, and `points`, pairs of x and
            y, all in pixels of the large image.
        size: Its height and width.
        advice: What to do where it is too large.

    Raises:
        InputError: They are no strokes, too many, or the image is too large to be painted on.
    """
    if max(size) > MAX_REGION_SIDE:
        raise InputError(
            f"only pictures of up to {MAX_REGION_SIDE} pixels a side can be painted on, and this "
            f"has {size[1]}×{size[0]}: {advice}"
        )
    if not isinstance(strokes, list):
        raise InputError(DAMAGED)
    if len(strokes) > MAX_STROKES:
        raise InputError(TOO_MUCH)
    # How many strokes begin at each pixel of a row less those that have ended before it.
    steps = np.zeros((size[0], size[1] + 1), np.int32)
    left, work = MAX_POINTS, 0.0
    for stroke in strokes:
        radius, points = _stroke(stroke, left)
        left -= len(points)
        work += _work(radius, points, size)
        if work > MAX_WORK:
            raise InputError(TOO_WIDE)
        for start, end in pairwise([*points[:1], *points]):
            _paint(steps, start, end, radius + TOUCHED)
    return torch.from_numpy(np.cumsum(steps, 1, out=steps)[:, :-1] > 0)


def _paint(steps: np.ndarray, start: Point, end: Point, radius: float) -> None:
    """Count the pixels in whose centres a brush has been that went straight from one point to
    another, row by row: as what it covers is convex, they lie side by side."""
    height, width = steps.shape[0], steps.shape[1] - 1
    low, high = sorted((start[1], end[1]))
    first, last = max(0, math.ceil(low - radius - 0.5)), min(height - 1, math.floor(high + radius))
    rows = np.arange(first, last + 1)
    crossed = [x for point in (start, end) for x in _in_circle(rows + 0.5, point, radius)]
    if (length := math.dist(start, end)) > 0:
        over = radius * (end[1] - start[1]) / length, radius * (start[0] - end[0]) / length
        a, b, c, d = ((x + s * over[0], y + s * over[1]) for x, y in (start, end) for s in (1, -1))
        crossed += [_on_edge(rows + 0.5, *edge) for edge in ((a, b), (b, d), (d, c), (c, a))]
    left, right = np.fmin.reduce(crossed), np.fmax.reduce(crossed)
    rows, left, right = (one[~np.isnan(left)] for one in (rows, left, right))
    begin = np.ceil(left - 0.5).clip(0, width).astype(int)
    after = (np.floor(right - 0.5) + 1).clip(0, width).astype(int)
    some = begin < after
    steps[rows[some], begin[some]] += 1
    steps[rows[some], after[some]] -= 1


def _in_circle(heights: np.ndarray, centre: Point, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Where lines at some heights enter and leave a circle; NaN where they miss it."""
    with np.errstate(invalid="ignore"):
        half = np.sqrt(radius**2 - (heights - centre[1]) ** 2)
    return centre[0] - half, centre[0] + half


def _on_edge(heights: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Where they cross an edge; NaN where they do not, or lie on it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (heights - start[1]) / (end[1] - start[1])
    return np.where((share >= 0) & (share <= 1), start[0] + share * (end[0] - start[0]), np.nan)


def _stroke(stroke: Any, most: int) -> tuple[float, list[Point]]:
    try:
        radius = float(stroke["size"])
        points = [(float(x), float(y)) for x, y in stroke["points"][: most + 1]]
    except (TypeError, ValueError, KeyError, OverflowError):
        raise InputError(DAMAGED) from None
    numbers = [radius, *(value for point in points for value in point)]
    if len(points) > most:
        raise InputError(TOO_MUCH)
    if not all(math.isfinite(v) and abs(v) < 1e5 for v in numbers):
        raise InputError(DAMAGED)
    return min(max(radius, 0.5), MAX_REGION_SIDE / 2), points


def _work(radius: float, points: list[Point], size: tuple[int, int]) -> float:
    """About how many pixels are painted: a row costs about as much as 500 of them."""
    x, y = np.array([*points[:1], *points]).reshape(-1, 2).T
    rows = np.minimum(np.abs(np.diff(y)) + 2 * radius, size[0])
    columns = np.minimum(np.abs(np.diff(x)) + 2 * radius, size[1])
    return float((rows * (columns + 500)).sum())
