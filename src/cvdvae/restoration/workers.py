"""Work side by side: every piece on one thread, as many pieces at a time as there are processors.

PyTorch splits an operation among threads that wait for each other at its end. Where another
program holds one of their processors, all of them wait for it, thousands of times in a draw; and
sums in parts depend on the number of parts. A sample that is computed by one thread from beginning
to end waits for nobody, and is the same to the bit wherever it is drawn on a processor. Where there
is one piece of work alone, threads share the rows of its convolutions (`side_by_side`): whichever
is free takes the next, and no sum is cut.
"""

import ctypes
import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from ..hvae.layers import strips_among

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""


def usable_processors() -> int:
    """How many processors this process may use: those it is bound to, and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota(CGROUPS))))


def usable_memory() -> float:
    """Bytes of memory that this process may use: the machine's, or its container's limit; infinity
    where neither is told."""
    whole = math.inf
    with suppress(AttributeError, OSError, ValueError):
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of version 2 or 1
        with suppress(OSError, ValueError):  # there is none, or "max"
            whole = min(whole, float((CGROUPS / name).read_text()))
    return whole


def workers_on(device: torch.device) -> int:
    """How many pieces of work a device takes at a time: on a GPU one, which fills it."""
    return usable_processors() if device.type == "cpu" and not _alone.get() else 1


_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def on_one_processor() -> Iterator[None]:
    """One piece at a time within, in the calling thread: the others belong to other processes."""
    before = _alone.set(True)
    try:
        with one_thread_each():
            yield
    finally:
        _alone.reset(before)


def _quota(root: Path) -> float:
    """Processors that a control group allows, of version 2 or 1; infinity where it says nothing."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((root / "cpu" / name).read_text() for name in names)
        allowed = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
    return allowed if allowed > 0 else math.inf


class _Threads:
    """How many threads PyTorch had before the first of those who want one each."""

    lock = threading.Lock()
    users = before = 0


@contextmanager
def one_thread_each() -> Iterator[None]:
    """PyTorch's operations use the thread that calls them, and no other, until the end of this.

    The number of threads belongs to the process: it is put back when the last user has left.
    """
    with _Threads.lock:
        if _Threads.users == 0:
            _Threads.before = torch.get_num_threads()
        _Threads.users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.users -= 1
            if _Threads.users == 0:
                torch.set_num_threads(_Threads.before)


P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def in_own_modes(device: torch.device) -> Iterator[None]:
    """One thread, the dtypes of a model on that device, and gradients where they are asked for,
    whatever the modes are that this is called in."""
    cpu, own = (torch.autocast(kind, enabled=False) for kind in ("cpu", device.type))
    with one_thread_each(), cpu, own, torch.inference_mode(False), torch.no_grad():
        yield


def uncast(work: Callable[P, R]) -> Callable[P, R]:
    """The same on the CPU in the dtypes of what it is given, whatever a training around it computes
    in: what is cast is a matter of the thread, and results must not depend on that."""

    @wraps(work)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False):
            return work(*args, **kwargs)

    return within


ARENAS = "MALLOC_ARENA_MAX"
MALLOC = {
    ARENAS: (-8, (1,)),
    "MALLOC_MMAP_THRESHOLD_": (-3, (2**27, 2**25)),
    "MALLOC_TRIM_THRESHOLD_": (-1, (2**28,)),
}
"""Parameters of glibc's malloc as malloc.h numbers them, and values to try one after the other (the
second has a limit before version 2.35), by the variables of the environment with which a user may
say otherwise."""
SMALL = 2**18
"""Pixels up to which an image does not need what the threads' arenas keep."""


def share_memory_for(size: tuple[int, int]) -> None:
    """`share_memory` before images of that height and width are drawn, in one arena if they are
    large. For the pieces of small ones threads would wait at its lock: a fifth of a move's time."""
    share_memory(arena=math.prod(size) > SMALL)


@cache
def share_memory(arena: bool = True) -> None:
    """Let threads share glibc's arena, where each keeps what others could use, and let them keep
    large blocks for the next: to get pages anew costs a twentieth of a draw. Not the largest, and
    not all: what lies between two that are held is nobody's."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for name, (parameter, values) in MALLOC.items():
            if name in os.environ or (name == ARENAS and not arena):
                continue
            if not any(mallopt(parameter, one) for one in values):
                return  # what follows would only fix in place what is there


LARGE = 2**20
"""Bytes from which on a tensor that is held has pages of its own."""


def apart(like: Tensor) -> Tensor:
    """An empty tensor of that kind on the CPU, in pages of its own: what is held for long in an
    arena keeps what is free around it from being used for anything larger."""
    if sys.platform != "linux" or like.nbytes < LARGE:
        return torch.empty_like(like, device="cpu")
    like = torch.empty_like(like, device="meta")  # without gaps, where it is a part of another
    pages = mmap.mmap(-1, like.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):  # this kernel, or this Python, knows of none
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=like.dtype).as_strided(like.shape, like.stride())


def held(x: Tensor) -> Tensor:
    """What is to be held for long: itself, or a copy that is `apart` where it is large, which keeps
    nothing alive that x is a part of."""
    if x.device.type != "cpu" or x.nbytes < LARGE:
        return x
    return apart(x).copy_(x)


AHEAD = 2
"""Items begun or done for every worker that nobody has taken yet: what bounds the memory."""


class Begun:
    """Work that was begun together.

    Args:
        within: What work it belongs to, if to any.

    Attributes:
        left: Whether nobody takes its results any more.
    """

    def __init__(self, within: "Begun | None" = None) -> None:
        self.within, self.left, self.ended = within, False, _Work.ended

    @property
    def wanted(self) -> bool:
        """Neither left, nor was all work ended since, nor is it part of such work."""
        if self.left or self.ended != _Work.ended:
            return False
        return self.within is None or self.within.wanted


class _Work:
    """What is at work, on any thread, and how often all of it was ended."""

    changed = threading.Condition()
    pieces = ended = 0
    thread = threading.local()


def work_begun() -> Begun:
    """What the work of this thread belongs to, for `still_wanted`."""
    begun: Begun | None = getattr(_Work.thread, "begun", None)
    return Begun() if begun is None else begun


def still_wanted(begun: Begun) -> None:
    """Go on with work, unless nobody takes its results any more, or all was ended since.

    Raises:
        SystemExit: So it is.
    """
    if not begun.wanted:
        raise SystemExit("the work was ended")


@contextmanager
def _piece(begun: Begun) -> Iterator[None]:
    """Be at a piece of work, and what is begun within belongs to it."""
    with _Work.changed:
        still_wanted(begun)
        _Work.pieces += 1
    before, _Work.thread.begun = getattr(_Work.thread, "begun", None), begun
    try:
        yield
    finally:
        _Work.thread.begun = before
        with _Work.changed:
            _Work.pieces -= 1
            _Work.changed.notify_all()


def end_work(seconds: float) -> None:
    """Let all work that was begun until now end with the pieces that it is at, on all threads:
    further ones raise `SystemExit`. Wait so long for that."""
    with _Work.changed:
        _Work.ended += 1
        _Work.changed.wait_for(lambda: _Work.pieces == 0, seconds)


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """``work(item)`` for every item, in the order of the items, on one thread each.

    Args:
        work: What to do; without gradients.
        items: What to do it with.
        workers: How many at a time; one works in the calling thread.

    Until the last is taken, or the iterator closed, PyTorch has one thread in whoever takes them,
    too: MKL knows one number of threads for all.

    Yields:
        The results. What `work` raises is raised here, or `SystemExit` after `end_work`, and no
        further item is begun after it, nor where the iterator is closed; those at work end where
        they ask whether they are `still_wanted`.
    """
    begun = Begun(work_begun())

    @torch.no_grad()
    def alone(item: T) -> R:
        with _piece(begun):
            return work(item)

    share_memory(arena=False)
    with one_thread_each():
        if workers == 1:
            yield from map(alone, items)
            return
        pool = _threads(workers)
        waiting = deque[Future[R]]()
        try:
            for item in items:
                waiting.append(pool.submit(alone, item))
                if len(waiting) == AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # at its end it is not left: bands that it began go on after it
            begun.left = True
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _threads(count: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch has one each."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


@contextmanager
def side_by_side(workers: int) -> Iterator[None]:
    """What networks do within, so many threads do together: for a piece of work beside which there
    is no other. It is the same to the bit."""
    if workers == 1:
        yield
        return
    share_memory(arena=False)
    with _threads(workers) as threads, strips_among(threads):
        yield


OnDone = Callable[[float], None]
"""Called, on any thread, with how much is done since the last call, in the unit of who takes it."""
NETWORK = 0.7
"""Share of a sample's work that its network is; the rest is what finishes it (of 4 samples of a
photograph of 768×512 pixels, made four times as large; of a restoration it is a guess)."""
SAVED = 0.4
"""What statistics, sheets and files take beside the samples, in samples (of the same)."""


def untold(done: float) -> None:
    """Tell nobody."""


def in_parts(on_share: OnDone, whole: float, done: float) -> None:
    """Tell what share of the whole is done."""
    on_share(done / whole)
