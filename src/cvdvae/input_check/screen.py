"""The check that goes with every draw: a glance at every image, an examination of the odd ones.

`cvdvae.input_check.examine` runs the networks for the image and all its repairs, which takes longer
than the drawing. So the same statistics are first taken with another bound in place of the model's:
the cost under the normal distribution of proper images (`cvdvae.checkpoints.proper`), which is a
product of matrices; beside them `texture`, which needs no model. Their limits are so low that about
one proper image in eight exceeds one (of 4×4 pixels, which have fewer repairs, two in seven); only
what does is examined, and only an examination doubts. An image that the glance lets pass is not
doubted; benchmarks/doubt.py counts how many of those an examination would have.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..checkpoints.proper import Proper
from ..checkpoints.records import Expected
from ..restoration.result import Doubt
from ..restoration.sampler import SuperResolver
from ..restoration.workers import in_own_modes
from . import jpeg
from .examine import Findings, examine, excess_of, of_repairs
from .thresholds import fit
from .transforms import LUMA, filtered, luma_of, repairs

PASSES = 2.0
"""Passes of the networks that an image costs on average, of those that are proper: what sets how
many of them are examined, at one pass for the image and one for each repair."""

LARGEST = 1024
"""Values of an image beyond which the distribution is not fitted: it has their square."""

FINEST = (1 / 255) ** 2
"""Least variance of a direction: that of a grey level."""

SMOOTHEST = 0.25
"""Weight of the neighbours in the filter that divides an image into bands."""

NOTHING = Expected(0, 1.0, {}, 0.0, {}, {})


def doubts_of(model: SuperResolver, y: Tensor) -> list[Doubt] | None:
    """Why an image may be none that the model knows, for a small part of the time of a draw.

    Args:
        model: The model.
        y: The image, ``(C, h, w)``, float in [0, 1].

    Returns:
        The doubts, mostly none; None where the model does not know what to expect.

    Raises:
        InputError: y is no image that the model takes.
    """
    if model.expected is None:
        return None
    y = model.check(y)[0]
    return examine(model, y).doubts if odd(model, y) else []


def odd(model: SuperResolver, y: Tensor) -> bool:
    """Whether an image ``(C, h, w)`` is worth an examination; always where nothing was fitted."""
    proper, expected = model.proper, model.expected
    if proper is None or expected is None or proper.mean.shape != y.shape:
        return True
    with in_own_modes(y.device):
        traces = excess_of(jpeg.traces(y), expected)
        found = glimpse(y, costs(proper, y), proper.expected)
    glimpsed = excess_of(found.statistics, proper.expected)
    return not all(value <= 1 for value in (*traces.values(), *glimpsed.values()))


def glimpse(y: Tensor, cost: Tensor, expected: Expected) -> Findings:
    """What the repairs of an image ``(C, h, w)`` tell by their `costs`, and its texture."""
    found = of_repairs(cost, y.shape[1], expected)
    return found._replace(statistics=found.statistics | texture(y))


def texture(y: Tensor) -> dict[str, float]:
    """How an image ``(C, h, w)`` is divided among details: its finest band, what one smoothing
    takes away, beside the next one, as the logarithm of the ratio of their root mean squares.

    ``rough`` in luma; ``smooth`` is its negative; ``grainy`` in what is left without the luma,
    where proper images have little and noise as much as anywhere.
    """
    once = filtered(y[None], SMOOTHEST)
    bands = y[None] - once, once - filtered(once, SMOOTHEST)
    luma = [luma_of(band) for band in bands]
    fine, next_ = (_level(band) for band in luma)
    told = {"rough": fine - next_, "smooth": next_ - fine}
    if len(y) == len(LUMA):
        grain, coarser = (_level(band - grey) for band, grey in zip(bands, luma, strict=True))
        told["grainy"] = grain - coarser
    return told


def _level(band: Tensor) -> float:
    """Logarithm of the root mean square, in which half a grey level is always there."""
    return float((band.square().mean() + FINEST / 4).log()) / 2


def costs(proper: Proper, y: Tensor) -> Tensor:
    """Costs of an image ``(C, h, w)`` and, behind it, of all its repairs, ``(1 + R,)``."""
    repaired = (r.apply(y[None]) for r in repairs(y.shape[1]).values())
    return proper.cost(torch.cat([y[None], *repaired]))


@in_own_modes(torch.device("cpu"))
def fit_proper(images: Sequence[Tensor], others: Sequence[Tensor]) -> Proper | None:
    """Find what proper images look like.

    Args:
        images: Those that tell the normal distribution, ``(C, h, w)`` each.
        others: Those that tell what to expect under it, which fits its own images too well.

    Returns:
        None for images of more than `LARGEST` values: those are always examined.

    Raises:
        InputError: There are fewer than 20 others.
    """
    flat = torch.stack(list(images)).flatten(1).double()
    if flat.shape[1] > LARGEST:
        return None
    values, axes = torch.linalg.eigh(torch.cov(flat.T))
    # Triangular, which is the same cost: half of it need not be stored.
    whitening = torch.linalg.qr((axes / values.clamp(min=FINEST).sqrt()).T).R
    # As it will be read again.
    proper = Proper(flat.mean(0).view_as(images[0]).float(), whitening.half().float(), NOTHING)
    found = [partial(glimpse, y, costs(proper, y)) for y in others]
    share = PASSES / (1 + len(repairs(images[0].shape[1])))
    return replace(proper, expected=fit(found, NOTHING.misfit, share))
