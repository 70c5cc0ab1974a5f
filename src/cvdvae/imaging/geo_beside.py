"""Files beside a TIFF that say where on the Earth it lies."""

import re
from pathlib import Path

WORLD = (".tfw", ".tifw", ".tiffw", ".wld")
"""How files beside a TIFF end that say where on the Earth it lies."""
PLACE = re.compile(rb"<(?:SRS|GeoTransform|GCPList)\b")
TABLE = re.compile(rb"^\s*!table\b", re.IGNORECASE)
"""What says so in GDAL's, and how MapInfo's begin, as other tables do not."""
ANYTHING = re.compile(rb"")
"""A world file need only be there."""
SAID = 2**20
"""Bytes of such a file that are searched."""


def is_placed_beside(path: Path) -> bool:
    """Whether a file beside it says where on the Earth a TIFF lies: a world file, MapInfo's, or
    GDAL's, which may say other things alone."""
    ends = (end for one in WORLD for end in (one, one.upper()))
    if any(_tells(path.with_suffix(end), ANYTHING) for end in ends):
        return True
    tables = (path.with_suffix(end) for end in (".tab", ".TAB"))
    return _tells(path.with_name(f"{path.name}.aux.xml"), PLACE) or any(
        _tells(table, TABLE) for table in tables
    )


def _tells(path: Path, what: re.Pattern[bytes]) -> bool:
    """Whether the first part of a file says something; of none that can be read, nothing does."""
    try:
        with path.open("rb") as file:
            return what.search(file.read(SAID)) is not None
    except OSError:
        return False
