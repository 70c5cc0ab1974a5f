"""A region of an image as a short text, as it stands in a recipe and in the app's links."""

import base64
import binascii
import re
import zlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

MAX_REGION_SIDE = 4096


def pack_region(mask: Tensor) -> str:
    """Write a region ``(H, W)`` bool as a short text.

    Raises:
        InputError: It is no such tensor, is empty, or has a side over `MAX_REGION_SIDE`.

    Example:
        >>> mask = torch.zeros(8, 8, dtype=torch.bool)
        >>> mask[2:4, 3:] = True
        >>> bool((unpack_region(pack_region(mask)) == mask).all())
        True
    """
    if not isinstance(mask, Tensor):
        raise InputError(f"the region is a {type(mask).__name__}, no tensor: take torch.from_numpy")
    if mask.dtype != torch.bool or mask.ndim != 2:
        shape = tuple(mask.shape)
        raise InputError(f"a region is bool of shape (H, W), not {mask.dtype} {shape}: compare it")
    if not bool(mask.any()):
        raise InputError("the region is empty: paint over what may change")
    height, width = mask.shape
    if max(height, width) > MAX_REGION_SIDE:
        raise InputError(
            f"a region of {width}×{height} pixels is too large: its sides may have at most "
            f"{MAX_REGION_SIDE}"
        )
    bits = zlib.compress(np.packbits(mask.cpu().numpy()).tobytes(), 9)
    return f"{mask.shape[0]}x{mask.shape[1]}:{base64.urlsafe_b64encode(bits).decode()}"


def unpack_region(text: str) -> Tensor:
    """Read what `pack_region` has written.

    Raises:
        InputError: It is no such text, or of nothing.
    """
    return _unpacked(text).clone()


@lru_cache(maxsize=4)  # every group of every tile asks
def _unpacked(text: str) -> Tensor:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4}):([\w\-=]+)", text)
    try:
        if found is None:
            raise ValueError
        height, width = int(found[1]), int(found[2])
        if not 0 < height <= MAX_REGION_SIDE or not 0 < width <= MAX_REGION_SIDE:
            raise ValueError
        size = -(-height * width // 8)
        inflate = zlib.decompressobj()
        packed = inflate.decompress(base64.urlsafe_b64decode(found[3]), size + 1)
        if len(packed) != size:
            raise ValueError
    except (ValueError, binascii.Error, zlib.error):
        raise InputError("the region to vary is damaged: paint it again") from None
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=height * width)
    if not bits.any():
        raise InputError("the region to vary is empty: paint it again")
    return torch.from_numpy(bits.reshape(height, width).astype(bool))
