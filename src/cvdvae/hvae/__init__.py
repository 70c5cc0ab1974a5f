"""The prior: hierarchical VAEs from a plain VAE to VD-VAE."""

from ..gaussian import DiagonalGaussian
from ..gaussian.noise import GlobalNoise, Noise, SeededNoise
from .config import HVAEConfig
from .likelihood import DiscretizedLogisticMixture
from .model import ELBO, HVAE, bits_per_dim

__all__ = [
    "ELBO",
    "HVAE",
    "DiagonalGaussian",
    "DiscretizedLogisticMixture",
    "GlobalNoise",
    "HVAEConfig",
    "Noise",
    "SeededNoise",
    "bits_per_dim",
]
