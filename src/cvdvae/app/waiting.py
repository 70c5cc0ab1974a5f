"""Places in the queue: they are kept for who waits there, and not for who has gone."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request

GRACE = 10.0
"""Seconds in which a visitor who has joined must begin to listen for the answer."""

_CALL = re.compile(r"/call/(?:v2/)?[^/]+/([^/]+)/?")


class Waiting:
    """Who listens for which answers.

    Gradio frees the place of a visitor whose connection breaks, but keeps that of one who joins
    and never connects; here it is freed, too, whether the drawing has begun or not.

    Args:
        queue: Gradio's queue.
        grace: Seconds in which a visitor must connect.
    """

    def __init__(self, queue: Any, grace: float = GRACE) -> None:
        self.queue, self.grace = queue, grace
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._push = queue.push
        queue.push = self._join

    @contextmanager
    def listens(self, request: Request) -> Iterator[None]:
        """While a request is answered; most listen for nothing."""
        name = _listener(request)
        if name is None:
            yield
            return
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]

    async def _join(self, *args: Any, **options: Any) -> Any:
        success, name, state = await self._push(*args, **options)
        if success:
            task = asyncio.create_task(self._expect(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return success, name, state

    async def _expect(self, name: str) -> None:
        await asyncio.sleep(self.grace)
        event = self.queue.event_ids_to_events.get(name)
        if event is None or self._open[name] or self._open[event.session_hash]:
            return
        await self.queue.clean_events(event_id=name)
        self.queue.pending_event_ids_session.get(event.session_hash, set()).discard(name)


def _listener(request: Request) -> str | None:
    """The session or the event whose answers a request asks for."""
    if request.method != "GET":
        return None
    if request.url.path.rstrip("/").endswith("/queue/data"):
        return request.query_params.get("session_hash")
    call = _CALL.search(request.url.path)
    return call[1] if call else None
