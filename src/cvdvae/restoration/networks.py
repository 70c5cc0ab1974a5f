"""What computes: networks on a device, in a precision."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import nn

from ..checkpoints.devices import named
from ..errors import InputError
from .recipe import Dtype

DTYPES: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Networks(ABC):
    """A model that is made of networks.

    Attributes:
        name: What results call it.
    """

    name: str

    @property
    @abstractmethod
    def networks(self) -> tuple[nn.Module, ...]:
        """What is moved and converted."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.networks[0].parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(self.networks[0].parameters()).dtype

    @property
    def dtype_name(self) -> Dtype:
        """Its name in recipes.

        Raises:
            InputError: Somebody converted the networks to what has none.
        """
        for name, dtype in DTYPES.items():
            if dtype == self.dtype:
                return name
        raise InputError(f"it computes in {self.dtype}: say .to(device, torch.float32) first")

    @property
    @abstractmethod
    def sizes(self) -> str:
        """What it makes of which images, for people."""

    def __repr__(self) -> str:
        """What it is, in a line."""
        kind, dtype = type(self).__name__, str(self.dtype).removeprefix("torch.")
        return f"<{kind} {self.name}: {self.sizes}, {dtype} on {self.device}>"

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Self:
        """Move the weights, and convert them.

        Args:
            device: Where to compute.
            dtype: What the networks compute in: float32 or bfloat16; as before by default.
                Gaussians, the likelihood and the projection stay in float32.

        Raises:
            InputError: There is no such device here, the dtype is another, or its weights were
                rounded to bfloat16 before, which they would remain.
        """
        if dtype is not None and dtype not in DTYPES.values():
            raise InputError(
                f"networks compute in {' or '.join(map(str, DTYPES.values()))}, not {dtype}"
            )
        if dtype == torch.float32 and self.dtype == torch.bfloat16:
            raise InputError("its weights were rounded to bf16: load it again to compute in fp32")
        with named(device) as there:
            for network in self.networks:
                _move(network, there, dtype or self.dtype)
        return self


def _move(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Nothing is done where it is so already, which takes as long as reading its weights."""
    first = next(network.parameters())
    if (first.device, first.dtype) != (device, dtype):
        network.to(device, dtype)
