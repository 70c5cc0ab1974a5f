"""Which tiles a picture of a result has, and in which rows."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_resolver

import cvdvae.restoration.sheet
from cvdvae.degradations.bicubic import upscale_bicubic
from cvdvae.errors import InputError
from cvdvae.gaussian.noise import Window
from cvdvae.imaging.carried import Extras
from cvdvae.restoration.sheet import (
    save_animation,
    seen_at_low_resolution,
    sheet,
    std_picture,
)

DARK, BRIGHT = (0, 0, 4), (252, 255, 164)


@pytest.mark.parametrize(("samples", "rows"), [(1, [1]), (8, [4, 4]), (9, [8, 1])])
def test_few_samples_stand_in_rows_of_four_and_many_in_rows_of_eight(
    samples: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_resolver()
    y = model.degradation.A(model.prior.sample(1)).clamp(0, 1)[0]
    found: list[Any] = []
    monkeypatch.setattr(
        cvdvae.restoration.sheet, "labelled_sheet", lambda tiles, footer: found.extend(tiles)
    )
    sheet(model.run(y, model.sampling(samples=samples)), "footer")
    assert [len(row) for row in found[1:]] == rows
    labels = [label for label, _ in found[0]]
    differ = ["where they differ"] if samples > 1 else []  # one has nothing to differ from
    assert labels == ["input, 1/4 size", "bicubic", "mean", *differ]
    assert found[1][0][0] == "sample 0"


@pytest.mark.parametrize("kind", ["webp", "apng"])
def test_what_moves_carries_what_the_samples_do(
    kind: Literal["webp", "apng"], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    alpha = Image.fromarray(np.arange(90, 250, 10, dtype=np.uint8).reshape(4, 4))
    extras = Extras(b"a profile", alpha, exif.tobytes())
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=3)
    replace(result, extras=extras).save(tmp_path, kind)
    with Image.open(tmp_path / f"samples.{kind}") as moving:
        assert moving.info["loop"] == 0  # without an end
        for i in range(3):
            moving.seek(i)
            with Image.open(tmp_path / f"sample_{i:02d}.png") as sample:
                assert np.array_equal(np.asarray(moving.convert("RGBA")), np.asarray(sample))
                assert moving.info["duration"] == 400
                assert moving.info["icc_profile"] == sample.info["icc_profile"] == b"a profile"
                assert moving.getexif()[0x010F] == sample.getexif()[0x010F] == "Canon"


def test_only_what_webp_cannot_hold_is_refused(tmp_path: Path) -> None:
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=2)
    for side, kind in ((16_383, "webp"), (16_384, "apng")):
        long = replace(result, pixels=torch.arange(2).byte().expand(1, 3, side, 2).transpose(0, 3))
        save_animation(long, tmp_path / f"samples.{kind}")
        with Image.open(tmp_path / f"samples.{kind}") as moving:
            assert moving.size == (1, side)
    with pytest.raises(InputError, match="not 1×16384: take --animation apng"):
        long.save(tmp_path / "out", "webp")
    assert not (tmp_path / "out").exists()


def test_a_window_of_the_input_is_what_all_of_it_has_there() -> None:
    y = torch.rand(3, 30, 26, generator=torch.Generator().manual_seed(0))
    flat = y.repeat_interleave(3, 1).repeat_interleave(3, 2)
    bicubic = upscale_bicubic(y[None], (90, 78))[0]
    for window in (Window(0, 0, 8, 12), Window(40, 33, 20, 31), Window(61, 50, 29, 28)):
        seen = seen_at_low_resolution(y, 3, window)
        assert torch.equal(seen["input"], flat[:, *window.slices])
        torch.testing.assert_close(seen["bicubic"], bicubic[:, *window.slices])


def of_size(height: int, width: int, differ: Window) -> Any:
    """Seven samples that differ by 51 levels in a window, and nowhere else."""
    draw = torch.Generator().manual_seed(0)
    std = torch.zeros(height, width)
    std[differ.slices] = 0.2
    return SimpleNamespace(
        y=torch.rand(3, height // 2, width // 2, generator=draw),
        scale=2,
        pixels=torch.randint(0, 256, (7, 3, height, width), generator=draw).byte(),
        std=std,
        mean=torch.full((3, height, width), 0.4),
        bicubic=torch.full((3, height, width), 0.6),
        truth=torch.full((3, height, width), 0.2),
    )


def test_of_a_large_result_the_regions_that_differ_most_are_rows_of_full_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[Any] = []
    monkeypatch.setattr(
        cvdvae.restoration.sheet, "labelled_sheet", lambda tiles, footer: rows.extend(tiles)
    )
    window = Window(8, 160, 160, 160)
    result = of_size(176, 328, window)
    sheet(result, "footer")
    assert len(rows) == 1  # elsewhere they are the same
    names, tiles = zip(*rows[0], strict=True)
    samples = [f"sample {i}" for i in range(5)]
    differ = "they differ by 51 levels"
    assert list(names) == [
        *("input, row 8, column 160", "bicubic", *samples, differ, "the real photo")
    ]
    inside = result.pixels[:, :, *window.slices].permute(0, 2, 3, 1).numpy()
    for tile, pixels in zip(tiles[2:7], inside, strict=False):
        assert np.array_equal(np.asarray(tile), pixels)
    assert tiles[7].getpixel((0, 0)) == BRIGHT
    assert tiles[8].getpixel((0, 0)) == (51, 51, 51)
    rows.clear()
    result.pixels = result.pixels[:1]
    sheet(result, "footer")
    assert [len(row) for row in rows] == [4]
    assert not any("differ" in name for row in rows for name, _ in row)


@pytest.mark.parametrize(("side", "first"), [(160, "input, 1/2 size"), (162, "input, row 0")])
def test_what_fits_a_tile_is_shown_as_a_whole(
    side: int, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []
    monkeypatch.setattr(
        cvdvae.restoration.sheet, "labelled_sheet", lambda tiles, footer: rows.extend(tiles)
    )
    result = of_size(side, 20, Window(0, 0, 8, 20))
    sheet(result, "footer")
    assert rows[0][0][0].startswith(first)
    if side == 160:
        tiles = dict(rows[0])
        assert tiles["where they differ"].getpixel((3, 7)) == BRIGHT
        assert tiles["where they differ"].getpixel((3, 8)) == DARK
        assert tiles["bicubic"].getpixel((0, 0)) == (153, 153, 153)
        assert tiles["mean"].getpixel((0, 0)) == (102, 102, 102)
        assert tiles["the real photo"].getpixel((0, 0)) == (51, 51, 51)


def test_std_png_says_what_its_brightest_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    def bar(heat: Image.Image, largest: float) -> Image.Image:
        told.append(largest)
        return heat

    monkeypatch.setattr(cvdvae.restoration.sheet, "with_scale_bar", bar)
    heat = std_picture(torch.tensor([[0.0, 0.1, 0.2]]))
    assert told == [pytest.approx(51)]
    assert heat.getpixel((2, 0)) == BRIGHT
    assert heat.getpixel((0, 0)) == std_picture(torch.zeros(1, 1)).getpixel((0, 0)) == DARK
