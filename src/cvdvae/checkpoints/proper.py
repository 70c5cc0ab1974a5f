"""What proper low-resolution images of a model look like: `proper.safetensors` in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from ..configs import from_dict
from ..errors import ConfigError, WeightsError
from .records import Expected
from .tensors import damaged, read_tensors, write_tensors

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
    return write_tensors(folder / PROPER, tensors, told)


def read_proper(folder: Path) -> Proper | None:
    """What a model's folder holds; None where there is nothing.

    Raises:
        WeightsError: The file is damaged.
    """
    path = folder / PROPER
    if not path.is_file():
        return None
    told, tensors = read_tensors(path, ("mean", "whitening"))
    mean, whitening = (part.float() for part in tensors)
    try:
        expected = from_dict(Expected, json.loads(told["expected"]), str(path))
    except (ConfigError, KeyError, ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    proper = Proper(mean, whitening, expected)
    fits = mean.ndim == 3 and whitening.shape == (mean.numel(), mean.numel())
    if not fits or not all(bool(part.isfinite().all()) for part in (mean, whitening)):
        raise WeightsError(f"cannot read {path}: it holds no distribution of images")
    return proper
