"""Whether the spread of the samples can be believed: the truth should look like one of them.

Explained in docs/explanation/calibration.md.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import InputError

LEVELS = (0.5, 0.8, 0.9)
"""Central intervals whose coverage is reported."""
SAME = 1e-6
"""Values of [0, 1] that are nearer than this are equal: what float32 keeps of them."""


def at_least_two(samples: Tensor, score: str) -> None:
    """Refuse a single sample where a score compares samples with each other.

    Raises:
        InputError: There is no other.
    """
    if len(samples) < 2:
        raise InputError(f"{score} needs at least two samples")


def crps(samples: Tensor, truth: Tensor) -> float:
    """Continuous ranked probability score, mean over all values; lower is better.

    ``E|X − t| − ½ E|X − X'|`` for every value, the second term over pairs of different samples, so
    that the expectation does not depend on their number (Ferro 2014).

    Args:
        samples: ``(N, C, H, W)``.
        truth: ``(C, H, W)``.

    Returns:
        In the unit of the values.

    Raises:
        InputError: There is only one sample.
    """
    at_least_two(samples, "the CRPS")
    n = len(samples)
    ordered = samples.double().sort(0).values
    # Σ_{i<j} (x_(j) − x_(i)) = Σ_i (2i − n + 1) x_(i)
    weights = 2 * torch.arange(n, dtype=torch.float64, device=samples.device) - n + 1
    spread = (weights.view(-1, 1, 1, 1) * ordered).sum(0) / (n * (n - 1) / 2)
    return float(((samples.double() - truth.double()).abs().mean(0) - spread / 2).mean())


def energy_score(samples: Tensor, truth: Tensor) -> float:
    """Energy score of whole images, ``E‖X − t‖ − ½ E‖X − X'‖``; lower is better.

    Norms are divided by the square root of the number of values, so that sizes compare; the second
    term is over pairs of different samples (Gneiting & Raftery 2007).

    Args:
        samples: ``(N, C, H, W)``.
        truth: ``(C, H, W)``.

    Returns:
        In the unit of the values.

    Raises:
        InputError: There is only one sample.
    """
    at_least_two(samples, "the energy score")
    flat, target = samples.double().flatten(1), truth.double().flatten()
    root = flat.shape[1] ** 0.5
    n = len(flat)
    # By differences: products would cancel where samples are nearly the same.
    pairs = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    between = pairs.sum() / (n * (n - 1))
    return float(((flat - target).norm(dim=1).mean() - between / 2) / root)


def uncertain(samples: Tensor, truth: Tensor) -> Tensor:
    """Where samples differ, or miss the truth: the other values are known, and have no interval.

    Whichever of the N + 1 images is called the truth, the same values are left out. So those that
    remain have uniform ranks, too, where all have; leaving out all on which samples agree would
    leave out the misses of a model that is certain and wrong.

    Args:
        samples: ``(N, C, H, W)``.
        truth: ``(C, H, W)``.

    Returns:
        ``(C, H, W)``, bool.
    """
    return ((samples - truth).abs() > SAME).any(0)


@dataclass
class Ranks:
    """Ranks of the true values among the samples, counted over images and colours at every pixel.

    Were the truth one more draw from the same distribution, all ranks would be equally frequent.

    Attributes:
        counts: How often the truth had rank 0 … N (so many samples below it), ``(N + 1, H, W)``.
        by_image: The same of every image as a whole, ``(N + 1,)`` each.
    """

    counts: Tensor
    by_image: list[Tensor] = field(default_factory=list)

    @classmethod
    def empty(cls, samples: int, height: int, width: int) -> "Ranks":
        """No image yet."""
        return cls(torch.zeros(samples + 1, height, width, dtype=torch.float64))

    def add(self, samples: Tensor, truth: Tensor, counted: Tensor | None = None) -> None:
        """Count one image; a truth that equals samples shares its count among their ranks.

        Args:
            samples: ``(N, C, H, W)``.
            truth: ``(C, H, W)``.
            counted: Which values count, ``(C, H, W)`` bool; all by default.
        """
        below = (samples < truth).sum(0)
        equal = (samples == truth).sum(0)
        ranks = torch.arange(len(self.counts), device=samples.device).view(-1, 1, 1, 1)
        within = (ranks >= below) & (ranks <= below + equal)
        shares = within / (equal + 1)
        if counted is not None:
            shares = shares * counted
        counts = shares.sum(1).to(self.counts)
        self.counts += counts
        self.by_image.append(counts.sum((1, 2)))

    def histogram(self) -> Tensor:
        """Frequency of every rank, ``(N + 1,)``; uniform if calibrated, NaN of no value."""
        total = self.counts.sum((1, 2))
        return total / total.sum()

    def reliability(self) -> tuple[Tensor, Tensor]:
        """Nominal and observed coverage of the central intervals between order statistics."""
        return _reliability(self.histogram())

    def coverage(self, level: float) -> float | None:
        """Observed coverage of the central interval of a nominal level, between those at hand.

        None beyond the widest interval that N samples have, ``(N − 1) / (N + 1)``, and of no value.
        """
        return _at(level, *self.reliability())

    def coverage_error(self, level: float) -> float | None:
        """Standard error of `coverage`, over images: the values of one image hang together.

        That of a ratio of two sums over images (Cochran 1977): its residuals are what an image
        covers more than its share. None where there is no coverage, or a single image.
        """
        coverage, weights = self.coverage(level), [float(h.sum()) for h in self.by_image]
        counted = [(h / w, w) for h, w in zip(self.by_image, weights, strict=True) if w]
        n = len(counted)
        if coverage is None or n < 2:
            return None
        covered = ((_at(level, *_reliability(h)) or 0.0, w) for h, w in counted)
        residuals = math.fsum((w * (one - coverage)) ** 2 for one, w in covered)
        return math.sqrt(n / (n - 1) * residuals) / math.fsum(weights)

    def coverage_map(self, level: float, cells: int) -> list[list[float | None]]:
        """Observed coverage in a grid of ``cells × cells`` regions; None where no value counts."""
        rows = self.counts.tensor_split(cells, dim=1)
        grid = [[part.sum((1, 2)) for part in row.tensor_split(cells, dim=2)] for row in rows]
        return [[_at(level, *_reliability(c / c.sum())) for c in r] for r in grid]


def _reliability(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """Nominal and observed coverage, leaving out d ranks at either end, d from many to 1.

    Leaving out none holds the truth always, and says nothing.
    """
    bins = len(histogram)
    drop = [d for d in range(bins // 2, 0, -1) if bins > 2 * d]
    nominal = [(bins - 2 * d) / bins for d in drop]
    observed = [float(histogram[d : bins - d].sum()) for d in drop]
    return torch.tensor([0.0, *nominal]), torch.tensor([0.0, *observed])


def _at(level: float, nominal: Tensor, observed: Tensor) -> float | None:
    """Linear interpolation; None beyond the last point, and where nothing is observed."""
    if level > float(nominal[-1]) + 1e-6 or bool(observed.isnan().any()):
        return None
    upper = int(torch.searchsorted(nominal, torch.tensor(level - 1e-6)).clamp(1))
    low, high = float(nominal[upper - 1]), float(nominal[upper])
    share = (level - low) / (high - low)
    return float(observed[upper - 1] * (1 - share) + observed[upper] * share)


def sparsification(std: Tensor, error: Tensor, steps: int = 20) -> tuple[Tensor, Tensor]:
    """Error of what remains when the most uncertain pixels are left out, and the best possible.

    Args:
        std: Standard deviation of the samples, ``(H, W)``.
        error: Squared error of their mean, ``(H, W)``.
        steps: How many fractions 0, 1/steps, … are left out.

    Returns:
        Root mean squared error of the remaining pixels, leaving out by `std` and by `error`
        itself, ``(steps,)`` each, relative to leaving out nothing. Of pixels as uncertain as each
        other none goes first: their errors count with the mean of all of them.
    """
    error = error.flatten().double()
    keep = [max(1, round(len(error) * (1 - i / steps))) for i in range(steps)]

    def curve(by: Tensor) -> Tensor:
        _, which, counts = by.flatten().unique(return_inverse=True, return_counts=True)
        alike = error.new_zeros(len(counts)).index_add_(0, which, error) / counts
        ordered = alike.repeat_interleave(counts)
        whole = error.mean().sqrt()
        left = torch.stack([ordered[:k].mean().sqrt() for k in keep])
        return left / whole if whole > 0 else torch.ones_like(left)

    return curve(std), curve(error)
