"""What Pillow says of a picture whose pixels are not read yet."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from .arrays import check_is_file

T = TypeVar("T")


def opened(path: Path) -> Image.Image:
    """A picture whose pixels are not read yet.

    Raises:
        InputError: It is no file.
        Exception: Of many kinds, as Pillow's: it is no picture.
    """
    check_is_file(path)
    return Image.open(path)


def asked(path: Path, of: Callable[[Image.Image], T]) -> T | None:
    """What a picture says of itself; None where it cannot be opened, which its reader explains."""
    try:
        with opened(path) as file:
            return of(file)
    except Exception:  # Pillow raises errors of many kinds on what is none
        return None


def pages_of(file: Image.Image) -> int:
    """How many pictures an open file holds."""
    return int(getattr(file, "n_frames", 1))
