"""The page: its parts, and which click calls which handler."""

from pathlib import Path
from random import randrange
from typing import Any

import gradio as gr
from PIL import Image

from ..app import layout, text
from ..domains.faces import crop_face, demo_photo
from ..domains.simulate import simulate
from ..imaging.io import to_pil
from .api import add_api
from .events import Handlers
from .explorer import Explorer
from .inputs import Inputs
from .photos import text as photo_text
from .photos.explorer import Photos
from .photos.page import photos_part
from .uploads import Page

WAITING = 64
"""Requests that may wait; the next is told to come back."""

SESSIONS = 200
"""Visitors whose images are kept, at most 2 MB each as bundled; the oldest go first. Photographs
are in an album of their own, which is bounded."""

SESSION_SECONDS = 3600
"""How long a visitor's images are kept after the last click."""

DRAWING: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1}
LOOKING: dict[str, Any] = {"concurrency_id": "look", "concurrency_limit": 2}
LATEST: dict[str, Any] = {"trigger_mode": "always_last"}  # else it is dropped while one is pending
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}


def build(explorer: Explorer, photos: Photos, pictures: Path) -> Any:
    """Lay out the page and connect it: photographs first, then faces, where there are models.

    Args:
        explorer: The models of faces.
        photos: The models of photographs.
        pictures: Folder in which the bundled examples are laid out as files.

    Returns:
        The `gradio.Blocks`.
    """
    with Page(
        title="CVD-VAE: every plausible image behind a small one",
        analytics_enabled=False,
        delete_cache=(600, SESSION_SECONDS),
    ) as page:
        gr.HTML(photo_text.HEADING if photos.models else text.HEADING, elem_id="heading")
        with gr.Tabs(elem_id="domains") as tabs:
            if photos.models:
                with gr.Tab("Photographs", id="photos"):
                    photos_part(photos, pictures, SESSION_SECONDS)
            if explorer.models:
                with gr.Tab("Faces", id="faces"):
                    _faces_part(page, tabs, explorer, pictures, alone=not photos.models)
            with gr.Tab("What it means", id="meaning"):
                if photos.models:
                    gr.Markdown(photo_text.MEANING.read_text("utf-8"), elem_id="photo-meaning")
                if explorer.models:
                    gr.Markdown(text.MEANING.read_text("utf-8"), elem_id="meaning")
    page.state_session_capacity = SESSIONS
    page.queue(max_size=WAITING, default_concurrency_limit=4, api_open=False)
    return page


def _faces_part(
    page: gr.Blocks, tabs: gr.Tabs, explorer: Explorer, pictures: Path, alone: bool
) -> None:
    """Lay out what shows faces, and connect it."""
    session = gr.State(None, time_to_live=SESSION_SECONDS)
    chosen = gr.State(0)
    if not alone:
        gr.HTML(text.HEADING, elem_classes="about")
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            paths = examples(explorer, pictures)
            shown = layout.input_part(paths)
            settings = layout.settings_part(explorer)
        with gr.Column(scale=3, min_width=320):
            answers = layout.answers_part()
            steering = layout.steering_part(explorer)
            take = layout.take_part()
    inputs = Inputs(explorer, shown, settings)
    _wire_image(inputs, paths)
    parts = (settings, answers, steering, take)
    _wire(page, tabs, Handlers(explorer, session, chosen, inputs, parts))
    add_api(explorer)


def _wire_image(on: Inputs, paths: list[Path]) -> None:
    shown, which = on.input, [on.settings.scale, on.settings.method]
    temperatures = [on.settings.temperature, on.settings.encoder_temperature]
    image, frame = [shown.photo, shown.kind, *which], [shown.x, shown.y, shown.side]
    seen = [shown.frame, shown.framed, shown.seen, shown.doubts]
    guessed = [shown.kind, on.settings.scale, *temperatures]
    draw = on.settings.draw
    shown.examples.click(lambda i: str(paths[i]), shown.examples, shown.photo, queue=False, **QUIET)
    shown.photo.change(on.forget, None, [*frame, draw], queue=False, **QUIET).then(
        on.arrive, image, [*frame, *seen, *guessed, draw], **LATEST, **LOOKING, **QUIET
    )
    for radio in (shown.kind, *which):
        radio.input(on.look, [*image, *frame], [*frame, *seen], **LATEST, **LOOKING, **QUIET)
    for radio in which:
        radio.input(on.recommend, which, temperatures, queue=False, **LATEST, **QUIET)
    for slider in frame:
        slider.input(on.move, [*image, *frame], seen, **LATEST, **LOOKING, **QUIET)
    on.settings.dice.click(lambda: randrange(100_000), None, on.settings.seed, queue=False, **QUIET)


def _wire(page: gr.Blocks, tabs: gr.Tabs, on: Handlers) -> None:
    settings, answers, steering, take = on.settings, on.answers, on.steering, on.take
    shown = on.inputs.input
    image = [shown.photo, shown.kind, settings.scale, settings.method]
    frame = [shown.x, shown.y, shown.side]
    temperatures = [settings.temperature, settings.encoder_temperature]
    how = [settings.samples, *temperatures, settings.seed, settings.consistent]
    finished = [
        on.session, on.chosen, answers.status, answers.gallery, answers.wipe, answers.mean,
        answers.heat, answers.bar, answers.photo, answers.truth, steering.trail, steering.groups,
        steering.last, steering.chosen, steering.editor,
    ]  # fmt: skip
    restored = [*finished, shown.photo, settings.scale, settings.method, *how]
    busy = [answers.status, settings.stop, *on.buttons]
    ready = list(dict.fromkeys([*busy, *finished]))
    taken = [take.archive, take.settings, take.link, take.python, take.command]
    sample, stays = [on.session, on.chosen], [steering.stays, steering.shared]
    link = gr.Textbox("", visible="hidden", label="the page's own address")
    page.load(on.link_of, None, link, **QUIET)
    link.change(lambda: gr.update(selected="faces"), None, tabs, queue=False, **QUIET)
    drawing = []
    for trigger, handler, inputs, outputs in (
        (settings.draw.click, on.draw, [*image, *frame, *how], finished),
        (steering.others.click, on.others, [*sample, steering.groups], finished),
        (steering.blend.click, on.blend, [*sample, steering.last], finished),
        (steering.vary.click, on.vary, [*sample, steering.region, steering.editor], finished),
        (steering.trail.input, on.walk, [on.session, steering.trail], finished),
        (steering.back.click, on.back, [on.session], finished),
        (take.reopen.upload, on.reopen, [take.reopen], restored),
        (link.change, on.arrive_by_link, [link], restored),
    ):
        begun = trigger(on.busy, None, busy, queue=False, **QUIET)
        drawn = begun.then(
            handler, inputs, outputs, show_progress_on=answers.gallery, **DRAWING, **PRIVATE
        )
        ended = drawn.then(on.ready, [on.session, answers.status], ready, queue=False, **QUIET)
        ended.then(on.what_stays, [*sample, steering.groups], stays, **LATEST, **DRAWING, **QUIET)
        ended.then(on.pack, [on.session], taken, **LATEST, **LOOKING, **QUIET)
        drawing.append(drawn)
    # What follows a drawing follows a stopped one, too: `ready` tells them apart.
    settings.stop.click(None, cancels=drawing, **PRIVATE)
    answers.gallery.select(
        on.choose,
        [on.session],
        [on.chosen, answers.wipe, steering.chosen, steering.editor],
        trigger_mode="multiple",
        concurrency_id="choose",
        concurrency_limit=1,
        **QUIET,
    ).then(on.what_stays, [*sample, steering.groups], stays, **LATEST, **DRAWING, **QUIET)
    steering.groups.input(
        on.what_stays, [*sample, steering.groups], stays, **LATEST, **DRAWING, **QUIET
    )


def examples(explorer: Explorer, folder: Path) -> list[Path]:
    """Lay out the bundled examples as files: a photo, what is left of its face, and a cat."""
    from skimage.data import chelsea

    photo = demo_photo()
    face, pictures = crop_face(photo), {"a photo": photo}
    for scale in explorer.scales:
        model = explorer.any_at(scale)
        y, _ = simulate(face, model.degradation, crop="none")
        pictures[f"{model.lr_size} by {model.lr_size} pixels"] = to_pil(y)
    pictures["a cat"] = Image.fromarray(chelsea())
    paths = []
    for name, picture in pictures.items():
        path = folder / f"{name}.png"
        picture.save(path)
        paths.append(path)
    return paths
