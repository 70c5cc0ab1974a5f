"""Training images by key: from memory, from a memory-mapped array, or from files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..imaging.io import to_channels
from .folder import (
    DataConfig,
    load_images,
    paths_of,
    refuse_counts,
    split,
    square_and_around,
    tell_enlarged,
    tell_luma,
)
from .photographs import Photographs

MEMORY = 2 * 2**30
"""Images of a folder that need more bytes than this are read when they are asked for."""


class Key(NamedTuple):
    """One training image: which row of the data set, and how it is varied.

    Attributes:
        row: Index into the rows of a data set.
        mirrored: Left becomes right.
        draw: A random number, from which a crop takes its place and its turns.
    """

    row: int
    mirrored: bool = False
    draw: int = 0


class Images(Dataset[Tensor]):
    """Some images of a source, given out as float in [0, 1].

    Args:
        rows: Which images of the source, in order.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def unread(self) -> Sequence[int]:
        """Those that are read from their files whenever they are asked for, each file once."""
        return ()

    def read(self, row: int, draw: int) -> Tensor:
        """One image of the source, uint8, ``(C, H, W)``; `draw` decides where it is cut."""
        raise NotImplementedError

    def __getitem__(self, key: Key | int) -> Tensor:
        """The image of a key; a plain index is not varied, and its draw belongs to the index."""
        if isinstance(key, int):
            key = Key(key, draw=int(np.random.SeedSequence(key).generate_state(1)[0]))
        image = self.read(self.rows[key.row], key.draw)
        return (image.flip(-1) if key.mirrored else image).float() / 255


class MemoryImages(Images):
    """8-bit images in memory, ``(N, C, H, W)``."""

    def __init__(self, images: Tensor, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self.images = images

    def read(self, row: int, draw: int) -> Tensor:
        """One image."""
        return self.images[row]


class ArrayImages(Images):
    """8-bit images of an ``.npy`` file ``(N, size, size, C)``, which stays on the disk."""

    def __init__(self, path: Path, size: int, rows: Sequence[int], channels: int = 3) -> None:
        super().__init__(rows)
        self.path, self.size, self.channels = path, size, channels
        self.array = open_array(path, size, channels)

    def __getstate__(self) -> dict[str, Any]:
        """Without the array: a reading process opens the file for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "array"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.array = open_array(self.path, self.size, self.channels)

    def read(self, row: int, draw: int) -> Tensor:
        """One image, copied from the array."""
        return torch.from_numpy(np.array(self.array[row])).permute(2, 0, 1)


class FileImages(Images):
    """Image files, read, cropped and resized when they are asked for."""

    def __init__(
        self, paths: list[Path], size: int, crop: int, rows: Sequence[int], channels: int = 3
    ) -> None:
        super().__init__(rows)
        self.paths, self.size, self.crop, self.channels = paths, size, crop, channels

    @property
    def unread(self) -> Sequence[int]:
        """All of them."""
        return range(len(self))

    def read(self, row: int, draw: int) -> Tensor:
        """One image.

        Raises:
            InputError: The file is not a readable image, or is smaller than the crop.
        """
        return load_images([self.paths[row]], self.size, self.crop, channels=self.channels)[0]


MOST_JITTER = 3.0
"""Standard deviations beyond which no square is framed."""


class JitteredImages(Images):
    """The centred squares of photographs, their side and their angle drawn anew for every key.

    Args:
        paths: Image files; their squares, with as much around them as is needed, stay in memory
            while they fit there (`MEMORY`). The others are read whenever they are asked for.
        size: Side of the images that are given out.
        config: How large the squares are, and how much they vary.
        channels: 1 or 3.

    Raises:
        InputError: A file that is not a readable image, is smaller than the crop, or cannot have so
            many channels.
    """

    def __init__(
        self, paths: Sequence[Path], size: int, config: DataConfig, channels: int = 3
    ) -> None:
        super().__init__(range(len(paths)))
        self.paths, self.size, self.config, self.channels = paths, size, config, channels
        angle = math.radians(MOST_JITTER * config.jitter_angle)
        reach = math.exp(MOST_JITTER * config.jitter_side) * (math.cos(angle) + math.sin(angle))
        self.around, room = (reach - 1) / 2, MEMORY
        self.photos = list[tuple[np.ndarray, int]]()
        for row in track(range(len(paths)), "reading images", transient=True):
            photo = self._photo(row)
            room -= photo[0].nbytes
            if room < 0:
                break
            self.photos.append(photo)

    @property
    def unread(self) -> Sequence[int]:
        """Those behind the ones in memory."""
        return range(len(self.photos), len(self))

    def _photo(self, row: int) -> tuple[np.ndarray, int]:
        return square_and_around(self.paths[row], self.config.crop, self.around, self.channels)

    def read(self, row: int, draw: int) -> Tensor:
        """An image, framed as `draw` decides."""
        around, side = self.photos[row] if row < len(self.photos) else self._photo(row)
        normal = np.random.default_rng(draw).standard_normal(2).clip(-MOST_JITTER, MOST_JITTER)
        photo = Image.fromarray(around)
        if self.config.jitter_angle:
            angle = self.config.jitter_angle * float(normal[1])
            photo = photo.rotate(angle, Image.Resampling.BICUBIC)
        reach = side * math.exp(self.config.jitter_side * float(normal[0])) / 2
        x, y = photo.width / 2, photo.height / 2
        box = (x - reach, y - reach, x + reach, y + reach)
        small = photo.resize((self.size, self.size), Image.Resampling.BICUBIC, box)
        return to_channels(small)


class CropImages(Images):
    """Squares cut from photographs of any size.

    Args:
        photos: Reads them, uint8, each ``(C, H, W)``.
        size: Side of the squares.
        rows: Which photographs, once for every square that is to be cut in an epoch.
    """

    def __init__(self, photos: Photographs, size: int, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self.photos, self.size = photos, size

    @property
    def unread(self) -> Sequence[int]:
        """A square of each photograph that is not in memory."""
        places = {row: i for i, row in enumerate(self.rows) if row >= len(self.photos.held)}
        return list(places.values())

    def read(self, row: int, draw: int) -> Tensor:
        """A square at a random place, turned by a random number of quarter turns."""
        photo, rng = self.photos[row], np.random.default_rng(draw)
        top, left = (int(rng.integers(side - self.size + 1)) for side in photo.shape[1:])
        square = photo[:, top : top + self.size, left : left + self.size]
        return torch.rot90(square, int(rng.integers(4)), (1, 2))


class JoinedImages(Images):
    """The images of several sources, one source behind the other.

    Args:
        sources: The sources, each with what says how often its images come and whether they are
            mirrored.
    """

    def __init__(self, sources: Sequence[tuple[Images, DataConfig]]) -> None:
        every = [(images, how.flip) for images, how in sources for _ in range(how.repeat)]
        self.sources, self.flips = zip(*every, strict=True)
        self.starts = np.cumsum([0, *(len(images) for images in self.sources)])
        super().__init__(range(int(self.starts[-1])))

    @property
    def unread(self) -> Sequence[int]:
        """Those of all sources; what a source repeats counts once."""
        starts = dict(zip(self.sources, self.starts[:-1].tolist(), strict=True))
        return [start + i for images, start in starts.items() for i in images.unread]

    def __getitem__(self, key: Key | int) -> Tensor:
        """The image of a key, mirrored only where its source is."""
        if isinstance(key, Key) and not self.flips[self._which(key.row)]:
            key = key._replace(mirrored=False)
        return super().__getitem__(key)

    def _which(self, row: int) -> int:
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def read(self, row: int, draw: int) -> Tensor:
        """One image."""
        which = self._which(row)
        images: Images = self.sources[which]
        return images.read(images.rows[row - int(self.starts[which])], draw)


CROPS_TO_VALIDATE = 16
"""How many squares of each photograph validate."""


def open_crops(
    config: DataConfig, size: int, paths: list[Path], channels: int
) -> tuple[Images, Images]:
    """Squares of photographs: to train on, as many as their areas hold, and to validate.

    Raises:
        InputError: A file that is not a readable image, or is smaller than a square.
    """
    photos = Photographs(paths, size, channels, MEMORY)
    training, validation = split(len(paths), config)
    every = [row for row in training for _ in range(max(1, photos.areas[row] // size**2))]
    fixed = [row for row in validation for _ in range(CROPS_TO_VALIDATE)]
    return CropImages(photos, size, every), CropImages(photos, size, fixed)


def open_images(config: DataConfig, size: int, channels: int = 3) -> tuple[Images, Images]:
    """The training and the validation images that a configuration names.

    Args:
        config: Folders of images, or ``.npy`` files of them.
        size: Side of the images, in pixels.
        channels: Their channels: image files are read as grey for 1 and as RGB for 3.

    Raises:
        InputError: There is nothing to train on, or an image or the array is not as it should be.
    """
    for source in config.more:  # those without an image are said before many are read
        if Path(source.folder).suffix != ".npy":
            paths_of(source)
    training, validation = _open_source(config, size, channels)
    others = [(_open_source(more, size, channels, False)[0], more) for more in config.more]
    if others or config.repeat > 1:
        training = JoinedImages([(training, config), *others])
    return training, validation


def _open_source(
    config: DataConfig, size: int, channels: int, validates: bool = True
) -> tuple[Images, Images]:
    """The images of one source; those that it keeps aside only where they validate."""
    source = Path(config.folder)
    if source.suffix == ".npy":
        if config.crop or config.random_crops or config.jitters or config.only != "*":
            raise InputError(
                f"the images of {source} are taken whole, and all: crop must be 0, without "
                f"random_crops, jitter, or only"
            )
        training, validation = split(len(open_array(source, size, channels)), config)
        return (
            ArrayImages(source, size, training, channels),
            ArrayImages(source, size, validation, channels),
        )
    paths = paths_of(config)
    refuse_counts(paths, tell=True)
    tell_luma(paths, channels)
    if config.random_crops:
        return open_crops(config, size, paths, channels)
    tell_enlarged(paths, size, config.crop)
    training, validation = split(len(paths), config)
    if not validates:
        paths, validation = [paths[row] for row in training], ()
        training = range(len(paths))
    if config.jitters:
        kept = load_images([paths[row] for row in validation], size, config.crop, channels=channels)
        framed = JitteredImages([paths[row] for row in training], size, config, channels)
        return framed, MemoryImages(kept, range(len(kept)))
    if len(paths) * channels * size**2 > MEMORY:
        return (
            FileImages(paths, size, config.crop, training, channels),
            FileImages(paths, size, config.crop, validation, channels),
        )
    images = load_images(paths, size, config.crop, progress=True, channels=channels)
    return MemoryImages(images, training), MemoryImages(images, validation)


def open_array(path: Path, size: int, channels: int = 3) -> np.ndarray:
    """Map an ``.npy`` file of images ``(N, size, size, C)``, uint8, into memory.

    Raises:
        InputError: It is missing, damaged, holds objects, or has another shape or type.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # what a damaged header raises is as various as its damage
        why = "truncated, damaged, or no NumPy array of plain numbers"
        raise InputError(f"{path} is {why}") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise InputError(f"{path} holds {getattr(array, 'dtype', 'several arrays')}, not uint8")
    if array.ndim != 4 or array.shape[1:] != (size, size, channels):
        raise InputError(f"{path} has the shape {array.shape}, not (N, {size}, {size}, {channels})")
    return array
