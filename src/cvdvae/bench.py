"""How fast a model draws, beside what this machine can do."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from .restoration.sampler import SuperResolver
from .restoration.settings import Sampling
from .restoration.workers import on_one_processor


@dataclass(frozen=True)
class Timing:
    """One row of `bench`.

    Attributes:
        samples: Samples of one image.
        seconds: For all of them: the median of the repetitions.
        gflops: 10⁹ floating-point operations of the networks, a multiplication and an addition
            counted as two.
    """

    samples: int
    seconds: float
    gflops: float

    @property
    def images_per_second(self) -> float:
        """Samples per second."""
        return self.samples / self.seconds

    @property
    def gflops_per_second(self) -> float:
        """What was achieved, to be held against `peak`."""
        return self.gflops / self.seconds


def bench(
    model: SuperResolver, counts: tuple[int, ...] = (1, 8), repeats: int = 5
) -> Iterator[Timing]:
    """Time the drawing of samples of one image, projection included, once the model is warm."""
    size = (model.lr_size, model.lr_size)
    # Smooth, as images are: noise is the shadow of no image in range, and hard to project onto.
    generator = torch.Generator().manual_seed(0)
    corners = 0.25 + 0.5 * torch.rand(1, model.channels, 2, 2, generator=generator)
    y = F.interpolate(corners, size, mode="bilinear")[0]
    for samples in counts:
        sampling = model.sampling(samples)

        def draw(sampling: Sampling = sampling) -> None:
            model.run(y, sampling)

        # The counter sees what this thread computes, and no other; where a block that is to be
        # compiled meets it first, it would never be compiled.
        eager = torch.compiler.set_stance("force_eager")
        with eager, on_one_processor(), FlopCounterMode(display=False) as counter:
            draw(replace(sampling, consistent=False))
        yield Timing(samples, median_seconds(draw, repeats), counter.get_total_flops() / 1e9)


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Most GFLOP/s that PyTorch's 3×3 convolutions reach here, over a few sizes."""
    best = 0.0
    for channels, side in ((64, 128), (128, 64), (128, 128), (256, 64)):
        x = torch.randn(1, channels, side, side, device=device, dtype=dtype)
        w = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
        with torch.no_grad():
            seconds = fastest_seconds(partial(F.conv2d, x, w, padding=1), device)
        best = max(best, 2 * 9 * channels**2 * side**2 / seconds / 1e9)
    return best


def fastest_seconds(call: Callable[[], object], device: torch.device, repeats: int = 20) -> float:
    """The shortest time of one call."""
    return min(_times(call, repeats, device))


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """The median time of one call whose result arrives on the CPU."""
    times = sorted(_times(call, repeats, torch.device("cpu")))
    return times[len(times) // 2]


def _times(call: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    times = []
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        call()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        if repeat:  # the first warms up
            times.append(time.perf_counter() - started)
    return times


def peak_memory(device: torch.device) -> float:
    """Most gigabytes that this process has held: on the GPU if it computes there; NaN where the
    system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
