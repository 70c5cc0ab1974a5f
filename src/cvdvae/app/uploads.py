"""The page as Gradio serves it: which files a visitor may name, and what is not kept of them."""

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

REFUSED = (
    "upload the image or the settings to this page: no other file, path or address is read; what "
    "was uploaded is kept for an hour after its last use: give it again"
)
"""The same whatever the path is, so that it tells nothing about the files of the server."""

_FOLDER = re.compile(r"[0-9a-f]{64}")
"""Gradio lays every upload into a folder that is called by the digest of what it holds."""


class Page(gr.Blocks):
    """Gradio's blocks, whose every handler takes uploads only, and keeps nothing of what is sent.

    Gradio's own check passes over files that come without `meta`, and opens what it lets pass. And
    for links to what a page shows, of which there are none here, it keeps the last value of every
    part for every visitor, samples among them, until 200 other visitors have come.
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
        _keep(state, block_fn.inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error as error:  # what is sent by a program may be none of the choices
            error.print_exception = False
            raise
        finally:
            _forget(state, block_fn.inputs)

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio does; a handler that says much is at work, perhaps for hours, and what it works
        on is kept."""
        _keep(state, block_fn.inputs)
        try:
            return await super().postprocess_data(block_fn, predictions, state)
        finally:
            _forget(state, block_fn.outputs)


def _keep(state: Any, parts: list[Any]) -> None:
    """Keep what belongs to a visitor for as long again, as it is used; Gradio counts from when it
    was last given out."""
    for part in parts:
        if isinstance(part, gr.State) and state is not None and part._id in state:
            state[part._id] = state[part._id]


def _forget(state: Any, parts: list[Any]) -> None:
    """Forget what was sent from or to parts of the page."""
    for part in parts:
        config = None if state is None else state.config_values.get(part._id)
        if config and "props" in config:
            config["props"]["value"] = None


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
