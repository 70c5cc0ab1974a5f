"""Images between files, tensors and pictures to look at."""

import base64
import io
import warnings
from errno import EINVAL
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import InputError, naming
from ..files import write_atomically
from .arrays import check_is_file
from .carried import Extras, exif_of, profile_of
from .deep import DEEP, check_unsigned, in_8_bits, is_faint, is_reduced, reduce_clear, widen_clear
from .opening import asked, opened, pages_of
from .png import LEVEL, OPAQUE, check_channels
from .unread import is_hidden, why_none, why_unread
from .values import to_levels

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2",
            ".ppm", ".pgm", ".tga"}  # fmt: skip
SMALLER = "shrink it first"
"""Advice on what is too large."""
MAX_PIXELS = 100_000_000
# What Pillow warns of is said in our words. Once and for all: two filters that overlap leave one.
for category in (Image.DecompressionBombWarning, UserWarning):
    warnings.filterwarnings("ignore", category=category, module="PIL")
FORMATS = {"PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "TGA", "JPEG2000"}
"""Those that hold pixels alone: Pillow hands others, such as EPS, to programs that run them."""
PHOTOMETRIC, JPEGS = 0x0106, {"JPEG", "MPO"}
TIMES_ALPHA = "La", "RGBa"
"""Pillow's kinds of pixels whose values were multiplied by their alpha."""
GREY = "a greyscale image: so are its samples"
LUMA = "its luma was taken, of which blue is a tenth: save one channel where you mean that one"
ALPHA = "the alpha channel is enlarged by bicubic interpolation"
REDUCED = (
    "16-bit values were reduced to 8 bits (cvdvae upscale and restore keep those of a TIFF file as "
    "it is)"
)
ALMOST_BLACK = (
    "it fills less than a sixteenth of its 16 bits, but for a few values, and is almost black: "
    "map its values to 8 bits first (docs/microscopy.md)"
)


class Photo(NamedTuple):
    """An image as read from a file.

    Attributes:
        image: The picture, 8-bit RGB, upright.
        notes: What had to be changed to get there, in plain words.
        extras: What else the file carries.
    """

    image: Image.Image
    notes: list[str]
    extras: Extras


class Loaded(NamedTuple):
    """A low-resolution image as models take it.

    Attributes:
        y: The image, float in [0, 1], ``(C, h, w)``.
        notes: What had to be changed to read the file, in plain words.
    """

    y: Tensor
    notes: list[str]


def load_image(path: str | Path, channels: int = 3) -> Loaded:
    """Read an image file as models take it.

    Args:
        path: The file.
        channels: Those of the model, 1 or 3.

    Raises:
        InputError: The file cannot be used; the message names it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (4, 2)).save(f"{folder}/small.png")
        ...     y, notes = load_image(f"{folder}/small.png")
        >>> tuple(y.shape), notes
        ((3, 2, 4), [])
    """
    photo = read_photo(Path(path))
    image, lost = as_channels(photo.image, channels)
    return Loaded(to_tensor(image), photo.notes + lost)


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder that are not hidden, in the order of their names.

    Raises:
        InputError: The folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    files = sorted(p for p in folder.iterdir() if not (p.is_dir() or is_hidden(Path(p.name))))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InputError(f"{folder} {why_none(files, SUFFIXES)}")
    return paths


def raise_pillows_limit(pixels: int) -> None:
    """Let Pillow open images of so many pixels, in this whole process: for programs, whose user
    has asked for it."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixels)


def read_photo(
    path: Path,
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
    advice: str = SMALLER,
) -> Photo:
    """Read a still image of any common kind as upright 8-bit RGB.

    Args:
        path: The file.
        max_pixels: Most pixels that it may have; it is refused before it is decoded.
        keep_alpha: Keep an alpha channel apart, instead of putting the colours on white.
        advice: What to do with an image that has more.

    Raises:
        InputError: Missing, unreadable, empty, truncated, not an image, an animation, too large, or
            with values of no known range; the message names the file.
    """
    try:
        check_is_file(path)
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty")
        Image.init()
        kinds = sorted(FORMATS & set(Image.OPEN))
        # As a stream: from a path, Pillow maps some TIFFs with the sides of the picture turned.
        with path.open("rb") as stream, Image.open(stream, formats=kinds) as file:
            _refuse_unusable(path, file, max_pixels, advice)
            widen_clear(file)
            file.load()
            reduced = is_reduced(path, file)
            if reduced:
                reduce_clear(path, file)
            with naming(path):
                photo = upright_rgb(file, keep_alpha)
            if reduced:
                photo.notes.append(REDUCED)
            if REDUCED in photo.notes and is_faint(photo.image):
                photo.notes.append(ALMOST_BLACK)
            return photo
    except UnidentifiedImageError:
        raise InputError(f"{path} {why_unread(path)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} is over {max_pixels / 1e6:g} megapixels: {advice}") from None
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):  # no place in a file
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        raise InputError(f"{path} is damaged or truncated ({error})") from None


def read_extras(path: Path) -> tuple[Extras, list[str]]:
    """What a file that could be read carries but for alpha, where its pixels are taken as they are
    stored, and a note on what is left out."""
    try:
        with opened(path) as file:
            profile, notes = profile_of(file)
            exif = exif_of(file, file.format == "TIFF", upright=False)
            return Extras(profile, None, exif), notes
    except Exception:  # as of `read_photo`
        return Extras(), []


def kind_of(path: Path) -> str | None:
    """Pillow's name of a picture's kind, whatever its name says; None if it cannot be opened."""
    return asked(path, lambda file: file.format)


def is_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG, whatever its name says; False where it cannot be opened."""
    return kind_of(path) in JPEGS


def _refuse_unusable(path: Path, file: Image.Image, max_pixels: int, advice: str) -> None:
    if file.width * file.height > max_pixels:
        raise InputError(
            f"{path} has {file.width}×{file.height} pixels, over "
            f"{max_pixels / 1e6:g} megapixels: {advice}"
        )
    frames = pages_of(file)
    if frames > 1 and file.format != "MPO":  # a phone's photo, with a preview behind it
        raise InputError(
            f"{path} holds {frames} pictures (an animation, or pages): save the one you mean as PNG"
        )


def upright_rgb(file: Image.Image, keep_alpha: bool = False) -> Photo:
    """An open picture of any mode as upright 8-bit RGB; as `read_photo`.

    Raises:
        InputError: Its values have no known range.
    """
    check_unsigned(file)
    alpha, (profile, notes) = None, profile_of(file)
    try:
        image = ImageOps.exif_transpose(file)
    except Exception:  # Pillow raises errors of many kinds on damaged EXIF, which is no picture
        image = file.copy()
        notes.append("its EXIF is damaged: it was taken as it lies in the file")
    exif = exif_of(image, file.format == "TIFF")
    if image.mode in TIMES_ALPHA:
        image = image.convert(image.mode.upper())
    if image.mode in DEEP:
        image = in_8_bits(image, file.format)
        if getattr(file, "tag_v2", {}).get(PHOTOMETRIC) == 0:  # white: Pillow turns 8 bits alone
            image = ImageOps.invert(image)
        notes.append(REDUCED)
    if _is_grey(image):
        notes.append(GREY)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        opaque = image.getchannel("A").getextrema() == (255, 255)
        if keep_alpha and not opaque:
            alpha = image.getchannel("A")
            notes.append(ALPHA)
        else:
            if not opaque:
                notes.append("transparent pixels were put on white")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode not in ("RGB", "P", "L", "1"):
        notes.append(f"{image.mode} colours were converted to RGB")
    return Photo(image.convert("RGB"), notes, Extras(profile, alpha, exif))


def _is_grey(image: Image.Image) -> bool:
    palette = image.mode in ("P", "PA")
    return image.mode in ("L", "LA", "1") or (palette and not has_colours(image.convert("RGB")))


def in_channels(image: Image.Image, channels: int) -> Image.Image:
    """A Pillow image as a model of so many channels takes it: grey for 1, RGB for 3.

    Raises:
        InputError: Another number.
    """
    if channels not in OPAQUE:
        raise InputError(f"image files hold 1 or 3 channels, not the model's {channels}")
    return image.convert("L" if channels == 1 else "RGB")


def in_sight(image: Tensor) -> Tensor:
    """Of an image ``(C, H, W)`` what can be shown: its three colours, or of other channels the
    first, ``(1, H, W)``."""
    return image if len(image) == 3 else image[:1]


def as_channels(
    image: Image.Image, channels: int, counts_light: bool = False
) -> tuple[Image.Image, list[str]]:
    """As `in_channels`, with a note where colours are lost.

    Raises:
        InputError: As there, or colours would be lost to a model that counts light.
    """
    lost = channels == 1 and has_colours(image)
    if lost and counts_light:
        raise InputError("it is in colours: save the channel that you mean")
    return in_channels(image, channels), [LUMA] * lost


def has_colours(image: Image.Image) -> bool:
    """Whether channels of an RGB picture differ."""
    red, *others = image.split()
    return any(ImageChops.difference(red, other).getbbox() for other in others)


def opaque(image: Image.Image) -> Image.Image:
    """A picture as it was saved here, without its alpha: grey stays grey, all else is RGB."""
    return image.convert("L" if image.mode in ("L", "LA") else "RGB")


def to_channels(image: Image.Image) -> Tensor:
    """A Pillow image in grey or RGB as uint8, ``(C, H, W)`` with C = 1 or 3."""
    values = torch.from_numpy(np.array(image))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)


def to_tensor(image: Image.Image) -> Tensor:
    """A Pillow image in grey or RGB as float in [0, 1], ``(C, H, W)`` with C = 1 or 3."""
    return to_channels(image).float() / 255


def to_bytes(x: Tensor) -> Tensor:
    """Round images in [0, 1] to 8 bits: uint8, the same shape."""
    return to_levels(x)


def to_pil(x: Tensor) -> Image.Image:
    """One image ``(C, H, W)``, float in [0, 1] or uint8, as a Pillow image.

    Raises:
        InputError: C is neither 1 nor 3.
    """
    check_channels(len(x))
    eight_bit = x if x.dtype == torch.uint8 else to_bytes(x)
    if len(eight_bit) == 1:
        return Image.fromarray(eight_bit[0].contiguous().numpy())
    return Image.fromarray(eight_bit.permute(1, 2, 0).contiguous().numpy())


def png_in_base64(image: Image.Image, small: bool = True) -> str:
    """An image as the text of a PNG file in base64, made small or in a tenth of the time."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=small, compress_level=9 if small else 1)
    return base64.b64encode(stream.getvalue()).decode()


def save_png(path: Path, image: Image.Image, extras: Extras = Extras()) -> None:
    """Write a PNG whole or not at all, with what the file carried that it was made from."""
    dressed, profile, exif = extras.added_to(image), extras.icc_profile, extras.exif

    def write(temporary: Path) -> None:
        dressed.save(temporary, "PNG", compress_level=LEVEL, icc_profile=profile, exif=exif)

    write_atomically(path, write)
