"""Restoration of images of any size."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_photo_restorer

from cvdvae.app.restoring.damage import LARGEST, as_it_is, image_in
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_pil
from cvdvae.imaging.sheets import TILE
from cvdvae.restoration import restorer as restoring
from cvdvae.restoration import tiles as tiling
from cvdvae.restoration.believing import Belief
from cvdvae.restoration.described import parse
from cvdvae.restoration.evidence import evidence
from cvdvae.restoration.restored import restoration_from_dict
from cvdvae.restoration.restoring import Seen, degraded


def seen_of(words: str, height: int, width: int, noise: float | None = None) -> Seen:
    """What is seen of a smooth picture."""
    corners = torch.rand(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(corners, (height, width), mode="bilinear", align_corners=True)[0]
    return degraded(0.2 + 0.6 * smooth, parse(words), noise)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 24), (33, 20)])
@pytest.mark.parametrize("words", ["random:keep=0.6,seed=1", "noise", "jpeg:quality=50"])
def test_an_image_of_any_size_keeps_it(words: str, size: tuple[int, int]) -> None:
    model, told = tiny_photo_restorer(), seen_of(words, *size)
    many, few = (model.run(told, model.restoring(n, seed=2)) for n in (3, 2))
    assert many.pixels.shape == (3, 3, *size)
    assert torch.equal(many.pixels[:2], few.pixels)
    if told.sigma == 0:
        assert all(many.explains)


@pytest.mark.parametrize("words", ["hole:side=20", "blur:sigma=1.5", "jpeg:quality=40"])
def test_tiles_differ_from_the_whole_by_less_than_a_grey_level(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, told = tiny_photo_restorer(), seen_of(words, 96, 120)
    assert model.encoder is not None
    of_y = evidence(told.degradation, told.y, told.sigma)
    believe = partial(Belief, model.prior, model.encoder, of_y, temperature=1.0, seed=1)
    whole = believe().draw(range(2))[0]
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 48)
    belief = believe()
    assert len(belief.tiles) > 4
    one, two = (belief.draw(range(2), workers)[0] for workers in (1, 2))
    assert torch.equal(one, two)
    assert float((whole - one).abs().max()) * 255 < 0.1
    result = model.run(told, model.restoring(2, seed=1))
    assert result.sigma > 0 or all(result.explains)
    monkeypatch.setattr(tiling, "HALO", 0)
    assert float((whole - believe().draw(range(2))[0]).abs().max()) * 255 > 0.1


@pytest.mark.parametrize("words", ["hole:side=6", "jpeg:quality=50"])
def test_pixels_are_drawn_and_chains_move_at_any_size(words: str) -> None:
    model, told = tiny_photo_restorer(), seen_of(words, 21, 18)
    grainy = model.run(told, model.restoring(2, seed=1, grain=True))
    smooth = model.run(told, model.restoring(2, seed=1))
    assert not torch.equal(grainy.samples, smooth.samples)
    assert model.run(told, model.restoring(2, moves=2)).diagnostics is not None


def test_what_does_not_fit_is_said_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model, told = tiny_photo_restorer(), seen_of("noise", 40, 50, 0.1)
    monkeypatch.setattr(restoring, "MOST_PIXELS", 5000)
    with pytest.raises(InputError, match=r"3 samples of 0\.0 megapixels do not fit"):
        model.run(told, model.restoring(3))
    monkeypatch.setattr(restoring, "WHOLE_PIXELS", 1000)
    with pytest.raises(InputError, match="chains move on images of up to"):
        model.run(told, model.restoring(1, moves=3))


def test_a_large_result_shows_where_its_samples_differ_most() -> None:
    model, told = tiny_photo_restorer(), seen_of("hole:side=60", 200, 700)
    result = model.run(told, model.restoring(2), truth=torch.full((3, 200, 700), 0.5))
    assert result.grid().width < 1.5 * 5 * TILE  # seen, two samples, where they differ, the truth
    again = restoration_from_dict(result.report(), "there")
    assert torch.equal(model.run(again.seen, again.restoring).pixels, result.pixels)


def test_the_page_shrinks_a_large_photograph_but_not_its_damage(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    to_pil(torch.zeros(3, 20, 30, dtype=torch.uint8)).save(small)
    to_pil(torch.zeros(3, 1500, 800, dtype=torch.uint8)).save(large)
    assert image_in(small, None).as_it_is
    given = image_in(large, None)
    assert not given.as_it_is
    assert 0.98 * LARGEST < given.x[0].numel() <= LARGEST
    assert given.x.shape[1] / given.x.shape[2] == pytest.approx(1500 / 800, rel=0.01)
    assert "800×1500" in given.note
    with pytest.raises(InputError, match="damaged in another way"):
        as_it_is(given, large, parse("noise"), 0.1)
