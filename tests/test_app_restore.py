"""The tab that restores, without a browser: what is said of its answers, and what ends them."""

import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from test_app import STROKES, events, numbered
from test_app import explorer as explorer
from test_app import page as page
from tiny import tiny_photo_restorer

from cvdvae.app.archive import zip_of
from cvdvae.app.controls import UNCHANGED, Updates
from cvdvae.app.painter import Painting
from cvdvae.app.restoring.damage import DAMAGES, KINDS, Given, image_in, in_words
from cvdvae.app.restoring.handlers import RestoringHandlers
from cvdvae.app.restoring.showing import smooth
from cvdvae.app.text import ALONE, FAILED, STILL
from cvdvae.checkpoints.records import Recommended
from cvdvae.damage.described import parse
from cvdvae.errors import InputError
from cvdvae.imaging.carried import ORIENTATION
from cvdvae.imaging.io import to_bytes, to_pil, to_tensor
from cvdvae.restoration.restored import Restoration
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import Seen, degraded
from cvdvae.restoration.settings import Restoring

INTACT, DAMAGED = KINDS
SUBJECT = "A photograph"
MANY = 20


class Tab:
    """The tab, with a photograph on it."""

    def __init__(self, path: Path) -> None:
        self.path, self.turn = str(path), threading.Lock()
        models = {SUBJECT: tiny_photo_restorer()}
        self.parts = numbered()
        self.on = RestoringHandlers(models, self.parts, self.turn)
        given = self.on.arrive(self.path, SUBJECT, None)[self.parts.given]
        assert isinstance(given, Given)
        self.given = given

    def draw(
        self, damage: str = "Blurred", strength: float = 1, noise: float = 0.02, samples: int = 2
    ) -> Iterator[Updates]:
        """Press the button."""
        self.on.busy(self.given)
        how = (samples, 1, "3", False)
        what = (INTACT, damage, strength, noise)
        return self.on.draw(self.path, SUBJECT, *what, *how, self.given, STROKES, 20)

    def told(self, updates: Updates) -> str:
        """What is said of the answers."""
        return str(updates[self.parts.shown[0]])


@pytest.fixture
def tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    noise = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
    to_pil(0.3 + 0.4 * noise).save(tmp_path / "photo.png")
    return Tab(tmp_path / "photo.png")


# What is said of the answers.


@pytest.mark.parametrize(
    ("damage", "strength", "noise", "said"),
    [
        ("A hole: paint over it", 50, 0, "Painted hole, seed 3: 2 of 2 answers explain"),
        ("Missing pixels", 40, 0.02, "40 % missing, σ 0.02, seed 3"),
        ("Blurred", 1.5, 0.02, "Blur of 1.5 pixels, σ 0.02, seed 3"),
        ("Moved", 5, 0.02, "Movement of 5 pixels at 20°, σ 0.02, seed 3"),
        ("Noisy", 50, 0.05, "Noise, σ 0.05, seed 3"),
        ("JPEG", 30, 0.05, "JPEG of quality 30, seed 3"),
    ],
)
def test_answers_are_said_to_be_of_their_damage(
    tab: Tab, damage: str, strength: float, noise: float, said: str
) -> None:
    *_, drawn = tab.draw(damage, strength, noise)
    assert said in tab.told(drawn)


def test_a_strength_that_is_not_asked_for_is_not_said() -> None:
    assert in_words("jpeg", True, 30, 0, 0) == "JPEG"
    assert all(in_words(kind, False, 7, 9, 0.5).strip() for kind in DAMAGES)


def test_what_is_shown_after_a_failure_is_said_to_be_from_before(tab: Tab) -> None:
    (first,) = tab.draw("Noisy", noise=0)  # nothing is shown yet
    assert tab.parts.shown[0] not in first
    *_, drawn = tab.draw()
    for _ in range(2):
        (failed,) = tab.draw("Noisy", noise=0)
        assert "Say how noisy it is" in failed[tab.parts.said]
        assert tab.told(failed) == STILL + tab.told(drawn)
    *_, again = tab.draw()  # it is drawn anew
    assert tab.told(again) == tab.told(drawn)


def test_a_sample_that_exploded_is_called_so_below_it(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Restorer.stream

    def exploding(*what: Any) -> Iterator[Restoration]:
        for result in stream(*what):
            result.exploded[1] = True
            yield result

    monkeypatch.setattr(Restorer, "stream", exploding)
    *_, drawn = tab.draw(samples=3)
    gallery = drawn[tab.parts.shown[-2]]
    assert [name for _, name in gallery] == ["0", "1 · exploded", "2"]
    assert "1 exploded and is no answer" in tab.told(drawn)


# What ends them.


def test_it_is_said_how_many_there_are_and_between_batches_others_have_their_turn(
    tab: Tab,
) -> None:
    *growing, whole = tab.draw(samples=MANY)
    said = [updates[tab.parts.said] for updates in growing]
    assert len(said) >= 2
    assert all(f"of {MANY}" in one for one in said)
    assert whole[tab.parts.said] == ""
    for _ in tab.draw("Moved", 5, samples=MANY):
        assert not tab.turn.locked()


def test_what_is_stopped_shows_what_was_drawn_till_then(tab: Tab) -> None:
    drawing = tab.draw(samples=MANY)
    next(drawing)
    tab.on.stop(tab.given)
    stopped = next(drawing)
    drawn = len(stopped[tab.parts.shown[-2]])
    assert 2 <= drawn < MANY
    assert f"of {drawn} answers explain" in tab.told(stopped)
    assert "Stopped" in stopped[tab.parts.said]
    report = Path(stopped[tab.parts.shown[-1]]["value"]).with_name("result.json")
    assert json.loads(report.read_text())["samples"] == drawn
    assert list(drawing) == []
    *_, whole = tab.draw(samples=MANY)  # no double click: it was not all
    assert len(whole[tab.parts.shown[-2]]) == MANY


def test_what_could_not_be_packed_may_be_asked_for_again(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError("no space left on the disk")

    with monkeypatch.context() as patch:
        patch.setattr("cvdvae.app.restoring.handlers.zip_of", full)
        *_, failed = tab.draw()
    assert failed[tab.parts.said] == FAILED
    *_, whole = tab.draw()
    assert len(whole[tab.parts.shown[-2]]) == 2


def test_nothing_can_be_stopped_where_there_is_no_image_yet(tab: Tab) -> None:
    """Its draw would not be told."""
    assert not tab.on.busy(None)[tab.parts.stop]["interactive"]


def test_what_is_stopped_ends_though_more_is_asked_for_meanwhile(tab: Tab) -> None:
    tab.on.busy(tab.given)
    drawing = tab.draw(samples=MANY)
    next(drawing)
    tab.on.stop(tab.given)
    tab.on.busy(tab.given)
    *_, stopped = drawing
    assert "Stopped" in stopped[tab.parts.said]
    *_, whole = tab.draw("Moved", 5, samples=MANY)
    assert len(whole[tab.parts.shown[-2]]) == MANY


def test_what_was_asked_for_twice_is_stopped(tab: Tab) -> None:
    drawing = tab.draw(samples=MANY)
    next(drawing)
    again = tab.draw(samples=MANY)  # it waits for the first
    tab.on.stop(tab.given)
    for one in (drawing, again):
        *_, stopped = one
        assert "Stopped" in stopped[tab.parts.said]


def test_what_is_stopped_while_it_waits_never_begins(tab: Tab) -> None:
    (drawn, *_) = tab.draw()
    drawing = tab.draw("Moved", 5)
    tab.on.stop(tab.given)
    (stopped,) = drawing
    assert "Stopped" in stopped[tab.parts.said]
    assert tab.told(stopped) == STILL + tab.told(drawn)


def test_what_came_after_another_image_is_taken_away_again(tab: Tab) -> None:
    """The pictures are made into files while the page waits: another image may come meanwhile."""
    drawing = tab.draw()
    for updates in drawing:
        if tab.parts.shown[0] in updates:
            break
    tab.on.arrive(None, SUBJECT, tab.given)
    (last,) = drawing
    assert {last[part] for part in tab.parts.shown[:-1]} == {None}
    assert last[tab.parts.shown[-1]]["visible"] is False
    assert tab.parts.said not in last, "it is of the other image"


def test_what_nobody_wants_any_more_ends_with_its_batch(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, stream = list[int](), Restorer.stream

    def watched(*what: Any) -> Iterator[Restoration]:
        for result in stream(*what):
            taken.append(len(result.pixels))
            yield result

    monkeypatch.setattr(Restorer, "stream", watched)
    drawing = tab.draw(samples=MANY)
    next(drawing)
    tab.on.arrive(None, SUBJECT, tab.given)
    assert list(drawing) == [UNCHANGED]
    assert len(taken) == 1


def test_stop_stops_what_is_drawn_and_may_be_pressed_meanwhile(page: Any, tab: Tab) -> None:
    stop = tab.parts.stop
    assert tab.on.busy(tab.given)[stop]["interactive"]
    assert not tab.on.stop(tab.given)[stop]["interactive"]
    assert next(tab.draw(samples=MANY))[stop]["interactive"]
    names = {part._id: part.elem_id for part in page.blocks.values()}
    (begun,) = (one for part, event, one in events(page) if (part, event) == ("restore", "click"))
    (draw,) = (one for _, _, one in events(page) if one["trigger_after"] == begun["id"])
    ends = [one for _, _, one in events(page) if one["trigger_after"] == draw["id"]]
    assert len(ends) == 2  # also where it failed before it began
    for one in (begun, *ends):
        assert not one["queue"]
        assert [names[part] for part in one["outputs"]] == ["restore-stop"]
    (pressed,) = (
        one for part, event, one in events(page) if (part, event) == ("restore-stop", "click")
    )
    assert not pressed["queue"]


def test_where_the_slider_begins_answers_are_those_for_looking(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Restoring] = []
    stream = Restorer.stream

    def noted(self: Restorer, what: Seen, how: Restoring, *rest: Any) -> Iterator[Restoration]:
        drawn.append(how)
        return stream(self, what, how, *rest)

    monkeypatch.setattr(Restorer, "stream", noted)
    model = tab.on.restorers[SUBJECT]
    profile = (0.5,) * len(set(model.prior.config.group_strides))
    for look in (1.0, 1.1, 0.6):  # the slider is at 1
        model.recommended = Recommended(look=look, look_profile=profile)
        list(tab.draw(strength=look))
    assert [how.profile for how in drawn] == [profile, profile, ()]
    assert [how.temperature for how in drawn] == [1.0, 1.0, 1.0]


# Results that are opened again.


def result_of(tab: Tab, samples: int = 2, **how: Any) -> Restoration:
    """A result of the tab's model, of a damaged photograph."""
    model = tab.on.restorers[SUBJECT]
    told = degraded(tab.given.x, parse("blur:sigma=1 + downscale:scale=2"), 0.02, 5)
    return model.run(told, replace(model.restoring(samples, seed=7), **how))


@pytest.mark.parametrize("packed", [True, False])
def test_a_result_that_is_opened_again_is_the_same(tab: Tab, tmp_path: Path, packed: bool) -> None:
    result, parts = result_of(tab, 3, antithetic=True), tab.parts
    archive = zip_of(result, tmp_path)
    path = archive if packed else archive.with_name("result.json")
    tab.on.busy(tab.given)
    first, *_, shown = tab.on.reopen(str(path), tab.given)
    assert tab.given.left.is_set(), "what is drawn of the image before ends"
    assert [first[part] for part in parts.settings] == [3, 1.0, "7", True]
    assert (first[parts.subject], first[parts.kind]) == (SUBJECT, DAMAGED)
    assert first[parts.shown[0]] is None, "what is shown is of the image before"
    given = first[parts.given]
    assert torch.equal(given.pixels, to_bytes(result.shown))
    assert first[parts.photo] == str(given.path)
    told = tab.told(shown)
    assert "Opened again: blur:" in told
    assert "sigma=1 + downscale:scale=2,by=bicubic, σ 0.02, seed 7: 3 of 3 answers explain" in told
    gallery = shown[parts.shown[-2]]
    for (picture, _), one in zip(gallery, result.pixels, strict=True):
        assert torch.equal(to_bytes(to_tensor(Image.open(picture))), to_bytes(smooth_of(one)))
    # The page tells of the image that has come with it.
    assert tab.on.arrive(str(given.path), SUBJECT, given, DAMAGED) == UNCHANGED


def smooth_of(pixels: torch.Tensor) -> torch.Tensor:
    return to_tensor(smooth(pixels))


@pytest.mark.parametrize(
    ("words", "noise", "strength", "angle"),
    [
        ("blur:sigma=1.5", 0.03, 1.5, 0),
        ("motion:length=5,angle=30", 0.03, 5, 30),
        ("noise", 0.1, None, 0),
    ],
)
def test_what_is_opened_again_comes_with_its_damage_and_can_be_drawn_once_more(
    tab: Tab, tmp_path: Path, words: str, noise: float, strength: float | None, angle: float
) -> None:
    parts, model = tab.parts, tab.on.restorers[SUBJECT]
    told = degraded(tab.given.x, parse(words), noise, 5)
    result = model.run(told, model.restoring(2, temperature=1.0, seed=7))
    first, *_ = tab.on.reopen(str(zip_of(result, tmp_path)), tab.given)
    assert first[parts.strength]["value"] == strength
    assert (first[parts.angle]["value"], first[parts.noise]["value"]) == (angle, noise)
    assert first[parts.painter]["visible"] == "hidden"
    assert first[parts.painter]["value"]["number"] == first[parts.strokes].number
    asked = (DAMAGED, first[parts.damage], strength or 0, noise, 2, 1.0, "7", False)
    given = first[parts.given]
    *_, again = tab.on.draw(str(given.path), SUBJECT, *asked, given, Painting(), angle)
    for (picture, _), one in zip(again[parts.shown[-2]], result.pixels, strict=True):
        assert torch.equal(to_bytes(to_tensor(Image.open(picture))), to_bytes(smooth_of(one)))


@pytest.mark.parametrize(
    ("words", "noise"),
    [
        ("blur:sigma=0.3", 0.03),
        ("noise", 0.3),
        ("motion:length=5,angle=-30", 0.03),
    ],
)
def test_controls_are_set_to_nothing_that_they_refuse(
    tab: Tab, tmp_path: Path, words: str, noise: float
) -> None:
    """A value beyond its slider would keep the page from drawing."""
    model = tab.on.restorers[SUBJECT]
    result = model.run(degraded(tab.given.x, parse(words), noise, 5), model.restoring(1))
    first, *_ = tab.on.reopen(str(zip_of(result, tmp_path)), tab.given)
    assert first[tab.parts.settings[0]] == 2
    if "-30" in words:
        assert first[tab.parts.angle]["value"] == 150
    else:
        assert first[tab.parts.damage] == DAMAGES["hole"].label, "not what was said before it"
        assert first[tab.parts.strength]["value"] is None


def test_what_was_stopped_while_it_waited_to_be_opened_is_not_drawn(
    tab: Tab, tmp_path: Path
) -> None:
    archive = zip_of(result_of(tab, 3), tmp_path)
    tab.on.busy(tab.given)
    tab.on.stop(tab.given)  # while another visitor has the turn
    *_, last = tab.on.reopen(str(archive), tab.given)
    assert tab.parts.shown[0] not in last


@pytest.mark.parametrize("words", ["hole:side=4", "blur:sigma=1 + noise", "jpeg:quality=50"])
def test_damage_that_the_controls_cannot_say_leaves_none_of_another_there(
    tab: Tab, tmp_path: Path, words: str
) -> None:
    model = tab.on.restorers[SUBJECT]
    result = model.run(degraded(tab.given.x, parse(words), None, 5), model.restoring(2))
    first, *_, drawn = tab.on.reopen(str(zip_of(result, tmp_path)), tab.given)
    assert first[tab.parts.damage] == DAMAGES["hole"].label
    assert "Opened again" in tab.told(drawn)


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"moves": 3}, "was drawn as the page does not draw: the command cvdvae replay"),
    ({"samples": 17}, "was drawn as the page does not draw"),
    ({"dtype": "bf16"}, "was drawn as the page does not draw"),
    ({"model": "celeba64-restore"}, "is of a model that is not on this page"),
    ({"weights": "0" * 64}, "other weights"),
    ({"seed": 2**64}, "A seed must be below"),
    ({"size": [30_000, 30_000]}, "is of 30000×30000 pixels, more than are restored here"),
    ({"size": [2, "x"]}, "its size or its noise is missing"),
    ({"degradation": None}, "operator that cannot be described"),
    ({"degradation": {"steps": [{"kind": "mask", "file": "/etc/passwd"}]}}, "file"),
    ({"input": {"png": "?"}}, "damaged input"),
)
"""What is changed in the report of a result, and what is said where it is to be opened."""


def test_what_cannot_be_opened_again_gets_a_sentence_and_loses_nothing(
    tab: Tab, tmp_path: Path
) -> None:
    report, path = result_of(tab).report(), tmp_path / "result.json"
    for changed, said in REFUSED:
        path.write_text(json.dumps(report | changed))
        (told,) = tab.on.reopen(str(path), tab.given)
        assert told.keys() == {tab.parts.said}, changed
        assert said in told[tab.parts.said]
        assert not tab.given.left.is_set()


def test_what_is_of_another_tab_is_told_where_it_belongs(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for model, said in (
        ("photos-x4", "is of a photograph: open it in the tab Photographs"),
        ("celeba64-x8", "open it in the tab Faces"),
        ("mine", "is no result of this tab"),
    ):
        path.write_text(json.dumps({"model": model, "input": ""}))
        (told,) = tab.on.reopen(str(path), tab.given)
        assert said in told[tab.parts.said]
    assert list(tab.on.reopen(None, tab.given)) == [UNCHANGED]


def test_what_is_opened_again_ends_with_another_image(tab: Tab, tmp_path: Path) -> None:
    opening = tab.on.reopen(str(zip_of(result_of(tab, 16), tmp_path)), tab.given)
    given = next(opening)[tab.parts.given]
    tab.on.arrive(None, SUBJECT, given)
    assert list(opening) == [UNCHANGED]


# What lies, is alone, or has no middle.


@pytest.mark.parametrize("damage", ["JPEG", "Shrunk"])
def test_a_jpeg_that_says_how_to_turn_it_is_shown_upright_and_says_so_of_its_answers(
    tab: Tab, tmp_path: Path, damage: str
) -> None:
    parts, exif = tab.parts, Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "turned.jpg"
    Image.open(tab.path).save(path, quality=60, exif=exif.tobytes())
    given = tab.on.arrive(str(path), SUBJECT, tab.given)[parts.given]
    assert given.pixels.shape == (3, 24, 16)
    tab.on.busy(given)
    what = (DAMAGED, damage, 2, 0)
    how = (2, 1.0, "3", False)
    archive = tmp_path / "kept.zip"
    for drawn in tab.on.draw(str(path), SUBJECT, *what, *how, given, Painting(), 0):
        if parts.shown[-1] in drawn:  # the page copies it meanwhile
            shutil.copy(drawn[parts.shown[-1]]["value"], archive)
    assert "σ" not in tab.told(drawn).split("seed")[0]
    first, *_, again = tab.on.reopen(str(archive), given)
    assert first[parts.given].pixels.shape[1] > first[parts.given].pixels.shape[2]
    for updates in (drawn, again):
        for part in parts.shown[1:4]:
            assert updates[part].height > updates[part].width
        for picture, _ in updates[parts.shown[-2]]:
            assert Image.open(picture).height > Image.open(picture).width
    with zipfile.ZipFile(archive) as packed:
        assert json.loads(packed.read("result.json"))["orientation"] == 6
        with packed.open("sample_00.png") as file:
            assert Image.open(file).getexif()[ORIENTATION] == 6


def test_one_answer_has_no_map(tab: Tab, tmp_path: Path) -> None:
    *_, shown = tab.on.reopen(str(zip_of(result_of(tab, 1), tmp_path)), tab.given)
    assert shown[tab.parts.shown[3]] is None
    assert ALONE in tab.told(shown)
    assert "grey levels" not in tab.told(shown)


@pytest.mark.parametrize("size", [(1, 2_000_000), (3, 600_000)])
def test_what_is_too_long_and_thin_to_be_shrunk_is_refused(
    tab: Tab, tmp_path: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "line.png")
    with pytest.raises(InputError, match="too long and thin"):
        image_in(tmp_path / "line.png", None, SUBJECT)
