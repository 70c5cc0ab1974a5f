"""Files of PyTorch, read without running what they hold."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from ..errors import WeightsError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a PyTorch file without running what it holds.

    Raises:
        WeightsError: It is missing, damaged, holds other things than tensors and plain values, or
            is not a dictionary.
    """
    if not path.is_file():
        raise WeightsError(f"there is no checkpoint {path}")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it holds the Python object {named[1]}" if named else "it is no plain checkpoint"
        raise WeightsError(f"{path} was not loaded: {what}, and could run code") from None
    except MemoryError:
        raise WeightsError(f"{path} does not fit into memory") from None
    except Exception:  # what a damaged file raises is as various as its damage
        raise WeightsError(f"{path} is truncated, damaged, or not a PyTorch file") from None
    inner = loaded.get("state_dict", {}) if isinstance(loaded, dict) else None
    if not isinstance(inner, dict) or not loaded:
        raise WeightsError(f"{path} holds no dictionary of tensors")
    if not all(isinstance(name, str) for name in [*loaded, *inner]):
        raise WeightsError(f"{path} holds a dictionary whose names are no text")
    return loaded  # type: ignore[no-any-return]
