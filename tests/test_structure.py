"""The house: imports run one way, rooms stay small, and a light import stays light."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "cvdvae"
LAYERS = [
    {"errors"},
    {"files", "locks", "gaussian"},
    {"configs", "hvae", "hcflow", "degradations", "imaging"},
    {"checkpoints", "damage", "domains", "data", "metrics"},
    {"restoration"},
    {"input_check"},
    {"batch", "bench", "demo", "evaluation", "training"},
    {"analysis"},
    {"app"},
    {"cli"},
]
"""Rooms from the ground up: each may import those below it, and of its own floor only itself."""


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__") if name != "__init__" else ""


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


def imports_in(text: str, package: tuple[str, ...]) -> set[str]:
    """Modules of the package that a file imports, as dotted names below it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {n.name.removeprefix("cvdvae.") for n in node.names if n.name != "cvdvae"
                      and n.name.startswith("cvdvae.")}  # fmt: skip
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        elif (node.module or "").split(".")[0] == "cvdvae":
            base = (node.module or "").split(".")[1:]
        else:
            continue
        name = ".".join(part for part in base if part)
        inner = {f"{name}.{n.name}".lstrip(".") for n in node.names} & MODULES.keys()
        found |= inner or {name}
    return found - {""}


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    return imports_in(path.read_text(), path.relative_to(PACKAGE).with_suffix("").parts[:-1])


@cache
def graph() -> dict[str, set[str]]:
    return {module: imports_of(module) - {module} for module in MODULES if module}


def test_the_graph_sees_every_way_to_import() -> None:
    text = (
        "from . import settings\nfrom .. import errors\n"
        "from ..hvae.model import HVAE\nimport cvdvae.files"
    )
    assert imports_in(text, ("restoration",)) == {
        "restoration.settings", "errors", "hvae.model", "files"
    }  # fmt: skip


def test_the_words_about_photographs_know_nothing_of_the_page() -> None:
    assert not {m for m in graph()["app.photos.text"] if m.startswith("app.") and m != "app.text"}


def test_the_import_graph_has_no_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' → '.join((*trail, module))}"
        if module in done:
            return
        for other in graph().get(module, ()):
            visit(other, (*trail, module))
        done.add(module)

    for module in graph():
        visit(module, ())


def test_every_room_imports_only_what_is_below_it() -> None:
    floor = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}
    for module, imported in graph().items():
        room = module.split(".")[0]
        for other in {name.split(".")[0] for name in imported} - {room}:
            assert floor[other] < floor[room], f"{module} imports {other}"


def test_few_flat_files_are_left() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_are_short(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert (node.end_lineno or 0) - (start or 0) <= 60, f"{module}.{node.name}"


def test_no_photograph_is_in_the_repository_but_those_that_the_docs_show() -> None:
    pictures = {p.name for p in PACKAGE.rglob("*") if re.fullmatch(r"\.(png|jpe?g|webp)", p.suffix)}
    assert pictures == set()
