import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import InputError

sides = st.integers(17, 40)  # torch itself errs where the result is one pixel wide
scales = st.sampled_from([2, 3, 4, 8])


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(sides, sides, scales)
def test_A_is_interpolate_for_every_size(height: int, width: int, scale: int) -> None:
    H = BicubicDownscaling.of_scale((height, width), scale)
    x = image(2, 3, height, width)
    expected = F.interpolate(x, H.lr_size, mode="bicubic", antialias=True)
    torch.testing.assert_close(H.A(x), expected, atol=1e-10, rtol=0)


@given(sides, sides, scales)
def test_A_adjoint_is_the_gradient_of_the_inner_product(h: int, w: int, scale: int) -> None:
    H = BicubicDownscaling.of_scale((h, w), scale)
    x, y = image(1, 2, h, w).requires_grad_(), image(1, 2, *H.lr_size, seed=1)
    (gradient,) = torch.autograd.grad((H.A(x) * y).sum(), x)
    torch.testing.assert_close(H.A_adjoint(y), gradient)


@given(sides, sides, scales)
def test_A_dagger_is_the_moore_penrose_inverse(h: int, w: int, scale: int) -> None:
    H = BicubicDownscaling.of_scale((h, w), scale)
    x, y = image(1, 1, h, w), image(1, 1, *H.lr_size, seed=1)
    torch.testing.assert_close(H.A(H.A_dagger(y)), y)
    # H⁺H is symmetric: it is the orthogonal projection onto the row space of H.
    other = image(1, 1, h, w, seed=2)
    left, right = (H.A_dagger(H.A(x)) * other).sum(), (x * H.A_dagger(H.A(other))).sum()
    torch.testing.assert_close(left, right)


def test_constants_are_kept() -> None:
    H = BicubicDownscaling.of_scale((30, 17), 4)
    torch.testing.assert_close(H.A(torch.full((1, 1, 30, 17), 0.3)), torch.full((1, 1, 7, 4), 0.3))


def test_singular_and_misshapen_are_refused() -> None:
    with pytest.raises(InputError, match="singular"):
        BicubicDownscaling((8, 8), (12, 12))
    with pytest.raises(InputError, match="expected images"):
        BicubicDownscaling((8, 8), (2, 2)).A(torch.rand(1, 3, 9, 8))
    with pytest.raises(InputError, match="cannot shrink"):
        BicubicDownscaling((8, 0), (2, 2))
