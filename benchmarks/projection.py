"""CPU seconds of the consistency step, one thread.

python benchmarks/projection.py photo.png [photo.png …]
python benchmarks/projection.py

A line for every photograph and scale: for every megapixel and sample, seconds of the network, of
all that is done to its image before it is saved, and of `project`, to the last digit, and
`round_consistently` alone; and whether the saved sample gives y back; then the same for the first
photograph on a white and on a black border; then a y that no image in range has beside a face.
Without a photograph: a page of text in black and white, below and above a megapixel, and how many
values of y its bicubic interpolation, finished, does not give back.
"""

import sys
import time

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import cvdvae
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate, simulate_at_scale
from cvdvae.imaging.io import to_bytes
from cvdvae.restoration.finish import cut, finish

SAMPLES, RUNS = 3, 3
WIDTH, HEIGHT = 640, 480
"""Photographs are cut to this, so that the network takes no longer than what is measured."""


def photograph(photo: Image.Image, scale: int) -> str:
    """What a sample of `photos-x<scale>` takes: the medians of some runs."""
    model = cvdvae.load(f"photos-x{scale}")
    y = simulate_at_scale(photo, scale)[0][None]
    begun = time.process_time()
    x, _ = cut(model.draw(y, model.sampling(1, consistent=False)))
    drawing = (time.process_time() - begun) / (x[0, 0].numel() / 1e6)
    H = model.degradation_of((y.shape[2], y.shape[3]))
    times: list[tuple[float, float, float]] = []
    for _ in range(RUNS):
        begun = time.process_time()
        finish(x, y, H)
        start = time.process_time()
        projected = project(x, y, H)
        middle = time.process_time()
        pixels = round_consistently(projected, y, H)
        times.append((start - begun, middle - start, time.process_time() - middle))
    finishing, projecting, rounding = torch.tensor(times).median(0).values / (x[0, 0].numel() / 1e6)
    shrunk = H.A(pixels.double() / 255)
    lr_psnr = -10 * float((shrunk - y.double()).square().mean().log10())
    return (
        f"network {drawing:.2f}, finished {finishing:.2f} s a megapixel "
        f"({projecting:5.2f} + {rounding:.2f})  "
        f"{lr_psnr:6.2f} dB  "
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


def page(side: int, scale: int, levels: int) -> None:
    """What a page of black and white takes, finished in strips beyond a megapixel."""
    sheet, line = Image.new("1", (side, side), 1), 11 * scale
    font, text = (
        ImageFont.load_default(line),
        "The quick brown fox jumps over the lazy dog; 0123456789 ",
    )
    for row in range(side // line):
        words = text[row % len(text) :] + text * (side // 200)
        ImageDraw.Draw(sheet).text((4, row * line), words, fill=0, font=font)
    H = BicubicDownscaling.of_scale((side, side), scale)
    x = torch.from_numpy(np.array(sheet)).double()[None, None]
    y = (H.A(x).clamp(0, 1) * levels).round() / levels
    start = time.process_time()
    pixels = finish(upscale_bicubic(y, (side, side)), y, H, levels=levels).pixels
    took = (time.process_time() - start) / (side**2 / 1e6)
    off = ((H.A(pixels.double() / levels).clamp(0, 1) - y) * levels).abs().round()
    print(
        f"×{scale}  {side} pixels a side, {levels} levels: {took:.1f} s a megapixel, "
        f"{int((off > 0).sum())} of {off.numel()} values off, by {int(off.max())} at most",
        flush=True,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if not sys.argv[1:]:
        for side, scale in ((480, 2), (480, 4), (1056, 2), (1600, 4), (2112, 2)):
            page(side, scale, 255)
        page(480, 2, 65_535)
        sys.exit()
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
