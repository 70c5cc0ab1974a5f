from typing import Any

import pytest
import torch

from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import DiscretizedLogisticMixture
from cvdvae.hvae.likelihood import GaussianPixels

K = 3


def parameters(n: int = 1, spread: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Parameters of one-pixel images in float64."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn((n, 10 * K, 1, 1), generator=generator, dtype=torch.float64)


def all_images(*levels_of_colour: torch.Tensor) -> torch.Tensor:
    """All one-pixel images with the given 8-bit values for red, green and blue."""
    return torch.cartesian_prod(*levels_of_colour).double().view(-1, 3, 1, 1) / 255


@pytest.mark.parametrize("spread", [0.3, 1.0, 5.0])
def test_probabilities_of_all_colours_sum_to_one(spread: float) -> None:
    likelihood, p = DiscretizedLogisticMixture(5), parameters(spread=spread)
    x = all_images(*[torch.arange(0, 256, 8)] * 3)
    total = likelihood.log_prob(p.expand(len(x), -1, -1, -1), x).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("spread", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("red", [0, 1, 100, 255])
def test_probabilities_of_all_256_greens_and_blues_sum_to_that_of_red(
    red: int, spread: float
) -> None:
    """Which is a mixture of discretized logistics, and itself sums to one by telescoping."""
    likelihood, p = DiscretizedLogisticMixture(8), parameters(spread=spread)
    x = all_images(torch.tensor([red]), torch.arange(256), torch.arange(256))
    total = likelihood.log_prob(p.expand(len(x), -1, -1, -1), x).exp().sum()
    means, log_scales, _ = p[0, K:, 0, 0].view(3, 3, K)[0]
    v, h, scales = 2 * red / 255 - 1, 1 / 255, log_scales.clamp(min=-7).exp()
    upper = torch.ones(K) if red == 255 else torch.sigmoid((v + h - means) / scales)
    lower = torch.zeros(K) if red == 0 else torch.sigmoid((v - h - means) / scales)
    expected = (torch.softmax(p[0, :K, 0, 0], 0) * (upper - lower)).sum()
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(("colours", "bits"), [(1, 8), (2, 4), (4, 2)])
def test_channels_that_are_not_three_are_independent_given_the_component(
    colours: int, bits: int
) -> None:
    likelihood = DiscretizedLogisticMixture(bits, mixtures=K, colours=colours)
    assert likelihood.channels == K * (1 + 2 * colours)
    generator = torch.Generator().manual_seed(7)
    p = torch.randn((1, likelihood.channels, 1, 1), generator=generator, dtype=torch.float64)
    values = torch.arange(0, 256, 2 ** (8 - bits)).double() / 255
    grid = torch.meshgrid(*[values] * colours, indexing="ij")
    x = torch.stack([one.flatten() for one in grid], 1)[:, :, None, None]
    mass = likelihood.log_prob(p.expand(len(x), -1, -1, -1), x).exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-6)
    n = 20_000
    drawn = likelihood.sample(p.float().expand(1, -1, n, 1), SeededNoise(0, [0]))
    shown = likelihood.to_image(2 * likelihood.levels(x) / (2**bits - 1) - 1)
    expected = (mass[:, None] * shown[:, :, 0, 0]).sum(0)
    assert float((drawn.mean((0, 2, 3)) - expected).abs().max()) < 0.01
    spread = (mass[:, None] * (shown[:, :, 0, 0] - expected) ** 2).sum(0).sqrt()
    assert float((drawn.std((0, 2, 3)) - spread).abs().max()) < 0.01
    if bits == 8:
        p[:, K:].view(1, colours, 2, K)[:, :, 0] *= 0.3
        p[:, K:].view(1, colours, 2, K)[:, :, 1] -= 4  # narrow, so that clipping plays no part
        drawn = likelihood.sample(p.float().expand(1, -1, n, 1), SeededNoise(0, [0]))
        off = drawn.mean((0, 2, 3)) - likelihood.mean(p)[0, :, 0, 0]
        assert float(off.abs().max()) < 0.005


def test_log_prob_is_finite_with_gradients_for_extreme_parameters() -> None:
    likelihood = DiscretizedLogisticMixture(8)
    for spread in (1e-3, 20.0):
        p = parameters(64, spread, seed=3).float().requires_grad_()
        x = torch.randint(0, 256, (64, 3, 1, 1)).float() / 255
        log_prob = likelihood.log_prob(p, x)
        log_prob.sum().backward()
        assert torch.isfinite(log_prob).all()
        assert p.grad is not None
        assert torch.isfinite(p.grad).all()


def test_samples_have_the_probabilities_of_log_prob() -> None:
    likelihood, n = DiscretizedLogisticMixture(2), 40_000
    p = parameters(spread=0.7, seed=5).float()
    # An image of n pixels with the same parameters: n independent draws.
    drawn = likelihood.sample(p.expand(1, -1, n, 1), SeededNoise(0, [0]))
    levels = likelihood.levels(drawn)[0, :, :, 0].long()
    counts = torch.zeros(4, 4, 4)
    for r, g, b in levels.T.tolist():
        counts[r, g, b] += 1
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    x = (grid * 64 / 255).view(-1, 3, 1, 1).float()
    expected = likelihood.log_prob(p.expand(64, -1, -1, -1), x).exp().view(4, 4, 4)
    deviation = (counts / n - expected) / (expected * (1 - expected) / n).sqrt().clamp(min=1 / n)
    assert float(deviation.abs().max()) < 5


@pytest.mark.parametrize("levels", ["spread", "floored"])
def test_a_draw_has_whole_levels_in_every_colour(levels: Any) -> None:
    likelihood = DiscretizedLogisticMixture(5, levels=levels)
    p = parameters(spread=0.7, seed=5).float().expand(1, -1, 2000, 1)
    drawn = likelihood.sample(p, SeededNoise(0, [0]))
    assert all(len(drawn[:, colour].unique()) <= 32 for colour in range(3))
    again = likelihood.to_image(likelihood.levels(drawn) * likelihood.spacing - 1)
    torch.testing.assert_close(again, drawn)


def test_mean_is_the_average_of_many_samples() -> None:
    likelihood, n = DiscretizedLogisticMixture(8), 40_000
    p = parameters(spread=0.3, seed=2).float()
    p[:, K:].view(1, 3, 3, K, 1, 1)[:, :, 1] -= 3  # narrow, so that clipping plays no part
    drawn = likelihood.sample(p.expand(1, -1, n, 1), SeededNoise(0, [0]))
    difference = drawn.mean((0, 2, 3)) - likelihood.mean(p)[0, :, 0, 0]
    assert difference.abs().max() < 0.005


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_levels_and_images_are_inverse(bits: int) -> None:
    likelihood = DiscretizedLogisticMixture(bits)
    level = torch.arange(2**bits)
    x = likelihood.to_image(2 * level / (2**bits - 1) - 1)
    assert torch.equal(likelihood.levels(x), level.float())
    eight_bit = torch.arange(256) / 255
    back = likelihood.to_image(2 * likelihood.levels(eight_bit) / (2**bits - 1) - 1)
    assert (back - eight_bit).abs().max() * 255 <= (2 ** (8 - bits) - 1) / 2 + 1e-4


def test_floored_levels_have_the_masses_of_the_released_5_bit_model() -> None:
    """Bins of 1/31 around ``8j / 127.5 − 1``; the first has a tail, the last has none."""
    likelihood, p = DiscretizedLogisticMixture(5, "floored"), parameters(seed=2)
    x = all_images(torch.arange(0, 256), torch.tensor([77]), torch.tensor([200]))
    got = likelihood.log_prob(p.expand(len(x), -1, -1, -1), x)
    logits, rest = p[0, :K, 0, 0], p[0, K:, 0, 0].view(3, 3, K)
    means, scales, c = rest[:, 0], rest[:, 1].clamp(min=-7).exp(), torch.tanh(rest[:, 2])
    v = (torch.floor(x[:, :, 0, 0] * 255 / 8) * 8 / 127.5 - 1).unsqueeze(2)
    centre = torch.stack(
        [
            means[0].expand(len(x), K),
            means[1] + c[0] * v[:, 0],
            means[2] + c[1] * v[:, 0] + c[2] * v[:, 1],
        ],
        dim=1,
    )
    upper = torch.sigmoid((v + 1 / 31 - centre) / scales)
    lower = torch.where(v < -0.999, 0.0, torch.sigmoid((v - 1 / 31 - centre) / scales))
    expected = (torch.softmax(logits, 0) * (upper - lower).prod(1)).sum(1).log()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("levels", ["spread", "floored"])
@pytest.mark.parametrize("bits", [3, 5, 8])
def test_an_image_comes_back_from_its_levels(levels: str, bits: int) -> None:
    likelihood = DiscretizedLogisticMixture(bits, levels)  # type: ignore[arg-type]
    x = torch.arange(256).view(1, 1, 16, 16) / 255
    level = likelihood.levels(x)
    v = level * likelihood.spacing - 1
    assert torch.equal(likelihood.levels(likelihood.to_image(v)), level)
    assert float((likelihood.to_image(v) - x).abs().max()) <= (2 ** (8 - bits) / 2) / 255
    torch.testing.assert_close(likelihood._nearest_level(v + 0.4 * likelihood.spacing), v)


def test_no_scale_is_below_exp_of_minus_seven() -> None:
    """What is sharper than a grey level by far would only make gradients explode."""
    sharp, least = parameters(), parameters()
    sharp.view(-1)[2 * K : 3 * K], least.view(-1)[2 * K : 3 * K] = -50, -7
    blunt = least.clone()
    blunt.view(-1)[2 * K : 3 * K] = -6.9
    likelihood, x = DiscretizedLogisticMixture(8, mixtures=K), torch.full((1, 3, 1, 1), 0.5)
    assert torch.equal(likelihood.log_prob(sharp, x), likelihood.log_prob(least, x))
    assert not torch.equal(likelihood.log_prob(blunt, x), likelihood.log_prob(least, x))


@pytest.mark.parametrize("std", [1.0, 2.5])
@pytest.mark.parametrize("level", [128.0, 128.3, 128.5])
def test_a_density_in_grey_levels_is_on_average_the_mass_of_a_level(
    std: float, level: float
) -> None:
    x = torch.arange(256.0).view(-1, 1, 1, 1) / 255
    mean = torch.full_like(x, level / 255 - 0.5)
    density = GaussianPixels(std, 1).log_prob(mean, x).double()
    edges = (torch.arange(257, dtype=torch.float64) - 0.5 - level) / std
    mass = torch.special.ndtr(edges).diff()
    apart = (mass * (density - mass.clamp(min=1e-300).log())).sum()
    assert abs(float(apart)) < 0.002
