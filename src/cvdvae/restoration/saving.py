"""The files of a result in its folder: those of an earlier one give way, and no others."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import InputError, OccupiedError, unwritable
from ..files import check_writable, read_bounded, remove, write_text
from ..imaging.carried import Extras
from ..imaging.io import MAX_PIXELS, save_png, to_pil
from ..locks import sole_writer
from .answers import Answers
from .workers import in_order, workers_on

RESULT, UNFINISHED, EARLIER = "result.json", ".unfinished.json", ".cvdvae-earlier"
MAX_BYTES = 17 * MAX_PIXELS
"""Of a `result.json`: what was seen of a large image may stand in it, in three float32 a pixel."""
INPUT = "input"
"""What an input is called that goes with its result."""
OURS = re.compile(
    r"(?:sample_\d{2,}|mean|std|lower|upper|grid|input|seen)(?:\.png|(?:\.ome)?\.(?:tiff?|zarr|npy))"
    r"|(?:sample_\d{2,}|mean|std|lower|upper|input)(?:\.ome)?\.tiff?\.aux\.xml"
    r"|input(?:\.ome)?\.(?:tfw|tiff?w|wld|tab)"
    r"|samples\.(?:webp|apng)",
    re.IGNORECASE,
)


def to_json(data: Any, indent: int | None = None) -> str:
    """Plain data as JSON, which has no word for numbers that are not finite: they become null.
    Numbers of NumPy are numbers.

    Example:
        >>> to_json({"psnr": [30.5, float("inf")], "r_hat": float("nan")})
        '{"psnr": [30.5, null], "r_hat": null}'
    """
    return json.dumps(_plain(data), indent=indent, allow_nan=False)


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    data = data.item() if isinstance(data, np.generic) else data
    return None if isinstance(data, float) and not math.isfinite(data) else data


def is_result(folder: Path) -> bool:
    """Whether a folder holds a `result.json` of this program, or what a killed one left of it."""
    with suppress(OSError):  # it may not be looked into
        if (folder / UNFINISHED).is_file():
            return True
    return is_report(folder / RESULT)


def is_report(path: Path) -> bool:
    """Whether a file is a `result.json` of this program."""
    return _is_ours(_told_in(path))


@contextmanager
def saved_files(
    folder: Path, names: list[str], report: Callable[[], Any], given: tuple[Path, ...] = ()
) -> Iterator[None]:
    """Write pictures within, and `result.json` behind them.

    What is being written is noted first, so that also what a killed process left can be told from
    files of other origin. An earlier result is put aside, and is back in its place where this one
    fails; where the process is killed, with the next one that writes here.

    Args:
        folder: The folder.
        names: The pictures that will be written.
        report: Gives what `result.json` will hold, with the `names` as ``files``.
        given: The input's file, and those beside it that go with it: they stay also where they are
            of an earlier result.

    Raises:
        OutputError: The folder cannot be written, another process writes to it, or a file of
            such a name, or a `result.json`, is in it that no earlier result has written.
    """
    with sole_writer(folder):
        check_writable(folder)
        settle(folder, given)
        before = _told_in(folder / RESULT)
        earlier = _names_in(before)
        foreign = [] if _is_ours(before) else [RESULT]
        beside = [path.name for path in given[1:] if path.parent.resolve() == folder.resolve()]
        _check_free(folder, [*names, *foreign], [*earlier, *beside], given)
        try:
            _put_aside(folder, earlier, given)
            write_text(folder / UNFINISHED, json.dumps({"files": names}) + "\n")
            yield
            write_text(folder / RESULT, to_json(report(), indent=2) + "\n")
        finally:
            settle(folder, given)


def refuse_own(folder: Path, path: Path) -> None:
    """Refuse an input that is a picture of an earlier result in the folder, and would give way.

    Raises:
        OccupiedError: So it is.
    """
    place, name = os.path.split(os.path.realpath(path))
    # An input of arrays goes with its result, and is kept.
    kept = name.split(".")[0] == INPUT and not name.endswith(".png")
    if kept or place != os.path.realpath(folder):
        return
    notes = (folder / RESULT, folder / UNFINISHED, folder / EARLIER / RESULT)
    if any(name in _names_in(_told_in(note)) for note in notes):
        raise OccupiedError(
            f"{path} lies where its own result would go: move it, or choose another folder"
        )


def _put_aside(folder: Path, names: list[str], given: tuple[Path, ...]) -> None:
    """Move an earlier result out of the way, its `result.json` first.

    Raises:
        OutputError: It cannot be moved.
    """
    aside = folder / EARLIER
    try:
        for path in (folder / name for name in (RESULT, *names)):
            if path.exists() and not _is(path, given):
                aside.mkdir(exist_ok=True)
                path.rename(aside / path.name)
    except OSError as error:
        raise unwritable(folder, error) from error


def settle(folder: Path, given: tuple[Path, ...] = ()) -> None:
    """Leave one whole result: the new one where its `result.json` is there, which is written last,
    else the earlier one. It may be stopped anywhere, and done again."""
    aside, note = folder / EARLIER, folder / UNFINISHED
    if not (folder / RESULT).exists():
        earlier = _names_in(_told_in(aside / RESULT))
        for name in _names_in(_told_in(note)):
            if name not in earlier or (aside / name).exists():
                _remove(folder / name, given)
        note.unlink(missing_ok=True)
        back = aside.iterdir() if aside.is_dir() else ()
        for path in sorted(back, key=lambda path: path.name == RESULT):
            path.rename(folder / path.name)
    note.unlink(missing_ok=True)
    remove(aside)


def of_answers(answers: Answers) -> dict[str, Callable[[], Image.Image]]:
    """What makes the pictures of samples, and of their mean, which takes longest, by name."""
    pictures: dict[str, Callable[[], Image.Image]]
    pictures = {"mean.png": lambda: to_pil(answers.mean_pixels)}
    samples = enumerate(answers.pixels)
    return pictures | {f"sample_{i:02d}.png": partial(to_pil, one) for i, one in samples}


def save_pictures(
    folder: Path,
    pictures: Mapping[str, Callable[[], Image.Image]],
    extras: Extras,
    plain: Mapping[str, Callable[[], Image.Image]],
) -> None:
    """Make pictures and write them, as many at a time as there are processors.

    Args:
        folder: Where they go.
        pictures: Their names, and what makes each: those that take longest first.
        extras: What the input's file carried beside its colours, for all of these.
        plain: The same of pictures that carry nothing.

    Raises:
        OutputError: One cannot be written.
    """

    def save(name: str) -> None:
        if name in pictures:
            save_png(folder / name, pictures[name](), extras)
        else:
            save_png(folder / name, plain[name]())

    for _ in in_order(save, [*pictures, *plain], workers_on(torch.device("cpu"))):
        pass


def _check_free(
    folder: Path, names: list[str], earlier: list[str], given: tuple[Path, ...]
) -> None:
    """Refuse to write over what is no earlier result, or over the input but by itself."""
    for name in names:
        path = folder / name
        replaced = _is(path, given) and name.split(".")[0] != INPUT  # which holds the same again
        if path.exists() and (replaced or name not in earlier):
            raise OccupiedError(
                f"{path} is there already, and no earlier result lists it: move it, or choose "
                f"another folder"
            )


def _remove(path: Path, given: tuple[Path, ...]) -> None:
    if not _is(path, given):
        remove(path)


def _is(path: Path, given: tuple[Path, ...]) -> bool:
    return path.resolve() in [one.resolve() for one in given]


def result_in(path: Path) -> Path:
    """The `result.json` of a result's folder; a file as it is."""
    return path / RESULT if path.is_dir() else path


def read_told(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """What a `result.json` of at most so many bytes says.

    Raises:
        InputError: It cannot be read, or is none.
    """
    try:
        data = json.loads(read_bounded(path, most).decode("utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{path} is no result.json of this program")
    return data


def _told_in(note: Path) -> dict[str, Any]:
    """What a `result.json` says; nothing where it is none."""
    with suppress(InputError):
        return read_told(note)
    return {}


def _is_ours(told: dict[str, Any]) -> bool:
    return {"model", "samples", "seed"} <= set(told)


def _names_in(told: dict[str, Any]) -> list[str]:
    """The pictures that a result lists, and the input that it names; those of one without a list
    follow from its samples."""
    names, samples = told.get("files"), told.get("samples")
    if names is None and isinstance(samples, int) and samples <= 10_000:
        names = [f"sample_{i:02d}.png" for i in range(samples)]
        names += ["mean.png", "std.png", "grid.png"]
    listed = [*(names if isinstance(names, list) else []), told.get("input")]
    known = dict.fromkeys(name for name in listed if isinstance(name, str))
    return [name for name in known if OURS.fullmatch(name)]
