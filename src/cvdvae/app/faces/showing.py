"""What the page shows of a gallery: while it grows, when it is there, and of the chosen sample."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ...errors import CVDVAEError
from ...imaging.io import to_pil
from .. import pictures
from ..controls import UNCHANGED, Updates
from ..painter import unpainted
from ..text import ALONE, captions, progress, scale_bar
from . import text
from .explorer import Explorer, Session
from .layout import Answers, Figure, Settings, Steering, Take


@dataclass(frozen=True)
class Parts:
    """What of the page the handlers change, and what they keep for a visitor.

    Attributes:
        given: Digest of what is seen of the visitor's image.
        drawing: Whether samples are being drawn.
    """

    session: gr.State
    chosen: gr.State
    strokes: gr.State
    given: gr.State
    drawing: gr.State
    settings: Settings
    answers: Answers
    steering: Steering
    take: Take

    @property
    def buttons(self) -> list[Any]:
        """What draws when it is pressed."""
        return [self.settings.draw, self.steering.back, self.steering.trail, self.take.reopen]

    @property
    def steers(self) -> list[gr.Button]:
        """What steers, where the model can be."""
        s = self.steering
        return [s.others, s.blend, s.vary]

    @property
    def said(self) -> list[gr.HTML]:
        """What went wrong, beside each thing that can go wrong."""
        return [self.settings.said, self.steering.said, self.take.said]

    @property
    def now(self) -> list[gr.State]:
        """What tells whether the samples that are shown are of what is seen of the image."""
        return [self.session, self.given, self.drawing]

    @property
    def finished(self) -> list[Any]:
        """What changes when samples are drawn."""
        a, s = self.answers, self.steering
        return [
            self.session, self.chosen, self.strokes, self.drawing, a.status, a.shown, a.gallery,
            a.wipe, a.mean.image, a.mean.caption, a.heat.image, a.heat.caption, a.bar,
            a.truth.column, a.truth.image, s.trail, s.groups, s.last, s.chosen, s.painter,
            *self.said, *self.steers,
        ]  # fmt: skip


class Showing:
    """What is shown of a session.

    Args:
        explorer: The models.
        parts: Of the page.
    """

    def __init__(self, explorer: Explorer, parts: Parts) -> None:
        self.explorer, self.parts = explorer, parts

    def steerable(self, session: Session) -> list[int]:
        """Resolutions of the latent groups of its model; none where it cannot be steered."""
        return self.explorer.named(session.result).group_resolutions

    def growing(self, session: Session) -> Updates:
        """The samples so far."""
        result, answers = session.result, self.parts.answers
        named = zip(result.pixels, captions(result.exploded), strict=True)
        return {
            self.parts.session: session,
            answers.status: progress(len(result.pixels), session.sampling.samples),
            answers.shown: text.caption(text.shown(session.sampling).samples),
            answers.gallery: gr.update(
                value=[(pictures.stored(to_pil(one)), name) for one, name in named],
                selected_index=0,
            ),
        }

    def finished(self, session: Session) -> Updates:
        """What follows from all of them; their status is left to what comes after."""
        result, answers, steering = session.result, self.parts.answers, self.parts.steering
        heat, largest = pictures.disagreement(result)
        words = text.shown(session.sampling)
        lines, groups = text.trail(session.history), self.steerable(session)
        truth = None if result.truth is None else pictures.smooth(result.truth)
        return {
            self.parts.drawing: False,
            **_filled(answers.mean, pictures.smooth(result.mean), words.mean),
            **_filled(answers.heat, heat, ALONE if heat is None else words.heat),
            answers.bar: scale_bar(pictures.FULL_MAP, largest),
            answers.truth.image: truth,
            answers.truth.column: gr.update(visible=truth is not None),
            steering.trail: gr.update(choices=lines, value=lines[session.here]),
            steering.last: gr.update(
                choices=[str(i) for i in range(len(result.pixels))],
                value=str(len(result.pixels) - 1),
            ),
            steering.groups: gr.update(
                maximum=max(1, len(groups)), value=len(groups) // 2, interactive=bool(groups)
            ),
            self.parts.chosen: 0,
            **self.chosen(session, 0),
            **dict.fromkeys(self.parts.said, ""),
            **self.may_steer(session),
        }

    def status(self, session: Session, given: str | None) -> Updates:
        """What is promised of the visitor's image, where the samples are of what is seen of it."""
        of_it = session.shows(given)
        said = text.answered(session.result, session.seen) if of_it else text.BEFORE
        return {self.parts.answers.status: said}

    def may_steer(self, session: Session | None) -> Updates:
        """The buttons that steer: of use where the model has latent groups."""
        able = session is None or bool(self.steerable(session))
        return dict.fromkeys(self.parts.steers, gr.update(interactive=able))

    def chosen(self, session: Session, chosen: int) -> Updates:
        """The chosen sample beside the image, and to be painted on."""
        sample, steering = session.result.pixels[chosen], self.parts.steering
        steerable, canvas = bool(self.steerable(session)), pictures.to_paint(sample)
        return {
            self.parts.answers.wipe: pictures.wipe(session.seen.y, sample, chosen),
            steering.chosen: text.choice(chosen, session.sampling, steerable),
            steering.painter: canvas,
            self.parts.strokes: unpainted(canvas),
        }

    def what_stays(self, session: Session | None, chosen: int, groups: float) -> Updates:
        """What the first groups of the chosen sample decide."""
        if session is None:
            return UNCHANGED
        steering, resolutions = self.parts.steering, self.steerable(session)
        if not resolutions:
            return {steering.stays: "", steering.shared: None}
        kept = min(int(groups), len(resolutions))
        try:
            mean = self.explorer.what_stays(session, chosen, kept)
        except CVDVAEError:  # there have been as many steps as there may be
            return UNCHANGED
        return {
            steering.stays: text.stays(kept, resolutions),
            steering.shared: pictures.smooth(mean),
        }


def _filled(figure: Figure, picture: Any, words: str) -> Updates:
    return {figure.image: picture, figure.caption: text.caption(words)}
