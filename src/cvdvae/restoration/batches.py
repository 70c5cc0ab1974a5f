"""How many samples are drawn together, and held."""

import torch

from ..errors import InputError
from ..imaging.values import EIGHT_BITS
from .workers import usable_memory, workers_on

BATCH = 4
"""Samples drawn together at most by a processor; larger batches gain nothing."""

PIXELS = BATCH * 64**2
"""Pixels drawn together at most by a processor; a single sample may have any number."""

MOST_PIXELS = 100_000_000
"""Of all samples together, which are held in memory, with `HELD` bytes each."""

HELD = 15
"""Bytes of a pixel of a sample: its colours as float32 and as levels of 8 bits."""

HELD_AT_MOST = 48
"""The same where it is saved in numbers that are not whole."""

MOST_FINISHING = 8_000_000_000
"""Bytes that samples may take while they are finished; a single one may take any number."""

KEPT_BY_CHAINS = 9_100
"""Bytes a pixel that the gradient of a chain keeps, at most of the bundled priors."""

GPU_BATCH, STATES_IN_MEMORY = 8, 16
"""Samples drawn together at most by a GPU, and how many of their widest top-down states must fit
into what other programs leave of it."""


def batch_for(pixels: int) -> int:
    """By a processor, of samples of so many pixels."""
    return max(1, min(BATCH, PIXELS // pixels))


def moved_at_once(device: torch.device, pixels: int) -> int:
    """How many batches of chains on images of so many pixels move at a time: what their gradients
    keep takes no more than half of the memory."""
    fitting = usable_memory() / 2 / (KEPT_BY_CHAINS * pixels * batch_for(pixels))
    return int(min(workers_on(device), max(1, fitting)))


def finished_at_once(bytes_of_one: int) -> int:
    """How many batches of which each takes so many bytes meanwhile."""
    return max(1, MOST_FINISHING // bytes_of_one)


def gpu_batch_for(device: torch.device, state: float) -> int:
    """By a GPU, of samples whose widest state has so many bytes."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    states = (torch.cuda.mem_get_info(device)[0] + kept) / state
    return max(1, min(GPU_BATCH, int(states / STATES_IN_MEMORY)))


def held_in(levels: int | None) -> int:
    """Bytes of a pixel of a sample that is saved in so many levels, or not rounded."""
    if levels is None:
        return HELD_AT_MOST
    return HELD if levels <= EIGHT_BITS else 24


def check_memory(samples: int, height: int, width: int, instead: str, held: int = HELD) -> None:
    """Refuse images that cannot be held together.

    Args:
        samples: How many.
        height: Of each.
        width: Of each.
        instead: What to do.
        held: Bytes of each of their pixels.

    Raises:
        InputError: They have more than `MOST_PIXELS`, or as many bytes.
    """
    most_pixels = MOST_PIXELS * HELD // held
    if samples * height * width > most_pixels:
        most = most_pixels // (height * width)
        fewer = f"ask for at most {most}, or " if most else ""
        each = f"of {width}×{height} pixels"
        many = f"{samples} samples {each} do not" if samples > 1 else f"one sample {each} does not"
        raise InputError(f"{many} fit into memory: {fewer}{instead}")
