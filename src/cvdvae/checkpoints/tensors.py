"""Tensors that are kept beside a model's weights, with a few words about them, in one file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import WeightsError
from ..files import write_atomically
from .weights import FLOATS


def write_tensors(path: Path, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> Path:
    """Write tensors, and return the file.

    Raises:
        OutputError: The folder cannot be written.
    """
    parts = {name: part.contiguous() for name, part in tensors.items()}
    content = save(parts, dict(told))
    write_atomically(path, lambda file: file.write_bytes(content))
    return path


def read_tensors(path: Path, names: tuple[str, ...]) -> tuple[dict[str, str], list[Tensor]]:
    """What is told of the tensors, and those of these names.

    Raises:
        WeightsError: The file is damaged, or lacks one.
    """
    try:
        with safe_open(path, "pt") as file:
            told, tensors = file.metadata() or {}, [file.get_tensor(name) for name in names]
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None
    if others := sorted({str(part.dtype) for part in tensors if part.dtype not in FLOATS}):
        raise WeightsError(f"cannot read {path}: it holds {others[0]}, which are no numbers here")
    return told, tensors


def damaged(path: Path, error: Exception) -> WeightsError:
    """What to say of such a file."""
    return WeightsError(f"cannot read {path}: it is damaged or foreign ({error})")
