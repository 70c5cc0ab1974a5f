"""Files that are written whole or not at all, and what killed writers leave of them."""

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError, unwritable

try:
    import fcntl
except ImportError:  # Windows: there, nothing is swept
    fcntl = None  # type: ignore[assignment]

TEMPORARY_PREFIX, IMPORTING_PREFIX, APP_PREFIX = ".writing-", ".importing-", "cvdvae-app-"
LEFTOVER = re.compile(
    rf"(?:\{TEMPORARY_PREFIX}|\{IMPORTING_PREFIX}|{APP_PREFIX})(\d{{1,10}})-[0-9a-f]{{8}}(?:\..*)?"
)

_swept: set[Path] = set()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    Args:
        path: The file to make or replace; its folder is made where it is missing.
        write: Called with the temporary path, which keeps the suffix of `path`.

    Raises:
        OutputError: The folder or the file cannot be written; nothing is left behind.
    """
    with atomically(path) as temporary:
        write(temporary)


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """As `write_atomically`: the temporary path, whose file moves into place at the end."""
    temporary: Path | None = None
    handle = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary = path.with_name(f"{temporary_name(TEMPORARY_PREFIX)}{path.suffix}")
        # The system applies the umask, which no thread can ask for without changing it for others.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        mark_as_in_use(handle)
        yield temporary
        temporary.chmod(stat.S_IMODE(os.fstat(handle).st_mode))  # some put another file there
        with temporary.open("r+b") as stream:  # Windows syncs no file that is only read
            os.fsync(stream.fileno())
        os.close(handle)
        handle = -1
        temporary.replace(path)
    except OutputError:  # of another file, which it names
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        if handle >= 0:
            os.close(handle)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a folder beside `path`, then move it into place.

    Args:
        path: The folder to make or replace.
        write: Called with the path of a folder that does not exist, of the same name.

    Raises:
        OutputError: It cannot be written, or is called `..`; nothing is left behind.
    """
    if path.name in ("", ".."):  # whatever lies there is not ours to replace
        raise OutputError(f"cannot write {path}: it names no folder of its own")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path.parent) as aside:
            new, old = aside / path.name, aside / temporary_name(TEMPORARY_PREFIX)
            write(new)
            if os.path.lexists(path):
                path.rename(old)
            try:
                new.rename(path)
            except BaseException:
                with suppress(OSError):
                    old.rename(path)
                raise
    except OutputError:  # of another file, which it names
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """Why something could not be written, in one sentence."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])  # of the first of many files
    short = "requested and" in str(error)  # what NumPy says of a write that ended early
    return error.strerror or f"{error}{': the disk may be full' * short}"


def name_of(path: Path) -> str:
    """The last part of a path, also of one that ends with `.` or `..`."""
    return Path(os.path.abspath(path)).name  # noqa: PTH100 - links stay what they are called


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: It cannot be read, is a device or a pipe, or holds more than `most` bytes.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would block
    try:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(handle, "rb", closefd=False) as stream:
            data = stream.read(min(most, told.st_size) + 1)  # all of which is allocated at once
    finally:
        os.close(handle)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has over {most // 2**20} MiB")
    return data


def check_writable(folder: Path) -> None:
    """Make a folder, and make sure that files can be written to it.

    Raises:
        OutputError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error
    sweep(folder)


@contextmanager
def temporary_folder(parent: Path, prefix: str = IMPORTING_PREFIX) -> Iterator[Path]:
    """A folder that is gone afterwards, and no other user's to read; what a killed process left of
    its own is removed first.

    Args:
        parent: Where it is made.
        prefix: Of its name, one that `sweep` knows.

    Raises:
        OSError: It cannot be made.
    """
    sweep(parent)
    folder = parent / temporary_name(prefix)
    folder.mkdir(0o700)
    handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if handle is not None:
            mark_as_in_use(handle)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def temporary_name(prefix: str) -> str:
    """A new name that `sweep` knows by its prefix, with the number of this process."""
    return f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"


def mark_as_in_use(handle: int) -> None:
    """Keep `sweep` away from an open file or folder, for as long as it is open."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, once for each folder.

    A temporary file stays while its process lives, while anybody has it locked, or where it is of
    another user: in a container
    or on a shared disk the number of a process alone says little.
    """
    folder = folder.absolute()
    if fcntl is None or folder in _swept:
        return
    _swept.add(folder)
    try:
        with os.scandir(folder) as entries:
            found = [(entry.path, LEFTOVER.fullmatch(entry.name)) for entry in entries]
    except PermissionError:  # one may write there, and not look
        return
    for path, match in found:
        if match is None or not _is_left_over(path, int(match[1])):
            continue
        if Path(path).is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                Path(path).unlink(missing_ok=True)


def _is_left_over(path: str, pid: int) -> bool:
    if pid != os.getpid() and is_running(pid):
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(handle).st_uid != os.getuid():
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def is_running(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
