"""Files, folders and globs to files, without what this program itself has written there."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..imaging.folders import files_below, is_folder, matching
from ..imaging.formats import SUFFIXES, format_of
from ..imaging.io import SUFFIXES as PICTURES
from ..imaging.unread import is_debris, is_heic, is_hidden, passed_over, why_none
from ..restoration.saving import OURS, RESULT, is_result

KNOWN = {*PICTURES, *SUFFIXES}
"""Suffixes of what is looked for in folders."""
NOTE, FAILURES, DRAWN = "batch.json", "failures.jsonl", "drawn.jsonl"
TABLES, ARRAYS = "rows.parquet", "rows.zarr"
"""What `cvdvae batch` writes into the folder of a run, beside the folders of rows."""


class Passed(NamedTuple):
    """What a search passes over and tells of: folders that may not be read, photos that are not
    read, and files that are hidden, or lie in hidden folders."""

    refused: list[Path]
    heic: list[Path]
    hidden: list[Path]


class Named(NamedTuple):
    """What a user names.

    Attributes:
        text: His words.
        matches: Where they are a glob, what it names, in order; None where they are none.
        refused: Folders that may not be read, of those that were searched for it.
    """

    text: str
    matches: list[Path] | None
    refused: list[Path]


def named(text: str) -> Named:
    """A file, a folder or a glob, which is looked through.

    Raises:
        InputError: A glob goes up again behind a wildcard: what it names has no place in a folder.
    """
    refused = list[Path]()
    if not has_magic(text) or Path(text).exists():
        return Named(text, None, refused)
    parts = iter(Path(text).parts)
    if any(map(has_magic, parts)) and ".." in parts:  # what is left of them
        raise InputError(f"{text} goes up again behind a wildcard: name the folder without ..")
    return Named(text, list(matching(text, _is_store, refused.append)), refused)


def files_of(
    inputs: Iterable[str | Named],
    out: Path | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> list[tuple[Path, Path]]:
    """Files, folders and globs to files, each with the place that it has in its folder: of a glob,
    in the folder that it names before its first wildcard.

    Where folders are searched with all that is in them, results of this program are passed over,
    and what is hidden. So are folders that a glob names, of which some may hold no image.

    Args:
        inputs: What the user names.
        out: Where results go; what lies there is passed over, too.
        say: Told how much that was, if anything, how many photos are not read, and how many folders
            may not be read; and how many files are hidden.

    Raises:
        InputError: A folder, or what a glob names, holds no image, or nothing but results; or as
            `named`.
    """
    found: list[tuple[Path, Path]] = []
    results, passed = 0, Passed([], [], [])
    for given in (named(one) if isinstance(one, str) else one for one in inputs):
        path = Path(given.text)
        passed.refused.extend(given.refused)
        if given.matches is not None:
            root = next(p for p in path.parents if not has_magic(str(p)))
            meant, searched = _matched(given.text, given.matches, passed)
            meant = [one for one in meant if not is_of_run(one, out)]
        elif is_folder(path) and format_of(path) is None:
            root, meant, searched = path, list[Path](), _files_in(path, passed)
            if is_result(path):
                say(f"{path} is a result of this program: its sheet and maps are taken, too")
        else:
            root, meant, searched = path.parent, [path], []
        kept = meant + _given(searched, root, out)
        results += len(meant) + len(searched) - len(kept)
        if not kept:
            raise InputError(
                f"{given.text} holds nothing but results of this program: name the files"
            )
        found += [(one, one.relative_to(root).parent) for one in kept]
    if results:
        say(f"{results} files were passed over, which are results of this program")
    if passed.heic:
        say(passed_over(passed.heic))
    if passed.hidden:
        say(f"{len(passed.hidden)} hidden files were passed over, as {passed.hidden[0]}")
    tell_refused(passed.refused, say)
    return found


def tell_refused(refused: list[Path], say: Callable[[str], None]) -> None:
    """Say how many folders may not be read, if any."""
    if refused:
        say(f"{len(refused)} folders were passed over, which may not be read, as {refused[0]}")


def _given(found: list[Path], root: Path, out: Path | None) -> list[Path]:
    """Those below a folder that are no results, and do not lie where results go."""
    place, target = root.resolve(), None if out is None else out.resolve()
    known: dict[Path, bool] = {root: False}  # it was named, whatever it holds
    results: dict[Path, bool] = {root: False}

    def there(path: Path) -> Path:
        return place / path.relative_to(root)

    def ours(folder: Path) -> bool:
        if folder not in known:
            known[folder] = folder.resolve() == target or written(folder)
        return known[folder]

    def of_result(path: Path) -> bool:  # beside it may lie pictures of the user's own
        if path.name != RESULT and OURS.fullmatch(path.name) is None:
            return False
        if path.parent not in results:
            results[path.parent] = is_result(path.parent)
        return results[path.parent]

    def written(path: Path) -> bool:
        return is_of_run(there(path), target) or of_result(path) or ours(path.parent)

    return [path for path in found if path == root or not written(path)]


def is_of_run(path: Path, out: Path | None = None) -> bool:
    """Whether a run, the one that writes to `out` or an earlier one, has written this file beside
    the folders of rows, this store, or this part of a table."""
    known, place = (NOTE, FAILURES, DRAWN, TABLES, ARRAYS), path.absolute()

    def of_run(folder: Path) -> bool:
        ours = out is not None and folder.resolve() == out.resolve()
        return ours or (folder / NOTE).is_file()

    return any(one.name in known and of_run(one.parent) for one in (place, place.parent))


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in KNOWN


def _is_store(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and format_of(path) is not None


def _files_in(folder: Path, passed: Passed) -> list[Path]:
    """Pictures and arrays of a folder and of its folders, but none within a store, and nothing that
    is hidden, as in a trash.

    Raises:
        InputError: There is none, or the folder may not be read.
    """
    try:
        below = files_below(folder, _is_store, passed.refused.append)
        files = [p for p in below if (_is_known(p) or is_heic(p)) and not is_debris(p.name)]
    except OSError as error:
        passed.refused.append(folder)
        raise InputError(f"cannot read {folder}: {error.strerror}") from None
    shown = [path for path in files if not is_hidden(path.relative_to(folder))]
    passed.hidden.extend(sorted({*files} - {*shown}))
    passed.heic.extend(filter(is_heic, shown))
    found = sorted(filter(_is_known, shown))
    if not found and len(shown) < len(files):
        raise InputError(f"{folder} holds no image but hidden ones, as {passed.hidden[-1]}")
    if not found:
        raise InputError(f"{folder} {why_none(files, KNOWN)}")
    return found


def _matched(text: str, matches: list[Path], passed: Passed) -> tuple[list[Path], list[Path]]:
    """Of what a glob names, files and stores that are meant, and those found by a search.

    Raises:
        InputError: It names folders alone, and no image is in them.
    """
    if not matches:
        return [Path(text)], []
    if "**" in Path(text).parts:
        return [], matches
    files, inside = list[Path](), list[Path]()
    for path in matches:
        try:
            searched = is_folder(path) and format_of(path) is None
        except PermissionError:
            passed.refused.append(path)
            continue
        if not searched:
            files.append(path)
            continue
        with suppress(InputError):  # it holds no image, as another may
            inside += _files_in(path, passed)
    if not files and not inside:
        raise InputError(f"{text} {why_none(passed.heic, KNOWN)}")
    return files, inside
