"""Commands that measure: evaluate, report."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, need
from .analyze import open_study
from .common import (
    METHODS,
    AlexNet,
    Crop,
    Data,
    Degradations,
    Device,
    Domain,
    Flows,
    Grain,
    Images,
    Json,
    Models,
    Noise,
    Out,
    Quiet,
    RandomCrops,
    Samples,
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
from .damage import DamageOptions, Moves
from .family import Family, family

if TYPE_CHECKING:
    from ..evaluation.evaluate import Records
    from ..evaluation.measure import Judges
    from ..evaluation.plan import Plan
    from ..evaluation.realism import Likeness
    from ..evaluation.task import Task
    from ..metrics.perceptual import LPIPS

app = typer.Typer()

FACES = "Detected faces"
"""What `Judges.missing` calls them."""

Temperatures = Annotated[
    list[float] | None,
    typer.Option(
        "--temperatures",
        "--temperature",
        help="Of the methods; 0.1 and 0.8 are the published ones. An LR encoder's own is then 1, "
        "but where it gives all groups, as of photographs, the same number. By default those that "
        "every model recommends.",
    ),
]
Methods = Annotated[list[str], typer.Option("--methods", help="bicubic, cvdvae, hcflow.")]


@app.command()
def evaluate(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    scales: Scales = None,
    temperatures: Temperatures = None,
    methods: Methods = METHODS,
    models: Models = None,
    flows: Flows = None,
    degradation: Degradations = None,
    noise: Noise = None,
    moves: Moves = 0,
    grain: Grain = False,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    random_crops: RandomCrops = None,
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
    from ..evaluation.evaluate import evaluate as run
    from ..evaluation.evaluate import unused
    from ..evaluation.measure import Judges
    from ..evaluation.method import Models, comparisons
    from ..evaluation.plan import Plan, check_settings
    from ..evaluation.realism import HEADER, check_enough, judge_of, size_of, write_likenesses
    from ..evaluation.selection import Selection
    from ..evaluation.table import as_rich, unmeasured, write_tables
    from ..locks import sole_writer

    selection = Selection(data, start, images, crop, random_crops)
    damage = DamageOptions(models, degradation or [], noise, moves, grain, device, domain)
    plan = Plan(selection, tuple(temperatures or ()), samples, seed)  # refused before all else
    damage.check_alone(scales, methods, flows)
    check_enough(len(selection), realism)
    if damage.wanted:
        tasks = damage.tasks()
    else:
        chosen = family(domain, models, flows, scales, device)
        tasks = comparisons(chosen.scales, methods, Models(chosen.models, chosen.flows), device)
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
def report(
    data: Data,
    out_folder: Out,
    domain: Domain = "photos",
    scales: Scales = None,
    methods: Methods = METHODS,
    models: Models = None,
    flows: Flows = None,
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
    random_crops: RandomCrops = None,
    lpips: AlexNet = None,
    device: Device = "cpu",
) -> None:
    """Everything that `evaluate` and `analyze` find, on one page: OUT/report.html."""
    need("matplotlib", "the report", "eval")
    from ..analysis.report import write_page
    from ..analysis.restoring import restoration_sections
    from ..analysis.study import report_sections
    from ..evaluation.plan import Plan
    from ..evaluation.selection import Selection
    from ..evaluation.table import counted

    selection = Selection(data, start, images, crop, random_crops)
    damage = DamageOptions(models, degradation or [], noise, moves, grain, device, domain)
    damage.check_alone(scales, methods, flows)
    plan = Plan(selection, tuple(temperatures or ()), samples, seed)
    subjects = damage.subjects() if damage.wanted else []
    if subjects:
        chosen = Family(subjects[0].name, "", [])
        total = len(selection) * (2 * len(subjects) + 1)
    else:
        chosen = family(domain, models, flows, scales, device)
        total = len(selection) * (3 * len(chosen.scales) + 2)
    with open_study(out_folder, selection, chosen, seed, device, total) as study:
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
