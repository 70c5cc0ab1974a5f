"""Training images by key: from memory, from a memory-mapped array, or from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from .folder import DataConfig, list_images, load_images

MEMORY = 2 * 2**30
"""Images of a folder that need more bytes than this are read when they are asked for."""


class Images(Dataset[Tensor]):
    """Some images of a source, given out as float in [0, 1]; key ``~i`` is image i mirrored.

    Args:
        rows: Which images of the source, in order.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> Tensor:
        """One image of the source, uint8, ``(3, H, W)``."""
        raise NotImplementedError

    def __getitem__(self, key: int) -> Tensor:
        image = self.read(self.rows[key if key >= 0 else ~key])
        return (image if key >= 0 else image.flip(-1)).float() / 255


class MemoryImages(Images):
    """8-bit images in memory, ``(N, 3, H, W)``."""

    def __init__(self, images: Tensor, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self.images = images

    def read(self, row: int) -> Tensor:
        """One image."""
        return self.images[row]


class ArrayImages(Images):
    """8-bit images of an ``.npy`` file ``(N, size, size, 3)``, which stays on the disk."""

    def __init__(self, path: Path, size: int, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self.path, self.size = path, size
        self.array = open_array(path, size)

    def __getstate__(self) -> dict[str, Any]:
        """Without the array: a reading process opens the file for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "array"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.array = open_array(self.path, self.size)

    def read(self, row: int) -> Tensor:
        """One image, copied from the array."""
        return torch.from_numpy(np.array(self.array[row])).permute(2, 0, 1)


class FileImages(Images):
    """Image files, read, cropped and resized when they are asked for."""

    def __init__(self, paths: list[Path], size: int, crop: int, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self.paths, self.size, self.crop = paths, size, crop

    def read(self, row: int) -> Tensor:
        """One image.

        Raises:
            InputError: The file is not a readable image, or is smaller than the crop.
        """
        return load_images([self.paths[row]], self.size, self.crop)[0]


def open_images(config: DataConfig, size: int) -> tuple[Images, Images]:
    """The training and the validation images that a configuration names.

    Args:
        config: A folder of images, or an ``.npy`` file of them.
        size: Side of the images, in pixels.

    Raises:
        InputError: There is nothing to train on, or an image or the array is not as it should be.
    """
    source = Path(config.folder)
    if source.suffix == ".npy":
        if config.crop:
            raise InputError(f"the images of {source} are taken whole: crop must be 0")
        training, validation = split(len(open_array(source, size)), config)
        return ArrayImages(source, size, training), ArrayImages(source, size, validation)
    paths = list_images(source)
    training, validation = split(len(paths), config)
    if len(paths) * 3 * size**2 > MEMORY:
        return (
            FileImages(paths, size, config.crop, training),
            FileImages(paths, size, config.crop, validation),
        )
    images = load_images(paths, size, config.crop, progress=True)
    return MemoryImages(images, training), MemoryImages(images, validation)


def open_array(path: Path, size: int) -> np.ndarray:
    """Map an ``.npy`` file of images ``(N, size, size, 3)``, uint8, into memory.

    Raises:
        InputError: It is missing, damaged, holds objects, or has another shape or type.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        raise InputError(
            f"{path} is truncated, damaged, or no NumPy array of plain numbers"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise InputError(f"{path} holds {getattr(array, 'dtype', 'several arrays')}, not uint8")
    if array.ndim != 4 or array.shape[1:] != (size, size, 3):
        raise InputError(f"{path} has the shape {array.shape}, not (N, {size}, {size}, 3)")
    return array


def split(n: int, config: DataConfig) -> tuple[Sequence[int], Sequence[int]]:
    """Rows to train on, and the last `validation` ones, in order or in a seeded permutation.

    Raises:
        InputError: No image would be left to train on.
    """
    if n <= config.validation:
        raise InputError(
            f"{config.folder} holds {n} images, of which {config.validation} "
            "would validate: none is left to train on"
        )
    rows: Sequence[int] = range(n)
    if config.split_seed is not None:
        # NumPy's legacy generator, because the split of the released models was made with it.
        rows = np.random.RandomState(config.split_seed).permutation(n).tolist()
    return rows[: n - config.validation], rows[n - config.validation :]
