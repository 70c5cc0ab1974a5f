"""What draws: every handler takes what is shown and says what to show next."""

import logging
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import gradio as gr

from ...errors import CVDVAEError
from ...imaging.io import to_pil
from ...restoration.edits import Blend, Edit, Resample, ResampleRegion, pack_region
from ...restoration.recipe import MAX_SIDE, Recipe, recipe_from_text
from .. import pictures
from ..archive import scratch, zip_of
from ..controls import UNCHANGED, Updates, seed_of
from ..painter import Painting
from ..photos.strokes import region_of
from ..recipes import TABS, read_result
from ..text import FAILED, STILL, WAITING, callout, drawn_before, explained, label
from . import text
from .explorer import Explorer, Session, seed_after
from .inputs import Inputs
from .showing import Parts, Showing

logger = logging.getLogger(__name__)


class Handlers:
    """The handlers of one page; what belongs to a visitor comes in and goes out as a `Session`.

    Args:
        explorer: The models.
        inputs: The handlers of the image.
        parts: Of the page.
        shown: Names of the domains that have a tab on it.
    """

    def __init__(
        self, explorer: Explorer, inputs: Inputs, parts: Parts, shown: Container[str] = TABS
    ) -> None:
        self.explorer, self.inputs, self.parts = explorer, inputs, parts
        self.shown = shown
        self.showing = Showing(explorer, parts)

    def draw(
        self,
        path: str | None,
        kind: str,
        scale: str,
        method: str,
        x: float,
        y: float,
        side: float,
        samples: float,
        temperature: float,
        encoder_temperature: float,
        seed: str | None,
        consistent: bool,
        antithetic: bool,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The first gallery of an image."""
        said = self.parts.settings.said
        if path is None:
            yield self._wrong(said, callout("wrong", "No image yet.", text.EMPTY))
            return

        def sessions() -> Iterator[Session]:
            model = self.inputs.model(scale, method)
            sampling = model.sampling(
                int(samples),
                temperature,
                seed_of(seed),
                encoder_temperature,
                consistent,
                antithetic=antithetic,
                profile=model.recommended.profile_at(max(temperature, encoder_temperature)),
            )
            seen = self.inputs.seen(path, kind, model, x, y, side)
            return self.explorer.start(seen, model, sampling)

        yield from self._shown(sessions, progress, said, path)

    def others(
        self,
        session: Session | None,
        chosen: int,
        groups: float,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """Others like the chosen sample."""
        yield from self._steered(
            session, lambda s: Resample(chosen, int(groups), seed_after(s)), progress
        )

    def blend(
        self,
        session: Session | None,
        chosen: int,
        last: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """From the chosen sample to another."""
        yield from self._steered(session, lambda s: Blend(chosen, int(last or 0)), progress)

    def vary(
        self,
        session: Session | None,
        chosen: int,
        region: str,
        painting: Painting,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The chosen sample, varied in a region."""

        def step(s: Session) -> Edit:
            size, part = s.result.samples.shape[2], text.REGIONS[region]
            if part is None:
                mask = region_of(painting.strokes, (size, size))
            else:
                mask = pictures.rectangle(part, size)
            return ResampleRegion(chosen, pack_region(mask), seed_after(s))

        yield from self._steered(session, step, progress)

    def walk(
        self,
        session: Session | None,
        line: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """Another gallery of those so far."""
        lines = text.trail(session.history) if session else []
        if session is None or line not in lines:
            yield UNCHANGED
            return
        here = lines.index(line)
        said = self.parts.steering.said
        yield from self._shown(lambda: self.explorer.walk(session, here), progress, said)

    def back(
        self,
        session: Session | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The gallery before."""
        said = self.parts.steering.said
        if session is None or session.here == 0:
            first = callout("plain", "", "This is the first step: there is nothing before it.")
            yield self._wrong(said, first)
            return
        before = session.here - 1
        yield from self._shown(lambda: self.explorer.walk(session, before), progress, said)

    def reopen(
        self,
        path: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The gallery of a settings file."""
        if path is None:
            yield UNCHANGED
        else:
            yield from self._restored(
                lambda: self.explorer.reopen(self._read(Path(path))),
                progress,
                self.parts.take.said,
                path,
            )

    def _read(self, path: Path) -> Recipe:
        return read_result(path, MAX_SIDE**2, "faces", self.shown)

    def link_of(self, request: gr.Request) -> str:
        """What the page's own address says of a gallery."""
        return request.query_params.get("r") or ""

    def arrive_by_link(
        self,
        link: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The gallery of the page's own address."""
        if not link:
            yield UNCHANGED
        else:
            yield from self._restored(
                lambda: self.explorer.reopen(recipe_from_text(link)),
                progress,
                self.parts.settings.said,
            )

    def _restored(
        self,
        sessions: Callable[[], Iterator[Session]],
        progress: gr.Progress,
        said: gr.HTML,
        path: str | None = None,
    ) -> Iterator[Updates]:
        """A gallery of elsewhere, with the image and the settings that it was drawn from; those
        at first only: while it grows, the visitor may change them."""
        note = ""
        for number, updates in enumerate(self._shown(sessions, progress, said, path)):
            session = updates.get(self.parts.session)
            if isinstance(session, Session) and number == 0:
                model, s = self.explorer.named(session.result), session.sampling
                settings = self.parts.settings
                updates |= {
                    self.parts.given: session.seen.digest,
                    self.inputs.input.photo: pictures.stored(to_pil(session.seen.y)),
                    self.inputs.input.scale: f"×{model.scale}",
                    settings.method: label(text.METHODS, model.method),
                    settings.samples: s.samples,
                    **self.inputs.temperatures(model, s.temperature, s.encoder_temperature),
                    settings.seed: str(s.seed),
                    settings.consistent: s.consistent,
                    settings.antithetic: s.antithetic,
                }
                ways = drawn_before(session.history[0], model.recommended)
                if ways:
                    note = callout("plain", "As it was drawn before", text.opened(ways))
            if isinstance(session, Session) and note:  # `_shown` empties it at the end
                updates[said] = note
            yield updates

    def _steered(
        self, session: Session | None, step: Callable[[Session], Edit], progress: gr.Progress
    ) -> Iterator[Updates]:
        said = self.parts.steering.said
        if session is None:
            yield self._wrong(said, callout("wrong", "Nothing to steer yet.", text.EMPTY))
            return
        yield from self._shown(lambda: self.explorer.steer(session, step(session)), progress, said)

    def _shown(
        self,
        sessions: Callable[[], Iterator[Session]],
        progress: gr.Progress,
        said: gr.HTML,
        path: str | None = None,
    ) -> Iterator[Updates]:
        try:
            session = None
            for session in sessions():
                done, wanted = len(session.result.pixels), session.sampling.samples
                progress(done / wanted, desc=f"{done} of {wanted}")
                if done < wanted:
                    yield self.showing.growing(session)
            if session is not None:
                yield self.showing.growing(session) | self.showing.finished(session)
        except CVDVAEError as error:
            yield self._wrong(said, explained(error, path))
        except Exception:
            logger.exception("a drawing failed")
            yield self._wrong(said, FAILED)

    def _wrong(self, said: gr.HTML, words: str) -> Updates:
        """What went wrong, beside the hand; what is shown stays, and says so in `ready`."""
        return dict.fromkeys(self.parts.said, "") | {said: words}

    def choose(self, session: Session | None, event: gr.SelectData) -> Updates:
        """Another sample of the gallery."""
        if session is None or not 0 <= int(event.index) < len(session.result.pixels):
            return UNCHANGED
        index = int(event.index)
        return {self.parts.chosen: index} | self.showing.chosen(session, index)

    # Taking away.

    def pack(self, session: Session | None, page: str) -> Iterator[Updates]:
        """Files, address and code of the gallery that is shown on this `page`."""
        if session is None:
            yield UNCHANGED
            return
        recipe = session.result.recipe
        with scratch() as name:
            archive = zip_of(session.result, Path(name))
            # The page copies the files while this waits, and then they go.
            yield {
                self.parts.take.archive: gr.update(value=str(archive), interactive=True),
                self.parts.take.settings: gr.update(
                    value=str(archive.with_name("result.json")), interactive=True
                ),
                self.parts.take.link: f"{page}?r={recipe.to_text()}",
                self.parts.take.python: text.python_of(recipe),
                self.parts.take.command: text.command_of(recipe),
            }

    # Buttons.

    def busy(self) -> Updates:
        """While samples are drawn: no second click, no file of before, but a way to stop."""
        parts = self.parts
        idle = [*parts.buttons, *parts.steers, parts.take.archive, parts.take.settings]
        return {
            parts.drawing: True,
            parts.answers.status: WAITING,
            parts.settings.stop: gr.update(interactive=True),
            **dict.fromkeys(parts.said, ""),
            **dict.fromkeys(idle, gr.update(interactive=False)),
        }

    def arrived(
        self, session: Session | None, given: str | None, drawing: bool, status: str | None
    ) -> Updates:
        """An image was looked at, and can be drawn; while another is drawn, `ready` says so."""
        free: Updates = dict.fromkeys(self.inputs.ways, gr.update(interactive=True))
        if drawing:
            return free
        free[self.parts.settings.draw] = gr.update(interactive=True)
        return free | self._promised(session, given, status)

    def looked(
        self, session: Session | None, given: str | None, drawing: bool, status: str | None
    ) -> Updates:
        """The image was looked at in another way; as in `arrived`, but for the button."""
        return UNCHANGED if drawing else self._promised(session, given, status) or UNCHANGED

    def _promised(self, session: Session | None, given: str | None, status: str | None) -> Updates:
        # One promises nothing; the other is of a drawing of which `ready` has said how it ended.
        if status in (STILL, WAITING):
            return {}
        if session is None:
            return {self.parts.answers.status: text.READY if given else text.FIRST}
        return self.showing.status(session, given)

    def ready(self, session: Session | None, given: str | None, drawing: bool) -> Updates:
        """When they are drawn; or where it was stopped or failed, and `drawing` still."""
        parts = self.parts
        updates = {
            parts.drawing: False,
            parts.settings.stop: gr.update(interactive=False),
            **dict.fromkeys(parts.buttons, gr.update(interactive=True)),
            **self.showing.may_steer(session),
        }
        if session is None:
            return updates | {parts.answers.status: text.UNDRAWN if given else text.NOTHING}
        if not drawing:
            return updates | self.showing.status(session, given)
        if len(session.result.pixels) == session.result.sampling.samples:
            here = text.trail(session.history)[session.here]  # not what was pressed
            trail = {parts.steering.trail: gr.update(value=here, interactive=True)}
            return updates | trail | {parts.answers.status: STILL}
        session = self.explorer.cut(session)
        shown = self.showing.growing(session) | self.showing.finished(session)
        shown |= self.showing.status(session, given)
        # What went wrong stays: a walk that was stopped looks like one that is being stopped.
        return updates | {part: new for part, new in shown.items() if part not in parts.said}
