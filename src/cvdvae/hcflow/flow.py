"""HCFlow: an image and its low-resolution image, as a sequence of invertible levels.

::

    x = z_0 → level 0 → (z_1, a_0),  z_1 → level 1 → (z_2, a_1),  …  z_L ≈ y
    log p(x|y) = log N(z_L; y, σ²) + Σ_l log p(a_l | z_(l+1), coarser features) + Σ log|det|

A level squeezes space into channels, runs flow steps, and splits the channels: one part goes on,
the other, a_l, holds the detail of that scale and is modelled by a conditional flow (Liang et al.
2021, equations 4 to 8). To sample, start from z_L = y and add the details, from coarse to fine.

Explained in docs/explanation/flow.md.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..gaussian import DiagonalGaussian
from ..gaussian.noise import Noise
from .config import HCFlowConfig
from .networks import Features, ZeroConv
from .transforms import FlowStep, Steps


class Detail(nn.Module):
    """``p(a | features)``: conditional flow steps to a Gaussian that the features give.

    Args:
        channels: Of a.
        condition: Channels of the features.
        config: The architecture.
    """

    def __init__(self, channels: int, condition: int, config: HCFlowConfig) -> None:
        super().__init__()
        self.steps = Steps(
            FlowStep(channels, condition, config.hidden_channels)
            for _ in range(config.conditional_steps)
        )
        self.base = ZeroConv(condition, 2 * channels)

    def gaussian(self, u: Tensor) -> DiagonalGaussian:
        """The base distribution."""
        out = self.base(u)
        out = out.to(torch.promote_types(out.dtype, torch.float32))
        return DiagonalGaussian(out[:, 0::2], out[:, 1::2])

    def log_prob(self, a: Tensor, u: Tensor) -> Tensor:
        """Log-density in nats, ``(N,)``."""
        z, log_det = self.steps(a, u)
        log_prob: Tensor = self.gaussian(u).log_prob(z) + log_det
        return log_prob

    def sample(self, u: Tensor, noise: Noise, temperature: float) -> Tensor:
        """A draw whose base has its standard deviation multiplied by the temperature."""
        drawn: Tensor = self.steps.inverse(self.gaussian(u).sample(noise, temperature), u)
        return drawn


class Level(nn.Module):
    """One halving of the resolution: squeeze, flow steps, split, and the model of what is split.

    Args:
        config: The architecture.
        level: 0 for the finest.
    """

    def __init__(self, config: HCFlowConfig, level: int) -> None:
        super().__init__()
        self.kept, split = config.channels_of(level)
        coarser = config.levels - 1 - level
        self.steps = Steps(
            FlowStep(self.kept + split, 0, config.hidden_channels) for _ in range(config.steps)
        )
        self.features = Features(
            self.kept + coarser * 2 * config.features,
            config.features,
            config.growth,
            config.trunks,
        )
        self.detail = Detail(split, 2 * config.features, config)
        self._start_as_haar()

    @torch.no_grad()
    def _start_as_haar(self) -> None:
        """Let what goes on begin as the mean of every 2×2 patch, so that z_L begins near y.

        Couplings start as identities and these actnorms too, so the 1×1 convolutions are all that
        there is: the last one undoes the random rotations of the others and takes the averages.
        """
        turned: Tensor | None = None
        steps = [step for step in self.steps if isinstance(step, FlowStep)]
        for step in steps:
            step.actnorm.initialized.fill_(True)
            weight = step.permutation.weight
            if step is steps[-1]:
                weight.copy_(
                    _haar(len(weight)) if turned is None else _haar(len(weight)) @ turned.T
                )
            turned = weight if turned is None else weight @ turned

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The part that goes on, the detail, and the log-determinant."""
        z, log_det = self.steps(F.pixel_unshuffle(z, 2))
        return z[:, : self.kept], z[:, self.kept :], log_det

    def inverse(self, z: Tensor, a: Tensor) -> Tensor:
        """From the part that went on and the detail."""
        return F.pixel_shuffle(self.steps.inverse(torch.cat([z, a], dim=1)), 2)

    def features_of(self, z: Tensor, coarser: list[Tensor]) -> Tensor:
        """Features of the part that goes on, and of all coarser levels, nearest first."""
        enlarged = [F.interpolate(u, z.shape[2:], mode="nearest") for u in coarser]
        features: Tensor = self.features(torch.cat([z, *(e.to(z) for e in enlarged)], dim=1))
        return features


class HCFlow(nn.Module):
    """``p(x|y)`` by levels that compose, one for each halving of the resolution.

    Args:
        config: The architecture.
    """

    def __init__(self, config: HCFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(Level(config, level) for level in range(config.levels))

    def _levels(self) -> list[Level]:
        return [level for level in self.levels if isinstance(level, Level)]

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        """The flow of an image.

        Args:
            x: ``(N, 3, H, W)``, sides divisible by the scale.

        Returns:
            z_L, what is left of the image and should be y, ``(N, 3, H / s, W / s)``; the parts that
            went on, z_1 … z_L, and the details a_0 … a_(L−1), finest first; the log-determinant.
        """
        kept, details, log_det = [], [], x.new_zeros(len(x))
        for level in self._levels():
            x, a, more = level(x)
            kept.append(x)
            details.append(a)
            log_det = log_det + more
        return x, kept, details, log_det

    def decode(self, z: Tensor, details: list[Tensor]) -> Tensor:
        """The inverse of `encode`, from z_L and the details."""
        for level, a in zip(reversed(self._levels()), reversed(details), strict=True):
            z = level.inverse(z, a)
        return z

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """``log p(x|y)`` of a continuous image, in nats, ``(N,)``.

        Args:
            x: ``(N, 3, H, W)``; add noise of one grey level to 8-bit images (`dequantize`).
            y: The low-resolution image, ``(N, 3, H / s, W / s)``, in [0, 1].
        """
        z, kept, details, log_prob = self.encode(x)
        around = DiagonalGaussian(y, torch.full_like(y, self.config.lr_log_std))
        log_prob = log_prob + around.log_prob(z)
        features: list[Tensor] = []
        for level, part, a in zip(
            reversed(self._levels()), reversed(kept), reversed(details), strict=True
        ):
            u = level.features_of(part, features)
            features.insert(0, u)
            log_prob = log_prob + level.detail.log_prob(a, u)
        return log_prob

    def bits_per_dim(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Bits per colour value of 8-bit images by uniform dequantization (Theis et al. 2016).

        ``−log₂ P(x|y) / D ≤ −E_u [ log₂ p(x + (u − ½) / 255 | y) ] / D + log₂ 255``, x of D values.

        Args:
            x: Images in [0, 1], ``(N, 3, H, W)``, of 8-bit values.
            y: Low-resolution images.
            noise: Source of u.
        """
        nats = -self.log_prob(dequantize(x, noise), y)
        return nats / (x[0].numel() * math.log(2)) + math.log2(255)

    def sample(self, y: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        """Draw images, not yet kept inside [0, 1]: an exploding inverse is to be seen.

        Args:
            y: Low-resolution images in [0, 1], ``(N, 3, h, w)``.
            noise: Source of the details.
            temperature: Factor on the standard deviations of all details.

        Returns:
            ``(N, 3, s h, s w)``.
        """
        z, features = y, list[Tensor]()
        for level in reversed(self._levels()):
            u = level.features_of(z, features)
            features.insert(0, u)
            a = level.detail.sample(u, noise, temperature)
            z = level.inverse(z, a)
        return z


def _haar(channels: int) -> Tensor:
    """Squeezed channels, four neighbours for each, to their means and then their differences."""
    signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    factors = torch.tensor([[0.25], [0.5], [0.5], [0.5]])
    blocks: Tensor = torch.block_diag(*(factors * signs for _ in range(channels // 4)))
    order = [4 * c + kind for kind in range(4) for c in range(channels // 4)]
    return blocks[order]


def dequantize(x: Tensor, noise: Noise) -> Tensor:
    """Spread every 8-bit value evenly over its grey level, ``x + (u − ½) / 255``: unbiased."""
    return x + (noise.uniform(x) - 0.5) / 255
