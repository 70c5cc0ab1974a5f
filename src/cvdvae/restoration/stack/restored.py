"""What is known of a restoration that lies in files of arrays, and how it is drawn again."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from ...configs import from_dict
from ...damage.described import Description, description_from_dict
from ...damage.holes import with_hole
from ...damage.mask_kinds import OnlyNoise
from ...errors import InputError
from ...imaging.arrays import Array
from ...imaging.values import ValueRange, rounding_of
from ..recipe import Dtype
from ..restored import Diagnostics, Restoration
from ..result import DISCLAIMER
from ..settings import Restoring
from ..sheet import restored_sheet
from .array_result import INPUT, ArrayResult
from .planes import Missing, Plane, Stack
from .result import ranges_in
from .sheet import stack_sheet

Sigma = float | Literal["auto"] | None
MISSING = "of missing values"
"""What messages call the mask that they are."""


@dataclass(frozen=True)
class StackDegradation:
    """What happened to the planes of a file.

    Attributes:
        description: H of every plane.
        noise: σ, as for `seen`; or of every plane, None where nothing is drawn of it.
        fill: Whether missing values are drawn, too; else they stay missing.
    """

    description: Description
    noise: Sigma | tuple[float | None, ...] = None
    fill: bool = False

    @property
    def missing(self) -> Missing:
        """As for `read_arrays`."""
        return "drawn" if self.fill else "unseen"

    def noise_of(self, number: int) -> Sigma:
        """σ of a plane, by its number."""
        return self.noise[number] if isinstance(self.noise, tuple) else self.noise

    def intact(self, number: int) -> bool:
        """Whether what is seen of a plane is as it was."""
        steps = self.description.steps
        return not self.noise_of(number) and all(isinstance(one, OnlyNoise) for one in steps)

    def is_open(self, stack: Stack, plane: Plane) -> bool:
        """Whether anything is drawn of a plane: not where nothing, or all as it was, was seen."""
        missing = stack.missing(plane)
        return not missing.all() and (bool(missing.any()) or not self.intact(plane.number))

    def of_plane(self, stack: Stack, plane: Plane) -> Description:
        """H of a plane, with its missing values."""
        missing = stack.missing(plane)
        if not missing.any():
            return self.description
        return with_hole(self.description, torch.from_numpy(missing), MISSING)


@dataclass(frozen=True)
class Explained:
    """How well the samples of a plane explain it.

    Attributes:
        sigma: Standard deviation σ of its noise, in units of [0, 1]; None where nothing was drawn.
        span: What 1 is in the file's unit.
        measured: How many of its values say anything of x.
        misfit: As in `Restoration`, like `explains`.
        explains: Which samples explain it.
        diagnostics: Of its chains, where there were moves.
    """

    sigma: float | None
    span: float
    measured: int = 0
    misfit: tuple[float, ...] = ()
    explains: tuple[bool, ...] = ()
    diagnostics: Diagnostics | None = None

    @classmethod
    def of(cls, plane: Restoration, span: float) -> "Explained":
        """That of a plane, whose samples are as they are saved."""
        misfit, explains = tuple(plane.misfit), tuple(plane.explains)
        return cls(plane.sigma, span, plane.measured, misfit, explains, plane.diagnostics)


@dataclass
class RestoredStack(ArrayResult):
    """A restored file; it tells what `Restoration` tells.

    Attributes:
        model: Name of the model.
        what: What happened to it.
        restoring: How it was restored.
        weights: Fingerprint of the model's weights.
        dtype: What the networks computed in.
        planes: How well each is explained, as far as they are drawn.
        truth: None: of a file there is none.
    """

    model: str = field(kw_only=True)
    what: StackDegradation = field(kw_only=True)
    restoring: Restoring = field(kw_only=True)
    weights: str = ""
    dtype: Dtype = "fp32"
    planes: list[Explained] = field(default_factory=list)
    truth: None = None

    @property
    def settings(self) -> Restoring:
        """How the samples were drawn."""
        return self.restoring

    @cached_property
    def left_missing(self) -> np.ndarray:
        """As in `ArrayResult`: where they are drawn, those of planes without any value."""
        missing = self.stack.array.missing
        if not self.what.fill:
            return missing
        left = np.zeros_like(missing)
        for plane in self.stack.planes():
            part = (plane.page, self.stack.groups[plane.group])
            left[part] = missing[part].all()
        return left

    @cached_property
    def array(self) -> Array:
        """As in `ArrayResult`: what was drawn is opaque."""
        array = self.stack.array
        return array.filled(self.left_missing) if self.what.fill else array

    @property
    def description(self) -> dict[str, Any]:
        """H as plain data."""
        return self.what.description.to_dict()

    @property
    def drawn(self) -> list[Explained]:
        """Of those planes of which anything was drawn."""
        return [plane for plane in self.planes if plane.sigma is not None]

    @property
    def sigma(self) -> float:
        """The largest σ of any plane, in units of [0, 1]."""
        return max((plane.sigma or 0.0 for plane in self.planes), default=0.0)

    @property
    def misfit(self) -> list[float]:
        """Root mean square of ``(Hx − y) / σ`` over all planes that were drawn, as in
        `Restoration`."""
        values = max(1, sum(plane.measured for plane in self.drawn))
        squares = [plane.measured * np.square(plane.misfit) for plane in self.drawn]
        whole = np.sum(squares, 0) if squares else np.zeros(self.restoring.samples)
        return [float(one) for one in np.sqrt(whole / values)]

    @property
    def explains(self) -> list[bool]:
        """Whether each sample explains every plane within its noise, as in `Restoration`."""
        samples = range(self.restoring.samples)
        return [all(plane.explains[i] for plane in self.drawn) for i in samples]

    @property
    def diagnostics(self) -> Diagnostics | None:
        """Of the chains of all planes: the mean acceptance of every sample, and the worst of what
        tells whether they have mixed."""
        known = [plane.diagnostics for plane in self.drawn if plane.diagnostics is not None]
        if not known:
            return None
        acceptance = np.mean([one.acceptance for one in known], 0).tolist()
        # NaN is of a plane whose chains say nothing.
        effective = min((e for one in known if not isnan(e := one.effective)), default=nan)
        r_hat = max((r for one in known if not isnan(r := one.r_hat)), default=nan)
        gain = float(np.mean([one.log_w_gain for one in known]))
        return Diagnostics(acceptance, effective, r_hat, gain)

    @property
    def rounding(self) -> float:
        """As in `Restoration`, of the finest numbers; 0 where values are not whole."""
        return min(rounding_of(one.levels) for one in self.stack.ranges) if self.whole else 0.0

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.stack.whole

    @property
    def notes(self) -> list[str]:
        """What is to be known of its noise, in plain words: in the file's unit."""
        noisy = [plane for plane in self.drawn if plane.sigma]
        if not noisy:
            return []
        sigmas = _from_to([plane.sigma or 0.0 for plane in noisy])
        units = _from_to([(plane.sigma or 0.0) * plane.span for plane in noisy])
        if self.what.noise is None:
            return [f"no noise was named: σ = {sigmas} was taken, {units} in the file's unit"]
        if self.what.noise == "auto":
            said = f"the noise was estimated from every plane: σ = {sigmas}"
            return [f"{said}, {units} in the file's unit"]
        return [f"the noise of {sigmas} is {units} in the file's unit"]

    def grid(self, drawn: np.ndarray) -> Image.Image:
        """As `stack_sheet`, with grey where nothing was seen."""
        missing = self.stack.array.missing
        hidden = self.what.description.hidden(self.stack.array.layout.size).numpy()
        return stack_sheet(
            self.stack,
            drawn,
            self.scale,
            self.restoring,
            self.exploded_planes,
            picture=restored_sheet,
            holes=missing | hidden,
        )

    def report(self) -> dict[str, Any]:
        """What `result.json` holds."""
        chains = self.diagnostics
        return {
            "model": self.model,
            "weights": self.weights,
            "dtype": self.dtype,
            "degradation": self.description,
            "fill": self.what.fill,
            "sigmas": [plane.sigma for plane in self.planes],
            **asdict(self.restoring),
            **self.of_values(),
            "noise": [(plane.sigma or 0.0) * plane.span for plane in self.planes],
            "misfit": self.misfit,
            "explains": self.explains,
            "exploded": self.exploded,
            "chains": None if chains is None else asdict(chains),
            "seconds": round(self.seconds, 3),
            "truth": None,
            "files": self.files,
            "note": DISCLAIMER,
        }


@dataclass(frozen=True)
class RestoredStackRecipe:
    """Everything that a restored file follows from.

    Attributes:
        model: Name of the model.
        what: What happened to it.
        restoring: How to restore.
        weights: Fingerprint of the model's weights.
        dtype: What the networks computed in.
        path: The input beside it.
        ranges: What 0 and 1 stand for.
    """

    model: str
    what: StackDegradation
    restoring: Restoring
    weights: str
    dtype: Dtype
    path: Path
    ranges: list[ValueRange]


def _from_to(values: list[float]) -> str:
    least, most = (f"{end(values):.3g}" for end in (min, max))
    return least if least == most else f"{least} to {most}"


def restored_stack_from_dict(data: dict[str, Any], path: Path) -> RestoredStackRecipe:
    """Read what `RestoredStack.report` has written, from the `result.json` of this path.

    Raises:
        InputError: It is damaged.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    names = Restoring.__dataclass_fields__
    restoring = from_dict(Restoring, {k: v for k, v in data.items() if k in names}, str(path))
    model, weights, dtype = (data.get(name) for name in ("model", "weights", "dtype"))
    name, fill, sigmas = (data.get(name) for name in ("input", "fill", "sigmas"))
    if not isinstance(model, str) or not isinstance(weights, str) or dtype not in ("fp32", "bf16"):
        raise InputError(f"{path} is damaged")
    if not isinstance(fill, bool) or not isinstance(sigmas, list) or not _are_sigmas(sigmas):
        raise InputError(f"{path} is damaged")
    if not isinstance(name, str) or not INPUT.fullmatch(name):
        raise InputError(f"{path} does not say which file beside it holds the input")
    what = StackDegradation(description_from_dict(data["degradation"]), tuple(sigmas), fill)
    place, ranges = path.parent / name, ranges_in(data, path)
    return RestoredStackRecipe(model, what, restoring, weights, dtype, place, ranges)


def _are_sigmas(sigmas: list[Any]) -> bool:
    return all(one is None or (type(one) in (int, float) and 0 <= one <= 1) for one in sigmas)
