"""Photographs of any size, out of which squares are cut to train on."""

from pathlib import Path

from rich.progress import track
from torch import Tensor

from ..errors import InputError
from ..imaging.io import MAX_PIXELS, in_channels, read_photo, to_channels
from ..imaging.opening import opened


class Photographs:
    """Photographs, uint8, each ``(C, H, W)``, by their row.

    Args:
        paths: Image files.
        size: Side of the squares that they must hold.
        channels: 1 or 3.
        memory: Bytes up to which they stay in memory; the others are read whenever they are asked
            for, but for the last of them.

    Attributes:
        areas: Their pixels.

    Raises:
        InputError: A file that is not a readable image, or is smaller than a square.
    """

    def __init__(self, paths: list[Path], size: int, channels: int, memory: int) -> None:
        self.paths, self.channels = paths, channels
        self.areas, self.held, room = list[int](), list[Tensor](), memory
        for path in track(paths, "reading photographs", transient=True):
            width, height = _size_of(path)
            if min(width, height) < size:
                raise InputError(f"{path} has {width}×{height} pixels: no square of {size}×{size}")
            self.areas.append(width * height)
            room -= channels * width * height
            if room >= 0:
                self.held.append(self._read(path))
        self.last: tuple[int, Tensor] | None = None

    def _read(self, path: Path) -> Tensor:
        return to_channels(in_channels(read_photo(path).image, self.channels))

    def __getitem__(self, row: int) -> Tensor:
        if row < len(self.held):
            return self.held[row]
        if self.last is None or self.last[0] != row:  # squares that validate follow each other
            self.last = row, self._read(self.paths[row])
        return self.last[1]


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image, of which the header alone is read; not yet turned upright."""
    try:
        with opened(path) as file:
            if file.width * file.height <= MAX_PIXELS:
                return file.size
    except Exception:  # Pillow raises errors of many kinds, of which this makes a sentence:
        pass
    return read_photo(path).image.size
