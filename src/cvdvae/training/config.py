"""Settings of a training run, as written in `configs/*.yaml`."""

import math
from dataclasses import dataclass, field
from typing import Literal

from ..checkpoints.precision import StoredBits
from ..data.folder import DataConfig
from ..errors import ConfigError
from ..hcflow import HCFlowConfig
from ..hvae import HVAEConfig
from ..hvae.config import LREncoderConfig
from .degrade import DEGRADATIONS

MAX_STEPS, MAX_BATCH, MAX_SIZE, MAX_PHOTONS = 10**9, 65_536, 4096, 1e9


@dataclass(frozen=True)
class OptimConfig:
    """How the weights are trained.

    Attributes:
        steps: Optimizer steps in all.
        batch_size: Images in a step, over all processes.
        learning_rate: AdamW's rate after the warm-up.
        warmup: Steps in which the rate rises linearly from zero.
        decay: The last steps, in which it falls linearly to zero. Before them it is constant, so a
            finished run can be lengthened from the checkpoint that is kept at their start.
        betas: AdamW's decay rates of the two moments.
        weight_decay: AdamW's weight decay.
        clip_norm: The gradient is scaled down to this norm.
        skip_norm: A step whose gradient norm is beyond this, or not finite, is skipped and counted;
            a training that skips all of its first 50 ends. The narrower a Gaussian, the larger its
            first gradients: 1e5 suits a `pixel_std` of 2.5, 1e6 one of 1.
        ema: Decay of the exponential moving average of the weights, which is what is kept.
        seed: Seed of the initial weights, the data order and all noise.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        compile: Compile the loss with `torch.compile`: minutes at the start, faster on a GPU.
    """

    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-3
    warmup: int = 200
    decay: int = 0
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    skip_norm: float = 1000.0
    ema: float = 0.999
    seed: int = 0
    validate_every: int = 500
    checkpoint_every: int = 100
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
            most = MAX_BATCH if name == "batch_size" else MAX_STEPS
            if getattr(self, name) > most:
                raise ConfigError(f"{name} must be at most {most}, not {getattr(self, name)}")
        for name in ("learning_rate", "weight_decay"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} must be a number, not {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm", "skip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("warmup", "decay", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must be from 0 to 2^31 - 1, not {self.seed}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be in [0, 1), not {self.betas}")
        if self.warmup + self.decay > self.steps:
            raise ConfigError("warmup and decay are longer than the run")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema must be in [0, 1), not {self.ema}")

    def rate_at(self, step: int) -> float:
        """Factor on the learning rate at a step: warm-up, plateau, linear decay."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        falling = min(1.0, (self.steps - step) / self.decay) if self.decay else 1.0
        return max(0.0, min(rising, falling))


@dataclass(frozen=True)
class PriorTraining:
    """`cvdvae train prior`.

    Attributes:
        model: The architecture.
        data: The images.
        optim: The optimization.
        free_bits: Bits per dimension that the latent groups of every stride may hold at no cost
            (Kingma et al. 2016): without some, finer groups take over what coarse ones should say.
        start_from: A model whose weights are the starting point; it may have fewer blocks, or
            more, see `cvdvae.hvae.growing`. Empty for random ones.
        stored_bits: Bits of an exported weight: 32, 16 or 8.
    """

    model: HVAEConfig
    data: DataConfig
    optim: OptimConfig
    free_bits: float = 0.0
    start_from: str = ""
    stored_bits: StoredBits = 32

    def __post_init__(self) -> None:
        if not 0 <= self.free_bits < math.inf:
            raise ConfigError(f"free_bits must not be negative, but is {self.free_bits}")


@dataclass(frozen=True)
class FlowTraining:
    """`cvdvae train flow`.

    Attributes:
        model: The architecture.
        data: The high-resolution images; they are shrunk on the fly.
        optim: The optimization.
        pixel_weight: Weight of the mean absolute error of the answer at temperature 0, beside the
            bits/dim (HCFlow+ without its perceptual loss); 0 trains on the likelihood alone.
        start_from: A flow whose weights are the starting point; empty for random ones.
        stored_bits: Bits of an exported weight: 32, 16 or 8.
    """

    model: HCFlowConfig
    data: DataConfig
    optim: OptimConfig
    pixel_weight: float = 0.0
    start_from: str = ""
    stored_bits: StoredBits = 32

    def __post_init__(self) -> None:
        if not 0 <= self.pixel_weight < math.inf:
            raise ConfigError(f"pixel_weight must be a number from 0, not {self.pixel_weight}")
        if self.optim.compile:
            raise ConfigError("a flow cannot be compiled: take compile out of optim")


@dataclass(frozen=True)
class EnergyConfig:
    """What an encoder's draws are judged by (see `cvdvae.training.energy`).

    Attributes:
        pixels: Weight of the energy score of patches, in bits/dim for a grey level; 0 for none.
        features: Weight of that of what LPIPS sees, in bits/dim; 0 for none.
        lpips: Local AlexNet features (safetensors) for it; torchvision's own by default.
        coarsest: Largest stride of the latent groups that the energy trains. The coarser groups
            learn from the KL alone. The projection hides their error from the energy, so it would
            use their noise as a source of texture. 0 trains all groups on the energy.
    """

    pixels: float = 0.0
    features: float = 0.0
    lpips: str = ""
    coarsest: int = 0

    def __post_init__(self) -> None:
        for name in ("pixels", "features"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be a number from 0, not {getattr(self, name)}")
        if self.lpips and not self.features:
            raise ConfigError("lpips means nothing without features: leave it out")
        if self.coarsest < 0:
            raise ConfigError(f"coarsest must be a stride, or 0 for all, not {self.coarsest}")


@dataclass(frozen=True)
class EncoderTraining:
    """`cvdvae train encoder`.

    Attributes:
        model: The LR encoder's architecture.
        prior: The frozen prior: a bundled name, a folder, or a Hub id.
        data: The high-resolution images; they are shrunk on the fly.
        optim: The optimization.
        image_size: Side of the images that it is trained on, for a prior that takes any size; 0
            takes that of the prior.
        photons: How many photons a value of 1 stands for: the low-resolution images get their
            Poisson noise, as a camera's of faint light; 0 for none. The samples of such an encoder
            explain y within that noise, and are not made to give it back.
        degradations: What the images have been through: ``shrinking`` by the model's scales, or
            ``any`` of what `cvdvae.training.degrade` draws at random, blur, holes, noise and JPEG
            among it; the model's scales are then [1].
        shares: How often each of these happens in training, by its name in
            `cvdvae.training.degrade`, and no other; they need not add up to 1. A validation takes
            those in turn. Empty for the usual shares.
        energy: What two draws for every image are judged by, beside the KL: for the last hours,
            since a step takes longer.
        start_from: An LR encoder whose weights are the starting point; it and its prior may have
            fewer blocks, or more, it may have several scales where this one has one, and it may be
            told less of y, see `cvdvae.hvae.growing`. Empty for fresh ones.
        stored_bits: Bits of an exported weight: 32, 16 or 8.
    """

    model: LREncoderConfig
    prior: str
    data: DataConfig
    optim: OptimConfig
    image_size: int = 0
    photons: float = 0.0
    degradations: Literal["shrinking", "any"] = "shrinking"
    shares: dict[str, float] = field(default_factory=dict)
    energy: EnergyConfig = EnergyConfig()
    start_from: str = ""
    stored_bits: StoredBits = 32

    def __post_init__(self) -> None:
        if not 0 <= self.photons <= MAX_PHOTONS:
            raise ConfigError(
                f"photons must be a number from 0 to {MAX_PHOTONS:g}, not {self.photons}"
            )
        if self.photons and self.degradations == "any":
            raise ConfigError("photons go with images that are shrunk: with 'any', leave them out")
        self._check_shares()
        if not 0 <= self.image_size <= MAX_SIZE:
            raise ConfigError(f"image_size must be from 0 to {MAX_SIZE}, not {self.image_size}")

    def _check_shares(self) -> None:
        if self.shares and self.degradations != "any":
            raise ConfigError("shares are those of degradations 'any': leave them out")
        odd = [name for name in self.shares if name not in DEGRADATIONS]
        if odd:
            raise ConfigError(f"no share can be '{odd[0]}': there are {', '.join(DEGRADATIONS)}")
        if not all(0 <= share < math.inf for share in self.shares.values()):
            raise ConfigError("a share must be a number from 0")
        if self.shares and not any(self.shares.values()):
            raise ConfigError("every share is 0: nothing would happen")
