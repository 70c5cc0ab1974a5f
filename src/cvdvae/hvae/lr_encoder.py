"""The stochastic low-resolution encoder ``q_ψ(z_<k | y) = ∏_{l<k} q_ψ(z_l | z_<l, y)``.

It has a bottom-up pass of its own over y, and in each of the first k latent groups a head beside
the prior's, which sees the prior's top-down state (and so z_<l). The prior is frozen. Trained on::

    E_{q(z|x)} Σ_{l<k} KL( q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y) )

(Prost, Houdard, Almansa & Papadakis 2022, equation 11). The state always comes from z ~ q(z|x), so
no gradient passes through the prior, and it runs without a graph.

Explained in docs/explanation/lr_encoder.md.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import Conditional, DiagonalGaussian
from ..gaussian.noise import GlobalNoise, Inside, Noise, NoiseOfPart, Window
from . import HVAE, HVAEConfig
from .bottom_up import BottomUp
from .config import LREncoderConfig
from .layers import Block, pointwise
from .notation import bottom_up_strides, parse_bottom_up, parse_pyramid
from .pyramid import Pyramid

MOST_STATE = 1e4
"""Where the last top-down state of a draw is beyond this, one latent far outside of what the prior
knows has driven those after it ever further out, and no image comes of it: states of images, and
of noise and of patterns of black and white, have values of ten to three hundred."""
MAX_WIDENING = 0.25
"""Bound on how much wider than the prior a relative head may be, as a logarithm: knowing y hardly
ever makes z less certain, and a head that says so is out of its depth."""


class LREncoder(nn.Module):
    """``q_ψ(z_<k | y)`` on a given prior.

    Args:
        config: The architecture.
        prior: The architecture of the prior.
    """

    def __init__(self, config: LREncoderConfig, prior: HVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.groups = config.groups_of(prior)
        self.strides = prior.group_strides[: self.groups]
        self.multiple, self.any_size, self.padded = prior.multiple, prior.any_size, prior.padded
        self.input_mean, self.input_std = prior.input_mean, prior.input_std
        self.max_log_std = prior.max_log_std
        specs = parse_bottom_up(config.bottom_up)
        self.start = specs[0].stride
        widths = {s: config.widths.get(s, config.width) for s in bottom_up_strides(specs)}
        channels = (prior.channels + config.conditions) * config.patch_size**2
        channels += len(config.scales) > 1
        rest = (config.bottleneck, config.activation, prior.image_size)
        self.bottom_up = BottomUp(specs, widths, channels, *rest)
        self.top_down = Pyramid(parse_pyramid(config.top_down, config.bottom_up), widths, *rest)
        self.heads = nn.ModuleList(
            Block(
                prior.width_at(s) + widths[s],
                int(prior.width_at(s) * config.head_width),
                2 * prior.z_channels,
                prior.image_size // s,
                config.activation,
                last_scale=0 if config.relative else 1,
            )
            for s in self.strides
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def size_for(self, y: Tensor, scale: int) -> tuple[int, int]:
        """Height and width of the images that the networks make of y: `scale` times its own, and
        up to the next multiples of the prior's coarsest stride."""
        return self.padded(scale * y.shape[2], scale * y.shape[3])

    def terms(
        self,
        y: Tensor,
        scale: int | None = None,
        places: Mapping[int, Inside] | None = None,
    ) -> list[Tensor]:
        """What y adds in the head of every group, computed once for all samples.

        Args:
            y: Low-resolution images in [0, 1], ``(N, C, h, w)``, with the conditions behind the
                colours.
            scale: The factor to enlarge by; needed where the encoder has several.
            places: Which rows and columns of the states matter, at the stride of every group
                (`TopDown.places`); all by default.

        Raises:
            InputError: The encoder does not enlarge by this factor.
        """
        scale = self.config.scales[0] if scale is None else scale
        if scale not in self.config.scales:
            raise InputError(f"this encoder enlarges by {self.config.scales}, not by {scale}")
        h = ((y - self.input_mean) / self.input_std).to(self.bottom_up.in_conv.weight.dtype)
        patch, size = self.config.patch_size, self.size_for(y, scale)
        up = scale * patch // self.start
        if up > 1:
            h = F.interpolate(h, (up * y.shape[2], up * y.shape[3]), mode="bicubic")
        below, right = (side * patch // self.start for side in size)
        h = F.pad(h, (0, right - h.shape[3], 0, below - h.shape[2]), mode="replicate")
        h = F.pixel_unshuffle(h, patch)
        if len(self.config.scales) > 1:
            h = torch.cat([h, torch.full_like(h[:, :1], math.log2(scale))], dim=1)
        activations = self.bottom_up(h.contiguous(memory_format=torch.channels_last))
        wanted = None if places is None else {s: places[s] for s in self.strides}
        activations = self.top_down(activations, wanted)
        heads = zip(self._heads, self.strides, strict=True)
        return [head.term_of(activations[stride]) for head, stride in heads]

    def posterior_of(
        self, group: int, h: Tensor, prior: Conditional, terms: Sequence[Tensor]
    ) -> Conditional:
        """``q_ψ(z_l | z_<l, y)`` of one group.

        Args:
            group: Index l < k.
            h: The prior's top-down state, which holds z_<l.
            prior: ``p(z_l | z_<l)``; computed only by relative heads.
            terms: From `terms`; a batch of one is shared by all rows of `h`.
        """
        head = self._heads[group]
        inner = head.inner(h, term=terms[group])

        def of(rows: slice) -> DiagonalGaussian:
            statistics = pointwise(inner[:, :, rows], head.conv4.weight, head.conv4.bias)
            if not self.config.relative:
                return DiagonalGaussian.from_channels(statistics, self.max_log_std)
            difference = DiagonalGaussian.from_channels(statistics, MAX_WIDENING)
            return difference.relative_to(prior.of(rows))

        return Conditional(of, inner, prior.channels)

    @property
    def _heads(self) -> list[Block]:
        return [head for head in self.heads if isinstance(head, Block)]


def within_bounds(h: Tensor) -> Tensor:
    """Which of the last top-down states ``(N, …)`` have no value beyond `MOST_STATE`, nor a NaN:
    ``(N,)`` bool."""
    over = tuple(range(1, h.ndim))
    return (h.amax(over) <= MOST_STATE) & (h.amin(over) >= -MOST_STATE)


def drawn_mean(
    prior: HVAE,
    encoder: LREncoder,
    terms: Sequence[Tensor],
    n: int,
    size: tuple[int, int],
    noise: Noise,
    temperature: float = 1.0,
    encoder_temperature: float = 1.0,
    profile: Sequence[float] = (),
    inside: Inside | None = None,
    marked: bool = False,
    coarsest: int = 0,
) -> Tensor:
    """``E[x | z]`` of draws ``z_<k ~ q_ψ(z_<k | y), z_≥k ~ p(z_≥k | z_<k)``.

    Args:
        prior: The prior.
        encoder: An LR encoder on it.
        terms: What y adds, from `LREncoder.terms`, in the places of what is inside.
        n: How many draws: of one y, or one for each.
        size: Height and width of the images, from `LREncoder.size_for`.
        noise: Source of the draws.
        temperature: Factor on the prior's standard deviations.
        encoder_temperature: Factor on the encoder's.
        profile: What both are multiplied by for the groups of every stride, from the coarsest on;
            1 by default.
        inside: Which rows and columns of the images are wanted; all by default.
        marked: Whether draws beyond `MOST_STATE` are NaN, as answers are to be.
        coarsest: Largest stride of the groups that pass a gradient on; 0 for all.

    Returns:
        Images in [0, 1], ``(n, C, H, W)``, or what is inside of them; differentiable where
        gradients are enabled.
    """
    inside = inside or Window(0, 0, *size).slices
    strides, patch = prior.config.group_strides, prior.config.patch_size
    places, coarse_to_fine = prior.top_down.places(size, inside), list(dict.fromkeys(strides))

    def pick(group: int, h: Tensor, p: Conditional) -> Tensor:
        stride = strides[group]
        factor = profile[coarse_to_fine.index(stride)] if profile else 1.0
        here = NoiseOfPart(noise, (size[0] // stride, size[1] // stride), places[stride])
        if group >= encoder.groups:
            return p.sample(here, factor * temperature)
        wanted = torch.is_grad_enabled() and (not coarsest or stride <= coarsest)
        with torch.set_grad_enabled(wanted):
            q = encoder.posterior_of(group, h, p, terms)
            return q.sample(here, factor * encoder_temperature)

    h = prior.top_down(pick, n, size=size, inside=inside)
    x = prior.likelihood.mean(prior.parameters_of_x(h))
    if marked:
        x = torch.where(within_bounds(h).view(-1, 1, 1, 1), x, torch.nan)
    rows, columns = (
        slice(wanted.start - patch * had.start, wanted.stop - patch * had.start)
        for wanted, had in zip(inside, places[patch], strict=True)
    )
    return x[..., rows, columns]


def lr_encoder_kl(
    prior: HVAE,
    encoder: LREncoder,
    x: Tensor,
    y: Tensor,
    noise: Noise | None = None,
    scale: int | None = None,
) -> Tensor:
    """The training loss of the LR encoder, before averaging.

    Args:
        prior: The frozen prior; it runs without a graph.
        encoder: The encoder that is trained.
        x: High-resolution images in [0, 1].
        y: Their low-resolution images in [0, 1].
        noise: Source of the draw z ~ q(z|x).
        scale: The factor between them; needed where the encoder has several.

    Returns:
        ``KL(q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y))`` in nats, ``(N, k)``.
    """
    noise = noise or GlobalNoise()
    terms_of_y = encoder.terms(y, scale)
    with torch.no_grad():
        activations_of_x = prior.activations(x)
    terms: list[Tensor] = []

    def pick(group: int, h: Tensor, p: Conditional) -> Tensor:
        posterior = prior.posterior_of(group, h, activations_of_x)
        with torch.set_grad_enabled(wanted):
            terms.append(posterior.kl(encoder.posterior_of(group, h, p, terms_of_y)()))
        return posterior.sample(noise)

    wanted = torch.is_grad_enabled()
    with torch.no_grad():
        prior.top_down(pick, len(x), encoder.groups, (x.shape[2], x.shape[3]))
    return torch.stack(terms, dim=1)
