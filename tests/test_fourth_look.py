"""What a fourth look found, and what must not come back."""

import math
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from test_growing import DATA, OPTIM
from test_training_parts import processes_log
from tiny import ENCODER, FLOW, PHOTOS, PRIOR, SCALES, saved_prior, tiny_prior
from torch import Tensor

from cvdvae.analysis.calibration import calibration, different, fit
from cvdvae.batch.failures import reason_of
from cvdvae.bench import bench
from cvdvae.checkpoints.folder import find
from cvdvae.cli import main
from cvdvae.data.folder import refuse_counts
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.errors import ConfigError, InputError, WeightsError
from cvdvae.evaluation.held import _named
from cvdvae.evaluation.selection import Pair
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae.notation import parse_bottom_up, parse_top_down
from cvdvae.metrics.distortion import psnr
from cvdvae.metrics.perceptual import BRISQUE, BRISQUE_LEAST
from cvdvae.restoration.settings import Grids, Sampling
from cvdvae.training.config import EncoderTraining, FlowTraining, PriorTraining
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.flow import FlowModule
from cvdvae.training.module import Training
from cvdvae.training.prior import PriorModule


@pytest.mark.parametrize("kind", ["prior", "flow"])
def test_a_validation_finds_the_same_on_processes_of_unequal_shares(
    kind: str, tmp_path: Path
) -> None:
    """Five images on two processes: Lightning's own mean counts them as four."""
    x = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    def make(batch: int) -> Training:
        optim = replace(OPTIM, batch_size=batch)
        if kind == "flow":
            flow = FlowModule(FlowTraining(FLOW, DATA, optim), tmp_path)
            y = shrink_to_8_bits(x, flow.degradation)
            with torch.no_grad():  # the first images that it sees settle its scales
                flow.best.bits_per_dim(x, y, SeededNoise(0, range(len(x))))  # type: ignore[operator]
            return flow
        return PriorModule(PriorTraining(PRIOR, DATA, optim), tmp_path)

    (alone,) = processes_log(lambda: make(2), x, 1)
    for shared in processes_log(lambda: make(4), x, 2):
        assert shared == pytest.approx(alone, rel=1e-5)
    assert "validation_bits_per_dim" in alone


@pytest.mark.parametrize("hot", [0, 1, 12])
def test_a_hot_pixel_does_not_make_counts_an_image(hot: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        counts = rng.poisson(800, (48, 48)).astype(np.uint16)
        counts[3, 4] = 65535 if i < hot else 800
        Image.fromarray(counts).save(tmp_path / f"{i:02d}.tif")
    with pytest.raises(InputError, match="almost black"):
        refuse_counts(sorted(tmp_path.iterdir()))


@pytest.mark.parametrize(("faint", "refused"), [(2, False), (3, True)])
def test_most_of_the_files_decide_whether_they_are_counts(
    faint: int, refused: bool, tmp_path: Path
) -> None:
    for i in range(4):
        values = np.full((16, 16), 800 if i < faint else 40_000, np.uint16)
        Image.fromarray(values).save(tmp_path / f"{i}.tif")
    with pytest.raises(InputError, match="almost black") if refused else nullcontext():
        refuse_counts(sorted(tmp_path.iterdir()))


def test_a_run_that_begins_anew_keeps_its_prior_beside_the_model_that_is_there(
    tmp_path: Path,
) -> None:
    saved_prior(tmp_path / "prior", tiny_prior())
    run = tmp_path / "run"

    def module() -> EncoderModule:
        config = EncoderTraining(ENCODER, str(tmp_path / "prior"), DATA, OPTIM)
        return EncoderModule(config, run)

    first = module()
    first.begin()
    first.export(first.exported)
    shutil.rmtree(tmp_path / "prior")
    saved_prior(tmp_path / "prior", tiny_prior(seed=1))
    second = module()
    second.begin()
    shutil.rmtree(tmp_path / "prior")
    saved_prior(tmp_path / "prior", tiny_prior(seed=2))
    second.export(second.exported)
    third = module()
    with pytest.raises(ConfigError, match=r"go on with --prior \S+/run/model/prior"):
        third.check_own({"identity": second.identity()})


def test_a_run_that_goes_on_makes_no_second_copy_of_its_prior(tmp_path: Path) -> None:
    saved_prior(tmp_path / "prior", tiny_prior())
    config = EncoderTraining(ENCODER, str(tmp_path / "prior"), DATA, OPTIM)
    module = EncoderModule(config, tmp_path / "run")
    module.begin()
    module.export(module.exported)
    EncoderModule(config, tmp_path / "run").begin()
    assert not (tmp_path / "run" / "prior").exists()


def test_an_encoder_is_not_called_damaged_where_the_new_prior_is_wider(tmp_path: Path) -> None:
    saved_prior(tmp_path / "prior", tiny_prior())
    wide = replace(PRIOR, width=14)
    saved_prior(tmp_path / "wide", tiny_prior(wide))
    config = EncoderTraining(ENCODER, str(tmp_path / "prior"), DATA, OPTIM)
    EncoderModule(config, tmp_path / "run").export(tmp_path / "encoder")
    on = replace(config, prior=str(tmp_path / "wide"), start_from=str(tmp_path / "encoder"))
    said = f"the prior of .*encoder has width at stride 4 {PRIOR.width}, and this model's prior 14"
    with pytest.raises(ConfigError, match=said):
        EncoderModule(on, tmp_path / "other")


def test_a_checkpoint_of_another_model_says_of_what_and_one_without_optimizer_is_none(
    tmp_path: Path,
) -> None:
    module = PriorModule(PriorTraining(PRIOR, DATA, OPTIM), tmp_path)
    whole = {
        "identity": module.identity(),
        "state_dict": module.state_dict(),
        "optimizer_states": [{}],
        "lr_schedulers": [{}],
    }
    module.check_own(whole)
    other = replace(PRIOR, width=PRIOR.width + 4)
    wide = PriorModule(PriorTraining(other, DATA, OPTIM), tmp_path).identity()
    with pytest.raises(ConfigError, match=r"with another model \(width\)"):
        module.check_own(whole | {"identity": wide})
    of_an_encoder = module.identity()
    of_an_encoder["model"] = of_an_encoder["model"] | {"scales": [2]}
    changes: list[dict[str, Any]] = [{"optimizer_states": []}, {"identity": of_an_encoder}]
    for changed in changes:
        with pytest.raises(ConfigError, match="checkpoint of something else"):
            module.check_own(whole | changed)


def test_a_run_is_no_model_but_holds_one(tmp_path: Path) -> None:
    saved_prior(tmp_path / "run" / "model", tiny_prior())
    with pytest.raises(WeightsError, match=r"run is no model, but .*model is one"):
        find(str(tmp_path / "run"))


def test_numbers_that_no_network_has_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="has no latent group at a stride of 64 or more"):
        replace(SCALES, scales=(64,), groups=0).groups_of(PRIOR)
    with pytest.raises(ConfigError, match="widths at stride 4 must be positive, not -1"):
        replace(SCALES, widths={4: -1})
    with pytest.raises(ConfigError, match="photons must be a number from 0 to 1e"):
        EncoderTraining(SCALES, "x", DATA, OPTIM, photons=1e300)


def test_blocks_are_named_as_they_are_written() -> None:
    for text in ("8x1,4m8,2u4,2r1,2x1", PHOTOS.top_down):
        assert ",".join(map(str, parse_top_down(text))) == text
    assert ",".join(map(str, parse_bottom_up(PHOTOS.bottom_up))) == PHOTOS.bottom_up


def test_a_reason_keeps_the_shapes_that_it_names() -> None:
    said = "tiny takes one float image in [0, 1] of shape (3, 4, 4), not torch.float32 (1, 4, 4)"
    assert reason_of(said, "a") == said
    assert reason_of("expected finite floats (C, H, W), not (1, 4)", "a").endswith("not (1, 4)")


def test_an_evaluation_with_other_measures_says_what_it_had() -> None:
    assert "of LPIPS and BRISQUE it has LPIPS" in _named("measures", ["LPIPS"])
    assert "it has neither" in _named("measures", [])


def test_round_off_is_no_decibel() -> None:
    x = torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64)
    off = x + torch.tensor([1e-3, 1e-16, 0.0]).double().view(3, 1, 1, 1)
    assert psnr(off, x).tolist() == [pytest.approx(60), math.inf, math.inf]


def test_what_brisque_knows_nothing_of_has_no_value() -> None:
    pytest.importorskip("brisque")
    x = torch.randint(0, 255, (1, 3, BRISQUE_LEAST - 1, 40), generator=torch.Generator())
    assert bool(BRISQUE()(x.byte()).isnan().all())


def test_a_pair_of_temperatures_is_drawn_once() -> None:
    """The prior's search meets the pair that the encoder's ended at."""
    from tiny import tiny_photos

    model = tiny_photos(2)
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    small = model.degradation_of((12, 12))
    pair = Pair(x[0], shrink_to_8_bits(x, small)[0])
    drawn: list[Sampling] = []
    temperatures = (0.5, 0.8)

    class Counted:
        """The model, with small grids."""

        name, truth_size = model.name, (24, 24)
        grids = Grids(temperatures, temperatures)

        def answers(self, y: Tensor, sampling: Sampling) -> object:
            """Notes what is asked for."""
            drawn.append(sampling)
            return model.answers(y, sampling)

    best, tried = fit(cast(Any, Counted()), lambda: [pair], Sampling(3, 0.8, 0, 1.0))
    count = different(Counted.grids, 0.8)
    assert len(drawn) == len(tried) == count == 3
    assert [c.sampling for c in tried].count(best) == 1
    again = calibration(cast(Any, Counted()), [pair], best)
    assert again.crps.mean == min(c.crps.mean or 0 for c in tried)


def test_a_name_in_brackets_is_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import saved_resolver, tiny_resolver

    monkeypatch.chdir(tmp_path)
    Path("a[").mkdir()
    saved_resolver(Path("a[") / "z]b", tiny_resolver())
    monkeypatch.setattr("cvdvae.bench.bench", partial(bench, counts=(1,), repeats=1))
    monkeypatch.setattr("cvdvae.bench.peak", lambda *_: 1.0)
    monkeypatch.setattr(sys, "argv", ["cvdvae", "bench", "--model", "a[/z]b"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "a[/z]b" in capsys.readouterr().out
