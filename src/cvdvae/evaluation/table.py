"""Records to tables, as text, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from rich.table import Table

from ..files import write_text
from .evaluate import Record, Row


@dataclass(frozen=True)
class Column:
    """One measure in a table.

    Attributes:
        key: Its name in the records.
        title: Its name in the table, with an arrow to where better is.
        factor: What it is multiplied by before it is shown.
        digits: After the point.
        needs: Column of `Judges.missing` that explains why it may be empty.
    """

    key: str
    title: str
    factor: float = 1.0
    digits: int = 2
    needs: str = ""


COLUMNS = (
    Column("psnr", "PSNR ↑"),
    Column("psnr_of_mean", "PSNR of mean ↑"),
    Column("ssim", "SSIM ↑", digits=3),
    Column("lpips", "LPIPS ↓", digits=3, needs="LPIPS"),
    Column("brisque", "BRISQUE ↓", needs="BRISQUE"),
    Column("lr_psnr_float", "LR-PSNR, float ↑", digits=1),
    Column("lr_psnr", "LR-PSNR, saved ↑", digits=1),
    Column("lr_psnr_worst", "worst ↑", digits=1),
    Column("exact", "exact, % ↑", digits=1),
    Column("apd_mse", "APD MSE ×10⁴ ↑", 1e4, 1),
    Column("apd_lpips", "APD LPIPS ×10³ ↑", 1e3, 1, "LPIPS"),
    Column("ntire_diversity", "diversity, % ↑", digits=1, needs="LPIPS"),
    Column("crps", "CRPS ×10³ ↓", 1e3, 1),
    Column("energy_score", "energy ×10³ ↓", 1e3, 1),
)


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


def figures(records: list[Record]) -> dict[Row, dict[str, Figure]]:
    """Mean and standard error over images, for every row in the order of the records."""
    table: dict[Row, dict[str, Figure]] = {}
    for row in dict.fromkeys(row for row, _, _ in records):
        scores = [s for r, _, s in records if r == row]
        table[row] = {c.key: _figure(c.key, [s.get(c.key) for s in scores]) for c in COLUMNS}
    return table


def _figure(key: str, values: list[float | None]) -> Figure:
    known = [v for v in values if v is not None]
    if not known:
        return Figure(None, None)
    if key == "lr_psnr_worst":
        return Figure(min(known), None)
    error = stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None
    return Figure(fmean(known), error)


def name_of(row: Row) -> str:
    """A row's name: ``×8 cvdvae τ=0.8, projected``."""
    temperature = "" if row.temperature is None else f" τ={row.temperature:g}"
    return f"×{row.scale} {row.method}{temperature}{', projected' if row.projected else ''}"


def as_rows(records: list[Record]) -> list[list[str]]:
    """Header and lines, with columns that hold nothing left out."""
    table = figures(records)
    shown = [c for c in COLUMNS if any(row[c.key].mean is not None for row in table.values())]
    header = ["", *(c.title for c in shown)]
    return [header, *([name_of(r), *(f[c.key].show(c) for c in shown)] for r, f in table.items())]


def as_rich(records: list[Record], title: str) -> Table:
    """For the terminal: measures downwards, since there are many."""
    rows = as_rows(records)
    table = Table(title=title)
    for line in rows:
        table.add_column(line[0], justify="right" if line[0] else "left")
    for cells in list(zip(*rows, strict=True))[1:]:
        table.add_row(*cells)
    return table


def as_markdown(records: list[Record]) -> str:
    """A table for a README."""
    header, *lines = as_rows(records)
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def write_tables(records: list[Record], missing: dict[str, str], out: Path) -> None:
    """Write ``table.md``, ``table.csv`` and ``table.json``.

    Raises:
        OutputError: `out` cannot be written.
    """
    notes = "".join(
        f"\n{column}: not measured, because {why}.\n" for column, why in missing.items()
    )
    write_text(out / "table.md", as_markdown(records) + notes)
    table = figures(records)
    text = io.StringIO()
    writer = csv.writer(text)
    keys = [c.key for c in COLUMNS]
    writer.writerow(["scale", "method", "temperature", "projected",
                     *(k + end for k in keys for end in ("", "_standard_error"))])  # fmt: skip
    for row, cells in table.items():
        values = [v for k in keys for v in (cells[k].mean, cells[k].standard_error)]
        writer.writerow([*asdict(row).values(), *("" if v is None else v for v in values)])
    write_text(out / "table.csv", text.getvalue())
    images = len({image for _, image, _ in records})
    content = {
        "images": images,
        "missing": missing,
        "rows": [
            {**asdict(row), **{k: asdict(f) for k, f in cells.items()}}
            for row, cells in table.items()
        ],
    }
    write_text(out / "table.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
