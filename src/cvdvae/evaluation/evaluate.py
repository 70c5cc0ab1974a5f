"""Every method on every image: records that can be continued, and what they come to."""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..errors import ConfigError, InputError
from ..files import check_writable, read_bounded, write_text
from ..locks import sole_writer
from ..restoration.finish import Finished
from .held import RECORDS, SETTINGS, Digest, Origin, digest_of, keep, key_of, lacks, settle, told_of
from .measure import EXPLODED, Judges, Scores, are_of_none, measure, measures_of_none
from .plan import Plan, Row, check_settings, rows_of
from .selection import Failures, Selection
from .task import Method, Task, WithEncoder, title_of

MAX_RECORDS = 2**30
"""Bytes that the records may have."""


Records = dict[tuple[Row, str], Scores]
"""The measures by row and name of the image, in the order of the table."""
Origins = dict[tuple[Row, str], Origin]
"""Of which images they are."""


def evaluate(
    plan: Plan,
    tasks: Sequence[Task],
    judges: Judges,
    out: Path,
    on_image: Callable[[str], None] | None = None,
) -> tuple[Records, Failures]:
    """Evaluate, continuing what `out` holds already.

    Args:
        plan: How to measure.
        tasks: The methods, and what they undo: one task for every scale or degradation.
        judges: The measures with weights.
        out: Folder for the records.
        on_image: Called after every image of every task with its name.

    Returns:
        The records, those of before among them: of other methods and temperatures where they are
        of all these images, and of other scales and degradations. And a sentence on every image
        that could not be used, or all of whose samples exploded at some row: there it has a record,
        of that alone.

    Raises:
        ConfigError: `out` holds the records of another plan, or of other models or methods, or is
            damaged; or a method draws no samples.
        InputError: There is no image, a scale or a degradation is named twice, or a method cannot
            be drawn at a temperature.
        OutputError: `out` cannot be written, or another process writes to it.
    """
    check_settings(plan, tasks)
    plan = replace(plan, selection=_cut(plan.selection, tasks))
    paths = plan.selection.paths()
    digest = cache(digest_of)
    with sole_writer(out):
        check_writable(out)
        held, origins = _read(out / RECORDS)
        measured = {(key_of(row.scale, row.damage), row.method) for row, _ in held}
        settle(out / SETTINGS, _settings(plan, judges), tasks, measured)
        _forget_others(held, origins, plan.selection, digest)
        lost = _measure_missing(plan, tasks, judges, out, paths, held, on_image, digest)
    records: Records = {}
    failures: Failures = {}
    for task in tasks:
        for row in (row for method in task.methods for row in rows_of(task, method, plan)):
            for path in paths:
                if (_key(task), path.name) in lost:
                    failures.setdefault(path.name, lost[_key(task), path.name])
                    continue
                scores = records[row, path.name] = held[row, path.name]
                if are_of_none(scores):
                    failures.setdefault(path.name, _sentence(path, row, EXPLODED))
        used = [path.name for path in paths if (_key(task), path.name) not in lost]
        for row in _rows_at(held, title_of(task.scale, task.damage)):
            if all((row, name) in held for name in used):
                records |= {(row, name): held[row, name] for name in used}
    return records | _at_other_tasks(held, tasks, plan.selection), failures


def _cut(selection: Selection, tasks: Sequence[Task]) -> Selection:
    """The images, cut as the models of all tasks take them."""
    kinds = {bool(getattr(task, "any_size", False)) for task in tasks}
    if selection.random_crops is None and len(kinds) > 1:
        raise InputError(
            "some models take images of any size, and others do not: judge them apart, or say "
            "--no-random-crops (in Python random_crops)"
        )
    return selection.cut_for(all(kinds))


def unused(records: Records, failures: Failures, tasks: Sequence[Task]) -> Failures:
    """The failures of images that lack a record at some row of these tasks, as those that exploded
    do not."""
    asked = {title_of(task.scale, task.damage) for task in tasks}
    rows = {row for row, _ in records if row.task in asked}
    whole = {name for name in failures if rows and all((row, name) in records for row in rows)}
    return {name: why for name, why in failures.items() if name not in whole}


def _rows_at(held: Records, task: str) -> list[Row]:
    return list(dict.fromkeys(row for row, _ in held if row.task == task))


def _at_other_tasks(held: Records, tasks: Sequence[Task], selection: Selection) -> Records:
    """What was measured before at tasks that are not asked for now: of each the images that its
    fullest row has, without those that another row passed over, and the rows that have them all."""
    asked = {title_of(task.scale, task.damage) for task in tasks}
    names = [path.name for path in selection.all_paths()]
    records: Records = {}
    for task in dict.fromkeys(row.task for row, _ in held if row.task not in asked):
        rows = _rows_at(held, task)
        ends = {row: max(i for i, n in enumerate(names) if (row, n) in held) for row in rows}
        some = enumerate(names[: max(ends.values()) + 1])
        used = [n for i, n in some if all((r, n) in held or i > end for r, end in ends.items())]
        whole = [row for row in rows if all((row, name) in held for name in used)]
        records |= {(row, name): held[row, name] for row in whole for name in used}
    return records


def _forget_others(held: Records, origins: Origins, selection: Selection, digest: Digest) -> None:
    """Take out of `held` what is of other images than there are now: of a file that was replaced,
    or of one with another number, and so with another seed."""
    numbers = {path.name: number for number, path in enumerate(selection.all_paths())}
    for key, origin in origins.items():
        name = key[1]
        told = name in numbers and origin != Origin()
        now = Origin(digest(selection.folder / name), numbers[name]) if told else origin
        if name not in numbers or not origin.is_of(now):
            del held[key]


def _measure_missing(
    plan: Plan,
    tasks: Sequence[Task],
    judges: Judges,
    out: Path,
    paths: list[Path],
    held: Records,
    on_image: Callable[[str], None] | None,
    digest: Digest,
) -> dict[tuple[str, str], str]:
    """Measure what `held` lacks, and what lacks a measure, into it and into the file.

    Returns:
        Why an image is left out of a task, by the task's key and the image's name: of all its
        methods where one of them fails, so that all are judged by the same images.
    """
    lost: dict[tuple[str, str], str] = {}
    for task in tasks:
        rows = [row for method in task.methods for row in rows_of(task, method, plan)]
        for number, path in enumerate(paths):
            missing = [row for row in rows if lacks(held.get((row, path.name)))]
            seed = plan.seed + number
            of = Origin(digest(path), number)._asdict() if missing else {}
            try:
                for row, scores in _one_image(plan, task, judges, path, seed, missing):
                    line = {**asdict(row), "image": path.name, **of, "scores": scores}
                    keep(out / RECORDS, line)
                    held[row, path.name] = scores
            except InputError as error:
                lost[_key(task), path.name] = str(error)
            if on_image is not None:
                on_image(path.name)
    return lost


def read_records(path: Path) -> Records:
    """Records of a file, the last of each, without a last line that was cut off.

    Raises:
        ConfigError: Another line is damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Records, Origins]:
    """The same with the images that they are of."""
    if not path.exists():
        return {}, {}
    try:
        text = read_bounded(path, MAX_RECORDS).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"cannot read {path}: {reason}") from None
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(path, whole)
    records: Records = {}
    origins: Origins = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = json.loads(line)
            scale, method, temperature, projected = (
                record[key] for key in ("scale", "method", "temperature", "projected")
            )
            later = record.get("damage", ""), record.get("encoder_temperature")
            row = Row(scale, method, temperature, projected, *later)
            records[row, record["image"]] = dict(record["scores"])
            origins[row, record["image"]] = Origin(record.get("digest"), record.get("number"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConfigError(
                f"line {number} of {path} is damaged: remove it, or choose another folder"
            ) from None
    return records, origins


def _one_image(
    plan: Plan, task: Task, judges: Judges, path: Path, seed: int, rows: list[Row]
) -> Iterator[tuple[Row, Scores]]:
    """Some rows on one image."""
    if not rows:
        return
    truth, y = task.pair(plan.selection, path)
    for row, done in answers(plan, task, y, seed, plan.samples, rows):
        if bool(done.exploded.all()):
            yield row, measures_of_none()
            continue
        try:
            yield row, measure(done, y, truth, task.degradation, judges, task.noise(y))
        except InputError as error:
            raise InputError(_sentence(path, row, str(error))) from None


def _sentence(path: Path, row: Row, why: str) -> str:
    return f"{path}, {row.method} {row.task}: {why}"


def answers(
    plan: Plan, task: Task, y: Tensor, seed: int, samples: int, rows: Container[Row] | None = None
) -> Iterator[tuple[Row, Finished]]:
    """What the methods of a task make of y, at some rows or all of them.

    Samples are drawn once for the projected and the plain row.

    Raises:
        ConfigError: A method draws no samples.
    """
    for method in task.methods:
        drawn: dict[Row, Tensor] = {}
        for row in rows_of(task, method, plan):
            if rows is not None and row not in rows:
                continue
            plain = replace(row, projected=False)
            if plain not in drawn:
                drawn = {plain: _drawn(task, method, y, samples, row, seed)}
            yield row, task.finish(drawn[plain], y, row.projected)


def _drawn(task: Task, method: Method, y: Tensor, samples: int, row: Row, seed: int) -> Tensor:
    """What a method draws, which must be samples: a function of somebody's may give anything."""
    if row.encoder_temperature is not None:
        method = cast(WithEncoder, method).with_encoder_at(row.encoder_temperature)
    x: object = method.draw(y, samples, row.temperature or 0.0, seed)
    shape = tuple(task.degradation.A_adjoint(y[None]).shape[1:])
    counts = (samples,) if method.stochastic else (1, samples)
    if isinstance(x, Tensor):
        if x.is_floating_point() and tuple(x.shape) in [(count, *shape) for count in counts]:
            return x
        said = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
    else:
        said = f"a {type(x).__name__}, no tensor"
    wanted = " or ".join(str((count, *shape)) for count in dict.fromkeys(counts))
    raise ConfigError(f"method {method.name} at {row.task} drew {said}, not floats {wanted}")


def _key(task: Task) -> str:
    return key_of(task.scale, task.damage)


def _settings(plan: Plan, judges: Judges) -> dict[str, Any]:
    """What must be the same for all records of a folder, whatever the task."""
    return {
        "folder": str(plan.selection.folder.resolve()),
        "start": plan.selection.start,
        "crop": plan.selection.crop,
        "random_crops": plan.selection.random_crops,
        "samples": plan.samples,
        "seed": plan.seed,
        **told_of(judges),
    }
