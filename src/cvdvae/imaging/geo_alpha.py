"""What of a GeoTIFF says how opaque its pixels are."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .opacity import OF_ALPHA
from .tiff import is_premultiplied


class Alpha(NamedTuple):
    """What of a file is alpha.

    Attributes:
        band: Which band, from 0; None where none is taken for it.
        profile: What rasterio is to be told of it.
        notes: What the user is.
    """

    band: int | None
    profile: dict[str, str]
    notes: list[str]


def alpha_of(path: Path, source: Any) -> Alpha:
    """The band that is called alpha, but where there would be nothing else to draw."""
    shows = [one.name for one in source.colorinterp]
    if "alpha" not in shows or len(shows) == 1:
        return Alpha(None, {}, [])
    band, premultiplied = shows.index("alpha"), is_premultiplied(path)
    by_default = source.dtypes[band] == "uint8" and not premultiplied
    if by_default and not _is_mostly_opaque(source, band):
        drawn = "a band that is called alpha is drawn as the others: it is hardly ever opaque"
        return Alpha(None, {}, [drawn])
    profile = {"ALPHA": "PREMULTIPLIED"} if premultiplied else {}
    return Alpha(band, profile, [f"band {band + 1} is {OF_ALPHA}"])


def _is_mostly_opaque(source: Any, band: int) -> bool:
    """Whether most of what is there is there fully: GDAL calls the fourth of four bands of 8 bits
    alpha, near infrared too."""
    there = fully = 0
    for _, window in source.block_windows(band + 1):
        values = source.read(band + 1, window=window)
        there += int(np.count_nonzero(values))
        fully += int(np.count_nonzero(values == 255))
    return 2 * fully >= there


def opaque_of(path: Path, source: Any, alpha: int | None) -> np.ndarray | None:
    """How opaque pixels are by a band, a mask, or both; a number may say so instead."""
    from rasterio.enums import MaskFlags

    mask: np.ndarray | None = None
    if source.mask_flag_enums[0] == [MaskFlags.per_dataset]:
        if any(name.lower().endswith(".msk") for name in source.files):
            raise InputError(
                f"{path} has its mask in a file beside it: put it inside with gdal_translate "
                f"--config GDAL_TIFF_INTERNAL_MASK YES"
            )
        mask = source.dataset_mask()
    if alpha is None:
        return mask
    band: np.ndarray = source.read(alpha + 1)
    return band if mask is None else np.where(mask == 0, band.dtype.type(0), band)
