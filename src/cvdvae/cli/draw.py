"""Commands that draw samples: upscale, replay."""

from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import CVDVAEError, InputError
from .common import (
    STRONG,
    Antithetic,
    Compile,
    Cut,
    Device,
    Domain,
    Dtype,
    Inputs,
    Json,
    Look,
    MaxMegapixels,
    MaxPages,
    OtherModel,
    Quiet,
    Results,
    Samples,
    Seed,
    SelfEnsemble,
    Shares,
    Temperature,
    Values,
    end_of_inputs,
    failed,
    ignore,
    is_wild,
    megapixels,
    mind_dtype,
    out,
    progress_bar,
    psnr_tail,
    remark,
    tell,
)
from .remedies import HALF_A_LEVEL, remedy
from .restore import ENLARGED, exploded, restore_all, usual_crop
from .restore import one_line as of_restoration

if TYPE_CHECKING:
    from ..batch.files import Job, Outcome
    from ..domains import Domain as Known

app = typer.Typer()

LITTLE = 0.01
"""Percent that nobody wants to know more exactly."""


@app.command()
def upscale(
    inputs: Inputs,
    out_folder: Results,
    scale: Annotated[
        int | None, typer.Option(help="Factor: 2, 3 or 4 (photos), 4, 8 or 16 (faces).")
    ] = None,
    domain: Domain = "photos",
    model: OtherModel = None,
    samples: Samples = 8,
    temperature: Temperature = None,
    look: Look = False,
    antithetic: Antithetic = False,
    self_ensemble: SelfEnsemble = False,
    seed: Seed = 0,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="The inputs are photos: shrink them first.")
    ] = False,
    crop: Cut = None,
    shrunk_by: Annotated[
        str,
        typer.Option(
            help="What made the inputs small: bicubic, pillow-lanczos, pillow-bilinear, box "
            "(OpenCV's area), matlab, canvas (a browser), nearest (OpenCV's), "
            "pillow-nearest; pillow-bicubic is bicubic."
        ),
    ] = "bicubic",
    noise: Annotated[
        str | None,
        typer.Option(
            help=f"The inputs are noisy. How strong the noise is ({STRONG}), or auto. Samples "
            f"explain them within that, and do not repeat it."
        ),
    ] = None,
    jpeg: Annotated[
        str | None,
        typer.Option(help="The inputs are or were JPEG files: auto, or a quality."),
    ] = None,
    animation: Annotated[
        Literal["webp", "apng"] | None,
        typer.Option(help="Also write the samples one after the other: what moves is invented."),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Ask whether the input is such as the model knows.")
    ] = True,
    max_megapixels: MaxMegapixels = 100,
    max_pages: MaxPages = 100,
    values: Values = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    compile_: Compile = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw high-resolution images behind low-resolution ones, and save them."""
    from ..batch.files import draw_into, pixels_of, plan, read_any
    from ..batch.happened import undoing
    from ..batch.restoring import Asked
    from ..batch.settings import Settings
    from ..domains import domain_of
    from ..files import check_writable
    from ..imaging.arrays import Limits
    from ..imaging.io import raise_pillows_limit
    from ..locks import sole_writer
    from ..restoration.load import load, load_restorer

    if crop and not simulate:
        raise InputError("--crop goes with --simulate: a low-resolution image is taken as it is")
    draws = (samples, temperature, seed)
    settings = Settings(
        *draws, shrunk_by=shrunk_by, look=look, antithetic=antithetic, self_ensemble=self_ensemble
    )
    limits = Limits(megapixels(max_megapixels), max_pages)
    raise_pillows_limit(limits.pixels)
    jobs = plan(inputs, out_folder, ignore if quiet else remark)
    known = domain_of(domain)  # whether or not it is asked
    name = model or _model_for(known, scale, jobs, simulate)
    if noise is not None or jpeg is not None:
        if animation or compile_ or not check:
            raise InputError(
                "--animation, --compile and --no-check do not go with --noise and --jpeg"
            )
        beside, what = undoing(name, scale, shrunk_by, jpeg, noise)
        restorer = load_restorer(beside, device, dtype)
        mind_dtype(dtype, restorer.device, quiet)
        cut = (crop or usual_crop(restorer)) if simulate else None
        asked = Asked(what, settings.restoring(restorer), cut, limits, values)
        restore_all(restorer, jobs, asked, out_folder, json_, quiet, ENLARGED)
        return
    failures: list[str] = []
    with sole_writer(out_folder), progress_bar(quiet, percent=True) as progress:
        check_writable(out_folder)
        resolver = load(name, device, dtype, compile_, scale)
        mind_dtype(dtype, resolver.device, quiet)
        sampling = settings.sampling(resolver)
        cut = (crop or ("none" if resolver.any_size else "face")) if simulate else None
        shares = Shares(progress, [pixels_of(job.path) for job in jobs])
        for index, job in enumerate(jobs):
            try:
                given = read_any(resolver, job.path, cut, limits, shrunk_by, values)
                pixels = samples * given.pixels * resolver.scale**2
                with shares.of(index, job.path.name, pixels) as advance:
                    result = draw_into(
                        resolver, given, sampling, job.folder, animation, check, advance
                    )
            except CVDVAEError as error:
                failed(job.path, error, failures, json_)
                continue
            notes = given.notes + exploded(result)
            notes += remedy(job.path, result, resolver, pixels, simulate)
            line = partial(_one_line, job.path, job.folder, result)
            tell(job, result, notes, line, json_, quiet)
    of_prior = None if resolver.one_temperature else sampling.temperature
    tamer = is_wild(resolver.recommended, sampling.encoder_temperature, of_prior)
    end_of_inputs(failures, len(jobs), None if quiet or json_ else out_folder, tamer)


def _model_for(domain: "Known", scale: int | None, jobs: list["Job"], simulate: bool) -> str:
    """The bundled model of a scale; where none is named, one that all small images suit but those
    that are too small for every model, which fail by themselves."""
    from ..batch.files import shorter_side
    from ..domains.fit import scale_for

    if scale is None and domain.side is not None and not simulate:
        sides = [shorter_side(job.path) or 0 for job in jobs]
        taken = [side for side in sides if side >= min(domain.inputs.values())]
        scale = scale_for(min(taken), domain) if taken else None
    return domain.model_at(domain.usual_scale if scale is None else scale)


@app.command()
def replay(
    recipe: Annotated[
        Path, typer.Argument(help="A result.json of upscale, restore or the page, or its folder.")
    ],
    out_folder: Results,
    device: Device = "cpu",
    trust_model: Annotated[
        bool,
        typer.Option("--trust-model", help="Load the model that it names, though not bundled."),
    ] = False,
) -> None:
    """Draw a result of upscale or restore again, with all its steps of steering."""
    from ..batch.replaying import replay_into
    from ..files import check_writable
    from ..locks import sole_writer
    from ..restoration.restored import Restoration
    from ..restoration.saving import settle
    from ..restoration.stack.restored import RestoredStack

    with sole_writer(out_folder), progress_bar(percent=True) as progress:
        check_writable(out_folder)
        settle(out_folder)  # the recipe may be of a result that a killed run has put aside
        name = recipe.absolute().parent.name
        task = progress.add_task(name, total=1)
        advance = partial(progress.advance, task)
        result = replay_into(recipe, out_folder, device, trust_model, advance, remark)
        progress.update(task, completed=1)
    if isinstance(result, Restoration | RestoredStack):
        line = of_restoration(recipe, out_folder, result)
    else:
        line = _one_line(recipe, out_folder, result)
    out.print(line, markup=False, highlight=False)
    end_of_inputs([], 1, out_folder)


def _one_line(path: Path, folder: Path, result: "Outcome") -> str:
    against = psnr_tail(result.against_truth(), "bicubic")
    return f"{path} → {folder} in {result.seconds:.1f} s: {_agreement(result)}{against}"


def _agreement(result: "Outcome") -> str:
    """How well the samples give the input back; those that exploded are no answer to it, whatever
    the projection made of them."""
    from ..batch.remarks import UNCHECKED
    from ..restoration.stack.result import StackResult

    left = [not gone for gone in result.exploded] or [True] * len(result.round_trip_exact)
    if not any(left):
        return "every sample exploded: none is an answer"
    if isinstance(result, StackResult) and not result.checked:
        return UNCHECKED
    samples = "samples" if all(left) else "samples that did not explode"
    every = samples.replace("samples", "every sample")
    if result.misfit is not None:
        misfit = list(compress(result.misfit, left))
        off = f"{min(misfit):.2f} to {max(misfit):.2f}"
        return f"shrunk, {samples} are off by {off} standard deviations of the input's noise"
    exact = list(compress(result.round_trip_exact, left))
    worst = max(compress(result.largest_lr_error, left))
    unit = " levels of 255"
    if isinstance(result, StackResult):
        unit = " in the input's unit"
        if not result.stack.whole:
            trips = [trip for planes in compress(result.round_trips, left) for trip, _ in planes]
            share = max(trip.largest / (trip.levels or 1) for trip in trips)
            if share > HALF_A_LEVEL:
                off = f"{worst:.2g}{unit} ({100 * share:.3g} % of the range)"
                return f"{samples} do not give the input back: off by up to {off}"
            return f"{every} gives the input back but for {worst:.2g}{unit}"
    if all(exact):
        return f"{every} gives the input back exactly"
    most = 100 * max(compress(result.missed_share, left))
    missed = f"up to {_percent(most)}" if most >= LITTLE else f"less than {LITTLE} %"
    others = "of the others " if any(exact) else ""
    return (
        f"{sum(exact)} of {len(exact)} {samples} give the input back exactly: "
        f"{others}{missed} of the values are off, by up to {worst:.1f}{unit}"
    )


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
