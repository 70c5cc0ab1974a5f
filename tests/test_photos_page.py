"""The tab of photographs, without a browser: what may be pressed, and what is said of its files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_app import events
from test_app import explorer as explorer
from test_app import page as page
from test_app import photos as photos
from test_app import small as small
from test_photos import SETTINGS, handlers, wanted

from cvdvae.app.photos.explorer import Photos
from cvdvae.app.recipes import RESTORE, TABS
from cvdvae.app.uploads import REFUSED
from cvdvae.restoration.edits import pack_region


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


def test_tabs_are_called_the_same_wherever_they_are_named(page: Any, photos: Photos) -> None:
    labels = [one.label for one in page.blocks.values() if type(one).__name__ == "Tab"]
    assert {*TABS.values(), RESTORE} <= {*labels}


def test_the_viewer_is_told_what_the_tab_restore_is_called(photos: Photos, small: Path) -> None:
    told = handlers(photos).arrive(None, str(small), "×2", *SETTINGS)["viewer"]
    assert told["restore"] == RESTORE


def test_an_upload_that_went_after_an_hour_is_asked_for_again() -> None:
    assert "kept for an hour after its last use: give it again" in REFUSED
