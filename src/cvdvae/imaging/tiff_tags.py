"""What the tags of a TIFF carry beside its values."""

import json
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from . import imagej, ome
from .arrays import Layout

RAW, RGB = 1, 2
"""No compression; colours."""
ORIENTATION, RESOLUTION, UNIT, ICC, NODATA = 274, (282, 283), 296, 34675, 42113
UNITS = range(1, 6)
"""Those of a resolution that there are; the first is none."""
TEXTS = (271, 272, 315, 33432)
"""Make, model, artist, copyright."""


class Carried(NamedTuple):
    """What a TIFF carries.

    Attributes:
        kind: ``ome``, ``imagej``, ``shaped`` (tifffile's own) or ``plain``.
        metadata: What tifffile writes as this kind's description.
        description: Text of a plain one, or before tifffile's own.
        resolution: Pixels a unit, across and down, and the unit; None where it does not say.
        profile: ICC profile.
        texts: Tags of text, by number; bytes where they are in no known encoding.
        nodata: What stands for no data, as the file writes it.
        colours: Whether three samples of a pixel are red, green and blue.
        planar: Whether samples lie apart, one after the other.
        extra: What the samples beyond the colours are.
        deflate: Whether it was packed.
        opaque: How opaque every pixel is, ``(pages, 1, h, w)``; None where it does not say.
        alpha: Which sample of a pixel says so.
    """

    kind: str
    metadata: dict[str, Any]
    description: str | None
    resolution: tuple[float, float, int] | None
    profile: bytes | None
    texts: dict[int, str | bytes]
    nodata: str | None
    colours: bool
    planar: bool
    extra: tuple[int, ...]
    deflate: bool
    opaque: np.ndarray | None = None
    alpha: int = 0


def number_in(tag: Any) -> float | None:
    """The number that a tag of text holds, if it does."""
    try:
        return float(str(tag.value).strip("\0 "))
    except (AttributeError, ValueError):
        return None


def carried_by(file: Any, page: Any, layout: Layout, turned: bool) -> Carried:
    """What a file carries; `turned` are its values that lie on their side there."""
    kind, metadata, description = _described(file, page)
    tags = page.tags
    if kind != "plain":
        metadata["axes"] = layout.axes
    # An origin counts pixels of the file as it lies there, not upright.
    if tags.valueof(ORIENTATION, default=1) != 1:
        metadata = {key: value for key, value in metadata.items() if key not in imagej.ORIGINS}
    profile = tags.get(ICC)
    nodata = tags.get(NODATA)
    return Carried(
        kind,
        metadata,
        description,
        _resolution(tags, turned),
        profile.value if profile else None,
        {code: _text(tags[code].value) for code in TEXTS if code in tags},
        str(nodata.value).strip("\0 ") if nodata else None,
        _in_colours(page, layout),
        "S" in layout.axes and layout.axes.index("S") < layout.axes.index("Y"),
        extra_of(page, layout),
        int(page.compression) != RAW,
    )


def _text(value: Any) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def extra_of(page: Any, layout: Layout) -> tuple[int, ...]:
    """What every sample of a pixel beyond its colours is; the first of too few told ones are 0,
    which says nothing."""
    told = tuple(int(kind) for kind in page.extrasamples)
    colours = 3 if _in_colours(page, layout) else 1
    beyond = layout.channels - colours if "S" in layout.axes else 0
    return ((0,) * beyond + told)[len(told) :]


def _in_colours(page: Any, layout: Layout) -> bool:
    return page.photometric == RGB and "S" in layout.axes


def _resolution(tags: Any, turned: bool) -> tuple[float, float, int] | None:
    """As in `Carried`; None where the tags hold no fractions."""
    try:
        across, down = (above / below for above, below in (tags[code].value for code in RESOLUTION))
        unit = int(tags[UNIT].value) if UNIT in tags else 2
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    known = unit if unit in UNITS else UNITS[0]
    return (down, across, known) if turned else (across, down, known)


def _described(file: Any, page: Any) -> tuple[str, dict[str, Any], str | None]:
    """Kind of the file, what it says as such, and its own text."""
    if file.is_ome and file.series[0].kind == "ome":
        return "ome", ome.sizes_and_names(file.ome_metadata), None
    if file.is_imagej:
        return "imagej", imagej.described(file.imagej_metadata or {}), None
    text = None if file.is_ome else page.description or None  # one that does not fit its pages
    if file.is_shaped:  # tifffile writes a text of the user's before its own
        for own, of_user in ((text, None), (page.description1, text)):
            with suppress(ValueError):
                if own and own.startswith('{"shape":'):
                    found = json.loads(own)
                    kept = {k: v for k, v in found.items() if k not in ("shape", "truncated")}
                    return "shaped", kept, of_user
        return "shaped", {}, None
    return "plain", {}, text
