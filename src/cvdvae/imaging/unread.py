"""What is said of a file that is none of the images which are read."""

from pathlib import Path

HEIC = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}
"""What the photos of telephones call themselves behind `ftyp`."""


def why_unread(path: Path) -> str:
    """Why it is not read, and what to do where that is known."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:] in HEIC:
        return (
            "is a HEIC photo, which is not read: save it as JPEG (or choose “Most Compatible” in "
            "the camera's settings)"
        )
    return "is not an image"
