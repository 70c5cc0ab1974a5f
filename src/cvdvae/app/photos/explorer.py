"""What the page does with photographs, without the page: an image in, windows of samples out.

Nothing that was drawn is kept here: the browser keeps it, and what is looked at again after a long
while is drawn again, the same.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...domains.simulate import simulate_at_scale
from ...errors import InputError
from ...gaussian.noise import Window
from ...imaging.io import is_jpeg, to_bytes, to_tensor
from ...input_check.shrinking import Likely, likely
from ...restoration.edits import ResampleRegion
from ...restoration.part import PartDrawing, PartSample
from ...restoration.recipe import Recipe
from ...restoration.sampler import SuperResolver
from ...restoration.settings import Sampling
from ..reading import holds, pixels_of, read_upload
from ..recipes import check_same, check_seeds, next_seed
from ..text import label
from ..turns import in_turn
from .album import Album
from .text import KINDS, Kind

LEAST_SAMPLES, MAX_SAMPLES = 2, 16
MAX_INPUT = 4_000_000
"""Pixels of a low-resolution image: 64 million of the large one at ×4."""
MAX_PHOTO = 25_000_000
"""Pixels of a photograph that is shrunk first: what fits into the memory of a small machine."""
LARGE = 2_000_000
"""Photographs of more pixels are shrunk first, unless the visitor wants something else."""
LEAST_SIDE = 8
TRUTHS = 2**27
"""Bytes of originals that are kept decoded: one of the largest, or twenty of two megapixels."""
MAX_PART = 400_000
"""Pixels of the large image that are drawn for one request."""
CELL = 48
"""Side of the cells that cover the large image, about; what is drawn consists of whole ones."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as a model takes it.

    Attributes:
        album: Keeps the low-resolution image.
        name: What it is called there.
        lr_size: Its height and width.
        scale: By what it is enlarged.
        truth: The file of what was shrunk; None where it is not known.
        notes: What had to be changed, in plain words.
        made_by: What may have made it small, the likeliest first; empty where that is not known.
    """

    album: Album
    name: str
    lr_size: tuple[int, int]
    scale: int
    truth: Path | None
    notes: tuple[str, ...]
    made_by: tuple[Likely, ...] = ()

    @property
    def ways(self) -> tuple[str, str]:
        """What was done with the photograph, and by which factor, as the page's controls say it."""
        kind = "enlarge" if self.truth is None else "shrink"
        return label(KINDS, kind), f"×{self.scale}"

    @property
    def y(self) -> Tensor:
        """The low-resolution image, uint8, ``(3, h, w)``.

        Raises:
            InputError: It is no longer kept.
        """
        return self.album.image(self.name)

    @property
    def cell(self) -> int:
        """Side of the cells in which it is covered, in pixels of the large image."""
        return -(-CELL // self.scale) * self.scale

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the large image."""
        return self.lr_size[0] * self.scale, self.lr_size[1] * self.scale


@dataclass(frozen=True)
class Session:
    """What belongs to one visitor.

    Attributes:
        photo: The photograph.
        history: The settings of all sets of samples so far.
        reopened: Whether it came from a result, so that the photograph is on the page already.
        left: Set once the page shows another: files of this one are then wanted no more.
    """

    photo: Photo
    history: tuple[Sampling, ...]
    reopened: bool = False
    left: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def keys(self) -> list[str]:
        """What tells each of its sets of samples from every other."""
        return [str(hash((self.photo.name, self.photo.scale, one))) for one in self.history]

    def step(self, key: Any) -> int | None:
        """Which of its sets has this key; None where none has."""
        return next((step for step, own in enumerate(self.keys) if own == key), None)

    def shows(self, path: Path) -> bool:
        """Whether the photograph was reopened, and a file holds the same."""
        try:
            return self.reopened and holds(path, self.photo.y)
        except InputError:  # it is no longer kept
            return False


class Photos:
    """The models of photographs, one for each scale.

    Args:
        models: Models that take images of any size.
        turn: Held while something is drawn: what draws at the same time, faces too, waits.

    Raises:
        InputError: Two of them have the same scale.
    """

    def __init__(self, models: Sequence[SuperResolver], turn: threading.Lock) -> None:
        self.models: dict[int, SuperResolver] = {}
        for model in models:
            other = self.models.setdefault(model.scale, model)
            if other is not model:
                raise InputError(
                    f"{other.name} and {model.name} have the same scale: start the app with one"
                )
        self.turn, self.album, self.truths = turn, Album(), Album(TRUTHS)

    def forget(self, seconds: float) -> None:
        """Keep no photograph that was last used longer ago than so many seconds, and nothing of
        files that have gone."""
        self.album.forget_unused(seconds)
        self.truths.forget_gone()

    @property
    def scales(self) -> list[int]:
        """The scales there are, smallest first."""
        return sorted(self.models)

    def model(self, scale: int) -> SuperResolver:
        """The model of a scale.

        Raises:
            InputError: There is none.
        """
        if scale not in self.models:
            raise InputError(f"there is no model of photographs at ×{scale} here")
        return self.models[scale]

    @staticmethod
    def guess(path: Path) -> Kind:
        """Whether a photograph is to be enlarged, or so large that it is shrunk first."""
        return "shrink" if pixels_of(path) > LARGE else "enlarge"

    def look(self, path: Path, kind: Kind, scale: int, shrunk_by: str = "bicubic") -> Photo:
        """Read an image file, and make of it what a model takes.

        Args:
            path: The file.
            kind: Whether it is enlarged as it is, or shrunk first.
            scale: By what.
            shrunk_by: One of `cvdvae.degradations.kernels.KERNELS`: what shrinks it.

        Raises:
            InputError: The file cannot be used; the message says what to do.
        """
        self.model(scale)
        most, advice = MAX_PHOTO, "use the command line, which takes larger ones"
        if kind == "enlarge" and pixels_of(path) <= MAX_PHOTO:
            most, advice = MAX_INPUT, "choose “Shrink it first”, or use the command line"
        read = read_upload(path, most, advice)
        image, notes = read.image, tuple(read.notes)
        if min(image.size) < LEAST_SIDE * (scale if kind == "shrink" else 1):
            raise InputError(f"{image.width}×{image.height} pixels are too few: take a larger one")
        made_by = list[Likely]()
        if kind == "shrink":
            y, _ = simulate_at_scale(image, scale, shrunk_by=shrunk_by)
            if (y.shape[2] * scale, y.shape[1] * scale) != image.size:
                notes += (f"its last rows or columns were cut off, to be shrunk by {scale}",)
        else:
            y = to_tensor(image)
            made_by = likely(self.model(scale).shrinking, y, is_jpeg(path))
        height, width = y.shape[1:]
        if height * width > MAX_INPUT:
            raise InputError(
                f"shrunk by {scale} it still has more than {MAX_INPUT // 1_000_000} megapixels: "
                f"choose a larger factor"
            )
        truth = path if kind == "shrink" else None
        name = self.album.add(to_bytes(y))
        return Photo(self.album, name, (height, width), scale, truth, notes, tuple(made_by))

    def sampling(
        self,
        scale: int,
        samples: int,
        temperature: float,
        seed: int,
        consistent: bool,
        shrunk_by: str = "bicubic",
        antithetic: bool = False,
    ) -> Sampling:
        """Settings of a first set of samples, at a scale; `shrunk_by` is what H is.

        Raises:
            InputError: A setting out of its range.
        """
        model = self.model(scale)
        sampling = model.sampling(
            samples,
            temperature,
            seed,
            encoder_temperature=temperature,
            consistent=consistent,
            shrunk_by=shrunk_by,
            antithetic=antithetic,
            profile=model.recommended.profile_at(temperature),
        )
        self._check_settings(sampling, scale)
        return sampling

    def reopen(self, recipe: Recipe) -> Session:
        """Bring back what was drawn, with the steps that led to it.

        Raises:
            InputError: Its model is not here, or has other weights; or as `check`.
        """
        named = [model for model in self.models.values() if model.name == recipe.model]
        scale = named[0].scale if named and recipe.scale is None else recipe.scale
        if not named or scale is None or self.model(scale).name != recipe.model:
            raise InputError(f"'{recipe.model}' is none of the models of photographs here")
        model = self.model(scale)
        check_same(recipe, model)
        y = to_bytes(model.check(recipe.y)[0])
        lr_size = (y.shape[1], y.shape[2])
        if lr_size[0] * lr_size[1] > MAX_INPUT or min(lr_size) < LEAST_SIDE:
            raise InputError("its photograph is too small or too large for this page")
        photo = Photo(self.album, "", lr_size, scale, None, ())
        for sampling in recipe.sampling.history:
            self.check(sampling, photo)
        photo = replace(photo, name=self.album.add(y))
        return Session(photo, recipe.sampling.history, reopened=True)

    def check(self, sampling: Sampling, photo: Photo) -> None:
        """Refuse settings that are not drawn at here.

        Raises:
            InputError: A setting out of its range, or steps or a profile that are not taken here.
        """
        self._check_settings(sampling, photo.scale)
        if not all(step.regional for step in sampling.steps):
            raise InputError(
                "of photographs, regions alone are varied here: cvdvae replay draws what was "
                "steered otherwise"
            )
        self.model(photo.scale).check_sampling(sampling, photo.size)

    @staticmethod
    def _check_settings(sampling: Sampling, scale: int) -> None:
        if sampling.samples > MAX_SAMPLES:
            raise InputError(f"at most {MAX_SAMPLES} samples at once")
        check_seeds(sampling)
        if sampling.shrunk_by == "canvas" and scale & (scale - 1):
            raise InputError(
                f"how a browser shrinks by {scale} is known approximately only: choose another "
                f"program, or another factor"
            )

    def vary(self, session: Session, step: int, sample: int, region: str) -> Session:
        """Go on from a set of samples; what came after it is forgotten.

        Args:
            session: The session.
            step: Which of its sets.
            sample: Which of its samples.
            region: What of it changes, as `pack_region` writes it.

        Raises:
            InputError: The model does not take the step, or the sample is not there.
        """
        before = self.sampling_of(session, step)
        sampling = before.then(ResampleRegion(sample, region, next_seed(before.seed, step)))
        self.model(session.photo.scale).check_sampling(sampling, session.photo.size)
        return replace(session, history=(*session.history[: step + 1], sampling))

    @staticmethod
    def sampling_of(session: Session, step: int) -> Sampling:
        """The settings of a set of samples.

        Raises:
            InputError: There is no such set.
        """
        if not 0 <= step < len(session.history):
            raise InputError("there is no such step")
        return session.history[step]

    def draw(self, session: Session, step: int, window: Window) -> Iterator[PartSample]:
        """The samples of a set, in a window of the large image, one after the other.

        Raises:
            InputError: The window is empty or too large.
        """
        (height, width), (top, left, rows, columns) = session.photo.size, window
        inside = min(window) >= 0 and top + rows <= height and left + columns <= width
        if not inside or any(side % session.photo.scale for side in window):
            raise InputError("there is no such part of the photograph")
        if not 0 < rows * columns <= MAX_PART:
            raise InputError("that is more than is drawn at once: zoom in")
        sampling = self.sampling_of(session, step)
        y = session.photo.y.float() / 255
        part = PartDrawing(self.model(session.photo.scale), y, sampling, window)
        yield from in_turn(part.samples, self.turn)
