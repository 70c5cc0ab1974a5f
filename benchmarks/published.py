"""The published code beside ours: models with the same random weights, drawn with the same noise.

This file holds none of that code: it imports it from a checkout that you name.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from cvdvae.checkpoints.published import srvdvae_names, vdvae_names
from cvdvae.hvae import HVAE, HVAEConfig
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.hvae.notation import strides_of_resolutions

DATASETS = {"ffhq256": "ffhq_256", "ffhq1024": "ffhq_1024"}


def load_module(checkout: Path, name: str) -> ModuleType:
    """Import `name.py` of a checkout, with the `vae_helpers` that lies beside it."""
    ours = sys.modules.pop(name, None)
    sys.modules.pop("vae_helpers", None)
    for module in ("vae_helpers", name):
        spec = importlib.util.spec_from_file_location(module, checkout / f"{module}.py")
        if spec is None or spec.loader is None or not (checkout / f"{module}.py").is_file():
            sys.exit(f"{checkout} holds no {module}.py: name a checkout of the published code")
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    theirs = sys.modules.pop(name)
    if ours is not None:  # a checkout's cvdvae.py has the name of our package
        sys.modules[name] = ours
    return theirs


def blocks_of(text: str, image_size: int) -> str:
    """A block list of ours in the published notation, which counts resolutions."""
    return strides_of_resolutions(text, image_size)  # size / (size / r) = r: its own inverse


def widths_of(widths: dict[int, int], image_size: int) -> str:
    """Channels at single strides in the published notation."""
    return ",".join(f"{image_size // stride}:{width}" for stride, width in widths.items())


def hyperparameters(preset: str, config: HVAEConfig, **more: Any) -> SimpleNamespace:
    """The settings of the published classes for one of our configurations."""
    size = config.image_size
    return SimpleNamespace(
        width=config.width,
        custom_width_str=widths_of(config.widths, size),
        zdim=config.z_channels,
        enc_blocks=blocks_of(config.bottom_up, size),
        dec_blocks=blocks_of(config.top_down, size),
        bottleneck_multiple=config.bottleneck,
        no_bias_above=max((size // stride for stride in config.biases), default=0),
        num_mixtures=config.mixtures,
        image_size=size,
        image_channels=3,
        dataset=DATASETS.get(preset, preset),
        shift=-255 * config.input_mean,
        scale=1 / (255 * config.input_std),
        **more,
    )


def lr_hyperparameters(config: LREncoderConfig, prior: HVAEConfig) -> dict[str, Any]:
    """The settings of the published LR encoder, which has one scale."""
    (scale,), size = config.scales, prior.image_size
    return {
        "enc_blocks_y": blocks_of(config.bottom_up, size),
        "ky": config.groups_of(prior),
        "image_size_y": size // scale,
        "width_y": config.width,
        "custom_width_str_y": widths_of(config.widths, size),
    }


def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    """Random weights as in training, with biases and zeroed layers that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 4 and "bias" not in name and "gain" not in name:
                fan_in = parameter[0].numel()
                scale = 0.3 / fan_in**0.5
            else:
                scale = 0.1
            start = 1.0 if name.endswith("gain") else 0.0
            parameter.copy_(start + scale * torch.randn(parameter.shape, generator=generator))


def copy_prior(theirs: torch.nn.Module, ours: HVAE) -> None:
    """Take over the weights of a published VAE."""
    state = theirs.state_dict()
    ours.load_state_dict({o: state[t] for o, t in vdvae_names(ours.config).items()})


def copy_encoder(theirs: torch.nn.Module, ours: LREncoder, prior: HVAEConfig) -> None:
    """Take over the weights of a published LR encoder."""
    state = theirs.state_dict()
    ours.load_state_dict({o: state[t] for o, t in srvdvae_names(ours.config, prior).items()})


class ListedNoise:
    """Noise that is drawn once, in the order of the latent groups, and given to both sides."""

    def __init__(self, config: HVAEConfig, batch: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.epsilon = [
            torch.randn(batch, config.z_channels, r, r, generator=generator)
            for r in config.group_resolutions
        ]
        self.restart()

    def restart(self) -> None:
        """Give the first group's noise next."""
        self.next: Iterator[Tensor] = iter(self.epsilon)

    def normal(self, like: Tensor) -> Tensor:
        """The next group's noise."""
        return next(self.next).to(like)

    def uniform(self, like: Tensor) -> Tensor:
        """Not needed: what is compared are the parameters of p(x|z)."""
        raise NotImplementedError

    def published(self, mean: Tensor, log_std: Tensor) -> Tensor:
        """A stand-in for the published draw from a Gaussian."""
        return mean + torch.exp(log_std) * self.normal(mean)
