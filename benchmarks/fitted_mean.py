"""How near to the truth a mean comes that is fitted for nothing else, by a ridge or by a network.

    python benchmarks/fitted_mean.py --data ../shared/data/celeba --scales 8 16
    python benchmarks/fitted_mean.py --data ../shared/data/celeba --more ../shared/data/faces128 \\
        --network --scales 16

From y to what bicubic interpolation of it lacks, on faces and their mirror images; judged on the
last 500 of `--data`, which are left out. The ridge has a Gaussian kernel, and needs minutes, and
memory for four matrices in float32 of twice as many rows and columns as there are faces; for three,
where only one strength of the ridge is tried. The network has three hidden layers, sees faces at a
place that is drawn anew for every step, and gives the low frequencies of what is lacking; its
answers to a face and to its mirror image are averaged. It learns for `--seconds`, and tells on the
way. For each: by how many dB the PSNR of the projected mean is above bicubic's.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, pad, silu

from cvdvae.data.folder import load_images
from cvdvae.degradations.base import Degradation, shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.degradations.projection import project
from cvdvae.imaging.io import list_images
from cvdvae.metrics.distortion import psnr

SIZE, CROP, LEFT_OUT = 64, 74, 500
WHITENING = 0.25
"""Power of a principal component's standard deviation that it is divided by: 1 would whiten."""
FREQUENCIES, WIDTH, DROPOUT = 28, 1024, 0.2
BATCH, RATE, DECAY, SHIFT = 128, 1e-3, 3e-2, 2
AVERAGED, AT_FIRST, SLOWLY = 0.002, 0.1, 500
"""Weight of a step in the moving average of the weights: later, at first, and for how many."""
TOLD_EVERY = 1000


class Judge:
    """The faces that were left out, and how far above bicubic a mean of them is.

    Args:
        truth: Float in [0, 1], ``(N, 3, H, W)``.
        degradation: H.
    """

    def __init__(self, truth: Tensor, degradation: Degradation) -> None:
        self.truth, self.degradation = truth, degradation
        self.y = shrink_to_8_bits(truth, degradation)
        self.bicubic = interpolated(self.y)

    def gain(self, lacking: Tensor) -> str:
        """Of what is added to bicubic interpolation, in dB, with its standard error."""
        mean = project(self.bicubic + lacking, self.y, self.degradation)
        gain = psnr(mean, self.truth) - psnr(self.bicubic, self.truth)
        return f"+{float(gain.mean()):.2f} ± {float(gain.std() / len(gain) ** 0.5):.2f} dB"


def interpolated(y: Tensor) -> Tensor:
    return upscale_bicubic(y, (SIZE, SIZE)).clamp(0, 1)


def by_ridge(faces: Tensor, judge: Judge, ridges: list[float]) -> Iterator[tuple[str, Tensor]]:
    """What kernel ridge regression adds, for each strength of the ridge."""
    known = faces.float() / 255
    known = torch.cat([known, known.flip(-1)])
    y_known = shrink_to_8_bits(known, judge.degradation)
    features = y_known.flatten(1)
    centre = features.mean(0)
    _, spread, axes = torch.linalg.svd(features - centre, full_matrices=False)
    shaped = axes.T * (spread / spread[0]) ** -WHITENING
    a, b = ((v.flatten(1) - centre) @ shaped for v in (y_known, judge.y))
    squares = torch.cdist(a, a).square_()
    width = squares[:2000, :2000].median()
    kernel, across = (torch.exp(-s / width) for s in (squares, torch.cdist(b, a).square()))
    del squares
    lacking = (known - interpolated(y_known)).flatten(1)
    for ridge in ridges:
        factor = torch.linalg.cholesky(kernel + ridge * torch.eye(len(kernel)))
        found = across @ torch.cholesky_solve(lacking, factor)
        yield f"ridge {ridge}", found.view_as(judge.truth)


class MeanNetwork(nn.Module):
    """From y to the low frequencies of what bicubic interpolation of it lacks, for small images."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.first, self.linear = nn.Linear(values, WIDTH), nn.Linear(values, 3 * FREQUENCIES**2)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Dropout(DROPOUT)
            )
            for _ in range(2)
        )
        self.last = nn.Linear(WIDTH, 3 * FREQUENCIES**2)
        for layer in (self.linear, self.last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, y: Tensor) -> Tensor:
        values = 4 * (y.flatten(1) - 0.5)
        hidden = silu(self.first(values))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        given: Tensor = (self.linear(values) + self.last(hidden)) / 10
        return given.view(-1, 3, FREQUENCIES, FREQUENCIES)


def cosines() -> Tensor:
    """The orthonormal low frequencies of the discrete cosine transform, ``(SIZE, FREQUENCIES)``."""
    place, frequency = torch.arange(SIZE) + 0.5, torch.arange(FREQUENCIES)
    waves: Tensor = torch.cos(torch.pi * place[:, None] * frequency / SIZE) * (2 / SIZE) ** 0.5
    waves[:, 0] /= 2**0.5
    return waves


def by_network(faces: Tensor, judge: Judge, seconds: float) -> Iterator[tuple[str, Tensor]]:
    """What a network adds that learns for so long; the rate falls in the second half."""
    waves = cosines()
    network = MeanNetwork(judge.y[0].numel())
    average = torch.optim.swa_utils.AveragedModel(
        network,
        avg_fn=lambda mean, now, n: mean.lerp(now, AVERAGED if n > SLOWLY else AT_FIRST),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    wider = pad(faces.float(), (SHIFT,) * 4, mode="replicate").byte()
    began, step, share = time.monotonic(), 0, 0.0

    @torch.no_grad()
    def lacking() -> Tensor:
        average.eval()
        given = average(judge.y) + average(judge.y.flip(-1)) * (-1.0) ** torch.arange(FREQUENCIES)
        found: Tensor = waves @ (given / 2) @ waves.T
        return found

    while share < 1:
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / 100, 2 * (1 - share))
        across, down = torch.randint(2 * SHIFT + 1, (2,)).tolist()
        drawn = wider[torch.randint(len(wider), (BATCH,))]
        x = drawn[:, :, down : down + SIZE, across : across + SIZE].float() / 255
        x = x.flip(-1) if step % 2 else x
        y = shrink_to_8_bits(x, judge.degradation)
        target = waves.T @ (x - interpolated(y)) @ waves
        optimizer.zero_grad()
        mse_loss(network.train()(y), target).backward()
        optimizer.step()
        average.update_parameters(network)
        step += 1
        share = (time.monotonic() - began) / seconds
        if step % TOLD_EVERY == 0 or share >= 1:
            yield f"network, {step} steps", lacking()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--more", type=Path, help="further faces to learn from, framed alike")
    parser.add_argument("--scales", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--ridges", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--seconds", type=float, default=420)
    options = parser.parse_args()
    torch.manual_seed(0)
    images = load_images(list_images(options.data), SIZE, CROP)
    faces, truth = images[:-LEFT_OUT], images[-LEFT_OUT:].float() / 255
    if options.more is not None:
        faces = torch.cat([faces, load_images(list_images(options.more), SIZE, 0)])
    for scale in options.scales:
        judge = Judge(truth, BicubicDownscaling.of_scale((SIZE, SIZE), scale))
        found = (
            by_network(faces, judge, options.seconds)
            if options.network
            else by_ridge(faces, judge, options.ridges)
        )
        for name, lacking in found:
            print(f"x{scale}, {name}: {judge.gain(lacking)}", flush=True)


if __name__ == "__main__":
    main()
