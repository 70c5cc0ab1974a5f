"""What the page does, without the page: an image in, galleries out, step by step.

Nothing here remembers a visitor: what belongs to one is in a `Session`, which the page keeps for
that browser tab alone and hands back with every click.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import Tensor

from ...checkpoints.folder import bundled_names
from ...domains.base import domain_of_model
from ...domains.faces import find_face
from ...domains.fit import LARGEST, fit
from ...domains.simulate import simulate
from ...errors import InputError
from ...imaging.crop import Square
from ...imaging.io import to_bytes, to_tensor
from ...input_check.screen import doubts_of
from ...restoration.edits import Edit, Resample
from ...restoration.load import load
from ...restoration.recipe import Recipe
from ...restoration.result import Doubt, SuperResolution
from ...restoration.sampler import SuperResolver
from ...restoration.settings import Sampling
from ..pictures import thumbnail
from ..reading import digest_of, read_upload
from ..recipes import check_same, check_seeds, next_seed
from ..turns import in_turn
from .framing import Framing

Kind = Literal["photo", "low"]
Method = Literal["hvae", "flow"]

BUNDLED = ("celeba64-x{}", "celeba64-hcflow-x{}")
SCALES = (4, 8, 16)
MAX_SAMPLES = 32
MAX_PHOTO_PIXELS = 60_000_000
"""Enough for a telephone's photo, and so little that ten at once fit into memory."""


@dataclass(frozen=True)
class FaceInput:
    """What a model sees of an image.

    Attributes:
        y: The low-resolution image, ``(3, h, w)`` in [0, 1].
        truth: What was shrunk, ``(3, H, W)`` in [0, 1]; None for a low-resolution image.
        framing: The frame in the photo, as it was found or asked for.
        framed: A small picture of the photo, and the frame in its pixels.
        notes: What had to be changed or guessed, in plain words.
        doubts: Why it may be none that the models know; None where none of them can tell.
    """

    y: Tensor
    truth: Tensor | None
    framing: Framing
    framed: tuple[Image.Image, Square] | None
    notes: tuple[str, ...]
    doubts: list[Doubt] | None

    @property
    def digest(self) -> str:
        """What tells y from every other: of two frames of a photo, too."""
        return digest_of(to_bytes(self.y))


@dataclass(frozen=True)
class Session:
    """What belongs to one visitor.

    Attributes:
        seen: The image.
        result: The gallery that is shown.
        history: The settings of all galleries so far.
        here: Which of them is shown.
    """

    seen: FaceInput
    result: SuperResolution
    history: tuple[Sampling, ...]
    here: int = 0

    @property
    def sampling(self) -> Sampling:
        """The settings of the gallery that is shown."""
        return self.history[self.here]

    def shows(self, given: str | None) -> bool:
        """Whether it is of what has this digest."""
        return given == self.seen.digest


def bundled() -> list[str]:
    """Names of the bundled models of faces."""
    names = [pattern.format(scale) for pattern in BUNDLED for scale in SCALES]
    return [name for name in names if name in bundled_names()]


class Explorer:
    """The models, ready to draw, one for each scale and method.

    Args:
        given: Models, loaded or by name, folder or Hub id; the bundled ones by default.
        turn: Held while something is drawn: what draws at the same time waits.

    Raises:
        InputError: Two of them have the same scale and method.
        WeightsError: One is unknown or damaged.
    """

    def __init__(
        self,
        given: Sequence[str | SuperResolver] | None = None,
        turn: "threading.Lock | None" = None,
    ) -> None:
        self.models: dict[tuple[int, Method], SuperResolver] = {}
        for one in bundled() if given is None else given:
            model = load(one) if isinstance(one, str) else one
            key = (model.scale, model.method)
            if key in self.models:
                raise InputError(
                    f"{self.models[key].name} and {model.name} have the same scale and method: "
                    f"start the app with one of them"
                )
            self.models[key] = model
        # Drawing one after the other is as quick as together, and bounds what is in memory.
        self._turn = turn or threading.Lock()

    @property
    def scales(self) -> list[int]:
        """The scales there are, smallest first."""
        return sorted({scale for scale, _ in self.models})

    @property
    def methods(self) -> list[Method]:
        """The methods there are, the main one first."""
        return sorted({method for _, method in self.models}, reverse=True)

    def model(self, scale: int, method: Method) -> SuperResolver:
        """The model of a scale and method.

        Raises:
            InputError: There is none.
        """
        try:
            return self.models[scale, method]
        except KeyError:
            raise InputError(f"there is no {method} model at ×{scale} here") from None

    def any_at(self, scale: int) -> SuperResolver:
        """One of the models of a scale, the main one if it is there."""
        return next(self.models[scale, m] for m in self.methods if (scale, m) in self.models)

    def named(self, drawn: Recipe | SuperResolution) -> SuperResolver:
        """The model that a result or its recipe names.

        Raises:
            InputError: There is none.
        """
        for model in self.models.values():
            if model.name == drawn.model and drawn.scale in (None, model.scale):
                return model
        raise InputError(f"these settings are of the model {drawn.model}, which is not here")

    def guess(self, path: Path) -> int | None:
        """The scale for a low-resolution image file; None for a photo, or what cannot be read.

        What is smaller than the images that the models draw is no photo that could be shrunk.
        """
        try:
            with Image.open(path) as file:
                least, most = min(file.size), max(file.size)
        except Exception:  # Pillow raises errors of many kinds; the reader says what is wrong
            return None
        models = self.models.values()
        if most >= min(model.degradation.hr_size[0] for model in models):
            return None
        return min((model.scale for model in models if model.lr_size <= least), default=None)

    def look(
        self,
        path: Path,
        kind: Kind,
        model: SuperResolver,
        framing: Framing,
        shrunk_by: str = "bicubic",
    ) -> FaceInput:
        """Read an image file, and make of it what a model takes.

        Args:
            path: The file.
            kind: A photo to shrink, or a low-resolution image to take as it is.
            model: The model.
            framing: The frame in the photo.
            shrunk_by: Which program's way a photo is shrunk in.

        Raises:
            InputError: The file cannot be used; the message says what to do.
        """
        image, notes, _ = read_upload(path, MAX_PHOTO_PIXELS)
        if kind == "low":
            if max(image.size) > LARGEST:
                raise InputError(
                    f"this image has {image.width}×{image.height} pixels, more than {LARGEST} a "
                    f"side: choose “A photo to shrink”"
                )
            y, fitted = fit(to_tensor(image), model.lr_size, domain_of_model(model.name))
            notes = [*notes, *fitted]
            doubts = self._doubts(y, model.scale)
            return FaceInput(y, None, framing, None, tuple(notes), doubts)
        framing, note = self._frame(image, framing)
        square = framing.square(image)
        side = model.degradation.hr_size[0]
        if square.side < side:
            raise InputError(
                f"the frame holds only {square.side}×{square.side} pixels, and shrinking starts "
                f"from {side}×{side}: widen the frame, or take a larger photo"
            )
        degradation = model.degradation_of((model.lr_size, model.lr_size), shrunk_by)
        y, truth = simulate(square.cut(image), degradation, crop="none")
        framed, doubts = thumbnail(image, square), self._doubts(y, model.scale)
        return FaceInput(y, truth, framing, framed, (*notes, *note), doubts)

    def _doubts(self, y: Tensor, scale: int) -> list[Doubt] | None:
        judge = self.models.get((scale, "hvae"))
        return None if judge is None else doubts_of(judge, y)

    @staticmethod
    def _frame(image: Image.Image, framing: Framing) -> tuple[Framing, list[str]]:
        if framing.side > 0:
            return framing, []
        try:
            return Framing.of(find_face(image), image).rounded(), []
        except InputError:
            return Framing(side=1.0), [
                "no face was found: the middle is framed; move the frame to the face"
            ]

    def start(self, seen: FaceInput, model: SuperResolver, sampling: Sampling) -> Iterator[Session]:
        """Draw the first gallery; it grows batch by batch."""
        for result in self._draw(model, seen, sampling):
            yield Session(seen, result, (sampling,))

    def steer(self, session: Session, step: Edit) -> Iterator[Session]:
        """Go on from the gallery that is shown; what came after it is forgotten.

        Raises:
            InputError: The step starts from a sample that is not there.
        """
        if max(step.samples) >= len(session.result.pixels):
            raise InputError("the samples that the step starts from were not drawn")
        parent = session.result.pixels[step.samples[0]]
        model = self.named(session.result)
        sampling = session.sampling.then(step)
        history = (*session.history[: session.here + 1], sampling)
        for result in self._draw(model, session.seen, sampling, parent):
            yield Session(session.seen, result, history, len(history) - 1)

    def walk(self, session: Session, here: int) -> Iterator[Session]:
        """Show another gallery of the history.

        Raises:
            InputError: There is none of this number.
        """
        if not 0 <= here < len(session.history):
            raise InputError("there is no such step")
        model = self.named(session.result)
        for result in self._draw(model, session.seen, session.history[here]):
            yield replace(session, result=result, here=here)

    @staticmethod
    def cut(session: Session) -> Session:
        """A session whose gallery was stopped, as if no more samples had been asked for."""
        drawn = len(session.result.pixels)
        try:
            sampling = replace(session.sampling, samples=drawn)
        except InputError:  # an earlier step starts from a sample beyond those
            return session
        if any(step.counts for step in sampling.steps):
            return session  # how far a blend goes depends on their number
        history = (*session.history[: session.here], sampling, *session.history[session.here + 1 :])
        return replace(session, result=replace(session.result, sampling=sampling), history=history)

    def reopen(self, recipe: Recipe) -> Iterator[Session]:
        """Bring a gallery back, with the steps that led to it.

        Raises:
            InputError: Its model is not here, or has other weights; or it has too many samples.
        """
        if recipe.sampling.samples > MAX_SAMPLES:
            raise InputError(f"these settings ask for more than {MAX_SAMPLES} samples at once")
        model = self.named(recipe)
        check_same(recipe, model)
        y = model.check(recipe.y)[0]
        seen = FaceInput(y, None, Framing(), None, (), self._doubts(y, model.scale))
        for result in self._draw(model, seen, recipe.sampling):
            yield Session(seen, result, recipe.sampling.history, len(recipe.sampling.steps))

    def what_stays(self, session: Session, chosen: int, groups: int) -> Tensor:
        """Mean of the first few others that share the first groups of a sample, ``(3, H, W)``."""
        model = self.named(session.result)
        sampling = session.sampling.then(Resample(chosen, groups, seed_after(session)))
        return next(self._draw(model, session.seen, sampling)).mean

    def _draw(
        self,
        model: SuperResolver,
        seen: FaceInput,
        sampling: Sampling,
        parent: Tensor | None = None,
    ) -> Iterator[SuperResolution]:
        check_seeds(sampling)
        draw = partial(model.stream, seen.y, sampling, seen.truth, parent)
        for result in in_turn(draw, self._turn):
            yield replace(result, doubts=seen.doubts)


def seed_after(session: Session) -> int:
    """Seed of the next step: another one at every depth."""
    return next_seed(session.sampling.seed, session.here)
