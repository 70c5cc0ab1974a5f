"""The command line: parse, call the public functions, write.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

import sys

import typer

from ..errors import CVDVAEError
from . import measure, train, use
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


def main() -> None:
    """Entry point of the `cvdvae` command: errors that a user can mend are one sentence."""
    try:
        app()
    except (CVDVAEError, OSError) as error:
        complain(str(error))
        sys.exit(1)
