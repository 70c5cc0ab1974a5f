"""Seconds of `project` for a y that no image in range has, beside those for a face.

python benchmarks/projection.py
"""

import time

import torch
from torch import Tensor

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.projection import project, residual
from cvdvae.demo import demo_photo
from cvdvae.domains.faces import crop_face
from cvdvae.domains.simulate import simulate

SAMPLES = 3


def seconds(x: Tensor, y: Tensor, H: BicubicDownscaling) -> tuple[float, float]:
    """The best of three, and the residual reached in levels."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        projected = project(x, y, H)
        times.append(time.perf_counter() - start)
    return min(times), float(residual(projected, y, H).max())


def impossible(size: tuple[int, int]) -> dict[str, Tensor]:
    """Several y that look like no photograph, ``(1, 3, h, w)`` each."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((1, 3, *size), generator=generator)
    row, column = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    return {
        "white noise": noise,
        "black and white noise": noise.round(),
        "soft noise": 0.35 + 0.3 * noise,
        "clipped noise": (0.5 + 2 * (noise - 0.5)).clamp(0, 1),
        "checkerboard": ((row + column) % 2).float().expand(1, 3, *size),
        "dots": (noise > 0.95).float(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    for scale in (2, 4, 8, 16):
        H = BicubicDownscaling.of_scale((64, 64), scale)
        y, truth = simulate(crop_face(demo_photo()), H, crop="none")
        x = truth + 0.1 * torch.randn((SAMPLES, 3, 64, 64), generator=generator)
        face, levels = seconds(x, y[None], H)
        print(f"×{scale:<3} {'face':22} {face:6.3f} s          {levels:9.4f} levels left")
        for name, y in impossible(H.lr_size).items():
            took, levels = seconds(x, torch.round(y * 255) / 255, H)
            ratio = took / face
            print(f"     {name:22} {took:6.3f} s {ratio:6.1f} ×  {levels:9.4f} levels left")
