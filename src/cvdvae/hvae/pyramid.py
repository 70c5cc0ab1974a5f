"""The way back from coarse activations to fine ones: the top-down pathway of a feature pyramid.

A bottom-up pass leaves at every stride only what it saw up to there: at the finest one, a few
pixels around each. Here what is known further away comes back to them (Lin et al. 2017)::

    h_s = a_s + W up(h_S),    h_s ← h_s + resnet(h_s)

a_s is the activation at stride s, S a coarser stride whose state was there before.

Explained in docs/explanation/lr_encoder.md.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Block, pointwise
from .notation import TopDownSpec


class PyramidBlock(nn.Module):
    """A residual block, which first adds a coarser state where it has a source."""

    def __init__(
        self,
        spec: TopDownSpec,
        widths: Mapping[int, int],
        bottleneck: float,
        activation: str,
        image_size: int,
        scale: float,
    ) -> None:
        super().__init__()
        self.spec, width = spec, widths[spec.stride]
        if spec.source is not None:
            self.proj = nn.Conv2d(widths[spec.source], width, 1, bias=False)
        inner, side = int(width * bottleneck), image_size // spec.stride
        self.resnet = Block(width, inner, width, side, activation, last_scale=scale)

    @torch.no_grad()
    def make_identity(self) -> None:
        """Give the state at its own stride back."""
        self.resnet.make_identity()
        if self.spec.source is not None:
            self.proj.weight.zero_()

    def forward(self, h: Tensor, coarse: Tensor | None) -> Tensor:
        """The next state at its stride; without gradients it takes the place of `h`."""
        if coarse is not None:
            added = F.interpolate(pointwise(coarse, self.proj.weight), size=h.shape[2:])
            h = h + added if torch.is_grad_enabled() else h.add_(added)
        return self.resnet.residual(h)


class Pyramid(nn.Module):
    """All its blocks, in their order.

    Args:
        specs: From `notation.parse_pyramid`; with none the activations stay as they are.
        widths: Channels at each stride that occurs.
        bottleneck: Inner channels of a block, as a fraction of its width.
        activation: Name of the nonlinearity.
        image_size: Side of the images that it is trained on.
    """

    def __init__(
        self,
        specs: list[TopDownSpec],
        widths: Mapping[int, int],
        bottleneck: float,
        activation: str,
        image_size: int,
    ) -> None:
        super().__init__()
        scale = math.sqrt(1 / max(1, len(specs)))
        rest = (widths, bottleneck, activation, image_size, scale)
        self.blocks = nn.ModuleList(PyramidBlock(spec, *rest) for spec in specs)

    def forward(self, activations: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The last state at every stride, in the shapes of the activations."""
        states = dict(activations)
        for block in self.blocks:
            assert isinstance(block, PyramidBlock)
            source = block.spec.source
            coarse = None if source is None else states[source]
            states[block.spec.stride] = block(states[block.spec.stride], coarse)
        return states
