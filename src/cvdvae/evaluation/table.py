"""Records to tables, as text, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..files import write_text
from ..metrics.perceptual import BRISQUE_LEAST, unseen
from .evaluate import Records
from .measure import METRICS, SHAPE, SSIM_LEAST, Column, Scores, are_of_none, columns
from .plan import Row

TOLD_APART = 2.0
"""How many standard errors of their difference lie between two rows that can be told apart."""

FEW = 30
"""Images below which little is said of methods and of calibration. Of 3 images two equal methods
are told apart in 18 % of the cases, of 30 in 6 %."""

TERMINAL, MARKDOWN = "[bold]* {}[/bold]", "**{}**"
"""How a cell of `best_rows` is marked; without colours the star is left."""

ENDLESS = 2**20
"""Columns of a file: a table is as wide as it is."""

LEGEND = (
    "The best of its measure in its table, and whatever cannot be told from it: the mean "
    f"difference on the same images is at most {TOLD_APART:g} of its standard errors, which says "
    f"little of fewer than {FEW} images. Where no row falls behind, none is marked."
)
"""What the mark means."""


def counted(count: int, what: str) -> str:
    """So many of something.

    Example:
        >>> counted(1, "image"), counted(2, "image")
        ('1 image', '2 images')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Figure:
    """A mean over images with its standard error; None where no image has the measure."""

    mean: float | None
    standard_error: float | None

    def show(self, column: Column) -> str:
        """As a cell: ``24.91 ± 0.12``."""
        if self.mean is None:
            return "–"
        mean = f"{self.mean * column.factor:.{column.digits}f}"
        if self.standard_error is None:
            return mean
        return f"{mean} ± {self.standard_error * column.factor:.{column.digits}f}"


def figure(values: Iterable[float | None]) -> Figure:
    """Mean and standard error of the values that are known."""
    known = [v for v in values if v is not None]
    if not known:
        return Figure(None, None)
    error = stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None
    return Figure(fmean(known), error)


def figures(records: Records) -> dict[Row, dict[str, Figure]]:
    """Mean and standard error over images, for every row in the order of the records."""
    collected: dict[Row, list[Scores]] = {}
    for (row, _), scores in records.items():
        collected.setdefault(row, []).append(scores)
    return {
        row: {c.key: figure(s.get(c.key) for s in scores) for c in columns()}
        for row, scores in collected.items()
    }


def name_of(row: Row) -> str:
    """A row's name: ``×8 cvdvae τ=0.8, projected``; an encoder's temperature in brackets."""
    temperature = "" if row.temperature is None else f" τ={row.temperature:g}"
    if row.encoder_temperature is not None:
        temperature += f" (encoder {row.encoder_temperature:g})"
    projected = ", projected" if row.projected else ""
    return f"{row.task}{':' * bool(row.damage)} {row.method}{temperature}{projected}"


def shown_columns(records: Records) -> list[Column]:
    """The measures that at least one row has."""
    return [c for c in columns() if any(s.get(c.key) is not None for s in records.values())]


def best_rows(records: Records, column: Column) -> set[Row]:
    """Rows of one task with the best mean of a measure, and those that cannot be told from it.

    The best is one of those that have the most images: a mean without the hard ones, at which a row
    exploded, says little. All rows see the same images, so two of them are compared by their
    differences image by image, whose standard error is far below those of the two means. Empty
    where no row falls behind the best, where the measure has no better and worse, and where a row
    has it for some images alone, or an unbounded one for none: what it lacks may be infinite.
    """
    signed: dict[Row, dict[str, float]] = {}
    lacking: set[Row] = set()
    for (row, image), scores in records.items():
        value = scores.get(column.key)
        if value is not None:
            signed.setdefault(row, {})[image] = column.sign * min(value, column.most)
        elif not are_of_none(scores):
            lacking.add(row)
    if not signed or not column.sign or (lacking if column.unbounded else lacking & signed.keys()):
        return set()
    best = max(signed.values(), key=lambda of: (len(of), fmean(of.values())))
    close = {row for row, values in signed.items() if not _behind(values, best)}
    return close if len(close) < len(signed) else set()


def _behind(values: dict[str, float], best: dict[str, float]) -> bool:
    """Whether the best is better on the images of both by more than chance explains."""
    gap = figure(best[image] - values[image] for image in best if image in values)
    if gap.mean is None or gap.standard_error is None:
        return len(values) < len(best)  # one image in common tells nothing of the others
    return gap.mean > TOLD_APART * gap.standard_error


def split_by_task(records: Records) -> dict[str, Records]:
    """The rows that meet at each scale, or at each degradation."""
    tasks = dict.fromkeys(row.task for row, _ in records)
    return {t: {k: v for k, v in records.items() if k[0].task == t} for t in tasks}


def winners(records: Records) -> list[str]:
    """For every task where methods meet, one line that says which of them win which measures."""
    lines = []
    for task, part in split_by_task(records).items():
        won: dict[str, list[str]] = {}
        for column in [c for c in shown_columns(part) if c.sign]:
            best = best_rows(part, column)
            methods = dict.fromkeys(row.method for row, _ in part if row in best)
            who = f"won by {' and '.join(methods)}" if methods else "won by none"
            won.setdefault(who, []).append(column.name)
        if len({row.method for row, _ in part}) > 1:
            said = "; ".join(f"{who}: {' · '.join(titles)}" for who, titles in won.items())
            lines.append(f"{task}, {said}.")
    return lines


def as_rows(records: Records, mark: str = "{}") -> list[list[str]]:
    """Header and lines, with columns that hold nothing left out.

    Args:
        records: Of one task or of several; the best are found in each.
        mark: What becomes of the cells of `best_rows`, such as `MARKDOWN`.
    """
    table, shown = figures(records), shown_columns(records)
    parts = split_by_task(records).values()
    best = {c.key: set[Row]().union(*(best_rows(part, c) for part in parts)) for c in shown}
    lines = [
        [
            name_of(row),
            *((mark if row in best[c.key] else "{}").format(cells[c.key].show(c)) for c in shown),
        ]
        for row, cells in table.items()
    ]
    return [["", *(c.title for c in shown)], *lines]


class TaskTable(NamedTuple):
    """What is known of one task.

    Attributes:
        images: How many it is about: the same for all its methods.
        rows: Header and lines.
    """

    images: int
    rows: list[list[str]]


def by_task(records: Records, mark: str = "{}") -> dict[str, TaskTable]:
    """For every task a table with the measures downwards, since there are more of them."""
    return {
        task: TaskTable(
            _images_of(part), [list(cells) for cells in zip(*as_rows(part, mark), strict=True)]
        )
        for task, part in split_by_task(records).items()
    }


def _images_of(records: Records) -> int:
    return len({image for _, image in records})


def heading(task: str, table: TaskTable, samples: int) -> str:
    """What a table is of: ``×4: 5 images, 8 samples, mean ± standard error``."""
    of = f"{counted(table.images, 'image')}, {counted(samples, 'sample')}"
    return f"{task}: {of}, mean ± standard error"


def as_rich(rows: list[list[str]], title: str) -> Table:
    """One of those tables for the terminal; names may hold what looks like markup."""
    header, *lines = rows
    table = Table(title=escape(title))
    for cell in header:
        table.add_column(escape(cell), justify="right" if cell else "left")
    for name, *cells in lines:
        table.add_row(escape(name), *cells)
    return table


def unmeasured(records: Records, missing: dict[str, str]) -> dict[str, str]:
    """Why there are no values, by column; with the task where another one has them. Where there is
    a single sample of each image, all columns that compare some are named as one.

    Args:
        records: They tell what was measured, and how large the true images were.
        missing: Why a judge is not at hand.
    """
    parts, found, rest = split_by_task(records), dict[str, str](), dict(missing)
    for key in ("ssim", "lpips", "brisque"):
        name, at = METRICS[key].column.name, dict[str, str]()
        known = rest.pop(name, "")
        for task, part in parts.items():
            if all(s.get(key) is None for s in part.values()):
                at[task] = next((why for s in part.values() if (why := _unsuited(key, s))), "")
        if len(at) < len(parts):
            found |= {f"{name} at {task}": why for task, why in at.items() if why}
        elif why := known or next((why for why in at.values() if why), ""):
            found[name] = why
    seen = [scores for scores in records.values() if not are_of_none(scores)]
    if seen and all(scores.get("crps") is None for scores in seen):
        found["What compares samples"] = "it needs two samples of an image"
    return found | rest


def _unsuited(key: str, scores: Scores) -> str:
    """Why a measure has nothing to say of images of the shape of a record's, as ``ssim`` of few
    pixels; empty where it has, and where a record of before does not tell its shape."""
    if any(scores.get(name) is None for name in SHAPE):
        return ""
    channels, height, width = (int(scores[name] or 0) for name in SHAPE)
    if key == "lpips":
        return unseen(channels, height, width)
    least = {"ssim": SSIM_LEAST, "brisque": BRISQUE_LEAST}[key]
    if min(height, width) >= least:
        return ""
    return f"it needs images of at least {least}×{least} pixels, not of {width}×{height}"


def as_text(records: Records, samples: int) -> str:
    """All of them as plain text; `samples` as for `write_tables`."""
    console = Console(file=io.StringIO(), width=ENDLESS)
    for task, table in by_task(records, TERMINAL).items():
        console.print(as_rich(table.rows, heading(task, table, samples)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def as_markdown(records: Records) -> str:
    """A table for a README."""
    return rows_as_markdown(as_rows(records, MARKDOWN))


def rows_as_markdown(rows: list[list[str]]) -> str:
    """A header and lines as a table, numbers to the right."""
    header, *lines = rows
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def write_tables(records: Records, missing: dict[str, str], out: Path, samples: int) -> None:
    """Write ``table.txt``, ``table.md``, ``table.csv`` and ``table.json``.

    Args:
        records: What was measured.
        missing: Why a judge is not at hand.
        out: The folder.
        samples: How many of each image every method gave that draws samples.

    Raises:
        OutputError: `out` cannot be written.
    """
    missing = unmeasured(records, missing)
    notes = "".join(
        f"\n{column}: not measured, because {why}.\n" for column, why in missing.items()
    )
    won = "".join(f"\n{line}\n" for line in winners(records))
    parts = by_task(records).items()
    sizes = "".join(f"\n{heading(task, part, samples)}.\n" for task, part in parts)
    write_text(out / "table.txt", f"{as_text(records, samples)}\n* {LEGEND}\n{won}{notes}")
    write_text(out / "table.md", f"{as_markdown(records)}{sizes}\n**Bold**: {LEGEND}\n{won}{notes}")
    table = figures(records)
    text = io.StringIO()
    writer = csv.writer(text)
    keys = [c.key for c in columns()]
    of_row = [field.name for field in fields(Row)]
    writer.writerow([*of_row, *(k + end for k in keys for end in ("", "_standard_error"))])
    for row, cells in table.items():
        values = [v for k in keys for v in (cells[k].mean, cells[k].standard_error)]
        writer.writerow([*asdict(row).values(), *("" if v is None else v for v in values)])
    write_text(out / "table.csv", text.getvalue())
    of = Counter(row for row, _ in records)
    content = {
        "images": _images_of(records),
        "samples": samples,
        "missing": missing,
        "rows": [
            {**asdict(row), "images": of[row], **{k: asdict(f) for k, f in cells.items()}}
            for row, cells in table.items()
        ],
    }
    write_text(out / "table.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
