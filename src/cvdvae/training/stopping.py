"""SIGINT and SIGTERM end a training after the step at hand, with a checkpoint to go on from."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

WAITING = b"\nStopping after this step; once more stops at once.\n"
GRACE = 60
"""Seconds that a process that reads images lives on, though told to end with all the others."""


def outlive_signals(worker: int) -> None:
    """Have a process that reads images live on: the step at hand may still need it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):  # not on Windows
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


class Stopped(BaseException):
    """The training ends here; Lightning lets it through as it is."""


class EndAtSignal(Callback):
    """Within, the two signals are noted, and the training ends where nothing is half done.

    Lightning's own handlers end it with exit codes of their own, and tell nothing apart. They are
    put in place when the training starts, so these follow them then.

    Args:
        save: Writes the checkpoint; all processes must call it.
    """

    def __init__(self, save: Callable[[L.Trainer], None]) -> None:
        self.save, self.received, self.process = save, 0, os.getpid()
        self.before: dict[int, Any] = {}

    @property
    def reason(self) -> BaseException:
        """What the caller is to see."""
        if self.received == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + self.received)

    def __enter__(self) -> "EndAtSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self.before[number] = signal.getsignal(number)
        self._install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Follow Lightning's handlers."""
        self._install()

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Follow Lightning's handlers."""
        self._install()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """End here, if any of the processes was told to."""
        if trainer.strategy.reduce_boolean_decision(bool(self.received), all=False):
            self.received = self.received or signal.SIGTERM
            self.save(trainer)
            raise Stopped

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """End here: the checkpoint was written before the validation."""
        if self.received and trainer.world_size == 1:  # several do not validate in step
            raise Stopped

    def _install(self) -> None:
        for number in self.before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:  # one that reads images, and has just begun
            return
        if self.received:
            raise Stopped
        self.received = number
        os.write(2, WAITING)
