"""The networks inside the flow: couplings' and features'; none of them needs to be invertible."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .affine import ActNorm

LOG_SCALE_FACTOR = 3.0
"""Learning rate of a zero convolution's output scale, relative to others (Glow)."""


class NormalizedConv(nn.Module):
    """A convolution without a bias, and an `ActNorm` on its output."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        nn.init.xavier_normal_(self.conv.weight, gain=0.1)
        self.actnorm = ActNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalize."""
        normalized: Tensor = self.actnorm(self.conv(x))[0]
        return normalized


class ZeroConv(nn.Module):
    """A 3×3 convolution that starts at zero, times ``exp(3 · log_scale)`` per channel (Glow)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.log_scale = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and scale."""
        out: Tensor = self.conv(x) * torch.exp(LOG_SCALE_FACTOR * self.log_scale)
        return out


class CouplingNetwork(nn.Module):
    """3×3, 1×1 and 3×3 convolutions with ReLU; the last starts at zero, so the map at identity."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.first = NormalizedConv(in_channels, hidden, 3)
        self.second = NormalizedConv(hidden, hidden, 1)
        self.last = ZeroConv(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        out: Tensor = self.last(F.relu(self.second(F.relu(self.first(x)))))
        return out


class DenseBlock(nn.Module):
    """Five 3×3 convolutions, each of all that came before, and a fifth of it added to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        widths = [*(growth for _ in range(4)), channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels + i * growth, width, 3, padding=1) for i, width in enumerate(widths)
        )
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            nn.init.xavier_normal_(conv.weight, gain=0.1)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same."""
        parts = [x]
        for conv in list(self.convs)[:-1]:
            parts.append(F.leaky_relu(conv(torch.cat(parts, dim=1)), 0.2))
        out: Tensor = x + 0.2 * self.convs[-1](torch.cat(parts, dim=1))
        return out


class RRDB(nn.Module):
    """Residual in residual dense block: three in a row, a fifth of it added (Wang et al. 2018)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same."""
        out: Tensor = x + 0.2 * self.blocks(x)
        return out


class Features(nn.Module):
    """Features of what is known at a level: of its kept part, and of the coarser levels' features.

    Args:
        in_channels: Of both side by side.
        channels: Of each half of the output.
        growth: Of the dense blocks.
        trunks: Number of `RRDB` in the first and in the second half.

    Shape:
        ``(N, in_channels, H, W)`` to ``(N, 2 · channels, H, W)``.
    """

    def __init__(
        self, in_channels: int, channels: int, growth: int, trunks: tuple[int, int]
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.trunk0 = nn.Sequential(*(RRDB(channels, growth) for _ in range(trunks[0])))
        self.trunk1 = nn.Sequential(*(RRDB(channels, growth) for _ in range(trunks[1])))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Extract."""
        first = self.first(x)
        middle = self.trunk0(first)
        return torch.cat([middle, first + self.last(self.trunk1(middle))], dim=1)
