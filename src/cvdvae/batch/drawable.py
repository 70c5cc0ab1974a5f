"""A row that was read, and can be drawn: in memory, or into a folder.

An image comes as a path, as the bytes of an image file, or as an array.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ..errors import CVDVAEError, InputError
from ..imaging.carried import Extras
from ..imaging.io import REDUCED
from ..restoration.answers import Answers
from ..restoration.large import IN_MEMORY
from ..restoration.restorer import Restorer
from ..restoration.sampler import SuperResolver

Image = str | bytes | np.ndarray[Any, Any]
"""A path, the bytes of an image file, or an array ``(h, w, C)`` or ``(h, w)``, uint8 or float in
[0, 1]."""
Model = SuperResolver | Restorer
TO_A_FOLDER = "holds arrays in their own unit: write them to a folder"
"""What is said of a file that no row holds."""
TIFF = (b"II", b"MM")
"""How such files begin."""
T = TypeVar("T")


class Drawn(NamedTuple):
    """The samples of a picture, in memory.

    Attributes:
        answers: The samples.
        extras: What the picture's file carried beside.
        told: What is told of them, by column, and `REMARKS`.
    """

    answers: Answers
    extras: Extras
    told: dict[str, Any]


class Drawable(Protocol):
    """A row that was read."""

    @property
    def notes(self) -> list[str]:
        """What had to be changed to read it."""

    def drawn(self) -> Drawn:
        """Its samples.

        Raises:
            InputError: They would not fit, or it is no picture but a file of arrays.
        """

    def draw_into(self, folder: Path) -> list[str]:
        """Draw and save it, as ``cvdvae upscale`` or ``cvdvae restore`` does; give `remarks`."""


class Drawer(Protocol):
    """Reads rows."""

    @property
    def model(self) -> Model:
        """What draws them."""

    def read(self, image: Image, key: str, keep_alpha: bool) -> Drawable:
        """Read a row.

        Args:
            image: Its image.
            key: Its key.
            keep_alpha: As for `read_input`.

        Raises:
            InputError: It cannot be used.
        """

    def facts(self) -> dict[str, Any]:
        """What results follow from, beside the image."""


def refuse_reduced(data: bytes, notes: list[str], key: str) -> None:
    """Refuse the bytes of a TIFF that was reduced to 8 bits, as its file in a folder is not.

    Raises:
        InputError: It was.
    """
    if REDUCED in notes and data.startswith(TIFF):
        raise InputError(
            f"{key or 'an image'} holds values of more than 8 bits: give it as a file of a folder"
        )


def check_row(samples: int, pixels: int) -> None:
    """Refuse samples of so many pixels each that are too large for a row.

    Raises:
        InputError: They are.
    """
    if samples * pixels > IN_MEMORY:
        raise InputError(
            f"{samples} samples of together {samples * pixels / 1e6:.0f} megapixels are too large "
            f"for a row: write them to a folder"
        )


def as_file(data: bytes, key: str, read: Callable[[Path], T]) -> T:
    """Read the bytes of a file, which messages name by its key."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            return read(path)
        except CVDVAEError as error:
            raise InputError(str(error).replace(str(path), key or "an image")) from None


@contextmanager
def named(key: str) -> Iterator[None]:
    """Put the key of a row before what is said of it."""
    try:
        yield
    except CVDVAEError as error:
        raise InputError(f"{key}: {error}" if key else str(error)) from None
