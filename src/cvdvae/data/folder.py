"""A folder of photographs as training images: cropped, resized, 8-bit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from ..errors import ConfigError, InputError
from ..images import read_photo

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True)
class DataConfig:
    """Which images to train on, and how they are cut.

    Attributes:
        folder: Folder of images, searched without its subfolders, in the order of the names; or an
            ``.npy`` file of images, ``(N, size, size, 3)``, uint8, which stays on the disk.
        crop: Side of the centred square that is cut out before resizing; 0 takes the largest.
        validation: How many images, from the end, are kept for validation.
        split_seed: Seed of a permutation that comes before that; the images' own order by default.
            5 gives the split of the released FFHQ-256 model.
        flip: Mirror half of the training images.
        workers: Processes that read images ahead; 0 reads them in the training process.
    """

    folder: str
    crop: int = 0
    validation: int = 500
    split_seed: int | None = None
    flip: bool = True
    workers: int = 0

    def __post_init__(self) -> None:
        if min(self.crop, self.validation, self.split_seed or 0, self.workers) < 0:
            raise ConfigError("crop, validation, split_seed and workers must not be negative")


def centre_square(image: Image.Image, side: int = 0) -> Image.Image:
    """The centred square of `side` pixels; 0 takes the largest.

    Raises:
        InputError: The image is smaller than `side`.
    """
    width, height = image.size
    side = side or min(width, height)
    if side > min(width, height):
        raise InputError(f"an image of {width}×{height} pixels has no square of {side}×{side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder in the order of their names.

    Raises:
        InputError: The folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))})")
    return paths


def load_images(paths: list[Path], size: int, crop: int = 0, progress: bool = False) -> Tensor:
    """Read, crop and resize (antialiased bicubic) images.

    Returns:
        8-bit images, ``(N, 3, size, size)``, uint8.

    Raises:
        InputError: A file that is not a readable image, or is smaller than the crop.
    """
    images = np.empty((len(paths), size, size, 3), np.uint8)
    shown = track(paths, "reading images", transient=True) if progress else paths
    for row, path in enumerate(shown):
        photo = read_photo(path)
        try:
            square = centre_square(photo.image, crop)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        images[row] = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
