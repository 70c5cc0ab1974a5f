"""What the page says of photographs, in plain words."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal

from ...degradations.kernels import KERNELS
from ...input_check.shrinking import SURE, Likely
from ...restoration.settings import Sampling
from ..text import callout, exploded

MEANING = Path(__file__).with_name("meaning.md")
"""What the samples of photographs mean, and what not."""

Kind = Literal["enlarge", "shrink"]
KINDS: dict[str, Kind] = {"Enlarge it as it is": "enlarge", "Shrink it first, to compare": "shrink"}
FORMATS = ("png", "tiff")
WAYS = tuple(KERNELS)
PROGRAMS = [name for name in WAYS if name != "pillow-bicubic"]
"""What may have made a photograph small, as the page offers it; H of the one left out is that of
``bicubic``."""

SHRUNK = (
    "This photograph is large: it was shrunk by {scale} first, and is enlarged again, so that you "
    "can compare the samples with it. Choose “Enlarge it as it is” if you want it larger."
)


def made_small(found: Sequence[Likely], chosen: str) -> tuple[str, ...]:
    """A remark where another program than the chosen has probably made a photograph small."""
    alike = (chosen, KERNELS[chosen].like)
    if not found or found[0].probability < SURE or found[0].program in alike:
        return ()
    return (
        f"if a program made it small, that was probably {found[0]}: then choose it "
        f"under “More”, What made it small",
    )


def program(name: str) -> str:
    """Whose way to shrink it is: ``Pillow's LANCZOS``."""
    return ("not known, or " if name == "bicubic" else "") + KERNELS[name].program


def steps(history: tuple[Sampling, ...]) -> list[str]:
    """The sets of samples so far, a few words each."""
    later = [f"{i} · sample {s.steps[-1].samples[0]} varied" for i, s in enumerate(history[1:], 2)]
    return ["1 · first samples", *later]


def taken(history: tuple[Sampling, ...], step: int, samples: Sequence[int]) -> str:
    """Which samples of a set can be taken: one, all, or none but the settings."""
    found = "your photograph and the settings"
    if samples:
        found = f"sample {samples[0]}" if len(samples) == 1 else f"all {len(samples)} samples"
    return f"{found} of “{steps(history)[step]}”"


def remarks(notes: tuple[str, ...], size: tuple[int, int], scale: int) -> str:
    """How large it is and becomes, and what was changed in it."""
    height, width = size
    lines = [f"{width // scale}×{height // scale} → {width}×{height} pixels (×{scale})", *notes]
    return "".join(
        f'<p class="caption">{escape(line[:1].upper() + line[1:])}</p>' for line in lines
    )


def opened(ways: str) -> tuple[str, ...]:
    """What is to be said of a result that was opened; `ways` are those of `drawn_before`."""
    return (f"as it was drawn before{ways and f' {ways}; other settings here draw otherwise'}",)


WAITING = callout("busy", "The whole waits for its turn:", "press Stop to end it.")


def progress(share: float, seconds: float) -> str:
    """How far the drawing of the whole is."""
    left = seconds * (1 - share) / share if share > 0.02 else 0
    words = f"about {max(1, round(left / 60))} min left" if left else "this takes minutes"
    return callout("busy", f"{share:.0%}", f"of the whole is drawn, {words}.")


def drawn(
    what: str, exact: Sequence[bool], consistent: bool, broken: Sequence[bool], too_large: bool
) -> str:
    """What is to be said of samples that can be taken, as one file.

    Args:
        what: Which they are.
        exact: Which of them give the input back in every pixel.
        consistent: Whether they should.
        broken: Which of them exploded.
        too_large: Whether the page could not open the file again.
    """
    line = "as the model gives them"
    if not exact:
        line = "“Open a result” under “More” draws them again"
    elif consistent:
        line = f"{sum(exact)} of {len(exact)} give your photograph back exactly, in every pixel"
    line = f"{what}; {line}.{exploded(broken)}"
    if too_large:
        line += " To open them here again, take the settings alone, too."
    warning = "Details are invented and prove nothing: say so wherever you show them."
    return callout("good", "Ready:", f"{line} {warning}")
