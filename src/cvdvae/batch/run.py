"""A run from a source to a target: what is done is left out, what fails is noted.

The folder of a run holds ``batch.json``, what the results follow from, ``drawn.jsonl``, the images
that they are of, ``failures.jsonl``, and the results. One process writes to it at a time.
"""

import json
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, OutputError
from ..files import check_writable, write_text
from ..locks import sole_writer
from ..restoration.result import DISCLAIMER
from ..restoration.saving import to_json
from ..restoration.workers import usable_processors
from .drawers import drawer_of
from .drawn import Drawn
from .failures import Failures
from .finding import DRAWN, FAILURES, NOTE
from .kinds import SIZE, Kinds
from .local import Recipe, draw_locally
from .marks import are_others
from .rows import Batch, Row, in_batches, rows_of
from .settings import Settings
from .shards import Shard
from .sources import Source
from .targets import TARGETS, Form, Target

BATCH = 4
"""Rows that a process is given at a time."""
CHANGED = "is not the image that its results were drawn from: remove them, or choose another folder"
SEEDS = 2**63
"""How many seeds the int64 of Parquet and Zarr can hold."""

Engine = Callable[["Work"], Generator[Batch]]
"""Draws all rows of some work that are still to do, in any order."""


class Work(NamedTuple):
    """What an engine is to do.

    Attributes:
        shards: Where the rows are.
        done: Numbers of rows that need not be drawn.
        recipe: What draws.
        in_order: Whether rows should come about in the order of the source.
        rows: How many the source has.
        refused: Why rows are not drawn, by their numbers: an earlier row of the source has their
            key, or place in the target, or they have changed since they were drawn.
        begin: Told of rows before they are drawn, by engines that read them in this process.
    """

    shards: list[Shard]
    done: frozenset[int]
    recipe: Recipe
    in_order: bool
    rows: int
    refused: Mapping[int, str] = {}
    begin: Callable[[Batch], None] = lambda batch: None


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        rows: Rows of the source.
        before: Of these, what earlier runs had done.
        drawn: Drawn by this run.
        failed: Failed in this run.
        started: When it started, by `time.monotonic`.
        reasons: Rows that failed, by reason.
        notes: Rows drawn, by what had to be changed to read them and what is to be known of their
            results, without the sizes of images.
    """

    rows: int
    before: int
    drawn: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    reasons: Kinds = field(default_factory=Kinds)
    notes: Kinds = field(default_factory=Kinds)

    @property
    def left(self) -> int:
        """Rows still to do."""
        return max(0, self.rows - self.before - self.drawn - self.failed)

    @property
    def rate(self) -> float:
        """Rows a second, of this run alone."""
        return (self.drawn + self.failed) / max(1e-9, time.monotonic() - self.started)

    @property
    def to_go(self) -> float | None:
        """Seconds to go at that rate; None before the first row."""
        return self.left / self.rate if self.drawn + self.failed else None


def run_batch(
    source: Source,
    out: Path,
    model: str,
    settings: Settings,
    form: Form = "folder",
    engine: Engine | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Draw all rows of a source into a target.

    Args:
        source: The source.
        out: Folder of the run.
        model: Name of the model.
        settings: How to draw.
        form: What the target is.
        engine: What draws; processes on all processors by default.
        on_progress: Called after every batch.

    Returns:
        How it went.

    Raises:
        OutputError: The folder cannot be written, another run writes to it, or it holds results
            that were drawn otherwise. What was done is kept.
        WeightsError: There is no such model.
        InputError: The target cannot hold the seed.
    """
    if form != "folder" and not settings.independent and settings.seed >= SEEDS:
        raise InputError(f"Parquet and Zarr hold seeds below 2^63, not {settings.seed}")
    with sole_writer(out):
        check_writable(out)
        target = TARGETS[form](out, source.rows)
        done = target.done()
        _note(out, model, settings, form, source, bool(done or target.lined_up))
        recipe = Recipe(model, settings, target.deliver)
        with closing(Drawn(out / DRAWN)) as drawn:
            refused = dict[int, str]()
            marks = drawn.marks()
            numbers = _done(source, target, done, marks, refused)
            known = (key for key, mark in marks.items() if mark)
            drawn.forget(key for key in known if target.place_of(key) not in done)
            of = (form == "zarr", source.rows, refused, drawn.begin)
            work = Work(source.shards, numbers, recipe, *of)
            progress = Progress(source.rows, len(work.done))
            failures = Failures(out / FAILURES)
            progress.reasons = failures.reasons
            try:
                with closing((engine or local())(work)) as results:
                    for batch in results:
                        for row in rows_of(batch):
                            _take(row, target, drawn, failures, done, progress)
                        on_progress(progress)
            finally:
                failures.close()
                target.flush()
    return progress


def _done(
    source: Source,
    target: Target,
    done: Container[str],
    marks: Mapping[str, str],
    refused: dict[int, str],
) -> frozenset[int]:
    """Numbers of the rows that are done: the target may hold others, too.

    Args:
        source: The source.
        target: The target.
        done: Places of rows in it.
        marks: By the keys of rows, of what they were drawn from.
        refused: Numbers of rows that cannot be drawn are put here, each with the reason.

    Raises:
        OutputError: A row would be written over another.
    """
    seen, numbers = set[str](), set[int]()
    for shard in source.shards:
        keys = dict[int, str]()
        for number, key in shard.names():
            if number < len(target.lined_up) and target.lined_up[number] not in ("", key):
                raise OutputError(
                    f"the target was begun with other rows: number {number} is "
                    f"'{target.lined_up[number]}' there, and '{key}' here: go on with those, or "
                    f"choose another folder"
                )
            place = target.place_of(key)
            if place in seen:
                refused[number] = twice(key)
            elif place in done:
                keys[number] = key
            seen.add(place)
        changed = shard.changed({n: marks.get(key, "") for n, key in keys.items()})
        refused.update((n, f"{keys[n]} {CHANGED}") for n in changed)
        numbers |= keys.keys() - changed
    return frozenset(numbers)


def _take(
    row: dict[str, Any],
    target: Target,
    drawn: Drawn,
    failures: Failures,
    done: set[str],
    progress: Progress,
) -> None:
    key, error = str(row["key"]), str(row["error"] or "")
    place, mark = target.place_of(key), str(row.pop("mark", ""))
    if not error and place in done:
        error = twice(key)
    if not error:
        try:
            drawn.add(key, mark)  # first: a row that is added has its mark
            target.add(row)
        except InputError as problem:
            error = str(problem)
    if error:
        failures.add(key, error)
        progress.failed += 1
        return
    done.add(place)
    progress.drawn += 1
    for note in filter(None, str(row.get("notes") or "").split("; ")):
        progress.notes.add(SIZE.sub("…", note))


def _note(
    out: Path, model: str, settings: Settings, form: Form, source: Source, begun: bool
) -> None:
    """Write down what the results follow from, or compare it with what is written.

    Raises:
        OutputError: The folder holds results that were drawn otherwise.
    """
    drawer = drawer_of(model, replace(settings, device="cpu", dtype="fp32"))
    facts: dict[str, Any] = {
        "model": model,
        "weights": drawer.model.weights,
        "to": form,
        "independent": settings.independent,
        "dtype": settings.dtype,
        "image_column": source.image_column,
        "key_column": source.key_column,
        **drawer.facts(),
        "rows": source.rows if form == "zarr" else None,
    }
    facts = json.loads(to_json(facts))
    path = out / NOTE
    try:
        before = _read(path, source) if path.exists() else None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error})") from None
    if before is None and begun:
        raise OutputError(f"{out} holds results of another command: choose another folder")
    counted = list(source.marks)
    if before is None or not (begun or _has_begun(out, before, source.rows)):
        note = {**facts, "counted": counted, "note": DISCLAIMER}
        write_text(path, json.dumps(note, indent=2) + "\n")
        return
    old = before if isinstance(before, dict) else {}
    told = [name for name in facts if name != "model"]  # its weights say so, wherever it lies
    if names := [name for name in told if facts[name] != old.get(name)]:
        raise OutputError(
            f"{out} holds results that were drawn with another {', '.join(names)}: go on as it "
            f"was begun, or choose another folder"
        )
    held = old.get("counted", counted)  # of a folder from before they were written down
    if are_others(held, counted):
        raise OutputError(
            f"{out} holds rows of other files, counted as those of this source are: go on with "
            f"those, or choose another folder"
        )
    if len(held) < len(counted):
        write_text(path, json.dumps({**old, "counted": counted}, indent=2) + "\n")


def _has_begun(out: Path, note: Any, rows: int) -> bool:
    """Whether there are results of the target that a note names."""
    form = note.get("to") if isinstance(note, dict) else None
    if form not in TARGETS:
        return True
    target = TARGETS[form](out, rows)
    return bool(target.done() or target.lined_up)


def _read(path: Path, source: Source) -> Any:
    """What a note says, and what one from before does not say: its samples are independent, and
    which columns it took nobody knows."""
    note = json.loads(path.read_text("utf-8"))
    columns = {"image_column": source.image_column, "key_column": source.key_column}
    alone = {"antithetic": False, "self_ensemble": False}
    unsaid: dict[str, Any] = {**alone, "profile": [], "values": None, "fill": False, **columns}
    return {**unsaid, **note} if isinstance(note, dict) else note


def rows_to_do(
    shards: Iterable[Shard], done: Container[int], refused: Mapping[int, str] = {}
) -> Iterator[Row]:
    """Rows that are not done.

    Args:
        shards: Where they are.
        done: As in `Work`.
        refused: As in `Work`; such rows come without their image, and say why.
    """
    for row in (row for shard in shards for row in shard.rows(done)):
        why = refused.get(row.number)
        yield row if why is None else row._replace(image=None, error=why)


def twice(key: str) -> str:
    """Why a row cannot be written."""
    return f"{key} is the key of another row, too"


def _begun(work: Work) -> Callable[[Batch], Batch]:
    """Tells of a batch, and gives it back."""

    def begin(batch: Batch) -> Batch:
        work.begin(batch)
        return batch

    return begin


def local(processes: int | None = None) -> Engine:
    """The engine of this machine.

    Args:
        processes: How many; one for every processor by default, and on a GPU one.
    """

    def draw(work: Work) -> Generator[Batch]:
        on_cpu = work.recipe.settings.device == "cpu"
        count = processes or (usable_processors() if on_cpu else 1)
        batches = in_batches(rows_to_do(work.shards, work.done, work.refused), BATCH)
        yield from draw_locally(map(_begun(work), batches), work.recipe, count)

    return draw
