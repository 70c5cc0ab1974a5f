"""What can happen to an image, as plain data: one small dataclass, and one row of `KINDS`, each.

A kind says which size an image has before and after it, and builds its operator H for a size. What
it needs from a file is a part of its data, packed, so that a result can be made again without it.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..degradations.base import LinearOperator
from ..degradations.bicubic import downscaling
from ..degradations.block_dct import BlockDCT, steps_at
from ..degradations.blur import Blur, Boundary, box, checked, gaussian, motion
from ..degradations.kernels import KERNELS
from ..degradations.mask import BAYER, bayer, luminance
from ..errors import InputError
from .mask_kinds import Half, Hole, MaskFromFile, OnlyNoise, RandomPixels
from .packed import pack_kernel, pack_mask, unpack
from .step import Size, Step

MAX_SCALE = 64


@dataclass(frozen=True)
class Convolution(Step):
    """A blur. `boundary` is what is assumed beyond the border, as `degradations.blur` has it."""

    boundary: Boundary = "reflect"

    @abstractmethod
    def kernel(self) -> Tensor:
        """Its kernel, ``(h, w)`` float64."""

    def __post_init__(self) -> None:
        self.kernel()

    def lr_size(self, hr_size: Size) -> Size:
        """Smaller by the kernel where only what is `valid` is kept."""
        lost = [k - 1 if self.boundary == "valid" else 0 for k in self.kernel().shape]
        return hr_size[0] - lost[0], hr_size[1] - lost[1]

    def hr_size(self, lr_size: Size) -> Size:
        """Larger by the kernel where only what is `valid` was kept."""
        lost = [k - 1 if self.boundary == "valid" else 0 for k in self.kernel().shape]
        return lr_size[0] + lost[0], lr_size[1] + lost[1]

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of the blur."""
        return Blur(hr_size, self.kernel(), self.boundary)


@dataclass(frozen=True)
class GaussianBlur(Convolution):
    """A blur of standard deviation `sigma` pixels."""

    sigma: float = 2.0

    def kernel(self) -> Tensor:
        """Its kernel."""
        return gaussian(self.sigma)


@dataclass(frozen=True)
class BoxBlur(Convolution):
    """The mean of a square of `side` pixels."""

    side: int = 5

    def kernel(self) -> Tensor:
        """Its kernel."""
        if not 1 <= self.side <= 401:
            raise InputError(f"the side of a box must be from 1 to 401 pixels, not {self.side}")
        return box(self.side)


@dataclass(frozen=True)
class MotionBlur(Convolution):
    """A straight movement over `length` pixels, `angle` degrees counterclockwise from the right."""

    length: float = 9.0
    angle: float = 0.0

    def kernel(self) -> Tensor:
        """Its kernel."""
        return motion(self.length, self.angle)


@dataclass(frozen=True)
class KernelFromFile(Convolution):
    """A blur whose kernel stands in `file`, and `packed` in the description itself."""

    file: str = ""
    packed: str = ""

    def kernel(self) -> Tensor:
        """Its kernel."""
        kernel = unpack(self.packed, torch.float64)
        return checked(kernel, (kernel.shape[0], kernel.shape[1]))


@dataclass(frozen=True)
class Shrunk(Step):
    """Both sides were divided by `scale`, `by` one of the `KERNELS`."""

    scale: int = 4
    by: str = "bicubic"

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= MAX_SCALE:
            raise InputError(f"the scale is a whole number from 1 to {MAX_SCALE}: {self.scale}")
        if self.by not in KERNELS:
            raise InputError(f"there is no kernel '{self.by}': take one of {', '.join(KERNELS)}")

    def lr_size(self, hr_size: Size) -> Size:
        """Divided, rounded down."""
        return hr_size[0] // self.scale, hr_size[1] // self.scale

    def hr_size(self, lr_size: Size) -> Size:
        """Multiplied."""
        return lr_size[0] * self.scale, lr_size[1] * self.scale

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of the program."""
        return downscaling(hr_size, self.lr_size(hr_size), self.by)


@dataclass(frozen=True)
class Grey(Step):
    """Only the luminance is left."""

    colours = (3, 1)

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of luminance."""
        return luminance()


@dataclass(frozen=True)
class Mosaic(Step):
    """A camera's sensor: one colour of every pixel, by the `pattern` of a 2×2 tile."""

    colours = (3, 1)
    pattern: str = "RGGB"

    def __post_init__(self) -> None:
        if self.pattern not in BAYER:
            raise InputError(f"there is no mosaic '{self.pattern}': take one of {', '.join(BAYER)}")

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of the mosaic."""
        return bayer(hr_size, self.pattern)


SUBSAMPLINGS: dict[int | str, tuple[int, int] | None] = {
    1: (1, 1),
    2: (2, 2),
    "4:4:4": (1, 1),
    "4:2:0": (2, 2),
    "4:2:2": (1, 2),
    "4:0:0": None,
}
"""Over how many rows and columns chroma is averaged; None for a grey file, which has none."""


@dataclass(frozen=True)
class JPEG(Step):
    """JPEG of a `quality`, or of a file's own tables `luma` and `chroma`, 64 steps each, row by
    row; of chroma there is what `subsampling` leaves, one of `SUBSAMPLINGS`."""

    colours = (3, 3)
    pictures = False
    quality: int | None = None
    subsampling: int | str = 2
    luma: tuple[int, ...] | None = None
    chroma: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.subsampling not in SUBSAMPLINGS:
            known = ", ".join(map(str, SUBSAMPLINGS))
            raise InputError(f"the subsampling of chroma is one of {known}: {self.subsampling}")
        own = (self.luma is not None) + (self.chroma is not None)
        needed = 2 if SUBSAMPLINGS[self.subsampling] else 1
        if own != (needed if self.quality is None else 0) or (own and self.luma is None):
            raise InputError(
                "a JPEG has a quality, or its own tables luma and chroma: say it, as in "
                "jpeg:quality=75"
            )
        self.operator((8, 8))

    def operator(self, hr_size: Size) -> LinearOperator:
        """H of its coefficients."""
        if self.quality is not None:
            luma, chroma = steps_at(self.quality)
        else:
            luma, chroma = (_table(self.luma), _table(self.chroma or self.luma))
        averaged = SUBSAMPLINGS[self.subsampling]
        if averaged is None:
            return BlockDCT(hr_size, luma, None)
        return BlockDCT(hr_size, luma, chroma, averaged)


def _table(steps: tuple[int, ...] | None) -> Tensor:
    if steps is None or len(steps) != 64:
        raise InputError("a JPEG's own tables have 64 steps each")
    return torch.tensor(steps, dtype=torch.float64, device="cpu").view(8, 8)


Packer = Callable[[Path], str]

KINDS: dict[str, type[Step]] = {
    "blur": GaussianBlur,
    "box": BoxBlur,
    "motion": MotionBlur,
    "kernel": KernelFromFile,
    "mask": MaskFromFile,
    "random": RandomPixels,
    "hole": Hole,
    "half": Half,
    "downscale": Shrunk,
    "noise": OnlyNoise,
    "grey": Grey,
    "bayer": Mosaic,
    "jpeg": JPEG,
}
"""By the name that a description gives them."""

PACKERS: dict[str, Packer] = {"kernel": pack_kernel, "mask": pack_mask}
"""How the file of a kind is read."""
