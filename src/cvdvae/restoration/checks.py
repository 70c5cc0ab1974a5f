"""What is handed over in Python: settings as plain numbers, images as tensors that fit."""

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..damage.described import Description, parse
from ..damage.mask_kinds import check_noise_is_told
from ..degradations.base import Degradation
from ..errors import InputError


def make_plain(
    settings: object,
    whole: Sequence[str] = (),
    numbers: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> None:
    """Make the values of a frozen dataclass plain ones: int, float and bool.

    Args:
        settings: The dataclass.
        whole: Names of its whole numbers.
        numbers: Names of its numbers.
        flags: Names of what is true or false.

    Raises:
        InputError: One is something else; a float is no whole number, and a bool no number.
    """
    for names, plain in ((whole, whole_number), (numbers, number), (flags, flag)):
        for name in names:
            value = plain(getattr(settings, name), name.replace("_", " "))
            object.__setattr__(settings, name, value)


def whole_number(value: Any, name: str) -> int:
    """An int, or a scalar of NumPy or torch that is one, as a plain int.

    Example:
        >>> whole_number(torch.tensor(3), "samples")
        3
    """
    one = _scalar(value)
    try:
        if not isinstance(one, (bool, Tensor, np.ndarray)):
            return int(operator.index(one))
    except (TypeError, ValueError, RuntimeError):
        pass
    raise InputError(f"{name} must be a whole number, not {_short(value)}")


def number(value: Any, name: str) -> float:
    """A real number, or a scalar of NumPy or torch, as a plain float."""
    one = _scalar(value)
    try:
        if isinstance(one, Real) and not isinstance(one, bool):
            return float(one)
    except OverflowError:
        pass
    raise InputError(f"{name} must be a number, not {_short(value)}")


def flag(value: Any, name: str) -> bool:
    """A bool, or one of NumPy or torch, as a plain bool."""
    one = _scalar(value)
    if not isinstance(one, bool):
        raise InputError(f"{name} must be True or False, not {_short(value)}")
    return one


def _scalar(value: Any) -> Any:
    """What a tensor or an array without dimensions holds; anything else as it is."""
    held = isinstance(value, (Tensor, np.ndarray, np.generic)) and value.ndim == 0
    return value.item() if held else value


def _short(value: Any) -> str:
    try:
        return " ".join(repr(value).split())[:60]
    except ValueError:  # whole numbers of thousands of digits have no text
        return "so large a number"


def checked_image(y: object, channels: int, side: int | None, name: str) -> Tensor:
    """A low-resolution image as ``(1, C, h, w)``, or a sentence that refuses it.

    Args:
        y: The image.
        channels: How many it must have.
        side: Its height and width; None where they are free.
        name: Of the model, for the message.

    Raises:
        InputError: No tensor, another shape or size, not float, a NaN, or beyond [0, 1].
    """
    if not isinstance(y, Tensor):
        raise InputError(f"y is a {type(y).__name__}, no tensor: cvdvae.load_image reads a file")
    given = f"{y.dtype} {tuple(y.shape)}"
    y = y.detach()
    if y.ndim == 3:
        y = y[None]
    if not torch.is_floating_point(y) or y.ndim != 4 or y.shape[:2] != (1, channels):
        sides = "h, w" if side is None else f"{side}, {side}"
        raise InputError(
            f"{name} takes one float image in [0, 1] of shape ({channels}, {sides}), not {given}"
        )
    if not y.numel():
        raise InputError(f"{y.shape[3]}×{y.shape[2]} is an image without pixels")
    if side is not None and tuple(y.shape[2:]) != (side, side):
        height, width = y.shape[2:]
        raise InputError(
            f"{name} takes images of {side}×{side} pixels, not {width}×{height}: shrink "
            f"a photo with cvdvae upscale --simulate (or cvdvae.simulate), or choose a model "
            f"of another scale"
        )
    if not bool(((y >= 0) & (y <= 1)).all()):
        raise InputError("image values must be in [0, 1], without NaN")
    return y.float().cpu()


def checked_truth(truth: object, shape: tuple[int, ...]) -> Tensor | None:
    """A true image, float in [0, 1], that samples of a shape ``(C, H, W)`` are compared with.

    Raises:
        InputError: It is another thing, or of another shape.
    """
    if truth is None:
        return None
    if not isinstance(truth, Tensor):
        kind = type(truth).__name__
        raise InputError(f"the truth is a {kind}, no tensor: cvdvae.load_image reads a file")
    if not torch.is_floating_point(truth) or tuple(truth.shape) != shape:
        raise InputError(
            f"the truth must be a float image of shape {shape}, as the samples are, "
            f"not {truth.dtype} {tuple(truth.shape)}"
        )
    least, most = torch.aminmax(truth.detach())
    if not (least >= 0 and most <= 1):
        raise InputError("the values of the truth must be in [0, 1], without NaN")
    return truth.detach().float().cpu()


def plain_profile(profile: Any) -> tuple[float, ...]:
    """The factors of a profile of temperatures, as plain numbers.

    Raises:
        InputError: It is no tuple or list of numbers from 0 upwards.
    """
    if not isinstance(profile, (tuple, list)):
        raise InputError(f"a profile is some factors, as in (0.5, 1.0), not {profile!r:.60}")
    factors = tuple(number(one, "a profile's factor") for one in profile)
    if not all(0 <= one < math.inf for one in factors):
        raise InputError("the factors of a profile must be numbers from 0")
    return factors


def check_profile(profile: Sequence[float], strides: Sequence[int]) -> None:
    """Refuse a profile of temperatures that has not one factor for every stride.

    Args:
        profile: The factors; none where all groups have the same temperature.
        strides: Of the latent groups.

    Raises:
        InputError: There are more, or fewer.
    """
    if profile and len(profile) != len(set(strides)):
        raise InputError(
            f"a profile has a factor for each of the model's {len(set(strides))} strides, not "
            f"{len(profile)}"
        )


def told(
    degradation: str | Description | Degradation | None, noise: float | str | None
) -> Description | Degradation:
    """What happened; nothing but noise, where that alone is named.

    Raises:
        InputError: Neither is, or ``noise`` without its σ.
        ConfigError: The words describe nothing.
    """
    if degradation is None and noise is None:
        raise InputError("say what happened to it, or how noisy it is, as in noise=0.02")
    if degradation is None:
        return parse("noise")
    what = parse(degradation) if isinstance(degradation, str) else degradation
    if isinstance(what, Description):
        check_noise_is_told(what.steps, noise)
    return what
