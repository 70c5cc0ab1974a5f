"""What was seen of an image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..damage.described import Description, parse
from ..damage.estimates import MAX_NOISE, noise_behind
from ..damage.jpeg_file import JPEGFile, read_jpeg
from ..damage.jpeg_pixels import of_decoded
from ..damage.pictures import at_size_of_x, is_picture
from ..damage.step import Size, Step
from ..degradations.base import Degradation, may_mix_colours
from ..degradations.block_dct import ROUNDING, BlockDCT
from ..degradations.composed import Composed, as_jpeg, jpeg_at_end, steps_of
from ..degradations.foreign import check_linear, in_precision, noise_carried_by, of_one, on_device
from ..degradations.mask import Colours, InAllColours, luminance
from ..errors import InputError
from ..gaussian.noise import SeededNoise
from ..imaging.io import MAX_PIXELS, to_bytes
from ..imaging.values import EIGHT_BITS, rounding_of
from .checks import number, whole_number
from .evidence import faithful_estimate
from .tolerance import Count, measured
from .workers import uncast

NOISE = "the noise σ"
READS = "cvdvae.load_image reads a file"
JOINED = "join its parts to one, and take a degradation whose A gives them so"
UNSAID = "what was seen is no picture: name a noise σ above 0"
ROUNDED = "a JPEG's noise is the rounding of its coefficients: leave the noise out"
UNMEASURED = 128 / 255
"""Where nothing was seen: the grey that a file of 8 bits has there."""
FAR, SIGMAS = 0.5, 6
"""How far from [0, 1] the values of a picture may be, and how many σ of its noise further."""

Auto = Literal["auto"]
"""σ is estimated."""
Check = Callable[[Description, Size], Size]
"""Height and width of x by the description of what was seen, and its own; it refuses what cannot be
restored, before large images of it are made."""


def anything(description: Description, size: Size) -> Size:
    """A `Check` that refuses nothing."""
    return description.hr_size(size)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of an image, and what is known of how it came about.

    Attributes:
        y: ``(N=1, …)`` float; a picture is ``(1, C, h, w)`` in [0, 1] but for its noise.
        degradation: H.
        sigma: σ, in the units of y.
        description: H as plain data, where it is known.
        levels: Steps between 0 and 1 to which y was rounded, and samples are; None for values that
            are not.
    """

    y: Tensor
    degradation: Degradation
    sigma: float
    description: Description | None = None
    levels: int | None = EIGHT_BITS

    @property
    def is_grey(self) -> bool:
        """Whether it is a picture in colour, all of whose colours are grey, or a JPEG without any
        chroma: so are the answers."""
        y = self.y
        if jpeg_at_end(self.degradation) is not None:
            return _without_chroma(self.degradation, y)
        picture = y.ndim == 4 and y.shape[1] > 1 and bool((y == y[:, :1]).all())
        return picture and not may_mix_colours(self.degradation)

    @property
    def is_luminance(self) -> bool:
        """Whether of the colours only the luminance is left, or another sum of theirs."""
        steps = steps_of(self.degradation)
        return any(isinstance(step, Colours) and step.everywhere for step in steps)

    @property
    def luma_alone(self) -> bool:
        """Whether it is a JPEG without any chroma, of which all but luma is known: it is grey."""
        return self.is_grey and jpeg_at_end(self.degradation) is not None

    @property
    def of_what_is_open(self) -> Degradation:
        """H, of the luma ``(N, 1, H, W)`` where that alone is open."""
        H = self.degradation
        return Composed(InAllColours(), H) if self.luma_alone else H

    @property
    def copies(self) -> int:
        """How often every value stands in y: in all colours of a grey picture, with one noise."""
        return self.y.shape[1] if self.is_grey and self.y.ndim == 4 else 1

    @property
    def count(self) -> Count:
        """How many values of y say anything of what is open, copies of others left out."""
        known = measured(self.of_what_is_open, self.y)
        values = known.any(1) if self.copies > 1 else known
        return Count(int(values.sum()), int(known.sum()))


def _without_chroma(degradation: Degradation, y: Tensor) -> bool:
    """Whether a JPEG at the end holds no chroma, though nothing before it took the colours."""
    *before, jpeg = steps_of(degradation)
    assert isinstance(jpeg, BlockDCT)
    if any(map(may_mix_colours, before)):
        return False
    height, width = jpeg.planes[0]
    return not bool(jpeg.in_file(y)[:, height * width :].any())


@uncast
def seen(
    y: Tensor,
    degradation: str | Description | Degradation,
    noise: float | Auto | None = None,
    description: Description | None = None,
    check: Check = anything,
    levels: int | None = EIGHT_BITS,
) -> Seen:
    """Check what was seen.

    Args:
        y: A picture ``(C, h, w)`` or ``(1, C, h, w)`` in [0, 1], decoded where words say that it
            was a JPEG; or what an operator makes of one: ``(1, M)`` coefficients of a JPEG file,
            from `cvdvae.damage.jpeg_file.read_jpeg`.
        degradation: H, in words (see `described`), described, or an operator of ours or deepinv's.
        noise: σ; by default `usual_noise`; ``auto`` estimates it from a picture, as `noise_behind`.
        description: Of an operator, where there is one.
        check: Called before anything is made for words or a description.
        levels: As in `Seen`.

    Raises:
        InputError: y is no tensor, empty, not finite, a picture far from [0, 1] behind a
            description, or does not belong to H, H is not linear, or σ is no number from 0 to 1, 0
            or not named for what is no picture, or less than the rounding of a JPEG.
        ConfigError: The words describe nothing.
    """
    if not isinstance(y, Tensor):
        kind = type(y).__name__
        instead = JOINED if kind in ("list", "tuple", "TensorList") else READS
        raise InputError(f"y is a {kind}, no tensor: {instead}")
    some = torch.is_floating_point(y) and y.ndim in (2, 3, 4) and y.numel() > 0
    if not some or not bool(y.isfinite().all()):
        raise InputError(
            f"expected what was seen as finite floats (C, h, w), not {y.dtype} {tuple(y.shape)}"
        )
    degradation = parse(degradation) if isinstance(degradation, str) else degradation
    if y.ndim == 2 and isinstance(degradation, Description):
        raise InputError(
            "a picture has colours, (C, h, w), of which a grey one has one: y[None]; the "
            "coefficients of a JPEG file need their own operator; for a model of colours all of "
            "them have the same values: y.expand(3, -1, -1)"
        )
    y = of_one(y.detach().float().cpu(), degradation)
    auto = isinstance(noise, str) and noise == "auto"
    noise = noise if noise is None or auto else number(noise, NOISE)
    if len(y) != 1:
        raise InputError(f"expected one image, not {len(y)}")
    if isinstance(degradation, Description):
        description = degradation
        size = check(description, (y.shape[2], y.shape[3]))
        if noise == "auto":
            noise = (
                None if not description.pictures else noise_behind(y[0], description, levels, size)
            )
        degradation = description.operator(size)
        outside = float((y - 0.5).abs().max()) - 0.5
        if outside > FAR + SIGMAS * max(0.0, noise or 0.0):
            raise InputError("image values must be in [0, 1]")
        if (jpeg := jpeg_at_end(degradation)) is not None:
            y, noise = of_decoded(y, jpeg), jpeg.rounding if noise is None else noise
    if noise == "auto":
        raise InputError("noise is estimated behind a degradation in words: name σ")
    degradation = on_device(degradation, y.device)
    check_linear(degradation, y)
    degradation = in_precision(degradation, y.dtype)
    sigma = usual_noise(degradation, y, levels) if noise is None else noise
    _check_sigma(sigma, degradation, y)
    y = torch.where(measured(degradation, y), y, 0)
    return Seen(y, degradation, sigma, description, levels)


def _check_sigma(sigma: float, degradation: Degradation, y: Tensor) -> None:
    """Refuse a σ that cannot be that of y."""
    if not 0 <= sigma <= MAX_NOISE:
        raise InputError(f"{NOISE} must be a number from 0 to {MAX_NOISE:g}, not {sigma}")
    if sigma < ROUNDING and jpeg_at_end(degradation) is not None:
        raise InputError(ROUNDED)
    if sigma == 0 and y.ndim != 4:
        raise InputError(UNSAID)


def seen_in_jpeg(
    path: Path, before: Sequence[Step], most: int = MAX_PIXELS, check: Check = anything
) -> tuple[Seen, JPEGFile]:
    """What a JPEG file holds of an image, by its own tables, and the file.

    Args:
        path: The file.
        before: What happened to the image before.
        most: Pixels that it may have.
        check: Called before it is decoded.

    Raises:
        InputError: As `read_jpeg`.
        ConfigError: No JPEG can follow what happened before.
    """

    def whole(compressed: Description) -> Description:
        return Description((*before, *compressed.steps))

    file = read_jpeg(path, most, lambda compressed, size: check(whole(compressed), size))
    description = whole(file.description)
    operator = description.operator(check(description, file.operator.size))
    return seen(file.y, operator, file.operator.rounding, description), file


@uncast
def degraded(
    x: Tensor,
    description: Description,
    noise: float | None = None,
    seed: int = 0,
    in_8_bits: bool = True,
) -> Seen:
    """What is seen of an intact image, as a file would hold it.

    Args:
        x: The image, ``(C, H, W)`` in [0, 1]. Where what shrinks it does not divide its sides it is
            shrunk by somewhat more; `damage.dividing.divided` leaves the rest out.
        description: What happens to it.
        noise: σ; see `usual_noise`.
        seed: Of the noise.
        in_8_bits: Whether a picture is kept in [0, 1] and rounded to 8 bits; see `noise_in_8_bits`.
            Else nothing but a JPEG is rounded, samples neither, and no picture holds them.

    Raises:
        InputError: The degradation does not fit the image, which has finite values, noise is named
            of a JPEG, or the seed is negative.
    """
    noise = None if noise is None else number(noise, NOISE)
    if (seed := whole_number(seed, "the seed")) < 0:
        raise InputError(f"the seed must not be negative, but is {seed}")
    if x.ndim != 3 or not bool(x.isfinite().all()):
        raise InputError(f"expected an image as finite floats (C, H, W), not {tuple(x.shape)}")
    operator = description.operator((x.shape[1], x.shape[2]))
    if (file := as_jpeg(operator, x[None])) is not None:
        if noise is not None:
            raise InputError(ROUNDED)
        return seen(file, operator, description=description)
    y = operator.A(x[None])
    if noise:
        # None of the numbers that samples of the same seed are drawn with.
        drawn = SeededNoise(seed, [0], stream=2).normal(y)
        grey = y.ndim == 4 and bool((y == y[:, :1]).all())  # then a camera has one value for all
        y = y + noise * (drawn[:, :1] if grey else drawn)
    if in_8_bits:
        y = to_bytes(y.clamp(0, 1)).float() / 255
        noise = None if noise is None else noise_in_8_bits(noise, y.numel())
    return seen(y, operator, noise, description, levels=EIGHT_BITS if in_8_bits else None)


def noise_in_8_bits(noise: float, values: int) -> float:
    """σ of so many values that were rounded to 8 bits after noise σ.

    The rounding is told with it where it adds more to χ² than that has for a standard deviation, as
    below 0.01 in 64×64 colours: the truth would not explain y else. 0 stays 0.
    """
    rounding = ROUNDING / 255
    told = noise > 0 and (rounding / noise) ** 2 > math.sqrt(2 / max(1, values))
    return math.hypot(noise, rounding) if told else noise


def shown(what: Seen) -> Tensor:
    """What was seen, for the eye, ``(C, H, W)`` in [0, 1].

    A picture y is shown at the size of x, grey where nothing was measured; what is no picture, such
    as the coefficients of a JPEG file, as an estimate of x that loses nothing of it. Where only the
    luminance is left, that is shown.
    """
    y, like = what.y, what.degradation.A_adjoint(what.y)
    grey = what.is_grey or what.is_luminance
    if not is_picture(what.degradation, y) or y.shape[1] not in (like.shape[1], int(grey)):
        x = faithful_estimate(what.degradation, y, what.sigma)
        return (in_luma(x).expand_as(x) if grey else x)[0].clamp(0, 1)
    y = torch.where(measured(what.degradation, y), y, UNMEASURED).clamp(0, 1)
    y = y.expand(-1, like.shape[1], -1, -1)
    return at_size_of_x(what.degradation, y, what.y)[0]


def in_luma(x: Tensor) -> Tensor:
    """The luma ``(n, 1, H, W)`` of images ``(n, 3, H, W)``, as a JPEG holds it."""
    return luminance().A(x)


def usual_noise(
    degradation: Degradation, y: Tensor | None = None, levels: int | None = EIGHT_BITS
) -> float:
    """σ where none is named: 0 where H gives y back, else what is lost in rounding y.

    That is a third of a quantization step in a JPEG (of a file somewhat more, `BlockDCT.rounding`),
    and a third of a level in a picture.
    A physics of deepinv's that carries normal noise, `noise_model.sigma`, has that.

    Args:
        degradation: H.
        y: What it gives, ``(1, …)``; a picture by default.
        levels: Of a picture, as in `Seen`.

    Raises:
        InputError: The noise that it carries is none that a σ tells, or is beyond `MAX_NOISE`; or y
            is no picture.
    """
    carried = noise_carried_by(steps_of(degradation))
    if not 0 <= carried <= MAX_NOISE:
        raise InputError(
            f"{NOISE} must be a number from 0 to {MAX_NOISE:g}, but this degradation carries "
            f"{carried:g}"
        )
    if jpeg_at_end(degradation) is not None:
        return ROUNDING
    if carried or getattr(degradation, "exact", False):
        return carried
    if y is not None and not is_picture(degradation, y):
        raise InputError(UNSAID)
    return rounding_of(levels)
