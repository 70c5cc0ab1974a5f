"""Samples of a file of arrays, drawn plane by plane into files of the same kind.

Samples are held in a scratch file on the disk in the file's own kind of numbers, then written one
after the other. Mean, standard deviation and interval are those of what is written.
"""

import math
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...degradations.downscaling import Downscaling
from ...degradations.resize import BandedMatrix
from ...degradations.strip import used_by
from ...errors import InputError, OutputError
from ...files import write_atomically, write_folder_atomically
from ...imaging.io import save_png
from ...imaging.values import in_kind
from ..drawing import Drawing
from ..large import IN_MEMORY
from ..result import Doubt
from ..round_trip import RoundTrip
from ..sampler import SuperResolver
from ..saving import saved_files
from ..settings import Sampling
from ..workers import OnDone, untold
from .planes import Stack, avoid
from .result import LOWER, STATISTICS, UPPER, StackResult
from .sheet import stack_sheet

AT_ONCE = 2**22
"""Values of all samples together of which statistics are taken at once."""
WHOLE_IN_32 = 2**24
"""Up to which float32 holds every whole number."""


def draw_stack(
    model: SuperResolver,
    stack: Stack,
    sampling: Sampling,
    folder: Path,
    doubts: list[Doubt] | None = None,
    on_pixels: OnDone = untold,
) -> StackResult:
    """Draw every plane of a file, and write samples, mean, std and interval as files of its kind.

    Sample i of a plane depends on that plane, the seed and i alone: a page alone gives the same.

    Args:
        model: The model.
        stack: The file.
        sampling: How to draw, without steps of steering.
        folder: Where the files and `result.json` go.
        doubts: For the report.
        on_pixels: As for `Drawing`, of every plane in turn: together `Stack.pixels` times the
            scale's square, for every sample.

    Raises:
        InputError: An image that the model does not take, or what its format cannot write.
        OutputError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    started = time.perf_counter()
    result = StackResult.of(folder, stack, model, sampling)
    result.doubts = doubts
    pages, channels, height, width = stack.array.values.shape
    planes = pages, channels, height * model.scale, width * model.scale
    _refuse_inside(folder, result.inputs.values())
    _refuse_links(result.inputs.values())
    with saved_files(folder, result.files, result.report, tuple(result.inputs.values())):
        for name, given in result.inputs.items():
            _copy(given, folder / name)
        with scratch(folder, (sampling.samples, *planes), _kind(stack)) as drawn:
            for plane, (page, group) in enumerate(stack.planes()):
                _draw_plane(model, sampling, result, Plane(page, group, plane), drawn, on_pixels)
            for name, sample in zip(result.samples, drawn, strict=True):
                stack.write(folder / name, sample, stack.array, model.scale)
            kind = _kind_of_statistics(stack, drawn.dtype)
            with scratch(folder, (len(STATISTICS), *planes), kind) as found:
                for plane, (page, group) in enumerate(stack.planes()):
                    _add_statistics(result, Plane(page, group, plane), drawn, found)
                for name, part in zip(STATISTICS, found, strict=True):
                    path = folder / f"{name}{result.suffix}"
                    array = replace(stack.array, distances=name == "std")
                    stack.write(path, part, array, model.scale)
            grid = stack_sheet(stack, drawn, model.scale, sampling, result.exploded_planes)
            save_png(folder / "grid.png", grid)
        result.seconds = time.perf_counter() - started
    return result


class Plane(NamedTuple):
    """A page, a group of its channels, and the number of both among all."""

    page: int
    group: int
    number: int


@contextmanager
def scratch(folder: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """An array on the disk, which is gone afterwards.

    Raises:
        OutputError: There is no room.
    """
    size = math.prod(shape) * dtype.itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            if hasattr(os, "posix_fallocate"):  # or a full disk would end the process later
                os.posix_fallocate(stream.fileno(), 0, size)
            yield np.memmap(stream, dtype, "r+" if hasattr(os, "posix_fallocate") else "w+",
                            shape=shape)  # fmt: skip
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error


def _kind(stack: Stack) -> np.dtype:
    """Numbers of the samples: the file's own, but that float16 has too few digits."""
    dtype: np.dtype = stack.array.values.dtype
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _kind_of_statistics(stack: Stack, drawn: np.dtype) -> np.dtype:
    """Float64 where the file's numbers are, or are whole and larger than float32 tells apart."""
    largest = max(max(abs(one.low), abs(one.high)) for one in stack.ranges)
    wide = drawn == np.float64 or (drawn.kind in "iu" and largest > WHOLE_IN_32)
    return np.dtype(np.float64 if wide else np.float32)


def _draw_plane(
    model: SuperResolver,
    sampling: Sampling,
    result: StackResult,
    plane: Plane,
    drawn: np.ndarray,
    on_pixels: OnDone,
) -> None:
    """Draw the samples of a plane into `drawn`, and check them."""
    stack, scale = result.stack, model.scale
    values, channels = stack.range_of(plane.group), stack.groups[plane.group]
    missing = stack.array.missing[plane.page, channels]
    given = stack.array.values[plane.page, channels]
    if given.dtype != drawn.dtype:  # half floats, whose number for no data becomes NaN
        given = np.where(np.isfinite(given), np.nan, given)
    exact = stack.unit(plane.page, plane.group)
    degradation = model.degradation_of((exact.shape[2], exact.shape[3]), sampling.shrunk_by)
    counted = _counted(torch.from_numpy(missing.any(0)), degradation)
    y = stack.y(plane.page, plane.group)
    tolerance = model.tolerance(y)
    sigma = 0.0 if tolerance is None else tolerance.sigma
    trips = [
        RoundTrip(exact, degradation, values.levels, counted, sigma)
        for _ in range(sampling.samples)
    ]
    drawing = Drawing(model, y, sampling, values.levels, on_pixels)
    values_drawn = y[0].numel() * scale**2 * sampling.samples
    large = values_drawn > IN_MEMORY and model.any_size
    for index, top, pixels, exploded in _strips(drawing, large):
        part = pixels[: exact.shape[1]]
        saved = in_kind(values.to_values(part), drawn.dtype)
        avoid(saved, stack.nodata(plane.group))
        trips[index].add(values.from_values(saved)[None])
        rows = slice(top, top + saved.shape[1])
        if missing.any():
            _put_back(saved, missing, given, rows, scale)
        drawn[index, plane.page, channels, rows] = saved
        result.exploded_planes[index, plane.number] |= exploded
    for trip, of_sample in zip(trips, result.round_trips, strict=True):
        of_sample.append((trip, values))


def _strips(drawing: Drawing, large: bool) -> Iterator[tuple[int, int, Tensor, bool]]:
    """Index of a sample, first row, pixels as `finish` gives them, and whether it exploded."""
    if large:
        tops = [0] * drawing.sampling.samples
        for index, strip in drawing.all_strips():
            yield index, tops[index], strip.pixels[0], bool(strip.exploded.any())
            tops[index] += strip.pixels.shape[2]
        return
    index = 0
    for batch in drawing.finished():
        for one, exploded in zip(batch.pixels, batch.exploded.tolist(), strict=True):
            yield index, 0, one, exploded
            index += 1


def _put_back(
    saved: np.ndarray, missing: np.ndarray, given: np.ndarray, rows: slice, scale: int
) -> None:
    """What was missing stands in all pixels that its pixel became, as it was given."""
    lr = slice(rows.start // scale, -(-rows.stop // scale))
    inside = slice(rows.start - lr.start * scale, rows.stop - lr.start * scale)

    def enlarged(part: np.ndarray) -> np.ndarray:
        return part[:, lr].repeat(scale, 1).repeat(scale, 2)[:, inside]

    np.copyto(saved, enlarged(given).astype(saved.dtype), where=enlarged(missing))


def _counted(missing: Tensor, degradation: Downscaling) -> Tensor:
    """Pixels of y, ``(h, w)``, that see no hole."""
    reach = max(_reach(side) for side in (degradation.rows, degradation.columns))
    near: Tensor = F.max_pool2d(missing[None, None].float(), 2 * reach + 1, 1, reach)[0, 0]
    return near == 0


def _reach(side: BandedMatrix) -> int:
    """How many pixels of y one of them sees either way along a side. A short one cuts that off; its
    end sees as much of it as there is."""
    lr, hr = side.shape
    middle, end = used_by(side, lr // 2), used_by(side, 0)
    around: float = (middle.stop - middle.start) * lr / hr / 2
    ahead: float = end.stop * lr / hr - 1
    return math.ceil(max(around, ahead))


def _add_statistics(
    result: StackResult, plane: Plane, drawn: np.ndarray, found: np.ndarray
) -> None:
    """Mean, std, and ends of the central interval of a plane, over the samples that are answers."""
    stack, channels = result.stack, result.stack.groups[plane.group]
    good = np.flatnonzero(~result.exploded_planes[:, plane.number])
    chosen = good if len(good) else np.arange(len(drawn))
    samples = drawn[:, plane.page, channels]
    missing = stack.array.missing[plane.page, channels]
    # Whole numbers have no NaN, and float files may have a number of their own for it.
    given = stack.array.values[plane.page, channels]
    own = given.dtype == found.dtype
    nothing = given if own else np.full(given.shape, np.nan)
    ddof = result.origin.sampling.ddof(chosen.tolist())
    rows = max(1, AT_ONCE // max(1, samples[:, :, 0].size))
    for top in range(0, samples.shape[2], rows):
        part = samples[chosen, :, top : top + rows].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # in holes, which are put back
            std = part.std(0, ddof=ddof) if len(part) > 1 else np.zeros_like(part[0])
            # Weibull's ranks i / (N + 1): between them, one more draw lies as often as they say.
            ends = np.quantile(part, (LOWER, UPPER), axis=0, method="weibull")
            statistics = np.stack([part.mean(0), std, *ends]).astype(found.dtype)
        for one in statistics:
            if own:
                avoid(one, stack.nodata(plane.group))
            if missing.any():
                _put_back(one, missing, nothing, slice(top, top + one.shape[1]), result.scale)
        found[:, plane.page, channels, top : top + rows] = statistics


def _refuse_inside(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse results within the store that they are of: a copy of it lies among them."""
    for given in inputs:
        if given.is_dir() and folder.resolve().is_relative_to(given.resolve()):
            raise OutputError(f"cannot write to {folder}: it lies in {given}, which is the input")


def _refuse_links(inputs: Iterable[Path]) -> None:
    """Refuse a store with links that lead to nothing in a copy of it."""
    for given in inputs:
        for path in given.rglob("*") if given.is_dir() else ():
            if path.is_symlink() and not _stays_within(given, path):
                raise InputError(
                    f"{path} is a link that a copy of {given} could not follow: put what it leads "
                    f"to in its place"
                )


def _stays_within(folder: Path, link: Path) -> bool:
    """Whether a link in a folder leads, by its words alone, to what is in the folder."""
    target = Path(os.path.normpath(link.parent.relative_to(folder) / link.readlink()))
    return not target.is_absolute() and target.parts[:1] != (os.pardir,)


def _copy(source: Path, target: Path) -> None:
    """The input, byte for byte, beside its result, unless it is there: it is being drawn again."""
    if source.resolve() == target.resolve():
        return
    if source.is_dir():
        write_folder_atomically(target, lambda path: _copy_store(source, path))
    else:
        write_atomically(target, lambda path: shutil.copyfile(source, path))


def _copy_store(source: Path, target: Path) -> None:
    """A folder with all in it, which the user may move and remove, whatever is allowed there."""
    shutil.copytree(source, target, symlinks=True, copy_function=shutil.copyfile)
    folders = (path for path in target.rglob("*") if path.is_dir() and not path.is_symlink())
    for folder in (target, *folders):
        folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
