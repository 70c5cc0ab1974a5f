"""Draws of a part of the images: states at fine strides are no wider than the part needs."""

import itertools

import pytest
import torch
from tiny import tiny_photos

from cvdvae.gaussian.noise import FieldNoise, Inside, Window
from cvdvae.hvae import HVAE, HVAEConfig
from cvdvae.hvae.lr_encoder import drawn_mean
from cvdvae.hvae.top_down import TopDown
from cvdvae.restoration.hvae import HVAEResolver

SIZE = (320, 352)
INSIDE = (slice(128, 176), slice(160, 208))


@pytest.fixture
def photos() -> HVAEResolver:
    return tiny_photos(2)


def sees_all(model: HVAEResolver) -> HVAEResolver:
    """With states that reach as far as its blocks can see."""
    top_down = model.prior.top_down
    top_down.reach = {stride: 3 * reach for stride, reach in top_down.reach.items()}
    return model


def test_a_part_is_what_the_whole_has_there(photos: HVAEResolver) -> None:
    model = sees_all(photos)
    y = torch.rand(1, 3, 160, 176, generator=torch.Generator().manual_seed(0))
    terms = model.encoder.terms(y, 2)
    window, all_of_it = Window(0, 0, *SIZE), Window(0, 0, *SIZE).slices

    def draw(inside: Inside) -> torch.Tensor:
        noise = FieldNoise(3, [0, 1], window)
        given = (model.prior, model.encoder, terms, 2, SIZE, noise, 1.0, 0.9)
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
