"""What many images cost, measured on this machine and simulated on larger ones.

    python benchmarks/scale.py --out out/scale
    python benchmarks/scale.py --images faces/ --model celeba64-x8 --ray --out out/scale

Measured, in turns: the loop of ``cvdvae upscale``, ``cvdvae batch`` with one and with two processes
into folders and into Parquet, and, with --ray, Ray with two actors. Then what the process that
writes does for a row. From these, a simulation of one such process and many workers: how many
workers it can serve, and what a million and a billion images cost. Times are walls; the
processor seconds of all processes stand beside them, since on a busy machine walls say little.
"""

import argparse
import heapq
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import cvdvae
from cvdvae.batch import Settings, Upscaler
from cvdvae.batch.files import draw_into, plan, read_input
from cvdvae.batch.rows import Batch, in_batches, rows_of
from cvdvae.batch.run import BATCH, Engine, local, rows_to_do, run_batch
from cvdvae.batch.sources import Source, open_source
from cvdvae.batch.targets import Form, ParquetTarget, as_png
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.sampler import SuperResolver

WORKERS = (1, 2, 8, 32, 128, 512, 2048, 8192)
ROWS = 20_000
"""Rows that are simulated."""


class Timed:
    """Wall and processor seconds, of this process and those that it waited for."""

    def __enter__(self) -> "Timed":
        self.wall, self.cpu = time.perf_counter(), self._cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, self._cpu() - self.cpu

    @staticmethod
    def _cpu() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system


def make_faces(folder: Path, model: SuperResolver, count: int) -> None:
    """Low-resolution images of the bundled face, each turned a little differently."""
    folder.mkdir(parents=True, exist_ok=True)
    face = crop_face(demo_photo())
    for i in range(count):
        turned = face.rotate(20 * np.sin(i), Image.Resampling.BICUBIC)
        y, _ = simulate(turned, model.degradation, "centre")
        to_pil(y).save(folder / f"{i:06d}.png")


def loop(images: Path, out: Path, model: SuperResolver, settings: Settings) -> None:
    """What ``cvdvae upscale`` does with a folder."""
    for job in plan([str(images)], out):
        given = read_input(model, job.path)
        draw_into(model, given, settings.sampling(model), job.folder, check=settings.check)


def measure(
    images: Path, model: SuperResolver, settings: Settings, rounds: int, with_ray: bool
) -> dict[str, Any]:
    """Medians over the rounds of what every way to draw a folder takes, by its name."""
    source = open_source(str(images))

    def batch(form: Form, engine: Engine) -> Callable[[Path], object]:
        return lambda out: run_batch(source, out, model.name, settings, form, engine)

    ways: dict[str, Callable[[Path], object]] = {
        "loop of upscale": lambda out: loop(images, out, model, settings),
        "local, 1 process": batch("folder", local(1)),
        "local, 2 processes": batch("folder", local(2)),
        "local, 2 processes, Parquet": batch("parquet", local(2)),
    }
    if with_ray:
        from cvdvae.batch.on_ray import ray_engine

        ways["Ray, 2 actors, Parquet"] = batch("parquet", ray_engine(workers=2))
    times: dict[str, list[Timed]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, draw in ways.items():
            with tempfile.TemporaryDirectory() as folder, Timed() as timed:
                draw(Path(folder))
            times[name].append(timed)
    return {
        name: {
            "rows": source.rows,
            "wall": median(t.wall for t in some),
            "cpu": median(t.cpu for t in some),
        }
        for name, some in times.items()
    }


def measure_parts(source: Source, model: SuperResolver, settings: Settings) -> dict[str, float]:
    """Processor seconds of a row: drawn by a worker; read, sent around and written by the first
    process."""
    import pyarrow.parquet  # noqa: F401, not to be counted as writing

    upscaler = Upscaler(model, settings, as_png)
    started = time.process_time()
    batches = list(in_batches(rows_to_do(source.shards, ()), BATCH))
    reading = time.process_time() - started
    started = time.process_time()
    results: list[Batch] = [upscaler(batch) for batch in batches]
    drawing = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        target = ParquetTarget(Path(folder))
        started = time.process_time()
        for result in results:
            for row in rows_of(result):
                target.add(row)
        target.flush()
        writing = time.process_time() - started
        written = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {
        "draw": drawing / source.rows,
        "read": reading / source.rows,
        "write": writing / source.rows,
        "bytes": written / source.rows,
    }


def simulate_run(workers: int, draw: float, serve: float, rows: int, batch: int = BATCH) -> float:
    """Seconds that a run takes: a discrete-event simulation.

    One process hands out batches and takes them back, one at a time; what it does for a row,
    reading and writing, takes `serve`. A worker has one batch at a time. Drawing a batch takes
    ``batch · draw``, times a log-normal factor of mean 1 with a standard deviation of 20 %.
    """
    rng = np.random.default_rng(0)
    free = 0.0
    at_work: list[float] = []
    left = -(-rows // batch)
    for _ in range(min(workers, left)):
        free += batch * serve
        heapq.heappush(at_work, free + batch * draw * rng.lognormal(-0.02, 0.2))
        left -= 1
    while at_work:
        free = max(free, heapq.heappop(at_work)) + batch * serve
        if left:
            heapq.heappush(at_work, free + batch * draw * rng.lognormal(-0.02, 0.2))
            left -= 1
    return free


def table(*names: str) -> list[str]:
    """The head of a table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def report(measured: dict[str, Any], parts: dict[str, float], price: float) -> str:
    """All of it as Markdown."""
    lines = table("way", "images", "wall, s", "processor, s", "images per core-second", "speed-up")
    reference = measured["loop of upscale"]
    for name, one in measured.items():
        lines.append(
            f"| {name} | {one['rows']} | {one['wall']:.1f} | {one['cpu']:.1f} "
            f"| {one['rows'] / one['cpu']:.2f} | {reference['wall'] / one['wall']:.2f} |"
        )
    serve = parts["read"] + parts["write"]
    told = {"drawn": "draw", "read": "read", "written": "write"}
    costs = ", ".join(f"{name} {parts[part] * 1e3:.3g} ms" for name, part in told.items())
    lines += ["", f"A row, processor time: {costs}; {parts['bytes'] / 1e3:.3g} kB written.", ""]
    lines += table(
        "workers", "images a second", "of the ideal", "a million", "a billion", "core-hours", "cost"
    )
    for workers in WORKERS:
        rows = max(ROWS, 8 * BATCH * workers)
        seconds = simulate_run(workers, parts["draw"], serve, rows)
        rate = rows / seconds
        hours = 1e6 / rate / 3600
        lines.append(
            f"| {workers} | {rate:.3g} | {rate * parts['draw'] / workers:.0%} | {hours:.3g} h "
            f"| {hours * 1000 / 24:.3g} days | {hours * workers:.3g} "
            f"| {hours * workers * price:.3g} |"
        )
    lines += ["", f"Core-hours and cost, at {price} per core-hour, are those of a million."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="celeba64-x8")
    parser.add_argument("--images", type=Path, help="low-resolution; made from a face by default")
    parser.add_argument("--count", type=int, default=500, help="how many are made")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour, in dollars")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = cvdvae.load(options.model)
    settings = Settings(options.samples, check=not options.no_check)
    images = options.images
    options.out.mkdir(parents=True, exist_ok=True)
    if images is None:
        images = options.out / "images"
        make_faces(images, model, options.count)
    measured = measure(images, model, settings, options.rounds, options.ray)
    parts = measure_parts(open_source(str(images)), model, settings)
    text = report(measured, parts, options.price)
    (options.out / "scale.json").write_text(json.dumps({"measured": measured, "parts": parts}))
    (options.out / "scale.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
