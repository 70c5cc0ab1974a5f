"""A folder of photographs as training images: cropped, resized, 8-bit."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from ..errors import ConfigError, InputError, naming
from ..imaging.crop import centre_square
from ..imaging.io import (
    ALMOST_BLACK,
    REDUCED,
    Photo,
    as_channels,
    in_channels,
    list_images,
    read_photo,
)

MAX_WORKERS, MAX_REPEAT = 256, 1000
PROBES = 8
"""How many files tell of a folder, at least, if it has so many."""
MAX_JITTER_SIDE, MAX_JITTER_ANGLE = 0.1, 10.0


@dataclass(frozen=True)
class DataConfig:
    """Which images to train on, and how they are cut.

    Attributes:
        folder: Folder of images, searched without its subfolders, in the order of the names; or an
            ``.npy`` file of images, ``(N, size, size, channels)``, uint8, which stays on the disk.
        crop: Side of the centred square that is cut out before resizing; 0 takes the largest.
        random_crops: Cut a square of the model's size at a random place, without resizing, and turn
            it by a random number of quarter turns. For photographs of any size, each of which
            gives as many crops as its area holds. Beyond 2 GiB of pixels the others are read
            whenever a crop is cut: `workers` then help.
        validation: How many images, from the end, are kept for validation.
        validation_every: Keep every so many-th image instead, from the first.
        split_seed: Seed of a permutation that comes before that; the images' own order by default.
            5 gives the split of the released FFHQ-256 model.
        flip: Mirror half of the training images.
        jitter_side: Standard deviation, as a share, of the side of the square that is cut out of a
            training image; drawn anew whenever the image comes. For images that are framed more
            alike than those that the model will meet.
        jitter_angle: The same of the angle by which it is turned, in degrees.
        only: Take only files whose names match this pattern, such as ``aaf_*``.
        repeat: How often every training image comes in an epoch: the weight of a source beside
            others.
        more: Further sources to train on, each cut and mirrored in its own way; what they keep for
            validation is left out, and the validation is that of the first. They are read by its
            `workers`, and have no `more` of their own.
        workers: Processes that read images ahead; 0 reads them in the training process.
    """

    folder: str
    crop: int = 0
    random_crops: bool = False
    validation: int = 500
    validation_every: int = 0
    split_seed: int | None = None
    flip: bool = True
    jitter_side: float = 0.0
    jitter_angle: float = 0.0
    only: str = "*"
    repeat: int = 1
    more: tuple["DataConfig", ...] = ()
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.folder.strip():
            raise ConfigError("folder must name one: the current one is .")
        for name in ("crop", "validation", "validation_every", "split_seed", "workers"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")
        if not 1 <= self.repeat <= MAX_REPEAT:
            raise ConfigError(f"repeat must be from 1 to {MAX_REPEAT}, not {self.repeat}")
        if self.workers > MAX_WORKERS:
            raise ConfigError(f"workers must be at most {MAX_WORKERS}, not {self.workers}")
        if self.split_seed is not None and self.split_seed >= 2**32:
            raise ConfigError(f"split_seed must be below 2^32, not {self.split_seed}")
        if self.random_crops and self.crop:
            raise ConfigError("crop cuts a centred square, so it cannot go with random_crops")
        for name, most in (("jitter_side", MAX_JITTER_SIDE), ("jitter_angle", MAX_JITTER_ANGLE)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be from 0 to {most:g}, not {getattr(self, name)}")
        if self.random_crops and self.jitters:
            raise ConfigError("random_crops are cut as they are: jitter cannot go with them")
        if self.validation_every and self.validation not in (0, DataConfig.validation):
            raise ConfigError("validation counts for nothing beside validation_every: say one only")
        if self.validation_every == 1:
            raise ConfigError("validation_every 1 leaves nothing to train on")
        for one in self.more:
            if one.more:
                raise ConfigError(f"more of {one.folder}: name its sources beside it, not below it")
            if one.workers not in (0, self.workers):
                raise ConfigError(f"workers of {one.folder}: all sources are read by the first's")

    @property
    def jitters(self) -> bool:
        """Whether training images are framed anew."""
        return self.jitter_side > 0 or self.jitter_angle > 0


def paths_of(config: DataConfig) -> list[Path]:
    """The image files of a source, in the order of their names.

    Raises:
        InputError: The folder does not exist or holds no image, or none of that name.
    """
    every = list_images(Path(config.folder))
    paths = [path for path in every if fnmatch(path.name, config.only)]
    if not paths:
        raise InputError(f"{config.folder} holds no image whose name is like '{config.only}'")
    return paths


def is_first_process() -> bool:
    """Whether this is the first of the processes that train together, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def refuse_counts(paths: Sequence[Path], tell: bool = False) -> None:
    """Refuse files of 16 bits whose values need 12 or fewer: a camera's counts, whose range is not
    that of the file, so that images would be almost black.

    Some of the files tell for all, of those of 16 bits most of them: a dark one among others is no
    reason. Among files of 8 bits, two are.

    Args:
        paths: Image files, of which some that cannot be read are left to whoever reads them.
        tell: Say what becomes of 16 bits that are filled.

    Raises:
        InputError: They are such.
    """
    faint, filled, others = list[Path](), 0, False
    for path, photo in _probed(paths):
        if REDUCED not in photo.notes:
            others = True
            continue
        if ALMOST_BLACK in photo.notes:
            faint.append(path)
        else:
            filled += 1
    if len(faint) > max(filled, 1 if others else 0):
        raise InputError(
            f"{faint[0]} fills less than a sixteenth of its 16 bits, but for a few values, and "
            f"would be almost black: map the values of such files to 8 bits first "
            f"(docs/microscopy.md)"
        )
    if filled and tell and is_first_process():
        note = "note: 16-bit values were reduced to 8 bits, of which 255 is 65535"
        print(note, file=sys.stderr, flush=True)


def tell_luma(paths: Sequence[Path], channels: int) -> None:
    """Say where a model of one channel is to know images in colours; some files tell for all.

    Args:
        paths: As for `refuse_counts`.
        channels: Those of the model.
    """
    if channels != 1 or not is_first_process():
        return
    for path, photo in _probed(paths):
        for note in as_channels(photo.image, channels)[1]:
            print(f"note: {path} is in colours: {note}", file=sys.stderr, flush=True)
            return


def tell_enlarged(paths: Sequence[Path], size: int, crop: int = 0) -> None:
    """Say where images have fewer pixels than they are to have; some files tell for all.

    Args:
        paths: As for `refuse_counts`.
        size: Side of the images, in pixels.
        crop: Side of the square that is cut out before; 0 takes the largest.
    """
    if not is_first_process():
        return
    for path, photo in _probed(paths):
        side = crop or min(photo.image.size)
        if side < size:
            print(
                f"note: {path} gives a square of {side}×{side} pixels, which is enlarged to "
                f"{size}×{size}",
                file=sys.stderr,
                flush=True,
            )
            return


def _probed(paths: Sequence[Path]) -> Iterator[tuple[Path, Photo]]:
    """Some of the files that can be read."""
    for path in paths[:: max(1, len(paths) // PROBES)]:
        with suppress(InputError):
            yield path, read_photo(path)


def load_images(
    paths: list[Path], size: int, crop: int = 0, progress: bool = False, channels: int = 3
) -> Tensor:
    """Read, crop and resize (antialiased bicubic) images.

    Returns:
        8-bit images, ``(N, channels, size, size)``, uint8.

    Raises:
        InputError: A file that is not a readable image, is smaller than the crop, or cannot have so
            many channels.
    """
    images = np.empty((len(paths), size, size, channels), np.uint8)
    shown = track(paths, "reading images", transient=True) if progress else paths
    for row, path in enumerate(shown):
        _, square = _read_square(path, crop, channels)
        small = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
        images[row] = small.reshape(size, size, channels)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _read_square(path: Path, crop: int, channels: int) -> tuple[Image.Image, Image.Image]:
    """A photograph, and its centred square."""
    photo = in_channels(read_photo(path).image, channels)
    with naming(path):
        return photo, centre_square(photo, crop)


def square_and_around(
    path: Path, crop: int, around: float, channels: int = 3
) -> tuple[np.ndarray, int]:
    """The centred square of a photograph with what is around it, mirrored where that ends.

    Args:
        path: An image file.
        crop: Side of the square; 0 takes the largest.
        around: How much is around it on each side, as a share of the square's side.
        channels: 1 or 3.

    Returns:
        Pixels, uint8, and the side of the square in their middle.

    Raises:
        InputError: As `load_images`.
    """
    photo, square = _read_square(path, crop, channels)
    side = square.width
    pixels, more = np.asarray(photo), math.ceil(around * side)
    for axis in (0, 1):
        length = pixels.shape[axis]
        start = (length - side) // 2 - more
        end = start + side + 2 * more
        beyond = [(0, 0)] * pixels.ndim
        beyond[axis] = (max(0, -start), max(0, end - length))
        pixels = pixels.take(range(max(0, start), min(end, length)), axis)
        pixels = np.pad(pixels, beyond, "symmetric")
    return np.ascontiguousarray(pixels), side


def split(n: int, config: DataConfig) -> tuple[Sequence[int], Sequence[int]]:
    """Rows to train on, and those that validate: the last ones, or every so many-th.

    The order is the images' own or a seeded permutation.

    Raises:
        InputError: No image would be left to train on.
    """
    rows: Sequence[int] = range(n)
    if config.split_seed is not None:
        # NumPy's legacy generator, because the split of the released models was made with it.
        rows = np.random.RandomState(config.split_seed).permutation(n).tolist()
    if config.validation_every:
        validating = [row for i, row in enumerate(rows) if i % config.validation_every == 0]
        training = [row for i, row in enumerate(rows) if i % config.validation_every]
        return _with_some(training, len(validating), config), validating
    left = max(0, n - config.validation)
    return _with_some(rows[:left], config.validation, config), rows[left:]


def _with_some(training: Sequence[int], kept: int, config: DataConfig) -> Sequence[int]:
    if not training:
        raise InputError(
            f"{config.folder} holds too few images: {kept} would validate, "
            f"and none is left to train on"
        )
    return training
