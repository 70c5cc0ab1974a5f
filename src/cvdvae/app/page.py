"""The page: a heading, and a tab for each kind of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..domains import FACES, PHOTOS
from ..restoration.restorer import Restorer
from .faces import text as face_text
from .faces.explorer import Explorer
from .faces.page import faces_part
from .photos import text as photo_text
from .photos.explorer import Photos
from .photos.page import photos_part
from .recipes import RESTORE, TABS
from .restoring.damage import LARGEST
from .restoring.page import MEANING as RESTORING
from .restoring.page import restoring_part
from .uploads import Page

WAITING = 64
"""Requests that may wait; the next is told to come back."""

IDLE = 0.02
"""Seconds after which the queue looks for requests again: Gradio's millisecond keeps a twentieth of
a processor busy though nobody is there."""

SESSIONS = 200
"""Visitors whose images are kept, at most 2 MB in each tab as bundled; the oldest go first.
Photographs are in albums of their own, which are bounded, and samples of them are not kept."""

SESSION_SECONDS = 3600
"""How long a visitor's images and files are kept after they were last used."""

HEADING = """
<h1>What is known, and what is invented?</h1>
<p>Many sharp pictures shrink to the same small one; here are several, and each gives yours back.
<strong>What they share is known; what differs is invented, and proves nothing.</strong></p>
"""


@dataclass(frozen=True)
class Tab:
    """A part of the page for itself.

    Attributes:
        name: What an address or a program calls it.
        label: What visitors read.
        meaning: The Markdown file that explains what it shows.
        lay_out: Lays out its parts and connects them; called within the tab.
    """

    name: str
    label: str
    meaning: Path
    lay_out: Callable[[], None]


def tabs_of(
    page: gr.Blocks,
    tabs: gr.Tabs,
    explorer: Explorer,
    photos: Photos,
    restorers: Sequence[Restorer],
    pictures: Path,
) -> list[Tab]:
    """The tabs for which there are models, in their order."""
    found = []
    models: dict[str, Any] = {
        PHOTOS.name: photos.models,
        FACES.name: explorer.models,
        RESTORE: restorers,
    }
    shown = [name for name, those in models.items() if those]
    if photos.models:
        restored = LARGEST if any(one.side is None for one in restorers) else 0
        part = partial(photos_part, photos, pictures, SESSION_SECONDS, restored, shown)
        found.append(Tab(PHOTOS.name, TABS[PHOTOS.name], photo_text.MEANING, part))
    if explorer.models:
        part = partial(faces_part, page, tabs, explorer, pictures, SESSION_SECONDS, shown)
        found.append(Tab(FACES.name, TABS[FACES.name], face_text.MEANING, part))
    if restorers:
        part = partial(restoring_part, restorers, pictures, SESSION_SECONDS, photos.turn, shown)
        found.append(Tab(RESTORE, TABS[RESTORE], RESTORING, part))
    return found


def build(
    explorer: Explorer, photos: Photos, pictures: Path, restorers: Sequence[Restorer] = ()
) -> Any:
    """Lay out the page and connect it: photographs first, then faces, where there are models.

    Args:
        explorer: The models of faces.
        photos: The models of photographs.
        pictures: Folder in which the bundled examples are laid out as files.
        restorers: The models that restore; one for each kind of images.

    Returns:
        The `gradio.Blocks`.
    """
    with Page(
        title="CVD-VAE: every plausible image behind a small one",
        analytics_enabled=False,
    ) as page:
        gr.HTML(HEADING, elem_id="heading")
        with gr.Tabs(elem_id="domains") as tabs:
            shown = tabs_of(page, tabs, explorer, photos, restorers, pictures)
            for tab in shown:
                with gr.Tab(tab.label, id=tab.name):
                    tab.lay_out()
            with gr.Tab("What it means", id="meaning"):
                for tab in shown:
                    gr.Markdown(tab.meaning.read_text("utf-8"), elem_id=f"{tab.name}-meaning")
    page.state_session_capacity = SESSIONS
    page.queue(max_size=WAITING, default_concurrency_limit=4, api_open=False)
    page._queue.sleep_when_free = IDLE
    return page
