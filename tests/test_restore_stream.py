"""A restoration that grows batch by batch."""

from collections.abc import Iterator

import pytest
import torch
from tiny import tiny_photo_restorer

from cvdvae.damage.described import parse
from cvdvae.restoration import restorer
from cvdvae.restoration.believing import Belief
from cvdvae.restoration.restored import Restoration
from cvdvae.restoration.restoring import degraded


def streamed(samples: int, antithetic: bool = False, moves: int = 0) -> Iterator[Restoration]:
    x = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
    model = tiny_photo_restorer()
    how = model.restoring(samples, antithetic=antithetic, moves=moves)
    return model.stream(degraded(x, parse("blur:sigma=1"), 0.02), how, x)


@pytest.mark.parametrize(("antithetic", "moves"), [(False, 0), (True, 0), (False, 9)])
def test_what_has_been_drawn_is_as_if_no_more_had_been_asked_for(
    antithetic: bool, moves: int
) -> None:
    grown = list(streamed(20, antithetic, moves))
    assert len(grown) > 2
    assert [len(one.pixels) for one in grown] == sorted({len(one.pixels) for one in grown})
    for one in (grown[0], grown[-1]):
        samples = len(one.pixels)
        *_, alone = streamed(samples, antithetic, moves)
        assert one.restoring.samples == samples
        assert torch.equal(one.pixels, alone.pixels)
        assert torch.equal(one.samples, alone.samples)
        assert torch.equal(one.std, alone.std)
        left = {"seconds"}
        assert {k: v for k, v in one.report().items() if k not in left} == {
            k: v for k, v in alone.report().items() if k not in left
        }


def test_a_stream_that_is_left_draws_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[range]()
    watched = Belief.draw

    def draw(belief: Belief, indices: range) -> object:
        drawn.append(indices)
        return watched(belief, indices)

    monkeypatch.setattr(Belief, "draw", draw)
    monkeypatch.setattr(restorer, "workers_on", lambda _: 1)
    grown = streamed(40)
    next(grown)
    grown.close()  # type: ignore[attr-defined]
    assert len(drawn) == 1


def test_a_stream_leaves_its_surroundings_alone_between_two_batches() -> None:
    threads = torch.get_num_threads()
    with torch.autocast("cpu", torch.bfloat16):
        grown = streamed(20)
        first = next(grown)
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()
        *_, last = grown
    assert torch.get_num_threads() == threads
    *_, plain = streamed(20)
    assert torch.equal(last.samples, plain.samples)
    assert torch.equal(first.samples, plain.samples[: len(first.samples)])
