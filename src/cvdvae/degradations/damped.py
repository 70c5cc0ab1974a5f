"""The damped inverse ``(H Hᵀ + λ I)⁻¹`` that estimates and conditional draws need, for any H.

An operator that knows better offers it as its own method `solve`; for all others there are
conjugate gradients, preconditioned by the diagonal of H Hᵀ where the operator tells it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Degradation, Products

STEPS, TOLERANCE = 200, 1e-5
"""Most steps of the conjugate gradients, and the relative residual at which they end."""


def solve(
    degradation: Products,
    y: Tensor,
    damping: float,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """``(H Hᵀ + λ I)⁻¹ y``, of the shape and dtype of y.

    Args:
        degradation: H.
        y: What H gives, ``(N, …)``.
        damping: λ, not negative.
        steps: Most steps, where it is iterated.
        tolerance: Residual relative to y at which an image is done, where it is iterated.
    """
    own = getattr(degradation, "solve", None)
    if callable(own):
        solution: Tensor = own(y, damping)
        return solution
    diagonal = getattr(degradation, "gram_diagonal", None)
    scale = 1.0 if diagonal is None else 1 / (diagonal(y) + damping)

    def matrix(v: Tensor) -> Tensor:
        return degradation.A(degradation.A_adjoint(v)) + damping * v

    return conjugate_gradients(matrix, y, scale, steps, tolerance)


def estimate(degradation: Degradation, y: Tensor, damping: float) -> Tensor:
    """The x nearest to ½ that explains y, Tikhonov's: ``½ + Hᵀ (H Hᵀ + λ I)⁻¹ (y − H ½)``.

    With σ² / τ² for λ that is the mean of x given y = Hx + σn where x ~ N(½, τ² I).

    Args:
        degradation: H.
        y: What is seen, ``(N, …)``.
        damping: λ, positive.

    Returns:
        ``(N, C, H, W)``, not kept in [0, 1].
    """
    middle = torch.full_like(degradation.A_adjoint(y), 0.5)
    missing = y - degradation.A(middle)
    return middle + degradation.A_adjoint(solve(degradation, missing, damping))


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    b: Tensor,
    scale: Tensor | float = 1.0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Solve ``matrix(v) = b`` for every row of b at once, from v = 0.

    Args:
        matrix: Symmetric and positive definite on each row.
        b: ``(N, …)``.
        scale: A diagonal preconditioner, near to the inverse of the matrix.
        steps: Most steps.
        tolerance: Residual relative to b at which a row is done.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).flatten(1).sum(1).view(-1, *(1,) * (b.ndim - 1))

    v, residual = torch.zeros_like(b), b
    goal = dot(b, b) * tolerance**2
    step = direction = residual * scale
    slope = dot(residual, step)
    for _ in range(steps):
        active = dot(residual, residual) > goal
        if not bool(active.any()):
            break
        image = matrix(direction)
        length = torch.where(active, slope / dot(direction, image).clamp(min=1e-30), 0)
        v = v + length * direction
        residual = residual - length * image
        step = residual * scale
        before, slope = slope, dot(residual, step)
        direction = step + slope / before.clamp(min=1e-30) * direction
    return v
