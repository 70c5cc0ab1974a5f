"""Whether a sample gives the input back, checked strip by strip while it is written."""

import torch
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..degradations.strip import sees
from ..imaging.io import eight_bit_values, to_bytes


class RoundTrip:
    """``Hx − y`` of one saved sample that comes from the top downwards.

    Args:
        y: The low-resolution image in [0, 1], ``(1, 3, h, w)``.
        degradation: H.

    Attributes:
        exact: Whether every row so far gives y's 8-bit values back.
        largest: Largest ``|Hx − y|`` so far, in 8-bit levels.
        squares: Sum of ``(Hx − y)²`` so far, in units of [0, 1].
    """

    def __init__(self, y: Tensor, degradation: Downscaling) -> None:
        self.y, self.degradation = y, degradation
        self.exact, self.largest, self.squares = True, 0.0, 0.0
        self.row, self.top = 0, 0
        self.seen = torch.empty(1, 3, 0, degradation.lr_size[1], dtype=torch.float64)

    def add(self, pixels: Tensor) -> None:
        """The next rows, uint8, ``(1, 3, rows, W)``."""
        across = self.degradation.columns.along_width(pixels.double() / 255)
        self.seen = torch.cat([self.seen, across], 2)
        end = self.top + self.seen.shape[2]
        last = self.row
        while last < self.degradation.lr_size[0] and sees(self.degradation, last).stop <= end:
            last += 1
        if last == self.row:
            return
        part = self.degradation.rows.window(slice(self.row, last), slice(self.top, end))
        y = self.y[:, :, self.row : last]
        error = part @ self.seen - eight_bit_values(y)
        self.exact &= torch.equal(to_bytes(eight_bit_values(y) + error), to_bytes(y))
        self.largest = max(self.largest, 255 * float(error.abs().max()))
        self.squares += float(error.square().sum())
        self.row = last
        if last < self.degradation.lr_size[0]:
            start = sees(self.degradation, last).start
            self.seen, self.top = self.seen[:, :, start - self.top :], start

    @property
    def lr_psnr(self) -> float:
        """LR-PSNR in dB; infinite without any error."""
        if not self.squares:
            return float("inf")
        return float(-10 * torch.log10(torch.tensor(self.squares / self.y.numel())))
