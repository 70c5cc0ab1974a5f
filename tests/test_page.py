"""The page in a real browser, as a visitor uses it."""

import io
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from command import CHROMIUM, run
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    expect,
)

PICTURES = os.environ.get("CVDVAE_PICTURES")
"""Folder for pictures of the page, to be looked at; none are taken where it is not named."""
PATIENCE = 45_000
"""Milliseconds: where others hold the processors, a draw of a tenth of a second takes seconds."""

expect.set_options(timeout=PATIENCE)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CVDVAE_NEEDS_BROWSER"),
    reason="chromium is not installed (.ci/run installs it)",
)


def unfold(button: Locator, inside: Locator) -> None:
    """Open what is folded, and wait for it: Gradio gives it its values some frames after it is
    seen, and they would replace what is typed or checked before."""
    button.click()
    expect(inside).to_be_visible()
    frames = "async () => { for (let i = 0; i < 30; i++) await new Promise(requestAnimationFrame) }"
    button.page.evaluate(frames)


class Visitor:
    """A browser window whose requests and complaints are watched."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        # Visitors alike share what the browser keeps, or each would compile the scripts anew.
        self.alone = bool(options)
        self.context: BrowserContext = (
            browser.new_context(**options) if self.alone else browser.contexts[0]
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text) if message.type == "error" else None
            ),
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Self:
        self.open("/")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        (self.context if self.alone else self.page).close()
        if kind is None:
            assert self.complaints == []
            own = (self.address, "data:", "blob:")
            assert [url for url in self.requests if not url.startswith(own)] == []

    def go(self, path: str) -> None:
        """Leave the page for another, or for itself anew."""
        said = len(self.complaints)
        self.page.goto(self.address + path)
        # A page that is left drops the streams that it still reads, and says so.
        left = ("AbortError", "errored out")
        new = [one for one in self.complaints[said:] if not any(word in one for word in left)]
        self.complaints[said:] = new

    def open(self, path: str) -> None:
        self.go(path)
        if not path.startswith("/?r="):  # an address of faces opens them itself
            self.page.get_by_role("tab", name="Faces").click()
        expect(self.page.locator("#draw")).to_be_visible(timeout=PATIENCE)

    def example(self, number: int) -> None:
        """Choose a bundled example and wait until it is seen."""
        self.page.locator("#examples .gallery-item").nth(number).click()
        expect(self.page.locator("#seen img")).to_be_visible(timeout=PATIENCE)

    def settings(self) -> None:
        """Open the settings that few need."""
        unfold(
            self.page.get_by_role("button", name="More: frame and settings"),
            self.page.locator("#samples input[type=number]"),
        )

    def many(self, samples: int) -> None:
        """Ask for so many samples."""
        number = self.page.locator("#samples input[type=number]")
        number.fill(str(samples))
        number.press("Tab")

    def upload(self, path: Path) -> None:
        self.page.locator("#photo input[type=file]").set_input_files(str(path))

    def clear(self) -> None:
        photo = self.page.locator("#photo")
        photo.get_by_label("Remove Image").or_(photo.get_by_label("Clear")).first.click()

    def draw(self, button: str = "#draw") -> None:
        """Press a button that draws, and wait for all samples and what follows from them."""
        before = self.link.input_value()
        self.page.click(button)
        self.wait_for_another(before)

    def wait_for_another(self, before: str) -> None:
        """Wait for another gallery than that of this address: its address comes last."""
        expect(self.link).not_to_have_value(before, timeout=PATIENCE)
        expect(self.page.locator("#draw")).to_be_enabled(timeout=PATIENCE)

    @property
    def link(self) -> Locator:
        return self.page.locator("#link textarea, #link input")

    def drawn(self) -> int:
        return self.page.locator("#gallery img").count()

    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def samples(self) -> list[bytes]:
        """The pixels of the gallery's pictures."""
        urls = [img.get_attribute("src") or "" for img in self.page.locator("#gallery img").all()]
        bodies = [self.context.request.get(url).body() for url in urls]
        return [Image.open(io.BytesIO(body)).convert("RGB").tobytes() for body in bodies]

    def picture(self, name: str) -> None:
        if PICTURES:
            self.page.wait_for_timeout(300)
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_see_the_answers_and_move_the_frame(browser: Browser, address: str) -> None:
    with Visitor(browser, address) as visitor:
        visitor.picture("1-empty")
        visitor.example(0)
        expect(visitor.page.locator("#framed img")).to_be_visible()
        visitor.draw()
        assert visitor.drawn() == 8
        assert len(set(visitor.samples())) == 8
        assert "gives your image back exactly, in every pixel" in visitor.status()
        for part in ("#mean img", "#heat img", "#wipe img", "#truth img"):
            expect(visitor.page.locator(part).first).to_be_visible()
        expect(visitor.page.locator("#bar")).to_contain_text("of 255")
        visitor.picture("2-answers")
        slider = visitor.page.get_by_label("Uncover your image or the sample")
        slider.focus()
        slider.press("Home")
        uncovered = "getComputedStyle(document.querySelector('.wipe .over')).clipPath"
        assert visitor.page.evaluate(uncovered) == "inset(0px 0px 0px 0%)"
        slider.press("End")
        assert visitor.page.evaluate(uncovered) == "inset(0px 0px 0px 100%)"
        visitor.settings()
        first = visitor.page.locator("#seen img").get_attribute("src")
        slider = visitor.page.locator("#frame-side input[type=range]")
        found = float(slider.input_value())
        assert 5 < found < 40
        slider.focus()
        for _ in range(20):
            slider.press("ArrowRight")
        expect(visitor.page.locator("#seen img")).not_to_have_attribute("src", first or "")
        assert float(slider.input_value()) > found
        visitor.page.get_by_role("tab", name="What it means").click()
        expect(visitor.page.locator("#faces-meaning")).to_contain_text("Nobody can be identified")
        visitor.picture("3-meaning")


def test_a_low_resolution_image_finds_its_own_scale(browser: Browser, address: str) -> None:
    with Visitor(browser, address) as visitor:
        visitor.settings()
        visitor.many(2)
        for number, scale in ((3, "×16"), (1, "×4"), (2, "×8")):
            visitor.example(number)
            chosen = visitor.page.locator("#scale label.selected, #scale label:has(input:checked)")
            expect(chosen).to_contain_text(scale)
            visitor.draw()
            assert "gives your image back exactly" in visitor.status()
        first = visitor.samples()[0]
        visitor.page.get_by_label("Opposite pairs").check()
        visitor.draw()
        assert visitor.samples()[0] == first
        visitor.page.get_by_role("button", name="The same in Python").click()
        expect(visitor.page.locator("#python")).to_contain_text("antithetic=True")
        visitor.page.locator("#kind").get_by_text("A photo to shrink").click()
        expect(visitor.page.locator("#doubts")).to_contain_text("widen the frame")


def test_steer_and_take_away(
    browser: Browser, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Visitor(browser, address) as visitor:
        page = visitor.page
        visitor.example(0)
        visitor.settings()
        visitor.many(4)
        visitor.draw()
        first = visitor.samples()

        page.locator("#gallery button.thumbnail-item").nth(2).focus()
        page.keyboard.press("Enter")
        expect(page.locator("#chosen")).to_contain_text("sample 2")
        groups = page.locator("#groups input[type=range]")
        groups.focus()
        groups.press("ArrowRight")
        expect(page.locator("#stays")).to_contain_text("13 of 25 groups stay")
        visitor.draw("#others")
        expect(page.locator("#shown")).to_contain_text("Others like sample 2")
        expect(page.locator("#mean-caption")).to_contain_text("not the safest answer")
        others = visitor.samples()
        assert len(set(others)) == 4
        assert not set(others) & set(first)
        expect(page.locator("#trail label")).to_have_count(2)
        visitor.picture("4-others")

        page.get_by_role("tab", name="Blend").click()
        page.locator("#last label").nth(3).click()
        visitor.draw("#blend")
        expect(page.locator("#shown")).to_contain_text("A walk from sample 0 to 3")
        blend = visitor.samples()
        assert near(blend[0], others[0])
        assert near(blend[3], others[3])

        page.get_by_role("tab", name="Region").click()
        canvas = page.locator("#painter canvas")
        canvas.hover()  # it is there, and moves no more
        painted = "canvas => canvas.getContext('2d').getImageData(9, 9, 1, 1).data[3] == 255"
        page.wait_for_function(painted, arg=canvas.element_handle())
        paint(page, canvas.bounding_box())
        visitor.picture("5-painting")
        visitor.draw("#vary")
        expect(page.locator("#shown")).to_contain_text("varied in a region")
        expect(page.locator("#heat-caption")).to_contain_text("dark is kept, not known")
        varied = visitor.samples()
        assert "gives your image back exactly" in visitor.status()
        changed = np.stack([pixels(one) != pixels(blend[0]) for one in varied]).any((0, 3))
        assert 0.005 < changed.mean() < 0.5
        visitor.picture("6-varied")
        page.locator("#region").get_by_text("Mouth").click()
        visitor.draw("#vary")
        mouth = np.stack([pixels(one) != pixels(varied[0]) for one in visitor.samples()])
        assert not mouth[:, :40].any()
        assert mouth[:, 44:56, 18:46].any()
        expect(page.locator("#trail label")).to_have_count(5)

        final = visitor.samples()
        expect(visitor.link).to_have_value(re.compile(r"/\?r="))
        with page.expect_download() as download:
            page.click("#archive")
        with zipfile.ZipFile(download.value.path()) as archive:
            archive.extractall(tmp_path / "zip")
        drawn = [Image.open(tmp_path / "zip" / f"sample_{i:02d}.png").tobytes() for i in range(4)]
        assert drawn == final
        with page.expect_download() as download:
            page.click("#settings")
        settings = tmp_path / "settings.json"
        shutil.copy(download.value.path(), settings)
        assert len(json.loads(settings.read_text())["steps"]) == 4
        page.get_by_role("button", name="The same in Python").click()
        expect(page.locator("#python")).to_contain_text("cvdvae.read_recipe")
        expect(page.locator("#command")).to_contain_text("cvdvae replay")
        link = visitor.link.input_value()

        page.locator("#trail label").nth(1).click()
        visitor.wait_for_another(link)
        assert visitor.samples() == others
        visitor.draw("#back")
        assert visitor.samples() == first

        before = visitor.link.input_value()
        with page.expect_file_chooser() as chooser:
            page.click("#reopen")
        chooser.value.set_files(str(settings))
        visitor.wait_for_another(before)
        assert visitor.samples() == final
        visitor.open(link.removeprefix(address))
        visitor.wait_for_another("")
        assert visitor.samples() == final
        expect(page.locator("#seen img")).to_be_visible()
        visitor.draw()
        assert visitor.samples() == first

        # Where the painted picture comes again, what was painted goes from the page, too.
        page.get_by_role("tab", name="Region").click()
        canvas.hover()
        page.wait_for_function(painted, arg=canvas.element_handle())
        seen = "canvas => canvas.toDataURL()"
        unpainted = canvas.evaluate(seen)
        paint(page, canvas.bounding_box())
        assert canvas.evaluate(seen) != unpainted
        visitor.settings()
        visitor.many(5)
        visitor.draw()
        assert visitor.samples()[0] == first[0]
        again = f"before => ({seen})(document.querySelector('#painter canvas')) === before"
        page.wait_for_function(again, arg=unpainted)

    assert run("replay", str(settings), "--out", str(tmp_path), monkeypatch=monkeypatch) == 0
    assert Image.open(tmp_path / "sample_03.png").tobytes() == final[3]


def pixels(sample: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(sample, np.uint8).reshape(64, 64, 3)


def near(a: bytes, b: bytes) -> bool:
    return int(np.abs(pixels(a).astype(int) - pixels(b)).max()) <= 1


SIZE = "side => document.querySelector('#photo img')?.naturalWidth === side"
"""Whether an image of so many pixels a side has come."""

WATCH = """([said, press]) => new MutationObserver((_, watching) => {
    if (!RegExp(said).test(document.querySelector("#status").innerText)) return;
    watching.disconnect();
    document.body.dataset.caught = "yes";
    if (press) document.querySelector(press).click();
}).observe(document.body, {subtree: true, childList: true, characterData: true})"""


def draw_until(page: Page, said: str, press: str = "") -> None:
    """Draw until this is said, and press a button in that moment: a fast machine is soon past."""
    page.evaluate(WATCH, [said, press])
    page.click("#draw")
    expect(page.locator("body")).to_have_attribute("data-caught", "yes")


def paint(page: Page, box: Any) -> None:
    """A stroke across the middle."""
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=8)
    release(page)


def release(page: Page) -> None:
    """End a stroke, and wait until the server has it."""
    with page.expect_response(lambda one: '"strokes"' in (one.request.post_data or "")):
        page.mouse.up()


def test_bad_input_gets_a_sentence_and_the_page_goes_on(
    browser: Browser, address: str, temporary: Path, tmp_path: Path
) -> None:
    text, huge = tmp_path / "text.png", tmp_path / "huge.png"
    text.write_text("I am no picture")
    Image.new("1", (7800, 7800)).save(huge)
    with Visitor(browser, address) as visitor:
        page = visitor.page
        page.click("#draw")
        expect(page.locator("#draw-said")).to_contain_text("No image yet")
        page.click("#others")
        expect(page.locator("#steer-said")).to_contain_text("Nothing to steer yet")
        page.click("#back")
        expect(page.locator("#steer-said")).to_contain_text("This is the first step")
        visitor.example(0)
        visitor.clear()
        visitor.upload(text)
        expect(page.locator("#doubts")).to_contain_text("“text.png” is not an image")
        page.click("#draw")
        expect(page.locator("#draw-said")).to_contain_text("is not an image")
        visitor.picture("8-no-image")
        visitor.clear()
        visitor.upload(huge)
        expect(page.locator("#doubts")).to_contain_text("over 60 megapixels: shrink it first")
        visitor.example(2)
        visitor.draw()
        assert "gives your image back exactly" in visitor.status()
        page.get_by_role("tab", name="Region").click()
        page.click("#vary")
        expect(page.locator("#steer-said")).to_contain_text("aint over what may change")
        visitor.settings()
        seed = page.locator("#seed input")
        seed.fill("-1")
        seed.press("Tab")
        page.click("#draw")
        expect(page.locator("#draw-said")).to_contain_text("The seed must not be negative")
        expect(page.locator("#draw")).to_be_enabled()
        # What is refused before it begins, such as a file that has gone, is over, too.
        tiny = tmp_path / "gone.png"  # a name that no other visitor uploads
        Image.new("RGB", (8, 8), (90, 120, 150)).save(tiny)
        visitor.clear()
        visitor.upload(tiny)
        page.wait_for_function(SIZE, arg=8)
        expect(page.locator("#draw")).to_be_enabled()
        next(temporary.rglob(tiny.name)).unlink()
        page.click("#draw")
        expect(page.locator("#status")).to_contain_text("Nothing new was drawn")
        expect(page.locator("#draw")).to_be_enabled()
        expect(page.locator("#archive")).to_be_enabled()


def test_a_second_click_while_it_runs_is_told_to_wait_and_doubt_stands_beside_the_answer(
    browser: Browser, address: str
) -> None:
    held: list[Route] = []
    with Visitor(browser, address) as visitor:
        page = visitor.page
        visitor.example(2)
        expect(page.locator("#draw")).to_be_enabled()
        assert "In doubt" not in page.locator("#doubts").inner_text()
        page.route("**/queue/join*", lambda route: held.append(route))
        page.click("#draw")
        expect(page.locator("#status")).to_contain_text("press Stop to end it")
        expect(page.locator("#draw")).to_be_disabled()
        expect(page.locator("#stop")).to_be_enabled()
        page.route("**/queue/join*", lambda route: route.continue_())
        visitor.example(1)  # another waits for the drawing to end: a press would be skipped
        expect(page.locator("#scale label:has(input:checked)")).to_contain_text("×4")
        expect(page.locator("#draw")).to_be_disabled()
        for route in held:
            route.continue_()
        expect(page.locator("#gallery img")).to_have_count(8, timeout=PATIENCE)
        expect(page.locator("#draw")).to_be_enabled(timeout=PATIENCE)
        expect(page.locator("#status")).to_contain_text("Of the image before")

        visitor.wait_for_another("")
        before = visitor.samples()
        visitor.example(4)
        expect(page.locator("#doubts")).to_contain_text("In doubt")
        visitor.draw()
        assert visitor.drawn() == 8
        assert not set(visitor.samples()) & set(before)
        visitor.picture("7-doubt")


def test_what_is_stopped_can_be_used_and_the_flow_cannot_be_steered(
    browser: Browser, address: str
) -> None:
    with Visitor(browser, address) as visitor:
        page = visitor.page
        visitor.example(1)
        visitor.settings()
        page.locator("#method").get_by_text("Flow").click()
        visitor.many(32)
        draw_until(page, "of 32 are drawn", press="#stop")
        expect(page.locator("#draw")).to_be_enabled(timeout=PATIENCE)
        assert "gives your image back exactly" in visitor.status()
        drawn = visitor.drawn()
        assert 1 <= drawn < 32
        expect(page.locator("#trail")).to_contain_text(f"{drawn} samples")

        visitor.wait_for_another("")
        visitor.example(2)
        expect(page.locator("#scale label:has(input:checked)")).to_contain_text("×8")
        expect(page.locator("#method label:has(input:checked)")).to_contain_text("Flow")
        visitor.many(8)
        visitor.draw()
        assert visitor.drawn() == 8
        assert "gives your image back exactly" in visitor.status()
        expect(page.locator("#chosen")).to_contain_text("no latent groups")
        expect(page.locator("#others")).to_be_disabled()


def test_a_visitor_who_is_cut_off_disturbs_nobody(browser: Browser, address: str) -> None:
    leaver = Visitor(browser, address, viewport={"width": 1366, "height": 768})  # of his own
    with leaver:
        leaver.example(0)
        leaver.settings()
        leaver.page.locator("#samples input[type=number]").fill("32")
        leaver.page.locator("#method").get_by_text("Flow").click()
        draw_until(leaver.page, "Drawing|are drawn")
    with Visitor(browser, address) as visitor:
        assert visitor.drawn() == 0
        assert not visitor.page.locator("#seen img").count()
        visitor.example(2)
        visitor.draw()
        assert visitor.drawn() == 8
