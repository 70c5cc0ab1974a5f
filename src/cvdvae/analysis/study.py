"""All analyses of a family of models on one selection of images, written to one folder."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from ..errors import InputError
from ..evaluation.evaluate import Records, evaluate
from ..evaluation.measure import Judges, Scores
from ..evaluation.method import Models, comparisons
from ..evaluation.plan import Plan
from ..evaluation.selection import Failures, Selection
from ..evaluation.table import write_tables
from ..evaluation.task import Task, title_of
from ..files import write_text
from ..imaging.io import save_png
from ..restoration.hvae import HVAEResolver
from ..restoration.load import load, load_at_scale
from ..restoration.sampler import MEASURED, SuperResolver
from ..restoration.settings import check_samples
from ..restoration.tolerance import photons_of
from .calibration import Calibration, calibration
from .figures import (
    draw_calibration,
    draw_consistency,
    draw_nested,
    draw_rates,
    draw_temperature,
)
from .latents import (
    Rates,
    expected_distance,
    measured_distance,
    names_of,
    nested_samples,
    rates,
)
from .report import Section, believed, not_measured, rate_rows, tables
from .temperature import CURVES, TEMPERATURES, picture, sweep


@dataclass(frozen=True)
class Study:
    """What is analysed, and where the numbers (JSON) and figures (PNG) go.

    Attributes:
        out: Folder for the files.
        selection: The images.
        scales: Factors.
        models: Name or folder of the models, with ``{scale}``.
        flows: The same for the method hcflow, in the tables.
        seed: Of all draws.
        device: Where to compute.
        tick: Called after every image of every model, for a progress bar.
        failures: A sentence on every image that could not be used, as they come up.
        measured: Names of the images that its own tables are about.
    """

    out: Path
    selection: Selection
    scales: tuple[int, ...] = (2, 3, 4)
    models: str = "photos-x{scale}"
    flows: str = ""
    seed: int = 0
    device: str = "cpu"
    tick: Callable[[], None] = lambda: None
    failures: Failures = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"the seed must not be negative, but is {self.seed}")

    def tables(self, plan: Plan, tasks: Sequence[Task], judges: Judges) -> Records:
        """Write those of `cvdvae evaluate`; ticks for every image and task."""
        records, failures = evaluate(plan, tasks, judges, self.out, lambda _: self.tick())
        self.failures.update(failures)
        if not records:
            raise InputError("there is no image to measure")
        asked = {title_of(task.scale, task.damage) for task in tasks}
        self.measured.update(image for row, image in records if row.task in asked)
        write_tables(records, judges.missing, self.out, plan.samples)
        return records

    @cached_property
    def resolvers(self) -> list[SuperResolver]:
        """The models, one for each scale; the one that `models` names where there is no scale."""
        if not self.scales:
            return [load(self.models, self.device)]
        return [load_at_scale(self.models, scale, self.device) for scale in self.scales]

    @property
    def names(self) -> list[str]:
        """What the models are called in what is written."""
        return names_of(self.resolvers)

    def load(self) -> None:
        """Load the models now, so that what is wrong with them is said before all else."""
        _ = self.resolvers

    @property
    def encoders(self) -> list[HVAEResolver]:
        """The models, all of which must be LR encoders on the same prior.

        Raises:
            InputError: One is not.
        """
        encoders = [r for r in self.resolvers if isinstance(r, HVAEResolver)]
        if len(encoders) < len(self.resolvers):
            raise InputError(f"{self.models} has no latent groups: name LR encoders on a prior")
        first = encoders[0].prior
        for r in encoders:
            if not torch.equal(r.prior.out_conv.weight, first.out_conv.weight):
                raise InputError(f"{r.name} stands on another prior than {encoders[0].name}")
        return encoders

    @property
    def side(self) -> int:
        """That of images for all encoders: for a prior that takes any size, the largest up to
        `MEASURED` that it and all scales divide."""
        first = self.encoders[0]
        step = math.lcm(first.prior.config.multiple, *(r.scale for r in self.encoders))
        most = MEASURED if first.any_size else first.prior.config.image_size
        return max(1, most // step) * step

    def calibration(
        self, samples: int = 19, temperature: float | None = None
    ) -> dict[str, Calibration]:
        """Write ``calibration.json`` and ``calibration.png``; ticks for every image and scale."""
        results = {
            name: calibration(
                r,
                self.selection.as_seen_by(r).pairs(r.degradation, self.failures),
                r.sampling(samples, temperature, self.seed),
                self.tick,
            )
            for name, r in zip(self.names, self.resolvers, strict=True)
        }
        self._json("calibration", {name: c.report() for name, c in results.items()})
        draw_calibration(results, self.out / "calibration.png")
        return results

    def consistency(self, draws: int = 64) -> None:
        """Write ``consistency.json`` and ``consistency.png``; ticks for every image and scale.

        What is expected is of images of `side`, and what is measured of those about as large.

        Raises:
            InputError: The number of draws is below 1, or far too large.
        """
        check_samples(draws)
        prior, factors = self.encoders[0].prior, [1, *self.scales]
        light = {r.scale: photons_of(r.photon_noise) for r in self.encoders}
        photons = [light.get(scale, 0.0) for scale in factors]
        distances = expected_distance(prior, factors, draws, self.seed, self.side, photons)
        measured = {}
        for r in self.encoders:
            pairs = self.selection.as_seen_by(r).pairs(r.degradation, self.failures)
            ce = measured_distance(r, pairs, seed=self.seed, on_image=self.tick)
            measured[r.scale] = (r.encoder.groups, ce)
        content = {
            "U": {f"x{s}": row for s, row in zip(factors, distances, strict=True)},
            "CE": {f"x{s}": {"k": k, **asdict(v)} for s, (k, v) in measured.items()},
        }
        self._json("consistency", content)
        strides = prior.config.group_strides
        natural = {r.scale: sum(stride >= r.scale for stride in strides) for r in self.encoders}
        draw_consistency(distances, factors, measured, natural, self.out / "consistency.png")

    def rate(self) -> Rates:
        """Write ``rate.json`` and ``rate.png``.

        Of squares of `side`, since bits/dim are of whole images, and comparable on the same ones.
        """
        first = self.encoders[0]
        prior, selection = first.prior, self.selection.as_seen_by(first)
        truths = selection.truths(self.side, self.failures)
        result = rates(prior, self.encoders, truths, self.seed, self.tick)
        self._json("rate", asdict(result))
        draw_rates(result, prior.config.group_resolutions, self.out / "rate.png")
        return result

    def latents(self, samples: int = 4) -> None:
        """Write ``latents.png``."""
        check_samples(samples)
        nested = nested_samples(self.encoders[0].prior, samples, self.seed)
        draw_nested(nested, self.out / "latents.png")

    def temperature(self, judges: Judges, samples: int = CURVES) -> list[Scores]:
        """Write ``temperature.json``, ``temperature.png`` and ``temperature_samples.png``.

        For the first scale's model; ticks for every image.
        """
        model = self.resolvers[0]
        pairs = self.selection.as_seen_by(model).pairs(model.degradation, self.failures)
        scores = sweep(model, pairs, judges, samples, self.seed, on_image=self.tick)
        self._json("temperature", dict(zip(map(str, TEMPERATURES), scores, strict=True)))
        draw_temperature(TEMPERATURES, scores, self.out / "temperature.png")
        save_png(self.out / "temperature_samples.png", picture(model, self.seed))
        return scores

    def _json(self, name: str, content: object) -> None:
        write_text(self.out / f"{name}.json", json.dumps(content, indent=2, allow_nan=False) + "\n")


def report_sections(
    study: Study, plan: Plan, methods: tuple[str, ...], alexnet: Path | None
) -> list[Section]:
    """Everything, in the order of the page; images that cannot be used go to `study.failures`."""
    prior = study.encoders[0].prior  # refused before anything is fetched
    tasks = comparisons(study.scales, methods, Models(study.models, study.flows), study.device)
    judges = Judges.load(alexnet)
    records = study.tables(plan, tasks, judges)
    calibrations = study.calibration()
    study.temperature(judges)
    study.consistency()
    study.latents()
    found = study.rate()
    sections = [*tables(records, plan.samples), *not_measured(records, judges.missing)]
    out = study.out
    sections += [
        believed(calibrations, out / "calibration.png"),
        Section(
            "Temperature",
            f"{CURVES} projected samples of each image, of {study.names[0]}, all groups at the "
            "same temperature, times the model's factors where it has some; the picture shows a "
            "photo in the public domain.",
            [],
            (out / "temperature.png", out / "temperature_samples.png"),
        ),
        Section(
            "Expected consistency",
            "How far apart two samples that share the first k groups are at low resolution "
            "(lines; a ring where k takes all groups up to the resolution of y), and how far the "
            "trained encoders' samples are from their input before projection (stars, at their k). "
            "Where a model's input has the noise of faint light, so has one of the two samples. "
            "With a perfect encoder the star would lie on its line.",
            [],
            (out / "consistency.png",),
        ),
        Section(
            "What the groups carry",
            "A generated image; samples that keep its first k groups; their standard deviation.",
            [],
            (out / "latents.png",),
        ),
        Section(
            "Rates",
            f"Upper bounds of the truth, in {prior.config.bits}-bit images.",
            rate_rows(found),
            (out / "rate.png",),
        ),
    ]
    return sections
