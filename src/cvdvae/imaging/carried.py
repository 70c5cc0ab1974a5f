"""What the file of a picture carries beside its pixels: colour profile and EXIF."""

from dataclasses import dataclass, replace

from PIL import ExifTags, Image

SIDES, ORIENTATION, SIZES = (0x0100, 0x0101), 0x0112, (0xA002, 0xA003)
"""EXIF tags that hold no more: width and height, what turns an image, and sizes that the camera
says."""
LYING = range(2, 9)
"""Orientations of what is not upright."""
DESCRIBING = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}
"""EXIF tags: description, make, model, software, time, artist, copyright, camera, place."""
NO_RGB = "its colour profile is not one of RGB: the samples are sRGB without it"


@dataclass(frozen=True, eq=False)
class Extras:
    """What a file carries beside its colours, and hands on to the pictures made of them.

    Attributes:
        icc_profile: What its colours mean; sRGB where there is none.
        alpha: How opaque every pixel is, 8-bit, upright.
        exif: Camera, time, place and the like, without size, for pictures made of it are larger,
            and where the picture is upright without orientation.
    """

    icc_profile: bytes | None = None
    alpha: Image.Image | None = None
    exif: bytes | None = None

    @classmethod
    def turned(cls, orientation: int) -> "Extras":
        """Nothing but how the picture is to be turned, as EXIF counts, from 1 to 8."""
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        return cls(exif=None if orientation == 1 else exif.tobytes())

    @property
    def orientation(self) -> int:
        """How the picture is to be turned, as EXIF counts; 1 where it is upright."""
        exif = Image.Exif()
        exif.load(self.exif or b"")
        told = exif.get(ORIENTATION, 1)
        return int(told) if told in LYING else 1

    def of(self, channels: int) -> "Extras":
        """Those of a picture of so many channels: the profile, of RGB, goes with no grey one."""
        return replace(self, icc_profile=None) if channels == 1 else self

    def alpha_of(self, size: tuple[int, int], rows: slice | None = None) -> Image.Image | None:
        """The alpha of a picture of this width and height, or of some of its rows."""
        if self.alpha is None:
            return None
        top, bottom, _ = (rows or slice(None)).indices(size[1])
        step = self.alpha.height / size[1]
        box = (0, top * step, self.alpha.width, bottom * step)
        return self.alpha.resize((size[0], bottom - top), Image.Resampling.BICUBIC, box)

    def added_to(self, image: Image.Image) -> Image.Image:
        """A grey or RGB picture, with the alpha."""
        alpha = self.alpha_of(image.size)
        if alpha is None:
            return image
        image = image.copy()
        image.putalpha(alpha)
        return image


def profile_of(file: Image.Image) -> tuple[bytes | None, list[str]]:
    """The ICC profile of an open file, and a note where it goes with no RGB picture."""
    profile = file.info.get("icc_profile")
    if profile and profile[16:20] != b"RGB ":  # the field of an ICC header with its colour space
        return None, [NO_RGB]
    return profile, []


def exif_of(image: Image.Image, is_tiff: bool, upright: bool = True) -> bytes | None:
    """EXIF of an image, which says how to turn it unless it is upright; of a TIFF, whose own tags
    lie among them, what describes it."""
    try:
        exif = image.getexif()
        is_upright = upright or exif.get(ORIENTATION) not in LYING
        for tag in (*SIDES, ORIENTATION) if is_upright else SIDES:
            exif.pop(tag, None)
        for tag in SIZES:
            exif.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
        for tag in [tag for tag in exif if is_tiff and tag not in DESCRIBING]:
            del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception:  # Pillow raises errors of many kinds on damaged EXIF, which is no picture
        return None
