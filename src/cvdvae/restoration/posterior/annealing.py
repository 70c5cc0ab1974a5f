"""From a proposal to the posterior, however far: annealing.

A proposal that knows nothing of y, as the prior, is too far from the posterior for moves under it:
almost none would be accepted. So the moves of `cvdvae.restoration.posterior.chains` begin under
``N(ε; 0, I) w(ε)^β`` with a small β, and β grows to 1 in K of them (the path of annealed importance
sampling, Neal 2001)::

    β_i = β_1^((K − i)/(K − 1)),    β_1 |log w| = 30 nats at most where a chain begins

The groups of an HVAE differ by orders of magnitude in how much they change an image, and so does
what y says of them. Every group l has a step of its own::

    δ_l = δ / (1 + κ_l),    κ_l ← (1 − η) κ_l β_i/β_{i−1} + η ⟨g_l²⟩,    g = β ∇ log w

⟨·⟩ is the mean over the values of a group: κ_l says how sharply y tells them. δ is led to the
acceptance of `chains`. All of this looks at where a chain is, which leaves nothing invariant: it is
a way to a starting point.

Explained in docs/posterior.md.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...gaussian.noise import Noise
from .chains import ACCEPTANCE, LONGEST_STEP, move, probability
from .whitened import State, Whitened

FIRST_NATS = 30.0
"""What y counts for in the first move, at most; a single move has β = 1."""
FIRST_STEP, GAIN = 0.5, 0.5
"""δ of the first move, and by how much log δ changes for every share of acceptance that lacks."""
MEMORY = 0.8
"""1 − η."""


def annealed(
    target: Whitened, moves: int, noise: Noise, count: int, on_move: Callable[[], None]
) -> State:
    """Chains that begin with draws of the proposal, after K moves on the path to the posterior.

    Args:
        target: What decodes.
        moves: K; 0 leaves the chains where they begin.
        noise: Source of what is drawn.
        count: Number of chains.
        on_move: Called after every move.
    """
    state = target.at(target.first(noise, count))
    first = (FIRST_NATS / state.log_w.abs()).clamp(1e-30, 1)
    step = torch.full_like(first, FIRST_STEP)
    curvature, before = _squares(state) * first**2, first
    for i in range(moves):
        power = first ** ((moves - 1 - i) / max(moves - 1, 1))
        found = _squares(state) * power**2
        curvature = MEMORY * curvature * power / before + (1 - MEMORY) * found
        state, _, log_ratio = move(target, state, step / (1 + curvature), noise, power)
        missing = probability(log_ratio) - ACCEPTANCE
        step = (step * torch.exp(GAIN * missing)).clamp(max=LONGEST_STEP)
        before = power
        on_move()
    return state


def _squares(state: State) -> Tensor:
    """⟨(∂ log w/∂ε_l)²⟩ of every group and chain, float64 ``(L, n)``."""
    return torch.stack([g.double().square().flatten(1).mean(1) for g in state.gradients])
