"""A separable H cut into tiles, so that work is done only where something is left to do.

The pixels of x are parted into tiles. Tile t gives ``R_t X_t C_tᵀ`` to the few rows and columns of
y that it reaches, its window, and Hx is the sum over tiles. Their products are small, dense, and
stay in the cache of a processor.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor

from .resize import BandedMatrix, once_for_each

RESULTS = 8
"""About how many rows and columns of y there are to a tile."""
AT_ONCE = 2**17
"""Pixels of tiles that are worked on together."""


class Separable(Protocol):
    """``H x = R x Cᵀ`` for every colour.

    Attributes:
        rows: R.
        columns: C.
    """

    rows: BandedMatrix
    columns: BandedMatrix


def is_separable(degradation: object) -> TypeGuard[Separable]:
    """Whether it has both matrices."""
    sides = (getattr(degradation, name, None) for name in ("rows", "columns"))
    return all(isinstance(side, BandedMatrix) for side in sides)


class Cut(NamedTuple):
    """A side in k parts, all as long as the longest: what is not a part's own is zero there.

    Attributes:
        lr: The results that a part reaches, ``(k, l)``.
        hr: The pixels of a part, ``(k, p)``.
        own: Which of them are its own, bool, ``(k, p)``.
        values: The matrix there, ``(k, l, p)`` float64.
        inverse: ``W (R Rᵀ)⁻¹ W`` of its results alone, ``(k, l, l)``; the squares of the weights
            W add up to 1 over parts.
    """

    lr: Tensor
    hr: Tensor
    own: Tensor
    values: Tensor
    inverse: Tensor


@once_for_each
def cut(matrix: BandedMatrix) -> Cut:
    """Cut a side into parts of about `RESULTS` results."""
    lr, hr = matrix.shape
    count = max(1, round(lr / RESULTS))
    parts = list(pairwise([hr * i // count for i in range(count + 1)]))
    adjoint = matrix.transposed()
    reached = [_reached(adjoint, slice(a, b)) for a, b in parts]
    reach, length = max(b - a for a, b in reached), max(b - a for a, b in parts)
    values, grams, results, pixels, own = [], [], [], [], []
    for (a, b), (start, _) in zip(parts, reached, strict=True):
        window = slice(min(start, lr - reach), min(start, lr - reach) + reach)
        part = slice(min(a, hr - length), min(a, hr - length) + length)
        seen = matrix.window(window, matrix.reach(window))
        grams.append(seen @ seen.T)
        results.append(torch.arange(window.start, window.stop, device="cpu"))
        pixels.append(torch.arange(part.start, part.stop, device="cpu"))
        own.append((pixels[-1] >= a) & (pixels[-1] < b))
        values.append(matrix.window(window, part) * own[-1])
    lr_index = torch.stack(results)
    weight = _weights(lr_index, lr)
    inverse = weight[:, :, None] * torch.linalg.inv(torch.stack(grams)) * weight[:, None, :]
    return Cut(lr_index, torch.stack(pixels), torch.stack(own), torch.stack(values), inverse)


def _reached(adjoint: BandedMatrix, pixels: slice) -> tuple[int, int]:
    """The first result that some pixels reach, and the one after the last."""
    columns = adjoint.reach(pixels)
    used = adjoint.window(pixels, columns).any(0).nonzero().flatten()
    first, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    return columns.start + first, columns.start + end


def _weights(results: Tensor, lr: int) -> Tensor:
    """Less at the ends of a part, where the inverse is not that of the whole."""
    place = torch.arange(results.shape[1], dtype=torch.float64, device="cpu") + 1
    ramp = torch.minimum(place, place.flip(0)).square().expand_as(results)
    total = torch.zeros(lr, dtype=torch.float64, device="cpu")
    total.index_add_(0, results.flatten(), ramp.square().flatten())
    return ramp / total.sqrt()[results]


class Tiles:
    """All tiles of some planes, one below the other: ``(t, p, q)``, and their windows in y,
    ``(t, l, m)``.

    Args:
        rows: The height of a plane, cut.
        columns: Its width, cut.
        planes: How many there are: a colour of an image is one.
    """

    def __init__(self, rows: Cut, columns: Cut, planes: int = 1) -> None:
        self.rows, self.columns, self.planes = rows, columns, planes
        self.width = int(columns.hr.max()) + 1
        self.height = int(rows.hr.max()) + 1
        down, across = (
            torch.arange(len(rows.lr), device="cpu"),
            torch.arange(len(columns.lr), device="cpu"),
        )
        self.down = down.repeat_interleave(len(across)).repeat(planes)
        self.across = across.repeat(planes * len(down))
        self.plane = torch.arange(planes, device="cpu").repeat_interleave(len(down) * len(across))
        lr_height, lr_width = (int(side.lr.max()) + 1 for side in (rows, columns))
        lr_rows = self.plane[:, None] * lr_height + rows.lr[self.down]
        self.windows = lr_rows[:, :, None] * lr_width + columns.lr[self.across, None]

    def of(self, x: Tensor) -> Tensor:
        """The pixels of planes ``(k, H, W)`` in tiles; zero where they are another tile's."""
        rows, columns = self.rows, self.columns
        tiles = x.index_select(1, rows.hr.flatten()).unflatten(1, rows.hr.shape)
        if columns.hr.numel() == x.shape[2]:  # one beside the other: nothing to look up
            tiles = tiles.unflatten(3, columns.hr.shape).transpose(2, 3)
            own = rows.own[:, None, :, None]
        else:
            tiles = tiles[..., columns.hr].transpose(2, 3)
            own = rows.own[:, None, :, None] & columns.own[:, None]
        cut_up: Tensor = tiles * own
        return cut_up.flatten(0, 2)

    def put(self, tiles: Tensor, chosen: Tensor, x: Tensor) -> None:
        """Write some tiles into planes ``(k, H, W)``."""
        down, across = self.down[chosen], self.across[chosen]
        rows = self.plane[chosen, None] * self.height + self.rows.hr[down]
        place = rows[:, :, None] * self.width + self.columns.hr[across, None]
        own = self.rows.own[down, :, None] & self.columns.own[across, None]
        x.view(-1)[place[own]] = tiles[own].to(x)


class Some:
    """Some of the tiles, and H of what lies in them.

    Vectors v have a number for each of n results, and a last one that counts for nothing.

    Args:
        tiles: All of them.
        chosen: Which, ``(t,)``.
        results: Which results, bool, ``(k · h · w,)``.
    """

    def __init__(self, tiles: Tiles, chosen: Tensor, results: Tensor) -> None:
        self.chosen, self.index = chosen, results.nonzero().flatten()
        self.n = len(self.index)
        slot = torch.full((len(results),), self.n, device="cpu")
        slot[self.index] = torch.arange(self.n, device="cpu")
        self.windows = tiles.windows[chosen]
        self.slots = slot[self.windows]
        self.sides = tiles.rows, tiles.columns
        self.places = tiles.down[chosen], tiles.across[chosen]
        self.pixels = tiles.rows.hr.shape[1] * tiles.columns.hr.shape[1]

    def matrices(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """R_t and C_t of every tile."""
        down, across = (
            side.values.to(dtype)[place]
            for side, place in zip(self.sides, self.places, strict=True)
        )
        return down, across

    def parts(self) -> Iterator[slice]:
        """Tiles that are worked on together."""
        several = max(1, AT_ONCE // self.pixels)
        for i in range(0, len(self.chosen), several):
            yield slice(i, i + several)

    def vector(self, values: Tensor) -> Tensor:
        """v, of a value for every result of y."""
        v = values.new_zeros(self.n + 1)
        v[: self.n] = values[self.index]
        return v

    def gather(self, v: Tensor, part: slice) -> Tensor:
        """The windows of some tiles."""
        slots = self.slots[part]
        return v.index_select(0, slots.flatten()).view(slots.shape)

    def add(self, v: Tensor, windows: Tensor, part: slice) -> None:
        """Add to v what some tiles give to their windows."""
        v.index_add_(0, self.slots[part].flatten(), windows.flatten())

    def newton(self, v: Tensor, free: Tensor, matrices: tuple[Tensor, Tensor]) -> Tensor:
        """``H D Hᵀ v``, D marking what is free."""
        rows, columns = matrices
        result = torch.zeros_like(v)
        for part in self.parts():
            moved = rows[part].mT @ (self.gather(v, part) @ columns[part])
            moved *= free[part]
            shadow = (rows[part] @ moved) @ columns[part].mT
            self.add(result, shadow, part)
        result[-1] = 0
        return result

    def preconditioner(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """What `precondition` takes."""
        down, across = (
            side.inverse.to(dtype)[place]
            for side, place in zip(self.sides, self.places, strict=True)
        )
        return down, across

    def precondition(self, v: Tensor, inverses: tuple[Tensor, Tensor]) -> Tensor:
        """Nearly ``(H Hᵀ)⁻¹ v``: the inverses of windows, put together (additive Schwarz)."""
        windows = inverses[0] @ self.gather(v, slice(None)) @ inverses[1]
        result = torch.zeros_like(v).index_add_(0, self.slots.flatten(), windows.flatten())
        result[-1] = 0
        return result
