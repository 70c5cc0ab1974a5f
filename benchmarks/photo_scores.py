"""Scores of one enlarged image for `photos.py`, and what it cost to make."""

import ctypes
import gc
import importlib
import math
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from peers import Peer, Unavailable, library
from torch import Tensor

from cvdvae.degradations.base import cut_as
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import WeightsError
from cvdvae.imaging.io import to_bytes
from cvdvae.metrics.calibration import Ranks, crps, uncertain
from cvdvae.metrics.distortion import psnr, psnr_y, ssim_y
from cvdvae.metrics.diversity import ntire_diversity
from cvdvae.metrics.perceptual import LPIPS

Scores = dict[str, float | None]
"""Measures by name; None where one does not apply, is infinite, or cannot be taken here."""

VERSION = 3
"""Of what the scores mean: scores of another are computed again."""

VGG, DISTS_WEIGHTS = "vgg16-397923af.pth", "dists_weights.pt"
"""Files that piq's DISTS would download, by their names in the cache of `torch.hub`."""


@dataclass
class Judges:
    """The measures that need weights, where those are at hand.

    Attributes:
        lpips: LPIPS.
        dists: DISTS of two images ``(1, 3, H, W)``.
        missing: Why a measure is not there, by its key.
    """

    lpips: LPIPS | None
    dists: Callable[[Tensor, Tensor], Tensor] | None
    missing: dict[str, str]

    @classmethod
    def load(cls, features: Path | None, peers: Path) -> "Judges":
        """Load what lies here; nothing is downloaded."""
        missing: dict[str, str] = {}
        lpips = dists = None
        if features is None:
            missing["lpips"] = "no AlexNet features were named with --lpips"
        else:
            try:
                lpips = LPIPS(features)
            except (WeightsError, ImportError) as error:
                missing["lpips"] = str(error)
        try:
            dists = _dists(peers)
        except Unavailable as error:
            missing["dists"] = str(error)
        return cls(lpips, dists, missing)


def _dists(peers: Path) -> Callable[[Tensor, Tensor], Tensor]:
    library(peers)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    absent = [name for name in (VGG, DISTS_WEIGHTS) if not (cache / name).is_file()]
    if absent:
        raise Unavailable(f"its weights ({' and '.join(absent)}) are not in {cache}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision renames an argument
            model: Any = importlib.import_module("piq").DISTS()
    except ImportError as error:
        raise Unavailable(f"piq cannot be imported: {error}") from None
    return lambda x, y: model(x, y)


def score(
    samples: Tensor,
    y: Tensor,
    truth: Tensor,
    degradation: BicubicDownscaling,
    scale: int,
    judges: Judges,
    independent: bool = True,
) -> dict[str, Scores]:
    """All scores of a method on one image, for every row that it has in the table.

    Args:
        samples: Its answers, ``(N, 3, H, W)``; they are judged as saved, in 8 bits.
        y: The low-resolution image of 8-bit values, ``(3, h, w)``.
        truth: The true image, ``(3, H, W)``.
        degradation: H.
        scale: Factor, and the border that PSNR and SSIM leave out.
        judges: Measures with weights.
        independent: Whether the answers are: of opposite pairs neither intervals nor CRPS are told.

    Returns:
        The mean over the answers as row ``""``, with those measures that take many together; and
        where there are many, the rows ``"one sample"`` and ``"mean of N"``.
    """
    saved = to_bytes(samples).float() / 255

    def alone(x: Tensor) -> Scores:
        return _score_one(x[None], y, truth, degradation, scale, judges)

    each = [alone(x) for x in saved]
    if len(saved) == 1:
        return {"": each[0]}
    mean = to_bytes(samples.mean(0)).float() / 255
    together = _mean(each) | (_spread(saved, truth) if independent else {})
    if judges.lpips is not None:
        maps = torch.cat([judges.lpips.maps(x[None], truth) for x in saved])
        together["diversity"] = ntire_diversity(maps)
    return {"": together, "one sample": each[0], f"mean of {len(saved)}": alone(mean)}


@torch.no_grad()
def _score_one(
    x: Tensor,
    y: Tensor,
    truth: Tensor,
    degradation: BicubicDownscaling,
    scale: int,
    judges: Judges,
) -> Scores:
    shrunk = degradation.A(x.double())
    scores: Scores = {
        "psnr_y": float(psnr_y(x, truth, scale)),
        "ssim_y": float(ssim_y(x, truth, scale)),
        "lr_psnr": float(psnr(cut_as(y, shrunk), y)),
        "exact": float(torch.equal(to_bytes(shrunk[0]), to_bytes(y))),
    }
    if judges.lpips is not None:
        scores["lpips"] = float(judges.lpips.distances(x, truth))
    if judges.dists is not None:
        scores["dists"] = float(judges.dists(x, truth[None]))
    return {k: v if v is not None and math.isfinite(v) else None for k, v in scores.items()}


def _spread(saved: Tensor, truth: Tensor) -> Scores:
    """Of independent samples. Values that all of them have as the truth has are known, and in no
    interval."""
    ranks = Ranks.empty(len(saved), *truth.shape[1:])
    ranks.add(saved, truth, uncertain(saved, truth))
    return {
        "crps": crps(saved, truth),
        "coverage_80": ranks.coverage(0.8),
        "coverage_90": ranks.coverage(0.9),
    }


def _mean(each: list[Scores]) -> Scores:
    """Means of the values that are finite."""
    known = {k: [value for s in each if (value := s[k]) is not None] for k in each[0]}
    return {k: fmean(values) if values else None for k, values in known.items()}


def cost(peer: Peer, y: Tensor, scale: int, samples: int, seed: int) -> tuple[Tensor, Scores]:
    """The answers, the seconds that each takes per output megapixel where all are drawn at once,
    and the peak memory in GB."""
    watched = _forget_peak()
    started = time.perf_counter()
    x = peer.enlarge(y, samples, seed)
    seconds = time.perf_counter() - started
    megapixels = len(x) * y.shape[1] * y.shape[2] * scale**2 / 1e6
    return x, {"seconds": seconds / megapixels, "memory": _peak() if watched else None}


def _forget_peak() -> bool:
    """Begin to look for this process's peak memory again; only Linux can."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return sys.platform == "linux"


def _peak() -> float | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    return None
