"""What the encoder for any degradation believes of an image, and draws of it, tile by tile.

::

    e   = evidence(H, y, σ)        of the whole image: H may see all of it at once
    z   ~ q_ψ(z | e)               in windows that overlap, with the noise of their places
    μ(z)                           in their cores

A prior that is bound to its size, and an image of up to `cvdvae.restoration.tiles.WHOLE_PIXELS`,
have one window.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..gaussian import Noise, Window, noise_for
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder, drawn_mean
from .batches import batch_for
from .tiles import Tile, tiles
from .workers import in_order


class Belief:
    """Draws of μ(z) behind what was seen of one image.

    Args:
        prior: The hierarchical VAE.
        encoder: The encoder for any degradation on it.
        told: From `cvdvae.restoration.evidence.evidence`, ``(1, 2 C + 3, H, W)``.
        temperature: Factor on the standard deviations of all groups.
        seed: Of the samples.
        antithetic: Whether they are drawn in opposite pairs.

    Attributes:
        tiles: What is drawn at once.
        batch: How many samples are drawn together: a function of the image's size alone.
    """

    def __init__(
        self,
        prior: HVAE,
        encoder: LREncoder,
        told: Tensor,
        temperature: float,
        seed: int,
        antithetic: bool = False,
    ) -> None:
        self.prior, self.encoder, self.told = prior, encoder, told
        self.temperature, self.seed, self.antithetic = temperature, seed, antithetic
        self.device = next(prior.parameters()).device
        size = (told.shape[2], told.shape[3])
        self.tiles = list(tiles(size, encoder.multiple)) if prior.config.any_size else [_all(size)]
        self.batch = batch_for(max(tile.window.height * tile.window.width for tile in self.tiles))
        self.whole = self._terms(self.tiles[0]) if len(self.tiles) == 1 else None

    def draw(self, indices: range, workers: int = 1) -> tuple[Tensor, Noise]:
        """μ(z) of some samples, and the noise that their pixels are drawn with.

        Args:
            indices: Which samples.
            workers: How many tiles are drawn side by side.

        Returns:
            ``(n, C, H, W)`` float32 on the CPU, and noise that has not been used yet.
        """
        if self.whole is not None:
            return self._drawn(indices, self.tiles[0])
        channels, (height, width) = self.prior.config.channels, self.told.shape[2:]
        x = torch.empty(len(indices), channels, height, width, dtype=torch.float32, device="cpu")
        drawn = in_order(partial(self._drawn, indices), self.tiles, workers)
        for tile, (core, _) in zip(self.tiles, drawn, strict=True):
            x[:, :, *tile.core.slices] = core
        return x, self._noise(indices)

    def _noise(self, indices: Sequence[int], window: Window | None = None) -> Noise:
        """Noise of the samples, or of places of a window of them."""
        return noise_for(self.seed, indices, window, self.antithetic)

    def _terms(self, tile: Tile) -> list[Tensor]:
        told = self.told[:, :, *tile.window.slices].to(self.device)
        return self.encoder.terms(told, 1)

    def _drawn(self, indices: range, tile: Tile) -> tuple[Tensor, Noise]:
        terms = self._terms(tile) if self.whole is None else self.whole
        size = self.encoder.size_for(self.told[:, :, *tile.window.slices], 1)
        window = tile.window._replace(height=size[0], width=size[1])
        any_size = self.prior.config.any_size
        noise = self._noise(indices, window if any_size else None)

        tau = (self.temperature, self.temperature)
        mean = drawn_mean(self.prior, self.encoder, terms, len(indices), size, noise, *tau)
        if any_size:  # a field has noise for its own latents alone
            noise = self._noise(indices)
        return mean[:, :, *tile.inside].float().cpu(), noise


def _all(size: tuple[int, int]) -> Tile:
    """The whole image, as one tile."""
    return Tile(Window(0, 0, *size), Window(0, 0, *size))
