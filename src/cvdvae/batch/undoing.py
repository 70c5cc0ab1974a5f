"""What draws a row with a model that restores."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..damage.described import Description
from ..damage.step import Size
from ..errors import InputError
from ..imaging.arrays import MAX_PAGES, Limits
from ..imaging.io import kind_of
from ..restoration.restorer import Restorer
from ..restoration.settings import Restoring
from ..restoration.stack.planes import AUTO, Stack
from ..restoration.stack.restored import StackDegradation
from ..restoration.stack.restoring import read_damaged, restore_stack
from .drawable import TO_A_FOLDER, Drawable, Drawn, Image, as_file, check_row, named, refuse_reduced
from .files import HIGHER, refuse_values
from .remarks import REMARKS, remarks
from .restore import ReadSeen, read_seen, restores_as_arrays, seen_in_array, to_picture
from .settings import Settings


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
        """Read a row; see `Drawer`."""
        how = replace(self.how, seed=self.settings.seed_of(key))
        if isinstance(image, str) and restores_as_arrays(Path(image), self.happened):
            return self._arrays(Path(image), key, how)
        if self.settings.values is not None:
            if isinstance(image, str):
                refuse_values(Path(image))
            raise InputError(f"{key or 'a row'} is no file of arrays: --values goes with those")
        return self._picture(image, key, how)

    def _picture(self, image: Image, key: str, how: Restoring) -> "_ToRestore":
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
            found = as_file(image, key, read)
            if self.happened.keeps_arrays:
                refuse_reduced(image, found.notes, key)
        else:
            with named(key):
                one = self.happened.description.colours_left is not None
                y = to_picture(image, 1 if one else self.model.prior.config.channels)
                found = seen_in_array(y, self.happened, check)
        return _ToRestore(self.model, found, how, pixels)

    def _arrays(self, path: Path, key: str, how: Restoring) -> Drawable:
        what, settings = self.happened.of_arrays, self.settings
        limits, values = Limits(settings.max_pixels, MAX_PAGES), settings.values or AUTO
        given = read_damaged(self.model, path, what, limits, values)
        plain = given.pages == 1 and given.array.values.dtype == np.uint8 and not what.fill
        plain &= settings.values is None and kind_of(path) is not None
        plain &= not given.array.missing.any()  # which no picture has
        picture = partial(self._picture, str(path), key, how) if plain else None
        return _ArraysToRestore(self.model, given, what, how, picture)

    def facts(self) -> dict[str, Any]:
        """What results follow from; see `Drawer`. A mask is its pixels, wherever its file lies."""
        what = self.happened
        told = {"jpeg": what.jpeg, "noise": what.noise, **asdict(self.how)}
        told |= {"fill": what.fill, "values": self.settings.values}
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
        check_row(self.how.samples, self.pixels)
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


class _ArraysToRestore(NamedTuple):
    """A damaged file of arrays; one page of 8 bits is a picture, too, which a row may hold."""

    model: Restorer
    given: Stack
    what: StackDegradation
    how: Restoring
    picture: Callable[[], _ToRestore] | None

    @property
    def notes(self) -> list[str]:
        """See `Drawable`."""
        return self.given.notes

    def drawn(self) -> Drawn:
        """Its samples, where it is a picture, too; see `Drawable`."""
        if self.picture is None:
            raise InputError(f"{self.given.path} {TO_A_FOLDER}")
        return self.picture().drawn()

    def draw_into(self, folder: Path) -> list[str]:
        """Draw and save it; see `Drawable`."""
        result = restore_stack(self.model, self.given, self.what, self.how, folder)
        return [*result.notes, *remarks(result)]
