"""The parts of a training by themselves: what it logs, says and stops at, and what it degrades."""

import math
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, NamedTuple, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command import run
from tiny import (
    ENCODER,
    FLOW,
    PHOTOS,
    PRIOR,
    RESTORING,
    matrix_of,
    saved_prior,
    saved_resolver,
    saved_restorer,
    tiny_photos,
    tiny_prior,
)
from torch import Tensor

from cvdvae.checkpoints.devices import has_fast_bf16
from cvdvae.checkpoints.folder import expect, read_record, recommend, save_model
from cvdvae.checkpoints.loading import load_prior
from cvdvae.checkpoints.records import (
    Expected,
    PriorRecord,
    Recommended,
    RestorerRecord,
    SuperResolutionRecord,
)
from cvdvae.checkpoints.weights import digest
from cvdvae.configs import from_dict, to_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.data.images import Key
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.block_dct import BlockDCT
from cvdvae.degradations.blur import Blur, gaussian, motion
from cvdvae.degradations.composed import Composed
from cvdvae.degradations.mask import Mask
from cvdvae.errors import ConfigError, InputError, OutputError, WeightsError
from cvdvae.gaussian.noise import GlobalNoise
from cvdvae.hvae import HVAEConfig
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.evidence import BEYOND, evidence
from cvdvae.restoration.load import load
from cvdvae.restoration.restoring import usual_noise
from cvdvae.restoration.tolerance import PhotonNoise, explain
from cvdvae.training import (
    EncoderTraining,
    FlowTraining,
    OptimConfig,
    PriorTraining,
    _settings,
    config_path,
    train_encoder,
)
from cvdvae.training.config import EnergyConfig
from cvdvae.training.data import TrainingData
from cvdvae.training.degrade import (
    DEGRADATIONS,
    LEAST_NOISE,
    MOST_NOISE,
    Degraded,
    degraded,
    downscaling_by,
    kinds,
    random_blur,
    random_half,
    random_holes,
    random_jpeg,
    random_motion,
    random_pixels,
    random_small_jpeg,
)
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.energy import Energies, EnergyOfDraws, energy, patches
from cvdvae.training.flow import FlowModule
from cvdvae.training.means import Means
from cvdvae.training.module import Training, validation_batch
from cvdvae.training.order import StepBatches
from cvdvae.training.pictures import save_rows
from cvdvae.training.prior import PriorModule
from cvdvae.training.progress import Bar, Lines, progress
from cvdvae.training.run import AtomicCheckpoint, ExportAtValidation, fit, processes
from cvdvae.training.start import say_start
from cvdvae.training.stopping import EndAtSignal, Stopped, outlive_signals
from cvdvae.training.tasks import Anything, Case, Shrinking, Task, _mean, seed_of, task_of

UNREAD: Any = object()
"""What is handed on, and never looked at."""
DATA, OPTIM = DataConfig("nowhere"), OptimConfig(steps=10, batch_size=4, warmup=0)
SIDE = 48
SIDES = (1, 3, 8)


def logged_by(module: Training, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What a module will log, and whether it is of all processes."""
    alike: dict[str, bool] = {}
    monkeypatch.setattr(
        type(module),
        "log",
        lambda self, name, value, prog_bar=False, sync_dist=False: alike.update({name: sync_dist}),
    )
    return alike


def alone(module: Training, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Put a module where a single process would train it; what it logs comes into the result."""
    strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: tensor)
    place = SimpleNamespace(world_size=1, global_rank=0, global_step=3, strategy=strategy)
    logged: dict[str, float] = {}
    monkeypatch.setattr(type(module), "trainer", place)
    monkeypatch.setattr(type(module), "global_step", 3)
    monkeypatch.setattr(type(module), "global_rank", 0)
    monkeypatch.setattr(
        type(module),
        "log",
        lambda self, name, value, **_: logged.update({name: torch.as_tensor(value).item()}),
    )
    return logged


def validate(module: Training, x: Tensor, batch_idx: int = 0) -> None:
    """One batch, as a whole validation."""
    module.on_validation_epoch_start()
    with torch.no_grad():
        module.validation_step(x, batch_idx)
    module.on_validation_epoch_end()


@pytest.fixture
def faces() -> Tensor:
    return some_faces()


def some_faces() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@cache
def pictured() -> list[Case]:
    """Two faces behind every degradation."""
    return Anything(0, 3).pictured(some_faces()[:2])


def test_a_validation_of_the_prior_logs_its_bound_and_its_parts(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path)
    logged = alone(module, monkeypatch)
    validate(module, faces)
    with torch.no_grad():
        elbo = module.trained.elbo(faces, module.validation_noise(faces, 0))
        again = module.trained.reconstruct(faces, module.validation_noise(faces, 0))
    assert logged["validation_bits_per_dim"] == pytest.approx(float(elbo.bits_per_dim.mean()))
    error = (again - faces).double().square().flatten(1).mean(1)
    wanted = float((-10 * error.log10()).mean())
    assert logged["reconstruction_psnr"] == pytest.approx(wanted, rel=1e-5)
    parts = [value for name, value in logged.items() if name.startswith("kl_at_stride_")]
    assert len(parts) == 3
    assert sum(parts) == pytest.approx(logged["validation_kl_bits_per_dim"], rel=1e-5)
    assert (tmp_path / "samples" / "step_0000003.png").exists()


def test_pictures_of_a_prior_hold_samples_at_two_temperatures(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path)
    alone(module, monkeypatch)
    asked: list[float] = []
    sample = type(module.trained).sample

    def sampled(*args: Any, **options: Any) -> Tensor:
        if "temperature" in options:
            asked.append(options["temperature"])
            assert options["mean"]
        return sample(*args, **options)

    monkeypatch.setattr(type(module.trained), "sample", sampled)
    validate(module, faces)
    assert asked == [0.7, 1.0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is asked in its own way")
@pytest.mark.parametrize(
    ("told", "fast"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"sve_bf16": True}, True),
        ({"avx512_bf16": False}, False),
    ],
)
def test_one_way_to_compute_bfloat16_is_enough(
    told: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    assert has_fast_bf16("cpu") is fast
    assert has_fast_bf16("mps") is None
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_fast_bf16("cpu") is None


def test_a_run_leaves_what_is_documented_and_nothing_else(faces: Tensor, tmp_path: Path) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for i, face in enumerate(faces):
        to_pil(face).save(images / f"{i}.png")
    optim = replace(OPTIM, steps=2, batch_size=2)
    config = PriorTraining(PRIOR, DataConfig(str(images), validation=2), optim)
    fit(PriorModule(config, run), TrainingData(config.data, optim, 16))
    left = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert left == {"model", "samples", "log", "last.ckpt"}
    assert {path.name for path in (run / "log").glob("*/*")} == {"metrics.csv"}
    assert {path.name for path in (run / "model").iterdir()} == {"config.yaml", "model.safetensors"}


@pytest.mark.parametrize("steps", [3, 60])
def test_a_training_that_skips_every_step_ends_and_says_so(
    steps: int, faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first validation or its end, and not after the hours that it was to take."""
    for i, face in enumerate(faces):
        to_pil(face).save(tmp_path / f"{i}.png")
    optim = replace(OPTIM, steps=steps, batch_size=1, skip_norm=1e-6, validate_every=20)
    config = PriorTraining(PRIOR, DataConfig(str(tmp_path), validation=2), optim)
    (tmp_path / "run.yaml").write_text(to_yaml(config))
    said: list[str] = []
    monkeypatch.setattr("cvdvae.cli.common.complain", said.append)
    arguments = ("--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "run"))
    assert run("train", "prior", *arguments, monkeypatch=monkeypatch) == 1
    assert f"all {min(steps, 20)} steps so far were skipped" in said[0]
    assert "beyond skip_norm, 1e-06: raise it" in said[0]
    assert not (tmp_path / "run" / "model").exists()


def test_a_training_that_has_diverged_ends_and_says_so(faces: Tensor, tmp_path: Path) -> None:
    for i, face in enumerate(faces):
        to_pil(face).save(tmp_path / f"{i}.png")
    optim = replace(OPTIM, steps=90, batch_size=1, warmup=0, learning_rate=1e30)
    config = PriorTraining(PRIOR, DataConfig(str(tmp_path), validation=2), optim)
    module = PriorModule(config, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"the last 50 steps were skipped.*lower learning_rate"):
        fit(module, TrainingData(config.data, optim, 16))
    assert 50 <= int(module.skipped) < 60
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_pictures_of_more_channels_than_colours_show_the_first(
    channels: int, tmp_path: Path
) -> None:
    images = torch.rand(6, 16, 16, channels, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "images.npy", (255 * images).numpy().astype(np.uint8))
    model, optim = replace(PRIOR, channels=channels), replace(OPTIM, steps=1, batch_size=2)
    config = PriorTraining(model, DataConfig(str(tmp_path / "images.npy"), validation=2), optim)
    module = PriorModule(config, tmp_path / "run")
    fit(module, TrainingData(config.data, optim, 16, channels), precision="32-true")
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    shown, first = (tmp_path / f"{name}.png" for name in ("shown", "first"))
    for path, of in ((shown, channels), (first, 1)):
        save_rows(path, [("images", images.movedim(-1, 1)[:, :of])])
    assert shown.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_error_at_temperature_0_counts_as_much_as_asked(
    weight: float, faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FlowModule(FlowTraining(FLOW, DATA, OPTIM, weight), tmp_path)
    logged = alone(module, monkeypatch)
    torch.manual_seed(0)
    loss = module.training_step(faces, 0).item()
    assert ("pixel_error" in logged) is (weight > 0)
    error = logged.get("pixel_error", 0.0)
    assert loss == pytest.approx(logged["bits_per_dim"] + weight * error)
    if weight:
        with torch.no_grad():
            y = shrink_to_8_bits(faces, module.degradation)
            torch.manual_seed(0)
            sample = module.trained.sample(y, module.training_noise(), temperature=0)
        assert error == pytest.approx(float((sample - faces).abs().mean()), rel=1e-4)


def test_pictures_of_a_flow_hold_answers_and_the_truth(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an untrained flow says: not finite is grey, and the rest lies in [0, 1]."""
    module = FlowModule(FlowTraining(FLOW, DATA, OPTIM), tmp_path)
    alone(module, monkeypatch)
    shown: list[tuple[str, Tensor]] = []
    monkeypatch.setattr("cvdvae.training.flow.save_rows", lambda path, rows: shown.extend(rows))
    wild = torch.full((8, 3, 16, 16), 3.0)
    wild[0], wild[1] = math.nan, -3
    monkeypatch.setattr(type(module.trained), "sample", lambda *_: wild)
    validate(module, faces.repeat(3, 1, 1, 1))
    assert all(len(images) == 8 for _, images in shown)
    labels = [label for label, _ in shown]
    temperatures = [f"answers at temperature {t}" for t in ("0", "0.5", "0.8")]
    assert labels == ["seen", "bicubic", *temperatures, "the truth"]
    answers = [images for label, images in shown if label.startswith("answers")]
    for images in answers:
        assert [float(image.unique()) for image in images] == [0.5, 0, *[1] * 6]
    assert torch.equal(shown[-1][1][:4], faces)


def test_the_encoder_logs_each_scale_and_their_mean(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    logged = alone(module, monkeypatch)
    validate(module, faces)
    assert logged["validation_kl_at_x4"] == logged["validation_kl_bits_per_dim"] > 0
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == [
        "step_0000003_x4.png"
    ]


def test_the_energy_score_is_least_for_the_spread_of_the_truth() -> None:
    """A proper score: in the mean over x, draws from where x comes from have the least."""
    generator = torch.Generator().manual_seed(0)
    x, first, second = (torch.randn(64, 3, 16, 16, generator=generator) / 9 for _ in range(3))
    scores = {
        w: float(energy(w * first, w * second, x, patches).mean()) for w in (0.5, 0.8, 1, 1.25, 2)
    }
    assert min(scores, key=scores.__getitem__) == 1
    assert float(energy(x, x, x, patches).max()) < 1e-3
    alike = [
        F.unfold(first - x, side, stride=max(1, side // 2)).square().mean(1).sqrt().mean()
        for side in SIDES
    ]
    expected = 255 * float(torch.stack(alike).mean())
    assert float(energy(first, first, x, patches).mean()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("weights", [{"pixels": 2.0}, {"features": 3.0}])
def test_an_encoder_is_trained_on_the_energy_of_its_consistent_draws(
    weights: dict[str, float], faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = str(saved_prior(tmp_path / "prior"))
    plain = EncoderTraining(ENCODER, prior, DATA, OPTIM)
    judged: list[Tensor] = []

    def seen(self: object, x: Tensor) -> list[Tensor]:
        judged.append(x)
        return [x.square()]

    monkeypatch.setattr("cvdvae.metrics.perceptual.LEAST", 16)  # what follows sees any size
    monkeypatch.setattr("cvdvae.metrics.perceptual.LPIPS.__init__", lambda *_: None)
    monkeypatch.setattr("cvdvae.metrics.perceptual.LPIPS.embedded", seen)
    losses, logs = [], []
    for config in (plain, replace(plain, energy=EnergyConfig(**weights))):  # type: ignore[arg-type]
        module = EncoderModule(config, tmp_path / "run")
        logs.append(alone(module, monkeypatch))
        torch.manual_seed(3)
        losses.append(module.training_step(faces, 0))
    ((kind, weight),) = weights.items()
    assert not [name for name in logs[0] if "energy" in name]
    found = {name: float(value) for name, value in logs[1].items() if "energy" in name}
    assert list(found) == [f"energy_of_{kind}"]
    added = weight * found[f"energy_of_{kind}"]
    assert added > 0
    assert losses[1].item() == pytest.approx(losses[0].item() + added, rel=1e-5)
    losses[1].backward()
    assert all(p.grad is not None for p in module.trained.heads.parameters())
    validate(module, faces)
    assert float(logs[1][f"validation_energy_at_x4_of_{kind}"]) > 0
    if kind == "features":
        case = module.task.training(faces, 0, 0)
        H = BicubicDownscaling.of_scale((16, 16), 4)
        assert float((H.A(judged[0].detach()) - case.evidence).abs().max()) < 1e-5


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_draws_behind_anything_are_judged_as_they_will_be_shown(kind: str, faces: Tensor) -> None:
    """``E[x | z, y]``, by dense algebra, whose gradient is that of an affine map."""
    x = faces[:2]
    number = list(DEGRADATIONS).index(kind)
    case = pictured()[number]
    assert case.names == [kind] * 2
    seen = degraded(x, seed_of(number), kind)
    generator = torch.Generator().manual_seed(2)
    mean = torch.rand(x.shape, generator=generator).requires_grad_()
    ended = case.ended(mean)
    H = matrix_of(seen.degradation, (3, 16, 16))
    noise = (seen.sigma or usual_noise(seen.degradation)) / (RestorerRecord.pixel_std / 255)
    inside = H @ H.T + noise**2 * torch.eye(len(H), dtype=H.dtype)
    gain = H.T @ torch.linalg.pinv(inside, hermitian=True, rtol=1e-9)
    flat, y = mean.detach().double().flatten(1).T, seen.y.double().flatten(1).T
    expected = (flat + gain @ (y - H @ flat)).T.view_as(x)
    assert torch.allclose(ended.double(), expected, atol=2e-3)
    assert float((ended - mean).detach().abs().max()) > 0.01
    v = torch.randn(x.shape, generator=generator)
    ended.backward(v)
    assert mean.grad is not None
    back = v.double().flatten(1).T
    expected = (back - H.T @ (gain.T @ back)).T.view_as(x)
    assert torch.allclose(mean.grad.double(), expected, atol=2e-2)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (PRIOR, "at least 31×31 pixels, not of 16×16"),
        (replace(PRIOR, channels=2, image_size=32), "of 1 or 3 channels, not of 2"),
    ],
)
def test_what_lpips_cannot_see_is_refused_before_the_training(
    prior: HVAEConfig, message: str, tmp_path: Path
) -> None:
    """Before AlexNet's weights are asked for, too."""
    place = str(saved_prior(tmp_path / "prior", tiny_prior(prior)))
    training = EncoderTraining(ENCODER, place, DATA, OPTIM, energy=EnergyConfig(features=1.0))
    with pytest.raises(ConfigError, match=message):
        EncoderModule(training, tmp_path / "run")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"pixels": -1.0}, "must be a number from 0"),
        ({"features": math.nan}, "must be a number from 0"),
        ({"pixels": 1.0, "lpips": "a.safetensors"}, "lpips means nothing without features"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EnergyConfig(**weights)


def test_a_checkpoint_tells_whose_it_is_and_leaves_out_the_prior(tmp_path: Path) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["identity"] == module.identity()
    assert checkpoint["identity"]["prior_digest"] == digest(prior)
    assert not any(name.startswith("prior.") for name in checkpoint["state_dict"])
    module.on_load_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == module.state_dict().keys()


def test_an_encoder_is_not_exported_beside_another_prior_than_it_was_trained_on(
    tmp_path: Path,
) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    module.export(tmp_path / "model")
    assert digest(tmp_path / "model" / "prior") == digest(prior)
    record = read_record(tmp_path / "model")
    assert isinstance(record, SuperResolutionRecord)
    assert record.prior == "prior"
    other = tiny_prior(seed=1)
    save_model(prior, PriorRecord("prior", other.config), other.state_dict())
    with pytest.raises(WeightsError, match="has changed since this training began"):
        module.export(tmp_path / "again")
    for _ in ("changed", "gone"):  # what is there already is as it was
        module.export(tmp_path / "model")
        assert digest(tmp_path / "model" / "prior") == module.prior_digest
        shutil.rmtree(prior, ignore_errors=True)


def test_a_resumed_training_takes_the_rates_of_its_configuration(
    faces: Tensor, tmp_path: Path
) -> None:
    images, out = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for i, face in enumerate(faces):
        to_pil(face).save(images / f"{i}.png")
    optim = replace(OPTIM, steps=2, batch_size=2, learning_rate=1e-3)
    config = PriorTraining(PRIOR, DataConfig(str(images), validation=2), optim)
    fit(PriorModule(config, out), TrainingData(config.data, optim, 16))
    changed = replace(
        optim, steps=3, decay=2, learning_rate=1e-4, betas=(0.5, 0.6), weight_decay=0.25
    )
    used: list[dict[str, Any]] = []

    class Watched(PriorModule):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            (group,) = self.trainer.optimizers[0].param_groups
            used.append(dict(group))
            super().optimizer_step(*args, **kwargs)

    fit(Watched(replace(config, optim=changed), out), TrainingData(config.data, changed, 16))
    (group,) = used
    assert group["lr"] == pytest.approx(1e-4 * changed.rate_at(2))
    assert (tuple(group["betas"]), group["weight_decay"]) == ((0.5, 0.6), 0.25)


def test_an_export_keeps_what_was_found_of_the_model(tmp_path: Path) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    model = tmp_path / "model"
    module.export(model)
    warm = Recommended(0.5, 1.2, 0.4)
    proper = Expected(9, 1.0, {"flip": -1.0}, 0.5, {"turned": 0.1}, {"turned": 0.2})
    recommend(str(model), warm)
    expect(str(model), proper)
    module.export(model)
    same = read_record(model)
    assert isinstance(same, SuperResolutionRecord)
    assert (same.recommended, same.expected) == (warm, proper)
    with torch.no_grad():
        for weight in module.best.parameters():
            weight.add_(1)
    module.export(model)
    other = read_record(model)
    assert isinstance(other, SuperResolutionRecord)
    assert warm.calibrated
    assert (other.recommended, other.expected) == (replace(warm, calibrated=False), None)


def test_an_export_that_ends_between_weights_and_record_calls_nothing_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    model = tmp_path / "model"
    module.export(model)
    recommend(str(model), Recommended(0.5, 1.2, 0.4))
    expect(str(model), Expected(9, 1.0, {"flip": -1.0}, 0.5, {"turned": 0.1}, {"turned": 0.2}))
    with torch.no_grad():
        for weight in module.best.parameters():
            weight.add_(1)

    def full(*_: object) -> None:
        raise OutputError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("cvdvae.checkpoints.folder.write_text", full)
        with pytest.raises(OutputError):
            module.export(model)
    for _ in range(2):  # and what goes on from there does not either
        record = read_record(model)
        assert isinstance(record, SuperResolutionRecord)
        assert record.recommended == Recommended(0.5, 1.2, 0.4, calibrated=False)
        assert record.expected is None
        module.export(model)


def test_a_record_that_cannot_be_read_is_replaced_as_it_was_said(tmp_path: Path) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    module.export(tmp_path / "model")
    config = tmp_path / "model" / "config.yaml"
    whole = config.read_text()
    config.write_text(f"{whole}photns: 3\n")
    module.export(tmp_path / "model")
    assert config.read_text() == whole


@pytest.mark.parametrize("change", ["scale", "prior", "kind"])
def test_an_export_keeps_nothing_that_was_found_of_another_model(
    change: str, tmp_path: Path
) -> None:
    model, first = tmp_path / "model", str(saved_prior(tmp_path / "prior"))
    EncoderModule(EncoderTraining(ENCODER, first, DATA, OPTIM), tmp_path / "run").export(model)
    recommend(str(model), Recommended(0.5, 1.2, 0.4))
    config, prior = ENCODER, first
    if change == "scale":
        config = replace(ENCODER, scales=(8,), groups=3)
    elif change == "prior":
        prior = str(saved_prior(tmp_path / "other", tiny_prior(seed=1)))
    training = EncoderTraining(config, prior, DATA, OPTIM)
    if change == "kind":
        training = replace(training, model=RESTORING, degradations="any")
    EncoderModule(training, tmp_path / "run").export(model)
    record = read_record(model)
    assert not isinstance(record, PriorRecord)
    assert record.recommended == Recommended()


def test_an_export_of_a_flow_at_another_scale_keeps_nothing(tmp_path: Path) -> None:
    for flow in (FLOW, replace(FLOW, scale=2)):
        module = FlowModule(FlowTraining(flow, DATA, OPTIM), tmp_path / "run")
        module.export(tmp_path / "model")
        record = read_record(tmp_path / "model")
        assert not isinstance(record, PriorRecord)
        assert record.recommended == Recommended()
        recommend(str(tmp_path / "model"), Recommended(0.5))


@pytest.mark.parametrize("high", [0.5, 1.0], ids=["inside", "cut"])
def test_the_conditional_mean_has_the_gradient_of_what_it_computes(high: float) -> None:
    """Also where y was cut at 1, and Hμ beyond it is no misfit."""
    H = BicubicDownscaling((8, 8), (4, 4))
    y = torch.full((1, 3, 4, 4), high, dtype=torch.float64)
    y[..., 1:3] = 0.25
    generator = torch.Generator().manual_seed(0)
    mean = (y.mean() + torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=generator)) / 1.2
    seen = Degraded(y, H, 0.05)
    assert bool((H.A(mean) > 1).any()) == (high == 1)
    assert torch.autograd.gradcheck(lambda x: _mean(x, seen, 0.04), mean.requires_grad_())


def test_draws_in_faint_light_are_judged_as_they_are_answered(faces: Tensor) -> None:
    """By E[x | z, y] of every image at its own noise, and not pulled onto it."""
    noise = PhotonNoise(50.0, 4 / 255)
    task = task_of(EncoderTraining(ENCODER, "x", DATA, OPTIM, photons=50.0), 3, 16, 4.0)
    bright, black = faces[:1], torch.zeros_like(faces[:1])
    case = task.training(torch.cat([bright, black]), 0, 0)
    x = torch.cat([0.9 * bright, black + 0.1])
    H = BicubicDownscaling((16, 16), (4, 4))
    (light, dark), (of_light, of_dark) = case.evidence.split(1), case.ended(x).split(1)
    answer = explain(x[:1], light, H, noise.tolerance(light))
    torch.testing.assert_close(of_light.clamp(0, 1), answer, atol=1e-5, rtol=0)
    assert float((H.A(of_light) - light).abs().max()) > 0.01
    torch.testing.assert_close(H.A(of_dark), dark, atol=1e-5, rtol=0)  # black has no photons


def test_every_seed_degrades_in_its_own_way(faces: Tensor) -> None:
    first, again, other = (Anything(seed, 3).training(faces, 5, 0) for seed in (1, 1, 2))
    assert torch.equal(first.evidence, again.evidence)
    assert not torch.equal(first.evidence, other.evidence)


def test_every_process_and_step_has_photons_of_its_own() -> None:
    """And leaves the noise of the latents, which all processes draw alike, as it was."""
    config = EncoderTraining(ENCODER, "x", DATA, OPTIM, photons=50.0)
    x = torch.full((64, 3, 16, 16), 0.5)

    def seen(seed: int, step: int, rank: int) -> Tensor:
        task = task_of(replace(config, optim=replace(OPTIM, seed=seed)), 3, 16, 10.0)
        torch.manual_seed(7)  # as `Training.on_train_batch_start`, on all processes
        y = task.training(x, step, rank).evidence
        after = torch.rand(3)
        assert torch.equal(after, torch.rand(3, generator=torch.Generator().manual_seed(7)))
        return y

    y = seen(0, 3, 0)
    assert torch.equal(y, seen(0, 3, 0))
    for other in (seen(0, 3, 1), seen(0, 4, 0), seen(1, 3, 0)):
        apart = torch.corrcoef(torch.stack([y.flatten(), other.flatten()]))[0, 1]
        assert abs(float(apart)) < 0.07  # four standard deviations


def test_photons_go_with_shrinking_alone() -> None:
    with pytest.raises(ConfigError, match="photons go with images that are shrunk"):
        EncoderTraining(RESTORING, "x", DATA, OPTIM, degradations="any", photons=100.0)


def test_a_run_that_goes_on_starts_from_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior = str(saved_prior(tmp_path / "prior"))
    config = PriorTraining(PRIOR, DATA, OPTIM, start_from=prior)
    PriorModule(config, tmp_path)
    assert "starts from the weights of" in capsys.readouterr().out
    (tmp_path / "last.ckpt").touch()
    PriorModule(config, tmp_path)
    assert not capsys.readouterr().out


def test_pictures_of_shrunk_images_are_of_the_first_batch_alone(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    alone(module, monkeypatch)
    validate(module, faces, 1)
    assert not (tmp_path / "run" / "samples").exists()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of what an encoder is told, which takes its time, H^T y within its bounds."""
    monkeypatch.setattr(
        "cvdvae.training.tasks.evidence",
        lambda H, y, sigma: H.A_adjoint(y).clamp(-BEYOND, 1 + BEYOND).repeat(1, 3, 1, 1),
    )


@pytest.mark.usefixtures("quick")
def test_processes_find_and_log_the_same_whatever_images_they_have(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five images, of which the first of two has three, in two batches: what one would log."""
    prior = str(saved_prior(tmp_path / "prior"))
    config = EncoderTraining(RESTORING, prior, DATA, OPTIM, degradations="any")
    x, pictures = torch.cat([faces, 1 - faces[:1]]), list[str]()
    monkeypatch.setattr(
        EncoderModule, "_picture", lambda _, x, case: pictures.append(case.names[0])
    )
    make = partial(EncoderModule, config, tmp_path)
    (alone,) = processes_log(make, x, 1)
    first, second = processes_log(make, x, 2)
    seen = [f"validation_kl_at_{kind}" for kind in [*DEGRADATIONS][:5]]
    assert {*first} == {*second} == {*seen, "validation_kl_bits_per_dim"}
    assert first == second == pytest.approx(alone, rel=1e-4)
    assert alone["validation_kl_bits_per_dim"] == pytest.approx(
        sum(alone[name] for name in seen) / 5
    )
    assert pictures == [*DEGRADATIONS] * 2


def processes_log(make: Callable[[], Training], x: Tensor, world: int) -> list[dict[str, float]]:
    """What each of some processes logs of a validation whose images they share."""
    tables: list[Tensor] = []

    def reduce(table: Tensor, reduce_op: str) -> Tensor:
        assert reduce_op == "sum"
        tables.append(table)
        return torch.stack(tables[-world:]).sum(0)

    def keep(
        log: dict[str, float], name: str, value: Any, prog_bar: bool, sync_dist: bool = False
    ) -> None:
        assert sync_dist
        log[name] = float(value)

    modules, logs = [make() for _ in range(world)], [dict[str, float]() for _ in range(world)]
    for rank, module in enumerate(modules):
        module.log = partial(keep, logs[rank])  # type: ignore[method-assign]
        place = SimpleNamespace(world_size=world, global_rank=rank, global_step=3)
        place.strategy = SimpleNamespace(reduce=reduce)
        module._trainer = cast(Any, place)
        module.on_validation_epoch_start()
        with torch.no_grad():
            shares = x[rank::world].split(validation_batch(module.optim, world))
            for i, share in enumerate(shares):
                module.validation_step(share, i)
    for module in modules * 2:  # what is told the second time is of all
        module.on_validation_epoch_end()
    return logs


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_validated_and_every_kind_comes(channels: int, faces: Tensor) -> None:
    names = kinds(channels)
    assert len(names) == (9 if channels == 1 else 11)
    x, task = faces[:1, :channels].expand(len(names), -1, -1, -1), Anything(0, channels)
    found: dict[int, str] = {}
    for rank in (0, 1):  # of two processes, each with batches
        numbers = list(range(rank, len(x), 2))
        for share in filter(None, (numbers[:3], numbers[3:])):
            for case in task.validation(x[: len(share)], share):
                assert len(case.evidence) == len(share)
                found |= dict(zip(share, case.names, strict=True))
    assert found == dict(enumerate(names))


LAYOUTS = ((1, 4), (1, 7), (2, 4), (2, 6))
"""Numbers of processes, and sizes of the batch that they share."""
FAINT = EncoderTraining(ENCODER, "x", DATA, OPTIM, photons=50.0)
ANY = EncoderTraining(RESTORING, "x", DATA, OPTIM, degradations="any")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("config", [FAINT, ANY], ids=["photons", "any"])
def test_what_happens_to_a_validation_image_depends_on_its_number_alone(
    config: EncoderTraining, faces: Tensor
) -> None:
    """On which process and in which batch it is changes no bit, and each has its own way."""
    task, x = task_of(config, 3, 16, 10.0), faces[:1].expand(19, -1, -1, -1)
    seen = {layout: validated(task, x, *layout) for layout in LAYOUTS}
    first = seen[LAYOUTS[0]]
    assert sorted(first) == list(range(19))
    for other in seen.values():
        assert len(other) == len(first)
        for n, one in other.items():
            assert one.name == first[n].name
            assert torch.equal(one.evidence, first[n].evidence)
            assert torch.equal(one.ended, first[n].ended)
    ways = {(one.evidence.numpy().tobytes(), one.ended.numpy().tobytes()) for one in first.values()}
    assert len(ways) >= 18  # of the same image; two may be shrunk alike, and without noise


class Validated(NamedTuple):
    """What happened to one image."""

    name: str
    evidence: Tensor
    ended: Tensor


def validated(task: Task, x: Tensor, world: int, batch: int) -> dict[int, Validated]:
    """What some processes together make of all validation images, by their numbers."""
    found: dict[int, Validated] = {}
    size = validation_batch(replace(OPTIM, batch_size=batch), world)
    for rank in range(world):
        numbers = list(range(rank, len(x), world))
        for share in (numbers[i : i + size] for i in range(0, len(numbers), size)):
            (case,) = task.validation(x[share], share)
            ended = case.ended(0.9 * x[share])
            found |= dict(zip(share, map(Validated, case.names, case.evidence, ended), strict=True))
    return found


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("config", [FAINT, ANY], ids=["photons", "any"])
def test_a_validation_finds_the_same_on_any_number_of_processes_and_in_any_batches(
    config: EncoderTraining, faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an encoder that heeds what it sees, which a new one does not."""
    monkeypatch.setattr(EncoderModule, "_picture", lambda *_: None)
    save = saved_resolver if config.photons else saved_restorer
    model = save(tmp_path / "model")
    config = replace(config, prior=str(model / "prior"), start_from=str(model))
    config = replace(config, energy=EnergyConfig(pixels=1.0))
    x = torch.cat([faces, 1 - faces, faces.flip(2), faces.flip(3), 1 - faces.flip(2)])[:19]
    assert len(x) == 19

    def make(batch: int) -> Training:
        optim = replace(OPTIM, batch_size=batch)
        return EncoderModule(replace(config, optim=optim), tmp_path)

    first, *others = (
        log for world, batch in LAYOUTS for log in processes_log(partial(make, batch), x, world)
    )
    assert len(first) == 1 + 2 * (1 if config.photons else len(DEGRADATIONS))
    assert all(map(math.isfinite, first.values()))
    for other in others:
        assert other == pytest.approx(first, rel=1e-6)


def test_no_step_of_a_training_degrades_as_a_validation_image() -> None:
    """Whatever its seed: numpy takes a short one as if zeros followed."""
    own = [np.random.SeedSequence(seed_of(n)).generate_state(4).tolist() for n in range(9)]
    for seed, part in ((0, 0), (1, 0), (1, 1)):
        for n in range(9):
            for short in ((seed, n), (seed, n, 0), (seed, n, 0, part), (seed, n, 1, part)):
                assert np.random.SeedSequence(short).generate_state(4).tolist() not in own


@pytest.mark.parametrize("kind", ["prior", "flow", "encoder"])
def test_what_a_step_logs_is_of_all_processes(
    kind: str, faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = str(saved_prior(tmp_path / "prior"))
    weighed = EncoderTraining(ENCODER, prior, DATA, OPTIM, energy=EnergyConfig(pixels=1.0))
    module, names = {
        "prior": lambda: (
            PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path),
            ["bits_per_dim", "kl_bits_per_dim"],
        ),
        "flow": lambda: (
            FlowModule(FlowTraining(FLOW, DATA, OPTIM, 1.0), tmp_path),
            ["bits_per_dim", "pixel_error"],
        ),
        "encoder": lambda: (
            EncoderModule(weighed, tmp_path),
            ["kl_bits_per_dim", "energy_of_pixels"],
        ),
    }[kind]()
    alone(module, monkeypatch)
    alike = logged_by(module, monkeypatch)
    loss = module.training_step(faces[:1], 0)
    assert isinstance(loss, Tensor)
    assert loss.requires_grad
    assert alike == dict.fromkeys(names, True)


@pytest.mark.parametrize("kind", ["prior", "flow"])
def test_what_a_validation_logs_is_of_all_processes(
    kind: str, faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Training = PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path)
    if kind == "flow":
        module = FlowModule(FlowTraining(FLOW, DATA, OPTIM), tmp_path)
    alone(module, monkeypatch)
    alike = logged_by(module, monkeypatch)
    validate(module, faces, 1)
    assert alike
    assert all(alike.values()), alike


def test_an_encoder_for_any_degradation_keeps_the_size() -> None:
    model = replace(RESTORING, scales=(1, 2))
    kept = task_of(EncoderTraining(RESTORING, "x", DATA, OPTIM, degradations="any"), 3, 16, 10.0)
    assert kept.names == list(DEGRADATIONS)
    with pytest.raises(ConfigError, match=r"has scales \[1\]"):
        task_of(EncoderTraining(model, "x", DATA, OPTIM, degradations="any"), 3, 16, 10.0)


SHALLOW = replace(PRIOR, bottom_up="2x1,2d2,4x1", top_down="4x1,2m4,2r1", biases=())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (replace(PRIOR, widths={2: 8, 8: 12, 32: 12}), r"widths at strides \[8, 32\]"),
        (replace(SHALLOW, bottom_up="2x1,2d2,4x1,4d2,8x1"), "goes on to stride 8.*than 4"),
        (replace(SHALLOW, bottom_up="2x1,2d2,4d2"), "goes on to stride 8.*than 4"),
        (replace(SHALLOW, top_down="4x2,2x2"), "at stride 4 goes nowhere: .* as u4 does"),
        (replace(SHALLOW, top_down="4x1,2m4,4x1,2r1"), "at stride 4 goes nowhere"),
        (replace(PRIOR, top_down="16x1,8r1,4m16,2m4"), "at stride 8 goes nowhere: .* as u8 does"),
        (replace(PRIOR, pixel_std=3.0), "pixel_std means nothing to the likelihood mixture"),
        (replace(PHOTOS, mixtures=4), "mixtures means nothing to the likelihood gaussian"),
        (replace(PHOTOS, bits=5), "bits means nothing to the likelihood gaussian"),
        (replace(PHOTOS, levels="floored"), "levels means nothing to the likelihood gaussian"),
    ],
)
def test_keys_that_count_for_nothing_are_refused_when_a_prior_begins(
    model: HVAEConfig, said: str, tmp_path: Path
) -> None:
    """A folder with such a model is read, and a run that began with it goes on."""
    config = PriorTraining(model, DATA, OPTIM)
    with pytest.raises(ConfigError, match=said):
        PriorModule(config, tmp_path)
    (tmp_path / "last.ckpt").touch()
    PriorModule(config, tmp_path)
    saved_prior(tmp_path / "prior", tiny_prior(model))
    assert load_prior(str(tmp_path / "prior")).config == model


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (replace(ENCODER, widths={2: 8, 4: 8}), r"widths at strides \[2\]"),
        (replace(ENCODER, groups=1), "goes on to stride 16.*than 4"),
    ],
)
def test_keys_that_count_for_nothing_are_refused_when_an_encoder_begins(
    model: LREncoderConfig, said: str, tmp_path: Path
) -> None:
    prior = tiny_prior(SHALLOW if "goes on" in said else PRIOR)
    config = EncoderTraining(model, str(saved_prior(tmp_path / "prior", prior)), DATA, OPTIM)
    with pytest.raises(ConfigError, match=said):
        EncoderModule(config, tmp_path)
    (tmp_path / "last.ckpt").touch()
    module = EncoderModule(config, tmp_path)
    module.export(tmp_path / "model")
    load(str(tmp_path / "model"))


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5])
def test_moments_that_never_forget_are_refused(beta: float) -> None:
    for betas in ((beta, 0.9), (0.9, beta)):
        with pytest.raises(ConfigError, match="betas"):
            OptimConfig(steps=10, warmup=0, betas=betas)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"steps": True}, "steps"),
        ({"steps": 900, "betas": [0.9, False]}, "betas"),
        ({"steps": 900, "ema": False}, "ema"),
    ],
)
def test_yes_and_no_are_no_numbers(data: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} should be "):
        from_dict(OptimConfig, data, "run.yaml")


def test_what_is_not_asked_for_is_not_done() -> None:
    config = PriorTraining(PRIOR, DATA, OPTIM)
    assert (config.free_bits, config.start_from, config.stored_bits) == (0, "", 32)
    assert FlowTraining(FLOW, DATA, OPTIM).stored_bits == 32
    assert EncoderTraining(ENCODER, "x", DATA, OPTIM).stored_bits == 32


def test_the_trainer_takes_the_processes_that_torchrun_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes() == {"devices": 1}
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes() == {"devices": 2, "num_nodes": 2, "strategy": "ddp"}


def test_every_epoch_shows_every_image_once_and_half_of_them_mirrored() -> None:
    keys = [key for batch in islice(StepBatches(50, 8, seed=3), 200) for key in batch]
    for epoch in range(32):
        shown = keys[50 * epoch : 50 * (epoch + 1)]
        assert sorted(key.row for key in shown) == list(range(50))
    assert 0.45 < sum(key.mirrored for key in keys) / len(keys) < 0.55


def test_the_order_is_that_of_the_seed_and_takes_little_memory() -> None:
    n = 20_000
    tracemalloc.start()
    first, second = islice(StepBatches(n, n, seed=3), 2)
    del first
    following = next(iter(StepBatches(n, 2, seed=3, seen=2 * (n - 1))))
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    one = next(iter(StepBatches(n, 2, seed=3)))
    used = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert used < 30 * n  # a tuple of objects for each took 200 bytes
    rng = np.random.default_rng([3, 1])
    rows, mirrored = rng.permutation(n), rng.random(n) < 0.5
    drawn = rng.integers(2**62, size=n)
    told = zip(rows.tolist(), mirrored.tolist(), drawn.tolist(), strict=True)
    assert second == [Key(*key) for key in told]
    assert following == second[-2:]
    assert [type(value) for value in one[0]] == [int, bool, int]


def test_one_process_says_what_a_training_starts_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, words in (("0", "starts from the weights of celeba64"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        say_start("celeba64")
        said = capsys.readouterr().out
        assert words in said
        assert bool(said) is bool(words)


def test_a_log_has_a_line_at_first_and_then_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr("cvdvae.training.progress.time.monotonic", lambda: now[0])
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        global_step=5,
        max_steps=100,
        callback_metrics={
            "loss": torch.tensor(1.25),
            "many": torch.zeros(2),
            "none": torch.zeros(0),
        },
    )
    lines = Lines()
    lines.on_validation_end(trainer, UNREAD)  # as of a run that had ended before
    assert capsys.readouterr().out == "step 5 of 100: loss 1.25\n"
    lines.on_train_start(trainer, UNREAD)
    said = []
    for seconds in (10, 30, 59.5, 69.5, 70.5, 200):
        now[0], trainer.global_step = 1000 + seconds, 5 + 2 * seconds
        lines.on_train_batch_end(trainer)
        said.append(capsys.readouterr().out)
    assert [bool(line) for line in said] == [True, False, False, False, True, True]
    assert said[0] == "step 25 of 100, 2 steps a second: loss 1.25\n"
    lines.on_validation_end(trainer, UNREAD)
    assert capsys.readouterr().out == "step 405 of 100, 2 steps a second: loss 1.25\n"
    trainer.is_global_zero = False
    lines.on_validation_end(trainer, UNREAD)
    assert not capsys.readouterr().out


@pytest.fixture
def handlers() -> Iterator[dict[int, Any]]:
    """Those of the two signals; whatever is done with them is undone."""
    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in (*both, signal.SIGALRM)}
    yield {number: before[number] for number in both}
    for number, handler in before.items():
        signal.signal(number, handler)


def place(world_size: int, others_stop: bool = False) -> Any:
    """A trainer with some processes, of which others may have been told to stop."""
    strategy = SimpleNamespace(reduce_boolean_decision=lambda one, all: one or others_stop)
    return SimpleNamespace(world_size=world_size, strategy=strategy)


@pytest.mark.parametrize("start", ["on_train_start", "on_validation_start"])
def test_a_signal_is_noted_though_others_take_the_handlers(
    start: str, handlers: dict[int, Any]
) -> None:
    saved: list[object] = []
    ending = EndAtSignal(saved.append)
    with ending:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Lightning does when it begins
        getattr(ending, start)(place(1), Any)
        ending.on_train_batch_end(place(1))
        ending.on_validation_batch_end(place(1))
        assert not saved
        signal.raise_signal(signal.SIGTERM)
        ending.on_validation_batch_end(place(2))  # several go on to the next step
        with pytest.raises(Stopped):
            ending.on_validation_batch_end(place(1))
        assert not saved  # the checkpoint was written before the validation
        with pytest.raises(Stopped):
            ending.on_train_batch_end(place(1))
        assert len(saved) == 1
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
    assert isinstance(ending.reason, SystemExit)
    assert ending.reason.code == 143
    assert [signal.getsignal(number) for number in handlers] == list(handlers.values())


@pytest.mark.usefixtures("handlers")
def test_an_interrupt_is_seen_as_one() -> None:
    ending = EndAtSignal(lambda trainer: None)
    with ending:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            ending.on_train_batch_end(place(1))
    assert isinstance(ending.reason, KeyboardInterrupt)


@pytest.mark.usefixtures("handlers")
def test_a_process_stops_where_another_was_told_to() -> None:
    saved: list[object] = []
    ending = EndAtSignal(saved.append)
    with ending, pytest.raises(Stopped):
        ending.on_train_batch_end(place(2, others_stop=True))
    assert len(saved) == 1
    assert isinstance(ending.reason, SystemExit)


@pytest.mark.usefixtures("handlers")
def test_a_process_that_reads_outlives_the_signals_for_a_while() -> None:
    outlive_signals(0)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.raise_signal(signal.SIGTERM)
    assert 0 < signal.alarm(0) <= 60
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def missing(seed: int, kind: str) -> Tensor:
    """Where a mask lets nothing through, ``(48, 48)`` bool."""
    seen = degraded(torch.ones(1, 3, SIDE, SIDE), (seed,), kind)
    assert isinstance(seen.degradation, Mask)
    return seen.degradation.A_adjoint(torch.ones_like(seen.y))[0, 0] == 0


def box(gone: Tensor) -> tuple[int, int, int]:
    """Height and width of what is missing, and how many pixels of that box are."""
    rows, columns = gone.any(1).nonzero(), gone.any(0).nonzero()
    height = int(rows[-1] - rows[0]) + 1
    return height, int(columns[-1] - columns[0]) + 1, int(gone.sum())


def test_holes_are_one_to_three_rectangles() -> None:
    boxes = [box(missing(seed, "holes")) for seed in range(100)]
    single = [(height, width) for height, width, area in boxes if area == height * width]
    assert 0.45 < len(single) / len(boxes) < 0.75  # one in three of five, or some that cover others
    for sides in zip(*single, strict=True):
        assert min(sides) == SIDE // 12
        assert 26 < max(sides) < 2 * SIDE // 3
    assert all(area < SIDE**2 for *_, area in boxes)
    gone = torch.stack([missing(seed, "holes") for seed in range(200)])
    edges = gone[:, 0].any(1), gone[:, -1].any(1), gone[:, :, 0].any(1), gone[:, :, -1].any(1)
    assert all(float(edge.float().mean()) > 0.01 for edge in edges)  # they lie anywhere


def test_half_is_missing_from_a_side() -> None:
    found = set()
    for seed in range(100):
        gone = missing(seed, "half")
        height, width, area = box(gone)
        assert area == height * width
        assert SIDE in (height, width)
        assert SIDE // 8 <= min(height, width) <= SIDE // 2
        found.add(min(height, width))
        corners = [bool(gone[i, j]) for i, j in ((0, 0), (0, -1), (-1, -1), (-1, 0))]
        assert sum(corners) == 2
    assert len(found) > 15


def test_jpegs_are_of_every_quality_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(BlockDCT, "of_quality", lambda size, quality, chroma: asked.append(quality))
    rng = np.random.default_rng(0)
    for _ in range(1500):
        random_jpeg(rng, SIDE)
    assert {*asked} == {*range(20, 96)}


def test_pixels_are_missing_here_and_there() -> None:
    shares = [float(missing(seed, "pixels").float().mean()) for seed in range(100)]
    assert 0.03 < min(shares) < 0.12
    assert 0.6 < max(shares) < 0.73


@pytest.mark.parametrize("kind", ["blur", "downscaling-4", "noise"])
def test_the_noise_is_as_strong_as_it_says(kind: str) -> None:
    x, sigmas = torch.full((2, 3, SIDE, SIDE), 0.5), []
    for seed in range(60):
        seen = degraded(x, (seed, 1), kind)
        sigmas.append(seen.sigma)
        noise = seen.y - seen.degradation.A(x)
        assert float(noise.std()) == pytest.approx(seen.sigma, rel=0.2, abs=1e-7)
    noisy = [sigma for sigma in sigmas if sigma]
    assert LEAST_NOISE <= min(noisy) < 2 * LEAST_NOISE
    assert MOST_NOISE / 2 < max(noisy) <= MOST_NOISE
    share = 1 - len(noisy) / len(sigmas)
    assert share == 0 if kind == "noise" else 0.15 < share < 0.45


def test_every_kind_comes_as_often_as_it_should() -> None:
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    drawn = [degraded(x, (seed,)) for seed in range(300)]
    masks = sum(isinstance(seen.degradation, Mask) for seen in drawn) / len(drawn)
    assert masks == pytest.approx(0.38, abs=0.08)  # holes, halves, pixels, and noise alone
    jpegs = sum(isinstance(seen.degradation, BlockDCT) for seen in drawn) / len(drawn)
    assert jpegs == pytest.approx(0.2, abs=0.06)
    blurs = sum(isinstance(seen.degradation, Blur) for seen in drawn) / len(drawn)
    assert blurs == pytest.approx(0.21, abs=0.08)
    scales = {
        SIDE // seen.y.shape[-1]
        for seen in drawn
        if isinstance(seen.degradation, BicubicDownscaling)
    }
    assert scales == {2, 4, 8}
    again = degraded(x, (7,))
    assert torch.equal(again.y, drawn[7].y)


@pytest.mark.parametrize("side", [8, 16, 24, 25])
def test_small_images_are_blurred_and_moved_as_far_as_they_reach(side: int) -> None:
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    widths = set()
    for seed in range(40):
        for kind in ("blur", "motion"):
            blur = degraded(x, (seed,), kind).degradation
            assert isinstance(blur, Blur)
            widths.add(blur.kernel.shape[0])
    assert side - 2 <= max(widths) <= side


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_kind_of_downscaling_shrinks_by_the_scale_of_its_name(scale: int) -> None:
    seen = degraded(torch.rand(1, 3, SIDE, SIDE), (0,), f"downscaling-{scale}")
    assert seen.y.shape[2:] == (SIDE // scale, SIDE // scale)


def test_shares_say_what_happens_and_how_often() -> None:
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    shares = {"downscaling-4": 3.0, "pixels": 1.0, "noise": 0.0}
    task = Anything(0, 3, shares)
    assert task.names == ["downscaling-4", "pixels"]
    seen = [degraded(x, (0, step, 0, 0), None, shares) for step in range(200)]
    shrunk = sum(one.y.shape[-1] < SIDE for one in seen)
    assert shrunk / 200 == pytest.approx(0.75, abs=0.08)
    for step, one in enumerate(seen[:40]):
        told = evidence(one.degradation, one.y, one.sigma)
        assert torch.equal(task.training(x, step, 0).evidence, told)


@pytest.mark.parametrize(
    ("shares", "degradations", "said"),
    [
        ({"pixels": 1.0}, "shrinking", "shares are those of degradations 'any'"),
        ({"downscaling": 1.0}, "any", "no share can be 'downscaling': there are blur, motion"),
        ({"pixels": -1.0}, "any", "a share must be a number from 0"),
        ({"pixels": math.nan}, "any", "a share must be a number from 0"),
        ({"pixels": 0.0}, "any", "every share is 0"),
        ({"jpeg": 1.0}, "any", "nothing in shares happens to images of 1 channels"),
    ],
)
def test_shares_that_are_none_are_refused(
    shares: dict[str, float], degradations: Literal["any", "shrinking"], said: str
) -> None:
    def made() -> None:
        of = (replace(RESTORING, conditions=4), "x", DATA, OPTIM)
        task_of(EncoderTraining(*of, degradations=degradations, shares=shares), 1, 16, 10.0)

    with pytest.raises(ConfigError, match=said):
        made()


def test_one_channel_is_never_a_jpeg() -> None:
    x = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for seed in range(60):
        assert not isinstance(degraded(x, (seed,)).degradation, BlockDCT)


def test_an_unknown_configuration_names_those_there_are(tmp_path: Path) -> None:
    assert config_path(Path("celeba64")).name == "celeba64.yaml"
    with pytest.raises(ConfigError, match="by name there are celeba64, celeba64-hcflow"):
        config_path(Path("nothing"))
    own = tmp_path / "celeba64"
    own.write_text("model: {}")
    assert config_path(own) == own


def test_a_folder_of_images_does_not_hide_the_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nuclei").mkdir()  # as its data are named in configs/nuclei.yaml
    assert config_path(Path("nuclei")).name == "nuclei.yaml"


@pytest.mark.parametrize(("most", "sigma", "length"), [(False, 0.5, 3), (True, 3, 15)])
def test_blurs_and_movements_lie_between_their_ends(
    most: bool, sigma: float, length: float
) -> None:
    rng: Any = SimpleNamespace(uniform=lambda low, high: high if most else low)
    blur, moved = random_blur(rng, 64), random_motion(rng, 64)
    assert isinstance(blur, Blur)
    assert isinstance(moved, Blur)
    assert torch.allclose(blur.kernel, gaussian(sigma) / gaussian(sigma).sum())
    along = motion(length, 180 if most else 0)
    assert torch.allclose(moved.kernel, along / along.sum())
    assert moved.boundary == "circular"


def test_a_bundled_prior_is_named_and_does_not_come_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = str(saved_prior(tmp_path / "prior"))
    monkeypatch.setattr("cvdvae.training.encoder.bundled_names", lambda: [prior])
    config = EncoderTraining(ENCODER, prior, DATA, OPTIM)
    for one in (config, replace(config, model=RESTORING, degradations="any")):
        EncoderModule(one, tmp_path / "run").export(tmp_path / "model")
        record = read_record(tmp_path / "model")
        assert isinstance(record, (SuperResolutionRecord, RestorerRecord))
        assert record.prior == prior
        assert not (tmp_path / "model" / "prior").exists()


@pytest.mark.usefixtures("quick")
def test_a_picture_shows_what_an_encoder_is_told_of_colours(
    faces: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = torch.linspace(-0.4, 1.4, 9).view(1, 9, 1, 1)
    monkeypatch.setattr("cvdvae.training.tasks.evidence", lambda *_: dark.expand(4, 9, 16, 16))
    cases = Anything(0, 3).pictured(faces)
    assert [case.names for case in cases] == [[kind] * 4 for kind in DEGRADATIONS]
    for case in cases:
        assert torch.equal(case.shown, dark[:, :3].clamp(0, 1).expand(4, 3, 16, 16))
        assert case.scale == 1


def test_scales_come_in_turn_and_are_shown_at_the_size_of_the_truth(faces: Tensor) -> None:
    model = replace(ENCODER, scales=(4, 8))
    task = task_of(EncoderTraining(model, "x", DATA, OPTIM), 3, 16, 10.0)
    assert task.names == ["x4", "x8"]
    cases = [task.training(faces, step, 0) for step in range(3)]
    assert [case.scale for case in cases] == [4, 8, 4]
    for case in (*cases, *task.validation(faces, range(4)), *task.pictured(faces)):
        H = BicubicDownscaling.of_scale((16, 16), case.scale)
        assert case.names == [f"x{case.scale}"] * 4
        assert torch.equal(case.evidence, shrink_to_8_bits(faces, H))
        assert case.shown.shape == faces.shape
        ended = case.ended(0.5 * faces)
        torch.testing.assert_close(H.A(ended), case.evidence, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="18×18 pixels cannot be shrunk by 4"):
        task_of(EncoderTraining(model, "x", DATA, OPTIM), 3, 18, 10.0)
    with pytest.raises(ConfigError, match="conditions must be 6, not 0"):
        task_of(EncoderTraining(ENCODER, "x", DATA, OPTIM, degradations="any"), 3, 16, 10.0)
    with pytest.raises(ConfigError, match="conditions must be 0, not 6"):
        task_of(EncoderTraining(RESTORING, "x", DATA, OPTIM), 3, 16, 10.0)


def test_pictures_of_an_encoder_hold_four_answers_and_the_truth(
    faces: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = saved_prior(tmp_path / "prior")
    module = EncoderModule(EncoderTraining(ENCODER, str(prior), DATA, OPTIM), tmp_path / "run")
    alone(module, monkeypatch)
    shown: list[tuple[str, Tensor]] = []
    monkeypatch.setattr("cvdvae.training.encoder.save_rows", lambda path, rows: shown.extend(rows))
    x = torch.cat([faces, 1 - faces, faces])
    validate(module, x)
    assert [label for label, _ in shown] == [
        "seen", *(f"answer {i}" for i in range(4)), "the truth"
    ]  # fmt: skip
    assert all(images.shape == (8, 3, 16, 16) for _, images in shown)
    assert torch.equal(shown[-1][1], x[:8])
    answers = [images for _, images in shown[1:5]]
    assert len({one.numpy().tobytes() for one in answers}) == 4


def test_checkpoints_are_due_at_their_steps_before_validations_and_at_the_ends(
    tmp_path: Path,
) -> None:
    optim = OptimConfig(13, warmup=0, decay=3, checkpoint_every=4, validate_every=6)
    for zero in (True, False):
        for one, plateau in ((optim, [10]), (replace(optim, decay=0), [])):
            trainer: Any = SimpleNamespace(is_global_zero=zero, global_step=0)
            trainer.save_checkpoint = lambda path: path.write_text("whole")
            found: dict[str, list[int]] = {"last.ckpt": [], "plateau.ckpt": []}
            saving = AtomicCheckpoint(tmp_path, one)
            for step in range(1, 14):
                trainer.global_step = step
                saving.on_train_batch_end(trainer)
                for name, steps in found.items():
                    if (tmp_path / name).exists():
                        steps.append(step)
                        (tmp_path / name).unlink()
            assert found == {"last.ckpt": [4, 6, 8, 12, 13], "plateau.ckpt": plateau}
            for trainer.global_step in (0, 4, 10):  # where it goes on from
                AtomicCheckpoint(tmp_path, one).on_train_start(trainer)
                at = trainer.global_step in plateau
                assert [path.name for path in tmp_path.iterdir()] == ["plateau.ckpt"] * at
            (tmp_path / "plateau.ckpt").unlink(missing_ok=True)


def test_the_first_process_exports_after_every_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, exported = PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path), list[Path]()
    monkeypatch.setattr(PriorModule, "export", lambda self, folder: exported.append(folder))
    for zero, checking in ((True, False), (True, True), (False, False), (False, True)):
        trainer: Any = SimpleNamespace(is_global_zero=zero, sanity_checking=checking)
        trainer.global_step = 7
        ExportAtValidation().on_validation_end(trainer, module)
    assert exported == [tmp_path / "model"]


@pytest.mark.parametrize(
    ("step", "skipped", "norm", "every", "said"),
    [
        (48, 49, math.inf, 1000, ""),
        (49, 50, math.inf, 1000, "all 50 steps .* is not finite"),
        (49, 50, 2e3, 1000, "2000 in the last. is beyond skip_norm, 1000: raise it"),
        (49, 49, 2e3, 1000, ""),
        (49, 50, 1e3, 1000, ""),
        (18, 19, 2e3, 20, ""),
        (19, 20, 2e3, 20, "all 20 steps"),
    ],
)
def test_a_training_may_skip_49_steps_in_the_beginning(
    step: int,
    skipped: int,
    norm: float,
    every: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optim = OptimConfig(1000, validate_every=every)
    module = PriorModule(PriorTraining(PRIOR, DATA, optim), tmp_path)
    monkeypatch.setattr("lightning.LightningModule.optimizer_step", lambda *_, **__: None)
    monkeypatch.setattr(PriorModule, "global_step", step)
    module.norm, module.skipped = norm, torch.tensor(skipped)
    if said:
        with pytest.raises(ConfigError, match=said):
            module.optimizer_step()
    else:
        module.optimizer_step()
    assert int(module.averaged.n_averaged) == 1


def test_the_noise_of_a_step_is_seeded_by_the_training_and_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = set()
    for seed, step in ((0, 0), (0, 1), (1, 0)):
        optim = replace(OPTIM, seed=seed)
        module = PriorModule(PriorTraining(PRIOR, DATA, optim), tmp_path)
        monkeypatch.setattr(PriorModule, "global_step", step)
        module.on_train_batch_start(torch.empty(0), 7)
        expected = np.random.SeedSequence((seed, step)).generate_state(1)[0]
        assert torch.initial_seed() == int(expected)
        drawn.add(float(torch.rand(())))
        assert module.compiled(energy) is energy
    assert len(drawn) == 3


def test_a_mean_is_over_the_images_that_something_was_measured_of() -> None:
    means = Means(["a", "b", "never"])
    means.add(["a", "b", "a"], torch.tensor([1.0, 5.0, 2.0]))
    means.add(["a"], torch.tensor([6.0]))
    found = means.of_all(lambda table: table)
    assert {name: float(mean) for name, mean in found.items()} == {"a": 3, "b": 5}
    two = means.of_all(lambda table: table + torch.tensor([[0.0, 1, 8], [0, 1, 2]]))
    assert {name: float(mean) for name, mean in two.items()} == {"a": 3, "b": 3, "never": 4}
    with pytest.raises(KeyError):
        means.add(["other"], torch.zeros(1))


def test_patches_are_measured_in_grey_levels() -> None:
    """As a root mean square, whatever their side and the number of colours."""
    for channels in (1, 3):
        fields = patches(torch.full((2, channels, 16, 16), 1 / 255))
        assert [one.shape for one in fields] == [
            (2, side * side * channels, places)
            for side, places in zip(SIDES, (256, 196, 9), strict=True)
        ]
        for one in fields:
            torch.testing.assert_close(one.square().sum(1).sqrt(), torch.ones(2, one.shape[2]))
    x = torch.zeros(1, 3, 16, 16)
    for first, second, score in ((10, 4, 4), (4, 10, 4), (10, -4, 0), (6, 6, 6)):
        draws = x + first / 255, x + second / 255
        assert float(energy(*draws, x, patches)) == pytest.approx(score, abs=1e-3)


def test_an_energy_counts_as_much_as_its_weight() -> None:
    judge = object.__new__(EnergyOfDraws)
    judge.config = EnergyConfig(pixels=2.0, features=3.0)
    energies = Energies(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0]))
    assert float(judge.loss(energies)) == 15
    alone = EnergyOfDraws(EnergyConfig(pixels=1.0))
    assert (alone.config, alone.seen) == (EnergyConfig(pixels=1.0), None)
    config = EnergyConfig()
    assert (config.pixels, config.features, config.lpips, config.coarsest) == (0, 0, "", 0)
    with pytest.raises(ConfigError):
        EnergyConfig(pixels=1.0, coarsest=-1)


@pytest.mark.parametrize("coarsest", [0, 2, 4, 8])
def test_an_energy_trains_no_group_coarser_than_its_limit(coarsest: int) -> None:
    model = tiny_photos(2)
    prior, encoder = model.prior.requires_grad_(False), model.encoder.requires_grad_(True)
    x = torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0))
    task = Shrinking(16, (2,), None, 0)
    score = EnergyOfDraws(EnergyConfig(pixels=1.0, coarsest=coarsest))
    energies = score.of(prior, encoder, x, task.training(x, 0, 0), GlobalNoise())
    score.loss(energies).backward()
    trained = [any(p.grad is not None for p in head.parameters()) for head in encoder.heads]
    assert trained == [not coarsest or stride <= coarsest for stride in encoder.strides]


class Trainer:
    """Notes what it is asked for, and ends in the way that it is told to."""

    made: ClassVar[list["Trainer"]] = []
    ends: BaseException | None = None
    is_global_zero, global_step, world_size = True, 30, 1

    def __init__(self, **options: Any) -> None:
        self.options, self.calls = options, list[tuple[Any, ...]]()
        self.made.append(self)

    def fit(self, module: Any, data: Any, **how: Any) -> None:
        self.calls.append(("fit", how))
        if self.ends is not None:
            raise self.ends

    def validate(self, module: Any, data: Any, **how: Any) -> None:
        self.calls.append(("validate", how))

    def save_checkpoint(self, path: Path) -> None:
        path.write_bytes(b"whole")


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Trainer, "made", [])
    monkeypatch.setattr("cvdvae.training.run.L.Trainer", Trainer)
    monkeypatch.setattr("cvdvae.training.run.has_fast_bf16", lambda device: True)
    return Trainer.made


def idle(folder: Path, exported: list[Path], looked_at: list[object] | None = None) -> Any:
    """A module that trains nothing, and the images that it does not see."""
    looked_at = [] if looked_at is None else looked_at
    optim = OptimConfig(30, warmup=0, validate_every=7)
    module = SimpleNamespace(optim=optim, folder=folder, export=exported.append)
    module.check_own = looked_at.append
    module.exported, module.begin = folder / "model", lambda: None
    return module, SimpleNamespace(check=lambda: looked_at.append("images"))


def test_a_run_resumes_validates_and_exports(
    tmp_path: Path, trainers: list[Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, looked_at = list[Path](), list[object]()
    leftover = tmp_path / ".writing-1-x"
    leftover.touch()
    fit(*idle(tmp_path, exported, looked_at))
    assert not leftover.exists()
    held = {"global_step": 2, "lr_schedulers": [{"base_lrs": [0.1], "_last_lr": [0.1]}]}
    torch.save(held, tmp_path / "last.ckpt")
    monkeypatch.setattr("cvdvae.training.run.has_fast_bf16", lambda device: False)
    fit(*idle(tmp_path, exported, looked_at), max_steps=3)
    assert looked_at == ["images", held]
    first, second = trainers
    for trainer, resumed in ((first, None), (second, str(tmp_path / "last.ckpt"))):
        assert trainer.calls == [
            ("fit", {"ckpt_path": resumed, "weights_only": True}),
            ("validate", {"verbose": False}),
        ]
    assert exported == [tmp_path / "model"] * 2
    assert (first.options["precision"], second.options["precision"]) == ("bf16-mixed", "32-true")
    assert (first.options["max_steps"], second.options["max_steps"]) == (30, 3)
    assert (first.options["val_check_interval"], first.options["devices"]) == (7, 1)
    assert first.options["check_val_every_n_epoch"] is None
    assert first.options["num_sanity_val_steps"] == 0
    assert first.options["enable_progress_bar"] is False
    kinds = [type(one) for one in first.options["callbacks"]]
    assert kinds == [Lines, AtomicCheckpoint, EndAtSignal, ExportAtValidation]
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(*idle(tmp_path, exported))
    assert len(exported) == 2


@pytest.mark.parametrize(
    ("ends", "received", "seen", "said"),
    [
        (InputError("Caught in a worker\nTraceback\n  e.InputError: a.png is no image\n"), 0,
         InputError, "^a.png is no image$"),
        (Stopped(), signal.SIGINT, KeyboardInterrupt, "^$"),
        (Stopped(), signal.SIGTERM, SystemExit, "143"),
        (RuntimeError("a worker was killed"), signal.SIGTERM, SystemExit, "143"),
        (RuntimeError("a worker was killed"), 0, RuntimeError, "a worker was killed"),
    ],
)  # fmt: skip
def test_the_end_of_a_run_is_told_as_what_it_is(
    ends: BaseException,
    received: int,
    seen: type[BaseException],
    said: str,
    tmp_path: Path,
    trainers: list[Trainer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, "ends", ends)
    monkeypatch.setattr(EndAtSignal, "__enter__", lambda self: setattr(self, "received", received))
    exported: list[Path] = []
    with pytest.raises(seen, match=said):
        fit(*idle(tmp_path, exported))
    assert not exported
    assert len(trainers) == 1
    assert (tmp_path / "last.ckpt").exists() == (seen is InputError)  # nothing else is at a step


def test_images_and_batches_are_shared_by_processes(faces: Tensor, tmp_path: Path) -> None:
    for i, face in enumerate(torch.cat([faces, 1 - faces])):
        to_pil(face).save(tmp_path / f"{i}.png")
    data = TrainingData(DataConfig(str(tmp_path), validation=3, flip=False), OPTIM, 16)
    rows = torch.stack([data.validation[i] for i in range(3)])
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        trainer: Any = SimpleNamespace(world_size=world, global_rank=rank, global_step=2)
        data.trainer = trainer
        assert torch.equal(torch.cat([*data.val_dataloader()]), rows[rank::world])
        batch = next(iter(data.train_dataloader()))
        keys = next(iter(StepBatches(5, 4, 0, seen=8, flip=False)))[rank::world]
        assert torch.equal(batch, torch.stack([data.training[key] for key in keys]))
    for world in (3, 4):
        trainer.world_size = world
        with pytest.raises(ConfigError, match=f"{world} processes cannot share batches of 4 and 3"):
            data.train_dataloader()


def test_a_bar_counts_steps_and_shows_the_losses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lightning.pytorch.callbacks.RichProgressBar.get_metrics",
        lambda *_: {"v_num": "now", "loss": 1.0},
    )
    bar = Bar()
    assert bar.get_metrics(UNREAD, UNREAD) == {"loss": 1.0}
    assert bar._get_train_description(3).strip() == "training"
    for terminal, kind in ((True, Bar), (False, Lines)):
        monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda at=terminal: at))
        assert type(progress()) is kind


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_so_and_another_process_notes_none() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending = EndAtSignal(lambda trainer: None)
    with ending:
        assert list(ending.before) == [signal.SIGTERM]
        ending.process -= 1  # as in a process that was forked, and reads images
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert not ending.received


class Extreme:
    """Draws the least or the most of what it is asked for."""

    def __init__(self, most: bool, *numbers: float) -> None:
        self.most, self.numbers = most, list(numbers)

    def choice(self, options: list[int]) -> int:
        return options[-1 if self.most else 0]

    def integers(self, low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        return high - 1 if self.most else low

    def uniform(self, low: float, high: float) -> float:
        return high if self.most else low

    def random(self, shape: tuple[int, ...] | None = None) -> Any:
        if shape is None:
            return self.numbers.pop(0)
        return np.linspace(0, 1, math.prod(shape)).reshape(shape)

    def standard_normal(self, shape: tuple[int, ...], kind: type) -> Any:
        return np.ones(shape, kind)


@pytest.mark.parametrize("most", [False, True])
def test_what_may_happen_lies_between_its_ends(most: bool) -> None:
    rng: Any = Extreme(most)

    def gone(of: Any) -> Tensor:
        assert isinstance(of, Mask)
        return ~of.known

    hole, half, pixels = (gone(f(rng, SIDE)) for f in (random_holes, random_half, random_pixels))
    wanted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wanted[17:, 17:] = most
    wanted[:4, :4] |= not most
    assert torch.equal(hole, wanted)
    wanted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wanted[: 24 if most else 6] = True
    assert torch.equal(half, torch.rot90(wanted, 3 if most else 0))
    assert float(pixels.float().mean()) == pytest.approx(0.7 if most else 0.05, abs=1e-3)
    shrunk, file, small = (
        f(rng, SIDE) for f in (downscaling_by(4), random_jpeg, random_small_jpeg)
    )
    assert isinstance(shrunk, BicubicDownscaling)
    assert shrunk.lr_size == (12, 12)
    assert isinstance(small, Composed)
    chroma, size = (2, (12, 12)) if most else (1, (24, 24))
    last = small.steps[1]
    for jpeg, quality, of in ((file, (20, 95), (SIDE, SIDE)), (last, (30, 95), size)):
        assert isinstance(jpeg, BlockDCT)
        assert (jpeg.size, jpeg.subsampling) == (of, (chroma, chroma))
        expected = BlockDCT.of_quality(of, quality[most])
        assert torch.equal(jpeg.tables[0], expected.tables[0])


@pytest.mark.parametrize(
    ("kind", "numbers", "sigma"),
    [
        ("blur", (0.29, 0.5), 0),
        ("blur", (0.31, 0), 0.005),
        ("pixels", (0.31, 1), 0.1),
        ("noise", (0.29, 0.5), 0.0005**0.5),
        ("jpeg", (0.31, 0.5), 12**-0.5),
    ],
)
def test_three_of_ten_are_without_noise_and_the_others_have_as_much_as_drawn(
    kind: str, numbers: tuple[float, float], sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draws(seed: object) -> Any:
        rng: Any = Extreme(False, *numbers)
        rng.choice = lambda options, p=None: options[0]
        return rng

    monkeypatch.setattr("cvdvae.training.degrade.np.random.default_rng", draws)
    x = torch.rand(2, 3, 16, 16)
    y, degradation, told = degraded(x, (0,), kind)
    assert told == pytest.approx(sigma)
    if kind != "jpeg":
        seen = degradation.A(torch.ones_like(x)) if isinstance(degradation, Mask) else 1
        torch.testing.assert_close(y, degradation.A(x) + sigma * seen)
    assert sum(share for _, share in DEGRADATIONS.values()) == pytest.approx(1)


def test_a_folder_that_is_named_takes_the_place_of_all_that_a_file_says_of_data(
    tmp_path: Path,
) -> None:
    data = DataConfig("here", only="a*", repeat=3, more=(DataConfig("there"),), crop=30)
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(PriorTraining(PRIOR, data, OPTIM)))
    assert _settings(PriorTraining, path, None).data == data
    assert _settings(PriorTraining, path, tmp_path).data == DataConfig(str(tmp_path), crop=30)
    path.write_text(to_yaml(EncoderTraining(ENCODER, "one", data, OPTIM)))
    assert _settings(EncoderTraining, path, None).prior == "one"
    assert _settings(EncoderTraining, path, None, prior="other").prior == "other"
    named = _settings(PriorTraining, Path("celeba64"), tmp_path)
    assert (named.data.folder, named.model.image_size) == (str(tmp_path), 64)


def test_processes_validate_as_many_images_as_they_train_on() -> None:
    shares = [
        validation_batch(replace(OPTIM, batch_size=n), world) for n, world in ((7, 2), (1, 4))
    ]
    assert shares == [3, 1]


def test_an_encoder_on_what_is_no_prior_is_nothing_to_start_from(tmp_path: Path) -> None:
    first, second = saved_resolver(tmp_path / "first"), saved_resolver(tmp_path / "second")
    prior = str(saved_prior(tmp_path / "prior"))
    shutil.rmtree(first / "prior")
    shutil.copytree(second, first / "prior")
    config = EncoderTraining(ENCODER, prior, DATA, OPTIM, start_from=str(first))
    with pytest.raises(WeightsError, match=r"the prior of '.*first' is a lr-encoder"):
        EncoderModule(config, tmp_path / "run")


@pytest.mark.usefixtures("quick")
def test_a_batch_is_degraded_in_four_ways_or_as_many_as_it_has_images(
    faces: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[tuple[int, tuple[int, ...], str | None]] = []

    def noted(x: Tensor, seed: tuple[int, ...], kind: str | None, shares: object) -> Any:
        ways.append((len(x), seed, kind))
        return degraded(x, seed, kind or "noise")

    monkeypatch.setattr("cvdvae.training.tasks.degraded", noted)
    case = Anything(7, 3).training(torch.cat([faces, faces]), 5, 1)
    assert ways == [(2, (7, 5, 1, i), None) for i in range(4)]
    assert case.names == ["any"] * 8
    Anything(7, 3).training(faces[:3], 5, 1)
    assert [n for n, *_ in ways[4:]] == [1, 1, 1]


def test_the_first_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    prior = str(saved_prior(tmp_path / "prior"))

    def weights(seed: int) -> list[Tensor]:
        optim = replace(OPTIM, seed=seed)
        modules = (
            PriorModule(PriorTraining(PRIOR, DATA, optim), tmp_path),
            FlowModule(FlowTraining(FLOW, DATA, optim), tmp_path),
            EncoderModule(EncoderTraining(ENCODER, prior, DATA, optim), tmp_path),
        )
        return [torch.cat([p.flatten() for p in one.trained.parameters()]) for one in modules]

    for first, again, other in zip(weights(1), weights(1), weights(2), strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_a_row_of_pictures_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[list[list[str]]] = []

    def sheet(tiles: list[list[tuple[str, Any]]], said: str) -> Any:
        shown.append([[label for label, _ in row] for row in tiles])
        assert "not" in said.split()
        return tiles[0][0][1]

    monkeypatch.setattr("cvdvae.training.pictures.labelled_sheet", sheet)
    save_rows(
        tmp_path / "a.png", [("seen", torch.zeros(3, 3, 4, 4)), ("it", torch.ones(1, 3, 4, 4))]
    )
    assert shown == [[["seen", "", ""], ["it"]]]


def test_what_an_energy_of_features_needs_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def need(package: str, what: str, extra: str) -> None:
        raise InputError(f"{what} needs {package}: [{extra}]")

    monkeypatch.setattr("cvdvae.training.energy.need", need)
    with pytest.raises(InputError, match=r"features needs lpips: \[eval\]"):
        EnergyOfDraws(EnergyConfig(features=1.0))


@pytest.mark.parametrize("named", [True, False])
def test_an_old_description_of_an_encoder_asks_its_prior_for_the_size(
    named: bool, tmp_path: Path
) -> None:
    other, path = saved_resolver(tmp_path / "other"), tmp_path / "run.yaml"
    said = "" if named else f"prior: {other}"
    path.write_text(f"model: {{lr_size: 4, encoder: '4x1'}}\n{said}\n")
    with pytest.raises(ConfigError, match="other' is not a prior but a lr-encoder"):
        train_encoder(path, tmp_path / "run", prior=str(other) if named else None)
