"""The built site in a browser; `make docs` builds it, and without it these are skipped.

CVDVAE_SITE_PICTURES names a folder for screenshots.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = [
    "index.html", "explanation/projection.html", "guide/uncertainty.html",
    "auto_examples/demo.html",
    "notebooks/five_minute_tour.html", "generated/reference.html", "generated/api/cvdvae.load.html",
    "source/src/cvdvae/hvae/model.py.html", "comparison.html",
]  # fmt: skip
Scheme = Literal["dark", "light"]
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="make docs builds the site"),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Browser, name: str, scheme: Scheme, size: ViewportSize) -> Page:
    page = browser.new_page(color_scheme=scheme, viewport=size)
    page.set_default_timeout(60_000)
    page.goto((SITE / name).as_uri())
    return page


@pytest.mark.parametrize("name", PAGES)
def test_pages_load_from_nowhere_else_and_fit_a_phone(browser: Browser, name: str) -> None:
    page = browser.new_page(color_scheme="light", viewport=PHONE)
    requests, errors = [], []
    page.on("request", lambda r: requests.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.set_default_timeout(60_000)
    page.goto((SITE / name).as_uri())
    assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    assert not errors
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()


def test_an_equation_leads_to_its_line_and_back(browser: Browser) -> None:
    page = opened(browser, "index.html", "light", DESK)
    page.locator("article").get_by_role("link", name="The method").first.click()
    page.locator("article a.line").first.click()
    assert "/source/src/cvdvae/hvae/lr_encoder.py.html#L" in page.url
    row = page.locator(".row:target")
    assert "encoder_temperature" in row.inner_text()
    row.locator("a.back").click()
    assert "/explanation/method.html" in page.url
    page.close()


@pytest.mark.skipif("CVDVAE_SITE_PICTURES" not in os.environ, reason="for looking")
def test_pictures_to_look_at(browser: Browser) -> None:
    folder = Path(os.environ["CVDVAE_SITE_PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        for scheme in ("light", "dark"):
            for where, size in {"desk": DESK, "phone": PHONE}.items():
                page = opened(browser, name, scheme, size)
                stem = name.removesuffix(".html").replace("/", "-")
                page.screenshot(path=folder / f"{stem}-{where}-{scheme}.png")
                page.close()
