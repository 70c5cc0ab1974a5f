"""The command line: parse, call the public functions, write.

Heavy modules are imported inside the commands, so that ``--help`` answers at once; and the commands
inside `main`, so that it can be interrupted from the first moment on.
"""

import errno
import gc
import os
import sys
from contextlib import suppress

from .signals import EndAtSignals

REPEATED = {"--scales", "--temperatures", "--methods"}
"""Options that take several values in a row, as in ``--scales 4 8 16``."""
SINGULAR = {"--scale", "--temperature"}
"""Other names of theirs, where no file can follow them: in `COMPARING`."""
COMPARING = {"evaluate", "report", "analyze"}
DRAWING = {"app", "batch", "demo", "examine", "replay", "restore", "upscale"}
"""Commands whose work is done side by side by threads of its own (`restoration.workers`).
PyTorch's, which wait for each other, would only slow down what is left, beside another busy program
by half."""


def spread(arguments: list[str]) -> list[str]:
    """Name a repeated option before each of its values, as typer wants it.

    Example:
        >>> spread(["--scales", "4", "8", "--out", "x"])
        ['--scales', '4', '--scales', '8', '--out', 'x']
    """
    repeated = REPEATED | SINGULAR if COMPARING & {*arguments[:1]} else REPEATED
    result: list[str] = []
    option = None
    for i, argument in enumerate(arguments):
        if argument.startswith("-") and not argument[1:2].isdigit():
            option = argument if argument in repeated else None
        elif option and arguments[i - 1] != option:
            result.append(option)
        result.append(argument)
    return result


def _unwritten(error: Exception) -> str:
    """What the system says of a full disk without a name; empty of all else. A result's file is
    named where it is written."""
    if not isinstance(error, OSError) or error.filename is not None:
        return ""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return ""
    return f"cannot write to standard output, or to a temporary file: {error.strerror}"


def main() -> None:
    """Entry point of the `cvdvae` command: errors that a user can mend are one sentence.

    It exits with 0 when all went well, 1 when something failed, 2 when the command line is wrong,
    130 when it was interrupted (Ctrl+C) and 143 when it was told to end (SIGTERM).
    """
    # A million objects come with PyTorch and stay: they are searched for garbage now and then, not
    # every 700 of them, which takes a tenth of a training's start.
    gc.set_threshold(10_000)
    if DRAWING & {*sys.argv[1:2]}:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported
    with EndAtSignals():
        from ..errors import CVDVAEError
        from .common import complain, refuse_empty, say_warnings
        from .program import app

        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError):  # a terminal may know no arrow
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        say_warnings()
        try:
            refuse_empty(sys.argv[1:])
            app(spread(sys.argv[1:]))
        except (CVDVAEError, OSError) as error:
            complain(_unwritten(error) or str(error))
            sys.exit(1)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            complain("PyTorch is not installed here: pip install torch")
            sys.exit(1)
