"""Who sees little, or has no mouse, or a small screen: the page in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from test_page import Visitor
from test_page import pytestmark as pytestmark

LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
MOST_TABS = 8


def serious(page: Page) -> list[str]:
    """What axe holds to be a serious or critical violation, contrast below 4.5:1 among them."""
    # The page names its parts a moment after they appear.
    expect(page.locator('[aria-label="Empty value"]')).to_have_count(0)
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, scheme: str) -> None:
    with Visitor(browser, address, viewport=LAPTOP, color_scheme=scheme) as visitor:
        page = visitor.page
        assert serious(page) == []
        visitor.example(2)
        visitor.draw()
        assert serious(page) == []
        page.get_by_role("tab", name="Region").click()
        assert serious(page) == []
        page.get_by_role("tab", name="Photographs").click()
        expect(page.locator("#viewer .said")).to_be_visible()
        assert serious(page) == []
        page.locator("#pictures button").nth(1).click()
        expect(page.locator("#viewer .said")).to_contain_text("Drawn.")
        assert serious(page) == []


def test_few_tabs_lead_to_the_main_action_and_the_focus_stays(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address, viewport=LAPTOP) as visitor:
        page = visitor.page
        visitor.example(2)
        page.mouse.click(5, 5)
        trail = []
        while "draw" not in trail and len(trail) < MOST_TABS:
            page.keyboard.press("Tab")
            trail.append(page.evaluate("document.activeElement.id"))
        assert "draw" in trail
        before = visitor.link.input_value()
        page.keyboard.press("Enter")
        visitor.wait_for_another(before)
        expect(page.locator("#draw")).to_be_focused()


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_main_action_and_its_answer_are_in_view_together(
    browser: Browser, address: str, size: dict[str, int]
) -> None:
    phone = size is PHONE
    with Visitor(browser, address, viewport=size, has_touch=phone, is_mobile=phone) as visitor:
        page = visitor.page
        visitor.example(2)
        expect(page.locator("#draw")).to_be_in_viewport(ratio=1)
        visitor.draw()
        page.wait_for_timeout(800)
        expect(page.locator("#draw")).to_be_in_viewport(ratio=1)
        expect(page.locator("#gallery")).to_be_in_viewport(ratio=0.95)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.locator("#gallery button").nth(1).scroll_into_view_if_needed()
        page.click("#back")
        expect(page.locator("#steer-said")).to_be_in_viewport()


def test_what_is_small_is_shown_large_and_nothing_is_white_in_the_dark(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address, viewport=LAPTOP, color_scheme="dark") as visitor:
        page = visitor.page
        visitor.example(3)
        box = page.locator("#photo img").bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 80
        scheme = "getComputedStyle(document.documentElement).colorScheme"
        assert page.evaluate(scheme) == "dark"
