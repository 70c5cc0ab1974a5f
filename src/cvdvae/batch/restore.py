"""Files of degraded images to what was seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..damage.described import Description
from ..damage.dividing import divided
from ..damage.holes import refuse_mixed, with_hole
from ..damage.jpeg_file import GREY_FILE, at_odds
from ..damage.kinds import JPEG
from ..damage.mask_kinds import OnlyNoise
from ..damage.step import Size
from ..degradations.mask import luminance
from ..domains.faces import crop_face
from ..domains.simulate import Crop, left_out
from ..errors import InputError, naming
from ..imaging.carried import Extras
from ..imaging.crop import centre_square
from ..imaging.io import (
    ALPHA,
    GREY,
    JPEGS,
    LUMA,
    MAX_PIXELS,
    SMALLER,
    as_channels,
    has_colours,
    kind_of,
    read_extras,
    read_photo,
    to_tensor,
)
from ..imaging.opening import asked, pages_of
from ..restoration.restoring import Check, Seen, anything, degraded, seen, seen_in_jpeg
from .files import holds_arrays
from .happened import Happened

KEEPING = "cvdvae upscale and restore"
NOT_KEEPING = "restore --simulate, --simulate beside --noise, --jpeg, grey and bayer"
"""What keeps arrays, and where it does not."""
SMOOTHED = (
    "a JPEG file has smoothed its noise, so that the estimate is too small: name it instead, as in "
    "--noise 0.05"
)
INSTEAD = ", or take --jpeg auto in its place, where there was none before"
TRANSPARENT = "of transparent pixels"
"""What messages call the mask that they are."""
CLEAR = 128
"""Alpha below which a pixel is mostly transparent."""
COLOURED = "a greyscale image, whose samples are in colour"
"""In place of what `read_photo` notes, where that is not so."""


class ReadSeen(NamedTuple):
    """What a file shows.

    Attributes:
        seen: What was seen.
        notes: What was found out about it.
        extras: What else the file carries.
    """

    seen: Seen
    notes: list[str]
    extras: Extras


def read_seen(
    path: Path,
    what: Happened,
    most: int = MAX_PIXELS,
    channels: int = 3,
    check: Check = anything,
    advice: str = SMALLER,
) -> ReadSeen:
    """What a file shows, and what was found out about it.

    Args:
        path: The file.
        what: What happened to it.
        most: Its pixels at most.
        channels: Of the model: 3, or 1 for grey.
        check: As for `seen`.
        advice: What to do with a file that has more pixels, as for `read_photo`.

    Raises:
        InputError: The file cannot be used, or does not belong to the degradation.
    """
    if what.jpeg:
        _check_jpeg(path)

        def allowed(description: Description, size: Size) -> Size:
            with naming(path):
                refuse_mixed(description)
            return check(description, size)

        before = [one for one in what.description.steps if not isinstance(one, OnlyNoise)]
        told, file = seen_in_jpeg(path, before, most, allowed)
        extras, left_out = read_extras(path)
        coloured = not Seen(file.y, file.operator, told.sigma).is_grey
        taken = [LUMA] * (coloured and what.description.loses_colours)
        notes = [*_true_of(told, file.told, channels), *left_out, *taken]
        return ReadSeen(told, notes, extras.of(channels))
    with naming(path):
        refuse_mixed(what.description)
    unkept = _unkept(path)
    photo = read_photo(path, most, what.fill, advice)
    image, lost = as_channels(photo.image, channels)
    y, notes = to_tensor(image), [*unkept, *photo.notes, *lost, *_odds(path, what.description)]
    happened, sigma, extras = what.description, what.noise, photo.extras
    if what.fill:
        hole = _transparent(path, extras)
        with naming(path):
            happened = with_hole(happened, hole, TRANSPARENT)
        extras = replace(extras, alpha=None)
        notes = [note for note in notes if note != ALPHA]
        notes.append(f"its {int(hole.sum())} transparent pixels are the hole")
    if channels == 3 and happened.loses_colours and has_colours(image):
        if happened.is_mosaic:
            raise InputError(f"{path} is in colours: save the mosaic as one grey channel")
        notes.append(LUMA)
    if channels == 3 and happened.colours_left == 1:
        y = luminance().A(y[None])[0]
    told = seen(y, happened, sigma, check=check)
    if sigma == "auto":
        notes += [_estimated(told), *_smoothed(path, what)]
    return ReadSeen(told, _true_of(told, notes, channels), extras.of(channels))


def _smoothed(path: Path, what: Happened) -> list[str]:
    """What to know of an estimate that was made of a JPEG file."""
    if kind_of(path) not in JPEGS:
        return []
    blurred = any(not isinstance(step, OnlyNoise) for step in what.description.steps)
    return [SMOOTHED + INSTEAD * (blurred and what.may_end_in_jpeg)]


def _transparent(path: Path, extras: Extras) -> Tensor:
    """Pixels of a picture that are mostly transparent, bool ``(h, w)``.

    Raises:
        InputError: None is.
    """
    if extras.alpha is not None:
        clear = torch.from_numpy(np.asarray(extras.alpha) < CLEAR)
        if bool(clear.any()):
            return clear
    raise InputError(
        f"{path} has no transparent pixels, which --mask auto takes for the hole: name a mask, "
        f"white where pixels are missing"
    )


def seen_in_array(y: Tensor, what: Happened, check: Check = anything) -> ReadSeen:
    """What an array shows.

    Args:
        y: A picture, ``(C, h, w)`` in [0, 1].
        what: What happened to it.
        check: As for `seen`.

    Raises:
        InputError: It does not belong to the degradation, or a JPEG file is wanted.
    """
    if what.jpeg:
        raise InputError("an array is no JPEG file: name the quality that it had, as in --jpeg 75")
    if what.fill:
        raise InputError("an array has no transparent pixels, which --mask auto takes for the hole")
    told = seen(y, what.description, what.noise, check=check)
    return ReadSeen(told, [_estimated(told)] if what.noise == "auto" else [], Extras())


def to_picture(values: "np.ndarray[Any, Any]", channels: int = 1) -> Tensor:
    """An array ``(h, w, C)`` or ``(h, w)`` as ``(C, h, w)`` in [0, 1].

    Args:
        values: The array.
        channels: Of the model: grey is told in all of them.

    Raises:
        InputError: Another rank, or a type that is neither uint8 nor float.
    """
    if values.ndim not in (2, 3) or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
        raise InputError(
            f"an array must be uint8, or float in [0, 1], of shape (h, w, C), "
            f"not {values.dtype} {values.shape}"
        )
    native = values.astype(values.dtype.newbyteorder("="))
    x = torch.from_numpy(native if native.ndim == 3 else native[..., None])
    x = x.permute(2, 0, 1)
    x = x.expand(channels, -1, -1) if len(x) == 1 else x
    return x.float() / 255 if values.dtype == np.uint8 else x.float()


def _unkept(path: Path) -> list[str]:
    """A note on what `upscale` would keep of a file of arrays that is read as a picture.

    Raises:
        InputError: It holds arrays and no picture.
    """
    if not path.exists() or not holds_arrays(path):
        return []
    pages = asked(path, pages_of)
    if pages != 1:
        held = f"{pages} pages of arrays" if pages else "arrays and no picture"
        raise InputError(f"{path} holds {held}: {KEEPING} take it, but with {NOT_KEEPING}")
    return [
        f"read as a picture: its values, axes and place are not handed on ({KEEPING} hand them on, "
        f"but with {NOT_KEEPING})"
    ]


def _true_of(told: Seen, notes: list[str], channels: int) -> list[str]:
    """What a file's reader noted, put right where colours were lost on the way."""
    untrue = () if told.is_grey or channels == 1 else (GREY, GREY_FILE)
    return [COLOURED if note in untrue else note for note in notes]


def _estimated(told: Seen) -> str:
    """What is said of a σ that nobody has named."""
    return f"the noise was estimated from the image: σ = {told.sigma:.4f}"


def _odds(path: Path, description: Description) -> list[str]:
    """What a JPEG file says against the quality that was named."""
    last = description.steps[-1]
    return at_odds(path, last) if isinstance(last, JPEG) else []


def _check_jpeg(path: Path) -> None:
    """Refuse a picture of another kind, which may still have been a JPEG before."""
    kind = kind_of(path)  # what cannot be opened is read again, and refused with the reason
    if kind is not None and kind not in JPEGS:
        raise InputError(
            f"{path} is no JPEG file but a {kind}: name the quality that it had before, as in "
            f"--jpeg 75"
        )


class Degraded(NamedTuple):
    """An intact photo that was degraded.

    Attributes:
        seen: What is then seen.
        truth: The photo, ``(C, H, W)`` in [0, 1].
        notes: What had to be changed to read the file.
        extras: What else the file carries.
    """

    seen: Seen
    truth: Tensor
    notes: list[str]
    extras: Extras


def check_truth(size: tuple[int, int], side: int) -> None:
    """Refuse what has fewer pixels than the images of a model.

    Args:
        size: Width and height of a square photo, or of what was cut out of it.
        side: Side of the model's images.

    Raises:
        InputError: It has.
    """
    width, height = size
    if width < side:
        raise InputError(
            f"the photo (or its face) has {width}×{height} pixels, and the truth needs "
            f"{side}×{side}: an enlarged image is none"
        )


def restores_as_arrays(path: Path, what: Happened) -> bool:
    """Whether a file is restored as the arrays that it holds.

    Raises:
        InputError: It cannot be read.
    """
    return what.keeps_arrays and path.exists() and holds_arrays(path)


def degrade(
    path: Path,
    what: Happened,
    side: int | None,
    crop: Crop,
    seed: int,
    most: int = MAX_PIXELS,
    channels: int = 3,
    check: Check = anything,
) -> Degraded:
    """Degrade an intact photo.

    Args:
        path: The photo.
        what: What shall happen to it.
        side: Side of the images of a model that is bound to its size.
        crop: ``face``, ``centre`` or ``none``.
        seed: Of the noise.
        most: Pixels of the photo at most.
        channels: Of the model: 3, or 1 for grey.
        check: As for `seen`.

    Raises:
        InputError: The file cannot be used, or no face is found.
    """
    if what.jpeg or what.noise == "auto":
        raise InputError("with --simulate nothing can be estimated: name the quality or the noise")
    if what.fill:
        raise InputError("with --simulate the photo is whole: name a mask instead of auto")
    unkept, photo = _unkept(path), read_photo(path, most)
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
        check_truth(image.size, side)
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    image, lost = as_channels(image, channels)
    x, happened = to_tensor(image), what.description
    if side is None:
        x, happened = divided(x, happened)
        lost += left_out(image.height - x.shape[1], image.width - x.shape[2])
    check(happened, happened.lr_size((x.shape[1], x.shape[2])))
    told = degraded(x, happened, what.noise, seed)
    return Degraded(
        told, x, _true_of(told, [*unkept, *photo.notes, *lost], channels), photo.extras.of(channels)
    )
