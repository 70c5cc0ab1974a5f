"""Results of restoration that visitors bring: what they are of, as the page would have been given
it."""

import html
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ...imaging.carried import Extras
from ...imaging.io import to_pil
from ...restoration.recipe import check_weights
from ...restoration.restored import RestorationRecipe
from ...restoration.restorer import Restorer
from ...restoration.restoring import shown
from ...restoration.settings import Restoring
from ..pictures import stored, upright
from ..recipes import check_seed, read_restoration
from ..text import WILDEST
from .damage import DAMAGES, LARGEST, MOST_NOISE, Given, image_in, is_rounding

LEAST, MOST = 2, 16
"""Answers at once."""
ELSEWHERE = "the command cvdvae replay draws it again"


def reopened(
    path: Path, restorers: Mapping[str, Restorer], tabs: Container[str]
) -> tuple[RestorationRecipe, Extras, Given]:
    """What a `result.json` says, or a zip that holds one, and the image that its answers are of,
    upright.

    Args:
        path: The file.
        restorers: The models of the page, by what their images show.
        tabs: Names of its tabs.

    Raises:
        InputError: It cannot be read, or the page does not draw it: its models, or what it offers,
            are others.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    told, extras = read_restoration(path, LARGEST, tabs)
    subjects = [name for name, one in restorers.items() if one.name == told.model]
    if not subjects:
        raise InputError(f"this result is of a model that is not on this page: {ELSEWHERE}")
    restorer, how = restorers[subjects[0]], told.restoring
    check_weights(restorer.name, told.weights, restorer.weights)
    if told.dtype != restorer.dtype_name or how.moves or how.samples > MOST:
        raise InputError(f"this result was drawn as the page does not draw: {ELSEWHERE}")
    check_seed(how.seed)
    picture = stored(upright(to_pil(shown(told.seen)), extras.orientation))
    return told, extras, image_in(Path(picture), restorer.side, subjects[0])


def settings_of(how: Restoring) -> tuple[int, float, str, bool]:
    """How many, at which temperature, from which seed, and whether in pairs: what the controls have
    that is nearest."""
    return max(LEAST, how.samples), min(WILDEST, how.temperature), str(how.seed), how.antithetic


class Said(NamedTuple):
    """What a visitor would say of the damage.

    Attributes:
        damage: As they read it.
        strength: What its slider says; None where it has none.
        angle: Of a movement, in degrees.
        noise: σ.
    """

    damage: str
    strength: float | None
    angle: float
    noise: float


UNSAID = Said(DAMAGES["hole"].label, None, 0.0, 0.0)
"""Where there is no word for it: a hole, which is still to be painted."""


def said_in(told: RestorationRecipe) -> Said | None:
    """What the page's controls would say; None where they have no word for it.

    None of what has no picture of its size, either: it would be damaged once more.
    """
    description = told.seen.description
    steps = [] if description is None else description.to_dict()["steps"]
    if len(steps) != 1:
        return None
    strength, angle = None, 0.0
    match steps[0]:
        case {"kind": "blur", "boundary": "reflect", "sigma": strength}:
            kind = "blur"
        case {"kind": "motion", "boundary": "reflect", "length": strength, "angle": angle}:
            kind, angle = "motion", angle % 180
        case {"kind": "noise"}:
            kind = "noise"
        case _:
            return None
    slider = DAMAGES[kind].strength
    within = slider is None or strength is None or slider[1] <= strength <= slider[2]
    if not within or told.seen.sigma > MOST_NOISE:
        return None
    return Said(DAMAGES[kind].label, strength, angle, told.seen.sigma)


def in_words(told: RestorationRecipe) -> str:
    """What has happened to an image whose result was opened again, as HTML: as the page says it,
    where it has words for it."""
    description, sigma = told.seen.description, told.seen.sigma
    told_of = description is not None and description.pictures and not is_rounding(sigma)
    noise = f", σ {sigma:.2g}" if sigma and told_of else ""
    steps = [] if description is None else description.to_dict()["steps"]
    match steps:
        case [{"kind": "mask", "file": ""}]:
            what = DAMAGES["hole"].words
        case [{"kind": "random", "keep": keep}]:
            what = DAMAGES["pixels"].words.format(strength=100 * (1 - keep))
        case [{"kind": "blur", "boundary": "reflect", "sigma": strength}]:
            what = DAMAGES["blur"].words.format(strength=strength)
        case [{"kind": "motion", "boundary": "reflect", "length": strength, "angle": angle}]:
            what = DAMAGES["motion"].words.format(strength=strength, angle=angle)
        case [{"kind": "downscale", "by": "bicubic", "scale": strength}]:
            what = DAMAGES["small"].words.format(strength=strength)
        case [{"kind": "noise"}]:
            what = DAMAGES["noise"].words
        case [{"kind": "jpeg", "quality": int(strength)}]:
            what = DAMAGES["jpeg"].words.format(strength=strength)
        case _:
            what = str(description)
    return f"Opened again: {html.escape(what)}{noise}"
