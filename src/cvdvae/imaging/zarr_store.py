"""Zarr: chunked arrays in a folder, alone or as an OME-NGFF image."""

import base64
import struct
import warnings
from importlib.util import find_spec
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_folder_atomically
from .arrays import (
    MAX_AXES,
    Array,
    Layout,
    Limits,
    array_of,
    check_block,
    check_layout,
    guessed_axes,
)
from .values import WHOLE

warnings.filterwarnings("ignore", module=r"zarr\..*")  # what others cannot read yet, and the like

MARKS = ("zarr.json", ".zarray", ".zgroup")
NAMES = {
    "Y": {"y", "lat", "latitude", "row", "rows", "northing"},
    "X": {"x", "lon", "longitude", "column", "columns", "easting"},
    "C": {"c", "channel", "channels", "band", "bands"},
    "S": {"s", "rgb"},
    "Z": {"z", "depth", "level"},
    "T": {"t", "time", "date"},
}
MARKED = ("_FillValue", "missing_value")
"""Attributes that say what stands for no data."""
UNSIGNED, PACKED = "_Unsigned", (*MARKED, "valid_min", "valid_max", "valid_range")
"""CF's attribute of whole numbers not stored as meant, and those that name some of them."""
PLANE = 512
"""Side of the chunks that are written, in pixels."""


class Carried(NamedTuple):
    """What a store carries: its attributes, the names of its axes, and its version of the format.

    Attributes:
        attributes: Of the array.
        names: Of its axes.
        version: 2 or 3.
        image: Attributes of the group around it, where that is an OME-NGFF image; else None.
        place: Name of the array in the group.
        fill: What its chunks that are not there hold; in version 2 None where it does not say.
        separator: What stands between the numbers in the names of its chunks.
    """

    attributes: dict[str, Any]
    names: list[str] | None
    version: int
    image: dict[str, Any] | None
    place: str
    fill: Any
    separator: str


class Zarr:
    """A folder with an array, or with one image of several resolutions: the first is read."""

    suffixes: tuple[str, ...] = (".zarr",)

    def knows(self, path: Path) -> bool:
        """Whether a folder is a store."""
        if path.suffix.lower() in self.suffixes:
            return True
        return path.is_dir() and any((path / mark).is_file() for mark in MARKS)

    def read(self, path: Path, limits: Limits) -> Array:
        """Read it.

        Raises:
            InputError: It is damaged, zarr is missing, or it holds what cannot be drawn.
        """
        if find_spec("zarr") is None:
            raise InputError(f"{path} needs zarr: pip install 'cvdvae[zarr]'")
        if not path.is_dir():
            raise InputError(
                f"{path} does not exist" if not path.exists() else f"{path} is no Zarr"
            )
        try:
            found, carried = _open(path)
        except InputError:
            raise
        except PermissionError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        except Exception as error:  # zarr raises errors of many kinds on damaged stores
            raise InputError(f"{path} is no Zarr store, or damaged ({error})") from None
        if not 2 <= found.ndim <= MAX_AXES:
            raise InputError(
                f"{path} is an array of {found.ndim} axes: an image has 2 to {MAX_AXES}, the last "
                f"two its height and width"
            )
        layout = Layout(_axes_of(found.shape, carried.names), found.shape)
        check_layout(path, layout, found.dtype, limits)
        for block in filter(None, (found.chunks, getattr(found, "shards", None))):
            check_block(path, block, found.size, limits)
        try:
            values = np.asarray(found[...])
        except Exception as error:
            raise InputError(f"{path} is damaged ({error})") from None
        values, carried = _as_meant(values, carried)
        values, nodata, carried = _with_one_mark(path, values, carried)
        return array_of(path, values, layout, [nodata], carried)

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write planes of any size, ``(pages, channels, H, W)``, laid out as an array's store.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        write_folder_atomically(path, lambda p: _write(p, planes, array, scale))


def _open(path: Path) -> tuple[Any, Carried]:
    """The array of a store, and what it carries."""
    import zarr

    # As a store: of a text, zarr takes some names for addresses.
    found: Any = zarr.open(zarr.storage.LocalStore(path, read_only=True), mode="r")
    image: dict[str, Any] | None = None
    place = ""
    if isinstance(found, zarr.Group):
        image = dict(found.attrs)
        multiscales = image.get("ome", image).get("multiscales")
        if multiscales:
            place = multiscales[0]["datasets"][0]["path"]
        else:
            arrays = sorted(name for name, _ in found.arrays())
            if len(arrays) != 1:
                listed = ", ".join(arrays[:8]) or "none"
                raise InputError(
                    f"{path} holds {len(arrays)} arrays ({listed}): name the folder of one"
                )
            image, place = None, arrays[0]
        found = found[place]
    attributes: dict[str, Any] = dict(found.attrs)
    names: Any = getattr(found.metadata, "dimension_names", None) or attributes.get(
        "_ARRAY_DIMENSIONS"
    )
    if image is not None:
        axes = image.get("ome", image)["multiscales"][0].get("axes")
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes or []] or names
    known = [str(name) for name in names] if names and all(names) else None
    version, fill = found.metadata.zarr_format, found.metadata.fill_value
    if image is not None:
        _check_steps(path, image)
    separator = "/" if image is not None else _separator(found.metadata)
    return found, Carried(attributes, known, version, image, place, fill, separator)


def _check_steps(path: Path, image: dict[str, Any]) -> None:
    """Refuse an OME-NGFF image whose sizes and places of pixels are no numbers."""
    for step in image.get("ome", image)["multiscales"][0]["datasets"][0].get(
        "coordinateTransformations", []
    ):
        for numbers in (step.get("scale") or [], step.get("translation") or []):
            if not all(type(one) in (int, float) and isfinite(one) for one in numbers):
                raise InputError(f"{path}: its coordinateTransformations are no numbers")


def _separator(metadata: Any) -> str:
    """What stands between the numbers in the names of chunks."""
    if metadata.zarr_format == 2:
        return str(metadata.dimension_separator)
    return str(getattr(metadata.chunk_key_encoding, "separator", "/"))


def _as_meant(values: np.ndarray, carried: Carried) -> tuple[np.ndarray, Carried]:
    """Whole numbers that were stored with a sign, or without one, for want of others, as CF's
    `_Unsigned` says, and what names some of them (numbers or lists), as what they are."""
    meant = {"true": "u", "false": "i"}.get(str(carried.attributes.get(UNSIGNED)).lower())
    if meant is None or values.dtype.kind not in "iu" or values.dtype.kind == meant:
        return values, carried
    span = 2 ** (8 * values.dtype.itemsize)
    least = -span // 2 if meant == "i" else 0

    def as_meant(mark: Any) -> Any:
        if isinstance(mark, list):
            return [as_meant(one) for one in mark]
        stored = isinstance(mark, (int, float)) and -span // 2 <= mark < span
        return (mark - least) % span + least if stored else mark

    kept = {k: as_meant(v) if k in PACKED else v for k, v in carried.attributes.items()}
    del kept[UNSIGNED]
    fill = None if carried.fill is None else as_meant(int(carried.fill))
    other = values.view(values.dtype.str.replace(values.dtype.kind, meant))
    return other, carried._replace(attributes=kept, fill=fill)


def _with_one_mark(
    path: Path, values: np.ndarray, carried: Carried
) -> tuple[np.ndarray, float | None, Carried]:
    """Values with one number for no data, which number, and what is carried without the others."""
    attributes = carried.attributes
    marks = {name: attributes.get(name) for name in MARKED}
    if carried.version == 2 and "_ARRAY_DIMENSIONS" in attributes:  # there xarray keeps its own
        marks = {"": carried.fill, **marks}
    every = [mark for several in marks.values() for mark in _each(several)]
    if any(_is_far(mark, values.dtype) for mark in every):
        raise InputError(
            f"{path}: its number for no data is too large to be handed on: save its values as "
            f"float, or with another"
        )
    known = [_number(mark, values.dtype) for mark in every]
    numbers = [number for number in known if number is not None]
    if not numbers:
        return values, None, carried
    first = numbers[0]
    for other in numbers[1:]:
        values = np.where(values == other, values.dtype.type(first), values)
    kept = dict(attributes)
    for name in kept.keys() & marks.keys():
        several = _each(kept[name])
        left = [mark for mark in several if _number(mark, values.dtype) in (None, first)]
        if isinstance(kept[name], list):
            kept[name] = left
        if several and not left:
            del kept[name]
    return values, first, carried._replace(attributes=kept)


def _each(mark: Any) -> list[Any]:
    """Marks, of which an attribute may list several."""
    return mark if isinstance(mark, list) else [mark]


def _number(mark: Any, dtype: np.dtype) -> float | None:
    """A mark, where it is a number that such values can be: of floats, xarray writes the bytes."""
    try:
        if isinstance(mark, str):
            (mark,) = struct.unpack("<d", base64.b64decode(mark))
        number = float(mark)
    except (TypeError, ValueError, OverflowError, struct.error):
        return None
    if dtype.kind == "f":
        return number if isfinite(number) else None
    kind = np.iinfo(dtype)
    return number if number.is_integer() and kind.min <= number <= kind.max else None


def _is_far(mark: Any, dtype: np.dtype) -> bool:
    """Whether a mark is one of such whole numbers, but not of those that a float tells apart."""
    if dtype.kind not in "iu" or isinstance(mark, (bool, str)) or not isinstance(mark, int):
        return False
    kind = np.iinfo(dtype)
    return abs(mark) > WHOLE and kind.min <= mark <= kind.max


def _axes_of(shape: tuple[int, ...], names: list[str] | None) -> str:
    """Letters of the axes, by their names where Y and X are among them."""
    if names is None or len(names) != len(shape):
        return guessed_axes(shape)
    told = [next((a for a, known in NAMES.items() if name.lower() in known), "") for name in names]
    others = (letter for letter in "QUVTZ" if letter not in told)
    letters = [
        next(others) if letter in ("", *set("TZ").intersection(told[:i])) else letter
        for i, letter in enumerate(told)
    ]
    if letters.count("Y") != 1 or letters.count("X") != 1 or len(set(letters)) != len(letters):
        return guessed_axes(shape)
    return "".join(letters)


def _write(path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
    import zarr

    carried: Carried = array.carried
    laid_out = array.layout.from_planes(planes)
    lengths = {"Y": PLANE, "X": PLANE, array.layout.channel: array.layout.channels}
    chunks = tuple(
        min(n, lengths.get(axis, 1))
        for axis, n in zip(array.layout.axes, laid_out.shape, strict=True)
    )
    fill = carried.fill if planes.dtype == array.values.dtype else np.nan
    named = {"name": "v2" if carried.version == 2 else "default", "separator": carried.separator}
    options: dict[str, Any] = {"zarr_format": carried.version}
    create: Any = zarr.create_array
    store = zarr.storage.LocalStore(path)
    if carried.image is None:
        options["store"] = store
    else:
        group = zarr.open_group(store, mode="w", **options)
        group.attrs.update(_finer(carried.image, array.layout.axes, scale))
        create, options["name"] = group.create_array, carried.place
        del options["zarr_format"]
    if carried.version == 3 and carried.names:
        options["dimension_names"] = carried.names
    made = create(
        shape=laid_out.shape,
        dtype=laid_out.dtype,
        chunks=chunks,
        fill_value=fill,
        chunk_key_encoding=named,
        **options,
    )
    attributes = _of_kind(carried.attributes, planes.dtype, array.values.dtype)
    if array.distances:
        attributes = {k: v for k, v in attributes.items() if k != "add_offset"}
    made.attrs.update(attributes)
    starts = [range(0, n, c) for n, c in zip(laid_out.shape, chunks, strict=True)]
    for corner in product(*starts):
        part = tuple(slice(first, first + c) for first, c in zip(corner, chunks, strict=True))
        made[part] = np.ascontiguousarray(laid_out[part])


def _of_kind(attributes: dict[str, Any], dtype: np.dtype, before: np.dtype) -> dict[str, Any]:
    """Attributes without what stands for no data, where numbers of another kind have NaN for it."""
    if dtype == before:
        return attributes
    return {k: v for k, v in attributes.items() if k not in MARKED}


def _finer(image: dict[str, Any], axes: str, scale: float) -> dict[str, Any]:
    """Attributes of an OME-NGFF image of one resolution, whose pixels are smaller by `scale`."""
    ome = image.get("ome", image)
    multiscale = dict(ome["multiscales"][0])
    first = dict(multiscale["datasets"][0])
    first["coordinateTransformations"] = _finer_steps(
        first.get("coordinateTransformations", []),
        [scale if axis in "YX" else 1 for axis in axes],
    )
    multiscale["datasets"] = [first]
    changed = {**ome, "multiscales": [multiscale]}
    return {**image, "ome": changed} if "ome" in image else changed


def _finer_steps(steps: list[dict[str, Any]], factors: list[float]) -> list[dict[str, Any]]:
    """The scale, and the place of the first pixel's centre, which moves towards the edge."""
    of = {step.get("type"): step.get(str(step.get("type"))) for step in steps}
    sizes = of.get("scale") or [1.0] * len(factors)
    places = of.get("translation") or [0.0] * len(factors)
    if not len(sizes) == len(places) == len(factors):
        return steps
    finer = [size / f for size, f in zip(sizes, factors, strict=True)]
    moved = [p - (s - t) / 2 for p, s, t in zip(places, sizes, finer, strict=True)]
    return [{"type": "scale", "scale": finer}, {"type": "translation", "translation": moved}]
