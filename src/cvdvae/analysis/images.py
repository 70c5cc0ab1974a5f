"""The images of an analysis: a part of a folder, and their low-resolution images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..data.folder import list_images, load_images
from ..degradation import BicubicDownscaling, shrink_to_8_bits
from ..errors import InputError


class Pair(NamedTuple):
    """A true image, ``(3, H, W)``, and its low-resolution image, ``(3, h, w)``, in [0, 1]."""

    truth: Tensor
    y: Tensor


@dataclass(frozen=True)
class Selection:
    """Images of a folder, in the order of their names.

    Attributes:
        folder: The folder.
        start: First image; negative counts from the end.
        count: How many; all by default.
        crop: Side of the centred square that is cut out first; 0 takes the largest.
    """

    folder: Path
    start: int = 0
    count: int | None = None
    crop: int = 0

    def paths(self) -> list[Path]:
        """The files.

        Raises:
            InputError: There is none.
        """
        paths = list_images(self.folder)[self.start :][: self.count]
        if not paths:
            raise InputError(f"{self.folder} has no image from number {self.start} on")
        return paths

    def count_images(self) -> int:
        """How many there are."""
        return len(self.paths())

    def truths(self, size: int) -> Iterator[Tensor]:
        """The images one by one, ``(3, size, size)``, in [0, 1].

        Raises:
            InputError: There is none, or one cannot be read.
        """
        for path in self.paths():
            yield load_images([path], size, self.crop)[0].float() / 255

    def pairs(self, degradation: BicubicDownscaling) -> Iterator[Pair]:
        """The images with their low-resolution images, rounded to 8 bits."""
        for truth in self.truths(degradation.hr_size[0]):
            yield Pair(truth, shrink_to_8_bits(truth[None], degradation)[0])
