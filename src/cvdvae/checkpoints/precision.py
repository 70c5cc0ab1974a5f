"""Weights in fewer bits than they were trained in.

In 16 bits every number is a half. In 8 bits a kernel is ``W[o] = s[o] q[o]`` with whole numbers q
from -127 to 127 and one step s for every output channel o, so that no number moves by more than
``max |W[o]| / 254``. What is no kernel stays in 16 bits, and so do the few kernels next to the
pixels, the first and the last: on a prior over faces these carry most of what 8 bits cost.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ..errors import WeightsError

StoredBits = Literal[8, 16, 32]
STEP = ".step"
"""End of the names of the steps."""
LARGEST = 127
NEXT_TO_PIXELS = ("in_conv.weight", "out_conv.weight")
"""Ends of the names of the kernels that see pixels, or draw them."""


def pack(weights: Mapping[str, Tensor], bits: StoredBits) -> dict[str, Tensor]:
    """The weights as they are stored; what is no floating-point number stays as it is.

    Raises:
        WeightsError: A number that cannot be stored so: a NaN, or one too large for 16 bits.
    """
    packed: dict[str, Tensor] = {}
    for name, value in weights.items():
        value = value.detach().cpu().contiguous()
        if bits == 8 and _is_kernel(value) and not name.endswith(NEXT_TO_PIXELS):
            step = value.abs().amax((1, 2, 3)).float() / LARGEST
            above_0 = step.clamp(min=torch.finfo(step.dtype).tiny)
            whole = (value / above_0[:, None, None, None]).round()
            packed[name], packed[name + STEP] = whole.to(torch.int8), step
        elif value.is_floating_point():
            packed[name] = value.to(torch.float32 if bits == 32 else torch.float16)
        else:
            packed[name] = value
    for name, value in packed.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{name.removesuffix(STEP)} holds what {bits} bits cannot store")
    return packed


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by their names in the network, from what `pack` made of them."""
    weights = dict(stored)
    for name, whole in stored.items():
        step = stored.get(name + STEP)
        is_packed = whole.dtype == torch.int8 and whole.dim() == 4
        if is_packed and step is not None and step.shape == whole.shape[:1]:
            weights[name] = whole * weights.pop(name + STEP)[:, None, None, None]
    return weights


def _is_kernel(value: Tensor) -> bool:
    """Whether a tensor holds a kernel for each of several channels, and not a state."""
    return value.is_floating_point() and value.dim() == 4 and value.shape[0] > 1
