"""The deterministic bottom-up pass: an image to activations at every resolution."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import BottomUpSpec
from .layers import Block


class BottomUp(nn.Module):
    """Residual blocks from the finest to the coarsest resolution.

    Args:
        specs: The blocks in order.
        widths: Channels at each resolution that occurs.
        in_channels: Channels of the input.
        bottleneck: Inner channels of a block, as a fraction of its width.
        activation: Name of the nonlinearity.

    Shape:
        ``(N, in_channels, R, R)`` to a dictionary from resolution r to ``(N, widths[r], r, r)``.
    """

    def __init__(
        self,
        specs: list[BottomUpSpec],
        widths: dict[int, int],
        in_channels: int,
        bottleneck: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.specs, self.widths = specs, widths
        self.in_conv = nn.Conv2d(in_channels, widths[specs[0].resolution], 3, padding=1)
        nn.init.zeros_(self.in_conv.bias)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(
            Block(
                widths[s.resolution],
                int(widths[s.resolution] * bottleneck),
                widths[s.resolution],
                s.resolution,
                activation,
                last_scale=math.sqrt(1 / len(specs)),
            )
            for s in specs
        )

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Return the last activation at every resolution."""
        h = self.in_conv(x)
        activations = {h.shape[2]: h}
        for spec, block in zip(self.specs, self.blocks, strict=True):
            assert isinstance(block, Block)
            h = block.residual(h, keep=spec.down > 1)  # which leaves the activation before it
            if spec.down > 1:
                h = F.avg_pool2d(h, spec.down)
            h = _fit_channels(h, self.widths[spec.resolution // spec.down])
            activations[spec.resolution // spec.down] = h
        return activations


def _fit_channels(h: Tensor, channels: int) -> Tensor:
    """Append zero channels (or drop the last ones) where the width changes between resolutions."""
    missing = channels - h.shape[1]
    if missing <= 0:
        return h[:, :channels]
    zeros = h.new_zeros(h.shape[0], missing, *h.shape[2:])
    return torch.cat([h, zeros], dim=1).contiguous(memory_format=torch.channels_last)
