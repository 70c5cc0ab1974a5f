"""What a folder holds of an evaluation that goes on: its settings, and of what its records are."""

import json
from collections.abc import Callable, Collection, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, OutputError
from ..files import read_bounded, write_text
from .measure import METRICS, Judges, Scores, are_of_none
from .task import Method, Task
from .versions import version_of

SETTINGS, RECORDS = "settings.json", "records.jsonl"
NETWORK = "alexnet"
"""Setting that tells the network of LPIPS from others."""
MAX_SETTINGS = 2**20
"""Bytes that the settings may have."""

Measured = Collection[tuple[str, str]]
"""What there are records of: keys of tasks, with names of methods."""
Digest = Callable[[Path], str]
"""`digest_of`, or what remembers it."""


class Origin(NamedTuple):
    """Of what a record is; records of older evaluations do not say.

    Attributes:
        digest: Of the bytes of the image's file.
        number: Of the image in its selection, which its seed is counted by.
    """

    digest: str | None = None
    number: int | None = None

    def is_of(self, now: "Origin") -> bool:
        """Whether a record with this origin is one of an image as it is now."""
        return all(a is None or a == b for a, b in zip(self, now, strict=True))


def digest_of(path: Path) -> str:
    """A digest of a file; empty where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()[:16]
    except OSError:
        return ""


def keep(path: Path, record: dict[str, Any]) -> None:
    """Add a line to the records.

    Raises:
        OutputError: It cannot be written.
    """
    line = json.dumps(record, allow_nan=False) + "\n"
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def lacks(scores: Scores | None) -> bool:
    """Whether a record is not there, or of before a measure was `add`-ed."""
    return scores is None or not (scores.keys() >= METRICS.keys() or are_of_none(scores))


def key_of(scale: int, damage: str) -> str:
    """What a task is called in the settings."""
    return damage or f"x{scale}"


def told_of(judges: Judges) -> dict[str, Any]:
    """What the settings say of the measures with weights."""
    names = ["LPIPS"] * (judges.lpips is not None) + ["BRISQUE"] * (judges.brisque is not None)
    network = {} if judges.lpips is None else {NETWORK: judges.lpips.digest()}
    return {"measures": names, **network}


def settle(path: Path, told: dict[str, Any], tasks: Sequence[Task], measured: Measured) -> None:
    """Write settings down, or refuse to mix two plans, models or methods in one folder.

    Args:
        path: Of the settings.
        told: How everything is measured, whatever the task.
        tasks: What is measured.
        measured: What there are records of; without any, earlier settings bind nobody.

    Raises:
        ConfigError: The earlier settings are others, damaged, or missing.
    """
    models = {key_of(task.scale, task.damage): task.fingerprint for task in tasks}
    methods = {
        key_of(task.scale, task.damage): {m.name: version_of(m) for m in task.methods}
        for task in tasks
    }
    if measured:
        earlier = _read(path)
        different = [_named(k, earlier.get(k)) for k in told if not _same(k, earlier, told)]
        for task in tasks:
            different += _differences(task, earlier, measured)
        if different:
            raise ConfigError(
                f"{path.parent} holds an evaluation with another {' and '.join(different)}: "
                f"choose another folder"
            )
        known = earlier.get("methods", {})
        methods = known | {key: known.get(key, {}) | now for key, now in methods.items()}
        for task in tasks:
            _keep(task, models, earlier["models"], measured)
        models = earlier["models"] | models
    write_text(path, json.dumps({**told, "models": models, "methods": methods}, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """Earlier settings, methods left out before they were told apart."""
    if not path.exists():
        raise ConfigError(
            f"{path.parent} holds records without the {SETTINGS} that says of what: remove "
            f"{RECORDS}, or choose another folder"
        )
    earlier: Any
    try:
        earlier = json.loads(read_bounded(path, MAX_SETTINGS))
    except (OSError, ValueError, RecursionError):
        earlier = None
    whole = isinstance(earlier, dict) and isinstance(earlier.get("models"), dict)
    methods = earlier.get("methods", {}) if whole else None
    if not isinstance(methods, dict) or not all(isinstance(v, dict) for v in methods.values()):
        raise ConfigError(f"{path} is damaged: remove it and {RECORDS}, or choose another folder")
    earlier.setdefault("random_crops", False)  # of before there was the choice
    return dict(earlier)


def _same(key: str, earlier: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a setting is as it was; a folder was once named from where one stood."""
    if key == "folder" and isinstance(before := earlier.get(key), str):
        try:
            return bool(str(Path(before).resolve()) == told[key])
        except (OSError, ValueError, RuntimeError):
            return False
    if key == NETWORK and key not in earlier:  # of before it was told
        return True
    return bool(earlier.get(key) == told[key])


def _named(key: str, before: object) -> str:
    if key == NETWORK:
        return "network of LPIPS"
    if key == "random_crops":
        return "choice of squares (--random-crops or --no-random-crops)"
    if key == "measures":
        had = " and ".join(before) if isinstance(before, list) and before else "neither"
        return f"set of measures (of LPIPS and BRISQUE it has {had})"
    return f"folder of images ({before})" if key == "folder" else key


def _differences(task: Task, earlier: dict[str, Any], measured: Measured) -> list[str]:
    """What is another than it was when a task was measured, if it was."""
    key = key_of(task.scale, task.damage)
    if key not in {of for of, _ in measured}:
        return []
    different, known = list[str](), earlier.get("methods", {}).get(key, {})
    before = earlier["models"].get(key, task.fingerprint)
    if before != task.fingerprint:
        tell = getattr(task, "differences", None)
        different = tell(str(before)) if tell else ["model"]
    different = [f"{what} at {key}" for what in different]
    for method in task.methods:
        now, kind = version_of(method), _kind(method)
        told = known.get(method.name, now)
        # Before every model had a text of its own it was empty, as that of our methods without is.
        if (key, method.name) in measured and told != now and (told or kind == "method"):
            different.append(f"{kind} {method.name} at {key}")
    return different


def _keep(task: Task, models: dict[str, str], earlier: dict[str, Any], measured: Measured) -> None:
    """Keep the earlier text of a task in `models` where it may alone tell the weights of a method
    that is held: none with a model is asked for now."""
    key, asked = key_of(task.scale, task.damage), {method.name for method in task.methods}
    held = {name for of, name in measured if of == key}
    if key in earlier and held - asked and all(_kind(m) == "method" for m in task.methods):
        models[key] = earlier[key]


def _kind(method: Method) -> str:
    return "model" if hasattr(method, "model") else "method"
