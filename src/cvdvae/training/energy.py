"""The energy score of what an encoder draws, which it may be trained on beside its KL.

The KL sees one group at a time, after latents that come from the image itself. Where the encoder
draws, every group follows what it drew before, and a diagonal Gaussian cannot say how neighbours
hang together. This judges what comes out, and its gradient passes through the frozen prior::

    S = ½ ‖x − x₁‖ + ½ ‖x − x₂‖ − ½ ‖x₁ − x₂‖        x₁, x₂ drawn for the y of x

Its expectation is least where both are drawn from p(x|y): a strictly proper scoring rule (Gneiting
& Raftery 2007). The norm is that of a patch; its mean over patches of several sides tells single
colours, edges and textures apart.

Explained in docs/explanation/lr_encoder.md.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.base import Degradation
from ..gaussian import Noise
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder, drawn_mean
from .tasks import Case

SIDES = (1, 3, 8)
"""Of the patches, in pixels; they overlap by half."""
ROUND = 1e-8
"""Added to squares of values in [0, 1], so that a norm has a gradient where there is no error."""


def patch_energy(first: Tensor, second: Tensor, x: Tensor) -> Tensor:
    """S, its norms root mean squares of a patch in grey levels; a scalar.

    Args:
        first: One draw for every image, ``(N, C, H, W)`` in [0, 1].
        second: Another.
        x: The true images.
    """

    def norm(difference: Tensor, side: int) -> Tensor:
        patches = F.unfold(difference, side, stride=max(1, side // 2))
        return (patches.square().mean(1) + ROUND).sqrt().mean()

    scores = [
        (norm(first - x, s) + norm(second - x, s) - norm(first - second, s)) / 2 for s in SIDES
    ]
    return 255 * torch.stack(scores).mean()


def energy_of(prior: HVAE, encoder: LREncoder, x: Tensor, case: Case, noise: Noise) -> Tensor:
    """S of two draws of the encoder for every image, consistent where its answers will be.

    Args:
        prior: The frozen prior.
        encoder: The encoder.
        x: The true images, ``(N, C, H, W)`` in [0, 1].
        case: What the encoder sees of them.
        noise: Source of the draws, of 2 N rows.

    Returns:
        A scalar in grey levels, with a gradient in the encoder's weights.
    """
    n, size = len(x), (x.shape[2], x.shape[3])
    terms = [torch.cat([term, term]) for term in encoder.terms(case.evidence, case.scale)]
    drawn = drawn_mean(prior, encoder, terms, 2 * n, size, noise)
    with torch.autocast(x.device.type, enabled=False):
        drawn = drawn.float()
        if case.degradation is not None:
            drawn = _consistent(drawn, torch.cat([case.evidence] * 2), case.degradation)
        return patch_energy(drawn[:n], drawn[n:], x.float())


def _consistent(x: Tensor, y: Tensor, degradation: Degradation) -> Tensor:
    """The nearest images with Hx = y, whatever their range: ``x + H⁺(y − Hx)``."""
    return x + degradation.A_dagger(y - degradation.A(x))
