"""What comes out of a network that has left all bounds is told from an answer."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import saved_prior, tiny_prior, tiny_resolver, tiny_restorer
from torch import Tensor

import cvdvae
from cvdvae.gaussian import MAX_LOG_STD
from cvdvae.restoration.posterior.whitened import State, Whitened

Y = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_draw_whose_state_is_beyond_all_bounds_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, states, y = tiny_resolver(), list[Tensor](), F.avg_pool2d(Y[None], 4)[0]
    count = model.batch(Y[0].numel())  # one batch, or their order is anybody's
    plain = model.upscale(y, samples=count)
    assert not any(plain.exploded)
    top_down = model.prior.top_down.forward

    def told(*given: object, **how: object) -> Tensor:
        states.append(top_down(*given, **how))  # type: ignore[arg-type]
        return states[-1]

    monkeypatch.setattr(model.prior.top_down, "forward", told)
    model.upscale(y, samples=count)
    (state,) = states
    largest = state.abs().flatten(1).amax(1)
    monkeypatch.setattr("cvdvae.hvae.lr_encoder.MOST_STATE", float(largest.median()))
    marked = model.upscale(y, samples=count)
    assert marked.exploded == (largest > largest.median()).tolist()
    kept = ~torch.tensor(marked.exploded)
    assert torch.equal(marked.samples[kept], plain.samples[kept])
    assert 0 < int(kept.sum()) < count


def test_a_chain_that_has_never_had_a_finite_posterior_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restorer, at = tiny_restorer(), Whitened.at

    def first_is_lost(target: Whitened, whites: list[Tensor]) -> State:
        state = at(target, whites)
        log_w = state.log_w.clone()
        log_w[0] = -torch.inf
        return state._replace(log_w=log_w)

    monkeypatch.setattr(Whitened, "at", first_is_lost)
    found = restorer.restore(Y, noise=0.1, samples=3, moves=12)
    assert found.exploded == [True, False, False]
    assert not found.explains[0]
    chains = found.diagnostics
    assert chains is not None
    assert chains.acceptance[0] == 0
    of_others = (chains.r_hat, chains.effective, chains.log_w_gain)
    assert all(map(math.isfinite, of_others))


@pytest.mark.parametrize("moves", [0, 8])
def test_chains_whose_states_are_beyond_all_bounds_are_no_answers(moves: int) -> None:
    restorer = tiny_restorer()
    restorer.prior.top_down.latent_blocks[-1].z_proj.weight.data.mul_(1e5)
    assert all(restorer.restore(Y, noise=0.1, samples=2, moves=moves).exploded)


def test_a_density_that_is_nought_is_no_number_to_move_between(tmp_path: Path) -> None:
    """Both were the least of all numbers, and each move between them was accepted."""
    prior = tiny_prior()
    last = prior.top_down.latent_blocks[1].prior.conv4
    assert last.bias is not None
    last.bias.data[3:6] = -50  # a standard deviation of e⁻⁵⁰
    restorer = cvdvae.load_restorer(saved_prior(tmp_path / "prior", prior))
    found = restorer.restore(Y, "hole:side=6", samples=2, moves=16)
    assert found.diagnostics is not None
    assert not any(found.diagnostics.acceptance)
    assert found.exploded == [True, True]


@pytest.mark.parametrize("moves", [0, 2])
@pytest.mark.parametrize("bounded", [True, False])
def test_noise_is_no_face_behind_a_blur(bounded: bool, moves: int) -> None:
    """Its sharp samples had 10¹⁵ for a state, and stood for answers.

    That of celeba64-light does not run away, as long as the widths of its latents are bounded.
    """
    small = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    y = F.interpolate(small, size=(64, 64), mode="bicubic")[0].clamp(0, 1)
    restorer = cvdvae.load_restorer("celeba64-restore")
    if not bounded:
        for block in restorer.prior.top_down.latent_blocks:
            block.max_log_std = MAX_LOG_STD
    found = restorer.restore(y, "blur:sigma=2", noise=0.02, samples=2, moves=moves)
    assert found.exploded == [not bounded] * 2
    assert found.samples.isfinite().all()
