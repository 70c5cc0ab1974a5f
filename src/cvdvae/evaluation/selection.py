"""The images that are measured: a part of a folder, with their low-resolution images."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from ..data.folder import refuse_counts
from ..degradations.base import shrink_to_8_bits
from ..degradations.downscaling import Downscaling
from ..errors import InputError
from ..imaging.crop import centre_square, random_square
from ..imaging.io import as_channels, list_images, read_photo, to_tensor
from ..restoration.tolerance import PhotonNoise, photons_of

Failures = dict[str, str]
"""A sentence on every image that could not be used, by its name."""


Damage = Callable[[Tensor, int], Tensor]
"""What is left of a true image, ``(C, H, W)`` in [0, 1], with the noise of a seed."""


class Pair(NamedTuple):
    """A true image, ``(C, H, W)`` in [0, 1], and what was seen of it.

    That is its low-resolution image, ``(C, h, w)`` in [0, 1], or whatever a degradation has left.
    """

    truth: Tensor
    y: Tensor


class Seeing(Protocol):
    """What knows how its images look; see `SuperResolver`."""

    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def any_size(self) -> bool: ...  # noqa: D102
    @property
    def photon_noise(self) -> PhotonNoise | None: ...  # noqa: D102


@dataclass(frozen=True)
class Selection:
    """Images of a folder, in the order of their names.

    Attributes:
        folder: The folder.
        start: First image; negative counts from the end.
        count: How many; all by default.
        crop: Side of the centred square that is cut out first; 0 takes the largest.
        random_crops: Cut the squares that are measured at random places, without resizing; by
            default for models that take any size, where `crop` says nothing. The places belong to
            the names of the files.
        channels: Of the images, 1 or 3.
        photons: As for `shrink_to_8_bits`; the noise belongs to the names of the files.
    """

    folder: Path
    start: int = 0
    count: int | None = None
    crop: int = 0
    random_crops: bool | None = None
    channels: int = 3
    photons: float = 0.0

    def __post_init__(self) -> None:
        if self.crop < 0 or (self.count is not None and self.count < 1):
            raise InputError("the number of images must be at least 1, and crop not negative")
        if self.crop and self.random_crops:
            raise InputError("squares at random places are cut as they are: leave crop out")

    def as_seen_by(self, model: Seeing) -> "Selection":
        """The same images with the channels and the noise that a model knows, cut as it takes
        them."""
        photons = photons_of(model.photon_noise)
        return replace(self.cut_for(model.any_size), channels=model.channels, photons=photons)

    def cut_for(self, any_size: bool) -> "Selection":
        """The same images, cut as models take them, where nothing was said of that."""
        if self.random_crops is not None:
            return self
        return replace(self, random_crops=any_size and not self.crop)

    def paths(self) -> list[Path]:
        """The files.

        Raises:
            InputError: There is none, or they hold a camera's counts.
        """
        paths = self._listed()
        refuse_counts(paths)
        return paths

    def all_paths(self) -> list[Path]:
        """The files from `start` on, whatever their `count`."""
        return replace(self, count=None)._listed()

    def __len__(self) -> int:
        return len(self._listed())

    def _listed(self) -> list[Path]:
        every = list_images(self.folder)
        if self.start < -len(every):
            raise InputError(f"{self.folder} holds {len(every)} images, not {-self.start}")
        paths = every[self.start :][: self.count]
        if not paths:
            raise InputError(f"{self.folder} has no image from number {self.start} on")
        return paths

    def truth(self, path: Path, size: int) -> Tensor:
        """One image, cut (and resized, antialiased bicubic), ``(C, size, size)``, in [0, 1].

        Raises:
            InputError: It cannot be read, or would have to be enlarged.
        """
        try:
            photo, _ = as_channels(read_photo(path).image, self.channels, self.photons > 0)
            if self.random_crops:
                photo = random_square(photo, size, _seed_of(path)).cut(photo)
            square = centre_square(photo, 0 if self.random_crops else self.crop)
        except InputError as error:
            raise InputError(
                str(error) if str(path) in str(error) else f"{path}: {error}"
            ) from None
        if square.width < size:
            raise InputError(
                f"{path} leaves {square.width}×{square.width} pixels, and the truth needs "
                f"{size}×{size}: an enlarged image is none"
            )
        return to_tensor(square.resize((size, size), Image.Resampling.BICUBIC))

    def pair(self, path: Path, degradation: Downscaling) -> Pair:
        """One image with its low-resolution image, rounded to 8 bits."""
        return self.damaged(path, degradation.hr_size[0], partial(self._shrunk, degradation))

    def damaged(self, path: Path, size: int, damage: Damage) -> Pair:
        """One image of this side with what is left of it; the noise belongs to the file's name."""
        truth = self.truth(path, size)
        return Pair(truth, damage(truth, _seed_of(path) >> 1))

    def truths(self, size: int, failures: Failures) -> Iterator[Tensor]:
        """All images that can be used; the others are put into `failures`."""
        for path in self.paths():
            try:
                yield self.truth(path, size)
            except InputError as error:
                failures[path.name] = str(error)

    def pairs(self, degradation: Downscaling, failures: Failures) -> Iterator[Pair]:
        """All images that can be used, with their low-resolution images."""
        damage = partial(self._shrunk, degradation)
        return self.all_damaged(degradation.hr_size[0], damage, failures)

    def all_damaged(self, size: int, damage: Damage, failures: Failures) -> Iterator[Pair]:
        """All images that can be used, each as `damaged`; the others are put into `failures`."""
        for path in self.paths():
            try:
                yield self.damaged(path, size, damage)
            except InputError as error:
                failures[path.name] = str(error)

    def _shrunk(self, degradation: Downscaling, truth: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return shrink_to_8_bits(truth[None], degradation, self.photons, generator)[0]


def _seed_of(path: Path) -> int:
    """A seed that belongs to the name of a file."""
    return int.from_bytes(sha256(os.fsencode(path.name)).digest()[:8], "big")
