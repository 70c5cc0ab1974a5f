"""Walks of newcomers, command by command, on small data; clicks are in the tests of the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from command import run
from PIL import Image
from tiny import PHOTOS, SCALES
from typer.main import get_command

import cvdvae
from cvdvae.cli.program import app
from cvdvae.configs import to_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.photos import coffee
from cvdvae.training import EncoderTraining, OptimConfig, PriorTraining

OPTIM = OptimConfig(4, batch_size=4, warmup=1, decay=2, validate_every=4, checkpoint_every=4,
                    skip_norm=1e6)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def walk(monkeypatch: pytest.MonkeyPatch, *commands: str) -> None:
    """Give commands as one types them; each must end well."""
    for command in commands:
        assert run(*command.split()[1:], monkeypatch=monkeypatch) == 0, command


def test_a_person_with_a_photograph(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coffee().resize((30, 21)).save("my_photo.png")
    walk(
        monkeypatch,
        "cvdvae upscale my_photo.png --scale 2 --samples 2 --no-check --out results",
        "cvdvae replay results/my_photo/result.json --out again",
    )
    first, again = (
        Image.open(here / folder / "sample_00.png").tobytes()
        for folder in ("results/my_photo", "again")
    )
    assert first == again


@pytest.mark.parametrize(("side", "scale"), [(16, 4), (9, 8), (17, 4), (63, 4), (5, 16)])
def test_a_person_with_a_face_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    side: int,
    scale: int,
) -> None:
    crop_face(demo_photo()).resize((side, side)).save("face.png")
    walk(monkeypatch, "cvdvae upscale face.png --domain faces -n 1 --no-check --json --out results")
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == f"celeba64-x{scale}"
    taken = 64 // scale
    said = f"from {side}×{side} to {taken}×{taken} pixels" in " ".join(told["notes"])
    assert said == (side != taken)


def test_a_face_that_is_too_small_is_told_which_model_takes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, model, sentence in (
        (9, "celeba64-x4", "celeba64-x8 would take it, at 8×8"),
        (3, "celeba64-x16", "no model of faces takes fewer than 4×4"),
        (600, "celeba64-x4", "it is a photo"),
    ):
        Image.new("RGB", (side, side), (120, 90, 80)).save("face.png")
        assert run("upscale", "face.png", "--model", model, "--out", "r", monkeypatch=monkeypatch)
        assert sentence in " ".join(capsys.readouterr().err.split())
        assert not Path("r").exists()


def test_a_researcher(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = here / "faces"
    faces.mkdir()
    for i in range(3):
        crop_face(demo_photo()).rotate(3 * i).resize((80, 80)).save(faces / f"{i}.png")
    walk(
        monkeypatch,
        "cvdvae evaluate --domain faces --data faces --scale 8 -n 2 --temperature 0.8 --out out",
    )
    assert (here / "out/table.md").exists()
    model = cvdvae.load("celeba64-x8")
    result = model.upscale(torch.full((3, 8, 8), 0.4), samples=2)
    assert torch.equal(result.pixels, model.run(result.y, result.sampling).pixels)


def test_a_microscopist(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 12-bit image of nuclei in 16 bits, as a camera writes it; training is walked through by
    test_own_data.py."""
    rows, columns = np.mgrid[:24, :20]
    light = np.full((24, 20), 90.0)
    for row, column, side in ((6, 5, 2.5), (15, 12, 3.0), (8, 15, 2.0)):
        light += 3000 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * side**2))
    measured = np.random.default_rng(0).poisson(light).clip(0, 4095).astype(np.uint16)
    told = {"spacing": 0.5, "unit": "um"}
    tifffile.imwrite("well.tif", measured, imagej=True, resolution=(4.0, 4.0), metadata=told)
    walk(monkeypatch, "cvdvae upscale well.tif --model nuclei-x4 --samples 2 --out results")
    assert "0 to 4095" in capsys.readouterr().out

    folder = here / "results/well"
    samples = [tifffile.imread(folder / f"sample_{i:02d}.tif") for i in range(2)]
    assert [(s.dtype, s.shape) for s in samples] == [(np.dtype(np.uint16), (96, 80))] * 2
    drawn = np.stack(samples).astype(float)
    mean, std = (tifffile.imread(folder / f"{name}.tif") for name in ("mean", "std"))
    assert np.allclose(mean, drawn.mean(0), atol=0.01)
    assert np.allclose(std, drawn.std(0, ddof=1), atol=0.01)  # in counts of the camera
    assert std.max() > 20
    assert abs(mean.mean() - measured.mean()) < 30
    with tifffile.TiffFile(folder / "sample_00.tif") as file:
        assert (file.imagej_metadata or {})["unit"] == "um"
        tags = file.pages.first.tags
        across, unit = (tags[name].value for name in ("XResolution", "YResolution"))
        assert across[0] / across[1] == unit[0] / unit[1] == 16
    assert (folder / "input.tif").read_bytes() == Path("well.tif").read_bytes()
    walk(monkeypatch, "cvdvae replay results/well/result.json --out again")
    assert np.array_equal(tifffile.imread("again/sample_01.tif"), samples[1])


def test_a_folder_of_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README, “Train it on your own images”, from images of any size to samples and a table."""
    folder, rng = here / "images", np.random.default_rng(0)
    folder.mkdir()
    for i in range(14):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        size = (int(rng.integers(26, 60)), int(rng.integers(26, 60)))
        Image.fromarray(coarse).resize(size).save(folder / f"{i:02d}.png")
    (here / "few").mkdir()
    for path in sorted(folder.iterdir())[:4]:
        shutil.copy(path, here / "few")
    data = DataConfig(folder="images", validation=2)
    Path("my-prior.yaml").write_text(to_yaml(PriorTraining(PHOTOS, data, OPTIM)))
    encoder = EncoderTraining(SCALES, "my-prior", data, OPTIM, image_size=24)
    Path("my-encoder.yaml").write_text(to_yaml(encoder))
    coffee().resize((14, 10)).save("small.png")
    walk(
        monkeypatch,
        "cvdvae train prior --config my-prior.yaml --out runs/my-prior",
        "cvdvae train encoder --config my-encoder.yaml --out runs/my --prior runs/my-prior/model",
        "cvdvae upscale small.png --model runs/my/model --scale 2 -n 2 --out results",
        "cvdvae upscale few --model runs/my/model --scale 2 -n 1 --simulate --out many",
        "cvdvae models",
    )
    assert len(list((here / "many").glob("*/sample_00.png"))) == 4


def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert run(name, "--help", monkeypatch=monkeypatch) == 0
        assert "Usage" in capsys.readouterr().out
