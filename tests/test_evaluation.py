"""The tables of `cvdvae evaluate`, on tiny random models."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cvdvae.cli import main
from cvdvae.degradation import BicubicDownscaling
from cvdvae.errors import ConfigError, InputError
from cvdvae.evaluation.evaluate import Plan, Row, evaluate, read_records
from cvdvae.evaluation.measure import Judges
from cvdvae.evaluation.method import Bicubic, Contest, Custom, contest
from cvdvae.evaluation.table import COLUMNS, figures, name_of, write_tables
from cvdvae.metrics.perceptual import BRISQUE

Run = Callable[..., int]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(3):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20 + i, 20)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def plan(photos: Path, model_folder: Path) -> Plan:
    models = str(model_folder).replace("-x4", "-x{scale}")
    return Plan(str(photos), scales=(4,), models=models, temperatures=(0.5,), samples=3)


@pytest.fixture
def judges() -> Judges:
    return Judges(None, BRISQUE(), {"LPIPS": "not in this test"})


def contests(plan: Plan) -> list[Contest]:
    return [contest(scale, list(plan.methods), plan.models) for scale in plan.scales]


def test_rows_columns_and_the_guarantee(plan: Plan, judges: Judges, tmp_path: Path) -> None:
    records, failures = evaluate(plan, contests(plan), judges, tmp_path / "out")
    assert not failures
    table = figures(records)
    assert [name_of(row) for row in table] == [
        "×4 bicubic", "×4 cvdvae τ=0.5", "×4 cvdvae τ=0.5, projected",
    ]  # fmt: skip
    bicubic, plain, projected = table.values()
    assert bicubic["apd_mse"].mean is None
    assert projected["exact"].mean == 100
    assert (plain["exact"].mean or 0) < 100
    assert (projected["lr_psnr"].mean or 0) > (plain["lr_psnr"].mean or 0)
    assert (plain["apd_mse"].mean or 0) > 0
    assert plain["psnr"].standard_error is not None
    assert plain["lpips"].mean is None


def test_tables_say_what_is_missing_and_agree_with_each_other(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    records, _ = evaluate(plan, contests(plan), judges, tmp_path)
    write_tables(records, judges.missing, tmp_path)
    markdown = (tmp_path / "table.md").read_text()
    assert "LPIPS: not measured, because not in this test" in markdown
    assert "LPIPS ↓" not in markdown
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["images"] == 3
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for line, row in zip(rows, content["rows"], strict=True):
        assert line["method"] == row["method"]
        for column in COLUMNS:
            value = row[column.key]["mean"]
            assert line[column.key] == ("" if value is None else str(value))


def test_a_run_that_was_cut_off_continues_to_the_same_numbers(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    whole, _ = evaluate(plan, contests(plan), judges, tmp_path / "whole")
    evaluate(plan, contests(plan), judges, tmp_path / "cut")
    file = tmp_path / "cut" / "records.jsonl"
    file.write_text(file.read_text()[:-900])
    assert len(list(read_records(file))) < len(whole)
    calls: list[str] = []
    continued, _ = evaluate(plan, contests(plan), judges, tmp_path / "cut", calls.append)
    assert len(calls) == 3
    key = lambda record: (record[1], name_of(record[0]))  # noqa: E731
    assert sorted(continued, key=key) == sorted(whole, key=key)


def test_more_images_or_scales_may_be_added_but_no_other_plan(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    first, _ = evaluate(replace(plan, images=1), contests(plan), judges, tmp_path)
    more, _ = evaluate(plan, contests(plan), judges, tmp_path)
    assert len(more) == 3 * len(first)
    assert more[: len(first)] == first
    with pytest.raises(ConfigError, match="another seed"):
        evaluate(replace(plan, seed=1), contests(plan), judges, tmp_path)


def test_an_unreadable_image_among_others_is_reported(
    plan: Plan, judges: Judges, photos: Path, tmp_path: Path
) -> None:
    (photos / "1.png").write_text("no image")
    records, failures = evaluate(plan, contests(plan), judges, tmp_path / "out")
    assert {image for _, image, _ in records} == {"0.png", "2.png"}
    (sentence,) = failures
    assert "1.png is not an image" in sentence


def test_anybodys_function_can_be_measured(plan: Plan, judges: Judges, tmp_path: Path) -> None:
    def grey(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.5)

    def broken(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), float("nan"))

    H = BicubicDownscaling((16, 16), (4, 4))
    ours = Contest(4, H, (Bicubic((16, 16)), Custom("grey", grey)))
    records, failures = evaluate(plan, [ours], judges, tmp_path / "a")
    assert not failures
    row = Row(4, "grey", 0.5, False)
    assert figures(records)[row]["apd_mse"].mean == 0
    bad = Contest(4, H, (Custom("broken", broken),))
    records, failures = evaluate(plan, [bad], judges, tmp_path / "b")
    assert not records
    assert "broken ×4: 3 samples hold NaN" in failures[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": 10}, "no image from number 10"),
        ({"samples": 0}, "at least 1"),
        ({"temperatures": (-1.0,)}, "temperature"),
        ({"methods": ()}, "at least one"),
    ],
)
def test_bad_plans_are_one_sentence(plan: Plan, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(plan, **changes).paths()  # type: ignore[arg-type]


def test_the_command(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Judges, "summon", lambda path: Judges(None, None, {"LPIPS": "why"}))
    arguments = ["evaluate", "--data", plan.data, "--models", plan.models, "--samples", "2"]
    out = ["--scales", "4", "--temperatures", "0.8", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments, *out])
    with pytest.raises(SystemExit, match="0"):
        main()
    printed = capsys.readouterr()
    assert "3 images, 2 samples" in printed.out
    assert "LPIPS is not measured: why" in printed.err
    assert (tmp_path / "out" / "table.csv").exists()
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments, *out, "--methods", "magic"])
    with pytest.raises(SystemExit):
        main()
    assert "choose from bicubic, cvdvae" in capsys.readouterr().err
