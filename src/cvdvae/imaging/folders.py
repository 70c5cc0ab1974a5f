"""What is in a folder and in its folders, through links as well, and what a glob names there."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from ..files import LEFTOVER


def files_below(
    folder: Path,
    is_one: Callable[[Path], bool] = lambda path: False,
    refused: Callable[[Path], object] = lambda path: None,
) -> Iterator[Path]:
    """Files below a folder, in no order. Links that lead out of it are followed, each to what no
    other has led to; what a link within it leads to is there without the link. What this program
    has left half-written is none.

    Args:
        folder: The folder.
        is_one: Which folders are given as files are, and not looked into.
        refused: Told of folders that may not be read, and of links into such.

    Raises:
        OSError: The folder itself may not be read.
    """
    root, seen = folder.resolve(), set[Path]()
    waiting = [(folder, root, False)]
    while waiting:
        here, place, outside = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            (here / "..").lstat()  # is refused where names may be read, and files may not
        except OSError:
            if here == folder:
                raise
            refused(here)
            continue
        for entry in found:
            if LEFTOVER.fullmatch(entry.name):
                continue
            path, linked = here / entry.name, entry.is_symlink()
            try:
                is_file = not (path.is_dir() if linked else entry.is_dir()) or is_one(path)
            except OSError:  # as where a link leads into a closed folder
                refused(path)
                continue
            if is_file:
                yield path
                continue
            target = path.resolve() if linked else place / entry.name
            if linked and root in (target, *target.parents):
                continue
            if outside or linked:
                if target == root or target in seen:
                    continue
                seen.add(target)
            waiting.append((path, target, outside or linked))


def matching(
    pattern: str,
    is_one: Callable[[Path], bool] = lambda path: False,
    refused: Callable[[Path], object] = lambda path: None,
) -> Iterator[Path]:
    """What a glob names, in order: files and folders, and by ``**`` files alone, as `files_below`
    finds them. Names that begin with a dot are meant only where the glob says so.

    Args:
        pattern: The glob.
        is_one: As for `files_below`.
        refused: As for `files_below`.
    """
    path = Path(pattern)
    found = _matching(Path(path.anchor), path.relative_to(path.anchor).parts, is_one, refused)
    return (one for one in found if one.is_dir() or not pattern.endswith("/"))


def _matching(
    folder: Path,
    parts: tuple[str, ...],
    is_one: Callable[[Path], bool],
    refused: Callable[[Path], object],
) -> Iterator[Path]:
    part, *rest = parts
    try:
        if part == "**":
            below = files_below(folder, is_one, refused)
            yield from sorted(p for p in below if _fits(p.relative_to(folder).parts, parts))
            return
        found = _named(folder, part)
    except PermissionError:
        refused(folder)
        return
    except OSError:  # it is no folder, or holds no such file
        return
    for one in found:
        try:
            one.stat()
        except PermissionError:  # a link into a closed folder
            refused(one)
            continue
        except OSError:  # a link to nothing
            pass
        if rest:
            yield from _matching(one, tuple(rest), is_one, refused)
        else:
            yield one


def _named(folder: Path, part: str) -> list[Path]:
    """What one part of a glob names in a folder.

    Raises:
        OSError: There is no such file, or the folder may not be read.
    """
    if not has_magic(part):
        (folder / part).lstat()
        return [folder / part]
    found = [path for path in folder.iterdir() if _fits((path.name,), (part,))]
    (folder / "..").lstat()  # is refused where names may be read, and files may not
    return sorted(found)


def is_folder(path: Path) -> bool:
    """Whether this is a folder; what may not be looked at is none."""
    with suppress(OSError):
        return path.is_dir()
    return False


def _fits(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether the names of a path are those of a glob."""
    if not parts or not names:
        return not names and set(parts) <= {"**"}
    (name, *_), (part, *_) = names, parts
    shown = part.startswith(".") or not name.startswith(".")
    if part == "**":
        return _fits(names, parts[1:]) or (shown and _fits(names[1:], parts))
    return shown and fnmatch(name, part) and _fits(names[1:], parts[1:])
