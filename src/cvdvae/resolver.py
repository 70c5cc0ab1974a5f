"""What all super-resolution models have in common: checks, batches, seeds, projection."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .degradation import BicubicDownscaling
from .errors import InputError
from .hvae import SeededNoise
from .images import to_bytes
from .projection import project, round_consistently
from .result import SuperResolution
from .sampling import Sampling
from .steps import Vary
from .store import Recommended

BATCH = 8
"""Samples drawn together at most: larger batches fall out of a CPU's cache and gain nothing."""

STATE_BYTES = 64 * 2**20
"""How large the widest top-down state of a batch may be on a CPU; a single sample's always may."""

STATES_IN_MEMORY = 16
"""How many such states must fit into what a GPU has free."""


FAR, NEAR, MANY = 1.0, 0.25, 0.01
"""A sample has exploded if a value is further than `FAR` outside of [0, 1], or if more than this
share of its values is further than `NEAR`, as in a saturated block."""

Drawer = Callable[[SeededNoise, int], Tensor]
"""``(noise, n) -> x``: draw n samples, ``(n, 3, H, W)``, of the image that it was made for."""


class Frame(NamedTuple):
    """What stays of an earlier sample where only a region varies.

    Attributes:
        region: Where it varies, ``(1, 1, H, W)`` bool.
        x: The sample as it is saved, ``(1, 3, H, W)`` in [0, 1].
    """

    region: Tensor
    x: Tensor


class SuperResolver(ABC):
    """A model at one scale, ready to draw.

    Args:
        name: What results call the model.
        image_size: Side of the high-resolution images.
        lr_size: Side of the low-resolution images.
        recommended: Temperatures for draws that name none.
    """

    def __init__(self, name: str, image_size: int, lr_size: int, recommended: Recommended) -> None:
        self.name, self.lr_size, self.recommended = name, lr_size, recommended
        self.scale = image_size // lr_size
        self.degradation = BicubicDownscaling((image_size, image_size), (lr_size, lr_size))

    @property
    @abstractmethod
    def networks(self) -> tuple[nn.Module, ...]:
        """What is moved and converted."""

    @property
    @abstractmethod
    def largest_state(self) -> int:
        """Numbers in the largest activation that a sample keeps."""

    @abstractmethod
    def drawer(self, y: Tensor, sampling: Sampling) -> Drawer:
        """Encode y, ``(1, 3, h, w)`` on `device`, once for all its samples."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.networks[0].parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(self.networks[0].parameters()).dtype

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "SuperResolver":
        """Move the weights, and convert them.

        Args:
            device: Where to compute.
            dtype: What the networks compute in: float32 or bfloat16; as before by default.
                Gaussians, the likelihood and the projection stay in float32.

        Raises:
            InputError: There is no such device here.
        """
        try:
            for network in self.networks:
                network.to(device, dtype or self.dtype)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot use the device '{device}': {reason}") from None
        return self

    @property
    def batch(self) -> int:
        """How many samples are drawn together, by the size of a state and the memory at hand."""
        room = STATE_BYTES
        if self.device.type == "cuda":
            room = torch.cuda.mem_get_info(self.device)[0] // STATES_IN_MEMORY
        return max(1, min(BATCH, room // (self.largest_state * self.dtype.itemsize)))

    def upscale(
        self,
        y: Tensor,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        encoder_temperature: float | None = None,
        consistent: bool = True,
    ) -> SuperResolution:
        """Draw high-resolution images behind one low-resolution image.

        Sample i depends on `seed` and i alone: asking for more of them, or drawing them in other
        batches, gives the same ones first (up to the rounding of float32, which can move a pixel
        by one level).

        Args:
            y: The image, ``(3, h, w)`` or ``(1, 3, h, w)``, float in [0, 1], h = w = lr_size.
            samples: As in `Sampling`, like all that follow.
            temperature: Of the prior's groups.
            seed: Of the samples.
            encoder_temperature: Of the LR encoder's groups. Where neither is named, both are the
                model's recommended ones.
            consistent: Whether to project.

        Raises:
            InputError: An argument that is not as said; the message says what is wanted.

        Example:
            >>> model = cvdvae.load("celeba64-x8")            # doctest: +SKIP
            >>> result = model.upscale(y, samples=8, seed=0)  # doctest: +SKIP
            >>> result.save("out/")                           # doctest: +SKIP
        """
        sampling = self.sampling(samples, temperature, seed, encoder_temperature, consistent)
        return self.run(y, sampling)

    def sampling(
        self,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        encoder_temperature: float | None = None,
        consistent: bool = True,
    ) -> Sampling:
        """Settings of a draw, with the recommended temperatures where neither is named.

        Where one is, the other is the published one: 0.8 of the prior, 1 of the encoder.

        Raises:
            InputError: A value out of its range.
        """
        suits = self.recommended
        if temperature is not None or encoder_temperature is not None:
            suits = Recommended()
        return Sampling(
            samples,
            suits.temperature if temperature is None else temperature,
            seed,
            suits.encoder_temperature if encoder_temperature is None else encoder_temperature,
            consistent,
        )

    def run(
        self,
        y: Tensor,
        sampling: Sampling,
        truth: Tensor | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> SuperResolution:
        """As `upscale`, with the settings in one object.

        Args:
            y: The image, as for `upscale`.
            sampling: How to draw.
            truth: The true image, ``(3, H, W)`` in [0, 1], for the report.
            on_progress: Called after every batch with the number of samples in it.
        """
        drawn = 0
        for result in self.stream(y, sampling, truth):
            if on_progress is not None:
                on_progress(len(result.samples) - drawn)
            drawn = len(result.samples)
        return result

    def stream(
        self,
        y: Tensor,
        sampling: Sampling,
        truth: Tensor | None = None,
        parent: Tensor | None = None,
    ) -> Iterator[SuperResolution]:
        """As `run`, yielding the result after every batch: it grows, and the last one is complete.

        Args:
            y: The image, as for `upscale`.
            sampling: How to draw.
            truth: The true image, ``(3, H, W)`` in [0, 1], for the report.
            parent: The pixels of the sample that the last step starts from, uint8 ``(3, H, W)``,
                where they are at hand; they are drawn again otherwise.
        """
        started = time.perf_counter()
        y = self.check(y)
        self.check_steps(sampling)
        frame = self._frame(y, sampling, parent)
        samples, pixels, exploded = [], [], list[bool]()
        for x, bad in self._draw(y, sampling, frame):
            samples.append(x)
            pixels.append(
                round_consistently(x, y, self.degradation, region=frame and frame.region)
                if sampling.consistent
                else to_bytes(x)
            )
            exploded += bad.tolist()
            yield SuperResolution(
                y=y[0],
                samples=torch.cat(samples),
                pixels=torch.cat(pixels),
                degradation=self.degradation,
                model=self.name,
                sampling=sampling,
                seconds=time.perf_counter() - started,
                truth=truth,
                exploded=list(exploded),
            )

    def draw(self, y: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Yield the samples batch by batch: ``(n, 3, H, W)`` in [0, 1], on the CPU."""
        return (x for x, _ in self.draw_checked(y, sampling))

    def draw_checked(self, y: Tensor, sampling: Sampling) -> Iterator[tuple[Tensor, Tensor]]:
        """As `draw`, with which samples exploded, ``(n,)``: not finite, or far from any image."""
        y = self.check(y)
        self.check_steps(sampling)
        return self._draw(y, sampling, self._frame(y, sampling))

    def check_steps(self, sampling: Sampling) -> None:
        """Refuse steps of steering that this model cannot take.

        Raises:
            InputError: There are some; only hierarchical models take any.
        """
        if sampling.steps:
            raise InputError(
                f"{self.name} cannot be steered: only a hierarchical VAE has latent groups to keep"
            )

    def noise(self, sampling: Sampling, indices: range) -> SeededNoise:
        """The noise of some samples."""
        return SeededNoise(sampling.seed, indices)

    @torch.no_grad()
    def _draw(
        self, y: Tensor, sampling: Sampling, frame: Frame | None, only: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches; or the sample `only`, drawn in its batch, so that it is the same."""
        draw, batch = self.drawer(y.to(self.device), sampling), self.batch
        for first in range(0, sampling.samples, batch):
            indices = range(first, min(first + batch, sampling.samples))
            if only is not None and only not in indices:
                continue
            x = draw(self.noise(sampling, indices), len(indices)).float().cpu()
            outside = ((x - 0.5).abs() - 0.5).flatten(1)
            exploded = ~(outside <= FAR).all(1) | ((outside > NEAR).float().mean(1) > MANY)
            x = torch.nan_to_num(x, nan=0.5).clamp(0, 1)
            shadow, region = y, None
            if frame is not None:
                x = torch.where(frame.region, x, frame.x)
                shadow, region = self.degradation.A(frame.x), frame.region
            if sampling.consistent:
                shadow = shadow.expand(len(x), -1, -1, -1)
                x = project(x, shadow, self.degradation, region=region)
            if only is not None:
                x, exploded = x[only - first, None], exploded[only - first, None]
            yield x, exploded

    def _frame(self, y: Tensor, sampling: Sampling, parent: Tensor | None = None) -> Frame | None:
        """What stays where only a region varies: the sample that it belongs to, as it is saved."""
        if not sampling.steps or not isinstance(step := sampling.steps[-1], Vary):
            return None
        if parent is None:
            before = sampling.before()
            frame = self._frame(y, before)
            ((x, _),) = self._draw(y, before, frame, only=step.sample)
            parent = to_bytes(x)[0]
            if sampling.consistent:
                region = frame and frame.region
                parent = round_consistently(x, y, self.degradation, region=region)[0]
        return Frame(step.mask[None, None], parent[None].float() / 255)

    def check(self, y: Tensor) -> Tensor:
        """Return y as ``(1, 3, h, w)``, or refuse it.

        Raises:
            InputError: Another shape or size, not float, a NaN, or a value outside [0, 1].
        """
        size = self.lr_size
        if y.ndim == 3:
            y = y[None]
        if not torch.is_floating_point(y) or y.ndim != 4 or y.shape[:2] != (1, 3):
            raise InputError(
                f"expected one float image of shape (3, {size}, {size}), "
                f"not {y.dtype} {tuple(y.shape)}"
            )
        if tuple(y.shape[2:]) != (size, size):
            height, width = y.shape[2:]
            raise InputError(
                f"{self.name} takes images of {size}×{size} pixels, not {width}×{height}: shrink "
                f"a photo with --simulate (or cvdvae.simulate), or choose a model of another scale"
            )
        if not bool(((y >= 0) & (y <= 1)).all()):
            raise InputError("image values must be in [0, 1], without NaN")
        return y.float().cpu()
