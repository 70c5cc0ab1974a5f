"""One class that every engine can call: a dict of arrays in, a dict of arrays out.

Ray Data takes it as it stands, ``ds.map_batches(Upscaler, fn_constructor_args=(model, settings))``;
`docs/batch.md` has recipes for Spark and for a plain loop.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CVDVAEError, InputError, OutputError
from ..imaging.io import MAX_PIXELS, raise_pillows_limit
from ..restoration.workers import on_one_processor
from .drawable import Drawable, Model
from .drawers import drawer_of
from .remarks import REMARKS
from .rows import IMAGES, Batch, column, readable, rows_of
from .settings import Settings

Deliver = Callable[[Drawable, str], dict[str, Any]]
"""``(row, key) -> columns``: draws a row, and says what of it comes back. It is sent to other
processes, so it must be a function or a small object of a module. ``remarks`` is no column but a
list of sentences, which join the row's notes."""


def as_arrays(row: Drawable, key: str) -> dict[str, Any]:
    """Columns ``samples`` ``(N, H, W, C)`` and ``mean`` ``(H, W, C)``, uint8 as they are saved;
    ``std`` ``(H, W)``, float32 in units of [0, 1]; ``seed``; per sample ``exploded``. Of a model
    that enlarges, per sample ``round_trip_exact``, and ``doubts``, the reasons in one text; of one
    that restores, per sample ``misfit`` and ``explains``, and ``noise``, σ; where chains moved, per
    sample ``acceptance``, and ``r_hat``. Transparent pixels lie on white. Beside the columns
    there is ``remarks``, as `Deliver` says."""
    answers, _, told = row.drawn()
    return told | {
        "samples": channels_last(answers.pixels),
        "mean": channels_last(answers.mean_pixels),
        "std": answers.std.numpy(),
    }


def channels_last(pixels: Tensor) -> "np.ndarray[Any, Any]":
    """``(…, C, H, W)`` as ``(…, H, W, C)``."""
    return pixels.movedim(-3, -1).contiguous().numpy()


class Upscaler:
    """Draws the rows of batches, on one thread each.

    A sample depends on the image, the seed and, where rows are independent, the key: never on the
    batch, the process or the engine. On the CPU in fp32 it is, to the bit, that of
    ``cvdvae upscale``, or of ``cvdvae restore``, on the same machine with the seed that its row
    names.

    Args:
        model: A model, or what `load` takes; where the settings say what happened to the images,
            one that restores, or what `load_restorer` takes.
        settings: How to draw.
        deliver: What comes back of a row; `as_arrays` by default.

    Example:
        >>> upscaler = Upscaler("celeba64-x8", Settings(samples=4))        # doctest: +SKIP
        >>> upscaler({"bytes": np.array([png], object)})                   # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | Model,
        settings: Settings = Settings(),
        deliver: Deliver = as_arrays,
    ) -> None:
        if settings.max_pixels > MAX_PIXELS:  # which somebody has asked for
            raise_pillows_limit(settings.max_pixels)
        self.drawer, self.settings, self.deliver = drawer_of(model, settings), settings, deliver

    @property
    def model(self) -> Model:
        """What draws."""
        return self.drawer.model

    def __call__(self, batch: Batch) -> Batch:
        """Draw every row of a batch.

        Args:
            batch: A column of images, one of `cvdvae.batch.rows.IMAGES`, and ``key``; without keys,
                paths are the keys. Columns ``number``, ``mark`` and ``error`` are handed on.

        Returns:
            ``key``, ``number`` and ``mark`` where they were given, what `deliver` gives, ``notes``:
            what had to be changed to read a picture, and `remarks` on its result, in one text, and
            ``error``: why a row could not be drawn, empty where it was. The other columns of such a
            row hold None.

        Raises:
            InputError: No column holds images, or rows that are to be independent have no key.
            OutputError: What was drawn cannot be written; then no further row could be.
        """
        images = next((name for name in IMAGES if name in batch), None)
        if images is None:
            raise InputError(f"a batch needs a column of images, one of {', '.join(IMAGES)}")
        if batch[images].dtype.kind == "S":  # NumPy cuts zeros off the end of such bytes
            raise InputError(f"the column '{images}' must hold Python's bytes, as dtype object")
        if "key" not in batch and images != "path" and self.settings.independent:
            raise InputError("rows that are to be independent need a column 'key'")
        with torch.no_grad(), on_one_processor():
            rows = [self._row(row) for row in rows_of(batch)]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: column([row.get(name) for row in rows]) for name in names}

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        key = readable(str(row.get("key", row.get("path", ""))))
        told: dict[str, Any] = {"key": key, "error": row.get("error") or ""}
        if "number" in row:
            told["number"] = int(row["number"])
        if "mark" in row:
            told["mark"] = str(row["mark"])
        if told["error"]:
            return told
        try:
            read = self.read(row, key)
            columns = self.deliver(read, key)
            said = [*read.notes, *columns.get(REMARKS, [])]
            kept = {name: values for name, values in columns.items() if name != REMARKS}
            return told | {"notes": "; ".join(said)} | kept
        except OutputError:
            raise
        except CVDVAEError as error:
            return told | {"error": str(error)}
        except Exception as error:  # one row must not end a run of millions
            return told | {"error": f"{type(error).__name__}: {error}".splitlines()[0]}

    def read(self, row: dict[str, Any], key: str = "") -> Drawable:
        """The image of a row.

        Raises:
            InputError: It cannot be used.
        """
        image = next((row[name] for name in IMAGES if row.get(name) is not None), None)
        if image is None:
            raise InputError(f"{key or 'a row'} holds no image")
        if isinstance(image, os.PathLike):
            image = os.fspath(image)
        elif isinstance(image, bytearray | memoryview):
            image = bytes(image)
        if not isinstance(image, str | bytes):
            image = np.asarray(image)
        keep_alpha = self.deliver is not as_arrays  # which have no place for it
        return self.drawer.read(image, key, keep_alpha)
