"""What happens on the page: every handler takes what is shown and says what to show next."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import randrange
from typing import Any

import gradio as gr

from ..doubt import examine
from ..errors import CVDVAEError
from ..images import to_pil
from ..recipe import read_recipe, recipe_from_text
from ..resolver import SuperResolver
from ..result import SuperResolution
from ..steps import Blend, Others, Step, Vary, pack_region
from ..superres import HVAEResolver
from . import pictures, words
from .explorer import Explorer, Framing, Kind, Method, Seen, Session, groups_of, seed_after
from .layout import Answers, Input, Settings, Steering, Take

Updates = dict[Any, Any]

UNCHANGED: Updates = gr.skip()
"""What a handler gives to leave all as it is: if it yielded nothing, all would be emptied."""


def explained(error: Exception, path: str | None = None) -> str:
    """An error as a remark on the page, which names a file as its owner does."""
    text = str(error)
    if path:
        text = text.replace(path, f"“{Path(path).name}”")
    return words.callout("wrong", "That did not work:", text[:1].upper() + text[1:] + ".")


class Handlers:
    """The handlers of one page; what belongs to a visitor comes in and goes out as a `Session`."""

    def __init__(
        self,
        explorer: Explorer,
        session: gr.State,
        parts: tuple[Input, Settings, Answers, Steering, Take],
    ) -> None:
        self.explorer, self.session = explorer, session
        self.input, self.settings, self.answers, self.steering, self.take = parts

    # The visitor's image.

    def arrive(self, path: str | None, kind: str, scale: str, method: str) -> Updates:
        """A new image: guess what it is, frame the face, and show what the model sees."""
        if path is None:
            return self._nothing_seen("")
        try:
            guessed = self.explorer.guess(Path(path))
        except CVDVAEError as error:
            return self._nothing_seen(explained(error, path))
        updates: Updates = {}
        if guessed is None:
            kind = _label(words.KINDS, "photo")
        else:
            kind, scale = _label(words.KINDS, "low"), f"×{guessed}"
            updates[self.settings.scale] = scale
        updates |= self._recommended(scale, method)
        return updates | {self.input.kind: kind} | self.look(path, kind, scale, method, 50, 50, 0)

    def look(
        self, path: str | None, kind: str, scale: str, method: str, x: float, y: float, side: float
    ) -> Updates:
        """Show what the model sees of the image, and whether it is what it knows."""
        if path is None:
            return UNCHANGED
        try:
            model = self._model(scale, method)
            seen = self._look(path, kind, model, x, y, side)
        except CVDVAEError as error:
            return self._nothing_seen(explained(error, path))
        updates: Updates = {
            self.input.seen: pictures.pixels(seen.y),
            self.input.doubts: self._doubts(seen, model),
            self.input.framed: gr.update(value=None, visible=seen.framed is not None),
        }
        if seen.framed is not None:
            updates[self.input.framed] = gr.update(
                value=pictures.framed(*seen.framed), visible=True
            )
            for slider, share in zip(
                (self.input.x, self.input.y, self.input.side),
                (seen.framing.x, seen.framing.y, seen.framing.side),
                strict=True,
            ):
                updates[slider] = round(100 * share, 1)
        return updates

    def move(
        self, path: str | None, kind: str, scale: str, method: str, x: float, y: float, side: float
    ) -> Updates:
        """The same while the frame is moved by hand, which nothing else should move then."""
        updates = self.look(path, kind, scale, method, x, y, side)
        moved = (self.input.x, self.input.y, self.input.side)
        return {part: update for part, update in updates.items() if part not in moved}

    def recommend(self, scale: str, method: str) -> Updates:
        """The temperatures that suit a model."""
        return self._recommended(scale, method) or UNCHANGED

    def _recommended(self, scale: str, method: str) -> Updates:
        try:
            suits = self._model(scale, method).recommended
        except CVDVAEError:
            return {}
        return {
            self.settings.temperature: suits.temperature,
            self.settings.encoder_temperature: suits.encoder_temperature,
        }

    def _look(
        self, path: str, kind: str, model: SuperResolver, x: float, y: float, side: float
    ) -> Seen:
        framing = Framing(x / 100, y / 100, side / 100)
        what: Kind = "low" if words.KINDS[kind] == "low" else "photo"
        return self.explorer.look(Path(path), what, model, framing)

    def _doubts(self, seen: Seen, model: SuperResolver) -> str:
        lines = [
            words.callout("plain", "", note[:1].upper() + note[1:] + ".") for note in seen.notes
        ]
        judge = self.explorer.models.get((model.scale, "hvae"))
        if isinstance(judge, HVAEResolver):
            lines += [
                words.callout("doubt", "In doubt:", f"{doubt.explanation} {doubt.advice}")
                for doubt in examine(judge, seen.y).doubts
            ]
        return "".join(lines)

    def _nothing_seen(self, doubts: str) -> Updates:
        return {self.input.seen: None, self.input.framed: None, self.input.doubts: doubts}

    def _model(self, scale: str, method: str) -> SuperResolver:
        which: Method = "flow" if words.METHODS[method] == "flow" else "hvae"
        return self.explorer.model(int(scale.removeprefix("×")), which)

    # Galleries.

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
            model = self._model(scale, method)
            sampling = model.sampling(
                int(samples), temperature, int(seed or 0), encoder_temperature, consistent
            )
            seen = self._look(path, kind, model, x, y, side)
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
            yield {self.answers.status: explained(error, path)}

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
            self.answers.truth: gr.update(
                value=None if result.truth is None else pictures.smooth(result.truth),
                visible=result.truth is not None,
            ),
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
            self.answers.wipe: (pictures.pixels(session.seen.y), pictures.smooth(sample)),
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


def zip_of(result: SuperResolution, folder: Path) -> Path:
    """Save a result in a folder, and pack it as ``cvdvae.zip`` beside its files."""
    result.save(folder)
    archive = folder / "cvdvae.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            if path != archive:
                packed.write(path, path.name)
    return archive


def _label(labels: dict[str, str], value: str) -> str:
    return next(label for label, found in labels.items() if found == value)
