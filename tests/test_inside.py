"""Draws of a part of the images: states at fine strides are no wider than the part needs."""

import itertools
from dataclasses import replace

import pytest
import torch
from tiny import SCALES, tiny_photos

from cvdvae.gaussian.noise import FieldNoise, Inside, Window
from cvdvae.hvae import HVAE, HVAEConfig, pyramid
from cvdvae.hvae.lr_encoder import LREncoder, drawn_mean
from cvdvae.hvae.pyramid import PyramidBlock
from cvdvae.hvae.top_down import TopDown
from cvdvae.restoration.hvae import HVAEResolver

SIZE = (320, 352)
INSIDE = (slice(128, 176), slice(160, 208))


@pytest.fixture
def photos() -> HVAEResolver:
    return tiny_photos(2)


def sees_all(model: HVAEResolver, monkeypatch: pytest.MonkeyPatch) -> HVAEResolver:
    """With states that reach as far as its blocks can see."""
    monkeypatch.setattr(pyramid, "REACH", 1)
    top_down = model.prior.top_down
    top_down.reach = {stride: 3 * reach for stride, reach in top_down.reach.items()}
    return model


@pytest.mark.parametrize("top_down", ["", "4u8,4r2,2u4", "4u8,2u4,4r1,2u4,2r1", "2u8,4u8"])
def test_a_part_is_what_the_whole_has_there(
    photos: HVAEResolver, top_down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sees_all(photos, monkeypatch)
    torch.manual_seed(0)
    encoder = LREncoder(replace(SCALES, top_down=top_down), model.prior.config).eval()
    y = torch.rand(1, 3, 160, 176, generator=torch.Generator().manual_seed(0))
    window, all_of_it = Window(0, 0, *SIZE), Window(0, 0, *SIZE).slices

    def draw(inside: Inside) -> torch.Tensor:
        noise = FieldNoise(3, [0, 1], window)
        terms = encoder.terms(y, 2, model.prior.top_down.places(SIZE, inside))
        given = (model.prior, encoder, terms, 2, SIZE, noise, 1.0, 0.9)
        return drawn_mean(*given, inside=inside)

    with torch.no_grad():
        whole = draw(all_of_it)
        for inside in (INSIDE, (slice(0, 37), slice(301, 352)), (slice(5, 6), slice(0, 352))):
            torch.testing.assert_close(draw(inside), whole[..., *inside], rtol=0, atol=1e-6)


def test_no_more_is_computed_than_the_part_needs(photos: HVAEResolver) -> None:
    model, seen = photos, dict[int, torch.Size]()
    strides = model.prior.config.group_strides

    def pick(group: int, h: torch.Tensor, p: object) -> torch.Tensor:
        seen[strides[group]] = h.shape[2:]
        return torch.zeros(1, model.prior.config.z_channels, *h.shape[2:])

    with torch.no_grad():
        model.prior.top_down(pick, 1, size=SIZE, inside=INSIDE)
    pixels = [stride**2 * seen[stride].numel() for stride in sorted(seen, reverse=True)]
    assert pixels == sorted(pixels, reverse=True)
    finest = seen[min(seen)]
    assert min(seen) * finest[0] < SIZE[0] / 2


def test_no_more_is_led_back_than_the_part_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dict[int, int]()
    back = PyramidBlock.forward

    def counted(block: PyramidBlock, h: torch.Tensor, coarse: torch.Tensor | None) -> torch.Tensor:
        seen[block.spec.stride] = block.spec.stride**2 * h[0, 0].numel()
        return back(block, h, coarse)

    monkeypatch.setattr(PyramidBlock, "forward", counted)
    model = tiny_photos(2)
    encoder = LREncoder(replace(SCALES, top_down="8r1,4u8,4r1,2u4"), model.prior.config)
    y, places = torch.rand(1, 3, 160, 176), model.prior.top_down.places(SIZE, INSIDE)
    with torch.no_grad():
        terms = encoder.terms(y, 2, places)
    assert 0 < seen[2] < seen[4] < seen[8] < SIZE[0] * SIZE[1]
    for term, stride in zip(terms, encoder.strides, strict=True):
        assert term.shape[2:] == tuple(side.stop - side.start for side in places[stride])


@pytest.mark.parametrize("top_down", ["4x1,2m4,2x1,1u2", "4x1,2m4,1m4,2m4,1m2", "4x1,1m4,2m4,1m2"])
def test_states_lie_within_those_that_they_begin_with(top_down: str) -> None:
    """In any order of strides."""
    config = HVAEConfig(image_size=16, bottom_up="1x1,1d2,2x1,2d2,4x1", top_down=top_down, width=8)
    torch.manual_seed(0)
    prior = HVAE(config)
    part: TopDown = prior.top_down
    reach = part.reach
    for factor, top, left in itertools.product((1, 3), (0, 24, 37), (0, 40)):
        part.reach = {stride: factor * value for stride, value in reach.items()}
        inside = (slice(top, top + 9), slice(left, left + 24))
        places = {s: part.positions(s, (64, 64), inside) for s in (4, 2, 1)}
        for coarse, fine in ((4, 2), (2, 1)):
            for wide, narrow in zip(places[coarse], places[fine], strict=True):
                assert coarse * wide.start <= fine * narrow.start
                assert coarse * wide.stop >= fine * narrow.stop

        def pick(group: int, h: torch.Tensor, p: object) -> torch.Tensor:
            return torch.ones(1, config.z_channels, *h.shape[2:])

        with torch.no_grad():
            h = part(pick, 1, size=(64, 64), inside=inside)
        assert h.shape[2:] == tuple(place.stop - place.start for place in places[1])
