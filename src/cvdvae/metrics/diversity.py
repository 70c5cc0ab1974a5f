"""How much the samples of one image differ from each other."""

import math

import torch
from torch import Tensor

from .calibration import at_least_two
from .perceptual import LPIPS

PAIRS = 32
"""Pairs that are compared at once."""


def apd_mse(samples: Tensor) -> float:
    """Average pairwise distance: the mean squared difference of two samples in [0, 1].

    That is twice the variance over the samples (with N − 1), and needs no pairs.

    Raises:
        InputError: There is only one sample.
    """
    at_least_two(samples, "the distance between samples")
    mean = sum(one.double() for one in samples) / len(samples)
    squares = [float((one.double() - mean).square().mean()) for one in samples]
    return 2 * math.fsum(squares) / (len(samples) - 1)


def apd_lpips(samples: Tensor, lpips: LPIPS) -> float:
    """Average pairwise distance: the mean LPIPS of two samples in [0, 1].

    Raises:
        InputError: There is only one sample.
    """
    at_least_two(samples, "the distance between samples")
    one, other = torch.triu_indices(len(samples), len(samples), offset=1)
    parts = zip(one.split(PAIRS), other.split(PAIRS), strict=True)
    return float(torch.cat([lpips.distances(samples[i], samples[j]) for i, j in parts]).mean())


def ntire_diversity(maps: Tensor) -> float:
    """Diversity score of the NTIRE 2021 challenge on the super-resolution space, in percent.

    ``100 (G − B) / G`` with ``G = min_i mean_p L_i(p)`` and ``B = mean_p min_i L_i(p)``: how much
    better the best sample at every pixel is than the best sample as a whole; 0 where that is the
    truth itself.

    Args:
        maps: LPIPS maps ``L_i(p)`` of the samples against the truth, ``(N, H, W)``.

    Raises:
        InputError: There is only one sample.
    """
    at_least_two(maps, "the diversity score")
    best_whole = maps.mean((1, 2)).min()
    best_everywhere = maps.min(0).values.mean()
    return float(100 * (best_whole - best_everywhere) / best_whole) if best_whole > 0 else 0.0
