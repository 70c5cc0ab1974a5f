"""The images in range that violate Hx = y least, where none fulfils it.

Gradient steps on ``½‖Hx − y‖² + ε/2 ‖x − x_0‖²``, clipped to [0, 1], with momentum (FISTA: Beck &
Teboulle 2009), which is dropped where it points uphill (O'Donoghue & Candès 2015). They start from
x_0, and so end near it.
"""

import torch
from torch import Tensor

from .base import Products
from .spectrum import largest_eigenvalue

STEPS, LOOK = 100, 10
ENOUGH = 1e-3
"""Ends where `LOOK` steps lower no violation by more than this share."""


def violate_least(
    degradation: Products,
    x0: Tensor,
    y: Tensor,
    epsilon: float,
    dims: tuple[int, ...],
    start: Tensor,
) -> Tensor:
    """Images in range that are nearly as consistent as any, and near to `x0`.

    Args:
        degradation: H.
        x0: ``(N, C, H, W)``.
        y: ``(N, c, h, w)``.
        epsilon: ε.
        dims: What belongs to one problem: height and width, and colours where H mixes them.
        start: Images in range to begin with.
    """
    slope = 1 / (largest_eigenvalue(degradation, x0) + epsilon)
    x = start
    ahead, time = x, torch.ones_like(x0[:, :1] if 1 in dims else x0)[..., :1, :1]
    before = torch.full_like(time, torch.inf)
    for step in range(STEPS):
        error = degradation.A(ahead) - y
        if step % LOOK == 0:
            violation = error.square().sum(dims, keepdim=True)
            if not bool((violation < (1 - ENOUGH) * before).any()):
                break
            before = violation
        gradient = degradation.A_adjoint(error) + epsilon * (ahead - x0)
        following = (ahead - slope * gradient).clamp_(0, 1)
        change = following - x
        uphill = (gradient * change).sum(dims, keepdim=True) > 0
        later = torch.where(uphill, 1, (1 + (1 + 4 * time * time).sqrt()) / 2)
        ahead = following + torch.where(uphill, 0, (time - 1) / later) * change
        x, time = following, later
    return x
