"""What OME-XML says of an image: its sizes, and the names of its channels."""

from typing import Any

OME = ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "PhysicalSizeXUnit", "PhysicalSizeYUnit",
       "PhysicalSizeZUnit", "TimeIncrement", "TimeIncrementUnit")  # fmt: skip


def sizes_and_names(xml: str) -> dict[str, Any]:
    """Sizes and names of the first image."""
    from tifffile import xml2dict

    image = xml2dict(xml)["OME"].get("Image", {})
    image = image[0] if isinstance(image, list) else image
    pixels = image.get("Pixels", {})
    found = {key: pixels[key] for key in OME if key in pixels}
    if "Name" in image:
        found["Name"] = image["Name"]
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    shared = set.intersection(*(set(c) for c in channels)) if channels else set()
    kept = sorted(shared - {"ID", "LightPath", "DetectorSettings", "SamplesPerPixel"})
    flat = [k for k in kept if not any(isinstance(c[k], (dict, list)) for c in channels)]
    if flat:
        found["Channel"] = {key: [c[key] for c in channels] for key in flat}
    return found


def finer(metadata: dict[str, Any], scale: float) -> dict[str, Any]:
    """Pixels are smaller by `scale`."""
    sizes = ("PhysicalSizeX", "PhysicalSizeY")
    return {k: v / scale if k in sizes else v for k, v in metadata.items()}
