"""Training of an LR encoder, or of one for any degradation, on a frozen prior."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.folder import CONFIG, PRIOR_SUBFOLDER, bring, bundled_names, find
from ..checkpoints.loading import load_prior, pixel_std_of
from ..checkpoints.records import SECOND, Record, RestorerRecord, SuperResolutionRecord
from ..checkpoints.weights import WEIGHTS, digest
from ..errors import ConfigError, WeightsError
from ..gaussian.noise import SeededNoise
from ..hvae import HVAE, bits_per_dim
from ..hvae.lr_encoder import LREncoder, drawn_mean, lr_encoder_kl
from ..metrics.perceptual import unseen
from .config import EncoderTraining
from .energy import Energies, EnergyOfDraws
from .module import MODEL, Training
from .pictures import save_rows
from .start import begins, start_encoder
from .tasks import Case, task_of

SMALLEST = 8
"""Side of the smallest images that are damaged at random, and whose patches are compared."""
PRIOR = "prior."
"""Beginning of the names of the prior's weights in the module."""
MEAN, LOSS, ENERGY = "validation_kl_bits_per_dim", "validation_kl_at_", "validation_energy_at_"
"""What a validation finds: the loss of all cases, and beginnings of the names of those of one."""


class EncoderModule(Training):
    """Minimize ``Σ_l KL(q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y))`` in bits per dimension of x, and
    with `EncoderTraining.energy` the energy scores of what the encoder draws."""

    trained: LREncoder
    shown = (MEAN,)

    def __init__(self, config: EncoderTraining, folder: Path) -> None:
        torch.manual_seed(config.optim.seed)
        source = _prior(config.prior, folder)
        prior = load_prior(source)
        new = begins(folder)
        if new:
            config.model.check_used(prior.config)
        encoder = LREncoder(config.model, prior.config)
        if config.start_from and new:
            start_encoder(encoder, prior, config.start_from)
        super().__init__(encoder, config.optim, folder)
        self.config = config
        self.prior: HVAE = prior
        self.source, self.prior_digest = source, digest(source)
        self.kl = self.compiled(lr_encoder_kl)
        size = self.image_size = config.image_size or prior.config.image_size
        prior.check_size(size, size)
        self.task = task_of(config, prior.config.channels, size, pixel_std_of(prior))
        if size < SMALLEST and (config.energy.pixels or config.model.conditions):
            raise ConfigError(
                f"images of {size} pixels a side are too small to be damaged, or for "
                f"energy.pixels: at least {SMALLEST}"
            )
        if config.energy.features and (why := unseen(prior.config.channels, size, size)):
            raise ConfigError(f"energy.features are what LPIPS sees: {why}")
        wanted = config.energy.pixels or config.energy.features
        self.energy = EnergyOfDraws(config.energy) if wanted else None

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        """The loss on a batch in [0, 1]."""
        case = self.task.training(x, self.global_step, self.global_rank)
        noise = self.training_noise()
        kl = self.kl(self.prior, self.trained, x, case.evidence, noise, case.scale)
        loss = bits_per_dim(kl.sum(1).mean(), x[0].numel())
        self.log("kl_bits_per_dim", loss, prog_bar=True, sync_dist=True)
        if self.energy is None:
            return loss
        energies = self.energy.of(self.prior, self.trained, x, case, self.training_noise())
        for kind in self._scores:
            value = getattr(energies, kind).mean()
            self.log(f"energy_of_{kind}", value, prog_bar=True, sync_dist=True)
        return loss + self.energy.loss(energies)

    def validation_step(self, x: Tensor, batch_idx: int) -> None:
        """The loss of the averaged weights, with the same noise at every validation."""
        encoder = self.best
        assert isinstance(encoder, LREncoder)
        numbers = self.numbers(x, batch_idx)
        for case in self.task.validation(x, numbers):
            noise = SeededNoise(0, numbers)
            kl = lr_encoder_kl(self.prior, encoder, x, case.evidence, noise, case.scale)
            losses = bits_per_dim(kl.sum(1), x[0].numel())
            self.found.add([f"{LOSS}{name}" for name in case.names], losses)
            self.found.add([MEAN] * len(losses), losses)
            if self.energy is None:
                continue
            pairs = SeededNoise(0, [2 * one + draw for draw in (0, 1) for one in numbers])
            energies = self.energy.of(self.prior, encoder, x, case, pairs)
            for kind in self._scores:
                names = [f"{ENERGY}{name}_of_{kind}" for name in case.names]
                self.found.add(names, getattr(energies, kind))
        if batch_idx == 0 and self.global_rank == 0:
            for case in self.task.pictured(x[:8]):
                self._picture(x[:8], case)

    def measured(self) -> Iterator[str]:
        """The losses and energies of every case, and the mean loss."""
        for case in self.task.names:
            yield f"{LOSS}{case}"
            yield from (f"{ENERGY}{case}_of_{kind}" for kind in self._scores)
        yield MEAN

    @property
    def _scores(self) -> list[str]:
        """The energies that have a weight."""
        return [kind for kind in Energies._fields if getattr(self.config.energy, kind)]

    def _picture(self, x: Tensor, case: Case) -> None:
        """What is seen, four samples of each before they are made consistent, and the truth."""
        assert isinstance(self.best, LREncoder)
        drawn = self._samples(self.best, case, len(x))
        answers = [(f"answer {i}", one) for i, one in enumerate(drawn)]
        rows = [("seen", case.shown[: len(x)]), *answers, ("the truth", x)]
        path = self.folder / "samples" / f"step_{self.global_step:07d}_{case.names[0]}.png"
        save_rows(path, rows)

    def _samples(self, encoder: LREncoder, case: Case, n: int) -> Iterator[Tensor]:
        """Four times n samples, ``(n, C, H, W)``."""
        terms = encoder.terms(case.evidence[:n], case.scale)
        for i in range(4):
            noise = SeededNoise(0, range(i * n, (i + 1) * n))
            size = (case.shown.shape[2], case.shown.shape[3])
            yield drawn_mean(self.prior, encoder, terms, n, size, noise)

    def begin(self) -> None:
        """Bring the prior along from the start: it may be trained on, or removed, meanwhile.

        Where a model lies already, it keeps its own until it is replaced.
        """
        own = _brought_along(self.folder)
        if self.config.prior in bundled_names() or any(_holds(o, self.prior_digest) for o in own):
            return
        in_model, beside = own
        self._bring_prior(beside if (self.exported / CONFIG).exists() else in_model)

    def _bring_prior(self, own: Path) -> None:
        if _holds(own, self.prior_digest):
            return
        for source in (self.source, self.folder / PRIOR_SUBFOLDER):
            if _holds(source, self.prior_digest):
                bring(source, own)
                return
        what = "has changed" if (self.source / WEIGHTS).exists() else "is gone"
        raise WeightsError(f"the prior {self.source} {what} since this training began")

    def check_own(self, checkpoint: dict[str, Any]) -> None:
        """As `Training.check_own`; the prior that came along may be what is wanted."""
        theirs = checkpoint.get("identity", {}).get("prior_digest", self.prior_digest)
        for own in _brought_along(self.folder):
            if theirs != self.prior_digest and _holds(own, theirs):
                raise ConfigError(
                    f"{self.folder} was trained on another prior than {self.source}: go on with "
                    f"--prior {quote(str(own))}, which is that one, or choose another folder for "
                    "this run"
                )
        super().check_own(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the prior, which does not change and may be large."""
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(PRIOR)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back the prior, whose digest is checked before."""
        super().on_load_checkpoint(checkpoint)
        checkpoint["state_dict"] |= {PRIOR + k: v for k, v in self.prior.state_dict().items()}

    def identity(self) -> dict[str, Any]:
        """The encoder's architecture, which weights its prior has, and what it is told of y."""
        told = {"second_estimate": SECOND} if self.config.degradations == "any" else {}
        return told | {
            "model": asdict(self.config.model),
            "prior_digest": self.prior_digest,
            "photons": self.config.photons,
        }

    def export(self, folder: Path) -> None:
        """Write the averaged encoder; a prior that is not a bundled one comes along."""
        bundled = self.config.prior in bundled_names()
        if not bundled:
            self._bring_prior(folder / PRIOR_SUBFOLDER)
        elif digest(self.source) != self.prior_digest:
            raise WeightsError(f"the prior {self.source} has changed since this training began")
        record: Record
        prior = self.config.prior if bundled else PRIOR_SUBFOLDER
        if self.config.degradations == "any":
            record = RestorerRecord(
                "restorer",
                prior,
                self.prior_digest,
                self.config.model,
                second_estimate=SECOND,
            )
        else:
            record = SuperResolutionRecord(
                "lr-encoder",
                prior,
                self.prior_digest,
                self.config.model,
                photons=self.config.photons,
            )
        self.save(folder, record, self.config.stored_bits)


def _holds(folder: Path, weights: str) -> bool:
    """Whether a folder holds the weights of this digest."""
    return (folder / WEIGHTS).exists() and digest(folder) == weights


def _prior(name: str, folder: Path) -> Path:
    """Folder of a prior; where there is none by now, the message names what came along."""
    try:
        return find(name)
    except WeightsError as error:
        own = [one for one in _brought_along(folder) if (one / CONFIG).is_file()]
        if begins(folder) or not own:
            raise
        raise WeightsError(f"{error}; this run goes on with --prior {own[0]}") from None


def _brought_along(folder: Path) -> tuple[Path, Path]:
    """Where a run may have its prior: in its model, or beside an earlier one that lay there."""
    return folder / MODEL / PRIOR_SUBFOLDER, folder / PRIOR_SUBFOLDER
