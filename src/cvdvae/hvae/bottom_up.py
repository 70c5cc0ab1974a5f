"""The deterministic bottom-up pass: an image to activations at every stride."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Block
from .notation import BottomUpSpec


class BottomUp(nn.Module):
    """Residual blocks from the finest to the coarsest resolution.

    Args:
        specs: The blocks in order.
        widths: Channels at each stride that occurs.
        in_channels: Channels of the input.
        bottleneck: Inner channels of a block, as a fraction of its width.
        activation: Name of the nonlinearity.
        image_size: Side of the images that it is trained on.

    Shape:
        ``(N, in_channels, H/s, W/s)``, s the first stride, to a dictionary from every stride r to
        ``(N, widths[r], H/r, W/r)``.
    """

    def __init__(
        self,
        specs: list[BottomUpSpec],
        widths: dict[int, int],
        in_channels: int,
        bottleneck: float,
        activation: str,
        image_size: int,
    ) -> None:
        super().__init__()
        self.specs, self.widths = specs, widths
        self.in_conv = nn.Conv2d(in_channels, widths[specs[0].stride], 3, padding=1)
        nn.init.zeros_(self.in_conv.bias)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(
            Block(
                widths[s.stride],
                int(widths[s.stride] * bottleneck),
                widths[s.stride],
                image_size // s.stride,
                activation,
                last_scale=math.sqrt(1 / len(specs)),
            )
            for s in specs
        )

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Return the last activation at every stride."""
        h = self.in_conv(x)
        activations = {self.specs[0].stride: h}
        for spec, block in zip(self.specs, self.blocks, strict=True):
            assert isinstance(block, Block)
            h = block.residual(h, keep=spec.down > 1)  # which leaves the activation before it
            if spec.down > 1:
                h = F.avg_pool2d(h, spec.down)
            after = spec.stride * spec.down
            h = _fit_channels(h, self.widths[after])
            activations[after] = h
        return activations


def _fit_channels(h: Tensor, channels: int) -> Tensor:
    """Append zero channels (or drop the last ones) where the width changes between strides."""
    missing = channels - h.shape[1]
    if missing <= 0:
        return h[:, :channels]
    zeros = h.new_zeros(h.shape[0], missing, *h.shape[2:])
    return torch.cat([h, zeros], dim=1).contiguous(memory_format=torch.channels_last)
