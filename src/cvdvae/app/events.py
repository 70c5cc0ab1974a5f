"""What draws: every handler takes what is shown and says what to show next."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import randrange
from typing import Any

import gradio as gr

from ..errors import CVDVAEError
from ..images import to_pil
from ..recipe import read_recipe, recipe_from_text
from ..steps import Blend, Others, Step, Vary, pack_region
from . import pictures, words
from .explorer import Explorer, Session, groups_of, seed_after, zip_of
from .layout import Answers, Settings, Steering, Take
from .looking import UNCHANGED, Looking, Updates


class Handlers:
    """The handlers of one page; what belongs to a visitor comes in and goes out as a `Session`."""

    def __init__(
        self,
        explorer: Explorer,
        session: gr.State,
        looking: Looking,
        parts: tuple[Settings, Answers, Steering, Take],
    ) -> None:
        self.explorer, self.session, self.looking = explorer, session, looking
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
            yield {self.answers.status: words.callout("wrong", "No image yet.", words.EMPTY)}
            return

        def sessions() -> Iterator[Session]:
            model = self.looking.model(scale, method)
            sampling = model.sampling(
                int(samples), temperature, int(seed or 0), encoder_temperature, consistent
            )
            seen = self.looking.seen(path, kind, model, x, y, side)
            return self.explorer.start(seen, model, sampling)

        yield from self._shown(sessions, progress, path)

    def others(
        self,
        session: Session | None,
        groups: float,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """Others like the chosen sample."""
        yield from self._steered(
            session, lambda s: Others(s.chosen, int(groups), seed_after(s)), progress
        )

    def blend(
        self,
        session: Session | None,
        last: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """From the chosen sample to another."""
        yield from self._steered(session, lambda s: Blend(s.chosen, int(last or 0)), progress)

    def vary(
        self,
        session: Session | None,
        region: str,
        painting: dict[str, Any] | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The chosen sample, varied in a region."""

        def step(s: Session) -> Step:
            size, part = s.result.samples.shape[2], words.REGIONS[region]
            if part is None:
                mask = pictures.painted((painting or {}).get("layers") or [], size)
            else:
                mask = pictures.rectangle(part, size)
            return Vary(s.chosen, pack_region(mask), seed_after(s))

        yield from self._steered(session, step, progress)

    def walk(
        self,
        session: Session | None,
        line: str | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """Another gallery of those so far."""
        if session is None or line is None:
            yield UNCHANGED
            return
        here = words.trail(session.history).index(line)
        yield from self._shown(lambda: self.explorer.walk(session, here), progress)

    def back(
        self,
        session: Session | None,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Updates]:
        """The gallery before."""
        if session is None or session.here == 0:
            yield UNCHANGED
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
            yield from self._shown(
                lambda: self.explorer.reopen(read_recipe(Path(path))), progress, path
            )

    def arrive_by_link(self, request: gr.Request) -> Iterator[Updates]:
        """The gallery of the page's own address, if it names one."""
        text = request.query_params.get("r")
        if text is None:
            yield UNCHANGED
        else:
            yield from self._shown(lambda: self.explorer.reopen(recipe_from_text(text)), None)

    def _steered(
        self, session: Session | None, step: Callable[[Session], Step], progress: gr.Progress
    ) -> Iterator[Updates]:
        if session is None:
            yield {
                self.answers.status: words.callout("wrong", "Nothing to steer yet.", words.EMPTY)
            }
            return
        yield from self._shown(lambda: self.explorer.steer(session, step(session)), progress)

    def _shown(
        self,
        sessions: Callable[[], Iterator[Session]],
        progress: gr.Progress | None,
        path: str | None = None,
    ) -> Iterator[Updates]:
        try:
            session = None
            for session in sessions():
                done, wanted = len(session.result.pixels), session.sampling.samples
                if progress is not None:
                    progress(done / wanted, desc=f"{done} of {wanted}")
                if done < wanted:
                    yield self._gallery(session)
            if session is not None:
                yield self._gallery(session) | self._finished(session)
        except CVDVAEError as error:
            yield {self.answers.status: words.explained(error, path)}

    def _gallery(self, session: Session) -> Updates:
        result = session.result
        done, wanted = len(result.pixels), session.sampling.samples
        status = words.callout("busy", f"{done} of {wanted}", "are drawn …")
        return {
            self.session: session,
            self.answers.status: status,
            self.answers.gallery: gr.update(
                value=[
                    (to_pil(one), f"{i}{' · exploded' if bad else ''}")
                    for i, (one, bad) in enumerate(zip(result.pixels, result.exploded, strict=True))
                ],
                selected_index=session.chosen,
            ),
        }

    def _finished(self, session: Session) -> Updates:
        result = session.result
        heat, largest = pictures.disagreement(result)
        exact = all(result.round_trip_exact)
        lines = words.trail(session.history)
        groups = groups_of(self.explorer.named(result.model))
        return {
            self.answers.status: words.callout(
                "good" if exact else "doubt", "", words.agreement(result)
            ),
            self.answers.mean: pictures.smooth(result.mean),
            self.answers.heat: heat,
            self.answers.bar: words.scale_bar(largest),
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
            **self._chosen(session),
        }

    def choose(self, session: Session | None, event: gr.SelectData) -> Updates:
        """Another sample of the gallery."""
        if session is None or not 0 <= int(event.index) < len(session.result.pixels):
            return UNCHANGED
        session = Session(
            session.seen, session.result, session.history, session.here, int(event.index)
        )
        return {self.session: session} | self._chosen(session)

    def _chosen(self, session: Session) -> Updates:
        sample = session.result.pixels[session.chosen]
        editor = pictures.smooth(sample, pictures.EDITOR_SIDE)
        steerable = bool(groups_of(self.explorer.named(session.result.model)))
        text = f"Chosen: <b>sample {session.chosen}</b>."
        if not steerable:
            text += " A flow has no latent groups: steer with the hierarchical VAE."
        return {
            self.answers.wipe: pictures.wipe(session.seen.y, sample, session.chosen),
            self.steering.chosen: text,
            self.steering.editor: {"background": editor, "layers": [], "composite": None},
        }

    def what_stays(self, session: Session | None, groups: float) -> Updates:
        """What the first groups of the chosen sample decide."""
        if session is None:
            return UNCHANGED
        resolutions = groups_of(self.explorer.named(session.result.model))
        if not resolutions:
            return {self.steering.stays: "", self.steering.shared: None}
        kept = min(int(groups), len(resolutions))
        return {
            self.steering.stays: words.stays(kept, resolutions),
            self.steering.shared: pictures.smooth(self.explorer.what_stays(session, kept)),
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
                self.take.python: words.python_of(recipe),
                self.take.command: words.COMMAND,
            }

    # Buttons.

    def busy(self) -> Updates:
        """While samples are drawn: no second click, but a way to stop."""
        waiting = words.callout("busy", "Drawing …", "press Stop to end it.")
        return {
            self.answers.status: waiting,
            self.settings.stop: gr.update(interactive=True),
        } | dict.fromkeys(self.buttons, gr.update(interactive=False))

    def ready(self) -> Updates:
        """When they are."""
        return {self.settings.stop: gr.update(interactive=False)} | dict.fromkeys(
            self.buttons, gr.update(interactive=True)
        )

    def failed(self) -> Updates:
        """When something broke that nobody foresaw; the server's log has it."""
        sorry = "Try again; if it comes back, reload the page."
        return self.ready() | {
            self.answers.status: words.callout("wrong", "Something went wrong.", sorry)
        }

    def stopped(self) -> Updates:
        """When it was ended."""
        return self.ready() | {
            self.answers.status: words.callout(
                "plain", "Stopped.", "What was drawn until then is shown."
            )
        }

    @property
    def buttons(self) -> list[gr.Button]:
        """Those that draw."""
        s = self.steering
        return [self.settings.draw, s.others, s.blend, s.vary, s.back]


def new_seed() -> int:
    """A seed that is easy to read."""
    return randrange(100_000)
