"""PNG files that are written and read row by row, so that an image of any size needs no memory.

The format: a signature, then chunks of length, kind, data and CRC (ISO/IEC 15948). Every row is
preceded by its filter; "up", the difference to the row above, makes photographs compress.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from ..errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Grey, grey with alpha, RGB, and RGB with alpha."""
OPAQUE = 1, 3
"""Channels of those without alpha."""
UP = 2
LEVEL = 4
"""Of zlib: twice as fast as its default, for files that are a few percent larger."""
AT_ONCE = 2**21
"""Bytes that are unpacked at once."""


def check_channels(channels: int) -> None:
    """Refuse images that are neither grey nor RGB: another channel would be taken for alpha.

    Raises:
        InputError: Neither 1 nor 3 channels.
    """
    if channels not in OPAQUE:
        raise InputError(f"pictures hold 1 or 3 channels, not {channels}: keep them as arrays")


class PNGWriter:
    """An 8-bit grey or RGB image, with or without alpha, from the top downwards.

    Args:
        path: The file; use it within `cvdvae.files.write_atomically` to have it whole or not.
        width: Columns of the image.
        height: Rows of the image.
        channels: 1 or 3, one more with alpha.
        icc_profile: What its colours mean; sRGB without.
        exif: EXIF, as cameras write it.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        channels: int = 3,
        icc_profile: bytes | None = None,
        exif: bytes | None = None,
    ) -> None:
        self.width, self.missing, self.channels = width, height, channels
        self.stream: BinaryIO = path.open("wb")
        self.packer = zlib.compressobj(LEVEL)
        self.above = np.zeros((1, width, channels), np.uint8)
        self.stream.write(SIGNATURE)
        kind = COLOUR_TYPES[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
        if icc_profile is not None:
            self._chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc_profile))
        if exif is not None:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def write(self, rows: np.ndarray) -> None:
        """Add rows, uint8, ``(n, width, channels)``.

        Raises:
            ValueError: Another width, or more rows than the image has.
            OSError: The disk is full.
        """
        if rows.shape[1:] != (self.width, self.channels) or len(rows) > self.missing:
            raise ValueError(f"{rows.shape} does not fit {self.missing} rows of {self.width}")
        before = np.concatenate([self.above, rows[:-1]])
        filtered = np.empty((len(rows), 1 + self.channels * self.width), np.uint8)
        filtered[:, 0] = UP
        filtered[:, 1:] = (rows - before).reshape(len(rows), -1)  # modulo 256, as the format says
        self.above, self.missing = rows[-1:].copy(), self.missing - len(rows)
        packed = self.packer.compress(filtered.tobytes())
        if packed:
            self._chunk(b"IDAT", packed)

    def close(self) -> None:
        """Write what is left, and end the file.

        Raises:
            ValueError: Rows are missing.
        """
        try:
            if self.missing:
                raise ValueError(f"{self.missing} rows are missing")
            self._chunk(b"IDAT", self.packer.flush())
            self._chunk(b"IEND", b"")
        finally:
            self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stream.close()

    def _chunk(self, kind: bytes, data: bytes) -> None:
        crc = zlib.crc32(data, zlib.crc32(kind))
        self.stream.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc))


def read_rows(path: Path) -> Iterator[np.ndarray]:
    """Rows of a picture that `PNGWriter` has written, some at a time from the top, uint8
    ``(n, width, channels)``.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        stream.seek(len(SIGNATURE) + 8)
        width, _, _, kind = struct.unpack(">IIBB", stream.read(10))
        channels = next(n for n, colour_type in COLOUR_TYPES.items() if colour_type == kind)
        stream.seek(len(SIGNATURE))
        left, line = b"", 1 + channels * width
        above = np.zeros(channels * width, np.uint8)
        for data in _unpacked(stream):
            left += data
            whole = len(left) // line
            lines, left = np.frombuffer(left[: whole * line], np.uint8), left[whole * line :]
            rows = lines.reshape(whole, line)[:, 1:].copy()
            for row in rows:
                row += above  # modulo 256
                above = row
            if whole:
                yield rows.reshape(whole, width, channels)


def _unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """What the data of a PNG's chunks hold, in pieces of at most `AT_ONCE`."""
    unpacker, kind = zlib.decompressobj(), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", stream.read(8))
        data = stream.read(length)
        while data and kind == b"IDAT":
            yield unpacker.decompress(data, AT_ONCE)
            data = unpacker.unconsumed_tail
        stream.seek(4, 1)
    yield unpacker.flush()
