"""One class that every engine can call: a dict of arrays in, a dict of arrays out.

Ray Data takes it as it stands, ``ds.map_batches(Upscaler, fn_constructor_args=(model, settings))``;
`docs/batch.md` has recipes for Spark and for a plain loop.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CVDVAEError, InputError, OutputError
from ..imaging.arrays import MAX_PAGES, Limits
from ..imaging.carried import Extras
from ..imaging.io import MAX_PIXELS, REDUCED
from ..imaging.values import choose_range
from ..input_check.screen import doubts_of
from ..restoration.large import IN_MEMORY
from ..restoration.load import load
from ..restoration.recipe import Dtype
from ..restoration.result import SuperResolution
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling
from ..restoration.stack import Stack
from ..restoration.workers import on_one_processor
from .files import Input, read_any, read_input
from .rows import IMAGES, Batch, column, rows_of


@dataclass(frozen=True)
class Settings:
    """How the rows of a batch are drawn.

    Attributes:
        samples: Of each image.
        temperature: Of the prior's groups; the model's recommended temperatures by default.
        seed: Of the samples.
        independent: Every row has noise of its own, a function of the seed and its key; otherwise
            all rows have the noise of the seed, as images of one ``cvdvae upscale`` have.
        shrunk_by: What made the images small.
        check: Examine the images, where the model knows what to expect.
        scale: The factor to enlarge by, where the model has several.
        device: Where to compute.
        dtype: What the networks compute in.
        max_pixels: Most pixels that an image may have.
        antithetic: Whether the samples of an image are drawn in opposite pairs.
        values: How values of files of arrays are mapped to [0, 1], as for `read_any`.

    Raises:
        InputError: A value out of its range.
    """

    samples: int = 8
    temperature: float | None = None
    seed: int = 0
    independent: bool = False
    shrunk_by: str = "bicubic"
    check: bool = True
    scale: int | None = None
    device: str = "cpu"
    dtype: Dtype = "fp32"
    max_pixels: int = MAX_PIXELS
    antithetic: bool = False
    values: str | None = None

    def __post_init__(self) -> None:
        Sampling(self.samples, self.temperature or 0.0, self.seed, shrunk_by=self.shrunk_by)
        if self.values is not None:  # refused here, and not with every row
            choose_range(np.array([0.0, 1.0]), self.values)

    def sampling(self, model: SuperResolver) -> Sampling:
        """How `model` draws by these settings."""
        return model.sampling(
            self.samples,
            self.temperature,
            self.seed,
            shrunk_by=self.shrunk_by,
            antithetic=self.antithetic,
        )


def seed_of(key: str, seed: int) -> int:
    """The seed of a row with noise of its own: 63 bits of a digest of both.

    Example:
        >>> seed_of("a", 0) == seed_of("a", 0) != seed_of("b", 0)
        True
    """
    digest = blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


Deliver = Callable[[SuperResolver, Input | Stack, Sampling, bool, str], dict[str, Any]]
"""``(model, input, sampling, check, key) -> columns``: draws one row, and says what of it comes
back. It is sent to other processes, so it must be a function or a small object of a module."""

TIFF = (b"II", b"MM")
"""How such files begin."""


def drawn(
    model: SuperResolver, given: Input | Stack, sampling: Sampling, check: bool
) -> SuperResolution:
    """The samples of one picture, in memory.

    Raises:
        InputError: They would not fit, or it is no picture but a file of arrays.
    """
    if isinstance(given, Stack):
        raise InputError(f"{given.path} holds arrays in their own unit: write them to a folder")
    pixels = given.y[0].numel() * model.scale**2 * sampling.samples
    if pixels > IN_MEMORY and model.any_size:
        raise InputError(
            f"{sampling.samples} samples of together {pixels / 1e6:.0f} megapixels are too large "
            f"for a row: write them to a folder"
        )
    doubts = doubts_of(model, given.y) if check else None
    return replace(model.run(given.y, sampling), doubts=doubts, extras=given.extras)


def as_arrays(
    model: SuperResolver, given: Input | Stack, sampling: Sampling, check: bool, key: str
) -> dict[str, Any]:
    """Columns ``samples`` ``(N, H, W, C)`` and ``mean`` ``(H, W, C)``, uint8 as they are saved;
    ``std`` ``(H, W)``, float32 in units of [0, 1]; ``seed``; per sample ``round_trip_exact`` and
    ``exploded``; ``doubts``, the reasons in one text. Transparent pixels lie on white."""
    result = drawn(model, given, sampling, check)
    return facts(result) | {
        "samples": channels_last(result.pixels),
        "mean": channels_last(result.mean_pixels),
        "std": result.std.numpy(),
    }


def facts(result: SuperResolution) -> dict[str, Any]:
    """What is told of a row beside its pictures."""
    return {
        "seed": result.sampling.seed,
        "round_trip_exact": np.array(result.round_trip_exact),
        "exploded": np.array(result.exploded),
        "doubts": ", ".join(doubt.reason for doubt in result.doubts or []),
    }


def channels_last(pixels: Tensor) -> "np.ndarray[Any, Any]":
    """``(…, C, H, W)`` as ``(…, H, W, C)``."""
    return pixels.movedim(-3, -1).contiguous().numpy()


class Upscaler:
    """Draws the rows of batches, on one thread each.

    A sample depends on the image, the seed and, where rows are independent, the key: never on the
    batch, the process or the engine. On the CPU in fp32 it is, to the bit, that of
    ``cvdvae upscale`` on the same machine with the seed that its row names.

    Args:
        model: A model, or what `load` takes.
        settings: How to draw.
        deliver: What comes back of a row; `as_arrays` by default.

    Example:
        >>> upscaler = Upscaler("celeba64-x8", Settings(samples=4))        # doctest: +SKIP
        >>> upscaler({"key": np.array(["a"]), "bytes": np.array([png])})   # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | SuperResolver,
        settings: Settings = Settings(),
        deliver: Deliver = as_arrays,
    ) -> None:
        if isinstance(model, (str, Path)):
            model = load(model, settings.device, settings.dtype, scale=settings.scale)
        self.model, self.settings, self.deliver = model, settings, deliver
        self.sampling = settings.sampling(model)

    def __call__(self, batch: Batch) -> Batch:
        """Draw every row of a batch.

        Args:
            batch: A column of images, one of `cvdvae.batch.rows.IMAGES`, and ``key``; without keys,
                paths are the keys. Columns ``number`` and ``error`` are handed on.

        Returns:
            ``key``, ``number`` where it was given, what `deliver` gives, ``notes``: what had to be
            changed to read a picture, in one text, and ``error``: why a row could not be drawn,
            empty where it was. The other columns of such a row hold None.

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
        key = str(row.get("key", row.get("path", "")))
        told: dict[str, Any] = {"key": key, "error": row.get("error") or ""}
        if "number" in row:
            told["number"] = int(row["number"])
        if told["error"]:
            return told
        try:
            given = self.read(row, key)
            sampling = self.sampling
            if self.settings.independent:
                sampling = sampling.reseeded(seed_of(key, sampling.seed))
            columns = self.deliver(self.model, given, sampling, self.settings.check, key)
            return told | {"notes": "; ".join(given.notes)} | columns
        except OutputError:
            raise
        except CVDVAEError as error:
            return told | {"error": str(error)}
        except Exception as error:  # one row must not end a run of millions
            return told | {"error": f"{type(error).__name__}: {error}".splitlines()[0]}

    def read(self, row: dict[str, Any], key: str = "") -> Input | Stack:
        """The image of a row.

        Raises:
            InputError: It cannot be used.
        """
        values = next((row[name] for name in IMAGES if row.get(name) is not None), None)
        if values is None:
            raise InputError(f"{key or 'a row'} holds no image")
        limit, shrunk_by = self.settings.max_pixels, self.settings.shrunk_by
        how = self.settings.values
        alpha = self.deliver is not as_arrays  # which have no place for it
        if isinstance(values, str):
            limits = Limits(limit, MAX_PAGES)
            return read_any(self.model, Path(values), None, limits, shrunk_by, how, alpha)
        if how is not None:
            raise InputError(f"{key or 'a row'} is no file of arrays: --values goes with those")
        if isinstance(values, bytes):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "image"
                path.write_bytes(values)
                try:
                    given = read_input(self.model, path, None, limit, shrunk_by, alpha)
                except InputError as error:
                    raise InputError(str(error).replace(str(path), key or "an image")) from None
            if REDUCED in given.notes and values.startswith(TIFF):
                raise InputError(
                    f"{key or 'an image'} holds values of more than 8 bits: give it as a file of "
                    f"a folder"
                )
            return given
        try:
            return Input(self.model.check(_to_tensor(np.asarray(values)))[0], None, [], Extras())
        except InputError as error:
            raise InputError(f"{key}: {error}" if key else str(error)) from None


def _to_tensor(values: "np.ndarray[Any, Any]") -> Tensor:
    """An array ``(h, w, C)`` or ``(h, w)`` as ``(C, h, w)`` in [0, 1].

    Raises:
        InputError: Another rank, or a type that is neither uint8 nor float.
    """
    if values.ndim not in (2, 3) or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
        raise InputError(
            f"an array must be uint8, or float in [0, 1], of shape (h, w, C), "
            f"not {values.dtype} {values.shape}"
        )
    x = torch.from_numpy(np.array(values if values.ndim == 3 else values[..., None]))
    x = x.permute(2, 0, 1)
    return x.float() / 255 if values.dtype == np.uint8 else x.float()
