"""The architecture description of a hierarchical VAE, and its block notation.

A network is written as a comma-separated list of tokens, as for VD-VAE (Child 2021); R, S and N are
integers and resolutions are counted after `patch_size`:

=========  ==========================================================================
bottom-up  ``RxN``  N residual blocks at resolution R
           ``RdN``  one residual block at R, then average pooling by N
top-down   ``RxN``  N blocks at R, each with a latent group
           ``RmS``  one block with a latent group that first adds the state at S, upsampled to R
           ``RrN``  N residual blocks at R without a latent
           ``RuS``  one block without a latent that first adds the state at S, upsampled to R
=========  ==========================================================================

So ``"1x1,4u1,4r1,8u4,8r1"`` is a plain VAE with one latent group, and ``"1x1,4m1,4x2,8m4,8x4"`` is
a very deep one with eight.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..errors import ConfigError


class BottomUpSpec(NamedTuple):
    """One residual block at `resolution`, followed by average pooling by `down`."""

    resolution: int
    down: int


class TopDownSpec(NamedTuple):
    """One top-down block: where it works, what it first adds, whether it holds a latent group."""

    resolution: int
    source: int | None
    latent: bool


def parse_bottom_up(text: str) -> list[BottomUpSpec]:
    """Read a bottom-up block list.

    Example:
        >>> parse_bottom_up("4x1,4d2,2x1")
        [BottomUpSpec(resolution=4, down=1), BottomUpSpec(resolution=4, down=2), \
BottomUpSpec(resolution=2, down=1)]
    """
    blocks: list[BottomUpSpec] = []
    for resolution, kind, number in _tokens(text, "xd"):
        if kind == "x":
            blocks += [BottomUpSpec(resolution, 1)] * number
        else:
            blocks.append(BottomUpSpec(resolution, number))
    current = blocks[0].resolution
    for block in blocks:
        if block.resolution != current or current % block.down:
            raise ConfigError(
                f"bottom-up blocks '{text}': a block at {block.resolution} "
                f"cannot follow resolution {current}"
            )
        current //= block.down
    return blocks


def parse_top_down(text: str) -> list[TopDownSpec]:
    """Read a top-down block list.

    Example:
        >>> parse_top_down("1x1,4u1")
        [TopDownSpec(resolution=1, source=None, latent=True), \
TopDownSpec(resolution=4, source=1, latent=False)]
    """
    blocks: list[TopDownSpec] = []
    seen: set[int] = set()
    for resolution, kind, number in _tokens(text, "xmru"):
        if kind in "xr":
            blocks += [TopDownSpec(resolution, None, kind == "x")] * number
        else:
            if number not in seen or resolution % number or resolution <= number:
                raise ConfigError(
                    f"top-down blocks '{text}': resolution {resolution} cannot take "
                    f"its state from {number}"
                )
            blocks.append(TopDownSpec(resolution, number, kind == "m"))
        seen.add(resolution)
    if not any(block.latent for block in blocks):
        raise ConfigError(f"top-down blocks '{text}' hold no latent group")
    return blocks


def _tokens(text: str, kinds: str) -> list[tuple[int, str, int]]:
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


@dataclass(frozen=True)
class HVAEConfig:
    """Everything that rebuilds an `HVAE` but its weights.

    Attributes:
        image_size: Side of the (square) images, in pixels.
        encoder: Bottom-up blocks, see the module's notation.
        decoder: Top-down blocks, see the module's notation.
        width: Channels of the hidden state.
        widths: Channels at single resolutions, where they differ from `width`.
        bottleneck: Inner channels of a block, as a fraction of its width.
        z_channels: Channels of every latent group.
        mixtures: Components of the discretized mixture of logistics.
        bits: Bits per channel that the likelihood models, 1 to 8.
        levels: Where the levels of fewer than 8 bits lie, see `DiscretizedLogisticMixture`.
        patch_size: Side of the square patches that are folded into channels (space to depth) before
            the first layer and unfolded after the last.
        bias_max_resolution: The top-down states up to this resolution start from a learned bias,
            the others from zero.
        activation: Nonlinearity of the blocks.
        input_mean: Mean that is subtracted from the network's input, in [0, 1].
        input_std: Standard deviation that the input is then divided by.
    """

    image_size: int
    encoder: str
    decoder: str
    width: int
    widths: dict[int, int] = field(default_factory=dict)
    bottleneck: float = 0.25
    z_channels: int = 16
    mixtures: int = 10
    bits: int = 8
    levels: Literal["spread", "floored"] = "spread"
    patch_size: int = 1
    bias_max_resolution: int = 64
    activation: Literal["gelu", "silu"] = "gelu"
    input_mean: float = 0.5
    input_std: float = 0.25

    def __post_init__(self) -> None:
        for name in ("image_size", "width", "z_channels", "mixtures", "patch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"bits must be 1 to 8, not {self.bits}")
        if self.input_std <= 0 or self.bottleneck <= 0:
            raise ConfigError("input_std and bottleneck must be positive")
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"patch_size {self.patch_size} does not divide image_size {self.image_size}"
            )
        bottom_up, top_down = parse_bottom_up(self.encoder), parse_top_down(self.decoder)
        top = self.image_size // self.patch_size
        if bottom_up[0].resolution != top or top_down[-1].resolution != top:
            raise ConfigError(
                f"the encoder must start and the decoder end at resolution {top} "
                f"(image_size / patch_size)"
            )
        for block in top_down:
            if self.inner_width_at(block.resolution) < 1:
                raise ConfigError(
                    f"the bottleneck leaves no channel at resolution {block.resolution}"
                )
            if block.source and self.width_at(block.source) < self.width_at(block.resolution):
                raise ConfigError(
                    f"resolution {block.resolution} is wider than {block.source}, "
                    f"whose state it takes"
                )
        missing = {b.resolution for b in top_down if b.latent} - encoder_resolutions(bottom_up)
        if missing:
            raise ConfigError(f"latent groups at {sorted(missing)}, where the encoder has no block")

    def width_at(self, resolution: int) -> int:
        """Channels of the hidden state at `resolution`."""
        return self.widths.get(resolution, self.width)

    def inner_width_at(self, resolution: int) -> int:
        """Inner channels of the blocks at `resolution`."""
        return int(self.width_at(resolution) * self.bottleneck)

    @property
    def group_resolutions(self) -> list[int]:
        """Resolution of every latent group z_0 … z_{L-1}, in order."""
        return [block.resolution for block in parse_top_down(self.decoder) if block.latent]


def encoder_resolutions(blocks: list[BottomUpSpec]) -> set[int]:
    """Resolutions at which a bottom-up pass leaves an activation."""
    return {b.resolution for b in blocks} | {b.resolution // b.down for b in blocks}
