"""What a training says while it runs: a bar on a terminal, a line now and then in a log."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor

SECONDS = 60.0
"""Between two lines of a log."""


class Bar(RichProgressBar):
    """A bar that counts steps: a training here has no epochs."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training".ljust(len(self.validation_description))

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The losses, without the number of the log."""
        found = super().get_metrics(trainer, pl_module)
        found.pop("v_num", None)
        return found


class Lines(Callback):
    """A line after the first step, after every validation, and every `SECONDS` between."""

    def __init__(self) -> None:
        self.first = self.said = 0.0
        self.began: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note when and where it began."""
        self.first, self.said, self.began = time.monotonic(), 0.0, trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Say how far it is, where it is time."""
        if time.monotonic() - self.said >= SECONDS:
            self.say(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say what was found."""
        self.say(trainer)

    def say(self, trainer: L.Trainer) -> None:
        """One line, from the first process."""
        if not trainer.is_global_zero:
            return
        self.said = time.monotonic()
        done = 0 if self.began is None else trainer.global_step - self.began
        pace = f", {done / (self.said - self.first):.2g} steps a second" if done else ""
        losses = ", ".join(
            f"{name} {float(value):.4g}"
            for name, value in trainer.callback_metrics.items()
            if isinstance(value, Tensor) and value.numel() == 1
        )
        print(f"step {trainer.global_step} of {trainer.max_steps}{pace}: {losses}", flush=True)


def progress() -> Callback:
    """What suits where the output goes."""
    return Bar() if sys.stdout.isatty() else Lines()
