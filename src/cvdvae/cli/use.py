"""Commands that use models: upscale, demo, models, import, push, bench."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from ..errors import CVDVAEError, InputError
from .common import (
    Compile,
    Device,
    Dtype,
    Model,
    Samples,
    Seed,
    Temperature,
    complain,
    err,
    expand,
    in_doubt,
    need,
    out,
    progress_bar,
)

if TYPE_CHECKING:
    from ..restoration.result import SuperResolution

app = typer.Typer()


@app.command()
def upscale(
    inputs: Annotated[list[str], typer.Argument(help="LR images: files, folders or globs.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    model: Model = "celeba64-x8",
    samples: Samples = 8,
    temperature: Temperature = None,
    seed: Seed = 0,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="The inputs are photos: shrink them first.")
    ] = False,
    crop: Annotated[
        Literal["face", "centre", "none"] | None,
        typer.Option(help="With --simulate: what to cut out; face unless given."),
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    compile_: Compile = False,
) -> None:
    """Draw high-resolution images behind low-resolution ones, and save them."""
    from ..batch.files import plan, run_one
    from ..files import check_writable
    from ..restoration.load import load
    from ..restoration.settings import Sampling

    if crop and not simulate:
        raise InputError("--crop goes with --simulate: a low-resolution image is taken as it is")
    Sampling(samples, temperature or 0.0, seed)  # refused before anything is read
    jobs = plan(expand(inputs), out_folder)
    check_writable(out_folder)
    resolver = load(model, device, dtype, compile_)
    sampling = resolver.sampling(samples, temperature, seed)
    failures = []
    with progress_bar() as progress:
        task = progress.add_task("", total=samples * len(jobs))
        for index, (path, folder) in enumerate(jobs):
            progress.update(task, description=path.name, completed=samples * index)
            try:
                cut = (crop or "face") if simulate else None
                advance = partial(progress.advance, task)
                result, notes = run_one(resolver, path, sampling, cut, advance)
                result.save(folder)
            except CVDVAEError as error:
                failures.append(str(error))
                continue
            if any(result.exploded):
                count = f"{sum(result.exploded)} of {samples} samples"
                notes = [*notes, f"{count} exploded and are no answer: lower the temperature"]
            notes = notes + [in_doubt(doubt) for doubt in result.doubts or []]
            for note in notes:
                progress.console.print(f"{path}: {note}", style="yellow", markup=False)
            progress.console.print(_one_line(path, folder, result), markup=False, highlight=False)
    done = len(jobs) - len(failures)
    if done:
        out.print(
            f"Details are invented and identify nobody. Look at {out_folder}/*/grid.png",
            markup=False,
            highlight=False,
        )
    if failures:
        for failure in failures:
            complain(failure)
        if len(jobs) > 1:
            complain(f"{len(failures)} of {len(jobs)} inputs failed, {done} done")
        raise typer.Exit(1)


@app.command()
def replay(
    recipe: Annotated[Path, typer.Argument(help="A result.json, of this command or the app.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    device: Device = "cpu",
) -> None:
    """Draw a result again, with all its steps of steering."""
    from ..files import check_writable
    from ..restoration.load import replay as run

    check_writable(out_folder)
    result = run(recipe, device)
    result.save(out_folder)
    out.print(_one_line(recipe, out_folder, result), markup=False, highlight=False)


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
    out.print(f"Open http://{place}:{port} (Ctrl+C ends it)", markup=False, highlight=False)
    serve(host, port, credentials, model, tuple(allow_host or ()))


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = Path(
        "cvdvae-demo"
    ),
    samples: Samples = 8,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", help="Of the prior's groups.")
    ] = 0.8,
    seed: Seed = 0,
) -> None:
    """Shrink a bundled photo and show what could have been behind it."""
    from ..demo import run_demo

    with progress_bar() as progress:
        task = progress.add_task("drawing", total=3 * samples)
        report = run_demo(out_folder, samples, temperature, seed, partial(progress.advance, task))
    table = Table(title="One photo, shrunk: what could have been behind it?")
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

    table = Table()
    for title in ("model", "does", "takes", "gives", "weights"):
        table.add_column(title)
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
            f"Next: cvdvae train encoder --prior {out_folder} …, or in Python "
            f'cvdvae.load_prior("{out_folder}")',
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
    from ..checkpoints.folder import push_to_hub

    out.print(push_to_hub(folder, repository, private), markup=False, highlight=False)


@app.command()
def bench(
    models: Annotated[
        list[str], typer.Option("--model", help="Bundled name, folder, or Hub id; may be repeated.")
    ] = ["celeba64-x8"],  # noqa: B006
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    compile_: Compile = False,
) -> None:
    """Time the drawing of one and of eight samples, beside what this machine can do."""
    from ..bench import bench as run
    from ..bench import peak, peak_memory
    from ..restoration.load import load

    table = Table(title=f"Samples of one image, {dtype} on {device}")
    table.add_column("model")
    for title in ("samples", "seconds", "images/s", "GFLOP/s", "of the peak"):
        table.add_column(title, justify="right")
    resolvers = [load(name, device, dtype, compile_) for name in models]
    place = resolvers[0].device
    top = peak(place, resolvers[0].dtype)
    for resolver in resolvers:
        for row in run(resolver):
            table.add_row(
                resolver.name,
                str(row.samples),
                f"{row.seconds:.3f}",
                f"{row.images_per_second:.2f}",
                f"{row.gflops_per_second:.0f}",
                f"{row.gflops_per_second / top:.0%}",
            )
    out.print(table)
    out.print(f"Peak of this machine's 3×3 convolutions: {top:.0f} GFLOP/s", highlight=False)
    out.print(f"Peak memory: {peak_memory(place):.2f} GB", highlight=False)


def _one_line(path: Path, folder: Path, result: "SuperResolution") -> str:
    exact, worst = result.round_trip_exact, max(result.largest_lr_error)
    agrees = (
        "every sample gives the input back exactly"
        if all(exact)
        else f"{sum(exact)} of {len(exact)} samples give the input back exactly, "
        f"the others are off by up to {worst:.1f} levels of 255"
    )
    truth = result.against_truth()
    against = (
        ""
        if truth is None
        else (
            f"; PSNR {truth.mean_psnr:.2f} dB (mean), {truth.sample_psnr[0]:.2f} (one sample), "
            f"{truth.bicubic_psnr:.2f} (bicubic)"
        )
    )
    return f"{path} → {folder} in {result.seconds:.1f} s: {agrees}{against}"
