"""What tells files and rows from others that stand in their place later.

Rows that are counted, and have no keys of their own, are told by marks of their files, in the order
of the source: where it has grown at its end, the first of them stay. Rows with keys have a mark
each, ``"<digest> <state>"``: of what they hold, and of the file that holds it, by which most can be
told without reading them again.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import numpy as np

EDGE = 2**14
"""Bytes at the beginning and at the end of a file that are looked at."""


def mark_of(path: Path) -> str:
    """The mark of a file, wherever it lies: its size and its edges."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - EDGE))
        end = file.read()
        file.seek(0)
        return _digest(b"%d" % size, file.read(EDGE), end)


def marks_of_rows(array: Any) -> tuple[str, ...]:
    """Marks of the rows 0, 1, 3, 7 … of an array."""
    return tuple(_mark_of_row(array, 2**i - 1) for i in range(array.shape[0].bit_length()))


def _mark_of_row(array: Any, number: int) -> str:
    try:
        values = np.asarray(array[number])
    except Exception:  # it is damaged: whoever reads the row says so
        return ""
    return _digest(f"{values.dtype} {values.shape}".encode(), values.tobytes())


def _digest(*parts: bytes) -> str:
    return _hasher(b"".join(parts)).hexdigest()


def _hasher(data: bytes = b"") -> blake2b:
    return blake2b(data, digest_size=8)


def state_of(path: str | Path) -> str:
    """Size and time of the last change of a file; empty where there is none to be read."""
    with suppress(OSError):
        told = Path(path).stat()
        return f"{told.st_size}:{told.st_mtime_ns}"
    return ""


def mark_of_image(image: bytes | str, state: str = "") -> str:
    """The mark of a row that holds these bytes, in a file of that state, or this whole file; empty
    of what is no file, or cannot be read.

    Example:
        >>> mark_of_image(b"PNG", "9:1")
        'd51ccbd17dda266a 9:1'
    """
    if isinstance(image, bytes):
        return f"{_digest(image)} {state}"
    with suppress(OSError):
        if not Path(image).is_file():  # whoever opens a FIFO waits
            return ""
        state = state_of(image)  # before it is read: what changes meanwhile is other than this
        with Path(image).open("rb") as file:
            return f"{file_digest(file, _hasher).hexdigest()} {state}"
    return ""


def is_settled(mark: str, state: str) -> bool:
    """Whether the row of a mark need not be read again: its file is in the same state, or nobody
    knows what it was."""
    digest, _, before = mark.partition(" ")
    return not digest or (bool(state) and state == before)


def is_other(mark: str, now: str) -> bool:
    """Whether two marks are known, and of different images, whatever the state of their files."""
    digest, found = (one.partition(" ")[0] for one in (mark, now))
    return bool(digest and found) and digest != found


def are_others(marks: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two sources differ where both have rows.

    Example:
        >>> are_others(["a", "b"], ["a", "b", "c"]), are_others(["a", "b"], ["x", "a", "b"])
        (False, True)
    """
    both = zip(marks, others, strict=False)
    return any(a != b for a, b in both if a and b)
