"""The tab of photographs, without a browser: what may be pressed, and what is said of its files."""

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image
from test_app import events
from test_app import explorer as explorer
from test_app import page as page
from test_app import photos as photos
from test_app import small as small
from test_photos import SETTINGS, handlers, wanted

from cvdvae.app.controls import UNCHANGED
from cvdvae.app.photos import whole
from cvdvae.app.photos.explorer import Photos, Session
from cvdvae.app.recipes import RESTORE, TABS
from cvdvae.app.uploads import REFUSED
from cvdvae.gaussian.noise import Window
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import pack_region
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.part import PartDrawing, PartSample


@pytest.mark.parametrize(
    ("part", "event"),
    [("picture", "change"), ("what", "input"), ("by", "input"), ("again", "click"),
     ("photo-reopen", "upload")],
)  # fmt: skip
def test_while_a_photograph_is_read_nothing_else_may_be_asked_of_it(
    page: Any, part: str, event: str
) -> None:
    """The answer of one could come after that of another."""
    names = {part._id: part.elem_id for part in page.blocks.values()}
    held = {"what", "by", "again", "photo-reopen"}
    (begun,) = (one for of, on, one in events(page) if (of, on) == (part, event))
    assert {names[one] for one in begun["outputs"]} == held
    assert not begun["queue"]
    (read,) = (one for _, _, one in events(page) if one["trigger_after"] == begun["id"])
    assert read["trigger_mode"] == "always_last"
    ends = [one for _, _, one in events(page) if one["trigger_after"] == read["id"]]
    assert [one["trigger_only_on_failure"] for one in ends] == [False, True]
    assert all({names[part] for part in one["outputs"]} == held for one in ends)


def test_settings_and_kind_and_factor_are_one_event(page: Any) -> None:
    found = {
        (part, event): one["id"]
        for part, event, one in events(page)
        if (part, event) in {("what", "input"), ("by", "input"), ("again", "click")}
    }
    assert len(found) == 3
    assert len(set(found.values())) == 1


@pytest.mark.parametrize(
    ("which", "said", "name"),
    [
        ("", "sample 0 of “{}”; 1 of 1 give", "sample_00{}_details_invented.png"),
        ("all", "all 2 samples of “{}”; 2 of 2 give", "cvdvae{}.zip"),
        ("settings", "your photograph and the settings of “{}”; “Open a result”", "cvdvae{}.zip"),
    ],
)
def test_what_can_be_taken_is_named_after_its_sample_and_step(
    photos: Photos, small: Path, which: str, said: str, name: str
) -> None:
    on = handlers(photos)
    session = on.arrive(None, str(small), "×2", *SETTINGS)["session"]
    mask = torch.zeros(40, 48, dtype=torch.bool)
    mask[10:30, 10:30] = True
    varied = photos.vary(session, 0, 1, pack_region(mask))
    for one, step, suffix in (
        (session, "1 · first samples", ""),
        (varied, "2 · sample 1 varied", "_step_2"),
    ):
        asked = wanted(one, which)
        asked.told["key"] = one.keys[-1]
        *_, ready = on.whole(one, asked)
        assert said.format(step) in ready["said"]
        assert Path(ready["file"]["value"]).name == name.format(suffix)


def test_all_of_one_sample_is_a_zip_with_its_settings(photos: Photos, small: Path) -> None:
    """A bare picture could not be opened again."""
    on = handlers(photos)
    session = on.arrive(None, str(small), "×2", 1, *SETTINGS[1:])["session"]
    *_, ready = on.whole(session, wanted(session, "all"))
    with zipfile.ZipFile(ready["file"]["value"]) as packed:
        assert packed.namelist() == ["sample_00.png", "result.json"]


@pytest.fixture
def varied(photos: Photos, small: Path) -> Session:
    """A photograph of which everything was varied."""
    session: Session = handlers(photos).arrive(None, str(small), "×2", *SETTINGS)["session"]
    return photos.vary(session, 0, 1, pack_region(torch.ones(40, 48, dtype=torch.bool)))


def test_what_varies_of_the_whole_is_drawn_block_by_block_and_may_be_stopped_between(
    photos: Photos, varied: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, drawn, sample = handlers(photos), list[Window](), PartDrawing.sample
    asked = wanted(varied, "")
    asked.told["key"] = varied.keys[1]

    def stopped_at_the_third(part: PartDrawing, index: int) -> PartSample:
        drawn.append(part.core)
        if len(drawn) == 3:
            on.stopped(asked)
        return sample(part, index)

    monkeypatch.setattr(whole, "BLOCK", 24)  # four of them
    monkeypatch.setattr(PartDrawing, "sample", stopped_at_the_third)
    said = "".join(updates["said"] for updates in on.whole(varied, asked))
    assert re.findall(r"(\d+)%", said)[-2:] == ["85", "90"]
    assert len(drawn) == 3


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_what_is_too_large_for_pillow_is_drawn_as_any_other(
    photos: Photos, varied: Session, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # twice as many are an error
    monkeypatch.setattr(whole, "ROWS", 8)
    asked = wanted(varied, "")
    asked.told |= {"key": varied.keys[1], "format": kind}
    *_, ready = handlers(photos).whole(varied, asked)
    assert "1 of 1 give" in ready["said"]


def test_what_is_drawn_of_a_photograph_is_begun_in_its_turn(
    photos: Photos, varied: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[tuple[str, bool]]()

    def watch(of: type, name: str) -> None:
        call = getattr(of, name)

        def watched(*what: Any) -> Any:
            held.append((name, photos.turn.locked()))
            return call(*what)

        monkeypatch.setattr(of, name, watched)

    watch(HVAEResolver, "drawer")
    watch(Drawing, "strips")
    next(photos.draw(varied, 1, Window(0, 0, 40, 48)))
    *_, ready = handlers(photos).whole(varied, wanted(varied, ""))
    assert "Ready" in ready["said"]
    assert {name for name, _ in held} == {"drawer", "strips"}
    assert all(in_turn for _, in_turn in held)


def test_tabs_are_called_the_same_wherever_they_are_named(page: Any, photos: Photos) -> None:
    labels = [one.label for one in page.blocks.values() if type(one).__name__ == "Tab"]
    assert {*TABS.values()} <= {*labels}


def test_the_viewer_is_told_what_the_tab_restore_is_called(photos: Photos, small: Path) -> None:
    told = handlers(photos).arrive(None, str(small), "×2", *SETTINGS)["viewer"]
    assert told["restore"] == TABS[RESTORE]


def test_an_upload_that_went_after_an_hour_is_asked_for_again() -> None:
    assert "kept for an hour after its last use: give it again" in REFUSED


def painted(session: Session, step: int = 0, size: int = 9) -> gr.EventData:
    """A region of the first sample, as the page tells of it."""
    strokes = [{"size": size, "points": [[12, 8]]}]
    return gr.EventData(None, {"key": session.keys[step], "sample": 0, "strokes": strokes})


def test_what_is_ready_of_a_step_goes_with_it(photos: Photos, small: Path) -> None:
    """Another of the same name follows it."""
    on = handlers(photos)
    first: Session = on.arrive(None, str(small), "×2", *SETTINGS)["session"]
    second: Session = on.vary(first, None, painted(first))["session"]
    third: Session = on.vary(second, None, painted(second, 1))["session"]
    kept, gone = (wanted(third, "") for _ in range(2))
    kept.told["key"], gone.told["key"] = second.keys[1], third.keys[2]
    assert "said" not in on.vary(third, kept, painted(third, 2))
    assert kept.goes_on
    told = on.vary(third, gone, painted(third, 1, 6))
    assert len(told["session"].history) == 3
    assert told["said"] == ""
    assert not gone.goes_on


def test_what_is_varied_of_a_photograph_that_is_gone_changes_nothing(
    photos: Photos, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lead the page back to that, or vary another where nobody has painted."""
    on, other = handlers(photos), tmp_path / "other.png"
    Image.new("RGB", (24, 20), "grey").save(other)
    first: Session = on.arrive(None, str(small), "×2", *SETTINGS)["session"]
    assert len(on.vary(first, None, painted(first))["session"].history) == 2
    second: Session = on.arrive(first, str(other), "×2", *SETTINGS)["session"]
    assert on.vary(second, None, painted(first)) == UNCHANGED

    def meanwhile(region: torch.Tensor) -> str:
        on.arrive(second, str(small), "×2", *SETTINGS)
        return pack_region(region)

    monkeypatch.setattr("cvdvae.app.photos.handlers.pack_region", meanwhile)
    assert on.vary(second, None, painted(second)) == UNCHANGED


def test_one_slider_shows_the_temperature_that_a_result_was_drawn_at(
    photos: Photos, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = handlers(photos)
    session: Session = on.arrive(None, str(small), "×2", *SETTINGS)["session"]
    mixed = replace(session, history=(session.history[0].at(0.75, 0.25),))
    file = str(whole.Whole(photos, mixed, 0, [], tmp_path).archive())
    opened = on.reopen(None, file)
    assert opened[on.parts.settings[1]] == 0.25  # of all groups: the prior draws none
    assert "two temperatures" not in opened["notes"]
    monkeypatch.setattr(HVAEResolver, "one_temperature", False)
    assert "two temperatures" in on.reopen(None, file)["notes"]
