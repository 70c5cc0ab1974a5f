"""What comes out: the samples, what they agree on, and whether each gives the input back.

Explained in docs/explanation/projection.md.
"""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor

from ..degradations.base import cut_as
from ..degradations.bicubic import upscale_bicubic
from ..degradations.downscaling import Downscaling
from ..imaging.carried import Extras
from ..imaging.io import to_bytes
from ..imaging.values import decibels, exact_values
from .answers import Answers
from .recipe import Dtype, Recipe
from .saving import of_answers, save_pictures, saved_files
from .settings import Sampling
from .sheet import check_animation, save_animation, sheet, std_picture, summary_row

DISCLAIMER = (
    "The samples are plausible, not true: details are invented by a model and identify nobody."
)


Animation = Literal["webp", "apng"]
"""Formats in which the samples follow each other."""

Reason = Literal[
    "not a face", "turned", "shifted", "zoomed", "noisy", "jpeg", "too sharp", "too soft"
]


@dataclass(frozen=True)
class Doubt:
    """Why the input may be none that the model knows; see `cvdvae.input_check.examine`.

    Attributes:
        reason: The reason in a word or two.
        explanation: What the matter seems to be, one sentence.
        advice: What to do, one sentence.
    """

    reason: Reason
    explanation: str
    advice: str


@dataclass(frozen=True)
class Truth:
    """How the samples compare with the true image, in dB.

    Attributes:
        bicubic_psnr: PSNR of bicubic interpolation; in a restoration of what was seen, `shown`.
        sample_psnr: PSNR of each sample as saved.
        mean_psnr: PSNR of the mean of the samples.
    """

    bicubic_psnr: float
    sample_psnr: list[float]
    mean_psnr: float


@dataclass(frozen=True, eq=False, repr=False)
class SuperResolution(Answers):
    """Samples behind one low-resolution image; two results are equal only if they are the same.

    Attributes:
        y: The input, float in [0, 1], ``(C, h, w)``.
        samples: The samples, float in [0, 1], ``(N, C, H, W)``.
        pixels: The samples as they are saved, uint8, ``(N, C, H, W)``.
        degradation: H.
        model: Name of the model.
        sampling: How the samples were drawn.
        seconds: Time it took.
        truth: The true image where it is known, float in [0, 1], ``(C, H, W)``.
        exploded: Which samples came out of the model not finite or far outside of any image, as a
            flow's do at high temperatures; they were cut to [0, 1], and are no answer.
        doubts: Why the input may be none that the model knows; None where that was not examined.
        weights: Fingerprint of the model's weights; empty for a model that came from no folder.
        dtype: What the networks computed in.
        extras: What the input's file carried beside its colours; the saved pictures carry it, too.
        sigma: Standard deviation of the noise in y, in units of [0, 1], that the samples explain
            and do not repeat; 0 where they give y back.
        animation: Format in which `save` also writes the samples one after the other; None for not.
    """

    y: Tensor
    samples: Tensor
    pixels: Tensor
    degradation: Downscaling
    model: str
    sampling: Sampling
    seconds: float
    truth: Tensor | None = None
    exploded: list[bool] = field(default_factory=list)
    doubts: list[Doubt] | None = None
    weights: str = ""
    dtype: Dtype = "fp32"
    extras: Extras = field(default_factory=Extras)
    sigma: float = 0.0
    animation: Animation | None = None

    @property
    def scale(self) -> int:
        """Factor between the sides of the high- and the low-resolution image."""
        return int(self.samples.shape[2] // self.y.shape[1])

    def ddof(self, kept: list[int]) -> float:
        """As the samples were drawn."""
        return self.sampling.ddof(kept)

    @property
    def gives_back(self) -> bool:
        """Where samples were to be consistent, and y has no noise."""
        return self.sampling.consistent and not self.sigma

    @cached_property
    def lr_error(self) -> Tensor:
        """``H x − y`` of every sample as saved, ``(N, C, h, w)``, float64 in units of [0, 1].

        H x is cut to these, as y was, but where y has noise.
        """
        shrunk = torch.cat([self.degradation.A(one[None].double() / 255) for one in self.pixels])
        return cut_as(self.y, shrunk, self.sigma) - exact_values(self.y)

    @property
    def lr_psnr(self) -> list[float]:
        """LR-PSNR of every sample as saved, in dB: infinite if H gives y back without any error."""
        return decibels((self.lr_error**2).mean((1, 2, 3))).tolist()

    @property
    def largest_lr_error(self) -> list[float]:
        """Largest ``|Hx − y|`` of every sample as saved, in 8-bit levels."""
        return (self.lr_error.abs().amax((1, 2, 3)) * 255).tolist()

    @property
    def missed_share(self) -> list[float]:
        """Share of the values of y that shrinking each sample to 8 bits does not give back."""
        shrunk = to_bytes(exact_values(self.y) + self.lr_error)
        return (shrunk != to_bytes(self.y)).double().mean((1, 2, 3)).tolist()

    @property
    def round_trip_exact(self) -> list[bool]:
        """Whether shrinking the saved sample to 8 bits gives y's 8-bit values back, every pixel."""
        return [missed == 0 for missed in self.missed_share]

    @property
    def misfit(self) -> list[float] | None:
        """Root mean square of ``(Hx − y) / σ`` of every sample as saved; None where σ = 0.

        The true image has 1 on average.
        """
        if not self.sigma:
            return None
        return (self.lr_error.square().mean((1, 2, 3)).sqrt() / self.sigma).tolist()

    @property
    def bicubic(self) -> Tensor:
        """Bicubic interpolation of y, ``(C, H, W)``."""
        height, width = self.samples.shape[2:]
        return upscale_bicubic(self.y[None], (height, width))[0]

    def against_truth(self) -> Truth | None:
        """PSNR of bicubic, of the samples and of their mean, where the truth is known."""
        if self.truth is None:
            return None
        return Truth(
            psnr(self.bicubic, self.truth),
            [psnr(one.float() / 255, self.truth) for one in self.pixels],
            psnr(self.mean if len(self.answers) > 1 else self.mean_pixels / 255, self.truth),
        )

    @property
    def recipe(self) -> Recipe:
        """What brings this result back."""
        return Recipe(self.model, self.y, self.sampling, self.scale, self.weights, self.dtype)

    def report(self) -> dict[str, Any]:
        """What `result.json` holds; an infinite LR-PSNR is written as null."""
        about = {"orientation": self.extras.orientation}
        return self.recipe.to_dict() | about | report_of(self, self.sigma)

    def summary_row(self, samples: int) -> list[tuple[str, Image.Image]]:
        """Labelled tiles: LR, bicubic, the first samples, their mean and std, and the truth."""
        return summary_row(self, samples)

    def grid(self) -> Image.Image:
        """All of a small result in one picture; of a large one, where its samples differ most."""
        return sheet(self, DISCLAIMER)

    @property
    def files(self) -> list[str]:
        """Names of the pictures that `save` writes, and of the input's file where `result.json` is
        not to hold it."""
        samples = [f"sample_{i:02d}.png" for i in range(len(self.pixels))]
        inputs = [name for name in (self.recipe.beside,) if name]
        moving = [] if self.animation is None else [f"samples.{self.animation}"]
        return [*samples, "mean.png", "std.png", "grid.png", *inputs, *moving]

    def _repr_png_(self) -> bytes:
        """The grid, for a notebook."""
        stream = io.BytesIO()
        self.grid().save(stream, "PNG")
        return stream.getvalue()

    def save(self, folder: str | Path, animation: Animation | None = None) -> None:
        """Write ``sample_00.png …``, ``mean.png``, ``std.png``, ``grid.png`` and ``result.json``.

        With `animation`, here or of the result, ``samples.webp`` or ``samples.apng``, too. Every
        file is written whole or not at all. Those of an earlier result give way, and no others; it
        stays where this one cannot be saved. `result.json` comes last: where it stands, the result
        is complete.

        Raises:
            InputError: No picture holds such samples, or no WebP.
            OutputError: The folder cannot be written, or another process writes to it.
        """
        if animation not in (None, self.animation):
            replace(self, animation=animation).save(folder)
            return
        folder = Path(folder)
        check_animation(self.animation, *self.pixels.shape[2:])
        with saved_files(folder, self.files, self.report):
            pictures = of_answers(self)
            rest: dict[str, Callable[[], Image.Image]]
            rest = {"std.png": partial(std_picture, self.std), "grid.png": self.grid}
            save_pictures(folder, pictures, self.extras, rest)
            if self.animation is not None:
                save_animation(self, folder / f"samples.{self.animation}", self.extras)
            self.recipe.save_beside(folder, self.extras)


class Reported(Protocol):
    """What every result that gives y back tells of itself; see `SuperResolution`."""

    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def lr_psnr(self) -> list[float]: ...  # noqa: D102
    @property
    def round_trip_exact(self) -> list[bool]: ...  # noqa: D102
    @property
    def missed_share(self) -> list[float]: ...  # noqa: D102
    @property
    def largest_lr_error(self) -> list[float]: ...  # noqa: D102
    @property
    def misfit(self) -> list[float] | None: ...  # noqa: D102
    @property
    def exploded(self) -> list[bool]: ...  # noqa: D102
    @property
    def doubts(self) -> list[Doubt] | None: ...  # noqa: D102
    @property
    def files(self) -> list[str]: ...  # noqa: D102
    def against_truth(self) -> Truth | None: ...  # noqa: D102


def report_of(result: Reported, noise: float | list[float]) -> dict[str, Any]:
    """What `result.json` says of what came out; an infinite LR-PSNR is None.

    Args:
        result: The result.
        noise: Standard deviation of the noise in y; of arrays of every plane, in their unit.
    """
    truth = result.against_truth()
    return {
        "lr_psnr": [v if v < float("inf") else None for v in result.lr_psnr],
        "round_trip_exact": result.round_trip_exact,
        "missed_share": result.missed_share,
        "largest_lr_error": result.largest_lr_error,
        "noise": noise,
        "misfit": result.misfit,
        "exploded": result.exploded,
        "doubts": None if result.doubts is None else [asdict(d) for d in result.doubts],
        "seconds": round(result.seconds, 3),
        "truth": None if truth is None else asdict(truth),
        "files": result.files,
        "note": DISCLAIMER,
    }


def psnr(x: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio of images in [0, 1], in dB."""
    return float(decibels((x.double() - reference.double()).square().mean()))
