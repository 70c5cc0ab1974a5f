"""What happens to the visitor's image: it is looked at before anything is drawn."""

from pathlib import Path

import gradio as gr

from ...errors import CVDVAEError
from ...restoration.sampler import SuperResolver
from .. import pictures
from ..controls import UNCHANGED, Updates
from ..text import WILDEST, explained, label, suited
from . import text
from .explorer import Explorer, FaceInput, Kind, Method
from .framing import Framing
from .layout import Input, Settings


class Inputs:
    """The handlers of the image and of the settings that decide what is seen of it."""

    def __init__(
        self, explorer: Explorer, shown: Input, settings: Settings, given: gr.State
    ) -> None:
        self.explorer, self.input, self.settings = explorer, shown, settings
        self.given = given

    @property
    def ways(self) -> tuple[gr.Radio, ...]:
        """What decides in which way the image is looked at."""
        return self.input.kind, self.input.scale, self.settings.method

    def forget(self) -> Updates:
        """Before a new image is looked at: the last one's frame is none of its, so wait. What it
        is found to be would come to a press of the meantime, or after it."""
        frame = {self.input.x: 50, self.input.y: 50, self.input.side: 0}
        held = dict.fromkeys((*self.ways, self.settings.draw), gr.update(interactive=False))
        return frame | {self.given: None, self.settings.said: ""} | held

    def arrive(self, path: str | None, kind: str, scale: str, method: str) -> Updates:
        """A new image: guess what it is, frame the face, and show what the model sees."""
        if path is None:
            return self._nothing_seen("")
        go: Updates = {}
        guessed = self.explorer.guess(Path(path))
        kind = label(text.KINDS, "photo" if guessed is None else "low")
        if guessed is not None and scale != f"×{guessed}":
            scale = f"×{guessed}"
            go |= {self.input.scale: scale} | self._recommended(scale, method)
        return go | {self.input.kind: kind} | self.look(path, kind, scale, method, 50, 50, 0)

    def look(
        self, path: str | None, kind: str, scale: str, method: str, x: float, y: float, side: float
    ) -> Updates:
        """Show what the model sees of the image, and whether it is what it knows."""
        if path is None:
            return UNCHANGED
        try:
            model = self.model(scale, method)
            seen = self.seen(path, kind, model, x, y, side)
        except CVDVAEError as error:
            return self._nothing_seen(explained(error, path))
        updates: Updates = {
            self.given: seen.digest,
            self.input.seen: pictures.pixels(seen.y),
            self.input.doubts: text.remarks(seen),
            self.input.frame: gr.update(visible=seen.framed is not None),
        }
        if seen.framed is not None:
            updates[self.input.framed] = pictures.framed(*seen.framed)
            for slider, share in zip(
                (self.input.x, self.input.y, self.input.side),
                (seen.framing.x, seen.framing.y, seen.framing.side),
                strict=True,
            ):
                updates[slider] = round(100 * share, 1)  # exact: see Framing.rounded
        return updates

    def move(
        self, path: str | None, kind: str, scale: str, method: str, x: float, y: float, side: float
    ) -> Updates:
        """The same while the frame is moved by hand, which nothing else should move then."""
        updates = self.look(path, kind, scale, method, x, y, side)
        moved = (self.input.x, self.input.y, self.input.side)
        return {part: update for part, update in updates.items() if part not in moved}

    def centre(
        self,
        path: str | None,
        kind: str,
        scale: str,
        method: str,
        x: float,
        y: float,
        side: float,
        event: gr.SelectData,
    ) -> Updates:
        """The frame goes where the visitor presses, in pixels of the small picture of the photo."""
        if path is None:
            return UNCHANGED
        try:
            seen = self.seen(path, kind, self.model(scale, method), x, y, side)
        except CVDVAEError as error:
            return self._nothing_seen(explained(error, path))
        if seen.framed is None:
            return UNCHANGED
        width, height = seen.framed[0].size
        x, y = (
            round(min(100.0, max(0.0, 100 * float(at) / length)), 1)  # as the sliders show it
            for at, length in zip(event.index, (width, height), strict=True)
        )
        return self.look(path, kind, scale, method, x, y, 100 * seen.framing.side)

    def recommend(self, scale: str, method: str) -> Updates:
        """The temperatures that suit a model."""
        return self._recommended(scale, method) or UNCHANGED

    def _recommended(self, scale: str, method: str) -> Updates:
        try:
            model = self.model(scale, method)
        except CVDVAEError:
            return {}
        return self.temperatures(model, model.recommended.look, model.recommended.look)

    def temperatures(self, model: SuperResolver, prior: float, encoder: float) -> Updates:
        """The temperatures of a model; a flow has but one."""
        own = gr.update(value=min(WILDEST, encoder), visible=model.method != "flow")
        return {
            self.settings.temperature: gr.update(value=min(WILDEST, prior), info=suited(model)),
            self.settings.encoder_temperature: own,
        }

    def seen(
        self, path: str, kind: str, model: SuperResolver, x: float, y: float, side: float
    ) -> FaceInput:
        """What a model sees of the image."""
        framing = Framing(x / 100, y / 100, side / 100)
        what: Kind = "low" if text.KINDS[kind] == "low" else "photo"
        return self.explorer.look(Path(path), what, model, framing)

    def _nothing_seen(self, doubts: str) -> Updates:
        nothing = dict.fromkeys((self.given, self.input.seen, self.input.framed))
        return nothing | {self.input.doubts: doubts}

    def model(self, scale: str, method: str) -> SuperResolver:
        """The model that is chosen."""
        which: Method = "flow" if text.METHODS[method] == "flow" else "hvae"
        return self.explorer.model(int(scale.removeprefix("×")), which)
