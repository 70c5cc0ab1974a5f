"""What files say beside their values: it is read, and goes along where pixels become smaller."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from cvdvae.errors import InputError
from cvdvae.imaging.arrays import Array, Limits
from cvdvae.imaging.formats import format_of
from cvdvae.imaging.geotiff import GeoTIFF
from cvdvae.imaging.io import read_photo

RAMP = np.arange(8 * 10, dtype=np.uint16).reshape(1, 8, 10)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

MAPINFO = """!table
!version 300
!charset WindowsLatin1

Definition Table
  File "b.tif"
  Type "RASTER"
  (500000,5000000) (0,0) Label "Pt 1",
  (500100,5000000) (10,0) Label "Pt 2",
  (500100,4999920) (10,8) Label "Pt 3",
  (500000,4999920) (0,8) Label "Pt 4"
  CoordSys Earth Projection 8, 104, "m", 15, 0, 0.9996, 500000, 0
  Units "m"
"""


def twice_as_large(path: Path) -> tuple[Array, Path]:
    """A file of arrays, and one of every pixel four times, as results are written."""
    form = format_of(path)
    assert form is not None
    array, result = form.read(path, Limits(10**6)), path.with_name(f"result{path.suffix}")
    form.write(result, array.values.repeat(2, 2).repeat(2, 3), array, 2)
    return array, result


def geotiff(path: Path, values: np.ndarray = RAMP, **profile: object) -> Path:
    rasterio = pytest.importorskip("rasterio")
    count, height, width = values.shape
    profile = {
        "crs": "EPSG:32633",
        "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10),
        "dtype": values.dtype,
        **profile,
    }
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, **profile
    ) as file:
        file.write(values)
    return path


def test_a_tiff_that_only_gdals_file_beside_it_places_keeps_its_place(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif", profile="BASELINE")
    array, result = twice_as_large(path)
    import rasterio

    assert array.beside == (tmp_path / "a.tif.aux.xml",)
    with rasterio.open(result) as file:
        assert file.crs.to_epsg() == 32633
        assert file.transform[:6] == (5, 0, 5e5, 0, -5, 5e6)
    # What says nothing of the place leaves it a plain TIFF.
    tifffile.imwrite(plain := tmp_path / "b.tif", RAMP[0])
    plain.with_name("b.tif.aux.xml").write_text("<PAMDataset><Histograms/></PAMDataset>")
    (table := plain.with_suffix(".tab")).write_text("id\tarea\n1\t20\n")
    assert not GeoTIFF().knows(plain)
    table.write_text(MAPINFO)
    array, result = twice_as_large(plain)
    assert array.beside == (plain.with_name("b.tif.aux.xml"), table)
    with rasterio.open(result) as file:
        assert file.transform[:6] == pytest.approx((5, 0, 5e5, 0, -5, 5e6))


def test_a_geotiff_keeps_its_profile_and_its_finer_resolution(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    tags: dict[str, Any] = {"iccprofile": SRGB, "resolution": (300, 300), "resolutionunit": 2}
    tifffile.imwrite(path, np.zeros((8, 10, 3), np.uint8), photometric="rgb", **tags)
    path.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500000\n5000000\n")
    _, result = twice_as_large(path)
    with tifffile.TiffFile(result) as file:
        page = file.pages.first
        assert page.tags["XResolution"].value == page.tags["YResolution"].value == (600, 1)
        assert page.tags["InterColorProfile"].value == SRGB


def test_a_geotiff_of_fewer_than_8_bits_is_refused(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "classes.tif", (RAMP % 16).astype(np.uint8), NBITS=4)
    with pytest.raises(InputError, match="fewer than 8 bits a value"):
        GeoTIFF().read(path, Limits(10**6))


@pytest.mark.parametrize(("photometric", "alpha"), [("minisblack", 1), ("miniswhite", 2)])
def test_grey_with_an_alpha_that_no_picture_has_is_an_array(
    photometric: str, alpha: int, tmp_path: Path
) -> None:
    values = RAMP[0].astype(np.uint8)[..., None].repeat(2, 2)
    tifffile.imwrite(
        path := tmp_path / "a.tif", values, photometric=photometric, extrasamples=[alpha]
    )
    array, result = twice_as_large(path)
    assert array.white_is_0 == (photometric == "miniswhite")
    assert np.array_equal(tifffile.imread(result)[::2, ::2], values)


def test_a_text_in_an_unknown_encoding_is_kept_as_it_is(tmp_path: Path) -> None:
    artist = b"\x8d\x81\x90"  # Shift-JIS
    tifffile.imwrite(path := tmp_path / "a.tif", RAMP[0], extratags=[(315, 2, 0, artist, True)])
    _, result = twice_as_large(path)
    with tifffile.TiffFile(result) as file:
        assert file.pages.first.tags["Artist"].value == artist


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_clear_grey_of_a_png_of_few_bits_is_clear(bits: int, tmp_path: Path) -> None:
    from zlib import compress, crc32

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + crc32(name + data).to_bytes(4, "big")

    row = sum(level << (8 - bits - bits * i) for i, level in enumerate(range(8 // bits)))
    head = (8 // bits).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    clear = min(1, 8 // bits - 1)
    (path := tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tRNS", clear.to_bytes(2, "big"))
        + chunk(b"IDAT", compress(bytes([0, row])))
        + chunk(b"IEND", b"")
    )
    photo = read_photo(path, keep_alpha=True)
    assert isinstance(photo.extras.alpha, Image.Image)
    told = np.asarray(photo.extras.alpha).ravel().tolist()
    assert told == [0 if level == clear else 255 for level in range(8 // bits)]


@pytest.mark.parametrize(
    ("said", "kind", "stored", "marks"),
    [("true", "u1", "i1", (-1, [0, -2])), ("false", "i1", "u1", (255, [128, 127]))],
)
def test_whole_numbers_of_a_zarr_are_read_as_they_are_meant(
    said: str, kind: str, stored: str, marks: tuple[int, list[int]], tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    values = np.array([[120, 130], [140, 255]], np.uint8).repeat(4, 0).repeat(4, 1).view(kind)
    store = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, dtype=stored, fill_value=1)
    store[:] = values.view(stored)
    store.attrs.update({"_Unsigned": said, "_FillValue": marks[0], "valid_range": marks[1]})
    array, result = twice_as_large(tmp_path / "a.zarr")
    assert array.values.dtype == kind
    assert np.array_equal(array.values[0, 0], values)
    assert array.missing.sum() == (values == values[-1, -1]).sum()
    written = zarr.open_array(result)
    assert written.dtype == kind
    ends = np.iinfo(kind)
    expected = {
        "_FillValue": int(values[-1, -1]),
        "valid_range": [ends.min, 254 if kind == "u1" else ends.max],
    }
    assert dict(written.attrs) == expected
