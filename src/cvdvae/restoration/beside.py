"""Bundled models that stand on what another stands on."""

from ..checkpoints.folder import bundled_names, encoder_folder, find, read_record
from ..checkpoints.records import OneScaleRecord, Record, RestorerRecord, SuperResolutionRecord
from ..domains import DOMAINS
from ..errors import InputError


def restorer_beside(name: str, scale: int | None = None) -> tuple[str, int]:
    """The bundled restorer of what a super-resolver enlarges, and the factor of the latter: it
    stands on the same prior, or a bundled model of its domain does.

    Args:
        name: A bundled name, a folder, or a Hub id.
        scale: The factor to enlarge by; needed only where the model has several.

    Raises:
        InputError: There is none, or the model does not enlarge by `scale`.
        WeightsError: There is no such model.
    """
    record = read_record(find(name))
    if isinstance(record, RestorerRecord):
        raise InputError(
            f"'{name}' restores: cvdvae restore draws with it, and enlarges, too, with "
            f"--degradation downscale:scale=4"
        )
    encoder = _encoder_of(name, record)
    if isinstance(encoder, SuperResolutionRecord):
        scales = (record.scale,) if isinstance(record, OneScaleRecord) else encoder.model.scales
        for restorer in bundled_names():
            if encoder.prior_digest in _priors_of(restorer):
                return restorer, _one_of(scales, name, scale)
    raise InputError(
        f"noise and JPEG need a model that restores what '{name}' enlarges, and there is none: "
        f"the bundled models of photographs and faces have one"
    )


def _encoder_of(name: str, record: Record) -> Record:
    """The record of the encoder itself, where that of one of its scales was read."""
    if isinstance(record, OneScaleRecord):
        return read_record(encoder_folder(find(name), record))
    return record


def _priors_of(restorer: str) -> set[str]:
    """Digests of the priors on which a bundled restorer and the models of its domain stand; none of
    a model that restores nothing."""
    record = read_record(find(restorer))
    if not isinstance(record, RestorerRecord):
        return set()
    domains = (domain for domain in DOMAINS.values() if domain.restorer == restorer)
    names = {domain.model_at(scale) for domain in domains for scale in domain.scales}
    others = [_encoder_of(name, read_record(find(name))) for name in names & set(bundled_names())]
    found = (one.prior_digest for one in others if isinstance(one, SuperResolutionRecord))
    return {record.prior_digest, *found}


def scales_of(name: str) -> list[str]:
    """The bundled models that are one scale of an encoder of several.

    Args:
        name: The encoder: a bundled name, a folder, or a Hub id.

    Raises:
        WeightsError: There is no such model.
    """
    folder, ones = find(name), list[str]()
    for one in bundled_names():
        place = find(one)
        record = read_record(place)
        if isinstance(record, OneScaleRecord) and encoder_folder(place, record) == folder:
            ones.append(one)
    return ones


def _one_of(scales: tuple[int, ...], name: str, scale: int | None) -> int:
    """The scale that is named, or the only one."""
    chosen = scales[0] if scale is None and len(scales) == 1 else scale
    if chosen is None or chosen not in scales:
        known = ", ".join(map(str, scales))
        which = ": say which, with --scale" if len(scales) > 1 else ""
        raise InputError(f"'{name}' enlarges by {known}, not by {chosen}{which}")
    return chosen
