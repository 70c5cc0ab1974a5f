"""The top-down pass: latent groups in, the state that parametrizes p(x|z) out.

Posterior, prior, given latents and the LR encoder differ only in where z_l comes from. So there is
one pass, and it asks a function, the `Picker`, for every z_l.

Explained in docs/explanation/prior.md.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..gaussian import Conditional, DiagonalGaussian
from .config import HVAEConfig, TopDownSpec, parse_top_down
from .layers import Block, add_pointwise

Picker = Callable[[int, Tensor, Conditional], Tensor]
"""``(l, h, p) -> z_l``: the group's index, the state that holds z_<l, and ``p(z_l | z_<l)``.
Without gradients the state is overwritten once z_l is there: copy what you keep.
"""


class TopDownBlock(nn.Module):
    """One block of the top-down pass (Child 2021, figure 3).

    With a latent group: ``μ_p, log σ_p, r = prior(h)``, ``h ← h + r + W z``, ``h ← h + resnet(h)``.
    Without: ``h ← h + resnet(h)``.
    """

    def __init__(self, config: HVAEConfig, spec: TopDownSpec, n_blocks: int) -> None:
        super().__init__()
        self.spec = spec
        self.width, self.z_channels = config.width_at(spec.stride), config.z_channels
        self.max_log_std = config.max_log_std
        inner = config.inner_width_at(spec.stride)
        rest = (config.image_size // spec.stride, config.activation)
        scale = math.sqrt(1 / n_blocks)
        if spec.latent:
            self.posterior = Block(2 * self.width, inner, 2 * self.z_channels, *rest)
            self.prior = Block(
                self.width, inner, 2 * self.z_channels + self.width, *rest, last_scale=0
            )
            self.z_proj = nn.Conv2d(self.z_channels, self.width, 1)
            nn.init.zeros_(self.z_proj.bias)  # type: ignore[arg-type]
            self.z_proj.weight.data.mul_(scale)
        self.resnet = Block(self.width, inner, self.width, *rest, last_scale=scale)

    @torch.no_grad()
    def make_identity(self) -> None:
        """Give the state back, whatever z is."""
        self.resnet.make_identity()
        if self.spec.latent:
            self.z_proj.weight.zero_()

    def posterior_of(self, h: Tensor, activation: Tensor) -> DiagonalGaussian:
        """``q(z_l | z_<l, x)`` from the state and the bottom-up activation at this stride."""
        return DiagonalGaussian.from_channels(self.posterior(h, activation), self.max_log_std)

    def prior_of(self, inner: Tensor) -> Conditional:
        """``p(z_l | z_<l)``, from what the prior's first three convolutions make of the state."""
        n, last = 2 * self.z_channels, self.prior.conv4
        assert last.bias is not None
        weight, bias = last.weight[:n], last.bias[:n]

        def of(rows: slice) -> DiagonalGaussian:
            statistics = F.conv2d(inner[:, :, rows], weight, bias)
            return DiagonalGaussian.from_channels(statistics, self.max_log_std)

        return Conditional(of, inner, self.z_channels)

    def add_latent(self, h: Tensor, inner: Tensor, z: Tensor) -> Tensor:
        """``h + r + W z`` as one convolution; without gradients h itself becomes the sum."""
        n, last = 2 * self.z_channels, self.prior.conv4
        assert last.bias is not None
        assert self.z_proj.bias is not None
        weight = torch.cat([last.weight[n:], self.z_proj.weight], dim=1)
        return add_pointwise(h, weight, last.bias[n:] + self.z_proj.bias, inner, z)


class TopDown(nn.Module):
    """All top-down blocks, from the coarsest stride to the finest."""

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        self.config = config
        specs = parse_top_down(config.top_down)
        self.blocks = nn.ModuleList(TopDownBlock(config, s, len(specs)) for s in specs)
        # A bias has a value for every position of a training image, and is named by its side.
        sides = sorted((config.image_size // s, s) for s in config.biases)
        self.biases = nn.ParameterDict(
            {str(r): nn.Parameter(torch.zeros(1, config.width_at(s), r, r)) for r, s in sides}
        )

    @property
    def latent_blocks(self) -> list[TopDownBlock]:
        """The blocks that hold z_0 … z_{L-1}."""
        return [b for b in self.blocks if isinstance(b, TopDownBlock) and b.spec.latent]

    def forward(
        self,
        pick: Picker,
        batch: int,
        groups: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Run the blocks, taking every z_l from `pick`.

        Args:
            pick: Gives z_l, ``(batch, z_channels, H/r, W/r)`` at stride r.
            batch: Number of images N.
            groups: Stop after this many latent groups; all by default.
            size: Height and width of the images, multiples of the coarsest stride; by default the
                size of the training images, which is the only one for a model with biases.

        Returns:
            The last state, ``(N, width, H/r, W/r)``; unfinished where `groups` ends the pass.
        """
        size = size or (self.config.image_size, self.config.image_size)
        states: dict[int, Tensor] = {}
        h: Tensor = torch.empty(0)
        group = 0
        for block in self.blocks:
            assert isinstance(block, TopDownBlock)
            h = self._state(states, block, batch, size)
            if block.spec.latent:
                inner = block.prior.inner(h)
                z = pick(group, h, block.prior_of(inner))
                group += 1
                if group == groups:
                    break
                h = block.add_latent(h, inner, z)
            h = block.resnet.residual(h)
            states[block.spec.stride] = h
        return h

    def _state(
        self, states: dict[int, Tensor], block: TopDownBlock, batch: int, size: tuple[int, int]
    ) -> Tensor:
        """The state that a block begins with."""
        stride, source = block.spec.stride, block.spec.source
        coarse = None
        if source is not None:
            coarse = F.interpolate(states[source][:, : block.width], scale_factor=source // stride)
        if stride in states:
            return states[stride] if coarse is None else states[stride] + coarse
        if stride in self.config.biases:
            bias = self.biases[str(self.config.image_size // stride)]
            start: Tensor = bias.expand(batch, -1, -1, -1)
        elif coarse is not None:
            return coarse
        else:
            shape = (batch, block.width, size[0] // stride, size[1] // stride)
            start = next(self.parameters()).new_zeros(1, 1, 1, 1).expand(shape)
        # A state is written to, so it must not be the bias itself.
        start = start.clone(memory_format=torch.channels_last)
        return start if coarse is None else start + coarse
