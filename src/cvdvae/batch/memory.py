"""How much memory rows take while they are drawn."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from ..damage.step import Size
from ..imaging.io import kind_of
from ..imaging.opening import opened
from ..restoration.batches import HELD, HELD_AT_MOST
from ..restoration.ending import BYTES
from .files import holds_arrays, pixels_of
from .restore import restores_as_arrays
from .rows import IMAGES, Batch, rows_of
from .settings import Settings

PACKED = 8
"""By how much a store may be packed."""


def memory_of(batch: Batch, settings: Settings) -> int:
    """Bytes that the largest row of a batch takes at most while it is restored; 0 where images are
    enlarged: large ones are then drawn through files."""
    what, most = settings.happened, 0
    if what is None:
        return 0
    for image in (row.get(name) for row in rows_of(batch) for name in IMAGES):
        with suppress(Exception):  # it is read again, and refused with the reason
            height, width = what.description.hr_size(_size_of(image))
            arrays = isinstance(image, str) and restores_as_arrays(Path(image), what)
            held = HELD_AT_MOST if arrays else HELD
            most = max(most, height * width * (BYTES + held * settings.samples))
    return most


def _size_of(image: Any) -> Size:
    """Height and width of a row's image, as its file says.

    Raises:
        Exception: Of many kinds: it is neither.
    """
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    if isinstance(image, str) and kind_of(Path(image)) is None and holds_arrays(Path(image)):
        return _size_of_arrays(Path(image))
    with opened(Path(image)) if isinstance(image, str) else Image.open(io.BytesIO(image)) as file:
        return file.height, file.width


def _size_of_arrays(path: Path) -> Size:
    """The two longest sides of a file of arrays as its header says; of a store, which may be
    packed, more pixels than its bytes let expect, as one column."""
    if path.is_dir():
        return PACKED * pixels_of(path), 1
    if path.suffix.lower() == ".npy":
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    else:
        with tifffile.TiffFile(path) as file:
            shape = file.series[0].shape
    height, width = sorted(shape)[-2:]
    return int(height), int(width)
