"""Where only a region varies: set into what stays without a seam, and without changing Hx.

What the network gives, x, and what stays, p, differ at the border of the region. With both in
{Hx = y}, their difference d lies in the null space of H, and ``p + w d`` with weights w that rise
from the border inwards joins them. Since w varies, ``H(w d)`` is not quite 0: what is missing is
added where, and as strongly as, w allows::

    x = p + w d + w Hᵀλ        (H w Hᵀ) λ = −H(w d)

which is the smallest such correction, measured in ``‖·/√w‖``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.base import Degradation

BAND = 7
"""Pixels in which the weights rise; fewer in a region that is thinner."""
STEPS = 40
"""Of conjugate gradients at most: what they leave is met by the projection that follows."""
LEFT = 1e-3
"""Share of the residual at which they end."""


def taper(region: Tensor) -> Tensor:
    """Weights that are 0 where a region does not vary, and rise to 1 inside of it.

    Only the border to what stays counts, not that of the image.

    Args:
        region: The region, bool, ``(H, W)``.

    Returns:
        The weights, float, ``(H, W)``.

    Example:
        >>> taper(torch.tensor([[False, True, True, True]]))
        tensor([[0.0000, 0.3333, 0.6667, 1.0000]])
    """
    weights = torch.zeros(region.shape, dtype=torch.float32, device=region.device)
    if not bool(region.any()):
        return weights
    near = tuple(_span(region.any(side)) for side in (1, 0))
    inside = region[near][None].float()
    layers: list[Tensor] = []
    while bool(inside.any()) and len(layers) < BAND:
        layers.append(inside)
        inside = -F.max_pool2d(-inside, 3, 1, 1)
    weights[near] = torch.stack(layers).mean(0)[0]
    return weights


def _span(line: Tensor) -> slice:
    """The part of a line with all that is true in it, and one more on either side."""
    places = line.nonzero()
    return slice(max(0, int(places[0]) - 1), int(places[-1]) + 2)


def set_in(x: Tensor, stays: Tensor, weights: Tensor, degradation: Degradation | None) -> Tensor:
    """Join samples and what stays around their region.

    Args:
        x: What the network gives, ``(n, C, H, W)``.
        stays: The image around, ``(1, C, H, W)``.
        weights: `taper` of the region, ``(1, 1, H, W)``.
        degradation: H; None where Hx may change.

    Returns:
        Images with Hx near to ``H stays``, ``(n, C, H, W)``, not cut to [0, 1].
    """
    difference = x - stays
    if degradation is None:
        return stays + weights * difference
    difference = difference - degradation.A_dagger(degradation.A(difference))
    moved = weights * difference
    return stays + moved - weights * _correction(degradation.A(moved), weights, degradation)


def _correction(off: Tensor, weights: Tensor, degradation: Degradation) -> Tensor:
    """Hᵀλ with ``H w Hᵀ λ = off``, by conjugate gradients for each image."""
    solution = torch.zeros_like(off)
    residual, direction = off, off
    power = _dot(residual, residual)
    enough = LEFT**2 * power
    for _ in range(STEPS):
        if bool((power <= enough).all()):
            break
        image = degradation.A(weights * degradation.A_adjoint(direction))
        length = power / _dot(direction, image).clamp(min=torch.finfo(off.dtype).tiny)
        solution = solution + length * direction
        residual = residual - length * image
        before, power = power, _dot(residual, residual)
        direction = residual + power / before.clamp(min=torch.finfo(off.dtype).tiny) * direction
    return degradation.A_adjoint(solution)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)
