"""A large file of arrays shrunk as a model knows it, so that the truth behind its samples is known.

Every plane is shrunk in [0, 1] and goes back to the file's own numbers, rounded where they are
whole. The small file is one of the same kind, with what the large one carried.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ...files import name_of
from ...imaging.arrays import Limits
from ...imaging.values import in_kind
from ..sampler import SuperResolver
from .planes import AUTO, Stack, avoid, of_missing, read_arrays, read_stack


def read_shrunk(
    model: SuperResolver,
    path: Path,
    limits: Limits,
    how: str = AUTO,
    shrunk_by: str = "bicubic",
) -> Stack:
    """Read a file of arrays, and shrink it by the model's scale, with its noise if it has any.

    The last rows and columns are left out where the scale does not divide the sides. A pixel is
    missing where any of those in its place was. H sees further than these, and takes what is
    missing there from its nearest neighbours.

    Args:
        model: The model that it is for.
        path: The file.
        limits: What it may hold.
        how: How its values are mapped to [0, 1], as for `read_stack`.
        shrunk_by: One of `cvdvae.degradations.kernels.KERNELS`.

    Raises:
        InputError: The file cannot be used, or no pixel would be left, or of a size that the model
            does not take.
    """
    large, scale = read_arrays(model.channels, path, limits, how), model.scale
    height, width = (side // scale for side in large.array.layout.size)
    if not height or not width:
        h, w = large.array.layout.size
        raise InputError(f"{path}: {w}×{h} pixels cannot be shrunk by {scale}")
    if not model.any_size and (height, width) != (model.lr_size, model.lr_size):
        raise InputError(
            f"{path}: shrunk by {scale}, it has {width}×{height} pixels, and {model.name} takes "
            f"{model.lr_size}×{model.lr_size}"
        )
    missing = large.array.missing[..., : height * scale, : width * scale]
    blocks = missing.reshape(*missing.shape[:2], height, scale, width, scale)
    gone = np.logical_or.reduce(blocks, (3, 5))
    if gone.all():
        raise InputError(f"{path}: shrunk by {scale}, every pixel of it would be missing")
    planes = np.stack([_page(large, i, gone[i], model, shrunk_by) for i in range(large.pages)])
    scratch = tempfile.TemporaryDirectory(prefix="cvdvae-shrunk-")
    small = Path(scratch.name) / name_of(path)
    large.write(small, planes, large.array, 1 / scale)
    stack = read_stack(model, small, limits, ranges=large.ranges)
    said = f"shrunk by {scale} to {width}×{height} pixels before anything was drawn"
    noise = model.photon_noise
    said += "" if noise is None else f", with the noise of {noise.photons:g} photons"
    of_large = set(of_missing(large))
    notes = [note for note in large.notes if note not in of_large]
    return stack.kept([*notes, *of_missing(stack), said], scratch, path)


def _page(
    large: Stack, page: int, gone: np.ndarray, model: SuperResolver, shrunk_by: str
) -> np.ndarray:
    """A page ``(channels, h, w)`` in the numbers of the file, missing where it is `gone`."""
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
        saved, nodata = in_kind(part, large.array.values.dtype), large.nodata(group)
        avoid(saved, nodata)
        for channel, holes, none in zip(saved, gone[channels], nodata, strict=True):
            if holes.any():
                whole = saved.dtype.kind in "iu"  # a mask then says where, whatever the value
                channel[holes] = (0 if whole else np.nan) if none is None else none
        parts.append(saved)
    return np.concatenate(parts)
