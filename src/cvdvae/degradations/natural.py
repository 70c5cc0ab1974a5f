"""What an image may be before a network has looked at it: an estimate from how images vary.

Their power falls with the frequency f, in cycles per pixel, and their colours vary together::

    x ~ N(m, C),    C = colours ⊗ F⁻¹ S F,    S(f) ∝ (|f|² + f₀²)^(-p)

with m the mean of every colour, of which nothing is believed. H and C share no basis, so the mean
of x given y = Hx + σn would take many products with both. Half-quadratic splitting (Geman & Yang
1995) takes turns between what is cheap with each of them, a few times, while s falls::

    v = x + t/(t + 3) (x - x')                              on along the last step, from x' to x
    z = m + C (C + s² I)⁻¹ (v - m)                          Wiener's filter against noise of s
    x = z + Hᵀ (H Hᵀ + σ²/s² I)⁻¹ (y - H z)                  what explains y, near to z

The t-th turn goes on as Nesterov (1983) does: where pixels are missing, what is known reaches far
in few turns. It begins with Tikhonov's estimate of what was seen, and where nothing was seen with
the mean of what is around, from the finest scale that holds anything (the pull-push of Gortler et
al. 1996).

Explained in docs/restore.md.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Degradation
from .damped import inverse
from .foreign import in_precision
from .spectrum import mean_eigenvalue

EXPONENT, EXACT, LOWEST = 1.25, 1.5, 0.01
"""p, that of a y without noise, and f₀. Of a few p from 1 to 2 that was the nearest behind a JPEG,
and this where pixels are missing; with noise 1.5 is nearer, too, but what an encoder was not
trained with makes its samples of blurred photographs worse."""
SPREAD, ALIKE = 0.22, 0.93
"""Standard deviation of a pixel, and the correlation of two colours."""
FIRST, LAST, TURNS = 0.15, 0.005, 12
"""s at the beginning and at the end, and how often they take turns."""
LEAST_DAMPING = 1e-4
"""λ at least, relative to the mean eigenvalue of ``H Hᵀ``."""
MARGIN = 16
"""Pixels by which an image is mirrored on every side: a Fourier transform joins opposite sides."""
STEPS, TOLERANCE = 30, 1e-3
"""Where the damped inverse is iterated: a few digits are enough."""


def natural_estimate(degradation: Degradation, y: Tensor, sigma: float) -> Tensor:
    """An estimate of x from y = Hx + σn, as this module says.

    Args:
        degradation: H.
        y: What is seen of some images, ``(N, …)``, float.
        sigma: Standard deviation of the noise in every value of y, not negative.

    Returns:
        ``(N, C, H, W)``, of y's dtype, not kept in [0, 1].

    Raises:
        InputError: H takes every image to zero.
    """
    degradation = in_precision(degradation, y.dtype)
    least = LEAST_DAMPING * mean_eigenvalue(degradation, y[:1])

    def found_of(missing: Tensor, s: float) -> Tensor:
        damping = (sigma / s) ** 2 + least
        return inverse(degradation, missing, damping, STEPS, TOLERANCE)

    def explain(z: Tensor, s: float) -> Tensor:
        return z + found_of(y - degradation.A(z), s)

    middle = torch.full_like(degradation.A_adjoint(y), 0.5)
    share = found_of(degradation.A(torch.ones_like(middle[:1])), SPREAD).clamp(min=0)
    x = middle + pull_push(explain(middle, SPREAD) - middle, share)
    wiener = Wiener(x, EXPONENT if sigma else EXACT)
    before = x
    for turn in range(TURNS):
        s = FIRST * (LAST / FIRST) ** (turn / (TURNS - 1))
        ahead = x + turn / (turn + 3) * (x - before)
        before, x = x, explain(wiener(ahead, s), s)
    return x


class Wiener:
    """``m + C (C + s² I)⁻¹ (x - m)`` with the mean m of every colour.

    Args:
        like: Images ``(N, C, H, W)`` of the shape, dtype and device of those that it takes.
        exponent: p.
    """

    def __init__(self, like: Tensor, exponent: float = EXPONENT) -> None:
        channels, (height, width) = like.shape[1], like.shape[2:]
        below, right = min(MARGIN, height - 1), min(MARGIN, width - 1)
        self.margins = (right, right, below, below)
        self.size = (height + 2 * below, width + 2 * right)
        self.inside = slice(below, below + height), slice(right, right + width)
        self.power = power_of(self.size, exponent).to(like)
        alike = torch.full((channels, channels), ALIKE, dtype=torch.float32, device="cpu").double()
        alone = torch.eye(channels, dtype=torch.float32, device="cpu")
        variances, axes = torch.linalg.eigh(alike + (1 - ALIKE) * alone)
        self.variances, self.axes = variances.tolist(), axes.to(like)

    def __call__(self, x: Tensor, s: float) -> Tensor:
        """Filter images in which noise has the standard deviation s."""
        mean = x.mean((2, 3), keepdim=True)
        apart = torch.einsum("cd,ncij->ndij", self.axes, x - mean)
        for axis, variance in enumerate(self.variances):
            power = variance * self.power
            mirrored = F.pad(apart[:, axis : axis + 1], self.margins, mode="reflect")
            waves = torch.fft.rfft2(mirrored) * (power / (power + s**2))
            filtered = torch.fft.irfft2(waves, s=self.size)
            apart[:, axis] = filtered[:, 0, *self.inside]
        return mean + torch.einsum("cd,ndij->ncij", self.axes, apart)


def pull_push(seen: Tensor, share: Tensor) -> Tensor:
    """Fill in what was seen in part: at every scale with what the next coarser one holds.

    Args:
        seen: Values times the share of them that was seen, ``(N, C, H, W)``.
        share: That share, not negative, ``(1, C, H, W)``.

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


def power_of(size: tuple[int, int], exponent: float = EXPONENT) -> Tensor:
    """``S(f)`` at the frequencies of `torch.fft.rfft2`, the square of `SPREAD` on average."""
    rows, columns = (
        torch.fft.fftfreq(size[0], dtype=torch.float32, device="cpu").double(),
        torch.fft.rfftfreq(size[1], dtype=torch.float32, device="cpu").double(),
    )
    power: Tensor = (rows[:, None] ** 2 + columns**2 + LOWEST**2) ** -exponent
    times = torch.full_like(columns, 2)  # of a real image's waves half are told
    times[0] = 1
    if size[1] % 2 == 0:
        times[-1] = 1
    return SPREAD**2 * size[0] * size[1] / float((power * times).sum()) * power
