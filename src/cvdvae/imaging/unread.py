"""What is said of a file that is none of the images which are read."""

from collections.abc import Collection
from pathlib import Path

from ..files import LEFTOVER

HEIC_SUFFIXES = {".heic", ".heif"}
HEIC = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}
"""What the photos of telephones call themselves behind `ftyp`."""
NPY = b"\x93NUMPY"
"""How NumPy's files of arrays begin."""

AS_JPEG = "as JPEG (or choose “Most Compatible” in the camera's settings)"


def why_unread(path: Path) -> str:
    """Why it is not read, and what to do where that is known."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:] in HEIC:
        return f"is a HEIC photo, which is not read: save it {AS_JPEG}"
    return "holds an array and no picture" if head.startswith(NPY) else "is not an image"


def why_none(files: Collection[Path], suffixes: Collection[str]) -> str:
    """Why none of the files of a folder is read, where all that end in some suffixes would be."""
    if any(is_heic(path) for path in files):
        return f"holds no image but HEIC photos, which are not read: save them {AS_JPEG}"
    return f"holds no image ({', '.join(sorted(suffixes))})"


def passed_over(photos: Collection[Path]) -> str:
    """What is said of HEIC photos among files that are read."""
    return f"{len(photos)} HEIC photos were passed over, which are not read: save them {AS_JPEG}"


def is_heic(path: Path) -> bool:
    """Whether a file calls itself such a photo."""
    return path.suffix.lower() in HEIC_SUFFIXES


def is_hidden(path: Path) -> bool:
    """Whether a name in a path begins with a dot, which file managers do not show: a trash,
    thumbnails."""
    return any(part.startswith(".") and part != ".." for part in path.parts)


def is_debris(name: str) -> bool:
    """Whether nobody means a file of this name: macOS has written it beside another, on a foreign
    disk or in a tar, or a killed run of this program has left it half-written."""
    return name.startswith("._") or LEFTOVER.fullmatch(name) is not None
