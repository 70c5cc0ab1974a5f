"""How the values of a file map to [0, 1], and back.

Models know [0, 1]. A file holds counts, degrees or reflectance: ``u = (v − low) / (high − low)``
takes a value v there, and back. Whole numbers stay whole: `low` and `high` then are whole as well,
and [0, 1] has ``high − low`` levels, one for every whole number between them.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

EIGHT_BITS = 255
"""Levels of pictures."""
FINEST = 2**16 - 1
"""Levels whose rounding stands for that of values that are not rounded, as they came from some."""
WHOLE = 2**53
"""Up to here float64 holds every whole number."""
MOST_LEVELS = 2**20
"""More are not told apart by the networks' float32."""
ROUND_OFF_DB = 250.0
"""dB from which on a PSNR is that of the rounding of float64."""
PERCENTILES = (0.1, 99.9)
MARGIN = 1 / 16
"""What the range of values without one of their own is widened by on either side."""
PAIR = re.compile(r"([^,]+),([^,]+)")


def to_levels(x: Tensor, levels: int | None = EIGHT_BITS) -> Tensor:
    """Round images in [0, 1] to whole levels: uint8 up to 255 of them, else int32.

    Without levels nothing is rounded: the same values, float64.
    """
    inside = x.detach().cpu().clamp(0, 1)
    if levels is None:
        return inside.double()
    return torch.round(inside * levels).to(dtype_of(levels))


def rounding_of(levels: int | None) -> float:
    """Standard deviation of the rounding to whole levels, in units of [0, 1]; where there are none
    that to `FINEST`."""
    return 1 / (math.sqrt(12) * (levels or FINEST))


def dtype_of(levels: int) -> torch.dtype:
    """What whole levels are held in."""
    return torch.uint8 if levels <= EIGHT_BITS else torch.int32


def from_levels(pixels: Tensor, levels: int | None = EIGHT_BITS) -> Tensor:
    """What `to_levels` gave, as float64 in [0, 1]."""
    return pixels.double() / (levels or 1)


def decibels(squares: Tensor) -> Tensor:
    """PSNR of mean squared errors of images in [0, 1], ``−10 log₁₀ s``, float64; infinite where
    there is no error but what float64 rounds."""
    found = -10 * torch.log10(squares.double())
    return found.masked_fill(found > ROUND_OFF_DB, torch.inf)


def decibels_of(squares: float, values: int) -> float:
    """The same of the sum of so many squared errors; infinite where there are none to sum."""
    mean = squares / values if squares else 0.0
    return float(decibels(torch.tensor(mean, dtype=torch.float64, device="cpu")))


def exact_values(y: Tensor, levels: int | None = EIGHT_BITS) -> Tensor:
    """An image in [0, 1] as float64; where it holds whole levels, those exactly, ``k / levels``.

    In float32 they are off by up to 3e-8, which shows in an LR-PSNR above 106 dB.
    """
    given = y.detach().cpu().double()
    if levels is None:
        return given
    exact = from_levels(to_levels(y, levels), levels)
    near = min(1e-6, 0.1 / levels)
    return exact if torch.allclose(exact, given, rtol=0, atol=near) else given


def in_kind(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in a file's kind of numbers; whole ones are cut to those that it has.

    Example:
        >>> in_kind(np.array([-100.0, 7, 256]), np.dtype("uint8")).tolist()
        [0, 7, 255]
    """
    if dtype.kind in "iu":
        values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max)
    return values.astype(dtype)


def shown(value: float) -> str:
    """A value of a file, for messages: whole ones with all their digits.

    Example:
        >>> shown(1048575.0), shown(0.25), shown(3.4e38)
        ('1048575', '0.25', '3.4e+38')
    """
    value = float(value) + 0.0  # not -0
    return f"{value:.0f}" if abs(value) <= WHOLE and value % 1 == 0 else f"{value:.7g}"


@dataclass(frozen=True)
class ValueRange:
    """What 0 and 1 stand for.

    Attributes:
        low: The value that becomes 0.
        high: The value that becomes 1, larger.
        levels: Steps between them, one for every whole number; None for values that are not whole.

    Raises:
        InputError: There is no such range.

    Example:
        >>> twelve_bits = ValueRange(0, 4095, 4095)
        >>> float(twelve_bits.to_unit(np.array(4095)))
        1.0
    """

    low: float
    high: float
    levels: int | None = None

    def __post_init__(self) -> None:
        if self.levels is not None and max(abs(self.low), abs(self.high)) > WHOLE:
            raise InputError(
                f"whole values from {self.ends} are too large to be told apart: "
                f"subtract a number, or save them as float"
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"values must lie between two numbers, not {self.low} and {self.high}")
        if not math.isfinite((self.high - self.low) * (self.high - self.low)):  # as of a variance
            raise InputError(
                f"values from {self.ends} are too far apart for their variance "
                f"to be a number: mark what stands for no data, or name a narrower range with "
                f"--values LOW,HIGH of cvdvae upscale, restore or batch"
            )
        if self.levels is None:
            return
        if self.levels != self.high - self.low or self.low % 1:
            raise InputError(f"{self.low} to {self.high} are not {self.levels} whole steps")
        if self.levels > MOST_LEVELS:
            raise InputError(
                f"whole values from {self.ends} are more than {MOST_LEVELS} "
                f"levels: save them as float, or give a narrower range with --values LOW,HIGH of "
                f"cvdvae upscale, restore or batch"
            )

    @property
    def ends(self) -> str:
        """``0 to 4095``."""
        return f"{shown(self.low)} to {shown(self.high)}"

    @property
    def span(self) -> float:
        """``high − low``: what a standard deviation of 1 is in the file's unit."""
        return self.high - self.low

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Values of the file in [0, 1], float64; what lies outside is cut."""
        unit = (values.astype(np.float64) - self.low) / self.span
        return np.clip(unit, 0, 1)

    def to_values(self, pixels: Tensor) -> np.ndarray:
        """What `to_levels` gave, as values of the file, float64."""
        values: np.ndarray = pixels.double().numpy()
        return self.low + values * (self.span if self.levels is None else 1)

    def from_values(self, values: np.ndarray) -> Tensor:
        """What `to_values` gave, as `to_levels` does."""
        shifted = values.astype(np.float64) - self.low
        if self.levels is None:
            return torch.from_numpy(shifted / self.span)
        return torch.from_numpy(shifted).to(dtype_of(self.levels))

    def without(self, value: float) -> "ValueRange":
        """The same without a whole number at one of its ends, which stands for no data."""
        if self.levels is None or value not in (self.low, self.high):
            return self
        low, high = self.low + (value == self.low), self.high - (value == self.high)
        return ValueRange(low, high, self.levels - 1)

    def outside(self, values: np.ndarray) -> int:
        """How many of some values lie outside."""
        within = values.astype(np.float64) if values.dtype.kind == "f" else values
        return int(((within < self.low) | (within > self.high)).sum())


def choose_range(values: np.ndarray, how: str) -> ValueRange:
    """The range of some values.

    Args:
        values: All that count, finite, at least one; whole where their dtype is.
        how: ``auto``, ``dtype``, ``percentiles`` or ``LOW,HIGH``; docs/formats.md has what each is.

    Raises:
        InputError: They have no such range; the message says what to do.
    """
    whole = values.dtype.kind in "iu"
    if how == "dtype":
        low, high = _of_dtype(values)
    elif how == "auto" and values.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif how == "auto" and values.dtype.kind == "u":
        low, high = 0.0, float(2 ** max(8, int(values.max()).bit_length()) - 1)
    elif how == "auto":
        low, high = _widened(values)
    elif how == "percentiles":
        low, high = (float(v) for v in np.percentile(values, PERCENTILES, method="nearest"))
        within = PERCENTILES[1] - PERCENTILES[0]
        _refuse_constant(low, high, f"at least {within:g} % of the values are")
    else:
        low, high = _given(how)
    least, most = _held(values.dtype)
    if not whole:
        held = np.promote_types(values.dtype, np.float32)
        with np.errstate(over="ignore"):
            if not np.isfinite(np.array([low, high]).astype(held)).all():
                raise InputError(f"samples are {held}, which goes from {least:g} to {most:g}")
        low, high = max(low, least), min(high, most)
        return ValueRange(low, high)
    low, high = math.floor(low), math.ceil(high)
    if high <= least or low >= most:
        raise InputError(
            f"{values.dtype} holds {least} to {most}: no sample could be drawn in {how[:40]}"
        )
    return ValueRange(low, high, high - low)


def is_pair(how: str) -> bool:
    """Whether a range is named by its two ends, rather than taken from the values."""
    return PAIR.fullmatch(how) is not None


def _of_dtype(values: np.ndarray) -> tuple[float, float]:
    if values.dtype.kind in "iu":
        return _held(values.dtype)
    if values.min() < 0 or values.max() > 1:
        raise InputError(
            f"float values with --values dtype must lie in [0, 1], but these go from "
            f"{shown(values.min())} to {shown(values.max())}: give --values LOW,HIGH"
        )
    return 0.0, 1.0


def _widened(values: np.ndarray) -> tuple[float, float]:
    """From the smallest to the largest and a little on; not below 0 where nothing is."""
    low, high = float(values.min()), float(values.max())
    if values.min() == values.max():
        _refuse_constant(low, high)
    margin = MARGIN * (high - low)
    bottom, top = low - margin, high + margin
    least, most = _held(values.dtype)
    bottom, top = max(bottom, least), min(top, most)
    return max(bottom, 0.0) if low >= 0 else bottom, top


def _held(dtype: np.dtype) -> tuple[float, float]:
    """The ends of what samples of such values are held in: float16 becomes float32."""
    if dtype.kind in "iu":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    limits = np.finfo(np.promote_types(dtype, np.float32))
    return float(limits.min), float(limits.max)


def _refuse_constant(low: float, high: float, told: str = "all values are") -> None:
    if low == high:
        raise InputError(
            f"{told} {shown(low)}, which tells no range: name one with --values LOW,HIGH of "
            f"cvdvae upscale, restore or batch"
        )


def _given(how: str) -> tuple[float, float]:
    pair = PAIR.fullmatch(how)
    try:
        if pair is None:
            raise ValueError
        low, high = float(pair[1]), float(pair[2])
    except ValueError:
        raise InputError(
            f"--values is dtype, percentiles, or two numbers as in 0,4095, not '{how[:40]}'"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"--values wants the smaller number first, both finite, not '{how[:40]}'")
    return low, high
