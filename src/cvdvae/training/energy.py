"""The energy score of what an encoder draws, which it may be trained on beside its KL.

The KL sees one group at a time, after latents that come from the image itself. Where the encoder
draws, every group follows what it drew before, and a diagonal Gaussian cannot say how neighbours
hang together. This judges what comes out, and its gradient passes through the frozen prior::

    S = ½ ‖v − v₁‖ + ½ ‖v − v₂‖ − ½ ‖v₁ − v₂‖        x₁, x₂ drawn for the y of x

for vectors v, v₁, v₂ that describe x, x₁ and x₂ at one place: the colours of a patch, or what LPIPS
sees there. Its expectation is least where both are drawn from p(v|y), neither too wide nor too
narrow: a proper scoring rule (Gneiting & Raftery 2007).

Explained in docs/explanation/lr_encoder.md.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import need
from ..gaussian.noise import Noise
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder, drawn_mean
from .config import EnergyConfig
from .tasks import Case

SIDES = (1, 3, 8)
"""Of the patches, in pixels; they overlap by half."""
ROUND = 1e-8
"""Added to squared distances, so that they have a gradient where they are 0."""

Fields = Callable[[Tensor], list[Tensor]]
"""Images ``(N, C, H, W)`` to vectors at places: each ``(N, C_f, …)``."""


def patches(x: Tensor) -> list[Tensor]:
    """The colours of all patches of `SIDES`, in grey levels; their length is a root mean square."""
    return [
        F.unfold(255 * x, side, stride=max(1, side // 2)) / (x.shape[1] ** 0.5 * side)
        for side in SIDES
    ]


def energy(first: Tensor, second: Tensor, x: Tensor, fields: Fields) -> Tensor:
    """S, its mean over places and over fields, ``(N,)``.

    Args:
        first: One draw for every image, ``(N, C, H, W)`` in [0, 1].
        second: Another.
        x: The true images.
        fields: What is compared.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).square().sum(1) + ROUND).sqrt().flatten(1).mean(1)

    scores = [
        (distance(a, t) + distance(b, t) - distance(a, b)) / 2
        for a, b, t in zip(fields(first), fields(second), fields(x), strict=True)
    ]
    return torch.stack(scores).mean(0)


class Energies(NamedTuple):
    """The two scores of every image, ``(N,)``; 0 where one has no weight.

    Attributes:
        pixels: Of `patches`, in grey levels.
        features: Of `cvdvae.metrics.perceptual.LPIPS.embedded`.
    """

    pixels: Tensor
    features: Tensor


class EnergyOfDraws:
    """S of two draws of an encoder for every image, ended as its answers will be.

    Args:
        config: The weights.

    Raises:
        WeightsError: AlexNet's features are wanted, and cannot be had.
        InputError: The package lpips is not installed.
    """

    def __init__(self, config: EnergyConfig) -> None:
        self.config = config
        self.seen: Fields | None = None
        if config.features:
            need("lpips", "an energy in LPIPS' features", "eval")
            from ..metrics.perceptual import LPIPS

            self.seen = LPIPS(Path(config.lpips) if config.lpips else None).embedded

    def of(self, prior: HVAE, encoder: LREncoder, x: Tensor, case: Case, noise: Noise) -> Energies:
        """Draw, and judge.

        Args:
            prior: The frozen prior.
            encoder: The encoder.
            x: The true images, ``(N, C, H, W)`` in [0, 1].
            case: What the encoder sees of them.
            noise: Source of the draws, of 2 N rows.

        Returns:
            Scores with a gradient in the encoder's weights.
        """
        n, size = len(x), (x.shape[2], x.shape[3])
        terms = [torch.cat([term, term]) for term in encoder.terms(case.evidence, case.scale)]
        coarsest = self.config.coarsest
        drawn = drawn_mean(prior, encoder, terms, 2 * n, size, noise, coarsest=coarsest)
        with torch.autocast(x.device.type, enabled=False):
            drawn, x = drawn.float(), x.float()
            first, second = case.ended(drawn[:n]), case.ended(drawn[n:])
            none = drawn.new_zeros(n)
            pixels = energy(first, second, x, patches) if self.config.pixels else none
            seen = none if self.seen is None else energy(first, second, x, self.seen)
        return Energies(pixels, seen)

    def loss(self, energies: Energies) -> Tensor:
        """The mean over images of their weighted sum, in bits/dim."""
        weighted: Tensor = self.config.pixels * energies.pixels
        return (weighted + self.config.features * energies.features).mean()
