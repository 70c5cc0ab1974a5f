"""The architectures of a hierarchical VAE and of an LR encoder on one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ..errors import ConfigError
from ..gaussian import MAX_LOG_STD
from .notation import (
    bottom_up_strides,
    check_counted,
    check_states_seen,
    parse_bottom_up,
    parse_pyramid,
    parse_top_down,
    strides_of_resolutions,
)


@dataclass(frozen=True)
class HVAEConfig:
    """Everything that rebuilds an `HVAE` but its weights.

    Attributes:
        image_size: Side of the (square) images that it is trained on, in pixels.
        bottom_up: Bottom-up blocks, in the notation of `cvdvae.hvae.notation`.
        top_down: Top-down blocks, in the same notation.
        width: Channels of the hidden state.
        widths: Channels at single strides, where they differ from `width`.
        bottleneck: Inner channels of a block, as a fraction of its width.
        z_channels: Channels of every latent group.
        max_log_std: Bound on the logarithm of the standard deviations of the latents. A z far off
            the beaten track makes a state for which the next group knows nothing, and may give a z
            still further off, until an image is noise.
        likelihood: ``mixture`` of discretized logistics, or a ``gaussian`` of fixed width.
        mixtures: Components of the mixture.
        bits: Bits per channel that the mixture models, 1 to 8.
        levels: Where the levels of fewer than 8 bits lie, see `DiscretizedLogisticMixture`.
        pixel_std: Standard deviation of the Gaussian, in grey levels of 255: what of a pixel may
            be left to chance, and so what the latents must carry.
        patch_size: Side of the square patches that are folded into channels (space to depth) before
            the first layer and unfolded after the last.
        biases: Strides at which the top-down state starts from a learned bias, one value for every
            position, and not from zero: they bind the model to `image_size`.
        activation: Nonlinearity of the blocks.
        input_mean: Mean that is subtracted from the network's input, in [0, 1].
        input_std: Standard deviation that the input is then divided by. A training that starts
            from another model keeps both of that one.
        channels: Channels of the images: 3 for colour, 1 for grey, or any other number, of
            which `calibrate` and `evaluate`, which read pictures, then know nothing.
    """

    image_size: int
    bottom_up: str
    top_down: str
    width: int
    widths: dict[int, int] = field(default_factory=dict)
    bottleneck: float = 0.25
    z_channels: int = 16
    max_log_std: float = MAX_LOG_STD
    likelihood: Literal["mixture", "gaussian"] = "mixture"
    mixtures: int = 10
    bits: int = 8
    levels: Literal["spread", "floored"] = "spread"
    pixel_std: float = 2.5
    patch_size: int = 1
    biases: tuple[int, ...] = ()
    activation: Literal["gelu", "silu"] = "gelu"
    input_mean: float = 0.5
    input_std: float = 0.25
    channels: int = 3

    def __post_init__(self) -> None:
        for name in ("image_size", "channels", "width", "z_channels", "mixtures", "patch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"bits must be 1 to 8, not {self.bits}")
        if not -MAX_LOG_STD <= self.max_log_std <= MAX_LOG_STD:
            raise ConfigError(
                f"max_log_std must be from {-MAX_LOG_STD} to {MAX_LOG_STD}, not {self.max_log_std}"
            )
        for name in ("input_std", "bottleneck", "pixel_std"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if not math.isfinite(self.input_mean):
            raise ConfigError(f"input_mean must be a number, not {self.input_mean}")
        bottom_up, top_down = parse_bottom_up(self.bottom_up), parse_top_down(self.top_down)
        if bottom_up[0].stride != self.patch_size or top_down[-1].stride != self.patch_size:
            raise ConfigError(
                f"the bottom-up pass must start and the top-down pass end at stride "
                f"{self.patch_size} (patch_size)"
            )
        for stride in sorted({b.stride for b in top_down} | bottom_up_strides(bottom_up)):
            if self.image_size % stride:
                raise ConfigError(f"stride {stride} does not divide image_size {self.image_size}")
            if self.inner_width_at(stride) < 1:
                raise ConfigError(f"the bottleneck leaves no channel at stride {stride}")
        for block in top_down:
            if block.source and self.width_at(block.source) < self.width_at(block.stride):
                raise ConfigError(
                    f"stride {block.stride} is wider than {block.source}, whose state it takes"
                )
        missing = {b.stride for b in top_down if b.latent} - bottom_up_strides(bottom_up)
        if missing:
            raise ConfigError(
                f"latent groups at strides {sorted(missing)}, where the bottom-up pass has no block"
            )
        if set(self.biases) - {b.stride for b in top_down}:
            raise ConfigError(f"biases at strides {list(self.biases)}, not all of which occur")

    def check_used(self) -> None:
        """Refuse what would count for nothing: asked where a training begins, since models that
        were written with such keys are still read.

        Raises:
            ConfigError: Widths where there is no block, bottom-up blocks that no latent group sees,
                top-down blocks whose state goes nowhere, or keys of the other likelihood.
        """
        blocks = parse_top_down(self.top_down)
        strides = {block.stride for block in blocks}
        check_counted(self.bottom_up, self.group_strides, self.widths, strides)
        check_states_seen(blocks, seen={self.patch_size})
        keys = ("pixel_std",) if self.likelihood == "mixture" else ("mixtures", "bits", "levels")
        for key in keys:
            if getattr(self, key) != getattr(HVAEConfig, key):
                raise ConfigError(
                    f"{key} means nothing to the likelihood {self.likelihood}: leave it out"
                )

    @classmethod
    def of_resolutions(
        cls,
        image_size: int,
        encoder: str,
        decoder: str,
        widths: Mapping[int, int] = MappingProxyType({}),
        bias_max_resolution: int = 64,
        **rest: Any,
    ) -> "HVAEConfig":
        """From the published notation, which counts resolutions after `patch_size`.

        Args:
            image_size: As the attribute.
            encoder: Bottom-up blocks.
            decoder: Top-down blocks.
            widths: Channels at single resolutions.
            bias_max_resolution: States up to this resolution start from a learned bias.
            **rest: The other attributes.
        """
        top_down = strides_of_resolutions(decoder, image_size)
        strides = {block.stride for block in parse_top_down(top_down)}
        return cls(
            image_size=image_size,
            bottom_up=strides_of_resolutions(encoder, image_size),
            top_down=top_down,
            widths={image_size // r: w for r, w in widths.items()},
            biases=tuple(sorted(s for s in strides if image_size // s <= bias_max_resolution)),
            **rest,
        )

    def width_at(self, stride: int) -> int:
        """Channels of the hidden state at `stride`."""
        return self.widths.get(stride, self.width)

    def inner_width_at(self, stride: int) -> int:
        """Inner channels of the blocks at `stride`."""
        return int(self.width_at(stride) * self.bottleneck)

    @property
    def group_strides(self) -> list[int]:
        """Stride of every latent group z_0 … z_{L-1}, in order."""
        return [block.stride for block in parse_top_down(self.top_down) if block.latent]

    @property
    def group_resolutions(self) -> list[int]:
        """Side of every latent group of a training image, in order."""
        return [self.image_size // stride for stride in self.group_strides]

    @property
    def any_size(self) -> bool:
        """Whether images may have any size that `multiple` divides: no learned biases."""
        return not self.biases

    @property
    def multiple(self) -> int:
        """What both sides of an image must be multiples of: the coarsest stride."""
        strides = {block.stride for block in parse_top_down(self.top_down)}
        return math.lcm(*strides, *bottom_up_strides(parse_bottom_up(self.bottom_up)))

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size that is made for images of this one: the next multiples of `multiple`."""
        multiple = self.multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple


@dataclass(frozen=True)
class LREncoderConfig:
    """Everything that rebuilds an `LREncoder` on a given prior.

    Attributes:
        scales: The factors that it enlarges by. With more than one, the factor is an input of its
            own, so that one encoder serves them all.
        bottom_up: Bottom-up blocks over y, in the notation of `cvdvae.hvae.notation`: strides count
            pixels of the high-resolution image. y is first interpolated to what they start with.
        width: Channels of the bottom-up pass.
        widths: Channels at single strides, where they differ from `width`.
        groups: Number k of latent groups that the encoder gives; 0 takes every group whose stride
            is at least the scale.
        patch_size: y is interpolated to this many times the resolution of the first blocks, and
            square patches of this side are folded into channels.
        bottleneck: Inner channels of a bottom-up block, as a fraction of its width.
        head_width: Inner channels of a head, as a fraction of the prior's width there.
        conditions: Channels of the input beside the colours of y; see
            `cvdvae.restoration.evidence`, which makes them for an encoder that serves any
            degradation.
        relative: The heads give the difference to the prior's mean and log standard deviation, and
            start at zero: training begins at ``q_ψ = p``. Otherwise they give both directly.
        activation: Nonlinearity of the blocks.
        top_down: Blocks over the activations of y that lead from coarse strides back to fine ones,
            ``RuS`` and ``RrN`` of the notation; none by default. See `cvdvae.hvae.pyramid`.
    """

    scales: tuple[int, ...]
    bottom_up: str
    width: int
    widths: dict[int, int] = field(default_factory=dict)
    groups: int = 0
    patch_size: int = 1
    bottleneck: float = 0.25
    head_width: float = 0.5
    conditions: int = 0
    relative: bool = True
    activation: Literal["gelu", "silu"] = "silu"
    top_down: str = ""

    def __post_init__(self) -> None:
        start = parse_bottom_up(self.bottom_up)[0].stride
        parse_pyramid(self.top_down, self.bottom_up)
        if not self.scales or min(self.scales) < 1 or len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"scales must be different whole numbers, not {list(self.scales)}")
        for scale in self.scales:
            if self.patch_size < 1 or scale * self.patch_size % start:
                raise ConfigError(
                    f"the blocks start at stride {start}, where images of scale {scale} "
                    f"in patches of {self.patch_size} have no whole number of pixels"
                )
        positive = {name: getattr(self, name) for name in ("width", "bottleneck", "head_width")}
        positive |= {f"widths at stride {stride}": width for stride, width in self.widths.items()}
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} must be positive, not {value}")
        for name in ("groups", "conditions"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")

    @classmethod
    def of_resolutions(
        cls,
        image_size: int,
        lr_size: int,
        encoder: str,
        widths: Mapping[int, int] = MappingProxyType({}),
        **rest: Any,
    ) -> "LREncoderConfig":
        """From the published notation, which counts resolutions.

        Args:
            image_size: Side of the prior's images.
            lr_size: Side of the low-resolution images.
            encoder: Bottom-up blocks.
            widths: Channels at single resolutions.
            **rest: The attributes.

        Raises:
            ConfigError: One of the sizes does not divide the other.
        """
        if lr_size < 1 or image_size % lr_size:
            raise ConfigError(
                f"lr_size {lr_size} does not divide the prior's image size {image_size}"
            )
        return cls(
            scales=(image_size // lr_size,),
            bottom_up=strides_of_resolutions(encoder, image_size),
            widths={image_size // r: w for r, w in widths.items()},
            **rest,
        )

    def groups_of(self, prior: HVAEConfig) -> int:
        """Number k of groups on this prior.

        Raises:
            ConfigError: k is not between 1 and L, or the blocks leave out one of its strides.
        """
        strides = prior.group_strides
        k = self.groups or sum(stride >= min(self.scales) for stride in strides)
        if k == 0:
            raise ConfigError(
                f"this prior has no latent group at a stride of {min(self.scales)} or more, which "
                f"is the smallest scale: name how many groups, 1 to {len(strides)}"
            )
        if not 1 <= k <= len(strides):
            raise ConfigError(f"groups must be 1 to {len(strides)} on this prior, not {k}")
        missing = set(strides[:k]) - bottom_up_strides(parse_bottom_up(self.bottom_up))
        if missing:
            raise ConfigError(
                f"the LR encoder has no block at strides {sorted(missing)}, where the prior "
                f"has latent groups"
            )
        return k

    def check_used(self, prior: HVAEConfig) -> None:
        """Refuse what would count for nothing on this prior, as `HVAEConfig.check_used`.

        Raises:
            ConfigError: Widths where there is no block, or blocks that no group sees.
        """
        groups = prior.group_strides[: self.groups_of(prior)]
        blocks = parse_pyramid(self.top_down, self.bottom_up)
        check_states_seen(blocks, seen=set(groups))
        # Images have no whole number of states coarser than what their sides are multiples of.
        led_back = {b.source for b in blocks if b.source and not prior.multiple % b.source}
        check_counted(self.bottom_up, [*groups, *led_back], self.widths)
