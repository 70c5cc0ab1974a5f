"""Any linear degradation with the same prior: what was seen in, samples of what was there out.

::

    e    = evidence(H, y, σ)          two estimates and three maps, at the resolution of x
    z    ~ q_ψ(z | e)                 the encoder for everything, at its temperature
    z    ← moves that leave p(z|y) invariant, whatever the encoder (0 by default)
    x    = E[x | z, y]                or, with `grain`, a draw from it

y = Hx + σn. Where σ is 0, x is then projected onto the images in range with Hx = y, as in
super-resolution. `evidence`, `chains` and `posterior` have the equations of each line.
"""

import time
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from ..checkpoints.records import Recommended
from ..degradations.base import Degradation
from ..errors import InputError
from ..gaussian import Conditional, FieldNoise, Noise, SeededNoise, Window
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder
from .chains import Moves, PosteriorSamples, sample_posterior
from .described import Description
from .evidence import evidence
from .finish import Finished, cut, finish
from .posterior import Measurement
from .recipe import Dtype
from .restored import Diagnostics, Restoration
from .restoring import Restoring, Seen, seen, shown
from .sampler import BATCH, DTYPES
from .sweeps import proposal_by_sweeps
from .whitened import Proposal
from .workers import in_order, one_thread_each, workers_on

SWEEPS = 2
"""Sweeps before the moves where there is no encoder; more of them drift away from images."""
LEAST_SIGMA = 0.5 / 255
"""What chains take for the noise of a y without any: half a grey level, the rounding of a file."""


@dataclass(eq=False)
class Restorer:
    """A prior, and an encoder for any degradation on it.

    Attributes:
        prior: The hierarchical VAE.
        encoder: The encoder; without one every chain begins with sweeps, see `sweeps`.
        name: What results call the model.
        pixel_std: s, in grey levels of 255; see `RestorerRecord`.
        recommended: Temperatures for draws that name none.
        weights: Fingerprint of its weights, where they came from a folder.
    """

    prior: HVAE
    encoder: LREncoder | None
    name: str
    pixel_std: float = 10.0
    recommended: Recommended = field(default_factory=Recommended)
    weights: str = ""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """What is moved and converted."""
        return (self.prior,) if self.encoder is None else (self.prior, self.encoder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.prior.parameters()).device

    @property
    def dtype_name(self) -> Dtype:
        """Name of what the networks compute in."""
        dtype = next(self.prior.parameters()).dtype
        return next(name for name, known in DTYPES.items() if known == dtype)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> "Restorer":
        """Move the weights and convert them, as `SuperResolver.to`.

        Raises:
            InputError: There is no such device here.
        """
        try:
            for network in self.networks:
                network.to(device, dtype)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot use the device '{device}': {reason}") from None
        return self

    def restore(
        self,
        y: Tensor,
        degradation: str | Description | Degradation,
        samples: int = 8,
        noise: float | None = None,
        temperature: float | None = None,
        seed: int = 0,
        moves: int = 0,
        grain: bool = False,
        truth: Tensor | None = None,
    ) -> Restoration:
        """Draw images behind what was seen of one.

        Sample i depends on `seed` and i alone.

        Args:
            y: As for `seen`.
            degradation: As for `seen`.
            samples: As in `Restoring`, like all that follow but `noise` and `truth`.
            noise: As for `seen`.
            temperature: The model's recommended one by default; with moves 1.
            seed: Of the samples.
            moves: Of every chain.
            grain: Whether pixels are drawn.
            truth: The true image, ``(C, H, W)`` in [0, 1], for the report.

        Raises:
            InputError: An argument that is not as said; the message says what is wanted.
            ConfigError: The words describe no degradation.

        Example:
            >>> model = cvdvae.load_restorer("celeba64-restore")             # doctest: +SKIP
            >>> model.restore(y, "hole:side=20", samples=8).save("out/")     # doctest: +SKIP
        """
        how = self.restoring(samples, temperature, seed, moves, grain)
        return self.run(seen(y, degradation, noise), how, truth)

    def restoring(
        self,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        moves: int = 0,
        grain: bool = False,
    ) -> Restoring:
        """Settings, with the recommended temperature where none is named.

        Args:
            samples: As in `Restoring`, like all that follow.
            temperature: The model's recommended one by default; with moves 1.
            seed: Of the samples.
            moves: Of every chain.
            grain: Whether pixels are drawn.

        Raises:
            InputError: A value out of its range.
        """
        if temperature is None:
            temperature = 1.0 if moves else self.recommended.encoder_temperature
        return Restoring(samples, temperature, seed, moves, grain)

    @property
    def side(self) -> int | None:
        """Side of the images that it is bound to; None where they may have any size."""
        config = self.prior.config
        return None if config.any_size else config.image_size

    def check_moves(self, moves: int) -> None:
        """Refuse to draw without moves where there is no encoder.

        Raises:
            InputError: There is none, and no moves.
        """
        if self.encoder is None and not moves:
            raise InputError(f"{self.name} has no encoder: its samples need moves, some hundreds")

    @torch.no_grad()
    def run(self, what: Seen, how: Restoring, truth: Tensor | None = None) -> Restoration:
        """As `restore`, with what was seen and the settings in one object each.

        Args:
            what: What was seen.
            how: How to restore.
            truth: As for `restore`.

        Raises:
            InputError: The model does not take images of this size, or has no encoder and no moves
                are asked for.
        """
        started = time.perf_counter()
        self.check_moves(how.moves)
        with one_thread_each(), torch.autocast(self.device.type, enabled=False):
            proposal = self._proposal(what)
            moved = self._moved(what, how, proposal) if how.moves else None
            work = partial(self._finished, what, how, proposal, moved)
            batches = [range(i, i + BATCH) for i in range(0, how.samples, BATCH)]
            done = list(in_order(work, batches, workers_on(self.device)))
            input_ = evidence(what.degradation, what.y, what.sigma)
        colours = self.prior.config.channels
        x, pixels, exploded = (torch.cat(parts)[: how.samples] for parts in zip(*done, strict=True))
        return Restoration(
            y=what.y[0],
            shown=shown(what, input_[0, colours : 2 * colours]),
            samples=x,
            pixels=pixels,
            exploded=exploded.tolist(),
            degradation=what.degradation,
            description=None if what.description is None else what.description.to_dict(),
            sigma=what.sigma,
            model=self.name,
            restoring=how,
            seconds=time.perf_counter() - started,
            truth=truth,
            diagnostics=None if moved is None else _diagnostics(moved),
            weights=self.weights,
            dtype=self.dtype_name,
        )

    def _proposal(self, what: Seen) -> Proposal:
        """The encoder's groups for this y, or none."""
        height, width = what.degradation.A_adjoint(what.y).shape[2:]
        if self.encoder is None:
            multiple = self.prior.config.multiple
            size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
            self.prior.check_size(*size)
            measurement = self._measurement(what, chains=True)
            return proposal_by_sweeps(self.prior, measurement, size, (height, width), SWEEPS)
        input_ = evidence(what.degradation, what.y, what.sigma).to(self.device)
        size = self.encoder.size_for(input_, 1)
        self._check_size(height, width, size)
        encoder, terms = self.encoder, self.encoder.terms(input_, 1)
        posterior_of = partial(encoder.posterior_of, terms=terms)
        return Proposal(encoder.groups, posterior_of, size, (height, width))

    def _check_size(self, height: int, width: int, size: tuple[int, int]) -> None:
        side = self.prior.config.image_size
        if not self.prior.config.any_size and (height, width) != (side, side):
            raise InputError(
                f"{self.name} restores images of {side}×{side} pixels, not {width}×{height}"
            )
        self.prior.check_size(*size)

    def _noise(self, how: Restoring, size: tuple[int, int], indices: range) -> Noise:
        if self.prior.config.any_size:
            return FieldNoise(how.seed, indices, Window(0, 0, *size))
        return SeededNoise(how.seed, indices)

    def _measurement(self, what: Seen, chains: bool = False) -> Measurement:
        sigma = max(what.sigma, LEAST_SIGMA) if chains else what.sigma
        return Measurement(what.y, what.degradation, self.pixel_std / 255, sigma)

    def _moved(self, what: Seen, how: Restoring, proposal: Proposal) -> PosteriorSamples:
        moves = Moves(how.moves, how.temperature, batch=BATCH)
        noise = partial(self._noise, how, proposal.size)
        measurement = self._measurement(what, chains=True)
        return sample_posterior(self.prior, proposal, measurement, moves, how.samples, noise)

    def _finished(
        self,
        what: Seen,
        how: Restoring,
        proposal: Proposal,
        moved: PosteriorSamples | None,
        indices: range,
    ) -> Finished:
        """A batch, from its noise to its pixels."""
        noise = self._noise(how, proposal.size, indices)
        if moved is None:
            mean = self._decoded(proposal, how, noise, len(indices))
        else:
            mean = moved.means[indices.start : indices.stop].cpu()
            noise = self._noise(how, proposal.crop, range(indices.start, indices.start + len(mean)))
        _, exploded = cut(mean)
        mean = mean.nan_to_num(0.5).clamp(-1, 2)
        measurement = self._measurement(what)
        if what.sigma == 0:
            done = finish(mean, what.y, what.degradation)
            return done._replace(exploded=exploded)
        x = measurement.draw(mean, noise if how.grain else None)
        done = finish(x, what.y, what.degradation, consistent=False)
        return done._replace(exploded=exploded)

    def _decoded(self, proposal: Proposal, how: Restoring, noise: Noise, n: int) -> Tensor:
        """μ(z) of n draws, ``(n, C, H, W)`` float32 on the CPU."""

        def pick(group: int, h: Tensor, prior: Conditional) -> Tensor:
            given = group < proposal.groups
            conditional = proposal.posterior_of(group, h, prior) if given else prior
            return conditional.sample(noise, how.temperature)

        h = self.prior.top_down(pick, n, size=proposal.size)
        mean = self.prior.likelihood.mean(self.prior.parameters_of_x(h))
        height, width = proposal.crop
        return mean[..., :height, :width].float().cpu()


def _diagnostics(moved: PosteriorSamples) -> Diagnostics:
    return Diagnostics(
        acceptance=moved.acceptance.tolist(),
        effective=moved.effective,
        r_hat=moved.r_hat,
        log_w_gain=float((moved.log_w[:, -1] - moved.log_w[:, 0]).mean()),
    )
