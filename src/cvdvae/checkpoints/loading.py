"""The networks of model folders, built and filled.

An LR encoder works on the prior it was trained on and on no other: it is loaded with it, and the
digest of the prior's weights must be the one that the encoder's folder names.
"""

from pathlib import Path
from typing import NamedTuple
from warnings import warn

import torch

from ..errors import ConfigError, CVDVAEWarning, InputError, WeightsError
from ..hcflow import HCFlow
from ..hcflow.transforms import InvertibleConv1x1
from ..hvae import HVAE
from ..hvae.lr_encoder import LREncoder
from .devices import check_device, named
from .folder import (
    bundled_names,
    encoder_folder,
    find,
    judge_folder,
    prior_folder,
    read_record,
)
from .records import (
    SECOND,
    Expected,
    FlowRecord,
    Judge,
    OneScaleRecord,
    PriorRecord,
    Recommended,
    RestorerRecord,
    SecondEstimate,
    SuperResolutionRecord,
)
from .weights import build, digest

PRIOR_PIXEL_STD = 10.0
"""Width of p(x|z), in grey levels, for a prior whose likelihood has not one of its own."""


def pixel_std_of(prior: HVAE) -> float:
    """s, in grey levels: that of the prior's likelihood, where it has one."""
    return prior.likelihood.std or PRIOR_PIXEL_STD


def load_prior(name: str | Path, device: str | torch.device = "cpu") -> HVAE:
    """Load a prior by bundled name, folder or Hub id, in evaluation mode and without gradients.

    Args:
        name: A bundled name, a folder, or a Hub id; a `Path` is a folder.
        device: Where to compute.

    Raises:
        WeightsError: Unknown, damaged, or not a prior.
        ConfigError: Its configuration does not describe one.
        InputError: There is no such device.
    """
    check_device(device)
    folder = find(name)
    record = read_record(folder)
    if not isinstance(record, PriorRecord):
        raise WeightsError(f"'{name}' is not a prior but a {record.kind}")
    prior = build(folder, lambda: HVAE(record.model))
    with named(device) as there:
        return prior.to(there)


class Loaded(NamedTuple):
    """An LR encoder, the prior that it belongs to, and what was found to suit them."""

    prior: HVAE
    encoder: LREncoder
    scale: int
    recommended: Recommended
    expected: Expected | None
    photons: float
    judge: LREncoder | None


def load_encoder(name: str | Path, scale: int | None = None) -> Loaded:
    """Load an LR encoder with its prior, in evaluation mode and without gradients.

    Args:
        name: A bundled name, a folder, or a Hub id; a `Path` is a folder.
        scale: Which of its scales; may be left out where it has one.

    Raises:
        InputError: It does not enlarge by `scale`, or by several factors where none is named.
        WeightsError: Unknown, damaged, not an LR encoder, or its prior is not the one it was
            trained on.
        ConfigError: Its configuration does not describe one.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, OneScaleRecord):
        return _one_scale(name, folder, record, scale)
    if not isinstance(record, SuperResolutionRecord):
        raise WeightsError(f"'{name}' is not an LR encoder but a {record.kind}")
    prior, encoder = _on_its_prior(name, folder, record)
    scales = record.model.scales
    if scale is None and len(scales) > 1:
        known = ", ".join(map(str, scales))
        raise InputError(f"'{name}' enlarges by {known}: say which, with --scale or scale=")
    scale = scales[0] if scale is None else scale
    if scale not in scales:
        raise InputError(f"'{name}' enlarges by {', '.join(map(str, scales))}, not by {scale}")
    suits = _suiting(name, record.recommended, prior)
    loaded = Loaded(prior, encoder, scale, suits, record.expected, record.photons, None)
    return loaded if record.judge is None else _judged(name, folder, record, record.judge, loaded)


class Restoring(NamedTuple):
    """A prior, an encoder for any degradation on it, and what was found to suit them."""

    prior: HVAE
    encoder: LREncoder | None
    pixel_std: float
    recommended: Recommended
    second_estimate: SecondEstimate


def load_restoring(name: str) -> Restoring:
    """Load an encoder for any degradation with its prior, or a prior alone; as `load_encoder`.

    Raises:
        WeightsError: Unknown, damaged, of another kind, or its prior is not the one it was trained
            on.
        ConfigError: Its configuration does not describe one.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, PriorRecord):
        prior = load_prior(name)
        return Restoring(prior, None, pixel_std_of(prior), Recommended(), SECOND)
    if not isinstance(record, RestorerRecord):
        restorers = (n for n in bundled_names() if isinstance(read_record(find(n)), RestorerRecord))
        raise WeightsError(
            f"'{name}' enlarges only: take a model that restores ({', '.join(restorers)}), or "
            f"enlarge with cvdvae upscale (in Python cvdvae.load)"
        )
    prior, encoder = _on_its_prior(name, folder, record)
    suits = _suiting(name, record.recommended, prior)
    return Restoring(prior, encoder, record.pixel_std, suits, record.second_estimate)


def _suiting(name: str | Path, recommended: Recommended, prior: HVAE) -> Recommended:
    """The temperatures of a record, if their profiles have a factor for each of its strides."""
    strides = len(set(prior.config.group_strides))
    for called, profile in (
        ("profile", recommended.profile),
        ("look_profile", recommended.look_profile),
    ):
        if len(profile) not in (0, strides):
            raise ConfigError(
                f"{called} of '{name}' has {len(profile)} factors: it needs one for each of the "
                f"prior's {strides} strides"
            )
    return recommended


def _on_its_prior(
    name: str | Path, folder: Path, record: SuperResolutionRecord | RestorerRecord
) -> tuple[HVAE, LREncoder]:
    its_prior = prior_folder(folder, record.prior)
    prior = load_prior(its_prior)
    if digest(its_prior) != record.prior_digest:
        raise WeightsError(
            f"the encoder '{name}' was trained on other weights than those of the prior {its_prior}"
        )
    return prior, build(folder, lambda: LREncoder(record.model, prior.config))


def load_judge(name: str | Path, prior: HVAE, prior_digest: str, scale: int) -> LREncoder:
    """Load an LR encoder that is to bound how likely images are.

    Args:
        name: A bundled name, a folder, or a Hub id; a `Path` is a folder.
        prior: The prior that it is to work on.
        prior_digest: SHA-256 of that prior's weights file.
        scale: A scale that it must have.

    Raises:
        WeightsError: Unknown, damaged, not an LR encoder, trained on another prior, or without this
            scale.
        ConfigError: Its configuration does not describe one.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, OneScaleRecord):
        raise WeightsError(f"'{name}' is one scale of an LR encoder: name that for a judge")
    if not isinstance(record, SuperResolutionRecord):
        raise WeightsError(f"'{name}' is a {record.kind}: a judge of inputs is an LR encoder")
    if record.prior_digest != prior_digest:
        raise WeightsError(f"the judge '{name}' was trained on another prior than the model's")
    if scale not in record.model.scales:
        known = ", ".join(map(str, record.model.scales))
        raise WeightsError(f"the judge '{name}' knows images that are enlarged by {known}")
    return build(folder, lambda: LREncoder(record.model, prior.config))


def _judged(
    name: str | Path, folder: Path, record: SuperResolutionRecord, judge: Judge, loaded: Loaded
) -> Loaded:
    """With the judge that a folder's record names. Where that was bundled with another version and
    is no longer the same, without one: the model draws as before, and examines nothing."""
    try:
        source = judge_folder(folder, judge)
        same = digest(source) == judge.digest
    except WeightsError:
        source, same = None, False
    if source is None or (not same and judge.encoder in bundled_names()):
        warn(
            f"'{name}' does not examine its input: the judge '{judge.encoder}' that its limits "
            f"were found with is not here any more; cvdvae calibrate-doubt --judge finds others",
            CVDVAEWarning,
            stacklevel=2,
        )
        return loaded._replace(expected=None)
    if not same:
        raise WeightsError(
            f"what '{folder.name}' expects was found with other weights than {source}"
        )
    its = load_judge(source, loaded.prior, record.prior_digest, loaded.scale)
    return loaded._replace(judge=its)


def _one_scale(name: str | Path, folder: Path, record: OneScaleRecord, scale: int | None) -> Loaded:
    if scale not in (None, record.scale):
        raise InputError(f"'{name}' enlarges by {record.scale}, not by {scale}")
    source = encoder_folder(folder, record)
    if digest(source) != record.encoder_digest:
        raise WeightsError(f"'{name}' belongs to other weights than those of {source}")
    loaded = load_encoder(source, record.scale)
    suits = _suiting(name, record.recommended, loaded.prior)
    return loaded._replace(recommended=suits, expected=record.expected)


def load_flow(name: str) -> tuple[HCFlow, Recommended]:
    """Load a flow by bundled name, folder or Hub id, in evaluation mode and without gradients.

    Raises:
        WeightsError: Unknown, damaged, or not a flow.
        ConfigError: Its configuration does not describe one.
    """
    folder = find(name)
    record = read_record(folder)
    if not isinstance(record, FlowRecord):
        raise WeightsError(f"'{name}' is not a flow but a {record.kind}")
    flow = build(folder, lambda: HCFlow(record.model))
    for name, part in flow.named_modules():
        if isinstance(part, InvertibleConv1x1) and not part.is_invertible:
            raise WeightsError(f"the weights in {folder} are of no flow: {name} has no inverse")
    return flow, record.recommended
