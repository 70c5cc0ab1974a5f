"""Training of HCFlow on its likelihood."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.records import FlowRecord
from ..degradations.base import shrink_to_8_bits
from ..degradations.bicubic import BicubicDownscaling, upscale_bicubic
from ..gaussian.noise import SeededNoise
from ..hcflow import HCFlow
from .config import FlowTraining
from .module import Training
from .pictures import save_rows
from .start import begins, start_flow


class FlowModule(Training):
    """Minimize ``−log₂ p(x|y)`` in bits/dim, and the error at temperature 0 if wanted."""

    trained: HCFlow
    shown = ("validation_bits_per_dim",)

    def __init__(self, config: FlowTraining, folder: Path) -> None:
        torch.manual_seed(config.optim.seed)
        flow = HCFlow(config.model)
        if config.start_from and begins(folder):
            start_flow(flow, config.start_from)
        super().__init__(flow, config.optim, folder)
        self.config = config
        size, lr_size = config.model.image_size, config.model.lr_size
        self.degradation = BicubicDownscaling((size, size), (lr_size, lr_size))

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        """The loss on a batch in [0, 1]."""
        y, noise = shrink_to_8_bits(x, self.degradation), self.training_noise()
        loss = self.trained.bits_per_dim(x, y, noise).mean()
        self.log("bits_per_dim", loss, prog_bar=True, sync_dist=True)
        if self.config.pixel_weight:
            error = (self.trained.sample(y, noise, temperature=0) - x).abs().mean()
            self.log("pixel_error", error, prog_bar=True, sync_dist=True)
            loss = loss + self.config.pixel_weight * error
        return loss

    def validation_step(self, x: Tensor, batch_idx: int) -> None:
        """The bits/dim of the averaged weights, with the same noise at every validation."""
        flow = self.best
        assert isinstance(flow, HCFlow)
        y = shrink_to_8_bits(x, self.degradation)
        bits = flow.bits_per_dim(x, y, self.validation_noise(x, batch_idx))
        self.found.add([*self.measured()] * len(x), bits)
        if batch_idx == 0 and self.global_rank == 0:
            self._picture(flow, x[:8], y[:8])

    def measured(self) -> tuple[str, ...]:
        """The loss."""
        return self.shown

    def _picture(self, flow: HCFlow, x: Tensor, y: Tensor) -> None:
        """Low-resolution images, bicubic, answers at temperatures 0, 0.5 and 0.8, and the truth."""
        size = (x.shape[2], x.shape[3])
        rows = [
            ("seen", torch.nn.functional.interpolate(y, size)),
            ("bicubic", upscale_bicubic(y, size)),
        ]
        for temperature in (0.0, 0.5, 0.8):
            drawn = flow.sample(y, SeededNoise(0, range(len(y))), temperature)
            drawn = torch.nan_to_num(drawn.float(), nan=0.5).clamp(0, 1)
            rows.append((f"answers at temperature {temperature:g}", drawn))
        path = self.folder / "samples" / f"step_{self.global_step:07d}.png"
        save_rows(path, [*rows, ("the truth", x)])

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model)}

    def export(self, folder: Path) -> None:
        """Write the averaged weights and the architecture."""
        record = FlowRecord("hcflow", self.config.model)
        self.save(folder, record, self.config.stored_bits)
