"""The architecture description of an HCFlow."""

import math
from dataclasses import dataclass

from ..errors import ConfigError

MAX_SCALE, MAX_STEPS = 64, 1000
"""Largest scale, and most steps or dense blocks of a level."""


@dataclass(frozen=True)
class HCFlowConfig:
    """Everything that rebuilds an `HCFlow` but its weights.

    Attributes:
        image_size: Side of the (square) high-resolution images that it was trained on, in pixels.
        scale: Factor to the low-resolution image, a power of two: one level for each halving.
        steps: Unconditional flow steps of every level.
        conditional_steps: Conditional flow steps of every level, on the part that is split off.
        hidden_channels: Inner channels of the couplings.
        features: Channels of the feature extractors; a level gives twice as many to the finer ones.
        growth: Growth of their dense blocks.
        trunks: Residual-in-residual dense blocks in the first and in the second half of each.
        lr_log_std: Natural logarithm of the standard deviation of what is left around y.
        any_size: Whether it is used for images of any size; the network takes every multiple of
            `scale`.
    """

    image_size: int
    scale: int
    steps: int = 13
    conditional_steps: int = 13
    hidden_channels: int = 64
    features: int = 64
    growth: int = 32
    trunks: tuple[int, int] = (5, 5)
    lr_log_std: float = -6.0
    any_size: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.scale <= MAX_SCALE or self.scale & (self.scale - 1):
            raise ConfigError(
                f"scale must be a power of two from 2 to {MAX_SCALE}, not {self.scale}"
            )
        if self.image_size < 1 or self.image_size % self.scale:
            raise ConfigError(f"scale {self.scale} does not divide image_size {self.image_size}")
        for name in ("hidden_channels", "features", "growth"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.steps < 0 or self.conditional_steps < 0 or min(self.trunks) < 0:
            raise ConfigError("steps, conditional_steps and trunks must not be negative")
        if max(self.steps, self.conditional_steps, *self.trunks) > MAX_STEPS:
            raise ConfigError(f"steps, conditional_steps and trunks must be at most {MAX_STEPS}")
        if not math.isfinite(self.lr_log_std):
            raise ConfigError(f"lr_log_std must be a number, not {self.lr_log_std}")

    @property
    def levels(self) -> int:
        """Number of levels L, one for each halving of the side."""
        return self.scale.bit_length() - 1

    @property
    def lr_size(self) -> int:
        """Side of the low-resolution images."""
        return self.image_size // self.scale

    def channels_of(self, level: int) -> tuple[int, int]:
        """Channels that a level keeps and splits off, after its squeeze; level 0 is the finest."""
        squeezed = 3 * 2 ** (level + 2)
        kept = 3 if level == self.levels - 1 else squeezed // 2
        return kept, squeezed - kept
