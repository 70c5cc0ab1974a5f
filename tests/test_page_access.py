"""Who sees little, or has no mouse, or a small screen: the page in a real browser."""

import re
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from test_page import Visitor
from test_page import pytestmark as pytestmark

from cvdvae.domains.photos import coffee

MOST_TABS = 8
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, Scheme] = ("light", "dark")


def serious(page: Page) -> list[str]:
    """What axe holds to be a serious or critical violation, contrast below 4.5:1 among them; light
    and dark."""
    # The page names its parts a moment after they appear.
    expect(page.locator('[aria-label="Empty value"]')).to_have_count(0)
    return [found for scheme in SCHEMES for found in serious_in(page, scheme)]


def serious_in(page: Page, scheme: Scheme) -> list[str]:
    """The same in one of the two."""
    switch(page, scheme)
    axe = Axe("null") if page.evaluate("'axe' in window") else Axe()  # it is put in once
    found = axe.run(page).response["violations"]
    return [
        f"{scheme}: {one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def switch(page: Page, scheme: Scheme) -> None:
    """Have the page light or dark."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    dark = re.compile(r"\bdark\b")
    body = expect(page.locator("body"))
    if scheme == "dark":
        body.to_have_class(dark)
    else:
        body.not_to_have_class(dark)


def test_axe_finds_nothing_serious_and_nothing_is_white_in_the_dark(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    smallest = tmp_path / "coffee.png"
    coffee().resize((30, 21)).save(smallest)
    visitor = Visitor(browser, address)
    page = visitor.page
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    with visitor:
        scheme = "getComputedStyle(document.documentElement).colorScheme"
        assert page.evaluate(scheme) == "dark"
        assert serious(page) == []
        visitor.example(2)
        visitor.draw()
        assert serious(page) == []
        page.get_by_role("tab", name="Region").click()
        assert serious(page) == []
        page.get_by_role("tab", name="Photographs").click()
        expect(page.locator("#viewer .said")).to_be_visible()
        assert serious(page) == []
        page.locator("#picture input[type=file]").set_input_files(smallest)
        expect(page.locator("#viewer .said")).to_contain_text("Drawn.")
        assert serious(page) == []


def test_few_tabs_lead_to_the_main_action_and_the_focus_stays(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address) as visitor:
        page = visitor.page
        visitor.example(3)
        box = page.locator("#photo img").bounding_box()  # of four pixels a side
        assert box is not None
        assert min(box["width"], box["height"]) >= 80
        page.mouse.click(5, 5)
        trail = list[str]()
        while "draw" not in trail and len(trail) < MOST_TABS:
            page.keyboard.press("Tab")
            trail.append(page.evaluate("document.activeElement.id"))
        assert "draw" in trail
        before = visitor.link.input_value()
        page.keyboard.press("Enter")
        visitor.wait_for_another(before)
        expect(page.locator("#draw")).to_be_focused()


def test_the_main_action_and_its_answer_are_in_view_together(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address) as visitor:
        see_both(visitor, "9-laptop", 1366)


def see_both(visitor: Visitor, name: str, width: int) -> None:
    """Draw what could be behind a face, on a screen of some width."""
    page = visitor.page
    page.emulate_media(reduced_motion="reduce")  # else it scrolls for a while
    visitor.example(2)
    expect(page.locator("#draw")).to_be_in_viewport(ratio=1)
    visitor.draw()
    expect(page.locator("#draw")).to_be_in_viewport(ratio=1)
    expect(page.locator("#gallery")).to_be_in_viewport(ratio=0.95)
    for scheme in SCHEMES:
        switch(page, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        visitor.picture(f"{name}-{scheme}")
    page.locator("#gallery button").nth(1).scroll_into_view_if_needed()
    page.click("#back")
    expect(page.locator("#steer-said")).to_be_in_viewport()
