"""The viewer of photographs and the painter in a real browser, without a server."""

import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from test_page import pytestmark as pytestmark
from test_page_photos import ALONE, VIEWER, Alone
from test_page_photos import small as small

from cvdvae.app import painter
from cvdvae.app.photos import handlers
from cvdvae.app.photos.strokes import region_of
from cvdvae.app.pictures import to_paint
from cvdvae.degradations.resize import resize_matrix


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.contexts[0].new_page()
    yield page
    page.close()


@pytest.fixture
def alone(page: Page, small: Path) -> Alone:
    return Alone(page, small)


def drawn(alone: Alone, exploded: list[bool] | None = None) -> None:
    """What is visible is there."""
    for part in alone.answers(alone.told("ask", 1)):
        if exploded:
            part["viewer"]["exploded"] = exploded[: len(part["viewer"]["samples"])]
        alone.tell(part)
    alone.expect("ready", "Drawn.")


# What the browser keeps.

GALLERIES = """(script) => {
    const { Gallery } = new Function(`${script}; return { Gallery };`)();
    const make = () => new Gallery({ label: "", samples: 13, seen: null, pairs: false });
    const [first, second] = [make(), make()], galleries = [first, second];
    const look = (left) => ({ top: 0, left, height: 600, width: 600 });
    const draw = (gallery, left, visible = look(left)) => {
        const patch = gallery.begin([0, left, 600, 600], visible, galleries);
        patch.samples = Array(13);
        patch.end(true);
        return galleries.map((one) => one.patches.map((patch) => patch.left));
    };
    const found = [0, 600, 1200, 1800].map((left) => draw(first, left));
    found.push(draw(second, 0), draw(second, 600), draw(second, 1200), draw(second, 1800));
    return found;
}"""


def test_the_steps_of_a_photograph_share_what_the_browser_keeps(page: Page) -> None:
    """What other steps have makes room first, the oldest first, and then what is out of sight."""
    script = (VIEWER / "patches.js").read_text("utf-8")
    found = page.evaluate(GALLERIES, script)
    total = [sum(map(len, one)) for one in found]
    assert max(total) == total[-1] == total[3]  # as many as one step alone may have
    assert found[4][1] == [0]
    assert len(found[4][0]) == len(found[3][0]) - 1
    assert found[-1][0] == []  # another step's go before any of its own


def test_what_was_summed_is_free_once_a_patch_is_there(page: Page) -> None:
    script = (VIEWER / "patches.js").read_text("utf-8")
    weights = """(script) => {
        const { Patch } = new Function(`${script}; return { Patch };`)();
        const patch = new Patch([0, 0, 10, 10], false), found = [patch.weight];
        patch.samples = ["a", "b"];
        patch.pictures = { bicubic: 1, truth: 1, mean: 1, map: 1 };
        found.push(patch.weight);
        patch.end(true);
        return [...found, patch.weight, patch.sum, patch.squares, patch.done, patch.exact];
    }"""
    assert page.evaluate(weights, script) == [600, 1200, 600, None, None, True, True]


# What is said and saved of a sample.


def test_a_sample_that_exploded_is_called_so_where_it_is_chosen(alone: Alone) -> None:
    drawn(alone, [False, True])
    names = alone.page.locator(".film small")
    expect(names).to_have_text(["0", "1 · exploded"])
    expect(alone.page.locator(".said")).to_contain_text("1 exploded and is no answer: lower")
    sample = alone.page.locator("figcaption span").nth(1)
    panel, film = (alone.page.locator(one) for one in (".panels canvas", ".film button"))
    expect(sample).to_have_text("0 of 0–1: details are invented")
    expect(panel.nth(1)).to_have_accessible_name(re.compile("Sample: 0 of 0–1: details are inv"))
    film.nth(1).click()
    expect(sample).to_have_text("1 of 0–1: exploded, and no answer")
    expect(panel.nth(1)).to_have_accessible_name(re.compile("1 of 0–1: exploded, and no answer"))
    expect(film.nth(0)).to_have_accessible_name("Sample 0: plausible, not true")
    expect(film.nth(1)).to_have_accessible_name("Sample 1: exploded, and no answer")
    # The other is alone: a map of it would say that all is known.
    last = alone.page.locator("figure").nth(3)
    expect(last.locator("span")).to_have_text("nothing to compare yet")
    expect(last.locator(".heat")).to_be_hidden()


def test_a_view_that_is_too_large_to_be_saved_is_said_to_be(alone: Alone) -> None:
    drawn(alone)
    alone.page.evaluate("() => (HTMLCanvasElement.prototype.toBlob = (call) => call(null), 1)")
    alone.page.click('[data-do="save"]')
    expect(alone.page.locator(".said")).to_have_text(
        "That is more than this browser can save at once: zoom in, or draw the whole photograph."
    )


def test_a_view_is_saved_under_the_name_of_its_sample_and_step(alone: Alone) -> None:
    drawn(alone)

    def saved() -> str:
        with alone.page.expect_download() as download:
            alone.page.click('[data-do="save"]')
        return download.value.suggested_filename

    assert saved() == "sample-0-details-invented.png"
    strokes = [{"size": 4, "points": [[40, 30], [60, 40]]}]
    event = gr.EventData(None, {"key": alone.session.keys[0], "sample": 0, "strokes": strokes})
    varied = alone.on.vary(alone.session, None, event)
    alone.session = varied[alone.on.parts.session]
    alone.tell(varied)
    expect(alone.page.locator(".steps button")).to_have_count(2)
    alone.page.click('[data-do="save"]')
    said = alone.page.locator(".work .said")
    expect(said).to_contain_text("Not all that you see is drawn")  # of this step
    for part in alone.answers(alone.told("ask", 2)):
        alone.tell(part)
    expect(alone.page.locator(".viewer")).to_have_attribute("data-state", "ready")
    assert saved() == "sample-0-step-2-details-invented.png"


def test_a_view_is_saved_to_its_last_row(alone: Alone) -> None:
    """Also where its borders lie within pixels of the sample."""
    drawn(alone)
    panel = alone.page.locator(".panels canvas").nth(1)
    for key in ("+", "+", "ArrowRight", "ArrowDown", "-", "-"):
        panel.press(key)
    expect(alone.page.locator(".viewer")).to_have_attribute("data-state", "ready")
    assert float((panel.get_attribute("data-window") or "").split(",")[0]) % 1
    with alone.page.expect_download() as download:
        alone.page.click('[data-do="save"]')
    with Image.open(download.value.path()) as saved:
        assert saved.convert("RGBA").getchannel("A").getextrema() == (255, 255)


PRESSES = """(canvas) => {
    const at = { pointerId: 7, clientX: 90, clientY: 90, bubbles: true };
    const send = (type, more) => canvas.dispatchEvent(new PointerEvent(type, { ...at, ...more }));
    canvas.setPointerCapture = () => {};
    const found = [];
    const window = () => new Promise((done) =>
        requestAnimationFrame(() => requestAnimationFrame(() => done(canvas.dataset.window))));
    return (async () => {
        found.push(await window());
        send("pointerdown", { button: 2, buttons: 2 });
        send("pointermove", { buttons: 2, clientX: 40 });
        found.push(await window());
        send("pointerdown", { button: 0, buttons: 1 });
        send("pointermove", { buttons: 0, clientX: 40 });
        found.push(await window());
        send("pointerdown", { button: 0, buttons: 1 });
        send("pointermove", { buttons: 1, clientX: 40 });
        found.push(await window());
        return found;
    })();
}"""


def test_only_the_left_button_moves_a_photograph_and_only_while_it_is_down(alone: Alone) -> None:
    drawn(alone)
    first, right, let_go, moved = alone.page.locator(".panels canvas").nth(1).evaluate(PRESSES)
    assert first == right == let_go != moved


def test_what_a_panel_shows_outlasts_the_wipe(alone: Alone) -> None:
    drawn(alone)
    chosen = alone.page.locator("figcaption select")
    chosen.nth(2).select_option("bicubic")
    alone.page.click('[data-do="wipe"]')
    alone.page.click('[data-do="wipe"]')
    expect(chosen.nth(2)).to_have_value("bicubic")
    expect(chosen.nth(3)).to_have_value("map")


def test_what_is_painted_while_a_region_varies_stays(alone: Alone) -> None:
    drawn(alone)
    panel = alone.page.locator(".panels canvas").nth(1)
    alone.page.click('[data-do="paint"]')
    panel.press(" ")
    alone.page.click('[data-do="vary"]')
    asked = alone.told("vary", 1)
    panel.press("ArrowRight")
    panel.press(" ")
    varied = alone.on.vary(alone.session, None, gr.EventData(None, asked))
    alone.session = varied[alone.on.parts.session]
    alone.tell(varied)
    expect(alone.page.locator(".steps button")).to_have_count(2)
    expect(alone.page.locator('[data-do="paint"]')).to_have_attribute("aria-pressed", "true")
    alone.page.click('[data-do="vary"]')
    assert len(alone.told("vary", 2)["strokes"]) == 1 == len(asked["strokes"])


# Where the focus is.


def test_a_button_that_goes_hands_the_focus_on(
    page: Page, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MAX_PART", 2 * 2 * 48 * 48)  # what is visible takes two windows
    alone = Alone(page, small)
    page.emulate_media(reduced_motion="reduce")
    stop, here, paint, vary = (
        page.locator(f'[data-do="{name}"]') for name in ("stop", "here", "paint", "vary")
    )
    panel, steps = page.locator(".panels canvas"), page.locator(".steps button")

    def answer(count: int) -> None:
        for part in alone.answers(alone.told("ask", count)):
            alone.tell(part)

    alone.told("ask", 1)
    twice = """() => ["stop", "here"].forEach((name, i) => document.querySelector(
        `[data-do="${name}"]`).dispatchEvent(new MouseEvent("click", { detail: i + 1 })))"""
    stop.focus()
    page.evaluate(twice)  # as who clicks twice on Stop, in whose place the other one comes
    alone.expect("ready", "Not all that you see is drawn")
    expect(here).to_be_focused()
    expect(page.locator("figcaption span").nth(1)).to_have_text("none is drawn yet")
    here.press("Enter")
    expect(stop).to_be_focused()
    answer(2)
    alone.told("ask", 3)
    expect(stop).to_be_focused()
    answer(3)
    alone.expect("ready", "Drawn.")
    expect(panel.first).to_be_focused()

    paint.press("Enter")
    panel.nth(1).press("Space")
    vary.press("Enter")
    varied = alone.on.vary(alone.session, None, gr.EventData(None, alone.told("vary", 1)))
    alone.tell(varied)
    expect(steps).to_have_count(2)
    expect(paint).to_be_focused()
    for step in (0, 1):
        steps.nth(step).press("Enter")
        expect(steps.nth(step)).to_have_attribute("aria-pressed", "true")
        expect(steps.nth(step)).to_be_focused()


# What is painted.


def test_a_long_stroke_has_few_points_and_covers_the_same(page: Page) -> None:
    script = "\n".join((painter.HERE / name).read_text("utf-8") for name in painter.SCRIPTS)
    page.evaluate(ALONE, [(painter.HERE / "painter.html").read_text("utf-8"), script])
    page.evaluate("value => tell(value)", to_paint(torch.zeros(3, 64, 64)))
    canvas = page.locator("canvas")
    drawing = "c => c.getContext('2d').getImageData(0, 0, 1, 1).data[3] === 255"
    page.wait_for_function(drawing, arg=canvas.element_handle())
    box = canvas.bounding_box()
    assert box is not None
    places = [(0.2 + 0.6 * i / 120, 0.5 + 0.05 * (i % 30) / 30) for i in range(121)]
    for i, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if not i:
            page.mouse.down()
    page.mouse.up()
    (stroke,) = page.evaluate("told.at(-1).strokes")
    points = stroke["points"]
    assert 5 < len(points) < 60
    steps = torch.tensor(points).diff(dim=0).norm(dim=1)
    assert float(steps.min()) >= 0.99 * stroke["size"] / 2
    every = [[round(64 * x, 1), round(64 * y, 1)] for x, y in places]
    all_of_them = region_of([{**stroke, "points": every}], (64, 64))
    few = region_of([stroke], (64, 64))
    assert float((all_of_them != few).float().mean()) < 0.02


def test_a_stroke_in_the_viewer_has_few_points(alone: Alone) -> None:
    drawn(alone)
    page = alone.page
    page.click('[data-do="paint"]')
    box = page.locator(".panels canvas").nth(1).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=60)
    page.mouse.up()
    page.click('[data-do="vary"]')
    (stroke,) = alone.told("vary", 1)["strokes"]
    steps = torch.tensor(stroke["points"]).diff(dim=0).norm(dim=1)
    assert 1 < len(stroke["points"]) < 20
    assert float(steps.min()) >= 0.99 * stroke["size"] / 2


SHRINK_A_LINE = """
([n, m]) => Array.from({length: n}, (_, j) => {
    const from = document.createElement('canvas'), to = document.createElement('canvas');
    from.width = from.height = n; to.width = to.height = m;
    const source = from.getContext('2d', {willReadFrequently: true});
    source.fillStyle = '#000'; source.fillRect(0, 0, n, n);
    source.fillStyle = '#fff'; source.fillRect(j, 0, 1, n);
    const target = to.getContext('2d', {willReadFrequently: true});
    target.imageSmoothingQuality = 'high';
    target.drawImage(from, 0, 0, m, m);
    const line = target.getImageData(0, m >> 1, m, 1).data;
    return Array.from({length: m}, (_, i) => line[4 * i]);
})
"""


def test_canvas(page: Page) -> None:
    """What becomes of a white line, for every place of it, in 8 bits and with rough weights."""
    for n, m, tolerance in (
        (16, 8, 0.005),
        (32, 8, 0.005),
        (64, 8, 0.005),
        (24, 8, 0.03),
        (48, 8, 0.03),
        (40, 8, 0.05),
    ):
        theirs = np.array(page.evaluate(SHRINK_A_LINE, [n, m])).T / 255
        ours = resize_matrix(n, m, "canvas").dense().numpy()
        np.testing.assert_allclose(ours, theirs, atol=tolerance, err_msg=f"{n} → {m}")
