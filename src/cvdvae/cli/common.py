"""What all commands share: options, consoles, progress bars."""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from ..errors import CVDVAEError, CVDVAEWarning, InputError
from .consoles import Shares, console_of_results, err, out, print_json, progress_bar

if TYPE_CHECKING:
    import torch

    from ..batch.files import Job, Outcome
    from ..batch.restoring import Restored
    from ..checkpoints.records import Recommended
    from ..restoration.result import Doubt, Truth

__all__ = ["Shares", "err", "out", "print_json", "progress_bar"]

STRONG = (
    "standard deviation; 1 is black to white, of arrays HIGH − LOW; 0.02 about 5 of 255 grey levels"
)
"""How the strength of noise is told."""

Samples = Annotated[int, typer.Option("--samples", "-n", help="Samples of each image.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        "-t",
        help="0 tame, 1 wild; by default the model's own calibrated ones. It is the prior's, and "
        "changes the encoder's, too: to the same number where that gives all groups, as of "
        "photographs, else to 1.",
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
        help="Draw pairs with opposite noise: the mean of two is better than that of four others.",
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "--self-ensemble",
        help="Samples see the input mirrored and turned, each in another way: their mean is nearer "
        "to the truth.",
    ),
]
Model = Annotated[str, typer.Option("--model", help="Bundled name, model folder, or Hub id.")]
OtherModel = Annotated[
    str | None, typer.Option("--model", help="Instead: bundled name, model folder, or Hub id.")
]
Domain = Annotated[str, typer.Option("--domain", help="What they show: photos, faces.")]
Inputs = Annotated[list[str], typer.Argument(help="Images: files, folders or globs.")]
Results = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Values = Annotated[
    str | None,
    typer.Option(
        "--values",
        help="What the model's 0 and 1 stand for in arrays: dtype, percentiles, or LOW,HIGH; "
        "by default as the data let expect, and said.",
    ),
]
Look = Annotated[
    bool,
    typer.Option("--look", help="Tamer samples, to look at: they differ less than the truth may."),
]
WhatHappened = Annotated[
    str | None,
    typer.Option(
        "--degradation",
        help="What happened: blur:sigma=2, motion:length=9,angle=30, hole:side=20, "
        "random:keep=0.5, downscale:scale=4, grey, bayer:pattern=RGGB …, several joined by "
        "' + ', or a YAML file of such steps.",
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="A picture of the same size, white where pixels are missing, and a little beyond; "
        "auto: where the file itself is transparent, or its values are missing.",
    ),
]
MaxMegapixels = Annotated[
    float,
    typer.Option(
        "--max-megapixels", min=0, help="Larger inputs are refused before they are decoded."
    ),
]
MaxPages = Annotated[
    int, typer.Option("--max-pages", min=1, help="Files of arrays with more pages are refused.")
]
Cut = Annotated[
    Literal["face", "centre", "none"] | None,
    typer.Option("--crop", help="With --simulate: what to cut out; with a face model the face."),
]

Json = Annotated[bool, typer.Option("--json", help="One JSON object per image on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of high-resolution images.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the figures and numbers.")]
Start = Annotated[int, typer.Option("--start", help="First image; -500 is the 500th from the end.")]
Images = Annotated[int | None, typer.Option("--images", help="How many; all by default.")]
Crop = Annotated[
    int, typer.Option("--crop", help="Side of the centred square to cut out; 0 takes the largest.")
]
RandomCrops = Annotated[
    bool | None,
    typer.Option(
        "--random-crops/--no-random-crops",
        help="Squares at random places, not resized; usual for models of any size.",
    ),
]
AlexNet = Annotated[
    Path | None,
    typer.Option("--lpips", help="Local AlexNet features (safetensors), for LPIPS."),
]
Save = Annotated[bool, typer.Option("--save", help="Store the result with the model.")]
Scales = Annotated[
    list[int] | None, typer.Option("--scales", "--scale", help="Factors; by default the models'.")
]
OneScale = Annotated[
    int | None, typer.Option("--scale", help="Factor, of the domain's models or of one of several.")
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models", "--model", help="Instead: name, folder, Hub id, with {scale} where it stands."
    ),
]
Flows = Annotated[str | None, typer.Option("--flows", help="The same for the method hcflow.")]
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
    typer.Option(
        "--noise",
        help="With --degradation, or alone: how strong the noise is (standard deviation; "
        "1 is black to white; 0.02 about 5 of 255 grey levels).",
    ),
]
Moves = Annotated[
    int,
    typer.Option(
        "--moves",
        min=0,
        help="Moves of each sample's chain, which correct the encoder, or half of which lead to a "
        "start where there is none; noise counts as half a grey level at least.",
    ),
]
Grain = Annotated[
    bool, typer.Option("--grain", help="Draw the pixels, too, not only what is behind them.")
]
METHODS = ["bicubic", "cvdvae"]


def complain(message: str) -> None:
    """Say what is wrong, in one sentence."""
    err.print(f"[red]error:[/red] {escape(message)}", soft_wrap=True, highlight=False)


def remark(message: str) -> None:
    """Say what is no error, in one sentence."""
    err.print(f"[yellow]note:[/yellow] {escape(message)}", soft_wrap=True, highlight=False)


def say_warnings() -> None:
    """Say ours as remarks, from now on; those of others are shown as before."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, CVDVAEWarning):
            remark(str(message))
        else:
            before(message, category, *where, **more)

    warnings.showwarning = show


def mind_dtype(dtype: str, device: "str | torch.device", quiet: bool) -> None:
    """Say where bf16 is the slower choice."""
    from ..checkpoints.devices import has_fast_bf16

    if dtype == "bf16" and not quiet and has_fast_bf16(device) is False:
        remark(f"{device} has no bf16 of its own: fp32 is faster here")


def ignore(message: str) -> None:
    """Say nothing."""


def refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty argument, which as a path would be the whole current folder, but that of
    `--host`, of which there is more to say.

    Raises:
        InputError: There is one.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option = before if before.startswith("-") else ""
        if argument.startswith("--") and argument.endswith("="):
            option, argument = argument[:-1], ""
        if not argument and option != "--host":
            after = f"what follows {option}" if option else "an argument"
            raise InputError(f"{after} is empty, as where a variable is not set: name it")


def megapixels(count: float) -> int:
    """So many, in pixels.

    Raises:
        InputError: They are not above 0.
    """
    if not count > 0:
        raise InputError(f"--max-megapixels is a number above 0, not {count:g}")
    return int(min(count * 1e6, sys.maxsize))


def in_doubt(doubt: "Doubt", simulated: bool = False) -> str:
    """A doubt in one line; what was shrunk here already needs no such advice."""
    said = f"in doubt: {doubt.explanation}"
    advice = doubt.advice.replace("shrunk here", "shrunk here (upscale --simulate)")
    return said if simulated else f"{said} {advice}"


def tell(
    job: "Job",
    result: "Outcome | Restored",
    notes: list[str],
    line: Callable[[], str],
    as_json: bool,
    quiet: bool,
) -> None:
    """Say on stdout what came of one input, with all that speaks against it."""
    if as_json:
        kept = {key: value for key, value in result.report().items() if key != "note"}
        print_json(kept | {"input": str(job.path), "folder": str(job.folder), "notes": notes})
    elif not quiet:
        console = console_of_results()
        doubts = getattr(result, "doubts", None) or []
        simulated = getattr(result, "truth", None) is not None
        for note in notes + [in_doubt(doubt, simulated) for doubt in doubts]:
            console.print(f"{job.path}: {note}", style="yellow", markup=False)
        console.print(line(), markup=False, highlight=False)


def psnr_tail(truth: "Truth | None", other: str) -> str:
    """How samples compare with the truth, at the end of a line; empty where none is known."""
    if truth is None:
        return ""
    return (
        f"; PSNR {truth.mean_psnr:.2f} dB (mean), {truth.sample_psnr[0]:.2f} (one sample), "
        f"{truth.bicubic_psnr:.2f} ({other})"
    )


def is_wild(
    recommended: "Recommended", encoder_temperature: float, temperature: float | None = None
) -> bool:
    """Whether samples drawn so are calibrated, and those for looking are tamer; the temperature of
    the prior's groups is None where the encoder gives all of them."""
    calibrated = bool(recommended.calibrated)
    calibrated &= encoder_temperature == recommended.encoder_temperature
    calibrated &= temperature in (None, recommended.temperature)
    return calibrated and recommended.look < max(encoder_temperature, temperature or 0)


def failed(path: Path, error: Exception, failures: list[str], as_json: bool) -> None:
    """Note an input that could not be used, and in JSON say so at once."""
    said = str(error)
    if as_json:
        print_json({"input": str(path), "error": said})
    failures.append(said if str(path) in said else f"{path}: {said}")


def end_of_inputs(
    failures: list[str], inputs: int, out_folder: Path | None, tamer: bool = False
) -> None:
    """Say where to look, and which inputs failed; exit with 1 if any did.

    `tamer` is whether `--look` would draw tamer samples, which then is said.
    """
    done = inputs - len(failures)
    if done and out_folder is not None:
        wild = "Drawn as wild as their spread must be to be believed: --look draws tamer samples. "
        out.print(
            f"Details are invented and identify nobody. {wild if tamer else ''}"
            f"Look at every grid.png in {out_folder}",
            markup=False,
            highlight=False,
        )
    for failure in failures:
        complain(failure)
    if failures and inputs > 1:
        complain(f"{len(failures)} of {inputs} inputs failed, {done} done")
    if failures:
        raise typer.Exit(1)


@contextmanager
def silent() -> Iterator[None]:
    """Drop what other packages say, as torchvision does while it fetches weights."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def telling(failures: dict[str, str]) -> Iterator[None]:
    """Where an error ends the command, say first which images could not be used, and why."""
    try:
        yield
    except CVDVAEError:
        for sentence in failures.values():
            complain(sentence)
        raise


def end(failures: dict[str, str]) -> None:
    """Say which images could not be used, and exit with 1 if there are any."""
    for sentence in failures.values():
        complain(sentence)
    if failures:
        raise typer.Exit(1)
