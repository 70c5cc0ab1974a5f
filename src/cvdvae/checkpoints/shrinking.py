"""What spectra photographs have that known programs made small: `shrinking.safetensors`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..degradations.kernels import KERNELS
from ..errors import WeightsError
from ..files import write_atomically

SHRINKING = "shrinking.safetensors"


@dataclass(frozen=True)
class Shrinking:
    """Log-likelihoods of programs, linear in a spectrum φ: ``log p(φ|H) = w_H · φ + b_H + const``.

    Attributes:
        programs: Names of K of `cvdvae.degradations.kernels.KERNELS`.
        weights: w of images as they are, and of those stored as JPEG since, ``(2, K, d)``.
        biases: b of both, ``(2, K)``.
    """

    programs: tuple[str, ...]
    weights: Tensor
    biases: Tensor

    def probabilities(self, spectrum: Tensor, compressed: bool = False) -> Tensor:
        """Of the programs, equally likely before anything is seen.

        Args:
            spectrum: φ of images, ``(…, d)``.
            compressed: Whether they were stored as JPEG.

        Returns:
            ``(…, K)`` float64, which adds up to 1.
        """
        weights, biases = self.weights[int(compressed)], self.biases[int(compressed)]
        return (spectrum.double() @ weights.double().T + biases.double()).softmax(-1)


def save_shrinking(folder: Path, shrinking: Shrinking) -> Path:
    """Write it into a model's folder, and return the file.

    Raises:
        OutputError: The folder cannot be written.
    """
    tensors = {"weights": shrinking.weights.float(), "biases": shrinking.biases.float()}
    told = {"programs": ",".join(shrinking.programs)}
    content = save({name: part.contiguous() for name, part in tensors.items()}, told)
    write_atomically(folder / SHRINKING, lambda path: path.write_bytes(content))
    return folder / SHRINKING


def read_shrinking(folder: Path) -> Shrinking | None:
    """What a model's folder holds; None where there is nothing.

    Raises:
        WeightsError: The file is damaged.
    """
    path = folder / SHRINKING
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            programs = tuple((file.metadata() or {})["programs"].split(","))
            weights, biases = (file.get_tensor(name) for name in ("weights", "biases"))
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"cannot read {path}: it is damaged or foreign ({error})") from None
    fits = weights.ndim == 3 and weights.shape[:2] == biases.shape == (2, len(programs))
    finite = all(bool(torch.isfinite(part).all()) for part in (weights, biases))
    if not (fits and finite and set(programs) <= set(KERNELS)):
        raise WeightsError(f"cannot read {path}: it holds no spectra of shrunk photographs")
    return Shrinking(programs, weights, biases)
