"""Training with Lightning: `pip install cvdvae[train]`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..checkpoints.bounds import MAX_PARAMETERS, at_most, check_description
from ..checkpoints.folder import find, read_record
from ..checkpoints.legacy import upgrade_encoder, upgrade_prior
from ..checkpoints.records import PriorRecord
from ..configs import from_dict, read_yaml
from ..errors import ConfigError
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

S = TypeVar("S", PriorTraining, EncoderTraining, FlowTraining)


def train_prior(config: Path, out: Path, data: Path | None = None) -> None:
    """Train a prior as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .data import TrainingData
    from .prior import PriorModule
    from .run import fit

    settings = _settings(PriorTraining, config, data, upgrade=upgrade_prior)
    with at_most(MAX_PARAMETERS, str(config)):
        module = PriorModule(settings, out)
    model = settings.model
    fit(module, TrainingData(settings.data, settings.optim, model.image_size, model.channels))


def train_encoder(
    config: Path, out: Path, data: Path | None = None, prior: str | None = None
) -> None:
    """Train an LR encoder as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .data import TrainingData
    from .encoder import EncoderModule
    from .run import fit

    plain = read_yaml(config_path(config))
    name = prior or (plain.get("prior") if isinstance(plain, dict) else None)

    def upgrade(model: Any) -> Any:
        if not isinstance(name, str) or not isinstance(model, dict) or "lr_size" not in model:
            return model
        record = read_record(find(name))
        if not isinstance(record, PriorRecord):
            raise ConfigError(f"'{name}' is not a prior but a {record.kind}")
        return upgrade_encoder(model, record.model.image_size)

    settings = _settings(EncoderTraining, config, data, prior=prior, upgrade=upgrade)
    with at_most(MAX_PARAMETERS, str(config)):
        module = EncoderModule(settings, out)
    channels = module.prior.config.channels
    fit(module, TrainingData(settings.data, settings.optim, module.image_size, channels))


def train_flow(config: Path, out: Path, data: Path | None = None) -> None:
    """Train an HCFlow as a YAML file says, resuming `out` if it holds a checkpoint."""
    from .data import TrainingData
    from .flow import FlowModule
    from .run import fit

    settings = _settings(FlowTraining, config, data)
    images = TrainingData(settings.data, settings.optim, settings.model.image_size)
    with at_most(MAX_PARAMETERS, str(config)):
        module = FlowModule(settings, out)
    fit(module, images)


def config_path(config: Path) -> Path:
    """A configuration file, or one of those that come with the package, by its name.

    Raises:
        ConfigError: There is neither.
    """
    if config.is_file():
        return config
    here = Path(__file__).parent
    known: dict[str, Path] = {}
    for folder in (here.parents[2] / "configs", here / "configs"):  # a checkout's, a wheel's
        known |= {path.stem: path for path in folder.glob("*.yaml")}
    if str(config) not in known:
        raise ConfigError(
            f"there is no file {config}; by name there are {', '.join(sorted(known))}"
        )
    return known[str(config)]


def _settings(
    kind: type[S],
    config: Path,
    folder: Path | None,
    prior: str | None = None,
    upgrade: Callable[[Any], Any] = lambda model: model,
) -> S:
    """The settings of a file, with what the command line says in place of what it says."""
    config = config_path(config)
    plain = read_yaml(config)
    if isinstance(plain, dict) and "model" in plain:
        check_description(plain["model"], f"{config}: ")
        plain = {**plain, "model": upgrade(plain["model"])}
    if isinstance(plain, dict) and prior is not None:
        plain = {**plain, "prior": prior}
    settings = from_dict(kind, plain, str(config))
    if folder is None:
        return settings
    data = replace(settings.data, folder=str(folder), only="*", repeat=1, more=())
    return replace(settings, data=data)
