"""The program as a user starts it: a command in this process, the page in one of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from cvdvae.cli import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


class served:
    """The program's own page, as a user starts it."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cvdvae.cli", "app", "--port", str(self.port), *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> str:
        for _ in range(600):
            assert self.process.poll() is None, self.process.communicate()[0].decode()
            try:
                urllib.request.urlopen(f"{self.url}/robots.txt", timeout=1)
            except urllib.error.HTTPError:
                return self.url
            except OSError:
                time.sleep(0.1)
            else:
                return self.url
        raise AssertionError("the page did not come up")

    def __exit__(self, kind: object, *_: object) -> None:
        runs = self.process.poll() is None
        self.process.terminate()
        self.process.communicate(timeout=20)
        if runs and kind is None:
            assert self.process.returncode == 128 + signal.SIGTERM


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
