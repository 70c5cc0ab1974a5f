"""How programs shrink one side: which pixels a result is mixed from, and with what weights.

A side of n pixels becomes m: result i lies at ``c_i = (i + ½) n / m``, pixel j at ``j + ½``. An
antialiased kernel k is stretched by ``s = max(n/m, 1)`` and normalized over the pixels there are::

    w_ij = k((j + ½ − c_i) / s) / Σ_j k((j + ½ − c_i) / s)

Every row of `KERNELS` is one program. It gives the taps of some results: which pixels, and how
much of each. A pixel may come twice (mirrored at the border): its weights are added.

Explained in docs/explanation/projection.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Filter = Callable[[Tensor], Tensor]


class Taps(NamedTuple):
    """What some results are mixed from.

    Attributes:
        pixels: Which pixels, ``(results, taps)``, int64 in [0, n).
        weights: How much of each, ``(results, taps)``, float64; every row adds up to 1.
    """

    pixels: Tensor
    weights: Tensor


class Kernel(NamedTuple):
    """How one program shrinks.

    Attributes:
        taps: From n, m and which results, int64 ``(results,)``, to their taps.
        program: Whose way it is, and how exactly it is met.
        like: Which other leaves a photograph the same spectrum.
    """

    taps: Callable[[int, int, Tensor], Taps]
    program: str
    like: str = ""


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution (1981) with a = −½; zero from 2 on."""
    x, a = x.abs(), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def lanczos(x: Tensor) -> Tensor:
    """A sinc in the window of a wider sinc; zero from 3 on."""
    return torch.where((x >= -3) & (x < 3), torch.sinc(x) * torch.sinc(x / 3), 0)


def triangle(x: Tensor) -> Tensor:
    """Linear interpolation; zero from 1 on."""
    return (1 - x.abs()).clamp(min=0)


def box(x: Tensor) -> Tensor:
    """The mean of all within a half."""
    return ((x > -0.5) & (x <= 0.5)).to(x)


def antialiased(kernel: Filter, support: float) -> Callable[[int, int, Tensor], Taps]:
    """What PyTorch and Pillow do, in their order of operations: to the last bit at ×2, ×4, ….

    Args:
        kernel: k.
        support: Where k ends.
    """

    def taps(n: int, m: int, results: Tensor) -> Taps:
        stretch = max(n / m, 1.0)
        reach = support * stretch
        centre = n / m * (results.double()[:, None] + 0.5)
        first = (centre - reach + 0.5).long().clamp(min=0)
        end = (centre + reach + 0.5).long().clamp(max=n)
        pixels = first + torch.arange(int(2 * reach) + 2, device="cpu")
        weights = kernel((pixels - centre + 0.5) * (1 / stretch))
        weights = torch.where(pixels < end, weights, 0)
        # cumsum adds one after the other, as they do; sum does not.
        return Taps(pixels.clamp(max=n - 1), weights / weights.cumsum(1)[:, -1:])

    return taps


def mirrored_cubic(n: int, m: int, results: Tensor) -> Taps:
    """MATLAB's imresize: the cubic, antialiased; beyond the border the image is mirrored."""
    scale = min(m / n, 1.0)
    width = 4 / scale
    centre = (results.double()[:, None] + 0.5) * n / m - 0.5
    first = (centre - width / 2).floor().long()
    pixels = first + torch.arange(int(width) + 3, device="cpu")
    weights = cubic(scale * (centre - pixels))
    around = pixels.remainder(2 * n)
    return Taps(
        torch.where(around < n, around, 2 * n - 1 - around), weights / weights.sum(1, keepdim=True)
    )


def halved_and_interpolated(n: int, m: int, results: Tensor) -> Taps:
    """Mip maps: halve while that leaves at least m, then interpolate between two pixels."""
    sides = [n]
    while sides[-1] // 2 >= m:
        sides.append(sides[-1] // 2)
    place = (results.double()[:, None] + 0.5) * sides[-1] / m - 0.5
    left = place.floor()
    pixels = torch.cat((left, left + 1), 1).long().clamp(0, sides[-1] - 1)
    weights = torch.cat((1 - (place - left), place - left), 1)
    for side in reversed(sides[:-1]):
        # Of an odd side, Skia overlaps the pairs to ¼ ½ ¼.
        mix = torch.tensor(
            [0.25, 0.5, 0.25] if side % 2 else [0.5, 0.5], dtype=torch.float64, device="cpu"
        )
        pixels = (2 * pixels[..., None] + torch.arange(len(mix), device="cpu")).flatten(1)
        weights = (weights[..., None] * mix).flatten(1)
    return Taps(pixels, weights)


def picked(n: int, m: int, results: Tensor) -> Taps:
    """Every so many pixels one, and nothing of the others."""
    step = 1 / (m / n)  # as OpenCV has it: n / m may differ in the last bit, and so in the pixel
    pixels = (results.double()[:, None] * step).long().clamp(max=n - 1)
    return Taps(pixels, torch.ones(pixels.shape, dtype=torch.float64, device="cpu"))


def picked_in_the_middle(n: int, m: int, results: Tensor) -> Taps:
    """Of every so many pixels the middle one, and nothing of the others."""
    steps = torch.full((int(results.max()) + 1,), n / m, dtype=torch.float64, device="cpu")
    steps[0] /= 2
    # As Pillow adds them up: a sum that should be whole may lie just below.
    pixels = torch.from_numpy(np.add.accumulate(steps.numpy()))[results].long()[:, None]
    return Taps(
        pixels.clamp(max=n - 1), torch.ones(pixels.shape, dtype=torch.float64, device="cpu")
    )


KERNELS = {
    "bicubic": Kernel(antialiased(cubic, 2), "PyTorch's antialiased bicubic"),
    "pillow-bicubic": Kernel(
        antialiased(cubic, 2), "Pillow's BICUBIC, which is the same", "bicubic"
    ),
    "pillow-lanczos": Kernel(antialiased(lanczos, 3), "Pillow's LANCZOS"),
    "pillow-bilinear": Kernel(antialiased(triangle, 1), "Pillow's BILINEAR"),
    "box": Kernel(antialiased(box, 0.5), "Pillow's BOX; OpenCV's INTER_AREA at whole factors"),
    "matlab": Kernel(mirrored_cubic, "MATLAB's imresize (bicubic, antialiased)", "bicubic"),
    "canvas": Kernel(
        halved_and_interpolated,
        "a browser's canvas: Chromium's drawImage of high quality at factors of two, approximately "
        "at others",
        "box",
    ),
    "nearest": Kernel(picked, "OpenCV's INTER_NEAREST"),
    "pillow-nearest": Kernel(picked_in_the_middle, "Pillow's NEAREST", "nearest"),
}
"""By name. Programs that work in 8 bits round on top of it, some once for every side."""
