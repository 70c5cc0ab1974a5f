"""What the rows of a run were drawn from."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError
from .rows import Batch


class Drawn:
    """``drawn.jsonl``: a line for every row that was drawn, with the mark of its image.

    A row may have several lines, of which the last counts. It has its line before it is drawn, or
    a run that is killed could leave results of nobody knows what; where others read the rows, as
    with Ray, it has it when it comes back.

    Args:
        path: The file; what earlier runs have written stays.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.torn = path, False
        self.begun = dict[str, str]()
        try:
            # Of a disk that was full the last line may end within a character.
            self.file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None

    def marks(self) -> dict[str, str]:
        """Marks by the keys of rows."""
        self.file.seek(0)
        found = dict[str, str]()
        for line in self.file:
            self.torn = not line.endswith("\n")
            with suppress(ValueError, KeyError, TypeError):  # the end of a killed run
                told = json.loads(line)
                found[told["key"]] = str(told["mark"])
        return found

    def begin(self, batch: Batch) -> None:
        """Note rows that are about to be drawn.

        Raises:
            OutputError: It cannot be written.
        """
        for key, mark in zip(batch["key"], batch["mark"], strict=True):
            if mark:
                self._write(key, mark)
                self.begun[key] = mark

    def add(self, key: str, mark: str) -> None:
        """Note a row that was drawn, where it has a mark and no line yet; at once. One that failed
        keeps its line, of which nothing follows: `forget` has it as the next run begins.

        Raises:
            OutputError: It cannot be written.
        """
        if mark and self.begun.pop(key, None) != mark:
            self._write(key, mark)

    def forget(self, keys: Iterable[str]) -> None:
        """Take back the marks of rows that will be drawn anew: a run that is killed may leave them
        without one.

        Raises:
            OutputError: It cannot be written.
        """
        for key in keys:
            self._write(key, "")

    def _write(self, key: str, mark: str) -> None:
        line = json.dumps({"key": key, "mark": mark}, ensure_ascii=False)
        try:  # a killed run may have left its last line without an end
            print(f"\n{line}" if self.torn else line, file=self.file, flush=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from None
        self.torn = False

    def close(self) -> None:
        """No more will be drawn."""
        with suppress(OSError):  # what could not be written was said at once
            self.file.close()
