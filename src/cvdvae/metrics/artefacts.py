"""Stripes and speckles: local detail that samples show and the true image does not have.

A patch counts as an artefact if its differences between neighbouring pixels hold more than `RATIO`
times the energy of the same patch of the true image. Averages over an image hide such patches:
a stripe in one patch of a hundred costs a tenth of a decibel, and everybody sees it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

PATCH = 20
"""Side of a patch, in pixels."""
RATIO = 10.0
"""Energy over that of the true patch, from which a patch counts as an artefact."""
FLOOR = (0.5 / 255) ** 2
"""Energy that is added to that of the true patch: about what rounding to 8 bits leaves of a smooth
surface."""
WEIGHTS = (0.299, 0.587, 0.114)
"""Of R, G and B in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Excess:
    """Energy of the patches over that of the true patches, ``(N, H // PATCH, W // PATCH)`` each.

    Attributes:
        chroma: Of R − Y and B − Y, differences down rows and along columns together.
        luma: Of Y, likewise.
        chroma_rows: Of R − Y and B − Y, between neighbouring rows: horizontal stripes.
        chroma_columns: Of R − Y and B − Y, between neighbouring columns: vertical stripes.
        luma_rows: Of Y, between neighbouring rows.
        luma_columns: Of Y, between neighbouring columns.
    """

    chroma: Tensor
    luma: Tensor
    chroma_rows: Tensor
    chroma_columns: Tensor
    luma_rows: Tensor
    luma_columns: Tensor

    def shares(self) -> dict[str, float]:
        """Share of the patches beyond `RATIO`, in percent, by the name of the attribute."""
        return {
            name: 100 * float((ratio > RATIO).double().mean()) for name, ratio in vars(self).items()
        }


def excess(x: Tensor, truth: Tensor) -> Excess:
    """Compare the energy of neighbouring differences, patch by patch.

    With d the differences of neighbouring pixels, ``Σ d(x)² / (Σ d(t)² + n FLOOR)`` over the n
    differences of a patch.

    Args:
        x: Images in [0, 1], ``(N, 3, H, W)``, of at least `PATCH` pixels a side.
        truth: The true image in [0, 1], ``(3, H, W)``.

    Returns:
        The ratios, without incomplete patches at the bottom and at the right.
    """
    pairs = zip(_energies(x), _energies(truth[None]), strict=True)
    return Excess(*(ours / (theirs + FLOOR) for ours, theirs in pairs))


def _energies(x: Tensor) -> Iterator[Tensor]:
    """Mean energy of the patches, in the order of the attributes of `Excess`."""
    x = x.double()
    luma = (x * x.new_tensor(WEIGHTS).view(3, 1, 1)).sum(1, keepdim=True)
    rows, columns = zip(*map(_differences, (x[:, 0::2] - luma, luma)), strict=True)
    yield from (down + along for down, along in zip(rows, columns, strict=True))
    for down, along in zip(rows, columns, strict=True):
        yield from (down, along)


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared differences of the patches, summed over channels, of rows and of columns."""
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    rows = (padded[..., 1:, :-1] - x).square().sum(1)
    columns = (padded[..., :-1, 1:] - x).square().sum(1)
    return F.avg_pool2d(rows, PATCH), F.avg_pool2d(columns, PATCH)
