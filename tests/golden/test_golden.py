"""Results of about forty calls stay what they were, to a stated tolerance.

A refactoring changes none of them. A commit that changes one on purpose says which and why, and
records it again with ``CVDVAE_RECORD=1 pytest tests/golden``.

An image is stored as its inner products with `SKETCHES` fixed random patterns of ±1, divided by the
square root of its size: two images that differ by d levels (root mean square) differ by about d in
each product. `TOLERANCE` is far below the distance of two samples, and above what processors that
round differently change. Exact consistency is stored as it is.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import run
from PIL import Image

from . import calls

DIGESTS = Path(__file__).with_name("digests.json")
RECORD = "CVDVAE_RECORD" in os.environ
SKETCHES = 8
TOLERANCE = 1.0
"""In grey levels of 255."""
PICTURES = {".png", ".tif"}
EXACT = ("round_trip_exact", "explains")
"""What a `result.json` says of the consistency of each sample."""


def sketch(image: np.ndarray) -> list[float]:
    """The products of an image in grey levels."""
    patterns = np.random.default_rng(image.size).integers(0, 2, (SKETCHES, image.size)) * 2 - 1
    products = patterns @ (image.astype(float).ravel() - 128)
    return [round(float(value), 2) for value in products / image.size**0.5]


def pixels(path: Path) -> np.ndarray:
    """What an image file holds, in grey levels of 255."""
    image = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
    if image.dtype == np.uint16:
        return image / 257
    return image if image.dtype == np.uint8 else 255 * image


def digest_of(folder: Path) -> dict[str, Any]:
    """Names of all files in a folder, the sketches of its pictures, and what it says is exact."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [str(path.relative_to(folder)) for path in files]
    pictures = {
        name: sketch(pixels(path))
        for name, path in zip(names, files, strict=True)
        if path.suffix in PICTURES and not path.stem.startswith("grid")
    }
    exact = {}
    for name, path in zip(names, files, strict=True):
        if path.name == "result.json":
            told = json.loads(path.read_text())
            exact[name] = {key: told[key] for key in EXACT if key in told}
    return {"files": names, "pictures": pictures, "exact": exact}


def compare(name: str, found: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Fail with the name of the call, and of the picture."""
    assert found["files"] == recorded["files"], f"{name}: other files"
    assert found["exact"] == recorded["exact"], f"{name}: another consistency"
    for picture, products in recorded["pictures"].items():
        distance = np.abs(np.subtract(found["pictures"][picture], products)).max()
        assert distance <= TOLERANCE, f"{name}: {picture} differs by {distance:.2f} levels"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    calls.make_inputs(folder)
    return folder


def check(name: str, found: dict[str, Any]) -> None:
    """Compare with what was recorded, or record."""
    recorded = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    if not RECORD:
        compare(name, found, recorded[name])
        return
    recorded[name] = found
    lines = (f"{json.dumps(key)}: {json.dumps(one)}" for key, one in sorted(recorded.items()))
    DIGESTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


@pytest.mark.parametrize("name", [*calls.COMMANDS, *calls.LARGE])
def test_a_command_writes_what_it_wrote(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    if name in calls.LARGE:
        for constant, value in calls.SMALL_TILES.items():
            monkeypatch.setattr(constant, value)
    arguments = (calls.COMMANDS | calls.LARGE)[name]
    assert run(*arguments, "--out", str(tmp_path), monkeypatch=monkeypatch) == 0, name
    check(name, digest_of(tmp_path))


@pytest.mark.parametrize("name", calls.PYTHON)
def test_a_call_gives_what_it_gave(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = calls.PYTHON[name]()
    levels = samples.numpy() if samples.dtype.itemsize == 1 else 255 * samples.numpy()
    pictures = {str(i): sketch(one) for i, one in enumerate(levels)}
    check(name, {"files": [], "pictures": pictures, "exact": {}})
