"""Pixels that are missing, as plain data: painted, by chance, a rectangle, a half, or none."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..degradations.base import LinearOperator
from ..degradations.mask import Mask
from ..errors import ConfigError, InputError
from .packed import unpack
from .step import Size, Step


@dataclass(frozen=True)
class Masked(Step):
    """Pixels that are missing."""

    @abstractmethod
    def known(self, size: Size) -> Tensor:
        """Which are seen, bool ``(H, W)``."""

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of the mask."""
        return Mask(self.known(hr_size))


@dataclass(frozen=True)
class OnlyNoise(Masked):
    """Nothing but noise: every pixel is seen."""

    def known(self, size: Size) -> Tensor:
        """All of them."""
        return torch.ones(size, dtype=torch.bool, device="cpu")


def check_noise_is_last(steps: Sequence[Step], more: bool = False) -> None:
    """Refuse noise that went into a later step, which would have changed it; a mask does not.

    Args:
        steps: In the order in which they happened.
        more: Whether another step than a mask follows them.

    Raises:
        ConfigError: There is such noise.
    """
    noise = next((i for i, step in enumerate(steps) if isinstance(step, OnlyNoise)), len(steps))
    behind = steps[noise:]
    if behind and (more or not all(isinstance(step, Masked) for step in behind)):
        raise ConfigError(
            "what happened to noise is not modelled: 'noise' comes last, or is left out where "
            "--noise names it"
        )


def check_noise_is_told(steps: Sequence[Step], sigma: float | str | None) -> None:
    """Refuse the word ``noise`` where nothing says how strong it is.

    Raises:
        InputError: So it is.
    """
    if not sigma and any(isinstance(step, OnlyNoise) for step in steps):
        raise InputError("'noise' needs a σ above 0: name one, as 0.02, or leave 'noise' out")


@dataclass(frozen=True)
class MaskFromFile(Masked):
    """A painted mask, white where something is missing: `file`, and what it holds `packed`."""

    file: str = ""
    packed: str = ""

    def __post_init__(self) -> None:
        missing = unpack(self.packed, torch.bool)
        if not bool(missing.any()):
            raise InputError(
                f"the mask {self.file} hides nothing: paint white what is missing, and "
                f"leave black or transparent what is seen"
            )
        Mask(~missing)

    def known(self, size: Size) -> Tensor:
        """What was not painted."""
        missing = unpack(self.packed, torch.bool)
        if missing.shape != size:
            lies = missing.shape == size[::-1]
            turned = ": turn it (images are taken upright, as their EXIF says)" if lies else ""
            raise InputError(
                f"the mask {self.file} has {missing.shape[1]}×{missing.shape[0]} pixels, but the "
                f"image has {size[1]}×{size[0]}{turned}"
            )
        return ~missing


@dataclass(frozen=True)
class RandomPixels(Masked):
    """A share `keep` of all pixels is seen, chosen by `seed`."""

    keep: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise InputError(f"the share of pixels to keep is above 0 and at most 1: {self.keep}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"a seed is a whole number from 0 to 2^63 − 1, not {self.seed}")

    def known(self, size: Size) -> Tensor:
        """The pixels with the smallest random numbers."""
        generator = torch.Generator().manual_seed(self.seed)
        pixels = size[0] * size[1]
        chance = torch.rand(pixels, generator=generator, dtype=torch.float64, device="cpu")
        order = chance.argsort()
        known = torch.zeros(pixels, dtype=torch.bool, device="cpu")
        known[order[: max(1, round(self.keep * len(known)))]] = True
        return known.view(size)


@dataclass(frozen=True)
class Hole(Masked):
    """A rectangle is missing: at `top`, `left`, of `height`, `width`; or a square of a `side` in
    the middle."""

    top: int | None = None
    left: int | None = None
    height: int | None = None
    width: int | None = None
    side: int | None = None

    def __post_init__(self) -> None:
        placed = (self.top, self.left, self.height, self.width)
        given = [value is not None for value in placed]
        if not all(given) if self.side is None else any(given):
            raise InputError("a hole has top, left, height and width, or a side alone")
        extent = [v for v in (self.height, self.width, self.side) if v is not None]
        if min(extent) < 1 or min(self.top or 0, self.left or 0) < 0:
            raise InputError("a hole is at least one pixel high and wide, and within the image")

    def known(self, size: Size) -> Tensor:
        """All around it."""
        if self.side is not None:
            top, left = (size[0] - self.side) // 2, (size[1] - self.side) // 2
            height = width = self.side
        else:
            top, left = self.top or 0, self.left or 0
            height, width = self.height or 0, self.width or 0
        if min(top, left) < 0 or top + height > size[0] or left + width > size[1]:
            raise InputError(
                f"a hole of {width}×{height} pixels is not within an image of {size[1]}×{size[0]}"
            )
        known = torch.ones(size, dtype=torch.bool, device="cpu")
        known[top : top + height, left : left + width] = False
        return known


@dataclass(frozen=True)
class Half(Masked):
    """The half on one `side` is missing."""

    side: Literal["left", "right", "top", "bottom"] = "left"

    def known(self, size: Size) -> Tensor:
        """The other half."""
        places = (torch.arange(n, device="cpu") for n in size)
        row, column = torch.meshgrid(*places, indexing="ij")
        place, length = (column, size[1]) if self.side in ("left", "right") else (row, size[0])
        first = place < length // 2
        return ~first if self.side in ("left", "top") else first
