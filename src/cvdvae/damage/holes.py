"""What was not seen beside what else happened."""

import torch
from torch import Tensor

from .described import Description
from .mask_kinds import MaskFromFile, OnlyNoise
from .packed import pack


def with_hole(description: Description, hidden: Tensor, of: str) -> Description:
    """The same of a y of which some pixels are missing.

    Args:
        description: What happened before.
        hidden: Which are, bool ``(h, w)``; some, and not all.
        of: Where the hole is from.

    Raises:
        InputError: All of them are, or none.
        ConfigError: Nothing can follow what happened.

    Example:
        >>> from cvdvae.damage.described import parse
        >>> seen = with_hole(parse("blur:sigma=2"), torch.eye(16) > 0, "a line")
        >>> int((~seen.operator((16, 16)).steps[1].known).sum())
        16
    """
    before = [step for step in description.steps if not isinstance(step, OnlyNoise)]
    mask = MaskFromFile(file=of, packed=pack(hidden.to(torch.bool).cpu()))
    return Description((*before, mask))
