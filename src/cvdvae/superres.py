"""The main job: a low-resolution image in, samples of the high-resolution images behind it out.

::

    z_<k ~ q_ψ(z_<k | y)        the LR encoder, at its own temperature
    z_≥k ~ p(z_≥k | z_<k)       the prior, its standard deviations times τ
    x    = E[x | z]             the mean of the likelihood
    x    ← the nearest image in [0, 1] with Hx = y

(Prost, Houdard, Almansa & Papadakis 2022). A conditional flow, x ~ p(x|y), takes the place of the
first three lines in `FlowResolver`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from .degradation import BicubicDownscaling
from .errors import InputError
from .hcflow import HCFlow
from .hvae import HVAE, DiagonalGaussian, SeededNoise
from .hvae.layers import Block
from .images import to_bytes
from .lr_encoder import LREncoder
from .projection import project, round_consistently
from .result import SuperResolution
from .sampling import Sampling
from .store import FlowRecord, Recommended, find, load_encoder, load_flow, read_record

BATCH = 8
"""Samples drawn together at most: larger batches fall out of a CPU's cache and gain nothing."""

STATE_BYTES = 64 * 2**20
"""How large the widest top-down state of a batch may be on a CPU; a single sample's always may."""

STATES_IN_MEMORY = 16
"""How many such states must fit into what a GPU has free."""


VARIANTS = 128
"""How many shapes of blocks a large model may have, each of which is compiled by itself."""


EXPLODED = 1.5
"""How far from 0.5 no value of an image in [0, 1] can be by mere overshooting."""

Drawer = Callable[[SeededNoise, int], Tensor]
"""``(noise, n) -> x``: draw n samples, ``(n, 3, H, W)``, of the image that it was made for."""


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
            temperature: Of the prior's groups; the model's recommended one by default.
            seed: Of the samples.
            encoder_temperature: Of the LR encoder's groups; likewise.
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
        """Settings of a draw, with the recommended temperatures where none is named.

        Raises:
            InputError: A value out of its range.
        """
        if temperature is None:
            temperature = self.recommended.temperature
        if encoder_temperature is None:
            encoder_temperature = self.recommended.encoder_temperature
        return Sampling(samples, temperature, seed, encoder_temperature, consistent)

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
        started = time.perf_counter()
        y = self.check(y)
        samples, pixels, exploded = [], [], list[bool]()
        for x, bad in self._draw(y, sampling):
            samples.append(x)
            pixels.append(
                round_consistently(x, y, self.degradation) if sampling.consistent else to_bytes(x)
            )
            exploded += bad.tolist()
            if on_progress is not None:
                on_progress(len(x))
        return SuperResolution(
            y=y[0],
            samples=torch.cat(samples),
            pixels=torch.cat(pixels),
            degradation=self.degradation,
            model=self.name,
            sampling=sampling,
            seconds=time.perf_counter() - started,
            truth=truth,
            exploded=exploded,
        )

    def draw(self, y: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Yield the samples batch by batch: ``(n, 3, H, W)`` in [0, 1], on the CPU."""
        return (x for x, _ in self._draw(y, sampling))

    @torch.no_grad()
    def _draw(self, y: Tensor, sampling: Sampling) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples, and which of them exploded: not finite, or far outside of any image."""
        y = self.check(y)
        draw = self.drawer(y.to(self.device), sampling)
        for first in range(0, sampling.samples, self.batch):
            indices = range(first, min(first + self.batch, sampling.samples))
            x = draw(SeededNoise(sampling.seed, indices), len(indices)).float().cpu()
            exploded = ~((x - 0.5).abs() <= EXPLODED).all(3).all(2).all(1)
            x = torch.nan_to_num(x, nan=0.5).clamp(0, 1)
            if sampling.consistent:
                x = project(x, y.expand(len(x), -1, -1, -1), self.degradation)
            yield x, exploded

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


class HVAEResolver(SuperResolver):
    """A prior and an LR encoder on it.

    Args:
        prior: The hierarchical VAE.
        encoder: The LR encoder trained on that prior.
        name: What results call the model.
        recommended: Temperatures for draws that name none.
    """

    def __init__(
        self,
        prior: HVAE,
        encoder: LREncoder,
        name: str,
        recommended: Recommended = Recommended(),
    ) -> None:
        super().__init__(name, prior.config.image_size, encoder.config.lr_size, recommended)
        self.prior, self.encoder = prior, encoder

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The prior and the LR encoder."""
        return self.prior, self.encoder

    @property
    def largest_state(self) -> int:
        """That of the prior's top-down pass."""
        return self.prior.largest_state

    def drawer(self, y: Tensor, sampling: Sampling) -> Drawer:
        """Run the LR encoder's bottom-up pass."""
        activations = self.encoder.activations(y)

        def draw(noise: SeededNoise, n: int) -> Tensor:
            def pick(group: int, h: Tensor, prior: Callable[[], DiagonalGaussian]) -> Tensor:
                if group >= self.encoder.groups:
                    return prior().sample(noise, sampling.temperature)
                posterior = self.encoder.posterior_of(group, h, prior, activations)
                return posterior.sample(noise, sampling.encoder_temperature)

            h = self.prior.top_down(pick, n)
            return self.prior.likelihood.mean(self.prior.parameters_of_x(h))

        return draw

    def compile(self) -> "HVAEResolver":
        """Compile the blocks with `torch.compile`: minutes at the first draw, for long runs on a
        GPU. On a CPU it needs a C++ compiler and gains nothing over the strips of `hvae.layers`.
        """
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, VARIANTS)
        for network in self.networks:
            for block in network.modules():
                if isinstance(block, Block):
                    block.inner = torch.compile(block.inner, dynamic=False)  # type: ignore[method-assign]
        return self


class FlowResolver(SuperResolver):
    """A conditional flow; the temperature is that of all its details.

    Args:
        flow: The flow.
        name: What results call the model.
        recommended: Its temperature for draws that name none.
    """

    def __init__(self, flow: HCFlow, name: str, recommended: Recommended = Recommended()) -> None:
        super().__init__(name, flow.config.image_size, flow.config.lr_size, recommended)
        self.flow = flow

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The flow."""
        return (self.flow,)

    @property
    def largest_state(self) -> int:
        """That of the finest features: what a dense block of theirs holds at the end."""
        config = self.flow.config
        return (config.image_size // 2) ** 2 * (config.features + 4 * config.growth)

    def drawer(self, y: Tensor, sampling: Sampling) -> Drawer:
        """Nothing is shared: finer features depend on the details drawn before."""

        def draw(noise: SeededNoise, n: int) -> Tensor:
            return self.flow.sample(y.expand(n, -1, -1, -1), noise, sampling.temperature)

        return draw


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(
    name: str,
    device: str | torch.device = "cpu",
    dtype: Literal["fp32", "bf16"] = "fp32",
    compile: bool = False,
) -> SuperResolver:
    """Load a super-resolution model.

    Args:
        name: A bundled name, a folder, or a Hub id ``user/repository``.
        device: Where to compute.
        dtype: What the networks compute in. bf16 is faster where the machine has it (AVX-512 with
            bf16, AMX, recent GPUs), and its samples differ slightly.
        compile: As `HVAEResolver.compile`; flows are not compiled.

    Raises:
        WeightsError: Unknown (the message lists the bundled ones), damaged, or of another kind.
        ConfigError: Its configuration does not describe a model.
        InputError: There is no such device, or dtype is something else.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    if isinstance(read_record(find(name)), FlowRecord):
        flow, suits = load_flow(name)
        return FlowResolver(flow, name, suits).to(device, DTYPES[dtype])
    loaded = load_encoder(name)
    model = HVAEResolver(loaded.prior, loaded.encoder, name, loaded.recommended)
    model.to(device, DTYPES[dtype])
    return model.compile() if compile else model


def load_at_scale(models: str, scale: int, device: str | torch.device = "cpu") -> SuperResolver:
    """Load the model of a family that enlarges by `scale`.

    Args:
        models: Name, folder or Hub id, with ``{scale}`` where it stands.
        scale: The factor.
        device: Where to compute.

    Raises:
        InputError: The model has another scale.
        WeightsError: There is no such model.
    """
    model = load(models.replace("{scale}", str(scale)), device)
    if model.scale != scale:
        raise InputError(f"the model {model.name} enlarges by {model.scale}, not by {scale}")
    return model
