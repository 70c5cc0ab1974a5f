"""Which models the commands take that judge several which enlarge."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..domains import Domain


@dataclass(frozen=True)
class Family:
    """Models that enlarge, one for every factor.

    Attributes:
        models: Name, folder or Hub id, with ``{scale}`` where it stands.
        flows: The same of flows; empty where there is none.
        scales: The factors.
    """

    models: str
    flows: str
    scales: list[int]


def family(
    domain: str,
    models: str | None = None,
    flows: str | None = None,
    scales: list[int] | None = None,
    device: str = "cpu",
) -> Family:
    """What the options say: the bundled models of a domain, at all their factors, or others.

    Raises:
        InputError: The domain is unknown, or has no model of a factor, or nobody knows at which
            factors others are judged.
        WeightsError: There is no such model.
    """
    from ..domains import domain_of
    from ..restoration.load import load

    known = domain_of(domain)
    pattern = models or known.models
    if models is None:
        for scale in scales or ():
            known.model_at(scale)
    if not scales and "{scale}" not in pattern:
        scales = [load(pattern, device).scale]
    return Family(pattern, flows or known.flows, scales or _scales_of(pattern, known))


def _scales_of(pattern: str, known: "Domain") -> list[int]:
    """Those of bundled models of this name."""
    from ..domains import DOMAINS

    for domain in (known, *DOMAINS.values()):
        if pattern in (domain.models, domain.flows):
            return list(domain.scales)
    raise InputError(f"say with --scales at which factors '{pattern}' is to be judged")


def one_model(domain: str, model: str | None, scale: int | None) -> str:
    """The model that is named, or the bundled one of a domain: at its usual factor where none is
    named.

    Raises:
        InputError: The domain is unknown, or has no model of this factor.
    """
    from ..domains import domain_of

    known = domain_of(domain)
    return model or known.model_at(known.usual_scale if scale is None else scale)
