"""Tiny models with random weights, built in a moment: for tests and for trying out a pipeline."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from torch import Tensor, nn

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord, RestorerRecord, SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.degradations.base import Products
from cvdvae.hcflow import HCFlow, HCFlowConfig
from cvdvae.hcflow.flow import Level
from cvdvae.hvae import HVAE, HVAEConfig
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.restoration.flow import FlowResolver
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.restorer import Restorer

M = TypeVar("M", bound=nn.Module)

PRIOR = HVAEConfig.of_resolutions(
    image_size=16,
    patch_size=2,
    bits=5,
    mixtures=2,
    z_channels=3,
    width=12,
    widths={8: 8},
    encoder="8x1,8d2,4x1,4d4,1x1",
    decoder="1x1,4m1,4x1,8m4,8r1",
    activation="silu",
    bias_max_resolution=4,
)
ENCODER = LREncoderConfig.of_resolutions(16, 4, "4x1,4d4,1x1", width=8)
RESTORING = LREncoderConfig(
    scales=(1,), conditions=6, bottom_up="2x1,2d2,4x1,4d4,16x1", width=8, patch_size=2, groups=4
)
FLOW = HCFlowConfig(
    image_size=16,
    scale=4,
    steps=1,
    conditional_steps=1,
    hidden_channels=4,
    features=3,
    growth=2,
    trunks=(1, 0),
)


def tiny_prior(config: HVAEConfig = PRIOR, seed: int = 0) -> HVAE:
    """A random prior of which every parameter matters: none is left at zero."""
    torch.manual_seed(seed)
    return _shake(HVAE(config))


def tiny_resolver(encoder: LREncoderConfig = ENCODER, seed: int = 0) -> HVAEResolver:
    """A random prior of 16×16 pixels with a random LR encoder on it, ×4 by default."""
    prior = tiny_prior(seed=seed)
    return HVAEResolver(prior, _shake(LREncoder(encoder, prior.config)), "tiny")


def tiny_restorer(seed: int = 0) -> Restorer:
    """A random prior of 16×16 pixels with a random encoder for any degradation on it."""
    prior = tiny_prior(seed=seed)
    return Restorer(prior, _shake(LREncoder(RESTORING, prior.config)), "tiny")


def saved_prior(folder: Path, prior: HVAE | None = None) -> Path:
    """A prior in a folder, the tiny one by default."""
    prior = prior or tiny_prior()
    save_model(folder, PriorRecord("prior", prior.config), prior.state_dict())
    return folder


def saved_resolver(folder: Path, model: HVAEResolver | None = None) -> Path:
    """An LR encoder in a folder, with its prior in it; the tiny one by default."""
    if model is None:
        return copied(folder, _tiny_resolver)
    prior = saved_prior(folder / "prior", model.prior)
    record = SuperResolutionRecord("lr-encoder", "prior", digest(prior), model.encoder.config)
    save_model(folder, record, model.encoder.state_dict())
    return folder


def saved_restorer(folder: Path, model: Restorer | None = None) -> Path:
    """A restorer in a folder, with its prior in it; the tiny one by default."""
    if model is None:
        return copied(folder, _tiny_restorer)
    assert model.encoder is not None
    prior = saved_prior(folder / "prior", model.prior)
    record = RestorerRecord(
        "restorer",
        "prior",
        digest(prior),
        model.encoder.config,
        second_estimate=model.second_estimate,
    )
    save_model(folder, record, model.encoder.state_dict())
    return folder


def copied(folder: Path, save: Callable[[Path], object]) -> Path:
    """What a function saves in a folder. It is called once: from then on its files are copied, and
    the random numbers go on as they did behind it."""
    files, state = _saved(save)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    torch.set_rng_state(state)
    return folder


@cache
def _saved(save: Callable[[Path], object]) -> tuple[dict[Path, bytes], torch.Tensor]:
    with TemporaryDirectory() as place:
        save(Path(place))
        paths = [path for path in Path(place).rglob("*") if path.is_file()]
        files = {path.relative_to(place): path.read_bytes() for path in paths}
    return files, torch.get_rng_state()


def _tiny_resolver(folder: Path) -> None:
    saved_resolver(folder, tiny_resolver())


def _tiny_restorer(folder: Path) -> None:
    saved_restorer(folder, tiny_restorer())


def tiny_flow(seed: int = 0, config: HCFlowConfig = FLOW) -> FlowResolver:
    """A random flow, ×4 to 16×16 pixels by default, with details as small as a trained one's."""
    torch.manual_seed(seed)
    flow = _shake(HCFlow(config), by=0.02)
    for level in flow.levels:
        assert isinstance(level, Level)
        assert level.detail.base.conv.bias is not None
        level.detail.base.conv.bias[1::2] -= 3
    return FlowResolver(flow, "tiny flow")


def _shake(model: M, by: float = 0.1) -> M:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


PHOTOS = HVAEConfig(
    image_size=24,
    patch_size=2,
    likelihood="gaussian",
    z_channels=3,
    width=12,
    widths={2: 8},
    bottom_up="2x1,2d2,4x1,4d2,8x1",
    top_down="8x1,4m8,2m4,2r1",
    activation="silu",
)
SCALES = LREncoderConfig(
    scales=(2, 3), bottom_up="2x1,2d2,4x1,4d2,8x1", patch_size=2, width=8, groups=3
)


def tiny_photos(scale: int) -> HVAEResolver:
    """A random convolutional prior with a random LR encoder for ×2 and ×3."""
    prior = tiny_prior(PHOTOS)
    return HVAEResolver(prior, _shake(LREncoder(SCALES, prior.config)), "tiny photos", scale)


def tiny_photo_restorer() -> Restorer:
    """A random convolutional prior with a random encoder for any degradation."""
    prior = tiny_prior(PHOTOS)
    config = replace(RESTORING, bottom_up=SCALES.bottom_up, groups=3)
    return Restorer(prior, _shake(LREncoder(config, prior.config)), "tiny photos")


NUCLEI = replace(PHOTOS, channels=1, pixel_std=1.0, input_mean=0.1, input_std=0.1)
FAINT = LREncoderConfig(
    scales=(4,), bottom_up="2x1,2d2,4x1,4d2,8x1", patch_size=2, width=8, groups=3
)
PHOTONS = 1000.0


def tiny_nuclei() -> HVAEResolver:
    """A random convolutional prior of one channel with a random LR encoder ×4 for faint light."""
    prior = tiny_prior(NUCLEI)
    encoder = _shake(LREncoder(FAINT, prior.config))
    return HVAEResolver(prior, encoder, "tiny nuclei", photons=PHOTONS)


def matrix_of(degradation: Products, shape: tuple[int, int, int]) -> Tensor:
    """H as a matrix, for images ``(C, H, W)``: float64, ``(m, n)``."""
    pixels = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return torch.cat([degradation.A(part).flatten(1) for part in pixels.split(256)]).T
