import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, lsq_linear, minimize

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.projection import project, round_consistently
from cvdvae.imaging.io import to_bytes

seeds = st.integers(0, 10_000)


def problem(
    seed: int, height: int = 20, width: int = 26, scale: int = 4, contrast: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, BicubicDownscaling]:
    """A noisy start, and a y that is the 8-bit shadow of an image in range."""
    generator = torch.Generator().manual_seed(seed)
    H = BicubicDownscaling.of_scale((height, width), scale)
    truth = torch.rand((2, 3, height, width), generator=generator, dtype=torch.float64)
    truth = ((truth - 0.5) * contrast + 0.5).clamp(0, 1)
    y = torch.round(H.A(truth).clamp(0, 1) * 255) / 255
    start = truth + 0.3 * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    return start, y, H


@given(seeds, st.integers(8, 30), st.integers(8, 30), st.sampled_from([2, 4, 5]))
def test_result_is_consistent_and_in_range(seed: int, h: int, w: int, scale: int) -> None:
    start, y, H = problem(seed, h, w, scale)
    x = project(start, y, H)
    assert float((H.A(x) - y).abs().max()) < 1e-5
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1


@given(seeds)
def test_projecting_twice_changes_nothing(seed: int) -> None:
    start, y, H = problem(seed)
    once = project(start, y, H)
    torch.testing.assert_close(project(once, y, H), once, atol=1e-5, rtol=0)


def test_without_clipping_it_is_the_affine_projection() -> None:
    start, y, H = problem(0, contrast=0.2)
    start = 0.5 + 0.1 * (start - 0.5)
    expected = start + H.A_dagger(y - H.A(start))
    assert float((expected - 0.5).abs().max()) < 0.5
    torch.testing.assert_close(project(start, y, H), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_nearest_point_by_a_generic_solver(seed: int) -> None:
    start, y, H = problem(seed, 8, 8, 4)
    start, y = start[:1, :1], y[:1, :1]
    matrix = torch.kron(H.rows, H.columns).numpy()
    x0, target = start.flatten().numpy(), y.flatten().numpy()
    solved = minimize(
        lambda x: 0.5 * np.sum((x - x0) ** 2),
        np.full(64, 0.5),
        jac=lambda x: x - x0,
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, target, target),
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    ours = project(start, y, H).flatten().numpy()
    assert solved.success
    assert np.abs(ours - solved.x).max() < 1e-3
    assert np.sum((ours - x0) ** 2) <= np.sum((solved.x - x0) ** 2) + 1e-6


def test_where_no_image_exists_the_violation_is_the_least_possible() -> None:
    """A hard checkerboard is the shadow of no image in range: bicubic has negative lobes."""
    H = BicubicDownscaling.of_scale((16, 16), 4)
    row, column = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    y = ((row + column) % 2).double()[None, None]
    x = project(torch.rand(1, 1, 16, 16, dtype=torch.float64), y, H)
    least = lsq_linear(torch.kron(H.rows, H.columns).numpy(), y.flatten().numpy(), (0, 1))
    violation = 0.5 * float(((H.A(x) - y) ** 2).sum())
    assert violation > 0.01
    assert violation == pytest.approx(least.cost, rel=1e-3)


def test_every_image_is_projected_as_if_it_were_alone() -> None:
    start, y, H = problem(4)
    together = project(start, y, H)
    alone = project(start[1:], y[1:], H)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


@given(seeds, st.sampled_from([2, 4, 8]))
def test_rounded_images_give_the_eight_bit_input_back(seed: int, scale: int) -> None:
    start, y, H = problem(seed, 32, 24, scale)
    pixels = round_consistently(project(start, y, H), y, H)
    shrunk = H.A(pixels.double() / 255)
    assert torch.equal(to_bytes(shrunk), to_bytes(y))


def test_rounding_is_closer_to_y_than_nearest_rounding_and_moves_less_than_a_level() -> None:
    start, y, H = problem(9)
    x = project(start, y, H)
    pixels = round_consistently(x, y, H).double()
    assert float((pixels - 255 * x).abs().max()) < 1
    nearest = (x * 255).round() / 255
    ours, theirs = ((H.A(a) - y).pow(2).mean() for a in (pixels / 255, nearest))
    assert float(ours) < float(theirs) / 4
