"""What globs name: as the shell's, but links around in a circle and closed folders do no harm."""

import os
import random
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import numpy as np
import pytest
from command import run
from PIL import Image
from tiny import saved_resolver

from cvdvae.batch import sources
from cvdvae.batch.sources import open_source
from cvdvae.imaging.folders import matching

NOBODY = 65534


def some_tree(folder: Path, seed: int) -> Path:
    """Files and folders, some of them hidden."""
    choose = random.Random(seed)
    for _ in range(30):
        folders = [choose.choice(["a", "b", ".h", "c1", "c2"]) for _ in range(choose.randrange(4))]
        path = folder.joinpath(*folders, choose.choice(["x.png", "y.png", ".z.png", "[xy].png"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize("pattern", [
    "**", "**/*.png", "*/*.png", "*", "*/", "**/c?/*", "a/**/b/**/*.png", "**/[xy].png", ".*",
    "*/a/*.png", ".h/*", "**/.h/*.png", "**/c1", "none/*", "c*/b", "../*/a/*", "a/x.png/*",
    "*/**/x.png", "[xy].png",
])  # fmt: skip
def test_a_glob_names_what_python_says_and_of_two_stars_the_files(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        monkeypatch.chdir(some_tree(tmp_path / str(seed), seed))
        for text in (pattern, f"{Path.cwd()}/{pattern}"):
            named = {Path(found) for found in glob(text, recursive=True)}
            if "**" in pattern:
                named = {path for path in named if path.is_file()}
            assert list(matching(text)) == sorted(named)


@contextmanager
def by_nobody() -> Iterator[None]:
    """Whoever may read all becomes one who may not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def album() -> Iterator[Path]:
    """Pictures and tars, closed folders, a link into one, and one around in a circle."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "album/sub").mkdir(parents=True)
        for place in ("a", "b", "sub/c"):
            pixels = np.random.default_rng(len(place)).integers(60, 190, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"album/{place}.png")
        (root / "album/loop").symlink_to(".")
        closed = [root / "album/closed", root / "album/sub/closed"]
        for one, mode in zip(closed, (0, 0o444), strict=True):  # of one the names may be read
            one.mkdir()
            (one / "d.png").touch()
            one.chmod(mode)
        root.chmod(0o755)
        saved_resolver(root / "model")
        yield root / "album"
        for one in closed:
            one.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="closed folders are Unix's")
@pytest.mark.parametrize(
    ("pattern", "keys", "closed"),
    [
        ("*", ["a", "b", "loop/a", "loop/b", "loop/sub/c", "sub/c"], 4),
        ("**", ["a", "b", "sub/c"], 2),
        ("**/*.png", ["a", "b", "sub/c"], 2),
        ("*.png", ["a", "b"], 0),
        ("s*/*.png", ["sub/c"], 0),
        ("*/*.png", ["loop/a", "loop/b", "sub/c"], 1),
    ],
)
def test_links_in_a_circle_and_closed_folders_do_a_glob_no_harm(
    pattern: str,
    keys: list[str],
    closed: int,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = album.parent / "out"
    given = ["batch", f"{album}/{pattern}", "--out", str(out), "-n", "1"]
    given += ["--model", str(album.parent / "model"), "--workers", "1"]
    monkeypatch.setattr(sources, "open_source", by_nobody()(open_source))
    code = run(*given, monkeypatch=monkeypatch)
    said = " ".join(capsys.readouterr().err.split())
    assert code == 0, said
    found = [one.parent.relative_to(out).as_posix() for one in out.rglob("result.json")]
    assert sorted(found) == keys
    told = f"{closed} folders were passed over, which may not be read"
    assert told in said if closed else "passed over" not in said


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="closed folders are Unix's")
def test_closed_folders_among_tars_and_tables_are_told(album: Path) -> None:
    with tarfile.open(album / "sub/s.tar", "w") as tar:
        tar.add(album / "a.png", "a.png")
    said = list[str]()
    with by_nobody():
        assert open_source(f"{album}/**/*.tar", say=said.append).rows == 1
        (one,) = said
    assert one.startswith("2 folders were passed over, which may not be read, as ")
