"""Files restored into folders: pictures, and arrays."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ..domains.simulate import Crop
from ..imaging.arrays import Limits
from ..imaging.io import SMALLER
from ..restoration.restored import Restoration
from ..restoration.restorer import Restorer
from ..restoration.settings import Restoring
from ..restoration.stack.planes import AUTO, Missing, read_arrays
from ..restoration.stack.restored import Harm, RestoredStack
from ..restoration.stack.restoring import restore_stack
from ..restoration.workers import OnDone, untold
from .files import Job, refuse_values
from .happened import Happened
from .restore import as_arrays, degrade, read_seen

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
    advice: str = SMALLER,
) -> tuple[Restored, list[str]]:
    """Restore a file into its folder; and what is to be said of the file.

    Args:
        restorer: The model.
        job: The file, and its folder.
        asked: What is asked of it.
        on_steps: As for `Restorer.run`.
        advice: What to do with a picture that is too large, as for `read_photo`.

    Raises:
        InputError: The file cannot be used, or does not belong to what shall have happened.
        OutputError: The folder cannot be written; nothing is left behind.
    """
    what, how, crop, limits, values = asked
    channels, check = restorer.prior.config.channels, partial(restorer.check_seen, how)
    if crop is None and as_arrays(job.path, what):
        missing: Missing = "drawn" if what.fill else "unseen"
        given = read_arrays(channels, job.path, limits, values or AUTO, missing=missing)
        harm = Harm(what.description, what.noise, what.fill)
        stack = restore_stack(restorer, given, harm, how, job.folder, on_steps)
        return stack, [*given.notes, *stack.notes]
    if values is not None:
        refuse_values(job.path)
    truth, most = None, limits.pixels
    if crop is not None:
        told, truth, notes, extras = degrade(
            job.path, what, restorer.side, crop, how.seed, most, channels, check
        )
    else:
        told, notes, extras = read_seen(job.path, what, most, channels, check, advice)
    result = replace(restorer.run(told, how, truth, on_steps), extras=extras)
    result.save(job.folder)
    return result, notes
