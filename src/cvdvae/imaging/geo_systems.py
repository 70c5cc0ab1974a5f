"""What becomes of a reference system in a GeoTIFF."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

ASIDE = ".aux.xml"
"""Ends the name of a file beside one, with what GDAL puts there as no TIFF can hold it."""


@cache
def tried(crs: Any, by_points: bool) -> tuple[Any, tuple[str, ...]]:
    """What a reference system, whose hash is its WKT's, becomes in a GeoTIFF, where ground control
    points may have it; and what then stands beside the file."""
    import rasterio
    from rasterio.control import GroundControlPoint

    where: dict[str, Any] = {"transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    if by_points:
        where = {"gcps": [GroundControlPoint(row=0, col=0, x=0, y=0, z=0)]}
    with tempfile.TemporaryDirectory(prefix="cvdvae-geo-") as folder:
        path = Path(folder) / "one.tif"
        one = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
        rasterio.open(path, "w", crs=crs, **one, **where).close()
        beside = path.with_name(f"{path.name}{ASIDE}")
        return crs_in(path), (ASIDE,) if beside.exists() else ()


def crs_in(path: Path) -> Any:
    """The reference system of a file, or of its ground control points."""
    import rasterio

    with rasterio.open(path, driver="GTiff") as found:
        return found.gcps[1] if found.gcps[0] else found.crs
