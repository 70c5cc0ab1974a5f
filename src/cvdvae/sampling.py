"""The settings of a draw, checked once."""

import math
from dataclasses import dataclass, replace

from .errors import InputError


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn.

    Attributes:
        samples: How many.
        temperature: Factor τ on the standard deviations of the prior's groups z_≥k.
        seed: Seed of the samples, not negative.
        encoder_temperature: Factor on the standard deviations of the encoder's groups z_<k.
        consistent: Project every sample onto ``{x : Hx = y} ∩ [0, 1]``.

    Raises:
        InputError: A value out of its range.
    """

    samples: int = 8
    temperature: float = 0.8
    seed: int = 0
    encoder_temperature: float = 1.0
    consistent: bool = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"the number of samples must be at least 1, not {self.samples}")
        if self.seed < 0:
            raise InputError(f"the seed must not be negative, but is {self.seed}")
        for value in (self.temperature, self.encoder_temperature):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"a temperature must be a number from 0 upwards, not {value}")

    def reseeded(self, seed: int) -> "Sampling":
        """The same with another seed."""
        return replace(self, seed=seed)

    def at(self, temperature: float, encoder_temperature: float) -> "Sampling":
        """The same at other temperatures."""
        return replace(self, temperature=temperature, encoder_temperature=encoder_temperature)
