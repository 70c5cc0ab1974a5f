"""TIFF by tifffile: plain, ImageJ's, OME's; one page or many."""

import json
import logging
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from .arrays import Array, Layout, Limits, array_of, check_layout
from .ome import finer, sizes_and_names

WHITE_IS_0, GREY, RGB = 0, (0, 1), 2
"""Photometric interpretations of values that are intensities."""
CLEAR = (1, 2)
"""Extra samples that say how opaque a pixel is."""
ORIENTATION, RESOLUTION, UNIT, ICC, NODATA = 274, (282, 283), 296, 34675, 42113
TEXTS = (271, 272, 315, 33432)
"""Make, model, artist, copyright."""
GEO = (33550, 33922, 34264, 34735)
"""Where on the Earth: such files are `geotiff`'s."""
RAW, UNPACKED = 1, {1, 8, 32773, 32946}
"""No compression, and those that need no imagecodecs."""
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True),
         8: (1, False)}  # fmt: skip
"""Orientations: mirrored from left to right first, then so many quarters of a turn to the left."""
TILE, LARGE = 256, 2**22
"""Side of the tiles of planes of more than `LARGE` pixels."""
BIG = 2**32 - 2**25
IMAGEJ = ("spacing", "unit", "finterval", "fps", "loop", "mode", "Labels", "Info", "LUTs")


class Carried(NamedTuple):
    """What a TIFF carries.

    Attributes:
        kind: ``ome``, ``imagej``, ``shaped`` (tifffile's own) or ``plain``.
        metadata: What tifffile writes as this kind's description.
        description: Text of a plain one.
        resolution: Pixels a unit, across and down, and the unit; None where it does not say.
        profile: ICC profile.
        texts: Tags of text, by number.
        nodata: What stands for no data, as the file writes it.
        colours: Whether three samples of a pixel are red, green and blue.
        planar: Whether samples lie apart, one after the other.
        extra: What the samples beyond the colours are.
        deflate: Whether it was packed.
    """

    kind: str
    metadata: dict[str, Any]
    description: str | None
    resolution: tuple[float, float, int] | None
    profile: bytes | None
    texts: dict[int, str]
    nodata: str | None
    colours: bool
    planar: bool
    extra: tuple[int, ...]
    deflate: bool


class TIFF:
    """`.tif`: what holds intensities. Palettes, CMYK and alpha in 8 bits are pictures' matter."""

    suffixes: tuple[str, ...] = (".tif", ".tiff")

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        if path.suffix.lower() not in self.suffixes or not path.is_file():
            return False
        try:
            with _opened(path) as file:
                return _is_array(file)
        except Exception:  # it is no TIFF, or damaged: whoever reads it says so
            with path.open("rb") as stream:
                return stream.read(2) in (b"II", b"MM")

    def read(self, path: Path, limits: Limits) -> Array:
        """Read it.

        Raises:
            InputError: It is damaged, or holds what cannot be drawn.
        """
        try:
            with _opened(path) as file:
                return _read(path, file, limits)
        except InputError:
            raise
        except Exception as error:  # tifffile raises errors of many kinds on damaged files
            raise InputError(f"{path} is damaged or truncated ({error})") from None

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write planes of any size, ``(pages, channels, H, W)``, laid out as an array's file.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        write_atomically(path, lambda p: _write(p, planes, array, scale))


def _opened(path: Path) -> Any:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it notes, is said in a sentence
    return tifffile.TiffFile(path)


def is_geo(path: Path) -> bool:
    """Whether a TIFF says where on the Earth it lies."""
    try:
        with _opened(path) as file:
            return any(code in file.pages[0].tags for code in GEO)
    except Exception:  # it is no TIFF, or damaged: whoever reads it says so
        return False


def _is_array(file: Any) -> bool:
    """Whether its values are intensities, rather than a picture in other colours."""
    page = file.pages[0]
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    if page.photometric not in (*GREY, RGB) or bits < 8:
        return False
    if bits > 8 or len(file.pages) > 1:
        return True
    packed = int(page.compression) not in UNPACKED and not _has_codecs()
    clear = any(int(kind) in CLEAR for kind in page.extrasamples)
    return not packed and not clear and page.photometric != WHITE_IS_0


def _has_codecs() -> bool:
    from importlib.util import find_spec

    return find_spec("imagecodecs") is not None


def _read(path: Path, file: Any, limits: Limits) -> Array:
    series, notes = file.series[0], list[str]()
    others = [one for one in file.series[1:] if not one.keyframe.is_reduced]
    if others:
        raise InputError(
            f"{path} holds {len(file.series)} pictures of different sizes: save the one you mean"
        )
    page = series.keyframe
    if int(page.compression) not in UNPACKED and not _has_codecs():
        raise InputError(
            f"{path} is packed by {page.compression.name}, which needs imagecodecs: "
            f"pip install 'cvdvae[tiff]'"
        )
    layout = Layout(_axes(series.axes), series.shape)
    check_layout(path, layout, series.dtype, limits)
    _refuse_partial(path, series)
    values = series.asarray()
    turn = page.tags.get(ORIENTATION)
    quarters, mirrored = TURNS.get(int(turn.value), (0, False)) if turn else (0, False)
    if quarters or mirrored:
        values, layout = _upright(values, layout, quarters, mirrored)
        notes.append("it was turned upright, as its orientation says")
    nodata = _number(page.tags.get(NODATA))
    carried = _carried(file, page, layout, quarters % 2 == 1)
    white_is_0 = int(page.photometric) == WHITE_IS_0
    return array_of(path, values, layout, [nodata], carried, notes, white_is_0)


def _axes(axes: str) -> str:
    """Letters of tifffile, each once; those that it does not know count pages."""
    spare, result = iter("QTZUV"), ""
    for axis in axes:
        known = axis in "YXSC" or (axis.isalpha() and axis not in result)
        result += axis if known and axis not in result else next(s for s in spare if s not in axes)
    return result


def _refuse_partial(path: Path, series: Any) -> None:
    """Refuse planes that are not there, and those in other files, of which no copy is kept."""
    pages = [page for page in series.pages if page is not None]
    if lost := len(series.pages) - len(pages):
        raise InputError(f"{lost} of {len(series.pages)} planes of {path} lie in files not here")
    files = {Path(page.parent.filehandle.path) for page in pages}
    if others := sorted(one.name for one in files if not one.samefile(path)):
        raise InputError(f"planes of {path} lie in {others[0]}: save all of them as one file")
    size = path.stat().st_size
    for page in pages:
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if start + length > size:
                raise InputError(
                    f"{path} is truncated: it has {size} bytes, and its pixels go on to byte "
                    f"{start + length}"
                )


def _upright(
    values: np.ndarray, layout: Layout, quarters: int, mirrored: bool
) -> tuple[np.ndarray, Layout]:
    down, across = layout.axes.index("Y"), layout.axes.index("X")
    if mirrored:
        values = np.flip(values, across)
    values = np.rot90(values, quarters, (down, across))
    return values, layout.turned() if quarters % 2 else layout


def _number(tag: Any) -> float | None:
    try:
        return float(str(tag.value).strip("\0 "))
    except (AttributeError, ValueError):
        return None


def _carried(file: Any, page: Any, layout: Layout, turned: bool) -> Carried:
    kind, metadata, description = _described(file, page)
    if kind != "plain":
        metadata["axes"] = layout.axes
    tags = page.tags
    resolution = None
    if all(code in tags for code in RESOLUTION):
        across, down = (tags[code].value for code in RESOLUTION)
        if across[1] and down[1]:
            rates = across[0] / across[1], down[0] / down[1]
            unit = int(tags[UNIT].value) if UNIT in tags else 2
            resolution = (*(rates[::-1] if turned else rates), unit)
    profile = tags.get(ICC)
    nodata = tags.get(NODATA)
    return Carried(
        kind,
        metadata,
        description,
        resolution,
        profile.value if profile else None,
        {code: str(tags[code].value) for code in TEXTS if code in tags},
        str(nodata.value).strip("\0 ") if nodata else None,
        page.photometric == RGB and "S" in layout.axes,
        "S" in layout.axes and layout.axes.index("S") < layout.axes.index("Y"),
        tuple(int(kind) for kind in page.extrasamples),
        int(page.compression) != RAW,
    )


def _described(file: Any, page: Any) -> tuple[str, dict[str, Any], str | None]:
    """Kind of the file, what it says as such, and its own text."""
    if file.is_ome:
        return "ome", sizes_and_names(file.ome_metadata), None
    if file.is_imagej:
        found = file.imagej_metadata or {}
        known = {key: found[key] for key in IMAGEJ if key in found}
        if "unit" in known:  # of which ImageJ writes µ as \u00B5
            unit = str(known["unit"])
            known["unit"] = "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in unit)
        return "imagej", known, None
    text = page.description or None
    if file.is_shaped:
        try:
            found = json.loads(text or "{}")
        except ValueError:
            found = {}
        return "shaped", {k: v for k, v in found.items() if k not in ("shape", "truncated")}, None
    return "plain", {}, text if text is None or text.isascii() else None


def _suits_imagej(carried: Carried, dtype: np.dtype) -> bool:
    """Whether ImageJ has such axes, in their order, and such numbers: colours are bytes."""
    axes = carried.metadata["axes"]
    ordered = [axis for axis in "TZCYXS" if axis in axes] == list(axes)
    kinds = ("uint8",) if "S" in axes else ("uint8", "uint16", "float32")
    return ordered and dtype in kinds and carried.colours == ("S" in axes)


def _write(path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
    import tifffile

    carried: Carried = array.carried
    laid_out = array.layout.from_planes(planes)
    same = planes.dtype == array.values.dtype
    options: dict[str, Any] = {"metadata": None, "description": carried.description}
    imagej = carried.kind == "imagej" and _suits_imagej(carried, planes.dtype)
    if carried.kind != "plain":
        options = {"metadata": finer(carried.metadata, scale)}
        if not imagej:
            options["metadata"].pop("LUTs", None)  # which are ImageJ's alone
    if carried.resolution is not None:
        across, down, unit = carried.resolution
        options |= {"resolution": (across * scale, down * scale), "resolutionunit": unit}
    grey = "miniswhite" if array.white_is_0 else "minisblack"
    options["photometric"] = "rgb" if carried.colours else grey
    if "S" in array.layout.axes:
        options["planarconfig"] = "separate" if carried.planar else "contig"
        if carried.extra:
            options["extrasamples"] = carried.extra
    nodata = carried.nodata if same or carried.nodata is None else "nan"
    texts = carried.texts if nodata is None else {**carried.texts, NODATA: nodata}
    # As bytes: of text, tifffile takes ASCII alone.
    tags = [(code, 2, 0, text.encode(), True) for code, text in texts.items()]
    options |= {"iccprofile": carried.profile, "extratags": tags}
    if carried.deflate and not imagej:
        options["compression"] = "zlib"
    height, width = planes.shape[2:]
    data: Any = laid_out
    if height * width > LARGE and not imagej:
        options["tile"] = (TILE, TILE)
        contiguous = array.layout.axes.endswith("YXS")
        if contiguous:
            options |= {"shape": laid_out.shape, "dtype": laid_out.dtype}
            data = _tiles(laid_out)
    with tifffile.TiffWriter(
        path,
        bigtiff=planes.nbytes > BIG and not imagej,
        imagej=imagej,
        ome=carried.kind == "ome",
        shaped=carried.kind == "shaped" or (carried.kind == "imagej" and not imagej),
    ) as writer:
        writer.write(data, **options)


def _tiles(values: np.ndarray) -> Iterator[np.ndarray]:
    """Tiles of pages ``(…, H, W, S)``, one after the other: never a whole one in memory."""
    height, width = values.shape[-3:-1]
    for page in values.reshape(-1, *values.shape[-3:]) if values.ndim > 3 else [values]:
        for down in range(ceil(height / TILE)):
            for over in range(ceil(width / TILE)):
                part = page[down * TILE : (down + 1) * TILE, over * TILE : (over + 1) * TILE]
                short = [(0, TILE - n) for n in part.shape[:2]]
                yield np.pad(part, [*short, (0, 0)])
