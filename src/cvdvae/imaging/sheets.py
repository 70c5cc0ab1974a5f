"""Pictures for people: sheets of labelled tiles, and heat maps with their scale."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .crop import size_within
from .io import save_png, to_bytes

TILE = 160
MARGIN = 10
LABEL = 20
INK, PAPER, FAINT = (25, 25, 30), (255, 255, 255), (110, 110, 120)
# Five anchors of matplotlib's perceptually uniform map "inferno" (CC0).
HEAT = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float64
)


def heat_map(values: Tensor) -> Image.Image:
    """Colour a map ``(H, W)`` of values in [0, 1], dark for 0."""
    position = values.detach().cpu().clamp(0, 1).double().numpy()
    anchors = np.linspace(0, 1, len(HEAT))
    colours = [np.interp(position, anchors, channel).round() for channel in HEAT.T]
    return Image.fromarray(np.stack(colours, -1).astype(np.uint8))


def with_scale_bar(heat: Image.Image, largest: float) -> Image.Image:
    """A heat map enlarged, beside a bar from 0 to `largest` levels of 255."""
    zoom = max(1, min(2 * TILE // heat.height, 8 * TILE // heat.width))
    enlarged = heat.resize((heat.width * zoom, heat.height * zoom), Image.Resampling.NEAREST)
    width, height = enlarged.width, max(enlarged.height, TILE)  # the bar needs some room
    picture = Image.new("RGB", (width + 90, height), PAPER)
    picture.paste(enlarged, (0, 0))
    ramp = torch.linspace(1, 0, height - 40)[:, None].expand(-1, 16)
    picture.paste(heat_map(ramp), (width + 12, 20))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for share in (0.0, 0.5, 1.0):
        y = 20 + (1 - share) * (height - 41)
        draw.text((width + 34, y), f"{share * largest:.0f} / 255", INK, font, anchor="lm")
    return picture


def labelled_sheet(rows: list[list[tuple[str, Image.Image]]], footer: str) -> Image.Image:
    """Rows of labelled tiles, enlarged without smoothing, above a line of text."""
    columns = max(max(len(row) for row in rows), 4)
    whole = MARGIN + columns * (TILE + MARGIN)
    below = MARGIN + len(rows) * (TILE + LABEL + MARGIN)
    sheet = Image.new("RGB", (whole, below + LABEL), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for r, row in enumerate(rows):
        for c, (label, tile) in enumerate(row):
            left = MARGIN + c * (TILE + MARGIN)
            top = MARGIN + r * (TILE + LABEL + MARGIN)
            draw.text((left, top), label, INK, font)
            enlarged = tile.resize(size_within(tile.size, TILE), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left, top + LABEL))
    draw.text((MARGIN, below - 2), footer, FAINT, ImageFont.load_default(12))
    return sheet


def save_tiles(path: Path, images: Tensor, columns: int, zoom: int = 2) -> None:
    """Write equally large images ``(N, C, H, W)`` in [0, 1], C = 1 or 3, as one PNG, row by row."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1), columns * (width + 1), 3), 255, np.uint8)
    for i, tile in enumerate(to_bytes(images).permute(0, 2, 3, 1).numpy()):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    picture = Image.fromarray(sheet)
    size = (picture.width * zoom, picture.height * zoom)
    save_png(path, picture.resize(size, Image.Resampling.NEAREST))
