"""Training with Lightning: `pip install cvdvae[train]`."""

from dataclasses import replace
from pathlib import Path

from ..configs import load_yaml
from .config import OptimConfig, PriorTraining

__all__ = ["OptimConfig", "PriorTraining", "train_prior"]


def train_prior(config: Path, out: Path, data: Path | None = None) -> None:
    """Train a prior as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .prior import PriorModule
    from .run import TrainingData, fit

    settings = load_yaml(PriorTraining, config)
    if data is not None:
        settings = replace(settings, data=replace(settings.data, folder=str(data)))
    images = TrainingData(settings.data, settings.optim, settings.model.image_size)
    fit(PriorModule(settings, out), images)
