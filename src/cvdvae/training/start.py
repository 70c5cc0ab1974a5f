"""The weights that a training starts from: those of the same model, or of one with fewer blocks or
more."""

from dataclasses import asdict
from pathlib import Path

from ..checkpoints.folder import encoder_folder, find, prior_folder, read_record
from ..checkpoints.loading import load_prior
from ..checkpoints.records import (
    FlowRecord,
    OneScaleRecord,
    PriorRecord,
    Record,
    RestorerRecord,
    SuperResolutionRecord,
)
from ..checkpoints.weights import WEIGHTS, build, digest, load_weights
from ..data.folder import is_first_process
from ..errors import ConfigError, WeightsError
from ..hcflow import HCFlow, HCFlowConfig
from ..hvae import HVAE, HVAEConfig
from ..hvae.config import LREncoderConfig
from ..hvae.growing import grow_encoder, grow_prior
from ..hvae.lr_encoder import LREncoder

CHECKPOINT = "last.ckpt"
"""In the folder of a run, what it goes on from."""
OF_INPUT = ("input_mean", "input_std")
OF_PRIOR = ("activation", "likelihood", *OF_INPUT)
OF_ENCODER = ("activation", "relative")
"""Keys of a model that say what weights of the same shapes mean. An encoder's input is scaled by
those of its prior."""


def begins(folder: Path) -> bool:
    """Whether a run begins in this folder, and does not go on from its checkpoint."""
    return not (folder / CHECKPOINT).exists()


def start_prior(model: HVAE, name: str) -> None:
    """Fill a prior with the weights of another, which may have fewer blocks, or more.

    Raises:
        WeightsError: There is no such model, or it is no prior that fits.
        ConfigError: Neither has all the blocks of the other, or its weights mean something else.
    """
    folder = find(name)
    record = read_record(folder)
    if not isinstance(record, PriorRecord):
        raise _another_kind(name, record, "prior")
    _check_meaning(name, OF_PRIOR, model.config, record.model)
    if _blocks(record.model) != _blocks(model.config):
        grow_prior(model, load_prior(name))
    else:
        _fill(name, folder, model, record.model)
    say_start(name)


def start_encoder(model: LREncoder, prior: HVAE, name: str) -> None:
    """Fill an LR encoder with the weights of another, which may have fewer blocks and groups, or
    more, and fewer inputs.

    Of the prior that the other one was trained on, the description is enough: its weights may be
    others by now, for whose sake encoders are trained again.

    Raises:
        WeightsError: There is no such model, or it is no encoder that fits.
        ConfigError: Neither it nor the encoder, or neither of their priors, has all the blocks of
            the other, or its weights mean something else.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, OneScaleRecord):
        folder = encoder_folder(folder, record)
        record = read_record(folder)
    if not isinstance(record, (RestorerRecord, SuperResolutionRecord)):
        raise _another_kind(name, record, "LR encoder")
    _check_meaning(name, OF_ENCODER, model.config, record.model)
    where = prior_folder(folder, record.prior)
    its_prior = read_record(where)
    if not isinstance(its_prior, PriorRecord):
        raise WeightsError(f"the prior of '{name}' is a {its_prior.kind}")
    _check_meaning(f"the prior of {name}", OF_INPUT, prior.config, its_prior.model)
    changed = not (where / WEIGHTS).is_file() or digest(where) != record.prior_digest
    encoder = build(folder, lambda: LREncoder(record.model, its_prior.model))
    _check_widths(
        name, sorted({*model.strides} & {*encoder.strides}), prior.config, its_prior.model
    )
    same_prior = _blocks(its_prior.model) == _blocks(prior.config)
    described = ("bottom_up", "top_down", "scales", "conditions")
    shapes = {
        (one.groups, *(getattr(one.config, key) for key in described)) for one in (encoder, model)
    }
    if same_prior and len(shapes) == 1:
        _fill(name, folder, model, record.model)
    else:
        grow_encoder(model, encoder, prior.config, its_prior.model)
    say_start(name, "its prior has other weights now, and should have the same blocks" * changed)


def start_flow(flow: HCFlow, name: str) -> None:
    """Fill a flow with the weights of another of the same shape.

    Raises:
        WeightsError: There is no such model, or it is no flow.
        ConfigError: Its weights have other shapes.
    """
    folder = find(name)
    record = read_record(folder)
    if not isinstance(record, FlowRecord):
        raise _another_kind(name, record, "flow")
    _fill(name, folder, flow, record.model)
    say_start(name)


def _fill(
    name: str,
    folder: Path,
    model: HVAE | LREncoder | HCFlow,
    config: HVAEConfig | LREncoderConfig | HCFlowConfig,
) -> None:
    """Load weights, those of a model with this configuration.

    Raises:
        WeightsError: They are damaged.
        ConfigError: They have other shapes.
    """
    try:
        load_weights(folder, model)
    except WeightsError:
        theirs, ours = asdict(config), asdict(model.config)
        others = [key for key in ours if key in theirs and ours[key] != theirs[key]]
        if not others:
            raise
        which = ", ".join(f"{key} {theirs[key]}, and not {ours[key]}" for key in others)
        raise ConfigError(f"start_from: the weights of {name} do not fit: it has {which}") from None


def _another_kind(name: str, record: Record, wanted: str) -> WeightsError:
    return WeightsError(f"start_from: {name} is no {wanted}, but of the kind {record.kind}")


def say_start(name: str, remark: str = "") -> None:
    """A training that goes on from other weights says so, from its first process."""
    if is_first_process():
        more = f"; {remark}" if remark else ""
        print(f"starts from the weights of {name} (start_from){more}", flush=True)


def _check_meaning(
    name: str,
    keys: tuple[str, ...],
    ours: HVAEConfig | LREncoderConfig,
    theirs: HVAEConfig | LREncoderConfig,
) -> None:
    for key in keys:
        mine, its = getattr(ours, key), getattr(theirs, key)
        if mine != its:
            raise ConfigError(f"start_from: {name} has {key} {its}, and this model {key} {mine}")


def _check_widths(name: str, strides: list[int], ours: HVAEConfig, theirs: HVAEConfig) -> None:
    """Refuse a prior whose states or latents have other channels where encoders have heads."""
    channels = [("z_channels", theirs.z_channels, ours.z_channels)]
    channels += [(f"width at stride {s}", theirs.width_at(s), ours.width_at(s)) for s in strides]
    for what, its, mine in channels:
        if its != mine:
            raise ConfigError(
                f"start_from: the prior of {name} has {what} {its}, and this model's prior {mine}"
            )


def _blocks(config: HVAEConfig) -> tuple[str, str]:
    return config.bottom_up, config.top_down
