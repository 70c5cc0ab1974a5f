"""Whether a sample gives the input back, checked strip by strip while it is written."""

import math

import torch
from torch import Tensor

from ..degradations.base import cut_as
from ..degradations.downscaling import Downscaling
from ..degradations.strip import sees
from ..imaging.values import EIGHT_BITS, decibels_of, exact_values, from_levels, to_levels


class RoundTrip:
    """``Hx − y`` of one saved sample that comes from the top downwards.

    Hx is cut as y was (`cvdvae.degradations.base.cut_as`), but where values are not rounded.

    Args:
        y: The low-resolution image in [0, 1], ``(1, C, h, w)``.
        degradation: H.
        levels: Of y and of the sample; None for values that are not rounded.
        counted: Which values of y count, bool, ``(C, h, w)``; all of them by default.
        sigma: Standard deviation of the noise in y, in units of [0, 1].

    Attributes:
        missed: How many values of y the rows so far do not give back.
        largest: Largest ``|Hx − y|`` so far, in levels; in units of [0, 1] where there are none.
        squares: Sum of ``(Hx − y)²`` so far, in units of [0, 1].
        values: How many values of y count.
    """

    def __init__(
        self,
        y: Tensor,
        degradation: Downscaling,
        levels: int | None = EIGHT_BITS,
        counted: Tensor | None = None,
        sigma: float = 0.0,
    ) -> None:
        self.y, self.degradation, self.levels, self.sigma = y, degradation, levels, sigma
        everything = torch.ones(y.shape[1:], dtype=torch.bool, device="cpu")
        self.counted = everything if counted is None else counted
        self.values = int(self.counted.sum())
        self.missed, self.largest, self.squares = 0, 0.0, 0.0
        self.row, self.top = 0, 0
        nothing = (1, y.shape[1], 0, degradation.lr_size[1])
        self.seen = torch.empty(nothing, dtype=torch.float64, device="cpu")

    def add(self, pixels: Tensor) -> None:
        """The next rows, as `finish` gives their pixels, ``(1, C, rows, W)``."""
        if self.row == self.degradation.lr_size[0]:  # rows that no row of y sees
            return
        across = self.degradation.columns.along_width(from_levels(pixels, self.levels))
        self.seen = torch.cat([self.seen, across], 2)
        end = self.top + self.seen.shape[2]
        last = self.row
        while last < self.degradation.lr_size[0] and sees(self.degradation, last).stop <= end:
            last += 1
        if last == self.row:
            return
        part = self.degradation.rows.window(slice(self.row, last), slice(self.top, end))
        y = exact_values(self.y[:, :, self.row : last], self.levels)
        self._compare(part @ self.seen, y, self.counted[:, self.row : last])
        self.row = last
        if last < self.degradation.lr_size[0]:
            start = min(end, sees(self.degradation, last).start)  # some programs leave rows out
            self.seen, self.top = self.seen[:, :, start - self.top :], start
        else:  # a result of many planes keeps all its trips; a slice would keep its pixels
            held = (self.seen, self.y, self.counted)
            self.seen, self.y, self.counted = (one[:0].clone() for one in held)

    def _compare(self, shrunk: Tensor, y: Tensor, counted: Tensor) -> None:
        if self.levels is not None:
            shrunk = cut_as(y, shrunk, self.sigma)
        given_back = to_levels(shrunk, self.levels) == to_levels(y, self.levels)
        self.missed += int((~given_back & counted).sum())
        error = (shrunk - y) * counted
        largest = float(error.abs().max().nan_to_num(math.inf))  # max(0, nan) is 0
        self.largest = max(self.largest, (self.levels or 1) * largest)
        self.squares += float(error.square().sum())

    @property
    def exact(self) -> bool:
        """Whether every row so far gives y's levels back."""
        return self.missed == 0

    @property
    def lr_psnr(self) -> float:
        """LR-PSNR in dB; infinite without any error."""
        return decibels_of(self.squares, self.values)


def misfit(trips: list[RoundTrip]) -> float | None:
    """Root mean square of ``(Hx − y) / σ`` over the planes of a sample that have noise; None where
    none has.

    The true image has 1 on average.
    """
    noisy = [trip for trip in trips if trip.sigma]
    if not noisy:
        return None
    values = sum(trip.values for trip in noisy)
    squares = sum(trip.squares / trip.sigma**2 for trip in noisy)
    return float((squares / max(1, values)) ** 0.5)
