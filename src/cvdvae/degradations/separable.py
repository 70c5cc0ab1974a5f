"""The damped inverse of a separable H by the eigenvectors of its two sides.

For ``H x = R x Cᵀ`` with ``R Rᵀ = U diag(s) Uᵀ`` and ``C Cᵀ = V diag(t) Vᵀ``::

    (H Hᵀ + λ I)⁻¹ y = U ( Uᵀ y V / (s tᵀ + λ) ) Vᵀ
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

LONGEST = 512
"""Sides of y up to which this is done: a larger one takes seconds once, and iterating is quick."""

ROUND_OFF = 64
"""Of an eigenvalue, as a share of the largest, in steps of the dtype of y."""


class Spectrum(NamedTuple):
    """Eigenvalues and eigenvectors of ``R Rᵀ`` and ``C Cᵀ``, float64.

    Attributes:
        values: s and t.
        vectors: U and V, in columns.
    """

    values: tuple[Tensor, Tensor]
    vectors: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor) -> Self:
        """That of R, ``(h, H)``, and C, ``(w, W)``."""
        (s, u), (t, v) = (torch.linalg.eigh(side @ side.T) for side in (rows, columns))
        return cls((s.clamp(min=0), t.clamp(min=0)), (u, v))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """``(H Hᵀ + λ I)⁻¹ y``, ``(…, h, w)``; with λ = 0 the pseudo-inverse."""
        u, v = (side.to(y) for side in self.vectors)
        round_off = ROUND_OFF * torch.finfo(y.dtype).eps
        values = divisors(torch.outer(*self.values), damping, round_off)
        return u @ (u.T @ y @ v / values.to(y)) @ v.T


def divisors(eigenvalues: Tensor, damping: float, round_off: float) -> Tensor:
    """``s + λ`` of eigenvalues s of ``H Hᵀ``; with λ = 0 infinite where s is 0 but for `round_off`,
    a share of the largest, so that what H leaves nothing of stays out."""
    if damping > 0:
        return eigenvalues + damping
    return torch.where(eigenvalues > round_off * eigenvalues.max(), eigenvalues, torch.inf)
