"""What draws a row: a model that enlarges, or one that restores."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..imaging.arrays import MAX_PAGES, Limits
from ..imaging.carried import Extras
from ..input_check.screen import doubts_of
from ..restoration.load import load, load_restorer
from ..restoration.restorer import Restorer
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling
from ..restoration.stack.planes import Stack
from .drawable import (
    TO_A_FOLDER,
    Drawable,
    Drawer,
    Drawn,
    Image,
    Model,
    as_file,
    check_row,
    named,
    refuse_reduced,
)
from .files import Input, draw_into, read_any, read_input
from .remarks import REMARKS, remarks
from .restore import to_picture
from .settings import Settings
from .undoing import Undoing


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
            given = as_file(image, key, partial(self._picture, keep_alpha))
            refuse_reduced(image, given.notes, key)
            return self._of(given, key)
        with named(key):
            y = self.model.check(to_picture(image, self.model.channels))[0]
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
            raise InputError(f"{self.given.path} {TO_A_FOLDER}")
        if self.model.any_size:
            check_row(self.sampling.samples, self.given.pixels * self.model.scale**2)
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
