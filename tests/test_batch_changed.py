"""A row that was replaced since it was drawn is not taken for done."""

import errno
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_batch import IN_PROCESS, SETTINGS, failures, png, samples_in, truth

from cvdvae.batch.drawn import Drawn
from cvdvae.batch.marks import is_other, is_settled, mark_of_image, state_of
from cvdvae.batch.rows import Row, to_batch
from cvdvae.batch.run import Progress, local, run_batch
from cvdvae.batch.sources import open_source
from cvdvae.batch.targets import Form

Images = dict[str, bytes]


def in_folder(folder: Path, images: Images) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    for name, data in images.items():
        (folder / "in" / f"{name}.png").write_bytes(data)
    return folder / "in"


def in_tar(folder: Path, images: Images) -> Path:
    with tarfile.open(folder / "in.tar", "w") as tar:
        for name, data in images.items():
            member = tarfile.TarInfo(f"{name}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder / "in.tar"


def in_parquet(folder: Path, images: Images) -> Path:
    table = pa.table({"key": list(images), "png": list(images.values())})
    pq.write_table(table, folder / "in.parquet", row_group_size=2)
    return folder / "in.parquet"


def drawn(source: Path, out: Path, model: Path, form: Form = "folder") -> Progress:
    return run_batch(open_source(str(source)), out, str(model), SETTINGS, form, IN_PROCESS)


@pytest.mark.parametrize("form", ["folder", "parquet", "zarr"])
@pytest.mark.parametrize("put", [in_folder, in_tar, in_parquet])
def test_a_row_that_was_replaced_fails_and_says_so(
    put: Callable[[Path, Images], Path], form: Form, tmp_path: Path, model_folder: Path
) -> None:
    images = {name: png(i) for i, name in enumerate("abc")}
    out = tmp_path / "out"
    assert drawn(put(tmp_path, images), out, model_folder, form).drawn == 3
    told = drawn(put(tmp_path, images), out, model_folder, form)  # written again, as it was
    assert (told.before, told.drawn, told.failed) == (3, 0, 0)
    source = put(tmp_path, {**images, "b": png(7)})
    told = drawn(source, out, model_folder, form)
    assert (told.before, told.drawn, told.failed) == (2, 0, 1)
    (failure,) = failures(out)
    assert failure["key"] == "b"
    assert "is not the image that its results were drawn from" in failure["error"]
    kept = dict(samples_in(out, form))
    assert all((kept[name] == truth(i)).all() for i, name in enumerate("abc"))
    if form == "folder":  # the advice works
        for path in (out / "b").iterdir():
            path.unlink()
        assert drawn(source, out, model_folder, form).drawn == 1
        assert (dict(samples_in(out, form))["b"] == truth(7)).all()
        assert drawn(source, out, model_folder, form).before == 3


def test_another_folder_with_the_same_names_is_not_taken_for_done(
    tmp_path: Path, model_folder: Path
) -> None:
    for name, first in (("one", 0), ("other", 5)):
        (tmp_path / name).mkdir()
        in_folder(tmp_path / name, {key: png(first + i) for i, key in enumerate("ab")})
    out = tmp_path / "out"
    assert drawn(tmp_path / "one" / "in", out, model_folder).drawn == 2
    told = drawn(tmp_path / "other" / "in", out, model_folder)
    assert (told.before, told.failed) == (0, 2)
    (tmp_path / "one").rename(tmp_path / "moved")  # the same files elsewhere are the same rows
    assert drawn(tmp_path / "moved" / "in", out, model_folder).before == 2


def test_rows_of_a_folder_without_marks_count_as_done(tmp_path: Path, model_folder: Path) -> None:
    out, source = tmp_path / "out", in_folder(tmp_path, {"a": png(0)})
    drawn(source, out, model_folder)
    (out / "drawn.jsonl").unlink()
    in_folder(tmp_path, {"a": png(1)})
    assert drawn(source, out, model_folder).before == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_stopped_run_had_drawn_is_told_from_what_replaced_it(
    processes: int, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the batch that it was in never came back."""
    out, source = tmp_path / "out", in_folder(tmp_path, {key: png(i) for i, key in enumerate("ab")})

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    of = (open_source(str(source)), out, str(model_folder), SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr("cvdvae.batch.run._take", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_batch(*of, engine=local(processes))
    assert (out / "a" / "result.json").exists()
    in_folder(tmp_path, {"a": png(7)})
    told = drawn(source, out, model_folder)
    assert (told.before, told.failed) == (1, 1)
    assert failures(out)[0]["key"] == "a"


def test_a_file_of_which_nothing_can_be_told_has_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not end the run: whoever reads it says so."""

    def stale(path: Path) -> bool:
        raise OSError(errno.ESTALE, "stale file handle")

    (tmp_path / "a.png").write_bytes(png(0))
    monkeypatch.setattr(Path, "is_file", stale)
    assert mark_of_image(str(tmp_path / "a.png")) == ""


def test_a_row_has_one_line_before_and_after_it_was_drawn(tmp_path: Path) -> None:
    notes = Drawn(tmp_path / "drawn.jsonl")
    notes.begin(to_batch([Row(0, "a", b"1"), Row(1, "b", b"2"), Row(2, "c", None, "changed")]))
    begun = notes.marks()
    assert list(begun) == ["a", "b"]
    size = notes.path.stat().st_size
    notes.add("a", begun["a"])
    assert notes.path.stat().st_size == size, "its line is there"
    notes.add("b", "3 x")  # another than what was begun
    assert notes.marks() == {"a": begun["a"], "b": "3 x"}
    notes.close()


def test_a_mark_tells_what_changed_from_what_was_only_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"some bytes")
    mark = mark_of_image(str(path))
    assert is_settled(mark, state_of(path))
    os.utime(path, ns=(1, 1))
    assert not is_settled(mark, state_of(path))
    assert not is_other(mark, mark_of_image(str(path)))
    assert not is_other(mark, mark_of_image(b"some bytes"))
    path.write_bytes(b"same size!")
    assert is_other(mark, mark_of_image(str(path)))
    path.unlink()
    assert mark_of_image(str(path)) == ""
    os.mkfifo(path)
    assert mark_of_image(str(path)) == "", "and it is not waited for"
    assert not is_other(mark, "")
    assert is_settled("", "")


def test_what_a_killed_run_left_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "drawn.jsonl"
    path.write_text('{"key": "a", "mark": "1 x"}\n{"key": "b", "ma')
    notes = Drawn(path)
    assert notes.marks() == {"a": "1 x"}
    notes.add("a", "2 x")
    notes.add("c", "")
    notes.close()
    again = Drawn(path)
    assert again.marks() == {"a": "2 x"}
    again.close()


def test_a_line_that_a_full_disk_cut_within_a_character_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "drawn.jsonl"
    path.write_bytes('{"key": "a", "mark": "1 x"}\n{"key": "Kö'.encode()[:-1])
    notes = Drawn(path)
    assert notes.marks() == {"a": "1 x"}
    notes.add("Köln", "2 x")
    notes.close()
    again = Drawn(path)
    assert again.marks() == {"a": "1 x", "Köln": "2 x"}
    again.close()


def test_a_row_that_a_killed_run_drew_anew_is_not_told_by_its_earlier_mark(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its mark is noted when the batch comes back, as where Ray reads the rows."""
    out, source = tmp_path / "out", in_folder(tmp_path, {"a": png(0), "b": png(1)})
    assert drawn(source, out, model_folder).drawn == 2
    for path in (out / "a").iterdir():
        path.unlink()
    in_folder(tmp_path, {"a": png(7)})

    def killed(self: Drawn, key: str, mark: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Drawn, "add", killed)
        patch.setattr(Drawn, "begin", lambda notes, batch: None)
        with pytest.raises(KeyboardInterrupt):
            drawn(source, out, model_folder)
    told = drawn(source, out, model_folder)
    assert (told.before, told.failed) == (2, 0)


@pytest.mark.parametrize("put", [in_tar, in_parquet])
def test_what_is_done_is_not_read_to_go_on(
    put: Callable[[Path, Images], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, counted = open_source(str(put(tmp_path, {n: png(0) for n in "abcde"}))).shards, 0
    for shard in shards:
        numbers = [number for number, _ in shard.names()]
        assert [row.number for row in shard.rows({numbers[0]})] == numbers[1:]
        opened = "pathlib.Path.open" if put is in_tar else "pyarrow.parquet.ParquetFile"
        with monkeypatch.context() as patch:
            patch.setattr(opened, lambda *_, **__: pytest.fail("it was read"))
            assert not list(shard.rows(frozenset(numbers)))
        counted += len(numbers)
    assert counted == 5


def test_what_is_done_and_was_not_touched_is_not_read_again(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be millions."""
    out, source = (
        tmp_path / "out",
        in_folder(tmp_path, {name: png(i) for i, name in enumerate("abc")}),
    )
    assert drawn(source, out, model_folder).drawn == 3
    for path in (out / "b").iterdir():
        path.unlink()
    read = list[str]()

    def marked(image: bytes | str, state: str = "") -> str:
        read.append(Path(str(image)).name)
        return mark_of_image(image, state)

    for module in ("rows", "shards"):
        monkeypatch.setattr(f"cvdvae.batch.{module}.mark_of_image", marked)
    assert drawn(source, out, model_folder).drawn == 1
    assert read == ["b.png"]
