"""Geometric self-ensemble: samples of one image that see it in several orientations.

::

    x_i = T_i⁻¹ d(T_i y, T_i ε_i)          d: what a network draws;  T_i: mirrors and turns

Where images are as likely mirrored and turned as they are, ``p(T x | T y) = p(x | y)``, and each
x_i is a draw like any other. A network keeps to that only nearly, and errs in other ways in every
orientation: the mean over some of them is nearer to the truth (Timofte, Rothe & Van Gool 2016).

Explained in docs/explanation/sampling.md.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gaussian.noise import Noise, Window


class Orientation(NamedTuple):
    """T: mirror an image, then turn it.

    Attributes:
        mirrored: Whether left and right change places.
        quarters: How many quarters of a turn follow.

    Example:
        >>> one, image = Orientation(True, 1), torch.arange(6.0).view(1, 1, 2, 3)
        >>> tuple(one.of(image).shape), torch.equal(one.undone(one.of(image)), image)
        ((1, 1, 3, 2), True)
    """

    mirrored: bool = False
    quarters: int = 0

    def of(self, x: Tensor) -> Tensor:
        """``T x``, of images ``(…, H, W)``."""
        return torch.rot90(x.flip(-1) if self.mirrored else x, self.quarters, (-2, -1))

    def undone(self, x: Tensor) -> Tensor:
        """``T⁻¹ x``."""
        x = torch.rot90(x, -self.quarters, (-2, -1))
        return x.flip(-1) if self.mirrored else x


MIRRORED = (Orientation(), Orientation(True))
"""What a model of one subject, upright, knows: faces look to the left as often as to the right."""
EVERY = tuple(Orientation(mirrored, q) for q in (0, 2, 1, 3) for mirrored in (False, True))
"""What a model knows that was trained on crops in any orientation."""


def known_orientations(any_size: bool) -> tuple[Orientation, ...]:
    """Those that a model knows, by whether it takes images of any size."""
    return EVERY if any_size else MIRRORED


class OrientedNoise:
    """``T ε``: noise that stays with its places in the image.

    Args:
        noise: ε.
        orientation: T.
    """

    def __init__(self, noise: Noise, orientation: Orientation) -> None:
        self.noise, self.orientation = noise, orientation

    def normal(self, like: Tensor) -> Tensor:
        """``T ε``, in the shape of `like`, which is that of ``T x``."""
        return self.orientation.of(self.noise.normal(self._upright(like)))

    def uniform(self, like: Tensor) -> Tensor:
        """As `normal`, of U(0, 1)."""
        return self.orientation.of(self.noise.uniform(self._upright(like)))

    def _upright(self, like: Tensor) -> Tensor:
        return like.mT if self.orientation.quarters % 2 else like


def in_orientations(
    indices: Sequence[int],
    known: Sequence[Orientation],
    antithetic: bool,
    draw: Callable[[Orientation, Sequence[int]], Tensor],
) -> Tensor:
    """Samples, those of the same orientation drawn together: i in orientation i, counted around.

    Args:
        indices: Which samples.
        known: The orientations; an opposite pair shares one.
        antithetic: Whether the samples are drawn in opposite pairs.
        draw: Draws some of them in an orientation, and turns them back, ``(n, C, H, W)``.

    Example:
        >>> def draw(one, indices):
        ...     return torch.full((len(indices), 1, 1, 1), float(one.mirrored))
        >>> in_orientations(range(4), MIRRORED, True, draw).flatten().tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    places: dict[Orientation, list[int]] = {}
    for place, index in enumerate(indices):
        number = index // 2 if antithetic else index
        places.setdefault(known[number % len(known)], []).append(place)
    drawn = [draw(one, [indices[i] for i in some]) for one, some in places.items()]
    order = [place for some in places.values() for place in some]
    return torch.cat(drawn)[[order.index(place) for place in range(len(order))]]


def extended(y: Tensor, step: int) -> Tensor:
    """y with its last row and column repeated, to sides that are multiples of a step: the network
    then adds nothing of its own at an edge, which would be another one in every orientation."""
    below, right = (-side % step for side in y.shape[2:])
    return F.pad(y, (0, right, 0, below), mode="replicate") if below or right else y


def extended_window(window: Window, step: int) -> Window:
    """A window with sides that are multiples of a step.

    Example:
        >>> extended_window(Window(0, 0, 30, 32), 16)
        Window(top=0, left=0, height=32, width=32)
    """
    height, width = (side + -side % step for side in window[2:])
    return window._replace(height=height, width=width)
