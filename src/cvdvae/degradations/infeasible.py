"""The images in range that violate Hx = y least, where none fulfils it.

A y that was cut to [0, 1], and rounded to levels, leaves Hx some room: half a level to either side,
and all that lies beyond where y is 0 or 1. Then they leave that as little as can be.

Gradient steps on ``½‖Hx − y‖²``, clipped to [0, 1], with momentum (FISTA: Beck & Teboulle 2009),
which is dropped where it points uphill (O'Donoghue & Candès 2015). They end near to where they
start: what H does not see, they do not move.

Explained in docs/explanation/projection.md.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .base import Products
from .spectrum import largest_eigenvalue

STEPS, MORE, LOOK = 100, 2000, 10
"""Of all steps, of those towards a room, which is worth them, and of those that are compared."""
ENOUGH = 1e-3
SLACK = 0.4
"""Of a level: half of one, less what the levels of x need."""
WHOLE = 0.01
"""How far from a whole level a value may be that was rounded to one, for float32."""


def room(y: Tensor, levels: int | None) -> tuple[Tensor, Tensor]:
    """The least and the most that Hx may be for images y in whole levels of [0, 1]; else y."""
    if levels is None:
        return y, y
    whole = _are_whole(y * levels, levels)
    slack = SLACK / levels * whole.to(y)
    least = torch.where(whole & (y <= 0), -math.inf, y - slack)
    return least, torch.where(whole & (y >= 1), math.inf, y + slack)


def _are_whole(level: Tensor, levels: int) -> Tensor:
    """Which images, ``(N, 1, …)``, are in whole levels."""
    near = (level - level.round()).abs() < WHOLE
    inside = near & (level >= -WHOLE) & (level <= levels + WHOLE)
    return inside.flatten(1).all(1).view(-1, *[1] * (level.ndim - 1))


def violate_least(
    degradation: Products,
    start: Tensor,
    y: Tensor,
    dims: tuple[int, ...],
    steps: int = STEPS,
    enough: float = ENOUGH,
    goal: float = math.inf,
    done: Callable[[Tensor], bool] = lambda x: False,
    most: Tensor | None = None,
) -> Tensor:
    """Images in range that are nearly as consistent as any, and near to `start`.

    Args:
        degradation: H.
        start: Images in range, ``(N, C, H, W)``.
        y: What Hx is to be, ``(N, c, h, w)`` or whatever else H gives; with `most` the least that
            it is to be.
        dims: What belongs to one problem: height and width, and colours where H mixes them.
        steps: Most steps.
        enough: Ends where `LOOK` steps lower no violation by more than this share.
        goal: ``‖Hx − y‖²`` that is wanted: ends where all steps that are left would not come down
            to it, were they as good as the last `LOOK`.
        done: Whether such images are good enough; asked after every step.
        most: The most that Hx is to be; y by default.
    """
    largest = largest_eigenvalue(degradation, start)
    if largest == 0:  # no pixel has a part in y
        return start
    length = 1 / largest
    x = ahead = start
    time = torch.ones_like(start.sum(dims, keepdim=True))
    before = torch.full_like(time, torch.inf)
    for step in range(steps):
        error = outside(degradation.A(ahead), y, y if most is None else most)
        if step % LOOK == 0:
            violation = error.square().sum([d for d in dims if d < y.ndim], keepdim=True)
            if not bool((violation < (1 - enough) * before).any()):
                break
            left = (steps - step) / LOOK
            if not bool((violation * (violation / before) ** left <= goal).any()):
                break
            before = violation
        gradient = degradation.A_adjoint(error)
        following = torch.sub(ahead, gradient, alpha=length).clamp_(0, 1)
        change = following - x
        uphill = (gradient * change).sum(dims, keepdim=True) > 0
        later = torch.where(uphill, 1, (1 + (1 + 4 * time * time).sqrt()) / 2)
        ahead = torch.addcmul(following, torch.where(uphill, 0, (time - 1) / later), change)
        x, time = following, later
        if done(x):
            break
    return x


def outside(shadow: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """How far Hx is beyond the most that it is to be, or, negative, below the least."""
    return shadow - torch.minimum(torch.maximum(shadow, least), most)
