"""deepinv's physics where ours are expected, and ours in deepinv."""

import warnings
from collections.abc import Iterator

import pytest
import torch
from tiny import tiny_photo_restorer
from torch import Tensor

from cvdvae.degradations.base import Degradation
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.block_dct import ROUNDING, BlockDCT
from cvdvae.degradations.blur import Blur, gaussian
from cvdvae.degradations.composed import Composed
from cvdvae.degradations.damped import estimate, solve
from cvdvae.degradations.foreign import check_linear, in_precision, on_device
from cvdvae.degradations.mask import Mask, bayer, luminance
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.errors import InputError
from cvdvae.restoration.posterior.measurement import conditional_draw
from cvdvae.restoration.restoring import seen, shown, usual_noise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dinv = pytest.importorskip("deepinv")

SIZE = (16, 16)
IMAGE = (3, *SIZE)


def theirs() -> dict[str, object]:
    physics = dinv.physics
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.7, 0.0], [0.0, 0.05, 0.05]])[None, None]
    mask = (torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    return {
        "Denoising": physics.Denoising(),
        "Inpainting": physics.Inpainting(img_size=IMAGE, mask=mask),
        "Demosaicing": physics.Demosaicing(img_size=IMAGE),
        "Decolorize": physics.Decolorize(),
        "Blur": physics.Blur(filter=kernel, padding="circular"),
        "BlurFFT": physics.BlurFFT(img_size=IMAGE, filter=kernel),
        "Downsampling": physics.Downsampling(img_size=IMAGE, factor=2, filter="bicubic"),
        "SinglePixelCamera": physics.SinglePixelCamera(m=64, img_size=IMAGE),
    }


ours = {
    "blur": Blur(SIZE, gaussian(1.0)),
    "bicubic": BicubicDownscaling(SIZE, (8, 8)),
    "mask": Mask(torch.rand(SIZE, generator=torch.Generator().manual_seed(2)) > 0.5),
    "bayer": bayer(SIZE),
    "luminance": luminance(),
}
EXACT = ("Denoising", "Inpainting", "Demosaicing", "Decolorize", "Downsampling")
precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """What is small gains nothing from two, and loses much beside busy programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def physics() -> dict[str, object]:
    return theirs()


def truth(dtype: torch.dtype = torch.float32) -> Tensor:
    coarse = torch.rand((1, 3, 5, 5), generator=torch.Generator().manual_seed(3), dtype=dtype)
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0.05, 0.95)


@precisions
@pytest.mark.parametrize("name", theirs())
def test_theirs_are_solved_and_estimated_with(
    name: str, dtype: torch.dtype, physics: dict[str, Degradation]
) -> None:
    H = physics[name]
    y = in_precision(H, dtype).A(truth(dtype))
    found = solve(H, y, 0.01)
    exact = in_precision(H, dtype)
    again = exact.A(exact.A_adjoint(found)) + 0.01 * found
    assert found.dtype == dtype
    assert float((again - y).norm() / y.norm()) < 1e-3
    x = estimate(H, y, 1e-3)
    assert x.shape == truth().shape
    assert float((exact.A(x) - y).norm() / y.norm()) < 0.05
    drawn = conditional_draw(torch.full_like(x, 0.5), y, H, 0.2, 0.02)
    assert float((exact.A(drawn) - y).norm() / y.norm()) < 0.1


@precisions
@pytest.mark.parametrize("name", EXACT)
def test_theirs_are_projected_onto(
    name: str, dtype: torch.dtype, physics: dict[str, Degradation]
) -> None:
    H = physics[name]
    y = in_precision(H, dtype).A(truth(dtype))
    start = truth(dtype) + 0.2 * torch.randn(
        (1, *IMAGE), generator=torch.Generator().manual_seed(4), dtype=dtype
    )
    x = project(start, y, H)
    assert x.dtype == dtype
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert float(residual(x, y, H).max()) < 0.01
    pixels = round_consistently(x, y, H)
    assert float((in_precision(H, torch.float64).A(pixels.double() / 255) - y).abs().max()) < 0.01


@pytest.mark.parametrize("moves", [0, 2])
@pytest.mark.parametrize("name", theirs())
def test_theirs_are_restored_behind(name: str, moves: int, physics: dict[str, Degradation]) -> None:
    """With noise: every sample explains y within it; the sums of pixels of a single-pixel camera
    lie beside 0, and their noise is as large as theirs."""
    H, sigma = physics[name], 0.02
    y = H.A(truth())
    draw = torch.Generator().manual_seed(5)
    y = y + sigma * torch.randn(y.shape, generator=draw)
    restored = tiny_photo_restorer().restore(y, H, noise=sigma, samples=2, moves=moves)
    assert restored.samples.shape == (2, *IMAGE)
    off = (H.A(restored.samples) - y) / sigma
    assert float(off.square().mean().sqrt()) < 1.3
    assert all(restored.explains)
    assert not torch.equal(*restored.samples)


def test_an_operator_that_has_the_precision_is_not_copied(physics: dict[str, Degradation]) -> None:
    H = physics["Downsampling"]
    assert in_precision(H, torch.float32) is H
    assert in_precision(ours["blur"], torch.float64) is ours["blur"]
    doubled = in_precision(H, torch.float64)
    assert doubled is not H
    assert H.A(truth()).dtype == torch.float32


@precisions
def test_theirs_are_a_step_among_ours(dtype: torch.dtype, physics: dict[str, Degradation]) -> None:
    both = Composed(physics["Blur"], ours["bicubic"])
    y = in_precision(both, dtype).A(truth(dtype))
    check_linear(both, y)
    x = estimate(both, y, 1e-4)
    assert y.dtype == x.dtype == dtype
    assert float((in_precision(both, dtype).A(x) - y).norm() / y.norm()) < 0.01
    assert float(residual(project(x, y, both), y, both).max()) < 0.01
    assert in_precision(both, torch.float32) is both
    moved = on_device(both, torch.device("meta"))
    assert isinstance(moved.steps[0], torch.nn.Module)
    assert {one.device.type for one in moved.steps[0].buffers()} == {"meta"}
    assert moved.steps[1] is both.steps[1]


@precisions
@pytest.mark.parametrize("name", ours)
def test_ours_pass_their_adjointness_test(name: str, dtype: torch.dtype) -> None:
    H = ours[name]
    there = dinv.physics.LinearPhysics(A=H.A, A_adjoint=H.A_adjoint)
    error = there.adjointness_test(u=truth(dtype))
    assert abs(float(error)) < 1e-4
    there_too = dinv.physics.LinearPhysics(A=H, A_adjoint=H.A_adjoint)
    v = H.A(truth(dtype))
    torch.testing.assert_close(there_too.A_vjp(truth(dtype), v), H.A_vjp(truth(dtype), v))


@pytest.mark.parametrize("name", ["blur", "mask", "luminance"])
def test_ours_work_in_their_data_fidelity_and_solvers(name: str) -> None:
    H, x = ours[name], truth(torch.float64)
    y = H.A(x)
    fidelity = dinv.optim.data_fidelity.L2()
    wrong = x + 0.1
    gradient = fidelity.grad(wrong, y, H)
    torch.testing.assert_close(gradient, H.A_adjoint(H.A(wrong) - y))
    there = dinv.physics.LinearPhysics(A=H.A, A_adjoint=H.A_adjoint, max_iter=100, tol=1e-7)
    # argmin ‖Hx − y‖² / 2 + ‖x − z‖² / (2 γ) is our estimate around z, with λ = 1/γ.
    middle = torch.full_like(x, 0.5)
    near = there.prox_l2(middle, y, gamma=100.0)
    torch.testing.assert_close(near, estimate(H, y, 0.01), atol=2e-3, rtol=0)


def test_what_is_not_linear_is_refused_in_a_sentence(physics: dict[str, Degradation]) -> None:
    for name in ("Blur", "Decolorize"):
        H = physics[name]
        check_linear(H, H.A(truth()))
    haze = dinv.physics.Physics(A=lambda x: x.square())
    with pytest.raises(InputError, match="no linear degradation"):
        check_linear(haze, truth())
    bent = dinv.physics.LinearPhysics(A=lambda x: x.square(), A_adjoint=lambda y: y)
    with pytest.raises(InputError, match="is not linear"):
        check_linear(bent, truth())
    with pytest.raises(InputError, match="y should be gray"):
        check_linear(physics["Decolorize"], truth())
    thinned = dinv.physics.LinearPhysics(A=lambda x: x[..., ::2], A_adjoint=lambda y: y)
    with pytest.raises(InputError, match="another size"):
        check_linear(thinned, truth())


@precisions
@pytest.mark.parametrize("name", [*theirs(), *ours])
def test_every_adjoint_passes_for_one(
    name: str, dtype: torch.dtype, physics: dict[str, Degradation]
) -> None:
    H = {**physics, **ours}[name]
    check_linear(H, in_precision(H, dtype).A(truth(dtype)))


class Wrong:
    """A blur, and what might be taken for its adjoint."""

    def __init__(self, kernel: Tensor, adjoint: str) -> None:
        self.blur, self.adjoint = Blur(SIZE, kernel, "circular"), adjoint

    def A(self, x: Tensor) -> Tensor:
        return self.blur.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        right = self.blur.A_adjoint(y)
        return {
            "A": self.blur.A(y),
            "its inverse": self.blur.A_dagger(y),
            "scaled": 1.01 * right,
            "shifted": right.roll(1, 3),
            "masked": right * (torch.arange(16) > 0),
            "nothing": 0 * right,
            "no number": right * float("nan"),
        }[self.adjoint]


@precisions
@pytest.mark.parametrize(
    "adjoint", ["A", "its inverse", "scaled", "shifted", "masked", "nothing", "no number"]
)
def test_a_wrong_adjoint_is_refused_in_a_sentence(adjoint: str, dtype: torch.dtype) -> None:
    kernel = torch.tensor([[0.0, 0.2, 0.0], [0.1, 0.5, 0.0], [0.0, 0.0, 0.2]])
    with pytest.raises(InputError, match="A_adjoint of Wrong is not the adjoint of its A"):
        check_linear(Wrong(kernel, adjoint), truth(dtype))


def test_a_mask_that_the_product_forgot_is_refused() -> None:
    """``⟨HHᵀv, v⟩ = ‖Hᵀv‖²`` alone would take it."""
    known = (torch.arange(16) > 7).float()
    half = dinv.physics.LinearPhysics(A=lambda x: x, A_adjoint=lambda y: y * known)
    with pytest.raises(InputError, match="not the adjoint"):
        check_linear(half, truth())


def test_the_noise_that_a_physics_carries_is_taken() -> None:
    physics, y = dinv.physics, truth()
    blur = ours["blur"]

    def noisy(noise: object) -> Degradation:
        made: Degradation = physics.LinearPhysics(
            A=blur.A, A_adjoint=blur.A_adjoint, noise_model=noise
        )
        return made

    carried = noisy(physics.GaussianNoise(0.07))
    assert usual_noise(carried) == pytest.approx(0.07)
    assert seen(y, carried).sigma == pytest.approx(0.07)
    assert seen(y, carried, noise=0.2).sigma == 0.2
    assert usual_noise(Composed(blur, carried)) == pytest.approx(0.07)
    for none in (physics.GaussianNoise(0.0), physics.ZeroNoise()):
        assert (
            usual_noise(noisy(none)) == usual_noise(Composed(noisy(none), blur)) == ROUNDING / 255
        )
    with pytest.raises(InputError, match="from 0 to 1, but this degradation carries 25"):
        seen(y, noisy(physics.GaussianNoise(25.0)))
    assert usual_noise(BlockDCT.of_quality(SIZE, 50)) == ROUNDING
    for H in (Composed(carried, blur), Composed(noisy(physics.PoissonNoise(0.1)), carried)):
        with pytest.raises(InputError, match="noise that no single σ tells: name noise="):
            seen(y, H)
        assert seen(y, H, 0.1).sigma == 0.1


@pytest.mark.parametrize(
    "noise",
    [
        dinv.physics.GaussianNoise(torch.tensor([0.1, 0.2])),
        dinv.physics.PoissonGaussianNoise(gain=0.1, sigma=0.1),
        dinv.physics.PoissonNoise(0.02),
        dinv.physics.LogPoissonNoise(),
        dinv.physics.UniformNoise(0.1),
        dinv.physics.UniformGaussianNoise(),
        dinv.physics.SaltPepperNoise(),
        dinv.physics.RicianNoise(0.1),
        dinv.physics.LaplaceNoise(0.1),
        lambda x: x + 0.1 * torch.randn_like(x),
    ],
    ids=lambda noise: type(noise).__name__,
)
def test_noise_that_one_sigma_does_not_tell_has_to_be_named(noise: object) -> None:
    blur, y = ours["blur"], truth()
    H = dinv.physics.LinearPhysics(A=blur.A, A_adjoint=blur.A_adjoint, noise_model=noise)
    with pytest.raises(InputError, match=f"{type(noise).__name__} carries noise .* name noise="):
        seen(y, H)
    assert seen(y, H, noise=0.05).sigma == 0.05


def test_a_sinogram_is_no_picture() -> None:
    """Three channels, as an image has, but of angles and detectors: 16 pixels become 16 × 20."""
    H = dinv.physics.Tomography(angles=20, img_width=16, circle=True, normalize=True)
    y = H.A(truth())
    assert y.shape == (1, 3, 16, 20)
    with pytest.raises(InputError, match="no picture: name a noise σ above 0"):
        seen(y, H)
    told = seen(y, H, noise=0.05)
    picture = shown(told)
    assert picture.shape == IMAGE
    assert float((H.A(picture[None]) - y).norm() / y.norm()) < 0.1, "an image with that sinogram"
    H.noise_model = dinv.physics.GaussianNoise(0.1)
    assert seen(y, H).sigma == pytest.approx(0.1)


def test_a_smaller_picture_of_theirs_is_one(physics: dict[str, Degradation]) -> None:
    H = physics["Downsampling"]
    assert seen(H.A(truth()), H).sigma == ROUNDING / 255
    ceiled = dinv.physics.Downsampling(img_size=(3, 15, 17), factor=2, filter="bicubic")
    y = ceiled.A(torch.rand(1, 3, 15, 17))
    assert seen(y, ceiled).sigma == ROUNDING / 255
    assert shown(seen(y, ceiled)).shape == (3, 15, 17)


class Viewing(Mask):
    """As theirs may, DownsamplingMatlab for one, it takes views of what it is given."""

    def A(self, x: Tensor) -> Tensor:
        return super().A(x.view(-1, *x.shape[2:]).view_as(x))


@pytest.mark.parametrize("moves", [0, 1])
def test_one_that_takes_views_of_images_gets_images_of_which_there_are(moves: int) -> None:
    """Networks leave colours side by side."""
    H = Viewing(torch.rand(8, 12, generator=torch.Generator().manual_seed(4)) > 0.5)
    y = H.A(torch.rand(1, 3, 8, 12))
    restored = tiny_photo_restorer().restore(y, H, samples=1, moves=moves)
    assert restored.samples.shape == (1, 3, 8, 12)


def test_of_several_measurements_it_is_said_to_join_them() -> None:
    H = dinv.physics.stack(dinv.physics.Decolorize(), dinv.physics.Denoising())
    y = H.A(truth())
    for several in (y, [*y], tuple(y)):
        kind = type(several).__name__
        with pytest.raises(InputError, match=f"y is a {kind}, no tensor: join its parts to one"):
            seen(several, H)  # type: ignore[arg-type]


class OnAGPU(torch.nn.Module):
    """What a GPU's physics is to a machine without any: it computes nowhere but where it lies."""

    def __init__(self, place: str = "meta") -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones((), device=place) / 2)

    def to(self, device: torch.device) -> "OnAGPU":  # type: ignore[override]
        return OnAGPU(str(device))

    def A(self, x: Tensor) -> Tensor:
        factor = self.get_buffer("factor")
        if factor.device != x.device:
            raise RuntimeError("Expected all tensors to be on the same device")
        return x * factor

    A_adjoint = A_dagger = A


def test_a_physics_on_a_gpu_is_taken_to_where_y_is() -> None:
    H = OnAGPU()
    for degradation in (H, Composed(ours["blur"], H)):
        told = seen(truth(), degradation, noise=0.02)
        assert float((told.degradation.A(truth()) / 2).max()) < 0.25
        assert estimate(told.degradation, truth(), 0.01).isfinite().all()
    assert H.get_buffer("factor").device.type == "meta"
    here = OnAGPU("cpu")
    assert on_device(here, torch.device("cpu")) is here
