"""The same for programs: one stateless call, `/enlarge`, for `gradio_client`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import CVDVAEError, InputError
from ..archive import kept, scratch
from ..controls import file_image
from ..recipes import settings_for
from . import text
from .explorer import Photos, Session
from .text import Kind
from .whole import Whole


def add_api(photos: Photos) -> None:
    """Offer `/enlarge` on the page that is being built."""

    def enlarge(
        image: str | None, kind: Kind, scale: int, sampling: dict[str, Any]
    ) -> Iterator[tuple[Any, Any]]:
        """Draw what could be behind a photograph of any size.

        `sampling` has the settings of `result.json`; what is left out is as recommended. The files
        are the samples and `result.json`.
        """
        with scratch() as folder:
            try:
                if image is None:
                    raise InputError("a photograph is needed")
                whole = Whole(
                    photos, *_asked(photos, Path(image), kind, scale, sampling), Path(folder)
                )
                for _ in whole.draw():
                    yield gr.skip(), gr.skip()  # the queue ends here what nobody waits for
            except CVDVAEError as error:
                raise gr.Error(
                    str(error).replace(str(image), "the photograph"), print_exception=False
                ) from None
            report = whole.report() | {"notes": list(whole.session.photo.notes)}
            yield [str(kept(path)) for path in whole.with_report()], report

    button = gr.Button(visible=False)
    button.click(
        enlarge,
        [
            file_image(visible=False, label="image"),
            gr.Radio(list(text.KINDS.values()), value="enlarge", visible=False, label="kind"),
            gr.Radio(photos.scales, value=photos.scales[-1], visible=False, label="scale"),
            gr.JSON({}, visible=False, label="sampling"),
        ],
        [
            gr.File(file_count="multiple", visible=False, label="samples"),
            gr.JSON(visible=False, label="result"),
        ],
        api_name="enlarge",
        concurrency_id="whole",
        concurrency_limit=1,
    )


def _asked(
    photos: Photos, image: Path, kind: Kind, scale: int, named: Any
) -> tuple[Session, int, list[int]]:
    """The session, step and samples that settings ask for; those not named are the model's own."""
    sampling = settings_for(photos.model(scale), named)
    photo = photos.look(image, kind, scale, sampling.shrunk_by)
    photos.check(sampling, photo)
    return Session(photo, (sampling,)), 0, list(range(sampling.samples))
