"""A plain VAE, a ladder and a very deep VAE after the same training: does the depth pay?

    for n in plain ladder vdvae; do
      cvdvae train prior --config configs/depth/$n.yaml --out runs/depth-$n; done
    python benchmarks/depth.py --data ../shared/data/celeba --out docs

Writes `depth.md`, a table over the last 500 images of the folder, and `depth.png`: two rows of
samples of each model at temperature 0.8. Nobody in them exists.
"""

import argparse
from pathlib import Path

import torch

from cvdvae.checkpoints.loading import load_prior
from cvdvae.data.folder import load_images
from cvdvae.files import write_text
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import HVAE
from cvdvae.imaging.io import list_images
from cvdvae.imaging.sheets import save_tiles

MODELS = ("plain", "ladder", "vdvae")


@torch.no_grad()
def measure(model: HVAE, images: torch.Tensor) -> str:
    """The cells of one model's line."""
    parts = [
        model.elbo(part.float() / 255, SeededNoise(i, range(len(part))))
        for i, part in enumerate(images.split(50))
    ]
    bits = torch.cat([p.bits_per_dim for p in parts])
    kl = torch.cat([p.kl_bits_per_dim for p in parts]).sum(1).mean()
    error = bits.std() / len(bits) ** 0.5
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    return f"{model.groups} | {millions:.1f} M | {bits.mean():.3f} ± {error:.3f} | {kl:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    images = load_images(list_images(options.data)[-500:], 64, 74)
    lines = ["| | groups | parameters | bits/dim | of which KL |", "|---|---:|---:|---:|---:|"]
    rows = []
    for name in MODELS:
        model = load_prior(str(options.runs / f"depth-{name}" / "model"))
        lines.append(f"| {name} | {measure(model, images)} |")
        print(lines[-1], flush=True)
        noise = SeededNoise(0, range(24))
        with torch.no_grad():
            rows.append(model.sample(24, temperature=0.8, noise=noise, mean=True))
    write_text(options.out / "depth.md", "\n".join(lines) + "\n")
    save_tiles(options.out / "depth.png", torch.cat(rows), columns=12)


if __name__ == "__main__":
    main()
