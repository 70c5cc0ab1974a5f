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
        folder: The source, as the configuration names it. Empty in checkpoints of before.
    """

    images: int
    digest: str
    contents: str = ""
    folder: str = ""


def division_of(config: DataConfig) -> Division:
    """The split of the images that a source holds now.

    Raises:
        InputError: There are none to train on, or one cannot be read.
    """
    names, contents = _names(config)
    parts = _divided(names, config)
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Division(len(names), digest, contents, config.folder)


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


def tell_others(then: list[Division], now: list[Division]) -> None:
    """Say which sources are divided in another way than before, or hold other images of the same
    names; the first process does. The first source is that which validates."""
    if not is_first_process():
        return
    for place, one in enumerate(now):
        before = _same(then, place, one)
        if before is None:
            continue
        if before[:2] != one[:2]:
            note = (
                f"the split of {one.folder} into training and validation images is another than "
                f"before ({before.images} images then, {one.images} now)"
            )
        elif before.contents and before.contents != one.contents:
            note = f"{one.folder} has other images than before, under the same names"
        else:
            continue
        note += "" if place else ": images that were trained on may now validate"
        print(f"note: {note}", file=sys.stderr, flush=True)


def _same(then: list[Division], place: int, now: Division) -> Division | None:
    """What a source was: the first was the first, the others are known by their folder, and by
    their place where that was not kept."""
    if place == 0:
        return then[0]
    kept = [one for one in then[1:] if one.folder == now.folder]
    if kept or place >= len(then) or then[place].folder:
        return kept[0] if kept else None
    return then[place]


def _names(config: DataConfig) -> tuple[list[str], str]:
    """Of files, and what tells their contents; the images of an array have numbers."""
    source, contents = Path(config.folder), hashlib.sha256()
    if source.suffix == ".npy":
        array = np.load(source, mmap_mode="r")
        for image in array[[0, -1]] if len(array) else ():
            contents.update(image.tobytes())
        return [str(row) for row in range(len(array))], contents.hexdigest()
    paths = paths_of(config)
    try:
        sizes = [path.stat().st_size for path in paths]
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from None
    contents.update(json.dumps(sizes).encode())
    return [path.name for path in paths], contents.hexdigest()
