"""What happens on a click; what belongs to a visitor comes in and goes out with every one."""

import logging
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ...damage.described import Description
from ...damage.dividing import divided
from ...damage.mask_kinds import OnlyNoise
from ...errors import CVDVAEError, InputError
from ...imaging.carried import Extras
from ...restoration.restored import Restoration
from ...restoration.restorer import Restorer
from ...restoration.restoring import Seen, degraded
from ...restoration.settings import Restoring
from .. import pictures, text
from ..archive import scratch, zip_of
from ..controls import UNCHANGED, Updates, seed_of
from ..painter import Painting, unpainted
from ..recipes import TABS
from ..turns import in_turn
from . import reopening
from .damage import (
    DAMAGES,
    KINDS,
    LABELS,
    Given,
    as_it_is,
    described,
    image_in,
    in_words,
    noise_in,
    why_missing,
)
from .showing import Parts, shown

logger = logging.getLogger(__name__)

INTACT, DAMAGED = KINDS
FIRST = InputError("your image comes first")

STOPPED = text.callout("plain", "Stopped:", "press “See what could be there” for all answers.")


class RestoringHandlers:
    """The handlers of one page.

    Args:
        restorers: The models, by what their images show.
        parts: Of the page.
        turn: Held while something is restored: what draws at the same time waits.
        tabs: Names of those of the page.
    """

    def __init__(
        self,
        restorers: Mapping[str, Restorer],
        parts: Parts,
        turn: "threading.Lock | None" = None,
        tabs: Container[str] = TABS,
    ) -> None:
        self.restorers, self.parts, self.turn = restorers, parts, turn or threading.Lock()
        self.tabs = tabs

    def arrive(
        self, path: str | None, subject: str, before: Given | None, kind: str = INTACT
    ) -> Updates:
        """A new image, or another subject: find what is restored, and lay it out to paint on.

        The page may tell of both at once. What has arrived `before` is not laid out again: the
        visitor may have painted on it by then, or said what it is.
        """
        parts = self.parts
        if before is not None and (str(before.path), before.subject) == (path, subject):
            return UNCHANGED
        if before is not None:
            before.left.set()
        empty = self._empty()  # what is shown is of the one before
        if before is not None and before.said[:1] == (kind,):  # what the page said is of that one
            empty[parts.kind] = kind = before.said[1]
        nothing = empty | {
            parts.given: None,
            parts.strokes: Painting(),
            parts.painter: {},
            parts.said: "",
        }
        if path is None:
            return nothing
        try:
            given = image_in(Path(path), self.restorers[subject].side, subject)
        except CVDVAEError as error:
            return nothing | {parts.said: text.explained(error, path)}
        canvas = pictures.to_paint(given.pixels)
        updates = empty | {
            parts.given: given,
            parts.strokes: unpainted(canvas),
            parts.painter: canvas,
            parts.said: "".join(map(text.remark, filter(None, (*given.notes, given.note)))),
        }
        if self.restorers[subject].side is not None:  # a photograph may be either
            updates[parts.kind] = now = list(KINDS)[int(given.as_it_is)]
            updates[parts.given] = replace(given, said=(now, kind))
        return updates

    def _empty(self) -> Updates:
        """Nothing is shown."""
        hidden = dict.fromkeys(self.parts.shown[-1:], gr.update(visible=False))
        return dict.fromkeys(self.parts.shown, None) | hidden

    def temperature_of(self, subject: str) -> float:
        """Where the model of this subject begins: at its own for looking."""
        return self.restorers[subject].recommended.look

    def estimated(
        self, path: str | None, given: Given | None, damage: str, painting: Painting
    ) -> Updates:
        """How noisy a damaged image seems to be."""
        try:
            if given is None:
                raise FIRST
            sigma, said = noise_in(given, LABELS[damage], painting.strokes)
        except CVDVAEError as error:
            return {self.parts.said: text.explained(error, path)}
        return {self.parts.noise: sigma, self.parts.said: text.remark(said)}

    def busy(self, given: Given | None) -> Updates:
        """While it is restored, or waits for that, it may be stopped."""
        # What was stopped stays so: it may still be drawing. What was not is stopped together.
        if given is not None and given.answered.stopped.is_set():
            given.answered.stopped = threading.Event()
        return self.stoppable(given is not None)  # with no image yet, nobody could be told

    def stop(self, given: Given | None) -> Updates:
        """No further answers are wanted: what is drawn ends with its batch."""
        if given is not None:
            given.answered.stopped.set()
        return self.stoppable(False)

    def stoppable(self, may: bool) -> Updates:
        """Whether there is anything to stop."""
        return {self.parts.stop: gr.update(interactive=may)}

    def draw(
        self,
        path: str | None,
        subject: str,
        kind: str,
        damage: str,
        strength: float,
        noise: float,
        samples: float,
        temperature: float,
        seed: str | None,
        antithetic: bool,
        given: Given | None,
        painting: Painting,
        angle: float = 0.0,
    ) -> Iterator[Updates]:
        """Damage the image, or take it as it is; restore it, and show what could be there."""
        if path is None:
            yield {self.parts.said: text.explained(FIRST)}
            return
        # Of what has not arrived, nobody would say that it has gone again.
        if given is None or (str(given.path), given.subject) != (path, subject):
            side = self.restorers[subject].side
            yield {self.parts.said: text.explained(why_missing(Path(path), side), path)}
            return
        how = (samples, temperature, seed, antithetic)
        asked = [kind, damage, strength, angle, noise, *how, painting.strokes]
        if asked == given.answered.asked:  # a double click
            yield UNCHANGED
            return
        given.answered.asked = []
        try:
            which, size = LABELS[damage], (given.x.shape[1], given.x.shape[2])
            what = described(which, strength, painting.strokes, size, angle)
            noise = noise if DAMAGES[which].may_be_noisy else 0
            words = in_words(which, KINDS[kind], strength, angle, noise)
            results, notes = self._restored(given, KINDS[kind], what, noise, *how)
            yield from self._growing(given, results, [words, *notes], asked, int(samples))
        except CVDVAEError as error:
            yield self._nothing_new(given, text.explained(error, path))
        except Exception:
            logger.exception("an image could not be restored")
            yield self._nothing_new(given, text.FAILED)

    def reopen(self, path: str | None, before: Given | None) -> Iterator[Updates]:
        """The answers of a settings file, with their image and how they were drawn."""
        parts = self.parts
        if path is None:
            yield UNCHANGED
            return
        try:
            told, extras, given = reopening.reopened(Path(path), self.restorers, self.tabs)
        except CVDVAEError as error:
            yield {parts.said: text.explained(error, path)}
            return
        if before is not None:
            given.answered.stopped = before.answered.stopped  # who waits for it may have stopped it
        how, canvas = told.restoring, pictures.to_paint(given.pixels)
        laid_out = self._empty() | {
            parts.given: given,
            parts.strokes: unpainted(canvas),
            parts.painter: canvas,
            parts.photo: str(given.path),
            parts.subject: given.subject,
            parts.kind: DAMAGED,
            parts.said: text.WAITING,
            **dict(zip(parts.settings, reopening.settings_of(how), strict=True)),
        }
        yield laid_out | self._said(reopening.said_in(told) or reopening.UNSAID, canvas)
        if before is not None:  # by now the page shows the other; had it failed, this one stays
            before.left.set()
        try:
            words = [reopening.in_words(told)]
            results = self._stream(given, told.seen, how, extras=extras)
            yield from self._growing(given, results, words, [], how.samples)
        except CVDVAEError as error:
            yield self._nothing_new(given, text.explained(error, path))
        except Exception:
            logger.exception("a restoration could not be drawn again")
            yield self._nothing_new(given, text.FAILED)

    def _said(self, said: reopening.Said, canvas: dict[str, Any]) -> Updates:
        """What has happened to an image, in the controls."""
        parts, updates = self.parts, self.parts.chosen(said.damage, DAMAGED)
        sliders = {parts.strength: said.strength, parts.angle: said.angle, parts.noise: said.noise}
        for part, value in (sliders | {parts.painter: canvas}).items():
            updates[part]["value"] = value
        return updates | {parts.damage: said.damage}

    def _growing(
        self,
        given: Given,
        results: Iterator[Restoration],
        about: Sequence[str],
        asked: list[Any],
        wanted: int,
    ) -> Iterator[Updates]:
        """How many answers there are, and then what they are: all, or those until it was stopped.

        Args:
            given: The image.
            results: The answers, growing.
            about: What has happened to the image, and what its file says.
            asked: What was asked of it, which is kept once all of it is shown.
            wanted: How many answers.
        """
        said, result, done = self.parts.said, None, 0
        for result in results:
            done = len(result.pixels)
            if done < wanted:
                yield self._answer(
                    given, {said: text.progress(done, wanted), **self.stoppable(True)}
                )
        if result is None or given.left.is_set():
            yield self._nothing_new(given, STOPPED)
            return
        with scratch() as name:
            archive = zip_of(result, Path(name))
            # The page copies the file while this waits, and then it goes.
            answers = shown(self.parts.shown, result, archive, about[0], about[1:])
            given.answered.told = answers[self.parts.shown[0]]
            if done == wanted:
                given.answered.asked = asked
            yield self._answer(given, {said: "" if done == wanted else STOPPED, **answers})
            if given.left.is_set():  # by the time that the pictures had become files
                yield self._empty()

    def _nothing_new(self, given: Given, why: str) -> Updates:
        """Why nothing was drawn; what is shown stays, and is said to be from before."""
        updates: Updates = {self.parts.said: why}
        if given.answered.told:
            updates[self.parts.shown[0]] = text.STILL + given.answered.told
        return self._answer(given, updates)

    def _restored(
        self,
        given: Given,
        damaged: bool,
        what: Description,
        noise: float,
        samples: float,
        temperature: float,
        seed: str | None,
        antithetic: bool,
    ) -> tuple[Iterator[Restoration], list[str]]:
        """What could have been there, growing, and what the file of a damaged image says."""
        restorer, number = self.restorers[given.subject], seed_of(seed)
        how = restorer.restoring(int(samples), temperature, number, antithetic=antithetic)
        how = replace(how, profile=restorer.recommended.profile_at(temperature))
        if not noise and all(isinstance(step, OnlyNoise) for step in what.steps):
            raise InputError("say how noisy it is, such as 0.01")
        if damaged or given.truth is None:
            told, notes, extras = as_it_is(given, given.path, what, noise)
            return self._stream(given, told, how, extras=extras), notes
        truth, what = divided(given.truth, what) if restorer.side is None else (given.truth, what)
        return self._stream(given, degraded(truth, what, noise or None, number), how, truth), []

    def _stream(
        self,
        given: Given,
        told: Seen,
        how: Restoring,
        truth: Tensor | None = None,
        extras: Extras | None = None,
    ) -> Iterator[Restoration]:
        """Answers, growing, until they are no longer wanted."""
        stopped = given.answered.stopped

        def is_over() -> bool:
            return given.left.is_set() or stopped.is_set()

        restorer = self.restorers[given.subject]
        drawn = in_turn(partial(restorer.stream, told, how, truth), self.turn, is_over)
        return drawn if extras is None else (replace(one, extras=extras) for one in drawn)

    def _answer(self, given: Given, updates: Updates) -> Updates:
        """What is said of an image, where it is still the one that is shown."""
        return UNCHANGED if given.left.is_set() else updates
