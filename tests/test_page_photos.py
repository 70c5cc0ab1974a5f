"""The page of photographs in a real browser."""

import io
import re
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from command import served
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect
from test_page import Visitor, unfold
from test_page import pytestmark as pytestmark
from test_page_access import SCHEMES, see_both, switch
from test_photos import SETTINGS, handlers
from tiny import tiny_photos

from cvdvae.app.photos import viewer
from cvdvae.app.photos.explorer import Photos
from cvdvae.checkpoints.folder import find, read_record
from cvdvae.checkpoints.records import OneScaleRecord
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.domains.photos import coffee
from cvdvae.imaging.io import to_bytes, to_tensor

VIEWER = Path(viewer.__file__).parent
PATIENCE = 90_000
"""Milliseconds; the tests share two processors with whatever else runs."""


class Memory:
    """The most memory that a process has had, in bytes."""

    def __init__(self, process: int) -> None:
        self.status = Path(f"/proc/{process}/status")

    def peak(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", self.status.read_text())
        assert found
        return 1024 * int(found[1])


@pytest.fixture(scope="module")
def server(program: served, address: str) -> tuple[str, Memory]:
    return address, Memory(program.process.pid)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 1,000×700 pixels."""
    path = tmp_path_factory.mktemp("photo") / "coffee.png"
    coffee().resize((1050, 700), Image.Resampling.LANCZOS).crop((25, 0, 1025, 700)).save(path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 60×42 pixels, drawn in a moment."""
    path = tmp_path_factory.mktemp("small") / "coffee.png"
    coffee().resize((60, 42), Image.Resampling.LANCZOS).save(path)
    return path


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 30×21 pixels, where little more than that it is drawn matters."""
    path = tmp_path_factory.mktemp("smallest") / "coffee.png"
    coffee().resize((30, 21), Image.Resampling.LANCZOS).save(path)
    return path


class Looker(Visitor):
    """A visitor of the page of photographs."""

    def open(self, path: str) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.go(path)
        expect(self.page.locator("#viewer .said")).to_be_visible(timeout=PATIENCE)

    def give(self, photo: Path) -> None:
        """Upload a photograph, and wait for the samples of what is visible."""
        self.page.locator("#picture input[type=file]").set_input_files(str(photo))
        self.wait()

    def many(self, samples: int) -> None:
        """Ask for so many samples, behind what is folded."""
        number = self.page.locator("#many input[type=number]")
        unfold(self.page.get_by_role("button", name="More").first, number)
        number.fill(str(samples))
        number.press("Tab")

    def wait(self) -> None:
        """Until the view has rested, and nothing is drawn any more."""
        self.page.wait_for_selector('.viewer[data-state="ready"]')

    def again(self) -> None:
        """Draw with other settings, and wait for the samples."""
        before = self.page.locator(".film button").first.element_handle()
        self.page.click("#again")
        before.wait_for_element_state("hidden")  # others are in its place
        self.wait()

    def clear(self) -> None:
        """Take the photograph away."""
        photo = self.page.locator("#picture")
        photo.get_by_label("Remove Image").or_(photo.get_by_label("Clear")).first.click()
        expect(self.page.locator("#viewer .said")).to_contain_text("comes first")

    def nothing_to_take(self) -> None:
        """See that nothing is said of a drawing of the whole, nor offered."""
        expect(self.page.locator("#whole-said")).to_have_text("")
        for name in ("#take", "#whole-stop"):
            expect(self.page.locator(name)).not_to_be_visible()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While nothing that waits in the queue gets its turn."""
        held: list[Route] = []
        self.page.route("**/queue/join*", lambda route: held.append(route))
        yield
        self.page.route("**/queue/join*", lambda route: route.continue_())
        for route in held:
            route.continue_()

    def panel(self, number: int) -> Locator:
        return self.page.locator(".panels canvas:visible").nth(number)

    def windows(self) -> set[str | None]:
        canvases = self.page.locator(".panels canvas:visible, .film canvas").all()
        return {canvas.get_attribute("data-window") for canvas in canvases}

    def seen(self, number: int) -> np.ndarray[Any, Any]:
        """What a panel shows."""
        url = self.panel(number).evaluate("canvas => canvas.toDataURL()")
        return np.array(Image.open(io.BytesIO(b64decode(url.split(",")[1]))).convert("RGB"))

    def paint(self) -> None:
        """Wait for the frame that shows what was done last, and the one after it."""
        frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(frame)

    def choose(self, sample: int) -> None:
        """Press a sample of the film, and wait until it is shown."""
        button = self.page.locator(".film button").nth(sample)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")

    def said(self) -> str:
        return self.page.locator("#viewer .said").inner_text()


def drag(page: Page, panel: Locator, dx: int, dy: int) -> None:
    box = panel.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=6)
    page.mouse.up()


def test_look_at_a_photograph(browser: Browser, server: tuple[str, Memory], photo: Path) -> None:
    address, memory = server
    with Looker(browser, address) as visitor:
        page = visitor.page
        page.set_viewport_size({"width": 800, "height": 768})  # the less there is to draw
        visitor.picture("photo-0-empty")
        # What is queued as the page opens may end the stream that the photograph's answer needs.
        page.wait_for_load_state("load")
        assert not [url for url in visitor.requests if "/queue/join" in url]
        visitor.many(2)
        visitor.give(photo)
        expect(page.locator("#notes")).to_contain_text("1000×700 → 4000×2800")
        expect(page.locator(".legend.whole")).to_contain_text("Invented: what differs")
        assert page.locator(".film canvas").count() == 2
        assert len(visitor.windows()) == 1
        visitor.picture("photo-1-drawn")

        # Panels show the same place, each in its way.
        shown = [visitor.seen(i) for i in range(4)]
        assert all(picture.shape == shown[0].shape for picture in shown)
        assert near(shown[0], shown[1]) < 25 < near(shown[0], shown[3])
        steps = [np.abs(np.diff(picture.astype(int), axis=1)).mean() for picture in shown[:3]]
        assert steps[1] > steps[2]  # a sample has more detail than the mean

        before = visitor.windows()
        drag(page, visitor.panel(2), -90, 40)
        visitor.wait()
        assert len(visitor.windows()) == 1
        assert visitor.windows() != before
        box = visitor.panel(0).bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.wheel(0, -400)
        expect(page.locator(".zoom")).not_to_have_text("100 %")
        visitor.panel(0).focus()
        page.keyboard.press("-")
        page.keyboard.press("ArrowLeft")
        visitor.paint()
        assert len(visitor.windows()) == 1
        visitor.wait()
        page.click('[data-do="fit"]')  # more than the browser keeps would never be there at once
        expect(page.locator("#viewer .said")).to_contain_text("zoom in, or draw the whole")
        expect(page.locator('[data-do="here"]')).not_to_be_visible()
        visitor.wait()
        assert memory.peak() < 3e9


def near(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(np.abs(a.astype(int) - b).mean())


PRESS = """(canvas, [key, shiftKey]) => {
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey }));
    const { sample, state } = document.querySelector(".viewer").dataset;
    return [sample, state];
}"""
"""What a key does at once: which sample it shows, and whether the view moves."""


CUT_OFF = """() => [...document.querySelectorAll(".viewer figcaption *")].filter((one) => {
  const [own, within] = [one, one.closest("figure")].map((of) => of.getBoundingClientRect());
  return own.width && (own.right > within.right + 1 || one.scrollWidth > one.clientWidth + 1);
}).map((one) => one.outerHTML)"""
"""Captions of the pictures that cannot be read."""


def test_wipe_play_and_choose(browser: Browser, server: tuple[str, Memory], smallest: Path) -> None:
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        radios = page.locator("#what input, #by input")
        with visitor.waiting():
            page.locator("#picture input[type=file]").set_input_files(str(smallest))
            for radio in radios.all():  # while it is read, they would be of no use
                expect(radio).to_be_disabled()
        visitor.wait()
        for radio in radios.all():
            expect(radio).to_be_enabled()
        first = visitor.seen(1)
        visitor.choose(2)
        assert (visitor.seen(1) != first).any()
        # The keys do what the tooltips say, whether a keyboard types digits with Shift or not.
        titles = [button.get_attribute("title") for button in page.locator(".film button").all()]
        assert titles == ["Sample 0", *(f"Sample {i} (press {i})" for i in (1, 2, 3))]
        for shift in (False, True):
            for key, then in (("3", ["3", "ready"]), ("1", ["1", "ready"]), ("0", ["1", "moving"])):
                assert visitor.panel(1).evaluate(PRESS, [key, shift]) == then
            visitor.wait()
        page.click('[data-do="play"]')
        expect(page.locator('[data-do="play"]')).to_have_attribute("aria-pressed", "true")
        for sample in (3, 0, 1):
            page.wait_for_selector(f'.viewer[data-sample="{sample}"]')
        page.click('[data-do="play"]')
        page.click('[data-do="wipe"]')
        visitor.wait()
        slider = page.get_by_label("Move the border of the wipe")
        pictures = {}
        for key in ("Home", "End"):
            slider.press(key)
            visitor.paint()
            pictures[key] = visitor.seen(0)
        assert (pictures["Home"] != pictures["End"]).any()
        slider.press("ArrowLeft")
        visitor.picture("photo-2-wipe")
        play, paint = (page.locator(f'[data-do="{deed}"]') for deed in ("play", "paint"))
        play.click()
        paint.click()
        expect(play).to_have_attribute("aria-pressed", "false")
        play.click()  # and of what plays none is painted on
        expect(paint).to_have_attribute("aria-pressed", "false")
        unfold(page.get_by_role("button", name="More").first, page.locator("#wild"))
        record = read_record(find("photos-x2"))
        assert isinstance(record, OneScaleRecord)
        page.locator("#by input").first.check()
        calibrated = f"at {record.recommended.temperature:g} the spread"
        expect(page.locator("#wild")).to_contain_text(calibrated)
        visitor.wait()
        for width in (700, 900, 1100, 1300):
            page.set_viewport_size({"width": width, "height": 768})
            assert page.evaluate(CUT_OFF) == []
        visitor.clear()  # and nothing is left to press that would do nothing
        for part in (".brush", ".divide", ".steps", ".bar", '[data-do="here"]'):
            expect(page.locator(f"#viewer {part}").first).not_to_be_visible()
        expect(play).to_have_attribute("aria-pressed", "false")
        expect(play).to_have_text("▶ Play")


def test_what_comes_into_view_is_drawn(
    browser: Browser, server: tuple[str, Memory], smallest: Path
) -> None:
    """Where the tab was hidden in the meantime, or has become larger."""
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        page.set_viewport_size({"width": 500, "height": 700})
        visitor.give(smallest)
        for _ in range(2):
            page.click('[data-do="in"]')
        visitor.wait()
        drawn = visitor.seen(1)
        unfold(page.get_by_role("button", name="More").first, page.locator("#again"))
        before = page.locator(".film button").first.element_handle()
        page.click("#again")
        page.get_by_role("tab", name="What it means").click()
        page.wait_for_function("button => !button.isConnected", arg=before)
        page.get_by_role("tab", name="Photographs").click()
        visitor.wait()
        visitor.paint()
        assert near(visitor.seen(1), drawn) < 1  # it is not striped
        assert asked(visitor, {"width": 1366, "height": 900}) > 0


def asked(visitor: Looker, size: Any) -> int:
    """How many windows are asked for once the page has this size."""
    before = len(visitor.requests)
    shown = visitor.page.locator(".viewer").get_attribute("data-size")
    visitor.page.set_viewport_size(size)
    expect(visitor.page.locator(".viewer")).not_to_have_attribute("data-size", shown or "")
    visitor.wait()
    return sum("queue/join" in url for url in visitor.requests[before:])


def test_what_is_visible_is_never_dropped(browser: Browser) -> None:
    """It would be asked for again, and again something visible would be dropped for it."""
    script = (VIEWER / "patches.js").read_text("utf-8")
    kept = """(script) => {
        const { Gallery } = new Function(`${script}; return { Gallery };`)();
        const gallery = new Gallery({ label: "", samples: 13, seen: null, pairs: false });
        const look = (left) => ({ top: 0, left, height: 600, width: 600 });
        const draw = (left, visible) => {
            gallery.begin([0, left, 600, 600], visible).samples = Array(13);
            return gallery.patches.map((patch) => patch.left);
        };
        draw(0, look(0));
        const all = { top: 0, left: 0, height: 600, width: 2400 };
        return [600, 1200, 1800].map((left) => draw(left, all)).concat([draw(9000, look(9000))]);
    }"""
    page = browser.contexts[0].new_page()
    found = page.evaluate(kept, script)
    page.close()
    assert found[:3] == [[0, 600], [0, 600, 1200], [0, 600, 1200, 1800]]
    assert found[3] == [1200, 1800, 9000]


def test_a_sample_that_is_not_drawn_yet_is_no_other(browser: Browser) -> None:
    """Where it will be stays hatched, also in what is saved."""
    script = (VIEWER / "patches.js").read_text("utf-8")
    pictures = """(script) => {
        const { Patch } = new Function(`${script}; return { Patch };`)();
        const patch = new Patch([0, 0, 4, 4], false);
        patch.samples = ["first", "second"];
        return [0, 1, 3].map((sample) => patch.picture("sample", sample) || null);
    }"""
    page = browser.contexts[0].new_page()
    found = page.evaluate(pictures, script)
    page.close()
    assert found == ["first", "second", None]


ALONE = """([html, script]) => {
    document.body.innerHTML = `<div>${html}</div>`;
    const props = { value: null }, watched = [];
    window.told = [];
    window.tell = (value) => { props.value = value; watched.forEach((one) => one()); };
    new Function("element", "props", "trigger", "watch", script)(
        document.body.firstChild, props,
        (name, data) => told.push({ name, ...data }), (_, call) => watched.push(call));
}"""
"""The viewer without the page around it: `told` is what it tells, `tell` tells it something."""


class Alone:
    """The viewer, and in the place of a server the handlers that it speaks with."""

    def __init__(self, page: Page, photo: Path) -> None:
        self.page, self.on = page, handlers(Photos([tiny_photos(2)], threading.Lock()))
        script = "\n".join((VIEWER / name).read_text("utf-8") for name in viewer.SCRIPTS)
        page.evaluate(ALONE, [(VIEWER / "viewer.html").read_text("utf-8"), script])
        shown = self.on.arrive(None, str(photo), "×2", *SETTINGS)
        self.session = shown["session"]
        self.tell(shown)

    def tell(self, updates: Any) -> None:
        self.page.evaluate("value => tell(value)", updates["viewer"])

    def told(self, name: str, count: int) -> Any:
        """What the viewer tells for the last time of so many."""
        found = "([name, n]) => told.filter((one) => one.name === name)[n - 1]"
        return self.page.wait_for_function(found, arg=[name, count]).json_value()

    def answers(self, asked: Any) -> list[Any]:
        """What the viewer is told of the window that it asks for."""
        return list(self.on.draw(self.session, gr.EventData(None, asked)))

    def expect(self, state: str, words: str) -> None:
        self.page.wait_for_selector(f'.viewer[data-state="{state}"]')
        expect(self.page.locator(".said")).to_contain_text(words)


@pytest.fixture
def alone(browser: Browser, small: Path) -> Iterator[Alone]:
    page = browser.contexts[0].new_page()
    yield Alone(page, small)
    page.close()


def test_what_went_wrong_stays_until_the_next_act(alone: Alone) -> None:
    first, second = alone.answers(alone.told("ask", 1))
    alone.tell(first)
    alone.expect("drawing", "1 of 2 samples")
    alone.tell({"viewer": {"kind": "wrong", "text": "That is none."}})
    second["viewer"]["exploded"] = [False, True]
    alone.tell(second)
    alone.expect("ready", "That is none.")
    alone.page.click('[data-do="in"]')
    alone.expect("ready", "Drawn.")
    expect(alone.page.locator(".said")).to_contain_text("1 exploded and is no answer: lower the")


def test_a_window_that_never_began_to_be_drawn_is_not_waited_for(alone: Alone) -> None:
    alone.told("ask", 1)
    alone.tell(alone.on.lost())
    alone.expect("ready", "as too many are waiting: try again")
    here = alone.page.locator('[data-do="here"]')
    here.click()
    alone.told("ask", 2)
    alone.page.click('[data-do="stop"]')
    here.click()
    asked = alone.told("ask", 3)
    alone.tell(alone.on.lost())  # that is the one that was stopped
    alone.expect("drawing", "Drawing what you see …")
    for part in alone.answers(asked):
        alone.tell(part)
    alone.expect("ready", "Drawn.")


def test_keys_paint_what_may_change(alone: Alone) -> None:
    for part in alone.answers(alone.told("ask", 1)):
        alone.tell(part)
    alone.expect("ready", "Drawn.")
    page, panel = alone.page, alone.page.locator(".panels canvas").nth(1)
    frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

    def pressed(*keys: str) -> tuple[str, str | None]:
        for key in keys:
            page.keyboard.press(key)
        page.evaluate(frame)
        return panel.evaluate("one => one.toDataURL()"), panel.get_attribute("data-window")

    before, there = pressed()
    page.click('[data-do="paint"]')
    panel.focus()
    label = re.compile("Arrow keys move the brush, space paints there")
    expect(panel).to_have_attribute("aria-label", label)
    shown, still_there = pressed("ArrowRight", "ArrowRight", "ArrowDown")
    assert shown != before  # the brush
    assert still_there == there
    page.locator(".size").focus()
    assert pressed()[0] == before
    panel.focus()
    pressed("Space", "ArrowUp", "Shift+ArrowUp", "Shift+ArrowUp", "Shift+ArrowLeft", "Enter")
    page.click('[data-do="vary"]')
    dot, line, end = alone.told("vary", 1)["strokes"]
    (x, y), step = dot["points"][0], dot["size"] / 2
    path = [(x, y - step), (x, y - 2 * step), (x, y - 3 * step), (x - step, y - 3 * step)]
    assert np.allclose(line["points"], path, atol=0.3)
    assert end["points"] == line["points"][-1:]
    assert len(dot["points"]) == 1
    panel.focus()
    assert pressed("+")[1] != pressed(*["ArrowUp"] * 30)[1]  # the view goes along
    expect(page.locator('[data-do="play"]')).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(("motion", "plays"), [("reduce", "false"), ("no-preference", "true")])
def test_what_was_varied_plays_unless_nothing_is_to_move(
    alone: Alone, motion: Any, plays: str
) -> None:
    alone.page.emulate_media(reduced_motion=motion)
    strokes = [{"size": 9, "points": [[30, 30]]}]
    event = gr.EventData(None, {"key": alone.session.keys[0], "sample": 0, "strokes": strokes})
    alone.told("ask", 1)
    alone.tell(alone.on.vary(alone.session, None, event))
    expect(alone.page.locator(".steps button")).to_have_count(2)
    expect(alone.page.locator('[data-do="play"]')).to_have_attribute("aria-pressed", plays)


def test_vary_only_what_is_painted(
    browser: Browser, server: tuple[str, Memory], smallest: Path
) -> None:
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        visitor.give(smallest)
        page.click('[data-do="paint"]')
        page.click('[data-do="vary"]')
        expect(page.locator("#viewer .said")).to_contain_text("Paint over what may change first")
        kept = visitor.seen(1)
        box = visitor.panel(1).bounding_box()
        assert box is not None
        touch = page.context.new_cdp_session(page)
        fingers = [{"x": box["x"] + 90 + 20 * i, "y": box["y"] + 60, "id": i} for i in range(2)]
        for kind, down in (("Start", 1), ("Start", 2), ("Move", 2), ("End", 0)):
            touch.send(
                "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers[:down]}
            )
        page.click('[data-do="vary"]')  # a pinch has painted nothing
        visitor.paint()
        expect(page.locator(".steps button")).to_have_count(0)
        visitor.wait()
        drag(page, visitor.panel(1), 30, 10)
        visitor.picture("photo-3-painted")
        page.click('[data-do="vary"]')
        expect(page.locator(".steps button")).to_have_count(2)
        visitor.wait()
        expect(page.locator(".legend.varied")).to_be_visible()
        visitor.picture("photo-4-varied")
        visitor.choose(3)
        changed = (visitor.seen(1) != kept).any(2)
        assert 0.001 < changed.mean() < 0.4
        assert not changed[:, : changed.shape[1] // 4].any()
        page.locator(".steps button").first.click()
        visitor.choose(0)
        assert (visitor.seen(1) == kept).all()


def test_download_what_gives_the_photograph_back(
    browser: Browser, server: tuple[str, Memory], smallest: Path
) -> None:
    y = to_tensor(Image.open(smallest))
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        visitor.give(smallest)
        with page.expect_download() as view:
            page.click('[data-do="save"]')
        assert view.value.suggested_filename == "sample-0-details-invented.png"
        for form in ("tiff", "png"):
            if form == "png":
                visitor.clear()
                visitor.nothing_to_take()  # it would be of the photograph that has gone
                visitor.give(smallest)
            page.select_option("#viewer .format", form)
            page.click('[data-do="whole"]')
            expect(page.locator("#whole-said")).to_contain_text("Ready", timeout=PATIENCE)
            with page.expect_download() as download:
                page.click("#take")
            assert download.value.suggested_filename == f"sample_00_details_invented.{form}"
            with Image.open(download.value.path()) as file:
                assert file.format == form.upper()
                drawn = to_tensor(file.convert("RGB"))
            assert drawn.shape == (3, 84, 120)
            shrunk = shrink_to_8_bits(drawn[None], BicubicDownscaling((84, 120), (21, 30)))[0]
            exact = bool((to_bytes(shrunk) == to_bytes(y)).all())
            assert ("1 of 1" in page.locator("#whole-said").inner_text()) == exact
        unfold(page.get_by_role("button", name="More").first, page.locator("#again"))
        page.select_option("#viewer .which", "all")
        with visitor.waiting():
            page.click('[data-do="whole"]')
            expect(page.locator("#whole-said")).to_contain_text("waits for its turn")
            expect(page.locator("#whole-stop")).to_be_visible()
        expect(page.locator("#whole-said")).to_contain_text("of the whole is drawn")
        visitor.again()
        visitor.nothing_to_take()  # nor is it drawn any more


def test_a_result_that_was_taken_away_is_opened_again(
    browser: Browser, server: tuple[str, Memory], smallest: Path, tmp_path: Path
) -> None:
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        pairs = page.locator("#photo-antithetic input")
        visitor.many(2)
        visitor.give(smallest)
        pairs.check()
        visitor.again()
        page.click('[data-do="paint"]')
        drag(page, visitor.panel(1), 30, 10)
        page.click('[data-do="vary"]')
        expect(page.locator(".steps button")).to_have_count(2)
        visitor.wait()
        visitor.choose(1)
        kept = visitor.seen(1)
        page.select_option("#viewer .which", "all")
        page.click('[data-do="whole"]')
        expect(page.locator("#whole-said")).to_contain_text("Ready", timeout=PATIENCE)
        with page.expect_download() as download:
            page.click("#take")
        archive = tmp_path / "cvdvae.zip"
        download.value.save_as(archive)
        visitor.open("/")
        expect(page.locator("#viewer .said")).to_contain_text("comes first")
        unfold(page.get_by_role("button", name="More").first, page.locator("#photo-reopen"))
        with page.expect_file_chooser() as chooser:
            page.click("#photo-reopen")
        chooser.value.set_files(str(archive))
        expect(page.locator(".steps button")).to_have_count(2, timeout=PATIENCE)
        visitor.wait()
        expect(page.locator("#viewer .said")).to_contain_text("Drawn.")
        expect(page.locator("#notes")).to_contain_text("As it was drawn before")
        expect(pairs).to_be_checked()
        expect(page.locator("#picture img")).to_be_visible()
        visitor.choose(1)
        assert (visitor.seen(1) == kept).all()
        expect(page.locator(".steps button")).to_have_count(2)
        visitor.picture("photo-7-reopened")
        with page.expect_file_chooser() as chooser:
            page.click("#photo-reopen")
        other = tmp_path / "other.json"
        other.write_text("no result")
        chooser.value.set_files(str(other))
        expect(page.locator("#viewer .said")).to_contain_text("“other.json” is no result.json")


def test_what_cannot_be_used_is_said_and_a_large_photograph_is_shrunk_first_and_shown_beside(
    browser: Browser, server: tuple[str, Memory], tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    coffee().resize((1800, 1200), Image.Resampling.LANCZOS).save(large, quality=95)
    text, tiny, huge = (tmp_path / name for name in ("text.png", "tiny.png", "huge.png"))
    text.write_text("I am no picture")
    Image.new("RGB", (5, 5)).save(tiny)
    Image.new("1", (6000, 5000)).save(huge)
    with Looker(browser, server[0]) as visitor:
        page = visitor.page
        page.set_viewport_size({"width": 400, "height": 768})  # the less there is to draw
        for path, sentence in (
            (text, "“text.png” is not an image."),
            (tiny, "5×5 pixels are too few"),
            (huge, "over 25 megapixels: use the command line, which takes larger ones"),
        ):
            page.locator("#picture input[type=file]").set_input_files(str(path))
            expect(page.locator("#viewer .said")).to_contain_text(sentence)
            visitor.clear()
        visitor.give(large)
        expect(page.locator("#notes")).to_contain_text("450×300 → 1800×1200")
        expect(page.locator("#notes")).to_contain_text("it was shrunk by 4 first")
        expect(page.locator("#viewer .said")).to_contain_text("Drawn.")
        page.locator(".panels select").nth(2).select_option("truth")
        visitor.paint()
        assert near(visitor.seen(1), visitor.seen(2)) < 20
        visitor.picture("photo-5-truth")


def test_photographs_and_faces_on_a_phone(
    browser: Browser, server: tuple[str, Memory], smallest: Path
) -> None:
    size = {"width": 390, "height": 844}
    with Looker(browser, server[0], viewport=size, has_touch=True, is_mobile=True) as visitor:
        visitor.give(smallest)
        for scheme in SCHEMES:
            switch(visitor.page, scheme)
            assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
            visitor.picture(f"photo-6-phone-{scheme}")
        visitor.page.get_by_role("tab", name="Faces").click()
        see_both(visitor, "9-phone", 390)
