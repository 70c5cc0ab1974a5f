"""What the page says on every tab, in plain words."""

from collections.abc import Container, Mapping, Sequence
from html import escape
from pathlib import Path

from ..checkpoints.records import Recommended
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling

WILDEST = 1.5
"""The highest temperature that the page offers."""

PAIRS = "Opposite pairs: the mean of two is better than that of four others"


def suited(model: SuperResolver, together: bool = False) -> str:
    """What stands beside the temperature of a model: at which its spread can be believed, where
    calibration has found that.

    Args:
        model: The model.
        together: Whether one slider is that of all its groups.
    """
    suits = model.recommended
    looks, at = f"{suits.look:g} pleases the eye", f"{suits.temperature:g}"
    if model.method != "flow" and not together:
        at += f", and {suits.encoder_temperature:g} below,"
    elif model.method != "flow" and suits.temperature != suits.encoder_temperature:
        return looks
    return f"{looks}; at {at} the spread is as large as the doubt" if suits.calibrated else looks


def drawn_before(
    how: Sampling,
    recommended: Recommended,
    together: bool = False,
    programs: Container[str] = ("bicubic", "pillow-bicubic"),
    least: int = 1,
) -> str:
    """What a result that was opened has and the settings of the page have not; empty where they
    have it all.

    Args:
        how: How it was drawn.
        recommended: Of its model.
        together: Whether one slider is the temperature of all groups.
        programs: Ways of shrinking whose H the page offers.
        least: The fewest samples that it draws.
    """
    here = recommended.profile_at(max(how.temperature, how.encoder_temperature))
    ways = ["as one sample"] * (how.samples < least)
    ways += ["in several orientations"] * how.self_ensemble
    ways += ["with other temperatures of coarse and fine groups"] * (how.profile != here)
    other = together and how.temperature != how.encoder_temperature
    ways += ["with two temperatures"] * other
    ways += ["at a higher temperature"] * (max(how.temperature, how.encoder_temperature) > WILDEST)
    ways += ["for another program's shrinking"] * (how.shrunk_by not in programs)
    return " and ".join(ways)


def label(labels: Mapping[str, str], value: str) -> str:
    """The label of a value."""
    return next(text for text, found in labels.items() if found == value)


def exploded(which: Sequence[bool]) -> str:
    """How many samples are none; nothing where all are some."""
    count = sum(which)
    are = "is" if count == 1 else "are"
    return f" {count} exploded and {are} no answer: lower the temperature." if count else ""


def captions(which: Sequence[bool]) -> list[str]:
    """What stands below each sample: its number, and whether it exploded."""
    return [f"{i}{' · exploded' if bad else ''}" for i, bad in enumerate(which)]


def sentence(error: Exception, path: str | None = None) -> str:
    """An error as a sentence that names a file as its owner does."""
    words = str(error)
    if path:
        words = words.replace(path, f"“{Path(path).name}”")
    return words[:1].upper() + words[1:] + "."


def explained(error: Exception, path: str | None = None) -> str:
    """An error as a remark on the page."""
    return callout("wrong", "That did not work:", sentence(error, path))


def callout(kind: str, title: str, text: str) -> str:
    """A framed remark."""
    return f'<div class="callout {kind}"><b>{escape(title)}</b> {escape(text)}</div>'


def remark(note: str) -> str:
    """Something that was done, as a framed sentence."""
    return callout("plain", "", note[:1].upper() + note[1:] + ".")


def progress(done: int, wanted: int) -> str:
    """How many samples are there of those that are drawn."""
    return callout("busy", f"{done} of {wanted}", "are drawn …")


WRONG, AGAIN = "Something went wrong.", "Try again; if it comes back, reload the page."

FAILED = callout("wrong", WRONG, AGAIN)

WAITING = callout("busy", "Drawing …", "press Stop to end it.")
STILL = callout("plain", "Nothing new was drawn:", "what is shown here is from before.")


ALONE = "One answer alone: there is nothing to compare it with"


def scale_bar(full: float, largest: float | None = None) -> str:
    """The colours of the map, the same for every gallery, and the largest value of this one.

    Args:
        full: The standard deviation of the brightest, in levels of 255.
        largest: That of the gallery, in levels of 255.
    """
    here = "" if largest is None else f"; here up to {largest:.0f}"
    return (
        '<div class="scale"><i></i><span>0: they agree</span>'
        f"<span>invented: {full} or more of 255</span></div>"
        f'<p class="caption">Standard deviation in grey levels{here}</p>'
    )
