"""Posterior sampling: exact on models with a known posterior, repeatable on those in use."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
import scipy.stats
import torch
from test_operators import OPERATORS, SMALL, operator
from tiny import matrix_of, tiny_resolver
from torch import Tensor

import cvdvae.restoration.posterior.annealing as annealing
import cvdvae.restoration.posterior.chains as chains
from cvdvae.degradations.base import LinearOperator
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.blur import Blur, Boundary, box
from cvdvae.degradations.projection import project
from cvdvae.errors import InputError
from cvdvae.gaussian import Conditional, DiagonalGaussian
from cvdvae.gaussian.noise import GlobalNoise, SeededNoise
from cvdvae.hvae.likelihood import Likelihood
from cvdvae.restoration.posterior.annealing import annealed
from cvdvae.restoration.posterior.chains import Moves, PosteriorSamples, move, sample_posterior
from cvdvae.restoration.posterior.measurement import Measurement, conditional_draw
from cvdvae.restoration.posterior.mixing import effective_sample_size, split_r_hat
from cvdvae.restoration.posterior.sweeps import proposal_by_sweeps
from cvdvae.restoration.posterior.whitened import Proposal, Propose, State, Whitened
from cvdvae.restoration.workers import one_thread_each

SIDE, GIVEN, PIXEL_STD, SIGMA = 4, 2, 0.3, 0.2
ENDS = (0, 3, 7, 10)
Pick = Callable[[int, Tensor, Conditional], Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with one_thread_each(), torch.no_grad():
        yield


class Dense(LinearOperator):
    """Any matrix, (m, 16), on images of one channel."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def A(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.T.to(x)).view(len(x), 1, 1, -1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.matrix.to(y)).view(len(y), 1, SIDE, SIDE)

    def A_dagger(self, y: Tensor) -> Tensor:
        inverse: Tensor = torch.linalg.pinv(self.matrix)
        return (y.flatten(1) @ inverse.T.to(y)).view(len(y), 1, SIDE, SIDE)


def random(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def block(group: int) -> slice:
    return slice(ENDS[group], ENDS[group + 1])


@dataclass
class Gaussian:
    """N(mean, cov); the mean may have a row for every chain."""

    mean: Tensor
    cov: Tensor

    def draw(self, count: int) -> Tensor:
        root: Tensor = torch.linalg.cholesky(self.cov)
        return self.mean + torch.randn(count, 10, dtype=torch.float64) @ root.T


class LinearModel:
    """z_l ~ N(Σ_j<l W_lj z_j, 0.8²), μ(z) = B z: an HVAE whose posterior is known.

    In the groups that the encoder gives the basis is the one in which the posterior of z_l given
    z_<l has a diagonal covariance, so that a diagonal encoder can be right.
    """

    def __init__(self, degradation: LinearOperator) -> None:
        self.degradation, self.H = degradation, matrix_of(degradation, (1, SIDE, SIDE))
        self.std = 0.8
        self.weights = 0.5 * random(10, 10, seed=1)
        for group in range(3):
            self.weights[block(group), ENDS[group] :] = 0
        self.decoder = 0.6 * random(SIDE**2, 10, seed=2)
        for group in range(GIVEN):
            basis = torch.linalg.eigh(self.conditional(group)[1]).eigenvectors
            b = block(group)
            self.weights[b] = basis.T @ self.weights[b]
            self.weights[:, b] = self.weights[:, b] @ basis
            self.decoder[:, b] = self.decoder[:, b] @ basis
        self.likelihood = cast(Likelihood, self)  # whose mean alone is asked for

    @property
    def prior(self) -> Gaussian:
        root = torch.linalg.inv(torch.eye(10, dtype=torch.float64) - self.weights)
        return Gaussian(torch.zeros(10, dtype=torch.float64), self.std**2 * root @ root.T)

    @property
    def noise_of_y(self) -> Tensor:
        """s² H Hᵀ + σ² I."""
        return PIXEL_STD**2 * self.H @ self.H.T + SIGMA**2 * torch.eye(len(self.H))

    def posterior(self, y: Tensor, power: float = 1) -> Gaussian:
        """p(z|y) for every row of y; ``p(z) p(y|z)^β`` is that where its noise has 1/β times the
        variance."""
        A = self.H @ self.decoder
        information = power * A.T @ torch.linalg.inv(self.noise_of_y)
        cov = torch.linalg.inv(torch.linalg.inv(self.prior.cov) + information @ A)
        return Gaussian(y.flatten(1) @ (cov @ information).T, cov)

    def conditional(self, group: int) -> tuple[Tensor, Tensor]:
        """(gain, C): z_l given z_<l and y is N(m_l + gain (z_<l − m_<l), C), m the mean of z|y."""
        cov, past = self.posterior(self.H[:, :1].T).cov, slice(0, ENDS[group])
        gain = cov[block(group), past] @ torch.linalg.inv(cov[past, past])
        return gain, cov[block(group), block(group)] - gain @ cov[past, block(group)]

    def top_down(self, pick: Pick, batch: int, size: tuple[int, int]) -> Tensor:
        assert size == (SIDE, SIDE)
        z = torch.zeros(batch, 0, dtype=torch.float64)
        for group in range(3):
            mean = z @ self.weights[block(group), : ENDS[group]].T
            prior = DiagonalGaussian(
                mean[..., None, None], torch.full_like(mean, math.log(self.std))[..., None, None]
            )
            z = torch.cat([z, pick(group, z, Conditional.known(prior))[..., 0, 0]], 1)
        return z

    def parameters_of_x(self, h: Tensor) -> Tensor:
        return h @ self.decoder.T

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters.view(-1, 1, SIDE, SIDE)

    def measured(self, z: Tensor) -> Tensor:
        """y ~ p(y|z), ``(n, 1, …)``."""
        noise = torch.randn(len(z), len(self.H), dtype=torch.float64)
        root: Tensor = torch.linalg.cholesky(self.noise_of_y)
        y = z @ (self.H @ self.decoder).T + noise @ root.T
        return y.view(-1, *self.degradation.A(torch.zeros(1, 1, SIDE, SIDE)).shape[1:])

    def proposal(self, y: Tensor, shift: float = 0, factor: float = 1) -> Proposal:
        """The right encoder; or one whose means are off by `shift` of its standard deviations,
        which are wrong by `factor`."""
        mean = self.posterior(y).mean

        def posterior_of(group: int, h: Tensor, prior: Conditional) -> Conditional:
            gain, cov = self.conditional(group)
            std = cov.diagonal().sqrt()
            centre = mean[:, block(group)] + (h - mean[:, : ENDS[group]]) @ gain.T + shift * std
            log_std = torch.log(factor * std).expand(len(h), -1)
            gaussian = DiagonalGaussian(centre[..., None, None], log_std[..., None, None])
            return Conditional.known(gaussian)

        return Proposal(GIVEN, posterior_of, (SIDE, SIDE), (SIDE, SIDE))


DENSE = Dense(random(6, SIDE**2, seed=3) / 3)
BICUBIC = BicubicDownscaling((SIDE, SIDE), (2, 2))
MODEL = LinearModel(DENSE)
WRONG = {"shift": 0.5, "factor": 0.75}


def flat(latents: list[Tensor]) -> Tensor:
    return torch.cat(latents, 1)[..., 0, 0]


def deviations(draws: Tensor, truth: Gaussian) -> float:
    """The largest difference of a mean or a covariance to the truth, in standard errors."""
    centred = draws - truth.mean
    variances = truth.cov.diagonal()
    n = len(draws)
    of_mean = centred.mean(0) / (variances / n).sqrt()
    error = ((variances[:, None] * variances + truth.cov**2) / n).sqrt()
    of_cov = (centred.T @ centred / n - truth.cov) / error
    return float(torch.cat([of_mean.flatten(), of_cov.flatten()]).abs().max())


def target(y: Tensor, **wrong: float) -> Whitened:
    measurement = Measurement(y, MODEL.degradation, PIXEL_STD, SIGMA)
    return Whitened(MODEL, MODEL.proposal(y, **wrong), measurement, 1.0, 1.1)


def sampled(y: Tensor, count: int, moves: int, **wrong: float) -> PosteriorSamples:
    torch.manual_seed(0)
    t = target(y, **wrong)
    how = Moves(moves, batch=count, step=0.3)
    return sample_posterior(
        MODEL, t.proposal.for_all, t.measurement, how, count, lambda _: GlobalNoise()
    )


with torch.random.fork_rng():
    torch.manual_seed(5)
    Y = MODEL.measured(random(1, 10, seed=4))
CHAINS = 1500


@pytest.mark.parametrize(
    ("wrong", "moves"), [({}, 100), (WRONG, 250), ({"shift": -0.5, "factor": 1.5}, 100)]
)
def test_the_samples_have_the_mean_and_covariance_of_the_posterior(
    wrong: dict[str, float], moves: int
) -> None:
    result = sampled(Y, CHAINS, moves, **wrong)
    assert deviations(flat(result.latents), MODEL.posterior(Y)) < 4
    assert 0.5 < float(result.acceptance.mean()) < 0.65
    assert torch.allclose(result.means, MODEL.mean(MODEL.parameters_of_x(flat(result.latents))))


def test_without_moves_even_the_right_encoder_is_biased() -> None:
    for wrong in ({}, WRONG):
        torch.manual_seed(0)
        start = target(Y, **wrong)
        latents = start.at(start.first(GlobalNoise(), CHAINS)).latents
        assert deviations(flat(latents), MODEL.posterior(Y)) > 15


def test_a_classifier_cannot_tell_samples_from_the_posterior_from_ours() -> None:
    """Two-sample test (Lopez-Paz & Oquab 2017): accuracy on a held-out half near one half."""

    def accuracy(draws: Tensor) -> float:
        truth = MODEL.posterior(Y).draw(len(draws))
        x = torch.cat([draws, truth])
        x = (x - x.mean(0)) / x.std(0)
        pairs = torch.triu_indices(10, 10)
        x = torch.cat([torch.ones_like(x[:, :1]), x, x[:, pairs[0]] * x[:, pairs[1]]], 1)
        label = torch.cat([torch.ones(len(draws)), -torch.ones(len(draws))]).double()
        weights = torch.linalg.lstsq(x[::2], label[::2, None]).solution
        return float(((x[1::2] @ weights)[:, 0] * label[1::2] > 0).double().mean())

    start = target(Y)
    ours = sampled(Y, CHAINS, 100)
    assert abs(accuracy(flat(ours.latents)) - 0.5) < 3 * 0.5 / CHAINS**0.5
    assert accuracy(flat(start.at(start.first(GlobalNoise(), CHAINS)).latents)) > 0.7


def joint_after(rounds: int) -> float:
    """How far moments of (z, y) are from the joint's, in standard errors, when y ~ p(y|z) and a
    move of z|y take turns."""
    torch.manual_seed(1)
    z = MODEL.prior.draw(CHAINS)
    step = torch.full((CHAINS,), 0.15, dtype=torch.float64)
    for _ in range(rounds):
        start = target(MODEL.measured(z), **WRONG)
        state = start.at(start.whites_of([z[:, block(g), None, None] for g in range(3)]))
        assert torch.allclose(flat(state.latents), z)
        z = flat(move(start, state, step, GlobalNoise()).state.latents)
    return deviations(z, MODEL.prior)


def test_moves_leave_the_joint_distribution_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Geweke 2004, "Getting it right"."""
    assert joint_after(30) < 4
    monkeypatch.setattr(chains, "_log_uniform", lambda like, noise: torch.full_like(like, -1e9))
    assert joint_after(30) > 8


def unaided(y: Tensor) -> Whitened:
    """Whose proposal is the prior."""
    proposal = Proposal(0, lambda group, h, prior: prior, (SIDE, SIDE), (SIDE, SIDE))
    return Whitened(MODEL, proposal, target(y).measurement, 1.0, 1.1)


@pytest.mark.parametrize(("power", "stays"), [(0.05, True), (1.0, True), (None, False)])
def test_moves_leave_the_posterior_under_a_power_of_w_as_it_is(
    power: float | None, stays: bool
) -> None:
    torch.manual_seed(3)
    right = MODEL.posterior(Y, power or 0.05)
    z, start = right.draw(CHAINS), unaided(Y)
    state = start.at(start.whites_of([z[:, block(g), None, None] for g in range(3)]))
    step = torch.tensor([0.03, 0.01, 0.05], dtype=torch.float64)[:, None]
    powers = None if power is None else torch.full((CHAINS,), power, dtype=torch.float64)
    for _ in range(40):
        state = move(start, state, step.expand(-1, CHAINS), GlobalNoise(), powers).state
    assert (deviations(flat(state.latents), right) < 4) == stays


def test_annealing_begins_where_y_says_little_or_nothing() -> None:
    """β_1 of the second of three moves' path: 1 where y says nothing."""
    powers: list[Tensor] = []

    def watched(*of: Any) -> chains.Moved:
        powers.append(of[-1])
        return move(*of)

    start = unaided(Y)
    at = start.at
    said = torch.tensor([0.0, -3.0, -3e4, -math.inf], dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annealing, "move", watched)
        patch.setattr(start, "at", lambda whites: at(whites)._replace(log_w=said))
        annealed(start, 2, GlobalNoise(), 4, lambda: None)
        annealed(start, 1, GlobalNoise(), 4, lambda: None)
    assert powers[0].tolist() == pytest.approx([1, 1, 1e-3, 1e-30])
    assert powers[1].tolist() == powers[2].tolist() == [1, 1, 1, 1]


def test_annealing_leads_from_the_prior_to_the_posterior() -> None:
    start, told, found = unaided(Y), [], []
    for moves in (0, 20, 200):
        torch.manual_seed(4)
        state = annealed(start, moves, GlobalNoise(), CHAINS, lambda: told.append(1))
        found.append(deviations(flat(state.latents), MODEL.posterior(Y)))
        if not moves:
            assert deviations(flat(state.latents), MODEL.prior) < 4
    assert len(told) == 220
    assert found[0] > 700
    assert found[1] < 150
    assert found[2] < 15


def test_ranks_of_the_truth_are_uniform() -> None:
    """Simulation-based calibration (Talts et al. 2018), with a wrong encoder."""
    truths, draws = 300, 7
    torch.manual_seed(2)
    z = MODEL.prior.draw(truths)
    y = MODEL.measured(z).repeat_interleave(draws, 0)
    samples = flat(sampled(y, truths * draws, 120, **WRONG).latents).view(truths, draws, 10)
    ranks = (samples < z[:, None]).sum(1)
    for ranks_of_one in ranks.T:
        counts = torch.bincount(ranks_of_one, minlength=draws + 1)
        assert scipy.stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("degradation", [DENSE, BICUBIC])
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_conditional_draws_have_the_moments_of_dense_algebra(
    degradation: LinearOperator, sigma: float
) -> None:
    H, s = matrix_of(degradation, (1, SIDE, SIDE)), 0.3
    mean = random(1, 1, SIDE, SIDE, seed=5)
    y = degradation.A(random(1, 1, SIDE, SIDE, seed=6))
    noise = s**2 * H @ H.T + sigma**2 * torch.eye(len(H))
    gain = s**2 * H.T @ torch.linalg.inv(noise)
    expected = mean.flatten() + gain @ (y - degradation.A(mean)).flatten()
    draw = partial(conditional_draw, y=y, degradation=degradation, pixel_std=s, sigma=sigma)
    torch.manual_seed(0)
    draws = draw(mean.expand(4000, -1, -1, -1), noise=GlobalNoise()).flatten(1)
    cov = s**2 * torch.eye(SIDE**2) - s**2 * gain @ H
    # Nothing varies along the rows of H where y is exact: the standard errors are zero there.
    assert deviations(draws @ BASIS, Gaussian(expected @ BASIS, BASIS.T @ cov @ BASIS)) < 4
    assert torch.allclose(draw(mean).flatten(), expected, atol=1e-4)
    if sigma == 0:
        assert torch.allclose(degradation.A(draws.view(-1, 1, SIDE, SIDE)), y, atol=1e-4)


@pytest.mark.parametrize("name", OPERATORS)
def test_conditional_draws_of_every_degradation_have_the_moments_of_dense_algebra(
    name: str,
) -> None:
    """In ten directions that none fixes."""
    degradation, s, sigma = operator(name, SMALL), 0.3, 0.2
    H, mean = matrix_of(degradation, (3, *SMALL)), random(1, 3, *SMALL, seed=5)
    y = degradation.A(random(1, 3, *SMALL, seed=6))
    gain = s**2 * torch.linalg.solve(s**2 * H @ H.T + sigma**2 * torch.eye(len(H)), H).T
    expected = mean.flatten() + gain @ (y - degradation.A(mean)).flatten()
    draw = partial(conditional_draw, y=y, degradation=degradation, pixel_std=s, sigma=sigma)
    torch.manual_seed(0)
    draws = draw(mean.expand(500, -1, -1, -1), noise=GlobalNoise()).flatten(1)
    basis = torch.linalg.qr(random(H.shape[1], 10, seed=7)).Q
    cov = s**2 * (basis.T @ basis - basis.T @ gain @ H @ basis)
    assert deviations(draws @ basis, Gaussian(expected @ basis, cov)) < 4


BASIS = torch.linalg.qr(random(SIDE**2, SIDE**2, seed=7)).Q
"""Directions that no degradation fixes."""


def test_the_mean_of_exact_measurements_is_the_projection() -> None:
    mean, y = random(2, 1, SIDE, SIDE, seed=8).sigmoid(), torch.full((1, 1, 2, 2), 0.5).double()
    projected = project(mean, y.expand(2, -1, -1, -1), BICUBIC)
    drawn = conditional_draw(mean, y, BICUBIC, 0.1, 0.0)
    inside = ((drawn >= 0) & (drawn <= 1)).all()
    assert inside
    assert torch.allclose(drawn, projected, atol=1e-4)


@pytest.mark.parametrize("boundary", ["circular", "replicate", "zero"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_exact_measurements_behind_a_blur_that_loses_some_of_them_are_met(
    boundary: Boundary, dtype: torch.dtype
) -> None:
    """A box of 4 pixels leaves nothing of some frequencies: their share of y is round-off."""
    H = Blur((16, 16), box(4), boundary)
    x = random(1, 3, 16, 16, seed=2).sigmoid().to(dtype)
    y, mean = H.A(x), torch.full_like(x, 0.5)
    drawn = conditional_draw(mean, y, H, 0.04, 0.0)
    # In float32 the smallest of what is left is lost in round-off, too.
    assert torch.allclose(H.A(drawn), y, atol=1e-9 if dtype == torch.float64 else 1e-3)


def tiny_chains(samples: int, moves: Moves = Moves(6), encoder: bool = True) -> PosteriorSamples:
    resolver = tiny_resolver()
    y = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    posterior_of = partial(resolver.encoder.posterior_of, terms=resolver.encoder.terms(y, 4))
    proposal = Proposal(resolver.encoder.groups, posterior_of, (16, 16), (16, 16))
    measurement = Measurement(y, resolver.degradation, 0.1, 0.01)
    noise_of = partial(SeededNoise, 5)
    propose: Propose = proposal.for_all
    if not encoder:
        propose = proposal_by_sweeps(resolver.prior, measurement, (16, 16), (16, 16), moves=4)
    return sample_posterior(resolver.prior, propose, measurement, moves, samples, noise_of)


@pytest.mark.parametrize("encoder", [True, False])
def test_a_chain_does_not_depend_on_the_others(
    encoder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tiny_chains(6, encoder=encoder)
    monkeypatch.setattr(chains, "workers_on", lambda device: 1)
    one = tiny_chains(1, encoder=encoder)
    for a, b in zip(one.latents, many.latents, strict=True):
        assert torch.equal(a, b[:1])
    assert torch.equal(one.means, many.means[:1])
    assert torch.equal(one.log_w, many.log_w[:1])
    assert many.accepted.any()
    assert not torch.equal(many.means[0], many.means[1])


def test_more_moves_explain_more() -> None:
    result = tiny_chains(4, Moves(30, temperature=0.8))
    assert bool((result.log_w[:, -1] > result.log_w[:, 0]).all())
    assert result.log_w.shape == (4, 31)
    assert result.acceptance.shape == result.rho.shape == (4,)


@pytest.mark.parametrize("size", [(12, 12), (16, 12), (12, 16)])
def test_chains_without_an_encoder_are_measured_with_the_priors_own(size: tuple[int, int]) -> None:
    prior, seen = tiny_resolver().prior, (size[0] // 4, size[1] // 4)
    y = torch.rand(1, 3, *seen, generator=torch.Generator().manual_seed(3))
    measurement = Measurement(y, BicubicDownscaling(size, seen), 0.1, 0.01)
    told: list[int] = []
    propose = proposal_by_sweeps(prior, measurement, (16, 16), size, 1e-6, 5, 3)
    proposal = propose(SeededNoise(0, range(2)), 2, lambda: told.append(1))
    assert len(told) == 5
    assert proposal.groups == len(prior.config.group_strides)
    # At a temperature of almost 0 the last sweep took the means of q(z|x), which are where ε is 0.
    start = Whitened(prior, proposal, measurement, 1.0, 1.1)
    assert all(torch.allclose(w, torch.zeros(()), atol=1e-3) for w in start.first(GlobalNoise(), 2))
    propose = proposal_by_sweeps(prior, measurement, (16, 16), size, 1.0, 0, 1)
    proposal = propose(SeededNoise(0, range(2)), 2, lambda: None)
    start = Whitened(prior, proposal, measurement, 1.0, 1.1)
    state = start.at(start.first(SeededNoise(0, range(2)), 2))
    assert proposal.latents is not None
    for z, begun in zip(state.latents, proposal.latents, strict=True):
        assert torch.allclose(z, begun, atol=1e-3)
    assert state.mean.shape == (2, 3, *size)
    with pytest.raises(InputError):
        proposal_by_sweeps(prior, measurement, (16, 16), size, sweeps=0)


def test_the_gradient_is_that_of_log_w() -> None:
    resolver = tiny_resolver()
    y = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    terms = resolver.encoder.terms(y, 4)
    proposal = Proposal(
        resolver.encoder.groups,
        partial(resolver.encoder.posterior_of, terms=terms),
        (16, 16),
        (16, 16),
    )
    measurement = Measurement(y, resolver.degradation, 0.1, 0.05)
    start = Whitened(resolver.prior, proposal, measurement, 0.9, 1.1)
    whites = start.first(SeededNoise(0, [0, 1]), 2)
    state = start.at(whites)
    way = [torch.randn_like(w) for w in whites]
    h = 1e-3
    ahead, behind = (
        start.at([w + sign * h * d for w, d in zip(whites, way, strict=True)]).log_w
        for sign in (1, -1)
    )
    slopes = [(g * d).flatten(1).sum(1) for g, d in zip(state.gradients, way, strict=True)]
    slope = torch.stack(slopes).sum(0)
    assert torch.allclose((ahead - behind) / (2 * h), slope.double(), rtol=0.01, atol=0.05)


def test_without_a_chain_there_are_no_diagnostics() -> None:
    assert math.isnan(split_r_hat(torch.empty(0, 20)))
    assert math.isnan(effective_sample_size(torch.empty(0, 20)))


def test_diagnostics_of_chains_that_are_known() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(8, 2000, generator=generator, dtype=torch.float64)
    assert effective_sample_size(white) == pytest.approx(16_000, rel=0.1)
    assert split_r_hat(white) == pytest.approx(1, abs=2e-3)
    slow = white.clone()
    for i in range(1, 2000):
        slow[:, i] = 0.8 * slow[:, i - 1] + 0.6 * white[:, i]
    assert effective_sample_size(slow) == pytest.approx(16_000 / 9, rel=0.15)
    drifting = white + torch.linspace(0, 4, 2000)
    assert split_r_hat(drifting) > 1.3
    assert split_r_hat(white + torch.arange(8.0)[:, None]) > 1.5
    assert math.isnan(split_r_hat(white[:, :3]))
    for i in range(200):  # of few draws little can be told, but never that they count for less
        few = torch.randn(4, 6, generator=generator)  # than none, or for very many
        effective = effective_sample_size(few)
        assert math.isnan(effective) or 0 < effective <= 24 * math.log10(24), i
    assert math.isnan(effective_sample_size(torch.zeros(2, 10)))


@pytest.mark.parametrize("draws", [4, 10, 51])
def test_chains_that_stand_still_have_no_effective_draws(draws: int) -> None:
    """Neither round-off of their means, nor one that stands beside others that move, matters."""
    still = torch.tensor([-149.1, 0.1, 1 / 3, 1e6], dtype=torch.float64)[:, None].repeat(1, draws)
    assert split_r_hat(still) == math.inf
    assert math.isnan(effective_sample_size(still))
    assert math.isnan(split_r_hat(still[:1]))
    still[0] += 1e5 * torch.randn(draws, generator=torch.Generator().manual_seed(0))
    assert 1 < split_r_hat(still) < math.inf
    assert effective_sample_size(still) > 0


@pytest.mark.parametrize(
    "values",
    [
        {"moves": 0},
        {"temperature": 0.0},
        {"widening": -1.0},
        {"step": 3.0},
        {"temperature": math.nan},
    ],
)
def test_moves_that_mean_nothing_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError):
        replace(Moves(), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("s", "sigma"), [(0.0, 0.1), (0.1, -0.1), (0.1, math.nan)])
def test_widths_that_mean_nothing_are_refused(s: float, sigma: float) -> None:
    with pytest.raises(InputError):
        Measurement(Y, DENSE, s, sigma)


def test_what_is_counted_comes_after_the_adaptation() -> None:
    """ρ and what a move keeps, ``√(1 − ρ²) = (2 − δ)/(2 + δ)``, are of one circle."""
    step = torch.tensor([0.01, 0.5, 2.0])
    log_w = torch.arange(11.0, dtype=torch.float64).repeat(3, 1)
    accepted = torch.arange(10).repeat(3, 1) >= 7
    found = PosteriorSamples([], torch.zeros(3, 3, 4, 4), log_w, accepted, step, 6)
    assert found._counted.tolist() == [[7, 8, 9, 10]] * 3
    assert found.acceptance.tolist() == [0.75] * 3
    torch.testing.assert_close(found.rho**2 + ((2 - step) / (2 + step)) ** 2, torch.ones(3))


def test_the_ratio_of_a_move_is_that_of_the_densities() -> None:
    """``π(ε') q(ε|ε') / (π(ε) q(ε'|ε))``, whatever log w and its gradients are at both ends."""
    step = torch.tensor([[0.3, 1.7], [0.02, 0.9]], dtype=torch.float64)

    def state(seed: int) -> State:
        whites = [random(2, 1, 3, 3, seed=seed + i) for i in range(2)]
        gradients = [random(2, 1, 3, 3, seed=seed + 10 + i) for i in range(2)]
        return State(whites, [], whites[0], random(2, seed=seed + 20), gradients)

    def log_q(new: State, old: State) -> Tensor:
        total = torch.zeros(2, dtype=torch.float64)
        steps = step.view(2, -1, 1, 1, 1)
        groups = zip(new.whites, old.whites, old.gradients, steps, strict=True)
        for there, here, gradient, d in groups:
            away = there - ((2 - d) * here + 2 * d * gradient) / (2 + d)
            total -= (away.square() * (2 + d) ** 2 / (16 * d)).flatten(1).sum(1)
        return total

    def log_target(of: State) -> Tensor:
        return of.log_w - sum(white.square().flatten(1).sum(1) for white in of.whites) / 2

    old, new = state(0), state(50)
    expected = log_target(new) + log_q(old, new) - log_target(old) - log_q(new, old)
    torch.testing.assert_close(chains._log_ratio(old, new, step), expected)


def test_moves_are_as_documented_and_taken_to_their_limits() -> None:
    usual = Moves()
    assert usual == Moves(40, 1.0, 1.1, 4, None, 0.01)
    assert [Moves(n).adapting for n in (1, 5, 40)] == [0, 2, 20]
    assert [Moves(5, adapt=n).adapting for n in (0, 5)] == [0, 5]
    assert (Moves(step=2.0).step, Moves(batch=1).batch) == (2, 1)
    for wrong in ({"adapt": 41}, {"adapt": -1}, {"batch": 0}, {"step": 0.0}, {"step": 2.1},
                  {"widening": math.inf}):  # fmt: skip
        with pytest.raises(InputError):
            replace(usual, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1, not 0"):
        tiny_chains(0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"moves": 0}, "the number of moves must be at least 1, not 0"),
        ({"moves": 2.5}, "moves must be a whole number, not 2.5"),
        ({"moves": True}, "moves must be a whole number, not True"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"batch": 1.5}, "batch must be a whole number, not 1.5"),
        ({"adapt": 41}, "adapt must be from 0 to the 40 moves there are, not 41"),
        ({"adapt": 1.0}, "adapt must be a whole number, not 1.0"),
        ({"widening": "wide"}, "widening must be a number, not 'wide'"),
        ({"step": True}, "step must be a number, not True"),
    ],
)
def test_moves_are_refused_by_the_name_of_what_is_wrong(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Moves(**wrong)
    assert str(caught.value) == said


def test_numbers_of_moves_become_plain_ones() -> None:
    found = Moves(torch.tensor(3), adapt=np.int64(1), step=np.float32(0.5))  # type: ignore[arg-type]
    assert found == Moves(3, adapt=1, step=0.5)
    assert [type(one) for one in (found.moves, found.adapt, found.step)] == [int, int, float]


@pytest.mark.parametrize(
    ("log_ratio", "accepted"), [(0.0, 1.0), (3.0, 1.0), (math.log(0.25), 0.25), (math.nan, 0.0)]
)
def test_steps_are_led_to_an_acceptance_of_574_in_a_thousand(
    log_ratio: float, accepted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Tensor] = []

    def stay(target: Whitened, state: State, step: Tensor, noise: object) -> chains.Moved:
        steps.append(step)
        ratio = torch.full((len(step),), log_ratio, dtype=torch.float64)
        return chains.Moved(state, ratio > 1, ratio)

    monkeypatch.setattr(chains, "move", stay)
    monkeypatch.setattr(chains, "workers_on", lambda device: 1)
    found = tiny_chains(2, Moves(6, step=0.02))
    log_step, wanted = math.log(0.02), [0.02]
    for i in range(3):
        log_step += 2 * (i + 1) ** -0.6 * (accepted - 0.574)
        wanted.append(math.exp(log_step))
    assert [float(step[0]) for step in steps] == pytest.approx([*wanted, *wanted[-1:] * 2])
    assert found.step.tolist() == pytest.approx([wanted[-1]] * 2)
    assert found.accepted.tolist() == [[log_ratio > 1] * 6] * 2
    assert (found.adapting, found.log_w.shape) == (3, (2, 7))
    if accepted == 1:
        assert float(tiny_chains(1, Moves(2, step=1.9)).step) == pytest.approx(2)


def test_diagnostics_of_a_few_draws_can_be_done_by_hand() -> None:
    """Halves [0, 2] and [0, 2]: W = 2, their means are equal, so V = W / 2."""
    assert split_r_hat(torch.tensor([[0.0, 2.0, 0.0, 2.0]])) == pytest.approx(0.5**0.5)
    # With [4, 6] for the second: the means 1 and 5 have a variance of 8, which V has more.
    assert split_r_hat(torch.tensor([[0.0, 2.0, 4.0, 6.0]])) == pytest.approx((9 / 2) ** 0.5)
    # Of five draws that in the middle belongs to no half.
    assert split_r_hat(torch.tensor([[0.0, 2.0, 9.0, 4.0, 6.0]])) == pytest.approx(4.5**0.5)
    assert math.isnan(effective_sample_size(torch.rand(3, 3)))
