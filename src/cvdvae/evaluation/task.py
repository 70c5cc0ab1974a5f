"""What is judged: images that something happened to, and what answers to them."""

from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from ..checkpoints.records import Recommended
from ..degradations.base import Degradation
from ..restoration.finish import Finished
from ..restoration.settings import Grids, Sampling
from ..restoration.tolerance import NoiseLevel
from .selection import Pair, Selection


class Temperatures(NamedTuple):
    """What a stochastic method is drawn at.

    Attributes:
        temperature: As the method understands it.
        encoder_temperature: Of an LR encoder's groups, where it is told apart; None for 1, as
            published, or where one temperature serves all groups.
    """

    temperature: float
    encoder_temperature: float | None = None


class Method(Protocol):
    """Anything that turns what was seen into samples.

    It may have a ``fingerprint``, too, a text that tells it from others of its name, and
    ``check_settings(samples, temperature)``, which raises InputError where it cannot draw so. And
    ``own``, the `Temperatures` where nobody names one, else 1; if those tell an encoder's apart, it
    is a `WithEncoder`.
    """

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def stochastic(self) -> bool:
        """Whether it has a temperature and more than one answer."""

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Samples behind y, before any projection.

        Args:
            y: Float, ``(C, h, w)`` in [0, 1], or whatever was seen.
            samples: How many; a method that is not stochastic gives one.
            temperature: As the method understands it.
            seed: The same seed gives the same samples.

        Returns:
            Float in [0, 1], ``(samples, C, H, W)``; a sample that came to nothing holds NaN.
        """


class WithEncoder(Method, Protocol):
    """A method that draws some latent groups from an encoder."""

    def with_encoder_at(self, encoder_temperature: float) -> Method:
        """The same with another temperature of the encoder's groups."""


class Task(Protocol):
    """One thing that happened to all images, and the methods that meet there.

    `cvdvae.evaluation.method.Comparison` is the shrinking of images, and
    `cvdvae.evaluation.damaged.Restorations` any degradation.
    """

    @property
    def scale(self) -> int:
        """The factor between the sides of x and y, where that is what happened, else 1."""

    @property
    def damage(self) -> str:
        """What else happened, in words; empty where images were shrunk alone."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """What is compared."""

    @property
    def fingerprint(self) -> str:
        """Tells the models' weights and settings from others, so that results do not mix."""

    @property
    def degradation(self) -> Degradation:
        """H."""

    @property
    def any_size(self) -> bool:
        """Whether the models take images of any size, and so squares as they are."""

    @property
    def projections(self) -> tuple[bool, ...]:
        """Whether samples are measured as they are, projected onto {Hx = y}, or both."""

    def pair(self, selection: Selection, path: Path) -> Pair:
        """One image, and what is seen of it.

        Raises:
            InputError: It cannot be used.
        """

    def noise(self, y: Tensor) -> NoiseLevel:
        """That of y; nought where a sample should give y back."""

    def finish(self, x: Tensor, y: Tensor, projected: bool) -> Finished:
        """What becomes of the samples of a stochastic method, or of one answer."""


class Subject(Protocol):
    """A model whose spread is judged: `SuperResolver`, or `cvdvae.evaluation.damaged.Damaged`."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def degradation(self) -> Degradation:
        """H."""

    @property
    def truth_size(self) -> tuple[int, int]:
        """Height and width of the true images."""

    @property
    def grids(self) -> Grids:
        """Temperatures that calibration tries."""

    @property
    def recommended(self) -> Recommended:
        """The temperatures that suit it, and the profile that it is judged with at any."""

    def answers(self, y: Tensor, sampling: Sampling) -> Finished:
        """Samples behind what was seen, as they would be saved."""

    def noise_level(self, y: Tensor) -> NoiseLevel:
        """The noise in y; nought where a sample should give y back."""


def at_one_temperature(
    subject: Subject, samples: int, temperature: float, seed: int = 0
) -> Sampling:
    """A draw with one temperature for all groups, times the factors that the model has."""
    profile = subject.recommended.profile
    return Sampling(samples, temperature, seed, temperature, profile=profile)


def title_of(scale: int, damage: str) -> str:
    """What a task is called in tables."""
    return damage or f"×{scale}"
