"""The local engine: processes with one thread each, as many as there are processors.

A process has one batch at a time and is given the next when it hands one back: what is read ahead
is bounded by the number of processes, however large the source. Where a batch would not fit into
memory beside those that others draw, it waits for them. A process that dies is replaced, and the
rows that it had are drawn again one by one; a row that ends its process twice is given up.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from ..errors import CVDVAEError
from ..restoration.workers import usable_memory
from .memory import memory_of
from .rows import Batch, column
from .settings import Settings
from .upscaler import Deliver, Upscaler

TRIES = 2
"""Processes that a row may end before it is given up."""
Starting = ForkServerContext | SpawnContext
"""How processes start: where that is safe, from one that has imported all and computed nothing, for
PyTorch's threads do not survive a fork; else each imports all for itself."""


class Recipe(NamedTuple):
    """What an `Upscaler` is made of in another process."""

    model: str
    settings: Settings
    deliver: Deliver


class _Task(NamedTuple):
    """A batch, the bytes that it takes while it is drawn, and how many processes it has ended."""

    batch: Batch
    memory: int
    tries: int = 0


def draw_locally(batches: Iterable[Batch], recipe: Recipe, processes: int) -> Iterator[Batch]:
    """Draw batches; the results come as they are ready.

    Args:
        batches: Each is asked for when a process is free.
        recipe: What draws.
        processes: How many; one is this process.

    Raises:
        OutputError: What was drawn cannot be written.
        CVDVAEError: A process cannot be started.
    """
    if processes == 1:
        yield from map(Upscaler(*recipe), batches)
        return
    crew, batches = _Crew(recipe), iter(batches)
    try:
        for batch in islice(batches, processes):  # no more processes than there are batches
            crew.again.append(crew.task(batch))
            crew.hire()
        yield from crew.work(batches)
    finally:
        crew.dismiss()


class _Crew:
    """Processes, and what each is doing.

    Attributes:
        most: Bytes that all tasks together may take; a single one may take any number.
        processes: By the connection to them.
        tasks: What those have that are drawing.
        idle: Those that wait for a task; the others are starting or drawing.
        again: What is left of processes that died.
        exhausted: Whether the source is.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.most = recipe, usable_memory() / 2
        self.context: Starting = multiprocessing.get_context("spawn")
        if sys.platform == "linux":
            self.context = multiprocessing.get_context("forkserver")
            self.context.set_forkserver_preload([__name__])
        self.processes: dict[Connection, BaseProcess] = {}
        self.tasks: dict[Connection, _Task] = {}
        self.idle = list[Connection]()
        self.starting = set[Connection]()
        self.again = deque[_Task]()
        self.exhausted = False

    def hire(self) -> None:
        """Start a process; it says when it is ready."""
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(theirs, self.recipe), daemon=True)
        with _deaf_at_birth():
            process.start()
        theirs.close()
        self.processes[ours] = process
        self.starting.add(ours)

    def task(self, batch: Batch, tries: int = 0) -> _Task:
        """A batch as a task."""
        return _Task(batch, memory_of(batch, self.recipe.settings), tries)

    def work(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Give every process a batch whenever it is free."""
        while True:
            self._hand_out(batches)
            if not self.tasks and not self.again and (self.exhausted or not self.processes):
                return
            for connection in wait([c for c in self.processes if c not in self.idle]):
                result = self._hear(connection)  # type: ignore[arg-type]
                self._hand_out(batches)  # before whoever takes the result is busy with it
                if result is not None:
                    yield result

    def _hand_out(self, batches: Iterator[Batch]) -> None:
        while self.idle and (task := self._next(batches)) is not None:
            taken = sum(one.memory for one in self.tasks.values())
            if self.tasks and taken + task.memory > self.most:
                self.again.appendleft(task)
                return
            connection = self.idle.pop()
            self.tasks[connection] = task
            with suppress(OSError):  # it has died since: `wait` says so
                connection.send(task.batch)

    def _next(self, batches: Iterator[Batch]) -> _Task | None:
        if self.again:
            return self.again.popleft()
        batch = next(batches, None)
        self.exhausted = batch is None
        return None if batch is None else self.task(batch)

    def _hear(self, connection: Connection) -> Batch | None:
        """What a process says: that it is ready, a result, or what must end the run."""
        try:
            said: Batch | Exception | None = connection.recv()
        except (EOFError, OSError):
            return self._bury(connection)
        if isinstance(said, Exception):
            raise said
        self.tasks.pop(connection, None)
        self.starting.discard(connection)
        self.idle.append(connection)
        return said

    def _bury(self, connection: Connection) -> Batch | None:
        """Replace a process that died; what it had is drawn again, or given up."""
        process = self.processes.pop(connection)
        process.join()
        task = self.tasks.pop(connection, None)
        if task is None and connection in self.starting:
            raise CVDVAEError(f"a process could not be started (its exit code: {process.exitcode})")
        self.hire()
        if task is None:
            return None
        singles = [self.task(one, task.tries + 1) for one in one_by_one(task.batch)]
        if len(singles) == 1 and task.tries + 1 >= TRIES:
            return given_up(task.batch, f"ended its process (exit code {process.exitcode})")
        self.again.extend(singles)
        return None

    def dismiss(self) -> None:
        """End all processes."""
        for connection, process in self.processes.items():
            connection.close()
            process.terminate()
        for process in self.processes.values():
            process.join()


@contextmanager
def _deaf_at_birth() -> Iterator[None]:
    """Processes that start within do not hear Ctrl+C, which is for the first process: it would end
    them with a traceback before `_serve` can say so."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starts with the first process, and would undo this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def one_by_one(batch: Batch) -> Iterator[Batch]:
    """A batch as batches of one row."""
    for i in range(len(batch["key"])):
        yield {name: values[i : i + 1] for name, values in batch.items()}


def given_up(batch: Batch, reason: str) -> Batch:
    """What is told of rows that cannot be drawn."""
    error = column([f"{key} {reason}" for key in batch["key"]])
    return {"key": batch["key"], "number": batch["number"], "error": error}


def _serve(connection: Connection, recipe: Recipe) -> None:
    """What a process does until its connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the first process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        upscaler = Upscaler(*recipe)
    except CVDVAEError as error:
        with suppress(OSError):
            connection.send(error)
        return
    said: Batch | Exception | None = None
    with suppress(EOFError, OSError):
        while True:
            connection.send(said)
            batch = connection.recv()
            try:
                said = upscaler(batch)
            except CVDVAEError as error:
                said = error


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on writing beside the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
