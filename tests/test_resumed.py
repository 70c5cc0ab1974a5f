"""What a training looks at before its first step: its checkpoint, and its images."""

import os
import shutil
import signal
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import ENCODER, PRIOR, saved_prior, tiny_prior
from torch import nn

import cvdvae.data.images
from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.configs import to_yaml
from cvdvae.data.folder import DataConfig, load_images
from cvdvae.errors import ConfigError, InputError, WeightsError
from cvdvae.training import EncoderTraining, OptimConfig, PriorTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.order import StepBatches
from cvdvae.training.prior import PriorModule
from cvdvae.training.run import Direct, fit

OPTIM = OptimConfig(2, batch_size=2, warmup=0)
CHANGED = "the split of {} into training and validation images is another than before"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (20, 18), (40 * i, 90, 120)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def nothing_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training draws no pictures, which take longer than its steps."""
    monkeypatch.setattr(PriorModule, "_picture", lambda *_: None)


def train(data: DataConfig, out: Path, **optim: Any) -> None:
    config = PriorTraining(PRIOR, data, replace(OPTIM, **optim))
    module = PriorModule(config, out)
    fit(module, TrainingData(data, config.optim, 16), precision="32-true")


@pytest.mark.usefixtures("nothing_shown")
def test_a_run_whose_images_are_others_says_so_and_goes_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images may have been added on purpose. A checkpoint of before says nothing of them."""
    data, last = DataConfig(str(photos), validation=2), tmp_path / "run" / "last.ckpt"
    train(data, last.parent)
    Image.new("RGB", (20, 18)).save(photos / "0a.png")
    kept = torch.load(last, weights_only=True)
    for old in (False, True):
        torch.save({k: v for k, v in kept.items() if not (old and k == "TrainingData")}, last)
        capsys.readouterr()
        train(data, last.parent, steps=3)
        assert capsys.readouterr().err.count(CHANGED.format(photos)) == (not old)
        assert torch.load(last, weights_only=True)["global_step"] == 3


@pytest.mark.parametrize(
    "change",
    ["more images", "another image", "another split", "other files", "other rows", "none", "older"],
)
def test_every_source_has_a_split_of_its_own(
    change: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels, array = np.zeros((5, 16, 16, 3), np.uint8), tmp_path / "images.npy"
    np.save(array, pixels)
    data = DataConfig(str(photos), validation=2, more=(DataConfig(str(array), validation=1),))
    state = TrainingData(data, OPTIM, 16).state_dict()
    if change == "more images":
        np.save(array, np.concatenate([pixels, pixels]))
    elif change == "another image":
        (photos / "5.png").rename(photos / "1a.png")
    elif change == "another split":
        data = replace(data, validation=3)
    elif change == "other rows":
        np.save(array, pixels + 1)
    elif change in ("other files", "older"):
        Image.effect_noise((20, 18), 50).convert("RGB").save(photos / "3.png")
    if change == "older":  # a checkpoint that knows the names alone
        state["divisions"] = [one[:2] for one in state["divisions"]]
    capsys.readouterr()
    TrainingData(data, OPTIM, 16).load_state_dict(state)
    said = capsys.readouterr().err
    assert said.count(CHANGED.format(array)) == (change == "more images")
    assert said.count(CHANGED.format(photos)) == (change in ("another image", "another split"))
    for source, how in ((photos, "other files"), (array, "other rows")):
        assert (f"{source} has other images than before" in said) == (change == how)
    if change == "more images":
        assert "(5 images then, 10 now)" in said
    validates = "images that were trained on may now validate"  # none of the further sources does
    assert said.count(validates) == (change in ("another image", "another split", "other files"))


def test_further_sources_are_known_by_their_folders(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.npy", tmp_path / "second.npy"
    for i, array in enumerate((first, second)):
        np.save(array, np.full((5 + i, 16, 16, 3), i, np.uint8))
    sources = [DataConfig(str(array), validation=1) for array in (first, second)]
    data = DataConfig(str(photos), validation=2, more=tuple(sources))
    state = TrainingData(data, OPTIM, 16).state_dict()
    capsys.readouterr()
    for more in ((sources[1],), (sources[1], sources[0])):
        TrainingData(replace(data, more=more), OPTIM, 16).load_state_dict(state)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "said"), [(b"\x93NUMPY", "truncated"), (None, "there is no"), (0, "has the shape")]
)
def test_a_further_source_that_is_no_array_is_one_sentence(
    content: bytes | int | None, said: str, photos: Path, tmp_path: Path
) -> None:
    array = tmp_path / "images.npy"
    if isinstance(content, bytes):
        array.write_bytes(content)
    elif content is not None:
        np.save(array, np.uint8(content))
    more = (DataConfig(str(array), validation=0),)
    with pytest.raises(InputError, match=said):
        TrainingData(DataConfig(str(photos), validation=2, more=more), OPTIM, 16)


class Other(L.LightningModule):
    """Another project's."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(2, 1)


def write(path: Path, how: str) -> None:
    """A checkpoint that no training of ours has left so."""
    path.parent.mkdir()
    if how == "foreign":
        trainer = L.Trainer(logger=False, barebones=True)
        trainer.strategy.connect(Other())
        trainer.save_checkpoint(path)
    elif how == "code":
        torch.save({"state_dict": {}, "run": os.system}, path)
    else:
        torch.save(nn.Linear(20, 100).state_dict(), path)
        size = {"truncated": -1000, "empty": 0}.get(how)
        path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "last.ckpt is truncated, damaged, or not a PyTorch file"),
        ("empty", "last.ckpt is truncated, damaged, or not a PyTorch file"),
        ("code", "last.ckpt was not loaded: it holds the Python object posix.system"),
        ("foreign", "run holds a checkpoint of something else: choose another folder for this"),
        ("weights", "run holds a checkpoint of something else: choose another folder for this"),
    ],
)
def test_a_checkpoint_that_cannot_be_continued_is_one_sentence(
    how: str,
    words: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "run" / "last.ckpt", how)
    data, config = DataConfig(str(photos), validation=2), tmp_path / "run.yaml"
    config.write_text(to_yaml(PriorTraining(PRIOR, data, OPTIM)))
    arguments = ("--config", str(config), "--out", str(tmp_path / "run"))
    capsys.readouterr()
    assert run("train", "prior", *arguments, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    assert words in " ".join(said.split())
    assert "Traceback" not in said


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "framed anew": {"jitter_side": 0.01},
    "random squares": {"random_crops": True},
}


@pytest.mark.parametrize(("how", "workers"), [*((one, 0) for one in WAYS), ("random squares", 1)])
def test_damaged_images_beyond_memory_are_named_together_before_the_first_step(
    how: str, workers: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not one by one in the hours after."""
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", 1500)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    further = tmp_path / "further"
    further.mkdir()
    for folder in (photos, further):
        for i in range(6):
            Image.fromarray(noise).save(folder / f"{i}.png")
    broken = [photos / "2.png", photos / "3.png", further / "1.png", further / "3.png"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:3000])
    more = DataConfig(str(further), validation=1, repeat=2, **WAYS[how])
    data = DataConfig(str(photos), validation=2, more=(more,), workers=workers, **WAYS[how])
    with pytest.raises(InputError) as refused:
        train(data, tmp_path / "run")
    assert str(refused.value).startswith(f"4 images cannot be used: {broken[0]} is damaged")
    assert [str(path) in str(refused.value) for path in broken] == [True, True, True, False]
    for path in broken[1:]:
        Image.fromarray(noise).save(path)
    with pytest.raises(InputError, match=f"^{broken[0]} is damaged or truncated"):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run" / "last.ckpt").exists()
    Image.fromarray(noise).save(broken[0])
    TrainingData(data, OPTIM, 16).check()


def test_processes_share_out_what_is_read_beforehand(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", 1500)
    asked: list[str] = []

    def noted(paths: list[Path], *given: Any, **how: Any) -> torch.Tensor:
        asked.extend(path.name for path in paths)
        return load_images(paths, *given, **how)

    monkeypatch.setattr(cvdvae.data.images, "load_images", noted)
    data = TrainingData(DataConfig(str(photos), validation=2), OPTIM, 16)
    assert not asked
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        data.check()
        assert asked == [f"{i}.png" for i in range(rank, 6, 2)]
        asked.clear()


@pytest.mark.usefixtures("nothing_shown")
def test_the_last_step_is_validated_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not it is one that is validated anyway; and again where a whole run is started."""
    steps: list[int] = []
    monkeypatch.setattr(
        PriorModule, "on_validation_epoch_end", lambda self: steps.append(self.global_step)
    )
    data = DataConfig(str(photos), validation=2)
    for to, validated in ((2, [2]), (3, [3]), (3, [3])):
        train(data, tmp_path / "run", steps=to, validate_every=2)
        assert steps == validated
        steps.clear()


def test_a_training_needs_images_to_be_measured_on(photos: Path) -> None:
    none = DataConfig(str(photos), only="*.jpg")
    more = DataConfig(str(photos / "no folder"), more=(none,))  # said before the first is read
    for data in (DataConfig(str(photos), validation=0), none, more):
        words = r"keeps no image: .* one or more|no image whose name is like '\*\.jpg'"
        with pytest.raises((ConfigError, InputError), match=words):
            TrainingData(data, OPTIM, 16)
    TrainingData(DataConfig(str(photos), validation=0, validation_every=3), OPTIM, 16)


def test_what_validates_does_not_train_as_part_of_another_source(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(photos)
    np.save(array := tmp_path / "images.npy", np.zeros((6, 16, 16, 3), np.uint8))
    for folder, name, kept, trains in (
        (photos, "[345].png", 0, 2),  # 4 and 5 validate
        (tmp_path / "alias", "[345].png", 1, 1),
        (photos, "[0123].png", 0, 0),
        (photos, "*", 2, 0),  # divided alike
        (array, "*", 0, 0),
    ):
        more = DataConfig(str(folder), only=name, validation=kept, repeat=3)
        data = DataConfig(str(photos), validation=2, more=(more,))
        words = f"^{trains} of the images that {photos} keeps for validation would train"
        with pytest.raises(InputError, match=words) if trains else nullcontext():
            TrainingData(data, OPTIM, 16)
    more = DataConfig(str(array), validation=1)
    with pytest.raises(InputError, match=r"^1 of the images"):
        TrainingData(DataConfig(str(array), validation=2, more=(more,)), OPTIM, 16)


@pytest.mark.usefixtures("nothing_shown")
def test_a_checkpoint_goes_straight_to_its_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's temporary folder may be small, and is swept by nobody."""

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    train(DataConfig(str(photos), validation=2), tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").is_file()
    with pytest.raises(OSError, match="No space left"):  # which is told of as such
        Direct().save_checkpoint({"weights": torch.zeros(9)}, "/dev/full")


def test_a_disk_that_is_full_half_way_through_a_checkpoint_is_told_of_as_such(
    tmp_path: Path,
) -> None:
    """PyTorch makes another error of it, which speaks of positions in its archive."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            Direct().save_checkpoint({"weights": torch.zeros(99_999)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.strerror == "File too large"


@pytest.mark.usefixtures("nothing_shown")
def test_a_model_without_its_checkpoint_is_not_replaced_without_a_word(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = DataConfig(str(photos), validation=2), tmp_path / "run"
    for told in (0, 1):
        train(data, out)
        assert capsys.readouterr().err.count("holds a model without its checkpoint") == told
        (out / "last.ckpt").unlink()


def test_a_prior_that_changes_takes_nothing_from_an_encoder(photos: Path, tmp_path: Path) -> None:
    """It comes along before the first step, and the run goes on with that."""
    data = DataConfig(str(photos), validation=2)
    place, own = saved_prior(tmp_path / "prior"), tmp_path / "run" / "model" / "prior"

    def encoder(prior: Path, steps: int) -> EncoderModule:
        config = EncoderTraining(ENCODER, str(prior), data, replace(OPTIM, steps=steps))
        return EncoderModule(config, tmp_path / "run")

    def go_on(module: EncoderModule) -> None:
        fit(module, TrainingData(data, module.optim, 16), precision="32-true")

    module = encoder(place, steps=2)
    module.begin()
    other = tiny_prior(seed=1)
    save_model(place, PriorRecord("prior", other.config), other.state_dict())
    go_on(module)
    assert digest(own) == module.prior_digest != digest(place)
    with pytest.raises(ConfigError, match=f"go on with --prior {own}"):
        go_on(encoder(place, steps=3))
    go_on(encoder(own, steps=3))
    assert digest(own) == module.prior_digest
    shutil.rmtree(place)
    with pytest.raises(WeightsError, match=f"goes on with --prior {own}"):
        encoder(place, steps=4)
    (tmp_path / "run" / "last.ckpt").unlink()  # begun anew on another, it leaves the model there
    encoder(saved_prior(place, other), steps=4).begin()
    assert digest(own) == module.prior_digest


def test_batches_of_another_size_go_on_after_the_images_of_those_before(photos: Path) -> None:
    data = DataConfig(str(photos), validation=2, flip=False)
    whole = iter(StepBatches(4, 1, seed=0, flip=False))
    order = [next(whole)[0] for _ in range(6)]
    state: dict[str, Any] = {}
    for step, size, first in ((0, 3, 0), (1, 1, 3), (2, 2, 4)):
        images = TrainingData(data, replace(OPTIM, batch_size=size), 16)
        trainer: Any = SimpleNamespace(world_size=1, global_rank=0, global_step=step)
        images.trainer = trainer
        if state:
            images.load_state_dict(state)
        batch = next(iter(images.train_dataloader()))
        expected = torch.stack([images.training[key] for key in order[first : first + size]])
        assert torch.equal(batch, expected)
        trainer.global_step = step + 1
        state = images.state_dict()
        assert state["seen"] == first + size


@pytest.mark.usefixtures("nothing_shown")
def test_a_rate_that_had_fallen_and_rises_again_is_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = DataConfig(str(photos), validation=2), tmp_path / "run"
    said = "its learning rate had fallen to {} and rises to {} again (copy {} over it first"
    train(data, out, steps=2)
    train(data, out, steps=5, decay=2)  # it is where it was
    assert "rises" not in capsys.readouterr().err
    for steps, decay, rises in ((8, 4, "75%"), (11, 3, "100%")):
        plateau = (out / "plateau.ckpt").read_bytes()
        train(data, out, steps=steps, decay=decay)
        assert said.format("0%", rises, out / "plateau.ckpt") in capsys.readouterr().err
        assert (out / "plateau.ckpt").read_bytes() == plateau  # it goes on within or from a fall
