"""Lines of code that the pages name by what stands in them, so that a link never goes stale.

In Markdown: {line}`hvae/model.py: self.log_likelihood - self.kl.sum(1)`. The path is below
src/cvdvae; the text after it must stand in exactly one line of that file.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = "src/cvdvae"
ROLE = re.compile(r"\{line\}`([^`]+)`")


class Line(NamedTuple):
    """A line of the repository: path below its root, number from 1."""

    path: str
    number: int


class LineError(ValueError):
    """No line, or several, hold the text."""


def find(target: str) -> Line:
    """The line that ``path: text`` names.

    Raises:
        LineError: The file or the text is gone, or the text is not in one line alone.
    """
    name, _, wanted = target.partition(": ")
    path = ROOT / PACKAGE / name
    if not wanted or not path.is_file():
        raise LineError(f"{{line}}`{target}`: there is no file {PACKAGE}/{name}")
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [number for number, line in enumerate(lines, 1) if wanted in line]
    if len(found) != 1:
        raise LineError(f"{{line}}`{target}`: {len(found)} lines of {name} hold the text, not one")
    return Line(f"{PACKAGE}/{name}", found[0])


def targets(page: Path) -> list[str]:
    """What the `line` roles of a Markdown page name."""
    return ROLE.findall(page.read_text(encoding="utf-8"))
