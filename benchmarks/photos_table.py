"""Tables of what `photos.py` measured, and figures that others published, marked as quoted."""

import csv
import io
import os
import platform
import shlex
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from photo_scores import Scores
from rich.console import Console

from cvdvae.evaluation.measure import Column
from cvdvae.evaluation.table import as_rich, figure
from cvdvae.files import write_text

COLUMNS = (
    Column("psnr_y", "PSNR-Y ↑"),
    Column("ssim_y", "SSIM-Y ↑", digits=4),
    Column("lpips", "LPIPS ↓", digits=3),
    Column("dists", "DISTS ↓", digits=3),
    Column("lr_psnr", "LR-PSNR ↑", digits=1),
    Column("exact", "exact, % ↑", 100, 1),
    Column("diversity", "diversity, % ↑", digits=1),
    Column("crps", "CRPS ×10³ ↓", 1e3, 2),
    Column("coverage_80", "of 80 %, %", 100, 1),
    Column("coverage_90", "of 90 %, %", 100, 1),
    Column("seconds", "s / MP ↓"),
    Column("memory", "GB ↓"),
)

WIDTH = 160
"""Of the printed tables, whose measures go downwards."""

LEGEND = """\
Mean ± standard error over images. PSNR-Y and SSIM-Y: luma of BT.601 without a border of as many
pixels as the scale. LR-PSNR: of H of the saved image against y. Exact: images that, shrunk again,
give y bit for bit. Diversity: of the NTIRE 2021 challenge. Of 80 % and of 90 %: how often the truth
lies in such intervals of the samples. s / MP and GB: wall time per output megapixel and sample,
and the most memory that the process held meanwhile. A stochastic method's row has the mean over its
samples; the rows below have its first sample, and the mean of its samples as an image.
"""


@dataclass(frozen=True)
class Quoted:
    """Figures that were published, not measured here: DIV2K's validation images at ×4.

    Attributes:
        method: Name.
        psnr: PSNR, of colours and not of luma.
        ssim: SSIM, likewise.
        lpips: LPIPS.
        lr_psnr: LR-PSNR.
        diversity: NTIRE's diversity of 10 samples, in percent.
    """

    method: str
    psnr: float
    ssim: float
    lpips: float
    lr_psnr: float | None = None
    diversity: float | None = None


QUOTED_SET = "DIV2K validation ×4, quoted"
QUOTED = (
    Quoted("SRFlow", 27.09, 0.76, 0.121, 49.91, 25.36),
    Quoted("HCFlow", 27.02, 0.76, 0.124),
    Quoted("HCFlow++", 26.61, 0.74, 0.110),
)
SOURCES = """\
Quoted, on other images than those above, with PSNR and SSIM of colours: PSNR, SSIM and LPIPS from
table 3 of DREAM (Zhou et al., CVPR 2024), which collects those of SRFlow (Lugmayr et al. 2020) and
HCFlow (Liang et al. 2021); LR-PSNR and diversity from the README of the NTIRE 2021 challenge
(github.com/andreas128/NTIRE21_Learning_SR_Space).
"""


@dataclass
class Results:
    """What is to be shown.

    Attributes:
        scale: Factor.
        scores: Of every image, by set and by method and row: ``"ours, one sample"``.
        notes: Methods and measures that are missing, and why.
    """

    scale: int
    scores: dict[str, dict[str, list[Scores]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, method: str, rows: dict[str, Scores]) -> None:
        """Add the scores of one image of a set."""
        for row, scores in rows.items():
            label = f"{method}, {row}" if row else method
            self.scores.setdefault(name, {}).setdefault(label, []).append(scores)

    def table(self, name: str) -> list[list[str]]:
        """Header and lines of a set."""
        lines = [
            [label, str(len(each)), *(figure(s.get(c.key) for s in each).show(c) for c in COLUMNS)]
            for label, each in self.scores[name].items()
        ]
        return [["", "images", *(c.title for c in COLUMNS)], *lines]

    def quoted(self) -> list[list[str]]:
        """Header and lines of what others published at this scale."""
        lines = [
            [q.method, f"{q.psnr:.2f}", f"{q.ssim:.2f}", f"{q.lpips:.3f}"]
            + ["–" if v is None else f"{v:.2f}" for v in (q.lr_psnr, q.diversity)]
            for q in QUOTED
        ]
        titles = ["PSNR ↑", "SSIM ↑", "LPIPS ↓", "LR-PSNR ↑", "diversity, % ↑"]
        return [["quoted", *titles], *lines] if self.scale == 4 else []


def circumstances() -> dict[str, str]:
    """When, where and how this process runs."""
    name = platform.processor() or platform.machine()
    with_name = Path("/proc/cpuinfo")
    if with_name.is_file():
        found = [n for n in with_name.read_text().splitlines() if n.startswith("model name")]
        name = found[0].partition(":")[2].strip() if found else name
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "machine": f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used, "
        f"load {load:.1f} before",
        "torch": torch.__version__,
        "command": shlex.join(["python", *sys.argv]),
    }


def write(results: Results, where: dict[str, str], out: Path) -> None:
    """Print the tables, and write ``table.md`` and ``table.csv``."""
    console = Console(width=max(Console().width, WIDTH))
    tables = {f"{name} ×{results.scale}": results.table(name) for name in results.scores}
    for title, rows in tables.items():
        console.print(as_rich([list(cells) for cells in zip(*rows, strict=True)], title))
    quoted = results.quoted()
    if quoted:
        console.print(as_rich(quoted, QUOTED_SET))
    notes = [f"{what}: –, because {why}" for what, why in results.notes.items()]
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    parts = ["\n".join(f"- {k}: {v if k != 'command' else f'`{v}`'}" for k, v in where.items())]
    parts += [f"## {title}\n\n{_markdown(rows)}" for title, rows in tables.items()]
    parts += [LEGEND, *(f"{note}." for note in notes)]
    if quoted:
        parts += [f"## {QUOTED_SET}\n\n{_markdown(quoted)}", SOURCES]
    write_text(out / "table.md", "\n\n".join(part.strip() for part in parts) + "\n")
    write_text(out / "table.csv", _csv(results, where))


def _markdown(rows: list[list[str]]) -> str:
    header, *lines = rows
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])


def _csv(results: Results, where: dict[str, str]) -> str:
    text = io.StringIO()
    text.writelines(f"# {key}: {value}\n" for key, value in where.items())
    writer = csv.writer(text)
    keys = [c.key for c in COLUMNS]
    writer.writerow(
        ["scale", "set", "method", "images"]
        + [key + end for key in keys for end in ("", "_standard_error")]
    )

    def cells(values: list[float | None]) -> list[float | str]:
        return ["" if v is None else v for v in values]

    for name, methods in results.scores.items():
        for label, each in methods.items():
            shown = [figure(s.get(key) for s in each) for key in keys]
            values = [v for f in shown for v in (f.mean, f.standard_error)]
            writer.writerow([results.scale, name, label, len(each), *cells(values)])
    for q in QUOTED if results.scale == 4 else ():
        known = {"lpips": q.lpips, "lr_psnr": q.lr_psnr, "diversity": q.diversity}
        values = [v for key in keys for v in (known.get(key), None)]
        writer.writerow([4, QUOTED_SET, q.method, "", *cells(values)])
    return text.getvalue()
