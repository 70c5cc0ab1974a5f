"""What is done where no image in range fulfils Hx = y.

`violate_least` finds images that violate it least, by gradient steps on ``½‖Hx − y‖²``, clipped to
[0, 1], with momentum (FISTA: Beck & Teboulle 2009), which is dropped where it points uphill
(O'Donoghue & Candès 2015). They end near to where they start: what H does not see, they do not
move.

Some results may be far off even so. To violate such a y as little as can be, pixels around them are
driven to black and white in turns, a pattern of dots that nothing in y speaks for. So those results
are `given_up`: their ε becomes soft, so that missing them costs about what moving pixels costs, and
the nearest image is asked for anew.

Explained in docs/explanation/projection.md.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Products
from .spectrum import largest_eigenvalue

STEPS, LOOK = 100, 10
ENOUGH = 1e-3
FAR, NEAR = 16 / 255, 4
"""What is so far off in the least violation is given up, and what is not met so near to it."""
SMALL = 24
"""In a y of no more results a side all that is not met is near."""
SOFT = 0.2
"""ε of what is given up, relative to the mean eigenvalue of ``H Hᵀ``."""
SOFT_STEPS = 8
"""Most steps of Newton's method then: a soft ε takes five or so."""


def violate_least(
    degradation: Products,
    start: Tensor,
    y: Tensor,
    dims: tuple[int, ...],
    steps: int = STEPS,
    enough: float = ENOUGH,
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
        done: Whether such images are good enough; asked after every step.
    """
    length = 1 / largest_eigenvalue(degradation, start)
    x = ahead = start
    time = torch.ones_like(start.sum(dims, keepdim=True))
    before = torch.full_like(time, torch.inf)
    for step in range(steps):
        error = degradation.A(ahead) - y
        if step % LOOK == 0:
            violation = error.square().sum([d for d in dims if d < y.ndim], keepdim=True)
            if not bool((violation < (1 - enough) * before).any()):
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


def given_up(off: Tensor, open_: Tensor) -> Tensor:
    """Results that no image in range gives, and those not met beside them, in whichever colour.

    Args:
        off: ``|Hx − y|`` of images that violate it least, ``(N, c, h, w)``.
        open_: Which results Newton's method does not meet, bool.

    Returns:
        Bool, ``(N, c, h, w)``.
    """
    far, side = off >= FAR, max(off.shape[-2:])
    near = widened(far.any(1, keepdim=True).to(off), side if side <= SMALL else NEAR) > 0
    return far | (near & open_)


def widened(values: Tensor, around: int) -> Tensor:
    """The largest of the values around each, ``(…, h, w)``."""
    for dim in (-2, -1):
        for _ in range(around):
            first, last = values.narrow(dim, 0, 1), values.narrow(dim, values.shape[dim] - 1, 1)
            before = torch.cat((first, values.narrow(dim, 0, values.shape[dim] - 1)), dim)
            after = torch.cat((values.narrow(dim, 1, values.shape[dim] - 1), last), dim)
            values = torch.maximum(torch.maximum(values, before), after)
    return values
