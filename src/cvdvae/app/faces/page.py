"""The tab of faces: its parts, and which click calls which handler."""

from collections.abc import Container
from pathlib import Path

import gradio as gr
from PIL import Image

from ...domains.faces import crop_face, demo_photo
from ...domains.simulate import simulate
from ...imaging.io import to_pil
from ..controls import DRAWING, EVERY, LATEST, LOOKING, PRIVATE, QUIET, saved
from ..painter import Painting, painted
from . import layout, text
from .api import add_api
from .explorer import Explorer
from .handlers import Handlers
from .inputs import Inputs
from .showing import Parts

ADDRESS = "(session, link) => [session, location.origin + location.pathname]"
"""The page's own address: behind other servers, the browser alone knows it."""


def faces_part(
    page: gr.Blocks,
    tabs: gr.Tabs,
    explorer: Explorer,
    pictures: Path,
    keep_seconds: float,
    domains: Container[str],
) -> None:
    """Lay out what shows faces, and connect it.

    Args:
        page: The page.
        tabs: Its tabs: one of its own addresses opens that of faces.
        explorer: The models.
        pictures: Folder in which the bundled examples are laid out as files.
        keep_seconds: How long a visitor's images are kept after something was last drawn of them.
        domains: Names of those that have a tab.
    """
    session = gr.State(None, time_to_live=keep_seconds)
    chosen, strokes = gr.State(0), gr.State(Painting())
    given, drawing = gr.State(None), gr.State(False)
    gr.HTML(f"<p>{text.ABOUT}</p>", elem_classes="about")
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            paths = examples(explorer, pictures)
            shown = layout.input_part(paths, explorer)
            settings = layout.settings_part(explorer, shown)
        with gr.Column(scale=5, min_width=320):
            answers, steering, take = layout.answers_part(explorer)
    parts = Parts(session, chosen, strokes, given, drawing, settings, answers, steering, take)
    on = Handlers(explorer, Inputs(explorer, shown, settings, given), parts, domains)
    _wire_image(on, paths)
    _wire(page, tabs, on)
    add_api(explorer)


def _wire_image(handlers: Handlers, paths: list[Path]) -> None:
    on, parts = handlers.inputs, handlers.parts
    shown, which = on.input, list(on.ways[1:])
    temperatures = [on.settings.temperature, on.settings.encoder_temperature]
    image, frame = [shown.photo, shown.kind, *which], [shown.x, shown.y, shown.side]
    seen = [parts.given, shown.frame, shown.framed, shown.seen, shown.doubts]
    guessed = [shown.kind, shown.scale, *temperatures]
    shown.examples.click(lambda i: str(paths[i]), shown.examples, shown.photo, queue=False, **QUIET)
    begun = [*frame, parts.given, *on.ways, on.settings.draw, on.settings.said]
    arrived = shown.photo.change(on.forget, None, begun, queue=False, **QUIET).then(
        on.arrive,
        image,
        [*frame, *seen, *guessed],
        show_progress_on=shown.seen,  # not in the status, which is read aloud
        **LATEST,
        **LOOKING,
        **QUIET,
    )
    status = parts.answers.status
    asked, told = [*parts.now, status], [*on.ways, on.settings.draw, status]
    for end in (arrived.success, arrived.failure):  # by then samples may be drawn
        end(handlers.arrived, asked, told, queue=False, **QUIET)
    looks = [
        radio.input(on.look, [*image, *frame], [*frame, *seen], **LATEST, **LOOKING, **QUIET)
        for radio in on.ways
    ]
    for radio in which:
        radio.input(on.recommend, which, temperatures, queue=False, **LATEST, **QUIET)
    centred = shown.framed.select(
        on.centre,
        [*image, *frame],
        [*frame, *seen],
        concurrency_id="centre",
        concurrency_limit=1,
        **EVERY,
        **QUIET,
    )
    looks += [
        slider.input(on.move, [*image, *frame], seen, **LATEST, **LOOKING, **QUIET)
        for slider in frame
    ]
    for look in (*looks, centred):
        look.then(handlers.looked, asked, status, queue=False, **QUIET)


def _wire(page: gr.Blocks, tabs: gr.Tabs, on: Handlers) -> None:
    parts, shown = on.parts, on.inputs.input
    settings, answers = parts.settings, parts.answers
    steering, take = parts.steering, parts.take
    image = [shown.photo, shown.kind, shown.scale, settings.method]
    frame = [shown.x, shown.y, shown.side]
    temperatures = [settings.temperature, settings.encoder_temperature]
    how = [settings.samples, *temperatures, settings.seed, settings.consistent, settings.antithetic]
    finished = parts.finished
    restored = [*finished, parts.given, shown.photo, shown.scale, settings.method, *how]
    busy = [
        parts.drawing, answers.status, settings.stop, *parts.said, *parts.buttons, *parts.steers,
        take.archive, take.settings,
    ]  # fmt: skip
    ready = list(dict.fromkeys([*busy, *finished]))
    packed = [parts.session, take.link]
    taken = [take.archive, take.settings, take.link, take.python, take.command]
    sample, stays = [parts.session, parts.chosen], [steering.stays, steering.shared]
    link = gr.Textbox("", visible="hidden", label="the page's own address")
    # Unqueued: the answer of a queued one, just as another event begins, ends the stream of both.
    page.load(on.link_of, None, link, queue=False, **QUIET)
    link.change(lambda: gr.update(selected="faces"), None, tabs, queue=False, **QUIET)
    drawing = []
    for trigger, handler, inputs, outputs in (
        (settings.draw.click, on.draw, [*image, *frame, *how], finished),
        (steering.others.click, on.others, [*sample, steering.groups], finished),
        (steering.blend.click, on.blend, [*sample, steering.last], finished),
        (steering.vary.click, on.vary, [*sample, steering.region, parts.strokes], finished),
        (steering.trail.input, on.walk, [parts.session, steering.trail], finished),
        (steering.back.click, on.back, [parts.session], finished),
        (take.reopen.upload, on.reopen, [take.reopen], restored),
        (link.change, on.arrive_by_link, [link], restored),
    ):
        begun = trigger(on.busy, None, busy, queue=False, **QUIET)
        drawn = begun.then(
            handler, inputs, outputs, show_progress_on=answers.gallery, **DRAWING, **PRIVATE
        )
        # `then` would not follow what failed before it began: a full queue, a file that has gone.
        for end in (drawn.success, drawn.failure):
            ended = end(on.ready, parts.now, ready, queue=False, **QUIET)
            ended.then(
                on.showing.what_stays, [*sample, steering.groups], stays,
                **LATEST, **DRAWING, **QUIET,
            )  # fmt: skip
            ended.then(on.pack, packed, taken, js=ADDRESS, **LATEST, **LOOKING, **QUIET)
        drawing.append(drawn)
    # What follows a drawing follows a stopped one, too: `ready` tells them apart.
    settings.stop.click(None, cancels=drawing, **PRIVATE)
    answers.gallery.select(
        on.choose,
        [parts.session],
        [parts.chosen, parts.strokes, answers.wipe, steering.chosen, steering.painter],
        concurrency_id="choose",
        concurrency_limit=1,
        **EVERY,
        **QUIET,
    ).then(on.showing.what_stays, [*sample, steering.groups], stays, **LATEST, **DRAWING, **QUIET)
    steering.painter.paint(painted, parts.strokes, parts.strokes, queue=False, **EVERY, **QUIET)
    steering.groups.input(
        on.showing.what_stays, [*sample, steering.groups], stays, **LATEST, **DRAWING, **QUIET
    )


def examples(explorer: Explorer, folder: Path) -> list[Path]:
    """Lay out the bundled examples as files: a photo, what is left of its face, and a cat."""
    from skimage.data import chelsea

    photo = demo_photo()
    face, pictures = crop_face(photo), {"a photo": photo}
    for scale in explorer.scales:
        model = explorer.any_at(scale)
        side = max(face.width, *model.truth_size)  # one that is too small for a truth does here
        y, _ = simulate(face.resize((side, side)), model.degradation, crop="none")
        pictures[f"{model.lr_size} by {model.lr_size} pixels"] = to_pil(y)
    return saved({**pictures, "a cat": Image.fromarray(chelsea())}, folder)
