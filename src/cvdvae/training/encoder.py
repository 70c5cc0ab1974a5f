"""Training of the LR encoder on a frozen prior."""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.folder import (
    CONFIG,
    PRIOR_SUBFOLDER,
    bundled_names,
    find,
    load_prior,
    save_model,
)
from ..checkpoints.records import SuperResolutionRecord
from ..checkpoints.weights import WEIGHTS, digest, load_weights
from ..degradations.base import shrink_to_8_bits
from ..degradations.bicubic import BicubicDownscaling, upscale_bicubic
from ..errors import ConfigError, WeightsError
from ..files import write_atomically
from ..hvae import HVAE, bits_per_dim
from ..hvae.lr_encoder import LREncoder, lr_encoder_kl
from ..imaging.io import save_tiles
from ..restoration.hvae import HVAEResolver
from ..restoration.settings import Sampling
from .config import EncoderTraining
from .module import Training

PRIOR = "prior."
"""Beginning of the names of the prior's weights in the module."""


class EncoderModule(Training):
    """Minimize ``Σ_l KL(q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y))`` in bits per dimension of x."""

    trained: LREncoder

    def __init__(self, config: EncoderTraining, folder: Path) -> None:
        torch.manual_seed(config.optim.seed)
        source = find(config.prior)
        prior = load_prior(str(source))
        encoder = LREncoder(config.model, prior.config)
        if config.start_from:
            load_weights(find(config.start_from), encoder)
        super().__init__(encoder, config.optim, folder)
        self.config = config
        self.prior: HVAE = prior
        self.source, self.prior_digest = source, digest(source)
        self.kl = self.compiled(lr_encoder_kl)
        size = self.image_size = config.image_size or prior.config.image_size
        prior.check_size(size, size)
        odd = [scale for scale in config.model.scales if size % scale]
        if odd:
            raise ConfigError(f"images of {size}×{size} pixels cannot be shrunk by {odd[0]}")
        self.degradations = {
            scale: BicubicDownscaling((size, size), (size // scale, size // scale))
            for scale in config.model.scales
        }

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        """The loss on a batch in [0, 1], each at one of the scales in turn."""
        scales = self.config.model.scales
        scale = scales[self.global_step % len(scales)]
        y = shrink_to_8_bits(x, self.degradations[scale])
        kl = self.kl(self.prior, self.trained, x, y, self.training_noise(), scale)
        loss = bits_per_dim(kl.sum(1).mean(), x[0].numel())
        self.log("kl_bits_per_dim", loss, prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, x: Tensor, batch_idx: int) -> None:
        """The loss of the averaged weights, with the same noise at every validation."""
        encoder = self.best
        assert isinstance(encoder, LREncoder)
        every = []
        for scale, degradation in self.degradations.items():
            y, noise = shrink_to_8_bits(x, degradation), self.validation_noise(x, batch_idx)
            kl = lr_encoder_kl(self.prior, encoder, x, y, noise, scale)
            every.append(bits_per_dim(kl.sum(1).mean(), x[0].numel()))
            self.log(f"validation_kl_at_x{scale}", every[-1], sync_dist=True)
            if batch_idx == 0 and self.global_rank == 0:
                self._picture(x[:8], y[:8], scale)
        mean = torch.stack(every).mean()
        self.log("validation_kl_bits_per_dim", mean, prog_bar=True, sync_dist=True)

    def _picture(self, x: Tensor, y: Tensor, scale: int) -> None:
        """Low-resolution images, bicubic, four samples of each, and the truth."""
        assert isinstance(self.best, LREncoder)
        model = HVAEResolver(self.prior, self.best, "in training", scale)
        four = Sampling(samples=4)
        samples = torch.stack([model.run(one, four).samples for one in y], dim=1)
        size = (x.shape[2], x.shape[3])
        lr = torch.nn.functional.interpolate(y, size).cpu()
        rows = [lr, upscale_bicubic(y, size).cpu(), *samples, x.cpu()]
        path = self.folder / "samples" / f"step_{self.global_step:07d}_x{scale}.png"
        save_tiles(path, torch.cat(rows), columns=len(x))

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
        """The encoder's architecture, and which weights its prior has."""
        return {"model": asdict(self.config.model), "prior_digest": self.prior_digest}

    def export(self, folder: Path) -> None:
        """Write the averaged encoder; a prior that is not a bundled one comes along."""
        if digest(self.source) != self.prior_digest:
            raise WeightsError(f"the prior {self.source} has changed since this training began")
        bundled = self.config.prior in bundled_names()
        own = folder / PRIOR_SUBFOLDER
        if not bundled and not ((own / WEIGHTS).exists() and digest(own) == self.prior_digest):
            for name in (WEIGHTS, CONFIG):
                write_atomically(own / name, partial(shutil.copyfile, self.source / name))
        record = SuperResolutionRecord(
            kind="lr-encoder",
            prior=self.config.prior if bundled else PRIOR_SUBFOLDER,
            prior_digest=self.prior_digest,
            model=self.config.model,
        )
        save_model(folder, record, self.best.state_dict(), self.config.half_precision)
