"""Many damaged images: every row as `restore` draws it, from every source to every target."""

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from command import run
from PIL import Image
from test_batch import samples_in, stored_in
from tiny import saved_prior, saved_restorer, tiny_resolver, tiny_restorer

from cvdvae.batch import Settings, Upscaler
from cvdvae.batch.happened import Happened, happened
from cvdvae.batch.local import Recipe, _Crew
from cvdvae.batch.memory import memory_of
from cvdvae.batch.rows import Batch, Row, rows_of, to_batch
from cvdvae.batch.run import local, run_batch
from cvdvae.batch.settings import seed_of
from cvdvae.batch.sources import open_source
from cvdvae.batch.targets import Form
from cvdvae.batch.upscaler import as_arrays
from cvdvae.errors import InputError, OutputError
from cvdvae.imaging.io import load_image
from cvdvae.restoration.batches import HELD
from cvdvae.restoration.ending import BYTES
from cvdvae.restoration.load import load_restorer
from cvdvae.restoration.result import DISCLAIMER

SEED = 3


def noisy(words: str | None = None, noise: str | None = "0.05") -> Happened:
    return happened(words, None, None, noise)


def pixels(i: int, side: int = 16) -> np.ndarray[Any, Any]:
    return np.random.default_rng(i).integers(60, 190, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(pixels(i)).save(folder / f"{i}.png")
    return folder


def restored(path: Path, what: Happened, seed: int = SEED) -> np.ndarray[Any, Any]:
    """What `restore` of the tiny model draws, ``(N, H, W, C)``."""
    y, sigma = load_image(path).y, what.noise
    assert sigma is None or isinstance(sigma, float)
    result = tiny_restorer().restore(y, what.description, samples=2, noise=sigma, seed=seed)
    return result.pixels.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
def test_a_row_is_to_the_bit_what_restore_draws(form: Form, tmp_path: Path, album: Path) -> None:
    model, out, what = saved_restorer(tmp_path / "model"), tmp_path / "out", noisy("blur:sigma=1")
    settings = Settings(samples=2, seed=SEED, happened=what)
    progress = run_batch(open_source(str(album)), out, str(model), settings, form, local(1))
    assert (progress.drawn, progress.failed) == (3, 0)
    for i in range(3):
        if form == "folder":
            drawn = [np.asarray(Image.open(out / f"{i}/sample_{k:02d}.png")) for k in range(2)]
            told = json.loads((out / f"{i}/result.json").read_text())
            assert told["noise"] == 0.05
        elif form == "parquet":
            table = pq.read_table(out / "rows.parquet")
            assert table.schema.metadata[b"note"] == DISCLAIMER.encode()
            (row,) = (row for row in table.to_pylist() if row["key"] == str(i))
            drawn = [np.asarray(Image.open(io.BytesIO(one))) for one in row["samples"]]
            assert (row["noise"], len(row["misfit"]), len(row["explains"])) == (0.05, 2, 2)
            assert "round_trip_exact" not in row
        else:
            group = zarr.open_group(out / "rows.zarr", mode="r")
            drawn = list(np.asarray(stored_in(group, "samples")[i]))
            assert stored_in(group, "misfit").shape == stored_in(group, "explains").shape == (3, 2)
            assert group.attrs["note"] == DISCLAIMER
        np.testing.assert_array_equal(np.stack(drawn), restored(album / f"{i}.png", what))
    assert json.loads((out / "batch.json").read_text())["note"] == DISCLAIMER


def test_paths_bytes_and_arrays_are_restored_alike_and_rows_may_be_independent(
    album: Path,
) -> None:
    path, what = album / "0.png", noisy()
    upscaler = Upscaler(tiny_restorer(), Settings(2, None, SEED, True, happened=what))
    images: list[str | bytes | np.ndarray[Any, Any]] = [str(path), path.read_bytes(), pixels(0)]
    drawn = [next(rows_of(upscaler(to_batch([Row(0, "a", image)])))) for image in images]
    for row in drawn:
        assert row["error"] == ""
        assert row["seed"] == seed_of("a", SEED)
        np.testing.assert_array_equal(row["samples"], restored(path, what, seed_of("a", SEED)))


def test_a_grey_row_is_drawn_as_a_grey_picture_is() -> None:
    grey = pixels(0)[..., :1]
    for model, settings in (
        (tiny_resolver(), Settings(2)),
        (tiny_restorer(), Settings(2, happened=noisy())),
    ):
        size = 4 if settings.happened is None else len(grey)
        rows = [
            next(rows_of(Upscaler(model, settings)(to_batch([Row(0, "a", image[:size, :size])]))))
            for image in (grey, grey.repeat(3, 2))
        ]
        assert rows[0]["error"] == ""
        np.testing.assert_array_equal(rows[0]["samples"], rows[1]["samples"])


def test_another_degradation_does_not_go_on_and_the_same_does(tmp_path: Path, album: Path) -> None:
    model, out = str(saved_restorer(tmp_path / "model")), tmp_path / "out"

    def go(what: Happened) -> int:
        settings = Settings(samples=2, happened=what)
        return run_batch(open_source(str(album)), out, model, settings, engine=local(1)).drawn

    assert go(noisy("blur:sigma=1")) == 3
    assert go(noisy("blur:sigma=1")) == 0
    for other in (noisy("blur:sigma=2"), noisy("blur:sigma=1", "0.1")):
        with pytest.raises(OutputError, match=r"drawn with another (degradation|noise)"):
            go(other)


def test_what_does_not_fit_fails_alone_and_names_its_row(tmp_path: Path) -> None:
    auto = Upscaler(tiny_restorer(), Settings(1, happened=happened(None, None, "auto", None)))
    png, jpeg = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels(0)).save(png, "PNG")
    Image.fromarray(pixels(0)).save(jpeg, "JPEG", quality=60)
    images = {"a": png.getvalue(), "b": jpeg.getvalue(), "c": b"text"}
    rows = list(rows_of(auto(to_batch([Row(i, k, v) for i, (k, v) in enumerate(images.items())]))))
    assert [bool(row["error"]) for row in rows] == [True, False, True]
    assert rows[0]["error"].startswith("a is no JPEG file but a PNG")
    assert rows[2]["error"].startswith("c ")
    (row,) = rows_of(auto(to_batch([Row(0, "d", pixels(0))])))
    assert row["error"] == "d: an array is no JPEG file: name the quality that it had, as in " + (
        "--jpeg 75"
    )
    small = Upscaler(tiny_restorer(), Settings(1, happened=noisy()))
    (row,) = rows_of(small(to_batch([Row(0, "e", pixels(0, 12))])))
    assert row["error"].startswith("e: tiny restores images of 16×16 pixels, not 12×12")


def test_the_noise_of_an_array_is_estimated_as_that_of_its_file(album: Path) -> None:
    upscaler = Upscaler(tiny_restorer(), Settings(1, happened=noisy(noise="auto")))
    batches = [to_batch([Row(0, "a", one)]) for one in (str(album / "1.png"), pixels(1))]
    of_file, of_array = (next(rows_of(upscaler(batch))) for batch in batches)
    assert of_file["noise"] == of_array["noise"] > 0.01
    assert "the noise was estimated from the image" in of_array["notes"]


def test_a_model_of_the_other_kind_is_refused() -> None:
    with pytest.raises(InputError, match="'tiny' enlarges"):
        Upscaler(tiny_resolver(), Settings(happened=noisy()))
    with pytest.raises(InputError, match="'tiny' restores: say what happened"):
        Upscaler(tiny_restorer(), Settings())


def test_looking_is_a_temperature_of_the_model() -> None:
    model = tiny_restorer()
    tame = Upscaler(model, Settings(1, look=True, happened=noisy()))
    named = Upscaler(model, Settings(1, model.recommended.look, happened=noisy()))
    batch = to_batch([Row(0, "a", pixels(0))])
    np.testing.assert_array_equal(tame(batch)["samples"], named(batch)["samples"])
    enlarging = tiny_resolver()
    sampling = Settings(look=True).sampling(enlarging)
    look = enlarging.recommended.look
    assert (sampling.temperature, sampling.encoder_temperature) == (look, look)
    with pytest.raises(InputError, match="--look has temperatures of its own"):
        Settings(look=True, temperature=0.5)


class Program:
    """The program in this process; what it says comes without line breaks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> tuple[int, str]:
        code = run(*map(str, words), monkeypatch=self.monkeypatch)
        told = self.capsys.readouterr()
        return code, " ".join((told.out + told.err).split())


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


def test_the_program_restores_a_folder_of_jpeg_files(program: Program, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        Image.fromarray(pixels(i, 32)).save(tmp_path / f"in/{i}.jpg", quality=50)
    common = ["batch", tmp_path / "in", "--jpeg", "auto", "-n", 1, "--workers", 1]
    out = tmp_path / "out"
    code, said = program(*common, "--model", "photos-restore", "--look", "--out", out)
    assert code == 0, said
    assert "2 images drawn" in said
    told = json.loads((out / "0/result.json").read_text())
    assert told["model"] == "photos-restore"
    assert told["degradation"]["steps"][-1]["kind"] == "jpeg"
    assert told["temperature"] == load_restorer("photos-restore").recommended.look
    code, said = program(*common, "--scale", 2, "--out", tmp_path / "twice")
    assert code == 0, said
    assert Image.open(tmp_path / "twice/0/mean.png").size == (64, 64)
    steps = json.loads((tmp_path / "twice/0/result.json").read_text())["degradation"]["steps"]
    assert [step["kind"] for step in steps] == ["downscale", "jpeg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--moves", 9], "--moves and --grain go with a model that restores"),
        (["--grain"], "--moves and --grain go with a model that restores"),
        (["--noise", 0.1, "--moves", 9, "--look"], "--look has temperatures of its own"),
        (["--noise", 0.1, "--moves", 9, "-t", 0], "chains cannot move at temperature 0"),
        (["--noise", 0.1, "--moves", 9, "--antithetic"], "leave antithetic or moves out"),
        (["--degradation", "blur:sigma=1", "--scale", 4], "--scale and --shrunk-by go with"),
        (["--model", "photos-restore"], "say what happened to the image"),
        (["--look", "-t", 0.5], "--look has temperatures of its own"),
        (["--noise", 0.1, "--no-check"], "--no-check does not go with a model that restores"),
        (["--noise", 0.1, "--values", "1,0"], "--values wants the smaller number first"),
        (["--model", "photos", "--noise", 0.1], "'photos' is a prior, whose samples need --moves"),
        (["--max-megapixels", 0], "--max-megapixels is a number above 0"),
        (["--model", "celeba64-hcflow-x4", "--noise", 0.1], "noise and JPEG need a model"),
    ],
)
def test_options_that_do_not_go_together_are_refused_at_once(
    options: list[str | float], said: str, program: Program, tmp_path: Path, album: Path
) -> None:
    code, told = program("batch", album, *options, "--out", tmp_path / "out")
    assert code == 1, told
    assert said in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("save", "form"),
    [(saved_restorer, "folder"), (saved_restorer, "parquet"), (saved_prior, "zarr")],
)
def test_chains_move_and_pixels_are_drawn_as_by_restore(
    save: Any, form: Form, program: Program, tmp_path: Path, album: Path
) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    given = ["--model", save(tmp_path / "model"), "--degradation", "blur:sigma=1", "--noise", 0.05]
    given += ["-n", 2, "--seed", SEED, "--moves", 16, "--grain"]
    code, said = program("restore", album, *given, "--out", alone)
    assert code == 0, said
    code, said = program("batch", album, *given, "--to", form, "--workers", 1, "--out", out)
    assert code == 0, said
    found = dict(samples_in(out, form))
    for i in range(3):
        expected = [np.asarray(Image.open(alone / f"{i}/sample_{k:02d}.png")) for k in range(2)]
        np.testing.assert_array_equal(found[str(i)], np.stack(expected))
    diagnostics = json.loads((alone / "0/result.json").read_text())["chains"]
    if form == "parquet":
        row = pq.read_table(out / "rows.parquet").to_pylist()[0]
        assert row["acceptance"] == diagnostics["acceptance"]
        assert row["r_hat"] == diagnostics["r_hat"]
    elif form == "zarr":
        group = zarr.open_group(out / "rows.zarr", mode="r")
        np.testing.assert_array_equal(stored_in(group, "acceptance")[0], diagnostics["acceptance"])
        assert stored_in(group, "r_hat")[0] == diagnostics["r_hat"]
    code, said = program("batch", album, *given[:-2], 6, "--grain", "--to", form, "--out", out)
    assert code == 1
    assert "drawn with another moves" in said


def mask_at(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(path)
    return path


def test_one_mask_for_all_is_its_pixels_and_goes_to_other_processes(
    tmp_path: Path, album: Path
) -> None:
    model, out = str(saved_restorer(tmp_path / "model")), tmp_path / "out"

    def go(mask: Path) -> int:
        what = happened(None, mask, None, None)
        settings = Settings(samples=2, seed=SEED, happened=what)
        return run_batch(open_source(str(album)), out, model, settings, engine=local(2)).drawn

    one, other = (mask_at(tmp_path / name / "mask.png") for name in "ab")
    assert go(one) == 3
    drawn = np.asarray(Image.open(out / "0/sample_00.png"))
    known = ~np.eye(16, dtype=bool)
    np.testing.assert_array_equal(drawn[known], pixels(0)[known])
    shutil.rmtree(out / "0")
    assert go(other) == 1


def test_samples_too_large_for_a_row_are_refused_before_they_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cvdvae.batch.drawable.IN_MEMORY", 2 * 16 * 16)
    for samples, said in (
        (2, ""),
        (3, "3 samples of together 0 megapixels are too large for a row"),
    ):
        upscaler = Upscaler(tiny_restorer(), Settings(samples, happened=noisy()))
        (row,) = rows_of(upscaler(to_batch([Row(0, "a", pixels(0))])))
        assert row["error"].startswith(said)
        assert bool(row["error"]) == bool(said)


def test_larger_images_are_refused_and_the_limit_can_be_raised(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels(0, 32)).save(tmp_path / "in/a.png")
    command = ["batch", tmp_path / "in", "--noise", 0.05, "--model", "photos-restore", "-n", 1,
               "--workers", 1, "--out", tmp_path / "out"]  # fmt: skip
    code, said = program(*command, "--max-megapixels", 0.001)
    assert code == 1, said
    assert "1 of 1 images failed" in said
    told = json.loads((tmp_path / "out/failures.jsonl").read_text())
    assert "raise the limit with --max-megapixels" in told["error"]
    code, said = program(*command, "--max-megapixels", 0.002)
    assert code == 0, said
    assert "1 image drawn" in said


def test_memory_of_a_row_is_that_of_what_is_behind_it(tmp_path: Path, album: Path) -> None:
    of_pixel = BYTES + 2 * HELD
    rows: list[str | bytes | np.ndarray[Any, Any] | None] = [
        str(album / "0.png"), (album / "0.png").read_bytes(), pixels(0)
    ]  # fmt: skip
    blurred = Settings(2, happened=noisy("blur:sigma=1"))
    shrunk = Settings(2, happened=noisy("downscale:scale=4"))
    for image in rows:
        one = to_batch([Row(0, "a", image)])
        assert memory_of(one, blurred) == 16 * 16 * of_pixel
        assert memory_of(one, shrunk) == 64 * 64 * of_pixel
        assert memory_of(one, Settings(2)) == 0, "large ones are enlarged through files"
    large = to_batch([Row(0, "a", pixels(0)), Row(1, "b", pixels(1, 32)), Row(2, "c", pixels(2))])
    assert memory_of(large, blurred) == 32 * 32 * of_pixel, "one is drawn after the other"
    os.mkfifo(tmp_path / "fifo.png")
    for bad in (None, b"text", str(tmp_path / "none.png"), str(tmp_path / "fifo.png")):
        assert memory_of(to_batch([Row(0, "a", bad)]), blurred) == 0


def test_processes_have_no_more_at_a_time_than_memory_holds(tmp_path: Path) -> None:
    crew = _Crew(Recipe("tiny", Settings(1, happened=noisy()), as_arrays))
    held = crew.task(to_batch([Row(0, "a", pixels(0))])).memory
    crew.most = 2.5 * held
    sides = [16, 16, 16, 64, 16, 16]  # of which one is larger than all that may be held
    batches = (to_batch([Row(i, str(i), pixels(i, side))]) for i, side in enumerate(sides))
    crew.idle = [MagicMock() for _ in sides]
    together = list[list[int]]()
    while not crew.exhausted:
        crew._hand_out(batches)
        together.append([int(task.batch["number"][0]) for task in crew.tasks.values()])
        done = next(iter(crew.tasks), None)
        if done is not None:
            crew.tasks.pop(done)
            crew.idle.append(done)
    assert together == [[0, 1], [1, 2], [2], [3], [4, 5]], "in the order of the source"


def test_where_memory_is_short_images_are_drawn_one_at_a_time(
    program: Program, tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.batch.local.usable_memory", lambda: 1.0)
    monkeypatch.setattr("cvdvae.batch.run.BATCH", 1)
    hand_out, together = _Crew._hand_out, list[int]()

    def counted(crew: _Crew, batches: Iterator[Batch]) -> None:
        hand_out(crew, batches)
        together.append(len(crew.tasks))

    monkeypatch.setattr(_Crew, "_hand_out", counted)
    given = ["--noise", 0.05, "-n", 2, "--seed", SEED, "--workers", 2, "--out", tmp_path / "out"]
    code, said = program("batch", album, *given, "--model", saved_restorer(tmp_path / "model"))
    assert code == 0, said
    assert max(together) == 1
    found = dict(samples_in(tmp_path / "out", "folder"))
    for i in range(3):
        np.testing.assert_array_equal(found[str(i)], restored(album / f"{i}.png", noisy()))
