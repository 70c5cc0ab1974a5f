"""A restorer on trial: intact images, one thing that happens to them, and what it makes of them.

`Damaged` is judged like a super-resolver (calibration, temperatures); in `Restorations` it meets
other methods on the same images.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.records import Recommended
from ..damage.described import Description, parse
from ..damage.dividing import divided_size
from ..damage.mask_kinds import check_noise_is_told
from ..degradations.base import LinearOperator
from ..degradations.composed import jpeg_at_end
from ..errors import InputError
from ..restoration.finish import Finished, finish
from ..restoration.load import load_restorer
from ..restoration.restorer import Restorer
from ..restoration.restoring import (
    ROUNDED,
    Seen,
    degraded,
    noise_in_8_bits,
    shown,
    usual_noise,
)
from ..restoration.sampler import MEASURED
from ..restoration.settings import TEMPERATURES, Grids, Restoring, Sampling
from ..restoration.tolerance import NoiseLevel
from .selection import Failures, Pair, Selection
from .task import Method, Temperatures, at_one_temperature

IN_FILES = ("packed", "luma", "chroma")
"""Settings of a step that its text leaves out."""
PARTS = re.compile(r"(\S*)((?: \d+ moves)?)((?: grain)?)((?: [0-9a-f]{16})?)")
PARTED = ("model", "number of moves", "choice of grain", "mask, kernel, table or σ")
"""The parts of `Restorations.fingerprint`, and what they are called."""
UNROUNDED = "σ that y was told with (then without its rounding)"
"""What the last part is called where nothing else in it is another."""


@dataclass(frozen=True)
class Damaged:
    """A restorer, and what happens to the images that it is judged on.

    Attributes:
        restorer: The model.
        description: What happens.
        noise: σ of the noise that is added, of 1; None for none but the rounding to 8 bits.
        moves: Of every sample's chain.
        grain: Whether pixels are drawn.

    Raises:
        InputError: σ is no number from 0 to 1, or named of a JPEG, whose own rounding is its noise;
            noise is said to be there without a σ; or the degradation does not fit the model's
            images.
    """

    restorer: Restorer
    description: Description
    noise: float | None = None
    moves: int = 0
    grain: bool = False

    def __post_init__(self) -> None:
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise InputError(f"the noise σ must be a number from 0 to 1, not {self.noise}")
        if self.noise is not None and jpeg_at_end(self.degradation) is not None:
            raise InputError(ROUNDED)
        check_noise_is_told(self.description.steps, self.noise)
        self.degradation.A(torch.zeros(1, self.channels, *self.truth_size))

    @property
    def name(self) -> str:
        """The model's."""
        return self.restorer.name

    @property
    def title(self) -> str:
        """What happens, in words: ``blur:boundary=reflect,sigma=2, σ = 0.02``."""
        return f"{self.description}{f', σ = {self.noise:g}' if self.noise is not None else ''}"

    @property
    def channels(self) -> int:
        """Of the images."""
        return self.restorer.prior.config.channels

    @property
    def any_size(self) -> bool:
        """Whether the restorer takes images of any size."""
        return self.restorer.side is None

    @property
    def truth_size(self) -> tuple[int, int]:
        """Height and width of the true images, which the degradation divides where it may."""
        if self.restorer.side is not None:
            return self.restorer.side, self.restorer.side
        return divided_size(self.description, (MEASURED, MEASURED))

    @property
    def grids(self) -> Grids:
        """Temperatures that calibration tries; one serves all groups."""
        return Grids((), TEMPERATURES)

    @property
    def recommended(self) -> Recommended:
        """The temperatures that suit the restorer; chains have no profile."""
        own = self.restorer.recommended
        return replace(own, profile=()) if self.moves else own

    @cached_property
    def degradation(self) -> LinearOperator:
        """H."""
        return self.description.operator(self.truth_size)

    def noise_of(self, y: Tensor) -> float:
        """σ of the noise in y, in its units; as `degraded` tells it."""
        if self.noise is None:
            return usual_noise(self.degradation)
        return noise_in_8_bits(self.noise, y.numel())

    def noise_level(self, y: Tensor) -> NoiseLevel:
        """The same as misfits are judged by it."""
        return NoiseLevel(self.noise_of(y))

    def damage(self, truth: Tensor, seed: int) -> Tensor:
        """What is seen of an image, as a file would hold it."""
        return degraded(truth, self.description, self.noise, seed).y[0]

    def seen(self, y: Tensor) -> Seen:
        """The same with all that is known of it."""
        return Seen(y[None], self.degradation, self.noise_of(y), self.description)

    def pairs(self, selection: Selection, failures: Failures) -> Iterator[Pair]:
        """All images with what is seen of them; see `Selection.all_damaged`."""
        chosen = replace(selection.cut_for(self.any_size), channels=self.channels)
        return chosen.all_damaged(self.truth_size[0], self.damage, failures)

    def how(self, sampling: Sampling) -> Restoring:
        """The settings of a draw.

        Raises:
            InputError: They do not go together, as no temperature and moves.
        """
        return Restoring(
            sampling.samples,
            sampling.encoder_temperature,
            sampling.seed,
            self.moves,
            self.grain,
            sampling.antithetic,
            sampling.self_ensemble,
            sampling.profile,
        )

    def answers(self, y: Tensor, sampling: Sampling) -> Finished:
        """Samples; their temperature is that of the encoder, and of the prior's groups, too."""
        result = self.restorer.run(self.seen(y), self.how(sampling))
        return Finished(result.samples, result.pixels, torch.tensor(result.exploded))


def damaged(
    model: str,
    degradations: Sequence[str],
    noise: float | None = None,
    moves: int = 0,
    grain: bool = False,
    device: str = "cpu",
) -> list[Damaged]:
    """Load a restorer once, to judge it on several degradations.

    Args:
        model: A bundled name, a folder, or a Hub id; as for `load_restorer`.
        degradations: In words; nothing but noise where there is none.
        noise: As for `Damaged`, like all that follow but `device`.
        moves: Of every sample's chain.
        grain: Whether pixels are drawn.
        device: Where to compute.

    Raises:
        ConfigError: The words describe nothing.
        InputError: Nothing is to happen, or as `Damaged`, or the model needs moves.
        WeightsError: There is no such model.
    """
    if not degradations and noise is None:
        raise InputError("say what shall happen to the images: a degradation, noise, or both")
    described = [parse(words) for words in degradations or ["noise"]]
    restorer = load_restorer(model, device)
    restorer.check_moves(moves)
    return [Damaged(restorer, one, noise, moves, grain) for one in described]


@dataclass(frozen=True)
class AsSeen:
    """Nothing is done: what was seen, brought to the size of the true image for the eye."""

    subject: Damaged
    name: str = "as seen"
    stochastic: bool = False

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """The one answer."""
        return shown(self.subject.seen(y))[None]


@dataclass(frozen=True)
class Restored:
    """The restorer itself."""

    subject: Damaged
    name: str
    stochastic: bool = True

    @property
    def own(self) -> Temperatures:
        """That of the restorer: 1 where chains move."""
        return Temperatures(self.subject.restorer.restoring(moves=self.subject.moves).temperature)

    def check_settings(self, samples: int, temperature: float) -> None:
        """Refuse settings that no image can be drawn with, before one is."""
        how = self.subject.how(at_one_temperature(self.subject, samples, temperature))
        self.subject.restorer.check_moves(how.moves)
        self.subject.restorer.check_size(how, *self.subject.truth_size)

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Its samples."""
        sampling = at_one_temperature(self.subject, samples, temperature, seed)
        done = self.subject.answers(y, sampling)
        return torch.where(done.exploded[:, None, None, None], torch.nan, done.x)


@dataclass(frozen=True)
class Restorations:
    """What meets at one degradation; a `Task`.

    Attributes:
        subject: The restorer, and what happens.
        methods: By default what was seen, and the restorer.
        scale: 1: what was seen is as large as the truth, or is shown so.
    """

    subject: Damaged
    methods: tuple[Method, ...] = ()
    scale: int = 1

    def __post_init__(self) -> None:
        if not self.methods:
            usual = (AsSeen(self.subject), Restored(self.subject, self.subject.name))
            object.__setattr__(self, "methods", usual)

    @property
    def damage(self) -> str:
        """What happens, in words."""
        return self.subject.title

    @property
    def fingerprint(self) -> str:
        """Of the weights and the settings, and of what happens as far as `damage` does not tell."""
        subject = self.subject
        chains = f" {subject.moves} moves" if subject.moves else ""
        grain = " grain" if subject.grain else ""
        profile = ":".join(map(str, subject.recommended.profile))
        return f"{subject.restorer.weights}{profile}{chains}{grain}{_untold(subject)}"

    def differences(self, earlier: str) -> list[str]:
        """What is another than in an earlier `fingerprint`, in words."""
        before, now = (PARTS.fullmatch(text) for text in (earlier, self.fingerprint))
        if before is None or now is None:
            return ["model"]
        once = before[4] == _untold(self.subject, rounding=False)
        names = (*PARTED[:-1], UNROUNDED if once else PARTED[-1])
        of_both = zip(names, before.groups(), now.groups(), strict=True)
        return [name for name, a, b in of_both if a != b]

    @property
    def degradation(self) -> LinearOperator:
        """H."""
        return self.subject.degradation

    @property
    def any_size(self) -> bool:
        """Whether the restorer takes images of any size."""
        return self.subject.any_size

    @property
    def projections(self) -> tuple[bool, ...]:
        """Samples are projected where there is no noise, and explain y where there is."""
        return (self.subject.noise_of(torch.empty(0)) == 0,)

    def pair(self, selection: Selection, path: Path) -> Pair:
        """One image, and what is seen of it."""
        subject = self.subject
        chosen = replace(selection.cut_for(self.any_size), channels=subject.channels)
        return chosen.damaged(path, subject.truth_size[0], subject.damage)

    def noise(self, y: Tensor) -> NoiseLevel:
        """That of y."""
        return self.subject.noise_level(y)

    def finish(self, x: Tensor, y: Tensor, projected: bool) -> Finished:
        """Projected where that is said, else cut and rounded: a sample explains y already."""
        return finish(x, y[None], self.degradation, projected)


def _untold(subject: Damaged, rounding: bool = True) -> str:
    """A digest of what the title does not tell: what stands in files, further digits of σ, and what
    it becomes with the rounding of y, which was not told at first."""
    steps = subject.description.to_dict()["steps"]
    untold: list[object] = [step[key] for step in steps for key in IN_FILES if key in step]
    if (noise := subject.noise) is not None:
        seen = subject.degradation.A(torch.zeros(1, subject.channels, *subject.truth_size))
        told = subject.noise_of(seen) if rounding else noise
        untold += [noise] * (noise != float(f"{noise:g}")) + [told] * (told != noise)
    return f" {sha256(json.dumps(untold).encode()).hexdigest()[:16]}" if untold else ""
