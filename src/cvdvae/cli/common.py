"""What all commands share: options, consoles, progress bars."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from .consoles import err, out, progress_bar

if TYPE_CHECKING:
    from ..restoration.result import Doubt

__all__ = ["err", "out", "progress_bar"]

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
Antithetic = Annotated[
    bool,
    typer.Option(
        "--antithetic",
        help="Draw pairs with opposite noise: the mean of few is as good as that of many.",
    ),
]
Model = Annotated[str, typer.Option("--model", help="Bundled name, model folder, or Hub id.")]

Json = Annotated[bool, typer.Option("--json", help="One JSON object per image on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of high-resolution images.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the figures and numbers.")]
Start = Annotated[int, typer.Option("--start", help="First image; -500 is the 500th from the end.")]
Images = Annotated[int | None, typer.Option("--images", help="How many; all by default.")]
Crop = Annotated[
    int, typer.Option("--crop", help="Side of the centred square to cut out; 0 takes the largest.")
]
AlexNet = Annotated[
    Path | None,
    typer.Option("--lpips", help="Local AlexNet features (safetensors), for LPIPS."),
]
Save = Annotated[bool, typer.Option("--save", help="Store the result with the model.")]
Scales = Annotated[list[int], typer.Option("--scales", help="Factors.")]
OneScale = Annotated[
    int | None, typer.Option("--scale", help="Factor, where the model has several.")
]
Models = Annotated[str, typer.Option("--models", help="Bundled names or folders, with {scale}.")]
Flows = Annotated[str, typer.Option("--flows", help="The same for the method hcflow.")]
Degradations = Annotated[
    list[str] | None,
    typer.Option(
        "--degradation",
        help="Judge a model that restores: what happens to the images, as for `restore`; again for "
        "another.",
    ),
]
Noise = Annotated[
    float | None,
    typer.Option("--noise", help="With it, or alone: standard deviation of added noise, of 1."),
]
Grain = Annotated[
    bool, typer.Option("--grain", help="Draw the pixels, too, not only what is behind them.")
]
SCALES, MODELS, FLOWS = [4, 8, 16], "celeba64-x{scale}", "celeba64-hcflow-x{scale}"
METHODS, TEMPERATURES = ["bicubic", "cvdvae"], [0.1, 0.8]


def complain(message: str) -> None:
    """Say what is wrong, in one sentence."""
    err.print(f"[red]error:[/red] {escape(message)}", soft_wrap=True, highlight=False)


def remark(message: str) -> None:
    """Say what is no error, in one sentence."""
    err.print(f"[yellow]note:[/yellow] {escape(message)}", soft_wrap=True, highlight=False)


def in_doubt(doubt: "Doubt") -> str:
    """A doubt in one line."""
    advice = doubt.advice.replace("shrunk here", "shrunk here (upscale --simulate)")
    return f"in doubt: {doubt.explanation} {advice}"


def print_json(data: dict[str, Any]) -> None:
    """One line of JSON, at once."""
    print(json.dumps(data), flush=True)


@contextmanager
def silent() -> Iterator[None]:
    """Drop what other packages say, as torchvision does while it fetches weights."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def end(failures: dict[str, str]) -> None:
    """Say which images could not be used, and exit with 1 if there are any."""
    for sentence in failures.values():
        complain(sentence)
    if failures:
        raise typer.Exit(1)
