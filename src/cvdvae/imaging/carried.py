"""What the file of a picture carries beside its pixels: colour profile and EXIF."""

from PIL import ExifTags, Image

ORIENTATION, SIZES = 0x0112, (0xA002, 0xA003)
DESCRIBING = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}
"""EXIF tags: description, make, model, software, time, artist, copyright, camera, place."""


def profile_of(file: Image.Image) -> tuple[bytes | None, list[str]]:
    """The ICC profile of an open file, and a note where it goes with no RGB picture."""
    profile = file.info.get("icc_profile")
    if profile and profile[16:20] != b"RGB ":  # the field of an ICC header with its colour space
        return None, ["its colour profile is not one of RGB: the samples are sRGB without it"]
    return profile, []


def exif_of(image: Image.Image, is_tiff: bool) -> bytes | None:
    """EXIF of an upright image; of a TIFF, whose own tags lie among them, what describes it."""
    try:
        exif = image.getexif()
        exif.pop(ORIENTATION, None)
        for tag in SIZES:
            exif.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
        for tag in [tag for tag in exif if is_tiff and tag not in DESCRIBING]:
            del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception:  # Pillow raises errors of many kinds on damaged EXIF, which is no picture
        return None
