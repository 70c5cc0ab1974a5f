"""The latents of a posterior as differences to a proposal, ``z_l = m_l + S_l ε_l``.

In the first k groups m_l and S_l are the mean and the (widened) standard deviation of the proposal
q(z_l|z_<l, y), in the others those of the prior; both depend on z_<l. Without an encoder of y, the
prior's own q(z_l|z_<l, x) of an x that stays as it is takes its place. So the proposal is
ε ~ N(0, I), and the posterior ``N(ε; 0, I) w(ε)`` up to a constant::

    log w = log p(y|z) + Σ_{l<k} [ log p(z_l|z_<l) − log q(z_l|z_<l, y) ]

Explained in docs/posterior.md.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ...gaussian import Conditional, DiagonalGaussian
from ...gaussian.noise import Noise
from ...hvae.likelihood import Likelihood
from ...hvae.lr_encoder import within_bounds
from .measurement import Measurement


class Decoder(Protocol):
    """What is asked of an `HVAE`, which documents it."""

    @property
    def top_down(self) -> Callable[..., Tensor]:
        """``(pick, n, size=…) -> h``."""

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z), whose mean is asked for."""

    def parameters_of_x(self, h: Tensor) -> Tensor:
        """What the likelihood takes."""


class Proposal(NamedTuple):
    """Where the chains of a batch begin, and what their steps are measured with.

    Attributes:
        groups: Number k of latent groups that it gives; 0 leaves everything to the prior.
        posterior_of: ``(l, h, p) -> q(z_l | z_<l, y)`` for l < k: `LREncoder.posterior_of` with its
            terms.
        size: Height and width of the images that the network makes.
        crop: Height and width of the images x, which begin at its top left corner.
        latents: z_0 … z_{L-1} where the chains begin; where they are None, with draws of the
            proposal before it is widened.
    """

    groups: int
    posterior_of: Callable[[int, Tensor, Conditional], Conditional]
    size: tuple[int, int]
    crop: tuple[int, int]
    latents: list[Tensor] | None = None

    def for_all(self, *_: object) -> "Proposal":
        """The same for every batch: a `Propose`."""
        return self


Propose = Callable[[Noise, int, Callable[[], None]], Proposal]
"""``(noise, n, on_move) -> Proposal`` for a batch of n chains; `on_move` is told of every move that
is made on the way."""


class State(NamedTuple):
    """Where the chains of a batch are: one row for each.

    Attributes:
        whites: ε_l of every group.
        latents: z_l of every group.
        mean: μ(z).
        log_w: log w, float64.
        gradients: ∂ log w / ∂ε_l of every group.
    """

    whites: list[Tensor]
    latents: list[Tensor]
    mean: Tensor
    log_w: Tensor
    gradients: list[Tensor]


class Whitened:
    """Decodes ε.

    Args:
        decoder: The prior with its likelihood.
        proposal: What ε is measured with.
        measurement: What is known of x.
        temperature: Factor on the standard deviations of the prior, in every group.
        widening: Factor on those of the proposal.
    """

    def __init__(
        self,
        decoder: Decoder,
        proposal: Proposal,
        measurement: Measurement,
        temperature: float,
        widening: float,
    ) -> None:
        self.decoder, self.proposal, self.measurement = decoder, proposal, measurement
        self.temperature, self.widening = temperature, widening

    def first(self, noise: Noise, count: int) -> list[Tensor]:
        """ε where the chains begin."""
        if self.proposal.latents is not None:
            return self.whites_of(self.proposal.latents)
        whites: list[Tensor] = []

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            base = self._base(group, h, prior)
            narrower = self.widening if group < self.proposal.groups else 1.0
            whites.append(noise.normal(base.mean) / narrower)
            return base.mean + base.log_std.exp() * whites[-1]

        self.decoder.top_down(pick, count, size=self.proposal.size)
        return whites

    def whites_of(self, latents: list[Tensor]) -> list[Tensor]:
        """ε of given latents z."""
        whites: list[Tensor] = []

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            base = self._base(group, h, prior)
            whites.append((latents[group] - base.mean) * torch.exp(-base.log_std))
            return latents[group]

        self.decoder.top_down(pick, len(latents[0]), size=self.proposal.size)
        return whites

    def _base(self, group: int, h: Tensor, prior: Conditional) -> DiagonalGaussian:
        """``N(m_l, S_l²)``."""
        if group < self.proposal.groups:
            return _widened(self.proposal.posterior_of(group, h, prior)(), self.widening)
        return _widened(prior(), self.temperature)

    def at(self, whites: list[Tensor]) -> State:
        """Decode ε, with log w and its gradient.

        What is no number has w = 0, and what is not `within_bounds`: no image comes of it.
        """
        leaves = [white.detach().requires_grad_() for white in whites]
        latents: list[Tensor] = []
        ratios: list[Tensor] = []

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            p, white = prior(), leaves[group]
            base = self._base(group, h, Conditional.known(p))
            latents.append(base.mean + base.log_std.exp() * white)
            if group < self.proposal.groups:
                tempered = _widened(p, self.temperature)
                ratios.append(_log_ratio_of_densities(latents[-1], white, tempered, base))
            return latents[-1]

        with torch.enable_grad():
            h = self.decoder.top_down(pick, len(whites[0]), size=self.proposal.size)
            mean = self.decoder.likelihood.mean(self.decoder.parameters_of_x(h))
            height, width = self.proposal.crop
            mean = mean[..., :height, :width]
            fit = self.measurement.fit(mean)
            ratio = sum(ratios, torch.zeros_like(fit.log_likelihood))
            slope = (mean * fit.gradient).sum() + ratio.sum()
            found = torch.autograd.grad(slope, leaves)
        # The moves are right whatever a gradient is, as long as it is a number.
        gradients = [gradient.nan_to_num(0, 0, 0) for gradient in found]
        log_w = (fit.log_likelihood + ratio).detach()
        known = log_w.isfinite() & within_bounds(h.detach()).to(log_w.device)
        log_w = log_w.masked_fill(~known, -math.inf)
        return State(
            [leaf.detach() for leaf in leaves],
            [latent.detach() for latent in latents],
            mean.detach(),
            log_w,
            gradients,
        )


def _widened(gaussian: DiagonalGaussian, factor: float) -> DiagonalGaussian:
    """The same with standard deviations `factor` times as large."""
    return gaussian._replace(log_std=gaussian.log_std + math.log(factor))


def _log_ratio_of_densities(
    z: Tensor, white: Tensor, p: DiagonalGaussian, q: DiagonalGaussian
) -> Tensor:
    """``log p(z) − log q(z)`` for z = m_q + S_q ε, value by value: the two sums are large, and
    their difference is not. Float64 ``(n,)``."""
    standardized = (z - p.mean) * torch.exp(-p.log_std)
    terms = (white**2 - standardized**2) / 2 + q.log_std - p.log_std
    return terms.double().flatten(1).sum(1)


def chosen(taken: Tensor, new: State, old: State) -> State:
    """The new state of the chains that moved, the old one of the others."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(taken.view(-1, *[1] * (a.ndim - 1)), a, b)

    def each(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        return [pick(x, y) for x, y in zip(a, b, strict=True)]

    return State(
        each(new.whites, old.whites),
        each(new.latents, old.latents),
        pick(new.mean, old.mean),
        pick(new.log_w, old.log_w),
        each(new.gradients, old.gradients),
    )
