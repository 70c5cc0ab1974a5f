"""Sources: folders and globs of image files, Parquet with image bytes, WebDataset tars, Zarr.

A source is a list of shards. Finding them reads names and tables of contents, no image.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, need
from ..imaging.unread import is_hidden
from .files import into_folders
from .finding import Named, files_of, is_of_run, named, tell_refused
from .marks import mark_of, marks_of_rows
from .mixed import refuse_mixed
from .rows import readable
from .shards import SHARD, Files, RowGroup, Shard, TarMembers, ZarrRows
from .tars import images_in

AS_IMAGE = ": one that is an image itself is drawn by cvdvae upscale, or in a folder of several"
"""What to do with a Zarr that holds no rows."""
KEY = "key"
"""The column of keys where none is named."""


class Source(NamedTuple):
    """Where rows come from.

    Attributes:
        shards: Its parts.
        rows: How many rows they have together.
        marks: Where rows are counted: what tells them from those of other files.
        image_column: The column of images that was chosen; None where none was.
        key_column: Likewise of keys.
    """

    shards: list[Shard]
    rows: int
    marks: tuple[str, ...] = ()
    image_column: str | None = None
    key_column: str | None = None


def open_source(
    text: str,
    image_column: str | None = None,
    key_column: str | None = None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Source:
    """Find the shards of a source.

    Args:
        text: A folder or glob of images, a ``.parquet`` or ``.tar`` file, a folder or a glob of
            them, or a ``.zarr`` array.
        image_column: Column of a Parquet file with the bytes of image files; by default the first
            that can hold them.
        key_column: Column with the keys; by default ``key``, or else the rows are counted.
        out: As for `files_of`, of a folder or a glob of images.
        say: As for `files_of`.

    Raises:
        InputError: There is nothing, or nothing that can be used; the message says why.
    """
    path, given = Path(text), named(text)
    tables, tars = (_files_with(given, suffix, out) for suffix in (".parquet", ".tar"))
    if not tables and (image_column or key_column):
        raise InputError(f"--image-column and --key-column go with Parquet, and not with {text}")
    is_named = path.suffix == ".zarr" and given.matches is None
    if is_named or (path / "zarr.json").exists() or (path / ".zarray").exists():
        return _with_rows(_zarr(path), text)
    if (tables or tars) and not path.is_file():
        refuse_mixed(given, tables, tars, out)
        tell_refused(given.refused, say)
    if tables:
        return _with_rows(_parquet(tables, image_column, key_column), text)
    if tars:
        return _tar(tars)
    if text.endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")):
        raise InputError(f"{text} is compressed, so no row of it can be read by itself: unpack it")
    return _folder(given, out, say)


def _with_rows(source: Source, text: str) -> Source:
    if not source.rows:
        raise InputError(f"{text} holds no row")
    return source


def _files_with(given: Named, suffix: str, out: Path | None) -> list[Path]:
    path = Path(given.text)
    if given.matches is not None:
        found = (p for p in given.matches if p.suffix.lower() == suffix)
        return [p for p in found if p.is_file() and not is_of_run(p, out)]
    if path.is_dir():
        found = (p for p in path.iterdir() if p.suffix.lower() == suffix)
        return sorted(p for p in found if p.is_file() and not is_hidden(Path(p.name)))
    if path.suffix.lower() == suffix and not path.is_file():
        raise InputError(f"{path} does not exist")
    return [path] if path.suffix.lower() == suffix else []


def _folder(given: Named, out: Path | None, say: Callable[[str], None]) -> Source:
    jobs = into_folders(files_of([given], out, say))
    pairs = [(readable(job.folder.as_posix()), str(job.path.absolute())) for job in jobs]
    if len(pairs) == 1 and not jobs[0].path.exists():
        raise InputError(f"{given.text} does not exist")
    shards: list[Shard] = [Files(i * SHARD, some) for i, some in enumerate(_in_shards(pairs))]
    return Source(shards, len(pairs))


def _in_shards(items: list[Any]) -> Iterator[tuple[Any, ...]]:
    for i in range(0, len(items), SHARD):
        yield tuple(items[i : i + SHARD])


def _tar(files: list[Path]) -> Source:
    shards: list[Shard] = []
    rows = 0
    for path in files:
        for some in _in_shards(images_in(path)):
            shards.append(TarMembers(rows, str(path.absolute()), some))
            rows += len(some)
    return Source(shards, rows)


def _parquet(files: list[Path], images: str | None, keys: str | None) -> Source:
    need("pyarrow", "a Parquet source", "batch")
    import pyarrow.parquet as pq

    shards: list[Shard] = []
    rows, counted = 0, False
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                schema, metadata = file.schema_arrow, file.metadata
                sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is no Parquet file, or a damaged one ({reason})") from None
        key = keys or (KEY if KEY in schema.names else None)
        if key is not None and key not in schema.names:
            raise InputError(f"{path} has no column '{key}', only {', '.join(schema.names)}")
        column = _image_column(path, schema, images, key)
        starts = accumulate(sizes[:-1], initial=rows)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=False)):
            shards.append(RowGroup(start, str(path.absolute()), i, size, column, key))
        rows, counted = rows + sum(sizes), counted or key is None
    chosen = None if keys == KEY else keys  # which is taken by default
    return Source(shards, rows, tuple(map(mark_of, files)) if counted else (), images, chosen)


def _image_column(path: Path, schema: Any, wanted: str | None, key: str | None) -> str:
    """The column of images: the wanted one, or the first that can hold them and is not the keys'.

    Raises:
        InputError: There is none.
    """
    import pyarrow as pa

    def holds_bytes(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    found = [field.name for field in schema if holds_bytes(field.type)]
    if wanted in found:
        return str(wanted)
    first = next((name for name in found if name != key), None)
    if wanted is None and first is not None:
        return str(first)
    if wanted is None:
        raise InputError(
            f"{path} has no column with the bytes of image files: it has "
            f"{', '.join(f'{field.name} ({field.type})' for field in schema)}"
        )
    raise InputError(f"{path} has no column '{wanted}' with the bytes of image files")


def _zarr(path: Path) -> Source:
    need("zarr", "a Zarr source", "batch")
    import zarr

    if not path.exists():
        raise InputError(f"{path} does not exist")
    try:
        array = zarr.open_array(path, mode="r")
    except Exception as error:
        raise InputError(
            f"{path} is no Zarr array ({str(error).splitlines()[0]}){AS_IMAGE}"
        ) from None
    shape, kind = array.shape, array.dtype
    if len(shape) != 4:
        raise InputError(
            f"{path} has the shape {shape}, and rows of images have 4 axes, (n, h, w, C){AS_IMAGE}"
        )
    if kind != "uint8" and kind.kind != "f":
        raise InputError(f"{path} holds {kind}: rows are uint8, or float in [0, 1]")
    wide, colours = shape[3] > 4 >= shape[1], [shape[axis] in (1, 3) for axis in (1, 3)]
    channels_first = wide or colours == [True, False]
    step = max(1, SHARD // array.chunks[0]) * array.chunks[0]
    shards: list[Shard] = [
        ZarrRows(start, str(path.absolute()), min(shape[0], start + step), channels_first)
        for start in range(0, shape[0], step)
    ]
    return Source(shards, shape[0], marks_of_rows(array))
