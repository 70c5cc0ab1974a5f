"""Files of arrays that are restored: in their own numbers, plane by plane, holes and all."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from command import run
from PIL import Image
from tiny import saved_restorer, tiny_photo_restorer, tiny_restorer

import cvdvae
from cvdvae.batch.files import Job
from cvdvae.batch.happened import Happened, happened
from cvdvae.batch.memory import memory_of
from cvdvae.batch.replaying import replay_into
from cvdvae.batch.restoring import Asked, restore_into
from cvdvae.batch.rows import Row, to_batch
from cvdvae.batch.settings import Settings
from cvdvae.batch.undoing import Undoing
from cvdvae.cli.restore import one_line
from cvdvae.damage.described import parse
from cvdvae.damage.holes import with_hole
from cvdvae.degradations.blur import Blur
from cvdvae.errors import InputError
from cvdvae.imaging.arrays import Limits
from cvdvae.restoration.ending import BYTES
from cvdvae.restoration.restored import Diagnostics
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import seen
from cvdvae.restoration.settings import Restoring
from cvdvae.restoration.stack.restored import Explained, RestoredStack, StackDegradation

LIMITS = Limits(10**6, 10)


@pytest.fixture
def model() -> Restorer:
    """A model of photographs of any size."""
    return tiny_photo_restorer()


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth plane in [0, 1]."""
    coarse = np.random.default_rng(seed).uniform(60, 190, (5, 5)).astype(np.float32)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float64) / 255


def restored(
    model: Restorer, path: Path, what: Happened, out: Path, n: int = 3, values: str | None = None,
    **how: Any,
) -> RestoredStack:  # fmt: skip
    asked = Asked(what, Restoring(samples=n, seed=2, **how), None, LIMITS, values)
    result, _ = restore_into(model, Job(path, out), asked)
    assert isinstance(result, RestoredStack)
    return result


def told(out: Path) -> Any:
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize("words", ["hole:side=5", "downscale:scale=2", "random:keep=0.6"])
def test_what_has_no_noise_is_given_back_in_16_bits(
    model: Restorer, words: str, tmp_path: Path
) -> None:
    """H of every sample as saved, rounded, is the file where it was seen."""
    y = np.rint(smooth(18, 15) * 60000).astype(np.uint16)
    np.save(tmp_path / "y.npy", y)
    what = happened(words, None, None, None)
    result = restored(model, tmp_path / "y.npy", what, tmp_path / "out", values="0,65535")
    assert result.explains == [True] * 3
    H = what.description.operator(what.description.hr_size((18, 15)))
    seen = ~what.description.hidden((18, 15)).numpy()
    samples = [np.load(tmp_path / "out" / name) for name in result.samples]
    for sample in samples:
        assert sample.dtype == np.uint16
        shrunk = H.A(torch.from_numpy(sample / 65535.0)[None, None].expand(1, 3, -1, -1))
        assert np.array_equal(np.rint(shrunk[0, 0].numpy() * 65535)[seen], y[seen])
    assert not np.array_equal(samples[0], samples[1])


def test_noise_that_cannot_be_estimated_is_told_before_anything_is_drawn(
    model: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last of three pages, every fourth row of which is missing."""
    pages = np.stack([smooth(64, 64, i) for i in range(3)]).astype(np.float32)
    pages[2, ::4] = np.nan
    tifffile.imwrite(tmp_path / "y.tif", pages, photometric="minisblack")
    monkeypatch.setattr(Restorer, "run", lambda *_, **__: pytest.fail("it draws"))
    with pytest.raises(InputError, match="plane 2: too few pixels are left"):
        restored(model, tmp_path / "y.tif", happened(None, None, None, "auto"), tmp_path / "out")


def test_a_float_file_is_explained_within_its_noise_in_its_own_unit(
    model: Restorer, tmp_path: Path
) -> None:
    clean = smooth(20, 24)
    blurred = Blur((20, 24), parse("blur:sigma=1").steps[0].operator((20, 24)).kernel)  # type: ignore[attr-defined]
    y = blurred.A(torch.from_numpy(clean)[None, None])[0, 0].numpy()
    y = 300 + 50 * (y + 0.02 * np.random.default_rng(1).standard_normal(y.shape))
    tifffile.imwrite(tmp_path / "kelvin.tif", y.astype(np.float32))
    what = happened("blur:sigma=1", None, None, "0.02")
    out = tmp_path / "out"
    result = restored(model, tmp_path / "kelvin.tif", what, out, values="300,350")
    assert result.explains == [True] * 3
    assert result.notes == ["the noise of 0.02 is 1 in the file's unit"]
    assert told(out)["noise"] == [1.0]
    samples = np.stack([tifffile.imread(out / name) for name in result.samples])
    assert samples.dtype == np.float32
    assert 295 < samples.min() < samples.max() < 355
    mean, std = (tifffile.imread(out / f"{name}.tif") for name in ("mean", "std"))
    assert np.allclose(mean, samples.mean(0), atol=1e-3)
    assert np.allclose(std, samples.std(0, ddof=1), atol=1e-3)
    blurred_again = blurred.A(torch.from_numpy(samples.astype(np.float64))[:, None])[:, 0].numpy()
    off = np.sqrt(np.square(blurred_again - y.astype(np.float32)).mean((1, 2)))
    assert np.allclose(off / 1.0, result.misfit, rtol=1e-4)


def test_missing_values_stay_missing_and_are_taken_for_nothing(
    model: Restorer, tmp_path: Path
) -> None:
    """What a hole is filled with before drawing does not reach the samples: they know of it."""
    plane = smooth(16, 16).astype(np.float32)
    plane[4:9, 5:11] = np.nan
    plane[0, 0] = np.inf
    np.save(tmp_path / "a.npy", plane)
    what = happened("noise", None, None, "0.05")
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,1")
    hole = ~np.isfinite(plane)
    for name in result.samples:
        assert np.array_equal(np.isnan(np.load(tmp_path / "out" / name)), np.isnan(plane))
    for name in ("mean", "std", "lower", "upper"):
        assert not np.isfinite(np.load(tmp_path / "out" / f"{name}.npy")[hole]).any()
    assert sum(plane.measured for plane in result.planes) == (~hole).sum()


def test_what_is_missing_is_drawn_where_that_is_asked_for(model: Restorer, tmp_path: Path) -> None:
    """The rest stays as it is, page by page; a page without holes is a copy of itself."""
    pages = np.stack([np.rint(smooth(16, 20, i) * 4000) for i in range(3)]).astype(np.int32)
    holed = pages.astype(np.float32)
    holed[0, 3:8, 2:9] = holed[2, 10, :] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", holed, photometric="minisblack")
    what = happened(None, Path("auto"), None, None)
    assert what.fill
    out = tmp_path / "out"
    result = restored(model, tmp_path / "a.tif", what, out, values="0,4095")
    samples = np.stack([tifffile.imread(out / name) for name in result.samples])
    hole = np.isnan(holed)
    assert np.isfinite(samples).all()
    assert np.allclose(samples[:, ~hole], holed[~hole], atol=1e-3)
    assert (samples[:, hole].std(0) > 0).mean() > 0.9
    assert np.array_equal(samples[:, 1], np.broadcast_to(holed[1], samples[:, 1].shape))
    assert told(out)["sigmas"] == [0.0, None, 0.0]
    assert result.explains == [True] * 3
    assert result.misfit == [0.0] * 3
    assert "samples explain the image exactly" in one_line(tmp_path / "a.tif", out, result)
    assert np.isfinite(tifffile.imread(out / "std.tif")).all()


def test_a_page_that_is_all_missing_stays_so(model: Restorer, tmp_path: Path) -> None:
    pages = np.stack([smooth(12, 12), np.full((12, 12), np.nan)]).astype(np.float32)
    np.save(tmp_path / "a.npy", pages)
    for mask, noise in ((None, "0.1"), (None, "auto")):
        what = happened(None, mask, None, noise)
        result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,1")
        drawn = np.load(tmp_path / "out" / "sample_00.npy")
        assert np.isfinite(drawn[0]).all()
        assert np.isnan(drawn[1]).all()
        assert [plane.sigma is None for plane in result.planes] == [False, True]


def test_planes_are_drawn_as_if_alone_and_colours_together(model: Restorer, tmp_path: Path) -> None:
    pages = np.stack([smooth(12, 16, i) for i in range(2)])
    np.save(tmp_path / "both.npy", pages.astype(np.float32))
    np.save(tmp_path / "one.npy", pages[1].astype(np.float32))
    what = happened("blur:sigma=1", None, None, "0.03")
    restored(model, tmp_path / "both.npy", what, tmp_path / "a", values="0,1")
    restored(model, tmp_path / "one.npy", what, tmp_path / "b", values="0,1")
    both, one = (np.load(tmp_path / place / "sample_01.npy") for place in "ab")
    assert np.array_equal(both[1], one)
    colours = np.stack([smooth(12, 16, i) for i in range(3)], -1)
    np.save(tmp_path / "rgb.npy", colours.astype(np.float32))
    result = restored(model, tmp_path / "rgb.npy", what, tmp_path / "c", values="0,1")
    assert len(result.planes) == 1
    y = torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)
    how = Restoring(samples=3, seed=2)
    wanted = model.run(seen(y, what.description, 0.03, levels=None), how).pixels
    drawn = np.load(tmp_path / "c" / "sample_02.npy")
    assert np.allclose(drawn, wanted[2].permute(1, 2, 0).numpy(), atol=1e-6)


def test_a_result_is_drawn_again_to_the_bit(tmp_path: Path) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    model = cvdvae.load_restorer(str(folder))
    pages = np.stack([smooth(40, 36, i) for i in range(2)]).astype(np.float32)
    pages[1, 2:6, 3:9] = np.nan
    np.save(tmp_path / "a.npy", pages)
    for i, what in enumerate([
        happened("blur:sigma=1", None, None, "auto"),
        happened(None, Path("auto"), None, "0.04"),
        happened(None, Path("auto"), None, None),
    ]):  # fmt: skip
        first, again = tmp_path / f"first{i}", tmp_path / f"again{i}"
        result = restored(model, tmp_path / "a.npy", what, first)
        shares: list[float] = []
        replay_into(first, again, trust=True, on_share=shares.append)
        for name in result.files:
            assert (first / name).read_bytes() == (again / name).read_bytes()
        before, after = (told(place) | {"seconds": 0} for place in (first, again))
        assert before == after
        with pytest.raises(InputError, match="draw it again with the command cvdvae replay"):
            cvdvae.replay(first / "result.json", trust=True)


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    model = cvdvae.load_restorer(str(folder))
    np.save(tmp_path / "a.npy", smooth(12, 12).astype(np.float32))
    what = happened("blur:sigma=1", None, None, "0.1")
    restored(model, tmp_path / "a.npy", what, tmp_path / "out")
    data, path = told(tmp_path / "out"), tmp_path / "out" / "result.json"
    for key, value, said in (
        ("sigmas", [0.1, 0.1], "another number of planes"),
        ("sigmas", [7], "is damaged"),
        ("sigmas", "auto", "is damaged"),
        ("fill", 1, "is damaged"),
        ("input", "../a.npy", "which file beside it"),
        ("values", {"ranges": [{}]}, "mapped to"),
        ("values", {"ranges": []}, "mapped to"),
        ("values", {"ranges": [{"low": False, "high": 1.0, "levels": None}]}, "mapped to"),
        ("values", {"ranges": [{"low": 0.5, "high": 9.5, "levels": 9}]}, "mapped to"),
        ("values", {"ranges": [{"low": 0, "high": 9, "levels": 9}]}, "numbers of another kind"),
        ("model", 3, "is damaged"),
    ):
        path.write_text(json.dumps(data | {key: value}))
        with pytest.raises(InputError, match=said):
            replay_into(path, tmp_path / "again", trust=True)
    assert not (tmp_path / "again").exists()


def test_moves_tell_of_all_planes(tmp_path: Path) -> None:
    model = tiny_restorer()
    side = model.side
    assert side is not None
    np.save(tmp_path / "a.npy", np.stack([smooth(side, side, i) for i in range(2)]))
    what = happened("blur:sigma=1", None, None, "0.1")
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", n=2, moves=4)
    chains = [plane.diagnostics for plane in result.planes]
    assert result.diagnostics is not None
    assert len(chains) == 2
    wanted = np.mean([one.acceptance for one in chains if one is not None], 0)
    assert result.diagnostics.acceptance == wanted.tolist()
    assert told(tmp_path / "out")["chains"]["acceptance"] == wanted.tolist()


@pytest.mark.parametrize(
    ("values", "words", "mask", "said"),
    [
        (np.ones((12, 12), np.float32) * np.arange(12), "blur:sigma=1,boundary=valid", None, "cut"),
        (np.arange(144.0).reshape(12, 12), None, Path("auto"), "holds no missing values"),
        (np.arange(144.0).reshape(12, 12), "hole:side=13", None, "is not within an image"),
        (np.full((12, 12), np.nan), "blur:sigma=1", None, "holds no value: every pixel"),
        (smooth(8, 8), "blur:sigma=0.8,boundary=valid", None, "has cut off its borders"),
        (smooth(12, 12), "hole:side=4 + blur:sigma=1", None, "went into the blur that came after"),
        (
            np.stack([smooth(12, 12), smooth(12, 12) * np.nan]),
            None,
            Path("auto"),
            "nothing to fill",
        ),
    ],
)
def test_what_cannot_be_restored_is_refused_in_one_sentence(
    model: Restorer, values: np.ndarray, words: str | None, mask: Path | None, said: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    np.save(tmp_path / "a.npy", values)
    what = happened(words, mask, None, "0.1" if words else None)
    with pytest.raises(InputError, match=said) as refused:
        restored(model, tmp_path / "a.npy", what, tmp_path / "out")
    assert str(refused.value).startswith(str(tmp_path / "a.npy"))
    assert not (tmp_path / "out").exists()


def test_transparent_pixels_of_a_picture_are_its_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever colour lies under them."""
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    grey = np.rint(smooth(16, 16) * 255).astype(np.uint8)
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[4:9, 5:12] = 0
    for name, under in (("a", 0), ("b", 200)):
        colours = np.stack([np.where(alpha, grey, under)] * 3 + [alpha], -1).astype(np.uint8)
        Image.fromarray(colours).save(tmp_path / f"{name}.png")
    given = ["restore", *(str(tmp_path / f"{name}.png") for name in "ab"), "--mask", "auto"]
    given += ["--model", str(folder), "-n", "2", "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.count("its 35 transparent pixels are the hole") == 2
    assert "bicubic" not in said
    drawn = [Image.open(tmp_path / "out" / name / "sample_01.png") for name in "ab"]
    assert [one.mode for one in drawn] == ["RGB", "RGB"]
    a, b = map(np.asarray, drawn)
    assert np.array_equal(a, b)
    assert np.array_equal(a[alpha > 0], np.stack([grey] * 3, -1)[alpha > 0])
    Image.fromarray(grey).save(tmp_path / "whole.png")
    given = ["restore", str(tmp_path / "whole.png"), "--mask", "auto", "--model", str(folder)]
    assert run(*given, "--out", str(tmp_path / "none"), monkeypatch=monkeypatch) == 1
    assert "has no transparent pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mask", "auto", "--jpeg", "50"], "--mask auto does not go with a JPEG"),
        (["--mask", "auto", "--degradation", "jpeg:quality=50"], "does not go with a JPEG"),
        (["--mask", "auto", "--simulate"], "the photo is whole"),
        (["--noise", "0.1", "--values", "0,1"], "is a picture: --values goes with arrays"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    given = ["restore", str(tmp_path / "a.png"), "--model", str(folder), *options]
    assert run(*given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_batch_restores_arrays_into_folders_and_into_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    (tmp_path / "in").mkdir()
    plane = np.rint(smooth(12, 12) * 4000).astype(np.uint16)
    np.save(tmp_path / "in" / "a.npy", plane)
    words = ["--degradation", "blur:sigma=1", "--noise", "0.05", "--values", "0,4095"]
    batch = ["batch", str(tmp_path / "in"), "--model", str(folder), "-n", "2", *words]
    assert run(*batch, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    capsys.readouterr()
    one = ["restore", str(tmp_path / "in" / "a.npy"), "--model", str(folder), "-n", "2", *words]
    assert run(*one, "--out", str(tmp_path / "one"), monkeypatch=monkeypatch) == 0
    drawn, alone = (np.load(tmp_path / place / "a" / "sample_01.npy") for place in ("out", "one"))
    assert np.array_equal(drawn, alone)
    rows = ["--to", "parquet", "--out", str(tmp_path / "rows")]
    assert run(*batch, *rows, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "holds arrays in their own unit" in said


def test_a_hole_comes_behind_what_else_happened() -> None:
    hidden = torch.zeros(8, 8, dtype=torch.bool)
    hidden[2:4, 5] = True
    both = with_hole(parse("downscale:scale=2"), hidden, "a scratch")
    assert torch.equal(both.hidden((8, 8)), hidden)
    assert both.hr_size((8, 8)) == (16, 16)
    alone = with_hole(parse("noise"), hidden, "a scratch")
    assert len(alone.steps) == 1
    for none in (torch.zeros(8, 8), torch.ones(8, 8)):
        with pytest.raises(InputError):
            with_hole(parse("noise"), none, "a scratch")


def test_a_half_float_page_of_which_nothing_is_drawn_stays_as_it_is(
    model: Restorer, tmp_path: Path
) -> None:
    pages = np.stack([smooth(12, 12, i) for i in range(2)]).astype(np.float16)
    pages[0, 3:5, 4:9] = np.nan
    np.save(tmp_path / "a.npy", pages)
    what = happened(None, Path("auto"), None, None)
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,1")
    for name in (*result.samples, "mean.npy", "std.npy"):
        assert np.isfinite(np.load(tmp_path / "out" / name)).all()
    drawn = np.load(tmp_path / "out" / result.samples[0])
    assert np.array_equal(drawn[1], pages[1].astype(np.float32))


@pytest.mark.parametrize("mask", [None, Path("auto")])
def test_channels_that_miss_different_pixels_keep_what_each_knows(
    model: Restorer, mask: Path | None, tmp_path: Path
) -> None:
    colours = np.stack([smooth(14, 16, i) for i in range(3)], -1).astype(np.float32)
    colours[2:6, 3:9, 0] = np.nan
    np.save(tmp_path / "a.npy", colours)
    what = happened(None, mask, None, None) if mask else happened("hole:side=1", None, None, None)
    asked = Asked(what, Restoring(samples=2), None, LIMITS, "0,1")
    result, notes = restore_into(model, Job(tmp_path / "a.npy", tmp_path / "out"), asked)
    assert "its channels miss different pixels: each is drawn by itself" in notes
    known = np.isfinite(colours)
    if mask is None:
        known[6, 7] = False  # the middle one, which the hole hides
    for i in range(2):
        drawn = np.load(tmp_path / "out" / f"sample_0{i}.npy")
        assert np.allclose(drawn[known], colours[known], atol=1e-6)
        assert np.isfinite(drawn[2:6, 3:9, 0]).all() == bool(mask)
    assert result.explains == [True, True]


def test_a_page_without_any_value_is_not_called_drawn(model: Restorer, tmp_path: Path) -> None:
    pages = np.rint(np.stack([smooth(12, 12), np.zeros((12, 12))]) * 200 + 1).astype(np.uint16)
    pages[0, 2:4, 2:8] = pages[1] = 0
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", extratags=[
        (42113, "s", 2, "0", True)])  # fmt: skip
    what = happened(None, Path("auto"), None, None)
    asked = Asked(what, Restoring(samples=2), None, LIMITS, "0,255")
    _, notes = restore_into(model, Job(tmp_path / "a.tif", tmp_path / "out"), asked)
    assert "12 missing values are drawn" in notes
    assert "1 planes hold no value at all, and stay so" in notes
    mean, std = (tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in ("mean", "std"))
    assert np.isfinite(mean[0]).all()
    assert np.isnan(mean[1]).all()
    assert np.isnan(std[1]).all()


def test_what_was_drawn_is_opaque(model: Restorer, tmp_path: Path) -> None:
    rgba = np.rint(np.stack([smooth(12, 12, i) for i in range(4)], -1) * 60000).astype(np.uint16)
    rgba[..., 3] = 65535
    rgba[3:6, 2:9, 3] = 0
    rgba[9, 9, 3] = 1000
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    what = happened(None, Path("auto"), None, None)
    result = restored(model, tmp_path / "a.tif", what, tmp_path / "out")
    for name in result.samples:
        alpha = tifffile.imread(tmp_path / "out" / name)[..., 3]
        assert (alpha[3:6, 2:9] == 65535).all()
        assert alpha[9, 9] == 1000
    stays = restored(
        model, tmp_path / "a.tif", happened("noise", None, None, "0.1"), tmp_path / "b"
    )
    alpha = tifffile.imread(tmp_path / "b" / stays.samples[0])[..., 3]
    assert (alpha[3:6, 2:9] == 0).all()


def test_the_mask_of_a_geotiff_goes_where_it_was_filled(model: Restorer, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    values = np.rint(smooth(12, 16) * 2000).astype(np.uint16)
    mask = np.full((12, 16), 255, np.uint8)
    mask[4:7, 5:9] = 0
    profile = {"driver": "GTiff", "width": 16, "height": 12, "count": 1, "dtype": "uint16"}
    place = rasterio.transform.from_origin(0, 0, 1, 1)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "a.tif", "w", **profile, transform=place, crs="EPSG:32632"
        ) as file,
    ):
        file.write(values, 1)
        file.write_mask(mask)
    what = happened(None, Path("auto"), None, None)
    result = restored(model, tmp_path / "a.tif", what, tmp_path / "out", values="0,2047")
    with rasterio.open(tmp_path / "out" / result.samples[0]) as file:
        assert (file.dataset_mask() == 255).all()
        assert np.array_equal(file.read(1)[mask > 0], values[mask > 0])


def test_a_hole_that_is_not_there_is_not_drawn_either_where_noise_is(tmp_path: Path) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    model = cvdvae.load_restorer(str(folder))
    np.save(tmp_path / "a.npy", smooth(12, 12))
    what = happened(None, Path("auto"), None, "0.1")
    with pytest.raises(InputError, match="holds no missing values"):
        restored(model, tmp_path / "a.npy", what, tmp_path / "out")
    what = happened(None, None, None, "0.1")
    first = restored(model, tmp_path / "a.npy", what, tmp_path / "out")
    as_before = told(tmp_path / "out") | {"fill": True}  # which was not refused once
    (tmp_path / "out" / "result.json").write_text(json.dumps(as_before))
    replay_into(tmp_path / "out" / "result.json", tmp_path / "again", trust=True)
    for name in first.samples:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_batch_is_not_gone_on_with_another_hole_or_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    (tmp_path / "in").mkdir()
    plane = smooth(40, 40).astype(np.float32)
    np.save(tmp_path / "in" / "a.npy", plane)
    batch = ["batch", str(tmp_path / "in"), "--model", str(folder), "-n", "2"]
    for place, first, second in (
        ("values", ["--noise", "auto", "--values", "0,1"], ["--noise", "auto"]),
        ("fill", ["--noise", "0.05", "--mask", "auto"], ["--noise", "0.05"]),
    ):
        if place == "fill":
            plane[3:6, 4:9] = np.nan
            np.save(tmp_path / "in" / "a.npy", plane)
        out = ["--out", str(tmp_path / place)]
        assert run(*batch, *first, *out, monkeypatch=monkeypatch) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert place == "fill" or "1 × the noise was estimated from every plane" in said
        np.save(tmp_path / "in" / "b.npy", plane)
        assert run(*batch, *second, *out, monkeypatch=monkeypatch) == 1
        assert place in " ".join(capsys.readouterr().err.split())
        (tmp_path / "in" / "b.npy").unlink()


def test_what_arrays_take_is_booked_by_their_headers(tmp_path: Path) -> None:
    what = Settings(samples=2, happened=happened("blur:sigma=1", None, None, "0.1"))
    np.save(tmp_path / "a.npy", np.zeros((5, 64, 48), np.uint16))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 64, 48)), compression="zlib")
    for name in ("a.npy", "a.tif"):
        image = to_batch([Row(0, "a", str(tmp_path / name))])
        assert memory_of(image, what) == 64 * 48 * (BYTES + 2 * 48)


def test_finer_numbers_than_those_of_8_bits_may_have_less_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.integers(0, 65535, (16, 16)).astype(np.uint16))
    given = ["restore", str(tmp_path / "a.npy"), "--degradation", "blur:sigma=1", "-n", "2"]
    given += ["--noise", "0.0001", "--model", str(folder), "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 of 2 samples explain" in said
    assert "8 bits" not in said


@pytest.mark.parametrize("options", [["--simulate"], ["--jpeg", "75"]])
def test_a_range_is_refused_where_a_file_is_read_as_a_picture(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    tifffile.imwrite(tmp_path / "a.tif", np.full((16, 16), 30000, np.uint16))
    given = ["restore", str(tmp_path / "a.tif"), "--model", str(folder), "--values", "0,40000"]
    given += ["--degradation", "blur:sigma=1", "--out", str(tmp_path / "out"), *options]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert "is read as a picture here" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("high", [15, 63, 4095, 65535])
def test_where_no_noise_is_named_a_blur_is_rounded_as_its_file_is(
    model: Restorer, high: int, tmp_path: Path
) -> None:
    H = parse("blur:sigma=1").operator((24, 24))
    clean = torch.from_numpy(smooth(24, 24))[None, None]
    values = torch.round(H.A(clean)[0, 0] * high).numpy().astype(np.uint16)
    np.save(tmp_path / "a.npy", values)
    what = happened("blur:sigma=1", None, None, None)
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values=f"0,{high}")
    assert result.sigma == pytest.approx(1 / 12**0.5 / high)
    assert result.rounding == pytest.approx(result.sigma)
    assert result.explains == [True] * 3
    (note,) = result.notes
    assert note.startswith("no noise was named")
    assert note.endswith("0.289 in the file's unit")


def test_noise_that_is_estimated_may_be_finer_than_8_bits(model: Restorer, tmp_path: Path) -> None:
    noise = 1e-4 * np.random.default_rng(0).standard_normal((96, 96))
    np.save(tmp_path / "a.npy", np.rint((smooth(96, 96) + noise) * 65535).astype(np.uint16))
    what = happened("noise", None, None, "auto")
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,65535")
    assert result.sigma == pytest.approx(1e-4, rel=0.3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("words", [None, "hole:top=5,left=5,height=4,width=4"])
def test_known_values_around_a_hole_stay_to_the_bit(
    model: Restorer, dtype: type, words: str | None, tmp_path: Path
) -> None:
    """Also those beyond the range that stands for [0, 1]."""
    values: np.ndarray = (smooth(16, 16) * 500).astype(dtype)
    values[0, 0] = 9999
    known = np.ones((16, 16), bool)
    known[5:9, 5:9] = False
    if words is None:
        values[~known] = np.nan
    np.save(tmp_path / "a.npy", values)
    what = happened(words, None if words else Path("auto"), None, None)
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,400")
    for name in result.samples:
        assert np.array_equal(np.load(tmp_path / "out" / name)[known], values[known])
    for name in ("mean.npy", "lower.npy", "upper.npy"):
        assert np.array_equal(np.load(tmp_path / "out" / name)[known], values[known])
    std = np.load(tmp_path / "out" / "std.npy")
    assert (std[known] == 0).all()
    assert (std[~known] > 0).all()


@pytest.mark.parametrize("order", [1, -1])
def test_a_plane_whose_chains_say_nothing_hides_no_other(order: int, tmp_path: Path) -> None:
    found = [Diagnostics([0.5], 7.0, 3.0, 1.0), Diagnostics([0.0], math.nan, math.nan, 0.0)]
    planes = [Explained(0.1, 1.0, 1, (1.0,), (True,), one) for one in found[::order]]
    how = StackDegradation(parse("noise"))
    result = RestoredStack(
        tmp_path, None, 1, np.zeros((1, 2), bool), model="m", what=how,  # type: ignore[arg-type]
        restoring=Restoring(samples=1), planes=planes,
    )  # fmt: skip
    assert result.diagnostics == Diagnostics([0.25], 7.0, 3.0, 0.5)
    none = replace(result, planes=planes[::order][1:])
    assert none.diagnostics is not None
    assert math.isnan(none.diagnostics.r_hat)


def test_what_was_not_seen_is_shown_grey(
    model: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []

    def sheet(result: Any, footer: str) -> Image.Image:
        shown.append(result)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("cvdvae.restoration.stack.restored.restored_sheet", sheet)
    values = smooth(16, 16)
    values[2, 2] = np.nan
    np.save(tmp_path / "a.npy", values)
    what = happened("hole:side=4", None, None, None)
    restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="0,1")
    grey = (shown[0].shown == 0.5).all(0).numpy()
    assert grey[2, 2]
    assert grey[6:10, 6:10].all()
    assert grey.sum() == 17


def test_what_is_left_missing_is_found_once(model: Restorer, tmp_path: Path) -> None:
    pages = np.stack([smooth(12, 12) for _ in range(4)])
    pages[:, 3, 4:8] = np.nan
    np.save(tmp_path / "a.npy", pages)
    what = happened(None, Path("auto"), None, None)
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out")
    assert result.left_missing is result.left_missing
    assert not result.left_missing.any()


def test_more_bytes_of_a_number_let_fewer_samples_fit(
    model: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 3 * 144)
    what = happened("blur:sigma=1", None, None, "0.1")
    for dtype, most in ((np.uint8, 3), (np.uint16, 1), (np.float32, 0)):
        np.save(tmp_path / "a.npy", (smooth(12, 12) * 200).astype(dtype))
        of = (model, tmp_path / "a.npy", what, tmp_path / "out")
        values = "0,255" if dtype == np.uint8 else "0,1000"
        if most:
            restored(*of, most, values)
        with pytest.raises(InputError, match="fit into memory"):
            restored(*of, most + 1, values)


def test_a_restoration_of_other_numbers_is_refused_before_anything_is_written(
    model: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = torch.rand(3, 16, 16)
    found = model.run(seen(y, "blur:sigma=1", 0.1, levels=4095), Restoring(samples=1))
    written: list[Path] = []
    monkeypatch.setattr(
        "cvdvae.restoration.restored.save_pictures", lambda folder, *_: written.append(folder)
    )
    with pytest.raises(InputError, match="4096 levels"):
        found.save(tmp_path / "out")
    assert not written
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("levels", [4095, None])
def test_a_restoration_of_other_numbers_is_measured_and_shown_in_them(
    model: Restorer, levels: int | None
) -> None:
    truth = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    of_16_bits = seen(truth, "hole:side=4", levels=levels)
    found = model.run(of_16_bits, Restoring(samples=2), truth)
    as_picture = model.run(seen(truth, "hole:side=4"), Restoring(samples=2), truth)
    told, usual = found.against_truth(), as_picture.against_truth()
    assert told is not None
    assert usual is not None
    assert told.sample_psnr == pytest.approx(usual.sample_psnr, abs=0.1)
    assert found.mean_pixels.dtype == found.pixels.dtype
    mean = found.mean_pixels.double() / (levels or 1)
    assert float((mean - found.mean).abs().max()) <= 0.51 / (levels or 1e6)
    difference = np.asarray(found.grid(), float) - np.asarray(as_picture.grid(), float)
    assert np.abs(difference).mean() < 1


def test_float_files_are_called_given_back_exactly_where_their_values_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    shrunk, hole = "downscale:scale=2", "hole:side=3"
    of_floats = r"to \de-\d+ of the range of its values \(root mean square\)"
    for dtype, damage, way in (
        (np.float32, hole, "exactly"),
        (np.uint16, hole, "exactly"),
        (np.float32, shrunk, of_floats),
    ):
        np.save(tmp_path / "a.npy", (smooth(12, 12) * 4000).astype(dtype))
        given = ["restore", str(tmp_path / "a.npy"), "--degradation", damage, "-n", "2"]
        given += ["--model", str(folder), "--out", str(tmp_path / "out"), "--values", "0,4095"]
        assert run(*given, monkeypatch=monkeypatch) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert re.search(f"2 of 2 samples explain the image {way}", said)


def test_whoever_named_no_noise_is_told_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(tmp_path / "a.png")
    given = ["restore", str(tmp_path / "a.png"), "--degradation", "blur:sigma=1.5", "-n", "1"]
    given += ["--model", str(folder), "--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 0
    assert "say how noisy it is, with --noise" in " ".join(capsys.readouterr().out.split())
    assert run(*given, "--noise", "0.002", monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "say it more closely" in said
    assert " to " not in said.split("off by ")[1].split(":")[0]  # of one sample
    edge = np.kron(np.array([[40, 200], [200, 40]]), np.ones((16, 16))) + rng.normal(0, 2, (32, 32))
    Image.fromarray(edge.astype(np.uint8)).save(tmp_path / "a.png")
    given = [one.replace("sigma=1.5", "sigma=3") for one in given]
    assert run(*given, "--noise", "auto", monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"name, with --noise, more than the 0\.\d+ that auto estimated", said)


def test_a_simulated_tiff_is_said_to_be_read_as_a_picture_and_its_noise_is_grey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved_restorer(tmp_path / "model", tiny_photo_restorer())
    tifffile.imwrite(tmp_path / "a.tif", np.rint(smooth(16, 16) * 255).astype(np.uint8))
    given = ["restore", str(tmp_path / "a.tif"), "--degradation", "blur:sigma=1", "-n", "1"]
    given += [
        "--noise",
        "0.1",
        "--simulate",
        "--model",
        str(folder),
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(*given, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "read as a picture: its values, axes and place are not handed on" in said
    assert "a greyscale image: so are its samples" in said
    drawn = np.asarray(Image.open(tmp_path / "out" / "a" / "sample_00.png").convert("RGB"))
    assert np.ptp(drawn.astype(int), axis=2).max() == 0


def test_the_bytes_of_a_deep_tiff_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((16, 16), 30000, np.uint16))
    told = Settings(samples=1, happened=happened("blur:sigma=1", None, None, "0.1"))
    with pytest.raises(InputError, match="holds values of more than 8 bits"):
        Undoing(tiny_photo_restorer(), told).read(stream.getvalue(), "a row", True)
    grey = replace(told, happened=happened("grey", None, None, "0.1"))  # which no file would keep
    assert Undoing(tiny_photo_restorer(), grey).read(stream.getvalue(), "a row", True).notes


def test_a_page_of_8_bits_goes_into_rows_as_the_picture_that_it_is(tmp_path: Path) -> None:
    colours = np.rint(np.stack([smooth(16, 16, i) for i in range(3)], -1) * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours)
    tifffile.imwrite(tmp_path / "deep.tif", colours.astype(np.uint16) * 257)
    colours[4:8, 4:8] = 0
    nought = (42113, 2, 0, "0", True)  # stands for no data, which a picture has not
    tifffile.imwrite(tmp_path / "holes.tif", colours, extratags=[nought])
    told = Settings(samples=1, happened=happened("blur:sigma=1", None, None, "0.1"))
    drawer = Undoing(tiny_photo_restorer(), told)
    row = drawer.read(str(tmp_path / "a.tif"), "a", True)
    of_bytes = drawer.read((tmp_path / "a.tif").read_bytes(), "a", True)
    assert torch.equal(row.drawn().answers.pixels, of_bytes.drawn().answers.pixels)
    row.draw_into(tmp_path / "out")
    assert (tmp_path / "out" / "sample_00.tif").exists()
    for name in ("deep", "holes"):
        with pytest.raises(InputError, match="write them to a folder"):
            drawer.read(str(tmp_path / f"{name}.tif"), "a", True).drawn()


def test_float_files_of_a_large_offset_are_explained(model: Restorer, tmp_path: Path) -> None:
    """Whose numbers are coarser than what of their range is asked for."""
    y = (101325 + 25 * (smooth(12, 12) - 0.5)).astype(np.float32)
    np.save(tmp_path / "a.npy", y)
    what = happened("downscale:scale=2", None, None, None)
    result = restored(model, tmp_path / "a.npy", what, tmp_path / "out", values="101300,101350")
    assert result.explains == [True] * 3


def test_what_is_filled_is_as_opaque_as_the_rest(model: Restorer, tmp_path: Path) -> None:
    rgba = np.rint(np.stack([smooth(12, 12, i) for i in range(4)], -1) * 60000).astype(np.uint16)
    rgba[..., 3] = 255
    rgba[3:6, 2:9, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    what = happened(None, Path("auto"), None, None)
    result = restored(model, tmp_path / "a.tif", what, tmp_path / "out")
    assert (tifffile.imread(tmp_path / "out" / result.samples[0])[..., 3] == 255).all()
