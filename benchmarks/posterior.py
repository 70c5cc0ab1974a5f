"""What moves that leave the posterior invariant make of the samples of an LR encoder.

    python benchmarks/posterior.py --data ../shared/data/celeba --images 6

Faces as in `quality.py`. Every row starts afresh from the same seed, and of its moves the first
half adapts the steps. LR-PSNR is measured before the projection, all else after it. ``none`` stands
for chains that know no encoder of y: half of their moves anneal, then come sweeps; ``plain``
(`--plain 40 120`) for moves without a gradient (pCN), led to an acceptance of 0.25. Their seconds
are not what they would cost, since the gradient is taken here, and left out.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cvdvae.data.folder import load_images
from cvdvae.degradations.base import LinearOperator, shrink_to_8_bits
from cvdvae.degradations.projection import project
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import list_images
from cvdvae.metrics.calibration import crps
from cvdvae.restoration.load import load_hvae
from cvdvae.restoration.posterior import chains
from cvdvae.restoration.posterior.chains import Moves, sample_posterior
from cvdvae.restoration.posterior.measurement import Measurement
from cvdvae.restoration.posterior.sweeps import SWEEPS, proposal_by_sweeps
from cvdvae.restoration.posterior.whitened import Proposal, Propose, State, Whitened
from cvdvae.restoration.result import psnr

Row = dict[str, float]
PLAIN_ACCEPTANCE = 0.25
"""Near the best of moves that know no gradient (Cotter et al. 2013)."""


@contextmanager
def without_gradients() -> Iterator[None]:
    """Moves of the plain Crank–Nicolson kind: g = 0."""
    at = Whitened.at

    def blind(self: Whitened, whites: list[Tensor]) -> State:
        state = at(self, whites)
        return state._replace(gradients=[torch.zeros_like(g) for g in state.gradients])

    with (
        patch.object(Whitened, "at", blind),
        patch.object(chains, "ACCEPTANCE", PLAIN_ACCEPTANCE),
    ):
        yield


def figures(means: Tensor, truth: Tensor, measurement: Measurement) -> Row:
    """Of the samples of one face."""
    degradation, y = measurement.degradation, measurement.y
    assert isinstance(degradation, LinearOperator)
    x = project(means, y.expand(len(means), -1, -1, -1), degradation)
    return {
        "LR-PSNR": sum(psnr(degradation.A(m[None])[0], y[0]) for m in means) / len(means),
        "one sample": sum(psnr(sample, truth) for sample in x) / len(x),
        "mean": psnr(x.mean(0), truth),
        "CRPS": 255 * crps(x, truth),
        "std": 255 * float(x.std(0).mean()),
    }


@torch.no_grad()
def measure(  # type: ignore[no-untyped-def]
    prior, measurement, truth, samples, propose: Propose, moves: Moves | None
) -> Row:
    """One row of one face."""
    begin, noise_of = time.perf_counter(), partial(SeededNoise, 0)
    if moves is None:
        noise = noise_of(range(samples))
        target = Whitened(prior, propose(noise, samples, lambda: None), measurement, 1.0, 1.1)
        state = target.at(target.first(noise, samples))
        log_w = float(state.log_w.mean())
        seconds = {"seconds": time.perf_counter() - begin}
        return figures(state.mean, truth, measurement) | {"log w": log_w} | seconds
    result = sample_posterior(prior, propose, measurement, moves, samples, noise_of)
    seconds = {"seconds": time.perf_counter() - begin}
    return (
        figures(result.means, truth, measurement)
        | {
            "log w": float(result.log_w[:, -1].mean()),
            "acceptance": float(result.acceptance.mean()),
            "ρ": float(result.rho.mean()),
            "split-R̂": result.r_hat,
            "ESS": result.effective,
        }
        | seconds
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="celeba64-x8")
    parser.add_argument("--images", type=int, default=6, help="the first of the last 500")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--moves", type=int, nargs="+", default=[0, 20, 40, 80])
    parser.add_argument("--plain", type=int, nargs="*", default=[], help="moves of the plain kind")
    parser.add_argument("--sweeps", type=int, default=SWEEPS, help="where there is no encoder")
    parser.add_argument("--pixel-std", type=float, default=0.04, help="s")
    parser.add_argument("--sigma", type=float, default=0.002)
    options = parser.parse_args()
    model = load_hvae(options.model)
    faces = load_images(list_images(options.data)[-500:][: options.images], 64, 74).float() / 255
    table = Table(title=f"{len(faces)} faces, {options.samples} samples, {options.model}")
    rows: dict[tuple[str, int], list[Row]] = {}
    for truth in faces:
        y = shrink_to_8_bits(truth[None], model.degradation)
        measurement = Measurement(y, model.degradation, options.pixel_std, options.sigma)
        terms = model.encoder.terms(y, model.scale)
        posterior_of = partial(model.encoder.posterior_of, terms=terms)
        size = (truth.shape[1], truth.shape[2])
        encoded = Proposal(model.encoder.groups, posterior_of, size, size).for_all
        of_x = (model.prior, measurement, size, size)
        for moves in options.moves:
            way = moves // 2
            unaided = proposal_by_sweeps(*of_x, 1.0, way, options.sweeps)
            for name, propose, counted in (
                ("LR encoder", encoded, moves),
                ("none", unaided, moves - way),
            ):
                of = (propose, Moves(counted) if moves else None)
                row = measure(model.prior, measurement, truth, options.samples, *of)
                rows.setdefault((name, moves), []).append(row)
        for moves in options.plain:
            with without_gradients():
                of_plain = (model.prior, measurement, truth, options.samples)
                row = measure(*of_plain, encoded, Moves(moves))
            rows.setdefault(("LR encoder, plain", moves), []).append(row)
    keys = list(rows["LR encoder", options.moves[-1]][0])
    for head in ("encoder", "moves", *keys):
        table.add_column(head, justify="right")
    for (name, moves), of_faces in rows.items():
        cells = (
            f"{sum(row[key] for row in of_faces) / len(of_faces):.2f}" if key in of_faces[0] else ""
            for key in keys
        )
        table.add_row(name, str(moves), *cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
