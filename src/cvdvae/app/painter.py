"""Where a visitor paints over a part of a sample."""

from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SCRIPTS = ("brush.js", "painter.js")
"""In the order in which they build on each other; together they are the body of one function."""


def make_painter(name: str = "painter") -> gr.HTML:
    """The painter, empty.

    Its value holds the `picture` to paint on, as a data address, the `width` and `height` of the
    sample in pixels, and a running `number`; its event `paint` tells the strokes so far, as
    `photos.strokes.region_of` reads them.
    """
    return gr.HTML(
        {},
        html_template=(HERE / "painter.html").read_text(encoding="utf-8"),
        css_template=(HERE / "painter.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        elem_id=name,
        elem_classes="painter-part",
    )


def painted(event: gr.EventData) -> Any:
    """What has been painted so far."""
    return getattr(event, "strokes", None) or []
