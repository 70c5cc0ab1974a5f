"""The server: the page on this machine alone, and nothing from elsewhere."""

import errno
import os
import secrets
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_FILE = "40mb"
PREFIX = "cvdvae-app-"
"""Of the folder with what visitors bring and get; it goes when the server ends."""

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
    models: list[str] | None, folder: Path, auth: tuple[str, str] | None = None
) -> "FastAPI":
    """The web application.

    Args:
        models: As for `Explorer`.
        folder: For the bundled examples and whatever the page keeps for its visitors.
        auth: Name and password that visitors must give.
    """
    # Gradio reads these when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "cache")
    import gradio as gr
    from fastapi import FastAPI, Request, Response

    from .explorer import Explorer
    from .layout import CSS
    from .page import build

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("send the image itself, not an address", print_exception=False)

    # Gradio would fetch what a visitor names: no request is to leave this machine.
    gr.processing_utils.async_ssrf_protected_download = refuse

    @app.middleware("http")
    async def guard(request: Request, call_next):  # type: ignore[no-untyped-def]
        if "/file=http" in request.url.path or "/proxy=" in request.url.path:
            return Response("no file of this server", status_code=403)
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace"]
    theme = gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", font=fonts, font_mono=mono, radius_size="md"
    )

    def allowed(user: str, password: str) -> bool:
        assert auth is not None
        return secrets.compare_digest(f"{user}:{password}".encode(), ":".join(auth).encode())

    gr.mount_gradio_app(
        app,
        build(Explorer(models), folder),
        path="/",
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        auth=allowed if auth else None,
        show_error=False,
        max_file_size=MAX_FILE,
        theme=theme,
        css_paths=[CSS],
    )
    return app


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    models: list[str] | None = None,
) -> None:
    """Run the page until it is interrupted.

    Raises:
        InputError: The address cannot be used.
        WeightsError: A model is unknown or damaged.
    """
    import uvicorn

    # uvicorn ends cleanly and then raises the signal again: that must not skip the tidying up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _listen(host, port) as listening, tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        app = make_app(models, Path(name), auth)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before the models are loaded, so that a taken one is said at once."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "another program has it" if taken else str(error)
        raise InputError(f"cannot listen on {host}:{port}: {reason}; try another --port") from None
