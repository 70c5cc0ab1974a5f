"""Pictures as visitors give them."""

import hashlib
import io
from pathlib import Path

import torch
from PIL import Image, ImageChops, ImageCms
from torch import Tensor

from ..errors import InputError
from ..imaging.io import SMALLER, Photo, read_photo, to_bytes, to_tensor

COLOURS = Image.new("RGB", (6, 1))
COLOURS.putdata(
    [(200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60), (200, 60, 200), (60, 200, 200)]
)
"""Saturated, but none that sRGB lacks in a wider profile, where it would be cut off."""
MOVED = 4
"""Levels of 255 by which a profile must move one of them to be another than sRGB."""


def read_upload(path: Path, max_pixels: int, advice: str = SMALLER) -> Photo:
    """As `cvdvae.imaging.io.read_photo`, with a note where its colours mean others than sRGB: the
    page shows and hands on all pictures without a profile.

    Args:
        path: The file.
        max_pixels: As there.
        advice: As there.

    Raises:
        InputError: As there.
    """
    photo = read_photo(path, max_pixels, advice=advice)
    name = _other_than_srgb(photo.extras.icc_profile)
    if not name:
        return photo
    note = f"its colours are those of {name}, and paler as sRGB here: the commands keep its profile"
    return photo._replace(notes=[*photo.notes, note])


def holds(path: Path, y: Tensor) -> bool:
    """Whether a file has the pixels of a low-resolution image ``(3, h, w)``, uint8 or in [0, 1]."""
    y = y if y.dtype == torch.uint8 else to_bytes(y)
    try:
        return torch.equal(to_bytes(to_tensor(read_photo(path, y[0].numel()).image)), y)
    except InputError:
        return False


def pixels_of(path: Path) -> int:
    """How many pixels an image file says that it has; none where it cannot be read."""
    try:
        with Image.open(path) as file:
            return file.width * file.height
    except Exception:  # Pillow raises errors of many kinds; the reader says what is wrong
        return 0


def digest_of(image: Tensor) -> str:
    """What tells an image, uint8, from every other."""
    shape = "×".join(map(str, image.shape))
    return hashlib.sha256(shape.encode() + image.contiguous().numpy().tobytes()).hexdigest()


def _other_than_srgb(profile: bytes | None) -> str:
    """What a profile calls itself; nothing where its colours are those of sRGB, under whatever
    name, or where there is none, or it is damaged."""
    if not profile:
        return ""
    try:
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        seen = ImageCms.profileToProfile(COLOURS, read, ImageCms.createProfile("sRGB"))
        named = ImageCms.getProfileName(read).strip()[:60]
    except (OSError, ImageCms.PyCMSError):
        return ""
    assert seen is not None
    off = ImageChops.difference(seen, COLOURS).tobytes()
    return named if max(off) > MOVED else ""
