"""The report on a model that restores: its tables, whether its spread can be believed, and what the
temperature does."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from ..evaluation.damaged import Damaged, Restorations
from ..evaluation.measure import Judges
from ..evaluation.plan import Plan
from ..evaluation.task import at_one_temperature
from ..files import write_text
from ..imaging.io import save_png, to_tensor
from .calibration import Calibration, calibration
from .figures import draw_calibration, draw_temperature
from .report import Section, believed, not_measured, tables
from .study import Study
from .temperature import CURVES, TEMPERATURES, example_at, picture_of, sweep

SAMPLES = 19
"""Of each image, for the calibration."""


def restoration_sections(
    study: Study, plan: Plan, subjects: list[Damaged], alexnet: Path | None
) -> list[Section]:
    """Everything, in the order of the page; images that cannot be used go to `study.failures`.

    Args:
        study: Where the files go, and the images.
        plan: How the tables are measured.
        subjects: One model on every degradation.
        alexnet: As for `Judges.load`.
    """
    judges = Judges.load(alexnet)
    tasks = [Restorations(subject) for subject in subjects]
    records = study.tables(plan, tasks, judges)
    calibrations = _calibrations(study, subjects)
    _temperature(study, subjects[0], judges)
    return [
        *tables(
            records, plan.samples, "τ is the temperature of all groups, times the model's factors."
        ),
        *not_measured(records, judges.missing),
        believed(calibrations, study.out / "calibration.png"),
        Section(
            "Temperature",
            f"{CURVES} samples of each image, of {subjects[0].name}, {subjects[0].title}, all "
            f"groups at the same temperature, times the model's factors; the picture shows a "
            f"photo in the public domain.",
            [],
            (study.out / "temperature.png", study.out / "temperature_samples.png"),
        ),
    ]


def _calibrations(study: Study, subjects: list[Damaged]) -> dict[str, Calibration]:
    """At the temperature that a user gets, whichever the tables are of."""
    first = subjects[0]
    temperature = first.restorer.restoring(moves=first.moves).temperature
    sampling = at_one_temperature(first, SAMPLES, temperature, study.seed)
    results = {
        subject.title: calibration(
            subject, subject.pairs(study.selection, study.failures), sampling, study.tick
        )
        for subject in subjects
    }
    content = {title: found.report() for title, found in results.items()}
    write_text(study.out / "calibration.json", json.dumps(content, indent=2) + "\n")
    draw_calibration(results, study.out / "calibration.png")
    return results


def _temperature(study: Study, subject: Damaged, judges: Judges) -> None:
    """Curves and pictures; without moves, whose chains have a temperature of their own."""
    alone = replace(subject, moves=0) if subject.restorer.encoder is not None else subject
    tried = TEMPERATURES if not alone.moves else TEMPERATURES[1:]
    pairs = alone.pairs(study.selection, study.failures)
    scores = sweep(alone, pairs, judges, CURVES, study.seed, tried, study.tick)
    content = dict(zip(map(str, tried), scores, strict=True))
    write_text(study.out / "temperature.json", json.dumps(content, indent=2) + "\n")
    draw_temperature(tried, scores, study.out / "temperature.png")
    y = alone.damage(_example(alone), study.seed)
    save_png(study.out / "temperature_samples.png", picture_of(alone, y, study.seed, tried))


def _example(subject: Damaged) -> torch.Tensor:
    """A picture in the public domain, as the model takes it."""
    any_size = subject.restorer.side is None
    return to_tensor(example_at(subject.truth_size, any_size, subject.channels))
