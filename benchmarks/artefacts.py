"""Measure samples of photographs: artefacts, sharpness, error and coverage.

    python benchmarks/artefacts.py --sets SETS --lpips alexnet_features.safetensors \
        --models photos-x2 photos-x3 photos-x4 photos-restore --sheet runs/artefacts

Every folder of SETS is a set of images; of each image the middle square of `--side` pixels is
degraded and sampled. The script prints one line for each model, preset (the default and ``--look``)
and set:

- artefacts: the share of patches whose local energy is more than ten times that of the true patch,
  in chroma and in luma, of rows and of columns (`cvdvae.metrics.artefacts`);
- PSNR of one sample and of the mean, LPIPS of one sample, pixelwise standard deviation;
- coverage of 80 % intervals. With 19 samples the second smallest and the second largest bound an
  interval that holds one more draw of the same distribution in 16 of 20 cases.

``--sheet`` writes a contact sheet of the twenty worst patches beside the truth. ``--factors`` tries
temperature factors for the strides of a model, from the coarsest on, in place of its own.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

import cvdvae
from cvdvae.checkpoints.folder import find, read_record
from cvdvae.damage.described import parse
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.imaging.io import list_images, read_photo, to_bytes, to_tensor
from cvdvae.metrics.artefacts import PATCH, RATIO, excess
from cvdvae.metrics.calibration import Ranks, uncertain
from cvdvae.metrics.perceptual import LPIPS
from cvdvae.restoration.restoring import degraded
from cvdvae.restoration.result import psnr

DEGRADATIONS = ("jpeg:quality=30", "blur:sigma=2", "hole:side=20")
"""What a restoration model undoes; the blur has noise of `BLUR_NOISE`."""
BLUR_NOISE = 0.02
MARGIN, WORST, COLUMNS = 10, 20, 4

Factors = tuple[float, ...]
Draw = Callable[[Image.Image, bool, Factors | None], tuple[Tensor, Tensor]]
"""``(square, look, factors) -> samples (N, 3, H, W), truth (3, H, W)``, in [0, 1]."""


class Patch(NamedTuple):
    """One patch of a sample and its truth, with a margin, and how much energy it holds too much."""

    ratio: float
    sample: Tensor
    truth: Tensor


def square(path: Path, side: int) -> Image.Image:
    """The middle square of an image, or all of a smaller one."""
    image = read_photo(path).image.convert("RGB")
    width, height = min(side, image.width), min(side, image.height)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def tasks(name: str, samples: int) -> Iterator[tuple[str, Draw]]:
    """What a model is measured at: its scale, or each of `DEGRADATIONS`."""
    folder, _, scale = name.partition(":")
    if read_record(find(folder)).kind != "restorer":
        model = cvdvae.load(folder, scale=int(scale) if scale else None)
        yield name, upscaling(model, samples)
        return
    restorer = cvdvae.load_restorer(folder)
    for words in DEGRADATIONS:
        yield f"{name} {words}", restoring(restorer, words, samples)


def upscaling(model: cvdvae.SuperResolver, samples: int) -> Draw:
    """Shrink a square by the model's scale, and sample."""

    def draw(image: Image.Image, look: bool, factors: Factors | None) -> tuple[Tensor, Tensor]:
        y, truth = simulate_at_scale(image, model.scale)
        settings = model.sampling(samples, look=look)
        if factors is not None:
            settings = replace(settings.at(1.0, 1.0), profile=factors)
        return model.run(y, settings).pixels.float() / 255, truth

    return draw


def restoring(model: cvdvae.Restorer, words: str, samples: int) -> Draw:
    """Degrade a square, and sample."""

    def draw(image: Image.Image, look: bool, factors: Factors | None) -> tuple[Tensor, Tensor]:
        truth = to_tensor(image)
        sigma = BLUR_NOISE if words.startswith("blur") else None
        seen = degraded(truth, parse(words), sigma, 0, in_8_bits=False)
        settings = model.restoring(samples, look=look)
        if factors is not None:
            settings = replace(settings, temperature=1.0, profile=factors)
        return to_bytes(model.run(seen, settings).samples).float() / 255, truth

    return draw


def figures(x: Tensor, truth: Tensor, lpips: LPIPS | None) -> tuple[dict[str, float], Tensor]:
    """The figures of one square, and the larger excess, in chroma or luma, of each patch."""
    found = excess(x, truth)
    scores = found.shares() | {
        "one sample, dB": fmean(psnr(one, truth) for one in x),
        "mean, dB": psnr(x.mean(0), truth),
        "std, levels": 255 * float(x.std(0).mean()),
    }
    if lpips is not None:
        scores["LPIPS"] = float(lpips.distances(x[:4], truth).mean())
    if len(x) >= 19:
        ranks = Ranks.empty(len(x), *truth.shape[1:])
        ranks.add(x, truth, uncertain(x, truth))
        scores["80 % hold"] = 100 * float(ranks.coverage(0.8) or 0)
    return scores, torch.maximum(found.chroma, found.luma)


def worst(x: Tensor, truth: Tensor, ratios: Tensor, count: int = 2) -> Iterator[Patch]:
    """The patches of an image that hold the most energy too much."""
    columns = ratios.shape[2]
    for index in ratios.flatten().argsort(descending=True)[:count].tolist():
        sample, place = divmod(index, ratios[0].numel())
        top, left = (PATCH * at - MARGIN for at in divmod(place, columns))
        rows = slice(max(0, top), top + PATCH + 2 * MARGIN)
        across = slice(max(0, left), left + PATCH + 2 * MARGIN)
        ratio = float(ratios.flatten()[index])
        yield Patch(ratio, x[sample, :, rows, across], truth[:, rows, across])


def contact_sheet(patches: list[Patch], path: Path, zoom: int = 4) -> None:
    """The worst patches, each beside its truth, enlarged without interpolation."""
    side = zoom * (PATCH + 2 * MARGIN)
    chosen = sorted(patches, key=lambda patch: -patch.ratio)[:WORST]
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (2 * side + 12), rows * (side + 8)), "white")
    for number, patch in enumerate(chosen):
        row, column = divmod(number, COLUMNS)
        for half, part in enumerate((patch.sample, patch.truth)):
            shown = Image.fromarray(to_bytes(part).permute(1, 2, 0).numpy())
            shown = shown.resize(
                (zoom * shown.width, zoom * shown.height), Image.Resampling.NEAREST
            )
            sheet.paste(shown, (column * (2 * side + 12) + half * side, row * (side + 8)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--sets",
        type=Path,
        required=True,
        help="folder that holds one folder of images for each set",
    )
    add("--only", nargs="+", help="names of sets; all by default")
    add(
        "--models",
        nargs="+",
        default=["photos-x2", "photos-x3", "photos-x4", "photos-restore"],
        help="names or folders; FOLDER:SCALE for one of several scales",
    )
    add("--presets", nargs="+", choices=("default", "look"), default=["default", "look"])
    add(
        "--factors",
        nargs="+",
        type=lambda text: tuple(map(float, text.split(","))),
        help="temperature factors to try in place of the presets, as 1,1,1.3,1.2",
    )
    add("--side", type=int, default=256, help="side of the squares, in pixels")
    add("--every", type=int, default=1, help="take every so many-th image of a set")
    add("--samples", type=int, default=19)
    add("--lpips", type=Path, help="safetensors file of AlexNet's features")
    add("--sheet", type=Path, help="write contact sheets of the worst patches to this folder")
    add("--json", type=Path, help="append a line for each printed one to this file")
    options = parser.parse_args()
    lpips = LPIPS(options.lpips) if options.lpips else None
    names = options.only or sorted(path.name for path in options.sets.iterdir() if path.is_dir())
    modes: list[tuple[str, bool, Factors | None]]
    if options.factors:
        modes = [(",".join(map("{:g}".format, one)), False, one) for one in options.factors]
    else:
        modes = [(preset, preset == "look", None) for preset in options.presets]
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, ratio {RATIO:g}")
    for model in options.models:
        for task, draw in tasks(model, options.samples):
            for mode, look, factors in modes:
                patches: list[Patch] = []
                for name in names:
                    rows = []
                    for path in list_images(options.sets / name)[:: options.every]:
                        x, truth = draw(square(path, options.side), look, factors)
                        row, ratios = figures(x, truth, lpips)
                        rows.append(row)
                        if options.sheet:
                            patches += worst(x, truth, ratios)
                    means = {key: fmean(row[key] for row in rows) for key in rows[0]}
                    told = ", ".join(
                        f"{key} {value:.3g}" if value < 1 else f"{key} {value:.2f}"
                        for key, value in means.items()
                    )
                    print(f"{task}, {mode}, {name} ({len(rows)} images): {told}", flush=True)
                    if options.json:
                        line = {
                            "task": task,
                            "mode": mode,
                            "set": name,
                            "images": len(rows),
                        } | means
                        with options.json.open("a") as stream:
                            stream.write(json.dumps(line) + "\n")
                if options.sheet:
                    contact_sheet(patches, options.sheet / f"{task}_{mode}.png".replace(" ", "_"))


if __name__ == "__main__":
    main()
