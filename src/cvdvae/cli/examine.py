"""Commands that doubt: examine, calibrate-doubt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import InputError
from .common import (
    Crop,
    Data,
    Device,
    Domain,
    Images,
    Inputs,
    OneScale,
    OtherModel,
    Save,
    Start,
    end,
    in_doubt,
    out,
    progress_bar,
    remark,
    telling,
)
from .family import one_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image
    from torch import Tensor

    from ..evaluation.selection import Selection
    from ..restoration.hvae import HVAEResolver

app = typer.Typer()

TRANSPARENT = "its alpha channel is left out: the colours are examined as they are below it"
GREYSCALE = "a greyscale image: it is examined as such"
UNPROFILED = "its colour profile is not one of RGB: the colours are examined as sRGB without it"


@app.command()
def examine(
    inputs: Inputs,
    domain: Domain = "photos",
    model: OtherModel = None,
    scale: OneScale = None,
    device: Device = "cpu",
) -> None:
    """Say whether low-resolution images are such as the model knows, why not, and what to do; of
    photographs, which program has probably made them small."""
    from ..batch.files import read_input
    from ..batch.finding import files_of
    from ..domains.fit import GIVEN_BACK
    from ..imaging.carried import NO_RGB
    from ..imaging.io import ALPHA, GREY

    model = one_model(domain, model, scale)
    _refuse_several(model)
    resolver = _load(model, device, scale)
    _refuse_faint_light(resolver)
    known = resolver.shrinking if resolver.any_size else resolver.expected
    if known is None:
        raise InputError(
            f"{model} does not know what to expect: let cvdvae calibrate-doubt --save find it"
        )
    examined = _which_program if resolver.any_size else _what_is_odd
    failures: dict[str, str] = {}
    undrawn = {ALPHA: TRANSPARENT, GREY: GREYSCALE, NO_RGB: UNPROFILED}
    for path, _ in files_of(inputs, say=remark):
        try:
            given = read_input(resolver, path)
        except InputError as error:
            failures[str(path)] = str(error)
            continue
        notes = [undrawn.get(note, note).removesuffix(GIVEN_BACK) for note in given.notes]
        doubts, findings = examined(resolver, path, given.y)
        for line in notes + doubts:
            out.print(f"{path}: {line}", style="yellow", markup=False, soft_wrap=True)
        for line in findings:
            out.print(f"{path}: {line}", markup=False, highlight=False, soft_wrap=True)
    end(failures)


Said = tuple[list[str], list[str]]
"""Doubts, and what else there is to say."""


def _what_is_odd(model: "HVAEResolver", path: Path, y: "Tensor") -> Said:
    from ..input_check.examine import examine as run

    found = run(model, y)
    if found.doubts:
        return [in_doubt(doubt) for doubt in found.doubts], []
    return [], [
        f"nothing unusual (rate {found.rate:.0f} nats, misfit {found.misfit:.1f} levels of 255)"
    ]


def _which_program(model: "HVAEResolver", path: Path, y: "Tensor") -> Said:
    from ..degradations.kernels import KERNELS
    from ..imaging.io import is_jpeg
    from ..input_check.shrinking import SURE, likely

    compressed = is_jpeg(path)
    traces = "JPEG compressed it: samples take its traces for detail (not with upscale --jpeg auto)"
    doubts = [traces] if compressed else []
    found = likely(model.shrinking, y, compressed)
    if not found:
        return doubts, ["too small or too flat to tell what made it small"]
    first, second = found[:2]
    if first.probability < SURE:
        return doubts, [f"its spectrum does not tell what made it small: {first}, or {second}"]
    alike = [first.program, *(name for name, k in KERNELS.items() if k.like == first.program)]
    return doubts, [
        f"if a program made it small, probably {first}: --shrunk-by {' or '.join(alike)}; "
        f"or {second} (an image that is noisy instead looks the same)"
    ]


@app.command("calibrate-doubt")
def calibrate_doubt(
    data: Data,
    domain: Domain = "photos",
    model: OtherModel = None,
    scale: OneScale = None,
    start: Start = 0,
    images: Images = None,
    crop: Crop = 0,
    judge: Annotated[
        str,
        typer.Option(help="LR encoder on the same prior that bounds how likely an image is."),
    ] = "",
    save: Save = False,
    device: Device = "cpu",
) -> None:
    """Fit what `examine` compares an input with, for a model of your own: on one half of the
    images; the other half says how often it is right."""
    from ..checkpoints.folder import check_storable, expect, find
    from ..checkpoints.proper import save_proper
    from ..evaluation.selection import Selection
    from ..input_check.screen import fit_proper
    from ..input_check.thresholds import FEWEST, doubted_share, fit_expected, judge_all

    model = one_model(domain, model, scale)
    resolver = _load(model, device, scale, judge)
    selection = Selection(data, start, images, crop)
    _refuse_faint_light(resolver)
    if resolver.any_size:
        _calibrate_programs(resolver, selection, find(model) if save else None)
        return
    if save:
        check_storable(model)
    failures: dict[str, str] = {}
    pairs = selection.as_seen_by(resolver).pairs(resolver.degradation, failures)
    with telling(failures), progress_bar() as progress:
        task = progress.add_task("judging", total=len(selection))
        proper = [p.y for p in pairs]
        _check_enough(len(proper), FEWEST, "images")
        half = len(proper) // 2
        fitted_on = judge_all(resolver, proper[:half], lambda: progress.advance(task, 0.5))
        fitted_on += judge_all(
            resolver, (y.flip(2) for y in proper[:half]), lambda: progress.advance(task, 0.5)
        )
        judged = judge_all(resolver, proper[half:], lambda: progress.advance(task))
        expected = fit_expected(fitted_on)
        glance = fit_proper(
            *(part + [y.flip(2) for y in part] for part in (proper[:half], proper[half:]))
        )
    table = Table()
    for title in ("statistic", "typical", "in doubt beyond"):
        table.add_column(title, justify="right" if title != "statistic" else "left")
    for name, limit in expected.limits.items():
        table.add_row(name, f"{expected.typical[name]:.1f}", f"{limit:.1f}")
    out.print(f"{model}: {half} images and their mirror images", markup=False, highlight=False)
    out.print(table)
    out.print(
        f"Doubted: {doubted_share(fitted_on, expected):.1%} of these, and "
        f"{doubted_share(judged, expected):.1%} of the {len(judged)} others",
        highlight=False,
    )
    if save:
        path = expect(model, expected, judge)
        if glance is not None:
            save_proper(path.parent, glance)
        out.print(f"Stored in {path}", markup=False, highlight=False)
    end(failures)


def _calibrate_programs(model: "HVAEResolver", selection: "Selection", folder: Path | None) -> None:
    """Find what spectra photographs have that known programs shrank: of every second one, judged
    on the others; stored in a folder."""
    from ..checkpoints.shrinking import check_no_other, save_shrinking
    from ..files import check_writable
    from ..imaging.io import read_photo
    from ..input_check.shrinking import FEWEST, PROGRAMS, SURE, fit_shrinking, spectra_of, tell

    if selection.crop:
        raise InputError("--crop goes with models of one size: photographs are taken whole")
    if folder is not None:
        check_no_other(folder, model.scale)
        check_writable(folder)
    paths = selection.paths()
    _check_enough(len(paths), 2 * FEWEST, "photographs")
    failures: dict[str, str] = {}

    def photos(half: list[Path]) -> "Iterator[Image.Image]":
        for path in half:
            try:
                yield read_photo(path).image
            except InputError as error:
                failures[path.name] = str(error)

    with telling(failures), progress_bar() as progress:
        task = progress.add_task("shrinking", total=len(paths))
        fitted_on, judged_on = (
            spectra_of(photos(half), model.scale, lambda: progress.advance(task))
            for half in (paths[::2], paths[1::2])
        )
    shrinking = fit_shrinking(fitted_on)
    for title, compressed in (("as they are", False), ("JPEG of quality 75 to 92", True)):
        told = tell(shrinking, judged_on, compressed)
        table = Table(title=f"{len(judged_on.plain)} others, {title}: taken for")
        for column in ("shrunk by", *PROGRAMS):
            table.add_column(column, justify="right" if column != "shrunk by" else "left")
        for program, row in zip(PROGRAMS, told.confusion, strict=True):
            table.add_row(program, *(f"{share:.0%}" for share in row))
        out.print(table)
        out.print(
            f"Right: {told.right:.0%}. {SURE:.0%} or more are given to {told.sure:.0%}, "
            f"{told.given_when_sure:.0%} in the mean; {told.right_when_sure:.0%} of them are right",
            highlight=False,
        )
    if folder is not None:
        path = save_shrinking(folder, shrinking)
        out.print(f"Stored in {path}", markup=False, highlight=False)
    end(failures)


def _check_enough(count: int, least: int, what: str) -> None:
    if count < least:
        raise InputError(
            f"at least {least} {what} are needed, to fit on one half of them and to judge on the "
            f"other: there are {count}"
        )


def _refuse_faint_light(model: "HVAEResolver") -> None:
    if model.photon_noise is not None:
        raise InputError(
            f"{model.name} is of images with photon noise, which hides what a program has left: "
            f"photographs can be examined, and faces"
        )


def _refuse_several(name: str) -> None:
    """Refuse an encoder of several scales where what to expect is known to those of one."""
    from ..restoration.beside import scales_of

    if ones := scales_of(name):
        raise InputError(
            f"'{name}' serves several scales: name one of them with --model, of {', '.join(ones)}"
        )


def _load(name: str, device: str, scale: int | None, judge: str = "") -> "HVAEResolver":
    """Load a model that can doubt, with another judge than its own where one is named.

    Raises:
        InputError: It has no prior, or takes no judge.
        WeightsError: The judge is unknown, or does not suit the model.
    """
    from ..checkpoints.folder import find, read_record
    from ..checkpoints.loading import load_judge
    from ..checkpoints.records import SuperResolutionRecord
    from ..restoration.hvae import HVAEResolver
    from ..restoration.load import load

    model = load(name, device, scale=scale)
    if not isinstance(model, HVAEResolver):
        raise InputError(f"the flow {name} has no prior to doubt with: name an LR encoder")
    if judge:
        record = read_record(find(name))
        if model.any_size:
            raise InputError("--judge goes with models of one size: photographs are not judged")
        if not isinstance(record, SuperResolutionRecord):
            raise InputError(f"'{name}' is one scale of an encoder of several, which judges itself")
        model.judge = load_judge(judge, model.prior, record.prior_digest, model.scale)
        model.to(device)
    return model
