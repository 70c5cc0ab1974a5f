"""One visitor after another: between two samples of one, another may have the processors."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_turn(
    results: Iterator[T], turn: threading.Lock, is_over: Callable[[], bool] = lambda: False
) -> Iterator[T]:
    """The same, each while the turn is held: between two of them others may have it, and it may be
    over."""
    while True:
        with turn:
            result = None if is_over() else next(results, None)
        if result is None:
            return
        yield result
