"""What a model makes of proper images: the thresholds of `cvdvae.input_check.examine`."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.records import Expected
from ..errors import InputError
from ..restoration.hvae import HVAEResolver
from ..restoration.workers import in_own_modes
from .examine import WORST, Findings, Scores, excess_of, findings, score_repaired

FALSE_DOUBTS = 0.02
"""Share of proper images that all the statistics together may doubt."""

LEAST = {"lattice": 5.0}
"""Limits that no quantile may undercut. A log-likelihood ratio must be positive, and here it is the
largest over as many qualities as e⁵ is about half of."""

TAIL = 0.1
"""Share of the images that tell how a statistic's values fall off."""

FEWEST = 20
"""Images without which nothing is fitted."""


class Judged(NamedTuple):
    """An image with its scores."""

    y: Tensor
    scores: Scores


def judge_all(
    model: HVAEResolver, images: Iterable[Tensor], on_image: Callable[[], None] | None = None
) -> list[Judged]:
    """Score low-resolution images, ``(3, h, w)``, with all their repairs.

    Args:
        model: The model.
        images: The images.
        on_image: Called after every image.
    """
    judged = []
    for y in images:
        with in_own_modes(model.device):
            judged.append(Judged(y, score_repaired(model, y)))
        if on_image is not None:
            on_image()
    return judged


def fit_expected(judged: list[Judged]) -> Expected:
    """Find what to expect of proper images, so that few of them are doubted.

    Args:
        judged: Proper images; each may come with its mirror image, which is as proper.

    Raises:
        InputError: There are fewer than `FEWEST`, or more than a few are none that the model knows.
    """
    if not judged:
        return fit([], 1.0, FALSE_DOUBTS)
    misfit = float(torch.stack([j.scores.misfit[0] for j in judged]).median())
    costs = [float(j.scores.cost(j.y.numel(), misfit)[0]) for j in judged]
    off = sum(cost >= WORST for cost in costs)
    if off > FALSE_DOUBTS * len(judged):
        raise InputError(
            f"{off} of {len(judged)} images throw the model off as nothing that it was trained on "
            f"does: limits need proper ones"
        )
    return fit([partial(findings, j.y, j.scores) for j in judged], misfit, FALSE_DOUBTS)


def fit(found: Sequence[Callable[[Expected], Findings]], misfit: float, share: float) -> Expected:
    """Find what to expect of proper images, so that a share of them is beyond a limit.

    Every statistic exceeds its limit with the same probability, the largest at which together they
    doubt no more than `share` of the images.

    Args:
        found: What is found of every image where so much is expected.
        misfit: Their median misfit, in grey levels.
        share: That share.

    Raises:
        InputError: There are fewer than `FEWEST`.
    """
    if len(found) < FEWEST:
        raise InputError(f"thresholds need at least {FEWEST} images, not {len(found)}")
    expected = Expected(len(found), misfit, {}, 0.0, {}, {})
    first = [of(expected) for of in found]
    slope = _slope(
        [math.log(max(1.0, f.statistics["unlikely"])) for f in first],
        [f.statistics["unframed"] for f in first],
    )
    expected = replace(expected, gains=_medians([f.gains for f in first]), slope=slope)
    rows = [of(expected).statistics for of in found]
    expected = replace(expected, typical=_medians(rows))
    risk = share
    while True:
        fitted = replace(expected, limits=_limits(rows, risk))
        if _share(rows, fitted) <= share:
            return fitted
        risk *= 0.9


def doubted_share(judged: list[Judged], expected: Expected) -> float:
    """Share of images with any statistic beyond its limit."""
    return _share([findings(j.y, j.scores, expected).statistics for j in judged], expected)


def _share(rows: list[dict[str, float]], expected: Expected) -> float:
    doubted = [max(excess_of(row, expected).values()) > 1 for row in rows]
    return sum(doubted) / len(doubted)


def _limits(rows: list[dict[str, float]], risk: float) -> dict[str, float]:
    """What every statistic exceeds with the probability `risk`, from the whole of its tail.

    Beyond the quantile u of 1 − `TAIL`, values are taken as exponential (the simplest of the tails
    of Pickands 1975): ``u + mean(value − u | value > u) · log(TAIL / risk)``. The largest few alone
    would depend on the oddest image.
    """
    limits = {}
    for name, values in _columns(rows).items():
        column = torch.tensor(values, dtype=torch.float64, device="cpu")
        start = column.quantile(1 - TAIL)
        beyond = column[column > start] - start
        reach = float(beyond.mean()) if len(beyond) else 0.0
        limit = float(start) + reach * math.log(TAIL / risk)
        limits[name] = max(limit, LEAST.get(name, -math.inf))
    return limits


def _slope(x: list[float], y: list[float]) -> float:
    """Of the least-squares line, with the outermost hundredths of both drawn in."""
    columns = torch.tensor([x, y], dtype=torch.float64, device="cpu")
    ends = columns.quantile(columns.new_tensor([0.01, 0.99]), dim=1)
    covariance = torch.cov(columns.clamp(ends[0][:, None], ends[1][:, None]))
    spread = float(covariance[0, 0])
    return float(covariance[0, 1]) / spread if spread else 0.0


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(values) for name, values in _columns(rows).items()}


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """The values of every name, but for those that are missing in most rows."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: values for name, values in columns.items() if 2 * len(values) >= len(rows)}
