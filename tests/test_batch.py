"""Many images: every row once and whole, equal to `upscale`, whatever happens in between."""

import contextlib
import errno
import io
import itertools
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from command import run
from PIL import Image, ImageCms
from tiny import tiny_resolver

from cvdvae.batch import Settings, Upscaler, sources
from cvdvae.batch.drawable import Drawable
from cvdvae.batch.failures import Failures
from cvdvae.batch.files import Input, read_input
from cvdvae.batch.local import Recipe, draw_locally
from cvdvae.batch.remarks import remarks
from cvdvae.batch.rows import Batch, Row, column, rows_of, to_batch
from cvdvae.batch.run import BATCH, Progress, Work, local, rows_to_do, run_batch
from cvdvae.batch.settings import seed_of
from cvdvae.batch.sources import Source, open_source
from cvdvae.batch.targets import TARGETS, Form, ParquetTarget, ZarrTarget
from cvdvae.batch.upscaler import as_arrays
from cvdvae.errors import CVDVAEError, InputError, OutputError
from cvdvae.files import write_atomically
from cvdvae.imaging.io import list_images
from cvdvae.locks import sole_writer
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.result import Doubt
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.workers import usable_processors

ROWS = 13
"""Some full batches of four, and one of what is left."""
SETTINGS = Settings(samples=2, seed=3)
IN_PROCESS = local(1)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def small(i: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(i).integers(60, 190, (4, 4, 3), dtype=np.uint8)


def png(i: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(small(i)).save(stream, "PNG")
    return stream.getvalue()


@cache
def truth(i: int, seed: int = SETTINGS.seed) -> np.ndarray[Any, Any]:
    """What `upscale` of the tiny model draws."""
    y = torch.from_numpy(small(i)).permute(2, 0, 1).float() / 255
    pixels = tiny_resolver().upscale(y, SETTINGS.samples, seed=seed).pixels
    return pixels.permute(0, 2, 3, 1).numpy()


def names(source: Source) -> Iterator[tuple[int, str]]:
    """Number and key of every row."""
    return itertools.chain.from_iterable(shard.names() for shard in source.shards)


def as_folder(folder: Path) -> Path:
    (folder / "in").mkdir(parents=True)
    for i in range(ROWS):
        (folder / "in" / f"{i:012d}.png").write_bytes(png(i))
    return folder / "in"


def as_parquet(folder: Path) -> Path:
    table = pa.table({"note": ["…"] * ROWS, "png": [png(i) for i in range(ROWS)]})
    pq.write_table(table, folder / "in.parquet", row_group_size=7)
    return folder / "in.parquet"


def as_tar(folder: Path) -> Path:
    with tarfile.open(folder / "in.tar", "w") as tar:
        for i in range(ROWS):
            for suffix, data in (("json", b"{}"), ("png", png(i))):
                member = tarfile.TarInfo(f"{i:012d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return folder / "in.tar"


def as_zarr(folder: Path) -> Path:
    array = zarr.create_array(folder / "in.zarr", shape=(ROWS, 4, 4, 3), chunks=(6, 4, 4, 3),
                              dtype="uint8")  # fmt: skip
    array[:] = np.stack([small(i) for i in range(ROWS)])
    return folder / "in.zarr"


def stored_in(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    """An array of a Zarr."""
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


def samples_in(out: Path, form: Form) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Keys and samples of all rows of a target."""
    if form == "folder":
        for result in sorted(out.rglob("result.json")):
            files = sorted(result.parent.glob("sample_*.png"))
            yield (
                result.parent.relative_to(out).as_posix(),
                np.stack([np.asarray(Image.open(path)) for path in files]),
            )
    elif form == "parquet":
        for row in pq.read_table(out / "rows.parquet").to_pylist():
            pictures = [np.asarray(Image.open(io.BytesIO(one))) for one in row["samples"]]
            yield row["key"], np.stack(pictures)
    else:
        group = zarr.open_group(out / "rows.zarr", mode="r")
        for i, key in enumerate(np.asarray(stored_in(group, "key")[:]).tolist()):
            if key:
                yield key, np.asarray(stored_in(group, "samples")[i])


def check_all(out: Path, form: Form, rows: range = range(ROWS)) -> None:
    """Every row is there once, and equals `upscale`."""
    found = list(samples_in(out, form))
    assert sorted(key for key, _ in found) == [f"{i:012d}" for i in rows]
    for key, samples in found:
        np.testing.assert_array_equal(samples, truth(int(key)))


def failures(out: Path) -> list[dict[str, str]]:
    lines = (out / "failures.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_sample_depends_on_image_and_seed_and_never_on_its_batch(
    resolver: HVAEResolver,
) -> None:
    upscaler = Upscaler(resolver, SETTINGS)
    order = [4, 0, 3, 1, 2]
    together = upscaler(to_batch(Row(i, f"{i}", small(i)) for i in order))
    assert together["samples"].shape == (5, 2, 16, 16, 3)
    for i, samples in zip(order, together["samples"], strict=True):
        np.testing.assert_array_equal(samples, truth(i))
        (alone,) = upscaler(to_batch([Row(0, "another key", png(i))]))["samples"]
        np.testing.assert_array_equal(samples, alone)


def test_independent_rows_have_the_noise_of_the_seed_that_their_key_gives(
    resolver: HVAEResolver,
) -> None:
    settings = Settings(samples=2, seed=3, independent=True)
    batch = {"key": np.array(["a", "b"]), "image": np.stack([small(0), small(0)])}
    a, b = rows_of(Upscaler(resolver, settings)(batch))
    assert not np.array_equal(a["samples"], b["samples"])
    np.testing.assert_array_equal(b["samples"], truth(0, int(b["seed"])))
    with pytest.raises(InputError, match="need a column 'key'"):
        Upscaler(resolver, settings)({"image": batch["image"]})


@pytest.mark.parametrize("source", [as_folder, as_parquet, as_tar, as_zarr])
@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
def test_every_source_goes_to_every_target_and_nothing_is_done_twice(
    source: Any, form: Form, tmp_path: Path, model_folder: Path
) -> None:
    if form != "parquet" and source is not as_tar:
        pytest.skip("each source and each target once is enough")
    out, found = tmp_path / "out", open_source(str(source(tmp_path)))
    assert found.rows == ROWS
    progress = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
    assert (progress.drawn, progress.failed, progress.left) == (ROWS, 0, 0)
    check_all(out, form)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.p*")}
    again = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
    assert (again.before, again.drawn, again.failed) == (ROWS, 0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.p*")}
    with pytest.raises(OutputError, match="drawn with another seed"):
        run_batch(found, out, str(model_folder), Settings(samples=2), form, IN_PROCESS)


def test_poisoned_rows_end_in_failures_and_are_tried_again(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = as_folder(tmp_path), tmp_path / "out"
    stream = io.BytesIO()
    Image.fromarray(small(0)).save(stream, "TIFF")
    (folder / "cut.tif").write_bytes(stream.getvalue()[:-20])
    (folder / "not.png").write_text("I am no picture")
    (folder / "empty.png").touch()
    options = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", "1"]
    assert run("batch", str(folder), "--out", str(out), *options, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    for reason in ("is truncated", "is not an image", "is empty"):
        assert f"1 × {reason}" in said
    assert f"3 of {ROWS + 3} images failed" in said
    assert "Traceback" not in said
    assert {row["key"] for row in failures(out)} == {"cut", "not", "empty"}
    check_all(out, "folder")
    for name in ("cut.tif", "not.png", "empty.png"):
        (folder / name).unlink()
    assert run("batch", str(folder), "--out", str(out), *options, monkeypatch=monkeypatch) == 0
    assert failures(out) == []


def test_failures_with_one_cause_are_one_reason_whatever_the_folder_is_called(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my album/a.png", "my album/a trip/a.png", "my album/a b/4.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("no image")
    Image.new("RGB", (3, 3)).save("my album/4.png")
    options = ["--model", str(model_folder), "-n", "2", "--workers", "1", "--out", "out"]
    assert run("batch", "my album", *options, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err
    assert "3 × is not an image" in said
    assert "1 × it has 3×3 pixels, and the model takes 4×4" in said
    assert {row["reason"].split(",")[0] for row in failures(Path("out"))} == {
        "is not an image", "it has 3×3 pixels",
    }  # fmt: skip
    keys = ["../a", "../b", "x" * 300, "y" * 300]
    pq.write_table(pa.table({"key": keys, "png": [png(i) for i in range(4)]}), "in.parquet")
    found = open_source("in.parquet")
    told = run_batch(found, Path("p"), str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert told.reasons == {
        "its key cannot name a folder": 2, "its key is too long to name a folder": 2,
    }  # fmt: skip


def test_images_of_many_sizes_fail_for_one_reason(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    for size in ((3, 3), (3, 9), (600, 20), (600, 21), (601, 20)):
        Image.new("RGB", size).save(tmp_path / "in" / f"{size}.png")
    options = ["--model", str(model_folder), "-n", "2", "--workers", "1"]
    given = ["batch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *options]
    assert run(*given, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "3 × it has … pixels, more than 512 a side" in said
    assert "2 × it has … pixels, and the model takes …" in said
    assert said.count("it has") == 2
    assert len({row["reason"] for row in failures(tmp_path / "out")}) == 5


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_folder_that_holds_files_of_others_fails_its_row_alone(
    workers: str,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    album = as_folder(tmp_path)
    foreign = {0: "mean.png", 7: "mean.png", 9: "result.json"}
    for i, name in foreign.items():
        (album / f"{i:012d}").mkdir()
        (album / f"{i:012d}" / name).write_bytes(png(1))
    options = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", workers]
    given = ["batch", f"{album}/*.png", "--out", str(album), *options]
    for _ in range(2):
        assert run(*given, monkeypatch=monkeypatch) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "3 × is there already, and no earlier result lists it" in said
        errors = {row["key"]: row["error"] for row in failures(album)}
        assert errors.keys() == {f"{i:012d}" for i in foreign}
        for i, name in foreign.items():
            assert f"{name} is there already" in errors[f"{i:012d}"]
        done = {path.parent.name for path in album.rglob("sample_00.png")}
        assert done == {f"{i:012d}" for i in range(ROWS) if i not in foreign}
    for i, name in foreign.items():
        assert (album / f"{i:012d}" / name).read_bytes() == png(1)


def tiff(levels: int, kind: type) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), levels, kind)).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_values_of_16_bits_are_not_reduced_without_a_word(
    form: Form, tmp_path: Path, model_folder: Path
) -> None:
    table = pa.table({"key": ["deep", "flat"], "tif": [tiff(4095, np.uint16), tiff(90, np.uint8)]})
    pq.write_table(table, tmp_path / "in.parquet")
    found, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out"
    told = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
    assert (told.drawn, told.failed) == (1, 1)
    (row,) = failures(out)
    assert row["key"] == "deep"
    assert row["error"].startswith("deep holds values of more than 8 bits: give it as a file")
    assert {key for key, _ in samples_in(out, form)} == {"flat"}


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
def test_what_was_changed_to_read_the_images_is_counted_at_the_end(
    form: Form,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    for name, size in (("a", (4, 4)), ("b", (5, 4)), ("c", (4, 6)), ("d", (9, 9))):
        Image.new("RGB", size, (90, 120, 150)).save(tmp_path / "in" / f"{name}.png")
    options = ["batch", str(tmp_path / "in"), "--model", str(model_folder), "-n", "1", "--to", form]
    options += ["--workers", "1", "--out"]
    assert run(*options, str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().err
    assert "note: 2 × the middle … of … pixels was taken" in said
    assert "note: 1 × it was shrunk from … to … pixels, which this model takes" in said
    assert run(*options, str(tmp_path / "quiet"), "-q", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().err == ""


def clear() -> bytes:
    """`png(0)` with a profile, whose upper half is transparent."""
    image, stream = Image.fromarray(small(0)), io.BytesIO()
    image.putalpha(Image.fromarray(np.repeat([0, 0, 255, 255], 4).reshape(4, 4).astype(np.uint8)))
    image.save(stream, "PNG", icc_profile=PROFILE)
    return stream.getvalue()


def test_pictures_in_parquet_are_those_of_upscale(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alpha, profile and mean included."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(clear())
    (tmp_path / "in" / "b.png").write_bytes(png(1))
    given = [str(tmp_path / "in"), "--model", str(model_folder), "-n", "2", "--seed", "3"]
    drawn = tmp_path / "drawn"
    assert run("upscale", *given, "--out", str(drawn), monkeypatch=monkeypatch) == 0
    given += ["--workers", "1", "--to", "parquet", "--out", str(tmp_path / "out")]
    assert run("batch", *given, monkeypatch=monkeypatch) == 0
    for row in pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist():
        for name, data in (("sample_01", row["samples"][1]), ("mean", row["mean"])):
            here = Image.open(io.BytesIO(data))
            there = Image.open(drawn / row["key"] / f"{name}.png")
            assert here.mode == there.mode == ("RGBA" if row["key"] == "a" else "RGB")
            np.testing.assert_array_equal(np.asarray(here), np.asarray(there))
            assert here.info.get("icc_profile") == there.info.get("icc_profile")
            assert bool(here.info.get("icc_profile")) == (row["key"] == "a")


def test_what_is_to_be_known_of_a_result_is_counted(
    resolver: HVAEResolver, tmp_path: Path, model_folder: Path
) -> None:
    """As `upscale` says it of one: no image in range shrinks to a board of black and white."""
    board = np.stack(3 * [255 * (np.indices((4, 4)).sum(0) % 2).astype(np.uint8)], 2)
    told = Upscaler(resolver, SETTINGS)(to_batch([Row(0, "a", board), Row(1, "b", small(1))]))
    missed = "no image shrinks to it: samples come near to it, but do not meet it"
    assert [note.split("; ")[-1] for note in told["notes"]] == [missed, ""]
    assert "remarks" not in told
    Image.fromarray(board).save(tmp_path / "a.png")
    forms: tuple[Form, ...] = ("folder", "parquet")
    for form in forms:
        found, out = open_source(str(tmp_path / "a.png")), tmp_path / form
        ended = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
        assert ended.notes[missed] == 1


def test_remarks_are_of_what_is_not_as_it_should_be(resolver: HVAEResolver) -> None:
    y = torch.from_numpy(small(1)).permute(2, 0, 1).float() / 255
    whole = resolver.upscale(y, 2, seed=0)
    assert remarks(whole) == []
    doubt = Doubt("jpeg", "It was compressed.", "Take the original.")
    assert remarks(whole, [doubt]) == ["in doubt: It was compressed."]
    (gone,) = remarks(replace(whole, exploded=[False, True]))
    assert gone == remarks(replace(whole, exploded=[True, True]))[0]
    assert "exploded" in gone
    spoilt = whole.pixels.clone()
    spoilt[0, :, :4] = 255 - spoilt[0, :, :4]
    half = replace(whole, pixels=spoilt)
    assert half.round_trip_exact == [False, True]
    assert remarks(half) == ["not every sample gives it back exactly"]
    assert remarks(replace(half, exploded=[True, False])) == [gone]


def named_own(row: Drawable, key: str) -> dict[str, Any]:
    """As a person may write it, who knows of no remarks."""
    answers, _, told = row.drawn()
    return {"mean": answers.mean_pixels.numpy(), "exact": told["round_trip_exact"]}


def test_who_delivers_by_themselves_need_not_know_of_remarks(resolver: HVAEResolver) -> None:
    told = Upscaler(resolver, SETTINGS, named_own)(to_batch([Row(0, "a", small(1))]))
    assert told.keys() == {"key", "number", "mark", "error", "notes", "mean", "exact"}


def test_in_arrays_transparent_pixels_lie_on_white(
    resolver: HVAEResolver, tmp_path: Path, model_folder: Path
) -> None:
    white = small(0)
    white[:2] = 255
    upscaler = Upscaler(resolver, SETTINGS)
    (expected,) = upscaler(to_batch([Row(0, "a", white)]))["samples"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(clear())
    for image in (clear(), str(tmp_path / "in" / "a.png")):
        told = upscaler(to_batch([Row(0, "a", image)]))
        np.testing.assert_array_equal(told["samples"][0], expected)
        assert told["notes"][0] == "transparent pixels were put on white"
        assert told["round_trip_exact"][0].all()
    found, out = open_source(str(tmp_path / "in")), tmp_path / "out"
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    ((_, samples),) = samples_in(out, "zarr")
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("samples", [1, 2])
def test_the_mean_of_arrays_is_the_one_that_is_saved(samples: int, resolver: HVAEResolver) -> None:
    y = torch.from_numpy(small(0)).permute(2, 0, 1).float() / 255
    saved = resolver.upscale(y, samples, seed=3).mean_pixels.permute(1, 2, 0).numpy()
    upscaler = Upscaler(resolver, Settings(samples=samples, seed=3))
    told = upscaler(to_batch([Row(0, "a", small(0))]))
    np.testing.assert_array_equal(told["mean"][0], saved)
    assert np.array_equal(told["mean"][0], told["samples"][0][0]) == (samples == 1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it is Linux that tells")
def test_what_is_read_is_open_nowhere_else(
    resolver: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows opens no file a second time that is written to."""

    def read(model: SuperResolver, path: Path, *how: Any) -> Input:
        held = [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]
        assert str(path) not in held
        return read_input(model, path, *how)

    monkeypatch.setattr("cvdvae.batch.drawers.read_input", read)
    (told,) = rows_of(Upscaler(resolver, SETTINGS)(to_batch([Row(0, "a", png(0))])))
    assert told["error"] == ""
    (told,) = rows_of(Upscaler(resolver, SETTINGS)(to_batch([Row(0, "a", b"text")])))
    assert told["error"] == "a is not an image"


def test_a_row_without_an_image_says_so(resolver: HVAEResolver) -> None:
    batch = {"key": np.array(["a", "b"]), "bytes": np.array([png(0), None], object)}
    told = Upscaler(resolver, SETTINGS)(batch)
    assert told["error"].tolist() == ["", "b holds no image"]


def test_rows_with_the_same_key_are_written_once(tmp_path: Path, model_folder: Path) -> None:
    table = pa.table({"key": ["a", "b", "a"], "png": [png(0), png(1), png(2)]})
    pq.write_table(table, tmp_path / "in.parquet")
    out, found = tmp_path / "out", open_source(str(tmp_path / "in.parquet"))
    for _ in range(2):
        run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS)
        assert [row["error"] for row in failures(out)] == ["a is the key of another row, too"]
        assert pq.read_table(out / "rows.parquet")["key"].to_pylist() == ["a", "b"]


def test_a_model_is_the_same_wherever_its_folder_lies(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, moved = str(as_folder(tmp_path)), tmp_path / "moved"
    shutil.copytree(model_folder, moved)
    given = ("batch", source, "-n", "2", "--seed", "3", "--workers", "1", "-q", "--out", "out")
    monkeypatch.chdir(tmp_path)
    for model in (str(model_folder), "moved", "./moved/"):
        assert run(*given, "--model", model, monkeypatch=monkeypatch) == 0
    check_all(Path("out"), "folder")
    assert json.loads(Path("out/batch.json").read_text())["model"] == str(model_folder)


def test_results_of_another_source_do_not_count_as_done(tmp_path: Path, model_folder: Path) -> None:
    out, counts = tmp_path / "out", list[tuple[int, int, int]]()
    for keys in (["a", "b", "c"], ["d", "e", "f"], ["f", "g", "a"]):
        pictures = [png(ord(key)) for key in keys]
        pq.write_table(pa.table({"key": keys, "png": pictures}), tmp_path / "p")
        (tmp_path / "p").rename(tmp_path / "in.parquet")
        found = open_source(str(tmp_path / "in.parquet"))
        progress = run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
        counts.append((progress.before, progress.drawn, progress.left))
    assert counts == [(0, 3, 0), (0, 3, 0), (2, 1, 0)]
    assert {key for key, _ in samples_in(out, "folder")} == set("abcdefg")


def test_rows_of_a_zarr_are_not_overwritten_by_those_of_another_source(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, folder = tmp_path / "out", tmp_path / "in"
    folder.mkdir()
    options = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", "1"]
    options += ["--to", "zarr", "--out", str(out)]

    def go() -> int:
        return run("batch", str(folder), *options, monkeypatch=monkeypatch)

    for i, name in enumerate("abc"):
        (folder / f"{name}.png").write_bytes(png(i))
    (folder / "b.png").write_text("no image yet")
    assert go() == 1
    (folder / "b.png").write_bytes(png(1))
    assert go() == 0, "a row that failed is drawn later"
    before = dict(samples_in(out, "zarr"))
    assert set(before) == {"a", "b", "c"}
    for old, new in (("c", "aa"), ("b", "bb")):  # b would move; then a row be another's
        (folder / f"{old}.png").rename(tmp_path / f"{old}.png")
        (folder / f"{new}.png").write_bytes(png(3))
        capsys.readouterr()
        assert go() == 1
        said = capsys.readouterr().err
        assert "was begun with other rows" in said
        assert "Traceback" not in said
        after = dict(samples_in(out, "zarr"))
        assert set(after) == set(before)
        assert all(np.array_equal(after[key], before[key]) for key in before)
        (folder / f"{new}.png").unlink()
        (tmp_path / f"{old}.png").rename(folder / f"{old}.png")
    assert go() == 0


def some_rows(path: Path, rows: range, keys: bool = False) -> Path:
    """A Parquet file or a Zarr array of some rows."""
    if path.suffix == ".parquet":
        columns = {"key": [f"k{i}" for i in rows]} if keys else {}
        pq.write_table(pa.table(columns | {"png": [png(i) for i in rows]}), path)
    else:
        array = zarr.create_array(path, shape=(len(rows), 4, 4, 3), dtype="uint8")
        array[:] = np.stack([small(i) for i in rows])
    return path


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
@pytest.mark.parametrize("kind", ["parquet", "zarr"])
def test_rows_that_are_counted_are_not_taken_for_those_of_other_files(
    kind: str,
    form: Form,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = (some_rows(tmp_path / f"{n}.{kind}", range(i, i + 2)) for n, i in (("a", 0), ("b", 2)))
    options = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", "1"]
    options += ["--to", form, "--out", str(tmp_path / "out")]

    def go(source: Path) -> int:
        return run("batch", str(source), *options, monkeypatch=monkeypatch)

    assert go(a) == 0
    capsys.readouterr()
    assert go(b) == 1
    said = capsys.readouterr().err
    assert "holds rows of other files, counted as those of this source are" in said
    assert len(said.strip().splitlines()) == 1
    check_all(tmp_path / "out", form, range(2))
    moved = a.rename(tmp_path / f"moved.{kind}")
    assert go(moved) == 0, "the same rows elsewhere"
    note = tmp_path / "out" / "batch.json"
    before = json.loads(note.read_text())
    note.write_text(json.dumps({k: v for k, v in before.items() if k != "counted"}))
    assert go(moved) == 0, "a folder from before"


def test_counted_rows_of_a_folder_that_grows_go_on(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"

    def drawn() -> int:
        found = open_source(str(tmp_path / "in"))
        return run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS).drawn

    some_rows(tmp_path / "in" / "b.parquet", range(2))
    assert drawn() == 2
    some_rows(tmp_path / "in" / "c.parquet", range(2, 5))
    assert drawn() == 3
    check_all(out, "parquet", range(5))
    some_rows(tmp_path / "in" / "a.parquet", range(5, 6))  # all others would move
    with pytest.raises(OutputError, match="counted as those of this source"):
        drawn()
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    some_rows(tmp_path / "in" / "a.parquet", range(6, 8), keys=True)
    assert drawn() == 2, "keys tell rows apart by themselves"


def test_a_first_run_that_drew_nothing_binds_nobody(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some_rows(tmp_path / "in.parquet", range(2))
    found = open_source(str(tmp_path / "in.parquet"))
    small_images = Settings(samples=2, max_pixels=3)  # so that no row can be drawn
    forms: list[Form] = ["folder", "parquet", "zarr"]
    for form in forms:
        out = tmp_path / form
        told = run_batch(found, out, str(model_folder), small_images, form, IN_PROCESS)
        assert (told.drawn, told.failed) == (0, 2)
        run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
        check_all(out, form, range(2))
        other: Form = "zarr" if form == "folder" else "folder"
        with pytest.raises(OutputError, match="drawn with another"):
            run_batch(found, out, str(model_folder), SETTINGS, other, IN_PROCESS)


def test_arrays_of_a_zarr_that_has_no_row_yet_bind_the_next_run(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_rows(tmp_path / "in.parquet", range(2))
    found, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out"

    class Ended(Exception):
        """As by a kill."""

    def end(*_: object, **__: object) -> None:
        raise Ended

    with monkeypatch.context() as patch:  # the arrays are made, and nothing is written to them
        patch.setattr("zarr.Array.oindex", property(end))
        with pytest.raises(Ended):
            run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    three = Settings(samples=3, seed=3)
    with pytest.raises(OutputError, match="drawn with another samples"):
        run_batch(found, out, str(model_folder), three, "zarr", IN_PROCESS)
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    check_all(out, "zarr", range(2))


def test_a_zarr_that_a_full_disk_left_empty_is_begun_anew(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_rows(tmp_path / "in.parquet", range(2))
    found, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out"

    def full(root: Path, **_: object) -> None:
        root.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("zarr.open_group", full)
        with pytest.raises(OutputError, match="No space left on device"):
            run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    check_all(out, "zarr", range(2))


def test_a_zarr_holds_back_no_more_bytes_than_a_part_of_parquet(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = 2 * 16 * 16 * 3
    monkeypatch.setattr("cvdvae.batch.targets.PART_BYTES", 3 * row)
    found, out, most = open_source(str(as_tar(tmp_path))), tmp_path / "out", list[int]()
    flush = ZarrTarget.flush

    def counted(target: ZarrTarget) -> None:
        most.append(len(target.rows))
        flush(target)

    monkeypatch.setattr(ZarrTarget, "flush", counted)
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    assert max(most) <= 3
    check_all(out, "zarr")
    group = zarr.open_group(out / "rows.zarr", mode="r")
    assert stored_in(group, "samples").chunks[0] * row <= 3 * row
    assert stored_in(group, "key").chunks[0] > 3


def test_what_a_killed_run_left_in_a_zarr_is_removed_by_the_next(
    tmp_path: Path, model_folder: Path
) -> None:
    found, out = open_source(str(as_tar(tmp_path))), tmp_path / "out"
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    before = sorted(out.rglob("*"))
    for name in ("zarr.json", "samples/c/0/0/0/0/0"):
        left = out / "rows.zarr" / name
        left.with_suffix(f".{'ab' * 16}.partial").write_bytes(left.read_bytes()[:9])
    run_batch(found, out, str(model_folder), SETTINGS, "zarr", IN_PROCESS)
    assert sorted(out.rglob("*")) == before


def test_a_part_is_written_once_if_it_is_interrupted_just_behind_it(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = open_source(str(as_tar(tmp_path))), tmp_path / "out"
    for before in (True, False):  # what was drawn is kept either way
        with monkeypatch.context() as patch:

            def interrupted(path: Path, write: Any, before: bool = before) -> None:
                patch.undo()
                if not before:
                    write_atomically(path, write)
                raise KeyboardInterrupt

            patch.setattr("cvdvae.batch.targets.PART_ROWS", 5)
            patch.setattr("cvdvae.batch.targets.write_atomically", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS)
        check_all(out, "parquet", range(5 if before else 10))


@pytest.mark.parametrize("source", [as_folder, as_parquet, as_tar, as_zarr])
def test_rows_are_found_from_any_folder(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As processes of a cluster have another."""
    monkeypatch.chdir(tmp_path)
    found = open_source(source(Path()).name)
    target = TARGETS["folder"](Path("out"), ROWS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rows = [row for shard in pickle.loads(pickle.dumps(found.shards)) for row in shard.rows()]
    told = Upscaler(tiny_resolver(), SETTINGS, target.deliver)(to_batch(rows[:1]))
    assert told["error"].tolist() == [""]
    assert (tmp_path / "out" / f"{0:012d}" / "result.json").exists()


def test_on_ray_a_model_is_found_from_any_folder(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvdvae.batch import on_ray

    monkeypatch.chdir(tmp_path)
    named = list[str]()

    def passed(work: Work, *_: object) -> Iterator[Batch]:
        named.append(work.recipe.model)
        return iter(())

    monkeypatch.setattr(on_ray, "need", lambda *_: None)
    monkeypatch.setattr(on_ray, "_connected", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(on_ray, "_pass", passed)
    for name in (model_folder.name, "celeba64-x8"):
        list(on_ray.ray_engine(workers=1)(Work([], frozenset(), Recipe(name, SETTINGS, as_arrays),
                                               False, 1)))  # fmt: skip
    assert {*named} == {str(model_folder), "celeba64-x8"}


def test_gpus_are_not_booked_to_compute_on_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["batch", str(as_tar(tmp_path)), "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert run(*given, "--gpus", "0.25", monkeypatch=monkeypatch) == 1
    assert "--gpus goes with --device cuda" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["album", "album/**"])
@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
def test_results_in_the_source_itself_are_no_rows(
    form: Form,
    source: str,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    as_folder(tmp_path).rename("album")
    given = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", "1"]
    for _ in range(2):
        arguments = ("batch", source, "--to", form, "--out", "album", *given)
        assert run(*arguments, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
        check_all(Path("album"), form)


def test_tables_that_a_run_wrote_are_no_source_of_the_next(
    tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "in").mkdir()
    some_rows(tmp_path / "in" / "a.parquet", range(2))
    for _ in range(2):
        found = open_source(str(tmp_path / "in" / "**" / "*.parquet"), out=tmp_path / "in")
        assert found.rows == 2
        run_batch(found, tmp_path / "in", str(model_folder), SETTINGS, "parquet", IN_PROCESS)


def test_a_zarr_of_four_channels_may_have_them_first(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in.zarr", shape=(2, 4, 16, 16), dtype="uint8")
    (shard,) = open_source(str(tmp_path / "in.zarr")).shards
    assert [row.image.shape for row in shard.rows()] == [(16, 16, 4)] * 2  # type: ignore[union-attr]


def test_a_zarr_of_small_images_may_have_its_channels_first(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "in.zarr", shape=(2, 3, 4, 4), dtype="uint8")
    array[:] = np.stack([small(i).transpose(2, 0, 1) for i in range(2)])
    (shard,) = open_source(str(tmp_path / "in.zarr")).shards
    for row in shard.rows():
        np.testing.assert_array_equal(row.image, small(row.number))  # type: ignore[arg-type]


def test_a_chunk_of_a_zarr_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, asked = zarr.Array.__getitem__, list[Any]()

    def counted(array: Any, selection: Any) -> Any:
        asked.append(selection)
        return read(array, selection)

    (shard, *rest) = open_source(str(as_zarr(tmp_path))).shards
    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    rows = [row for one in (shard, *rest) for row in one.rows()]
    assert len(asked) == 3, "of 6, 6 and 1 rows"
    assert [row.key for row in rows] == [f"{i:012d}" for i in range(ROWS)]
    for row in rows:
        np.testing.assert_array_equal(row.image, small(row.number))  # type: ignore[arg-type]


def test_a_log_has_one_line_on_how_far_it_is_at_a_time(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cvdvae.cli.consoles.SECONDS", 0.0)
    given = ["batch", str(as_tar(tmp_path)), "--model", str(model_folder), "-n", "1"]
    given += ["--workers", "1", "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.split(" images")[0] for line in lines] == [f"{n} of 13" for n in (4, 8, 12, 13)]
    assert all(line.count(" of ") == 1 for line in lines)
    assert lines[1].endswith(": 62 %")


def test_on_ray_rows_are_counted_and_not_their_keys(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that loses row 1 of the first pass, without Ray itself."""
    from cvdvae.batch import on_ray

    asked = list[int]()

    def passed(work: Work, done: frozenset[int], size: int, *_: object) -> Iterator[Any]:
        asked.append(size)
        upscaler = Upscaler(*work.recipe)
        for shard in work.shards:  # each is read by itself
            for row in rows_to_do([shard], done, work.refused):
                if size == 1 or row.number != 1:
                    yield upscaler(to_batch([row]))

    monkeypatch.setattr(on_ray, "need", lambda *_: None)
    monkeypatch.setattr(on_ray, "_connected", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(on_ray, "_pass", passed)
    for name, keys in (("x", ["a", "b"]), ("y", ["b", "a", "c"])):
        table = pa.table({"key": keys, "png": [png(i) for i in range(len(keys))]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    found, out = open_source(str(tmp_path)), tmp_path / "out"
    for key in "klmno":
        (out / key).mkdir(parents=True)
        (out / key / "result.json").write_text('{"model": "", "samples": 1, "seed": 0}')
    engine = on_ray.ray_engine(workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("cvdvae.batch.run._note", lambda *_: None)
        for drawn, passes in ((3, [BATCH, 1]), (0, [BATCH])):
            asked.clear()
            progress = run_batch(found, out, str(model_folder), SETTINGS, "folder", engine)
            assert (progress.drawn, progress.failed, progress.left) == (drawn, 2, 0)
            assert [row["key"] for row in failures(out)] == ["b", "a"]
            assert asked == passes


@pytest.mark.parametrize("key", ["../up", "/abs", "."])
def test_a_key_cannot_lead_out_of_the_target(key: str, tmp_path: Path, model_folder: Path) -> None:
    pq.write_table(pa.table({"key": [key], "png": [png(0)]}), tmp_path / "in.parquet")
    found = open_source(str(tmp_path / "in.parquet"))
    run_batch(found, tmp_path / "a" / "b", str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert "cannot name a folder" in failures(tmp_path / "a" / "b")[0]["error"]
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_name_that_is_no_unicode_fails_no_other_row(
    packed: bool,
    form: Form,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if packed and form == "zarr":
        pytest.skip("each source and each target once is enough")
    good, bad = (os.fsdecode(f"J\xfcrgen {what}.png".encode("latin-1")) for what in ("1", "2"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(0))
    try:
        (tmp_path / "in" / good).write_bytes(png(1))
    except OSError:
        pytest.skip("this file system knows Unicode alone")
    (tmp_path / "in" / bad).write_text("no image")
    source = tmp_path / "in"
    if packed:
        source = tmp_path / "in.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(tmp_path / "in", "in")
    out = tmp_path / "out"
    options = ["--model", str(model_folder), "-n", "2", "--seed", "3", "--workers", "1"]
    options += ["--to", form, "--independent", "--out", str(out)]
    for _ in range(2):
        assert run("batch", str(source), *options, monkeypatch=monkeypatch) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "1 × is not an image" in said
        (row,) = failures(out)
        assert row["key"].endswith("rgen 2")
        assert row["reason"] == "is not an image"
        found = dict(samples_in(out, form))
        assert len(found) == 2
        for key in found:
            key.encode()  # as any program can write it down


@pytest.mark.parametrize(
    "key", ["x" * 300, f"a/{'é' * 200}/b", "/".join(["y" * 200] * 25)], ids=["x", "é", "deep"]
)
def test_a_key_too_long_for_a_folder_fails_alone(
    key: str, tmp_path: Path, model_folder: Path
) -> None:
    keys = ["a", key, "b"]
    table = pa.table({"key": keys, "png": [png(i) for i in range(3)]})
    pq.write_table(table, tmp_path / "in.parquet")
    found = open_source(str(tmp_path / "in.parquet"))
    progress = run_batch(found, tmp_path / "out", str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (progress.drawn, progress.failed) == (2, 1)
    (row,) = failures(tmp_path / "out")
    assert row["key"] == key
    assert "is too long to name a folder" in row["error"]
    assert len(row["error"]) < 200
    assert {key for key, _ in samples_in(tmp_path / "out", "folder")} == {"a", "b"}


def test_keys_that_name_a_folder_in_other_words_are_done_once(
    tmp_path: Path, model_folder: Path
) -> None:
    keys = ["https://x.org/a.jpg", "a//b", "a/b", "./c/", "c"]
    table = pa.table({"key": keys, "png": [png(i) for i in range(5)]})
    pq.write_table(table, tmp_path / "in.parquet")
    found, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out"
    settings = Settings(samples=2, seed=3, independent=True)
    for drawn in (3, 0):
        progress = run_batch(found, out, str(model_folder), settings, "folder", IN_PROCESS)
        assert (progress.before, progress.drawn, progress.failed) == (3 - drawn, drawn, 2)
        assert [row["key"] for row in failures(out)] == ["a/b", "c"]
        assert all("another row" in row["error"] for row in failures(out))
    made = dict(samples_in(out, "folder"))
    assert set(made) == {"https:/x.org/a.jpg", "a/b", "c"}
    # What is drawn of a row follows from its key, and not from the target.
    np.testing.assert_array_equal(made["a/b"], truth(1, seed_of("a//b", 3)))
    progress = run_batch(found, tmp_path / "p", str(model_folder), settings, "parquet", IN_PROCESS)
    assert progress.drawn == 5
    others = dict(samples_in(tmp_path / "p", "parquet"))
    np.testing.assert_array_equal(others["a//b"], made["a/b"])


def test_a_folder_of_pictures_and_tables_is_asked_about(tmp_path: Path, model_folder: Path) -> None:
    album = tmp_path / "album"
    (album / "2020").mkdir(parents=True)
    (album / "2020" / "a.jpg").write_bytes(png(0))
    as_tar(tmp_path).rename(album / "backup.tar")
    with pytest.raises(InputError, match=r"holds files of images and \.tar files") as caught:
        open_source(str(album))
    advised = re.findall(r"'([^']+)'", str(caught.value))
    assert [open_source(one).rows for one in advised] == [1, ROWS]
    (album / "2020" / "a.jpg").unlink()
    as_parquet(tmp_path).rename(album / "b.parquet")
    with pytest.raises(InputError, match=r"holds \.parquet files and \.tar files") as caught:
        open_source(str(album))
    advised = re.findall(r"'([^']+)'", str(caught.value))
    assert [open_source(one).rows for one in advised] == [ROWS, ROWS]
    (album / "b.parquet").unlink()
    forms: list[Form] = ["folder", "zarr", "parquet"]
    for form in forms:  # what a run wrote there, or a killed one in part, is no source of another
        for _ in range(2):
            found = open_source(str(album), out=album)
            assert found.rows == ROWS
            run_batch(found, album, str(model_folder), SETTINGS, form, IN_PROCESS)
        (album / "batch.json").unlink()
        if form == "folder":
            (album / f"{0:012d}" / "result.json").rename(album / f"{0:012d}" / ".unfinished.json")


def test_a_glob_of_pictures_and_tables_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    album = tmp_path / "album"
    (album / "2020").mkdir(parents=True)
    as_tar(tmp_path).rename(album / "s.tar")
    (album / "index.json").write_text("{}")
    assert open_source(str(album / "*")).rows == ROWS, "as of a folder: no picture is there"
    for name in ("2020/r.png", "a.png"):
        (album / name).write_bytes(png(0))
    as_parquet(tmp_path).rename(album / "t.parquet")
    for text, kinds, rows in (
        ("*", "files of images and .parquet files", [1, ROWS]),
        ("[st].*", ".parquet files and .tar files", [ROWS, ROWS]),
        ("[as].*", "files of images and .tar files", [1, ROWS]),
        ("[2s]*", "files of images and .tar files", [2, ROWS]),
        ("**/[rs].*", "files of images and .tar files", [2, ROWS]),
    ):
        out = str(tmp_path / "out")
        assert run("batch", str(album / text), "--out", out, monkeypatch=monkeypatch) == 1
        said = capsys.readouterr().err
        assert f"{album / text} holds {kinds}" in said
        advised = re.findall(r"'([^']+)'", said)
        assert [open_source(one).rows for one in advised] == rows


@pytest.mark.parametrize("form", ["folder", "zarr", "parquet"])
def test_results_beside_tars_are_none_of_a_glob(
    form: Form, tmp_path: Path, model_folder: Path
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    as_tar(tmp_path).rename(album / "s.tar")
    for _ in range(2):
        found = open_source(str(album / "*"), out=album)
        assert found.rows == ROWS
        run_batch(found, album, str(model_folder), SETTINGS, form, IN_PROCESS)


def test_sources_that_cannot_be_used_are_refused_in_one_sentence(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "text.parquet")
    (tmp_path / "cut.parquet").write_bytes(as_parquet(tmp_path).read_bytes()[:-9])
    zarr.create_array(tmp_path / "flat.zarr", shape=(3, 4), dtype="uint8")
    zarr.create_array(tmp_path / "odd.zarr", shape=(3, 4, 4, 3), dtype="int32")
    zarr.create_array(tmp_path / "void.zarr", shape=(0, 4, 4, 3), dtype="uint8")
    pq.write_table(pa.table({"png": pa.array([], pa.binary())}), tmp_path / "void.parquet")
    (tmp_path / "cut.tar").write_bytes(as_tar(tmp_path).read_bytes()[:3000])
    for name, message in {
        "text.parquet": r"no column with the bytes of image files: it has text \(string\)",
        "cut.parquet": "no Parquet file, or a damaged one",
        "flat.zarr": "rows of images have 4 axes",
        "odd.zarr": "holds int32",
        "void.zarr": "holds no row",
        "void.parquet": "holds no row",
        "cut.tar": "no tar file, or a damaged one",
        "none.tar": "does not exist",
        "none.zarr": "does not exist",
        "none.tar.gz": "is compressed",
        "nothing": "does not exist",
    }.items():
        with pytest.raises(InputError, match=message):
            open_source(str(tmp_path / name))


def third_header(tar: Path) -> int:
    with tarfile.open(tar) as file:
        return file.getmembers()[2].offset


@pytest.mark.parametrize("damage", ["a byte", "in a header", "before a header", "twice"])
def test_rows_of_a_damaged_tar_are_not_left_out_without_a_word(damage: str, tmp_path: Path) -> None:
    """Python's tarfile takes whatever is no header for the end."""
    path = as_tar(tmp_path)
    data, third = bytearray(path.read_bytes()), third_header(path)
    assert open_source(str(path)).rows == ROWS
    data[third + 4] ^= damage == "a byte"
    cut = {"in a header": third + 200, "before a header": third}.get(damage)
    path.write_bytes(bytes(data[:cut]) * (1 + (damage == "twice")))
    with pytest.raises(InputError, match="is no tar file, or a damaged one") as caught:
        open_source(str(path))
    assert "\n" not in str(caught.value)


def test_what_macos_writes_beside_files_is_no_row(tmp_path: Path) -> None:
    """Their names begin with ``._``: on disks of others, and in every tar that a Mac packs."""
    for pack in (as_folder, as_tar, as_parquet):
        (tmp_path / pack.__name__).mkdir()
        given = pack(tmp_path / pack.__name__)
        beside = given if given.is_dir() else given.parent
        for name in (f"._{0:012d}.png", "._in.tar", "._in.parquet"):
            (beside / name).write_bytes(b"\0\5\x16\7")
        assert open_source(str(beside)).rows == ROWS
    path = as_tar(tmp_path)
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo(f"./._{0:012d}.png"))
    assert open_source(str(path)).rows == ROWS


def test_hard_links_in_a_tar_are_rows(tmp_path: Path) -> None:
    path = as_tar(tmp_path)
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("again.png")
        link.type, link.linkname = tarfile.LNKTYPE, f"{3:012d}.png"
        tar.addfile(link)
    rows = [row for shard in open_source(str(path)).shards for row in shard.rows()]
    assert len(rows) == ROWS + 1
    assert (rows[-1].key, rows[-1].image) == ("again", png(3))
    with tarfile.open(path, "a") as tar:
        link.name, link.linkname = "lost.png", "none.png"
        tar.addfile(link)
    with pytest.raises(InputError, match=r"lost\.png is a link to none\.png, which is not in it"):
        open_source(str(path))


def deep_folder(folder: Path, highest: list[int]) -> Path:
    """TIFF files of 16 bits whose largest values are these."""
    folder.mkdir()
    for i, most in enumerate(highest):
        values = np.linspace(0, most, 16).reshape(4, 4).astype(np.uint16)
        Image.fromarray(values).save(folder / f"{i}.tif")
    return folder


def test_what_becomes_of_values_is_said_and_chosen_as_for_upscale(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--model", str(model_folder), "-n", "1", "--workers", "1"]

    def go(source: str, *more: str) -> tuple[int, str]:
        out = str(tmp_path / f"out of {source}")
        given = ["batch", str(tmp_path / source), "--out", out, *options, *more]
        ended = run(*given, monkeypatch=monkeypatch)
        return ended, capsys.readouterr().err

    deep_folder(tmp_path / "one", [4000, 4095])
    deep_folder(tmp_path / "many", [4000, 40000])
    said = "values from 0 to {} are the model's 0 to 1"
    assert f"note: 2 × {said.format(4095)} (--values" in go("one")[1]
    assert f"note: 2 × {said.format('…')} (--values" in go("many")[1]
    assert "drawn with another values" in go("one", "--values", "0,8191")[1]
    note = tmp_path / "out of one" / "batch.json"
    kept = json.loads(note.read_text())
    assert kept.pop("values", "") is None
    note.write_text(json.dumps(kept))
    assert go("one")[0] == 0, "a folder from before"
    deep_folder(tmp_path / "named", [4000, 40000])
    ended, told = go("named", "--values", "0,50000")
    assert (ended, told.count("note:")) == (0, 1)
    assert f"note: 2 × {said.format(50000)}" in told
    whole = [
        "upscale",
        str(tmp_path / "named"),
        "--values",
        "0,50000",
        "--model",
        str(model_folder),
    ]
    assert run(*whole, "-n", "1", "--out", str(tmp_path / "up"), monkeypatch=monkeypatch) == 0
    for i in "01":
        here, there = (tmp_path / a / i / "sample_00.tif" for a in ("out of named", "up"))
        np.testing.assert_array_equal(np.asarray(Image.open(here)), np.asarray(Image.open(there)))
    capsys.readouterr()
    ended, told = go("refused", "--values", "9,1")
    assert (ended, told.count("error:")) == (1, 1)
    assert "--values wants the smaller number first" in told
    assert not (tmp_path / "out of refused").exists()


def test_values_of_what_is_no_file_of_arrays_are_not_ignored(
    tmp_path: Path, model_folder: Path
) -> None:
    settings = Settings(samples=2, seed=3, values="0,4095")
    for i, source in enumerate((as_tar(tmp_path), as_zarr(tmp_path), as_folder(tmp_path))):
        out = tmp_path / f"out {i}"
        told = run_batch(open_source(str(source)), out, str(model_folder), settings, "folder",
                         IN_PROCESS)  # fmt: skip
        assert (told.drawn, told.failed) == (0, ROWS)
        assert all("--values goes with" in row["error"] for row in failures(out))


@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_a_file_where_the_folder_of_a_row_would_be_fails_that_row_alone(
    form: Form, tmp_path: Path, model_folder: Path
) -> None:
    keys = ["a", "ko/a", "ko/b/c", "b", "d"]
    table = pa.table({"key": keys, "png": [png(i) for i in range(5)]})
    pq.write_table(table, tmp_path / "in.parquet")
    found, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out"
    out.mkdir()
    (out / "ko").write_text("a file")
    (out / "d").symlink_to("nowhere")
    for drawn in (2, 0):
        told = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
        if form == "folder":
            assert (told.drawn, told.failed) == (drawn, 3)
            assert told.reasons == {"a file stands where its folder would be": 3}
            assert {row["key"] for row in failures(out)} == {"ko/a", "ko/b/c", "d"}
            assert str(out / "ko") in failures(out)[0]["error"]
        else:
            assert told.failed == 0
    assert (out / "ko").read_text() == "a file"


def test_a_glob_of_zarr_stores_has_a_row_for_each(tmp_path: Path) -> None:
    for name in "ab":
        zarr.create_array(tmp_path / f"{name}.zarr", shape=(4, 4), dtype="uint16")
    found = open_source(str(tmp_path / "*.zarr"))
    assert [key for _, key in names(found)] == ["a", "b"]
    with pytest.raises(InputError, match="does not exist"):
        open_source(str(tmp_path / "none*.zarr"))
    zarr.create_array(tmp_path / "c[1].zarr", shape=(2, 4, 4, 3), dtype="uint8")
    assert open_source(str(tmp_path / "c[1].zarr")).rows == 2


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
def test_a_seed_that_a_target_cannot_hold_is_refused_before_anything_is_drawn(
    form: Form, tmp_path: Path, model_folder: Path
) -> None:
    found, out = open_source(str(some_rows(tmp_path / "in.parquet", range(1)))), tmp_path / "out"

    def go(seed: int, independent: bool = False) -> int:
        settings = Settings(samples=1, seed=seed, independent=independent)
        name = out / f"{seed} {independent}"
        return run_batch(found, name, str(model_folder), settings, form, IN_PROCESS).drawn

    assert go(2**63, independent=True) == go(2**63 - 1) == 1
    if form == "folder":
        assert go(2**63) == 1
        return
    with pytest.raises(InputError, match=r"seeds below 2\^63"):
        go(2**63)
    assert not (out / f"{2**63} False").exists()


def test_results_of_a_batch_elsewhere_are_no_source(tmp_path: Path, model_folder: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    (album / "a.png").write_bytes(png(0))
    some_rows(album / "t.parquet", range(2))
    forms: list[Form] = ["zarr", "parquet"]
    for form in forms:
        found = open_source(str(album / "*.png"))
        run_batch(found, album / form, str(model_folder), SETTINGS, form, IN_PROCESS)
    elsewhere = tmp_path / "out"
    said = list[str]()
    pictures = open_source(str(album / "**" / "*.[pz][na]*[gr]"), out=elsewhere, say=said.append)
    assert [key for _, key in names(pictures)] == ["a"]
    assert said
    assert open_source(str(album / "**" / "*.parquet"), out=elsewhere).rows == 2
    with pytest.raises(InputError, match="nothing but results of this program"):
        open_source(str(album / "*" / "rows.*" / "*.parquet"), out=elsewhere)
    assert open_source(str(album / "parquet" / "rows.parquet")).rows == 1, "it is named"
    (album / "t.parquet").unlink()
    assert [key for _, key in names(open_source(str(album), out=elsewhere))] == ["a"]
    (album / "zarr" / "batch.json").unlink()
    assert open_source(str(album), out=elsewhere).rows == 2, "nobody knows whose it is"


@pytest.mark.parametrize("source", [as_folder, as_tar, as_zarr])
def test_columns_of_what_has_none_are_refused(source: Any, tmp_path: Path) -> None:
    given = str(source(tmp_path))
    for columns in (("png", None), (None, "id")):
        with pytest.raises(InputError, match="go with Parquet"):
            open_source(given, *columns)


def test_the_column_of_images_is_remembered(tmp_path: Path, model_folder: Path) -> None:
    columns = {"key": ["a", "b"], "x": [png(0), png(1)], "y": [png(2), png(3)]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    out, note = tmp_path / "out", tmp_path / "out" / "batch.json"

    def go(column: str | None) -> int:
        found = open_source(str(tmp_path / "in.parquet"), column)
        return run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS).before

    go("y")
    assert go("y") == 2
    for other in ("x", None):
        with pytest.raises(OutputError, match="drawn with another image_column"):
            go(other)
    kept = json.loads(note.read_text())
    assert kept.pop("image_column") == "y"
    note.write_text(json.dumps(kept))
    assert go("y") == go("x") == 2, "a folder from before"


def test_the_column_of_keys_is_remembered(tmp_path: Path, model_folder: Path) -> None:
    columns = {"key": ["a", "b"], "id": ["c", "d"], "png": [png(0), png(1)]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    out, note = tmp_path / "out", tmp_path / "out" / "batch.json"

    def go(column: str | None) -> int:
        found = open_source(str(tmp_path / "in.parquet"), None, column)
        return run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS).before

    go(None)
    assert go(None) == go("key") == 2, "which is taken by default"
    with pytest.raises(OutputError, match="drawn with another key_column"):
        go("id")
    kept = json.loads(note.read_text())
    assert kept.pop("key_column") is None
    note.write_text(json.dumps(kept))
    assert go(None) == 2, "a folder from before"
    assert pq.read_table(out / "rows.parquet")["key"].to_pylist() == ["a", "b"]


def test_keys_may_be_bytes_and_are_not_taken_for_images(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tools write text that they have not marked as such."""
    keys = [b"a", "ü".encode(), b"J\xfcrgen"]
    table = pa.table({"key": pa.array(keys, pa.binary()), "png": [png(i) for i in range(3)]})
    pq.write_table(table, tmp_path / "in.parquet")
    given = ["batch", str(tmp_path / "in.parquet"), "--model", str(model_folder), "-n", "2", "-q"]
    given += ["--seed", "3", "--workers", "1", "--out", str(tmp_path / "out")]
    for columns in ([], ["--image-column", "png"]):
        out = tmp_path / "out" if not columns else tmp_path / "named"
        given[-1] = str(out)
        assert run(*given, *columns, monkeypatch=monkeypatch) == 0
        found = dict(samples_in(out, "folder"))
        assert sorted(found) == [r"J\udcfcrgen", "a", "ü"]
        np.testing.assert_array_equal(found["ü"], truth(1))
    pq.write_table(table.select(["key"]), tmp_path / "keys.parquet")
    with pytest.raises(InputError, match="no column with the bytes of image files"):
        open_source(str(tmp_path / "keys.parquet"))


def linked(folder: Path) -> Path:
    """Pictures in a folder, in one that it leads to, and links around in a circle."""
    album, far = folder / "album", folder / "far" / "deep"
    far.mkdir(parents=True)
    (album / "real").mkdir(parents=True)
    for i, path in enumerate((album / "real" / "a.png", far.parent / "b.png", far / "c.png")):
        path.write_bytes(png(i))
    for name, target in (("link", far.parent), ("same", far), ("a", album / "real"), ("up", album)):
        (album / name).symlink_to(target)
    (far / "up").symlink_to(folder)
    return album


def test_links_to_folders_are_followed_once(tmp_path: Path, model_folder: Path) -> None:
    album, out = linked(tmp_path), tmp_path / "out"
    found = open_source(str(album), out=out)
    assert [key for _, key in names(found)] == ["link/b", "real/a", "same/c"]
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / "real").symlink_to(tmp_path / "elsewhere")
    run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (tmp_path / "elsewhere" / "a" / "result.json").is_file()
    again = open_source(str(album), out=out)
    assert [key for _, key in names(again)] == ["link/b", "real/a", "same/c"], "no results"
    assert run_batch(again, out, str(model_folder), SETTINGS, "folder", IN_PROCESS).before == 3


def test_a_folder_is_no_picture_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "scan.tif").mkdir()
    for name in ("scan.tif/a.png", "b.png"):
        (tmp_path / name).write_bytes(png(0))
    as_zarr(tmp_path).rename(tmp_path / "scan.tif" / "c.zarr")
    keys = [key for _, key in names(open_source(str(tmp_path)))]
    assert keys == ["b", "scan.tif/a", "scan.tif/c"]
    assert [path.name for path in list_images(tmp_path)] == ["b.png"]


def test_folders_that_may_not_be_read_are_said_to_be_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read all, so the system's word is put into its mouth."""
    (tmp_path / "album" / "closed").mkdir(parents=True)
    (tmp_path / "album" / "a.png").write_bytes(png(0))
    scan, shut = os.scandir, {"closed"}

    def scandir(path: Any = ".") -> Any:
        if Path(str(path)).name in shut:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("cvdvae.imaging.folders.os.scandir", scandir)
    said = list[str]()
    for given in ("album", "al*"):
        assert open_source(str(tmp_path / given), say=said.append).rows == 1
    closed = tmp_path / "album" / "closed"
    assert said == [f"1 folders were passed over, which may not be read, as {closed}"] * 2
    shut.add("album")
    with pytest.raises(InputError, match=r"cannot read .*album: Permission denied"):
        open_source(str(tmp_path / "album"))


def test_a_link_into_a_closed_folder_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above: to look where it leads is refused."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "album").mkdir()
    link, look = tmp_path / "album" / "link.png", os.stat
    for path in (tmp_path / "album" / "a.png", tmp_path / "closed" / "b.png"):
        path.write_bytes(png(0))
    link.symlink_to(tmp_path / "closed" / "b.png")

    def stat(path: Any, **how: Any) -> os.stat_result:
        if path == link and how.get("follow_symlinks", True):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **how)

    monkeypatch.setattr(os, "stat", stat)
    said = list[str]()
    assert open_source(str(tmp_path / "album"), say=said.append).rows == 1
    assert said == [f"1 folders were passed over, which may not be read, as {link}"]


def test_rows_without_a_key_fail_and_say_so(tmp_path: Path, model_folder: Path) -> None:
    keys = ["a", None, "", None]
    table = pa.table({"key": keys, "png": [png(i) for i in range(4)]})
    pq.write_table(table, tmp_path / "in.parquet")
    found = open_source(str(tmp_path / "in.parquet"))
    why = {i: f"row {i} has no key" for i in (1, 3)}
    nameless = [{"key": f"{i:012d}", "reason": why[i], "error": why[i]} for i in why]
    forms: list[Form] = ["zarr", "folder", "parquet"]
    for form in forms:
        out = tmp_path / form
        for _ in range(2):
            told = run_batch(found, out, str(model_folder), SETTINGS, form, IN_PROCESS)
            others = [row for row in failures(out) if row["key"]]
            assert sorted(others, key=lambda row: row["key"]) == nameless
            assert told.reasons["row … has no key"] == 2
            assert told.failed == (2 if form == "parquet" else 3)
            held = dict(samples_in(out, form))
            assert set(held) == ({"a", ""} if form == "parquet" else {"a"})
    (row,) = (row for row in failures(tmp_path / "zarr") if not row["key"])
    assert row["error"] == "a row of a Zarr needs a key"


def test_rows_of_a_damaged_part_fail_under_their_own_keys(
    tmp_path: Path, model_folder: Path
) -> None:
    path = some_rows(tmp_path / "in.parquet", range(4), keys=True)
    with pq.ParquetFile(path) as file:
        start = file.metadata.row_group(0).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    found, out = open_source(str(path)), tmp_path / "out"
    told = run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (told.drawn, told.failed) == (0, 4)
    assert [row["key"] for row in failures(out)] == ["k0", "k1", "k2", "k3"]
    assert all(" is damaged (" in row["error"] for row in failures(out))


def test_failures_that_differ_in_numbers_alone_are_one_reason(tmp_path: Path) -> None:
    failed = Failures(tmp_path / "failures.jsonl")
    for pictures, more in ((2, 7), (3, 7), (3, 7.5)):
        failed.add("a", f"a holds {pictures} pictures of uint16 together {more} megapixels")
    for unlike in (
        "a holds pictures of uint16",
        "a holds 2 pictures of uint8 together 7 megapixels",
    ):
        failed.add("a", unlike)
    assert failed.reasons == {
        "holds … pictures of uint16 together … megapixels": 3,
        "holds pictures of uint16": 1,
        "holds 2 pictures of uint8 together 7 megapixels": 1,
    }
    for size in (512, 512):
        failed.add("b", f"b has {size}×3 pixels, more than 256")
    failed.add("b", "b has 600×3 pixels, more than 256")
    assert failed.reasons["has … pixels, more than 256"] == 3
    assert sum(failed.reasons.values()) == 8


def test_on_ray_a_model_that_no_actor_can_load_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would start such an actor again and again; without Ray itself."""
    from cvdvae.batch import on_ray

    recipe = Recipe(str(tmp_path / "nonesuch"), SETTINGS, as_arrays)
    rows = np.array([pickle.dumps(Row(0, "a", png(0)))], object)
    block = on_ray._Actor(recipe)({"row": rows})
    with pytest.raises(CVDVAEError, match="nonesuch") as here:
        Upscaler(*recipe)
    ray = MagicMock()
    mapped = ray.data.from_items.return_value.flat_map.return_value.map_batches.return_value
    mapped.iter_batches.return_value = [block]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    work = Work([], frozenset(), recipe, False, 1)
    with pytest.raises(type(here.value), match="nonesuch"):
        list(on_ray._pass(work, frozenset(), 1, 1, 0.0))


def test_on_ray_a_gpu_is_booked_to_compute_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray hides all others from its actors."""
    given = ["batch", str(as_tar(tmp_path)), "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert run(*given, "--device", "cuda:0", monkeypatch=monkeypatch) == 1
    assert "--device cuda goes with --gpus on Ray" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_second_writer_is_refused(tmp_path: Path, model_folder: Path) -> None:
    found = open_source(str(as_tar(tmp_path)))
    code = "import sys, time; from pathlib import Path; from cvdvae.locks import sole_writer\n" \
           "with sole_writer(Path(sys.argv[1])): print(flush=True); time.sleep(60)"  # fmt: skip
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "out"], stdout=-1)
    assert other.stdout is not None
    other.stdout.readline()
    try:
        with pytest.raises(OutputError, match=rf"another run \(process {other.pid}\)"):
            run_batch(found, tmp_path / "out", str(model_folder), SETTINGS, engine=IN_PROCESS)
    finally:
        other.kill()
        other.communicate()
    with sole_writer(tmp_path / "out"):
        assert not list((tmp_path / "out").glob("*.json*"))


def test_a_full_disk_ends_the_run_and_what_was_done_is_kept(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = open_source(str(as_tar(tmp_path))), tmp_path / "out"
    replace, replaced = Path.replace, list[Path]()

    def full(path: Path, target: Path) -> Path:
        replaced.append(path)
        if len(replaced) > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="No space left on device"):
            run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    done = len(list(samples_in(out, "folder")))
    assert 0 < done < ROWS
    again = run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (again.before, again.drawn) == (done, ROWS - done)
    check_all(out, "folder")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is Linux that has it")
def test_what_was_drawn_is_kept_where_failures_cannot_be_noted(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "failures.jsonl").symlink_to("/dev/full")
    source = as_folder(tmp_path)
    (source / "text.png").write_text("text")
    given = ["batch", str(source), "-n", "2", "--seed", "3", "--workers", "1", "--to", "parquet"]
    given += ["--model", str(model_folder), "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"cannot write {tmp_path}/out/failures.jsonl: No space left on device" in said
    check_all(tmp_path / "out", "parquet", range(ROWS))


def test_all_processors_draw_unless_another_engine_is_named(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(batches: Iterator[Batch], recipe: Recipe, processes: int) -> Iterator[Batch]:
        assert processes == usable_processors()
        return draw_locally(batches, pickle.loads(pickle.dumps(recipe)), 1)  # as processes get it

    monkeypatch.setattr("cvdvae.batch.run.draw_locally", drawn)
    settings = Settings(samples=2, seed=3, antithetic=True)
    found = open_source(str(as_tar(tmp_path)))
    progress = run_batch(found, tmp_path / "out", str(model_folder), settings)
    assert (progress.drawn, progress.failed, progress.left) == (ROWS, 0, 0)


class Marked:
    """Delivers as Parquet does, and leaves the number of its process; one key ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: Drawable, key: str) -> dict[str, Any]:
        (self.folder / f"{os.getpid()}").touch()
        if key == LETHAL:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return as_arrays(row, key)


LETHAL = f"{9:012d}"


def test_time_to_go_is_that_of_this_run_alone() -> None:
    progress = Progress(rows=1000, before=900, drawn=40, failed=10, started=time.monotonic() - 10)
    assert progress.left == 50
    assert progress.to_go == pytest.approx(10, rel=0.1)
    assert Progress(rows=10, before=5).to_go is None


def test_an_address_without_a_cluster_is_refused(tmp_path: Path, model_folder: Path) -> None:
    pytest.importorskip("ray")
    from cvdvae.batch.on_ray import ray_engine

    found = open_source(str(as_tar(tmp_path)))
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"):
        engine = ray_engine(address)
        with pytest.raises(CVDVAEError, match=r"no Ray cluster answers|host:port"):
            run_batch(found, tmp_path / "out", str(model_folder), SETTINGS, engine=engine)


def test_on_ray_a_killed_actor_loses_no_row_and_a_lethal_row_is_given_up(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from cvdvae.batch import on_ray

    monkeypatch.setattr(on_ray, "RETRIES", 1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for `Marked`
    monkeypatch.setattr(sources, "SHARD", 4)
    found, marks = open_source(str(as_tar(tmp_path))), tmp_path / "marks"
    marks.mkdir()
    recipe = Recipe(str(model_folder), SETTINGS, Marked(marks))
    done, results, killed = frozenset({0}), dict[str, dict[str, Any]](), 0
    engine = on_ray.ray_engine(workers=2)
    for batch in engine(Work(found.shards, done, recipe, False, ROWS)):
        for row in rows_of(batch):
            assert row["key"] not in results
            results[row["key"]] = row
        if not killed:
            killed = int(next(marks.iterdir()).name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed, signal.SIGKILL)
    assert sorted(results) == [f"{i:012d}" for i in range(1, ROWS)]
    assert results.pop(LETHAL)["error"] == f"{LETHAL} ended the actors that drew it"
    for key, row in results.items():
        np.testing.assert_array_equal(row["samples"], truth(int(key)))


def test_parts_are_counted_on_beside_what_is_no_part(tmp_path: Path) -> None:
    for name in ("part-999999", "part-1000000", "part-copied", "part-000003"):
        (tmp_path / f"{name}.parquet").touch()
    assert list(ParquetTarget(tmp_path)._parts()) == [3, 999999, 1000000]


def test_paths_and_bytes_of_every_kind_are_images(resolver: HVAEResolver, tmp_path: Path) -> None:
    data = png(0)
    (tmp_path / "a.png").write_bytes(data)
    one = Upscaler(resolver, SETTINGS)
    given = (str(tmp_path / "a.png"), tmp_path / "a.png"), (data, bytearray(data), memoryview(data))
    for name, images in zip(("path", "bytes"), given, strict=True):
        batch = {"key": column(["a"] * len(images)), name: column(list(images))}
        rows = list(rows_of(one(batch)))
        assert [row["error"] for row in rows] == [""] * len(images)
        assert all((row["samples"] == rows[0]["samples"]).all() for row in rows)
