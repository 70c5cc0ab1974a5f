"""The main job: a low-resolution image in, samples of the high-resolution images behind it out.

::

    z_<k ~ q_ψ(z_<k | y)        the LR encoder, at its own temperature
    z_≥k ~ p(z_≥k | z_<k)       the prior, its standard deviations times τ
    x    = E[x | z]             the mean of the likelihood
    x    ← the nearest image in [0, 1] with Hx = y

(Prost, Houdard, Almansa & Papadakis 2022).
"""

import time
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from .degradation import BicubicDownscaling
from .errors import InputError
from .hvae import HVAE, DiagonalGaussian, SeededNoise
from .hvae.layers import Block
from .images import to_bytes
from .lr_encoder import LREncoder
from .projection import project, round_consistently
from .result import SuperResolution
from .sampling import Sampling
from .store import Recommended, load_encoder

BATCH = 8
"""Samples drawn together at most: larger batches fall out of a CPU's cache and gain nothing."""

STATE_BYTES = 64 * 2**20
"""How large the widest top-down state of a batch may be on a CPU; a single sample's always may."""

STATES_IN_MEMORY = 16
"""How many such states must fit into what a GPU has free."""


VARIANTS = 128
"""How many shapes of blocks a large model may have, each of which is compiled by itself."""


class SuperResolver:
    """A prior and an LR encoder on it, ready to draw.

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
        self.prior, self.encoder, self.name = prior, encoder, name
        self.recommended = recommended
        size, lr_size = prior.config.image_size, encoder.config.lr_size
        self.scale = size // lr_size
        self.degradation = BicubicDownscaling((size, size), (lr_size, lr_size))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.prior.gain.device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.prior.gain.dtype

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
            self.prior.to(device, dtype or self.dtype)
            self.encoder.to(device, dtype or self.dtype)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot use the device '{device}': {reason}") from None
        return self

    def compile(self) -> "SuperResolver":
        """Compile the blocks with `torch.compile`: minutes at the first draw, for long runs on a
        GPU. On a CPU it needs a C++ compiler and gains nothing over the strips of `hvae.layers`.
        """
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, VARIANTS)
        for network in (self.prior, self.encoder):
            for block in network.modules():
                if isinstance(block, Block):
                    block.inner = torch.compile(block.inner, dynamic=False)  # type: ignore[method-assign]
        return self

    @property
    def batch(self) -> int:
        """How many samples are drawn together, by the size of a state and the memory at hand."""
        room = STATE_BYTES
        if self.device.type == "cuda":
            room = torch.cuda.mem_get_info(self.device)[0] // STATES_IN_MEMORY
        return max(1, min(BATCH, room // (self.prior.largest_state * self.dtype.itemsize)))

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
        samples, pixels = [], []
        for x in self.draw(y, sampling):
            samples.append(x)
            pixels.append(
                round_consistently(x, y, self.degradation) if sampling.consistent else to_bytes(x)
            )
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
        )

    @torch.no_grad()
    def draw(self, y: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Yield the samples batch by batch: ``(n, 3, H, W)`` in [0, 1], on the CPU."""
        y = self.check(y)
        activations = self.encoder.activations(y.to(self.device))
        for first in range(0, sampling.samples, self.batch):
            indices = range(first, min(first + self.batch, sampling.samples))
            noise = SeededNoise(sampling.seed, indices)

            def pick(
                group: int,
                h: Tensor,
                prior: Callable[[], DiagonalGaussian],
                noise: SeededNoise = noise,
            ) -> Tensor:
                if group >= self.encoder.groups:
                    return prior().sample(noise, sampling.temperature)
                posterior = self.encoder.posterior_of(group, h, prior, activations)
                return posterior.sample(noise, sampling.encoder_temperature)

            h = self.prior.top_down(pick, len(indices))
            x = self.prior.likelihood.mean(self.prior.parameters_of_x(h)).cpu()
            if sampling.consistent:
                x = project(x, y.expand(len(x), -1, -1, -1), self.degradation)
            yield x

    def check(self, y: Tensor) -> Tensor:
        """Return y as ``(1, 3, h, w)``, or refuse it.

        Raises:
            InputError: Another shape or size, not float, a NaN, or a value outside [0, 1].
        """
        size = self.encoder.config.lr_size
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
        compile: As `SuperResolver.compile`.

    Raises:
        WeightsError: Unknown (the message lists the bundled ones), damaged, or of another kind.
        ConfigError: Its configuration does not describe a model.
        InputError: There is no such device, or dtype is something else.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    loaded = load_encoder(name)
    model = SuperResolver(loaded.prior, loaded.encoder, name, loaded.recommended)
    model.to(device, DTYPES[dtype])
    return model.compile() if compile else model
