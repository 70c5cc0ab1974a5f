"""Training images from folders and from memory-mapped arrays."""

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import cvdvae.data.images
from cvdvae.data.folder import DataConfig
from cvdvae.data.images import FileImages, MemoryImages, open_images
from cvdvae.errors import ConfigError, InputError
from cvdvae.training.order import StepBatches
from cvdvae.training.run import _Keyed


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def array(pixels: np.ndarray, tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", pixels)
    return tmp_path / "images.npy"


def test_the_split_is_that_of_the_released_models(array: Path, pixels: np.ndarray) -> None:
    training, validation = open_images(DataConfig(str(array), validation=7, split_seed=5), 8)
    np.random.seed(5)  # noqa: NPY002 - as openai/vdvae, data.py
    order = np.random.permutation(20)  # noqa: NPY002
    for images, rows in ((training, order[:-7]), (validation, order[-7:])):
        got = torch.stack([images[i] for i in range(len(images))])
        expected = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).float() / 255
        assert torch.equal(got, expected)


def test_the_array_stays_on_the_disk(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=7), 8)
    assert isinstance(training.array, np.memmap)


def test_a_reading_process_opens_the_file_for_itself(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=7), 8)
    sent = pickle.dumps(training)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent)[2], training[2])


def test_a_mirrored_key_gives_the_mirrored_image(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=0), 8)
    assert torch.equal(training[~3], training[3].flip(-1))


def test_a_large_folder_is_read_file_by_file_with_the_same_images(
    pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i:02d}.png")
    config = DataConfig(str(tmp_path), crop=6, validation=4)
    small, _ = open_images(config, 4)
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", 100)
    large, _ = open_images(config, 4)
    assert isinstance(small, MemoryImages)
    assert isinstance(large, FileImages)
    assert all(torch.equal(small[i], large[i]) for i in range(16))


def test_workers_keep_the_order(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=0), 8)

    def first(workers: int) -> list[torch.Tensor]:
        batches = _Keyed(training, StepBatches(20, 4, seed=0))
        return list(islice(DataLoader(batches, batch_size=None, num_workers=workers), 7))

    assert all(torch.equal(a, b) for a, b in zip(first(0), first(2), strict=True))


def spoil(path: Path, pixels: np.ndarray, fault: str) -> None:
    if fault == "dtype":
        np.save(path, pixels.astype(np.float32))
    elif fault == "shape":
        np.save(path, pixels[:, :7])
    elif fault == "objects":
        np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "text":
        path.write_text("no array")
    elif fault == "short":
        np.save(path, pixels[:7])
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dtype", "holds float32, not uint8"),
        ("shape", r"shape \(20, 7, 8, 3\), not \(N, 8, 8, 3\)"),
        ("objects", "no NumPy array of plain numbers"),
        ("truncated", "truncated"),
        ("text", "truncated, damaged"),
        ("short", "7 images, of which 7 would validate"),
        ("missing", "there is no file"),
    ],
)
def test_a_bad_array_is_one_sentence(
    array: Path, pixels: np.ndarray, fault: str, words: str
) -> None:
    spoil(array, pixels, fault)
    with pytest.raises(InputError, match=words):
        open_images(DataConfig(str(array), validation=7), 8)


def test_impossible_settings_are_refused(array: Path) -> None:
    with pytest.raises(InputError, match="crop must be 0"):
        open_images(DataConfig(str(array), crop=4, validation=2), 8)
    with pytest.raises(ConfigError, match="workers"):
        DataConfig("x", workers=-1)
