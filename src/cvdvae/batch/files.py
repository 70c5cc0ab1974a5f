"""Many files in, one folder of results for each."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..domains.base import domain_of_model
from ..domains.fit import fit
from ..domains.simulate import Crop, cut, left_out, simulate, simulate_whole
from ..errors import InputError, naming
from ..files import name_of
from ..imaging.arrays import MAX_PAGES, Limits
from ..imaging.carried import Extras
from ..imaging.crop import centre_square
from ..imaging.folders import is_folder
from ..imaging.formats import format_of
from ..imaging.io import (
    MAX_PIXELS,
    SMALLER,
    as_channels,
    kind_of,
    read_photo,
    to_tensor,
)
from ..imaging.opening import asked, opened, pages_of
from ..imaging.tiff import refuse_packed
from ..input_check.screen import doubts_of
from ..restoration.large import IN_MEMORY, LargeResult, draw_to_folder
from ..restoration.result import Animation, SuperResolution
from ..restoration.sampler import SuperResolver
from ..restoration.saving import refuse_own
from ..restoration.settings import Sampling
from ..restoration.sheet import check_animation
from ..restoration.stack.drawing import draw_stack
from ..restoration.stack.planes import AUTO, Stack, read_stack
from ..restoration.stack.result import StackResult
from ..restoration.stack.shrinking import read_shrunk
from ..restoration.tolerance import photons_of
from ..restoration.workers import SAVED, OnDone, in_parts, untold
from .finding import files_of

HIGHER = f"{SMALLER}, or raise the limit with --max-megapixels of cvdvae upscale, restore or batch"
"""Advice on what is too large; other commands have no such option."""


class Job(NamedTuple):
    """A file, and where its results go.

    Attributes:
        path: The file.
        folder: The folder.
    """

    path: Path
    folder: Path


def plan(
    inputs: Iterable[str], out: Path, say: Callable[[str], None] = lambda note: None
) -> list[Job]:
    """What `files_of` finds, each with its output folder, as `into_folders` names it.

    Raises:
        InputError: A folder holds no image, or two inputs would share an output folder.
    """
    return into_folders(files_of(inputs, out, say), out)


def into_folders(found: Iterable[tuple[Path, Path]], out: Path | None = None) -> list[Job]:
    """Files and their places, each with its output folder.

    That is ``out/<place>/<stem>``; where the stem is nothing but dots, which would be another
    folder, the whole name takes its place. Without `out` it is a key: where results go, it does not
    say.

    Raises:
        InputError: Two inputs would share an output folder, or a key.
    """
    jobs: dict[Path, Path] = {}
    clashes: list[str] = []
    for path, place in found:
        name = name_of(path)
        stem = Path(name).stem
        folder = (out or Path()) / place / (stem if stem.strip(".") else name)
        other = jobs.setdefault(folder, path)
        if other != path and os.path.realpath(other) != os.path.realpath(path):
            same = f"would both be written to {folder}" if out else f"have the one key '{folder}'"
            clashes.append(f"{other} and {path} {same}")
    if clashes:
        so_would = "so would" if out else "so do"
        more = f", and {so_would} {len(clashes) - 1} more" if len(clashes) > 1 else ""
        raise InputError(f"{clashes[0]}{more}: rename one, or run them with different --out")
    return [Job(path, folder) for folder, path in jobs.items()]


def pixels_of(path: Path) -> int:
    """About how many pixels a file has: what it says, or as many as its bytes let expect."""
    try:
        with opened(path) as image:
            return image.width * image.height * pages_of(image)
    except Exception:  # it is read again, and refused with the reason
        files = path.rglob("*") if is_folder(path) else [path]
        with suppress(OSError):
            return sum(p.stat().st_size for p in files if p.is_file()) // 2
        return 0


def shorter_side(path: Path) -> int | None:
    """The shorter side of a picture in pixels, as the file says; None for anything else."""
    return asked(path, lambda image: min(image.size))


class Input(NamedTuple):
    """What a file holds.

    Attributes:
        y: The low-resolution image, ``(C, h, w)`` in [0, 1].
        truth: The image that it was made from, ``(C, H, W)``, where it was.
        notes: What had to be changed to read the file.
        extras: What else the file carries.
        path: The file, where there is one.
    """

    y: Tensor
    truth: Tensor | None
    notes: list[str]
    extras: Extras
    path: Path | None = None

    @property
    def pixels(self) -> int:
        """How many the image has."""
        return self.y[0].numel()


def read_input(
    model: SuperResolver,
    path: Path,
    crop: Crop | None = None,
    max_pixels: int = MAX_PIXELS,
    shrunk_by: str = "bicubic",
    keep_alpha: bool = True,
) -> Input:
    """Read one file.

    Args:
        model: The model that it is for.
        path: An image file: low-resolution, or a photo to shrink.
        crop: How to cut the photo before it is shrunk; None if it is a low-resolution image.
        max_pixels: Most pixels that it may have.
        shrunk_by: By what a photo is shrunk.
        keep_alpha: Keep the alpha of a low-resolution image apart, instead of putting its colours
            on white.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    photo = read_photo(path, max_pixels, keep_alpha and crop is None, HIGHER)
    photons = photons_of(model.photon_noise)
    fitted, extras = list[str](), photo.extras
    with naming(path):
        image, lost = as_channels(photo.image, model.channels, photons > 0)
        if crop is None:
            y, truth = to_tensor(image), None
            if not model.any_size:
                y, fitted = fit(y, model.lr_size, domain_of_model(model.name), shrunk_by)
                if extras.alpha is not None:  # as `fit` cuts the colours
                    extras = replace(extras, alpha=centre_square(extras.alpha))
            y = model.check(y)[0]
            if photons:
                fitted.append(
                    f"the model assumes that white stands for {photons:g} photons: counts of a "
                    f"camera are better given as a TIFF, with --values LOW,HIGH"
                )
        elif model.any_size:
            whole = cut(image, crop)
            y, truth = simulate_whole(whole, model.scale, shrunk_by, photons)
            fitted = left_out(whole.height - truth.shape[1], whole.width - truth.shape[2])
        else:
            lr_size = (model.lr_size, model.lr_size)
            y, truth = simulate(image, model.degradation_of(lr_size, shrunk_by), crop, photons)
    return Input(y, truth, [*photo.notes, *lost, *fitted], extras.of(model.channels), path)


def read_any(
    model: SuperResolver,
    path: Path,
    crop: Crop | None = None,
    limits: Limits = Limits(MAX_PIXELS, MAX_PAGES),
    shrunk_by: str = "bicubic",
    how: str | None = None,
    keep_alpha: bool = True,
) -> Input | Stack:
    """Read one file: a picture, or arrays.

    Args:
        model: The model that it is for.
        path: The file.
        crop: As for `read_input`; arrays are shrunk whole.
        limits: What it may hold.
        shrunk_by: As for `read_input`.
        how: How values of arrays are mapped to [0, 1], as for `read_stack`; by default as suits.
        keep_alpha: As for `read_input`.

    Raises:
        InputError: The file cannot be used; the message names it.
    """
    if holds_arrays(path):
        if crop is None:
            return read_stack(model, path, limits, how or AUTO)
        if crop != "none":
            raise InputError(f"{path} holds arrays, which are shrunk whole: say --crop none")
        return read_shrunk(model, path, limits, how or AUTO, shrunk_by)
    if how is not None:
        refuse_values(path)
    return read_input(model, path, crop, limits.pixels, shrunk_by, keep_alpha)


def refuse_values(path: Path) -> None:
    """Refuse a range of values for what is a picture.

    Raises:
        InputError: It is one.
    """
    if holds_arrays(path):
        raise InputError(
            f"{path} is read as a picture here: --values does not go with --simulate, --jpeg, grey "
            f"and bayer"
        )
    if kind_of(path) is not None:
        refuse_packed(path)
        raise InputError(f"{path} is a picture: --values goes with arrays (TIFF, Zarr, NumPy)")


def holds_arrays(path: Path) -> bool:
    """Whether a file is of a format of arrays.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return format_of(path) is not None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


Outcome = SuperResolution | LargeResult | StackResult
"""What came of an input: all tell the same of themselves."""


def draw_into(
    model: SuperResolver,
    given: Input | Stack,
    sampling: Sampling,
    folder: Path,
    animation: Animation | None = None,
    check: bool = True,
    on_pixels: OnDone = untold,
) -> Outcome:
    """Super-resolve one input into a folder, in memory or, where it is large, through files.

    Args:
        model: The model.
        given: The input.
        sampling: How to draw.
        folder: Where the results go.
        animation: As in `SuperResolution.save`.
        check: Examine the input, where the model knows what to expect.
        on_pixels: As for `Drawing`; statistics and pictures are left, as `SAVED` says.

    Raises:
        InputError: A large image is to move, or one too long for WebP.
        OutputError: The folder cannot be written, or the input is a picture of the result that lies
            there; nothing is left behind.
    """
    source = given.shrunk_from or given.path if isinstance(given, Stack) else given.path
    if source is not None:
        refuse_own(folder, source)
    on_pixels = partial(in_parts, on_pixels, 1 + SAVED / sampling.samples)
    if isinstance(given, Stack):
        if animation is not None:
            raise InputError(f"{given.path} holds arrays, which do not move: leave --animation out")
        found = doubts_of(model, given.y(0, 0)[0]) if check else None
        return draw_stack(model, given, sampling, folder, found, on_pixels)
    started = time.perf_counter()
    doubts = doubts_of(model, given.y) if check else None
    pixels = given.y[0].numel() * model.scale**2
    if pixels * sampling.samples > IN_MEMORY and model.any_size:
        if animation is not None:
            raise InputError(
                f"{sampling.samples} samples of {pixels / 1e6:.0f} megapixels are too large to "
                f"move: take a part of the image, fewer samples, or no --animation"
            )
        return draw_to_folder(
            model, given.y, sampling, folder, given.truth, given.extras, doubts, on_pixels
        )
    check_animation(animation, *(model.scale * side for side in given.y.shape[1:]))
    result = model.run(given.y, sampling, given.truth, on_pixels)
    seconds = time.perf_counter() - started
    result = replace(
        result, doubts=doubts, extras=given.extras, seconds=seconds, animation=animation
    )
    result.save(folder)
    return result
