"""What visitors bring and get goes a while after it was last used."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

EVERY = 600.0
"""Seconds from one sweep to the next."""


@asynccontextmanager
async def sweeping(
    page: Any, seconds: float, forget: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """While this page is served, files and folders go that were not used for so long; `forget` is
    called then, for what was made of them.

    What is there from the beginning stays: the examples. (Gradio's own sweeper ends for good, and
    tells nobody, with the first file that comes while it looks.)
    """
    cache = Path(page.GRADIO_CACHE)
    task = asyncio.create_task(_sweep_again(page, cache, set(_inside(cache)), seconds, forget))
    try:
        yield
    finally:
        task.cancel()


async def _sweep_again(
    page: Any, cache: Path, kept: Container[Path], seconds: float, forget: Callable[[], None]
) -> None:
    while True:
        await asyncio.sleep(EVERY)
        try:
            gone = await asyncio.to_thread(sweep, cache, kept, time.time() - seconds)
            for files in page.temp_file_sets:  # Gradio's list of them, which has no end
                files.difference_update(gone)
            await asyncio.to_thread(forget)
        except Exception:
            logger.exception("a sweep failed")


def sweep(cache: Path, kept: Container[Path], before: float) -> list[str]:
    """Remove what was last used before a time, and return its paths.

    Args:
        cache: The folder, which stays.
        kept: What stays in it, whatever its age.
        before: Seconds since 1970. A folder is as old as the last change of what it holds.
    """
    gone = []
    for path in _inside(cache):
        with suppress(OSError):  # it has gone already, or is a folder with something in it
            found = path.lstat()
            if path in kept or max(found.st_mtime, found.st_ctime) >= before:
                continue
            (path.rmdir if stat.S_ISDIR(found.st_mode) else path.unlink)()
            gone.append(str(path))
    return gone


def _inside(folder: Path) -> Iterator[Path]:
    """Everything in a folder; what a folder in it holds comes before that folder."""
    for above, folders, files in os.walk(folder, topdown=False):
        yield from (Path(above, name) for name in (*files, *folders))
