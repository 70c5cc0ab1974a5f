"""Tags of a GeoTIFF that go along."""

RESOLUTION, LARGEST = {"TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"}, 2**32
"""Tags of pixels to a unit, and what a fraction of a TIFF cannot hold."""


def lasting(tags: dict[str, str]) -> dict[str, str]:
    """Tags without what GDAL has measured in the values themselves, which will be others."""
    return {key: value for key, value in tags.items() if not key.startswith("STATISTICS_")}


def with_resolution(tags: dict[str, str], scale: float) -> dict[str, str]:
    """Tags of a file whose pixels are smaller by `scale`; resolutions that no tag holds left
    out."""
    told = dict(tags)
    for name in RESOLUTION & told.keys():
        try:
            value = scale * float(told.pop(name))
        except ValueError:
            continue
        if 0 < value < LARGEST:
            told[name] = f"{value:.10g}"
    return told
