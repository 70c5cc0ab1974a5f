"""What OME-XML says of an image: its sizes, and the names of its channels."""

from math import prod
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
    kept = [{k: v for k, v in c.items() if k not in ("ID", "SamplesPerPixel")} for c in channels]
    if any(kept):  # tifffile wants one for each
        missing = int(pixels.get("SizeC", 0)) - len(kept)
        found["Channel"] = kept + [{}] * missing
    return found


def values_in(xml: str) -> int:
    """How many values the pixels of a lone image are said to have; 0 where it does not say."""
    images = ElementTree.fromstring(xml).findall("{*}Image")
    pixels = images[0].find("{*}Pixels") if len(images) == 1 else None
    try:
        return 0 if pixels is None else prod(int(pixels.attrib[f"Size{axis}"]) for axis in "XYZCT")
    except (KeyError, ValueError):
        return 0


def finer(metadata: dict[str, Any], scale: float) -> dict[str, Any]:
    """Pixels are smaller by `scale`; of files that are not OME's, any size may be no number."""
    known = {key: metadata.get(key) for key in ("PhysicalSizeX", "PhysicalSizeY")}
    smaller = {key: n / scale for key, n in known.items() if isinstance(n, int | float)}
    return metadata | smaller
