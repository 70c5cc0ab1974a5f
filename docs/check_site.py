"""Check the built site: every link inside it leads somewhere, and no page loads from another host.

python docs/check_site.py docs/_build/html
"""

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"),
          ("video", "src")}  # fmt: skip
NOT_LOADED = {"canonical", "index", "search", "next", "prev", "author"}


class Links(HTMLParser):
    """The anchors of a page, where it links to, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        for name in given:
            if (tag, name) in LOADED and given.get("rel") not in NOT_LOADED:
                self.loaded.append(given[name])


def read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def faults(site: Path) -> list[str]:
    """A sentence on everything that is wrong."""
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        for target in page.links + page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            other = (
                Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            )
            if other not in pages and not other.is_file():
                found.append(f"{where}: {target} is no file")
            elif other in pages and unquote(parts.fragment) not in pages[other].anchors:
                found.append(f"{where}: {target} has no such place")
        found += [f"{where}: loads {target}" for target in page.loaded if urlsplit(target).netloc]
    return found


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)
