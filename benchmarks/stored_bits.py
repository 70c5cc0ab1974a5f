"""What 8 bits cost a prior over faces, a flow or an LR encoder: same faces, same noise, both ways.

    python benchmarks/stored_bits.py --model FOLDER --data ../shared/data/celeba

FOLDER holds the weights in 16 or 32 bits; a copy of it in 8 bits is made and thrown away.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from cvdvae.checkpoints.folder import find, read_record, save_model
from cvdvae.checkpoints.loading import load_encoder, load_flow, load_prior
from cvdvae.checkpoints.precision import unpack
from cvdvae.checkpoints.records import FlowRecord, PriorRecord
from cvdvae.data.folder import load_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import bits_per_dim
from cvdvae.hvae.lr_encoder import lr_encoder_kl


@torch.no_grad()
def loss(folder: str, x: Tensor) -> Tensor:
    """Bits/dim of every image, ``(N,)``: of the prior or the flow, or the KL of the encoder.

    Args:
        folder: The model.
        x: Faces in [0, 1], ``(N, C, H, W)``.
    """
    size, noise = x.shape[2], SeededNoise(0, range(len(x)))
    record = read_record(Path(folder))
    if isinstance(record, PriorRecord):
        return load_prior(folder).elbo(x, noise).bits_per_dim
    if isinstance(record, FlowRecord):
        lr_size = record.model.lr_size
        y = shrink_to_8_bits(x, BicubicDownscaling((size, size), (lr_size, lr_size)))
        return load_flow(folder)[0].bits_per_dim(x, y, noise)
    loaded = load_encoder(folder)
    lr_size = size // loaded.scale
    y = shrink_to_8_bits(x, BicubicDownscaling((size, size), (lr_size, lr_size)))
    kl = lr_encoder_kl(loaded.prior, loaded.encoder, x, y, noise)
    return bits_per_dim(kl.sum(1), x[0].numel())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=32)
    options = parser.parse_args()
    paths = sorted(options.data.glob("*.jpg"))[-500:][: options.images]
    x = load_images(paths, 64, crop=74).float() / 255
    source = find(options.model)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "copy"
        shutil.copytree(source, copy)
        weights = unpack(load_file(source / "model.safetensors"))
        save_model(copy, read_record(source), weights, bits=8)
        before, after = loss(str(source), x), loss(str(copy), x)
        sizes = [(f / "model.safetensors").stat().st_size / 1e6 for f in (source, copy)]
    difference = after - before
    error = difference.std() / len(x) ** 0.5
    print(f"{sizes[0]:.2f} → {sizes[1]:.2f} MB, {len(x)} images")
    print(f"{before.mean():.4f} → {after.mean():.4f} bits/dim")
    print(f"difference {difference.mean():+.5f} ± {error:.5f} bits/dim")


if __name__ == "__main__":
    main()
