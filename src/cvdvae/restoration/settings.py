"""The settings of a draw, checked once.

Explained in docs/explanation/sampling.md.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..degradations.kernels import KERNELS
from ..errors import InputError
from .checks import make_plain, plain_profile
from .edits import MAX_REGIONS, MAX_STEPS, Edit

MAX_SAMPLES = MAX_MOVES = 10_000

TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
"""What calibration tries for the groups of a prior and of an encoder."""

WIDE_TEMPERATURES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""What it tries for any other model: samples of a flow can blow up well below 1."""


class Grids(NamedTuple):
    """Temperatures that calibration tries for a model.

    Attributes:
        prior: Of the prior's groups, or of a flow; empty where one temperature serves all groups,
            which is then the encoder's.
        encoder: Of the encoder's groups; empty where there is none.
    """

    prior: tuple[float, ...]
    encoder: tuple[float, ...]


def check_samples(samples: int) -> None:
    """Refuse a number of samples that nobody can mean.

    Raises:
        InputError: It is below 1, or above `MAX_SAMPLES`.
    """
    if samples < 1:
        raise InputError(f"the number of samples must be at least 1, not {samples}")
    if samples > MAX_SAMPLES:
        raise InputError(f"the number of samples must be at most {MAX_SAMPLES}, not {samples}")


def ddof(kept: Collection[int], antithetic: bool) -> float:
    """What is taken from the number of samples to estimate their variance σ².

    ::

        E Σ (x − x̄)² = (n − m / n) σ²

    where m of the n samples have no partner among them that drew the opposite: to first order, a
    pair cancels in x̄. Independent samples have m = n, complete pairs m = 0.

    Args:
        kept: Indices of the samples.
        antithetic: Whether they were drawn in opposite pairs.
    """
    held = set(kept)
    alone = [i for i in held if not antithetic or i ^ 1 not in held]
    return len(alone) / len(held)


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn.

    Attributes:
        samples: How many.
        temperature: Factor τ on the standard deviations of the prior's groups z_≥k.
        seed: Seed of the samples, not negative.
        encoder_temperature: Factor on the standard deviations of the encoder's groups z_<k.
        consistent: Project every sample onto ``{x : Hx = y} ∩ [0, 1]``.
        shrunk_by: The program that made y, one of `cvdvae.degradations.kernels.KERNELS`: what H is.
        antithetic: Draw samples 2k and 2k + 1 with opposite noise: their mean is better than that
            of four independent ones (`cvdvae.gaussian.noise.AntitheticNoise`).
        steps: How to steer from the samples that the others give to those that are wanted.
        self_ensemble: Let samples see y mirrored and turned, each in another of the orientations
            that the model knows (`cvdvae.restoration.self_ensemble`); not with steps.
        profile: What both temperatures are multiplied by for the groups of every stride, from the
            coarsest on; 1 by default.

    Raises:
        InputError: A value of another type, or out of its range. Numbers of NumPy and torch become
            plain ones; a float is no whole number.
    """

    samples: int = 8
    temperature: float = 0.8
    seed: int = 0
    encoder_temperature: float = 1.0
    consistent: bool = True
    shrunk_by: str = "bicubic"
    antithetic: bool = False
    steps: tuple[Edit, ...] = ()
    self_ensemble: bool = False
    profile: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        make_plain(
            self,
            whole=("samples", "seed"),
            numbers=("temperature", "encoder_temperature"),
            flags=("consistent", "antithetic", "self_ensemble"),
        )
        check_samples(self.samples)
        several = isinstance(self.steps, (tuple, list))
        if not several or not all(isinstance(step, Edit) for step in self.steps):
            raise InputError(f"steps are edits, as in (Blend(0, 1),), not {self.steps!r:.60}")
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "profile", plain_profile(self.profile))
        if self.seed < 0:
            raise InputError(f"the seed must not be negative, but is {self.seed}")
        for value in (self.temperature, self.encoder_temperature):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"a temperature must be a number from 0 upwards, not {value}")
        if not isinstance(self.shrunk_by, str) or self.shrunk_by not in KERNELS:
            named = str(self.shrunk_by)[:40]
            raise InputError(f"unknown way to shrink '{named}': choose one of {', '.join(KERNELS)}")
        if self.steps and self.self_ensemble:
            raise InputError(
                "samples that saw y in several orientations have no latent groups in common: leave "
                "self-ensemble or the steps of steering out"
            )
        if len(self.steps) > MAX_STEPS:
            raise InputError(f"{len(self.steps)} steps of steering are more than {MAX_STEPS}")
        if sum(step.regional for step in self.steps) > MAX_REGIONS:
            raise InputError(f"at most {MAX_REGIONS} regions can be varied one after the other")
        for before, step in zip((None, *self.steps), self.steps, strict=False):
            none = [sample for sample in step.samples if not 0 <= sample < self.samples]
            if none:
                raise InputError(
                    f"a step starts from sample {none[0]}, but there are only "
                    f"samples 0 to {self.samples - 1}"
                )
            pairs = self.antithetic and not (before and before.counts)
            if pairs and len({i // 2 for i in step.samples}) < len(set(step.samples)):
                raise InputError(
                    f"samples {step.samples[0]} and {step.samples[1]} are opposite, and halfway "
                    f"between them is none: choose two of different pairs"
                )
            if (step.fresh_seed or 0) < 0:
                raise InputError(
                    f"the seed of a step must not be negative, but is {step.fresh_seed}"
                )

    @property
    def pairs(self) -> bool:
        """Whether the samples are opposite pairs: a walk between two of them is none."""
        return self.antithetic and not (self.steps and self.steps[-1].counts)

    def ddof(self, kept: Collection[int]) -> float:
        """`ddof` of some of the samples."""
        return ddof(kept, self.pairs)

    def reseeded(self, seed: int) -> "Sampling":
        """The same with another seed."""
        return replace(self, seed=seed)

    def at(self, temperature: float, encoder_temperature: float) -> "Sampling":
        """The same at other temperatures."""
        return replace(self, temperature=temperature, encoder_temperature=encoder_temperature)

    def then(self, step: Edit) -> "Sampling":
        """The same, steered by one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def history(self) -> tuple["Sampling", ...]:
        """The settings that led here: without steps, with the first, and so on to these."""
        return tuple(replace(self, steps=self.steps[:n]) for n in range(len(self.steps) + 1))

    def before(self) -> "Sampling":
        """The same without the last step."""
        return replace(self, steps=self.steps[:-1])


@dataclass(frozen=True)
class Restoring:
    """How to restore.

    Attributes:
        samples: How many.
        temperature: Factor τ on the standard deviations of the encoder's groups, and of the
            prior's where there are any. With moves it is that of the chains.
        seed: Seed of the samples, not negative.
        moves: Moves of every chain, which correct the encoder and take σ for 0.5/255 at least;
            without an encoder half of them lead to where a chain begins.
        grain: Draw the pixels from p(x|z, y), with what the network leaves to chance; otherwise
            its mean is taken, which is smoother.
        antithetic: As in `Sampling`, like `self_ensemble`; neither goes with moves.
        profile: What the temperature is multiplied by for the groups of every stride, from the
            coarsest on; 1 by default. Not with moves.

    Raises:
        InputError: A value of another type, or out of its range; as for `Sampling`.
    """

    samples: int = 8
    temperature: float = 1.0
    seed: int = 0
    moves: int = 0
    grain: bool = False
    antithetic: bool = False
    self_ensemble: bool = False
    profile: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        make_plain(
            self,
            whole=("samples", "seed", "moves"),
            numbers=("temperature",),
            flags=("grain", "antithetic", "self_ensemble"),
        )
        check_samples(self.samples)
        if self.seed < 0:
            raise InputError(f"the seed must not be negative, but is {self.seed}")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"a temperature must be a number from 0, not {self.temperature}")
        if not 0 <= self.moves <= MAX_MOVES:
            raise InputError(f"moves must be from 0 to {MAX_MOVES}, not {self.moves}")
        if self.moves and not self.temperature:
            raise InputError("chains cannot move at temperature 0: take another, or no moves")
        if self.moves and self.antithetic:
            raise InputError("chains are independent of each other: leave antithetic or moves out")
        if self.moves and self.self_ensemble:
            raise InputError("chains know one orientation: leave self-ensemble or moves out")
        object.__setattr__(self, "profile", plain_profile(self.profile))
        if self.moves and self.profile:
            raise InputError("chains have one temperature: leave the profile or moves out")

    @property
    def steps(self) -> int:
        """How many there are, as progress is told: the moves of all chains, and the samples."""
        return self.samples * (self.moves + 1)

    def ddof(self, kept: Collection[int]) -> float:
        """As in `Sampling`."""
        return ddof(kept, self.antithetic)
