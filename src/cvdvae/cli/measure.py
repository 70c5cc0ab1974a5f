"""Commands that measure: evaluate, calibrate, report."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import InputError, need
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
    Degradations,
    Device,
    Flows,
    Grain,
    Images,
    Json,
    Models,
    Noise,
    OneScale,
    Out,
    Quiet,
    RandomCrops,
    Samples,
    Save,
    Scales,
    Seed,
    Start,
    end,
    out,
    print_json,
    progress_bar,
    remark,
    silent,
    telling,
)
from .damage import RESTORER, DamageOptions, Moves

if TYPE_CHECKING:
    from ..checkpoints.records import Recommended
    from ..evaluation.evaluate import Plan, Records
    from ..evaluation.measure import Judges
    from ..evaluation.realism import Likeness
    from ..evaluation.selection import Pair, Selection
    from ..evaluation.task import Subject, Task
    from ..metrics.perceptual import LPIPS

app = typer.Typer()

FACES = "Detected faces"
"""What `Judges.missing` calls them."""

Temperatures = Annotated[
    list[float] | None,
    typer.Option(help="Of the methods: 0.1 and 0.8; with --degradation the model's own."),
]
RestoringModel = Annotated[
    str | None, typer.Option("--model", help=f"With --degradation: {RESTORER}, a folder, a Hub id.")
]
Pairs = Callable[[], "Iterable[Pair]"]


@app.command()
def evaluate(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    temperatures: Temperatures = None,
    methods: Annotated[list[str], typer.Option(help="bicubic, cvdvae, hcflow.")] = METHODS,
    models: Models = MODELS,
    flows: Flows = FLOWS,
    model: RestoringModel = None,
    degradation: Degradations = None,
    noise: Noise = None,
    moves: Moves = 0,
    grain: Grain = False,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    random_crops: RandomCrops = False,
    realism: Annotated[
        bool,
        typer.Option("--realism", help="Also whether samples look like the images of the folder."),
    ] = False,
    lpips: AlexNet = None,
    device: Device = "cpu",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure methods on a folder of images: quality, consistency, diversity, calibration."""
    need("torchmetrics", "evaluation", "eval")
    from ..evaluation.evaluate import Plan, check_settings, unused
    from ..evaluation.evaluate import evaluate as run
    from ..evaluation.measure import Judges
    from ..evaluation.realism import HEADER, check_enough, judge_of, size_of, write_likenesses
    from ..evaluation.selection import Selection
    from ..evaluation.table import as_rich, unmeasured, write_tables
    from ..locks import sole_writer

    selection = Selection(data, start, images, crop, random_crops)
    damage = DamageOptions(model, degradation or [], noise, moves, grain, device)
    damage.check_alone(scales, methods, models, flows)
    Plan(selection, tuple(temperatures or ()), samples, seed)  # refused before all else
    check_enough(len(selection), realism)
    tasks, usual = (
        damage.tasks() if damage.wanted else _shrinking(scales, methods, models, flows, device)
    )
    plan = Plan(selection, tuple(temperatures or usual), samples, seed)
    check_settings(plan, tasks)
    with silent() if json_ or quiet else nullcontext():
        judges = Judges.load(lpips)
    judge = judge_of(plan, judges) if realism else None  # refused before an hour of measuring
    likenesses: list[Likeness] = []
    with sole_writer(out_folder), progress_bar(quiet) as progress:
        bar = progress.add_task("measuring", total=len(plan.selection) * len(tasks))

        def advance(name: str) -> None:
            progress.update(bar, description=name, advance=1)

        records, failures = run(plan, tasks, judges, out_folder, advance)
        if records:
            write_tables(records, judges.missing, out_folder, samples)
        if judge is not None:
            progress.reset(bar, total=len(plan.selection) * len(tasks))
            left_out = unused(records, failures, tasks)
            with telling(failures):
                likenesses = _judge_realism(plan, tasks, judge, judges, left_out, advance)
            write_likenesses(likenesses, judges.missing.get(FACES, ""), out_folder)
    if json_:
        _print_records(records, failures)
        for one in likenesses:
            print_json({"realism": asdict(one)})
    elif records and not quiet:
        _print_tables(records, samples, out_folder)
        if realism:
            out.print(as_rich([HEADER, *(one.cells() for one in likenesses)], size_of(likenesses)))
    if not quiet:
        for column, why in unmeasured(records, judges.missing).items():
            remark(f"{column} is not measured: {why}")
    end(failures)


def _judge_realism(
    plan: "Plan",
    tasks: "list[Task]",
    judge: "LPIPS",
    judges: "Judges",
    failures: dict[str, str],
    advance: Callable[[str], None],
) -> "list[Likeness]":
    """Whether one sample of each image looks like a real one."""
    from ..evaluation.realism import likenesses
    from ..metrics.realism import FaceDetector

    try:
        detector = FaceDetector()
    except InputError as error:
        judges.missing[FACES] = str(error)
        detector = None
    return list(likenesses(plan, tasks, judge, detector, failures, advance))


def _shrinking(
    scales: list[int], methods: list[str], models: str, flows: str, device: str
) -> "tuple[list[Task], list[float]]":
    """The methods at every scale, and the usual temperatures."""
    from ..evaluation.method import Models, comparison

    places = Models(models, flows)
    return [comparison(scale, methods, places, device) for scale in scales], TEMPERATURES


def _print_tables(records: "Records", samples: int, out_folder: Path) -> None:
    """The tables and the winners, for a person."""
    from ..evaluation.table import LEGEND, TERMINAL, as_rich, by_task, heading, winners

    for task, table in by_task(records, TERMINAL).items():
        out.print(as_rich(table.rows, heading(task, table, samples)))
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
    model: Annotated[
        str | None, typer.Option("--model", help="Bundled name, model folder, or Hub id.")
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            help="Of a model that restores: what happens to the images, as for `restore`."
        ),
    ] = None,
    noise: Noise = None,
    grain: Grain = False,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    scale: OneScale = None,
    save: Save = False,
    device: Device = "cpu",
) -> None:
    """Find the temperatures with the best scores on validation images."""
    from ..analysis.calibration import check_enough, fit
    from ..checkpoints.folder import check_storable, recommend
    from ..evaluation.selection import Selection
    from ..evaluation.table import counted
    from ..restoration.settings import Sampling

    selection = Selection(data, start, images, crop)
    failures: dict[str, str] = {}
    damage = DamageOptions(model, [degradation] if degradation else [], noise, 0, grain, device)
    subject, recommended, pairs = (
        _restoring(damage, selection, failures)
        if damage.fitted(scale)
        else _resolving(model or "celeba64-x8", scale, selection, failures, device)
    )
    tried_at, model = subject.grids, subject.name
    if save:
        check_storable(model)
        check_enough(len(selection))
    with telling(failures), progress_bar() as progress:
        task = progress.add_task("drawing", total=sum(map(len, tried_at)) * len(selection))
        start_at = Sampling(samples, 0.8, seed, 1.0)
        best, tried = fit(subject, pairs, start_at, lambda: progress.advance(task))
    table = Table(title=f"{model} on {counted(tried[0].images, 'image')}", caption="* the best")
    for title in ("temperature", "of the encoder", "CRPS ×10³", "off the diagonal"):
        table.add_column(title, justify="right")
    for c in tried:
        table.add_row(
            f"{c.sampling.temperature:g}" if tried_at.prior else "–",
            f"{c.sampling.encoder_temperature:g}" if tried_at.encoder else "–",
            "* " * (c.sampling == best) + f"{(c.crps.mean or 0) * 1e3:.2f}",
            f"{c.miscalibration:.1%}",
            style="bold" if c.sampling == best else None,
        )
    out.print(table)
    if unfit := sum(map(len, tried_at)) - len(tried):
        out.print(f"At {unfit} other temperatures samples exploded.", highlight=False)
    if save:
        with telling(failures):
            check_enough(tried[0].images)
        prior = best.temperature if tried_at.prior else best.encoder_temperature
        found = replace(recommended, encoder_temperature=best.encoder_temperature, calibrated=True)
        path = recommend(model, replace(found, temperature=prior))
        out.print(f"Stored in {path}", markup=False, highlight=False)
    chosen = (best.temperature, best.encoder_temperature)
    if any(t in (grid[0], grid[-1]) for t, grid in zip(chosen, tried_at, strict=True) if grid):
        out.print("The best value lies at the edge of what was tried.", highlight=False)
    end(failures)


def _resolving(
    name: str, scale: int | None, selection: "Selection", failures: dict[str, str], device: str
) -> "tuple[Subject, Recommended, Pairs]":
    """A super-resolver, its temperatures, and images with their low-resolution images."""
    from ..restoration.load import load

    resolver = load(name, device, scale=scale)
    seen = replace(selection, random_crops=resolver.any_size).as_seen_by(resolver)
    return resolver, resolver.recommended, lambda: seen.pairs(resolver.degradation, failures)


def _restoring(
    damage: DamageOptions, selection: "Selection", failures: dict[str, str]
) -> "tuple[Subject, Recommended, Pairs]":
    """A restorer, its temperatures, and images with what is left of them."""
    (subject,) = damage.subjects()
    chosen = replace(selection, random_crops=subject.restorer.side is None)
    return subject, subject.restorer.recommended, lambda: subject.pairs(chosen, failures)


@app.command()
def report(
    data: Data,
    out_folder: Out,
    scales: Scales = SCALES,
    models: Models = MODELS,
    methods: Annotated[list[str], typer.Option(help="bicubic, cvdvae, hcflow.")] = METHODS,
    flows: Flows = FLOWS,
    model: RestoringModel = None,
    degradation: Degradations = None,
    noise: Noise = None,
    moves: Moves = 0,
    grain: Grain = False,
    temperatures: Temperatures = None,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    random_crops: RandomCrops = False,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Everything that `evaluate` and `analyze` find, on one page: OUT/report.html."""
    need("matplotlib", "the report", "eval")
    from ..analysis.report import write_page
    from ..analysis.restoring import restoration_sections
    from ..analysis.study import report_sections
    from ..evaluation.evaluate import Plan
    from ..evaluation.selection import Selection
    from ..evaluation.table import counted

    selection = Selection(data, start, images, crop, random_crops)
    damage = DamageOptions(model, degradation or [], noise, moves, grain, device)
    damage.check_alone(scales, methods, models, flows)
    subjects = damage.subjects() if damage.wanted else []
    usual = damage.usual(subjects) if subjects else TEMPERATURES
    plan = Plan(selection, tuple(temperatures or usual), samples, seed)
    total = len(selection) * (2 * len(subjects) + 1 if subjects else 3 * len(scales) + 2)
    with open_study(out_folder, selection, scales, models, seed, device, total, flows) as study:
        if subjects:
            sections = restoration_sections(study, plan, subjects, lpips)
            names = subjects[0].name
        else:
            sections = report_sections(study, plan, tuple(methods), lpips)
            names = ", ".join(study.names)
        title = f"{names} on {counted(len(study.measured), 'image')}"
        write_page(out_folder / "report.html", title, sections, seed)
    out.print(f"Open {out_folder / 'report.html'}", markup=False, highlight=False, style="bold")
    end(study.failures)
