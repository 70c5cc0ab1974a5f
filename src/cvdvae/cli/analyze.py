"""Commands that analyse: analyze calibration, temperature, consistency, latents, rate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from ..errors import InputError, need
from .common import (
    AlexNet,
    Crop,
    Data,
    Device,
    Domain,
    Images,
    Models,
    OneScale,
    OtherModel,
    Out,
    RandomCrops,
    Samples,
    Scales,
    Seed,
    Start,
    Temperature,
    end,
    out,
    progress_bar,
    remark,
    telling,
)
from .family import Family, family, one_model

if TYPE_CHECKING:
    from ..analysis.study import Study
    from ..evaluation.selection import Selection

analyze_app = typer.Typer(
    no_args_is_help=True, help="What a prior and its LR encoders know, as curves and pictures."
)


@analyze_app.command("calibration")
def analyze_calibration(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    scales: Scales = None,
    models: Models = None,
    samples: Samples = 19,
    temperature: Temperature = None,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    random_crops: RandomCrops = None,
    device: Device = "cpu",
) -> None:
    """Reliability, ranks of the truth, and whether the std map predicts the error."""
    need("matplotlib", "analysis", "eval")
    from ..analysis.report import calibration_rows, verdict
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop, random_crops)
    chosen = family(domain, models, None, scales, device)
    total = len(chosen.scales) * len(selection)
    with open_study(out_folder, selection, chosen, seed, device, total) as study:
        results = study.calibration(samples, temperature)
    header, *lines = calibration_rows(results)
    name = Column(header[0], no_wrap=True)  # cut short, the models would all be "celeba6…"
    table = Table(name, *header[1:], title=f"{samples} samples each, ± standard error")
    for line in lines:
        table.add_row(*map(escape, line))
    out.print(table)
    out.print(verdict(results), markup=False, highlight=False)
    _say_where(out_folder, "calibration")
    end(study.failures)


@analyze_app.command("temperature")
def analyze_temperature(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    model: OtherModel = None,
    scale: OneScale = None,
    samples: Samples = 4,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    random_crops: RandomCrops = None,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Realism, diversity and consistency from temperature 0 to 1, as curves and as a picture."""
    need("matplotlib", "analysis", "eval")
    from ..evaluation.measure import Judges
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop, random_crops)
    chosen = _alone(domain, model, scale)
    with open_study(out_folder, selection, chosen, seed, device, len(selection)) as study:
        study.load()
        judges = Judges.load(lpips)
        study.temperature(judges, samples)
    for column, why in judges.missing.items():
        remark(f"{column} is not measured: {why}")
    _say_where(out_folder, "temperature")
    end(study.failures)


@analyze_app.command("consistency")
def analyze_consistency(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    scales: Scales = None,
    models: Models = None,
    draws: Annotated[int, typer.Option(help="Pairs of samples for every k.")] = 64,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    device: Device = "cpu",
) -> None:
    """Expected low-resolution distance of samples that share k groups, and the encoders' own."""
    need("matplotlib", "analysis", "eval")
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop)
    chosen = family(domain, models, None, scales, device)
    total = len(chosen.scales) * len(selection)
    with open_study(out_folder, selection, chosen, seed, device, total) as study:
        study.consistency(draws)
    _say_where(out_folder, "consistency")
    end(study.failures)


@analyze_app.command("latents")
def analyze_latents(
    out_folder: Out,
    domain: Domain = "photos",
    model: OtherModel = None,
    scale: OneScale = None,
    samples: Samples = 4,
    seed: Seed = 0,
) -> None:
    """Keep the first k groups of a generated image and draw the rest, for growing k."""
    need("matplotlib", "analysis", "eval")
    with open_study(out_folder, None, _alone(domain, model, scale), seed, "cpu") as study:
        study.latents(samples)
    _say_where(out_folder, "latents")


@analyze_app.command("rate")
def analyze_rate(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    scales: Scales = None,
    models: Models = None,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    device: Device = "cpu",
) -> None:
    """Bits/dim of every group of the prior, and of the truth given its low-resolution image."""
    need("matplotlib", "analysis", "eval")
    from ..analysis.report import rate_rows
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop)
    chosen = family(domain, models, None, scales, device)
    with open_study(out_folder, selection, chosen, seed, device, len(selection)) as study:
        result = study.rate()
    table = Table(*rate_rows(result)[0])
    for line in rate_rows(result)[1:]:
        table.add_row(*map(escape, line))
    out.print(table)
    _say_where(out_folder, "rate")
    end(study.failures)


def _alone(domain: str, model: str | None, scale: int | None) -> Family:
    """One model, at the factor that is named, or at its only one."""
    return Family(one_model(domain, model, scale), "", [] if scale is None else [scale])


@contextmanager
def open_study(
    out_folder: Path,
    selection: "Selection | None",
    chosen: Family,
    seed: int,
    device: str,
    total: int | None = None,
) -> "Iterator[Study]":
    """A study whose ticks move a progress bar; its folder is locked meanwhile.

    Raises:
        InputError: The images lie in that folder: what is drawn there would be one of them.
    """
    from ..analysis.study import Study
    from ..evaluation.selection import Selection
    from ..files import check_writable
    from ..locks import sole_writer

    if selection is None:  # of an analysis without images
        selection = Selection(Path())
    elif out_folder.resolve() == selection.folder.resolve():
        raise InputError(
            f"pictures in {out_folder} would be taken for images: choose another folder than "
            f"--data for --out"
        )
    with sole_writer(out_folder), progress_bar() as progress:
        check_writable(out_folder)
        task = progress.add_task("drawing", total=total)
        study = Study(
            out_folder, selection, tuple(chosen.scales), chosen.models, chosen.flows, seed, device,
            tick=lambda: progress.advance(task),
        )  # fmt: skip
        with telling(study.failures):
            yield study


def _say_where(folder: Path, name: str) -> None:
    out.print(f"Look at {folder / name}.png", markup=False, highlight=False)
