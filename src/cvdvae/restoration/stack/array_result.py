"""A result whose samples lie in files of the input's kind.

Explained in docs/explanation/sampling.md.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ...imaging.arrays import Array
from ...imaging.formats import suffix_of
from ..answers import answering
from ..result import Truth
from .planes import Stack

INPUT = re.compile(r"input(\.ome)?\.\w{1,8}", re.IGNORECASE)
LOWER, UPPER = 0.1, 0.9
"""Ends of the central interval that is given, as shares of the samples."""
DIGITS = 12
"""Of a share, after the point: the others are of rounding."""
STATISTICS = ("mean", "std", "lower", "upper")


class Settings(Protocol):
    """How samples were drawn: `Sampling` and `Restoring`."""

    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def antithetic(self) -> bool: ...  # noqa: D102
    def ddof(self, kept: Collection[int]) -> float: ...  # noqa: D102


def spanned(alone: int, pairs: int) -> float:
    """How likely one more draw lies between the smallest and the largest of some.

    ::

        1 − 2 ∫ max(0, 2t − 1)^p t^a dt,    0 ≤ t ≤ 1

    of a independent draws and p opposite pairs, whose shares of the distribution are u and 1 − u.
    Without pairs it is (a − 1) / (a + 1), of pairs alone 2p / (2p + 2).

    Example:
        >>> [round(spanned(*some), 3) for some in ((8, 0), (0, 4), (1, 1))]
        [0.778, 0.8, 0.583]
    """
    if not pairs:
        return (alone - 1) / (alone + 1)
    terms = (math.comb(alone, j) / 2**alone / (pairs + j + 1) for j in range(alone + 1))
    return 1 - math.fsum(terms)


def between_ranks(alone: int, pairs: int) -> float:
    """How likely one more draw lies between ranks ``LOWER (N + 1)`` and ``UPPER (N + 1)`` of N.

    Half of what `spanned` leaves lies below rank 1, and k times as much below rank k (exactly so
    where the draws are uniform, since between ranks values are interpolated).

    Args:
        alone: How many of the draws are independent.
        pairs: How many opposite pairs the others are.
    """
    rank = max(1.0, LOWER * (alone + 2 * pairs + 1))
    return round(1 - rank * (1 - spanned(alone, pairs)), DIGITS)


@dataclass
class ArrayResult(ABC):
    """A result whose samples lie in files of the input's kind.

    Attributes:
        folder: Where they lie.
        stack: What they were made of.
        scale: By what they are larger.
        exploded_planes: Which planes of which samples exploded, ``(samples, planes)``.
        seconds: Time it took.
    """

    folder: Path
    stack: Stack
    scale: int
    exploded_planes: np.ndarray
    seconds: float = 0.0

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """How the samples were drawn."""

    @abstractmethod
    def grid(self, drawn: np.ndarray) -> Image.Image:
        """A picture to look at of samples in the file's unit, ``(samples, pages, channels, H,
        W)``."""

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """What `result.json` holds."""

    @property
    def array(self) -> Array:
        """What of the file goes into those that are made of it."""
        return self.stack.array

    @property
    def left_missing(self) -> np.ndarray:
        """Which values of the input are missing in what is made of it, ``(pages, channels, h,
        w)``."""
        return self.stack.array.missing

    @property
    def suffix(self) -> str:
        """How the names of its files end, whatever its folder is called where it is a store."""
        suffix, known = suffix_of(self.stack.path), self.stack.form.suffixes
        return suffix if suffix.lower().endswith(known) else known[0]

    @property
    def samples(self) -> list[str]:
        """Names of the samples."""
        return [f"sample_{i:02d}{self.suffix}" for i in range(self.settings.samples)]

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
    def share(self) -> float:
        """How likely one more sample lies in the interval, where the fewest are answers."""
        shares = list[float]()
        for exploded in self.exploded_planes.T:
            kept = answering(exploded.tolist())
            alone = round(self.settings.ddof(kept) * len(kept))
            shares.append(between_ranks(alone, (len(kept) - alone) // 2))
        return min(shares)

    def against_truth(self) -> Truth | None:
        """None: an array's file comes without its truth."""
        return None

    def of_values(self) -> dict[str, Any]:
        """What `result.json` says of the numbers of the file."""
        array = self.stack.array
        return {
            "input": self.input,
            "values": {
                "ranges": [asdict(one) for one in self.stack.ranges],
                "dtype": str(array.values.dtype),
                "axes": array.layout.axes,
                "shape": list(array.layout.shape),
                "missing": int(array.missing.sum()),
            },
            "interval": {"lower": LOWER, "upper": UPPER, "share": self.share},
        }
