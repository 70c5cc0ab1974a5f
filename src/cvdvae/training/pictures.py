"""What a training shows of itself at every validation: a row of pictures for each thing shown."""

from pathlib import Path

from torch import Tensor

from ..imaging.io import in_sight, save_png, to_pil
from ..imaging.sheets import labelled_sheet
from ..restoration.result import DISCLAIMER


def save_rows(path: Path, rows: list[tuple[str, Tensor]]) -> None:
    """Write rows of images ``(n, C, H, W)`` in [0, 1], each with what it is, as one PNG.

    Channels that are no colours are not shown, but for the first, in grey.

    Raises:
        OutputError: It cannot be written.
    """
    tiles = [
        [(label if i == 0 else "", to_pil(in_sight(image))) for i, image in enumerate(images.cpu())]
        for label, images in rows
    ]
    save_png(path, labelled_sheet(tiles, DISCLAIMER))
