"""Scripts beside the package: they know every kind of model that can be bundled."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
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
from cvdvae.restoration.hvae import HVAEResolver

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
