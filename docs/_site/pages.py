"""Pages that are made of what lies elsewhere: the reference, the model cards, the changelog."""

import pkgutil
import re
import shutil
from itertools import compress
from pathlib import Path

from sphinx.application import Sphinx

import cvdvae

from .lines import ROOT

DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
ROOMS = {
    "degradations": "Degradations and the projection",
    "restoration": "From y to samples",
    "hvae": "The hierarchical VAE",
    "hcflow": "The conditional flow",
    "gaussian": "Gaussians and noise",
    "imaging": "Files, tensors, pictures",
    "domains": "Domains",
    "checkpoints": "Model folders",
    "input_check": "Is this input such as the model knows?",
    "batch": "Many files",
    "metrics": "Metrics",
    "evaluation": "Evaluation",
    "analysis": "Calibration and what the models know",
    "data": "Training images",
    "training": "Training",
    "errors": "Errors",
}


def modules(room: str) -> list[str]:
    """The modules of a room that have something to document."""
    path = ROOT / "src" / "cvdvae" / room
    if not path.is_dir():
        return [f"cvdvae.{room}"]
    return [f"cvdvae.{room}.{m.name}" for m in pkgutil.iter_modules([str(path)])]


def reference() -> str:
    """All public names, then the rooms."""
    names = "".join(f"   cvdvae.{name}\n" for name in cvdvae.__all__)
    rooms = "".join(f"   rooms/{room}\n" for room in ROOMS)
    return (
        "Every public name\n=================\n\n"
        "What ``import cvdvae`` offers. Images are float in [0, 1], ``(N, C, H, W)`` or "
        "``(C, H, W)``.\n\n"
        f".. autosummary::\n   :toctree: api\n   :nosignatures:\n\n{names}\n\n"
        "The rooms\n---------\n\nWhat extensions build on; imports run one way, see "
        f":doc:`contributing`.\n\n.. toctree::\n   :maxdepth: 1\n\n{rooms}"
    )


def room_page(room: str, title: str) -> str:
    """The modules of a room, one after the other."""
    described = (
        f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
        for name in modules(room)
    )
    return "\n".join([f"{title}\n{'=' * len(title)}\n", *described])


def card(path: Path) -> str:
    """A model card, with its links as seen from where it is written."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./([\w-]+)/README\.md\)", r"](\1.md)", text)
    return text.replace("](../../../../docs/", "](../../")


def write(app: Sphinx) -> None:
    """Write them all, anew."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    (GENERATED / "models").mkdir(parents=True)
    (GENERATED / "rooms").mkdir()
    (GENERATED / "reference.rst").write_text(reference(), encoding="utf-8")
    for room, title in ROOMS.items():
        page = GENERATED / "rooms" / f"{room}.rst"
        page.write_text(room_page(room, title), encoding="utf-8")
    for path in (ROOT / "src" / "cvdvae" / "zoo").glob("*/README.md"):
        (GENERATED / "models" / f"{path.parent.name}.md").write_text(card(path), encoding="utf-8")
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        (GENERATED / f"{name.lower()}.md").write_text(text, encoding="utf-8")


def leave_out_what_is_not_there(app: Sphinx, docname: str, source: list[str]) -> None:
    """Take globs out of the index that nothing matches: Sphinx would warn of them."""
    if docname == "index":
        lines = source[0].splitlines()
        there = [not re.fullmatch(r"[\w/]+\*", line) or any(DOCS.glob(line)) for line in lines]
        source[0] = "\n".join(compress(lines, there))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write, priority=1)
    app.connect("source-read", leave_out_what_is_not_there)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
