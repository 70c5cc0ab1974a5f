"""What the tabs have in common: controls, and in which way the page listens to them."""

from pathlib import Path
from random import randrange
from typing import Any

import gradio as gr
from PIL import Image

from ..errors import InputError
from . import text
from .recipes import check_seed

DRAWING: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1}
RESTORING: dict[str, Any] = {"concurrency_id": "restore", "concurrency_limit": 1}
LOOKING: dict[str, Any] = {"concurrency_id": "look", "concurrency_limit": 2}
LATEST: dict[str, Any] = {"trigger_mode": "always_last"}  # else it is dropped while one is pending
EVERY: dict[str, Any] = {"trigger_mode": "multiple"}  # the last would be sent what the first told
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}

Updates = dict[Any, Any]

UNCHANGED: Updates = gr.skip()
"""What a handler gives to leave all as it is: if it yielded nothing, all would be emptied."""


def file_image(**options: Any) -> gr.Image:
    """An image that arrives as a file, unopened: the program's own reader says what is wrong.

    It must get its values as they are and never in a `gr.update`, which would build it anew.
    """
    image = gr.Image(type="filepath", **options)

    def path_of(payload: Any) -> str | None:
        return None if payload is None or payload.path is None else str(payload.path)

    image.preprocess = path_of  # type: ignore[method-assign]
    return image


def visitors_image(
    what: str, name: str, examples: list[Path], examples_name: str
) -> tuple[gr.Image, gr.Dataset]:
    """Where a visitor gives an image, and the examples that may be chosen instead."""
    photo = file_image(
        label=f"{what}: upload, paste, or use the camera",
        show_label=False,
        sources=["upload", "clipboard", "webcam"],
        image_mode=None,
        format="png",
        height=150,
        buttons=[],
        elem_id=name,
    )
    shown = gr.Dataset(
        label="Or try " + ("one of these" if len(examples) > 1 else "this one"),
        components=[gr.Image(visible=False)],
        samples=[[str(path)] for path in examples],
        type="index",
        elem_id=examples_name,
    )
    return photo, shown


def saved(pictures: dict[str, Image.Image], folder: Path) -> list[Path]:
    """Lay out example pictures as files that are called so."""
    paths = [folder / f"{name}.png" for name in pictures]
    for path, picture in zip(paths, pictures.values(), strict=True):
        picture.save(path)
    return paths


def temperature_part(
    value: float,
    name: str,
    info: str | None = None,
    label: str = "Temperature: tame to wild",
    visible: bool = True,
) -> gr.Slider:
    """A temperature."""
    return gr.Slider(
        0, text.WILDEST, value, step=0.05, label=label, info=info, elem_id=name, visible=visible
    )


def seed_part(prefix: str = "") -> gr.Textbox:
    """A seed, and the button that throws another.

    It is a text, as the numbers of browsers have no more than 53 bits.
    """
    with gr.Row():
        seed = gr.Textbox("0", label="Seed", max_lines=1, elem_id=f"{prefix}seed")
        dice = gr.Button("New seed", elem_id=f"{prefix}dice")
    dice.click(lambda: str(randrange(100_000)), None, seed, queue=False, **QUIET)
    return seed


def seed_of(typed: str | None) -> int:
    """The seed that a visitor has typed; 0 where there is none.

    Raises:
        InputError: It is no whole number, or too large.
    """
    try:
        seed = int(typed or 0)
    except ValueError:
        raise InputError("the seed must be a whole number") from None
    return check_seed(seed)


def pairs_part(prefix: str = "") -> gr.Checkbox:
    """Whether samples are drawn in opposite pairs."""
    return gr.Checkbox(False, label=text.PAIRS, elem_id=f"{prefix}antithetic")
