"""The images of a training: batches from where it goes on, and those it is validated on."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import lightning as L
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, get_worker_info

from ..data.division import Division, check_apart, division_of, tell_others
from ..data.folder import DataConfig
from ..data.images import Images, open_images
from ..errors import ConfigError, InputError
from .config import OptimConfig
from .module import validation_batch
from .order import StepBatches
from .stopping import outlive_signals

NAMED = 3
"""Images that a message names at most."""


class TrainingData(L.LightningDataModule):
    """Training batches from the run's step onwards, and this process's validation images."""

    def __init__(
        self, data: DataConfig, optim: OptimConfig, image_size: int, channels: int = 3
    ) -> None:
        super().__init__()
        if not data.validation and not data.validation_every:
            raise ConfigError("validation keeps no image: a training is measured on one or more")
        self.training, self.validation = open_images(data, image_size, channels)
        check_apart(data)
        self.data, self.optim = data, optim
        self.divisions = [division_of(source) for source in (data, *data.more)]
        self.seen: int | None = None  # images before a resume
        self.ahead = 0  # of what as many steps of this batch size would have seen

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
        """The split of every source and the number of images so far, for the checkpoint."""
        steps = self.trainer.global_step if self.trainer else 0
        seen = self.ahead + steps * self.optim.batch_size
        return {"divisions": [tuple(one) for one in self.divisions], "seen": seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the images of the checkpoint; say where its split is another one."""
        self.seen = state_dict.get("seen")
        tell_others([Division(*one) for one in state_dict["divisions"]], self.divisions)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches that go on after all images so far, whatever the size of theirs was."""
        assert self.trainer is not None
        world = self.trainer.world_size
        if self.optim.batch_size % world or len(self.validation) < world:
            raise ConfigError(
                f"{world} processes cannot share batches of {self.optim.batch_size} and "
                f"{len(self.validation)} validation images: the batch size must be a multiple of "
                f"their number, and there must be an image for each"
            )
        sized = self.trainer.global_step * self.optim.batch_size
        seen = sized if self.seen is None else self.seen
        self.ahead = seen - sized
        batches = StepBatches(
            len(self.training),
            self.optim.batch_size,
            self.optim.seed,
            seen,
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
