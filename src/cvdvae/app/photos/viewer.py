"""The viewer: canvases that pan and zoom together, and what travels between them and the server."""

import base64
import zlib
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from . import text
from .explorer import Session

HERE = Path(__file__).parent
SCRIPTS = ("patches.js", "view.js", "../brush.js", "viewer.js", "hands.js")
"""In the order in which they build on each other; together they are the body of one function."""


def make_viewer() -> gr.HTML:
    """The viewer, empty.

    Its value is what the server says last; its events are `ask` (a window is wanted), `halt`,
    `vary` (a region is to be varied), and `whole` (everything is wanted, as files).
    """
    return gr.HTML(
        {},
        html_template=(HERE / "viewer.html").read_text(encoding="utf-8"),
        css_template=(HERE / "viewer.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        elem_id="viewer",
    )


def packed(pixels: Tensor) -> str:
    """An image ``(3, H, W)`` uint8 as text: rows as differences to the one above, deflated."""
    rows: np.ndarray[Any, Any] = pixels.permute(1, 2, 0).contiguous().numpy()
    differences = rows.copy()
    differences[1:] -= rows[:-1]  # modulo 256
    return base64.b64encode(zlib.compress(differences.tobytes(), 1)).decode()


def copied(told: dict[str, Any]) -> dict[str, Any]:
    """What is sent must not grow while it is being sent."""
    return {key: list(v) if isinstance(v, list) else v for key, v in told.items()}


def steps_of(session: Session) -> list[dict[str, Any]]:
    """The sets of samples so far, as the viewer is told of them."""
    names = text.steps(session.history)
    found = []
    for name, sampling, key in zip(names, session.history, session.keys, strict=True):
        seen = None
        if sampling.steps and (mask := sampling.steps[-1].mask) is not None:
            rows, columns = (mask.any(side).nonzero().flatten() for side in (1, 0))
            top, left = int(rows[0]), int(columns[0])
            seen = [top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left]
        told = {"label": name, "samples": sampling.samples, "seen": seen}
        found.append(told | {"pairs": sampling.pairs, "key": key})
    return found
