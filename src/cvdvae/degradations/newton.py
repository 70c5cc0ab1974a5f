"""The projection onto the images in range that H takes to y, by Newton's method on its dual.

`projection` says what is asked::

    min_x  ½‖x − x_0‖² + 1/(2ε) ‖Hx − y‖²     with 0 ≤ x ≤ 1

With one multiplier λ per low-resolution value, the solution is
``x(λ) = clip(x_0 + Hᵀλ)`` where::

    F(λ) = H x(λ) + ελ − y = 0

F is the gradient of the strongly convex ``φ(λ) = ½‖z‖² − ½‖z − clip z‖² − ⟨λ, y⟩ + ε/2 ‖λ‖²``,
``z = x_0 + Hᵀλ``, and is piecewise linear: a semismooth Newton method with a line search on φ
solves it in a few steps (Qi & Sun 1993), each by conjugate gradients on ``H D Hᵀ + εI``, D marking
the pixels that are not clipped. Without clipping the first step is the affine projection
``x_0 + H⁺(y − Hx_0)`` of CEM (Bahat & Michaeli 2020).

Where no image in range has Hx = y, λ grows with 1/ε and Newton's steps come to nothing. By weak
duality there is none as soon as ``½‖x_0‖² − φ(λ)`` exceeds ½‖x − x_0‖² for every x in range; then
accelerated gradient steps on x take over (`violate_least`).

Explained in docs/explanation/projection.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Products
from .conjugate_gradients import conjugate_gradients
from .infeasible import MORE, STEPS, outside, violate_least

TOLERANCE = 1e-6
"""Largest ``|F(λ)|`` that is accepted: 4000 times less than one 8-bit level."""
CLOSE = 1e-3
"""Largest ``|Hx − y|`` of images that need no second look."""
CG_STEPS, CG_TOLERANCE = 20, 1e-2
"""Most of the conjugate gradients of a Newton step, and the residual at which they end."""
SHORT, PATIENCE = 1 / 16, 3
"""A problem is given up after so many steps that were cut to this share or less."""


@dataclass(frozen=True)
class Problem:
    """The problems of some images and colours, in float64; each has its own λ.

    Attributes:
        operator: H, or H M.
        x0: ``(n, c, H, W)``.
        y: ``(n, c, h, w)``.
        epsilon: ε.
        dims: What belongs to one problem: height and width, and colours where H mixes them.
        within: Whether only a region may move.
        soft: Whether ε is no small one: then there is a solution, whatever y is.
        room: The least and the most that Hx may be where y cannot be met, each as y; y by default.
    """

    operator: Products
    x0: Tensor
    y: Tensor
    epsilon: float
    dims: tuple[int, ...]
    within: bool = False
    soft: bool = False
    room: tuple[Tensor, Tensor] | None = None

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner product of every problem, ``(n, c or 1, 1, 1)``."""
        return (a * b).sum(self.dims, keepdim=True)

    def moved(self, multiplier: Tensor) -> Tensor:
        """z."""
        return self.x0 + self.operator.A_adjoint(multiplier)

    def dual(self, multiplier: Tensor) -> Tensor:
        """φ."""
        z = self.moved(multiplier)
        value = 0.5 * self.dot(z, z)
        z -= z.clamp(0, 1)
        value = value - 0.5 * self.dot(z, z)
        value = value - self.dot(multiplier, self.y)
        return value + 0.5 * self.epsilon * self.dot(multiplier, multiplier)

    def price(self, x: Tensor, error: Tensor) -> Tensor:
        """What is to be as small as possible, for images and their y − Hx."""
        away = x - self.x0
        return 0.5 * self.dot(away, away) + 0.5 / self.epsilon * self.dot(error, error)

    def near_inverse(self, free: Tensor, scaled: Tensor) -> Callable[[Tensor], Tensor]:
        """Something near to the inverse of ``H D Hᵀ + εI``, for D that marks `free` pixels.

        At the border of a region values of y depend on hardly any pixel that may move: in the
        `scaled` problems they get the scale of the others (Jacobi). Without a region all are alike.
        """
        told = getattr(self.operator, "diagonal", None) if bool(scaled.any()) else None
        diagonal = None if told is None else told(free)
        if diagonal is None:
            return lambda residual: residual
        scale = torch.where(scaled, 1 / (diagonal + self.epsilon), 1)
        return lambda residual: scale * residual

    def impossible_below(self, region: Tensor | None) -> Tensor:
        """φ below this proves that no image in range has Hx = y."""
        farthest = torch.maximum(self.x0, 1 - self.x0)
        if region is not None:
            farthest = torch.where(region, farthest, 0)
        return 0.5 * self.dot(self.x0, self.x0) - 0.5 * self.dot(farthest, farthest)


def solve(problem: Problem, max_steps: int, region: Tensor | None) -> tuple[Tensor, bool]:
    """The nearest images in range, ``(n, c, H, W)``, and whether all are `CLOSE` to Hx = y.

    Args:
        problem: What is asked.
        max_steps: Newton steps at most.
        region: Which pixels of them may move, bool, ``(n, c, H, W)``; all of them by default.
    """
    multiplier = torch.zeros_like(problem.y)
    limit = problem.impossible_below(region)
    best, lowest = problem.x0.clamp(0, 1), torch.full_like(limit, torch.inf)
    cuts, hopeless = torch.zeros_like(limit), torch.zeros_like(limit, dtype=torch.bool)
    scaled = torch.full_like(hopeless, problem.within)
    for step_number in range(max_steps + 1):
        z = problem.moved(multiplier)
        x = z.clamp(0, 1)
        missing = problem.y - problem.operator.A(x)
        price = problem.price(x, missing)
        best, lowest = torch.where(price < lowest, x, best), torch.minimum(price, lowest)
        error = missing - problem.epsilon * multiplier
        open_ = error.abs().amax(problem.dims, keepdim=True) >= TOLERANCE
        if step_number == max_steps or not bool((open_ & ~hopeless).any()):
            break
        # What is solved stays as it is, whatever its neighbours need.
        error = error * (open_ & ~hopeless)
        free, way = _free(z, problem.operator, error)

        def newton_matrix(d: Tensor, free: Tensor = free) -> Tensor:
            moved = free * problem.operator.A_adjoint(d)
            return problem.operator.A(moved) + problem.epsilon * d

        near = problem.near_inverse(free, scaled)
        direction = conjugate_gradients(
            newton_matrix, error + way, CG_STEPS, CG_TOLERANCE, near, problem.dot
        )
        slope = -problem.dot(error, direction)
        step, value = _line_search(problem.dual, multiplier, direction, slope)
        multiplier = multiplier + step * direction
        short = step <= SHORT
        cuts, scaled = cuts + (short & ~scaled), scaled & ~short
        if not problem.soft:
            hopeless = hopeless | (value < limit) | (cuts >= PATIENCE)
    if not bool(open_.any()):
        return x, bool(missing.abs().max() < CLOSE)
    if problem.soft:
        return best, False
    room = problem.room or (problem.y, problem.y)
    other = _least(problem, best, open_, room)
    prices = [problem.price(one, outside(problem.operator.A(one), *room)) for one in (other, best)]
    return torch.where(open_, torch.where(prices[0] < prices[1], other, best), x), False


def _free(z: Tensor, operator: Products, error: Tensor) -> tuple[Tensor, Tensor]:
    """Which pixels the next step may move, 1 or 0: those that are not clipped; and what it has to
    do beside e.

    A value of y whose one pixel is clipped would have a step of e/ε. It gets that pixel where e
    draws it inwards, and the way to the range is added to e.
    """
    free = ((z > 0) & (z < 1)).to(z)
    if not getattr(operator, "pixelwise", False):
        return free, torch.zeros_like(error)
    stuck = (operator.A(free) == 0) & (error.abs() >= TOLERANCE)
    pull = operator.A_adjoint(torch.where(stuck, error, 0))
    drawn = (z <= 0) & (pull > 0) | (z >= 1) & (pull < 0)
    gap = operator.A(torch.where(drawn, z.clamp(0, 1) - z, 0))
    return torch.where(drawn, 1, free), torch.where(stuck & (gap * error > 0), gap, 0)


def _least(problem: Problem, start: Tensor, open_: Tensor, room: tuple[Tensor, Tensor]) -> Tensor:
    """What leaves the room least, near to `start`; only the open problems where all are alike."""
    steps = STEPS if torch.equal(*room) else MORE
    if not getattr(problem.operator, "colours_alike", False):
        return violate_least(problem.operator, start, room[0], problem.dims, steps, most=room[1])
    chosen, result = open_[:, :, 0, 0], start.clone()
    x, least, most = (one[chosen][:, None] for one in (start, *room))
    found = violate_least(problem.operator, x, least, problem.dims, steps, most=most)
    result[chosen] = found[:, 0]
    return result


def _line_search(
    objective: Callable[[Tensor], Tensor], start: Tensor, direction: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """Halve the step of every problem until the objective falls enough (Armijo).

    Returns:
        The steps, and the objective there.
    """
    step = torch.ones_like(slope)
    value = objective(start)
    trial = value
    for _ in range(30):
        trial = objective(start + step * direction)
        enough = trial <= value + 1e-4 * step * slope + 1e-12 * value.abs()
        if bool(enough.all()):
            break
        step = torch.where(enough, step, step / 2)
    return step, trial
