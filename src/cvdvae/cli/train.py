"""Commands that train: train prior, train encoder, train flow."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import need
from .common import out

train_app = typer.Typer(no_args_is_help=True, help="Train a prior, an LR encoder, or a flow.")

Config = Annotated[Path, typer.Option(help="YAML file: model, data, optim; prior for an encoder.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Data = Annotated[
    Path | None, typer.Option(help="Image folder or .npy file, instead of the config's.")
]


@train_app.command("prior")
def train_prior(
    config: Config,
    out_folder: Out,
    data: Data = None,
) -> None:
    """Train a hierarchical VAE on a folder of images; resumes a run that was cut off."""
    need("lightning", "training", "train")
    from ..training import train_prior as run

    run(config, out_folder, data)
    _say_where(out_folder)


@train_app.command("encoder")
def train_encoder(
    config: Config,
    out_folder: Out,
    data: Data = None,
    prior: Annotated[str | None, typer.Option(help="Prior, instead of the config's.")] = None,
) -> None:
    """Train an LR encoder on a frozen prior; resumes a run that was cut off."""
    need("lightning", "training", "train")
    from ..training import train_encoder as run

    run(config, out_folder, data, prior)
    _say_where(out_folder)


@train_app.command("flow")
def train_flow(
    config: Config,
    out_folder: Out,
    data: Data = None,
) -> None:
    """Train an HCFlow; resumes a run that was cut off."""
    need("lightning", "training", "train")
    from ..training import train_flow as run

    run(config, out_folder, data)
    _say_where(out_folder)


def _say_where(folder: Path) -> None:
    from ..data.folder import is_first_process

    if is_first_process():
        out.print(f"The model is in {folder / 'model'}", markup=False, highlight=False)
