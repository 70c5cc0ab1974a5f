"""Samples of a file of arrays, and what is made of them, as files of its kind.

Samples are held in a scratch file on the disk in the file's own kind of numbers, then written one
after the other. Mean, standard deviation and interval are those of what is written.
"""

import math
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError, OutputError
from ...files import write_atomically, write_folder_atomically
from ...imaging.io import save_png
from ..saving import saved_files
from .array_result import LOWER, STATISTICS, UPPER, ArrayResult
from .planes import Plane, Stack, avoid

AT_ONCE = 2**22
"""Values of all samples together of which statistics are taken at once."""
WHOLE_IN_32 = 2**24
"""Up to which float32 holds every whole number."""


def write_stack(result: ArrayResult, draw: Callable[[Plane, np.ndarray], None]) -> None:
    """Draw every plane of a file, and write samples, mean, std and interval as files of its kind.

    Args:
        result: What is known before; `seconds` is set.
        draw: Draws the samples of a plane into an array of all, in the file's unit, ``(samples,
            pages, channels, H, W)``, and says in the result what came of it.

    Raises:
        InputError: An image that the model does not take, or what its format cannot write.
        OutputError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    started = time.perf_counter()
    folder, stack, scale = result.folder, result.stack, result.scale
    pages, channels, height, width = stack.array.values.shape
    planes = pages, channels, height * scale, width * scale
    _refuse_inside(folder, result.inputs.values())
    _refuse_links(result.inputs.values())
    with saved_files(folder, result.files, result.report, tuple(result.inputs.values())):
        for name, given in result.inputs.items():
            _copy(given, folder / name)
        with scratch(folder, (result.settings.samples, *planes), _kind(stack)) as drawn:
            for plane in stack.planes():
                draw(plane, drawn)
            for name, sample in zip(result.samples, drawn, strict=True):
                stack.write(folder / name, sample, result.array, scale)
            kind = _kind_of_statistics(stack, drawn.dtype)
            with scratch(folder, (len(STATISTICS), *planes), kind) as found:
                for plane in stack.planes():
                    _add_statistics(result, plane, drawn, found)
                for name, part in zip(STATISTICS, found, strict=True):
                    path = folder / f"{name}{result.suffix}"
                    array = replace(result.array, distances=name == "std")
                    stack.write(path, part, array, scale)
            save_png(folder / "grid.png", result.grid(drawn))
        result.seconds = time.perf_counter() - started


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


def given_in(stack: Stack, plane: Plane, dtype: np.dtype) -> np.ndarray:
    """The values of a plane as they are put back, ``(channels, h, w)``: of half floats, whose
    samples are of another kind, the number for no data becomes NaN."""
    part = plane.page, stack.groups[plane.group]
    given = stack.array.values[part]
    if given.dtype != dtype:
        none = stack.array.missing[part] & np.isfinite(given)
        given = np.where(none, np.nan, given.astype(dtype))
    return given


def put_back(
    saved: np.ndarray, missing: np.ndarray, given: np.ndarray, rows: slice, scale: int
) -> None:
    """What was missing stands in all pixels that its pixel became, as it was given."""
    lr = slice(rows.start // scale, -(-rows.stop // scale))
    inside = slice(rows.start - lr.start * scale, rows.stop - lr.start * scale)

    def enlarged(part: np.ndarray) -> np.ndarray:
        return part[:, lr].repeat(scale, 1).repeat(scale, 2)[:, inside]

    np.copyto(saved, enlarged(given).astype(saved.dtype), where=enlarged(missing))


def _add_statistics(
    result: ArrayResult, plane: Plane, drawn: np.ndarray, found: np.ndarray
) -> None:
    """Mean, std, and ends of the central interval of a plane, over the samples that are answers."""
    stack, channels = result.stack, result.stack.groups[plane.group]
    good = np.flatnonzero(~result.exploded_planes[:, plane.number])
    chosen = good if len(good) else np.arange(len(drawn))
    samples = drawn[:, plane.page, channels]
    missing = result.left_missing[plane.page, channels]
    # Whole numbers have no NaN, and float files may have a number of their own for it.
    given = stack.array.values[plane.page, channels]
    own = given.dtype == found.dtype
    nothing = given if own else np.full(given.shape, np.nan)
    ddof = result.settings.ddof(chosen.tolist())
    rows = max(1, AT_ONCE // max(1, samples[:, :, 0].size))
    for top in range(0, samples.shape[2], rows):
        part = samples[chosen, :, top : top + rows].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # in holes, which are put back
            std = part.std(0, ddof=ddof) if len(part) > 1 else np.zeros_like(part[0])
            # Weibull's ranks i / (N + 1): between them, one more draw lies as often as they say.
            ends = np.quantile(part, (LOWER, UPPER), axis=0, method="weibull")
            same, mean = (part == part[:1]).all(0), part.mean(0)
            mean, std = np.where(same, part[0], mean), np.where(same, 0, std)
            statistics = np.stack([mean, std, *ends]).astype(found.dtype)
        for one in statistics:
            if own:
                avoid(one, stack.nodata(plane.group))
            if missing.any():
                put_back(one, missing, nothing, slice(top, top + one.shape[1]), result.scale)
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
