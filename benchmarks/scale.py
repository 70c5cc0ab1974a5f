"""What many images cost, measured on this machine and simulated on larger ones.

    python benchmarks/scale.py --count 500 --out out/scale
    python benchmarks/scale.py --count 2000 --ways parquet-2 ray-2 --rounds 1 --out out/ray

Measured, in turns: the loop of ``cvdvae upscale``, ``cvdvae batch`` with one and with two processes
into folders and into Parquet, and Ray with two actors. Then what the process that writes does for a
row. From these, a simulation of one such process and many workers: how many workers it can serve,
and what a million and a billion images cost. Times are walls, and how long it took until the first
rows were there; the processor seconds of all processes stand beside them, since on a busy machine
walls say little. Those of Ray's own processes cannot be had: for Ray a core-second is one of the
wall of each actor.

After every run `scale.json` is written anew: what was measured is kept if the script is stopped. A
way that fails, or of which a row fails, is said to and left out.
"""

import argparse
import heapq
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
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
from cvdvae.errors import CVDVAEError
from cvdvae.files import write_text
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.sampler import SuperResolver

WORKERS = (1, 2, 8, 32, 128, 512, 2048, 8192)
WAYS = ("loop", "folder-1", "folder-2", "parquet-2", "ray-2")
ROWS = 1_000_000
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


Way = Callable[[Path, Callable[[], None]], object]
"""``(folder, first)``: draws all images into a folder, calling `first` when some are there."""


def loop(images: Path, model: SuperResolver, settings: Settings) -> Way:
    """What ``cvdvae upscale`` does with a folder."""

    def draw(out: Path, first: Callable[[], None]) -> None:
        for job in plan([str(images)], out):
            given = read_input(model, job.path)
            draw_into(model, given, settings.sampling(model), job.folder, check=settings.check)
            first()

    return draw


def batch(source: Source, model: SuperResolver, settings: Settings, form: Form, engine: str) -> Way:
    """What ``cvdvae batch`` does, with an engine of so many workers, such as ``local-2``."""

    def draw(out: Path, first: Callable[[], None]) -> None:
        kind, workers = engine.split("-")
        make: Callable[[int], Engine] = local
        if kind == "ray":
            from cvdvae.batch.on_ray import ray_engine

            make = partial(ray_engine, None)
        told = run_batch(
            source, out, model.name, settings, form, make(int(workers)), lambda _: first()
        )
        if told.failed:
            raise CVDVAEError(f"{told.failed} of {told.rows} rows failed: {told.reasons}")

    return draw


def measure(
    images: Path,
    model: SuperResolver,
    settings: Settings,
    rounds: int,
    names: list[str],
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Medians over the rounds of what ways to draw a folder take, by their names."""
    source = open_source(str(images))
    ways: dict[str, Way] = {
        "loop": loop(images, model, settings),
        "folder-1": batch(source, model, settings, "folder", "local-1"),
        "folder-2": batch(source, model, settings, "folder", "local-2"),
        "parquet-2": batch(source, model, settings, "parquet", "local-2"),
        "ray-2": batch(source, model, settings, "parquet", "ray-2"),
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    measured: dict[str, Any] = {}
    for number in range(rounds):
        for name in names:
            try:
                times[name].append(time_of(ways[name], source.rows, 2 * (name == "ray-2")))
            except (CVDVAEError, OSError) as error:
                print(f"{name} fails, and is left out: {error}", file=sys.stderr, flush=True)
                continue
            one = {key: median(t[key] for t in times[name]) for key in times[name][0]}
            measured[name] = {"rows": source.rows, "rounds": len(times[name]), **one}
            print(f"round {number + 1}, {name}: {times[name][-1]['wall']:.1f} s", flush=True)
            keep(measured)
    return measured


def time_of(draw: Way, rows: int, actors: int) -> dict[str, float]:
    """Wall, start and processor seconds of a run; the last are wall times actors for Ray."""
    started, ready = time.perf_counter(), list[float]()
    with tempfile.TemporaryDirectory() as folder, Timed() as timed:
        draw(Path(folder), lambda: ready.append(time.perf_counter() - started))
    cpu = timed.cpu if not actors else timed.wall * actors
    return {"wall": timed.wall, "cpu": cpu, "start": ready[0], "rate": rows / cpu}


def measure_parts(
    source: Source, rows: int, model: SuperResolver, settings: Settings
) -> dict[str, float]:
    """Processor seconds of a row, from the first few: drawn by a worker; read, sent around and
    written by the first process."""
    import pyarrow.parquet  # noqa: F401, not to be counted as writing

    upscaler = Upscaler(model, settings, as_png)
    started = time.process_time()
    rows = min(rows, source.rows)
    batches = list(in_batches(islice(rows_to_do(source.shards, ()), rows), BATCH))
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
        "draw": drawing / rows,
        "read": reading / rows,
        "write": writing / rows,
        "bytes": written / rows,
    }


def simulate_run(workers: int, draw: float, serve: float, rows: int, batch: int = BATCH) -> float:
    """Seconds that a run takes: a discrete-event simulation.

    One process hands out batches and takes them back, one at a time; what it does for a row,
    reading and writing, takes `serve`, when it comes back. A worker has one batch at a time.
    Drawing a batch takes ``batch · draw``, times a log-normal factor of mean 1 with a standard
    deviation of 20 %.
    """
    rng = np.random.default_rng(0)
    free = 0.0
    at_work: list[float] = []
    left = -(-rows // batch)
    for _ in range(min(workers, left)):
        heapq.heappush(at_work, batch * draw * rng.lognormal(-0.02, 0.2))
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
    lines = table(
        "way", "images", "wall, s", "first rows after, s", "core-seconds",
        "images per core-second", "times the loop", "times the loop, by wall",
    )  # fmt: skip
    reference = measured.get("loop")
    for name, one in measured.items():
        beside = ["–", "–"]
        if reference is not None:
            beside = [
                f"{one['rate'] / reference['rate']:.2f}",
                f"{reference['wall'] / one['wall']:.2f}",
            ]
        lines.append(
            f"| {name} | {one['rows']} | {one['wall']:.1f} | {one['start']:.1f} "
            f"| {one['cpu']:.1f} | {one['rate']:.2f} | {' | '.join(beside)} |"
        )
    if {"parquet-2", "ray-2"} <= measured.keys():
        more = measured["ray-2"]["wall"] / measured["parquet-2"]["wall"] - 1
        lines += ["", f"Ray takes {more:.1%} more time than the local engine, by wall."]
    serve = parts["read"] + parts["write"]
    told = {"drawn": "draw", "read": "read", "written": "write"}
    costs = ", ".join(f"{name} {parts[part] * 1e3:.3g} ms" for name, part in told.items())
    lines += ["", f"A row, processor time: {costs}; {parts['bytes'] / 1e3:.3g} kB written.", ""]
    lines += table(
        "workers", "images a second", "of the ideal", "a million", "a billion", "core-hours", "cost"
    )
    for workers in WORKERS:
        seconds = simulate_run(workers, parts["draw"], serve, ROWS)
        rate, hours = ROWS / seconds, seconds / 3600
        lines.append(
            f"| {workers} | {rate:.3g} | {rate * parts['draw'] / workers:.0%} | {hours:.3g} h "
            f"| {hours * 1000 / 24:.3g} days | {hours * workers:.3g} "
            f"| {hours * workers * price:.3g} |"
        )
    lines += ["", f"Core-hours and cost, at {price} per core-hour, are those of a million."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="celeba64-x8")
    parser.add_argument("--images", type=Path, help="low-resolution; made from a face by default")
    parser.add_argument("--count", type=int, default=500, help="how many are made")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=24, help="rows to measure the parts of")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:-1])
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
    facts = {"processors": os.cpu_count(), "load": os.getloadavg()[0], "model": model.name}
    kept = {"machine": facts, "measured": {}, "parts": {}}

    def keep(name: str, values: Any) -> None:
        kept[name] = values
        write_text(options.out / "scale.json", json.dumps(kept, indent=2) + "\n")

    ways = partial(keep, "measured")
    measured = measure(images, model, settings, options.rounds, options.ways, ways)
    parts = measure_parts(open_source(str(images)), options.parts, model, settings)
    keep("parts", parts)
    text = report(measured, parts, options.price)
    write_text(options.out / "scale.md", text)
    print(text)


if __name__ == "__main__":
    main()
