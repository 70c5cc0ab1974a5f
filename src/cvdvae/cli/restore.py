"""The command that restores what any degradation has left."""

from functools import partial
from math import ceil, floor, isnan, log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import CVDVAEError, InputError
from .common import (
    STRONG,
    Antithetic,
    Cut,
    Device,
    Domain,
    Dtype,
    Grain,
    Inputs,
    Json,
    Look,
    MaskFile,
    MaxMegapixels,
    MaxPages,
    Moves,
    OtherModel,
    Quiet,
    Results,
    Samples,
    Seed,
    SelfEnsemble,
    Shares,
    Values,
    WhatHappened,
    end_of_inputs,
    failed,
    ignore,
    is_wild,
    megapixels,
    mind_dtype,
    progress_bar,
    psnr_tail,
    remark,
    tell,
)

if TYPE_CHECKING:
    from ..batch.files import Job, Outcome
    from ..batch.happened import Happened
    from ..batch.restoring import Asked, Restored
    from ..domains.simulate import Crop
    from ..restoration.answers import Answers
    from ..restoration.restorer import Restorer

app = typer.Typer()


class Words(NamedTuple):
    """What a command says of its results.

    Attributes:
        closer: How to say more closely what happened, where no sample explains the image.
        explained: Said of every result that is explained within its noise; {} is the model.
    """

    closer: str
    explained: str = ""


RESTORED = Words("say it more closely: another strength, perhaps, as in blur:sigma=1.5")
ENLARGED = Words(
    "say what made it small, with --shrunk-by",
    "not given back exactly but explained within its noise, by {}",
)

BLURS = {"blur", "box", "motion", "kernel"}
NEVER_EXACT = (
    "no noise was named: where samples look grainy or rippled, the blur is not quite this one, "
    "which --noise 0.005 allows for"
)

NEAR = 2.0
"""By how many times the noise of rounding samples may miss an image whose rounding is all that they
miss: their own comes on top."""


@app.command()
def restore(
    inputs: Inputs,
    out_folder: Results,
    degradation: WhatHappened = None,
    mask: MaskFile = None,
    jpeg: Annotated[
        str | None, typer.Option(help="auto: by the file's own tables; or a quality, 1 to 100.")
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(help=f"How strong the noise is ({STRONG}), or auto, which estimates it."),
    ] = None,
    domain: Domain = "photos",
    model: OtherModel = None,
    samples: Samples = 8,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            "-t",
            help="0 tame, 1 wild; by default the model's own, and 1 with --moves.",
        ),
    ] = None,
    look: Look = False,
    moves: Moves = 0,
    grain: Grain = False,
    antithetic: Antithetic = False,
    self_ensemble: SelfEnsemble = False,
    seed: Seed = 0,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="The inputs are intact: degrade them first.")
    ] = False,
    crop: Cut = None,
    max_megapixels: MaxMegapixels = 100,
    max_pages: MaxPages = 100,
    values: Values = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw images behind blurred, noisy, compressed or incomplete ones, and save them."""
    from ..batch.files import plan
    from ..batch.happened import happened
    from ..batch.restoring import Asked
    from ..batch.settings import Settings
    from ..imaging.arrays import Limits
    from ..imaging.io import raise_pillows_limit
    from ..restoration.load import load_restorer

    if crop and not simulate:
        raise InputError("--crop goes with --simulate: a degraded image is taken as it is")
    name = named_restorer(domain, model)
    what = happened(degradation, mask, jpeg, noise)
    draws = (samples, temperature, seed)
    settings = Settings(
        *draws,
        look=look,
        happened=what,
        moves=moves,
        grain=grain,
        antithetic=antithetic,
        self_ensemble=self_ensemble,
        values=values,
    )
    limits = Limits(megapixels(max_megapixels), max_pages)
    raise_pillows_limit(limits.pixels)
    jobs = plan(inputs, out_folder, ignore if quiet else remark)
    for line in () if json_ or quiet else what.notes:
        remark(line)
    restorer = load_restorer(name, device, dtype)
    mind_dtype(dtype, restorer.device, quiet)
    cut = (crop or usual_crop(restorer)) if simulate else None
    asked = Asked(what, settings.restoring(restorer), cut, limits, values)
    restore_all(restorer, jobs, asked, out_folder, json_, quiet)


def named_restorer(domain: str, model: str | None) -> str:
    """The model that is named, or the bundled one of a domain.

    Raises:
        InputError: There is none.
    """
    from ..domains import domain_of

    known = domain_of(domain)  # whether or not it is asked
    name = model or known.restorer
    if not name:
        raise InputError(f"no bundled model restores {domain}: name one with --model")
    return name


def usual_crop(restorer: "Restorer") -> "Crop":
    """What is cut out of an intact photograph where nothing is said."""
    return "none" if restorer.side is None else "face"


def _notes(
    path: Path,
    result: "Restored",
    what: "Happened",
    words: Words,
    of_file: list[str],
    json_: bool,
) -> list[str]:
    """What is to be said of a restoration beside its line."""
    notes = [*what.notes, *of_file] if json_ else of_file
    if words.explained and result.sigma > 0 and any(result.explains):
        notes = [*notes, words.explained.format(result.model)]
    notes = notes + exploded(result) + _noticed(result, what)
    return notes + _unexplained(path, result, words.closer, what)


def _noticed(result: "Restored", what: "Happened") -> list[str]:
    """What may be wrong of an image that was damaged already, though its samples explain it, and
    whether chains stood still."""
    kinds, said, damaged = set(_kinds(result)), [], result.truth is None
    if damaged and "random" in kinds:
        said.append("which pixels are missing was drawn, not found in it: --mask names those")
    rounded = what.noise is None and not what.jpeg and "jpeg" not in kinds
    if damaged and rounded and kinds & BLURS and any(result.explains):
        said.append(NEVER_EXACT)
    if result.diagnostics is not None and not any(result.diagnostics.acceptance):
        said.append("no move was accepted: every sample is where its chain began")
    return said


def _kinds(result: "Restored") -> list[str]:
    """What happened, step by step, in the words of its settings."""
    return [step["kind"] for step in (result.description or {}).get("steps", [])]


def restore_all(
    restorer: "Restorer",
    jobs: "list[Job]",
    asked: "Asked",
    out_folder: Path,
    json_: bool,
    quiet: bool,
    words: Words = RESTORED,
) -> None:
    """Restore files, each into its folder, and say what came of it; exit with 1 if any failed.

    Args:
        restorer: The model.
        jobs: The files.
        asked: What is asked of each.
        out_folder: Where their folders are.
        json_: Whether to speak in JSON.
        quiet: Whether to speak of failures only.
        words: What is said of them.
    """
    from ..batch.files import pixels_of
    from ..batch.restoring import restore_into
    from ..files import check_writable
    from ..locks import sole_writer
    from ..restoration.workers import SAVED

    what, how = asked.what, asked.how
    failures: list[str] = []
    with sole_writer(out_folder), progress_bar(quiet, percent=True) as progress:
        check_writable(out_folder)
        shares = Shares(progress, [pixels_of(job.path) for job in jobs])
        for index, job in enumerate(jobs):
            try:
                with shares.of(index, job.path.name, how.steps + SAVED) as advance:
                    result, notes = restore_into(restorer, job, asked, advance)
            except CVDVAEError as error:
                failed(job.path, error, failures, json_)
                continue
            notes = _notes(job.path, result, what, words, notes, json_)
            line = partial(one_line, job.path, job.folder, result)
            tell(job, result, notes, line, json_, quiet)
    tamer = not how.moves and is_wild(restorer.recommended, how.temperature)
    end_of_inputs(failures, len(jobs), None if quiet or json_ else out_folder, tamer)


def exploded(result: "Answers | Outcome | Restored") -> list[str]:
    """A note on samples that are no answer, where there are any."""
    count = sum(result.exploded)
    if not count:
        return []
    of = f"{count} of {len(result.exploded)} samples"
    return [f"{of} exploded and are no answer: lower the temperature"]


def _unexplained(path: Path, result: "Restored", closer: str, what: "Happened") -> list[str]:
    """What to do where no sample explains the image, though not all of them exploded.

    Args:
        path: The image.
        result: What came of it.
        closer: As in `Words`.
        what: What the user said.
    """
    from ..damage.jpeg_file import quality_of
    from ..restoration.restored import Restoration

    by_file, noise = what.jpeg, what.noise
    if any(result.explains) or (result.exploded and all(result.exploded)):
        return []
    levels = 255 if not result.sigma and isinstance(result, Restoration) else 1
    off = " to ".join(dict.fromkeys(f"{levels * end(result.misfit):.3g}" for end in (min, max)))
    exact = "levels of 255" if levels > 1 else "of the range of its values"
    by = "standard deviations of its noise" if result.sigma else exact
    off = f"samples are off by {off} {by}"
    if result.restoring.grain and result.sigma:
        return [
            f"{off}: --grain draws their pixels and leaves it at that; "
            f"whether what you said happened fits is seen without it"
        ]
    if result.truth is not None:  # it did happen
        return [off]
    rounding = result.rounding
    faint = _too_faint(result.sigma, rounding)
    if faint and min(result.misfit) * result.sigma <= NEAR * rounding:
        return [f"{off}: {faint}"]
    compressed = _kinds(result)[-1:] == ["jpeg"]
    noisy = "another quality" if compressed else "how noisy the image is, with --noise"
    if noise == "auto" and not compressed:
        noisy = f"name, with --noise, more than the {result.sigma:.3g} that auto estimated"
    advice = closer if by_file else f"{closer}, or {noisy}"
    if result.sigma and noise is None and not by_file and not compressed:
        advice = "say how noisy it is, with --noise (auto estimates it); or what else happened"
    if noise is None and what.may_end_in_jpeg and quality_of(path) is not None:
        advice = f"its file is a JPEG, which --jpeg auto undoes, too; or {advice}"
    advice = f"{closer}; and {faint}" if faint else advice
    return [f"{off}: what you said happened does not fit the image; {advice}"]


def _too_faint(sigma: float, rounding: float) -> str:
    """What to give instead of a noise σ that no such file can have; empty of any other."""
    if not 0 < sigma < rounding:
        return ""
    least = 10 ** (1 - floor(log10(rounding)))  # to two figures
    return (
        f"the noise given, {sigma:.3g}, is smaller than what the rounding of the file alone makes, "
        f"{rounding:.3g}: give --noise {ceil(least * rounding) / least:g} or more"
    )


def one_line(path: Path, folder: Path, result: "Restored") -> str:
    """What came of an image."""
    from ..restoration.stack.restored import RestoredStack

    fits = sum(result.explains)
    way = "exactly" if result.sigma == 0 else f"within its noise (σ = {result.sigma:.3g})"
    off = max(result.misfit, default=0.0)
    if result.sigma == 0 and isinstance(result, RestoredStack) and not result.whole and off:
        way = f"to {off:.1g} of the range of its values (root mean square)"
    if _kinds(result)[-1:] == ["jpeg"]:  # whose noise is in other units
        way = "within the rounding of its JPEG"
    line = (
        f"{path} → {folder} in {result.seconds:.1f} s: {fits} of {len(result.explains)} samples "
        f"explain the image {way}"
    )
    if result.diagnostics is not None:
        chains = result.diagnostics
        mean = sum(chains.acceptance) / len(chains.acceptance)
        line += f"; chains accepted {mean:.0%}"
        if not isnan(chains.r_hat):  # there were enough moves
            line += f", R̂ {chains.r_hat:.2f}"
    return line + psnr_tail(result.against_truth(), "as seen")
