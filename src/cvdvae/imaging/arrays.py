"""Arrays as files of science hold them: pages, channels, and values with a unit.

Every format reads into `Array` and writes from it; `formats` lists them.
"""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError

MAX_PAGES = 100
MAX_AXES = 5
MAX_CHANNELS = 1000
"""Which a file of a few bytes may claim to have; spectrometers have some hundreds."""
BLOCK = 2**25
"""Values of a tile or a chunk that are decoded however small the image is."""


class Limits(NamedTuple):
    """What a file may hold at most.

    Attributes:
        pixels: Of one plane.
        pages: How many.
    """

    pixels: int
    pages: int = MAX_PAGES


@dataclass(frozen=True)
class Layout:
    """Which axis of a file is which, and how it becomes pages of channels, and back.

    Attributes:
        axes: A letter for every axis: Y and X, S for the samples of a pixel, C for channels, and
            any other for what counts pages.
        shape: Their lengths.
    """

    axes: str
    shape: tuple[int, ...]

    @property
    def channel(self) -> str:
        """The axis of channels; empty where there is none."""
        return next((axis for axis in "SC" if axis in self.axes), "")

    @property
    def counting(self) -> str:
        """The axes that count pages."""
        return "".join(axis for axis in self.axes if axis not in f"YX{self.channel}")

    @property
    def pages(self) -> int:
        """How many there are."""
        return prod(self._length(axis) for axis in self.counting)

    @property
    def channels(self) -> int:
        """How many a page has."""
        return self._length(self.channel) if self.channel else 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._length("Y"), self._length("X")

    def _length(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)]

    def to_planes(self, values: np.ndarray) -> np.ndarray:
        """Values as they lie in the file, as ``(pages, channels, h, w)``."""
        order = [self.axes.index(axis) for axis in f"{self.counting}{self.channel}YX"]
        return values.transpose(order).reshape(self.pages, self.channels, *self.size)

    def from_planes(self, planes: np.ndarray) -> np.ndarray:
        """``(pages, channels, H, W)`` of any size as it lies in the file, a view if it can be."""
        order = f"{self.counting}{self.channel}YX"
        lengths = [self._length(axis) for axis in f"{self.counting}{self.channel}"]
        whole = planes.reshape(*lengths, *planes.shape[2:])
        return whole.transpose([order.index(axis) for axis in self.axes])

    def with_samples(self, number: int) -> "Layout":
        """With so many samples of a pixel."""
        lengths = zip(self.axes, self.shape, strict=True)
        return Layout(self.axes, tuple(number if axis == "S" else n for axis, n in lengths))

    def turned(self) -> "Layout":
        """With height and width exchanged."""
        height, width = self.size
        lengths = {"Y": width, "X": height}
        shape = tuple(lengths.get(axis, n) for axis, n in zip(self.axes, self.shape, strict=True))
        return Layout(self.axes, shape)


@dataclass(frozen=True, eq=False)
class Array:
    """What a file holds.

    Attributes:
        values: In the file's own unit and kind of number, ``(pages, channels, h, w)``.
        missing: Where there is none: NaN, infinite, or what the file says stands for no data.
        layout: How they lie in the file.
        carried: What else it carries, for what is made of it; its format knows what that is.
        notes: What had to be changed to read it, in plain words.
        nodata: What the file says stands for no data, of every channel or one for all.
        white_is_0: Whether the file shows its smallest values as white, as faxes and films do.
        distances: Whether what is to be written are distances between values: what the file adds to
            its numbers to have values does not hold for them.
        beside: Files beside it that were read with it.
        aside: How the names of files end that are written beside one made of it.
    """

    values: np.ndarray
    missing: np.ndarray
    layout: Layout
    carried: Any
    notes: list[str]
    nodata: list[float | None]
    white_is_0: bool = False
    distances: bool = False
    beside: tuple[Path, ...] = ()
    aside: tuple[str, ...] = ()

    def filled(self, left: np.ndarray) -> "Array":
        """For what is made of it with values where it has none: opaque there.

        Args:
            left: Which values stay missing, bool, ``(pages, channels, h, w)``.
        """
        opaque = getattr(self.carried, "opaque", None)
        if opaque is None:
            return self
        full = opaque.max() or (np.iinfo(opaque.dtype).max if opaque.dtype.kind in "iu" else 1)
        made = (opaque == 0) & ~left.any(1).reshape(opaque.shape)
        whole = np.where(made, opaque.dtype.type(full), opaque)
        return replace(self, carried=self.carried._replace(opaque=whole))

    def nodata_of(self, channel: int) -> float | None:
        """What stands for no data in a channel."""
        return self.nodata[channel if len(self.nodata) > 1 else 0]


def equal_to(values: np.ndarray, none: float) -> np.ndarray:
    """Where values are what stands for no data; nowhere, if their kind does not hold that."""
    with np.errstate(over="ignore"):  # it is beyond the largest float32
        same: np.ndarray = values == none
    return same


def guessed_axes(shape: tuple[int, ...]) -> str:
    """Axes without names: the last two are Y and X, or those before a last one of 3; or before one
    of 1 or 4 that is far shorter than both.

    Example:
        >>> guessed_axes((20, 64, 64)), guessed_axes((64, 64, 4)), guessed_axes((3, 64, 64))
        ('ZYX', 'YXS', 'CYX')
    """
    leading = len(shape) - 2
    few = shape[-1] in (1, 4) and min(shape[-3:-1], default=0) >= 2 * shape[-1]
    if leading and (shape[-1] == 3 or few):
        return "QTZ"[4 - leading :] + "YXS"
    if leading and shape[-3] == 3:
        return "QTZ"[4 - leading :] + "CYX"
    return "QTZ"[3 - leading :] + "YX"


def check_is_file(path: Path) -> None:
    """Refuse what is no file: a pipe would be waited for without an end.

    Raises:
        InputError: It is something else, or not there.
    """
    if not path.is_file():
        gone = "is no file" if path.exists() else "does not exist"
        raise InputError(f"{path} {gone}")


def check_layout(path: Path, layout: Layout, dtype: np.dtype, limits: Limits) -> None:
    """Refuse what cannot be drawn, before its values are read.

    Raises:
        InputError: Values that are no intensities, no pixels, or too many.
    """
    if dtype.kind == "c":
        raise InputError(
            f"{path} holds complex numbers: save their magnitude, or real and imaginary part as "
            f"two channels"
        )
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{path} holds values of kind {dtype}, which are no intensities")
    height, width = layout.size
    if 0 in layout.shape:
        raise InputError(f"{path} holds no pixels: its shape is {layout.shape}")
    if height * width > limits.pixels:
        raise InputError(
            f"{path} has {width}×{height} pixels, over {limits.pixels / 1e6:g} megapixels: "
            f"cut it, or raise the limit with --max-megapixels of cvdvae upscale, restore or batch"
        )
    if layout.channels > MAX_CHANNELS:
        raise InputError(f"{path} has {layout.channels} channels, over {MAX_CHANNELS}: save fewer")
    if layout.pages > limits.pages:
        raise InputError(
            f"{path} has {layout.pages} pages, over {limits.pages}: save fewer, or raise the limit "
            f"with --max-pages of cvdvae upscale or restore"
        )


def check_block(path: Path, block: tuple[int, ...], values: int, limits: Limits) -> None:
    """Refuse a tile or a chunk that is far larger than the image: it is decoded whole.

    Args:
        path: The file, for the message.
        block: Its shape.
        values: How many values the image has.
        limits: What is decoded.

    Raises:
        InputError: It is.
    """
    if prod(block) > max(values, min(limits.pixels, BLOCK)):
        shape = "×".join(map(str, block))
        raise InputError(
            f"{path} is stored in blocks of {shape} values, more than the image has: save it anew"
        )


def array_of(
    path: Path,
    values: np.ndarray,
    layout: Layout,
    nodata: list[float | None],
    carried: Any = None,
    notes: list[str] | None = None,
    white_is_0: bool = False,
    mask: np.ndarray | None = None,
) -> Array:
    """An array as read.

    Args:
        path: Its file, for messages.
        values: As they lie in the file.
        layout: How they lie there.
        nodata: What stands for no data, of every channel or one for all.
        carried: As in `Array`.
        notes: As in `Array`.
        white_is_0: As in `Array`.
        mask: Where nothing stands for data in any channel, bool, of one page ``(h, w)``, of several
            ``(pages, 1, h, w)``.

    Raises:
        InputError: Nothing but missing values.
    """
    planes = layout.to_planes(values)
    planes = np.ascontiguousarray(planes, planes.dtype.newbyteorder("="))
    missing = ~np.isfinite(planes) if mask is None else ~np.isfinite(planes) | mask
    array = Array(planes, missing, layout, carried, notes or [], nodata, white_is_0)
    for channel in range(layout.channels):
        none = array.nodata_of(channel)
        if none is not None:
            missing[:, channel] |= equal_to(planes[:, channel], none)
    if missing.all():
        raise InputError(
            f"{path} holds no value: every pixel is NaN, transparent or marked as no data"
        )
    return array
