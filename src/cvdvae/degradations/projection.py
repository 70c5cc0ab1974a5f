"""The nearest image that is in range and consistent with y, in floating point and in levels.

Wanted is the projection of x_0 onto ``{x : Hx = y} ∩ [0, 1]ⁿ``. The set may be empty (bicubic has
negative lobes, so a hard checkerboard is the shadow of no image in range); so the constraint gets a
stiff price instead::

    min_x  ½‖x − x_0‖² + 1/(2ε) ‖Hx − y‖²     with 0 ≤ x ≤ 1

For small ε that is the projection where there is one, and otherwise the nearest among the images in
range that violate Hx = y least, or what is left of it by the rounding of y (`infeasible.room`); but
for places where they are far off even so (`attainable`).

`newton` solves it for any H, and `local_newton` for a separable one, where something is clipped.

Explained in docs/explanation/projection.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .attainable import SOFT, around, too_far, weights_of
from .base import Degradation, Products
from .checks import check_images
from .foreign import in_precision
from .infeasible import outside, room
from .local_newton import solve_separable
from .newton import TOLERANCE, Problem, solve
from .rounding import ENOUGH, ENOUGH_OF_LARGE, Rounding, level_dtype
from .spectrum import mean_eigenvalue, mixes_colours, squared_columns
from .tiles import is_separable
from .within import Within

STIFFNESS = 1e-6
"""ε relative to the mean eigenvalue of ``H Hᵀ``."""
PART = 2**22
"""Values that are worked on at once: what bounds the memory."""
SMALL = 96**2
"""Images of no more pixels are solved together, as a whole: they are hardly more than a tile.
Larger ones are, too, where a gradient is wanted: tiles have none.
Rounding of larger ones ends sooner (`rounding.ENOUGH_OF_LARGE`)."""


def project(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    max_steps: int = 60,
    region: Tensor | None = None,
    tolerance: float = TOLERANCE,
    levels: int | None = None,
) -> Tensor:
    """Project images onto ``{x : Hx = y} ∩ [0, 1]``, or near to it where that is empty.

    `residual` tells how near. That is as near as can be, but for places where it would be far even
    so (`attainable`).

    Args:
        x: Images to project, ``(N, C, H, W)``, any real values.
        y: Low-resolution images in [0, 1], ``(N or 1, c, h, w)``.
        degradation: H.
        max_steps: Newton steps at most; a handful is usual.
        region: Which pixels may move, bool, broadcasts to `x`; all of them by default. The problem
            is the same one with H M in place of H, and y without what the others give.
        tolerance: Largest ``|Hx − y|`` that is accepted where all can be met, in the units of y.
            Images of more than `SMALL` pixels may save steps by it; smaller ones are solved to
            `TOLERANCE`.
        levels: Steps between 0 and 1 to which y was rounded, after it was cut to [0, 1], if it was.
            Where no image has Hx = y, Hx then has the room that this leaves (`infeasible.room`).

    Returns:
        Images in [0, 1] of the shape and dtype of `x`, differentiable in x and y; pixels that may
        not move as they are in x.

    Raises:
        InputError: A value is not finite, x and y do not belong to H, H takes no float64, or a
            tolerance that is not positive.
    """
    if not tolerance > 0:
        raise InputError(f"the tolerance of a projection must be positive, not {tolerance}")
    degradation = in_precision(degradation, torch.float64)
    check_images(x, y, degradation)
    y = y.expand(len(x), -1, -1, -1)
    nearest = _Nearest(
        degradation,
        mean_eigenvalue(degradation, y[:1].double()),
        mixes_colours(degradation, x[:1].double(), y[:1].double()),
        # Along the edges of other regions results see so little of them that tiles are slow.
        region is None or region.shape[-1] == 1,
        max_steps,
        tolerance,
        levels,
    )
    region = None if region is None else region.expand_as(x)
    result, met = nearest(x, y, region, STIFFNESS)
    if met:
        return result
    found = enumerate(_zones(result, y, degradation, region, levels))
    zones = {i: zone for i, zone in found if zone is not None}
    if zones:
        some = list(zones)
        mild, _ = nearest(x[some], y[some], None if region is None else region[some], SOFT)
        for (i, zone), instead in zip(zones.items(), mild, strict=True):
            result[i] = torch.lerp(result[i], instead, zone)
    return result


def _zones(
    least: Tensor, y: Tensor, degradation: Degradation, region: Tensor | None, levels: int | None
) -> Iterator[Tensor | None]:
    """Where the soft price holds, of every image as `around`, ``(C, H, W)``; None for nowhere."""
    for i in range(len(least)):
        x = least[i : i + 1]
        weights = weights_of(degradation, x, None if region is None else region[i : i + 1])
        left = outside(degradation.A(x.double()), *room(y[i : i + 1].double(), levels))
        far = too_far(left, *weights)
        yield around(far, degradation)[0].to(x) if bool(far.any()) else None


@dataclass(frozen=True)
class _Nearest:
    """Solves the problem, by whichever method is the faster.

    Attributes:
        degradation: H, in float64.
        eigenvalue: The mean one of ``H Hᵀ``.
        mixed: Whether H mixes colours.
        whole_rows: Whether what may move are whole rows.
        max_steps: Newton steps at most.
        tolerance: As for `project`.
        levels: As for `project`.
    """

    degradation: Degradation
    eigenvalue: float
    mixed: bool
    whole_rows: bool
    max_steps: int
    tolerance: float
    levels: int | None

    def __call__(
        self, x: Tensor, y: Tensor, region: Tensor | None, stiffness: float
    ) -> tuple[Tensor, bool]:
        """The nearest images, ε relative to `eigenvalue`, and whether all meet the constraint."""
        epsilon, soft, met = stiffness * self.eigenvalue, stiffness > STIFFNESS, True
        result, sides = torch.empty_like(x), cast(object, self.degradation)
        for part in _parts(x, self.degradation):
            x0, target = x[part].double(), y[part].double()
            left = room(target, self.levels)
            operator: Products = self.degradation
            where = None
            if region is not None:
                where = region[part]
                operator = Within(self.degradation, where)
                given = self.degradation.A(torch.where(where, 0, x0))
                target, left = target - given, (left[0] - given, left[1] - given)
                x0 = torch.where(where, x0, 0)
            large = x.is_cpu and x0[0, 0].numel() > SMALL
            wanted = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
            if is_separable(sides) and large and self.whole_rows and not wanted:
                solved, here = solve_separable(
                    sides, x0, target, epsilon, self.max_steps, self.tolerance, where, soft, left
                )
            else:
                dims = (1, 2, 3) if self.mixed else (2, 3)
                within = where is not None
                problem = Problem(operator, x0, target, epsilon, dims, within, soft, left)
                solved, here = solve(problem, self.max_steps, where)
            projected, met = solved.to(x.dtype), met and here
            result[part] = projected if where is None else torch.where(where, projected, x[part])
        return result, met


def residual(x: Tensor, y: Tensor, degradation: Degradation) -> Tensor:
    """How far images are from consistent: the largest ``|Hx − y|`` of each, in 8-bit levels.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        y: Low-resolution images in [0, 1], ``(N or 1, c, h, w)``.
        degradation: H.

    Returns:
        ``(N,)``, float64.
    """
    degradation = in_precision(degradation, torch.float64)
    return (degradation.A(x.double()) - y.double()).abs().flatten(1).amax(1) * 255


CUT = 0.3
"""Levels by which Hx lies beyond the range where it counts as cut, and stays: more than a y that is
met in 8 bits is missed by."""
ROUNDING_STEPS = 64
"""Most passes of `round_consistently`; each may move one pixel in every block."""


def round_consistently(
    x: Tensor,
    y: Tensor,
    degradation: Degradation,
    steps: int = ROUNDING_STEPS,
    region: Tensor | None = None,
    levels: int = 255,
) -> Tensor:
    """Round images to whole levels so that H of the rounded image stays as near to y as it can.

    Rounding every value to its nearest level adds noise that H averages but does not cancel. From
    there, a value is moved by δ = ±1 level where that lowers ``‖e‖²``, e = y − Hx in levels: the
    change is ``−2δ (Hᵀe)_p + (HᵀH)_pp``. Where y is 0 or 1 and Hx beyond, Hx stands for y. The best
    pixel of every block moves at once, and the step is kept by the images and colours that it
    helped. No value ends a level or more from where it was, but for what `settling` moves.
    `rounding` does so for a separable H.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        y: Low-resolution images in [0, 1], ``(N or 1, c, h, w)``.
        degradation: H.
        steps: Most passes; it ends sooner where two in a row, which differ in their blocks, helped
            no image, or hardly one, in large images little.
        region: Which pixels may be moved, bool, broadcasts to `x`; all of them by default.
        levels: Steps between 0 and 1, below 2²⁴; 255 for 8 bits.

    Returns:
        Levels of the shape of `x`, uint8 for up to 255, else int32; without a gradient.

    Raises:
        InputError: As in `project`.
    """
    degradation = in_precision(degradation, torch.float64)
    check_images(x, y, degradation)
    x, y = x.detach(), y.detach()
    result = torch.empty(x.shape, dtype=level_dtype(levels), device=x.device)
    if not len(x):
        return result
    mixed = mixes_colours(degradation, x[:1].double(), y[:1].double())
    # (HᵀH)_pp is taken for its mean over pixels: it only has to lead to good choices.
    weight = squared_columns(degradation, x[:1].double(), y[:1].double())
    y = y.expand(len(x), -1, -1, -1)
    region = None if region is None else region.expand_as(x)
    rounding, sides = None, cast(object, degradation)
    if is_separable(sides) and x.is_cpu:
        large = x[0, 0].numel() > SMALL
        rounding = Rounding(sides, float(weight), ENOUGH_OF_LARGE if large else ENOUGH)
    for part in _parts(x, degradation):
        where = None if region is None else region[part]
        exact, target = x[part].double() * levels, y[part].double() * levels
        level = exact.round().clamp(0, levels)
        black, white = (end.isinf() for end in room(y[part], levels))
        if bool((black | white).any()):
            shadow = degradation.A(exact)
            was_cut = (white & (shadow > levels + CUT)) | (black & (shadow < -CUT))
            target = torch.where(was_cut, shadow, target)
        error = target - degradation.A(level)
        if rounding is not None:
            result[part] = rounding.run(exact, level, error, where, steps, levels)
        else:
            result[part] = _round(
                exact, level, error, degradation, steps, where, weight, mixed, levels
            )
    return result


def _round(
    exact: Tensor,
    level: Tensor,
    error: Tensor,
    degradation: Degradation,
    steps: int,
    region: Tensor | None,
    weight: Tensor,
    mixed: bool,
    levels: int,
) -> Tensor:
    """Round some images and colours; `weight` is (HᵀH)_pp, `mixed` whether H mixes colours."""
    dims = (1, 2, 3) if mixed else (2, 3)
    target = error + degradation.A(level)
    block = 2 * max(1, level.shape[2] // error.shape[2])
    idle = 0
    for step in range(steps):
        slope = degradation.A_adjoint(error)
        move = torch.sign(slope)
        gain = 2 * slope.abs() - weight
        allowed = ((level + move - exact).abs() < 1) & (level + move >= 0)
        allowed &= level + move <= levels
        if region is not None:
            allowed = allowed & region
        gain = gain.masked_fill(~allowed, 0)
        chosen = _best_of_every_block(gain, block, (step % 2) * block // 2, mixed)
        trial = level + move * chosen
        trial_error = target - degradation.A(trial)
        squared, trial_squared = (e.square().sum(dims, keepdim=True) for e in (error, trial_error))
        helped = trial_squared < squared
        level, error = torch.where(helped, trial, level), torch.where(helped, trial_error, error)
        idle = 0 if bool(helped.any()) else idle + 1
        if idle == 2:
            break
    return level.to(level_dtype(levels))


def _best_of_every_block(gain: Tensor, block: int, shift: int, mixed: bool) -> Tensor:
    """1 at one pixel of every block, that of the largest positive gain, 0 elsewhere.

    Where H mixes colours, in one of them.
    """
    rolled = torch.roll(gain, (shift, shift), (2, 3))
    best, place = F.max_pool2d(rolled, block, stride=block, ceil_mode=True, return_indices=True)
    taken = best > 0
    if mixed:
        colours = torch.arange(gain.shape[1], device=gain.device)[:, None, None]
        taken &= colours == best.argmax(1, keepdim=True)
    chosen = torch.zeros_like(rolled).flatten(2)
    chosen.scatter_(2, place.flatten(2), taken.to(gain).flatten(2))
    return torch.roll(chosen.view_as(rolled), (-shift, -shift), (2, 3))


def _parts(x: Tensor, degradation: Degradation) -> Iterator[tuple[slice, slice]]:
    """Cut a batch into images, and those into colours where that is the same, of `PART` values."""
    images, colours, height, width = x.shape
    some = images
    if getattr(degradation, "colours_alike", False) and colours * height * width > PART:
        some, several = 1, max(1, PART // (height * width))
    else:
        some, several = max(1, PART // (colours * height * width)), colours
    for i in range(0, images, some):
        for c in range(0, colours, several):
            # y may have fewer colours than x where they are not cut.
            yield slice(i, i + some), slice(c, c + several) if several < colours else slice(None)
