"""Which files a visitor may name: what was uploaded to this page, and nothing else."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

MAX_FILE = 40 * 2**20
"""Bytes that an upload may have."""

REFUSED = "upload the image or the settings to this page: no other file, path or address is read"
"""The same whatever the path is, so that it tells nothing about the files of the server."""

_FOLDER = re.compile(r"[0-9a-f]{64}")
"""Gradio lays every upload into a folder that is called by the digest of what it holds."""


class Page(gr.Blocks):
    """Gradio's blocks, whose every handler takes uploads only.

    Gradio's own check passes over files that come without `meta`, and opens what it lets pass.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> Any:
        """Refuse foreign files before anything looks at them, and go on as Gradio does."""
        cache = Path(self.GRADIO_CACHE).resolve()
        named = set(_paths(inputs))
        if not all(is_upload(path, cache) for path in named):
            raise gr.Error(REFUSED, print_exception=False)
        for path in named:
            with suppress(OSError):
                os.utime(path)  # what is used is kept
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)


def is_upload(path: Any, cache: Path) -> bool:
    """Whether a path is that of a regular file in a folder of its own in the upload cache.

    Links, `..` and other detours are none; a FIFO or a device is not opened.

    Args:
        path: What a visitor has named.
        cache: The upload cache, resolved.
    """
    if not isinstance(path, str):
        return False
    folder = Path(path).parent
    if folder.parent != cache or not _FOLDER.fullmatch(folder.name):
        return False
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        if os.path.realpath(path) != path or not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        opened = os.open(path, flags)
    except (OSError, ValueError):  # it is not there, or has a null byte
        return False
    try:
        return stat.S_ISREG(os.fstat(opened).st_mode)
    finally:
        os.close(opened)


def _paths(data: Any) -> Iterator[Any]:
    """Whatever is called a path in what a visitor has sent."""
    if isinstance(data, dict):
        if data.get("path") is not None:
            yield data["path"]
        for value in data.values():
            yield from _paths(value)
    elif isinstance(data, list):
        for value in data:
            yield from _paths(value)
