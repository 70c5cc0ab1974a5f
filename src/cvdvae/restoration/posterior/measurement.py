"""The two exact pieces of posterior sampling under y = Hx + σn, with p(x|z) ≈ N(μ(z), s²I).

The conditional draw (Matheron's rule; Journel & Huijbregts 1978, Doucet 2010)::

    u = μ(z) + s ζ
    x = u + Hᵀ (H Hᵀ + σ²/s² I)⁻¹ (y + σ n' − H u)        ζ, n' ~ N(0, I)

is a draw from p(x|z, y). ζ = n' = 0 gives its mean, and with σ = 0 the projection onto {Hx = y}.

The likelihood of the latents, with x integrated out::

    log p(y|z) = log N(y; H μ(z), s² H Hᵀ + σ² I) = −½ rᵀ W r + constant
    r = y − H μ(z),    W = (H Hᵀ + σ²/s² I)⁻¹ / s²,    ∂/∂μ = Hᵀ W r

The determinant does not depend on z. Where y has noise and was cut to [0, 1], an H μ(z) beyond an
end at which y lies is no misfit: there r is 0. `cvdvae.restoration.posterior.chains` samples z from
p(z|y).

Explained in docs/posterior.md.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...degradations.base import Products, cut_as
from ...degradations.damped import solve
from ...degradations.foreign import in_precision
from ...errors import InputError
from ...gaussian.noise import Noise


class Fit(NamedTuple):
    """How well some μ explain y.

    Attributes:
        log_likelihood: ``−½ rᵀ W r`` in nats, float64 ``(n,)``.
        gradient: ``Hᵀ W r``, its gradient in μ, ``(n, C, H, W)``.
    """

    log_likelihood: Tensor
    gradient: Tensor


class Measurement:
    """What is known of an image x: y = Hx + σn, and how far x may be from μ(z).

    Args:
        y: What was measured, ``(1, c, h, w)``.
        degradation: H.
        pixel_std: s, in units of an image in [0, 1], positive.
        sigma: σ, in the units of y, not negative; 0 says that y is exact.
        copies: How often every value stands in y, with the same noise: the likelihood counts it
            once.

    Raises:
        InputError: s is not positive, σ is negative, or one of them is not finite.
    """

    def __init__(
        self, y: Tensor, degradation: Products, pixel_std: float, sigma: float, copies: int = 1
    ) -> None:
        if not 0 < pixel_std < math.inf:
            raise InputError(f"the width s of p(x|z) must be positive, not {pixel_std}")
        if not 0 <= sigma < math.inf:
            raise InputError(f"the noise σ must be a number from 0 upwards, not {sigma}")
        self.y, self.degradation = y, in_precision(degradation, y.dtype)
        self.pixel_std, self.sigma, self.copies = pixel_std, sigma, copies
        self.damping = (sigma / pixel_std) ** 2

    def widened(self, factor: float) -> "Measurement":
        """The same with s `factor` times as large."""
        wider = factor * self.pixel_std
        return Measurement(self.y, self.degradation, wider, self.sigma, self.copies)

    def _cut(self, shadow: Tensor) -> Tensor:
        """Hx, cut as y was where it has noise; without noise x has to meet y as it is."""
        return cut_as(self.y, shadow, self.sigma) if self.sigma else shadow

    def tells(self, mean: Tensor) -> Tensor:
        """Which values of y say anything of μ, bool: beyond the end at which one was cut, none."""
        shadow = self.degradation.A(mean)
        return self._cut(shadow) == shadow

    def fit(self, mean: Tensor) -> Fit:
        """How well μ, ``(n, C, H, W)``, explains y; without a graph."""
        mean = mean.detach().contiguous()  # operators of others may ask for views
        shadow = self.degradation.A(mean)
        seen = self._cut(shadow)
        residual = self.y - seen
        weighted = solve(self.degradation, residual, self.damping)
        weighted = weighted / (self.copies * self.pixel_std**2)
        square = (residual.double() * weighted.double()).flatten(1).sum(1)
        told = torch.where(seen == shadow, weighted, 0)  # what is cut changes nothing
        gradient = self.degradation.A_adjoint(told.to(mean))
        return Fit(-0.5 * square, gradient)

    def draw(self, mean: Tensor, noise: Noise | None = None) -> Tensor:
        """Draw x ~ p(x|z, y), as `conditional_draw`."""
        u = mean if noise is None else mean + self.pixel_std * noise.normal(mean)
        shadow = self.degradation.A(u)
        seen = self._cut(shadow)
        missing = self.y - seen
        if noise is not None and self.sigma:  # what was cut says nothing, and has no noise either
            missing = missing + torch.where(
                seen == shadow, self.sigma * noise.normal(shadow), torch.zeros_like(shadow)
            )
        correction = solve(self.degradation, missing, self.damping)
        return u + self.degradation.A_adjoint(correction.to(u))


def conditional_draw(
    mean: Tensor,
    y: Tensor,
    degradation: Products,
    pixel_std: float,
    sigma: float,
    noise: Noise | None = None,
) -> Tensor:
    """Draw x ~ p(x|z, y) for p(x|z) = N(μ, s²I) and y = Hx + σn, by Matheron's rule.

    Args:
        mean: μ(z), ``(n, C, H, W)``.
        y: What was measured, ``(1, c, h, w)`` or one for every row.
        degradation: H.
        pixel_std: s, positive.
        sigma: σ, not negative; with 0 every draw has Hx = y.
        noise: Source of ζ and n'; without it the mean of p(x|z, y).

    Returns:
        Draws, ``(n, C, H, W)``. They may leave [0, 1], as the Gaussian does.

    Raises:
        InputError: As `Measurement`.
    """
    return Measurement(y, degradation, pixel_std, sigma).draw(mean, noise)
