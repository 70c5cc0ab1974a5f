"""Whether samples look like faces: detected ones, and the kernel distance to real ones.

    python benchmarks/realism.py --data ../shared/data/celeba --images 200 \\
        --lpips ../shared/data/alexnet_features.safetensors

One sample of each held-out face (the centred 74×74 square, resized to 64×64, shrunk with H and
rounded to 8 bits) as recommended for looking (with `--look`, at that temperature in all groups),
made consistent; beside it the flow, bicubic, the real faces, and samples of the prior without any
input. A face counts as detected where the detector is as sure as it is of 99 % of the real ones.
The kernel distance, in thousandths, is to real faces that are not those behind the inputs.
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from cvdvae.checkpoints.loading import load_prior
from cvdvae.data.folder import load_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import upscale_bicubic
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae.model import HVAE
from cvdvae.metrics.perceptual import LPIPS
from cvdvae.metrics.realism import FaceDetector, detected, kernel_distance
from cvdvae.restoration.load import load


def one_sample_each(name: str, truths: Tensor, look: float | None) -> tuple[Tensor, Tensor]:
    """Samples as saved, and the low-resolution images enlarged by bicubic interpolation."""
    model = load(name)
    samples, smooth = [], []
    for i, truth in enumerate(track(truths, name, transient=True)):
        y = shrink_to_8_bits(truth[None], model.degradation)[0]
        sampling = model.sampling(1, look, i, look, look=look is None)
        samples.append(model.run(y, sampling).pixels[0].float() / 255)
        smooth.append(upscale_bicubic(y[None], (truth.shape[1], truth.shape[2]))[0].clamp(0, 1))
    return torch.stack(samples), torch.stack(smooth)


def without_input(prior: HVAE, count: int, temperature: float) -> Tensor:
    """Samples of the prior, ``(count, 3, 64, 64)`` in [0, 1]."""
    drawn = [
        prior.sample(20, temperature=temperature, noise=SeededNoise(0, range(b, b + 20)), mean=True)
        for b in track(range(0, count, 20), "prior", transient=True)
    ]
    return torch.cat(drawn)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--scales", default="4,8,16")
    parser.add_argument("--look", type=float, nargs="+", help="Other temperatures than the preset.")
    parser.add_argument("--prior", default="celeba64")
    options = parser.parse_args()
    n = options.images
    paths = sorted(options.data.glob("*.jpg"))[-500:]
    if 2 * n > len(paths):
        parser.error(f"{n} images, and as many others to compare with, are more than {len(paths)}")
    every = load_images(paths[: 2 * n], 64, crop=74).float() / 255
    truths, others = every[:n], every[n:]
    judge, find = LPIPS(options.lpips), FaceDetector()
    real_scores, real_features = find(others), judge.features(others)
    table = Table(title=f"{n} held-out faces")
    for title in ("", "detected", "kernel distance · 1000", "LPIPS"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)

    def row(name: str, x: Tensor, against: Tensor | None = None) -> None:
        share, share_error = detected(find(x), real_scores)
        distance, error = kernel_distance(judge.features(x), real_features)
        lpips = "–" if against is None else f"{float(judge.distances(x, against).mean()):.3f}"
        table.add_row(
            name,
            f"{100 * share:.1f} ± {100 * share_error:.1f} %",
            f"{1000 * distance:.2f} ± {1000 * error:.2f}",
            lpips,
        )

    row("real faces", truths)
    prior = load_prior(options.prior)
    for temperature in (0.8, 1.0):
        row(f"{options.prior}, no input, τ {temperature}", without_input(prior, n, temperature))
    for scale in map(int, options.scales.split(",")):
        for look in options.look or [None]:
            samples, smooth = one_sample_each(f"celeba64-x{scale}", truths, look)
            row(f"×{scale} sample" + ("" if look is None else f", τ {look}"), samples, truths)
        flow, _ = one_sample_each(f"celeba64-hcflow-x{scale}", truths, None)
        row(f"×{scale} flow", flow, truths)
        row(f"×{scale} bicubic", smooth, truths)
    Console().print(table)


if __name__ == "__main__":
    main()
