"""Files, folders and globs to files, without what this program itself has written there."""

import json
from collections.abc import Callable, Iterable
from glob import glob, has_magic
from pathlib import Path

from ..errors import InputError
from ..files import read_bounded
from ..imaging.formats import SUFFIXES, format_of
from ..imaging.io import SUFFIXES as PICTURES
from ..imaging.io import list_images
from ..restoration.saving import MAX_BYTES, RESULT, UNFINISHED

NOTE, FAILURES, TABLES, ARRAYS = "batch.json", "failures.jsonl", "rows.parquet", "rows.zarr"
"""What `cvdvae batch` writes into the folder of a run, beside the folders of rows."""


def files_of(
    inputs: Iterable[str],
    out: Path | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> list[tuple[Path, Path]]:
    """Files, folders and globs to files, each with the place that it has in its folder: of a glob,
    in the folder that it names before its first wildcard.

    Where folders are searched with all that is in them, results of this program are passed over.

    Args:
        inputs: What the user names.
        out: Where results go; what lies there is passed over, too.
        say: Told how much that was, if anything.

    Raises:
        InputError: A folder holds no image, or nothing but results.
    """
    found: list[tuple[Path, Path]] = []
    passed = 0
    for text in inputs:
        path = Path(text)
        if path.is_dir() and format_of(path) is None:
            root, some, deep = path, _files_in(path), True
        elif not path.exists() and has_magic(text):
            root, deep = next(p for p in path.parents if not has_magic(str(p))), "**" in text
            some = sorted(Path(m) for m in glob(text, recursive=True))
            some = (_without_folders(some) if deep else some) or [path]
        else:
            root, some, deep = path.parent, [path], False
        kept = _given(some, root, out) if deep else some
        passed += len(some) - len(kept)
        if not kept:
            raise InputError(f"{text} holds nothing but results of this program: name the files")
        found += [(one, one.relative_to(root).parent) for one in kept]
    if passed:
        say(f"{passed} files were passed over, which are results of this program")
    return found


def _given(found: list[Path], root: Path, out: Path | None) -> list[Path]:
    """Those below a folder that are no results, and do not lie where results go."""
    place, target = root.resolve(), None if out is None else out.resolve()
    known: dict[Path, bool] = {root: False}  # it was named, whatever it holds

    def there(path: Path) -> Path:
        return place / path.relative_to(root)

    def ours(folder: Path) -> bool:
        if folder not in known:
            known[folder] = there(folder) == target or is_result(folder) or written(folder)
        return known[folder]

    def written(path: Path) -> bool:
        named = path.name in (NOTE, FAILURES, TABLES, ARRAYS)
        return (named and there(path.parent) == target) or ours(path.parent)

    return [path for path in found if path == root or not written(path)]


def is_result(folder: Path) -> bool:
    """Whether a folder holds a `result.json` of this program, or what a killed one left of it."""
    if (folder / UNFINISHED).is_file():
        return True
    try:
        data = json.loads(read_bounded(folder / RESULT, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"model", "samples", "seed"} <= set(data)


def _files_in(folder: Path) -> list[Path]:
    """Pictures and arrays of a folder and of its folders, but none within a store."""
    known = {*PICTURES, *SUFFIXES}
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in known)
    stores = {p for p in found if p.is_dir()}
    return [p for p in found if stores.isdisjoint(p.parents)] or list_images(folder, deep=True)


def _without_folders(found: list[Path]) -> list[Path]:
    """Files and stores, but none within a store."""
    folders = {p for p in found if p.is_dir()}
    stores = {p for p in folders if format_of(p) is not None}
    plain = folders - stores
    return [p for p in found if p not in plain and stores.isdisjoint(p.parents)]
