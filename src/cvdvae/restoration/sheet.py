"""Pictures that show a result: a grid of small images, a contact sheet of a large one, motion."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..degradations.bicubic import upscale_bicubic
from ..errors import InputError
from ..files import write_atomically
from ..gaussian.noise import Window
from ..imaging.carried import Extras
from ..imaging.io import to_pil
from ..imaging.sheets import TILE, heat_map, labelled_sheet, with_scale_bar
from .regions import Region, most_uncertain

REGIONS, SHOWN = 6, 5
"""How many regions a contact sheet has, and how many samples it shows of each."""
FRAME_SECONDS = 0.4
WEBP_SIDE = 16_383
"""Most pixels a side that WebP holds."""

Tile = tuple[str, Image.Image]


class Sampled(Protocol):
    """Samples, as any result has them; see `Answers`."""

    @property
    def pixels(self) -> Tensor: ...  # noqa: D102
    @property
    def std(self) -> Tensor: ...  # noqa: D102
    @property
    def truth(self) -> Tensor | None: ...  # noqa: D102


class Shown(Sampled, Protocol):
    """What is shown of a result; see `SuperResolution`, which has it all."""

    @property
    def y(self) -> Tensor: ...  # noqa: D102
    @property
    def scale(self) -> int: ...  # noqa: D102
    @property
    def mean(self) -> Tensor: ...  # noqa: D102
    @property
    def bicubic(self) -> Tensor: ...  # noqa: D102


def summary_row(result: Shown, samples: int) -> list[Tile]:
    """Labelled tiles: LR, bicubic, the first samples, their mean and std, and the truth."""
    tiles = [
        (f"input, 1/{result.scale} size", to_pil(enlarged(result))),
        ("bicubic", to_pil(result.bicubic)),
    ]
    tiles += [(f"sample {i}", to_pil(one)) for i, one in enumerate(result.pixels[:samples])]
    tiles.append(("mean", to_pil(result.mean)))
    if len(result.pixels) > 1:
        tiles.append(("where they differ", heat(result.std, result.std)))
    if result.truth is not None:
        tiles.append(("the real photo", to_pil(result.truth)))
    return tiles


def sheet(result: Shown, footer: str) -> Image.Image:
    """One picture of a result: all of it where it is small, else where its samples differ most."""
    if max(result.std.shape) > TILE:
        return contact_sheet(result, footer)
    return labelled_sheet([summary_row(result, samples=0), *_in_rows(result)], footer)


class Restored(Sampled, Protocol):
    """What is shown of a restoration; see `Restoration`."""

    @property
    def shown(self) -> Tensor: ...  # noqa: D102
    @property
    def mean(self) -> Tensor: ...  # noqa: D102


def restored_sheet(result: Restored, footer: str) -> Image.Image:
    """As `sheet`, of a restoration: with what was seen, at the size of the samples."""
    if max(result.shown.shape) > TILE:
        rows = rows_of(result, lambda window: {"seen": result.shown[:, *window.slices]})
        return labelled_sheet(rows, footer)
    first = [("seen", to_pil(result.shown)), ("mean", to_pil(result.mean))]
    if len(result.pixels) > 1:
        first.append(("where they differ", heat(result.std, result.std)))
    if result.truth is not None:
        first.append(("the real image", to_pil(result.truth)))
    return labelled_sheet([first, *_in_rows(result)], footer)


def _in_rows(result: Sampled) -> list[list[Tile]]:
    """Labelled tiles of all samples, four or eight a row."""
    tiles = [(f"sample {i}", to_pil(one)) for i, one in enumerate(result.pixels)]
    columns = 4 if len(tiles) <= 8 else 8
    return [tiles[i : i + columns] for i in range(0, len(tiles), columns)]


def contact_sheet(result: Shown, footer: str) -> Image.Image:
    """The regions where the samples differ most, one a row, every pixel a pixel."""
    return labelled_sheet(region_rows(result, REGIONS), footer)


def region_rows(result: Shown, count: int) -> list[list[Tile]]:
    """Labelled tiles of the regions where the samples differ most, one region a row."""

    def seen(window: Window) -> dict[str, Tensor]:
        return seen_at_low_resolution(result.y, result.scale, window)

    return rows_of(result, seen, count)


def rows_of(
    result: Sampled, seen: Callable[[Window], dict[str, Tensor]], count: int = REGIONS
) -> list[list[Tile]]:
    """As `region_rows`, with what is to be shown of what was seen in a window."""
    std = result.std
    return [
        region_row(Part.of(result, seen(region.window), region.window), region, float(std.max()))
        for region in most_uncertain(std, TILE, count)
    ]


@dataclass(frozen=True)
class Part:
    """What is shown of a region of a result.

    Attributes:
        seen: What was seen, by what it is called, ``(C, h, w)`` in [0, 1].
        pixels: The first samples, uint8 ``(n, C, h, w)``.
        std: Where they differ, ``(h, w)``.
        truth: The true image, where it is known.
    """

    seen: dict[str, Tensor]
    pixels: Tensor
    std: Tensor
    truth: Tensor | None

    @classmethod
    def of(cls, result: Sampled, seen: dict[str, Tensor], window: Window) -> "Part":
        """A region of a result in memory."""
        inside = window.slices
        truth = None if result.truth is None else result.truth[:, *inside]
        pixels = result.pixels[:SHOWN, :, *inside]
        return cls(seen, pixels, result.std[inside], truth)


def seen_at_low_resolution(y: Tensor, scale: int, window: Window) -> dict[str, Tensor]:
    """What is shown of a small image beside its samples, for `Part`; as `lr_part`."""
    lr, bicubic = lr_part(y, scale, window)
    return {"input": lr, "bicubic": bicubic}


def lr_part(y: Tensor, scale: int, window: Window) -> tuple[Tensor, Tensor]:
    """The input and its bicubic interpolation in a window of the high-resolution image.

    Args:
        y: The whole input, ``(C, h, w)``.
        scale: By what it is enlarged.
        window: The window.
    """
    frame = 4  # bicubic interpolation sees two pixels on either side
    top, left = (max(0, start // scale - frame) for start in window[:2])
    bottom, right = (
        (start + length) // scale + frame + 1
        for start, length in zip(window[:2], window[2:], strict=True)
    )
    near = y[None, :, top:bottom, left:right]
    height, width = (scale * side for side in near.shape[2:])
    inside = Window(window.top - scale * top, window.left - scale * left, *window[2:]).slices
    flat = F.interpolate(near, scale_factor=scale)[0]
    return flat[:, *inside], upscale_bicubic(near, (height, width))[0][:, *inside]


def region_row(part: Part, region: Region, largest: float) -> list[Tile]:
    """Labelled tiles of a region; `largest` is the standard deviation that is shown brightest.

    One sample alone has nothing to differ from.
    """
    top, left, _, _ = region.window
    row = [(name, to_pil(one)) for name, one in part.seen.items()]
    row[0] = (f"{row[0][0]}, row {top}, column {left}", row[0][1])
    row += [(f"sample {i}", to_pil(one)) for i, one in enumerate(part.pixels)]
    if len(part.pixels) > 1:
        differ = heat_map(part.std / max(largest, 1e-6))
        row.append((f"they differ by {region.std * 255:.0f} levels", differ))
    if part.truth is not None:
        row.append(("the real photo", to_pil(part.truth)))
    return row


def enlarged(result: Shown) -> Tensor:
    """The input with every pixel as large as it stands for, ``(C, H, W)``."""
    scaled: Tensor = F.interpolate(result.y[None], scale_factor=result.scale)[0]
    return scaled


def heat(std: Tensor, whole: Tensor) -> Image.Image:
    """A map of the standard deviation, on the scale of the `whole` image's."""
    return heat_map(std / whole.max().clamp(min=1e-6))


def std_picture(std: Tensor) -> Image.Image:
    """`std.png`: the standard deviation, ``(H, W)``, beside its scale."""
    return with_scale_bar(heat(std, std), float(std.max()) * 255)


def check_animation(kind: str | None, height: int, width: int) -> None:
    """Refuse what an animation cannot hold, before anything is drawn.

    Raises:
        InputError: There is no such kind, or a side is too long for WebP.
    """
    if kind not in (None, "webp", "apng"):
        raise InputError(f"there is no animation '{kind}': take webp or apng")
    if kind == "webp" and max(height, width) > WEBP_SIDE:
        raise InputError(
            f"WebP holds at most {WEBP_SIDE} pixels a side, not {width}×{height}: "
            f"take --animation apng"
        )


def save_animation(result: Shown, path: Path, extras: Extras = Extras()) -> None:
    """The samples one after the other, as WebP or PNG: what moves is invented.

    Args:
        result: The result.
        path: The file, `.webp` or `.apng`.
        extras: What the input's file carried beside its colours.

    Raises:
        OutputError: The file cannot be written.
    """
    frames = [extras.added_to(to_pil(one)) for one in result.pixels]

    def write(temporary: Path) -> None:
        frames[0].save(
            temporary,
            format="PNG" if path.suffix == ".apng" else "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=int(1000 * FRAME_SECONDS),
            loop=0,
            lossless=True,
            icc_profile=extras.icc_profile,
            exif=extras.exif or b"",
        )

    write_atomically(path, write)
