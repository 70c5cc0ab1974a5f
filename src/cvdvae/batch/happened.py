"""What the user says happened to their images."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from ..damage.described import Description, name_of, named_in, parse
from ..damage.kinds import JPEG
from ..damage.mask_kinds import (
    Masked,
    MaskFromFile,
    OnlyNoise,
    check_noise_is_last,
    check_noise_is_told,
)
from ..damage.packed import grey_levels, pack_mask
from ..damage.step import Step
from ..errors import InputError, naming
from ..restoration.beside import restorer_beside
from ..restoration.stack.restored import StackDegradation

UNSAID = {"boundary", "subsampling", "packed"}
"""Settings that nobody need name: they are seldom otherwise, or come from a file."""
AUTO = Path("auto")
"""In place of a mask; a file of that name wants its whole path."""
SHADES, MOST = 0.2, 0.5
"""Shares of a mask's pixels that are neither black nor white, and that are white, above which it is
told of: it may be a photograph, or the inverse of what is meant."""


@dataclass(frozen=True)
class Happened:
    """What the user says of their images.

    Attributes:
        description: H in words.
        jpeg: Whether the file itself tells the rest, by a JPEG's own tables.
        noise: σ, ``auto`` to estimate it from the image, or None for the usual one.
        notes: What was assumed of it, in plain words.
        fill: Whether what is missing in the file itself is a hole: its transparent pixels, or the
            missing values of arrays.
    """

    description: Description
    jpeg: bool
    noise: float | Literal["auto"] | None
    notes: tuple[str, ...] = ()
    fill: bool = False

    @property
    def keeps_arrays(self) -> bool:
        """Whether files of arrays are restored as such: not where they shall have been a JPEG, or
        have lost their colours, as pictures do."""
        description = self.description
        return description.pictures and description.colours_left is None and not self.jpeg

    @property
    def may_end_in_jpeg(self) -> bool:
        """Whether ``--jpeg auto`` may be said, too: not of what is hidden or a mosaic before it."""
        steps = self.description.steps
        odd = any(isinstance(step, Masked | JPEG) for step in steps) or self.description.is_mosaic
        return not (odd or self.jpeg or self.fill)

    @property
    def of_arrays(self) -> StackDegradation:
        """The same of a file of arrays."""
        return StackDegradation(self.description, self.noise, self.fill)


def happened(
    degradation: str | None, mask: Path | None, jpeg: str | None, noise: str | None
) -> Happened:
    """What the options of the command line say.

    Args:
        degradation: As `cvdvae.damage.described.parse` takes it.
        mask: A picture that is white where pixels are missing, or ``auto``, by which the file
            itself says so; it comes last.
        jpeg: ``auto``, or a quality; it comes after all else.
        noise: A number, or ``auto``.

    Raises:
        InputError: They say nothing, or what cannot be.
        ConfigError: The words describe nothing.
    """
    sigma = _noise(noise)
    if jpeg == "auto" and noise:
        raise InputError(
            "--jpeg auto undoes what the JPEG has rounded, and its file tells how: leave --noise "
            "out. Of an image that was noisy before, leave --jpeg out, as in --noise 0.05"
        )
    if jpeg == "auto" and mask is not None:
        raise InputError(
            "what lay in the hole went into the JPEG that came after it: leave --jpeg out, and "
            "name how noisy the rest is, as in --noise 0.02"
        )
    steps: list[Step] = list(parse(degradation).steps) if degradation else []
    notes = _assumed(degradation, steps) if degradation else []
    fill = mask == AUTO
    if mask is not None and not fill:
        with naming(Path("--mask")):
            steps.append(MaskFromFile(file=str(mask), packed=pack_mask(mask)))
        notes += _shades(mask)
    if jpeg is not None and jpeg != "auto":
        steps.append(JPEG(quality=_quality(jpeg)))
    check_noise_is_last(steps, more=jpeg == "auto")
    if fill and (jpeg is not None or (steps and not steps[-1].pictures)):
        raise InputError("--mask auto does not go with a JPEG, which has no hole of its own")
    if not steps and jpeg is None and sigma is None and not fill:
        raise InputError("say what happened to the image: --degradation, --mask, --jpeg or --noise")
    intact = jpeg is None and not fill and all(isinstance(step, OnlyNoise) for step in steps)
    if intact and not sigma:
        raise InputError(
            "nothing happened to an image without noise: say how noisy it is, as in --noise 0.02, "
            "or --noise auto"
        )
    description = Description(tuple(steps or [OnlyNoise()]))
    check_noise_is_told(steps, sigma)
    if sigma is not None and not description.pictures:
        raise InputError("a JPEG's noise is the rounding of its coefficients: leave --noise out")
    return Happened(description, jpeg == "auto", sigma, tuple(notes), fill)


def undoing(
    model: str, scale: int | None, shrunk_by: str, jpeg: str | None, noise: str | None
) -> tuple[str, Happened]:
    """What undoes shrinking, JPEG and noise at once: the name of the model on the same prior as one
    that enlarges, and what happened.

    Raises:
        InputError: There is none, or the options do not go together.
        WeightsError: There is no such model.
    """
    name, factor = restorer_beside(model, scale)
    return name, happened(f"downscale:scale={factor},by={shrunk_by}", None, jpeg, noise)


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise InputError(f"--jpeg is a quality from 1 to 100, or auto, not '{text[:40]}'")
    return int(text)


def _assumed(text: str, steps: list[Step]) -> list[str]:
    """What was taken for settings that the user did not name, one line for each such step."""
    notes = []
    for step, said in zip(steps, named_in(text), strict=True):
        taken = {f.name: getattr(step, f.name) for f in fields(step) if f.name not in said}
        shown = [f"{k}={v}" for k, v in taken.items() if k not in UNSAID and v not in (None, "")]
        if shown:
            settings = ",".join(one.removesuffix(".0") for one in shown)
            notes.append(f"{name_of(step)}:{settings} was assumed, since nothing was said of it")
    return notes


def _shades(mask: Path) -> list[str]:
    """What a mask hides, where that is most of the image, or where it has so many shades of grey
    that it may be a photograph."""
    grey = grey_levels(mask)
    hidden = float((grey >= 0.5).double().mean())
    if float(((grey > 0.1) & (grey < 0.9)).double().mean()) > SHADES:
        return [
            f"the mask {mask} has many shades of grey, of which the lighter half counts as white: "
            f"{hidden:.0%} of the pixels are missing"
        ]
    if hidden > MOST:
        return [f"the mask {mask} hides {hidden:.0%} of the pixels: what is white is missing"]
    return []


def _noise(text: str | None) -> float | Literal["auto"] | None:
    if text is None or text == "auto":
        return "auto" if text else None
    try:
        sigma = float(text)
    except ValueError:
        raise InputError(f"--noise is a number from 0 to 1, or auto, not '{text[:40]}'") from None
    if 1 < sigma <= 255:
        raise InputError(
            f"--noise is a share of black to white (of arrays of HIGH − LOW), from 0 to 1: of "
            f"{text[:40]} in 255 levels say --noise {sigma / 255:.3f}"
        )
    if not 0 <= sigma <= 1:
        raise InputError(
            f"the noise σ must be a number from 0 to 1, a share of black to white (of arrays of "
            f"HIGH − LOW), not {text[:40]}"
        )
    return sigma
