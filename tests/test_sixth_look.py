"""What a sixth look found, and what must not come back."""

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from command import run
from PIL import Image
from tiny import saved_restorer, tiny_photo_restorer

from cvdvae.batch.files import plan
from cvdvae.batch.happened import happened
from cvdvae.damage.described import parse
from cvdvae.degradations.projection import project, residual
from cvdvae.errors import InputError
from cvdvae.evaluation.damaged import Damaged
from cvdvae.imaging.arrays import Limits
from cvdvae.imaging.io import read_photo
from cvdvae.imaging.values import ValueRange
from cvdvae.restoration.settings import Restoring
from cvdvae.restoration.stack.restoring import read_damaged, restore_stack

LIMITS = Limits(10**6, 10)


@pytest.mark.parametrize("words", ["hole:side=5", "random:keep=0.5", "noise", "bayer"])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_pixels_at_an_end_of_the_range_are_projected_too(words: str, end: float) -> None:
    """There a network's image is often; also beyond, by any distance."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(51, 204, (1, 3, 16, 16), generator=generator) / 255
    H = parse(words).operator((16, 16))
    x0 = truth + 0.02 * torch.randn(4, 3, 16, 16, generator=generator)
    x0[..., ::3, ::3] = end
    x0[..., 1::3, ::4] = end + (2 * end - 1) * 3
    truth[..., ::2, ::3] = abs(end - 1 / 255)
    y = H.A(truth)
    x = project(x0, y, H, levels=255)
    assert float(residual(x, y, H).max()) < 0.01  # levels of 255
    known = H.A_adjoint(torch.ones_like(y)) == 0
    torch.testing.assert_close(x * known, x0.clamp(0, 1) * known)  # what is missing stays


def small(path: Path, side: int = 4) -> Path:
    values = np.random.default_rng(0).integers(60, 190, (side, side, 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("command", ["upscale", "restore"])
def test_a_picture_of_a_result_is_not_drawn_into_its_place(
    command: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    restorer = saved_restorer(tmp_path / "restorer")
    asked = {
        "upscale": ["--model", str(model_folder), "-n", "1"],
        "restore": ["--model", str(restorer), "-n", "1", "--degradation", "downscale:scale=4"],
    }[command]
    out = tmp_path / "out"
    given = small(tmp_path / "mean.png")
    assert run(command, str(given), "--out", str(out), *asked, monkeypatch=monkeypatch) == 0
    mean = small(out / "mean" / "mean.png")  # as the program had written it
    before = mean.read_bytes()
    assert run(command, str(mean), "--out", str(out), *asked, monkeypatch=monkeypatch) == 1
    assert "lies where its own result would go" in " ".join(capsys.readouterr().err.split())
    assert mean.read_bytes() == before
    assert (out / "mean" / "result.json").is_file()


def test_arrays_of_a_result_are_not_shrunk_into_its_place(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given, out = tmp_path / "mean.tif", tmp_path / "out"
    values = np.random.default_rng(0).uniform(0.2, 0.8, (16, 16, 3)).astype(np.float32)
    tifffile.imwrite(given, values, photometric="rgb")
    asked = ["--out", str(out), "--model", str(model_folder), "-n", "1", "--simulate"]
    asked += ["--crop", "none"]
    assert run("upscale", str(given), *asked, monkeypatch=monkeypatch) == 0
    mean = out / "mean" / "mean.tif"
    before = mean.read_bytes()
    assert run("upscale", str(mean), *asked, monkeypatch=monkeypatch) == 1
    assert "lies where its own result would go" in " ".join(capsys.readouterr().err.split())
    assert mean.read_bytes() == before


def test_pictures_beside_a_result_are_drawn(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = tmp_path / "album"
    given = small(tmp_path / "a.png")
    asked = ["--model", str(model_folder), "-n", "1"]
    assert run("upscale", str(given), "--out", str(album), *asked, monkeypatch=monkeypatch) == 0
    mine = small(album / "a" / "holiday.png")
    assert [job.path for job in plan([str(album)], tmp_path / "out")] == [mine]
    assert [job.path for job in plan([f"{album}/**"], tmp_path / "out")] == [mine]


def test_a_glob_that_goes_up_again_is_refused(tmp_path: Path) -> None:
    """Its files have no place below the folder: they went beside --out."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    small(tmp_path / "a" / "x.png")
    with pytest.raises(InputError, match="goes up again behind a wildcard"):
        plan([f"{tmp_path}/a/*/../x.png"], tmp_path / "out")
    assert plan([f"{tmp_path}/a/b/../*.png"], tmp_path / "out")


def test_a_file_that_is_named_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "x.png")
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(plan(["x.png", "b/../x.png"], Path("out"))) == 1


def test_noise_without_a_sigma_is_refused() -> None:
    """Else its samples would be the input itself."""
    for sigma in (None, "0"):
        with pytest.raises(InputError, match="needs a σ above 0"):
            happened("hole:side=8 + noise", None, None, sigma)
        with pytest.raises(InputError, match="needs a σ above 0"):
            Damaged(tiny_photo_restorer(), parse("noise"), float(sigma) if sigma else None)
    assert happened("hole:side=8 + noise", None, None, "auto").noise == "auto"
    with pytest.raises(InputError, match="needs a σ above 0"):
        tiny_photo_restorer().restore(torch.rand(3, 16, 16), "hole:side=8 + noise")


def test_masks_that_hide_everything_together_are_refused() -> None:
    with pytest.raises(InputError, match="the mask hides everything"):
        parse("half + half:side=right").operator((16, 16))
    with pytest.raises(InputError, match="the mask hides everything"):
        parse("half + grey + half:side=right").operator((16, 16))
    parse("half + blur:sigma=1 + half:side=right").operator((16, 16))


def test_a_plane_of_which_nothing_is_seen_is_refused_before_any_is_drawn(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).uniform(0.2, 0.8, (2, 16, 16)).astype(np.float32)
    planes[1, :, 8:] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", planes)
    model = tiny_photo_restorer()
    what = happened("half:side=left", None, None, None).of_arrays
    stack = read_damaged(model, tmp_path / "a.tif", what, LIMITS)
    with pytest.raises(InputError, match="nothing is seen of plane 1"):
        restore_stack(model, stack, what, Restoring(1, 1.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_16_bits_a_colour_is_transparent_only_to_the_last_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3), np.uint16)
    values[0, :2] = [300, 301, 302], [300, 301, 303]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)),
        (b"tRNS", struct.pack(">HHH", 300, 301, 302)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    photo = read_photo(tmp_path / "a.png", keep_alpha=True)
    clear = np.asarray(photo.extras.alpha) == 0
    assert clear[0, 0]
    assert clear.sum() == 1
    np.testing.assert_array_equal(np.asarray(photo.image)[1:], values[1:] >> 8)


def test_an_animation_of_no_kind_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cvdvae

    result = cvdvae.load(str(model_folder)).upscale(torch.rand(3, 4, 4), samples=2)
    with pytest.raises(InputError, match=re.escape("there is no animation 'gif'")):
        result.save(tmp_path / "out", animation="gif")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_scale_0_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = small(tmp_path / "x.png")
    for command in ("upscale", "batch"):
        arguments = (command, str(given), "--scale", "0", "--out", str(tmp_path / "out"))
        assert run(*arguments, monkeypatch=monkeypatch) != 0
        assert "enlarge by 2, 3, 4" in " ".join(capsys.readouterr().err.split())


def test_ranges_are_told_with_all_their_digits() -> None:
    with pytest.raises(InputError, match="from -1 to 1048577 are more than"):
        ValueRange(-1, 1048577, 1048578)
    assert ValueRange(-0.25, 1048575).ends == "-0.25 to 1048575"
    assert json.dumps(ValueRange(0, 1e30).ends) == '"0 to 1e+30"'
