"""Rows on their way from a source to the workers, as dicts of arrays.

A row has a key, which is its name in the source and in the target, a number, which is its place in
the source, and an image: as a path, as the bytes of an image file, or as an array. A batch is a
dict of columns, all of the same length, as engines such as Ray and Spark hand them around.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .marks import mark_of_image

Batch: TypeAlias = dict[str, np.ndarray[Any, Any]]
"""Columns by their names."""

IMAGES = ("path", "bytes", "image")
"""Columns that may hold images, the first that is there: paths; image files; uint8 or float arrays
of shape ``(h, w, C)``, floats in [0, 1]."""


class Row(NamedTuple):
    """One row of a source.

    Attributes:
        number: Its place in the source, from 0.
        key: Its name; no other row of the source has it.
        image: A path as text, the bytes of an image file, or an array ``(h, w, C)``; None where it
            could not be read.
        error: Why not; empty otherwise.
        state: That of the file that holds the image, as `cvdvae.batch.marks` has it.
    """

    number: int
    key: str
    image: str | bytes | np.ndarray[Any, Any] | None
    error: str = ""
    state: str = ""

    @property
    def mark(self) -> str:
        """What tells the image from others, for which a path is read; empty if nothing does."""
        if not isinstance(self.image, str | bytes):
            return ""
        return mark_of_image(self.image, self.state)

    def to_dict(self) -> dict[str, Any]:
        """By column: that of the image is named after its kind."""
        named = {"number": self.number, "key": self.key, "error": self.error, "mark": self.mark}
        return named | {_column(self.image): self.image}


def readable(text: str) -> str:
    r"""A text as UTF-8 can hold it: of a file name that is no Unicode, what is none is escaped.

    Example:
        >>> print(readable("J\udcfcrgen"))
        J\udcfcrgen
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _column(image: Any) -> str:
    if isinstance(image, str):
        return "path"
    return "image" if isinstance(image, np.ndarray) else "bytes"


def to_batch(rows: Iterable[Row]) -> Batch:
    """Columns of some rows."""
    dicts = [row.to_dict() for row in rows]
    names = dict.fromkeys(name for row in dicts for name in row)
    return {name: column([row.get(name) for row in dicts]) for name in names}


def column(values: list[Any]) -> np.ndarray[Any, Any]:
    """One column: an array of the values' own kind where all have one shape, else of objects.

    Example:
        >>> column([np.zeros((2, 3)), np.ones((2, 3))]).shape
        (2, 2, 3)
        >>> column(["a", "bc"]).dtype
        dtype('O')
    """
    arrays = all(isinstance(value, np.ndarray) for value in values)
    if arrays and len({(value.shape, value.dtype) for value in values}) == 1:
        return np.stack(values)
    if values and all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects


def rows_of(batch: Batch) -> Iterator[dict[str, Any]]:
    """The rows of a batch, each by column."""
    for values in zip(*batch.values(), strict=True):
        yield dict(zip(batch, values, strict=True))


def in_batches(rows: Iterable[Row], size: int) -> Iterator[Batch]:
    """Rows in batches of at most `size`, read when they are asked for."""
    rows = iter(rows)
    while some := list(islice(rows, size)):
        yield to_batch(some)
