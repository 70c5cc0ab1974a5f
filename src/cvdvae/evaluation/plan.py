"""How methods are measured, and the lines of the table that come of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..restoration.settings import check_samples
from .held import key_of
from .selection import Selection
from .task import Method, Task, Temperatures, title_of


@dataclass(frozen=True)
class Plan:
    """How every method is measured; the same plan on the same models gives the same numbers.

    Attributes:
        selection: The images.
        temperatures: Of the stochastic methods; without any, each is drawn at its own, as for
            `Temperatures`.
        samples: Of each image.
        seed: Image i of the selection draws with ``seed + i``.
    """

    selection: Selection
    temperatures: tuple[float, ...] = ()
    samples: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_samples(self.samples)
        if self.seed < 0:
            raise InputError(f"the seed must be 0 or more, not negative as {self.seed}")
        if not all(math.isfinite(t) and t >= 0 for t in self.temperatures):
            raise InputError("a temperature must be a number from 0 upwards")
        if len(set(self.temperatures)) < len(self.temperatures):
            raise InputError("a temperature is named twice")


@dataclass(frozen=True)
class Row:
    """One line of the table: a method at a scale and a temperature, projected or not.

    `damage` says what happened to the images, where that was more than shrinking; both temperatures
    are as for `Temperatures`, and None where the method has none.
    """

    scale: int
    method: str
    temperature: float | None
    projected: bool
    damage: str = ""
    encoder_temperature: float | None = None

    @property
    def task(self) -> str:
        """What happened to the images, as tables say it."""
        return title_of(self.scale, self.damage)


def check_settings(plan: Plan, tasks: Sequence[Task]) -> None:
    """Refuse what a method cannot be drawn at, where its ``check_settings`` says so: no image is
    to blame.

    Raises:
        InputError: There is such a temperature, or number of samples; or a scale or a degradation
            is named twice.
    """
    if len({key_of(task.scale, task.damage) for task in tasks}) < len(tasks):
        raise InputError("a scale or a degradation is named twice")
    for method in (method for task in tasks for method in task.methods if method.stochastic):
        check = getattr(method, "check_settings", None)
        if check is not None:
            for temperatures in temperatures_of(method, plan):
                check(plan.samples, temperatures.temperature)


def temperatures_of(method: Method, plan: Plan) -> list[Temperatures]:
    """What a stochastic method is drawn at."""
    if plan.temperatures:
        return [Temperatures(temperature) for temperature in plan.temperatures]
    return [getattr(method, "own", Temperatures(1.0))]


def rows_of(task: Task, method: Method, plan: Plan) -> list[Row]:
    """The table's lines of one method of a task."""
    if not method.stochastic:
        return [Row(task.scale, method.name, None, False, task.damage)]
    return [
        Row(task.scale, method.name, of.temperature, projected, task.damage, of.encoder_temperature)
        for of in temperatures_of(method, plan)
        for projected in task.projections
    ]
