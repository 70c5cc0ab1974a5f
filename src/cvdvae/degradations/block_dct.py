"""JPEG as a linear operator: what its coefficients are before they are rounded.

An image in [0, 1] becomes luma and chroma (JFIF), chroma is averaged over `subsampling` rows and
columns, or left out where a file is grey, every plane is continued to whole blocks of 8×8, and the
orthonormal cosine transform of each is divided by the quantization steps q. A file holds these
numbers rounded: ``y = Hx + n`` with every n between −½ and ½. Where a coefficient varies by several
steps n is uniform, of standard deviation ``ROUNDING = 1/√12``, which is taken for all of them. Most
of a photograph's are far smaller than a step and become 0: their n is smaller, too. The middle grey
that JPEG subtracts first is added to y again, so that H is linear.
"""

import math
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .base import check_shape
from .damped import Damped

BLOCK, MIDDLE = 8, 128.0
ROUNDING = 1 / math.sqrt(12)
"""Standard deviation of a coefficient's rounding, in quantization steps."""

LUMA_CHROMA = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)

LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantization steps of luma at quality 50 (ITU-T T.81, annex K), which libjpeg scales."""

CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def steps_at(quality: int) -> tuple[Tensor, Tensor]:
    """Quantization steps of luma and chroma as libjpeg scales them, each ``(8, 8)`` float64.

    Raises:
        InputError: A quality that is not from 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise InputError(f"a JPEG's quality is a whole number from 1 to 100, not {quality}")
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = (
        torch.tensor(table, dtype=torch.float64, device="cpu")
        for table in (LUMA_STEPS, CHROMA_STEPS)
    )
    luma, chroma = (((table * scale + 50) / 100).floor().clamp(1, 255) for table in tables)
    return luma, chroma


class BlockDCT(Damped):
    """H from an RGB image to the coefficients of a JPEG file, in units of their quantization steps.

    Args:
        size: Height and width.
        luma: Quantization steps of luma, ``(8, 8)``.
        chroma: Quantization steps of chroma, ``(8, 8)``; None for a grey file, without any chroma.
        subsampling: Over how many rows and columns chroma is averaged: 1 for 4:4:4, 2 for 4:2:0,
            ``(1, 2)`` for 4:2:2.

    Attributes:
        planes: Height and width of each plane, of whole blocks.
        count: How many coefficients all of them have, M.
        tables: The steps of each.

    Raises:
        InputError: Steps that are not positive, or another subsampling.
    """

    mixes_colours = True

    def __init__(
        self,
        size: tuple[int, int],
        luma: Tensor,
        chroma: Tensor | None,
        subsampling: int | tuple[int, int] = 2,
    ) -> None:
        tables = [luma] if chroma is None else [luma, chroma, chroma]
        if not all(q.shape == (8, 8) and bool((q > 0).all()) for q in tables):
            raise InputError("the quantization steps of a JPEG are tables of 8×8, all positive")
        pooled = (subsampling, subsampling) if isinstance(subsampling, int) else subsampling
        if pooled not in ((1, 1), (2, 2), (1, 2)):
            raise InputError(f"the subsampling of chroma is 1, 2 or (1, 2), not {subsampling}")
        self.size, self.subsampling = size, pooled if chroma is not None else (1, 1)
        self.tables = [q.detach().cpu().double() for q in tables]
        units = [BLOCK * s for s in self.subsampling]
        height, width = (up_to(unit, side) for side, unit in zip(size, units, strict=True))
        down, right = self.subsampling
        luma_size = (up_to(BLOCK, size[0]), up_to(BLOCK, size[1]))
        self.padded = (height, width)
        self.planes = [luma_size, *[(height // down, width // right)] * (len(tables) - 1)]
        self.count = sum(h * w for h, w in self.planes)

    @property
    def rounding(self) -> float:
        """Standard deviation, in steps, of what the coefficients of a file of pixels have lost.

        Beside their own rounding, whole levels: of luma and chroma before the transform, and of the
        pixels that they are read from; each of 1/12 squared levels, 1/(12 q²) squared steps, and
        more in what is repeated to fill a block, whose roundings are one.
        """
        halves = [-(-side // s) for side, s in zip(self.size, self.subsampling, strict=True)]
        owns = [self.size, *[(halves[0], halves[1])] * (len(self.planes) - 1)]
        levels = 0.0
        for (height, width), q in zip(owns, self.tables, strict=True):
            levels += float(_repeated(height) @ q.pow(-2) @ _repeated(width))
        return ROUNDING * math.sqrt(1 + 2 * levels / self.count)

    @property
    def _rows(self) -> int:
        """Those that chroma is averaged over: libjpeg repeats the last mean behind them, and not
        the image's last row."""
        return up_to(self.subsampling[0], self.size[0])

    @classmethod
    def of_quality(
        cls, size: tuple[int, int], quality: int, subsampling: int | tuple[int, int] = 2
    ) -> "BlockDCT":
        """That of libjpeg's tables at a quality."""
        return cls(size, *steps_at(quality), subsampling)

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, 3, H, W)`` to ``(N, M)``, luma, then Cb and Cr, block after block."""
        check_shape(x, 3, *self.size)
        mixing = x.new_tensor(LUMA_CHROMA[: len(self.planes)])
        planes = torch.einsum("ij,njhw->nihw", mixing, 255 * x)
        parts = [continued(planes[:, :1], self.planes[0])[:, 0]]
        if len(self.planes) > 1:
            whole = continued(planes[:, 1:], (self._rows, self.padded[1]))
            averaged = F.avg_pool2d(whole, self.subsampling)
            parts += continued(averaged, self.planes[1]).unbind(1)
        return torch.cat([transformed(p, q) for p, q in zip(parts, self.tables, strict=True)], 1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, M)`` to ``(N, 3, H, W)``."""
        check_shape(y, self.count)
        parts = y.split([h * w for h, w in self.planes], 1)
        luma, *chroma = (
            transformed_back(part, q, size)[:, None]
            for part, q, size in zip(parts, self.tables, self.planes, strict=True)
        )
        planes, (down, right) = [folded(luma, self.size)], self.subsampling
        for plane in chroma:
            averaged = folded(plane, (self._rows // down, self.padded[1] // right))
            wide = averaged.repeat_interleave(down, 2).repeat_interleave(right, 3)
            planes.append(folded(wide / (down * right), self.size))
        mixing = y.new_tensor(LUMA_CHROMA[: len(self.planes)])
        return 255 * torch.einsum("ij,nihw->njhw", mixing, torch.cat(planes, 1))

    def solve(self, y: Tensor, damping: float) -> Tensor | None:
        """``(H Hᵀ + λ I)⁻¹ y`` of whole blocks without subsampling, else None: a coefficient then
        depends on those of the two other planes at its place alone."""
        check_shape(y, self.count)
        if self.subsampling != (1, 1) or self.padded != self.size:
            return None
        planes = y.view(len(y), len(self.planes), -1, BLOCK**2)
        inverse = self._inverse(damping, y)
        return torch.einsum("fij,njbf->nibf", inverse, planes).reshape_as(y)

    def precondition(self, r: Tensor, damping: float) -> Tensor:
        """``r / (diag(H Hᵀ) + λ)``."""
        return r / (self._diagonal.to(r) + damping)

    def _inverse(self, damping: float, like: Tensor) -> Tensor:
        """That of the planes at each of a block's 64 places, ``(64, 3, 3)`` or ``(64, 1, 1)``."""
        steps = torch.stack(self.tables).flatten(1).T
        mixing = torch.tensor(LUMA_CHROMA[: len(self.planes)], dtype=torch.float64, device="cpu")
        gram = 255**2 * (mixing @ mixing.T) / (steps[:, :, None] * steps[:, None, :])
        identity = torch.eye(len(self.planes), dtype=torch.float64, device="cpu")
        inverse: Tensor = torch.linalg.inv(gram + damping * identity)
        return inverse.to(like)

    @cached_property
    @torch.inference_mode(False)
    def _diagonal(self) -> Tensor:
        """The diagonal of ``H Hᵀ`` away from borders, ``(1, M)`` float64."""
        colours = (
            torch.tensor(LUMA_CHROMA, dtype=torch.float64, device="cpu").square().sum(1) * 255**2
        )
        averaged = self.subsampling[0] * self.subsampling[1]
        parts = [
            (colours[i] / (averaged if i else 1) / q.square()).flatten().repeat(h * w // BLOCK**2)
            for i, (q, (h, w)) in enumerate(zip(self.tables, self.planes, strict=True))
        ]
        return torch.cat(parts)[None]

    def mean_eigenvalue(self) -> float:
        """``tr(H Hᵀ) / m``, away from borders."""
        return float(self._diagonal.mean())

    @cached_property
    @torch.inference_mode(False)
    def middle(self) -> Tensor:
        """What y is of the middle grey, which a file leaves out: ``(1, M)`` float64."""
        return self.A(
            torch.full((1, 3, *self.size), MIDDLE / 255, dtype=torch.float64, device="cpu")
        )

    def of_file(self, whole: Tensor) -> Tensor:
        """y of the whole numbers ``(N, M)`` that a file holds, float64.

        Those of a result from before are longer where luma was continued as far as chroma is: the
        blocks that no file holds are dropped.
        """
        (height, width), (padded_height, padded_width) = self.planes[0], self.padded
        luma, y = padded_height * padded_width, self.middle.to(whole.device)
        if height * width < luma and whole.shape[1] == y.shape[1] + luma - height * width:
            blocks = whole[:, :luma].view(len(whole), padded_height // BLOCK, -1, BLOCK**2)
            own = blocks[:, : height // BLOCK, : width // BLOCK].flatten(1)
            whole = torch.cat([own, whole[:, luma:]], 1)
        return whole.double() + y

    def in_file(self, y: Tensor) -> Tensor:
        """The whole numbers ``(N, M)`` that are nearest to y, float64."""
        return torch.round(y.double() - self.middle.to(y.device))

    def rounded(self, x: Tensor) -> Tensor:
        """What a file of x holds: y of ``(N, 3, H, W)`` in [0, 1] with whole coefficients."""
        return self.of_file(self.in_file(self.A(x))).to(x)


def up_to(unit: int, side: int) -> int:
    """The least multiple of a unit that is no less than a side."""
    return -(-side // unit) * unit


def continued(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Planes ``(n, c, h, w)`` whose last row and column are repeated up to a size."""
    height, width = planes.shape[2:]
    return F.pad(planes, (0, size[1] - width, 0, size[0] - height), mode="replicate")


def folded(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """The adjoint of `continued`: what lies beyond is added to the last row and column."""
    for dim, side in ((2, size[0]), (3, size[1])):
        kept, beyond = planes.split([side - 1, planes.shape[dim] - side + 1], dim)
        planes = torch.cat([kept, beyond.sum(dim, keepdim=True)], dim)
    return planes


def enlargement(side: int) -> Tensor:
    """How libjpeg makes a side of chroma out of half as many values, ``(side, ⌈side/2⌉)``: ¾ of the
    nearer, ¼ of the farther."""
    half = (side + 1) // 2
    matrix = torch.zeros(side, half, dtype=torch.float64, device="cpu")
    pixel = torch.arange(side, device="cpu")
    near = pixel // 2
    far = (near + 2 * (pixel % 2) - 1).clamp(0, half - 1)
    matrix[pixel, near] += 0.75
    matrix[pixel, far] += 0.25
    return matrix


def before_enlargement(planes: Tensor, dim: int) -> Tensor:
    """What `enlargement` E was made of, by its pseudo-inverse ``(EᵀE)⁻¹ Eᵀ``: EᵀE is a band of
    three diagonals.

    Args:
        planes: Enlarged, ``(n, H, W)`` float64.
        dim: 1 or 2: the height, or the width, of which ⌈side/2⌉ values are left.
    """
    from scipy.linalg import solveh_banded

    enlarged = planes.movedim(dim, 0)
    pixel = torch.arange(len(enlarged), device="cpu")
    half, near = (len(enlarged) + 1) // 2, pixel // 2
    if half == 1:
        return planes.mean(dim, keepdim=True)
    far = (near + 2 * (pixel % 2) - 1).clamp(0, half - 1)
    sums = enlarged.new_zeros(half, *enlarged.shape[1:])
    sums.index_add_(0, near, 0.75 * enlarged).index_add_(0, far, 0.25 * enlarged)
    band = enlarged.new_zeros(2, half)
    both = (near == far).to(band)  # at the ends: (¾ + ¼)² = ¾² + ¼² + 2 · ¾ · ¼
    band[1].index_add_(0, near, 0.75**2 + 0.375 * both)
    band[1].index_add_(0, far, torch.full_like(both, 0.25**2))
    band[0].index_add_(0, torch.maximum(near, far), 0.1875 * (1 - both))
    found = torch.from_numpy(solveh_banded(band.numpy(), sums.flatten(1).numpy()))
    return found.view_as(sums).movedim(0, dim)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def cosines() -> Tensor:
    """The orthonormal cosine transform of a block's side, ``(8, 8)`` float64."""
    k = torch.arange(BLOCK, dtype=torch.float64, device="cpu")
    matrix = torch.cos(math.pi * k[:, None] * (k + 0.5) / BLOCK) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def _repeated(side: int) -> Tensor:
    """Of a side of independent values, the last of which is repeated to fill a block: the variance
    of its coefficients in units of theirs, added up over the blocks, ``(8,)`` float64."""
    own = (side - 1) % BLOCK
    last = torch.cat([cosines()[:, :own], cosines()[:, own:].sum(1, keepdim=True)], 1)
    return (side - 1) // BLOCK + last.square().sum(1)


def transformed(plane: Tensor, steps: Tensor) -> Tensor:
    """The coefficients of a plane ``(N, h, w)`` of whole blocks in units of their steps, block
    after block, ``(N, h w)``."""
    blocks = plane.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    c = cosines().to(plane)
    return ((c @ blocks @ c.T) / steps.to(plane)).flatten(1)


def transformed_back(coefficients: Tensor, steps: Tensor, size: tuple[int, int]) -> Tensor:
    """The adjoint of `transformed`: with the inverse of the steps, its inverse."""
    height, width = size
    c = cosines().to(coefficients)
    blocks = coefficients.view(-1, height // BLOCK, width // BLOCK, BLOCK, BLOCK)
    blocks = c.T @ (blocks / steps.to(coefficients)) @ c
    return blocks.transpose(2, 3).reshape(-1, height, width)
