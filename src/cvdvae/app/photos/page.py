"""The page of photographs: its parts, and which event calls which handler."""

from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ...domains.faces import demo_photo
from ...domains.photos import PHOTOS
from ..controls import (
    DRAWING,
    EVERY,
    LATEST,
    LOOKING,
    QUIET,
    pairs_part,
    saved,
    seed_part,
    temperature_part,
    visitors_image,
)
from ..recipes import TABS
from ..text import label, suited
from . import text
from .api import add_api
from .explorer import LEAST_SAMPLES, MAX_SAMPLES, Photos
from .handlers import Parts, PhotoHandlers
from .viewer import make_viewer

TEMPERATURE = 1
"""Which of the settings."""
WHOLE: dict[str, Any] = {"concurrency_id": "whole", "concurrency_limit": 1}


def photos_part(
    photos: Photos,
    pictures: Path,
    keep_seconds: float,
    restored: int = 0,
    domains: Container[str] = TABS,
) -> None:
    """Lay out what shows photographs, and connect it.

    Args:
        photos: The models.
        pictures: Folder in which the bundled examples are laid out as files.
        keep_seconds: How long what belongs to a visitor is kept after it was last used.
        restored: As in `PhotoHandlers`.
        domains: Names of those that have a tab.
    """
    # The photograph is in the album.
    session, wanted = (gr.State(None, time_to_live=keep_seconds) for _ in range(2))
    paths = examples(pictures)
    scales = [f"×{scale}" for scale in photos.scales]
    with gr.Row():
        with gr.Column(scale=1, min_width=280, elem_id="photo-input"):
            gr.HTML("<h2>1 · Your photograph</h2>")
            photo, shown = visitors_image("Your photograph", "picture", paths, "pictures")
            with gr.Column(elem_id="photo-options"):
                kind, scale = _what(scales)
                notes = gr.HTML(elem_id="notes")
                settings, again, reopen = _settings(photos, int(scales[-1][1:]))
        with gr.Column(scale=3, min_width=320, elem_id="photo-answer"):
            gr.HTML("<h2>2 · What could be there</h2>")
            viewer = make_viewer()
            said = gr.HTML(elem_id="whole-said")
            with gr.Row():
                file = gr.DownloadButton(
                    "Take it", visible=False, variant="primary", elem_id="take"
                )
                stop = gr.Button("Stop", visible=False, variant="stop", elem_id="whole-stop")
    shows = (session, viewer, kind, notes, said, file, stop, wanted, photo, scale)
    parts = Parts(*shows, again, reopen, tuple(settings))
    _wire(PhotoHandlers(photos, parts, restored, domains))
    add_api(photos)
    shown.click(lambda i: str(paths[i]), shown, photo, queue=False, **QUIET)


def _what(scales: list[str]) -> tuple[gr.Radio, gr.Radio]:
    """What to do with the photograph, and by which factor."""
    kind = gr.Radio(
        list(text.KINDS),
        value=label(text.KINDS, "enlarge"),
        label="What to do",
        elem_id="what",
        elem_classes="line",
    )
    scale = gr.Radio(scales, value=scales[-1], label="By", elem_id="by", elem_classes="line")
    return kind, scale


def _settings(photos: Photos, scale: int) -> tuple[list[Any], gr.Button, gr.UploadButton]:
    """Samples, temperature, seed, consistency and H; buttons: draw, an old result."""
    model = photos.model(scale)
    with gr.Accordion("More", open=False):
        samples = gr.Slider(LEAST_SAMPLES, MAX_SAMPLES, 4, step=1, label="How many", elem_id="many")
        info = suited(model, together=True)
        temperature = temperature_part(model.recommended.look, "wild", info)
        seed = seed_part("photo-")
        consistent = gr.Checkbox(True, label="Give my photograph back exactly", elem_id="give-back")
        antithetic = pairs_part("photo-")
        shrunk_by = gr.Dropdown(
            [(text.program(name), name) for name in text.PROGRAMS],
            value="bicubic",
            label="What made it small",
            info="Shrunk so again, every sample gives your photograph back",
            elem_id="shrunk-by",
        )
        again = gr.Button("Draw with these settings", elem_id="again")
        reopen = gr.UploadButton(
            "Open a result (its zip)", file_types=[".zip", ".json"], elem_id="photo-reopen"
        )
    how = [samples, temperature, seed, consistent, antithetic, shrunk_by]
    return how, again, reopen


def _wire(on: PhotoHandlers) -> None:
    parts = on.parts
    taken = [parts.said, parts.file, parts.stop]
    outputs = [parts.session, parts.viewer, parts.notes, *taken]
    varied = [parts.session, parts.viewer, *taken]
    how = [parts.photo, parts.kind, parts.scale, *parts.settings]
    arrived = [parts.session, parts.photo, parts.scale, *parts.settings]
    # One event of all three: of several that are queued at once, one may overtake another.
    chosen = partial(gr.on, [parts.kind.input, parts.scale.input, parts.again.click])
    for trigger, handler, inputs, shown in (
        (parts.photo.change, on.arrive, arrived, [*outputs, parts.kind]),
        (chosen, on.look, [parts.session, *how], [*outputs, parts.kind, parts.scale]),
        (parts.reopen.upload, on.reopen, [parts.session, parts.reopen], [*outputs, *how]),
    ):
        # What is chosen while a photograph is read would not be what it is read for.
        begun = trigger(on.fixed, None, parts.held, queue=False, **QUIET)
        read = begun.then(handler, inputs, shown, **LATEST, **LOOKING, **QUIET)
        for end in (read.success, read.failure):
            end(lambda: on.fixed(False), None, parts.held, queue=False, **QUIET)
    temperature = parts.settings[TEMPERATURE]
    parts.scale.change(partial(_suits, on), parts.scale, temperature, queue=False, **QUIET)
    drawing = parts.viewer.ask(
        on.draw, [parts.session], [parts.viewer], **EVERY, **DRAWING, **QUIET
    )
    # Nobody else would tell that the queue was full. One that was halted fails, too.
    drawing.failure(on.lost, None, parts.viewer, queue=False, **QUIET)
    parts.viewer.halt(None, cancels=[drawing], api_visibility="private")
    parts.viewer.vary(on.vary, [parts.session, parts.wanted], varied, **LOOKING, **QUIET)
    asked = parts.viewer.whole(
        on.want_whole,
        [parts.session, parts.wanted],
        [*taken, parts.wanted],
        queue=False,
        **QUIET,
    )
    whole = asked.then(on.whole, [parts.session, parts.wanted], taken, **LATEST, **WHOLE, **QUIET)
    whole.failure(on.stopped, parts.wanted, taken, queue=False, **QUIET)  # the queue was full
    # Not by Gradio's way to cancel: what is wanted next, while a strip ends, would never begin.
    parts.stop.click(on.stopped, parts.wanted, taken, queue=False, **QUIET)


def _suits(on: PhotoHandlers, scale: str) -> dict[str, Any]:
    """What stands beside the temperature: calibration has found it for this factor."""
    model = on.photos.model(int(scale.removeprefix("×")))
    return gr.update(info=suited(model, together=True))


def examples(folder: Path) -> list[Path]:
    """Lay out the bundled examples as files."""
    from skimage.data import chelsea

    pictures = {
        "coffee": PHOTOS.example(),
        "a cat": Image.fromarray(chelsea()),
        "an astronaut": demo_photo(),
    }
    return saved(pictures, folder)
