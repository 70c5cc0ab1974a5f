"""One exam for every degradation. A new one joins it by a row of `OPERATORS`."""

import math
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Literal, cast

import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from tiny import matrix_of
from torch import Tensor

from cvdvae.degradations import cosine
from cvdvae.degradations.base import Degradation, LinearOperator, shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, downscaling, upscale_bicubic
from cvdvae.degradations.block_dct import (
    LUMA_CHROMA,
    BlockDCT,
    before_enlargement,
    enlargement,
    steps_at,
)
from cvdvae.degradations.blur import Blur, Boundary, box, gaussian, motion
from cvdvae.degradations.composed import Composed, as_jpeg, jpeg_at_end
from cvdvae.degradations.conjugate_gradients import conjugate_gradients
from cvdvae.degradations.damped import estimate, inverse, solve
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.foreign import check_linear
from cvdvae.degradations.infeasible import violate_least
from cvdvae.degradations.kernels import KERNELS
from cvdvae.degradations.mask import Colours, InAllColours, Mask, bayer, luminance
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.degradations.spectrum import (
    largest_eigenvalue,
    mean_eigenvalue,
    mixes_colours,
    squared_columns,
)
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_bytes

SMALL, ODD, USUAL = (8, 9), (19, 13), (64, 64)
"""Sizes of x: so small that H is a matrix, both sides odd, that of the bundled models."""
DAGGER = 1e-6
"""Damping of the pseudo-inverses that are not exact."""

Size = tuple[int, int]
Steps = tuple[LinearOperator, LinearOperator]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """What is small gains nothing from two, and loses much beside busy programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def uneven(height: int = 4, width: int = 6) -> Tensor:
    """No product, no mirror image of itself, even sides."""
    return torch.rand((height, width), generator=torch.Generator().manual_seed(5)) + 0.1


def mask(size: Size, *colours: int) -> Mask:
    shape = (*colours, *size)
    return Mask(torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.4)


def blurred(kernel: Tensor, boundary: Boundary) -> Callable[[Size], LinearOperator]:
    return lambda size: Blur(size, kernel, boundary)


def shrunk(by: str) -> Callable[[Size], LinearOperator]:
    return lambda size: Downscaling.of_scale(size, 2, by=by)


BLURS = {
    f"{name}, {boundary}": blurred(kernel, boundary)
    for boundary in ("reflect", "replicate", "circular", "zero", "valid")
    for name, kernel in {
        "gaussian": gaussian(0.7),
        "motion": motion(4, 30),
        "uneven": uneven(),
    }.items()
}
EXACT: dict[str, Callable[[Size], LinearOperator]] = {
    **{f"downscaling, {by}": shrunk(by) for by in KERNELS},
    "bicubic": lambda size: BicubicDownscaling.of_scale(size, 2),
    "mask": mask,
    "mask of every colour": lambda size: mask(size, 3),
    "luminance": lambda size: luminance(),
    "bayer": lambda size: bayer(size, "GRBG"),
}
"""Those whose pseudo-inverse is exact."""
DAMPED: dict[str, Callable[[Size], LinearOperator]] = {
    **BLURS,
    "box, zero": blurred(box(3), "zero"),
    "jpeg": lambda size: BlockDCT.of_quality(size, 30, 1),
    "jpeg, subsampled": lambda size: BlockDCT.of_quality(size, 30, 2),
    "jpeg, columns subsampled": lambda size: BlockDCT.of_quality(size, 30, (1, 2)),
    "jpeg, grey": lambda size: BlockDCT(size, steps_at(30)[0], None),
    "blur, bicubic": lambda size: Composed(
        Blur(size, gaussian(0.7)), BicubicDownscaling.of_scale(size, 2)
    ),
    "bicubic, jpeg": lambda size: Composed(
        BicubicDownscaling.of_scale(size, 2),
        BlockDCT.of_quality((size[0] // 2, size[1] // 2), 50),
    ),
    "mask, downscaling": lambda size: Composed(mask(size), Downscaling.of_scale(size, 2)),
    "motion, mask, grey": lambda size: Composed(
        Blur(size, motion(4, 70), "replicate"), mask(size), luminance()
    ),
}
"""Those with a damped one, `DAGGER`, since they lose what no y tells."""
OPERATORS = EXACT | DAMPED
"""Every operator, for a size: the list that a new one joins, in one of its two halves."""
BITWISE = {
    name: EXACT[name]
    for name in ("downscaling, box", "downscaling, nearest", "mask", "luminance", "bayer")
}
"""Those whose y comes back from whole levels bit for bit."""

every = pytest.mark.parametrize("name", OPERATORS)


def operator(name: str, size: Size) -> LinearOperator:
    return OPERATORS[name](size)


def apart(found: Tensor, expected: Tensor) -> float:
    """Relative to what is expected."""
    return float((found - expected).norm() / expected.norm())


def relative_damping(H: Degradation, y: Tensor) -> float:
    """A hundredth of how much Hᵀ makes of y."""
    return 0.01 * float(H.A_adjoint(y).square().sum() / y.square().sum())


def dense_solve(matrix: Tensor, y: Tensor, damping: float) -> Tensor:
    gram = matrix @ matrix.T + damping * torch.eye(len(matrix), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, y.flatten(1).T)
    return solved.T.view_as(y)


@pytest.mark.parametrize("name", [n for n in OPERATORS if hasattr(operator(n, SMALL), "diagonal")])
def test_the_diagonal_is_that_of_the_matrix(name: str) -> None:
    H = operator(name, SMALL)
    weights = normal(2, 3, *SMALL).square()
    found = H.diagonal(weights)  # type: ignore[attr-defined]
    matrix = matrix_of(H, (3, *SMALL))
    expected = (weights.flatten(1) @ matrix.square().T).view_as(found)
    torch.testing.assert_close(found, expected)


@every
def test_the_adjoint_is_one_and_is_the_gradient(name: str) -> None:
    H = operator(name, ODD)
    x = normal(2, 3, *ODD).requires_grad_()
    y = H.A(x)
    v = normal(*y.shape, seed=1)
    torch.testing.assert_close((y * v).sum(), (x * H.A_adjoint(v)).sum())
    (gradient,) = torch.autograd.grad((y * v).sum(), x)
    torch.testing.assert_close(H.A_adjoint(v), gradient)
    torch.testing.assert_close(H.A_vjp(x, v), gradient)


@every
def test_it_is_linear_and_treats_a_batch_image_by_image(name: str) -> None:
    H = operator(name, ODD)
    a, b = normal(3, 3, *ODD), normal(3, 3, *ODD, seed=1)
    torch.testing.assert_close(H(2.5 * a - b), 2.5 * H.A(a) - H.A(b))
    torch.testing.assert_close(H.A(a)[1:2], H.A(a[1:2]))
    y = H.A(a)
    torch.testing.assert_close(H.A_adjoint(y)[1:2], H.A_adjoint(y[1:2]))
    damping = relative_damping(H, y)
    together, alone = solve(H, y, damping)[1:2], solve(H, y[1:2], damping)
    assert apart(together, alone) < 1e-4


@pytest.mark.parametrize("name", EXACT)
def test_the_pseudo_inverse_is_that_of_moore_and_penrose(name: str) -> None:
    H = operator(name, SMALL)
    x, other = normal(2, 3, *SMALL), normal(2, 3, *SMALL, seed=1)
    y = H.A(x)
    back = H.A_dagger(y)
    torch.testing.assert_close(H.A(back), y)
    torch.testing.assert_close(H.A_dagger(H.A(back)), back)
    left, right = (back * other).sum(), (x * H.A_dagger(H.A(other))).sum()
    torch.testing.assert_close(left, right)
    v = normal(*y.shape, seed=2)
    w = normal(*y.shape, seed=3)
    torch.testing.assert_close((H.A(H.A_dagger(v)) * w).sum(), (v * H.A(H.A_dagger(w))).sum())


@pytest.mark.parametrize("name", DAMPED)
def test_the_pseudo_inverse_is_damped_where_frequencies_are_lost(name: str) -> None:
    H = operator(name, SMALL)
    y = H.A(normal(2, 3, *SMALL))
    matrix = matrix_of(H, (3, *SMALL))
    expected = (dense_solve(matrix, y, DAGGER).flatten(1) @ matrix).view(2, 3, *SMALL)
    got = H.A_dagger(y)
    assert apart(got, expected) < 1e-3
    assert apart(H.A(got), y) < 1e-3


@every
def test_the_damped_inverse_is_that_of_dense_algebra(name: str) -> None:
    H = operator(name, SMALL)
    matrix = matrix_of(H, (3, *SMALL))
    damping = 0.01 * float(matrix.square().sum()) / len(matrix)
    y = H.A(normal(2, 3, *SMALL))
    expected = dense_solve(matrix, y, damping)
    found = solve(H, y, damping)
    assert apart(found, expected) < 2e-3
    assert apart(H.A_adjoint(found), H.A_adjoint(expected)) < 1e-4
    middle = torch.full((1, 3, *SMALL), 0.5, dtype=torch.float64)
    correction = dense_solve(matrix, y - H.A(middle), damping).flatten(1) @ matrix
    x = estimate(H, y, damping)
    torch.testing.assert_close(x, middle + correction.view_as(x), atol=1e-3, rtol=0)


@every
def test_precision_and_device_are_those_of_what_comes_in(name: str) -> None:
    H = operator(name, ODD)
    x = normal(2, 3, *ODD)
    y = H.A(x)
    damping = relative_damping(H, y)
    for single, double in [
        (H.A(x.float()), y),
        (H.A_adjoint(y.float()), H.A_adjoint(y)),
        (solve(H, y.float(), damping), solve(H, y, damping)),
    ]:
        assert single.dtype == torch.float32
        assert double.dtype == torch.float64
        assert apart(single.double(), double) < 1e-3
    assert H.A(x.to("meta")).device.type == H.A_adjoint(y.to("meta")).device.type == "meta"
    if isinstance(H, BlockDCT):
        assert H.of_file(H.in_file(y.to("meta"))).device.type == "meta"


@every
def test_what_it_tells_of_itself_is_true(name: str) -> None:
    H = operator(name, SMALL)
    matrix = matrix_of(H, (3, *SMALL))
    told = H.mean_eigenvalue()
    assert (
        told is not None
        or isinstance(H, Composed)
        or (isinstance(H, Blur) and H.boundary != "circular")
    )
    assert H.exact is (name in EXACT)
    seen = matrix[matrix.abs().sum(1) > 0]
    if told is not None and not isinstance(H, BlockDCT):  # at its borders less is averaged
        true = float(seen.square().sum()) / len(seen)
        assert told == pytest.approx(true, rel=0.3 if isinstance(H, BicubicDownscaling) else 1e-6)
    # Where colours are not mixed, a value of y hears of one colour alone.
    heard = (matrix.view(len(matrix), 3, -1).abs().sum(2) > 1e-12).sum(1)
    if not H.mixes_colours:
        assert int(heard.max()) == 1
    if H.colours_alike:
        thirds = matrix.view(3, len(matrix) // 3, 3, -1)
        torch.testing.assert_close(thirds[0, :, 0], thirds[2, :, 2])


def test_far_from_borders_a_blur_is_preconditioned_by_its_inverse() -> None:
    H = Blur((41, 37), motion(4, 70), "replicate")
    unit = torch.zeros(1, 3, 41, 37, dtype=torch.float64)
    unit[..., 20, 18] = 1
    product = H.A(H.A_adjoint(unit)) + 0.1 * unit
    torch.testing.assert_close(H.precondition(product, 0.1), unit, atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_blur_takes_to_nought_stays_out_of_its_undamped_inverse(dtype: torch.dtype) -> None:
    """The transfer of a slanted pair of points is 0 at some frequencies."""
    H = Blur((64, 64), torch.eye(2, dtype=torch.float64) / 2, "zero")
    y = H.A(torch.rand(1, 1, 64, 64, dtype=dtype, generator=torch.Generator().manual_seed(2)))
    assert bool(H.precondition(y, 0.0).isfinite().all())
    x = inverse(H, y, 0.0)
    assert float((H.A(x) - y).abs().max()) < 0.01


def test_what_is_known_in_closed_form_is_not_iterated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvdvae.degradations.damped.conjugate_gradients", pytest.fail)
    for name in ("gaussian, circular", "mask", "downscaling, box"):
        H = operator(name, SMALL)
        y = H.A(normal(1, 3, *SMALL))
        assert solve(H, y, 0.1).shape == y.shape


def test_pixels_averaged_across_a_hole_are_not_given_back_exactly() -> None:
    """What sees the rim of the hole has singular values near 0; its rounding is noise."""
    hole, half = mask(SMALL), Downscaling.of_scale(SMALL, 2, by="box")
    grey, whole = luminance(), Mask(torch.ones(SMALL, dtype=torch.bool))
    torn: list[Steps] = [(hole, half), (Composed(hole, grey), half), (hole, Blur(SMALL, box(3)))]
    kept: list[Steps] = [(hole, grey), (hole, whole), (whole, half), (half, mask(half.lr_size))]
    for steps in torn:
        assert not Composed(*steps).exact
    for steps in kept:
        assert Composed(*steps).exact


@every
def test_fifty_steps_in_single_precision_are_enough_at_64_pixels(name: str) -> None:
    H = operator(name, USUAL)
    smooth = torch.nn.functional.interpolate(normal(2, 3, 9, 9), USUAL, mode="bicubic")
    y = H.A((0.5 + 0.2 * smooth).clamp(0, 1).float())
    noise = 0.02 if y.ndim == 4 else 0.3
    y = y + noise * normal(*y.shape).float() * (y != 0)
    missing = y - H.A(torch.full((2, 3, *USUAL), 0.5))
    damping = noise**2 / 0.04
    found = solve(H, missing, damping, steps=50)
    again = H.A(H.A_adjoint(found)) + damping * found
    assert apart(again, missing) < 1e-4


@pytest.mark.parametrize("name", BITWISE)
def test_y_comes_back_bit_for_bit(name: str) -> None:
    size = (24, 32)
    H = operator(name, size)
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand((1, 3, *size), generator=generator, dtype=torch.float64)
    y = to_bytes(H.A(truth)).double() / 255
    start = truth + 0.3 * torch.randn((3, 3, *size), generator=generator, dtype=torch.float64)
    x = project(start, y, H)
    assert float(residual(x, y, H).max()) < 0.01
    pixels = round_consistently(x, y, H)
    assert torch.equal(to_bytes(H.A(pixels.double() / 255)), to_bytes(y).expand(3, -1, -1, -1))


def test_projecting_onto_a_strong_blur_takes_noise_for_truth() -> None:
    """Why the projection is not for blurs, and the estimate is."""
    H = Blur(USUAL, gaussian(1.0))
    truth = torch.nn.functional.interpolate(normal(1, 3, 9, 9), USUAL, mode="bicubic")
    truth = (0.5 + 0.15 * truth).clamp(0, 1)
    y = (H.A(truth) + 0.02 * normal(1, 3, *USUAL)).clamp(0, 1)
    projected = project(truth, y, H, max_steps=10)
    found = estimate(H, y, 0.02**2 / 0.04)
    assert float((projected - truth).std()) > float((found - truth).std())


def test_kernels_are_what_they_say() -> None:
    assert gaussian(0.1).shape == (3, 3)  # no pixel further is reached
    for kernel in (gaussian(1.5), box(4), motion(7, 20)):
        assert float(kernel.sum()) == pytest.approx(1)
        assert bool((kernel >= 0).all())
    rows = torch.arange(13) - 6.0
    variance = (gaussian(1.5).sum(1) * rows.double().square()).sum()
    assert float(variance) == pytest.approx(1.5**2, rel=0.01)
    torch.testing.assert_close(motion(5, 90), motion(5, 0).T, atol=1e-6, rtol=0)
    line = motion(5, 0)
    assert int((line.sum(1) > 1e-9).sum()) == 1
    up = motion(9, 45)
    assert float(up[0, 5] + up[0, 6]) > 0  # right of the middle is above it
    assert float(up[0, 0]) == 0


@pytest.mark.parametrize(
    ("length", "angle", "shape"),
    [(9, 0, (1, 9)), (9, 90, (9, 1)), (9, 180, (1, 9)), (8, 0, (1, 9)), (9, 45, (7, 7)),
     (41, 0, (1, 41)), (1, 30, (1, 1)), (9, 10, (3, 9))],
)  # fmt: skip
def test_a_movement_reaches_no_further_than_it_goes(
    length: float, angle: float, shape: tuple[int, int]
) -> None:
    """Rows of nothing would be invented beyond the border, and more of the image asked for."""
    kernel = motion(length, angle)
    assert kernel.shape == shape
    for line in (kernel, kernel.T):
        assert float(line[[0, -1]].abs().sum(1).max()) > 1e-12
        middle = (line.sum(1) * (torch.arange(len(line)) - len(line) // 2)).sum()
        assert abs(float(middle)) < 1e-9
    assert Blur((30, 200), motion(41), "valid").lr_size == (30, 160)


def test_cutting_a_movement_s_kernel_leaves_the_blur_as_it_was() -> None:
    x = normal(1, 3, 24, 20)
    for angle in (0, 90, 37):
        kernel = motion(7, angle)
        wide = torch.zeros(15, 15, dtype=torch.float64)
        top, left = (7 - side // 2 for side in kernel.shape)
        wide[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
        for boundary in ("reflect", "replicate", "circular", "zero"):
            ours, theirs = (Blur((24, 20), k, boundary) for k in (kernel, wide))
            torch.testing.assert_close(ours.A(x), theirs.A(x), atol=1e-12, rtol=0)
            torch.testing.assert_close(ours.A_adjoint(x), theirs.A_adjoint(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("boundary", ["reflect", "replicate", "circular", "zero", "valid"])
@pytest.mark.parametrize("kernel", [uneven(5, 3), uneven(4, 6), gaussian(0.7)], ids=len)
def test_a_blur_is_the_convolution_of_the_continued_image(
    kernel: Tensor, boundary: Boundary
) -> None:
    import numpy as np
    from scipy.signal import convolve2d

    kernel, x = kernel.double() / kernel.double().sum(), normal(1, 1, 11, 9)
    modes: dict[str, Literal["symmetric", "edge", "wrap", "constant"]] = {
        "reflect": "symmetric", "replicate": "edge", "circular": "wrap", "zero": "constant",
    }  # fmt: skip
    image = x[0, 0].numpy()
    if boundary != "valid":
        beyond = [(side - 1 - side // 2, side // 2) for side in kernel.shape]
        image = np.pad(image, beyond, modes[boundary])
    expected = convolve2d(image, kernel.numpy(), "valid")
    found = Blur((11, 9), kernel, boundary).A(x)[0, 0]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-12)


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    for build, words in [
        (lambda: Blur((8, 8), torch.zeros(3, 3)), "nought"),
        (lambda: Blur((8, 8), torch.tensor([[1.0, -1.0]])), "nought"),
        (lambda: Blur((8, 8), torch.full((3, 3), torch.nan)), "finite"),
        (lambda: Blur((8, 8), box(9)), "larger than the image"),
        (lambda: Blur((8, 8), box(3), "mirror"), "boundary must be"),  # type: ignore[arg-type]
        (lambda: gaussian(-1.0), "sigma"),
        (lambda: gaussian(float("nan")), "sigma"),
        (lambda: motion(0.5), "length"),
        (lambda: motion(400.5), "length"),
        (lambda: box(0), "side of a box"),
        (lambda: Mask(torch.zeros(4, 4, dtype=torch.bool)), "hides everything"),
        (lambda: Mask(torch.ones(4, 4)), "bool"),
        (lambda: bayer((4, 4), "RGB"), "no mosaic"),
        (lambda: BlockDCT.of_quality((8, 8), 0), "quality"),
        (lambda: BlockDCT((8, 8), torch.zeros(8, 8), torch.ones(8, 8)), "positive"),
        (lambda: BlockDCT.of_quality((8, 8), 50, 4), "subsampling"),
    ]:
        with pytest.raises(InputError, match=words):
            build()


@pytest.mark.parametrize("name", [*EXACT, "gaussian, reflect", "uneven, zero", "jpeg"])
def test_an_image_of_another_size_is_refused(name: str) -> None:
    H = operator(name, SMALL)
    if isinstance(H, Colours) and H.weights.shape[1:] == (1, 1):
        wrong = torch.rand(1, 1, 8, 9)
    else:
        wrong = torch.rand(1, 3, 9, 8)
    with pytest.raises(InputError, match=r"expected|the mask is for"):
        H.A(wrong)


def test_the_size_that_is_wanted_is_said() -> None:
    for H, x, words in [
        (luminance(), torch.rand(1, 1, 8, 9), r"shape \(N, 3, H, W\), not \(1, 1, 8, 9\)"),
        (bayer(SMALL, "GRBG"), torch.rand(1, 3, 9, 8), r"\(N, 3, 8, 9\), not \(1, 3, 9, 8\)"),
    ]:
        with pytest.raises(InputError, match=words):
            H.A(x)


def test_an_operator_takes_images_of_its_own_shape_alone() -> None:
    x = torch.full((1, 3, *SMALL), 0.5)
    coloured, grey = mask(SMALL, 3), x[:, :1]
    jpeg = BlockDCT.of_quality((8, 8), 50, 1)
    for product, wrong, words in [
        (coloured.A, grey, r"images of shape \(N, 3, 8, 9\), not \(1, 1, 8, 9\)"),
        (coloured.A_adjoint, x[:, :2], r"images of shape \(N, 3, 8, 9\), not \(1, 2, 8, 9\)"),
        (mask(SMALL).A, x[..., 1:], r"images of shape \(N, C, 8, 9\), not \(1, 3, 8, 8\)"),
        (jpeg.A_adjoint, torch.zeros(1, 191), r"values of shape \(N, 192\), not \(1, 191\)"),
        (jpeg.A_dagger, torch.zeros(1, 191), r"values of shape \(N, 192\), not \(1, 191\)"),
        (InAllColours().A, x, r"images of shape \(N, 1, H, W\), not \(1, 3, 8, 9\)"),
        (InAllColours().A_adjoint, grey, r"images of shape \(N, 3, H, W\), not \(1, 1, 8, 9\)"),
    ]:
        with pytest.raises(InputError, match=words):
            product(wrong)
    one = mask(SMALL, 1)
    assert one.A(x).shape == x.shape
    assert one.A(grey).shape == grey.shape


def test_sizes_may_stand_in_lists() -> None:
    H = Downscaling([16, 12], [4, 3])  # type: ignore[arg-type]
    x = normal(1, 3, 16, 12)
    assert torch.equal(H.A(x), Downscaling((16, 12), (4, 3)).A(x))
    assert H.A_dagger(H.A(x)).shape == x.shape


class Elsewhere(Tensor):
    """A tensor on a device where nothing can be done with it but to fetch it from there."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Any = None,
    ) -> Any:
        plain = [one.as_subclass(Tensor) if isinstance(one, Elsewhere) else one for one in args]
        found = func(*plain, **(kwargs or {}))
        if not isinstance(found, Tensor) or func is Tensor.cpu:
            return found
        if any(not isinstance(one, Elsewhere) for one in args if isinstance(one, Tensor)):
            raise RuntimeError("Expected all tensors to be on the same device")
        return found.as_subclass(Elsewhere)


def test_kernels_and_tables_may_lie_on_a_gpu() -> None:
    kernel, (luma, chroma) = gaussian(0.7), steps_at(50)
    far, q, c = (one.as_subclass(Elsewhere) for one in (kernel, luma, chroma))
    with pytest.raises(RuntimeError, match="same device"):
        far * kernel
    x = normal(1, 3, 16, 16)
    for boundary in ("reflect", "zero"):
        there, here = (Blur((16, 16), one, boundary) for one in (far, kernel))  # type: ignore[arg-type]
        assert torch.equal(there.A(x), here.A(x))
    assert torch.equal(BlockDCT((16, 16), q, c).A(x), BlockDCT((16, 16), luma, chroma).A(x))


class Hues(LinearOperator):
    """Every colour becomes a mixture of all of them; nothing is said of it."""

    matrix = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.0, 0.2, 0.8]], dtype=torch.float64)

    def A(self, x: Tensor) -> Tensor:
        return torch.einsum("ij,njhw->nihw", self.matrix.to(x), x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.einsum("ij,nihw->njhw", self.matrix.to(y), y)

    def A_dagger(self, y: Tensor) -> Tensor:
        return torch.einsum("ij,njhw->nihw", self.matrix.inverse().to(y), y)


def test_what_an_operator_does_not_say_is_not_taken_for_granted() -> None:
    H, x = Hues(), torch.sigmoid(normal(1, 3, *SMALL))
    y = H.A(x)
    assert mixes_colours(H, x, y)
    found = project(torch.full_like(x, 0.5), y, H)
    assert float(residual(found, y, H)) < 0.01
    assert not H.exact
    assert not Composed(mask(SMALL), H).exact
    assert Composed(mask(SMALL), H).mixes_colours

    class Wrapped(Hues):
        matrix = torch.diag(torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64))

    assert not mixes_colours(Wrapped(), x, y)


def test_steps_end_where_those_that_are_left_would_not_do() -> None:
    """Towards what is near they go on as before, and to the same image."""
    H, y = Blur((24, 24), gaussian(1.5), "reflect"), normal(1, 3, 24, 24).clamp(0, 1)
    start, asked = torch.full_like(y, 0.5), list[Tensor]()

    def steps_to(goal: float) -> int:
        asked.clear()

        def done(x: Tensor) -> bool:
            asked.append(x)
            return False

        violate_least(H, start, y, (1, 2, 3), enough=0, goal=goal, done=done)
        return len(asked)

    usual, least = steps_to(math.inf), float((H.A(asked[-1]) - y).square().sum())
    last = asked[-1]
    assert steps_to(2 * least) == steps_to(1.01 * least) == usual == 100
    assert torch.equal(asked[-1], last)
    assert steps_to(0.9 * least) < 50
    assert steps_to(0.01 * least) == 10


def test_momentum_violates_less_than_plain_steps_do() -> None:
    """Where no image in range gives y back, as noise behind a blur."""
    H, y = Blur((24, 24), gaussian(1.5), "reflect"), normal(2, 3, 24, 24).clamp(0, 1)
    start, length = torch.full_like(y, 0.5), 1 / largest_eigenvalue(H, y)

    def violation(x: Tensor) -> Tensor:
        return (H.A(x) - y).square().sum((1, 2, 3))

    def momentum(steps: int) -> Tensor:
        return violation(violate_least(H, start, y, (2, 3), steps, enough=0))

    plain = start
    for _ in range(50):
        plain = (plain - length * H.A_adjoint(H.A(plain) - y)).clamp(0, 1)
    least = momentum(1000)
    assert bool((10 * (momentum(50) - least) < violation(plain) - least).all())


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_mosaic_sees_the_colours_that_its_name_spells(pattern: str) -> None:
    x = normal(1, 3, *ODD)
    seen = bayer(ODD, pattern).A(x)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        wanted = x[:, "RGB".index(colour), row::2, column::2]
        assert torch.equal(seen[:, 0, row::2, column::2], wanted)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_an_even_blur_that_is_mirrored_is_undone_in_closed_form(side: int) -> None:
    assert Blur((16, 18), box(side), "reflect").closed
    assert Blur((16, 18), uneven(), "circular").closed
    assert not Blur((16, 18), box(side + 1), "reflect").closed
    assert not Blur((16, 18), uneven(), "reflect").closed
    assert not Blur((16, 18), box(side), "zero").closed
    tilted = torch.tensor([[1.0, 2, 1], [3, 4, 3], [5, 6, 5]])
    for kernel in (tilted, tilted.T, box(4)[:3], box(4)[:, :3]):
        assert not Blur((16, 18), kernel, "reflect").closed


def test_conjugate_gradients_solve_each_problem_by_itself() -> None:
    """As dense algebra, with and without a preconditioner; what is done first stays as it is."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)
    matrices = factors @ factors.mT + torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1) * torch.eye(6)
    b = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    b[1] = 0
    scale = matrices.diagonal(dim1=1, dim2=2)

    def product(v: Tensor) -> Tensor:
        return torch.einsum("nij,nj->ni", matrices, v)

    expected = torch.linalg.solve(matrices, b)
    plain = conjugate_gradients(product, b, 100, 1e-10)
    shaped = conjugate_gradients(product, b, 100, 1e-10, precondition=lambda r: r / scale)
    for found in (plain, shaped):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    assert not plain[1].any()
    together = conjugate_gradients(product, b, 100, 1e-10, dot=lambda u, v: (u * v).sum())
    torch.testing.assert_close(together, expected, rtol=1e-6, atol=1e-8)
    rough = conjugate_gradients(product, b, 1, 1e-10)
    assert float((rough - expected).abs().max()) > 1e-3


FOREIGN = (torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16)
"""What no operator computes with: whole numbers, and those that are rounded on the way."""


@every
def test_only_float32_and_float64_are_computed_with(name: str) -> None:
    H, x = operator(name, SMALL), torch.full((1, 3, *SMALL), 0.5)
    y = H.A(x)
    for product, wrong in ((H.A, x), (H.A_adjoint, y), (H.A_dagger, y), (H, x)):
        for dtype in FOREIGN:
            with pytest.raises(InputError, match=f"float32 or float64, not {dtype}"):
                product(wrong.to(dtype))


@pytest.mark.parametrize("dtype", FOREIGN, ids=str)
def test_only_float32_and_float64_are_projected(dtype: torch.dtype) -> None:
    H, x = BicubicDownscaling.of_scale(SMALL, 2), torch.full((1, 3, *SMALL), 0.5)
    for task in (project, round_consistently):
        for images, y in ((x.to(dtype), H.A(x)), (x, H.A(x).to(dtype))):
            with pytest.raises(InputError, match=f"float32 or float64, not {dtype}"):
                task(images, y, H)


def test_a_grey_in_all_colours_is_of_floats() -> None:
    H, x = InAllColours(), torch.full((1, 1, 2, 2), 1, dtype=torch.uint8)
    for product in (H.A, H.A_adjoint, H.A_dagger):
        with pytest.raises(InputError, match="float32 or float64"):
            product(x)


def test_steps_are_those_of_libjpeg_at_every_quality() -> None:
    for quality in (1, 2, 10, 25, 49, 50, 51, 75, 90, 95, 99, 100):
        file = BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        image = Image.open(file)
        assert isinstance(image, JpegImageFile)
        for ours, theirs in zip(steps_at(quality), image.quantization.values(), strict=True):
            assert ours.flatten().tolist() == theirs
    for quality in (0, 101):
        with pytest.raises(InputError, match=f"from 1 to 100, not {quality}"):
            steps_at(quality)


@pytest.mark.parametrize(
    ("subsampling", "padded", "chroma"),
    [(1, (24, 16), (24, 16)), ((1, 2), (24, 16), (24, 8)), (2, (32, 16), (16, 8))],
)
def test_planes_are_of_whole_blocks_of_a_continued_image(
    subsampling: int | tuple[int, int], padded: tuple[int, int], chroma: tuple[int, int]
) -> None:
    """By its last row and column; of averaged chroma, by the last mean."""
    H = BlockDCT.of_quality((20, 9), 60, subsampling)
    assert (H.padded, H.planes) == (padded, [(24, 16), chroma, chroma])
    x = normal(1, 3, 20, 9)
    wide = torch.nn.functional.pad(x, (0, padded[1] - 9, 0, padded[0] - 20), mode="replicate")
    row, down = torch.arange(padded[0]), H.subsampling[0]
    last_rows_repeated = wide[:, :, torch.where(row < 20, row, 20 - down + row % down)]
    every = BlockDCT.of_quality(padded, 60, subsampling)
    whole, averaged = every.A(wide), every.A(last_rows_repeated)
    whole[:, padded[0] * padded[1] :] = averaged[:, padded[0] * padded[1] :]
    luma = whole[:, : padded[0] * padded[1]].view(1, padded[0] // 8, padded[1] // 8, 64)
    expected = torch.cat([luma[:, :3, :2].flatten(1), whole[:, padded[0] * padded[1] :]], 1)
    torch.testing.assert_close(H.A(x), expected)
    # Luma that was continued as far as chroma loses what no file holds.
    held = H.of_file(expected.round())
    assert torch.equal(H.of_file(whole.round()), held)
    torch.testing.assert_close(held, expected.round() + H.middle)


def test_where_no_colour_counts_nothing_is_told() -> None:
    weights = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    weights[:, 1, 2] = 0
    H, x = Colours(weights), normal(2, 3, 4, 5)
    back = H.A_dagger(H.A(x))
    assert not back[:, :, 1, 2].any()
    torch.testing.assert_close(H.A(back), H.A(x))
    matrix = matrix_of(H, (3, 4, 5))
    expected = (matrix.pinverse() @ matrix @ x.flatten(1).T).T
    torch.testing.assert_close(back.flatten(1), expected)


def test_coefficients_are_cosine_transforms_of_luma_and_mean_chroma() -> None:
    from scipy.fft import dctn

    x, (luma, chroma) = normal(1, 3, 16, 16).square(), steps_at(35)
    y = BlockDCT((16, 16), luma, chroma, (2, 2)).A(x)[0]
    red, green, blue = 255 * x[0]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    for i in range(4):
        block = grey[8 * (i // 2) :, 8 * (i % 2) :][:8, :8]
        wanted = torch.tensor(dctn(block.numpy(), norm="ortho")) / luma
        torch.testing.assert_close(y[64 * i : 64 * (i + 1)].view(8, 8), wanted)
    for i, colour in enumerate(((blue - grey) / 1.772, (red - grey) / 1.402)):
        mean = colour.view(8, 2, 8, 2).mean((1, 3))
        wanted = torch.tensor(dctn(mean.numpy(), norm="ortho")) / chroma
        found = y[256 + 64 * i : 320 + 64 * i].view(8, 8)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)
    even = BlockDCT((16, 16), luma, chroma, 2)
    assert even.middle[0, :2].tolist() == pytest.approx([8 * 128 / float(luma[0, 0]), 0])
    whole = even.in_file(even.A(x))
    assert torch.equal(whole, whole.round())
    assert float((even.of_file(whole) - even.A(x)).abs().max()) <= 0.5
    assert torch.equal(even.rounded(x), even.of_file(whole))


@pytest.mark.parametrize("subsampling", [1, (1, 2), 2, None])
def test_of_whole_blocks_the_diagonal_of_a_jpeg_is_told_exactly(
    subsampling: int | tuple[int, int] | None,
) -> None:
    luma, chroma = steps_at(30)
    H = BlockDCT((16, 16), luma, None if subsampling is None else chroma, subsampling or 2)
    matrix = matrix_of(H, (3, 16, 16))
    diagonal = matrix.square().sum(1)
    assert H.mean_eigenvalue() == pytest.approx(float(diagonal.mean()))
    r = normal(1, len(diagonal))
    torch.testing.assert_close(H.precondition(r, 0.3), r / (diagonal + 0.3))
    told = H.solve(r, 0.3)
    assert (told is None) is (subsampling not in (1, None))
    if told is not None:
        torch.testing.assert_close(told, dense_solve(matrix, r, 0.3))
    assert BlockDCT.of_quality((16, 12), 30, 1).solve(normal(1, 768), 0.3) is None


def test_chroma_is_enlarged_by_three_quarters_of_the_nearer() -> None:
    three, one = [0.75, 0.25], [0.25, 0.75]
    assert enlargement(4).tolist() == [[1, 0], three, one, [0, 1]]
    assert enlargement(5).tolist() == [
        [1, 0, 0], [*three, 0], [*one, 0], [0, *three], [0, *one]
    ]  # fmt: skip
    for side in (1, 2, 3, 4, 9):
        small = normal(2, (side + 1) // 2, 3)
        large = enlargement(side) @ small
        torch.testing.assert_close(before_enlargement(large, 1), small)
        torch.testing.assert_close(before_enlargement(large.mT, 2), small.mT)


def test_a_jpeg_has_tables_and_a_subsampling_that_there_are() -> None:
    luma, chroma = steps_at(50)
    holed = chroma.clone()
    holed[3, 4] = 0
    for tables in ((luma[:, :7], chroma), (luma, holed), (-luma, chroma)):
        with pytest.raises(InputError, match="tables of 8×8, all positive"):
            BlockDCT((8, 8), *tables)
    for wrong in (0, 3, (2, 1)):
        with pytest.raises(InputError, match="is 1, 2 or"):
            BlockDCT((8, 8), luma, chroma, wrong)
    assert BlockDCT((8, 8), luma, chroma).subsampling == (2, 2)
    assert BlockDCT((8, 8), luma, None, 2).subsampling == (1, 1)
    for shape in ((1, 1, 8, 8), (3, 8, 8), (1, 3, 8, 9)):
        with pytest.raises(InputError, match=r"expected images of shape \(N, 3, 8, 8\), not"):
            BlockDCT((8, 8), luma, chroma).A(torch.zeros(shape))
    torch.testing.assert_close(
        torch.tensor(LUMA_CHROMA).sum(1), torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0
    )


def test_kernels_have_these_numbers() -> None:
    bell = gaussian(1.5)
    assert bell.shape == (13, 13)
    assert float(bell[6, 8] / bell[6, 6]) == pytest.approx(math.exp(-0.5 * (2 / 1.5) ** 2))
    assert [len(gaussian(sigma)) for sigma in (0.25, 0.26, 1, 100)] == [3, 5, 9, 801]
    line = torch.tensor([[0.26, 0.48, 0.26]], dtype=torch.float64)
    torch.testing.assert_close(motion(3), line)
    torch.testing.assert_close(motion(3, 90), line.T)
    assert motion(1).tolist() == [[1]]
    assert motion(400).shape == (1, 401)
    assert (box(1).tolist(), box(2).tolist()) == ([[1]], [[0.25, 0.25], [0.25, 0.25]])
    for build in (lambda: gaussian(0), lambda: gaussian(100.1), lambda: motion(3, math.inf)):
        with pytest.raises(InputError):
            build()


def test_a_kernel_is_as_large_as_the_image_at_most_and_not_nought() -> None:
    assert float(Blur((2, 3), torch.ones(2, 3)).kernel.sum()) == pytest.approx(1)
    for kernel, words in [
        (torch.ones(3, 3), "kernel of 3×3 is larger than the image of 3×2 pixels"),
        (torch.ones(2, 4), "kernel of 4×2 is larger"),
        (torch.ones(3), "tensor of finite real numbers"),
        (torch.ones(0, 3), "tensor of finite real numbers"),
        (torch.tensor([[1, -1 + 1e-6]], dtype=torch.float64), "add up to nought"),
    ]:
        with pytest.raises(InputError, match=words):
            Blur((2, 3), kernel)
    slight = torch.tensor([[1, -1 + 3e-6]], dtype=torch.float64)
    assert float(Blur((2, 3), slight).kernel.sum()) == pytest.approx(1)


@pytest.mark.parametrize("boundary", ["replicate", "zero", "valid"])
def test_a_product_of_two_lines_is_undone_in_closed_form(boundary: Boundary) -> None:
    H, slanted = Blur((12, 10), gaussian(0.7), boundary), Blur((12, 10), uneven(), boundary)
    y = normal(1, 2, *H.lr_size)
    found = H.solve(y, 0.1)
    assert found is not None
    torch.testing.assert_close(found, dense_solve(matrix_of(H, (2, 12, 10)), y, 0.1))
    assert slanted.solve(normal(1, 1, *slanted.lr_size), 0.1) is None
    crossed = Blur((12, 10), torch.eye(2), boundary)  # a sum of two products
    assert crossed.solve(normal(1, 1, *crossed.lr_size), 0.1) is None


def test_sides_of_more_than_512_are_iterated() -> None:
    pair = torch.ones(1, 2)
    for side in (512, 513):
        blur = Blur((1, side), pair, "replicate")
        shrunk = Downscaling((2, 2 * side), (1, side), "nearest")
        for H in (blur, shrunk):
            assert (H.solve(torch.ones(1, 1, 1, side), 0.1) is None) is (side == 513)


def test_photons_fall_in_whole_numbers_and_the_file_has_8_bits() -> None:
    H, generator = Mask(torch.ones(64, 64, dtype=torch.bool)), torch.Generator().manual_seed(0)
    x = torch.full((1, 1, 64, 64), 0.4)
    assert torch.equal(shrink_to_8_bits(x, H), torch.full_like(x, 102) / 255)
    y = shrink_to_8_bits(x, H, 5, generator)
    assert {round(255 * value) for value in y.unique().tolist()} == {0, 51, 102, 153, 204, 255}
    assert float(y.mean()) == pytest.approx(0.4, abs=0.02)
    assert float(y.std()) == pytest.approx((0.4 / 5) ** 0.5, abs=0.02)
    assert torch.equal(y, shrink_to_8_bits(x, H, 5, generator.manual_seed(0)))
    for value, wanted in ((-0.5, 0), (1.5, 1)):
        assert shrink_to_8_bits(torch.full_like(x, value), H).unique().tolist() == [wanted]
    assert float(shrink_to_8_bits(torch.full_like(x, -0.5), H, 5).max()) == 0


def test_the_baseline_stays_in_range_and_a_downscaling_is_that_of_its_name() -> None:
    y = (torch.arange(16).view(1, 1, 4, 4) % 2).float()
    large = upscale_bicubic(y, (16, 16))
    assert (float(large.min()), float(large.max())) == (0, 1)
    assert isinstance(downscaling((8, 8), (2, 2), "bicubic"), BicubicDownscaling)
    boxed = downscaling((8, 8), (2, 2), "box")
    assert not isinstance(boxed, BicubicDownscaling)
    assert boxed.by == "box"
    assert Downscaling.of_scale((3, 41), 4, by="box").lr_size == (1, 10)


def test_conjugate_gradients_end_as_soon_as_the_residual_is_small() -> None:
    values, b = torch.linspace(1, 9, 12, dtype=torch.float64), torch.ones(1, 12).double()
    residuals: list[float] = []

    def product(v: Tensor) -> Tensor:
        residuals.append(0)
        return values * v

    for tolerance in (0.5, 1e-2, 1e-4):
        residuals.clear()
        found = conjugate_gradients(product, b, 100, tolerance)
        steps = len(residuals)
        fewer = conjugate_gradients(product, b, steps - 1, tolerance)
        ours, before = (float((values * v - b).norm() / b.norm()) for v in (found, fewer))
        assert ours <= tolerance < before


def test_what_is_iterated_takes_200_steps_at_most() -> None:
    class Stretched(LinearOperator):
        count = 0

        def A(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * torch.logspace(-6, 0, x.shape[-1], dtype=x.dtype)

        def A_adjoint(self, y: Tensor) -> Tensor:
            return self.A(y)

        A_dagger = A_adjoint

    H = Stretched()
    solve(H, normal(1, 1, 1, 4000), 0.0, tolerance=0)
    assert H.count == 2 * 200
    H.count, y = 0, normal(1, 1, 1, 40)
    found = solve(H, y, 0.3)
    again = H.A(H.A_adjoint(found)) + 0.3 * found
    assert apart(again, y) < 1e-5


class Scaled:
    """Every colour has its own factor, of which nothing is told."""

    def __init__(self, *factors: float) -> None:
        self.factors, self.products = torch.tensor(factors, dtype=torch.float64).view(-1, 1, 1), 0

    def A(self, x: Tensor) -> Tensor:
        self.products += 1
        return x * self.factors

    A_adjoint = A


def test_the_scale_of_an_operator_is_probed_where_it_is_not_told() -> None:
    H, x = Scaled(1, 2, 3), torch.rand(2, 3, 5, 4, dtype=torch.float64)
    assert mean_eigenvalue(H, x) == pytest.approx(14 / 3)
    assert H.products == 4
    torch.testing.assert_close(
        squared_columns(H, x, x), torch.tensor([1.0, 4, 9]).double().view(1, 3, 1, 1)
    )
    assert H.products == 4 + 13
    assert largest_eigenvalue(H, x) == pytest.approx(1.1 * 9, rel=1e-3)
    assert H.products == 17 + 20
    half = Downscaling((8, 6), (4, 3), "nearest")
    assert squared_columns(half, normal(2, 3, 8, 6), normal(2, 3, 4, 3)).tolist() == [[[[0.25]]]]
    grey = Composed(luminance(), Downscaling((8, 6), (4, 3), "nearest"))  # three of four unseen
    columns = squared_columns(grey, normal(2, 3, 8, 6), normal(2, 1, 4, 3)).flatten()
    torch.testing.assert_close(columns, squared_columns(luminance(), x, x[:, :1]).flatten())
    some = Mask(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5)
    for picked, seen in ((bayer((4, 4)), normal(1, 1, 4, 4)), (some, normal(1, 3, 4, 4))):
        assert torch.equal(
            squared_columns(picked, normal(1, 3, 4, 4), seen).flatten(), x.new_ones(3)
        )
    nothing = torch.zeros(1, 3, 4, 4)
    assert largest_eigenvalue(Scaled(0, 0, 0), nothing) == 0
    assert torch.equal(violate_least(Scaled(0, 0, 0), nothing, nothing + 1, (1, 2, 3)), nothing)
    for told in (0.0, math.nan, math.inf):
        H.mean_eigenvalue = lambda told=told: told  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="takes every image to zero"):
            mean_eigenvalue(H, x)


def test_whether_colours_are_mixed_is_tried_where_it_is_not_told() -> None:
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    H = Scaled(1, 2, 3)
    assert not mixes_colours(H, x, x)
    assert mixes_colours(H, x, x[:, :1])
    assert not mixes_colours(Scaled(2), x[:, :1], x[:, :1])
    for first, second in ((0, 1), (2, 0)):

        class Leaking(Scaled):
            def A(self, x: Tensor, to: int = first, of: int = second) -> Tensor:
                y = x.clone()
                y[:, to] += x[:, of]
                return y

        assert mixes_colours(Leaking(1), x, x)
        Leaking.mixes_colours = False  # type: ignore[attr-defined]
        assert not mixes_colours(Leaking(1), x, x)


def test_steps_to_the_least_violation_have_nesterovs_momentum() -> None:
    """As Beck and Teboulle write it, where it never points uphill."""
    H = Scaled(1, 0.3)
    start, y = torch.full((1, 2, 3, 3), 0.2).double(), torch.full((1, 2, 3, 3), 0.9).double()
    x = ahead = start
    length, time = 1 / largest_eigenvalue(H, start), 1.0
    for _ in range(6):
        gradient = H.A(H.A(ahead) - y)
        following, later = (
            (ahead - length * gradient).clamp(0, 1),
            (1 + (1 + 4 * time**2) ** 0.5) / 2,
        )
        uphill = (gradient * (following - x)).sum((2, 3), keepdim=True) > 0
        momentum = torch.where(uphill, 0, (time - 1) / later)
        assert not uphill[:, 1].any()
        ahead, x, time = following + momentum * (following - x), following, later
    found = violate_least(H, start, y, (2, 3), 6, enough=0)
    torch.testing.assert_close(found[:, 1], x[:, 1])
    once = violate_least(H, start, y, (2, 3), done=lambda x: True)
    torch.testing.assert_close(once, start - length * H.A(H.A(start) - y))


def test_the_least_violation_is_given_up_after_ten_steps_that_brought_little() -> None:
    start, y = torch.full((1, 1, 3, 3), 0.2).double(), torch.full((1, 1, 3, 3), 0.9).double()
    for enough, products in ((-1.0, 2 * 100), (0.9, 2 * 10 + 1)):
        H = Scaled(0.3)
        largest_eigenvalue(H, start)
        before, H.products = H.products, 0
        x = violate_least(H, start, y, (2, 3), enough=enough)
        assert H.products - before == products
        assert torch.equal(x, torch.ones_like(x))
    jpeg, middle = BlockDCT.of_quality((8, 8), 80), torch.full((2, 3, 8, 8), 0.5).double()
    truth = 0.5 + 0.1 * normal(2, 3, 8, 8)
    y_of_jpeg = jpeg.A(truth)
    near = violate_least(jpeg, middle, y_of_jpeg, (1, 2, 3), 100)
    assert apart(jpeg.A(near), y_of_jpeg) < 0.1 * apart(jpeg.A(middle), y_of_jpeg)
    steep, x = Scaled(1), torch.full_like(y, 0.9)
    torch.testing.assert_close(violate_least(steep, start, y, (2, 3)), x, atol=1e-3, rtol=0)


def test_the_last_step_says_what_y_is() -> None:
    size = (16, 16)
    jpeg, blur = BlockDCT.of_quality(size, 50), Blur(size, box(3))
    x = normal(1, 3, *size).clamp(0, 1)
    assert jpeg_at_end(jpeg) is jpeg_at_end(Composed(blur, jpeg)) is jpeg
    assert jpeg_at_end(blur) is jpeg_at_end(Composed(blur, blur)) is None
    assert as_jpeg(blur, x) is None
    whole = as_jpeg(jpeg, blur.A(x))
    assert whole is not None
    assert torch.equal(whole, jpeg.rounded(blur.A(x)))
    after = as_jpeg(Composed(blur, jpeg), x)
    assert after is not None
    assert torch.equal(after, whole)
    untold, half = cast(Degradation, Scaled(1)), shrunk("box")(size)  # no step's A⁺ is needed
    assert not Composed(untold, half).exact
    assert Composed(untold, half).mixes_colours
    assert not Composed(untold, half).colours_alike
    untold.exact = True  # type: ignore[attr-defined]
    assert Composed(untold, half).exact
    both = Composed(blur, jpeg)
    assert both.each(lambda step: step) is both
    assert both.each(lambda step: blur if step is jpeg else step).steps == (blur, blur)


def test_luminance_and_a_grey_in_all_colours_weigh_as_they_say() -> None:
    x = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)
    assert luminance().A(x).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114], rel=1e-6)
    grey = normal(2, 1, 4, 5)
    thrice = torch.cat([grey] * 3, 1)
    assert torch.equal(InAllColours().A(grey), thrice)
    torch.testing.assert_close(InAllColours().A_adjoint(thrice), 3 * grey)
    torch.testing.assert_close(InAllColours().A_dagger(thrice), grey)
    assert not InAllColours().exact
    assert InAllColours().pixelwise
    for known in (torch.ones(4, dtype=torch.bool), torch.ones(1, 1, 4, 4, dtype=torch.bool)):
        with pytest.raises(InputError, match="a mask is bool"):
            Mask(known)
    hole = mask(SMALL)
    assert (hole.colours_alike, hole.loses_pixels) == (True, True)
    assert (mask(SMALL, 3).colours_alike, Mask(hole.known | True).loses_pixels) == (False, False)


@every
def test_the_damped_inverse_as_an_image_is_the_adjoint_of_the_solution(name: str) -> None:
    H = operator(name, SMALL)
    y = H.A(normal(2, 3, *SMALL))
    damping = relative_damping(H, y)
    whole = H.A_adjoint(solve(H, y, damping, steps=2000, tolerance=1e-12))
    assert apart(inverse(H, y, damping, steps=2000, tolerance=1e-12), whole) < 1e-8


@pytest.mark.parametrize("size", [(5, 7), (8, 6), (1, 4), (9, 1)])
def test_cosines_are_those_of_the_equation_and_come_back(size: Size) -> None:
    x = normal(2, 3, *size)
    rows, columns = (
        torch.cos(torch.outer(torch.arange(n).double(), torch.arange(n) + 0.5) * math.pi / n)
        for n in size
    )
    waves = cosine.transformed(x)
    torch.testing.assert_close(waves, rows @ x @ columns.T)
    torch.testing.assert_close(cosine.undone(waves), x)
    assert cosine.undone(cosine.transformed(x.float())).dtype == torch.float32


@pytest.mark.parametrize("boundary", ["reflect", "zero", "valid"])
def test_few_steps_undo_a_slanted_movement(boundary: Boundary) -> None:
    H, y = Blur((96, 128), motion(9, 30), boundary), normal(1, 1, 96, 128).float()
    y, damping = H.A(y), 1e-2
    found = solve(H, y, damping, 14, 0.0)
    left = y - H.A(H.A_adjoint(found)) - damping * found
    assert float(left.norm() / y.norm()) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_undamped_inverse_of_a_blur_is_as_exact_as_its_numbers(dtype: torch.dtype) -> None:
    H = Blur((20, 20), gaussian(2), "zero")
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = H.A(x)
    again = H.A(H.A_adjoint(solve(H, y, 0.0)))
    assert float((again - y).abs().max()) < (2e-3 if dtype == torch.float32 else 1e-6)


def test_a_movement_says_which_numbers_it_takes() -> None:
    with pytest.raises(InputError, match="not 5 and inf"):
        motion(5, math.inf)


Product = Callable[[torch.Tensor], Any]


class Half:
    """``Hx = x / 2``, in whichever way each of the two is written."""

    def __init__(self, product: Product, adjoint: Product) -> None:
        self.A, self.A_adjoint = product, adjoint


def half(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x


def by_autograd(y: torch.Tensor) -> torch.Tensor:
    x = torch.zeros_like(y, requires_grad=True)
    return torch.autograd.grad(0.5 * x, x, y)[0]


def by_autograd_anywhere(y: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        return by_autograd(y)


def test_products_may_be_written_in_any_way_that_leaves_alone_what_they_are_given() -> None:
    y = torch.rand(1, 3, 8, 8)
    for product in (half, by_autograd_anywhere, lambda x: x.clone().mul_(0.5)):
        check_linear(Half(half, product), y)
        check_linear(Half(product, half), y)


@pytest.mark.parametrize(
    ("product", "said"),
    [
        (lambda x: x.mul_(0.5), "changes the images that it is given"),
        (by_autograd, r"does not require grad.*within torch.enable_grad\(\)"),
        (lambda x: [0.5 * one for one in x], "gives list, not a tensor"),
        (lambda x: 0.5 * x.numpy(), "gives ndarray, not a tensor"),
        (lambda x: (0.5 * x).long(), "gives torch.int64 of 4 dimensions, not images"),
        (lambda x: (0.5 * x).sum(), "gives torch.float32 of 0 dimensions, not images"),
        (lambda x: x[9] / 2, "IndexError: "),
        (lambda x: 0.5 * x[:1], "does not treat every image of a batch by itself"),
        (lambda x: 0.5 * x.flip(0), "does not treat every image of a batch by itself"),
    ],
)
def test_what_others_wrote_in_odd_ways_is_refused_before_anything_is_drawn(
    product: Product, said: str
) -> None:
    for pair in ((product, half), (half, product)):
        with pytest.raises(InputError, match=said):
            check_linear(Half(*pair), torch.rand(1, 3, 8, 8))
