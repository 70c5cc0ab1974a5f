"""PNG files row by row, against Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvdvae.imaging import png
from cvdvae.imaging.png import PNGWriter, read_rows


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (300, 7)])
@pytest.mark.parametrize("rows", [1, 16, 1000])
def test_pillow_reads_what_was_written(tmp_path: Path, size: tuple[int, int], rows: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with PNGWriter(tmp_path / "a.png", size[1], size[0]) as writer:
        for top in range(0, size[0], rows):
            writer.write(pixels[top : top + rows])
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), pixels)


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    writer = PNGWriter(tmp_path / "a.png", 4, 2)
    with pytest.raises(ValueError, match="does not fit"):
        writer.write(np.zeros((1, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="does not fit"):
        writer.write(np.zeros((3, 4, 3), np.uint8))
    writer.write(np.zeros((1, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="1 rows are missing"):
        writer.close()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("at_once", [1, 100, 2**22])
def test_rows_are_read_back_a_few_at_a_time(
    channels: int, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png, "AT_ONCE", at_once)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 23, channels), dtype=np.uint8)
    pixels[20:60] = 7  # compresses so well that a few bytes hold many rows
    with PNGWriter(tmp_path / "a.png", 23, 70, channels, b"profile", b"Exif\0\0exif") as writer:
        for top in range(0, 70, 16):
            writer.write(pixels[top : top + 16])
    parts = list(read_rows(tmp_path / "a.png"))
    assert np.array_equal(np.concatenate(parts), pixels)
    assert max(len(part) for part in parts) <= 1 + at_once // (23 * channels)
