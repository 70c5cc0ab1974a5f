"""What an encoder that serves any degradation is told of y = Hx + σn, at the resolution of x.

y may have any shape, so it is brought back to an image by Tikhonov's estimate, of which
`cvdvae.degradations.damped` has the equation, as if x were known to lie near to ½ (TAUS[0]): nearly
free of amplified noise, and grey where nothing was seen. The second estimate fills that in:
`cvdvae.degradations.natural`. (Encoders from before that have Tikhonov's once more, as if x could
lie anywhere, TAUS[1].) Both alone do not tell what was seen and what was filled in. With
``R = Hᵀ (H Hᵀ + λ I)⁻¹ H``, which takes a true image to its estimate, three maps do:

- ``(R 1)_p``: how much of a constant is known at a pixel, 0 in a hole, near 1 elsewhere;
- ``E [v_p (R v)_p]`` for random signs v, averaged over the neighbourhood: the diagonal of R
  (Hutchinson 1989), how much of all detail is known, 1/s² after shrinking by s;
- the noise in units of a pixel: σ over the square root of what H leaves of white noise.
"""

from collections.abc import Callable, Iterator
from functools import partial
from operator import call

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoints.records import SECOND, SecondEstimate
from ..degradations.base import Degradation
from ..degradations.damped import estimate, inverse
from ..degradations.natural import LEAST_DAMPING, STEPS, TOLERANCE, natural_estimate
from ..degradations.spectrum import mean_eigenvalue
from .tiles import WHOLE_PIXELS
from .tolerance import COARSE_ROUND_OFF
from .workers import in_order

TAUS = (0.2, 1.0)
"""Standard deviations of the images that the two estimates expect."""
PROBES, NEIGHBOURHOOD = 4, 9
NOISE_UNIT, MOST_NOISE = 0.1, 4.0
BEYOND = 0.5
"""How far beyond [0, 1] an estimate may reach."""


def conditions(channels: int) -> int:
    """How many channels `evidence` has beside the colours of the first estimate."""
    return channels + 3


def evidence(
    degradation: Degradation,
    y: Tensor,
    sigma: float,
    second: SecondEstimate = SECOND,
    workers: int = 1,
) -> Tensor:
    """The encoder's input.

    Args:
        degradation: H.
        y: What is seen of some images, ``(N, …)``, float.
        sigma: Standard deviation of the noise in every value of y, not negative.
        second: The second estimate.
        workers: How many threads share the work, where it fits into memory.

    Returns:
        ``(N, 2 C + 3, H, W)``: two estimates of x, then the three maps.
    """
    firm = _damping(degradation, y, sigma, TAUS[0])
    like = degradation.A_adjoint(y[:1])
    parts: dict[str, Callable[[], Tensor]] = {
        "second": partial(natural_estimate, degradation, y, sigma),
        "first": partial(estimate, degradation, y, firm, STEPS, TOLERANCE),
        "constant": partial(_recovered, degradation, torch.ones_like(like), firm),
        "detail": partial(_detail, degradation, like, firm),
    }
    if second == "tikhonov":
        parts["second"] = partial(faithful_estimate, degradation, y, sigma)
    values: Iterator[Tensor] = map(call, parts.values())
    if workers > 1 and like[0, 0].numel() <= WHOLE_PIXELS:
        values = in_order(call, parts.values(), workers)
    found = dict(zip(parts, values, strict=True))
    guesses = [found[name].clamp(-BEYOND, 1 + BEYOND) for name in ("first", "second")]
    noise = _noise_of_a_pixel(degradation, like, sigma)
    maps = [
        found["constant"].mean(1, keepdim=True),
        found["detail"],
        torch.full_like(like[:, :1], noise),
    ]
    return torch.cat([*guesses, torch.cat(maps, 1).expand(len(y), -1, -1, -1)], 1)


def faithful_estimate(degradation: Degradation, y: Tensor, sigma: float) -> Tensor:
    """Tikhonov's estimate as if x could be anything: noisy, and it loses nothing of y.

    Args:
        degradation: H.
        y: As for `evidence`, like sigma.
        sigma: The noise.

    Returns:
        ``(N, C, H, W)``, not kept in [0, 1].
    """
    return estimate(degradation, y, _damping(degradation, y, sigma, TAUS[1]), STEPS, TOLERANCE)


def _damping(degradation: Degradation, y: Tensor, sigma: float, tau: float) -> float:
    return (sigma / tau) ** 2 + LEAST_DAMPING * mean_eigenvalue(degradation, y[:1])


def _recovered(degradation: Degradation, x: Tensor, damping: float) -> Tensor:
    """``R x``."""
    return inverse(degradation, degradation.A(x), damping, STEPS, TOLERANCE)


def _detail(degradation: Degradation, like: Tensor, damping: float) -> Tensor:
    """The diagonal of R, averaged over colours and neighbours: ``(1, 1, H, W)``."""
    known = torch.zeros_like(like[:, :1])
    for signs in _signs(like, PROBES):  # one at a time: images may be large
        known += (signs * _recovered(degradation, signs, damping)).mean(1, keepdim=True) / PROBES
    side = min(NEIGHBOURHOOD, *(2 * s - 1 for s in known.shape[2:]))
    side -= 1 - side % 2
    return F.avg_pool2d(known, side, 1, side // 2, count_include_pad=False)


def _noise_of_a_pixel(degradation: Degradation, like: Tensor, sigma: float) -> float:
    left = degradation.A(next(_signs(like, 1)))
    seen = left[left.abs() > COARSE_ROUND_OFF * left.abs().max()]
    power = float(seen.square().mean()) if seen.numel() else 1.0
    return float(min(sigma / NOISE_UNIT / power**0.5, MOST_NOISE))


def _signs(like: Tensor, n: int) -> Iterator[Tensor]:
    """Random signs, always the same ones, n times ``(1, C, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        shape = (1, *like.shape[1:])
        signs = torch.randint(0, 2, shape, generator=generator, device="cpu") * 2 - 1
        yield signs.to(like)
