"""Training of the prior on the evidence lower bound."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.folder import save_model
from ..checkpoints.records import PriorRecord
from ..gaussian.noise import SeededNoise
from ..hvae import ELBO, HVAE
from .config import PriorTraining
from .module import Training
from .pictures import save_rows
from .start import begins, start_prior


def objective(elbo: ELBO, strides: list[int], free_bits: float) -> Tensor:
    """What is minimized, in bits/dim: the negative bound, with `free_bits` at no cost.

    ``−log p(x|z) + Σ_s max(free_bits, KL_s)`` with the mean over the batch of the KL of all groups
    at stride s.
    """
    kl = elbo.kl_bits_per_dim.mean(0)
    if not free_bits:
        return elbo.bits_per_dim.mean()
    distortion = elbo.bits_per_dim.mean() - kl.sum()
    at = torch.tensor(strides, device=kl.device)
    terms = [kl[at == stride].sum().clamp(min=free_bits) for stride in sorted(set(strides))]
    return distortion + torch.stack(terms).sum()


class PriorModule(Training):
    """Minimize the negative ELBO in bits/dim."""

    trained: HVAE
    shown = ("validation_bits_per_dim", "reconstruction_psnr")

    def __init__(self, config: PriorTraining, folder: Path) -> None:
        torch.manual_seed(config.optim.seed)
        new = begins(folder)
        if new:
            config.model.check_used()
        model = HVAE(config.model)
        if config.start_from and new:
            start_prior(model, config.start_from)
        super().__init__(model, config.optim, folder)
        self.config = config
        self.elbo = self.compiled(model.elbo)

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        """Negative ELBO of a batch in [0, 1], in bits/dim."""
        elbo = self.elbo(x, self.training_noise())
        loss = objective(elbo, self.config.model.group_strides, self.config.free_bits)
        self.log("bits_per_dim", elbo.bits_per_dim.mean(), prog_bar=True, sync_dist=True)
        self.log("kl_bits_per_dim", elbo.kl_bits_per_dim.sum(1).mean(), sync_dist=True)
        return loss

    def validation_step(self, x: Tensor, batch_idx: int) -> None:
        """Negative ELBO of the averaged weights, with the same noise at every validation."""
        assert isinstance(self.best, HVAE)
        elbo = self.best.elbo(x, self.validation_noise(x, batch_idx))
        kl, strides = elbo.kl_bits_per_dim, torch.tensor(self.config.model.group_strides)
        error = (self.best.reconstruct(x, self.validation_noise(x, batch_idx)) - x) ** 2
        values = [elbo.bits_per_dim, kl.sum(1)]
        values += [kl[:, (strides == s).to(kl.device)].sum(1) for s in self._strides]
        values += [-10 * torch.log10(error.flatten(1).mean(1))]
        for name, of_images in zip(self.measured(), values, strict=True):
            self.found.add([name] * len(x), of_images)
        if batch_idx == 0 and self.global_rank == 0:
            self._picture(x[:8])

    def measured(self) -> Iterator[str]:
        """The bound and its terms, and PSNR of reconstructions."""
        yield from ("validation_bits_per_dim", "validation_kl_bits_per_dim")
        yield from (f"kl_at_stride_{stride}" for stride in self._strides)
        yield "reconstruction_psnr"

    @property
    def _strides(self) -> list[int]:
        """Where there are latent groups."""
        return sorted(set(self.config.model.group_strides))

    def _picture(self, x: Tensor) -> None:
        """Images, their reconstructions, and samples at temperatures 0.7 and 1."""
        model = self.best
        assert isinstance(model, HVAE)
        noise = SeededNoise(0, range(len(x)))
        rows = [("images", x), ("their reconstructions", model.reconstruct(x, noise))]
        for t in (0.7, 1.0):
            noise = SeededNoise(0, range(len(x)))
            drawn = model.sample(len(x), temperature=t, noise=noise, mean=True)
            rows.append((f"samples at temperature {t:g}", drawn))
        path = self.folder / "samples" / f"step_{self.global_step:07d}.png"
        save_rows(path, rows)

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model)}

    def export(self, folder: Path) -> None:
        """Write the averaged weights and the architecture."""
        record = PriorRecord("prior", self.config.model)
        save_model(folder, record, self.best.state_dict(), self.config.stored_bits)
