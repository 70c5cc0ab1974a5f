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

from ..gaussian.noise import Inside, Window
from .layers import Block, pointwise
from .notation import TopDownSpec
from .reach import REACH, around, part_of, scaled, union


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

    def forward(
        self, activations: Mapping[int, Tensor], places: Mapping[int, Inside] | None = None
    ) -> dict[int, Tensor]:
        """The last state at every stride.

        Args:
            activations: At every stride, ``(N, widths[r], H/r, W/r)``.
            places: Which rows and columns of the states are wanted, at every stride where any are;
                all at all of them by default.

        Returns:
            The states where they are wanted.
        """
        had = {s: Window(0, 0, *h.shape[2:]).slices for s, h in activations.items()}
        places = had if places is None else places
        needed = self._needed(places, had)
        states = {s: part_of(activations[s], had[s], place) for s, place in needed.items()}
        for block in self.blocks:
            assert isinstance(block, PyramidBlock)
            stride, source, coarse = block.spec.stride, block.spec.source, None
            if stride not in needed:
                continue
            if source is not None:
                part = (needed[source], needed[stride], source // stride)
                coarse = part_of(states[source], *part)
            states[stride] = block(states[stride], coarse)
        return {s: part_of(states[s], needed[s], place) for s, place in places.items()}

    def _needed(self, places: Mapping[int, Inside], had: Mapping[int, Inside]) -> dict[int, Inside]:
        """Which rows and columns of the states the first blocks are to see, for these to come out:
        none at a stride that nothing comes from."""
        finest, step, needed = min(had), max(had), dict(places)
        size = (finest * had[finest][0].stop, finest * had[finest][1].stop)
        for block in reversed(self.blocks):
            assert isinstance(block, PyramidBlock)
            stride, source = block.spec.stride, block.spec.source
            if stride not in needed:
                continue
            pixels = scaled(needed[stride], stride)
            reach = REACH * stride * block.resnet.reach
            needed[stride] = around(pixels, reach, stride, step, size)
            if source is not None:
                seen = around(pixels, reach, source, step, size)
                needed[source] = union(needed.get(source, seen), seen)
        return needed
