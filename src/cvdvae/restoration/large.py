"""Results that do not fit into memory: drawn band by band, straight into the files of a folder.

Some samples at a time. A band is a row of tiles; its rows are finished strip by strip and go into
the sample's PNG, but for a sample of which only a region varies: it is joined as a whole, and has
`MAX_REGION_SIDE` at most. For the mean and the standard deviation, sums over samples lie on the
disk.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from operator import call
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import atomically, write_atomically
from ..gaussian.noise import Window
from ..imaging.carried import Extras
from ..imaging.io import save_png
from ..imaging.png import check_channels, read_rows
from ..imaging.sheets import TILE, labelled_sheet
from ..imaging.values import decibels_of
from .answers import answering
from .checks import checked_truth
from .drawing import Drawing
from .finish import Finished, finish_in_strips
from .recipe import Recipe
from .regions import Region, most_uncertain
from .result import DISCLAIMER, Doubt, Truth, report_of
from .round_trip import RoundTrip, misfit
from .sampler import SuperResolver
from .saving import saved_files
from .settings import Sampling
from .sheet import REGIONS, SHOWN, Part, lr_part, region_row, seen_at_low_resolution
from .sums import Dressed, Sums
from .workers import OnDone, in_order, untold, workers_on

IN_MEMORY = 40_000_000
"""Pixels of all samples together up to which a result is held in memory."""
BLOCK = 8
"""Side of the squares over which the standard deviation is averaged to find regions."""


@dataclass
class LargeResult:
    """What is known of a result whose pixels lie in files; it tells what `SuperResolution` does.

    Attributes:
        folder: Where they lie.
        recipe: What brings it back.
        truth: The true image where it is known, float in [0, 1], ``(C, H, W)``.
        extras: What the input's file carried beside its colours.
        round_trips: Of every sample.
        exploded: Which samples exploded somewhere.
        errors: Sums of squared errors against the truth: of bicubic, the samples, and their mean.
        doubts: Why the input may be none that the model knows; None where that was not examined.
        seconds: Time it took.
    """

    folder: Path
    recipe: Recipe
    truth: Tensor | None = None
    extras: Extras = field(default_factory=Extras)
    round_trips: list[RoundTrip] = field(default_factory=list)
    exploded: list[bool] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    doubts: list[Doubt] | None = None
    seconds: float = 0.0

    @property
    def samples(self) -> list[str]:
        """Names of the samples."""
        return [f"sample_{i:02d}.png" for i in range(self.recipe.sampling.samples)]

    @property
    def files(self) -> list[str]:
        """Names of all pictures, and of the input's file where `result.json` is not to hold it."""
        inputs = [name for name in (self.recipe.beside,) if name]
        return [*self.samples, "mean.png", "std.png", "grid.png", *inputs]

    @property
    def lr_psnr(self) -> list[float]:
        """LR-PSNR of every sample, in dB."""
        return [trip.lr_psnr for trip in self.round_trips]

    @property
    def largest_lr_error(self) -> list[float]:
        """Largest ``|Hx − y|`` of every sample, in 8-bit levels."""
        return [trip.largest for trip in self.round_trips]

    @property
    def missed_share(self) -> list[float]:
        """Share of y's values that shrinking a sample to 8 bits does not give back."""
        return [trip.missed / max(1, trip.values) for trip in self.round_trips]

    @property
    def round_trip_exact(self) -> list[bool]:
        """Whether shrinking a sample to 8 bits gives y's values back, every pixel."""
        return [trip.exact for trip in self.round_trips]

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in y, in units of [0, 1]."""
        return self.round_trips[0].sigma if self.round_trips else 0.0

    @property
    def misfit(self) -> list[float] | None:
        """As in `SuperResolution`."""
        every = [misfit([trip]) for trip in self.round_trips]
        return [one for one in every if one is not None] or None

    def against_truth(self) -> Truth | None:
        """PSNR of bicubic, of the samples and of their mean, where the truth is known."""
        if self.truth is None:
            return None
        psnr = {
            what: decibels_of(squares, self.truth.numel()) for what, squares in self.errors.items()
        }
        return Truth(psnr["bicubic"], [psnr[name] for name in self.samples], psnr["mean.png"])

    def report(self) -> dict[str, Any]:
        """What `result.json` holds; an infinite LR-PSNR is written as null."""
        about = {"orientation": self.extras.orientation}
        return self.recipe.to_dict() | about | report_of(self, self.noise)

    def compare(self, what: str, top: int, pixels: np.ndarray) -> None:
        """Add up the error of some rows, ``(rows, width, C)`` in levels, where there is a truth."""
        if self.truth is not None:
            true = self.truth[:, top : top + len(pixels)].permute(1, 2, 0).double().numpy()
            squares = float(((pixels / 255.0 - true) ** 2).sum())
            self.errors[what] = self.errors.get(what, 0.0) + squares


def draw_to_folder(
    model: SuperResolver,
    y: Tensor,
    sampling: Sampling,
    folder: Path,
    truth: Tensor | None = None,
    extras: Extras = Extras(),
    doubts: list[Doubt] | None = None,
    on_pixels: OnDone = untold,
) -> LargeResult:
    """Draw an image of any size into a folder, as `SuperResolution.save` would lay it out.

    Args:
        model: The model.
        y: The low-resolution image, ``(C, h, w)`` in [0, 1].
        sampling: How to draw.
        folder: Where the pictures and `result.json` go.
        truth: The true image, ``(C, H, W)`` in [0, 1], for the report.
        extras: What the input's file carried beside its colours.
        doubts: For the report.
        on_pixels: As for `Drawing`.

    Raises:
        InputError: An image or steps of steering that the model does not take, no truth, or a
            model of as many channels as no PNG holds.
        OutputError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    started = time.perf_counter()
    check_channels(model.channels)
    y = model.check(y)
    height, width = (model.scale * side for side in y.shape[2:])
    truth = checked_truth(truth, (model.channels, height, width))
    drawing = Drawing(model, y, sampling, on_pixels=on_pixels)
    recipe = Recipe(model.name, y[0], sampling, model.scale, model.weights, model.dtype_name)
    result = LargeResult(folder, recipe, truth, extras, doubts=doubts)
    with saved_files(folder, result.files, result.report), ExitStack() as stack:
        sums = Sums(folder, height, width, model.channels)
        stack.callback(sums.close)
        _draw_samples(drawing, sums, result)
        _keep_answers(result, sums)
        recipe.save_beside(folder, extras)
        _write_statistics(model, sums, result)
        _compare_rest(result, sums)
        result.seconds = time.perf_counter() - started
    return result


def _write_statistics(model: SuperResolver, sums: Sums, result: LargeResult) -> None:
    """Write the mean, the standard deviation and the contact sheet, side by side."""
    folder = result.folder
    work: list[Callable[[], None]] = [
        lambda: write_atomically(folder / "mean.png", partial(_write_mean, model, sums, result)),
        lambda: write_atomically(folder / "std.png", sums.write_std),
        lambda: save_png(folder / "grid.png", _contact_sheet(result, sums)),
    ]
    for _ in in_order(call, work, workers_on(torch.device("cpu"))):
        pass


def _keep_answers(result: LargeResult, sums: Sums) -> None:
    """Leave out what exploded, unless nothing would be left."""
    kept = answering(result.exploded)
    for i in sorted(set(range(len(result.exploded))) - set(kept)):
        rows = read_rows(result.folder / result.samples[i])
        sums.leave_out(part[..., : sums.channels] for part in rows)
    sums.ddof = result.recipe.sampling.ddof(kept)


def _compare_rest(result: LargeResult, sums: Sums) -> None:
    """The errors of the mean, and of bicubic interpolation."""
    if result.truth is None:
        return
    rows = max(1, 2**20 // sums.width)
    for top in range(0, sums.height, rows):
        part = Window(top, 0, min(rows, sums.height - top), sums.width)
        result.compare("mean.png", top, sums.mean(top, part.height))
        _, bicubic = lr_part(result.recipe.y, result.recipe.scale or 1, part)
        result.compare("bicubic", top, 255 * bicubic.permute(1, 2, 0).numpy())


class _Sample:
    """A sample that is being written, from the top downwards, checked, and added to the sums."""

    def __init__(self, drawing: Drawing, name: str, sums: Sums, result: LargeResult) -> None:
        self.name, self.sums, self.result = name, sums, result
        sigma = 0.0 if drawing.tolerance is None else drawing.tolerance.sigma
        self.trip = RoundTrip(drawing.y, drawing.degradation, sigma=sigma)
        self.top, self.exploded, self.stack = 0, False, ExitStack()

    def __enter__(self) -> "_Sample":
        with ExitStack() as stack:
            path = stack.enter_context(atomically(self.result.folder / self.name))
            size, extras = (self.sums.width, self.sums.height), self.result.extras
            self.writer = stack.enter_context(Dressed(path, size, self.sums.channels, extras))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    def add(self, strip: Finished) -> None:
        """Its next rows; with the last ones the file is whole."""
        pixels = strip.pixels[0].permute(1, 2, 0).contiguous().numpy()
        self.writer.write(pixels)
        self.sums.add(self.top, pixels)
        self.trip.add(strip.pixels)
        self.result.compare(self.name, self.top, pixels)
        self.top += len(pixels)
        self.exploded |= bool(strip.exploded.any())
        if self.top == self.sums.height:
            self.stack.close()
            self.sums.next_sample()
            self.result.round_trips.append(self.trip)
            self.result.exploded.append(self.exploded)


def _draw_samples(drawing: Drawing, sums: Sums, result: LargeResult) -> None:
    """Write all samples; they end in their order."""
    begun = dict[int, _Sample]()
    with ExitStack() as stack, closing(drawing.all_strips()) as strips:
        for index, strip in strips:
            if index not in begun:
                sample = _Sample(drawing, result.samples[index], sums, result)
                begun[index] = stack.enter_context(sample)
            begun[index].add(strip)


def _write_mean(model: SuperResolver, sums: Sums, result: LargeResult, path: Path) -> None:
    """Write the mean, rounded as a sample is."""
    y, sampling = result.recipe.y[None], result.recipe.sampling
    degradation = model.degradation_of((y.shape[2], y.shape[3]), sampling.shrunk_by)
    projected = sampling.consistent and model.tolerance(y) is None and sums.count > 1

    def rows(first: int, end: int) -> Tensor:
        mean = torch.from_numpy(sums.mean(first, end - first) / 255)
        return mean.permute(2, 0, 1)[None]

    with Dressed(path, (sums.width, sums.height), sums.channels, result.extras) as writer:
        for strip in finish_in_strips(rows, y, degradation, projected):
            writer.write(strip.pixels[0].permute(1, 2, 0).contiguous().numpy())


def _contact_sheet(result: LargeResult, sums: Sums) -> Image.Image:
    """The regions where the samples differ most, cut out of the files."""
    coarse = sums.coarse_std(BLOCK) / 255
    regions = []
    for found in most_uncertain(coarse, TILE // BLOCK, REGIONS):
        top, left, height, width = (BLOCK * length for length in found.window)
        inside_image = (min(height, sums.height - top), min(width, sums.width - left))
        regions.append(Region(Window(top, left, *inside_image), found.std))
    windows = [region.window for region in regions]
    files = (result.folder / name for name in result.samples[:SHOWN])
    shown = [_cut(file, windows, sums.channels) for file in files]
    y, scale = result.recipe.y, result.recipe.scale or 1
    rows = []
    for i, region in enumerate(regions):
        inside = region.window.slices
        std = torch.from_numpy(sums.std(region.window.top, region.window.height))[:, inside[1]]
        truth = None if result.truth is None else result.truth[:, *inside]
        pixels = torch.stack([parts[i] for parts in shown])
        part = Part(seen_at_low_resolution(y, scale, region.window), pixels, std / 255, truth)
        rows.append(region_row(part, region, float(coarse.max())))
    return labelled_sheet(rows, DISCLAIMER)


def _cut(path: Path, windows: list[Window], channels: int) -> list[Tensor]:
    """Windows of a sample without its alpha, float in [0, 1]."""
    found: list[list[np.ndarray]] = [[] for _ in windows]
    top = 0
    for rows in read_rows(path):
        for window, parts in zip(windows, found, strict=True):
            first, end = (max(0, row - top) for row in (window.top, window.top + window.height))
            parts.append(rows[first:end, window.slices[1], :channels].copy())
        top += len(rows)
    whole = (torch.from_numpy(np.concatenate(parts)) for parts in found)
    return [part.permute(2, 0, 1).float() / 255 for part in whole]
