"""The judge of inputs: an LR encoder that bounds how likely y is, where another one draws."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from safetensors.torch import load_file
from tiny import ENCODER, PRIOR, saved_resolver, tiny_flow, tiny_prior, tiny_resolver

from cvdvae.checkpoints.folder import expect, find, read_record, save_model
from cvdvae.checkpoints.loading import load_encoder, load_judge
from cvdvae.checkpoints.records import (
    Expected,
    FlowRecord,
    Judge,
    OneScaleRecord,
    SuperResolutionRecord,
)
from cvdvae.checkpoints.weights import WEIGHTS, digest
from cvdvae.configs import to_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.errors import CVDVAEWarning, WeightsError
from cvdvae.files import write_text
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.training.config import EncoderTraining, OptimConfig
from cvdvae.training.encoder import EncoderModule

SCALES = replace(ENCODER, scales=(4, 8), width=6)
"""Of a judge that knows two scales, and is smaller than what it judges for."""
EXPECTED = Expected(20, 2.0, {}, 0.0, {}, {})


@pytest.fixture
def judge_folder(model_folder: Path, tmp_path: Path) -> Path:
    """A judge on the prior of `model_folder`."""
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    shutil.copytree(model_folder / "prior", tmp_path / "judging" / "prior")
    weights = tiny_resolver(SCALES, seed=0).encoder.state_dict()
    save_model(tmp_path / "judging", replace(record, model=SCALES), weights)
    return tmp_path / "judging"


def loaded(folder: Path, scale: int | None = None) -> HVAEResolver:
    model = load(str(folder), scale=scale)
    assert isinstance(model, HVAEResolver)
    return model


def rejudged(folder: Path, prior: Path) -> Path:
    """The judge of a folder, as if it had been trained on another prior."""
    record = read_record(folder)
    assert isinstance(record, SuperResolutionRecord)
    weights = tiny_resolver(SCALES, seed=0).encoder.state_dict()
    save_model(folder, replace(record, prior_digest=digest(prior)), weights)
    return folder


def photos(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


def test_a_judge_tells_how_likely_an_image_is_and_changes_no_draw(
    model_folder: Path, judge_folder: Path
) -> None:
    before = loaded(model_folder)
    expect(str(model_folder), EXPECTED, str(judge_folder))
    after, judge = loaded(model_folder), loaded(judge_folder, 4)
    y = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    assert after.encoder is not after.judge
    for found, its_own, of_the_encoder in zip(
        after.evidence(y), judge.evidence(y), before.evidence(y), strict=True
    ):
        assert torch.equal(found, its_own)
        assert not torch.equal(found, of_the_encoder)
    draws = [model.upscale(y[0], samples=2).pixels for model in (before, after)]
    assert torch.equal(*draws)


def test_without_one_the_encoder_that_draws_judges(model_folder: Path) -> None:
    model = loaded(model_folder)
    assert model.judge is model.encoder
    assert model.networks == (model.prior, model.encoder)


def test_calibration_brings_a_judge_along_and_keeps_it(
    model_folder: Path, judge_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate = ["calibrate-doubt", "--model", str(model_folder), "--save"]
    calibrate += ["--data", str(photos(tmp_path / "photos"))]
    assert run(*calibrate, "--judge", str(judge_folder), monkeypatch=monkeypatch) == 0
    shutil.rmtree(judge_folder)
    judged = loaded(model_folder)
    assert judged.judge.config == SCALES
    first = judged.expected
    assert first is not None
    assert first.images == 40

    assert run(*calibrate, monkeypatch=monkeypatch) == 0
    again = loaded(model_folder)
    assert again.judge.config == SCALES
    assert again.expected == first


def test_further_training_keeps_the_judge_and_another_prior_does_not(
    judge_folder: Path, tmp_path: Path
) -> None:
    """And with the same weights what was found with it."""
    prior, out = judge_folder / "prior", tmp_path / "run"
    data, optim = DataConfig(str(tmp_path)), OptimConfig(steps=1, batch_size=2, warmup=0)
    training = EncoderTraining(ENCODER, str(prior), data, optim)
    module, model = EncoderModule(training, out), tmp_path / "model"
    module.export(model)
    expect(str(model), EXPECTED, str(judge_folder))
    before = loaded(model)
    module.export(model)
    again = loaded(model)
    assert (again.judge.config, again.expected) == (SCALES, EXPECTED)
    with torch.no_grad():
        for weight in module.best.parameters():
            weight.add_(1)
    module.export(model)
    assert (loaded(model).judge.config, loaded(model).expected) == (SCALES, None)
    assert not torch.equal(*(next(m.encoder.parameters()) for m in (before, loaded(model))))

    save_model(prior, read_record(prior), tiny_prior(seed=1).state_dict())
    EncoderModule(training, out).export(model)
    other = loaded(model)
    assert other.judge is other.encoder

    expect(str(model), EXPECTED, str(rejudged(judge_folder, prior)))
    assert loaded(model).judge.config == SCALES
    wider = replace(training, model=replace(ENCODER, scales=(8,)))
    EncoderModule(wider, out).export(model)
    other = loaded(model)
    assert other.judge is other.encoder


def test_a_judge_that_could_not_be_stored_leaves_the_one_before(
    model_folder: Path, judge_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(str(model_folder), EXPECTED, str(judge_folder))
    before = loaded(model_folder).judge.state_dict()
    weights = tiny_resolver(SCALES, seed=1).encoder.state_dict()
    save_model(judge_folder, read_record(judge_folder), weights)

    def full(path: Path, text: str) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("cvdvae.checkpoints.folder.write_text", full)
        with pytest.raises(OSError, match="no space"):
            expect(str(model_folder), EXPECTED, str(judge_folder))
    kept = loaded(model_folder).judge.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    own = model_folder / "judge-of-mine"
    own.mkdir()
    expect(str(model_folder), EXPECTED, str(judge_folder))
    now = loaded(model_folder).judge.state_dict()
    assert all(torch.equal(now[name], value) for name, value in weights.items())
    assert len(set(model_folder.glob("judge-*")) - {own}) == 1
    assert own.is_dir()


def test_other_weights_than_those_that_judged_are_refused(
    model_folder: Path, judge_folder: Path
) -> None:
    path = expect(str(model_folder), EXPECTED, str(judge_folder))
    record = read_record(path.parent)
    assert isinstance(record, SuperResolutionRecord)
    assert record.judge is not None
    own = path.parent / record.judge.encoder
    save_model(own, read_record(own), tiny_resolver(SCALES, seed=1).encoder.state_dict())
    with pytest.raises(WeightsError, match="found with other weights than"):
        load(str(model_folder))


def test_a_judge_that_another_version_bundled_is_gone_and_the_model_still_draws(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = expect(str(model_folder), EXPECTED)
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    for judge in (Judge("celeba64-judge-x4", "0" * 64), Judge("celeba64-judge", "0" * 64)):
        write_text(path, to_yaml(replace(record, judge=judge)))
        with pytest.warns(CVDVAEWarning, match=f"judge '{judge.encoder}'.*not here any more"):
            model = loaded(model_folder)
        assert model.expected is None
        assert model.judge is model.encoder
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "small.png")
    arguments = ["--model", str(model_folder), "--out", str(tmp_path / "out"), "-n", "1"]
    assert run("upscale", str(tmp_path / "small.png"), *arguments, monkeypatch=monkeypatch) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: " in told
    assert "does not examine its input" in told
    assert "UserWarning" not in told


def test_what_cannot_judge_is_refused_in_one_sentence(
    model_folder: Path,
    judge_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = read_record(judge_folder)
    assert isinstance(record, SuperResolutionRecord)
    weights = tiny_resolver(SCALES).encoder.state_dict()
    flow = tiny_flow().flow
    save_model(tmp_path / "flow", FlowRecord("hcflow", flow.config), flow.state_dict())
    save_model(tmp_path / "foreign", replace(record, prior_digest="0" * 64), weights)
    narrow = replace(record, model=replace(SCALES, scales=(8, 16)))
    save_model(tmp_path / "narrow", narrow, weights)
    folder = photos(tmp_path / "photos")
    told = (model_folder / "config.yaml").read_text()
    for judge, reason in {
        "flow": "a judge of inputs is an LR encoder",
        "foreign": "was trained on another prior than the model's",
        "narrow": "enlarged by 8, 16",
        "nowhere": "unknown model",
    }.items():
        arguments = ["--model", str(model_folder), "--judge", str(tmp_path / judge), "--save"]
        code = run("calibrate-doubt", *arguments, "--data", str(folder), monkeypatch=monkeypatch)
        assert code == 1
        assert reason in " ".join(capsys.readouterr().err.split())
    assert (model_folder / "config.yaml").read_text() == told


def test_photographs_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", "photos-x4", "--judge", "photos-sr", "--data", str(tmp_path)]
    assert run("calibrate-doubt", *arguments, monkeypatch=monkeypatch) == 1
    assert "--judge goes with models of one size" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_a_bundled_model_that_was_trained_on_its_draws_is_judged_by_another(scale: int) -> None:
    record, judge = read_record(find(f"celeba64-x{scale}")), "celeba64-judge"
    assert isinstance(record, SuperResolutionRecord)
    assert record.judge == Judge(judge, digest(find(judge)))


def test_what_to_expect_is_found_of_images_as_the_model_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One channel, where they have three; too few of them, which is said when all were judged."""
    prior = tiny_prior(replace(PRIOR, channels=1))
    grey = HVAEResolver(prior, LREncoder(ENCODER, prior.config), "grey")
    folder, photos = saved_resolver(tmp_path / "grey", grey), tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (40 * i, 90, 200)).save(photos / f"{i}.png")
    given = ["calibrate-doubt", "--model", str(folder), "--data", str(photos)]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert "at least 20 images are needed" in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_is_called_like_a_bundled_model_is_that_folder(
    model_folder: Path, judge_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``./`` in front; a name alone is the bundled model's."""
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder / "prior", "photos")
    shutil.copytree(judge_folder, "celeba64-judge")
    judge = Judge("./celeba64-judge", digest(judge_folder))
    record = replace(record, prior="./photos", expected=EXPECTED, judge=judge)
    save_model(Path("celeba64-x4"), record, load_file(model_folder / WEIGHTS))
    one = OneScaleRecord("one-scale", "./celeba64-x4", digest(model_folder), 4)
    write_text(Path("one/config.yaml"), to_yaml(one))
    for name in ("./celeba64-x4", "one"):
        mine = load_encoder(name)
        assert mine.prior.config == PRIOR
        assert mine.judge is not None
        assert mine.judge.config == SCALES
    data, optim = DataConfig("unread"), OptimConfig(1, warmup=0)
    module = EncoderModule(EncoderTraining(ENCODER, "./photos", data, optim), Path("run"))
    for name, value in load_file("photos/model.safetensors").items():
        assert torch.equal(module.prior.state_dict()[name], value)


def test_one_scale_of_an_encoder_is_no_judge() -> None:
    with pytest.raises(WeightsError, match="'photos-x4' is one scale of an LR encoder: name that"):
        load_judge("photos-x4", tiny_prior(), "", 4)
