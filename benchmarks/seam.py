"""How visible the border is where a region of a sample was drawn anew.

    python benchmarks/seam.py ../shared/data/celeba --faces 50

The last faces of a folder, which no model has seen: samples of each, and the first of them varied
in each region that the page names and in a painted spot. Measured are the mean step between
neighbouring pixels across the border, relative to what it is between the same pixels where nothing
was varied; the same a few pixels inside of the border, where blending could have blurred; and how
many of the varied samples give y back in every pixel.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import cvdvae
from cvdvae.app.faces.text import REGIONS
from cvdvae.app.pictures import rectangle
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.domains import FACES
from cvdvae.evaluation.selection import Selection
from cvdvae.imaging.crop import centre_square
from cvdvae.imaging.io import read_photo, to_tensor
from cvdvae.restoration.edits import ResampleRegion, pack_region

SIDE, CROP = 64, 74
INSIDE = 3
"""Pixels from the border to where it is looked at inside of the region."""


def regions() -> dict[str, Tensor]:
    """Regions ``(64, 64)`` bool: those with a name, and a spot as one paints it."""
    named = {name: rectangle(part, SIDE) for name, part in REGIONS.items() if part is not None}
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return named | {"A spot": (rows - 34) ** 2 + (columns - 26) ** 2 < 11**2}


def step_across(x: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute step between neighbours of which one lies in the mask, of ``(n, 3, H, W)``."""
    down = (x[..., 1:, :] - x[..., :-1, :]).abs()[..., mask[1:] != mask[:-1]]
    right = (x[..., 1:] - x[..., :-1]).abs()[..., mask[:, 1:] != mask[:, :-1]]
    return torch.cat([down, right], -1).mean()


def shrunk(mask: Tensor, by: int) -> Tensor:
    """The mask without what is near to its border."""
    outside = (~mask)[None].float()
    return torch.nn.functional.max_pool2d(outside, 2 * by + 1, 1, by)[0] == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, default=50)
    parser.add_argument("--samples", type=int, default=4)
    models = [FACES.model_at(scale) for scale in FACES.scales]
    parser.add_argument("--models", nargs="+", default=models)
    options = parser.parse_args()
    files = Selection(options.folder, start=-options.faces).paths()
    print(f"{len(files)} faces, {options.samples} samples each")
    for name in options.models:
        measure(name, files, options.samples)


def measure(name: str, files: list[Path], samples: int) -> None:
    model, found = cvdvae.load(name), regions()
    border, plain = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
    inner, plain_inner = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
    exact: list[bool] = []
    for i, file in enumerate(files):
        square = centre_square(read_photo(file).image, CROP)
        face = square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        y = shrink_to_8_bits(to_tensor(face)[None], model.degradation)[0]
        sampling = model.sampling(samples=samples, seed=i)
        first = model.run(y, sampling)
        for region, mask in found.items():
            edit = ResampleRegion(0, pack_region(mask), seed=1000 + i)
            *_, varied = model.stream(y, sampling.then(edit), parent=first.pixels[0])
            inside = shrunk(mask, INSIDE)
            if first.round_trip_exact[0]:
                exact += varied.round_trip_exact
            border[region] += float(step_across(varied.pixels.float(), mask))
            plain[region] += float(step_across(first.pixels.float(), mask))
            inner[region] += float(step_across(varied.pixels.float(), inside))
            plain_inner[region] += float(step_across(first.pixels.float(), inside))
    print(f"\n{name}: y given back by {sum(exact)} of {len(exact)}")
    for region in found:
        print(
            f"  {region:12} border {border[region] / plain[region] - 1:+7.1%}"
            f"   {INSIDE} pixels inside {inner[region] / plain_inner[region] - 1:+7.1%}"
        )
    total = sum(border.values()) / sum(plain.values()) - 1
    total_inner = sum(inner.values()) / sum(plain_inner.values()) - 1
    print(f"  {'all':12} border {total:+7.1%}   {INSIDE} pixels inside {total_inner:+7.1%}")


if __name__ == "__main__":
    main()
