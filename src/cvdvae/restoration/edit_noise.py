"""The noise of samples after steps of steering."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..gaussian.noise import Noise, Window, noise_for
from ..hvae import HVAEConfig
from .edits import Moment
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
        parents = [self.epsilons(steps - 1, sample) for sample in step.samples]
        places = [self.place(i) for i in indices]
        angle = self.angle(steps - 1, step.samples)
        window = self.window if self.any_size else None
        seed = self.sampling.seed if step.fresh_seed is None else step.fresh_seed

        def rule(group: int, fresh: Tensor) -> Tensor:
            theirs = [epsilons[group].to(fresh) for epsilons in parents]
            return step.epsilon(Moment(group, fresh, theirs, places, window, angle))

        return SteeredNoise(self.fresh(seed, indices), rule)

    def place(self, sample: int) -> float:
        """Of a sample, between the first of the set, 0, and the last, 1."""
        return sample / max(1, self.sampling.samples - 1)

    def angle(self, steps: int, samples: Sequence[int]) -> float:
        """Between the noise of two samples, where it differs."""
        if steps == 0:
            return math.pi / 2
        step, first, last = self.sampling.steps[steps - 1], samples[0], samples[-1]
        before = self.angle(steps - 1, step.samples)
        return step.angle(abs(self.place(first) - self.place(last)), before)

    def fresh(self, seed: int, indices: Sequence[int]) -> Noise:
        """Noise of its own: tied to places where images may have any size, and so be tiled."""
        window = self.window if self.any_size else None
        return noise_for(seed, indices, window, self.sampling.antithetic)

    def epsilons(self, steps: int, sample: int) -> list[Tensor]:
        """All ε_l of one sample."""
        if (steps, sample) not in self.known:
            noise = self.noise(steps, [sample])
            like = (torch.empty(s, dtype=torch.float32, device="cpu") for s in self.shapes)
            self.known[steps, sample] = [noise.normal(one) for one in like]
        return self.known[steps, sample]
