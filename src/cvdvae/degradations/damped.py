"""The damped inverse ``(H Hᵀ + λ I)⁻¹`` that estimates and conditional draws need, for any H.

An operator that knows it in closed form offers it as its own method `solve`, ``(y, λ)`` to the
solution, or to None where it does not know after all; and where ``Hᵀ (H Hᵀ + λ I)⁻¹`` is one
product, that as `damped_inverse`. For all others there are conjugate gradients, led by the
operator's own `precondition`, ``(r, λ)`` to something near to ``(H Hᵀ + λ I)⁻¹ r`` by a symmetric
and positive definite matrix, where it has that.
"""

import torch
from torch import Tensor

from .base import LinearOperator, Products, check_float
from .conjugate_gradients import conjugate_gradients
from .foreign import in_precision

STEPS, TOLERANCE = 200, 1e-5
"""Most steps of the conjugate gradients, and the relative residual at which they end."""
DAGGER = 1e-6
"""Damping of a pseudo-inverse: what H passes with less than 0.1 % is lost."""


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

    return conjugate_gradients(matrix, y, steps, tolerance, precondition)


def inverse(
    degradation: Products,
    y: Tensor,
    damping: float,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """``Hᵀ (H Hᵀ + λ I)⁻¹ y``, as images; the arguments are those of `solve`.

    An operator whose both products are one offers that as its own method `damped_inverse`.
    """
    degradation = in_precision(degradation, y.dtype)
    own = getattr(degradation, "damped_inverse", None)
    known: Tensor | None = own(y, damping) if callable(own) else None
    if known is not None:
        return known
    return degradation.A_adjoint(solve(degradation, y, damping, steps, tolerance))


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
    return middle + inverse(degradation, missing, damping, steps, tolerance)


class Damped(LinearOperator):
    """An operator that loses what no y tells: its pseudo-inverse is damped."""

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y`` as far as H leaves anything: ``Hᵀ (H Hᵀ + DAGGER I)⁻¹ y``."""
        check_float(y)
        return inverse(self, y, DAGGER)
