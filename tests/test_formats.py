"""Files of arrays: read, drawn, and written with their values, units and metadata."""

import base64
import errno
import json
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import torch
from command import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from tiny import copied, saved_resolver, tiny_nuclei, tiny_photos, tiny_resolver

from cvdvae.batch.files import Input, draw_into, plan, read_any
from cvdvae.batch.replaying import replay_into
from cvdvae.degradations.bicubic import downscaling
from cvdvae.errors import InputError, OutputError
from cvdvae.imaging import geo_systems, tiff
from cvdvae.imaging import geotiff as geotiff_module
from cvdvae.imaging.arrays import Layout, Limits, guessed_axes
from cvdvae.imaging.formats import format_of
from cvdvae.imaging.geotiff import GeoTIFF
from cvdvae.imaging.io import ALMOST_BLACK, read_photo, save_png
from cvdvae.imaging.npy import Npy
from cvdvae.imaging.png import PNGWriter
from cvdvae.imaging.tiff import TIFF
from cvdvae.imaging.values import ValueRange, choose_range
from cvdvae.imaging.zarr_store import _axes_of
from cvdvae.restoration.finish import finish, finish_in_strips
from cvdvae.restoration.load import load_at_scale
from cvdvae.restoration.round_trip import RoundTrip
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.saving import read_told
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.sheet import sheet
from cvdvae.restoration.stack import drawing as stack_drawing
from cvdvae.restoration.stack import sheet as stack_sheet
from cvdvae.restoration.stack import writing
from cvdvae.restoration.stack.array_result import LOWER, UPPER, between_ranks
from cvdvae.restoration.stack.planes import Stack, _filled, avoid, read_stack
from cvdvae.restoration.stack.result import StackResult, stack_recipe_from_dict

LIMITS = Limits(10**6)
H = downscaling((24, 20), (12, 10), "bicubic")


@pytest.fixture(scope="module")
def model() -> SuperResolver:
    return tiny_photos(2)


def save_photos(folder: Path) -> None:
    saved_resolver(folder, tiny_photos(2))


@pytest.fixture
def model_folder(tmp_path: Path) -> str:
    """The same in a folder."""
    return str(copied(tmp_path / "tiny", save_photos))


def smooth(*shape: int, seed: int = 0) -> np.ndarray:
    """A field in [0.1, 0.9] with the last two axes its height and width."""
    y, x = np.meshgrid(*(np.arange(n) for n in shape[-2:]), indexing="ij")
    phases = np.random.default_rng(seed).uniform(0, 6, shape[:-2])[..., None, None]
    field: np.ndarray = 0.5 + 0.4 * np.sin(0.5 * y + phases) * np.cos(0.4 * x)
    return field


def draw(model: SuperResolver, path: Path, out: Path, n: int = 2, **how: Any) -> StackResult:
    stack = read_any(model, path, limits=LIMITS, **how)
    result = draw_into(model, stack, model.sampling(n), out)
    assert isinstance(result, StackResult)
    return result


def watched(shown: list[Any]) -> Callable[[Any, str], Image.Image]:
    """A `sheet` that keeps what it shows."""

    def of(result: Any, text: str) -> Image.Image:
        shown.append(result)
        return sheet(result, text)

    return of


def shrunk(planes: np.ndarray) -> np.ndarray:
    """H of planes, ``(…, H, W)``."""
    height, width = planes.shape[-2:]
    operator = downscaling((height, width), (height // 2, width // 2), "bicubic")
    flat = torch.from_numpy(planes.astype(np.float64)).reshape(-1, 1, height, width)
    return operator.A(flat).reshape(*planes.shape[:-2], height // 2, width // 2).numpy()


@given(low=st.integers(-1000, 1000), levels=st.integers(1, 2**20), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_whole_values_go_to_the_unit_and_back(low: int, levels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(low, low + levels, 50, endpoint=True)
    one = ValueRange(low, low + levels, levels)
    pixels = torch.round(torch.from_numpy(one.to_unit(values)) * levels)
    assert np.array_equal(one.to_values(pixels), values)
    assert torch.equal(one.from_values(one.to_values(pixels)).double(), pixels)


FLOAT32 = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("values", "how", "low", "high"),
    [
        (np.array([3, 200], np.uint8), "auto", 0, 255),
        (np.array([3, 4000], np.uint16), "auto", 0, 4095),
        (np.array([3, 4000], np.uint16), "dtype", 0, 65535),
        (np.array([-16, 16], np.int16), "auto", -18, 18),
        (np.array([-0.5, 0.5]), "auto", -0.5625, 0.5625),
        (np.array([0.5, 1.5]), "auto", 0.4375, 1.5625),
        (np.array([0.0, 0.5]), "dtype", 0, 1),
        (np.array([-3.1e38, 3.4e38], np.float32), "auto", -FLOAT32, FLOAT32),
        (np.array([0, 65504], np.float16), "auto", 0, 69598),
        (np.array([0, 1], np.float32), "-3.4028235e38,1", -FLOAT32, 1),
        (np.array([7, 9], np.uint16), "5,4100", 5, 4100),
        (np.arange(1001, dtype=np.uint16), "percentiles", 1, 999),
    ],
)
def test_ranges_are_as_documented(values: np.ndarray, how: str, low: float, high: float) -> None:
    found = choose_range(values, how)
    assert (found.low, found.high) == (low, high)
    assert found.levels == (high - low if values.dtype.kind in "iu" else None)


@pytest.mark.parametrize(
    ("values", "how", "sentence"),
    [
        (np.full(4, 3.5), "auto", r"all values are 3\.5, .* of cvdvae upscale, restore or batch$"),
        (np.full(4, 7, np.int16), "auto", "all values are 7"),
        (
            np.array([0] * 2000 + [9]),
            "percentiles",
            r"^at least 99\.8 % .* are 0, which",
        ),
        (np.array([-1.0, 1]), "dtype", r"must lie in \[0, 1\]"),
        (np.array([0, 2**31], np.uint32), "auto", "more than 1048576 levels.* or batch$"),
        (np.array([0, 1], np.float16), "-1e39,1", r"samples are float32, which goes from -3\.40"),
        (np.array([-1.7e308, 1.7e308]), "auto", "too far apart for their variance .* mark what"),
        (np.array([0, 1.7e308]), "auto", "too far apart for their variance"),
        (np.array([0.0, 1]), "5", "two numbers as in 0,4095"),
        (np.array([0.0, 1]), "5,1", "smaller number first"),
        (np.array([0.0, 1]), "nan,inf", "smaller number first"),
        (np.array([0.0, 1]), "maximum", "two numbers as in 0,4095"),
    ],
)
def test_what_has_no_range_is_refused(values: np.ndarray, how: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        choose_range(values, how)


@pytest.mark.parametrize("axes", ["YX", "YXS", "SYX", "ZCYX", "CZYX", "TZCYX"])
def test_planes_are_laid_out_as_they_were(axes: str) -> None:
    shape = tuple({"Y": 5, "X": 4, "S": 3, "C": 3, "Z": 2, "T": 2}[axis] for axis in axes)
    values = np.arange(np.prod(shape)).reshape(shape)
    layout = Layout(axes, shape)
    planes = layout.to_planes(values)
    assert planes.shape == (layout.pages, layout.channels, 5, 4)
    assert np.array_equal(layout.from_planes(planes), values)


def test_axes_without_names() -> None:
    shapes = {(4, 5): "YX", (3, 4, 5): "CYX", (4, 5, 3): "YXS", (7, 4, 5): "ZYX",
              (2, 3, 4, 5): "ZCYX", (2, 7, 4, 5, 3): "TZYXS", (9, 11, 4): "YXS",
              (9, 11, 1): "YXS", (9, 7, 4): "ZYX", (1, 9, 1): "ZYX"}  # fmt: skip
    for shape, axes in shapes.items():
        assert len(axes) == len(shape)
        assert guessed_axes(shape) == axes


@pytest.mark.parametrize("levels", [255, 4095, 65535])
@pytest.mark.parametrize("strips", [False, True])
def test_any_number_of_levels_gives_y_back_in_them(levels: int, strips: bool) -> None:
    operator = downscaling((64, 32), (32, 16), "bicubic")
    truth = torch.from_numpy(smooth(1, 3, 64, 32))
    y = torch.round(operator.A(truth) * levels) / levels
    x = truth + 0.05 * torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    if strips:
        parts = finish_in_strips(
            lambda a, b: x[:, :, a:b], y.float(), operator, strip_pixels=16 * 32, levels=levels
        )
        pixels = torch.cat([part.pixels for part in parts], 2)
    else:
        pixels = finish(x, y.float(), operator, levels=levels).pixels
    assert int(pixels.max()) <= levels
    back = torch.round(operator.A(pixels.double()))
    assert torch.equal(back, torch.round(y * levels).expand_as(back))


@pytest.mark.parametrize("strips", [False, True])
def test_values_that_are_not_whole_are_projected_and_not_rounded(strips: bool) -> None:
    operator = downscaling((64, 32), (32, 16), "bicubic")
    truth = torch.from_numpy(smooth(1, 3, 64, 32))
    y = operator.A(truth).float()
    x = truth + 0.05 * torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    parts = [finish(x, y, operator, levels=None)]
    if strips:
        rows = finish_in_strips(
            lambda a, b: x[:, :, a:b], y, operator, strip_pixels=16 * 32, levels=None
        )
        parts = list(rows)
    pixels = torch.cat([part.pixels for part in parts], 2)
    assert pixels.dtype == torch.float64
    assert float((operator.A(pixels) - y).abs().max()) < 1e-5


def write_plain(path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(path, values, metadata=None, photometric="minisblack")


def write_zarr(path: Path, values: np.ndarray) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(str(path), data=values)


def write_npy(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def write_ome(path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(path, values, metadata={"axes": "ZYX"[-values.ndim :]}, ome=True)


WRITERS = {
    ".tif": write_plain,
    ".OME.TIF": write_ome,
    ".npy": write_npy,
    ".ome.npy": write_npy,
    ".zarr": write_zarr,
    ".ome.zarr": write_zarr,
}


def load(path: Path) -> np.ndarray:
    form = format_of(path)
    assert form is not None
    return form.read(path, LIMITS).values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_samples_are_of_the_inputs_kind_and_give_it_back(
    suffix: str, dtype: str, model: SuperResolver, tmp_path: Path
) -> None:
    top = {"uint8": 255, "uint16": 4000, "int16": 900}.get(dtype, 40.0)
    values = (smooth(2, 12, 10) * top - (200 if dtype == "int16" else 0)).astype(dtype)
    path = tmp_path / f"stack{suffix}"
    WRITERS[suffix](path, values)
    result = draw(model, path, tmp_path / "out")
    for name in result.samples:
        sample = load(tmp_path / "out" / name)[:, 0]
        assert sample.dtype == dtype
        assert sample.shape == (2, 24, 20)
        back = shrunk(sample)
        if values.dtype.kind in "iu":
            assert np.array_equal(np.round(back), values)
            assert all(result.round_trip_exact)
        else:
            worst = float(np.abs(back - values).max())
            assert worst < 1e-3
            assert worst <= max(result.largest_lr_error) * 1.001
    report = json.loads((tmp_path / "out" / "result.json").read_text())
    assert report["values"]["dtype"] == dtype
    assert (report["round_trip_exact"] is None) == (values.dtype.kind == "f")
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"grid.png", *report["files"]}


def test_statistics_are_those_of_the_samples_in_their_unit(
    model: SuperResolver, tmp_path: Path
) -> None:
    np.save(tmp_path / "t.npy", 273 + 20 * smooth(12, 10).astype(np.float32))
    result = draw(model, tmp_path / "t.npy", tmp_path / "out", n=9)
    samples = np.stack([np.load(tmp_path / "out" / name) for name in result.samples])
    found = {k: np.load(tmp_path / "out" / f"{k}.npy") for k in ("mean", "std", "lower", "upper")}
    assert np.allclose(found["mean"], samples.mean(0), atol=1e-4)
    assert np.allclose(found["std"], samples.std(0, ddof=1), atol=1e-4)
    # Of nine samples the smallest and the largest hold a tenth one with a probability of 8 / 10.
    assert np.allclose(found["lower"], samples.min(0), atol=1e-4)
    assert np.allclose(found["upper"], samples.max(0), atol=1e-4)
    report = json.loads((tmp_path / "out" / "result.json").read_text())
    assert report["interval"] == {"lower": 0.1, "upper": 0.9, "share": pytest.approx(0.8)}


@pytest.mark.parametrize(("low", "kind"), [(2**24, "float64"), (2**24 - 1000, "float32")])
def test_statistics_tell_whole_numbers_apart_however_large(
    low: int, kind: str, model: SuperResolver, tmp_path: Path
) -> None:
    values = (low + 1 + 998 * smooth(12, 10)).astype(np.uint32)
    np.save(tmp_path / "l.npy", values)
    draw(model, tmp_path / "l.npy", tmp_path / "out", n=1, how=f"{low},{low + 1000}")
    found = {
        name: np.load(tmp_path / "out" / f"{name}.npy")
        for name in ("sample_00", "mean", "std", "lower", "upper")
    }
    for name in ("mean", "lower", "upper"):
        assert found[name].dtype == kind
        assert np.array_equal(found[name], found["sample_00"].astype(np.float64))


def test_holes_stay_holes_and_change_nothing_far_from_them(
    model: SuperResolver, tmp_path: Path
) -> None:
    values = 10 * smooth(40, 32).astype(np.float32)
    holed = values.copy()
    holed[3:6, 4:7], holed[0, 0] = np.nan, -np.inf
    np.save(tmp_path / "h.npy", holed)
    result = draw(model, tmp_path / "h.npy", tmp_path / "out")
    missing = ~np.isfinite(holed)
    for name in ("sample_00", "sample_01", "mean", "std", "lower", "upper"):
        given = np.load(tmp_path / "out" / f"{name}.npy")
        assert np.array_equal(~np.isfinite(given), missing.repeat(2, 0).repeat(2, 1))
    assert np.load(tmp_path / "out" / "sample_00.npy")[0, 0] == -np.inf
    back = shrunk(np.nan_to_num(np.load(tmp_path / "out" / "sample_00.npy"), neginf=0))
    assert np.abs(back - values)[9:].max() <= max(result.largest_lr_error) * 1.001 < 1e-3
    assert any("missing values stay missing" in note for note in result.stack.notes)


def test_a_float_file_marks_no_data_in_statistics_as_it_does_itself(
    model: SuperResolver, tmp_path: Path
) -> None:
    values = smooth(12, 10).astype(np.float32)
    values[4, 4] = -9999
    tifffile.imwrite(
        tmp_path / "n.tif", values, metadata=None, extratags=[(42113, 2, 0, "-9999", True)]
    )
    result = draw(model, tmp_path / "n.tif", tmp_path / "out")
    for name in ("sample_00", "std", "lower"):
        found = TIFF().read(tmp_path / "out" / f"{name}.tif", LIMITS)
        assert found.nodata == [-9999]
        assert found.missing.sum() == 4
        assert (found.values[found.missing] == -9999).all()
    assert result.stack.ranges[0].low >= 0


def test_no_sample_holds_what_stands_for_no_data() -> None:
    one = ValueRange(0, 255, 255)
    ends = [(one.without(v).low, one.without(v).high) for v in (0, 255, 7, -1)]
    assert ends == [(1, 255), (0, 254), (0, 255), (0, 255)]
    for dtype, above in ((np.uint16, 8), (np.float32, np.nextafter(np.float32(7), np.float32(8)))):
        drawn = np.array([[[3, 7, 9]], [[3, 7, 9]]], dtype)
        avoid(drawn, [7, None])
        assert drawn.tolist() == [[[3, above, 9]], [[3, 7, 9]]]


def test_five_channels_are_drawn_one_by_one_each_in_its_range(
    model: SuperResolver, tmp_path: Path
) -> None:
    scale = np.array([30, 300, 3000, 30_000, 200])[:, None, None]
    values = (smooth(5, 12, 10) * scale).astype(np.uint16)
    tifffile.imwrite(tmp_path / "five.ome.tif", values, metadata={"axes": "CYX"})
    result = draw(model, tmp_path / "five.ome.tif", tmp_path / "out")
    assert [one.high for one in result.stack.ranges] == [255, 511, 4095, 32767, 255]
    sample = load(tmp_path / "out" / "sample_01.ome.tif")
    assert np.array_equal(np.round(shrunk(sample[0])), values)
    tifffile.imwrite(tmp_path / "one.tif", values[2])
    draw(model, tmp_path / "one.tif", tmp_path / "alone")
    alone = load(tmp_path / "alone" / "sample_01.tif")[0, 0]
    assert np.array_equal(sample[0, 2], alone), "a channel alone gives the same"


@pytest.mark.parametrize(("channels", "end"), [(4, "511 are"), (5, "4095 … are")])
def test_of_many_ranges_four_are_named_and_that_there_are_more(
    channels: int, end: str, model: SuperResolver, tmp_path: Path
) -> None:
    scale = np.array([30, 300, 1000, 3000, 30_000])[:channels, None, None]
    values = (smooth(channels, 12, 10) * scale).astype(np.uint16)
    tifffile.imwrite(tmp_path / "many.ome.tif", values, metadata={"axes": "CYX"})
    notes = read_any(model, tmp_path / "many.ome.tif", limits=LIMITS).notes
    assert sum(end in note for note in notes) == 1


def test_the_picture_of_an_array_shows_how_its_values_spread(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(stack_sheet, "sheet", lambda result, text: shown.append(result))
    np.save(tmp_path / "a.npy", np.round(255 * smooth(12, 10)).astype(np.uint8))
    stack = read_any(model, tmp_path / "a.npy", limits=LIMITS)
    assert isinstance(stack, Stack)
    drawn = np.random.default_rng(0).integers(0, 256, (3, 1, 1, 24, 20), np.uint8)
    stack_sheet.stack_sheet(stack, drawn, 2, Sampling(samples=3))
    spread = (drawn[:, 0, 0] / 255).std(0, ddof=1)
    assert np.allclose(shown[0].std.numpy(), spread, atol=1e-6)
    assert np.allclose(shown[0].mean.numpy(), drawn[:, 0].mean(0) / 255, atol=1e-6)


def test_the_picture_of_an_array_leaves_out_what_exploded(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, strips = list[Any](), stack_drawing._strips

    def exploding(*of: Any) -> Any:
        for index, top, pixels, _ in strips(*of):
            yield index, top, pixels * (index != 1), index == 1

    monkeypatch.setattr(stack_drawing, "_strips", exploding)
    monkeypatch.setattr(stack_sheet, "sheet", watched(shown))
    np.save(tmp_path / "a.npy", smooth(12, 10).astype(np.float32))
    result = draw(model, tmp_path / "a.npy", tmp_path / "out", 4, how="0,1")
    assert result.exploded == [False, True, False, False]
    mean, std = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("mean", "std"))
    assert np.allclose(shown[0].mean[0], mean, atol=1 / 255)
    assert np.allclose(shown[0].std, std, atol=1 / 255)


@pytest.mark.parametrize(("alone", "pairs"), [(19, 0), (0, 4), (0, 6), (0, 10), (2, 9), (3, 0)])
def test_the_interval_holds_one_more_draw_as_often_as_it_says(alone: int, pairs: int) -> None:
    drawn = np.random.default_rng(0).uniform(size=(100_000, alone + pairs + 1))
    some, more = np.concatenate([drawn[:, :-1], 1 - drawn[:, alone:-1]], 1), drawn[:, -1]
    low, high = np.quantile(some, (LOWER, UPPER), axis=1, method="weibull")
    held = np.mean((low < more) & (more < high))
    assert held == pytest.approx(between_ranks(alone, pairs), abs=4 * 0.4 / 100_000**0.5)


@pytest.mark.parametrize(("antithetic", "share"), [(False, 2 / 4), (True, 7 / 12)])
def test_what_exploded_does_not_widen_the_share_of_the_interval(
    antithetic: bool, share: float, model: SuperResolver, tmp_path: Path
) -> None:
    """Three of four samples are left in the plane with the fewest; where none is, all count."""
    np.save(tmp_path / "a.npy", smooth(5, 12, 10))
    sampling = model.sampling(4, antithetic=antithetic)
    stack = read_stack(model, tmp_path / "a.npy", LIMITS)
    result = draw_into(model, stack, sampling, tmp_path / "out")
    assert isinstance(result, StackResult)
    assert not result.exploded_planes.any()
    result.exploded_planes[1, 1] = True
    result.exploded_planes[:, 2] = True
    assert result.report()["interval"]["share"] == pytest.approx(share)


def test_colours_are_drawn_together_as_the_picture_is(model: SuperResolver, tmp_path: Path) -> None:
    values = np.moveaxis(smooth(3, 12, 10), 0, 2)
    bytes_ = np.round(values * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", bytes_, photometric="rgb")
    draw(model, tmp_path / "rgb.tif", tmp_path / "out")
    drawn = tifffile.imread(tmp_path / "out" / "sample_00.tif")
    y = torch.from_numpy(bytes_).permute(2, 0, 1).float() / 255
    result = model.run(y, model.sampling(2))
    assert np.array_equal(drawn, result.pixels[0].permute(1, 2, 0).numpy())


def test_an_ome_tiff_keeps_axes_names_and_finer_sizes(model: SuperResolver, tmp_path: Path) -> None:
    values = (smooth(2, 2, 12, 10) * 4000).astype(np.uint16)
    metadata = {
        "axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.4,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 2.0, "Channel": {"Name": ["DAPI", "GFP"]},
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "c.ome.tif", values, metadata=metadata)
    draw(model, tmp_path / "c.ome.tif", tmp_path / "out")
    for name in ("sample_00", "std"):
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.ome.tif") as file:
            assert file.series[0].axes == "ZCYX"
            assert file.ome_metadata is not None
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.25, 0.2)
        assert pixels["PhysicalSizeZ"] == 2
        assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "GFP"]


def test_every_channel_of_an_ome_tiff_keeps_what_is_said_of_it_alone(
    model: SuperResolver, tmp_path: Path
) -> None:
    told = [{"Name": "DAPI", "EmissionWavelength": "461"}, {}, {"Color": "-1"}]
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"'
        + "".join(f' {name}="{value}"' for name, value in one.items())
        + "/>"
        for i, one in enumerate(told)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" DimensionOrder="XYCZT" SizeX="10" '
        f'SizeY="12" SizeZ="1" SizeC="3" SizeT="1">{channels}<TiffData/></Pixels></Image></OME>'
    )
    values = (smooth(3, 12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "c.ome.tif", values, metadata=None, description=xml,
                     photometric="minisblack")  # fmt: skip
    draw(model, tmp_path / "c.ome.tif", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "std.ome.tif") as file:
        found = ElementTree.fromstring(file.ome_metadata or "").iterfind(".//{*}Channel")
    kept = {"Name", "EmissionWavelength", "Color"}
    assert [{k: v for k, v in one.attrib.items() if k in kept} for one in found] == told


def test_an_imagej_stack_stays_one(model: SuperResolver, tmp_path: Path) -> None:
    values = (smooth(3, 12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "j.tif", values, imagej=True, resolution=(4.0, 4.0),
        metadata={
            "axes": "ZYX", "spacing": 1.5, "unit": "um", "yunit": "mm", "tunit": "sec",
            "xorigin": 3.0, "yorigin": 2.5, "zorigin": 1.0,
        },
    )  # fmt: skip
    draw(model, tmp_path / "j.tif", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        assert file.is_imagej
        assert file.series[0].shape == (3, 24, 20)
        told = file.imagej_metadata or {}
        assert told["spacing"] == 1.5
        assert (told["yunit"], told["tunit"]) == ("mm", "sec")
        assert [told[f"{axis}origin"] for axis in "xyz"] == [6, 5, 1], "in pixels"
        assert file.pages.first.tags["XResolution"].value == (8, 1)


def test_names_in_an_ome_tiff_are_no_numbers(model: SuperResolver, tmp_path: Path) -> None:
    names, path = ["007", "1,2", "1e3", "true", "µ & <x>"], tmp_path / "n.ome.tif"
    tifffile.imwrite(
        path, (smooth(5, 12, 10) * 4000).astype(np.uint16),
        metadata={
            "axes": "CYX", "Name": "0012", "PhysicalSizeX": 0.5, "PhysicalSizeY": "0,4",
            "Channel": {"Name": names, "Fluor": ["1e2"] * 5, "Color": [-16776961] * 5},
        },
    )  # fmt: skip
    draw(model, path, tmp_path / "out")
    for name in ("sample_00", "std"):
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.ome.tif") as file:
            (image,) = ElementTree.fromstring(file.ome_metadata or "").iterfind("{*}Image")
        assert image.get("Name") == "0012"
        channels = list(image.iterfind("{*}Pixels/{*}Channel"))
        assert [one.get("Name") for one in channels] == names
        assert {one.get("Fluor") for one in channels} == {"1e2"}
        assert {one.get("Color") for one in channels} == {"-16776961"}
        sizes = next(image.iterfind("{*}Pixels")).attrib
        assert float(sizes["PhysicalSizeX"]) == 0.25
        assert "PhysicalSizeY" not in sizes


def test_a_tiff_is_turned_upright_and_keeps_profile_and_no_data(
    model: SuperResolver, tmp_path: Path
) -> None:
    values = (smooth(10, 12) * 60_000).astype(np.uint16)
    values[0, 0] = 7
    tifffile.imwrite(
        tmp_path / "t.tif", values, metadata=None, iccprofile=b"profile", compression="zlib",
        extratags=[(274, 3, 1, 6, True), (42113, 2, 0, "7", True), (271, 2, 0, "Leica", True)],
    )  # fmt: skip
    result = draw(model, tmp_path / "t.tif", tmp_path / "out")
    assert result.stack.array.layout.size == (12, 10)
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        tags = file.pages.first.tags
        assert file.asarray()[0, -1] == 7
        assert 274 not in tags
        assert (tags[34675].value, tags[42113].value, tags[271].value) == (b"profile", "7", "Leica")
        assert tifffile.COMPRESSION(file.pages.first.compression).name == "ADOBE_DEFLATE"
    with tifffile.TiffFile(tmp_path / "out" / "std.tif") as file:
        assert file.pages.first.tags[42113].value == "nan"
        assert np.isnan(file.asarray()[0, -1])
    upright = np.rot90(values, 3)
    back = shrunk(tifffile.imread(tmp_path / "out" / "sample_00.tif"))
    assert np.array_equal(np.round(back)[6:], upright[6:])


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("axes", ["YXS", "SYX", "ZYXS", "ZSYX"])
def test_the_alpha_of_a_tiff_says_what_is_missing_and_is_not_drawn(
    axes: str, large: bool, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 bits; 8 bits of one page are a picture."""
    if large:
        monkeypatch.setattr(tiff, "LARGE", 100)
        monkeypatch.setattr(tiff, "TILE", 16)
    pages = 2 if "Z" in axes else 1
    alpha = np.linspace(100, 65535, pages * 12 * 10).reshape(pages, 1, 12, 10)
    alpha[0, 0, :3, :2] = 0
    planes = np.concatenate([60_000 * smooth(pages, 3, 12, 10), alpha], 1).astype(np.uint16)
    layout = Layout(axes, tuple({"Z": 2, "Y": 12, "X": 10, "S": 4}[axis] for axis in axes))
    tifffile.imwrite(
        tmp_path / "a.tif", layout.from_planes(planes), photometric="rgb", compression="zlib",
        planarconfig="contig" if axes.endswith("S") else "separate", metadata={"axes": axes},
        extrasamples=["assocalpha"],
    )  # fmt: skip
    result = draw(model, tmp_path / "a.tif", tmp_path / "out")
    assert any("alpha" in note for note in result.stack.notes)
    assert len(result.stack.ranges) == 1, "colours, drawn together"
    assert np.array_equal(result.stack.array.missing.any(1), planes[:, 3] == 0)
    given = TIFF().read(tmp_path / "a.tif", LIMITS)
    for name in (*result.samples, "mean.tif", "std.tif"):
        with tifffile.TiffFile(tmp_path / "out" / name) as file:
            assert file.series[0].axes == axes
            assert [int(one) for one in file.pages.first.extrasamples] == [1]
            assert file.pages.first.is_tiled == large
            doubled = Layout(axes, file.series[0].shape).to_planes(file.asarray())
        assert np.array_equal(doubled[:, 3], planes[:, 3].repeat(2, 1).repeat(2, 2))
        found = TIFF().read(tmp_path / "out" / name, LIMITS)
        assert np.array_equal(found.missing, given.missing.repeat(2, 2).repeat(2, 3))
    small = read_any(model, tmp_path / "a.tif", "none", LIMITS)
    assert isinstance(small, Stack)
    assert small.array.missing[0, 0].sum() == 2
    assert small.array.carried.opaque[-1, 0, -1, -1] == planes[-1, 3, -2:, -2:].min()


@pytest.mark.parametrize(
    ("dtype", "samples", "told", "kept"),
    [
        ("uint8", 4, [], [0]),
        ("uint16", 4, [], [0]),
        ("uint8", 5, [0], [0, 0]),
        ("uint16", 5, [2], [0, 2]),
    ],
)
def test_samples_that_a_tiff_does_not_explain_are_drawn_and_stay_unexplained(
    dtype: str, samples: int, told: list[int], kept: list[int], model: SuperResolver, tmp_path: Path
) -> None:
    """Near infrared as a fourth sample, of which the tag says too little or nothing."""
    path, top = tmp_path / "n.tif", np.iinfo(dtype).max
    values = (top * np.moveaxis(smooth(samples, 12, 10), 0, -1)).astype(dtype)
    tifffile.imwrite(
        path, values, photometric="rgb", metadata=None, extrasamples=[*told, *kept][: len(kept)]
    )
    whole, short = (
        struct.pack("<HHI", 338 if n else 336, 3, n or 1) for n in (len(kept), len(told))
    )
    path.write_bytes(path.read_bytes().replace(whole, short, 1))
    with tifffile.TiffFile(path) as file:
        assert [int(one) for one in file.pages.first.extrasamples] == told
    result = draw(model, path, tmp_path / "out")
    drawn = samples - kept.count(2)
    assert result.stack.array.values.shape[1] == drawn
    for name in (*result.samples, "mean.tif"):
        with tifffile.TiffFile(tmp_path / "out" / name) as file:
            assert [int(one) for one in file.pages.first.extrasamples] == kept
    made = TIFF().read(tmp_path / "out" / "sample_01.tif", LIMITS)
    assert np.array_equal(np.round(shrunk(made.values)), result.stack.array.values)
    small = read_any(model, path, "none", LIMITS)
    assert isinstance(small, Stack)
    assert small.array.values.shape[1] == drawn


@pytest.mark.parametrize(
    ("tag", "kind", "value", "kept"),
    [
        ("ResolutionUnit", "H", 0, ((600, 1), 1)),
        ("ResolutionUnit", "H", 9, ((600, 1), 1)),
        ("XResolution", "f", 300, ((1, 1), 1)),
        ("XResolution", "H", 300, ((1, 1), 1)),
    ],
)
def test_an_odd_resolution_of_a_tiff_costs_no_result(
    tag: str, kind: str, value: float, kept: object, model: SuperResolver, tmp_path: Path
) -> None:
    path = tmp_path / "r.tif"
    tifffile.imwrite(path, (smooth(12, 10) * 4000).astype(np.uint16), resolution=(300, 300))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(value, dtype=kind)
    draw(model, path, tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        tags = file.pages.first.tags
        assert (tags["XResolution"].value, tags["ResolutionUnit"].value) == kept


@pytest.mark.parametrize("size", ["0.5 um", [0.5], None])
def test_a_size_that_is_no_number_is_kept_as_it_is(
    size: object, model: SuperResolver, tmp_path: Path
) -> None:
    values = (smooth(12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", values, metadata={"PhysicalSizeX": size})
    draw(model, tmp_path / "s.tif", tmp_path / "out")
    found = TIFF().read(tmp_path / "out" / "sample_00.tif", LIMITS)
    assert found.carried.metadata["PhysicalSizeX"] == size


def test_what_was_packed_in_any_way_is_packed(model: SuperResolver, tmp_path: Path) -> None:
    values = (smooth(12, 10) * 60_000).astype(np.uint16)
    for packing, kept in (("packbits", "ADOBE_DEFLATE"), (None, "NONE")):
        Image.fromarray(values).save(tmp_path / "p.tif", compression=packing)
        result = draw(model, tmp_path / "p.tif", tmp_path / "out")
        for name in (*result.samples, "std.tif"):
            with tifffile.TiffFile(tmp_path / "out" / name) as file:
                assert tifffile.COMPRESSION(file.pages.first.compression).name == kept


def test_texts_of_a_tiff_that_are_not_ascii_are_kept(
    model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {271: "Zeiß", 272: "Été", 315: "Jürgen 写真", 33432: "© 2020 Jürgen"}
    tags = [(code, 2, 0, text.encode(), True) for code, text in texts.items()]
    tags[0] = (271, 2, 0, "Zeiß".encode("cp1252"), True)  # as many programs write it
    values = (smooth(12, 10) * 4000).astype(np.uint16)
    for name, how in (("plain", {}), ("imagej", {"imagej": True})):
        plain = {"metadata": None, "description": "20 µs".encode()}
        options: dict[str, Any] = {"extratags": tags, **(how or plain)}
        tifffile.imwrite(tmp_path / f"{name}.tif", values, **options)
        arguments = ["upscale", str(tmp_path / f"{name}.tif"), "--scale", "2", "-n", "2"]
        arguments += ["--model", model_folder, "--out", str(tmp_path / "out")]
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        for made in ("sample_01", "std"):
            with tifffile.TiffFile(tmp_path / "out" / name / f"{made}.tif") as file:
                assert {code: file.pages.first.tags[code].value for code in texts} == texts
                assert how or file.pages.first.description == "20 µs"


def test_a_unit_of_imagej_that_is_not_ascii_is_kept(model: SuperResolver, tmp_path: Path) -> None:
    values = (smooth(2, 12, 10) * 4000).astype(np.uint16)
    told = "ImageJ=1.53a\nimages=2\nslices=2\nspacing=1.5\nunit=µm\n"
    tifffile.imwrite(tmp_path / "j.tif", values, description=told.encode(), metadata=None)
    draw(model, tmp_path / "j.tif", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        assert file.is_imagej
        assert (file.imagej_metadata or {})["unit"] == "\\u00B5m"  # as ImageJ writes it


@pytest.mark.parametrize(
    "told",
    [
        "cf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n",
        "cf=0\nc0=-273.15\nc1=0.01\nvunit=\\u00B0C\nzeroclip=true\n",
        "cf=1\nc0=1.5\nc1=2.0\nc2=0.25\nvunit=OD\n",
        "cf=21\nvunit=OD\n",
        "vunit=mm\n",
    ],
    ids=["signed", "straight", "curve", "OD", "unit"],
)
def test_what_values_of_imagej_stand_for_is_kept(
    told: str, model: SuperResolver, tmp_path: Path
) -> None:
    """Of distances what is added to values is none, and a curve says nothing of them."""
    values = (20_000 + smooth(2, 12, 10) * 30_000).astype(np.uint16)
    before = dict(line.split("=") for line in told.splitlines())
    tifffile.imwrite(
        tmp_path / "j.tif", values, description=f"ImageJ=1.54f\nimages=2\nslices=2\n{told}",
        metadata=None,
    )  # fmt: skip
    draw(model, tmp_path / "j.tif", tmp_path / "out")
    for name in ("sample_00", "mean", "lower", "std"):
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.tif") as file:
            lines = str(file.pages.first.tags[270].value).splitlines()
        found = dict(line.split("=") for line in lines)
        kept = {key: found[key] for key in found if key in {*before, "cf", "c0"}}
        if name != "std" or "cf" not in before:
            assert kept == before
        else:
            assert kept == ({**before, "c0": "0"} if before["cf"] == "0" else {})


@pytest.mark.parametrize(
    ("tag", "value", "sentence"),
    [
        ("Predictor", 3, "the predictor FLOATINGPOINT"),
        ("BitsPerSample", 12, "12 bits a value"),
        ("Compression", 5, "is packed by LZW"),
    ],
)
def test_what_needs_another_package_is_not_called_damaged(
    tag: str, value: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.tif"
    tifffile.imwrite(
        path, (smooth(12, 10) * 4000).astype(np.uint16), metadata=None, compression="zlib",
        predictor=True,
    )  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(value)
    monkeypatch.setattr(tiff, "_has_codecs", lambda: False)
    with pytest.raises(InputError, match=rf"p\.tif .*{sentence}.* needs imagecodecs: pip install"):
        TIFF().read(path, LIMITS)


@pytest.mark.parametrize("kind", ["colours", "pages", "order"])
def test_what_imagej_cannot_hold_is_written_as_a_tiff_of_the_same_axes(
    kind: str, model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours that are not bytes; and axes in another order, or of which ImageJ says nothing."""
    values = np.round(smooth(2, 3, 12, 10) * 255).astype(np.uint8)
    values, told = {
        "colours": (np.moveaxis(values[0], 0, -1), "slices=1\nmode=composite\n"),
        "pages": (values[0], "unit=\\u00B5m\n"),
        "order": (values, "slices=2\nframes=3\norder=ctz\n"),
    }[kind]
    path, lut = tmp_path / "j.tif", np.zeros((3, 256), np.uint8)
    tags = tifffile.imagej_metadata_tag({"LUTs": [lut], "Labels": ["a"], "Info": "b"}, "<")
    tifffile.imwrite(
        path, values, description=f"ImageJ=1.54f\nimages=1\n{told}", metadata=None, extratags=tags,
        photometric="rgb" if kind == "colours" else "minisblack",
    )  # fmt: skip
    before = TIFF().read(path, LIMITS)
    arguments = ("upscale", str(path), "--scale", "2", "-n", "2", "--model", model_folder)
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    for name in ("sample_01", "mean", "std"):
        with tifffile.TiffFile(tmp_path / "out" / "j" / f"{name}.tif") as file:
            assert file.is_imagej == (kind == "colours" and name == "sample_01")
            shows = tifffile.PHOTOMETRIC(file.pages.first.photometric).name
            assert shows == ("RGB" if kind == "colours" else "MINISBLACK")
        made = TIFF().read(tmp_path / "out" / "j" / f"{name}.tif", LIMITS)
        assert made.layout.axes == before.layout.axes
        assert made.values.shape[:2] == before.values.shape[:2]
        assert made.carried.metadata["Info"] == "b"


@pytest.mark.parametrize("kind", ["pages", "one", "geo"])
def test_where_0_is_white_it_stays_white(
    kind: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.round(smooth(2, 12, 10) * 255).astype(np.uint8 if kind == "pages" else np.uint16)
    path, shown = tmp_path / "w.tif", list[Any]()
    if kind == "geo":
        rasterio = pytest.importorskip("rasterio")
        with rasterio.open(
            path, "w", driver="GTiff", height=12, width=10, count=1, dtype="uint16",
            crs="EPSG:32632", transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_700_000),
            photometric="miniswhite",
        ) as target:  # fmt: skip
            target.write(values[:1])
    else:
        kept = values if kind == "pages" else values[0]
        tifffile.imwrite(path, kept, photometric="miniswhite", metadata=None)
    monkeypatch.setattr(stack_sheet, "sheet", watched(shown))
    result = draw(model, path, tmp_path / "out")
    assert all(result.round_trip_exact)
    for name in (*result.samples, "mean.tif", "lower.tif"):
        with tifffile.TiffFile(tmp_path / "out" / name) as file:
            assert {int(page.aspage().photometric) for page in file.pages} == {0}
    page = len(result.stack.array.values) // 2
    sample = load(tmp_path / "out" / "sample_01.tif")[page, 0]
    assert np.array_equal(np.round(shrunk(sample)), values[page])
    assert np.allclose(shown[0].y[0], 1 - values[page] / 255, atol=1e-6)
    assert np.array_equal(shown[0].pixels[1, 0], 255 - sample)


def test_no_data_at_the_end_of_the_floats_is_drawn_without_a_warning(
    model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squares of it, and it in units of the range, are beyond all numbers."""
    values, nothing = smooth(1, 12, 10) / 2, float(np.finfo(np.float64).min)
    values[0, 3:5, 4] = nothing
    geotiff(tmp_path / "g.tif", values, nodata=nothing).close()
    arguments = ("upscale", str(tmp_path / "g.tif"), "--model", model_folder, "--scale", "2")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        assert run(*arguments, "-n", "2", "--out", str(tmp_path / "out"),
                   monkeypatch=monkeypatch) == 0  # fmt: skip
    for name in ("sample_00", "mean", "std", "lower"):
        found = TIFF().read(tmp_path / "out" / "g" / f"{name}.tif", LIMITS)
        assert found.missing.sum() == 8
        assert float(np.abs(found.values[~found.missing]).max()) < 1


@pytest.mark.parametrize("end", [-FLOAT32, -3.4e38, FLOAT32])
def test_the_end_of_the_floats_is_drawn_and_said_to_look_like_no_data(
    end: float, model: SuperResolver, tmp_path: Path
) -> None:
    values = smooth(12, 10).astype(np.float32)
    values[3:5, 4] = end
    np.save(tmp_path / "a.npy", values)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        result = draw(model, tmp_path / "a.npy", tmp_path / "out")
    assert any("mark it as NaN" in note for note in result.stack.notes)
    for name in ("sample_00", "mean", "std", "lower"):
        assert np.isfinite(np.load(tmp_path / "out" / f"{name}.npy")).all()
    H = downscaling((8, 8), (4, 4), "bicubic")
    trip = RoundTrip(torch.rand(1, 1, 4, 4), H, levels=None)
    trip.add(torch.full((1, 1, 8, 8), math.nan, dtype=torch.float64))
    assert trip.largest == math.inf


@pytest.mark.parametrize("text", ["dose 5 Gy", "42", '{"dose": 5}'])
@pytest.mark.parametrize("kept", [{}, {"metadata": {"axes": "YX", "stain": "DAPI"}}])
def test_a_text_before_what_tifffile_says_is_kept(
    kept: dict[str, Any], text: str, model: SuperResolver, tmp_path: Path
) -> None:
    values = (smooth(12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, description=text, **kept)
    draw(model, tmp_path / "a.tif", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        page = file.pages.first
        assert page.description == text
        told = {"shape": [24, 20], "axes": "YX", **kept.get("metadata", {})}
        assert json.loads(page.description1) == told


@pytest.mark.parametrize("packing", ["jpeg", "webp", "lzw", "packbits"])
def test_a_geotiff_is_packed_without_loss(
    packing: str, model: SuperResolver, tmp_path: Path
) -> None:
    rasterio = pytest.importorskip("rasterio")
    values = np.round(255 * smooth(3, 12, 10)).astype(np.uint8)
    with rasterio.open(
        tmp_path / "g.tif", "w", driver="GTiff", height=12, width=10, count=3, dtype="uint8",
        crs="EPSG:32632", transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_700_000),
        compress=packing,
    ) as target:  # fmt: skip
        target.write(values)
    result = draw(model, tmp_path / "g.tif", tmp_path / "out")
    given = load(tmp_path / "g.tif")[0]
    kept = packing if packing in ("lzw", "packbits") else "deflate"
    for name in (*result.samples, "mean.tif", "std.tif"):
        with rasterio.open(tmp_path / "out" / name) as found:
            assert found.profile["compress"] == kept
            if name in result.samples:
                assert np.array_equal(np.round(shrunk(found.read())), given)


def test_a_geotiff_keeps_its_place(model: SuperResolver, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    transform = rasterio.Affine(10, 0, 600_000, 0, -10, 5_700_000)
    values = (smooth(4, 12, 10) * 3000).astype(np.uint16)
    values[:, 0, 0] = 0
    with rasterio.open(
        tmp_path / "g.tif", "w", driver="GTiff", height=12, width=10, count=4, dtype="uint16",
        crs="EPSG:32632", transform=transform, nodata=0, compress="lzw",
    ) as target:  # fmt: skip
        target.write(values)
        target.set_band_description(4, "NIR")
        target.update_tags(MISSION="S2")
    result = draw(model, tmp_path / "g.tif", tmp_path / "out")
    for name in (*result.samples, "mean.tif", "std.tif"):
        with rasterio.open(tmp_path / "out" / name) as found:
            assert found.crs.to_epsg() == 32632
            assert found.transform == rasterio.Affine(5, 0, 600_000, 0, -5, 5_700_000)
            assert tuple(found.bounds) == (600_000, 5_699_880, 600_100, 5_700_000)
            assert found.descriptions[3] == "NIR"
            assert found.tags()["MISSION"] == "S2"
            pixels = found.read()
            empty = np.isnan(pixels) if pixels.dtype.kind == "f" else pixels == found.nodata
        assert empty[:, :2, :2].all()
        assert empty.sum() == 16
    with rasterio.open(tmp_path / "out" / "sample_01.tif") as found:
        assert np.array_equal(np.round(shrunk(found.read()))[:, 4:, 4:], values[:, 4:, 4:])


def geotiff(path: Path, values: np.ndarray, **how: Any) -> Any:
    """A new GeoTIFF, open, with its values in it."""
    rasterio = pytest.importorskip("rasterio")
    target = rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2],
        **{"dtype": values.dtype, "crs": "EPSG:32632", **how},
        transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_700_000),
    )  # fmt: skip
    target.write(values)
    return target


def test_statistics_of_the_input_are_not_those_of_what_is_drawn(
    model: SuperResolver, tmp_path: Path
) -> None:
    """GDAL believes them wherever they stand."""
    with geotiff(tmp_path / "s.tif", 0.2 + 0.2 * smooth(2, 12, 10)) as target:
        target.update_tags(1, STATISTICS_MINIMUM=5, STATISTICS_MAXIMUM=9, SENSOR="S2")
        target.update_tags(STATISTICS_MEAN=7)
    result = draw(model, tmp_path / "s.tif", tmp_path / "out")
    for name in (*result.samples, "mean.tif", "std.tif", "lower.tif", "upper.tif"):
        with pytest.importorskip("rasterio").open(tmp_path / "out" / name) as found:
            tags = found.tags(1)
            assert tags.pop("SENSOR") == "S2"
            assert not [one for one in (*tags, *found.tags()) if "STATISTICS" in one]


@pytest.mark.parametrize("kind", ["geo", "zarr"])
def test_the_offset_of_values_is_none_of_their_std(
    kind: str, model: SuperResolver, tmp_path: Path
) -> None:
    """Kelvin as a hundredth of a number and an offset: their distances are hundredths alone."""
    values, found = (2000 + 500 * smooth(1, 12, 10)).astype(np.int16), {}
    if kind == "geo":
        with geotiff(tmp_path / "t.tif", values) as target:
            target.scales, target.offsets = [0.01], [-273.15]
        result = draw(model, tmp_path / "t.tif", tmp_path / "out")
        for name in (*result.samples, "mean.tif", "std.tif"):
            with pytest.importorskip("rasterio").open(tmp_path / "out" / name) as file:
                found[Path(name).stem] = file.scales[0], file.offsets[0]
    else:
        zarr = pytest.importorskip("zarr")
        packed = {"scale_factor": 0.01, "add_offset": -273.15}
        zarr.create_array(str(tmp_path / "t.zarr"), data=values).attrs.update(packed)
        result = draw(model, tmp_path / "t.zarr", tmp_path / "out")
        for name in (*result.samples, "mean.zarr", "std.zarr"):
            attributes = dict(zarr.open(str(tmp_path / "out" / name), mode="r").attrs)
            found[Path(name).stem] = attributes["scale_factor"], attributes.get("add_offset", 0)
    assert found.pop("std") == (0.01, 0)
    assert found == dict.fromkeys(("sample_00", "sample_01", "mean"), (0.01, -273.15))


@pytest.mark.parametrize("how", [{}, {"compress": "jpeg", "photometric": "ycbcr"}])
def test_what_the_mask_of_a_geotiff_leaves_out_is_missing(
    how: dict[str, str], model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.setattr("cvdvae.imaging.geotiff.ROWS", 7)
    masked = np.zeros((24, 20), bool)
    masked[:5, :6] = True
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        geotiff(tmp_path / "m.tif", np.round(255 * smooth(3, 24, 20)).astype(np.uint8), **how) as t,
    ):
        t.write_mask(~masked)
    result = draw(model, tmp_path / "m.tif", tmp_path / "out")
    assert any("mask" in note for note in result.stack.notes)
    assert result.stack.array.missing.sum() == 3 * masked.sum()
    for name in (*result.samples, "mean.tif", "std.tif"):
        with rasterio.open(tmp_path / "out" / name) as found:
            assert np.array_equal(found.dataset_mask() == 0, masked.repeat(2, 0).repeat(2, 1))
            assert np.isnan(found.read()).any() == (name not in result.samples)
    truth = read_any(model, tmp_path / "m.tif", "none", LIMITS)
    assert isinstance(truth, Stack)
    assert truth.array.missing[0, 0].sum() == 3 * 3  # the five rows end within a pixel


def test_a_geotiff_of_which_a_part_would_not_be_read_is_refused(tmp_path: Path) -> None:
    rasterio, path = pytest.importorskip("rasterio"), tmp_path / "g.tif"
    values = np.round(255 * smooth(1, 12, 10)).astype(np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), geotiff(path, values) as target:
        target.write_mask(values[0] > 100)
    with pytest.raises(InputError, match="mask in a file beside it"):
        read_any(tiny_photos(2), path, limits=LIMITS)
    for append in ("NO", "YES"):
        geotiff(path, values, APPEND_SUBDATASET=append).close()
    with pytest.raises(InputError, match="2 pictures in directories"):
        read_any(tiny_photos(2), path, limits=LIMITS)
    with geotiff(path, values) as target:
        target.build_overviews([2])
    found = read_any(tiny_photos(2), path, limits=LIMITS)
    assert isinstance(found, Stack)
    assert found.pages == 1


@pytest.mark.parametrize("packing", ["none", "deflate"])
def test_a_geotiff_that_a_full_disk_cuts_off_is_not_kept(packing: str, tmp_path: Path) -> None:
    """GDAL writes the last blocks and the directory as it closes a file, and then says nothing."""
    resource = pytest.importorskip("resource")
    values = np.random.default_rng(0).integers(1, 60_000, (1, 24, 20)).astype(np.uint16)
    geotiff(tmp_path / "g.tif", values, compress=packing).close()
    array, planes = GeoTIFF().read(tmp_path / "g.tif", LIMITS), values[None].repeat(4, 2)
    planes = np.random.default_rng(1).permuted(planes.repeat(4, 3), axis=3)
    GeoTIFF().write(tmp_path / "whole.tif", planes, array, 4)
    size = (tmp_path / "whole.tif").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for lost in (1, 60, 400, 1000, size // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - lost, limits[1]))
        try:
            with pytest.raises(OutputError, match=r"cannot write .*cut\.tif"):
                GeoTIFF().write(tmp_path / "cut.tif", planes, array, 4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name for path in tmp_path.iterdir()} == {"g.tif", "whole.tif"}


def test_a_geotiff_that_does_not_hold_what_was_written_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are not there are read as zeros."""
    rasterio = pytest.importorskip("rasterio")
    values = np.round(255 * smooth(1, 24, 20)).astype(np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), geotiff(tmp_path / "g.tif", values) as target:
        target.write_mask(values[0] > 50)
    array = GeoTIFF().read(tmp_path / "g.tif", LIMITS)
    for method in ("write", "write_mask"):
        with monkeypatch.context() as patch:
            patch.setattr(rasterio.io.DatasetWriter, method, lambda *given, **how: None)
            with pytest.raises(OutputError, match=r"cannot write .*out\.tif"):
                GeoTIFF().write(tmp_path / "out.tif", values[None], array, 1)
    GeoTIFF().write(tmp_path / "out.tif", values[None], array, 1)


def test_a_fourth_band_of_eight_bits_is_no_alpha_where_it_is_hardly_ever_opaque(
    model: SuperResolver, tmp_path: Path
) -> None:
    """As GDAL writes red, green, blue and near infrared."""
    values = (200 * smooth(4, 24, 20)).astype(np.uint8)
    values[3, :4, :4] = 0
    with geotiff(tmp_path / "a.tif", values) as target:
        assert target.colorinterp[3].name == "alpha"
    result = draw(model, tmp_path / "a.tif", tmp_path / "out")
    assert len(result.stack.ranges) == 4
    assert not result.stack.array.missing.any()
    assert any("drawn as the others" in note for note in result.stack.notes)
    again = read_stack(model, tmp_path / "out" / "mean.tif", LIMITS)
    assert len(again.ranges) == 4  # nor do its results call it alpha
    assert not again.array.missing.any()


@pytest.mark.parametrize(
    ("dtype", "place", "kind"),
    [("uint8", 4, 2), ("uint16", 4, 1), ("uint16", 2, 2), ("float32", 1, 2), ("uint8", 4, "mask")],
)
def test_the_alpha_of_a_geotiff_says_what_is_missing_and_is_not_drawn(
    dtype: str,
    place: int,
    kind: int | str,
    model: SuperResolver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.setattr("cvdvae.imaging.geotiff.ROWS", 7)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    shows = [rasterio.enums.ColorInterp[name] for name in ("red", "green", "blue")]
    shows.insert(place - 1, rasterio.enums.ColorInterp.alpha)
    alpha = (np.linspace(0.1, 1, 24 * 20).reshape(24, 20) * top).astype(dtype)
    alpha[12:] = top
    alpha[:5, :6] = 0
    values = np.insert((top * smooth(3, 24, 20)).astype(dtype), place - 1, alpha, 0)
    how = {"ALPHA": "PREMULTIPLIED", "photometric": "RGB"} if kind == 1 else {}
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, geotiff(tmp_path / "a.tif", values, **how) as target:
        target.colorinterp = shows
        target.set_band_description(place, "how opaque")
        if kind == "mask":
            target.write_mask((alpha < 100) | (alpha > 120))
    if kind == "mask":
        alpha[(alpha >= 100) & (alpha <= 120)] = 0
    result = draw(model, tmp_path / "a.tif", tmp_path / "out")
    assert any(f"band {place} is its alpha" in note for note in result.stack.notes)
    assert len(result.stack.ranges) == 1, "colours, drawn together"
    assert np.array_equal(result.stack.array.missing[0, 1], alpha == 0)
    for name in (*result.samples, "mean.tif", "std.tif"):
        with rasterio.open(tmp_path / "out" / name) as found:
            pixels, interpreted = found.read(), list(found.colorinterp)
            assert found.descriptions[place - 1] == "how opaque"
        with tifffile.TiffFile(tmp_path / "out" / name) as file:
            assert (1 in file.pages.first.extrasamples) == (kind == 1)
        assert interpreted == shows
        assert np.array_equal(pixels[place - 1], alpha.repeat(2, 0).repeat(2, 1))
        again = GeoTIFF().read(tmp_path / "out" / name, LIMITS)
        assert np.array_equal(again.missing[0, 2], (alpha == 0).repeat(2, 0).repeat(2, 1))
    truth = read_any(model, tmp_path / "a.tif", "none", LIMITS)
    assert isinstance(truth, Stack)
    assert truth.array.missing[0, 0].sum() >= 3 * 3  # the five rows end within a pixel
    assert truth.array.carried.opaque[-1, -1] == alpha[-2:, -2:].min()


def beside(folder: Path, kind: str) -> Path:
    """A GeoTIFF of which something stands in a file beside it."""
    rasterio = pytest.importorskip("rasterio")
    path = folder / ("s.TIFF" if kind == "TIFFW" else "s.tif")
    values = (1000 + 500 * smooth(1, 12, 10)).astype(np.uint16)
    values[0, 3, 4] = 7
    where = {"transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_700_000)}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=12, width=10, dtype="uint16", crs="EPSG:32632",
        **(where if kind == "tif.aux.xml" else {}),
    ) as target:  # fmt: skip
        target.write(values)
    if kind == "tif.aux.xml":
        path.with_name("s.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue><UnitType>K</UnitType>'
            "<Offset>3</Offset><Scale>0.5</Scale></PAMRasterBand></PAMDataset>"
        )
    else:
        path.with_name(f"s.{kind}").write_text("10\n0\n0\n-10\n600005\n5699995\n")
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["tif.aux.xml", "tfw", "wld", "TIFFW"])
def test_what_stands_beside_a_geotiff_is_there_when_it_is_drawn_again(
    kind: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    rasterio = pytest.importorskip("rasterio")
    path, out = beside(tmp_path, kind), tmp_path / "out"
    draw(model, path, out)
    copies = {f"input{path.suffix}": path, f"input.{kind}": path.with_name(f"s.{kind}")}
    assert copies.keys() <= set(json.loads((out / "result.json").read_text())["files"])
    for name, original in copies.items():
        assert (out / name).read_bytes() == original.read_bytes()
    monkeypatch.setattr("cvdvae.batch.replaying.model_of", lambda origin, device, trust: model)
    first = (out / f"sample_01{path.suffix}").read_bytes()
    for place in (tmp_path / "again", out, out):
        replay_into(out / "result.json", place)
        assert {one.name for one in place.iterdir()} == {one.name for one in out.iterdir()}
        assert (place / f"sample_01{path.suffix}").read_bytes() == first
    with rasterio.open(out / f"sample_01{path.suffix}") as found:
        assert found.transform == rasterio.Affine(5, 0, 600_000, 0, -5, 5_700_000)
        if kind == "tif.aux.xml":
            assert (found.nodata, found.scales, found.offsets) == (7, (0.5,), (3,))
            assert (found.read() == 7).sum() == 4
    np.save(tmp_path / "other.npy", smooth(12, 10))
    draw(model, tmp_path / "other.npy", out)
    assert not [one for one in out.iterdir() if one.name in copies]


def test_what_no_geotiff_can_hold_stands_beside_what_is_drawn(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rasterio = pytest.importorskip("rasterio")
    seen = rasterio.crs.CRS.from_proj4("+proj=nsper +h=3000000 +lat_0=-20 +lon_0=145")
    geotiff(tmp_path / "g.tif", (1000 * smooth(1, 12, 10)).astype(np.uint16), crs=seen).close()
    assert (tmp_path / "g.tif.aux.xml").is_file()
    out = tmp_path / "out"
    for _ in range(2):
        draw(model, tmp_path / "g.tif", out)
        listed = json.loads((out / "result.json").read_text())["files"]
        assert {one.name for one in out.iterdir()} == {*listed, "result.json"}
        for name in ("sample_01", "std"):
            with rasterio.open(out / f"{name}.tif") as found:
                assert found.crs == seen

    def full(*given: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "save_png", full)
        with pytest.raises(OutputError, match="the disk is full"):
            draw(model, tmp_path / "g.tif", tmp_path / "full")
    assert not (tmp_path / "full").exists()
    small = read_any(model, tmp_path / "g.tif", "none", LIMITS)
    assert isinstance(small, Stack)
    assert small.array.carried.profile["crs"] == seen
    np.save(tmp_path / "other.npy", smooth(12, 10))
    draw(model, tmp_path / "other.npy", out)
    assert not list(out.glob("*.xml"))


@pytest.mark.parametrize(("dtype", "samples"), [("uint16", 1), ("uint8", 3)])
def test_a_tiff_with_a_world_file_alone_keeps_its_place(
    dtype: str, samples: int, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As orthophotos come; where nothing can read it, that is said."""
    rasterio, path = pytest.importorskip("rasterio"), tmp_path / "o.tif"
    values = np.round(255 * np.moveaxis(smooth(samples, 12, 10), 0, -1)).astype(dtype).squeeze()
    tifffile.imwrite(path, values, metadata=None)
    path.with_suffix(".tfw").write_text("10\n0\n0\n-10\n600005\n5699995\n")
    draw(model, path, tmp_path / "out")
    assert (tmp_path / "out" / "input.tfw").is_file()
    for name in ("sample_01", "std"):
        with rasterio.open(tmp_path / "out" / f"{name}.tif") as found:
            assert found.transform == rasterio.Affine(5, 0, 600_000, 0, -5, 5_700_000)
    monkeypatch.setattr(geotiff_module, "find_spec", lambda name: None)
    form = format_of(path)
    assert isinstance(form, TIFF)
    assert any("needs rasterio" in note for note in form.read(path, LIMITS).notes)


def test_a_palette_with_a_world_file_stays_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    Image.fromarray(np.zeros((12, 10), np.uint8)).convert("P").save(path)
    path.with_suffix(".wld").write_text("10\n0\n0\n-10\n600005\n5699995\n")
    assert format_of(path) is None


@pytest.mark.parametrize("counted", ["Area", "Point"])
def test_ground_control_points_stay_where_they_are(
    counted: str, model: SuperResolver, tmp_path: Path
) -> None:
    rasterio, path = pytest.importorskip("rasterio"), tmp_path / "p.tif"
    points = [
        rasterio.control.GroundControlPoint(row=row, col=col, x=600_000 + 10 * col, y=row, z=0)
        for row, col in ((0, 0), (0, 10), (12, 0))
    ]
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=12, width=10, dtype="uint16", crs="EPSG:32632",
        gcps=points,
    ) as target:  # fmt: skip
        target.write((1000 * smooth(1, 12, 10)).astype(np.uint16))
        target.update_tags(AREA_OR_POINT=counted)

    def places(path: Path) -> list[tuple[float, ...]]:
        with rasterio.open(path) as found:
            return [(p.row, p.col, p.x, p.y) for p in found.gcps[0]]

    draw(model, path, tmp_path / "out")
    doubled = [(2 * row, 2 * col, x, y) for row, col, x, y in places(path)]
    assert places(tmp_path / "out" / "sample_01.tif") == doubled
    assert places(tmp_path / "out" / "std.tif") == doubled


def seen_from_space(folder: Path) -> tuple[Any, np.ndarray]:
    """An array whose reference system stands beside its file, and its planes."""
    rasterio = pytest.importorskip("rasterio")
    values = (1000 * smooth(1, 12, 10)).astype(np.uint16)
    crs = rasterio.crs.CRS.from_proj4("+proj=nsper +h=3000000 +lat_0=-20 +lon_0=145")
    geotiff(folder / "space.tif", values, crs=crs).close()
    return GeoTIFF().read(folder / "space.tif", LIMITS), values[None]


def test_a_geotiff_that_is_not_kept_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array, planes = seen_from_space(tmp_path)
    path, aside = tmp_path / "out" / "o.tif", tmp_path / "out" / "o.tif.aux.xml"

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for older in (None, b"<PAMDataset />"):
        if older is not None:
            aside.write_bytes(older)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left"):
                GeoTIFF().write(path, planes, array, 1)
        found = {one.name: one.read_bytes() for one in path.parent.iterdir()}
        assert found == ({} if older is None else {aside.name: older})


def test_a_geotiff_does_not_get_what_stood_beside_an_older_one(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    array, planes = seen_from_space(tmp_path)
    geotiff(tmp_path / "g.tif", planes[0]).close()
    path, aside = tmp_path / "o.tif", tmp_path / "o.tif.aux.xml"
    GeoTIFF().write(path, planes, array, 1)
    assert aside.is_file()
    GeoTIFF().write(path, planes, GeoTIFF().read(tmp_path / "g.tif", LIMITS), 1)
    assert not aside.exists()
    with rasterio.open(path) as found:
        assert found.crs.to_epsg() == 32632


@pytest.mark.parametrize("points", [False, True])
def test_a_reference_system_is_tried_once(
    points: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rasterio = pytest.importorskip("rasterio")
    values = (1000 * smooth(1, 12, 10)).astype(np.uint16)
    corner = rasterio.control.GroundControlPoint(row=0, col=0, x=1, y=2, z=0)
    for i, crs in enumerate(("EPSG:32632", "EPSG:32632", "EPSG:32633")):
        where = {"gcps": [corner]} if points else {"transform": rasterio.Affine(2, 0, i, 0, -2, i)}
        with rasterio.open(
            tmp_path / f"{i}.tif", "w", driver="GTiff", count=1, height=12, width=10,
            dtype="uint16", crs=crs, **where,
        ) as target:  # fmt: skip
            target.write(values)
    geotiff(tmp_path / "3.tif", values, crs=None).close()
    tried, make = list[object](), geo_systems.crs_in

    def counted(p: Any) -> Any:
        tried.append(p)
        return make(p)

    monkeypatch.setattr(geo_systems, "crs_in", counted)
    geo_systems.tried.cache_clear()
    found = [GeoTIFF().read(tmp_path / f"{i}.tif", LIMITS) for i in range(4)]
    assert len(tried) == 2
    *placed, nowhere = (array.carried.becomes for array in found)
    assert [crs.to_epsg() for crs in placed] == [32632, 32632, 32633]
    assert nowhere is None


def test_only_what_gdal_refuses_is_left_to_who_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_from_space(tmp_path)

    def failing(error: Exception) -> Callable[..., object]:
        def tried(crs: object, by_points: bool) -> object:
            raise error

        return tried

    monkeypatch.setattr(geotiff_module, "tried", failing(OSError("full")))
    assert GeoTIFF().read(tmp_path / "space.tif", LIMITS).carried.becomes is None
    monkeypatch.setattr(geotiff_module, "tried", failing(ZeroDivisionError("a mistake")))
    with pytest.raises(InputError, match="a mistake"):
        GeoTIFF().read(tmp_path / "space.tif", LIMITS)


@pytest.mark.parametrize(("pages", "to"), [(1, 0), (2, 0), (2, 1), (5, 0), (100, 0), (120, 110)])
def test_a_tiff_whose_pages_lead_in_a_circle_has_them_once_or_is_called_damaged(
    pages: int, to: int, tmp_path: Path
) -> None:
    """tifffile sees circles of fewer than a hundred pages, and would follow others for ever."""
    path = tmp_path / "c.tif"
    values = (smooth(pages, 12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, place = file.pages[to].offset, file.pages.next_page_offset
    assert place is not None
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", first)
    path.write_bytes(data)
    if pages < 100:
        assert np.array_equal(TIFF().read(path, LIMITS).values[:, 0], values)
        return
    assert TIFF().knows(path)
    with pytest.raises(InputError, match=f"its {pages} pages lead in a circle"):
        TIFF().read(path, LIMITS)


@pytest.mark.parametrize("error", [MemoryError, TypeError, AttributeError])
def test_a_mistake_in_a_writer_is_no_trouble_with_a_file(
    error: type[Exception], model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise error("a mistake")

    np.save(tmp_path / "a.npy", smooth(12, 10))
    stack = read_stack(model, tmp_path / "a.npy", LIMITS)
    monkeypatch.setattr(Npy, "write", broken)
    with pytest.raises(error, match="a mistake"):
        stack.write(tmp_path / "b.npy", stack.array.values, stack.array, 1)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_others_put_beside_an_input_hinders_no_replay(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that shows it leaves statistics there; in another folder such a file is refused."""

    out, note = tmp_path / "out", "<PAMDataset />"
    geotiff(tmp_path / "g.tif", (1000 * smooth(1, 12, 10)).astype(np.uint16)).close()
    draw(model, tmp_path / "g.tif", out)
    (out / "input.tif.aux.xml").write_text(note)
    monkeypatch.setattr("cvdvae.batch.replaying.model_of", lambda origin, device, trust: model)
    for _ in range(2):
        replay_into(out / "result.json", out)
        assert (out / "input.tif.aux.xml").read_text() == note
    before = {one.name: one.read_bytes() for one in out.iterdir()}

    def full(*given: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "save_png", full)
        with pytest.raises(OutputError, match="the disk is full"):
            replay_into(out / "result.json", out)
    assert {one.name: one.read_bytes() for one in out.iterdir()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "input.tif.aux.xml").write_text("of somebody")
    with pytest.raises(OutputError, match=r"input\.tif\.aux\.xml is there already"):
        replay_into(out / "result.json", tmp_path / "other")
    assert (tmp_path / "other" / "input.tif.aux.xml").read_text() == "of somebody"


@pytest.mark.parametrize(
    "name", ["zip:x.tif", "s3:.tif", "GTIFF_DIR:1:x.tif", "s3:/x.tif", "a::b.zarr", "a::b/x.zarr"]
)
def test_a_name_that_looks_like_an_address_is_one_of_a_file(
    name: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values, path = (1000 * smooth(1, 12, 10)).astype(np.uint16), Path(name)
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        zarr.create_array(zarr.storage.LocalStore(path), data=values[0])
    else:
        geotiff(tmp_path / "x.tif", values).close()
        (tmp_path / "x.tif").rename(path)
    result = draw(model, path, path.parent / "s3::out")
    assert all(result.round_trip_exact)
    assert np.array_equal(load(path.parent / "s3::out" / f"input{path.suffix}"), values[None])


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_no_data_of_half_floats_stays_none(
    suffix: str, model: SuperResolver, tmp_path: Path
) -> None:
    """Their samples are wider, where NaN stands for it."""
    values, path = smooth(12, 10).astype(np.float16), tmp_path / f"h{suffix}"
    values[4, 4], values[0, 0] = -9999, -np.inf
    if suffix == ".tif":
        tags = [(42113, 2, 0, "-9999", True)]
        tifffile.imwrite(path, values, metadata=None, extratags=tags)
    else:
        zarr = pytest.importorskip("zarr")
        zarr.create_array(str(path), data=values).attrs.update({"_FillValue": -9999.0})
    draw(model, path, tmp_path / "out")
    holes = np.zeros((24, 20), bool)
    holes[8:10, 8:10] = holes[:2, :2] = True
    for name in ("sample_00", "sample_01", "mean", "std"):
        found = load(tmp_path / "out" / f"{name}{suffix}")[0, 0]
        assert np.array_equal(~np.isfinite(found), holes)
    assert load(tmp_path / "out" / f"sample_00{suffix}")[0, 0, 0, 0] == -np.inf


@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_keeps_its_axes_and_finer_sizes(
    version: int, model: SuperResolver, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "i.zarr"), mode="w", zarr_format=version)
    values = (smooth(2, 12, 10) * 4000).astype(np.uint16)
    group.create_array("0", data=values)
    steps = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    multiscales = [{
        "axes": [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }]  # fmt: skip
    group.attrs.update(
        {"ome": {"multiscales": multiscales}} if version == 3 else {"multiscales": multiscales}
    )
    result = draw(model, tmp_path / "i.zarr", tmp_path / "out")
    assert len(result.stack.ranges) == 2, "channels, not pages"
    made = zarr.open_group(str(tmp_path / "out" / "sample_00.zarr"), mode="r")
    attributes = dict(made.attrs)
    (one,) = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    assert one["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 0.25, 0.25]},
        {"type": "translation", "translation": [0.0, -0.125, -0.125]},
    ]
    assert np.array_equal(np.round(shrunk(made["0"][...])), values)
    chunks = tmp_path / "out" / "sample_00.zarr" / "0"
    assert (chunks / ("0/0/0" if version == 2 else "c/0/0/0")).is_file(), "as OME-NGFF wants them"


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ("z c y x", "ZCYX"),
        ("z t y x", "ZTYX"),
        ("tile c y x", "QCYX"),
        ("depth level y x", "ZQYX"),
        ("date time x y", "TQXY"),
    ],
)
def test_the_axes_of_a_zarr_are_called_by_their_names(names: str, axes: str) -> None:
    assert _axes_of((2, 3, 8, 8), names.split()) == axes


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("separator", [".", "/"])
def test_chunks_of_a_zarr_are_named_as_they_were(
    separator: str, version: int, model: SuperResolver, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    named = {"name": "v2" if version == 2 else "default", "separator": separator}
    zarr.create_array(
        str(tmp_path / "i.zarr"), data=(smooth(12, 10) * 4000).astype(np.uint16),
        zarr_format=version, chunk_key_encoding=named,
    )  # fmt: skip
    draw(model, tmp_path / "i.zarr", tmp_path / "out")
    name = separator.join("00" if version == 2 else "c00")
    assert (tmp_path / "out" / "sample_00.zarr" / name).is_file()


FILL = base64.standard_b64encode(struct.pack("<d", -9999)).decode()
"""As xarray writes it beside floats."""


@pytest.mark.parametrize(
    ("version", "dtype", "fill", "marks", "missing"),
    [
        (3, "float32", 0, {"_FillValue": FILL}, [-9999]),
        (3, "float32", 0, {"_FillValue": "no number"}, []),
        (3, "float64", 0, {"_FillValue": "AAAAAAAA+H8=", "missing_value": -9999.0}, [-9999]),
        (3, "int16", 5, {"_FillValue": -9, "missing_value": -8}, [-9, -8]),
        (3, "uint16", 0, {"_FillValue": -9, "missing_value": 7}, [7]),
        (3, "int16", 0, {"_FillValue": [-9]}, [-9]),
        (3, "int16", 0, {"_FillValue": -9, "missing_value": [-9, -8]}, [-9, -8]),
        (3, "float32", 0, {"missing_value": ["nothing", -9.0, -8.0]}, [-9, -8]),
        (3, "int16", 0, {"missing_value": []}, []),
        (2, "int16", -9, {}, [-9]),
        (2, "int16", None, {"missing_value": -8}, [-8]),
        (2, "float32", -9999, {}, [-9999]),
        (2, "float32", float("nan"), {"_FillValue": -9999.0}, [-9999]),
    ],
)
def test_a_zarr_of_xarray_says_what_stands_for_no_data(
    version: int,
    dtype: str,
    fill: float | None,
    marks: dict[str, object],
    missing: list[float],
    model: SuperResolver,
    tmp_path: Path,
) -> None:
    zarr = pytest.importorskip("zarr")
    values = (100 + 500 * smooth(12, 10)).astype(dtype)
    values[2, [3, 7][: len(missing)]] = missing
    names: dict[str, Any] = {"dimension_names": ["lat", "lon"]} if version == 3 else {}
    array = zarr.create_array(
        str(tmp_path / "x.zarr"), shape=values.shape, dtype=dtype, fill_value=fill,
        zarr_format=version, **names,
    )  # fmt: skip
    array[:] = values
    array.attrs.update(marks if names else {**marks, "_ARRAY_DIMENSIONS": ["lat", "lon"]})
    result = draw(model, tmp_path / "x.zarr", tmp_path / "out")
    assert result.stack.array.missing.sum() == len(missing)
    assert result.stack.ranges[0].low >= 0
    form = format_of(tmp_path / "x.zarr")
    assert form is not None
    for name in (result.samples[0], "std.zarr"):
        made = form.read(tmp_path / "out" / name, LIMITS)
        assert made.missing.sum() == 4 * len(missing), name
        assert (made.values[~made.missing] >= 0).all()
    again = zarr.open_array(str(tmp_path / "out" / result.samples[0]), mode="r")
    assert again.fill_value == fill or fill != fill != again.fill_value != again.fill_value
    assert again.metadata.zarr_format == version


def test_of_several_marks_for_no_data_results_keep_the_first(
    model: SuperResolver, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    values = (100 + 500 * smooth(12, 10)).astype(np.int16)
    values[2, 3], values[2, 7] = -9, -8
    marks = {"_FillValue": [-9], "missing_value": [-8, -9], "valid_min": [0]}
    zarr.create_array(str(tmp_path / "m.zarr"), data=values).attrs.update(marks)
    draw(model, tmp_path / "m.zarr", tmp_path / "out")
    made = zarr.open_array(str(tmp_path / "out" / "sample_00.zarr"), mode="r")
    assert dict(made.attrs) == {"_FillValue": [-9], "missing_value": [-9], "valid_min": [0]}
    assert (made[...] == -9).sum() == 8


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_result_can_be_drawn_again_from_its_folder(
    suffix: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    WRITERS[suffix](tmp_path / f"a{suffix}", (smooth(12, 10) * 900).astype(np.uint16))
    draw(model, tmp_path / f"a{suffix}", tmp_path / "out", how="0,1000")
    monkeypatch.setattr("cvdvae.batch.replaying.model_of", lambda origin, device, trust: model)
    replay_into(tmp_path / "out" / "result.json", tmp_path / "again")
    for name in ("sample_00", "sample_01", "mean"):
        first, second = (load(tmp_path / place / f"{name}{suffix}") for place in ("out", "again"))
        assert np.array_equal(first, second)
    replay_into(tmp_path / "out" / "result.json", tmp_path / "out")  # in place, too
    assert (tmp_path / "out" / f"input{suffix}").exists()


@pytest.mark.parametrize("name", ["plate.zarr/A/1/0", "plate/0.5", "plate.ome.zarr"])
def test_a_zarr_of_any_name_is_drawn_once_more_and_again(
    name: str, model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (smooth(12, 10) * 900).astype(np.uint16)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    write_zarr(tmp_path / name, values)
    arguments = ["upscale", str(tmp_path / name), "--scale", "2", "-n", "2"]
    arguments += ["--model", model_folder, "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert run(*arguments, monkeypatch=monkeypatch) == 0
    (recipe,) = (tmp_path / "out").rglob("result.json")
    again = ("replay", str(recipe), "--trust-model", "--out", str(tmp_path / "again"))
    assert run(*again, monkeypatch=monkeypatch) == 0
    for file in json.loads(recipe.read_text())["files"]:
        assert file == "grid.png" or file.endswith(".zarr")
        if file.startswith("sample"):
            first, second = (load(place / file) for place in (recipe.parent, tmp_path / "again"))
            assert np.array_equal(first, second)
            assert np.array_equal(np.round(shrunk(first[0, 0])), values)


@pytest.mark.parametrize(
    "leads_to", ["private", "..", "../a.zarr/zarr.json", ".", "zarr.json", "missing", "self"]
)
def test_links_in_a_zarr_lead_to_nothing_that_is_not_copied(
    leads_to: str, model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    write_zarr(tmp_path / "a.zarr", (smooth(12, 10) * 900).astype(np.uint16))
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.txt").write_text("secret")
    link = tmp_path / "a.zarr" / "self"
    link.symlink_to(tmp_path / "private" if leads_to == "private" else leads_to)
    arguments = ["upscale", str(tmp_path / "a.zarr"), "--scale", "2", "-n", "2"]
    arguments += ["--model", model_folder, "--out", str(tmp_path / "out")]
    refused = leads_to in ("private", "..", "../a.zarr/zarr.json")
    assert run(*arguments, monkeypatch=monkeypatch) == refused
    found = [path.name for path in (tmp_path / "out").rglob("*")]
    if refused:
        assert "is a link that a copy of" in " ".join(capsys.readouterr().err.split())
        assert "result.json" not in found
    else:
        assert found.count("self") == 1, "links are kept, and not followed"


def test_a_block_that_is_far_larger_than_its_image_is_not_decoded(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    values = np.zeros((16, 16), np.uint8)
    store = zarr.create_array(tmp_path / "a.zarr", shape=(16, 16), chunks=(600, 600), dtype="u1")
    store[...] = values
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), tile=(608, 608))
    for name in ("a.zarr", "a.tif"):
        path, form = tmp_path / name, format_of(tmp_path / name)
        assert form is not None
        assert form.read(path, Limits(608 * 608)).values.shape[2:] == (16, 16)
        with pytest.raises(InputError, match=r"in blocks of .* values, more than the image has"):
            form.read(path, Limits(1000))


@pytest.mark.parametrize("name", ["../input.npy", "input.npy/../../x", "result.json", 3, None])
def test_a_recipe_names_no_file_elsewhere(name: object, tmp_path: Path) -> None:
    data = {"model": "photos-x2", "input": name, "values": {"ranges": []}}
    with pytest.raises(InputError, match="which file beside it"):
        stack_recipe_from_dict(data, tmp_path / "result.json")


def truncated(path: Path) -> None:
    write_plain(path, (smooth(64, 64) * 60_000).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:-100])


def of_a_set(path: Path, missing: bool = False) -> None:
    """The first of two files of an OME-TIFF; the second is larger than it."""
    names = [path.name, "second.ome.tif"]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{max(0, z - 1)}" PlaneCount="1"><UUID FileName="{name}">'
        f"urn:uuid:{index}</UUID></TiffData>"
        for z, (index, name) in enumerate([(0, names[0]), (1, names[1]), (1, names[1])])
    )
    for index, name in enumerate(names[: 1 if missing else 2]):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{index}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" '
            'DimensionOrder="XYZCT" SizeX="10" SizeY="12" SizeZ="3" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        values = (smooth(1 + index, 12, 10) * 4000).astype(np.uint16)
        tifffile.imwrite(path.with_name(name), values, metadata=None, description=xml)


def cut_behind_a_plane(path: Path, share: float = 0.6, **how: Any) -> None:
    values = (smooth(6, 16, 16) * 4000).astype(np.uint16)
    tifffile.imwrite(path, values, photometric="minisblack", **how)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def of_pictures(
    path: Path, *sizes: int, kinds: str = "H", packing: str | None = None, **how: Any
) -> None:
    """Pages that are no pages of one picture, without a word on what they are."""
    with tifffile.TiffWriter(path, ome=path.name.endswith(".ome.tif")) as writer:
        for i, (size, kind) in enumerate(zip(sizes, kinds * len(sizes), strict=False)):
            values = (smooth(size, size) * 4000).astype(kind)
            first: dict[str, Any] = {} if i else {"compression": packing}
            writer.write(values, photometric="minisblack", **first, **how)


def two_written_alone(path: Path) -> None:
    """Each with a text of its own."""
    with tifffile.TiffWriter(path) as writer:
        for i in range(2):
            values = (smooth(12, 10) * 4000).astype(np.uint16)
            writer.write(values, description=f"page {i}", contiguous=False)


def without_a_plane(path: Path) -> None:
    """An OME-TIFF whose description speaks of a plane more than there are."""
    values = (smooth(2, 12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(path, values, metadata={"axes": "ZYX"}, ome=True)
    path.write_bytes(path.read_bytes().replace(b'SizeZ="2"', b'SizeZ="3"'))


def far_no_data(path: Path) -> None:
    """GDAL would read the float that rasterio makes of it, -9.2e18, as -9."""
    pytest.importorskip("rasterio")
    place = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True)]
    values = (100 * smooth(12, 10)).astype(np.int64)
    values[0, 0] = -(2**63)
    told = [*place, (42113, 2, 0, str(-(2**63)), True)]
    tifffile.imwrite(path, values, metadata=None, extratags=told)


def complex_short(path: Path) -> None:
    """As radar images are."""
    geotiff(path, np.ones((1, 4, 4), np.complex64), dtype="complex_int16").close()


def many_pages(path: Path) -> None:
    write_plain(path, np.zeros((200, 4, 4), np.uint16))


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("cut.tif", truncated, "is truncated: it has"),
    ("head.tif", lambda p: p.write_bytes(b"II*\0\x08\0"), "damaged or truncated"),
    ("first.ome.tif", of_a_set, "lie in second.ome.tif: save .* as one file"),
    ("part.ome.tif", lambda p: of_a_set(p, missing=True), "2 of 3 planes of .* in files not here"),
    ("less.ome.tif", without_a_plane, "1 of 3 planes of .* in files not here"),
    ("ij80.tif", lambda p: cut_behind_a_plane(p, 0.8, imagej=True), "is truncated: .* a page"),
    ("ij60.tif", lambda p: cut_behind_a_plane(p, imagej=True), "is truncated: .* a page"),
    (
        "whole-ij.tif",  # as ImageJ writes what is over 4 GB: one page, and all planes behind it
        lambda p: cut_behind_a_plane(p, imagej=True, truncate=True),
        "is truncated, or .* of 6 planes, not of 1",
    ),
    ("cut.ome.tif", lambda p: cut_behind_a_plane(p, ome=True), "is truncated: .* a page"),
    ("zip.tif", lambda p: cut_behind_a_plane(p, compression="zlib"), "is truncated: .* a page"),
    (
        "half.tif",
        lambda p: of_pictures(p, 16, 16, 8, 8, metadata=None),
        "holds 2 pictures of different sizes: save the one",
    ),
    (
        "kinds.tif",
        lambda p: of_pictures(p, 16, 16, kinds="Hf", metadata=None),
        r"holds 2 pictures of different kinds \(uint16, float32\)",
    ),
    (
        "packed.tif",
        lambda p: of_pictures(p, 16, 16, metadata=None, packing="zlib"),
        "holds 2 pictures that differ in packing",
    ),
    ("each.tif", two_written_alone, "holds 2 pictures that were written each by itself"),
    ("two.ome.tif", lambda p: of_pictures(p, 16, 16), "holds 2 images of their own"),
    ("pages.tif", many_pages, "200 pages, over 100: .*--max-pages"),
    ("rank1.zarr", lambda p: write_zarr(p, np.zeros(7, np.uint16)), "1 axes"),
    ("rank6.zarr", lambda p: write_zarr(p, np.zeros((1,) * 6, np.uint16)), "6 axes"),
    ("empty.zarr", Path.mkdir, "no Zarr store"),
    ("rank0.npy", lambda p: np.save(p, np.float32(1)), "0 axes"),
    ("none.npy", lambda p: np.save(p, np.zeros((0, 4))), "no pixels"),
    ("complex.npy", lambda p: np.save(p, np.ones((4, 4), complex)), "complex numbers"),
    ("bool.npy", lambda p: np.save(p, np.ones((4, 4), bool)), "no intensities"),
    (
        "object.npy",
        lambda p: np.save(p, np.array([[{}]]), allow_pickle=True),
        "objects of Python",
    ),
    (
        "complex.tif",
        lambda p: tifffile.imwrite(p, np.ones((4, 4), np.complex128), photometric="minisblack"),
        "complex numbers",
    ),
    ("int64.tif", far_no_data, "no data is -9.22337e.18, .* save its values as float, or"),
    ("slc.tif", complex_short, "complex numbers"),
    ("text.npy", lambda p: p.write_text("no array"), "is no file of NumPy's"),
    ("several.npy", lambda p: np.savez(p.open("wb"), a=np.ones((4, 4))), "is a .npz of named"),
    ("nan.npy", lambda p: np.save(p, np.full((4, 4), np.nan)), "holds no value"),
    ("flat.npy", lambda p: np.save(p, np.full((4, 4), 2.5)), "all values are 2.5"),
    ("large.npy", lambda p: np.save(p, np.zeros((2000, 1000), np.uint8)), "--max-megapixels"),
]


@pytest.mark.parametrize(("name", "make", "sentence"), BAD, ids=[name for name, _, _ in BAD])
def test_bad_input_is_one_sentence(
    name: str, make: Callable[[Path], object], sentence: str, model: SuperResolver, tmp_path: Path
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError) as caught:
        read_stack(model, path, LIMITS)
    message = str(caught.value)
    assert re.search(sentence, message), message
    assert str(path) in message
    assert "\n" not in message


def test_negative_floats_have_no_dtype_range(model: SuperResolver, tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", smooth(4, 4) - 1)
    with pytest.raises(InputError, match=r"must lie in .* give --values LOW,HIGH"):
        read_any(model, tmp_path / "n.npy", how="dtype")


def test_values_go_with_arrays_alone(model: SuperResolver, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match="--values goes with arrays"):
        read_any(model, tmp_path / "p.png", how="dtype")
    for name, how in (("none.tif", "dtype"), ("none.png", None), ("none.npy", "dtype")):
        with pytest.raises(InputError, match=f"{name} does not exist"):
            read_any(model, tmp_path / name, how=how)
    (tmp_path / "x.czi").write_bytes(b"ZISRAWFILE" * 20)
    (tmp_path / "x.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    for name, why in (("x.czi", "x.czi is not an image"), ("x.png", "x.png is a HEIC photo")):
        with pytest.raises(InputError, match=why):
            read_any(model, tmp_path / name, how="0,4095")


def test_what_is_a_picture_for_want_of_a_package_is_told_which(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 bits in a packing that is not installed: read, but with values only by that."""
    path = tmp_path / "p.tif"
    Image.new("L", (4, 4), 90).save(path, compression="tiff_lzw")
    monkeypatch.setattr(tiff, "_has_codecs", lambda: False)
    assert isinstance(read_any(model, path), Input)
    with pytest.raises(InputError, match=r"p\.tif is packed by LZW, which needs imagecodecs: pip"):
        read_any(model, path, how="0,200")
    Image.new("CMYK", (4, 4)).save(path, compression="tiff_lzw")
    with pytest.raises(InputError, match="is a picture: --values goes with arrays"):
        read_any(model, path, how="0,200")


@pytest.mark.parametrize("name", ["a.npy", "a.zarr"])
def test_what_may_not_be_read_is_not_called_damaged(
    name: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*given: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    np.save(tmp_path / "a.npy", smooth(8, 8))
    (tmp_path / "a.zarr").mkdir()
    monkeypatch.setattr(np, "load", denied)
    monkeypatch.setattr("zarr.open", denied)
    with pytest.raises(InputError, match=f"cannot read .*{name}: Permission denied"):
        read_any(model, tmp_path / name)


def test_a_photograph_keeps_its_exif_but_for_orientation_and_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0100], exif[0x0101] = 6, "Canon", 8, 4
    exif.get_ifd(ExifTags.IFD.Exif).update({0xA002: 8, 0x9003: "2020:01:01 00:00:00"})
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    Image.new("RGB", (8, 4)).save(tmp_path / "p.jpg", exif=exif)
    photo = read_photo(tmp_path / "p.jpg")
    save_png(tmp_path / "whole.png", photo.image, photo.extras)
    with PNGWriter(tmp_path / "rows.png", 4, 8, exif=photo.extras.exif) as writer:
        writer.write(np.zeros((8, 4, 3), np.uint8))
    for name in ("whole.png", "rows.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (4, 8)
            kept = image.getexif()
            assert kept[0x010F] == "Canon"
            assert not {0x0100, 0x0101, 0x0112} & set(kept)
            assert dict(kept.get_ifd(ExifTags.IFD.Exif)) == {0x9003: "2020:01:01 00:00:00"}
            assert kept.get_ifd(ExifTags.IFD.GPSInfo) == {1: "N"}


def test_another_range_is_offered_only_where_none_was_chosen(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16))
    for how in ("auto", "0,4095"):
        notes = " ".join(read_stack(tiny_photos(3), tmp_path / "x.npy", LIMITS, how).notes)
        assert "are the model's 0 to 1" in notes
        assert ("--values chooses" in notes) == (how == "auto")


def deep_png(path: Path, row: list[tuple[int, int, int]], clear: tuple[int, ...] = ()) -> None:
    """A row of colours of 16 bits, of which one may be said to be transparent."""

    def chunk(kind: bytes, data: bytes = b"") -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", len(row), 1, 16, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" + np.array(row, ">u2").tobytes())
    told = chunk(b"tRNS", struct.pack(">HHH", *clear)) if clear else b""
    body = chunk(b"IHDR", head) + told + chunk(b"IDAT", packed) + chunk(b"IEND")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_a_deep_colour_of_a_png_is_transparent_and_not_one_of_the_same_low_bytes(
    tmp_path: Path,
) -> None:
    clear, other = (0x1234, 0x5678, 0x9ABC), (0x3434, 0x7878, 0xBCBC)
    deep_png(tmp_path / "c.png", [clear, other, (9, 9, 9)], clear)
    alpha = read_photo(tmp_path / "c.png", keep_alpha=True).extras.alpha
    assert alpha is not None
    assert np.asarray(alpha).tolist() == [[0, 255, 255]]


@pytest.mark.parametrize(("kind", "channels"), [(5, 1), (6, 3)])
def test_a_dark_pgm_or_ppm_of_16_bits_is_read_as_such(
    kind: int, channels: int, tmp_path: Path
) -> None:
    values = np.full((2, 3, channels), 200, ">u2")
    for most, shown in ((65535, 1), (255, 200)):
        told = " of a camera, 3 by 2" * 100
        head = f"P{kind}\n#{told}\n3 2\n{most}\n".encode()
        data = values.tobytes() if most > 255 else values.astype(np.uint8).tobytes()
        (tmp_path / "d.pnm").write_bytes(head + data)
        photo = read_photo(tmp_path / "d.pnm")
        assert ("reduced to 8 bits" in str(photo.notes)) == (most > 255)
        assert np.asarray(photo.image).max() == shown


def test_a_deep_png_is_said_to_lose_its_depth(tmp_path: Path) -> None:
    deep_png(tmp_path / "deep.png", [(0, 0, 0)] * 2)
    assert "reduced to 8 bits" in str(read_photo(tmp_path / "deep.png").notes)
    for name, dtype in (("deep", np.uint16), ("flat", np.uint8)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((2, 2, 3), dtype), photometric="rgb")
    assert "reduced to 8 bits" in str(read_photo(tmp_path / "deep.tif").notes)
    assert read_photo(tmp_path / "flat.tif").notes == []


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("largest", "noted"), [(1914, 1), (4095, 1), (9000, 0)])
def test_counts_of_a_camera_are_said_to_be_almost_black(
    largest: int, noted: int, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"counts.{suffix}"
    Image.fromarray(np.linspace(0, largest, 16).reshape(4, 4).astype(np.uint16)).save(path)
    assert read_photo(path).notes.count(ALMOST_BLACK) == noted


def test_a_deep_grey_png_is_transparent_where_it_says_so(tmp_path: Path) -> None:
    """Where it has that value in all 16 bits, and not where it has one near it."""
    values = np.array([[1000, 1001], [30000, 60000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png", transparency=1000)
    kept = read_photo(tmp_path / "grey.png", keep_alpha=True)
    assert kept.extras.alpha is not None
    assert np.asarray(kept.extras.alpha).tolist() == [[0, 255], [255, 255]]
    white = read_photo(tmp_path / "grey.png")
    assert "transparent pixels were put on white" in white.notes
    assert np.asarray(white.image)[..., 0].tolist() == [[255, 4], [117, 233]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("turn", "quarters"), [(3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_a_picture_in_a_tiff_is_turned_upright(
    shape: tuple[int, ...], turn: int, quarters: int, dtype: str, tmp_path: Path
) -> None:
    top = 255 if dtype == "uint8" else 65535
    shown = np.arange(np.prod(shape)).reshape(shape)
    values = (shown * (top // 255)).astype(dtype)
    tags = [(274, 3, 1, turn, True)]
    tifffile.imwrite(tmp_path / "t.tif", values, metadata=None, extratags=tags,
                     photometric="rgb" if len(shape) == 3 else "minisblack")  # fmt: skip
    found = np.asarray(read_photo(tmp_path / "t.tif").image)
    upright = np.rot90(shown, quarters)
    assert np.array_equal(found if len(shape) == 3 else found[..., 0], upright)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_picture_whose_0_is_white_is_no_negative(dtype: str, tmp_path: Path) -> None:
    top = 255 if dtype == "uint8" else 65535
    values = np.round(smooth(4, 6) * top).astype(dtype)
    for name, photometric in (("white", "miniswhite"), ("black", "minisblack")):
        given = top - values if name == "white" else values
        tifffile.imwrite(tmp_path / f"{name}.tif", given, photometric=photometric, metadata=None)
    white, black = (read_photo(tmp_path / f"{name}.tif").image for name in ("white", "black"))
    assert np.array_equal(np.asarray(white), np.asarray(black))
    assert np.array_equal(np.asarray(white)[..., 0], np.round(values / (top / 255)))


def test_a_folder_holds_pictures_and_arrays_but_nothing_inside_a_store(tmp_path: Path) -> None:
    (tmp_path / "deep" / "s.zarr" / "c").mkdir(parents=True)
    np.save(tmp_path / "deep" / "s.zarr" / "c" / "x.npy", np.zeros((4, 4)))
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    found = {job.path.name for job in plan([str(tmp_path)], tmp_path / "out")}
    assert found == {"a.npy", "s.zarr"}
    store = str(tmp_path / "deep" / "s.zarr")
    assert [job.path for job in plan([store], tmp_path / "out")] == [Path(store)]


def test_cut_values_are_counted_aloud(model: SuperResolver, tmp_path: Path) -> None:
    values = np.full((12, 10), 50, np.uint16)
    values[0, :3] = 200
    np.save(tmp_path / "c.npy", values)
    stack = read_stack(model, tmp_path / "c.npy", LIMITS, "0,100")
    assert any("3 of " in note and " values lie outside" in note for note in stack.notes)
    assert any("values from 0 to 100" in note for note in stack.notes)


@pytest.mark.parametrize("how", ["-100,4095", "0,70000"])
@pytest.mark.parametrize("crop", [None, "none"])
def test_a_range_beyond_the_files_numbers_is_cut_and_not_wrapped_around(
    how: str, crop: Any, model: SuperResolver, tmp_path: Path
) -> None:
    top = 65535 if how == "0,70000" else 4095
    values = np.random.default_rng(0).choice([0, top], (24, 20)).astype(np.uint16)
    np.save(tmp_path / "e.npy", values)
    result = draw(model, tmp_path / "e.npy", tmp_path / "out", crop=crop, how=how)
    given = load(tmp_path / "out" / "input.npy")[0, 0]
    off = []
    for name, exact in zip(result.samples, result.round_trip_exact, strict=True):
        sample = load(tmp_path / "out" / name)[0, 0]
        assert sample.dtype == np.uint16
        back = shrunk(sample)
        assert exact == np.array_equal(np.round(back), given), "of what is saved"
        off.append(float(np.abs(back - given).max()))
        # Where the input is flat and at one end, a sample that wrapped around is at the other.
        assert np.abs(back - given).max() < 0.5 * top
    assert off == pytest.approx(result.largest_lr_error, rel=1e-6)
    said = "samples are cut to what uint16 holds, 0 to 65535, and may then not give the input back"
    assert said in result.stack.notes


@pytest.mark.parametrize("how", ["-100,0", "255,300", "400,500"])
def test_a_range_without_numbers_of_the_file_is_refused(how: str) -> None:
    with pytest.raises(InputError, match="uint8 holds 0 to 255"):
        choose_range(np.array([3, 200], np.uint8), how)


def test_no_data_at_the_end_of_the_numbers_is_not_drawn() -> None:
    for none, other in ((65535, 65534), (0, 1)):
        drawn = np.array([[[none, 5]]], np.uint16)
        avoid(drawn, [none])
        assert drawn.tolist() == [[[other, 5]]]
    last = np.finfo(np.float32).max
    made = np.array([[[last, 5]]], np.float32)
    avoid(made, [float(last)])
    assert made.tolist() == [[[float(np.nextafter(last, np.float32(0))), 5]]]


def test_whole_numbers_that_float64_does_not_tell_apart_are_refused() -> None:
    """Half of them could not be given back, and all of it would pass for exact."""
    values = 2**53 + np.arange(30)
    for how in ("auto", f"{2**53},{2**53 + 60}"):
        with pytest.raises(InputError, match="too large to be told apart: subtract a number"):
            choose_range(values, how)
    assert choose_range(values - 2**53, "auto").levels
    with pytest.raises(InputError, match="too large to be told apart"):
        choose_range(2**60 + np.arange(4), "auto")


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_what_does_not_fit_into_memory_is_drawn_in_strips_to_the_same(
    dtype: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (smooth(12, 10) * 4000).astype(dtype)
    values[2, 3] = 4001
    np.save(tmp_path / "a.npy", values)
    first = draw(model, tmp_path / "a.npy", tmp_path / "whole")
    monkeypatch.setattr(stack_drawing, "IN_MEMORY", 0)
    second = draw(model, tmp_path / "a.npy", tmp_path / "strips")
    assert first.round_trip_exact == second.round_trip_exact
    for name in (*first.samples, "std.npy"):
        one, other = (np.load(tmp_path / place / name) for place in ("whole", "strips"))
        assert np.allclose(one, other, rtol=0, atol=1.01 if dtype == "uint16" else 1e-2)


@pytest.mark.parametrize("in_memory", [0, 10**6])
def test_a_result_keeps_no_pixels_of_what_was_compared(
    in_memory: int, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_drawing, "IN_MEMORY", in_memory)
    np.save(tmp_path / "a.npy", smooth(5, 40, 30).astype(np.float32))
    result = draw(model, tmp_path / "a.npy", tmp_path / "out")
    trips = [trip for planes in result.round_trips for trip, _ in planes]
    held = [value for trip in trips for value in vars(trip).values() if torch.is_tensor(value)]
    assert sum(one.untyped_storage().nbytes() for one in held) == 0
    assert [trip.values for trip in trips] == [40 * 30] * 10


@pytest.mark.parametrize("axes", ["YXS", "SYX", "ZYX", "ZYXS"])
def test_large_planes_are_written_in_tiles(
    axes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "LARGE", 0)
    shape = tuple({"Y": 12, "X": 10, "S": 3, "Z": 2}[axis] for axis in axes)
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    config = "separate" if axes == "SYX" else "contig"
    planar: dict[str, Any] = {"planarconfig": config} if "S" in axes else {}
    kind = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=kind, metadata=None, **planar)
    form = format_of(tmp_path / "a.tif")
    assert form is not None
    array = form.read(tmp_path / "a.tif", LIMITS)
    planes = array.values.repeat(30, 2).repeat(30, 3)
    form.write(tmp_path / "b.tif", planes, array, 30)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.is_tiled
    assert np.array_equal(form.read(tmp_path / "b.tif", LIMITS).values, planes)


def test_the_commands_say_what_the_values_become_and_draw_again(
    model_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_plain(tmp_path / "a.tif", (smooth(2, 12, 10) * 4000).astype(np.uint16))
    arguments = ["upscale", str(tmp_path / "a.tif"), "--scale", "2", "-n", "1"]
    arguments += ["--model", model_folder]
    assert run(*arguments, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    told = " ".join("".join(capsys.readouterr()).split())
    assert "values from 0 to 4095 are the model's 0 to 1" in told
    assert "every sample gives the input back exactly" in told
    again = ["replay", str(tmp_path / "out" / "a" / "result.json"), "--out", str(tmp_path / "b")]
    again += ["--trust-model"]
    assert run(*again, monkeypatch=monkeypatch) == 0
    first, second = (load(tmp_path / place / "sample_00.tif") for place in ("out/a", "b"))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_large_array_is_shrunk_first_and_said_to_be(
    suffix: str, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    large = (smooth(2, 25, 20) * 4000).astype(np.uint16)
    WRITERS[suffix](tmp_path / f"a{suffix}", large)
    given = read_any(model, tmp_path / f"a{suffix}", "none", LIMITS, how="0,4095")
    assert given.notes[-1] == "shrunk by 2 to 10×12 pixels before anything was drawn"
    result = draw_into(model, given, model.sampling(2), tmp_path / "out")
    assert all(result.round_trip_exact)
    y = load(tmp_path / "out" / f"input{suffix}")[:, 0]
    assert y.dtype == np.uint16
    assert np.array_equal(y, np.round(shrunk(large[:, :24])))
    monkeypatch.setattr("cvdvae.batch.replaying.model_of", lambda origin, device, trust: model)
    replay_into(tmp_path / "out" / "result.json", tmp_path / "again")
    name = f"sample_01{suffix}"
    assert np.array_equal(load(tmp_path / "out" / name), load(tmp_path / "again" / name))


def test_what_becomes_of_missing_values_is_missing(model: SuperResolver, tmp_path: Path) -> None:
    large = smooth(24, 20).astype(np.float32)
    large[5, 8] = np.nan
    np.save(tmp_path / "a.npy", large)
    given = read_any(model, tmp_path / "a.npy", "none", LIMITS)
    assert isinstance(given, Stack)
    assert np.argwhere(given.array.missing[0, 0]).tolist() == [[2, 4]]


def write_marked(path: Path, values: np.ndarray, nodata: float) -> None:
    """A TIFF or a Zarr that says what stands for no data."""
    if path.suffix == ".zarr":
        write_zarr(path, values)
        pytest.importorskip("zarr").open_array(str(path)).attrs["missing_value"] = nodata
    else:
        tags = [(42113, 2, 0, f"{nodata:g}", True)]
        tifffile.imwrite(path, values, metadata=None, photometric="minisblack", extratags=tags)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize(("dtype", "nodata"), [("float32", 0), ("int16", 50), ("float32", -9)])
def test_what_was_measured_is_not_missing_once_it_is_shrunk(
    dtype: str, nodata: float, suffix: str, model: SuperResolver, tmp_path: Path
) -> None:
    large = np.full((24, 20), 1, dtype)
    large[:, 6:13] = 100  # beside an edge the kernel goes below 0
    large[12:] += np.arange(20, dtype=dtype)
    large[3, 3] = nodata
    write_marked(tmp_path / f"a{suffix}", large, nodata)
    given = read_any(model, tmp_path / f"a{suffix}", "none", LIMITS)
    assert isinstance(given, Stack)
    assert np.argwhere(given.array.missing[0, 0]).tolist() == [[1, 1]]
    around = np.where(large == nodata, 1, large).astype(np.float64)
    off = given.array.values[0, 0] - np.clip(shrunk(around), given.ranges[0].low, None)
    assert np.abs(np.delete(off, 1, 1)[2:]).max() <= (1.01 if dtype == "int16" else 1e-4)


def test_what_stands_for_no_data_is_at_no_end_of_the_range_and_holes_alone_are_black(
    model: SuperResolver, tmp_path: Path
) -> None:
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)
    write_marked(tmp_path / "a.tif", values, 0)
    given = read_any(model, tmp_path / "a.tif", limits=LIMITS, how="0,200")
    assert isinstance(given, Stack)
    assert (given.ranges[0].low, given.ranges[0].high) == (1, 200)
    missing = np.ones((1, 6, 8), bool)
    assert not _filled(values[None], missing).any()


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("n", [1, 3])
def test_a_std_of_nought_is_not_missing(
    n: int, suffix: str, model: SuperResolver, tmp_path: Path
) -> None:
    values = (1 + smooth(12, 10)).astype(np.float32)
    values[4, 4] = 0
    write_marked(tmp_path / f"a{suffix}", values, 0)
    draw(model, tmp_path / f"a{suffix}", tmp_path / "out", n)
    form = format_of(tmp_path / "out" / f"std{suffix}")
    assert form is not None
    for name in ("sample_00", "mean", "std", "lower", "upper"):
        found = form.read(tmp_path / "out" / f"{name}{suffix}", LIMITS)
        assert found.missing.sum() == 4, name
        assert name != "std" or n > 1 or found.values.max() < 1e-9


def test_arrays_are_shrunk_whole_and_need_pixels(model: SuperResolver, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth(24, 20))
    np.save(tmp_path / "b.npy", smooth(1, 20)[:1])
    with pytest.raises(InputError, match="shrunk whole: say --crop none"):
        read_any(model, tmp_path / "a.npy", "face", LIMITS)
    with pytest.raises(InputError, match="20×1 pixels cannot be shrunk by 2"):
        read_any(model, tmp_path / "b.npy", "none", LIMITS)


@pytest.mark.parametrize("hole", [0, np.nan])
def test_what_cannot_be_shrunk_is_named_as_it_was_given(hole: float, tmp_path: Path) -> None:
    model = tiny_photos(2) if hole else tiny_resolver()
    large = smooth(20, 20).astype(np.float32)
    large[::2] += np.float32(hole)
    np.save(tmp_path / "faces.npy", large)
    with pytest.raises(InputError) as caught:
        read_any(model, tmp_path / "faces.npy", "none", LIMITS)
    said = "shrunk by 2, every pixel of it would be missing"
    said = said if hole else "shrunk by 4, it has 5×5 pixels, and tiny takes 4×4"
    assert str(caught.value) == f"{tmp_path / 'faces.npy'}: {said}"


def test_an_ome_tiff_that_is_shrunk_has_coarser_pixels(
    model: SuperResolver, tmp_path: Path
) -> None:
    told = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, (smooth(24, 20) * 4000).astype(np.uint16), metadata=told)
    draw_into(model, read_any(model, path, "none", LIMITS), model.sampling(1), tmp_path / "out")
    for name, size in (("input", "1.0"), ("sample_00", "0.5")):
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.ome.tif") as file:
            assert f'PhysicalSizeX="{size}"' in (file.ome_metadata or "")


def test_faint_light_is_shrunk_with_its_noise(tmp_path: Path) -> None:
    model, large = tiny_nuclei(), smooth(96, 96).astype(np.float32)
    np.save(tmp_path / "a.npy", large)
    given = read_any(model, tmp_path / "a.npy", "none", LIMITS, how="0,1")
    assert "with the noise of 1000 photons" in given.notes[-1]
    clean = downscaling((96, 96), (24, 24), "bicubic").A(torch.from_numpy(large)[None, None])
    off = np.load(given.path)[None, None] - clean.numpy() if isinstance(given, Stack) else clean
    assert 0.7 < float(off.std()) / float(clean.div(1000).sqrt().mean()) < 1.4


@pytest.mark.parametrize("size", [(32, 32), (32, 96)])
def test_values_near_a_hole_do_not_count_whichever_way_an_image_lies(size: tuple[int, int]) -> None:
    H = downscaling(size, (size[0] // 4, size[1] // 4), "bicubic")
    turned = downscaling(size[::-1], (size[1] // 4, size[0] // 4), "bicubic")
    missing = torch.zeros(H.lr_size, dtype=torch.bool)
    missing[4, 5] = True
    counted = stack_drawing._counted(missing, H)
    assert torch.equal(stack_drawing._counted(missing.T.contiguous(), turned), counted.T)
    x = torch.zeros(1, 1, *size, dtype=torch.float64)
    x[..., 16:20, 20:24] = 1  # what is behind the hole
    assert not bool(counted[H.A(x)[0, 0].abs() > 1e-9].any())
    assert bool(counted[:, 0].all())


@pytest.mark.parametrize("kernel", ["bicubic", "matlab", "pillow-lanczos", "box"])
def test_values_near_a_hole_do_not_count_however_low_an_image_is(kernel: str) -> None:
    for size in ((1, 40), (2, 40), (4, 40), (40, 3), (1, 1), (2, 3), (3, 4), (4, 4), (5, 4)):
        H = downscaling((2 * size[0], 2 * size[1]), size, kernel)
        for row, column in ((0, 0), (size[0] // 2, size[1] // 2)):
            missing = torch.zeros(size, dtype=torch.bool)
            missing[row, column] = True
            hole = missing.double().repeat_interleave(2, 0).repeat_interleave(2, 1)
            sees = H.rows.dense().abs() @ hole @ H.columns.dense().abs().T
            counted = stack_drawing._counted(missing, H)
            assert not bool(counted[sees > 1e-12].any()), size
            assert 40 not in size or bool(counted.any()), size


def test_values_that_are_not_given_back_are_not_said_to_be(
    model_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (12, 10)).astype(np.float32)
    np.save(tmp_path / "noise.npy", 10 * noise)
    np.save(tmp_path / "smooth.npy", smooth(12, 10).astype(np.float32))
    for name, words in (
        ("noise", r"samples do not give the input back: off by up to [\d.]+ in the input's unit "
                  r"\([\d.]+ % of the range\)"),
        ("smooth", "every sample gives the input back but for"),
    ):  # fmt: skip
        arguments = ["upscale", str(tmp_path / f"{name}.npy"), "--scale", "2", "-n", "2"]
        arguments += ["--model", model_folder, "--out", str(tmp_path / "out")]
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        assert re.search(words, " ".join("".join(capsys.readouterr()).split()))


def test_equal_channels_have_noise_of_their_own(tmp_path: Path) -> None:
    one = smooth(96, 96).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([one, one]), metadata={"axes": "CYX"})
    given = read_any(tiny_nuclei(), tmp_path / "a.ome.tif", "none", LIMITS, how="0,1")
    assert isinstance(given, Stack)
    first, second = given.array.values[0]
    assert not np.array_equal(first, second)


def test_a_dark_plane_does_not_hide_the_misfit_of_the_others(tmp_path: Path) -> None:
    bright = (smooth(12, 10) * 200).astype(np.uint8)
    np.save(tmp_path / "dark.npy", np.stack([bright, np.zeros_like(bright)]))
    np.save(tmp_path / "bright.npy", bright)
    found = {
        name: draw(tiny_nuclei(), tmp_path / f"{name}.npy", tmp_path / name, how="0,255").misfit
        for name in ("dark", "bright")
    }
    assert found["bright"] is not None
    assert found["dark"] == pytest.approx(found["bright"])


def test_what_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    room = writing.scratch(tmp_path, (1,), np.dtype(np.float32))
    with pytest.raises(OutputError, match=r"^cannot write a/b: full$"), room:
        raise OutputError("cannot write a/b: full")


def test_a_resolution_beyond_what_a_tag_holds_is_left_out(
    model: SuperResolver, tmp_path: Path
) -> None:
    values = (smooth(12, 10) * 4000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "r.tif", values, resolution=(3e9, 10), resolutionunit=3)
    draw(model, tmp_path / "r.tif", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "sample_00.tif") as file:
        tags = file.pages.first.tags
        assert (tags["XResolution"].value, tags["ResolutionUnit"].value) == ((1, 1), 1)


def test_what_a_format_cannot_write_is_said_and_the_next_file_is_drawn(
    model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("a.npy", "b.tif"):
        WRITERS[name[1:]](tmp_path / name, (smooth(12, 10) * 4000).astype(np.uint16))

    def odd(*given: object) -> None:
        raise ValueError("no such number")

    monkeypatch.setattr(Npy, "write", odd)
    arguments = ["upscale", str(tmp_path / "a.npy"), str(tmp_path / "b.tif"), "-n", "2"]
    arguments += ["--model", model_folder, "--scale", "2", "--out", str(tmp_path / "out")]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err.replace("\n", "")
    assert "sample_00.npy cannot be written (no such number)" in said
    assert "1 of 2 inputs failed" in said
    assert not (tmp_path / "out" / "a").exists()
    assert (tmp_path / "out" / "b" / "result.json").is_file()


@pytest.mark.parametrize("n", [2, 3])
def test_the_std_of_a_large_plane_is_that_of_the_samples_that_are_shown(
    n: int, model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(stack_sheet, "sheet", lambda result, text: shown.append(result))
    monkeypatch.setattr(stack_sheet, "SIDE", 24)
    np.save(tmp_path / "a.npy", np.round(255 * smooth(12, 10)).astype(np.uint8))
    stack = read_any(model, tmp_path / "a.npy", limits=LIMITS)
    assert isinstance(stack, Stack)
    drawn = np.random.default_rng(0).integers(0, 255, (n, 1, 1, 24, 20), dtype=np.uint8)
    sampling = model.sampling(n, antithetic=True)
    stack_sheet.stack_sheet(stack, drawn, 2, sampling)
    assert shown[0].ddof == sampling.ddof(range(n))


def test_a_family_of_one_model_is_told_which_scale(model_folder: str) -> None:
    assert load_at_scale("photos-sr", 4).scale == 4
    with pytest.raises(InputError, match="not by 7"):
        load_at_scale(model_folder, 7)


def test_the_picture_of_an_array_is_of_its_middle_page_from_black_to_white(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = list[Any]()
    monkeypatch.setattr(stack_sheet, "sheet", lambda result, text: shown.append(result))
    values = np.round(1000 + 2000 * smooth(5, 12, 10)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata={"axes": "ZYX"})
    stack = read_any(model, tmp_path / "a.ome.tif", limits=LIMITS, how="1000,3000")
    assert isinstance(stack, Stack)
    assert stack.pixels == 5 * 120
    drawn = np.random.default_rng(0).integers(1000, 3001, (9, 5, 1, 24, 20)).astype(np.uint16)
    stack_sheet.stack_sheet(stack, drawn, 2, Sampling(samples=9))
    (found,) = shown
    grey = np.round((drawn[:, 2] - 1000.0) / 2000 * 255)
    assert np.array_equal(found.pixels.numpy(), grey.repeat(3, 1))
    assert np.allclose(found.y.numpy(), (values[2] - 1000.0) / 2000, atol=1e-6)
    assert (found.scale, found.kept, found.ddof, found.truth) == (2, list(range(9)), 1, None)
    assert found.bicubic.shape == (3, 24, 20)
    alone = stack_sheet._Shown(found.y, found.pixels, 2, [4], 1)
    assert float(alone.std.max()) == 0
    assert torch.equal(alone.mean, found.pixels[4].float() / 255)


def test_of_a_large_array_the_busiest_window_of_a_few_samples_is_shown(
    model: SuperResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = list[Any]()
    monkeypatch.setattr(stack_sheet, "sheet", lambda result, text: shown.append(result))
    monkeypatch.setattr(stack_sheet, "SIDE", 16)
    values = np.full((20, 18), 100, np.uint8)
    board = 1 - np.indices((8, 8)).sum(0) % 2
    fades = np.linspace(10, 9.5, 8)
    values[5:13, 7:15] += (board * np.outer(fades, fades)).astype(np.uint8)
    np.save(tmp_path / "a.npy", values)
    stack = read_any(model, tmp_path / "a.npy", limits=LIMITS)
    assert isinstance(stack, Stack)
    drawn = np.random.default_rng(0).integers(0, 256, (7, 1, 1, 40, 36), np.uint8)
    stack_sheet.stack_sheet(stack, drawn, 2, Sampling(samples=7))
    # It begins at a multiple of a quarter of its side.
    assert np.allclose(255 * shown[0].y[0].numpy(), values[4:12, 6:14])
    assert np.array_equal(shown[0].pixels[:, 0].numpy(), drawn[:5, 0, 0, 8:24, 12:28])
    assert stack_sheet._busiest(torch.zeros(1, 1, 6, 30), 8) == (0, 0)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_result_of_arrays_tells_what_stands_in_its_files(
    dtype: str, model: SuperResolver, tmp_path: Path
) -> None:
    values = (1000 + 2000 * smooth(2, 12, 10)).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    result = draw(model, tmp_path / "a.npy", tmp_path / "out", how="1000,3000")
    assert 0 < result.seconds < 60
    result.seconds = 1.23456
    told = result.report()
    off = [shrunk(np.load(tmp_path / "out" / f"sample_0{i}.npy")) - values for i in range(2)]
    worst = [float(np.abs(one).max()) for one in off]
    assert told["largest_lr_error"] == pytest.approx(worst, rel=1e-3, abs=1e-3)
    wanted = [-10 * np.log10(np.mean((one / 2000) ** 2)) for one in off]
    assert told["lr_psnr"] == pytest.approx(wanted, abs=0.2 if dtype == "uint16" else 30)
    assert told["round_trip_exact"] == ([True, True] if dtype == "uint16" else None)
    assert (told["seconds"], told["noise"], told["misfit"]) == (1.235, [0, 0], None)
    assert (told["input"], told["exploded"], told["doubts"]) == ("input.npy", [False] * 2, None)
    assert told["values"] == {
        "ranges": [{"low": 1000, "high": 3000, "levels": 2000 if dtype == "uint16" else None}],
        "dtype": dtype,
        "axes": told["values"]["axes"],
        "shape": [2, 12, 10],
        "missing": 0,
    }
    assert told["interval"]["share"] == pytest.approx(1 / 3)
    path = tmp_path / "out" / "result.json"
    recipe = stack_recipe_from_dict(read_told(path), path)
    assert recipe.path == tmp_path / "out" / "input.npy"
    assert recipe.ranges == result.stack.ranges
    begun = StackResult.of(tmp_path, result.stack, model, Sampling(3))
    assert (begun.noise, begun.seconds, begun.exploded) == ([], 0, [False] * 3)
