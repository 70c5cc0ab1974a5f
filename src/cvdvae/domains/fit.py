"""Images of any size for models of one size: what is larger is shrunk by H to the model's input."""

from torch import Tensor

from ..degradations.base import shrink_to_8_bits
from ..degradations.bicubic import downscaling
from ..errors import InputError
from .base import Domain

LARGEST = 512
"""Longest side of a small image: with a longer one it is a photo, to be shrunk knowingly."""
GIVEN_BACK = ": that is what the samples give back"
"""What a note on what was shrunk ends with, of use where samples are drawn."""


def fit(
    y: Tensor, side: int, domain: Domain | None = None, shrunk_by: str = "bicubic"
) -> tuple[Tensor, list[str]]:
    """Make an image one that a model of a fixed input size takes.

    Args:
        y: The image, ``(C, h, w)`` in [0, 1].
        side: Side of what the model takes, in pixels.
        domain: Names the models that would take a smaller image.
        shrunk_by: H, by which a larger image is shrunk; one of `degradations.kernels.KERNELS`.

    Returns:
        The image ``(C, side, side)``, rounded to 8 bits where it was shrunk, and what was done, in
        plain words.

    Raises:
        InputError: Its shorter side is below `side`, or its longer one above `LARGEST`.
    """
    height, width = y.shape[1:]
    least, said = min(height, width), f"{width}×{height}"
    if (height, width) == (side, side):
        return y, []
    if least < side:
        instead = "" if domain is None else f": {_instead(least, domain)}"
        raise InputError(f"it has {said} pixels, and the model takes {side}×{side}{instead}")
    if max(height, width) > LARGEST:
        raise InputError(
            f"it has {said} pixels, more than {LARGEST} a side: it is a photo, to be shrunk with "
            f"cvdvae upscale --simulate (or cvdvae.simulate)"
        )
    notes = []
    if height != width:
        top, left = (height - least) // 2, (width - least) // 2
        y = y[:, top : top + least, left : left + least]
        notes.append(f"the middle {least}×{least} of {said} pixels was taken")
    if least > side:
        y = shrink_to_8_bits(y[None], downscaling((least, least), (side, side), shrunk_by))[0]
        notes.append(
            f"it was shrunk from {least}×{least} to {side}×{side} pixels, which this model takes"
            f"{GIVEN_BACK}"
        )
    return y, notes


def scale_for(least: int, domain: Domain) -> int:
    """The scale whose model takes the most of an image.

    Args:
        least: Its shorter side, in pixels.
        domain: A domain of models of a fixed size.

    Raises:
        InputError: It is too small for all of them.

    Example:
        >>> from cvdvae.domains import FACES
        >>> scale_for(40, FACES), scale_for(9, FACES)
        (4, 8)
    """
    for scale, side in sorted(domain.inputs.items()):
        if side <= least:
            return scale
    raise InputError(f"an image of {least} pixels a side is too small: {_instead(least, domain)}")


def _instead(least: int, domain: Domain) -> str:
    """Which model would take an image of so many pixels a side."""
    fitting = [scale for scale, side in sorted(domain.inputs.items()) if side <= least]
    if not fitting:
        smallest = min(domain.inputs.values())
        return f"no model of {domain.name} takes fewer than {smallest}×{smallest}"
    name, side = domain.model_at(fitting[0]), domain.inputs[fitting[0]]
    return f"{name} would take it, at {side}×{side}"
