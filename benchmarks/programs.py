"""Which programs shrink a sample back to its input, value for value.

    python benchmarks/programs.py

Samples of the bundled pictures, saved as 8-bit images, are shrunk by each program; the share of
the samples that give every value of the input back, and of the values that do.
"""

import argparse
from collections.abc import Callable
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import cvdvae
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.photos import coffee
from cvdvae.domains.simulate import simulate

Shrink = Callable[[np.ndarray, int], np.ndarray]
"""``(pixels, side) -> y``: uint8 ``(H, W, 3)`` to uint8 ``(side, side, 3)``."""


def pillow(pixels: np.ndarray, side: int) -> np.ndarray:
    """In 8 bits: rounds after each of its two passes."""
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def pillow_in_float(pixels: np.ndarray, side: int) -> np.ndarray:
    """Colour by colour in its mode F, rounded at the end."""
    planes = [
        Image.fromarray(pixels[..., c].astype(np.float32)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(p) for p in planes], -1).round().clip(0, 255).astype(np.uint8)


def torch_antialiased(pixels: np.ndarray, side: int) -> np.ndarray:
    """``interpolate(mode="bicubic", antialias=True)`` in float32."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    y = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return y[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


PROGRAMS: dict[str, Shrink] = {
    "Pillow, 8 bits": pillow,
    "Pillow, mode F": pillow_in_float,
    "PyTorch, antialias=True": torch_antialiased,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    names = ["photos-x4", "celeba64-x4", "celeba64-x8", "celeba64-x16"]
    print(f"{'':24}" + "".join(f"{name:>26}" for name in names))
    lines: dict[str, list[str]] = {}
    for name in names:
        model = cvdvae.load(name)
        picture = crop_face(demo_photo()) if name.startswith("celeba") else coffee()
        y, _ = simulate(picture, model.degradation, crop="centre")
        result = model.upscale(y, options.samples)
        low = (255 * y).round().byte().permute(1, 2, 0).numpy()
        pixels = [x.permute(1, 2, 0).numpy() for x in result.pixels]
        lines.setdefault("cvdvae", []).append(f"{fmean(result.round_trip_exact):.0%}")
        for program, shrink in PROGRAMS.items():
            same = [shrink(x, low.shape[0]) == low for x in pixels]
            whole, values = fmean(bool(s.all()) for s in same), fmean(s.mean() for s in same)
            lines.setdefault(program, []).append(f"{whole:.0%} ({values:.2%} of values)")
    for program, cells in lines.items():
        print(f"{program:24}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
