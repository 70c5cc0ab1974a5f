"""Scripts beside the package: they know every kind of model that can be bundled."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import (
    saved_prior,
    saved_restorer,
    tiny_nuclei,
    tiny_photo_restorer,
    tiny_photos,
    tiny_resolver,
)

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.imaging.io import to_bytes, to_pil, to_tensor
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.settings import Restoring

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def saved(folder: Path, model: HVAEResolver) -> Path:
    prior = digest(saved_prior(folder / "prior", model.prior))
    record = SuperResolutionRecord("lr-encoder", "prior", prior, model.encoder.config)
    save_model(folder, record, model.encoder.state_dict())
    return folder


@pytest.mark.usefixtures("one_thread")
def test_digests_are_told_of_every_kind_of_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prior, restorers of one size and of any, encoders of one scale, several, and one channel;
    the same once more."""
    models = [
        saved_prior(tmp_path / "prior"),
        saved_restorer(tmp_path / "faces"),
        saved_restorer(tmp_path / "photos", tiny_photo_restorer()),
        saved(tmp_path / "x4", tiny_resolver()),
        saved(tmp_path / "x2-x3", tiny_photos(2)),
        saved(tmp_path / "grey", tiny_nuclei()),
    ]
    names = [str(model) for model in models]
    monkeypatch.setattr("cvdvae.restoration.sampler.MEASURED", 24)  # where models have no side
    monkeypatch.setattr(sys, "argv", ["digests.py", *names, names[-1]])
    runpy.run_path(str(SCRIPTS / "digests.py"), run_name="__main__")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in lines] == [*names, names[-1]]
    told = [digest for _, digest in lines]
    assert told[-1] == told[-2]
    assert len(set(told)) == len(models)


def test_intervals_of_a_calibrated_model_hold_what_they_are_called() -> None:
    """The widest of 19 samples is one of 90 %, and fewer have none."""
    covered = runpy.run_path(str(SCRIPTS / "restoration.py"))["covered"]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(30, 40_000, generator=generator)
    for samples in (19, 25, 29):
        assert covered(drawn[:samples], drawn[-1], 0.9) == pytest.approx(0.9, abs=0.005)
    assert covered(drawn[:18], drawn[-1], 0.9) is None


@pytest.mark.parametrize("levels", [0.5, 2.0])
def test_intervals_that_are_as_narrow_as_the_rounding_hold_what_they_are_called(
    levels: float,
) -> None:
    """The truth is in 8 bits, and so are samples that it is ranked among."""
    held = runpy.run_path(str(SCRIPTS / "restoration.py"))["held"]
    drawn = 0.5 + levels / 255 * torch.randn(20, 3, 90, 90, generator=torch.manual_seed(0))
    result = SimpleNamespace(samples=drawn[:19], restoring=Restoring())
    assert held(result, to_bytes(drawn[19]).float() / 255) == pytest.approx(0.9, abs=0.01)
    wrong = SimpleNamespace(samples=torch.full((19, 3, 9, 9), 0.5), restoring=Restoring())
    assert held(wrong, torch.zeros(3, 9, 9)) == 0  # certain of what is not so
    pairs = SimpleNamespace(samples=drawn[:18], restoring=Restoring(18, antithetic=True))
    assert held(pairs, drawn[19]) is None


def test_opposite_pairs_have_no_intervals_in_the_benchmark_of_photographs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)  # its neighbour
    scores = runpy.run_path(str(SCRIPTS / "photo_scores.py"))
    x = torch.rand(9, 3, 16, 16, generator=torch.manual_seed(0))
    H = BicubicDownscaling.of_scale((16, 16), 4)
    y, judges = shrink_to_8_bits(x[:1], H)[0], scores["Judges"](None, None, ())
    for alone in (True, False):
        rows = scores["score"](x[1:], y, x[0], H, 4, judges, alone)
        assert ("crps" in rows[""]) == alone


@pytest.mark.usefixtures("one_thread")
def test_peers_that_are_not_there_leave_the_benchmark_of_photographs_its_other_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lanczos, which needs none, on an image that the scale does not divide."""
    script, started, begun = str(SCRIPTS / "photos.py"), subprocess.run, list[str]()

    def here(command: list[str], **how: Any) -> Any:
        """A method's process, in this one."""
        if command[:2] != [sys.executable, script]:
            return started(command, **how)
        begun.append(command[-1])
        said: object = None
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                said = end.code
        return SimpleNamespace(returncode=int(said is not None), stderr=str(said or ""))

    (sets := tmp_path / "sets" / "Set5").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((51, 42), Image.Resampling.BICUBIC)
    picture.save(sets / "one.png")
    arguments = [
        "--sets", str(tmp_path / "sets"), "--scale", "2", "--methods", "lanczos,dat-light",
        "--threads", "1", "--peers", str(tmp_path / "none"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(subprocess, "run", here)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(script, run_name="__main__")
    assert begun == ["lanczos", "dat-light"]
    (line,) = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    truth = to_tensor(picture.crop((0, 0, 50, 42)))
    y = to_pil(shrink_to_8_bits(truth[None], BicubicDownscaling.of_scale((42, 50), 2))[0])
    enlarged = to_tensor(y.resize((50, 42), Image.Resampling.LANCZOS))
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
    off = torch.einsum("c,chw->hw", weights, (enlarged - truth).double())[2:-2, 2:-2]
    (scores,) = json.loads(line)["rows"].values()
    assert scores["psnr_y"] == pytest.approx(-10 * float(off.square().mean().log10()), rel=1e-5)
    assert scores["exact"] == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| lanczos | 1 |" in table
    assert "dat-light: –, because" in table
