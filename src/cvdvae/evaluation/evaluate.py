"""Every method on every image: records that can be continued, and what they come to."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from ..data.folder import list_images, load_images
from ..degradation import shrink_to_8_bits
from ..errors import ConfigError, InputError
from ..files import check_writable, write_text
from .measure import Judges, Scores, finish, measure
from .method import Contest, Method

SETTINGS, RECORDS = "settings.json", "records.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is evaluated; the same plan gives the same numbers.

    Attributes:
        data: Folder of high-resolution images.
        scales: Factors.
        methods: Names of methods.
        models: Name or folder of the models, with ``{scale}``.
        temperatures: Of the stochastic methods.
        samples: Of each image.
        seed: Image i draws with ``seed + i``.
        start: First image, in the order of the names; negative counts from the end.
        images: How many; all by default.
        crop: Side of the centred square that is cut out first; 0 takes the largest.
    """

    data: str
    scales: tuple[int, ...] = (4, 8, 16)
    methods: tuple[str, ...] = ("bicubic", "cvdvae")
    models: str = "celeba64-x{scale}"
    temperatures: tuple[float, ...] = (0.1, 0.8)
    samples: int = 8
    seed: int = 0
    start: int = 0
    images: int | None = None
    crop: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.images is not None and self.images < 1) or self.crop < 0:
            raise InputError("samples and images must be at least 1, and crop not negative")
        if not self.scales or not self.methods:
            raise InputError("there must be at least one scale and one method")
        if any(not t >= 0 for t in self.temperatures):
            raise InputError("a temperature must be a number from 0 upwards")

    def paths(self) -> list[Path]:
        """The image files.

        Raises:
            InputError: None is left.
        """
        paths = list_images(Path(self.data))[self.start :][: self.images]
        if not paths:
            raise InputError(f"{self.data} has no image from number {self.start} on")
        return paths


@dataclass(frozen=True)
class Row:
    """One line of the table: a method at a scale and a temperature, projected or not."""

    scale: int
    method: str
    temperature: float | None
    projected: bool


Record = tuple[Row, str, Scores]
"""Row, name of the image, measures."""


def evaluate(
    plan: Plan,
    contests: list[Contest],
    judges: Judges,
    out: Path,
    on_image: Callable[[str], None] | None = None,
) -> tuple[list[Record], list[str]]:
    """Evaluate, continuing what `out` holds already.

    Args:
        plan: What to evaluate.
        contests: The methods, one contest for every scale.
        judges: The measures with weights.
        out: Folder for the records.
        on_image: Called after every image at every scale with its name.

    Returns:
        The records, and a sentence on every image that could not be used.

    Raises:
        ConfigError: `out` holds the records of another plan.
        OutputError: `out` cannot be written.
    """
    check_writable(out)
    paths = plan.paths()
    _settle(out / SETTINGS, plan, judges)
    done = list(read_records(out / RECORDS))
    seen = {(row, image) for row, image, _ in done}
    failures: list[str] = []
    with (out / RECORDS).open("a", encoding="utf-8") as stream:
        for contest in contests:
            for number, path in enumerate(paths):
                rows = [r for m in contest.methods for r in rows_of(contest.scale, m, plan)]
                if not all((row, path.name) in seen for row in rows):
                    try:
                        fresh = list(_one_image(plan, contest, judges, path, plan.seed + number))
                    except InputError as error:
                        failures.append(str(error))
                        continue
                    for row, scores in fresh:
                        if (row, path.name) not in seen:
                            line = {**asdict(row), "image": path.name, "scores": scores}
                            stream.write(json.dumps(line) + "\n")
                            done.append((row, path.name, scores))
                    stream.flush()
                if on_image is not None:
                    on_image(path.name)
    wanted = {path.name for path in paths}
    return [record for record in done if record[1] in wanted], failures


def rows_of(scale: int, method: Method, plan: Plan) -> list[Row]:
    """The table's lines of one method at one scale."""
    if not method.stochastic:
        return [Row(scale, method.name, None, False)]
    return [
        Row(scale, method.name, temperature, projected)
        for temperature in plan.temperatures
        for projected in (False, True)
    ]


def read_records(path: Path) -> Iterator[Record]:
    """Records of a file, without a last line that was cut off."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(path, whole)
    for line in whole.splitlines():
        record = json.loads(line)
        row = Row(*(record[k] for k in ("scale", "method", "temperature", "projected")))
        yield row, record["image"], record["scores"]


def _one_image(
    plan: Plan, contest: Contest, judges: Judges, path: Path, seed: int
) -> Iterator[tuple[Row, Scores]]:
    """Every method's rows on one image; samples are drawn once for both kinds of row."""
    size = contest.degradation.hr_size[0]
    truth = load_images([path], size, plan.crop)[0].float() / 255
    y = shrink_to_8_bits(truth[None], contest.degradation)[0]
    for method in contest.methods:
        drawn: dict[float | None, Tensor] = {}
        for row in rows_of(contest.scale, method, plan):
            if row.temperature not in drawn:
                samples = method.draw(y, plan.samples, row.temperature or 0.0, seed)
                drawn = {row.temperature: samples}
            kept, pixels = finish(drawn[row.temperature], y, contest.degradation, row.projected)
            try:
                yield row, measure(kept, pixels, y, truth, contest.degradation, judges)
            except InputError as error:
                raise InputError(f"{path}, {method.name} ×{contest.scale}: {error}") from None


def _settle(path: Path, plan: Plan, judges: Judges) -> None:
    """Write the plan down, or refuse to mix two plans in one folder."""
    held = {
        **{k: v for k, v in asdict(plan).items() if k not in ("scales", "methods", "images")},
        "measures": ["LPIPS"] * (judges.lpips is not None)
        + ["BRISQUE"] * (judges.brisque is not None),
    }
    held = json.loads(json.dumps(held))
    if path.exists():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise ConfigError(f"{path} is damaged: remove it, or choose another folder") from None
        different = [k for k in held if earlier.get(k) != held[k]]
        if different:
            raise ConfigError(
                f"{path.parent} holds an evaluation with another {' and '.join(different)}: "
                f"choose another folder"
            )
    write_text(path, json.dumps(held, indent=2) + "\n")
