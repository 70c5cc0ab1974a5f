"""What the page says of faces, in plain words."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ...checkpoints.folder import bundled_names
from ...restoration.edits import Blend, Edit, Resample, ResampleRegion
from ...restoration.recipe import Recipe
from ...restoration.result import SuperResolution
from ...restoration.settings import Sampling
from ..text import callout, exploded, remark
from .explorer import FaceInput

ABOUT = (
    "Many faces of 64×64 pixels shrink to the same small image, and nothing in it tells which was "
    "real. <strong>Details are invented and identify nobody.</strong>"
)

EMPTY = "Your image comes first: choose an example, upload, paste, or use the camera."

SAMPLES = "<b>Samples:</b> plausible, not true. Choose one to compare, and to steer."

MEAN = "Mean: the safest answer"

HEAT = "Where they disagree"

MEANING = Path(__file__).with_name("meaning.md")
"""The page's explanation of what the samples mean, and what not."""

METHODS = {"Hierarchical VAE": "hvae", "Flow (HCFlow)": "flow"}

KINDS = {"A photo to shrink": "photo", "A small image": "low"}

REGIONS = {
    "What I paint": None,
    "Eyes": (0.38, 0.18, 0.56, 0.82),
    "Nose": (0.5, 0.36, 0.7, 0.64),
    "Mouth": (0.68, 0.28, 0.88, 0.72),
    "Left half": (0.0, 0.0, 1.0, 0.5),
    "Right half": (0.0, 0.5, 1.0, 1.0),
}
"""Top, left, bottom and right of the regions that can be named, for a face in the usual frame."""


def choice(chosen: int, sampling: Sampling, steerable: bool) -> str:
    """Which sample is chosen, and what is to be known before it is steered."""
    text = f"Chosen: <b>sample {chosen}</b>."
    if not steerable:
        return f"{text} A flow has no latent groups: steer with the hierarchical VAE."
    if any(step.regional for step in sampling.steps):
        text += (
            " A region of it was set in. Others and blends start from its latent groups alone, so "
            "that what was kept around the region may change a little."
        )
    return text


def agreement(result: SuperResolution) -> str:
    """One line on how the samples agree with the input."""
    n, exact = len(result.pixels), result.round_trip_exact
    if all(exact):
        which = "it" if n == 1 else "any of these"
        line = f"Shrinking {which} gives your image back exactly, in every pixel."
    elif not result.sampling.consistent:
        line = (
            "As drawn, not made to agree: shrunk again, they are off by up to "
            f"{max(result.largest_lr_error):.0f} of 255 levels."
        )
    else:
        line = (
            f"{sum(exact)} of {n} give your image back exactly; the others come near to it, "
            f"within {max(result.largest_lr_error):.1f} of 255 levels."
        )
    return line + exploded(result.exploded)


def answered(result: SuperResolution, seen: FaceInput) -> str:
    """What the status says of samples that are drawn."""
    good = "good" if all(result.round_trip_exact) else "doubt"
    return callout(good, "", agreement(result)) + remarks(seen)


class Shown(NamedTuple):
    """What a gallery is, in words.

    Attributes:
        samples: What its samples are, HTML.
        mean: What their mean is.
        heat: What the map of their standard deviation shows.
    """

    samples: str
    mean: str
    heat: str


def _of_resampling(step: Resample) -> tuple[str, str]:
    line = f"<b>Others like sample {step.sample}:</b> plausible, not true."
    return line, "Where these others differ"


def _of_blend(step: Blend) -> tuple[str, str]:
    line = f"<b>A walk from sample {step.first} to {step.last}:</b> no independent answers."
    return line, "What changes on the walk"


def _of_region(step: Edit) -> tuple[str, str]:
    line = (
        f"<b>Sample {step.samples[0]}, varied in a region:</b> the rest is kept, and as much "
        "invented as before."
    )
    return line, "Where these differ: dark is kept, not known"


STEPS: dict[str, Callable[[Any], tuple[str, str]]] = {
    Resample.kind: _of_resampling,
    Blend.kind: _of_blend,
    ResampleRegion.kind: _of_region,
}
"""What the samples of a step are, HTML, and what the map of their standard deviation shows, by the
kind of the step; one without a row says so itself."""


def shown(sampling: Sampling) -> Shown:
    """What a gallery is: the answers to an image, or what a step of steering made of them."""
    if not sampling.steps:
        return Shown(SAMPLES, MEAN, HEAT)
    step = sampling.steps[-1]
    words = STEPS.get(step.kind, _of_region if step.regional else _of_any)
    samples, heat = words(step)
    return Shown(samples, "Mean of these, not the safest answer", heat)


def _of_any(step: Edit) -> tuple[str, str]:
    return f"<b>{escape(step.describe())}</b>: plausible, not true.", HEAT


def caption(words: str) -> str:
    """A line above a picture; `words` may hold HTML."""
    return f'<p class="caption">{words}</p>'


def trail(history: tuple[Sampling, ...]) -> list[str]:
    """The galleries so far, one short line each."""
    first = f"1 · {history[0].samples} samples, seed {history[0].seed}"
    later = [f"{i + 2} · {s.steps[-1].describe()}" for i, s in enumerate(history[1:])]
    return [first, *later]


def stays(groups: int, resolutions: list[int]) -> str:
    """What keeping the first groups means."""
    total = len(resolutions)
    if groups == 0:
        return f"<b>0 of {total} groups stay:</b> nothing but your image."
    finest = resolutions[groups - 1]
    what = {1: "overall light", 4: "pose and light", 8: "shape of head, hair and face"}
    kept = next((text for side, text in what.items() if finest <= side), "the features")
    if groups == total:
        return f"<b>All {total} groups stay:</b> the sample itself."
    if finest > 16:
        kept = "all but the last texture"
    return f"<b>{groups} of {total} groups stay</b> (up to {finest}×{finest}): {kept}."


def opened(ways: str) -> str:
    """What is to be said of a result that was opened; `ways` are those of `drawn_before`."""
    return f"{ways}; the settings here draw otherwise."


def python_of(recipe: Recipe) -> str:
    """Python that draws the same again from `result.json`."""
    s = recipe.sampling
    lines = ["import cvdvae"]
    if s.steps:
        kinds = {type(step) for step in s.steps}
        lines += sorted(f"from {kind.__module__} import {kind.__name__}" for kind in kinds)
    lines += [
        "",
        'y = cvdvae.read_recipe("result.json").y  # your image, from the zip',
        f'model = cvdvae.load("{recipe.model}", scale={recipe.scale})',
        "sampling = model.sampling(",
        f"    samples={s.samples}, temperature={s.temperature!r}, seed={s.seed},",
        f"    encoder_temperature={s.encoder_temperature!r}, consistent={s.consistent},",
        *([f'    shrunk_by="{s.shrunk_by}",'] if s.shrunk_by != "bicubic" else []),
        *(["    antithetic=True,"] if s.antithetic else []),
        *(["    self_ensemble=True,"] if s.self_ensemble else []),
        f"    profile={s.profile!r},",
        ")",
    ]
    lines += [f"sampling = sampling.then({step})" for step in s.steps]
    return "\n".join([*lines, "result = model.run(y, sampling)", 'result.save("results")'])


def command_of(recipe: Recipe) -> str:
    """The command that draws the same again from `result.json`."""
    trust = "" if recipe.model in bundled_names() else " --trust-model"
    return f"cvdvae replay result.json --out results{trust}"


def remarks(seen: FaceInput) -> str:
    """What was changed in the image, and whether it is one that the models know."""
    notes = [remark(note) for note in seen.notes]
    doubts = [
        callout("doubt", "In doubt:", f"{d.explanation} {d.advice}") for d in seen.doubts or []
    ]
    return "".join(notes + doubts)


PRESS = "press “Show what could be behind it”."

FIRST = callout("plain", "", EMPTY)

READY = callout("plain", "Your image is there:", PRESS)

UNDRAWN = callout("plain", "Nothing was drawn:", PRESS)

NOTHING = callout(
    "plain",
    "Nothing was drawn:",
    f"once your image is there, {PRESS}",
)

BEFORE = callout(
    "plain",
    "Of the image before:",
    "that is what is shown here, until you press “Show what could be behind it”.",
)
