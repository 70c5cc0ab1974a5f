"""Rows of what a network draws of a large image, band by band, of some samples at a time.

A band is a row of tiles. What y says of a tile is the same for every sample: it is encoded once,
while the samples before it are drawn on the one that came before.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..gaussian.noise import Noise
from .tiles import CORE, Tile
from .workers import apart, in_order

Drawer = Callable[[Noise, int], Tensor]
"""``(noise, n) -> x``: draw n samples, ``(n, C, H, W)``, of the image that it was made for."""

HELD = 5 * 2**27
"""Bytes of rows that are held of all samples that are drawn at a time."""

T = TypeVar("T")


class Once(Generic[T]):
    """What is computed when it is first asked for, and by whom; others wait, and share it.

    Args:
        compute: Computes it.
    """

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute, self._lock, self._known = compute, threading.Lock(), list[T]()

    def __call__(self) -> T:
        """It."""
        with self._lock:
            if not self._known:
                self._known.append(self._compute())
            return self._known[0]


def evenly(batches: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """No more than so many batches at a time, and about as many every time."""
    count = -(-len(batches) // most)
    return (
        batches[len(batches) * i // count : len(batches) * (i + 1) // count] for i in range(count)
    )


def groups(
    batches: Sequence[T], planes: int, width: int, kept: int = 0, least: int = 1
) -> Iterator[Sequence[T]]:
    """Batches that are drawn at a time: as many as may be held.

    Args:
        batches: Each of as many samples.
        planes: How many channels the samples of a batch have together.
        width: Of the images.
        kept: Rows of them that are kept, in float and in levels, until all of a batch are done.
        least: How many are held whatever their size.
    """
    held = planes * width * max(4 * (CORE + CORE // 2), 5 * kept)
    return evenly(batches, max(least, HELD // held))


C = TypeVar("C")


def drawn_tiles(
    draw: Callable[[range, Tile, Once[C] | None], T],
    encode: Callable[[Tile], C] | None,
    batches: Sequence[range],
    cut: Sequence[Tile],
    workers: int,
) -> Generator[T]:
    """Every tile, of every batch.

    Args:
        draw: ``(indices, tile, encoded) -> x``: draws a tile for a batch.
        encode: Encodes what is seen of a tile for all batches; None where each does by itself.
        batches: Which samples.
        cut: The tiles.
        workers: How many pieces are worked on at a time.

    Yields:
        What is drawn, tile after tile, of each in the order of the batches.
    """
    work: Iterator[_Piece[C]]

    def do(piece: _Piece[C]) -> T | None:
        tile, encoded, indices = piece
        if indices is not None:
            return draw(indices, tile, encoded)
        if encoded is not None:
            encoded()
        return None

    if encode is None or len(batches) == 1:
        work = _by_itself(batches, cut)
    else:
        work = _shared(encode, batches, cut, workers)
    with closing(in_order(do, work, workers)) as pieces:
        yield from (piece for piece in pieces if piece is not None)


_Piece = tuple[Tile, Once[C] | None, range | None]
"""A tile, what is encoded of it, and the batch to draw; no batch where it is to be encoded."""


def _by_itself(batches: Sequence[range], cut: Sequence[Tile]) -> Iterator[tuple[Tile, None, range]]:
    return ((tile, None, indices) for tile in cut for indices in batches)


def _shared(
    encode: Callable[[Tile], C], batches: Sequence[range], cut: Sequence[Tile], workers: int
) -> Iterator[_Piece[C]]:
    """What is encoded is large: a tile is, just before it is needed, while the last batches of the
    tile before it are drawn; by several workers the first two, for there is nothing to draw yet."""
    encodings = ((tile, Once(partial(encode, tile))) for tile in cut)
    before_the_last = max(0, len(batches) - workers)
    one, split = next(encodings, None), 0 if workers > 1 else before_the_last
    if one is not None:
        yield *one, None
    while one is not None:
        following = next(encodings, None)
        yield from ((*one, indices) for indices in batches[:split])
        if following is not None:
            yield *following, None
        yield from ((*one, indices) for indices in batches[split:])
        one, split = following, before_the_last


class Bands:
    """Rows of what the network gives, with no more of them in memory than asked for.

    Threads may ask side by side, each for one of the batches.

    Args:
        draw: As for `drawn_tiles`.
        encode: As for `drawn_tiles`.
        batches: Which samples.
        cut: Tiles, row after row of them.
        planes: Channels and width of the images.
        workers: How many tiles are drawn at a time, some ahead of the rows that are asked for.
    """

    def __init__(
        self,
        draw: Callable[[range, Tile, Once[C] | None], Tensor],
        encode: Callable[[Tile], C] | None,
        batches: Sequence[range],
        cut: Sequence[Tile],
        planes: tuple[int, int],
        workers: int,
    ) -> None:
        (channels, self.width), self.left = planes, iter(cut)
        self.lock, self.drawn = threading.Lock(), drawn_tiles(draw, encode, batches, cut, workers)
        self.failed: BaseException | None = None
        self.tops = [0] * len(batches)
        self.held = [
            torch.empty(len(some), channels, 0, self.width, device="cpu") for some in batches
        ]

    def rows(self, which: int, first: int, end: int) -> Tensor:
        """Rows `first` … `end` − 1 of a batch, ``(n, C, rows, W)``; no earlier ones are asked for
        again."""
        with self.lock:
            if self.failed is not None:
                raise self.failed
            self.held[which] = self.held[which][:, :, max(0, first - self.tops[which]) :]
            self.tops[which] = top = max(self.tops[which], first)
            while top + self.held[which].shape[2] < end:
                self._next_band()
            return self.held[which][:, :, first - top : end - top]

    def close(self) -> None:
        """No more is asked for."""
        self.drawn.close()

    def _next_band(self) -> None:
        """Draw a row of tiles, of every batch; what ends it is raised in other threads, too."""
        try:
            right = 0
            while right < self.width:
                core = next(self.left).core
                if right == 0:
                    self.held = [_with_room(held, core.height) for held in self.held]
                for held in self.held:
                    held[:, :, -core.height :, right : right + core.width] = next(self.drawn)
                right += core.width
        except BaseException as error:
            self.failed = error
            raise


def _with_room(held: Tensor, height: int) -> Tensor:
    """Rows that are held, and so many below them."""
    n, channels, rows, width = held.shape
    more = apart(torch.empty(n, channels, rows + height, width, device="meta"))
    more[:, :, :rows] = held
    return more
