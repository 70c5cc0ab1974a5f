"""A line about every model, for the list of what is there."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .folder import CONFIG, encoder_folder, find, prior_folder, read_record, zoo
from .records import (
    FlowRecord,
    OneScaleRecord,
    PriorRecord,
    RestorerRecord,
    SuperResolutionRecord,
)
from .weights import WEIGHTS


class Summary(NamedTuple):
    """What a model does, in words.

    Attributes:
        does: Its use.
        takes: Size of its input, in pixels.
        gives: Size of its output.
        megabytes: Size of its own weights; 0 where it has none.
    """

    does: str
    takes: str
    gives: str
    megabytes: float


def summary(name: str) -> Summary:
    """The line about a model.

    Raises:
        WeightsError: It is unknown.
        ConfigError: Its configuration does not describe a model.
    """
    folder = find(name)
    record = read_record(folder)
    own = folder / WEIGHTS
    megabytes = own.stat().st_size / 1e6 if own.is_file() else 0.0
    return Summary(*_WORDS.get(record.kind, _other)(folder, record), megabytes)


def _prior(folder: Path, record: PriorRecord) -> tuple[str, str, str]:
    return "prior", "–", "any size" if record.model.any_size else _square(record.model.image_size)


def _flow(folder: Path, record: FlowRecord) -> tuple[str, str, str]:
    lr, hr = record.model.lr_size, record.model.image_size
    return "super-resolution, a flow", _square(lr), f"{_square(hr)} (×{record.model.scale})"


def _encoder(folder: Path, record: SuperResolutionRecord) -> tuple[str, str, str]:
    prior = read_record(prior_folder(folder, record.prior))
    assert isinstance(prior, PriorRecord)
    does, scales = f"super-resolution on {record.prior}", record.model.scales
    times = ", ".join(f"×{scale}" for scale in scales)
    if prior.model.any_size:
        return does, "any size" if prior.model.channels != 1 else "any size, grey", times
    hr = prior.model.image_size
    takes = ", ".join(_square(hr // scale) for scale in scales)
    if folder.name in _judges(zoo()):
        return f"judge of inputs on {record.prior}", takes, "–"
    return does, takes, f"{_square(hr)} ({times})"


@lru_cache(maxsize=4)
def _judges(bundled: Path) -> set[str]:
    """Names of the encoders that tell for others in a folder how likely an image is."""
    records = [read_record(path.parent) for path in bundled.glob(f"*/{CONFIG}")]
    known = [r.judge for r in records if isinstance(r, SuperResolutionRecord)]
    return {judge.encoder for judge in known if judge}


def _one_scale(folder: Path, record: OneScaleRecord) -> tuple[str, str, str]:
    source = encoder_folder(folder, record)
    encoder = read_record(source)
    assert isinstance(encoder, SuperResolutionRecord)
    does, takes, _ = _encoder(source, encoder)
    return does, takes, f"×{record.scale}"


def _restorer(folder: Path, record: RestorerRecord) -> tuple[str, str, str]:
    prior = read_record(prior_folder(folder, record.prior))
    assert isinstance(prior, PriorRecord)
    size = "any size" if prior.model.any_size else _square(prior.model.image_size)
    return f"restoration on {record.prior}", "blur, holes, noise, JPEG …", size


def _other(folder: Path, record: Any) -> tuple[str, str, str]:
    return record.kind, "–", "–"


def _square(side: int) -> str:
    return f"{side}×{side}"


_WORDS: dict[str, Callable[[Path, Any], tuple[str, str, str]]] = {
    "prior": _prior,
    "hcflow": _flow,
    "lr-encoder": _encoder,
    "one-scale": _one_scale,
    "restorer": _restorer,
}
