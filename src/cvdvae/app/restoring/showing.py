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
from ...restoration.restored import Restoration
from .. import pictures, text
from ..controls import Updates


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
    way = "exactly" if result.sigma == 0 else "within its noise"
    words = f"{happened}, seed {result.restoring.seed}: {fits} of {len(result.explains)} "
    words += f"answers explain what is seen {way}."
    words += text.exploded(result.exploded)
    blocks = Image.Resampling.NEAREST
    return {
        told: f"<p>{words} Their standard deviation is up to {float(levels.max()):.0f} grey "
        f"levels of 255.</p>{''.join(map(text.remark, notes))}",
        before: pictures.fitted(to_pil(result.shown), blocks),
        mean: smooth(result.mean),
        heat: pictures.fitted(heat_map(levels / pictures.FULL_MAP), blocks),
        truth: gr.update(
            value=None if result.truth is None else smooth(result.truth),
            visible=result.truth is not None,
        ),
        gallery: [
            (pictures.stored(smooth(one)), name)
            for one, name in zip(result.pixels, text.captions(result.exploded), strict=True)
        ],
        file: gr.update(value=str(archive), visible=True),
    }


def smooth(image: Tensor) -> Image.Image:
    """An image ``(3, H, W)``, enlarged without steps where it is small."""
    return pictures.fitted(to_pil(image), Image.Resampling.LANCZOS)
