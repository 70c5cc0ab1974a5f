"""Degradations as a person writes them, and as a result keeps them.

As text, several joined by `` + `` in the order in which they happened::

    blur:sigma=2,boundary=circular + downscale:scale=4,by=box + jpeg:quality=30

As a YAML file, a list of mappings: ``- {kind: blur, sigma: 2}``. As plain data, for the JSON of a
result, ``{"steps": [{"kind": "blur", "sigma": 2.0, "boundary": "circular"}]}``. The kinds stand in
`kinds.KINDS`, and in docs/degradations.md.
"""

import re
import types
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from ..configs import from_dict, read_yaml
from ..degradations.base import LinearOperator
from ..degradations.composed import Composed
from ..degradations.mask import InAllColours
from ..errors import ConfigError
from .kinds import JPEG, KINDS, PACKERS, SUBSAMPLINGS, Grey, Mosaic
from .mask_kinds import Masked, check_noise_is_last
from .step import Size, Step

MAX_STEPS = 16
LISTS = (tuple[int, ...], tuple[int, ...] | None)
"""Types of settings that text cannot hold."""
BASE_60 = {
    sum(int(digit) * 60**i for i, digit in enumerate(reversed(word.split(":")))): word
    for word in SUBSAMPLINGS
    if isinstance(word, str)
}
"""What YAML 1.1 reads for the words of a subsampling without quotes: numbers in base 60."""


@dataclass(frozen=True)
class Description:
    """What happened to an image.

    Args:
        steps: In the order in which they happened, at least one.

    Raises:
        ConfigError: They cannot follow each other.

    Example:
        >>> import torch
        >>> seen = parse("blur:sigma=1.5 + downscale:scale=4")
        >>> seen.hr_size((16, 20))
        (64, 80)
        >>> seen.operator((64, 80)).A(torch.rand(1, 3, 64, 80)).shape
        torch.Size([1, 3, 16, 20])
        >>> description_from_dict(seen.to_dict()) == seen
        True
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise ConfigError(f"a degradation has 1 to {MAX_STEPS} steps, not {len(self.steps)}")
        left = None
        for place, step in enumerate(self.steps):
            name = name_of(step)
            if not step.pictures and place < len(self.steps) - 1:
                raise ConfigError(f"nothing can follow '{name}': let it come last")
            if step.colours is None:
                continue
            if left not in (None, step.colours[0]) and not self._holds_grey(place):
                raise ConfigError(f"'{name}' needs {step.colours[0]} colours, but {left} is left")
            left = step.colours[1]

    @property
    def pictures(self) -> bool:
        """Whether y is a picture; what a JPEG file holds is none."""
        return self.steps[-1].pictures

    @property
    def colours_left(self) -> int | None:
        """How many colours y has; None for as many as x."""
        left = [step.colours[1] for step in self.steps if step.colours is not None]
        return left[-1] if left else None

    @property
    def is_mosaic(self) -> bool:
        """Whether neighbouring pixels of y are of other colours."""
        return any(isinstance(step, Mosaic) for step in self.steps)

    @property
    def loses_colours(self) -> bool:
        """Whether one value of each pixel is left, though a JPEG may hold it in all colours."""
        jpegs = (step for step in self.steps if isinstance(step, JPEG))
        grey = any(SUBSAMPLINGS[step.subsampling] is None for step in jpegs)
        return grey or any(isinstance(step, Grey | Mosaic) for step in self.steps)

    def hr_size(self, y_size: Size) -> Size:
        """Height and width of x for a y of this height and width.

        Raises:
            InputError: There is no such x.
        """
        size = y_size
        for step in reversed(self.steps):
            size = step.hr_size(size)
        return size

    def lr_size(self, x_size: Size) -> Size:
        """Height and width of y for an x of this height and width.

        Raises:
            InputError: Nothing is left of it.
        """
        size = x_size
        for step in self.steps:
            before, size = size, step.lr_size(size)
            if min(size) < 1:
                step.operator(before)  # which says why nothing is left
        return size

    def hidden(self, y_size: Size, x_size: Size | None = None) -> Tensor:
        """Which pixels of y show nothing of x, or more of what is missing, bool ``(h, w)``.

        Args:
            y_size: Height and width of y.
            x_size: Those of x; by default `hr_size`.

        Raises:
            InputError: There is no x for a y of this height and width.
        """
        size = x_size or self.hr_size(y_size)
        hidden: Tensor | None = None
        for step in self.steps:
            if isinstance(step, Masked):
                missing = ~step.known(size)
                hidden = missing if hidden is None else hidden | missing
            elif hidden is not None and step.pictures:
                in_colours = hidden.double().expand(1, 3, -1, -1)
                hidden = step.operator(size).A(in_colours)[0].amax(0) > 0.5
            size = step.lr_size(size)
        return torch.zeros(size, dtype=torch.bool, device="cpu") if hidden is None else hidden

    def operator(self, hr_size: Size) -> LinearOperator:
        """H for images of this height and width.

        Raises:
            InputError: A step does not fit: a mask of another size, a kernel larger than the image.
        """
        operators, size = list[LinearOperator](), hr_size
        for place, step in enumerate(self.steps):
            if self._holds_grey(place):
                operators.append(InAllColours())
            operators.append(step.operator(size))
            size = step.lr_size(size)
        return operators[0] if len(operators) == 1 else Composed(*operators)

    def _holds_grey(self, place: int) -> bool:
        """Whether a step is a JPEG of what was made grey before, which it holds in all colours."""
        before = [step for step in self.steps[:place] if step.colours is not None]
        last = before[-1] if before else None
        return isinstance(self.steps[place], JPEG) and isinstance(last, Grey)

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `description_from_dict` makes the same again, without any file."""
        return {"steps": [{"kind": name_of(step)} | _given(step) for step in self.steps]}

    def __str__(self) -> str:
        """The text that `parse` takes; of files their names, of a JPEG's own tables nothing."""
        texts = []
        for step in self.steps:
            shown = {k: v for k, v in _given(step).items() if k not in ("packed", "luma", "chroma")}
            settings = ",".join(f"{k}={_plainly(v)}" for k, v in shown.items())
            texts.append(f"{name_of(step)}:{settings}".rstrip(":"))
        return " + ".join(texts)


def _plainly(value: Any) -> str:
    """As a person writes it: 2 for 2.0."""
    return f"{value}".removesuffix(".0") if isinstance(value, float) else f"{value}"


def name_of(step: Step) -> str:
    """What its kind is called."""
    return next(name for name, kind in KINDS.items() if kind is type(step))


def parse(text: str | Path, read_files: bool = True) -> Description:
    """A description from a person's words, or from the YAML file that they name.

    Args:
        text: As this module says, or a path that ends with `.yaml` or `.yml`. Files that a YAML
            file names are looked for beside it.
        read_files: Whether files may be named.

    Raises:
        ConfigError: An unknown kind or key, or a value that cannot be.
        InputError: A file cannot be used.
    """
    data, where, folder = _plain(str(text).strip(), read_files)
    try:
        found = _build(data, where, folder if read_files else None)
    except ConfigError as error:
        kinds = "|".join(KINDS)
        if re.search(rf"(?<!\s)\+\s*({kinds})\b|\+({kinds})\b", str(text)) is None:
            raise
        raise ConfigError(f"{error} (steps are joined by ' + ', a blank on either side)") from None
    check_noise_is_last(found.steps)
    return found


def named_in(text: str) -> list[set[str]]:
    """The settings that a text names of each of its steps.

    Args:
        text: One that `parse` takes.
    """
    data, _, _ = _plain(text.strip(), read_files=True)
    return [set(step) for step in (data["steps"] if isinstance(data, dict) else data)]


def _plain(text: str, read_files: bool) -> tuple[Any, str, Path]:
    """Plain data of a text or of its file, its origin for messages, and where its files are."""
    if text.lower().endswith((".yaml", ".yml")) and re.search(r"(^|\s\+\s)\w\w+:", text) is None:
        if not read_files:
            raise ConfigError("a degradation's file cannot be read here: write its steps as text")
        return _in_words(read_yaml(Path(text))), f"{text}: ", Path(text).parent
    return [_from_text(part) for part in re.split(r"\s\+\s", text)], "", Path()


def _in_words(data: Any) -> Any:
    """The same data of a YAML file, with subsamplings as they were written."""
    if isinstance(data, dict):
        return {
            key: BASE_60.get(value, value)
            if key == "subsampling" and isinstance(value, int)
            else _in_words(value)
            for key, value in data.items()
        }
    return [_in_words(one) for one in data] if isinstance(data, list) else data


def description_from_dict(data: Any) -> Description:
    """A description from what `Description.to_dict` gave; no file is read.

    Raises:
        ConfigError: It is none.
    """
    return _build(data, "", None)


def _from_text(text: str) -> dict[str, Any]:
    """Plain data of one step."""
    name, _, settings = text.strip().partition(":")
    data: dict[str, Any] = {"kind": name.strip()}
    # A comma parts two settings where a key follows: names of files may hold commas.
    for setting in re.split(r",(?=\s*\w+\s*=)", settings) if settings.strip() else []:
        key, sign, value = (part.strip() for part in setting.partition("="))
        if sign and key in data and key != "kind":
            raise ConfigError(f"'{name.strip()[:40]}' is told its {key[:40]} twice")
        if not sign or not key or key == "kind":
            raise ConfigError(
                f"'{setting.strip()[:60]}' is no setting of '{name.strip()[:40]}': write key=value"
            )
        data[key] = _typed(name.strip(), key, value)
    return data


def _typed(kind: str, key: str, value: str) -> Any:
    """A value as the kind wants it; text where it cannot be, which is then refused by name."""
    wanted = _types_of(get_type_hints(KINDS[kind]).get(key, str) if kind in KINDS else str)
    for number in (int, float):
        if number in wanted:
            try:
                return number(value)
            except ValueError:
                continue
    return value


def _types_of(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _build(data: Any, where: str, folder: Path | None) -> Description:
    """From plain data; files are read from `folder`, and refused without one."""
    if isinstance(data, dict) and set(data) == {"steps"}:
        data = data["steps"]
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise ConfigError(f"{where}a degradation is a list of steps, each a mapping with its kind")
    return Description(tuple(_step(one, where, folder) for one in data))


def _step(data: dict[str, Any], where: str, folder: Path | None) -> Step:
    settings = dict(data)
    kind = settings.pop("kind", None)
    if kind is None:
        raise ConfigError(f"{where}every step needs its kind, one of {', '.join(KINDS)}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(
            f"{where}there is no kind '{str(kind)[:40]}': take one of {', '.join(KINDS)}"
        )
    known = {field.name for field in fields(KINDS[kind])}
    for key, value in settings.items():
        if key not in known:
            names = ", ".join(sorted(known - {"packed"})) or "no settings"
            names += ": --noise says how noisy it is" * (kind == "noise")
            raise ConfigError(f"{where}'{kind}' has no '{str(key)[:40]}', but {names}")
        if (wanted := _missed(kind, key, value)) is not None:
            raise ConfigError(f"{where}the {key} of '{kind}' is {wanted}")
        settings[key] = _typed(kind, key, value) if isinstance(value, str) else value
    if kind in PACKERS and "packed" not in settings:
        file = settings.get("file")
        if not isinstance(file, str) or not file:
            raise ConfigError(f"{where}'{kind}' needs a file, as in {kind}:file=NAME")
        if folder is None:
            raise ConfigError(f"{where}the file of '{kind}' cannot be read here")
        settings["packed"] = PACKERS[kind](folder / file)
    return from_dict(KINDS[kind], settings, f"{where}{kind}")


def _missed(kind: str, key: str, value: Any) -> str | None:
    """What a setting is in words, where the value is something else."""
    hint = get_type_hints(KINDS[kind])[key]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return None if value in choices else f"one of {', '.join(choices)}"
    if hint in LISTS:
        fits = value is None or _are_whole(value)
        return None if fits else "a list of whole numbers: a YAML file holds it"
    # YAML reads yes and no as booleans, which Python takes for numbers.
    kept, wanted = _typed(kind, key, value) if isinstance(value, str) else value, _types_of(hint)
    if type(kept) not in (bool, str) or type(kept) in wanted:
        return None
    noun = "a number" if float in wanted else "a whole number" if int in wanted else "text"
    return f"{noun}, not {str(value)[:40]}"


def _are_whole(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(type(value) is int for value in values)


def _given(step: Step) -> dict[str, Any]:
    """The settings of a step that are set, as plain data."""
    plain = {key: value for key, value in asdict(step).items() if value is not None}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
