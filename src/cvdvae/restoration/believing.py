"""What the encoder for any degradation believes of an image, and draws of it, tile by tile.

::

    e   = evidence(H, y, σ)        of the whole image: H may see all of it at once
    z   ~ q_ψ(z | e)               in windows that overlap, with the noise of their places
    μ(z)                           in their cores

A prior that is bound to its size, and an image of up to `cvdvae.restoration.tiles.WHOLE_PIXELS`,
have one window.
"""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from ..damage.step import Size
from ..gaussian.noise import AntitheticNoise, Inside, Noise, SeededNoise, Window, noise_for
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder, drawn_mean
from .bands import Once, drawn_tiles, evenly
from .batches import batch_for
from .self_ensemble import (
    Orientation,
    OrientedNoise,
    extended,
    extended_window,
    in_orientations,
    known_orientations,
)
from .settings import Restoring
from .tiles import Tile, tiles
from .workers import NETWORK, OnDone, held, side_by_side, untold, workers_on

TOGETHER = 4
"""Batches for which a tile is encoded once: the first are there when all of them are."""


class Belief:
    """Draws of μ(z) behind what was seen of one image.

    Args:
        prior: The hierarchical VAE.
        encoder: The encoder for any degradation on it.
        told: From `cvdvae.restoration.evidence.evidence`, ``(1, 2 C + 3, H, W)``.
        how: How to restore.
        on_steps: Called, on any thread, with how many samples are drawn since the last call, in
            parts of their work.

    Attributes:
        tiles: What is drawn at once.
        batch: How many samples are drawn together: a function of the image's size alone.
    """

    def __init__(
        self,
        prior: HVAE,
        encoder: LREncoder,
        told: Tensor,
        how: Restoring,
        on_steps: OnDone = untold,
    ) -> None:
        self.prior, self.encoder, self.told = prior, encoder, told
        self.how, self.on_steps = how, on_steps
        self.device = next(prior.parameters()).device
        self.any_size, size = prior.config.any_size, (told.shape[2], told.shape[3])
        self.tiles = list(tiles(size, encoder.multiple)) if self.any_size else [_all(size)]
        self.batch = batch_for(max(tile.window.height * tile.window.width for tile in self.tiles))
        alone = len(self.tiles) == 1 and not how.self_ensemble
        with side_by_side(workers_on(self.device) if alone else 1):
            self.whole = self._terms(self.tiles[0]) if alone else None
        self.turned = dict[Orientation, list[Tensor]]()

    def draw(self, indices: range) -> tuple[Tensor, Noise]:
        """μ(z) of some samples of an image of one tile, and the noise that their pixels are drawn
        with.

        Returns:
            ``(n, C, H, W)`` float32 on the CPU, and noise that has not been used yet.
        """
        (tile,) = self.tiles
        return self._drawn(indices, tile)

    def draw_together(
        self, batches: Sequence[range], workers: int = 1
    ) -> Generator[tuple[Tensor, Noise]]:
        """As `draw`, of many batches and any number of tiles: every tile is encoded once for some
        of them.

        Args:
            batches: Which samples.
            workers: How many pieces are worked on at a time.
        """
        encode = None if self.how.self_ensemble or self.whole is not None else self._terms
        for some in map(list, evenly(batches, TOGETHER)):
            means = [self._empty(len(indices)) for indices in some]
            drawn = drawn_tiles(self._drawn, encode, some, self.tiles, workers)
            for tile in self.tiles:
                for x in means:
                    x[:, :, *tile.core.slices], _ = next(drawn)
            while means:
                yield means.pop(0), self._noise(some.pop(0))

    def _empty(self, n: int) -> Tensor:
        """Room for some images."""
        channels, size = self.prior.config.channels, self.told.shape[2:]
        return torch.empty(n, channels, *size, dtype=torch.float32, device="cpu")

    def _noise(self, indices: Sequence[int], window: Window | None = None) -> Noise:
        """Noise of the samples, or of places of a window of them."""
        return noise_for(self.how.seed, indices, window, self.how.antithetic)

    def _terms(self, tile: Tile) -> list[Tensor]:
        told = self._told(tile).to(self.device)
        places = self.prior.top_down.places(self.encoder.size_for(told, 1), tile.inside)
        return [held(term) for term in self.encoder.terms(told, 1, places)]

    def _told(self, tile: Tile) -> Tensor:
        return self.told[:, :, *tile.window.slices]

    def _drawn(
        self, indices: range, tile: Tile, encoded: Once[list[Tensor]] | None = None
    ) -> tuple[Tensor, Noise]:
        window, any_size = extended_window(tile.window, self.encoder.multiple), self.any_size
        if self.how.self_ensemble:
            mean = self._in_orientations(indices, tile, window)[..., *tile.inside]
            noise = self._noise(indices) if any_size else self._other_noise(indices)
        else:
            terms = self.whole or (encoded() if encoded else self._terms(tile))
            noise = self._noise(indices, window if any_size else None)
            size = (window.height, window.width)
            mean = self._mean(terms, size, noise, len(indices), tile.inside)
            if any_size:  # a field has noise for its own latents alone
                noise = self._noise(indices)
        share = NETWORK * tile.core.height * tile.core.width / self.told[0, 0].numel()
        self.on_steps(share * (min(indices.stop, self.how.samples) - indices.start))
        return mean.float().cpu(), noise

    def _mean(
        self,
        terms: Sequence[Tensor],
        size: Size,
        noise: Noise,
        n: int,
        inside: Inside | None = None,
    ) -> Tensor:
        how, given = self.how, (self.prior, self.encoder, terms, n, size, noise)
        tau = (how.temperature, how.temperature)
        return drawn_mean(*given, *tau, how.profile, inside, marked=True)

    def _in_orientations(self, indices: range, tile: Tile, window: Window) -> Tensor:
        """μ(z) in a window, every sample in its orientation."""
        told = extended(self._told(tile), self.encoder.multiple)
        known = self.turned if len(self.tiles) == 1 else {}

        def draw(orientation: Orientation, some: Sequence[int]) -> Tensor:
            turned = orientation.of(told)
            if orientation not in known:
                known[orientation] = self.encoder.terms(turned.contiguous().to(self.device), 1)
            noise = OrientedNoise(self._noise(some, window if self.any_size else None), orientation)
            size = (turned.shape[2], turned.shape[3])
            return orientation.undone(self._mean(known[orientation], size, noise, len(some)))

        orientations = known_orientations(self.any_size)
        return in_orientations(indices, orientations, self.how.antithetic, draw)

    def _other_noise(self, indices: Sequence[int]) -> Noise:
        """Noise of the samples in which none of the numbers of their latents comes again."""

        def make(some: Sequence[int]) -> Noise:
            return SeededNoise(self.how.seed, some, stream=1)

        return AntitheticNoise(make, indices) if self.how.antithetic else make(indices)


def _all(size: tuple[int, int]) -> Tile:
    """The whole image, as one tile."""
    return Tile(Window(0, 0, *size), Window(0, 0, *size))
