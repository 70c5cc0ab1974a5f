"""What the temperature does: from one tame answer to many wild ones."""

from collections.abc import Callable, Iterable
from statistics import fmean

from PIL import Image
from torch import Tensor

from ..domains.faces import crop_face, demo_photo
from ..domains.photos import coffee
from ..domains.simulate import simulate
from ..errors import InputError
from ..evaluation.measure import (
    METRICS,
    Judges,
    Scores,
    are_of_none,
    measure,
    measures_of_none,
)
from ..evaluation.selection import Pair
from ..evaluation.task import Subject, at_one_temperature
from ..imaging.crop import centre_square
from ..imaging.io import in_channels, to_pil
from ..imaging.sheets import labelled_sheet
from ..restoration.result import DISCLAIMER
from ..restoration.sampler import SuperResolver
from ..restoration.tolerance import photons_of

TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.0)
CURVES = 4
"""Samples of each image, for the curves."""


def sweep(
    model: Subject,
    pairs: Iterable[Pair],
    judges: Judges,
    samples: int = CURVES,
    seed: int = 0,
    temperatures: tuple[float, ...] = TEMPERATURES,
    on_image: Callable[[], None] | None = None,
) -> list[Scores]:
    """All measures of projected samples at every temperature, mean over images.

    The temperature is that of all groups, the encoder's too: at 0 there is a single answer. An
    image all of whose samples exploded counts in the share of those alone.

    Args:
        model: The model.
        pairs: True images and what was seen of them.
        judges: The measures with weights.
        samples: Of each image, at least two.
        seed: Image i draws with ``seed + i``.
        temperatures: What to try.
        on_image: Called after every image.

    Raises:
        InputError: There is no image, or none of which a sample did not explode.
    """
    collected: list[list[Scores]] = [[] for _ in temperatures]
    for number, (truth, y) in enumerate(pairs):
        for scores, temperature in zip(collected, temperatures, strict=True):
            at = at_one_temperature(model, samples, temperature, seed + number)
            done = model.answers(y, at)
            if bool(done.exploded.all()):
                scores.append(measures_of_none())
                continue
            noise = model.noise_level(y)
            scores.append(measure(done, y, truth, model.degradation, judges, noise))
        if on_image is not None:
            on_image()
    if not collected[0]:
        raise InputError("there is no image to try temperatures on")
    if all(are_of_none(one) for scores in collected for one in scores):
        raise InputError("every sample exploded at every temperature")
    return [{key: _mean([s[key] for s in scores]) for key in METRICS} for scores in collected]


def picture(model: SuperResolver, seed: int = 0) -> Image.Image:
    """Samples of a bundled photo at every temperature, in one row each."""
    photo = example_at(model.truth_size, model.any_size, model.channels)
    y, _ = simulate(photo, model.degradation, "none", photons_of(model.photon_noise))
    return picture_of(model, y, seed)


def example(any_size: bool, channels: int) -> Image.Image:
    """A square picture in the public domain, as a model knows them: a face, or a photograph.

    Args:
        any_size: Whether the model takes images of any size.
        channels: That it takes.
    """
    square = centre_square(coffee()) if any_size else crop_face(demo_photo())
    return in_channels(square, channels)


def example_at(size: tuple[int, int], any_size: bool, channels: int) -> Image.Image:
    """The same of this height and width, which may be larger than it is."""
    return example(any_size, channels).resize(size[::-1], Image.Resampling.BICUBIC)


def picture_of(
    model: Subject, y: Tensor, seed: int = 0, temperatures: tuple[float, ...] = TEMPERATURES
) -> Image.Image:
    """Samples behind what was seen at every temperature, in one row each.

    Args:
        model: The model.
        y: What was seen.
        seed: Of the samples.
        temperatures: What to try.
    """
    rows = []
    for temperature in temperatures:
        done = model.answers(y, at_one_temperature(model, 5, temperature, seed))
        rows.append([(f"temperature {temperature:g}", to_pil(one)) for one in done.pixels])
    return labelled_sheet(rows, DISCLAIMER)


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None
