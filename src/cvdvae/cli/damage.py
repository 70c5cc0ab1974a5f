"""The options of the commands that measure a model that restores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .common import METHODS

if TYPE_CHECKING:
    from ..evaluation.damaged import Damaged
    from ..evaluation.task import Task

Moves = Annotated[
    int, typer.Option(min=0, help="With --degradation: moves of each sample's chain.")
]


@dataclass(frozen=True)
class DamageOptions:
    """What the options say of a model that restores."""

    model: str | None
    degradations: list[str]
    noise: float | None
    moves: int
    grain: bool
    device: str
    domain: str = "photos"

    @property
    def named(self) -> bool:
        """Whether anything happens to the images but shrinking."""
        return bool(self.degradations) or self.noise is not None

    @property
    def wanted(self) -> bool:
        """Whether such a model is to be judged at all.

        Raises:
            InputError: An option that goes with it stands alone.
            WeightsError: The model is unknown.
        """
        if not self.named and (self.moves or self.grain):
            raise InputError("--moves and --grain go with --degradation or --noise")
        if self.model is not None and not self.named:
            self._check_enlarges(self.model)
        return self.named

    def fitted(self, scale: int | None) -> bool:
        """Whether such a model is to be calibrated, rather than one that enlarges.

        Raises:
            InputError: An option goes with the other kind, or the model does.
            WeightsError: The model is unknown.
        """
        if self.named and scale is not None:
            raise InputError("--scale goes with shrinking: leave --degradation and --noise out")
        if self.grain and not self.named:
            raise InputError("--grain goes with --degradation or --noise")
        return self.wanted

    def _check_enlarges(self, name: str) -> None:
        from ..checkpoints.folder import find, read_record
        from ..checkpoints.records import RestorerRecord

        if "{scale}" not in name and isinstance(read_record(find(name)), RestorerRecord):
            raise InputError(
                f"'{name}' restores: say what happens to the images with --degradation, and how "
                f"noisy they are with --noise, as in --degradation blur:sigma=2 --noise 0.02"
            )

    def check_alone(self, scales: list[int] | None, methods: list[str], flows: str | None) -> None:
        """Refuse options of shrinking beside.

        Raises:
            InputError: There is one.
            WeightsError: The model is unknown.
        """
        if self.wanted and (scales or flows or methods != METHODS):
            raise InputError(
                "--scales, --methods and --flows go with shrinking: with --degradation or --noise, "
                "name one model with --model"
            )

    def subjects(self) -> "list[Damaged]":
        """The model, on each degradation."""
        from ..domains import domain_of
        from ..evaluation.damaged import damaged

        usual = domain_of(self.domain).restorer
        name = self.model or usual
        return damaged(name, self.degradations, self.noise, self.moves, self.grain, self.device)

    def tasks(self) -> "list[Task]":
        """The same beside what was seen."""
        from ..evaluation.damaged import Restorations

        return [Restorations(subject) for subject in self.subjects()]
