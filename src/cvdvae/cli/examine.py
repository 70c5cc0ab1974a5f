"""Commands that doubt: examine, calibrate-doubt."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import InputError
from .common import (
    Crop,
    Data,
    Device,
    Images,
    Model,
    Save,
    Start,
    end,
    in_doubt,
    out,
    progress_bar,
)

if TYPE_CHECKING:
    from ..restoration.hvae import HVAEResolver

app = typer.Typer()


@app.command()
def examine(
    inputs: Annotated[list[str], typer.Argument(help="LR images: files, folders or globs.")],
    model: Model = "celeba64-x8",
    device: Device = "cpu",
) -> None:
    """Say whether low-resolution images are such as the model knows, why not, and what to do."""
    from ..batch.files import files_of, read_input
    from ..input_check.examine import examine as run

    resolver = _load(model, device)
    if resolver.expected is None:
        raise InputError(
            f"{model} does not know what to expect: let cvdvae calibrate-doubt --save find it"
        )
    failures: dict[str, str] = {}
    for path, _ in files_of(inputs):
        try:
            y, _, notes, _ = read_input(resolver, path)
        except InputError as error:
            failures[str(path)] = str(error)
            continue
        found = run(resolver, y)
        for line in notes + [in_doubt(doubt) for doubt in found.doubts]:
            out.print(f"{path}: {line}", style="yellow", markup=False, soft_wrap=True)
        if not found.doubts:
            out.print(
                f"{path}: nothing unusual (rate {found.rate:.0f} nats, misfit {found.misfit:.1f} "
                f"levels of 255)",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    end(failures)


@app.command("calibrate-doubt")
def calibrate_doubt(
    data: Data,
    model: Model = "celeba64-x8",
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    save: Save = False,
    device: Device = "cpu",
) -> None:
    """Find what to expect of proper images: on one half of them, judged on the other."""
    from ..checkpoints.folder import expect
    from ..checkpoints.proper import save_proper
    from ..evaluation.selection import Selection
    from ..input_check.screen import fit_proper
    from ..input_check.thresholds import doubted_share, fit_expected, judge

    resolver = _load(model, device)
    selection = Selection(data, start, images, crop)
    failures: dict[str, str] = {}
    pairs = selection.pairs(resolver.degradation, failures)
    with progress_bar() as progress:
        task = progress.add_task("judging", total=len(selection))
        proper = [p.y for p in pairs]
        half = len(proper) // 2
        fitted_on = judge(resolver, proper[:half], lambda: progress.advance(task, 0.5))
        fitted_on += judge(
            resolver, (y.flip(2) for y in proper[:half]), lambda: progress.advance(task, 0.5)
        )
        judged = judge(resolver, proper[half:], lambda: progress.advance(task))
    expected = fit_expected(fitted_on)
    glance = fit_proper(
        *(part + [y.flip(2) for y in part] for part in (proper[:half], proper[half:]))
    )
    table = Table(title=f"{model}: {half} images and their mirror images")
    for title in ("statistic", "typical", "in doubt beyond"):
        table.add_column(title, justify="right" if title != "statistic" else "left")
    for name, limit in expected.limits.items():
        table.add_row(name, f"{expected.typical[name]:.1f}", f"{limit:.1f}")
    out.print(table)
    out.print(
        f"Doubted: {doubted_share(fitted_on, expected):.1%} of these, and "
        f"{doubted_share(judged, expected):.1%} of the {len(judged)} others",
        highlight=False,
    )
    if save:
        path = expect(model, expected)
        if glance is not None:
            save_proper(path.parent, glance)
        out.print(f"Stored in {path}", markup=False, highlight=False)
    end(failures)


def _load(name: str, device: str) -> "HVAEResolver":
    """Load a model that can doubt.

    Raises:
        InputError: It has no prior.
    """
    from ..restoration.hvae import HVAEResolver
    from ..restoration.load import load

    model = load(name, device)
    if not isinstance(model, HVAEResolver):
        raise InputError(f"the flow {name} has no prior to doubt with: name an LR encoder")
    return model
