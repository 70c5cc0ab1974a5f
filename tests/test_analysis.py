"""Analyses: what must hold exactly, and what holds when the model itself drew the truth."""

import errno
import json
import math
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from rich.progress import Progress
from tiny import (
    ENCODER,
    PHOTONS,
    PHOTOS,
    PRIOR,
    SCALES,
    saved_prior,
    saved_resolver,
    saved_restorer,
    tiny_nuclei,
    tiny_photos,
    tiny_prior,
    tiny_resolver,
)

from cvdvae.analysis.calibration import calibration, fit
from cvdvae.analysis.figures import _pixels, draw_calibration, draw_consistency
from cvdvae.analysis.latents import (
    _seen,
    expected_distance,
    measured_distance,
    nested_samples,
    rates,
)
from cvdvae.analysis.report import verdict
from cvdvae.analysis.study import Study
from cvdvae.analysis.temperature import example, picture
from cvdvae.checkpoints.folder import expect, read_record, recommend, save_model
from cvdvae.checkpoints.records import Expected, Recommended, SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.cli import main
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import InputError, WeightsError
from cvdvae.evaluation.measure import Judges
from cvdvae.evaluation.selection import Pair, Selection
from cvdvae.evaluation.table import FEW, figure
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import HVAE, bits_per_dim
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder, lr_encoder_kl
from cvdvae.imaging.io import to_bytes
from cvdvae.input_check.thresholds import FEWEST
from cvdvae.restoration.finish import Finished
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.settings import TEMPERATURES, Grids, Sampling
from cvdvae.restoration.tolerance import NO_NOISE, NoiseLevel, PhotonNoise


def own_truths(resolver: HVAEResolver, count: int) -> list[Pair]:
    """Low-resolution images, and truths that the model itself has drawn, at temperatures of 1.

    Not made consistent, which takes most of the time and is no part of what is tested.
    """
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for i in range(count):
        y = torch.randint(60, 196, (3, 4, 4), generator=generator).float() / 255
        truth = resolver.run(y, Sampling(1, 1.0, seed=1000 + i, consistent=False)).samples[0]
        pairs.append(Pair(truth, y))
    return pairs


def test_a_model_is_calibrated_on_its_own_samples_and_not_at_other_temperatures(
    resolver: HVAEResolver,
) -> None:
    truths = own_truths(resolver, 40)
    right = calibration(resolver, truths, Sampling(9, 1.0, consistent=False))
    narrow = calibration(
        resolver, truths, Sampling(9, 0.3, encoder_temperature=0.3, consistent=False)
    )
    assert right.miscalibration < 0.03
    assert narrow.miscalibration > 0.2
    assert (right.crps.mean or 0) < (narrow.crps.mean or 0)
    assert (right.energy_score.mean or 0) < (narrow.energy_score.mean or 0)
    assert right.coverage["80%"] == pytest.approx(0.8, abs=0.05)
    assert (narrow.coverage["80%"] or 0) < 0.6
    assert right.coverage["90%"] is None  # nine samples have no interval so wide
    assert 0 <= right.area_between < 1
    assert json.loads(json.dumps(right.report()))["images"] == 40


@dataclass
class Around:
    """A model whose samples lie around a picture, ``(3, 16, 16)``, with a std at every value."""

    middle: torch.Tensor
    std: torch.Tensor
    name: str = "around"
    truth_size: tuple[int, int] = (16, 16)
    recommended = Recommended()
    grids = Grids((), (1.0,))
    degradation = BicubicDownscaling((16, 16), (4, 4))

    def answers(self, y: torch.Tensor, sampling: Sampling) -> Finished:
        generator = torch.Generator().manual_seed(sampling.seed)
        noise = torch.randn(sampling.samples, 3, 16, 16, generator=generator)
        x = self.middle + self.std * noise
        return Finished(x, to_bytes(x), torch.zeros(sampling.samples, dtype=torch.bool))

    def noise_level(self, y: torch.Tensor) -> NoiseLevel:
        return NO_NOISE

    def truths(self, count: int = 40) -> list[Pair]:
        """More of its draws, as files hold them."""
        drawn = self.answers(torch.empty(0), Sampling(count, seed=10**6)).pixels.float() / 255
        return [Pair(one, torch.empty(0)) for one in drawn]


def photograph() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 196, (3, 16, 16), generator=generator).float() / 255


def test_a_truth_in_8_bits_is_ranked_among_what_is_saved() -> None:
    """Rounding moves it as far as the samples spread, and out of their intervals in float."""
    model = Around(photograph(), torch.full((3, 16, 16), 0.5 / 255))
    model.middle += torch.linspace(-0.5, 0.5, 16) / 255
    found = calibration(model, model.truths(), Sampling(19))
    assert found.coverage == {
        level: pytest.approx(share, abs=0.01)
        for level, share in (("50%", 0.5), ("80%", 0.8), ("90%", 0.9))
    }
    assert found.miscalibration < 0.01
    finer = replace(model, std=0.1 * model.std)  # of which 8 bits keep nothing but a few ties
    assert calibration(finer, finer.truths(), Sampling(19)).miscalibration < 0.03

    class Unrounded(Around):
        def answers(self, y: torch.Tensor, sampling: Sampling) -> Finished:
            done = super().answers(y, sampling)
            return done._replace(pixels=done.x.double())

    fine = Unrounded(model.middle, model.std)
    truths = [Pair(x, torch.empty(0)) for x in fine.answers(torch.empty(0), Sampling(40, 1, 99)).x]
    assert calibration(fine, truths, Sampling(19)).miscalibration < 0.01


def test_what_is_known_exactly_says_nothing_of_the_spread() -> None:
    """Outside of a hole all samples are the truth, up to what floats keep."""
    hole = torch.zeros(3, 16, 16)
    hole[:, 6:12, 6:12] = 1
    right = Around(photograph(), 0.05 * hole + 1e-7 * (1 - hole))
    narrow = replace(right, std=0.3 * right.std)
    filled = torch.where(hole > 0, 1.0, right.middle)
    wrong = Around(filled, 0 * hole)
    truths = right.truths()
    found, tight, certain = (calibration(m, truths, Sampling(19)) for m in (right, narrow, wrong))
    assert found.counted == pytest.approx(float(hole.mean()), abs=1e-3)
    assert found.coverage["80%"] == pytest.approx(0.8, abs=0.02)
    assert (tight.coverage["80%"] or 0) < 0.4
    assert certain.coverage == {"50%": 0, "80%": 0, "90%": 0}
    assert certain.counted == pytest.approx(float(hole.mean()), abs=1e-3)
    assert found.miscalibration < 0.02 < 0.4 < certain.miscalibration
    regions = found.coverage_by_region["80%"]
    assert regions[0] == [None] * 3
    assert regions[1][1] == pytest.approx(0.8, abs=0.02)
    said = verdict({"right": found, "wrong": certain})
    assert "right, τ = 0.8 / 1: the central 80% of the samples hold the truth in 80% ± " in said
    assert 0 < (found.coverage_error["80%"] or 0) < 0.02
    assert certain.coverage_error["80%"] == 0
    assert said.endswith("they are over-confident: the truth lies outside of them too often.")
    assert "values that are not known, 14% of all; they are well calibrated." in said
    few = replace(found, coverage=found.coverage | {"80%": 0.765})
    for error, judged in ((0.03, "cannot be told from well calibrated ones"), (0.01, "over-conf")):
        unsure = replace(few, coverage_error=few.coverage_error | {"80%": error})
        assert judged in verdict({"few": unsure})


def test_of_samples_that_are_the_truth_there_is_no_coverage(tmp_path: Path) -> None:
    model = Around(photograph(), torch.zeros(3, 16, 16))
    found = calibration(model, model.truths(), Sampling(19, 0.5, encoder_temperature=0.5))
    assert found.counted == found.miscalibration == 0
    assert set(found.coverage.values()) == {None}
    assert found.rank_histogram == found.observed == []
    json.dumps(found.report(), allow_nan=False)
    assert draw_calibration({"model": found}, tmp_path / "drawn.png").exists()
    assert verdict({"model": found}) == "model, τ = 0.5: every sample is the truth itself."


def test_a_restorer_is_judged_at_its_own_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever the tables are of; and the verdict says at which."""
    photos, out, model = tmp_path / "photos", tmp_path / "out", saved_restorer(tmp_path / "model")
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "0.png")
    recommend(str(model), Recommended(0.7, 0.7))
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    monkeypatch.setattr("cvdvae.analysis.restoring.SAMPLES", 9)
    monkeypatch.setattr("cvdvae.analysis.temperature.crop_face", lambda photo: photo)
    asked = f"report --data {photos} --model {model} --degradation hole:side=6 --out {out} -n 1"
    assert run(*asked.split(), "--temperatures", "0", "1", monkeypatch=monkeypatch) == 0
    (found,) = json.loads((out / "calibration.json").read_text()).values()
    assert found["sampling"]["encoder_temperature"] == found["sampling"]["temperature"] == 0.7
    assert found["counted"] < 0.2
    assert "hole:side=6, τ = 0.7: the central 80%" in (out / "report.html").read_text()


@pytest.mark.parametrize("samples", [2, 3, 8, 9, 18, 19])
def test_an_interval_that_so_few_samples_do_not_have_is_said_to_need_more(samples: int) -> None:
    model = Around(photograph(), torch.full((3, 16, 16), 0.05))
    found = calibration(model, model.truths(2), Sampling(samples))
    said = verdict({"one": found, "other": found})
    for level, fewest in (("50%", 3), ("80%", 9), ("90%", 19)):
        reason = f"{samples} samples have no interval of {level}: at least {fewest} are needed."
        assert said.count(reason) == (samples < fewest) == (found.coverage[level] is None)


def test_fitting_finds_the_temperature_that_the_truth_was_drawn_at(
    resolver: HVAEResolver,
) -> None:
    some = own_truths(resolver, 8)
    best, tried = fit(resolver, lambda: some, Sampling(8, 1.0, consistent=False))
    assert abs(best.encoder_temperature - 1) <= 0.2 + 1e-9
    assert abs(best.temperature - 1) <= 0.2 + 1e-9
    assert len(tried) == 17  # the second search knows the pair that it begins with
    assert min(c.crps.mean or 0 for c in tried) == next(
        c.crps.mean for c in tried if c.sampling == best
    )


def test_a_temperature_whose_samples_explode_is_passed_over(
    resolver: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = own_truths(resolver, 2)
    answers, worst = HVAEResolver.answers, [1.0]

    def exploding(self: HVAEResolver, y: torch.Tensor, sampling: Sampling) -> Finished:
        done = answers(self, y, sampling)
        hot = max(sampling.temperature, sampling.encoder_temperature) > worst[0]
        return done._replace(exploded=done.exploded | hot)

    monkeypatch.setattr(HVAEResolver, "answers", exploding)
    best, tried = fit(resolver, lambda: some, Sampling(2, 1.0, consistent=False))
    assert len(tried) == 9
    assert max(best.temperature, best.encoder_temperature) <= 1
    worst[0] = -1.0
    with pytest.raises(InputError, match="exploded: a lower temperature"):
        fit(resolver, lambda: some, Sampling(2, 1.0, consistent=False))


@pytest.mark.parametrize("hot", [(0.5,), (0.5, 1.0)])
def test_an_image_all_of_whose_samples_explode_has_no_values_at_that_temperature(
    hot: tuple[float, ...],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of two images explodes, at 1 the second, too: the others are shown."""
    photos, out, answers, seen = tmp_path / "photos", tmp_path / "out", HVAEResolver.answers, []
    photos.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")

    def exploding(self: HVAEResolver, y: torch.Tensor, sampling: Sampling) -> Finished:
        done, at = answers(self, y, sampling), sampling.temperature
        seen.append(at)
        gone = at in hot and (seen.count(at) == 1 or at == 1)
        return done._replace(exploded=torch.full_like(done.exploded, gone))

    monkeypatch.setattr(HVAEResolver, "answers", exploding)
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    asked = f"analyze temperature --data {photos} --model {model_folder} --out {out}"
    assert run(*asked.split(), monkeypatch=monkeypatch) == 0
    told = json.loads((out / "temperature.json").read_text())
    assert [told[t]["exploded"] for t in ("0.25", "0.5")] == [0, 50]
    assert None not in (told["0.25"]["psnr"], told["0.5"]["psnr"])
    assert told["1.0"]["exploded"] == (100 if 1.0 in hot else 0)
    assert (told["1.0"]["psnr"] is None) == (1.0 in hot)
    assert (out / "temperature.png").exists()


def test_an_encoder_that_gives_all_groups_has_one_temperature() -> None:
    prior = tiny_prior(PHOTOS)
    every = replace(SCALES, groups=prior.groups)
    whole = HVAEResolver(prior, LREncoder(every, prior.config).eval(), "whole")
    some = Pair(torch.full((3, *whole.truth_size), 0.5), torch.full((3, 96, 96), 0.5))
    _, tried = fit(whole, lambda: [some], Sampling(2, 0.8, consistent=False))
    assert [c.sampling.encoder_temperature for c in tried] == list(TEMPERATURES)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A model of photographs at ×2 and ×3."""
    model = tiny_photos(2)
    prior = saved_prior(tmp_path / "both" / "prior", model.prior)
    record = SuperResolutionRecord("lr-encoder", "prior", digest(prior), model.encoder.config)
    save_model(tmp_path / "both", record, model.encoder.state_dict())
    return tmp_path / "both"


def test_what_is_found_at_one_scale_is_not_stored_for_several(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match="which has several"):
        recommend(str(both), Recommended())
    proper = Expected(9, 1.0, {"turn": -1.0}, 0.5, {"turned": 0.1}, {"turned": 0.2})
    with pytest.raises(WeightsError, match="which has several"):
        expect(str(both), proper)
    asked = ["calibrate", "--model", both, "--scale", 3, "--data", tmp_path, "--save"]
    assert run(*map(str, asked), monkeypatch=monkeypatch) == 1
    assert "which has several" in capsys.readouterr().err


def test_models_of_any_size_are_analysed_at_their_scales(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "0.png")
    rings: list[dict[int, int]] = []
    monkeypatch.setattr(
        "cvdvae.analysis.study.draw_consistency", lambda *given: rings.append(given[3])
    )
    sides, sample = set[int](), HVAE.sample

    def noted(prior: HVAE, *args: Any, **options: Any) -> torch.Tensor:
        drawn = sample(prior, *args, **options)
        sides.update(drawn.shape[2:])
        return drawn

    monkeypatch.setattr(HVAE, "sample", noted)
    common = f"--models {both} --scales 2 3 --data {photos} --out {out}".split()
    assert run("analyze", "consistency", "--draws", "2", *common, monkeypatch=monkeypatch) == 0
    assert sides == {192}  # 24 · 8, as what is measured
    strides = tiny_photos(2).prior.config.group_strides
    assert rings == [{scale: sum(at >= scale for at in strides) for scale in (2, 3)}]
    assert rings[0][2] > rings[0][3]
    assert run("analyze", "rate", *common, monkeypatch=monkeypatch) == 0
    assert (out / "rate.png").exists()
    each = {f"{both}, ×2", f"{both}, ×3"}
    assert set(json.loads((out / "rate.json").read_text())["conditional"]) == each
    assert run("analyze", "calibration", "-n", "2", *common, monkeypatch=monkeypatch) == 0
    assert set(json.loads((out / "calibration.json").read_text())) == each
    picture = ["analyze", "latents", "--model", both, "--scale", 3, "-n", 2, "--out", out]
    assert run(*map(str, picture), monkeypatch=monkeypatch) == 0


@pytest.mark.parametrize(("scales", "side"), [((5, 2), 160), ((3, 5), 240)])
def test_rates_are_of_images_that_the_prior_and_all_scales_divide(
    scales: tuple[int, ...], side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """192 // 5 · 5 is 190, which stride 16 does not divide."""
    prior = tiny_prior(replace(PRIOR, biases=()))
    places = []
    for scale in scales:
        config = LREncoderConfig(scales=(scale,), bottom_up="1x1,1d2,2d2,4d4,16x1", width=8)
        model = HVAEResolver(prior, LREncoder(config, prior.config), "any")
        places.append(saved_resolver(tmp_path / f"any-x{scale}", model))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (250, 250), (40, 90, 200)).save(tmp_path / "photos" / "0.png")
    sides: list[int] = []
    truth = Selection.truth

    def noted(selection: Selection, path: Path, size: int) -> torch.Tensor:
        sides.append(size)
        return truth(selection, path, size)

    monkeypatch.setattr(Selection, "truth", noted)
    given = ["--models", f"{tmp_path}/any-x{{scale}}", "--data", f"{tmp_path}/photos"]
    given += ["--scales", *map(str, scales), "--out", f"{tmp_path}/out"]
    assert run("analyze", "rate", *given, monkeypatch=monkeypatch) == 0
    assert sides == [side]
    assert len(json.loads((tmp_path / "out" / "rate.json").read_text())["conditional"]) == 2


def test_calibration_needs_two_samples_and_an_image(resolver: HVAEResolver) -> None:
    with pytest.raises(InputError, match="at least two"):
        calibration(resolver, own_truths(resolver, 1), Sampling(1))
    with pytest.raises(InputError, match="no image"):
        calibration(resolver, [], Sampling(2))


def test_recommended_temperatures_are_stored_and_used(model_folder: Path) -> None:
    y = torch.full((3, 4, 4), 128 / 255)
    before = load(str(model_folder)).upscale(y, samples=1)
    assert (before.sampling.temperature, before.sampling.encoder_temperature) == (0.8, 1.0)
    recommend(str(model_folder), Recommended(0.5, 0.7))
    after = load(str(model_folder)).upscale(y, samples=1)
    assert (after.sampling.temperature, after.sampling.encoder_temperature) == (0.5, 0.7)
    named = load(str(model_folder)).upscale(y, 1, temperature=0.9).sampling
    assert (named.temperature, named.encoder_temperature) == (0.9, 1.0)
    with pytest.raises(WeightsError, match="is a prior"):
        recommend(str(model_folder / "prior"), Recommended())


def test_samples_that_share_all_groups_are_equal_and_those_that_share_none_differ_most(
    prior: HVAE,
) -> None:
    scales = [1, 4, 16]
    distances = expected_distance(prior, scales, draws=64)
    for row in distances:
        assert len(row) == prior.groups + 1
        assert row[-1] == 0
        assert row[0] == max(row) > 0
    noise = [SeededNoise(9, range(i, i + 64)) for i in (0, 64)]
    with torch.no_grad():
        one, other = (prior.sample(64, noise=n, mean=True) for n in noise)
    apart = 255 * float((one - other).square().mean((1, 2, 3)).sqrt().mean())
    assert distances[0][0] == pytest.approx(apart, rel=0.15)


def test_expected_distances_are_of_images_of_the_size_that_is_asked_for() -> None:
    prior = tiny_prior(PHOTOS)
    (row,) = expected_distance(prior, [5], draws=24, size=40)
    H, noise = BicubicDownscaling.of_scale((40, 40), 5), (range(24), range(24, 48))
    one, other = (
        H.A(prior.sample(24, noise=SeededNoise(9, rows), mean=True, size=(40, 40)))
        for rows in noise
    )
    apart = 255 * float((one - other).square().mean((1, 2, 3)).sqrt().mean())
    assert row[0] == pytest.approx(apart, rel=0.15)
    assert row[-1] == 0


def test_an_input_with_noise_is_expected_to_be_off_by_it() -> None:
    """Samples that share all groups are one image: what is between it and its y is the noise."""
    prior, photons = tiny_nuclei().prior, 50.0
    clean, noisy = (
        expected_distance(prior, [1, 4], draws=16, size=64, photons=light)
        for light in ([0.0, 0.0], [0.0, photons])
    )
    assert noisy[0] == clean[0]
    assert clean[1][-1] == 0
    x = prior.sample(16, noise=SeededNoise(0, range(16)), mean=True, size=(64, 64)).clamp(0, 1)
    H = BicubicDownscaling.of_scale((64, 64), 4)
    spread = 255 * float((H.A(x).mean((1, 2, 3)) / photons).sqrt().mean())
    assert noisy[1][-1] == pytest.approx(spread, rel=0.1)
    both = [math.hypot(far, spread) for far in clean[1]]
    assert noisy[1] == pytest.approx(both, rel=0.1)
    assert noisy == expected_distance(prior, [1, 4], 16, size=64, photons=[0.0, photons])


def test_consistency_is_expected_with_the_noise_that_a_model_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_nuclei()
    monkeypatch.setattr("cvdvae.analysis.study.MEASURED", 32)
    monkeypatch.setattr("cvdvae.analysis.study.measured_distance", lambda *_, **__: figure([1.0]))
    monkeypatch.setattr("cvdvae.analysis.study.draw_consistency", lambda *_: None)
    study = Study(tmp_path, Selection(tmp_path), (4,))
    study.__dict__["resolvers"] = [model]
    study.consistency(draws=2)
    told = json.loads((tmp_path / "consistency.json").read_text())["U"]
    wanted = expected_distance(model.prior, [1, 4], 2, size=32, photons=[0.0, PHOTONS])
    assert [told["x1"], told["x4"]] == wanted
    assert told["x1"][-1] == 0 < told["x4"][-1]


def test_measured_distance_of_samples_from_their_input(resolver: HVAEResolver) -> None:
    truths = own_truths(resolver, 2)
    got = measured_distance(resolver, truths, samples=3, seed=5)
    expected = []
    for i, (_, y) in enumerate(truths):
        settings = Sampling(3, 1.0, seed=5 + i, consistent=False)
        x = resolver.run(y, settings).samples
        expected.append((resolver.degradation.A(x) - y).square().mean((1, 2, 3)).sqrt().mean())
    assert got.mean == pytest.approx(255 * float(torch.stack(expected).mean()), rel=1e-5)


def test_rates_add_up_and_an_encoder_that_is_the_prior_says_what_the_prior_says(
    prior: HVAE, images: torch.Tensor
) -> None:
    """Fresh relative heads give q_ψ = p, so the conditional bound is the prior's own."""
    fresh = HVAEResolver(prior, LREncoder(ENCODER, prior.config).eval(), "fresh")
    result = rates(prior, [fresh], list(images))
    parts = [result.distortion, *result.groups]
    assert result.total.mean == pytest.approx(sum(f.mean or 0 for f in parts), rel=1e-5)
    assert result.conditional["fresh"].mean == pytest.approx(result.total.mean, rel=1e-5)
    with torch.no_grad():
        elbo = [prior.elbo(x[None], SeededNoise(0, [i])) for i, x in enumerate(images)]
    mean = torch.cat([e.bits_per_dim for e in elbo]).mean()
    assert result.total.mean == pytest.approx(float(mean), rel=1e-5)
    assert (result.total.standard_error or 0) > 0


def test_rates_of_a_model_of_any_size_are_of_its_scale_and_noise() -> None:
    for model in (tiny_photos(3), tiny_nuclei()):
        side = 24 * (2 if model.channels == 1 else 1)
        generator = torch.Generator().manual_seed(0)
        truth = torch.rand(model.channels, side, side, generator=generator)
        model.degradation = BicubicDownscaling.of_scale((side, side), model.scale)
        result = rates(model.prior, [model], [truth])
        photons = PHOTONS if model.photon_noise else 0.0
        seed = torch.Generator().manual_seed(0)
        y = shrink_to_8_bits(truth[None], model.degradation, photons, seed)
        with torch.no_grad():
            given = lr_encoder_kl(
                model.prior, model.encoder, truth[None], y, SeededNoise(0, [0]), model.scale
            )
            elbo = model.prior.elbo(truth[None], SeededNoise(0, [0]))
        nats = given.sum() + elbo.kl[0, model.encoder.groups :].sum() - elbo.log_likelihood[0]
        assert result.conditional[model.name].mean == pytest.approx(
            float(bits_per_dim(nats, elbo.dims)), rel=1e-5
        )


def test_nested_samples_end_at_the_image_itself(prior: HVAE) -> None:
    nested = nested_samples(prior, samples=3)
    assert nested.groups == [0, 1, 3, prior.groups]
    torch.testing.assert_close(
        nested.samples[-1], nested.reference.expand(3, -1, -1, -1), atol=1e-5, rtol=0
    )
    assert float(nested.std[-1].max()) < 1e-5
    assert float(nested.std[0].mean()) > float(nested.std[-1].mean())
    with pytest.raises(InputError, match="two samples"):
        nested_samples(prior, samples=1)


def test_the_photo_at_every_temperature_is_one_that_the_model_takes(
    resolver: HVAEResolver,
) -> None:
    for model in (resolver, tiny_photos(3), tiny_nuclei()):
        photo = example(model.any_size, model.channels)
        assert photo.width == photo.height >= model.degradation.hr_size[0]
        if model.any_size:
            model.degradation = model.degradation_of((6, 6))
        assert picture(model).height > 5 * model.degradation.hr_size[0]


def test_the_photo_is_enlarged_for_a_model_of_larger_images() -> None:
    prior = tiny_prior(replace(PRIOR, image_size=144))
    larger = HVAEResolver(prior, LREncoder(ENCODER, prior.config).eval(), "larger")
    assert example(larger.any_size, larger.channels).width < 144
    assert picture(larger).height > 5 * 144


def test_where_all_samples_explode_there_is_no_distance(
    resolver: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, draw = own_truths(resolver, 2), HVAEResolver.draw

    def exploding(self: HVAEResolver, y: torch.Tensor, sampling: Sampling) -> torch.Tensor:
        drawn = draw(self, y, sampling)
        return drawn if sampling.seed in sound else drawn * torch.nan

    monkeypatch.setattr(HVAEResolver, "draw", exploding)
    sound = [0, 1]
    first, both = (measured_distance(resolver, pairs[:n]) for n in (1, 2))
    assert both.mean != pytest.approx(first.mean)
    sound = [0]
    assert measured_distance(resolver, pairs).mean == pytest.approx(first.mean)
    sound = []
    none = measured_distance(resolver, pairs)
    assert none.mean is None
    path = draw_consistency([[2.0, 1.0, 0.5]], [4], {4: (2, none)}, {}, tmp_path / "a.png")
    assert Image.open(path).width > 0


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("calibration", ["calibration.png", "calibration.json"]),
        ("consistency", ["consistency.png", "consistency.json"]),
        ("rate", ["rate.png", "rate.json"]),
        ("latents", ["latents.png"]),
        ("temperature", ["temperature.png", "temperature.json", "temperature_samples.png"]),
    ],
)
def test_the_commands_draw(
    command: str,
    files: list[str],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    arguments = ["analyze", command, "--out", str(out)]
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    if command in ("latents", "temperature"):
        arguments += ["--model", str(model_folder)]
    if command == "temperature":
        arguments += ["--data", str(photos)]
    elif command != "latents":
        models = str(model_folder).replace("-x4", "-x{scale}")
        arguments += ["--data", str(photos), "--models", models, "--scales", "4"]
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments])
    with pytest.raises(SystemExit, match="0"):
        main()
    for name in files:
        assert (out / name).stat().st_size > 100
    for name in files:
        if name.endswith("png"):
            assert Image.open(out / name).width > 200
        else:
            check_numbers(command, json.loads((out / name).read_text()))


def test_a_model_for_faint_light_is_shown_images_with_noise_of_any_seed() -> None:
    model = tiny_resolver()
    model.photon_noise = PhotonNoise(20.0, 1 / 255)
    x = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    seen = [_seen(model, x, seed) for seed in (0, 1, 2**63 + 1, 2**70)]
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[0], seen[3])


def check_numbers(command: str, told: dict[str, Any]) -> None:
    """What must hold of the numbers that a command writes, whatever the model."""
    if command == "calibration":
        (found,) = told.values()
        assert found["images"] == 2
        assert sum(found["rank_histogram"]) == pytest.approx(1)
    elif command == "consistency":
        assert set(told["U"]) == {"x1", "x4"}
        assert all(row[0] > row[-1] == 0 for row in told["U"].values())  # nothing, all is shared
        assert told["CE"]["x4"]["k"] == 3  # the groups of up to 4×4, which `ENCODER` knows
    elif command == "rate":
        parts = [told["distortion"], *told["groups"]]
        assert told["total"]["mean"] == pytest.approx(sum(p["mean"] for p in parts), rel=1e-5)
    else:
        apart = [scores["apd_mse"] for scores in told.values()]
        assert apart[0] == 0 < min(apart[1:])  # at temperature 0 there is a single answer
        assert all(scores["exact"] == 100 for scores in told.values())


def test_the_report_is_one_page_with_everything_inside(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of the images cannot be read: the others are reported, and the exit code says so."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    (photos / "2.png").write_text("no image")
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {"LPIPS": "why"}))
    bars, start = list[Progress](), Progress.start

    def started(bar: Progress) -> None:
        bars.append(bar)
        start(bar)

    monkeypatch.setattr(Progress, "start", started)
    models = str(model_folder).replace("-x4", "-x{scale}")
    arguments = ["report", "--data", str(photos), "--models", models, "--scales", "4", "-n", "2"]
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments, "--out", str(out)])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert "2.png is not an image" in capsys.readouterr().err
    page = (out / "report.html").read_text()
    for words in ("×4 cvdvae τ=0.8, projected", "LPIPS is not measured", "interval holds", "why",
                  "identify nobody", "Expected consistency", "over 2 images, 2 samples of each",
                  "Of 2 images, 19 samples of each", "4 projected samples of each"):  # fmt: skip
        assert words in page
    assert page.count("data:image/png;base64,") == 6
    assert "http" not in re.sub('data:image/png;base64,[^"]*', "", page)
    # The tables try three images; the two that can be read are measured four times more.
    assert [(t.completed, t.total) for bar in bars for t in bar.tasks] == [(11, 15)]


def test_a_grey_image_is_drawn_in_grey() -> None:
    image = torch.tensor([[[0.0, 0.25], [0.5, 0.75]]])
    drawn = _pixels(image)
    assert drawn.shape == (2, 2, 3)
    assert (drawn == drawn[..., :1]).all()
    more = torch.cat([image, torch.ones(4, 2, 2)])
    assert (_pixels(more[:2]) == drawn).all()
    assert (_pixels(more) == drawn).all()


@pytest.mark.parametrize("temperatures", [(0.6, 1.1), (0.8, 1.0)])
def test_calibrate_stores_what_it_finds(
    temperatures: tuple[float, float],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where that is what a model begins with."""
    found = lambda model, pairs, sampling, tick: (  # noqa: E731
        sampling.at(*temperatures), [calibration(model, pairs(), sampling)],
    )  # fmt: skip
    monkeypatch.setattr("cvdvae.analysis.calibration.fit", found)
    photos = many_photos(tmp_path / "photos", FEW)
    monkeypatch.setattr(
        sys, "argv",
        ["cvdvae", "calibrate", "--model", str(model_folder), "--data", str(photos), "-n", "2",
         "--save"],
    )  # fmt: skip
    with pytest.raises(SystemExit, match="0"):
        main()
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    assert record.recommended == Recommended(*temperatures, calibrated=True)
    assert "calibrated: true" in (model_folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("grids", "columns"),
    [
        (Grids((), (0.8,)), ["temperature", "CRPS ×10³"]),
        (Grids((0.8,), ()), ["temperature", "CRPS ×10³"]),
        (Grids((0.8,), (1.0,)), ["temperature", "of the encoder", "CRPS ×10³"]),
    ],
)
def test_a_single_temperature_is_called_that(
    grids: Grids,
    columns: list[str],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = many_photos(tmp_path / "photos", 2)
    monkeypatch.setattr("cvdvae.restoration.hvae.HVAEResolver.grids", grids)
    given = ["calibrate", "--model", str(model_folder), "--data", str(photos), "-n", "2"]
    assert run(*given, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    (header,) = (line for line in printed.splitlines() if "CRPS" in line)
    cells = [cell.strip() for cell in re.split("[┃│]", header) if cell.strip()]
    assert cells[:-1] == columns
    assert "perhaps by chance" in " ".join(printed.split())


def test_a_report_on_nothing_leaves_no_tables(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos, out = many_photos(tmp_path / "photos", 2), tmp_path / "out"
    for path in photos.iterdir():
        path.write_text("no image")
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {"LPIPS": "why"}))
    models = str(model_folder).replace("-x4", "-x{scale}")
    given = ["report", "--models", models, "--scales", "4", "--data", str(photos)]
    assert run(*given, "-n", "3", "--out", str(out), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "there is no image to measure" in said
    assert not [path for path in out.iterdir() if path.name.startswith("table")]


def many_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize(
    ("command", "count", "words"),
    [
        (["calibrate", "--save"], FEW - 1, f"need at least {FEW} images, not {FEW - 1}"),
        (["calibrate-doubt"], FEWEST - 1, f"at least {FEWEST} images are needed, to fit"),
        (["calibrate-doubt"], FEWEST - 1, f"there are {FEWEST - 1}"),
    ],
)
def test_too_few_images_to_calibrate_on_are_refused_before_anything_is_drawn(
    command: list[str],
    count: int,
    words: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for began in ("analysis.calibration.fit", "input_check.thresholds.judge_all"):
        monkeypatch.setattr(f"cvdvae.{began}", lambda *_: pytest.fail("it began"))
    photos, written = many_photos(tmp_path / "photos", count), model_folder / "config.yaml"
    before = written.read_bytes()
    given = [*command, "--model", str(model_folder), "--data", str(photos)]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert words in " ".join(capsys.readouterr().err.split())
    assert written.read_bytes() == before


def test_images_that_cannot_be_read_do_not_count_for_what_is_stored(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = many_photos(tmp_path / "photos", FEW)
    (photos / "03.png").write_text("no image")
    monkeypatch.setattr("cvdvae.restoration.hvae.HVAEResolver.grids", Grids((), (0.8,)))
    given = ["calibrate", "--model", str(model_folder), "--data", str(photos), "-n", "2"]
    assert run(*given, "--save", monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr()
    said = " ".join(printed.err.split())
    assert "03.png is not an image" in said
    assert f"need at least {FEW} images, not {FEW - 1}" in said
    assert f"on {FEW - 1} images" in " ".join(printed.out.split())  # what was found is shown
    assert "calibrated: true" not in (model_folder / "config.yaml").read_text()


@pytest.mark.parametrize("command", ["calibrate", "calibrate-doubt"])
@pytest.mark.parametrize("any_size", [False, True])
def test_a_folder_that_cannot_be_written_is_found_out_before_anything_is_drawn(
    command: str,
    any_size: bool,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if any_size:
        prior = tiny_prior(PHOTOS)
        one = LREncoder(replace(SCALES, scales=(2,)), prior.config)
        model_folder = saved_resolver(tmp_path / "any", HVAEResolver(prior, one, "any"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        Image.new("RGB", (16, 16), (i, 90, 200)).save(photos / f"{i}.png")

    def refused(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def drawn(*_: object) -> None:
        pytest.fail("it began")

    monkeypatch.setattr("cvdvae.files.tempfile.TemporaryFile", refused)
    for began in ("analysis.calibration.fit", "input_check.thresholds.judge_all",
                  "input_check.shrinking.spectra_of"):  # fmt: skip
        monkeypatch.setattr(f"cvdvae.{began}", drawn)
    given = ["--model", str(model_folder), "--data", str(photos), "--save"]
    assert run(command, *given, monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "cannot write to" in said
    assert "Read-only file system" in said
