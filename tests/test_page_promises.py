"""What the page promises, and how what it draws can be ended, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from test_page import Visitor, unfold
from test_page import pytestmark as pytestmark
from test_page_restore import give, paint_in_the_middle
from test_page_restore import page as page

from cvdvae.domains.photos import coffee


def test_what_is_promised_is_of_the_factor_and_kind_that_are_chosen(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address) as visitor:
        visitor.example(2)
        visitor.settings()
        visitor.many(2)
        visitor.draw()
        status, scale = visitor.page.locator("#status"), visitor.page.locator("#scale")
        expect(status).to_contain_text("gives your image back exactly")
        scale.get_by_text("×16").click()
        expect(status).to_contain_text("Of the image before")
        scale.get_by_text("×8").click()
        expect(status).to_contain_text("gives your image back exactly")
        visitor.page.locator("#kind").get_by_text("A photo to shrink").click()
        expect(status).to_contain_text("Of the image before")


WATCH = """new MutationObserver((_, watching) => {
    const [said, stop] = ["said", "stop"].map((one) => document.getElementById(`restore-${one}`));
    if (!/[0-9]+ of 16 are drawn/.test(said.innerText)) return;
    watching.disconnect();
    setTimeout(() => stop.click(), 100);
}).observe(document.body, {subtree: true, childList: true, characterData: true})"""


def test_a_restoration_that_is_stopped_shows_what_was_drawn(page: Page, tmp_path: Path) -> None:
    coffee().resize((360, 240)).save(tmp_path / "photo.png")  # takes longer than to stop it
    give(page, tmp_path / "photo.png", "A photograph")
    canvas = page.locator("#restore-painter canvas")
    expect(canvas).to_have_attribute("height", str(round(512 * 240 / 360)))
    expect(page.locator("#restore-stop")).to_be_disabled()
    paint_in_the_middle(page)
    many = page.locator("#restore-samples input[type=number]")
    unfold(page.get_by_role("button", name="More").last, many)
    many.fill("16")
    many.press("Tab")
    page.evaluate(WATCH)
    page.locator("#restore").click()
    expect(page.locator("#restore-said")).to_contain_text("Stopped")
    told = page.locator("#restore-told")
    expect(told).to_contain_text("Painted hole, seed 0:")
    found = re.search(r"(\d+) of (\d+) answers explain", told.inner_text())
    assert found
    drawn = int(found[2])
    assert 1 <= drawn < 16
    expect(page.locator("#restore-gallery img")).to_have_count(drawn)
    expect(page.locator("#restore-gallery .caption-label").first).to_have_text("0")
    expect(page.locator("#restore-stop")).to_be_disabled()
