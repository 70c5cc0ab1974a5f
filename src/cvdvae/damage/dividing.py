"""What of an image shrinking divides: y shows it in whole pixels, enlarged by whole numbers."""

from dataclasses import replace

import torch
from torch import Tensor

from .described import Description
from .mask_kinds import MaskFromFile
from .packed import pack, unpack
from .step import Size


def divided_size(description: Description, size: Size) -> Size:
    """Height and width of what is left of an image without the last rows and columns that what
    shrinks it does not divide.

    Raises:
        InputError: Nothing would be left of it.
    """
    return description.hr_size(description.lr_size(size))


def divided(x: Tensor, description: Description) -> tuple[Tensor, Description]:
    """That part of an image, and what happens to it: of masks of the image it has a part, too.

    Args:
        x: The image, ``(C, H, W)``.
        description: What shall happen to it.

    Raises:
        InputError: Nothing would be left of it, or a mask hides nothing of that.
    """
    size = (x.shape[1], x.shape[2])
    left = divided_size(description, size)
    if left == size:
        return x, description
    steps = list(description.steps)
    for place, step in enumerate(steps):
        if step.lr_size(size) != size:  # what comes after it is of the size that this one leaves
            break
        if isinstance(step, MaskFromFile):
            missing = unpack(step.packed, torch.bool)
            if missing.shape == size:
                part = missing[: left[0], : left[1]].clone()
                steps[place] = replace(step, packed=pack(part))
    return x[:, : left[0], : left[1]], Description(tuple(steps))
