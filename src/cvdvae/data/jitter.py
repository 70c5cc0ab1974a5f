"""Training images that are framed, and lit, a little differently whenever they come."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..imaging.io import to_channels
from .folder import DataConfig

MOST_JITTER = 3.0
"""Standard deviations beyond which nothing is drawn."""


def around(config: DataConfig) -> float:
    """How much of a square's side is needed on every side of it, as a share."""
    angle = math.radians(MOST_JITTER * config.jitter_angle)
    reach = math.exp(MOST_JITTER * config.jitter_side) * (math.cos(angle) + math.sin(angle))
    return (reach - 1) / 2


def jittered(photo: np.ndarray, side: int, size: int, config: DataConfig, draw: int) -> Tensor:
    """The square in the middle of a photograph, framed and lit as `draw` decides.

    Args:
        photo: The square and what is `around` it, uint8.
        side: Side of the square.
        size: Side of the image that is given out.
        config: How much its side, its angle and its light vary.
        draw: What they are a function of.

    Returns:
        uint8, ``(C, size, size)``.
    """
    rng = np.random.default_rng(draw)
    of_side, of_angle = rng.standard_normal(2).clip(-MOST_JITTER, MOST_JITTER)
    whole = Image.fromarray(photo)
    if config.jitter_angle:
        whole = whole.rotate(config.jitter_angle * float(of_angle), Image.Resampling.BICUBIC)
    reach = side * math.exp(config.jitter_side * float(of_side)) / 2
    x, y = whole.width / 2, whole.height / 2
    box = (x - reach, y - reach, x + reach, y + reach)
    image = to_channels(whole.resize((size, size), Image.Resampling.BICUBIC, box))
    if not config.jitter_colour:
        return image
    light, *casts = rng.standard_normal(1 + len(image)).clip(-MOST_JITTER, MOST_JITTER)
    gains = [math.exp(config.jitter_colour * (light + cast) / math.sqrt(2)) for cast in casts]
    lit = image * torch.tensor(gains, dtype=torch.float32, device="cpu")[:, None, None]
    return lit.round().clamp(0, 255).to(torch.uint8)
