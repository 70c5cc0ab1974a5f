"""A result as one file to take away."""

import tempfile
import zipfile
from pathlib import Path

from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from ..restoration.restored import Restoration
from ..restoration.result import SuperResolution


def zip_of(result: SuperResolution | Restoration, folder: Path) -> Path:
    """Save a result in a folder, and pack it as ``cvdvae.zip`` beside its files."""
    result.save(folder)
    archive = folder / "cvdvae.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            if path != archive:
                packed.write(path, path.name)
    return archive


def kept(path: Path) -> Path:
    """A file where Gradio keeps what it serves, copied there by the thread that calls this.

    Gradio would copy it in the one that answers everybody, who would wait for gigabytes.
    """
    Path(get_upload_folder()).mkdir(exist_ok=True)  # not where the page has ended
    return Path(save_file_to_cache(path, get_upload_folder()))


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder for what is made for a visitor, beside what Gradio keeps: it goes with the page."""
    return tempfile.TemporaryDirectory(dir=Path(get_upload_folder()).parent)
