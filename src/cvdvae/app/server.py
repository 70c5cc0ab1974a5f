"""The server: the page on this machine alone, and nothing from elsewhere."""

import errno
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.folder import find
from ..errors import InputError
from ..files import APP_PREFIX, temporary_folder
from .hosts import Hosts

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp
    from uvicorn import Config

    from ..restoration.restorer import Restorer
    from ..restoration.sampler import SuperResolver

NO_HOST = "--host needs an address: 127.0.0.1 for this machine alone, 0.0.0.0 for others, too"
PATIENCE = 20.0
"""Seconds at most that what is being drawn may take to end when the server does."""


def parse_auth(text: str | None) -> tuple[str, str] | None:
    """``user:password`` as a pair.

    Raises:
        InputError: It is not of that form.
    """
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise InputError("--auth takes a name and a password with a colon between: name:password")
    return user, password


def make_app(
    models: list[str] | None,
    folder: Path,
    auth: tuple[str, str] | None = None,
    hosts: Hosts = Hosts("127.0.0.1"),
) -> "ASGIApp":
    """The web application.

    Args:
        models: Names, folders or Hub ids; the bundled ones by default.
        folder: For the bundled examples and whatever the page keeps for its visitors.
        auth: Name and password that visitors must give.
        hosts: By which names the server may be called.
    """
    # Gradio reads these when it is imported.
    folder = folder.resolve()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "cache")
    (folder / "cache").mkdir(exist_ok=True)
    import gradio as gr
    from fastapi import FastAPI

    from ..domains import PHOTOS
    from .faces.explorer import Explorer, bundled
    from .guard import Guard
    from .page import SESSION_SECONDS, build
    from .photos.explorer import Photos
    from .restoring.damage import restoring
    from .sweeping import sweeping
    from .waiting import Waiting

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("send the image itself, not an address", print_exception=False)

    # Gradio would fetch what a visitor names: no request is to leave this machine.
    gr.processing_utils.async_ssrf_protected_download = refuse

    def allowed(user: str, password: str) -> bool:
        assert auth is not None
        return secrets.compare_digest(f"{user}:{password}".encode(), ":".join(auth).encode())

    names = models or [*map(PHOTOS.model_at, PHOTOS.scales), *bundled(), *restoring()]
    (loaded, restorers), turn = load_models(names), threading.Lock()
    faces = Explorer([model for model in loaded if not model.any_size], turn)
    photos = Photos([model for model in loaded if model.any_size], turn)
    page = build(faces, photos, folder, restorers)
    forget = partial(photos.forget, SESSION_SECONDS)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lambda _: sweeping(page, SESSION_SECONDS, forget),
    )
    _mount(app, page, allowed if auth else None)
    return Guard(app, hosts, Waiting(page._queue))


def load_models(names: list[str]) -> "tuple[list[SuperResolver], list[Restorer]]":
    """The models that super-resolve, at each of their scales, and those that restore; networks of
    the same folder are one.

    Raises:
        InputError: The page cannot show what one of them draws, or two restore the same.
        WeightsError: A model is unknown or damaged.
    """
    from ..checkpoints.weights import shared_networks

    with shared_networks():
        return _load_each(names)


def _load_each(names: list[str]) -> "tuple[list[SuperResolver], list[Restorer]]":
    from ..checkpoints.folder import find, read_record
    from ..checkpoints.records import SuperResolutionRecord
    from ..restoration.load import load, load_restorer

    resolvers: list[SuperResolver] = []
    restorers: list[Restorer] = []
    for name in names:
        record = read_record(find(name))
        if record.kind == "restorer":
            restorers.append(load_restorer(name))
            _check_colour(name, restorers[-1].prior.config.channels, "restore")
            continue
        scales = record.model.scales if isinstance(record, SuperResolutionRecord) else (None,)
        resolvers += [load(name, scale=scale) for scale in scales]
        _check_colour(name, resolvers[-1].channels, "upscale")
        if resolvers[-1].photon_noise is not None:
            raise InputError(
                f"the page says which samples give an image back exactly, and those of {name} "
                f"explain it within its noise: draw them with cvdvae upscale"
            )
    if len({one.side is None for one in restorers}) < len(restorers):
        raise InputError("the page restores with one model of photographs and one of faces at most")
    return resolvers, restorers


def _check_colour(name: str, channels: int, command: str) -> None:
    """Refuse a model whose images are not in colour."""
    if channels != 3:
        raise InputError(
            f"the page shows pictures in colour, and {name} has {channels} "
            f"channel{'s' * (channels > 1)}: draw its samples with cvdvae {command}"
        )


def _mount(app: "FastAPI", page: Any, auth: Callable[[str, str], bool] | None) -> None:
    """Put Gradio's application into another."""
    import gradio as gr
    from fastapi import Request
    from fastapi.responses import PlainTextResponse
    from gradio.route_utils import FnIndexInferError

    from .guard import LOGIN
    from .theme import CSS, SCRIPT, theme
    from .uploads import MAX_FILE

    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        auth=auth,
        auth_message=LOGIN if auth else None,
        show_error=False,
        max_file_size=MAX_FILE,
        theme=theme(),
        css_paths=[CSS],
        js=SCRIPT.read_text("utf-8"),
    )
    # Only `launch` sets these, and without them Gradio checks no path that a visitor names.
    page.has_launched = page.is_running = True

    async def unknown(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("There is no such function here.", status_code=404)

    inner: Any = app.routes[-1]
    for kind in (KeyError, FnIndexInferError):  # a number or a name that is none of the page's
        inner.app.add_exception_handler(kind, unknown)


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    models: list[str] | None = None,
    names: tuple[str, ...] = (),
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Run the page until it is interrupted.

    Args:
        host: The address or name to listen on.
        port: The port to listen on.
        auth: Name and password that visitors must give.
        models: As for `make_app`.
        names: Further names that the server is reached by.
        on_listening: Called once the address is taken and the models are found, before they are
            loaded.

    Raises:
        InputError: The address cannot be used, or a name is none.
        WeightsError: A model is unknown or damaged.
    """
    import uvicorn

    from ..restoration.workers import end_work

    # uvicorn ends cleanly and then raises the signal again: that must not skip the tidying up.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    hosts = Hosts(host, names)
    shared = Path(tempfile.gettempdir())
    with _listen(host, port) as listening, temporary_folder(shared, APP_PREFIX) as folder:
        for model in models or ():
            find(model)
        on_listening()
        server = uvicorn.Server(how_served(make_app(models, folder, auth, hosts), hosts))
        log = logging.getLogger("uvicorn.error")
        log.addFilter(no_end := lambda _: not server.should_exit)  # what the end cuts off
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
        finally:
            log.removeFilter(no_end)
            end_work(PATIENCE)


def how_served(app: "ASGIApp", hosts: Hosts) -> "Config":
    """How uvicorn runs the web application.

    Who asks is taken from `X-Forwarded-For` only where a server in front is announced: without one,
    anybody on this machine could send it, and guess passwords as ever another.
    """
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=2,
        proxy_headers=bool(hosts.names),
    )


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before the models are loaded, so that a taken one is said at once."""
    if not host.strip():
        raise InputError(NO_HOST)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "another program has it" if taken else str(error)
        raise InputError(f"cannot listen on {host}:{port}: {reason}; try another --port") from None
