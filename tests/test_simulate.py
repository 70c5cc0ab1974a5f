"""Photographs as `Image.open` gives them, made small."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import cvdvae
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.errors import InputError
from cvdvae.imaging.io import load_image, to_tensor

H = BicubicDownscaling((16, 16), (4, 4))
RAMP = np.linspace(0, 255, 256).round().astype(np.uint8).reshape(16, 16)
GREY = Image.fromarray(RAMP)
COLOUR = Image.fromarray(np.stack([RAMP, RAMP.T, RAMP[::-1]], 2))


def translucent() -> Image.Image:
    picture = COLOUR.copy()
    picture.putalpha(128)
    return picture


MODES = {
    "L": GREY,
    "RGB": COLOUR,
    "1": GREY.convert("1"),
    "P": COLOUR.quantize(64),
    "LA": GREY.convert("LA"),
    "RGBA": translucent(),
    "CMYK": COLOUR.convert("CMYK"),
    "I;16": Image.fromarray(RAMP.astype(np.uint16) * 257),
    "I": Image.fromarray(RAMP.astype(np.int32) * 257),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_what_a_file_of_it_is(mode: str, tmp_path: Path) -> None:
    photo = MODES[mode]
    assert photo.mode == mode
    photo.save(tmp_path / "photo.tif")
    asked, _ = load_image(tmp_path / "photo.tif")
    kept = asked[:1] if mode in {"L", "1", "LA", "I;16", "I"} else asked
    y, truth = cvdvae.simulate(photo, H, crop="none")
    assert torch.equal(truth, kept)
    assert y.shape == (len(kept), 4, 4)
    at_scale, whole = simulate_at_scale(photo, 4)
    assert torch.equal(at_scale, y)
    assert torch.equal(whole, truth)


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("RGBA", 3)])
def test_a_picture_times_its_alpha_is_what_it_was_without(mode: str, channels: int) -> None:
    """But for the rounding of the product."""
    photo = translucent().convert(mode)
    times_alpha = photo.convert({"LA": "La", "RGBA": "RGBa"}[mode])
    straight, found = (simulate_at_scale(one, 4)[1] for one in (photo, times_alpha))
    assert found.shape == (channels, 16, 16)
    assert (found - straight).abs().max() <= 1.01 / 255


def test_a_picture_that_was_turned_is_upright() -> None:
    photo = COLOUR.copy()
    photo.getexif()[ExifTags.Base.Orientation] = 6
    upright = to_tensor(COLOUR.transpose(Image.Transpose.ROTATE_270))
    assert torch.equal(cvdvae.simulate(photo, H, "none")[1], upright)


@pytest.mark.parametrize("photo", ["photo.png", Path("photo.png"), RAMP, to_tensor(COLOUR)])
def test_what_is_no_picture_is_refused(photo: Image.Image) -> None:
    for made in (lambda: cvdvae.simulate(photo, H, "none"), lambda: simulate_at_scale(photo, 4)):
        with pytest.raises(InputError, match=r"is no picture: .*PIL\.Image\.open"):
            made()


def test_values_without_a_range_are_refused() -> None:
    with pytest.raises(InputError, match="no known range"):
        cvdvae.simulate(Image.fromarray(RAMP.astype(np.float32) / 255), H, "none")


def test_advice_names_the_argument() -> None:
    with pytest.raises(InputError, match="in Python crop="):
        cvdvae.simulate(COLOUR.crop((0, 0, 16, 8)), H, "none")
    with pytest.raises(InputError, match="in Python crop="):
        cvdvae.simulate(COLOUR, H)
