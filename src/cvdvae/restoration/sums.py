"""Sums over samples at every pixel of an image of any size, on the disk."""

import errno
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..imaging.carried import Extras
from ..imaging.png import PNGWriter, check_channels
from ..imaging.sheets import heat_map

FULL_HEAT = 64
"""Standard deviation, in levels, that the map of a large image shows as its brightest."""
PIXELS = 2**20
"""Pixels that are worked on at once."""


class Sums:
    """Sums of values and of squares, row by row: whole numbers, exact up to 66,000 samples.

    Threads may read side by side.

    Args:
        folder: Where there is room.
        height: Rows of the image.
        width: Its columns.
        channels: Its channels, 1 or 3.
        ddof: What is taken from the number of samples to estimate their variance.
    """

    def __init__(
        self, folder: Path, height: int, width: int, channels: int = 3, ddof: float = 1
    ) -> None:
        self.lock = threading.Lock()
        self.stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self.height, self.width, self.channels, self.count = height, width, channels, 0
        self.ddof, self.begun = ddof, 0  # rows that some sample has

    def add(self, top: int, pixels: np.ndarray) -> None:
        """Add rows of a sample, uint8, ``(rows, width, C)``: the same ones of every sample, of some
        samples in turn or of one after the other."""
        sums = _sums_of(pixels)
        if top < self.begun:
            sums += self.read(top, len(pixels))
        self.begun = max(self.begun, top + len(pixels))
        self._write(top, sums)

    def next_sample(self) -> None:
        """All rows of a sample are in."""
        self.count += 1

    def leave_out(self, sample: Iterable[np.ndarray]) -> None:
        """Take back a whole sample that is in: its rows from the top, uint8, ``(n, width, C)``."""
        top = 0
        for pixels in sample:
            self._write(top, self.read(top, len(pixels)) - _sums_of(pixels))
            top += len(pixels)
        self.count -= 1

    def read(self, top: int, rows: int) -> np.ndarray:
        """Sums of values and of squares, uint32 ``(2, rows, width, C)``."""
        sums = np.empty((2, rows, self.width, self.channels), np.uint32)
        with self.lock:
            for i, part in enumerate(sums):
                self.stream.seek(self._at(i, top))
                if self.stream.readinto(part.data) != part.nbytes:
                    raise OSError(errno.EIO, "the sums end before their rows do")
        return sums

    def _write(self, top: int, sums: np.ndarray) -> None:
        with self.lock:
            for i, part in enumerate(sums):
                self.stream.seek(self._at(i, top))
                self.stream.write(part.data)

    def _at(self, which: int, top: int) -> int:
        return (which * self.height + top) * self.width * self.channels * 4

    def close(self) -> None:
        """Give the room back."""
        self.stream.close()

    def mean(self, top: int, rows: int) -> np.ndarray:
        """Mean of the samples in levels, ``(rows, width, C)``."""
        mean: np.ndarray = self.read(top, rows)[0] / self.count
        return mean.astype(np.float32)

    def std(self, top: int, rows: int) -> np.ndarray:
        """Standard deviation in levels, root mean square over colours, ``(rows, width)``."""
        sums = self.read(top, rows).astype(np.float64)
        squares = np.maximum(sums[1] - sums[0] ** 2 / self.count, 0)
        variance = squares / max(1, self.count - self.ddof)
        std: np.ndarray = np.sqrt(variance.mean(2))
        return std

    def coarse_std(self, block: int) -> Tensor:
        """Mean of `std` over squares of `block` pixels, those at the ends cut, ``(h, w)``; over all
        rows or columns where they are fewer."""
        high, wide = min(block, self.height), min(block, self.width)
        width = self.width // wide
        lines = [
            self.std(top, high)[:, : width * wide].reshape(high, width, wide).mean((0, 2))
            for top in range(0, self.height - high + 1, high)
        ]
        return torch.from_numpy(np.stack(lines))

    def write_std(self, path: Path) -> None:
        """The standard deviation as a picture, `FULL_HEAT` its brightest."""
        rows = max(1, PIXELS // self.width)
        with PNGWriter(path, self.width, self.height) as writer:
            for top in range(0, self.height, rows):
                std = self.std(top, min(rows, self.height - top))
                writer.write(np.asarray(heat_map(torch.from_numpy(std / FULL_HEAT))))


def _sums_of(pixels: np.ndarray) -> np.ndarray:
    sums = np.empty((2, *pixels.shape), np.uint32)
    sums[0] = pixels
    np.square(sums[0], out=sums[1])
    return sums


class Dressed(PNGWriter):
    """A PNG whose alpha, profile and EXIF are those of the file that it was made from.

    Args:
        path: The file.
        size: Width and height.
        channels: 1 or 3.
        extras: What it carries beside the colours.

    Raises:
        InputError: Another number of channels.
    """

    def __init__(self, path: Path, size: tuple[int, int], channels: int, extras: Extras) -> None:
        check_channels(channels)
        self.extras, self.size, self.top = extras, size, 0
        channels += extras.alpha is not None
        super().__init__(path, *size, channels, extras.icc_profile, extras.exif)

    def write(self, rows: np.ndarray) -> None:
        """Add rows of colours, uint8, ``(n, width, C)``."""
        bottom = self.top + len(rows)
        alpha = self.extras.alpha_of(self.size, slice(self.top, bottom))
        if alpha is not None:
            rows = np.concatenate([rows, np.asarray(alpha)[:, :, None]], 2)
        self.top = bottom
        super().write(rows)
