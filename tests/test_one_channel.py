"""A model of one channel for faint light, from its training to results drawn again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from command import free_port, run
from PIL import Image, ImageCms
from tiny import FAINT, NUCLEI, PHOTONS, tiny_nuclei, tiny_photos, tiny_prior

import cvdvae
from cvdvae.analysis.calibration import calibration
from cvdvae.batch.files import read_any, read_input
from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord, SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.data.folder import DataConfig
from cvdvae.data.images import open_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import downscaling
from cvdvae.errors import ConfigError, InputError
from cvdvae.evaluation.evaluate import evaluate
from cvdvae.evaluation.measure import Judges
from cvdvae.evaluation.method import Models, comparison
from cvdvae.evaluation.plan import Plan
from cvdvae.evaluation.selection import Selection
from cvdvae.gaussian.noise import Window
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.restoration import large
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.finish import Frame, finish, finish_in_strips
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.part import PartDrawing
from cvdvae.restoration.recipe import recipe_from_text
from cvdvae.restoration.round_trip import RoundTrip
from cvdvae.restoration.tolerance import PhotonNoise, Tolerance, explain
from cvdvae.training import EncoderTraining, OptimConfig, PriorTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.prior import PriorModule
from cvdvae.training.run import fit

OPTIM = OptimConfig(2, batch_size=8, warmup=1, decay=1, validate_every=2, skip_norm=1e6)
PLAIN = {"precision": "32-true"}
"""Quicker than bf16 for networks so small."""


def cells(seed: int, side: int = 32) -> np.ndarray[Any, Any]:
    """Discs of light on a dark ground, uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    image = np.full((side, side), 10.0)
    for row, column in rng.uniform(4, side - 4, (5, 2)):
        image += 90 / (1 + np.exp(np.hypot(rows - row, columns - column) - 3))
    clipped: np.ndarray = np.clip(image, 0, 255)
    return clipped.astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "cells"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(cells(i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the tiny model."""
    model, folder = tiny_nuclei(), tmp_path_factory.mktemp("models") / "tiny-x4"
    prior = PriorRecord("prior", model.prior.config)
    save_model(folder / "prior", prior, model.prior.state_dict())
    its = digest(folder / "prior")
    record = SuperResolutionRecord("lr-encoder", "prior", its, FAINT, photons=PHOTONS)
    save_model(folder, record, model.encoder.state_dict())
    return str(folder)


@pytest.fixture
def y() -> torch.Tensor:
    x = torch.from_numpy(cells(7)).float()[None, None] / 255
    return shrink_to_8_bits(x, downscaling((32, 32), (8, 8), "bicubic"))[0]


def test_it_trains_exports_loads_and_draws(photos: Path, tmp_path: Path) -> None:
    data = DataConfig(folder=str(photos), random_crops=True, validation_every=4)
    settings = PriorTraining(NUCLEI, data, OPTIM)
    fit(PriorModule(settings, tmp_path / "prior"), TrainingData(data, OPTIM, 24, 1), **PLAIN)
    training = EncoderTraining(FAINT, str(tmp_path / "prior/model"), data, OPTIM, photons=PHOTONS)
    module = EncoderModule(training, tmp_path / "x4")
    fit(module, TrainingData(data, OPTIM, module.image_size, 1), **PLAIN)
    model = cvdvae.load(str(tmp_path / "x4/model"))
    assert model.channels == 1
    assert model.photon_noise == PhotonNoise(PHOTONS, 1 / 255)
    found = model.noise_level(torch.full((1, 6, 8), 0.1)).sigma
    assert found == pytest.approx((0.1 / PHOTONS) ** 0.5, rel=0.01)
    result = model.upscale(torch.full((1, 6, 8), 0.1), samples=2)
    assert result.pixels.shape == (2, 1, 24, 32)


def test_a_checkpoint_from_before_a_key_continues(photos: Path, tmp_path: Path) -> None:
    """What its configuration lacks counts as the default; anything else is another model."""
    data = DataConfig(folder=str(photos), random_crops=True, validation_every=4)
    colour = replace(NUCLEI, channels=3)
    module = PriorModule(PriorTraining(colour, data, OPTIM), tmp_path)
    identity = module.identity()
    old = {key: value for key, value in identity["model"].items() if key != "channels"}
    module.on_load_checkpoint({"identity": {"model": old}})
    grey = PriorModule(PriorTraining(NUCLEI, data, OPTIM), tmp_path)
    with pytest.raises(ConfigError, match="another model"):
        grey.on_load_checkpoint({"identity": {"model": old}})


def test_a_profile_of_rgb_goes_with_no_grey_picture(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = Image.new("RGB", (6, 6), (80, 80, 80))
    grey.save(tmp_path / "a.png", icc_profile=profile)
    model = tiny_nuclei()
    model.photon_noise = None
    assert model.noise_level(torch.ones(1, 6, 6)).sigma == 0
    given = [read_input(one, tmp_path / "a.png") for one in (model, tiny_photos(3))]
    assert [one.extras.icc_profile for one in given] == [None, profile]


def test_the_mean_given_z_and_y_ends_at_the_projection_and_at_the_network() -> None:
    """No noise: Hx = y. Noise alone: x stays. Between: ``(1 + λ/HHᵀ)⁻¹`` of the way."""
    torch.manual_seed(0)
    H = downscaling((32, 32), (8, 8), "bicubic")
    x = (0.3 + 0.3 * torch.rand(2, 1, 32, 32)).double()
    y = H.A(0.3 + 0.3 * torch.rand(1, 1, 32, 32).double())
    exact = explain(x, y, H, Tolerance(1e-8, 0.1))
    assert torch.allclose(H.A(exact), y.expand(2, -1, -1, -1), atol=1e-5)
    assert torch.allclose(explain(x, y, H, Tolerance(1e3, 0.1)), x, atol=1e-6)
    tolerance = Tolerance(0.05, 0.1)
    moved = explain(x, y, H, tolerance)
    left = y - H.A(moved)  # (HHᵀ + λ)⁻¹ λ (y − Hx), so (HHᵀ + λ) of it is λ (y − Hx)
    again = H.A(H.A_adjoint(left)) + tolerance.damping * left
    assert torch.allclose(again, tolerance.damping * (y - H.A(x)), atol=1e-6)


@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_what_stays_does_not_say_what_else_was_cut(corner: float) -> None:
    """y is white where Hx is beyond: that explains it, whatever lies outside of the region."""
    H, tolerance = downscaling((16, 32), (8, 16), "bicubic"), Tolerance(0.05, 0.05)
    x = torch.zeros(1, 1, 16, 32)
    x[..., 16:] = 1
    x[..., 0, 0], x[..., 0, -1] = corner, corner
    y = H.A(x).clamp(0, 1)
    region = torch.ones(1, 1, 16, 32, dtype=torch.bool)
    region[..., 0, -1] = False
    moved, within = explain(x, y, H, tolerance), explain(x, y, H, tolerance, region)
    assert float((within - moved)[..., :28].abs().max()) * 255 < 0.02


def test_strips_and_regions_explain_as_the_whole_does() -> None:
    torch.manual_seed(0)
    H = downscaling((160, 16), (40, 4), "bicubic")
    x, y, tolerance = torch.rand(2, 1, 160, 16), torch.rand(1, 1, 40, 4), Tolerance(0.02, 0.1)
    whole = finish(x, y, H, tolerance=tolerance).x
    strips = finish_in_strips(
        lambda a, b: x[:, :, a:b], y, H, tolerance=tolerance, strip_pixels=32 * 16
    )
    parts = [strip.x for strip in strips]
    assert len(parts) > 2
    assert float((torch.cat(parts, 2) - whole).abs().max()) * 255 < 0.1
    region = torch.zeros(1, 1, 160, 16, dtype=torch.bool)
    region[:, :, 40:80] = True
    inside = finish(x, y, H, frame=Frame(region, x[:1], region.float()), tolerance=tolerance).x
    assert torch.equal(inside[..., ~region[0, 0]], x[:1][..., ~region[0, 0]].expand(2, -1, -1))
    assert float((H.A(inside) - y).square().sum()) < float((H.A(x) - y).square().sum())


def test_a_result_tells_the_noise_and_is_drawn_again(y: torch.Tensor, tmp_path: Path) -> None:
    model = tiny_nuclei()
    result = model.upscale(y, samples=3)
    assert result.sigma == pytest.approx((float(y.mean()) / PHOTONS) ** 0.5)
    error = result.degradation.A(result.pixels.double() / 255) - torch.round(y * 255) / 255
    assert result.misfit == pytest.approx(
        (error.square().mean((1, 2, 3)).sqrt() / result.sigma).tolist(), rel=1e-5
    )
    assert not torch.equal(model.upscale(y, samples=3, consistent=False).pixels, result.pixels)
    result.save(tmp_path)
    assert Image.open(tmp_path / "sample_00.png").mode == "L"
    told = json.loads((tmp_path / "result.json").read_text())
    assert (told["noise"], told["misfit"]) == (result.sigma, result.misfit)
    recipe = recipe_from_text(result.recipe.to_text())
    assert torch.equal(model.run(recipe.y, recipe.sampling).pixels, result.pixels)


@pytest.mark.parametrize("levels", [255, 65535])
def test_where_there_is_no_light_there_is_no_noise(levels: int) -> None:
    """An empty plane of a stack is given back, and not explained within a noise of nothing."""
    model, y = tiny_nuclei(), torch.zeros(1, 1, 8, 8)
    drawing = Drawing(model, y, model.sampling(2), levels)
    assert drawing.tolerance is None
    assert model.noise_level(y[0]).sigma == 0
    trip = RoundTrip(drawing.y, drawing.degradation, levels)
    for done in drawing.finished():
        trip.add(done.pixels[:1])
    assert trip.exact
    if levels == 255:
        result = model.upscale(y[0], samples=2)
        assert (result.gives_back, result.round_trip_exact) == (True, [True, True])


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_what_are_no_colours_are_samples_and_no_picture(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of two or four channels is no alpha."""
    prior = tiny_prior(replace(NUCLEI, channels=channels))
    model = HVAEResolver(prior, LREncoder(FAINT, prior.config).eval(), "tiny")
    y = torch.full((channels, 8, 8), 51 / 255)
    result = model.upscale(y, samples=1)
    assert result.pixels.shape == (1, channels, 32, 32)
    for side in (1024, 4):
        monkeypatch.setattr("cvdvae.restoration.recipe.MAX_SIDE", side)
        assert set(result.report()["input"]) == {"npy"}
        with pytest.raises(InputError, match=f"1 or 3 channels, not {channels}"):
            result.save(tmp_path / "out")
        drawn = list[float]()
        with pytest.raises(InputError, match=f"1 or 3 channels, not {channels}"):
            large.draw_to_folder(
                model, y, result.sampling, tmp_path / "out", on_pixels=drawn.append
            )
        assert not drawn
        assert not (tmp_path / "out").exists()


def test_a_picture_is_read_for_it(photos: Path) -> None:
    read, _ = cvdvae.load_image(photos / "0.png", tiny_nuclei().channels)
    assert torch.equal(read, torch.from_numpy(cells(0)).float()[None] / 255)


def test_colours_are_not_made_grey_without_a_word(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their luma weighs blue by 0.114: where light is counted, it would be a ninth of it."""
    grey, blue = tmp_path / "grey.png", tmp_path / "blue.png"
    Image.fromarray(cells(0)).convert("RGB").save(grey)
    dark = np.zeros_like(cells(0))
    Image.fromarray(np.stack([dark, dark, cells(0)], 2)).save(blue)
    assert cvdvae.load_image(grey, 1).notes == []
    for told in (cvdvae.load_image(blue, 1).notes, read_input(_without_noise(), blue).notes):
        assert any("its luma" in note for note in told)
    arguments = ("upscale", str(grey), str(blue), "--model", folder, "-n", "1")
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "blue.png: it is in colours: save the channel that you mean" in said
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["grey"]


def test_colours_are_not_measured_by_a_model_that_counts_light(photos: Path) -> None:
    """They are left out by name, also of `calibrate`, `evaluate` and `report`."""
    light = cells(0)
    Image.fromarray(np.stack([0 * light, 0 * light, light], 2)).save(photos / "0.png")
    H, failures = downscaling((32, 32), (8, 8), "bicubic"), dict[str, str]()
    seen = Selection(photos).as_seen_by(tiny_nuclei())
    assert len(list(seen.pairs(H, failures))) == 3
    (said,) = failures.values()
    assert said == f"{photos / '0.png'}: it is in colours: save the channel that you mean"
    assert len(list(Selection(photos).as_seen_by(_without_noise()).pairs(H, failures))) == 4


@pytest.mark.parametrize("how", [{}, {"jitter_side": 0.01}, {"random_crops": True}])
def test_colours_that_a_training_takes_the_luma_of_are_noted(
    how: dict[str, Any], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataConfig(str(photos), validation=1, **how)
    open_images(data, 32, channels=1)
    assert "luma" not in capsys.readouterr().err
    light = cells(1)
    Image.fromarray(np.stack([0 * light, 0 * light, light], 2)).save(photos / "1.png")
    open_images(data, 32, channels=1)
    assert capsys.readouterr().err.count("1.png is in colours: its luma was taken") == 1
    open_images(data, 32, channels=3)
    assert "luma" not in capsys.readouterr().err


def _without_noise() -> HVAEResolver:
    model = tiny_nuclei()
    model.photon_noise = None
    return model


def test_a_part_is_the_whole_there(y: torch.Tensor) -> None:
    model, y = tiny_nuclei(), y.repeat(1, 2, 2)
    whole = model.upscale(y, samples=1)
    part = PartDrawing(model, y, whole.sampling, Window(16, 16, 32, 32)).sample(0)
    apart = part.pixels.int() - whole.pixels[0, :, 16:48, 16:48].int()
    assert float(apart.abs().max()) <= 1


def test_large_images_go_into_files_of_one_channel(
    y: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.restoration.recipe.MAX_SIDE", 4)  # so that the input lies beside
    model, truth = tiny_nuclei(), torch.from_numpy(cells(7)).float()[None] / 255
    sampling = model.sampling(samples=2)
    result = large.draw_to_folder(model, y, sampling, tmp_path, truth)
    memory = model.run(y, sampling, truth)
    for i, pixels in enumerate(memory.pixels):
        saved = np.asarray(Image.open(tmp_path / f"sample_{i:02d}.png"))
        assert np.array_equal(saved, pixels[0].numpy())
    assert result.misfit == pytest.approx(memory.misfit, rel=1e-4)
    told = result.against_truth()
    assert told is not None
    assert told.sample_psnr == pytest.approx(memory.against_truth().sample_psnr, abs=1e-3)  # type: ignore[union-attr]


def test_commands_take_it(
    folder: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`upscale` of pictures, simulated and not, and of a 16-bit TIFF; `replay` of both."""
    out = tmp_path / "out"
    upscale = ("upscale", str(photos / "0.png"), "--model", folder, "-n", "2", "--out", str(out))
    assert run(*upscale, "--simulate", monkeypatch=monkeypatch) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "standard deviations of the input's noise" in said
    told = json.loads((out / "0" / "result.json").read_text())
    assert told["truth"] is not None
    assert min(told["misfit"]) > 0
    again = ("replay", str(out / "0" / "result.json"), "--trust-model", "--out", str(out / "b"))
    assert run(*again, monkeypatch=monkeypatch) == 0
    same = [(out / place / "sample_01.png").read_bytes() for place in ("0", "b")]
    assert same[0] == same[1]

    tifffile.imwrite(tmp_path / "s.tif", cells(1).astype(np.uint16) * 16)
    stack = ("upscale", str(tmp_path / "s.tif"), "--model", folder, "-n", "2", "--out", str(out))
    assert run(*stack, "--values", "0,4095", monkeypatch=monkeypatch) == 0
    drawn = tifffile.imread(out / "s" / "sample_00.tif")
    assert (drawn.dtype, drawn.shape) == (np.dtype(np.uint16), (128, 128))
    told = json.loads((out / "s" / "result.json").read_text())
    sigma = (float(tifffile.imread(tmp_path / "s.tif").mean()) / 4095 / PHOTONS) ** 0.5
    assert told["noise"] == pytest.approx([sigma * 4095], rel=1e-5)
    assert len(told["misfit"]) == 2


def test_who_names_no_range_is_told_which_light_is_assumed(
    folder: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing in the result tells that it was another; who names one, or simulates, knows."""
    tifffile.imwrite(tmp_path / "s.tif", cells(1).astype(np.uint16) * 16)
    tif, png = str(tmp_path / "s.tif"), str(photos / "0.png")
    arguments = ("--model", folder, "-n", "1", "--out", str(tmp_path / "out"))
    for given, count in (
        ((tif,), 1),
        ((png,), 1),
        ((tif, "--values", "dtype"), 1),
        ((tif, "--values", "0,4095"), 0),
        ((tif, "--simulate"), 0),
        ((png, "--simulate"), 0),
    ):
        assert run("upscale", *given, *arguments, monkeypatch=monkeypatch) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert said.count("the model assumes") == said.count("--values LOW,HIGH") == count, given
        assert count == 0 or "1000 photons" in said
    found = read_any(cvdvae.load(folder), tmp_path / "s.tif", how="percentiles")
    assert "the model assumes 1000 photons" in " ".join(found.notes)


def test_evaluation_and_calibration_see_its_noise(
    folder: str, photos: Path, tmp_path: Path
) -> None:
    model = cvdvae.load(folder)
    selection = Selection(photos, crop=32).as_seen_by(model)
    H = downscaling((32, 32), (8, 8), "bicubic")
    one, again = (selection.pair(photos / "0.png", H) for _ in range(2))
    assert torch.equal(one.y, again.y)
    clean = replace(selection, photons=0.0).pair(photos / "0.png", H)
    assert one.y.shape == (1, 8, 8)
    assert 0 < float((one.y - clean.y).abs().mean()) < 0.05

    small = tiny_nuclei()
    small.degradation = H  # images of 32×32, not of 192×192
    found = calibration(small, selection.pairs(H, {}), small.sampling(samples=3))
    assert found.images == 4

    met = replace(comparison(4, ["bicubic", "cvdvae"], Models(folder)), degradation=H)
    met = replace(met, methods=met.methods[1:])
    plan = Plan(Selection(photos, count=1, crop=32), (1.0,), 2)
    records, failures = evaluate(plan, [met], Judges(None, None, {}), tmp_path)
    assert not failures
    assert all(scores["ssim"] is not None for scores in records.values())


def test_the_page_refuses_it_in_one_sentence(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio")
    arguments = ("app", "--model", folder, "--port", str(free_port()))
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "the page shows pictures in colour, and" in told
    assert "has 1 channel: draw its samples with cvdvae upscale" in told
