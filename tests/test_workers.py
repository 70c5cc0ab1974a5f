"""Pieces of work side by side, each on one thread."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import cvdvae
from cvdvae.app.turns import in_turn
from cvdvae.hvae.layers import PARTS
from cvdvae.restoration import workers
from cvdvae.restoration.bands import Bands, Once
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.tiles import Tile, tiles
from cvdvae.restoration.workers import (
    end_work,
    held,
    in_order,
    on_one_processor,
    one_thread_each,
    still_wanted,
    usable_memory,
    usable_processors,
    work_begun,
    workers_on,
)


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    def work(i: int) -> int:
        time.sleep(0.002 * (7 - i))
        return i * i

    assert list(in_order(work, range(8), count)) == [i * i for i in range(8)]
    assert list(in_order(work, [], count)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_every_piece_has_one_thread_and_no_gradient(count: int) -> None:
    before = torch.get_num_threads()
    weight = torch.ones(2, requires_grad=True)

    def work(_: int) -> tuple[int, bool]:
        return torch.get_num_threads(), (weight * 2).requires_grad

    torch.set_num_threads(3)
    try:
        assert list(in_order(work, range(4), count)) == [(1, False)] * 4
        assert torch.get_num_threads() == 3
        assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(before)


def test_the_number_of_threads_comes_back_when_the_last_has_left() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_each():
            with one_thread_each():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(KeyError), one_thread_each():
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_ends_the_work_and_nothing_more_is_begun(count: int) -> None:
    begun: list[int] = []
    before = threading.active_count()

    def work(i: int) -> int:
        begun.append(i)
        if i == 1:
            raise ValueError("piece 1")
        time.sleep(0.01)
        return i

    with pytest.raises(ValueError, match="piece 1"):
        list(in_order(work, range(100), count))
    assert len(begun) < 10
    assert threading.active_count() <= before  # others' may have ended meanwhile


class Visitor(threading.Thread):
    """Goes through results on a thread of its own, and knows whether they were cut off."""

    def __init__(self, results: Iterable[object]) -> None:
        super().__init__()
        self.results, self.cut_off = results, False
        self.start()

    def run(self) -> None:
        try:
            list(self.results)
        except SystemExit:
            self.cut_off = True


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("within", [True, False])
def test_work_on_other_threads_ends_with_the_piece_that_it_is_at(within: bool, count: int) -> None:
    begun, at_work, go = list[int](), threading.Event(), threading.Event()

    def wait() -> None:
        at_work.set()
        assert go.wait(30)

    def work(i: int) -> None:
        begun.append(i)
        if within:
            wait()

    def written() -> Iterator[None]:
        for one in in_order(work, range(100), count):
            if not within:
                wait()
            yield one

    visitor = Visitor(written())
    assert at_work.wait(30)
    end_work(0.01)  # it is not waited for any longer than this
    go.set()
    visitor.join(30)
    assert visitor.cut_off
    assert len(begun) <= 1 + workers.AHEAD * count
    assert list(in_order(abs, [-1, -2], count)) == [1, 2], "what begins afterwards is not ended"


def test_what_is_begun_within_work_ends_with_it() -> None:
    inner, at_work, go = list[int](), threading.Event(), threading.Event()

    def work(i: int) -> None:
        at_work.set()
        assert go.wait(30)
        list(in_order(inner.append, range(10), 2))

    visitor = Visitor(in_order(work, range(1), 2))
    assert at_work.wait(30)
    end_work(0.01)
    go.set()
    visitor.join(30)
    assert visitor.cut_off
    assert inner == []


def test_what_is_at_work_for_nobody_ends_where_it_asks() -> None:
    at_work, steps = threading.Event(), list[int]()

    def work(_: int) -> None:
        begun = work_begun()
        for step in range(1000):
            list(in_order(steps.append, [step], 2))  # the end of what is within is none of it
            at_work.set()
            time.sleep(0.01)
            still_wanted(begun)

    def interrupted() -> Iterator[int]:
        yield 0
        assert at_work.wait(30)
        time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(in_order(work, interrupted(), 2))
    assert 1 < len(steps) < 500


def test_who_waits_for_a_turn_gets_none_after_the_end() -> None:
    turn, waits, drawn = threading.Lock(), threading.Event(), list[int]()

    def draw() -> Iterator[int]:
        drawn.append(1)
        yield 1

    def results() -> Iterator[int]:
        waits.set()
        yield from in_turn(draw, turn)

    with turn:
        visitor = Visitor(results())
        assert waits.wait(30)
        time.sleep(0.05)
        end_work(0)
    visitor.join(30)
    assert visitor.cut_off
    assert drawn == []


def test_no_more_is_begun_than_may_wait() -> None:
    begun: list[int] = []
    results = in_order(lambda i: begun.append(i), range(100), 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 1 + workers.AHEAD * 2
    results.close()
    assert len(begun) <= 1 + workers.AHEAD * 2


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000"}, 64),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "damaged"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_container_s_quota_bounds_the_processors(
    files: dict[str, str], wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(workers, "CGROUPS", tmp_path)
    bound = {0: set(range(64))}  # of this process, and of no other
    monkeypatch.setattr("os.sched_getaffinity", bound.__getitem__, raising=False)
    assert usable_processors() == wanted


def test_memory_that_may_be_used_is_the_containers_where_that_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CGROUPS", tmp_path)
    whole = usable_memory()
    assert whole > 2**28
    (tmp_path / "memory").mkdir()
    for name, text, wanted in (
        ("memory/memory.limit_in_bytes", f"{2**63 - 4096}\n", whole),
        ("memory/memory.limit_in_bytes", f"{2**27}\n", 2**27),
        ("memory.max", "max\n", 2**27),
        ("memory.max", f"{2**26}\n", 2**26),
    ):
        (tmp_path / name).write_text(text)
        assert usable_memory() == wanted


def test_a_process_among_others_uses_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_processors", lambda: 7)
    cpu, before = torch.device("cpu"), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert workers_on(cpu) == 7
        assert workers_on(torch.device("meta")) == 1
        with on_one_processor():
            assert (workers_on(cpu), torch.get_num_threads()) == (1, 1)
        with pytest.raises(KeyError), on_one_processor():
            raise KeyError
        assert (workers_on(cpu), torch.get_num_threads()) == (7, 3)
    finally:
        torch.set_num_threads(before)


def test_samples_do_not_depend_on_the_number_of_processors(
    resolver: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = torch.full((3, 4, 4), 0.5)
    drawn = []
    for count in (1, 2, 5):
        monkeypatch.setattr("cvdvae.restoration.workers.usable_processors", lambda n=count: n)
        drawn.append(resolver.upscale(y, samples=9).samples)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


class Counting(ThreadPoolExecutor):
    """Threads that count what they were given at once."""

    asked: ClassVar[set[int]] = set()

    def map(self, fn: Any, *iterables: Any, **how: Any) -> Iterator[Any]:
        self.asked.add(len(iterables[0]))
        return super().map(fn, *iterables, **how)


def test_what_threads_make_of_one_sample_is_the_same_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "ThreadPoolExecutor", Counting)
    model, y = cvdvae.load("photos-x4"), (torch.rand(3, 110, 111) * 255).round() / 255
    drawn = []
    for count in (1, 3):
        monkeypatch.setattr(workers, "usable_processors", lambda n=count: n)
        drawn.append(model.upscale(y, samples=1).samples)
        assert (PARTS in Counting.asked) == (count > 1)  # convolutions in parts of their rows
    assert torch.equal(*drawn)


def test_a_draw_within_a_training_in_bf16_is_the_same(resolver: HVAEResolver) -> None:
    y = torch.full((3, 4, 4), 0.5)
    outside = resolver.upscale(y, samples=5)
    with torch.autocast("cpu", torch.bfloat16):
        within = resolver.upscale(y, samples=5)
    assert torch.equal(within.samples, outside.samples)


def resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared so on Linux alone")
def test_what_is_held_apart_is_a_copy_whose_pages_go_back() -> None:
    whole = torch.rand(1, 6, 1200, 1000).contiguous(memory_format=torch.channels_last)
    part = whole[:, 1:4, 100:1100]
    copy = held(part)
    assert torch.equal(copy, part)
    assert copy.is_contiguous(memory_format=torch.channels_last)
    whole.zero_()
    assert copy.any()
    before = resident()
    del copy
    assert before - resident() > 0.9 * part.nbytes


def test_what_is_small_is_held_as_it_is() -> None:
    x = torch.rand(3, 20, 20)
    assert held(x) is x
    half = torch.rand(1, 8, 700, 200).bfloat16()
    assert torch.equal(held(half), half)
    assert held(half).dtype == torch.bfloat16


@pytest.mark.parametrize("workers", [1, 2])
def test_what_ends_a_row_of_tiles_ends_the_rows_that_others_ask_for(workers: int) -> None:
    def draw(indices: range, tile: Tile, _: Once[None] | None) -> Tensor:
        if tile.core.left:
            raise ValueError("no more of it")
        return torch.ones(len(indices), 1, tile.core.height, tile.core.width)

    cut = list(tiles((8, 16), 1, core=8, halo=0))
    bands = Bands(draw, None, [range(1), range(1, 2)], cut, (1, 16), workers)
    with closing(bands):
        for which in (0, 1):
            with pytest.raises(ValueError, match="no more of it"):
                bands.rows(which, 0, 4)
