"""Samples behind a damaged file of arrays, each of its planes restored by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ...damage.described import Description
from ...damage.holes import with_hole
from ...damage.mask_kinds import OnlyNoise
from ...damage.step import Size
from ...errors import InputError
from ...imaging.values import in_kind
from ..restorer import Restorer
from ..restoring import Seen, seen
from ..settings import Restoring
from ..workers import OnDone, in_parts, untold
from .planes import Stack, avoid
from .restored import Explained, Harm, RestoredStack
from .writing import Plane, given_in, put_back, write_stack

MISSING = "of missing values"
"""What messages call the mask that they are."""


def restore_stack(
    model: Restorer,
    stack: Stack,
    harm: Harm,
    how: Restoring,
    folder: Path,
    on_steps: OnDone = untold,
) -> RestoredStack:
    """Restore every plane of a file, and write samples, mean, std and interval as files of its
    kind.

    Missing values were not seen. They stay missing, or are drawn where that is asked for. Sample i
    of a plane depends on that plane, the seed and i alone.

    Args:
        model: The model.
        stack: The file.
        harm: What happened to it.
        how: How to restore.
        folder: Where the files and `result.json` go.
        on_steps: As for `Restorer.run`, of the file as a whole.

    Raises:
        InputError: What happened leaves no plane as it was, or nothing is missing that is to be
            drawn, or the model does not take a plane; or as `write_stack`.
        OutputError: As `write_stack`.
    """
    scale = _scale(model, stack, harm, how)
    planes = len(list(stack.planes()))
    if isinstance(harm.noise, tuple) and len(harm.noise) != planes:
        raise InputError(f"{stack.path} has another number of planes than its result")
    result = RestoredStack(
        folder,
        stack,
        scale,
        np.zeros((how.samples, planes), bool),
        model=model.name,
        harm=harm,
        restoring=how,
        weights=model.weights,
        dtype=model.dtype_name,
    )
    tell = partial(in_parts, on_steps, planes)
    write_stack(result, partial(_restore_plane, model, result, tell))
    return result


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say of which file a sentence is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _scale(model: Restorer, stack: Stack, harm: Harm, how: Restoring) -> int:
    """By what samples are larger than the file, before anything is drawn.

    Raises:
        InputError: It is none, or a plane cannot be restored so.
    """
    what, path = harm.description, stack.path
    if not what.pictures or what.colours_left is not None:
        raise InputError(
            f"{path} holds arrays, which were no JPEG and keep their channels: save it as a picture"
        )
    if harm.fill and not stack.array.missing.any():
        raise InputError(f"{path} holds no missing values: there is nothing to fill")
    size = stack.array.layout.size
    with naming(path):
        large = model.check_seen(how, what, size)
    scale = large[0] // size[0]
    if large != (scale * size[0], scale * size[1]):
        raise InputError(
            f"{path}: what happened has cut off its borders, so that its samples would have no "
            f"place: take another boundary than valid"
        )
    return scale


def _restore_plane(
    model: Restorer, result: RestoredStack, tell: OnDone, plane: Plane, drawn: np.ndarray
) -> None:
    """Draw the samples of a plane into `drawn`, and say how well they explain it."""
    stack, how, scale = result.stack, result.restoring, result.scale
    values, channels = stack.range_of(plane.group), stack.groups[plane.group]
    missing = stack.array.missing[plane.page, channels]
    given = given_in(stack, plane, drawn.dtype)
    told = _seen(model, result, plane)
    into = drawn[:, plane.page, channels]
    if told is None:
        kept = stack.array.values[plane.page, channels].astype(drawn.dtype)
        np.copyto(kept, given, where=missing)
        into[:] = kept.repeat(scale, 1).repeat(scale, 2)
        result.planes.append(Explained(None, values.span))
        tell(how.steps)
        return
    with naming(stack.path):
        found = model.run(told, how, on_steps=tell)
    pixels = found.pixels[:, : len(missing)]
    saved = np.stack([in_kind(values.to_values(one), drawn.dtype) for one in pixels])
    for sample in saved:
        avoid(sample, stack.nodata(plane.group))
    as_saved = values.from_values(saved).expand_as(found.pixels)
    result.planes.append(Explained.of(replace(found, pixels=as_saved), values.span))
    result.exploded_planes[:, plane.number] = found.exploded
    if missing.any() and not result.harm.fill:
        for sample in saved:
            put_back(sample, missing, given, slice(0, saved.shape[2]), scale)
    into[:] = saved


def _seen(model: Restorer, result: RestoredStack, plane: Plane) -> Seen | None:
    """What was seen of a plane; None where that is nothing, or all of it."""
    stack, harm = result.stack, result.harm
    hidden = stack.array.missing[plane.page, stack.groups[plane.group]].any(0)
    noise = harm.noise[plane.number] if isinstance(harm.noise, tuple) else harm.noise
    what = harm.description
    intact = not noise and all(isinstance(step, OnlyNoise) for step in what.steps)
    if hidden.all() or (intact and not hidden.any()):
        return None
    if hidden.any():
        what = with_hole(what, torch.from_numpy(hidden), MISSING)

    def check(_: Description, size: Size) -> Size:
        return model.check_seen(result.restoring, harm.description, size)

    levels = stack.range_of(plane.group).levels
    y = stack.y(plane.page, plane.group)
    with naming(stack.path):
        return seen(y, what, noise, check=check, levels=levels)
