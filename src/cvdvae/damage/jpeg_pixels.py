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
the surest first, and what it was off by is told to the others.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.block_dct import (
    BLOCK,
    LUMA_CHROMA,
    MIDDLE,
    BlockDCT,
    before_enlargement,
    transformed,
    transformed_back,
)
from ..errors import InputError

PASSES = 8
"""How often what black and white cut off is filled in anew from the coefficients."""
SHOWN = 1.0
"""Variance that counts with for a pixel that is seen, in grey levels: far less is in a file's, more
in those of a picture in RGB, where colours were cut off."""


def coefficients(planes: Tensor, operator: BlockDCT) -> Tensor:
    """y of decoded pixels: the coefficients that a decoder made them from.

    Args:
        planes: Luma, Cb and Cr as decoded, 0 to 255, chroma enlarged, ``(3, H, W)`` float64; of a
            grey file luma alone. They may go on beyond the image, as far as its blocks do.
        operator: H.

    Returns:
        ``(1, M)`` float64.
    """
    luma, chroma = planes[0], planes[1:]
    down, right = operator.subsampling
    if down == 2:
        chroma = before_enlargement(chroma, 1)
    if right == 2:
        chroma = before_enlargement(chroma, 2)
    parts = zip((luma, *chroma), operator.tables, operator.planes, strict=True)
    whole = [_whole(plane[: size[0], : size[1]], steps, size) for plane, steps, size in parts]
    return operator.of_file(torch.cat(whole, 1))


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
    return coefficients(planes[: len(operator.planes)].round(), operator).float()


def _whole(plane: Tensor, steps: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole coefficients behind a decoded plane ``(h, w)``, ``(1, M)``."""
    height, width = plane.shape
    beyond = (0, size[1] - width, 0, size[0] - height)
    shown = plane
    found = torch.empty(0)
    for _ in range(1 + PASSES):
        guess = F.pad(shown[None, None], beyond, mode="replicate")[0] - MIDDLE
        before, found = found, _nearest(guess, steps, (height, width))
        if torch.equal(before, found):
            break
        told = (transformed_back(found, 1 / steps, size) + MIDDLE)[0, :height, :width]
        dark = torch.where(plane <= 0, told.clamp(max=0), plane)
        shown = torch.where(plane >= 255, told.clamp(min=255), dark)
    return found


def _nearest(guess: Tensor, steps: Tensor, shown: tuple[int, int]) -> Tensor:
    """The likeliest whole coefficients of a plane ``(1, h, w)`` of whole blocks, ``(1, M)``, of
    which only some of the first rows and columns were seen."""
    rows, columns = (side // BLOCK for side in guess.shape[1:])
    real = transformed(guess, steps).view(rows, columns, BLOCK**2)
    whole = torch.round(real)
    for (row, high), (column, wide) in product(_ends(rows, shown[0]), _ends(columns, shown[1])):
        if (high, wide) != (BLOCK, BLOCK):
            blocks = real[row, column]
            whole[row, column] = _rounded(blocks.flatten(0, 1), steps, high, wide).view_as(blocks)
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
