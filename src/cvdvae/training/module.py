"""What training the prior and the LR encoder have in common, as a Lightning module."""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..checkpoints.folder import CONFIG, read_record, save_model
from ..checkpoints.precision import StoredBits
from ..checkpoints.records import Record
from ..checkpoints.weights import WEIGHTS, digest
from ..configs import defaults, to_yaml
from ..errors import ConfigError, WeightsError
from ..files import write_text
from ..gaussian.noise import GlobalNoise, SeededNoise
from .config import OptimConfig
from .means import Means

MODEL = "model"
"""In the folder of a run, the model that it exports."""
PATIENCE = 50
"""Steps of which one must not be skipped."""
FOUND = ("recommended", "pixel_std", "expected", "judge")
"""Of a record, what `cvdvae calibrate` and `calibrate-doubt` find."""
KEPT = ("trained.", "averaged.", "skipped")
"""Beginnings of the names of what a checkpoint holds of a module."""
STATES = ("optimizer_states", "lr_schedulers")
"""Of a checkpoint, the state of the optimization: a list of one each."""
ELSEWHERE = "choose another folder for this run, or remove the checkpoint"

F = TypeVar("F", bound=Callable[..., Any])


def validation_batch(optim: OptimConfig, world_size: int) -> int:
    """Images that a process validates at once: as many as it trains on."""
    return max(1, optim.batch_size // world_size)


class Training(L.LightningModule):
    """Optimizer, schedule, moving average and skipped steps; subclasses say what the loss is.

    Args:
        trained: The network whose weights are trained and averaged.
        optim: Settings of the optimization.
        folder: Folder of the run; pictures go to its `samples/`.

    Attributes:
        shown: What of a validation stands beside the progress bar.
    """

    shown: tuple[str, ...] = ()

    def __init__(self, trained: nn.Module, optim: OptimConfig, folder: Path) -> None:
        super().__init__()
        self.trained, self.optim, self.folder = trained, optim, folder
        self.averaged = AveragedModel(trained, multi_avg_fn=_moving_average(optim.ema))
        self.averaged.requires_grad_(False)
        self.skipped: Tensor
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))
        self.norm, self.in_a_row = 0.0, 0  # of the last gradient; dropped one after the other

    @property
    def best(self) -> nn.Module:
        """The averaged network, which validation measures and export keeps."""
        module: nn.Module = self.averaged.module
        return module

    @property
    def exported(self) -> Path:
        """Folder of the model that the run exports."""
        return self.folder / MODEL

    def begin(self) -> None:
        """Keep what is needed to go on and to export, before the first step."""

    def export(self, folder: Path) -> None:
        """Write the averaged weights as a model that `cvdvae.load` reads."""
        raise NotImplementedError

    def save(self, folder: Path, record: Record, bits: StoredBits) -> None:
        """Write the averaged weights with a record.

        What was found of the model that is there stays, where it is one of the same kind, on the
        same prior and at the same scale: the temperatures, s and the judge of its inputs. Where
        the weights are others it is calibrated no more, and what it makes of proper images goes.
        """
        known: dict[str, Any] = {}
        before = digest(folder) if (folder / WEIGHTS).is_file() else ""
        earlier = _earlier(folder) if before else None
        if earlier is not None and _place(earlier) == _place(record):
            known = {key: getattr(earlier, key) for key in FOUND if hasattr(earlier, key)}
        left = known | ({"expected": None} if "expected" in known else {})
        if "recommended" in left:
            left["recommended"] = replace(left["recommended"], calibrated=False)
        if earlier is not None and left != known:  # before the weights: it may end between the two
            write_text(folder / CONFIG, to_yaml(replace(earlier, **left)))
        save_model(folder, replace(record, **left), self.best.state_dict(), bits)
        if known and digest(folder) == before:
            write_text(folder / CONFIG, to_yaml(replace(record, **known)))

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run to be continued by it."""
        raise NotImplementedError

    def check_own(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that another training has written.

        Raises:
            ConfigError: It is that of another model, or of none of ours.
        """
        self._check_identity(checkpoint)
        kept = checkpoint.get("state_dict", {})
        lacks = any(name.startswith(KEPT) and name not in kept for name in self.state_dict())
        if lacks or any(len(checkpoint.get(name, ())) != 1 for name in STATES):
            raise ConfigError(f"{self.folder} holds a checkpoint of something else: {ELSEWHERE}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the run's identity."""
        checkpoint["identity"] = self.identity()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another model, and train on as this configuration says.

        Raises:
            ConfigError: The architecture or the prior is not that of the checkpoint.
        """
        self._check_identity(checkpoint)
        states = (checkpoint.get(name, ()) for name in STATES)
        for optimizer, schedule in zip(*states, strict=True):
            rate = self.optim.learning_rate
            schedule["base_lrs"] = [rate] * len(schedule["base_lrs"])
            for group in optimizer["param_groups"]:
                group["lr"] = rate * self.optim.rate_at(schedule["last_epoch"])
                group["initial_lr"], group["betas"] = rate, self.optim.betas
                group["weight_decay"] = self.optim.weight_decay

    def _check_identity(self, checkpoint: dict[str, Any]) -> None:
        ours = self.identity()
        theirs = ours | checkpoint.get("identity", {})
        # It may be older than a key of the configuration, which then had what is the default now.
        theirs["model"] = defaults(cast(Any, self.trained.config)) | theirs["model"]
        if theirs["model"].keys() - ours["model"].keys():
            raise ConfigError(f"{self.folder} holds a checkpoint of something else: {ELSEWHERE}")
        different = [key for key in ours if theirs[key] != ours[key]]
        if different:
            named = " and ".join(_named(key, theirs[key], ours[key]) for key in different)
            raise ConfigError(f"{self.folder} holds a checkpoint with another {named}: {ELSEWHERE}")

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, plateau and linear decay."""
        optimizer = torch.optim.AdamW(
            self.trained.parameters(),
            lr=self.optim.learning_rate,
            betas=self.optim.betas,
            weight_decay=self.optim.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.optim.rate_at)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        """Seed all noise from the step, so that a resumed run repeats the uninterrupted one.

        In 32 bits, which is all that the generator of a CPU takes of a seed.
        """
        of = np.random.SeedSequence((self.optim.seed, self.global_step))
        torch.manual_seed(int(of.generate_state(1)[0]))

    def training_noise(self) -> GlobalNoise:
        """This process's rows of the noise for the whole batch."""
        return GlobalNoise(self.global_rank, self.trainer.world_size)

    def numbers(self, x: Tensor, batch_idx: int) -> list[int]:
        """Which of all validation images this process has in a batch."""
        step = self.trainer.world_size
        first = batch_idx * validation_batch(self.optim, step)
        return [row * step + self.global_rank for row in range(first, first + len(x))]

    def validation_noise(self, x: Tensor, batch_idx: int) -> SeededNoise:
        """Noise that belongs to the images, the same at every validation."""
        return SeededNoise(0, self.numbers(x, batch_idx))

    def measured(self) -> Iterable[str]:
        """Names of all that a validation may find, the same in all processes."""
        raise NotImplementedError

    def on_validation_epoch_start(self) -> None:
        """Nothing is found yet."""
        self.found = Means(self.measured())

    def on_validation_epoch_end(self) -> None:
        """Log the means over the images of all processes."""
        reduce = self.trainer.strategy.reduce
        means = self.found.of_all(lambda one: reduce(one, reduce_op="sum"), self.device)
        for name, mean in means.items():
            self.log(name, mean, prog_bar=name in self.shown, sync_dist=True)

    def compiled(self, function: F) -> F:
        """The function, compiled if the settings say so."""
        return cast(F, torch.compile(function)) if self.optim.compile else function

    def configure_gradient_clipping(self, *_args: Any, **_kwargs: Any) -> None:
        """Clip to `clip_norm`; drop a gradient that is not finite or beyond `skip_norm`."""
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), self.optim.clip_norm)
        self.norm = float(norm)
        if self._dropped:
            self.skipped += 1
            self.in_a_row += 1
            for parameter in self.trained.parameters():
                parameter.grad = None
        else:
            self.in_a_row = 0
        self.log("gradient_norm", norm)
        self.log("skipped", self.skipped.float(), prog_bar=True)

    @property
    def _dropped(self) -> bool:
        """Whether the last gradient was dropped."""
        return not (math.isfinite(self.norm) and self.norm <= self.optim.skip_norm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and move the average towards the new weights, before any checkpoint is taken.

        Raises:
            ConfigError: So far every step was skipped, or the last `PATIENCE` of them, so that
                nothing would be learnt.
        """
        super().optimizer_step(*args, **kwargs)
        self.averaged.update_parameters(self.trained)
        step, optim = self.global_step + 1, self.optim  # it is counted afterwards
        due = step >= min(PATIENCE, optim.validate_every, optim.steps)
        never = due and self._dropped and int(self.skipped) >= step
        if never or self.in_a_row >= PATIENCE:
            finite = math.isfinite(self.norm)
            said = f"beyond skip_norm, {optim.skip_norm:g}: raise it" if finite else "not finite"
            lower = "" if never else ", or take a lower learning_rate from the start"
            which = f"all {step} steps so far" if never else f"the last {self.in_a_row} steps"
            raise ConfigError(
                f"{which} were skipped, and nothing was learnt: the norm of their gradients "
                f"({self.norm:g} in the last) is {said}{lower}"
            )


def _named(key: str, theirs: Any, ours: Any) -> str:
    """What of an identity is another one."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        inner = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
        return f"{key} ({', '.join(inner)})"
    return key.removesuffix("_digest").replace("_", " ")


def _moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential moving average whose memory grows with the steps taken, up to `decay`.

    The random start is forgotten in a few steps and not in a few thousand.
    """

    def update(averages: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        n = float(steps)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def _earlier(folder: Path) -> Record | None:
    """The record of a model that is there; None where it cannot be read: it is replaced."""
    with suppress(ConfigError, WeightsError):
        return read_record(folder) if (folder / CONFIG).is_file() else None
    return None


def _place(record: Record) -> tuple[object, ...]:
    """What was found of a model suits others of its kind, on its prior, at its factors."""
    model = getattr(record, "model", None)
    factors = getattr(model, "scales", None) or getattr(model, "scale", None)
    return record.kind, getattr(record, "prior_digest", ""), factors
