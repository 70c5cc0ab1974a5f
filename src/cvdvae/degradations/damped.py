"""The damped inverse ``(H Hᵀ + λ I)⁻¹`` that estimates and conditional draws need, for any H.

An operator that knows it in closed form offers it as its own method `solve`, ``(y, λ)`` to the
solution, or to None where it does not know after all. For all others there are conjugate gradients,
led by the operator's own `precondition`, ``(r, λ)`` to something near to ``(H Hᵀ + λ I)⁻¹ r`` by a
symmetric and positive definite matrix, where it has that.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Products
from .foreign import in_precision

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
    degradation = in_precision(degradation, y.dtype)
    own = getattr(degradation, "solve", None)
    solution: Tensor | None = own(y, damping) if callable(own) else None
    if solution is not None:
        return solution
    near = getattr(degradation, "precondition", None)

    def matrix(v: Tensor) -> Tensor:
        return degradation.A(degradation.A_adjoint(v)) + damping * v

    def precondition(r: Tensor) -> Tensor:
        return r if near is None else near(r, damping)

    return conjugate_gradients(matrix, y, precondition, steps, tolerance)


def estimate(
    degradation: Products,
    y: Tensor,
    damping: float,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """The x nearest to ½ that explains y, Tikhonov's: ``½ + Hᵀ (H Hᵀ + λ I)⁻¹ (y − H ½)``.

    With σ² / τ² for λ that is the mean of x given y = Hx + σn where x ~ N(½, τ² I).

    Args:
        degradation: H.
        y: What is seen, ``(N, …)``.
        damping: λ, positive.
        steps: As for `solve`.
        tolerance: As for `solve`.

    Returns:
        ``(N, C, H, W)``, not kept in [0, 1].
    """
    degradation = in_precision(degradation, y.dtype)
    middle = torch.full_like(degradation.A_adjoint(y), 0.5)
    missing = y - degradation.A(middle)
    return middle + degradation.A_adjoint(solve(degradation, missing, damping, steps, tolerance))


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    b: Tensor,
    precondition: Callable[[Tensor], Tensor],
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Solve ``matrix(v) = b`` for every row of b at once, from v = 0.

    Args:
        matrix: Symmetric and positive definite on each row.
        b: ``(N, …)``.
        precondition: Something near to the inverse of the matrix, symmetric and positive definite.
        steps: Most steps.
        tolerance: Residual relative to b at which a row is done.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).flatten(1).sum(1).view(-1, *(1,) * (b.ndim - 1))

    v, residual = torch.zeros_like(b), b
    goal = dot(b, b) * tolerance**2
    step = direction = precondition(residual)
    slope = dot(residual, step)
    for _ in range(steps):
        active = dot(residual, residual) > goal
        if not bool(active.any()):
            break
        image = matrix(direction)
        length = torch.where(active, slope / dot(direction, image).clamp(min=1e-30), 0)
        v = v + length * direction
        residual = residual - length * image
        step = precondition(residual)
        before, slope = slope, dot(residual, step)
        direction = step + slope / before.clamp(min=1e-30) * direction
    return v
