"""What is known of a result that lies in files of arrays, and how it is drawn again."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...imaging.formats import suffix_of
from ...imaging.values import ValueRange
from ..answers import answering
from ..recipe import Origin, origin_from_dict
from ..result import Doubt, Truth, report_of
from ..round_trip import RoundTrip, misfit
from ..sampler import SuperResolver
from ..settings import Sampling
from .planes import Stack

INPUT = re.compile(r"input(\.ome)?\.\w{1,8}", re.IGNORECASE)
LOWER, UPPER = 0.1, 0.9
"""Ends of the central interval that is given, as shares of the samples."""
STATISTICS = ("mean", "std", "lower", "upper")


@dataclass
class StackResult:
    """A result whose samples lie in files of the input's kind; it tells what the others tell.

    Attributes:
        folder: Where they lie.
        stack: What they were made of.
        origin: What they follow from.
        scale: By what they are larger.
        round_trips: Of every sample, those of its planes.
        exploded_planes: Which planes of which samples exploded, ``(samples, planes)``.
        doubts: Why the input may be none that the model knows; None where that was not examined.
        seconds: Time it took.
    """

    folder: Path
    stack: Stack
    origin: Origin
    scale: int
    round_trips: list[list[tuple[RoundTrip, ValueRange]]] = field(default_factory=list)
    exploded_planes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    doubts: list[Doubt] | None = None
    seconds: float = 0.0

    @classmethod
    def of(
        cls, folder: Path, stack: Stack, model: SuperResolver, sampling: Sampling
    ) -> "StackResult":
        """A result before anything is drawn."""
        n, planes = sampling.samples, len(list(stack.planes()))
        origin = Origin(model.name, sampling, model.scale, model.weights, model.dtype_name)
        result = cls(folder, stack, origin, model.scale)
        result.round_trips = [[] for _ in range(n)]
        result.exploded_planes = np.zeros((n, planes), bool)
        return result

    @property
    def suffix(self) -> str:
        """How the names of its files end, whatever its folder is called where it is a store."""
        suffix, known = suffix_of(self.stack.path), self.stack.form.suffixes
        return suffix if suffix.lower().endswith(known) else known[0]

    @property
    def samples(self) -> list[str]:
        """Names of the samples."""
        return [f"sample_{i:02d}{self.suffix}" for i in range(self.origin.sampling.samples)]

    @property
    def files(self) -> list[str]:
        """Names of all files but `result.json`."""
        drawn = [*self.samples, *(f"{name}{self.suffix}" for name in STATISTICS)]
        aside = [f"{name}{end}" for name in drawn for end in self.stack.array.aside]
        return [*drawn, *aside, *self.inputs, "grid.png"]

    @property
    def input(self) -> str:
        """Name of the input beside them."""
        return f"input{self.suffix}"

    @property
    def inputs(self) -> dict[str, Path]:
        """Names of the input and of what goes with it beside them, and of which file each is a
        copy."""
        path, copies = self.stack.path, {self.input: self.stack.path}
        for one in self.stack.array.beside:
            whole = one.name.lower().startswith(path.name.lower())
            own, copied = (path.name, self.input) if whole else (path.stem, Path(self.input).stem)
            copies[f"{copied}{one.name[len(own) :]}"] = one
        return copies

    @property
    def exploded(self) -> list[bool]:
        """Which samples exploded in any plane."""
        return [bool(planes.any()) for planes in self.exploded_planes]

    @property
    def lr_psnr(self) -> list[float]:
        """LR-PSNR of every sample, in dB of the range that stands for [0, 1]."""
        result = []
        for planes in self.round_trips:
            values = sum(trip.values for trip, _ in planes)
            squares = sum(trip.squares for trip, _ in planes)
            result.append(float(10 * np.log10(values / squares)) if squares else float("inf"))
        return result

    @property
    def largest_lr_error(self) -> list[float]:
        """Largest ``|Hx − y|`` of every sample, in the input's unit."""
        return [
            max(trip.largest * (1 if r.levels else r.span) for trip, r in planes)
            for planes in self.round_trips
        ]

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers, so that a round trip can be exact."""
        return all(one.levels is not None for one in self.stack.ranges)

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
        return [self.whole and all(trip.exact for trip, _ in planes) for planes in self.round_trips]

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

    @property
    def share(self) -> float:
        """How likely one more sample lies in the interval, where the fewest are answers."""
        sampling, most = self.origin.sampling, UPPER - LOWER
        for exploded in self.exploded_planes.T:
            kept = answering(exploded.tolist())
            n, pairs = len(kept), sampling.ddof(kept) < 1
            most = min(most, n / (n + 2) if pairs else (n - 1) / (n + 1))
        return most

    def against_truth(self) -> Truth | None:
        """None: an array's file comes without its truth."""
        return None

    def report(self) -> dict[str, Any]:
        """What `result.json` holds; an infinite LR-PSNR is written as null."""
        array = self.stack.array
        return {
            **self.origin.to_dict(),
            "input": self.input,
            "values": {
                "ranges": [asdict(one) for one in self.stack.ranges],
                "dtype": str(array.values.dtype),
                "axes": array.layout.axes,
                "shape": list(array.layout.shape),
                "missing": int(array.missing.sum()),
            },
            "interval": {"lower": LOWER, "upper": UPPER, "share": self.share},
            **report_of(self, self.noise),
            **({} if self.whole else {"round_trip_exact": None, "missed_share": None}),
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
    origin = origin_from_dict(data, str(path))
    name, ranges = data.get("input"), data["values"].get("ranges")
    if not isinstance(name, str) or not INPUT.fullmatch(name):
        raise InputError(f"{path} does not say which file beside it holds the input")
    try:
        known = [ValueRange(one["low"], one["high"], one["levels"]) for one in ranges]
    except (TypeError, KeyError, ValueError, OverflowError):
        raise InputError(f"{path} does not say what its values are mapped to") from None
    return StackRecipe(origin, path.parent / name, known)
