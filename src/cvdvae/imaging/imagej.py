"""What ImageJ says of a stack in the description of its TIFF."""

from typing import Any

import numpy as np

VALUES = ("cf", "c0", "c1", "c2", "c3", "c4", "vunit", "zeroclip")
"""What numbers stand for: a function, its coefficients, the unit, and whether 0 is the least."""
UNITS = ("unit", "yunit", "zunit", "tunit", "vunit")
ORIGINS = ("xorigin", "yorigin", "zorigin")
"""Where the pixel with the coordinates 0 lies, counted in pixels."""
KNOWN = (
    "spacing",
    "finterval",
    "fps",
    "loop",
    "mode",
    "Labels",
    "Info",
    "LUTs",
    *UNITS,
    *ORIGINS,
    *VALUES,
)
STRAIGHT = 0
"""The function c0 + c1 v; signed numbers of 16 bits are unsigned ones with c0 = −32768."""


def described(found: dict[str, Any]) -> dict[str, Any]:
    """Of what a file says, what its results say as well."""
    known = {key: found[key] for key in KNOWN if key in found}
    for key in set(UNITS) & known.keys():  # of which ImageJ writes µ as \\u00B5
        unit = str(known[key])
        known[key] = "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in unit)
    return known


def finer(metadata: dict[str, Any], scale: float, distances: bool) -> dict[str, Any]:
    """What holds for pixels that are smaller by `scale`, of values or of distances between them."""
    known = {key: metadata.get(key) for key in ORIGINS[:2]}
    moved = {key: n * scale for key, n in known.items() if isinstance(n, int | float)}
    return (_of_distances(metadata) if distances else metadata) | moved


def _of_distances(metadata: dict[str, Any]) -> dict[str, Any]:
    """What holds for distances between values: no offset, and no curve."""
    function = metadata.get("cf", STRAIGHT)
    if function == STRAIGHT:
        return {**metadata, "c0": 0} if "cf" in metadata else metadata
    return {key: value for key, value in metadata.items() if key not in VALUES}


def suits(axes: str, dtype: np.dtype, colours: bool) -> bool:
    """Whether ImageJ has such axes, in their order, and such numbers: colours are bytes."""
    ordered = [axis for axis in "TZCYXS" if axis in axes] == list(axes)
    kinds = ("uint8",) if "S" in axes else ("uint8", "uint16", "float32")
    return ordered and dtype in kinds and colours == ("S" in axes)
