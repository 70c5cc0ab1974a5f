"""Where chains begin without an encoder for the degradation: alternating sweeps.

The prior comes with an encoder of its own, q(z|x) of whole images. Prost et al. 2023 (PnP-HVAE)
alternate it with the image that explains y best, towards a maximum of the posterior. Drawn instead
of maximized, every sweep is::

    x ~ p(x|z, y)         the conditional draw; z comes from the prior at first
    z ~ q(z|x)            one encoding and one decoding

Were q(z|x) the exact p(z|x), this would be Gibbs sampling of p(x, z|y). It is not, so the sweeps
only say where chains begin, and their moves do the rest, with steps as wide as the prior.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...gaussian.noise import Noise
from ...hvae import HVAE
from .measurement import Measurement
from .whitened import Proposal


def proposal_by_sweeps(
    prior: HVAE,
    measurement: Measurement,
    size: tuple[int, int],
    crop: tuple[int, int],
    sweeps: int,
) -> Proposal:
    """A proposal that needs no encoder of y.

    Args:
        prior: The prior.
        measurement: What is known of x.
        size: Height and width of the images that the prior makes.
        crop: Height and width of the images x.
        sweeps: How many.

    Raises:
        InputError: Fewer than one.
    """
    if sweeps < 1:
        raise InputError(f"the number of sweeps must be at least 1, not {sweeps}")

    @torch.no_grad()
    def begin(noise: Noise, count: int) -> list[Tensor]:
        parameters, latents = prior.decode([], count, noise=noise, size=size)
        for _ in range(sweeps):
            mean = prior.likelihood.mean(parameters)[..., : crop[0], : crop[1]]
            x = measurement.draw(mean, noise).clamp(0, 1)
            h, met = prior.infer(_padded(x, size), noise)
            latents, parameters = [group.z for group in met], prior.parameters_of_x(h)
        return latents

    return Proposal(0, lambda group, h, prior: prior, size, crop, begin)


def _padded(x: Tensor, size: tuple[int, int]) -> Tensor:
    below, right = size[0] - x.shape[2], size[1] - x.shape[3]
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
