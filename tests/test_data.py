"""Training images from folders and from memory-mapped arrays."""

import pickle
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.utils.data import DataLoader

import cvdvae.data.images
from cvdvae.configs import load_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.data.images import (
    ArrayImages,
    CropImages,
    FileImages,
    JitteredImages,
    Key,
    MemoryImages,
    open_images,
)
from cvdvae.errors import ConfigError, InputError
from cvdvae.evaluation.selection import Selection
from cvdvae.imaging.io import Photo, read_photo
from cvdvae.training import OptimConfig
from cvdvae.training.data import TrainingData, _Keyed
from cvdvae.training.order import StepBatches


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
    assert isinstance(training, ArrayImages)
    assert isinstance(training.array, np.memmap)


def test_a_reading_process_opens_the_file_for_itself(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=7), 8)
    sent = pickle.dumps(training)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent)[2], training[2])


def test_a_mirrored_key_gives_the_mirrored_image(array: Path) -> None:
    training, _ = open_images(DataConfig(str(array), validation=0), 8)
    assert torch.equal(training[Key(3, mirrored=True)], training[3].flip(-1))


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


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Six photographs of different sizes, whose pixels tell where they are from."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(6):
        rows, columns = np.indices((20 + 4 * i, 16 + i))
        image = np.stack([rows, columns, np.full_like(rows, i)], axis=2).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def test_random_crops_are_turned_squares_from_everywhere(photographs: Path) -> None:
    config = DataConfig(str(photographs), random_crops=True, validation_every=3)
    training, validation = open_images(config, 8)
    assert isinstance(training, CropImages)
    areas = {i: (20 + 4 * i) * (16 + i) // 64 for i in (1, 2, 4, 5)}
    assert {i: list(training.rows).count(i) for i in set(training.rows)} == areas
    assert set(validation.rows) == {0, 3}
    keys = [key for batch in islice(StepBatches(len(training), 8, 0), 100) for key in batch]
    crops = torch.stack([training[key] * 255 for key in keys]).round()
    assert crops.shape == (800, 3, 8, 8)
    for key, crop in zip(keys, crops, strict=True):
        assert set(crop[2].unique().tolist()) == {training.rows[key.row]}
    downwards, mirrored = (
        crops[:, 0, 1, 0] > crops[:, 0, 0, 0],
        crops[:, 1, 0, 1] < crops[:, 1, 0, 0],
    )
    for share in (downwards, mirrored):
        assert 0.15 < float(share.float().mean()) < 0.6
    assert float(crops[:, 0].max()) > 35  # the last rows of the largest photograph
    assert torch.equal(validation[3], open_images(config, 8)[1][3])


def test_photographs_that_do_not_fit_into_memory_are_cut_from_the_files(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned: its header has the sides of the picture as it lies
    Image.open(photographs / "4.png").save(photographs / "4.png", exif=exif)
    config = DataConfig(str(photographs), random_crops=True, validation_every=3)
    held = open_images(config, 8)
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", 3 * (20 * 16 + 24 * 17))
    read = open_images(config, 8)
    assert isinstance(held[0], CropImages)
    assert isinstance(read[0], CropImages)
    assert (len(held[0].photos.held), len(read[0].photos.held)) == (6, 2)
    asked: list[Path] = []

    def counted(path: Path) -> Photo:
        asked.append(path)
        return read_photo(path)

    monkeypatch.setattr("cvdvae.data.photographs.read_photo", counted)
    assert isinstance(read[1], CropImages)
    for _ in range(3):  # those that validate follow each other
        read[1].photos[3]
    assert len(asked) == 1
    for one, other in zip(held, read, strict=True):
        assert one.rows == other.rows
        for row in range(len(one)):
            assert torch.equal(one[Key(row, draw=row)], other[Key(row, draw=row)])


def sixteen_bits(path: Path, most: int, colours: bool) -> None:
    """A ramp up to a value, in a file of 16 bits."""
    ramp = np.linspace(0, most, 16 * 16).round().astype(np.uint16).reshape(16, 16)
    if colours:
        ramp = np.stack([ramp] * 3, 2)
    tifffile.imwrite(path, ramp, photometric="rgb" if colours else "minisblack")


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("how", [{}, {"jitter_side": 0.01}, {"random_crops": True}])
def test_counts_of_12_bits_are_refused_and_not_made_black(
    how: dict[str, Any],
    colours: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In 16 bits, of which they fill a sixteenth; what fills them is a photograph, and is noted."""
    config = DataConfig(str(tmp_path), validation=1, **how)
    for i in range(2):
        sixteen_bits(tmp_path / f"{i}.tif", 65535, colours)
    images, _ = open_images(config, 16)
    assert float(images[Key(0)].max()) > 0.99
    assert capsys.readouterr().err.count("note: 16-bit values were reduced to 8 bits") == 1
    sixteen_bits(tmp_path / "0.tif", 9, colours)  # a dark one among others
    open_images(config, 16)
    assert len(list(Selection(tmp_path).truths(16, {}))) == 2
    Image.new("RGB", (16, 16), "white").save(tmp_path / "2.png")  # tells nothing of the others
    (tmp_path / "1.tif").unlink()
    open_images(config, 16)  # still a dark one
    for i in range(2):
        sixteen_bits(tmp_path / f"{i}.tif", 4095, colours)
    words = r"\.tif fills less than a sixteenth of its 16 bits.*docs/microscopy\.md"
    for memory in (cvdvae.data.images.MEMORY, 0):
        monkeypatch.setattr(cvdvae.data.images, "MEMORY", memory)
        with pytest.raises(InputError, match=words):
            open_images(config, 16)
    with pytest.raises(InputError, match=words):
        list(Selection(tmp_path).truths(16, {}))


@pytest.mark.parametrize("memory", [cvdvae.data.images.MEMORY, 0])
@pytest.mark.parametrize("how", [{}, {"crop": 14}, {"jitter_side": 0.01}])
def test_images_that_are_enlarged_are_noted_once(
    how: dict[str, Any],
    memory: int,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a model learns of them is what enlarging makes: they are blurred."""
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", memory)
    config = DataConfig(str(photographs), validation=1, **how)
    side = how.get("crop", 16)
    open_images(config, side)
    assert "is enlarged" not in capsys.readouterr().err
    open_images(config, 32)
    said = capsys.readouterr().err
    assert said.count("is enlarged to 32×32") == 1
    assert f"note: {photographs / '0.png'} gives a square of {side}×{side} pixels" in said
    monkeypatch.setenv("RANK", "1")
    open_images(config, 32)
    assert not capsys.readouterr().err


def test_a_photograph_that_holds_no_crop_is_named(photographs: Path) -> None:
    with pytest.raises(InputError, match=r"0\.png has 16×20 pixels: no square of 18×18"):
        open_images(DataConfig(str(photographs), random_crops=True, validation_every=3), 18)


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
        ("short", "too few images: 7 would validate"),
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
    with pytest.raises(ConfigError, match="at most 256"):
        DataConfig("x", workers=100_000)
    with pytest.raises(ConfigError, match="cannot go with random_crops"):
        DataConfig("x", crop=4, random_crops=True)
    with pytest.raises(ConfigError, match="nothing to train on"):
        DataConfig("x", validation_every=1)
    with pytest.raises(ConfigError, match="counts for nothing beside validation_every"):
        DataConfig("x", validation=100, validation_every=20)
    with pytest.raises(ConfigError, match="split_seed"):
        DataConfig("x", split_seed=2**40)


def test_sources_are_joined_and_each_keeps_its_validation_apart(tmp_path: Path) -> None:
    for name, count, grey in (("a", 5, 10), ("b", 4, 100), ("c", 3, 200)):
        (tmp_path / name).mkdir()
        for i in range(count):
            image = Image.new("RGB", (8, 8), (grey + i,) * 3)
            image.save(tmp_path / name / f"{name}_{i}.png")
            image.save(tmp_path / name / f"other_{i}.png")
    more = tuple(
        DataConfig(str(tmp_path / name), only=f"{name}_*", validation=1, repeat=repeat)
        for name, repeat in (("b", 1), ("c", 2))
    )
    config = DataConfig(str(tmp_path / "a"), only="a_*", validation=2, more=more)
    training, validation = open_images(config, 8)
    seen = [round(float(training[Key(i)].mean()) * 255) for i in range(len(training))]
    assert seen == [10, 11, 12, 100, 101, 102, 200, 201, 200, 201]
    kept = [round(float(validation[Key(i)].mean()) * 255) for i in range(len(validation))]
    assert kept == [13, 14]
    with pytest.raises(ConfigError, match="repeat must be from 1"):
        DataConfig("x", repeat=0)


@pytest.mark.parametrize("flips", [(True, False), (False, True), (False, False)])
def test_every_source_is_mirrored_in_its_own_way(tmp_path: Path, flips: tuple[bool, bool]) -> None:
    for name, blue in (("a", 0), ("b", 255)):
        (tmp_path / name).mkdir()
        ramp = np.zeros((8, 8, 3), np.uint8)
        ramp[..., 0], ramp[..., 2] = 10 * np.arange(8), blue
        for i in range(4):
            Image.fromarray(ramp).save(tmp_path / name / f"{i}.png")
    more = DataConfig(str(tmp_path / "b"), validation=0, flip=flips[1])
    config = DataConfig(str(tmp_path / "a"), validation=1, flip=flips[0], more=(more,))
    data = TrainingData(config, OptimConfig(10, batch_size=7, warmup=0), 8)
    data.trainer = cast(Any, SimpleNamespace(world_size=1, global_step=0, global_rank=0))
    images = torch.cat(list(islice(data.train_dataloader(), 20)))
    for blue, flip in zip((0, 1), flips, strict=True):
        those = images[images[:, 2, 0, 0] == blue]
        mirrored = float((those[:, 0, 0, 0] > those[:, 0, 0, 7]).float().mean())
        assert (0.3 < mirrored < 0.7) if flip else mirrored == 0


def test_a_further_source_that_would_not_be_followed_is_refused() -> None:
    nested = DataConfig("b", more=(DataConfig("c"),))
    with pytest.raises(ConfigError, match="more of b: name its sources beside it"):
        DataConfig("a", more=(nested,))
    with pytest.raises(ConfigError, match="workers of b: all sources are read by the first's"):
        DataConfig("a", more=(DataConfig("b", workers=2),))
    assert DataConfig("a", workers=2, more=(DataConfig("b", workers=2),)).workers == 2


def test_a_configuration_names_further_sources(tmp_path: Path) -> None:
    text = "folder: a\nmore:\n- {folder: b, only: 'b_*', repeat: 3}\n"
    (tmp_path / "data.yaml").write_text(text)
    config = load_yaml(DataConfig, tmp_path / "data.yaml")
    assert config.more == (DataConfig("b", only="b_*", repeat=3),)


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """A photograph with a mark off its middle, of an odd width."""
    y, x = np.mgrid[:109, :89]
    pixels = np.stack([2 * x, 2 * y, np.where((abs(x - 60) < 8) & (abs(y - 54) < 8), 255, 0)], 2)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "face.png")
    return tmp_path


def test_without_jitter_a_square_is_framed_as_it_is(face: Path) -> None:
    plain, _ = open_images(DataConfig(str(face), crop=74, validation=0), 32)
    framed = JitteredImages([face / "face.png"], 32, DataConfig(str(face), crop=74))
    assert torch.equal(framed[Key(0, draw=1)], plain[0])


def test_jitter_frames_an_image_anew_whenever_it_comes(face: Path) -> None:
    config = DataConfig(str(face), crop=74, validation=0, jitter_side=0.05, jitter_angle=3)
    training, _ = open_images(config, 32)
    plain, _ = open_images(DataConfig(str(face), crop=74, validation=0), 32)
    drawn = torch.stack([training[Key(0, draw=draw)] for draw in range(400)])
    assert torch.equal(drawn[7], training[Key(0, draw=7)])
    assert drawn.flatten(1).unique(dim=0).shape[0] == 400
    # A ramp across the image is as steep as the square is wide, and slanted as it is turned.
    reds = drawn[:, 0].double()
    wide = (reds[:, 16, 24] - reds[:, 16, 8]) / (plain[0][0, 16, 24] - plain[0][0, 16, 8])
    slant = torch.rad2deg(
        torch.atan2(reds[:, 24, 16] - reds[:, 8, 16], reds[:, 16, 24] - reds[:, 16, 8])
    )
    assert 0.04 < float(wide.log().std()) < 0.06
    assert 2.5 < float(slant.std()) < 3.5
    assert abs(float(wide.log().mean())) < 0.01
    assert float(slant.abs().max()) < 9.6


def test_what_validates_is_not_jittered(face: Path) -> None:
    Image.open(face / "face.png").save(face / "other.png")
    config = DataConfig(str(face), crop=74, validation=1, jitter_side=0.1)
    training, validation = open_images(config, 32)
    assert isinstance(training, JitteredImages)
    plain, _ = open_images(DataConfig(str(face), crop=74, validation=0), 32)
    assert torch.equal(validation[0], plain[0])
    assert len(training) == len(validation) == 1


def test_what_does_not_fit_into_memory_is_framed_from_the_files(
    face: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.open(face / "face.png").rotate(90).save(face / "other.png")
    config = DataConfig(str(face), validation=0, jitter_side=0.05, jitter_angle=3)
    paths = [face / "face.png", face / "other.png"]
    held = JitteredImages(paths, 32, config)
    monkeypatch.setattr(cvdvae.data.images, "MEMORY", held.photos[0][0].nbytes)
    read = JitteredImages(paths, 32, config)
    assert (len(held.photos), len(read.photos)) == (2, 1)
    for row in (0, 1):
        assert torch.equal(read[Key(row, draw=5)], held[Key(row, draw=5)])


@pytest.mark.parametrize("jitter", [0.0, 0.05])
def test_what_a_further_source_keeps_aside_is_not_read(face: Path, jitter: float) -> None:
    (face / "last.png").write_bytes(b"damaged")
    more = DataConfig(str(face), validation=1, jitter_side=jitter)
    (face.parent / "first").mkdir(exist_ok=True)
    Image.open(face / "face.png").save(face.parent / "first" / "a.png")
    first = DataConfig(str(face.parent / "first"), validation=0, more=(more,))
    training, validation = open_images(first, 32)
    assert (len(training), len(validation)) == (2, 0)
    training[Key(1, draw=0)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jitter_side": 0.11}, "jitter_side must be from 0 to 0.1"),
        ({"jitter_angle": -1}, "jitter_angle must be from 0 to 10"),
        ({"jitter_angle": 1, "random_crops": True}, "random_crops are cut as they are"),
    ],
)
def test_impossible_jitter_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DataConfig("faces", **options)  # type: ignore[arg-type]


def test_an_array_cannot_be_framed_anew(array: Path) -> None:
    with pytest.raises(InputError, match="without random_crops, jitter, or only"):
        open_images(DataConfig(str(array), jitter_side=0.01), 8)
