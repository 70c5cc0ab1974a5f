"""What draws: every handler takes what is shown and says what to show next."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..app import pictures, text
from ..errors import CVDVAEError
from ..imaging.io import to_pil
from ..restoration.edits import Blend, Edit, Others, Vary, pack_region
from ..restoration.recipe import read_recipe, recipe_from_text
from .explorer import Explorer, Session, groups_of, method_of, seed_after, zip_of
from .inputs import UNCHANGED, Inputs, Updates
from .layout import Answers, Settings, Steering, Take

logger = logging.getLogger(__name__)


class Handlers:
    """The handlers of one page; what belongs to a visitor comes in and goes out as a `Session`."""

    def __init__(
        self,
        explorer: Explorer,
        session: gr.State,
        chosen: gr.State,
        inputs: Inputs,
        parts: tuple[Settings, Answers, Steering, Take],
    ) -> None:
        self.explorer, self.inputs = explorer, inputs
        self.session, self.chosen = session, chosen
        self.settings, self.answers, self.steering, self.take = parts

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
        seed: float | None,
        consistent: bool,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The first gallery of an image."""
        if path is None:
            yield {self.answers.status: text.callout("wrong", "No image yet.", text.EMPTY)}
            return

        def sessions() -> Iterator[Session]:
            model = self.inputs.model(scale, method)
            sampling = model.sampling(
                int(samples), temperature, int(seed or 0), encoder_temperature, consistent
            )
            seen = self.inputs.seen(path, kind, model, x, y, side)
            return self.explorer.start(seen, model, sampling)

        yield from self._shown(sessions, progress, path)

    def others(
        self,
        session: Session | None,
        chosen: int,
        groups: float,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """Others like the chosen sample."""
        yield from self._steered(
            session, lambda s: Others(chosen, int(groups), seed_after(s)), progress
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
        painting: dict[str, Any] | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The chosen sample, varied in a region."""

        def step(s: Session) -> Edit:
            size, part = s.result.samples.shape[2], text.REGIONS[region]
            if part is None:
                mask = pictures.painted((painting or {}).get("layers") or [], size)
            else:
                mask = pictures.rectangle(part, size)
            return Vary(chosen, pack_region(mask), seed_after(s))

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
        yield from self._shown(lambda: self.explorer.walk(session, here), progress)

    def back(
        self,
        session: Session | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The gallery before."""
        if session is None or session.here == 0:
            first = text.callout("plain", "", "This is the first step: there is nothing before it.")
            yield {self.answers.status: first}
        else:
            yield from self._shown(lambda: self.explorer.walk(session, session.here - 1), progress)

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
                lambda: self.explorer.reopen(read_recipe(Path(path))), progress, path
            )

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
                lambda: self.explorer.reopen(recipe_from_text(link)), progress
            )

    def _restored(
        self,
        sessions: Callable[[], Iterator[Session]],
        progress: gr.Progress,
        path: str | None = None,
    ) -> Iterator[Updates]:
        """A gallery of elsewhere, with the image and the settings that it was drawn from."""
        for updates in self._shown(sessions, progress, path):
            session = updates.get(self.session)
            if isinstance(session, Session):
                model, s = self.explorer.named(session.result.model), session.sampling
                settings = self.settings
                updates |= {
                    self.inputs.input.photo: to_pil(session.seen.y),
                    settings.scale: f"×{model.scale}",
                    settings.method: text.label(text.METHODS, method_of(model)),
                    settings.samples: s.samples,
                    settings.temperature: s.temperature,
                    settings.encoder_temperature: s.encoder_temperature,
                    settings.seed: s.seed,
                    settings.consistent: s.consistent,
                }
            yield updates

    def _steered(
        self, session: Session | None, step: Callable[[Session], Edit], progress: gr.Progress
    ) -> Iterator[Updates]:
        if session is None:
            yield {self.answers.status: text.callout("wrong", "Nothing to steer yet.", text.EMPTY)}
            return
        yield from self._shown(lambda: self.explorer.steer(session, step(session)), progress)

    def _shown(
        self,
        sessions: Callable[[], Iterator[Session]],
        progress: gr.Progress,
        path: str | None = None,
    ) -> Iterator[Updates]:
        try:
            session = None
            for session in sessions():
                done, wanted = len(session.result.pixels), session.sampling.samples
                progress(done / wanted, desc=f"{done} of {wanted}")
                if done < wanted:
                    yield self._gallery(session)
            if session is not None:
                yield self._gallery(session) | self._finished(session)
        except CVDVAEError as error:
            yield {self.answers.status: text.explained(error, path)}
        except Exception:
            logger.exception("a drawing failed")
            yield {self.answers.status: text.FAILED}

    def _gallery(self, session: Session) -> Updates:
        result = session.result
        done, wanted = len(result.pixels), session.sampling.samples
        status = text.callout("busy", f"{done} of {wanted}", "are drawn …")
        return {
            self.session: session,
            self.answers.status: status,
            self.answers.gallery: gr.update(
                value=[
                    (to_pil(one), f"{i}{' · exploded' if bad else ''}")
                    for i, (one, bad) in enumerate(zip(result.pixels, result.exploded, strict=True))
                ],
                selected_index=0,
            ),
        }

    def _finished(self, session: Session) -> Updates:
        result = session.result
        heat, largest = pictures.disagreement(result)
        good = "good" if all(result.round_trip_exact) else "doubt"
        status = text.callout(good, "", text.agreement(result))
        lines = text.trail(session.history)
        groups = groups_of(self.explorer.named(result.model))
        return {
            self.answers.status: status + text.remarks(session.seen),
            self.answers.mean: pictures.smooth(result.mean),
            self.answers.heat: heat,
            self.answers.bar: text.scale_bar(largest),
            self.answers.truth: None if result.truth is None else pictures.smooth(result.truth),
            self.answers.photo: gr.update(visible=result.truth is not None),
            self.steering.trail: gr.update(choices=lines, value=lines[session.here]),
            self.steering.last: gr.update(
                choices=[str(i) for i in range(len(result.pixels))],
                value=str(len(result.pixels) - 1),
            ),
            self.steering.groups: gr.update(
                maximum=max(1, len(groups)), value=len(groups) // 2, interactive=bool(groups)
            ),
            self.chosen: 0,
            **self._chosen(session, 0),
        }

    def choose(self, session: Session | None, event: gr.SelectData) -> Updates:
        """Another sample of the gallery."""
        if session is None or not 0 <= int(event.index) < len(session.result.pixels):
            return UNCHANGED
        return {self.chosen: int(event.index)} | self._chosen(session, int(event.index))

    def _chosen(self, session: Session, chosen: int) -> Updates:
        sample = session.result.pixels[chosen]
        editor = pictures.smooth(sample, pictures.EDITOR_SIDE)
        steerable = bool(groups_of(self.explorer.named(session.result.model)))
        return {
            self.answers.wipe: pictures.wipe(session.seen.y, sample, chosen),
            self.steering.chosen: text.choice(chosen, session.sampling, steerable),
            self.steering.editor: {"background": editor, "layers": [], "composite": None},
        }

    def what_stays(self, session: Session | None, chosen: int, groups: float) -> Updates:
        """What the first groups of the chosen sample decide."""
        if session is None:
            return UNCHANGED
        resolutions = groups_of(self.explorer.named(session.result.model))
        if not resolutions:
            return {self.steering.stays: "", self.steering.shared: None}
        kept = min(int(groups), len(resolutions))
        try:
            mean = self.explorer.what_stays(session, chosen, kept)
        except CVDVAEError:  # there have been as many steps as there may be
            return UNCHANGED
        return {
            self.steering.stays: text.stays(kept, resolutions),
            self.steering.shared: pictures.smooth(mean),
        }

    # Taking away.

    def pack(self, session: Session | None, request: gr.Request) -> Iterator[Updates]:
        """Files, address and code of the gallery that is shown."""
        if session is None:
            yield UNCHANGED
            return
        recipe = session.result.recipe
        address = str(request.base_url).rstrip("/")
        with tempfile.TemporaryDirectory(prefix="cvdvae-") as name:
            archive = zip_of(session.result, Path(name))
            # The page copies the files while this waits, and then they go.
            yield {
                self.take.archive: gr.update(value=str(archive), interactive=True),
                self.take.settings: gr.update(
                    value=str(archive.with_name("result.json")), interactive=True
                ),
                self.take.link: f"{address}/?r={recipe.to_text()}",
                self.take.python: text.python_of(recipe),
                self.take.command: text.command_of(recipe),
            }

    # Buttons.

    def busy(self) -> Updates:
        """While samples are drawn: no second click, but a way to stop."""
        waiting = text.callout("busy", "Drawing …", "press Stop to end it.")
        return {
            self.answers.status: waiting,
            self.settings.stop: gr.update(interactive=True),
        } | dict.fromkeys(self.buttons, gr.update(interactive=False))

    def ready(self, session: Session | None, status: str | None) -> Updates:
        """When they are drawn, or it was stopped: the status tells which."""
        updates = {self.settings.stop: gr.update(interactive=False)} | dict.fromkeys(
            self.buttons, gr.update(interactive=True)
        )
        if text.BUSY not in (status or ""):
            return updates
        if session is None or len(session.result.pixels) == session.result.sampling.samples:
            return updates | {self.answers.status: text.NOTHING}
        session = self.explorer.cut(session)
        return updates | self._gallery(session) | self._finished(session)

    @property
    def buttons(self) -> list[Any]:
        """What draws when it is pressed."""
        s = self.steering
        return [self.settings.draw, s.others, s.blend, s.vary, s.back, s.trail, self.take.reopen]
