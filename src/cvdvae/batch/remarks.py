"""What is to be said of a result besides that it is there."""

from collections.abc import Sequence

from ..restoration.restored import Restoration
from ..restoration.result import Doubt
from ..restoration.stack.result import StackResult
from .files import Outcome


def remarks(result: Outcome | Restoration, doubts: Sequence[Doubt] = ()) -> list[str]:
    """One sentence for each thing that a person should know, none where all is as it should be.

    Args:
        result: The result.
        doubts: Why its input may be none that the model knows.
    """
    said = [f"in doubt: {doubt.explanation}" for doubt in doubts]
    if any(result.exploded):
        said.append("samples exploded: those are no answer")
    if isinstance(result, Restoration):
        if not all(result.explains):
            said.append("samples do not explain it within its noise")
    elif isinstance(result, StackResult) and not result.whole:
        return said  # values that are not whole are met but for round-off
    elif result.misfit is None and not all(result.round_trip_exact):
        said.append("samples do not give it back exactly: no image shrinks to it")
    return said
