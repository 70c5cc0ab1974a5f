"""What the input check costs beside the drawing of 8 samples.

    python benchmarks/check_cost.py --data ../shared/data/celeba

Processor seconds of one thread, for each face: a program beside this one changes them little. The
faces are the last of the folder, as in benchmarks/doubt.py. "At a glance" is what goes with every
draw, the examination of odd images included; "at length" is what `cvdvae examine` does.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cvdvae.evaluation.selection import Selection
from cvdvae.input_check.examine import examine
from cvdvae.input_check.screen import doubts_of, odd
from cvdvae.restoration.load import load
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.workers import on_one_processor


def seconds(work: Callable[[Tensor], object], images: list[Tensor]) -> float:
    """Mean processor time of one image."""
    work(images[0])
    times = []
    for y in images:
        started = time.process_time()
        work(y)
        times.append(time.process_time() - started)
    return fmean(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=[f"celeba64-x{s}" for s in (4, 8, 16)])
    parser.add_argument("--faces", type=int, default=200, help="faces to be checked, from the end")
    parser.add_argument("--drawn", type=int, default=15, help="how many of them are drawn, too")
    options = parser.parse_args()
    table = Table(title=f"CPU seconds a face, {torch.backends.cpu.get_cpu_capability()}")
    for title in ("", "8 samples", "check", "share of the draw", "examined", "at length"):
        table.add_column(title, justify="left" if title == "" else "right")
    for name in options.models:
        model = load(name)
        selection = Selection(options.data, start=-options.faces, crop=74)
        faces = [pair.y for pair in selection.pairs(model.degradation, {})]
        some = faces[: options.drawn]
        with on_one_processor():
            draw = seconds(lambda y, m=model: m.run(y, Sampling(8)), some)  # type: ignore[misc]
            check = seconds(lambda y, m=model: doubts_of(m, y), faces)  # type: ignore[misc]
            length = seconds(lambda y, m=model: examine(m, y), some)  # type: ignore[misc]
        examined = sum(odd(model, y) for y in faces) / len(faces)
        figures = (f"{draw:.3f}", f"{check:.3f}", f"{check / draw:.0%}", f"{examined:.0%}",
                   f"{length:.3f}")  # fmt: skip
        table.add_row(name, *figures)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
