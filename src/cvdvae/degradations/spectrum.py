"""What a projection has to know of H beyond its products: its scale, and which colours it mixes.

For random signs v, ``E ‖Hᵀv‖² = tr(H Hᵀ)`` (Hutchinson 1989), whatever H does to a single pixel.
"""

import torch
from torch import Tensor

from ..errors import InputError
from .base import Products

PROBES, POWERS = 4, 10
NOUGHT = 1e-6
"""Share of the largest value up to which one is what rounding leaves of 0."""


def mean_eigenvalue(degradation: Products, y: Tensor) -> float:
    """``tr(H Hᵀ) / m``: as the degradation says, or else from seeded random signs.

    Args:
        degradation: H.
        y: An image of the shape, dtype and device of those that H gives, ``(N, C, h, w)``.

    Raises:
        InputError: H takes every image to zero.
    """
    told = getattr(degradation, "mean_eigenvalue", None)
    value = told() if callable(told) else None
    if value is None:
        values = [degradation.A_adjoint(_signs(y[:1], i)).square().sum() for i in range(PROBES)]
        value = float(sum(values)) / PROBES / y[0].numel()
    if not value > 0 or value == float("inf"):
        raise InputError("this degradation takes every image to zero: nothing can be projected")
    return float(value)


def squared_columns(degradation: Products, x: Tensor, y: Tensor) -> Tensor:
    """(HᵀH)_pp, its mean over the pixels p of every colour that H sees: ``(1, C or 1, 1, 1)``.

    Pixels that it passes over, as where every fourth is kept, are no part of it; where it treats
    all colours alike, they are.

    Args:
        degradation: H.
        x: An image of the shape, dtype and device of those that H takes, ``(N, C, H, W)``.
        y: The same of those that H gives, ``(N, c, h, w)``.
    """
    if getattr(degradation, "colours_alike", False):
        mean = mean_eigenvalue(degradation, y) * y[0].numel() / x[0].numel()
        return torch.full_like(x[:1, :1, :1, :1], mean)
    squares = torch.zeros_like(x[:1, :, :1, :1])
    for colour in range(x.shape[1]):
        for seed in range(PROBES):
            probe = torch.zeros_like(x[:1])
            probe[:, colour] = _signs(x[:1, colour], seed)
            squares[:, colour] += degradation.A(probe).square().sum()
    return squares / PROBES / _seen(degradation, y)


def _seen(degradation: Products, y: Tensor) -> Tensor:
    """How many pixels of every colour say anything of y, at least 1: ``(1, C, 1, 1)``."""
    weights = degradation.A_adjoint(white_noise(y[:1])).abs()
    return (weights > NOUGHT * weights.max()).sum((2, 3), keepdim=True).clamp(min=1)


def largest_eigenvalue(degradation: Products, x: Tensor) -> float:
    """``‖H‖²``, a tenth above what the power method finds.

    It begins with random signs, and with ones where H takes those to zero.

    Args:
        degradation: H.
        x: An image of the shape, dtype and device of those that H takes, ``(N, C, H, W)``.
    """
    value, tiny = 0.0, torch.finfo(x.dtype).tiny
    for vector in (_signs(x[:1], 0), torch.ones_like(x[:1])):
        for _ in range(POWERS):
            vector = degradation.A_adjoint(degradation.A(vector / vector.norm().clamp(min=tiny)))
            value = float(vector.norm())
        if value > 0:
            break
    return 1.1 * value


def mixes_colours(degradation: Products, x: Tensor, y: Tensor) -> bool:
    """Whether a value of y depends on more than one colour of x: as told, or else tried out."""
    told = getattr(degradation, "mixes_colours", None)
    if isinstance(told, bool):
        return told
    if x.shape[1] != y.shape[1]:
        return True
    for colour in range(x.shape[1] if x.shape[1] > 1 else 0):
        probe = torch.zeros_like(x[:1])
        probe[:, colour] = _signs(x[:1, colour], colour)
        shadow = degradation.A(probe)
        shadow[:, colour] = 0
        if bool(shadow.any()):
            return True
    return False


def white_noise(like: Tensor) -> Tensor:
    """White noise of this shape, dtype and device, the same on every device: H of it, or Hᵀ, is 0
    only where nothing is seen."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32, device="cpu").to(like)


def _signs(like: Tensor, seed: int) -> Tensor:
    """Seeded random signs, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 2, like.shape, generator=generator, device="cpu") * 2 - 1).to(like)
