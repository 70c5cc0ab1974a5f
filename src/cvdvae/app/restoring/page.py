"""The tab's parts, and which event calls which handler."""

import threading
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ...domains import FACES, PHOTOS
from ...restoration.restorer import Restorer
from ..controls import (
    EVERY,
    LATEST,
    LOOKING,
    PRIVATE,
    QUIET,
    RESTORING,
    pairs_part,
    saved,
    seed_part,
    temperature_part,
    visitors_image,
)
from ..painter import SCRATCH, Painting, make_painter, painted
from ..pictures import FULL_MAP
from ..text import scale_bar
from .damage import KINDS, LABELS, MOST_NOISE, NOISE_STEP
from .handlers import RestoringHandlers
from .reopening import LEAST, MOST
from .showing import Parts

ABOUT = (
    "Say what happened to an image, and see what could have been there. Answers are made to "
    "explain what is seen; how many do is said with them. <strong>What they do not share is "
    "invented.</strong>"
)
PHOTO, FACE = "A photograph", "A face"
EXAMPLES = {PHOTO: PHOTOS.example, FACE: FACES.example}
"""Pictures that may be shown, by what visitors read of their subject."""
MEANING = Path(__file__).with_name("meaning.md")


def restoring_part(
    restorers: Sequence[Restorer],
    pictures: Path,
    keep_seconds: float,
    turn: threading.Lock,
    tabs: Container[str],
) -> None:
    """Lay out what restores, and connect it.

    Args:
        restorers: The models; the first of each kind of images is used.
        pictures: Folder in which the bundled examples are laid out as files.
        keep_seconds: How long a visitor's image is kept after it was last drawn from.
        turn: Held while something is drawn.
        tabs: Names of those of the page.
    """
    models = {PHOTO if one.side is None else FACE: one for one in reversed(restorers)}
    subjects = [name for name in EXAMPLES if name in models]
    given, strokes = gr.State(None, time_to_live=keep_seconds), gr.State(Painting())
    gr.HTML(f"<p>{ABOUT}</p>", elem_classes="about")
    shown = {f"{name.lower()} to restore": EXAMPLES[name]() for name in subjects}
    paths = saved(shown, pictures)
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            photo, kind, subject, example = _input(paths, subjects)
            damage, strength, angle, noise, estimate = _damage()
            painter = make_painter("restore-painter", SCRATCH)
            settings = _settings(models[subjects[0]])
            with gr.Row():
                draw = gr.Button("See what could be there", variant="primary", elem_id="restore")
                stop = gr.Button(
                    "Stop", elem_id="restore-stop", interactive=False, min_width=70, scale=0
                )
            said = gr.HTML(elem_id="restore-said", elem_classes="said")
        with gr.Column(scale=5, min_width=320):
            told = Parts(
                given, strokes, kind, strength, noise, painter, said, angle, stop, photo, subject,
                damage, estimate, settings,
            )  # fmt: skip
            parts, reopen = _answers(told)
    on = RestoringHandlers(models, parts, turn, tabs)
    example.click(
        lambda i: (str(paths[i]), subjects[i], on.temperature_of(subjects[i])),
        example,
        [photo, subject, settings[1]],
        queue=False,
        **QUIET,
    )
    _connect(on, parts, draw, reopen)


def _connect(on: RestoringHandlers, parts: Parts, draw: gr.Button, reopen: gr.UploadButton) -> None:
    given, strokes, stop, settings = parts.given, parts.strokes, parts.stop, parts.settings
    photo, subject, kind, damage = parts.photo, parts.subject, parts.kind, parts.damage
    sliders = [parts.strength, parts.angle, parts.noise]
    laid_out = [given, strokes, parts.painter, kind, parts.said, *parts.shown]
    # Of those that the visitor presses alone: a result that is opened again has its own.
    subject.input(on.temperature_of, subject, settings[1], queue=False, **QUIET)
    # One event of both: of two that are queued at once, the end of one may lose the other's answer.
    gr.on(
        [photo.change, subject.change],
        on.arrive,
        [photo, subject, given, kind],
        laid_out,
        **LATEST,
        **LOOKING,
        **QUIET,
    )
    seen = [*sliders, parts.painter, parts.estimate]
    damage.input(parts.chosen, [damage, kind], seen, queue=False, **LATEST, **QUIET)
    judged = [parts.strength, parts.estimate]
    kind.change(parts.judged, [damage, kind], judged, queue=False, **LATEST, **QUIET)
    parts.estimate.click(
        on.estimated, [photo, given, damage, strokes], [parts.noise, parts.said], **LATEST, **QUIET
    )
    parts.painter.paint(painted, strokes, strokes, queue=False, **EVERY, **QUIET)
    happened = [photo, subject, kind, damage, parts.strength, parts.noise]
    how = [*happened, *settings, given, strokes, parts.angle]
    drawn = [parts.said, stop, *parts.shown]
    again = [photo, subject, damage, parts.estimate, *sliders, *settings, *laid_out, stop]
    # A press while another image is restored is for the one that came.
    for press, handler, inputs, outputs in (
        (draw.click, on.draw, how, drawn),
        (reopen.upload, on.reopen, [reopen, given], again),
    ):
        begun = press(on.busy, given, stop, queue=False, **QUIET)
        ended = begun.then(handler, inputs, outputs, **LATEST, **RESTORING, **PRIVATE)
        for end in (ended.success, ended.failure):
            end(lambda: on.stoppable(False), None, stop, queue=False, **QUIET)
    stop.click(on.stop, given, stop, queue=False, **QUIET)


def _input(
    paths: list[Path], subjects: list[str]
) -> tuple[gr.Image, gr.Radio, gr.Radio, gr.Dataset]:
    gr.HTML("<h2>1 · Your image</h2>")
    photo, example = visitors_image("Your image", "restore-photo", paths, "restore-example")
    subject = gr.Radio(
        subjects,
        value=subjects[0],
        label="It shows",
        visible=len(subjects) > 1,
        elem_id="restore-subject",
        elem_classes="line",
    )
    kind = gr.Radio(
        list(KINDS),
        value=next(iter(KINDS)),
        label="It is",
        elem_id="restore-kind",
        elem_classes="line",
    )
    return photo, kind, subject, example


def _damage() -> tuple[gr.Dropdown, gr.Slider, gr.Slider, gr.Slider, gr.Button]:
    gr.HTML("<h2>2 · What happened to it</h2>")
    damage = gr.Dropdown(list(LABELS), value=next(iter(LABELS)), label="Damage", elem_id="damage")
    with gr.Row():
        strength = gr.Slider(
            0, 100, 50, label="Strength", visible=False, min_width=140, elem_id="strength"
        )
        angle = gr.Slider(
            0,
            180,
            0,
            step=1,
            label="Angle, ° (90: upright)",
            visible=False,
            min_width=140,
            elem_id="angle",
        )
        noise = gr.Slider(
            0, MOST_NOISE, 0, step=NOISE_STEP, label="Noise, σ", min_width=140, elem_id="noise"
        )
    estimate = gr.Button(
        "Estimate the noise", elem_id="estimate", size="sm", visible=False, min_width=140
    )
    return damage, strength, angle, noise, estimate


def _settings(restorer: Restorer) -> tuple[Any, ...]:
    """How many, at which temperature, from which seed, and whether in pairs."""
    with gr.Accordion("More", open=False):
        samples = gr.Slider(LEAST, MOST, 8, step=1, label="How many", elem_id="restore-samples")
        look = restorer.recommended.look
        temperature = temperature_part(look, "restore-temperature", "higher ones differ more")
        return samples, temperature, seed_part("restore-"), pairs_part("restore-")


def _answers(parts: Parts) -> tuple[Parts, gr.UploadButton]:
    gr.HTML("<h2>3 · What could be there</h2>")
    told = gr.HTML(elem_id="restore-told")
    with gr.Row(elem_classes="pictures"):
        pictures = [
            gr.Image(
                label=label,
                interactive=False,
                buttons=["fullscreen"],
                format="png",
                height=200,
                alt_text=label,
                elem_id=f"restore-{name}",
            )
            for name, label in (
                ("seen", "What is seen"),
                ("mean", "The mean of all"),
                ("heat", "They disagree"),
                ("truth", "What was there"),
            )
        ]
    gr.HTML(scale_bar(FULL_MAP), padding=False, elem_id="restore-bar")
    gallery = gr.Gallery(
        label="Answers: plausible, not true",
        columns=4,
        object_fit="contain",
        height="auto",
        buttons=[],
        elem_id="restore-gallery",
    )
    with gr.Row():
        file = gr.DownloadButton("Take everything", visible=False, elem_id="restore-take")
        reopen = gr.UploadButton(
            "Open settings", file_types=[".json", ".zip"], elem_id="restore-reopen"
        )
    return parts.with_answers((told, *pictures, gallery, file)), reopen
