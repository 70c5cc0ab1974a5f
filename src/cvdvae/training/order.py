"""The order of the training data: a function of how many images went before, so that any run can
be resumed."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from ..data.images import Key


class StepBatches(Sampler[list[Key]]):
    """Endless batches of keys for `Images`; what a batch holds depends on the seed only.

    Every epoch is a permutation of its own; images do not repeat within one.

    Args:
        n_images: Number of training images.
        batch_size: Images in a batch, over all processes.
        seed: Seed of the order, the mirroring and the draws.
        seen: Images in all batches before the first.
        flip: Mirror half of the images.
        rank: This process's share: rows ``rank, rank + world_size, …`` of every batch.
        world_size: Number of processes.

    Example:
        >>> steps = iter(StepBatches(10, 4, seed=0))
        >>> _, second = next(steps), next(steps)
        >>> second == next(iter(StepBatches(10, 4, seed=0, seen=4)))
        True
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        seed: int,
        seen: int = 0,
        flip: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.n_images, self.batch_size, self.seed = n_images, batch_size, seed
        self.seen, self.flip, self.rank, self.world_size = seen, flip, rank, world_size

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.seen
        epoch, keys = -1, tuple[np.ndarray, ...]()
        while True:
            batch = []
            for place in range(position, position + self.batch_size):
                if place // self.n_images != epoch:
                    epoch = place // self.n_images
                    keys = self._epoch(epoch)
                batch.append(Key(*(values[place % self.n_images].item() for values in keys)))
            position += self.batch_size
            yield batch[self.rank :: self.world_size]

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three values of all keys: as objects, those of a million crops take 200 MB."""
        rng = np.random.default_rng([self.seed, epoch])
        rows = rng.permutation(self.n_images)
        mirrored = (rng.random(self.n_images) < 0.5) & self.flip
        return rows, mirrored, rng.integers(2**62, size=self.n_images)
