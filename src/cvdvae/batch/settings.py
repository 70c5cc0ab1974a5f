"""How the rows of a batch are drawn."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ..errors import InputError
from ..imaging.io import MAX_PIXELS
from ..imaging.values import choose_range
from ..restoration.recipe import Dtype
from ..restoration.restorer import Restorer
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Restoring, Sampling
from .happened import Happened


@dataclass(frozen=True)
class Settings:
    """How the rows of a batch are drawn.

    Attributes:
        samples: Of each image.
        temperature: Of the prior's groups; the model's recommended temperatures by default.
        seed: Of the samples.
        independent: Every row has noise of its own, a function of the seed and its key; otherwise
            all rows have the noise of the seed, as images of one command have.
        shrunk_by: What made the images small, for a model that enlarges.
        check: Examine the images, where the model knows what to expect.
        scale: The factor to enlarge by, where the model has several.
        device: Where to compute.
        dtype: What the networks compute in.
        max_pixels: Most pixels that an image may have.
        antithetic: Whether the samples of an image are drawn in opposite pairs.
        values: How values of files of arrays are mapped to [0, 1], as for `read_any`.
        look: Draw as the model recommends for looking.
        happened: What happened to the images, for a model that restores; None for one that
            enlarges.
        moves: As in `Restoring`, like `grain`; for a model that restores.
        grain: Whether pixels are drawn.
        self_ensemble: Whether the samples of an image see it in several orientations.

    Raises:
        InputError: A value out of its range, or two that do not go together.
    """

    samples: int = 8
    temperature: float | None = None
    seed: int = 0
    independent: bool = False
    shrunk_by: str = "bicubic"
    check: bool = True
    scale: int | None = None
    device: str = "cpu"
    dtype: Dtype = "fp32"
    max_pixels: int = MAX_PIXELS
    antithetic: bool = False
    values: str | None = None
    look: bool = False
    happened: Happened | None = None
    moves: int = 0
    grain: bool = False
    self_ensemble: bool = False

    def __post_init__(self) -> None:
        Sampling(self.samples, self.temperature or 0.0, self.seed, shrunk_by=self.shrunk_by)
        if self.look and (self.temperature is not None or self.moves):
            both = {"--temperature": self.temperature is not None, "--moves": self.moves}
            given = " and ".join(option for option, there in both.items() if there)
            raise InputError(f"--look has temperatures of its own: leave {given} out")
        if self.happened is None and (self.moves or self.grain):
            raise InputError("--moves and --grain go with a model that restores")
        if self.happened is not None:
            if not self.check:
                raise InputError("--no-check does not go with a model that restores")
            usual = 1.0 if self.temperature is None else self.temperature
            Restoring(self.samples, usual, self.seed, *self._of_restoring)
        if self.values is not None:  # refused here, and not with every row
            choose_range(np.array([0.0, 1.0]), self.values)

    def sampling(self, model: SuperResolver) -> Sampling:
        """How a model that enlarges draws by these settings."""
        return model.sampling(
            self.samples,
            self.temperature,
            self.seed,
            shrunk_by=self.shrunk_by,
            antithetic=self.antithetic,
            self_ensemble=self.self_ensemble,
            look=self.look,
        )

    def restoring(self, model: Restorer) -> Restoring:
        """How a model that restores draws by these settings."""
        of = (self.samples, self.temperature, self.seed, *self._of_restoring)
        return model.restoring(*of, self.look)

    @property
    def _of_restoring(self) -> tuple[int, bool, bool, bool]:
        return self.moves, self.grain, self.antithetic, self.self_ensemble

    def seed_of(self, key: str) -> int:
        """The seed of a row."""
        return seed_of(key, self.seed) if self.independent else self.seed


def seed_of(key: str, seed: int) -> int:
    """The seed of a row with noise of its own: 63 bits of a digest of both.

    Example:
        >>> seed_of("a", 0) == seed_of("a", 0) != seed_of("b", 0)
        True
    """
    digest = blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
