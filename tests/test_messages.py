"""What newcomers met: messages that say what to do, and results that print as one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import saved_resolver, tiny_photo_restorer, tiny_photos

import cvdvae
from cvdvae.batch.settings import Settings
from cvdvae.checkpoints.folder import recommend
from cvdvae.checkpoints.records import Recommended
from cvdvae.cli.consoles import progress_bar
from cvdvae.cli.draw import _unbelievable
from cvdvae.cli.restore import one_line
from cvdvae.damage.described import parse
from cvdvae.errors import ConfigError, InputError
from cvdvae.restoration.restoring import degraded


def test_a_result_prints_as_one_line() -> None:
    result = tiny_photos(2).upscale(torch.full((3, 8, 10), 0.4), samples=2)
    assert repr(result) == f"<SuperResolution: 2 samples of 20×16 pixels by {result.model}>"
    model = tiny_photo_restorer()
    restored = model.restore(torch.full((3, 8, 10), 0.4), "hole:side=4", samples=2)
    assert str(restored).startswith("<Restoration: 2 samples of 10×8 pixels by ")


def test_noise_alone_needs_no_other_word() -> None:
    model, y = tiny_photo_restorer(), torch.full((3, 8, 10), 0.4)
    named = model.restore(y, "noise", samples=2, noise=0.1)
    assert torch.equal(model.restore(y, samples=2, noise=0.1).pixels, named.pixels)
    assert str(named.description) == "{'steps': [{'kind': 'noise'}]}"
    with pytest.raises(InputError, match="say what happened to it, or how noisy it is"):
        model.restore(y, samples=2)


def test_a_result_is_drawn_again_from_its_folder(tmp_path: Path) -> None:
    result = cvdvae.load("celeba64-x4").upscale(torch.full((3, 16, 16), 0.4), samples=1)
    result.save(tmp_path)
    again = cvdvae.replay(tmp_path)
    assert torch.equal(again.pixels, result.pixels)


def test_the_rounding_of_a_jpeg_is_called_so(tmp_path: Path) -> None:
    model, x = tiny_photo_restorer(), torch.full((3, 16, 16), 0.4)
    for words, said in (
        ("jpeg:quality=50", "within the rounding of its JPEG"),
        ("blur:sigma=1", "(σ = "),
    ):
        told = degraded(x, parse(words), None if words[0] == "j" else 0.02, 0)
        line = one_line(tmp_path / "a.jpg", tmp_path, model.run(told, model.restoring(2)))
        assert said in line


def test_noise_has_no_settings_but_an_option() -> None:
    with pytest.raises(ConfigError, match="but no settings: --noise says how noisy it is"):
        parse("noise:sigma=0.1")


@pytest.mark.parametrize(
    ("moves", "temperature", "said"),
    [(3, None, "leave --moves out"), (0, 0.5, "leave --temperature out"),
     (3, 0.5, "leave --temperature and --moves out")],
)  # fmt: skip
def test_only_what_was_given_is_to_be_left_out(
    moves: int, temperature: float | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Settings(2, temperature, look=True, moves=moves)


@pytest.mark.parametrize(
    ("misfit", "said"),
    [([0.9, 1.1], ""), ([2.4, 2.6], "believe neither"), ([0.0, 0.0], "more noise was assumed")],
)
def test_a_misfit_that_tells_of_a_fault_is_explained(misfit: list[float], said: str) -> None:
    assert said in "".join(_unbelievable(misfit))
    assert bool(_unbelievable(misfit)) == bool(said)


def test_a_glob_that_the_shell_has_resolved_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("batch", "a.png", "b.png", "--out", str(tmp_path / "out"), monkeypatch=monkeypatch)
    assert code == 1
    assert "put a glob in quotes" in capsys.readouterr().err


def test_another_program_may_have_shrunk_what_no_image_shrinks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_resolver(tmp_path / "tiny", tiny_photos(2))
    noise = np.random.default_rng(0).integers(0, 2, (8, 8, 3)).astype(np.uint8) * 255
    Image.fromarray(noise).save(tmp_path / "hard.png")
    asked = [str(tmp_path / "hard.png"), "--model", str(tmp_path / "tiny"), "--scale", "2"]
    assert (
        run("upscale", *asked, "-n", "1", "--out", str(tmp_path / "out"), monkeypatch=monkeypatch)
        == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "Or another program has shrunk it: cvdvae examine" in said
    told = json.loads((tmp_path / "out/hard/result.json").read_text())
    (missed,), (worst,) = told["missed_share"], told["largest_lr_error"]
    off = f"up to {100 * missed:.2g} % of its values are off, by up to {worst:.1f} levels of 255"
    assert f"0 of 1 samples give the input back exactly: {off}" in said


def test_examine_looks_at_photographs_unless_faces_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8), (120, 90, 70)).save(tmp_path / "small.png")
    run("examine", str(tmp_path / "small.png"), monkeypatch=monkeypatch)
    assert "too small or too flat to tell what made it small" in capsys.readouterr().out
    given = [str(tmp_path / "small.png"), "--domain", "faces"]
    run("examine", *given, monkeypatch=monkeypatch)
    assert "in doubt: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "tamer"), [((), True), (("--look",), False), (("--temperature", "0.8"), False)]
)
def test_that_samples_to_look_at_are_tamer_is_said_of_wild_ones(
    options: tuple[str, ...],
    tamer: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "tiny"
    saved_resolver(model)
    recommend(str(model), Recommended(1.0, 1.0, 0.7, calibrated=True))
    Image.new("RGB", (4, 4), (120, 90, 70)).save(tmp_path / "small.png")
    asked = [str(tmp_path / "small.png"), "--model", str(model), "-n", "2"]
    out = ["--out", str(tmp_path / "out")]
    assert run("upscale", *asked, *options, *out, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("--look draws tamer samples" in said) is tamer


def test_where_no_bar_is_seen_lines_say_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("cvdvae.cli.consoles.time.monotonic", lambda: now[0])
    with progress_bar(percent=True) as bar:
        bar.get_time = lambda: now[0]
        task = bar.add_task("photo.png", total=8)
        for _ in range(4):
            now[0] += 6
            bar.advance(task)
    told = capsys.readouterr().err.splitlines()
    assert told == ["photo.png: 38 %, 0:00:30 to go"]
    assert bar.speed_estimate_period > 60  # tiles of large photographs take some seconds each
