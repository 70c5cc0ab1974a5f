"""From draws of μ(z) to samples behind what was seen, as they leave the program."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from ..degradations.block_dct import BlockDCT
from ..gaussian.noise import Noise
from .batches import finished_at_once
from .finish import Finished, cut, finish, in_grey
from .posterior.measurement import Measurement
from .restoring import Seen, in_luma
from .settings import Restoring
from .tolerance import nearest_explaining
from .workers import in_order, in_own_modes

BYTES, FEWER = 500, 300
"""What finishing takes for each pixel of a large image at most, and where H does the same to every
colour, which then come one after the other, or is a JPEG alone (measured at 3 megapixels)."""


Draw = Callable[[range], tuple[Tensor, Noise]]
"""Gives μ(z) of some samples, and the noise that their pixels are drawn with."""
DrawTogether = Callable[[Sequence[range]], Generator[tuple[Tensor, Noise]]]
"""Gives the same of one batch after the other."""


class GreyNoise:
    """Noise that is the same in all colours, with the numbers of the first.

    Args:
        noise: Where they come from.
    """

    def __init__(self, noise: Noise) -> None:
        self.noise = noise

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1)."""
        return _of_first(self.noise.normal(like))

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5)."""
        return _of_first(self.noise.uniform(like))


def _of_first(values: Tensor) -> Tensor:
    """The first colour's values in all of them: their mean would be too tame."""
    return values[:, :1].expand_as(values)


class Ending:
    """What happens after the network, for one image.

    ::

        x = E[x | z, y]                    with noise, and a wider p(x|z) where y asks for it
        x = a draw from p(x | z, y)        with `grain`
        x = the nearest image with Hx = y  without noise

    Behind a JPEG that holds no chroma all of that happens to the luma alone.

    Args:
        what: What was seen.
        how: How to restore.
        pixel_std: s, in units of an image in [0, 1].
    """

    def __init__(self, what: Seen, how: Restoring, pixel_std: float) -> None:
        self.what, self.how, self.pixel_std = what, how, pixel_std
        self.luma = what.luma_alone
        self.measurement = Measurement(what.y, what.of_what_is_open, pixel_std, what.sigma)
        widens = what.sigma > 0 and not how.grain  # alone needs to know how much was measured
        self.count = what.count if widens else 0

    @property
    def bytes_of_a_pixel(self) -> int:
        """How much memory `of` takes for each pixel of a large image."""
        H, exact = self.what.degradation, self.what.sigma == 0
        one_by_one = exact and getattr(H, "colours_alike", False)
        return FEWER if one_by_one or isinstance(H, BlockDCT) else BYTES

    def of(self, mean: Tensor, noise: Noise) -> Finished:
        """Finish a batch.

        Args:
            mean: μ(z), ``(n, C, H, W)``.
            noise: What the pixels are drawn with.
        """
        what, grain = self.what, self.how.grain
        if self.luma:
            mean = in_luma(mean)
        elif what.is_grey:
            mean, noise = in_grey(mean), GreyNoise(noise)
        _, exploded = cut(mean)
        # Networks leave colours side by side, and operators of others may ask for views of planes.
        mean = mean.nan_to_num(0.5).clamp(-1, 2).contiguous()
        if what.sigma == 0:  # the projection of a draw is what `Measurement.draw` would give
            spread = self.pixel_std * noise.normal(mean) if grain else 0.0
            done = finish(mean + spread, what.y, what.degradation, levels=what.levels)
            return done._replace(exploded=exploded)
        if grain:
            x = self.measurement.draw(mean, noise)
        else:
            x = nearest_explaining(mean, self.measurement, self.count, what.levels)
        x = x.expand(-1, 3, -1, -1) if self.luma else x
        done = finish(x, what.y, what.degradation, consistent=False, levels=what.levels)
        return done._replace(exploded=exploded)


def finished(
    draw: Draw,
    ending: Ending,
    batches: Sequence[range],
    pixels: int,
    workers: int,
    together: DrawTogether | None = None,
) -> Iterator[Finished]:
    """Draw and finish batches side by side, and finish no more at a time than fits into memory.

    Args:
        draw: Draws a batch.
        ending: Finishes them.
        batches: Which samples.
        pixels: Of a batch.
        workers: How many batches at a time.
        together: Draws several batches, where that is less work than each by itself.
    """
    at_once = finished_at_once(ending.bytes_of_a_pixel * pixels)
    if workers <= at_once and together is None:
        yield from in_order(lambda indices: ending.of(*draw(indices)), batches, workers)
        return
    drawn = in_order(draw, batches, workers) if together is None else together(batches)
    with closing(drawn):
        yield from in_order(lambda one: ending.of(*one), drawn, min(workers, at_once))


def each_in_own_modes(batches: Iterator[Finished], device: torch.device) -> Iterator[Finished]:
    """The same, each in the modes of its model, whatever a training around it computes in; who
    takes them goes on in his own dtypes and gradients between two of them, and on one thread, as
    the pieces at work behind do, until the last is taken or the iterator is closed."""
    while True:
        with in_own_modes(device):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def growing(batches: Iterable[Finished], samples: int) -> Iterator[Finished]:
    """After every batch the samples so far, the first so many of all, without holding any of them
    twice."""
    whole: Finished | None = None
    first = 0
    for batch in batches:
        if whole is None:
            whole = Finished(*(part.new_empty(samples, *part.shape[1:]) for part in batch))
        end = min(samples, first + len(batch.exploded))
        for part, of in zip(whole, batch, strict=True):
            part[first:end] = of[: end - first]
        first = end
        yield Finished(*(part[:end] for part in whole))
