"""A restorer is judged like a super-resolver: tables, calibration, the temperature it gets."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import saved_prior, saved_restorer, tiny_restorer

from cvdvae.analysis.calibration import fit
from cvdvae.checkpoints.folder import read_record
from cvdvae.checkpoints.records import RestorerRecord
from cvdvae.damage.described import description_from_dict, parse
from cvdvae.degradations.block_dct import ROUNDING
from cvdvae.errors import ConfigError, InputError
from cvdvae.evaluation.damaged import AsSeen, Damaged, Restorations, Restored
from cvdvae.evaluation.evaluate import evaluate
from cvdvae.evaluation.measure import Judges
from cvdvae.evaluation.method import Custom
from cvdvae.evaluation.plan import Plan
from cvdvae.evaluation.selection import Pair, Selection
from cvdvae.evaluation.table import figures, name_of
from cvdvae.restoration.load import load_restorer
from cvdvae.restoration.restoring import degraded, noise_in_8_bits
from cvdvae.restoration.settings import Grids, Sampling
from cvdvae.restoration.tolerance import misfit, within_noise

NOBODY = Judges(None, None, {})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(3):
        coarse = rng.integers(40, 216, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20 + i, 20)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return saved_restorer(tmp_path / "model")


def damaged(words: str, noise: float | None = None) -> Damaged:
    return Damaged(tiny_restorer(), parse(words), noise)


def test_where_there_is_noise_the_misfit_stands_for_consistency(
    photos: Path, tmp_path: Path
) -> None:
    tasks = [Restorations(damaged("downscale:scale=2", noise)) for noise in (None, 0.05)]
    plan = Plan(Selection(photos), (0.8,), samples=3)
    records, failures = evaluate(plan, tasks, NOBODY, tmp_path / "out")
    assert not failures
    table = figures(records)
    assert [name_of(row) for row in table] == [
        "downscale:scale=2,by=bicubic: as seen",
        "downscale:scale=2,by=bicubic: tiny τ=0.8, projected",
        "downscale:scale=2,by=bicubic, σ = 0.05: as seen",
        "downscale:scale=2,by=bicubic, σ = 0.05: tiny τ=0.8",
    ]
    _, exact, seen, noisy = table.values()
    assert exact["exact"].mean == 100
    assert exact["misfit"].mean is exact["explained"].mean is None
    assert noisy["exact"].mean is noisy["lr_psnr"].mean is noisy["lr_psnr_worst"].mean is None
    assert noisy["misfit"].mean is not None
    assert (noisy["explained"].mean or 0) <= 100
    assert (noisy["apd_mse"].mean or 0) > 0
    assert noisy["crps"].mean is not None
    assert seen["crps"].mean is None
    held = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    assert json.loads(held[-1])["damage"] == "downscale:scale=2,by=bicubic, σ = 0.05"
    again, _ = evaluate(plan, tasks, NOBODY, tmp_path / "out")
    assert again == records


def test_the_truth_has_a_misfit_of_one_and_grey_does_not_explain(
    photos: Path, tmp_path: Path
) -> None:
    subject = damaged("random:keep=0.5,seed=1", 0.1)
    truths = {
        pair.y.double().sum().item(): pair.truth for pair in subject.pairs(Selection(photos), {})
    }

    def knowing(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return truths[y.double().sum().item()].expand(samples, -1, -1, -1)

    def grey(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.5)

    task = Restorations(subject, (Custom("truth", knowing), Custom("grey", grey)))
    records, _ = evaluate(Plan(Selection(photos), (1.0,), 2), [task], NOBODY, tmp_path)
    truth, wrong = figures(records).values()
    assert truth["misfit"].mean == pytest.approx(1, abs=0.06)
    assert truth["explained"].mean == 100
    assert wrong["explained"].mean == 0
    assert truth["psnr"].mean is None  # infinite


@pytest.mark.parametrize("noise", [0.0005, 0.001, 0.003])
def test_the_truth_explains_what_was_rounded_after_a_little_noise(
    noise: float, photos: Path, tmp_path: Path
) -> None:
    """The rounding to 8 bits is noise, too, and counts where it can be told."""
    subject = damaged("blur:sigma=1", noise)
    pairs = list(subject.pairs(Selection(photos), {}))
    rounding = ROUNDING / 255
    for truth, y in pairs:
        told = subject.seen(y)
        assert told.sigma == subject.noise_of(y) == pytest.approx((noise**2 + rounding**2) ** 0.5)
        assert degraded(truth, subject.description, noise).sigma == told.sigma
        off = misfit(subject.degradation.A(truth[None]) - y, told.count, told.sigma)
        assert bool(within_noise(off, told.count).all())
        assert float(off) == pytest.approx(1, abs=0.1)


def test_rounding_that_cannot_be_told_from_noise_changes_nothing() -> None:
    """More values tell it from more noise; where nothing is rounded, nothing counts."""
    values = 3 * 64 * 64
    assert [noise_in_8_bits(s, values) for s in (0.0, 0.011, 0.02, 0.1)] == [0.0, 0.011, 0.02, 0.1]
    assert 0.009 < noise_in_8_bits(0.009, values) < 0.0091
    assert 0.02 < noise_in_8_bits(0.02, 3 * 10**6) < 0.0201
    assert noise_in_8_bits(0.02, 0) == 0.02
    x = torch.full((3, 16, 16), 0.5)
    for kept, sigma in ((True, math.hypot(0.001, ROUNDING / 255)), (False, 0.001)):
        assert degraded(x, parse("noise"), 0.001, in_8_bits=kept).sigma == sigma


def test_what_is_measured_is_what_restoring_gives(photos: Path) -> None:
    for words, noise in (("hole:side=6", None), ("blur:sigma=1", 0.02), ("jpeg:quality=40", None)):
        subject = damaged(words, noise)
        pair = Restorations(subject).pair(Selection(photos), photos / "0.png")
        found = subject.answers(pair.y, Sampling(2, seed=3, encoder_temperature=0.7))
        told = subject.seen(pair.y)
        result = subject.restorer.restore(
            told.y if words.startswith("jpeg") else pair.y,
            told.degradation,
            samples=2,
            noise=told.sigma,
            temperature=0.7,
            seed=3,
        )
        assert torch.equal(found.pixels, result.pixels)
        assert subject.noise_of(pair.y) == (ROUNDING if words.startswith("jpeg") else noise or 0)
        task = Restorations(subject)
        drawn = Restored(subject, "tiny").draw(pair.y, 2, 0.7, 3)
        assert torch.equal(task.finish(drawn, pair.y, task.projections[0]).pixels, found.pixels)
        (seen,) = AsSeen(subject).draw(pair.y, 1, 0.0, 0)
        torch.testing.assert_close(seen, result.shown)


def test_the_temperature_that_the_truth_was_drawn_at_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Damaged, "grids", Grids((), (0.3, 0.7, 1.0, 1.3)))
    subject = damaged("hole:side=12", 0.02)
    pairs = []
    generator = torch.Generator().manual_seed(0)
    for i in range(12):
        x = torch.rand(3, 4, 4, generator=generator).repeat_interleave(4, 1)
        y = subject.damage(x.repeat_interleave(4, 2), i)
        truth = subject.answers(y, Sampling(1, seed=1000 + i, encoder_temperature=1.0)).x[0]
        pairs.append(Pair(truth, y))
    start = Sampling(5, 1.0, 0, 1.0)
    best, tried = fit(subject, lambda: pairs, start)
    narrow, *others = tried
    assert len(others) == 3
    assert best.encoder_temperature in (0.7, 1.0, 1.3)
    assert all((one.crps.mean or 0) < (narrow.crps.mean or 0) for one in others)


def test_the_commands(
    photos: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: NOBODY)
    given = ["--data", str(photos), "--model", str(model_folder), "-n", "2"]
    happened = ["--degradation", "blur:sigma=1", "--noise", "0.02"]
    out = tmp_path / "out"
    evaluating = ["evaluate", *given, *happened, "--out", str(out)]
    assert run(*evaluating, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "blur:boundary=reflect,sigma=1, σ = 0.02: 3 images" in said
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["as seen", str(model_folder)]
    assert rows[1]["temperature"] == 1.0
    assert rows[1]["misfit"]["mean"] is not None
    monkeypatch.setattr(Damaged, "grids", Grids((), (0.5, 0.9)))
    monkeypatch.setattr("cvdvae.analysis.calibration.FEW", 3)
    assert run("calibrate", *given, *happened, "--save", monkeypatch=monkeypatch) == 0
    record = read_record(model_folder)
    assert isinstance(record, RestorerRecord)
    assert record.recommended.encoder_temperature in (0.5, 0.9)
    used = load_restorer(str(model_folder)).restoring().temperature
    assert used == record.recommended.encoder_temperature


def test_another_mask_of_the_same_name_does_not_continue(
    photos: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: NOBODY)
    mask, out, file = np.full((16, 16), 255, np.uint8), tmp_path / "out", tmp_path / "hole.png"
    given = f"evaluate --data {photos} --images 1 --model {model_folder} -n 1 --out {out}".split()
    given += ["--degradation", f"mask:file={file}"]
    for rows, code in ((4, 0), (4, 0), (8, 1)):
        mask[:rows] = 0
        Image.fromarray(mask).save(file)
        assert run(*given, monkeypatch=monkeypatch) == code
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"another mask, kernel, table or σ at mask:file={file}" in said


def test_it_is_said_what_is_another_than_before(photos: Path, tmp_path: Path) -> None:
    plan, first = Plan(Selection(photos, count=1), (1.0,), 2), damaged("grey", 0.1)
    evaluate(plan, [Restorations(first)], NOBODY, tmp_path)
    weights = tiny_restorer()
    weights.weights = "0123456789abcdef"
    finer = replace(first, noise=0.1 + 1e-9)
    for other, words in (
        (replace(first, moves=2), "number of moves"),
        (replace(first, grain=True), "choice of grain"),
        (finer, "mask, kernel, table or σ"),
        (replace(first, restorer=weights), "model"),
        (replace(finer, moves=2), "number of moves at grey, σ = 0.1 and mask, kernel, table or σ"),
    ):
        with pytest.raises(ConfigError, match=f"another {words} at grey, σ = 0.1: choose another"):
            evaluate(plan, [Restorations(other)], NOBODY, tmp_path)
    assert Restorations(first).differences("a text of another kind") == ["model"]


def test_what_an_image_is_told_with_is_in_the_fingerprint() -> None:
    """Not to go on where rounding was not told."""
    low, high = (Restorations(damaged("noise", noise)) for noise in (0.001, 0.1))
    assert high.fingerprint == high.subject.restorer.weights
    assert len(low.fingerprint) > len(high.fingerprint)
    (said,) = low.differences(high.fingerprint)  # as it was told before rounding was
    assert said == "σ that y was told with (then without its rounding)"
    assert low.differences(f"{high.fingerprint} {'0' * 16}") == ["mask, kernel, table or σ"]


def test_nothing_is_computed_to_tell_what_has_no_noise() -> None:
    task = Restorations(damaged("grey"))
    vars(task.subject)["degradation"] = None
    assert task.fingerprint == task.subject.restorer.weights


def test_chains_at_temperature_0_are_refused_before_anything_is_drawn(
    photos: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr(Judges, "load", never)
    monkeypatch.setattr(Restored, "draw", never)
    given = f"evaluate --data {photos} --model {model_folder} --out {tmp_path / 'out'} -n 1"
    what = "--degradation blur:sigma=1 --noise 0.05 --moves 1 --temperatures 1 --temperatures 0"
    assert run(*given.split(), *what.split(), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("chains cannot move at temperature 0") == 1
    assert ".png" not in said
    task = Restorations(replace(damaged("noise", 0.05), moves=1))
    with pytest.raises(InputError, match="chains cannot move at temperature 0"):
        evaluate(Plan(Selection(photos), (1.0, 0.0), 1), [task], NOBODY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_function_of_ones_own_that_was_edited_does_not_continue(
    photos: Path, tmp_path: Path
) -> None:
    def light(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.6)

    def dark(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.4)

    plan, subject = Plan(Selection(photos), (1.0,), 2), damaged("grey")
    light_task, dark_task = (
        Restorations(subject, (AsSeen(subject), Custom("even", function)))
        for function in (light, dark)
    )
    evaluate(plan, [light_task], NOBODY, tmp_path)
    with pytest.raises(ConfigError, match="another method even at grey: choose another folder"):
        evaluate(plan, [dark_task], NOBODY, tmp_path)


def test_what_no_text_tells_of_a_degradation_is_in_its_fingerprint() -> None:
    """Texts alone are told as ever: an evaluation of before goes on."""
    own = [
        description_from_dict([{"kind": "jpeg", "luma": [luma] * 64, "chroma": [chroma] * 64}])
        for luma, chroma in ((9, 9), (9, 30), (30, 30))
    ]
    tasks = [Restorations(Damaged(tiny_restorer(), one)) for one in (parse("grey"), *own)]
    assert tasks[0].fingerprint == tasks[0].subject.restorer.weights
    assert len({task.fingerprint for task in tasks}) == 4
    assert len({task.damage for task in tasks}) == 2
    noises = [Restorations(damaged("grey", noise)) for noise in (None, 0, 0.02, 0.02 + 1e-9)]
    assert len({task.damage for task in noises}) == 3
    assert len({(task.damage, task.fingerprint) for task in noises}) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--degradation", "blur:sigma=1", "--scales", "4"], "go with shrinking"),
        (["--degradation", "grey", "--models", "my-x{scale}"], "my-x{scale}"),
        (["--noise", "0.1", "--flows", "my-flow-x{scale}"], "name one model with --model"),
        (["--degradation", "spell"], "no kind 'spell'"),
        (["--degradation", "jpeg:quality=30", "--noise", "0.1"], "leave the noise out"),
        (["--degradation", "hole:side=40"], "40"),
        (["--noise", "7"], "from 0 to 1"),
        (["--moves", "3"], "go with --degradation"),
        (["--noise", "0.1", "--temperatures", "-1"], "temperature"),
    ],
)
def test_bad_requests_are_one_sentence(
    photos: Path,
    model_folder: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: NOBODY)
    given = ["--data", str(photos), "--model", str(model_folder), "--out", str(tmp_path / "out")]
    assert run("evaluate", *given, *arguments, monkeypatch=monkeypatch) == 1
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_prior_alone_needs_moves() -> None:
    model = tiny_restorer()
    with pytest.raises(InputError, match="need moves"):
        type(model)(model.prior, None, "prior").check_moves(0)


def test_the_report_has_all_that_is_known_of_a_restorer(
    photos: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: NOBODY)
    monkeypatch.setattr("cvdvae.analysis.restoring.SAMPLES", 3)
    monkeypatch.setattr("cvdvae.analysis.temperature.crop_face", lambda photo: photo)
    out = tmp_path / "out"
    given = ["--data", str(photos), "--model", str(model_folder), "--out", str(out)]
    happened = ["--degradation", "hole:side=6", "--degradation", "grey", "--noise", "0.1"]
    size = ["--images", "2", "-n", "2"]
    assert run("report", *given, *happened, *size, monkeypatch=monkeypatch) == 0
    page = (out / "report.html").read_text()
    for words in ("hole:side=6, σ = 0.1: as seen", "grey, σ = 0.1:", "interval holds", "misfit"):
        assert words in page
    assert page.count("data:image/png;base64,") == 3
    assert set(json.loads((out / "calibration.json").read_text())) == {
        "hole:side=6, σ = 0.1", "grey, σ = 0.1",
    }  # fmt: skip


def test_a_prior_alone_is_reported_on_with_its_chains(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: NOBODY)
    monkeypatch.setattr("cvdvae.analysis.restoring.SAMPLES", 3)
    monkeypatch.setattr("cvdvae.analysis.temperature.crop_face", lambda photo: photo)
    prior, out = saved_prior(tmp_path / "prior"), tmp_path / "out"
    asked = f"report --data {photos} --model {prior} --out {out} --images 1 -n 2 --moves 3"
    what = "--degradation grey --noise 0.1"
    assert run(*asked.split(), *what.split(), monkeypatch=monkeypatch) == 0
    assert "grey, σ = 0.1: " in (out / "report.html").read_text()
    found = json.loads((out / "temperature.json").read_text())
    assert list(found) == ["0.25", "0.5", "0.75", "1.0"]  # at 0 a chain does not move
