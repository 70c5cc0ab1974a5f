"""Devices by name, and what cannot be one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InputError


@contextmanager
def named(device: str | torch.device) -> Iterator[torch.device]:
    """The device of a name, and one sentence for what goes wrong on the way there.

    Raises:
        InputError: There is no such device, here or anywhere.
    """
    try:
        if not isinstance(device, (str, int, torch.device)):
            raise RuntimeError("name one, such as cpu or cuda")
        yield torch.device(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot use the device '{device}': {reason}") from None


def check_device(device: str | torch.device) -> None:
    """Refuse what nothing can compute on.

    Raises:
        InputError: As `named`, or it holds no numbers.
    """
    with named(device) as known:
        if known.type == "meta":
            raise RuntimeError("it computes nothing")


NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")
"""What PyTorch calls it on processors of x86 and ARM."""


def has_fast_bf16(device: str | torch.device) -> bool | None:
    """Whether a device computes in bfloat16 by itself, so that float32 is not the faster one; None
    where that is not known: of other devices than processors and CUDA's, and where PyTorch does not
    tell."""
    where = torch.device(device)
    if where.type == "cuda":
        with torch.cuda.device(where):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told = getattr(torch.cpu, "get_capabilities", None)
    if where.type != "cpu" or told is None:
        return None
    return any(told().get(name) for name in NATIVE_BF16)
