"""The commands, put together."""

from typing import Annotated

import typer

from .. import __version__
from . import batch, calibrate, draw, examine, measure, restore, train, use
from .analyze import analyze_app

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Every plausible high-resolution image behind a low-resolution one.",
)
app.add_typer(draw.app)
app.add_typer(restore.app)
app.add_typer(batch.app)
app.add_typer(use.app)
app.add_typer(train.train_app, name="train")
app.add_typer(measure.app)
app.add_typer(calibrate.app)
app.add_typer(analyze_app, name="analyze")
app.add_typer(examine.app)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"cvdvae {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Every plausible high-resolution image behind a low-resolution one."""
