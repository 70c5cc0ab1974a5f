"""The program as a user starts it: a command in this process, the page in one of its own."""

import io
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from cvdvae.cli import main
from cvdvae.cli.consoles import err
from cvdvae.files import APP_PREFIX

if TYPE_CHECKING:
    from gradio_client import Client

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 180
"""Seconds for a program to begin or to end."""


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


class Beside:
    """A process of its own, with what one of a program has."""

    def __init__(self, process: BaseProcess) -> None:
        self.process, self.pid = process, process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def beside(work: Callable[..., object], *given: object) -> Beside:
    """Start a function in a process of its own, with one thread and the signals of a terminal.

    It has imported what this one has; not where a card's threads would not survive the fork.
    """
    context = multiprocessing.get_context("spawn" if torch.accelerator.is_available() else "fork")
    process: BaseProcess = context.Process(target=_alone, args=(work, given))  # type: ignore[attr-defined]
    process.start()
    return Beside(process)


def _alone(work: Callable[..., object], given: tuple[object, ...]) -> None:
    os.setsid()
    forkserver._forkserver.__init__()  # type: ignore[misc]  # that of this process is not its child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    work(*given)


def command(*arguments: str) -> None:
    """The command, in a process of its own."""
    sys.argv = ["cvdvae", *arguments]
    main()


class Terminal(io.StringIO):
    """A screen of 80 columns."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What is left on it, without what was erased."""
        shown = [""]
        for part in re.split(r"(\x1b\[[0-9;?]*[a-zA-Z]|\r|\n)", self.getvalue()):
            if part == "\n":
                shown.append("")
            elif part == "\x1b[2K":
                shown[-1] = ""
            elif part == "\x1b[1A":
                shown.pop()
            elif part != "\r" and not part.startswith("\x1b"):
                shown[-1] += part
        return [line for line in shown if line]


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where standard error is shown from here on."""
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(err, "is_interactive", True)
    return screen


class served:
    """The program's own page, as a user starts it."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self.process = self.start(["app", "--port", str(self.port), *arguments], environment)

    def start(self, arguments: list[str], environment: dict[str, str]) -> "Process":
        return subprocess.Popen(
            [sys.executable, "-m", "cvdvae.cli", *arguments],
            env={**os.environ, **environment},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> str:
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/robots.txt", timeout=1)
            except urllib.error.HTTPError:
                return self.url
            except OSError:
                time.sleep(0.1)
            else:
                return self.url
        self.process.kill()
        raise AssertionError(f"the page did not come up: {self.said()}")

    def __exit__(self, kind: object, *_: object) -> None:
        runs = self.process.poll() is None
        self.process.terminate()
        self.process.wait(PATIENCE)
        if runs and kind is None:
            assert self.process.returncode == 128 + signal.SIGTERM, self.said()
            assert "Traceback" not in self.said()
            left = Path(tempfile.gettempdir()).glob(f"{APP_PREFIX}{self.process.pid}-*")
            assert list(left) == []

    def said(self) -> str:
        """All that the program has printed so far."""
        self.output.seek(0)
        return self.output.read().decode()


class served_beside(served):
    """The same where it does not matter how a program starts, which takes longer than the page."""

    def start(self, arguments: list[str], environment: dict[str, str]) -> "Process":
        return beside(_told, self.output.name, environment, *arguments)


Process = subprocess.Popen[bytes] | Beside


def _told(output: str, environment: dict[str, str], *arguments: str) -> None:
    """The command with such an environment; what it says goes into a file."""
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.stdout = sys.stderr = open(output, "a", buffering=1)  # noqa: PTH123, SIM115
    for number in (1, 2):
        os.dup2(sys.stdout.fileno(), number)
    command(*arguments)


def client(address: str, **options: Any) -> "Client":
    """Gradio's client, with the patience of a busy machine."""
    from gradio_client import Client

    return Client(address, verbose=False, httpx_kwargs={"timeout": 60}, **options)


def free_port() -> int:
    """A port that nobody has; not one of those that connections are given."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
