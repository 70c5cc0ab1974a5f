"""TIFF by tifffile: plain, ImageJ's, OME's; one page or many."""

import logging
import math
from collections.abc import Iterator
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from . import imagej, ome
from .arrays import Array, Layout, Limits, array_of, check_block, check_layout
from .geo_beside import is_placed_beside
from .opacity import OF_ALPHA, at_scale, enlarged
from .tiff_pages import refuse_elsewhere, refuse_endless, refuse_others, refuse_partial
from .tiff_tags import NODATA, ORIENTATION, RGB, Carried, carried_by, extra_of, number_in

WHITE_IS_0, GREY = 0, (0, 1)
"""Photometric interpretations of values that are intensities."""
PREMULTIPLIED = 1
CLEAR = (PREMULTIPLIED, 2)
"""Extra samples that say how opaque a pixel is."""
GEO = (33550, 33922, 34264, 34735)
"""Where on the Earth: such files are `geotiff`'s."""
PLACED = (*GREY, RGB, 6)
"""Photometric interpretations of what is an image of the Earth where it has such a file: those
above, and JPEG's."""
UNPACKED = {1, 8, 32773, 32946}
"""Compressions that need no imagecodecs."""
PREDICTORS, BITS = {1, 2}, {8, 16, 32, 64, 128}
"""Likewise."""
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True),
         8: (1, False)}  # fmt: skip
"""Orientations: mirrored from left to right first, then so many quarters of a turn to the left."""
TILE, LARGE = 256, 2**22
"""Side of the tiles of planes of more than `LARGE` pixels."""
BIG = 2**32 - 2**25


class TIFF:
    """`.tif`: what holds intensities. Palettes, CMYK and one page of 8 bits with alpha, of grey the
    plain one, are pictures' matter."""

    suffixes: tuple[str, ...] = (".tif", ".tiff")

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        if path.suffix.lower() not in self.suffixes or not path.is_file():
            return False
        try:
            with _opened(path) as file:
                return _is_array(file, _has_codecs())
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
    file = tifffile.TiffFile(path)
    try:
        refuse_elsewhere(path, file)
        refuse_endless(path, file)
    except BaseException:
        file.close()
        raise
    return file


def is_geo(path: Path, beside: bool = False) -> bool:
    """Whether a TIFF says where on the Earth it lies, or holds an image of which a file beside it
    may say so."""
    try:
        with _opened(path) as file:
            page = file.pages[0]
            placed = beside and page.photometric in PLACED and _bits_of(page) >= 8
            return placed or any(code in page.tags for code in GEO)
    except Exception:  # it is no TIFF, or damaged: whoever reads it says so
        return False


def is_premultiplied(path: Path) -> bool:
    """Whether the alpha of a TIFF is one that its colours were multiplied by."""
    with _opened(path) as file:
        return PREMULTIPLIED in (int(kind) for kind in file.pages[0].extrasamples)


def refuse_packed(path: Path) -> None:
    """Refuse a TIFF that is a picture only for want of imagecodecs.

    Raises:
        InputError: It is such.
    """
    try:
        with _opened(path) as file:
            if _is_array(file, has_codecs=True):
                _refuse_without_codecs(path, file.pages[0])
    except InputError:
        raise
    except Exception:  # it is no TIFF, or damaged: whoever reads it says so
        return


def _bits_of(page: Any) -> int:
    bits = page.bitspersample
    return int(bits if isinstance(bits, int) else max(bits))


def _is_array(file: Any, has_codecs: bool) -> bool:
    """Whether its values are intensities, rather than a picture in other colours."""
    page = file.pages[0]
    bits = _bits_of(page)
    if page.photometric not in (*GREY, RGB) or bits < 8:
        return False
    if bits > 8 or len(file.pages) > 1:
        return True
    packed = int(page.compression) not in UNPACKED and not has_codecs
    extra = {int(kind) for kind in page.extrasamples}
    if extra.intersection(CLEAR):  # grey with such alpha is no picture to Pillow
        odd = PREMULTIPLIED in extra or page.photometric == WHITE_IS_0
        return not packed and odd and page.photometric in GREY
    return not packed and page.photometric != WHITE_IS_0


def _has_codecs() -> bool:
    from importlib.util import find_spec

    return find_spec("imagecodecs") is not None


def _refuse_without_codecs(path: Path, page: Any) -> None:
    """Refuse what imagecodecs alone can read, where that is missing."""
    bits = _bits_of(page)
    if int(page.compression) not in UNPACKED:
        why = f"is packed by {page.compression.name}"
    elif int(page.predictor) not in PREDICTORS:
        why = f"is packed with the predictor {page.predictor.name}"
    elif bits not in BITS:
        why = f"has {bits} bits a value"
    else:
        return
    if not _has_codecs():
        raise InputError(f"{path} {why}, which needs imagecodecs: pip install 'cvdvae[tiff]'")


def _read(path: Path, file: Any, limits: Limits) -> Array:
    series, notes = file.series[0], list[str]()
    refuse_others(path, file)
    page = series.keyframe
    _refuse_without_codecs(path, page)
    layout = Layout(_axes(series.axes), series.shape)
    check_layout(path, layout, series.dtype, limits)
    if page.is_tiled:
        block = (page.tiledepth, page.tilelength, page.tilewidth, page.samplesperpixel)
        check_block(path, block, math.prod(series.shape), limits)
    refuse_partial(path, file)
    values = series.asarray()
    turn = page.tags.get(ORIENTATION)
    quarters, mirrored = TURNS.get(int(turn.value), (0, False)) if turn else (0, False)
    if quarters or mirrored:
        values, layout = _upright(values, layout, quarters, mirrored)
        notes.append("it was turned upright, as its orientation says")
    nodata = number_in(page.tags.get(NODATA))
    carried = carried_by(file, page, layout, quarters % 2 == 1)
    alpha, gone = _alpha(page, layout), None
    if alpha is not None:
        values, opaque, layout = _split(values, layout, alpha)
        carried, gone = carried._replace(opaque=opaque, alpha=alpha), opaque == 0
        notes.append(f"sample {alpha + 1} of its pixels is {OF_ALPHA}")
    if is_placed_beside(path):
        notes.append("the file beside it that says where it lies is not read: that needs rasterio")
    white_is_0 = int(page.photometric) == WHITE_IS_0
    return array_of(path, values, layout, [nodata], carried, notes, white_is_0, gone)


def _alpha(page: Any, layout: Layout) -> int | None:
    """Which sample of a pixel is alpha; none where there would be nothing else to draw."""
    extra = [kind in CLEAR for kind in extra_of(page, layout)]
    return layout.channels - len(extra) + extra.index(True) if True in extra else None


def _split(values: np.ndarray, layout: Layout, alpha: int) -> tuple[np.ndarray, np.ndarray, Layout]:
    """Values without one sample of every pixel, that one as planes, and the layout without it."""
    place = layout.axes.index("S")
    planes = layout.with_samples(1).to_planes(values.take([alpha], place))
    return np.delete(values, alpha, place), planes, layout.with_samples(layout.channels - 1)


def _axes(axes: str) -> str:
    """Letters of tifffile, each once; those that it does not know count pages."""
    spare, result = iter("QTZUV"), ""
    for axis in axes:
        known = axis in "YXSC" or (axis.isalpha() and axis not in result)
        result += axis if known and axis not in result else next(s for s in spare if s not in axes)
    return result


def _upright(
    values: np.ndarray, layout: Layout, quarters: int, mirrored: bool
) -> tuple[np.ndarray, Layout]:
    down, across = layout.axes.index("Y"), layout.axes.index("X")
    if mirrored:
        values = np.flip(values, across)
    values = np.rot90(values, quarters, (down, across))
    return values, layout.turned() if quarters % 2 else layout


def _write(path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
    import tifffile

    carried: Carried = array.carried
    layout, (height, width) = array.layout, planes.shape[2:]
    same = planes.dtype == array.values.dtype
    options: dict[str, Any] = {"metadata": None, "description": _bytes(carried.description)}
    as_imagej = carried.kind == "imagej" and imagej.suits(
        layout.axes, planes.dtype, carried.colours
    )
    if carried.kind != "plain":
        options["metadata"] = ome.finer(carried.metadata, scale)
        if carried.kind == "imagej":
            options["metadata"] = imagej.finer(options["metadata"], scale, array.distances)
        if not as_imagej:
            options["metadata"].pop("LUTs", None)  # which are ImageJ's alone
    if carried.resolution is not None:
        across, down, unit = carried.resolution
        finer = across * scale, down * scale
        if max(finer) < 2**32:  # more than a tag can hold
            options |= {"resolution": finer, "resolutionunit": unit}
    grey = "miniswhite" if array.white_is_0 else "minisblack"
    options["photometric"] = "rgb" if carried.colours else grey
    if "S" in layout.axes:
        options["planarconfig"] = "separate" if carried.planar else "contig"
        if carried.extra:
            options["extrasamples"] = carried.extra
    nodata = carried.nodata if same or carried.nodata is None else "nan"
    texts = carried.texts if nodata is None else {**carried.texts, NODATA: nodata}
    tags = [(code, 2, 0, _bytes(text), True) for code, text in texts.items()]
    options |= {"iccprofile": carried.profile, "extratags": tags}
    if carried.deflate and not as_imagej:
        options["compression"] = "zlib"
    tiled = height * width > LARGE and not as_imagej
    if tiled:
        options["tile"] = (TILE, TILE)
    data, shape = _whole(planes, array, scale, tiled and layout.axes.endswith("YXS"))
    if isinstance(data, Iterator):
        options |= {"shape": shape, "dtype": planes.dtype}
    with tifffile.TiffWriter(
        path,
        bigtiff=prod(shape) * planes.itemsize > BIG and not as_imagej,
        imagej=as_imagej,
        ome=carried.kind == "ome",
        shaped=carried.kind == "shaped" or (carried.kind == "imagej" and not as_imagej),
    ) as writer:
        writer.write(data, **options)


def _bytes(text: str | bytes | None) -> bytes | None:
    """A text as it lies in a tag: as such, tifffile takes ASCII alone."""
    return text.encode() if isinstance(text, str) else text


def _whole(
    planes: np.ndarray, array: Array, scale: float, in_tiles: bool
) -> tuple[np.ndarray | Iterator[np.ndarray], tuple[int, ...]]:
    """Planes as they lie in the file, with its alpha, or their tiles; and the shape of all."""
    carried, layout, opaque = array.carried, array.layout, None
    if carried.opaque is not None:
        layout = layout.with_samples(layout.channels + 1)
        opaque = at_scale(carried.opaque, scale)
        if not in_tiles:
            planes = np.insert(planes, [carried.alpha], enlarged(opaque, scale), 1)
    if not in_tiles:
        whole = layout.from_planes(planes)
        return whole, whole.shape
    laid_out = array.layout.from_planes(planes)
    shape = *laid_out.shape[:-1], layout.channels
    return _tiles(laid_out, opaque, carried.alpha, scale), shape


def _tiles(
    values: np.ndarray, opaque: np.ndarray | None, alpha: int, scale: float
) -> Iterator[np.ndarray]:
    """Tiles of pages ``(…, H, W, S)``, with their alpha, one after the other: never a whole page in
    memory."""
    height, width = values.shape[-3:-1]
    pages = values.reshape(-1, *values.shape[-3:]) if values.ndim > 3 else [values]
    for number, page in enumerate(pages):
        for down in range(ceil(height / TILE)):
            for over in range(ceil(width / TILE)):
                rows, columns = (slice(i * TILE, (i + 1) * TILE) for i in (down, over))
                part = page[rows, columns]
                if opaque is not None:
                    clear = enlarged(opaque[number, 0], scale, rows, columns)
                    part = np.insert(part, alpha, clear, 2)
                short = [(0, TILE - n) for n in part.shape[:2]]
                yield np.pad(part, [*short, (0, 0)])
