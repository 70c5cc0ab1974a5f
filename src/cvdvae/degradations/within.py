"""A degradation of the pixels of a region, where the others stay."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Degradation


@dataclass(frozen=True)
class Within:
    """H M, for the mask M of a region: what the pixels in the region add to the shadow."""

    degradation: Degradation
    region: Tensor

    @property
    def pixelwise(self) -> bool:
        """As H."""
        return bool(getattr(self.degradation, "pixelwise", False))

    def A(self, x: Tensor) -> Tensor:
        """``H M x``."""
        return self.degradation.A(torch.where(self.region, x, 0))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``M Hᵀ y``."""
        return torch.where(self.region, self.degradation.A_adjoint(y), 0)

    def diagonal(self, weights: Tensor) -> Tensor | None:
        """The diagonal of ``H M diag(w) Hᵀ``; None where H does not tell."""
        told = getattr(self.degradation, "diagonal", None)
        found: Tensor | None = told(torch.where(self.region, weights, 0)) if told else None
        return found
