"""Nothing lost, nothing twice: a batch that is killed again and again, and one that is not.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 20 --rows 400 --to parquet --seed 0

Starts ``cvdvae batch`` on a tar of tiny images with a tiny random model of its own, and sends
SIGKILL at moments that are drawn from a seed, evenly over the time that a whole run takes: to all
its processes at once, to the first alone, or to one of its workers. Whatever ended is started
again, with the same command. Where a run comes to its end in between, it is looked through, and the
next one begins with an empty target. After the last kill the command runs to its end.

Looking through: no row may be missing, none be there twice, and all samples must equal, pixel for
pixel, those of a run that nobody killed.
"""

import argparse
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord, SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.hvae import HVAE, HVAEConfig
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder

PRIOR = HVAEConfig.of_resolutions(
    image_size=16,
    patch_size=2,
    bits=5,
    mixtures=2,
    z_channels=3,
    width=12,
    widths={8: 8},
    encoder="8x1,8d2,4x1,4d4,1x1",
    decoder="1x1,4m1,4x1,8m4,8r1",
    activation="silu",
    bias_max_resolution=4,
)
ENCODER = LREncoderConfig.of_resolutions(16, 4, "4x1,4d4,1x1", width=8)
FORMS = ("folder", "parquet", "zarr")


@dataclass
class Job:
    """A command that is started, killed and started again.

    Attributes:
        command: The command.
        log: Where what it says goes.
    """

    command: list[str]
    log: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a group of its own with all its workers."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command, stdout=log, stderr=log, process_group=0, env=environment()
            )

    def finish(self) -> float:
        """Run it to its end, and say how long that took.

        Raises:
            SystemExit: It failed.
        """
        started = time.monotonic()
        if self.start().wait():
            sys.exit(f"the command failed: {self.log.read_text('utf-8', 'replace')[-2000:]}")
        return time.monotonic() - started


def environment() -> dict[str, str]:
    """One thread for every process."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def make_model(folder: Path) -> Path:
    """A tiny random model, ×4 to 16×16 pixels."""
    torch.manual_seed(0)
    prior = HVAE(PRIOR)
    encoder = LREncoder(ENCODER, PRIOR)
    save_model(folder / "prior", PriorRecord("prior", PRIOR), prior.state_dict())
    record = SuperResolutionRecord("lr-encoder", "prior", digest(folder / "prior"), ENCODER)
    save_model(folder, record, encoder.state_dict())
    return folder


def make_rows(path: Path, rows: int) -> Path:
    """A tar of images of 4×4 pixels."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for i in range(rows):
            stream = io.BytesIO()
            pixels = rng.integers(60, 190, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(stream, "PNG")
            member = tarfile.TarInfo(f"{i:06d}.png")
            member.size = stream.tell()
            stream.seek(0)
            tar.addfile(member, stream)
    return path


def rows_in(out: Path, form: str) -> Iterator[tuple[str, str]]:
    """The key of every row of a target, and a digest of its samples' pixels."""
    if form == "folder":
        for result in sorted(out.rglob("result.json")):
            pictures = [np.asarray(Image.open(p)) for p in sorted(result.parent.glob("sample_*"))]
            yield result.parent.relative_to(out).as_posix(), of(pictures)
    elif form == "parquet":
        import pyarrow.parquet as pq

        for part in sorted((out / "rows.parquet").glob("*.parquet")):
            for row in pq.read_table(part, columns=["key", "samples"]).to_pylist():
                pictures = [np.asarray(Image.open(io.BytesIO(one))) for one in row["samples"]]
                yield row["key"], of(pictures)
    elif (out / "rows.zarr" / "key").exists():
        import zarr

        group = zarr.open_group(out / "rows.zarr", mode="r")
        keys = group["key"][:].tolist()  # type: ignore[index, union-attr]
        for i, key in enumerate(keys):
            if key:
                yield key, of(list(group["samples"][i]))  # type: ignore[index, arg-type]


def of(pictures: list[np.ndarray]) -> str:
    """A digest of some arrays."""
    return sha256(b"".join(str(p.shape).encode() + p.tobytes() for p in pictures)).hexdigest()


class Found(NamedTuple):
    """What is wrong with a target: rows that are missing, that are there twice, that differ."""

    lost: int
    twice: int
    other: int


def look_through(out: Path, form: str, truth: dict[str, str]) -> Found:
    """Compare a target with what it should hold, a digest for every key."""
    found = list(rows_in(out, form))
    count = Counter(key for key, _ in found)
    return Found(
        len(truth.keys() - count.keys()),
        sum(n - 1 for n in count.values()),
        sum(truth.get(key) != told for key, told in found),
    )


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes that draw for another: all of its group but itself, as the system lists them."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,pgid=,args="], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    of_group = [line.split(None, 2) for line in listed]
    return [
        int(pid) for pid, group, *command in of_group
        if int(group) == process.pid != int(pid) and "spawn_main" in " ".join(command)
    ]  # fmt: skip


def kill(process: subprocess.Popen[bytes], rng: random.Random) -> str:
    """Kill all of a job, its first process, or a worker; what it was, in words."""
    workers = workers_of(process)
    whom = rng.choice(["all processes", "the first process", "a worker"])
    if whom == "a worker" and workers:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)
        return whom
    if whom == "the first process":
        process.kill()
    else:
        whom = "all processes"
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return whom


def kill_again_and_again(
    job: Job, out: Path, form: str, truth: dict[str, str], kills: int, life: float, seed: int
) -> list[Found]:
    """Kill, start again, and let it come to its end after the last kill.

    Args:
        job: The command.
        out: Its target.
        form: What that is.
        truth: What it should hold.
        kills: How often.
        life: Seconds that a run takes which is left alone.
        seed: Of the moments and the victims.

    Returns:
        What was found in every target that was finished.
    """
    rng, found, number, process = random.Random(seed), list[Found](), 0, job.start()
    while number < kills:
        try:
            code = process.wait(life * rng.random())
        except subprocess.TimeoutExpired:
            whom, number = kill(process, rng), number + 1
            print(f"kill {number}: {whom}; {len(dict(rows_in(out, form)))} rows", flush=True)
        else:
            if code == 0:
                found.append(look_through(out, form, truth))
                shutil.rmtree(out)
        if process.poll() is not None:
            process = job.start()
    process.wait()  # it may have failed: its worker was killed while it started
    job.finish()
    return [*found, look_through(out, form, truth)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--to", choices=FORMS, default="folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        source = make_rows(folder / "rows.tar", options.rows)
        model = make_model(folder / "tiny-x4")

        def job(out: Path) -> Job:
            command = [sys.executable, "-m", "cvdvae.cli", "batch", str(source), "--out", str(out)]
            command += ["--model", str(model), "--to", options.to, "-n", "2", "-q"]
            return Job([*command, "--workers", str(options.workers)], folder / "log")

        whole, broken = folder / "whole", folder / "broken"
        life = job(whole).finish()
        print(f"{options.rows} rows, {options.to}: {life:.1f} s without a kill", flush=True)
        truth = dict(rows_in(whole, options.to))
        found = kill_again_and_again(
            job(broken), broken, options.to, truth, options.kills, life, options.seed
        )
        lost, twice, other = (sum(numbers) for numbers in zip(*found, strict=True))
        print(
            f"{options.kills} kills in {len(found)} runs of {options.rows} rows: {lost} rows lost, "
            f"{twice} rows twice, {other} rows not equal"
        )
        if lost or twice or other or len(truth) != options.rows:
            shutil.copy(folder / "log", "kills.log")
            sys.exit("the log is in kills.log")


if __name__ == "__main__":
    main()
