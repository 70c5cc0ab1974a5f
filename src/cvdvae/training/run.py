"""One training run: Lightning trainer, checkpoints, export."""

import logging
import os
import sys
import time
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ..checkpoints.devices import has_fast_bf16
from ..checkpoints.folder import CONFIG
from ..checkpoints.pickled import read_checkpoint
from ..data.folder import is_first_process
from ..errors import InputError, OutputError
from ..files import TEMPORARY_PREFIX, write_atomically
from ..locks import sole_writer
from .config import OptimConfig
from .data import TrainingData
from .module import Training
from .progress import Lines, progress
from .start import CHECKPOINT, begins
from .stopping import EndAtSignal, Stopped

warnings.filterwarnings("ignore", message=".*treespec.*")  # between Lightning and PyTorch
warnings.filterwarnings("ignore", message=".*in eval mode at the start")  # the prior: it is frozen


PLATEAU = "plateau.ckpt"
"""The checkpoint from where the learning rate starts to fall, to train longer from."""
STEADY = 0.99
"""A rate below this part of the scheduled one is told."""


class Direct(TorchCheckpointIO):
    """Checkpoints go where they are to be: Lightning's own way is by the system's temporary folder,
    which may be small, and keeps what a killed training has begun."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write to `path`, which `AtomicCheckpoint` moves into place."""
        with Path(path).open("wb") as stream:
            try:
                torch.save(checkpoint, stream)
            except RuntimeError as error:  # what PyTorch makes of a disk that is full by now
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


class AtomicCheckpoint(Callback):
    """Keep `last.ckpt` whole at every moment, and `PLATEAU` from where the decay starts.

    Args:
        folder: Of the run.
        optim: Its settings.
        fallen: Whether the learning rate of what it goes on from had fallen already.

    Attributes:
        step: That of the last checkpoint.
    """

    def __init__(self, folder: Path, optim: OptimConfig, fallen: bool = False) -> None:
        self.folder, self.optim, self.fallen, self.step = folder, optim, fallen, -1

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        """What it goes on from is on the disk."""
        self.step = trainer.global_step
        if self.step and not self.fallen:
            self._save_plateau(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Save every `checkpoint_every` steps, once per step, and before a validation."""
        step, optim = trainer.global_step, self.optim
        due = step % optim.checkpoint_every == 0 or step % optim.validate_every == 0
        if due or step == optim.steps:
            self.save(trainer)
        self._save_plateau(trainer)

    def _save_plateau(self, trainer: L.Trainer) -> None:
        """Save where the decay starts."""
        if self.optim.decay and trainer.global_step == self.optim.steps - self.optim.decay:
            self.save(trainer, PLATEAU)

    def save(self, trainer: L.Trainer, name: str = CHECKPOINT) -> None:
        """Save; all processes must."""
        if name == CHECKPOINT:
            self.step = trainer.global_step
        if trainer.is_global_zero:
            write_atomically(self.folder / name, trainer.save_checkpoint)
        else:
            trainer.save_checkpoint(self.folder / name)  # takes part, writes nothing


class ExportAtValidation(Callback):
    """Write the averaged weights to `model/` after every validation.

    Attributes:
        step: That of the last validation.
    """

    step = -1

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Export from the first process."""
        assert isinstance(module, Training)
        self.step = trainer.global_step
        if trainer.is_global_zero and not trainer.sanity_checking:
            module.export(module.exported)


def processes() -> dict[str, Any]:
    """Options of the trainer for the processes that torchrun has started; one without it."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return {"devices": 1}
    return {"devices": local, "num_nodes": world // local, "strategy": "ddp"}


def fit(module: Training, data: TrainingData, **trainer_options: Any) -> None:
    """Train from the run folder's checkpoint if there is one, to the last step.

    SIGINT and SIGTERM end it after the step at hand, with a checkpoint to go on from.

    Raises:
        InputError: An image cannot be used.
        WeightsError: The checkpoint is damaged, or no checkpoint.
        ConfigError: It is that of another model.
        OutputError: Another process trains in the folder.
        KeyboardInterrupt: It was ended by SIGINT.
        SystemExit: It was ended by SIGTERM; the code is 143.
    """
    first = is_first_process()
    with sole_writer(module.folder) if first else nullcontext():
        if first:
            for leftover in module.folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink(missing_ok=True)
        _fit(module, data, trainer_options)


def _rate_in(checkpoint: dict[str, Any]) -> float:
    """The factor on the learning rate that a training had come to."""
    (schedule,) = checkpoint["lr_schedulers"]
    rate: float = schedule["_last_lr"][0] / schedule["base_lrs"][0]
    return rate


def _tell_where(checkpoint: Path, step: int, optim: OptimConfig, fallen: float | None) -> None:
    """Say where a training goes on from, and what it could go on from instead where the learning
    rate had fallen already; the first process does."""
    if not is_first_process():
        return
    steps = optim.steps
    plateau = checkpoint.with_name(PLATEAU)
    instead = f"copy {plateau} over it first: there the learning rate had not fallen yet"
    note = ""
    if step < steps:
        print(f"goes on from {checkpoint}, step {step} of {steps}", flush=True)
        if fallen is not None:
            rises = f"rises to {optim.rate_at(step):.0%} again"
            note = f"its learning rate had fallen to {fallen:.0%} and {rises}"
            note += f" ({instead})" * plateau.exists()
    else:
        note = f"it is at step {step} of {steps}: nothing is left to train (raise steps to go on"
        note += f", and {instead}" * plateau.exists() + ")"
    if note:
        print(f"note: {checkpoint}: {note}", file=sys.stderr, flush=True)


def _fit(module: Training, data: TrainingData, trainer_options: dict[str, Any]) -> None:
    # Its remarks are on devices, loggers and defaults of its own; warnings stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    optim, folder = module.optim, module.folder
    resume, fallen = None if begins(folder) else str(folder / CHECKPOINT), None
    if resume is None:
        data.check()
    else:
        checkpoint = read_checkpoint(Path(resume))
        module.check_own(checkpoint)
        step, rate = checkpoint["global_step"], _rate_in(checkpoint)
        if step > optim.warmup and rate < STEADY * optim.rate_at(step):
            fallen = rate
        _tell_where(Path(resume), step, optim, fallen)
    if is_first_process():
        if resume is None and (module.exported / CONFIG).is_file():
            note = f"note: {module.exported} holds a model without its checkpoint: it is replaced"
            print(f"{note} at the first validation", file=sys.stderr, flush=True)
        module.begin()
    saving = AtomicCheckpoint(folder, optim, fallen is not None)
    exporting = ExportAtValidation()
    ending, shown = EndAtSignal(saving.save), progress()
    fast = has_fast_bf16("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {
        "precision": "bf16-mixed" if fast else "32-true",
        "max_steps": optim.steps,
        "val_check_interval": optim.validate_every,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 20,
        "use_distributed_sampler": False,
        "enable_checkpointing": False,
        "logger": CSVLogger(str(folder), name="log", version=time.strftime("%Y%m%d-%H%M%S")),
        "enable_model_summary": False,
        "callbacks": [shown, saving, ending, exporting],
        "plugins": [Direct()],
    }
    if isinstance(shown, Lines):
        options["enable_progress_bar"] = False
    trainer = L.Trainer(**(options | processes() | trainer_options))
    try:
        with ending:
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
            if exporting.step != trainer.global_step:
                trainer.validate(module, data, verbose=False)
    except InputError as error:  # a reading process wraps its own message in a traceback
        if trainer.world_size == 1 and trainer.global_step > max(0, saving.step):
            with suppress(OutputError):  # then that image is still what to tell of
                saving.save(trainer)
        raise InputError(str(error).strip().splitlines()[-1].split("InputError: ")[-1]) from None
    except Stopped:
        raise ending.reason from None
    except RuntimeError:  # a signal to all processes ends those that read, too
        if ending.received:
            raise ending.reason from None
        raise
    if trainer.is_global_zero:
        module.export(module.exported)
