"""Samples of a file of arrays, each of its planes enlarged by itself."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...degradations.downscaling import Downscaling
from ...degradations.resize import BandedMatrix
from ...degradations.strip import used_by
from ...imaging.values import in_kind
from ..drawing import Drawing
from ..large import IN_MEMORY
from ..result import Doubt
from ..round_trip import RoundTrip
from ..sampler import SuperResolver
from ..settings import Sampling
from ..workers import OnDone, untold
from .planes import Plane, Stack, avoid
from .result import StackResult
from .writing import given_in, put_back, write_stack


def draw_stack(
    model: SuperResolver,
    stack: Stack,
    sampling: Sampling,
    folder: Path,
    doubts: list[Doubt] | None = None,
    on_pixels: OnDone = untold,
) -> StackResult:
    """Draw every plane of a file, and write samples, mean, std and interval as files of its kind.

    Sample i of a plane depends on that plane, the seed and i alone: a page alone gives the same.

    Args:
        model: The model.
        stack: The file.
        sampling: How to draw, without steps of steering.
        folder: Where the files and `result.json` go.
        doubts: For the report.
        on_pixels: As for `Drawing`, of every plane in turn: together `Stack.pixels` times the
            scale's square, for every sample.

    Raises:
        InputError: As `write_stack`.
        OutputError: As `write_stack`.
    """
    result = StackResult.of(folder, stack, model, sampling)
    result.doubts = doubts
    write_stack(result, partial(_draw_plane, model, sampling, result, on_pixels))
    return result


def _draw_plane(
    model: SuperResolver,
    sampling: Sampling,
    result: StackResult,
    on_pixels: OnDone,
    plane: Plane,
    drawn: np.ndarray,
) -> None:
    """Draw the samples of a plane into `drawn`, and check them."""
    stack, scale = result.stack, model.scale
    values, channels = stack.range_of(plane.group), stack.groups[plane.group]
    missing = stack.array.missing[plane.page, channels]
    given = given_in(stack, plane, drawn.dtype)
    exact = stack.unit(plane.page, plane.group)
    degradation = model.degradation_of((exact.shape[2], exact.shape[3]), sampling.shrunk_by)
    counted = torch.stack([_counted(torch.from_numpy(one), degradation) for one in missing])
    y = stack.y(plane.page, plane.group)
    tolerance = model.tolerance(y)
    sigma = 0.0 if tolerance is None else tolerance.sigma
    trips = [
        RoundTrip(exact, degradation, values.levels, counted, sigma)
        for _ in range(sampling.samples)
    ]
    drawing = Drawing(model, y, sampling, values.levels, on_pixels)
    values_drawn = y[0].numel() * scale**2 * sampling.samples
    large = values_drawn > IN_MEMORY and model.any_size
    for index, top, pixels, exploded in _strips(drawing, large):
        part = pixels[: exact.shape[1]]
        saved = in_kind(values.to_values(part), drawn.dtype)
        avoid(saved, stack.nodata(plane.group))
        trips[index].add(values.from_values(saved)[None])
        rows = slice(top, top + saved.shape[1])
        if missing.any():
            put_back(saved, missing, given, rows, scale)
        drawn[index, plane.page, channels, rows] = saved
        result.exploded_planes[index, plane.number] |= exploded
    for trip, of_sample in zip(trips, result.round_trips, strict=True):
        of_sample.append((trip, values))


def _strips(drawing: Drawing, large: bool) -> Iterator[tuple[int, int, Tensor, bool]]:
    """Index of a sample, first row, pixels as `finish` gives them, and whether it exploded."""
    if large:
        tops = [0] * drawing.sampling.samples
        for index, strip in drawing.all_strips():
            yield index, tops[index], strip.pixels[0], bool(strip.exploded.any())
            tops[index] += strip.pixels.shape[2]
        return
    index = 0
    for batch in drawing.finished():
        for one, exploded in zip(batch.pixels, batch.exploded.tolist(), strict=True):
            yield index, 0, one, exploded
            index += 1


def _counted(missing: Tensor, degradation: Downscaling) -> Tensor:
    """Pixels of y, ``(h, w)``, that see no hole."""
    reach = max(_reach(side) for side in (degradation.rows, degradation.columns))
    near: Tensor = F.max_pool2d(missing[None, None].float(), 2 * reach + 1, 1, reach)[0, 0]
    return near == 0


def _reach(side: BandedMatrix) -> int:
    """How many pixels of y one of them sees either way along a side. A short one cuts that off; its
    end sees as much of it as there is."""
    lr, hr = side.shape
    middle, end = used_by(side, lr // 2), used_by(side, 0)
    around: float = (middle.stop - middle.start) * lr / hr / 2
    ahead: float = end.stop * lr / hr - 1
    return math.ceil(max(around, ahead))
