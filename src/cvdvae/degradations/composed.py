"""One degradation after the other."""

from collections.abc import Callable, Sequence
from functools import reduce

from torch import Tensor

from ..errors import InputError
from .base import Degradation, may_mix_colours
from .block_dct import BlockDCT
from .damped import Damped
from .mask import HIDES_ALL, Colours, Mask


class Composed(Damped):
    """``H = H_n … H_2 H_1``.

    Args:
        steps: H_1 … H_n, in the order in which they happened.

    Raises:
        InputError: Masks, one behind the other, hide everything between them.

    Example:
        >>> import torch
        >>> from cvdvae.degradations.bicubic import BicubicDownscaling
        >>> from cvdvae.degradations.blur import Blur, gaussian
        >>> H = Composed(Blur((16, 16), gaussian(1.0)), BicubicDownscaling((16, 16), (4, 4)))
        >>> H.A(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 3, 4, 4])
    """

    def __init__(self, *steps: Degradation) -> None:
        self.steps: tuple[Degradation, ...] = ()
        for step in steps:
            self.steps += step.steps if isinstance(step, Composed) else (step,)
        _check_some_seen(self.steps)
        self.mixes_colours = any(map(may_mix_colours, steps))
        self.exact = all(getattr(step, "exact", False) for step in steps) and not _tears(self.steps)
        self.pixelwise = all(getattr(step, "pixelwise", False) for step in steps)
        self.colours_alike = all(getattr(step, "colours_alike", False) for step in steps)

    def each(self, change: Callable[[Degradation], Degradation]) -> "Composed":
        """The same of steps that are changed; itself where `change` gives back every one."""
        steps = tuple(map(change, self.steps))
        same = all(new is old for new, old in zip(steps, self.steps, strict=True))
        return self if same else Composed(*steps)

    def A(self, x: Tensor) -> Tensor:
        """``H x``."""
        return reduce(lambda v, step: step.A(v), self.steps, x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y = H_1ᵀ … H_nᵀ y``."""
        return reduce(lambda v, step: step.A_adjoint(v), reversed(self.steps), y)

    def precondition(self, r: Tensor, damping: float) -> Tensor:
        """That of the last step, whose values differ most in scale."""
        near = getattr(self.steps[-1], "precondition", None)
        nearer: Tensor = r if near is None else near(r, damping)
        return nearer


def _check_some_seen(steps: Sequence[Degradation]) -> None:
    """Refuse masks that leave nothing together, though each of them does."""
    known: Tensor | None = None
    for step in steps:
        if isinstance(step, Colours) and known is not None:
            alike = known.ndim == 2 or len(known) == 1
            known = known.expand(len(step.weights), -1, -1) if alike else known
            known = step.A(known[None].double())[0, 0] > 0
        elif not isinstance(step, Mask):
            known = None
        elif known is None or known.shape[-2:] != step.known.shape[-2:]:  # which A refuses
            known = step.known
        else:
            known = known & step.known.to(known.device)
            if not bool(known.any()):
                raise InputError(HIDES_ALL)


def _tears(steps: Sequence[Degradation]) -> bool:
    """Whether pixels are averaged after some of them were lost: what sees little more than a hole
    hardly weighs anything, so that ``H Hᵀ`` is near to singular."""
    torn = False
    for step in steps:
        if torn and not getattr(step, "pixelwise", False):
            return True
        torn = torn or getattr(step, "loses_pixels", False)
    return False


def steps_of(degradation: Degradation) -> tuple[Degradation, ...]:
    """The steps of a `Composed`, or the degradation itself."""
    return degradation.steps if isinstance(degradation, Composed) else (degradation,)


def jpeg_at_end(degradation: Degradation) -> BlockDCT | None:
    """The JPEG that comes last, where one does: y then are coefficients, and no picture."""
    last = steps_of(degradation)[-1]
    return last if isinstance(last, BlockDCT) else None


def as_jpeg(degradation: Degradation, x: Tensor) -> Tensor | None:
    """The whole coefficients that a file holds of x, ``(N, 3, H, W)`` in [0, 1]; None where no JPEG
    comes last."""
    jpeg = jpeg_at_end(degradation)
    if jpeg is None:
        return None
    return jpeg.rounded(reduce(lambda v, step: step.A(v), steps_of(degradation)[:-1], x))
