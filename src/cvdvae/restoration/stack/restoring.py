"""Samples behind a damaged file of arrays, each of its planes restored by itself."""

from functools import partial
from pathlib import Path

import numpy as np

from ...damage.described import Description
from ...damage.estimates import noise_behind
from ...damage.holes import refuse_mixed
from ...damage.mask_kinds import Masked
from ...damage.step import Size
from ...errors import InputError, naming
from ...imaging.arrays import Limits
from ...imaging.values import ValueRange, in_kind
from ..batches import check_memory, held_in
from ..restorer import Restorer
from ..restoring import Seen, seen
from ..settings import Restoring
from ..workers import OnDone, in_parts, untold
from .planes import AUTO, Plane, Stack, avoid, read_arrays
from .restored import Explained, RestoredStack, Sigma, StackDegradation
from .writing import given_in, put_back, write_stack


def read_damaged(
    model: Restorer,
    path: Path,
    what: StackDegradation,
    limits: Limits,
    how: str = AUTO,
    ranges: list[ValueRange] | None = None,
) -> Stack:
    """Read a file of arrays for a model that restores.

    Args:
        model: The model.
        path: The file.
        what: What happened to it.
        limits: What it may hold.
        how: As for `read_stack`.
        ranges: As for `read_stack`.

    Raises:
        InputError: As `read_stack`.
    """
    channels = model.prior.config.channels
    return read_arrays(channels, path, limits, how, ranges, missing=what.missing)


def restore_stack(
    model: Restorer,
    stack: Stack,
    what: StackDegradation,
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
        stack: The file, from `read_damaged`.
        what: What happened to it.
        how: How to restore.
        folder: Where the files and `result.json` go.
        on_steps: As for `Restorer.run`, of the file as a whole.

    Raises:
        InputError: It cannot have happened to a file of arrays, or leaves nothing to draw, or the
            model does not take a plane; or as `write_stack`.
        OutputError: As `write_stack`.
    """
    planes = len(list(stack.planes()))
    if isinstance(what.noise, tuple) and len(what.noise) != planes:
        raise InputError(f"{stack.path} has another number of planes than its result")
    with naming(stack.path):
        large = _check(model, stack, what, how)
    if what.noise == "auto":  # that of the last plane must not be refused after hours
        for plane in filter(partial(what.is_open, stack), stack.planes()):
            with naming(stack.path, plane.number if planes > 1 else None):
                y, levels = stack.y(plane.page, plane.group), stack.range_of(plane.group).levels
                noise_behind(y[0], what.of_plane(stack, plane), levels)
    result = RestoredStack(
        folder,
        stack,
        large[0] // stack.array.layout.size[0],
        np.zeros((how.samples, planes), bool),
        model=model.name,
        what=what,
        restoring=how,
        weights=model.weights,
        dtype=model.dtype_name,
    )
    tell = partial(in_parts, on_steps, planes)
    write_stack(result, partial(_restore_plane, model, result, large, tell))
    return result


def _check(model: Restorer, stack: Stack, what: StackDegradation, how: Restoring) -> Size:
    """Refuse what cannot be restored so, before anything is drawn.

    Returns:
        Height and width of the samples.

    Raises:
        InputError: It cannot.
    """
    description, size = what.description, stack.array.layout.size
    if not description.pictures or description.colours_left is not None:
        raise InputError("arrays were no JPEG and keep their channels: save it as a picture")
    refuse_mixed(description)
    large = model.check_seen(how, description, size)
    doubled = description.hr_size((2 * size[0], 2 * size[1]))
    scale = large[0] // size[0]
    if (large, doubled) != tuple((scale * n * size[0], scale * n * size[1]) for n in (1, 2)):
        raise InputError(
            "what happened has cut off its borders, so that its samples would have no place: take "
            "another boundary than valid"
        )
    held = max(held_in(one.levels) for one in stack.ranges)
    check_memory(how.samples, *large, "cut it into smaller files", held)
    # Where noise is to be drawn, too; an earlier result, which knows each plane's, is drawn again.
    full = what.fill and not isinstance(what.noise, tuple) and not stack.array.missing.any()
    if full or not any(what.is_open(stack, plane) for plane in stack.planes()):
        raise InputError(
            "it holds no missing values beside others, so that there is nothing to fill: mark them "
            "as NaN or by the file's tag of no data, or name a picture with --mask"
        )
    known = _known(description, size)
    if known is None:
        return large
    several = len(list(stack.planes())) > 1
    for plane in filter(partial(what.is_open, stack), stack.planes()):
        if not (known & ~stack.missing(plane)).any():
            of_what = f"plane {plane.number}" if several else "it"
            raise InputError(
                f"nothing is seen of {of_what}: the mask hides all that is not missing there"
            )
    if known.all() or what.noise or what.fill:
        return large
    if (known | stack.array.missing).all():
        raise InputError(
            "the mask hides nothing but missing values, which stay so: --mask auto draws those"
        )
    return large


def _restore_plane(
    model: Restorer,
    result: RestoredStack,
    large: Size,
    tell: OnDone,
    plane: Plane,
    drawn: np.ndarray,
) -> None:
    """Draw the samples of a plane into `drawn`, and say how well they explain it."""
    stack, what, how = result.stack, result.what, result.restoring
    values, channels = stack.range_of(plane.group), stack.groups[plane.group]
    missing, given = stack.array.missing[plane.page, channels], given_in(stack, plane, drawn.dtype)
    into = drawn[:, plane.page, channels]
    if not what.is_open(stack, plane):
        into[:] = given.repeat(result.scale, 1).repeat(result.scale, 2)
        result.planes.append(Explained(None, values.span))
        tell(how.steps)
        return
    description = what.of_plane(stack, plane)
    with naming(stack.path, plane.number if len(result.exploded_planes.T) > 1 else None):
        told = _seen(stack, plane, description, what.noise_of(plane.number), large)
        found = model.run(told, how, on_steps=tell)
    known = _known(description, stack.array.layout.size) if not told.sigma else None
    for i, one in enumerate(found.pixels[:, : len(missing)]):
        saved = in_kind(values.to_values(one), drawn.dtype)
        avoid(saved, stack.nodata(plane.group))
        if values.levels is not None:  # floats of a large offset have few digits for their range
            found.pixels[i] = values.from_values(saved)
        if known is not None:
            np.copyto(saved, given, where=known)
            if values.levels is None:
                np.copyto(found.pixels[i].numpy(), found.y.numpy(), where=known)
        if not what.fill:
            put_back(saved, missing, given, slice(0, saved.shape[1]), result.scale)
        into[i] = saved
    result.planes.append(Explained.of(found, values.span))
    result.exploded_planes[:, plane.number] = found.exploded


def _known(description: Description, size: Size) -> np.ndarray | None:
    """Which pixels are known as they are, ``(h, w)``, and need no rounding, nor a cut to a range;
    None where more happened than that some are hidden."""
    if not all(isinstance(step, Masked) for step in description.steps):
        return None
    known: np.ndarray = ~description.hidden(size).numpy()
    return known


def _seen(stack: Stack, plane: Plane, description: Description, noise: Sigma, large: Size) -> Seen:
    """What was seen of a plane, behind which images of a known size lie."""
    y, levels = stack.y(plane.page, plane.group), stack.range_of(plane.group).levels
    return seen(y, description, noise, check=lambda *_: large, levels=levels)
