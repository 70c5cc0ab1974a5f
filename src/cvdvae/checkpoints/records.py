"""What `config.yaml` of a model folder says, as frozen dataclasses.

A prior's folder holds a `PriorRecord`, a flow's a `FlowRecord`, that of an LR encoder a
`SuperResolutionRecord` that names the prior it was trained on and the digest of its weights, since
it works on no other.

Explained in docs/explanation/sampling.md.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigError, InputError
from ..hcflow import HCFlowConfig
from ..hvae import HVAEConfig
from ..hvae.config import LREncoderConfig


@dataclass(frozen=True)
class PriorRecord:
    """`config.yaml` of a prior."""

    kind: Literal["prior"]
    model: HVAEConfig


@dataclass(frozen=True)
class Recommended:
    """Temperatures at which a model is best calibrated, as `cvdvae calibrate` finds them or as
    its card says.

    Attributes:
        temperature: Of the prior's groups.
        encoder_temperature: Of the LR encoder's groups.
        look: Of all groups, where pictures are wanted that please the eye: tamer, so that the
            samples differ less than the truth may.
        look_profile: What `look` is multiplied by for the groups of every stride, from the coarsest
            on; nothing where all have the same temperature.
        profile: The same for all draws that are not for looking.
        calibrated: Whether the first two were found so, with the weights of now. Of older folders,
            which do not say it, those were that are others than what a model begins with.
    """

    temperature: float = 0.8
    encoder_temperature: float = 1.0
    look: float = 0.6
    look_profile: tuple[float, ...] = ()
    profile: tuple[float, ...] = ()
    calibrated: bool | None = None

    def __post_init__(self) -> None:
        temperatures = (self.temperature, self.encoder_temperature)
        factors = (*self.profile, *self.look_profile)
        if not all(0 <= t < math.inf for t in (*temperatures, self.look, *factors)):
            raise ConfigError("a recommended temperature must be a number from 0 upwards")
        if self.calibrated is None:
            first = (Recommended.temperature, Recommended.encoder_temperature)
            object.__setattr__(self, "calibrated", temperatures != first)

    def of_draws(
        self, temperature: float | None, encoder_temperature: float | None, look: bool
    ) -> tuple[float, float, tuple[float, ...]]:
        """The temperatures of draws, and their profile: those named. Where one is, the other is the
        published one; where none is, these, or those for looking, which have another profile.

        Raises:
            InputError: Temperatures are named, and looking has its own.
        """
        named = temperature is not None or encoder_temperature is not None
        if look and named:
            raise InputError("for looking a model has temperatures of its own: name none beside")
        if look:
            return self.look, self.look, self.look_profile
        suits = Recommended() if named else self
        first = suits.temperature if temperature is None else temperature
        second = suits.encoder_temperature if encoder_temperature is None else encoder_temperature
        return first, second, self.profile

    def profile_at(self, temperature: float) -> tuple[float, ...]:
        """The profile of a temperature that is chosen on the page, where `look` is the first: that
        of looking there and below, that of all other draws above."""
        return self.look_profile if temperature <= self.look else self.profile


@dataclass(frozen=True)
class Expected:
    """What a model makes of proper low-resolution images, as `cvdvae calibrate-doubt` finds it.

    Attributes:
        images: How many it was fitted on.
        misfit: Their median misfit, in grey levels of 255; see `cvdvae.input_check.examine`.
        gains: Median log-likelihood gain of every repair of theirs, in nats; a loss is negative.
        slope: What their mean gain by turns and shifts grows by when their cost grows e-fold.
        typical: Median of every statistic.
        limits: What a statistic must exceed to raise a doubt.
    """

    images: int
    misfit: float
    gains: dict[str, float]
    slope: float
    typical: dict[str, float]
    limits: dict[str, float]

    def __post_init__(self) -> None:
        numbers = [self.misfit, self.slope]
        for values in (self.gains, self.typical, self.limits):
            numbers += values.values()
        if not all(map(math.isfinite, numbers)) or self.misfit <= 0:
            raise ConfigError("what is expected of proper images must be numbers, misfit positive")
        lacking = sorted(self.limits.keys() - self.typical.keys())
        if lacking or (self.limits and not self.gains):
            raise ConfigError(
                f"expected lacks {f'the typical {lacking[0]}' if lacking else 'the gains'}: let "
                f"cvdvae calibrate-doubt --save find it again"
            )


@dataclass(frozen=True)
class Judge:
    """The LR encoder that bounds how likely an image is, where another one draws.

    An encoder that is trained on what it draws (`cvdvae.training.energy`) bounds log p(y) less
    tightly than one that is trained on its KL alone, and so tells turned or shifted images less
    well from proper ones.

    Attributes:
        encoder: Name of a bundled LR encoder on the same prior, or ``judge-…`` for the one in that
            subfolder of the folder.
        digest: SHA-256 of its weights file.
    """

    encoder: str
    digest: str


@dataclass(frozen=True)
class SuperResolutionRecord:
    """`config.yaml` of an LR encoder.

    Attributes:
        kind: Always ``lr-encoder``.
        prior: Name of a bundled prior, or ``prior`` for the one in the folder's own subfolder.
        prior_digest: SHA-256 of that prior's weights file.
        model: The encoder's architecture.
        recommended: Temperatures for draws that name none.
        expected: What it makes of proper images; without it no input is examined.
        photons: How many photons a value of 1 stands for in the low-resolution images that it was
            trained on, whose noise its samples do not repeat; 0 where they have none.
        judge: What `expected` was found with; without it, this encoder itself.
    """

    kind: Literal["lr-encoder"]
    prior: str
    prior_digest: str
    model: LREncoderConfig
    recommended: Recommended = field(default_factory=Recommended)
    expected: Expected | None = None
    photons: float = 0.0
    judge: Judge | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.photons < math.inf:
            raise ConfigError(f"photons must be a number from 0, not {self.photons}")


@dataclass(frozen=True)
class OneScaleRecord:
    """`config.yaml` of one scale of an LR encoder that serves several.

    Attributes:
        kind: Always ``one-scale``.
        encoder: Name of the bundled LR encoder, or ``encoder`` for the one in the folder's own
            subfolder.
        encoder_digest: SHA-256 of its weights file.
        scale: Which of its scales.
        recommended: Temperatures for draws that name none.
        expected: What it makes of proper images; without it no input is examined.
    """

    kind: Literal["one-scale"]
    encoder: str
    encoder_digest: str
    scale: int
    recommended: Recommended = field(default_factory=Recommended)
    expected: Expected | None = None


SecondEstimate = Literal["tikhonov", "natural"]
"""What an encoder for any degradation is told of y beside Tikhonov's estimate near to grey:
Tikhonov's once more, as if an image could be anything, or one that knows natural images."""
SECOND: SecondEstimate = "natural"
"""What encoders are trained with now, and what a prior without one is told."""


@dataclass(frozen=True)
class RestorerRecord:
    """`config.yaml` of an encoder that serves any degradation.

    Attributes:
        kind: Always ``restorer``.
        prior: As in `SuperResolutionRecord`.
        prior_digest: SHA-256 of that prior's weights file.
        model: The encoder's architecture.
        pixel_std: Standard deviation s of what the network's images miss of the true ones, in grey
            levels of 255: how freely a conditional draw may leave them.
        recommended: Temperatures for draws that name none.
        second_estimate: What the encoder was trained with.
    """

    kind: Literal["restorer"]
    prior: str
    prior_digest: str
    model: LREncoderConfig
    pixel_std: float = 10.0
    recommended: Recommended = field(default_factory=Recommended)
    second_estimate: SecondEstimate = "tikhonov"

    def __post_init__(self) -> None:
        if not 0 < self.pixel_std <= 255:
            raise ConfigError(f"pixel_std must be from 0 to 255, not {self.pixel_std}")


@dataclass(frozen=True)
class FlowRecord:
    """`config.yaml` of an HCFlow.

    Attributes:
        kind: Always ``hcflow``.
        model: The architecture.
        recommended: Its temperature for draws that name none.
    """

    kind: Literal["hcflow"]
    model: HCFlowConfig
    recommended: Recommended = field(default_factory=Recommended)


Record = PriorRecord | SuperResolutionRecord | OneScaleRecord | RestorerRecord | FlowRecord

RECORDS: dict[str, type[Any]] = {
    "prior": PriorRecord,
    "lr-encoder": SuperResolutionRecord,
    "one-scale": OneScaleRecord,
    "restorer": RestorerRecord,
    "hcflow": FlowRecord,
}
"""Records by their kind; see `cvdvae.restoration.load.KINDS` for what becomes of them."""
