"""How long the page keeps photographs that it was given."""

import asyncio
import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from gradio.state_holder import SessionState
from test_keeping import swept
from test_photos import SETTINGS, handlers
from tiny import tiny_photo_restorer, tiny_photos

from cvdvae.app.faces.explorer import Explorer
from cvdvae.app.page import build
from cvdvae.app.photos import album, whole
from cvdvae.app.photos.album import GONE, Album
from cvdvae.app.photos.explorer import Photos, Session
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.edits import pack_region


class Clock:
    """A clock that is set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(album, "time", clock)
    return clock


def test_what_was_not_looked_at_for_so_long_is_forgotten(clock: Clock) -> None:
    images = [torch.full((3, 5, 8), value, dtype=torch.uint8) for value in range(3)]
    kept = Album()
    old, used, again = map(kept.add, images)
    clock.now = 100
    kept.image(used)
    kept.add(images[2])
    kept.forget_unused(99)
    with pytest.raises(InputError, match="upload it again"):
        kept.image(old)
    assert torch.equal(kept.image(used), images[1])
    assert torch.equal(kept.image(again), images[2])


def test_what_makes_room_for_others_is_used_no_more(clock: Clock) -> None:
    kept = Album(most=1)
    for value in range(3):
        kept.add(torch.full((3, 5, 8), value, dtype=torch.uint8))
    clock.now = 100
    kept.forget_unused(1)
    assert not kept._images
    assert not kept._used


def test_a_photograph_that_nobody_uses_goes_with_a_sweep_of_the_server(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is enlarged as it is, too, of which no file is left."""
    app, (photographs, _) = swept(tmp_path, monkeypatch)

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            photographs.add(torch.zeros(3, 4, 4, dtype=torch.uint8))
            clock.now = 3000
            last = photographs.add(torch.ones(3, 4, 4, dtype=torch.uint8))
            clock.now = 3700
            while len(photographs._images) > 1:
                await asyncio.sleep(0.01)
            assert photographs.image(last).shape == (3, 4, 4)

    asyncio.run(asyncio.wait_for(serve(), 20))


def test_the_viewer_is_told_that_it_is_gone(tmp_path: Path, clock: Clock) -> None:
    photos = Photos([tiny_photos(2)], threading.Lock())
    to_pil(torch.rand(3, 20, 24)).save(tmp_path / "a.png")
    on = handlers(photos)
    session = on.arrive(None, str(tmp_path / "a.png"), "×2", *SETTINGS)["session"]
    event = gr.EventData(None, {"request": 1, "step": 0, "window": [0, 0, 40, 48]})
    clock.now = 100
    photos.forget(99)
    (told,) = on.draw(session, event)
    assert told["viewer"]["error"].lower() == f"{GONE}."
    (told,) = on.draw(None, event)  # as where Gradio has forgotten the session
    assert told["viewer"]["error"].lower() == f"{GONE}."


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    photos = Photos([tiny_photos(2)], threading.Lock())
    return build(Explorer([]), photos, tmp_path, [tiny_photo_restorer()])


def test_what_belongs_to_a_visitor_is_kept_for_as_long_again_as_it_is_used(page: Any) -> None:
    """Drawing gives none of it out, from which Gradio counts: it may be another by then."""
    windows, restoring = (one for one in page.fns.values() if one.name == "draw")
    for draw in (windows, restoring):
        part = next(one for one in draw.inputs if getattr(one, "time_to_live", None) == 3600)
        assert part not in draw.outputs
        state = SessionState(page)
        state[part._id] = "a session"
        state._state_ttl[part._id] = (3600, datetime(2000, 1, 1))
        assert [over for one, _, over in state.state_components if one is part] == [True]
        values = [getattr(one, "value", None) for one in draw.inputs]
        asyncio.run(page.preprocess_data(draw, values, state))
        assert [over for one, _, over in state.state_components if one is part] == [False]
        assert state[part._id] == "a session"


def test_what_a_visitor_waits_for_is_kept_while_it_is_drawn(page: Any) -> None:
    """It is asked for once, and may take hours; without it, it could not even be stopped."""
    (takes,) = (one for one in page.fns.values() if one.name == "whole")
    kept = [part for part in takes.inputs if isinstance(part, gr.State)]
    assert len(kept) == 2
    state = SessionState(page)
    for part in kept:
        state[part._id] = part.elem_id
        state._state_ttl[part._id] = (3600, datetime(2000, 1, 1))
    said = [gr.skip() for _ in takes.outputs]
    asyncio.run(page.postprocess_data(takes, said, state))
    over = {one: over for one, _, over in state.state_components}
    assert [over[part] for part in kept] == [False, False]


@pytest.mark.parametrize("varied", [False, True])
def test_a_photograph_is_kept_while_the_whole_of_it_is_drawn(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, varied: bool
) -> None:
    monkeypatch.setattr(whole, "BLOCK", 24)
    photos = Photos([tiny_photos(2)], threading.Lock())
    path = tmp_path / "a.png"
    to_pil(torch.rand(3, 40, 48)).save(path)
    photo = photos.look(path, "shrink", 2)
    session = Session(photo, (photos.sampling(2, 2, 0.85, 0, True),))
    if varied:
        session = photos.vary(session, 0, 1, pack_region(torch.ones(40, 48, dtype=torch.bool)))
    (tmp_path / "drawn").mkdir()
    drawing = whole.Whole(photos, session, int(varied), [0, 1], tmp_path / "drawn")
    shares = 0
    for _ in drawing.draw():
        clock.now += 3000
        photos.forget(3600)
        assert path.stat().st_mtime > 1000
        os.utime(path, (0, 0))
        shares += 1
    assert shares >= 2
    assert session.photo.y.shape == (3, 20, 24)
