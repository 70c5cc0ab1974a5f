"""Rounding to whole levels so that Hx stays near to y, for a separable H.

A value that was rounded has one neighbour level less than a level away from where it was: sign s,
up or down, and none other. Moving there changes ``‖e‖²`` by ``−2 s (Hᵀe)_p + (HᵀH)_pp``, so the
best pixel of a block is where ``s Hᵀe`` is largest. Once moved, its way is back: s changes sign.

Explained in docs/explanation/projection.md.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .columns import columns_of
from .resize import BandedMatrix
from .settling import beyond, settle
from .tiles import Separable

ENOUGH, PATIENCE = 5e-4, 2
"""Ends where so many passes in a row lowered ``‖e‖²`` by less than this share of (HᵀH)_pp for every
result: by a hundredth of what is left where all of y can be met."""
ENOUGH_OF_LARGE = 0.02
"""The same for large images: a third of the passes, after which ``‖e‖²`` is a fifth larger."""
AT_ONCE = 2**17
"""Pixels of a band of rows: it stays in the cache."""


def level_dtype(levels: int) -> torch.dtype:
    """What levels 0 … `levels` are held in."""
    return torch.uint8 if levels <= 255 else torch.int32


class Band(NamedTuple):
    """Some rows of x, and what they are to rows of y: ``R[lr, hr]ᵀ`` in float32."""

    hr: slice
    lr: slice
    values: Tensor


class Rounding:
    """What rounding has to know of H.

    Args:
        degradation: H.
        weight: (HᵀH)_pp.
        enough: When it ends, as `ENOUGH`.
    """

    def __init__(self, degradation: Separable, weight: float, enough: float = ENOUGH) -> None:
        rows, columns = degradation.rows, degradation.columns
        self.size, self.lr_size = (
            (rows.shape[1], columns.shape[1]),
            (rows.shape[0], columns.shape[0]),
        )
        self.block = 2 * max(1, rows.shape[1] // rows.shape[0])
        self.weight, self.enough = weight, enough * weight
        self.down, self.across = columns_of(rows), columns_of(columns)
        self.columns_adjoint = columns.transposed()
        self.bands = [self._bands(rows.transposed(), s) for s in (0, self.block // 2)]

    def _bands(self, adjoint: BandedMatrix, shift: int) -> list[Band]:
        """Whole blocks of rows, from `shift` on."""
        height, width = self.size
        rows = self.block * max(1, AT_ONCE // (width * self.block))
        bands = []
        for top in range(min(shift, height - 1), height, rows):
            hr = slice(top, min(height, top + rows))
            lr = adjoint.reach(hr)
            used = adjoint.window(hr, lr).any(0).nonzero().flatten()
            if len(used):
                lr = slice(lr.start + int(used[0]), lr.start + int(used[-1]) + 1)
            bands.append(Band(hr, lr, adjoint.window(hr, lr).float()))
        return bands

    def run(
        self,
        exact: Tensor,
        level: Tensor,
        error: Tensor,
        region: Tensor | None,
        steps: int,
        levels: int = 255,
    ) -> Tensor:
        """Move levels by one while that helps.

        Args:
            exact: ``(n, c, H, W)`` in levels.
            level: The whole numbers in 0 … `levels` that are nearest, float64.
            error: ``y − H level``, ``(n, c, h, w)`` float64 in levels.
            region: Which pixels may be moved, bool, ``(n, c, H, W)``; all of them by default.
            steps: Most passes.
            levels: The largest level, below 2²⁴, so that float32 holds it.

        Returns:
            ``(n, c, H, W)``, uint8 for up to 255 levels, else int32.
        """
        sign = torch.sign(exact.clamp(0, levels) - level).float().contiguous()
        if region is not None:
            sign *= region
        result = level.to(level_dtype(levels)).contiguous()
        planes = result.flatten(0, 1)
        left = self._move(planes.view(-1), sign.flatten(0, 1), error.flatten(0, 1), steps)
        where = None if region is None else region.flatten(0, 1)
        for i in beyond(left).flatten(1).any(1).nonzero().flatten().tolist():
            may = None if where is None else where[i]
            settle(planes[i], left[i], may, self.down, self.across, levels)
        return result

    def _move(self, level: Tensor, sign: Tensor, error: Tensor, steps: int) -> Tensor:
        """Move levels, flat, in place, and return the error that is left.

        The planes of `sign`, ``(k, H, W)``, and `error`, ``(k, h, w)``, are colours of images; each
        is left alone when it is done.
        """
        left = error.clone()
        area, enough = self.size[0] * self.size[1], self.enough * error[0].numel()
        squared, planes = error.square().sum((1, 2)), torch.arange(len(sign), device="cpu")
        idle, sparse = (
            torch.zeros(len(sign), device="cpu"),
            torch.zeros(len(sign), dtype=torch.bool, device="cpu"),
        )
        for step in range(steps):
            place = self._choice(sign, error, step % 2, step // 2 % 2, sparse)
            moved = sign.view(-1)[place]
            trial = error - self._shadow(place, moved, len(error))
            trial_squared = trial.square().sum((1, 2))
            helped, better = trial_squared < squared - enough, trial_squared < squared
            kept = better[place // area]
            place, moved = place[kept], moved[kept]
            where = planes[place // area] * area + place % area
            level[where] = (level[where] + moved).to(level.dtype)
            sign.view(-1)[place] = -moved
            error = torch.where(better[:, None, None], trial, error)
            squared = torch.where(better, trial_squared, squared)
            idle, sparse = torch.where(helped, 0, idle + 1), sparse | ~helped
            going = idle < PATIENCE
            left[planes] = error
            if not bool(going.any()):
                break
            if not bool(going.all()):
                state = (sign, error, squared, planes, idle, sparse)
                sign, error, squared, planes, idle, sparse = (part[going] for part in state)
        return left

    def _choice(
        self, sign: Tensor, error: Tensor, shifted: int, parity: int, sparse: Tensor
    ) -> Tensor:
        """The best pixel of every block that has one, flat, ``(n,)``; of every other block in the
        planes that are `sparse`, bool ``(k,)``."""
        block, (height, width) = self.block, self.size
        left = min(shifted * (block // 2), width - 1)
        across = self.columns_adjoint.along_width(error.float())
        chosen = []
        for band in self.bands[shifted]:
            gain = (band.values @ across[:, band.lr]).mul_(sign[:, band.hr])[..., left:]
            gain = _padded(gain, block)
            tall = gain.view(len(gain), -1, block, gain.shape[2])
            best, column = tall.amax(2).view(*tall.shape[:2], -1, block).max(3)
            good = 2 * best > self.weight
            rows = torch.arange(good.shape[1], device="cpu") + band.hr.start // block
            turn = (rows[:, None] + torch.arange(good.shape[2], device="cpu")) % 2 == parity
            good &= turn | ~sparse[:, None, None]
            plane, down, over = good.nonzero(as_tuple=True)
            column = over * block + column[plane, down, over]
            row = tall[plane, down, :, column].argmax(1) + down * block + band.hr.start
            chosen.append((plane * height + row) * width + column + left)
        return torch.cat(chosen)

    def _shadow(self, place: Tensor, moved: Tensor, planes: int) -> Tensor:
        """H of planes that are zero but for some pixels."""
        height, width = self.size
        row, column = place // width % height, place % width
        down, across = self.down.values[row], self.across.values[column]
        values = (moved.double()[:, None] * down)[:, :, None] * across[:, None]
        first = place // (height * width) * self.lr_size[0]
        results = (first[:, None] + self.down.results[row])[:, :, None] * self.lr_size[1]
        results = results + self.across.results[column, None]
        shadow = torch.zeros(planes, *self.lr_size, dtype=torch.float64, device="cpu")
        shadow.view(-1).index_add_(0, results.flatten(), values.flatten())
        return shadow


def _padded(gain: Tensor, block: int) -> Tensor:
    """With zeros below and on the right, so that it has whole blocks."""
    below, right = (-side % block for side in gain.shape[-2:])
    if below or right:
        return F.pad(gain, (0, right, 0, below))
    return gain.contiguous()
