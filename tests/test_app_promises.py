"""What the tab of faces promises of a visitor's image is so of what is seen of it now."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from test_app import events, handlers_with
from tiny import tiny_photos, tiny_resolver

from cvdvae.app import text as every
from cvdvae.app.controls import UNCHANGED, Updates
from cvdvae.app.faces import text as words
from cvdvae.app.faces.explorer import Explorer, Session
from cvdvae.app.faces.handlers import Handlers
from cvdvae.app.page import build
from cvdvae.app.photos.explorer import Photos
from cvdvae.domains.faces import demo_photo

METHOD = "Hierarchical VAE"
PHOTO, LOW = (every.label(words.KINDS, kind) for kind in ("photo", "low"))
FRAME = (50.0, 40.0, 40.0)


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handlers:
    """The handlers of a page with a model that draws in a moment."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return handlers_with(Explorer([tiny_resolver()]))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    demo_photo().save(tmp_path / "astronaut.png")
    return str(tmp_path / "astronaut.png")


@pytest.fixture
def session(on: Handlers, photo: str) -> Session:
    """Two samples of what the frame holds."""
    *_, drawn = on.draw(photo, PHOTO, "×4", METHOD, *FRAME, 2, 0.8, 0.8, "0", True, False)
    found = drawn["session"]
    assert isinstance(found, Session)
    return found


def said(on: Handlers, session: Session, looked: Updates) -> list[str]:
    """What the status says: where nothing is drawn, and as soon as drawing ends."""
    given = looked["given"]
    told = (on.looked(session, given, False, None), on.ready(session, given, False))
    return [updates["answers.status"] for updates in told]


def test_a_frame_that_was_moved_is_none_that_samples_are_of(
    on: Handlers, photo: str, session: Session
) -> None:
    asked = (photo, PHOTO, "×4", METHOD)
    there = (on.inputs.look, on.inputs.move)
    for look in there:
        for words_of in said(on, session, look(*asked, *FRAME)):
            assert "gives your image back exactly" in words_of
        for words_of in said(on, session, look(*asked, 20.0, *FRAME[1:])):
            assert "Of the image before" in words_of
    pressed = gr.SelectData(None, {"index": [20, 400], "value": None})
    for words_of in said(on, session, on.inputs.centre(*asked, *FRAME, pressed)):
        assert "Of the image before" in words_of


def test_the_same_file_taken_otherwise_is_another_image(
    on: Handlers, photo: str, session: Session
) -> None:
    looked = on.inputs.look(photo, LOW, "×4", METHOD, *FRAME)
    for words_of in said(on, session, looked):
        assert "Of the image before" in words_of


def test_what_cannot_be_seen_is_promised_nothing(
    on: Handlers, photo: str, session: Session
) -> None:
    looked = on.inputs.look(photo, PHOTO, "×4", METHOD, 50, 50, 1)  # too small a frame
    assert looked["input.doubts"]
    for words_of in said(on, session, looked):
        assert "Of the image before" in words_of


def test_another_look_says_nothing_while_samples_are_drawn(on: Handlers, session: Session) -> None:
    """Nor where nothing is promised: the button of an image that comes stays as it is, too."""
    given = session.seen.digest
    assert on.looked(session, given, True, None) == UNCHANGED
    assert on.looked(None, given, True, None) == UNCHANGED
    assert on.looked(session, given, False, every.STILL) == UNCHANGED
    assert (
        on.looked(session, given, False, every.WAITING) == UNCHANGED
    )  # asked before, answered after


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The whole page, laid out and connected."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield build(Explorer([tiny_resolver()]), Photos([tiny_photos(2)], threading.Lock()), folder)


@pytest.mark.parametrize(
    ("part", "event"),
    [("kind", "input"), ("scale", "input"), ("method", "input"), ("framed", "select"),
     ("frame-x", "input"), ("frame-y", "input"), ("frame-side", "input")],
)  # fmt: skip
def test_whatever_changes_what_is_seen_tells_the_status(page: Any, part: str, event: str) -> None:
    states = {one._id for one in page.blocks.values() if isinstance(one, gr.State)}
    names = {part._id: part.elem_id for part in page.blocks.values()}
    looks = [one for of, on, one in events(page) if (of, on) == (part, event)]
    (look,) = (one for one in looks if states & {*one["outputs"]})  # it tells what is seen
    (end,) = (one for _, _, one in events(page) if one["trigger_after"] == look["id"])
    assert [names[one] for one in end["outputs"]] == ["status"]
    assert states & {*look["outputs"]} <= {*end["inputs"]}
