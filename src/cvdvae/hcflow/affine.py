"""Affine maps, and the one that starts from the data.

Explained in docs/explanation/flow.md.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Affine(NamedTuple):
    """``x ↦ (x + shift) · exp(log_scale)``, element by element.

    Attributes:
        shift: Broadcasts to x.
        log_scale: Broadcasts to x.
    """

    shift: Tensor
    log_scale: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and ``Σ log_scale`` over each image."""
        log_det = self.log_scale.expand_as(x).flatten(1).sum(1)
        return (x + self.shift) * self.log_scale.exp(), log_det

    def inverse(self, z: Tensor) -> Tensor:
        """``z ↦ z · exp(−log_scale) − shift``."""
        return z * torch.exp(-self.log_scale) - self.shift


class ActNorm(nn.Module):
    """An affine map per channel that starts from the data (Kingma & Dhariwal 2018).

    The first batch in training mode sets it so that its output has mean 0 and variance 1 in every
    channel; from then on shift and scale are ordinary parameters. That it has happened is part of
    the state.

    Shape:
        ``(N, channels, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.initialized: Tensor
        self.register_buffer("initialized", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Normalize what x holds."""
        mean = _over_processes(x.mean((0, 2, 3), keepdim=True))
        variance = _over_processes((x - mean).square().mean((0, 2, 3), keepdim=True))
        self.shift.copy_(-mean)
        self.log_scale.copy_(-torch.log(variance.sqrt() + 1e-6))
        self.initialized.fill_(True)

    @property
    def affine(self) -> Affine:
        """The map as it is now."""
        return Affine(self.shift, self.log_scale)

    def forward(self, x: Tensor, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalize."""
        if self.training and not bool(self.initialized):
            self.start_from(x)
        return self.affine.forward(x)

    def inverse(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Undo it."""
        return self.affine.inverse(z)


def _over_processes(mean: Tensor) -> Tensor:
    """The mean over all processes that share a batch, so that they start alike."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean = mean / torch.distributed.get_world_size()
    return mean
