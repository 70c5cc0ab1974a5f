"""Edits: steps of steering from a set of samples to another one, chosen by a person.

An edit names samples of the set before it by their index. Together with the settings of the first
set they describe the last one completely: in `result.json`, and in the app's links.

Given y and the temperatures, a sample is a function of the noise of its latent groups::

    z_l = μ_l(z_<l, y) + τ_l σ_l(z_<l, y) ε_l          ε_l ~ N(0, I)

so to steer is to choose ε. Where ε_<g is that of another sample, z_<g is, too. A new edit is one
`Edit`, registered in `EDITS`.

Explained in docs/explanation/sampling.md.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..configs import from_dict
from ..errors import ConfigError, InputError
from ..gaussian.noise import Window
from .checks import make_plain
from .region_text import MAX_REGION_SIDE as MAX_REGION_SIDE
from .region_text import pack_region as pack_region
from .region_text import unpack_region as unpack_region

MAX_STEPS = 32
MAX_REGIONS = 8
"""How many steps may vary a region: for each, the sample that it starts from is drawn again."""


class Moment(NamedTuple):
    """What an edit makes the noise of one group of a batch from.

    Attributes:
        group: Which group l.
        fresh: A fresh draw, ``(n, C, h, w)``.
        parents: ε_l, ``(1, C, h, w)``, of the samples that it starts from.
        places: Of the batch, between the first sample of the set, 0, and the last, 1.
        window: Where the image may be larger than what is drawn, the part that is: the ε of a
            position must then follow from that position alone.
        angle: Between the noise of its two parents, where they differ.
    """

    group: int
    fresh: Tensor
    parents: Sequence[Tensor]
    places: Sequence[float]
    window: Window | None
    angle: float = math.pi / 2


class Edit(ABC):
    """One step of steering: a frozen dataclass of plain values, with a `kind` of its own.

    Attributes:
        kind: Tells the kinds apart in a file.
        counts: Whether a sample depends on how many there are.
        regional: Whether only a region of the image changes, `mask`.
        whole: Names of its whole numbers.
    """

    kind: Any
    counts: ClassVar[bool] = False
    regional: ClassVar[bool] = False
    whole: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        make_plain(self, self.whole)

    @property
    @abstractmethod
    def samples(self) -> tuple[int, ...]:
        """Indices of the samples that it starts from."""

    @abstractmethod
    def epsilon(self, at: Moment) -> Tensor:
        """ε of a group of a batch, ``(n, C, h, w)``."""

    @property
    def fresh_seed(self) -> int | None:
        """Seed of what is drawn anew; None for that of the first set."""
        return None

    @property
    def mask(self) -> Tensor | None:
        """What changes of the image, ``(H, W)`` bool, where it is a region."""
        return None

    def angle(self, apart: float, before: float) -> float:
        """Between the noise of two samples, where it differs: fresh draws are independent.

        Args:
            apart: How far their places are from each other.
            before: The angle between those that it starts from.
        """
        return math.pi / 2

    def check(self, groups: int, size: tuple[int, int]) -> None:  # noqa: B027 - most fit always
        """Refuse an edit that does not fit a model of so many groups, or images of this size.

        Raises:
            InputError: What does not fit.
        """

    @abstractmethod
    def describe(self) -> str:
        """The edit in a few words."""


EDITS: dict[str, type[Edit]] = {}
"""Edits by their kind."""

E = TypeVar("E", bound=type[Edit])


def register(edit: E) -> E:
    """Make an edit known by its kind."""
    EDITS[edit.kind] = edit
    return edit


def edit_from_dict(data: Any, where: str) -> Edit:
    """Read an edit from plain data.

    Raises:
        ConfigError: It is of no known kind, or a setting is unknown or of a wrong type.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in EDITS:
        raise ConfigError(f"{where}: the kind of a step must be one of {', '.join(EDITS)}")
    return from_dict(EDITS[kind], data, where)


@register
@dataclass(frozen=True)
class Resample(Edit):
    """Others like one sample: its first latent groups stay, the rest is drawn anew.

    ``ε_l`` of the sample for l < g, fresh for l ≥ g.

    Attributes:
        sample: Index of the sample.
        groups: Number g of latent groups that stay; 0 keeps nothing.
        seed: Of what is drawn anew.

    Raises:
        InputError: A value of another type.
    """

    whole = ("sample", "groups", "seed")

    sample: int
    groups: int
    seed: int
    kind: Literal["others"] = field(default="others", repr=False)

    @property
    def samples(self) -> tuple[int, ...]:
        """The one."""
        return (self.sample,)

    @property
    def fresh_seed(self) -> int:
        """As named."""
        return self.seed

    def check(self, groups: int, size: tuple[int, int]) -> None:
        """Refuse to keep more groups than there are.

        Raises:
            InputError: They are more.
        """
        if not 0 <= self.groups <= groups:
            raise InputError(f"there are {groups} latent groups: {self.groups} of them cannot stay")

    def epsilon(self, at: Moment) -> Tensor:
        """The sample's, or fresh."""
        (kept,) = at.parents
        return kept.expand_as(at.fresh) if at.group < self.groups else at.fresh

    def describe(self) -> str:
        """The edit in a few words."""
        return f"others like {self.sample}, {self.groups} groups stay"


@register
@dataclass(frozen=True)
class Blend(Edit):
    """From one sample to another in even steps, in all latent groups.

    ``ε_l`` lies on the great circle between those of the two samples, which keeps the length that
    a normal draw has; a straight line would shorten it. See `slerp`.

    Attributes:
        first: Index of the sample that it starts with.
        last: Index of the one that it ends with.

    Raises:
        InputError: A value of another type.
    """

    counts, whole = True, ("first", "last")

    first: int
    last: int
    kind: Literal["blend"] = field(default="blend", repr=False)

    @property
    def samples(self) -> tuple[int, ...]:
        """Both."""
        return (self.first, self.last)

    def angle(self, apart: float, before: float) -> float:
        """Their part of the walk."""
        return apart * before

    def epsilon(self, at: Moment) -> Tensor:
        """Between the two."""
        (first, last), angle = at.parents, None if at.window is None else at.angle
        differ = first != last  # the rest both have from one parent
        walk = (slerp(first[differ], last[differ], place, angle) for place in at.places)
        return torch.cat([first.masked_scatter(differ, between) for between in walk])

    def describe(self) -> str:
        """The edit in a few words."""
        return f"from {self.first} to {self.last}"


@register
@dataclass(frozen=True)
class ResampleRegion(Edit):
    """One sample, drawn anew in a region and unchanged elsewhere.

    Fresh ``ε_l`` where the region covers at least half of a cell of group l, else the sample's.

    Attributes:
        sample: Index of the sample.
        region: Where to draw anew, as `pack_region` writes it.
        seed: Of what is drawn anew.

    Raises:
        InputError: A value of another type.
    """

    regional, whole = True, ("sample", "seed")

    sample: int
    region: str
    seed: int
    kind: Literal["vary"] = field(default="vary", repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.region, str):
            kind = type(self.region).__name__
            raise InputError(f"a region is a text, as pack_region writes it, not a {kind}")

    @property
    def samples(self) -> tuple[int, ...]:
        """The one."""
        return (self.sample,)

    @property
    def fresh_seed(self) -> int:
        """As named."""
        return self.seed

    @property
    def mask(self) -> Tensor:
        """The region, ``(H, W)`` bool."""
        return unpack_region(self.region)

    def check(self, groups: int, size: tuple[int, int]) -> None:
        """Refuse a region of another size than the images.

        Raises:
            InputError: It has another.
        """
        height, width = self.mask.shape
        if (height, width) != size:
            raise InputError(f"the region has {width}×{height} pixels, not {size[1]}×{size[0]}")

    def epsilon(self, at: Moment) -> Tensor:
        """Fresh in the region, the sample's outside of it."""
        (kept,), mask, window = at.parents, self.mask[None, None], at.window
        if window is not None:
            mask = mask[:, :, window.top :, window.left :][:, :, : window.height, : window.width]
            below, right = window.height - mask.shape[2], window.width - mask.shape[3]
            mask = F.pad(mask.float(), (0, right, 0, below), mode="replicate")
        inside = F.adaptive_avg_pool2d(mask.float(), (at.fresh.shape[2], at.fresh.shape[3])) >= 0.5
        return torch.where(inside.to(at.fresh.device), at.fresh, kept)

    def describe(self) -> str:
        """The edit in a few words."""
        return f"{self.sample}, varied in {float(self.mask.float().mean()):.0%} of it"


def slerp(a: Tensor, b: Tensor, place: float, angle: float | None = None) -> Tensor:
    """Spherical interpolation from a (place 0) to b (place 1), as two long vectors.

    ``(sin((1 − t) ω) a + sin(t ω) b) / sin ω`` with the angle ω between them (Shoemake 1985); a
    straight line where they are parallel. With a known `angle`, π/2 of independent draws in many
    dimensions, every element goes its own way and stays N(0, 1).
    """
    if angle is not None and math.sin(angle) >= 1e-4:
        of_a, of_b = (math.sin(share * angle) / math.sin(angle) for share in (1 - place, place))
        return of_a * a + of_b * b
    cosine = (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)
    between = torch.acos(cosine.clamp(-1, 1))
    if angle is not None or float(between.sin()) < 1e-4:
        return a + place * (b - a)
    return (torch.sin((1 - place) * between) * a + torch.sin(place * between) * b) / between.sin()
