"""The program as a user starts it: a command in this process, the page in one of its own."""

import io
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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cvdvae.cli", "app", "--port", str(self.port), *arguments],
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
