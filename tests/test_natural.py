"""The estimate that knows how images vary: what it must keep, and what it must be better than."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from cvdvae.damage.described import parse
from cvdvae.degradations import natural
from cvdvae.degradations.damped import estimate
from cvdvae.degradations.mask import Mask
from cvdvae.degradations.natural import (
    Wiener,
    natural_estimate,
    power_of,
    pull_push,
)
from cvdvae.degradations.spectrum import mean_eigenvalue
from cvdvae.restoration.restoring import degraded as seen_of
from cvdvae.training.degrade import DEGRADATIONS, degraded

SPREAD, ALIKE, MARGIN = 0.22, 0.93, 16
"""Standard deviation of a pixel, correlation of two colours, and pixels that are mirrored."""


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A part of a photograph, ``(1, 3, 64, 64)``."""
    part = np.ascontiguousarray(astronaut()[60:188:2, 160:288:2])
    return torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255


def random_mask(height: int, width: int, share: float = 0.5) -> Mask:
    generator = torch.Generator().manual_seed(0)
    return Mask(torch.rand(height, width, generator=generator) < share)


# Beyond the border of half an image it goes on as at the border, where grey may be nearer.
@pytest.mark.parametrize("kind", [kind for kind in DEGRADATIONS if kind != "half"])
def test_it_is_nearer_to_a_photograph_than_tikhonovs(photo: Tensor, kind: str) -> None:
    errors = torch.zeros(3)
    for seed in range(3):
        y, degradation, sigma = degraded(photo, (seed,), kind)
        least = 1e-4 * mean_eigenvalue(degradation, y)
        firm, free = (
            estimate(degradation, y, (sigma / tau) ** 2 + least, 30, 1e-3) for tau in (0.2, 1.0)
        )
        for i, x in enumerate((natural_estimate(degradation, y, sigma), firm, free)):
            errors[i] += (x.clamp(0, 1) - photo).square().mean().log()
    assert errors[0] < errors[1:].min()


@pytest.mark.parametrize(
    "words", ["blur:sigma=1.5", "random:keep=0.5,seed=0", "bayer", "downscale:scale=2"]
)
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_an_even_image_is_found_again(words: str, sigma: float) -> None:
    even = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, 24, 18)
    told = seen_of(even, parse(words), 0.0, in_8_bits=False)
    found = natural_estimate(told.degradation, told.y, sigma)
    assert float((found - even).abs().max()) < 2e-3


def test_a_grey_one_stays_grey_where_only_its_luminance_was_seen() -> None:
    even = torch.full((3, 16, 16), 0.9)
    told = seen_of(even, parse("grey"), 0.0, in_8_bits=False)
    found = natural_estimate(told.degradation, told.y, 0.0)
    assert float((found - even).abs().max()) < 2e-3


def test_it_is_affine_in_what_was_seen(photo: Tensor) -> None:
    degradation = random_mask(64, 64)
    one, other = photo.double(), photo.double().flip(3)

    def of(x: Tensor) -> Tensor:
        return natural_estimate(degradation, degradation.A(x), 0.05)

    torch.testing.assert_close(of(0.3 * one + 0.7 * other), 0.3 * of(one) + 0.7 * of(other))


@pytest.mark.parametrize(
    ("words", "name"), [("jpeg:quality=75", "EXPONENT"), ("random:keep=0.5", "EXACT")]
)
def test_power_falls_faster_where_y_is_exact(
    words: str, name: str, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a JPEG the other would do worse, and the other way round."""
    told = seen_of(photo[0], parse(words))

    def error() -> float:
        found = natural_estimate(told.degradation, told.y, told.sigma)
        return float((found - photo).square().mean())

    before = error()
    monkeypatch.setattr(natural, name, natural.EXPONENT + natural.EXACT - getattr(natural, name))
    assert before < error()


def test_what_was_seen_without_noise_is_kept(photo: Tensor) -> None:
    degradation = random_mask(64, 64)
    known = degradation.known.expand_as(photo)
    found = natural_estimate(degradation, degradation.A(photo), 0.0)
    assert float((found - photo)[known].abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("colours", "variance"), [((1, 1, 1), 1 + 2 * ALIKE), ((1, -1, 0), 1 - ALIKE)]
)
def test_wieners_filter_is_that_of_the_covariance(
    colours: tuple[int, int, int], variance: float
) -> None:
    """``C (C + s² I)⁻¹`` of a wave of one colour is a factor, which the spectrum tells."""
    height = width = 48
    wave = torch.cos(2 * torch.pi * torch.arange(height, dtype=torch.float64) / 10)
    x = 0.5 + torch.tensor(colours).view(1, 3, 1, 1) * 0.1 * wave[:, None].expand(height, width)
    wiener, whole = Wiener(x), (height + 2 * MARGIN, width + 2 * MARGIN)
    power = variance * float(power_of(whole)[8, 0])  # 8 of 80 rows: every tenth
    for s in (0.5 * power**0.5, 2 * power**0.5):
        seen, filtered = (part[..., 16:32, :] - 0.5 for part in (x, wiener(x, s)))
        factor = float((filtered * seen).sum() / seen.square().sum())
        assert factor == pytest.approx(power / (power + s**2), rel=0.05)
    torch.testing.assert_close(wiener(x, 1e-7), x)
    even = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(wiener(x, 1e6), even)


def test_opposite_borders_know_nothing_of_each_other() -> None:
    x = torch.zeros(1, 3, 20, 64, dtype=torch.float64)
    x[..., 32:] = 1
    wiener = Wiener(x)
    filtered = wiener(x, 0.15)
    assert float((filtered[..., 0] - filtered[..., 1]).abs().max()) < 0.01
    torch.testing.assert_close(wiener(x.flip(3), 0.15).flip(3), filtered)


@pytest.mark.parametrize("size", [(12, 9), (7, 16), (1, 1), (1, 6)])
def test_the_power_of_all_frequencies_is_the_variance(size: tuple[int, int]) -> None:
    whole = torch.fft.fft2(torch.fft.irfft2(power_of(size), s=size)).real
    assert float(whole.mean()) == pytest.approx(SPREAD**2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (16, 16), (13, 22)])
def test_gaps_are_filled_from_around_at_any_size(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    share = (torch.rand(1, 1, *size, generator=generator) < 0.4).double()
    share[..., 0, 0] = 1
    x = torch.rand(2, 3, *size, generator=generator, dtype=torch.float64)
    filled = pull_push(x * share, share)
    seen = share.bool().expand_as(x)
    torch.testing.assert_close(filled[seen], x[seen])
    assert bool((filled >= x.amin((2, 3), keepdim=True) - 1e-9).all())
    assert bool((filled <= x.amax((2, 3), keepdim=True) + 1e-9).all())
    degradation = Mask(share[0, 0].bool())
    assert bool(natural_estimate(degradation, degradation.A(x), 0.0).isfinite().all())


@pytest.mark.parametrize("size", [(12, 9), (7, 16)])
def test_the_power_falls_with_the_frequency_as_it_says(size: tuple[int, int]) -> None:
    power = power_of(size, 1.25)
    for row, column in ((0, 1), (1, 0), (3, 2), (size[0] // 2, size[1] // 2)):
        f = (row / size[0]) ** 2 + (column / size[1]) ** 2
        fall = ((f + 1e-4) / 1e-4) ** -1.25
        assert float(power[row, column] / power[0, 0]) == pytest.approx(fall, rel=1e-5)
    torch.testing.assert_close(power[1:], power[1:].flip(0))


@pytest.mark.parametrize("sigma", [0.0, 0.07])
def test_twelve_turns_lead_from_what_is_around_to_the_estimate(sigma: float) -> None:
    degradation = random_mask(13, 10, 0.6)
    known = degradation.known.double()
    x = torch.rand(2, 3, 13, 10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = known * x
    gain = 1 / (1 + (sigma / 0.22) ** 2 + 1e-4)
    found = 0.5 + pull_push(gain * known * (y - 0.5), (gain * known)[None, None])
    wiener, last = Wiener(found, 1.25 if sigma else 1.5), torch.zeros_like(found)
    for turn, s in enumerate(np.geomspace(0.15, 0.005, 12)):
        z = wiener(found + turn / (turn + 3) * last, float(s))
        before, found = found, z + known * (y - z) / (1 + (sigma / s) ** 2 + 1e-4)
        last = found - before
    torch.testing.assert_close(natural_estimate(degradation, y, sigma), found)


def test_what_was_seen_in_part_is_filled_up_from_the_mean_of_all() -> None:
    seen = torch.tensor([[[[1.0, 0], [0, 0]]]], dtype=torch.float64)
    share = torch.tensor([[[[1.0, 0.5], [0, 0]]]], dtype=torch.float64)
    mean = 0.25 / 0.375
    wanted = [1, mean / 2, mean, mean]
    assert pull_push(seen, share).flatten().tolist() == pytest.approx(wanted)
    odd = torch.tensor([[[[0.2, 0.4, 0.9]]]], dtype=torch.float64)
    assert torch.equal(pull_push(odd, torch.ones_like(odd)), odd)
    alone = torch.zeros(1, 1, 1, 3, dtype=torch.float64)
    alone[..., 2] = 1  # an odd last one is by itself, and of two halves the finer are nearer
    row = pull_push(0.8 * alone, alone).flatten().tolist()
    assert row == pytest.approx([0.8] * 3)


def test_an_image_is_mirrored_sixteen_pixels_or_as_far_as_it_reaches() -> None:
    for size, margins in (((40, 30), (16, 16)), ((10, 17), (9, 16)), ((1, 6), (0, 5))):
        wiener = Wiener(torch.zeros(1, 3, *size))
        assert wiener.size == tuple(n + 2 * m for n, m in zip(size, margins, strict=True))
        assert wiener.margins == (margins[1], margins[1], margins[0], margins[0])
