"""What a visitor has painted, as the browser tells it."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...errors import InputError
from ...restoration.edits import MAX_REGION_SIDE

MAX_STROKES, MAX_POINTS = 500, 20_000
MAX_WORK = 2**34
"""As `_work` counts it: a few seconds, or 3,000 points of a brush as wide as half the picture."""

PART = "give a part of it"
SMALLER = f"choose a smaller factor, or {PART}"
"""What to do with an image that is too large to be painted on."""

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
    canvas = Image.new("L", (size[1], size[0]))
    pen, left, work = ImageDraw.Draw(canvas), MAX_POINTS, 0.0
    for stroke in strokes:
        radius, points = _stroke(stroke, left)
        left -= len(points)
        work += _work(radius, points, size)
        if work > MAX_WORK:
            raise InputError(TOO_WIDE)
        for ends in pairwise(points):  # one by one, as others wait while Pillow draws
            pen.line(ends, fill=255, width=max(1, round(2 * radius)))
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return torch.from_numpy(np.array(canvas) > 0)


def _stroke(stroke: Any, most: int) -> tuple[float, list[tuple[float, float]]]:
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


def _work(radius: float, points: list[tuple[float, float]], size: tuple[int, int]) -> float:
    """About how many pixels are painted: a row costs about as much as 500 of them."""
    x, y = np.array([*points[:1], *points]).reshape(-1, 2).T
    rows = np.minimum(np.abs(np.diff(y)) + 2 * radius, size[0])
    columns = np.minimum(np.abs(np.diff(x)) + 2 * radius, size[1])
    return float((rows * (columns + 500)).sum())
