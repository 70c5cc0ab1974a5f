"""One writer for a folder: the second is told so, in one sentence, before it writes anything."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import TakenError, unwritable

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, two writers are not told apart
    fcntl = None  # type: ignore[assignment]

LOCK = ".cvdvae-lock"

_held: dict[Path, int] = {}
"""The folders that this process writes to, and the thread that does."""
_guard = threading.Lock()


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only one that writes to a folder; the same thread may say so again within. Folders
    that were made for it and stay empty are removed.

    The lock belongs to the process and not to the file, so that of a killed one is free at once.

    Raises:
        OutputError: Another process or thread writes to it, or it cannot be made.
    """
    made = list[Path]()
    try:
        made += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        place = folder.resolve()
    except OSError as error:
        raise unwritable(folder, error) from error
    with _guard:
        owner = _held.get(place)
        if owner not in (None, threading.get_ident()):
            raise _taken(folder, os.getpid())
        handle = _take(folder) if owner is None else None
        _held[place] = threading.get_ident()
    try:
        yield
    finally:
        if owner is None:
            with _guard:
                del _held[place]
                if handle is not None:
                    (folder / LOCK).unlink(missing_ok=True)
                    os.close(handle)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def _take(folder: Path) -> int | None:
    """Lock the folder's lock file; None where there are no locks."""
    path = folder / LOCK
    while fcntl is not None:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise unwritable(folder, error) from error
        try:
            # Unlike flock, this is not handed down to the processes that read a training's images.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.stat()):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                return handle
        except (BlockingIOError, PermissionError):
            said = os.read(handle, 20).decode(errors="replace")
            os.close(handle)
            raise _taken(folder, said if said.isdigit() else "unknown") from None
        except FileNotFoundError:  # its owner ended in between
            pass
        except OSError:  # a file system without locks
            with suppress(OSError):
                path.unlink()
            os.close(handle)
            return None
        os.close(handle)
    return None


def _taken(folder: Path, pid: int | str) -> TakenError:
    return TakenError(
        f"another run (process {pid}) is writing to {folder}: wait until it has ended, or choose "
        f"another folder"
    )
