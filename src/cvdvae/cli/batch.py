"""The command for many images: batch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .common import (
    STRONG,
    Antithetic,
    Device,
    Domain,
    Dtype,
    Grain,
    Look,
    MaskFile,
    MaxMegapixels,
    Moves,
    OtherModel,
    Quiet,
    Samples,
    Seed,
    SelfEnsemble,
    Temperature,
    Values,
    WhatHappened,
    complain,
    ignore,
    megapixels,
    mind_dtype,
    out,
    progress_bar,
    remark,
)
from .restore import named_restorer

if TYPE_CHECKING:
    from ..batch.happened import Happened
    from ..batch.run import Engine, Progress

app = typer.Typer()


@app.command()
def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Folder or glob of images; Parquet with image bytes; tars; Zarr."
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    to: Annotated[
        Literal["folder", "parquet", "zarr"],
        typer.Option("--to", help="Write a folder for every image, or tables, or arrays."),
    ] = "folder",
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="This machine's processors, or a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, host:port; started here by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes or actors; one for every processor.")
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="With ray: what part of a GPU a worker takes.")
    ] = 0.0,
    scale: Annotated[
        int | None,
        typer.Option(help="Factor; 4 of photos and 8 of faces where none is named."),
    ] = None,
    domain: Domain = "photos",
    model: OtherModel = None,
    samples: Samples = 8,
    temperature: Temperature = None,
    antithetic: Antithetic = False,
    self_ensemble: SelfEnsemble = False,
    seed: Seed = 0,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent",
            help="Every image has noise of its own, from its key; else all have the seed's.",
        ),
    ] = False,
    look: Look = False,
    shrunk_by: Annotated[str, typer.Option(help="As for upscale.")] = "bicubic",
    noise: Annotated[
        str | None,
        typer.Option(help=f"The images are noisy. How strong the noise is ({STRONG}), or auto."),
    ] = None,
    jpeg: Annotated[
        str | None,
        typer.Option(help="The images are or were JPEG files: auto, or a quality."),
    ] = None,
    degradation: WhatHappened = None,
    mask: MaskFile = None,
    moves: Moves = 0,
    grain: Grain = False,
    values: Values = None,
    check: Annotated[
        bool, typer.Option(help="Ask whether the input is such as the model knows.")
    ] = True,
    max_megapixels: MaxMegapixels = 100,
    image_column: Annotated[
        str | None, typer.Option(help="Of Parquet: the first with bytes by default.")
    ] = None,
    key_column: Annotated[
        str | None, typer.Option(help="Of Parquet: 'key' by default, else rows are counted.")
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    quiet: Quiet = False,
) -> None:
    """Draw many images, on all processors or a cluster; started again, it goes on.

    They are enlarged, as upscale does; with --degradation, --mask or a --model that restores they
    are restored, as restore does.
    """
    from ..batch.run import run_batch
    from ..batch.settings import Settings
    from ..batch.sources import open_source

    if len(sources) > 1:
        raise InputError("batch takes one source: put a glob in quotes, as in 'album/*.png'")
    name, happened = _chosen(domain, model, scale, shrunk_by, degradation, mask, jpeg, noise, moves)
    settings = Settings(
        samples,
        temperature,
        seed,
        independent,
        shrunk_by,
        check,
        scale,
        device,
        dtype,
        max_pixels=megapixels(max_megapixels),
        antithetic=antithetic,
        self_ensemble=self_ensemble,
        values=values,
        look=look,
        happened=happened,
        moves=moves,
        grain=grain,
    )
    for line in () if quiet or happened is None else happened.notes:
        remark(line)
    chosen = _engine(engine, address, workers, gpus, device)
    if engine == "local" and device == "cpu":
        mind_dtype(dtype, device, quiet)
    with progress_bar(quiet, percent=True, to_go=False) as bar:
        task = bar.add_task("reading", total=None)

        def told(progress: "Progress") -> None:
            done = progress.rows - progress.left
            bar.update(task, description=_line(progress), total=progress.rows, completed=done)

        say = ignore if quiet else remark
        found = open_source(sources[0], image_column, key_column, out_folder, say)
        progress = run_batch(found, out_folder, name, settings, to, chosen, told)
    _end(progress, out_folder, quiet)


def _chosen(
    domain: str,
    model: str | None,
    scale: int | None,
    shrunk_by: str,
    degradation: str | None,
    mask: Path | None,
    jpeg: str | None,
    noise: str | None,
    moves: int,
) -> "tuple[str, Happened | None]":
    """The model, and what happened to the images where it is one that restores.

    Raises:
        InputError: The options do not go together, or there is no such model.
    """
    from ..batch.happened import happened, undoing
    from ..checkpoints.folder import find, read_record
    from ..domains import domain_of

    kind = None if model is None else read_record(find(model)).kind
    if kind == "prior" and not moves:
        raise InputError(f"'{model}' is a prior, whose samples need --moves, some hundreds")
    if kind in ("restorer", "prior") or degradation is not None or mask is not None:
        if scale is not None or shrunk_by != "bicubic":
            raise InputError(
                "--scale and --shrunk-by go with enlarging: say --degradation downscale:scale=4"
            )
        return named_restorer(domain, model), happened(degradation, mask, jpeg, noise)
    known = domain_of(domain)  # whether or not it is asked
    name = model or known.model_at(known.usual_scale if scale is None else scale)
    if noise is None and jpeg is None:
        return name, None
    return undoing(name, scale, shrunk_by, jpeg, noise)


def _engine(
    engine: str, address: str | None, workers: int | None, gpus: float, device: str
) -> "Engine":
    if engine == "local":
        if address or gpus:
            raise InputError("--address and --gpus go with --engine ray")
        from ..batch.run import local

        return local(workers)
    if gpus and device == "cpu":
        raise InputError("--gpus goes with --device cuda: without it, processors compute")
    if not gpus and device.startswith("cuda"):  # Ray hides them
        raise InputError("--device cuda goes with --gpus on Ray: what part of a GPU a worker takes")
    from ..batch.on_ray import ray_engine

    return ray_engine(address, workers, gpus)


def _line(progress: "Progress") -> str:
    left = progress.to_go
    failed = f", {progress.failed} failed" if progress.failed else ""
    to_go = "" if left is None else f", {_time(left)} to go at {progress.rate:.3g} a second"
    return f"{progress.rows - progress.left} of {progress.rows} images{failed}{to_go}"


def _time(seconds: float) -> str:
    """A time, to two figures.

    Example:
        >>> _time(40), _time(400), _time(40_000)
        ('40 s', '6.7 min', '11 h')
    """
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} s"


def _end(progress: "Progress", out_folder: Path, quiet: bool) -> None:
    """Say what was done, and what failed and why; exit with 1 if anything did."""
    from ..evaluation.table import counted

    if not quiet:
        before = f", {progress.before} were there" if progress.before else ""
        out.print(
            f"{counted(progress.drawn, 'image')} drawn{before}. Details are invented and identify "
            f"nobody: {out_folder}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for note, count in progress.notes.most_common():
            remark(f"{count} × {note}")
    for reason, count in sorted(progress.reasons.items(), key=lambda item: -item[1]):
        complain(f"{count} × {reason}")
    if progress.failed:
        complain(f"{progress.failed} of {progress.rows} images failed: see failures.jsonl")
        raise typer.Exit(1)
