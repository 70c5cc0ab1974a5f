"""Photographs as people have them, through the command: any size, kind, folder."""

import io
import itertools
import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from command import run
from PIL import Image, ImageCms
from tiny import copied, saved_resolver, tiny_photos

import cvdvae
from cvdvae.batch.files import plan, shorter_side
from cvdvae.batch.finding import files_of
from cvdvae.batch.sources import open_source
from cvdvae.cli.common import megapixels
from cvdvae.cli.program import app
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.kernels import KERNELS
from cvdvae.errors import InputError
from cvdvae.imaging.carried import Extras
from cvdvae.imaging.io import GREY, kind_of, list_images, read_extras, read_photo, to_tensor
from cvdvae.imaging.sheets import TILE, with_scale_bar

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save_photos(folder: Path) -> None:
    """A tiny model for photographs, ×3."""
    saved_resolver(folder, tiny_photos(3))


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The same in a folder of the test."""
    return str(copied(tmp_path / "tiny-x3", save_photos))


@pytest.fixture
def photo() -> Image.Image:
    """20×14 pixels, smooth."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 190, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((20, 14), Image.Resampling.BILINEAR)


def test_a_folder_keeps_its_folders(
    model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "trip/a.png", "trip/day 2/b.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(tmp_path / "in" / name)
    (tmp_path / "in" / "trip" / "notes.txt").write_text("no picture")
    arguments = ("upscale", str(tmp_path / "in"), "--model", model, "--scale", "3", "-n", "1")
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    found = {str(p.parent.relative_to(tmp_path / "out"))
             for p in (tmp_path / "out").rglob("result.json")}  # fmt: skip
    assert found == {"a", "trip/a", "trip/day 2/b"}


def test_a_pipe_is_refused_and_not_waited_for(
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipes, good = [tmp_path / "a.png", tmp_path / "b.npy"], tmp_path / "good.png"
    for pipe in pipes:
        os.mkfifo(pipe)
    (tmp_path / "c.npy").mkdir()
    photo.save(good)
    inputs = [str(path) for path in (*pipes, tmp_path / "c.npy", good)]
    arguments = ["upscale", *inputs, "--model", model, "--scale", "3", "-n", "1"]
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    for name in ("a.png", "b.npy", "c.npy"):
        assert f"{name} is no file" in said
    assert "3 of 4 inputs failed" in said
    assert (tmp_path / "out" / "good" / "result.json").is_file()
    assert [shorter_side(path) for path in (*pipes, good)] == [None, None, 14]
    assert [kind_of(path) for path in (*pipes, good)] == [None, None, "PNG"]
    assert read_extras(pipes[0])[0].exif is None


def test_a_glob_keeps_the_folders_behind_its_first_wildcard(
    photo: Image.Image, tmp_path: Path
) -> None:
    for name in ("a/1.png", "b/1.png", "1.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(tmp_path / "in" / name)
    jobs = plan([str(tmp_path / "in" / "**" / "*.png")], tmp_path / "out")
    assert {str(job.folder.relative_to(tmp_path / "out")) for job in jobs} == {"1", "a/1", "b/1"}
    assert [job.folder for job in plan([f"{tmp_path}/in/a/*.png"], tmp_path)] == [tmp_path / "1"]


def test_files_of_one_name_in_one_folder_are_refused(photo: Image.Image, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        photo.save(tmp_path / name)
    with pytest.raises(InputError, match="would both be written"):
        plan([str(tmp_path)], tmp_path / "out")
    words = rf"{tmp_path}/a\.jpg and {tmp_path}/a\.png have the one key 'a': rename one"
    with pytest.raises(InputError, match=words):
        open_source(str(tmp_path))
    for name in ("b.png", "b.jpg"):
        photo.save(tmp_path / name)
    with pytest.raises(InputError, match="have the one key 'a', and so do 1 more: rename one"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("suffix", [".avif", ".jp2", ".ppm", ".tga"])
def test_pictures_that_are_read_when_they_are_named_are_found_in_folders(
    suffix: str, photo: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    photo.save(path)
    assert read_photo(path).image.size == photo.size
    assert list_images(tmp_path) == [path]
    assert [found for found, _ in files_of([str(tmp_path)])] == [path]


def test_photos_of_a_telephone_are_not_passed_over_without_a_word(
    photo: Image.Image, tmp_path: Path
) -> None:
    """HEIC: none is read, which a folder of them alone says instead of that it holds no image."""
    (tmp_path / "in" / "trip").mkdir(parents=True)
    for name in ("a.heic", "trip/b.HEIF", "trip/._b.heic"):  # the last is of macOS
        (tmp_path / "in" / name).touch()
    said = list[str]()
    words = "in holds no image but HEIC photos, which are not read: save them as JPEG"
    with pytest.raises(InputError, match=words):
        files_of([str(tmp_path / "in")], say=said.append)
    with pytest.raises(InputError, match="holds no image but HEIC photos"):
        list_images(tmp_path / "in")
    photo.save(tmp_path / "in" / "c.png")
    for text in (str(tmp_path / "in"), f"{tmp_path}/i*"):
        assert [path.name for path, _ in files_of([text], say=said.append)] == ["c.png"]
        assert said.pop().startswith("2 HEIC photos were passed over, which are not read: save ")
        assert not said


def test_a_folder_without_images_lists_all_that_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for text in (str(tmp_path / "in"), f"{tmp_path}/i*"):
        with pytest.raises(InputError, match=r"holds no image \(\.avif, .*\.npy.*\.zarr\)"):
            files_of([text])


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "PA"])
def test_a_greyscale_picture_of_any_kind_is_said_to_be_one(
    mode: str, photo: Image.Image, tmp_path: Path
) -> None:
    grey = photo.convert("L")
    grey.convert("P" if mode == "PA" else mode).convert(mode).save(tmp_path / "grey.tif")
    with Image.open(tmp_path / "grey.tif") as saved:
        assert saved.mode == mode
    assert read_photo(tmp_path / "grey.tif").notes == [GREY]
    photo.quantize(64).save(tmp_path / "colours.png")
    assert GREY not in read_photo(tmp_path / "colours.png").notes


def test_profile_and_alpha_are_handed_on_and_grey_stays_grey(
    model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    photo.save(folder / "profile.png", icc_profile=PROFILE)
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    clear.save(folder / "alpha.png", icc_profile=PROFILE)
    photo.convert("L").save(folder / "grey.png")
    for large in (False, True):
        if large:
            monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 1)
        out = tmp_path / f"out {large}"
        arguments = (
            "upscale",
            str(folder),
            "--model",
            model,
            "--scale",
            "3",
            "-n",
            "2",
            "--out",
            str(out),
        )
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        for name in ("profile", "alpha"):
            for picture in ("sample_01.png", "mean.png"):
                with Image.open(out / name / picture) as image:
                    assert image.size == (60, 42)
                    assert image.info["icc_profile"] == PROFILE
                    assert image.mode == ("RGBA" if name == "alpha" else "RGB")
        with Image.open(out / "alpha" / "sample_00.png") as image:
            alpha = np.asarray(image.getchannel("A")).astype(int)
        assert alpha[0].max() < 20 < 235 < alpha[-1].min()
        grey = np.asarray(Image.open(out / "grey" / "sample_01.png"))
        assert (grey == grey[..., :1]).all()
        assert all(json.loads((out / "grey" / "result.json").read_text())["round_trip_exact"])


@pytest.mark.parametrize("space", [b"GRAY", b"CMYK"])
def test_a_profile_that_no_sample_can_carry_is_said_to_be_left_out(
    space: bytes,
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mode = {b"GRAY": "L", b"CMYK": "CMYK"}[space]
    profile = PROFILE[:16] + space + PROFILE[20:]
    photo.convert(mode).save(tmp_path / "scan.jpg", icc_profile=profile, quality=95)
    arguments = ["upscale", str(tmp_path / "scan.jpg"), "--scale", "3", "-n", "1"]
    arguments += ["--model", model, "--out", str(tmp_path / "out")]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert "its colour profile is not one of RGB" in " ".join(capsys.readouterr().out.split())
    with Image.open(tmp_path / "out" / "scan" / "sample_00.png") as image:
        assert "icc_profile" not in image.info


def test_a_large_image_goes_through_files_and_can_be_drawn_again(
    model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what, value in (("batches.BATCH", 1), ("finish.STRIP_PIXELS", 1000)):  # as of large ones
        monkeypatch.setattr(f"cvdvae.restoration.{what}", value)
    monkeypatch.setattr("cvdvae.restoration.recipe.MAX_SIDE", 16)
    photo.save(tmp_path / "photo.png")
    small, large, again = (tmp_path / name for name in ("small", "large", "again"))
    arguments = (
        "upscale",
        str(tmp_path / "photo.png"),
        "--model",
        model,
        "--scale",
        "3",
        "-n",
        "2",
    )
    assert run(*arguments, "--out", str(small), monkeypatch=monkeypatch) == 0
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 1)
    assert run(*arguments, "--out", str(large), monkeypatch=monkeypatch) == 0
    for recipe in (small / "photo" / "result.json", large / "photo" / "result.json"):
        assert json.loads(recipe.read_text())["input"] == "input.png"
        replay = ("replay", str(recipe), "--trust-model", "--out", str(again))
        assert run(*replay, monkeypatch=monkeypatch) == 0
    for name in ("sample_00.png", "sample_01.png"):
        first = (large / "photo" / name).read_bytes()
        assert (again / name).read_bytes() == first
        held = np.asarray(Image.open(small / "photo" / name))
        assert np.array_equal(np.asarray(Image.open(large / "photo" / name)), held)
    assert Image.open(large / "photo" / "grid.png").width > 500
    (large / "photo" / "input.png").unlink()
    assert run(*replay, monkeypatch=monkeypatch) == 1


def test_samples_follow_each_other(
    model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.save(tmp_path / "photo.png")
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "3", "--out", str(tmp_path / "out")]
    for kind in ("webp", "apng"):
        assert run(*arguments, "--animation", kind, monkeypatch=monkeypatch) == 0
        names = {p.name for p in (tmp_path / "out" / "photo").iterdir()}
        assert f"samples.{kind}" in names
        assert len([n for n in names if n.startswith("samples.")]) == 1  # the earlier one is gone
        with Image.open(tmp_path / "out" / "photo" / f"samples.{kind}") as moving:
            assert getattr(moving, "n_frames", 1) == 3
            moving.seek(2)
            third = np.asarray(moving.convert("RGB"))
        saved = np.asarray(Image.open(tmp_path / "out" / "photo" / "sample_02.png"))
        assert np.array_equal(third, saved)
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 1)
    assert run(*arguments, "--animation", "webp", monkeypatch=monkeypatch) == 1


def test_what_is_too_long_for_webp_is_refused_before_it_is_drawn(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (2, 5462), (90, 120, 150)).save(tmp_path / "tall.png")
    arguments = ["upscale", str(tmp_path / "tall.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "1", "--animation", "webp", "--out", str(tmp_path / "out")]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "at most 16383 pixels a side, not 6×16386: take --animation apng" in said
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize("in_memory", [0, 10**6])
def test_a_result_json_of_another_program_stays(
    in_memory: int,
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", in_memory)
    photo.save(tmp_path / "photo.png")
    other = tmp_path / "out" / "photo" / "result.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"files": ["mine.png"], "accuracy": 0.9}')
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "2", "--out", str(tmp_path / "out")]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "result.json is there already, and no earlier result lists it: move it" in said
    assert "accuracy" in other.read_text()
    assert not list(other.parent.glob("*.png"))


def test_json_lists_the_files_that_result_json_lists(
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo.save(tmp_path / "photo.png")
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "2", "--out", str(tmp_path / "out"), "--json"]
    for more in (["--animation", "webp"], ["--animation", "apng"], []):
        assert run(*arguments, *more, monkeypatch=monkeypatch) == 0
        told = json.loads(capsys.readouterr().out)
        result = json.loads((tmp_path / "out" / "photo" / "result.json").read_text())
        assert told["files"] == result["files"]
        there = {path.name for path in (tmp_path / "out" / "photo").iterdir()}
        assert {*told["files"], "result.json"} == there


def test_too_large_an_input_is_refused_with_the_way_out(
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo.save(tmp_path / "photo.png")
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "1", "--out", str(tmp_path / "out"), "--max-megapixels"]
    assert run(*arguments, "0.0002", monkeypatch=monkeypatch) == 1
    assert "raise the limit with --max-megapixels" in " ".join(capsys.readouterr().err.split())
    assert run(*arguments, "0.001", monkeypatch=monkeypatch) == 0


def test_a_limit_that_is_none_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("upscale", str(tmp_path / "none.png"), "--out", str(tmp_path / "out"))
    assert run(*arguments, "--max-megapixels", "0", monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("--max-megapixels is a number above 0, not 0")
    for most in (float("nan"), -0.0, -1.0):  # of which newer typers refuse some themselves
        with pytest.raises(InputError, match="is a number above 0, not"):
            megapixels(most)
    assert megapixels(float("inf")) == sys.maxsize


@pytest.mark.parametrize("exif", [b"garbage!!garbage", b"II*\0"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_picture_with_damaged_exif_is_read_without_it(
    suffix: str, exif: bytes, photo: Image.Image, tmp_path: Path
) -> None:
    photo.save(tmp_path / f"p{suffix}", exif=b"Exif\0\0" + exif, lossless=True)
    found = read_photo(tmp_path / f"p{suffix}")
    assert found.image.size == photo.size
    assert found.extras.exif is None
    if suffix == ".jpg":  # of which Pillow itself reads none
        return
    assert found.notes == ["its EXIF is damaged: it was taken as it lies in the file"]
    assert np.array_equal(np.asarray(found.image), np.asarray(photo))


def strict(text: str) -> dict[str, Any]:
    """JSON as its standard has it, which knows no NaN and no infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_what_is_infinite_is_null_in_json(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (18, 12)).save(tmp_path / "black.png")
    arguments = ["upscale", str(tmp_path / "black.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "1", "--out", str(tmp_path / "out"), "--simulate", "--json"]
    for in_memory in (40_000_000, 1):
        monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", in_memory)
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        told = strict(capsys.readouterr().out)
        recipe = tmp_path / "out" / "black" / "result.json"
        assert told["truth"]["bicubic_psnr"] is strict(recipe.read_text())["truth"]["bicubic_psnr"]
        assert told["truth"]["bicubic_psnr"] is None
        again = ("replay", str(recipe), "--trust-model", "--out", str(tmp_path / "again"))
        assert run(*again, monkeypatch=monkeypatch) == 0
        capsys.readouterr()


@pytest.mark.parametrize("by", [name for name in KERNELS if name != "pillow-bicubic"])
def test_what_another_program_shrank_is_given_back_to_that_program(
    by: str, model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.resize((63, 45), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "2", "--out", str(tmp_path / "out"), "--simulate", "--shrunk-by", by]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    recipe = cvdvae.read_recipe(tmp_path / "out" / "photo" / "result.json")
    assert recipe.sampling.shrunk_by == by
    H = Downscaling((45, 63), (15, 21), by)
    truth = to_tensor(Image.open(tmp_path / "photo.png"))[None]
    assert torch.equal(shrink_to_8_bits(truth, H)[0], recipe.y)
    sample = to_tensor(Image.open(tmp_path / "out" / "photo" / "sample_01.png"))[None]
    assert torch.equal(shrink_to_8_bits(sample.double(), H)[0].float(), recipe.y)


def test_an_unknown_program_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("upscale", "x.png", "--model", model, "--out", str(tmp_path), "--shrunk-by", "me")
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert "choose one of bicubic, pillow-bicubic" in " ".join(capsys.readouterr().err.split())


def test_a_tamer_preset_for_looking(
    model: str, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.save(tmp_path / "photo.png")
    arguments = ["upscale", str(tmp_path / "photo.png"), "--model", model, "--scale", "3"]
    arguments += ["-n", "2", "--out", str(tmp_path / "out"), "--look"]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    sampling = cvdvae.read_recipe(tmp_path / "out" / "photo" / "result.json").sampling
    assert sampling.temperature == sampling.encoder_temperature == 0.6
    assert run(*arguments, "-t", "1", monkeypatch=monkeypatch) == 1


def huge_png(path: Path) -> None:
    """The beginning of 30,000×30,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    chunks += struct.pack(">I", 9) + b"IDAT" + zlib.compress(b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def cut_jpeg(path: Path) -> None:
    """20 megapixels, of which the last third is missing."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((5000, 4000)).convert("RGB").save(stream, "JPEG")
    path.write_bytes(stream.getvalue()[: 2 * len(stream.getvalue()) // 3])


def pages(path: Path) -> None:
    """A TIFF of 200 pages."""
    first, *others = [Image.new("RGB", (4, 4)) for _ in range(200)]
    first.save(path, save_all=True, append_images=others)


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("huge.png", huge_png, "over 100 megapixels: .*--max-megapixels"),
        ("cut.jpg", cut_jpeg, "damaged or truncated"),
        ("pages.tif", pages, "200 pages, over 100: .*--max-pages"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_the_others_are_done(
    name: str,
    make: Callable[[Path], None],
    sentence: str,
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / name)
    photo.save(tmp_path / "in" / "good.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back at the end
    arguments = ("upscale", str(tmp_path / "in"), "--model", model, "--scale", "2", "-n", "1")
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {"good"}
    errors = " ".join(capsys.readouterr().err.split())
    assert re.search(sentence, errors), errors
    assert "Traceback" not in errors


def foreign(text: str, command: str) -> list[str]:
    """Options in a text that a command does not have, but for those said to be of `upscale`."""
    own = {name for p in typer.main.get_command(app).commands[command].params for name in p.opts}  # type: ignore[attr-defined]
    text = re.sub(r"cvdvae upscale --[\w-]+|--[\w-]+( LOW,HIGH)? of cvdvae upscale", "", text)
    return [name for name in re.findall(r"--[a-z][\w-]*", text) if name not in own]


@pytest.mark.parametrize("brand", ["heic", "heix", "hevc", "mif1", "msf1"])
def test_a_photo_of_a_telephone_is_told_how_it_can_be_read(brand: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(InputError, match=r"photo\.jpg is a HEIC photo, .* save it as JPEG"):
        read_photo(path)
    path.write_bytes(b"ftyp" + brand.encode() + bytes(99))
    with pytest.raises(InputError, match=r"photo\.jpg is not an image$"):
        read_photo(path)


@pytest.mark.parametrize("command", ["batch", "examine"])
def test_no_option_is_named_that_the_command_does_not_have(
    command: str,
    model_folder: Path,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    huge_png(tmp_path / "in" / "huge.png")
    photo.resize((600, 600)).save(tmp_path / "in" / "photo.png")
    files = ["huge", "photo"]
    given = ["--model", "celeba64-x8"]
    if command == "batch":
        files += ["pages", "flat", "levels", "square", "large"]
        pages(tmp_path / "in" / "pages.tif")
        np.save(tmp_path / "in" / "flat.npy", np.full((4, 4), 2.5))
        np.save(tmp_path / "in" / "levels.npy", np.array([[0, 2**31]] * 2, np.uint32))
        np.save(tmp_path / "in" / "square.npy", np.zeros((5, 5), np.uint8))
        np.lib.format.open_memmap(tmp_path / "in" / "large.npy", "w+", "u1", (11_000, 10_000))
        given = ["--model", str(model_folder), "--workers", "1", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    assert run(command, str(tmp_path / "in"), *given, monkeypatch=monkeypatch) == 1
    said = [capsys.readouterr().err]
    if command == "batch":
        lines = (tmp_path / "out" / "failures.jsonl").read_text("utf-8").splitlines()
        said += [json.loads(line)["error"] for line in lines]
    for name in files:
        assert sum(f"{name}." in one for one in said) == 1, said
    assert [foreign(one, command) for one in said] == [[]] * len(said)


@pytest.mark.parametrize("size", [(1, 1), (5000, 1)])
def test_the_smallest_and_the_narrowest(
    size: tuple[int, int], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.linear_gradient("L").rotate(90).resize(size).convert("RGB").save(tmp_path / "thin.png")
    arguments = ("upscale", str(tmp_path / "thin.png"), "--model", model, "--scale", "2")
    assert run(*arguments, "-n", "1", "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    with Image.open(tmp_path / "out" / "thin" / "sample_00.png") as image:
        assert image.size == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize("size", [(10_000, 2), (2, 10_000), (64, 64), (1, 1)])
def test_a_map_is_enlarged_to_be_seen_and_not_beyond(size: tuple[int, int]) -> None:
    picture = with_scale_bar(Image.new("RGB", size), 3.0)
    assert picture.width <= max(size[0], 8 * TILE) + 90
    assert TILE <= picture.height <= max(size[1], 2 * TILE)


@pytest.mark.parametrize(("name", "how"), [("a.png", "--noise 0.01"), ("a.jpg", "--jpeg auto")])
def test_what_no_image_shrinks_to_is_told_how_it_could_be_explained(
    name: str,
    how: str,
    model: str,
    photo: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    squares = np.indices((14, 20)).sum(0) // 2 % 2 * 207 + 24
    Image.fromarray(squares.astype(np.uint8)).convert("RGB").save(tmp_path / name, quality=95)
    photo.save(tmp_path / "fine.png")
    asked = ["upscale", name, "fine.png", "--model", model, "--scale", "3", "-n", "1", "--json"]
    monkeypatch.setattr("cvdvae.restoration.beside.restorer_beside", lambda *_: ("restore", 3))
    monkeypatch.chdir(tmp_path)
    assert run(*asked, "--out", "out", monkeypatch=monkeypatch) == 0
    hard, fine = (json.loads(line)["notes"] for line in capsys.readouterr().out.splitlines())
    assert [how in note for note in hard if "no image shrinks to it" in note] == [True]
    assert not [note for note in fine if "no image shrinks to it" in note]
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 0)
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 60 * 42 - 1)
    assert run(*asked, "--out", "out", monkeypatch=monkeypatch) == 0
    hard = json.loads(capsys.readouterr().out.splitlines()[0])["notes"]
    assert [how in note for note in hard if "no image shrinks to it" in note] == [False]


def test_what_is_hidden_is_passed_over_where_folders_are_searched(
    photo: Image.Image, tmp_path: Path
) -> None:
    seen, trash = tmp_path / ".album" / "a.png", tmp_path / ".album" / ".Trash-1000" / "b.png"
    trash.parent.mkdir(parents=True)
    photo.save(trash)
    said: list[str] = []
    with pytest.raises(InputError, match=r"holds no image but hidden ones, as .*b\.png"):
        files_of([str(seen.parent)])
    photo.save(seen)
    for hidden in (seen.with_name(".c.png"), seen.with_name("._d.png")):
        photo.save(hidden)
    assert files_of([str(seen.parent)], say=said.append) == [(seen, Path())]
    assert [f"{trash}" in note and "2 hidden files" in note for note in said] == [True]
    assert list_images(seen.parent) == [seen]
    assert files_of([str(seen.parent / "**"), str(trash)]) == [(seen, Path()), (trash, Path())]


@pytest.mark.parametrize("size", [(40, 28), (60, 42), (17, 93), (5, 3)])
def test_rows_of_an_enlarged_alpha_are_those_of_the_whole(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 256, (14, 20), dtype=np.uint8)
    extras = Extras(alpha=Image.fromarray(values))
    whole = extras.alpha_of(size)
    assert whole is not None
    assert whole == extras.alpha.resize(size, Image.Resampling.BICUBIC)  # type: ignore[union-attr]
    bounds = [0, size[1] // 3, size[1] // 3 + 1, size[1]]
    for top, bottom in itertools.pairwise(bounds):
        rows = extras.alpha_of(size, slice(top, bottom))
        np.testing.assert_array_equal(np.asarray(rows), np.asarray(whole)[top:bottom])
