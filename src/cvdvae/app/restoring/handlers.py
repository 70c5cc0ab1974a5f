"""What happens on a click; what belongs to a visitor comes in and goes out with every one."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from ...errors import CVDVAEError, InputError
from ...imaging.io import to_pil
from ...imaging.sheets import heat_map
from ...restoration.restored import Restoration
from ...restoration.restorer import Restorer
from ...restoration.restoring import degraded
from .. import pictures, text
from ..archive import zip_of
from .damage import DAMAGES, KINDS, LABELS, as_it_is, described, face_in

Updates = dict[Any, Any]
FIRST = InputError("your image comes first")


@dataclass(frozen=True)
class Parts:
    """What of the tab the handlers change."""

    face: gr.State
    strokes: gr.State
    kind: gr.Radio
    strength: gr.Slider
    painter: gr.HTML
    said: gr.HTML
    shown: tuple[Any, ...] = ()

    def with_answers(self, shown: tuple[Any, ...]) -> "Parts":
        """The same, with where the answers are shown."""
        return replace(self, shown=shown)


class RestoringHandlers:
    """The handlers of one page.

    Args:
        restorer: The model.
        parts: Of the page.
    """

    def __init__(self, restorer: Restorer, parts: Parts) -> None:
        self.restorer, self.parts = restorer, parts

    @property
    def side(self) -> int:
        """Side of the images."""
        return self.restorer.prior.config.image_size

    def arrive(self, path: str | None) -> Updates:
        """A new image: find the face, and lay it out to paint on."""
        parts = self.parts
        if path is None:
            return {parts.face: None, parts.strokes: [], parts.painter: {}, parts.said: ""}
        try:
            x, whole = face_in(Path(path), self.side)
        except CVDVAEError as error:
            said = text.explained(error, path)
            return {parts.face: None, parts.strokes: [], parts.painter: {}, parts.said: said}
        return {
            parts.face: x,
            parts.strokes: [],
            parts.painter: self._to_paint(x),
            parts.said: "",
            parts.kind: list(KINDS)[int(whole)],
        }

    def chosen(self, damage: str) -> Updates:
        """Another kind of damage: its slider, or the picture to paint on."""
        about = DAMAGES[LABELS[damage]].strength
        slider = gr.update(visible=False)
        if about is not None:
            label, low, high, step, value = about
            slider = gr.update(
                visible=True, label=label, minimum=low, maximum=high, step=step, value=value
            )
        painter = gr.update(visible=LABELS[damage] == "hole")
        return {self.parts.strength: slider, self.parts.painter: painter}

    def painted(self, event: gr.EventData) -> Any:
        """What the visitor has painted so far."""
        return event._data["strokes"]

    def draw(
        self,
        path: str | None,
        kind: str,
        damage: str,
        strength: float,
        noise: float,
        samples: float,
        temperature: float,
        seed: float | None,
        face: Tensor | None,
        strokes: Any,
    ) -> Iterator[Updates]:
        """Damage the image, or take it as it is; restore it, and show what could be there."""
        if path is None or face is None:
            yield {self.parts.said: text.explained(FIRST)}
            return
        which, number = LABELS[damage], int(seed or 0)
        try:
            what = described(which, strength, strokes, self.side)
            truth = None if KINDS[kind] else face
            if truth is None:
                told = as_it_is(face, Path(path), what, noise)
            else:
                told = degraded(face, what, noise or None, number)
            how = self.restorer.restoring(int(samples), temperature, number)
            result = self.restorer.run(told, how, truth)
        except CVDVAEError as error:
            yield {self.parts.said: text.explained(error, path)}
            return
        with tempfile.TemporaryDirectory(prefix="cvdvae-") as name:
            archive = zip_of(result, Path(name))
            # The page copies the file while this waits, and then it goes.
            shown = self._shown(result, archive)
            yield {self.parts.said: "", **shown}

    def _shown(self, result: Restoration, archive: Path) -> Updates:
        """What was seen, the answers, and what they agree on."""
        told, before, mean, heat, truth, gallery, file = self.parts.shown
        levels = result.std * 255
        fits = sum(result.explains)
        way = "exactly" if result.sigma == 0 else "within its noise"
        words = f"{fits} of {len(result.explains)} answers explain what is seen {way}."
        side = (pictures.SIDE, pictures.SIDE)
        return {
            told: f"<p>{words} They differ by up to {float(levels.max()):.0f} levels of 255.</p>",
            before: pictures.pixels(result.shown),
            mean: pictures.smooth(result.mean),
            heat: heat_map(levels / pictures.FULL_MAP).resize(side, Image.Resampling.NEAREST),
            truth: gr.update(
                value=None if result.truth is None else pictures.smooth(result.truth),
                visible=result.truth is not None,
            ),
            gallery: [(pictures.smooth(one.float() / 255), None) for one in result.pixels],
            file: gr.update(value=str(archive), visible=True),
        }

    def _to_paint(self, x: Tensor) -> dict[str, Any]:
        side = pictures.PAINTER_SIDE
        return {"picture": pictures.inline(to_pil(x).resize((side, side))), "side": self.side}
