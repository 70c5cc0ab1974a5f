"""Many images: every row once and whole, equal to `upscale`, whatever happens in between."""

import contextlib
import errno
import io
import itertools
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from command import run
from PIL import Image
from tiny import tiny_resolver

from cvdvae.batch import Settings, Upscaler, sources
from cvdvae.batch.files import Input
from cvdvae.batch.local import Recipe, draw_locally
from cvdvae.batch.rows import Batch, Row, in_batches, rows_of, to_batch
from cvdvae.batch.run import BATCH, Progress, Work, local, rows_to_do, run_batch
from cvdvae.batch.sources import open_source
from cvdvae.batch.targets import Form
from cvdvae.batch.upscaler import as_arrays, seed_of
from cvdvae.errors import CVDVAEError, InputError, OutputError
from cvdvae.locks import sole_writer
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.stack import Stack
from cvdvae.restoration.workers import usable_processors

ROWS = 20
SETTINGS = Settings(samples=2, seed=3)
IN_PROCESS = local(1)


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
        for i, key in enumerate(group["key"][:].tolist()):
            if key:
                yield key, group["samples"][i]


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
    assert "3 of 23 images failed" in said
    assert "Traceback" not in said
    assert {row["key"] for row in failures(out)} == {"cut", "not", "empty"}
    check_all(out, "folder")
    for name in ("cut.tif", "not.png", "empty.png"):
        (folder / name).unlink()
    assert run("batch", str(folder), "--out", str(out), *options, monkeypatch=monkeypatch) == 0
    assert failures(out) == []


def test_rows_with_the_same_key_are_written_once(tmp_path: Path, model_folder: Path) -> None:
    table = pa.table({"key": ["a", "b", "a"], "png": [png(0), png(1), png(2)]})
    pq.write_table(table, tmp_path / "in.parquet")
    out, found = tmp_path / "out", open_source(str(tmp_path / "in.parquet"))
    for _ in range(2):
        run_batch(found, out, str(model_folder), SETTINGS, "parquet", IN_PROCESS)
        assert [row["error"] for row in failures(out)] == ["a is the key of another row, too"]
        assert pq.read_table(out / "rows.parquet")["key"].to_pylist() == ["a", "b"]


def test_results_of_another_source_do_not_count_as_done(tmp_path: Path, model_folder: Path) -> None:
    out, counts = tmp_path / "out", list[tuple[int, int, int]]()
    for keys in (["a", "b", "c"], ["d", "e", "f"], ["f", "g", "a"]):
        pq.write_table(pa.table({"key": keys, "png": [png(i) for i in range(3)]}), tmp_path / "p")
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
            for row in rows_to_do([shard], done, work.again):
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
        (out / key / "result.json").touch()
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
    (tmp_path / "cut.tar").write_bytes(as_tar(tmp_path).read_bytes()[:3000])
    for name, message in {
        "text.parquet": r"no column with the bytes of image files: it has text \(string\)",
        "cut.parquet": "no Parquet file, or a damaged one",
        "flat.zarr": "rows of images have 4 axes",
        "odd.zarr": "holds int32",
        "cut.tar": "no tar file, or a damaged one",
        "none.tar": "does not exist",
        "none.zarr": "does not exist",
        "none.tar.gz": "is compressed",
        "nothing": "does not exist",
    }.items():
        with pytest.raises(InputError, match=message):
            open_source(str(tmp_path / name))


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


KILLED = """
import os, runpy, signal
from cvdvae.batch import run
take = run._take
def last(*given):
    take(*given)
    os.kill(os.getpid(), signal.SIGKILL)
run._take = last
runpy.run_module("cvdvae.cli", run_name="__main__", alter_sys=True)
"""
"""The program, killed when it has its first row: of five batches its processes have three."""


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path, model_folder: Path) -> None:
    source, out = as_folder(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, "batch", source, "--out", out, "--model",
               model_folder, "-n", "2", "--seed", "3", "--workers", "2", "-q"]  # fmt: skip
    # Its processes hold its end of the pipe: this waits until they, too, have noticed and ended.
    job = subprocess.run(command, stdout=subprocess.PIPE, timeout=180)
    assert job.returncode == -signal.SIGKILL
    done = len(list(out.rglob("result.json")))
    assert 0 < done <= 3 * BATCH
    found = open_source(str(source))
    again = run_batch(found, out, str(model_folder), SETTINGS, "folder", IN_PROCESS)
    assert (again.before, again.drawn) == (done, ROWS - done)
    check_all(out, "folder")


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

    def __call__(
        self, model: SuperResolver, given: Input | Stack, sampling: Sampling, check: bool, key: str
    ) -> dict[str, Any]:
        (self.folder / f"{os.getpid()}").touch()
        if key == LETHAL:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return as_arrays(model, given, sampling, check, key)


LETHAL = f"{9:012d}"


def test_processes_are_replaced_and_no_more_is_read_than_they_can_take(
    tmp_path: Path, model_folder: Path
) -> None:
    read = 0

    def endless() -> Iterator[Row]:
        nonlocal read
        for read in itertools.count(1):
            yield Row(read, f"{read:012d}", small(read))

    recipe, seen, error = Recipe(str(model_folder), SETTINGS, Marked(tmp_path)), list[str](), ""
    results = draw_locally(in_batches(endless(), 4), recipe, 2)
    for result in results:
        seen += result["key"].tolist()
        error = next((e for e in result["error"] if e), error)
        assert read <= len(seen) + 3 * 4
        if error and len(seen) > 60:
            break
    results.close()  # type: ignore[attr-defined]
    assert error == f"{LETHAL} ended its process (exit code -9)"
    assert len(seen) == len({*seen})
    assert {f"{i:012d}" for i in range(1, 50)} < {*seen}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("count", [1, 2])
def test_a_model_that_no_worker_can_load_is_one_sentence(
    count: int, tmp_path: Path, model_folder: Path
) -> None:
    arguments = ["batch", str(as_folder(tmp_path)), "--out", str(tmp_path / "out"), "-n", "2"]
    arguments += ["--model", str(model_folder), "--device", "cuda", "--workers", str(count)]
    ended = subprocess.run(
        [sys.executable, "-m", "cvdvae.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    (said,) = (line for line in ended.stderr.splitlines() if "error" in line.lower())
    assert "cuda" in said.lower()
    assert "exit code" not in ended.stderr


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
