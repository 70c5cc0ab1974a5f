"""The tab that restores, in a real browser."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from test_page import pytestmark as pytestmark
from test_page import release, unfold
from test_page_photos import ALONE

from cvdvae.app import painter
from cvdvae.app.archive import zip_of
from cvdvae.app.pictures import to_paint
from cvdvae.damage.described import parse
from cvdvae.damage.packed import unpack
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.imaging.io import to_bytes, to_pil, to_tensor
from cvdvae.restoration.load import load_restorer
from cvdvae.restoration.restoring import degraded

PATIENCE = 90_000


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.contexts[0].new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.get_by_role("tab", name="Restore").click()
    expect(page.locator("#restore")).to_be_visible(timeout=PATIENCE)
    yield page
    page.close()


@pytest.fixture
def face(tmp_path: Path) -> Path:
    crop_face(demo_photo()).resize((64, 64)).save(tmp_path / "face.png")
    return tmp_path / "face.png"


PAINTED = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
"""Whether there is anything in a canvas."""
SEEN = "canvas => canvas.toDataURL()"


def give(page: Page, face: Path, subject: str = "A face") -> None:
    page.locator("#restore-subject label").filter(has_text=subject).click()
    page.locator("#restore-photo input[type=file]").set_input_files(face)
    if subject == "A face":
        expect(page.locator("#restore-kind input:checked")).to_have_value("Damaged already")


def paint_in_the_middle(page: Page) -> None:
    canvas = page.locator("#restore-painter canvas")
    canvas.scroll_into_view_if_needed()
    # The picture is decoded after it has come, and what was painted before is gone then.
    page.wait_for_function(f"canvas => ({PAINTED})(canvas)", arg=canvas.element_handle())
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    release(page)


def draw_all(page: Page) -> None:
    page.locator("#restore").click()
    expect(page.locator("#restore-told")).to_contain_text("8 of 8 answers explain")
    expect(page.locator("#restore-gallery img")).to_have_count(8)


def taken(page: Page) -> zipfile.ZipFile:
    with page.expect_download() as download:
        page.locator("#restore-take").click()
    return zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes()))


def test_the_noise_of_a_damaged_image_is_estimated_where_that_is_asked_for(
    page: Page, face: Path
) -> None:
    estimate = page.locator("#estimate")
    expect(estimate).not_to_be_visible()
    give(page, face)
    page.locator("#damage input").click()
    page.get_by_role("option", name="Noisy").click()
    expect(estimate).to_be_visible()
    estimate.click()
    expect(page.locator("#restore-said")).to_contain_text("Its noise seems to have σ = 0.0")
    assert float(page.locator("#noise input[type=number]").input_value()) >= 0.005


def test_a_blur_that_was_taken_away_is_opened_again_with_its_controls(
    page: Page, face: Path, tmp_path: Path
) -> None:
    seen = to_tensor(Image.open(face))
    model = load_restorer("celeba64-restore")
    told = degraded(seen, parse("blur:sigma=1.5"), 0.03, 0)
    archive = zip_of(model.run(told, model.restoring(2, temperature=0.5, seed=11)), tmp_path)
    with page.expect_file_chooser() as chooser:
        page.locator("#restore-reopen").click()
    chooser.value.set_files(archive)
    words = "Opened again: Blur of 1.5 pixels, σ 0.03, seed 11: 2 of 2 answers explain"
    expect(page.locator("#restore-told")).to_contain_text(words, timeout=PATIENCE)
    expect(page.locator("#damage input")).to_have_value("Blurred")
    expect(page.locator("#strength input[type=number]")).to_have_value("1.5")
    expect(page.locator("#noise input[type=number]")).to_have_value("0.03")
    expect(page.locator("#estimate")).to_be_visible()


def test_answers_that_were_taken_away_are_opened_again(
    page: Page, face: Path, tmp_path: Path
) -> None:
    seen = to_bytes(to_tensor(Image.open(face)))
    model = load_restorer("celeba64-restore")
    told = degraded(seen.float() / 255, parse("hole:side=20"), None, 0)
    archive = zip_of(model.run(told, model.restoring(4, temperature=0.5, seed=11)), tmp_path)
    with page.expect_file_chooser() as chooser:
        page.locator("#restore-reopen").click()
    chooser.value.set_files(archive)
    expect(page.locator("#restore-told")).to_contain_text(
        "Opened again: hole:side=20", timeout=PATIENCE
    )
    expect(page.locator("#restore-told")).to_contain_text("seed 11: 4 of 4 answers explain")
    expect(page.locator("#restore-gallery img")).to_have_count(4)
    samples = page.locator("#restore-samples input[type=number]")
    unfold(page.get_by_role("button", name="More").last, samples)
    expect(samples).to_have_value("4")
    expect(page.locator("#restore-temperature input[type=number]")).to_have_value("0.5")
    expect(page.locator("#restore-said")).to_have_text("")
    expect(page.locator("#restore-stop")).to_be_disabled()
    expect(page.locator("#restore-subject input:checked")).to_have_value("A face")
    page.wait_for_timeout(1000)  # the image that came with it is no new one
    expect(page.locator("#restore-gallery img")).to_have_count(4)
    again = taken(page)
    for name in [f"sample_{i:02d}.png" for i in range(4)]:
        assert again.read(name) == (tmp_path / name).read_bytes()
    paint_in_the_middle(page)  # and it can be damaged further
    page.locator("#restore").click()
    expect(page.locator("#restore-told")).to_contain_text("Painted hole")
    expect(page.locator("#restore-gallery img")).to_have_count(4)


def test_a_painted_hole_is_filled_and_the_rest_given_back(page: Page, face: Path) -> None:
    page.locator("#restore").click()
    expect(page.locator("#restore-said")).to_contain_text("Your image comes first")
    give(page, face)
    page.locator("#restore").click()
    expect(page.locator("#restore-said")).to_contain_text("Paint over what is missing")
    paint_in_the_middle(page)
    pairs = page.locator("#restore-antithetic input")
    unfold(page.get_by_role("button", name="More").last, pairs)
    pairs.check()
    tame = load_restorer("celeba64-restore").recommended.look
    expect(page.locator("#restore-temperature input[type=number]")).to_have_value(f"{tame:g}")
    draw_all(page)
    archive = taken(page)
    report = json.loads(archive.read("result.json"))
    assert report["antithetic"] is True
    assert report["degradation"]["steps"][0]["kind"] == "mask"
    assert report["explains"] == [True] * 8
    assert "sample_07.png" in archive.namelist()


def test_keys_paint(browser: Browser) -> None:
    page = browser.contexts[0].new_page()
    script = "\n".join((painter.HERE / name).read_text("utf-8") for name in painter.SCRIPTS)
    page.evaluate(ALONE, [(painter.HERE / "painter.html").read_text("utf-8"), script])
    picture = to_paint(torch.zeros(3, 64, 64))
    page.evaluate("value => tell(value)", picture)
    canvas = page.locator("canvas")
    page.wait_for_function(f"({PAINTED})(document.querySelector('canvas'))")
    plain = canvas.evaluate(SEEN)
    page.keyboard.press("Tab")
    expect(canvas).to_be_focused()
    middle = canvas.evaluate(SEEN)
    page.keyboard.press("ArrowRight")
    assert len({plain, middle, canvas.evaluate(SEEN)}) == 3  # the brush is there, and moves
    assert page.evaluate("told") == []
    for key in ("Enter", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    number, strokes = page.evaluate("[told.at(-1).number, told.at(-1).strokes]")
    assert number == picture["number"]
    assert strokes == [
        {"size": 4, "points": [[34, 32]]},
        {"size": 4, "points": [[34, 34], [34, 36], [34, 38]]},
    ]
    page.locator("input").focus()
    page.locator("button").click()
    assert canvas.evaluate(SEEN) == plain
    page.close()


def test_other_damage_has_its_own_slider(page: Page, face: Path) -> None:
    give(page, face)
    page.locator("#restore-kind label").first.click()
    paint_in_the_middle(page)
    painted = page.locator("#restore-painter canvas").evaluate("canvas => canvas.toDataURL()")
    page.locator("#damage input").click()
    page.get_by_role("option", name="Missing pixels").click()
    expect(page.locator("#strength")).to_contain_text("Missing, %")
    expect(page.locator("#restore-painter canvas")).not_to_be_visible()
    page.locator("#restore").click()
    expect(page.locator("#restore-told")).to_contain_text("answers explain what is seen")
    expect(page.locator("#restore-truth img")).to_be_visible()
    page.locator("#damage input").click()
    page.get_by_role("option", name="A hole").click()
    canvas = page.locator("#restore-painter canvas")
    expect(canvas).to_be_visible()
    assert canvas.evaluate("canvas => canvas.toDataURL()") == painted  # as it is on the server
    photo = page.locator("#restore-photo")
    photo.get_by_label("Remove Image").or_(photo.get_by_label("Clear")).first.click()
    expect(page.locator("#restore-told")).to_have_text("")  # it would be of an image that has gone
    expect(page.locator("#restore-take")).not_to_be_visible()
    for name in ("seen", "mean", "heat", "truth", "gallery"):
        expect(page.locator(f"#restore-{name} img")).to_have_count(0)
    page.wait_for_function(f"canvas => !({PAINTED})(canvas)", arg=canvas.element_handle())
    canvas.click()
    assert not canvas.evaluate(PAINTED)


def test_a_photograph_keeps_its_shape(page: Page, tmp_path: Path) -> None:
    to_pil(torch.full((3, 30, 50), 120, dtype=torch.uint8)).save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png", "A photograph")
    canvas = page.locator("#restore-painter canvas")
    expect(canvas).to_have_attribute("height", str(round(512 * 30 / 50)))  # it has arrived
    paint_in_the_middle(page)
    draw_all(page)
    archive = taken(page)
    report = json.loads(archive.read("result.json"))
    assert report["size"] == [30, 50]
    assert report["explains"] == [True] * 8
    hole = unpack(report["degradation"]["steps"][0]["packed"], torch.bool)
    assert hole.shape == (30, 50)
    assert abs(hole.any(0).nonzero().float().mean() - 25) < 2  # painted in the middle
    assert 8 <= hole.any(0).sum() <= 18

    # What is pressed while another image is restored is done after it.
    held: list[Route] = []
    page.route("**/queue/join*", lambda one: one.continue_() if held else held.append(one))
    with page.expect_request("**/queue/join*"):
        page.locator("#restore").click()
    to_pil(torch.full((3, 40, 30), 120, dtype=torch.uint8)).save(tmp_path / "other.png")
    photo = page.locator("#restore-photo")
    photo.get_by_label("Remove Image").or_(photo.get_by_label("Clear")).first.click()
    photo.locator("input[type=file]").set_input_files(tmp_path / "other.png")
    expect(canvas).to_have_attribute("width", str(round(512 * 30 / 40)))
    paint_in_the_middle(page)
    page.locator("#restore").click()
    held[0].continue_()
    expect(page.locator("#restore-told")).to_contain_text("8 of 8 answers explain")
    assert json.loads(taken(page).read("result.json"))["size"] == [40, 30]
