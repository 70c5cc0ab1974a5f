"""Files of degraded images to what was seen, for `cvdvae restore`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import Tensor

from ..degradations.base import LinearOperator
from ..degradations.mask import luminance
from ..domains.faces import crop_face
from ..domains.simulate import Crop
from ..errors import InputError
from ..imaging.crop import centre_square
from ..imaging.io import MAX_PIXELS, read_photo, to_tensor
from ..restoration.described import Description, parse
from ..restoration.estimates import JPEGFile, estimate_noise, read_jpeg
from ..restoration.mask_kinds import OnlyNoise
from ..restoration.restoring import Seen, degraded, seen


@dataclass(frozen=True)
class Happened:
    """What the user says of their images.

    Attributes:
        description: H in words.
        jpeg: Whether the file itself tells the rest, by a JPEG's own tables.
        noise: σ, ``auto`` to estimate it from the image, or None for the usual one.
    """

    description: Description
    jpeg: bool
    noise: float | Literal["auto"] | None


def happened(
    degradation: str | None, mask: Path | None, jpeg: str | None, noise: str | None
) -> Happened:
    """What the options of the command line say.

    Args:
        degradation: As `cvdvae.restoration.described.parse` takes it.
        mask: A picture that is white where pixels are missing; it comes last.
        jpeg: ``auto``, or a quality; it comes after all else.
        noise: A number, or ``auto``.

    Raises:
        InputError: They say nothing, or what cannot be.
        ConfigError: The words describe nothing.
    """
    sigma = _noise(noise)
    parts = [degradation] if degradation else []
    if mask is not None:
        parts.append(f"mask:file={mask}")
    if jpeg not in (None, "auto"):
        parts.append(f"jpeg:quality={jpeg}")
    if jpeg == "auto" and (mask is not None or noise):
        raise InputError(
            "with --jpeg auto the file itself says how it is noisy: leave the others out"
        )
    if not parts and jpeg is None and sigma is None:
        raise InputError("say what happened to the image: --degradation, --mask, --jpeg or --noise")
    description = parse(" + ".join(parts) or "noise")
    if sigma is not None and not description.pictures:
        raise InputError("a JPEG's noise is the rounding of its coefficients: leave --noise out")
    return Happened(description, jpeg == "auto", sigma)


def _noise(text: str | None) -> float | Literal["auto"] | None:
    if text is None or text == "auto":
        return "auto" if text else None
    try:
        sigma = float(text)
    except ValueError:
        raise InputError(f"--noise is a number from 0 to 1, or auto, not '{text[:40]}'") from None
    if not 0 <= sigma <= 1:
        raise InputError(f"the noise σ must be a number from 0 to 1, not {text[:40]}")
    return sigma


def read_seen(path: Path, what: Happened, most: int = MAX_PIXELS) -> tuple[Seen, list[str]]:
    """What a file shows, and what was found out about it.

    Args:
        path: The file.
        what: What happened to it.
        most: Its pixels at most.

    Raises:
        InputError: The file cannot be used, or does not belong to the degradation.
    """
    if what.jpeg:
        file = read_jpeg(path, most)
        before = [one for one in what.description.steps if not isinstance(one, OnlyNoise)]
        description = Description((*before, *file.description.steps))
        told = seen(file.y, _behind(file, description), description=description)
        return told, file.told
    photo = read_photo(path, most)
    y, notes = to_tensor(photo.image), list(photo.notes)
    sigma = what.noise
    if sigma == "auto":
        sigma = estimate_noise(y)
        notes.append(f"the noise was estimated from the image: σ = {sigma:.4f}")
    if what.description.colours_left == 1:
        y = luminance().A(y[None])[0]
    return seen(y, what.description, sigma), notes


def _behind(file: JPEGFile, description: Description) -> LinearOperator:
    """H from the image that was there to what a file holds."""
    return description.operator(description.hr_size(file.operator.size))


def degrade(
    path: Path, what: Happened, side: int | None, crop: Crop, seed: int, most: int = MAX_PIXELS
) -> tuple[Seen, Tensor, list[str]]:
    """Degrade an intact photo: what is then seen, the truth, and notes.

    Args:
        path: The photo.
        what: What shall happen to it.
        side: Side of the images of a model that is bound to its size.
        crop: ``face``, ``centre`` or ``none``.
        seed: Of the noise.
        most: Pixels of the photo at most.

    Raises:
        InputError: The file cannot be used, or no face is found.
    """
    if what.jpeg or what.noise == "auto":
        raise InputError("with --simulate nothing can be estimated: name the quality or the noise")
    photo = read_photo(path, most)
    image = photo.image
    if crop == "face":
        image = crop_face(image)
    if crop == "centre":
        image = centre_square(image)
    if side is not None:
        if image.width != image.height:
            raise InputError(
                "the photo would be squashed: cut it with --crop face or --crop centre"
            )
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    x = to_tensor(image)
    told = degraded(x, what.description, what.noise, seed)
    return told, x, list(photo.notes)
