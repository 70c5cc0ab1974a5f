"""How samples of photographs change with the temperature, or the weights: spread, sharpness, error.

    python benchmarks/photo_temperatures.py --sets SETS --scales 2 3 4 --temperatures 0.85 1.1 \
        --lpips alexnet_features.safetensors [--models MODEL …] [--profiles 1,1,1,1.3]

On one square of 192×192 pixels of some images of BSD100, Urban100 and Set14: 19 samples of each. Of
19 values, the second smallest and the second largest bound an interval that holds one more draw of
the same distribution in 16 of 20 cases: 80 %.
"""

import argparse
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

import cvdvae
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.imaging.io import list_images, read_photo
from cvdvae.metrics.calibration import Ranks, uncertain
from cvdvae.metrics.perceptual import LPIPS
from cvdvae.restoration.result import psnr
from cvdvae.restoration.sampler import MEASURED

SETS = {"BSD100": 10, "Urban100": 17, "Set14": 4}
"""Which sets, and every how many-th image of each."""
SAMPLES = 19


class At(NamedTuple):
    """How samples are drawn: a profile of None is the model's own."""

    temperature: float
    profile: tuple[float, ...] | None


def squares(folder: Path) -> list[Image.Image]:
    """A square at a random place of every image."""
    rng = np.random.default_rng(0)
    cut = []
    for name, step in SETS.items():
        for path in list_images(folder / name)[::step]:
            image = read_photo(path).image
            if min(image.size) >= MEASURED:
                left = int(rng.integers(image.width - MEASURED + 1))
                top = int(rng.integers(image.height - MEASURED + 1))
                cut.append(image.crop((left, top, left + MEASURED, top + MEASURED)))
    return cut


def figures(
    model: cvdvae.SuperResolver, image: Image.Image, at: At, lpips: LPIPS
) -> dict[str, float]:
    """The figures of one square."""
    y, truth = simulate_at_scale(image, model.scale)
    result = model.run(y, model.sampling(SAMPLES, at.temperature, profile=at.profile))
    saved = result.pixels.float() / 255
    ranks = Ranks.empty(SAMPLES, *truth.shape[1:])
    # Both are in 8 bits: what equals samples shares its count, and what equals all is known.
    ranks.add(saved, truth, uncertain(saved, truth))
    return {
        "LPIPS": float(lpips.distances(saved[:4], truth).mean()),
        "of bicubic": float(lpips.distances(result.bicubic[None], truth)),
        "80 % hold": 100 * float(ranks.histogram()[2:-2].sum()),
        "one, dB": fmean(psnr(one, truth) for one in saved),
        "mean of 8": psnr(saved[:8].mean(0), truth),
        "mean of 19": psnr(saved.mean(0), truth),
        "bicubic": psnr(result.bicubic, truth),
        "std, levels": 255 * float(saved.std(0).mean()),
        "exact, %": 100 * fmean(result.round_trip_exact),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.85, 1.1])
    parser.add_argument("--models", nargs="+", default=["photos-x{scale}"])
    parser.add_argument(
        "--profiles",
        type=lambda text: tuple(map(float, text.split(","))),
        nargs="+",
        default=[None],
        help="what temperatures are multiplied by for the groups of every stride, as 1,1,1,1.3; "
        "the model's own by default",
    )
    parser.add_argument("--every", type=int, default=1, help="only every so many-th square")
    options = parser.parse_args()
    lpips, images = LPIPS(options.lpips), squares(options.sets)[:: options.every]
    print(f"{len(images)} squares, PyTorch {torch.__version__}")
    for name, scale in product(options.models, options.scales):
        model = cvdvae.load(name.replace("{scale}", str(scale)), scale=scale)
        for at in map(At._make, product(options.temperatures, options.profiles)):
            rows = [figures(model, image, at, lpips) for image in images]
            means = {key: fmean(row[key] for row in rows) for key in rows[0]}
            told = ", ".join(f"{key} {value:.3f}" for key, value in means.items())
            by = "" if at.profile is None else f" × {', '.join(map('{:g}'.format, at.profile))}"
            print(f"{name} ×{scale}, temperature {at.temperature:g}{by}: {told}", flush=True)


if __name__ == "__main__":
    main()
