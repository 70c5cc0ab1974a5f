"""Shards: parts of a source, each of which can be read by itself, in any process, row after row."""

from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .marks import is_other, is_settled, mark_of_image, state_of
from .rows import Row, readable

SHARD = 8
"""Rows of a shard, where the source does not say how it is divided; few, so that no worker has many
left at the end."""


class Shard(Protocol):
    """A part of a source that can be read by itself."""

    def rows(self, done: Container[int] = frozenset()) -> Iterator[Row]:
        """Its rows, read one after the other, but for those of these numbers; one that cannot be
        read says why."""

    def names(self) -> Iterator[tuple[int, str]]:
        """Number and key of every row, without the images."""

    def changed(self, marks: Mapping[int, str]) -> set[int]:
        """Which rows are other than when they had these marks; it reads no more than it must."""


def _changed(shard: Shard, path: str, marks: Mapping[int, str]) -> set[int]:
    """As `Shard.changed`, of rows that lie in one file."""
    state = state_of(path)
    if all(is_settled(mark, state) for mark in marks.values()):
        return set()
    others = {number for number, _ in shard.names()} - marks.keys()
    return {row.number for row in shard.rows(others) if is_other(marks[row.number], row.mark)}


@dataclass(frozen=True)
class Files:
    """Image files: keys and paths, counted from `first`."""

    first: int
    files: tuple[tuple[str, str], ...]

    def rows(self, done: Container[int] = frozenset()) -> Iterator[Row]:
        """Paths: the worker opens them."""
        for number, (key, path) in enumerate(self.files, self.first):
            if number not in done:
                yield Row(number, key, path)

    def names(self) -> Iterator[tuple[int, str]]:
        """Of the files."""
        return enumerate((key for key, _ in self.files), self.first)

    def changed(self, marks: Mapping[int, str]) -> set[int]:
        """Files whose size or time is another, and whose bytes are."""
        paths = {number: self.files[number - self.first][1] for number in marks}
        touched = {n for n, path in paths.items() if not is_settled(marks[n], state_of(path))}
        return {n for n in touched if is_other(marks[n], mark_of_image(paths[n]))}


@dataclass(frozen=True)
class TarMembers:
    """Members of a tar file: keys, and where their bytes lie."""

    first: int
    path: str
    members: tuple[tuple[str, int, int], ...]

    def rows(self, done: Container[int] = frozenset()) -> Iterator[Row]:
        """The members' bytes."""
        state = state_of(self.path)
        for number, (key, start, size) in enumerate(self.members, self.first):
            if number in done:
                continue
            try:
                with Path(self.path).open("rb") as file:
                    file.seek(start)
                    data = file.read(size)
            except OSError as error:
                reason = f"{key} cannot be read from {self.path}: {error.strerror}"
                yield Row(number, key, None, reason)
                continue
            whole = len(data) == size
            reason = "" if whole else f"{key} is cut off: {self.path} is truncated"
            yield Row(number, key, data if whole else None, reason, state)

    def names(self) -> Iterator[tuple[int, str]]:
        """Of the members."""
        return enumerate((key for key, _, _ in self.members), self.first)

    def changed(self, marks: Mapping[int, str]) -> set[int]:
        """Members whose bytes are others; none is read where the tar is as it was."""
        return _changed(self, self.path, marks)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file."""

    first: int
    path: str
    group: int
    size: int
    images: str
    keys: str | None

    def rows(self, done: Container[int] = frozenset()) -> Iterator[Row]:
        """Its rows, decoded a few at a time; none where all are done."""
        import pyarrow.parquet as pq

        if all(number in done for number in range(self.first, self.first + self.size)):
            return
        columns = [self.images, *([self.keys] if self.keys else [])]
        state, read = state_of(self.path), 0
        try:
            with pq.ParquetFile(self.path) as file:
                some = file.iter_batches(SHARD, row_groups=[self.group], columns=columns)
                for number, value in enumerate(
                    (v for b in some for v in b.to_pylist()), self.first
                ):
                    read += 1
                    if number not in done:
                        yield self._row(number, value, state)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            reason = f"a part of {self.path} is damaged ({str(error).splitlines()[0]})"
            for number, key in islice(self.names(), read, None):
                if number not in done:
                    yield Row(number, key, None, reason)

    def names(self) -> Iterator[tuple[int, str]]:
        """Of the column of keys, which is read alone; of a damaged one, the numbers."""
        import pyarrow.parquet as pq

        keys = list[Any]([None] * self.size)
        if self.keys:
            with suppress(OSError, ValueError), pq.ParquetFile(self.path) as file:
                column = file.read_row_group(self.group, columns=[self.keys])[self.keys]
                keys = column.to_pylist()
        return ((number, _key_of(number, key)) for number, key in enumerate(keys, self.first))

    def changed(self, marks: Mapping[int, str]) -> set[int]:
        """Rows whose images are others; none is read where the table is as it was."""
        return _changed(self, self.path, marks)

    def _row(self, number: int, value: dict[str, Any], state: str) -> Row:
        key = _key_of(number, value.get(self.keys or ""))
        if self.keys and value[self.keys] is None:
            return Row(number, key, None, f"row {number} has no key")
        image = value[self.images]
        if isinstance(image, dict):  # {"bytes": …, "path": …}, as data sets of the Hub hold them
            image = image.get("bytes")
        if not isinstance(image, bytes) or not image:
            return Row(number, key, None, f"{key} holds no image")
        return Row(number, key, image, state=state)


def _key_of(number: int, key: Any = None) -> str:
    """The key of a row, which is counted where it has none; bytes are text that nobody marked."""
    if isinstance(key, bytes):
        return readable(key.decode("utf-8", "surrogateescape"))
    return f"{number:012d}" if key is None else str(key)


@dataclass(frozen=True)
class ZarrRows:
    """Rows of a Zarr array ``(n, h, w, C)`` or, with `channels_first`, ``(n, C, h, w)``."""

    first: int
    path: str
    stop: int
    channels_first: bool

    def rows(self, done: Container[int] = frozenset()) -> Iterator[Row]:
        """Arrays ``(h, w, C)``."""
        import zarr

        array = zarr.open_array(self.path, mode="r")
        for start in range(self.first, self.stop, array.chunks[0]):
            numbers = range(start, min(self.stop, start + array.chunks[0]))
            wanted = [number for number in numbers if number not in done]
            if not wanted:
                continue
            try:
                values = np.asarray(array[numbers.start : numbers.stop])  # a chunk is decoded whole
            except Exception as error:  # decoders raise errors of many kinds on damaged chunks
                reason = f"a chunk of {self.path} is damaged ({error})"
                yield from (Row(number, _key_of(number), None, reason) for number in wanted)
                continue
            values = values.transpose(0, 2, 3, 1) if self.channels_first else values
            for number in wanted:
                yield Row(number, _key_of(number), values[number - start])

    def names(self) -> Iterator[tuple[int, str]]:
        """The numbers."""
        return ((number, _key_of(number)) for number in range(self.first, self.stop))

    def changed(self, marks: Mapping[int, str]) -> set[int]:
        """None: rows that are counted are told by marks of the whole array."""
        return set()
