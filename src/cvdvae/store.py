"""Models as folders: `config.yaml`, `model.safetensors`, and a model card `README.md`."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .configs import load_yaml, to_yaml
from .errors import WeightsError
from .files import write_atomically, write_text

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"

T = TypeVar("T")


def save_model(folder: Path, config: object, model: nn.Module) -> None:
    """Write a configuration dataclass and the weights that go with it."""
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(folder / WEIGHTS, lambda p: save_file(state, p))
    write_text(folder / CONFIG, to_yaml(config))


def load_config(folder: Path, cls: type[T]) -> T:
    """Read the configuration of a model folder.

    Raises:
        ConfigError: It is missing or does not fit `cls`.
    """
    return load_yaml(cls, folder / CONFIG)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Read the weights of a model folder into `model`, strictly: every name and shape must agree.

    Raises:
        WeightsError: The file is missing, damaged, or holds other tensors than the model.
    """
    path = folder / WEIGHTS
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = "it does not exist" if not path.exists() else f"damaged or foreign ({error})"
        raise WeightsError(f"cannot read the weights {path}: {reason}") from None
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    wrong = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    if wrong:
        names = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise WeightsError(f"the weights {path} do not fit their configuration: {names} "
                           f"({len(wrong)} missing, extra or of another shape)")
    model.load_state_dict(state)
