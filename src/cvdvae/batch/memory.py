"""How much memory rows take while they are drawn."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..damage.step import Size
from ..imaging.io import kind_of, opened
from ..restoration.ending import BYTES
from .files import holds_arrays, pixels_of
from .restore import restores_as_arrays
from .rows import IMAGES, Batch, rows_of
from .settings import Settings

HELD, OF_ARRAYS = 15, 48
"""Bytes for each pixel of every sample, which are all held: of pictures, of arrays at most."""


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
            held = OF_ARRAYS if arrays else HELD
            most = max(most, height * width * (BYTES + held * settings.samples))
    return most


def _size_of(image: Any) -> Size:
    """Height and width of a row's image, as its file says; where that is no picture but arrays, all
    pixels that its bytes let expect, as one column.

    Raises:
        Exception: Of many kinds: it is neither.
    """
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    if isinstance(image, str) and kind_of(Path(image)) is None and holds_arrays(Path(image)):
        return pixels_of(Path(image)), 1
    with opened(Path(image)) if isinstance(image, str) else Image.open(io.BytesIO(image)) as file:
        return file.height, file.width
