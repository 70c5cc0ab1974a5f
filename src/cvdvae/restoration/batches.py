"""How many samples are drawn together."""

import torch

BATCH = 4
"""Samples drawn together at most by a processor; larger batches gain nothing."""

PIXELS = BATCH * 64**2
"""Pixels drawn together at most by a processor; a single sample may have any number."""

GPU_BATCH, STATES_IN_MEMORY = 8, 16
"""Samples drawn together at most by a GPU, and how many of their widest top-down states must fit
into what other programs leave of it."""


def batch_for(pixels: int) -> int:
    """By a processor, of samples of so many pixels."""
    return max(1, min(BATCH, PIXELS // pixels))


def gpu_batch_for(device: torch.device, state: float) -> int:
    """By a GPU, of samples whose widest state has so many bytes."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    states = (torch.cuda.mem_get_info(device)[0] + kept) / state
    return max(1, min(GPU_BATCH, int(states / STATES_IN_MEMORY)))
