"""FFHQ-256 size, ×8: our sampling and training steps beside the published ones, in one process.

    git clone https://github.com/jprost76/srvdvae
    python benchmarks/against_published.py --srvdvae srvdvae

Both sides have the same random weights and run in turn. Peak memory is measured in a process of its
own for each side (``--memory-of``), since a process's peak never falls.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from published import (
    copy_encoder,
    copy_prior,
    hyperparameters,
    load_module,
    lr_hyperparameters,
    randomize,
)
from torch.utils.flop_counter import FlopCounterMode

from cvdvae.bench import peak, peak_memory
from cvdvae.configs import load_yaml
from cvdvae.hvae import HVAE
from cvdvae.hvae.lr_encoder import LREncoder, lr_encoder_kl
from cvdvae.hvae.presets import PRESETS
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.networks import DTYPES
from cvdvae.restoration.recipe import Dtype
from cvdvae.restoration.settings import Sampling
from cvdvae.training import EncoderTraining

CONFIG = Path(__file__).parents[1] / "configs" / "ffhq256-x8.yaml"
CPU = torch.device("cpu")


class Published:
    """The published conditional VAE with random weights."""

    def __init__(self, checkout: Path) -> None:
        prior, config = PRESETS["ffhq256"], load_yaml(EncoderTraining, CONFIG).model
        settings = hyperparameters("ffhq256", prior, **lr_hyperparameters(config, prior))
        self.model = load_module(checkout, "cvdvae").CVAE(settings).eval()
        randomize(self.model)

    @torch.no_grad()
    def draw(self, y: torch.Tensor, samples: int) -> torch.Tensor:
        """Samples of one image, all in one batch, as its `sample_images` does."""
        batch = 255 * y.expand(samples, -1, -1, -1)
        drawn: torch.Tensor = self.model.forward_samples(batch, t=0.8, quantize=False)[0]
        return drawn

    def training_step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Loss and gradients of its `CondVAE.training_step`, the prior frozen as there."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_("encoder_y" in name or "enc_y" in name)
        loss, _ = self.model.forward_cond_training(255 * x, 255 * y)
        loss.mean().backward()


class Ours:
    """Our models, with random weights or those of the published one."""

    def __init__(self, published: Published | None = None) -> None:
        prior, config = PRESETS["ffhq256"], load_yaml(EncoderTraining, CONFIG).model
        self.prior, self.encoder = HVAE(prior).eval(), LREncoder(config, prior).eval()
        randomize(self.prior)
        randomize(self.encoder)
        if published is not None:
            self.take_weights(published)
        self.prior.requires_grad_(False)
        self.encoder.requires_grad_(False)

    def take_weights(self, published: Published) -> None:
        """Have the weights of the published model, in fp32."""
        copy_prior(published.model, self.prior.float())
        copy_encoder(published.model, self.encoder.float(), self.prior.config)

    def resolver(self, dtype: Dtype) -> HVAEResolver:
        """Ready to draw in a dtype; only one dtype at a time."""
        return HVAEResolver(self.prior, self.encoder, "ffhq256-x8").to("cpu", DTYPES[dtype])

    def training_step(self, x: torch.Tensor, y: torch.Tensor, bf16: bool) -> None:
        """Loss and gradients of our training step."""
        self.encoder.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            lr_encoder_kl(self.prior, self.encoder, x, y).sum().backward()
        self.encoder.requires_grad_(False)


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def draw(resolver: HVAEResolver, y: torch.Tensor, samples: int) -> torch.Tensor:
    """Samples without the projection, which the published sampling does not have either."""
    return resolver.run(y, Sampling(samples, consistent=False)).samples


def compare(checkout: Path, repeats: int) -> None:
    """Print the table."""
    published = Published(checkout)
    ours = Ours(published)
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        draw(ours.resolver("fp32"), y, 1)
    gflops = counter.get_total_flops() / 1e9
    peaks: dict[str, float] = {name: peak(CPU, dtype) for name, dtype in DTYPES.items()}
    print(f"{gflops:.0f} GFLOP a sample; peak {peaks['fp32']:.0f} GFLOP/s in fp32, "
          f"{peaks['bf16']:.0f} in bf16")  # fmt: skip
    for samples in (1, 8):
        times: dict[str, list[float]] = {"published": [], "fp32": [], "bf16": []}
        for _ in range(repeats + 1):
            times["published"].append(seconds(partial(published.draw, y, samples)))
            for dtype in DTYPES:
                times[dtype].append(seconds(partial(draw, ours.resolver(dtype), y, samples)))
            ours.take_weights(published)
        best = {side: min(values[1:]) for side, values in times.items()}
        for side, value in best.items():
            share = "" if side == "published" else (
                f"{best['published'] / value:5.2f} times as fast, "
                f"{gflops * samples / value / peaks[side]:4.0%} of the peak"
            )  # fmt: skip
            print(f"{samples} samples, {side:>9}: {value:6.2f} s  {share}", flush=True)
    exact, rough = (draw(ours.resolver(dtype), y, 1) for dtype in DTYPES)
    psnr = -10 * torch.log10((exact - rough).square().mean())
    print(f"bf16 against fp32, the same noise: {psnr:.1f} dB PSNR")
    ours.take_weights(published)
    steps: dict[str, list[float]] = {"published": [], "fp32": [], "bf16": []}
    for _ in range(repeats + 1):
        steps["published"].append(seconds(lambda: published.training_step(x, y)))
        steps["fp32"].append(seconds(lambda: ours.training_step(x, y, bf16=False)))
        steps["bf16"].append(seconds(lambda: ours.training_step(x, y, bf16=True)))
    for side, values in steps.items():
        ratio = min(steps["published"][1:]) / min(values[1:])
        print(f"training step, {side:>9}: {min(values[1:]):6.2f} s  {ratio:5.2f} times as fast")


def memory(checkout: Path, side: Dtype | Literal["published"], samples: int) -> None:
    """Draw on one side and print this process's peak memory."""
    y = torch.rand(1, 3, 32, 32)
    if side == "published":
        Published(checkout).draw(y, samples)
    else:
        draw(Ours().resolver(side), y, samples)
    print(f"{samples} samples, {side:>9}: {peak_memory(CPU):.2f} GB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--srvdvae", type=Path, required=True, help="checkout of the code")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", choices=["published", *DTYPES])
    parser.add_argument("--samples", type=int, default=8)
    options = parser.parse_args()
    if options.memory_of:
        memory(options.srvdvae, options.memory_of, options.samples)
        return
    # First, while this process is small: a child's peak is at least its parent's size.
    for side in ("published", *DTYPES):
        subprocess.run([sys.executable, *sys.argv, "--memory-of", side], check=True)
    compare(options.srvdvae, options.repeats)


if __name__ == "__main__":
    main()
