"""Pictures of more than 8 bits a value, reduced to 8."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .png import SIGNATURE

BITS_PER_SAMPLE, SAMPLE_FORMAT = 0x0102, 0x0153
SIGNED = (2,)
BELOW_0 = "values below 0 are no image's: save 8 or 16 bits"
DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow's kinds of pixels that have more than 8 bits."""
SCALED = "I", "PPM"
"""Kind of pixels, and of a file, of which Pillow makes 16 bits whatever its largest value is."""
WIDENED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey of fewer bits by, but no 1 bit's."""
TWELVE_BITS = 16
"""What the largest value of 12 bits is among the 256 levels of 16."""
HEAD = 2**16
"""Bytes of a file that tell how deep it is, comments and all."""


def is_reduced(path: Path, file: Image.Image) -> bool:
    """Whether Pillow itself reduces a picture to 8 bits, as it does those with colours."""
    if file.mode in DEEP:
        return False
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    return _is_deep_png(head) or _is_deep_ppm(head) or _is_deep_tiff(file)


def _is_deep_png(head: bytes) -> bool:
    return head.startswith(SIGNATURE) and head[24] == 16


def _is_deep_ppm(head: bytes) -> bool:
    """Whether a PPM, in which comments may stand anywhere, names a largest value over 8 bits."""
    if head[:2] not in (b"P3", b"P6"):
        return False
    told = re.sub(rb"#[^\r\n]*", b"", head).split(maxsplit=4)
    return len(told) > 3 and int(told[3]) > 255


def _is_deep_tiff(file: Image.Image) -> bool:
    bits = getattr(file, "tag_v2", {}).get(BITS_PER_SAMPLE, 8)
    return any(one > 8 for one in (bits if isinstance(bits, tuple) else (bits,)))


def check_unsigned(file: Image.Image) -> None:
    """Pillow reads grey of 8 bits with a sign as if it had none.

    Raises:
        InputError: So it is in this TIFF.
    """
    if file.mode == "L" and getattr(file, "tag_v2", {}).get(SAMPLE_FORMAT) == SIGNED:
        raise InputError(BELOW_0)


def is_faint(reduced: Image.Image) -> bool:
    """Whether values of 16 bits, here reduced to 8, needed 12 or fewer, as a camera's counts do,
    whose range is not that of the file; all but a thousandth of them, since pixels may be hot."""
    counts = np.reshape(reduced.histogram(), (-1, 256)).sum(0)
    return bool(counts[TWELVE_BITS + 1 :].sum() * 1000 <= counts.sum())


def widen_clear(file: Image.Image) -> None:
    """Widen the grey that a PNG of 2 or 4 bits calls transparent as Pillow does its pixels, before
    they are read."""
    clear = file.info.get("transparency")
    tiles = getattr(file, "tile", []) if file.format == "PNG" else []
    packed = tiles[0].args if tiles else None
    if isinstance(clear, int) and packed in WIDENED:
        file.info["transparency"] = clear * WIDENED[packed]


def reduce_clear(path: Path, file: Image.Image) -> None:
    """Make the colour of 16 bits that a PNG calls transparent an alpha channel of its pixels, of
    which Pillow keeps but the upper bytes.

    Args:
        path: The file, which is read once more for the lower bytes.
        file: The picture, read.
    """
    clear = file.info.get("transparency")
    if not isinstance(clear, tuple):
        return
    del file.info["transparency"]
    with Image.open(path, formats=["PNG"]) as again:
        again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        upper, lower = np.asarray(file), np.asarray(again)
    opaque = np.zeros(upper.shape[:2], bool)
    for colour, value in enumerate(clear):
        opaque |= upper[..., colour] != value >> 8
        opaque |= lower[..., colour] != value & 255
    file.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))


def in_8_bits(image: Image.Image, kind: str | None = None) -> Image.Image:
    """A greyscale image of 16 bits, or of more that hold no more; with alpha where it names a value
    that is transparent. `kind` is Pillow's name of its file's.

    Raises:
        InputError: Its values have no known range.
    """
    values = np.asarray(image).astype(np.float64)
    if values.min() < 0:
        raise InputError(BELOW_0)
    if image.mode == "F":
        raise InputError(
            "floating-point values have no known range: save 8 or 16 bits (cvdvae upscale and "
            "restore take those of a TIFF, but for --jpeg, grey, bayer, restore --simulate, and "
            "--simulate with --noise)"
        )
    known = image.mode != "I" or (image.mode, kind) == SCALED
    if not known and not 255 < values.max() <= 65535:
        raise InputError("values of 32 bits have no known range: save 8 or 16 bits")
    grey = Image.fromarray(np.clip(np.round(values / 257), 0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
