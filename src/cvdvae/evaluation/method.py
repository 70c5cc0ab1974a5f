"""What is compared: anything that turns a low-resolution image into samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..degradation import BicubicDownscaling, upscale_bicubic
from ..errors import InputError
from ..superres import SuperResolver, load


class Method(Protocol):
    """A super-resolution method at one scale."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def stochastic(self) -> bool:
        """Whether it has a temperature and more than one answer."""

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Samples behind y, before any projection.

        Args:
            y: Float in [0, 1], ``(3, h, w)``.
            samples: How many; a method that is not stochastic gives one.
            temperature: As the method understands it.
            seed: The same seed gives the same samples.

        Returns:
            Float in [0, 1], ``(samples, 3, H, W)``.
        """


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation to a height and width."""

    size: tuple[int, int]
    name: str = "bicubic"
    stochastic: bool = False

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """The one answer."""
        return upscale_bicubic(y[None], self.size)


@dataclass(frozen=True)
class Resolver:
    """A prior with an LR encoder."""

    model: SuperResolver
    name: str = "cvdvae"
    stochastic: bool = True

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Samples of the model."""
        sampling = self.model.sampling(samples, temperature, seed, consistent=False)
        return torch.cat(list(self.model.draw(y, sampling)))


@dataclass(frozen=True)
class Custom:
    """Anybody's function ``(y, samples, temperature, seed) -> (samples, 3, H, W)``."""

    name: str
    function: Callable[[Tensor, int, float, int], Tensor]
    stochastic: bool = True

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """What the function returns."""
        return self.function(y, samples, temperature, seed)


@dataclass(frozen=True)
class Contest:
    """The methods that meet at one scale, and the degradation that they undo."""

    scale: int
    degradation: BicubicDownscaling
    methods: tuple[Method, ...]


NAMES = ("bicubic", "cvdvae")
"""The methods that come with the package."""


def contest(scale: int, names: list[str], models: str, device: str = "cpu") -> Contest:
    """Load the named methods at one scale.

    Args:
        scale: The factor, such as 8.
        names: Of `NAMES`.
        models: Name or folder of the models, with ``{scale}`` where it stands.
        device: Where to compute.

    Raises:
        InputError: A name is unknown, or the model has another scale.
        WeightsError: There is no such model.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(f"unknown method '{unknown[0]}': choose from {', '.join(NAMES)}")
    model = load(models.format(scale=scale), device)
    if model.scale != scale:
        raise InputError(f"the model {model.name} enlarges by {model.scale}, not by {scale}")
    made: dict[str, Method] = {
        "bicubic": Bicubic(model.degradation.hr_size),
        "cvdvae": Resolver(model),
    }
    return Contest(scale, model.degradation, tuple(made[name] for name in names))
