"""The options of the commands that measure a model that restores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from .common import METHODS, SCALES

if TYPE_CHECKING:
    from ..evaluation.damaged import Damaged
    from ..evaluation.task import Task

RESTORER = "celeba64-restore"


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
    def wanted(self) -> bool:
        """Whether such a model is to be judged at all.

        Raises:
            InputError: An option that goes with it stands alone.
        """
        wanted = bool(self.degradations) or self.noise is not None
        if not wanted and (self.model is not None or self.moves or self.grain):
            raise InputError("--model, --moves and --grain go with --degradation or --noise")
        return wanted

    def check_alone(self, scales: list[int], methods: list[str]) -> None:
        """Refuse options of shrinking beside.

        Raises:
            InputError: There is one.
        """
        if self.wanted and (scales != SCALES or methods != METHODS):
            raise InputError("--scales and --methods go with shrinking: leave --degradation out")

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
