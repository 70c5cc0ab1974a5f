import math

import pytest
import torch

from cvdvae.errors import ConfigError, InputError
from cvdvae.hvae import HVAE, DiagonalGaussian, GlobalNoise, HVAEConfig, SeededNoise
from cvdvae.hvae.config import parse_top_down
from cvdvae.tiny import PRIOR, tiny_prior

PLAIN = {"decoder": "1x1,4u1,8u4,8r1"}
LADDER = {"decoder": "1x1,4m1,8m4"}
PUBLISHED_STYLE = {
    "patch_size": 1,
    "encoder": "16x1,16d4,4x1,4d4,1x1",
    "decoder": "1x1,4m1,4x2,16m4,16x1",
    "widths": {16: 4},
    "bits": 8,
    "activation": "gelu",
}


def variant(**changes: object) -> HVAE:
    fields = {f: getattr(PRIOR, f) for f in PRIOR.__dataclass_fields__}
    return tiny_prior(HVAEConfig(**(fields | changes)))


@pytest.mark.parametrize("changes", [{}, PLAIN, LADDER, PUBLISHED_STYLE])
def test_elbo_is_the_mean_of_the_log_weights_and_below_the_importance_weighted_bound(
    changes: dict[str, object], images: torch.Tensor
) -> None:
    """log p(x) ≥ IW_K ≥ ELBO (Burda et al. 2016), and ELBO = E[log w], its KL in closed form."""
    model, draws = variant(**changes), 400
    x = images[:1].expand(draws, -1, -1, -1)
    torch.manual_seed(0)
    elbo = model.elbo(x)
    h, visited = model.infer(x, GlobalNoise())
    log_w = model.likelihood.log_prob(model.parameters_of_x(h), x)
    for group in visited:
        log_w = log_w + group.prior.log_prob(group.z) - group.posterior.log_prob(group.z)
    spread = float(torch.sqrt(log_w.var() / draws + elbo.nats.var() / draws))
    assert abs(float(elbo.nats.mean() - log_w.mean())) < 4 * spread
    importance_weighted = torch.logsumexp(log_w.view(20, -1), 1) - math.log(draws / 20)
    assert float(importance_weighted.mean()) > float(elbo.nats.mean())


def test_bits_per_dim_is_the_bound_over_dimensions(prior: HVAE, images: torch.Tensor) -> None:
    elbo = prior.elbo(images, SeededNoise(0, range(4)))
    nats = -(elbo.log_likelihood - elbo.kl.sum(1))
    torch.testing.assert_close(elbo.bits_per_dim, nats / math.log(2) / (3 * 16 * 16))
    torch.testing.assert_close(
        elbo.kl_bits_per_dim.sum(1) - elbo.log_likelihood / math.log(2) / 768, elbo.bits_per_dim
    )


def test_the_notation_reads_the_published_architecture() -> None:
    """VD-VAE for FFHQ-256: 66 groups, of which 21, 43 and 57 are no finer than y at ×16, ×8, ×4."""
    blocks = "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128"
    resolutions = [b.resolution for b in parse_top_down(blocks) if b.latent]
    assert len(resolutions) == 66
    assert [sum(r <= 256 // s for r in resolutions) for s in (16, 8, 4)] == [21, 43, 57]


def test_every_parameter_gets_a_gradient(images: torch.Tensor) -> None:
    model = tiny_prior().requires_grad_(True)
    model.elbo(images).bits_per_dim.mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The posterior heads of the 1×1 kernel size are all used; nothing is left over.
    assert without == []


def test_returned_latents_fed_back_reproduce_the_image(prior: HVAE) -> None:
    parameters, latents = prior.decode([], batch=3, noise=SeededNoise(0, range(3)))
    again, same = prior.decode(latents)
    assert torch.equal(parameters, again)
    assert all(torch.equal(a, b) for a, b in zip(latents, same, strict=True))


def test_reconstruction_is_decoding_of_encoding(prior: HVAE, images: torch.Tensor) -> None:
    noise = SeededNoise(0, range(4))
    latents = prior.encode(images, SeededNoise(0, range(4)))
    assert torch.equal(prior.reconstruct(images, noise), prior.sample(latents=latents, mean=True))


def test_first_groups_are_kept_and_the_rest_is_drawn(prior: HVAE) -> None:
    _, latents = prior.decode([], batch=2)
    _, kept = prior.decode(latents[:2], noise=SeededNoise(1, range(2)))
    assert all(torch.equal(a, b) for a, b in zip(latents[:2], kept[:2], strict=True))
    assert not torch.equal(latents[2], kept[2])


def test_temperature_zero_is_deterministic(prior: HVAE) -> None:
    once, again = (prior.sample(2, temperature=0, mean=True) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(once[0], once[1])


def test_temperature_per_group_touches_only_that_group(prior: HVAE) -> None:
    cold = [0.0] * prior.groups
    cold[1] = 1.0
    _, latents = prior.decode([], 1, cold, SeededNoise(0, [0]))
    _, coldest = prior.decode([], 1, 0.0)
    assert torch.equal(latents[0], coldest[0])
    assert not torch.equal(latents[1], coldest[1])


def test_sample_does_not_depend_on_its_batch(prior: HVAE) -> None:
    together = prior.sample(3, noise=SeededNoise(5, range(3)))
    alone = prior.sample(1, noise=SeededNoise(5, [2]))
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=0)


def test_untrained_prior_blocks_start_as_standard_normal(images: torch.Tensor) -> None:
    model = HVAE(PRIOR)
    _, visited = model.infer(images)
    for group in visited:
        assert torch.equal(group.prior.mean, torch.zeros_like(group.prior.mean))
        assert torch.equal(group.prior.log_std, torch.zeros_like(group.prior.log_std))
        assert isinstance(group.prior, DiagonalGaussian)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decoder": "1x1,4m1,8y4"}, "is not a block"),
        ({"decoder": "1x1,8m4"}, "cannot take"),
        ({"decoder": "1r1,8u1"}, "no latent group"),
        ({"encoder": "8x1,8d2,8x1"}, "cannot follow"),
        ({"encoder": "8x1,8d8,1x1"}, "has no block"),
        ({"patch_size": 3}, "does not divide"),
        ({"bits": 9}, "bits"),
        ({"width": 0}, "width"),
        ({"widths": {8: 16}}, "is wider than"),
        ({"bottleneck": 0.01}, "no channel"),
    ],
)
def test_impossible_architectures_are_refused_by_name(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        variant(**changes)


def test_bad_images_and_temperatures_are_refused(prior: HVAE, images: torch.Tensor) -> None:
    for bad in (images[:, :2], images.double()[:, :, :8], images.byte(), images + 1):
        with pytest.raises(InputError):
            prior.encode(bad)
    images[0, 0, 0, 0] = math.nan
    with pytest.raises(InputError, match="NaN"):
        prior.encode(images)
    for temperature in (-1.0, math.nan, [1.0]):
        with pytest.raises(InputError):
            prior.sample(1, temperature=temperature)
    with pytest.raises(InputError):
        prior.sample(0)


@pytest.mark.parametrize("strip_bytes", [1, 4 * 2**20])
@pytest.mark.parametrize("changes", [{}, PLAIN, PUBLISHED_STYLE])
def test_without_gradients_the_numbers_are_the_same(
    changes: dict[str, object],
    strip_bytes: int,
    images: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Strips and sums in place, whatever the size of a strip, against the plain graph."""
    monkeypatch.setattr("cvdvae.hvae.layers.STRIP_BYTES", strip_bytes)
    model = variant(**changes)
    with torch.enable_grad():
        plain = model.elbo(images, SeededNoise(0, range(4)))
    with torch.no_grad():
        fast = model.elbo(images, SeededNoise(0, range(4)))
    torch.testing.assert_close(fast.nats, plain.nats, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(fast.kl, plain.kl, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, PLAIN, PUBLISHED_STYLE])
def test_drawing_changes_no_weight(changes: dict[str, object], images: torch.Tensor) -> None:
    model = variant(**changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for n in (1, 2):
            model.sample(n, noise=SeededNoise(0, range(n)))
            model.elbo(images[:n])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_processes_that_share_a_batch_draw_what_one_would() -> None:
    whole, shares = torch.empty(6, 2, 3, 3), []
    torch.manual_seed(0)
    together = GlobalNoise().normal(whole)
    for rank in range(2):
        torch.manual_seed(0)
        shares.append(GlobalNoise(rank, 2).normal(whole[rank::2]))
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), together)
