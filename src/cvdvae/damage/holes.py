"""What was not seen beside what else happened."""

import torch
from torch import Tensor

from ..errors import InputError
from .described import Description, name_of
from .kinds import Grey, Mosaic
from .mask_kinds import Masked, MaskFromFile, OnlyNoise
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
        >>> int(seen.hidden((16, 16)).sum())
        16
    """
    before = [step for step in description.steps if not isinstance(step, OnlyNoise)]
    mask = MaskFromFile(file=of, packed=pack(hidden.to(torch.bool).cpu()))
    return Description((*before, mask))


def refuse_mixed(description: Description) -> None:
    """Refuse what a person's file cannot be: H has a hole black before what mixes pixels, where a
    scan has whatever lay there.

    Raises:
        InputError: It is that.
    """
    holed = False
    for step in description.steps:
        if holed and not isinstance(step, Masked | Grey | Mosaic):
            name = name_of(step)
            raise InputError(
                f"what lay in the hole went into the {name} that came after it: leave {name} out "
                f"and say the hole last, as in --mask hole.png --noise 0.02"
            )
        holed = holed or (isinstance(step, Masked) and not isinstance(step, OnlyNoise))
