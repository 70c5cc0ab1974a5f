"""Conjugate gradients for many problems at once (Hestenes & Stiefel 1952)."""

from collections.abc import Callable

import torch
from torch import Tensor

TINY = {torch.float32: 1e-30, torch.float64: 1e-300}
"""What divisors have at least: those of problems that are done, which stay as they are."""


def per_image(u: Tensor, v: Tensor) -> Tensor:
    """``⟨u, v⟩`` of every row, ``(N, 1, …)``."""
    return (u * v).flatten(1).sum(1).view(-1, *(1,) * (u.ndim - 1))


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    b: Tensor,
    steps: int,
    tolerance: float,
    precondition: Callable[[Tensor], Tensor] = lambda residual: residual,
    dot: Callable[[Tensor, Tensor], Tensor] = per_image,
) -> Tensor:
    """Solve ``matrix(v) = b`` for every problem in b, from v = 0.

    Args:
        matrix: Symmetric and positive definite in each problem.
        b: ``(N, …)``, float32 or float64.
        steps: Most steps.
        tolerance: Residual relative to b at which a problem is done.
        precondition: Something near to the inverse of the matrix, symmetric and positive definite.
        dot: The inner product within each problem, kept broadcastable: a problem is a row of b by
            default.
    """
    tiny = TINY[b.dtype]
    v, residual = torch.zeros_like(b), b
    goal = dot(b, b) * tolerance**2
    direction = shaped = precondition(residual)
    slope = dot(residual, shaped)
    for _ in range(steps):
        active = dot(residual, residual) > goal
        if not bool(active.any()):
            break
        image = matrix(direction)
        length = torch.where(active, slope / dot(direction, image).clamp(min=tiny), 0)
        v = v + length * direction
        residual = residual - length * image
        shaped = precondition(residual)
        before, slope = slope, dot(residual, shaped)
        direction = shaped + slope / before.clamp(min=tiny) * direction
    return v
