"""Invertible maps ``f`` with their log-determinants ``log |det ∂f(x)/∂x|``.

Every map has ``forward(x, u) → (f(x), log-determinant of shape (N,))`` and ``inverse(z, u)``, where
u are features that condition it (None where there are none). What a map does is written once and
used in both directions.

Explained in docs/explanation/flow.md.
"""

import torch
from torch import Tensor, nn

from .affine import ActNorm, Affine
from .networks import CouplingNetwork

ATAN_SCALE = 0.318
"""Bounds a coupling's log-scale to ±0.5 (Ardizzone et al. 2019)."""


class InvertibleConv1x1(nn.Module):
    """``x ↦ W x`` at every position: a learned change of basis of the channels.

    ``log |det| = H · W · log |det W|`` (Kingma & Dhariwal 2018). It starts as a random rotation.

    Shape:
        ``(N, channels, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        self.weight = nn.Parameter(rotation.contiguous())

    @property
    def is_invertible(self) -> bool:
        """Whether W has an inverse that float64 can compute."""
        return bool(torch.linalg.cond(self.weight.cpu().double()) < 1e12)

    def forward(self, x: Tensor, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mix the channels."""
        positions = x.shape[2] * x.shape[3]
        log_det = torch.linalg.slogdet(self.weight)[1] * positions
        return _mix(x, self.weight), log_det.expand(len(x))

    def inverse(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Unmix them; the inverse of W is computed in float64."""
        return _mix(z, torch.linalg.inv(self.weight.cpu().double()).to(z))


def _mix(x: Tensor, weight: Tensor) -> Tensor:
    """``W x`` at every position, in full precision also where autocasting is on.

    A matrix product and not a convolution: those are rounded to TF32 on a GPU.
    """
    with torch.autocast(x.device.type, enabled=False):
        mixed: Tensor = torch.einsum("ij,njhw->nihw", weight, x)
        return mixed


class AffineCoupling(nn.Module):
    """``(a, b) ↦ (a, (b + s) · exp(t))`` with s, t from a network of a and u (Dinh et al. 2017).

    a is the first half of the channels; ``t = 0.318 · atan(2 τ)`` for the network's output τ.

    Args:
        channels: Of x.
        condition: Channels of u; 0 without.
        hidden: Inner channels of the network.

    Shape:
        ``(N, channels, H, W)`` and u of ``(N, condition, H, W)``.
    """

    def __init__(self, channels: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.kept = channels // 2
        self.network = CouplingNetwork(self.kept + condition, hidden, 2 * (channels - self.kept))

    def affine(self, a: Tensor, u: Tensor | None) -> Affine:
        """The map of b."""
        out = self.network(a if u is None else torch.cat([a, u.to(a)], dim=1)).to(a)
        # Shift and scale of a channel lie side by side, as in the published weights.
        return Affine(out[:, 0::2], ATAN_SCALE * torch.atan(2 * out[:, 1::2]))

    def forward(self, x: Tensor, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Move and scale b."""
        a, b = x[:, : self.kept], x[:, self.kept :]
        b, log_det = self.affine(a, u).forward(b)
        return torch.cat([a, b], dim=1), log_det

    def inverse(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Undo it, since a is still there."""
        a, b = z[:, : self.kept], z[:, self.kept :]
        return torch.cat([a, self.affine(a, u).inverse(b)], dim=1)


class FlowStep(nn.Module):
    """Actnorm, invertible 1×1 convolution, affine coupling."""

    def __init__(self, channels: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.permutation = InvertibleConv1x1(channels)
        self.coupling = AffineCoupling(channels, condition, hidden)

    def forward(self, x: Tensor, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The three in order."""
        x, normalized = self.actnorm(x)
        x, mixed = self.permutation(x)
        x, coupled = self.coupling(x, u)
        return x, normalized + mixed + coupled

    def inverse(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Their inverses in the opposite order."""
        return self.actnorm.inverse(self.permutation.inverse(self.coupling.inverse(z, u)))


class Steps(nn.ModuleList):
    """Some flow steps in a row."""

    def forward(self, x: Tensor, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All of them."""
        log_det = x.new_zeros(len(x))
        for step in self:
            x, more = step(x, u)
            log_det = log_det + more
        return x, log_det

    def inverse(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """All of them backwards."""
        for step in reversed(self):
            assert isinstance(step, FlowStep)
            z = step.inverse(z, u)
        return z
