"""Results that do not fit into memory: drawn band by band, straight into the files of a folder.

One sample after the other. A band is a row of tiles; its rows are finished strip by strip and go
into the sample's PNG. For the mean and the standard deviation, sums over samples lie on the disk.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files import write_atomically
from ..imaging.png import PNGWriter
from ..imaging.sheets import heat_map
from .drawing import Drawing
from .finish import Finished, finish_in_strips
from .round_trip import RoundTrip
from .sampler import SuperResolver
from .saving import saved_files
from .settings import Sampling
from .workers import in_order

IN_MEMORY = 40_000_000
"""Pixels of all samples together up to which a result is held in memory."""
FULL_HEAT = 64
"""Standard deviation, in levels, that the map of a large image shows as its brightest."""


@dataclass
class LargeResult:
    """What is known of a result whose pixels lie in files.

    Attributes:
        folder: Where they lie.
        files: Their names.
        round_trip: Of every sample.
        exploded: Which samples exploded somewhere.
    """

    folder: Path
    files: list[str]
    round_trip: list[RoundTrip]
    exploded: list[bool]


class Sums:
    """Sums over samples at every pixel, on the disk, row by row.

    Args:
        folder: Where there is room.
        height: Rows of the image.
        width: Its columns.
    """

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self.height, self.width, self.count = height, width, 0

    def add(self, top: int, pixels: np.ndarray, fresh: bool) -> None:
        """Add rows of a sample, uint8, ``(rows, width, 3)``; `fresh` begins the sums."""
        values = pixels.astype(np.float32)
        sums = np.stack([values, values**2])
        if not fresh:
            sums += self.read(top, len(pixels))
        for i, part in enumerate(sums):
            self.stream.seek(self._at(i, top))
            self.stream.write(part.tobytes())

    def read(self, top: int, rows: int) -> np.ndarray:
        """Sums of values and of squares, ``(2, rows, width, 3)``."""
        parts = []
        for i in range(2):
            self.stream.seek(self._at(i, top))
            data = self.stream.read(rows * self.width * 12)
            parts.append(np.frombuffer(data, np.float32).reshape(rows, self.width, 3))
        return np.stack(parts)

    def _at(self, which: int, top: int) -> int:
        return (which * self.height + top) * self.width * 12

    def close(self) -> None:
        """Give the room back."""
        self.stream.close()


def draw_to_folder(
    model: SuperResolver,
    y: Tensor,
    sampling: Sampling,
    folder: Path,
    report: Callable[[LargeResult], dict[str, Any]],
    on_pixels: Callable[[int], None] = lambda pixels: None,
) -> LargeResult:
    """Draw an image of any size into a folder, as `SuperResolution.save` would lay it out.

    Args:
        model: The model.
        y: The low-resolution image, ``(3, h, w)`` in [0, 1].
        sampling: How to draw, without steps of steering.
        folder: Where the samples, `mean.png`, `std.png` and `result.json` go.
        report: Gives what `result.json` holds.
        on_pixels: Called with the number of pixels after every strip.

    Raises:
        InputError: Steps that a large image cannot take, or an image that the model cannot.
        OutputError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    y = model.check(y)
    names = [f"sample_{i:02d}.png" for i in range(sampling.samples)]
    result = LargeResult(folder, [*names, "mean.png", "std.png"], [], [])
    with saved_files(folder, result.files, lambda: report(result)), ExitStack() as stack:
        height, width = model.degradation_of((y.shape[2], y.shape[3])).hr_size
        sums = Sums(folder, height, width)
        stack.callback(sums.close)
        for i, name in enumerate(names):
            draw = partial(_draw_sample, model, y, sampling, i, sums, result, on_pixels)
            write_atomically(folder / name, draw)
        write_atomically(folder / "mean.png", partial(_write, sums, sampling.samples, _mean))
        write_atomically(folder / "std.png", partial(_write, sums, sampling.samples, _heat))
    return result


def strips_of(
    model: SuperResolver, y: Tensor, sampling: Sampling, index: int
) -> Iterator[Finished]:
    """Strips of one sample, from the top."""
    degradation = model.degradation_of((y.shape[2], y.shape[3]))
    bands = Bands(model, y, sampling, index)
    return finish_in_strips(bands.rows, y, degradation, sampling.consistent)


class Bands:
    """Rows of what the network gives, band by band, with no more of them in memory than asked for.

    Args:
        model: The model.
        y: The low-resolution image, ``(1, 3, h, w)``.
        sampling: How to draw.
        index: Which sample.
    """

    def __init__(self, model: SuperResolver, y: Tensor, sampling: Sampling, index: int) -> None:
        drawing = Drawing(model, y, sampling)
        (_, self.width), indices = drawing.degradation.hr_size, range(index, index + 1)
        work = partial(drawing.tile, indices)
        self.drawn = zip(drawing.tiles, in_order(work, drawing.tiles, drawing.workers), strict=True)
        self.top, self.held = 0, torch.empty(1, 3, 0, self.width)

    def rows(self, first: int, end: int) -> Tensor:
        """Rows `first` … `end` − 1, ``(1, 3, rows, W)``; no earlier ones are asked for again."""
        self.held = self.held[:, :, max(0, first - self.top) :]
        self.top = max(self.top, first)
        while self.top + self.held.shape[2] < end:
            self.held = torch.cat([self.held, self._band()], 2)
        return self.held[:, :, first - self.top : end - self.top]

    def _band(self) -> Tensor:
        """The next row of tiles."""
        parts, width = list[Tensor](), 0
        while width < self.width:
            tile, drawn = next(self.drawn)
            parts.append(drawn.float().cpu())
            width += tile.core.width
        return torch.cat(parts, 3)


def _draw_sample(
    model: SuperResolver,
    y: Tensor,
    sampling: Sampling,
    index: int,
    sums: Sums,
    result: LargeResult,
    on_pixels: Callable[[int], None],
    path: Path,
) -> None:
    """Write one sample, check it, and add it to the sums."""
    degradation = model.degradation_of((y.shape[2], y.shape[3]))
    trip, top, exploded = RoundTrip(y, degradation), 0, False
    with PNGWriter(path, sums.width, sums.height) as writer:
        for strip in strips_of(model, y, sampling, index):
            pixels = strip.pixels[0].permute(1, 2, 0).contiguous().numpy()
            writer.write(pixels)
            sums.add(top, pixels, fresh=index == 0)
            trip.add(strip.pixels)
            top, exploded = top + len(pixels), exploded or bool(strip.exploded.any())
            on_pixels(pixels.shape[0] * pixels.shape[1])
    result.round_trip.append(trip)
    result.exploded.append(exploded)


def _write(
    sums: Sums, samples: int, show: Callable[[np.ndarray, int], np.ndarray], path: Path
) -> None:
    """Write a picture of the sums, strip by strip."""
    rows = max(1, 2**20 // sums.width)
    with PNGWriter(path, sums.width, sums.height) as writer:
        for top in range(0, sums.height, rows):
            writer.write(show(sums.read(top, min(rows, sums.height - top)), samples))


def _mean(sums: np.ndarray, samples: int) -> np.ndarray:
    mean: np.ndarray = np.round(sums[0] / samples).astype(np.uint8)
    return mean


def _heat(sums: np.ndarray, samples: int) -> np.ndarray:
    variance = np.maximum(sums[1] - sums[0] ** 2 / samples, 0) / max(1, samples - 1)
    std = torch.from_numpy(np.sqrt(variance.mean(2)) / FULL_HEAT)
    return np.asarray(heat_map(std))
