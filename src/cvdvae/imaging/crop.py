"""Squares of photographs."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import InputError


class Square(NamedTuple):
    """A square of a photo, in pixels.

    Attributes:
        left: Columns left of it.
        top: Rows above it.
        side: Its side.
    """

    left: int
    top: int
    side: int

    def cut(self, photo: Image.Image) -> Image.Image:
        """The part of the photo in it."""
        return photo.crop((self.left, self.top, self.left + self.side, self.top + self.side))


def size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size, of the same shape, whose longer side is `side`."""
    zoom = side / max(size)
    width, height = (max(1, round(zoom * one)) for one in size)
    return width, height


def square_inside(photo: Image.Image, x: float, y: float, side: float) -> Square:
    """The square of this centre and side, no larger than the photo and moved inside it."""
    cut = max(1, min(round(side), photo.width, photo.height))
    left = round(min(max(x - cut / 2, 0), photo.width - cut))
    top = round(min(max(y - cut / 2, 0), photo.height - cut))
    return Square(left, top, cut)


def random_square(photo: Image.Image, side: int, seed: int) -> Square:
    """A square of this side somewhere in the photo.

    Raises:
        InputError: The photo is smaller than `side`.
    """
    if side > min(photo.size):
        raise InputError(
            f"an image of {photo.width}×{photo.height} pixels has no square of {side}×{side}: "
            f"only larger ones are measured"
        )
    rng = np.random.default_rng(seed)
    left, top = (int(rng.integers(length - side + 1)) for length in photo.size)
    return Square(left, top, side)


def centre_square(image: Image.Image, side: int = 0) -> Image.Image:
    """The centred square of `side` pixels; 0 takes the largest.

    Raises:
        InputError: The image is smaller than `side`.
    """
    width, height = image.size
    side = side or min(width, height)
    if side > min(width, height):
        raise InputError(f"an image of {width}×{height} pixels has no square of {side}×{side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
