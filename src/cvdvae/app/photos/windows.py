"""What the page shows of a photograph beside its samples, and where it looks first."""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...degradations.bicubic import upscale_bicubic
from ...errors import InputError
from ...gaussian.noise import Window
from ...imaging.io import read_photo, to_bytes, to_channels
from ...restoration.part import widened
from .album import Album
from .explorer import MAX_PHOTO, Photo


def smoothed(photo: Photo, window: Window) -> Tensor:
    """Bicubic interpolation of the input in a window, uint8 ``(3, height, width)``."""
    scale, margin = photo.scale, 4
    around = widened(window, margin * scale, scale, photo.size)
    top, left, height, width = (length // scale for length in around)
    y = photo.y[None, :, top : top + height, left : left + width].float() / 255
    large = upscale_bicubic(y, (around.height, around.width))[0]
    first, start = window.top - around.top, window.left - around.left
    return to_bytes(large[:, first : first + window.height, start : start + window.width])


def truth_in(photo: Photo, window: Window, truths: Album) -> Tensor | None:
    """What was shrunk, in a window, uint8 ``(3, height, width)``, where it is known.

    Args:
        photo: The photograph.
        window: The window.
        truths: Keeps what was decoded for one window for the next.
    """
    if photo.truth is None:
        return None
    try:
        os.utime(photo.truth)  # while it is looked at, it is kept
        image = truths.of_file(photo.truth, _decoded)
    except (OSError, InputError):  # it has gone
        return None
    top, left, height, width = window
    return image[:, top : top + height, left : left + width]


def _decoded(path: Path) -> Tensor:
    return to_channels(read_photo(path, MAX_PHOTO).image)


def interesting(photo: Photo, share: float = 0.12) -> tuple[float, float]:
    """Where there is much detail, not far from the middle: x and y in pixels of the large image.

    Args:
        photo: The photograph.
        share: Side of what is looked at, in shares of the photograph's.
    """
    grey = photo.y.float().mean(0)[None, None]
    detail = (grey - F.avg_pool2d(grey, 3, stride=1, padding=1, count_include_pad=False)).abs()
    height, width = grey.shape[2:]
    sides = [max(1, round(share * side)) for side in (height, width)]
    found = F.avg_pool2d(detail, sides, stride=[max(1, side // 4) for side in sides])[0, 0]
    rows, columns = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in found.shape)
    found = found * torch.exp(-1.5 * (rows[:, None] ** 2 + columns**2))
    row, column = divmod(int(found.argmax()), found.shape[1])
    y, x = row * max(1, sides[0] // 4) + sides[0] / 2, column * max(1, sides[1] // 4) + sides[1] / 2
    return x * photo.scale, y * photo.scale
