"""Whether a low-resolution image is one that the model knows, why not, and what to do.

The model bounds how likely y itself is::

    log p(y) ≥ E_q[ log p(y|z) ] − KL( q_ψ(z_<k|y) ‖ p(z_<k) )

The second term is the *rate*, in nats: how far y moves the encoder from the prior. For the first,
``p(y|z) = N(H E[x|z], σ²)``: it falls with the *misfit*, the root mean square of ``H E[x|z] − y``
before any projection, in grey levels; σ is `WIDTH` times the misfit of proper images. Both are
taken at the means, ``z_l = E[z_l | z_<l, y]``: that needs no seed, and tells more than a draw.

A bound alone says little: what is in a picture moves it more than most defects do (Nalisnick et al.
2019 found so for likelihoods of all kinds). The same picture before and after a repair is a fair
comparison. So y is compared with itself turned, shifted, zoomed, smoothed and sharpened, and the
gain of every repair with its gain on proper images:

- A repair that gains far more than on proper images names the defect.
- Proper images lose much by being turned or shifted. One that does not care is no face, or no
  framing, that the model knows.

How much is far more was fitted on validation images (`cvdvae.input_check.thresholds`).
"""

import math
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.records import Expected
from ..restoration.result import Doubt
from ..restoration.sampler import SuperResolver
from ..restoration.workers import in_order, in_own_modes, workers_on
from . import jpeg
from .transforms import repairs

WIDTH = 2.0
"""Standard deviation of p(y|z), as a multiple of the misfit of proper images."""

WORST = 1e6
"""Cost of an image that throws the networks off so far that the numbers overflow, in nats."""

COLOURED = 0.6
"""Noise is independent in every colour, and false sharpness is not: where smoothing the colours
alone gains this share of what smoothing gains, it is noise."""

BESIDE_JPEG = 2.0
"""Excess that counts as a reason beside the traces of JPEG; by those, proper faces reach 1.6."""

FRAMING = ("turned", "shifted")
"""Families of which a proper image loses by every repair."""


@dataclass(frozen=True)
class Examination:
    """What the model says of a low-resolution image.

    Attributes:
        rate: KL of the encoder from the prior, in nats; infinite where it overflows.
        misfit: Root mean square of ``H E[x|z] − y``, in grey levels of 255.
        gains: What every repair adds to the bound on log p(y), in nats, by its name.
        excess: Every statistic on a scale where 0 is typical of proper images and beyond 1 there
            is doubt. Empty, like `gains`, where the model does not know what to expect.
        doubts: The doubts, the strongest reason first; mostly none.
    """

    rate: float
    misfit: float
    gains: dict[str, float] = field(default_factory=dict)
    excess: dict[str, float] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)


class Scores(NamedTuple):
    """Rates in nats and misfits in grey levels of images, ``(N,)`` each, float64."""

    rate: Tensor
    misfit: Tensor

    def cost(self, values: int, misfit: float) -> Tensor:
        """The bound on −log p(y) without its constant, in nats, at most `WORST`.

        Args:
            values: Numbers that y holds.
            misfit: That of proper images, in grey levels.
        """
        nats = self.rate + values * (self.misfit / (WIDTH * misfit)).square() / 2
        return torch.nan_to_num(nats, nan=WORST, posinf=WORST).clamp(max=WORST)


def score(model: SuperResolver, y: Tensor) -> Scores:
    """Rates and misfits of images ``(N, 3, h, w)`` in [0, 1]."""
    parts = y.split(model.batch(model.degradation.hr_size[0] ** 2))
    scored = in_order(partial(_score, model), parts, workers_on(model.device))
    rates, misfits = zip(*scored, strict=True)
    return Scores(torch.cat(rates), torch.cat(misfits))


def _score(model: SuperResolver, y: Tensor) -> Scores:
    rate, off = model.evidence(y)
    misfit = 255 * off.square().mean((1, 2, 3)).sqrt()
    # Far from all that it knows, an encoder's numbers overflow: there is nothing less likely.
    return Scores(rate.cpu().nan_to_num(nan=math.inf), misfit.cpu())


def score_repaired(model: SuperResolver, y: Tensor) -> Scores:
    """Scores of an image ``(3, h, w)`` and, behind it, of all its repairs."""
    return score(
        model,
        torch.cat([y[None], *(r.apply(y[None]) for r in repairs(model.lr_size).values())]),
    )


class Findings(NamedTuple):
    """What is measured of an image before anything is judged.

    Attributes:
        gains: As in `Examination`.
        statistics: The larger, the more doubtful.
    """

    gains: dict[str, float]
    statistics: dict[str, float]


def findings(y: Tensor, scores: Scores, expected: Expected) -> Findings:
    """The statistics of an image: `of_repairs`, and `cvdvae.input_check.jpeg.traces`.

    Args:
        y: The image, ``(3, h, w)``.
        scores: Of `score_repaired`.
        expected: What is expected of proper images.
    """
    found = of_repairs(scores.cost(y.numel(), expected.misfit), y.shape[1], expected)
    return found._replace(statistics=found.statistics | jpeg.traces(y))


def of_repairs(cost: Tensor, size: int, expected: Expected) -> Findings:
    """What the repairs of an image tell.

    - ``turned, shifted, zoomed, too sharp, too soft``: the largest gain of a repair of that family
      beyond its expected one; noise is sharp, too;
    - ``unframed``: the mean gain of turns and shifts, beyond what is expected at that cost: where
      little is to be seen in y, a proper image still loses;
    - ``unlikely``: the bound on −log p(y).

    Args:
        cost: Bounds on −log p of the image and of all its repairs, ``(1 + R,)``.
        size: Side of the image.
        expected: What is expected of proper images; without gains, as when they are being found,
            only the gains are right.
    """
    known = repairs(size)
    gains = dict(zip(known, (cost[0] - cost[1:]).tolist(), strict=True))
    statistics: dict[str, float] = {}
    for name, repair in known.items():
        if name != "smooth colours":
            beyond = gains[name] - expected.gains.get(name, 0.0)
            statistics[repair.family] = max(statistics.get(repair.family, -math.inf), beyond)
    framing = [gains[name] for name, r in known.items() if r.family in FRAMING]
    statistics["unframed"] = fmean(framing) - expected.slope * math.log(max(1.0, float(cost[0])))
    statistics["unlikely"] = float(cost[0])
    return Findings(gains, statistics)


def examine(model: SuperResolver, y: Tensor) -> Examination:
    """Say whether an image is one that the model knows.

    Args:
        model: The model; without `SuperResolver.expected` nothing is doubted.
        y: The image, ``(3, h, w)`` or ``(1, 3, h, w)``, float in [0, 1].

    Raises:
        InputError: y is no image that the model takes.

    Example:
        >>> from cvdvae import load
        >>> noise = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> examine(load("celeba64-x8"), noise).doubts[0].reason
        'noisy'
    """
    y = model.check(y)[0]
    with in_own_modes(model.device):
        return _examined(model, y)


def _examined(model: SuperResolver, y: Tensor) -> Examination:
    expected = model.expected
    if expected is None:
        rate, misfit = score(model, y[None])
        return Examination(float(rate), float(misfit))
    scores = score_repaired(model, y)
    found = findings(y, scores, expected)
    excess = excess_of(found.statistics, expected)
    doubted = {name for name, value in excess.items() if value > 1}
    doubts = []
    if doubted & {"lattice", "subsampled"}:
        # Compression itself smooths and roughens, and moves everything else a little.
        doubted = {name for name in doubted if excess[name] > BESIDE_JPEG}
        doubted -= {"lattice", "subsampled", "too sharp", "too soft"}
        doubts.append(_JPEG)
    # Zooms also smooth, and every defect makes an image unlikely: these two tell the least.
    telling = doubted - {"zoomed", "unlikely"} or doubted
    if telling:
        strongest = max(sorted(telling), key=excess.__getitem__)
        if strongest == "too soft":
            doubts.append(_SOFT)
        elif strongest == "too sharp":
            noise = found.gains["smooth colours"] >= COLOURED * found.gains["smooth"]
            doubts.append(_NOISE if noise else _SHARP)
        else:
            families = ("zoomed",) if strongest == "zoomed" else ("turned", "shifted")
            doubts.append(_framing(model, y, found.gains, expected, families))
    return Examination(float(scores.rate[0]), float(scores.misfit[0]), found.gains, excess, doubts)


def excess_of(statistics: dict[str, float], expected: Expected) -> dict[str, float]:
    """Every statistic that was fitted, on the scale of `Examination.excess`."""
    return {
        name: (value - expected.typical[name])
        / max(limit - expected.typical[name], torch.finfo(torch.float32).tiny)
        for name, value in statistics.items()
        if (limit := expected.limits.get(name)) is not None
    }


def _framing(
    model: SuperResolver,
    y: Tensor,
    gains: dict[str, float],
    expected: Expected,
    families: tuple[str, ...],
) -> Doubt:
    """Name the repair that gains most, if what it makes is framed as the model knows it."""
    known = {k: r for k, r in repairs(model.lr_size).items() if r.family in families}
    best = max(known, key=lambda name: gains[name] - expected.gains.get(name, 0.0))
    repaired = known[best].apply(y[None])[0]
    again = findings(repaired, score_repaired(model, repaired), expected)
    left = excess_of(again.statistics, expected)
    cured = all(left.get(name, 0) <= 1 for name in ("turned", "shifted", "unframed"))
    if gains[best] <= 0 or not cured:
        return _UNKNOWN
    return Doubt(known[best].family, known[best].complaint, known[best].advice)


_ORIGINAL = "If there is a larger original, have that shrunk here."
_JPEG = Doubt("jpeg", "It bears the traces of JPEG compression.", _ORIGINAL)
_NOISE = Doubt("noisy", "It is noisier than the images that the model knows.", _ORIGINAL)
_SHARP = Doubt(
    "too sharp",
    "It is harsher than the images that the model knows: its pixels were picked, not averaged.",
    _ORIGINAL,
)
_SOFT = Doubt(
    "too soft",
    "It is softer than the images that the model knows: blurred, or shrunk by another filter.",
    _ORIGINAL,
)
_UNKNOWN = Doubt(
    "not a face",
    "It does not look like a face, framed as the model knows them.",
    "Cut a square around an upright face, or have a photo framed and shrunk here.",
)
