"""The parts of the tab, and what they show of a restoration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from ...imaging.io import to_pil
from ...imaging.sheets import heat_map
from ...restoration.answers import answering
from ...restoration.restored import Restoration
from .. import pictures, text
from ..controls import Updates
from .damage import DAMAGES, KINDS, LABELS, is_rounding


@dataclass(frozen=True)
class Parts:
    """What of the tab the handlers change."""

    given: gr.State
    strokes: gr.State
    kind: gr.Radio
    strength: gr.Slider
    noise: gr.Slider
    painter: gr.HTML
    said: gr.HTML
    angle: gr.Slider
    stop: gr.Button
    photo: gr.Image
    subject: gr.Radio
    damage: gr.Dropdown
    estimate: gr.Button
    settings: tuple[Any, ...]
    shown: tuple[Any, ...] = ()

    def with_answers(self, shown: tuple[Any, ...]) -> "Parts":
        """The same, with where the answers are shown."""
        return replace(self, shown=shown)

    def chosen(self, damage: str, kind: str) -> Updates:
        """Another kind of damage: its sliders, or the picture to paint on."""
        which = LABELS[damage]
        about = DAMAGES[which]
        slider = gr.update(visible=False)
        if about.strength is not None:
            label, low, high, step, value = about.strength
            visible = about.known or not KINDS[kind]
            slider = gr.update(
                visible=visible, label=label, minimum=low, maximum=high, step=step, value=value
            )
        return {
            self.strength: slider,
            self.angle: gr.update(visible=which == "motion"),
            self.noise: gr.update(visible=about.may_be_noisy),
            self.estimate: gr.update(visible=about.may_be_noisy and KINDS[kind]),
            # What is not laid out at all would forget what was painted, and the server would not.
            self.painter: gr.update(visible=True if which == "hole" else "hidden"),
        }

    def judged(self, damage: str, kind: str) -> Updates:
        """It is damaged already, or not: then some strengths are known."""
        about, damaged = DAMAGES[LABELS[damage]], KINDS[kind]
        updates: Updates = {self.estimate: gr.update(visible=about.may_be_noisy and damaged)}
        if not about.known:
            updates[self.strength] = gr.update(visible=not damaged)
        return updates


def shown(
    parts: Sequence[Any], result: Restoration, archive: Path, happened: str, notes: Sequence[str]
) -> Updates:
    """What was seen, the answers, and what they agree on.

    Args:
        parts: Where it is told, what is seen, the mean, the map, the truth, the gallery, the file.
        result: The answers.
        archive: All of it as one file.
        happened: What has happened to the image, in words.
        notes: What the image's file says.
    """
    told, before, mean, heat, truth, gallery, file = parts
    levels = result.std * 255
    fits = sum(result.explains)
    noise = "rounding" if is_rounding(result.sigma) else "noise"
    way = "exactly" if result.sigma == 0 else f"within its {noise}"
    words = f"{happened}, seed {result.restoring.seed}: {fits} of {len(result.explains)} "
    words += f"answers explain what is seen {way}."
    words += text.exploded(result.exploded)
    compared = len(answering(result.exploded)) > 1
    words += (
        f" Their standard deviation is up to {float(levels.max()):.0f} grey levels of 255."
        if compared
        else f" {text.ALONE}."
    )
    blocks, turned = Image.Resampling.NEAREST, result.extras.orientation

    def blocky(image: Image.Image) -> Image.Image:
        return pictures.fitted(pictures.upright(image, turned), blocks)

    return {
        told: f"<p>{words}</p>{''.join(map(text.remark, notes))}",
        before: blocky(to_pil(result.shown)),
        mean: smooth(result.mean, turned),
        heat: blocky(heat_map(levels / pictures.FULL_MAP)) if compared else None,
        truth: gr.update(
            value=None if result.truth is None else smooth(result.truth),
            visible=result.truth is not None,
        ),
        gallery: [
            (pictures.stored(smooth(one, turned)), name)
            for one, name in zip(result.pixels, text.captions(result.exploded), strict=True)
        ],
        file: gr.update(value=str(archive), visible=True),
    }


def smooth(image: Tensor, orientation: int = 1) -> Image.Image:
    """An image ``(3, H, W)``, upright, and enlarged without steps where it is small."""
    return pictures.fitted(pictures.upright(to_pil(image), orientation), Image.Resampling.LANCZOS)
