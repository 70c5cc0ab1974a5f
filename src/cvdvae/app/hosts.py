"""By which names the server may be called: a page of another site must not pass for its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from ..errors import InputError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ADDRESS = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on lets in this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class Hosts:
    """The names of the server.

    Attributes:
        bound: The address or name that it listens on.
        names: Further names that it is reached by, such as those of a server in front of it; a
            port is left out.

    Raises:
        InputError: One of `names` is none.
    """

    bound: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [name if _is_address(name) else _name(name) for name in self.names]
        for given, name in zip(self.names, names, strict=True):
            if name is None:
                raise InputError(
                    f"--allow-host takes a name as in faces.example.org, not '{given[:100]}'"
                )
        object.__setattr__(self, "names", tuple(names))

    def knows(self, address: str) -> bool:
        """Whether it may be called so, with a port or without."""
        name = _name(address)
        if name is None:
            return False
        if name in _lower((self.bound, *self.names)):
            return True
        if is_loopback(self.bound):
            return name in LOOPBACK
        return self.bound in ("0.0.0.0", "::") and (name == "localhost" or _is_address(name))

    def calls(self, headers: Mapping[str, str]) -> bool:
        """Whether a request calls the server by one of its names."""
        return all(self.knows(address) for address in _called(headers))

    def trusts(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from one of the server's own pages, or from no page at all."""
        origin = headers.get("origin")
        if origin is None:
            return True
        scheme, _, address = origin.partition("://")
        if scheme not in ("http", "https"):
            return False
        own = {_without_port(one) for one in _called(headers)}
        return _name(address) in _lower(self.names) or _without_port(address) in own


def _called(headers: Mapping[str, str]) -> list[str]:
    forwarded = headers.get("x-forwarded-host", "").split(",")[0].strip()
    return [headers.get("host", ""), *([forwarded] if forwarded else [])]


def _lower(names: tuple[str, ...]) -> list[str]:
    return [name.lower() for name in names]


def _name(address: str) -> str | None:
    """The name in an address that may have a port; None if it is no address."""
    found = _ADDRESS.fullmatch(address.lower())
    return found[1].strip("[]").removesuffix(".") if found else None


def _without_port(address: str) -> str:
    """An address without a port that goes without saying."""
    return re.sub(r":(80|443)$", "", address.lower())


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
