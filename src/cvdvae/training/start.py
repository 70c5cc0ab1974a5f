"""The weights that a training starts from: those of the same model, or of a smaller one."""

import os
from pathlib import Path

from ..checkpoints.folder import find, load_encoder, load_prior, load_restoring, read_record
from ..checkpoints.records import PriorRecord, RestorerRecord, SuperResolutionRecord
from ..checkpoints.weights import load_weights
from ..hvae import HVAE, HVAEConfig
from ..hvae.growing import grow_encoder, grow_prior
from ..hvae.lr_encoder import LREncoder

CHECKPOINT = "last.ckpt"
"""In the folder of a run, what it goes on from."""


def begins(folder: Path) -> bool:
    """Whether a run begins in this folder, and does not go on from its checkpoint."""
    return not (folder / CHECKPOINT).exists()


def start_prior(model: HVAE, name: str) -> None:
    """Fill a prior with the weights of another, which may have fewer blocks.

    Raises:
        WeightsError: There is no such model, or it is no prior that fits.
        ConfigError: It has blocks that the prior lacks.
    """
    folder = find(name)
    say_start(name)
    record = read_record(folder)
    if isinstance(record, PriorRecord) and _blocks(record.model) != _blocks(model.config):
        grow_prior(model, load_prior(name))
    else:
        load_weights(folder, model)


def start_encoder(model: LREncoder, prior: HVAE, name: str) -> None:
    """Fill an LR encoder with the weights of another, which may have fewer blocks or inputs.

    Raises:
        WeightsError: There is no such model, or it is no encoder that fits.
        ConfigError: It has blocks that the encoder or its prior lacks.
    """
    folder = find(name)
    say_start(name)
    record = read_record(folder)
    small: tuple[HVAE, LREncoder | None]
    if isinstance(record, RestorerRecord):
        small = load_restoring(name)[:2]
    elif isinstance(record, SuperResolutionRecord):
        small = load_encoder(name, record.model.scales[0])[:2]
    else:
        load_weights(folder, model)
        return
    its_prior, encoder = small
    assert encoder is not None
    same_prior = _blocks(its_prior.config) == _blocks(prior.config)
    shapes = (encoder.config, model.config)
    same = len({(one.bottom_up, one.scales, one.conditions) for one in shapes}) == 1
    if same_prior and same:
        load_weights(folder, model)
    else:
        grow_encoder(model, encoder, prior, its_prior)


def say_start(name: str) -> None:
    """A training that goes on from other weights says so, from its first process."""
    if os.environ.get("RANK", "0") == "0":
        print(f"starts from the weights of {name} (start_from)", flush=True)


def _blocks(config: HVAEConfig) -> tuple[str, str]:
    return config.bottom_up, config.top_down
