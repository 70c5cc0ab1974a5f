"""How good the bundled models are on held-out faces.

    python benchmarks/quality.py --data ../shared/data/celeba --images 100

Faces are cut as in training (the centred 74×74 square, resized to 64×64), shrunk with H and rounded
to 8 bits. PSNR is averaged over images; LR-PSNR and exactness are those of the samples as saved.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cvdvae.checkpoints.loading import load_prior
from cvdvae.data.folder import load_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import list_images
from cvdvae.restoration.load import load
from cvdvae.restoration.result import psnr
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.settings import Sampling


def measure(model: SuperResolver, images: torch.Tensor, sampling: Sampling) -> dict[str, float]:
    """Means over images, and the worst LR-PSNR of all samples."""
    rows, lr_psnr, exact = [], [], []
    for image in track(images, model.name, transient=True):
        truth = image.float() / 255
        y = shrink_to_8_bits(truth[None], model.degradation)[0]
        result = model.run(y, sampling, truth)
        against = result.against_truth()
        assert against is not None
        one = torch.tensor(against.sample_psnr).mean()
        rows.append(
            [
                against.bicubic_psnr,
                against.mean_psnr,
                float(one),
                float(result.std.mean()) * 255,
                psnr(result.samples[0], result.samples[-1]),
                result.seconds,
            ]
        )
        lr_psnr += result.lr_psnr
        exact += result.round_trip_exact
    bicubic, mean, one, std, between, seconds = torch.tensor(rows).mean(0).tolist()
    return {
        "bicubic": bicubic, "mean of samples": mean, "gain of the mean": mean - bicubic,
        "one sample": one, "one below mean": mean - one, "std of 255": std,
        "PSNR between samples": between, "worst LR-PSNR": min(lr_psnr),
        "exact": sum(exact) / len(exact), "seconds per image": seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=[f"celeba64-x{s}" for s in (4, 8, 16)])
    parser.add_argument("--images", type=int, default=100, help="the first of the last 500")
    parser.add_argument("--seen", action="store_true", help="the first of all: trained on")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--encoder-temperature", type=float, default=1.0)
    parser.add_argument("--profile", default="", help="factors per stride, such as 1,1,1,0.45,0")
    parser.add_argument("--antithetic", action="store_true", help="samples in opposite pairs")
    parser.add_argument("--self-ensemble", action="store_true", help="every other one mirrored")
    parser.add_argument("--prior", default="celeba64", help="whose bits/dim are measured")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    every = list_images(options.data)
    paths = (every if options.seen else every[-500:])[: options.images]
    images = load_images(paths, 64, 74)
    sampling = Sampling(
        options.samples, options.temperature, 0, options.encoder_temperature,
        antithetic=options.antithetic, self_ensemble=options.self_ensemble,
        profile=tuple(float(one) for one in options.profile.split(",") if one),
    )  # fmt: skip
    results = {name: measure(load(name), images, sampling) for name in options.models}
    table = Table(title=f"{len(paths)} faces, {options.samples} samples, τ = {options.temperature}")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    for key in next(iter(results.values())):
        table.add_row(key, *(f"{r[key]:.3f}" for r in results.values()))
    Console().print(table)
    prior, x = load_prior(options.prior), images.float() / 255
    with torch.no_grad():
        bits = torch.cat(
            [
                prior.elbo(part, SeededNoise(i, range(len(part)))).bits_per_dim
                for i, part in enumerate(x.split(50))
            ]
        )
    print(
        f"{options.prior}: {bits.mean():.3f} bits/dim of {prior.config.bits}-bit images "
        f"(standard error {bits.std() / len(bits) ** 0.5:.3f})"
    )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
