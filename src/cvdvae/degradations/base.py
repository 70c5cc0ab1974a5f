"""What every degradation H offers, under the names of `deepinv.physics.LinearPhysics`."""

from typing import Protocol

import torch
from torch import Tensor


class Degradation(Protocol):
    """A linear operator H on images, as in deepinv."""

    def A(self, x: Tensor) -> Tensor:
        """``H x``."""

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``."""

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``."""


def shrink_to_8_bits(x: Tensor, degradation: Degradation) -> Tensor:
    """The low-resolution image as a file holds it: Hx rounded to 8 bits, float32 in [0, 1].

    It is computed in full precision also where autocasting is on: y must not depend on that.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        degradation: H.
    """
    with torch.autocast(x.device.type, enabled=False):
        return torch.round(degradation.A(x.float()).clamp(0, 1) * 255) / 255
