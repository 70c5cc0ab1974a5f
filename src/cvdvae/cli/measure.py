"""Commands that measure: evaluate, calibrate, report."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import need
from .analyze import open_study
from .common import (
    FLOWS,
    METHODS,
    MODELS,
    SCALES,
    TEMPERATURES,
    AlexNet,
    Crop,
    Data,
    Device,
    Flows,
    Images,
    Json,
    Model,
    Models,
    Out,
    Quiet,
    Samples,
    Save,
    Scales,
    Seed,
    Start,
    complain,
    end,
    out,
    print_json,
    progress_bar,
    silent,
)

if TYPE_CHECKING:
    from ..evaluation.evaluate import Records

app = typer.Typer()


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
    random_crops: Annotated[
        bool, typer.Option("--random-crops", help="Squares at random places, not resized.")
    ] = False,
    lpips: AlexNet = None,
    device: Device = "cpu",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure methods on a folder of images: quality, consistency, diversity, calibration."""
    need("torchmetrics", "evaluation", "eval")
    from ..evaluation.evaluate import Plan
    from ..evaluation.evaluate import evaluate as run
    from ..evaluation.measure import Judges
    from ..evaluation.method import Models, comparison
    from ..evaluation.selection import Selection
    from ..evaluation.table import write_tables
    from ..locks import sole_writer

    selection = Selection(data, start, images, crop, random_crops)
    plan = Plan(selection, tuple(temperatures), samples, seed)
    with silent() if json_ or quiet else nullcontext():
        judges = Judges.load(lpips)
    places = Models(models, flows)
    comparisons = [comparison(scale, methods, places, device) for scale in scales]
    with sole_writer(out_folder), progress_bar(quiet) as progress:
        task = progress.add_task("measuring", total=len(plan.selection) * len(scales))

        def advance(name: str) -> None:
            progress.update(task, description=name, advance=1)

        records, failures = run(plan, comparisons, judges, out_folder, advance)
        if records:
            write_tables(records, judges.missing, out_folder)
    if json_:
        _print_records(records, failures)
    elif records and not quiet:
        _print_tables(records, samples, out_folder)
    if not quiet:
        for column, why in judges.missing.items():
            complain(f"{column} is not measured: {why}")
    end(failures)


def _print_tables(records: "Records", samples: int, out_folder: Path) -> None:
    """The tables and the winners, for a person."""
    from ..evaluation.table import LEGEND, TERMINAL, as_rich, by_scale, images_of, winners

    for scale, rows in by_scale(records, TERMINAL).items():
        what = f"×{scale}: {images_of(records)} images, {samples} samples"
        out.print(as_rich(rows, f"{what}, mean ± standard error"))
    for line in (f"* {LEGEND}", *winners(records)):
        out.print(line, markup=False, highlight=False)
    out.print(f"The tables are in {out_folder}", markup=False, highlight=False)


def _print_records(records: "Records", failures: dict[str, str]) -> None:
    """One object for every image, with all rows of the table on it."""
    found: dict[str, list[dict[str, object]]] = {}
    for (row, image), scores in records.items():
        found.setdefault(image, []).append({**asdict(row), "scores": scores})
    for image, rows in found.items():
        print_json({"image": image, "rows": rows})
    for image, why in failures.items():
        print_json({"image": image, "error": why})


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
    from ..evaluation.selection import Selection
    from ..restoration.load import load

    resolver = load(model, device)
    tried_at = grids(resolver)
    selection = Selection(data, start, images, crop, resolver.any_size).as_seen_by(resolver)
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
        found = {"temperature": best.temperature, "encoder_temperature": best.encoder_temperature}
        path = recommend(model, replace(resolver.recommended, **found))
        out.print(f"Stored in {path}", markup=False, highlight=False)
    chosen = (best.temperature, best.encoder_temperature)
    if any(t in (grid[0], grid[-1]) for t, grid in zip(chosen, tried_at, strict=True) if grid):
        out.print("The best value lies at the edge of what was tried.", highlight=False)
    end(failures)


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
    with open_study(
        out_folder, selection, scales, models, seed, device, n * (3 * len(scales) + 2), flows
    ) as study:
        sections = report_sections(study, plan, tuple(methods), lpips)
        names = ", ".join(r.name for r in study.resolvers)
        write_page(out_folder / "report.html", f"{names} on {n} images", sections)
    out.print(f"Open {out_folder / 'report.html'}", markup=False, highlight=False, style="bold")
    end(study.failures)
