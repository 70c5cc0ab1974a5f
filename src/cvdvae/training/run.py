"""One training run: data, Lightning trainer, checkpoints, export."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.progress import track
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, get_worker_info

from ..checkpoints.devices import has_fast_bf16
from ..checkpoints.folder import CONFIG
from ..checkpoints.pickled import read_checkpoint
from ..data.division import Division, check_apart, division_of, tell_another
from ..data.folder import DataConfig, is_first_process
from ..data.images import Images, open_images
from ..errors import ConfigError, InputError, OutputError
from ..files import TEMPORARY_PREFIX, write_atomically
from ..locks import sole_writer
from .config import OptimConfig
from .module import Training, validation_batch
from .order import StepBatches
from .progress import Lines, progress
from .start import CHECKPOINT, begins
from .stopping import EndAtSignal, Stopped, outlive_signals

warnings.filterwarnings("ignore", message=".*treespec.*")  # between Lightning and PyTorch
warnings.filterwarnings("ignore", message=".*in eval mode at the start")  # the prior: it is frozen


PLATEAU = "plateau.ckpt"
"""The checkpoint from where the learning rate starts to fall, to train longer from."""
NAMED = 3
"""Images that a message names at most."""


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

    Attributes:
        step: That of the last checkpoint.
    """

    def __init__(self, folder: Path, optim: OptimConfig) -> None:
        self.folder, self.optim, self.step = folder, optim, -1

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        """What it goes on from is on the disk."""
        self.step = trainer.global_step
        if self.step:
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


class TrainingData(L.LightningDataModule):
    """Training batches from the run's step onwards, and this process's validation images."""

    def __init__(
        self, data: DataConfig, optim: OptimConfig, image_size: int, channels: int = 3
    ) -> None:
        super().__init__()
        if not data.validation and not data.validation_every:
            raise ConfigError("validation keeps no image: a training is measured on one or more")
        check_apart(data)
        self.training, self.validation = open_images(data, image_size, channels)
        self.data, self.optim = data, optim
        self.divisions = [division_of(source) for source in (data, *data.more)]

    def check(self) -> None:
        """Read every image once that does not stay in memory, lest a damaged one end the training
        when its turn comes. Processes that train together share them out.

        Raises:
            InputError: Some cannot be used; the message names the first of them.
        """
        every = ConcatDataset[str]([_Faults(self.training), _Faults(self.validation)])
        if not every:
            return
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        loader = DataLoader(
            every,
            batch_size=None,
            sampler=range(rank, len(every), world),
            num_workers=self.data.workers,
            worker_init_fn=outlive_signals,
        )
        faults = [one for one in track(loader, "checking images", transient=True) if one]
        if len(faults) == 1:
            raise InputError(faults[0])
        if faults:
            some = "; ".join(faults[:NAMED]) + "; …" * (len(faults) > NAMED)
            raise InputError(f"{len(faults)} images cannot be used: {some}")

    def state_dict(self) -> dict[str, Any]:
        """The split of every source, for the checkpoint."""
        return {"divisions": [tuple(one) for one in self.divisions]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Say where the split is another one than that of the checkpoint."""
        sources = (self.data, *self.data.more)
        for source, then, now in zip(
            sources, state_dict["divisions"], self.divisions, strict=False
        ):
            tell_another(source, Division(*then), now)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches that continue at the trainer's step."""
        assert self.trainer is not None
        world = self.trainer.world_size
        if self.optim.batch_size % world or len(self.validation) < world:
            raise ConfigError(
                f"{world} processes cannot share batches of {self.optim.batch_size} and "
                f"{len(self.validation)} validation images: the batch size must be a multiple of "
                f"their number, and there must be an image for each"
            )
        batches = StepBatches(
            len(self.training),
            self.optim.batch_size,
            self.optim.seed,
            self.trainer.global_step,
            any(source.flip for source in (self.data, *self.data.more)),
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            _Keyed(self.training, batches),
            batch_size=None,
            num_workers=self.data.workers,
            worker_init_fn=outlive_signals,
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        """This process's share: images ``rank, rank + world_size, …`` in order."""
        assert self.trainer is not None
        batch = validation_batch(self.optim, self.trainer.world_size)
        rows = range(self.trainer.global_rank, len(self.validation), self.trainer.world_size)
        return DataLoader(
            Subset(self.validation, rows),
            batch_size=batch,
            num_workers=self.data.workers,
            worker_init_fn=outlive_signals,
        )


class _Faults(Dataset[str]):
    """Why images cannot be used that are read when they are asked for; nothing where they can."""

    def __init__(self, images: Images) -> None:
        self.images, self.unread = images, images.unread

    def __len__(self) -> int:
        return len(self.unread)

    def __getitem__(self, index: int) -> str:
        try:
            self.images[self.unread[index]]
        except InputError as error:
            return str(error)
        return ""


class _Keyed(torch.utils.data.IterableDataset[Tensor]):
    """Batches of a data set in the order that a batch sampler gives, without an end."""

    def __init__(self, images: Images, batches: StepBatches) -> None:
        self.images, self.batches = images, batches

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        # The loader takes one batch from each worker in turn, so this keeps the order.
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for keys in islice(self.batches, first, None, step):
            yield torch.stack([self.images[k] for k in keys])


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


def _tell_where(checkpoint: Path, step: int, steps: int) -> None:
    """Say where a training goes on from, or how it could where it is at its end; the first process
    does."""
    if not is_first_process():
        return
    if step < steps:
        print(f"goes on from {checkpoint}, step {step} of {steps}", flush=True)
        return
    how = "raise steps to go on"
    if (plateau := checkpoint.with_name(PLATEAU)).exists():
        how += f", and copy {plateau} over it first: there the learning rate had not fallen yet"
    note = f"note: {checkpoint} is at step {step} of {steps}: nothing is left to train ({how})"
    print(note, file=sys.stderr, flush=True)


def _fit(module: Training, data: TrainingData, trainer_options: dict[str, Any]) -> None:
    # Its remarks are on devices, loggers and defaults of its own; warnings stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    optim, folder = module.optim, module.folder
    resume = None if begins(folder) else str(folder / CHECKPOINT)
    if resume is None:
        data.check()
    else:
        checkpoint = read_checkpoint(Path(resume))
        module.check_own(checkpoint)
        _tell_where(Path(resume), checkpoint["global_step"], optim.steps)
    if is_first_process():
        if resume is None and (module.exported / CONFIG).is_file():
            note = f"note: {module.exported} holds a model without its checkpoint: it is replaced"
            print(f"{note} at the first validation", file=sys.stderr, flush=True)
        module.begin()
    saving, exporting = AtomicCheckpoint(folder, optim), ExportAtValidation()
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
