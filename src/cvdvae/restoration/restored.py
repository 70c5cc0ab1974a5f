"""What comes out of a restoration: samples, what they agree on, and how well each explains y."""

import base64
import io
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..configs import from_dict
from ..damage.described import description_from_dict
from ..damage.packed import pack_numbers, pixels_of, unpack_numbers
from ..degradations.base import Degradation, cut_as
from ..degradations.block_dct import BlockDCT
from ..degradations.composed import jpeg_at_end
from ..errors import InputError
from ..imaging.carried import Extras
from ..imaging.io import MAX_PIXELS, png_in_base64, to_bytes, to_pil, to_tensor
from ..imaging.values import EIGHT_BITS, FINEST, exact_values, from_levels, rounding_of
from .answers import Answers
from .posterior.chains import PosteriorSamples
from .recipe import Dtype
from .restoring import Seen, seen
from .result import DISCLAIMER, Truth, psnr
from .saving import of_answers, save_pictures, saved_files
from .settings import Restoring
from .sheet import restored_sheet, std_picture
from .tolerance import misfit, within_noise
from .workers import uncast

HALF = 0.5 + 1e-3
"""Of a level: none is nearer to a value between two of them, whose distance float32 rounds."""


@dataclass(frozen=True)
class Diagnostics:
    """What the chains went through; without an encoder, after the sweeps.

    A chain that found no z of any weight, whose sample is no answer, counts in the first alone.

    Attributes:
        acceptance: Share of the moves that each chain accepted, after those that adapted its steps,
            as for all that follows but the last.
        effective: Effective sample size of log w over all chains; NaN where they were too short,
            or none moved.
        r_hat: Split-R̂ of log w; near 1 where the chains agree, NaN where they were too short,
            infinite where each stayed in a place of its own.
        log_w_gain: By how much log w rose from the first state to the last, mean over chains.
    """

    acceptance: list[float]
    effective: float
    r_hat: float
    log_w_gain: float

    @classmethod
    def of(cls, chains: PosteriorSamples) -> "Diagnostics":
        """Those of some chains."""
        return cls(chains.acceptance.tolist(), chains.effective, chains.r_hat, chains.gain)


@dataclass(frozen=True, eq=False, repr=False)
class Restoration(Answers):
    """Samples behind what was seen; two results are equal only if they are the same.

    Attributes:
        y: What was seen, ``(…)``; a picture is ``(C, h, w)``.
        shown: For the eye: y brought back to an image, ``(C, H, W)`` in [0, 1].
        samples: The samples, float in [0, 1], ``(N, C, H, W)``.
        pixels: The samples as they are saved: `levels`, uint8 of pictures.
        exploded: As in `Answers`.
        degradation: H.
        description: H as plain data; None for an operator that cannot be described.
        sigma: Standard deviation σ of the noise in y, in its units.
        model: Name of the model.
        restoring: How it was restored.
        seconds: Time it took.
        truth: The true image where it is known, float in [0, 1], ``(C, H, W)``.
        diagnostics: Of the chains, where there were moves.
        weights: Fingerprint of the model's weights; empty for a model that came from no folder.
        dtype: What the networks computed in.
        extras: What the file carried that was restored, for the pictures.
        levels: As in `Seen`; pictures have 255.
    """

    y: Tensor
    shown: Tensor
    samples: Tensor
    pixels: Tensor
    degradation: Degradation
    description: dict[str, Any] | None
    sigma: float
    model: str
    restoring: Restoring
    seconds: float
    exploded: list[bool] = field(default_factory=list)
    truth: Tensor | None = None
    diagnostics: Diagnostics | None = None
    weights: str = ""
    dtype: Dtype = "fp32"
    extras: Extras = field(default_factory=Extras)
    levels: int | None = EIGHT_BITS

    def ddof(self, kept: list[int]) -> float:
        """As the samples were drawn."""
        return self.restoring.ddof(kept)

    @property
    def gives_back(self) -> bool:
        """Where y has no noise."""
        return self.sigma == 0

    @cached_property
    def measured(self) -> int:
        """How many values of y say anything of x."""
        return Seen(self.y[None], self.degradation, self.sigma).count

    @cached_property
    @uncast
    def _errors(self) -> list[tuple[float, float]]:
        """Misfit and largest error of every sample as saved; one at a time, which may be large."""
        found, y = [], self.y
        if self.levels != EIGHT_BITS:  # which float32 tells apart
            y = exact_values(y, self.levels)
        for one in self.pixels:
            shadow = self.degradation.A(from_levels(one[None], self.levels).to(y))
            error = cut_as(y, shadow, self.sigma) - y
            off = float(misfit(error, self.measured, self.sigma or 1))
            found.append((off, float(error.abs().max())))
        return found

    @property
    def misfit(self) -> list[float]:
        """Root mean square of ``(Hx − y) / σ`` over what was measured; of ``Hx − y`` where σ = 0.

        A true image has 1 on average, and less behind a JPEG, as `tolerance.misfit` says; the most
        likely one has somewhat less.
        """
        return [off for off, _ in self._errors]

    @property
    def explains(self) -> list[bool]:
        """Whether each sample explains y within its noise, by the χ² test of `within_noise`.

        Where σ = 0: whether H of the saved sample has no value further than half a level from y, of
        `FINEST` where values are not rounded. One that exploded explains nothing.
        """
        if self.sigma == 0:
            near = [(self.levels or FINEST) * far <= HALF for _, far in self._errors]
        else:
            off = torch.tensor(self.misfit, dtype=torch.float64, device="cpu")
            near = within_noise(off, self.measured).tolist()
        exploded = self.exploded or [False] * len(near)
        return [one and not gone for one, gone in zip(near, exploded, strict=True)]

    @property
    def rounding(self) -> float:
        """Standard deviation of the rounding of y, in its units; what less noise than that means, a
        file cannot hold."""
        return rounding_of(self.levels)

    def against_truth(self) -> Truth | None:
        """PSNR of what is shown, of the samples and of their mean, where the truth is known."""
        if self.truth is None:
            return None
        return Truth(
            psnr(self.shown, self.truth),
            [psnr(from_levels(one, self.levels), self.truth) for one in self.pixels],
            psnr(self.mean, self.truth),
        )

    def report(self) -> dict[str, Any]:
        """What `result.json` holds.

        Raises:
            InputError: The samples do not have 8 bits, which pictures need.
        """
        self._check_levels()
        truth = self.against_truth()
        return {
            "model": self.model,
            "weights": self.weights,
            "dtype": self.dtype,
            "degradation": self.description,
            "noise": self.sigma,
            "size": list(self.samples.shape[2:]),
            **asdict(self.restoring),
            "input": packed(self.y, jpeg_at_end(self.degradation)),
            "orientation": self.extras.orientation,
            "misfit": self.misfit,
            "explains": self.explains,
            "exploded": self.exploded,
            "chains": None if self.diagnostics is None else asdict(self.diagnostics),
            "seconds": round(self.seconds, 3),
            "truth": None if truth is None else asdict(truth),
            "files": self.files,
            "note": DISCLAIMER,
        }

    def _check_levels(self) -> None:
        if self.levels != EIGHT_BITS:
            has = "float values" if self.levels is None else f"{self.levels + 1} levels"
            raise InputError(
                f"the samples have {has}, but a picture has 256: write result.samples to a TIFF "
                f"or an .npy file"
            )

    @property
    def files(self) -> list[str]:
        """Names of the pictures that `save` writes."""
        samples = [f"sample_{i:02d}.png" for i in range(len(self.pixels))]
        return [*samples, "mean.png", "std.png", "seen.png", "grid.png"]

    def grid(self) -> Image.Image:
        """All of a small result in one picture; of a large one, where its samples differ most."""
        shown = self
        if self.levels != EIGHT_BITS:
            pixels = to_bytes(from_levels(self.pixels, self.levels))
            shown = replace(self, pixels=pixels, levels=EIGHT_BITS)
        return restored_sheet(shown, DISCLAIMER)

    def save(self, folder: str | Path) -> None:
        """Write `files` and ``result.json``, as `SuperResolution.save`.

        Raises:
            InputError: As `report`; nothing is written.
            OutputError: The folder cannot be written, or another process writes to it.
        """
        self._check_levels()
        folder = Path(folder)
        with saved_files(folder, self.files, self.report):
            pictures = of_answers(self)
            pictures["seen.png"] = partial(to_pil, self.shown)
            std = partial(std_picture, self.std)
            save_pictures(folder, pictures, self.extras, {"std.png": std, "grid.png": self.grid})

    def _repr_png_(self) -> bytes:
        """The grid, for a notebook."""
        stream = io.BytesIO()
        self.grid().save(stream, "PNG")
        return stream.getvalue()


@dataclass(frozen=True, eq=False)
class RestorationRecipe:
    """Everything that a restoration follows from.

    Attributes:
        model: Name of the model.
        seen: What was seen.
        restoring: How to restore.
        weights: Fingerprint of the model's weights.
        dtype: What the networks computed in.
    """

    model: str
    seen: Seen
    restoring: Restoring
    weights: str
    dtype: Dtype


def restoration_from_dict(data: dict[str, Any], where: str) -> RestorationRecipe:
    """Read what `Restoration.report` has written.

    Raises:
        InputError: It is damaged, or its degradation could not be described.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    if data.get("degradation") is None:
        raise InputError(
            f"{where} is of an operator that cannot be described, so it cannot be drawn again"
        )
    names = Restoring.__dataclass_fields__
    restoring = from_dict(Restoring, {k: v for k, v in data.items() if k in names}, where)
    size, noise = data.get("size"), data.get("noise")
    numbers = isinstance(size, list) and [s for s in size if type(s) is int]
    if not numbers or len(numbers) != 2 or not isinstance(noise, (int, float)):
        raise InputError(f"{where} is damaged: its size or its noise is missing")
    height, width = numbers
    if min(numbers) < 1 or height * width > MAX_PIXELS:
        raise InputError(f"{where} is damaged: it is of {width}×{height} pixels")
    _refuse_larger(data["degradation"], height * width, where)  # before a mask is unpacked
    description = description_from_dict(data["degradation"])
    operator = description.operator((height, width))
    jpeg = jpeg_at_end(operator)
    most = 3 * height * width if jpeg is None else jpeg.count
    y = unpacked(data.get("input"), where, jpeg, most)[None]
    told = seen(y, operator, noise, description)
    model, weights, dtype = (data.get(name) for name in ("model", "weights", "dtype"))
    if not isinstance(model, str) or not isinstance(weights, str) or dtype not in ("fp32", "bf16"):
        raise InputError(f"{where} is damaged")
    return RestorationRecipe(model, told, restoring, weights, dtype)


def _refuse_larger(degradation: Any, pixels: int, where: str) -> None:
    """Refuse a mask of more pixels than the image has."""
    steps = degradation.get("steps") if isinstance(degradation, dict) else None
    for step in steps if isinstance(steps, list) else []:
        mask = step.get("packed") if isinstance(step, dict) and step.get("kind") == "mask" else None
        if isinstance(mask, str) and pixels_of(mask) > pixels:
            raise InputError(f"{where} is damaged: a mask is larger than the image")


def packed(y: Tensor, jpeg: BlockDCT | None = None) -> dict[str, str]:
    """What was seen as text: a PNG where it has 8-bit values, whole numbers where it is what a JPEG
    file holds, else the numbers."""
    picture = y.ndim == 3 and y.shape[0] == 3
    if picture and torch.allclose(to_bytes(y).float() / 255, y, atol=1e-6):
        return {"png": png_in_base64(to_pil(to_bytes(y)))}
    if jpeg is not None:
        whole = jpeg.in_file(y[None])
        # Where nothing is measured y is 0, and H of the middle grey is what round-off makes of it.
        if torch.allclose(jpeg.of_file(whole)[0].to(y), y, rtol=0, atol=1e-9):
            return {"jpeg": pack_numbers(whole[0].numpy().astype(np.int16))}
    return {"npy": pack_numbers(y.numpy())}


def unpacked(
    data: Any, where: str, jpeg: BlockDCT | None = None, most: int = 3 * MAX_PIXELS
) -> Tensor:
    """What `packed` gave, of at `most` so many values.

    Raises:
        InputError: It is damaged.
    """
    try:
        if "png" in data:
            with Image.open(io.BytesIO(base64.b64decode(data["png"])), formats=["PNG"]) as image:
                if 3 * image.width * image.height > most:
                    raise ValueError
                return to_tensor(image.convert("RGB"))
        name, dtype = ("npy", np.float32) if "npy" in data else ("jpeg", np.int16)
        values = unpack_numbers(data[name], most)
        y = torch.from_numpy(values.astype(np.float32))
        if values.dtype != dtype or y.ndim not in (1, 3) or not bool(y.isfinite().all()):
            raise ValueError
        if name == "jpeg":
            assert jpeg is not None
            y = jpeg.of_file(y[None])[0].float()
        return y
    except Exception:  # Pillow and NumPy raise errors of many kinds on damaged data
        raise InputError(f"{where} holds a damaged input") from None
