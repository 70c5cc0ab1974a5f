"""What the images of an encoder's training have been through: shrunk, or anything.

Explained in docs/explanation/lr_encoder.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.records import RestorerRecord
from ..degradations.base import Degradation, shrink_to_8_bits
from ..degradations.bicubic import BicubicDownscaling, upscale_bicubic
from ..degradations.damped import solve
from ..errors import ConfigError
from ..restoration.evidence import conditions, evidence
from ..restoration.posterior.measurement import Measurement
from ..restoration.restoring import usual_noise
from ..restoration.tolerance import PhotonNoise, photons_of
from .config import EncoderTraining
from .degrade import Degraded, degraded, kinds

GROUPS = 4
"""Degradations in a batch of a process: each for a part of its images."""

Seed = tuple[int, ...]
Way = tuple[Seed, str | None]
"""A seed of `degraded`, and a kind where it is not to be drawn."""


def seed_of(number: int) -> Seed:
    """What happens to a validation image depends on this, and on nothing else of where it is.

    It is no seed of a training: those are shorter, and numpy takes them as if zeros followed.
    """
    return (1, number, 0, 0, 1)


class Case(NamedTuple):
    """Images as the encoder gets them.

    Attributes:
        names: What happened to each of them.
        evidence: The encoder's input.
        scale: The factor that it enlarges by.
        shown: The same for the eye, ``(N, C, H, W)`` in [0, 1].
        ended: What becomes of draws of μ(z), one for every image, before they are answers, whatever
            their range; differentiable.
    """

    names: list[str]
    evidence: Tensor
    scale: int
    shown: Tensor
    ended: Callable[[Tensor], Tensor]


class Task(Protocol):
    """How images are degraded for an encoder.

    Attributes:
        names: Those of all cases of a validation.
    """

    names: list[str]

    def training(self, x: Tensor, step: int, rank: int) -> Case:
        """One case of a batch in [0, 1], ``(N, C, H, W)``; every process has its own rank."""

    def validation(self, x: Tensor, numbers: Sequence[int]) -> Iterator[Case]:
        """Cases of all of a batch: what happens to an image is a function of its number alone.

        Args:
            x: The batch.
            numbers: Which of all validation images it holds.
        """

    def pictured(self, x: Tensor) -> list[Case]:
        """A case for every name, all of the same few images, to look at."""


def task_of(config: EncoderTraining, channels: int, size: int, pixel_std: float) -> Task:
    """The task that a configuration names.

    Args:
        config: The configuration.
        channels: Colours of the prior's images.
        size: Side of the training images.
        pixel_std: How far the prior's μ(z) is from its images, in grey levels.

    Raises:
        ConfigError: Images of this size cannot be shrunk as asked, or the encoder's conditions are
            not those of its task.
    """
    wanted = conditions(channels) if config.degradations == "any" else 0
    if config.model.conditions != wanted:
        raise ConfigError(
            f"for degradations '{config.degradations}' the model's conditions must be {wanted}, "
            f"not {config.model.conditions}"
        )
    if config.degradations == "any":
        if config.model.scales != (1,):
            raise ConfigError("an encoder for any degradation has scales [1]: it keeps the size")
        if not kinds(channels, config.shares):
            raise ConfigError(f"nothing in shares happens to images of {channels} channels")
        return Anything(config.optim.seed, channels, config.shares)
    odd = [scale for scale in config.model.scales if size % scale]
    if odd:
        raise ConfigError(f"images of {size}×{size} pixels cannot be shrunk by {odd[0]}")
    noise = PhotonNoise(config.photons, pixel_std / 255) if config.photons else None
    return Shrinking(size, config.model.scales, noise, config.optim.seed)


class Shrinking:
    """Bicubic downscaling, by every scale in turn, rounded to 8 bits.

    Args:
        size: Side of the images.
        scales: The factors.
        noise: That of the camera which sees the shrunk images, if there is one.
        seed: Of the training's.
    """

    def __init__(
        self, size: int, scales: tuple[int, ...], noise: PhotonNoise | None, seed: int
    ) -> None:
        self.scales, self.noise, self.seed = scales, noise, seed
        self.names = [f"x{scale}" for scale in scales]
        self.degradations = {
            scale: BicubicDownscaling((size, size), (size // scale, size // scale))
            for scale in scales
        }

    def training(self, x: Tensor, step: int, rank: int) -> Case:
        """The scale is that of the step; photons fall on every process in their own way."""
        return self._case([x], self.scales[step % len(self.scales)], [(self.seed, step, rank)])

    def validation(self, x: Tensor, numbers: Sequence[int]) -> Iterator[Case]:
        """The whole batch at every scale; photons fall on every image in its own way."""
        seeds = [seed_of(number) for number in numbers]
        for scale in self.scales:
            yield self._case(x.split(1), scale, seeds)

    def pictured(self, x: Tensor) -> list[Case]:
        """As the first of all images are validated."""
        return list(self.validation(x, range(len(x))))

    def _case(self, parts: Sequence[Tensor], scale: int, seeds: Sequence[Seed]) -> Case:
        degradation, photons = self.degradations[scale], photons_of(self.noise)
        y = torch.cat(
            [
                shrink_to_8_bits(part, degradation, photons, _generator(seed, part.device))
                for part, seed in zip(parts, seeds, strict=True)
            ]
        )
        size = (parts[0].shape[2], parts[0].shape[3])
        ended = partial(_consistent, y, degradation)
        if self.noise is not None:
            levels = [self.noise.tolerance(one).sigma for one in y.split(1)]
            ones = [Degraded(*of) for of in zip(y.split(1), repeat(degradation), levels)]
            ended = partial(_explaining, ones, self.noise.pixel_std)
        return Case([f"x{scale}"] * len(y), y, scale, upscale_bicubic(y, size), ended)


class Anything:
    """Random degradations of `degrade.DEGRADATIONS`, several in a batch.

    Args:
        seed: Of the training's.
        channels: Colours of the images.
        shares: As for `degraded`.
    """

    def __init__(self, seed: int, channels: int, shares: Mapping[str, float] | None = None) -> None:
        self.seed, self.shares, self.names = seed, shares, kinds(channels, shares)

    def training(self, x: Tensor, step: int, rank: int) -> Case:
        """Each part of the batch is degraded in its own way."""
        parts = x.chunk(GROUPS)
        ways = [((self.seed, step, rank, i), None) for i in range(len(parts))]
        return self._case(parts, ways)

    def validation(self, x: Tensor, numbers: Sequence[int]) -> Iterator[Case]:
        """Images have the kinds in turn, every one in its own way."""
        ways = [(seed_of(one), self.names[one % len(self.names)]) for one in numbers]
        yield self._case(x.split(1), ways)

    def pictured(self, x: Tensor) -> list[Case]:
        """Every kind, all images in the way of the first that is validated with it."""
        return [self._case([x], [(seed_of(i), kind)]) for i, kind in enumerate(self.names)]

    def _case(self, parts: Sequence[Tensor], ways: Sequence[Way]) -> Case:
        with torch.autocast(parts[0].device.type, enabled=False):
            pairs = zip(parts, ways, strict=True)
            seen = [degraded(x.float(), *way, self.shares) for x, way in pairs]
            told = torch.cat([evidence(one.degradation, one.y, one.sigma) for one in seen])
        names = [kind or "any" for x, (_, kind) in zip(parts, ways, strict=True) for _ in x]
        shown = told[:, : parts[0].shape[1]].clamp(0, 1)
        ended = partial(_explaining, seen, RestorerRecord.pixel_std / 255)
        return Case(names, told, 1, shown, ended)


def _generator(seed: Seed, device: torch.device) -> torch.Generator:
    """One of its own: the global one is that of the latents' noise, which all processes share."""
    (own,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(own >> 1))


def _consistent(y: Tensor, degradation: Degradation, x: Tensor) -> Tensor:
    """The nearest images with Hx = y: ``x + H⁺(y − Hx)``."""
    return x + degradation.A_dagger(y - degradation.A(x))


def _explaining(seen: Sequence[Degraded], pixel_std: float, x: Tensor) -> Tensor:
    """``E[x | z, y]`` of parts of a batch that were degraded each in its own way, for an s in units
    of an image in [0, 1]."""
    parts = x.split([len(one.y) for one in seen])
    return torch.cat([_mean(part, one, pixel_std) for part, one in zip(parts, seen, strict=True)])


def _mean(x: Tensor, seen: Degraded, pixel_std: float) -> Tensor:
    sigma = seen.sigma or usual_noise(seen.degradation)
    mean: Tensor = _ConditionalMean.apply(  # type: ignore[no-untyped-call]
        x, Measurement(seen.y, seen.degradation, pixel_std, sigma)
    )
    return mean


class _ConditionalMean(torch.autograd.Function):
    """``E[x | z, y]`` of `Measurement.draw` as a function of μ(z), ``x = μ + Hᵀ S M (y − Hμ)`` with
    ``S = (H Hᵀ + σ²/s² I)⁻¹``, its own transpose, and M nought where Hμ is cut as y was. So the
    gradient is ``g − Hᵀ M S H g``, and no step of a solution has to be kept."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, measurement: Measurement) -> Tensor:
        ctx.measurement, ctx.told = measurement, measurement.tells(mean)
        return measurement.draw(mean)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), of = gradients, ctx.measurement
        lost = solve(of.degradation, of.degradation.A(gradient), of.damping)
        lost = torch.where(ctx.told, lost, 0)
        return gradient - of.degradation.A_adjoint(lost.to(gradient)), None
