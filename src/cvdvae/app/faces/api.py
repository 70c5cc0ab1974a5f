"""The same for programs: one stateless call, `/upscale`, for `gradio_client`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ...configs import from_dict
from ...errors import CVDVAEError, InputError
from ..archive import scratch, zip_of
from ..controls import file_image
from ..recipes import settings_for
from . import text
from .explorer import MAX_SAMPLES, Explorer, Kind, Method
from .framing import Framing


def add_api(explorer: Explorer) -> None:
    """Offer `/upscale` on the page that is being built."""

    def upscale(
        image: str | None,
        kind: Kind,
        scale: int,
        method: Method,
        sampling: dict[str, Any],
        frame: dict[str, float],
    ) -> Iterator[tuple[list[str], str, dict[str, Any]]]:
        """Draw what could be behind an image.

        `sampling` has the settings and steps of `result.json`, `frame` x, y and side in shares of
        the photo; what is left out is as recommended, or found. The files are the samples, and a
        zip of everything.
        """
        try:
            if image is None:
                raise InputError("an image is needed")
            model = explorer.model(scale, method)
            settings = settings_for(model, sampling)
            if settings.samples > MAX_SAMPLES:
                raise InputError(f"at most {MAX_SAMPLES} samples at once")
            framing, by = from_dict(Framing, frame or {}, "frame"), settings.shrunk_by
            seen = explorer.look(Path(image), kind, model, framing, by)
            for session in explorer.start(seen, model, settings):
                result = session.result
        except CVDVAEError as error:
            raise gr.Error(
                str(error).replace(str(image), "the image"), print_exception=False
            ) from None
        with scratch() as name:
            archive = zip_of(result, Path(name))
            files = sorted(str(path) for path in Path(name).glob("sample_*.png"))
            yield files, str(archive), result.report() | {"notes": list(seen.notes)}

    button = gr.Button(visible=False)
    button.click(
        upscale,
        [
            file_image(visible=False, label="image"),
            gr.Radio(list(text.KINDS.values()), value="photo", visible=False, label="kind"),
            gr.Radio(explorer.scales, value=explorer.scales[0], visible=False, label="scale"),
            gr.Radio(explorer.methods, value=explorer.methods[0], visible=False, label="method"),
            gr.JSON({}, visible=False, label="sampling"),
            gr.JSON({}, visible=False, label="frame"),
        ],
        [
            gr.File(file_count="multiple", visible=False, label="samples"),
            gr.File(visible=False, label="archive"),
            gr.JSON(visible=False, label="result"),
        ],
        api_name="upscale",
        concurrency_id="draw",
        concurrency_limit=1,
    )
