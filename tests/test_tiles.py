"""What is done tile by tile against the same for the whole image."""

import pytest
import torch
from torch import Tensor

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.columns import columns_of
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.local_newton import InTiles, Planes, widened
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.degradations.resize import gram_inverse, side
from cvdvae.degradations.strip import Strip, sees
from cvdvae.degradations.tiles import Some, Tiles, _weights, cut, is_separable
from cvdvae.imaging.io import to_bytes

SIZES = [((64, 96), (16, 24)), ((61, 37), (15, 9)), ((37, 290), (7, 97)), ((9, 130), (4, 65))]
SIDES = [(64, 16), (61, 15), (290, 97), (9, 4), (5, 1), (700, 300)]


def image(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def problem(
    hr_size: tuple[int, int], lr_size: tuple[int, int], kernel: str = "bicubic"
) -> tuple[Tensor, Tensor, Downscaling]:
    """A start, of which a fifth clips, and a y that an image in range has."""
    H = Downscaling(hr_size, lr_size, by=kernel)
    truth = (1.4 * image(2, 3, *hr_size) - 0.2).clamp(0, 1)
    return (truth + 0.3 * image(2, 3, *hr_size, seed=1) - 0.15).clamp(0, 1), H.A(truth), H


@pytest.fixture
def in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvdvae.degradations.projection.SMALL", 0)


@pytest.mark.parametrize(("hr", "lr"), SIDES)
def test_parts_of_a_side_add_up_to_it(hr: int, lr: int) -> None:
    matrix = side(hr, lr, "bicubic").matrix
    parts = cut(matrix)
    dense = torch.zeros(lr, hr, dtype=torch.float64)
    for results, pixels, values in zip(parts.lr, parts.hr, parts.values, strict=True):
        dense[results[:, None], pixels] += values
    torch.testing.assert_close(dense, matrix.dense(), atol=1e-15, rtol=0)
    assert torch.equal(parts.hr[parts.own], torch.arange(hr))


@pytest.mark.parametrize(("hr", "lr"), SIDES)
def test_the_inverse_of_the_gram_matrix_is_nearly_one(hr: int, lr: int) -> None:
    matrix = side(hr, lr, "bicubic").matrix
    gram = matrix.dense() @ matrix.dense().T
    identity = torch.eye(lr, dtype=torch.float64)
    torch.testing.assert_close(gram_inverse(matrix).dense() @ gram, identity, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("hr", "lr"), SIDES)
def test_taps_are_the_columns(hr: int, lr: int) -> None:
    matrix = side(hr, lr, "bicubic").matrix
    found = columns_of(matrix)
    dense = torch.zeros(hr, lr, dtype=torch.float64)
    dense.scatter_add_(1, found.results, found.values)
    assert torch.equal(dense.T, matrix.dense())


def test_rows_of_a_matrix_are_a_matrix() -> None:
    matrix = side(701, 300, "bicubic").matrix
    rows, columns = slice(100, 180), slice(200, 460)
    part = matrix.part(rows, columns)
    assert torch.equal(part.dense(), matrix.dense()[rows, columns])
    assert torch.equal(part.transposed().dense(), matrix.dense()[rows, columns].T)


@pytest.mark.parametrize(("hr_size", "lr_size"), SIZES)
def test_tiles_hold_the_image_and_give_its_products(
    hr_size: tuple[int, int], lr_size: tuple[int, int]
) -> None:
    H = Downscaling(hr_size, lr_size)
    tiles = Tiles(cut(H.rows), cut(H.columns))
    x, y = image(*hr_size), image(*lr_size, seed=1)
    everything = torch.arange(len(tiles.windows))
    again = torch.empty_like(x)
    tiles.put(tiles.of(x[None]), everything, again)
    assert torch.equal(again, x)
    some = Some(tiles, everything, torch.ones(y.numel(), dtype=torch.bool))
    operator = InTiles(some, None)
    shadow = operator.A(tiles.of(x[None])[None]).flatten()[:-1].view(lr_size)
    torch.testing.assert_close(shadow, H.A(x[None, None])[0, 0])
    v = some.vector(y.flatten())
    back = operator.A_adjoint(v[None, None, None])[0]
    torch.testing.assert_close(back, tiles.of(H.A_adjoint(y[None, None])[0]))
    free = tiles.of((x[None] > 0.3).double())
    product = some.newton(v, free, some.matrices(torch.float64))[:-1].view(lr_size)
    expected = H.A((x > 0.3) * H.A_adjoint(y[None, None]))[0, 0]
    torch.testing.assert_close(product, expected)


def test_the_preconditioner_is_symmetric_and_positive() -> None:
    H = Downscaling((64, 96), (16, 24))
    tiles = Tiles(cut(H.rows), cut(H.columns))
    results = torch.rand(16 * 24, generator=torch.Generator().manual_seed(0)) > 0.4
    chosen = results[tiles.windows].flatten(1).any(1).nonzero().flatten()
    some = Some(tiles, chosen, results)
    inverses = some.preconditioner(torch.float64)
    unit = torch.eye(some.n + 1, dtype=torch.float64)[: some.n]
    matrix = torch.stack([some.precondition(v, inverses) for v in unit])[:, :-1]
    torch.testing.assert_close(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def test_widening_takes_the_largest_around() -> None:
    values = image(9, 7)
    expected = torch.nn.functional.max_pool2d(values[None], 5, 1, 2)[0]
    assert torch.equal(widened(values, 2), expected)


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("kernel", ["bicubic", "box", "pillow-lanczos"])
@pytest.mark.parametrize(("hr_size", "lr_size"), SIZES)
def test_in_tiles_it_is_the_nearest_point(
    hr_size: tuple[int, int], lr_size: tuple[int, int], kernel: str
) -> None:
    """x is nearest if it is ``clip(x_0 + Hᵀλ)`` for some λ: here that of the whole image's."""
    start, y, H = problem(hr_size, lr_size, kernel)
    x = project(start, y, H)
    assert float(residual(x, y, H).max()) < 0.001
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cvdvae.degradations.projection.SMALL", 10**9)
        whole = project(start, y, H)
    torch.testing.assert_close(x, whole, atol=1e-4, rtol=0)
    ours, theirs = ((a - start).norm() for a in (x, whole))
    assert float(ours) == pytest.approx(float(theirs), rel=3e-6)
    free = ((x > 1e-9) & (x < 1 - 1e-9)).double()
    assert 0.5 < float(free.mean()) < 0.95


@pytest.mark.usefixtures("in_tiles")
def test_a_few_steps_find_the_nearest_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was three of Newton's, at full length, with two directions each."""
    counts = {"step": 0, "_trial": 0, "newton": 0}
    for owner, name in ((Planes, "step"), (Planes, "_trial"), (Some, "newton")):

        def counted(*a: object, name: str = name, method=getattr(owner, name)) -> object:  # type: ignore[no-untyped-def]
            counts[name] += 1
            return method(*a)

        monkeypatch.setattr(owner, name, counted)
    start, y, H = problem((64, 96), (16, 24))
    x = project(start, y, H)
    assert counts["step"] <= 5
    assert counts["_trial"] <= counts["step"] + 2
    assert counts["newton"] <= 12
    project(x, y, H)
    assert counts["step"] <= 5


@pytest.mark.usefixtures("in_tiles")
def test_nothing_moves_where_nothing_is_missing() -> None:
    start, y, H = problem((64, 96), (16, 24))
    x = project(start, y, H)
    disturbed = x.clone()
    disturbed[..., :12, :12] = 1 - disturbed[..., :12, :12]
    again = project(disturbed, y, H)
    torch.testing.assert_close(again[..., 48:, 64:], x[..., 48:, 64:], atol=1e-4, rtol=0)
    torch.testing.assert_close(project(x, y, H), x, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("in_tiles")
def test_only_some_rows_move_in_tiles() -> None:
    start, y, H = problem((64, 96), (16, 24))
    x = project(start, y, H)
    region = torch.zeros(1, 1, 64, 1, dtype=torch.bool)
    region[:, :, 12:52] = True
    disturbed = torch.where(region, (x + 0.2).clamp(0, 1), x)
    again = project(disturbed, y, H, region=region)
    assert torch.equal(again[~region.expand_as(x)], x[~region.expand_as(x)])
    assert float(residual(again, y, H).max()) < 0.05
    pixels = round_consistently(again, y, H, region=region)
    nearest = to_bytes(again)
    assert torch.equal(pixels[~region.expand_as(x)], nearest[~region.expand_as(x)])
    missed = [(H.A(levels.double() / 255) - y).norm() for levels in (pixels, nearest)]
    assert float(missed[0]) < 0.6 * float(missed[1])


@pytest.mark.parametrize("some_rows", [False, True])
def test_a_step_tells_how_much_the_dual_falls(some_rows: bool) -> None:
    """``φ(λ) = ½‖z‖² − ½‖z − x‖² − λ·y + ½ε‖λ‖²`` with ``z = x_0 + Hᵀλ``, x = z kept in [0, 1]."""
    start, y, H = problem((64, 96), (16, 24))
    x0, seen, epsilon = start[0, 0].double(), y[0, 0].double(), 1e-3
    region = torch.ones(64, 96, dtype=torch.bool)
    region[:20] = not some_rows
    generator = torch.Generator().manual_seed(0)
    multiplier = torch.randn(16, 24, generator=generator, dtype=torch.float64)
    rows, columns = H.rows.dense().double(), H.columns.dense().double()

    def dual(multiplier: torch.Tensor) -> float:
        z = x0 + region * (rows.T @ multiplier @ columns)
        x = z.clamp(0, 1)
        value = 0.5 * (z.square() - (z - x).square()).sum() - (multiplier * seen).sum()
        return float(value + 0.5 * epsilon * multiplier.square().sum())

    tiles = Tiles(cut(H.rows), cut(H.columns))
    where = region[None] if some_rows else None
    plane = Planes(tiles, multiplier[None], x0[None], seen[None], epsilon, 0.06, 1e-6, where)
    some = plane.focus(torch.ones(1, 16, 24, dtype=torch.bool))
    move = torch.randn(some.n + 1, generator=generator, dtype=torch.float64)
    move[-1] = 0
    _, _, change = plane._trial(some, move)
    moved = multiplier.flatten().clone()
    moved[some.index] += move[:-1]
    assert change == pytest.approx(dual(moved.view(16, 24)) - dual(multiplier), rel=1e-6)


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_borders_are_met(value: float) -> None:
    """Where y is saturated nearly all is clipped, and ``H D Hᵀ`` is singular."""
    H = BicubicDownscaling((128, 160), (32, 40))
    truth = torch.full((1, 3, 128, 160), value, dtype=torch.float64)
    truth[..., 40:90, 50:110] = image(1, 3, 50, 60)
    y = torch.round(H.A(truth).clamp(0, 1) * 255) / 255
    start = (truth + 0.02 * (image(1, 3, 128, 160, seed=1) - 0.5)).clamp(0, 1)
    x = project(start, y, H)
    assert torch.equal(to_bytes(H.A(x)), to_bytes(y))
    pixels = round_consistently(x, y, H)
    assert torch.equal(to_bytes(H.A(pixels.double() / 255)), to_bytes(y))


@pytest.mark.usefixtures("in_tiles")
def test_what_no_image_has_does_not_disturb_the_rest() -> None:
    H = BicubicDownscaling((128, 128), (32, 32))
    truth = 0.2 + 0.6 * image(1, 1, 128, 128)
    y = torch.round(H.A(truth) * 255) / 255
    y[..., :6, :6] = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    x = project(truth, y, H)
    missing = (H.A(x) - y).abs()
    assert float(missing[..., :6, :6].max()) > 0.01
    assert float(missing[..., 12:, 12:].max()) < 1e-5
    shrunk = H.A(round_consistently(x, y, H).double() / 255)
    assert torch.equal(to_bytes(shrunk)[..., 12:, 12:], to_bytes(y)[..., 12:, 12:])


@pytest.mark.parametrize(("hr_size", "lr_size"), SIZES)
def test_rounding_by_bands_moves_less_than_a_level_and_helps(
    hr_size: tuple[int, int], lr_size: tuple[int, int]
) -> None:
    start, y, H = problem(hr_size, lr_size)
    x = project(start, y, H)
    pixels = round_consistently(x, y, H).double()
    assert float((pixels - 255 * x).abs().max()) < 1
    ours, theirs = (
        (H.A(a) - y).square().mean((2, 3)) for a in (pixels / 255, (x * 255).round() / 255)
    )
    assert bool((ours < theirs / 3).all())
    assert torch.equal(round_consistently(x[1:], y[1:], H), pixels[1:].to(torch.uint8))


@pytest.mark.parametrize(
    ("hr_size", "lr_size", "worse"),
    [((32, 40), (8, 10), 3), ((30, 28), (15, 14), 1.1), ((24, 20), (6, 5), 4)],
)
def test_rounding_comes_near_to_moving_the_best_pixel_until_none_helps(
    hr_size: tuple[int, int], lr_size: tuple[int, int], worse: float
) -> None:
    start, y, H = problem(hr_size, lr_size)
    x, y = project(start, y, H)[:1, :1], 255 * y[:1, :1].flatten()
    ours = H.A(round_consistently(x, y.view(1, 1, *lr_size) / 255, H).double()).flatten() - y
    matrix = torch.kron(H.rows.dense(), H.columns.dense())
    exact = 255 * x.flatten()
    level, weight = exact.round(), matrix.square().sum(0)
    sign, error = torch.sign(exact - level), y - matrix @ level
    while float((gain := 2 * sign * (matrix.T @ error) - weight).max()) > 1e-9:
        best = int(gain.argmax())
        error -= sign[best] * matrix[:, best]
        sign[best] *= -1
    assert float(ours.square().sum()) < worse * float(error.square().sum())


def test_a_strip_and_an_image_are_separable_and_others_are_not() -> None:
    H = Downscaling((64, 48), (16, 12))
    strip = Strip(H, slice(4, 8), slice(8, 40))
    x = image(1, 3, 64, 48)
    torch.testing.assert_close(strip.A(x[:, :, 8:40]), H.A(x)[:, :, 4:8])
    assert is_separable(H)
    assert is_separable(strip)
    assert not is_separable(torch.nn.Identity())


def test_a_strip_is_projected_onto_and_nothing_else() -> None:
    H = Downscaling((64, 48), (16, 12))
    strip, x, y = Strip(H, slice(4, 8), slice(8, 40)), image(1, 3, 32, 48), image(1, 3, 4, 12)
    back = torch.nn.functional.pad(y, (0, 0, 4, 8))
    torch.testing.assert_close(strip.A_adjoint(y), H.A_adjoint(back)[:, :, 8:40])
    torch.testing.assert_close((strip.A(x) * y).sum(), (x * strip.A_adjoint(y)).sum())
    rows, columns = H.rows.dense()[4:8], H.columns.dense()
    expected = float(rows.square().sum() / 4 * columns.square().sum() / 12)
    assert strip.mean_eigenvalue() == pytest.approx(expected)
    with pytest.raises(NotImplementedError, match="no pseudo-inverse of its own"):
        strip.A_dagger(y)


@pytest.mark.parametrize("size", [(64, 16), (701, 300)])
def test_a_row_sees_the_rows_from_its_first_tap_to_its_last(size: tuple[int, int]) -> None:
    H = Downscaling((size[0], 8), (size[1], 4))
    for row in (0, size[1] // 2, size[1] - 1):
        used = H.rows.dense()[row].nonzero().flatten()
        assert sees(H, row) == slice(int(used[0]), int(used[-1]) + 1)


@pytest.mark.parametrize(("lr", "parts"), [(3, 1), (11, 1), (12, 2), (16, 2), (21, 3), (65, 8)])
def test_a_side_has_a_part_for_every_eight_results(lr: int, parts: int) -> None:
    found = cut(side(2 * lr, lr, "bicubic").matrix)
    assert len(found.lr) == parts
    lengths = found.own.sum(1)
    assert int(lengths.sum()) == 2 * lr
    assert int(lengths.max() - lengths.min()) <= 1


def test_of_one_part_the_preconditioner_is_the_inverse() -> None:
    """And of several a sum whose weights' squares add up to 1 at every result."""
    one = side(20, 10, "bicubic").matrix
    gram = one.dense() @ one.dense().T
    torch.testing.assert_close(cut(one).inverse[0], torch.linalg.inv(gram))
    parts = cut(side(80, 40, "box").matrix)  # whose Gram matrix is a multiple of the identity
    together = torch.zeros(40, 40, dtype=torch.float64)
    for results, inverse in zip(parts.lr, parts.inverse, strict=True):
        together[results[:, None], results] += inverse
    torch.testing.assert_close(together, 2 * torch.eye(40, dtype=torch.float64))


def test_the_largest_around_is_found_along_both_sides() -> None:
    values = torch.zeros(5, 6)
    values[0, 5] = values[3, 1] = 1
    expected = torch.zeros(5, 6)
    expected[:2, 4:] = expected[2:, :3] = 1
    assert torch.equal(widened(values, 1), expected)
    assert torch.equal(widened(values, 0), values)


def test_what_is_violated_least_in_some_tiles_lowers_the_price() -> None:
    """Where it does not, what was there stays."""
    H = BicubicDownscaling((64, 64), (16, 16))
    y = torch.full((1, 16, 16), 0.5, dtype=torch.float64)
    y[0, 6:9, 6:9] = (torch.arange(3)[:, None] + torch.arange(3)) % 2
    x0, tiles = image(1, 64, 64), Tiles(cut(H.rows), cut(H.columns))
    planes = Planes(tiles, torch.zeros_like(y), x0, y, 1e-6, 0.06, 1e-6, None)
    planes.solve(3)
    start = planes.z.clamp(0, 1)

    def missed(tile: Tensor, chosen: Tensor) -> float:
        x = torch.empty(64, 64, dtype=torch.float64)
        everything = torch.arange(len(start))
        tiles.put(start, everything, x)
        tiles.put(tile, chosen, x)
        return float((H.A(x[None, None])[0] - y).square().sum())

    some, x = planes.violate_least()
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert missed(x, some.chosen) < missed(start[some.chosen], some.chosen)
    planes.epsilon = 1e6  # now to move costs more than to miss
    kept, unmoved = planes.violate_least()
    assert torch.equal(unmoved, start[kept.chosen])


def test_a_part_counts_less_towards_its_ends() -> None:
    weights = _weights(torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5]]), 6)
    near, far = 4 / 17**0.5, 1 / 17**0.5
    assert weights.flatten().tolist() == pytest.approx([1, 1, near, far, far, near, 1, 1])
