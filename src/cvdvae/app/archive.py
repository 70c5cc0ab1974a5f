"""A result as one file to take away."""

import zipfile
from pathlib import Path

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
