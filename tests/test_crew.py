"""Processes that draw many images: how they start, are killed and replaced, and end."""

import itertools
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command import PATIENCE, beside, command, run
from test_batch import (
    IN_PROCESS,
    LETHAL,
    ROWS,
    SETTINGS,
    Marked,
    as_folder,
    check_all,
    small,
)

from cvdvae.batch import run as batch_run
from cvdvae.batch.local import Recipe, _Crew, draw_locally
from cvdvae.batch.rows import Row, in_batches
from cvdvae.batch.run import BATCH, run_batch
from cvdvae.batch.sources import open_source
from cvdvae.batch.upscaler import as_arrays


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is Linux that tells")
def test_a_process_hears_no_interrupt_even_as_it_starts(model_folder: Path) -> None:
    """Ctrl+C, which goes to all, would end it in a traceback; who started it hears it as before."""
    crew = _Crew(Recipe(str(model_folder), SETTINGS, as_arrays))
    try:
        for _ in range(2):  # with the first, another process of multiprocessing starts
            crew.hire()
        deaf = [_is_deaf(process.pid) for process in crew.processes.values()]
        parents = {_parent(process.pid) for process in crew.processes.values()}
    finally:
        crew.dismiss()
    assert deaf == [True, True]
    assert not _is_deaf(os.getpid())
    assert len(parents) == 1  # what they come from has imported all, and is not this process,
    assert parents != {os.getpid()}  # whose threads would not survive


def _parent(pid: int | None) -> int:
    return int(re.findall(r"PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[0])


def _is_deaf(pid: int | None) -> bool:
    """Whether a process blocks or ignores SIGINT."""
    told = Path(f"/proc/{pid}/status").read_text()
    masks = [int(re.findall(rf"{name}:\s*(\w+)", told)[0], 16) for name in ("SigBlk", "SigIgn")]
    return any(mask >> (signal.SIGINT - 1) & 1 for mask in masks)


def killed(held: Path, *arguments: str) -> None:
    """The program, killed when it has its first row: of four batches its processes have three.
    They hold, as it does, the pipe that what they say goes into."""
    os.dup2(os.open(held, os.O_WRONLY), 1)
    take = batch_run._take

    def last(*given: Any) -> None:
        take(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    batch_run._take = last  # type: ignore[assignment]
    command(*arguments)


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path, model_folder: Path) -> None:
    source, out, held = as_folder(tmp_path), tmp_path / "out", tmp_path / "held"
    os.mkfifo(held)
    job = beside(killed, held, "batch", str(source), "--out", str(out), "--model",
                 str(model_folder), "-n", "2", "--seed", "3", "--workers", "2", "-q")  # fmt: skip
    held.read_bytes()  # until its processes, too, have noticed and ended
    assert job.wait(PATIENCE) == -signal.SIGKILL
    done = len(list(out.rglob("result.json")))
    assert 0 < done <= 3 * BATCH
    found = open_source(str(source))
    again = run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (again.before, again.drawn) == (done, ROWS - done)
    check_all(out, "folder")


def test_processes_are_replaced_and_no_more_is_read_than_they_can_take(
    tmp_path: Path, model_folder: Path
) -> None:
    read = 0

    def endless() -> Iterator[Row]:
        nonlocal read
        for read in itertools.count(1):
            yield Row(read, f"{read:012d}", small(read))

    recipe, seen, error = Recipe(str(model_folder), SETTINGS, Marked(tmp_path)), list[str](), ""
    results = draw_locally(in_batches(endless(), 4), recipe, 2)
    for result in results:
        seen += result["key"].tolist()
        error = next((e for e in result["error"] if e), error)
        assert read <= len(seen) + 3 * 4
        if error and len(seen) > 30:
            break
    results.close()  # type: ignore[attr-defined]
    assert error == f"{LETHAL} ended its process (exit code -9)"
    assert len(seen) == len({*seen})
    assert {f"{i:012d}" for i in range(1, 20)} < {*seen}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("count", [1, 2])
def test_a_model_that_no_worker_can_load_is_one_sentence(
    count: int,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["batch", str(as_folder(tmp_path)), "--out", str(tmp_path / "out"), "-n", "2"]
    arguments += ["--model", str(model_folder), "--device", "cuda", "--workers", str(count)]
    if count == 1:  # it would draw in this process
        code: int | None = run(*arguments, monkeypatch=monkeypatch)
    else:  # its processes say what they say where it does
        code = beside(command, *arguments).wait(PATIENCE)
    told = capfd.readouterr().err
    assert code == 1
    assert "Traceback" not in told
    (said,) = (line for line in told.splitlines() if "error" in line.lower())
    assert "cuda" in said.lower()
    assert "exit code" not in told
