"""Many files in, one folder of results for each."""

from collections.abc import Callable
from pathlib import Path

from .errors import InputError
from .images import read_photo, to_tensor
from .resolver import SuperResolver
from .result import SuperResolution
from .sampling import Sampling
from .simulation import Crop, simulate


def plan(paths: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair every input with its output folder, ``out/<stem>``.

    Raises:
        InputError: Two inputs would share a folder.
    """
    owners: dict[str, Path] = {}
    for path in paths:
        other = owners.setdefault(path.stem, path)
        if other != path:
            raise InputError(
                f"{other} and {path} would both be written to {out / path.stem}: "
                f"rename one, or run them with different --out"
            )
    return [(path, out / stem) for stem, path in owners.items()]


def run_one(
    model: SuperResolver,
    path: Path,
    sampling: Sampling,
    crop: Crop | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[SuperResolution, list[str]]:
    """Super-resolve one file.

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
    try:
        photo = read_photo(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if crop is None:
            y, truth = to_tensor(photo.image), None
        else:
            y, truth = simulate(photo.image, model.degradation, crop)
        return model.run(y, sampling, truth, on_progress), photo.notes
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
