"""Targets: folders of pictures, Parquet, Zarr.

A target has two sides. What it delivers runs in the workers, and says which columns of a row come
back; what it writes runs in the one process that holds the folder's lock. Every output is written
aside and moved into place, so what is there is whole, and is the list of what is done.
"""

import errno
import io
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from ..errors import InputError, OccupiedError, OutputError, TakenError, need
from ..files import write_atomically
from ..imaging.carried import Extras
from ..imaging.folders import files_below
from ..imaging.io import to_pil
from ..restoration.result import DISCLAIMER
from ..restoration.saving import RESULT, is_report
from .drawable import Drawable
from .finding import ARRAYS, TABLES
from .remarks import REMARKS
from .upscaler import Deliver, as_arrays

Form = Literal["folder", "parquet", "zarr"]

PART_ROWS, PART_BYTES = 256, 64 * 2**20
"""Rows and bytes after which a part of a Parquet target is written; as many bytes are written to a
Zarr target together, and are a chunk of it at most."""
CHUNK = 16
"""Rows of a chunk of a Zarr target at most; four chunks' worth is written together."""
LAST = 1024
"""Bytes at the end of a `result.json` in which its last words stand."""
FILE_NAME = 64
"""Bytes that the path of a row's folder leaves for the names of the files in it."""


class Target(Protocol):
    """Where rows go.

    Attributes:
        deliver: What workers do with a row.
        place_of: Where the row of a key goes; of two rows with one place the second fails.
        lined_up: Where rows lie by number: the keys that `done` found, empty where there is none.
    """

    deliver: Deliver
    place_of: Callable[[str], str]
    lined_up: list[str]

    def done(self) -> set[str]:
        """Places of the rows that are there."""

    def add(self, row: dict[str, Any]) -> None:
        """Take a row that was drawn; it may be written later, with others.

        Raises:
            InputError: This target cannot hold the row.
            OutputError: It cannot be written.
        """

    def flush(self) -> None:
        """Write what was taken."""


class _IntoFolder:
    """Draws a row as a command does, into the folder named after its key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, row: Drawable, key: str) -> dict[str, Any]:
        """Nothing but remarks comes back: the worker has written the files."""
        place = PurePosixPath(key)
        nowhere = not key or "\0" in key or place == PurePosixPath()
        if nowhere or place.is_absolute() or ".." in place.parts:
            raise InputError("its key cannot name a folder")
        if self._is_too_long(place):
            raise InputError("its key is too long to name a folder")
        for path in (self.root / one for one in (place, *place.parents)):
            if os.path.lexists(path) and not path.is_dir():
                raise InputError(f"a file stands where its folder would be ({path})")
        try:
            return {REMARKS: row.draw_into(self.root / place)}
        except OutputError as error:
            if not _of_its_folder(error):  # as where the disk is full
                raise
            raise InputError(str(error)) from None

    def _is_too_long(self, place: PurePosixPath) -> bool:
        """Whether the file system has no room for such a name, or for those of files below it."""
        try:
            name, path = (os.pathconf(self.root, what) for what in ("PC_NAME_MAX", "PC_PATH_MAX"))
        except (AttributeError, OSError, ValueError):  # it does not say
            name, path = 255, 4096
        whole = len(os.fsencode((self.root / place).absolute())) + FILE_NAME
        return whole > path or max(len(os.fsencode(part)) for part in place.parts) > name


def _of_its_folder(error: OSError) -> bool:
    """Whether this row alone cannot be written: others have folders of their own."""
    if error.errno in (errno.EACCES, errno.EPERM) or isinstance(error, (OccupiedError, TakenError)):
        return True
    return isinstance(error.__cause__, OSError) and _of_its_folder(error.__cause__)


class FolderTarget:
    """A folder for every row, named after its key, as ``cvdvae upscale`` or ``restore`` writes it.

    Args:
        root: Where these folders lie.
    """

    place_of: Callable[[str], str] = staticmethod(lambda key: str(PurePosixPath(key)))

    def __init__(self, root: Path) -> None:
        self.root, self.lined_up = root, list[str]()
        self.deliver: Deliver = _IntoFolder(root)

    def done(self) -> set[str]:
        """Paths of the folders with a `result.json` of this program, which is written last."""
        below = files_below(self.root) if self.root.is_dir() else []
        found = (path for path in below if path.name == RESULT and _is_report(path))
        return {path.parent.relative_to(self.root).as_posix() for path in found}

    def add(self, row: dict[str, Any]) -> None:
        """The worker has written it."""

    def flush(self) -> None:
        """Nothing is held back."""


def _is_report(path: Path) -> bool:
    """Whether a file is a `result.json` of this program, by its last words, or by all of it: there
    may be very many, and each holds an image."""
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LAST))
        if DISCLAIMER.encode() in stream.read():
            return True
    return is_report(path)


def as_png(row: Drawable, key: str) -> dict[str, Any]:
    """Columns as `cvdvae.batch.upscaler.as_arrays` has them, the pictures as bytes of PNG files,
    with alpha, ICC profile and EXIF; that of ``std`` is grey with 16 bits, 65535 being 1."""
    answers, extras, told = row.drawn()
    std = (answers.std * 65535).round().clamp(0, 65535).numpy().astype(np.uint16)
    return told | {
        "samples": [_png(to_pil(one), extras) for one in answers.pixels],
        "mean": _png(to_pil(answers.mean_pixels), extras),
        "std": _png(Image.fromarray(std)),
    }


def _png(image: Image.Image, extras: Extras = Extras()) -> bytes:
    stream, dressed = io.BytesIO(), extras.added_to(image)
    dressed.save(stream, "PNG", icc_profile=extras.icc_profile, exif=extras.exif)
    return stream.getvalue()


class ParquetTarget:
    """Parquet files of some hundred rows each, ``part-000000.parquet`` and so on.

    Args:
        root: The folder with the parts.
    """

    deliver: Deliver = staticmethod(as_png)
    place_of: Callable[[str], str] = staticmethod(str)

    def __init__(self, root: Path) -> None:
        need("pyarrow", "a Parquet target", "batch")
        self.root, self.lined_up = root, list[str]()
        self.rows, self.bytes = list[dict[str, Any]](), 0

    def done(self) -> set[str]:
        """The column ``key`` of all parts."""
        import pyarrow.parquet as pq

        keys = set[str]()
        for path in self._parts().values():
            try:
                keys.update(pq.read_table(path, columns=["key"])["key"].to_pylist())
            except (OSError, ValueError, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise OutputError(f"{path} is no part of this program ({reason})") from None
        return keys

    def add(self, row: dict[str, Any]) -> None:
        """Hold it back until a part is full."""
        self.rows.append(row)
        self.bytes += sum(map(len, row["samples"]))
        if len(self.rows) >= PART_ROWS or self.bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write a part."""
        if not self.rows:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        binary, flags, numbers = pa.binary(), pa.list_(pa.bool_()), pa.list_(pa.float64())
        known = {
            "key": pa.string(), "number": pa.int64(), "seed": pa.int64(), "doubts": pa.string(),
            "samples": pa.list_(binary), "mean": binary, "std": binary, "noise": pa.float64(),
            "misfit": numbers, "explains": flags, "round_trip_exact": flags, "exploded": flags,
            "acceptance": numbers, "r_hat": pa.float64(),
        }  # fmt: skip
        kinds = [(name, kind) for name, kind in known.items() if name in self.rows[0]]
        rows = [{name: _plain(row[name]) for name, _ in kinds} for row in self.rows]
        schema = pa.schema(kinds, metadata={"note": DISCLAIMER})
        table = pa.Table.from_pylist(rows, schema=schema)
        number = max(self._parts(), default=-1) + 1
        part = self.root / f"part-{number:06d}.parquet"
        # The pictures are compressed already.
        held, self.rows, self.bytes = self.rows, [], 0
        try:
            write_atomically(part, lambda p: pq.write_table(table, p, compression="none"))
        except BaseException:
            if not part.exists():  # an interrupt may come just behind
                self.rows = held
            raise

    def _parts(self) -> dict[int, Path]:
        """By their numbers, in order."""
        paths = self.root.glob("part-*.parquet")
        named = ((re.fullmatch(r"part-([0-9]{6,})\.parquet", path.name), path) for path in paths)
        return dict(sorted((int(found[1]), path) for found, path in named if found))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


class ZarrTarget:
    """A Zarr group whose arrays have a row for every row of the source, in its order.

    ``samples`` ``(rows, N, H, W, C)`` and ``mean`` ``(rows, H, W, C)`` are uint8, ``std``
    ``(rows, H, W)`` is float32 in units of [0, 1]; ``key`` is written last, and empty where a row
    is not there. All images have one size.

    Args:
        root: The group.
        rows: How many rows the source has.
    """

    deliver: Deliver = staticmethod(as_arrays)
    place_of: Callable[[str], str] = staticmethod(str)
    names = (
        "samples", "mean", "std", "seed", "noise", "misfit", "explains", "round_trip_exact",
        "exploded", "acceptance", "r_hat", "doubts", "key",
    )  # fmt: skip

    def __init__(self, root: Path, rows: int) -> None:
        need("zarr", "a Zarr target", "batch")
        self.root, self.count, self.lined_up = root, rows, list[str]()
        self.rows, self.bytes = list[dict[str, Any]](), 0
        self.group: Any = None
        for left in root.rglob("*.partial"):  # of a killed run: nobody else writes here now
            with suppress(OSError):
                left.unlink()

    def done(self) -> set[str]:
        """The array ``key``, where it is not empty."""
        group = self._open()
        self.lined_up = group["key"][:].tolist() if group is not None and "key" in group else []
        return {key for key in self.lined_up if key}

    def add(self, row: dict[str, Any]) -> None:
        """Hold it back until some chunks' worth is there."""
        if not row["key"]:  # which stands for a row that is not there
            raise InputError("a row of a Zarr needs a key")
        shape = row["samples"].shape
        expected = self._shape()
        if expected is not None and shape != expected:
            raise InputError(
                f"{row['key']} has samples of {shape[2]}×{shape[1]} pixels, other rows of this "
                f"Zarr of {expected[2]}×{expected[1]}: write images of several sizes to Parquet "
                f"or to a folder"
            )
        self.rows.append(row)
        self.bytes += row["samples"].nbytes
        if len(self.rows) >= 4 * CHUNK or self.bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken, the keys last."""
        if not self.rows:
            return
        rows = sorted(self.rows, key=lambda row: int(row["number"]))
        try:
            group = self._open() if self.group is None else self.group
            self.group = self._create(rows[0]) if group is None or "key" not in group else group
            numbers = np.array([int(row["number"]) for row in rows])
            for name in (one for one in self.names if one in rows[0]):
                values = [row[name] for row in rows]
                kind = self.group[name].dtype
                self.group[name].oindex[numbers] = np.array(values, dtype=kind)
        except OSError as error:
            raise OutputError(f"cannot write {self.root}: {error.strerror or error}") from None
        self.rows, self.bytes = [], 0

    def _shape(self) -> tuple[int, ...] | None:
        """Of the samples of a row, where one is known."""
        if self.rows:
            return tuple(self.rows[0]["samples"].shape)
        group = self._open() if self.group is None else self.group
        return tuple(group["samples"].shape[1:]) if group is not None and "key" in group else None

    def _open(self) -> Any:
        import zarr

        try:
            begun = self.root.exists() and any(self.root.iterdir())  # or a full disk left it empty
            return zarr.open_group(self.root, mode="r+") if begun else None
        except Exception as error:
            raise OutputError(f"{self.root} is no Zarr group ({error})") from None

    def _create(self, row: dict[str, Any]) -> Any:
        import zarr

        group = zarr.open_group(self.root, mode="a")
        group.attrs["note"] = DISCLAIMER
        for name in (one for one in self.names if one in row):
            value = np.asarray(row[name])
            rows = max(1, min(CHUNK, self.count, PART_BYTES // max(1, value.nbytes)))
            group.create_array(
                name,
                shape=(self.count, *value.shape),
                chunks=(rows, *value.shape),
                dtype=str if value.dtype.kind == "U" else value.dtype,
                overwrite=True,  # what a killed run made, which got no further
            )
        return group


TARGETS: dict[Form, Callable[[Path, int], Target]] = {
    "folder": lambda out, rows: FolderTarget(out.absolute()),  # workers may be elsewhere
    "parquet": lambda out, rows: ParquetTarget(out / TABLES),
    "zarr": lambda out, rows: ZarrTarget(out / ARRAYS, rows),
}
"""What opens a target in the folder of a run, for a source of so many rows."""
