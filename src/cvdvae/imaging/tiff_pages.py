"""Whether the pages of a TIFF are all there, and are those of one picture."""

import html
import re
import struct
from math import prod
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import ome

SEEN_AT_ONCE = 100
"""Circles of fewer pages are noticed by tifffile."""
FLAT = "generic"
"""Of series that tifffile puts together by sizes alone, whatever the pages say of themselves."""


def refuse_endless(path: Path, file: Any) -> None:
    """Refuse pages that lead in a circle, which tifffile would follow for ever.

    It sees small circles, and ends there. What else is wrong is left to it.

    Raises:
        InputError: They do.
    """
    tiff, stream, seen = file.tiff, file.filehandle, set[int]()
    place = file.pages.first.offset
    while 0 < place < stream.size and place not in seen:
        seen.add(place)
        stream.seek(place)
        tags = _number(stream.read(tiff.tagnosize), tiff.tagnoformat)
        stream.seek(place + tiff.tagnosize + tags * tiff.tagsize)
        place = _number(stream.read(tiff.offsetsize), tiff.offsetformat)
    if place in seen and len(seen) >= SEEN_AT_ONCE:
        raise InputError(f"{path} is damaged: its {len(seen)} pages lead in a circle")


def _number(found: bytes, form: str) -> int:
    """What some bytes of a file say; 0 where it has ended."""
    return int(struct.unpack(form, found)[0]) if len(found) == struct.calcsize(form) else 0


def refuse_others(path: Path, file: Any) -> None:
    """Refuse a file of several pictures; reduced copies of the first are none.

    Raises:
        InputError: It says in what they differ.
    """
    first, *others = file.series
    others = [one for one in others if not one.keyframe.is_reduced]
    if first.kind == FLAT:  # of which a page of half the size is taken for a level
        pages = [(level, level.keyframe) for level in first.levels[1:]]
        others += [one for one, page in pages if not (page.is_reduced or page.is_subifd)]
    if not others:
        return
    every = [first, *others]
    kinds = dict.fromkeys(str(one.dtype) for one in every)
    if len({one.keyframe.shape for one in every}) > 1:
        how = "pictures of different sizes"
    elif len(kinds) > 1:
        how = f"pictures of different kinds ({', '.join(kinds)})"
    elif file.is_ome:
        how = "images of their own"
    elif len({(one.keyframe.hash, one.axes) for one in every}) > 1:
        how = "pictures that differ in packing, colours or axes"
    else:
        how = "pictures that were written each by itself"
    raise InputError(f"{path} holds {len(every)} {how}: save the one you mean")


def refuse_elsewhere(path: Path, file: Any) -> None:
    """Refuse planes that an OME-TIFF says to lie in other folders, or in what is no file: they
    would be opened before it is known that they are no part of this file.

    Raises:
        InputError: It names one of them.
    """
    named = re.findall(r"""FileName\s*=\s*(?:"([^"]*)"|'([^']*)')""", file.ome_metadata or "")
    for name in (html.unescape(one or other) for one, other in named):
        other = path.parent / name
        if Path(name).name != name or (other.exists() and not other.is_file()):
            raise InputError(f"planes of {path} lie in {name}: save all of them as one file")


def refuse_partial(path: Path, file: Any) -> None:
    """Refuse planes that are not there, and those in other files, of which no copy is kept.

    Raises:
        InputError: It says what is missing.
    """
    series = file.series[0]
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
    if further := _behind_the_last(file):
        raise InputError(
            f"{path} is truncated: it has {size} bytes, and a page that begins at byte {further} "
            f"cannot be read"
        )
    known = {page.index for page in pages}
    beyond = (page for page in file.pages if page.index not in known)
    unsaid = [page for page in beyond if not getattr(page, "is_reduced", False)]  # frames are none
    if (file.is_ome or file.is_imagej) and unsaid:
        raise InputError(
            f"{path} has {len(file.pages)} pages, and its description is of {len(known)}: save it "
            f"anew, without that description"
        )
    said, there = _said(file), prod(series.shape)
    if said > there:
        plane = series.keyframe.size
        raise InputError(
            f"{path} is truncated, or its description is another file's: that is of "
            f"{said // plane} planes, not of {there // plane}"
        )


def _behind_the_last(file: Any) -> int:
    """Where the page behind the last one that could be read begins; 0 where there is none, or one
    of those again."""
    place, stream = file.pages.next_page_offset, file.filehandle
    if place is None:
        return 0
    stream.seek(place)
    found = stream.read(file.tiff.offsetsize)
    if len(found) < file.tiff.offsetsize:
        return int(place)
    further = _number(found, file.tiff.offsetformat)
    return 0 if further in (page.offset for page in file.pages) else further


def _said(file: Any) -> int:
    """How many values the description of a file speaks of; 0 where it does not say."""
    series = file.series[0]
    if file.is_ome:
        return ome.values_in(file.ome_metadata)
    if file.is_imagej and series.kind != "imagej":  # as tifffile leaves what does not fit
        return int((file.imagej_metadata or {}).get("images", 0)) * int(series.keyframe.size)
    return 0
