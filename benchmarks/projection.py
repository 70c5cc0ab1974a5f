"""CPU seconds of the consistency step, one thread.

python benchmarks/projection.py photo.png [photo.png …]

A line for every photograph and scale: seconds of `project` and of `round_consistently` for every
megapixel and sample, and whether the saved sample gives y back; then the same for the first
photograph on a white and on a black border; then a y that no image in range has beside a face.
"""

import sys
import time

import torch
from PIL import Image
from torch import Tensor

import cvdvae
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate, simulate_at_scale
from cvdvae.imaging.io import to_bytes
from cvdvae.restoration.finish import cut

SAMPLES, RUNS = 3, 3
WIDTH, HEIGHT = 640, 480
"""Photographs are cut to this, so that the network takes no longer than what is measured."""


def photograph(photo: Image.Image, scale: int) -> str:
    """What a sample of `photos-x<scale>` takes: the medians of some runs."""
    model = cvdvae.load(f"photos-x{scale}")
    y = simulate_at_scale(photo, scale)[0][None]
    x, _ = cut(model.draw(y, model.sampling(1, consistent=False)))
    H = model.degradation_of((y.shape[2], y.shape[3]))
    times: list[tuple[float, float]] = []
    for _ in range(RUNS):
        start = time.process_time()
        projected = project(x, y, H)
        middle = time.process_time()
        pixels = round_consistently(projected, y, H)
        times.append((middle - start, time.process_time() - middle))
    projecting, rounding = torch.tensor(times).median(0).values / (x[0, 0].numel() / 1e6)
    shrunk = H.A(pixels.double() / 255)
    lr_psnr = -10 * float((shrunk - y.double()).square().mean().log10())
    return (
        f"{projecting:6.2f} + {rounding:5.2f} s a megapixel  {lr_psnr:6.2f} dB  "
        f"{float(residual(projected, y, H)):8.5f} levels left  "
        f"{'exact' if torch.equal(to_bytes(shrunk), to_bytes(y)) else 'NOT EXACT'}"
    )


def on_border(photo: Image.Image, value: int) -> Image.Image:
    """A photograph in the middle of white or black."""
    whole = Image.new("RGB", (WIDTH, HEIGHT), (value,) * 3)
    whole.paste(photo.crop((0, 0, 360, 240)), (140, 120))
    return whole


def seconds(x: Tensor, y: Tensor, H: BicubicDownscaling) -> tuple[float, float]:
    """The best of some runs of `project`, and the residual reached in levels."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        projected = project(x, y, H)
        times.append(time.process_time() - start)
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


def beside_a_face(scale: int, side: int) -> None:
    """What noise takes beside a face of the same size."""
    generator = torch.Generator().manual_seed(1)
    H = BicubicDownscaling.of_scale((side, side), scale)
    y, truth = simulate(crop_face(demo_photo()), H, crop="none")
    x = truth + 0.1 * torch.randn((SAMPLES, 3, side, side), generator=generator)
    face, levels = seconds(x, y[None], H)
    print(f"×{scale:<3} {'face':22} {face:6.3f} s          {levels:9.4f} levels left")
    for name, y in impossible(H.lr_size).items():
        took, levels = seconds(x, torch.round(y * 255) / 255, H)
        print(f"     {name:22} {took:6.3f} s {took / face:6.1f} ×  {levels:9.4f} levels left")


if __name__ == "__main__":
    torch.set_num_threads(1)
    photos = {name: Image.open(name).convert("RGB") for name in sys.argv[1:]}
    cut_out = {name: photo.crop((0, 0, WIDTH, HEIGHT)) for name, photo in photos.items()}
    for value, name in ((255, "white border"), (0, "black border")):
        for photo in list(photos.values())[:1]:
            cut_out[name] = on_border(photo, value)
    for name, photo in cut_out.items():
        for scale in (2, 3, 4):
            print(f"×{scale} {name[-28:]:28} {photograph(photo, scale)}")
    for scale in (2, 4, 8, 16):
        beside_a_face(scale, 64)
