"""How runs end: interrupted, told to end, killed, and side by side."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from command import PATIENCE, Beside, beside, command, run
from PIL import Image
from test_training import prior_config
from tiny import tiny_resolver

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord
from cvdvae.errors import OutputError
from cvdvae.files import _swept, write_atomically, write_text
from cvdvae.locks import LOCK, sole_writer
from cvdvae.restoration.saving import saved_files

Process = subprocess.Popen[str] | Beside
ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def start(*command: str, **environment: str) -> "subprocess.Popen[str]":
    """A program whose signals are as in a terminal: in the background they may be ignored."""
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(there: Callable[[], bool], process: Process) -> None:
    for _ in range(3600):
        if there():
            return
        if process.poll() is not None:
            said = "" if isinstance(process, Beside) else process.communicate()
            raise AssertionError(f"it has ended: {process.returncode} {said}")
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def about(process: Process, what: str) -> str:
    """What the kernel says of a process."""
    return Path(f"/proc/{process.pid}/{what}").read_text()


def catches(process: Process, number: int) -> bool:
    """Whether it has a handler for a signal."""
    caught = int(about(process, "status").partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def computed(process: Process) -> float:
    """Seconds of processors that it has had."""
    fields = about(process, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_while_it_computes(seconds: float, process: Process) -> None:
    until = computed(process) + seconds
    wait_for(lambda: computed(process) >= until, process)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(12):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 32)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.png"
    Image.new("RGB", (8, 8), (90, 120, 150)).save(path)
    return path


# As `python -m`, once Python itself has started: an interrupt before that ends it in its own ways.
AS_A_MODULE = """
import runpy
print("ready", flush=True)
runpy.run_module("cvdvae.cli", run_name="__main__", alter_sys=True)
"""

MOMENTS: dict[str, Callable[["subprocess.Popen[str]", Path], bool]] = {
    "Python is there": lambda process, out: True,
    "the program is there": lambda process, out: catches(process, signal.SIGTERM),
    "PyTorch is imported": lambda process, out: "libtorch_cpu" in about(process, "maps"),
    "the rest is imported": lambda process, out: "safetensors" in about(process, "maps"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_ends_upscale_at_any_moment(moment: str, small: Path, tmp_path: Path) -> None:
    arguments = [
        "upscale",
        str(small),
        "--model",
        "celeba64-x8",
        "--out",
        str(tmp_path / "out"),
        "-n",
        "10000",
    ]
    process = start("-c", AS_A_MODULE, *arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wait_for(lambda: MOMENTS[moment](process, tmp_path / "out"), process)
    ours = catches(process, signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=30)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode()
    if process.returncode is None:  # Python drops what falls into a callback of its imports
        assert not ours, said
        assert "Exception ignored in" in said
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    # Before the first line of this program runs, Python ends by the signal itself: 130 to a shell.
    assert process.returncode in (130, *([] if ours else [-signal.SIGINT])), said


LOOP = """
import sys, time
from cvdvae.cli.signals import EndAtSignals
left = int(sys.argv[1])
with EndAtSignals():
    while True:
        try:
            print("ready", flush=True)
            time.sleep(0.1)
        except BaseException:
            left -= 1
            if left < 0:
                raise
"""


@pytest.mark.parametrize(("number", "code"), ENDS)
@pytest.mark.parametrize("swallowed", [0, 1])
def test_both_signals_end_a_command_even_if_somebody_swallows_them(
    number: signal.Signals, code: int, swallowed: int
) -> None:
    process = start("-c", LOOP, str(swallowed))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code


CLEANING = """
import sys, time
from contextlib import contextmanager
from cvdvae.cli import signals
signals.PATIENCE = 0.05
@contextmanager
def outer():
    try:
        yield
    except BaseException:
        time.sleep(0.5)
        print("put back", flush=True)
        raise
with signals.EndAtSignals(), outer():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        try:
            raise OSError("on the way")
        except OSError:
            time.sleep(0.5)
        print("removed", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), ENDS)
def test_one_signal_waits_for_what_it_has_begun_to_clean_up(
    number: signal.Signals, code: int
) -> None:
    """However long it takes: a result that is half removed would be mixed with the earlier one."""
    process = start("-c", CLEANING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=10)
    assert said.splitlines() == ["removed", "put back"]
    assert process.returncode == code


@pytest.mark.parametrize(
    ("number", "code", "seconds"),
    [
        (signal.SIGINT, 130, 1.5),  # it draws: loading takes one of them at most
        (signal.SIGTERM, 143, 0.1),
    ],
)
def test_commands_end_with_the_code_of_the_signal(
    number: signal.Signals,
    code: int,
    seconds: float,
    small: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = ["upscale", str(small), "--model", "celeba64-x8", "--out", str(out)]
    process = beside(command, *arguments, "-n", "10000")
    wait_for((out / LOCK).exists, process)
    wait_while_it_computes(seconds, process)
    process.send_signal(number)
    ended, said = process.wait(30), capfd.readouterr().err
    assert ended == code, said
    if number == signal.SIGINT:
        assert said.endswith("stopped\n")
    # A signal that comes while something is imported ends it at once: then the lock's file stays,
    # which nobody holds, and the next run takes.
    assert {p.name for p in out.rglob("*") if p.is_file()} <= {LOCK}


@pytest.mark.parametrize(("number", "code"), ENDS[1:])  # of the first: `EndAtSignal`'s own tests
def test_a_training_saves_where_it_is_and_ends_with_the_code_of_the_signal(
    number: signal.Signals,
    code: int,
    photos: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = prior_config(photos, tmp_path / "run.yaml", steps=100_000)
    text = config.read_text().replace("checkpoint_every: 5", "checkpoint_every: 1000000")
    text = text.replace("workers: 0", "workers: 1")
    config.write_text(text.replace("validate_every: 1000", "validate_every: 1000000"))
    out = tmp_path / "run"
    arguments = ["train", "prior", "--config", str(config), "--out", str(out)]
    process = beside(command, *arguments)
    wait_for(lambda: bool(list(out.glob("log/*/metrics.csv"))), process)
    os.killpg(process.pid, number)  # as a terminal and a container do: also who reads images
    ended, said = process.wait(50), capfd.readouterr().err
    assert ended == code, said
    assert "Stopping after this step" in said
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] > 0
    assert not (out / LOCK).exists()


WRITER = """
import pathlib, sys, time
from cvdvae.files import APP_PREFIX, temporary_folder, write_atomically
folder = pathlib.Path(sys.argv[1])
def write(path):
    path.write_bytes(b"half")
    with temporary_folder(folder) as inner, temporary_folder(folder, APP_PREFIX) as of_the_page:
        (of_the_page / "uploaded").mkdir()
        (inner / "model").mkdir()
        print("writing", flush=True)
        time.sleep(60)
write_atomically(folder / "file.bin", write)
"""

STARTER = """
import pathlib, sys
from cvdvae.files import check_writable
check_writable(pathlib.Path(sys.argv[1]))
"""


def test_the_next_start_removes_what_a_killed_run_left_and_nothing_of_a_living_one(
    tmp_path: Path,
) -> None:
    foreign = tmp_path / ".writing-notes.txt"
    foreign.write_text("mine")
    killed, alive = (start("-c", WRITER, str(tmp_path)) for _ in range(2))
    for process in (killed, alive):
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = {p.name for p in tmp_path.iterdir()} - {foreign.name}
    assert len(left) == 6
    assert all(p.stat().st_mode & 0o77 == 0 for p in tmp_path.iterdir() if p.is_dir())
    assert start("-c", STARTER, str(tmp_path)).wait(30) == 0
    left = {p.name for p in tmp_path.iterdir()} - {foreign.name}
    assert all(f"-{alive.pid}-" in name for name in left)
    assert len(left) == 3
    alive.kill()
    alive.communicate()
    assert start("-c", STARTER, str(tmp_path)).wait(30) == 0
    assert [p.name for p in tmp_path.iterdir()] == [foreign.name]


def cut_off(folder: Path) -> None:
    """Save a result, and be killed between its samples and its grid."""
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=4)
    type(result).grid = lambda self: os.kill(os.getpid(), 9)  # type: ignore[assignment, method-assign, return-value]
    result.save(folder)


def test_a_result_that_was_cut_off_by_a_kill_does_not_mix_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "sample_of_my_thesis.png").write_bytes(b"mine")
    assert beside(cut_off, tmp_path).wait(PATIENCE) == -signal.SIGKILL
    assert (tmp_path / "sample_03.png").exists()
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=1)
    result.save(tmp_path)
    held = {p.name for p in tmp_path.iterdir()}
    assert held == {*result.files, "result.json", "sample_of_my_thesis.png"}


def written(folder: Path, **files: str) -> None:
    """A result of such files, each with its text."""
    told = {"model": "tiny", "samples": 1, "seed": 0, "files": [f"{one}.png" for one in files]}
    with saved_files(folder, told["files"], lambda: told):  # type: ignore[arg-type]
        for name, text in files.items():
            (folder / f"{name}.png").write_text(text)


def held(folder: Path) -> dict[str, str]:
    """The pictures of a folder, and the names of all else in it."""
    found = {path.name: path for path in folder.iterdir()}
    return {name: p.read_text() if p.suffix == ".png" else "" for name, p in found.items()}


def killed_before(change: int, work: Callable[[], None]) -> bool:
    """Whether a process that is killed before so many changes of the disk has ended before."""
    child = os.fork()
    if child == 0:
        left = [change]

        def watch(event: str, _: tuple[object, ...]) -> None:
            if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(watch)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_whenever_a_process_is_killed_one_result_is_whole(tmp_path: Path) -> None:
    """The earlier one stays until the new one is complete, also where the next run fails."""
    old, new = {"mean": "old", "input": "old"}, {"mean": "new", "std": "new"}
    written(tmp_path / "old", **old)
    written(tmp_path / "new", **new)
    left, ended = [held(tmp_path / "old")], False
    while not ended:
        folder = tmp_path / str(len(left))
        written(folder, **old)
        ended = killed_before(len(left), partial(written, folder, **new))
        _swept.clear()  # as in another process
        with suppress(KeyError), saved_files(folder, ["mean.png", "grid.png"], dict):
            (folder / "mean.png").write_text("half")
            raise KeyError
        left.append(held(folder))
        assert left[-1] in (left[0], held(tmp_path / "new")), len(left)
    assert left[1] == left[0] != left[-1]


HOLDER = """
import pathlib, sys, time
from cvdvae.locks import sole_writer
with sole_writer(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that writes to ``tmp_path/out``."""
    process = start("-c", HOLDER, str(tmp_path / "out"))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("command", ["upscale", "evaluate", "report", "train", "replay"])
def test_the_second_writer_is_told_so_and_the_lock_of_a_dead_one_is_free(
    command: str,
    holder: "subprocess.Popen[str]",
    photos: Path,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    models = str(model_folder).replace("-x4", "-x{scale}")
    measured = ["--data", str(photos), "--models", models, "--scales", "4", "--crop", "16"]
    recipe, tiny = tmp_path / "result.json", tmp_path / "tiny.png"
    Image.new("RGB", (4, 4), (90, 120, 150)).save(tiny)
    tiny_resolver().upscale(torch.full((3, 4, 4), 0.2), samples=1).save(tmp_path)
    recipe.write_text(recipe.read_text().replace('"tiny"', json.dumps(str(model_folder))))
    config = prior_config(photos, tmp_path / "run.yaml", steps=6)
    arguments = {
        "upscale": ["upscale", str(tiny), "-n", "1", "--model", str(model_folder)],
        "evaluate": ["evaluate", *measured, "-n", "2"],
        "report": ["report", *measured, "-n", "2"],
        "train": ["train", "prior", "--config", str(config)],
        "replay": ["replay", str(recipe), "--trust-model"],
    }[command]
    assert run(*arguments, "--out", str(out), monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    assert f"another run (process {holder.pid}) is writing to {out}" in said
    assert not [p for p in out.iterdir() if p.name != LOCK]
    holder.kill()
    holder.communicate()
    assert (out / LOCK).exists()
    if command in ("upscale", "replay"):
        assert run(*arguments, "--out", str(out), monkeypatch=monkeypatch) == 0
    else:
        with sole_writer(out):
            assert (out / LOCK).read_text() == str(os.getpid())
    assert not (out / LOCK).exists()


def test_a_thread_may_lock_again_and_another_may_not(tmp_path: Path) -> None:
    failed: list[str] = []

    def other() -> None:
        try:
            with sole_writer(tmp_path):
                pass
        except OutputError as error:
            failed.append(str(error))

    with sole_writer(tmp_path):
        with sole_writer(tmp_path):
            write_text(tmp_path / "x", "x")
        assert (tmp_path / LOCK).exists()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(failed) == 1
    assert not (tmp_path / LOCK).exists()


def test_a_writer_may_put_another_file_there(tmp_path: Path) -> None:
    """As safetensors does, with one that only its owner may read."""

    def write(path: Path) -> None:
        path.unlink()
        path.touch(0o600)

    write_atomically(tmp_path / "x", write)
    (tmp_path / "y").touch(0o666)
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_the_folder_of_a_model_is_no_place_for_leftovers(tmp_path: Path) -> None:
    prior = tiny_resolver().prior
    save_model(tmp_path / "m", PriorRecord("prior", prior.config), prior.state_dict())
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"config.yaml", "model.safetensors"}
