"""How near to the truth a mean comes that is fitted for nothing else: kernel ridge regression.

    python benchmarks/kernel_ridge.py --data ../shared/data/celeba --scales 8 16

From y to what bicubic interpolation of it lacks, on the faces of a folder and their mirror images,
with a Gaussian kernel; judged on the last 500, which are left out. It needs minutes, and memory for
four matrices in float32 of twice as many rows and columns as there are faces; for three, where only
one strength of the ridge is tried. For each scale and strength of the ridge: by how many dB the
PSNR of the projected mean is above bicubic's.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from cvdvae.data.folder import load_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.degradations.projection import project
from cvdvae.imaging.io import list_images
from cvdvae.metrics.distortion import psnr

SIZE, CROP, LEFT_OUT = 64, 74, 500
WHITENING = 0.25
"""Power of a principal component's standard deviation that it is divided by: 1 would whiten."""


def gains(images: Tensor, scale: int, ridges: list[float]) -> list[tuple[float, float]]:
    """Mean gain over bicubic for each strength of the ridge, with its standard error."""
    degradation = BicubicDownscaling((SIZE, SIZE), (SIZE // scale, SIZE // scale))
    known, truth = images[:-LEFT_OUT], images[-LEFT_OUT:]
    known = torch.cat([known, known.flip(-1)])
    y_known, y = (shrink_to_8_bits(x, degradation) for x in (known, truth))
    smooth, bicubic = (upscale_bicubic(v, (SIZE, SIZE)).clamp(0, 1) for v in (y_known, y))
    features = y_known.flatten(1)
    centre = features.mean(0)
    _, spread, axes = torch.linalg.svd(features - centre, full_matrices=False)
    shaped = axes.T * (spread / spread[0]) ** -WHITENING
    a, b = ((v.flatten(1) - centre) @ shaped for v in (y_known, y))
    squares = torch.cdist(a, a).square_()
    width = squares[:2000, :2000].median()
    kernel, across = (torch.exp(-s / width) for s in (squares, torch.cdist(b, a).square()))
    del squares
    lacking, rows = (known - smooth).flatten(1), []
    for ridge in ridges:
        factor = torch.linalg.cholesky(kernel + ridge * torch.eye(len(kernel)))
        found = (across @ torch.cholesky_solve(lacking, factor)).view_as(truth)
        gain = psnr(project(bicubic + found, y, degradation), truth) - psnr(bicubic, truth)
        rows.append((float(gain.mean()), float(gain.std() / len(gain) ** 0.5)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scales", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--ridges", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    options = parser.parse_args()
    images = load_images(list_images(options.data), SIZE, CROP).float() / 255
    for scale in options.scales:
        found = zip(options.ridges, gains(images, scale, options.ridges), strict=True)
        for ridge, (gain, error) in found:
            print(f"x{scale}, ridge {ridge}: +{gain:.2f} ± {error:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
