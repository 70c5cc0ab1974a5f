"""The demonstration: a photo and a face, shrunk, and what could have been behind them."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from .domains import FACES, PHOTOS
from .domains.faces import crop_face
from .domains.simulate import simulate, simulate_at_scale
from .errors import OccupiedError
from .files import check_writable
from .imaging.io import save_png
from .imaging.sheets import labelled_sheet
from .restoration.load import load
from .restoration.result import DISCLAIMER, SuperResolution
from .restoration.sampler import SuperResolver
from .restoration.saving import is_result
from .restoration.sheet import region_rows
from .restoration.workers import SAVED, OnDone, in_parts

PHOTO, FACE_MODELS = "photos-x4", ("celeba64-x4", "celeba64-x8", "celeba64-x16")
REGIONS = 2
"""How many regions of the photo the picture shows."""


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
    temperature: float | None,
    seed: int,
    on_share: OnDone,
) -> DemoReport:
    """Run the bundled models on a bundled photo at ×4, and on a bundled face at ×4, ×8 and ×16.

    Without a temperature they draw as recommended for looking, see `Recommended`. `on_share` is
    told what share of the whole is done, but for what takes it into files. Writes ``out/<model>/``
    as `upscale` does, and ``out/demo.png``.

    Raises:
        OutputError: The folder cannot be written, or holds a ``demo.png`` of another origin.
    """
    check_writable(out)
    picture = out / "demo.png"
    if picture.exists() and not is_result(out / PHOTO):
        raise OccupiedError(
            f"{picture} is there already, and no earlier result lists it: move it, or choose "
            f"another folder"
        )
    model = load(PHOTO)
    y, truth = simulate_at_scale(PHOTOS.example(), model.scale)
    face = crop_face(FACES.example())
    pixels = truth[0].numel() + len(FACE_MODELS) * face.width * face.height
    tell = partial(in_parts, on_share, pixels * (samples + SAVED))

    def drawn(model: SuperResolver, y: Tensor, truth: Tensor) -> SuperResolution:
        sampling = model.sampling(samples, temperature, seed, look=temperature is None)
        return model.run(y, sampling, truth, tell)

    results = [drawn(model, y, truth)]
    for name in FACE_MODELS:
        model = load(name)
        y, truth = simulate(face, model.degradation, crop="none")
        results.append(drawn(model, y, truth))
    for result in results:
        result.save(out / result.model)
    rows = region_rows(results[0], REGIONS)
    rows += [result.summary_row(samples=5) for result in results[1:]]
    save_png(picture, labelled_sheet(rows, DISCLAIMER))
    all_exact = all(all(r.round_trip_exact) for r in results)
    return DemoReport([_row(r) for r in results], picture, all_exact)


def _row(result: SuperResolution) -> tuple[str, ...]:
    truth = result.against_truth()
    assert truth is not None
    height, width = result.y.shape[1:]
    exact = result.round_trip_exact
    return (
        f"{'photo' if result.model == PHOTO else 'face'} ×{result.scale}",
        f"{width}×{height}",
        f"{truth.bicubic_psnr:.1f} dB",
        f"{np.mean(truth.sample_psnr):.1f} dB",
        f"{truth.mean_psnr:.1f} dB",
        f"{float(result.std.mean()) * 255:.0f} of 255",
        f"{sum(exact)} of {len(exact)}, bit for bit",
    )
