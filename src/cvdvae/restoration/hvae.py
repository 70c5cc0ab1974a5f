"""The main job: a low-resolution image in, samples of the high-resolution images behind it out.

::

    z_<k ~ q_ψ(z_<k | y)        the LR encoder, at its own temperature
    z_≥k ~ p(z_≥k | z_<k)       the prior, its standard deviations times τ
    x    = E[x | z]             the mean of the likelihood
    x    ← the nearest image in [0, 1] with Hx = y

(Prost, Houdard, Almansa & Papadakis 2022). A conditional flow, x ~ p(x|y), takes the place of the
first three lines in `FlowResolver`.

Explained in docs/explanation/method.md.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checkpoints.loading import pixel_std_of
from ..checkpoints.records import Expected, Recommended
from ..errors import InputError
from ..gaussian import Conditional
from ..gaussian.noise import Inside, Noise, Window
from ..hvae import HVAE
from ..hvae.layers import Block
from ..hvae.lr_encoder import LREncoder, drawn_mean
from .bands import Drawer
from .checks import check_profile
from .edit_noise import noise_of
from .sampler import SuperResolver
from .settings import TEMPERATURES, Grids, Sampling
from .tolerance import PhotonNoise
from .workers import held

VARIANTS = 128
"""How many shapes of blocks a large model may have, each of which is compiled by itself."""


class HVAEResolver(SuperResolver):
    """A prior and an LR encoder on it.

    Args:
        prior: The hierarchical VAE.
        encoder: The LR encoder trained on that prior.
        name: What results call the model.
        scale: The factor to enlarge by, one of the encoder's; its first by default.
        recommended: Temperatures for draws that name none.
        expected: What it makes of proper low-resolution images, for `cvdvae.input_check`.
        photons: How many photons a value of 1 stands for in the low-resolution images that it was
            trained on; 0 where they have no noise.
        judge: The LR encoder on the same prior that bounds how likely y is, for
            `cvdvae.input_check`; by default the one that draws.

    Raises:
        InputError: The encoder does not enlarge by this factor.
    """

    def __init__(
        self,
        prior: HVAE,
        encoder: LREncoder,
        name: str,
        scale: int | None = None,
        recommended: Recommended = Recommended(),
        expected: Expected | None = None,
        photons: float = 0.0,
        judge: LREncoder | None = None,
    ) -> None:
        scales = encoder.config.scales
        scale = scales[0] if scale is None else scale
        if scale not in scales:
            raise InputError(f"{name} enlarges by {', '.join(map(str, scales))}, not by {scale}")
        config = prior.config
        noise = PhotonNoise(photons, pixel_std_of(prior) / 255) if photons else None
        size = config.image_size
        super().__init__(name, scale, recommended, size, config.any_size, config.channels, noise)
        self.prior, self.encoder, self.expected = prior, encoder, expected
        self.judge = encoder if judge is None else judge

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The prior, the LR encoder, and its judge where that is another."""
        return tuple(dict.fromkeys((self.prior, self.encoder, self.judge)))

    @property
    def largest_state(self) -> float:
        """That of the prior's top-down pass."""
        return self.prior.largest_state

    @property
    def one_temperature(self) -> bool:
        """Where the encoder gives all groups."""
        return self.encoder.groups == self.prior.groups

    @property
    def grids(self) -> Grids:
        """Temperatures that calibration tries, for the prior's groups where it draws any."""
        return Grids(() if self.one_temperature else TEMPERATURES, TEMPERATURES)

    @property
    def group_resolutions(self) -> list[int]:
        """Those of the prior's groups."""
        return list(self.prior.config.group_resolutions)

    def evidence(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """From the means of all groups, as the judge tells them, in one pass."""
        y, judge = y.to(self.device), self.judge
        of_y = judge.terms(y, self.scale)
        height, width = (self.scale * side for side in y.shape[2:])
        terms: list[Tensor] = []

        def pick(group: int, h: Tensor, p: Conditional) -> Tensor:
            base = p()
            if group >= judge.groups:
                return base.mean
            posterior = judge.posterior_of(group, h, Conditional.known(base), of_y)()
            terms.append(posterior.kl(base))
            return posterior.mean

        h = self.prior.top_down(pick, len(y), size=judge.size_for(y, self.scale))
        still = self.prior.likelihood.mean(self.prior.parameters_of_x(h))[..., :height, :width]
        degradation = self.degradation_of((y.shape[2], y.shape[3]))
        off = degradation.A(still.cpu()) - y.cpu()  # there are devices without float64
        return torch.stack(terms).cpu().double().sum(0), off.double()

    def drawer(self, y: Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        """Run the LR encoder's bottom-up pass.

        Args:
            y: The image, or what a tile sees of it.
            sampling: How to draw.
            inside: Rows and columns of the high-resolution images that are wanted.
        """
        size = self.encoder.size_for(y, self.scale)
        places = self.prior.top_down.places(size, inside)
        terms = [held(term) for term in self.encoder.terms(y, self.scale, places)]
        given = (self.prior, self.encoder, terms)
        tau = (sampling.temperature, sampling.encoder_temperature)

        def draw(noise: Noise, n: int) -> Tensor:
            return drawn_mean(*given, n, size, noise, *tau, sampling.profile, inside, marked=True)

        return draw

    def check_sampling(self, sampling: Sampling, size: tuple[int, int]) -> None:
        """Refuse what does not fit this model.

        Raises:
            InputError: More latent groups are to stay than there are, a region has another size
                than the images, or the profile has not a factor for every stride.
        """
        check_profile(sampling.profile, self.prior.config.group_strides)
        for step in sampling.steps:
            step.check(self.prior.groups, size)

    @property
    def tile_step(self) -> int:
        """Tiles begin where both a pixel of y and a position of the coarsest group begin."""
        return math.lcm(self.scale, self.encoder.multiple)

    def noise(self, sampling: Sampling, indices: Sequence[int], window: Window) -> Noise:
        """As in `SuperResolver`, steered where the sampling says so."""
        height, width = self.prior.config.padded(*window[2:])
        window = window._replace(height=height, width=width)
        return noise_of(self.prior.config, sampling, indices, window)

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
