"""Sampling p(z|y) ∝ p(z) p(y|z) by moves that leave it invariant, whatever the proposal.

In the whitened latents ε of `cvdvae.restoration.posterior.whitened` the posterior is
``N(ε; 0, I) w(ε)``. A move is the Langevin form of preconditioned Crank–Nicolson (pCNL; Cotter,
Roberts, Stuart & White 2013), with g = ∇ log w and ρ = √(8δ) / (2 + δ)::

    ε' = √(1 − ρ²) ε + 2δ/(2 + δ) g(ε) + ρ ξ,    ξ ~ N(0, I)

accepted with probability min(1, exp(a(ε, ε') − a(ε', ε)))::

    a(ε, ε') = −log w(ε) − ½⟨ε' − ε, g⟩ − δ/4 ⟨ε + ε', g⟩ + δ/4 ‖g‖²,    g = g(ε)

With g = 0 the rest is plain pCN, accepted with min(1, w'/w). While a chain moves for the first half
of its moves, its δ is led to an acceptance of 0.574, the best for Langevin moves (Roberts &
Rosenthal 1998). A δ that follows the chain breaks the invariance; so that half is a way to a
starting point, and does not count in what is said of the chain. Afterwards δ stays as it is.

With a temperature τ the prior is p_τ(z), whose standard deviations are τ times those of p(z) in
every group: what is sampled is then the posterior under that prior, an exact one of another model.

Explained in docs/posterior.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import InputError
from ...gaussian.noise import Noise
from ..checks import make_plain
from ..workers import OnDone, in_order, still_wanted, untold, work_begun, workers_on
from .measurement import Measurement
from .mixing import effective_sample_size, split_r_hat
from .whitened import Decoder, Propose, State, Whitened, chosen

ACCEPTANCE = 0.574
FIRST_STEP, LONGEST_STEP = 0.01, 2.0
"""δ of the first move, and that at which nothing is left of ε but its gradient."""
GAIN, DECAY = 2.0, 0.6
"""log δ changes by ``GAIN · i^−DECAY`` times what the acceptance of move i lacks."""


@dataclass(frozen=True)
class Moves:
    """How to move.

    Attributes:
        moves: How many, at least 1; δ is adapted in the first half.
        temperature: τ, positive; 1 is the posterior of the model itself.
        widening: Factor on the standard deviations of the proposal: one that is too narrow is left
            far more slowly than one that is too wide.
        batch: Chains that are decoded together. A chain is the same to the bit whatever their
            number, as long as this one stays.
        adapt: How many of the moves adapt δ; half of them by default.
        step: δ of the first move.

    Raises:
        InputError: A value of another type, or out of its range.
    """

    moves: int = 40
    temperature: float = 1.0
    widening: float = 1.1
    batch: int = 4
    adapt: int | None = None
    step: float = FIRST_STEP

    def __post_init__(self) -> None:
        adapt = () if self.adapt is None else ("adapt",)
        make_plain(self, ("moves", "batch", *adapt), ("temperature", "widening", "step"))
        if self.moves < 1:
            raise InputError(f"the number of moves must be at least 1, not {self.moves}")
        if self.batch < 1:
            raise InputError(f"batch must be at least 1, not {self.batch}")
        if not 0 <= self.adapting <= self.moves:
            raise InputError(
                f"adapt must be from 0 to the {self.moves} moves there are, not {self.adapt}"
            )
        for name in ("temperature", "widening"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(
                    f"with moves the {name} must be positive, not {getattr(self, name)}"
                )
        if not 0 < self.step <= LONGEST_STEP:
            raise InputError(f"the step of a move must be in (0, {LONGEST_STEP}], not {self.step}")

    @property
    def adapting(self) -> int:
        """How many of the moves adapt δ."""
        return self.moves // 2 if self.adapt is None else self.adapt


class PosteriorSamples(NamedTuple):
    """The last state of every chain, and what its chains went through.

    Attributes:
        latents: z_0 … z_{L-1}, ``(n, C, h, w)`` each.
        means: μ(z), ``(n, C, H, W)``; NaN of a chain that has found no z whose log w is finite.
        log_w: Before the first and after every move, float64 ``(n, moves + 1)``, in nats.
        accepted: Which moves were, ``(n, moves)`` bool.
        step: δ of every chain after its adaptation, ``(n,)``.
        adapting: How many moves adapted it: the statistics leave them out.
    """

    latents: list[Tensor]
    means: Tensor
    log_w: Tensor
    accepted: Tensor
    step: Tensor
    adapting: int

    @property
    def acceptance(self) -> Tensor:
        """Share of the counted moves that were accepted, ``(n,)``."""
        return self.accepted[:, self.adapting :].double().mean(1)

    @property
    def rho(self) -> Tensor:
        """ρ of every chain, ``(n,)``: how much of ε a move renews."""
        return (8 * self.step).sqrt() / (2 + self.step)

    @property
    def r_hat(self) -> float:
        """`split_r_hat` of log w in the counted moves."""
        return split_r_hat(self._counted)

    @property
    def effective(self) -> float:
        """`effective_sample_size` of log w in the counted moves of all chains."""
        return effective_sample_size(self._counted)

    @property
    def gain(self) -> float:
        """By how much log w rose from the first state to the last, mean over chains."""
        gains = self.log_w[:, -1] - self.log_w[:, 0]
        return float(gains[gains.isfinite()].mean())

    def first(self, count: int) -> "PosteriorSamples":
        """Those of the first chains alone."""
        return self._replace(
            latents=[z[:count] for z in self.latents],
            means=self.means[:count],
            log_w=self.log_w[:count],
            accepted=self.accepted[:count],
            step=self.step[:count],
        )

    @property
    def _counted(self) -> Tensor:
        """Of the chains that are at a z of some weight: the others are no answers."""
        counted = self.log_w[:, self.adapting + 1 :]
        return counted[counted.isfinite().all(1)]


def sample_posterior(
    decoder: Decoder,
    propose: Propose,
    measurement: Measurement,
    moves: Moves,
    samples: int,
    noise_of: Callable[[range], Noise],
    on_move: OnDone = untold,
    at_once: int | None = None,
) -> PosteriorSamples:
    """Draw z ~ p(z|y), one sample from each of as many chains.

    The chains of a batch move on one thread.

    Args:
        decoder: The prior with its likelihood.
        propose: Where the chains of a batch begin.
        measurement: What is known of x.
        moves: How to move.
        samples: Number of chains n.
        noise_of: The noise of a batch, from the indices of its chains: ``partial(SeededNoise,
            seed)``. The numbers of a move follow those of the one before.
        on_move: Called after every move of a batch with the number of its chains; on its thread.
        at_once: Batches that move at the same time; as many as there are processors by default.

    Raises:
        InputError: No samples are asked for, or the device has no float64.
    """
    if samples < 1:
        raise InputError(f"the number of samples must be at least 1, not {samples}")
    if not _has_float64(measurement.y.device):
        device = measurement.y.device
        raise InputError(f"the device '{device}' has no float64, which chains need: take cpu")
    batches = [range(i, i + moves.batch) for i in range(0, samples, moves.batch)]

    def work(indices: range) -> _Ended:
        begun, own = work_begun(), min(len(indices), samples - indices.start)

        def tell() -> None:
            on_move(own)
            still_wanted(begun)  # a batch may take minutes

        with torch.autocast(measurement.y.device.type, enabled=False):
            noise = noise_of(indices)
            proposal, how = propose(noise, len(indices), tell), (moves.temperature, moves.widening)
            target = Whitened(decoder, proposal, measurement, *how)
            return _run(target, moves, len(indices), noise, tell)

    ended = list(in_order(work, batches, at_once or workers_on(measurement.y.device)))
    latents = [
        torch.cat(parts)[:samples] for parts in zip(*(e.latents for e in ended), strict=True)
    ]
    means, log_w, accepted, step = (
        torch.cat(parts)[:samples] for parts in zip(*(part[1:] for part in ended), strict=True)
    )
    lost = ~log_w[:, -1].isfinite().view(-1, 1, 1, 1)
    means = means.masked_fill(lost.to(means.device), torch.nan)
    return PosteriorSamples(latents, means, log_w, accepted, step, moves.adapting)


def _has_float64(device: torch.device) -> bool:
    """Whether a device can add up in float64; Apple's GPUs cannot."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


class _Ended(NamedTuple):
    """`PosteriorSamples` of one batch."""

    latents: list[Tensor]
    means: Tensor
    log_w: Tensor
    accepted: Tensor
    step: Tensor


def _run(
    target: Whitened, moves: Moves, count: int, noise: Noise, on_move: Callable[[], None]
) -> _Ended:
    """Begin some chains, and move."""
    state = target.at(target.first(noise, count))
    log_step = torch.full((count,), math.log(moves.step), dtype=torch.float64, device="cpu")
    log_w, accepted = [state.log_w], []
    for i in range(moves.moves):
        state, taken, log_ratio = move(target, state, log_step.exp(), noise)
        if i < moves.adapting:
            missing = probability(log_ratio).cpu() - ACCEPTANCE
            log_step += GAIN * (i + 1) ** -DECAY * missing
            log_step.clamp_(max=math.log(LONGEST_STEP))
        log_w.append(state.log_w)
        accepted.append(taken)
        on_move()
    ended = (state.latents, state.mean, torch.stack(log_w, 1), torch.stack(accepted, 1))
    return _Ended(*ended, log_step.exp())


class Moved(NamedTuple):
    """Chains after a move.

    Attributes:
        state: Where they are.
        taken: Which of them accepted, ``(n,)`` bool.
        log_ratio: ``a(ε, ε') − a(ε', ε)``, float64 ``(n,)``.
    """

    state: State
    taken: Tensor
    log_ratio: Tensor


def move(
    target: Whitened, state: State, step: Tensor, noise: Noise, power: Tensor | None = None
) -> Moved:
    """One move of every chain; it leaves p(z|y) invariant, or ``N(ε; 0, I) w(ε)^β``.

    Args:
        target: What decodes.
        state: Where the chains are.
        step: δ of each, ``(n,)``, or of each in every group, ``(L, n)``.
        noise: Source of ξ and of what is accepted.
        power: β of each, ``(n,)``; 1 by default.
    """
    here, step = _raised(state, power), step.expand(len(state.whites), -1)
    proposed = target.at(_stepped(here, step, noise))
    log_ratio = _log_ratio(here, _raised(proposed, power), step)
    taken = _log_uniform(state.log_w, noise) < log_ratio
    return Moved(chosen(taken, proposed, state), taken, log_ratio)


def probability(log_ratio: Tensor) -> Tensor:
    """With which a move is accepted, `Moved.log_ratio`: 0 of one to a state that is none."""
    return log_ratio.clamp(max=0).exp().nan_to_num(0)


def _along(numbers: Tensor, values: Tensor) -> Tensor:
    """One number of every chain, ``(n,)``, in the shape and precision of its values."""
    return numbers.to(values).view(-1, *[1] * (values.ndim - 1))


def _raised(state: State, power: Tensor | None) -> State:
    """The same with ``w^β`` for w."""
    if power is None:
        return state
    gradients = [g * _along(power, g) for g in state.gradients]
    return state._replace(log_w=power.to(state.log_w) * state.log_w, gradients=gradients)


def _stepped(state: State, step: Tensor, noise: Noise) -> list[Tensor]:
    """ε' of the next move."""
    moved = []
    for white, gradient, of_group in zip(state.whites, state.gradients, step, strict=True):
        d = _along(of_group, white)
        pushed = (2 - d) * white + 2 * d * gradient + (8 * d).sqrt() * noise.normal(white)
        moved.append(pushed / (2 + d))
    return moved


def _log_ratio(old: State, new: State, step: Tensor) -> Tensor:
    """``a(ε, ε') − a(ε', ε)``, float64 ``(n,)``; −∞ or NaN for a state that is none."""
    step = step.to(old.log_w)
    return _potential(old, new, step) - _potential(new, old, step)


def _potential(at: State, to: State, step: Tensor) -> Tensor:
    """``a(ε, ε')``."""
    total = -at.log_w
    groups = zip(at.whites, to.whites, at.gradients, step, strict=True)
    for here, there, gradient, of_group in groups:
        # One sum: (ε' − ε)/2 + δ/4 (ε + ε' − g), which multiplies g.
        d = _along(of_group, here)
        factor = (there - here) / 2 + d / 4 * (here + there - gradient)
        total = total - (factor * gradient).double().flatten(1).sum(1)
    return total


def _log_uniform(like: Tensor, noise: Noise) -> Tensor:
    """log U for every chain: `Noise.uniform` stays away from 0, and acceptance must not."""
    for_each = torch.empty(len(like), 1, 1, 1, dtype=torch.float32, device=like.device)
    normal = noise.normal(for_each)
    log_u: Tensor = torch.special.log_ndtr(normal.double())
    return log_u.flatten()
