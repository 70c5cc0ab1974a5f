"""What all commands share: options, consoles, progress bars."""

from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError

if TYPE_CHECKING:
    from ..restoration.result import Doubt

out, err = Console(), Console(stderr=True)

Samples = Annotated[int, typer.Option("--samples", "-n", help="Samples of each image.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        "-t",
        help="Of the prior's groups: 0 tame, 1 wild; the model's own recommendation by default.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same samples.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps …")]
Dtype = Annotated[
    Literal["fp32", "bf16"],
    typer.Option("--dtype", help="bf16 is faster where the machine has it, and less exact."),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="For long runs on a GPU: minutes before the first image.")
]
Model = Annotated[str, typer.Option("--model", help="Bundled name, model folder, or Hub id.")]


def complain(message: str) -> None:
    """Say what is wrong, in one sentence."""
    err.print(f"[red]error:[/red] {escape(message)}", soft_wrap=True, highlight=False)


def in_doubt(doubt: "Doubt") -> str:
    """A doubt in one line."""
    advice = doubt.advice.replace("shrunk here", "shrunk here (upscale --simulate)")
    return f"in doubt: {doubt.explanation} {advice}"


def expand(inputs: list[str]) -> list[Path]:
    """Files, folders and globs to files."""
    from ..imaging.io import list_images

    paths: list[Path] = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            paths += list_images(path)
        elif not path.exists() and has_magic(text):
            paths += sorted(Path(m) for m in glob(text, recursive=True)) or [path]
        else:
            paths.append(path)
    return paths


def need(module: str, purpose: str, extra: str) -> None:
    """Refuse to go on without a module of an extra.

    Raises:
        InputError: It is not installed.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise InputError(f"{purpose} needs {module}: pip install 'cvdvae[{extra}]'")


def progress_bar() -> Progress:
    """A bar with a count and the time to go, which vanishes when done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
