"""What is in a folder and in its folders, through links as well."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(
    folder: Path,
    is_one: Callable[[Path], bool] = lambda path: False,
    refused: Callable[[Path], object] = lambda path: None,
) -> Iterator[Path]:
    """Files below a folder, in no order. Links that lead out of it are followed, each to what no
    other has led to; what a link within it leads to is there without the link.

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
        except OSError:
            if here == folder:
                raise
            refused(here)
            continue
        for entry in found:
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
