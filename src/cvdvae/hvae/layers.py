"""The residual bottleneck block that all parts of the very deep VAE are made of."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}


class Block(nn.Module):
    """Four convolutions with a bottleneck (Child 2021, figure 3), pre-activated.

    ``f(x) = C4 a(C3 a(C2 a(C1 a(x))))`` with a 1×1 convolution at both ends and 3×3 ones between,
    and ``x + f(x)`` if `residual`. Below 3×3 pixels all of them are 1×1.

    Args:
        in_channels: Channels of the input.
        inner_channels: Channels of the bottleneck.
        out_channels: Channels of the output; equal to `in_channels` if `residual`.
        resolution: Side of the input, in pixels.
        activation: Name of the nonlinearity a.
        residual: Add the input to the output.
        last_scale: Factor on the initial weights of the last convolution; zero starts the block at
            ``f = 0``.

    Shape:
        ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``.
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        out_channels: int,
        resolution: int,
        activation: str,
        residual: bool = False,
        last_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.residual = residual
        kernel = 3 if resolution > 2 else 1
        self.conv1 = nn.Conv2d(in_channels, inner_channels, 1)
        self.conv2 = nn.Conv2d(inner_channels, inner_channels, kernel, padding=kernel // 2)
        self.conv3 = nn.Conv2d(inner_channels, inner_channels, kernel, padding=kernel // 2)
        self.conv4 = nn.Conv2d(inner_channels, out_channels, 1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.conv4.weight.data.mul_(last_scale)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        h: Tensor = self.conv1(self.activation(x))
        h = self.conv2(self.activation(h))
        h = self.conv3(self.activation(h))
        h = self.conv4(self.activation(h))
        return x + h if self.residual else h
