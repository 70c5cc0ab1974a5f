"""Where what was seen is a picture, and how it is brought to the size of the image behind it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.base import Degradation, LinearOperator
from ..degradations.bicubic import upscale_bicubic
from ..degradations.blur import Blur
from ..degradations.composed import steps_of
from ..degradations.downscaling import Downscaling
from ..degradations.spectrum import white_noise
from .step import Size

MOSTLY = 0.5
"""Share of its largest value that a flat image's middle one has in a picture of it."""


def is_picture(degradation: Degradation, y: Tensor) -> bool:
    """Whether y looks like the image behind it, at another scale: a sinogram does not.

    Every step must be a blur or a shrinking of ours, or have divided both sides by one number; and
    those of others must leave of a flat image a flat one.

    Args:
        degradation: H.
        y: What it gives, ``(1, …)``.
    """
    for step in reversed(steps_of(degradation)):
        if y.ndim != 4:
            return False
        x = step.A_adjoint(y)
        sides = (y.shape[2], y.shape[3]), (x.shape[2], x.shape[3])
        if not isinstance(step, Blur | Downscaling) and not _divided(*sides):
            return False
        if not isinstance(step, LinearOperator) and not _keeps_flat(step, x):
            return False
        y = x
    return True


def _keeps_flat(step: Degradation, x: Tensor) -> bool:
    """Whether a flat image is mostly flat after it, but where nothing was measured: of numbers that
    say how much there is of a pattern, hardly one is not 0."""
    left = step.A(torch.ones_like(x)).abs()
    seen = left[step.A(white_noise(x)).abs() > 0]
    return bool(seen.numel()) and bool(seen.median() > MOSTLY * seen.max())


def _divided(part: Size, whole: Size) -> bool:
    """Whether both sides are those of the whole by one number, rounded down or up."""
    return any(
        all(abs(by * small - large) < by for small, large in zip(part, whole, strict=True))
        for by in range(1, max(whole) + 1)
    )


def at_size_of_x(degradation: Degradation, y: Tensor, like: Tensor) -> Tensor:
    """y enlarged; what a `valid` blur kept lies in the middle, grey around it.

    Args:
        degradation: H.
        y: ``(1, C, h, w)`` in [0, 1].
        like: An image of the shape of those that H gives.
    """
    for step in reversed(steps_of(degradation)):
        like = step.A_adjoint(like)
        height, width = like.shape[2] - y.shape[2], like.shape[3] - y.shape[3]
        if isinstance(step, Blur) and step.boundary == "valid":
            bottom, right = (side // 2 for side in step.kernel.shape)
            y = F.pad(y, (width - right, right, height - bottom, bottom), value=0.5)
        elif height or width:
            y = upscale_bicubic(y, (like.shape[2], like.shape[3]))
    return y
