"""YAML files to frozen dataclasses and back: unknown keys and wrong types are refused by name."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dacite
import yaml

from .errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def from_dict(cls: type[T], data: Any, where: str) -> T:
    """Build a dataclass from plain data.

    Raises:
        ConfigError: Not a mapping, an unknown or missing key, a wrong type; `where` names the file.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of settings")
    try:
        return dacite.from_dict(
            cls, data, dacite.Config(strict=True, type_hooks={float: _number}, cast=[tuple])
        )
    except (dacite.DaciteError, TypeError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def load_yaml(cls: type[T], path: Path) -> T:
    """Read a dataclass from a YAML file.

    Raises:
        ConfigError: The file is missing, is not YAML, or does not fit `cls`.
    """
    return from_dict(cls, read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file.

    Raises:
        ConfigError: It is missing or no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{path} is not a YAML file") from None


def to_yaml(config: "DataclassInstance") -> str:
    """Write a dataclass as YAML."""
    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def _number(value: Any) -> Any:
    """YAML reads ``1e-3`` as text and ``1`` as int where a float is meant."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return float(value) if isinstance(value, int) else value
