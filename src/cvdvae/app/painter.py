"""Where a visitor paints over a part of a sample."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SCRIPTS = ("brush.js", "painter.js")
"""In the order in which they build on each other; together they are the body of one function."""


@dataclass(frozen=True)
class Painting:
    """What a visitor has painted.

    Attributes:
        number: Of the picture that is painted on, as `pictures.to_paint` counts them.
        strokes: As `photos.strokes.region_of` reads them.
    """

    number: int = -1
    strokes: Any = field(default_factory=list)


PIXEL, SCRATCH = 1.0, 0.1
"""Least radii of a brush, where the longer side is 64: of a face its pixel and the neighbours, and
what is no wider than a scratch in a photograph."""


def make_painter(name: str = "painter", finest: float = PIXEL) -> gr.HTML:
    """The painter, empty, with a brush of this least radius.

    Its value holds the `picture` to paint on, as a data address, the `width` and `height` of the
    sample in pixels, and a running `number`; its event `paint` tells that and the strokes so far.
    """
    html = (HERE / "painter.html").read_text(encoding="utf-8")
    html = html.replace("FINEST", f"{finest:g}").replace("STEP", f"{min(0.5, finest):g}")
    return gr.HTML(
        {},
        html_template=html,
        css_template=(HERE / "painter.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        elem_id=name,
        elem_classes="painter-part",
    )


def unpainted(canvas: Mapping[str, Any]) -> Painting:
    """Nothing on a picture, of the painter's value."""
    return Painting(canvas["number"])


def painted(before: Painting, event: gr.EventData) -> Painting:
    """What has been painted so far; of a picture that has gone meanwhile, nothing."""
    if getattr(event, "number", None) != before.number:
        return before
    return replace(before, strokes=getattr(event, "strokes", None) or [])
