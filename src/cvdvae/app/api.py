"""The same for programs: one stateless call, `/upscale`, for `gradio_client`."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..configs import from_dict
from ..errors import CVDVAEError, InputError
from ..sampling import Sampling
from . import words
from .events import zip_of
from .explorer import MAX_SAMPLES, Explorer, Framing, Kind, Method
from .layout import file_image


def add_api(explorer: Explorer) -> None:
    """Offer `/upscale` on the page that is being built."""

    def upscale(
        image: str | None,
        kind: Kind,
        scale: int,
        method: Method,
        samples: int,
        temperature: float | None,
        encoder_temperature: float | None,
        seed: int,
        consistent: bool,
        frame: dict[str, float] | None,
        steps: list[dict[str, Any]] | None,
    ) -> Iterator[tuple[list[str], str, dict[str, Any]]]:
        """Draw what could be behind an image.

        `steps` steers, as in `result.json`; the files are the samples, and a zip of everything.
        """
        try:
            if image is None:
                raise InputError("an image is needed")
            if samples > MAX_SAMPLES:
                raise InputError(f"at most {MAX_SAMPLES} samples at once")
            model = explorer.model(scale, method)
            sampling = model.sampling(
                int(samples), temperature, int(seed), encoder_temperature, consistent
            )
            sampling = replace(sampling, steps=_steps(steps))
            seen = explorer.look(Path(image), kind, model, Framing(**(frame or {})))
            for session in explorer.start(seen, model, sampling):
                result = session.result
        except (CVDVAEError, TypeError) as error:
            raise gr.Error(
                str(error).replace(str(image), "the image"), print_exception=False
            ) from None
        with tempfile.TemporaryDirectory(prefix="cvdvae-") as name:
            archive = zip_of(result, Path(name))
            files = sorted(str(path) for path in Path(name).glob("sample_*.png"))
            yield files, str(archive), result.report()

    button = gr.Button(visible=False)
    button.click(
        upscale,
        [
            file_image(visible=False, label="image"),
            gr.Radio(list(words.KINDS.values()), value="photo", visible=False, label="kind"),
            gr.Radio(explorer.scales, value=explorer.scales[0], visible=False, label="scale"),
            gr.Radio(explorer.methods, value=explorer.methods[0], visible=False, label="method"),
            gr.Number(8, precision=0, visible=False, label="samples"),
            gr.Number(None, visible=False, label="temperature"),
            gr.Number(None, visible=False, label="encoder_temperature"),
            gr.Number(0, precision=0, visible=False, label="seed"),
            gr.Checkbox(True, visible=False, label="consistent"),
            gr.JSON(None, visible=False, label="frame"),
            gr.JSON(None, visible=False, label="steps"),
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


def _steps(data: Any) -> Any:
    """Steps of steering from plain data, checked as those of a file."""
    if isinstance(data, str):
        data = json.loads(data)
    plain = {"samples": MAX_SAMPLES, "steps": data or []}
    return from_dict(Sampling, plain, "steps").steps
