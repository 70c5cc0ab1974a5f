import base64
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import (
    ENCODER,
    PRIOR,
    saved_restorer,
    tiny_flow,
    tiny_nuclei,
    tiny_photo_restorer,
    tiny_photos,
    tiny_resolver,
    tiny_restorer,
)

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.loading import load_prior
from cvdvae.checkpoints.records import FlowRecord, Recommended
from cvdvae.errors import ConfigError, InputError, OutputError, WeightsError
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hcflow import HCFlow, HCFlowConfig
from cvdvae.hcflow.flow import Level
from cvdvae.hvae import HVAE
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.layers import Block
from cvdvae.hvae.lr_encoder import LREncoder, lr_encoder_kl
from cvdvae.imaging.io import png_in_base64, to_bytes, to_pil
from cvdvae.imaging.values import exact_values
from cvdvae.restoration.batches import check_memory
from cvdvae.restoration.checks import checked_truth, flag, number, whole_number
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import MAX_STEPS, Resample
from cvdvae.restoration.flow import FlowResolver
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.recipe import (
    Recipe,
    origin_from_dict,
    read_recipe,
    recipe_from_dict,
    recipe_from_text,
)
from cvdvae.restoration.restored import restoration_from_dict
from cvdvae.restoration.result import psnr
from cvdvae.restoration.saving import read_told
from cvdvae.restoration.settings import (
    MAX_SAMPLES,
    TEMPERATURES,
    WIDE_TEMPERATURES,
    Grids,
    Sampling,
)
from cvdvae.restoration.workers import NETWORK


@pytest.fixture
def y() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(40, 216, (3, 4, 4), generator=generator).float() / 255


def test_same_seed_same_samples_whatever_the_batch(
    resolver: HVAEResolver, y: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten = resolver.upscale(y, samples=10, seed=4)
    again = resolver.upscale(y, samples=10, seed=4)
    assert torch.equal(ten.pixels, again.pixels)
    monkeypatch.setattr("cvdvae.restoration.batches.BATCH", 3)
    in_threes = resolver.upscale(y, samples=10, seed=4)
    torch.testing.assert_close(in_threes.samples, ten.samples, atol=1e-4, rtol=0)
    moved = (in_threes.pixels.int() - ten.pixels.int()).abs()
    assert int(moved.max()) <= 1
    assert float(moved.float().mean()) < 0.01
    monkeypatch.undo()
    fewer = resolver.upscale(y, samples=2, seed=4)
    assert torch.equal(fewer.samples, ten.samples[:2])
    other = resolver.upscale(y, samples=2, seed=5)
    assert float((other.samples - fewer.samples).abs().max()) > 0.01


def test_all_temperatures_zero_leave_one_answer(resolver: HVAEResolver, y: torch.Tensor) -> None:
    result = resolver.upscale(y, samples=3, temperature=0, encoder_temperature=0)
    torch.testing.assert_close(result.samples[0], result.samples[2], atol=1e-5, rtol=0)
    assert float(result.std.max()) < 1e-4


def test_temperature_moves_only_the_groups_of_the_prior(y: torch.Tensor) -> None:
    """With k = L there is no group of the prior left, and τ has no effect."""
    everything = LREncoderConfig.of_resolutions(16, 4, "8x1,8d2,4x1,4d4,1x1", width=8, groups=4)
    resolver = tiny_resolver(everything)
    cold, hot = (
        resolver.upscale(y, 2, temperature=t, encoder_temperature=1.0).samples for t in (0.0, 1.0)
    )
    assert torch.equal(cold, hot)
    # Named alone it is the encoder's, too, or it would do nothing at all.
    alone = resolver.sampling(temperature=0.4)
    assert (alone.temperature, alone.encoder_temperature) == (0.4, 0.4)
    partly = tiny_resolver()
    cold, hot = (partly.upscale(y, 2, temperature=t).samples for t in (0.0, 1.0))
    assert not torch.equal(cold, hot)


def test_every_sample_is_in_range_and_gives_the_input_back(
    resolver: HVAEResolver, y: torch.Tensor
) -> None:
    result = resolver.upscale(y, samples=5)
    assert float(result.samples.min()) >= 0
    assert float(result.samples.max()) <= 1
    assert result.round_trip_exact == [True] * 5
    assert min(result.lr_psnr) > 72
    shrunk = resolver.degradation.A(result.pixels.double() / 255)
    assert bool((torch.round(shrunk * 255) == torch.round(y.double() * 255)).all())


def test_without_projection_a_result_says_that_it_is_not_exact(
    resolver: HVAEResolver, y: torch.Tensor
) -> None:
    result = resolver.upscale(y, samples=2, consistent=False)
    assert result.round_trip_exact == [False, False]
    assert max(result.lr_psnr) < 60


def test_an_impossible_input_still_has_a_result_that_says_how_far_it_is(
    resolver: HVAEResolver,
) -> None:
    row, column = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    checkerboard = ((row + column) % 2).float().expand(3, 4, 4)
    result = resolver.upscale(checkerboard, samples=2)
    assert result.round_trip_exact == [False, False]
    assert all(10 < v < 255 for v in result.largest_lr_error)
    shrunk = to_bytes(result.degradation.A(result.pixels.double() / 255).clamp(0, 1))
    missed = (shrunk != to_bytes(checkerboard)).flatten(1).sum(1)
    assert result.missed_share == (missed / checkerboard.numel()).tolist()


def test_mean_and_std_are_those_of_the_samples(resolver: HVAEResolver, y: torch.Tensor) -> None:
    result = resolver.upscale(y, samples=4)
    torch.testing.assert_close(result.mean, sum(result.samples) / 4)
    variance = ((result.samples - result.mean) ** 2).sum(0) / 3
    torch.testing.assert_close(result.std, variance.mean(0).sqrt())
    alone = resolver.upscale(y, samples=1)
    assert float(alone.std.max()) == 0
    assert torch.equal(alone.mean_pixels, alone.pixels[0])


def test_saved_files_hold_what_the_result_says(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    result = resolver.upscale(y, samples=3, seed=7, temperature=0.6)
    result.save(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    names = {p.name for p in folder.iterdir()}
    pictures = {"mean.png", "std.png", "grid.png"} | {f"sample_{i:02d}.png" for i in range(3)}
    assert names == pictures | {"result.json"}
    report = json.loads((folder / "result.json").read_text())
    assert (report["scale"], report["seed"], report["temperature"]) == (4, 7, 0.6)
    assert report["round_trip_exact"] == [True] * 3
    with Image.open(folder / "sample_01.png") as file:
        saved = torch.from_numpy(np.array(file)).permute(2, 0, 1)
    assert torch.equal(saved, result.pixels[1])
    with Image.open(folder / "mean.png") as file:
        mean = torch.from_numpy(np.array(file)).permute(2, 0, 1)
    assert float((mean - 255 * result.mean).abs().max()) < 1.5
    assert torch.equal(to_bytes(resolver.degradation.A(mean[None].double() / 255)[0]), to_bytes(y))
    error = resolver.degradation.A(saved[None].double() / 255) - exact_values(y)
    assert report["lr_psnr"][1] == pytest.approx(-10 * math.log10(float((error**2).mean())))


def test_numbers_of_numpy_are_numbers_in_a_file_and_in_an_address(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    step = Resample(np.int64(1), groups=np.int32(1), seed=np.uint8(5))  # type: ignore[arg-type]
    for seed in np.arange(2):
        sampling = resolver.sampling(
            np.int64(2), np.float32(0.8), seed, antithetic=np.bool_(True)  # type: ignore[arg-type]
        )  # fmt: skip
        result = resolver.run(y, sampling.then(step))
        result.save(tmp_path)
        for found in (
            read_recipe(tmp_path / "result.json"),
            recipe_from_text(result.recipe.to_text()),
        ):
            assert found.sampling == result.sampling
            assert torch.equal(resolver.run(found.y, found.sampling).pixels, result.pixels)
    y, sigma = torch.full((3, 16, 16), 0.5), np.float32(0.1)
    restored = tiny_restorer().restore(
        y, "noise", np.int64(1), sigma, sigma, np.int64(4)  # type: ignore[arg-type]
    )  # fmt: skip
    restored.save(tmp_path)
    again = restoration_from_dict(read_told(tmp_path / "result.json"), "there")
    assert again.restoring == restored.restoring


def test_an_earlier_result_stays_where_the_next_cannot_be_saved(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    resolver.upscale(y, samples=3).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    later = resolver.upscale(y, samples=4, seed=1)
    full = patch.object(type(later), "grid", side_effect=OSError("the disk is full"))
    with full, pytest.raises(OSError, match="full"):
        later.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    stuck = patch.object(Path, "rename", side_effect=PermissionError(13, "it is in use"))
    with stuck, pytest.raises(OutputError, match=r"cannot write to .*: it is in use"):
        later.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    later.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*later.files, "result.json"}


def test_a_large_input_is_read_again_whatever_pillow_takes_for_a_bomb(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.restoration.recipe.MAX_VALUES", 2)  # so that the input lies beside
    resolver.upscale(y, samples=1).save(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)  # twice as many are an error
    assert torch.equal(read_recipe(tmp_path / "result.json").y, y)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.rand(3, 5, 5), "takes images of 4×4 pixels, not 5×5"),
        (torch.rand(1, 4, 4), "takes one float image"),
        (torch.rand(2, 3, 4, 4), "takes one float image"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "takes one float image"),
        (torch.full((3, 4, 4), math.nan), "NaN"),
        (torch.full((3, 4, 4), 1.5), r"\[0, 1\]"),
        (np.zeros((4, 4, 3)), "y is a ndarray, no tensor: cvdvae.load_image"),
        (Path("small.png"), "Path, no tensor: cvdvae.load_image"),
    ],
)
def test_bad_images_are_refused(resolver: HVAEResolver, bad: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolver.upscale(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"samples": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"seed": -1},
        {"encoder_temperature": -1.0},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Sampling(**bad)  # type: ignore[arg-type]


def test_limits_of_settings_are_taken_and_beyond_them_nothing() -> None:
    least = Sampling(1, 0.0, 0, 0.0)
    assert (least.samples, least.temperature, least.encoder_temperature) == (1, 0, 0)
    assert Sampling(MAX_SAMPLES).samples == 10_000
    assert tuple(i / 10 for i in range(6, 15)) == TEMPERATURES
    assert tuple(i / 10 for i in range(1, 13)) == WIDE_TEMPERATURES
    with pytest.raises(InputError, match="at most 10000"):
        Sampling(MAX_SAMPLES + 1)
    with pytest.raises(InputError, match="unknown way to shrink"):
        Sampling(shrunk_by="scissors")
    named = Sampling()
    assert (named.samples, named.temperature, named.seed) == (8, 0.8, 0)
    assert (named.encoder_temperature, named.consistent, named.steps) == (1.0, True, ())
    assert named.reseeded(5) == Sampling(seed=5)
    assert named.at(0.3, 0.4) == Sampling(temperature=0.3, encoder_temperature=0.4)
    step = Resample(7, 0, 0)
    assert named.then(step).steps == (step,)
    assert named.then(step).before() == named
    assert len(Sampling(steps=(step,) * MAX_STEPS).steps) == MAX_STEPS


def test_a_gpu_draws_as_many_as_fit_into_a_sixteenth_of_what_is_free(
    resolver: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The widest state of the tiny prior has 8 channels at stride 2: 2 numbers a pixel."""
    assert resolver.largest_state == 2
    assert tiny_flow().largest_state == (3 + 4 * 2) / 4
    of_one = 2 * 256 * 4 * 16
    monkeypatch.setattr(type(resolver), "device", torch.device("cuda"))
    for free, samples in ((0, 1), (3.9, 3), (100, 8)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, f=free: (int(f * of_one), 0))
        assert resolver.batch(256) == samples
    # What PyTorch holds for itself and does not use is free, too.
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (of_one, 0))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 5 * of_one)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2 * of_one)
    assert resolver.batch(256) == 4


def test_progress_is_told_batch_by_batch(resolver: HVAEResolver, y: torch.Tensor) -> None:
    counted: list[float] = []
    result = resolver.run(y[None], Sampling(9), on_pixels=counted.append)
    parts = [n * share * 16 * 16 for n in (4, 4, 1) for share in (NETWORK, 1 - NETWORK)]
    assert sorted(counted) == pytest.approx(sorted(parts))
    assert len(result.samples) == 9
    assert torch.equal(result.samples, resolver.run(y.double(), Sampling(9)).samples)
    assert 0 < result.seconds < 600
    drawn = resolver.draw(y, Sampling(3, seed=2))
    cut = resolver.run(y, Sampling(3, seed=2, consistent=False)).samples
    torch.testing.assert_close(drawn.clamp(0, 1), cut, atol=1e-6, rtol=0)
    edges = torch.tensor([0.0, 1.0]).expand(3, 4, 2).repeat(1, 1, 2)
    assert resolver.check(edges).shape == (1, 3, 4, 4)


def test_encoder_takes_the_groups_up_to_the_resolution_of_y() -> None:
    assert PRIOR.group_resolutions == [1, 4, 4, 8]
    assert ENCODER.groups_of(PRIOR) == 3
    with pytest.raises(ConfigError, match="has no block"):
        LREncoderConfig.of_resolutions(16, 4, "4x1,4d4,1x1", width=8, groups=4).groups_of(PRIOR)
    with pytest.raises(ConfigError, match="1 to 4"):
        LREncoderConfig.of_resolutions(16, 4, "4x1,4d4,1x1", width=8, groups=5).groups_of(PRIOR)


def test_heads_that_run_wild_stay_bounded(resolver: HVAEResolver, y: torch.Tensor) -> None:
    """Widths feed back through the states: unbounded, they overflow within a few groups."""
    with torch.no_grad():
        for head in resolver.encoder.heads:
            assert isinstance(head, Block)
            assert head.conv4.bias is not None
            head.conv4.bias[PRIOR.z_channels :] = 1000.0
    result = resolver.upscale(y, samples=2)
    assert bool(torch.isfinite(result.samples).all())
    assert result.round_trip_exact == [True, True]


def test_training_loss_is_the_kl_and_its_gradient_reaches_the_encoder_alone(
    prior: HVAE, images: torch.Tensor
) -> None:
    encoder = LREncoder(ENCODER, prior.config)
    y = torch.rand(4, 3, 4, 4)
    kl = lr_encoder_kl(prior, encoder, images, y, SeededNoise(0, range(4)))
    # A fresh encoder is the prior, so its loss is the KL of the ELBO in the first k groups.
    elbo = prior.elbo(images, SeededNoise(0, range(4)))
    torch.testing.assert_close(kl, elbo.kl[:, :3])
    kl.sum().backward()
    assert all(p.grad is None for p in prior.parameters())
    heads = [h.conv4.weight.grad for h in encoder.heads if isinstance(h, Block)]
    assert len(heads) == len(encoder.heads)
    assert all(g is not None and bool(g.any()) for g in heads)


def test_weights_survive_a_folder(model_folder: Path, y: torch.Tensor) -> None:
    result = load(str(model_folder)).upscale(y, samples=2)
    assert torch.equal(result.pixels, tiny_resolver().upscale(y, samples=2).pixels)


def test_foreign_weights_are_refused_by_name(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="unknown model 'nonesuch': expected"):
        load("nonesuch")
    with pytest.raises(WeightsError, match=r"'photo-x4' \(did you mean photos-x4\?\): expected"):
        load("photo-x4")
    with pytest.raises(WeightsError, match="alone cannot super-resolve"):
        load(str(model_folder / "prior"))
    with pytest.raises(WeightsError, match="not a prior"):
        load_prior(str(model_folder))
    weights = model_folder / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[: len(good) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        load(str(model_folder))
    weights.write_bytes((model_folder / "prior" / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="do not fit"):
        load(str(model_folder))
    weights.write_bytes(good)
    config = model_folder / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("prior_digest: ", "prior_digest: 0"))
    with pytest.raises(WeightsError, match="other weights"):
        load(str(model_folder))
    config.write_text(text + "surprise: 1\n")
    with pytest.raises(ConfigError, match="surprise"):
        load(str(model_folder))
    config.write_text("kind: poem\n")
    with pytest.raises(ConfigError, match="kind must be"):
        load(str(model_folder))


def test_psnr() -> None:
    x = torch.zeros(3, 4, 4)
    assert psnr(x + 0.1, x) == pytest.approx(20)
    assert psnr(x, x) == math.inf


def test_bf16_samples_are_near_those_of_fp32_and_still_exact(y: torch.Tensor) -> None:
    model, rough = load("celeba64-x8"), load("celeba64-x8", dtype="bf16")
    from cvdvae.domains.faces import demo_photo
    from cvdvae.domains.simulate import simulate

    face, _ = simulate(demo_photo(), model.degradation)
    exact, near = (m.upscale(face, samples=2) for m in (model, rough))
    assert rough.dtype == torch.bfloat16
    assert not torch.equal(exact.samples, near.samples)
    assert psnr(near.samples, exact.samples) > 40
    assert all(near.round_trip_exact)
    with pytest.raises(InputError, match="load it again"):
        rough.to("cpu", torch.float32)
    assert rough.to("cpu").dtype == torch.bfloat16


def test_a_processor_draws_some_thousands_of_pixels_together(resolver: HVAEResolver) -> None:
    assert [resolver.batch(side**2) for side in (16, 64, 65, 128, 4000)] == [4, 4, 3, 1, 1]


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InputError, match="fp32, bf16"):
        load("celeba64-x8", dtype="fp8")  # type: ignore[arg-type]


def base_of(level: torch.nn.Module) -> torch.Tensor:
    """The numbers that are added to the mean and the log-width of a flow's details, in turn."""
    assert isinstance(level, Level)
    bias = level.detail.base.conv.bias
    assert bias is not None
    return bias


@pytest.fixture
def flow_folder(tmp_path: Path) -> Path:
    """A folder with a tiny flow of random weights, ×4 to 16×16."""
    config = HCFlowConfig(
        image_size=16, scale=4, steps=1, conditional_steps=1, hidden_channels=4, features=3,
        growth=2, trunks=(1, 0),
    )  # fmt: skip
    torch.manual_seed(0)
    flow = HCFlow(config)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for level in flow.levels:
            base_of(level)[1::2] -= 4  # details as small as a trained flow's
    save_model(tmp_path / "flow", FlowRecord("hcflow", config), flow.state_dict())
    return tmp_path / "flow"


def test_a_flow_upscales_like_any_other_model(flow_folder: Path, y: torch.Tensor) -> None:
    model = load(str(flow_folder))
    assert isinstance(model, FlowResolver)
    result = model.upscale(y, samples=10, temperature=0.7)
    assert all(result.round_trip_exact)
    assert not any(result.exploded)
    again = model.upscale(y, samples=3, temperature=0.7)
    torch.testing.assert_close(again.samples, result.samples[:3], atol=1e-4, rtol=0)
    assert float(result.std.mean()) > 0
    result.save(flow_folder / "out")
    report = json.loads((flow_folder / "out" / "result.json").read_text())
    assert report["exploded"] == [False] * 10


def test_exploding_inverses_are_counted_and_said(flow_folder: Path, y: torch.Tensor) -> None:
    model = load(str(flow_folder))
    result = model.upscale(y, samples=4, temperature=1e6)
    assert all(result.exploded)
    assert bool(torch.isfinite(result.samples).all())
    assert isinstance(model, FlowResolver)
    assert result.answers is result.samples  # where none is left
    with torch.no_grad():
        base_of(model.flow.levels[0])[0] = float("nan")
    assert model.upscale(y, samples=2, temperature=0.1).exploded == [True, True]


@pytest.mark.parametrize(
    ("value", "pixels", "exploded"),
    [(1.99, 1, False), (2.01, 1, True), (1.24, 200, False), (1.26, 2, False), (1.26, 4, True)],
)
def test_what_counts_as_exploded(
    flow_folder: Path,
    y: torch.Tensor,
    value: float,
    pixels: int,
    exploded: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(str(flow_folder))

    def draw(noise: SeededNoise, n: int) -> torch.Tensor:
        x = torch.full((n, 3, 16, 16), 0.5)
        x[0].view(3, -1)[:, :pixels] = value  # of 256
        return x

    monkeypatch.setattr(model, "drawer", lambda y, sampling, inside: draw)
    result = model.upscale(y, samples=2, consistent=False)
    assert result.exploded == [exploded, False]
    assert len(result.answers) == 2 - exploded


def test_a_flow_in_bf16_or_compiled_is_refused_in_one_sentence(flow_folder: Path) -> None:
    with pytest.raises(InputError, match="computes in fp32"):
        load(str(flow_folder), dtype="bf16")
    with pytest.raises(InputError, match="cannot be compiled"):
        load(str(flow_folder), compile=True)


def test_a_named_temperature_replaces_both_recommended_ones() -> None:
    model = tiny_resolver()
    model.recommended = Recommended(temperature=0.6, encoder_temperature=0.7)

    def of(**named: float) -> tuple[float, float]:
        sampling = model.sampling(**named)  # type: ignore[arg-type]
        return sampling.temperature, sampling.encoder_temperature

    assert of() == (0.6, 0.7)
    assert of(temperature=0.9) == (0.9, 1.0)
    assert of(encoder_temperature=0.9) == (0.8, 0.9)
    assert of(temperature=0.5, encoder_temperature=0.4) == (0.5, 0.4)


def test_a_flow_computes_in_fp32_alone() -> None:
    flow = tiny_flow()
    assert flow.to("cpu", torch.float32) is flow
    assert flow.to("cpu") is flow
    with pytest.raises(InputError, match="in bf16 no inverse is one"):
        flow.to("cpu", torch.bfloat16)


def test_a_recipe_is_read_from_a_path_or_its_text(tmp_path: Path) -> None:
    model = tiny_resolver()
    model.upscale(torch.full((3, 4, 4), 128 / 255), samples=1).save(tmp_path)
    path = tmp_path / "result.json"
    found = [read_recipe(where) for where in (path, str(path))]
    assert found[0].model == found[1].model == "tiny"
    assert torch.equal(found[0].y, found[1].y)


def test_a_model_says_what_it_is() -> None:
    everything = LREncoderConfig.of_resolutions(16, 4, "8x1,8d2,4x1,4d4,1x1", width=8, groups=4)
    flow, faces, photos = tiny_flow(), tiny_resolver(), tiny_photos(3)
    assert repr(flow) == "<FlowResolver tiny flow: ×4 to 16×16, float32 on cpu>"
    assert repr(faces) == "<HVAEResolver tiny: ×4 to 16×16, float32 on cpu>"
    assert repr(photos) == "<HVAEResolver tiny photos: ×3 to any size, float32 on cpu>"
    assert repr(tiny_restorer()) == "<Restorer tiny: 16×16, float32 on cpu>"
    assert repr(tiny_photo_restorer()) == "<Restorer tiny photos: any size, float32 on cpu>"
    assert [model.truth_size for model in (faces, photos)] == [(16, 16), (192, 192)]
    assert [model.tile_step for model in (flow, faces, photos)] == [4, 16, 24]
    assert [model.group_resolutions for model in (flow, faces)] == [[], [1, 4, 4, 8]]
    assert flow.grids == Grids(WIDE_TEMPERATURES, ())
    assert faces.grids == Grids(TEMPERATURES, TEMPERATURES)
    assert tiny_resolver(everything).grids == Grids((), TEMPERATURES)
    with pytest.raises(InputError, match="no prior to doubt with"):
        flow.evidence(torch.rand(1, 3, 4, 4))
    with pytest.raises(InputError, match=r"float32 or torch\.bfloat16, not torch\.float64"):
        faces.to("cpu", torch.float64)
    faces.prior.double()
    with pytest.raises(InputError, match=r"computes in torch\.float64"):
        print(faces.dtype_name)


def test_settings_are_the_same_however_they_are_named(y: torch.Tensor) -> None:
    for model in (tiny_resolver(), tiny_flow()):
        assert model.sampling() == Sampling()
        named = Sampling(2, 0.5, 4, 0.6, False, "box", True)
        assert model.sampling(2, 0.5, 4, 0.6, False, "box", True) == named
        assert model.upscale(y, 2, 0.5, 4, 0.6, False, "box", True).sampling == named
        usual = model.upscale(y, samples=1)
        assert usual.sampling == Sampling(samples=1)
        assert (usual.truth, usual.doubts, usual.animation, usual.sigma) == (None, None, None, 0)
    assert len(tiny_flow().upscale(y).pixels) == 8


def test_answers_are_the_samples_as_they_would_be_saved(
    resolver: HVAEResolver, y: torch.Tensor
) -> None:
    for how in (Sampling(3, seed=2), Sampling(3, seed=2, consistent=False, shrunk_by="box")):
        answers, result = resolver.answers(y, how), resolver.run(y, how)
        assert torch.equal(answers.pixels, result.pixels)
        assert torch.equal(answers.answers, result.samples)
    exploded = answers._replace(exploded=torch.tensor([False, True, False]))
    assert torch.equal(exploded.answers, result.samples[::2])


def test_a_report_says_what_was_found(resolver: HVAEResolver, y: torch.Tensor) -> None:
    truth = torch.rand(3, 16, 16)
    began = time.perf_counter()
    drawn = resolver.upscale(y, samples=2, truth=truth)
    assert 0 < drawn.seconds <= time.perf_counter() - began
    result = replace(drawn, seconds=1.23456)
    told = result.report()
    assert told["seconds"] == 1.235
    assert (told["noise"], told["misfit"], told["doubts"]) == (0, None, None)
    assert told["exploded"] == [False, False]
    assert told["truth"] == {
        "bicubic_psnr": psnr(result.bicubic, truth),
        "sample_psnr": [psnr(one / 255, truth) for one in result.pixels],
        "mean_psnr": psnr(result.mean, truth),
    }
    assert told["largest_lr_error"] == (255 * result.lr_error.abs().amax((1, 2, 3))).tolist()
    assert max(told["largest_lr_error"]) <= 0.5
    one_left = replace(result, exploded=[True, False])
    assert one_left.report()["exploded"] == [True, False]
    assert torch.equal(one_left.mean, result.samples[1])
    assert torch.equal(one_left.mean_pixels, result.pixels[1])
    assert float(one_left.std.max()) == 0


@pytest.mark.parametrize(
    ("shape", "value", "beside"),
    [
        ((3, 1024, 1), 100, ""),
        ((3, 1025, 1), 100, "input.png"),
        ((1, 1, 1025), 100, "input.png"),
        ((3, 1024, 682), 100, ""),
        ((3, 1024, 683), 100, "input.png"),
        ((3, 2, 2), 100.4, ""),
        ((3, 1025, 1), 100.4, ""),
        ((4, 256, 256), 100, ""),
        ((4, 256, 257), 100, "input.npy"),
        ((3, 296, 296), 100.4, "input.npy"),
    ],
)
def test_a_recipe_holds_its_input_up_to_a_size_and_as_exactly_as_it_is(
    shape: tuple[int, int, int], value: float, beside: str, tmp_path: Path
) -> None:
    recipe = Recipe("tiny", torch.full(shape, value / 255), Sampling())
    recipe.save_beside(tmp_path)
    assert recipe.beside == beside
    assert [path.name for path in tmp_path.iterdir()] == [beside] * bool(beside)
    told = recipe.to_dict()
    in_numbers = value != 100 or shape[0] == 4
    assert isinstance(told["input"], dict) == (in_numbers and not beside)
    again = recipe_from_dict(told, "here", tmp_path, numbers=True)
    assert torch.equal(again.y, recipe.y)
    if in_numbers:
        with pytest.raises(InputError, match="an input that 8 bits do not hold"):
            recipe_from_dict(told, "here", tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scale": 1}, ""),
        ({"scale": 1024}, ""),
        ({"scale": 0}, "scale must be a whole number from 1 to 1024"),
        ({"scale": 1025}, "scale must be"),
        ({"scale": 4.0}, "scale must be"),
        ({"scale": True}, "scale must be"),
        ({"weights": "0f" * 32}, ""),
        ({"weights": "0" * 65}, "damaged fingerprint"),
        ({"weights": "xyz"}, "damaged fingerprint"),
        ({"weights": None}, "damaged fingerprint"),
        ({"dtype": "bf16"}, ""),
        ({"dtype": "fp8"}, "one of fp32, bf16"),
        ({"model": 3}, "is no result.json of this program"),
        ({"steps": [{"kind": "blend", "first": 0, "last": 1}] * MAX_STEPS}, ""),
        ({"steps": [None] * (MAX_STEPS + 1)}, "33 steps of steering are more than 32"),
    ],
)
def test_what_a_result_follows_from_is_read_as_it_was_or_refused(
    settings: dict[str, Any], words: str
) -> None:
    data = {"model": "tiny", "passed": "over"} | settings
    if words:
        with pytest.raises(InputError, match=words):
            origin_from_dict(data, "there")
        return
    origin = origin_from_dict(data, "there").to_dict()
    kept = {name: origin[name] for name in settings if name != "steps"}
    assert kept == {name: value for name, value in settings.items() if name != "steps"}
    assert len(origin["steps"]) == len(settings.get("steps", []))
    assert origin["samples"] == 8


def test_a_large_input_beside_a_recipe_may_have_so_many_pixels() -> None:
    told = {"model": "tiny", "input": "input.png"}
    y = torch.rand(3, 4, 3)
    content = base64.b64decode(png_in_base64(to_pil(y)))
    found = recipe_from_dict(told, "here", content, max_pixels=12)
    assert torch.equal(to_bytes(found.y), to_bytes(y))
    with pytest.raises(InputError, match="here is of an image of over 0 megapixels"):
        recipe_from_dict(told, "here", content, max_pixels=11)
    with pytest.raises(InputError, match=r"says that input\.png holds its input, but it does not"):
        recipe_from_dict(told, "here", b"no picture")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.0, "2.0"),
        (True, "True"),
        (np.float32(3), repr(np.float32(3))),
        (torch.ones(1), "tensor([1.])"),
        ("8", "'8'"),
        (list(range(40)), repr(list(range(40)))[:60]),
    ],
)
def test_what_is_no_whole_number_is_shown_in_a_few_letters(value: object, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        whole_number(value, "samples")
    assert str(caught.value) == f"samples must be a whole number, not {shown}"


def test_numbers_and_flags_are_plain_ones() -> None:
    for three in (3, np.int8(3), np.array(3), torch.tensor(3)):
        assert type(whole_number(three, "samples")) is int
        assert type(number(three, "sigma")) is float
    for yes in (True, np.bool_(True), torch.tensor(True)):
        assert flag(yes, "grain") is True
        with pytest.raises(InputError, match="sigma must be a number, not "):
            number(yes, "sigma")
    with pytest.raises(InputError, match=r"grain must be True or False, not 1$"):
        flag(1, "grain")
    with pytest.raises(InputError, match=r"sigma must be a number, not so large a number$"):
        number(10**5000, "sigma")


def test_the_truth_may_be_black_and_white_and_nothing_beyond() -> None:
    edges = torch.tensor([0.0, 1.0]).repeat(3, 2, 1)
    assert checked_truth(None, (3, 2, 2)) is None
    found = checked_truth(edges.double(), (3, 2, 2))
    assert found is not None
    assert found.dtype == torch.float32
    assert torch.equal(found, edges)
    for wrong, words in [
        (edges + 0.01, r"in \[0, 1\]"),
        (edges - 0.01, r"in \[0, 1\]"),
        (edges / 0, r"in \[0, 1\]"),
        (edges[None], r"of shape \(3, 2, 2\)"),
        (edges.byte(), "must be a float image"),
        (edges.numpy(), "the truth is a ndarray, no tensor"),
    ]:
        with pytest.raises(InputError, match=words):
            checked_truth(wrong, (3, 2, 2))


def test_memory_holds_so_many_samples_and_no_more() -> None:
    check_memory(4, 5000, 5000, "halve it")
    for samples, height, width, words in [
        (17, 5_882_353, 1, "^17 samples of 1×5882353 .*: ask for at most 16, or halve it$"),
        (1, 10_001, 10_000, "^one sample of 10000×10001 .* does not fit into memory: halve it$"),
    ]:
        with pytest.raises(InputError, match=words):
            check_memory(samples, height, width, "halve it")


def test_a_recipe_s_file_has_so_many_bytes_at_most(tmp_path: Path) -> None:
    recipe = Recipe("tiny", torch.full((3, 2, 2), 0.4), Sampling(), 2)
    text, path = json.dumps(recipe.to_dict()), tmp_path / "result.json"
    path.write_text(text.ljust(4 * 2**20))
    assert torch.equal(read_recipe(path).y, recipe.y)
    path.write_text(text.ljust(4 * 2**20 + 1))
    with pytest.raises(InputError, match=r"result\.json"):
        read_recipe(path)
    for n in range(4):  # whatever is left of the last letters of base64
        other = replace(recipe, model="tiny"[: n + 1])
        assert recipe_from_text(other.to_text()).origin == other.origin


def test_a_model_is_loaded_for_what_it_does_alone(flow_folder: Path, tmp_path: Path) -> None:
    assert load(str(flow_folder), scale=4).scale == load(flow_folder).scale == 4
    with pytest.raises(InputError, match="enlarges by 4, not by 2"):
        load(str(flow_folder), scale=2)
    restorer = saved_restorer(tmp_path / "restorer")
    with pytest.raises(WeightsError, match=r"is a restorer, .*: cvdvae restore draws"):
        load(restorer)
    with pytest.raises(WeightsError, match=r"is a prior, .*: name an LR encoder on it"):
        load(restorer / "prior")


def test_a_model_knows_its_first_factor_and_its_noise() -> None:
    photos, nuclei = tiny_photos(3), tiny_nuclei()
    assert HVAEResolver(photos.prior, photos.encoder, "photos").scale == 2
    assert (photos.photon_noise, photos.tolerance(torch.rand(1, 3, 4, 4))) == (None, None)
    assert photos.noise_level(torch.rand(3, 4, 4)).sigma == 0
    assert nuclei.photon_noise is not None
    assert nuclei.photon_noise.photons == 1000
    assert nuclei.photon_noise.pixel_std == pytest.approx(1 / 255)
    found = nuclei.noise_level(torch.full((1, 4, 4), 0.25)).sigma
    assert found == pytest.approx((0.25 / 1000) ** 0.5, rel=0.01)
    assert photos.networks == (photos.prior, photos.encoder)
    other = tiny_photos(2).encoder
    judged = HVAEResolver(photos.prior, photos.encoder, "photos", judge=other)
    assert judged.networks == (photos.prior, photos.encoder, other)


def test_samples_are_drawn_in_batches_of_one_size(resolver: HVAEResolver, y: torch.Tensor) -> None:
    drawing = Drawing(resolver, y, Sampling(9))
    assert [drawing.batch_of(i) for i in (0, 3, 4, 8)] == [
        *(range(0, 4), range(0, 4), range(4, 8), range(8, 12))
    ]
    for workers, of_a_batch in ((1, 1), (5, 1), (6, 2), (8, 2)):
        drawing.workers = workers
        assert drawing.workers_of_a_batch == of_a_batch
    assert not drawing.grey
    whole = resolver.run(y, Sampling(9))
    for index in (0, 5, 8):
        (strip,) = drawing.strips(index)
        assert torch.equal(strip.pixels[0], whole.pixels[index])
    grey = resolver.run(y[:1].expand(3, -1, -1), Sampling(2))
    assert bool((grey.pixels == grey.pixels[:, :1]).all())
    assert float(grey.pixels.float().std()) > 1
