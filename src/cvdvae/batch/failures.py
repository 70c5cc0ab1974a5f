"""What could not be drawn, and why."""

import json
import re
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError
from .kinds import Kinds
from .rows import readable


class Failures:
    """``failures.jsonl``: a line for every row that could not be drawn in the last run.

    Args:
        path: The file; that of an earlier run is replaced.

    Attributes:
        reasons: How many rows failed for each kind of them.
    """

    def __init__(self, path: Path) -> None:
        self.reasons = Kinds()
        try:
            self.file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None

    def add(self, key: str, error: str) -> None:
        """Note a row, at once.

        Raises:
            OutputError: It cannot be written.
        """
        error = readable(error)  # which names files
        reason = reason_of(error, key)
        self.reasons.add(reason)
        line = json.dumps({"key": key, "reason": reason, "error": error}, ensure_ascii=False)
        try:
            print(line, file=self.file, flush=True)
        except OSError as problem:
            raise OutputError(f"cannot write {self.file.name}: {problem.strerror}") from None

    def close(self) -> None:
        """No more will fail."""
        with suppress(OSError):  # what could not be written was said at once
            self.file.close()


def reason_of(error: str, key: str) -> str:
    """An error without what belongs to its row: its name, and details in brackets, which a shape
    that should be another is not.

    Example:
        >>> reason_of("a/b.png is damaged or truncated (the file is cut (5 bytes left))", "a/b")
        'is damaged or truncated'
        >>> reason_of("a/b.png: tiny takes images of 4×4 pixels, not 5×5: shrink it", "a/b")
        'tiny takes images of 4×4 pixels, not 5×5'
        >>> reason_of("tiny takes images of shape (3, h, w), not torch.float32 (1, 4, 4)", "a/b")
        'tiny takes images of shape (3, h, w), not torch.float32 (1, 4, 4)'
        >>> reason_of("out/a/b/mean.png is there already", "a/b")
        'is there already'
    """
    file = rf"^(?:.*?/)?{re.escape(key)}(?:\.[^\s:/]*|/[^\s:/]+)?:?\s"
    rest = re.sub(file, "", error) if key else error
    details = re.search(r"\s*\((?:[^()]|\([^()]*\))*\)$", rest)
    if details and not re.search(r"(?:\bnot|\btorch\.\w+)$", rest[: details.start()]):
        rest = rest[: details.start()]
    return rest.split(": ")[0]
