"""Sentences counted by their kind: of many images, few differ in more than numbers."""

import re
from collections import Counter

SIZE = re.compile(r"\d+×\d+")
NUMBER = re.compile(r"…|(?<![\w…])-?\d+(?:[×.]\d+)*(?:e[+-]\d+)?")


class Kinds(Counter[str]):
    """How many sentences there were of each kind: what differs in numbers alone is one, with "…"
    for its sizes and for the numbers that differ.

    Example:
        >>> kinds = Kinds()
        >>> for pages in (2, 3):
        ...     kinds.add(f"holds {pages} pages, more than 1")
        >>> kinds
        Kinds({'holds … pages, more than 1': 2})
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, str] = {}

    def add(self, sentence: str) -> None:
        """Count a sentence."""
        kind = NUMBER.sub("…", SIZE.sub("…", sentence))
        before = self._shown.setdefault(kind, sentence)
        if before != sentence:
            self._shown[kind] = _both(before, sentence)
            self[self._shown[kind]] = self.pop(before)
        self[self._shown[kind]] += 1


def _both(one: str, other: str) -> str:
    """Two sentences of a kind as one."""
    numbers = iter(NUMBER.findall(SIZE.sub("…", other)))
    return NUMBER.sub(lambda n: n[0] if n[0] == next(numbers) else "…", SIZE.sub("…", one))
