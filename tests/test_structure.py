"""The house: imports run one way, and a light import stays light."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "cvdvae"
ROOMS_ABOVE = {"cli", "demo", "batch", "training", "metrics", "evaluation", "analysis", "app"}


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, as dotted names below it."""
    package = ("cvdvae", *path.relative_to(PACKAGE).with_suffix("").parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            name = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            found.add(name.removeprefix("cvdvae."))
    return found


def test_the_import_graph_has_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module != "__init__":
            graph[module] = imports_of(path)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' → '.join((*trail, module))}"
        if module in done:
            return
        for other in graph.get(module, ()):
            if other != module:
                visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_the_core_never_imports_what_stands_on_it() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in ROOMS_ABOVE or room == "__init__":
            continue
        above = {name.split(".")[0] for name in imports_of(path)} & ROOMS_ABOVE
        assert not above, f"{path} imports {above}"


def test_no_file_is_long() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 400, path
