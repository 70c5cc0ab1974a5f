"""What newcomers met: messages that say what to do, and results that print as one line."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from rich.console import Console
from tiny import saved_resolver, tiny_photo_restorer, tiny_photos, tiny_resolver

import cvdvae
from cvdvae.batch.files import Input, draw_into, read_input
from cvdvae.batch.remarks import remarks, unbelievable
from cvdvae.batch.replaying import replay_into
from cvdvae.batch.settings import Settings
from cvdvae.batch.sources import open_source
from cvdvae.checkpoints.folder import recommend
from cvdvae.checkpoints.records import Recommended
from cvdvae.cli.consoles import Counted, Shares, progress_bar
from cvdvae.cli.draw import _agreement
from cvdvae.cli.remedies import remedy
from cvdvae.cli.restore import one_line
from cvdvae.damage.described import parse
from cvdvae.errors import ConfigError, InputError
from cvdvae.imaging.carried import Extras
from cvdvae.input_check.shrinking import LEAST
from cvdvae.restoration.beside import restorer_beside
from cvdvae.restoration.restoring import degraded
from cvdvae.restoration.workers import SAVED


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
    assert said in "".join(unbelievable(misfit))
    assert bool(unbelievable(misfit)) == bool(said)


def test_what_exploded_says_nothing_of_the_input() -> None:
    model = tiny_resolver()
    y = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
    result = model.upscale(y, samples=2)
    for exploded, told in (([True, False], True), ([False, True], False), ([True, True], False)):
        one = replace(result, exploded=exploded)
        with mock.patch.object(type(one), "misfit", [1.0, 3.0]):
            assert bool(remedy(Path("y.png"), one, model, 1, False)) == told
            assert any("believe" in said for said in remarks(one)) == told


def test_a_glob_that_the_shell_has_resolved_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("batch", "a.png", "b.png", "--out", str(tmp_path / "out"), monkeypatch=monkeypatch)
    assert code == 1
    assert "put a glob in quotes" in capsys.readouterr().err


@pytest.mark.parametrize(("known", "side"), [(True, LEAST), (True, LEAST - 1), (False, LEAST)])
def test_another_program_may_have_shrunk_what_no_image_shrinks_to(
    known: bool,
    side: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tmp_path /= "of mine"
    saved_resolver(tmp_path / "tiny", tiny_photos(2))
    if known:  # what such images look like
        monkeypatch.setattr("cvdvae.restoration.load.read_shrinking", lambda *_: "spectra")
    noise = np.random.default_rng(0).integers(0, 2, (side, side, 3)).astype(np.uint8) * 255
    Image.fromarray(noise).save(tmp_path / "hard.png")
    asked = [str(tmp_path / "hard.png"), "--model", str(tmp_path / "tiny"), "--scale", "2"]
    assert (
        run("upscale", *asked, "-n", "1", "--out", str(tmp_path / "out"), monkeypatch=monkeypatch)
        == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    how = "which --shrunk-by names"
    tells = known and side >= LEAST
    if tells:
        how = f"cvdvae examine '{asked[0]}' --model '{asked[2]}' may say which, for --shrunk-by"
    assert f"Or another program has shrunk it{':' if tells else ','} {how}" in said
    told = json.loads((tmp_path / "out/hard/result.json").read_text())
    (missed,), (worst,) = told["missed_share"], told["largest_lr_error"]
    assert 0.1 < missed <= 1
    off = f"up to {100 * missed:.0f} % of the values are off, by up to {worst:.1f} levels of 255"
    assert f"0 of 1 samples give the input back exactly: {off}" in said


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (
            (0.0, 0.996, 1.0),
            "1 of 3 {}: of the others up to 100 % of the values are off, by up to 9",
        ),
        ((0.0, 0.0, 0.00234), "2 of 3 {}: of the others up to 0.23 % of the values are off"),
        ((0.0, 0.0, 1e-6), "2 of 3 {}: of the others less than 0.01 % of the values are off"),
        ((0.5, 0.3, 0.2), "0 of 3 {}: up to 50 % of the values are off, by up to 9.0 levels"),
        ((0.0, 0.0, 0.0), "every sample gives the input back exactly"),
    ],
)
def test_how_much_of_the_input_is_missed_is_said_in_words(
    shares: tuple[float, ...], said: str
) -> None:
    exact = [not share for share in shares]
    result: Any = SimpleNamespace(
        exploded=[], misfit=None, missed_share=shares, round_trip_exact=exact,
        largest_lr_error=[9.0] * 3,
    )  # fmt: skip
    assert _agreement(result).startswith(said.format("samples give the input back exactly"))


@pytest.mark.parametrize("files", [False, True])
def test_progress_leaves_what_takes_the_samples_into_files(
    files: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 0 if files else 10**9)
    model, told = tiny_photos(2), list[float]()
    given = Input(torch.rand(3, 8, 10), None, [], Extras())
    draw_into(model, given, model.sampling(5), tmp_path / "out", on_pixels=told.append)
    assert sum(told) == pytest.approx(5 * 16 * 20 * 5 / (5 + SAVED))
    shares = list[float]()
    saved_resolver(tmp_path / "model", model)
    result = json.loads((tmp_path / "out/result.json").read_text()) | {
        "model": str(tmp_path / "model"), "weights": "",
    }  # fmt: skip
    (tmp_path / "again.json").write_text(json.dumps(result))
    replay_into(tmp_path / "again.json", tmp_path / "b", trust=True, on_share=shares.append)
    assert sum(shares) == pytest.approx(5 / (5 + SAVED))


def test_a_result_with_a_truth_is_replayed_elsewhere_and_without_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    saved_resolver(tmp_path / "model", tiny_photos(2))
    model = cvdvae.load(str(tmp_path / "model"), scale=2)
    y, truth = torch.rand(3, 8, 10), torch.rand(3, 16, 20)
    draw_into(model, Input(y, truth, [], Extras()), model.sampling(2), out)
    said, before = list[str](), {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match="choose another folder"):
        replay_into(out, out, trust=True)
    assert before == {path: path.read_bytes() for path in out.iterdir()}
    replay_into(out, tmp_path / "b", trust=True, say=said.append)
    (note,) = said
    assert note.endswith("does not hold the original image: it is drawn without the comparison")
    assert json.loads((tmp_path / "b/result.json").read_text())["truth"] is None
    said.clear()
    replay_into(tmp_path / "b", tmp_path / "b", trust=True, say=said.append)  # which has none
    assert not said


def test_what_the_shrinking_does_not_divide_is_told_of(tmp_path: Path) -> None:
    Image.new("RGB", (21, 17)).save(tmp_path / "a.png")
    note = "its last 1 row and 1 column are left out, which the shrinking does not divide"
    for crop in ("none", "centre"):
        assert read_input(tiny_photos(2), tmp_path / "a.png", crop).notes == [note]
    Image.new("RGB", (20, 16)).save(tmp_path / "a.png")
    assert not read_input(tiny_photos(2), tmp_path / "a.png", "none").notes


def test_a_model_that_restores_is_not_asked_for_one_beside_it() -> None:
    with pytest.raises(InputError, match="'photos-restore' restores: cvdvae restore draws with it"):
        restorer_beside("photos-restore")


def test_a_zarr_that_is_an_image_is_no_source_of_rows(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "x.zarr", shape=(2, 8, 8), dtype="uint8")
    with pytest.raises(InputError, match="an image itself is drawn by cvdvae upscale"):
        open_source(str(tmp_path / "x.zarr"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is Linux that has it")
def test_a_full_standard_output_is_named() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cvdvae.cli", "models"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to standard output, or to a temporary file")


def test_a_failed_input_says_nothing_of_how_fast_the_others_go() -> None:
    now, bar = [0.0], Counted(console=Console(file=io.StringIO()), get_time=lambda: now[0])
    shares = Shares(bar, [50, 90, 10])  # the first is not even begun
    with pytest.raises(InputError), shares.of(1, "a", 1):
        raise InputError("broken")
    (task,) = bar.tasks
    with shares.of(2, "b", 10) as advance:
        assert (task.completed, task.total) == (0, 10)
        for _ in range(4):
            now[0] += 2
            advance(1)
        assert task.time_remaining == 12
    assert (task.completed, task.total) == (10, 10)


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
    ("options", "tamer"), [((), True), (("--look",), False), (("--temperature", "0.6"), False)]
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
    recommend(str(model), Recommended(0.6, 1.1, 0.7, calibrated=True))
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
