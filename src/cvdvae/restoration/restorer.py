"""Any linear degradation with the same prior: what was seen in, samples of what was there out.

::

    e    = evidence(H, y, σ)          two estimates and three maps, at the resolution of x
    z    ~ q_ψ(z | e)                 the encoder for everything, at its temperature
    z    ← moves that leave p(z|y) invariant, whatever the encoder (0 by default)
    x    = E[x | z, y]                or, with `grain`, a draw from it

y = Hx + σn. Where σ is 0, x is then projected onto the images in range with Hx = y.
Explained in docs/posterior.md.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from ..checkpoints.records import SECOND, Recommended, SecondEstimate
from ..damage.described import Description
from ..damage.step import Size
from ..degradations.base import Degradation
from ..degradations.foreign import on_device
from ..errors import InputError
from ..gaussian.noise import Noise, SeededNoise
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder
from .batches import BATCH, batch_for, check_memory, moved_at_once
from .believing import Belief
from .checks import check_profile, checked_truth, told, whole_number
from .ending import Draw, DrawTogether, Ending, each_in_own_modes, finished, growing
from .evidence import evidence
from .networks import Networks
from .posterior.chains import Moves, PosteriorSamples, sample_posterior
from .posterior.measurement import Measurement
from .posterior.sweeps import proposal_by_sweeps
from .posterior.whitened import Proposal, Propose
from .restored import Diagnostics, Restoration
from .restoring import Auto, Seen, seen, shown
from .settings import Restoring
from .workers import NETWORK, OnDone, in_own_modes, share_memory_for, untold, workers_on

MOST_MOVED = 250_000
"""Pixels of an image on which chains move, which need gradients through the whole network."""
LEAST_SIGMA = 0.5 / 255
"""The least σ that chains take: half a grey level, where rounding leaves 0.289. So the gradient is
bounded where ``H Hᵀ`` is singular."""


@dataclass(eq=False, repr=False)
class Restorer(Networks):
    """A prior, and an encoder for any degradation on it.

    Attributes:
        prior: The hierarchical VAE.
        encoder: The encoder; without one chains begin as `posterior.sweeps` says.
        name: What results call the model.
        pixel_std: s, in grey levels of 255; see `RestorerRecord`.
        recommended: Temperatures for draws that name none.
        second_estimate: As in `RestorerRecord`.
        weights: Fingerprint of its weights, where they came from a folder.
    """

    prior: HVAE
    encoder: LREncoder | None
    name: str
    pixel_std: float = 10.0
    recommended: Recommended = field(default_factory=Recommended)
    second_estimate: SecondEstimate = SECOND
    weights: str = ""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """What is moved and converted."""
        return (self.prior,) if self.encoder is None else (self.prior, self.encoder)

    def restore(
        self,
        y: Tensor,
        degradation: str | Description | Degradation | None = None,
        samples: int = 8,
        noise: float | Auto | None = None,
        temperature: float | None = None,
        seed: int = 0,
        moves: int = 0,
        grain: bool = False,
        truth: Tensor | None = None,
        antithetic: bool = False,
        self_ensemble: bool = False,
        look: bool = False,
    ) -> Restoration:
        """Draw images behind what was seen of one; sample i depends on `seed` and i alone.

        Args:
            y: As for `seen`.
            degradation: As for `seen`; by default nothing but the noise that is then named.
            samples: As in `Restoring`, like all that follow but `noise` and `truth`.
            noise: As for `seen`.
            temperature: The model's recommended one by default; with moves 1.
            moves: Of every chain.
            grain: Whether pixels are drawn.
            truth: The true image, ``(C, H, W)`` in [0, 1], for the report.
            antithetic: Whether samples are drawn in opposite pairs.
            self_ensemble: Whether they see y in several orientations.
            look: Whether they are tamer, at the model's temperatures for looking.

        Raises:
            InputError: An argument that is not as said; the message says what is wanted.
            ConfigError: The words describe no degradation.

        Example:
            >>> model = cvdvae.load_restorer("celeba64-restore")             # doctest: +SKIP
            >>> model.restore(y, "hole:side=20", samples=8).save("out/")     # doctest: +SKIP
        """
        what = told(degradation, noise)
        at = (samples, temperature, seed, moves, grain)
        how = self.restoring(*at, antithetic, self_ensemble, look)
        return self.run(seen(y, what, noise, check=partial(self.check_seen, how)), how, truth)

    def restoring(
        self,
        samples: int = 8,
        temperature: float | None = None,
        seed: int = 0,
        moves: int = 0,
        grain: bool = False,
        antithetic: bool = False,
        self_ensemble: bool = False,
        look: bool = False,
    ) -> Restoring:
        """Settings, with the recommended temperature where none is named.

        Args:
            samples: As in `Restoring`, like all that follow but `look`.
            temperature: The model's recommended one by default; with moves 1.
            look: Whether they are tamer, at the model's temperatures for looking.

        Raises:
            InputError: A value out of its range, or one that does not go with looking.
        """
        if (moves := whole_number(moves, "moves")) and look:
            raise InputError("looking has a temperature of its own: leave moves out")
        chains = (1.0 if temperature is None else temperature, ())
        own, profile = chains if moves else self.recommended.of_draws(None, temperature, look)[1:]
        return Restoring(samples, own, seed, moves, grain, antithetic, self_ensemble, profile)

    @property
    def side(self) -> int | None:
        """Side of the images that it is bound to; None where they may have any size."""
        config = self.prior.config
        return None if config.any_size else config.image_size

    @property
    def sizes(self) -> str:
        """``64×64``, or ``any size``."""
        return "any size" if self.side is None else f"{self.side}×{self.side}"

    def check_moves(self, moves: int) -> None:
        """Refuse to draw without moves where there is no encoder, and with them without gradients.

        Raises:
            InputError: There is no encoder, and no moves; or moves of what can have no gradients.
        """
        if self.encoder is None and not moves:
            raise InputError(f"{self.name} has no encoder: its samples need moves, some hundreds")
        if moves and next(self.prior.parameters()).is_inference():
            raise InputError(f"{self.name} was loaded in inference mode: moves need gradients")

    def run(
        self, what: Seen, how: Restoring, truth: Tensor | None = None, on_steps: OnDone = untold
    ) -> Restoration:
        """As `restore`, with what was seen and the settings in one object each.

        Args:
            what: What was seen.
            how: How to restore.
            truth: As for `restore`.
            on_steps: Told how many of `Restoring.steps` are done, in fractions: tiles are drawn.

        Raises:
            InputError: The model does not take images of this size, or has no encoder and no moves
                are asked for; or the truth is none.
        """
        *_, whole = self.stream(what, how, truth, on_steps)
        return whole

    @torch.no_grad()
    def stream(
        self, what: Seen, how: Restoring, truth: Tensor | None = None, on_steps: OnDone = untold
    ) -> Iterator[Restoration]:
        """As `run`, yielding after every batch what would have come out had no more samples been
        asked for; the last one is complete."""
        started = time.perf_counter()
        self.check_moves(how.moves)
        workers = workers_on(self.device)
        with in_own_modes(self.device):
            shape = self._check(what, how)
            truth = checked_truth(truth, shape)
            share_memory_for(shape[1:])
            of_y, near_y = (what.degradation, what.y, what.sigma), workers_on(what.y.device)
            told, before = evidence(*of_y, self.second_estimate, near_y), shown(what)
            chains = self._moved(what, how, told, on_steps) if how.moves else None
            batch, draw, together = self._drawing(how, told, chains, on_steps)
            ending = Ending(what, how, self.pixel_std / 255)
        whole = partial(
            Restoration,
            y=what.y[0],
            shown=before,
            degradation=what.degradation,
            description=None if what.description is None else what.description.to_dict(),
            sigma=what.sigma,
            model=self.name,
            truth=None if truth is None else truth.clone(),
            weights=self.weights,
            dtype=self.dtype_name,
            levels=what.levels,
        )
        batches = [range(i, i + batch) for i in range(0, how.samples, batch)]
        done = finished(draw, ending, batches, batch * told[0, 0].numel(), workers, together)
        known = 0
        for x, pixels, exploded in growing(each_in_own_modes(done, self.device), how.samples):
            on_steps((len(x) - known) * (1 if chains else 1 - NETWORK))
            known = len(x)
            yield whole(
                samples=x,
                pixels=pixels,
                exploded=exploded.tolist(),
                diagnostics=None if chains is None else Diagnostics.of(chains.first(len(x))),
                restoring=replace(how, samples=len(x)),
                seconds=time.perf_counter() - started,
            )

    def _drawing(
        self, how: Restoring, told: Tensor, chains: PosteriorSamples | None, on_steps: OnDone
    ) -> tuple[int, Draw, DrawTogether | None]:
        """How many samples are drawn together, what draws them, and what draws several batches,
        where it does not do so by itself."""
        if chains is not None:
            return BATCH, partial(_ended, chains, how.seed), None
        assert self.encoder is not None
        belief = Belief(self.prior, self.encoder, told, how, on_steps)
        together = partial(belief.draw_together, workers=workers_on(self.device))
        return belief.batch, belief.draw, together if len(belief.tiles) > 1 else None

    def check_seen(self, how: Restoring, description: Description, size: Size) -> Size:
        """Refuse what cannot be restored so, by the height and width of y alone.

        Args:
            how: How to restore.
            description: What happened to the image.
            size: Height and width of y.

        Returns:
            Height and width of the images: those of the model, where y is what is left of them.

        Raises:
            InputError: As `check_size`; of another size that is y's.
        """
        bound = None if self.side is None else (self.side, self.side)
        wanted = None if bound is None else description.lr_size(bound)
        large = bound if bound and size == wanted else description.hr_size(size)
        if wanted is not None and large not in (bound, size):
            raise InputError(
                f"{self.name} takes inputs of {wanted[1]}×{wanted[0]} pixels here, not "
                f"{size[1]}×{size[0]}"
            )
        self.check_size(how, *large)
        return large

    def check_size(self, how: Restoring, height: int, width: int) -> None:
        """Refuse images of a size that cannot be restored so.

        Args:
            how: How to restore.
            height: Of the images.
            width: Of the images.

        Raises:
            InputError: The model is bound to another size, or the image is too large for so many
                samples, or for chains; or the profile has not a factor for every stride.
        """
        if self.side is not None and (height, width) != (self.side, self.side):
            raise InputError(
                f"{self.name} restores images of {self.sizes} pixels, not {width}×{height}: cut "
                f"and shrink them first, or take a model of photographs"
            )
        if how.moves and height * width > MOST_MOVED:
            raise InputError(
                f"chains move on images of up to {MOST_MOVED} pixels, not {width}×{height}: "
                f"restore without moves"
            )
        check_memory(how.samples, height, width, "restore it in parts")
        check_profile(how.profile, self.prior.config.group_strides)
        if self.encoder is None or how.moves:
            self.prior.check_size(*self.prior.config.padded(height, width))

    def _check(self, what: Seen, how: Restoring) -> tuple[int, int, int]:
        """Refuse images of a size or of colours that cannot be restored so.

        Returns:
            Channels, height and width of the images.

        Raises:
            InputError: As `check_size`, or the model has another number of channels.
        """
        channels, height, width = what.degradation.A_adjoint(what.y[:1]).shape[1:]
        self.check_size(how, height, width)
        if channels != (wanted := self.prior.config.channels):
            several = "s" * (wanted > 1)
            raise InputError(
                f"{self.name} restores images of {wanted} channel{several}, not {channels}"
            )
        return channels, height, width

    def _propose(
        self, known: Measurement, told: Tensor, size: Size, tau: float, way: int
    ) -> Propose:
        """Where chains begin: the encoder's groups for this y; without one, where `way` leads."""
        crop = (told.shape[2], told.shape[3])
        if self.encoder is None:
            return proposal_by_sweeps(self.prior, known, size, crop, tau, way)
        terms = self.encoder.terms(told.to(self.device), 1)
        posterior_of = partial(self.encoder.posterior_of, terms=terms)
        return Proposal(self.encoder.groups, posterior_of, size, crop).for_all

    def _measurement(self, what: Seen) -> Measurement:
        """For chains, on `device`."""
        sigma, y = max(what.sigma, LEAST_SIGMA), what.y.to(self.device)
        degradation = on_device(what.degradation, self.device)
        return Measurement(y, degradation, self.pixel_std / 255, sigma, what.copies)

    def _moved(self, what: Seen, how: Restoring, told: Tensor, tell: OnDone) -> PosteriorSamples:
        size, known = self.prior.config.padded(*told.shape[2:]), self._measurement(what)
        way = how.moves // 2 if self.encoder is None else 0
        moves = Moves(how.moves - way, how.temperature, batch=batch_for(size[0] * size[1]))
        at_once = moved_at_once(self.device, size[0] * size[1])
        propose = self._propose(known, told, size, how.temperature, way)
        of_chains = (moves, how.samples, partial(SeededNoise, how.seed))
        return sample_posterior(self.prior, propose, known, *of_chains, tell, at_once)


def _ended(chains: PosteriorSamples, seed: int, indices: range) -> tuple[Tensor, Noise]:
    """μ(z) where chains have ended, and the noise that their pixels are drawn with: none of the
    numbers that z was drawn with."""
    mean = chains.means[indices.start : indices.stop].cpu()
    rows = range(indices.start, indices.start + len(mean))
    return mean, SeededNoise(seed, rows, stream=1)
