"""What is compared: anything that turns a low-resolution image into samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..checkpoints.folder import fingerprint
from ..degradations.bicubic import BicubicDownscaling, upscale_bicubic
from ..errors import InputError
from ..restoration.load import load_at_scale
from ..restoration.sampler import SuperResolver


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
            Float in [0, 1], ``(samples, 3, H, W)``; a sample that came to nothing holds NaN.
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
    """A model of this package; an LR encoder's own temperature is 1, as published."""

    model: SuperResolver
    name: str
    stochastic: bool = True

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Samples of the model."""
        sampling = self.model.sampling(samples, temperature, seed, consistent=False)
        return self.model.draw(y, sampling)


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
    """The methods that meet at one scale, and the degradation that they undo.

    Attributes:
        scale: The factor.
        degradation: H.
        methods: The methods.
        fingerprint: Tells the models' weights from others, so that their results do not mix.
    """

    scale: int
    degradation: BicubicDownscaling
    methods: tuple[Method, ...]
    fingerprint: str = ""


NAMES = ("bicubic", "cvdvae", "hcflow")
"""The methods that come with the package."""


@dataclass(frozen=True)
class Models:
    """Where the models are: names, folders or Hub ids, with ``{scale}`` where it stands.

    Attributes:
        cvdvae: LR encoders.
        hcflow: Flows.
    """

    cvdvae: str = "celeba64-x{scale}"
    hcflow: str = "celeba64-hcflow-x{scale}"


def contest(scale: int, names: Sequence[str], models: Models, device: str = "cpu") -> Contest:
    """Load the named methods at one scale.

    Args:
        scale: The factor, such as 8.
        names: Of `NAMES`.
        models: Where the models are; bicubic enlarges to the size of cvdvae's.
        device: Where to compute.

    Raises:
        InputError: A name is unknown or named twice, or the model has another scale.
        WeightsError: There is no such model.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"unknown method '{unknown[0]}'" if unknown else "no method, or one twice"
        raise InputError(f"{wrong}: choose from {', '.join(NAMES)}")
    made: list[Method] = []
    prints: list[str] = []
    needed = {name: name for name in names if name != "bicubic"} or {"bicubic": "cvdvae"}
    loaded = {}
    for name, kind in needed.items():
        pattern = getattr(models, kind)
        loaded[name] = load_at_scale(pattern, scale, device)
        prints.append(fingerprint(pattern.replace("{scale}", str(scale))))
    degradation = next(iter(loaded.values())).degradation
    for name in names:
        if name == "bicubic":
            made.append(Bicubic(degradation.hr_size))
        elif loaded[name].degradation.hr_size != degradation.hr_size:
            raise InputError(f"the models at ×{scale} give images of different sizes")
        else:
            made.append(Resolver(loaded[name], name))
    return Contest(scale, degradation, tuple(made), " ".join(prints))
