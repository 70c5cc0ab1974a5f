"""Commands around models: app, demo, models, import, push, bench."""

from functools import partial
from math import isnan
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import need
from .common import (
    Compile,
    Device,
    Dtype,
    Samples,
    Seed,
    complain,
    err,
    out,
    progress_bar,
)

app = typer.Typer()


@app.command("app")
def app_(
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            envvar="CVDVAE_AUTH",
            show_envvar=True,
            help="name:password that visitors must give; others on this machine can read it "
            "here, so better set CVDVAE_AUTH.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the bundled models: names, folders, Hub ids."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name in the page's address; may be repeated."),
    ] = None,
) -> None:
    """Explore and steer the samples on a page in the browser."""
    need("gradio", "the page", "app")
    from ..app.hosts import is_loopback
    from ..app.server import NO_HOST, parse_auth, serve

    if not host.strip():
        complain(NO_HOST)
        raise typer.Exit(2)
    credentials = parse_auth(auth)
    if credentials is None and not is_loopback(host):
        err.print(
            "warning: everyone who can reach this machine can use the page: to let in only those "
            "with a password, set CVDVAE_AUTH=name:password",
            style="yellow",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    place = f"[{place}]" if ":" in place else place
    told = f"Open http://{place}:{port} (Ctrl+C ends it)"
    say = partial(out.print, told, markup=False, highlight=False)
    serve(host, port, credentials, model, tuple(allow_host or ()), say)


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = Path(
        "cvdvae-demo"
    ),
    samples: Samples = 8,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", "-t", help="As for upscale; as with --look by default."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Shrink a bundled photo and a face, and show what could have been behind them."""
    from ..demo import run_demo
    from ..locks import sole_writer

    with sole_writer(out_folder), progress_bar(percent=True) as progress:
        task = progress.add_task("drawing", total=1)
        report = run_demo(out_folder, samples, temperature, seed, partial(progress.advance, task))
    table = Table(title="Shrunk: what could have been behind it?")
    for title in (
        "",
        "pixels kept",
        "bicubic",
        "one sample",
        "mean of samples",
        "samples differ by",
        "gives the input back",
    ):
        table.add_column(title, justify="right" if title else "left")
    for row in report.rows:
        table.add_row(*row)
    out.print(table)
    out.print(f"Open {report.picture}", markup=False, highlight=False, style="bold")
    out.print("PSNR is against the real photo.", highlight=False)
    if report.all_exact:
        out.print(
            "Every sample shrinks to exactly the same input, so nothing in the input tells "
            "them apart:\nwhat differs between them is invented.",
            highlight=False,
        )


@app.command()
def models() -> None:
    """List the bundled models."""
    from ..checkpoints.folder import bundled_names
    from ..checkpoints.summary import summary

    table = Table(show_edge=False, pad_edge=False)  # or 80 columns cut words short
    table.add_column("model", no_wrap=True)
    table.add_column("does", min_width=len("super-resolution,"))
    for title in ("takes", "gives", "size"):
        table.add_column(title, overflow="fold")
    for name in bundled_names():
        *words, megabytes = summary(name)
        table.add_row(name, *words, f"{megabytes:.1f} MB" if megabytes else "–")
    out.print(table)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A released .th, .ckpt or .pth file.")],
    preset: Annotated[str, typer.Option(help="Its size: ffhq256, imagenet64, hcflow-celeba-x8 …")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the model to make.")],
) -> None:
    """Convert a released checkpoint to a model folder."""
    from ..checkpoints.published import import_checkpoint

    kind = import_checkpoint(checkpoint, preset, out_folder)
    out.print(f"{out_folder} holds the {kind}", markup=False, highlight=False)
    if kind == "prior":
        out.print(
            f"Next: cvdvae train encoder --prior {quote(str(out_folder))} …, or in Python "
            f"cvdvae.load_prior({str(out_folder)!r})",
            markup=False,
            highlight=False,
        )


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder of the model.")],
    repository: Annotated[str, typer.Argument(help="user/repository on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Visible to you alone.")] = False,
) -> None:
    """Send a model folder to the Hugging Face Hub."""
    from ..checkpoints.pushing import push_to_hub

    out.print(push_to_hub(folder, repository, private), markup=False, highlight=False)


@app.command()
def bench(
    models: Annotated[
        list[str], typer.Option("--model", help="Bundled name, folder, or Hub id; may be repeated.")
    ] = ["photos-x4"],  # noqa: B006
    scale: Annotated[
        int | None, typer.Option("--scale", help="Factor, of models that have several.")
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    compile_: Compile = False,
) -> None:
    """Time the drawing of one and of eight samples of a small image, which is said, beside what
    this machine can do."""
    from ..bench import bench as run
    from ..bench import peak, peak_memory
    from ..restoration.load import load

    table = Table(title=f"Samples of one image, {dtype} on {device}")
    table.add_column("model")
    table.add_column("image")
    for title in ("samples", "seconds", "images/s", "GFLOP/s", "of the peak"):
        table.add_column(title, justify="right")
    resolvers = [load(name, device, dtype, compile_, scale) for name in models]
    place = resolvers[0].device
    top = peak(place, resolvers[0].dtype)
    for name, resolver in zip(models, resolvers, strict=True):
        large = resolver.lr_size * resolver.scale
        for row in run(resolver):
            speed = row.gflops_per_second
            table.add_row(
                escape(name),
                f"{resolver.lr_size}² → {large}²",
                str(row.samples),
                f"{row.seconds:.3f}",
                f"{row.images_per_second:.2f}",
                f"{speed:.{0 if speed >= 10 else 2}f}",
                f"{row.gflops_per_second / top:.0%}",
            )
    out.print(table)
    out.print(f"Peak of this machine's 3×3 convolutions: {top:.0f} GFLOP/s", highlight=False)
    if not isnan(memory := peak_memory(place)):
        out.print(f"Peak memory: {memory:.2f} GB", highlight=False)
