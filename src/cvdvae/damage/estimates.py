"""The noise of an image, estimated from the image itself."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..imaging.values import EIGHT_BITS, rounding_of
from .described import Description
from .step import Size

MAX_NOISE = 1.0
"""σ beyond which nothing is left of an image in [0, 1]."""
LEAST, QUARTILE = 150, 0.6744897501960817
"""Wavelets of a colour whose median is σ within a tenth, mostly; the median of ``|N(0, 1)|``."""
FLAT = 1e-9
"""A wavelet no larger than this is the round-off of a constant."""


def estimate_noise(y: Tensor, hidden: Tensor | None = None) -> float:
    """σ of white Gaussian noise in a picture, the median of its finest wavelets (Donoho 1994).

    Texture counts as noise, and noise that was smoothed since does not. Wavelets that see a hidden
    pixel do not count, nor what is flat, such as white paper; 0 where all is.

    Args:
        y: ``(C, h, w)`` in [0, 1].
        hidden: Which pixels show nothing of the image, bool ``(h, w)``.

    Raises:
        InputError: PyWavelets is missing, or the picture is too small to tell, or has too few
            pixels with others around them.
    """
    if find_spec("pywt") is None:
        raise InputError(
            "to estimate noise takes PyWavelets: pip install 'cvdvae[restore]', or name the noise"
        )
    if min(y.shape[1:]) < 8:
        raise InputError(f"{y.shape[2]}×{y.shape[1]} pixels are too few to estimate noise from")
    values = y.detach().double().cpu().numpy()
    beside = None if hidden is None or not bool(hidden.any()) else hidden.cpu().numpy()
    sigmas = [_sigma_of(channel, beside) for channel in values]
    telling = [sigma for sigma in sigmas if sigma]
    return sum(telling) / len(telling) if telling else 0.0


def noise_behind(
    y: Tensor,
    description: Description,
    levels: int | None = EIGHT_BITS,
    size: Size | None = None,
) -> float:
    """The same of a picture to which more has happened, from what its holes leave: at least the
    noise of its rounding.

    Args:
        y: ``(C, h, w)`` in [0, 1].
        description: What happened.
        levels: Steps between 0 and 1 to which it was rounded, as for `rounding_of`.
        size: Height and width of the image behind it, as for `Description.hidden`.

    Raises:
        InputError: As `estimate_noise`, or it is a mosaic, whose neighbours are of other colours.
    """
    if description.is_mosaic:
        raise InputError(
            "neighbouring pixels of a mosaic are of other colours, so that its noise cannot be "
            "estimated: name it, as in --noise 0.02"
        )
    found = estimate_noise(y, description.hidden((y.shape[1], y.shape[2]), size))
    if found > MAX_NOISE:
        raise InputError(
            "what would have to be noise here is more than any image has: name how noisy it is, as "
            "in --noise 0.02"
        )
    return max(found, rounding_of(levels))


def _sigma_of(channel: np.ndarray, hidden: np.ndarray | None) -> float:
    """As skimage's `estimate_sigma`, of one colour: 0 where it is flat, which says nothing."""
    if hidden is not None:
        channel = np.where(hidden, np.nan, channel)
    finest = np.abs(import_module("pywt").dwtn(channel, "db2")["dd"])
    seen = finest[np.isfinite(finest)]
    if hidden is not None and seen.size < LEAST:
        raise InputError(
            "too few pixels are left beside what is hidden to estimate noise from: name it, "
            "as in --noise 0.02"
        )
    rough = seen[seen > FLAT]
    return float(np.median(rough)) / QUARTILE if rough.size else 0.0
