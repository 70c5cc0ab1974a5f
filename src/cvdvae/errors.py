"""The errors and warnings that a user can mend; their message is one sentence that says how."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


class CVDVAEError(Exception):
    """Base of all errors raised on purpose; the command line prints it and exits with 1."""


class ConfigError(CVDVAEError, ValueError):
    """A configuration that is unknown, misspelt or impossible."""


class InputError(CVDVAEError, ValueError):
    """An image or an argument that cannot be used."""


class WeightsError(CVDVAEError):
    """A model that is unknown, unreadable, or that does not fit its configuration."""


class OutputError(CVDVAEError, OSError):
    """A result that cannot be written."""


class OccupiedError(OutputError):
    """A folder that holds a file of another origin where a result would be."""


class TakenError(OutputError):
    """A folder that another run is writing to."""


def unwritable(folder: Path, error: OSError) -> OutputError:
    """What is said of a folder that cannot be written, for a reason that stays its cause."""
    return OutputError(f"cannot write to {folder}: {error.strerror or error}")


class CVDVAEWarning(UserWarning):
    """What goes on with less than was asked for; its message is one sentence that says why."""


def need(module: str, purpose: str, extra: str) -> None:
    """Refuse to go on without a module of an extra.

    Raises:
        InputError: It is not installed.
    """
    if find_spec(module) is None:
        raise InputError(f"{purpose} needs {module}: pip install 'cvdvae[{extra}]'")


@contextmanager
def naming(path: Path, plane: int | None = None) -> Iterator[None]:
    """Say of which file a sentence is, and of which of its planes."""
    try:
        yield
    except InputError as error:
        place = "" if plane is None else f" plane {plane}:"
        raise InputError(f"{path}:{place} {error}") from None
