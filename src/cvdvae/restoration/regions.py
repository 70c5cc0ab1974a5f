"""Where the samples of a large image differ most, to be looked at in full resolution."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gaussian.noise import Window

GRID = 8
"""Regions are placed on a grid of so many pixels."""
ALIKE = 0.01
"""Share of the largest mean below which the samples count as the same."""


class Region(NamedTuple):
    """A part of an image.

    Attributes:
        window: Where it is, in pixels.
        std: Mean standard deviation of the samples in it.
    """

    window: Window
    std: float

    def of(self, x: Tensor) -> Tensor:
        """The region of images ``(…, H, W)``."""
        top, left, height, width = self.window
        return x[..., top : top + height, left : left + width]


def most_uncertain(std: Tensor, side: int, count: int) -> list[Region]:
    """The regions with the largest mean of a map that do not overlap, largest first; none whose
    mean is next to nothing beside the first one's.

    Args:
        std: The map, ``(H, W)``.
        side: Side of the (square) regions, in pixels; that of the image where it is smaller.
        count: How many at most.

    Example:
        >>> std = torch.zeros(64, 64)
        >>> std[32:48, 8:24] = 1
        >>> most_uncertain(std, side=16, count=1)
        [Region(window=Window(top=32, left=8, height=16, width=16), std=1.0)]
    """
    height, width = min(side, std.shape[0]), min(side, std.shape[1])
    # One side after the other: a square of 160×160 is summed at every eighth place.
    means = F.avg_pool2d(std[None, None].float(), (height, 1), stride=(GRID, 1))
    means = F.avg_pool2d(means, (1, width), stride=(1, GRID))[0, 0]
    regions: list[Region] = []
    while len(regions) < count:
        place = int(means.argmax())
        value = float(means.flatten()[place])
        if not value >= 0 or (regions and value < ALIKE * regions[0].std):
            break
        row, column = divmod(place, means.shape[1])
        regions.append(Region(Window(row * GRID, column * GRID, height, width), value))
        near = [-(-length // GRID) - 1 for length in (height, width)]
        means[
            max(0, row - near[0]) : row + near[0] + 1,
            max(0, column - near[1]) : column + near[1] + 1,
        ] = -torch.inf
    return regions
