"""What the latent groups carry: rates, expected consistency, and pictures of p(x | z_<k).

Explained in docs/explanation/lr_encoder.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.base import shrink_to_8_bits
from ..degradations.bicubic import BicubicDownscaling
from ..errors import InputError
from ..evaluation.selection import Pair
from ..evaluation.table import Figure, figure
from ..gaussian.noise import SeededNoise
from ..hvae import HVAE, bits_per_dim
from ..hvae.lr_encoder import lr_encoder_kl
from ..restoration.finish import finish
from ..restoration.hvae import HVAEResolver
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling
from ..restoration.tolerance import photons_of

TOGETHER = 8
"""Draws from the prior at once."""


@torch.no_grad()
def expected_distance(
    prior: HVAE,
    scales: Sequence[int],
    draws: int = 32,
    seed: int = 0,
    size: int | None = None,
    photons: Sequence[float] | None = None,
) -> list[list[float]]:
    """``U_k^s``: how far apart two samples that share the first k groups are at low resolution.

    ``E_{p(z_<k)} E_{x, x̃ ~ p(x | z_<k)} [ ‖Hx̃ − Hx‖₂ / √m ]`` in grey levels of 255, for H that
    shrinks by s and low-resolution images of m values (Prost et al. 2022, proposition 1). x is the
    mean of p(x|z), as in super-resolution. Where y has the noise of faint light, Hx has it, too.

    Args:
        prior: The prior.
        scales: Factors s; 1 compares the images themselves.
        draws: Number of pairs.
        seed: Of the draws.
        size: Side of the images, for a prior that takes any; that of its training by default.
        photons: Of y at every scale, as for `shrink_to_8_bits`; none by default.

    Returns:
        For every scale, the distance for k = 0 … L.
    """
    size = size or prior.config.image_size
    sides = (size, size)
    operators = [BicubicDownscaling.of_scale(sides, s) for s in scales]
    photons, generator = photons or [0.0] * len(scales), torch.Generator()
    generator.manual_seed(seed % 2**63)
    totals = torch.zeros(len(scales), prior.groups + 1)
    for first in range(0, draws, TOGETHER):
        rows = range(first, min(first + TOGETHER, draws))
        _, latents = prior.decode([], len(rows), noise=SeededNoise(seed, rows), size=sides)
        for k in range(prior.groups + 1):
            one, other = (
                prior.sample(
                    len(rows),
                    latents[:k],
                    noise=SeededNoise(seed, [part * draws + row for row in rows]),
                    mean=True,
                    size=sides,
                ).cpu()
                for part in (1, 2)
            )
            for i, (H, P) in enumerate(zip(operators, photons, strict=True)):
                y = shrink_to_8_bits(one, H, P, generator) if P else H.A(one)
                totals[i, k] += _distance(y, H.A(other)).sum()
    distances: list[list[float]] = (totals / draws).tolist()
    return distances


@torch.no_grad()
def measured_distance(
    model: SuperResolver,
    pairs: Iterable[Pair],
    samples: int = 4,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> Figure:
    """``CE(k) = E ‖Hx − y‖₂ / √m`` of a trained LR encoder in grey levels of 255, not projected.

    At temperature 1 throughout, with the standard error over images. With a perfect encoder on a
    perfect prior it is ``U_k^s``, with the noise of y where it has any.
    """
    values: list[float | None] = []
    for number, (_, y) in enumerate(pairs):
        settings = Sampling(samples, temperature=1.0, seed=seed + number, consistent=False)
        x = finish(model.draw(y, settings), y[None], model.degradation, consistent=False).answers
        near = _distance(model.degradation.A(x), y)  # of those that did not explode
        values.append(float(near.mean()) if len(near) else None)
        if on_image is not None:
            on_image()
    return figure(values)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return 255 * (a - b).square().mean((1, 2, 3)).sqrt()


class Nested(NamedTuple):
    """Samples of p(x | z_<k) for growing k.

    Attributes:
        groups: The values of k.
        reference: The image that all of z decodes to, ``(3, H, W)``.
        samples: ``(len(groups), n, 3, H, W)``, in [0, 1].
    """

    groups: list[int]
    reference: Tensor
    samples: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation at every pixel, root mean square over colours, ``(K, H, W)``."""
        return self.samples.var(1).mean(1).sqrt()


@torch.no_grad()
def nested_samples(prior: HVAE, samples: int = 4, seed: int = 0) -> Nested:
    """Keep the first k groups of a generated image and draw the rest.

    For k = 0, at every change of resolution, and for all groups. The image is drawn at temperature
    0.8, so that nobody real is in the picture.

    Args:
        prior: The prior.
        samples: How many for each k, at least two.
        seed: Of the draws.

    Raises:
        InputError: There is only one sample.
    """
    if samples < 2:
        raise InputError("a standard deviation needs at least two samples")
    _, latents = prior.decode([], 1, temperature=0.8, noise=SeededNoise(seed, [0]))
    resolutions = prior.config.group_resolutions
    ends = [k for k in range(1, len(resolutions)) if resolutions[k] != resolutions[k - 1]]
    groups = [0, *ends, len(resolutions)]
    drawn = [
        prior.sample(
            samples,
            [z.expand(samples, -1, -1, -1) for z in latents[:k]],
            noise=SeededNoise(seed, range(1, samples + 1)),
            mean=True,
        )
        for k in groups
    ]
    reference = prior.sample(latents=latents, mean=True)[0]
    return Nested(groups, reference.cpu(), torch.stack(drawn).cpu())


@dataclass(frozen=True)
class Rates:
    """Mean bits/dim over images, with standard errors.

    Attributes:
        distortion: ``−log p(x|z)``.
        groups: The KL of every group from the prior.
        total: Negative ELBO of the prior.
        conditional: The bound on ``−log p_SR(x|y)`` for every LR encoder, by `names_of`.
    """

    distortion: Figure
    groups: list[Figure]
    total: Figure
    conditional: dict[str, Figure]


@torch.no_grad()
def rates(
    prior: HVAE,
    models: Sequence[HVAEResolver],
    images: Iterable[Tensor],
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> Rates:
    """Bits/dim of the prior by group, and of every LR encoder given y.

    ``−log p_SR(x|y) ≤ E_q [ −log p(x|z) + Σ_{l<k} KL(q(z_l|z_<l, x) ‖ q_ψ(z_l|z_<l, y)) +
    Σ_{l≥k} KL(q(z_l|z_<l, x) ‖ p(z_l|z_<l)) ]``, the published bound with its two kinds of groups.

    Args:
        prior: The prior.
        models: LR encoders on it.
        images: True images whose sides the prior and all scales divide, ``(C, H, W)``, in [0, 1].
        seed: Of the draws z ~ q(z|x).
        on_image: Called after every image.

    Raises:
        InputError: There is no image.
    """
    distortions: list[float] = []
    kls: list[list[float]] = []
    conditional: list[list[float]] = [[] for _ in models]
    for number, image in enumerate(images):
        x = image[None].to(prior.gain.device)
        elbo = prior.elbo(x, SeededNoise(seed, [number]))
        distortions.append(float(bits_per_dim(-elbo.log_likelihood, elbo.dims)))
        kls.append(elbo.kl_bits_per_dim[0].tolist())
        for model, values in zip(models, conditional, strict=True):
            y = _seen(model, x, seed + number)
            noise = SeededNoise(seed, [number])
            given = lr_encoder_kl(prior, model.encoder, x, y, noise, model.scale).sum()
            rest = elbo.kl[0, model.encoder.groups :].sum()
            nats = given + rest - elbo.log_likelihood[0]
            values.append(float(bits_per_dim(nats, elbo.dims)))
        if on_image is not None:
            on_image()
    if not distortions:
        raise InputError("there is no image to measure rates on")
    return Rates(
        figure(distortions),
        [figure(group) for group in zip(*kls, strict=True)],
        figure(d + sum(kl) for d, kl in zip(distortions, kls, strict=True)),
        {name: figure(of) for name, of in zip(names_of(models), conditional, strict=True)},
    )


def names_of(models: Sequence[SuperResolver]) -> list[str]:
    """What each of some models is called, with the scale where one of several scales is in use."""
    names = [model.name for model in models]
    return [
        name if names.count(name) == 1 else f"{name}, ×{model.scale}"
        for name, model in zip(names, models, strict=True)
    ]


def _seen(model: HVAEResolver, x: Tensor, seed: int) -> Tensor:
    """What a model gets of true images, with the noise that it knows."""
    generator = torch.Generator(x.device).manual_seed(seed % 2**63)
    H = model.degradation_of((x.shape[2] // model.scale, x.shape[3] // model.scale))
    return shrink_to_8_bits(x, H, photons_of(model.photon_noise), generator)
