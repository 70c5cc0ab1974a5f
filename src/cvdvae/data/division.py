"""Which images of a source train and which validate: kept, so that a change of them is noticed."""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .folder import DataConfig, is_first_process, paths_of, split


class Division(NamedTuple):
    """The split of a source.

    Attributes:
        images: How many it has.
        digest: SHA-256 of the names of those that train and of those that validate, in order.
        contents: SHA-256 of what tells images of these names from others: the sizes of files, the
            first and the last image of an array. Empty in checkpoints of before.
    """

    images: int
    digest: str
    contents: str = ""


def division_of(config: DataConfig) -> Division:
    """The split of the images that a source holds now.

    Raises:
        InputError: There are none to train on.
    """
    names, contents = _names(config)
    parts = _divided(names, config)
    return Division(len(names), hashlib.sha256(json.dumps(parts).encode()).hexdigest(), contents)


def check_apart(config: DataConfig) -> None:
    """Refuse further sources that would train on what the first keeps for validation.

    Raises:
        InputError: One would.
    """
    others = [(source, _places(source)[0]) for source in config.more]
    kept = set(_places(config)[1]) if others else set[Path]()
    for source, trained in others:
        both = len(kept.intersection(trained))
        if both:
            raise InputError(
                f"{both} of the images that {config.folder} keeps for validation would train as "
                f"those of {source.folder} in more: keep them out (only), or in another folder"
            )


def _places(config: DataConfig) -> tuple[list[Path], list[Path]]:
    """Where the images lie that train, and those that validate."""
    names, folder = _names(config)[0], Path(config.folder).resolve()
    training, validation = _divided(names, config)
    return [folder / name for name in training], [folder / name for name in validation]


def _divided(names: list[str], config: DataConfig) -> list[list[str]]:
    """Those that train, and those that validate."""
    return [[names[row] for row in part] for part in split(len(names), config)]


def tell_another(source: DataConfig, then: Division, now: Division) -> None:
    """Say where a source is divided in another way than before, or holds other images of the same
    names; the first process does."""
    if not is_first_process():
        return
    seen = "images that were trained on may now validate"
    if then[:2] != now[:2]:
        note = (
            f"the split of {source.folder} into training and validation images is another than "
            f"before ({then.images} images then, {now.images} now): {seen}"
        )
    elif then.contents and then.contents != now.contents:
        note = f"{source.folder} has other images than before, under the same names: {seen}"
    else:
        return
    print(f"note: {note}", file=sys.stderr, flush=True)


def _names(config: DataConfig) -> tuple[list[str], str]:
    """Of files, and what tells their contents; the images of an array have numbers."""
    source, contents = Path(config.folder), hashlib.sha256()
    if source.suffix == ".npy":
        array = np.load(source, mmap_mode="r")
        for image in array[[0, -1]] if len(array) else ():
            contents.update(image.tobytes())
        return [str(row) for row in range(len(array))], contents.hexdigest()
    paths = paths_of(config)
    contents.update(json.dumps([path.stat().st_size for path in paths]).encode())
    return [path.name for path in paths], contents.hexdigest()
