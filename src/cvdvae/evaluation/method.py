"""What is compared: anything that turns a low-resolution image into samples."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from ..degradations.bicubic import upscale_bicubic
from ..degradations.downscaling import Downscaling
from ..errors import InputError
from ..restoration.finish import Finished, finish
from ..restoration.load import load_at_scale
from ..restoration.sampler import SuperResolver
from ..restoration.tolerance import NoiseLevel, PhotonNoise, level_of, tolerance_of
from .selection import Pair, Selection
from .task import Method, Task, Temperatures

TOLD = re.compile(r"\d+×\d+, channels: .*")
"""The `Comparison.fingerprint` of `comparison`."""


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation to a height and width."""

    size: tuple[int, int]
    name: str = "bicubic"
    stochastic: bool = False

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """The one answer."""
        return upscale_bicubic(y[None], self.size)


@dataclass(frozen=True)
class Resolver:
    """A model of this package.

    Attributes:
        model: The model.
        name: What tables call it.
        stochastic: Always.
        encoder_temperature: Of an LR encoder's own groups; by default 1, as published, or that of
            the method where it gives all groups.
    """

    model: SuperResolver
    name: str
    stochastic: bool = True
    encoder_temperature: float | None = None

    @property
    def fingerprint(self) -> str:
        """Tells the weights from others, and how their groups are drawn."""
        encoder, profile = self.encoder_temperature, self.model.recommended.profile
        apart = "" if encoder is None else f" encoder at {encoder:g}"
        return self.model.weights + ":".join(map(str, profile)) + apart

    @property
    def own(self) -> Temperatures:
        """Those that the model recommends, at which `upscale` draws."""
        recommended = self.model.recommended
        if self.model.one_temperature:
            return Temperatures(recommended.encoder_temperature)
        apart = all(self.model.grids) and recommended.encoder_temperature != 1
        encoder = recommended.encoder_temperature if apart else None
        return Temperatures(recommended.temperature, encoder)

    def with_encoder_at(self, encoder_temperature: float) -> "Resolver":
        """The same with another temperature of the encoder's groups."""
        return replace(self, encoder_temperature=encoder_temperature)

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """Samples of the model."""
        encoder = self.encoder_temperature
        sampling = self.model.sampling(samples, temperature, seed, encoder, consistent=False)
        return self.model.draw(y, sampling)


@dataclass(frozen=True)
class Custom:
    """Anybody's function ``(y, samples, temperature, seed) -> (samples, C, H, W)``.

    Attributes:
        name: What tables call it.
        function: The function.
        stochastic: Whether it has a temperature and more than one answer.
        fingerprint: Tells it from others of its name, so that their results do not mix; by default
            its code does, see `cvdvae.evaluation.versions`.
    """

    name: str
    function: Callable[[Tensor, int, float, int], Tensor]
    stochastic: bool = True
    fingerprint: str = ""

    def draw(self, y: Tensor, samples: int, temperature: float, seed: int) -> Tensor:
        """What the function returns."""
        return self.function(y, samples, temperature, seed)


@dataclass(frozen=True)
class Comparison:
    """The methods that meet at one scale, and the degradation that they undo; a `Task`.

    Attributes:
        scale: The factor.
        degradation: H.
        methods: The methods.
        fingerprint: Tells what all methods share from others, so that results do not mix; the
            weights of a model are told with its method.
        channels: Of the images.
        photon_noise: The noise of y, which all methods get; None without.
        any_size: Whether the models take images of any size, and so squares as they are: to be
            said of a comparison that is put together by hand.
        damage: Nothing but that: none has a name.
        projections: Without and with the projection.
    """

    scale: int
    degradation: Downscaling
    methods: tuple[Method, ...]
    fingerprint: str = ""
    channels: int = 3
    photon_noise: PhotonNoise | None = None
    any_size: bool = False
    damage: str = field(default="", init=False)
    projections: tuple[bool, ...] = field(default=(False, True), init=False)

    def differences(self, earlier: str) -> list[str]:
        """What is another than in an earlier `fingerprint`, which once was the weights of all."""
        weights = [m.fingerprint for m in self.methods if isinstance(m, Resolver)]
        before, now = (TOLD.fullmatch(text) for text in (earlier, self.fingerprint))
        if before and now:
            return ["size, channels or noise of images"]
        if before is None and (now if not weights else earlier and earlier == " ".join(weights)):
            return []
        return ["model"]

    def pair(self, selection: Selection, path: Path) -> Pair:
        """One image with its low-resolution image."""
        return selection.as_seen_by(self).pair(path, self.degradation)

    def noise(self, y: Tensor) -> NoiseLevel:
        """That of y."""
        return level_of(self.photon_noise, y)

    def finish(self, x: Tensor, y: Tensor, projected: bool) -> Finished:
        """Projected, or explained within the noise of y, or as they are."""
        tolerance = tolerance_of(self.photon_noise, y[None])
        return finish(x, y[None], self.degradation, projected, tolerance=tolerance)


@dataclass(frozen=True)
class Models:
    """Where the models are: names, folders or Hub ids, with ``{scale}`` where it stands.

    Attributes:
        cvdvae: LR encoders.
        hcflow: Flows; empty where there is none.
    """

    cvdvae: str = "photos-x{scale}"
    hcflow: str = ""


@dataclass(frozen=True)
class Entry:
    """How a method is made at one scale.

    Attributes:
        make: From its name, H, and its model, where it has one.
        models: Where the models are that it draws with; None for a method without weights.
    """

    make: Callable[[str, Downscaling, SuperResolver | None], Method]
    models: Callable[[Models], str] | None = None


def _resolver(name: str, degradation: Downscaling, model: SuperResolver | None) -> Method:
    assert model is not None
    return Resolver(model, name)


METHODS: dict[str, Entry] = {
    "bicubic": Entry(lambda name, degradation, model: Bicubic(degradation.hr_size)),
    "cvdvae": Entry(_resolver, lambda models: models.cvdvae),
    "hcflow": Entry(_resolver, lambda models: models.hcflow),
}
"""The methods by name; a new one has a row here, and `cvdvae evaluate --methods` takes it."""


def comparison(scale: int, names: Sequence[str], models: Models, device: str = "cpu") -> Comparison:
    """Load the named methods at one scale.

    Args:
        scale: The factor, such as 8.
        names: Of `METHODS`.
        models: Where the models are; methods without one enlarge to the size of cvdvae's.
        device: Where to compute.

    Raises:
        InputError: A name is unknown or named twice, or the model has another scale, or the models
            know images of other sizes, channels or noise.
        WeightsError: There is no such model.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"unknown method '{unknown[0]}'" if unknown else "no method, or one twice"
        raise InputError(f"{wrong}: choose from {', '.join(METHODS)}")
    where = {name: METHODS[name].models for name in names}
    patterns = {name: of(models) for name, of in where.items() if of is not None}
    if not all(patterns.values()):
        raise InputError("no flow of these images is bundled: name one with --flows, or --domain")
    patterns = patterns or {"": models.cvdvae}
    loaded = {name: load_at_scale(at, scale, device) for name, at in patterns.items()}
    every = list(loaded.values())
    if len({(m.degradation.hr_size, m.channels, m.photon_noise) for m in every}) > 1:
        raise InputError(f"the models at ×{scale} know images of different sizes or kinds")
    first = every[0]
    made = tuple(METHODS[name].make(name, first.degradation, loaded.get(name)) for name in names)
    kind = (first.degradation.hr_size, first.channels, first.photon_noise)
    any_size = all(model.any_size for model in every)
    return Comparison(scale, first.degradation, made, _told(*kind), *kind[1:], any_size)


def comparisons(
    scales: Sequence[int], names: Sequence[str], models: Models, device: str = "cpu"
) -> list[Task]:
    """The same at several factors."""
    return [comparison(scale, names, models, device) for scale in scales]


def _told(size: tuple[int, int], channels: int, noise: PhotonNoise | None) -> str:
    """What all methods of a comparison share, as its fingerprint."""
    camera = "" if noise is None else f", photons: {noise.photons}, s: {noise.pixel_std}"
    return f"{size[1]}×{size[0]}, channels: {channels}{camera}"
