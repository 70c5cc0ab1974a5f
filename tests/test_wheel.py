"""What a user gets from the package index: the wheel alone, away from the checkout."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_its_metadata_are_complete(wheel: Path) -> None:
    check = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith("METADATA"))
        metadata = archive.read(about).decode()
    assert "License-Expression: Apache-2.0 AND LicenseRef-Faces-NonCommercial" in metadata
    assert {"LICENSE", "LICENSE-FACES.txt"} <= {Path(n).name for n in names if "licenses" in n}
    assert "Project-URL: Paper, https://arxiv.org/abs/2205.10347" in metadata
    assert "cvdvae/py.typed" in names
    assert wheel.stat().st_size < 48e6
    assert not [n for n in names if n.endswith((".jpg", ".jpeg", ".png", ".webp", ".ckpt", ".pt"))]


def test_its_description_links_to_nothing_that_is_left_behind(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (about,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        description = archive.read(about).decode().split("\n\n", 1)[1]
    assert description.startswith("# CVD-VAE")
    assert "docs/evaluation.md says what is measured" in description  # the text of a link stays
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert links
    assert not [link for link in links if not link.startswith("https://")]


def test_it_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = f"""
import cvdvae, sys
from pathlib import Path
assert Path(cvdvae.__file__).is_relative_to({str(tmp_path / "site")!r}), cvdvae.__file__
from cvdvae.training import config_path
assert config_path(Path("photos")).is_relative_to({str(tmp_path / "site")!r})
import torch
result = cvdvae.load("photos-x2").upscale(torch.full((3, 5, 7), 102 / 255), samples=1)
assert result.round_trip_exact == [True]
from cvdvae.cli import main
sys.argv = ["cvdvae", "models"]
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photos-x4" in done.stdout
