"""Drawing the samples of one image, batch after batch.

A batch always has the same number of samples, even where fewer are asked for: sample i is then a
function of y, the seed and i, to the bit.

Explained in docs/explanation/sampling.md.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..gaussian.noise import Inside, Noise, Window
from ..imaging.values import EIGHT_BITS, from_levels
from .bands import Bands, Drawer, Once, groups
from .finish import Finished, Frame, finish, finish_in_strips, in_grey, in_strips, joined
from .self_ensemble import (
    Orientation,
    OrientedNoise,
    extended,
    extended_window,
    in_orientations,
)
from .settings import Sampling
from .taper import taper
from .tiles import Tile, tiles
from .tolerance import Tolerance
from .workers import (
    NETWORK,
    OnDone,
    in_order,
    one_thread_each,
    share_memory_for,
    side_by_side,
    untold,
    workers_on,
)


class _Model(Protocol):
    """What draws; `SuperResolver` documents it."""

    scale: int
    channels: int

    @property
    def device(self) -> torch.device: ...
    @property
    def tile_step(self) -> int: ...
    @property
    def orientations(self) -> Sequence[Orientation]: ...
    def check(self, y: Tensor) -> Tensor: ...
    def check_sampling(self, sampling: Sampling, size: tuple[int, int]) -> None: ...
    def degradation_of(self, lr_size: tuple[int, int], shrunk_by: str) -> Downscaling: ...
    def batch(self, pixels: int) -> int: ...
    def drawer(self, y: Tensor, sampling: Sampling, inside: Inside) -> Drawer: ...
    def noise(self, sampling: Sampling, indices: Sequence[int], window: Window) -> Noise: ...
    def tolerance(self, y: Tensor) -> Tolerance | None: ...


class Drawing:
    """An image, a model, and how to draw.

    Args:
        model: The model.
        y: The low-resolution image, ``(C, h, w)`` or ``(1, C, h, w)``, in [0, 1].
        sampling: How to draw.
        levels: As for `finish`.
        on_pixels: Called, on any thread, with how many pixels of samples are done since the last
            call; those of a tile that is drawn and not finished count in part.

    Attributes:
        degradation: H.
        tolerance: What the noise of y leaves open; None where it has none.
        tiles: What is drawn at once of the high-resolution images.
        batch: How many samples are drawn together.
        grey: Whether y is: then the samples are.

    Raises:
        InputError: An image, steps of steering or a profile that the model does not take.
    """

    def __init__(
        self,
        model: _Model,
        y: Tensor,
        sampling: Sampling,
        levels: int | None = EIGHT_BITS,
        on_pixels: OnDone = untold,
    ) -> None:
        self.model, self.y, self.sampling = model, model.check(y), sampling
        self.levels, self.tolerance, self.on_pixels = levels, model.tolerance(self.y), on_pixels
        self.degradation = model.degradation_of(
            (self.y.shape[2], self.y.shape[3]), sampling.shrunk_by
        )
        model.check_sampling(sampling, self.degradation.hr_size)
        share_memory_for(self.degradation.hr_size)
        self.tiles = list(tiles(self.degradation.hr_size, model.tile_step))
        self.batch = model.batch(max(t.window.height * t.window.width for t in self.tiles))
        self.workers = workers_on(model.device)
        self.grey = bool((self.y == self.y[:, :1]).all())
        self.turned, self.whole = dict[Orientation, Drawer](), None
        if len(self.tiles) == 1 and not sampling.self_ensemble:
            with torch.no_grad(), one_thread_each(), side_by_side(self.workers):
                self.whole = self.encode(self.tiles[0])

    def finished(self, parent: Tensor | None = None) -> Iterator[Finished]:
        """The batches as they leave the program; together they hold the samples asked for.

        Args:
            parent: The pixels of the sample that the last step starts from, uint8 ``(C, H, W)``,
                where they are at hand; they are drawn again otherwise.
        """
        frame = self._frame(parent)
        left = self.sampling.samples
        if frame is None and len(self.tiles) > 1:
            batches = self._in_groups()
        else:
            work = partial(self._finished, frame=frame)
            batches = in_order(work, self._batches(), self.workers)
        for batch in batches:
            yield Finished(*(part[:left] for part in batch))
            left -= self.batch

    def all_strips(self) -> Generator[tuple[int, Finished]]:
        """Strips of all samples, each with the index of its sample, in the memory of a few: of each
        sample from the top downwards, and of some samples in turn. Where only a region varies, or
        the image is small, a strip is all of it."""
        for batch, done in self._all_strips():
            for place, index in enumerate(batch):
                if index < self.sampling.samples:
                    yield index, Finished(*(part[place : place + 1] for part in done))

    def _all_strips(self) -> Iterator[tuple[range, Finished]]:
        if self.frame is not None or not in_strips(self.degradation):
            work, batches = partial(self._finished, frame=self.frame), self._batches()
            workers = self.workers if self.frame is None else 1  # for it may be large
            yield from zip(batches, in_order(work, batches, workers), strict=True)
            return
        batches, planes = self._batches(self.beside), self.beside * self.model.channels
        for some in groups(batches, planes, self.degradation.hr_size[1]):
            for place, strip in self._strips_of(some, self.tiles):
                yield some[place], strip

    def _in_groups(self) -> Iterator[Finished]:
        """The batches, finished while the next tiles are drawn; of some of them, those are encoded
        once."""
        batches, (height, width) = self._batches(), self.degradation.hr_size
        of, least = (self.batch * self.model.channels, width, height), max(2, self.workers)
        for some in groups(batches, *of, least):
            strips: list[list[Finished]] = [[] for _ in some]
            for place, strip in self._strips_of(some, self.tiles):
                strips[place].append(strip)
            while strips:
                yield joined(strips.pop(0))

    def _strips_of(
        self, batches: Sequence[range], cut: Sequence[Tile]
    ) -> Iterator[tuple[int, Finished]]:
        """Strips of some batches in turn, each with the place of its batch among them."""
        shared = len(batches) > 1 and self.whole is None and not self.sampling.self_ensemble
        planes = (self.model.channels, self.degradation.hr_size[1])
        of = (self.tile, self.encode if shared else None, batches, cut, planes, self.workers)
        with one_thread_each(), closing(Bands(*of)) as bands:
            turns = [self._in_strips(b, partial(bands.rows, i)) for i, b in enumerate(batches)]
            left = True
            while left:
                some = in_order(_next, turns, min(self.workers, len(turns)))
                for place, strip in enumerate(some):
                    left = strip is not None
                    if strip is not None:
                        yield place, strip

    def strips(self, index: int, cut: Sequence[Tile] | None = None) -> Iterator[Finished]:
        """Strips of one sample as they leave the program, from the top, in the memory of a few.

        Where only a region varies, or the image is small, the first is all of it.

        Args:
            index: Which sample.
            cut: Other tiles than `tiles`, row after row of them.
        """
        batch = self.batch_of(index, self.beside)
        within = slice(index - batch.start, index - batch.start + 1)
        if self.frame is not None or not in_strips(self.degradation):  # as `finished`, to the bit
            (done,) = in_order(partial(self._finished, frame=self.frame), [batch], 1)
            return iter([Finished(*(part[within] for part in done))])
        drawn = self._strips_of([batch], cut or self.tiles)
        return (Finished(*(part[within] for part in done)) for _, done in drawn)

    def before_finish(self) -> Iterator[Tensor]:
        """The batches as the network gives them, ``(n, C, H, W)`` float32 on the CPU."""
        left = self.sampling.samples
        for batch in in_order(self._network, self._batches(), self.workers):
            yield batch[:left]
            left -= self.batch

    def encode(self, tile: Tile) -> Drawer:
        """What draws a tile: y is encoded."""
        with self._own_precision():
            y = tile.of(self.y, self.model.scale)
            return self.model.drawer(y.to(self.model.device), self.sampling, tile.inside)

    def tile(self, indices: range, tile: Tile, encoded: Once[Drawer] | None = None) -> Tensor:
        """What the network gives in the core of a tile, ``(n, C, height, width)``.

        Args:
            indices: The batch.
            tile: The tile.
            encoded: What draws it, where others draw it, too; it is encoded for this batch alone
                by default.
        """
        with self._own_precision():
            y = tile.of(self.y, self.model.scale)
            if self.sampling.self_ensemble:
                known = self.turned if len(self.tiles) == 1 else {}
                of = (self.model, y, self.sampling, indices, tile.window)
                x = drawn_in_orientations(*of, known)[..., *tile.inside]
            else:
                noise = self.model.noise(self.sampling, indices, tile.window)
                draw = self.whole or (encoded() if encoded else self.encode(tile))
                with side_by_side(self.workers_of_a_batch if self.whole else 1):
                    x = draw(noise, len(indices))
        self._tell(indices, tile.core.height * tile.core.width, NETWORK)
        return in_grey(x) if self.grey else x

    def _tell(self, indices: range, pixels: int, share: float) -> None:
        """That so many pixels of a batch have gone through what is this share of the work."""
        wanted = min(indices.stop, self.sampling.samples) - indices.start
        self.on_pixels(share * wanted * pixels)

    def _own_precision(self) -> torch.autocast:
        """The model's dtype, whatever a training around this draw computes in: what is cast is a
        matter of every thread, and samples must not depend on the thread."""
        return torch.autocast(self.model.device.type, enabled=False)

    @property
    def beside(self) -> int:
        """Samples of a batch where a single one is wanted: on a GPU none is the same to the bit in
        every batch, and none need be drawn beside it."""
        return self.batch if self.model.device.type == "cpu" else 1

    def batch_of(self, index: int, size: int | None = None) -> range:
        """The batch that a sample is drawn in, of so many as are drawn together by default."""
        size = size or self.batch
        first = index - index % size
        return range(first, first + size)

    @property
    def workers_of_a_batch(self) -> int:
        """How many tiles of a batch are drawn at a time: more than one where batches are few."""
        return max(1, self.workers // len(self._batches()))

    def _batches(self, size: int | None = None) -> list[range]:
        """Batches of so many samples, by default as many as are drawn together."""
        size = size or self.batch
        return [range(i, i + size) for i in range(0, self.sampling.samples, size)]

    def _network(self, indices: range) -> Tensor:
        """What the network gives of a batch, its tiles side by side where batches are few."""
        shape = (len(indices), self.model.channels, *self.degradation.hr_size)
        x = torch.empty(shape, dtype=torch.float32, device="cpu")
        drawn = in_order(partial(self.tile, indices), self.tiles, self.workers_of_a_batch)
        for tile, part in zip(self.tiles, drawn, strict=True):
            x[:, :, *tile.core.slices] = part
        return x

    def _finished(self, indices: range, frame: Frame | None) -> Finished:
        """A batch, finished."""
        x, how = self._network(indices), (self.levels, self.tolerance)
        done = finish(x, self.y, self.degradation, self.sampling.consistent, frame, *how)
        self._tell(indices, math.prod(self.degradation.hr_size), 1 - NETWORK)
        return done

    def _in_strips(self, indices: range, rows: Callable[[int, int], Tensor]) -> Iterator[Finished]:
        of, consistent = (rows, self.y, self.degradation), self.sampling.consistent

        def told(strip: Finished) -> Finished:
            self._tell(indices, strip.x.shape[2] * strip.x.shape[3], 1 - NETWORK)
            return strip

        return map(told, finish_in_strips(*of, consistent, self.levels, self.tolerance))

    @cached_property
    def frame(self) -> Frame | None:
        """What stays where only a region varies; drawn once."""
        return self._frame()

    def _frame(self, parent: Tensor | None = None) -> Frame | None:
        """What stays where only a region varies: the sample that it belongs to, as it is saved."""
        if not self.sampling.steps or (mask := self.sampling.steps[-1].mask) is None:
            return None
        if parent is None:
            before = Drawing(self.model, self.y, self.sampling.before(), self.levels)
            (sample,) = self.sampling.steps[-1].samples
            batch = before.batch_of(sample)
            work = partial(before._finished, frame=before._frame())
            (done,) = in_order(work, [batch], 1)
            parent = done.pixels[sample - batch.start]
        x, weights = from_levels(parent[None], self.levels).float(), taper(mask)
        return Frame(mask[None, None], x, weights[None, None])


def _next(strips: Iterator[Finished]) -> Finished | None:
    """The next one; None after the last."""
    return next(strips, None)


def drawn_in_orientations(
    model: _Model,
    y: Tensor,
    sampling: Sampling,
    indices: Sequence[int],
    window: Window,
    known: dict[Orientation, Drawer],
) -> Tensor:
    """Samples of a window as the network gives them, each in its orientation.

    Args:
        model: The model.
        y: What it sees of the window, ``(1, C, h, w)``.
        sampling: How to draw.
        indices: Which samples.
        window: Which part of the high-resolution image that is.
        known: What y has been encoded to in the orientations that came before; new ones are added.

    Returns:
        ``(n, C, height, width)`` of the window.
    """
    y = extended(y, model.tile_step // model.scale)
    whole = extended_window(window, model.tile_step)

    def draw(orientation: Orientation, some: Sequence[int]) -> Tensor:
        if orientation not in known:
            told = orientation.of(y).contiguous().to(model.device)
            everything = Window(0, 0, *(model.scale * side for side in told.shape[2:])).slices
            known[orientation] = model.drawer(told, sampling, everything)
        noise = OrientedNoise(model.noise(sampling, some, whole), orientation)
        return orientation.undone(known[orientation](noise, len(some)))

    x = in_orientations(indices, model.orientations, sampling.antithetic, draw)
    return x[:, :, : window.height, : window.width]
