"""What a third look found, and what must not come back."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_nuclei, tiny_photo_restorer, tiny_photos, tiny_prior, tiny_restorer

from cvdvae.batch.remarks import UNCHECKED, remarks
from cvdvae.batch.tars import images_in
from cvdvae.damage.described import parse
from cvdvae.damage.pictures import is_picture
from cvdvae.degradations.base import Degradation
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.blur import Blur
from cvdvae.degradations.projection import project, round_consistently
from cvdvae.errors import InputError, OutputError
from cvdvae.evaluation.method import Comparison, Resolver
from cvdvae.files import write_atomically, write_folder_atomically
from cvdvae.imaging.arrays import Array, Layout, Limits
from cvdvae.imaging.values import from_levels, to_levels
from cvdvae.restoration.finish import finish
from cvdvae.restoration.restoring import degraded, seen
from cvdvae.restoration.stack.drawing import draw_stack
from cvdvae.restoration.stack.planes import read_stack
from cvdvae.restoration.tolerance import PhotonNoise, misfit, within_noise

LIMITS = Limits(10**6)


def test_what_is_missing_in_a_channel_hides_nothing_of_the_others(tmp_path: Path) -> None:
    """As if each were checked alone."""
    model, rng = tiny_photos(2), np.random.default_rng(0)
    values = rng.uniform(0.2, 0.8, (3, 9, 9)).astype(np.float32)
    values[1] = np.nan
    np.save(tmp_path / "a.npy", values)
    stack = read_stack(model, tmp_path / "a.npy", LIMITS, "0,1")
    assert stack.together
    result = draw_stack(model, stack, model.sampling(1), tmp_path / "out")
    assert result.checked == 2 * 81
    drawn = torch.from_numpy(np.load(tmp_path / "out" / "sample_00.npy")).double()
    shrunk = model.degradation_of((9, 9)).A(drawn[None, ::2])[0]
    off = (shrunk - torch.from_numpy(values[::2]).double()).abs().max()
    assert result.largest_lr_error[0] == pytest.approx(float(off))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_where_nothing_could_be_checked_nothing_is_said_of_it(dtype: type, tmp_path: Path) -> None:
    model = tiny_photos(2)
    values: np.ndarray = np.arange(16).reshape(4, 4).astype(dtype) * 10
    missing = np.zeros((4, 4), bool)
    missing[1, 1] = True
    array = Array(values[None, None], missing[None, None], Layout("YX", (4, 4)), None, [], [0.0])
    np.save(tmp_path / "a.npy", values)
    stack = read_stack(model, tmp_path / "a.npy", LIMITS, "0,200")
    object.__setattr__(stack, "array", array)
    result = draw_stack(model, stack, model.sampling(1), tmp_path / "out")
    assert result.checked == 0
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    for key in ("round_trip_exact", "missed_share", "largest_lr_error", "lr_psnr", "misfit"):
        assert told[key] is None
    assert remarks(result) == [UNCHECKED]


class Patterns:
    """How much there is of every pattern of Walsh and Hadamard, of an image of 8×8."""

    def __init__(self) -> None:
        line = torch.ones(1, 1)
        for _ in range(3):
            line = torch.cat([torch.cat([line, line], 1), torch.cat([line, -line], 1)])
        self.matrix = torch.kron(line, line)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(2) @ self.matrix.T.to(x)).view_as(x)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return (y.flatten(2) @ self.matrix.to(y)).view_as(y)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        return self.A_adjoint(y) / 64


class Half:
    """Every value halved where it is seen at all, with a border that is darker: still a picture."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.full((8, 8), 0.5).to(x)
        weights[0] = 0.2
        weights[3:5, 3:5] = 0
        return weights * x

    A_adjoint = A_dagger = A


def test_numbers_of_patterns_are_no_picture_though_they_are_as_many() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    patterns: Degradation = Patterns()
    y = patterns.A(x)
    assert not is_picture(patterns, y)
    with pytest.raises(InputError, match="no picture: name a noise"):
        seen(y, patterns)
    half: Degradation = Half()
    assert is_picture(half, half.A(x))


@pytest.mark.parametrize("noise", [np.array([0.1, 0.2]), np.array(["auto"]), torch.ones(2)])
def test_noise_is_one_number_or_the_word_auto(noise: object) -> None:
    with pytest.raises(InputError, match="must be a number"):
        seen(torch.rand(3, 8, 8), "noise", noise)  # type: ignore[arg-type]


def test_whole_numbers_of_others_count_groups_and_arrays_are_temperatures() -> None:
    prior = tiny_prior()
    side = prior.config.image_size
    x = torch.rand(1, 3, side, side)
    for two in (np.int64(2), torch.tensor(2)):
        assert len(prior.encode(x, groups=two)) == 2  # type: ignore[arg-type]
    for several in (np.ones(prior.groups), torch.ones(prior.groups), [1.0] * prior.groups):
        assert prior.sample(1, temperature=several).shape == x.shape  # type: ignore[arg-type]
    for one in (np.float32(0.5), torch.tensor(0.5)):
        assert prior.sample(1, temperature=one).shape == x.shape  # type: ignore[arg-type]


def test_latents_are_one_tensor_for_every_group() -> None:
    prior = tiny_prior()
    z = prior.decode([], 1)[1]
    for wrong in ([torch.zeros(16, 1, 1)], z[0], [None]):
        with pytest.raises(InputError, match="latents are one tensor"):
            prior.decode(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("box:side=25,boundary=valid", "is larger than the image of 16×16"),
        ("downscale:scale=16 + downscale:scale=2", "cannot shrink a side of 1 pixels to 0"),
    ],
)
def test_where_nothing_is_left_of_an_image_that_is_said(words: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny_restorer().restore(torch.rand(3, 16, 16), words, noise=0.1)


def test_a_kernel_is_of_real_numbers() -> None:
    for wrong in (torch.tensor([[1, 5j, 1]]), np.ones((3, 3)), [[1.0]]):
        with pytest.raises(InputError, match="a kernel is a matrix"):
            Blur((4, 4), wrong)  # type: ignore[arg-type]


def test_what_is_to_be_degraded_is_finite_and_its_seed_is_one() -> None:
    x = torch.rand(3, 8, 8)
    with pytest.raises(InputError, match="finite"):
        degraded(x * torch.nan, parse("blur:sigma=1"), 0.1)
    with pytest.raises(InputError, match="the seed must not be negative"):
        degraded(x, parse("blur:sigma=1"), 0.1, seed=-1)


def test_no_images_are_projected_and_rounded_to_none() -> None:
    H = parse("downscale:scale=2").operator((8, 8))
    none, y = torch.rand(0, 3, 8, 8), torch.rand(1, 3, 4, 4)
    assert project(none, y, H).shape == none.shape
    assert round_consistently(none, y, H).shape == none.shape


def test_a_restorer_of_any_size_is_told_levels_of_its_own() -> None:
    """In 12 bits as in 8: H of what is saved is y to the last level."""
    y = torch.round(torch.rand(3, 12, 12) * 0.6 * 4095 + 600) / 4095
    H = parse("downscale:scale=2")
    model = tiny_photo_restorer()
    found = model.run(seen(y, H, levels=4095), model.restoring(2))
    assert found.pixels.dtype == torch.int32
    assert found.explains == [True, True]
    shadow = H.operator((24, 24)).A(found.pixels.double() / 4095)
    assert torch.equal((shadow * 4095).round(), (y.double() * 4095).round().expand_as(shadow))


def test_a_black_image_of_faint_light_is_judged_as_it_is_drawn() -> None:
    """It has no photons, so no noise: its samples are black."""
    model = tiny_nuclei()
    y = torch.zeros(1, 8, 8)
    H = model.degradation_of((8, 8))
    method = Resolver(model, "ours")
    task = Comparison(4, H, (method,), channels=1, photon_noise=model.photon_noise)
    x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.02
    wanted = finish(x, y[None], H)
    assert torch.equal(task.finish(x, y, True).pixels, wanted.pixels)
    assert task.noise(y).sigma == 0


@pytest.mark.parametrize(
    ("ground", "bright", "by_mean_alone"), [(0.004, 0.05, 0.25), (0.02, 0.6, 0.87)]
)
def test_the_truth_explains_its_photons_where_some_of_it_is_far_brighter(
    ground: float, bright: float, by_mean_alone: float
) -> None:
    """By a mean variance alone three quarters, or an eighth, of these would not."""
    truth = torch.full((1, 1, 192, 192), ground, dtype=torch.float64)
    truth[..., 40:60, 70:90] = truth[..., 120:130, 10:30] = bright
    H = BicubicDownscaling.of_scale((192, 192), 4)
    light, off = H.A(truth).clamp(0, 1), list[float]()
    generator = torch.Generator().manual_seed(0)
    passed = passed_by_mean = 0
    for _ in range(200):
        y = from_levels(to_levels(torch.poisson(light * 1000, generator) / 1000, 255), 255)
        noise = PhotonNoise(1000, 0.01).level(y[0])
        off.append(float(misfit(light - y, y.numel(), noise.sigma)))
        passed += int(within_noise(torch.tensor(off[-1]), y.numel(), noise.spread))
        by_mean = misfit(light - y, y.numel(), PhotonNoise(1000, 0.01).tolerance(y).sigma)
        passed_by_mean += int(within_noise(by_mean, y.numel()))
    assert passed >= 197
    assert passed_by_mean / 200 == pytest.approx(by_mean_alone, abs=0.06)
    assert np.mean(np.square(off)) == pytest.approx(1, abs=0.12)  # photons are coarse, too


def test_sparse_members_of_a_tar_are_refused(tmp_path: Path) -> None:
    """They do not lie there in one piece."""
    with (tmp_path / "a.bmp").open("wb") as file:
        file.write(b"BM")
        file.seek(2**22)
        file.write(b"end")
    made = ["tar", "--format=gnu", "--sparse", "-cf", "a.tar", "a.bmp"]
    if shutil.which("tar") is None or subprocess.run(made, cwd=tmp_path, check=False).returncode:
        pytest.skip("no GNU tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        if not tar.getmembers()[0].issparse():
            pytest.skip("a file system that keeps no holes")
    with pytest.raises(InputError, match=r"a\.bmp sparsely: pack it without --sparse"):
        images_in(tmp_path / "a.tar")


def test_why_a_folder_could_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    def copy(path: Path) -> None:
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")] * 500)

    with pytest.raises(OutputError) as full:
        write_folder_atomically(tmp_path / "out", copy)
    assert str(full.value).endswith("No space left on device: 'b'")

    def write(path: Path) -> None:
        raise OSError("2640 requested and 1912 written")

    with pytest.raises(OutputError, match="1912 written: the disk may be full"):
        write_atomically(tmp_path / "a.tif", write)

    def other(path: Path) -> None:
        raise OSError("cannot write mode F as PNG")

    with pytest.raises(OutputError, match=r"mode F as PNG$"):
        write_atomically(tmp_path / "a.png", other)
