"""What to do where no image shrinks to what was enlarged, or where it was compressed."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ..errors import CVDVAEError, InputError

if TYPE_CHECKING:
    from ..batch.files import Outcome
    from ..restoration.sampler import SuperResolver

HALF_A_LEVEL = 0.5 / 255
"""Of a range, up to which values that are not whole count as given back: 8 bits round as much."""
CLEAN = 90
"""Quality of a JPEG from which on its blocks are not seen."""
FEW, ENOUGH = 4 / 255, 1.2
"""Root mean square of what they miss up to which it may be an input's noise, and how many times as
much noise explains it."""


def remedy(
    path: Path, result: "Outcome", resolver: "SuperResolver", pixels: int, simulated: bool
) -> list[str]:
    """What to do where no image shrinks to the input, or that was compressed; `pixels` are of all
    samples."""
    from ..batch.remarks import is_no_shadow, kept_of, unbelievable
    from ..input_check.shrinking import spectrum
    from ..restoration.stack.result import StackResult

    kept = kept_of(result)
    if not kept or (isinstance(result, StackResult) and not result.checked):
        return []
    if result.misfit is not None:
        return unbelievable([result.misfit[i] for i in kept])
    if isinstance(result, StackResult) or not is_no_shadow(result):
        plain = simulated or isinstance(result, StackResult)
        return [] if plain else _blocks(path, resolver, pixels)
    missed = max(10 ** (-result.lr_psnr[i] / 20) for i in kept)
    how = _explained(path, missed, resolver, pixels)
    named = f"{quote(str(path))} --model {quote(resolver.name)}"
    tells = resolver.shrinking is not None and spectrum(result.recipe.y) is not None
    said = f": cvdvae examine {named} may say which, for --shrunk-by"
    return [
        "no image shrinks to it, as where it was sharpened or compressed since: samples come near "
        f"to it along its edges, but do not meet it there{how}. Or another program has shrunk it"
        f"{said if tells else ', which --shrunk-by names'}"
    ]


def _blocks(path: Path, resolver: "SuperResolver", pixels: int) -> list[str]:
    """What is enlarged with a JPEG that its own compression has spoilt."""
    from ..damage.jpeg_file import quality_of

    quality = quality_of(path)
    if quality is None or quality >= CLEAN or not _may_restore(path, resolver, pixels):
        return []
    return [f"a JPEG of quality {quality}, whose blocks are enlarged, too: --jpeg auto undoes them"]


def _may_restore(path: Path, resolver: "SuperResolver", pixels: int) -> bool:
    """Whether there is a model beside this one that explains a file within its noise, and takes it
    with samples of so many pixels together."""
    from ..batch.files import pixels_of, shorter_side
    from ..restoration.batches import MOST_PIXELS
    from ..restoration.beside import restorer_beside

    if pixels > MOST_PIXELS:  # which a restorer holds in memory
        return False
    side = resolver.lr_size
    if not resolver.any_size and (shorter_side(path), pixels_of(path)) != (side, side * side):
        return False
    try:
        restorer_beside(resolver.name, resolver.scale)
    except CVDVAEError:
        return False
    return True


def _explained(path: Path, missed: float, resolver: "SuperResolver", pixels: int) -> str:
    """Which option would explain what samples miss, a root mean square, where there is a model for
    it."""
    from ..damage.jpeg_file import read_jpeg

    if missed > FEW or not _may_restore(path, resolver, pixels):
        return ""
    try:
        read_jpeg(path)
        how = "--jpeg auto"
    except InputError:
        how = f"--noise {max(HALF_A_LEVEL, ENOUGH * missed):.2g}"
    return f"; {how} explains it within that instead"
