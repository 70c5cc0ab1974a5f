"""What is known of a result that lies in files of arrays, and how it is drawn again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError
from ...imaging.values import ValueRange, decibels_of
from ..recipe import Origin, origin_from_dict
from ..result import Doubt, report_of
from ..round_trip import RoundTrip, misfit
from ..sampler import SuperResolver
from ..settings import Sampling
from .array_result import INPUT, ArrayResult
from .planes import Stack
from .sheet import stack_sheet

OF_CHECKED = ("round_trip_exact", "missed_share", "largest_lr_error", "lr_psnr", "misfit")
"""What nothing is known of where no value could be checked."""


@dataclass
class StackResult(ArrayResult):
    """Samples of a file that was enlarged; it tells what the results of pictures tell.

    Attributes:
        origin: What they follow from.
        round_trips: Of every sample, those of its planes.
        doubts: Why the input may be none that the model knows; None where that was not examined.
    """

    origin: Origin = field(kw_only=True)
    round_trips: list[list[tuple[RoundTrip, ValueRange]]] = field(default_factory=list)
    doubts: list[Doubt] | None = None

    @classmethod
    def of(
        cls, folder: Path, stack: Stack, model: SuperResolver, sampling: Sampling
    ) -> "StackResult":
        """A result before anything is drawn."""
        n, planes = sampling.samples, len(list(stack.planes()))
        origin = Origin(model.name, sampling, model.scale, model.weights, model.dtype_name)
        result = cls(folder, stack, model.scale, np.zeros((n, planes), bool), origin=origin)
        result.round_trips = [[] for _ in range(n)]
        return result

    @property
    def settings(self) -> Sampling:
        """How the samples were drawn."""
        return self.origin.sampling

    def grid(self, drawn: np.ndarray) -> Image.Image:
        """As `stack_sheet`."""
        return stack_sheet(self.stack, drawn, self.scale, self.settings, self.exploded_planes)

    @property
    def lr_psnr(self) -> list[float]:
        """LR-PSNR of every sample, in dB of the range that stands for [0, 1]."""
        result = []
        for planes in self.round_trips:
            values = sum(trip.values for trip, _ in planes)
            squares = sum(trip.squares for trip, _ in planes)
            result.append(decibels_of(squares, values))
        return result

    @property
    def largest_lr_error(self) -> list[float]:
        """Largest ``|Hx − y|`` of every sample, in the input's unit."""
        return [
            max(trip.largest * (1 if r.levels else r.span) for trip, r in planes)
            for planes in self.round_trips
        ]

    @property
    def checked(self) -> int:
        """How many values of the input H of a sample is compared with: none near a missing one."""
        return sum(trip.values for planes in self.round_trips[:1] for trip, _ in planes)

    @property
    def missed_share(self) -> list[float]:
        """Share of the input's values that H does not give back, once it is rounded to whole
        numbers."""
        return [
            sum(trip.missed for trip, _ in planes) / max(1, sum(trip.values for trip, _ in planes))
            for planes in self.round_trips
        ]

    @property
    def round_trip_exact(self) -> list[bool]:
        """Whether H gives every value of the input back, once it is rounded to whole numbers.

        Of a sample whose values are not whole: never; `largest_lr_error` is what is left.
        """
        return [
            self.stack.whole and all(trip.exact for trip, _ in planes)
            for planes in self.round_trips
        ]

    @property
    def noise(self) -> list[float]:
        """Standard deviation of the noise in every plane, in the input's unit; 0 without any."""
        planes = self.round_trips[0] if self.round_trips else []
        return [trip.sigma * values.span for trip, values in planes]

    @property
    def misfit(self) -> list[float] | None:
        """Root mean square of ``(Hx − y) / σ`` of every sample; None where y has no noise."""
        every = [misfit([trip for trip, _ in planes]) for planes in self.round_trips]
        return [one for one in every if one is not None] or None

    def report(self) -> dict[str, Any]:
        """What `result.json` holds; an infinite LR-PSNR is written as null."""
        return {
            **self.origin.to_dict(),
            **self.of_values(),
            **report_of(self, self.noise),
            **({} if self.stack.whole else {"round_trip_exact": None, "missed_share": None}),
            **({} if self.checked else dict.fromkeys(OF_CHECKED)),
        }


@dataclass(frozen=True)
class StackRecipe:
    """Everything that a result of an array's file follows from.

    Attributes:
        origin: All but the input.
        path: The input beside it.
        ranges: What 0 and 1 stand for.
    """

    origin: Origin
    path: Path
    ranges: list[ValueRange]


def stack_recipe_from_dict(data: dict[str, Any], path: Path) -> StackRecipe:
    """Read what `StackResult.report` has written, from the `result.json` of this path.

    Raises:
        InputError: It is damaged.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    origin, name = origin_from_dict(data, str(path)), data.get("input")
    if not isinstance(name, str) or not INPUT.fullmatch(name):
        raise InputError(f"{path} does not say which file beside it holds the input")
    return StackRecipe(origin, path.parent / name, ranges_in(data, path))


def _in_numbers(told: ValueRange) -> bool:
    """Whether a file has said it in numbers, and not in words, true or false."""
    numbers = all(type(end) in (int, float) for end in (told.low, told.high))
    return numbers and (told.levels is None or type(told.levels) is int)


def ranges_in(data: dict[str, Any], path: Path) -> list[ValueRange]:
    """What 0 and 1 stand for, of a result from this path.

    Raises:
        InputError: It does not say so.
    """
    try:
        told = data["values"]["ranges"]
        ranges = [ValueRange(one["low"], one["high"], one["levels"]) for one in told]
        if not ranges or not all(map(_in_numbers, ranges)):
            raise ValueError
        return ranges
    except (TypeError, KeyError, ValueError, OverflowError):
        raise InputError(f"{path} does not say what its values are mapped to") from None
