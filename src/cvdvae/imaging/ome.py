"""What OME-XML says of an image: its sizes, and the names of its channels."""

from typing import Any
from xml.etree import ElementTree

LENGTHS = ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement")
OME = (*LENGTHS, *(f"{name}Unit" for name in LENGTHS))


def sizes_and_names(xml: str) -> dict[str, Any]:
    """Sizes and names of the first image; all that is no length is text, whatever it looks like."""
    image = ElementTree.fromstring(xml).find("{*}Image")
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return {}
    found: dict[str, Any] = {key: pixels.attrib[key] for key in OME if key in pixels.attrib}
    for key in found.keys() & set(LENGTHS):
        try:
            found[key] = float(found[key])
        except ValueError:
            del found[key]
    if "Name" in image.attrib:
        found["Name"] = image.attrib["Name"]
    channels = [channel.attrib for channel in pixels.iterfind("{*}Channel")]
    shared = set.intersection(*(set(c) for c in channels)) if channels else set()
    kept = sorted(shared - {"ID", "SamplesPerPixel"})
    if kept:
        found["Channel"] = {key: [c[key] for c in channels] for key in kept}
    return found


def finer(metadata: dict[str, Any], scale: float) -> dict[str, Any]:
    """Pixels are smaller by `scale`."""
    sizes = ("PhysicalSizeX", "PhysicalSizeY")
    return {k: v / scale if k in sizes else v for k, v in metadata.items()}
