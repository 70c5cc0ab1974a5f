"""The command as a user runs it; in this process where nothing but speed is lost by it."""

import errno
import io
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from fcntl import F_GETFL, fcntl
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import zarr
from command import run, terminal
from PIL import Image
from tiny import FLOW, saved_resolver, saved_restorer, tiny_flow
from torch.utils.flop_counter import FlopCounterMode

from cvdvae.batch.files import plan
from cvdvae.bench import _times, bench
from cvdvae.checkpoints.folder import bundled_names, save_model
from cvdvae.checkpoints.records import FlowRecord
from cvdvae.checkpoints.summary import summary
from cvdvae.cli import DRAWING, spread
from cvdvae.cli.draw import _agreement
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.demo import FACE_MODELS, PHOTO, REGIONS
from cvdvae.domains.faces import demo_photo
from cvdvae.domains.simulate import simulate, simulate_at_scale
from cvdvae.errors import InputError
from cvdvae.evaluation.measure import Judges
from cvdvae.files import write_text
from cvdvae.imaging.io import read_photo, to_tensor
from cvdvae.imaging.sheets import LABEL, MARGIN, TILE
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load, replay
from cvdvae.restoration.sampler import SuperResolver


@pytest.fixture
def lr_image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(60, 190, (4, 4, 3), dtype=np.uint8)
    path = tmp_path / "small.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def flow_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "flow-x4"
    save_model(folder, FlowRecord("hcflow", FLOW), tiny_flow().flow.state_dict())
    return folder


@pytest.fixture
def flow_photos(flow_folder: Path, tmp_path: Path) -> Path:
    """What the flow itself draws at a temperature of 0.3."""
    folder, model = tmp_path / "photos", load(str(flow_folder))
    folder.mkdir()
    for i in range(6):
        generator = torch.Generator().manual_seed(i)
        y = torch.randint(60, 196, (3, 4, 4), generator=generator) / 255
        result = model.upscale(y, samples=1, temperature=0.3, seed=1000 + i)
        pixels = result.pixels[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_help_is_quick_because_heavy_modules_are_not_imported() -> None:
    code = "import sys, cvdvae.cli.program; sys.exit(bool({'torch', 'skimage'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    installed = Path(sys.executable).with_name("cvdvae")
    assert subprocess.run([installed, "--help"], check=False, capture_output=True).returncode == 0


def test_upscale_a_folder_with_one_bad_file_does_the_others(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for name in ("a.png", "c.png"):
        (inputs / name).write_bytes(lr_image.read_bytes())
    (inputs / "b.png").write_text("I am no picture")
    out = tmp_path / "out"
    arguments = ["upscale", str(inputs), "--model", str(model_folder), "-n", "2", "--out", str(out)]
    code = run(*arguments, monkeypatch=monkeypatch)
    errors = capsys.readouterr().err
    assert code == 1
    assert "b.png is not an image" in errors
    assert "1 of 3 inputs failed, 2 done" in errors
    assert "Traceback" not in errors
    assert {p.name for p in out.iterdir()} == {"a", "c"}
    assert json.loads((out / "a" / "result.json").read_text())["round_trip_exact"] == [True, True]


def save(image: Image.Image, path: Path, **options: Any) -> None:
    image.save(path, **options)


def make_bad(kind: str, path: Path) -> None:
    """Write a file that a model of 4×4 pixels cannot take."""
    square = Image.new("RGB", (4, 4), (90, 120, 150))
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "one pixel":
        square.crop((0, 0, 1, 1)).save(path)
    elif kind == "huge":
        Image.new("1", (20_000, 20_000)).save(path)
    elif kind == "animation":
        frames = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in (10, 200)]
        frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "is not an image"),
        ("empty", "is empty"),
        ("truncated", "is damaged or truncated"),
        ("one pixel", "it has 1×1 pixels, and the model takes 4×4"),
        ("huge", "over 100 megapixels: shrink it first"),
        ("animation", "holds 2 pictures (an animation, or pages)"),
        ("missing", "does not exist"),
    ],
)
def test_a_bad_file_ends_in_one_sentence(
    kind: str,
    words: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "bad.png", tmp_path / "out"
    make_bad(kind, path)
    arguments = ["upscale", str(path), "--model", str(model_folder), "--out", str(out)]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    errors = capsys.readouterr().err.strip()
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not out.exists() or not list(out.iterdir())


def test_what_came_of_an_image_is_on_stdout_and_all_of_it(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With its notes; stderr is for what went wrong."""
    Image.open(lr_image).convert("L").save(lr_image)
    out = tmp_path / "out"
    given = [str(lr_image), "--model", str(model_folder), "-n", "1"]
    assert run("upscale", *given, "--out", str(out), monkeypatch=monkeypatch) == 0
    said, errors = capsys.readouterr()
    note, line, last = said.splitlines()
    assert note == f"{lr_image}: a greyscale image: so are its samples"
    assert line.startswith(f"{lr_image} → {out / 'small'} in ")
    assert line.endswith(" s: every sample gives the input back exactly")
    assert last.endswith(f"Look at every grid.png in {out}")
    recipe = [str(out / "small" / "result.json"), "--trust-model"]
    assert run("replay", *recipe, "--out", str(out / "again"), monkeypatch=monkeypatch) == 0
    again, other = capsys.readouterr()
    assert " ".join(again.split()).count("gives the input back exactly") == 1
    assert errors + other == ""


@pytest.mark.parametrize("name", ["a.png", "a.npy", "floats.npy"])
def test_what_exploded_is_not_said_to_give_the_input_back(
    name: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = np.arange(90, 106, dtype=np.uint8).reshape(4, 4)
    if name == "a.png":
        Image.fromarray(values).save(tmp_path / name)
    else:
        np.save(tmp_path / name, values / 255 if name == "floats.npy" else values)
    monkeypatch.setattr("cvdvae.restoration.finish.FAR", -1.0)  # nothing is near enough
    given = [str(tmp_path / name), "--model", str(model_folder), "-n", "2"]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 2 samples exploded and are no answer" in said
    assert " s: every sample exploded: none is an answer" in said
    assert "the input back" not in said


def test_of_some_that_exploded_the_others_are_spoken_of(lr_image: Path, model_folder: Path) -> None:
    result = load(str(model_folder)).upscale(to_tensor(Image.open(lr_image)), samples=3)
    assert _agreement(result) == "every sample gives the input back exactly"
    result.pixels[0] = 0  # the round trip of now is kept, that of a copy is not
    assert _agreement(replace(result)).startswith("2 of 3 samples give the input back exactly")
    gone = replace(result, exploded=[True, False, False])
    assert _agreement(gone) == "every sample that did not explode gives the input back exactly"
    noisy = replace(gone, sigma=0.01)
    assert _agreement(noisy).startswith("shrunk, samples that did not explode are off by 0.")


def test_a_pipe_gets_the_object_also_where_colours_are_forced(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    given = [str(lr_image), "--model", str(model_folder), "-n", "1", "--json"]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["round_trip_exact"] == [True]


@pytest.mark.parametrize("text", ['{"input": "' + 5_000_000 * "A", "[]", "", "\x00"])
def test_what_is_no_recipe_or_is_cut_off_is_said_to_be_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its size: one of a restoration may be large."""
    recipe = tmp_path / "cut.json"
    recipe.write_text(text)
    assert run("replay", str(recipe), "--out", str(tmp_path / "o"), monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == f"error: {recipe} is no result.json of this program\n"
    with pytest.raises(InputError, match=r"is no result\.json of this program"):
        replay(recipe)


@pytest.mark.parametrize("both", [True, False])
def test_on_a_terminal_the_bar_makes_room_for_what_is_said(
    both: bool,
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = terminal(monkeypatch)
    said = screen if both else io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    given = [str(lr_image), "--model", str(model_folder), "-n", "1", "--out", str(tmp_path / "o")]
    for how in ([], ["--json"]):
        assert run("upscale", *given, *how, monkeypatch=monkeypatch) == 0
    assert "━" in screen.getvalue()
    lines = screen.lines() if both else said.getvalue().splitlines()
    assert lines[0].startswith(f"{lr_image} → "[:60])
    assert json.loads(lines[-1])["input"] == str(lr_image)
    assert both or screen.lines() == []


def test_names_and_lines_are_printed_as_they_are(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A long line stays one in a pipe; on a terminal the bar takes no name for markup."""
    name = f"[red]a:smile:b{'x' * 180}.png"
    lr_image.rename(tmp_path / name)
    given = [str(tmp_path / name), "--model", str(model_folder), "-n", "1"]
    out = str(tmp_path / "o")
    missing = str(tmp_path / ":smile:.png")
    assert run("upscale", *given, missing, "--out", out, monkeypatch=monkeypatch) == 1
    said, errors = capsys.readouterr()
    assert errors.splitlines()[0] == f"error: {missing} does not exist"
    line, last = said.splitlines()
    assert line.startswith(f"{tmp_path / name} → {out}/{name[:-4]} in ")
    assert last.endswith(out)
    screen = terminal(monkeypatch)
    assert run("upscale", *given, "--out", out, monkeypatch=monkeypatch) == 0
    assert "[red]a:smile:b" in screen.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "0"], "at least 1, not 0"),
        (["-t", "-0.5"], "from 0 upwards, not -0.5"),
        (["-t", "nan"], "from 0 upwards"),
        (["--seed", "-3"], "must not be negative"),
        (["--model", "nonesuch"], "unknown model 'nonesuch'"),
        (["--out", "/dev/null/x"], "cannot write"),
        (["--device", "abacus"], "cannot use the device 'abacus'"),
        (["--crop", "face"], "--crop goes with --simulate"),
        (["--model", "x" * 300], "File name too long"),
    ],
)
def test_a_bad_setting_ends_in_one_sentence(
    arguments: list[str],
    words: str,
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    defaults = [
        "upscale",
        str(lr_image),
        "--model",
        str(model_folder),
        "--out",
        str(tmp_path / "o"),
    ]
    assert run(*defaults, *arguments, monkeypatch=monkeypatch) == 1
    errors = capsys.readouterr().err.strip()
    assert words in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("command", ["upscale", "restore", "examine"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["", "--out", "o"], "an argument is empty"),
        (["small.png", "", "--out", "o"], "an argument is empty"),
        (["small.png", "--out", ""], "what follows --out is empty"),
        (["small.png", "--out="], "what follows --out is empty"),
        (["small.png", "--out", "o", "--model", ""], "what follows --model is empty"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(
    command: str,
    given: list[str],
    words: str,
    lr_image: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `upscale "$FILE"` gives, where there is no such variable."""
    monkeypatch.chdir(lr_image.parent)
    assert run(command, *given, monkeypatch=monkeypatch) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error == f"error: {words}, as where a variable is not set: name it"
    assert [path.name for path in Path().iterdir()] == ["small.png"]


def test_a_limit_may_be_infinite(
    lr_image: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back at the end
    given = ["upscale", str(lr_image), "--model", str(model_folder), "-n", "1"]
    given += ["--out", str(tmp_path / "o"), "--max-megapixels", "inf"]
    assert run(*given, monkeypatch=monkeypatch) == 0


def test_inputs_that_would_share_a_folder_are_refused(
    lr_image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    twin = tmp_path / "small.bmp"
    Image.open(lr_image).save(twin)
    code = run("upscale", str(lr_image), str(twin), "--out", str(tmp_path), monkeypatch=monkeypatch)
    assert code == 1
    assert "would both be written" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_file(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: Image.Image, path: Path, *_: object, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    out = tmp_path / "out"
    arguments = ["upscale", str(lr_image), "--model", str(model_folder), "--out", str(out)]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [p for p in out.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16", "LA", "1"])
def test_every_kind_of_pixel_is_read_as_upright_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((4, 4), 257 * 77, np.uint16)).save(path)
    else:
        Image.new("RGB", (4, 4), (77, 77, 77)).convert(mode).save(path)
    photo = read_photo(path)
    assert photo.image.mode == "RGB"
    if mode not in ("1", "P"):  # which dither
        assert np.abs(np.asarray(photo.image).astype(int) - 77).max() <= 1


def test_transparency_goes_on_white_and_rotation_is_undone(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    photo = read_photo(tmp_path / "clear.png")
    assert np.asarray(photo.image).min() == 255
    assert photo.notes
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg").image.size == (4, 8)


def test_a_second_result_replaces_the_first_whole(
    lr_image: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for n in (5, 2):
        arguments = ["upscale", str(lr_image), "--model", str(model_folder), "--out", str(out)]
        assert run(*arguments, "-n", str(n), monkeypatch=monkeypatch) == 0
    samples = sorted(p.name for p in (out / "small").glob("sample_*.png"))
    assert samples == ["sample_00.png", "sample_01.png"]


@pytest.mark.parametrize("sides", [(3, 9), (3,)])
def test_a_face_too_small_for_all_models_fails_alone(
    sides: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And does not choose the model of the others."""
    for side in sides:
        Image.new("RGB", (side, side), (150, 120, 100)).save(tmp_path / f"{side}.png")
    given = [*map(str, tmp_path.glob("*.png")), "--domain", "faces", "-n", "1", "--no-check"]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    errors = " ".join(capsys.readouterr().err.split())
    assert "3.png: it has 3×3 pixels" in errors
    assert "no model of faces takes fewer than 4×4" in errors
    results = tmp_path.rglob("result.json")
    found = {p.parent.name: json.loads(p.read_text())["model"] for p in results}
    assert found == ({"9": "celeba64-x8"} if 9 in sides else {})


def test_damaged_files_of_every_kind_are_input_errors(tmp_path: Path) -> None:
    """Pillow raises errors of many kinds: flip bytes all over, and nothing else may escape."""
    rng, refused = np.random.default_rng(0), set[str]()
    noise = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "gif", "tif", "bmp", "webp"):
        good = tmp_path / f"good.{suffix}"
        noise.save(good)
        for attempt in range(25):
            data = bytearray(good.read_bytes())
            for place in rng.integers(0, len(data), 12):
                data[place] = rng.integers(0, 256)
            bad = tmp_path / f"bad{attempt}.{suffix}"
            bad.write_bytes(data)
            try:
                read_photo(bad)
            except InputError:
                refused.add(suffix)
    assert refused >= {"png", "jpg", "gif", "tif", "webp"}


def test_what_is_made_safe_on_the_disk_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses anything else."""
    modes = []
    monkeypatch.setattr(os, "fsync", lambda handle: modes.append(fcntl(handle, F_GETFL)))
    write_text(tmp_path / "a.txt", "a")
    assert [mode & os.O_ACCMODE for mode in modes] == [os.O_RDWR]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old and whole")
    code = (
        "import os, signal, pathlib\n"
        "from cvdvae.files import write_atomically\n"
        "def write(p):\n"
        "    p.write_bytes(b'new, ha')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_atomically(pathlib.Path({str(path)!r}), write)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_bytes() == b"old and whole"


@pytest.mark.parametrize("of", ["a size", "any size"])
def test_an_unknown_crop_is_refused(of: str) -> None:
    """A photo that is taken for a square is squashed."""
    photo, crop = Image.new("RGB", (60, 40)), cast("Any", "center")
    to_a_size = partial(simulate, degradation=BicubicDownscaling((16, 16), (4, 4)))
    shrunk = to_a_size if of == "a size" else partial(simulate_at_scale, scale=4)
    with pytest.raises(InputError, match="crop must be one of face, centre, none, not 'center'"):
        shrunk(photo, crop=crop)


def test_simulate_without_a_face_says_so(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "wall.png", tmp_path / "out"
    Image.new("RGB", (100, 80), (90, 90, 90)).save(path)
    arguments = [
        "upscale",
        str(path),
        "--simulate",
        "--model",
        str(model_folder),
        "--out",
        str(out),
        "-n",
        "2",
    ]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert "no face was found" in capsys.readouterr().err
    assert run(*arguments, "--crop", "centre", monkeypatch=monkeypatch) == 0
    assert json.loads((out / "wall" / "result.json").read_text())["truth"]["mean_psnr"] > 0


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_bundled_models_beat_bicubic_on_the_demo_photo_and_give_the_input_back(
    scale: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "photo.png"
    demo_photo().save(photo)
    command = ["upscale", str(photo), "--simulate", "--model", f"celeba64-x{scale}"]
    command += ["-n", "16", "--out", str(tmp_path / "out")]
    assert run(*command, monkeypatch=monkeypatch) == 0
    report = json.loads((tmp_path / "out" / "photo" / "result.json").read_text())
    assert report["round_trip_exact"] == [True] * 16
    assert min(report["lr_psnr"]) > {4: 72, 8: 77, 16: 81}[scale]
    truth = report["truth"]
    assert truth["mean_psnr"] > truth["bicubic_psnr"]
    assert np.mean(truth["sample_psnr"]) < truth["mean_psnr"] - 0.2
    first, second = (
        torch.from_numpy(np.array(Image.open(tmp_path / "out/photo" / f"sample_0{i}.png"))).float()
        for i in (0, 1)
    )
    assert float((first - second).std()) > 2


def test_demo_leaves_a_picture_of_that_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo.png").write_bytes(b"mine")
    assert run("demo", "--out", str(tmp_path), "-n", "1", monkeypatch=monkeypatch) == 1
    assert "demo.png is there already" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["demo.png"]
    assert (tmp_path / "demo.png").read_bytes() == b"mine"


def test_demo_makes_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of regions of the photo, and one for each model of faces."""
    assert run("demo", "--out", str(tmp_path), "-n", "2", monkeypatch=monkeypatch) == 0
    rows = [PHOTO] * REGIONS + list(FACE_MODELS)
    with Image.open(tmp_path / "demo.png") as picture:
        step = TILE + MARGIN
        assert picture.size == (MARGIN + 7 * step, MARGIN + 5 * (step + LABEL) + LABEL)
        for row, name in enumerate(rows):
            left, top = MARGIN + 2 * step, MARGIN + row * (step + LABEL) + LABEL
            tile = np.array(picture.crop((left, top, left + TILE, top + TILE)))
            sample = Image.open(tmp_path / name / "sample_00.png")
            if name == PHOTO:
                assert all(line.tobytes() in sample.tobytes() for line in tile)
            else:
                enlarged = sample.resize((TILE, TILE), Image.Resampling.NEAREST)
                assert np.array_equal(tile, np.array(enlarged))
    for name in {*rows}:
        assert (tmp_path / name / "grid.png").exists()
        told = json.loads((tmp_path / name / "result.json").read_text())
        assert told["round_trip_exact"] == [True, True]


def test_models_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in bundled_names())
    lines = [one for one in listed.splitlines() if "celeba64-judge" in one]
    assert len(lines) == 1
    assert all("judge" in line.replace("celeba64-judge", "") for line in lines)


def test_models_are_listed_on_80_columns_with_no_word_cut_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = summary("celeba64-restore").takes.count("…")
    monkeypatch.setenv("COLUMNS", "80")
    assert run("models", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    restorers = [name for name in bundled_names() if name.endswith("-restore")]
    assert listed.count("…") == wide * len(restorers)
    assert all(name in listed for name in bundled_names())
    assert "super-resolution, " in listed


def test_what_has_no_weights_of_its_own_is_listed_without_a_size(
    flow_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it keeps of proper images beside them is none."""
    size = (flow_folder / "model.safetensors").stat().st_size
    (flow_folder / "shrinking.safetensors").write_bytes(bytes(6392))
    assert summary(str(flow_folder)).megabytes == size / 1e6
    (flow_folder / "model.safetensors").unlink()
    assert summary(str(flow_folder)).megabytes == 0
    monkeypatch.setattr("cvdvae.checkpoints.folder.zoo", lambda: flow_folder.parent)
    assert run("models", monkeypatch=monkeypatch) == 0
    assert " MB" not in capsys.readouterr().out


def test_a_bundled_flow_is_listed_as_one(
    flow_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cvdvae.checkpoints.folder.zoo", lambda: flow_folder.parent)
    assert run("models", monkeypatch=monkeypatch) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "flow-x4" in one]
    for words in ("super-resolution, a flow", "4×4", "16×16 (×4)", " MB"):
        assert words in line


def test_several_values_stand_in_a_row_where_no_file_can_follow_them() -> None:
    given = ["evaluate", "--temperature", "0.1", "0.8", "--scale", "4", "8"]
    apart = ["--temperature", "0.1", "--temperature", "0.8", "--scale", "4", "--scale", "8"]
    assert spread(given) == ["evaluate", *apart]
    assert spread(["upscale", "--scale", "4", "a.png"]) == ["upscale", "--scale", "4", "a.png"]


def test_both_methods_meet_in_one_table_that_names_the_winners(
    model_folder: Path,
    flow_folder: Path,
    flow_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the flow's own images the flow wins."""
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    models, flows = (str(f).replace("-x4", "-x{scale}") for f in (model_folder, flow_folder))
    arguments = ["evaluate", "--data", str(flow_photos), "--out", str(tmp_path / "out")]
    arguments += ["--methods", "bicubic", "cvdvae", "hcflow", "--models", models, "--flows", flows]
    arguments += ["--scales", "4", "--temperatures", "0.3", "-n", "2"]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    for words in ("×4 hcflow", "* The best of its measure in its table", "won by hcflow: PSNR · "):
        assert words in printed
    markdown = (tmp_path / "out" / "table.md").read_text()
    for row in ("×4 bicubic", "×4 cvdvae τ=0.3, projected", "×4 hcflow τ=0.3, projected"):
        assert f"| {row} |" in markdown


def test_a_flow_is_calibrated_and_then_draws_at_the_temperature_found(
    flow_folder: Path,
    flow_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The one that its images were drawn at; it has no encoder with a temperature of its own."""
    monkeypatch.setattr("cvdvae.analysis.calibration.FEW", 6)
    arguments = ["calibrate", "--model", str(flow_folder), "--data", str(flow_photos)]
    assert run(*arguments, "-n", "8", "--save", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "on 6 images" in printed
    assert "at the edge" not in printed
    y = torch.full((3, 4, 4), 128 / 255)
    found = load(str(flow_folder)).upscale(y, samples=1).sampling
    assert found.temperature in (0.2, 0.3, 0.4)
    named = load(str(flow_folder)).upscale(y, samples=1, temperature=0.9).sampling
    assert named.temperature == 0.9


def test_bench_times_one_and_eight_samples_of_every_model(
    model_folder: Path,
    flow_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    once = "cvdvae.bench._times"  # how long it takes is not looked at
    monkeypatch.setattr(once, lambda call, _, device: _times(call, 1, device))
    monkeypatch.chdir(model_folder.parent)  # short names, which no narrow table folds
    arguments = ["--model", model_folder.name, "--model", os.path.relpath(flow_folder)]
    assert run("bench", *arguments, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    for words in ("Samples of one image", "images/s", "Peak of this machine", "Peak memory"):
        assert words in printed
    assert printed.count("flow-x4") == printed.count("tiny-x4") == 2


def test_bench_counts_what_all_threads_compute(resolver: HVAEResolver) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        resolver.prior.sample(8)
    *_, eight = bench(resolver, repeats=1)
    assert eight.gflops >= counter.get_total_flops() / 1e9 > 0


def test_bench_tells_no_memory_where_the_system_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.setattr("cvdvae.bench.bench", lambda model: [])
    monkeypatch.setattr("cvdvae.bench.peak", lambda *_: 1.0)
    assert run("bench", "--model", "celeba64-x8", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "1 GFLOP/s" in said
    assert "memory" not in said


def test_bench_names_the_scale_of_a_model_of_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scales = list[int]()

    def bench(model: SuperResolver) -> list[object]:
        scales.append(model.scale)
        return []

    monkeypatch.setattr("cvdvae.bench.bench", bench)
    monkeypatch.setattr("cvdvae.bench.peak", lambda *_: 1.0)
    assert run("bench", "--model", "photos-sr", monkeypatch=monkeypatch) == 1
    assert "say which, with --scale" in " ".join(capsys.readouterr().err.split())
    assert run("bench", "--model", "photos-sr", "--scale", "3", monkeypatch=monkeypatch) == 0
    assert scales == [3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--grain"], "--grain goes with --degradation or --noise"),
        (["--scale", "4", "--noise", "0.1"], "--scale goes with shrinking"),
    ],
)
def test_calibrate_refuses_what_would_do_nothing(
    arguments: list[str],
    words: str,
    flow_folder: Path,
    flow_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["calibrate", "--model", str(flow_folder), "--data", str(flow_photos)]
    assert run(*given, *arguments, monkeypatch=monkeypatch) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["calibrate", "--model", "celeba64-restore", "--data", "."],
            "'celeba64-restore' restores: say what happens to the images with --degradation, and",
        ),
        *(
            (
                ["restore", "a.png", "--noise", "0.1", "--model", name, "--out", "out"],
                f"'{name}' enlarges only: take a model that restores (celeba64-restore, "
                f"photos-restore), or enlarge with cvdvae upscale",
            )
            for name in ("photos-x4", "photos-sr", "celeba64-hcflow-x4")
        ),
    ],
)
def test_a_model_of_the_wrong_kind_leads_to_what_can_be_done(
    arguments: list[str],
    words: str,
    lr_image: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(lr_image.parent)
    lr_image.rename("a.png")
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_prior_is_benched_no_more_than_it_is_upscaled_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", "--model", "celeba64", monkeypatch=monkeypatch) == 1
    assert "load_prior" in capsys.readouterr().err


def test_all_files_that_would_share_a_folder_are_counted(
    lr_image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.bmp", "b.png", "b.bmp", "c.png"):
        Image.open(lr_image).save(tmp_path / "in" / name)
    given = ["upscale", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"would both be written to {tmp_path / 'out' / 'a'}, and so would 1 more" in said


def test_a_taken_port_is_all_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("app", "--port", port, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "another program has it" in said.err


def test_alpha_is_cut_with_the_colours(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    avatar = Image.fromarray(rng.integers(60, 190, (8, 21, 3), dtype=np.uint8))
    alpha = Image.linear_gradient("L").resize((21, 8))
    alpha.paste(0, (14, 0, 21, 8))
    avatar.putalpha(alpha)
    avatar.save(tmp_path / "avatar.png")
    avatar.crop((6, 0, 14, 8)).save(tmp_path / "middle.png")
    given = ["--model", str(model_folder), "-n", "1", "--out", str(tmp_path / "out")]
    names = ("avatar", "middle")
    files = [str(tmp_path / f"{name}.png") for name in names]
    assert run("upscale", *files, *given, monkeypatch=monkeypatch) == 0
    whole, middle = (np.asarray(Image.open(tmp_path / "out" / n / "sample_00.png")) for n in names)
    assert whole.shape == (16, 16, 4)
    assert np.array_equal(whole, middle)


@pytest.mark.parametrize("out", ["results", "album/results", "album"])
@pytest.mark.parametrize("above", [".", ""])
def test_a_glob_of_all_that_lies_below_a_folder(
    out: str,
    above: str,
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From here, and by its whole path; a folder is no picture, a store is one."""
    monkeypatch.chdir(tmp_path)
    Path("album/2020/empty").mkdir(parents=True)
    for name in ("album/a.png", "album/2020/b.png"):
        Path(name).write_bytes(lr_image.read_bytes())
    array = zarr.create_array("album/c.zarr", shape=(4, 4, 3), dtype="uint8")
    array[:] = np.asarray(Image.open(lr_image))
    album = f"{above or tmp_path}/album/**"
    given = ["upscale", album, "--model", str(model_folder), "-n", "1", "--out", out]
    for _ in range(2):
        assert run(*given, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
        drawn = {p.parent.relative_to(out).as_posix() for p in Path(out).rglob("result.json")}
        assert drawn == {"a", "2020/b", "c"}


@pytest.mark.parametrize("command", ["upscale", "batch"])
def test_folders_that_a_glob_names_are_searched(
    command: str,
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """But for results, and for what else a run has written there."""
    monkeypatch.chdir(tmp_path)
    for name in ("2023/a", "2024-05/b", "2024-06/day 2/b", "2024-07/notes", "c"):
        file = Path("album") / f"{name}.{'txt' if name.endswith('notes') else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(lr_image.read_bytes())
    given = ["--model", str(model_folder), "-n", "1"]
    given += ["--workers", "1"] if command == "batch" else []
    for source, out, expected in (
        ("album/2024-*", "results", {"2024-05/b", "2024-06/day 2/b"}),
        ("album/*", "album", {"2023/a", "2024-05/b", "2024-06/day 2/b", "c"}),
    ):
        for _ in range(2):
            code = run(command, source, "--out", out, *given, monkeypatch=monkeypatch)
            assert code == 0, capsys.readouterr().err
            drawn = {p.parent.relative_to(out).as_posix() for p in Path(out).rglob("result.json")}
            assert drawn == expected
    assert run(command, "album/*-07", "--out", "o", *given, monkeypatch=monkeypatch) == 1
    assert "album/*-07 holds no image" in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_read_fails_alone_and_is_not_called_damaged(
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.tif", "b.png", "c.png"):
        Image.open(lr_image).save(folder / name)

    def refuse(path: Path, *mode: object, opened: Any = Path.open, **more: Any) -> Any:
        if path.name in ("a.tif", "b.png"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *mode, **more)

    def not_opened(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("cvdvae.imaging.tiff._opened", not_opened)
    given = ["--model", str(model_folder), "-n", "1", "--out", str(out), "--json"]
    assert run("upscale", str(folder), *given, monkeypatch=monkeypatch) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.get("error") for one in told] == [
        f"cannot read {folder}/a.tif: Permission denied",
        f"cannot read {folder}/b.png: Permission denied",
        None,
    ]


@pytest.mark.parametrize("command", ["upscale", "analyze latents"])
def test_a_command_that_gave_nothing_leaves_no_folder(
    command: str,
    lr_image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine").mkdir()
    inputs = [str(lr_image)] if command == "upscale" else []
    out = tmp_path / "mine" / "a" / "b"
    given = [*command.split(), *inputs, "--model", "nonesuch", "--out", str(out)]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert "unknown model" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("command", ["upscale", "batch"])
def test_results_are_not_enlarged_again(
    command: str,
    lr_image: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("album")
    place.mkdir()
    lr_image.rename(place / "small.png")
    given = ["--model", str(model_folder), "-n", "2"]
    given += ["--workers", "1"] if command == "batch" else []

    def drawn(source: str, out: str) -> set[str]:
        assert run(command, source, "--out", out, *given, monkeypatch=monkeypatch) == 0
        return {str(p.parent.relative_to(out)) for p in Path(out).rglob("result.json")}

    def note() -> str:
        return " ".join(capsys.readouterr().err.split())

    for _ in range(2):  # as `upscale . --out results`
        assert drawn("album", "album/results") == {"small"}
    assert "note: 5 files were passed over, which are results of this program" in note()
    assert drawn("album/**/*.png", "elsewhere") == {"small"}
    if command == "upscale":
        assert drawn("album", "album") == {"small", "results/small"}
    assert "passed over" in note()
    Path("album/small.png").unlink()
    assert run(command, "album", "--out", "out", *given, monkeypatch=monkeypatch) == 1
    assert "nothing but results of this program" in note()
    said = list[str]()
    assert plan(["album/results/small"], Path("out"), said.append)  # it is named
    assert said == [
        "album/results/small is a result of this program: its sheet and maps are taken, too"
    ]
    Path("album/results/small/result.json").write_text("{}")  # of another program
    assert {job.path.parent for job in plan(["album"], Path("out"))} == {
        Path("album/results/small")
    }


@pytest.mark.parametrize("told", [{"avx2": True}, {"avx512_bf16": True}])
@pytest.mark.parametrize("command", ["upscale", "restore", "batch"])
def test_where_bf16_is_slower_is_said_once(
    command: str,
    told: dict[str, bool],
    tmp_path: Path,
    lr_image: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    (tmp_path / "inputs").mkdir()
    lr_image.rename(tmp_path / "inputs" / lr_image.name)
    saved = saved_restorer if command == "restore" else saved_resolver
    model = saved(tmp_path / "model")
    what = ["--degradation", "downscale:scale=4"] if command == "restore" else []
    asked = [str(tmp_path / "inputs"), "--model", str(model), "-n", "1", *what]
    for more in ([], ["--quiet"]):
        out = str(tmp_path / ("quiet" if more else "told"))
        arguments = [command, *asked, "--out", out, "--dtype", "bf16", *more]
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        said = capfd.readouterr().err.count("has no bf16 of its own: fp32 is faster here")
        assert said == (0 if "avx512_bf16" in told or more else 1)


@pytest.mark.parametrize(
    ("command", "given", "threads"),
    [("upscale", None, "1"), ("upscale", "3", "3"), ("train", None, None)],
)
def test_a_command_that_draws_leaves_no_threads_to_wait_for_each_other(
    command: str, given: str | None, threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    else:  # so that what the command sets is taken back
        monkeypatch.setattr(os, "environ", os.environ.copy())
    assert run(command, "--help", monkeypatch=monkeypatch) == 0
    assert os.environ.get("OMP_NUM_THREADS") == threads


def test_those_are_commands_and_their_threads_are_named_before_pytorch_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--help", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out.split()
    assert set(listed) >= DRAWING
    alone = "import sys, cvdvae.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", alone], check=True)
