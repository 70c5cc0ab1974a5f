"""The documentation without building it: what it links, names and commands is there."""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import typer
import yaml

import cvdvae
from cvdvae.cli.program import app
from cvdvae.domains import DOMAINS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import figures  # noqa: E402
from _site.lines import LineError, find, targets  # noqa: E402

UNBUILT = {"_build", "generated", "auto_examples"}
FOLDERS = [p for p in DOCS.iterdir() if p.is_dir() and p.name not in UNBUILT]  # built beside tests
PAGES = sorted([*DOCS.glob("*.md"), *(p for one in FOLDERS for p in one.rglob("*.md"))])
EXPLANATIONS = [p for p in PAGES if p.parent.name == "explanation" and p.stem != "figures"]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("page", EXPLANATIONS, ids=lambda p: p.stem)
def test_equations_lead_to_the_lines_that_compute_them(page: Path) -> None:
    named = targets(page)
    assert named
    for target in named:
        find(target)


def test_a_line_that_is_gone_is_noticed() -> None:
    for target in ("hvae/model.py: no such line", "hvae/nothing.py: x", "hvae/model.py: return"):
        with pytest.raises(LineError):
            find(target)


@pytest.mark.parametrize("page", EXPLANATIONS, ids=lambda p: p.stem)
def test_the_code_leads_back_to_the_page(page: Path) -> None:
    files = {find(target).path for target in targets(page)}
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    assert any(f"docs/explanation/{page.name}" in text for text in texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        if "://" in target or re.match(r"(\.\./)*(generated|auto_examples)/", target):
            continue
        assert (page.parent / target).exists(), target


def commands(page: Path) -> list[list[str]]:
    """The `cvdvae` commands of a page, as the shell would split them."""
    found = []
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not re.match(r"    (  )?cvdvae \w", line) or "…" in line:
            continue
        words = shlex.split(line.strip().split(" | ")[0], comments=True)
        found.append(words[1:])
    return found


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.stem)
def test_commands_name_options_that_there_are(page: Path) -> None:
    program = typer.main.get_command(app)
    for words in commands(page):
        group, rest = program, words
        while rest and rest[0] in (inner := getattr(group, "commands", {})):
            group, rest = inner[rest[0]], rest[1:]
        assert group is not program or rest[0].startswith("-"), words
        known = {name for p in group.params for name in (*p.opts, *p.secondary_opts)}
        for word in rest:
            if re.match(r"--?[a-zA-Z]", word):
                assert word.split("=")[0] in known | {"--help"}, (words, word)


EXTRAS = {
    "train": "train", "evaluate": "eval", "analyze": "eval", "report": "eval", "push": "hub",
    "app": "app",
}  # fmt: skip
"""What a command needs beside the program itself."""


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.stem)
def test_pages_name_the_extras_that_their_commands_need(page: Path) -> None:
    installed = re.findall(r"pip install[^\n]*\[([\w,]+)\]", page.read_text(encoding="utf-8"))
    extras = {extra for some in installed for extra in some.split(",")}
    for words in commands(page):
        needed = {EXTRAS[words[0]]} if words[0] in EXTRAS else set()
        needed |= {"restore"} if "--noise auto" in " ".join(words) else set()
        needed |= {"batch"} if {"parquet", "zarr"} & set(words) else set()
        assert needed <= extras, words


def test_what_stands_beside_a_geotiff_goes_with_it_to_a_task_of_a_cluster(tmp_path: Path) -> None:
    """By the recipe of scale.md; the names hold what a shell would read as its own."""
    pairs = {"a 1.tif": {"a 1.tfw", "a 1.tif.aux.xml"}, "a 1.b.tif": {"a 1.b.tab"},
             "[c].TIF": {"[c].TFW", "[c].TIF.msk"}, "d.jpg": set()}  # fmt: skip
    (tmp_path / "photos").mkdir()
    for name in {*pairs, *chain(*pairs.values())}:
        (tmp_path / "photos" / name).touch()
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    recipe = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)[0]
    subprocess.run(["bash", "-e", "-c", recipe], cwd=tmp_path, check=True)
    parts = [{link.name for link in part.iterdir()} for part in (tmp_path / "parts").iterdir()]
    assert sorted(map(sorted, parts)) == sorted(sorted({a, *more}) for a, more in pairs.items())
    assert all(link.is_file() for link in (tmp_path / "parts").glob("*/*"))


def test_batch_says_which_factor_it_takes_where_none_is_named() -> None:
    batch = typer.main.get_command(app).commands["batch"]  # type: ignore[attr-defined]
    said = next(p.help for p in batch.params if p.name == "scale")
    for domain in DOMAINS.values():
        assert f"{domain.usual_scale} of {domain.name}" in said


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_cards_of_flows_say_what_the_comparison_measured(scale: int) -> None:
    rows = {}
    for line in (DOCS / "comparison.md").read_text(encoding="utf-8").splitlines():
        label, *cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        rows[label] = [cell.split(" ")[0].strip("*") for cell in cells]
    flow = f"×{scale} hcflow"
    card = ROOT / "src" / "cvdvae" / "zoo" / f"celeba64-hcflow-x{scale}" / "README.md"
    text = " ".join(card.read_text(encoding="utf-8").split())
    best, wild = rows[f"{flow} τ=0, projected"], rows[f"{flow} τ=0.8, projected"]
    psnr, mean, lpips, crps = 0, 1, 3, 13
    assert (
        f"bicubic {rows[f'×{scale} bicubic'][psnr]} dB PSNR, its answer at τ = 0 {best[psnr]}, one "
        f"sample at τ = 0.8 {wild[psnr]}, the mean of 8 {wild[mean]}; LPIPS {wild[lpips]} and CRPS "
        f"{float(wild[crps]) / 1000:.4f} at τ = 0.8"
    ) in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), path.name, "exec")


def test_there_are_examples_and_they_are_python() -> None:
    examples = sorted((DOCS / "examples").glob("*.py"))
    assert len(examples) >= 7
    for path in examples:
        tree = compile(path.read_text(encoding="utf-8"), path.name, "exec")
        assert "====" in (tree.co_consts[0] or ""), f"{path.name} begins with its title"


def test_no_figure_is_of_other_weights_than_the_bundled_ones() -> None:
    assert figures.committed() == set(figures.figures())
    assert not figures.stale()


def test_a_figure_of_other_weights_is_told_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "figures.yaml"
    noted.write_text(figures.NOTED.read_text())
    monkeypatch.setattr(figures, "NOTED", noted)
    monkeypatch.setattr(figures, "fingerprint_of", lambda folder: f"new weights of {folder.name}")
    said = "docs/restore.png was made from another celeba64-restore: run"
    assert f"{said} python docs/make_pictures.py restore.png" in figures.stale()
    figures.note("restore.png")
    assert not any(said in sentence for sentence in figures.stale())
    assert len(figures.stale()) == len(figures.figures()) - 2  # depth.png is of no bundled model


def test_commands_of_figures_name_programs_that_there_are() -> None:
    for name, noted in figures.figures().items():
        program, script = noted["command"].split()[:2]
        assert program in ("python", "cvdvae"), name
        assert program == "cvdvae" or (ROOT / script).is_file(), name
        assert name in noted["command"] or name in ("app_photos.png", "depth.png"), name


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GRANTED = {"pages", "id-token"}
"""What a single job may write: the pages, and the identity by which PyPI and Pages know it."""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_workflows_are_what_github_takes(path: Path) -> None:
    checker = pytest.importorskip("check_jsonschema.cli.main_command").main
    arguments = ["--builtin-schema", "vendor.github-workflows", str(path)]
    assert checker(arguments, standalone_mode=False) == 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_workflows_pin_what_they_use_and_may_do_little(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 20, name
        assert set(job.get("permissions", {})) <= GRANTED, name
        needs = job.get("needs", [])
        known = set(workflow["jobs"])
        assert {needs} <= known if isinstance(needs, str) else set(needs) <= known, name
        for step in job["steps"]:
            if "uses" in step:
                assert re.search(r"@(v\d+(\.\d+)*|release/v\d+|[0-9a-f]{40})$", step["uses"]), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name
                assert "permissions" not in job, f"{name} runs the project's code with rights"
            # What a name of a branch or a tag says must reach the shell as a value, never as text.
            assert "${{" not in step.get("run", ""), step
            for target in re.findall(r"\bmake (\w+)", step.get("run", "")):
                assert f"\n{target}: " in (ROOT / "Makefile").read_text(), target


def functions(name: str) -> list[tuple[str, object]]:
    """A public function, or the public methods of a public class."""
    found = getattr(cvdvae, name)
    if not inspect.isclass(found):
        return [(name, found)]
    own = vars(found).items()
    return [(f"{name}.{n}", f) for n, f in own if inspect.isfunction(f) and not n.startswith("_")]


@pytest.mark.parametrize("name", cvdvae.__all__)
def test_public_names_say_what_they_are(name: str) -> None:
    found = getattr(cvdvae, name)
    assert inspect.getdoc(found), name
    for where, function in functions(name):
        text = inspect.getdoc(function) or ""
        assert text, f"{where} has no docstring"
        source = inspect.getsource(function)  # type: ignore[arg-type]
        if re.search(r"^\s+raise \w*Error", source, re.MULTILINE):
            assert "Raises:" in text, f"{where} does not say what it raises"
        parameters = [p for p in inspect.signature(function).parameters if p != "self"]  # type: ignore[arg-type]
        if len(parameters) > 2:
            said = "Args:" in text or re.search(r"As in|As `|`\w+`", text)
            assert said, f"{where} does not say what its arguments are"


def described(text: str) -> list[str]:
    """The names under `Args` in a docstring."""
    _, _, after = text.partition("Args:\n")
    lines = re.match(r"(?: +\S.*\n?)+", after)
    names = re.findall(r"^ {4}\*{0,2}(\w+(?:, \w+)*): ", lines[0] if lines else "", re.MULTILINE)
    return [name for one in names for name in one.split(", ")]


def test_arguments_are_described_in_their_order() -> None:
    """And none that is not there."""
    found = 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            own = node.body if isinstance(node, ast.ClassDef) else [node]
            functions = [one for one in own if isinstance(one, ast.FunctionDef)]
            made = [one for one in functions if one.name in ("__init__", node.name)]
            names = described(ast.get_docstring(node) or "")
            if not names or not made:
                continue
            given = made[0].args
            there = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            there += [one.arg for one in (given.vararg, given.kwarg) if one]
            assert names == [name for name in there if name in names], f"{path}: {node.name}"
            found += 1
    assert found > 200


def test_lines_that_pages_explain_lead_back_to_them() -> None:
    """A module names, in its docstring, a page that explains it, where there is one."""
    pages = dict[str, set[str]]()
    for page in ROOT.glob("docs/**/*.md"):
        if not {"_build", "generated"} & set(page.parts):
            for module in re.findall(r"\{line\}`([^:`]+):", page.read_text(encoding="utf-8")):
                pages.setdefault(module, set()).add(str(page.relative_to(ROOT)))
    assert len(pages) > 30
    for module, of in pages.items():
        text = (ROOT / "src/cvdvae" / module).read_text(encoding="utf-8")
        own = re.search(r"Explained in (docs/\S+\.md)\.", ast.get_docstring(ast.parse(text)) or "")
        assert own, f"{module} names no page of {of}"
        assert (ROOT / own[1]).exists()


def test_examples_of_docstrings_run() -> None:
    skipped, lines = 0, 0
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines += len(re.findall(r"^\s*>>> ", text, re.MULTILINE))
        skipped += text.count("+SKIP")
    assert skipped <= lines / 10, f"{skipped} of {lines} lines of examples are skipped"
