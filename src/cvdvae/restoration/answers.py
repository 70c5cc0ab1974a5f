"""What samples agree on, whatever was seen."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor, zeros_like

from ..degradations.base import Degradation
from ..imaging.values import EIGHT_BITS
from .finish import finish


def answering(exploded: Sequence[bool]) -> list[int]:
    """Which samples are answers: those that did not explode; all of them where none is left."""
    kept = [i for i, one in enumerate(exploded) if not one]
    return kept or list(range(len(exploded)))


class Answers(ABC):
    """Samples, of which some may have exploded.

    Attributes:
        y: What was seen, without a batch.
        degradation: H.
        samples: Float in [0, 1], ``(N, C, H, W)``.
        pixels: The same as they are saved, in `levels`.
        levels: Of the pixels; pictures have 255, and uint8. None for values that are not rounded.
        exploded: Which came out of the model not finite or far outside of any image; they were cut
            to [0, 1], and are no answer. Empty where none did.
        model: Name of the model.
    """

    y: Tensor
    degradation: Degradation
    samples: Tensor
    pixels: Tensor
    exploded: list[bool]
    model: str
    levels: int | None = EIGHT_BITS

    def __repr__(self) -> str:
        """What it is, in a line."""
        n, _, height, width = self.pixels.shape
        return f"<{type(self).__name__}: {n} samples of {width}×{height} pixels by {self.model}>"

    @property
    @abstractmethod
    def gives_back(self) -> bool:
        """Whether the samples are made so that H of them is y."""

    @abstractmethod
    def ddof(self, kept: list[int]) -> float:
        """As in `cvdvae.restoration.settings.Sampling`."""

    @property
    def answers(self) -> Tensor:
        """The samples without those that exploded; all of them where none is left."""
        kept = self._answering
        return self.samples if len(kept) == len(self.samples) else self.samples[kept]

    @cached_property
    def mean(self) -> Tensor:
        """Mean of the answers, ``(C, H, W)``, which has the least expected squared error."""
        return self.answers.mean(0)

    @cached_property
    def mean_pixels(self) -> Tensor:
        """The mean as it is saved, in `levels`, ``(C, H, W)``: rounded as a sample is, so that H
        gives y back from it where it does from them."""
        if len(self._answering) == 1:
            return self.pixels[self._answering[0]]
        given = (self.mean[None], self.y[None], self.degradation, self.gives_back)
        return finish(*given, levels=self.levels).pixels[0]

    @cached_property
    def std(self) -> Tensor:
        """Where the samples disagree: standard deviation, root mean square over colours, (H, W)."""
        if len(self.answers) == 1:
            return zeros_like(self.samples[0, 0])
        return self.answers.var(0, correction=self.ddof(self._answering)).mean(0).sqrt()

    @property
    def _answering(self) -> list[int]:
        return answering(self.exploded or [False] * len(self.samples))
