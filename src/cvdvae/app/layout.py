"""The page's parts: what is shown, and where. What happens on a click is in `events`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..app import text
from .explorer import MAX_SAMPLES, Explorer, groups_of

CSS = Path(__file__).with_name("style.css")


def file_image(**options: Any) -> gr.Image:
    """An image that arrives as a file, unopened: the program's own reader says what is wrong.

    It must get its values as they are and never in a `gr.update`, which would build it anew.
    """
    image = gr.Image(type="filepath", **options)

    def path_of(payload: Any) -> str | None:
        return None if payload is None or payload.path is None else str(payload.path)

    image.preprocess = path_of  # type: ignore[method-assign]
    return image


@dataclass(frozen=True)
class Input:
    """The visitor's image, and what the model sees of it."""

    photo: gr.Image
    examples: gr.Dataset
    kind: gr.Radio
    x: gr.Slider
    y: gr.Slider
    side: gr.Slider
    frame: gr.Column
    framed: gr.Image
    seen: gr.Image
    doubts: gr.HTML


@dataclass(frozen=True)
class Settings:
    """How to draw."""

    scale: gr.Radio
    method: gr.Radio
    samples: gr.Slider
    temperature: gr.Slider
    encoder_temperature: gr.Slider
    seed: gr.Number
    dice: gr.Button
    consistent: gr.Checkbox
    draw: gr.Button
    stop: gr.Button


@dataclass(frozen=True)
class Answers:
    """The gallery, and what its samples agree on."""

    status: gr.HTML
    gallery: gr.Gallery
    wipe: gr.HTML
    mean: gr.Image
    heat: gr.Image
    bar: gr.HTML
    photo: gr.Column
    truth: gr.Image


@dataclass(frozen=True)
class Steering:
    """From a sample to others."""

    chosen: gr.HTML
    groups: gr.Slider
    stays: gr.HTML
    shared: gr.Image
    others: gr.Button
    last: gr.Radio
    blend: gr.Button
    region: gr.Radio
    editor: gr.ImageEditor
    vary: gr.Button
    trail: gr.Radio
    back: gr.Button


@dataclass(frozen=True)
class Take:
    """What can be taken away."""

    archive: gr.DownloadButton
    settings: gr.DownloadButton
    reopen: gr.UploadButton
    link: gr.Textbox
    python: gr.Code
    command: gr.Code


def _caption(text: str) -> None:
    """A line above a picture: Gradio's own labels would cover a part of it."""
    gr.HTML(f'<p class="caption">{text}</p>', padding=False)


def _picture(
    name: str, caption: str, visible: bool = True, **options: Any
) -> tuple[gr.Column, gr.Image]:
    """A picture that is only shown, under its caption, and the column that holds both."""
    with gr.Column(min_width=140, elem_classes="figure", visible=visible) as column:
        _caption(caption)
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
    return column, image


def _temperature(value: float, label: str, name: str) -> gr.Slider:
    return gr.Slider(0, 1.5, value, step=0.05, label=label, elem_id=name)


def input_part(pictures: list[Path]) -> Input:
    """The first column's upper half."""
    gr.HTML("<h2>1 · Your image</h2>")
    photo = file_image(
        label="Upload, paste, or use the camera",
        sources=["upload", "clipboard", "webcam"],
        image_mode=None,
        format="png",
        height=230,
        buttons=[],
        elem_id="photo",
    )
    examples = gr.Dataset(
        label="Or try one of these",
        components=[gr.Image(visible=False)],
        samples=[[str(path)] for path in pictures],
        type="index",
        elem_id="examples",
    )
    kind = gr.Radio(list(text.KINDS), value=next(iter(text.KINDS)), label="This is", elem_id="kind")
    with gr.Row():
        frame, framed = _picture("framed", "The frame", visible=False, height=170)
        _, seen = _picture("seen", "What the model sees", height=170)
    with gr.Accordion("Move the frame", open=False):
        x = gr.Slider(0, 100, 50, step=0.5, label="Left to right, %", elem_id="frame-x")
        y = gr.Slider(0, 100, 50, step=0.5, label="Top to bottom, %", elem_id="frame-y")
        side = gr.Slider(
            0,
            100,
            0,
            step=0.5,
            label="Size, % of the shorter side (0: find the face)",
            elem_id="frame-side",
        )
    doubts = gr.HTML(elem_id="doubts")
    return Input(photo, examples, kind, x, y, side, frame, framed, seen, doubts)


def settings_part(explorer: Explorer) -> Settings:
    """The first column's lower half."""
    scales = [f"×{scale}" for scale in explorer.scales]
    middle = scales[len(scales) // 2]
    methods = [name for name, method in text.METHODS.items() if method in explorer.methods]
    suits = explorer.any_at(int(middle[1:])).recommended
    scale = gr.Radio(scales, value=middle, label="Shrunk by", elem_id="scale")
    method = gr.Radio(methods, value=methods[0], label="Method", elem_id="method")
    samples = gr.Slider(1, MAX_SAMPLES, 8, step=1, label="How many", elem_id="samples")
    temperature = _temperature(suits.temperature, "Temperature: tame to wild", "temperature")
    with gr.Accordion("More", open=False):
        encoder_temperature = _temperature(
            suits.encoder_temperature,
            "Temperature of what is read from your image",
            "encoder-temperature",
        )
        with gr.Row():
            seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="seed")
            dice = gr.Button("New seed", elem_id="dice")
        consistent = gr.Checkbox(True, label="Give my image back exactly", elem_id="consistent")
    with gr.Row():
        draw = gr.Button("Show what could be behind it", variant="primary", elem_id="draw", scale=3)
        stop = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False, min_width=80)
    return Settings(
        scale, method, samples, temperature, encoder_temperature, seed, dice, consistent, draw, stop
    )


def answers_part() -> Answers:
    """The second column's upper half."""
    gr.HTML("<h2>2 · What could be behind it</h2>")
    status = gr.HTML(text.callout("plain", "", text.EMPTY), elem_id="status")
    _caption("Plausible, not true. Choose one to compare it with your image, and to steer.")
    gallery = gr.Gallery(
        label="Samples: plausible, not true",
        show_label=False,
        columns=4,
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        format="png",
        buttons=["fullscreen"],
        height="auto",
        elem_id="gallery",
    )
    with gr.Row():
        with gr.Column(min_width=140, elem_classes="figure"):
            _caption("Your image | the chosen sample")
            wipe = gr.HTML(padding=False, elem_id="wipe")
        _, mean = _picture("mean", "Mean: the safest answer")
        column, heat = _picture("heat", "Where they disagree")
        with column:
            bar = gr.HTML(padding=False, elem_id="bar")
        photo, truth = _picture("truth", "The photo itself", visible=False)
    return Answers(status, gallery, wipe, mean, heat, bar, photo, truth)


def steering_part(explorer: Explorer) -> Steering:
    """The second column's lower half."""
    most = max(len(groups_of(model)) for model in explorer.models.values())
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
            _, shared = _picture("shared", "What stays: the mean of such others", height=190)
        with gr.Tab("Blend"):
            last = gr.Radio([], label="Walk from it to sample", elem_id="last")
            blend = gr.Button("Blend the two", elem_id="blend")
        with gr.Tab("Region"):
            region = gr.Radio(
                list(text.REGIONS), value="What I paint", label="Vary only", elem_id="region"
            )
            editor = gr.ImageEditor(
                label="Paint over what may change",
                type="pil",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(default_size=48, colors=["#ff2d78"], color_mode="fixed"),
                canvas_size=(512, 512),
                fixed_canvas=True,
                height=420,
                buttons=[],
                elem_id="editor",
            )
            vary = gr.Button("Vary only there", elem_id="vary")
    with gr.Row():
        trail = gr.Radio([], label="Steps so far", elem_id="trail", scale=4)
        back = gr.Button("Back", elem_id="back", min_width=80)
    return Steering(
        chosen, groups, stays, shared, others, last, blend, region, editor, vary, trail, back
    )


def take_part() -> Take:
    """The last part of the second column."""
    gr.HTML("<h2>4 · Take it away</h2>")
    with gr.Row():
        archive = gr.DownloadButton("All samples (zip)", interactive=False, elem_id="archive")
        settings = gr.DownloadButton(
            "Settings (result.json)", interactive=False, elem_id="settings"
        )
        reopen = gr.UploadButton("Open settings", file_types=[".json"], elem_id="reopen")
    link = gr.Textbox(
        label="An address that brings this gallery back here (your small image is inside it)",
        buttons=["copy"],
        interactive=False,
        lines=1,
        max_lines=1,
        elem_id="link",
    )
    with gr.Accordion("The same in Python and on the command line", open=False, elem_id="code"):
        python = gr.Code(language="python", label="Python", interactive=False, elem_id="python")
        command = gr.Code(language="shell", label="Command", interactive=False, elem_id="command")
    return Take(archive, settings, reopen, link, python, command)
