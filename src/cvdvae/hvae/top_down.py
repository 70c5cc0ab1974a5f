"""The top-down pass: latent groups in, the state that parametrizes p(x|z) out.

Posterior, prior, given latents and the LR encoder differ only in where z_l comes from. So there is
one pass, and it asks a function, the `Picker`, for every z_l.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HVAEConfig, TopDownSpec, parse_top_down
from .gaussian import DiagonalGaussian
from .layers import Block

Picker = Callable[[int, Tensor, DiagonalGaussian], Tensor]
"""``(l, h, p) -> z_l``: the group's index, the state that holds z_<l, and ``p(z_l | z_<l)``."""


class TopDownBlock(nn.Module):
    """One block of the top-down pass (Child 2021, figure 3).

    With a latent group: ``μ_p, log σ_p, r = prior(h)``, ``h ← resnet(h + r + W z)``.
    Without: ``h ← resnet(h)``.
    """

    def __init__(self, config: HVAEConfig, spec: TopDownSpec, n_blocks: int) -> None:
        super().__init__()
        self.spec = spec
        self.width, self.z_channels = config.width_at(spec.resolution), config.z_channels
        inner, rest = config.inner_width_at(spec.resolution), (spec.resolution, config.activation)
        scale = math.sqrt(1 / n_blocks)
        if spec.latent:
            self.posterior = Block(2 * self.width, inner, 2 * self.z_channels, *rest)
            self.prior = Block(
                self.width, inner, 2 * self.z_channels + self.width, *rest, last_scale=0
            )
            self.z_proj = nn.Conv2d(self.z_channels, self.width, 1)
            nn.init.zeros_(self.z_proj.bias)  # type: ignore[arg-type]
            self.z_proj.weight.data.mul_(scale)
        self.resnet = Block(self.width, inner, self.width, *rest, residual=True, last_scale=scale)

    def prior_of(self, h: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        """``p(z_l | z_<l)`` and the prior's contribution r to the state."""
        statistics, residual = self.prior(h).split([2 * self.z_channels, self.width], dim=1)
        return DiagonalGaussian.from_channels(statistics), residual

    def posterior_of(self, h: Tensor, activation: Tensor) -> DiagonalGaussian:
        """``q(z_l | z_<l, x)`` from the state and the bottom-up activation at this resolution."""
        return DiagonalGaussian.from_channels(self.posterior(torch.cat([h, activation], dim=1)))


class TopDown(nn.Module):
    """All top-down blocks, from the coarsest resolution to the finest."""

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        self.config = config
        specs = parse_top_down(config.decoder)
        self.blocks = nn.ModuleList(TopDownBlock(config, s, len(specs)) for s in specs)
        self.biases = nn.ParameterDict(
            {
                str(r): nn.Parameter(torch.zeros(1, config.width_at(r), r, r))
                for r in sorted({s.resolution for s in specs})
                if r <= config.bias_max_resolution
            }
        )

    @property
    def latent_blocks(self) -> list[TopDownBlock]:
        """The blocks that hold z_0 … z_{L-1}."""
        return [b for b in self.blocks if isinstance(b, TopDownBlock) and b.spec.latent]

    def forward(self, pick: Picker, batch: int, groups: int | None = None) -> Tensor:
        """Run the blocks, taking every z_l from `pick`.

        Args:
            pick: Gives z_l, ``(batch, z_channels, r, r)``.
            batch: Number of images N.
            groups: Stop after this many latent groups; all by default.

        Returns:
            The last state, ``(N, width, r, r)``; unfinished where `groups` ends the pass.
        """
        states: dict[int, Tensor] = {}
        h: Tensor = torch.empty(0)
        group = 0
        for block in self.blocks:
            assert isinstance(block, TopDownBlock)
            spec = block.spec
            h = states[spec.resolution] if spec.resolution in states else self._start(spec, batch)
            if spec.source is not None:
                coarse = states[spec.source][:, : block.width]
                h = h + F.interpolate(coarse, scale_factor=spec.resolution // spec.source)
            if spec.latent:
                prior, residual = block.prior_of(h)
                z = pick(group, h, prior)
                if group + 1 == groups:
                    break
                h = h + residual + block.z_proj(z)
                group += 1
            h = block.resnet(h)
            states[spec.resolution] = h
        return h

    def _start(self, spec: TopDownSpec, batch: int) -> Tensor:
        r, width = spec.resolution, self.config.width_at(spec.resolution)
        if str(r) in self.biases:
            start: Tensor = self.biases[str(r)].expand(batch, -1, -1, -1)
        else:
            reference = next(self.parameters())
            start = reference.new_zeros(1, 1, 1, 1).expand(batch, width, r, r)
        return start.contiguous(memory_format=torch.channels_last)
