"""What draws a row: a model that enlarges, or one that restores.

An image comes as a path, as the bytes of an image file, or as an array; what was read of it can be
drawn in memory or into a folder.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ..damage.described import Description
from ..damage.step import Size
from ..errors import CVDVAEError, InputError
from ..imaging.arrays import MAX_PAGES, Limits
from ..imaging.carried import Extras
from ..imaging.io import REDUCED
from ..input_check.screen import doubts_of
from ..restoration.answers import Answers
from ..restoration.large import IN_MEMORY
from ..restoration.load import load, load_restorer
from ..restoration.restorer import Restorer
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Restoring, Sampling
from ..restoration.stack.planes import Stack
from .files import HIGHER, Input, draw_into, read_any, read_input
from .remarks import REMARKS, remarks
from .restore import ReadSeen, read_seen, seen_in_array, to_picture
from .settings import Settings

Image = str | bytes | np.ndarray[Any, Any]
"""A path, the bytes of an image file, or an array ``(h, w, C)`` or ``(h, w)``, uint8 or float in
[0, 1]."""
Model = SuperResolver | Restorer
TIFF = (b"II", b"MM")
"""How such files begin."""
T = TypeVar("T")


class Drawn(NamedTuple):
    """The samples of a picture, in memory.

    Attributes:
        answers: The samples.
        extras: What the picture's file carried beside.
        told: What is told of them, by column, and `REMARKS`.
    """

    answers: Answers
    extras: Extras
    told: dict[str, Any]


class Drawable(Protocol):
    """A row that was read."""

    @property
    def notes(self) -> list[str]:
        """What had to be changed to read it."""

    def drawn(self) -> Drawn:
        """Its samples.

        Raises:
            InputError: They would not fit, or it is no picture but a file of arrays.
        """

    def draw_into(self, folder: Path) -> list[str]:
        """Draw and save it, as ``cvdvae upscale`` or ``cvdvae restore`` does; give `remarks`."""


class Drawer(Protocol):
    """Reads rows."""

    @property
    def model(self) -> Model:
        """What draws them."""

    def read(self, image: Image, key: str, keep_alpha: bool) -> Drawable:
        """Read a row.

        Args:
            image: Its image.
            key: Its key.
            keep_alpha: As for `read_input`.

        Raises:
            InputError: It cannot be used.
        """

    def facts(self) -> dict[str, Any]:
        """What results follow from, beside the image."""


def drawer_of(model: str | Path | Model, settings: Settings) -> Drawer:
    """What draws by some settings.

    Args:
        model: A model, or what `load` takes, or `load_restorer` where the settings say what
            happened.
        settings: How to draw.

    Raises:
        InputError: The model is of the other kind.
        WeightsError: There is no such model, or it is of the other kind.
    """
    device, dtype = settings.device, settings.dtype
    if isinstance(model, str | Path):
        if settings.happened is not None:
            model = load_restorer(model, device, dtype)
        else:
            model = load(model, device, dtype, scale=settings.scale)
    return Undoing(model, settings) if isinstance(model, Restorer) else Enlarging(model, settings)


class Enlarging:
    """Draws with a model that enlarges.

    Args:
        model: The model.
        settings: How to draw.

    Raises:
        InputError: The settings are for a model that restores.
    """

    def __init__(self, model: SuperResolver, settings: Settings) -> None:
        if settings.happened is not None:
            raise InputError(f"'{model.name}' enlarges: a model that restores knows what happened")
        self.model, self.settings = model, settings
        self.sampling = settings.sampling(model)

    def read(self, image: Image, key: str, keep_alpha: bool) -> Drawable:
        """Read a row; see `Drawer`."""
        settings = self.settings
        if isinstance(image, str):
            limits, how = Limits(settings.max_pixels, MAX_PAGES), settings.values
            return self._of(
                read_any(
                    self.model, Path(image), None, limits, settings.shrunk_by, how, keep_alpha
                ),
                key,
            )
        if settings.values is not None:
            raise InputError(f"{key or 'a row'} is no file of arrays: --values goes with those")
        if isinstance(image, bytes):
            given = _as_file(image, key, partial(self._picture, keep_alpha))
            if REDUCED in given.notes and image.startswith(TIFF):
                raise InputError(
                    f"{key or 'an image'} holds values of more than 8 bits: give it as a file of "
                    f"a folder"
                )
            return self._of(given, key)
        with _named(key):
            y = self.model.check(to_picture(image))[0]
        return self._of(Input(y, None, [], Extras()), key)

    def _picture(self, keep_alpha: bool, path: Path) -> Input:
        most, shrunk_by = self.settings.max_pixels, self.settings.shrunk_by
        return read_input(self.model, path, None, most, shrunk_by, keep_alpha)

    def _of(self, given: Input | Stack, key: str) -> Drawable:
        sampling = self.sampling.reseeded(self.settings.seed_of(key))
        return _ToEnlarge(self.model, given, sampling, self.settings.check)

    def facts(self) -> dict[str, Any]:
        """What results follow from; see `Drawer`."""
        return {
            "scale": self.model.scale,
            "values": self.settings.values,
            **asdict(self.sampling),
        }


class _ToEnlarge(NamedTuple):
    """An image to enlarge."""

    model: SuperResolver
    given: Input | Stack
    sampling: Sampling
    check: bool

    @property
    def notes(self) -> list[str]:
        """See `Drawable`."""
        return self.given.notes

    def drawn(self) -> Drawn:
        """Its samples; see `Drawable`."""
        if isinstance(self.given, Stack):
            path = self.given.path
            raise InputError(f"{path} holds arrays in their own unit: write them to a folder")
        if self.model.any_size:
            _check_row(self.sampling.samples, self.given.pixels * self.model.scale**2)
        doubts = doubts_of(self.model, self.given.y) if self.check else None
        result = self.model.run(self.given.y, self.sampling)
        told = {
            "seed": self.sampling.seed,
            "round_trip_exact": np.array(result.round_trip_exact),
            "exploded": np.array(result.exploded),
            "doubts": ", ".join(doubt.reason for doubt in doubts or []),
            REMARKS: remarks(result, doubts),
        }
        return Drawn(result, self.given.extras, told)

    def draw_into(self, folder: Path) -> list[str]:
        """Draw and save it; see `Drawable`."""
        result = draw_into(self.model, self.given, self.sampling, folder, check=self.check)
        return remarks(result, result.doubts)


class Undoing:
    """Draws with a model that restores.

    Args:
        model: The model.
        settings: How to draw, and what happened to the images.

    Raises:
        InputError: They don't say what happened.
    """

    def __init__(self, model: Restorer, settings: Settings) -> None:
        if settings.happened is None:
            raise InputError(f"'{model.name}' restores: say what happened to the images")
        self.model, self.settings, self.happened = model, settings, settings.happened
        self.how = settings.restoring(model)
        model.check_moves(self.how.moves)

    def read(self, image: Image, key: str, keep_alpha: bool) -> Drawable:
        """Read a row; see `Drawer`. A file of arrays is read as a picture."""
        pixels = 0

        def check(description: Description, size: Size) -> Size:
            nonlocal pixels
            height, width = self.model.check_seen(self.how, description, size)
            pixels = height * width
            return height, width

        def read(path: Path) -> ReadSeen:
            most, channels = self.settings.max_pixels, self.model.prior.config.channels
            return read_seen(path, self.happened, most, channels, check, HIGHER)

        if isinstance(image, str):
            found = read(Path(image))
        elif isinstance(image, bytes):
            found = _as_file(image, key, read)
        else:
            with _named(key):
                found = seen_in_array(to_picture(image), self.happened, check)
        how = replace(self.how, seed=self.settings.seed_of(key))
        return _ToRestore(self.model, found, how, pixels)

    def facts(self) -> dict[str, Any]:
        """What results follow from; see `Drawer`. A mask is its pixels, wherever its file lies."""
        what = self.happened
        told = {"jpeg": what.jpeg, "noise": what.noise, **asdict(self.how)}
        steps = what.description.to_dict()["steps"]
        for step in (one for one in steps if one.get("packed")):
            step.pop("file", None)
        return {"degradation": steps, **told}


class _ToRestore(NamedTuple):
    """What was seen of an image."""

    model: Restorer
    read: ReadSeen
    how: Restoring
    pixels: int

    @property
    def notes(self) -> list[str]:
        """See `Drawable`."""
        return self.read.notes

    def drawn(self) -> Drawn:
        """Its samples; see `Drawable`."""
        _check_row(self.how.samples, self.pixels)
        result = self.model.run(self.read.seen, self.how)
        told = {
            "seed": self.how.seed,
            "noise": result.sigma,
            "misfit": np.array(result.misfit),
            "explains": np.array(result.explains),
            "exploded": np.array(result.exploded),
            REMARKS: remarks(result),
        }
        if (chains := result.diagnostics) is not None:
            told |= {"acceptance": np.array(chains.acceptance), "r_hat": chains.r_hat}
        return Drawn(result, self.read.extras, told)

    def draw_into(self, folder: Path) -> list[str]:
        """Draw and save it; see `Drawable`."""
        result = replace(self.model.run(self.read.seen, self.how), extras=self.read.extras)
        result.save(folder)
        return remarks(result)


def _check_row(samples: int, pixels: int) -> None:
    """Refuse samples of so many pixels each that are too large for a row.

    Raises:
        InputError: They are.
    """
    if samples * pixels > IN_MEMORY:
        raise InputError(
            f"{samples} samples of together {samples * pixels / 1e6:.0f} megapixels are too large "
            f"for a row: write them to a folder"
        )


def _as_file(data: bytes, key: str, read: Callable[[Path], T]) -> T:
    """Read the bytes of a file, which messages name by its key."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            return read(path)
        except CVDVAEError as error:
            raise InputError(str(error).replace(str(path), key or "an image")) from None


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Put the key of a row before what is said of it."""
    try:
        yield
    except CVDVAEError as error:
        raise InputError(f"{key}: {error}" if key else str(error)) from None
