"""What an image may be before a network has looked at it: an estimate from how images vary.

Their power falls with the frequency f, in cycles per pixel, and their colours vary together:

    x ~ N(m, C),    C = colours ⊗ F⁻¹ S F,    S(f) ∝ (|f|² + f₀²)^(-p)

The mean of x given y = Hx + σn has no closed form, since H and C share no basis. Half-quadratic
splitting (Geman & Yang 1995) takes turns between what each has in closed form, while s falls:

    z = m + C (C + s² I)⁻¹ (x - m)                          Wiener's filter against noise of s
    x = z + Hᵀ (H Hᵀ + σ²/s² I)⁻¹ (y - H z)                  what explains y, near to z

It begins with Tikhonov's estimate of what was seen, and where nothing was seen with the mean of
what is around, from the finest scale that holds anything (the pull-push of Gortler et al. 1996).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Products
from .damped import solve
from .foreign import in_precision
from .spectrum import mean_eigenvalue

EXPONENT, LOWEST = 1.25, 0.01
"""p and f₀. Of photographs p is nearer to 1.4; a smaller one serves edges."""
SPREAD, ALIKE = 0.22, 0.93
"""Standard deviation of a pixel, and the correlation of two colours."""
FIRST, LAST, TURNS = 0.15, 0.02, 8
"""s at the beginning and at the end, and how often they take turns."""
LEAST_DAMPING = 1e-4
"""λ at least, relative to the mean eigenvalue of ``H Hᵀ``."""
MARGIN = 32
"""Pixels by which an image is mirrored, so that its left is not near to its right."""
STEPS, TOLERANCE = 30, 1e-3
"""Where the damped inverse is iterated: a few digits are enough, and always the same steps."""


def natural_estimate(degradation: Products, y: Tensor, sigma: float) -> Tensor:
    """An estimate of x from y = Hx + σn, as this module says; affine in y where H is inverted so.

    Args:
        degradation: H.
        y: What is seen of some images, ``(N, …)``, float.
        sigma: Standard deviation of the noise in every value of y, not negative.

    Returns:
        ``(N, C, H, W)``, of y's dtype, not kept in [0, 1].
    """
    degradation = in_precision(degradation, y.dtype)
    least = LEAST_DAMPING * mean_eigenvalue(degradation, y[:1])

    def found_of(missing: Tensor, s: float) -> Tensor:
        damping = (sigma / s) ** 2 + least
        return degradation.A_adjoint(solve(degradation, missing, damping, STEPS, TOLERANCE))

    def explain(z: Tensor, s: float) -> Tensor:
        return z + found_of(y - degradation.A(z), s)

    middle = torch.full_like(degradation.A_adjoint(y), 0.5)
    share = found_of(degradation.A(torch.ones_like(middle[:1])), SPREAD).mean(1, keepdim=True)
    x = middle + pull_push(explain(middle, SPREAD) - middle, share.clamp(0, 1))
    for turn in range(TURNS):
        s = FIRST * (LAST / FIRST) ** (turn / (TURNS - 1))
        x = explain(wiener(x, s), s)
    return x


def wiener(x: Tensor, s: float) -> Tensor:
    """``m + C (C + s² I)⁻¹ (x - m)`` with the mean m of every colour.

    Args:
        x: Images ``(N, C, H, W)``.
        s: Standard deviation of the noise in them.
    """
    channels, (height, width) = x.shape[1], x.shape[2:]
    below, right = min(MARGIN, height - 1), min(MARGIN, width - 1)
    size = (height + below, width + right)
    power = _power(size).to(x)
    alike = torch.full((channels, channels), ALIKE) + (1 - ALIKE) * torch.eye(channels)
    variances, axes = torch.linalg.eigh(alike)
    mean = x.mean((2, 3), keepdim=True)
    apart = torch.einsum("cd,ncij->ndij", axes.to(x), x - mean)
    apart = F.pad(apart, (0, right, 0, below), mode="reflect")
    for axis, variance in enumerate(variances.tolist()):
        gain = variance * power / (variance * power + s**2)
        waves = torch.fft.rfft2(apart[:, axis]) * gain
        apart[:, axis] = torch.fft.irfft2(waves, s=size)
    return mean + torch.einsum("cd,ndij->ncij", axes.to(x), apart[..., :height, :width])


def pull_push(seen: Tensor, share: Tensor) -> Tensor:
    """Fill in what was seen in part: at every scale with what the next coarser one holds.

    Args:
        seen: Values times the share of them that was seen, ``(N, C, H, W)``.
        share: That share, in [0, 1], ``(1, 1, H, W)``.

    Returns:
        ``(N, C, H, W)``: `seen` where all was seen.
    """
    levels = [(seen, share)]
    while max(levels[-1][1].shape[2:]) > 1:
        seen, share = (_halved(part) for part in levels[-1])
        surer = (4 * share).clamp(max=1)  # of four pixels one is enough
        levels.append((seen * surer / share.clamp(min=1e-6), surer))
    seen, share = levels.pop()
    filled = seen / share.clamp(min=1e-6)
    for seen, share in reversed(levels):
        coarse = F.interpolate(filled, seen.shape[2:], mode="bilinear", align_corners=False)
        filled = seen + (1 - share) * coarse
    return filled


def _halved(x: Tensor) -> Tensor:
    """Means of 2×2 pixels; an odd last row or column is by itself."""
    height, width = x.shape[2:]
    odd = (0, width % 2, 0, height % 2)
    return F.avg_pool2d(F.pad(x, odd, mode="replicate"), 2)


def _power(size: tuple[int, int]) -> Tensor:
    """``S(f)`` at the frequencies of `torch.fft.rfft2`, with `SPREAD`² as its mean over all."""
    rows, columns, half = (
        torch.fft.fftfreq(size[0])[:, None].double(),
        torch.fft.fftfreq(size[1]).double(),
        torch.fft.rfftfreq(size[1]).double(),
    )

    def falling(across: Tensor) -> Tensor:
        power: Tensor = (rows**2 + across**2 + LOWEST**2) ** -EXPONENT
        return power

    return SPREAD**2 * falling(half) / falling(columns).mean()
