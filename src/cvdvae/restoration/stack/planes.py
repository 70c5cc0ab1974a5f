"""Arrays of science as models take them: plane by plane, each mapped to [0, 1].

A page whose channels are as many as the model's is drawn as one image; any other is drawn channel
by channel, as grey. Missing values are filled from their nearest neighbours before, so that what is
around them looks natural, and put back afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import CVDVAEError, InputError, naming
from ...imaging.arrays import Array, Limits, equal_to
from ...imaging.formats import Format, format_of
from ...imaging.values import ValueRange, choose_range, is_pair
from ..sampler import SuperResolver

AUTO = "auto"
NEAR_THE_END = 3.39e38
"""About the largest number of float32, which nothing that is measured has."""
Missing = Literal["filled", "unseen", "drawn"]


class Plane(NamedTuple):
    """A page, a group of its channels, and the number of both among all."""

    page: int
    group: int
    number: int


@dataclass(frozen=True, eq=False)
class Stack:
    """A file of arrays, for a model.

    Attributes:
        path: The file.
        form: Its format, which also writes what is made of it.
        array: What it holds.
        together: Whether the channels of a page are one image, or each is one of its own.
        ranges: What 0 and 1 stand for: one for all, or one for each channel.
        channels: How many the model takes.
        notes: What is to be known of how it was read, in plain words.
        scratch: A temporary folder that it lies in, which goes with it.
        shrunk_from: The file that was shrunk to it.
    """

    path: Path
    form: Format
    array: Array
    together: bool
    ranges: list[ValueRange]
    channels: int
    notes: list[str]
    scratch: Any = None
    shrunk_from: Path | None = None

    @property
    def pages(self) -> int:
        """How many there are."""
        return len(self.array.values)

    def kept(self, notes: list[str], scratch: Any, shrunk_from: Path) -> "Stack":
        """The same with other notes, with the folder that it holds on to, and where it is from."""
        return replace(self, notes=notes, scratch=scratch, shrunk_from=shrunk_from)

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        return all(one.levels is not None for one in self.ranges)

    @property
    def pixels(self) -> int:
        """Pixels of all planes that are drawn."""
        pages, _, height, width = self.array.values.shape
        return len(self.groups) * int(pages * height * width)

    @property
    def groups(self) -> list[slice]:
        """Channels that are drawn as one image."""
        if self.together:
            return [slice(None)]
        return [slice(c, c + 1) for c in range(self.array.values.shape[1])]

    def range_of(self, group: int) -> ValueRange:
        """What 0 and 1 stand for in some channels."""
        return self.ranges[group]

    def nodata(self, group: int) -> list[float | None]:
        """What stands for no data in each of some channels."""
        channels = range(self.array.values.shape[1])[self.groups[group]]
        return [self.array.nodata_of(channel) for channel in channels]

    def unit(self, page: int, group: int) -> Tensor:
        """A plane in [0, 1] without holes, float64, ``(1, channels of the file, h, w)``."""
        part = page, self.groups[group]
        filled = _filled(self.array.values[part], self.array.missing[part])
        return torch.from_numpy(self.range_of(group).to_unit(filled))[None]

    def y(self, page: int, group: int) -> Tensor:
        """A plane as the model takes it, float32, ``(1, channels of the model, h, w)``."""
        y = self.unit(page, group).float()
        return y if self.together else y.expand(-1, self.channels, -1, -1)

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write a file of its format, as `Format.write` does.

        Raises:
            InputError: The format cannot hold what this file would have it hold.
            OutputError: It cannot be written; nothing is left behind.
        """
        try:
            self.form.write(path, planes, array, scale)
        except (CVDVAEError, MemoryError, TypeError, AttributeError):  # the last are mistakes here
            raise
        except Exception as error:  # what writes has errors of many kinds
            raise InputError(f"{self.path}: {path} cannot be written ({error})") from error

    def planes(self) -> Iterator[Plane]:
        """All planes: every group of every page."""
        places = product(range(self.pages), range(len(self.groups)))
        return (Plane(*place, number) for number, place in enumerate(places))

    def missing(self, plane: Plane) -> np.ndarray:
        """Which pixels of a plane have no value in some channel, bool ``(h, w)``."""
        missing: np.ndarray = self.array.missing[plane.page, self.groups[plane.group]]
        gone: np.ndarray = np.logical_or.reduce(missing, 0)
        return gone


def read_stack(
    model: SuperResolver,
    path: Path,
    limits: Limits,
    how: str = AUTO,
    ranges: list[ValueRange] | None = None,
) -> Stack:
    """Read a file of arrays.

    Args:
        model: The model that it is for.
        path: The file; `format_of` knows it.
        limits: What it may hold.
        how: How its values are mapped to [0, 1], as for `choose_range`.
        ranges: The mapping itself, where it is known.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    stack = read_arrays(model.channels, path, limits, how, ranges)
    if not model.any_size and stack.array.layout.size != (model.lr_size, model.lr_size):
        height, width = stack.array.layout.size
        raise InputError(
            f"{path}: {model.name} takes images of {model.lr_size}×{model.lr_size} pixels, not "
            f"{width}×{height}"
        )
    if model.photon_noise is None or ranges is not None or is_pair(how):
        return stack
    assumed = (
        f"the model assumes {model.photon_noise.photons:g} photons between the two values that "
        f"become its 0 and 1: name those of your camera with --values LOW,HIGH"
    )
    return replace(stack, notes=[*stack.notes, assumed])


def read_arrays(
    channels: int,
    path: Path,
    limits: Limits,
    how: str = AUTO,
    ranges: list[ValueRange] | None = None,
    missing: Missing = "filled",
) -> Stack:
    """As `read_stack`, of any size.

    Args:
        channels: How many the model takes.
        path: The file.
        limits: What it may hold.
        how: As for `read_stack`.
        ranges: As for `read_stack`.
        missing: What becomes of missing values: `filled` from their neighbours before the model
            sees them, and put back; not seen by it, and put back (`unseen`); or `drawn`. What is
            not seen is so in all channels of an image: those that miss different pixels are images
            of their own.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    form = format_of(path)
    if form is None:
        why = "holds no array in a known format" if path.exists() else "does not exist"
        raise InputError(f"{path} {why}")
    array = form.read(path, limits)
    together = array.values.shape[1] == channels
    alike = missing == "filled" or bool((array.missing == array.missing[:, :1]).all())
    apart, together = together and not alike, together and alike
    stack = Stack(path, form, array, together, ranges or [], channels, array.notes)
    whole = array.values.dtype.kind != "f"
    if any((one.levels is not None) != whole for one in stack.ranges):
        raise InputError(f"{path} holds numbers of another kind than its result")
    if len(stack.ranges) != len(stack.groups):
        if ranges:
            raise InputError(f"{path} has another number of channels than its result")
        with naming(path):
            chosen = [_range_of(array, group, how) for group in stack.groups]
        notes = [*array.notes, *_mapping(array, stack.groups, chosen, how)]
        notes += ["its channels miss different pixels: each is drawn by itself"] * apart
        notes += of_missing(stack, drawn=missing == "drawn")
        stack = Stack(path, form, array, together, chosen, channels, notes)
    return stack


def of_missing(stack: Stack, drawn: bool = False) -> Iterator[str]:
    """What becomes of missing values, where there are any."""
    count, empty = int(stack.array.missing.sum()), 0
    for plane in stack.planes() if drawn else ():
        gone = stack.array.missing[plane.page, stack.groups[plane.group]]
        if gone.all():
            empty, count = empty + 1, count - gone.size
    if count:
        yield f"{count} missing values {'are drawn' if drawn else 'stay missing'}"
    if empty:
        yield f"{empty} planes hold no value at all, and stay so"


def _range_of(array: Array, group: slice, how: str) -> ValueRange:
    """Of some channels; what stands for no data is no value of a sample."""
    found = choose_range(_known(array, group), how)
    for channel in range(array.values.shape[1])[group]:
        none = array.nodata_of(channel)
        found = found if none is None else found.without(none)
    return found


def _known(array: Array, group: slice) -> np.ndarray:
    """Values of some channels that are not missing."""
    known: np.ndarray = array.values[:, group][~array.missing[:, group]]
    if not known.size:
        raise InputError("a channel holds no value: every pixel is NaN or marked as no data")
    return known


def _mapping(
    array: Array, groups: list[slice], ranges: list[ValueRange], how: str
) -> Iterator[str]:
    """Said aloud: what becomes of the values, unless it is what everybody expects."""
    listed = ", ".join(sorted({one.ends for one in ranges})[:4])
    more = " …" if len({(one.low, one.high) for one in ranges}) > 4 else ""
    if how != AUTO or array.values.dtype != np.uint8:
        advice = " (--values chooses another range)" if how == AUTO else ""
        yield f"values from {listed}{more} are the model's 0 to 1{advice}"
    if array.values.dtype.kind in "iu":
        kind = np.iinfo(array.values.dtype)
        if any(one.low < kind.min or one.high > kind.max for one in ranges):
            yield (
                f"samples are cut to what {kind.dtype} holds, {kind.min} to {kind.max}, and may "
                f"then not give the input back"
            )
    known = [_known(array, group) for group in groups]
    if array.values.dtype.kind == "f" and any(
        max(-float(values.min()), float(values.max())) >= NEAR_THE_END for values in known
    ):
        yield (
            "some values are about 3.4e38 or beyond, which often stands for no data: if it does "
            "here, mark it as NaN, or by the file's tag of no data"
        )
    cut = sum(one.outside(values) for values, one in zip(known, ranges, strict=True))
    if cut:
        of = sum(values.size for values in known)
        yield f"{cut} of {of} values lie outside and were cut to that range"


def avoid(saved: np.ndarray, nodata: list[float | None]) -> None:
    """A value that was made is not what stands for no data: it moves to the one above, or from
    the last one to the one below."""
    for channel, none in zip(saved, nodata, strict=True):
        if none is not None and (made := equal_to(channel, none)).any():
            kind = channel.dtype.type
            if channel.dtype.kind in "iu":
                channel[made] = none + 1 if none < np.iinfo(kind).max else none - 1
            else:
                up = none < np.finfo(kind).max
                channel[made] = np.nextafter(kind(none), kind(np.inf if up else -np.inf))


def _filled(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Values ``(C, h, w)`` with those of the nearest neighbours in their holes."""
    if not missing.any():
        return values
    from scipy.ndimage import distance_transform_edt

    filled = values.copy()
    for channel, holes in zip(filled, missing, strict=True):
        if holes.all():
            channel[...] = 0
        elif holes.any():
            nearest = distance_transform_edt(holes, return_distances=False, return_indices=True)
            channel[...] = channel[tuple(nearest)]
    return filled
