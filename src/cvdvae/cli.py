"""The command line: parse, call the public functions, write."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
train_app = typer.Typer(no_args_is_help=True, help="Train a prior or an LR encoder.")
app.add_typer(train_app, name="train")


@train_app.command("prior")
def train_prior(
    config: Annotated[Path, typer.Option(help="YAML file with model, data and optim.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    data: Annotated[Path | None, typer.Option(help="Image folder, instead of the config's.")] = None,
) -> None:
    """Train a hierarchical VAE on a folder of images."""
    from .training import train_prior as run

    run(config, out, data)


def main() -> None:
    """Entry point of the `cvdvae` command."""
    app()


if __name__ == "__main__":
    main()
