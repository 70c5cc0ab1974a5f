"""Which changes of the code do the tests notice? Mutation testing, room by room.

    python benchmarks/mutants.py --rooms degradations metrics --sample 40 --seed 0
    python benchmarks/mutants.py --survivors            # those again, with the tests of today
    python benchmarks/mutants.py --page runs/mutants.md # the table, nothing is run

Every mutant changes one thing (`mutations.py`). It is killed if a test fails, or takes several
times as long. `mutants.yaml` names the tests of every room; a mutant meets those that enter its
function, the cheapest first. It also holds the reasons why a survivor may live.

The sample of a room is drawn with the seed over all its files. Everything happens in a copy of a
commit, which is made for the run. Every result is a line in `--out`: a run that was stopped goes on
where it ended, at the commit it began with.

A room's tests are collected once. A mutant is a fork of that process, in which the code of its
functions is exchanged; those outside of functions, and those that lived, are tried again by
a process that starts with the changed file.
"""

import argparse
import functools
import gc
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import yaml
from mutations import Mutant, mutants_of

ROOT = Path(__file__).parents[1]
PLAN = ROOT / "benchmarks" / "mutants.yaml"
SECONDS = 8
"""Of tests that a mutant has to pass, of processor time: those beyond are left out."""
EXAMPLES, PARAMETERS = 3, 12
"""Of every hypothesis, where the tests have 40; and of every list of parameters, at most."""


class Footprints:
    """Says of every test which functions it enters, and what it costs."""

    def __init__(self, package: Path) -> None:
        self.package, self.caches = str(package), loaded(package)[1]
        self.known: dict[str, dict[str, Any]] = {}

    def of(self, name: str, test: Callable[[], object]) -> None:
        """Run a test and note it."""
        for cache in self.caches:  # what is remembered would be entered by the first test alone
            cache.cache_clear()
        self.entered: set[str] = set()
        began = time.process_time()
        threading.setprofile(self._enter)
        sys.setprofile(self._enter)
        try:
            test()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
        seconds = round(time.process_time() - began, 3)
        self.known[name] = {"seconds": seconds, "entered": sorted(self.entered)}

    def _enter(self, frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(self.package):
            file = frame.f_code.co_filename[len(self.package) + 1 :]
            self.entered.add(f"{file}:{frame.f_code.co_qualname.split('.<')[0]}")


class Room:
    """A pytest plugin that takes the place of its loop: footprints once, then mutant by mutant.

    Args:
        package: Where the copy's package is.
        known: A file for the footprints.
        mutants: Those to try.
        tell: What is done with a result: mutant, whether it lives, by how many tests.
    """

    def __init__(
        self,
        package: Path,
        known: Path,
        mutants: list[Mutant],
        tell: Callable[[Mutant, bool, int], None],
    ) -> None:
        self.package, self.known, self.mutants, self.tell = package, known, mutants, tell
        self.failed = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep a few of many parameters."""
        groups = defaultdict(list)
        for item in items:
            groups[item.nodeid.split("[")[0]].append(item)
        items[:] = [
            group[i * len(group) // min(len(group), PARAMETERS)]
            for group in groups.values()
            for i in range(min(len(group), PARAMETERS))
        ]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = True
            print(report.longreprtext[-3000:], file=sys.__stderr__)

    def pytest_runtestloop(self, session: Any) -> bool:
        """Serve."""
        items = {item.nodeid: item for item in session.items}
        functions, caches = loaded(self.package)
        if not self.known.exists():
            in_fork(lambda: self._footprints(items), 1200)
        known = json.loads(self.known.read_text())
        for mutant in self.mutants:
            names = chosen(mutant, known)
            limit = 4 + 5 * sum(known[name]["seconds"] for name in names)

            def attempt(mutant: Mutant = mutant, names: list[str] = names) -> bool:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(1, 2)
                for cache in caches:
                    cache.cache_clear()
                return not exchange(mutant, functions) or self._run([items[n] for n in names])

            passed = in_fork(attempt, limit)
            self.tell(mutant, passed, len(names))
        return True

    def _footprints(self, items: dict[str, Any]) -> bool:
        prints = Footprints(self.package)
        for name, item in items.items():
            prints.of(name, functools.partial(self._run, [item]))
            if self.failed:
                print(f"{name} fails without any change", file=sys.__stderr__)
                self.failed = False
                del prints.known[name]
        self.known.write_text(json.dumps(prints.known))
        return True

    def _run(self, items: list[Any]) -> bool:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return False
        return True


def chosen(mutant: Mutant, known: dict[str, Any]) -> list[str]:
    """The tests that enter a mutant's function, the cheapest first, within `SECONDS`; where none
    does, as in a file of constants, those of the room, within four times as many."""
    order = sorted(known, key=lambda name: float(known[name]["seconds"]))
    entering = [name for name in order if any(map(mutant.is_in, known[name]["entered"]))]
    names, seconds = list[str](), 0.0
    most = SECONDS if entering else 4 * SECONDS
    for name in entering or order:
        seconds += known[name]["seconds"]
        if names and seconds > most:
            break
        names.append(name)
    return names


def loaded(package: Path) -> tuple[list[FunctionType], list[Any]]:
    """All functions of the package that there are, and all caches."""
    gc.unfreeze()  # the tests freeze what they have loaded, which is left out of these
    objects = gc.get_objects()
    functions = [f for f in objects if type(f) is FunctionType]
    caches = [f for f in objects if type(f) is functools._lru_cache_wrapper]
    return (
        [f for f in functions if f.__code__.co_filename.startswith(str(package))],
        [f for f in caches if f.__module__.startswith("cvdvae")],
    )


def exchange(mutant: Mutant, functions: list[FunctionType]) -> bool:
    """Exchange the code of the functions of a file; whether that could be done."""
    path = str(mutant.path)
    new = dict(_codes(compile(mutant.tree(), path, "exec")))
    old = dict(_codes(compile(mutant.path.read_text(), path, "exec")))
    changed = {key for key, code in new.items() if key in old and code != old[key]}
    done = False
    for function in functions:
        code = function.__code__
        key = (code.co_qualname, code.co_firstlineno)
        if code.co_filename == path and key in changed:
            if code.co_freevars != new[key].co_freevars:
                return False
            function.__code__ = new[key]
            done = True
    return done


def _codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield (constant.co_qualname, constant.co_firstlineno), constant
            yield from _codes(constant)


class Copy:
    """A commit in a folder of its own, in which one file at a time is changed and tested."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder, self.package = folder, folder / "src" / "cvdvae"
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)

    def serve(self, plan: dict[str, Any], room: Room) -> None:
        """Collect the tests of a room, and try its mutants."""
        options = ["-k", f"not ({plan['without']})", *(f"tests/{t}.py" for t in plan["tests"])]
        in_fork(lambda: self._pytest(options, room), 24 * 3600)

    def lives(self, mutant: Mutant, names: list[str]) -> bool:
        """Whether tests pass in a process that starts with the changed file."""
        import ast

        before, stat = mutant.path.read_text(), mutant.path.stat()
        mutant.path.write_text(ast.unparse(mutant.tree()))
        try:
            return in_fork(lambda: self._pytest(["-x", *names], None), 60 + 20 * SECONDS)
        finally:
            mutant.path.write_text(before)
            os.utime(mutant.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def _pytest(self, options: list[str], room: Room | None) -> bool:
        if room is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
        os.environ["PYTHONPATH"] = str(self.folder / "src")
        os.chdir(self.folder)
        sys.path[:0] = [str(self.folder / "src"), str(self.folder / "tests")]
        sys.dont_write_bytecode = room is None  # what is not mutated is compiled once
        import pytest

        assert Path(importlib.import_module("cvdvae").__file__ or "").is_relative_to(self.folder)
        common = ["-q", "-s", "-p", "no:cacheprovider", "--hypothesis-profile=few"]
        common += [f"--basetemp={self.folder / 'tmp'}"]
        return pytest.main([*common, *options], plugins=[room] if room else []) == 0


def in_fork(work: Callable[[], bool], seconds: float) -> bool:
    """Whether some work in a process of its own succeeds within this processor time."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        limit = int(time.process_time() + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        # A test's module may have asked for more threads, and a fork has none of its parent's.
        sys.modules["torch"].set_num_threads(1)
        try:
            os._exit(0 if work() else 1)
        except BaseException as error:
            print(repr(error), file=sys.__stderr__)
            os._exit(2)
    deadline = time.monotonic() + 60 * seconds  # of the clock: others use the cores too
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run(options: argparse.Namespace, plan: dict[str, Any]) -> None:
    """Draw the samples of the rooms, or take the survivors, and try what has no result yet."""
    records = read(options.out)
    begun = next(iter(records.values()))["commit"] if records else options.commit
    commit = subprocess.run(
        ["git", "rev-parse", "--short", options.commit if options.survivors else begun],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        there = Copy(Path(folder), commit)
        for room in options.rooms:
            every = [
                mutant
                for path in sorted((there.package / room).rglob("*.py"))
                if path.name not in options.skip
                for mutant in mutants_of(path, there.package)
            ]
            if options.survivors:
                sample = [m for m in every if records.get(m.name, {}).get("lives")]
            else:
                random.Random(options.seed).shuffle(every)
                sample = every[: options.sample]
            known = options.out.with_suffix(f".{room}.{commit}.json")
            fixed = {"room": room, "commit": commit, "seed": options.seed}

            def tell(
                mutant: Mutant, lives: bool, tests: int, fixed: Any = fixed, finally_: bool = False
            ) -> None:
                record = {"name": mutant.name, "lives": lives, "tests": tests, "final": finally_}
                with options.out.open("a") as stream:
                    stream.write(json.dumps(fixed | record, ensure_ascii=False) + "\n")

            left = [m for m in sample if options.survivors or m.name not in records]
            if left:
                there.serve(plan["rooms"][room], Room(there.package, known, left, tell))
            now = read(options.out)
            for mutant in sample:
                if now[mutant.name]["lives"] and not now[mutant.name]["final"]:
                    names = chosen(mutant, json.loads(known.read_text()))
                    lives = there.lives(mutant, names)
                    tell(mutant, lives, len(names), finally_=True)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The last result of every mutant."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {record["name"]: record for record in map(json.loads, lines)}


def page(records: dict[str, dict[str, Any]], plan: dict[str, Any]) -> str:
    """The share that was killed in every room, and who survived, in Markdown."""
    text = [
        "# Which changes of the code the tests notice",
        "",
        "Written by `python benchmarks/mutants.py --page`; docs/mutants.md says how to read it.",
        "",
        "| room | mutants | killed | share |",
        "|---|---|---|---|",
    ]
    rooms = {room: [r for r in records.values() if r["room"] == room] for room in plan["rooms"]}
    for room, of_room in rooms.items():
        killed = sum(not r["lives"] for r in of_room)
        share = f"{100 * killed / len(of_room):.0f} %" if of_room else ""
        text.append(f"| {room} | {len(of_room)} | {killed} | {share} |")
    text += ["", "## Survivors", ""]
    for record in (r for of_room in rooms.values() for r in of_room if r["lives"]):
        file, change = record["name"].split(": ", 1)
        line, change = change.rsplit(" | ", 1)
        reason = plan["reasons"].get(record["name"], "no reason found yet")
        text.append(f"- {file}: `{line}`, {change}: {reason}")
    return "\n".join(text) + "\n"


def main() -> None:
    plan = yaml.safe_load(PLAN.read_text())
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", nargs="+", choices=plan["rooms"], default=list(plan["rooms"]))
    parser.add_argument("--sample", type=int, default=40, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", nargs="+", default=[], help="files to leave out, by name")
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--survivors", action="store_true", help="only those of earlier runs")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants.jsonl")
    parser.add_argument("--page", type=Path, help="write the table of --out there")
    options = parser.parse_args()
    options.out = options.out.resolve()
    if options.page:
        options.page.write_text(page(read(options.out), plan))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in plan["imports"]:  # once, so that no mutant has to
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    from hypothesis import settings

    settings.register_profile("few", derandomize=True, deadline=None, max_examples=EXAMPLES)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    run(options, plan)


if __name__ == "__main__":
    main()
