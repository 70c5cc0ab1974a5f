"""How well what made a photograph small is told from its spectrum, on photographs of others.

    python benchmarks/shrinking.py --sets sets

The folder is that of docs/photos_benchmark.md; nothing was fitted on its images.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cvdvae.imaging.io import list_images, read_photo
from cvdvae.input_check.shrinking import PROGRAMS, Told, spectra_of, tell
from cvdvae.restoration.load import load


def confused(told: Told) -> str:
    """What is taken for another most often."""
    wrong = told.confusion - np.diag(np.diag(told.confusion))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    return f"{PROGRAMS[row]} as {PROGRAMS[column]} ({wrong[row, column]:.0%})"


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=[f"photos-x{s}" for s in (2, 3, 4)])
    arguments = parser.parse_args()
    paths = [p for folder in sorted(arguments.sets.iterdir()) for p in list_images(folder)]
    table = Table(title="Named rightly, of five programs")
    titles = (
        "model",
        "images",
        "file",
        "right",
        "given 70 % or more",
        "given",
        "right",
        "confused",
    )
    for title in titles:
        table.add_column(title)
    for name in arguments.models:
        model = load(name)
        assert model.shrinking is not None, f"{name} knows nothing of spectra"
        spectra = spectra_of((read_photo(path).image for path in paths), model.scale)
        for compressed in (False, True):
            told = tell(model.shrinking, spectra, compressed)
            shares = (told.right, told.sure, told.given_when_sure, told.right_when_sure)
            seen, file = str(len(spectra.plain)), "JPEG" if compressed else "PNG"
            most = confused(told)
            table.add_row(name, seen, file, *(f"{share:.0%}" for share in shares), most)
    Console().print(table)


if __name__ == "__main__":
    main()
