import csv
import importlib.util
import math
import os
import re
import shutil
import signal
from dataclasses import MISSING, fields, make_dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
import yaml
from command import PATIENCE, beside, command, free_port, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from tiny import ENCODER, FLOW, PHOTOS, PRIOR, SCALES, tiny_flow, tiny_prior

from cvdvae.checkpoints.folder import bundled_names, find, read_record, save_model
from cvdvae.checkpoints.loading import load_prior
from cvdvae.checkpoints.precision import NEXT_TO_PIXELS, StoredBits
from cvdvae.checkpoints.records import (
    FlowRecord,
    PriorRecord,
    RestorerRecord,
    SuperResolutionRecord,
)
from cvdvae.configs import from_dict, load_yaml, to_yaml
from cvdvae.data.folder import DataConfig, load_images
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import ConfigError, InputError
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import ELBO, HVAE, HVAEConfig
from cvdvae.hvae.lr_encoder import lr_encoder_kl
from cvdvae.hvae.presets import PRESETS
from cvdvae.restoration.load import load
from cvdvae.training import EncoderTraining, FlowTraining, OptimConfig, PriorTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.flow import FlowModule
from cvdvae.training.module import Training, _moving_average, validation_batch
from cvdvae.training.order import StepBatches
from cvdvae.training.prior import PriorModule, objective
from cvdvae.training.run import AtomicCheckpoint, fit

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("**/*.yaml"))
OPTIM = OptimConfig(
    steps=6, batch_size=4, warmup=2, decay=4, validate_every=1000, checkpoint_every=5
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(12):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 32)).save(folder / f"{i:02d}.png")
    return folder


def prior_config(photos: Path, path: Path, steps: int) -> Path:
    data = DataConfig(folder=str(photos), crop=30, validation=2)
    path.write_text(to_yaml(PriorTraining(PRIOR, data, replace(OPTIM, steps=steps))))
    return path


def killed(*arguments: str) -> None:
    """The command, killed after the eighth step: three after its checkpoint."""
    ended = AtomicCheckpoint.on_train_batch_end

    def end(saving: AtomicCheckpoint, trainer: Any, *given: Any) -> None:
        ended(saving, trainer, *given)
        if trainer.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    AtomicCheckpoint.on_train_batch_end = end  # type: ignore[assignment, method-assign]
    command(*arguments)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimizer, average, data order, noise and schedule all continue."""
    config = prior_config(photos, tmp_path / "run.yaml", steps=14)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    arguments = ("train", "prior", "--config", str(config), "--out")
    first = beside(killed, *arguments, str(cut))
    assert first.wait(PATIENCE) == -signal.SIGKILL
    assert torch.load(cut / "last.ckpt", weights_only=True)["global_step"] == 5
    for out in (cut, whole):
        assert run(*arguments, str(out), monkeypatch=monkeypatch) == 0
    resumed, uninterrupted = (load_file(f / "model/model.safetensors") for f in (cut, whole))
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[k], uninterrupted[k]) for k in resumed)
    assert list((cut / "samples").glob("*.png"))
    assert (cut / "plateau.ckpt").exists()


def test_training_an_encoder_leaves_the_prior_as_it_was(
    photos: Path, tmp_path: Path, model_folder: Path
) -> None:
    prior = model_folder / "prior"
    before = (prior / "model.safetensors").read_bytes()
    data = DataConfig(folder=str(photos), validation=2)
    settings = EncoderTraining(ENCODER, str(prior), data, OPTIM)
    trained = EncoderModule(settings, tmp_path / "run")
    fit(trained, TrainingData(data, settings.optim, 16))
    assert (prior / "model.safetensors").read_bytes() == before
    assert (tmp_path / "run/model/prior/model.safetensors").read_bytes() == before
    checkpoint = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    fresh = EncoderModule(settings, tmp_path / "fresh")
    (group,) = fresh.configure_optimizers()["optimizer"].param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in fresh.trained.parameters()}
    moved = [
        not torch.equal(checkpoint["state_dict"][f"trained.{name}"], value)
        for name, value in fresh.trained.state_dict().items()
    ]
    assert all(moved)
    for name, value in load_prior(str(prior)).state_dict().items():
        assert torch.equal(trained.prior.state_dict()[name], value)
    assert not [name for name in checkpoint["state_dict"] if name.startswith("prior.")]


def test_a_step_whose_gradient_is_not_finite_is_skipped_and_counted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    data = DataConfig(folder=str(photos), validation=2)
    settings = PriorTraining(PRIOR, data, replace(OPTIM, steps=3, decay=0))
    module = PriorModule(settings, tmp_path / "run")
    original = PriorModule.training_step

    def explode(self: PriorModule, x: torch.Tensor, index: int) -> torch.Tensor:
        loss = original(self, x, index)
        return loss * float("nan") if self.global_step == 1 else loss

    monkeypatch.setattr(PriorModule, "training_step", explode)
    fit(module, TrainingData(data, settings.optim, 16))
    assert int(module.skipped) == 1
    assert all(bool(torch.isfinite(p).all()) for p in module.best.parameters())


def test_a_checkpoint_of_another_model_is_refused(photos: Path, tmp_path: Path) -> None:

    data, optim = DataConfig(folder=str(photos), validation=2), OPTIM
    checkpoint: dict[str, Any] = {}
    PriorModule(PriorTraining(PRIOR, data, optim), tmp_path).on_save_checkpoint(checkpoint)
    other = PriorTraining(replace(PRIOR, width=16), data, optim)
    with pytest.raises(ConfigError, match="another model"):
        PriorModule(other, tmp_path).on_load_checkpoint(checkpoint)


def test_low_resolution_images_do_not_depend_on_autocasting() -> None:
    H = BicubicDownscaling((16, 16), (4, 4))
    x = torch.rand(2, 3, 16, 16)
    plain = shrink_to_8_bits(x, H)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(shrink_to_8_bits(x, H), plain)


@given(st.integers(0, 60), st.sampled_from([1, 2]))
def test_order_depends_on_the_step_alone(step: int, world: int) -> None:
    whole = iter(StepBatches(10, 4, seed=1))
    expected = [next(whole) for _ in range(step + 1)][-1]
    shares = [next(iter(StepBatches(10, 4, 1, 4 * step, True, r, world))) for r in range(world)]
    assert sorted(k for share in shares for k in share) == sorted(expected)


def test_every_image_is_seen_once_an_epoch_and_half_of_them_mirrored() -> None:
    batches = iter(StepBatches(1000, 10, seed=0))
    keys = [k for _ in range(100) for k in next(batches)]
    assert sorted(k.row for k in keys) == list(range(1000))
    assert 400 < sum(k.mirrored for k in keys) < 600


@pytest.mark.parametrize("free", [0.0, 0.3])
def test_free_bits_are_a_floor_under_the_kl_of_every_stride(free: float) -> None:
    """``−log p(x|z) + Σ_s max(free, KL_s)``; a stride below its floor is not pressed further."""
    kl = torch.tensor([[40.0, 5.0, 6.0], [44.0, 7.0, 8.0]], requires_grad=True)
    elbo = ELBO(torch.tensor([-900.0, -1000.0]), kl, 100)
    in_bits = kl.detach().mean(0) / (100 * math.log(2))  # 0.61 at stride 4, 0.19 at stride 2
    loss = objective(elbo, [4, 2, 2], free)
    kept = in_bits[0] + max(free, float(in_bits[1:].sum()))
    assert float(loss) == pytest.approx(950 / (100 * math.log(2)) + float(kept), rel=1e-5)
    loss.backward()
    assert kl.grad is not None
    assert bool((kl.grad[:, 0] > 0).all())
    assert bool((kl.grad[:, 1:] > 0).all()) == (free == 0)


def test_one_encoder_for_several_scales_trains_on_each_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = tiny_prior(PHOTOS)
    save_model(tmp_path / "prior", PriorRecord("prior", PHOTOS), prior.state_dict())
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(4):
        image = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{i}.png")
    data = DataConfig(str(folder), random_crops=True, validation_every=3)
    optim = replace(OPTIM, steps=4, warmup=0, decay=0)
    settings = EncoderTraining(SCALES, str(tmp_path / "prior"), data, optim, image_size=24)
    module = EncoderModule(settings, tmp_path / "run")
    seen = list[int]()

    def watched(*arguments: Any) -> torch.Tensor:
        seen.append(arguments[-1])
        return lr_encoder_kl(*arguments)

    monkeypatch.setattr(module, "kl", watched)
    fit(module, TrainingData(data, optim, module.image_size))
    assert seen == [2, 3, 2, 3]
    for scale in (2, 3):
        model = load(str(tmp_path / "run" / "model"), scale=scale)
        result = model.upscale(torch.full((3, 5, 7), 0.4), samples=1)
        assert result.pixels.shape == (1, 3, 5 * scale, 7 * scale)
    with pytest.raises(InputError, match="enlarges by 2, 3: say which"):
        load(str(tmp_path / "run" / "model"))
    with pytest.raises(ConfigError, match="cannot be shrunk by 3"):
        EncoderModule(replace(settings, image_size=32), tmp_path / "run")


def test_schedule_rises_stays_and_falls() -> None:
    optim = OptimConfig(steps=100, warmup=10, decay=20)
    assert [optim.rate_at(s) for s in (0, 9, 50, 80, 90, 100)] == [0.1, 1, 1, 1, 0.5, 0]


def test_images_are_cropped_at_the_centre_and_resized(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[5:15, 10:20] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images = load_images([tmp_path / "a.png"], 10, crop=10)
    assert torch.equal(images, torch.full((1, 3, 10, 10), 200, dtype=torch.uint8))
    with pytest.raises(InputError, match="no square of 25×25"):
        load_images([tmp_path / "a.png"], 10, crop=25)


def test_bad_settings_are_refused_by_name(tmp_path: Path) -> None:
    good = {"steps": 10, "warmup": 1}
    assert from_dict(OptimConfig, good | {"learning_rate": "1e-3"}, "x").learning_rate == 1e-3
    refused: list[tuple[dict[str, object], str]] = [
        ({"stepz": 1}, "stepz"),
        ({"batch_size": "many"}, "batch_size"),
        ({"ema": 2.0}, "ema"),
        ({"decay": 20}, "longer"),
    ]
    for bad, word in refused:
        with pytest.raises(ConfigError, match=word):
            from_dict(OptimConfig, good | bad, "x")
    with pytest.raises(ConfigError, match="steps"):
        from_dict(OptimConfig, {}, "x")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not a YAML file"):
        load_yaml(OptimConfig, tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_yaml(OptimConfig, tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("name", "bad", "taken"),
    [
        ("steps", (0, 10**9 + 1), (10**9,)),
        ("batch_size", (0, 65_537), (1, 65_536)),
        ("validate_every", (0, 10**9 + 1), (1, 10**9)),
        ("checkpoint_every", (0, 10**9 + 1), (1, 10**9)),
        ("learning_rate", (0.0, math.inf, math.nan), (1e-9,)),
        ("weight_decay", (-1e-9, math.inf, math.nan), (0.0,)),
        ("clip_norm", (0.0, math.nan), (1e-9, math.inf)),
        ("skip_norm", (0.0, math.nan), (1e-9, math.inf)),
        ("warmup", (-1, 991), (0, 990)),
        ("decay", (-1, 991), (0, 990)),
        ("seed", (-1, 2**31), (0, 2**31 - 1)),
        ("betas", ((1.0, 0.9), (0.9, 1.0), (-1e-9, 0.9)), ((0.0, 0.0),)),
        ("ema", (1.0, -1e-9), (0.0,)),
    ],
)
def test_limits_of_an_optimization_are_taken_and_beyond_them_nothing(
    name: str, bad: tuple[Any, ...], taken: tuple[Any, ...]
) -> None:
    good = OptimConfig(1000, warmup=10, decay=10)
    for value in taken:
        assert getattr(replace(good, **{name: value}), name) == value
    for value in bad:
        with pytest.raises(ConfigError, match=name):
            replace(good, **{name: value})


def test_what_a_configuration_does_not_name_is_as_documented() -> None:
    optim, data = OptimConfig(1000), DataConfig("unread")
    assert (optim.batch_size, optim.learning_rate, optim.warmup, optim.decay) == (16, 1e-3, 200, 0)
    assert (optim.betas, optim.weight_decay) == ((0.9, 0.95), 0.01)
    assert (optim.clip_norm, optim.skip_norm, optim.ema, optim.seed) == (1, 1000, 0.999, 0)
    assert (optim.validate_every, optim.checkpoint_every, optim.compile) == (500, 100, False)
    prior, flow = PriorTraining(PRIOR, data, optim), FlowTraining(FLOW, data, optim)
    encoder = EncoderTraining(ENCODER, "prior", data, optim)
    assert (prior.free_bits, flow.pixel_weight) == (0, 0)
    assert (encoder.image_size, encoder.photons, encoder.degradations) == (0, 0, "shrinking")
    for one in (prior, flow, encoder):
        assert (one.start_from, one.stored_bits) == ("", 32)
    assert replace(encoder, image_size=4096).image_size == 4096
    for whole, changes in (
        (prior, {"free_bits": -1.0}),
        (prior, {"free_bits": math.inf}),
        (flow, {"pixel_weight": -1.0}),
        (flow, {"pixel_weight": math.inf}),
        (flow, {"optim": replace(optim, compile=True)}),
        (encoder, {"photons": -1.0}),
        (encoder, {"photons": math.inf}),
        (encoder, {"image_size": -1}),
        (encoder, {"image_size": 4097}),
    ):
        with pytest.raises(
            ConfigError, match="compile" if "optim" in changes else next(iter(changes))
        ):
            replace(whole, **changes)  # type: ignore[arg-type]
    flat = OptimConfig(10, warmup=0)
    assert [flat.rate_at(step) for step in (0, 5, 10, 11)] == [1, 1, 1, 1]
    assert replace(flat, decay=4).rate_at(12) == 0


def test_gradients_are_clipped_and_wild_ones_dropped_and_counted(tmp_path: Path) -> None:
    optim = OptimConfig(1, warmup=0, clip_norm=2.0, skip_norm=50.0, learning_rate=0.25)
    module = PriorModule(PriorTraining(PRIOR, DataConfig("unread"), optim), tmp_path)
    endless = replace(optim, skip_norm=math.inf)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    parameters = list(module.trained.parameters())
    for norm, left in ((1.0, 1.0), (10.0, 2.0), (49.9, 2.0), (50.1, 0.0), (math.nan, 0.0)):
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        first = parameters[0]
        first.grad = torch.full_like(first, norm / first.numel() ** 0.5)
        module.configure_gradient_clipping()
        kept = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
        assert kept**0.5 == pytest.approx(left, rel=1e-4)
    assert int(module.skipped) == 2
    for norm, left in ((1e9, 2.0), (math.inf, 0.0), (math.nan, 0.0)):
        module.optim = endless
        parameters[0].grad = torch.full_like(parameters[0], norm)
        module.configure_gradient_clipping()
        kept = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
        assert kept**0.5 == pytest.approx(left, rel=1e-4)
    module.optim = optim
    optimizer = module.configure_optimizers()
    (group,) = optimizer["optimizer"].param_groups
    assert (group["initial_lr"], group["betas"], group["weight_decay"]) == (0.25, (0.9, 0.95), 0.01)
    assert optimizer["lr_scheduler"]["interval"] == "step"
    assert not any(p.requires_grad for p in module.best.parameters())


def test_the_average_forgets_the_start_in_a_few_steps() -> None:
    for steps, kept in ((0, 0.1), (8, 0.5), (89, 90 / 99), (10**6, 0.99)):
        average = [torch.zeros(3)]
        _moving_average(0.99)(average, [torch.ones(3)], steps)
        assert average[0].tolist() == pytest.approx([1 - kept] * 3)


def test_noise_belongs_to_the_step_in_training_and_to_the_image_in_validation(
    tmp_path: Path,
) -> None:
    optim, like = OptimConfig(1, batch_size=9, warmup=0, seed=3), torch.empty(3, 2, 4, 4)
    module = PriorModule(PriorTraining(PRIOR, DataConfig("unread"), optim), tmp_path)
    place: Any = SimpleNamespace(world_size=2, global_rank=1)
    module._trainer = place

    def drawn(seed: int, step: int) -> torch.Tensor:
        module.optim, place.global_step = replace(optim, seed=seed), step
        module.on_train_batch_start(like, 0)
        return module.training_noise().normal(like)

    first = drawn(3, 7)
    module.on_train_batch_start(like, 0)
    assert torch.equal(first, torch.randn(6, 2, 4, 4)[1::2])
    for seed, step in ((4, 7), (0, 7), (3, 8), (7, 3), (2**31 - 1, 7)):
        assert not bool((drawn(seed, step) == first).any())
    # Four images at a time on each of two: of the third batch the ninth to eleventh of its own.
    noise = module.validation_noise(like, 2).normal(like)
    assert torch.equal(noise, SeededNoise(0, [17, 19, 21]).normal(like))
    assert [validation_batch(optim, world) for world in (1, 2, 9, 20)] == [9, 4, 1, 1]


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_training_starts_from_weights_and_leaves_them_in_the_precision_asked_for(
    model_folder: Path, tmp_path: Path, bits: StoredBits
) -> None:
    data, optim = DataConfig("unread"), OptimConfig(1, warmup=0, seed=9)
    flow = tiny_flow().flow
    save_model(tmp_path / "flow", FlowRecord("hcflow", FLOW), flow.state_dict())
    prior = str(model_folder / "prior")
    module: Training
    for source, module in (
        (prior, PriorModule(PriorTraining(PRIOR, data, optim, 0, prior, bits), tmp_path)),
        (
            str(tmp_path / "flow"),
            FlowModule(FlowTraining(FLOW, data, optim, 0, str(tmp_path / "flow"), bits), tmp_path),
        ),
        (
            str(model_folder),
            EncoderModule(
                EncoderTraining(
                    ENCODER, prior, data, optim, start_from=str(model_folder), stored_bits=bits
                ),
                tmp_path,
            ),
        ),
    ):
        ours, theirs = module.trained.state_dict(), load_file(f"{source}/model.safetensors")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        module.export(tmp_path / "out")
        saved = load_file(tmp_path / "out" / "model.safetensors")
        kernels = {k: v for k, v in saved.items() if v.dim() == 4 and len(v) > 1}
        for name, kernel in kernels.items():
            inner = not name.endswith(NEXT_TO_PIXELS)
            packed = torch.int8 if inner else torch.float16
            assert kernel.dtype == {8: packed, 16: torch.float16, 32: torch.float32}[bits]
        shutil.rmtree(tmp_path / "out")


def test_nothing_is_mirrored_that_should_not_be_and_every_draw_is_another() -> None:
    keys = [k for batch in islice(StepBatches(50, 5, seed=1, flip=False), 20) for k in batch]
    assert not any(key.mirrored for key in keys)
    assert len({key.draw for key in keys}) == 100
    assert keys != [k for b in islice(StepBatches(50, 5, seed=2, flip=False), 20) for k in b]
    assert [k.row for k in keys[:50]] != [k.row for k in keys[50:]]


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_shipped_configurations_are_valid(path: Path) -> None:
    kind: type[Any] = PriorTraining
    if re.search("-(x|sr|restore|judge)", path.stem):
        kind = FlowTraining if "hcflow" in path.stem else EncoderTraining
    settings = load_yaml(kind, path)
    assert from_dict(type(settings), yaml.safe_load(to_yaml(settings)), "x")
    if isinstance(settings, PriorTraining):
        settings.model.check_used()
    elif isinstance(settings, EncoderTraining):
        settings.model.check_used(prior_of(Path(settings.prior).name))
    assert not Path(settings.data.folder).is_absolute(), "a path of one machine"


def prior_of(name: str) -> HVAEConfig:
    """What a bundled prior is, or one of the released models."""
    if name in PRESETS:
        return PRESETS[name]
    record = read_record(find(name))
    assert isinstance(record, PriorRecord)
    return record.model


def test_what_is_there_already_has_no_key_that_counts_for_nothing() -> None:
    for config in (
        *PRESETS.values(),
        *map(prior_of, ("celeba64", "celeba64-light", "nuclei", "photos", "photos-light")),
    ):
        config.check_used()
    for name in bundled_names():
        record = read_record(find(name))
        if isinstance(record, (SuperResolutionRecord, RestorerRecord)):
            record.model.check_used(prior_of(record.prior))


def one_of_two(rank: int, port: int, *arguments: str) -> None:
    """The command in one of two processes, as torchrun tells them of each other."""
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "two"}
    told |= {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
    told |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), 2)
    os.environ.update({name: str(value) for name, value in told.items()})
    command(*arguments)


def test_two_processes_train_as_one_with_the_whole_batch(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and weights agree: the batch, the noise and the gradient are shared out."""
    config = prior_config(photos, tmp_path / "prior.yaml", steps=12)
    arguments = ["train", "prior", "--config", str(config), "--out"]
    alone, both = tmp_path / "alone", tmp_path / "both"
    port = free_port()
    for process in [beside(one_of_two, rank, port, *arguments, str(both)) for rank in range(2)]:
        assert process.wait(PATIENCE) == 0
    assert run(*arguments, str(alone), monkeypatch=monkeypatch) == 0
    one, two = (load_file(f / "model/model.safetensors") for f in (alone, both))
    torch.manual_seed(0)
    start = HVAE(PRIOR).state_dict()
    moved = sum(float((one[name] - start[name]).square().sum()) for name in start)
    apart = sum(float((one[name] - two[name]).square().sum()) for name in start)
    assert (apart / moved) ** 0.5 < 0.02  # what bf16 leaves where the machine has it
    losses = [validation_losses(folder) for folder in (alone, both)]
    assert losses[0] == pytest.approx(losses[1], rel=5e-4)


def validation_losses(folder: Path) -> list[float]:
    with next(folder.glob("log/*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    return [float(v) for row in rows if (v := row.get("validation_bits_per_dim"))]


def test_processes_that_cannot_share_a_batch_are_refused(photos: Path) -> None:
    data = TrainingData(DataConfig(folder=str(photos), validation=2), replace(OPTIM, steps=12), 16)
    data.trainer = among(2)
    assert len(next(iter(data.train_dataloader()))) == 2
    data.trainer = among(3)
    with pytest.raises(ConfigError, match="3 processes cannot share batches of 4"):
        data.train_dataloader()


def among(processes: int) -> Any:
    """A trainer's place as the first of some processes."""
    return SimpleNamespace(world_size=processes, global_step=0, global_rank=0)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("pixel_weight", [0.0, 10.0])
def test_a_flow_learns_and_resumes(photos: Path, tmp_path: Path, pixel_weight: float) -> None:
    data = DataConfig(folder=str(photos), crop=30, validation=2)
    ends = []
    for stop in ([16], [5, 16]):
        folder = tmp_path / str(len(stop))
        for steps in stop:
            optim = replace(OPTIM, steps=steps, decay=0, learning_rate=3e-3)
            module = FlowModule(FlowTraining(FLOW, data, optim, pixel_weight), folder)
            images = TrainingData(data, optim, 16)
            fit(module, images, precision="32-true", log_every_n_steps=4)
        ends.append(load_file(folder / "model/model.safetensors"))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    with next((tmp_path / "1").glob("log/*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    bits = [float(row["bits_per_dim"]) for row in rows if row.get("bits_per_dim")]
    assert bits[-1] < bits[0] - 0.5
    assert load(str(tmp_path / "1" / "model")).scale == 4


def test_the_command_trains_a_flow(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(folder=str(photos), crop=30, validation=2)
    config, out = tmp_path / "flow.yaml", tmp_path / "run"
    config.write_text(to_yaml(FlowTraining(FLOW, data, OPTIM, 10.0)))
    arguments = ["train", "flow", "--config", str(config), "--out", str(out)]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert load(str(out / "model")).method == "flow"


@pytest.fixture(scope="module")
def keys() -> Any:
    """The module that writes the page of all keys."""
    docs = Path(__file__).parents[1] / "docs"
    spec = importlib.util.spec_from_file_location("page", docs / "make_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_on_the_page_of_all_keys_can_be_written_so(keys: Any) -> None:
    for cls in keys.SECTIONS.values():
        for field in fields(cls):
            said = keys.default_of(field)
            if not said.startswith("`"):
                continue
            alone = make_dataclass("Alone", [(field.name, get_type_hints(cls)[field.name])])
            told = yaml.safe_load(f"{field.name}: {said.strip('`')}")
            taken: object = from_dict(alone, told, "page")
            made = field.default_factory
            expected = field.default if made is MISSING else made()
            assert getattr(taken, field.name) == expected, (cls.__name__, field.name)


def test_the_page_of_all_keys_is_up_to_date(keys: Any) -> None:
    module = keys
    assert module.PAGE.read_text() == module.page(), "run python docs/make_configuration.py"
    for cls in module.SECTIONS.values():
        missing = {f.name for f in fields(cls)} - set(module.attributes(cls))
        assert not missing, f"{cls.__name__} does not say what {missing} means"
