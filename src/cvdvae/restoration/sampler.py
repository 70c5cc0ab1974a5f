"""What all super-resolution models have in common: checks, batches, seeds, projection.

Explained in docs/explanation/sampling.md.
"""

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..checkpoints.proper import Proper
from ..checkpoints.records import Expected, Recommended
from ..checkpoints.shrinking import Shrinking
from ..degradations.bicubic import downscaling
from ..degradations.downscaling import Downscaling
from ..errors import InputError
from ..gaussian.noise import Inside, Noise, Window, noise_for
from .bands import Drawer
from .batches import batch_for, check_memory, gpu_batch_for
from .checks import checked_image, checked_truth
from .drawing import Drawing
from .ending import growing
from .finish import Finished
from .networks import Networks
from .result import SuperResolution
from .self_ensemble import Orientation, known_orientations
from .settings import WIDE_TEMPERATURES, Grids, Sampling
from .tolerance import NoiseLevel, PhotonNoise, Tolerance, level_of, tolerance_of
from .workers import OnDone, untold

MEASURED = 192
"""Side of the squares on which models that take any size are measured and timed."""


class SuperResolver(Networks):
    """A model at one scale, ready to draw.

    Args:
        name: What results call the model.
        scale: Factor between the sides of the low- and the high-resolution images.
        recommended: Temperatures for draws that name none.
        image_size: Side of the high-resolution images that it was trained on.
        any_size: Whether it takes images of other sizes, too.
        channels: How many channels its images have.
        photon_noise: Of the low-resolution images that it knows; None where they have none.

    Attributes:
        lr_size: Side of the low-resolution images of `image_size`; of `MEASURED` if any is taken.
        degradation: H at that size; see `degradation_of` for others.
        weights: Fingerprint of its weights, where they came from a folder.
        method: What it is beside others of its scale: hierarchical, or a flow.
        expected: What it makes of proper images; where it is None, no input is examined.
        proper: What such images look like; without it every input is examined at length.
        shrinking: What spectra images have that known programs made small, where it is known.
    """

    weights = ""
    method: ClassVar[Literal["hvae", "flow"]] = "hvae"
    expected: Expected | None = None
    proper: Proper | None = None
    shrinking: Shrinking | None = None

    def __init__(
        self,
        name: str,
        scale: int,
        recommended: Recommended,
        image_size: int,
        any_size: bool = False,
        channels: int = 3,
        photon_noise: PhotonNoise | None = None,
    ) -> None:
        self.name, self.scale, self.recommended = name, scale, recommended
        self.any_size, self.channels, self.photon_noise = any_size, channels, photon_noise
        self.lr_size = (MEASURED if any_size else image_size) // scale
        self.degradation = self.degradation_of((self.lr_size, self.lr_size))

    @property
    def sizes(self) -> str:
        """``×4 to 64×64``, or ``×4 to any size``."""
        side = self.scale * self.lr_size
        return f"×{self.scale} to {'any size' if self.any_size else f'{side}×{side}'}"

    def degradation_of(self, lr_size: tuple[int, int], shrunk_by: str = "bicubic") -> Downscaling:
        """H from images `scale` times as large to low-resolution ones of this height and width.

        `shrunk_by` is one of `cvdvae.degradations.kernels.KERNELS`.
        """
        height, width = lr_size
        return downscaling((height * self.scale, width * self.scale), lr_size, shrunk_by)

    @property
    @abstractmethod
    def largest_state(self) -> float:
        """Numbers in the largest activation that a sample keeps, for every pixel of it."""

    @abstractmethod
    def drawer(self, y: Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        """Encode y, ``(1, C, h, w)`` on `device`, once for all its samples; of what it shows,
        what is `inside` is drawn, in pixels of the high-resolution images."""

    @property
    def truth_size(self) -> tuple[int, int]:
        """Height and width of the images that `degradation` shrinks."""
        return self.degradation.hr_size

    @property
    def one_temperature(self) -> bool:
        """Whether the encoder's is the only one that matters: either name is then its name."""
        return False

    @property
    def grids(self) -> Grids:
        """Temperatures that calibration tries."""
        return Grids(WIDE_TEMPERATURES, ())

    @property
    def group_resolutions(self) -> list[int]:
        """Resolutions of its latent groups, coarse to fine; none where it has no groups."""
        return []

    def evidence(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """How likely images y, ``(N, C, h, w)`` in [0, 1], are; see `cvdvae.input_check.examine`.

        Returns:
            Rates in nats, ``(N,)``, and ``H E[x|z] − y``, ``(N, C, h, w)``, float64 on the CPU.

        Raises:
            InputError: The model has no prior that could tell.
        """
        raise InputError(f"{self.name} has no prior to doubt with: name an LR encoder")

    def compile(self) -> "SuperResolver":
        """Compile the network, where a kind of model can be.

        Raises:
            InputError: It cannot.
        """
        raise InputError(f"{self.name} cannot be compiled")

    def batch(self, pixels: int) -> int:
        """How many samples of so many pixels are drawn together."""
        if self.device.type != "cuda":
            return batch_for(pixels)
        return gpu_batch_for(self.device, self.largest_state * pixels * self.dtype.itemsize)

    def upscale(
        self,
        y: Tensor,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        encoder_temperature: float | None = None,
        consistent: bool = True,
        shrunk_by: str = "bicubic",
        antithetic: bool = False,
        truth: Tensor | None = None,
        self_ensemble: bool = False,
        look: bool = False,
    ) -> SuperResolution:
        """Draw high-resolution images behind one low-resolution image.

        Sample i depends on `seed` and i alone: asking for more of them gives the same ones first.

        Args:
            y: The image, ``(C, h, w)`` or ``(1, C, h, w)`` with C = `channels`, float in [0, 1];
                h = w = lr_size, unless the model takes any size.
            samples: As in `Sampling`, like all that follow but `truth`.
            temperature: Of the prior's groups.
            seed: Of the samples.
            encoder_temperature: Of the LR encoder's groups. Where neither is named, both are the
                model's recommended ones.
            consistent: Whether to project; where y has noise, whether to explain it within that.
            shrunk_by: What y was shrunk by.
            antithetic: Whether samples are drawn in opposite pairs.
            truth: The true image, ``(C, H, W)`` in [0, 1], for the report.
            self_ensemble: Whether they see y in several orientations.
            look: Whether they are tamer, at the model's temperatures for looking.

        Raises:
            InputError: An argument that is not as said, or samples of an image of any size that do
                not fit into memory; the message says what is wanted.

        Example:
            >>> import cvdvae
            >>> model = cvdvae.load("celeba64-x4")
            >>> result = model.upscale(torch.full((3, 16, 16), 0.4), samples=2, seed=0)
            >>> tuple(result.pixels.shape), result.round_trip_exact
            ((2, 3, 64, 64), [True, True])
        """
        at = (samples, temperature, seed, encoder_temperature)
        sampling = self.sampling(*at, consistent, shrunk_by, antithetic, self_ensemble, look=look)
        return self.run(y, sampling, truth)

    def sampling(
        self,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        encoder_temperature: float | None = None,
        consistent: bool = True,
        shrunk_by: str = "bicubic",
        antithetic: bool = False,
        self_ensemble: bool = False,
        profile: Sequence[float] | None = None,
        look: bool = False,
    ) -> Sampling:
        """Settings of a draw as of `upscale`, at the recommended temperatures where none is named,
        with a profile as in `Sampling`.

        Where one is, the other is the published one: 0.8 of the prior, 1 of the encoder. Where the
        encoder gives all groups, one temperature is both.

        Raises:
            InputError: A value out of its range.
        """
        if self.one_temperature and encoder_temperature is None:
            encoder_temperature = temperature
        prior, encoder, own = self.recommended.of_draws(temperature, encoder_temperature, look)
        return Sampling(
            samples,
            prior,
            seed,
            encoder,
            consistent,
            shrunk_by,
            antithetic,
            self_ensemble=self_ensemble,
            profile=own if profile is None else tuple(profile),
        )

    def run(
        self,
        y: Tensor,
        sampling: Sampling,
        truth: Tensor | None = None,
        on_pixels: OnDone = untold,
    ) -> SuperResolution:
        """As `upscale`, with the settings in one object.

        Args:
            y: The image, as for `upscale`.
            sampling: How to draw.
            truth: The true image, ``(C, H, W)`` in [0, 1], for the report.
            on_pixels: As for `Drawing`.
        """
        *_, result = self.stream(y, sampling, truth, on_pixels=on_pixels)
        return result

    def stream(
        self,
        y: Tensor,
        sampling: Sampling,
        truth: Tensor | None = None,
        parent: Tensor | None = None,
        on_pixels: OnDone = untold,
    ) -> Iterator[SuperResolution]:
        """As `run`, yielding the result after every batch, or some that are drawn together: it
        grows, and the last one is complete.

        Args:
            y: The image, as for `upscale`.
            sampling: How to draw.
            truth: The true image, ``(C, H, W)`` in [0, 1], for the report.
            parent: The pixels of the sample that the last step starts from, uint8 ``(C, H, W)``,
                where they are at hand; they are drawn again otherwise.
            on_pixels: As for `Drawing`.
        """
        started = time.perf_counter()
        y = self.check(y).clone()  # what is handed over may change
        height, width = (self.scale * side for side in y.shape[2:])
        truth = checked_truth(truth, (self.channels, height, width))
        truth = None if truth is None else truth.clone()
        if self.any_size:
            instead = "let cvdvae upscale draw them into files"
            check_memory(sampling.samples, height, width, instead)
        drawing = Drawing(self, y, sampling, on_pixels=on_pixels)
        for x, pixels, exploded in growing(drawing.finished(parent), sampling.samples):
            yield SuperResolution(
                y=drawing.y[0],
                samples=x,
                pixels=pixels,
                degradation=drawing.degradation,
                sigma=0.0 if drawing.tolerance is None else drawing.tolerance.sigma,
                model=self.name,
                sampling=sampling,
                seconds=time.perf_counter() - started,
                truth=truth,
                exploded=exploded.tolist(),
                weights=self.weights,
                dtype=self.dtype_name,
            )

    def draw(self, y: Tensor, sampling: Sampling) -> Tensor:
        """What the network gives, before `finish`: ``(samples, C, H, W)`` on the CPU."""
        return torch.cat(list(Drawing(self, y, sampling).before_finish()))

    def answers(self, y: Tensor, sampling: Sampling) -> Finished:
        """Samples behind y, as for `upscale`, as they would be saved."""
        *_, every = growing(Drawing(self, self.check(y), sampling).finished(), sampling.samples)
        return every

    def tolerance(self, y: Tensor) -> Tolerance | None:
        """What the noise of an image ``(1, C, h, w)`` leaves open; None where it has none."""
        return tolerance_of(self.photon_noise, y)

    def noise_level(self, y: Tensor) -> NoiseLevel:
        """The noise in y, ``(C, h, w)``; nought where it has none."""
        return level_of(self.photon_noise, y)

    def check_sampling(self, sampling: Sampling, size: tuple[int, int]) -> None:
        """Refuse steps of steering, or a profile, that this model cannot take at this size.

        Raises:
            InputError: There are some; only hierarchical models take any.
        """
        if sampling.profile:
            raise InputError(f"{self.name} has no groups of several strides: leave the profile out")
        if sampling.steps:
            raise InputError(
                f"{self.name} cannot be steered: only a hierarchical VAE has latent groups to keep"
            )

    @property
    def orientations(self) -> Sequence[Orientation]:
        """In which orientations its samples may see y, where `Sampling.self_ensemble` says so."""
        return known_orientations(self.any_size)

    @property
    def tile_step(self) -> int:
        """What the edges of tiles are multiples of, where images may have any size."""
        return self.scale

    def noise(self, sampling: Sampling, indices: Sequence[int], window: Window) -> Noise:
        """The noise of the samples `indices` in a window of them: tied to places where images may
        have any size, and so be tiled."""
        places = window if self.any_size else None
        return noise_for(sampling.seed, indices, places, sampling.antithetic)

    def check(self, y: Tensor) -> Tensor:
        """Return y as ``(1, C, h, w)``, or refuse it.

        Raises:
            InputError: No tensor, another shape or size, not float, a NaN, or beyond [0, 1].
        """
        side = None if self.any_size else self.lr_size
        return checked_image(y, self.channels, side, self.name)
