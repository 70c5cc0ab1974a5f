"""The top-down pass: latent groups in, the state that parametrizes p(x|z) out.

Posterior, prior, given latents and the LR encoder differ only in where z_l comes from. So there is
one pass, and it asks a function, the `Picker`, for every z_l.

Explained in docs/explanation/prior.md.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..gaussian import Conditional, DiagonalGaussian
from ..gaussian.noise import Inside, Window
from .config import HVAEConfig
from .layers import Block, add_pointwise, pointwise
from .notation import TopDownSpec, parse_top_down
from .reach import REACH, around, part_of

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

    @property
    def reach(self) -> int:
        """How many positions the state that it leaves sees on every side of one."""
        return self.resnet.reach + (self.prior.reach if self.spec.latent else 0)

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
            statistics = pointwise(inner[:, :, rows], weight, bias)
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
        blocks = [TopDownBlock(config, spec, len(specs)) for spec in specs]
        self.blocks = nn.ModuleList(blocks)
        self.multiple, self.reach = config.multiple, _reach(blocks)
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
        inside: Inside | None = None,
    ) -> Tensor:
        """Run the blocks, taking every z_l from `pick`.

        Args:
            pick: Gives z_l, ``(batch, z_channels, H/r, W/r)`` at stride r.
            batch: Number of images N.
            groups: Stop after this many latent groups; all by default.
            size: Height and width of the images, multiples of the coarsest stride; by default the
                size of the training images, which is the only one for a model with biases.
            inside: Which rows and columns of the images matter; all by default. States and latents
                then have no more than `positions`.

        Returns:
            The last state, ``(N, width, H/r, W/r)``; unfinished where `groups` ends the pass.
        """
        size = size or (self.config.image_size, self.config.image_size)
        inside = inside or Window(0, 0, *size).slices
        states: dict[int, Tensor] = {}
        h: Tensor = torch.empty(0)
        group = 0
        for block in self.blocks:
            assert isinstance(block, TopDownBlock)
            h = self._state(states, block, batch, size, inside)
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

    def positions(self, stride: int, size: tuple[int, int], inside: Inside) -> Inside:
        """Rows and columns of the states at a stride that matter for what is inside.

        Args:
            stride: The stride.
            size: Height and width of the images.
            inside: Which rows and columns of theirs matter.

        Returns:
            Slices of the ``H/r`` rows and ``W/r`` columns, which begin and end where positions of
            the coarsest state do.
        """
        return around(inside, self.reach[stride], stride, self.multiple, size)

    def places(self, size: tuple[int, int], inside: Inside) -> dict[int, Inside]:
        """`positions` at every stride."""
        return {stride: self.positions(stride, size, inside) for stride in self.reach}

    def _state(
        self,
        states: dict[int, Tensor],
        block: TopDownBlock,
        batch: int,
        size: tuple[int, int],
        inside: Inside,
    ) -> Tensor:
        """The state that a block begins with."""
        stride, source = block.spec.stride, block.spec.source
        rows, columns = self.positions(stride, size, inside)
        coarse = None
        if source is not None:
            have, factor = self.positions(source, size, inside), source // stride
            coarse = part_of(states[source][:, : block.width], have, (rows, columns), factor)
            coarse = F.interpolate(coarse, scale_factor=factor)
        if stride in states:
            return states[stride] if coarse is None else states[stride] + coarse
        if stride in self.config.biases:
            bias = self.biases[str(self.config.image_size // stride)]
            start: Tensor = bias.expand(batch, -1, -1, -1)[:, :, rows, columns]
        elif coarse is not None:
            return coarse
        else:
            shape = (batch, block.width, rows.stop - rows.start, columns.stop - columns.start)
            start = next(self.parameters()).new_zeros(1, 1, 1, 1).expand(shape)
        # A state is written to, so it must not be the bias itself.
        start = start.clone(memory_format=torch.channels_last)
        return start if coarse is None else start + coarse


def _reach(blocks: Sequence[TopDownBlock]) -> dict[int, float]:
    """How many pixels around it a pixel depends on, of the states at every stride."""
    strides = [block.spec.stride for block in blocks]
    firsts = {s: next(i for i, other in enumerate(strides) if other <= s) for s in strides}
    seen = {s: sum(b.reach * b.spec.stride for b in blocks[i:]) for s, i in firsts.items()}
    return {stride: REACH * reach for stride, reach in seen.items()}
