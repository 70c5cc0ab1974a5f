"""Domains: what images a family of models knows, and what to say of them.

A new domain is one `Domain`, registered in `DOMAINS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from ..errors import InputError
from ..imaging.crop import Square


class Framing(Protocol):
    """Finds the part of a photograph that a domain's models know."""

    def __call__(self, photo: Image.Image) -> Square:
        """The square to cut out.

        Raises:
            InputError: There is none.
        """


@dataclass(frozen=True)
class Domain:
    """What images some models know.

    Attributes:
        name: As `--domain` names it.
        subject: What an image shows, for sentences: "a face".
        models: Names of the bundled models, with ``{scale}`` where it stands.
        scales: The factors that they enlarge by.
        usual_scale: The one that is taken where none is named.
        example: A picture of it that may be shown.
        framing: Finds it in a photograph; None where the whole photograph is it.
        side: Side of what its models draw, in pixels; None where images may have any size.
        restorer: Name of the bundled model that restores damaged ones; empty where there is none.
        flows: As `models`, of the bundled flows; empty where there is none.
    """

    name: str
    subject: str
    models: str
    scales: tuple[int, ...]
    usual_scale: int
    example: Callable[[], Image.Image]
    framing: Framing | None = None
    side: int | None = None
    restorer: str = ""
    flows: str = ""

    @property
    def inputs(self) -> dict[int, int]:
        """Side of what the model of each scale takes, in pixels; none where it may have any."""
        return {} if self.side is None else {scale: self.side // scale for scale in self.scales}

    def model_at(self, scale: int) -> str:
        """Name of the bundled model that enlarges by `scale`.

        Raises:
            InputError: There is none.
        """
        if scale not in self.scales:
            known = ", ".join(map(str, self.scales))
            others = [d.name for d in DOMAINS.values() if scale in d.scales]
            advice = f": those of {others[0]} do (--domain {others[0]})" if others else ""
            raise InputError(f"models of {self.name} enlarge by {known}, not by {scale}{advice}")
        return self.models.replace("{scale}", str(scale))


DOMAINS: dict[str, Domain] = {}
"""Domains by name; `cvdvae.domains` fills it."""


def register(domain: Domain) -> Domain:
    """Make a domain known by its name."""
    DOMAINS[domain.name] = domain
    return domain


def domain_of(name: str) -> Domain:
    """The domain of this name.

    Raises:
        InputError: There is none.
    """
    if name not in DOMAINS:
        raise InputError(f"unknown domain '{name}': choose one of {', '.join(sorted(DOMAINS))}")
    return DOMAINS[name]


def domain_of_model(name: str) -> Domain | None:
    """The domain whose bundled model of some scale this is; None for any other, restorers too."""
    for domain in DOMAINS.values():
        if name in {domain.model_at(scale) for scale in domain.scales}:
            return domain
    return None
