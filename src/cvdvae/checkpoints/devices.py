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


def has_fast_bf16(device: str | torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself; float32 is the faster one if not."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
