"""Which images of a source train and which validate: kept, so that a change of them is noticed."""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .folder import DataConfig, is_first_process, paths_of, split


class Division(NamedTuple):
    """The split of a source.

    Attributes:
        images: How many it has.
        digest: SHA-256 of the names of those that train and of those that validate, in order.
    """

    images: int
    digest: str


def division_of(config: DataConfig) -> Division:
    """The split of the images that a source holds now.

    Raises:
        InputError: There are none to train on.
    """
    names = _names(config)
    parts = [[names[row] for row in part] for part in split(len(names), config)]
    return Division(len(names), hashlib.sha256(json.dumps(parts).encode()).hexdigest())


def tell_another(source: DataConfig, then: Division, now: Division) -> None:
    """Say where the split of a source is another one than before; the first process does."""
    if then == now or not is_first_process():
        return
    note = (
        f"note: the split of {source.folder} into training and validation images is another than "
        f"before ({then.images} images then, {now.images} now): images that were trained on may "
        f"now validate"
    )
    print(note, file=sys.stderr, flush=True)


def _names(config: DataConfig) -> list[str]:
    """Of files; the images of an array have numbers."""
    source = Path(config.folder)
    if source.suffix == ".npy":
        return [str(row) for row in range(len(np.load(source, mmap_mode="r")))]
    return [path.name for path in paths_of(config)]
