"""Whether samples look like the images of a folder: detected faces, and the kernel distance.

Both are measures of a set, so they have a table of their own: one sample of every image and row of
the main table, the same that stands first there, beside the true images.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..files import write_text
from ..metrics.perceptual import LPIPS
from ..metrics.realism import FaceDetector, detected, kernel_distance
from .evaluate import answers
from .measure import Column, Judges
from .plan import Plan, Row
from .selection import Failures
from .table import Figure, counted, name_of, rows_as_markdown
from .task import Task

LEAST = 6
"""Images: the true ones are compared by halves, and a kernel distance needs three in each."""
DETECTED = Column("detected", "detected faces, % ↑", digits=1)
DISTANCE = Column("distance", "kernel distance ×10³ ↓", 1e3)
HEADER = ["", DETECTED.title, DISTANCE.title]


@dataclass(frozen=True)
class Likeness:
    """How much the images of one row look like real ones.

    Attributes:
        name: The row's name.
        images: How many were judged, by one sample of each.
        detected: Share in which a face is found, in per cent, where the detector is as sure as it
            is of 99 % of the true images; without a mean where that is not known.
        distance: Squared maximum mean discrepancy to the true images, see `kernel_distance`;
            without a mean where fewer than 3 samples are images at all.
    """

    name: str
    images: int
    detected: Figure
    distance: Figure

    def cells(self) -> list[str]:
        """As a line of a table with `HEADER`."""
        return [self.name, self.detected.show(DETECTED), self.distance.show(DISTANCE)]


def judge_of(plan: Plan, judges: Judges) -> LPIPS:
    """The network that the features are of.

    Raises:
        InputError: It is not at hand, or the images are too few to be judged.
    """
    if judges.lpips is None:
        raise InputError(f"realism needs the network of LPIPS: {judges.missing['LPIPS']}")
    check_enough(len(plan.selection))
    return judges.lpips


def check_enough(images: int, asked: bool = True) -> None:
    """Refuse to judge realism on few images, where that is asked for at all.

    Raises:
        InputError: They are too few.
    """
    if asked and images < LEAST:
        raise InputError(f"realism needs at least {LEAST} images, not {images}")


def likenesses(
    plan: Plan,
    tasks: Sequence[Task],
    judge: LPIPS,
    detector: FaceDetector | None,
    failures: Failures,
    on_image: Callable[[str], None] = lambda name: None,
) -> Iterator[Likeness]:
    """Judge one sample of every image at every row, and the true images by halves.

    A sample that exploded shows no face, and its distance to the true images is not measured.

    Args:
        plan: As for `evaluate`.
        tasks: As for `evaluate`.
        judge: As `judge_of` gives it.
        detector: Of faces; None where the images are of something else.
        failures: Images that could not be used, `unused` of all failures: they are left out.
        on_image: Called after every image of every task with its name.

    Raises:
        InputError: Those that can be used are too few to be judged.
    """
    check_enough(len(plan.selection) - len(failures))
    for task in tasks:
        real, seen = _Set(judge, detector), dict[Row, _Set]()
        for number, path in enumerate(plan.selection.paths()):
            if path.name not in failures:
                truth, y = task.pair(plan.selection, path)
                real.add(truth)
                for row, done in answers(plan, task, y, plan.seed + number, 1):
                    images = seen.setdefault(row, _Set(judge, detector))
                    images.add(None if done.exploded[0] else done.pixels[0].float() / 255)
            on_image(path.name)
        half = len(real.features) // 2
        first, second = real.part(slice(half)), real.part(slice(half, None))
        true = Row(task.scale, "true images, by halves", None, False, task.damage)
        yield Likeness(
            name_of(true),
            len(real.features),
            second.detected(first),
            _distance(torch.stack(first.features), torch.stack(second.features[:half])),
        )
        for row, images in seen.items():
            both = zip(images.features, real.features, strict=True)
            pairs = [(x, y) for x, y in both if len(x)]
            alike = [torch.stack(list(part)) for part in zip(*pairs, strict=True)]
            distance = _distance(*alike) if len(pairs) > 2 else Figure(None, None)
            count = len(images.features)
            yield Likeness(name_of(row), count, images.detected(real), distance)


@dataclass
class _Set:
    """Images, of which only features and the surest face are kept, none of one that exploded."""

    judge: LPIPS
    detector: FaceDetector | None
    features: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)

    def add(self, x: Tensor | None) -> None:
        """One image, ``(C, H, W)`` in [0, 1]."""
        self.features.append(torch.zeros(0) if x is None else self.judge.features(x[None])[0])
        if self.detector is not None:
            nothing = torch.zeros(1, dtype=torch.float64)
            found = nothing if x is None else self.detector(x[None].expand(-1, 3, -1, -1))
            self.scores.append(found)

    def part(self, which: slice) -> "_Set":
        """Some of them."""
        return _Set(self.judge, self.detector, self.features[which], self.scores[which])

    def detected(self, real: "_Set") -> Figure:
        """Share in per cent, where there is a detector that knows the true images."""
        if not self.scores:
            return Figure(None, None)
        try:
            share, error = detected(torch.cat(self.scores), torch.cat(real.scores))
        except InputError:  # it finds no face in many of the true ones
            return Figure(None, None)
        return Figure(100 * share, 100 * error)


def _distance(x: Tensor, y: Tensor) -> Figure:
    return Figure(*kernel_distance(x, y))


def size_of(found: Sequence[Likeness]) -> str:
    """Of how many images the lines are: the same for all."""
    return f"{counted(found[0].images, 'image')}, one sample of each"


def write_likenesses(found: Sequence[Likeness], missing: str, out: Path) -> None:
    """Write ``realism.md`` and ``realism.json``.

    Args:
        found: The lines, at least one.
        missing: Why faces were not looked for; empty where they were.
        out: The folder.

    Raises:
        OutputError: `out` cannot be written.
    """
    table = rows_as_markdown([HEADER, *(one.cells() for one in found)])
    note = f"\nDetected faces: not measured, because {missing}.\n" if missing else ""
    write_text(out / "realism.md", f"{table}\n{size_of(found)}, mean ± standard error.\n{note}")
    content = json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False)
    write_text(out / "realism.json", content + "\n")
