"""YAML files to frozen dataclasses and back: unknown keys and wrong types are refused by name."""

import math
import re
from collections.abc import Callable, Hashable
from copy import deepcopy
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import dacite
import yaml

from .errors import ConfigError
from .files import read_bounded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

MAX_BYTES, MAX_VALUES, MAX_DEPTH, MAX_BITS = 2**20, 100_000, 32, 256
"""Of a YAML file, of what it holds, and of a whole number in it."""
NO_KEYS = {"tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"}
"""What YAML takes `<<` and `=` for where a key could stand."""


def from_dict(cls: type[T], data: Any, where: str) -> T:
    """Build a dataclass from plain data.

    Raises:
        ConfigError: Not a mapping, an unknown or missing key, a wrong type; `where` names the file.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of settings")
    try:
        hooks: dict[Any, Callable[[Any], Any]] = {float: _number, int: _whole}
        hooks |= dict.fromkeys(_lists_in(cast(Any, cls)), _listed)
        return dacite.from_dict(
            cls, data, dacite.Config(strict=True, type_hooks=hooks, cast=[tuple])
        )
    except dacite.WrongTypeError as error:
        raise ConfigError(f"{where}: {_wanted(error)}") from None
    except (dacite.DaciteError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _wanted(error: dacite.WrongTypeError) -> str:
    """What should be there, and what is."""
    kind, value = error.field_type, error.value
    choice = get_args(kind) if get_origin(kind) is Literal else ()
    wanted = " or ".join(map(repr, choice))
    if not choice:
        wanted = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    value = list(value) if isinstance(value, tuple) else value
    wanted = re.sub(r"\b(?:\w+\.)+(?=[A-Za-z])", "", wanted)
    return f"{error.field_path or 'it'} should be {wanted}, not {value!r}"


def load_yaml(cls: type[T], path: Path) -> T:
    """Read a dataclass from a YAML file.

    Raises:
        ConfigError: The file is missing, is not YAML, or does not fit `cls`.
    """
    return from_dict(cls, read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file.

    Raises:
        ConfigError: It is missing or no YAML, or holds what no configuration does: NaN, a number of
            hundreds of digits, lists in lists without an end, a key twice.
    """
    try:
        data = deepcopy(_parsed(read_bounded(path, MAX_BYTES).decode("utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except _Repeated as error:
        raise ConfigError(f"{path}: {error} stands twice: leave one of them out") from None
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError):
        raise ConfigError(f"{path} is not a YAML file") from None  # of odd tags PyYAML raises any
    _check_plain(data, str(path))
    return data


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """A model's few descriptions are read several times while it loads."""
    return yaml.load(text, _Loader)


class _Repeated(Exception):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but that it lets no key stand twice, of which it would take the last
    without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As it stands in the file, before what `<<` brings along, which other keys may replace."""
        node = super().compose_mapping_node(anchor)
        seen = set[Hashable]()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode) or name.tag in NO_KEYS:
                continue
            key = self.construct_object(name)
            if isinstance(key, Hashable):  # PyYAML itself refuses any other
                if key in seen:
                    raise _Repeated(name.value[:40])
                seen.add(key)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """With what `<<` brings along, which may bring along as much again."""
        super().flatten_mapping(node)
        if len(node.value) > MAX_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "it holds too much")


def _check_plain(data: Any, where: str) -> None:
    """Refuse what would break the reading or the very sentence that refuses it."""
    left: list[tuple[str, Any, int]] = [("it", data, 0)]
    seen = 0
    while left:
        name, value, depth = left.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise ConfigError(f"{where} is nested too deeply, or holds too much")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ConfigError(f"{where}: {name} is too large a number")
        if isinstance(value, float) and math.isnan(value):
            raise ConfigError(f"{where}: {name} must be a number, not NaN")
        if isinstance(value, dict):
            if any(isinstance(key, bool) for key in value):
                raise ConfigError(f"{where}: true and false are no names of settings")
            left += [("a name", key, depth + 1) for key in value]
            left += [(_short(key), one, depth + 1) for key, one in value.items()]
        elif isinstance(value, (list, tuple, set)):
            left += [(name, one, depth + 1) for one in value]


def _short(key: Any) -> str:
    return key[:40] if isinstance(key, str) else "a value"


def to_yaml(config: "DataclassInstance") -> str:
    """Write a dataclass as YAML."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def defaults(config: "DataclassInstance") -> dict[str, Any]:
    """What the keys of a configuration are where nothing is said; those without a default lack."""
    found: dict[str, Any] = {}
    for field in fields(config):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


@lru_cache(maxsize=256)
def _lists_in(cls: type) -> frozenset[Any]:
    """Types of tuples in the annotations of a dataclass and of those in it."""
    found, left = set[Any](), [cls]
    while left:
        kind = left.pop()
        if kind not in found:
            found.add(kind)
            hints = get_type_hints(kind).values() if is_dataclass(kind) else get_args(kind)
            left += [one for one in hints if one is not Ellipsis]
    return frozenset(one for one in found if get_origin(one) is tuple)


def _listed(value: Any) -> Any:
    """A text is no list of its letters."""
    if not isinstance(value, (list, tuple)):
        raise dacite.WrongTypeError(list, value)
    return value


def _number(value: Any) -> Any:
    """YAML reads ``1e-3`` as text and ``1`` as int where a float is meant."""
    if isinstance(value, bool):
        raise dacite.WrongTypeError(float, value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError("NaN is no number")
    return value


def _whole(value: Any) -> Any:
    """To Python ``true`` is 1; to whoever wrote it, it is none."""
    if isinstance(value, bool):
        raise dacite.WrongTypeError(int, value)
    return value
