"""All measures of the samples of one image."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..degradations.bicubic import BicubicDownscaling
from ..errors import InputError, WeightsError
from ..imaging.io import eight_bit_values, to_bytes
from ..metrics.calibration import crps, energy_score
from ..metrics.distortion import psnr, ssim
from ..metrics.diversity import apd_lpips, apd_mse, ntire_diversity
from ..metrics.perceptual import BRISQUE, LPIPS
from ..restoration.finish import Finished

Scores = dict[str, float | None]
"""Measures of one image by name; None where a measure does not apply or is infinite."""


@dataclass
class Judges:
    """The measures that need weights of their own, where those are at hand.

    Attributes:
        lpips: LPIPS.
        brisque: BRISQUE.
        missing: What is not there, and why, by column.
    """

    lpips: LPIPS | None
    brisque: BRISQUE | None
    missing: dict[str, str]

    @classmethod
    def load(cls, alexnet: Path | None) -> "Judges":
        """Load what can be loaded.

        Args:
            alexnet: Local file of AlexNet's features; torchvision's own weights by default.

        Raises:
            WeightsError: `alexnet` is given and cannot be used.
        """
        missing: dict[str, str] = {}
        lpips = brisque = None
        try:
            lpips = LPIPS(alexnet)
        except WeightsError as error:
            if alexnet is not None:
                raise
            missing["LPIPS"] = str(error)
        except ImportError:
            missing["LPIPS"] = "the package lpips is not installed: pip install 'cvdvae[eval]'"
        try:
            brisque = BRISQUE()
        except ImportError:
            missing["BRISQUE"] = "the package brisque is not installed: pip install 'cvdvae[eval]'"
        return cls(lpips, brisque, missing)


def measure(
    finished: Finished,
    y: Tensor,
    truth: Tensor,
    degradation: BicubicDownscaling,
    judges: Judges,
) -> Scores:
    """Measure the samples of one image.

    Args:
        finished: The samples; those that exploded are left out.
        y: The low-resolution image, ``(3, h, w)``, in [0, 1], of 8-bit values.
        truth: The true image, ``(3, H, W)``, in [0, 1].
        degradation: H.
        judges: The measures with weights.

    Raises:
        InputError: All samples exploded.
    """
    samples, pixels = finished.answers, finished.pixels[~finished.exploded]
    if not len(samples):
        raise InputError("every sample exploded: no value is near an image's")
    saved = pixels.float() / 255
    many = len(samples) > 1
    scores: Scores = {
        "psnr": float(psnr(saved, truth).mean()),
        "ssim": float(ssim(saved, truth).mean()),
        "psnr_of_mean": float(psnr(samples.mean(0)[None], truth)),
        **_consistency(samples, pixels, y, degradation),
        "apd_mse": apd_mse(samples) if many else None,
        "crps": crps(samples, truth) if many else None,
        "energy_score": energy_score(samples, truth) if many else None,
    }
    if judges.lpips is not None:
        maps = judges.lpips.maps(saved, truth)
        scores["lpips"] = float(judges.lpips.distances(saved, truth).mean())
        scores["apd_lpips"] = apd_lpips(saved, judges.lpips) if many else None
        scores["ntire_diversity"] = ntire_diversity(maps) if many else None
    if judges.brisque is not None:
        scores["brisque"] = float(judges.brisque(pixels).mean())
    return {k: v if v is None or math.isfinite(v) else None for k, v in scores.items()}


def _consistency(
    samples: Tensor, pixels: Tensor, y: Tensor, degradation: BicubicDownscaling
) -> Scores:
    """LR-PSNR in float and as saved, mean and worst over samples, and the exact share.

    An infinite LR-PSNR (Hx is y without any error) is left out of the mean.
    """
    exact_y = eight_bit_values(y)
    in_float = psnr(degradation.A(samples.double()), exact_y)
    shrunk = degradation.A(pixels.double() / 255)
    as_saved = psnr(shrunk, exact_y)
    exact = [torch.equal(to_bytes(one), to_bytes(y)) for one in shrunk]
    finite = as_saved[as_saved.isfinite()]
    return {
        "lr_psnr_float": _mean_of_finite(in_float),
        "lr_psnr": _mean_of_finite(as_saved),
        "lr_psnr_worst": float(finite.min()) if len(finite) else None,
        "exact": 100 * sum(exact) / len(exact),
    }


def _mean_of_finite(values: Tensor) -> float | None:
    finite = values[values.isfinite()]
    return float(finite.mean()) if len(finite) else None
