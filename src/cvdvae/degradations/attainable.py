"""What is done where no image in range has Hx = y, nor anything near to it.

The images that violate Hx = y least are at the border of what images in range can give. To come so
near to a y that is far beyond, pixels are driven to black and white in turns, a pattern of dots
that nothing in y speaks for. There an image stands for which the price of a violation is soft: to
miss y costs about what it costs to move the pixels.

Explained in docs/explanation/projection.md.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Products

FAR, NEAR = 16 / 255, 5
"""Results that are missed by so much at the least are given up, and those so near to them."""
SOFT = 0.1
"""ε there, relative to the mean eigenvalue of ``H Hᵀ``."""


def weights_of(degradation: Products, x: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sums of H's rows, over all pixels and over those that may move.

    Args:
        degradation: H, in float64.
        x: Images, ``(N, C, H, W)``.
        region: Which pixels may move, bool, ``(N, C, H, W)``; all of them by default.

    Returns:
        ``(1, c, h, w)``, and the same or ``(N, c, h, w)``.
    """
    total = degradation.A(torch.ones_like(x[:1], dtype=torch.float64))
    return total, total if region is None else degradation.A(region.double())


def too_far(error: Tensor, total: Tensor, movable: Tensor) -> Tensor:
    """Results that no image in range comes near to, bool, ``(N, c, h, w)``.

    Those that hardly any pixel has a part in are none of them.

    Args:
        error: How far Hx is outside of its room, of images that leave it least.
        total: The sums of H's rows.
        movable: Of them, what pixels that may move have.
    """
    return (total > 0) & (movable >= total / 2) & (error.abs() >= FAR * total)


def around(far: Tensor, degradation: Products) -> Tensor:
    """1 at the pixels around some results, in every colour, and 0 away from them.

    As much of a pixel counts as results near to these have in it: ``Hᵀn / Hᵀ1``, n being 1 near to
    them and 0 elsewhere.

    Args:
        far: Which results, bool, ``(N, c, h, w)``.
        degradation: H, in float64.

    Returns:
        ``(N, C, H, W)`` float64 in [0, 1].
    """
    near = far.any(1, keepdim=True).double()
    near = F.max_pool2d(near, 2 * NEAR + 1, stride=1, padding=NEAR).expand_as(far)
    share, total = degradation.A_adjoint(near), degradation.A_adjoint(torch.ones_like(near))
    return torch.where(total > 0, share / total, 0).clamp(0, 1)
