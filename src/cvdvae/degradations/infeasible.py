"""The images in range that violate Hx = y least, where none fulfils it.

Gradient steps on ``½‖Hx − y‖²``, clipped to [0, 1], with momentum (FISTA: Beck & Teboulle 2009),
which is dropped where it points uphill (O'Donoghue & Candès 2015). They end near to where they
start: what H does not see, they do not move.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .base import Products
from .spectrum import largest_eigenvalue

STEPS, LOOK = 100, 10
ENOUGH = 1e-3


def violate_least(
    degradation: Products,
    start: Tensor,
    y: Tensor,
    dims: tuple[int, ...],
    steps: int = STEPS,
    enough: float = ENOUGH,
    goal: float = math.inf,
    done: Callable[[Tensor], bool] = lambda x: False,
) -> Tensor:
    """Images in range that are nearly as consistent as any, and near to `start`.

    Args:
        degradation: H.
        start: Images in range, ``(N, C, H, W)``.
        y: ``(N, c, h, w)``, or whatever else H gives.
        dims: What belongs to one problem: height and width, and colours where H mixes them.
        steps: Most steps.
        enough: Ends where `LOOK` steps lower no violation by more than this share.
        goal: ``‖Hx − y‖²`` that is wanted: ends where all steps that are left would not come down
            to it, were they as good as the last `LOOK`.
        done: Whether such images are good enough; asked after every step.
    """
    largest = largest_eigenvalue(degradation, start)
    if largest == 0:  # no pixel has a part in y
        return start
    length = 1 / largest
    x = ahead = start
    time = torch.ones_like(start.sum(dims, keepdim=True))
    before = torch.full_like(time, torch.inf)
    for step in range(steps):
        error = degradation.A(ahead) - y
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
