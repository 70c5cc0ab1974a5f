"""The likelihoods p(x|z).

**Discretized mixture of logistics**, that of the very deep VAE. A logistic of mean μ and scale s
has the distribution function ``σ((v − μ)/s)``. A pixel value is one of 2^bits levels,
``v_j = −1 + 2j / (2^bits − 1)``; level j has the mass between ``v_j ± h``,
``h = 1 / (2^bits − 1)``, and the first and last level also have the tails (Salimans et al. 2017,
PixelCNN++). Colours are not independent: within a component the mean of green depends linearly on
red, that of blue on red and green. Channels that are not three are no such colours: given the
component they are independent.

The released 5-bit model has its levels at ``v_j = −1 + 16j / 255`` instead, with ``h = 1/31``, and
gives no tail to the last, so that the masses do not quite sum to one (openai/vdvae,
vae_helpers.py).

**Gaussian of fixed width** s for every colour of every pixel, ``N(x; μ(z), s²)``. A mixture may
explain texture as independent noise of the pixels, and then the latents need not hold it; with s
bounded they must: what is further than about s from the mean costs more than it does in a latent.

Explained in docs/explanation/prior.md.
"""

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gaussian.noise import Noise

if TYPE_CHECKING:
    from .config import HVAEConfig


class Likelihood(Protocol):
    """p(x|z) of images in [0, 1], from what the network says of every pixel.

    Attributes:
        channels: How many numbers it says, the P of ``(N, P, H, W)``.
        std: Its width in grey levels of 255, where all pixels have one; None where each has its
            own.
    """

    channels: int

    @property
    def std(self) -> float | None:
        """As above."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability of 8-bit images in nats, ``(N,)``."""

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean as images in [0, 1], ``(N, C, H, W)``."""

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        """Draw images in [0, 1], ``(N, C, H, W)``."""


def likelihood_of(config: "HVAEConfig") -> Likelihood:
    """The likelihood that a configuration names."""
    if config.likelihood == "gaussian":
        return GaussianPixels(config.pixel_std, config.channels)
    return DiscretizedLogisticMixture(config.bits, config.levels, config.mixtures, config.channels)


class GaussianPixels:
    """``N(x; μ(z), s²)`` for every colour of every pixel.

    Args:
        std: The width s, in grey levels of 255.
        channels: Channels C of the images.
    """

    def __init__(self, std: float, channels: int = 3) -> None:
        self.std, self.channels = std, channels

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-density of 8-bit images, in nats.

        With values in grey levels, so that the density is nearly the mass of a level: on average
        the two differ by less than 0.002 nats a value where s is at least 1.

        Args:
            parameters: Means, as differences to ½, ``(N, C, H, W)``.
            x: Images in [0, 1], ``(N, C, H, W)``.

        Returns:
            Sum over colours and pixels, ``(N,)``.
        """
        standardized = (x - 0.5 - parameters.float()) * (255 / self.std)
        constant = math.log(self.std) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * standardized**2 - constant).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mean as an image in [0, 1], ``(N, C, H, W)``."""
        return (parameters.float() + 0.5).clamp(0, 1)

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        """Draw an image in [0, 1], ``(N, C, H, W)``."""
        mean = parameters.float() + 0.5
        return (mean + self.std / 255 * noise.normal(mean)).clamp(0, 1)


def numbers_per_component(colours: int) -> int:
    """A logit, and for every colour a mean, a scale and, of three, a coefficient."""
    return 1 + (3 if colours == 3 else 2) * colours


class Mixture(NamedTuple):
    """Parameters of the mixture for K components.

    Attributes:
        logits: Unnormalized log weights, ``(N, K, H, W)``.
        means: Means before the dependence between colours, ``(N, C, K, H, W)``.
        log_scales: Natural logarithms of the scales, at least −7, ``(N, C, K, H, W)``.
        coefficients: Green on red, blue on red, blue on green, in (−1, 1), ``(N, 3, K, H, W)``;
            None where the channels are not three.
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    coefficients: Tensor | None

    @classmethod
    def from_channels(cls, parameters: Tensor, colours: int = 3) -> "Mixture":
        """Read ``(N, P, H, W)``: K logits, then K means, K scales per colour, each followed, where
        there are three colours, by K coefficients."""
        parameters = parameters.float()
        n, channels, height, width = parameters.shape
        k = channels // numbers_per_component(colours)
        per_colour = parameters[:, k:].reshape(n, colours, -1, k, height, width)
        means, log_scales, *rest = per_colour.unbind(2)
        coefficients = torch.tanh(rest[0]) if rest else None
        return cls(parameters[:, :k], means, log_scales.clamp(min=-7), coefficients)

    def conditional_means(self, v: Tensor) -> Tensor:
        """Means of each colour given the preceding ones, v of ``(N, C, 1 or K, H, W)``."""
        if self.coefficients is None:
            return self.means
        red, green, blue = self.means.unbind(1)
        green_on_red, blue_on_red, blue_on_green = self.coefficients.unbind(1)
        green = green + green_on_red * v[:, 0]
        blue = blue + blue_on_red * v[:, 0] + blue_on_green * v[:, 1]
        return torch.stack([red, green, blue], dim=1)


class DiscretizedLogisticMixture:
    """p(x|z) for images of `bits` bits per colour.

    Args:
        bits: Bits per colour that are modelled. The images keep 8: level j of fewer bits stands for
            the 8-bit values ``j · 2^(8−bits) …`` and is shown as their middle.
        levels: ``spread`` over [−1, 1], or ``floored`` 8-bit values as in the released 5-bit model.
        mixtures: Number of components K.
        colours: Channels C of the images.
    """

    std = None

    def __init__(
        self,
        bits: int,
        levels: Literal["spread", "floored"] = "spread",
        mixtures: int = 10,
        colours: int = 3,
    ) -> None:
        self.bits, self.colours = bits, colours
        self.channels = numbers_per_component(colours) * mixtures
        self.last_level: int = 2**bits - 1
        self.step: int = 2 ** (8 - bits)
        self.spacing: float = 2 / self.last_level if levels == "spread" else 2 * self.step / 255
        self.has_last_tail = levels == "spread" or bits == 8

    def levels(self, x: Tensor) -> Tensor:
        """Level of every value of an image in [0, 1]: whole numbers 0 … 2^bits − 1 as float."""
        eight_bit = torch.round(x * 255).clamp(0, 255)
        levels: Tensor = torch.floor(eight_bit / self.step)
        return levels

    def to_image(self, v: Tensor) -> Tensor:
        """Values in [−1, 1] to an image in [0, 1], the inverse of `levels` up to rounding."""
        level = (v.clamp(-1, 1) + 1) / self.spacing
        return ((level * self.step + (self.step - 1) / 2) / 255).clamp(max=1)

    def _nearest_level(self, v: Tensor) -> Tensor:
        """Round values to the levels ``v_j`` in [−1, 1]."""
        level = torch.round((v + 1) / self.spacing).clamp(0, self.last_level)
        return level * self.spacing - 1

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability of an image, in nats.

        The mass of a level is ``σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b−a))``, whose logarithm is stable
        for every a > b; without the factor of the missing edge it holds for the two tails too.

        Args:
            parameters: Channels of the network, ``(N, P, H, W)``.
            x: Images in [0, 1], ``(N, C, H, W)``.

        Returns:
            Sum over colours and pixels, ``(N,)``.
        """
        mixture = Mixture.from_channels(parameters, self.colours)
        level = self.levels(x).unsqueeze(2)
        v = level * self.spacing - 1
        is_first, is_last = level == 0, (level == self.last_level) & self.has_last_tail
        half_bin = 1 / self.last_level
        inverse_scale = torch.exp(-mixture.log_scales)
        centred = v - mixture.conditional_means(v)
        below_upper_edge = F.logsigmoid(inverse_scale * (centred + half_bin))
        above_lower_edge = F.logsigmoid(inverse_scale * (half_bin - centred))
        between = torch.log(-torch.expm1(-2 * half_bin * inverse_scale))
        log_mass = (
            below_upper_edge.masked_fill(is_last, 0)
            + above_lower_edge.masked_fill(is_first, 0)
            + between.masked_fill(is_first | is_last, 0)
        )
        log_weights = F.log_softmax(mixture.logits, dim=1)
        return torch.logsumexp(log_mass.sum(1) + log_weights, dim=1).sum((1, 2))

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean of the mixture as an image in [0, 1], ``(N, C, H, W)``, free of pixel noise."""
        mixture = Mixture.from_channels(parameters, self.colours)
        # Blue depends on green's conditional mean, which only the first pass makes.
        v = mixture.conditional_means(mixture.conditional_means(mixture.means))
        weights = torch.softmax(mixture.logits, dim=1).unsqueeze(1)
        return self.to_image((weights * v).sum(2))

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        """Draw an image in [0, 1], ``(N, C, H, W)``."""
        mixture = Mixture.from_channels(parameters, self.colours)
        gumbel = -torch.log(-torch.log(noise.uniform(mixture.logits)))
        component = torch.argmax(mixture.logits + gumbel, dim=1, keepdim=True).unsqueeze(1)
        component = component.expand(-1, self.colours, -1, -1, -1)
        means, log_scales = (t.gather(2, component).squeeze(2) for t in mixture[1:3])
        u = noise.uniform(means)
        v = means + torch.exp(log_scales) * (torch.log(u) - torch.log1p(-u))
        if mixture.coefficients is None:
            return self.to_image(self._nearest_level(v))
        coefficients = mixture.coefficients.gather(2, component).squeeze(2)
        # As in `log_prob`, colours depend on the levels of the preceding ones.
        red = self._nearest_level(v[:, 0])
        green = self._nearest_level(v[:, 1] + coefficients[:, 0] * red)
        blue = v[:, 2] + coefficients[:, 1] * red + coefficients[:, 2] * green
        return self.to_image(torch.stack([red, green, self._nearest_level(blue)], dim=1))
