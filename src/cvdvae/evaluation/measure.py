"""All measures of the samples of one image.

A new one is a `Metric`, added to `METRICS`: `cvdvae evaluate` then has a column more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..degradations.base import Degradation, cut_as
from ..errors import InputError, WeightsError
from ..imaging.io import to_bytes
from ..imaging.values import exact_values
from ..metrics.calibration import crps, energy_score
from ..metrics.distortion import BORDER, psnr, ssim
from ..metrics.diversity import apd_lpips, apd_mse, ntire_diversity
from ..metrics.perceptual import BRISQUE, LPIPS, unseen
from ..restoration.finish import Finished
from ..restoration.restoring import Seen as What
from ..restoration.tolerance import NO_NOISE, NoiseLevel, misfit, within_noise

Scores = dict[str, float | None]
"""Measures of one image by name; None where a measure does not apply or is infinite. Beside them
the `SHAPE` of the true image."""
SHAPE = ("channels", "height", "width")
EXACT = 130.0
"""dB from which on an LR-PSNR is that of the rounding of float32 alone."""
SSIM_LEAST = 2 * BORDER + 1
"""Side of the smallest images that it has a value for."""


@dataclass
class Judges:
    """The measures that need weights of their own, where those are at hand.

    Attributes:
        lpips: LPIPS.
        brisque: BRISQUE.
        missing: What is not there, and why, by column.
    """

    lpips: LPIPS | None
    brisque: BRISQUE | None
    missing: dict[str, str]

    @classmethod
    def load(cls, alexnet: Path | None) -> "Judges":
        """Load what can be loaded.

        Args:
            alexnet: Local file of AlexNet's features; torchvision's own weights by default.

        Raises:
            WeightsError: `alexnet` is given and cannot be used.
        """
        missing: dict[str, str] = {}
        lpips = brisque = None
        try:
            lpips = LPIPS(alexnet)
        except WeightsError as error:
            if alexnet is not None:
                raise
            missing["LPIPS"] = f"{error}, with --lpips"
        except ImportError:
            missing["LPIPS"] = "the package lpips is not installed: pip install 'cvdvae[eval]'"
        try:
            brisque = BRISQUE()
        except ImportError:
            missing["BRISQUE"] = "the package brisque is not installed: pip install 'cvdvae[eval]'"
        return cls(lpips, brisque, missing)


@dataclass
class Seen:
    """The samples of one image, and what measures need of them.

    Attributes:
        finished: The samples; those that exploded are left out of what follows.
        y: What was seen: the low-resolution image, ``(C, h, w)`` in [0, 1], of 8-bit values, or
            whatever H has left.
        truth: The true image, ``(C, H, W)``, in [0, 1].
        degradation: H.
        judges: The measures with weights.
        noise: In y; nought where a sample should give y back.

    Raises:
        InputError: All samples exploded.
    """

    finished: Finished
    y: Tensor
    truth: Tensor
    degradation: Degradation
    judges: Judges
    noise: NoiseLevel = NO_NOISE

    def __post_init__(self) -> None:
        if bool(self.finished.exploded.all()):
            raise InputError(EXPLODED)

    @cached_property
    def samples(self) -> Tensor:
        """Float, ``(n, C, H, W)`` in [0, 1]."""
        return self.finished.answers

    @cached_property
    def pixels(self) -> Tensor:
        """As saved, uint8."""
        return self.finished.pixels[~self.finished.exploded]

    @cached_property
    def saved(self) -> Tensor:
        """As saved, in [0, 1]."""
        return self.pixels.float() / 255

    @cached_property
    def shrunk(self) -> Tensor:
        """H of what is saved, float64 ``(n, C, h, w)``, or as y has it."""
        return self.degradation.A(self.pixels.double() / 255)

    @cached_property
    def lr_psnr(self) -> Tensor:
        """LR-PSNR of every saved sample; infinite where Hx is y without any error."""
        return psnr(cut_as(self.y, self.shrunk), exact_values(self.y))

    @cached_property
    def measured(self) -> int:
        """How many values of y say anything of x."""
        return What(self.y[None], self.degradation, self.noise.sigma).count

    @cached_property
    def misfit(self) -> Tensor:
        """Of every saved sample; see `cvdvae.restoration.tolerance.misfit`."""
        error = cut_as(self.y, self.shrunk, self.noise.sigma) - self.y
        return misfit(error, self.measured, self.noise.sigma)

    @cached_property
    def lpips_maps(self) -> Tensor:
        """LPIPS at every pixel."""
        assert self.judges.lpips is not None
        return self.judges.lpips.maps(self.saved, self.truth)


@dataclass(frozen=True)
class Column:
    """One measure in a table.

    Attributes:
        key: Its name in the records.
        title: Its name in the table, with an arrow to where better is.
        factor: What it is multiplied by before it is shown.
        digits: After the point.
        needs: Column of `Judges.missing` that explains why it may be empty.
        most: Values from here on are equal where the best are marked.
        unbounded: What is missing may be infinite.
    """

    key: str
    title: str
    factor: float = 1.0
    digits: int = 2
    needs: str = ""
    most: float = math.inf
    unbounded: bool = False

    @property
    def name(self) -> str:
        """The title without its arrow."""
        return self.title.rstrip(" ↑↓")

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is, as the title's arrow says; 0 without one."""
        return {"↑": 1, "↓": -1}.get(self.title[-1:], 0)


@dataclass(frozen=True)
class Metric:
    """A measure of the samples of one image.

    Attributes:
        column: What it is called, and how it is shown.
        of: Its value; None, or not finite, where it does not apply.
        samples: How many it needs at least.
    """

    column: Column
    of: Callable[[Seen], float | None]
    samples: int = 1


METRICS: dict[str, Metric] = {}
"""All measures by key, in the order of the table; a new one is `add`-ed."""


def add(metric: Metric) -> Metric:
    """Make a measure known by its key."""
    METRICS[metric.column.key] = metric
    return metric


def columns() -> list[Column]:
    """Those of all measures."""
    return [metric.column for metric in METRICS.values()]


def measure(
    finished: Finished,
    y: Tensor,
    truth: Tensor,
    degradation: Degradation,
    judges: Judges,
    noise: NoiseLevel = NO_NOISE,
) -> Scores:
    """Measure the samples of one image by all of `METRICS`; the arguments are those of `Seen`.

    Why LPIPS has nothing to say is noted in `Judges.missing`, for those who keep no records.

    Raises:
        InputError: All samples exploded.
    """
    seen = Seen(finished, y, truth, degradation, judges, noise)
    if judges.lpips is not None and (why := unseen(*truth.shape)):
        judges.missing.setdefault("LPIPS", why)
        seen.judges = replace(judges, lpips=None)
    scores: Scores = dict(zip(SHAPE, truth.shape, strict=True))
    for key, metric in METRICS.items():
        needs = metric.column.needs.lower()
        known = not needs or getattr(seen.judges, needs) is not None
        value = metric.of(seen) if known and len(seen.samples) >= metric.samples else None
        scores[key] = value if value is not None and math.isfinite(value) else None
    return scores


EXPLODED = "every sample exploded: no value is near an image's"
"""What is said of an image none of whose samples is one."""


def measures_of_none() -> Scores:
    """The measures of an image all of whose samples exploded: their share, and nothing else."""
    return {**dict.fromkeys(METRICS), "exploded": 100.0}


def are_of_none(scores: Scores) -> bool:
    """Whether these are such."""
    return scores.get("exploded") == 100


def _ssim(seen: Seen) -> float | None:
    small = min(seen.truth.shape[1:]) < SSIM_LEAST
    return None if small else float(ssim(seen.saved, seen.truth).mean())


def _lpips(seen: Seen) -> float:
    assert seen.judges.lpips is not None
    return float(seen.judges.lpips.distances(seen.saved, seen.truth).mean())


def _apd_lpips(seen: Seen) -> float:
    assert seen.judges.lpips is not None
    return apd_lpips(seen.saved, seen.judges.lpips)


def _brisque(seen: Seen) -> float | None:
    assert seen.judges.brisque is not None
    return _mean_of_finite(seen.judges.brisque(seen.pixels))


def _lr_psnr_float(seen: Seen) -> float | None:
    if seen.noise.sigma:
        return None
    shrunk = cut_as(seen.y, seen.degradation.A(seen.samples.double()))
    return _mean_of_finite(psnr(shrunk, exact_values(seen.y)))


def _lr_psnr(seen: Seen) -> float | None:
    return None if seen.noise.sigma else _mean_of_finite(seen.lr_psnr)


def _lr_psnr_worst(seen: Seen) -> float | None:
    finite = [] if seen.noise.sigma else [float(one) for one in seen.lr_psnr if one.isfinite()]
    return min(finite, default=None)


def _exact(seen: Seen) -> float | None:
    if seen.noise.sigma:
        return None
    exact = [torch.equal(to_bytes(one), to_bytes(seen.y)) for one in seen.shrunk]
    return 100 * sum(exact) / len(exact)


def _misfit(seen: Seen) -> float | None:
    return float(seen.misfit.mean()) if seen.noise.sigma else None


def _explained(seen: Seen) -> float | None:
    if not seen.noise.sigma:
        return None
    return 100 * float(within_noise(seen.misfit, seen.measured, seen.noise.spread).float().mean())


def _mean_of_finite(values: Tensor) -> float | None:
    finite = values[values.isfinite()]
    return float(finite.mean()) if len(finite) else None


for _metric in (
    Metric(
        Column("psnr", "PSNR ↑", unbounded=True), lambda s: _mean_of_finite(psnr(s.saved, s.truth))
    ),
    Metric(
        Column("psnr_of_mean", "PSNR of mean ↑", unbounded=True),
        lambda s: float(psnr(s.samples.mean(0)[None], s.truth)),
    ),
    Metric(Column("ssim", "SSIM ↑", digits=3), _ssim),
    Metric(Column("lpips", "LPIPS ↓", digits=3, needs="LPIPS"), _lpips),
    Metric(Column("brisque", "BRISQUE ↓", needs="BRISQUE"), _brisque),
    Metric(
        Column("lr_psnr_float", "LR-PSNR, float ↑", digits=1, most=EXACT, unbounded=True),
        _lr_psnr_float,
    ),
    Metric(Column("lr_psnr", "LR-PSNR, saved ↑", digits=1, unbounded=True), _lr_psnr),
    Metric(Column("lr_psnr_worst", "worst ↑", digits=1, unbounded=True), _lr_psnr_worst),
    Metric(Column("exact", "exact, % ↑", digits=1), _exact),
    Metric(Column("misfit", "misfit, 1 is true"), _misfit),
    Metric(Column("explained", "explain y, % ↑", digits=1), _explained),
    Metric(
        Column("exploded", "exploded, % ↓", digits=1),
        lambda s: 100 * float(s.finished.exploded.float().mean()),
    ),
    Metric(Column("apd_mse", "APD MSE ×10⁴ ↑", 1e4, 1), lambda s: apd_mse(s.samples), 2),
    Metric(Column("apd_lpips", "APD LPIPS ×10³ ↑", 1e3, 1, "LPIPS"), _apd_lpips, 2),
    Metric(
        Column("ntire_diversity", "diversity, % ↑", digits=1, needs="LPIPS"),
        lambda s: ntire_diversity(s.lpips_maps),
        2,
    ),
    Metric(Column("crps", "CRPS ×10³ ↓", 1e3, 1), lambda s: crps(s.samples, s.truth), 2),
    Metric(
        Column("energy_score", "energy ×10³ ↓", 1e3, 1),
        lambda s: energy_score(s.samples, s.truth),
        2,
    ),
):
    add(_metric)
