"""Models as folders: `config.yaml`, `model.safetensors`, and a model card `README.md`.

A prior's folder holds a `PriorRecord`, a flow's a `FlowRecord`, that of an LR encoder a
`SuperResolutionRecord` that names the prior it was trained on and the digest of its weights, since
it works on no other.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from ..configs import from_dict, read_yaml, to_yaml
from ..errors import ConfigError, WeightsError
from ..files import check_writable, write_atomically, write_text
from .bounds import check_description
from .hub import download, is_hub_id
from .legacy import upgrade_encoder, upgrade_prior
from .precision import StoredBits, pack
from .records import (
    RECORDS,
    Expected,
    Judge,
    OneScaleRecord,
    PriorRecord,
    Recommended,
    Record,
    SuperResolutionRecord,
)
from .weights import WEIGHTS, digest

CONFIG = "config.yaml"
PRIOR_SUBFOLDER, ENCODER_SUBFOLDER, JUDGE_SUBFOLDERS = "prior", "encoder", "judge-"
JUDGE_COPY = re.compile(f"{JUDGE_SUBFOLDERS}[0-9a-f]{{8}}")
"""The subfolder of a judge that came along, by the digest of its weights."""


def zoo() -> Path:
    """Folder of the bundled models."""
    return Path(str(files("cvdvae") / "zoo"))


def bundled_names() -> list[str]:
    """Names of the bundled models, in order."""
    return sorted(p.parent.name for p in zoo().glob(f"*/{CONFIG}"))


def find(name: str | Path) -> Path:
    """Folder of a model, from a bundled name, a path, or a Hub id ``user/repository``.

    A `Path` is always a folder.

    Raises:
        WeightsError: There is no such model; the message lists those that exist.
    """
    if isinstance(name, str) and name in bundled_names():
        return zoo() / name
    try:
        described = (Path(name) / CONFIG).is_file()
    except OSError as error:  # it may not be read, or is longer than any name
        raise WeightsError(f"no model '{name!s:.60}': {error.strerror}") from None
    if described:
        return Path(name)
    if isinstance(name, str) and is_hub_id(name) and not Path(name).exists():
        return download(name)
    refuse_run(name)
    known = bundled_names()
    meant = "".join(f" (did you mean {one}?)" for one in get_close_matches(str(name), known, 1))
    raise WeightsError(
        f"unknown model '{name}'{meant}: expected a folder with {CONFIG} or one of "
        f"{', '.join(known) or 'the bundled models (none is installed)'}"
    )


def refuse_run(folder: str | Path) -> None:
    """Refuse the folder of a training run where its model is meant.

    Raises:
        WeightsError: It is one, and holds a model.
    """
    if (Path(folder) / "model" / CONFIG).is_file():
        raise WeightsError(f"{folder} is no model, but {Path(folder) / 'model'} is one")


def name_of(name: str | Path) -> str:
    """What results call a model that `find` finds: a folder by its absolute path, which holds
    wherever they are drawn again; a bundled name and a Hub id as they are."""
    bundled = isinstance(name, str) and name in bundled_names()
    if not bundled and (Path(name) / CONFIG).is_file():
        return str(Path(name).absolute())
    return str(name)


def read_record(folder: Path) -> Record:
    """Read `config.yaml`.

    Raises:
        ConfigError: It is missing, damaged, or of no known kind.
    """
    path = folder / CONFIG
    kind, data = _plain(path)
    check_description(data.get("model"), f"{path}: ")
    record: Record = from_dict(RECORDS[kind], _upgraded(data, folder), str(path))
    return record


def _plain(path: Path) -> tuple[str, dict[str, Any]]:
    """The kind that a description names, and all that it holds, as it is written."""
    data = read_yaml(path)
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in RECORDS:
        said = kind if isinstance(kind, str) else type(kind).__name__
        raise ConfigError(f"{path}: kind must be one of {', '.join(RECORDS)}, not {said[:40]}")
    return kind, data


def _upgraded(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same in strides, where it was written in resolutions."""
    model = data.get("model")
    if data["kind"] == "prior":
        return {**data, "model": upgrade_prior(model)}
    if data["kind"] == "lr-encoder" and isinstance(model, dict) and "lr_size" in model:
        its = prior_folder(folder, str(data.get("prior")))
        kind, _ = _plain(its / CONFIG)  # before it is read: it may name this one in turn
        if kind != "prior":
            raise ConfigError(f"{folder / CONFIG}: its prior is a {kind}")
        prior = read_record(its)
        assert isinstance(prior, PriorRecord)
        return {**data, "model": upgrade_encoder(model, prior.model.image_size)}
    return data


def prior_folder(folder: Path, prior: str) -> Path:
    """Folder of the prior that an LR encoder's folder names.

    Raises:
        WeightsError: There is no such prior.
    """
    if prior != PRIOR_SUBFOLDER:
        return find(prior)
    own = folder / PRIOR_SUBFOLDER
    if not (own / CONFIG).is_file():  # its path may have the form of a Hub id
        raise WeightsError(f"{folder} lacks its {PRIOR_SUBFOLDER}/: copy the folder whole")
    return own


def save_model(
    folder: Path,
    record: Record,
    weights: Mapping[str, Tensor],
    bits: StoredBits = 32,
) -> None:
    """Write the weights in so many bits, and then the configuration that rebuilds them.

    Raises:
        OutputError: The folder cannot be written.
    """
    packed = pack(weights, bits)
    # As bytes: safetensors' own writing makes another file, that only its owner may read.
    write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(save(packed)))
    write_text(folder / CONFIG, to_yaml(record))


def encoder_folder(folder: Path, record: OneScaleRecord) -> Path:
    """Folder of the LR encoder that the folder of one of its scales names.

    Raises:
        WeightsError: There is no such encoder, or it is none.
    """
    own = record.encoder == ENCODER_SUBFOLDER
    source = folder / ENCODER_SUBFOLDER if own else find(record.encoder)
    kind, _ = _plain(source / CONFIG)  # a scale may name another, or itself
    if kind != "lr-encoder":
        raise WeightsError(f"the encoder that {folder} names is a {kind}")
    return source


def check_storable(name: str) -> None:
    """Refuse to store with a model what belongs to its scale, before it is looked for.

    Raises:
        WeightsError: It has several scales, or is unknown.
        OutputError: Its folder cannot be written.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, SuperResolutionRecord) and len(record.model.scales) > 1:
        raise WeightsError(
            f"what is found at one scale cannot be stored with '{name}', which has several: train "
            f"an encoder of one"
        )
    check_writable(folder)


def recommend(name: str, temperatures: Recommended) -> Path:
    """Store the temperatures that suit a model with it, and return its configuration file.

    Raises:
        WeightsError: The model is unknown, or a prior, or has several scales.
        OutputError: Its folder cannot be written.
    """
    check_storable(name)
    path = find(name) / CONFIG
    record = read_record(path.parent)
    if isinstance(record, PriorRecord):
        raise WeightsError(f"'{name}' is a prior: temperatures belong to an LR encoder on it")
    write_text(path, to_yaml(replace(record, recommended=temperatures)))
    return path


def expect(name: str, expected: Expected, judge: str = "") -> Path:
    """Store with a model what it makes of proper images, and return its configuration file.

    Args:
        name: The model.
        expected: What was found.
        judge: The LR encoder that it was found with, where that is another than before; one that
            is not bundled comes along.

    Raises:
        WeightsError: The model is unknown, or not an LR encoder, or has several scales; or it is
            one scale of such, and a judge is named.
        OutputError: Its folder cannot be written.
    """
    check_storable(name)
    path = find(name) / CONFIG
    record = read_record(path.parent)
    if not isinstance(record, (SuperResolutionRecord, OneScaleRecord)):
        raise WeightsError(f"'{name}' is a {record.kind}: only an LR encoder can doubt its input")
    if not judge:
        write_text(path, to_yaml(replace(record, expected=expected)))
        return path
    if not isinstance(record, SuperResolutionRecord):
        raise WeightsError(f"'{name}' is a {record.kind}, whose encoder judges for itself")
    kept, before = _kept(judge, path.parent), record.judge
    write_text(path, to_yaml(replace(record, expected=expected, judge=kept)))
    # Of folders beside it, only the copy that was made for the judge of before is ours to remove.
    if before and before.encoder != kept.encoder and JUDGE_COPY.fullmatch(before.encoder):
        shutil.rmtree(path.parent / before.encoder, ignore_errors=True)
    return path


def _kept(judge: str, folder: Path) -> Judge:
    """What a record says of a judge. One that is not bundled is copied into a subfolder that no
    other judge has, so that the one of now stays whole until the record names another."""
    source = find(judge)
    told = digest(source)
    if judge in bundled_names():
        return Judge(judge, told)
    own = f"{JUDGE_SUBFOLDERS}{told[:8]}"
    bring(source, folder / own)
    return Judge(own, told)


def judge_folder(folder: Path, judge: Judge) -> Path:
    """Folder of the judge that the record in a model's folder names.

    Raises:
        WeightsError: There is no such encoder.
    """
    own = judge.encoder.startswith(JUDGE_SUBFOLDERS)
    return folder / judge.encoder if own else find(judge.encoder)


def bring(source: Path, folder: Path) -> None:
    """Copy the weights of a model and the configuration that rebuilds it.

    Raises:
        OutputError: The folder cannot be written.
    """
    for name in (WEIGHTS, CONFIG):
        write_atomically(folder / name, partial(shutil.copyfile, source / name))


def fingerprint_of(folder: Path) -> str:
    """Digests of a model's own weights and of those of the prior that it stands on."""
    record = read_record(folder)
    if isinstance(record, OneScaleRecord):
        return fingerprint_of(encoder_folder(folder, record))
    prior = getattr(record, "prior_digest", "")
    return f"{digest(folder)[:16]}{prior[:16]}"
