"""Commands that measure: evaluate, analyze, calibrate, report."""

from pathlib import Path
from typing import Annotated

import typer

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
Scales = Annotated[list[int], typer.Option("--scales", help="Factors.")]
Models = Annotated[str, typer.Option("--models", help="Bundled names or folders, with {scale}.")]
SCALES, MODELS = [4, 8, 16], "celeba64-x{scale}"


@app.command()
def evaluate(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    temperatures: Annotated[list[float], typer.Option(help="Of the methods.")] = [0.1, 0.8],  # noqa: B006
    methods: Annotated[list[str], typer.Option(help="bicubic, cvdvae.")] = ["bicubic", "cvdvae"],  # noqa: B006
    models: Models = MODELS,
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
    from ..evaluation.method import contest
    from ..evaluation.table import as_rich, write_tables

    plan = Plan(
        str(data), tuple(scales), tuple(methods), models, tuple(temperatures), samples, seed,
        start, images, crop,
    )  # fmt: skip
    judges = Judges.summon(lpips)
    contests = [contest(scale, methods, models, device) for scale in scales]
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=len(plan.paths()) * len(scales))

        def advance(name: str) -> None:
            progress.update(task, description=name, advance=1)

        records, failures = run(plan, contests, judges, out_folder, advance)
    if records:
        write_tables(records, judges.missing, out_folder)
        faces = len({image for _, image, _ in records})
        out.print(as_rich(records, f"{faces} images, {samples} samples: mean ± standard error"))
        out.print(f"The tables are in {out_folder}", markup=False, highlight=False)
    for column, why in judges.missing.items():
        complain(f"{column} is not measured: {why}")
    for failure in failures:
        complain(failure)
    if failures:
        raise typer.Exit(1)


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
    from rich.table import Table

    from ..analysis.calibration import calibration
    from ..analysis.figures import draw_calibration
    from ..analysis.images import Selection
    from ..superres import load

    selection = Selection(data, start, images, crop)
    results = {}
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=selection.count_images() * len(scales))
        for scale in scales:
            model = load(models.format(scale=scale), device)
            results[model.name] = calibration(
                model,
                selection.pairs(model.degradation),
                model.sampling(samples, temperature, seed),
                lambda: progress.advance(task),
            )
    _write_json(out_folder / "calibration.json", {n: c.report() for n, c in results.items()})
    draw_calibration(results, out_folder / "calibration.png")
    table = Table(title=f"{samples} samples each: how often the truth lies inside")
    for title in ("", "50 %", "80 %", "90 %", "CRPS ×10³", "energy ×10³"):
        table.add_column(title, justify="right" if title else "left")
    for name, c in results.items():
        cells = [f"{v:.0%}" for v in c.coverage.values()]
        table.add_row(name, *cells, f"{c.crps * 1e3:.1f}", f"{c.energy_score * 1e3:.1f}")
    out.print(table)
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
    save: Annotated[bool, typer.Option("--save", help="Store the result with the model.")] = False,
    device: Device = "cpu",
) -> None:
    """Find the temperatures with the best scores on validation images."""
    from rich.table import Table

    from ..analysis.calibration import TEMPERATURES, fit
    from ..analysis.images import Selection
    from ..store import Recommended, recommend
    from ..superres import load

    resolver = load(model, device)
    selection = Selection(data, start, images, crop)
    pairs = list(selection.pairs(resolver.degradation))
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=2 * len(TEMPERATURES) * len(pairs))
        start_at = resolver.sampling(samples, 0.8, seed, 1.0)
        best, tried = fit(resolver, pairs, start_at, lambda: progress.advance(task))
    table = Table(title=f"{model} on {len(pairs)} images")
    for title in ("temperature", "of the encoder", "CRPS ×10³", "off the diagonal"):
        table.add_column(title, justify="right")
    for c in tried:
        table.add_row(
            f"{c.sampling.temperature:g}",
            f"{c.sampling.encoder_temperature:g}",
            f"{c.crps * 1e3:.2f}",
            f"{c.miscalibration:.1%}",
            style="bold" if c.sampling == best else None,
        )
    out.print(table)
    if save:
        path = recommend(model, Recommended(best.temperature, best.encoder_temperature))
        out.print(f"Stored in {path}", markup=False, highlight=False)


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
    from ..analysis.figures import draw_temperature
    from ..analysis.images import Selection
    from ..analysis.temperature import TEMPERATURES, picture, sweep
    from ..evaluation.measure import Judges
    from ..images import save_png
    from ..superres import load

    judges, resolver = Judges.summon(lpips), load(model, device)
    selection = Selection(data, start, images, crop)
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=selection.count_images())
        pairs = selection.pairs(resolver.degradation)
        scores = sweep(
            resolver, pairs, judges, samples, seed, on_image=lambda: progress.advance(task)
        )
    _write_json(out_folder / "temperature.json",
                dict(zip(map(str, TEMPERATURES), scores, strict=True)))  # fmt: skip
    draw_temperature(TEMPERATURES, scores, out_folder / "temperature.png")
    save_png(out_folder / "temperature_samples.png", picture(resolver, seed))
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
    from ..analysis.figures import draw_consistency
    from ..analysis.images import Selection
    from ..analysis.latents import expected_distance, measured_distance
    from ..superres import load

    resolvers = [load(models.format(scale=scale), device) for scale in scales]
    prior, factors = resolvers[0].prior, [1, *scales]
    selection = Selection(data, start, images, crop)
    with progress_bar() as progress:
        task = progress.add_task("drawing", total=prior.groups + 1 + len(resolvers))
        advance = lambda: progress.advance(task)  # noqa: E731
        distances = expected_distance(prior, factors, draws, seed, advance)
        measured = {}
        for r in resolvers:
            ce = measured_distance(r, selection.pairs(r.degradation), seed=seed)
            measured[r.scale] = (r.encoder.groups, ce)
            advance()
    _write_json(
        out_folder / "consistency.json",
        {
            "U": {f"x{s}": row for s, row in zip(factors, distances, strict=True)},
            "CE": {f"x{s}": {"k": k, "value": v} for s, (k, v) in measured.items()},
        },
    )
    draw_consistency(distances, factors, measured, out_folder / "consistency.png")
    _say_where(out_folder, "consistency")


@analyze_app.command("latents")
def analyze_latents(
    out_folder: Out,
    prior: Annotated[str, typer.Option(help="Bundled name, folder, or Hub id.")] = "celeba64",
    samples: Samples = 4,
    seed: Seed = 0,
) -> None:
    """Keep the first k groups of a generated image and draw the rest, for growing k."""
    need("matplotlib", "analysis", "eval")
    from ..analysis.figures import draw_nested
    from ..analysis.latents import nested_samples
    from ..store import load_prior

    draw_nested(nested_samples(load_prior(prior), samples, seed), out_folder / "latents.png")
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
    from dataclasses import asdict

    from ..analysis.figures import draw_rates
    from ..analysis.images import Selection
    from ..analysis.latents import rates
    from ..superres import load

    resolvers = [load(models.format(scale=scale), device) for scale in scales]
    prior = resolvers[0].prior
    truths = Selection(data, start, images, crop).truths(prior.config.image_size)
    result = rates(prior, resolvers, truths, seed)
    _write_json(out_folder / "rate.json", asdict(result))
    draw_rates(result, prior.config.group_resolutions, out_folder / "rate.png")
    out.print(f"prior: {result.total:.3f} ± {result.total_error:.3f} bits/dim", highlight=False)
    for name, value in result.conditional.items():
        out.print(f"given y, {name}: {value:.3f} bits/dim", markup=False, highlight=False)
    _say_where(out_folder, "rate")


def _write_json(path: Path, content: object) -> None:
    import json

    from ..files import write_text

    write_text(path, json.dumps(content, indent=2) + "\n")


def _say_where(folder: Path, name: str) -> None:
    out.print(f"Look at {folder / name}.png", markup=False, highlight=False)
