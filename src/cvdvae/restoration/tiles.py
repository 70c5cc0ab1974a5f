"""Large images in tiles: windows that overlap, and the cores that are kept of them.

A network that is convolutional sees no further than its receptive field, and its noise is a field
(`cvdvae.gaussian.noise.FieldNoise`): so the core of a window with a halo as wide as what matters of
the receptive field is what the whole image would have there.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from torch import Tensor

from ..gaussian.noise import Inside, Window

WHOLE_PIXELS = 2_000_000
"""Images of up to so many pixels are drawn whole."""
CORE = 960
"""Side of a core, in pixels."""
HALO = 176
"""What a window has more on every side, in pixels: in the core the network then gives what it would
give of the whole image, within a tenth of a level of 255."""


class Tile(NamedTuple):
    """A window, and the part of it that is kept.

    Attributes:
        window: What the network is run on.
        core: What of it is kept; both in pixels of the whole image.
    """

    window: Window
    core: Window

    @property
    def inside(self) -> Inside:
        """The core's rows and columns in the window."""
        top, left = self.core.top - self.window.top, self.core.left - self.window.left
        return slice(top, top + self.core.height), slice(left, left + self.core.width)

    def of(self, y: Tensor, scale: int) -> Tensor:
        """What a low-resolution image ``(N, C, h, w)`` shows of the window."""
        top, left, height, width = (length // scale for length in self.window)
        return y[:, :, top : top + height, left : left + width]


def tiles(
    size: tuple[int, int], step: int, core: int | None = None, halo: int | None = None
) -> Iterator[Tile]:
    """Cut an image into tiles whose cores cover it once; a small image is one tile.

    Args:
        size: Its height and width.
        step: The edges of windows are multiples of this, or the image's own.
        core: Side of the cores, rounded up to such a multiple; by default one tile up to
            `WHOLE_PIXELS` and `CORE` beyond.
        halo: What a window has more on every side, rounded up alike; `HALO` by default.

    Example:
        >>> [tile.window for tile in tiles((64, 40), 16, core=32, halo=8)]
        [Window(top=0, left=0, height=48, width=40), Window(top=16, left=0, height=48, width=40)]
    """
    height, width = size
    if core is None:
        core = max(size) if height * width <= WHOLE_PIXELS else CORE
    halo = HALO if halo is None else halo
    rows, columns = (list(_spans(side, step, core, halo)) for side in size)
    for (top, bottom, first, last), (left, right, start, end) in product(rows, columns):
        yield Tile(
            Window(top, left, bottom - top, right - left),
            Window(first, start, last - first, end - start),
        )


def _spans(side: int, step: int, core: int, halo: int) -> Iterator[tuple[int, int, int, int]]:
    """Beginnings and ends of the windows and of their cores along one side."""
    core, halo = (step * math.ceil(length / step) for length in (core, halo))
    # A rest that is narrower than its halos would be mostly seam: the last core takes it.
    count = max(1, side // core + (side % core > 2 * halo))
    for i in range(count):
        first, last = i * core, side if i == count - 1 else (i + 1) * core
        yield max(0, first - halo), min(side, last + halo), first, last
