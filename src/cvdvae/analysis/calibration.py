"""Whether the samples' spread can be believed, and the temperatures at which it can best.

Explained in docs/explanation/calibration.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..evaluation.selection import Pair
from ..evaluation.table import FEW, Figure, figure
from ..evaluation.task import Subject
from ..imaging.io import to_bytes
from ..metrics.calibration import LEVELS, Ranks, crps, energy_score, sparsification, uncertain
from ..restoration.finish import Finished
from ..restoration.settings import Grids, Sampling

REGIONS = 3
"""Side of the grid of image regions whose coverage is reported."""


@dataclass(frozen=True)
class Calibration:
    """How the truth lies among the samples, over images.

    Coverage and ranks are of what is saved, and of the values that are `uncertain`.

    Attributes:
        sampling: How the samples were drawn.
        images: Number of images.
        counted: Share of the values that are uncertain, in [0, 1].
        crps: Continuous ranked probability score.
        energy_score: Energy score of whole images.
        coverage: Observed coverage of the central intervals of the nominal `LEVELS`; None where
            there are too few samples for a level, or no value counts.
        coverage_error: Their standard errors over images; None of a single one.
        coverage_by_region: The same in a grid of regions, one grid for each level.
        rank_histogram: Frequency of every rank of the truth among the samples; empty where no
            value counts, as are the next two.
        nominal: Nominal coverages of the reliability diagram.
        observed: Observed ones.
        sparsification: Error of the pixels that remain, leaving out those of the largest std.
        oracle: The same, leaving out those of the largest error.
    """

    sampling: Sampling
    images: int
    counted: float
    crps: Figure
    energy_score: Figure
    coverage: dict[str, float | None]
    coverage_error: dict[str, float | None]
    coverage_by_region: dict[str, list[list[float | None]]]
    rank_histogram: list[float]
    nominal: list[float]
    observed: list[float]
    sparsification: list[float]
    oracle: list[float]

    @property
    def miscalibration(self) -> float:
        """Mean distance of the observed from the nominal coverage, without that of nothing.

        0 where no value counts: all samples are the truth.
        """
        pairs = list(zip(self.observed[1:], self.nominal[1:], strict=True))
        return fmean(abs(o - n) for o, n in pairs) if pairs else 0.0

    @property
    def area_between(self) -> float:
        """Mean distance of the sparsification curve from the best possible one."""
        return fmean(a - b for a, b in zip(self.sparsification, self.oracle, strict=True))

    def report(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self) | {
            "miscalibration": self.miscalibration,
            "area_between": self.area_between,
        }


class Exploded(InputError):
    """Samples are not finite: nothing can be said of this temperature."""


def saved(done: Finished, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Samples and truth as files hold them, in [0, 1]; as they are where those are not 8-bit.

    A truth that was rounded lies outside of many a narrow interval that was not.
    """
    if done.pixels.dtype != torch.uint8:
        return done.answers, truth
    return done.pixels[~done.exploded].float() / 255, to_bytes(truth).float() / 255


def calibration(
    model: Subject,
    pairs: Iterable[Pair],
    sampling: Sampling,
    on_image: Callable[[], None] | None = None,
) -> Calibration:
    """Draw samples for every image and compare them with the truth.

    Args:
        model: The model.
        pairs: True images and what was seen of them; image i draws with ``seed + i``.
        sampling: How to draw, at least two samples.
        on_image: Called after every image.

    Raises:
        InputError: There is a single sample, or no image, or samples are drawn in pairs.
        Exploded: A sample did.
    """
    if sampling.samples < 2:
        raise InputError("calibration needs at least two samples of each image")
    if sampling.antithetic:
        raise InputError("calibration compares independent samples: leave antithetic out")
    height, width = model.truth_size
    ranks = Ranks.empty(sampling.samples, height, width)
    scores: list[tuple[float, float]] = []
    counted: list[float] = []
    curves: list[tuple[Tensor, Tensor]] = []
    for number, (truth, y) in enumerate(pairs):
        done = model.answers(y, sampling.reseeded(sampling.seed + number))
        samples = done.answers
        if len(samples) < sampling.samples:
            raise Exploded(f"samples of {model.name} exploded: a lower temperature calibrates")
        pixels, true = saved(done, truth)
        open_ = uncertain(pixels, true)
        ranks.add(pixels, true, open_)
        counted.append(float(open_.float().mean()))
        scores.append((crps(samples, truth), energy_score(samples, truth)))
        error = (samples.mean(0) - truth).square().mean(0)
        curves.append(sparsification(samples.var(0).mean(0), error))
        if on_image is not None:
            on_image()
    if not scores:
        raise InputError("there is no image to calibrate on")
    nominal, observed = ranks.reliability() if any(counted) else (torch.empty(0), torch.empty(0))
    by_std, best = (torch.stack(c).mean(0) for c in zip(*curves, strict=True))
    return Calibration(
        sampling=sampling,
        images=len(scores),
        counted=fmean(counted),
        crps=figure(s[0] for s in scores),
        energy_score=figure(s[1] for s in scores),
        coverage={f"{level:.0%}": ranks.coverage(level) for level in LEVELS},
        coverage_error={f"{level:.0%}": ranks.coverage_error(level) for level in LEVELS},
        coverage_by_region={f"{level:.0%}": ranks.coverage_map(level, REGIONS) for level in LEVELS},
        rank_histogram=ranks.histogram().tolist() if any(counted) else [],
        nominal=nominal.tolist(),
        observed=observed.tolist(),
        sparsification=by_std.tolist(),
        oracle=best.tolist(),
    )


def check_enough(images: int) -> None:
    """Refuse to store what was found on few images.

    Raises:
        InputError: They are too few.
    """
    if images < FEW:
        raise InputError(f"temperatures to be saved need at least {FEW} images, not {images}")


def different(grids: Grids, temperature: float) -> int:
    """At how many temperatures `fit` draws: where the prior's grid has the one that its search for
    the encoder's begins with, that pair is drawn once."""
    again = bool(grids.encoder) and temperature in grids.prior
    return len(grids.prior) + len(grids.encoder) - again


def fit(
    model: Subject,
    pairs: Callable[[], Iterable[Pair]],
    sampling: Sampling,
    on_image: Callable[[], None] | None = None,
) -> tuple[Sampling, list[Calibration]]:
    """The temperatures with the lowest CRPS, a proper score: calibrated, and as sharp as can be.

    First the encoder's temperature at the given one of the prior, then the prior's, each searched
    through the model's `grids`. A flow has only the second, a restorer only the first.

    Args:
        model: The model.
        pairs: Gives the images to fit on, not those that will judge.
        sampling: Samples and seed; the temperature of the prior to begin with.
        on_image: Called after every image at every temperature.

    Returns:
        The best settings, and everything that was tried without a sample that exploded.

    Raises:
        InputError: As `calibration`.
        Exploded: Samples did at every temperature of a grid.
    """
    tried: list[Calibration] = []

    def best_of(settings: list[Sampling]) -> Sampling:
        known = [c for c in tried if c.sampling in settings]
        fresh: list[Calibration] = []
        for one in settings:
            if one in [c.sampling for c in known]:
                continue
            try:
                fresh.append(calibration(model, pairs(), one, on_image))
            except Exploded:
                if one == settings[-1] and not fresh and not known:
                    raise
        tried.extend(fresh)
        fresh += known
        return min(fresh, key=lambda c: c.crps.mean or 0.0).sampling

    chosen, grid = sampling, model.grids
    if grid.encoder:
        chosen = best_of([sampling.at(sampling.temperature, t) for t in grid.encoder])
    if grid.prior:
        chosen = best_of([sampling.at(t, chosen.encoder_temperature) for t in grid.prior])
    return chosen, tried
