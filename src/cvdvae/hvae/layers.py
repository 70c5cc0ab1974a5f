"""The residual bottleneck block that all parts of the very deep VAE are made of.

Outside training most of the time of a large model goes into memory, not into arithmetic: a fresh
tensor of 100 MB costs more in page faults than the convolution that fills it. So where no gradient
is wanted, wide activations live only for a strip of rows at a time, small enough for the cache, and
sums go into the tensor that is there already. The numbers are the same, also where several threads
take the strips.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError


def gelu_(x: Tensor) -> Tensor:
    """GELU in the place of x."""
    activated: Tensor = torch.ops.aten.gelu_(x)
    return activated


def silu_(x: Tensor) -> Tensor:
    """SiLU in the place of x."""
    return F.silu(x, inplace=True)


Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, tuple[Activation, Activation]] = {
    "gelu": (F.gelu, gelu_),
    "silu": (F.silu, silu_),
}
"""By their names, each with the one that takes the place of what it is given."""

STRIP_BYTES = 4 * 2**20
"""Size of a strip: what a core's cache holds beside the weights."""
PARTS = 8
"""Of what a 3×3 convolution is given, among threads."""
_threads: ContextVar[Executor | None] = ContextVar("threads", default=None)


@contextmanager
def strips_among(threads: Executor) -> Iterator[None]:
    """Within, blocks give their strips to threads, which have one of PyTorch's each."""
    before = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(before)


def _helpers() -> Executor | None:
    """The threads, where there are some and no gradient is wanted."""
    idle = torch.is_grad_enabled() or torch.compiler.is_compiling()
    return None if idle else _threads.get()


def _each(work: Callable[..., Tensor], *strips: Sequence[Any]) -> list[Tensor]:
    """``work`` of every strip; what is one strip alone goes to no other thread."""
    threads = _helpers() if len(strips[0]) > 1 else None
    if threads is None:
        return list(map(work, *strips))
    return list(threads.map(torch.no_grad()(work), *strips))


class Block(nn.Module):
    """Four convolutions with a bottleneck (Child 2021, figure 3), pre-activated.

    ``f(x) = C4 a(C3 a(C2 a(C1 a(x))))`` with a 1×1 convolution at both ends and 3×3 ones between.
    Below 3×3 pixels all of them are 1×1.

    Args:
        in_channels: Channels of the input.
        inner_channels: Channels of the bottleneck.
        out_channels: Channels of the output.
        resolution: Side of the input, in pixels.
        activation: Name of the nonlinearity a.
        last_scale: Factor on the initial weights of the last convolution; zero starts the block at
            ``f = 0``.

    Raises:
        ConfigError: The bottleneck has no channel.

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
        last_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if inner_channels < 1:
            raise ConfigError(f"a bottleneck of {in_channels} channels has none left: widen it")
        self.activation, self.in_place = ACTIVATIONS[activation]
        kernel = 3 if resolution > 2 else 1
        self.conv1 = nn.Conv2d(in_channels, inner_channels, 1)
        self.conv2 = nn.Conv2d(inner_channels, inner_channels, kernel, padding=kernel // 2)
        self.conv3 = nn.Conv2d(inner_channels, inner_channels, kernel, padding=kernel // 2)
        self.conv4 = nn.Conv2d(inner_channels, out_channels, 1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.conv4.weight.data.mul_(last_scale)

    def forward(self, *parts: Tensor) -> Tensor:
        """``f(x)``, where x is given whole or as parts that lie side by side in the channels."""
        return pointwise(self.inner(*parts), self.conv4.weight, self.conv4.bias)

    def residual(self, x: Tensor, keep: bool = False) -> Tensor:
        """``x + f(x)``; without gradients x itself becomes the sum, unless it is to be kept."""
        if keep and not torch.is_grad_enabled():
            x = x.clone()
        return add_pointwise(x, self.conv4.weight, self.conv4.bias, self.inner(x))

    def inner(self, *parts: Tensor, term: Tensor | None = None) -> Tensor:
        """``a(C3 a(C2 a(C1 a(x))))``: all but the last convolution.

        What `term_of` makes of the last channels may stand for them.
        """
        h = self._first(*parts)
        if term is not None:
            h = h + term if torch.is_grad_enabled() else h.add_(term)
        h = _convolved(self.conv2, self._activated(h))
        h = _convolved(self.conv3, self._activated(h))
        return self._activated(h)

    def _activated(self, h: Tensor) -> Tensor:
        """``a(h)``; without gradients in the place of h."""
        if torch.is_grad_enabled():
            return self.activation(h)
        _each(self.in_place, _strips(h))
        return h

    @property
    def reach(self) -> int:
        """How many positions f sees on every side of one."""
        return sum(conv.kernel_size[0] // 2 for conv in (self.conv2, self.conv3))

    @torch.no_grad()
    def make_identity(self) -> None:
        """``f = 0``, so that `residual` gives x back."""
        self.conv4.weight.zero_()

    def term_of(self, last: Tensor) -> Tensor:
        """What the last channels of x add to ``C1 a(x)``; a batch of one serves every batch."""
        return self._pointwise(last, self.conv1.weight[:, -last.shape[1] :], None)

    def _first(self, *parts: Tensor) -> Tensor:
        """``C1 a(x)``, the sum over the parts of x, which may be its first channels only."""
        total, bias, start = None, self.conv1.bias, 0
        for part in parts:
            weight = self.conv1.weight[:, start : start + part.shape[1]]
            term = self._pointwise(part, weight, bias)
            total, bias = term if total is None else total + term, None
            start += part.shape[1]
        assert total is not None
        return total

    def _pointwise(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``W a(x) + b`` with a 1×1 convolution."""
        strips = _each(lambda s: pointwise(self.activation(s), weight, bias), _strips(x))
        return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


LARGE = 2**17
"""Numbers in an input from which on oneDNN's convolution of one pixel is faster than PyTorch's."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``W x + b`` with a 1×1 convolution.

    On one thread PyTorch computes it as a matrix product, which takes longer than oneDNN's
    convolution. That is kept for, among others, what has a dilation; which means nothing for a
    kernel of one pixel.

    Args:
        x: ``(N, in, H, W)``.
        weight: ``(out, in, 1, 1)``.
        bias: ``(out,)``.

    Returns:
        ``(N, out, H, W)``, differentiable.
    """
    quicker = x.device.type == "cpu" and x.numel() >= LARGE and torch.backends.mkldnn.is_available()
    return F.conv2d(x, weight, bias, dilation=2 if quicker else 1)


def add_pointwise(x: Tensor, weight: Tensor, bias: Tensor | None, *parts: Tensor) -> Tensor:
    """``x + W h + b`` with a 1×1 convolution; without gradients x itself becomes the sum.

    The parts of h lie side by side in the channels.
    """
    if torch.is_grad_enabled():
        return x + pointwise(_side_by_side(*parts), weight, bias)
    rows = _rows(x)

    def add(target: Tensor, *strips: Tensor) -> Tensor:
        total: Tensor = target.add_(pointwise(_side_by_side(*strips), weight, bias))
        return total

    _each(add, x.split(rows, 2), *(part.split(rows, 2) for part in parts))
    return x


def _convolved(conv: nn.Conv2d, h: Tensor) -> Tensor:
    """``conv(h)``, which threads compute in parts of its rows where it is large."""
    height, rows = h.shape[2], math.ceil(h.shape[2] / PARTS)
    if _helpers() is None or h.numel() < PARTS * LARGE:
        convolved: Tensor = conv(h)
        return convolved
    reach = conv.kernel_size[0] // 2

    def part(first: int) -> Tensor:
        above = min(first, reach)
        seen = h[:, :, first - above : first + rows + reach]
        computed: Tensor = conv(seen)
        return computed[:, :, above : above + min(rows, height - first)]

    return torch.cat(_each(part, range(0, height, rows)), dim=2)


def _side_by_side(*parts: Tensor) -> Tensor:
    """In the channels, in the dtype of the first."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)


def _strips(x: Tensor) -> tuple[Tensor, ...]:
    return (x,) if torch.is_grad_enabled() else x.split(_rows(x), dim=2)


def _rows(x: Tensor) -> int:
    """Rows of a strip of x, and at least one; all of them on a GPU, which has no use for strips."""
    if x.device.type != "cpu":
        return x.shape[2]
    return max(1, STRIP_BYTES * x.shape[2] // (x.numel() * x.element_size()))
