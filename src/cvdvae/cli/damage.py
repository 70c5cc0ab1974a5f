"""The options of the commands that measure a model that restores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .common import FLOWS, METHODS, MODELS, SCALES

if TYPE_CHECKING:
    from ..evaluation.damaged import Damaged
    from ..evaluation.task import Task

RESTORER = "celeba64-restore"
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

    @property
    def named(self) -> bool:
        """Whether anything happens to the images but shrinking."""
        return bool(self.degradations) or self.noise is not None

    @property
    def wanted(self) -> bool:
        """Whether such a model is to be judged at all.

        Raises:
            InputError: An option that goes with it stands alone.
        """
        if not self.named and (self.model is not None or self.moves or self.grain):
            raise InputError(
                "--model, --moves and --grain go with --degradation or --noise; models that "
                "enlarge are named with --models"
            )
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
        if self.model is not None and not self.named:
            self._check_enlarges(self.model)
        return self.named

    def _check_enlarges(self, name: str) -> None:
        from ..checkpoints.folder import find, read_record
        from ..checkpoints.records import RestorerRecord

        if isinstance(read_record(find(name)), RestorerRecord):
            raise InputError(
                f"'{name}' restores: say what happens to the images with --degradation, and how "
                f"noisy they are with --noise, as in --degradation blur:sigma=2 --noise 0.02"
            )

    def check_alone(self, scales: list[int], methods: list[str], models: str, flows: str) -> None:
        """Refuse options of shrinking beside.

        Raises:
            InputError: There is one.
        """
        given = (scales, methods, models, flows)
        if self.wanted and given != (SCALES, METHODS, MODELS, FLOWS):
            raise InputError(
                "--scales, --methods, --models and --flows go with shrinking: with --degradation "
                "or --noise, name one model with --model"
            )

    def subjects(self) -> "list[Damaged]":
        """The model, on each degradation."""
        from ..evaluation.damaged import damaged

        name = self.model or RESTORER
        return damaged(name, self.degradations, self.noise, self.moves, self.grain, self.device)

    def tasks(self) -> "tuple[list[Task], list[float]]":
        """The same beside what was seen, and the usual temperatures."""
        from ..evaluation.damaged import Restorations

        subjects = self.subjects()
        return [Restorations(subject) for subject in subjects], self.usual(subjects)

    def usual(self, subjects: "list[Damaged]") -> list[float]:
        """The model's own temperature."""
        return [subjects[0].restorer.restoring(moves=self.moves).temperature]
