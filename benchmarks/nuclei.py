"""A model of nuclei on images that it has not seen: errors, intervals, and what a count is worth.

    python benchmarks/nuclei.py --model nuclei-x4 --data sets/nuclei --out results/nuclei.json
    python benchmarks/nuclei.py --model nuclei-x4 --data … --picture docs/nuclei.png

Every tenth image of the data validates, as in configs/nuclei.yaml. Of each the centred square is
shrunk, with the photon noise that the model names. Half of the images choose the temperature at
which intervals hold as often as they say; the other half judges: PSNR, coverage of the values of
pixels, and coverage of the number of nuclei. That is counted in the full-resolution image and in
every sample by one procedure: Otsu's threshold, connected regions, none below `SMALLEST` pixels.
The N samples and the truth being exchangeable, the truth lies between the d-th smallest and the
d-th largest sample with probability 1 − 2d / (N + 1), or more where counts are equal.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.progress import track
from skimage.filters import threshold_otsu
from skimage.measure import label
from torch import Tensor

import cvdvae
from cvdvae.data.folder import DataConfig, split
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.errors import InputError
from cvdvae.files import write_text
from cvdvae.imaging.crop import centre_square
from cvdvae.imaging.io import in_channels, list_images, read_photo, save_png
from cvdvae.imaging.sheets import labelled_sheet
from cvdvae.metrics.calibration import Ranks, crps
from cvdvae.metrics.distortion import psnr
from cvdvae.restoration.result import DISCLAIMER, SuperResolution
from cvdvae.restoration.sampler import SuperResolver

SMALLEST = 20
"""Pixels of the smallest region that counts as a nucleus."""
SEPARATION = 3.5
"""By how many standard deviations of the dark part the bright one must be brighter: Gaussian noise
has 2.6, the least of the 55 validation images 4.3."""
VALIDATION_EVERY = 10
LEVELS = (0.8, 0.9)
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""What is tried, by default."""
AVERAGED = 16
"""Samples in the mean whose PSNR is reported."""
ROWS, TILE, GAIN = 3, 80, 3.0
"""Of the picture: how many images, the side of what it shows of each, and how much brighter."""


def count_nuclei(image: Tensor) -> int:
    """Connected regions above Otsu's threshold in an image ``(1, H, W)``, without specks.

    None where the bright and the dark part are not two kinds, as in an image of noise alone.
    """
    values = image[0].numpy()
    if values.min() == values.max():
        return 0
    bright = values > threshold_otsu(values)
    ground = values[~bright]
    if values[bright].mean() - ground.mean() < SEPARATION * ground.std():
        return 0
    sizes = np.bincount(label(bright).ravel())[1:]
    return int((sizes >= SMALLEST).sum())


def central_interval(values: list[int], level: float) -> tuple[int, int]:
    """The d-th smallest and the d-th largest of N values, ``1 − 2d/(N+1) ≥ level``, d largest.

    Raises:
        InputError: So few values have no such interval.
    """
    drop = int((1 - level) * (len(values) + 1) / 2 + 1e-9)
    if drop < 1:
        raise InputError(f"{len(values)} samples are too few for an interval of {level:.0%}")
    ordered = sorted(values)
    return ordered[drop - 1], ordered[-drop]


class Case(NamedTuple):
    """A low-resolution image ``(1, h, w)`` and its truth ``(1, H, W)``."""

    y: Tensor
    truth: Tensor


def cases(model: SuperResolver, data: Path, images: int | None, side: int) -> list[Case]:
    """The validation images, shrunk with the noise that the model knows."""
    paths = list_images(data)
    config = DataConfig(str(data), random_crops=True, validation_every=VALIDATION_EVERY)
    noise = model.photon_noise
    found = []
    for row in list(split(len(paths), config)[1])[:images]:
        image = in_channels(read_photo(paths[row]).image, model.channels)
        image = centre_square(image, min(side, *image.size))
        photons = 0.0 if noise is None else noise.photons
        found.append(Case(*simulate_at_scale(image, model.scale, photons=photons)))
    return found


def draw(
    model: SuperResolver, chosen: list[Case], samples: int, temperature: float | None
) -> Iterator[SuperResolution]:
    """The results of some images, image i with seed i."""
    for seed, case in enumerate(track(chosen, f"temperature {temperature or 'recommended'}")):
        yield model.run(case.y, model.sampling(samples, temperature, seed), case.truth)


def spread(results: list[SuperResolution]) -> dict[str, float | None]:
    """Coverage of the intervals at every pixel, and the CRPS in levels of 255."""
    height = max(r.samples.shape[2] for r in results)
    width = max(r.samples.shape[3] for r in results)
    ranks = Ranks.empty(len(results[0].samples), height, width)
    for r in results:
        assert r.truth is not None
        part = Ranks.empty(len(r.samples), *r.samples.shape[2:])
        part.add(r.pixels.float(), (r.truth * 255).round())
        ranks.counts[:, : r.samples.shape[2], : r.samples.shape[3]] += part.counts
    found = {f"{level:.0%}": ranks.coverage(level) for level in LEVELS}
    scores = [crps(r.samples, r.truth) * 255 for r in results if r.truth is not None]
    return {**found, "crps": fmean(scores)}


def miss(found: dict[str, float | None]) -> float:
    """How far the coverages are from what they say, together."""
    return sum(abs((found[f"{level:.0%}"] or 0) - level) for level in LEVELS)


def errors(results: list[SuperResolution]) -> dict[str, float]:
    """Mean PSNR in dB, and the samples' misfit to y in standard deviations of its noise."""
    rows = []
    for r in results:
        assert r.truth is not None
        rows.append({
            "bicubic": float(psnr(r.bicubic[None], r.truth)),
            "sample": float(psnr(r.samples, r.truth).mean()),
            f"mean of {AVERAGED}": float(psnr(r.samples[:AVERAGED].mean(0)[None], r.truth)),
            "misfit": fmean(r.misfit or [0.0]),
        })  # fmt: skip
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def counts(results: list[SuperResolution]) -> dict[str, Any]:
    """Nuclei in the truth, in bicubic interpolation, and in the samples with their interval."""
    rows = []
    for r in results:
        assert r.truth is not None
        every = [count_nuclei(one) for one in r.samples]
        low, high = central_interval(every, LEVELS[0])
        rows.append({
            "truth": count_nuclei(r.truth),
            "bicubic": count_nuclei(r.bicubic),
            "median": float(np.median(every)),
            "low": low,
            "high": high,
        })  # fmt: skip
    return {
        "images": rows,
        "interval": f"{LEVELS[0]:.0%}",
        "covered": fmean(r["low"] <= r["truth"] <= r["high"] for r in rows),
        "width": fmean(r["high"] - r["low"] for r in rows),
        "off, bicubic": fmean(abs(r["bicubic"] - r["truth"]) for r in rows),
        "off, median of samples": fmean(abs(r["median"] - r["truth"]) for r in rows),
    }


def picture(model: SuperResolver, chosen: list[Case], samples: int) -> Image.Image:
    """The images with most nuclei in the middle: their middles, brighter than they are."""
    side = TILE - TILE % model.scale
    middles = []
    for y, truth in chosen:
        top, left = ((n - side) // 2 // model.scale for n in truth.shape[1:])
        small = side // model.scale
        lr = y[:, top : top + small, left : left + small]
        top, left = top * model.scale, left * model.scale
        middles.append(Case(lr, truth[:, top : top + side, left : left + side]))
    middles.sort(key=lambda case: -count_nuclei(case.truth))
    rows = []
    for result in draw(model, middles[:ROWS], samples, None):
        gain = min(GAIN, 1 / max(1e-3, float(result.samples.max())))
        row = result.summary_row(4)
        rows.append([(name, _brighter(tile, gain)) for name, tile in row])
    return labelled_sheet(rows, DISCLAIMER)


def _brighter(tile: Image.Image, gain: float) -> Image.Image:
    """Grey tiles; maps in colour stay."""
    return tile.point(lambda v: min(255, v * gain)) if tile.mode == "L" else tile


def measured(
    model: SuperResolver, every: list[Case], samples: int, temperatures: Sequence[float]
) -> dict[str, Any]:
    """Search on every second image, judge on the others."""
    fitted, judged = every[::2], every[1::2]
    search = {}
    for temperature in temperatures:
        search[temperature] = spread(list(draw(model, fitted, samples, temperature)))
        print(f"temperature {temperature:g}: {search[temperature]}")
    best = min(search, key=lambda t: miss(search[t])) if search else None
    results = list(draw(model, judged, samples, best))
    return {
        "temperature": best,
        "search": search,
        "images": len(results),
        "samples": samples,
        "psnr": errors(results),
        "coverage": spread(results),
        "count": counts(results),
    }


def main() -> None:
    """Read the data, draw, write figures or a picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nuclei-x4", help="bundled name or folder")
    parser.add_argument("--data", type=Path, required=True, help="folder of nuclei_data.py")
    parser.add_argument("--images", type=int, help="validation images; all by default")
    parser.add_argument("--side", type=int, default=128, help="of the squares, in pixels")
    parser.add_argument("--samples", type=int, default=19)
    parser.add_argument("--temperatures", type=float, nargs="*", default=TEMPERATURES)
    parser.add_argument("--out", type=Path, help="JSON of all figures")
    parser.add_argument("--picture", type=Path, help="PNG to draw, instead of measuring")
    options = parser.parse_args()
    model = cvdvae.load(options.model)
    every = cases(model, options.data, options.images, options.side)
    if options.picture is not None:
        save_png(options.picture, picture(model, every, options.samples))
        return
    found = measured(model, every, options.samples, options.temperatures)
    text = json.dumps({"model": options.model, **found}, indent=2)
    print(text)
    if options.out is not None:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()
