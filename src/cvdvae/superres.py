"""The main job: a low-resolution image in, samples of the high-resolution images behind it out.

::

    z_<k ~ q_ψ(z_<k | y)        the LR encoder, at its own temperature
    z_≥k ~ p(z_≥k | z_<k)       the prior, its standard deviations times τ
    x    = E[x | z]             the mean of the likelihood
    x    ← the nearest image in [0, 1] with Hx = y

(Prost, Houdard, Almansa & Papadakis 2022). A conditional flow, x ~ p(x|y), takes the place of the
first three lines in `FlowResolver`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from .errors import InputError
from .hcflow import HCFlow
from .hvae import HVAE, DiagonalGaussian, SeededNoise
from .hvae.layers import Block
from .lr_encoder import LREncoder
from .recipe import Recipe, read_recipe
from .resolver import Drawer, SuperResolver
from .result import SuperResolution
from .sampling import Sampling
from .steering import noise_of
from .steps import Others, Vary
from .store import Expected, FlowRecord, Recommended, find, load_encoder, load_flow, read_record

VARIANTS = 128
"""How many shapes of blocks a large model may have, each of which is compiled by itself."""


class HVAEResolver(SuperResolver):
    """A prior and an LR encoder on it.

    Args:
        prior: The hierarchical VAE.
        encoder: The LR encoder trained on that prior.
        name: What results call the model.
        recommended: Temperatures for draws that name none.
        expected: What it makes of proper low-resolution images, for `cvdvae.doubt`.
    """

    def __init__(
        self,
        prior: HVAE,
        encoder: LREncoder,
        name: str,
        recommended: Recommended = Recommended(),
        expected: Expected | None = None,
    ) -> None:
        super().__init__(name, prior.config.image_size, encoder.config.lr_size, recommended)
        self.prior, self.encoder, self.expected = prior, encoder, expected

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

    def check_steps(self, sampling: Sampling) -> None:
        """Refuse steps of steering that do not fit this model.

        Raises:
            InputError: More latent groups are to stay than there are, or a region has another size
                than the images.
        """
        for step in sampling.steps:
            if isinstance(step, Others) and not 0 <= step.groups <= self.prior.groups:
                raise InputError(
                    f"{self.name} has {self.prior.groups} latent groups: "
                    f"{step.groups} of them cannot stay"
                )
            if isinstance(step, Vary) and step.mask.shape != self.degradation.hr_size:
                (height, width), (side, _) = step.mask.shape, self.degradation.hr_size
                raise InputError(f"the region has {width}×{height} pixels, not {side}×{side}")

    def noise(self, sampling: Sampling, indices: range) -> SeededNoise:
        """The noise of some samples, steered where the sampling says so."""
        return noise_of(self.prior.config, sampling, indices)

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

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "FlowResolver":
        """Move the weights.

        Raises:
            InputError: There is no such device here, or the dtype is not float32.
        """
        if dtype not in (None, torch.float32):
            raise InputError(f"the flow {self.name} computes in fp32: in bf16 no inverse is one")
        super().to(device, dtype)
        return self

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
        compile: As `HVAEResolver.compile`.

    Raises:
        WeightsError: Unknown (the message lists the bundled ones), damaged, or of another kind.
        ConfigError: Its configuration does not describe a model.
        InputError: There is no such device, dtype is something else, or a flow is to be
            compiled or to compute in bf16.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    if isinstance(read_record(find(name)), FlowRecord):
        if compile:
            raise InputError(f"the flow {name} cannot be compiled")
        flow, suits = load_flow(name)
        return FlowResolver(flow, name, suits).to(device, DTYPES[dtype])
    prior, encoder, recommended, expected = load_encoder(name)
    model = HVAEResolver(prior, encoder, name, recommended, expected)
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


def replay(recipe: str | Path | Recipe, device: str | torch.device = "cpu") -> SuperResolution:
    """Draw a result again, from its `result.json`.

    Args:
        recipe: Path of the file, or what was read from it.
        device: Where to compute.

    Raises:
        InputError: There is no such file, or it holds no recipe.
        WeightsError: The model that it names is unknown here.

    Example:
        >>> cvdvae.replay("out/result.json").save("again/")  # doctest: +SKIP
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe)
    return load(recipe.model, device).run(recipe.y, recipe.sampling)
