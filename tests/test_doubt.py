"""Doubt about the input: what must be doubted, what must not, and why."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import tiny_flow
from torch import Tensor

import cvdvae
from cvdvae.batch import files
from cvdvae.checkpoints.folder import expect, read_record, save_model
from cvdvae.checkpoints.proper import read_proper, save_proper
from cvdvae.checkpoints.records import Expected, FlowRecord, Recommended, SuperResolutionRecord
from cvdvae.cli.common import in_doubt
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.errors import InputError, WeightsError
from cvdvae.imaging.io import save_png, to_pil, to_tensor
from cvdvae.input_check.examine import WIDTH, Scores, examine, excess_of, score
from cvdvae.input_check.jpeg import lattice, subsampling
from cvdvae.input_check.screen import PASSES, costs, doubts_of, fit_proper, glimpse, odd
from cvdvae.input_check.shrinking import stored
from cvdvae.input_check.thresholds import FALSE_DOUBTS, doubted_share, fit_expected, judge_all
from cvdvae.input_check.transforms import filtered, repairs, shifted, smooth_colours, zoomed
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.result import Doubt
from cvdvae.restoration.settings import Sampling

FRAMING = {"turned", "shifted", "zoomed"}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return crop_face(demo_photo())


@pytest.fixture(scope="module")
def models() -> dict[int, HVAEResolver]:
    found = {}
    for scale in (4, 8, 16):
        model = load(f"celeba64-x{scale}")
        assert isinstance(model, HVAEResolver)
        found[scale] = model
    return found


@pytest.fixture(scope="module")
def faces(photo: Image.Image, models: dict[int, HVAEResolver]) -> dict[int, Tensor]:
    """The demonstration's face as the models take it; nothing was fitted on it."""
    return {s: cvdvae.simulate(photo, m.degradation, "none")[0] for s, m in models.items()}


def reasons(model: HVAEResolver, y: Tensor) -> list[str]:
    return [doubt.reason for doubt in examine(model, y).doubts]


def rounded(y: Tensor) -> Tensor:
    return torch.round(y.clamp(0, 1) * 255) / 255


def noisy(y: Tensor, levels: float) -> Tensor:
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return rounded(y + levels / 255 * noise)


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_a_proper_face_and_its_mirror_image_are_not_doubted(
    scale: int, models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    assert reasons(models[scale], faces[scale]) == []
    assert reasons(models[scale], faces[scale].flip(2)) == []


@pytest.mark.parametrize(("scale", "turns"), [*product((4, 8), (1, 2, 3)), (16, 2)])
def test_a_turned_face_is_doubted_and_the_advice_mends_it(
    scale: int, turns: int, models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    y = torch.rot90(faces[scale], turns, (1, 2))
    (doubt,) = examine(models[scale], y).doubts
    assert doubt.reason == "turned"
    back = {
        "Turn it by 90° anticlockwise.": 1,
        "Turn it by 180°.": 2,
        "Turn it by 90° clockwise.": -1,
    }
    mended = torch.rot90(y, back[doubt.advice], (1, 2))
    assert torch.equal(mended, faces[scale])


def test_a_shifted_frame_is_doubted_at_x4_and_the_advice_points_back(
    models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    named = 0
    for move, words in (
        ((2, 0), ("far to the right", "right by about an eighth")),
        ((0, -2), ("too high", "up by about an eighth")),
    ):
        (doubt,) = examine(models[4], shifted(faces[4][None], *move)[0]).doubts
        assert doubt.reason in ("shifted", "not a face")
        if doubt.reason == "shifted":
            named += 1
            assert words[0] in doubt.explanation
            assert words[1] in doubt.advice
    assert named >= 1


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_white_noise_is_doubted_and_not_for_its_framing(
    scale: int, models: dict[int, HVAEResolver]
) -> None:
    size = models[scale].lr_size
    y = rounded(torch.rand(3, size, size, generator=torch.Generator().manual_seed(0)))
    found = reasons(models[scale], y)
    assert found
    assert not FRAMING & set(found)


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        (lambda y: noisy(y, 12), "noisy"),
        (lambda y: stored(y, 60), "jpeg"),
    ],
)
def test_defects_are_named(
    scale: int,
    defect: Callable[[Tensor], Tensor],
    reason: str,
    models: dict[int, HVAEResolver],
    faces: dict[int, Tensor],
) -> None:
    assert reasons(models[scale], defect(faces[scale])) == [reason]


def test_a_blurred_face_is_too_soft_at_x4(
    models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    blurred = rounded(filtered(filtered(faces[4][None], 0.25), 0.25)[0])
    assert reasons(models[4], blurred) == ["too soft"]


@pytest.mark.parametrize("scale", [4, 8])
def test_picked_pixels_are_told_from_averaged_ones(
    scale: int, photo: Image.Image, models: dict[int, HVAEResolver]
) -> None:
    picked = to_tensor(photo.resize((64, 64), Image.Resampling.BICUBIC))
    y = picked[:, scale // 2 :: scale, scale // 2 :: scale]
    assert reasons(models[scale], y) == ["too sharp"]


def test_a_verdict_depends_on_the_image_alone(
    models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    y = noisy(faces[8], 8)
    first = examine(models[8], y)
    torch.manual_seed(5)
    examine(models[8], faces[8])
    assert examine(models[8], y) == first


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_nothing_that_is_doubted_passes_at_a_glance(
    scale: int, photo: Image.Image, models: dict[int, HVAEResolver], faces: dict[int, Tensor]
) -> None:
    """Of what the other tests have examined; shifts by an eighth, told least well, are left out."""
    model, y = models[scale], faces[scale]
    noise = torch.rand(y.shape, generator=torch.Generator().manual_seed(0))
    doubted = [y.flip((1, 2)), rounded(noise)]
    if scale < 16:
        picked = to_tensor(photo.resize((64, 64), Image.Resampling.BICUBIC))
        doubted += [torch.rot90(y, 1, (1, 2)), torch.rot90(y, 3, (1, 2)), noisy(y, 12)]
        doubted += [stored(y, 60), picked[:, scale // 2 :: scale, scale // 2 :: scale]]
    if scale == 4:
        doubted.append(rounded(filtered(filtered(y[None], 0.25), 0.25)[0]))
    assert all(odd(model, one) for one in doubted)
    assert not odd(model, y)
    assert not odd(model, y.flip(2))


def test_what_is_odd_is_examined(models: dict[int, HVAEResolver], faces: dict[int, Tensor]) -> None:
    y = faces[16].flip((1, 2))
    assert doubts_of(models[16], y) == examine(models[16], y).doubts != []


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_a_proper_face_costs_no_pass_of_the_networks(
    scale: int,
    models: dict[int, HVAEResolver],
    faces: dict[int, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def called(y: Tensor) -> None:
        raise AssertionError("the networks ran")

    monkeypatch.setattr(models[scale], "evidence", called)
    assert doubts_of(models[scale], faces[scale]) == []
    monkeypatch.setattr(models[scale], "proper", None)  # an older folder: always at length
    with pytest.raises(AssertionError, match="the networks ran"):
        doubts_of(models[scale], faces[scale])


def test_the_cost_at_a_glance_is_that_of_the_normal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator)
    images = torch.randn(400, 12, generator=generator) @ mixing * 0.05 + 0.5
    fitted, others = images[:300], images[300:].view(-1, 3, 2, 2)
    proper = fit_proper(list(fitted.view(-1, 3, 2, 2)), list(others))
    assert proper is not None
    law = torch.distributions.MultivariateNormal(
        fitted.mean(0).double(), torch.cov(fitted.T.double())
    )
    some = images[300:320]
    told = proper.cost(some.view(-1, 3, 2, 2)) + law.log_prob(some.double())
    assert float(told.std()) < 0.05  # equal but for the constant
    found = [glimpse(y, costs(proper, y), proper.expected) for y in others]
    excess = [max(excess_of(f.statistics, proper.expected).values()) for f in found]
    odd_share = sum(one > 1 for one in excess) / len(excess)
    assert 0.02 < odd_share <= PASSES / 7
    large = [torch.rand(3, 20, 20, generator=generator)] * 30
    assert fit_proper(large, large) is None


def test_a_damaged_file_of_proper_images_is_refused(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    ys = [torch.rand(3, 4, 4, generator=generator) for _ in range(40)]
    proper = fit_proper(ys, ys)
    assert proper is not None
    path = save_proper(tmp_path, proper)
    again = read_proper(tmp_path)
    assert again is not None
    assert again.expected == proper.expected
    assert torch.equal(again.whitening, proper.whitening)
    save_proper(tmp_path, replace(proper, mean=torch.full((3, 4, 4), torch.nan)))
    with pytest.raises(WeightsError, match="no distribution"):
        read_proper(tmp_path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="damaged or foreign"):
        read_proper(tmp_path)
    path.unlink()
    assert read_proper(tmp_path) is None


def test_without_thresholds_nothing_is_doubted(models: dict[int, HVAEResolver]) -> None:
    known = models[8]
    model = HVAEResolver(known.prior, known.encoder, "user's own")
    noise = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = examine(model, noise)
    assert found.doubts == []
    assert found.excess == {}
    assert found.rate > 500


def test_an_image_of_another_size_is_refused(models: dict[int, HVAEResolver]) -> None:
    with pytest.raises(InputError, match="takes images of 8×8 pixels, not 9×9"):
        examine(models[8], torch.rand(3, 9, 9))


def test_misfit_is_that_of_the_sample_without_noise(resolver: HVAEResolver) -> None:
    y = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    _, misfit = score(resolver, y)
    for one, level in zip(y, misfit, strict=True):
        still = Sampling(1, temperature=0, encoder_temperature=0, consistent=False)
        x = resolver.run(one, still).samples
        off = (resolver.degradation.A(x) - one).double()
        assert float(level) == pytest.approx(255 * float(off.square().mean().sqrt()), rel=1e-4)


def test_rate_is_nought_where_the_encoder_says_what_the_prior_says(resolver: HVAEResolver) -> None:
    y = torch.rand(3, 3, 4, 4)
    assert bool((score(resolver, y).rate > 0).all())
    for head in resolver.encoder.heads:
        for name, parameter in head.named_parameters():
            if name.startswith("conv4"):
                parameter.zero_()
    assert score(resolver, y).rate == pytest.approx(torch.zeros(3), abs=1e-5)


def test_repairs_do_what_they_say() -> None:
    y = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for name, repair in repairs(8).items():
        repaired = repair.apply(y)
        assert repaired.shape == y.shape, name
        assert 0 <= float(repaired.min()) <= float(repaired.max()) <= 1, name
        assert not torch.allclose(repaired, y), name
        assert torch.allclose(repair.apply(torch.full_like(y, 0.4)), torch.tensor(0.4)), name
    assert torch.equal(shifted(y, 2, 0)[..., 2:], y[..., :-2])
    assert torch.equal(shifted(y, 0, -1)[..., :-1, :], y[..., 1:, :])
    assert torch.allclose(zoomed(y, 1), y, atol=1e-5)
    grey = y.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(smooth_colours(grey), grey, atol=1e-6)
    assert not {r.family for r in repairs(4).values()} & {"shifted", "zoomed"}


@pytest.mark.parametrize("quality", [40, 75, 90])
def test_jpeg_leaves_traces(quality: int) -> None:
    generator = torch.Generator().manual_seed(quality)
    # Within [0.25, 0.75], so that nothing is cut off.
    coarse = torch.rand(1, 3, 16, 16, generator=generator) / 2 + 0.25
    y = rounded(filtered(coarse, 0.2)[0])
    traced = stored(y, quality)
    for measure, margin in ((lattice, 20), (subsampling, 1)):
        before, after = measure(y), measure(traced)
        assert before is not None
        assert after is not None
        assert after > before + margin
    assert lattice(y) < 0  # type: ignore[operator]


def test_jpeg_is_not_judged_where_it_cannot_be() -> None:
    y = torch.rand(3, 12, 12)
    assert lattice(y) is None
    assert lattice(torch.zeros(3, 16, 16)) is lattice(torch.ones(3, 16, 16)) is None
    assert subsampling(y[:, :11, :11]) is None
    assert subsampling(y[:1].expand(3, -1, -1)) is None
    assert subsampling(y) is not None


EXPECTED = Expected(30, 2.5, {"turn 90": -3.0}, 1.5, {"turned": 0.5}, {"turned": 4.0})


def test_thresholds_are_stored_with_the_model_and_nothing_else_changes(model_folder: Path) -> None:
    before = read_record(model_folder)
    assert isinstance(before, SuperResolutionRecord)
    path = expect(str(model_folder), EXPECTED)
    assert path == model_folder / "config.yaml"
    assert read_record(model_folder) == replace(before, expected=EXPECTED)
    model = load(str(model_folder))
    assert isinstance(model, HVAEResolver)
    assert model.expected == EXPECTED
    assert model.recommended == Recommended()


def test_a_prior_has_nothing_to_expect() -> None:
    with pytest.raises(WeightsError, match="is a prior: only an LR encoder"):
        expect("celeba64", EXPECTED)


def test_fitted_thresholds_doubt_few_and_need_enough_images(resolver: HVAEResolver) -> None:
    generator = torch.Generator().manual_seed(3)
    images = [rounded(torch.rand(3, 4, 4, generator=generator)) for _ in range(60)]
    judged = judge_all(resolver, images)
    expected = fit_expected(judged)
    assert doubted_share(judged, expected) <= FALSE_DOUBTS
    assert set(expected.limits) >= {"turned", "too sharp", "too soft", "unframed", "unlikely"}
    resolver.expected = expected
    shares = [bool(examine(resolver, y).doubts) for y in images]
    assert sum(shares) / len(shares) == doubted_share(judged, expected)
    with pytest.raises(InputError, match="at least 20 images, not 5"):
        fit_expected(judged[:5])
    wild = [j._replace(scores=j.scores._replace(rate=j.scores.rate + 1e7)) for j in judged[:2]]
    with pytest.raises(InputError, match="2 of 60 images throw the model off"):
        fit_expected([*wild, *judged[2:]])


def test_examine_says_in_words_what_is_wrong_and_does_the_others(
    faces: dict[int, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_png(tmp_path / "a.png", to_pil(faces[8]))
    (tmp_path / "b.png").write_text("I am no picture")
    save_png(tmp_path / "c.png", to_pil(faces[8].flip((1, 2))))
    assert run("examine", str(tmp_path), "--domain", "faces", monkeypatch=monkeypatch) == 1
    said, errors = capsys.readouterr()
    first, second = said.replace("\n", " ").replace("c.png:", "\nc.png:").splitlines()
    assert "nothing unusual" in first
    assert "in doubt: The face seems to be upside down. Turn it by 180°." in second
    assert errors.strip().endswith("b.png is not an image")


def test_upscale_shows_the_doubt_beside_the_result(
    faces: dict[int, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, y in {"up": faces[8], "down": faces[8].flip((1, 2))}.items():
        path = tmp_path / f"{name}.png"
        save_png(path, to_pil(y))
        arguments = ["upscale", str(path), "--domain", "faces", "-n", "1"]
        arguments += ["--out", str(tmp_path / "out")]
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        report = json.loads((tmp_path / "out" / name / "result.json").read_text())
        assert report["round_trip_exact"] == [True]
        assert [d["reason"] for d in report["doubts"]] == ["turned"] * (name == "down")
        noted = " ".join(capsys.readouterr().out.split())
        assert ("upside down" in noted) == (name == "down")
    assert run(*arguments, "--no-check", monkeypatch=monkeypatch) == 0
    assert json.loads((tmp_path / "out" / "down" / "result.json").read_text())["doubts"] is None
    assert "upside down" not in "".join(capsys.readouterr())


def test_a_user_calibrates_a_model_and_examines_with_it(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos, model = tmp_path / "photos", ["--model", str(model_folder)]
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i:02d}.png")
    small = tmp_path / "small.png"
    Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(small)

    assert run("examine", str(small), *model, monkeypatch=monkeypatch) == 1
    assert "does not know what to expect" in capsys.readouterr().err

    calibrate = ["calibrate-doubt", *model, "--data", str(photos)]
    assert run(*calibrate, monkeypatch=monkeypatch) == 0
    assert "of the 20 others" in capsys.readouterr().out.replace("\n", " ")
    assert load(str(model_folder)).expected is None
    assert run(*calibrate, "--save", monkeypatch=monkeypatch) == 0
    known = load(str(model_folder))
    assert known.expected is not None
    assert known.expected.images == 40
    assert known.proper is not None
    assert run("examine", str(small), *model, monkeypatch=monkeypatch) == 0


def test_nothing_is_said_to_be_enlarged_where_a_picture_is_only_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(small)
    assert run("examine", str(small), monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "its alpha channel is left out: the colours are examined as they are below it" in said
    assert "enlarged" not in said


def test_other_notes_that_speak_of_an_alpha_channel_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, read = "an alpha channel is in its profile", files.read_input

    def noted(*given: Any) -> Any:
        found = read(*given)
        return found._replace(notes=[*found.notes, other])

    small = tmp_path / "small.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(small)
    monkeypatch.setattr(files, "read_input", noted)
    assert run("examine", str(small), monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert other in said
    assert said.count("its alpha channel is left out") == 1


def test_a_flow_cannot_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = tiny_flow().flow
    save_model(tmp_path / "flow", FlowRecord("hcflow", flow.config), flow.state_dict())
    small = tmp_path / "small.png"
    Image.new("RGB", (4, 4)).save(small)
    code = run("examine", str(small), "--model", str(tmp_path / "flow"), monkeypatch=monkeypatch)
    assert code == 1
    assert "has no prior to doubt with" in capsys.readouterr().err


def test_the_misfit_counts_for_every_value_that_y_holds() -> None:
    """−log N(y; μ, σ²) of as many values, whose root mean square distance is the misfit."""
    y = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    off, sigma = y - 0.5, WIDTH * 2.0 / 255
    scores = Scores(torch.zeros(1).double(), 255 * off.square().mean().sqrt()[None])
    normal = torch.distributions.Normal(0, sigma)
    loss = -(normal.log_prob(off) - normal.log_prob(torch.zeros(()))).sum()
    assert float(scores.cost(y.numel(), 2.0)) == pytest.approx(float(loss))


def test_what_is_simulated_already_is_not_advised() -> None:
    doubt = Doubt("not a face", "It is no face.", "Have a photo shrunk here.")
    assert in_doubt(doubt).endswith("Have a photo shrunk here (upscale --simulate).")
    assert in_doubt(doubt, simulated=True) == "in doubt: It is no face."
