"""The weights file of a model folder."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import WeightsError
from .bounds import at_most
from .precision import unpack

WEIGHTS = "model.safetensors"
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""Kinds of fractions that weights may be stored in: PyTorch computes with no others."""

M = TypeVar("M", bound=nn.Module)


def digest(folder: Path) -> str:
    """SHA-256 of a folder's weights file.

    Raises:
        WeightsError: It is missing, or no regular file.
    """
    path = _file_in(folder)
    found = path.stat()
    return _digest(str(path), found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: str, inode: int, size: int, time: int) -> str:
    """The digest of a file that is as it was: every writer here puts a new file in its place."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_shared: ContextVar[dict[tuple[str, str], nn.Module] | None] = ContextVar("shared", default=None)


@contextmanager
def shared_networks() -> Iterator[None]:
    """What is built within from the same folder is one network: for several models in one place, of
    which none is moved to another device or dtype, compiled or trained."""
    before = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(before)


def build(folder: Path, make: Callable[[], M]) -> M:
    """Build a model no larger than its weights file, and fill it: for evaluation, no gradients.

    In float32 and on the CPU, whatever PyTorch makes by default. Within `shared_networks` it is the
    one that was built of this folder before.

    Raises:
        WeightsError: The file is missing, damaged, or holds other tensors than the model.
        ConfigError: The model would be larger than it.
    """
    built = _shared.get()
    if built is None:
        return _build(folder, make)
    key = str(folder.resolve()), digest(folder)
    if key not in built:
        built[key] = _build(folder, make)
    return cast(M, built[key])


def _build(folder: Path, make: Callable[[], M]) -> M:
    path = _file_in(folder)
    at_most_of_file = at_most(path.stat().st_size + 2**20, str(folder), filled=False)
    # A mode is asked about every call: where it would change nothing it takes a tenth of the time.
    elsewhere = torch.get_default_device().type != "cpu"
    there = torch.device("cpu") if elsewhere else nullcontext()
    with torch.random.fork_rng(devices=[]), there, at_most_of_file:
        model = make().float()
    load_weights(folder, model)
    return model.eval().requires_grad_(False)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Read a folder's weights into `model`, strictly: every name and shape must agree.

    Raises:
        WeightsError: The file is missing, damaged, or holds other tensors than the model.
    """
    path = _file_in(folder)
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot read the weights {path}: it is damaged or foreign ({error})"
        ) from None
    _refuse(path, (k for k, v in stored.items() if v.is_floating_point() and v.dtype not in FLOATS))
    state = unpack(stored)
    expected, found = (
        {k: (tuple(v.shape), v.is_floating_point()) for k, v in tensors.items()}
        for tensors in (model.state_dict(), state)
    )
    _refuse(path, (k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)))
    broken = [k for k, v in state.items() if not bool(v.isfinite().all())]
    if broken:
        raise WeightsError(
            f"the weights {path} hold what is no number (NaN or infinity), in {min(broken)}"
        )
    model.load_state_dict(state)


def is_plain(value: object) -> TypeGuard[Tensor]:
    """Whether something is a tensor of real numbers, all of which are there."""
    if not isinstance(value, Tensor) or value.is_complex() or value.is_meta or value.is_quantized:
        return False
    return value.layout == torch.strided


def _refuse(path: Path, names: Iterable[str]) -> None:
    """Refuse a file some of whose tensors are not the model's, if there are any."""
    wrong = sorted(names)
    if wrong:
        some = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise WeightsError(
            f"the weights {path} do not fit their configuration: {some} "
            f"({len(wrong)} missing, extra, or of another shape or kind)"
        )


def _file_in(folder: Path) -> Path:
    path = folder / WEIGHTS
    if not path.is_file():
        reason = "it is no regular file" if path.exists() else "it does not exist"
        raise WeightsError(f"cannot read the weights {path}: {reason}")
    return path
