"""The demonstration: one photo shrunk by 4, 8 and 16, and what could have been behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .domains.faces import crop_face, demo_photo
from .domains.simulate import simulate
from .files import check_writable
from .imaging.io import save_png
from .imaging.sheets import labelled_sheet
from .restoration.load import load
from .restoration.result import DISCLAIMER, SuperResolution

MODELS = ("celeba64-x4", "celeba64-x8", "celeba64-x16")


class DemoReport(NamedTuple):
    """What the demonstration found.

    Attributes:
        rows: Cells of the table, a row for each model.
        picture: The picture to open.
        all_exact: Whether every sample of every model gives its input back in every pixel.
    """

    rows: list[tuple[str, ...]]
    picture: Path
    all_exact: bool


def run_demo(
    out: Path,
    samples: int,
    temperature: float,
    seed: int,
    on_progress: Callable[[int], None],
) -> DemoReport:
    """Run the bundled models on the bundled photo.

    `on_progress` is called as by `SuperResolver.run`. Writes ``out/<model>/`` as `upscale` does,
    and ``out/demo.png``.
    """
    check_writable(out)
    face, results = crop_face(demo_photo()), []
    for name in MODELS:
        model = load(name)
        y, truth = simulate(face, model.degradation, crop="none")
        sampling = model.sampling(samples, temperature, seed)
        result = model.run(y, sampling, truth, on_progress)
        result.save(out / name)
        results.append(result)
    picture = out / "demo.png"
    sheet = [result.summary_row(samples=5) for result in results]
    save_png(picture, labelled_sheet(sheet, DISCLAIMER))
    all_exact = all(all(r.round_trip_exact) for r in results)
    return DemoReport([_row(r) for r in results], picture, all_exact)


def _row(result: SuperResolution) -> tuple[str, ...]:
    truth = result.against_truth()
    assert truth is not None
    side = result.y.shape[1]
    exact = result.round_trip_exact
    return (
        f"×{result.scale}",
        f"{side}×{side}",
        f"{truth.bicubic_psnr:.1f} dB",
        f"{np.mean(truth.sample_psnr):.1f} dB",
        f"{truth.mean_psnr:.1f} dB",
        f"{float(result.std.mean()) * 255:.0f} of 255",
        f"{sum(exact)} of {len(exact)}, bit for bit",
    )
