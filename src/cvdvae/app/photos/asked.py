"""What the viewer asks for, as it tells it."""

import threading
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from ...errors import InputError


@dataclass(eq=False)
class Wanted:
    """Files of the whole that a visitor wants.

    Attributes:
        told: What the viewer tells of them.
        left: Set once the page shows another photograph than when they were wanted.
        begun: Whether it was their turn.
        followed: Whether others were wanted after them: the page then speaks of those.
        over: Set once they are wanted no more, or all is said of them.
    """

    told: dict[str, Any]
    left: threading.Event = field(default_factory=threading.Event)
    begun: bool = False
    followed: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def goes_on(self) -> bool:
        """Whether they wait, or are drawn."""
        return not (self.over.is_set() or self.left.is_set())

    def end_without(self, keys: Container[str]) -> bool:
        """Want them no more where the set of samples that they are of is none of these; whether it
        is none."""
        lost = self.told.get("key") not in keys
        if lost:
            self.over.set()
        return lost


def number(event: gr.EventData, name: str) -> int:
    """A whole number that the viewer tells."""
    return whole_number(getattr(event, name, None))


def numbers(event: gr.EventData, name: str, count: int) -> list[int]:
    """So many whole numbers that the viewer tells."""
    values = getattr(event, name, None)
    if not isinstance(values, list) or len(values) != count:
        raise InputError("the page has asked for something that is not there: reload it")
    return [whole_number(value) for value in values]


def whole_number(value: Any) -> int:
    """A value that the viewer tells as a whole number.

    Raises:
        InputError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e9:
        raise InputError("the page has asked for something that is not there: reload it")
    if value != int(value):
        raise InputError("the page has asked for something that is not there: reload it")
    return int(value)
