"""The matrices of a side, and every kernel against the program whose way it is."""

import math
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cvdvae.degradations.bicubic import BicubicDownscaling, downscaling
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.kernels import KERNELS, box, cubic, lanczos, triangle
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.degradations.resize import (
    BandedMatrix,
    SubMatrix,
    _chunks,
    pseudo_inverse,
    resize_matrix,
    side,
)
from cvdvae.degradations.spectrum import mean_eigenvalue
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_bytes

SIDES = [(64, 16), (64, 8), (63, 13), (17, 5), (30, 7), (101, 33), (300, 100), (701, 300)]
SIZES = [((64, 48), (16, 12)), ((61, 37), (15, 9)), ((37, 290), (7, 97)), ((150, 23), (71, 11))]


def image(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_torch(hr: int, lr: int) -> Tensor:
    """H of PyTorch applied to an identity."""
    identity = torch.eye(hr, dtype=torch.float64)[None, None]
    return F.interpolate(identity, (lr, hr), mode="bicubic", antialias=True)[0, 0]


@pytest.mark.parametrize(("hr", "lr"), SIDES)
def test_weights_are_those_of_torch(hr: int, lr: int) -> None:
    matrix = resize_matrix(hr, lr, "bicubic")
    torch.testing.assert_close(matrix.dense(), by_torch(hr, lr), atol=1e-14, rtol=0)


@pytest.mark.parametrize("lr", [4, 8, 16, 32, 64])
def test_small_sides_are_one_block_and_the_same_to_the_bit(lr: int) -> None:
    """Samples of the bundled models depend on the last bit."""
    for hr in (64, 128, 256):
        matrix, inverse = side(hr, lr, "bicubic").matrix, side(hr, lr, "bicubic").inverse
        assert [block.values.shape for block in matrix.blocks] == [(lr, hr)]
        assert torch.equal(matrix.dense(), by_torch(hr, lr))
        gram = matrix.dense() @ matrix.dense().T
        assert torch.equal(inverse.dense(), torch.linalg.solve(gram, matrix.dense()).T)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("hr", "lr"), SIDES)
def test_banded_products_and_inverses_are_the_dense_ones(kernel: str, hr: int, lr: int) -> None:
    matrix, adjoint, inverse = side(hr, lr, kernel)
    dense = matrix.dense()
    torch.testing.assert_close(dense.sum(1), torch.ones(lr, dtype=torch.float64))
    assert torch.equal(adjoint.dense(), dense.T)
    torch.testing.assert_close(inverse.dense(), torch.linalg.pinv(dense), atol=1e-10, rtol=0)
    x, y = image(3, hr), image(3, lr, seed=1)
    for banded, full, vector in (
        (matrix, dense, x),
        (adjoint, dense.T, y),
        (inverse, inverse.dense(), y),
    ):
        torch.testing.assert_close(banded.along_width(vector), vector @ full.T)
        torch.testing.assert_close(banded.along_height(vector.T), full @ vector.T)


def test_large_sides_take_little_time_and_memory() -> None:
    script = """
import time, torch
torch.set_num_threads(1)
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.degradations.resize import side
start = time.process_time()
made = side(16000, 4000, "bicubic")
y = torch.rand(4000, 4, dtype=torch.float64)
error = (made.matrix.along_height(made.inverse.along_height(y)) - y).abs().max()
status = open('/proc/self/status').read()  # ru_maxrss would be the parent's at the fork
memory = int(status.split('VmHWM:')[1].split()[0]) / 1024
print(time.process_time() - start, memory, float(error))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    seconds, megabytes, error = map(float, done.stdout.split())
    assert seconds < 20
    assert megabytes < 500
    assert error < 1e-10


def test_a_matrix_without_inverse_is_refused() -> None:
    for hr, lr in ((8, 12), (100, 150), (300, 301)):
        with pytest.raises(InputError, match="singular"):
            pseudo_inverse(resize_matrix(hr, lr, "bicubic"))
    with pytest.raises(InputError, match="cannot shrink"):
        side(8, 0, "box")
    with pytest.raises(InputError, match="there is no kernel 'cubic': take one of bicubic, "):
        side(8, 4, "cubic")


@pytest.mark.parametrize("rows", [slice(5, 25), slice(20, 90), slice(88, 96)])
def test_a_part_of_a_matrix_is_what_the_whole_has_there(rows: slice) -> None:
    """Also where it lies in one block that does not begin at the first column."""
    whole = resize_matrix(192, 96, "bicubic")
    columns = slice(max(0, 2 * rows.start - 6), min(192, 2 * rows.stop + 10))
    part = whole.part(rows, columns)
    assert torch.equal(part.dense(), whole.dense()[rows, columns])
    assert torch.equal(part.transposed().dense(), part.dense().T)
    assert torch.equal(part.window(slice(2, 6), slice(3, 20)), part.dense()[2:6, 3:20])


def test_matrices_are_made_once() -> None:
    assert isinstance(side(64, 16, "box").matrix, BandedMatrix)
    assert side(64, 16, "box") is side(64, 16, "box")
    assert side.cache_info().maxsize is not None


def test_kernels_have_these_values() -> None:
    x = torch.tensor([0, 0.5, -0.5, 1, -1.5, 2, 2.5, 3.5, -3.5], dtype=torch.float64)
    bent = 2 / math.pi * 3 / math.pi
    for kernel, wanted in (
        (cubic, [1, 0.5625, 0.5625, 0, -0.0625, 0, 0, 0, 0]),
        (triangle, [1, 0.5, 0.5, 0, 0, 0, 0, 0, 0]),
        (box, [1, 1, 0, 0, 0, 0, 0, 0, 0]),
        (lanczos, [1, bent, bent, 0, -bent * 2 / 9, 0, bent / 25, 0, 0]),
    ):
        assert kernel(x).tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "row", "weights"),
    [
        (3, 2, 1, [0, 0.25, 0.75]),
        (5, 1, 0, [0.125, 0.25, 0.25, 0.25, 0.125]),
        (8, 2, 1, [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25]),
        (7, 3, 2, [0, 0, 0, 0, 0.25, 0.5, 0.25]),
        (6, 2, 0, [0.375, 0.375, 0.125, 0.125, 0, 0]),
        (3, 3, 2, [0, 0, 1]),
    ],
)
def test_a_canvas_halves_and_then_interpolates(
    n: int, m: int, row: int, weights: list[float]
) -> None:
    assert resize_matrix(n, m, "canvas").dense()[row].tolist() == pytest.approx(weights)


@pytest.mark.parametrize(("lr", "blocks"), [(1, 1), (64, 1), (65, 2), (128, 2), (129, 3)])
def test_a_side_has_a_block_for_every_64_results(lr: int, blocks: int) -> None:
    matrix = resize_matrix(2 * lr, lr, "bicubic")
    assert len(matrix.blocks) == blocks
    assert [block.rows for block in matrix.blocks] == _chunks(lr, blocks)
    for block in matrix.blocks:
        if blocks > 1:
            assert block.values.shape[1] <= 2 * len(block.values) + 8
        assert block.columns.stop - block.columns.start == block.values.shape[1]
    assert _chunks(10, 3) == [slice(0, 3), slice(3, 6), slice(6, 10)]


def test_a_banded_matrix_tells_what_it_holds() -> None:
    blocks = tuple(
        SubMatrix(slice(2 * i, 2 * i + 2), slice(i, i + 3), image(2, 3, seed=i)) for i in range(3)
    )
    matrix = BandedMatrix((6, 5), blocks)
    dense = torch.zeros(6, 5, dtype=torch.float64)
    for rows, columns, values in blocks:
        dense[rows, columns] = values
    assert torch.equal(matrix.dense(), dense)
    assert torch.equal(matrix.window(slice(1, 5), slice(2, 4)), dense[1:5, 2:4])
    assert torch.equal(matrix.squared().dense(), dense.square())
    assert torch.equal(matrix.transposed().dense(), dense.T)
    assert matrix.mean_square() == pytest.approx(float(dense.square().sum()) / 6)
    assert [matrix.reach(slice(*rows)) for rows in ((0, 2), (1, 3), (2, 6))] == [
        slice(0, 3),
        slice(0, 4),
        slice(1, 5),
    ]


@pytest.mark.parametrize("n", [1, 5, 70])
def test_a_side_that_is_kept_is_kept_pixel_by_pixel(n: int) -> None:
    for kernel in ("nearest", "box", "canvas"):
        assert torch.equal(resize_matrix(n, n, kernel).dense(), torch.eye(n).double())


def test_beyond_the_border_matlab_mirrors_with_the_last_pixel_twice() -> None:
    """Of 4 pixels, halved: the cubic over eight of them, of which two lie beyond."""
    cubic_at = [cubic(torch.tensor([(j - 0.5) / 2]).double()).item() for j in range(-3, 5)]
    row = [0.0] * 4
    for weight, pixel in zip(cubic_at, (2, 1, 0, 0, 1, 2, 3, 3), strict=True):
        row[pixel] += weight / sum(cubic_at)
    assert resize_matrix(4, 2, "matlab").dense()[0].tolist() == pytest.approx(row)


# What follows is one exam for all operators.


@pytest.fixture(scope="module", params=[(k, *s) for k in KERNELS for s in SIZES], ids=str)
def operator(request: pytest.FixtureRequest) -> Downscaling:
    kernel, hr_size, lr_size = request.param
    return Downscaling(hr_size, lr_size, by=kernel)


def test_the_adjoint_is_one_and_the_gradient(operator: Downscaling) -> None:
    x, y = image(2, 3, *operator.hr_size).requires_grad_(), image(2, 3, *operator.lr_size, seed=1)
    product = (operator.A(x) * y).sum()
    torch.testing.assert_close((x * operator.A_adjoint(y)).sum(), product)
    (gradient,) = torch.autograd.grad(product, x)
    torch.testing.assert_close(operator.A_adjoint(y), gradient)
    torch.testing.assert_close(operator.A_vjp(x, y), gradient)
    assert torch.equal(operator(x), operator.A(x))


def test_the_pseudo_inverse_is_one(operator: Downscaling) -> None:
    x, other = image(2, 1, *operator.hr_size), image(2, 1, *operator.hr_size, seed=1)
    y = image(2, 1, *operator.lr_size, seed=2)
    torch.testing.assert_close(operator.A(operator.A_dagger(y)), y, atol=1e-9, rtol=0)

    def onto_rows(image: Tensor) -> Tensor:
        return operator.A_dagger(operator.A(image))

    once = onto_rows(x)
    torch.testing.assert_close(onto_rows(once), once, atol=1e-9, rtol=0)
    torch.testing.assert_close((once * other).sum(), (x * onto_rows(other)).sum())


def test_it_is_linear_and_keeps_constants(operator: Downscaling) -> None:
    x, other = image(1, 2, *operator.hr_size), image(1, 2, *operator.hr_size, seed=1)
    together = operator.A(2 * x - 3 * other)
    torch.testing.assert_close(together, 2 * operator.A(x) - 3 * operator.A(other))
    torch.testing.assert_close(
        operator.A(torch.full_like(x, 0.3)),
        torch.full((1, 2, *operator.lr_size), 0.3, dtype=x.dtype),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_of_a_batch_do_not_meet(operator: Downscaling, dtype: torch.dtype) -> None:
    x = image(3, 2, *operator.hr_size, dtype=dtype)
    y = image(3, 2, *operator.lr_size, dtype=dtype)
    for way, values in ((operator.A, x), (operator.A_adjoint, y), (operator.A_dagger, y)):
        assert way(values).dtype == dtype
        torch.testing.assert_close(way(values)[1:2], way(values[1:2]), atol=1e-6, rtol=0)
        torch.testing.assert_close(way(values)[:, :1], way(values[:, :1]), atol=1e-6, rtol=0)


def test_another_size_is_refused(operator: Downscaling) -> None:
    height, width = operator.hr_size
    with pytest.raises(InputError, match="expected images of shape"):
        operator.A(torch.rand(1, 3, height, width + 1))
    with pytest.raises(InputError, match="expected images of shape"):
        operator.A(torch.rand(3, height, width))
    for way in (operator.A_adjoint, operator.A_dagger):
        with pytest.raises(InputError, match="expected images of shape"):
            way(torch.rand(1, 3, height, width))


def test_the_mean_eigenvalue_is_what_probes_find(operator: Downscaling) -> None:
    y = image(1, 3, *operator.lr_size)
    probed = mean_eigenvalue(Silent(operator), y)
    assert operator.mean_eigenvalue() == pytest.approx(probed, rel=0.2)
    squares = (side.dense().square().sum(1).mean() for side in (operator.rows, operator.columns))
    assert operator.mean_eigenvalue() == pytest.approx(float(math.prod(squares)), rel=1e-6)


class Silent:
    """An operator that tells nothing of itself."""

    def __init__(self, operator: Downscaling) -> None:
        self.A, self.A_adjoint, self.A_dagger = operator.A, operator.A_adjoint, operator.A_dagger


def test_projected_and_rounded_images_give_y_back(operator: Downscaling) -> None:
    x = F.avg_pool2d(image(1, 3, *(n + 4 for n in operator.hr_size)), 5, 1)
    y = to_bytes(operator.A(x).clamp(0, 1))
    noisy = x + 0.3 * image(*x.shape, seed=1) - 0.15
    near = project(noisy, y.double() / 255, operator)
    assert float(residual(near, y.double() / 255, operator).max()) < 0.01
    pixels = round_consistently(near, y.double() / 255, operator)
    assert torch.equal(to_bytes(operator.A(pixels.double() / 255)), y)


@pytest.mark.parametrize(("large", "small"), [(64, 16), (64, 4), (101, 33)])
def test_one_downscaling_by_two_names_projects_alike(large: int, small: int) -> None:
    """To the bit, also onto a y that no image in range gives, where the prices decide."""
    x, y = image(1, 3, large, large), (image(1, 3, small, small, seed=1) > 0.5).double()
    named = (
        downscaling((large, large), (small, small), by) for by in ("bicubic", "pillow-bicubic")
    )
    ours, pillows = (project(x, y, H) for H in named)
    assert torch.equal(ours, pillows)


def test_bicubic_is_the_default() -> None:
    assert isinstance(BicubicDownscaling.of_scale((30, 20), 4), BicubicDownscaling)
    ours, named = BicubicDownscaling((30, 20), (7, 5)), Downscaling.of_scale((30, 20), 4)
    assert ours.lr_size == named.lr_size == (7, 5)
    x = image(1, 3, 30, 20)
    assert torch.equal(ours.A(x), named.A(x))
    assert torch.equal(Downscaling.of_scale((30, 20), 4, by="bicubic").A(x), ours.A(x))


# And here every program has its say.


@pytest.mark.parametrize(("hr_size", "lr_size"), SIZES)
@pytest.mark.parametrize(
    ("kernel", "filter_"),
    [
        ("bicubic", Image.Resampling.BICUBIC),
        ("pillow-bicubic", Image.Resampling.BICUBIC),
        ("pillow-lanczos", Image.Resampling.LANCZOS),
        ("pillow-bilinear", Image.Resampling.BILINEAR),
        ("box", Image.Resampling.BOX),
        ("pillow-nearest", Image.Resampling.NEAREST),
    ],
)
def test_pillow(
    kernel: str,
    filter_: Image.Resampling,
    hr_size: tuple[int, int],
    lr_size: tuple[int, int],
) -> None:
    x = image(*hr_size, dtype=torch.float32)
    theirs = Image.fromarray(x.numpy()).resize(lr_size[::-1], filter_)
    ours = Downscaling(hr_size, lr_size, by=kernel).A(x[None, None].double())
    np.testing.assert_allclose(ours[0, 0].numpy(), np.asarray(theirs), atol=1e-6)


@pytest.mark.parametrize(("hr_size", "lr_size"), [*SIZES, ((60, 90), (12, 30))])
def test_opencv(hr_size: tuple[int, int], lr_size: tuple[int, int]) -> None:
    x = image(*hr_size, dtype=torch.float32)
    theirs = cv2.resize(x.numpy(), lr_size[::-1], interpolation=cv2.INTER_NEAREST)
    ours = Downscaling(hr_size, lr_size, by="nearest").A(x[None, None])
    np.testing.assert_array_equal(ours[0, 0].numpy(), theirs)
    if all(hr % lr == 0 for hr, lr in zip(hr_size, lr_size, strict=True)):
        theirs = cv2.resize(x.numpy(), lr_size[::-1], interpolation=cv2.INTER_AREA)
        ours = Downscaling(hr_size, lr_size, by="box").A(x[None, None])
        np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=1e-6)


def imresize(column: np.ndarray, m: int) -> np.ndarray:
    """MATLAB's imresize of one side, pixel by pixel, counting from one as its documentation does.

    Output k lies at u = k / s + (1 − 1/s) / 2. The cubic of half width 2 is widened by 1/s where
    s < 1; pixels beyond the border are those mirrored at it, the outermost twice.
    """
    n = len(column)
    s = m / n
    width = 4 / s if s < 1 else 4
    mirror = [*range(1, n + 1), *range(n, 0, -1)]
    out = np.zeros(m)
    for k in range(1, m + 1):
        u = k / s + 0.5 * (1 - 1 / s)
        left = int(np.floor(u - width / 2))
        total = 0.0
        for p in range(left, left + int(np.ceil(width)) + 2):
            t = abs((u - p) * min(s, 1))
            if t <= 1:
                weight = 1.5 * t**3 - 2.5 * t**2 + 1
            elif t <= 2:
                weight = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
            else:
                weight = 0.0
            total += weight
            out[k - 1] += weight * column[mirror[(p - 1) % (2 * n)] - 1]
        out[k - 1] /= total
    return out


@pytest.mark.parametrize(("hr", "lr"), [*SIDES, (9, 2), (5, 1)])
def test_matlab(hr: int, lr: int) -> None:
    column = image(hr).numpy()
    ours = resize_matrix(hr, lr, "matlab").along_height(torch.from_numpy(column)[:, None])
    np.testing.assert_allclose(ours[:, 0].numpy(), imresize(column, lr), atol=1e-12)
