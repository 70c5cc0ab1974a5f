"""What a description may ask for: checked before anything of that size is made."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import ConfigError

MAX_BLOCKS, MAX_SIZE, MAX_PARAMETERS = 10_000, 4096, 2**31
BLOCK_LISTS = ("bottom_up", "top_down", "encoder", "decoder")
FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand, torch.eye}
RANDOM_FILLS = frozenset({nn.init.kaiming_uniform_, nn.init.uniform_})
"""What PyTorch's layers fill their weights with."""


def check_description(model: Any, where: str = "") -> None:
    """Refuse plain data that describe networks without a bound.

    Args:
        model: The data.
        where: What a sentence begins with.

    Raises:
        ConfigError: Blocks by the million, or images of a side beyond `MAX_SIZE`.
    """
    if not isinstance(model, dict):
        return
    for name in BLOCK_LISTS:
        text = model.get(name)
        if not isinstance(text, str):
            continue
        numbers = re.findall(r"[xr]\s*(\d+)", text)
        blocks = text.count(",") + sum(int(n) for n in numbers if len(n) < 10)
        if blocks > MAX_BLOCKS or re.search(r"\d{10}", text):
            raise ConfigError(f"{where}{name} asks for more than {MAX_BLOCKS} blocks")
    size = model.get("image_size")
    if isinstance(size, int) and size > MAX_SIZE:
        raise ConfigError(f"{where}image_size must be at most {MAX_SIZE}, not {size}")


class _Budget(TorchFunctionMode):
    """Counts the numbers of new tensors, which are only reserved when they are counted."""

    def __init__(self, numbers: int, filled: bool) -> None:
        super().__init__()
        self.left = numbers
        self.skipped = frozenset() if filled else RANDOM_FILLS

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in self.skipped:
            return args[0] if args else (kwargs or {})["tensor"]
        made = func(*args, **(kwargs or {}))
        if func in FACTORIES:
            self.left -= made.numel()
            if self.left < 0:
                raise MemoryError("it has more weights than it may")
        return made


@contextmanager
def at_most(numbers: int, where: str, filled: bool = True) -> Iterator[None]:
    """Build models within, with no more weights than that.

    Args:
        numbers: How many.
        where: Where the model is described.
        filled: Fill them at random; not worth its time where they are read from a file next.

    Raises:
        ConfigError: It has more, or cannot be built; the message says `where` it is described.
    """
    try:
        with _Budget(numbers, filled):
            yield
    except (MemoryError, OverflowError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"the model of {where} cannot be built: {reason}") from None
