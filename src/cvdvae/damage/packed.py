"""Masks, kernels and inputs as text that a result can hold, and from files."""

import base64
import binascii
import io
import re
import zlib
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..files import read_bounded
from ..imaging.io import MAX_PIXELS, REDUCED, Photo, read_photo
from ..imaging.opening import asked

MAX_FILE, MAX_KERNEL = 2**24, 2**20
"""Bytes of a kernel's file, and numbers in it."""
LARGE = ("I", "F")
"""How Pillow's modes of more than 8 bits begin."""
HEADER = 1024
"""More bytes than stand before the numbers of an `.npy` file."""
FORM = re.compile(r"(\d{1,6})x(\d{1,6}):([A-Za-z0-9+/=]*)")


def pack(matrix: Tensor) -> str:
    """A bool or float64 matrix ``(h, w)`` as text: its size, and its bytes in base64 of zlib."""
    data = zlib.compress(matrix.contiguous().numpy().tobytes(), 9)
    return f"{matrix.shape[0]}x{matrix.shape[1]}:{base64.b64encode(data).decode()}"


def pixels_of(text: str) -> int:
    """How many numbers a text of `pack` says that it holds; 0 where it is none."""
    form = FORM.fullmatch(text)
    return int(form[1]) * int(form[2]) if form else 0


def unpack(text: str, dtype: torch.dtype) -> Tensor:
    """The matrix that `pack` made, bool or float64.

    Raises:
        InputError: It is no such text.
    """
    form = FORM.fullmatch(text)
    height, width = (int(form[1]), int(form[2])) if form else (0, 0)
    most, size = (MAX_PIXELS, 1) if dtype == torch.bool else (MAX_KERNEL, 8)
    if form is None or not 0 < height * width <= most:
        raise InputError("this is no packed mask or kernel")
    length = height * width * size
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(base64.b64decode(form[3], validate=True), length + 1)
    except (zlib.error, binascii.Error):
        raise InputError("a packed mask or kernel is damaged") from None
    if len(raw) != length or not inflater.eof or (dtype == torch.bool and _most(raw) > 1):
        raise InputError("a packed mask or kernel is damaged")
    return torch.frombuffer(bytearray(raw), dtype=dtype).view(height, width)


def _most(raw: bytes) -> int:
    return int(np.frombuffer(raw, np.uint8).max())


def pack_numbers(values: np.ndarray) -> str:
    """An array as text: its `.npy` file, in base64 of zlib."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue(), 6)).decode()


def unpack_numbers(text: str, most: int) -> np.ndarray:
    """The array that `pack_numbers` made, of at `most` so many numbers of up to four bytes.

    Raises:
        Exception: It is damaged; NumPy raises errors of many kinds.
    """
    plain = zlib.decompressobj().decompress(base64.b64decode(text), 4 * most + HEADER)
    return np.asarray(np.load(io.BytesIO(plain), allow_pickle=False))


def pack_mask(path: Path) -> str:
    """A painted mask from an image file: True where it is white, or more than half of it.

    Raises:
        InputError: The file cannot be used.
    """
    return pack(grey_levels(path) >= 0.5)


def pack_kernel(path: Path) -> str:
    """A kernel from a `.npy` file, or from the grey levels of an image file.

    Raises:
        InputError: The file cannot be used, or is larger than any kernel.
    """
    if path.suffix.lower() != ".npy":
        # What would be refused as a picture would be with advice that is none for a kernel.
        large = (asked(path, attrgetter("mode")) or "").startswith(LARGE)
        photo = None if large else read_photo(path, keep_alpha=True)
        if photo is None or REDUCED in photo.notes:
            raise InputError(f"{path} holds values of more than 8 bits: save them as .npy")
        kernel = _grey_levels(photo)
    else:
        try:
            values = np.load(io.BytesIO(read_bounded(path, MAX_FILE)), allow_pickle=False)
            if np.iscomplexobj(values):
                raise InputError(f"{path} holds complex numbers: a kernel has real ones")
            kernel = torch.from_numpy(np.asarray(values, dtype=np.float64))
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, TypeError, EOFError, MemoryError, OverflowError):
            raise InputError(f"{path} holds no matrix of numbers") from None
    if kernel.ndim != 2 or not 0 < kernel.numel() <= MAX_KERNEL:
        raise InputError(f"{path} holds no matrix of numbers, or one larger than any kernel")
    return pack(kernel)


def grey_levels(path: Path) -> Tensor:
    """Grey levels of an image file in [0, 1], ``(h, w)`` float64; what is transparent is black.

    Raises:
        InputError: It cannot be used as a mask.
    """
    if asked(path, attrgetter("mode")) == "F":
        raise InputError(
            f"{path} holds floating-point values, of which none is known to be white: save the "
            f"mask in 8 or 16 bits"
        )
    return _grey_levels(read_photo(path, keep_alpha=True))


def _grey_levels(photo: Photo) -> Tensor:
    grey = np.asarray(photo.image.convert("L"), dtype=np.float64) / 255
    if photo.extras.alpha is not None:
        grey = grey * (np.asarray(photo.extras.alpha, dtype=np.float64) / 255)
    return torch.from_numpy(grey)
