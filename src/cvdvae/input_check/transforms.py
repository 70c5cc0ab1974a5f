"""What could have been wrong with a low-resolution image, undone: turns, shifts, zooms, sharpness.

Each repair makes another image of the same size from y. Where there was a defect, y repaired is
likelier under a model than y; on a proper image all but the smoothing do harm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Family = Literal["turned", "shifted", "zoomed", "too sharp", "too soft"]

ZOOM = 1.4
"""Factor of the zooms: less is seldom noticed, more would leave too little of the face."""

SMOOTHING, SHARPENING, COLOUR_SMOOTHING = 0.2, -0.1, 0.25
"""Weight w of the two neighbours in the filter ``(w, 1 − 2w, w)`` along both sides."""

LUMA = (0.299, 0.587, 0.114)

SMALLEST = 8
"""Side below which neither a shift nor a zoom can be told: too much of the border would be made up.
"""


@dataclass(frozen=True)
class Repair:
    """One repair.

    Attributes:
        family: The defect that it undoes.
        apply: ``y -> y'``, images in [0, 1], ``(N, 3, h, w)``.
        complaint: For repairs of the framing: what was wrong if it helps.
        advice: And what to do then.
    """

    family: Family
    apply: Callable[[Tensor], Tensor]
    complaint: str = ""
    advice: str = ""


def repairs(size: int) -> dict[str, Repair]:
    """All repairs of images of `size` pixels a side, by name.

    Shifts are whole pixels, an eighth and a quarter of the side: parts of one would smooth, too.
    Below `SMALLEST` there are only turns and filters.
    """
    known = _turns()
    if size >= SMALLEST:
        known |= _shifts(size // 8, "an eighth") | _shifts(size // 4, "a quarter") | _zooms()
    return known | {
        "smooth": Repair("too sharp", lambda y: filtered(y, SMOOTHING).clamp(0, 1)),
        "smooth colours": Repair("too sharp", smooth_colours),
        "sharpen": Repair("too soft", lambda y: filtered(y, SHARPENING).clamp(0, 1)),
    }


def _turns() -> dict[str, Repair]:
    words = {
        1: ("The face seems to lie on its side.", "Turn it by 90° anticlockwise."),
        2: ("The face seems to be upside down.", "Turn it by 180°."),
        3: ("The face seems to lie on its side.", "Turn it by 90° clockwise."),
    }
    return {
        f"turn {90 * k}": Repair("turned", partial(torch.rot90, k=k, dims=(2, 3)), *said)
        for k, said in words.items()
    }


def _shifts(step: int, part: str) -> dict[str, Repair]:
    """Moves of the picture; what was wrong is the other way round."""
    ways = {
        "right": (step, 0, "far to the left", "left"),
        "left": (-step, 0, "far to the right", "right"),
        "down": (0, step, "high", "up"),
        "up": (0, -step, "low", "down"),
    }
    return {
        f"{step} {way}": Repair(
            "shifted",
            partial(shifted, right=right, down=down),
            f"The face seems to lie too {place}.",
            f"Move the frame {frame} by about {part} of its side.",
        )
        for way, (right, down, place, frame) in ways.items()
    }


def _zooms() -> dict[str, Repair]:
    return {
        "shrink": Repair(
            "zoomed",
            partial(zoomed, factor=1 / ZOOM),
            "The face seems to fill too much of the image.",
            "Widen the frame.",
        ),
        "enlarge": Repair(
            "zoomed",
            partial(zoomed, factor=ZOOM),
            "The face seems to be too small in the image.",
            "Narrow the frame.",
        ),
    }


def shifted(y: Tensor, right: int, down: int) -> Tensor:
    """Move pictures by whole pixels; the border is repeated."""
    margin = max(abs(right), abs(down))
    padded = F.pad(y, (margin,) * 4, mode="replicate")
    height, width = y.shape[2:]
    top, left = margin - down, margin - right
    return padded[:, :, top : top + height, left : left + width]


def zoomed(y: Tensor, factor: float) -> Tensor:
    """Enlarge pictures about their centre by bicubic interpolation; the border is repeated."""
    scale = torch.eye(2, 3, dtype=y.dtype, device=y.device)[None] / factor
    grid = F.affine_grid(scale.expand(len(y), -1, -1), list(y.shape), align_corners=False)
    moved = F.grid_sample(y, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)


def filtered(y: Tensor, weight: float) -> Tensor:
    """``(w, 1 − 2w, w)`` along both sides; a negative w sharpens."""
    channels = y.shape[1]
    line = y.new_tensor([weight, 1 - 2 * weight, weight])
    kernel = (line[:, None] * line).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(y, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)


def luma_of(y: Tensor) -> Tensor:
    """Luma of images ``(N, C, h, w)``, ``(N, 1, h, w)``; of other than colours, their mean."""
    if y.shape[1] != len(LUMA):
        return y.mean(1, keepdim=True)
    weights = torch.tensor(LUMA, dtype=torch.float32, device=y.device)
    return (y * weights[:, None, None]).sum(1, keepdim=True)


def smooth_colours(y: Tensor) -> Tensor:
    """Smooth what remains without the luma."""
    luma = luma_of(y)
    return (luma + filtered(y - luma, COLOUR_SMOOTHING)).clamp(0, 1)
