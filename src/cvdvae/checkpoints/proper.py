"""What proper low-resolution images of a model look like: `proper.safetensors` in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..configs import from_dict
from ..errors import ConfigError, WeightsError
from ..files import write_atomically
from .records import Expected

PROPER = "proper.safetensors"


@dataclass(frozen=True)
class Proper:
    """The normal distribution N(μ, (Wᵀ W)⁻¹) of proper images, and what is expected under it.

    Attributes:
        mean: μ, ``(C, h, w)`` in [0, 1].
        whitening: W, ``(d, d)`` with d = C·h·w, kept in half precision.
        expected: As of the model, with costs under this distribution in place of its bound.
    """

    mean: Tensor
    whitening: Tensor
    expected: Expected

    def cost(self, y: Tensor) -> Tensor:
        """``|W (y − μ)|² / 2`` of images ``(N, C, h, w)``: −log p(y) without its constant, ``(N,)``
        float64."""
        white = (y - self.mean).flatten(1) @ self.whitening.T
        return white.double().square().sum(1) / 2


def save_proper(folder: Path, proper: Proper) -> Path:
    """Write it into a model's folder, and return the file.

    Raises:
        OutputError: The folder cannot be written.
    """
    tensors = {"mean": proper.mean.float(), "whitening": proper.whitening.half()}
    told = {"expected": json.dumps(asdict(proper.expected))}
    content = save({name: part.contiguous() for name, part in tensors.items()}, told)
    write_atomically(folder / PROPER, lambda path: path.write_bytes(content))
    return folder / PROPER


def read_proper(folder: Path) -> Proper | None:
    """What a model's folder holds; None where there is nothing.

    Raises:
        WeightsError: The file is damaged.
    """
    path = folder / PROPER
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {})["expected"])
            mean, whitening = (file.get_tensor(name).float() for name in ("mean", "whitening"))
        proper = Proper(mean, whitening, from_dict(Expected, told, str(path)))
    except (OSError, SafetensorError, ConfigError, KeyError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: it is damaged or foreign ({error})") from None
    fits = mean.ndim == 3 and whitening.shape == (mean.numel(), mean.numel())
    if not fits or not all(bool(part.isfinite().all()) for part in (mean, whitening)):
        raise WeightsError(f"cannot read {path}: it holds no distribution of images")
    return proper
