"""The noise that samples are drawn with: of a seed, of a sample's number, of a place.

Explained in docs/explanation/sampling.md.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError


class Noise(Protocol):
    """A source of random numbers in the shape, dtype and device of another tensor."""

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1)."""

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(0, 1), kept away from both ends by 1e-5."""


class GlobalNoise:
    """PyTorch's global generator: for training, where nobody asks which sample drew what.

    Args:
        rank: This process of those that share a batch: it holds the rows ``rank, rank + world_size,
            …`` of it, and takes the same rows of the noise.
        world_size: Number of such processes; with the same seed they draw what one would.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank, self.world_size = rank, world_size

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1)."""
        return self._own(torch.randn(self._shape(like), dtype=like.dtype, device=like.device))

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5)."""
        values = torch.rand(self._shape(like), dtype=like.dtype, device=like.device)
        return self._own(values).mul_(1 - 2e-5).add_(1e-5)

    def _shape(self, like: Tensor) -> tuple[int, ...]:
        return (self.world_size * len(like), *like.shape[1:])

    def _own(self, values: Tensor) -> Tensor:
        return values[self.rank :: self.world_size]


class SeededNoise:
    """One generator per sample, so that a sample does not depend on the batch it is drawn in.

    The numbers are drawn on the CPU and then moved, so they are the same on every device.

    Args:
        seed: Seed of the whole set of samples, not negative. Sample i of a seed below 2³² is sample
            0 of the seed + i · 2³², too; to part them would change all samples of large seeds.
        indices: Which samples of that set the batch holds: element n draws from a generator of its
            own, made from ``(seed, indices[n])``.
        stream: Other numbers of the same samples, which are independent of those of stream 0.

    Example:
        >>> like = torch.empty(2, 3)
        >>> both = SeededNoise(0, [0, 1]).normal(like)
        >>> torch.equal(both[1:], SeededNoise(0, [1]).normal(like[:1]))
        True
    """

    def __init__(self, seed: int, indices: Sequence[int], stream: int = 0) -> None:
        of = [np.random.SeedSequence([seed, i, *[stream] * (stream > 0)]) for i in indices]
        seeds = [int(one.generate_state(1, np.uint64)[0] >> 1) for one in of]
        self.generators = [torch.Generator().manual_seed(one) for one in seeds]

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1); `like` has one row for every index."""
        return self._rows(torch.randn, like).to(like)

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5); `like` has one row for every index."""
        return self._rows(torch.rand, like).mul_(1 - 2e-5).add_(1e-5).to(like)

    def _rows(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        _check_rows(like, len(self.generators))
        shape, usual = like.shape[1:], {"dtype": torch.float32, "device": "cpu"}
        return torch.stack([draw(shape, generator=g, **usual) for g in self.generators])


def _check_rows(like: Tensor, count: int) -> None:
    if len(like) != count:
        raise InputError(f"this noise is of {count} samples, and {len(like)} are drawn")


Inside = tuple[slice, slice]
"""Rows and columns of an image, from a beginning to an end."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels: a tile of it, or all of it.

    Attributes:
        top: Rows above it.
        left: Columns left of it.
        height: Its rows.
        width: Its columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> Inside:
        """Its rows and columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


CELL = 64
"""Side of the cells of a field, in positions of its group."""


class FieldNoise:
    """Noise that belongs to places: a function of (seed, sample, group, position).

    So a tile draws what the whole image would, and a sample does not depend on its batch. The field
    of a group consists of cells of 64×64 positions; each is drawn by Philox (Salmon et al. 2011), a
    generator whose stream is a function of a key, here of (seed, sample), and of a counter, here of
    (group, row, column) of the cell. The groups are counted by the calls.

    Args:
        seed: Seed of the whole set of samples, not negative.
        indices: Which samples of that set the batch holds.
        window: The part of the image whose noise is asked for; its place and its size are multiples
            of the stride of every group.

    Example:
        >>> whole = FieldNoise(0, [1], Window(0, 0, 80, 96)).normal(torch.empty(1, 2, 40, 48))
        >>> tile = FieldNoise(0, [0, 1], Window(32, 16, 16, 64)).normal(torch.empty(2, 2, 8, 32))
        >>> torch.equal(tile[1], whole[0, :, 16:24, 8:40])
        True
    """

    def __init__(self, seed: int, indices: Sequence[int], window: Window) -> None:
        self.window, self.group = window, 0
        self.keys = [
            np.random.SeedSequence([seed, i]).generate_state(2, np.uint64) for i in indices
        ]

    def normal(self, like: Tensor, inside: Inside | None = None) -> Tensor:
        """Draw from N(0, 1) for the next group.

        Args:
            like: ``(n, C, window / stride)``.
            inside: Which rows and columns of those are wanted, all by default; no others are drawn.
        """
        return self._field(like, inside, lambda rng, of: rng.standard_normal(of, np.float32))

    def uniform(self, like: Tensor, inside: Inside | None = None) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5), as a group of its own."""
        values = self._field(like, inside, lambda rng, of: rng.random(of, np.float32))
        return values.mul_(1 - 2e-5).add_(1e-5)

    def _field(
        self, like: Tensor, inside: Inside | None, draw: Callable[..., np.ndarray]
    ) -> Tensor:
        _check_rows(like, len(self.keys))
        _, channels, rows, columns = like.shape
        top, left, height, width = self.window
        stride = height // rows
        if rows * stride != height or columns * stride != width or top % stride or left % stride:
            raise ValueError(f"{self.window} has no {rows}×{columns} positions at one stride")
        top, left = top // stride, left // stride
        if inside is not None:
            (first, end), (start, stop) = ((side.start, side.stop) for side in inside)
            top, left, rows, columns = top + first, left + start, end - first, stop - start
        out = np.empty((len(self.keys), channels, rows, columns), np.float32)
        for i in range(top // CELL, -(-(top + rows) // CELL)):
            for j in range(left // CELL, -(-(left + columns) // CELL)):
                y0, y1 = max(top, i * CELL), min(top + rows, (i + 1) * CELL)
                x0, x1 = max(left, j * CELL), min(left + columns, (j + 1) * CELL)
                for n, key in enumerate(self.keys):
                    philox = np.random.Philox(key=key, counter=[0, self.group, i, j])
                    cell = draw(np.random.Generator(philox), (channels, CELL, CELL))
                    out[n, :, y0 - top : y1 - top, x0 - left : x1 - left] = cell[
                        :, y0 - i * CELL : y1 - i * CELL, x0 - j * CELL : x1 - j * CELL
                    ]
        self.group += 1
        return torch.from_numpy(out).to(like)


class NoiseOfPart:
    """What noise of whole images has in a part of them.

    Args:
        noise: The noise.
        size: Rows and columns of the whole.
        inside: Which of them the part has.

    Example:
        >>> part = NoiseOfPart(SeededNoise(0, [3]), (6, 8), (slice(2, 4), slice(0, 8)))
        >>> whole = SeededNoise(0, [3]).normal(torch.empty(1, 5, 6, 8))
        >>> torch.equal(part.normal(torch.empty(1, 5, 2, 8)), whole[:, :, 2:4])
        True
    """

    def __init__(self, noise: Noise, size: tuple[int, int], inside: Inside) -> None:
        self.noise, self.size, self.inside = noise, size, inside

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, 1), in the shape of `like`."""
        return self._part(self.noise.normal, like)

    def uniform(self, like: Tensor) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5), alike."""
        return self._part(self.noise.uniform, like)

    def _part(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        whole = like
        if like.shape[2:] != self.size:
            whole = like.new_empty(1).expand(*like.shape[:2], *self.size)
        if isinstance(self.noise, FieldNoise | AntitheticNoise):  # draws nothing else
            return draw(whole, self.inside)
        return draw(whole)[..., *self.inside]


class AntitheticNoise:
    """Noise of samples in opposite pairs: antithetic variates (Hammersley and Morton 1956).

    ::

        ε(2k) = ε'(k),    ε(2k + 1) = −ε'(k)

    where ε' is the noise of independent samples. Each sample is a draw like any other; in the mean
    of a pair what is odd in the noise cancels, so that a mean of few is as good as one of many.

    Args:
        make: ε', from the indices of samples.
        indices: Which samples the batch holds.

    Example:
        >>> like = torch.empty(2, 3)
        >>> pair = AntitheticNoise(lambda indices: SeededNoise(0, indices), [6, 7]).normal(like)
        >>> torch.equal(pair[0], -pair[1])
        True
    """

    def __init__(self, make: Callable[[Sequence[int]], Noise], indices: Sequence[int]) -> None:
        pairs = sorted({i // 2 for i in indices})  # what both of a pair need is drawn once
        self.noise, self.pairs = make(pairs), len(pairs)
        self.which = [pairs.index(i // 2) for i in indices]
        self.second = torch.tensor([i % 2 == 1 for i in indices], device="cpu")

    def normal(self, like: Tensor, inside: Inside | None = None) -> Tensor:
        """Draw from N(0, 1).

        Args:
            like: One row for every index.
            inside: As for `FieldNoise.normal`.
        """
        values = self._of_pairs(like, inside).normal(like[: self.pairs])[self.which]
        values[self.second] = -values[self.second]
        return values

    def uniform(self, like: Tensor, inside: Inside | None = None) -> Tensor:
        """Draw from U(1e-5, 1 - 1e-5), alike."""
        values = self._of_pairs(like, inside).uniform(like[: self.pairs])[self.which]
        values[self.second] = 1 - values[self.second]
        return values

    def _of_pairs(self, like: Tensor, inside: Inside | None) -> Noise:
        if inside is None:
            return self.noise
        return NoiseOfPart(self.noise, (like.shape[2], like.shape[3]), inside)


def noise_for(
    seed: int, indices: Sequence[int], window: Window | None = None, antithetic: bool = False
) -> Noise:
    """The noise of samples.

    Args:
        seed: Seed of the whole set of samples, not negative.
        indices: Which samples of that set the batch holds.
        window: The part of the images whose noise is asked for, where it belongs to places.
        antithetic: Whether samples 2k and 2k + 1 are an opposite pair.
    """
    if antithetic:
        return AntitheticNoise(lambda pairs: noise_for(seed, pairs, window), indices)
    return SeededNoise(seed, indices) if window is None else FieldNoise(seed, indices, window)
