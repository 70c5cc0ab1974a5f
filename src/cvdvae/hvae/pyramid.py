"""The way back from coarse activations to fine ones: the top-down pathway of a feature pyramid.

A bottom-up pass leaves at every stride only what it saw up to there: at the finest one, a few
pixels around each. Here what is known further away comes back to them (Lin et al. 2017)::

    h_s = a_s + W up(h_S),    h_s ← h_s + resnet(h_s)

a_s is the activation at stride s, S a coarser stride whose state was there before.

Explained in docs/explanation/lr_encoder.md.
"""

import math
from collections.abc import Mapping, Sequence, Set

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .config import TopDownSpec, bottom_up_strides, parse_bottom_up, parse_tokens
from .layers import Block


def parse_pyramid(text: str, bottom_up: str) -> list[TopDownSpec]:
    """Read the blocks of a pyramid: ``RrN`` and ``RuS`` of `cvdvae.hvae.config`, or none.

    Args:
        text: The blocks.
        bottom_up: Those of the bottom-up pass whose activations they take.

    Raises:
        ConfigError: Other blocks, or one at a stride, or from one, where there is no activation.

    Example:
        >>> parse_pyramid("4u8,4r1", "4d2,8x1")
        [TopDownSpec(stride=4, source=8, latent=False), \
TopDownSpec(stride=4, source=None, latent=False)]
    """
    blocks: list[TopDownSpec] = []
    strides = bottom_up_strides(parse_bottom_up(bottom_up))
    for stride, kind, number in parse_tokens(text, "ru") if text else []:
        sources = {number} if kind == "u" else set()
        if not {stride, *sources} <= strides or (kind == "u" and number <= stride):
            raise ConfigError(
                f"top-down blocks '{text}': {stride}{kind}{number} is at, or from, a stride "
                f"where the bottom-up pass leaves nothing"
            )
        if kind == "u":
            blocks.append(TopDownSpec(stride, number, latent=False))
        else:
            blocks += [TopDownSpec(stride, None, latent=False)] * number
    return blocks


def check_seen(blocks: Sequence[TopDownSpec], groups: Set[int], multiple: int) -> set[int]:
    """Refuse blocks of a pyramid that would count for nothing.

    Args:
        blocks: From `parse_pyramid`.
        groups: Strides of the latent groups that see the states.
        multiple: What sides of images are multiples of.

    Returns:
        The strides whose states are led back; without those that images have no whole number of.

    Raises:
        ConfigError: There are blocks at a stride whose state neither a group nor a block takes.
    """
    ends = {block.stride: i for i, block in enumerate(blocks)}
    for stride, end in ends.items():
        if stride not in groups | {later.source for later in blocks[end:]}:
            raise ConfigError(
                f"top-down blocks '{','.join(map(str, blocks))}': the state at stride {stride} "
                f"goes nowhere, since no latent group sees it: a later block must take it, with "
                f"u{stride}"
            )
    return {block.source for block in blocks if block.source and not multiple % block.source}


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
            added = F.interpolate(self.proj(coarse), size=h.shape[2:])
            h = h + added if torch.is_grad_enabled() else h.add_(added)
        return self.resnet.residual(h)


class Pyramid(nn.Module):
    """All its blocks, in their order.

    Args:
        specs: From `parse_pyramid`; with none the activations stay as they are.
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
