"""What a fifth look found, and what must not come back."""

import errno
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from test_resumed import photos as photos
from test_resumed import train
from tiny import tiny_photos

from cvdvae.batch.happened import happened
from cvdvae.batch.restore import degrade, read_seen, to_picture
from cvdvae.batch.rows import column
from cvdvae.batch.sources import open_source
from cvdvae.batch.targets import FolderTarget
from cvdvae.batch.tars import images_in
from cvdvae.damage.described import Description, parse
from cvdvae.damage.dividing import divided
from cvdvae.damage.step import Size
from cvdvae.data.folder import DataConfig
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.errors import ConfigError, InputError, OutputError, TakenError, unwritable
from cvdvae.files import write_atomically, write_folder_atomically
from cvdvae.imaging.arrays import Limits
from cvdvae.imaging.folders import files_below
from cvdvae.imaging.io import list_images, to_tensor
from cvdvae.restoration.edits import Blend
from cvdvae.restoration.region_text import pack_region, unpack_region
from cvdvae.restoration.restoring import seen
from cvdvae.restoration.settings import Sampling, ddof
from cvdvae.restoration.stack.array_result import spanned
from cvdvae.restoration.stack.shrinking import read_shrunk
from cvdvae.training.prior import PriorModule


def some(height: int, width: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


HUGE = " + ".join(3 * ["downscale:scale=64"])


def test_what_cannot_be_restored_is_refused_before_its_noise_is_estimated(tmp_path: Path) -> None:
    some(16, 16).save(tmp_path / "a.png")

    def refuses(description: Description, size: Size) -> NoReturn:
        raise InputError(f"too much: {description.hr_size(size)}")

    what = happened(HUGE, None, None, "auto")
    with pytest.raises(InputError, match="too much"):
        read_seen(tmp_path / "a.png", what, check=refuses)
    with pytest.raises(InputError, match="too much"):
        seen(to_tensor(some(16, 16)), HUGE, "auto", check=refuses)


def test_where_nothing_is_hidden_no_large_image_is_made() -> None:
    assert not parse(HUGE).hidden((16, 16)).any()
    assert parse(HUGE).hidden((16, 20)).shape == (16, 20)


def test_noise_comes_last() -> None:
    """What follows it would change it, and y would be explained by another σ than it has."""
    for words in ("noise + blur:sigma=3", "blur + noise + grey", "noise + jpeg:quality=50"):
        with pytest.raises(ConfigError, match="'noise' comes last"):
            parse(words)
    for jpeg in ("75", "auto"):
        with pytest.raises(ConfigError, match="'noise' comes last"):
            happened("blur + noise", None, jpeg, None)
    for words in ("blur:sigma=3 + noise", "noise + hole:side=4"):  # a mask changes nothing seen
        assert parse(str(parse(words))) == parse(words)


@pytest.mark.parametrize("by", ["box", "bicubic", "nearest"])
def test_with_noise_a_photo_is_shrunk_by_the_same_factor_as_without(
    by: str, tmp_path: Path
) -> None:
    """The last rows and columns are left out, where the scale does not divide the sides."""
    photo = some(39, 41)
    photo.save(tmp_path / "a.png")
    what = happened(f"downscale:scale=4,by={by}", None, None, "0.02")
    given = degrade(tmp_path / "a.png", what, None, "none", seed=0)
    y, x = simulate_at_scale(photo, 4, shrunk_by=by)
    assert torch.equal(given.truth, x)
    exact = given.seen.degradation.A(x[None])[0]
    assert float((exact - y).abs().max()) < 0.51 / 255


def test_of_masks_the_part_counts_that_is_shrunk(tmp_path: Path) -> None:
    some(39, 41).save(tmp_path / "a.png")
    mask = np.zeros((39, 41), np.uint8)
    mask[30:, 20:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    words = f"mask:file={tmp_path / 'm.png'} + downscale:scale=4"
    given = degrade(tmp_path / "a.png", happened(words, None, None, "0.02"), None, "none", seed=0)
    assert given.truth.shape == (3, 36, 40)
    assert "its last 3 rows and 1 column are left out" in " ".join(given.notes)
    whole, same = divided(torch.zeros(3, 36, 40), parse("downscale:scale=4"))
    assert whole.shape == (3, 36, 40)
    assert same == parse("downscale:scale=4")


class _Row:
    """One that cannot be written."""

    def __init__(self, error: OutputError) -> None:
        self.error = error

    def draw_into(self, folder: Path) -> Any:
        raise self.error from self.error.__cause__


def closed(number: int) -> OutputError:
    cause = OSError(number, "no")
    error = unwritable(Path("x"), cause)
    error.__cause__ = cause
    return error


def test_a_folder_that_cannot_be_written_fails_its_row_alone(tmp_path: Path) -> None:
    deliver = FolderTarget(tmp_path).deliver
    for error in (closed(errno.EACCES), closed(errno.EPERM), TakenError("another run")):
        with pytest.raises(InputError, match=str(error)):
            deliver(_Row(error), "a")  # type: ignore[arg-type]
    with pytest.raises(OutputError):  # a full disk is full for all
        deliver(_Row(closed(errno.ENOSPC)), "a")  # type: ignore[arg-type]


def test_what_was_left_half_written_is_no_input(tmp_path: Path) -> None:
    for name in ("a.png", ".writing-999999-deadbeef.png", ".importing-9-deadbeef/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        some(8, 8).save(tmp_path / name)
    assert list(files_below(tmp_path)) == list_images(tmp_path) == [tmp_path / "a.png"]


def test_of_a_file_that_is_shrunk_the_missing_values_are_counted_afterwards(tmp_path: Path) -> None:
    values = 200 * np.random.default_rng(0).random((16, 16), np.float32)
    values[:4, :4] = np.nan
    np.save(tmp_path / "a.npy", values)
    stack = read_shrunk(tiny_photos(2), tmp_path / "a.npy", Limits(10**6, 1))
    counted = [note for note in stack.notes if "missing" in note]
    assert counted == [f"{int(stack.array.missing.sum())} missing values stay missing"]
    assert 0 < stack.array.missing.sum() < 16


def test_a_column_of_large_whole_numbers_is_one_of_objects() -> None:
    for values in ([2**63, 1], [2**70], [-(2**63) - 1]):
        assert column(list(values)).tolist() == values
    assert column([2**63 - 1, -(2**63)]).dtype == np.int64


def test_arrays_of_the_other_byte_order_are_pictures() -> None:
    values = np.random.default_rng(0).random((5, 6, 3)).astype(np.float32)
    assert torch.equal(to_picture(values.astype(">f4")), to_picture(values))


def test_hidden_images_of_a_tar_have_keys_of_their_own(tmp_path: Path) -> None:
    some(8, 8).save(tmp_path / "x.png")
    with tarfile.open(tmp_path / "X.TAR", "w") as tar:
        for name in ("a/.x.png", "a/b.c.png", ".y.png"):
            tar.add(tmp_path / "x.png", name)
    keys = [key for key, _, _ in images_in(tmp_path / "X.TAR")]
    assert [PurePosixPath(key) for key in keys] == [PurePosixPath(k) for k in ("a/.x", "a/b", ".y")]
    assert open_source(str(tmp_path / "X.TAR")).rows == 3


@pytest.mark.parametrize("kept", [[0], [0, 1], [0, 1, 2], [0, 1, 2, 4, 6], [0, 1, 2, 3, 4, 5, 6]])
def test_how_much_lies_between_the_ends_of_opposite_pairs(kept: list[int]) -> None:
    alone = round(ddof(kept, True) * len(kept))
    u = torch.rand(400_000, 9, generator=torch.Generator().manual_seed(0))
    pairs = (len(kept) - alone) // 2
    drawn = torch.cat([u[:, :pairs], 1 - u[:, :pairs], u[:, pairs : pairs + alone]], 1)
    more = u[:, 8]
    held = ((drawn.amin(1) < more) & (more < drawn.amax(1))).double().mean()
    assert abs(spanned(alone, pairs) - float(held)) < 0.004  # five standard errors


def test_a_step_from_no_sample_names_that_one() -> None:
    with pytest.raises(InputError, match="starts from sample -1, but"):
        Sampling(samples=8, steps=(Blend(-1, 3),))


def test_a_training_that_has_ended_says_so(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PriorModule, "_picture", lambda *_: None)
    data, said = DataConfig(str(photos), validation=2), "nothing is left to train"
    out = tmp_path / "run"
    for to, ended, before in ((2, False, 0), (2, True, 2), (1, True, 2), (3, False, 2)):
        train(data, out, steps=to)
        heard = capsys.readouterr()
        assert (said in heard.err) == ended
        goes_on = f"goes on from {out / 'last.ckpt'}, step {before} of {to}"
        assert (goes_on in heard.out) == (not ended and before > 0)
    (out / "plateau.ckpt").touch()
    train(data, out, steps=3)
    assert f"copy {out / 'plateau.ckpt'} over it first" in capsys.readouterr().err


def test_where_a_new_folder_cannot_take_its_place_the_earlier_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "out", Path.rename
    out.mkdir()
    (out / "first").touch()

    def full(self: Path, target: Path) -> Path:
        if self.name == "out" and target == out:
            raise OSError(errno.ENOSPC, "no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OutputError, match="no space"):
        write_folder_atomically(out, lambda place: place.mkdir())
    assert [path.name for path in out.iterdir()] == ["first"]
    assert list(tmp_path.iterdir()) == [out]
    monkeypatch.setattr(Path, "rename", rename)
    write_folder_atomically(out, lambda place: place.mkdir())
    assert not list(out.iterdir())
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("write", [write_atomically, write_folder_atomically])
def test_what_cannot_be_written_is_named_once(write: Any, tmp_path: Path) -> None:
    """By the innermost of two that write, whose error keeps its kind."""

    def inner(_: Path) -> NoReturn:
        raise TakenError("another run writes b")

    with pytest.raises(TakenError, match=r"^another run writes b$"):
        write(tmp_path / "a", inner)


def test_a_region_that_was_read_may_be_written_to() -> None:
    mask = torch.eye(4, dtype=torch.bool)
    text = pack_region(mask)
    unpack_region(text).fill_(True)
    assert torch.equal(unpack_region(text), mask)
