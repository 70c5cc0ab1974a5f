"""What happens on the page of photographs: every handler says what to show next."""

import itertools
import logging
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import CVDVAEError, InputError
from ...gaussian.noise import Window
from ...imaging.io import png_in_base64, to_pil
from ...restoration.edits import pack_region
from ..archive import scratch
from ..controls import UNCHANGED, Updates, seed_of
from ..recipes import RESTORE, TABS, read_result
from ..text import AGAIN, FAILED, WILDEST, WRONG, drawn_before, explained, label, sentence
from ..uploads import MAX_FILE
from . import text
from .album import GONE
from .asked import Wanted, number, numbers, whole_number
from .explorer import LEAST_SAMPLES, MAX_INPUT, MAX_PART, Photos, Session
from .strokes import PART, SMALLER, region_of
from .viewer import copied, packed, steps_of
from .whole import Whole
from .windows import interesting, smoothed, truth_in

logger = logging.getLogger(__name__)

SORRY = f"{WRONG} {AGAIN}"
LOST = "It could not be drawn, as too many are waiting: try again in a moment."


@dataclass(frozen=True)
class Parts:
    """What of the page the handlers change."""

    session: gr.State
    viewer: gr.HTML
    kind: gr.Radio
    notes: gr.HTML
    said: gr.HTML
    file: gr.DownloadButton
    stop: gr.Button
    wanted: gr.State
    photo: gr.Image
    scale: gr.Radio
    again: gr.Button
    reopen: gr.UploadButton
    settings: tuple[Any, ...]

    @property
    def held(self) -> list[Any]:
        """What would be of another photograph while one is read."""
        return [self.kind, self.scale, self.again, self.reopen]


class PhotoHandlers:
    """The handlers of one page; what belongs to a visitor comes in and goes out as a `Session`.

    Args:
        photos: The models.
        parts: Of the page.
        restored: Pixels of the largest image that the tab Restore gives back; 0 where it takes no
            photographs.
        domains: Names of those that have a tab on it.
    """

    def __init__(
        self, photos: Photos, parts: Parts, restored: int = 0, domains: Container[str] = TABS
    ) -> None:
        self.photos, self.parts, self.restored = photos, parts, restored
        self.domains = domains
        self.number = itertools.count()

    def tell(self, kind: str, **values: Any) -> Updates:
        """What the viewer is told; no two messages are the same, or the second would be lost."""
        return {self.parts.viewer: {"kind": kind, "number": next(self.number), **values}}

    def arrive(
        self, session: Session | None, path: str | None, scale: str, *settings: Any
    ) -> Updates:
        """A new photograph: guess what is wanted, and show it."""
        if session is not None and path is not None and session.shows(Path(path)):
            return {self.parts.kind: label(text.KINDS, "enlarge")}
        kind = "enlarge" if path is None else self.photos.guess(Path(path))
        what = label(text.KINDS, kind)
        seen = self._look(session, True, path, what, scale, *settings)
        return seen | {self.parts.kind: what}

    def fixed(self, fixed: bool = True) -> Updates:
        """While a photograph is read, what is done with it cannot be changed, nor another drawn."""
        return dict.fromkeys(self.parts.held, gr.update(interactive=not fixed))

    def look(
        self, session: Session | None, path: str | None, kind: str, scale: str, *settings: Any
    ) -> Updates:
        """Show a photograph; the viewer then asks for what is visible of its samples."""
        return self._look(session, False, path, kind, scale, *settings)

    def _look(
        self,
        before: Session | None,
        new: bool,
        path: str | None,
        kind: str,
        scale: str,
        samples: float,
        temperature: float,
        seed: str | None,
        consistent: bool,
        antithetic: bool,
        shrunk_by: str,
    ) -> Updates:
        parts = self.parts
        if path is None:
            return self._nothing(before, "")
        which, by = text.KINDS[kind], int(scale.removeprefix("×"))
        try:
            how = (int(samples), temperature, seed_of(seed), consistent, shrunk_by, antithetic)
            sampling = self.photos.sampling(by, *how)
        except CVDVAEError as error:
            if before is not None and not new:  # what is shown is of this photograph, and stays
                return self._ways(before) | self.tell("wrong", text=sentence(error, path))
            return self._nothing(before, sentence(error, path))
        try:
            photo = self.photos.look(Path(path), which, by, shrunk_by)
        except CVDVAEError as error:
            return self._nothing(before, sentence(error, path))
        session = Session(photo, (sampling,))
        guessed = (text.SHRUNK.format(scale=by),) if new and which == "shrink" else ()
        notes = (*photo.notes, *guessed, *text.made_small(photo.made_by, shrunk_by))
        remarks = text.remarks(notes, photo.size, photo.scale)
        shown = {parts.session: session, parts.notes: remarks}
        return self._left(before) | shown | self._image(session)

    def _nothing(self, before: Session | None, why: str) -> Updates:
        """No photograph is shown any more."""
        nothing = self._left(before) | {self.parts.session: None, self.parts.notes: ""}
        return self.tell("none", text=why) | nothing

    def reopen(self, before: Session | None, path: str | None) -> Updates:
        """What was drawn once, with its photograph and its settings."""
        if path is None:
            return {self.parts.kind: gr.skip()}
        try:
            session = self.photos.reopen(read_result(Path(path), MAX_INPUT, "photos", self.domains))
            return self._reopened(session) | self._left(before)
        except CVDVAEError as error:
            return self.tell("wrong", text=sentence(error, path))
        except Exception:
            logger.exception("a result could not be opened")
            return self.tell("wrong", text=SORRY)

    def _reopened(self, session: Session) -> Updates:
        """The page as it was; a value that its controls do not have is shown as the nearest."""
        parts, photo, how = self.parts, session.photo, session.history[0]
        model, here = self.photos.model(photo.scale), (text.WAYS, LEAST_SAMPLES)
        ways = drawn_before(how, model.recommended, not model.one_temperature, *here)
        values = (
            max(LEAST_SAMPLES, how.samples),
            min(WILDEST, how.encoder_temperature),  # that of all groups, where it is one
            str(how.seed),
            how.consistent,
            how.antithetic,
            how.shrunk_by if how.shrunk_by in text.PROGRAMS else "bicubic",
        )
        return {
            parts.session: session,
            parts.photo: to_pil(photo.y),
            **self._ways(session),
            parts.notes: text.remarks(text.opened(ways), photo.size, photo.scale),
            **dict(zip(parts.settings, values, strict=True)),
        } | self._image(session)

    def _ways(self, of: Session) -> Updates:
        return dict(zip((self.parts.kind, self.parts.scale), of.photo.ways, strict=True))

    def _image(self, session: Session) -> Updates:
        photo = session.photo
        return self.tell(
            "image",
            id=f"{photo.name}-{photo.truth is not None}",
            png=f"data:image/png;base64,{png_in_base64(to_pil(photo.y))}",
            width=photo.lr_size[1],
            height=photo.lr_size[0],
            scale=photo.scale,
            truth=photo.truth is not None,
            consistent=session.history[0].consistent,
            explained=photo.truth is None and photo.size[0] * photo.size[1] <= self.restored,
            most=MAX_PART,
            cell=photo.cell,
            focus=list(interesting(photo)),
            zoom=1,
            steps=steps_of(session),
            step=len(session.history) - 1,
            restore=TABS[RESTORE],
        )

    def draw(self, session: Session | None, event: gr.EventData) -> Iterator[Updates]:
        """The samples of a window, one after the other."""
        request = number(event, "request")
        try:
            if session is None:
                raise InputError(GONE)
            window = Window(*numbers(event, "window", 4))
            drawn: dict[str, Any] = {"request": request, "samples": [], "exploded": []}
            exact = True
            for sample in self.photos.draw(session, number(event, "step"), window):
                if not drawn["samples"]:
                    drawn["bicubic"] = packed(smoothed(session.photo, window))
                    truth = truth_in(session.photo, window, self.photos.truths)
                    drawn["truth"] = None if truth is None else packed(truth)
                drawn["samples"].append(packed(sample.pixels))
                drawn["exploded"].append(sample.exploded)
                exact = exact and sample.exact
                wanted = self.photos.sampling_of(session, number(event, "step")).samples
                done = len(drawn["samples"]) == wanted
                yield self.tell("part", **copied(drawn), done=done, exact=exact)
        except CVDVAEError as error:
            yield self.tell("part", request=request, error=sentence(error))
        except Exception:
            logger.exception("a part could not be drawn")
            yield self.tell("part", request=request, error=SORRY)

    def lost(self) -> Updates:
        """A window was asked for and never came to be drawn, as where the queue was full."""
        return self.tell("lost", text=LOST)

    def vary(self, session: Session | None, wanted: Wanted | None, event: gr.EventData) -> Updates:
        """A region of one sample is to be drawn anew."""
        try:
            if session is None:
                raise InputError(GONE)
            step = session.step(getattr(event, "key", None))
            if step is None:  # it waited, and by now another photograph is shown
                return UNCHANGED
            strokes, photo = getattr(event, "strokes", None), session.photo
            # What was shrunk first becomes as large by every factor.
            mask = pack_region(region_of(strokes, photo.size, PART if photo.truth else SMALLER))
            session = self.photos.vary(session, step, number(event, "sample"), mask)
        except CVDVAEError as error:
            return self.tell("wrong", text=sentence(error))
        if session.left.is_set():
            return UNCHANGED
        lost = wanted is not None and wanted.end_without(session.keys)
        taken = self.nothing_to_take() if lost else {}
        return {self.parts.session: session} | taken | self.tell("steps", steps=steps_of(session))

    def want_whole(
        self, session: Session | None, before: Wanted | None, event: gr.EventData
    ) -> Updates:
        """Everything is wanted: it waits for its turn, and may be stopped. What is pressed while it
        waits, or is drawn, is not wanted beside."""
        if before is not None and before.goes_on:
            return UNCHANGED
        if before is not None:
            before.followed = True
        wanted = Wanted(dict(event._data))
        return {
            self.parts.wanted: wanted if session is None else replace(wanted, left=session.left),
            self.parts.said: text.WAITING,
            self.parts.stop: gr.update(visible=True),
            self.parts.file: gr.update(visible=False),
        }

    def whole(self, session: Session | None, wanted: Wanted | None) -> Iterator[Updates]:
        """Everything, into files."""
        parts, begun = self.parts, time.monotonic()
        if wanted is None or wanted.begun or wanted.over.is_set():
            yield UNCHANGED
            return
        wanted.begun = True
        try:
            with scratch() as name:
                whole = self._files(session, wanted.told, Path(name))
                if session is None or whole is None:
                    yield self._ended(session, wanted, self.nothing_to_take())
                    return
                ready = self.nothing_to_take()
                yield {
                    parts.said: text.progress(0, 0),
                    parts.stop: gr.update(visible=True),
                    parts.file: gr.update(visible=False),
                }
                for share in whole.draw():
                    if session.left.is_set() or wanted.over.is_set():
                        break
                    yield {parts.said: text.progress(share, time.monotonic() - begun)}
                else:  # what takes a while, too: it may be stopped meanwhile
                    file, exact, how = whole.archive(), whole.exact, whole.sampling
                    large = file.suffix == ".zip" and file.stat().st_size > MAX_FILE
                    what = text.taken(session.history, whole.step, whole.indices)
                    ready = {
                        parts.said: text.drawn(what, exact, how.consistent, whole.exploded, large),
                        parts.file: gr.update(value=str(file), visible=True),
                        parts.stop: gr.update(visible=False),
                    }
                yield self._ended(session, wanted, ready)
        except CVDVAEError as error:
            failed = self.nothing_to_take() | {parts.said: explained(error)}
            yield self._ended(session, wanted, failed)
        except Exception:
            logger.exception("the whole could not be drawn")
            failed = self.nothing_to_take() | {parts.said: FAILED}
            yield self._ended(session, wanted, failed)

    def _ended(self, session: Session | None, wanted: Wanted, updates: Updates) -> Updates:
        """The last that is said of files, where they are wanted still; nothing where others are."""
        stopped = wanted.over.is_set() or (session is not None and session.left.is_set())
        wanted.over.set()
        if wanted.followed:
            return UNCHANGED
        return self.nothing_to_take() if stopped else updates

    def _files(self, session: Session | None, told: dict[str, Any], folder: Path) -> Whole | None:
        """What is to be drawn; none where it had to wait, and by now something else is shown."""
        if session is None:
            raise InputError("your photograph comes first")
        step = session.step(told.get("key"))
        if step is None:
            return None
        count, chosen = session.history[step].samples, whole_number(told.get("sample"))
        kind = told.get("format", "png")
        if not 0 <= chosen < count or kind not in text.FORMATS:
            raise InputError("there is no such sample")
        packed = {"all": list(range(count)), "settings": []}
        which = told.get("which", "")
        indices = packed.get(which, [chosen])
        return Whole(self.photos, session, step, indices, folder, kind, packed=which in packed)

    def stopped(self, wanted: Wanted | None) -> Updates:
        """The whole is no longer wanted; what is being drawn of it ends at its next strip."""
        if wanted is not None:
            wanted.over.set()
        return self.nothing_to_take()

    def nothing_to_take(self) -> Updates:
        """Nothing is said of the whole, nor offered."""
        hidden = gr.update(visible=False)
        return {self.parts.said: "", self.parts.stop: hidden, self.parts.file: hidden}

    def _left(self, before: Session | None) -> Updates:
        """Something else is shown: what was drawn, or is being drawn, is not of that."""
        if before is not None:
            before.left.set()
        return self.nothing_to_take()
