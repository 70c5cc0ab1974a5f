"""Sources that hold rows of several kinds."""

from contextlib import suppress
from glob import has_magic
from pathlib import Path

from ..errors import InputError
from .finding import KNOWN, Named, files_of


def refuse_mixed(given: Named, tables: list[Path], tars: list[Path], out: Path | None) -> None:
    """Refuse a folder or a glob with rows of several kinds: which are meant, it does not say.

    Args:
        given: The folder or the glob.
        tables: Its Parquet files.
        tars: Its tar files.
        out: As for `files_of`.

    Raises:
        InputError: It names those of two kinds.
    """
    path, image = Path(given.text), _first_image(given, out)
    folder = path if path.is_dir() else next(p for p in path.parents if not has_magic(str(p)))
    firsts = {f"{some[0].suffix} files": some[0] for some in (tables, tars) if some}
    kinds = firsts if image is None else {"files of images": image, **firsts}
    if len(kinds) > 1:
        (a, one), (b, other), *_ = kinds.items()
        one, other = (
            folder / ("" if p.parent == folder else "**") / f"*{p.suffix}" for p in (one, other)
        )
        raise InputError(
            f"{given.text} holds {a} and {b}: name those that you mean, as in '{one}' or '{other}'"
        )


def _first_image(given: Named, out: Path | None) -> Path | None:
    """A file of a folder, or of what a glob names, with an image."""
    with suppress(InputError):  # no image, or results of this program alone
        found = (path for path, _ in files_of([given], out))
        return next((p for p in found if p.suffix.lower() in KNOWN and p.is_file()), None)
    return None
