"""What a visitor says has happened to an image, and what is seen of it then."""

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ...batch.happened import Happened
from ...batch.restore import ReadSeen, check_truth, read_seen
from ...checkpoints.folder import bundled_names, find, read_record
from ...damage.described import Description, description_from_dict
from ...damage.estimates import noise_behind
from ...damage.mask_kinds import MaskFromFile, OnlyNoise, RandomPixels
from ...damage.packed import pack
from ...degradations.block_dct import ROUNDING
from ...domains.faces import crop_face
from ...errors import CVDVAEError, InputError
from ...imaging.carried import Extras
from ...imaging.io import GREY, is_jpeg, to_bytes, to_tensor
from ...imaging.values import EIGHT_BITS, rounding_of
from ...restoration.restoring import seen
from ..photos.strokes import PART, region_of
from ..reading import read_upload

MAX_PIXELS = 60_000_000
"""Of a file; larger ones are refused before they are decoded."""
LARGEST = 600_000
"""Pixels of a photograph that is restored here, which takes seconds: the command takes more."""
THINNEST = 8
"""Pixels that the shorter side keeps: of fewer, the sides would have another ratio."""

STILL = InputError(
    "your image is still being read, or is no longer kept: press again in a moment, or give it "
    "again"
)


@dataclass(frozen=True)
class Damage:
    """A kind of damage.

    Attributes:
        label: What visitors read.
        words: What is said of its answers, with places for `strength` and `angle`.
        strength: What its slider says, its least and largest value, its step and where it begins;
            None where there is nothing to say.
        may_be_noisy: Whether there may be noise beside.
        known: Whether the strength is that of what is damaged already: otherwise the file tells
            it, or nobody can.
    """

    label: str
    words: str
    strength: tuple[str, float, float, float, float] | None
    may_be_noisy: bool = True
    known: bool = True


DAMAGES: dict[str, Damage] = {
    "hole": Damage("A hole: paint over it", "Painted hole", None),
    "pixels": Damage(
        "Missing pixels", "{strength:g} % missing", ("Missing, %", 5, 90, 5, 50), known=False
    ),
    "blur": Damage("Blurred", "Blur of {strength:g} pixels", ("Blur, pixels", 0.5, 4, 0.25, 2)),
    "motion": Damage(
        "Moved",
        "Movement of {strength:g} pixels at {angle:g}°",
        ("Movement, pixels", 3, 20, 1, 9),
    ),
    "small": Damage("Shrunk", "Shrunk by {strength:g}", ("Shrunk by", 2, 8, 1, 4)),
    "noise": Damage("Noisy", "Noise", None),
    "jpeg": Damage(
        "JPEG",
        "JPEG of quality {strength:g}",
        ("Quality", 5, 95, 5, 30),
        may_be_noisy=False,
        known=False,
    ),
}
"""By their names."""
LABELS = {damage.label: kind for kind, damage in DAMAGES.items()}
MOST_NOISE, NOISE_STEP = 0.2, 0.005
KINDS = {"Intact: damage it first": False, "Damaged already": True}
"""What visitors read, and whether the image is damaged."""


def restoring() -> list[str]:
    """Names of the bundled models that restore."""
    return [name for name in bundled_names() if read_record(find(name)).kind == "restorer"]


def in_words(kind: str, damaged: bool, strength: float, angle: float, noise: float) -> str:
    """What has happened to an image, as `described` takes it, and how noisy it is said to be."""
    about = DAMAGES[kind]
    said = about.words.format(strength=strength, angle=angle)
    if damaged and not about.known:
        said = about.label
    return f"{said}, σ {noise:g}" if about.may_be_noisy and noise else said


def is_rounding(sigma: float) -> bool:
    """Whether that is no noise that somebody named, but the rounding of a JPEG, or to 8 bits."""
    return sigma >= ROUNDING > MOST_NOISE or math.isclose(sigma, rounding_of(EIGHT_BITS))


def described(
    kind: str, strength: float, strokes: Any, size: tuple[int, int], angle: float = 0.0
) -> Description:
    """The degradation that a visitor means.

    Args:
        kind: One of `DAMAGES`.
        strength: What the slider says.
        strokes: What is painted over, as `region_of` reads it.
        size: Height and width of the image.
        angle: Of a movement, in degrees counterclockwise from the right.

    Raises:
        InputError: Nothing is painted, or everything; or a blur is wider than the image.
    """
    steps: dict[str, dict[str, Any]] = {
        "pixels": {"kind": "random", "keep": 1 - strength / 100, "seed": 0},
        "blur": {"kind": "blur", "sigma": float(strength)},
        "motion": {"kind": "motion", "length": float(strength), "angle": float(angle)},
        "small": {"kind": "downscale", "scale": int(strength)},
        "noise": {"kind": "noise"},
        "jpeg": {"kind": "jpeg", "quality": int(strength)},
    }
    if kind == "hole":
        missing = region_of(strokes or [], size, PART)
        if not bool(missing.any()):
            raise InputError("paint over what is missing: the picture is above the button")
        if bool(missing.all()):
            raise InputError("everything is painted over: leave something to see")
        steps["hole"] = {"kind": "mask", "packed": pack(missing)}
    what = description_from_dict({"steps": [steps[kind]]})
    if kind in ("blur", "motion"):
        try:
            what.operator(size)
        except InputError:
            raise InputError(
                f"your image of {size[1]}×{size[0]} pixels is too small for so strong a blur: "
                f"choose a weaker one, or give a larger image"
            ) from None
    return what


@dataclass(eq=False)
class Answered:
    """What is shown of an image.

    Attributes:
        asked: What was asked of it last; empty where not all of that is shown.
        told: What is said of its answers, HTML; empty where there are none.
        stopped: Set once no further answers are wanted of what was asked for last.
    """

    asked: list[Any] = field(default_factory=list)
    told: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, eq=False)
class Given:
    """A visitor's image, as it is restored.

    Attributes:
        pixels: The image, uint8 ``(3, H, W)``.
        as_it_is: Whether it is the file's, every pixel of it.
        path: Its file.
        subject: What it shows, as visitors read it.
        note: What was done to it, for the visitor.
        notes: What had to be changed to read it, in plain words.
        said: Whether it is damaged already, as visitors read it, where the page has said so for it;
            and what stood there before. Empty where the visitor says it.
        side: Side of the images of its model; None for one that takes any size.
        frame: Width and height of what was cut out of the file, in its pixels; None where nothing.
        left: Set once another is given: answers for this one are then wanted no more.
        answered: What is shown of it.
    """

    pixels: Tensor
    as_it_is: bool
    path: Path
    subject: str
    note: str = ""
    notes: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    side: int | None = None
    frame: tuple[int, int] | None = None
    left: threading.Event = field(default_factory=threading.Event)
    answered: Answered = field(default_factory=Answered)

    @property
    def x(self) -> Tensor:
        """The image, float in [0, 1]."""
        return self.pixels.float() / 255

    @property
    def truth(self) -> Tensor:
        """The same, which is to be damaged.

        Raises:
            InputError: It was enlarged: what was there is not known.
        """
        if self.side and self.frame:
            check_truth(self.frame, self.side)
        return self.x


def image_in(path: Path, side: int | None, subject: str = "") -> Given:
    """An image of a size that is restored here.

    Args:
        path: The file: a photograph, whose face is cut out for a model that is bound to its size,
            unless it has that size already.
        side: That size; None for a model that takes any.
        subject: As in `Given`.

    Raises:
        InputError: It cannot be read, or there is no face in it.
    """
    photo, noted, _ = read_upload(path, MAX_PIXELS)
    notes = tuple(note for note in noted if note != GREY)  # coloured noise may be put on it
    read: dict[str, Any] = {"path": path, "subject": subject, "notes": notes, "side": side}
    if side is not None:
        if photo.size == (side, side):
            return Given(to_bytes(to_tensor(photo)), True, **read)
        try:
            face = crop_face(photo)
        except InputError:
            raise InputError(
                "no face was found: cut the picture to the face, or choose “A photograph”"
            ) from None
        fitted = face.resize((side, side), Image.Resampling.BICUBIC)
        return Given(to_bytes(to_tensor(fitted)), False, frame=face.size, **read)
    zoom = math.sqrt(LARGEST / (photo.width * photo.height))
    if zoom >= 1:
        return Given(to_bytes(to_tensor(photo)), True, **read)
    size = (int(photo.width * zoom), int(photo.height * zoom))
    if min(size) < THINNEST:
        raise InputError(
            f"your photograph has {photo.width}×{photo.height} pixels, and is too long and thin to "
            f"be shrunk: give a part of it"
        )
    note = (
        f"your photograph has {photo.width}×{photo.height} pixels, and is shown at "
        f"{size[0]}×{size[1]}: the command cvdvae restore takes larger ones"
    )
    small = photo.resize(size, Image.Resampling.BICUBIC)
    return Given(to_bytes(to_tensor(small)), False, note=note, **read)


def why_missing(path: Path, side: int | None) -> CVDVAEError:
    """Why an image has not arrived: it cannot be read, or not yet."""
    try:
        image_in(path, side)
    except CVDVAEError as error:
        return error
    return STILL


def noise_in(given: Given, kind: str, strokes: Any) -> tuple[float, str]:
    """The noise of a damaged image, as its slider can say it, and in words.

    Raises:
        InputError: It cannot be estimated, or nothing is painted.
    """
    size = (given.x.shape[1], given.x.shape[2])
    sigma = noise_behind(
        given.x, described("hole" if kind == "hole" else "noise", 1, strokes, size)
    )
    steps = max(1, round(min(sigma, MOST_NOISE) / NOISE_STEP))
    also = "its JPEG has smoothed it, so say more" if is_jpeg(given.path) else "texture counts, too"
    return steps * NOISE_STEP, f"its noise seems to have σ = {sigma:.3f}: {also}"


def as_it_is(given: Given, path: Path, what: Description, noise: float) -> ReadSeen:
    """A damaged image: what its file shows, or holds where it is a JPEG; and what that says.

    What was shrunk is explained within its noise, or within the rounding of its file's JPEG.

    Raises:
        InputError: It was cut or made smaller, and its damage with it, unless that is a hole which
            was painted here; which of its pixels are missing is not known; it would become too
            large; or as `read_seen`.
    """
    size = (given.x.shape[1], given.x.shape[2])
    if any(isinstance(step, RandomPixels) for step in what.steps):
        raise InputError(
            "which pixels of your image are missing is not known: choose a hole and paint over "
            "them, or use the command cvdvae restore --mask"
        )
    if all(isinstance(step, MaskFromFile) for step in what.steps):
        return ReadSeen(seen(given.x, what, noise or None), [], Extras())
    if not given.as_it_is:
        raise InputError(
            "your image was cut or shrunk to be restored here, and its damage with it: give a part "
            "that is small enough, or use the command cvdvae restore"
        )
    large, jpeg = what.hr_size(size), is_jpeg(path)
    was_jpeg, was_shrunk = not what.pictures, large != size
    if was_shrunk:
        _check_small(given, large)
    if was_jpeg and not jpeg:
        raise InputError(
            "your image is no JPEG file: give the JPEG file itself, or use the command cvdvae "
            "restore --jpeg 75"
        )
    if was_shrunk and not (noise or jpeg):
        raise InputError(
            "an image that was only shrunk belongs into the tab of photographs; where no image "
            "shrinks to it, say here how noisy it is, such as 0.01"
        )
    before = Description((OnlyNoise(),)) if was_jpeg else what
    told_of = Happened(before, was_jpeg or (was_shrunk and not noise), noise or None)
    read = read_seen(path, told_of)
    return read._replace(extras=Extras.turned(read.extras.orientation))


def _check_small(given: Given, size: tuple[int, int]) -> None:
    """Refuse an image that cannot be enlarged here to a height and width."""
    height, width = size
    if given.side is not None:
        raise InputError("a face that was shrunk belongs into the tab of faces")
    if height * width > LARGEST:
        raise InputError(
            f"your image becomes {width}×{height} pixels, more than are restored here: give a part "
            f"of it, or use the command cvdvae upscale --noise"
        )
