r"""What opposite pairs gain: the mean of n samples and the intervals, beside independent samples.

    python benchmarks/antithetic.py --data ../shared/data/celeba --start -500 --images 50 \
        --crop 74 --model celeba64-x4 --model celeba64-x8 --model celeba64-x16
    python benchmarks/antithetic.py --data SETS/BSD100 --random-crops --model photos-x4
    python benchmarks/antithetic.py --data SETS/BSD100 --random-crops --model photos-restore \
        --degradation blur:sigma=2 --noise 0.02

Of every image `SAMPLES` samples are drawn in either way at the recommended temperatures. The
squared error of the mean of n is averaged over all the sets of n that follow each other in them,
and its PSNR over images. Of 18 values, the second smallest and the second largest bound an interval
that holds one more draw in 15 of 19 cases where all are independent (78.9 %), and in 16 of 20 where
they are pairs (80 %).
"""

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from cvdvae.degradations.bicubic import upscale_bicubic
from cvdvae.evaluation.damaged import Damaged, damaged
from cvdvae.evaluation.selection import Pair, Selection
from cvdvae.evaluation.task import Subject
from cvdvae.metrics.calibration import Ranks
from cvdvae.restoration.load import load
from cvdvae.restoration.restoring import shown
from cvdvae.restoration.result import psnr
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.settings import Sampling, ddof

SAMPLES, MEANS, INTERVAL = 48, (1, 2, 4, 8, 16), 18


def errors(samples: Tensor, truth: Tensor) -> dict[int, float]:
    """Mean squared error of the mean of n samples, for every n of `MEANS`."""
    means = {n: torch.stack([part.mean(0) for part in samples.split(n)]) for n in MEANS}
    return {n: float((mean - truth).square().mean()) for n, mean in means.items()}


def spread(samples: Tensor, truth: Tensor, pairs: bool) -> tuple[float, float]:
    """Share of values in intervals of `INTERVAL` samples, and their variance.

    All are in 8 bits; a value that equals samples shares its count among their ranks."""
    ranks, variances = Ranks.empty(INTERVAL, *truth.shape[1:]), []
    for part in samples.split(INTERVAL):
        if len(part) == INTERVAL:
            ranks.add(part, truth)
            variances.append(float(part.var(0, correction=ddof(range(INTERVAL), pairs)).mean()))
    return float(ranks.histogram()[2:-2].sum()), fmean(variances)


def measure(
    subject: Subject,
    usual: Sampling,
    pairs: Iterable[Pair],
    begun: Callable[[Tensor], Tensor],
    table: Table,
) -> None:
    """Add the rows of one model: independent samples, and pairs.

    Args:
        subject: The model.
        usual: How it draws.
        pairs: True images, and what is seen of them.
        begun: What one has without a model, ``(C, H, W)``, from what is seen.
        table: Where the rows go.
    """
    found: dict[bool, list[tuple[dict[int, float], tuple[float, float]]]] = {False: [], True: []}
    without = []
    for number, (truth, y) in enumerate(track(list(pairs), subject.name, transient=True)):
        without.append(psnr(begun(y), truth))
        for antithetic in found:
            sampling = replace(usual, samples=SAMPLES, seed=number, antithetic=antithetic)
            drawn = subject.answers(y, sampling).pixels.float() / 255
            found[antithetic].append((errors(drawn, truth), spread(drawn, truth, antithetic)))
    for antithetic, rows in found.items():
        db = [fmean(-10 * math.log10(e[n]) for e, _ in rows) for n in MEANS]
        inside, variance = (fmean(s[i] for _, s in rows) for i in (0, 1))
        table.add_row(
            f"{subject.name}, {len(rows)} images",
            "pairs" if antithetic else "independent",
            f"{fmean(without):.2f}",
            *(f"{value:.2f}" for value in db),
            f"{100 * inside:.1f} %",
            f"{255 * variance**0.5:.2f}",
        )


def as_seen(task: Damaged, y: Tensor) -> Tensor:
    """What is seen, for the eye."""
    return shown(task.seen(y))


def enlarged(model: SuperResolver, y: Tensor) -> Tensor:
    """Bicubic interpolation."""
    return upscale_bicubic(y[None], model.degradation.hr_size)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--images", type=int)
    parser.add_argument("--crop", type=int, default=0)
    parser.add_argument("--random-crops", action="store_true", default=None)
    parser.add_argument("--degradation", action="append")
    parser.add_argument("--noise", type=float)
    parser.add_argument("--self-ensemble", action="store_true", help="in several orientations")
    options = parser.parse_args()
    table = Table(title=f"PSNR of the mean of n samples, dB; PyTorch {torch.__version__}")
    for title in ("", "samples", "as seen", *map(str, MEANS), "of 79 or 80 %", "std, levels"):
        table.add_column(title, no_wrap=True)
    selection = Selection(
        options.data, options.start, options.images, options.crop, options.random_crops
    )
    for name in options.model:
        if options.degradation or options.noise is not None:
            for task in damaged(name, options.degradation or [], options.noise):
                temperature = task.restorer.restoring().temperature
                usual = Sampling(
                    temperature=temperature,
                    encoder_temperature=temperature,
                    self_ensemble=options.self_ensemble,
                )
                measure(task, usual, task.pairs(selection, {}), partial(as_seen, task), table)
        else:
            model = load(name)
            pairs = selection.as_seen_by(model).pairs(model.degradation, {})
            usual = model.sampling(self_ensemble=options.self_ensemble)
            measure(model, usual, pairs, partial(enlarged, model), table)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
