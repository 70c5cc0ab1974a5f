"""Samples of a large image that are drawn some at a time, each as it would be alone."""

import ctypes
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from test_any_size import image
from test_restore_photos import believing, seen_of
from tiny import tiny_photo_restorer, tiny_photos

from cvdvae.gaussian.noise import Inside
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.restoration import bands, workers
from cvdvae.restoration import believing as belief_of
from cvdvae.restoration import finish as finishing
from cvdvae.restoration import tiles as tiling
from cvdvae.restoration.bands import Bands, Drawer, Once, _shared, groups
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.sums import Sums
from cvdvae.restoration.tiles import Tile


@pytest.fixture
def photos() -> HVAEResolver:
    return tiny_photos(3)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tiles, and some strips, of images of 102×102 pixels."""
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 48)
    monkeypatch.setattr(tiling, "HALO", 16)
    monkeypatch.setattr(finishing, "STRIP_PIXELS", 1800)


def drawing_of(photos: HVAEResolver, samples: int, many: int, how: str = "") -> Drawing:
    pairs, turned = how == "antithetic", how == "self_ensemble"
    sampling = Sampling(samples, seed=2, antithetic=pairs, self_ensemble=turned)
    drawing = Drawing(photos, image(34, 34), sampling)
    drawing.workers = many
    return drawing


@pytest.mark.parametrize(("many", "how"), [(2, ""), (1, "self_ensemble"), (2, "antithetic")])
def test_samples_that_are_drawn_together_are_what_each_is_alone(
    many: int,
    how: str,
    photos: HVAEResolver,
    small_tiles: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = [list(drawing_of(photos, 3, many, how).strips(i)) for i in range(3)]
    assert all(len(strips) > 2 for strips in alone)
    for held in (1,) if how else (bands.HELD, 2 * 3 * 102 * 1536 * 4, 1):
        monkeypatch.setattr(bands, "HELD", held)
        together: list[list[torch.Tensor]] = [[] for _ in range(3)]
        for index, strip in drawing_of(photos, 3, many, how).all_strips():
            assert len(strip.pixels) == 1
            together[index].append(strip.pixels)
        for strips, pixels in zip(alone, together, strict=True):
            assert torch.equal(torch.cat([one.pixels for one in strips], 2), torch.cat(pixels, 2))
    finished = torch.cat([one.pixels for one in drawing_of(photos, 3, many, how).finished()])
    whole = [torch.cat([one.pixels for one in strips], 2) for strips in alone]
    assert torch.equal(finished, torch.cat(whole))


@pytest.mark.parametrize(("samples", "held", "times"), [(5, 2**30, 1), (5, 1, 3), (1, 2**30, 1)])
def test_a_tile_is_encoded_once_for_samples_that_are_drawn_together(
    samples: int,
    held: int,
    times: int,
    photos: HVAEResolver,
    small_tiles: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bands, "HELD", held)
    encoded, drawer = list[torch.Tensor](), photos.drawer

    def counted(y: torch.Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        encoded.append(y)
        return drawer(y, sampling, inside)

    monkeypatch.setattr(photos, "drawer", counted)
    drawing = drawing_of(photos, samples, 2)
    assert (len(drawing.tiles), drawing.batch) == (4, 2)
    assert len(list(drawing.all_strips())) % samples == 0
    assert len(encoded) == 4 * times


def test_the_encoding_of_a_tile_is_ready_when_the_first_sample_needs_it() -> None:
    cut = list(tiling.tiles((96, 32), 16, core=32, halo=0))
    told: list[str] = []

    def encode(tile: Tile) -> Drawer:
        told.append(f"encode {tile.core.top}")
        return lambda noise, n: torch.empty(0)

    def draw(indices: range, tile: Tile, encoded: Once[Drawer] | None) -> torch.Tensor:
        assert encoded is not None
        encoded()
        told.append(f"draw {tile.core.top} {indices.start}")
        return torch.full((1, 1, *tile.core[2:]), float(indices.start))

    batches = [range(i, i + 1) for i in range(3)]
    some = Bands(draw, encode, batches, cut, (1, 32), 1)
    assert [float(some.rows(i, 0, 96).mean()) for i in range(3)] == [0, 1, 2]
    first, second = (["encode 0", *("draw 0 " + str(i) for i in range(2))], "encode 32")
    assert told[:5] == [*first, second, "draw 0 2"]
    assert sum(one.startswith("encode") for one in told) == 3
    some.close()


def test_the_first_two_tiles_are_encoded_side_by_side() -> None:
    cut = list(tiling.tiles((96, 32), 16, core=32, halo=0))
    batches, pieces = [range(i, i + 1) for i in range(3)], list[str]()
    for tile, _, indices in _shared(lambda tile: tile, batches, cut, 2):
        what = "encode" if indices is None else f"draw {indices.start} of"
        pieces.append(f"{what} {tile.core.top}")
    assert pieces[:3] == ["encode 0", "encode 32", "draw 0 of 0"]
    assert pieces[5:9] == ["draw 0 of 32", "encode 64", "draw 1 of 32", "draw 2 of 32"]
    assert len(pieces) == 3 + 9


def test_what_ends_the_drawing_is_what_every_thread_is_told() -> None:
    def draw(indices: range, tile: Tile, encoded: Once[Drawer] | None) -> torch.Tensor:
        raise InterruptedError("by hand")

    cut = list(tiling.tiles((96, 32), 16, core=32, halo=0))
    some = Bands(draw, None, [range(1), range(1, 2)], cut, (1, 32), 1)
    for which in (0, 1, 0):
        with pytest.raises(InterruptedError, match="by hand"):
            some.rows(which, 0, 32)
    some.close()


def test_what_is_computed_once_is_waited_for_by_others() -> None:
    calls, go = list[int](), threading.Event()

    def compute() -> int:
        calls.append(1)
        go.wait(60)
        return 7

    once = Once(compute)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(once) for _ in range(4)]
        go.set()
        assert [one.result() for one in found] == [7] * 4
    assert len(calls) == 1


def test_as_many_samples_are_held_as_there_is_room_for() -> None:
    held_by_one = 3 * 10_000 * 1536 * 4
    count = bands.HELD // held_by_one
    assert count == 3, "or samples of a photograph of 100 megapixels share little"
    assert [len(some) for some in groups(range(5), 3, 10_000)] == [2, 3]
    assert [len(some) for some in groups(range(3), 3, 10**9)] == [1, 1, 1]
    assert [len(some) for some in groups(range(3), 3, 10**9, least=2)] == [1, 2]
    assert [len(some) for some in groups(range(5), 3, 1000, kept=10_000)] == [2, 3]
    assert list(groups(range(0), 3, 10)) == []


def test_sums_of_samples_that_come_in_turn_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (3, 10, 7, 3), dtype=np.uint8)
    total = Sums(tmp_path, 10, 7)
    for top in (0, 4, 8):
        for sample in samples[:2]:
            total.add(top, sample[top : top + 4])
    total.next_sample()
    total.next_sample()
    for top in (0, 4, 8):
        total.add(top, samples[2][top : top + 4])
    total.next_sample()
    np.testing.assert_allclose(total.mean(0, 10), samples.mean(0), rtol=1e-6)
    std = np.sqrt(samples.var(0, ddof=1).mean(2))
    np.testing.assert_allclose(total.std(0, 10), std, rtol=1e-6)
    total.close()


@pytest.mark.parametrize(
    ("named", "taken", "expected"),
    [
        ("", {1, 2**27, 2**28}, [(-8, 1), (-3, 2**27), (-1, 2**28)]),
        ("MALLOC_ARENA_MAX", {1, 2**27, 2**28}, [(-3, 2**27), (-1, 2**28)]),
        ("MALLOC_TRIM_THRESHOLD_", {1, 2**27}, [(-8, 1), (-3, 2**27)]),
        ("", {1, 2**25, 2**28}, [(-8, 1), (-3, 2**27), (-3, 2**25), (-1, 2**28)]),
        ("", {1}, [(-8, 1), (-3, 2**27), (-3, 2**25)]),
    ],
)
def test_threads_share_memory_unless_the_user_wants_it_otherwise(
    named: str,
    taken: set[int],
    expected: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[tuple[int, int]]()

    class Library:
        def __init__(self, name: None) -> None:
            pass

        def mallopt(self, what: int, value: int) -> int:
            asked.append((what, value))
            return int(value in taken)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr("sys.platform", "linux")
    for one in workers.MALLOC:
        monkeypatch.delenv(one, raising=False)
    if named:
        monkeypatch.setenv(named, "4")
    workers.share_memory.__wrapped__()
    assert asked == expected


@pytest.mark.parametrize(("side", "one"), [(16, False), (200, True)])
def test_what_draws_large_images_shares_one_arena(
    side: int, one: bool, photos: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(workers, "share_memory", lambda arena: asked.append(arena))
    Drawing(photos, image(side, side), Sampling(samples=1))
    assert any(asked) == one
    del asked[:]
    tiny_photo_restorer().restore(image(3 * side, 3 * side), "noise", samples=1, noise=0.1)
    assert asked[0] == one, "before what was seen is told to the encoder"
    for _ in workers.in_order(abs, [1], 1):
        pass
    assert not asked[-1], "who works in order says nothing of how large the images are"


def test_a_tile_is_encoded_once_for_what_is_restored_together(
    small_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, told = tiny_photo_restorer(), seen_of("hole:side=6", 96, 64)
    monkeypatch.setattr(belief_of, "TOGETHER", 2)
    encoded, terms = list[torch.Tensor](), LREncoder.terms

    def counted(
        encoder: LREncoder, y: torch.Tensor, scale: int, places: Mapping[int, Inside]
    ) -> list[torch.Tensor]:
        encoded.append(y)
        return terms(encoder, y, scale, places)

    monkeypatch.setattr(LREncoder, "terms", counted)
    belief = believing(model, told)()
    batches = [range(i, i + belief.batch) for i in range(0, 3 * belief.batch, belief.batch)]
    alone = [next(belief.draw_together([indices]))[0] for indices in batches]
    assert len(encoded) == 3 * len(belief.tiles) > 3
    for many in (1, 2):
        encoded.clear()
        for one, (mean, _) in zip(alone, belief.draw_together(batches, many), strict=True):
            assert torch.equal(one, mean)
        assert len(encoded) == 2 * len(belief.tiles)  # of two batches, and of the third
