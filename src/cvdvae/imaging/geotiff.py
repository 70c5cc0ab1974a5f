"""GeoTIFF by rasterio: bands, and where on the Earth they lie."""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from .arrays import Array, Layout, Limits, array_of, check_layout
from .geo_alpha import alpha_of, opaque_of
from .geo_beside import WORLD, is_placed_beside
from .geo_systems import ASIDE, crs_in, tried
from .geo_tags import lasting, with_resolution
from .opacity import at_scale, enlarged
from .tiff import LARGE, TIFF, TILE, is_geo
from .values import WHOLE

ROWS = 1024
"""How many are written at a time."""
WITHOUT_LOSS = {"deflate", "lzw", "packbits", "zstd", "lzma"}
"""Compressions that keep every value of every kind; any other gives way to deflate."""
BESIDE = re.compile(rf".*(?:\.aux\.xml|\.tab|{'|'.join(map(re.escape, WORLD))})", re.IGNORECASE)
"""Files beside one that say what it does not: no data, scale, unit, and where it lies."""
ICC = "SOURCE_ICC_PROFILE"


class Carried(NamedTuple):
    """What a GeoTIFF carries.

    Attributes:
        profile: How rasterio makes one: reference system, transform, no data, packing.
        tags: Of the file.
        bands: Of every band: its description, unit, scale, offset, tags, and what it shows.
        points: Ground control points with their reference system.
        opaque: How opaque every pixel is, ``(h, w)``, 0 where there is nothing; None where the file
            does not say.
        alpha: Which band says so, from 0; None where a mask does.
        becomes: The reference system that a file made of it has, if that was tried.
    """

    profile: dict[str, Any]
    tags: dict[str, str]
    bands: list[dict[str, Any]]
    points: tuple[list[Any], Any]
    opaque: np.ndarray | None
    alpha: int | None
    becomes: Any = None


class GeoTIFF:
    """`.tif` with a reference system or a transform, by itself or by a file beside it; one page of
    bands."""

    suffixes: tuple[str, ...] = TIFF.suffixes

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        if path.suffix.lower() not in self.suffixes or not path.is_file():
            return False
        return is_geo(path, find_spec("rasterio") is not None and is_placed_beside(path))

    def read(self, path: Path, limits: Limits) -> Array:
        """Read it.

        Raises:
            InputError: It is damaged, rasterio is missing or cannot be told its name, or it holds
                what cannot be drawn.
        """
        if find_spec("rasterio") is None:
            raise InputError(
                f"{path} is a GeoTIFF, which needs rasterio: pip install 'cvdvae[geo]'"
            )
        import rasterio

        _refuse_unnameable(path)
        try:
            with rasterio.open(path.absolute(), driver="GTiff") as source:  # and no address
                return _read(path, source, limits)
        except InputError:
            raise
        except Exception as error:  # rasterio raises errors of many kinds on damaged files
            raise InputError(f"{path} is damaged or truncated ({error})") from None

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write planes of any size, ``(1, bands, H, W)``, over the same part of the Earth.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        aside, moved = path.with_name(f"{path.name}{ASIDE}"), False
        older = aside.read_bytes() if aside.is_file() else None

        def write(temporary: Path) -> None:
            nonlocal moved
            beside = temporary.with_name(f"{temporary.name}{ASIDE}")
            try:
                _write(temporary, planes, array, scale)
                if beside.exists():
                    beside.replace(aside)
                    moved = True
            finally:
                beside.unlink(missing_ok=True)

        try:
            write_atomically(path, write)
        except BaseException:
            if moved:
                aside.unlink(missing_ok=True)
                if older is not None:
                    aside.write_bytes(older)
            raise
        if older is not None and not moved:
            aside.unlink(missing_ok=True)


def _refuse_unnameable(path: Path) -> None:
    """Refuse a file that GDAL cannot be told of: an open one would come without what lies beside
    it."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path} has a name, or lies in a folder with one, that is not valid UTF-8 and cannot "
            f"be handed to GDAL, which reads GeoTIFF: rename it"
        ) from None


def _read(path: Path, source: Any, limits: Limits) -> Array:
    from rasterio.enums import ColorInterp

    if source.colorinterp[0] == ColorInterp.palette:
        raise InputError(f"{path} holds classes with a palette: there is nothing between classes")
    if int(source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8)) < 8:
        raise InputError(
            f"{path} holds fewer than 8 bits a value: save them as 8 bits, and name their range, "
            f"as in --values 0,15"
        )
    kinds = set(source.dtypes)
    if len(kinds) > 1:
        raise InputError(f"{path} holds bands of different kinds ({', '.join(sorted(kinds))})")
    if len(source.subdatasets) > 1:
        raise InputError(
            f"{path} holds {len(source.subdatasets)} pictures in directories of their own: save "
            f"the one you mean"
        )
    alpha, of_alpha, told = alpha_of(path, source)
    drawn = [i for i in range(source.count) if i != alpha]
    layout = Layout("CYX", (len(drawn), source.height, source.width))
    kind = source.dtypes[0]  # NumPy has no complex_int16
    check_layout(path, layout, np.dtype("c8" if kind.startswith("complex") else kind), limits)
    none = source.nodatavals
    nodata = [none[i] for i in drawn]
    _refuse_far(path, np.dtype(kind), nodata)
    profile = {
        key: source.profile[key]
        for key in ("crs", "transform", "nodata", "compress", "interleave")
        if source.profile.get(key) is not None
    }
    bands = _bands(source, alpha)
    if profile.get("compress", "deflate") not in WITHOUT_LOSS:
        profile["compress"] = "deflate"
    white_is_0 = source.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    notes = ["its RPCs are not handed on"] if source.rpcs else []
    notes, profile = notes + told, profile | of_alpha
    if alpha is None and source.count in (2, 4):  # GDAL would call the last one alpha
        profile["ALPHA"] = "NO"
    opaque = opaque_of(path, source, alpha)
    if alpha is None and opaque is not None:
        notes.append("what its mask leaves out counts as no data")
    tags = lasting(source.tags())
    if source.gcps[0]:  # which rasterio counts from the edge: told otherwise, GDAL would move them
        tags.pop("AREA_OR_POINT", None)
    if colours := source.tags(ns="COLOR_PROFILE").get(ICC):
        profile[ICC] = colours
    carried = Carried(profile, tags, bands, source.gcps, opaque, alpha)
    values = source.read([i + 1 for i in drawn])
    gone = None if opaque is None else opaque == 0
    array = array_of(path, values, layout, nodata, carried, notes, white_is_0, gone)
    beside = [Path(name) for name in source.files[1:] if BESIDE.fullmatch(name)]
    return _with_what_stands_aside(replace(array, beside=tuple(beside)))


def _bands(source: Any, alpha: int | None) -> list[dict[str, Any]]:
    """As in `Carried`. What is told of all bands is asked for once: each time it is gathered
    anew."""
    told = source.descriptions, source.units, source.scales, source.offsets, source.colorinterp
    return [
        {
            "description": description,
            "unit": unit,
            "scale": scale,
            "offset": offset,
            "tags": lasting(source.tags(i + 1)),
            "shows": _shown(shows, i == alpha),
        }
        for i, (description, unit, scale, offset, shows) in enumerate(zip(*told, strict=True))
    ]


def _shown(told: Any, is_alpha: bool) -> Any:
    """What a band shows: alpha only where it is taken for that."""
    from rasterio.enums import ColorInterp

    return ColorInterp.undefined if told == ColorInterp.alpha and not is_alpha else told


def _refuse_far(path: Path, dtype: np.dtype, nodata: list[float | None]) -> None:
    """Refuse a whole number for no data that cannot be handed on."""
    for none in nodata:
        # rasterio tells no data as a float.
        if dtype.kind in "iu" and none is not None and abs(none) > WHOLE:
            raise InputError(
                f"{path}: its number for no data is {none:g}, which is too large to be handed on: "
                f"save its values as float, or with another"
            )


def _with_what_stands_aside(array: Array) -> Array:
    """An array with what GDAL puts beside a file like its own: some reference systems fit in no
    GeoTIFF."""
    from rasterio.errors import CRSError, RasterioError

    carried: Carried = array.carried
    crs = carried.points[1] if carried.points[0] else carried.profile.get("crs")
    if not crs:
        return array
    try:
        becomes, aside = tried(crs, bool(carried.points[0]))
    except (OSError, RasterioError, CRSError):  # whoever writes the whole says so
        return array
    other = "its reference system is handed on as far as a GeoTIFF can hold it"
    notes = [*array.notes, *([other] if becomes != crs else [])]
    return replace(array, carried=carried._replace(becomes=becomes), aside=aside, notes=notes)


def _write(path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
    import rasterio

    carried: Carried = array.carried
    (height, width), path = planes.shape[2:], path.absolute()
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=len(carried.bands),
        dtype=planes.dtype, **_profile(planes, array, scale),
    ) as target:  # fmt: skip
        target.update_tags(**with_resolution(carried.tags, scale))
        target.colorinterp = [band["shows"] for band in carried.bands]
        target.scales = [band["scale"] for band in carried.bands]
        target.offsets = [0.0 if array.distances else band["offset"] for band in carried.bands]
        target.units = [band["unit"] or "" for band in carried.bands]
        for i, band in enumerate(carried.bands, 1):
            if band["description"]:
                target.set_band_description(i, band["description"])
            target.update_tags(i, **band["tags"])
        for window, bands, mask in _parts(planes[0], carried, scale):
            target.write(bands, window=window)
            if mask is not None:
                target.write_mask(mask, window=window)
    _check(path, _parts(planes[0], carried, scale), carried)


def _profile(planes: np.ndarray, array: Array, scale: float) -> dict[str, Any]:
    """How rasterio makes a file of planes that are larger by `scale`."""
    import rasterio

    carried: Carried = array.carried
    height, width = planes.shape[2:]
    profile = {**carried.profile, "BIGTIFF": "IF_SAFER"}
    if "transform" in profile:
        a, b, c, d, e, f, *_ = profile["transform"]
        profile["transform"] = rasterio.Affine(a / scale, b / scale, c, d / scale, e / scale, f)
    if planes.dtype != array.values.dtype and "nodata" in profile:
        profile["nodata"] = float("nan")
    if height * width > LARGE:
        profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    if [band["shows"].name for band in carried.bands[:3]] == ["red", "green", "blue"]:
        profile["photometric"] = "RGB"
    elif array.white_is_0:
        profile["photometric"] = "MINISWHITE"
    points, crs = carried.points
    if points:
        profile.pop("transform", None)
        known = rasterio.crs.CRS() if crs is None else crs
        profile |= {"gcps": [_finer(point, scale) for point in points], "crs": known}
    return profile


def _parts(
    bands: np.ndarray, carried: Carried, scale: float
) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
    """Windows of a file, what all its bands hold there, and its mask if it has one."""
    from rasterio.windows import Window

    height, width = bands.shape[1:]
    opaque = None if carried.opaque is None else at_scale(carried.opaque, scale)
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        part, mask = bands[:, rows], None
        if opaque is not None:
            mask = enlarged(opaque, scale, rows)
            if carried.alpha is not None:
                part, mask = np.insert(part, carried.alpha, mask, 0), None
        yield Window(0, top, width, rows.stop - top), part, mask


def _check(
    path: Path, parts: Iterator[tuple[Any, np.ndarray, np.ndarray | None]], carried: Carried
) -> None:
    """See that a file holds what was written: what GDAL writes as it closes one may fail unsaid.

    Raises:
        OSError: It does not.
    """
    import rasterio

    try:
        if carried.becomes not in (None, crs_in(path)):
            raise OSError("it has another reference system")
        with rasterio.open(path, driver="GTiff") as found:
            for window, bands, mask in parts:
                whole = np.array_equal(found.read(window=window), bands, bands.dtype.kind == "f")
                if mask is not None:
                    whole &= np.array_equal(found.read_masks(1, window=window) == 0, mask == 0)
                if not whole:
                    raise OSError("other values are read from it")
    except Exception as error:  # rasterio raises errors of many kinds on damaged files
        raise OSError("it is not whole afterwards, as where a disk is full") from error


def _finer(point: Any, scale: float) -> Any:
    """A ground control point, whose row and column count from the edge."""
    from rasterio.control import GroundControlPoint

    return GroundControlPoint(
        row=point.row * scale, col=point.col * scale, x=point.x, y=point.y, z=point.z
    )
