import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, lsq_linear, minimize
from torch import Tensor

from cvdvae.degradations.attainable import around, too_far, weights_of
from cvdvae.degradations.base import Degradation, LinearOperator, cut_as, shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.degradations.columns import columns_of
from cvdvae.degradations.composed import Composed
from cvdvae.degradations.infeasible import outside, room, violate_least
from cvdvae.degradations.local_newton import Planes
from cvdvae.degradations.mask import Mask
from cvdvae.degradations.newton import Problem, _line_search, solve
from cvdvae.degradations.projection import (
    _best_of_every_block,
    _parts,
    project,
    residual,
    round_consistently,
)
from cvdvae.degradations.resize import side as side_of
from cvdvae.degradations.rounding import Rounding, level_dtype
from cvdvae.degradations.settling import _moved, beyond, settle
from cvdvae.degradations.strip import Strip
from cvdvae.degradations.tiles import Some, Tiles, cut
from cvdvae.degradations.within import Within
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_bytes
from cvdvae.restoration.finish import finish_in_strips, joined
from cvdvae.restoration.round_trip import RoundTrip

seeds = st.integers(0, 10_000)

FAR, NEAR, SOFT = 16 / 255, 5, 0.1
"""From so much on a miss is given up, so many results around it, and ε there."""
SMALL = 96 * 96
"""Pixels up to which an image is solved as a whole."""


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
    matrix = torch.kron(H.rows.dense(), H.columns.dense()).numpy()
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


def checkerboard(contrast: float) -> tuple[BicubicDownscaling, Tensor]:
    """A hard one is the shadow of no image in range: bicubic has negative lobes."""
    row, column = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    y = 0.5 + contrast * ((row + column) % 2 - 0.5).double()[None, None]
    return BicubicDownscaling.of_scale((16, 16), 4), y


def dense(H: BicubicDownscaling) -> np.ndarray[Any, Any]:
    return torch.kron(H.rows.dense(), H.columns.dense()).numpy()


@pytest.mark.parametrize("contrast", [0.55, 0.58])
def test_what_is_hard_to_meet_is_violated_as_little_as_possible(contrast: float) -> None:
    """By up to some 12 of 255 levels."""
    H, y = checkerboard(contrast)
    x = project(torch.rand(1, 1, 16, 16, dtype=torch.float64), y, H)
    least = lsq_linear(dense(H), y.flatten().numpy(), (0, 1))
    violation = 0.5 * float(((H.A(x) - y) ** 2).sum())
    assert 1 < float(residual(x, y, H)) < 255 * FAR
    assert violation == pytest.approx(least.cost, rel=1e-3)


def test_what_no_image_comes_near_to_has_a_soft_price() -> None:
    """½‖x − x_0‖² + 1/(2ε) ‖Hx − y‖², ε no longer small, by a generic solver."""
    H, y = checkerboard(1.0)
    start = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    x = project(start, y, H)
    stiff = (SOFT * H.mean_eigenvalue()) ** -0.5
    matrix = np.concatenate((np.eye(256), stiff * dense(H)))
    target = np.concatenate((start.flatten().numpy(), stiff * y.flatten().numpy()))
    expected = lsq_linear(matrix, target, (0, 1), tol=1e-12).x
    assert float(residual(x, y, H)) > 255 * FAR
    assert np.abs(x.flatten().numpy() - expected).max() < 1e-4


def sharpened(side: int, scale: int) -> tuple[BicubicDownscaling, Tensor, Tensor]:
    """Grey, with a white line between lines of black at one place, as no image in range has it."""
    H = BicubicDownscaling.of_scale((scale * side, scale * side), scale)
    y = torch.full((1, 3, side, side), 0.5, dtype=torch.float64)
    y[:, :2, 12, 10:18] = 1
    y[:, :2, 11, 10:18] = y[:, :2, 13, 10:18] = 0
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1, 3, *H.hr_size, generator=generator, dtype=torch.float64)
    return H, y, (0.5 + 0.05 * noise).clamp(0, 1)


@pytest.mark.parametrize(("side", "scale"), [(40, 4), (48, 2)])
def test_what_no_image_gives_costs_nothing_away_from_there(side: int, scale: int) -> None:
    """In tiles, and as a whole image."""
    H, y, start = sharpened(side, scale)
    assert (start[0, 0].numel() > SMALL) == (scale == 4)
    x = project(start, y, H)
    off = (H.A(x) - y).abs() * 255
    assert float(off.max()) > 255 * FAR
    away = torch.ones_like(off, dtype=torch.bool)
    beside = NEAR + 3
    away[:, :, : 14 + beside, 10 - beside : 18 + beside] = False
    assert float(off[away].max()) < 0.01


@pytest.mark.parametrize(("side", "scale"), [(40, 4), (48, 2)])
def test_no_dots_surround_what_no_image_gives(side: int, scale: int) -> None:
    """For hardly more of a violation than has to be."""
    H, y, start = sharpened(side, scale)
    least, x = violate_least(H, start, y, (2, 3)), project(start, y, H)

    def extreme(image: Tensor) -> int:
        around = torch.cat(
            (image[:, :2, 7 * scale : 10 * scale], image[:, :2, 15 * scale : 19 * scale]), 2
        )
        return int(((around < 0.02) | (around > 0.98)).sum())

    assert float(residual(x, y, H)) < 1.1 * float(residual(least, y, H))
    assert extreme(x) < extreme(least) / 4


def test_tiles_and_the_whole_image_give_up_the_same() -> None:
    H, y, start = sharpened(40, 4)
    tiled, whole = project(start, y, H), project(start, y, Counted(H))
    torch.testing.assert_close(tiled, whole, atol=2e-2, rtol=0)


def test_what_is_given_up_is_so_for_each_image_alone() -> None:
    H, y, start = sharpened(40, 4)
    clear = torch.full_like(y, 0.5)
    both = project(torch.cat((start, start)), torch.cat((y, clear)), H)
    torch.testing.assert_close(both[:1], project(start, y, H), atol=1e-5, rtol=0)
    assert torch.equal(both[1:], project(start, clear, H))


def test_pixels_that_may_not_move_stay_where_much_is_given_up() -> None:
    H, y, start = sharpened(40, 4)
    region = torch.zeros(1, 1, 160, 160, dtype=torch.bool)
    region[:, :, 32:72] = True
    x = project(start, y, H, region=region)
    assert torch.equal(x[:, :, :32], start[:, :, :32])
    assert torch.equal(x[:, :, 72:], start[:, :, 72:])
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1


def test_results_that_no_pixel_has_a_part_in_spoil_nothing() -> None:
    """As those in the hole of a mask, whatever y says there."""
    known = torch.ones(24, 24, dtype=torch.bool)
    known[8:12, 8:12] = False
    H = Composed(BicubicDownscaling.of_scale((48, 48), 2), Mask(known))
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand((1, 3, 48, 48), generator=generator, dtype=torch.float64)
    y = torch.where(known, H.A(truth), 1.0)
    x = project(torch.full_like(truth, 0.5), y, H)
    assert float(((H.A(x) - y) * known).abs().max()) < 1e-4


def test_how_far_is_far_is_measured_with_what_h_gives() -> None:
    """H and y in other units give the same image."""
    H, y, start = sharpened(48, 2)
    torch.testing.assert_close(
        project(start, 8 * y, Louder(H)), project(start, y, Counted(H)), atol=1e-4, rtol=0
    )


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


def test_where_many_moves_at_once_no_longer_help_fewer_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours that move together move too far together: then every other one takes turns."""
    start, y, H = problem(2, 64, 96, 8, contrast=0.5)
    x = project(start, y, H)
    choice = Rounding._choice

    def crowded(
        rounding: Rounding, sign: Tensor, error: Tensor, shifted: int, parity: int, sparse: Tensor
    ) -> Tensor:
        return choice(rounding, sign, error, shifted, parity, torch.zeros_like(sparse))

    left = []
    for chosen in (choice, crowded):
        monkeypatch.setattr(Rounding, "_choice", chosen)
        pixels = round_consistently(x, y, H).double()
        left.append(float((H.A(pixels / 255) - y).pow(2).mean()))
    assert left[0] < 0.9 * left[1]


class Masking(LinearOperator):
    """Keeps some values, others of every colour."""

    mixes_colours = False

    def __init__(self, keep: Tensor) -> None:
        self.keep = keep

    def A(self, x: Tensor) -> Tensor:
        return x * self.keep

    def A_adjoint(self, y: Tensor) -> Tensor:
        return y * self.keep

    A_dagger = A_adjoint


class Mosaic:
    """A foreign operator that mixes colours and says nothing of it: grey, then every 2×2 a mean."""

    def __init__(self, weights: tuple[float, ...] = (0.3, 0.6, 0.1)) -> None:
        self.weights = torch.tensor(weights, dtype=torch.float64)[None, :, None, None]

    def A(self, x: Tensor) -> Tensor:
        return F.avg_pool2d((x * self.weights).sum(1, keepdim=True), 2)

    def A_adjoint(self, y: Tensor) -> Tensor:
        wide = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return wide / 4 * self.weights

    def A_dagger(self, y: Tensor) -> Tensor:
        return self.A_adjoint(y) * 4 / float(self.weights.square().sum())


class Swap:
    """As many colours as before, each a mix of two."""

    mix = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.8, 0.2], [0.1, 0.0, 0.9]], dtype=torch.float64)

    def A(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(torch.einsum("ij,njhw->nihw", self.mix, x), 2)

    def A_adjoint(self, y: Tensor) -> Tensor:
        wide = y.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
        return torch.einsum("ij,nihw->njhw", self.mix, wide)

    def A_dagger(self, y: Tensor) -> Tensor:
        raise NotImplementedError


def some_operators() -> dict[str, Degradation]:
    keep = torch.rand((1, 3, 12, 12), generator=torch.Generator().manual_seed(0)) > 0.4
    keep[..., 6, 6] = False  # the pixel at which H was once probed
    return {"masking": Masking(keep.double()), "mosaic": Mosaic(), "swap": Swap()}


@pytest.mark.parametrize("name", some_operators())
def test_any_linear_operator_is_projected_onto(name: str) -> None:
    H = some_operators()[name]
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand((2, 3, 12, 12), generator=generator, dtype=torch.float64)
    y = H.A(truth)
    start = truth + 0.4 * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    x = project(start, y, H)
    assert float(residual(x, y, H).max()) < 0.01
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    # Nearest: the way on to any other consistent image in range starts at an obtuse angle.
    assert bool((((start - x) * (truth - x)).sum((1, 2, 3)) < 1e-3).all())
    alone = project(start[1:], y[1:], H)
    torch.testing.assert_close(x[1:], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", some_operators())
def test_rounding_helps_any_linear_operator(name: str) -> None:
    H = some_operators()[name]
    x = torch.rand((2, 3, 12, 12), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = H.A(x)
    pixels = round_consistently(x, y, H).double()
    assert float((pixels - 255 * x).abs().max()) < 1
    ours, theirs = ((H.A(a) - y).square().mean() for a in (pixels / 255, (x * 255).round() / 255))
    assert float(ours) <= float(theirs) * (1 if name == "masking" else 0.7)


def test_residual_is_counted_in_levels() -> None:
    _, y, H = problem(3)
    x = H.A_dagger(y)
    y[1, 0, 0, 0] += 2 / 255
    torch.testing.assert_close(
        residual(x, y, H), torch.tensor([0.0, 2.0], dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_what_cannot_be_projected_is_refused_in_a_sentence() -> None:
    start, y, H = problem(0)
    with pytest.raises(InputError, match="not finite"):
        project(torch.full_like(start, torch.nan), y, H)
    with pytest.raises(InputError, match="expected images"):
        project(start[..., :-1], y, H)
    with pytest.raises(InputError, match="this degradation makes"):
        project(start, y[..., :-1], H)
    with pytest.raises(InputError, match="as many or one"):
        project(start, y.repeat(2, 1, 1, 1), H)
    with pytest.raises(InputError, match="every image to zero"):
        project(start, torch.zeros_like(start), Masking(torch.zeros(1)))
    for tolerance in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="must be positive"):
            project(start, y, H, tolerance=tolerance)

    class Single(Swap):
        mix = Swap.mix.float()

    with pytest.raises(InputError, match="float64"):
        project(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 2, 2), Single())


def test_parts_of_a_batch_and_colours_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, y, H = problem(5)
    whole = project(start, y, H)
    pixels = round_consistently(whole, y, H)
    monkeypatch.setattr("cvdvae.degradations.projection.PART", 20 * 26)
    torch.testing.assert_close(project(start, y, H), whole, atol=1e-6, rtol=0)
    assert torch.equal(round_consistently(whole, y, H), pixels)


def test_a_region_is_projected_and_the_rest_stays() -> None:
    start, y, H = problem(6)
    x = project(start, y, H)
    region = torch.zeros(1, 1, *x.shape[2:], dtype=torch.bool)
    region[..., 4:16, 6:20] = True
    disturbed = torch.where(region, x + 0.2, x)
    again = project(disturbed, y, H, region=region)
    assert torch.equal(again[~region.expand_as(x)], x[~region.expand_as(x)])
    assert float(residual(again, y, H).max()) < 0.01


def test_what_sees_little_of_a_region_is_met_as_soon_as_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took 1,369 products with H, unscaled, and gave the same image to a third of a level."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 3, 104, 104, generator=generator)
    x = (0.5 + 3 * (F.avg_pool2d(noise, 9, 1) - 0.5)).clamp(0.05, 0.95)
    region = torch.zeros(1, 1, 96, 96, dtype=torch.bool)
    region[..., 30:70, 30:70] = True
    disturbed = torch.where(region, x + 0.1 * (noise[..., 4:100, 4:100] - 0.5), x)
    products, within = list[int](), Within.A

    def counted(self: Within, x: Tensor) -> Tensor:
        products.append(1)
        return within(self, x)

    monkeypatch.setattr(Within, "A", counted)
    H = BicubicDownscaling((96, 96), (24, 24))
    again = project(disturbed, H.A(x), H, region=region)
    assert len(products) < 100
    assert float(residual(again, H.A(x), H).max()) < 0.01


class Counted(LinearOperator):
    """Counts how often an image is shrunk."""

    mixes_colours = False

    def __init__(self, H: BicubicDownscaling) -> None:
        self.H, self.count = H, 0

    def A(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.H.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.H.A_adjoint(y)

    A_dagger = A_adjoint


class Louder(Counted):
    """8 H."""

    def A(self, x: Tensor) -> Tensor:
        return 8 * self.H.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return 8 * self.H.A_adjoint(y)

    A_dagger = A_adjoint


def test_a_few_products_find_the_nearest_point_and_two_see_that_it_is_found() -> None:
    """It was 25: three or four steps of Newton's method."""
    start, y, H = problem(7, 24, 20)
    counted = Counted(H)
    x = project(start.clamp(0, 1), y, counted)
    assert counted.count <= 40
    counted.count = 0
    project(x, y, counted)
    assert counted.count <= 2


def test_noise_that_no_image_has_takes_no_more_than_an_effort() -> None:
    """Products with H, not seconds: it was 5,800 for white noise, and a residual of 237 levels."""
    H = BicubicDownscaling.of_scale((64, 64), 4)
    counted = Counted(H)
    generator = torch.Generator().manual_seed(0)
    y = torch.rand((1, 3, 16, 16), generator=generator, dtype=torch.float64)
    start = torch.rand((3, 3, 64, 64), generator=generator)
    x = project(start, y, counted)
    assert counted.count < 400
    least = violate_least(H, torch.full((1, 3, 64, 64), 0.5), y.float(), (2, 3), 2000, enough=0)
    assert float(residual(x, y, H).max()) < 2 * float(residual(least, y, H))


@pytest.mark.parametrize("size", [(40, 24), (700, 600)])
def test_bands_of_rows_hold_all_that_rounding_needs_of_h(size: tuple[int, int]) -> None:
    H = BicubicDownscaling.of_scale(size, 4)
    columns = H.rows.dense().T.float()
    both = Rounding(H, H.mean_eigenvalue() / 16).bands
    assert [bands[0].hr.start for bands in both] == [0, 4]
    for bands in both:
        assert bands[-1].hr.stop == size[0]
        for band in bands:
            assert torch.equal(band.values, columns[band.hr, band.lr])
            others = columns[band.hr].clone()
            others[:, band.lr] = 0
            assert not others.any()
            assert band.values[:, 0].any()
            assert band.values[:, -1].any()


@pytest.mark.parametrize("shift", [0, 2])
def test_where_h_mixes_colours_one_of_them_moves_in_a_block_else_each(shift: int) -> None:
    gain = torch.rand((1, 3, 12, 8), generator=torch.Generator().manual_seed(0)) + 0.1
    for mixed in (False, True):
        chosen = _best_of_every_block(gain, 4, shift, mixed)
        blocks = F.avg_pool2d(torch.roll(chosen, (shift, shift), (2, 3)), 4) * 16
        assert torch.equal(
            blocks.sum(1) if mixed else blocks, torch.ones_like(blocks[:, 0] if mixed else blocks)
        )
        best = F.max_pool2d(torch.roll(gain, (shift, shift), (2, 3)), 4)
        moved = F.max_pool2d(torch.roll(gain * chosen, (shift, shift), (2, 3)), 4)
        assert torch.equal(moved.amax(1), best.amax(1))


def test_a_megapixel_takes_less_than_600_megabytes() -> None:
    script = """
import torch
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.projection import project, round_consistently
torch.set_num_threads(1)
H = BicubicDownscaling.of_scale((1024, 1024), 4)
noise = torch.rand(1, 3, 1024, 1024)
y = torch.round(H.A(torch.nn.functional.avg_pool2d(noise, 9, 1, 4)) * 255) / 255
x = project(noise, y, H)
round_consistently(x, y, H)
status = open('/proc/self/status').read()  # ru_maxrss would be the parent's at the fork
print(int(status.split('VmHWM:')[1].split()[0]) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert float(done.stdout) < 600, done.stderr


def test_what_is_impossible_is_judged_by_the_pixels_that_may_move() -> None:
    """No image in range is farther from x_0 than its farthest corner, where it may move at all."""
    H = BicubicDownscaling((16, 16), (4, 4))
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    region = torch.rand(1, 1, 16, 16, generator=generator) > 0.6
    problem = Problem(H, x0, H.A(x0), 1e-3, (2, 3))
    farthest = torch.maximum(x0, 1 - x0).square()
    for moving, where in ((None, torch.ones_like(region)), (region, region)):
        bound = 0.5 * (x0.square() - where * farthest).sum((2, 3), keepdim=True)
        torch.testing.assert_close(problem.impossible_below(moving), bound)


@pytest.mark.filterwarnings("error")
def test_a_projection_of_any_size_has_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """In x and in y; a large image is then solved as a whole."""
    monkeypatch.setattr("cvdvae.degradations.projection.SMALL", 100)
    generator = torch.Generator().manual_seed(0)
    H = BicubicDownscaling((16, 16), (4, 4))
    start, truth, way, weights = torch.rand(4, 1, 3, 16, 16, generator=generator).double()
    x, y, ways = 1.4 * start - 0.2, H.A(truth), (way, H.A(way))

    def at(step: float) -> float:
        return float((project(x + step * ways[0], y + step * ways[1], H) * weights).sum())

    leaves = x.clone().requires_grad_(), y.clone().requires_grad_()
    found = project(*leaves, H)
    gradients = torch.autograd.grad((found * weights).sum(), leaves)
    slope = sum(float((g * w).sum()) for g, w in zip(gradients, ways, strict=True))
    assert slope == pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-5)
    levels = round_consistently(project(*leaves, H), leaves[1], H)
    assert torch.equal(levels, round_consistently(found.detach(), y, H))


def edge(seed: int, at: int | None = None) -> tuple[Tensor, Tensor, BicubicDownscaling]:
    """A start, and the 8-bit shadow of a hard edge that lies differently in every column."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.full((40, 240), 255.0)
    anywhere = int(torch.randint(14, 24, (1,), generator=generator))
    at = anywhere if at is None else at
    truth[at] = torch.linspace(0, 255, 240)
    truth[at + 1 :] = 0
    truth[:at] -= (torch.rand(at, 240, generator=generator) < 0.3).float()
    x, H = truth[None, None] / 255, BicubicDownscaling.of_scale((40, 240), 2)
    start = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    return start, shrink_to_8_bits(x, H), H


@pytest.mark.parametrize("seed", [0, 2, 4, 6])
def test_where_no_image_has_y_exactly_it_still_comes_back_rounded(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image in range has it within half a level: the truth. Nor is another pixel touched."""
    start, y, H = edge(seed)
    x = project(start, y, H)
    assert float((H.A(x.double()) - y).abs().max() * 255) > 0.3
    settled = round_consistently(x, y, H)
    assert float((H.A(settled.double()) - 255 * y.double()).abs().max()) < 0.5
    monkeypatch.setattr("cvdvae.degradations.rounding.settle", lambda *_: None)
    before = round_consistently(x, y, H)
    off = (H.A(before.double()) - 255 * y.double()).abs() >= 0.5
    assert off.any()
    far = F.max_pool2d(off.float(), 13, stride=1, padding=6)
    moved = (settled != before).float()
    assert float(F.max_pool2d(moved, 2).sub(far).max()) <= 0


def blocks(side: int, seed: int) -> tuple[Tensor, Tensor, BicubicDownscaling]:
    """Black and white squares of 2×2 pixels, them in half their size and 8 bits, and H."""
    generator = torch.Generator().manual_seed(seed)
    squares = (torch.rand(1, 1, side // 2, side // 2, generator=generator) > 0.5).float()
    x, H = squares.repeat_interleave(2, 2).repeat_interleave(2, 3), BicubicDownscaling.of_scale
    return x, shrink_to_8_bits(x, H((side, side), 2)), H((side, side), 2)


def given_back(levels: Tensor, H: BicubicDownscaling) -> Tensor:
    return H.A(levels.double()).round().clamp(0, 255) / 255


@pytest.mark.parametrize("seed", range(4))
def test_hard_black_and_white_that_was_cut_comes_back(seed: int) -> None:
    """H of it lies beyond [0, 1], and was cut: beyond the ends of the range everything is y."""
    x, y, H = blocks(32, seed)
    assert float(H.A(x).max()) > 1.01
    least, most = room(y.double(), 255)
    assert float(outside(H.A(x.double()), least, most).abs().max()) < 0.11 / 255
    found = project(upscale_bicubic(y, (32, 32)), y, H, levels=255)
    assert float(outside(H.A(found.double()), least, most).abs().max()) < 0.01 / 255
    saved = round_consistently(found, y, H)
    assert torch.equal(given_back(saved, H).float(), y)
    trip = RoundTrip(y, H)
    trip.add(saved)
    assert trip.exact
    assert trip.largest < 0.5 < float((H.A(saved.double()) - 255 * y).max())


def test_only_what_y_could_be_is_cut() -> None:
    shadow = torch.tensor([-0.5, 0.5, 1.5])
    assert cut_as(torch.tensor([0.0, 0.5, 1.0]), shadow).tolist() == [0, 0.5, 1]
    for far in (-0.1, 1.1):  # as what other operators make of an image
        assert torch.equal(cut_as(torch.tensor([0.0, 0.5, far]), shadow), shadow)


@pytest.mark.parametrize("side", [48, 120])
def test_what_meets_y_has_no_use_for_room(side: int) -> None:
    """Nothing changes where there is an image with Hx = y."""
    generator = torch.Generator().manual_seed(0)
    x, start = torch.rand(2, 2, 3, side, side, generator=generator)
    H = BicubicDownscaling.of_scale((side, side), 4)
    y = shrink_to_8_bits(0.25 + 0.5 * x, H)
    assert torch.equal(project(start, y, H, levels=255), project(start, y, H))


def test_only_what_was_rounded_leaves_room() -> None:
    y = torch.tensor([[0.0, 0.2, 1.0]])
    least, most = room(y, 255)
    assert least[0, 0] == -math.inf
    assert most[0, 2] == math.inf
    torch.testing.assert_close(255 * (most - least)[0, 1], torch.tensor(0.8))
    for other in (y + 0.5 / 255, y - 1 / 255, y + 1 / 255):  # not whole, or beyond the range
        assert all(torch.equal(end, other) for end in room(other, 255))
    assert all(torch.equal(end, y) for end in room(y, None))
    both = torch.cat([y, y + 0.5 / 255])  # each of a batch for itself
    for end, alone in zip(room(both, 255), (least, most), strict=True):
        assert torch.equal(end, torch.cat([alone, both[1:]]))


@pytest.mark.parametrize(("side", "known"), [(96, 0), (160, 0), (160, 40)])
def test_a_binarized_page_that_was_shrunk_comes_back(side: int, known: int) -> None:
    """As a whole, in tiles, and where only the rows below some may move."""
    letters = torch.from_numpy(skimage.data.page()[40:, 40:][: side // 2, : side // 2] > 140)
    x = letters.float().repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    H = BicubicDownscaling.of_scale((side, side), 2)
    y, region = shrink_to_8_bits(x, H), (torch.arange(side) >= known)[None, None, :, None]
    start = torch.where(region, upscale_bicubic(y, (side, side)), x)
    found = project(start, y, H, region=region, levels=255)
    assert torch.equal(given_back(round_consistently(found, y, H, region=region), H).float(), y)


def test_where_no_image_has_y_not_even_rounded_it_is_soon_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And levels that left more results off are taken back."""
    generator = torch.Generator().manual_seed(38)
    y = 0.5 + 0.92 * (torch.rand(1, 1, 6, 6, generator=generator) - 0.5)
    H = BicubicDownscaling.of_scale((24, 24), 4)
    x, moves = project(torch.full((1, 1, 24, 24), 0.5), y, H), list[bool]()

    def counted(*arguments: Any) -> bool:
        moves.append(_moved(*arguments))
        return moves[-1]

    monkeypatch.setattr("cvdvae.degradations.settling._moved", counted)
    found = round_consistently(x, y, H)
    assert 0 < len(moves) < 400
    monkeypatch.setattr("cvdvae.degradations.rounding.settle", lambda *_: None)
    assert torch.equal(found, round_consistently(x, y, H))


def test_only_a_region_is_moved_to_meet_y_rounded() -> None:
    start, y, H = edge(0)
    x = project(start, y, H)
    region = torch.zeros(40, 240, dtype=torch.bool)
    region[:, ::2] = True
    result = round_consistently(x, y, H, region=region)
    nearest = (x.double() * 255).round().to(torch.uint8)
    assert torch.equal(result[..., 1::2], nearest[..., 1::2])


@pytest.mark.parametrize("turned", [False, True], ids=["below", "right"])
@pytest.mark.parametrize("seed", [0, 2])
def test_an_edge_along_the_last_pixels_is_settled_as_any_other(
    seed: int, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left follows every move, that of the last pixel, too: none is made to no end."""
    start, y, H = edge(seed, 37)
    if turned:
        start, y, H = start.mT, y.mT, BicubicDownscaling.of_scale((240, 40), 2)
    left: list[tuple[Tensor, Tensor]] = []

    def followed(level: Tensor, error: Tensor, *how: Any) -> None:
        settle(level, error, *how)
        left.append((level, error))

    monkeypatch.setattr("cvdvae.degradations.rounding.settle", followed)
    round_consistently(project(start, y, H), y, H)
    ((level, error),) = left
    real = 255 * y[0, 0].double() - H.A(level[None, None].double())[0, 0]
    torch.testing.assert_close(error, real, rtol=0, atol=1e-9)
    assert float(real.abs().max()) < 0.75


@pytest.mark.parametrize("change", [torch.inf, 0.0])
def test_a_step_of_which_no_length_will_do_moves_all_by_the_last_that_was_tried(
    change: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where φ does not fall by what its slope promises, half of the step is tried."""
    start, y, H = problem(0, 32, 48)
    x0, seen, tiles = start[0], y[0], Tiles(cut(H.rows), cut(H.columns), 3)
    how = (x0, seen, 1e-3, 0.06, 1e-6, None)
    moved, trial = Planes(tiles, torch.zeros_like(seen), *how), Planes._trial
    lengths: list[float] = []

    def tried(planes: Planes, some: Any, move: Tensor) -> tuple[Tensor, Tensor, float]:
        lengths.append(float(move.norm()))
        return (*trial(planes, some, move)[:2], change)

    monkeypatch.setattr(Planes, "_trial", tried)
    moved.step()
    assert lengths == pytest.approx([lengths[0] / 2**i for i in range(12)])
    there = Planes(tiles, moved.multiplier.view(seen.shape), *how)
    assert moved.multiplier.abs().max() > 0
    torch.testing.assert_close(moved.z, there.z, rtol=0, atol=1e-12)
    torch.testing.assert_close(moved.error, there.error, rtol=0, atol=1e-12)


def test_results_are_given_up_that_are_sixteen_levels_off_and_could_be_met() -> None:
    rows = [
        (15.9, 1, 1, False),
        (-15.9, 1, 1, False),
        (16, 1, 1, True),
        (-16.1, 1, 1, True),
        (16.1, 1, 0.5, True),
        (16.1, 1, 0.49, False),  # hardly a pixel that may move has a part in it
        (127, 8, 8, False),
        (129, 8, 4, True),
        (0, 0, 0, False),  # no pixel at all has
        (255, 0, 0, False),
    ]
    levels, total, movable = torch.tensor([row[:3] for row in rows], dtype=torch.float64).T
    assert too_far(levels / 255, total, movable).tolist() == [row[3] for row in rows]


def test_weights_are_the_sums_of_rows_over_what_may_move() -> None:
    H, x = Louder(BicubicDownscaling((16, 16), (4, 4))), torch.zeros(2, 3, 16, 16)
    total, all_of_it = weights_of(H, x, None)
    assert total is all_of_it
    torch.testing.assert_close(total, torch.full((1, 3, 4, 4), 8, dtype=torch.float64))
    region = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5
    total, some = weights_of(H, x, region)
    torch.testing.assert_close(some, H.A(region.double()))
    assert total.shape == (1, 3, 4, 4)


def test_five_results_around_what_is_given_up_are_too_and_fade_into_the_rest() -> None:
    far = torch.zeros(2, 3, 24, 26, dtype=torch.bool)
    far[0, 1, 12, 13] = True
    each = around(far, Mask(torch.ones(24, 26, dtype=torch.bool)))
    assert each.shape == (2, 3, 24, 26)
    expected = torch.zeros(24, 26, dtype=torch.float64)
    expected[7:18, 8:19] = 1
    assert torch.equal(each[0], expected.expand(3, -1, -1))
    assert not each[1].any()
    H = BicubicDownscaling.of_scale((96, 104), 4)
    near = around(far, H)
    torch.testing.assert_close(near[0, :, 36:64, 40:68], torch.ones(3, 28, 28, dtype=torch.float64))
    assert float(near.min()) >= 0
    assert float(near.max()) <= 1
    edge = near[0, 0, 48, 16:36]
    assert float(edge[0]) == 0
    assert 0.3 < float(edge[16]) < 0.7


def test_rows_of_an_image_know_what_is_around_as_the_whole_does() -> None:
    H = BicubicDownscaling.of_scale((160, 96), 4)
    far = torch.zeros(1, 3, 40, 24, dtype=torch.bool)
    far[0, 0, 20, 12] = True
    whole = around(far, H)
    part = around(far[:, :, 10:34], Strip(H, slice(10, 34), slice(32, 144)))
    torch.testing.assert_close(part[:, :, 16:-16], whole[:, :, 48:128])


@pytest.mark.parametrize("row", [28, 32, 36])
def test_no_dots_come_back_where_strips_meet(row: int) -> None:
    """Hardly more than half as many pixels are black or white as for the least violation."""
    H = BicubicDownscaling.of_scale((256, 256), 4)
    y = torch.full((1, 3, 64, 64), 0.5, dtype=torch.float64)
    y[:, :2, row, 20:40] = 1
    y[:, :2, row - 1, 20:40] = y[:, :2, row + 1, 20:40] = 0
    noise = torch.randn((1, 3, 256, 256), generator=torch.Generator().manual_seed(3))
    start = (0.5 + 0.05 * noise.double()).clamp(0, 1)
    strips = finish_in_strips(lambda a, b: start[:, :, a:b], y, H, levels=255, strip_pixels=2**15)
    pixels = joined(strips).pixels
    least = violate_least(H, start, y, (2, 3))

    def extreme(image: Tensor) -> int:
        return int(((image < 0.02) | (image > 0.98)).sum())

    assert extreme(pixels.double() / 255) < 0.6 * extreme(least)


def test_the_price_of_any_image_is_above_the_dual_and_at_the_solution_equal() -> None:
    """Weak and strong duality, of several problems at once."""
    H = BicubicDownscaling((12, 16), (3, 4))
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    x0, y, epsilon = 2 * random(2, 3, 12, 16) - 0.5, random(2, 3, 3, 4), 0.3
    for dims in ((2, 3), (1, 2, 3)):
        problem = Problem(H, x0, y, epsilon, dims, soft=True)
        constant = 0.5 * x0.square().sum(dims, keepdim=True)
        for size in (0.1, 1, 5):
            multiplier, x = size * (random(*y.shape) - 0.5), random(*x0.shape)
            bound = constant - problem.dual(multiplier)
            assert bool((problem.price(x, y - H.A(x)) > bound).all())
        x, close = solve(problem, 60, None)
        assert not close
        error = y - H.A(x)
        multiplier = error / epsilon
        torch.testing.assert_close(problem.moved(multiplier).clamp(0, 1), x, atol=1e-5, rtol=0)
        bound = constant - problem.dual(multiplier)
        torch.testing.assert_close(problem.price(x, error), bound, atol=1e-5, rtol=0)
        wanted = 0.5 * (x - x0).square().sum(dims) + 0.5 / epsilon * error.square().sum(dims)
        torch.testing.assert_close(problem.price(x, error).flatten(), wanted.flatten())


def test_a_step_is_halved_by_every_problem_until_it_falls_enough() -> None:
    start = torch.tensor([1.0, 1, 1]).double()
    direction = torch.tensor([-4.0, -1, 4]).double()  # too long, right, and uphill

    def squared(v: Tensor) -> Tensor:
        return v.square()

    step, value = _line_search(squared, start, direction, 2 * start * direction)
    assert step.tolist()[:2] == [0.25, 1]
    assert value.tolist()[:2] == [0, 0]
    uphill, _ = _line_search(squared, start, direction, -8 * torch.ones(3))
    assert float(uphill[2]) == 0.5**30


def test_near_the_border_of_a_region_the_diagonal_leads() -> None:
    H, free = BicubicDownscaling((8, 8), (2, 2)), torch.rand(1, 1, 8, 8, dtype=torch.float64)
    problem = Problem(H, free, H.A(free), 0.1, (2, 3), within=True)
    r = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    scaled = torch.tensor([[[[True]]]])
    expected = r / (H.diagonal(free) + 0.1)
    torch.testing.assert_close(problem.near_inverse(free, scaled)(r), expected)
    assert torch.equal(problem.near_inverse(free, ~scaled)(r), r)
    untold = Problem(Counted(H), free, H.A(free), 0.1, (2, 3))
    assert torch.equal(untold.near_inverse(free, scaled)(r), r)


@pytest.mark.parametrize(
    ("size", "rows", "columns", "tiled"),
    [((96, 96), 1, 1, False), ((98, 96), 1, 1, True), ((98, 96), 98, 1, True),
     ((98, 96), 98, 96, False), ((98, 96), 1, 96, False)],
)  # fmt: skip
def test_large_images_are_solved_in_tiles_where_whole_rows_may_move(
    size: tuple[int, int],
    rows: int,
    columns: int,
    tiled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    for name in ("solve_separable", "solve"):

        def noted(*how: Any, tiles: bool = name == "solve_separable") -> tuple[Tensor, bool]:
            asked.append(tiles)
            return how[1] if tiles else how[0].x0, True

        monkeypatch.setattr(f"cvdvae.degradations.projection.{name}", noted)
    H, region = BicubicDownscaling.of_scale(size, 2), torch.ones(1, 1, rows, columns) > 0
    x = torch.rand(1, 1, *size)
    project(x, H.A(x), H, region=None if rows == columns == 1 else region)
    assert asked == [tiled]


def test_a_batch_is_cut_into_images_and_those_into_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    x, alike = torch.empty(5, 3, 4, 5), BicubicDownscaling((4, 5), (2, 2))
    whole = slice(None)

    def parts(most: int, H: LinearOperator) -> list[tuple[slice, slice]]:
        monkeypatch.setattr("cvdvae.degradations.projection.PART", most)
        return list(_parts(x, H))

    for H in (alike, Counted(alike)):
        assert parts(60, H) == [(slice(i, i + 1), whole) for i in range(5)]
        assert parts(140, H) == [(slice(i, i + 2), whole) for i in (0, 2, 4)]
    assert parts(59, alike) == [
        (slice(i, i + 1), slice(c, c + 2)) for i in range(5) for c in (0, 2)
    ]
    assert parts(19, alike)[:2] == [(slice(0, 1), slice(0, 1)), (slice(0, 1), slice(1, 2))]
    assert parts(59, Counted(alike)) == [(slice(i, i + 1), whole) for i in range(5)]


def test_levels_of_any_operator_end_at_black_and_white() -> None:
    H = Masking(torch.ones(1, 1, 1, 1).double())
    x = torch.tensor([1.002, -0.002, 0.3019]).double().view(1, 1, 1, 3)
    pixels = round_consistently(x, torch.tensor([1.01, -0.01, 0.306]).view(1, 1, 1, 3), H)
    assert pixels.flatten().tolist() == [255, 0, 77]
    assert round_consistently(x, x, H, levels=1000).flatten().tolist() == [1000, 0, 302]
    kinds = [level_dtype(levels) for levels in (1, 255, 256)]
    assert kinds == [torch.uint8, torch.uint8, torch.int32]


def settled(error: Tensor, level: int = 100, region: Tensor | None = None) -> Tensor:
    """By how much levels are moved where H is the identity."""
    down, across = (columns_of(side_of(n, n, "box").matrix) for n in error.shape)
    levels = torch.full(error.shape, level, dtype=torch.uint8)
    settle(levels, error.clone(), region, down, across, 255)
    return levels.int() - level


@pytest.mark.parametrize(
    ("off", "level", "moved"),
    [(0.499, 100, 0), (0.5, 100, 0), (0.504, 100, 1), (-0.504, 100, -1), (1.9, 100, 2),
     (2.0, 100, 0), (-1.6, 1, -1), (-0.6, 0, 0), (1.6, 254, 1), (0.6, 255, 0)],
)  # fmt: skip
def test_what_is_half_a_level_off_is_moved_and_what_is_two_is_left(
    off: float, level: int, moved: int
) -> None:
    error = torch.zeros(4, 5, dtype=torch.float64)
    error[1, 3] = off
    wanted = torch.zeros(4, 5, dtype=torch.int32)
    wanted[1, 3] = moved
    assert beyond(error).sum() == (abs(off) >= 0.5)
    assert torch.equal(settled(error, level), wanted)
    elsewhere = torch.ones(4, 5, dtype=torch.bool)
    elsewhere[1, 3] = False
    assert not settled(error, level, elsewhere).any()


def test_more_than_512_results_that_are_off_are_left() -> None:
    for size, moved in (((16, 32), 1), ((27, 19), 0)):
        left = settled(torch.full(size, 0.6, dtype=torch.float64))
        assert left.unique().tolist() == [moved]


def test_a_part_of_a_plane_is_looked_at_two_results_around_what_is_open() -> None:
    start, y, H = problem(0, 96, 96)
    tiles = Tiles(cut(H.rows), cut(H.columns), 1)
    plane = Planes(
        tiles, torch.zeros(1, 24, 24).double(), start[0, :1], y[0, :1], 1e-3, 0.06, 0.5, None
    )
    plane.error = torch.zeros_like(plane.error)
    plane.error[24 * 10 + 12], plane.error[24 * 20 + 3] = -0.5, 0.49
    assert plane.open_().nonzero().tolist() == [[0, 10, 12]]
    assert plane.open_error().tolist() == [0.25]
    some = plane.focus(plane.open_())
    rows, columns = torch.meshgrid(torch.arange(8, 13), torch.arange(10, 15), indexing="ij")
    assert torch.equal(some.index, (24 * rows + columns).flatten())


@pytest.mark.parametrize(("share", "steps"), [(0.79, 7), (0.81, 2), (0.0, 1)])
def test_steps_that_leave_too_much_are_given_up_after_two(
    share: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, y, H = problem(0, 32, 48)
    tiles, count = Tiles(cut(H.rows), cut(H.columns), 3), [0]
    planes = Planes(tiles, torch.zeros_like(y[0]), start[0], y[0], 1e-3, 0.06, 1e-9, None)

    def step(planes: Planes) -> None:
        count[0] += 1
        planes.error *= share**0.5

    monkeypatch.setattr(Planes, "step", step)
    planes.solve(7)
    assert count[0] == steps


@pytest.mark.parametrize(("many", "most"), [(True, 20), (False, 80)])
def test_directions_take_more_products_where_few_tiles_are_left(
    many: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, y, H = problem(0, 160, 160)
    tiles, count, newton = Tiles(cut(H.rows), cut(H.columns), 1), [0], Some.newton
    plane = Planes(
        tiles, torch.zeros_like(y[0, :1]), start[0, :1], y[0, :1], 1e-3, 0.06, 1e-6, None
    )
    where = torch.zeros(1, 40, 40, dtype=torch.bool)
    where[:, 20, 20] = True
    some = plane.focus(where | many)

    def counted(*how: Any) -> Tensor:
        count[0] += 1
        return newton(*how)

    monkeypatch.setattr(Some, "newton", counted)
    direction = plane._direction(some)
    near = count[0]
    assert near < most
    assert float(some.vector(plane.error) @ direction) > 0
    monkeypatch.setattr("cvdvae.degradations.local_newton.CG_TOLERANCE", 0)
    plane._direction(some)
    assert count[0] - near == most


@pytest.mark.parametrize("name", ["mosaic", "swap"])
def test_any_operator_is_rounded_in_a_region_alone_and_for_many_steps(name: str) -> None:
    H = some_operators()[name]
    x = torch.rand((2, 3, 24, 24), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y, nearest = H.A(x), (255 * x).round()

    def missed(pixels: Tensor) -> float:
        return float((H.A(pixels.double()) - 255 * y).square().sum())

    region = torch.zeros(1, 1, 24, 24, dtype=torch.bool)
    region[..., 5:15] = True
    some = round_consistently(x, y, H, region=region).double()
    assert torch.equal(torch.where(region, 0, some), torch.where(region, 0, nearest))
    assert missed(some) < missed(nearest)
    few, many = round_consistently(x, y, H, 2), round_consistently(x, y, H)
    assert missed(many) < 0.9 * missed(few)
    assert torch.equal(round_consistently(x, y, H, 0), nearest.to(torch.uint8))
    counted = Counted(BicubicDownscaling((24, 24), (6, 6)))
    exact = nearest / 255
    kept = round_consistently(exact, counted.H.A(exact), counted)
    assert torch.equal(kept, nearest.to(torch.uint8))
    assert counted.count < 20  # two passes that helped nothing were enough


def test_without_being_told_levels_are_those_of_8_bits() -> None:
    start, y, H = problem(0)
    exact = 255 * start.clamp(0, 1)
    level = exact.round()
    rounding = Rounding(H, H.mean_eigenvalue() / 16)
    error = 255 * y - H.A(level)
    assert rounding.run(exact, level, error, None, 1).dtype == torch.uint8
    assert rounding.run(exact, level, error, None, 1, 256).dtype == torch.int32


def test_rounding_of_large_images_ends_sooner_and_gives_the_eight_bit_input_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somewhat more of the error is left than after all passes, and much less than of plain
    rounding."""
    H = BicubicDownscaling.of_scale((128, 160), 4)
    x0 = torch.rand(1, 3, 128, 160, generator=torch.Generator().manual_seed(5))
    y = (H.A(0.25 + 0.5 * x0) * 255).round() / 255
    x = project(0.25 + 0.5 * x0, y, H, levels=255)

    def rounded(small: int) -> tuple[float, int, Tensor]:
        monkeypatch.setattr("cvdvae.degradations.projection.SMALL", small)
        passes: list[None] = []
        choice = Rounding._choice

        def counting(self: Rounding, *args: Any) -> Tensor:
            passes.append(None)
            return choice(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Rounding, "_choice", counting)
            level = round_consistently(x, y, H)
        off = 255 * y - H.A(level.double())
        return float(off.square().mean()), len(passes), level

    (soon, few, level), (late, many, _) = rounded(100), rounded(10**9)
    plain = float((255 * y - H.A((255 * x).round().double())).square().mean())
    assert few <= many / 2
    assert late < soon < 1.4 * late < plain / 10
    assert torch.equal((H.A(level.double()).clamp(0, 255)).round(), (255 * y.double()).round())
