"""A picture to look at of samples that lie in arrays: of the middle page, its first image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...degradations.bicubic import upscale_bicubic
from ...imaging.values import to_levels
from ..answers import answering
from ..result import DISCLAIMER
from ..sheet import SHOWN, sheet
from .array_result import Settings
from .planes import Stack

SIDE = 1024
"""Most pixels a side that are looked at of a sample."""


@dataclass(frozen=True)
class _Shown:
    """What `sheet` and `restored_sheet` show, in [0, 1]; see `SuperResolution`."""

    y: Tensor
    pixels: Tensor
    scale: int
    kept: list[int]
    ddof: float
    truth: Tensor | None = None

    @property
    def answers(self) -> Tensor:
        return self.pixels[self.kept].float() / 255

    @property
    def mean(self) -> Tensor:
        return self.answers.mean(0)

    @property
    def std(self) -> Tensor:
        if len(self.kept) == 1:
            return torch.zeros_like(self.answers[0, 0])
        return self.answers.var(0, correction=self.ddof).mean(0).sqrt()

    @property
    def bicubic(self) -> Tensor:
        height, width = self.pixels.shape[2:]
        return upscale_bicubic(self.y[None], (height, width))[0]

    @property
    def shown(self) -> Tensor:
        return self.bicubic


def stack_sheet(
    stack: Stack,
    drawn: np.ndarray,
    scale: int,
    how: Settings,
    exploded: np.ndarray | None = None,
    *,
    picture: Callable[[_Shown, str], Image.Image] | None = None,
    holes: np.ndarray | None = None,
) -> Image.Image:
    """Samples, mean and std of one plane; of a large one, the part that varies most in itself.

    Args:
        stack: What they were made of.
        drawn: The samples in the file's unit, ``(samples, pages, channels, H, W)``.
        scale: By what they are larger.
        how: How they were drawn.
        exploded: Which planes of which samples did, ``(samples, planes)``; none by default.
        picture: What shows them; `sheet` by default.
        holes: Values of the file that were not seen, ``(pages, channels, h, w)``, and are shown
            grey; none by default.
    """
    page, channels = len(stack.array.values) // 2, stack.groups[0]
    unit = stack.unit(page, 0)
    most = max(1, SIDE // scale)
    top, left = _busiest(unit, most)
    y = unit[0, :, top : top + most, left : left + most].float()
    if holes is not None:
        unseen = holes[page, channels][:, top : top + most, left : left + most]
        y = torch.where(torch.from_numpy(unseen), 0.5, y)
    inside = tuple(
        slice(scale * a, scale * (a + n)) for a, n in ((top, y.shape[1]), (left, y.shape[2]))
    )
    small = max(y.shape[1:]) * scale <= SIDE // 2
    shown = len(drawn) if small else min(SHOWN, len(drawn))
    parts = np.asarray(drawn[:shown, page, channels][:, :, *inside])
    values = stack.range_of(0)
    with np.errstate(over="ignore"):  # what stands for no data may be the last of all numbers
        units = np.nan_to_num((parts.astype(np.float64) - values.low) / values.span)
    pixels = to_levels(torch.from_numpy(units))
    plane = page * len(stack.groups)
    kept = answering([False] * shown if exploded is None else exploded[:shown, plane].tolist())
    if stack.array.white_is_0:
        y, pixels = 1 - y, 255 - pixels
    ddof = how.ddof(kept)
    return (picture or sheet)(
        _Shown(_in_colours(y), _in_colours(pixels), scale, kept, ddof), DISCLAIMER
    )


def _in_colours(x: Tensor) -> Tensor:
    """Three channels to look at: the first one in grey, unless they are three."""
    if x.shape[-3] == 3:
        return x
    grey = x[..., :1, :, :]
    return grey.expand(*grey.shape[:-3], 3, -1, -1)


def _busiest(unit: Tensor, side: int) -> tuple[int, int]:
    """Row and column from where a window has the largest variance; 0 along a side that fits."""
    height, width = (min(side, length) for length in unit.shape[2:])
    grey, step = unit.mean(1, keepdim=True), max(1, side // 4)
    mean, square = (F.avg_pool2d(one, (height, width), step) for one in (grey, grey.square()))
    place = int((square - mean.square()).argmax())
    row, column = divmod(place, mean.shape[3])
    return row * step, column * step
