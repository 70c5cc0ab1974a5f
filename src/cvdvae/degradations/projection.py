"""The nearest image that is in range and consistent with y.

Wanted is the projection of x_0 onto ``{x : Hx = y} ∩ [0, 1]ⁿ``. The set may be empty (bicubic has
negative lobes, so a hard checkerboard is the shadow of no image in range); so the constraint gets a
stiff price instead::

    min_x  ½‖x − x_0‖² + 1/(2ε) ‖Hx − y‖²     with 0 ≤ x ≤ 1

For small ε that is the projection where there is one, and otherwise the nearest among the images in
range that violate Hx = y least. With one multiplier λ per low-resolution value, the solution is
``x(λ) = clip(x_0 + Hᵀλ)`` where::

    F(λ) = H x(λ) + ελ − y = 0

F is the gradient of the strongly convex ``φ(λ) = ½‖z‖² − ½‖z − clip z‖² − ⟨λ, y⟩ + ε/2 ‖λ‖²``,
``z = x_0 + Hᵀλ``, and is piecewise linear: a semismooth Newton method with a line search on φ
solves it in a few steps (Qi & Sun 1993), each by conjugate gradients on ``H D Hᵀ + εI``, D marking
the pixels that are not clipped. Without clipping the first step is the affine projection
``x_0 + H⁺(y − Hx_0)`` of CEM (Bahat & Michaeli 2020).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Degradation

STIFFNESS = 1e-6
"""ε relative to the mean eigenvalue of ``H Hᵀ``."""
TOLERANCE = 1e-6
"""Largest ``|F(λ)|`` that is accepted: 4000 times less than one 8-bit level."""


@dataclass(frozen=True)
class Within:
    """H M, for the mask M of a region: what the pixels in the region add to the shadow."""

    degradation: Degradation
    region: Tensor

    def A(self, x: Tensor) -> Tensor:
        """``H M x``."""
        return self.degradation.A(torch.where(self.region, x, 0))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``M Hᵀ y``."""
        return torch.where(self.region, self.degradation.A_adjoint(y), 0)


def project(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    max_steps: int = 60,
    region: Tensor | None = None,
) -> Tensor:
    """Project images onto ``{x : Hx = y} ∩ [0, 1]``, or as near to it as an image in range can be.

    Args:
        x: Images to project, ``(N, C, H, W)``, any real values.
        y: Low-resolution images in [0, 1], ``(N, C, h, w)``.
        degradation: H.
        max_steps: Newton steps at most; a handful is usual.
        region: Which pixels may move, bool, broadcasts to `x`; all of them by default. The problem
            is the same one with H M in place of H, and y without what the others give.

    Returns:
        Images in [0, 1] of the shape and dtype of `x`.
    """
    x0, target = x.double(), y.double()
    multiplier = torch.zeros_like(target)
    epsilon = STIFFNESS * _mean_eigenvalue(degradation, target)
    operator: Degradation | Within = degradation
    if region is not None:
        operator = Within(degradation, region)
        x0 = torch.where(region, x0, 0)
        target = target - degradation.A(torch.where(region, 0, x.double()))

    def primal(lam: Tensor) -> Tensor:
        return x0 + operator.A_adjoint(lam)

    def dual(lam: Tensor) -> Tensor:
        z = primal(lam)
        value = 0.5 * _dot(z, z) - 0.5 * _dot(z - z.clamp(0, 1), z - z.clamp(0, 1))
        return value - _dot(lam, target) + 0.5 * epsilon * _dot(lam, lam)

    for _ in range(max_steps):
        z = primal(multiplier)
        residual = target - operator.A(z.clamp(0, 1)) - epsilon * multiplier
        open_ = residual.abs().amax((2, 3), keepdim=True) >= TOLERANCE
        if not bool(open_.any()):
            break
        residual = residual * open_  # what is solved stays as it is, whatever its neighbours need
        free = ((z > 0) & (z < 1)).to(z)

        def newton_matrix(d: Tensor, free: Tensor = free) -> Tensor:
            return operator.A(free * operator.A_adjoint(d)) + epsilon * d

        direction = _conjugate_gradients(newton_matrix, residual)
        multiplier = _line_search(dual, multiplier, direction, slope=-_dot(residual, direction))
    projected = primal(multiplier).clamp(0, 1).to(x.dtype)
    return projected if region is None else torch.where(region, projected, x)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of every image and colour, ``(N, C, 1, 1)``: they are independent problems."""
    return (a * b).sum((2, 3), keepdim=True)


def _conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], b: Tensor, steps: int = 100, tolerance: float = 1e-2
) -> Tensor:
    """Solve ``matrix(d) = b`` for all images and colours at once, from d = 0."""
    d, residual = torch.zeros_like(b), b
    direction, squared = residual, _dot(residual, residual)
    goal = squared * tolerance**2
    for _ in range(steps):
        active = squared > goal
        if not bool(active.any()):
            break
        image = matrix(direction)
        step = torch.where(active, squared / _dot(direction, image).clamp(min=1e-300), 0)
        d = d + step * direction
        residual = residual - step * image
        previous, squared = squared, _dot(residual, residual)
        direction = residual + squared / previous.clamp(min=1e-300) * direction
    return d


def _line_search(
    objective: Callable[[Tensor], Tensor], start: Tensor, direction: Tensor, slope: Tensor
) -> Tensor:
    """Halve the step of every image and colour until the objective falls enough (Armijo)."""
    step = torch.ones_like(slope)
    value = objective(start)
    for _ in range(30):
        trial = objective(start + step * direction)
        enough = trial <= value + 1e-4 * step * slope + 1e-12 * value.abs()
        if bool(enough.all()):
            break
        step = torch.where(enough, step, step / 2)
    return start + step * direction


ROUNDING_STEPS = 64
"""Most passes of `round_consistently`; each may move one pixel in every block."""


def round_consistently(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    steps: int = ROUNDING_STEPS,
    region: Tensor | None = None,
) -> Tensor:
    """Round images to 8 bits so that H of the rounded image stays as near to y as it can.

    Rounding every value to its nearest level adds noise that H averages but does not cancel. From
    there, a value is moved by δ = ±1 level where that lowers ``‖e‖²``, e = y − Hx in levels: the
    change is ``−2δ (Hᵀe)_p + (HᵀH)_pp``. The best pixel of every block moves at once, and the step
    is kept by the images and colours that it helped. No value ends a level or more from where it
    was.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        y: Low-resolution images in [0, 1], ``(N or 1, C, h, w)``.
        degradation: H.
        steps: Most passes; it ends sooner where two in a row, which differ in their blocks, helped
            no image.
        region: Which pixels may be moved, bool, broadcasts to `x`; all of them by default.

    Returns:
        uint8 images of the shape of `x`.
    """
    exact = x.double() * 255
    target = (y.double() * 255).expand(len(x), -1, -1, -1)
    level = exact.round().clamp(0, 255)
    error = target - degradation.A(level)
    # (HᵀH)_pp is taken for its mean over pixels: it only has to lead to good choices.
    weight = _mean_eigenvalue(degradation, target) * target[0, 0].numel() / exact[0, 0].numel()
    block = 2 * max(1, x.shape[2] // y.shape[2])
    idle = 0
    for step in range(steps):
        slope = degradation.A_adjoint(error)
        move = torch.sign(slope)
        gain = 2 * slope.abs() - weight
        allowed = ((level + move - exact).abs() < 1) & (level + move >= 0) & (level + move <= 255)
        if region is not None:
            allowed = allowed & region
        gain = gain.masked_fill(~allowed, 0)
        chosen = _best_of_every_block(gain, block, shift=(step % 2) * block // 2)
        trial = level + move * chosen
        trial_error = target - degradation.A(trial)
        helped = _dot(trial_error, trial_error) < _dot(error, error)
        level, error = torch.where(helped, trial, level), torch.where(helped, trial_error, error)
        idle = 0 if bool(helped.any()) else idle + 1
        if idle == 2:
            break
    return level.to(torch.uint8)


def _mean_eigenvalue(degradation: Degradation, y: Tensor) -> float:
    """``tr(H Hᵀ) / m``, read off one row in the middle: ``‖Hᵀ e_i‖²``."""
    probe = torch.zeros_like(y[:1])
    probe[..., y.shape[2] // 2, y.shape[3] // 2] = 1
    return float((degradation.A_adjoint(probe) ** 2).sum() / y.shape[1])


def _best_of_every_block(gain: Tensor, block: int, shift: int) -> Tensor:
    """1 at the largest positive gain of every block of pixels, 0 elsewhere."""
    rolled = torch.roll(gain, (shift, shift), (2, 3))
    best = F.max_pool2d(rolled, block, stride=block, ceil_mode=True)
    height, width = gain.shape[2:]
    best = best.repeat_interleave(block, 2).repeat_interleave(block, 3)[..., :height, :width]
    return torch.roll(((rolled == best) & (rolled > 0)).to(gain), (-shift, -shift), (2, 3))
