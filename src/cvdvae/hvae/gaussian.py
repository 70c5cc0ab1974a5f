"""Diagonal Gaussians and the noise they are sampled with."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

MAX_LOG_STD = 4.0
"""Bound on what a network may say: without it, one state off the beaten track gives a huge z, which
gives a state still further off, until the numbers overflow."""


class Noise(Protocol):
    """A source of random numbers in the shape, dtype and device of another tensor."""

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1)."""

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(0, 1), kept away from both ends by 1e-5."""


class GlobalNoise:
    """PyTorch's global generator: for training, where nobody asks which sample drew what.

    Args:
        rank: This process of those that share a batch: it holds the rows ``rank, rank + world_size,
            …`` of it, and takes the same rows of the noise.
        world_size: Number of such processes; with the same seed they draw what one would.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank, self.world_size = rank, world_size

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1)."""
        return self._own(torch.randn(self._shape(like), dtype=like.dtype, device=like.device))

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5)."""
        values = torch.rand(self._shape(like), dtype=like.dtype, device=like.device)
        return self._own(values).mul_(1 - 2e-5).add_(1e-5)

    def _shape(self, like: Tensor) -> tuple[int, ...]:
        return (self.world_size * len(like), *like.shape[1:])

    def _own(self, values: Tensor) -> Tensor:
        return values[self.rank :: self.world_size]


class SeededNoise:
    """One generator per sample, so that a sample does not depend on the batch it is drawn in.

    The numbers are drawn on the CPU and then moved, so they are the same on every device.

    Args:
        seed: Seed of the whole set of samples, not negative.
        indices: Which samples of that set the batch holds: element n draws from a generator of its
            own, made from ``(seed, indices[n])``.

    Example:
        >>> like = torch.empty(2, 3)
        >>> both = SeededNoise(0, [0, 1]).normal(like)
        >>> torch.equal(both[1:], SeededNoise(0, [1]).normal(like[:1]))
        True
    """

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        self.generators = [
            torch.Generator().manual_seed(
                int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> 1)
            )
            for i in indices
        ]

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1); `like` has one row for every index."""
        shape = like.shape[1:]
        rows = [torch.randn(shape, generator=g) for g in self.generators]
        return torch.stack(rows).to(like)

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5); `like` has one row for every index."""
        shape = like.shape[1:]
        rows = [torch.rand(shape, generator=g) for g in self.generators]
        return torch.stack(rows).mul_(1 - 2e-5).add_(1e-5).to(like)


class DiagonalGaussian(NamedTuple):
    """``N(mean, diag(exp(log_std))²)``, one per element of the batch.

    Attributes:
        mean: Means, ``(N, C, H, W)``.
        log_std: Natural logarithms of the standard deviations, ``(N, C, H, W)``.
    """

    mean: Tensor
    log_std: Tensor

    @classmethod
    def from_channels(cls, statistics: Tensor) -> "DiagonalGaussian":
        """Split ``(N, 2C, H, W)``: means, then log standard deviations, at most `MAX_LOG_STD`.

        In float32 whatever the network computes in: a KL is a small difference of large terms.
        """
        mean, log_std = statistics.float().chunk(2, dim=1)
        return cls(mean, log_std.clamp(max=MAX_LOG_STD))

    def relative_to(self, base: "DiagonalGaussian") -> "DiagonalGaussian":
        """Read self as differences to `base`: its mean is in standard deviations of `base`.

        ``N(μ_b + σ_b μ, (σ_b σ)²)``; ``mean = log_std = 0`` is `base` itself.
        """
        mean = base.mean + base.log_std.exp() * self.mean
        return DiagonalGaussian(mean, base.log_std + self.log_std)

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """``mean + temperature · std · ε``; ε is drawn at temperature 0 too, so that what comes
        after it is the same at every temperature."""
        epsilon = noise.normal(self.mean)
        if temperature == 0:
            return self.mean
        return self.mean + temperature * self.log_std.exp() * epsilon

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z in nats, summed over all but the batch: ``(N,)``."""
        standardized = (z - self.mean) * torch.exp(-self.log_std)
        terms = -0.5 * standardized**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        return terms.flatten(1).sum(1)

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """``KL(self ‖ other)`` in nats, summed over all but the batch: ``(N,)``.

        ``log σ_p − log σ_q + (σ_q² + (μ_q − μ_p)²) / 2σ_p² − 1/2`` per dimension.
        """
        ratio = torch.exp(2 * (self.log_std - other.log_std))
        shift = (self.mean - other.mean) * torch.exp(-other.log_std)
        terms = other.log_std - self.log_std + 0.5 * (ratio + shift**2 - 1)
        return terms.flatten(1).sum(1)
