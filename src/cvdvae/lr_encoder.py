"""The stochastic low-resolution encoder ``q_ψ(z_<k | y) = ∏_{l<k} q_ψ(z_l | z_<l, y)``.

It has a bottom-up pass of its own over y, and in each of the first k latent groups a head beside
the prior's, which sees the prior's top-down state (and so z_<l). The prior is frozen. Trained on::

    E_{q(z|x)} Σ_{l<k} KL( q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y) )

(Prost, Houdard, Almansa & Papadakis 2022, equation 11). The state always comes from z ~ q(z|x), so
no gradient passes through the prior, and it runs without a graph.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import ConfigError
from .hvae import HVAE, DiagonalGaussian, GlobalNoise, HVAEConfig, Noise
from .hvae.bottom_up import BottomUp
from .hvae.config import encoder_resolutions, parse_bottom_up
from .hvae.layers import Block

MAX_WIDENING = 0.25
"""Bound on how much wider than the prior a relative head may be, as a logarithm: knowing y hardly
ever makes z less certain, and a head that says so is out of its depth."""


@dataclass(frozen=True)
class LREncoderConfig:
    """Everything that rebuilds an `LREncoder` on a given prior.

    Attributes:
        lr_size: Side of the low-resolution images y.
        encoder: Bottom-up blocks over y, in the notation of `cvdvae.hvae.config`. Where they start
            above `lr_size`, y is first interpolated to that resolution.
        width: Channels of the bottom-up pass.
        widths: Channels at single resolutions, where they differ from `width`.
        groups: Number k of latent groups that the encoder gives; 0 takes every group whose
            resolution is at most that of y.
        bottleneck: Inner channels of a bottom-up block, as a fraction of its width.
        head_width: Inner channels of a head, as a fraction of the prior's width there.
        relative: The heads give the difference to the prior's mean and log standard deviation, and
            start at zero: training begins at ``q_ψ = p``. Otherwise they give both directly.
        activation: Nonlinearity of the blocks.
    """

    lr_size: int
    encoder: str
    width: int
    widths: dict[int, int] = field(default_factory=dict)
    groups: int = 0
    bottleneck: float = 0.25
    head_width: float = 0.5
    relative: bool = True
    activation: Literal["gelu", "silu"] = "silu"

    def __post_init__(self) -> None:
        start = parse_bottom_up(self.encoder)[0].resolution
        if self.lr_size < 1 or start < self.lr_size:
            raise ConfigError(f"the blocks start at {start}, below lr_size {self.lr_size}")
        if self.width < 1 or self.bottleneck <= 0 or self.head_width <= 0 or self.groups < 0:
            raise ConfigError(
                "width, bottleneck and head_width must be positive, groups not negative"
            )

    def groups_of(self, prior: HVAEConfig) -> int:
        """Number k of groups on this prior.

        Raises:
            ConfigError: k is not between 1 and L, or the blocks leave out one of its resolutions.
        """
        resolutions = prior.group_resolutions
        if prior.image_size % self.lr_size:
            raise ConfigError(
                f"lr_size {self.lr_size} does not divide the prior's image size {prior.image_size}"
            )
        k = self.groups or sum(r <= self.lr_size for r in resolutions)
        if not 1 <= k <= len(resolutions):
            raise ConfigError(f"groups must be 1 to {len(resolutions)} on this prior, not {k}")
        missing = set(resolutions[:k]) - encoder_resolutions(parse_bottom_up(self.encoder))
        if missing:
            raise ConfigError(
                f"the LR encoder has no block at {sorted(missing)}, where the prior "
                f"has latent groups"
            )
        return k


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
        self.resolutions = prior.group_resolutions[: self.groups]
        self.input_mean, self.input_std = prior.input_mean, prior.input_std
        specs = parse_bottom_up(config.encoder)
        self.start = specs[0].resolution
        widths = {r: config.widths.get(r, config.width) for r in encoder_resolutions(specs)}
        self.bottom_up = BottomUp(specs, widths, 3, config.bottleneck, config.activation)
        self.heads = nn.ModuleList(
            Block(
                prior.width_at(r) + widths[r],
                int(prior.width_at(r) * config.head_width),
                2 * prior.z_channels,
                r,
                config.activation,
                last_scale=0 if config.relative else 1,
            )
            for r in self.resolutions
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def activations(self, y: Tensor) -> dict[int, Tensor]:
        """Bottom-up activations by resolution, of y in [0, 1], ``(N, 3, lr_size, lr_size)``."""
        h = ((y - self.input_mean) / self.input_std).to(self.bottom_up.in_conv.weight.dtype)
        if self.start != self.config.lr_size:
            h = F.interpolate(h, (self.start, self.start), mode="bicubic")
        out: dict[int, Tensor] = self.bottom_up(h.contiguous(memory_format=torch.channels_last))
        return out

    def posterior_of(
        self,
        group: int,
        h: Tensor,
        prior: Callable[[], DiagonalGaussian],
        activations: dict[int, Tensor],
    ) -> DiagonalGaussian:
        """``q_ψ(z_l | z_<l, y)`` of one group.

        Args:
            group: Index l < k.
            h: The prior's top-down state, which holds z_<l.
            prior: Gives ``p(z_l | z_<l)``; called only by relative heads.
            activations: From `activations`; a batch of one is shared by all rows of `h`.
        """
        statistics = DiagonalGaussian.from_channels(
            self.heads[group](h, activations[self.resolutions[group]])
        )
        if not self.config.relative:
            return statistics
        narrower = statistics._replace(log_std=statistics.log_std.clamp(max=MAX_WIDENING))
        return narrower.relative_to(prior())


def lr_encoder_kl(
    prior: HVAE, encoder: LREncoder, x: Tensor, y: Tensor, noise: Noise | None = None
) -> Tensor:
    """The training loss of the LR encoder, before averaging.

    Args:
        prior: The frozen prior; it runs without a graph.
        encoder: The encoder that is trained.
        x: High-resolution images in [0, 1].
        y: Their low-resolution images in [0, 1].
        noise: Source of the draw z ~ q(z|x).

    Returns:
        ``KL(q(z_l | z_<l, x) ‖ q_ψ(z_l | z_<l, y))`` in nats, ``(N, k)``.
    """
    noise = noise or GlobalNoise()
    activations_of_y = encoder.activations(y)
    with torch.no_grad():
        activations_of_x = prior.activations(x)
    terms: list[Tensor] = []

    def pick(group: int, h: Tensor, p: Callable[[], DiagonalGaussian]) -> Tensor:
        posterior = prior.posterior_of(group, h, activations_of_x)
        with torch.set_grad_enabled(wanted):
            terms.append(posterior.kl(encoder.posterior_of(group, h, p, activations_of_y)))
        return posterior.sample(noise)

    wanted = torch.is_grad_enabled()
    with torch.no_grad():
        prior.top_down(pick, len(x), encoder.groups)
    return torch.stack(terms, dim=1)
