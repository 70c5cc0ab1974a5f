"""Tables of contents of tar files."""

import tarfile
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..imaging.io import SUFFIXES
from ..imaging.unread import is_debris
from .rows import readable

BLOCK = 2**20
"""Bytes that are looked at together."""


def images_in(path: Path) -> list[tuple[str, int, int]]:
    """Key, first byte and size of every image of a tar file.

    Raises:
        InputError: It is none, is damaged, holds no image, or a link to a file that is elsewhere.
    """
    places: dict[str, tuple[int, int] | None] = {}
    found: list[tuple[str, int, int]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for one in tar:
                if not (one.isfile() or one.islnk()):
                    continue
                place = (one.offset_data, one.size) if one.isfile() else places.get(one.linkname)
                places[one.name] = place
                member = PurePosixPath(one.name)
                if member.suffix.lower() not in SUFFIXES or is_debris(member.name):
                    continue
                if one.issparse():
                    raise InputError(f"{path} holds {one.name} sparsely: pack it without --sparse")
                if place is None:
                    raise InputError(
                        f"{path} is not whole: {one.name} is a link to {one.linkname}, which is "
                        f"not in it"
                    )
                found.append((_key(one.name), *place))
        _check_end(path, tar.offset)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path} is no tar file, or a damaged one ({error})") from None
    if not found:
        raise InputError(f"{path} holds no image ({', '.join(sorted(SUFFIXES))})")
    return found


def _key(name: str) -> str:
    """As in a WebDataset: all up to the first dot of the file's name, behind one that hides it."""
    path = PurePosixPath(name)
    hidden = path.name.startswith(".")
    return readable(str(path.parent / ("." * hidden + path.name[hidden:].split(".")[0])))


def _check_end(path: Path, offset: int) -> None:
    """Refuse what Python takes for the end without asking: anything that is no header.

    Raises:
        TarError: Behind the last member are not zeros alone, or nothing at all.
    """
    with path.open("rb") as file:
        file.seek(offset)
        rest = (some.strip(b"\0") for some in iter(lambda: file.read(BLOCK), b""))
        whole = not next(rest, b"cut off") and not any(rest)
    if not whole:
        raise tarfile.TarError(
            f"at byte {offset} there is no member, and not the end alone: it is cut off, "
            f"overwritten, or several in one"
        )
