"""What happens to a sample after the network, written once.

Cut to [0, 1], and marked where it exploded; put into its frame, where only a region varies; the
nearest image with Hx = y; rounded to 8 bits so that H of what is saved stays as near to y.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.base import Degradation
from ..degradations.projection import project, round_consistently
from ..imaging.io import to_bytes

FAR, NEAR, MANY = 1.0, 0.25, 0.01
"""A sample has exploded if a value is further than `FAR` outside of [0, 1], or if more than this
share of its values is further than `NEAR`, as in a saturated block."""


class Frame(NamedTuple):
    """What stays of an earlier sample where only a region varies.

    Attributes:
        region: Where it varies, ``(1, 1, H, W)`` bool.
        x: The sample as it is saved, ``(1, 3, H, W)`` in [0, 1].
    """

    region: Tensor
    x: Tensor


class Finished(NamedTuple):
    """Samples as they leave the program.

    Attributes:
        x: Float in [0, 1], ``(n, 3, H, W)``.
        pixels: The same as they are saved, uint8.
        exploded: Which came out of the network not finite or far from any image, ``(n,)`` bool:
            they are kept in their places, but are no answer and count in no statistic.
    """

    x: Tensor
    pixels: Tensor
    exploded: Tensor

    @property
    def answers(self) -> Tensor:
        """The float samples that did not explode."""
        return self.x[~self.exploded]


def finish(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    consistent: bool = True,
    frame: Frame | None = None,
) -> Finished:
    """Finish the samples of one image.

    Args:
        x: What the network gives, float, ``(n, 3, H, W)``, any values.
        y: The low-resolution image in [0, 1], ``(1, 3, h, w)``.
        degradation: H.
        consistent: Whether to project and to round consistently, or only to cut and round.
        frame: What stays, where only a region varies.
    """
    x = x.float().cpu()
    outside = ((x - 0.5).abs() - 0.5).flatten(1)
    exploded = ~(outside <= FAR).all(1) | ((outside > NEAR).float().mean(1) > MANY)
    x = torch.nan_to_num(x, nan=0.5).clamp(0, 1)
    shadow, region = y, None
    if frame is not None:
        x = torch.where(frame.region, x, frame.x)
        shadow, region = degradation.A(frame.x), frame.region
    if not consistent:
        return Finished(x, to_bytes(x), exploded)
    x = project(x, shadow.expand(len(x), -1, -1, -1), degradation, region=region)
    return Finished(x, round_consistently(x, y, degradation, region=region), exploded)
