"""A square frame in a photo, as the page's sliders and programs name it."""

import math
from dataclasses import dataclass

from PIL import Image

from ...errors import InputError
from ...imaging.crop import Square, square_inside


@dataclass(frozen=True)
class Framing:
    """A square frame in shares of the photo: centre in those of its sides, side in those of the
    shorter one. With a side of 0 the face is to be found.
    """

    x: float = 0.5
    y: float = 0.5
    side: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.x, self.y, self.side):
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise InputError(f"a frame's centre and size must be 0 to 100 %, not {value:.0%}")

    @classmethod
    def of(cls, square: Square, photo: Image.Image) -> "Framing":
        """The frame that gives this square."""
        return cls(
            (square.left + square.side / 2) / photo.width,
            (square.top + square.side / 2) / photo.height,
            square.side / min(photo.size),
        )

    def rounded(self) -> "Framing":
        """As the page's sliders show it."""
        return Framing(round(self.x, 3), round(self.y, 3), round(self.side, 3))

    def square(self, photo: Image.Image) -> Square:
        """The frame in the pixels of a photo."""
        side = self.side * min(photo.size)
        return square_inside(photo, self.x * photo.width, self.y * photo.height, side)
