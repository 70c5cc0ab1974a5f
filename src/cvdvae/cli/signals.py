"""Ctrl+C and SIGTERM end the program with 130 and 143, at any moment."""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

PATIENCE = 2.0
"""Seconds after which an interrupt is raised again, where somebody caught it and went on."""
SHOW_CURSOR = "\x1b[?25h"


class EndAtSignals:
    """Within, both signals raise; afterwards the program exits with 128 + the signal's number.

    An exception alone is not enough. Raised while a module is being imported, it is lost or leaves
    half a module behind, so there the process ends at once; nothing has been written then but
    temporary files, which the next start removes.
    """

    def __init__(self) -> None:
        self.received = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "EndAtSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self.before[number] = signal.signal(number, self._raise)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alarm(0)
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.received:
            if self.received == signal.SIGINT and sys.stderr is not None:
                with suppress(OSError, ValueError):  # nobody may be left to read it
                    print("stopped", file=sys.stderr, flush=True)
            raise SystemExit(128 + self.received) from None

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if _importing(frame):
            with suppress(OSError):
                os.write(2, SHOW_CURSOR.encode() if os.isatty(2) else b"")
                os.write(2, b"stopped\n" if number == signal.SIGINT else b"")
            os._exit(128 + number)
        self._alarm(PATIENCE)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def _again(self, _: int, frame: FrameType | None) -> None:
        if not _on_its_way():
            self._raise(self.received, frame)

    def _alarm(self, seconds: float) -> None:
        if not hasattr(signal, "setitimer") or not self.received:
            return
        if seconds and signal.SIGALRM not in self.before:
            self.before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._again)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


def _on_its_way() -> bool:
    """Whether an interrupt is being handled: what it has begun to clean up may take its time."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return True
        error = error.__context__
    return False


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
