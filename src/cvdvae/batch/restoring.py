"""Files restored into folders: pictures, and arrays."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ..domains.simulate import Crop
from ..imaging.arrays import Limits
from ..restoration.restored import Restoration
from ..restoration.restorer import Restorer
from ..restoration.saving import refuse_own
from ..restoration.settings import Restoring
from ..restoration.stack.planes import AUTO
from ..restoration.stack.restored import RestoredStack
from ..restoration.stack.restoring import read_damaged, restore_stack
from ..restoration.workers import OnDone, untold
from .files import HIGHER, Job, refuse_values
from .happened import Happened
from .restore import degrade, read_seen, restores_as_arrays

Restored = Restoration | RestoredStack
"""What came of a file: both tell the same of themselves."""


class Asked(NamedTuple):
    """What is asked of every file.

    Attributes:
        what: What happened to it.
        how: How to restore.
        crop: How to cut intact inputs that are degraded first; None for inputs as they are.
        limits: What a file may hold; a larger one is refused before it is decoded.
        values: How values of arrays are mapped to [0, 1], as for `read_any`.
    """

    what: Happened
    how: Restoring
    crop: Crop | None
    limits: Limits
    values: str | None = None


def restore_into(
    restorer: Restorer,
    job: Job,
    asked: Asked,
    on_steps: OnDone = untold,
) -> tuple[Restored, list[str]]:
    """Restore a file into its folder; and what is to be said of the file.

    Args:
        restorer: The model.
        job: The file, and its folder.
        asked: What is asked of it.
        on_steps: As for `Restorer.run`.

    Raises:
        InputError: The file cannot be used, or does not belong to what shall have happened.
        OutputError: The folder cannot be written; nothing is left behind.
    """
    what, how, crop, limits, values = asked
    refuse_own(job.folder, job.path)
    channels, check = restorer.prior.config.channels, partial(restorer.check_seen, how)
    if crop is None and restores_as_arrays(job.path, what):
        given = read_damaged(restorer, job.path, what.of_arrays, limits, values or AUTO)
        stack = restore_stack(restorer, given, what.of_arrays, how, job.folder, on_steps)
        return stack, [*given.notes, *stack.notes]
    if values is not None:
        refuse_values(job.path)
    truth, most = None, limits.pixels
    if crop is not None:
        told, truth, notes, extras = degrade(
            job.path, what, restorer.side, crop, how.seed, most, channels, check
        )
    else:
        told, notes, extras = read_seen(job.path, what, most, channels, check, HIGHER)
    result = replace(restorer.run(told, how, truth, on_steps), extras=extras)
    result.save(job.folder)
    return result, notes
