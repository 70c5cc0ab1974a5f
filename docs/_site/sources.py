"""Pages that show the code, links to its lines, and from its lines back to the equations.

A link of any page to a file of the repository outside of docs/ leads to a page that shows the file.
A `line` role leads to a line of it, and that line leads back to the role.
"""

import html
import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from .lines import ROOT, LineError, find

DOCS = ROOT / "docs"
SCHEME = "source:"
SHOWN = "src/cvdvae/**/*.py"
log = logging.getLogger(__name__)
Page = tuple[str, dict[str, Any], str]


def line_role(
    name: str, raw: str, text: str, lineno: int, inliner: Inliner, *rest: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """A link to the line that holds a text."""
    try:
        line = find(text)
    except LineError as error:
        message = inliner.reporter.error(str(error), line=lineno)
        return [inliner.problematic(raw, raw, message)], [message]
    shown = f"{line.path.removeprefix('src/cvdvae/')}:{line.number}"
    link = nodes.reference("", "", refuri=f"{SCHEME}{line.path}#L{line.number}", classes=["line"])
    link["reftitle"] = text.partition(": ")[2]
    link["backlink"] = True
    link += nodes.literal("", shown)
    return [link], []


class LinksIntoTheRepository(SphinxTransform):
    """Links of Markdown pages to files outside of docs/ lead to the pages that show them."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        folder = (DOCS / self.env.docname).parent
        found = [*self.document.findall(addnodes.download_reference),
                 *self.document.findall(addnodes.pending_xref)]  # fmt: skip
        for node in found:
            target = node.get("reftarget", "")
            path = Path(os.path.normpath(folder / target))
            outside = path.is_relative_to(ROOT) and not path.is_relative_to(DOCS)
            if not target.startswith("..") or not outside or not path.exists():
                continue
            inner = node.children
            link = nodes.reference("", "", refuri=SCHEME + path.relative_to(ROOT).as_posix())
            link += inner[0].children if isinstance(inner[0], nodes.inline) else inner
            node.replace_self(link)


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give links to the code their addresses, and remember what leads back."""
    backlinks: dict[str, dict[int, str]] = app.env.cvdvae_backlinks  # type: ignore[attr-defined]
    for i, node in enumerate(list(doctree.findall(nodes.reference))):
        uri = node.get("refuri", "")
        if not uri.startswith(SCHEME):
            continue
        path, _, anchor = uri.removeprefix(SCHEME).partition("#")
        if path.endswith("README.md") and "/zoo/" in path:
            page = f"generated/models/{Path(path).parent.name}"
        elif path == "CHANGELOG.md":
            page = "generated/changelog"
        else:
            page = f"source/{path}"
            app.env.cvdvae_linked.add(path)  # type: ignore[attr-defined]
        node["refuri"] = app.builder.get_relative_uri(docname, page) + (anchor and f"#{anchor}")
        node["internal"] = True
        if node.get("backlink"):
            node["ids"] = [f"code-{i}"]
            backlinks.setdefault(path, {})[int(anchor[1:])] = f"{docname}#code-{i}"


def show_sources(app: Sphinx) -> Iterator[Page]:
    """A page for every file of the code, and for all that is linked."""
    linked: set[str] = app.env.cvdvae_linked  # type: ignore[attr-defined]
    folders = [f"{path}/**/*.{kind}" for path in linked for kind in ("py", "yaml")]
    found = {p for pattern in (SHOWN, *folders) for p in ROOT.glob(pattern)}
    paths = {p.relative_to(ROOT).as_posix() for p in found}
    for path in sorted(paths | linked):
        if (ROOT / path).is_dir():
            inside = sorted(
                p for p in (ROOT / path).rglob("*") if p.relative_to(ROOT).as_posix() in paths
            )
            rows = (
                f'<li><a href="{_to(app, path, p.relative_to(ROOT).as_posix())}">'
                f"{p.relative_to(ROOT / path)}</a></li>"
                for p in inside
            )
            body = f"<h1>{html.escape(path)}/</h1><ul>{''.join(rows)}</ul>"
        else:
            body = _code(app, path)
        yield f"source/{path}", {"title": path, "body": body}, "page.html"


def _to(app: Sphinx, here: str, path: str) -> str:
    return app.builder.get_relative_uri(f"source/{here}", f"source/{path}")


def _code(app: Sphinx, path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    formatter = HtmlFormatter(nowrap=True)
    coloured = highlight(text, get_lexer_for_filename(path, stripnl=False), formatter)
    back: dict[int, str] = app.env.cvdvae_backlinks.get(path, {})  # type: ignore[attr-defined]
    lines = []
    for number, line in enumerate(coloured.splitlines(), 1):
        line = re.sub(r"docs/([\w/]+)\.md", lambda m: _page_link(app, path, m), line)
        arrow = ""
        if number in back:
            docname, _, anchor = back[number].partition("#")
            uri = app.builder.get_relative_uri(f"source/{path}", docname)
            arrow = f' <a class="back" href="{uri}#{anchor}">← the equation</a>'
        lines.append(
            f'<span id="L{number}" class="row"><a class="no" href="#L{number}">{number}</a>'
            f"{line}{arrow}</span>"
        )
    body = "".join(lines)
    return f'<h1>{html.escape(path)}</h1><div class="highlight source"><pre>{body}</pre></div>'


def _page_link(app: Sphinx, path: str, match: re.Match[str]) -> str:
    if match[1] not in app.env.found_docs:
        return match[0]
    return f'<a href="{app.builder.get_relative_uri(f"source/{path}", match[1])}">{match[0]}</a>'


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where a documented object is defined."""
    found: Any = sys.modules.get(info["module"])
    for part in info["fullname"].split("."):
        found = getattr(found, part, None)
    found = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "func", found))
    try:
        path = Path(inspect.getsourcefile(found) or "").resolve()
        number = inspect.getsourcelines(found)[1]
    except (TypeError, OSError):
        return None
    if not path.is_relative_to(ROOT / "src"):
        return None
    return f"{SCHEME}{path.relative_to(ROOT).as_posix()}#L{number}"


def one_contents(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Pages of code stand nowhere in the contents of the site: those of equal depth show the same.

    Sphinx would make them anew for every page, which took half of its time.
    """
    if not page.startswith("source/"):
        return
    made: dict[int, str] = app.env.cvdvae_contents  # type: ignore[attr-defined]
    make, depth = context["toctree"], page.count("/")

    def contents(**how: Any) -> str:
        if depth not in made:
            made[depth] = make(**how)
        return made[depth]

    context["toctree"] = contents


def start(app: Sphinx) -> None:
    app.env.cvdvae_contents = {}  # type: ignore[attr-defined]
    app.env.cvdvae_backlinks = {}  # type: ignore[attr-defined]
    app.env.cvdvae_linked = set()  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("line", line_role)
    app.add_transform(LinksIntoTheRepository)
    app.connect("builder-inited", start)
    app.connect("doctree-resolved", resolve)
    app.connect("html-collect-pages", show_sources)
    app.connect("html-page-context", one_contents, priority=100)  # before the theme's
    # Where pages are written side by side, links are still resolved in one process.
    return {"parallel_read_safe": True, "parallel_write_safe": True}
