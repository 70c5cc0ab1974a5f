import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tiny import ENCODER, PRIOR, tiny_prior

from cvdvae.checkpoints.legacy import upgrade_encoder, upgrade_prior
from cvdvae.configs import from_dict
from cvdvae.errors import ConfigError, InputError
from cvdvae.gaussian import MAX_LOG_STD, Conditional, DiagonalGaussian
from cvdvae.gaussian.noise import GlobalNoise, SeededNoise
from cvdvae.hvae import HVAE, HVAEConfig
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.layers import LARGE, Block, pointwise
from cvdvae.hvae.likelihood import DiscretizedLogisticMixture, GaussianPixels
from cvdvae.hvae.lr_encoder import MAX_WIDENING, LREncoder, drawn_mean
from cvdvae.hvae.notation import parse_top_down, strides_of_resolutions
from cvdvae.hvae.presets import PRESETS

PLAIN = {"top_down": "16x1,4u16,2u4,2r1"}
LADDER = {"top_down": "16x1,4m16,2m4"}
CONVOLUTIONAL = {"biases": (), "likelihood": "gaussian", "bottom_up": "2x1,2d2,4x1,4d2,8x1",
                 "top_down": "8x1,4m8,2m4,2r1"}  # fmt: skip
PUBLISHED_STYLE = {
    "patch_size": 1,
    "bottom_up": "1x1,1d4,4x1,4d4,16x1",
    "top_down": "16x1,4m16,4x2,1m4,1x1",
    "widths": {1: 4},
    "bits": 8,
    "activation": "gelu",
}


def variant(**changes: object) -> HVAE:
    fields = {f: getattr(PRIOR, f) for f in PRIOR.__dataclass_fields__}
    return tiny_prior(HVAEConfig(**(fields | changes)))


@pytest.mark.parametrize("changes", [{}, PLAIN, LADDER, PUBLISHED_STYLE, CONVOLUTIONAL])
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
    top_down = parse_top_down(strides_of_resolutions(blocks, 256))
    strides = [b.stride for b in top_down if b.latent]
    assert len(strides) == 66
    assert [sum(stride >= s for stride in strides) for s in (16, 8, 4)] == [21, 43, 57]


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
        ({"top_down": "16x1,4m16,2y4"}, "is not a block"),
        ({"top_down": "16x1,2m4"}, "cannot take"),
        ({"top_down": "16r1,2u16"}, "no latent group"),
        ({"bottom_up": "2x1,2d2,2x1"}, "cannot follow"),
        ({"bottom_up": "2x1,2d8,16x1"}, "has no block"),
        ({"patch_size": 3}, "must start"),
        ({"image_size": 24}, "does not divide"),
        ({"bottom_up": "2x1,2d2,4x1,4d4,16x1,16d2,32x1"}, "stride 32 does not divide"),
        ({"bits": 9}, "bits"),
        ({"width": 0}, "width"),
        ({"widths": {2: 16}}, "is wider than"),
        ({"bottleneck": 0.01}, "no channel"),
        ({"bottom_up": "2x1,2d2,4x1,4d2,8x1,8d2,16x1", "widths": {8: 3}}, "channel at stride 8"),
        ({"bottleneck": math.nan}, "bottleneck"),
        ({"input_mean": math.nan}, "input_mean"),
        ({"pixel_std": 0.0}, "pixel_std"),
        ({"biases": (3,)}, "not all of which occur"),
        ({"top_down": "16x1,4m16,2m4,4m2"}, "cannot take its state from 2"),
        ({"top_down": "16x1,2m16,2m2"}, "cannot take its state from 2"),
        ({"top_down": "16x1,4m16,0x1,2m4"}, "is not a block"),
        ({"bottom_up": "2x1,2d2,4x0,4d4,16x1"}, "is not a block"),
        ({"bits": 0}, "bits"),
        ({"patch_size": 0}, "patch_size must be at least 1"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"z_channels": 0}, "z_channels must be at least 1"),
        ({"mixtures": 0}, "mixtures must be at least 1"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"input_std": 0.0}, "input_std"),
        ({"pixel_std": math.inf}, "pixel_std"),
        ({"max_log_std": -5.0}, "max_log_std"),
    ],
)
def test_impossible_architectures_are_refused_by_name(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        variant(**changes)


def test_an_encoder_without_a_channel_is_refused(prior: HVAE) -> None:
    for changes in ({"width": 3}, {"head_width": 0.01}):
        with pytest.raises(ConfigError, match="has none left"):
            LREncoder(replace(ENCODER, **changes), prior.config)


def test_an_encoder_sees_y_as_the_prior_sees_its_images(prior: HVAE) -> None:
    """Less their mean, and divided by their standard deviation."""
    encoder, y = LREncoder(ENCODER, prior.config), torch.rand(1, 3, 4, 4)
    encoder.input_mean, encoder.input_std = encoder.input_mean * 0, encoder.input_std * 0 + 1
    plain = encoder.terms((y - 0.4) / 0.25)
    encoder.input_mean, encoder.input_std = encoder.input_mean + 0.4, encoder.input_std * 0.25
    for a, b in zip(plain, encoder.terms(y), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_gaussian_pixels_are_drawn_with_their_own_width_in_grey_levels() -> None:
    parameters = torch.zeros(1, 1, 2, 3)
    drawn = GaussianPixels(2.0, 1).sample(parameters, SeededNoise(0, [0]))
    noise = SeededNoise(0, [0]).normal(parameters)
    torch.testing.assert_close((drawn - 0.5) * 255, 2.0 * noise, atol=1e-4, rtol=1e-4)


def test_a_gaussian_prior_begins_with_the_mean_of_its_images() -> None:
    bias = HVAE(replace(variant(**CONVOLUTIONAL).config, input_mean=0.3)).out_conv.bias
    assert bias is not None
    torch.testing.assert_close(bias, torch.full_like(bias, -0.2))


def test_an_encoder_draws_as_it_is_where_no_temperature_is_named(prior: HVAE) -> None:
    encoder, y = LREncoder(ENCODER, prior.config), torch.rand(1, 3, 4, 4)
    terms = encoder.terms(y)

    def given() -> tuple[HVAE, LREncoder, list[torch.Tensor], int, tuple[int, int], SeededNoise]:
        return prior, encoder, terms, 1, (16, 16), SeededNoise(0, [0])

    assert torch.equal(drawn_mean(*given()), drawn_mean(*given(), 1.0, 1.0))


def test_heads_that_are_relative_begin_at_nought_and_others_as_any_block(prior: HVAE) -> None:
    for relative in (True, False):
        head = LREncoder(replace(ENCODER, relative=relative), prior.config).heads[0]
        assert isinstance(head, Block)
        largest, usual = float(head.conv4.weight.abs().max()), head.conv4.in_channels**-0.5
        assert largest == 0 if relative else 0.5 * usual < largest <= usual


@pytest.mark.parametrize("bound", [-1.0, 0.0, 4.0])
def test_a_relative_head_begins_at_the_prior_and_widens_it_by_a_quarter_at_most(
    bound: float,
) -> None:
    """Whatever bounds the prior's own width."""
    model, y = variant(max_log_std=bound), torch.rand(4, 3, 4, 4)
    encoder = LREncoder(ENCODER, model.config).requires_grad_(False)
    wider: list[torch.Tensor] = []

    def pick(group: int, h: torch.Tensor, p: Conditional) -> torch.Tensor:
        if group < encoder.groups:
            posterior = encoder.posterior_of(group, h, p, terms)()
            wider.append((posterior.log_std - p().log_std).flatten())
        return p.sample(SeededNoise(0, range(4)))

    for most, head in ((0.0, 0.0), (MAX_WIDENING, 50.0)):
        for block in encoder.heads:
            assert isinstance(block, Block)
            assert block.conv4.bias is not None
            block.conv4.bias.fill_(head)
        terms = encoder.terms(y)
        model.top_down(pick, 4)
        assert torch.allclose(torch.cat(wider), torch.tensor(most), rtol=0, atol=1e-6)
        wider.clear()


def test_groups_are_the_blocks_that_hold_a_latent() -> None:
    top_down = PRIOR.top_down.replace("4x1", "4r1,4x1")
    assert top_down != PRIOR.top_down
    model = variant(top_down=top_down)
    blocks = model.top_down.latent_blocks
    assert len(blocks) == model.groups < len(model.top_down.blocks)
    assert all(block.spec.latent for block in blocks)


def test_limits_themselves_are_taken() -> None:
    for changes in ({"bits": 1}, {"bits": 8}, {"mixtures": 1}, {"z_channels": 1}, {"channels": 1}):
        assert variant(**changes).sample(1, mean=True).shape[0] == 1
    for bound in (MAX_LOG_STD, -MAX_LOG_STD):
        assert variant(max_log_std=bound).config.max_log_std == bound
    for text in ("3x1", "0x1", "8y1", "8m3"):
        with pytest.raises(ConfigError):
            strides_of_resolutions(text, 8)
    assert strides_of_resolutions("8x2, 4d2 ,1u2", 8) == "1x2,2d2,8u4"


def test_what_a_description_does_not_name_is_as_published() -> None:
    """Child 2021: a quarter of the width within blocks, 16 channels a group, 10 logistics."""
    config = HVAEConfig(8, "1x1,1d8,8x1", "8x1,1m8", 12)
    assert (config.bottleneck, config.z_channels, config.mixtures) == (0.25, 16, 10)
    assert (config.bits, config.levels, config.activation) == (8, "spread", "gelu")
    assert (config.patch_size, config.biases, config.channels) == (1, (), 3)
    assert (config.input_mean, config.input_std, config.pixel_std) == (0.5, 0.25, 2.5)
    assert config.max_log_std == MAX_LOG_STD
    published = HVAEConfig.of_resolutions(128, "128x1,128d2,64d64", "1x1,64m1,128m64", width=4)
    assert published.biases == (2, 128)  # up to 64×64 positions


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("cifar10", 120.63838, 64.16736),
        ("imagenet32", 116.2373, 69.37404),
        ("imagenet64", 115.92961967, 69.37404),
        ("ffhq256", 112.8666757481, 69.84780273),
        ("ffhq1024", 0.4387 * 255, 0.2743 * 255),
    ],
)
def test_presets_take_images_as_the_released_code_does(name: str, mean: float, std: float) -> None:
    config = PRESETS[name]
    assert (255 * config.input_mean, 255 * config.input_std) == pytest.approx((mean, std))
    assert (config.bits, config.levels) == ((5, "floored") if name == "ffhq256" else (8, "spread"))


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
    of_numpy, plain = (
        prior.sample(1, temperature=t, noise=SeededNoise(0, [0]), mean=True)  # type: ignore[arg-type]
        for t in (np.float32(0.5), 0.5)
    )
    assert torch.equal(of_numpy, plain)


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


@pytest.mark.parametrize("side", [8, 64])
def test_a_pointwise_convolution_is_a_product_at_every_position(
    side: int, one_thread: None
) -> None:
    """With its gradients, by whatever kernel PyTorch takes for it."""
    g = torch.Generator().manual_seed(0)
    x, weight, bias, out = (
        torch.randn(shape, generator=g)
        for shape in ((1, 40, side, side), (24, 40, 1, 1), (24,), (1, 24, side, side))
    )
    assert (x.numel() >= LARGE) is (side == 64)
    last = x.contiguous(memory_format=torch.channels_last)
    given = [one.requires_grad_() for one in (last, weight, bias)]
    made = pointwise(*given)
    exact = [one.detach().double().requires_grad_() for one in given]
    wanted = torch.einsum("oi,nihw->nohw", exact[1][:, :, 0, 0], exact[0]) + exact[2][:, None, None]
    torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad(made, given, out)
    for one, true in zip(gradients, torch.autograd.grad(wanted, exact, out.double()), strict=True):
        torch.testing.assert_close(one.double(), true, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, PLAIN, PUBLISHED_STYLE])
def test_drawing_changes_no_weight(changes: dict[str, object], images: torch.Tensor) -> None:
    model = variant(**changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for n in (1, 2):
            model.sample(n, noise=SeededNoise(0, range(n)))
            model.elbo(images[:n])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_old_descriptions_in_resolutions_say_the_same_in_strides() -> None:
    old = {"image_size": 16, "patch_size": 2, "width": 12, "widths": {8: 8}, "bits": 5,
           "encoder": "8x1,8d2,4x1,4d4,1x1", "decoder": "1x1,4m1,4x1,8m4,8r1", "mixtures": 2,
           "bias_max_resolution": 4, "activation": "silu", "z_channels": 3}  # fmt: skip
    assert from_dict(HVAEConfig, upgrade_prior(old), "old") == PRIOR
    assert upgrade_prior(asdict(PRIOR)) == asdict(PRIOR)
    old = {"lr_size": 4, "encoder": "4x1,4d4,1x1", "width": 8}
    assert from_dict(LREncoderConfig, upgrade_encoder(old, 16), "old") == ENCODER
    assert upgrade_encoder(asdict(ENCODER), 16) == asdict(ENCODER)


@pytest.mark.parametrize(
    ("name", "value"), [("patch_size", "two"), ("patch_size", 0), ("image_size", "16")]
)
def test_what_should_be_a_number_in_an_old_description_is_named(name: str, value: object) -> None:
    old = {"image_size": 16, "encoder": "16x1", "decoder": "1x1", name: value}
    with pytest.raises(ConfigError, match=f"{name} must be a whole number from 1 upwards, not"):
        upgrade_prior(old)


def test_a_convolutional_prior_takes_any_size_and_does_not_see_far() -> None:
    """A shift by the coarsest stride shifts everything; what is far away changes nothing."""
    model = variant(**CONVOLUTIONAL)
    torch.manual_seed(0)
    wide = torch.rand(1, 3, 16, 96)

    def shown(x: torch.Tensor) -> torch.Tensor:
        return model.sample(latents=model.encode(x, temperature=0), mean=True)

    whole = shown(wide)
    assert whole.shape == wide.shape
    moved = shown(wide[..., 8:])
    torch.testing.assert_close(moved[..., 40:], whole[..., 48:], atol=1e-5, rtol=0)
    assert model.sample(1, size=(24, 40)).shape == (1, 3, 24, 40)
    for size in ((20, 16), (8, 0)):
        with pytest.raises(InputError, match="multiples of 8"):
            model.sample(1, size=size)


def test_a_prior_with_biases_says_that_it_is_bound_to_its_size(prior: HVAE) -> None:
    with pytest.raises(InputError, match="bound to images of 16×16"):
        prior.sample(1, size=(32, 32))


def test_the_gaussian_is_nearly_the_mass_of_a_level() -> None:
    """``∫ N(x; μ, s²)`` over a level, summed over colours and pixels, in nats."""
    torch.manual_seed(0)
    likelihood, mean = GaussianPixels(2.5), torch.rand(4, 3, 5, 5) - 0.5
    x = torch.round((mean + 0.5) * 255 + 2.5 * torch.randn_like(mean)).clamp(0, 255) / 255
    normal = torch.distributions.Normal((mean + 0.5).double() * 255, 2.5)
    mass = normal.cdf(x.double() * 255 + 0.5) - normal.cdf(x.double() * 255 - 0.5)
    torch.testing.assert_close(
        likelihood.log_prob(mean, x).double(), mass.log().flatten(1).sum(1), atol=0.5, rtol=0
    )
    assert torch.equal(likelihood.mean(mean), mean + 0.5)
    far = torch.tensor([-3.0, 3.0]).view(1, 2, 1, 1)
    assert likelihood.mean(far).flatten().tolist() == [0, 1]
    assert likelihood.sample(far, SeededNoise(0, [0])).flatten().tolist() == [0, 1]
    drawn = likelihood.sample(mean.expand(4, -1, -1, -1) * 0, SeededNoise(0, range(4)))
    assert abs(float(drawn.std()) * 255 - 2.5) < 0.3


def test_processes_that_share_a_batch_draw_what_one_would() -> None:
    whole, shares = torch.empty(6, 2, 3, 3), []
    torch.manual_seed(0)
    together = GlobalNoise().normal(whole)
    for rank in range(2):
        torch.manual_seed(0)
        shares.append(GlobalNoise(rank, 2).normal(whole[rank::2]))
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), together)


def test_no_latent_is_wider_than_the_bound(images: torch.Tensor) -> None:
    """Prior and posterior alike, and a relative LR head by no more than it may widen the prior."""
    model = variant(max_log_std=-1.0)
    _, visited = model.infer(images, SeededNoise(0, range(4)))
    for group in visited:
        assert float(group.prior.log_std.max()) <= -1
        assert float(group.posterior.log_std.max()) <= -1
    assert max(float(g.prior.log_std.max()) for g in visited) == -1.0
    with pytest.raises(ConfigError, match="max_log_std"):
        variant(max_log_std=5.0)


def test_what_is_not_said_is_as_published() -> None:
    """Child 2021: ten logistics for colour images of 8 bits."""
    config = HVAEConfig(32, "1x1,1d32,32x1", "32x1,1m32,1x1", 8)
    assert (config.channels, config.mixtures, config.bits) == (3, 10, 8)
    assert DiscretizedLogisticMixture(8).channels == 10 * 10


@pytest.mark.parametrize(("resolution", "kernel"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_below_three_pixels_every_convolution_is_one_by_one(resolution: int, kernel: int) -> None:
    block = Block(4, 2, 4, resolution, "gelu")
    sizes = [conv.kernel_size for conv in (block.conv1, block.conv2, block.conv3, block.conv4)]
    assert sizes == [(1, 1), (kernel, kernel), (kernel, kernel), (1, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        torch.full((1, 3, 16, 16), -0.5),
        torch.full((1, 3, 16, 16), float("nan")),
        torch.zeros(3, 16, 16),
        torch.zeros(1, 1, 16, 16),
        torch.zeros(1, 3, 12, 12),
    ],
    ids=["uint8", "negative", "nan", "no batch", "grey", "size"],
)
def test_a_bound_is_of_images_alone(prior: HVAE, wrong: torch.Tensor) -> None:
    for task in (prior.elbo, prior.encode, prior.reconstruct):
        with pytest.raises(InputError):
            task(wrong)


def test_a_training_does_not_wait_for_the_values_of_images(
    prior: HVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(x: torch.Tensor) -> bool:
        raise AssertionError("waited for")

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "__bool__", refuse)
        prior.train().elbo(torch.full((1, 3, 16, 16), 0.5))
    with pytest.raises(InputError, match="expected float images"):
        prior.elbo(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


@pytest.mark.parametrize("groups", [0, -1, 99, 1.5, True])
def test_groups_that_there_are_not_are_refused(
    prior: HVAE, images: torch.Tensor, groups: int
) -> None:
    with pytest.raises(InputError, match=f"a whole number from 1 to {prior.groups}"):
        prior.encode(images, groups=groups)


def test_latents_beyond_the_last_group_are_refused(prior: HVAE, images: torch.Tensor) -> None:
    latents = prior.encode(images[:1])
    assert len(prior.encode(images[:1], groups=2)) == 2
    with pytest.raises(InputError, match=f"{prior.groups + 1} latents for {prior.groups}"):
        prior.sample(latents=[*latents, latents[-1]])


def test_only_none_is_no_noise(prior: HVAE, images: torch.Tensor) -> None:
    class Source(SeededNoise):
        def __len__(self) -> int:
            return 0

    def noise() -> Source:
        return Source(0, [0])

    for task in (prior.reconstruct, lambda x, n: prior.sample(1, noise=n), prior.elbo):
        once, again = task(images[:1], noise()), task(images[:1], noise())
        assert torch.equal(once[0], again[0])


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_images_are_encoded_at_a_temperature(
    prior: HVAE, images: torch.Tensor, temperature: float
) -> None:
    with pytest.raises(InputError, match="a temperature"):
        prior.encode(images, temperature=temperature)


def test_latents_of_another_shape_are_refused() -> None:
    prior = tiny_prior()
    latents = prior.encode(torch.rand(2, 3, 16, 16))
    for wrong in ([latents[0][:, :1], *latents[1:]], [latents[0], latents[1][:1]]):
        with pytest.raises(InputError, match="a latent group has shape"):
            prior.decode(wrong)
