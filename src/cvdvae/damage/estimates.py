"""What happened to an image, estimated from the image itself or read from its file.

A JPEG file holds whole numbers k, the coefficients of its blocks in units of the steps that stand
in its header. A decoder turns them into pixels and rounds those. Back from the pixels: luma and
chroma as they were decoded, before any conversion to RGB; chroma that was enlarged is taken back by
the pseudo-inverse of the enlargement; then the cosine transform, and k the nearest whole numbers.
A rounded pixel moves a coefficient by 0.3 grey levels: where its step is 3 or more, k is right.
Where only the picture in RGB is left, luma and chroma are the whole numbers nearest to what its
colours say, which rounding them to 8 bits moves by less than a half.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Tensor

from ..degradations.block_dct import (
    LUMA_CHROMA,
    MIDDLE,
    BlockDCT,
    before_enlargement,
    steps_at,
    transformed,
    transformed_back,
)
from ..errors import CVDVAEError, InputError
from ..imaging.carried import LYING, ORIENTATION
from ..imaging.io import MAX_PIXELS
from ..imaging.values import EIGHT_BITS, rounding_of
from .described import Description
from .kinds import JPEG, SUBSAMPLINGS
from .step import Size

PASSES = 8
"""How often what the pixels do not show, beyond the border and beyond black and white, is filled in
anew from the coefficients."""
SAMPLINGS: dict[int, int | str] = {0: 1, 1: "4:2:2", 2: 2}
"""Pillow's numbers of what chroma is averaged over, in the words of `SUBSAMPLINGS`."""
GREY, GREY_FILE = "4:0:0", "it is grey: so are its samples"
AUTO = "--jpeg auto"
TURNED = "its file says to turn it: the results lie as it is stored, and say so, too"
MAX_NOISE = 1.0
"""σ beyond which nothing is left of an image in [0, 1]."""
LEAST, QUARTILE = 150, 0.6744897501960817
"""Wavelets of a colour whose median is σ within a tenth, mostly; the median of ``|N(0, 1)|``."""
FLAT = 1e-9
"""A wavelet no larger than this is the round-off of a constant."""


def estimate_noise(y: Tensor, hidden: Tensor | None = None) -> float:
    """σ of white Gaussian noise in a picture, the median of its finest wavelets (Donoho 1994).

    Texture counts as noise, and noise that was smoothed since does not. Wavelets that see a hidden
    pixel do not count, nor what is flat, such as white paper; 0 where all is.

    Args:
        y: ``(C, h, w)`` in [0, 1].
        hidden: Which pixels show nothing of the image, bool ``(h, w)``.

    Raises:
        InputError: PyWavelets is missing, or the picture is too small to tell, or has too few
            pixels with others around them.
    """
    if find_spec("pywt") is None:
        raise InputError(
            "to estimate noise takes PyWavelets: pip install 'cvdvae[restore]', or name the noise"
        )
    if min(y.shape[1:]) < 8:
        raise InputError(f"{y.shape[2]}×{y.shape[1]} pixels are too few to estimate noise from")
    values = y.detach().double().cpu().numpy()
    beside = None if hidden is None or not bool(hidden.any()) else hidden.cpu().numpy()
    sigmas = [_sigma_of(channel, beside) for channel in values]
    telling = [sigma for sigma in sigmas if sigma]
    return sum(telling) / len(telling) if telling else 0.0


def noise_behind(y: Tensor, description: Description, levels: int | None = EIGHT_BITS) -> float:
    """The same of a picture to which more has happened, from what its holes leave: at least the
    noise of its rounding.

    Args:
        y: ``(C, h, w)`` in [0, 1].
        description: What happened.
        levels: Steps between 0 and 1 to which it was rounded, as for `rounding_of`.

    Raises:
        InputError: As `estimate_noise`, or it is a mosaic, whose neighbours are of other colours.
    """
    if description.is_mosaic:
        raise InputError(
            "neighbouring pixels of a mosaic are of other colours, so that its noise cannot be "
            "estimated: name it, as in --noise 0.02"
        )
    found = estimate_noise(y, description.hidden((y.shape[1], y.shape[2])))
    if found > MAX_NOISE:
        raise InputError(
            "what would have to be noise here is more than any image has: name how noisy it is, as "
            "in --noise 0.02"
        )
    return max(found, rounding_of(levels))


def _sigma_of(channel: np.ndarray, hidden: np.ndarray | None) -> float:
    """As skimage's `estimate_sigma`, of one colour: 0 where it is flat, which says nothing."""
    if hidden is not None:
        channel = np.where(hidden, np.nan, channel)
    finest = np.abs(import_module("pywt").dwtn(channel, "db2")["dd"])
    seen = finest[np.isfinite(finest)]
    if hidden is not None and seen.size < LEAST:
        raise InputError(
            "too few pixels are left beside what is hidden to estimate noise from: name it, "
            "as in --noise 0.02"
        )
    rough = seen[seen > FLAT]
    return float(np.median(rough)) / QUARTILE if rough.size else 0.0


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
            turned = _is_turned(file)
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
    operator = BlockDCT((planes.shape[0], planes.shape[1]), luma, chroma, averaged)
    y = coefficients(torch.from_numpy(planes).permute(2, 0, 1).double(), operator)
    notes = [TURNED] if turned else []
    if chroma is None:
        notes.append(GREY_FILE)
    return JPEGFile(y.float(), operator, Description((kind,)), quality, notes)


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


def coefficients(planes: Tensor, operator: BlockDCT) -> Tensor:
    """y of decoded pixels: the coefficients that a decoder made them from.

    Args:
        planes: Luma, Cb and Cr as decoded, 0 to 255, chroma enlarged, ``(3, H, W)`` float64; of a
            grey file luma alone.
        operator: H.

    Returns:
        ``(1, M)`` float64.
    """
    luma, chroma = planes[0], planes[1:]
    down, right = operator.subsampling
    if down == 2:
        chroma = before_enlargement(chroma, 1)
    if right == 2:
        chroma = before_enlargement(chroma, 2)
    parts = zip((luma, *chroma), operator.tables, operator.planes, strict=True)
    return operator.of_file(torch.cat([_whole(*part) for part in parts], 1))


def of_decoded(y: Tensor, operator: BlockDCT) -> Tensor:
    """The same of a decoded picture, whose file is gone.

    Args:
        y: The picture, ``(1, 3, H, W)`` or in grey ``(1, 1, H, W)``, in [0, 1].
        operator: H of the JPEG that it was, by its quality.

    Returns:
        ``(1, M)`` float32; rounded, and so without a gradient.

    Raises:
        InputError: Another number of colours.
    """
    if y.shape[1] not in (1, 3):
        raise InputError(f"a JPEG is decoded to 3 colours, or to 1, not to {y.shape[1]}")
    mixing = torch.tensor(LUMA_CHROMA, dtype=torch.float64, device="cpu")
    planes = torch.einsum("ij,jhw->ihw", 255 * mixing, y[0].detach().double().expand(3, -1, -1))
    planes[1:] += MIDDLE
    return coefficients(planes[: len(operator.planes)].round(), operator).float()


def _whole(plane: Tensor, steps: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole coefficients behind a decoded plane ``(h, w)``, ``(1, M)``."""
    height, width = plane.shape
    beyond = (0, size[1] - width, 0, size[0] - height)
    guess = F.pad(plane[None, None], beyond, mode="replicate")[0]
    found = torch.round(transformed(guess - MIDDLE, steps))
    for _ in range(PASSES):
        guess = transformed_back(found, 1 / steps, size) + MIDDLE
        seen = guess[0, :height, :width]
        shown = torch.where(plane <= 0, seen.clamp(max=0), plane)
        guess[0, :height, :width] = torch.where(plane >= 255, seen.clamp(min=255), shown)
        before, found = found, torch.round(transformed(guess - MIDDLE, steps))
        if torch.equal(before, found):
            break
    return found


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
    untransformed = file.mode == "RGB" and file.info.get("adobe_transform", 1) == 0
    if len(layers) != count or untransformed:
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
