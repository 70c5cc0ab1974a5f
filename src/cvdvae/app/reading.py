"""Pictures as visitors give them."""

import io
from pathlib import Path

from PIL import ImageCms

from ..imaging.io import Photo, read_photo


def read_upload(path: Path, max_pixels: int, advice: str = "shrink it first") -> Photo:
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
    name = _profile_name(photo.extras.icc_profile)
    if not name or "srgb" in name.lower():
        return photo
    note = f"its colours are those of {name}, and paler as sRGB here: the commands keep its profile"
    return photo._replace(notes=[*photo.notes, note])


def _profile_name(profile: bytes | None) -> str:
    """What a profile calls itself; nothing where there is none, or it is damaged."""
    if not profile:
        return ""
    try:
        named = ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (OSError, ImageCms.PyCMSError):
        return ""
    return named.strip()[:60]
