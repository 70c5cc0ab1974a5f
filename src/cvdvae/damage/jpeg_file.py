"""What a JPEG file says of itself: its tables, its subsampling, and its coefficients."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from ..degradations.block_dct import BLOCK, BlockDCT, steps_at, up_to
from ..errors import CVDVAEError, InputError
from ..imaging.carried import LYING, ORIENTATION
from ..imaging.io import MAX_PIXELS
from .described import Description
from .jpeg_pixels import coefficients
from .kinds import JPEG, SUBSAMPLINGS
from .step import Size

SAMPLINGS: dict[int, int | str] = {0: 1, 1: "4:2:2", 2: 2}
"""Pillow's numbers of what chroma is averaged over, in the words of `SUBSAMPLINGS`."""
GREY, GREY_FILE = "4:0:0", "it is grey: so are its samples"
AUTO = "--jpeg auto"
TURNED = "its file says to turn it: the results lie as it is stored, and say so, too"
CUT = (
    "what its last blocks hold beyond the image does not continue it, as where a file was cropped: "
    "it was guessed"
)
MARK, SCAN = 0xFF, 0xDA
FRAMES, ONE_SCAN = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA), (0xC0, 0xC1, 0xC9)
"""Headers with a size: baseline, extended and progressive, and the two with arithmetic coding;
those that may have a single scan."""
WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))
LONGEST = 65_500
"""Pixels of a side that libjpeg takes."""

Asked = Callable[[Description, Size], object]
"""Asked of what a file says of itself."""


class JPEGFile(NamedTuple):
    """What a JPEG file says of itself.

    Attributes:
        y: Its coefficients in units of their steps, as `BlockDCT.rounded` has them, ``(1, M)``
            float32.
        operator: H, from an image to y.
        description: The same in words.
        quality: The quality of libjpeg whose tables are nearest to the file's.
        notes: What else there is to know, in plain words.
    """

    y: Tensor
    operator: BlockDCT
    description: Description
    quality: int
    notes: list[str]

    @property
    def told(self) -> list[str]:
        """All that it says, in plain words."""
        return [f"a JPEG of quality {self.quality}, by its own tables", *self.notes]


def read_jpeg(path: Path, most: int = MAX_PIXELS, check: Asked | None = None) -> JPEGFile:
    """The coefficients of a JPEG file, recovered from its pixels, and its tables.

    Args:
        path: The file.
        most: Pixels that it may have; it is refused before it is decoded.
        check: Called before that, too, with its description, height and width.

    Raises:
        InputError: The file cannot be read, is no JPEG in grey or in luma and chroma, or its chroma
            is averaged over anything but one pixel (4:4:4), two of a row (4:2:2), or squares of 2×2
            (4:2:0).
    """
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            if file.width * file.height > most:
                raise InputError(f"{path} is over {most / 1e6:g} megapixels")
            luma, chroma = _tables(path, file)
            sampling = _sampling(path, file)
            quality, same = _quality(luma, chroma)
            kind = JPEG(quality, sampling) if same else _own(luma, chroma, sampling)
            if check is not None:
                check(Description((kind,)), (file.height, file.width))
            size, turned = (file.height, file.width), _is_turned(file)
        with Image.open(
            BytesIO(to_the_end_of_its_blocks(path.read_bytes())), formats=["JPEG"]
        ) as file:
            file.draft("YCbCr" if file.mode == "RGB" else file.mode, None)
            file.load()
            planes = np.atleast_3d(np.array(file))
    except CVDVAEError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        raise InputError(f"{path} is no JPEG file that can be read ({error})") from None
    averaged = SUBSAMPLINGS[sampling] or 1
    operator = BlockDCT(size, luma, chroma, averaged)
    found = coefficients(torch.from_numpy(planes).permute(2, 0, 1).double(), operator)
    notes = [TURNED] if turned else []
    if not found.goes_on:
        notes.append(CUT)
    if chroma is None:
        notes.append(GREY_FILE)
    return JPEGFile(found.y.float(), operator, Description((kind,)), quality, notes)


def quality_of(path: Path) -> int | None:
    """The quality of libjpeg whose tables are nearest to those of a JPEG file, whose pixels are not
    read; None of one that `read_jpeg` does not take, and of any other file."""
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            _sampling(path, file)
            return _quality(*_tables(path, file))[0]
    except Exception:  # Pillow raises errors of many kinds on damaged files
        return None


def at_odds(path: Path, named: JPEG) -> list[str]:
    """What a JPEG file says that is not what it is said to be; nothing of a file that cannot tell.

    Args:
        path: The file.
        named: What its pixels are said to have gone through last, by its quality.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            turned, sampling = _is_turned(file), _sampling(path, file)
            quality, same = _quality(*_tables(path, file))
    except Exception:  # none that `read_jpeg` takes: it may have been one before
        return []
    said = []
    if named.quality is not None and not same:
        said.append(
            f"it is a JPEG with tables of its own, near to quality {quality}: {AUTO} goes by those"
        )
    elif named.quality not in (None, quality):
        said.append(f"it is a JPEG of quality {quality}, by its own tables: {AUTO} goes by those")
    if SUBSAMPLINGS[sampling] not in (None, SUBSAMPLINGS[named.subsampling]):
        said.append(f"its colours are as coarse as it says itself: {AUTO} goes by that")
    if turned:
        said.append(
            f"its blocks lie as it is stored, and its file says to turn it: {AUTO} reads it so"
        )
    return said


def to_the_end_of_its_blocks(file: bytes) -> bytes:
    """A JPEG file of an image that was continued to the end of its last blocks.

    They were stored as a whole, but a decoder throws away what they show beyond the image. Only the
    size in the header changes: to whole units of all components where they lie in one scan, to
    whole blocks where each has scans of its own, which hold no more of them.

    Args:
        file: Of any size; what has no header of a known kind comes back as it is.
    """
    frame, at = 0, 2
    while at + 10 < len(file) and file[at] == MARK:
        kind, length = file[at + 1], int.from_bytes(file[at + 2 : at + 4])
        if kind in FRAMES:
            frame = at
        elif kind == SCAN:
            break
        at += 1 if kind == MARK else 2 if kind in WITHOUT_LENGTH else 2 + length
    else:
        return file
    if not frame:
        return file
    components = file[frame + 9]
    factors = file[frame + 11 : frame + 10 + 3 * components : 3]
    units = [BLOCK, BLOCK]
    if components > 1 and file[frame + 1] in ONE_SCAN and file[at + 4] == components:
        units = [BLOCK * max(f % 16 for f in factors), BLOCK * max(f // 16 for f in factors)]
    sides = (file[frame + 5 : frame + 7], file[frame + 7 : frame + 9])
    longer = [up_to(unit, int.from_bytes(side)) for unit, side in zip(units, sides, strict=True)]
    if max(longer) > LONGEST:
        return file
    new = b"".join(side.to_bytes(2) for side in longer)
    return file[: frame + 5] + new + file[frame + 9 :]


def _is_turned(file: Image.Image) -> bool:
    """Whether EXIF says to turn or mirror it."""
    return file.getexif().get(ORIENTATION) in LYING


def _tables(path: Path, file: Image.Image) -> tuple[Tensor, Tensor | None]:
    """The steps of luma and, but for a grey file, of chroma, ``(8, 8)``."""
    layers = getattr(file, "layer", [])
    if file.mode == "CMYK":
        raise InputError(
            f"{path} is in CMYK, the inks of print, which are no linear function of an image's "
            f"colours: convert it to RGB, and name what happened"
        )
    count = {"L": 1, "RGB": 3}.get(file.mode)
    unnamed = not {"adobe", "jfif"} & file.info.keys() and [one[0] for one in layers] == [*b"RGB"]
    untransformed = file.info.get("adobe_transform", 1) == 0 or unnamed  # as libjpeg takes them
    if len(layers) != count or (file.mode == "RGB" and untransformed):
        raise InputError(f"{path} has no luma and chroma (it is {file.mode}): name what happened")
    found = getattr(file, "quantization", {})
    tables = (torch.tensor(found[one[3]], dtype=torch.float64, device="cpu") for one in layers)
    luma, *others = (steps.view(8, 8) for steps in tables)
    if others and not torch.equal(*others):
        raise InputError(f"{path} has other tables for Cb than for Cr: name what happened")
    return luma, others[0] if others else None


def _sampling(path: Path, file: Image.Image) -> int | str:
    """What chroma is averaged over, in the words of `SUBSAMPLINGS`."""
    if file.mode == "L":
        return GREY
    sampling = JpegImagePlugin.get_sampling(file)
    if sampling not in SAMPLINGS:
        raise InputError(
            f"{path}: its chroma is neither 4:4:4 nor 4:2:2 nor 4:2:0: name what happened"
        )
    return SAMPLINGS[sampling]


def _quality(luma: Tensor, chroma: Tensor | None) -> tuple[int, bool]:
    """The nearest quality of libjpeg, and whether its tables are the same."""

    def apart(quality: int) -> float:
        tables = zip(steps_at(quality), (luma, chroma), strict=True)
        return sum(
            float((ours.log() - theirs.log()).abs().sum())
            for ours, theirs in tables
            if theirs is not None
        )

    quality = min(range(1, 101), key=apart)
    return quality, apart(quality) == 0


def _own(luma: Tensor, chroma: Tensor | None, sampling: int | str) -> JPEG:
    """The description of a file with its own tables."""
    own, other = (
        None if table is None else tuple(int(step) for step in table.flatten())
        for table in (luma, chroma)
    )
    return JPEG(None, sampling, own, other)
