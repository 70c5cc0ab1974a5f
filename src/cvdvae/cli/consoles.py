"""Where commands print: on a terminal, or into a pipe or a file, which is no terminal of 80 columns
and cannot show a bar."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

WIDTH, SECONDS = 200, 10.0
"""Columns of what is no terminal, and the time between two lines on how far the work is."""
LOOK_BACK = 300.0
"""Seconds whose speed says how long the rest takes: work comes in pieces of some."""


class WideConsole(Console):
    """A console that breaks lines for a terminal alone, and in which `:x:` of a name is no picture.

    Args:
        stderr: Whether it is that of standard error.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, emoji=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """As Rich does."""
        text = all(isinstance(one, str) for one in objects)
        super().print(*objects, **{"soft_wrap": text and not self.is_terminal, **how})

    @property
    def size(self) -> ConsoleDimensions:
        """That of the terminal; `WIDTH` columns where there is none, or what COLUMNS says."""
        size = super().size
        if self.is_terminal or "COLUMNS" in os.environ:
            return size
        return ConsoleDimensions(WIDTH, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


out, err = WideConsole(), WideConsole(stderr=True)


def console_of_results() -> Console:
    """That of stdout; where both are the terminal that shows a bar, that of the bar, which makes
    room for what it prints. A pipe is none, whatever Rich is told by ``FORCE_COLOR``."""
    return err if out.file.isatty() and err.file.isatty() else out


class Counted(Progress):
    """A bar that vanishes when done; where none can be seen, a line every `SECONDS`."""

    said, percent, to_go = 0.0, False, True

    def stop(self) -> None:
        """End it, without the empty line that Rich leaves where no bar was seen."""
        self.live.stop()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Go on, and say so where it is time."""
        super().advance(task_id, advance)
        self._say(task_id)

    def update(self, task_id: TaskID, **fields: Any) -> None:
        """Change what is shown, and say so where it is time."""
        super().update(task_id, **fields)
        self._say(task_id)

    def _say(self, task_id: TaskID) -> None:
        with self._lock:  # threads draw side by side
            now = time.monotonic()
            self.said = self.said or now
            if self.disable or self.console.is_terminal or now - self.said < SECONDS:
                return
            self.said = now
        task = next(task for task in self.tasks if task.id == task_id)
        of = "" if task.total is None else f" of {task.total:.0f}"
        done = f"{task.percentage:.0f} %" if self.percent else f"{task.completed:.0f}{of}"
        left = task.time_remaining if self.to_go else None
        to_go = "" if left is None else f", {timedelta(seconds=round(left))} to go"
        line = f"{task.description}: {done}{to_go}".lstrip(": ")
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Shares:
    """Progress over inputs of different sizes, each with a share of the bar by its pixels.

    Args:
        progress: The bar.
        sizes: Of the inputs, in pixels.
    """

    def __init__(self, progress: Progress, sizes: list[int]) -> None:
        self.progress, self.sizes = progress, sizes
        self.task, self.done = progress.add_task("", total=max(1, sum(sizes))), 0

    @contextmanager
    def of(self, index: int, name: str, steps: float) -> Iterator[Callable[[float], None]]:
        """Give what is to be called with the steps done, of all that one input takes. One that
        has failed leaves the bar: what it would have taken says nothing of how fast others go."""
        size = self.sizes[index]
        total = max(1, self.done + sum(self.sizes[index:]))
        self.progress.update(self.task, description=name, completed=self.done, total=total)
        yield lambda done: self.progress.advance(self.task, done / steps * size)
        self.done += size
        self.progress.update(self.task, completed=self.done)


def progress_bar(quiet: bool = False, percent: bool = False, to_go: bool = True) -> Progress:
    """A bar with a count or per cent, and the time to go where nothing else tells it."""
    done = "{task.percentage:.0f} %" if percent else "{task.completed}"
    time_to_go = [TimeRemainingColumn()] if to_go else []
    bar = Counted(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(done),
        *time_to_go,
        console=err,
        speed_estimate_period=LOOK_BACK,
        transient=True,
        redirect_stdout=False,  # or what a pipe waits for would be shown on the terminal
        disable=quiet,
    )
    bar.percent, bar.to_go = percent, to_go
    return bar


def print_json(data: dict[str, Any]) -> None:
    """One line of JSON, at once."""
    from ..restoration.saving import to_json

    line = to_json(data)
    console_of_results().print(line, markup=False, highlight=False, soft_wrap=True)
