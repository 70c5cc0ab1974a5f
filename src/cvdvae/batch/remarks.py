"""What is to be said of a result besides that it is there."""

from collections.abc import Sequence

from ..restoration.restored import Restoration
from ..restoration.result import Doubt
from ..restoration.stack.restored import RestoredStack
from ..restoration.stack.result import StackResult
from .files import Outcome
from .restoring import Restored

FAR = 2.0
"""Levels of 255 by which samples must miss an input before more than its rounding is blamed."""
TOO_FAR, TOO_NEAR = 1.5, 0.5
"""Standard deviations of faint light's noise by which samples are off where something is wrong."""
UNCHECKED = "nothing of it could be checked: every pixel lies near a missing value"
REMARKS = "remarks"
"""Where the columns of a row have them."""


def remarks(result: Outcome | Restored, doubts: Sequence[Doubt] | None = None) -> list[str]:
    """One sentence for each thing that a person should know, none where all is as it should be.

    Args:
        result: The result.
        doubts: Why its input may be none that the model knows.
    """
    said = [f"in doubt: {doubt.explanation}" for doubt in doubts or []]
    if any(result.exploded):
        said.append("samples exploded: those are no answer")
    if result.exploded and all(result.exploded):
        return said
    if isinstance(result, Restoration | RestoredStack):
        by_design = result.restoring.grain and result.sigma > 0  # --grain leaves it at that
        if not any(result.explains) and not by_design:
            said.append("no sample explains it" + " within its noise" * (result.sigma > 0))
        return said
    if isinstance(result, StackResult) and not result.checked:
        return [*said, UNCHECKED]
    kept = kept_of(result)
    if result.misfit is not None:
        return said + unbelievable([result.misfit[i] for i in kept])
    if isinstance(result, StackResult) and not result.stack.whole:
        return said
    if not isinstance(result, StackResult) and is_no_shadow(result):
        said.append("no image shrinks to it: samples come near to it, but do not meet it")
    elif not all(result.round_trip_exact[i] for i in kept):
        said.append("not every sample gives it back exactly")
    return said


def is_no_shadow(result: Outcome) -> bool:
    """Whether all samples of a picture, of which some are answers, miss it by so much that no image
    may shrink to it."""
    return min(result.largest_lr_error[i] for i in kept_of(result)) >= FAR


def kept_of(result: Outcome) -> list[int]:
    """Which of the samples are answers: those that have not exploded."""
    exploded = result.exploded or [False] * len(result.largest_lr_error)
    return [i for i, gone in enumerate(exploded) if not gone]


def unbelievable(misfit: list[float]) -> list[str]:
    """What the samples of faint light say where they are off by much more than its noise, or by
    much less."""
    if min(misfit) > TOO_FAR:
        return ["the model does not explain it: believe neither samples nor intervals"]
    if max(misfit) < TOO_NEAR:
        return ["more noise was assumed than there is: --values HIGH may be too large, or wrong"]
    return []
