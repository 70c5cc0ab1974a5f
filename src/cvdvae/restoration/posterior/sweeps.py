"""Where chains begin without an encoder for the degradation: annealing, then alternating sweeps.

The prior comes with an encoder of its own, q(z|x) of whole images. Prost et al. 2023 (PnP-HVAE)
alternate it with the image that explains y best, towards a maximum of the posterior. Drawn instead
of maximized, every sweep is::

    x ~ p(x|z, y)         the conditional draw; z comes from the prior, annealed, at first
    z ~ q(z|x)            one encoding and one decoding

Were q(z|x) the exact p(z|x), this would be Gibbs sampling of p(x, z|y). It is not, so the sweeps
only say where chains begin. Their moves do the rest, measured with q(z_l|z_<l, x) of the last x: it
knows how wide each latent may be where those before it are known, for x as for images near it.

Explained in docs/posterior.md.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...gaussian import Conditional
from ...gaussian.noise import Noise
from ...hvae import HVAE
from .annealing import annealed
from .measurement import Measurement
from .whitened import Proposal, Propose, Whitened

SWEEPS = 2
"""More of them drift away from images."""


def proposal_by_sweeps(
    prior: HVAE,
    measurement: Measurement,
    size: tuple[int, int],
    crop: tuple[int, int],
    temperature: float = 1.0,
    moves: int = 0,
    sweeps: int = SWEEPS,
) -> Propose:
    """A proposal that needs no encoder of y.

    Args:
        prior: The prior.
        measurement: What is known of x.
        size: Height and width of the images that the prior makes.
        crop: Height and width of the images x.
        temperature: Factor on the standard deviations of the prior and of q(z|x), in every group.
        moves: How many of them anneal.
        sweeps: How many follow.

    Raises:
        InputError: Fewer than one sweep.
    """
    if sweeps < 1:
        raise InputError(f"the number of sweeps must be at least 1, not {sweeps}")
    unaided = Proposal(0, lambda group, h, prior: prior, size, crop)
    target = Whitened(prior, unaided, measurement, temperature, 1.0)

    @torch.no_grad()
    def propose(noise: Noise, count: int, on_move: Callable[[], None]) -> Proposal:
        mean = annealed(target, moves, noise, count, on_move).mean
        for _ in range(sweeps):
            x = _padded(measurement.draw(mean, noise).clamp(0, 1), size)
            h, met = prior.infer(x, noise, temperature)
            mean = prior.likelihood.mean(prior.parameters_of_x(h))[..., : crop[0], : crop[1]]
        activations = prior.activations(x)

        def posterior_of(group: int, h: Tensor, _: Conditional) -> Conditional:
            return Conditional.known(prior.posterior_of(group, h, activations))

        return Proposal(len(met), posterior_of, size, crop, [group.z for group in met])

    return propose


def _padded(x: Tensor, size: tuple[int, int]) -> Tensor:
    below, right = size[0] - x.shape[2], size[1] - x.shape[3]
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
