"""The architecture description of a hierarchical VAE, and its block notation.

A network is written as a comma-separated list of tokens, as for VD-VAE (Child 2021), but in strides
instead of resolutions, so that one description serves images of any size. R, S and N are integers;
the state at stride R has one position for every R×R pixels of the image:

=========  ==========================================================================
bottom-up  ``RxN``  N residual blocks at stride R
           ``RdN``  one residual block at R, then average pooling by N
top-down   ``RxN``  N blocks at R, each with a latent group
           ``RmS``  one block with a latent group that first adds the state at S, upsampled to R
           ``RrN``  N residual blocks at R without a latent
           ``RuS``  one block without a latent that first adds the state at S, upsampled to R
=========  ==========================================================================

So, for images of 8×8 pixels, ``"8x1,2u8,2r1,1u2,1r1"`` is a plain VAE with one latent group, and
``"8x1,2m8,2x2,1m2,1x4"`` is a very deep one with eight.
"""

import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ..errors import ConfigError
from ..gaussian import MAX_LOG_STD


class BottomUpSpec(NamedTuple):
    """One residual block at `stride`, followed by average pooling by `down`."""

    stride: int
    down: int

    def __str__(self) -> str:
        return f"{self.stride}{'xd'[self.down > 1]}{self.down}"


class TopDownSpec(NamedTuple):
    """One top-down block: where it works, what it first adds, whether it holds a latent group."""

    stride: int
    source: int | None
    latent: bool

    def __str__(self) -> str:
        kind = ("xm" if self.latent else "ru")[self.source is not None]
        return f"{self.stride}{kind}{self.source or 1}"


def parse_bottom_up(text: str) -> list[BottomUpSpec]:
    """Read a bottom-up block list.

    Example:
        >>> parse_bottom_up("2x1,2d2,4x1")
        [BottomUpSpec(stride=2, down=1), BottomUpSpec(stride=2, down=2), \
BottomUpSpec(stride=4, down=1)]
    """
    blocks: list[BottomUpSpec] = []
    for stride, kind, number in parse_tokens(text, "xd"):
        if kind == "x":
            blocks += [BottomUpSpec(stride, 1)] * number
        else:
            blocks.append(BottomUpSpec(stride, number))
    current = blocks[0].stride
    for block in blocks:
        if block.stride != current:
            raise ConfigError(
                f"bottom-up blocks '{text}': a block at stride {block.stride} "
                f"cannot follow stride {current}"
            )
        current *= block.down
    return blocks


def parse_top_down(text: str) -> list[TopDownSpec]:
    """Read a top-down block list.

    Example:
        >>> parse_top_down("4x1,1u4")
        [TopDownSpec(stride=4, source=None, latent=True), \
TopDownSpec(stride=1, source=4, latent=False)]
    """
    blocks: list[TopDownSpec] = []
    seen: set[int] = set()
    for stride, kind, number in parse_tokens(text, "xmru"):
        if kind in "xr":
            blocks += [TopDownSpec(stride, None, kind == "x")] * number
        else:
            if number not in seen or number % stride or number <= stride:
                raise ConfigError(
                    f"top-down blocks '{text}': stride {stride} cannot take its state from {number}"
                )
            blocks.append(TopDownSpec(stride, number, kind == "m"))
        seen.add(stride)
    if not any(block.latent for block in blocks):
        raise ConfigError(f"top-down blocks '{text}' hold no latent group")
    return blocks


def parse_tokens(text: str, kinds: str) -> list[tuple[int, str, int]]:
    """Read tokens: numbers from 1 with one of the letters between, or a `ConfigError`."""
    tokens = []
    for token in text.split(","):
        match = re.fullmatch(rf"\s*(\d+)([{kinds}])(\d+)\s*", token)
        if match is None or int(match[1]) < 1 or int(match[3]) < 1:
            raise ConfigError(
                f"'{token}' in '{text}' is not a block: expected a number, one of "
                f"{', '.join(kinds)}, and a number"
            )
        tokens.append((int(match[1]), match[2], int(match[3])))
    return tokens


def strides_of_resolutions(text: str, image_size: int) -> str:
    """Rewrite a block list of the published notation, which counts resolutions, in strides.

    Example:
        >>> strides_of_resolutions("1x1,4m1,4x2", image_size=8)
        '8x1,2m8,2x2'
    """

    def stride(resolution: str) -> int:
        if int(resolution) < 1 or image_size % int(resolution):
            raise ConfigError(f"resolution {resolution} does not divide {image_size} in '{text}'")
        return image_size // int(resolution)

    tokens = []
    for token in text.split(","):
        match = re.fullmatch(r"\s*(\d+)([xdmru])(\d+)\s*", token)
        if match is None:
            raise ConfigError(f"'{token}' in '{text}' is not a block")
        last = stride(match[3]) if match[2] in "mu" else match[3]
        tokens.append(f"{stride(match[1])}{match[2]}{last}")
    return ",".join(tokens)


@dataclass(frozen=True)
class HVAEConfig:
    """Everything that rebuilds an `HVAE` but its weights.

    Attributes:
        image_size: Side of the (square) images that it is trained on, in pixels.
        bottom_up: Bottom-up blocks, see the module's notation.
        top_down: Top-down blocks, see the module's notation.
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
        channels: Channels of the images: 3 for colour, 1 for grey, or any other number.
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
        ends = {block.stride: i for i, block in enumerate(blocks)}
        check_counted(self.bottom_up, self.group_strides, self.widths, ends.keys())
        for stride, end in ends.items():
            if end < len(blocks) - 1 and stride not in {later.source for later in blocks[end:]}:
                raise ConfigError(
                    f"the top-down state at stride {stride} goes nowhere: a later block must take "
                    f"it, with m{stride} or u{stride}"
                )
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


def bottom_up_strides(blocks: list[BottomUpSpec]) -> set[int]:
    """Strides at which a bottom-up pass leaves an activation."""
    return {b.stride for b in blocks} | {b.stride * b.down for b in blocks}


def check_counted(
    bottom_up: str, groups: list[int], widths: Mapping[int, int], others: Set[int] = frozenset()
) -> None:
    """Refuse widths and bottom-up blocks that would count for nothing.

    Args:
        bottom_up: The blocks.
        groups: Strides of the latent groups that see them.
        widths: Channels at single strides.
        others: Strides that occur elsewhere in the network.

    Raises:
        ConfigError: There are such.
    """
    strides = bottom_up_strides(parse_bottom_up(bottom_up))
    odd = sorted(widths.keys() - strides - others)
    if odd:
        raise ConfigError(f"widths at strides {odd}, where there is no block")
    if max(strides) > max(groups):
        raise ConfigError(
            f"the bottom-up pass goes on to stride {max(strides)}, where no latent group sees it: "
            f"none is coarser than {max(groups)}"
        )
