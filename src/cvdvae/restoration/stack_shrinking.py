"""A large file of arrays shrunk as a model knows it, so that the truth behind its samples is known.

Every plane is shrunk in [0, 1] and goes back to the file's own numbers, rounded where they are
whole. The small file is one of the same kind, with what the large one carried.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..imaging.arrays import Limits
from ..imaging.values import in_kind
from .sampler import SuperResolver
from .stack import AUTO, Stack, read_large, read_stack


def read_shrunk(
    model: SuperResolver,
    path: Path,
    limits: Limits,
    how: str = AUTO,
    shrunk_by: str = "bicubic",
) -> Stack:
    """Read a file of arrays, and shrink it by the model's scale, with its noise if it has any.

    The last rows and columns are left out where the scale does not divide the sides. A pixel that
    becomes of missing ones, in part or in whole, is missing.

    Args:
        model: The model that it is for.
        path: The file.
        limits: What it may hold.
        how: How its values are mapped to [0, 1], as for `read_stack`.
        shrunk_by: One of `cvdvae.degradations.kernels.KERNELS`.

    Raises:
        InputError: The file cannot be used, or no pixel would be left.
    """
    large, scale = read_large(model, path, limits, how), model.scale
    height, width = (side // scale for side in large.array.layout.size)
    if not height or not width:
        h, w = large.array.layout.size
        raise InputError(f"{path}: {w}×{h} pixels cannot be shrunk by {scale}")
    planes = np.stack([_page(large, page, model, shrunk_by) for page in range(large.pages)])
    scratch = tempfile.TemporaryDirectory(prefix="cvdvae-shrunk-")
    small = Path(scratch.name) / path.name
    large.form.write(small, planes, large.array, 1 / scale)
    stack = read_stack(model, small, limits, ranges=large.ranges)
    said = f"shrunk by {scale} to {width}×{height} pixels before anything was drawn"
    noise = model.photon_noise
    said += "" if noise is None else f", with the noise of {noise.photons:g} photons"
    return stack.kept([*large.notes, said], scratch)


def _page(large: Stack, page: int, model: SuperResolver, shrunk_by: str) -> np.ndarray:
    """A page ``(channels, h, w)`` in the numbers of the file."""
    parts, generator = [], torch.Generator().manual_seed(page)
    for group, channels in enumerate(large.groups):
        values, unit = large.range_of(group), large.unit(page, group)
        height, width = (side // model.scale for side in unit.shape[2:])
        degradation = model.degradation_of((height, width), shrunk_by)
        y = degradation.A(unit[..., : height * model.scale, : width * model.scale]).clamp(0, 1)
        if model.photon_noise is not None:
            photons = model.photon_noise.photons
            y = (torch.poisson(photons * y, generator) / photons).clamp(max=1)
        part = values.low + y[0].numpy() * values.span
        part = part if values.levels is None else np.rint(part)
        missing = large.array.missing[page, channels]
        for i, holes in enumerate(missing):
            blocks = holes[: height * model.scale, : width * model.scale]
            gone = blocks.reshape(height, model.scale, width, model.scale).any((1, 3))
            none = large.array.nodata_of(range(large.array.values.shape[1])[channels][i])
            part[i][gone] = np.nan if none is None else none
        parts.append(part)
    return in_kind(np.concatenate(parts), large.array.values.dtype)
