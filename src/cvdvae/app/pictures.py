"""Pictures of a session, at the size in which the page shows them."""

import io
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from gradio.processing_utils import hash_bytes
from gradio.utils import get_upload_folder
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from ..imaging.carried import ORIENTATION
from ..imaging.crop import Square, size_within
from ..imaging.io import png_in_base64, to_pil
from ..imaging.sheets import heat_map
from ..restoration.answers import answering
from ..restoration.result import SuperResolution
from ..restoration.sums import FULL_HEAT

_NUMBERS = itertools.count()

SIDE = 256
PAINTER_SIDE = 512
"""Longer side of a picture that is painted on."""
FULL_MAP = FULL_HEAT
"""The standard deviation that maps of faces and of what is damaged show as their brightest, in
levels of 255. Photographs that are only enlarged differ by less: they have a map of their own, in
`photos/patches.js`."""


def smooth(image: Tensor, side: int = SIDE) -> Image.Image:
    """An image ``(3, H, W)``, enlarged without steps."""
    return to_pil(image).resize((side, side), Image.Resampling.LANCZOS)


def fitted(image: Image.Image, how: Image.Resampling, side: int = SIDE) -> Image.Image:
    """An image enlarged so that its longer side has `side` pixels; a larger one as it is."""
    return image if max(image.size) >= side else image.resize(size_within(image.size, side), how)


def stored(picture: Image.Image) -> str:
    """A picture as a file where Gradio keeps what it shows, written once and whole.

    A gallery that grows is given every picture again. Gradio would write their files anew each
    time, while a browser may be reading them.
    """
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    path = Path(get_upload_folder()) / hash_bytes(packed.getvalue()) / "image.png"
    try:
        os.utime(path)  # while it is shown anew, it is kept
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)  # within what is there for as long as the page is
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(packed.getvalue())
        Path(file.name).replace(path)
    return str(path)


def to_paint(image: Tensor) -> dict[str, Any]:
    """What a painter shows of an image ``(3, H, W)``, not painted on yet.

    No two values are the same, or the browser would keep what was painted when the same image comes
    again.
    """
    height, width = image.shape[1:]
    size = size_within((width, height), PAINTER_SIDE)
    picture = inline(to_pil(image).resize(size, Image.Resampling.LANCZOS))
    return {"picture": picture, "width": width, "height": height, "number": next(_NUMBERS)}


def pixels(image: Tensor, side: int = SIDE) -> Image.Image:
    """An image ``(3, h, w)``, enlarged so that its pixels can be seen."""
    return to_pil(image).resize((side, side), Image.Resampling.NEAREST)


def framed(photo: Image.Image, square: Square) -> Image.Image:
    """A photo that is dark outside of the frame."""
    dark = Image.eval(photo, lambda value: value // 3)
    dark.paste(square.cut(photo), (square.left, square.top))
    right, bottom = square.left + square.side - 1, square.top + square.side - 1
    ImageDraw.Draw(dark).rectangle(
        (square.left, square.top, right, bottom), outline="#ff2d78", width=3
    )
    return dark


def wipe(y: Tensor, sample: Tensor, number: int) -> str:
    """The low-resolution image under a sample, with a slider that uncovers one or the other."""
    return (
        '<div class="wipe">'
        f'<img src="{inline(pixels(y))}" alt="Your image">'
        f'<img class="over" src="{inline(smooth(sample))}" alt="Sample {number}">'
        '<input type="range" value="50" aria-label="Uncover your image or the sample" '
        "oninput=\"this.parentElement.style.setProperty('--at', this.value + '%')\"></div>"
    )


def inline(image: Image.Image) -> str:
    """An image as an address that holds it."""
    return f"data:image/png;base64,{png_in_base64(image, small=False)}"


def disagreement(result: SuperResolution) -> tuple[Image.Image, float] | tuple[None, None]:
    """The map of where the samples disagree, and its largest value in levels of 255; of one answer
    there is none."""
    if len(answering(result.exploded)) < 2:
        return None, None
    levels = result.std * 255
    heat = heat_map(levels / FULL_MAP)
    return heat.resize((SIDE, SIDE), Image.Resampling.NEAREST), float(levels.max())


def rectangle(part: tuple[float, float, float, float], side: int) -> Tensor:
    """The region between top, left, bottom and right, in shares of the side."""
    top, left, bottom, right = (round(share * side) for share in part)
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def thumbnail(image: Image.Image, square: Square, side: int = 480) -> tuple[Image.Image, Square]:
    """A small picture of a photo, and a frame in its pixels."""
    side = min(side, max(image.size))
    small = Square(*(round(v * side / max(image.size)) for v in square))
    return image.resize(size_within(image.size, side)), small._replace(side=max(1, small.side))


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """A picture turned upright that lies as this number of EXIF says."""
    image.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)
