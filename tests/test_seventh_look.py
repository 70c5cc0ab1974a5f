"""What a seventh look found, and what must not come back."""

import math

import pytest
import torch
from torch import Tensor

from cvdvae.degradations.block_dct import ROUNDING, BlockDCT, continued, transformed
from cvdvae.degradations.blur import checked
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.mask import Mask
from cvdvae.degradations.projection import project, residual
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.restoration.posterior.measurement import conditional_draw
from cvdvae.restoration.restoring import seen


def in_8_bits(x: Tensor) -> Tensor:
    return (255 * x).round() / 255


@pytest.mark.parametrize("by", ["nearest", "pillow-nearest"])
def test_what_was_left_out_is_projected_though_the_rest_is_clipped(by: str) -> None:
    """Every value of y has a pixel of its own: the nearest image is known."""
    torch.manual_seed(0)
    degradation = Downscaling((64, 64), (32, 32), by)
    y = in_8_bits(torch.rand(1, 1, 32, 32))
    x = 1.6 * torch.rand(1, 1, 64, 64) - 0.3
    chosen = degradation.A_adjoint(torch.ones_like(y)) > 0
    nearest = torch.where(chosen, degradation.A_adjoint(y), x.clamp(0, 1))
    assert torch.allclose(project(x, y, degradation, levels=255), nearest, atol=1e-5)


def test_short_steps_are_no_proof_that_y_cannot_be_met() -> None:
    torch.manual_seed(0)
    degradation = Downscaling((64, 64), (32, 32), "bicubic")
    rows = torch.linspace(-3, 3, 64)
    truth = 0.5 + 0.45 * torch.sin(rows[:, None] * rows).expand(1, 3, 64, 64)
    y = in_8_bits(degradation.A(truth))
    x = (truth + 0.25 * torch.randn(4, 3, 64, 64)).clamp(0, 1)
    found = project(x, y, degradation, levels=255)
    assert float(residual(found, y, degradation).max()) < 0.01


def test_where_y_was_cut_it_adds_no_noise() -> None:
    """There y says nothing: p(x|z, y) is p(x|z)."""
    known = Mask(torch.ones(200, 200, dtype=torch.bool))
    mean, y = torch.full((1, 1, 200, 200), -0.5), torch.zeros(1, 1, 200, 200)
    drawn = conditional_draw(mean, y, known, 0.1, 0.2, SeededNoise(0, range(1)))
    assert float(drawn.std()) == pytest.approx(0.1, rel=0.02)
    assert float(drawn.mean()) == pytest.approx(-0.5, abs=0.002)


def test_every_y_of_some_is_one_of_its_own() -> None:
    known = Mask(torch.ones(1, 1, dtype=torch.bool))
    mean, y = torch.full((2, 1, 1, 1), -0.2), torch.tensor([0, 1.01]).view(2, 1, 1, 1)
    together = conditional_draw(mean, y, known, 0.1, 0.1)
    assert torch.equal(together[:1], conditional_draw(mean[:1], y[:1], known, 0.1, 0.1))


@pytest.mark.parametrize("size", [(9, 9), (8, 24), (17, 3)])
def test_the_roundings_of_what_fills_a_block_are_one(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    steps = torch.arange(1, 65).view(8, 8).double().sqrt()
    degradation = BlockDCT(size, steps, None)
    padded = degradation.planes[0]
    lost = continued(torch.randn(4000, 1, *size, dtype=torch.float64), padded)[:, 0]
    told = ((degradation.rounding / ROUNDING) ** 2 - 1) / 2
    assert float(transformed(lost, steps).square().mean()) == pytest.approx(told, rel=0.02)


class RowMeans:
    """What an operator sees of an image may have three dimensions: ``(N, C, H)``."""

    def A(self, x: Tensor) -> Tensor:
        return x.mean(3)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return y[..., None].expand(*y.shape, 16) / 16

    def A_dagger(self, y: Tensor) -> Tensor:
        return 16 * self.A_adjoint(y)


def test_an_operator_may_see_three_dimensions() -> None:
    y = RowMeans().A(torch.rand(1, 3, 16, 16))
    assert seen(y, RowMeans(), 0.02).y.shape == (1, 3, 16)
    picture = torch.rand(1, 16, 16)
    known = Mask(torch.ones(16, 16, dtype=torch.bool))
    assert seen(picture, known, 0.02).y.shape == (1, 1, 16, 16)


def test_a_kernel_of_huge_numbers_adds_up_to_1() -> None:
    kernel = checked(torch.tensor([[1.7e308, 1.7e308]], dtype=torch.float64), (8, 8))
    assert kernel.tolist() == [[0.5, 0.5]]
    assert math.isfinite(float(kernel.sum()))
