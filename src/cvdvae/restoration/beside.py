"""Bundled models that stand on what another stands on."""

from ..checkpoints.folder import bundled_names, encoder_folder, find, read_record
from ..checkpoints.records import OneScaleRecord, RestorerRecord, SuperResolutionRecord
from ..errors import InputError


def restorer_beside(name: str, scale: int | None = None) -> tuple[str, int]:
    """The bundled restorer on the prior of a super-resolver, and the factor of the latter.

    Args:
        name: A bundled name, a folder, or a Hub id.
        scale: The factor to enlarge by; needed only where the model has several.

    Raises:
        InputError: There is none, or the model does not enlarge by `scale`.
        WeightsError: There is no such model.
    """
    folder = find(name)
    record = read_record(folder)
    if isinstance(record, RestorerRecord):
        raise InputError(
            f"'{name}' restores: cvdvae restore draws with it, and enlarges, too, with "
            f"--degradation downscale:scale=4"
        )
    if isinstance(record, OneScaleRecord):
        scale = _one_of((record.scale,), name, scale)
        record = read_record(encoder_folder(folder, record))
    restorers = {one: read_record(find(one)) for one in bundled_names()}
    for one, found in restorers.items():
        if (
            isinstance(record, SuperResolutionRecord)
            and isinstance(found, RestorerRecord)
            and found.prior_digest == record.prior_digest
        ):
            return one, _one_of(record.model.scales, name, scale)
    raise InputError(
        f"noise and JPEG need a model that restores on the prior of '{name}', and there is none: "
        f"the bundled models of photographs and faces have one"
    )


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
