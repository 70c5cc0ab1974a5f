"""Means over the validation images of all processes."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


class Means:
    """Means of what is measured, each over the images that it was measured of.

    The names are settled beforehand, so that all processes exchange the same numbers, whatever
    images each of them has: a name that only some knew would have them wait for the others for
    good.

    Args:
        names: What may be measured.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.sums = dict.fromkeys(names, 0.0)
        self.images = dict.fromkeys(self.sums, 0)

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Take in what was measured of some images: for each of them a name and a value."""
        for name, value in zip(names, values.tolist(), strict=True):
            self.sums[name] += value
            self.images[name] += 1

    def of_all(
        self, total: Callable[[Tensor], Tensor], device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """The means of what was measured of any image, the same in all processes.

        Args:
            total: Gives the sum of a tensor over all processes; all must call this.
            device: Where their tensors meet.
        """
        table = [list(of.values()) for of in (self.sums, self.images)]
        sums, images = total(torch.tensor(table, device=device))
        means = zip(self.sums, sums / images, images.tolist(), strict=True)
        return {name: mean for name, mean, count in means if count}
