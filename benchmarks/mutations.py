"""The changes that `mutants.py` makes: each one thing in one file."""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of one file; its name holds over commits that leave the line as it is."""

    path: Path
    node: int
    variant: int
    line: int
    name: str
    function: str

    def is_in(self, place: str) -> bool:
        """Whether a function, "file:qualified name", is its own, or any of its file without one."""
        return place == self.function or self.function == place.split(":")[0] + ":"

    def tree(self) -> ast.Module:
        """The changed file, its lines where they were."""
        tree = ast.parse(self.path.read_text())
        _change(next(n for i, n in enumerate(_living(tree)) if i == self.node), self.variant)
        return ast.fix_missing_locations(tree)


def mutants_of(path: Path, package: Path) -> Iterator[Mutant]:
    """Every change of a file."""
    lines = path.read_text().splitlines()
    seen: Counter[str] = Counter()
    tree = ast.parse(path.read_text())
    functions = list(_functions(tree))
    for number, node in enumerate(_living(tree)):
        for variant in range(2):
            line = getattr(node, "lineno", 0)
            change = _change(copy.deepcopy(node), variant)
            if change:
                name = f"{path.relative_to(package)}: {lines[line - 1].strip()} | {change}"
                seen[name] += 1
                if seen[name] > 1:
                    name += f" ({seen[name]})"
                inside = [name for name, span in functions if line in span]
                function = f"{path.relative_to(package)}:{inside[0] if inside else ''}"
                yield Mutant(path, number, variant, line, name, function)


def _functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, range]]:
    """The outermost functions of a file, with the lines of their bodies."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{within}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield f"{within}{node.name}", range(node.body[0].lineno, (node.end_lineno or 0) + 1)


def _living(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes whose change could be noticed: no annotations, texts, or checks of a programmer."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Raise):
            yield node
            continue
        if isinstance(node, (ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".warn", "TypeVar")):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            stack += [child for child in reversed(children) if isinstance(child, ast.AST)]


def _change(node: ast.AST, variant: int) -> str | None:
    """Change a node in place; None where there is nothing (more) to change."""
    if variant == 1:
        return _leave_out(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
        return f"comparison → {type(node.ops[0]).__name__}"
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
        node.op = OPERATIONS[type(node.op)]()
        return f"operation → {type(node.op).__name__}"
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return "and ↔ or"
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        value = node.value
        node.value = (not value) if isinstance(value, bool) else value + 1
        return f"{value} → {node.value}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
        return "sign"
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return "condition the other way round"
    return None


def _leave_out(parent: ast.AST) -> str | None:
    """Leave out the first statement of a body that does something."""
    body = getattr(parent, "body", None)
    if not isinstance(body, list) or isinstance(parent, (ast.Module, ast.ClassDef)):
        return None
    for i, statement in enumerate(body):
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if is_text or isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass, ast.Assert)):
            continue
        text = ast.unparse(statement).splitlines()[0]
        body[i] = ast.Pass()
        return f"without `{text}`"
    return None
