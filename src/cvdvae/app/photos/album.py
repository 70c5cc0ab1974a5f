"""The images of all visitors, in so much memory and no more."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ...errors import InputError
from ..reading import digest_of

MOST = 2**28
"""Bytes that are kept: a hundred images of 1,000×700 pixels, or twenty of the largest."""

GONE = "your photograph is no longer here: upload it again"


class Album:
    """Images by their digest; those that were not looked at for longest go first.

    Args:
        most: Bytes that are kept at most; the newest is kept whatever its size.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most, self._lock = most, threading.Lock()
        self._images: OrderedDict[str, Tensor] = OrderedDict()
        self._used: dict[str, float] = {}  # when they were last, in seconds of a clock of its own

    def add(self, image: Tensor) -> str:
        """Keep an image, uint8, and return what it is called."""
        name = digest_of(image)
        self._keep(name, image)
        return name

    def of_file(self, path: Path, read: Callable[[Path], Tensor]) -> Tensor:
        """The image in a file, which is read where it is not kept."""
        try:
            return self.image(str(path))
        except InputError:
            image = read(path)
            self._keep(str(path), image)
            return image

    def image(self, name: str) -> Tensor:
        """The image of this name.

        Raises:
            InputError: It had to make room for others, or was forgotten.
        """
        with self._lock:
            if name not in self._images:
                raise InputError(GONE)
            self._use(name)
            return self._images[name]

    def forget_gone(self) -> None:
        """Keep nothing of files that have gone."""
        self._forget(lambda name: not Path(name).exists())

    def forget_unused(self, seconds: float) -> None:
        """Keep nothing that was last used longer ago than so many seconds."""
        before = time.monotonic() - seconds
        self._forget(lambda name: self._used[name] < before)

    def _forget(self, which: Callable[[str], bool]) -> None:
        with self._lock:
            for name in [*filter(which, self._images)]:
                del self._images[name], self._used[name]

    def _use(self, name: str) -> None:
        self._images.move_to_end(name)
        self._used[name] = time.monotonic()

    def _keep(self, name: str, image: Tensor) -> None:
        with self._lock:
            self._images[name] = image
            self._use(name)
            while len(self._images) > 1 and self._size() > self.most:
                oldest, _ = self._images.popitem(last=False)
                del self._used[oldest]

    def _size(self) -> int:
        return sum(image.numel() for image in self._images.values())
