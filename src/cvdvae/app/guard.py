"""What stands before the page: who may ask, how often, and what the browser may load."""

import re
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .hosts import Hosts
from .waiting import Waiting

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "worker-src 'self' blob:",
        "connect-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'self'",
    )
)
"""What the browser may load: Gradio's own files from this server, and nothing else."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_ELSEWHERE = re.compile(r"/file[=/]\s*[a-z][a-z0-9+.-]*:|/proxy=", re.IGNORECASE)
_UNUSED = re.compile(
    r"(/gradio_api)?/(process_recording|deep_link|run-history|(undo-)?vibe-[a-z-]+)(/.*)?",
    re.DOTALL,
)
"""What Gradio offers and the page does not use: some of it fills the disk, for good."""
LOGIN = "After ten wrong passwords within a minute no other is taken: then wait a minute."
"""Stands where visitors log in: Gradio shows nothing of what a refusal says."""
_READING = ("GET", "HEAD", "OPTIONS")


class Tries:
    """Passwords that were tried in the last while, by address and in all.

    Behind a server in front, what it says of the address may be forged by who reaches this one
    past it; therefore the limit of all together.

    Args:
        most: So many of one address may be wrong.
        seconds: In so much time.
        clock: Tells the time in seconds.
        of_all: So many of all addresses may be wrong.
    """

    def __init__(
        self,
        most: int = 10,
        seconds: float = 60,
        clock: Callable[[], float] = time.monotonic,
        of_all: int = 100,
    ) -> None:
        self.most, self.seconds, self.clock, self.of_all = most, seconds, clock, of_all
        self._times: dict[str, list[float]] = {}

    def begin(self, address: str) -> bool:
        """Count a try as wrong until it is `right`; false if there were too many."""
        now = self.clock()
        recent = {
            who: [then for then in times if now - then < self.seconds]
            for who, times in self._times.items()
        }
        self._times = {who: times for who, times in recent.items() if times}
        tried = sum(map(len, self._times.values()))
        times = self._times.get(_household(address), [])
        if len(times) >= self.most or tried >= self.of_all:
            return False
        self._times[_household(address)] = [*times, now]
        return True

    def right(self, address: str) -> None:
        """The last try was no wrong one."""
        times = self._times.get(_household(address))
        if times:
            times.pop()


class Guard:
    """A web application, behind what refuses requests that are none of its visitors'.

    Args:
        app: The application.
        hosts: By which names it may be called.
        waiting: Is told whose connections are open.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, waiting: Waiting) -> None:
        self.app, self.hosts, self.waiting = app, hosts, waiting
        self.tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        login = request.method == "POST" and request.url.path.rstrip("/") == "/login"
        address = request.client.host if request.client else ""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
                if login and message["status"] < 400:
                    self.tries.right(address)
            await send(message)

        refusal = self._refusal(request)
        if refusal is None and login and not self.tries.begin(address):
            refusal = PlainTextResponse(
                "Too many wrong passwords: wait a minute, and try again.",
                status_code=429,
                headers={"Retry-After": str(round(self.tries.seconds))},
            )
        with self.waiting.listens(request):
            await (refusal or self.app)(scope, receive, answer)

    def _refusal(self, request: Request) -> PlainTextResponse | None:
        headers = request.headers
        text = None
        if len(headers.getlist("host")) != 1 or not self.hosts.calls(headers):
            text = (
                "This server goes by another name: open the address that it printed, "
                "or start it with --allow-host and the name."
            )
        elif not self.hosts.trusts(headers) or (
            request.method not in _READING
            and headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        ):
            text = "Pages of other sites may not use this server: open its own page."
        elif _ELSEWHERE.search(request.url.path):
            text = "This is no file of this server: it fetches nothing from elsewhere."
        elif _UNUSED.fullmatch(request.scope["path"]):
            text = "This page records nothing, and keeps no links: there is nothing here."
        return PlainTextResponse(text, status_code=403) if text else None


def _household(address: str) -> str:
    """An address, or the network of an IPv6 address: whoever has one of it has them all."""
    try:
        if ip_address(address).version == 6:
            return str(ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        pass
    return address
