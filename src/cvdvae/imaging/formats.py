"""The formats of arrays, one row each: what reads a file also writes those that are made of it."""

from pathlib import Path
from typing import Protocol

import numpy as np

from .arrays import Array, Limits
from .geotiff import GeoTIFF
from .npy import Npy
from .tiff import TIFF
from .zarr_store import Zarr


class Format(Protocol):
    """A kind of file that holds arrays.

    Attributes:
        suffixes: How its names end.
    """

    suffixes: tuple[str, ...]

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        ...

    def read(self, path: Path, limits: Limits) -> Array:
        """Read a file.

        Raises:
            InputError: It is damaged, or holds what cannot be drawn.
        """
        ...

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write planes, ``(pages, channels, H, W)``, with what the file of `array` carried.

        `scale` is by how much they are larger than its own; below 1 they are smaller.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        ...


FORMATS: list[Format] = [GeoTIFF(), TIFF(), Npy(), Zarr()]
"""A new one is a class in its own file, and a row here. The first that knows a file reads it."""

SUFFIXES = tuple(sorted({suffix for one in FORMATS for suffix in one.suffixes}))


def format_of(path: Path) -> Format | None:
    """The format of an array's file; None of a picture, or of what is neither."""
    return next((one for one in FORMATS if one.knows(path)), None)


def suffix_of(path: Path) -> str:
    """How a name ends, `.ome.tif` in one.

    Example:
        >>> suffix_of(Path("cells.ome.tif")), suffix_of(Path("a.b.npy"))
        ('.ome.tif', '.npy')
    """
    parts = path.suffixes[-2:]
    ome = len(parts) == 2 and parts[0].lower() == ".ome"
    return "".join(parts if ome else parts[-1:])
