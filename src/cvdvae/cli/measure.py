"""Commands that measure: evaluate, analyze, calibrate, report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .common import (
    Device,
    Model,
    Samples,
    Seed,
    Temperature,
    complain,
    need,
    out,
    progress_bar,
)

if TYPE_CHECKING:
    from ..analysis.study import Study
    from ..evaluation.selection import Selection

app = typer.Typer()
analyze_app = typer.Typer(
    no_args_is_help=True, help="What a prior and its LR encoders know, as curves and pictures."
)
app.add_typer(analyze_app, name="analyze")

Data = Annotated[Path, typer.Option("--data", help="Folder of high-resolution images.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the figures and numbers.")]
Start = Annotated[int, typer.Option("--start", help="First image; -500 is the 500th from the end.")]
Images = Annotated[int | None, typer.Option("--images", help="How many; all by default.")]
Crop = Annotated[
    int, typer.Option("--crop", help="Side of the centred square to cut out; 0 takes the largest.")
]
AlexNet = Annotated[
    Path | None,
    typer.Option("--lpips", help="Local AlexNet features (safetensors), for LPIPS."),
]
Save = Annotated[bool, typer.Option("--save", help="Store the result with the model.")]
Scales = Annotated[list[int], typer.Option("--scales", help="Factors.")]
Models = Annotated[str, typer.Option("--models", help="Bundled names or folders, with {scale}.")]
Flows = Annotated[str, typer.Option("--flows", help="The same for the method hcflow.")]
SCALES, MODELS, FLOWS = [4, 8, 16], "celeba64-x{scale}", "celeba64-hcflow-x{scale}"
METHODS, TEMPERATURES = ["bicubic", "cvdvae"], [0.1, 0.8]


@app.command()
def evaluate(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    temperatures: Annotated[list[float], typer.Option(help="Of the methods.")] = TEMPERATURES,
    methods: Annotated[list[str], typer.Option(help="bicubic, cvdvae, hcflow.")] = METHODS,
    models: Models = MODELS,
    flows: Flows = FLOWS,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Measure methods on a folder of images: quality, consistency, diversity, calibration."""
    need("torchmetrics", "evaluation", "eval")
    from ..evaluation.evaluate import Plan
    from ..evaluation.evaluate import evaluate as run
    from ..evaluation.measure import Judges
    from ..evaluation.method import Models, contest
    from ..evaluation.selection import Selection
    from ..evaluation.table import (
        LEGEND,
        TERMINAL,
        as_rich,
        by_scale,
        images_of,
        winners,
        write_tables,
    )

    plan = Plan(Selection(data, start, images, crop), tuple(temperatures), samples, seed)
    judges = Judges.load(lpips)
    places = Models(models, flows)
    contests = [contest(scale, methods, places, device) for scale in scales]
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=len(plan.selection) * len(scales))

        def advance(name: str) -> None:
            progress.update(task, description=name, advance=1)

        records, failures = run(plan, contests, judges, out_folder, advance)
    if records:
        write_tables(records, judges.missing, out_folder)
        for scale, rows in by_scale(records, TERMINAL).items():
            what = f"×{scale}: {images_of(records)} images, {samples} samples"
            out.print(as_rich(rows, f"{what}, mean ± standard error"))
        for line in (f"* {LEGEND}", *winners(records)):
            out.print(line, markup=False, highlight=False)
        out.print(f"The tables are in {out_folder}", markup=False, highlight=False)
    for column, why in judges.missing.items():
        complain(f"{column} is not measured: {why}")
    end(failures)


@analyze_app.command("calibration")
def analyze_calibration(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    models: Models = MODELS,
    samples: Samples = 19,
    temperature: Temperature = None,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    device: Device = "cpu",
) -> None:
    """Reliability, ranks of the truth, and whether the std map predicts the error."""
    need("matplotlib", "analysis", "eval")
    from ..analysis.report import calibration_rows, verdict
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop)
    with _study(
        out_folder, selection, scales, models, seed, device, len(scales) * len(selection)
    ) as study:
        results = study.calibration(samples, temperature)
    header, *lines = calibration_rows(results)
    table = Table(*header, title=f"{samples} samples each")
    for line in lines:
        table.add_row(*line)
    out.print(table)
    out.print(verdict(results), markup=False, highlight=False)
    _say_where(out_folder, "calibration")


@app.command()
def calibrate(
    data: Data,
    model: Model = "celeba64-x8",
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    save: Save = False,
    device: Device = "cpu",
) -> None:
    """Find the temperatures with the best scores on validation images."""
    from ..analysis.calibration import fit, grids
    from ..checkpoints.folder import recommend
    from ..checkpoints.records import Recommended
    from ..evaluation.selection import Selection
    from ..restoration.load import load

    resolver = load(model, device)
    tried_at = grids(resolver)
    selection = Selection(data, start, images, crop)
    failures: dict[str, str] = {}
    with progress_bar() as progress:
        total = sum(len(grid) for grid in tried_at) * len(selection)
        task = progress.add_task("drawing", total=total)
        start_at = resolver.sampling(samples, 0.8, seed, 1.0)
        best, tried = fit(
            resolver,
            lambda: selection.pairs(resolver.degradation, failures),
            start_at,
            lambda: progress.advance(task),
        )
    table = Table(title=f"{model} on {tried[0].images} images")
    for title in ("temperature", "of the encoder", "CRPS ×10³", "off the diagonal"):
        table.add_column(title, justify="right")
    for c in tried:
        table.add_row(
            f"{c.sampling.temperature:g}",
            f"{c.sampling.encoder_temperature:g}" if tried_at.encoder else "–",
            f"{(c.crps.mean or 0) * 1e3:.2f}",
            f"{c.miscalibration:.1%}",
            style="bold" if c.sampling == best else None,
        )
    out.print(table)
    if save:
        path = recommend(model, Recommended(best.temperature, best.encoder_temperature))
        out.print(f"Stored in {path}", markup=False, highlight=False)
    found = (best.temperature, best.encoder_temperature)
    if any(t in (grid[0], grid[-1]) for t, grid in zip(found, tried_at, strict=True) if grid):
        out.print("The best value lies at the edge of what was tried.", highlight=False)
    end(failures)


@analyze_app.command("temperature")
def analyze_temperature(
    data: Data,
    out_folder: Out,
    model: Model = "celeba64-x8",
    samples: Samples = 4,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Realism, diversity and consistency from temperature 0 to 1, as curves and as a picture."""
    need("matplotlib", "analysis", "eval")
    from ..evaluation.measure import Judges
    from ..evaluation.selection import Selection

    judges = Judges.load(lpips)
    selection = Selection(data, start, images, crop)
    with _study(out_folder, selection, [], model, seed, device, len(selection)) as study:
        study.temperature(judges, samples)
    for column, why in judges.missing.items():
        complain(f"{column} is not measured: {why}")
    _say_where(out_folder, "temperature")


@analyze_app.command("consistency")
def analyze_consistency(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    models: Models = MODELS,
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
    with _study(out_folder, selection, scales, models, seed, device) as study:
        study.consistency(draws)
    _say_where(out_folder, "consistency")


@analyze_app.command("latents")
def analyze_latents(
    out_folder: Out,
    model: Model = "celeba64-x8",
    samples: Samples = 4,
    seed: Seed = 0,
) -> None:
    """Keep the first k groups of a generated image and draw the rest, for growing k."""
    need("matplotlib", "analysis", "eval")
    from ..evaluation.selection import Selection

    with _study(out_folder, Selection(Path()), [], model, seed, "cpu") as study:
        study.latents(samples)
    _say_where(out_folder, "latents")


@analyze_app.command("rate")
def analyze_rate(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    models: Models = MODELS,
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
    with _study(out_folder, selection, scales, models, seed, device) as study:
        result = study.rate()
    table = Table(*rate_rows(result)[0])
    for line in rate_rows(result)[1:]:
        table.add_row(*line)
    out.print(table)
    _say_where(out_folder, "rate")


@app.command()
def report(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    models: Models = MODELS,
    methods: Annotated[list[str], typer.Option(help="bicubic, cvdvae, hcflow.")] = METHODS,
    flows: Flows = FLOWS,
    temperatures: Annotated[list[float], typer.Option(help="Of the methods.")] = TEMPERATURES,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Everything that `evaluate` and `analyze` find, on one page: OUT/report.html."""
    need("matplotlib", "the report", "eval")
    from ..analysis.report import write_page
    from ..analysis.study import report_sections
    from ..evaluation.evaluate import Plan
    from ..evaluation.selection import Selection

    selection = Selection(data, start, images, crop)
    plan = Plan(selection, tuple(temperatures), samples, seed)
    n = len(selection)
    with _study(
        out_folder, selection, scales, models, seed, device, n * (3 * len(scales) + 2), flows
    ) as study:
        sections = report_sections(study, plan, tuple(methods), lpips)
        names = ", ".join(r.name for r in study.resolvers)
        write_page(out_folder / "report.html", f"{names} on {n} images", sections)
    out.print(f"Open {out_folder / 'report.html'}", markup=False, highlight=False, style="bold")


@contextmanager
def _study(
    out_folder: Path,
    selection: "Selection",
    scales: list[int],
    models: str,
    seed: int,
    device: str,
    total: int | None = None,
    flows: str = FLOWS,
) -> "Iterator[Study]":
    """A study whose ticks move a progress bar."""
    from ..analysis.study import Study
    from ..files import check_writable

    check_writable(out_folder)
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=total)
        study = Study(
            out_folder, selection, tuple(scales), models, flows, seed, device,
            tick=lambda: progress.advance(task),
        )  # fmt: skip
        yield study
    for sentence in study.failures.values():
        complain(sentence)


def end(failures: dict[str, str]) -> None:
    """Say which images could not be used, and exit with 1 if there are any."""
    for sentence in failures.values():
        complain(sentence)
    if failures:
        raise typer.Exit(1)


def _say_where(folder: Path, name: str) -> None:
    out.print(f"Look at {folder / name}.png", markup=False, highlight=False)
