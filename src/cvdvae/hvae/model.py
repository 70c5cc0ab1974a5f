"""The hierarchical VAE: a bottom-up pass, a top-down pass and a likelihood.

::

    p(z) = p(z_0) ∏ p(z_l | z_<l)         q(z|x) = q(z_0|x) ∏ q(z_l | z_<l, x)
    log p(x) ≥ E_q [ log p(x|z) ] − Σ_l E_q [ KL( q(z_l | z_<l, x) ‖ p(z_l | z_<l) ) ]

(Kingma & Welling 2013 for one group, Sønderby et al. 2016 for a few, Child 2021 for many.)

Explained in docs/explanation/prior.md.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import Conditional, DiagonalGaussian
from ..gaussian.noise import GlobalNoise, Noise
from .bottom_up import BottomUp
from .config import HVAEConfig
from .layers import pointwise
from .likelihood import likelihood_of
from .notation import bottom_up_strides, parse_bottom_up, parse_top_down
from .top_down import TopDown


def bits_per_dim(nats: Tensor, dims: int) -> Tensor:
    """Nats per image to bits per colour value, for images of `dims` of them."""
    return nats / (dims * math.log(2))


class ELBO(NamedTuple):
    """The terms of the evidence lower bound, in nats.

    Attributes:
        log_likelihood: ``log p(x|z)`` for the drawn z, ``(N,)``.
        kl: ``KL(q(z_l | z_<l, x) ‖ p(z_l | z_<l))``, ``(N, L)``.
        dims: Number of colour values in one image, the divisor of bits/dim.
    """

    log_likelihood: Tensor
    kl: Tensor
    dims: int

    @property
    def nats(self) -> Tensor:
        """The bound itself, ``(N,)``."""
        return self.log_likelihood - self.kl.sum(1)

    @property
    def bits_per_dim(self) -> Tensor:
        """The negative bound in bits/dim, ``(N,)``: lower is better."""
        return bits_per_dim(-self.nats, self.dims)

    @property
    def kl_bits_per_dim(self) -> Tensor:
        """The part of every group in bits/dim, ``(N, L)``."""
        return bits_per_dim(self.kl, self.dims)


class Inferred(NamedTuple):
    """What the top-down pass meets in one latent group when z ~ q(z|x).

    Attributes:
        prior: ``p(z_l | z_<l)``.
        posterior: ``q(z_l | z_<l, x)``.
        z: The draw from the posterior.
    """

    prior: DiagonalGaussian
    posterior: DiagonalGaussian
    z: Tensor


class HVAE(nn.Module):
    """A hierarchical VAE of the very deep kind.

    Images are float in [0, 1], ``(N, C, H, W)``: of the size of the training images or, for a model
    without learned biases, of any size that the coarsest stride divides. Latents are a list of
    tensors z_0 … z_{L-1}, each ``(N, z_channels, H/s_l, W/s_l)`` at the stride s_l of its group.

    Args:
        config: The architecture.
    """

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        self.config = config
        specs = parse_bottom_up(config.bottom_up)
        self.bottom_up = BottomUp(
            specs,
            {s: config.width_at(s) for s in bottom_up_strides(specs)},
            config.channels * config.patch_size**2,
            config.bottleneck,
            config.activation,
            config.image_size,
        )
        self.top_down = TopDown(config)
        self.likelihood = likelihood_of(config)
        top_width = config.width_at(config.patch_size)
        self.gain = nn.Parameter(torch.ones(1, top_width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, top_width, 1, 1))
        self.out_conv = nn.Conv2d(top_width, self.likelihood.channels * config.patch_size**2, 1)
        # The images' mean, where that is what the network says of a pixel.
        start = config.input_mean - 0.5 if config.likelihood == "gaussian" else 0.0
        nn.init.constant_(self.out_conv.bias, start)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def groups(self) -> int:
        """Number of latent groups L."""
        return len(self.config.group_strides)

    @property
    def largest_state(self) -> float:
        """Numbers in the largest top-down state, for every pixel of an image."""
        strides = {s.stride for s in parse_top_down(self.config.top_down)}
        return max(self.config.width_at(s) / s**2 for s in strides)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size of images that this model cannot take.

        Raises:
            InputError: Not a multiple of the coarsest stride, or a model that is bound to its size.
        """
        side, multiple = self.config.image_size, self.config.multiple
        if not self.config.any_size and (height, width) != (side, side):
            raise InputError(
                f"this model is bound to images of {side}×{side} pixels by its learned biases, "
                f"and cannot take {width}×{height}"
            )
        if min(height, width) < multiple or height % multiple or width % multiple:
            raise InputError(
                f"both sides of an image must be multiples of {multiple}, not {width}×{height}"
            )

    def check_images(self, x: Tensor, values: bool = True) -> None:
        """Refuse what is not a batch of images of a size for this model with values in [0, 1].

        Args:
            x: The images.
            values: Look at them: what computes on a GPU is waited for.

        Raises:
            InputError: Wrong shape or dtype, a NaN, or a value outside [0, 1].
        """
        channels = self.config.channels
        if not torch.is_floating_point(x) or x.ndim != 4 or x.shape[1] != channels:
            raise InputError(
                f"expected float images of shape (N, {channels}, H, W), "
                f"not {x.dtype} {tuple(x.shape)}"
            )
        self.check_size(x.shape[2], x.shape[3])
        if values and not bool(((x >= 0) & (x <= 1)).all()):
            raise InputError("image values must be in [0, 1], without NaN")

    def activations(self, x: Tensor) -> dict[int, Tensor]:
        """Bottom-up activations of the images, by stride."""
        h = ((x - self.config.input_mean) / self.config.input_std).to(self.gain.dtype)
        h = F.pixel_unshuffle(h, self.config.patch_size)
        out: dict[int, Tensor] = self.bottom_up(h.contiguous(memory_format=torch.channels_last))
        return out

    def parameters_of_x(self, h: Tensor) -> Tensor:
        """Parameters of p(x|z) from the last top-down state: ``(N, P, H, W)``.

        ``W (gain · h + bias) + b``, with the gain and the bias folded into the convolution.
        """
        weight = self.out_conv.weight * self.gain
        bias = F.conv2d(self.bias, self.out_conv.weight, self.out_conv.bias)
        return F.pixel_shuffle(pointwise(h, weight, bias.flatten()), self.config.patch_size)

    def infer(
        self,
        x: Tensor,
        noise: Noise | None = None,
        temperature: float = 1.0,
        groups: int | None = None,
    ) -> tuple[Tensor, list[Inferred]]:
        """Draw z ~ q(z|x) group by group.

        Args:
            x: Images in [0, 1], ``(N, C, H, W)``.
            noise: Source of the draws; PyTorch's global generator by default.
            temperature: Factor on the posterior's standard deviations; 0 takes its means.
            groups: Only the first groups; all by default.

        Returns:
            The last top-down state, and what was met in every group.
        """
        noise = GlobalNoise() if noise is None else noise
        activations = self.activations(x)
        visited: list[Inferred] = []

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            posterior = self.posterior_of(group, h, activations)
            z = posterior.sample(noise, temperature)
            visited.append(Inferred(prior(), posterior, z))
            return z

        return self.top_down(pick, len(x), groups, (x.shape[2], x.shape[3])), visited

    def posterior_of(
        self, group: int, h: Tensor, activations: dict[int, Tensor]
    ) -> DiagonalGaussian:
        """``q(z_l | z_<l, x)`` of group l, from the state and the `activations` of x."""
        block = self.top_down.latent_blocks[group]
        return block.posterior_of(h, activations[block.spec.stride])

    def elbo(self, x: Tensor, noise: Noise | None = None) -> ELBO:
        """The evidence lower bound of images in [0, 1] with one draw z ~ q(z|x).

        Raises:
            InputError: As `check_images`; in training mode the values are not looked at.
        """
        self.check_images(x, values=not self.training)
        h, visited = self.infer(x, noise)
        log_likelihood = self.likelihood.log_prob(self.parameters_of_x(h), x)
        kl = torch.stack([v.posterior.kl(v.prior) for v in visited], dim=1)
        return ELBO(log_likelihood, kl, x[0].numel())

    @torch.no_grad()
    def encode(
        self,
        x: Tensor,
        noise: Noise | None = None,
        temperature: float = 1.0,
        groups: int | None = None,
    ) -> list[Tensor]:
        """The latents of `infer`, for images that are checked first.

        Raises:
            InputError: As `check_images`, a negative temperature, or groups that there are not.
        """
        self.check_images(x)
        self._temperatures(temperature)
        whole = hasattr(groups, "__index__") and not isinstance(groups, bool)
        if groups is not None and not (whole and 1 <= groups <= self.groups):
            raise InputError(f"groups must be a whole number from 1 to {self.groups}, not {groups}")
        return [v.z for v in self.infer(x, noise, temperature, groups)[1]]

    def decode(
        self,
        latents: Sequence[Tensor],
        batch: int | None = None,
        temperature: float | Sequence[float] = 1.0,
        noise: Noise | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Draw from ``p(z_≥k | z_<k)`` and return the parameters of p(x|z), with all the latents.

        Args:
            latents: The given first groups z_<k; may be empty, may be all L.
            batch: Number of images; that of the latents where some are given.
            temperature: Factor on the prior's standard deviations, for all groups or per group.
            noise: Source of the draws; PyTorch's global generator by default.
            size: Height and width of the images, where no latents are given; by default that of
                the training images.

        Returns:
            Parameters ``(N, P, H, W)`` for `likelihood`, and the L latents.

        Raises:
            InputError: A negative temperature, a number of them that is not L, more latents or ones
                of another shape, or a size that the model cannot take.
        """
        noise = GlobalNoise() if noise is None else noise
        if len(latents) > self.groups:
            raise InputError(f"{len(latents)} latents for {self.groups} latent groups")
        temperatures = self._temperatures(temperature)
        if any(not isinstance(z, Tensor) or z.ndim != 4 for z in latents):
            raise InputError("latents are one tensor (N, C, h, w) for every group")
        n = len(latents[0]) if len(latents) else batch
        if n is None or n < 1:
            raise InputError("say how many images to draw: at least one")
        if len(latents):
            stride = self.config.group_strides[0]
            size = (latents[0].shape[2] * stride, latents[0].shape[3] * stride)
        size = size or (self.config.image_size, self.config.image_size)
        self.check_size(*size)
        for z, stride in zip(latents, self.config.group_strides, strict=False):
            shape = (n, self.config.z_channels, size[0] // stride, size[1] // stride)
            if z.shape != shape:
                raise InputError(f"a latent group has shape {tuple(z.shape)}, not {shape}")
        drawn: list[Tensor] = []

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            given = group < len(latents)
            drawn.append(latents[group] if given else prior.sample(noise, temperatures[group]))
            return drawn[-1]

        return self.parameters_of_x(self.top_down(pick, n, size=size)), drawn

    @torch.no_grad()
    def sample(
        self,
        batch: int = 1,
        latents: Sequence[Tensor] = (),
        temperature: float | Sequence[float] = 1.0,
        noise: Noise | None = None,
        mean: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Draw images from the prior, or from ``p(x | z_<k)`` for given first groups.

        Args:
            batch: Number of images, where no latents are given.
            latents: The given first groups.
            temperature: As for `decode`.
            noise: Source of the draws.
            mean: Return the mean of p(x|z) instead of a draw from it.
            size: As for `decode`.

        Returns:
            Images in [0, 1], ``(N, C, H, W)``.
        """
        noise = GlobalNoise() if noise is None else noise
        parameters, _ = self.decode(latents, batch, temperature, noise, size)
        if mean:
            return self.likelihood.mean(parameters)
        return self.likelihood.sample(parameters, noise)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Mean of p(x|z) for a draw z ~ q(z|x), as images in [0, 1]."""
        return self.sample(latents=self.encode(x, noise), mean=True)

    def _temperatures(self, temperature: float | Sequence[float]) -> list[float]:
        several = isinstance(temperature, Sequence) or getattr(temperature, "ndim", 0) == 1
        each: Any = temperature if several else [temperature] * self.groups
        values = [float(t) for t in each]
        if len(values) != self.groups:
            raise InputError(f"{len(values)} temperatures for {self.groups} latent groups")
        if not all(math.isfinite(t) and t >= 0 for t in values):
            raise InputError("a temperature must be a number that is not negative")
        return values
