"""Newton's method of `newton` for a separable H, tile by tile: only where F(λ) is not yet zero.

Results whose constraint is met keep their λ, and so do the pixels far from all others. Steps solve
``(H D Hᵀ + εI + diag μ) d = −F`` with μ proportional to ``|F|``: it holds λ back where nearly all
is clipped and ``H D Hᵀ`` is singular, and vanishes with F (regularised Newton: Li, Fukushima, Qi &
Yamashita 2004). Directions are found in float32; F and φ are float64 throughout, so that what is
accepted is as exact.
"""

import torch
from torch import Tensor

from .infeasible import MORE, outside, violate_least
from .newton import CLOSE
from .resize import gram_inverse
from .tiles import Separable, Some, Tiles, cut

AROUND = 2
"""How far around an open result λ may move."""
FASTER, PATIENCE = 0.8, 2
"""They come to nothing after so many in a row that left more than this share of ``‖F‖²``."""
HELD = 5.0
"""μ relative to ``|F|`` and the mean eigenvalue of ``H Hᵀ``."""
CG_STEPS, CG_TOLERANCE = 20, 0.2
FEW, MORE_CG_STEPS = 0.2, 80
"""Steps of conjugate gradients where less than this share of the tiles is left."""


class Planes:
    """The problem of some planes, each a colour of an image. They are independent, and solved
    together: many small operations cost more than a few large ones.

    Args:
        tiles: Of H, in as many planes.
        start: λ to start from, ``(k, h, w)`` float64.
        x0: ``(k, H, W)`` float64; zero where pixels are not to move.
        y: ``(k, h, w)`` float64.
        epsilon: ε.
        eigenvalue: The mean one of ``H Hᵀ``.
        tolerance: Largest ``|F(λ)|`` that is accepted.
        region: Which pixels may move, bool, ``(k, H, W)``; all of them by default.
        room: The least and the most that Hx may be where y cannot be met, each as y; y by default.
    """

    def __init__(
        self,
        tiles: Tiles,
        start: Tensor,
        x0: Tensor,
        y: Tensor,
        epsilon: float,
        eigenvalue: float,
        tolerance: float,
        region: Tensor | None,
        room: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.tiles, self.size = tiles, y.shape
        self.epsilon, self.eigenvalue, self.tolerance = epsilon, eigenvalue, tolerance
        self.y, self.multiplier = y.flatten(), start.flatten().clone()
        self.below, self.above = ((end - y).flatten() for end in room or (y, y))
        self.x0 = tiles.of(x0)
        self.region = None if region is None else tiles.of(region)
        self.z = torch.empty_like(self.x0)
        everything = torch.ones(y.numel(), dtype=torch.bool, device="cpu")
        whole = Some(tiles, torch.arange(len(self.x0), device="cpu"), everything)
        self.error = self.y - epsilon * self.multiplier
        rows, columns = whole.matrices(torch.float64)
        for part in whole.parts():
            z = rows[part].mT @ (self.multiplier[tiles.windows[part]] @ columns[part])
            self.z[part] = self._masked(z, part).add_(self.x0[part])
            shadow = rows[part] @ z.clamp_(0, 1) @ columns[part].mT
            self.error.index_add_(0, tiles.windows[part].flatten(), shadow.flatten(), alpha=-1)

    def _masked(self, moved: Tensor, chosen: Tensor | slice) -> Tensor:
        return moved if self.region is None else moved.mul_(self.region[chosen])

    def open_(self) -> Tensor:
        """Results whose constraint is not met, ``(k, h, w)``."""
        return (self.error.abs() >= self.tolerance).view(self.size)

    def open_error(self) -> Tensor:
        """``‖F(λ)‖²`` of what is open in every plane, ``(k,)``."""
        open_ = torch.where(self.open_(), self.error.view(self.size), 0)
        return open_.square().sum((1, 2))

    def focus(self, open_: Tensor) -> Some:
        """What is around some results, ``(k, h, w)``, and the tiles there."""
        results = widened(open_, AROUND).flatten()
        chosen = results[self.tiles.windows].flatten(1).any(1).nonzero().flatten()
        return Some(self.tiles, chosen, results)

    def step(self) -> None:
        """A Newton step."""
        some = self.focus(self.open_())
        direction = self._direction(some)
        slope = -float(some.vector(self.error) @ direction)
        for halvings in range(12):
            length = 0.5**halvings
            z, shadow, change = self._trial(some, length * direction)
            if change <= 1e-4 * length * slope + 1e-12:
                break
        self.z.index_copy_(0, some.chosen, z)
        move = length * direction[:-1]
        self.multiplier[some.index] += move
        self.error -= shadow
        self.error[some.index] -= self.epsilon * move

    def solve(self, max_steps: int) -> None:
        """Newton steps until all is met, or until they come to nothing in every plane."""
        squared, slow = self.open_error(), 0
        for _ in range(max_steps):
            if not bool(squared.any()) or slow == PATIENCE:
                return
            self.step()
            previous, squared = squared, self.open_error()
            idle = (squared > FASTER * previous) | (squared == 0)
            slow = slow + 1 if bool(idle.all()) else 0

    def _trial(self, some: Some, move: Tensor) -> tuple[Tensor, Tensor, float]:
        """z of the tiles with λ moved, by what it changes Hx, and φ."""
        rows, columns = some.matrices(torch.float64)
        moved = torch.empty(len(some.chosen), *self.z.shape[1:], dtype=torch.float64, device="cpu")
        shadow, change = torch.zeros_like(self.y), 0.0
        for part in some.parts():
            chosen = some.chosen[part]
            z = self.z.index_select(0, chosen)
            u = rows[part].mT @ (some.gather(move, part) @ columns[part])
            u = torch.add(z, self._masked(u, chosen), out=moved[part])
            x, new = z.clamp(0, 1), u.clamp(0, 1)
            # ½z² − ½(z − x)² = xz − ½x²
            change += float(new.flatten() @ u.sub(new, alpha=0.5).flatten())
            change -= float(x.flatten() @ z.sub_(x, alpha=0.5).flatten())
            moved_shadow = rows[part] @ new.sub_(x) @ columns[part].mT
            shadow.index_add_(0, some.windows[part].flatten(), moved_shadow.flatten())
        step, before = move[:-1], self.multiplier[some.index]
        change -= float(step @ self.y[some.index])
        change += self.epsilon * float(step @ (before + step / 2))
        return moved, shadow, change

    def _direction(self, some: Some) -> Tensor:
        """By preconditioned conjugate gradients."""
        free = torch.empty(len(some.chosen), *self.z.shape[1:], dtype=torch.float32, device="cpu")
        for part in some.parts():
            z = self.z.index_select(0, some.chosen[part])
            free[part] = (z > 0) & (z < 1)
            self._masked(free[part], some.chosen[part])
        around = widened(self.error.abs().view(self.size), 1).flatten()
        held = some.vector(self.epsilon + HELD * self.eigenvalue * around).float()
        matrices, inverses = some.matrices(torch.float32), some.preconditioner(torch.float32)
        residual = some.vector(self.error).float()
        d = torch.zeros_like(residual)
        direction = shaped = some.precondition(residual, inverses)
        along, goal = float(residual @ shaped), float(residual @ residual) * CG_TOLERANCE**2
        few = len(some.chosen) < FEW * len(self.z)
        for _ in range(MORE_CG_STEPS if few else CG_STEPS):
            image = some.newton(direction, free, matrices).addcmul_(held, direction)
            size = along / max(float(direction @ image), 1e-30)
            d.add_(direction, alpha=size)
            residual.sub_(image, alpha=size)
            if float(residual @ residual) <= goal:
                break
            shaped = some.precondition(residual, inverses)
            along, previous = float(residual @ shaped), along
            direction = shaped + along / max(previous, 1e-30) * direction
        return d.double()

    def violate_least(self) -> tuple[Some, Tensor]:
        """What leaves the room of Hx least around what is still open: those tiles, and x there."""
        near = self.focus(self.open_())
        results = torch.zeros_like(self.y, dtype=torch.bool)
        results[near.windows] = True
        some = Some(self.tiles, near.chosen, results)
        start = self.z[some.chosen].clamp(0, 1)
        region = None if self.region is None else self.region[some.chosen]
        window = InTiles(some, region)
        held = window.A(start[None])
        target = held + some.vector(self.error + self.epsilon * self.multiplier)
        least, most = (target + some.vector(end) for end in (self.below, self.above))
        inside, ends = start[None].float(), (least.float(), most.float())
        x = violate_least(window, inside, ends[0], (1, 2, 3), MORE, most=ends[1])[0].double()
        before, after = (
            float((a - self.x0[some.chosen]).square().sum() * self.epsilon)
            + float(outside(window.A(a[None]), least, most).square().sum())
            for a in (start, x)
        )
        return some, x if after < before else start


class InTiles:
    """H of an image that is zero outside of some tiles, as an operator of its own.

    An image is ``(1, t, p, q)``, and what H makes of it a vector of results, ``(1, 1, 1, n + 1)``.

    Args:
        some: The tiles.
        region: Which pixels may move, bool, ``(t, p, q)``; all of them by default.
    """

    def __init__(self, some: Some, region: Tensor | None) -> None:
        self.some, self.region = some, region
        self.matrices = {d: some.matrices(d) for d in (torch.float32, torch.float64)}

    def A(self, x: Tensor) -> Tensor:
        """``H x``."""
        rows, columns = self.matrices[x.dtype]
        shadow = x.new_zeros(self.some.n + 1)
        for part in self.some.parts():
            self.some.add(shadow, rows[part] @ x[0, part] @ columns[part].mT, part)
        shadow[-1] = 0
        return shadow[None, None, None]

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``, zero where pixels are not to move."""
        rows, columns = self.matrices[y.dtype]
        x = y.new_empty(1, len(self.some.chosen), rows.shape[2], columns.shape[2])
        for part in self.some.parts():
            windows = self.some.gather(y[0, 0, 0], part)
            torch.matmul(rows[part].mT, windows @ columns[part], out=x[0, part])
        return x if self.region is None else x.mul_(self.region)


def solve_separable(
    operator: Separable,
    x0: Tensor,
    y: Tensor,
    epsilon: float,
    max_steps: int,
    tolerance: float,
    region: Tensor | None,
    soft: bool = False,
    room: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, bool]:
    """The nearest images in range, and whether all are close to Hx = y: see `newton.solve`.

    Args:
        operator: H.
        x0: ``(n, c, H, W)`` float64; zero where pixels are not to move.
        y: ``(n, c, h, w)`` float64.
        epsilon: ε.
        max_steps: Newton steps at most.
        tolerance: Largest ``|F(λ)|`` that is accepted.
        region: Which pixels may move, bool, ``(n, c, H, W)``; all of them by default.
        soft: Whether ε is no small one, so that nothing is to be violated least.
        room: The least and the most that Hx may be where y cannot be met, each as y; y by default.
    """
    rows, columns = operator.rows, operator.columns
    tiles = Tiles(cut(rows), cut(columns), len(x0) * x0.shape[1])
    adjoints = rows.transposed(), columns.transposed()
    inverses = gram_inverse(rows), gram_inverse(columns)
    eigenvalue = rows.mean_square() * columns.mean_square()
    missing = y - columns.along_width(rows.along_height(x0))
    start = inverses[1].along_width(inverses[0].along_height(missing))
    planes = Planes(
        tiles,
        start.flatten(0, 1),
        x0.flatten(0, 1),
        y.flatten(0, 1),
        epsilon,
        eigenvalue,
        tolerance,
        None if region is None else region.flatten(0, 1),
        room and (room[0].flatten(0, 1), room[1].flatten(0, 1)),
    )
    planes.solve(max_steps)
    multiplier = planes.multiplier.view(y.shape)
    moved = adjoints[1].along_width(adjoints[0].along_height(multiplier))
    result = moved.add_(x0).clamp_(0, 1)
    if bool(planes.open_error().any()) and not soft:
        some, x = planes.violate_least()
        tiles.put(x, some.chosen, result.view(-1, *x0.shape[2:]))
        return result, False
    return result, float((planes.error + epsilon * planes.multiplier).abs().max()) < CLOSE


def widened(values: Tensor, around: int) -> Tensor:
    """The largest of the values around each, ``(…, h, w)``."""
    for dim in (-2, -1):
        for _ in range(around):
            first, last = values.narrow(dim, 0, 1), values.narrow(dim, values.shape[dim] - 1, 1)
            before = torch.cat((first, values.narrow(dim, 0, values.shape[dim] - 1)), dim)
            after = torch.cat((values.narrow(dim, 1, values.shape[dim] - 1), last), dim)
            values = torch.maximum(torch.maximum(values, before), after)
    return values
