"""How often inputs of every kind are doubted, and for the right reason.

    python benchmarks/doubt.py --data ../shared/data/celeba

Faces are the last of the folder, on which no threshold of the examination was fitted (`cvdvae
calibrate-doubt` fits them on the first half of the last 500). Shifts and zooms are cut from the
photo itself; where it ends, its border is repeated. What is no face are crops of photographs that
come with scikit-image. Nothing but the low-resolution image is shown to the model. "Let pass" is
the share that an examination doubts and the glance that goes with every draw
(`cvdvae.input_check.screen`) does not; the limits of the glance were fitted on the second half of
the last 500, on just these faces and their mirror images, for which the share is no test of it.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.imaging.io import list_images, read_photo, to_tensor
from cvdvae.input_check.examine import examine
from cvdvae.input_check.screen import odd
from cvdvae.input_check.shrinking import stored
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load

SIDE = 74
BORDER = 60
COLOURED = ("coffee.png", "rocket.jpg", "chelsea.png", "ihc.png", "motorcycle_left.png")
GREY = ("brick.png", "grass.png", "gravel.png", "coins.png")

Cut = Callable[..., Tensor]
FIGURES = ("images", "doubted", "right", "let pass")
Kind = Callable[[Cut, Downscaling, int], Tensor]
"""``(cut, H, number) -> y``: cut gives the photo's square, moved and zoomed, ``(3, H, W)``."""


def cutter(path: Path, size: int) -> Cut:
    """Cut the centred square of a photo, moved by shares of its side, resized to `size`."""
    photo = np.asarray(read_photo(path).image)
    height, width = photo.shape[:2]
    padded = Image.fromarray(np.pad(photo, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), "edge"))

    def cut(right: float = 0, down: float = 0, zoom: float = 1) -> Tensor:
        side = SIDE / zoom
        x = (width - SIDE) // 2 + SIDE / 2 + right * SIDE + BORDER
        y = (height - SIDE) // 2 + SIDE / 2 + down * SIDE + BORDER
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        return to_tensor(padded.resize((size, size), Image.Resampling.BICUBIC, box))

    return cut


def shrink(x: Tensor, degradation: Downscaling) -> Tensor:
    return shrink_to_8_bits(x[None], degradation)[0]


def rounded(y: Tensor) -> Tensor:
    return torch.round(y.clamp(0, 1) * 255) / 255


def shifted(share: float) -> Kind:
    ways = ((share, 0), (-share, 0), (0, share), (0, -share))
    return lambda cut, H, i: shrink(cut(*ways[i % 4]), H)


def zoomed(factor: float) -> Kind:
    return lambda cut, H, _: shrink(cut(zoom=factor), H)


def noisy(levels: float) -> Kind:
    def kind(cut: Cut, degradation: Downscaling, number: int) -> Tensor:
        y = shrink(cut(), degradation)
        generator = torch.Generator().manual_seed(number)
        return rounded(y + torch.randn(y.shape, generator=generator) * levels / 255)

    return kind


def compressed(quality: int) -> Kind:
    def kind(cut: Cut, degradation: Downscaling, _: int) -> Tensor:
        return stored(shrink(cut(), degradation), quality)

    return kind


def blurred(share: float) -> Kind:
    """A Gaussian of `share` low-resolution pixels before shrinking."""

    def kind(cut: Cut, degradation: Downscaling, _: int) -> Tensor:
        x = cut()
        sigma = share * x.shape[1] / degradation.lr_size[0]
        reach = int(3 * sigma) + 1
        line = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
        line = (line / line.sum()).expand(3, 1, 1, -1)
        x = F.pad(x[None], (reach,) * 4, mode="replicate")
        x = F.conv2d(F.conv2d(x, line, groups=3), line.transpose(2, 3), groups=3)
        return shrink(x[0].clamp(0, 1), degradation)

    return kind


def picked(cut: Cut, degradation: Downscaling, _: int) -> Tensor:
    x = cut()
    step = x.shape[1] // degradation.lr_size[0]
    return x[:, step // 2 :: step, step // 2 :: step]


def averaged(cut: Cut, degradation: Downscaling, _: int) -> Tensor:
    x = cut()
    return rounded(F.avg_pool2d(x[None], x.shape[1] // degradation.lr_size[0])[0])


def bilinear(cut: Cut, degradation: Downscaling, _: int) -> Tensor:
    return rounded(
        F.interpolate(cut()[None], degradation.lr_size, mode="bilinear", antialias=True)[0]
    )


KINDS: dict[str, tuple[Kind, set[str]]] = {
    "proper face": (lambda cut, H, _: shrink(cut(), H), set()),
    "mirrored": (lambda cut, H, _: shrink(cut().flip(2), H), set()),
    "upside down": (lambda cut, H, _: shrink(cut().flip((1, 2)), H), {"turned"}),
    "sideways": (
        lambda cut, H, i: shrink(torch.rot90(cut(), 1 if i % 2 else -1, (1, 2)), H),
        {"turned"},
    ),
    "shifted by 1/8": (shifted(1 / 8), {"shifted"}),
    "shifted by 1/4": (shifted(1 / 4), {"shifted"}),
    "zoomed in by 1.5": (zoomed(1.5), {"zoomed"}),
    "zoomed out by 1.5": (zoomed(1 / 1.5), {"zoomed"}),
    "noise of 5 levels": (noisy(5), {"noisy"}),
    "noise of 10": (noisy(10), {"noisy"}),
    "noise of 20": (noisy(20), {"noisy"}),
    "JPEG quality 80": (compressed(80), {"jpeg"}),
    "JPEG quality 60": (compressed(60), {"jpeg"}),
    "JPEG quality 30": (compressed(30), {"jpeg"}),
    "nearest neighbour": (picked, {"too sharp"}),
    "box average": (averaged, {"too sharp"}),
    "bilinear": (bilinear, {"too soft"}),
    "blurred by 0.5 pixels": (blurred(0.5), {"too soft"}),
    "blurred by 0.8 pixels": (blurred(0.8), {"too soft"}),
}


def no_faces(names: tuple[str, ...], degradation: Downscaling, count: int) -> Iterator[Tensor]:
    """Random squares of scikit-image's photographs."""
    rng = np.random.default_rng(0)
    size = degradation.hr_size[0]
    folder = Path(skimage.data.__file__).parent
    for i in range(count):
        photo = Image.open(folder / names[i % len(names)]).convert("RGB")
        side = int(rng.integers(size, min(photo.size) + 1))
        left, top = (int(rng.integers(0, n - side + 1)) for n in photo.size)
        square = photo.crop((left, top, left + side, top + side))
        yield shrink(to_tensor(square.resize((size, size), Image.Resampling.BICUBIC)), degradation)


def measure(model: HVAEResolver, paths: list[Path], others: int) -> dict[str, dict[str, float]]:
    """Of every kind, the share of every reason, of any doubt, and of the right reason; and of what
    is doubted at length and let pass at a glance."""
    H, size = model.degradation, model.degradation.hr_size[0]
    cuts = [cutter(path, size) for path in paths]
    # Many proper faces, since few are doubted; of each defect, only some.
    images: dict[str, tuple[list[Tensor], set[str]]] = {
        name: (
            [kind(cut, H, i) for i, cut in enumerate(cuts if not right else cuts[:others])],
            right,
        )
        for name, (kind, right) in KINDS.items()
    }
    images["no face, in colour"] = (list(no_faces(COLOURED, H, others)), {"not a face"})
    images["no face, grey texture"] = (list(no_faces(GREY, H, others)), {"not a face"})
    noise = torch.Generator().manual_seed(0)
    images["white noise"] = (
        [rounded(torch.rand(3, *H.lr_size, generator=noise)) for _ in range(others)],
        {"not a face", "noisy"},
    )
    rows: dict[str, dict[str, float]] = {}
    for name, (ys, right) in track(images.items(), model.name, transient=True):
        found = [{d.reason for d in examine(model, y).doubts} for y in ys]
        n = len(found)
        rows[name] = {"images": n, "doubted": sum(map(bool, found)) / n}
        rows[name]["right"] = sum(bool(f & right) for f in found) / n
        passed = [bool(f) and not odd(model, y) for f, y in zip(found, ys, strict=True)]
        rows[name]["let pass"] = sum(passed) / n
        for reason in sorted(set().union(*found)):
            rows[name][reason] = sum(reason in f for f in found) / n
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=[f"celeba64-x{s}" for s in (4, 8, 16)])
    parser.add_argument("--faces", type=int, default=250, help="proper faces, from the end")
    parser.add_argument("--images", type=int, default=40, help="of every other kind")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    paths = list_images(options.data)[-options.faces :]
    results = {}
    for name in options.models:
        model = load(name)
        assert isinstance(model, HVAEResolver)
        started = time.perf_counter()
        results[name] = measure(model, paths, options.images)
        seconds = (time.perf_counter() - started) / sum(r["images"] for r in results[name].values())
        table = Table(title=f"{name}: {seconds:.2f} s an image")
        for title in ("", "images", "doubted", "right reason", "let pass", "reasons"):
            table.add_column(title, justify="left" if title in ("", "reasons") else "right")
        for kind, row in results[name].items():
            reasons = {k: v for k, v in row.items() if k not in FIGURES}
            said = ", ".join(
                f"{k} {v:.0%}" for k, v in sorted(reasons.items(), key=lambda kv: -kv[1])
            )
            right = "–" if kind in ("proper face", "mirrored") else f"{row['right']:.0%}"
            shares = (f"{row['doubted']:.1%}", right, f"{row['let pass']:.1%}")
            table.add_row(kind, f"{row['images']:.0f}", *shares, said)
        Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
