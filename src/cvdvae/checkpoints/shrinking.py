"""What spectra photographs have that known programs made small: `shrinking.safetensors`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..degradations.kernels import KERNELS
from ..errors import WeightsError
from .tensors import damaged, read_tensors, write_tensors

SHRINKING = "shrinking.safetensors"

FREQUENCIES = 153
"""Numbers of a spectrum: pairs of 17 frequencies ``0 ≤ f ≤ g``."""


@dataclass(frozen=True)
class Shrinking:
    """How likely programs are, by a spectrum φ: ``p(H|φ) ∝ exp(w_H · φ + b_H)``.

    Attributes:
        scale: What they shrink by.
        programs: Names of K of `cvdvae.degradations.kernels.KERNELS`.
        weights: w of images as they are, and of those stored as JPEG since, ``(2, K, d)``.
        biases: b of both, ``(2, K)``.
    """

    scale: int
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
    told = {"scale": str(shrinking.scale), "programs": ",".join(shrinking.programs)}
    return write_tensors(folder / SHRINKING, tensors, told)


def check_no_other(folder: Path, scale: int) -> None:
    """Refuse to write over what was found at another scale.

    Raises:
        WeightsError: The folder holds that, or its file is damaged.
    """
    if (folder / SHRINKING).is_file() and read_shrinking(folder, scale) is None:
        raise WeightsError(
            f"{folder / SHRINKING} is of another scale than ×{scale}, and a folder keeps one: move "
            f"it away, or give each scale a folder of its own"
        )


def read_shrinking(folder: Path, scale: int) -> Shrinking | None:
    """What a model's folder holds; None where there is nothing, or of another scale.

    Raises:
        WeightsError: The file is damaged.
    """
    path = folder / SHRINKING
    if not path.is_file():
        return None
    told, (weights, biases) = read_tensors(path, ("weights", "biases"))
    try:
        programs, its_scale = tuple(told["programs"].split(",")), int(told["scale"])
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from None
    several = 2 <= len(programs) == len({*programs} & {*KERNELS})
    fits = (weights.shape, biases.shape) == ((2, len(programs), FREQUENCIES), (2, len(programs)))
    finite = all(bool(torch.isfinite(part).all()) for part in (weights, biases))
    if not (several and fits and finite):
        raise WeightsError(f"cannot read {path}: it holds no spectra of shrunk photographs")
    return Shrinking(its_scale, programs, weights, biases) if its_scale == scale else None
