"""Whether samples look like the images of a folder: detected faces, and the kernel distance.

Both are measures of a set, so they have a table of their own: one sample of every image and row of
the main table, the same that stands first there, beside the true images.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..files import write_text
from ..metrics.perceptual import LPIPS
from ..metrics.realism import FaceDetector, detected, kernel_distance
from .evaluate import Plan, Row, rows_of
from .selection import Failures
from .table import Figure, name_of
from .task import Task

LEAST = 6
"""Images: the true ones are compared by halves, and a kernel distance needs three in each."""
TITLES = ("", "detected faces, % ↑", "kernel distance ×10³ ↓")


@dataclass(frozen=True)
class Likeness:
    """How much the images of one row look like real ones.

    Attributes:
        name: The row's name.
        detected: Share in which a face is found, in per cent, where the detector is as sure as it
            is of 99 % of the true images; None without a detector.
        distance: Squared maximum mean discrepancy to the true images, see `kernel_distance`.
    """

    name: str
    detected: Figure | None
    distance: Figure

    def cells(self) -> list[str]:
        """As a line of a table with `TITLES`."""
        share = "–" if self.detected is None else _show(self.detected, 1.0, 1)
        return [self.name, share, _show(self.distance, 1e3, 2)]


def likenesses(
    plan: Plan,
    tasks: Sequence[Task],
    judge: LPIPS,
    detector: FaceDetector | None,
    failures: Failures,
    on_image: Callable[[str], None] | None = None,
) -> Iterator[Likeness]:
    """Judge one sample of every image at every row, and the true images by halves.

    Args:
        plan: As for `evaluate`.
        tasks: As for `evaluate`.
        judge: Whose network the features are of.
        detector: Of faces; None where the images are of something else.
        failures: Images that could not be used: they are left out.
        on_image: Called after every image of every task with its name.

    Raises:
        InputError: There are fewer than `LEAST` images.
    """
    paths = [path for path in plan.selection.paths() if path.name not in failures]
    if len(paths) < LEAST:
        raise InputError(f"realism needs at least {LEAST} images, not {len(paths)}")
    for task in tasks:
        real, seen = _Set(judge, detector), dict[Row, _Set]()
        for number, path in enumerate(plan.selection.paths()):
            if path not in paths:
                continue
            truth, y = task.pair(plan.selection, path)
            real.add(truth)
            for method in task.methods:
                for row in rows_of(task, method, plan):
                    x = method.draw(y, 1, row.temperature or 0.0, plan.seed + number)
                    pixels = task.finish(x, y, row.projected).pixels[0]
                    seen.setdefault(row, _Set(judge, detector)).add(pixels.float() / 255)
            if on_image is not None:
                on_image(path.name)
        half = len(paths) // 2
        yield Likeness(
            f"{task.damage or f'×{task.scale}'} true images, by halves",
            None if detector is None else _share(real, real),
            Figure(*kernel_distance(real.features[:half], real.features[half : 2 * half])),
        )
        for row, images in seen.items():
            share = None if detector is None else _share(images, real)
            distance = Figure(*kernel_distance(images.features, real.features))
            yield Likeness(name_of(row), share, distance)


class _Set:
    """Images, of which only features and the surest face are kept."""

    def __init__(self, judge: LPIPS, detector: FaceDetector | None) -> None:
        self.judge, self.detector = judge, detector
        self._features: list[Tensor] = []
        self._scores: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        """One image, ``(C, H, W)`` in [0, 1]."""
        self._features.append(self.judge.features(x[None]))
        if self.detector is not None:
            self._scores.append(self.detector(x[None].expand(-1, 3, -1, -1)))

    @property
    def features(self) -> Tensor:
        return torch.cat(self._features)

    @property
    def scores(self) -> Tensor:
        return torch.cat(self._scores)


def _share(images: _Set, real: _Set) -> Figure:
    share, error = detected(images.scores, real.scores)
    return Figure(100 * share, 100 * error)


def _show(figure: Figure, factor: float, digits: int) -> str:
    assert figure.mean is not None
    assert figure.standard_error is not None
    return f"{figure.mean * factor:.{digits}f} ± {figure.standard_error * factor:.{digits}f}"


def write_likenesses(found: Sequence[Likeness], out: Path) -> None:
    """Write ``realism.md`` and ``realism.json``.

    Raises:
        OutputError: `out` cannot be written.
    """
    rule = ["---", *["---:"] * (len(TITLES) - 1)]
    lines = [list(TITLES), rule, *(one.cells() for one in found)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    write_text(out / "realism.md", text + "\n")
    content = json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False)
    write_text(out / "realism.json", content + "\n")
