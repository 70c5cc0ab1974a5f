"""Training with Lightning: `pip install cvdvae[train]`."""

from dataclasses import replace
from pathlib import Path

from ..configs import load_yaml
from ..data.folder import DataConfig
from .config import EncoderTraining, FlowTraining, OptimConfig, PriorTraining

__all__ = [
    "EncoderTraining",
    "FlowTraining",
    "OptimConfig",
    "PriorTraining",
    "train_encoder",
    "train_flow",
    "train_prior",
]


def train_prior(config: Path, out: Path, data: Path | None = None) -> None:
    """Train a prior as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .prior import PriorModule
    from .run import TrainingData, fit

    settings = load_yaml(PriorTraining, config)
    settings = replace(settings, data=_from_folder(settings.data, data))
    images = TrainingData(settings.data, settings.optim, settings.model.image_size)
    fit(PriorModule(settings, out), images)


def train_encoder(
    config: Path, out: Path, data: Path | None = None, prior: str | None = None
) -> None:
    """Train an LR encoder as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .encoder import EncoderModule
    from .run import TrainingData, fit

    settings = load_yaml(EncoderTraining, config)
    settings = replace(settings, data=_from_folder(settings.data, data))
    if prior is not None:
        settings = replace(settings, prior=prior)
    module = EncoderModule(settings, out)
    fit(module, TrainingData(settings.data, settings.optim, module.prior.config.image_size))


def train_flow(config: Path, out: Path, data: Path | None = None) -> None:
    """Train an HCFlow as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .flow import FlowModule
    from .run import TrainingData, fit

    settings = load_yaml(FlowTraining, config)
    settings = replace(settings, data=_from_folder(settings.data, data))
    images = TrainingData(settings.data, settings.optim, settings.model.image_size)
    fit(FlowModule(settings, out), images)


def _from_folder(data: DataConfig, folder: Path | None) -> DataConfig:
    return data if folder is None else replace(data, folder=str(folder))
