"""Steps of steering: from a set of samples to another one, chosen by a person.

A step names samples of the set before it by their index. Together with the settings of the first
set they describe the last one completely: in `result.json`, and in the app's links.
"""

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

MAX_STEPS = 32
MAX_REGIONS = 8
"""How many steps may vary a region: for each, the sample that it starts from is drawn again."""
MAX_REGION_SIDE = 4096


@dataclass(frozen=True)
class Others:
    """Others like one sample: its first latent groups stay, the rest is drawn anew.

    Attributes:
        sample: Index of the sample.
        groups: Number g of latent groups that stay; 0 keeps nothing.
        seed: Of what is drawn anew.
        kind: Tells the kinds of steps apart in a file.
    """

    sample: int
    groups: int
    seed: int
    kind: Literal["others"] = "others"


@dataclass(frozen=True)
class Blend:
    """From one sample to another in even steps, in all latent groups.

    Attributes:
        first: Index of the sample that it starts with.
        last: Index of the one that it ends with.
        kind: Tells the kinds of steps apart in a file.
    """

    first: int
    last: int
    kind: Literal["blend"] = "blend"


@dataclass(frozen=True)
class Vary:
    """One sample, drawn anew in a region and unchanged elsewhere.

    Attributes:
        sample: Index of the sample.
        region: Where to draw anew, as `pack_region` writes it.
        seed: Of what is drawn anew.
        kind: Tells the kinds of steps apart in a file.
    """

    sample: int
    region: str
    seed: int
    kind: Literal["vary"] = "vary"

    @property
    def mask(self) -> Tensor:
        """The region, ``(H, W)`` bool."""
        return unpack_region(self.region)


Step = Others | Blend | Vary


def samples_of(step: Step) -> tuple[int, ...]:
    """Indices of the samples that a step starts from."""
    return (step.first, step.last) if isinstance(step, Blend) else (step.sample,)


def pack_region(mask: Tensor) -> str:
    """Write a region ``(H, W)`` bool as a short text.

    Raises:
        InputError: It is empty.

    Example:
        >>> mask = torch.zeros(8, 8, dtype=torch.bool)
        >>> mask[2:4, 3:] = True
        >>> bool((unpack_region(pack_region(mask)) == mask).all())
        True
    """
    if not bool(mask.any()):
        raise InputError("the region is empty: paint over what may change")
    bits = zlib.compress(np.packbits(mask.cpu().numpy()).tobytes(), 9)
    return f"{mask.shape[0]}x{mask.shape[1]}:{base64.urlsafe_b64encode(bits).decode()}"


def unpack_region(text: str) -> Tensor:
    """Read what `pack_region` has written.

    Raises:
        InputError: It is no such text.
    """
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
    return torch.from_numpy(bits.reshape(height, width).astype(bool))
