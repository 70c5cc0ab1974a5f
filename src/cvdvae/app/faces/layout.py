"""The page's parts: what is shown, and where. What happens on a click is in `events`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..controls import pairs_part, seed_part, temperature_part, visitors_image
from ..painter import make_painter
from ..pictures import FULL_MAP
from ..text import scale_bar, suited
from . import text
from .explorer import MAX_SAMPLES, Explorer


@dataclass(frozen=True)
class Input:
    """The visitor's image, and what the model sees of it."""

    photo: gr.Image
    examples: gr.Dataset
    kind: gr.Radio
    scale: gr.Radio
    x: gr.Slider
    y: gr.Slider
    side: gr.Slider
    frame: gr.Column
    framed: gr.Image
    seen: gr.Image
    doubts: gr.HTML


@dataclass(frozen=True)
class Settings:
    """How to draw; `said` is what went wrong."""

    method: gr.Radio
    samples: gr.Slider
    temperature: gr.Slider
    encoder_temperature: gr.Slider
    seed: gr.Textbox
    consistent: gr.Checkbox
    antithetic: gr.Checkbox
    draw: gr.Button
    stop: gr.Button
    said: gr.HTML


@dataclass(frozen=True)
class Figure:
    """A picture that is only shown, under its caption."""

    column: gr.Column
    caption: gr.HTML
    image: gr.Image


@dataclass(frozen=True)
class Answers:
    """The gallery, and what its samples agree on; `shown` says what they are."""

    status: gr.HTML
    shown: gr.HTML
    gallery: gr.Gallery
    wipe: gr.HTML
    mean: Figure
    heat: Figure
    bar: gr.HTML
    truth: Figure


@dataclass(frozen=True)
class Steering:
    """From a sample to others; `said` is what went wrong."""

    chosen: gr.HTML
    groups: gr.Slider
    stays: gr.HTML
    shared: gr.Image
    others: gr.Button
    last: gr.Radio
    blend: gr.Button
    region: gr.Radio
    painter: gr.HTML
    vary: gr.Button
    said: gr.HTML
    trail: gr.Radio
    back: gr.Button


@dataclass(frozen=True)
class Take:
    """What can be taken away; `said` is what went wrong with a file that was opened."""

    archive: gr.DownloadButton
    settings: gr.DownloadButton
    reopen: gr.UploadButton
    said: gr.HTML
    link: gr.Textbox
    python: gr.Code
    command: gr.Code


def _caption(words: str, name: str | None = None) -> gr.HTML:
    """A line above a picture: Gradio's own labels would cover a part of it."""
    return gr.HTML(text.caption(words), padding=False, elem_id=name)


def _figure(name: str, caption: str, visible: bool = True, **options: Any) -> Figure:
    with gr.Column(min_width=110, elem_classes="figure", visible=visible) as column:
        line = _caption(caption, f"{name}-caption")
        image = gr.Image(
            show_label=False,
            label=caption,
            interactive=False,
            buttons=[],
            format="png",
            container=False,
            alt_text=caption,
            elem_id=name,
            **options,
        )
    return Figure(column, line, image)


def input_part(pictures: list[Path], explorer: Explorer) -> Input:
    """The first column's upper half."""
    gr.HTML("<h2>1 · Your image</h2>")
    photo, examples = visitors_image("Your image", "photo", pictures, "examples")
    kinds = list(text.KINDS)
    kind = gr.Radio(kinds, value=kinds[0], label="It is", elem_id="kind", elem_classes="line")
    scales = [f"×{scale}" for scale in explorer.scales]
    scale = gr.Radio(
        scales,
        value=scales[len(scales) // 2],
        label="Shrunk by",
        elem_id="scale",
        elem_classes="line",
    )
    with gr.Row(elem_classes="pictures"):
        frame = _figure("framed", "The frame: press where the face is", visible=False, height=120)
        seen = _figure("seen", "What the model sees", height=120)
    doubts = gr.HTML(elem_id="doubts")
    x, y, side = (
        gr.Slider(0, 100, value, step=0.5, label=label, elem_id=f"frame-{name}", render=False)
        for name, value, label in (
            ("x", 50, "Frame: left to right, %"),
            ("y", 50, "Frame: top to bottom, %"),
            ("side", 0, "Frame: size, % of the shorter side (0: find the face)"),
        )
    )
    return Input(
        photo, examples, kind, scale, x, y, side, frame.column, frame.image, seen.image, doubts
    )


def settings_part(explorer: Explorer, shown: Input) -> Settings:
    """The first column's lower half, the sliders of the frame among it."""
    methods = [name for name, method in text.METHODS.items() if method in explorer.methods]
    model = explorer.any_at(explorer.scales[len(explorer.scales) // 2])
    look = model.recommended.look
    with gr.Accordion("More: frame and settings", open=False):
        for slider in (shown.x, shown.y, shown.side):
            slider.render()
        method = gr.Radio(methods, value=methods[0], label="Method", elem_id="method")
        samples = gr.Slider(1, MAX_SAMPLES, 8, step=1, label="How many", elem_id="samples")
        temperature = temperature_part(look, "temperature", suited(model))
        encoder_temperature = temperature_part(
            look,
            "encoder-temperature",
            label="Temperature of what is read from your image",
            visible=model.method != "flow",
        )
        seed = seed_part()
        consistent = gr.Checkbox(True, label="Give my image back exactly", elem_id="consistent")
        antithetic = pairs_part()
    with gr.Column(elem_id="go"):
        said = gr.HTML(elem_id="draw-said")
        with gr.Row():
            draw = gr.Button("Show what could be behind it", variant="primary", elem_id="draw")
            stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=70, scale=0)
    how = (samples, temperature, encoder_temperature, seed, consistent, antithetic)
    return Settings(method, *how, draw, stop, said)


def answers_part(explorer: Explorer) -> tuple[Answers, Steering, Take]:
    """The second column: the samples, below them what can be done with them, beside them what
    follows from them."""
    gr.HTML("<h2>2 · What could be behind it</h2>")
    status = gr.HTML(text.FIRST, elem_id="status")
    with gr.Row(elem_id="answers"):
        with gr.Column(scale=5, min_width=320, elem_classes="figure"):
            shown = _caption(text.SAMPLES, "shown")
            gallery = gr.Gallery(
                label="Samples: plausible, not true",
                show_label=False,
                columns=4,
                object_fit="contain",
                allow_preview=False,
                interactive=False,
                format="png",
                buttons=[],
                height="auto",
                elem_id="gallery",
            )
            with gr.Column(elem_id="steer"):
                steering, take = steering_part(explorer), take_part()
        with gr.Column(scale=3, min_width=280, elem_id="figures"):
            with gr.Row(elem_classes="pictures"):
                with gr.Column(min_width=110, elem_classes="figure"):
                    _caption("Yours | the chosen sample")
                    wipe = gr.HTML(padding=False, elem_id="wipe")
                truth = _figure("truth", "The photo itself", visible=False)
            with gr.Row(elem_classes="pictures"):
                mean = _figure("mean", text.MEAN)
                heat = _figure("heat", text.HEAT)
            bar = gr.HTML(scale_bar(FULL_MAP), padding=False, elem_id="bar")
    return Answers(status, shown, gallery, wipe, mean, heat, bar, truth), steering, take


def steering_part(explorer: Explorer) -> Steering:
    """From the chosen sample to others."""
    most = max(len(model.group_resolutions) for model in explorer.models.values())
    gr.HTML("<h2>3 · Steer</h2>")
    chosen = gr.HTML("Choose a sample above.", elem_id="chosen")
    with gr.Tabs():
        with gr.Tab("Others"), gr.Row():
            with gr.Column(scale=2):
                groups = gr.Slider(
                    0,
                    max(1, most),
                    most // 2,
                    step=1,
                    label="Latent groups that stay: coarse to fine",
                    interactive=True,
                    elem_id="groups",
                )
                stays = gr.HTML(elem_id="stays")
                others = gr.Button("Others like this one", elem_id="others")
            shared = _figure("shared", "What stays: the mean of such others", height=150)
        with gr.Tab("Blend"):
            last = gr.Radio([], label="Walk from it to sample", elem_id="last")
            blend = gr.Button("Blend the two", elem_id="blend")
        with gr.Tab("Region"):
            region = gr.Radio(
                list(text.REGIONS), value="What I paint", label="Vary only", elem_id="region"
            )
            painter = make_painter()
            vary = gr.Button("Vary only there", elem_id="vary")
    said = gr.HTML(elem_id="steer-said")
    with gr.Row():
        trail = gr.Radio([], label="Steps so far", elem_id="trail", scale=4)
        back = gr.Button("Back", elem_id="back", min_width=80)
    return Steering(
        chosen, groups, stays, shared.image, others, last, blend, region, painter, vary, said,
        trail, back,
    )  # fmt: skip


def take_part() -> Take:
    """What can be taken away."""
    gr.HTML("<h2>4 · Take it away</h2>")
    with gr.Row():
        archive = gr.DownloadButton("All samples (zip)", interactive=False, elem_id="archive")
        settings = gr.DownloadButton(
            "Settings (result.json)", interactive=False, elem_id="settings"
        )
        reopen = gr.UploadButton("Open settings", file_types=[".json", ".zip"], elem_id="reopen")
    said = gr.HTML(elem_id="take-said")
    link = gr.Textbox(
        label="An address that brings this gallery back (your small image is in it)",
        buttons=["copy"],
        interactive=False,
        lines=1,
        max_lines=1,
        elem_id="link",
    )
    with gr.Accordion("The same in Python and on the command line", open=False, elem_id="code"):
        python = gr.Code(language="python", label="Python", interactive=False, elem_id="python")
        command = gr.Code(language="shell", label="Command", interactive=False, elem_id="command")
    return Take(archive, settings, reopen, said, link, python, command)
