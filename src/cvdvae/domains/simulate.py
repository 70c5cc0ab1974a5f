"""Make a low-resolution image whose truth is known: crop a photo, resize it, shrink it with H."""

from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from ..degradations.base import shrink_to_8_bits
from ..degradations.bicubic import downscaling
from ..degradations.downscaling import Downscaling
from ..errors import InputError
from ..imaging.crop import centre_square
from ..imaging.deep import DEEP
from ..imaging.io import to_tensor, upright_rgb
from .faces import crop_face

Crop = Literal["face", "centre", "none"]
GREY = {"1", "L", "LA", "La", *DEEP}
"""Pillow's kinds of pixels without colours."""


def simulate_at_scale(
    photo: Image.Image,
    scale: int,
    crop: Crop = "none",
    shrunk_by: str = "bicubic",
    photons: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Shrink a photo of any size, at its own resolution.

    Args:
        photo: Of any mode, taken as from a file: upright, 8-bit, on white, grey or RGB. The last
            rows and columns are left out where `scale` does not divide its sides.
        scale: By what to shrink it.
        crop: The square around the largest face, the largest centred square, or the whole photo.
        shrunk_by: One of `cvdvae.degradations.kernels.KERNELS`.
        photons: As for `shrink_to_8_bits`; a photo gets the same noise every time.

    Returns:
        The low-resolution image ``(C, h, w)``, rounded to 8 bits, and the truth
        ``(C, scale h, scale w)``, both float in [0, 1].

    Raises:
        InputError: No picture, or one whose values have no known range; no face is found, no pixel
            would be left, or `crop` is something else.
    """
    return simulate_whole(cut(photo, crop), scale, shrunk_by, photons)


def simulate_whole(
    part: Image.Image, scale: int, shrunk_by: str = "bicubic", photons: float = 0.0
) -> tuple[Tensor, Tensor]:
    """As `simulate_at_scale`, of what was `cut` out of a photo.

    Args:
        part: What was cut out, grey or RGB of 8 bits.
        scale: As for `simulate_at_scale`.
        shrunk_by: As for `simulate_at_scale`.
        photons: As for `simulate_at_scale`.

    Returns:
        As `simulate_at_scale`.

    Raises:
        InputError: No pixel would be left.
    """
    height, width = part.height // scale, part.width // scale
    if not height or not width:
        raise InputError(f"{part.width}×{part.height} pixels cannot be shrunk by {scale}")
    truth = to_tensor(part)[:, : height * scale, : width * scale]
    degradation = downscaling((height * scale, width * scale), (height, width), shrunk_by)
    return _shrunk(truth, degradation, photons), truth


def left_out(rows: int, columns: int) -> list[str]:
    """A note on the last rows and columns of a photo, where some are left out."""
    if not rows + columns:
        return []
    lost = [f"{n} {name}{'s' * (n > 1)}" for n, name in ((rows, "row"), (columns, "column")) if n]
    verb = "is" if rows + columns == 1 else "are"
    return [f"its last {' and '.join(lost)} {verb} left out, which the shrinking does not divide"]


def _shrunk(truth: Tensor, degradation: Downscaling, photons: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return shrink_to_8_bits(truth[None], degradation, photons, generator)[0]


def cut(photo: Image.Image, crop: Crop) -> Image.Image:
    """The part of a photo that is shrunk, as models take it: 8-bit, grey or RGB.

    Args:
        photo: Of any mode, as for `simulate_at_scale`.
        crop: The square around the largest face, the largest centred square, or the whole photo.

    Raises:
        InputError: As of `simulate_at_scale`.
    """
    if crop not in get_args(Crop):
        raise InputError(f"crop must be one of {', '.join(get_args(Crop))}, not '{crop}'")
    photo = _upright(photo)
    if crop == "face":
        return crop_face(photo)
    return centre_square(photo) if crop == "centre" else photo


def _upright(photo: Image.Image) -> Image.Image:
    """A picture as models take it, as a file of it is read: grey stays grey, all else is RGB."""
    if not isinstance(photo, Image.Image):
        raise InputError(
            f"a {type(photo).__name__} is no picture: PIL.Image.open reads a file, and "
            f"PIL.Image.fromarray takes an array"
        )
    image = upright_rgb(photo).image
    return image.convert("L") if photo.mode in GREY else image


def simulate(
    photo: Image.Image, degradation: Downscaling, crop: Crop = "face", photons: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Shrink a photo to what the model takes.

    Args:
        photo: Of any mode, as for `simulate_at_scale`.
        degradation: H, whose `hr_size` the cropped photo is resized to (antialiased bicubic).
        crop: The square around the largest face, the largest centred square, or the whole photo.
        photons: As for `simulate_at_scale`.

    Returns:
        The low-resolution image ``(C, h, w)``, rounded to 8 bits, and the truth ``(C, H, W)``, both
        float in [0, 1].

    Raises:
        InputError: No picture, or one whose values have no known range; no face is found, less is
            left than the model's own size, the whole photo has another shape, or `crop` is
            something else.
    """
    height, width = degradation.hr_size
    photo = cut(photo, crop)
    if crop == "none" and photo.width * height != photo.height * width:
        raise InputError(
            f"the photo has {photo.width}×{photo.height} pixels and would be squashed: "
            f"cut it with --crop face or centre (in Python crop=)"
        )
    if photo.width < width or photo.height < height:
        raise InputError(
            f"the photo (or its face) has {photo.width}×{photo.height} pixels: "
            f"shrinking needs at least {width}×{height}"
        )
    truth = to_tensor(photo.resize((width, height), Image.Resampling.BICUBIC))
    return _shrunk(truth, degradation, photons), truth
