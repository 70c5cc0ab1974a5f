"""Have the chains mixed? Split-R̂ and effective sample size of a scalar.

Gelman et al. 2013 (Bayesian Data Analysis, 11.4 and 11.5), with Geyer's initial monotone sequence
(1992). Both halves of a chain count as chains of their own, so that one that drifts is seen.
"""

import math

import torch
from torch import Tensor

FEWEST = 4
"""Values of a chain below which nothing can be said."""


def split_r_hat(values: Tensor) -> float:
    """``√(V / W)``: what is expected of the spread of all chains, over that within one of them.

    1 where they have mixed; above 1.01 they have not, or are too short to tell.

    Args:
        values: One row a chain, ``(chains, draws)``.

    Returns:
        Infinite where no chain moved; NaN without a chain, for fewer than 4 draws, or where all
        values are equal.
    """
    if not len(values) or values.shape[1] < FEWEST:
        return float("nan")
    within, total = _variances(_halves(values))
    return float((total / within).sqrt())


def effective_sample_size(values: Tensor) -> float:
    """How many independent draws would tell as much of the mean: ``m n / τ`` of m chains of n.

    ``τ = −1 + 2 Σ_t (ρ_2t + ρ_2t+1)``, as long as the sums of two neighbours are positive, and none
    larger than the one before; at least ``1 / log₁₀(m n)``, as Stan has it, since few draws may say
    anything.

    Args:
        values: One row a chain, ``(chains, draws)``.

    Returns:
        NaN without a chain, for fewer than 4 draws, or where they show no time in which a chain
        forgets: none moved, or each goes to and fro.
    """
    if not len(values) or values.shape[1] < FEWEST:
        return float("nan")
    halves = _halves(values)
    count, draws = halves.shape
    within, total = _variances(halves)
    if not within:
        return float("nan")
    centred = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * draws)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * draws)[:, :draws].mean(0) / draws
    correlation = 1 - (within - covariance * draws / (draws - 1)) / total
    pairs = correlation[: draws - draws % 2].view(-1, 2).sum(1)
    positive = int((pairs > 0).long().cumprod(0).sum())
    if not positive:
        return float("nan")
    tau = float(-1 + 2 * pairs[:positive].cummin(0).values.sum())
    return count * draws / max(tau, 1 / math.log10(count * draws))


def _halves(values: Tensor) -> Tensor:
    half = values.shape[1] // 2
    return torch.cat([values[:, :half], values[:, -half:]]).double()


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """W, the variance within a chain, and V = (n − 1)/n W + B/n, that of all."""
    draws = chains.shape[1]
    within = (chains - chains[:, :1]).var(1).mean()  # 0, without round-off, where none moves
    return within, within * (draws - 1) / draws + chains.mean(1).var()
