"""Recipes: the few hundred bytes that bring a result back.

`result.json` holds one: the model's name, the input, the settings and the steps of steering. So
does an address of the app.
"""

import base64
import binascii
import io
import json
import re
import zlib
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor

from ..configs import from_dict
from ..damage.packed import pack_numbers, unpack_numbers
from ..errors import InputError
from ..files import read_bounded, write_atomically
from ..imaging.carried import Extras
from ..imaging.io import opaque, png_in_base64, save_png, to_bytes, to_pil, to_tensor
from ..imaging.png import OPAQUE
from .edits import MAX_STEPS, edit_from_dict
from .saving import read_told, to_json
from .settings import Sampling

MAX_SIDE, MAX_VALUES = 1024, 2 * 2**20
"""Side of an input, in pixels, and its values, up to which a recipe holds it; a larger one lies
beside it."""
MAX_BYTES, MAX_NUMBERS = 4 * 2**20, 2**18
"""Of a `result.json`; and values of an input up to which it holds them, where 8 bits do not."""
BESIDE, NUMBERS_BESIDE, MAX_BESIDE = "input.png", "input.npy", 2**30
"""Names of the file with a large input, and how many bytes it may have."""

Dtype = Literal["fp32", "bf16"]
"""What networks compute in."""


@dataclass(frozen=True)
class Origin:
    """What a result follows from, beside its input; as in `Recipe`."""

    model: str
    sampling: Sampling
    scale: int | None = None
    weights: str = ""
    dtype: Dtype = "fp32"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "model": self.model,
            "weights": self.weights,
            "dtype": self.dtype,
            "scale": self.scale,
            **asdict(self.sampling),
        }


@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that a result follows from.

    Attributes:
        model: Name of the model.
        y: The low-resolution image, float in [0, 1], ``(C, h, w)``.
        sampling: How to draw, with the steps of steering.
        scale: The factor that was enlarged by; None in recipes that do not say it.
        weights: Fingerprint of the model's weights; empty where it is not known.
        dtype: What the networks computed in.
    """

    model: str
    y: Tensor
    sampling: Sampling
    scale: int | None = None
    weights: str = ""
    dtype: Dtype = "fp32"

    @property
    def beside(self) -> str:
        """Name of the file beside the recipe in which the input lies, `BESIDE` or `NUMBERS_BESIDE`;
        empty where it is so small that the recipe holds it."""
        if self._picture:
            large = max(self.y.shape) > MAX_SIDE or self.y.numel() > MAX_VALUES
            return BESIDE if large else ""
        return NUMBERS_BESIDE if self.y.numel() > MAX_NUMBERS else ""

    @cached_property
    def _picture(self) -> bool:
        """Whether the input is grey or RGB, with the values of 8 bits alone."""
        y = self.y.float()
        return len(y) in OPAQUE and torch.allclose(to_bytes(y).float() / 255, y, atol=1e-6)

    def save_beside(self, folder: Path, extras: Extras = Extras()) -> None:
        """Write the file that `beside` names, where it names one.

        Args:
            folder: Where it goes.
            extras: What the input's file carried beside its colours, for a picture.

        Raises:
            OutputError: It cannot be written.
        """
        name = self.beside
        if name == BESIDE:
            save_png(folder / name, to_pil(self.y), extras)
        elif name:
            values = self.y.numpy()
            write_atomically(folder / name, lambda path: np.save(path, values, allow_pickle=False))

    def to_dict(self) -> dict[str, Any]:
        """As plain data; the input as a PNG in base64, or in `npy` where 8 bits do not hold it, or
        the name of the file beside it where it is large."""
        return {"input": self.beside or self._packed(), **self.origin.to_dict()}

    def _packed(self) -> str | dict[str, str]:
        if self._picture:
            return png_in_base64(to_pil(to_bytes(self.y)))
        return {"npy": pack_numbers(self.y.numpy())}

    @property
    def origin(self) -> Origin:
        """All but the input."""
        return Origin(self.model, self.sampling, self.scale, self.weights, self.dtype)

    def to_text(self) -> str:
        """As a short text for an address."""
        packed = zlib.compress(to_json(self.to_dict()).encode(), 9)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def check_weights(model: str, drawn_with: str, now: str) -> None:
    """Refuse weights that would draw something else than a recipe's.

    Args:
        model: The model's name, for the message.
        drawn_with: Fingerprint of the recipe's weights; empty where it is not known.
        now: Fingerprint of the model's weights.

    Raises:
        InputError: They are others.
    """
    if drawn_with and drawn_with != now:
        raise InputError(
            f"the model '{model}' has other weights than when this result was drawn, so it cannot "
            f"be drawn again"
        )


def recipe_from_dict(
    data: Any,
    where: str,
    beside: Path | bytes | None = None,
    max_pixels: int = 2**31,
    numbers: bool = False,
) -> Recipe:
    """Read a recipe from plain data; what `result.json` says beside it is passed over.

    Args:
        data: The data.
        where: Their origin, for messages.
        beside: The folder in which a large input may lie, or what its picture holds.
        max_pixels: The most that such an input may have.
        numbers: Whether to read an input that 8 bits do not hold, too.

    Raises:
        InputError: It is none; the message names `where` it was read.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    origin = origin_from_dict(data, where)
    if "values" in data:
        raise InputError(
            f"{where} is of a file of arrays: draw it again with the command cvdvae replay"
        )
    if "degradation" in data:
        raise InputError(f"{where} is of a restoration, which cvdvae.replay draws again")
    told = data.get("input")
    if not isinstance(told, (str, dict)):
        raise InputError(f"{where} does not hold the input, so the result cannot be drawn again")
    if not numbers and (isinstance(told, dict) or told == NUMBERS_BESIDE):
        raise InputError(
            f"{where} is of an input that 8 bits do not hold: draw it again with the command "
            f"cvdvae replay"
        )
    if beside is not None and told in (BESIDE, NUMBERS_BESIDE):
        y = _y_beside(beside, str(told), where, max_pixels)
    else:
        y = _y_of(told, where)
    return Recipe(origin.model, y, origin.sampling, origin.scale, origin.weights, origin.dtype)


def origin_from_dict(data: Any, where: str) -> Origin:
    """Read what a result follows from, beside its input, from plain data.

    Raises:
        InputError: It is none, or damaged; the message names `where` it was read.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    if not isinstance(data, dict) or not isinstance(data.get("model"), str):
        raise InputError(f"{where} is no result.json of this program")
    names = {field.name for field in fields(Sampling)}
    settings = {name: value for name, value in data.items() if name in names}
    weights, dtype, scale = data.get("weights", ""), data.get("dtype", "fp32"), data.get("scale")
    if not isinstance(weights, str) or not re.fullmatch(r"[0-9a-f]{0,64}", weights):
        raise InputError(f"{where} holds a damaged fingerprint of the weights")
    if dtype not in get_args(Dtype):
        raise InputError(f"{where}: dtype must be one of {', '.join(get_args(Dtype))}")
    if scale is not None and (type(scale) is not int or not 1 <= scale <= MAX_SIDE):
        raise InputError(f"{where}: scale must be a whole number from 1 to {MAX_SIDE}")
    return Origin(data["model"], sampling_from_dict(settings, where), scale, weights, dtype)


def sampling_from_dict(settings: dict[str, Any], where: str) -> Sampling:
    """Read the settings of a draw from plain data.

    Raises:
        InputError: A value out of its range, or too many steps.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    steps = settings.get("steps")
    if isinstance(steps, (list, tuple)) and len(steps) > MAX_STEPS:  # before each is looked at
        raise InputError(f"{len(steps)} steps of steering are more than {MAX_STEPS}")
    if isinstance(steps, (list, tuple)):
        settings = {**settings, "steps": tuple(edit_from_dict(step, where) for step in steps)}
    return from_dict(Sampling, settings, where)


def recipe_from_text(text: str) -> Recipe:
    """Read what `Recipe.to_text` has written.

    Raises:
        InputError: It is damaged.
    """
    where = "the address"
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        plain = zlib.decompressobj().decompress(packed, MAX_BYTES)
        data = json.loads(plain)
    except (ValueError, RecursionError, binascii.Error, zlib.error):
        raise InputError("the address is damaged: copy it once more, to its end") from None
    return recipe_from_dict(data, where, numbers=True)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a `result.json` of `upscale`; `replay` takes those of `restore`, too.

    Raises:
        InputError: There is no such file, or it holds no recipe of an enlarged picture.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    path = Path(path)
    return recipe_from_dict(read_told(path, MAX_BYTES), str(path), path.parent, numbers=True)


def _y_of(told: str | dict[str, Any], where: str) -> Tensor:
    try:
        if isinstance(told, dict):
            return _numbers(unpack_numbers(told["npy"], MAX_NUMBERS))
        with Image.open(io.BytesIO(base64.b64decode(told)), formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise ValueError
            return to_tensor(opaque(image))
    except Exception:  # Pillow and NumPy raise errors of many kinds on damaged files
        raise InputError(f"{where} holds a damaged input") from None


def _numbers(values: np.ndarray) -> Tensor:
    if values.dtype != np.float32 or values.ndim != 3 or not np.isfinite(values).all():
        raise ValueError
    return torch.from_numpy(values)


def _y_beside(beside: Path | bytes, name: str, where: str, max_pixels: int) -> Tensor:
    path = name if isinstance(beside, bytes) else beside / name
    try:
        content = beside if isinstance(beside, bytes) else read_bounded(beside / name, MAX_BESIDE)
        if name == NUMBERS_BESIDE:
            return _numbers(np.load(io.BytesIO(content), allow_pickle=False))
        # Not by Image.open, which refuses large pictures: this one is our own.
        with PngImageFile(io.BytesIO(content)) as image:
            if image.width * image.height > max_pixels:
                raise InputError(f"{where} is of an image of over {max_pixels // 10**6} megapixels")
            return to_tensor(opaque(image))
    except InputError:
        raise
    except Exception:  # Pillow and NumPy raise errors of many kinds on damaged files
        raise InputError(f"{where} says that {path} holds its input, but it does not") from None
