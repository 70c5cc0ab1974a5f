"""Every method on every image: records that can be continued, and what they come to."""

import json
import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ConfigError, InputError
from ..files import check_writable, read_bounded, write_text
from ..locks import sole_writer
from ..restoration.finish import Finished
from ..restoration.settings import check_samples
from .measure import EXPLODED, Judges, Scores, are_of_none, measure, measures_of_none
from .selection import Failures, Selection
from .task import Method, Task, title_of
from .versions import version_of

SETTINGS, RECORDS = "settings.json", "records.jsonl"
MAX_SETTINGS, MAX_RECORDS = 2**20, 2**30
"""Bytes that the two files may have."""


@dataclass(frozen=True)
class Plan:
    """How every method is measured; the same plan on the same models gives the same numbers.

    Attributes:
        selection: The images.
        temperatures: Of the stochastic methods.
        samples: Of each image.
        seed: Image i of the selection draws with ``seed + i``.
    """

    selection: Selection
    temperatures: tuple[float, ...] = (0.1, 0.8)
    samples: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_samples(self.samples)
        if self.seed < 0:
            raise InputError(f"the seed must be 0 or more, not negative as {self.seed}")
        if not all(math.isfinite(t) and t >= 0 for t in self.temperatures):
            raise InputError("a temperature must be a number from 0 upwards")
        if len(set(self.temperatures)) < len(self.temperatures):
            raise InputError("a temperature is named twice")


@dataclass(frozen=True)
class Row:
    """One line of the table: a method at a scale and a temperature, projected or not.

    `damage` says what happened to the images, where that was more than shrinking.
    """

    scale: int
    method: str
    temperature: float | None
    projected: bool
    damage: str = ""

    @property
    def task(self) -> str:
        """What happened to the images, as tables say it."""
        return title_of(self.scale, self.damage)


Records = dict[tuple[Row, str], Scores]
"""The measures by row and name of the image, in the order of the table."""


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
        The records, and a sentence on every image that could not be used, or all of whose samples
        exploded at some row: there it has a record, of that alone.

    Raises:
        ConfigError: `out` holds the records of another plan, or of other models or methods, or is
            damaged.
        InputError: There is no image, or a scale or a degradation is named twice.
        OutputError: `out` cannot be written, or another process writes to it.
    """
    if len({_key(task) for task in tasks}) < len(tasks):
        raise InputError("a scale or a degradation is named twice")
    paths = plan.selection.paths()
    with sole_writer(out):
        check_writable(out)
        held = read_records(out / RECORDS)
        _settle(out / SETTINGS, plan, tasks, judges, bool(held))
        lost = _measure_missing(plan, tasks, judges, out, paths, held, on_image)
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
    return records, failures


def unused(records: Records, failures: Failures) -> Failures:
    """The failures of images that lack a record at some row, as those that exploded do not."""
    rows = {row for row, _ in records}
    whole = {name for name in failures if rows and all((row, name) in records for row in rows)}
    return {name: why for name, why in failures.items() if name not in whole}


def _measure_missing(
    plan: Plan,
    tasks: Sequence[Task],
    judges: Judges,
    out: Path,
    paths: list[Path],
    held: Records,
    on_image: Callable[[str], None] | None,
) -> dict[tuple[str, str], str]:
    """Measure what `held` lacks, into it and into the file.

    Returns:
        Why an image is left out of a task, by the task's key and the image's name: of all its
        methods where one of them fails, so that all are judged by the same images.
    """
    lost: dict[tuple[str, str], str] = {}
    with (out / RECORDS).open("a", encoding="utf-8") as stream:
        for task in tasks:
            rows = [row for method in task.methods for row in rows_of(task, method, plan)]
            for number, path in enumerate(paths):
                missing = [row for row in rows if (row, path.name) not in held]
                seed = plan.seed + number
                try:
                    for row, scores in _one_image(plan, task, judges, path, seed, missing):
                        line = {**asdict(row), "image": path.name, "scores": scores}
                        stream.write(json.dumps(line, allow_nan=False) + "\n")
                        held[row, path.name] = scores
                except InputError as error:
                    lost[_key(task), path.name] = str(error)
                stream.flush()
                if on_image is not None:
                    on_image(path.name)
    return lost


def rows_of(task: Task, method: Method, plan: Plan) -> list[Row]:
    """The table's lines of one method of a task."""
    if not method.stochastic:
        return [Row(task.scale, method.name, None, False, task.damage)]
    return [
        Row(task.scale, method.name, temperature, projected, task.damage)
        for temperature in plan.temperatures
        for projected in task.projections
    ]


def read_records(path: Path) -> Records:
    """Records of a file, without a last line that was cut off.

    Raises:
        ConfigError: Another line is damaged.
    """
    if not path.exists():
        return {}
    try:
        text = read_bounded(path, MAX_RECORDS).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"cannot read {path}: {reason}") from None
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(path, whole)
    records: Records = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = json.loads(line)
            scale, method, temperature, projected = (
                record[key] for key in ("scale", "method", "temperature", "projected")
            )
            row = Row(scale, method, temperature, projected, record.get("damage", ""))
            records[row, record["image"]] = dict(record["scores"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConfigError(
                f"line {number} of {path} is damaged: remove it, or choose another folder"
            ) from None
    return records


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
            yield row, measure(done, y, truth, task.degradation, judges, task.sigma(y))
        except InputError as error:
            raise InputError(_sentence(path, row, str(error))) from None


def _sentence(path: Path, row: Row, why: str) -> str:
    return f"{path}, {row.method} {row.task}: {why}"


def answers(
    plan: Plan, task: Task, y: Tensor, seed: int, samples: int, rows: Container[Row] | None = None
) -> Iterator[tuple[Row, Finished]]:
    """What the methods of a task make of y, at some rows or all of them.

    Samples are drawn once for the projected and the plain row.
    """
    for method in task.methods:
        drawn: dict[float | None, Tensor] = {}
        for row in rows_of(task, method, plan):
            if rows is not None and row not in rows:
                continue
            if row.temperature not in drawn:
                drawn = {row.temperature: method.draw(y, samples, row.temperature or 0.0, seed)}
            yield row, task.finish(drawn[row.temperature], y, row.projected)


def _key(task: Task) -> str:
    return task.damage or f"x{task.scale}"


def _is_settings(earlier: Any) -> bool:
    """Whether this can be what `_settle` wrote, methods left out before they were told apart."""
    if not isinstance(earlier, dict) or not isinstance(earlier.get("models"), dict):
        return False
    methods = earlier.get("methods", {})
    return isinstance(methods, dict) and all(isinstance(v, dict) for v in methods.values())


def _settle(path: Path, plan: Plan, tasks: Sequence[Task], judges: Judges, measured: bool) -> None:
    """Write the plan down, or refuse to mix two plans, models or methods in one folder."""
    held: dict[str, Any] = {
        "folder": str(plan.selection.folder),
        "start": plan.selection.start,
        "crop": plan.selection.crop,
        "random_crops": plan.selection.random_crops,
        "samples": plan.samples,
        "seed": plan.seed,
        "measures": ["LPIPS"] * (judges.lpips is not None)
        + ["BRISQUE"] * (judges.brisque is not None),
        "models": {_key(task): task.fingerprint for task in tasks},
        "methods": {_key(task): {m.name: version_of(m) for m in task.methods} for task in tasks},
    }
    if measured and not path.exists():
        raise ConfigError(
            f"{path.parent} holds records without the {SETTINGS} that says of what: remove "
            f"{RECORDS}, or choose another folder"
        )
    if path.exists():
        earlier: Any
        try:
            earlier = json.loads(read_bounded(path, MAX_SETTINGS))
        except (OSError, ValueError, RecursionError):
            earlier = None
        if not _is_settings(earlier):
            raise ConfigError(
                f"{path} is damaged: remove it and {RECORDS}, or choose another folder"
            )
        earlier.setdefault("random_crops", False)  # of before there was the choice
        models, methods = earlier["models"], earlier.get("methods", {})
        added = ("models", "methods")  # to those of before, from which they must not differ
        different = [k for k in held if k not in added and earlier.get(k) != held[k]]
        different += [f"model at {k}" for k, v in held["models"].items() if models.get(k, v) != v]
        for key, told in held["methods"].items():
            known = methods.get(key, {})
            different += [f"method {m} at {key}" for m, v in told.items() if known.get(m, v) != v]
            held["methods"][key] = known | told
        if different:
            raise ConfigError(
                f"{path.parent} holds an evaluation with another {' and '.join(different)}: "
                f"choose another folder"
            )
        held["models"], held["methods"] = models | held["models"], methods | held["methods"]
    write_text(path, json.dumps(held, indent=2) + "\n")
