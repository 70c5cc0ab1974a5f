"""How much the samples of one image differ from each other."""

import torch
from torch import Tensor

from ..errors import InputError
from .perceptual import LPIPS

PAIRS = 32
"""Pairs that are compared at once."""


def pairs(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Both members of every pair of samples, ``(N (N − 1) / 2, …)`` each.

    Raises:
        InputError: There is only one sample.
    """
    if len(samples) < 2:
        raise InputError("the distance between samples needs at least two of them")
    i, j = torch.triu_indices(len(samples), len(samples), offset=1)
    return samples[i], samples[j]


def apd_mse(samples: Tensor) -> float:
    """Average pairwise distance: the mean squared difference of two samples in [0, 1]."""
    one, other = pairs(samples)
    return float((one.double() - other.double()).square().mean())


def apd_lpips(samples: Tensor, lpips: LPIPS) -> float:
    """Average pairwise distance: the mean LPIPS of two samples in [0, 1]."""
    one, other = pairs(samples)
    parts = zip(one.split(PAIRS), other.split(PAIRS), strict=True)
    return float(torch.cat([lpips.distances(a, b) for a, b in parts]).mean())


def ntire_diversity(maps: Tensor) -> float:
    """Diversity score of the NTIRE 2021 challenge on the super-resolution space, in percent.

    ``100 (G − B) / G`` with ``G = min_i mean_p L_i(p)`` and ``B = mean_p min_i L_i(p)``: how much
    better the best sample at every pixel is than the best sample as a whole.

    Args:
        maps: LPIPS maps ``L_i(p)`` of the samples against the truth, ``(N, H, W)``.

    Raises:
        InputError: There is only one sample.
    """
    if len(maps) < 2:
        raise InputError("the diversity score needs at least two samples")
    best_whole = maps.mean((1, 2)).min()
    best_everywhere = maps.min(0).values.mean()
    return float(100 * (best_whole - best_everywhere) / best_whole)
