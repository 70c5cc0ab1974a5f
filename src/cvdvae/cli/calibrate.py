"""The command that fits temperatures: calibrate."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import InputError
from .common import (
    Crop,
    Data,
    Device,
    Domain,
    Grain,
    Images,
    Noise,
    OneScale,
    OtherModel,
    Samples,
    Save,
    Seed,
    Start,
    end,
    out,
    progress_bar,
    telling,
)
from .damage import DamageOptions
from .family import one_model

if TYPE_CHECKING:
    from ..checkpoints.records import Recommended
    from ..evaluation.selection import Pair, Selection
    from ..evaluation.task import Subject

app = typer.Typer()

Pairs = Callable[[], "Iterable[Pair]"]


@app.command()
def calibrate(
    data: Data,
    domain: Domain = "photos",
    model: OtherModel = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            help="Of a model that restores: what happens to the images, as for `restore`."
        ),
    ] = None,
    noise: Noise = None,
    grain: Grain = False,
    samples: Samples = 8,
    seed: Seed = 0,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    scale: OneScale = None,
    save: Save = False,
    device: Device = "cpu",
) -> None:
    """Find the temperatures with the best scores on validation images."""
    from ..analysis.calibration import check_enough, different, fit
    from ..checkpoints.folder import check_storable, recommend
    from ..evaluation.selection import Selection
    from ..evaluation.table import FEW, counted
    from ..restoration.settings import Sampling

    selection = Selection(data, start, images, crop)
    failures: dict[str, str] = {}
    given = [degradation] if degradation else []
    damage = DamageOptions(model, given, noise, 0, grain, device, domain)
    subject, recommended, pairs = (
        _restoring(damage, selection, failures)
        if damage.fitted(scale)
        else _resolving(one_model(domain, model, scale), scale, selection, failures, device)
    )
    tried_at, model = subject.grids, subject.name
    if save:
        check_storable(model)
        check_enough(len(selection))
    with telling(failures), progress_bar() as progress:
        start_at = Sampling(samples, 0.8, seed, 1.0, profile=subject.recommended.profile)
        draws = different(tried_at, start_at.temperature)
        task = progress.add_task("drawing", total=draws * len(selection))
        best, tried = fit(subject, pairs, start_at, lambda: progress.advance(task))
    both = bool(tried_at.prior and tried_at.encoder)
    few = tried[0].images < FEW
    caption = f"* the best{f', of fewer than {FEW} images perhaps by chance' if few else ''}"
    table = Table(caption=caption)
    for title in ("temperature", *["of the encoder"] * both, "CRPS ×10³", "off the diagonal"):
        table.add_column(title, justify="right")
    for c in tried:
        encoder = f"{c.sampling.encoder_temperature:g}"
        first = f"{c.sampling.temperature:g}" if tried_at.prior else encoder
        table.add_row(
            first,
            *[encoder] * both,
            "* " * (c.sampling == best) + f"{(c.crps.mean or 0) * 1e3:.2f}",
            f"{c.miscalibration:.1%}",
            style="bold" if c.sampling == best else None,
        )
    heading = f"{model} on {counted(tried[0].images, 'image')}"
    out.print(heading, markup=False, highlight=False)
    out.print(table)
    if unfit := draws - len(tried):
        out.print(f"At {unfit} other temperatures samples exploded.", highlight=False)
    if save:
        with telling(failures):
            check_enough(tried[0].images)
        prior = best.temperature if tried_at.prior else best.encoder_temperature
        found = replace(recommended, encoder_temperature=best.encoder_temperature, calibrated=True)
        path = recommend(model, replace(found, temperature=prior))
        out.print(f"Stored in {path}", markup=False, highlight=False)
    chosen = (best.temperature, best.encoder_temperature)
    if any(t in (grid[0], grid[-1]) for t, grid in zip(chosen, tried_at, strict=True) if grid):
        out.print("The best value lies at the edge of what was tried.", highlight=False)
    end(failures)


def _resolving(
    name: str, scale: int | None, selection: "Selection", failures: dict[str, str], device: str
) -> "tuple[Subject, Recommended, Pairs]":
    """A super-resolver, its temperatures, and images with their low-resolution images."""
    from ..restoration.load import load

    resolver = load(name, device, scale=scale)
    _refuse_crop(selection, resolver.any_size)
    seen = selection.as_seen_by(resolver)
    return resolver, resolver.recommended, lambda: seen.pairs(resolver.degradation, failures)


def _restoring(
    damage: DamageOptions, selection: "Selection", failures: dict[str, str]
) -> "tuple[Subject, Recommended, Pairs]":
    """A restorer, its temperatures, and images with what is left of them."""
    (subject,) = damage.subjects()
    _refuse_crop(selection, subject.any_size)
    return subject, subject.restorer.recommended, lambda: subject.pairs(selection, failures)


def _refuse_crop(selection: "Selection", any_size: bool) -> None:
    """A model of any size is calibrated on squares as large as they are, and not on shrunk ones."""
    if any_size and selection.crop:
        raise InputError("this model is calibrated on squares at random places: leave --crop out")
