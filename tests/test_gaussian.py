import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from cvdvae.errors import InputError
from cvdvae.gaussian import Conditional, DiagonalGaussian
from cvdvae.gaussian.noise import FieldNoise, SeededNoise, Window

SHAPE = (2, 3, 4, 4)


def gaussian(seed: int) -> DiagonalGaussian:
    generator = torch.Generator().manual_seed(seed)
    return DiagonalGaussian(*torch.randn((2, *SHAPE), generator=generator, dtype=torch.float64))


def as_normal(g: DiagonalGaussian) -> Normal:
    return Normal(g.mean, g.log_std.exp())


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_kl_is_that_of_torch_distributions(a: int, b: int) -> None:
    q, p = gaussian(a), gaussian(b)
    expected = kl_divergence(as_normal(q), as_normal(p)).flatten(1).sum(1)
    torch.testing.assert_close(q.kl(p), expected)


def test_log_prob_is_that_of_torch_distributions() -> None:
    q, z = gaussian(0), gaussian(1).mean
    torch.testing.assert_close(q.log_prob(z), as_normal(q).log_prob(z).flatten(1).sum(1))


def test_kl_of_a_gaussian_to_itself_is_zero() -> None:
    q = gaussian(3)
    torch.testing.assert_close(q.kl(q), torch.zeros(2, dtype=torch.float64))


def test_zero_relative_to_a_gaussian_is_that_gaussian() -> None:
    base = gaussian(5)
    zero = DiagonalGaussian(torch.zeros(SHAPE), torch.zeros(SHAPE))
    for ours, expected in zip(zero.relative_to(base), base, strict=True):
        torch.testing.assert_close(ours, expected)


def test_relative_parameters_scale_and_shift_in_units_of_the_base() -> None:
    base, delta = gaussian(5), gaussian(6)
    result = delta.relative_to(base)
    standardized = (result.mean - base.mean) / base.log_std.exp()
    torch.testing.assert_close(standardized, delta.mean)
    torch.testing.assert_close(result.log_std.exp() / base.log_std.exp(), delta.log_std.exp())


def test_temperature_scales_the_distance_from_the_mean() -> None:
    q = gaussian(7)
    at_one = q.sample(SeededNoise(0, [0, 1])) - q.mean
    at_half = q.sample(SeededNoise(0, [0, 1]), 0.5) - q.mean
    torch.testing.assert_close(at_half, at_one / 2)
    assert torch.equal(q.sample(SeededNoise(0, [0, 1]), 0.0), q.mean)


def test_seeded_noise_is_standard_normal_and_its_rows_are_different() -> None:
    rows = SeededNoise(0, range(4)).normal(torch.empty(4, 20_000))
    assert rows.mean(1).abs().max() < 0.05
    assert (rows.std(1) - 1).abs().max() < 0.05
    assert torch.corrcoef(rows).fill_diagonal_(0).abs().max() < 0.05


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("together", [1, 8, 21, 1000])
def test_a_conditional_drawn_in_strips_is_the_one_drawn_as_a_whole(
    temperature: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.gaussian.SAMPLED_TOGETHER", together)
    statistics = torch.randn(2, 6, 7, 3, generator=torch.Generator().manual_seed(0))
    known = DiagonalGaussian.from_channels(statistics)
    asked: list[slice] = []

    def of(rows: slice) -> DiagonalGaussian:
        asked.append(rows)
        return DiagonalGaussian.from_channels(statistics[:, :, rows])

    whole = known.sample(SeededNoise(0, [4, 5]), temperature)
    for conditional in (Conditional(of, statistics, 3), Conditional.known(known)):
        with torch.no_grad():
            drawn = conditional.sample(SeededNoise(0, [4, 5]), temperature)
        assert torch.equal(drawn, whole)
    assert len(asked) == -(-7 // max(1, together // 6))


def test_a_conditional_keeps_gradients_where_they_are_wanted() -> None:
    statistics = torch.zeros(1, 2, 3, 3, requires_grad=True)
    conditional = Conditional(
        lambda rows: DiagonalGaussian.from_channels(statistics[:, :, rows]), statistics, 1
    )
    conditional.sample(SeededNoise(0, [0])).sum().backward()
    assert statistics.grad is not None
    assert bool((statistics.grad[:, :1] == 1).all())


def test_noise_of_some_samples_is_of_no_others() -> None:
    for noise in (SeededNoise(0, [0]), FieldNoise(0, [0], Window(0, 0, 4, 4))):
        with pytest.raises(InputError, match="of 1 samples, and 3 are drawn"):
            noise.normal(torch.empty(3, 2, 4, 4))
