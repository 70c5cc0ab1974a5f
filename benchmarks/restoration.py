"""Restoration of held-out images, beside what one would take without a learned prior.

    python benchmarks/restoration.py --data ../shared/data/celeba --images 50 \\
        --lpips ../shared/data/alexnet_features.safetensors

    python benchmarks/restoration.py --data ../shared/data/photos --model photos-restore \\
        --temperature 1 --lpips ../shared/data/alexnet_features.safetensors

Of faces, the last 500 of the folder validate; they are cut as in training. Of photographs, every
twentieth from the first (`--every`); their middle square of 128×128 pixels is taken. Every rival
with a strength gets the one of a few that suits the task best, found on the very images that are
measured: that favours it. `PnP-HVAE` alternates an encoding by the prior's own means with the
closed-form image step, 50 times. PSNR is averaged over images, LPIPS is that of one image; every
image has a seed of its own. What 90 % intervals hold is told of 19 samples or more that are no
opposite pairs (``--samples 19``). A prior alone draws with moves: ``--model celeba64 --moves 240``.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage import restoration
from torch import Tensor

from cvdvae.damage.described import parse
from cvdvae.data.folder import load_images
from cvdvae.degradations.blur import Blur
from cvdvae.degradations.damped import estimate
from cvdvae.degradations.mask import Mask
from cvdvae.degradations.natural import natural_estimate
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import list_images, read_photo, to_bytes, to_tensor
from cvdvae.metrics.calibration import Ranks, uncertain
from cvdvae.metrics.perceptual import LPIPS
from cvdvae.restoration.load import load_restorer
from cvdvae.restoration.posterior.measurement import Measurement
from cvdvae.restoration.restored import Restoration
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import Seen, degraded
from cvdvae.restoration.result import psnr
from cvdvae.restoration.settings import Restoring

TASKS: dict[str, tuple[str, float | None]] = {
    "box 20×20": ("hole:side=20", None),
    "50 % of pixels": ("random:keep=0.5,seed=0", None),
    "blur σ 2, noise 0.02": ("blur:sigma=2", 0.02),
    "×4, noise 0.03": ("downscale:scale=4", 0.03),
    "JPEG 30": ("jpeg:quality=30", None),
}
HOLD = "90 % intervals hold"
STRENGTHS = (0.01, 0.03, 0.06, 0.1, 0.2)
Rival = Callable[[Seen, Tensor, float], Tensor]


def middle(path: Path, side: int = 128) -> Tensor:
    """The middle square of a photograph, uint8 ``(3, side, side)``."""
    photo = read_photo(path).image
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return to_bytes(to_tensor(photo.crop((left, top, left + side, top + side))))


def array(x: Tensor) -> np.ndarray:
    """``(H, W, 3)`` float64."""
    return x.permute(1, 2, 0).double().numpy()


def image(x: np.ndarray) -> Tensor:
    """``(3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(x)).float().permute(2, 0, 1).clamp(0, 1)


def as_seen(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Nothing is done; what was shrunk is enlarged by bicubic interpolation."""
    return shown


def begun(told: Seen, shown: Tensor) -> np.ndarray:
    """Where filters without an operator begin: what is seen, a blur undone as Tikhonov does."""
    if isinstance(told.degradation, Blur):
        shown = estimate(told.degradation, told.y, (told.sigma / 0.2) ** 2)[0]
    return array(shown.clamp(0, 1))


def biharmonic(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Biharmonic inpainting (scikit-image)."""
    assert isinstance(told.degradation, Mask)
    hole = ~told.degradation.known.numpy()
    return image(restoration.inpaint_biharmonic(array(told.y[0]), hole, channel_axis=-1))


def total_variation(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Total variation of what is seen (scikit-image)."""
    start = begun(told, shown)
    return image(restoration.denoise_tv_chambolle(start, weight=strength, channel_axis=-1))


def wavelets(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Wavelet shrinkage of what is seen (scikit-image, BayesShrink)."""
    start = begun(told, shown)
    return image(restoration.denoise_wavelet(start, sigma=strength, channel_axis=-1))


def wiener(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Wiener's filter with a Laplacian as prior (scikit-image)."""
    kernel, balance = told.degradation.kernel.numpy(), 10 * strength  # type: ignore[attr-defined]
    y = array(told.y[0])
    colours = [restoration.wiener(y[..., c], kernel, balance) for c in range(3)]
    return image(np.stack(colours, -1))


def richardson_lucy(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """Richardson–Lucy deconvolution, ended early (scikit-image)."""
    kernel, steps = told.degradation.kernel.numpy(), max(1, int(200 * strength))  # type: ignore[attr-defined]
    y = array(told.y[0]).clip(1e-3, 1)
    colours = [restoration.richardson_lucy(y[..., c], kernel, steps) for c in range(3)]
    return image(np.stack(colours, -1))


def natural(told: Seen, shown: Tensor, strength: float) -> Tensor:
    """The estimate that the encoder is told, from how images vary, without any network."""
    return natural_estimate(told.degradation, told.y, told.sigma)[0].clamp(0, 1)


RIVALS: dict[str, tuple[Rival, tuple[str, ...], bool]] = {
    "as seen": (as_seen, tuple(TASKS), False),
    "natural power": (natural, tuple(TASKS), False),
    "biharmonic": (biharmonic, ("box 20×20", "50 % of pixels"), False),
    "total variation": (total_variation, tuple(TASKS)[2:], True),
    "wavelets": (wavelets, tuple(TASKS)[2:], True),
    "Wiener": (wiener, ("blur σ 2, noise 0.02",), True),
    "Richardson–Lucy": (richardson_lucy, ("blur σ 2, noise 0.02",), True),
}


@torch.no_grad()
def pnp_hvae(model: Restorer, told: Seen, steps: int = 50) -> Tensor:
    """Alternate the prior's own encoding, at temperature 0, with the image that explains y best."""
    measurement = Measurement(told.y, told.degradation, model.pixel_std / 255, told.sigma)
    x = measurement.draw(torch.full_like(told.degradation.A_adjoint(told.y), 0.5))
    for _ in range(steps):
        h, _ = model.prior.infer(x.clamp(0, 1), SeededNoise(0, [0]), temperature=0)
        x = measurement.draw(model.prior.likelihood.mean(model.prior.parameters_of_x(h)))
    return x[0].clamp(0, 1)


class Scores:
    """Means over images, by method."""

    def __init__(self, distance: LPIPS | None) -> None:
        self.distance, self.rows = distance, dict[str, list[tuple[float, float, float]]]()

    def add(self, name: str, x: Tensor, truth: Tensor, seconds: float) -> None:
        lpips = float("nan")
        if self.distance is not None:
            lpips = float(self.distance.distances(x[None], truth[None]))
        self.rows.setdefault(name, []).append((psnr(x, truth), lpips, seconds))

    def means(self) -> dict[str, list[float]]:
        return {name: torch.tensor(rows).mean(0).tolist() for name, rows in self.rows.items()}


def covered(samples: Tensor, truth: Tensor, level: float) -> float | None:
    """How many values of the truth, ``(m,)``, lie in the central interval of samples, ``(n, m)``.

    None where so few samples have no such interval: that of 90 % takes 19.
    """
    ranks = Ranks.empty(len(samples), 1, samples.shape[1])
    ranks.add(samples[:, None, None], truth[None, None])
    return ranks.coverage(level)


def held(result: Restoration, truth: Tensor) -> float | None:
    """How many values lie in the central 90 % intervals of the samples, which are rounded as the
    truth is; of opposite pairs, which are no independent draws, none is said to."""
    if result.restoring.antithetic:
        return None
    saved = to_bytes(result.samples).float() / 255
    unknown = uncertain(saved, truth)  # what is known has no interval
    return covered(saved[:, unknown], truth[unknown], 0.9)


def run(
    model: Restorer, images: Tensor, task: str, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """All methods on one task."""
    words, noise = TASKS[task]
    scores, inside = Scores(options.distance), dict[str, list[float]]()
    strengths: dict[str, Scores] = {}
    for index, one in enumerate(track(images, task, transient=True)):
        truth = one.float() / 255
        told = degraded(truth, parse(words), noise, index, in_8_bits=False)
        drawing = Restoring(
            options.samples,
            options.temperature,
            index,
            grain=options.grain,
            antithetic=options.antithetic,
            self_ensemble=options.self_ensemble,
            profile=tuple(float(one) for one in options.profile.split(",") if one),
        )
        if options.look:
            tame = model.restoring(look=True)
            drawing = replace(drawing, temperature=tame.temperature, profile=tame.profile)
        drawings = [(drawing, "mean of samples", "one sample", HOLD)] if model.encoder else []
        if options.moves:
            moved = Restoring(options.samples, 1.0, index, options.moves)
            after = f", {options.moves} moves"
            drawings.append((moved, f"mean{after}", f"one{after}", f"{HOLD} after moves"))
        for how, mean, first, holds in drawings:
            result = model.run(told, how)
            scores.add(mean, result.mean, truth, result.seconds)
            scores.add(first, result.samples[0], truth, result.seconds)
            if (share := held(result, truth)) is not None:
                inside.setdefault(holds, []).append(share)
        if options.pnp:
            started = time.perf_counter()
            x = pnp_hvae(model, told)
            scores.add("PnP-HVAE", x, truth, time.perf_counter() - started)
        for name, (rival, tasks, tuned) in RIVALS.items():
            if task not in tasks:
                continue
            for strength in STRENGTHS if tuned else (0.0,):
                started = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    x = rival(told, result.shown, strength)
                own = strengths.setdefault(name, Scores(options.distance))
                own.add(str(strength), x, truth, time.perf_counter() - started)
    rows = scores.means()
    for name, own in strengths.items():
        rows[name] = max(own.means().values(), key=lambda row: row[0])
    return {"rows": rows, "inside": {name: float(np.mean(some)) for name, some in inside.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="celeba64-restore")
    parser.add_argument("--images", type=int, default=50, help="how many at most")
    parser.add_argument(
        "--every", type=int, default=20, help="of photographs: take every so many-th"
    )
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--temperature", type=float, help="1 by default")
    parser.add_argument("--look", action="store_true", help="as recommended for looking")
    parser.add_argument("--profile", default="", help="factors per stride, such as 1,1,0.45,0")
    parser.add_argument("--grain", action="store_true")
    parser.add_argument("--antithetic", action="store_true", help="samples in opposite pairs")
    parser.add_argument("--self-ensemble", action="store_true", help="in several orientations")
    parser.add_argument("--moves", type=int, default=0)
    parser.add_argument("--pnp", action="store_true", help="PnP-HVAE on our prior, too")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.look and (options.temperature is not None or options.profile):
        parser.error("--look has a temperature and a profile of its own")
    options.temperature = 1.0 if options.temperature is None else options.temperature
    options.distance = LPIPS(options.lpips) if options.lpips else None
    model = load_restorer(options.model)
    model.check_moves(options.moves)
    paths = list_images(options.data)
    if model.side is None:
        paths = paths[:: options.every][: options.images]
        images = torch.stack([middle(path) for path in paths])
    else:
        paths = paths[-500:][: options.images]
        images = load_images(paths, model.side, 74)
    results = {task: run(model, images, task, options) for task in options.tasks}
    table = Table(
        title=f"{len(paths)} images, {options.samples} samples, "
        + ("for looking" if options.look else f"τ = {options.temperature}")
    )
    for title in ("task", "method", "PSNR, dB", "LPIPS", "seconds"):
        table.add_column(title, justify="left" if title in ("task", "method") else "right")
    for task, found in results.items():
        first = "\n".join(
            [task, *(f"{name} {share:.1%}" for name, share in found["inside"].items())]
        )
        for name, (decibels, lpips, seconds) in found["rows"].items():
            table.add_row(first, name, f"{decibels:.2f}", f"{lpips:.3f}", f"{seconds:.2f}")
            first = ""
    Console(width=100).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
