"""One visitor after another: between two samples of one, another may have the processors."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..restoration.workers import still_wanted, work_begun

T = TypeVar("T")


def in_turn(
    draw: Callable[[], Iterator[T]],
    turn: threading.Lock,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[T]:
    """What is drawn, begun and each waited for while the turn is held: between two of them others
    may have it, and it may be over. What was begun ahead of them goes on beside the others."""
    results: Iterator[T] | None = None
    begun = work_begun()
    while True:
        with turn:
            still_wanted(begun)
            if is_over():
                return
            results = draw() if results is None else results
            result = next(results, None)
        if result is None:
            return
        yield result
