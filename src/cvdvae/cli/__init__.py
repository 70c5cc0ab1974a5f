"""The command line: parse, call the public functions, write.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

import sys

import typer

from ..cli import examine, measure, train, use
from ..errors import CVDVAEError
from .common import complain

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Every plausible high-resolution image behind a low-resolution one.",
)
app.add_typer(use.app)
app.add_typer(train.train_app, name="train")
app.add_typer(measure.app)
app.add_typer(examine.app)


REPEATED = ("--scales", "--temperatures", "--methods")
"""Options that take several values in a row, as in ``--scales 4 8 16``."""


def spread(arguments: list[str]) -> list[str]:
    """Name a repeated option before each of its values, as typer wants it.

    Example:
        >>> spread(["--scales", "4", "8", "--out", "x"])
        ['--scales', '4', '--scales', '8', '--out', 'x']
    """
    result: list[str] = []
    option = None
    for i, argument in enumerate(arguments):
        if argument.startswith("-") and not argument[1:2].isdigit():
            option = argument if argument in REPEATED else None
        elif option and arguments[i - 1] != option:
            result.append(option)
        result.append(argument)
    return result


def main() -> None:
    """Entry point of the `cvdvae` command: errors that a user can mend are one sentence."""
    try:
        app(spread(sys.argv[1:]))
    except (CVDVAEError, OSError) as error:
        complain(str(error))
        sys.exit(1)
