"""GeoTIFF by rasterio: bands, and where on the Earth they lie."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from .arrays import Array, Layout, Limits, array_of, check_layout
from .tiff import TIFF, is_geo

TILE, LARGE, ROWS = 256, 2**22, 1024
"""Planes of more than `LARGE` pixels are written in tiles of this side, so many rows at a time."""
WITHOUT_LOSS = {"deflate", "lzw", "packbits", "zstd", "lzma"}
"""Compressions that keep every value of every kind; any other gives way to deflate."""


class Carried(NamedTuple):
    """What a GeoTIFF carries.

    Attributes:
        profile: How rasterio makes one: reference system, transform, no data, packing.
        tags: Of the file.
        bands: Of every band: its description, unit, scale, offset, tags, and what it shows.
        points: Ground control points with their reference system.
        mask: Where the file has a mask that says that there is nothing, bool, ``(h, w)``.
    """

    profile: dict[str, Any]
    tags: dict[str, str]
    bands: list[dict[str, Any]]
    points: tuple[list[Any], Any]
    mask: np.ndarray | None


class GeoTIFF:
    """`.tif` with a reference system or a transform, one page of bands."""

    suffixes: tuple[str, ...] = TIFF.suffixes

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        return path.suffix.lower() in self.suffixes and path.is_file() and is_geo(path)

    def read(self, path: Path, limits: Limits) -> Array:
        """Read it.

        Raises:
            InputError: It is damaged, rasterio is missing, or it holds what cannot be drawn.
        """
        if find_spec("rasterio") is None:
            raise InputError(
                f"{path} is a GeoTIFF, which needs rasterio: pip install 'cvdvae[geo]'"
            )
        import rasterio

        try:
            with rasterio.open(path, driver="GTiff") as source:
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
        write_atomically(path, lambda p: _write(p, planes, array, scale))


def _read(path: Path, source: Any, limits: Limits) -> Array:
    from rasterio.enums import ColorInterp

    if source.colorinterp[0] == ColorInterp.palette:
        raise InputError(f"{path} holds classes with a palette: there is nothing between classes")
    kinds = set(source.dtypes)
    if len(kinds) > 1:
        raise InputError(f"{path} holds bands of different kinds ({', '.join(sorted(kinds))})")
    if len(source.subdatasets) > 1:
        raise InputError(
            f"{path} holds {len(source.subdatasets)} pictures in directories of their own: save "
            f"the one you mean"
        )
    layout = Layout("CYX", (source.count, source.height, source.width))
    check_layout(path, layout, np.dtype(source.dtypes[0]), limits)
    profile = {
        key: source.profile[key]
        for key in ("crs", "transform", "nodata", "compress", "interleave")
        if source.profile.get(key) is not None
    }
    bands = [
        {
            "description": source.descriptions[i],
            "unit": source.units[i],
            "scale": source.scales[i],
            "offset": source.offsets[i],
            "tags": _lasting(source.tags(i + 1)),
            "shows": source.colorinterp[i],
        }
        for i in range(source.count)
    ]
    if profile.get("compress", "deflate") not in WITHOUT_LOSS:
        profile["compress"] = "deflate"
    white_is_0 = source.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    notes = ["its RPCs are not handed on"] if source.rpcs else []
    mask = _masked(path, source)
    if mask is not None:
        notes.append("what its mask leaves out counts as no data")
    carried = Carried(profile, _lasting(source.tags()), bands, source.gcps, mask)
    nodata = list(source.nodatavals)
    return array_of(path, source.read(), layout, nodata, carried, notes, white_is_0, mask)


def _lasting(tags: dict[str, str]) -> dict[str, str]:
    """Tags without what GDAL has measured in the values themselves, which will be others."""
    return {key: value for key, value in tags.items() if not key.startswith("STATISTICS_")}


def _masked(path: Path, source: Any) -> np.ndarray | None:
    """Where a mask of the file leaves pixels out; a number or a band may do so instead."""
    from rasterio.enums import MaskFlags

    if source.mask_flag_enums[0] != [MaskFlags.per_dataset]:
        return None
    if any(name.lower().endswith(".msk") for name in source.files):
        raise InputError(
            f"{path} has its mask in a file beside it: put it inside with gdal_translate --config "
            f"GDAL_TIFF_INTERNAL_MASK YES"
        )
    masked: np.ndarray = source.dataset_mask() == 0
    return masked


def _write(path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
    import rasterio
    from rasterio.windows import Window

    carried: Carried = array.carried
    bands, (_, count, height, width) = planes[0], planes.shape
    profile = {**carried.profile, "BIGTIFF": "IF_SAFER"}
    if "transform" in profile:
        a, b, c, d, e, f, *_ = profile["transform"]
        profile["transform"] = rasterio.Affine(a / scale, b / scale, c, d / scale, e / scale, f)
    if planes.dtype != array.values.dtype and "nodata" in profile:
        profile["nodata"] = float("nan")
    if height * width > LARGE:
        profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    if carried.bands[0]["shows"].name == "red" and count >= 3:
        profile["photometric"] = "RGB"
    elif array.white_is_0:
        profile["photometric"] = "MINISWHITE"
    points, crs = carried.points
    if points:
        profile.pop("transform", None)
        profile |= {"gcps": [_finer(point, scale) for point in points], "crs": crs}
    mask, times = carried.mask, max(1, round(scale))
    if mask is not None and scale < 1:
        mask = _shrunk(mask, round(1 / scale))
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=planes.dtype,
        **profile,
    ) as target:  # fmt: skip
        target.update_tags(**carried.tags)
        target.colorinterp = [band["shows"] for band in carried.bands]
        target.scales = [band["scale"] for band in carried.bands]
        target.offsets = [0.0 if array.distances else band["offset"] for band in carried.bands]
        target.units = [band["unit"] or "" for band in carried.bands]
        for i, band in enumerate(carried.bands, 1):
            if band["description"]:
                target.set_band_description(i, band["description"])
            target.update_tags(i, **band["tags"])
        for top in range(0, height, ROWS):
            rows = min(ROWS, height - top)
            window = Window(0, top, width, rows)
            target.write(bands[:, top : top + rows], window=window)
            if mask is not None:
                masked = mask[np.arange(top, top + rows) // times].repeat(times, 1)
                target.write_mask(~masked, window=window)


def _shrunk(mask: np.ndarray, by: int) -> np.ndarray:
    """A mask of what becomes of pixels of which one or more are masked."""
    height, width = (side // by for side in mask.shape)
    parts = mask[: height * by, : width * by].reshape(height, by, width, by)
    shrunk: np.ndarray = np.logical_or.reduce(parts, (1, 3))
    return shrunk


def _finer(point: Any, scale: float) -> Any:
    """A ground control point, whose row and column count from the edge."""
    from rasterio.control import GroundControlPoint

    return GroundControlPoint(
        row=point.row * scale, col=point.col * scale, x=point.x, y=point.y, z=point.z
    )
