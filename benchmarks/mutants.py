"""Which changes of the code do the tests notice? Mutation testing, room by room.

    python benchmarks/mutants.py --rooms degradations metrics --sample 60 --out runs/mutants.jsonl
    python benchmarks/mutants.py --report runs/mutants.jsonl

Every mutant changes one thing: a comparison, an operation, a number, a condition, or a statement
that is left out. It is killed if a test of its room fails, hangs, or cannot start. The sample is
drawn with a seed, over all files of a room; a run goes on where an earlier one ended.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "cvdvae"
ROOMS = {
    "hvae": ["test_hvae", "test_likelihood", "test_superres", "test_any_size", "test_released"],
    "hcflow": ["test_hcflow", "test_released"],
    "degradations": ["test_degradation", "test_resize", "test_projection", "test_any_size"],
    "restoration": ["test_superres", "test_steering", "test_any_size", "test_defects", "test_cli"],
    "metrics": ["test_metrics", "test_evaluation"],
    "training": ["test_training", "test_data"],
}
TIMEOUT = 300
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of one file: which of its nodes, in which of two ways, and what is said of it."""

    path: Path
    node: int
    variant: int
    line: int
    change: str

    def tree(self) -> ast.Module:
        """The changed file."""
        tree = ast.parse(self.path.read_text())
        _change(next(n for i, n in enumerate(_living(tree)) if i == self.node), self.variant)
        return ast.fix_missing_locations(tree)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every change of a file."""
    for number, node in enumerate(_living(ast.parse(path.read_text()))):
        for variant in range(2):
            change = _change(copy.deepcopy(node), variant)
            if change:
                yield Mutant(path, number, variant, getattr(node, "lineno", 0), change)


def _living(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes whose change could be noticed: no annotations, docstrings, or checks of types."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Assert, ast.Import, ast.ImportFrom, ast.Raise)):
            if isinstance(node, ast.Raise):
                yield node
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            stack += [child for child in reversed(children) if isinstance(child, ast.AST)]


def _change(node: ast.AST, variant: int) -> str | None:
    """Change a node in place; None where there is nothing (more) to change."""
    if variant == 0:
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            node.ops[0] = COMPARISONS[type(node.ops[0])]()
            return "comparison"
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
            node.op = OPERATIONS[type(node.op)]()
            return "operation"
        if isinstance(node, ast.BoolOp):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return "and/or"
        if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            value = node.value
            node.value = (not value) if isinstance(value, bool) else value + 1
            return f"{value} → {node.value}"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node.op = ast.UAdd()
            return "sign"
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            node.test = ast.UnaryOp(ast.Not(), node.test)
            return "condition"
        return None
    return _leave_out(node)


def _leave_out(parent: ast.AST) -> str | None:
    """Leave out the first statement of a body that does something."""
    body = getattr(parent, "body", None)
    if not isinstance(body, list) or isinstance(parent, (ast.Module, ast.ClassDef)):
        return None
    for i, statement in enumerate(body):
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if is_text or isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass, ast.Assert)):
            continue
        body[i] = ast.Pass()
        return f"without line {statement.lineno}"
    return None


def survives(path: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Whether all tests pass with this file in place of the real one."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "cvdvae"
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("zoo", "__pycache__"))
        (package / "zoo").symlink_to(SOURCE / "zoo")
        (package / path.relative_to(SOURCE)).write_text(ast.unparse(tree))
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os._exit(_run(folder, tests))
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.1)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False


def _run(folder: str, tests: list[str]) -> int:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ["PYTHONPATH"] = folder
    os.chdir(ROOT)
    sys.path[:0] = [folder, str(ROOT / "tests")]
    import pytest

    there = [f"tests/{name}.py" for name in tests if (ROOT / "tests" / f"{name}.py").exists()]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *there]))


def report(path: Path) -> None:
    """The share that was killed in every room, and who survived."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for room in ROOMS:
        of_room = [r for r in records if r["room"] == room]
        if of_room:
            killed = sum(not r["survived"] for r in of_room)
            print(
                f"{room}: {killed} of {len(of_room)} killed ({100 * killed / len(of_room):.0f} %)"
            )
        for r in of_room:
            if r["survived"]:
                print(f"  {r['file']}:{r['line']} {r['change']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--sample", type=int, default=50, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants.jsonl")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    if options.report:
        report(options.report)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch  # so that no mutant has to

    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = options.out.read_text().splitlines() if options.out.exists() else []
    done = {(r["file"], r["line"], r["change"]) for r in map(json.loads, known)}
    for room in options.rooms:
        unchanged = SOURCE / "errors.py"
        if not survives(unchanged, ast.parse(unchanged.read_text()), ROOMS[room]):
            sys.exit(f"the tests of {room} fail without any change")
        every = [m for path in sorted((SOURCE / room).rglob("*.py")) for m in mutants_of(path)]
        random.Random(options.seed).shuffle(every)
        for mutant in every[: options.sample]:
            name = str(mutant.path.relative_to(SOURCE))
            if (name, mutant.line, mutant.change) in done:
                continue
            survived = survives(mutant.path, mutant.tree(), ROOMS[room])
            record = {"room": room, "file": name, "line": mutant.line, "change": mutant.change}
            record["survived"] = survived
            with options.out.open("a") as stream:
                stream.write(json.dumps(record) + "\n")
    report(options.out)


if __name__ == "__main__":
    main()
