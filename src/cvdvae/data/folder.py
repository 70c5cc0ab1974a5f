"""A folder of photographs as training images: cropped, resized and held in memory as 8-bit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import ConfigError, InputError
from ..images import read_photo

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True)
class DataConfig:
    """Which images to train on, and how they are cut.

    Attributes:
        folder: Folder of images, searched without its subfolders, in the order of the names.
        crop: Side of the centred square that is cut out before resizing; 0 takes the largest.
        validation: How many images, from the end, are kept for validation.
        flip: Mirror half of the training images.
    """

    folder: str
    crop: int = 0
    validation: int = 500
    flip: bool = True

    def __post_init__(self) -> None:
        if self.crop < 0 or self.validation < 0:
            raise ConfigError("crop and validation must not be negative")


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


def load_images(paths: list[Path], size: int, crop: int = 0) -> Tensor:
    """Read, crop and resize (antialiased bicubic) images.

    Returns:
        8-bit images, ``(N, 3, size, size)``, uint8.

    Raises:
        InputError: A file that is not a readable image, or is smaller than the crop.
    """
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for row, path in enumerate(track(paths, "reading images", transient=True)):
        photo = read_photo(path)
        try:
            square = centre_square(photo.image, crop)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        images[row] = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


class MemoryImages(Dataset[Tensor]):
    """8-bit images in memory, given out as float in [0, 1]; key ``~i`` is image i mirrored."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: int) -> Tensor:
        image = self.images[key] if key >= 0 else self.images[~key].flip(-1)
        return image.float() / 255
