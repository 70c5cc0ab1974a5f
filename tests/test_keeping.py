"""What the page keeps of its visitors, and for how long."""

import asyncio
import json
import os
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from command import PATIENCE, client, served_beside
from gradio import processing_utils
from gradio.state_holder import SessionState
from gradio_client import handle_file
from PIL import Image
from tiny import tiny_photos

from cvdvae.app import sweeping
from cvdvae.app.faces.explorer import Explorer
from cvdvae.app.page import build
from cvdvae.app.photos.album import Album
from cvdvae.app.photos.explorer import Photos
from cvdvae.app.pictures import stored
from cvdvae.app.server import make_app
from cvdvae.imaging.io import to_pil

# Files.


def swept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Album]]:
    """The page of a tiny model, which sweeps all the time, with its albums: of photographs that are
    enlarged as they are, and of what was decoded of files."""
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", None)
    monkeypatch.setattr("cvdvae.app.server.load_models", lambda names: ([tiny_photos(2)], []))
    monkeypatch.setattr(sweeping, "EVERY", 0.01)
    made, make = list[Album](), Album.__init__

    def making(album: Album, *how: Any) -> None:
        made.append(album)
        make(album, *how)

    monkeypatch.setattr(Album, "__init__", making)
    app = make_app(["none"], folder).app  # type: ignore[attr-defined]
    return app, made


def laid(path: Path, later: float = 0) -> None:
    """Lay a file out, as if it was last used now, or later than that; it is there at once."""
    made = path.parents[2] / path.parent.name
    made.mkdir()
    (made / path.name).write_bytes(b"x")
    os.utime(made / path.name, times=(time.time() + later,) * 2)
    made.rename(path.parent)


def test_what_nobody_uses_goes_also_after_a_sweep_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that comes while it is looked through is no end of it, as it is of Gradio's own."""
    cache, sweep, fails = tmp_path / "cache", sweeping.sweep, iter([True])
    cache.mkdir()
    example, old, new = (cache / (name * 64) / "a.png" for name in "abc")
    page = SimpleNamespace(GRADIO_CACHE=str(cache), temp_file_sets=[{str(old), str(new)}])

    def failing(*how: Any) -> list[str]:
        if next(fails, False):
            raise RuntimeError("Set changed size during iteration")
        return sweep(*how)

    async def visit() -> None:
        async with sweeping.sweeping(page, seconds=0):
            laid(new, later=60)
            laid(old)
            while old.parent.exists():
                await asyncio.sleep(0.01)

    monkeypatch.setattr(sweeping, "EVERY", 0.01)
    monkeypatch.setattr(sweeping, "sweep", failing)
    laid(example)
    asyncio.run(asyncio.wait_for(visit(), 20))
    assert {path for path in cache.rglob("*") if path.is_file()} == {example, new}
    assert page.temp_file_sets == [{str(new)}]


def test_the_server_sweeps_its_own_folder_and_gradio_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", None)
    monkeypatch.setattr("cvdvae.app.server.load_models", lambda names: ([], []))
    swept: list[Any] = []
    monkeypatch.setattr(sweeping, "EVERY", 0.01)

    def sweep(*how: Any) -> list[Any]:
        swept.append(how)
        return []

    monkeypatch.setattr(sweeping, "sweep", sweep)
    app: Any = make_app(["none"], tmp_path).app  # type: ignore[attr-defined]

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            while not swept:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 20))
    cache, _, before = swept[0]
    assert cache == tmp_path.resolve() / "cache"
    assert abs(time.time() - 3600 - before) < 60
    assert app.routes[-1].app.get_blocks().delete_cache is None


def test_a_picture_that_is_shown_again_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go an hour after it was first shown."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture = Image.new("RGB", (8, 8))
    path = stored(picture)
    os.utime(path, (0, 0))
    assert stored(picture) == path
    assert abs(time.time() - Path(path).stat().st_mtime) < 60


def test_a_page_that_is_ended_while_it_draws_takes_all_along(tmp_path: Path) -> None:
    """Also what a thread that is still at work would write; and it says nothing of that."""
    photo, temporary = tmp_path / "photo.png", tmp_path / "temporary"
    temporary.mkdir()
    Image.new("RGB", (120, 90), "grey").save(photo)
    with served_beside("--model", "photos-x4", TMPDIR=str(temporary)) as url:
        asked = {"kind": "enlarge", "scale": 4, "sampling": {"samples": 16}}
        job = client(url).submit(handle_file(photo), *asked.values(), api_name="/enlarge")
        until = time.monotonic() + PATIENCE
        while not list(temporary.rglob("*sample_01*")) and not job.done():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not job.done()
        (folder,) = temporary.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(temporary.iterdir()) == []
    assert job.exception(PATIENCE) is not None


# Memory.


def test_what_was_decoded_of_a_file_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 128 MB of a visitor's photographs would stay until others come."""
    app, (_, truths) = swept(tmp_path, monkeypatch)
    paths = [tmp_path / "cache" / (name * 64) / "a.png" for name in "ab"]

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            for path in paths:
                laid(path)
                truths.of_file(path, lambda _: torch.zeros(3, 4, 4, dtype=torch.uint8))
            paths[1].unlink()
            while len(truths._images) > 1:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 20))
    assert [*truths._images] == [str(paths[0])]


def test_what_was_sent_is_not_kept_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio would keep the last samples of every visitor until 200 others have come."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    page = build(Explorer([]), Photos([tiny_photos(2)], threading.Lock()), tmp_path)
    state = SessionState(page)
    look, draw = ({one.name: one for one in page.fns.values()}[name] for name in ("look", "draw"))
    (viewer,) = draw.outputs
    noise = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    path = stored(to_pil(noise))
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    values = [getattr(part, "value", None) for part in look.inputs]
    event = gr.EventData(None, {"request": 1, "step": 0, "window": [0, 0, 40, 48]})

    async def visit() -> list[str]:
        given = [
            file if part.elem_id == "picture" else value
            for part, value in zip(look.inputs, values, strict=True)
        ]
        looked = await page.process_api(look, given, state)
        shown = looked["data"][look.outputs.index(viewer)]
        assert state[look.outputs[0]._id] is not None  # the session
        drawn = await page.process_api(draw, [None], state, event_data=event)
        return [shown["png"], drawn["data"][0]["bicubic"], *drawn["data"][0]["samples"]]

    sent = asyncio.run(visit())
    held = json.dumps(state.config_values, default=str)
    assert len(sent) == 3
    assert not [one for one in [*sent, path] if one in held]
