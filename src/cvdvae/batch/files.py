"""Many files in, one folder of results for each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..domains.simulate import Crop, simulate, simulate_at_scale
from ..errors import InputError
from ..imaging.io import read_photo, to_tensor
from ..input_check.examine import examine
from ..restoration.hvae import HVAEResolver
from ..restoration.result import SuperResolution
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling


def plan(paths: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair every input with its output folder, ``out/<stem>``; where the stem is nothing but dots,
    which would be another folder, the whole name takes its place.

    Raises:
        InputError: Two inputs would share a folder.
    """
    owners: dict[str, Path] = {}
    for path in paths:
        stem = path.stem if path.stem.strip(".") else path.name
        other = owners.setdefault(stem, path)
        if other != path:
            raise InputError(
                f"{other} and {path} would both be written to {out / stem}: "
                f"rename one, or run them with different --out"
            )
    return [(path, out / stem) for stem, path in owners.items()]


class Input(NamedTuple):
    """What a file holds.

    Attributes:
        y: The low-resolution image, ``(3, h, w)`` in [0, 1].
        truth: The image that it was made from, ``(3, H, W)``, where it was.
        notes: What had to be changed to read the file.
    """

    y: Tensor
    truth: Tensor | None
    notes: list[str]


def read_input(model: SuperResolver, path: Path, crop: Crop | None = None) -> Input:
    """Read one file, as in `run_one`.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    try:
        photo = read_photo(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if crop is None:
            return Input(model.check(to_tensor(photo.image))[0], None, photo.notes)
        if model.any_size:
            return Input(*simulate_at_scale(photo.image, model.scale, crop), photo.notes)
        return Input(*simulate(photo.image, model.degradation, crop), photo.notes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def run_one(
    model: SuperResolver,
    path: Path,
    sampling: Sampling,
    crop: Crop | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[SuperResolution, list[str]]:
    """Super-resolve one file, and examine it where the model knows what to expect.

    Args:
        model: The model.
        path: An image file: low-resolution, or a photo to shrink.
        sampling: How to draw.
        crop: How to cut the photo before it is shrunk; None if it is a low-resolution image.
        on_progress: As in `SuperResolver.run`.

    Returns:
        The result, and notes on what had to be changed to read the file.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    y, truth, notes = read_input(model, path, crop)
    result = model.run(y, sampling, truth, on_progress)
    if isinstance(model, HVAEResolver) and model.expected is not None:
        result = replace(result, doubts=examine(model, y).doubts)
    return result, notes
