"""Images between files, tensors and pictures to look at."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .files import write_atomically


def to_bytes(x: Tensor) -> Tensor:
    """Round images in [0, 1] to 8 bits: uint8, the same shape."""
    return torch.round(x.detach().cpu().clamp(0, 1) * 255).to(torch.uint8)


def to_pil(x: Tensor) -> Image.Image:
    """One image ``(3, H, W)``, float in [0, 1] or uint8, as a Pillow image."""
    eight_bit = x if x.dtype == torch.uint8 else to_bytes(x)
    return Image.fromarray(eight_bit.permute(1, 2, 0).contiguous().numpy())


def save_png(path: Path, image: Image.Image) -> None:
    """Write a PNG whole or not at all."""
    write_atomically(path, lambda p: image.save(p, "PNG"))


def save_tiles(path: Path, images: Tensor, columns: int, zoom: int = 2) -> None:
    """Write equally large images ``(N, 3, H, W)`` in [0, 1] as one PNG, row by row."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1), columns * (width + 1), 3), 255, np.uint8)
    for i, tile in enumerate(to_bytes(images).permute(0, 2, 3, 1).numpy()):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    picture = Image.fromarray(sheet)
    size = (picture.width * zoom, picture.height * zoom)
    save_png(path, picture.resize(size, Image.Resampling.NEAREST))
