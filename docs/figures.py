"""Which committed figures are of other weights than those that are bundled.

    python docs/figures.py                  # says what is stale, and which command makes it again
    python docs/figures.py nuclei.png       # notes that it was just made from the bundled weights

`figures.yaml` has for every figure the command that makes it, the bundled models that it shows, and
a digest of their weights as they were then (of models that are not bundled: of the configurations
that they are trained by); docs/make_pictures.py writes it itself. A change of code that draws is
not noticed: look at the figure.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from cvdvae.checkpoints.folder import find, fingerprint_of

HERE = Path(__file__).parent
NOTED = HERE / "figures.yaml"
SUFFIXES = {".png", ".webp", ".svg", ".gif", ".jpg"}


def figures() -> dict[str, dict[str, Any]]:
    """What is noted of every figure, by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(NOTED.read_text(encoding="utf-8"))
    return found


def digest(models: list[str]) -> str:
    """Of the weights of these models and of what they stand on, or of their configurations."""
    told = [f"{name} {_of(name)}" for name in sorted(models)]
    return sha256("\n".join(told).encode()).hexdigest()[:16]


def _of(name: str) -> str:
    if not name.endswith(".yaml"):
        return fingerprint_of(find(name))
    plain = yaml.safe_load((HERE.parent / name).read_text(encoding="utf-8"))
    return json.dumps(plain, sort_keys=True)


def committed() -> set[str]:
    """Names of the figures that there are, and of the report."""
    return {p.name for p in HERE.iterdir() if p.suffix in SUFFIXES} | {"report.html"}


def stale() -> list[str]:
    """A sentence on every figure that is of other weights than the bundled ones."""
    return [
        f"docs/{name} was made from another {' or '.join(noted['models'])}: run {noted['command']}"
        for name, noted in figures().items()
        if noted["digest"] != digest(noted["models"])
    ]


def note(name: str) -> None:
    """Say that a figure was just made."""
    known = figures()
    known[name]["digest"] = digest(known[name]["models"])
    NOTED.write_text(yaml.safe_dump(known, sort_keys=False, width=100), encoding="utf-8")


if __name__ == "__main__":
    for one in sys.argv[1:]:
        if one not in figures():
            sys.exit(f"{NOTED} has no {one}: say there which command makes it, and of which models")
        note(one)
    old = stale()
    print(*old, sep="\n", end="\n" if old else "")
    sys.exit(1 if old else 0)
