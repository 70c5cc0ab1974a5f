"""Steering: others like one sample, between two samples, in one region of a sample.

Given y and the temperatures, a sample is a function of the noise of its latent groups::

    z_l = μ_l(z_<l, y) + τ_l σ_l(z_<l, y) ε_l          ε_l ~ N(0, I)

so to steer is to choose ε. Where ε_<g is that of another sample, z_<g is, too.

- Others: ``ε_l`` of the sample for l < g, fresh for l ≥ g.
- Blend: ``ε_l`` on the great circle between those of two samples (spherical interpolation, Shoemake
  1985), which keeps the length that a normal draw has; a straight line would shorten it.
- Vary: fresh ``ε_l`` where the region covers at least half of a cell of group l, else the sample's.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gaussian import FieldNoise, Noise, SeededNoise, Window
from ..hvae import HVAEConfig
from .edits import Blend, Others, Step, samples_of
from .settings import Sampling

Rule = Callable[[int, Tensor], Tensor]
"""``(l, fresh) -> ε_l`` of a batch, ``(n, C, r, r)``, from a fresh draw of the same shape."""


class SteeredNoise:
    """Noise that a rule makes, group by group, of fresh noise and of earlier samples'.

    Args:
        fresh: The fresh noise.
        rule: What the ε of every group is.
    """

    def __init__(self, fresh: Noise, rule: Rule) -> None:
        self.fresh, self.rule, self.group = fresh, rule, 0

    def normal(self, like: Tensor) -> Tensor:
        """The ε of the next group."""
        epsilon = self.rule(self.group, self.fresh.normal(like))
        self.group += 1
        return epsilon.to(like)

    def uniform(self, like: Tensor) -> Tensor:
        """Fresh: no rule is for these."""
        return self.fresh.uniform(like)


def noise_of(
    config: HVAEConfig, sampling: Sampling, indices: Sequence[int], window: Window
) -> Noise:
    """The noise of samples.

    Args:
        config: The prior's architecture.
        sampling: How they are drawn, with the steps of steering.
        indices: Which of them.
        window: The part of the images that is drawn, as the prior makes it.
    """
    return _Trail(config, sampling, window).noise(len(sampling.steps), indices)


class _Trail:
    """The noise after every number of steps; that of a sample is made once, however often named."""

    def __init__(self, config: HVAEConfig, sampling: Sampling, window: Window) -> None:
        height, width = window.height, window.width
        self.window, self.any_size = window, config.any_size
        self.shapes = [
            (1, config.z_channels, height // s, width // s) for s in config.group_strides
        ]
        self.sampling = sampling
        self.known: dict[tuple[int, int], list[Tensor]] = {}

    def noise(self, steps: int, indices: Sequence[int]) -> Noise:
        """That of some samples."""
        if steps == 0:
            return self.fresh(self.sampling.seed, indices)
        step = self.sampling.steps[steps - 1]
        parents = [self.epsilons(steps - 1, sample) for sample in samples_of(step)]
        places = [i / max(1, self.sampling.samples - 1) for i in indices]
        rule = _rule(step, parents, places, self.window if self.any_size else None)
        seed = self.sampling.seed if isinstance(step, Blend) else step.seed
        return SteeredNoise(self.fresh(seed, indices), rule)

    def fresh(self, seed: int, indices: Sequence[int]) -> Noise:
        """Noise of its own: tied to places where images may have any size, and so be tiled."""
        if self.any_size:
            return FieldNoise(seed, indices, self.window)
        return SeededNoise(seed, indices)

    def epsilons(self, steps: int, sample: int) -> list[Tensor]:
        """All ε_l of one sample."""
        if (steps, sample) not in self.known:
            noise = self.noise(steps, [sample])
            self.known[steps, sample] = [noise.normal(torch.empty(s)) for s in self.shapes]
        return self.known[steps, sample]


def _rule(
    step: Step, parents: list[list[Tensor]], places: list[float], window: Window | None
) -> Rule:
    """The rule of a step from the ε of the samples that it names.

    `places` are those of the batch between the first sample and the last. Where the image may be
    larger than the `window` that is drawn, the rule must hold for every position by itself.
    """
    angle = None if window is None else math.pi / 2
    if isinstance(step, Blend):
        first, last = parents
        return lambda group, fresh: torch.cat(
            [slerp(first[group].to(fresh), last[group].to(fresh), at, angle) for at in places]
        )
    (kept,) = parents
    if isinstance(step, Others):
        count = step.groups
        return lambda group, fresh: (
            kept[group].to(fresh).expand_as(fresh) if group < count else fresh
        )
    mask = step.mask.float()[None, None]
    if window is not None:
        mask = mask[:, :, window.top :, window.left :][:, :, : window.height, : window.width]
        below, right = window.height - mask.shape[2], window.width - mask.shape[3]
        mask = F.pad(mask, (0, right, 0, below), mode="replicate")
    return lambda group, fresh: torch.where(
        F.adaptive_avg_pool2d(mask, (fresh.shape[2], fresh.shape[3])).to(fresh.device) >= 0.5,
        fresh,
        kept[group].to(fresh),
    )


def slerp(a: Tensor, b: Tensor, place: float, angle: float | None = None) -> Tensor:
    """Spherical interpolation from a (place 0) to b (place 1), as two long vectors.

    ``(sin((1 − t) ω) a + sin(t ω) b) / sin ω`` with the angle ω between them (Shoemake 1985); a
    straight line where they are parallel. With ``angle = π/2``, that of independent draws in many
    dimensions, every element goes its own way and stays N(0, 1).
    """
    if angle is not None:
        return math.sin((1 - place) * angle) * a + math.sin(place * angle) * b
    cosine = (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)
    between = torch.acos(cosine.clamp(-1, 1))
    if float(between.sin()) < 1e-4:
        return a + place * (b - a)
    return (torch.sin((1 - place) * between) * a + torch.sin(place * between) * b) / between.sin()
