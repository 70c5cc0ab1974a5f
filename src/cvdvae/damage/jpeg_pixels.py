"""The coefficients of a JPEG, from the pixels that it was decoded to.

A file holds whole numbers k, the coefficients of its blocks in units of the steps that stand in its
header. A decoder turns them into pixels and rounds those. Back from the pixels: luma and chroma as
they were decoded, before any conversion to RGB; chroma that was enlarged is taken back by the
pseudo-inverse of the enlargement; then the cosine transform, and k the nearest whole numbers. A
rounded pixel moves a coefficient by 0.3 grey levels: where its step is 3 or more, k is right.
Where only the picture in RGB is left, luma and chroma are the whole numbers nearest to what its
colours say, which rounding them to 8 bits moves by less than a half.

Of a block that is cut by the border some pixels are hidden, and every coefficient depends on them.
An encoder continued what was there; decoded, that is off by what two coefficients lost. So the
likeliest k are sought, by Babai's nearest plane (1986): one coefficient after the other is rounded,
the surest first, and what it was off by is told to the others. A file has what was hidden; but it
may have been cut since, or come from an encoder with another way to go on, and then no H knows it.
"""

from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.block_dct import (
    BLOCK,
    LUMA_CHROMA,
    MIDDLE,
    BlockDCT,
    before_enlargement,
    continued,
    transformed,
    transformed_back,
)
from ..errors import InputError

PASSES = 8
"""How often what black and white cut off is filled in anew from the coefficients."""
LOST = 1.2
"""Root mean square of what rounding takes from coefficients, in steps, at most: files of libjpeg
stay below, and most that were cut since do not (`benchmarks/jpeg_coefficients.py`)."""
SHOWN = 1.0
"""Variance that a seen pixel of a cut block is taken to have, in grey levels: those of a file have
far less, those of a picture in RGB more where its colours were cut off."""


class Recovered(NamedTuple):
    """What was made of decoded pixels.

    Attributes:
        y: The coefficients, ``(1, M)`` float64.
        off: How far what was given beyond the image is from its last row and column repeated: the
            root mean square over the coefficients of cut blocks, in steps, of the worst plane.
    """

    y: Tensor
    off: float

    @property
    def goes_on(self) -> bool:
        """Whether that continues the image: else it did not count."""
        return self.off < LOST


def coefficients(planes: Tensor, operator: BlockDCT) -> Recovered:
    """y of decoded pixels: the coefficients that a decoder made them from.

    Args:
        planes: Luma, Cb and Cr as decoded, 0 to 255, chroma enlarged, ``(3, H, W)`` float64; of a
            grey file luma alone. They may go on beyond the image, as far as its blocks do.
        operator: H.
    """
    luma, chroma = planes[0], planes[1:]
    down, right = operator.subsampling
    if down == 2:
        chroma = before_enlargement(chroma, 1)
    if right == 2:
        chroma = before_enlargement(chroma, 2)
    height, width = operator.size
    own = [(height, width), *[(-(-height // down), -(-width // right))] * len(chroma)]
    tables, sizes, all_planes = operator.tables, operator.planes, (luma, *chroma)
    seen = [plane[:h, :w] for plane, (h, w) in zip(all_planes, own, strict=True)]
    beyond = [plane[:h, :w] for plane, (h, w) in zip(all_planes, sizes, strict=True)]
    whole = [_whole(*part) for part in zip(beyond, tables, sizes, strict=True)]
    off = 0.0
    if planes.shape[1:] != operator.size:
        off = max(_off(*part) for part in zip(whole, seen, tables, sizes, strict=True))
    if off >= LOST:
        whole = [_whole(*part) for part in zip(seen, tables, sizes, strict=True)]
    return Recovered(operator.of_file(torch.cat(whole, 1)), off)


def of_decoded(y: Tensor, operator: BlockDCT) -> Tensor:
    """The same of a decoded picture, whose file is gone.

    Args:
        y: The picture, ``(1, 3, H, W)`` or in grey ``(1, 1, H, W)``, in [0, 1].
        operator: H of the JPEG that it was, by its quality.

    Returns:
        ``(1, M)`` float32; rounded, and so without a gradient.

    Raises:
        InputError: Another number of colours.
    """
    if y.shape[1] not in (1, 3):
        raise InputError(f"a JPEG is decoded to 3 colours, or to 1, not to {y.shape[1]}")
    mixing = torch.tensor(LUMA_CHROMA, dtype=torch.float64, device="cpu")
    planes = torch.einsum("ij,jhw->ihw", 255 * mixing, y[0].detach().double().expand(3, -1, -1))
    planes[1:] += MIDDLE
    return coefficients(planes[: len(operator.planes)].round(), operator).y.float()


def _off(whole: Tensor, plane: Tensor, steps: Tensor, size: tuple[int, int]) -> float:
    """How far coefficients ``(1, M)`` are from those of a plane ``(h, w)`` whose last row and
    column are repeated to the end of its blocks."""
    repeated = continued(plane[None, None], size)[0] - MIDDLE
    off = transformed(repeated, steps) - whole
    cut = torch.ones(size[0] // BLOCK, size[1] // BLOCK, dtype=torch.bool, device="cpu")
    cut[: plane.shape[0] // BLOCK, : plane.shape[1] // BLOCK] = False
    return float(off.view(*cut.shape, -1)[cut].square().mean().sqrt()) if bool(cut.any()) else 0.0


def _whole(plane: Tensor, steps: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole coefficients behind a decoded plane ``(h, w)``, ``(1, M)``."""
    height, width = plane.shape
    beyond = (0, size[1] - width, 0, size[0] - height)
    ends = F.pad((plane <= 0) | (plane >= 255), beyond)
    cut_off = ends.unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).flatten(2).any(2)
    blind = cut_off.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    blind[:height, :width] = False
    guess = continued(plane[None, None], size)[0, 0]
    found = _nearest(guess - MIDDLE, steps, (height, width), cut_off)
    for _ in range(PASSES if bool(ends.any()) else 0):
        told = transformed_back(found, 1 / steps, size)[0] + MIDDLE
        inside = told[:height, :width]
        dark = torch.where(plane <= 0, inside.clamp(max=0), plane)
        shown = torch.where(plane >= 255, inside.clamp(min=255), dark)
        guess = torch.where(blind, told, continued(shown[None, None], size)[0, 0])
        before, found = found, _nearest(guess - MIDDLE, steps, (height, width), cut_off)
        if torch.equal(before, found):
            break
    return found


def _nearest(guess: Tensor, steps: Tensor, shown: tuple[int, int], cut_off: Tensor) -> Tensor:
    """The likeliest whole coefficients of a plane ``(h, w)`` of whole blocks, ``(1, M)``, of which
    only some of the first rows and columns were seen; the nearest ones where black or white are cut
    off in a block."""
    rows, columns = cut_off.shape
    real = transformed(guess[None], steps).view(rows, columns, BLOCK**2)
    whole = torch.round(real)
    for (row, high), (column, wide) in product(_ends(rows, shown[0]), _ends(columns, shown[1])):
        if (high, wide) != (BLOCK, BLOCK):
            blocks = real[row, column]
            likely = _rounded(blocks.flatten(0, 1), steps, high, wide).view_as(blocks)
            whole[row, column] = torch.where(cut_off[row, column, None], whole[row, column], likely)
    return whole.view(1, -1)


def _ends(count: int, shown: int) -> list[tuple[slice, int]]:
    """The blocks of a side but for the last, and the last, with how much of each was seen."""
    last = count - 1
    return [(slice(0, last), BLOCK), (slice(last, count), shown - BLOCK * last)]


def _rounded(real: Tensor, steps: Tensor, high: int, wide: int) -> Tensor:
    """The likeliest whole numbers near coefficients ``(n, 64)`` of blocks of which so many rows and
    columns were seen."""
    identity = torch.eye(BLOCK**2, dtype=real.dtype, device="cpu")
    pixels = transformed_back(identity, 1 / steps, (BLOCK, BLOCK)).flatten(1)
    variance = real.new_full((BLOCK, BLOCK), float(steps.square().mean()) / 6)
    variance[:high, :wide] = SHOWN
    precision = (pixels / variance.flatten()) @ pixels.T
    covariance = torch.linalg.inv(precision)
    left, whole = real.clone(), torch.empty_like(real)
    open_ = torch.ones(BLOCK**2, dtype=torch.bool, device="cpu")
    for _ in range(BLOCK**2):
        i = int(torch.where(open_, covariance.diagonal(), torch.inf).argmin())
        whole[:, i] = torch.round(left[:, i])
        gain = covariance[i] / covariance[i, i]
        left += (whole[:, i] - left[:, i])[:, None] * gain
        covariance = covariance - covariance[:, i, None] * gain
        open_[i] = False
    return whole
