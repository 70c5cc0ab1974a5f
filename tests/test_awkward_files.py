"""Files of arrays that lie, or are called, as nobody expects: nothing of anybody's is lost."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import run
from PIL import ExifTags, Image
from tiny import copied, saved_resolver, tiny_photos

from cvdvae.batch.happened import Happened
from cvdvae.batch.restore import read_seen
from cvdvae.damage.described import parse
from cvdvae.errors import InputError, OutputError
from cvdvae.evaluation.selection import Selection
from cvdvae.files import name_of, remove, write_folder_atomically
from cvdvae.imaging.arrays import Limits
from cvdvae.imaging.formats import format_of
from cvdvae.imaging.geotiff import GeoTIFF, _read
from cvdvae.imaging.io import LUMA, read_photo
from cvdvae.imaging.tiff import TIFF

LIMITS = Limits(10**6)
RAMP = np.arange(24 * 20, dtype=np.uint8).reshape(24, 20) // 2


def save_photos(folder: Path) -> None:
    saved_resolver(folder, tiny_photos(2))


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`cvdvae upscale` with a tiny model of photographs."""
    model = str(copied(tmp_path / "tiny", save_photos))

    def draw(*arguments: str) -> int:
        given = ("upscale", *arguments, "--model", model, "--scale", "2", "-n", "1")
        return run(*given, monkeypatch=monkeypatch)

    return draw


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A Zarr store of one array."""
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "in" / "s.zarr", shape=RAMP.shape, dtype="uint8")
    array[:] = RAMP
    return tmp_path / "in" / "s.zarr"


@pytest.mark.parametrize("simulate", [False, True])
def test_a_store_that_is_named_by_dots_is_drawn_into_a_folder_of_its_own(
    simulate: bool, drawing: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    (scratch / "of another").write_text("stays")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    inside = next(path for path in store.iterdir() if path.is_dir())
    monkeypatch.chdir(inside)
    assert drawing("..", "--out", str(out), *["--simulate"] * simulate) == 0
    assert (out / "s" / "result.json").exists()
    assert [path.name for path in out.iterdir()] == ["s"]
    assert (scratch / "of another").read_text() == "stays"
    assert [path.name for path in scratch.iterdir()] == ["of another"]


def test_no_folder_is_replaced_that_its_path_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "kept").write_text("stays")
    for path in (tmp_path / "a" / "..", Path()):
        with pytest.raises(OutputError, match="names no folder of its own"):
            write_folder_atomically(path, lambda place: place.mkdir())
    assert (tmp_path / "kept").read_text() == "stays"
    assert name_of(tmp_path / "a" / "..") == tmp_path.name
    remove(tmp_path / "nothing")


def test_results_within_the_store_that_they_are_of_are_refused(
    drawing: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(store.rglob("*"))
    assert drawing(str(store), "--out", str(store / "out")) == 1
    assert "it lies in" in " ".join(capsys.readouterr().err.split())
    assert [path for path in sorted(store.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]


def test_what_is_copied_of_a_write_protected_store_can_be_removed(
    drawing: Any, store: Path, tmp_path: Path
) -> None:
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert drawing(str(store), "--out", str(tmp_path / "out")) == 0
    finally:
        for folder in folders:
            folder.chmod(0o755)
    kept = tmp_path / "out" / "s" / "input.zarr"
    made = [kept, *(path for path in kept.rglob("*") if path.is_dir())]
    assert all(folder.stat().st_mode & 0o700 == 0o700 for folder in made)
    shutil.rmtree(kept)


def test_control_points_need_no_reference_system(drawing: Any, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    points = (0, 0, 0, 5e5, 46e5, 0, 20, 0, 0, 5.1e5, 46e5, 0, 0, 24, 0, 5e5, 45.9e5, 0)
    tags = [(33922, 12, len(points), points, True)]
    tifffile.imwrite(tmp_path / "g.tif", RAMP, metadata=None, extratags=tags)
    assert drawing(str(tmp_path / "g.tif"), "--out", str(tmp_path / "out")) == 0
    with rasterio.open(tmp_path / "out" / "g" / "sample_00.tif") as found:
        assert sorted((p.row, p.col) for p in found.gcps[0]) == [(0, 0), (0, 40), (48, 0)]
        assert not found.crs


@pytest.mark.parametrize("name", [b"m\xff.tif", b"f\xff/m.tif"])
def test_a_name_that_gdal_cannot_be_told_is_not_called_damage(name: bytes, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    placed: dict[str, Any] = {"transform": rasterio.Affine(2, 0, 5, 0, -2, 5), "dtype": "uint8"}
    with rasterio.open(tmp_path / "m.tif", "w", "GTiff", 20, 24, 1, **placed) as target:
        target.write(RAMP[None])
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    shutil.copyfile(tmp_path / "m.tif", path)
    form = format_of(path)
    assert isinstance(form, GeoTIFF)
    with pytest.raises(InputError, match=r"not valid UTF-8 and cannot be handed to GDAL.* rename"):
        form.read(path, LIMITS)
    assert form.read(tmp_path / "m.tif", LIMITS).values.shape[-2:] == RAMP.shape


def test_what_is_asked_of_all_bands_is_asked_once(tmp_path: Path) -> None:
    """rasterio gathers it anew from every band each time."""
    rasterio = pytest.importorskip("rasterio")
    count, path = 30, tmp_path / "b.tif"
    placed: dict[str, Any] = {"transform": rasterio.Affine(2, 0, 5, 0, -2, 5), "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", 20, 24, count, nodata=7, **placed) as target:
        target.write(np.stack([RAMP] * count))
        target.scales, target.offsets = range(1, count + 1), range(count)
        target.units = [f"u{i}" for i in range(count)]
        for i in range(count):
            target.set_band_description(i + 1, f"b{i}")
    with rasterio.open(path) as source:
        watched = Watched(source)
        array = _read(path, watched, LIMITS)
    assert {name: n for name, n in watched.asked.items() if n > 10} == {"tags": count + 4}
    for i, band in enumerate(array.carried.bands):
        told = {"description": f"b{i}", "unit": f"u{i}", "scale": i + 1, "offset": i, "tags": {}}
        assert {key: band[key] for key in told} == told


class Watched:
    """An open file, and how often it was asked for what."""

    def __init__(self, source: Any) -> None:
        self.source, self.asked = source, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self.source, name)


def ome_xml(planes: int, tmp_path: Path) -> bytes:
    tifffile.imwrite(
        tmp_path / "o.ome.tif", np.zeros((planes, 24, 20), np.uint8), metadata={"axes": "ZYX"}
    )
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as file:
        assert file.ome_metadata is not None
        return file.ome_metadata.encode()


def test_an_ome_description_of_another_size_is_left_out(drawing: Any, tmp_path: Path) -> None:
    other = np.stack([RAMP.repeat(2, 0).repeat(2, 1)] * 3)
    described: dict[str, Any] = {"description": ome_xml(3, tmp_path), "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "r.tif", other, metadata=None, **described)
    assert drawing(str(tmp_path / "r.tif"), "--out", str(tmp_path / "out")) == 0
    drawn = tifffile.imread(tmp_path / "out" / "r" / "sample_00.tif")
    assert drawn.shape == (3, 96, 80)


def test_pages_that_the_description_does_not_tell_of_are_not_dropped(tmp_path: Path) -> None:
    said = {
        "imagej": b"ImageJ=1.53t\nimages=2\nslices=2\n",
        "ome": ome_xml(3, tmp_path),
    }
    for name, description in said.items():
        path = tmp_path / f"{name}.tif"
        how: dict[str, Any] = {"metadata": None, "photometric": "minisblack"}
        tifffile.imwrite(path, np.stack([RAMP] * 6), description=description, **how)
        with pytest.raises(InputError, match="has 6 pages, and its description is of"):
            TIFF().read(path, LIMITS)


def test_no_data_beyond_float32_is_nowhere(tmp_path: Path) -> None:
    path, lowest = tmp_path / "n.tif", "-1.7976931348623157e+308"
    values = RAMP.astype(np.float32)
    tifffile.imwrite(path, values, metadata=None, extratags=[(42113, 2, 0, lowest, True)])
    with np.errstate(over="raise"):
        format_of(path)
        array = TIFF().read(path, LIMITS)
    assert not array.missing.any()


def test_what_a_jpeg_says_of_how_to_turn_it_is_kept_where_it_is_not_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "portrait.jpg"
    Image.fromarray(np.dstack([RAMP] * 3)).save(path, exif=exif)
    taken = read_seen(path, Happened(parse("noise"), True, None))
    assert taken.seen.degradation.A_adjoint(taken.seen.y).shape[2:] == (24, 20)
    assert any("the results lie as it is stored" in note for note in taken.notes)
    found = Image.Exif()
    assert taken.extras.exif is not None
    found.load(taken.extras.exif)
    assert found[ExifTags.Base.Orientation] == 6
    upright = read_photo(path)
    assert upright.image.size == (24, 20)
    if upright.extras.exif is not None:
        found.load(upright.extras.exif)
        assert ExifTags.Base.Orientation not in found


def test_a_grey_jpeg_of_a_picture_in_colours_is_said_to_take_its_luma(tmp_path: Path) -> None:
    path, colours = tmp_path / "x.png", np.dstack([RAMP, RAMP // 2, 255 - RAMP])
    Image.fromarray(colours).save(path)
    for how, is_said in (("subsampling=4:0:0", True), ("subsampling=4:2:0", False)):
        taken = read_seen(path, Happened(parse(f"jpeg:quality=50,{how}"), False, None))
        assert (LUMA in taken.notes) == is_said
        assert taken.seen.is_grey == is_said


def test_no_more_images_are_taken_from_the_end_than_there_are(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(RAMP).save(tmp_path / f"{i}.png")
    assert len(Selection(tmp_path, -3)) == 3
    with pytest.raises(InputError, match="holds 3 images, not 500"):
        len(Selection(tmp_path, -500))
