"""The tables of `cvdvae evaluate`, on tiny random models."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import saved_resolver, tiny_photos, tiny_resolver

import cvdvae
from cvdvae.analysis.report import Section, tables
from cvdvae.checkpoints.records import Recommended
from cvdvae.cli import main
from cvdvae.cli.family import Family, family
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import ConfigError, InputError, OutputError, WeightsError
from cvdvae.evaluation.evaluate import Records, evaluate, read_records, unused
from cvdvae.evaluation.held import digest_of
from cvdvae.evaluation.measure import METRICS, Column, Judges, Metric, columns
from cvdvae.evaluation.method import Bicubic, Comparison, Custom, Models, Resolver, comparison
from cvdvae.evaluation.plan import Plan, Row
from cvdvae.evaluation.realism import judge_of, likenesses, write_likenesses
from cvdvae.evaluation.selection import Pair, Selection
from cvdvae.evaluation.table import (
    LEGEND,
    as_markdown,
    best_rows,
    by_task,
    figure,
    figures,
    name_of,
    winners,
    write_tables,
)
from cvdvae.evaluation.task import Temperatures
from cvdvae.evaluation.versions import version_of
from cvdvae.metrics.perceptual import BRISQUE
from cvdvae.restoration.hvae import HVAEResolver


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(3):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20 + i, 20)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def plan(photos: Path) -> Plan:
    return Plan(Selection(photos), temperatures=(0.5,), samples=3)


@pytest.fixture
def models(model_folder: Path) -> Models:
    return Models(str(model_folder).replace("-x4", "-x{scale}"))


@pytest.fixture
def comparisons(models: Models) -> list[Comparison]:
    return [comparison(4, ["bicubic", "cvdvae"], models)]


@pytest.fixture
def judges() -> Judges:
    return Judges(None, BRISQUE(), {"LPIPS": "not in this test"})


def test_rows_columns_and_the_guarantee(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    records, failures = evaluate(plan, comparisons, judges, tmp_path / "out")
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
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    records, _ = evaluate(plan, comparisons, judges, tmp_path)
    write_tables(records, judges.missing, tmp_path, plan.samples)
    markdown = (tmp_path / "table.md").read_text()
    assert "LPIPS: not measured, because not in this test" in markdown
    assert "LPIPS ↓" not in markdown
    content = json.loads((tmp_path / "table.json").read_text())
    assert (content["images"], content["samples"]) == (3, 3)
    assert "\n×4: 3 images, 3 samples, mean ± standard error.\n" in markdown
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for line, row in zip(rows, content["rows"], strict=True):
        assert line["method"] == row["method"]
        for column in columns():
            value = row[column.key]["mean"]
            assert line[column.key] == ("" if value is None else str(value))


@pytest.fixture
def suited() -> HVAEResolver:
    """A model whose prior draws some of the groups, with temperatures of its own."""
    return HVAEResolver(
        (tiny := tiny_resolver()).prior, tiny.encoder, "mine", recommended=Recommended(0.7, 1.1)
    )


def test_where_no_temperature_is_named_a_model_is_drawn_as_upscale_does(
    suited: HVAEResolver,
) -> None:
    y = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    method = Resolver(suited, "cvdvae")
    own = method.own
    assert own == Temperatures(0.7, 1.1)
    wanted = suited.draw(y, suited.sampling(2, seed=3, consistent=False))
    drawn = method.with_encoder_at(1.1).draw(y, 2, own.temperature, 3)
    assert torch.equal(drawn, wanted)
    published = method.draw(y, 2, own.temperature, 3)
    assert not torch.equal(published, wanted)
    assert replace(method, encoder_temperature=1.1).fingerprint != method.fingerprint
    for same in (Recommended(0.9, 1.0), Recommended(0.9)):
        suited.recommended = same  # an encoder at 1 is the published one
        assert method.own == Temperatures(0.9)
    everything = Resolver(HVAEResolver((of := tiny_photos(2)).prior, of.encoder, "all", 2), "all")
    for recommended in (Recommended(), Recommended(1.07, 1.05)):  # as it begins, and calibrated
        everything.model.recommended = recommended
        y = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
        wanted = everything.model.draw(y, everything.model.sampling(2, consistent=False))
        assert torch.equal(everything.draw(y, 2, everything.own.temperature, 0), wanted)
    assert Resolver(cvdvae.load("photos-x4"), "all groups").own == Temperatures(1.0)


def test_own_temperatures_and_named_ones_are_rows_of_one_folder(
    suited: HVAEResolver, photos: Path, judges: Judges, tmp_path: Path
) -> None:
    kind = (suited.degradation, (Resolver(suited, "cvdvae"), Custom("grey", grey)))
    tasks, out = [Comparison(4, *kind)], tmp_path / "out"
    plan = Plan(Selection(photos), samples=2)
    records, _ = evaluate(plan, tasks, judges, out)
    own = ["×4 cvdvae τ=0.7 (encoder 1.1)", "×4 cvdvae τ=0.7 (encoder 1.1), projected"]
    assert [name_of(row) for row in figures(records)] == [
        *own, "×4 grey τ=1", "×4 grey τ=1, projected",
    ]  # fmt: skip
    records, _ = evaluate(replace(plan, temperatures=(0.7,)), tasks, judges, out)
    names = [name_of(row) for row in figures(records)]
    assert set(own) < set(names)
    assert {"×4 cvdvae τ=0.7", "×4 grey τ=0.7", "×4 grey τ=1"} < set(names)
    means = {name_of(row): cells["psnr"].mean for row, cells in figures(records).items()}
    assert means[own[0]] != means["×4 cvdvae τ=0.7"]
    assert evaluate(plan, tasks, judges, out)[0].keys() == records.keys()


def grey(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
    return torch.full((samples, 3, 16, 16), 0.5)


@pytest.mark.parametrize("crop", [0, 32])
def test_squares_are_cut_at_random_places_for_models_of_any_size(crop: int, tmp_path: Path) -> None:
    """Unless it is said otherwise, or a crop is named: then what is cut is resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    selection, path = Selection(tmp_path, crop=crop), tmp_path / "a.png"
    at_random = selection.cut_for(any_size=True).truth(path, 16)
    whole = selection.truth(path, 16)
    squares = np.lib.stride_tricks.sliding_window_view(pixels, (16, 16), axis=(0, 1))
    found = (squares == to_array(at_random).transpose(2, 0, 1)).all((2, 3, 4)).any()
    assert found == (crop == 0)
    assert torch.equal(selection.cut_for(any_size=False).truth(path, 16), whole)
    said = replace(selection, random_crops=False).cut_for(any_size=True)
    assert torch.equal(said.truth(path, 16), whole)


def test_models_that_are_given_other_squares_are_not_compared(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    mixed = [*comparisons, replace(comparisons[0], scale=2, any_size=True)]
    with pytest.raises(InputError, match="judge them apart, or say --no-random-crops"):
        evaluate(plan, mixed, judges, tmp_path)


def to_array(image: torch.Tensor) -> np.ndarray:
    """Height × width × channels, in levels of 255."""
    return (255 * image).round().byte().permute(1, 2, 0).numpy()


def test_the_models_are_those_of_the_domain_at_all_their_scales() -> None:
    assert family("photos") == Family("photos-x{scale}", "", [2, 3, 4])
    faces = Family("celeba64-x{scale}", "celeba64-hcflow-x{scale}", [4, 8, 16])
    assert family("faces") == faces
    assert family("photos", "celeba64-x{scale}").scales == [4, 8, 16]
    assert family("faces", scales=[8]) == replace(faces, scales=[8])
    assert family("photos", "photos-x3").scales == [3]
    with pytest.raises(InputError, match=r"say with --scales at which factors 'my-x\{scale\}'"):
        family("photos", "my-x{scale}")
    with pytest.raises(InputError, match=r"by 2, 3, 4, not by 8: those of faces do \(--domain f"):
        family("photos", scales=[4, 8])
    with pytest.raises(InputError, match="photos-sr' enlarges by 2, 3, 4: say which, with --scale"):
        family("photos", "photos-sr")
    with pytest.raises(InputError, match="no flow of these images is bundled"):
        comparison(4, ["bicubic", "hcflow"], Models())


def test_a_run_that_was_cut_off_continues_to_the_same_numbers(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    whole, _ = evaluate(plan, comparisons, judges, tmp_path / "whole")
    evaluate(plan, comparisons, judges, tmp_path / "cut")
    file = tmp_path / "cut" / "records.jsonl"
    file.write_text(file.read_text()[:-900])
    assert len(read_records(file)) < len(whole)
    calls: list[str] = []
    continued, _ = evaluate(plan, comparisons, judges, tmp_path / "cut", calls.append)
    assert len(calls) == 3
    assert list(continued) == list(whole)
    for key, scores in whole.items():  # up to the order of sums in several threads
        for name, value in scores.items():
            again = continued[key][name]
            assert again == (None if value is None else pytest.approx(value, rel=1e-4))


def test_more_images_or_scales_may_be_added_but_no_other_plan(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    one = replace(plan, selection=replace(plan.selection, count=1))
    first, _ = evaluate(one, comparisons, judges, tmp_path)
    more, _ = evaluate(plan, comparisons, judges, tmp_path)
    assert len(more) == 3 * len(first)
    assert all(more[key] == scores for key, scores in first.items())
    with pytest.raises(ConfigError, match="another seed"):
        evaluate(replace(plan, seed=1), comparisons, judges, tmp_path)
    others = [replace(comparisons[0], fingerprint="other weights")]
    with pytest.raises(ConfigError, match="another model at x4"):
        evaluate(plan, others, judges, tmp_path)
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    (tmp_path / "records.jsonl").write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n")
    with pytest.raises(ConfigError, match="line 2 of"):
        evaluate(plan, comparisons, judges, tmp_path)


NEAREST = """
def nearest(y, samples, temperature, seed, sides=(16, 16), *, by={"mode": "nearest"}):
    def grown(x):
        return torch.nn.functional.interpolate(x, sides, **by)
    return grown(y[None]).clamp(0.0, 1.0).expand(samples, -1, -1, -1)
"""
EDITS = {
    "a constant": ("1.0", "0.9"),
    "a default": ("(16, 16)", "[16, 16]"),
    "a keyword's default": ('"nearest"', '"bilinear"'),
    "what is called": ("clamp", "clip"),
    "the order": ("y[None]", "y[:1]"),
    "an inner function": ("(x, sides, ", "(x + 0, sides, "),
}
"""What changes what the function is, each with one word for another."""


def nearest(text: str = NEAREST) -> Any:
    """The function as another process reads it from its file."""
    scope: dict[str, Any] = {"torch": torch}
    exec(text, scope)
    return scope["nearest"]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_function_that_was_edited_does_not_go_on_with_its_old_numbers(
    edit: tuple[str, str], plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    def measured(function: Any, fingerprint: str = "") -> Records:
        near = Custom("near", function, fingerprint=fingerprint)
        task = Comparison(4, H, (Bicubic((16, 16)), near))
        return evaluate(one, [task], judges, tmp_path)[0]

    H = BicubicDownscaling((16, 16), (4, 4))
    one = replace(plan, selection=replace(plan.selection, count=1))
    first = measured(nearest())
    assert measured(nearest("\n\n# moved\n" + NEAREST)) == first
    changed = nearest(NEAREST.replace(*edit))
    for function in (changed, partial(nearest(), sides=(16, 16)), torch.no_grad()(changed)):
        with pytest.raises(ConfigError, match="with another method near at x4: choose another"):
            measured(function)
    with pytest.raises(ConfigError, match="another method near at x4"):
        measured(nearest(), fingerprint="v2")


def test_an_evaluation_from_before_methods_were_told_apart_goes_on(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    task = Comparison(4, BicubicDownscaling((16, 16), (4, 4)), (Custom("near", nearest()),))
    records, _ = evaluate(plan, [task], judges, tmp_path)
    settings = tmp_path / "settings.json"
    held = json.loads(settings.read_text())
    told = held.pop("methods")
    settings.write_text(json.dumps(held))
    assert evaluate(plan, [task], judges, tmp_path)[0] == records
    assert json.loads(settings.read_text())["methods"] == told
    settings.write_text(json.dumps(held | {"methods": {"x4": 3}}))
    with pytest.raises(ConfigError, match=r"is damaged: remove it and records\.jsonl"):
        evaluate(plan, [task], judges, tmp_path)


def test_methods_are_told_apart_by_their_own_word_or_by_their_code() -> None:
    class Own:
        name, stochastic = "own", False

        def draw(self, y: torch.Tensor, samples: int, temperature: float, seed: int) -> Any:
            return y + 1

    class Other(Own):
        def draw(self, y: torch.Tensor, samples: int, temperature: float, seed: int) -> Any:
            return y + 2

    class Called:
        def __call__(self, *_: object) -> Any:
            return torch.zeros(3)

    class Named(Own):
        fingerprint = "v2"

    function, called = nearest(), Called()
    told = [
        version_of(method)
        for method in (Own(), Other(), Custom("a", function), Custom("a", called), Named())
    ]
    assert len(set(told)) == 5
    assert told[-1] == version_of(Custom("a", function, fingerprint="v2")) == "v2"
    assert version_of(Bicubic((4, 4))) == ""  # of the package: its numbers stay from here on
    for _ in range(100):  # Python writes a function that is called often anew
        function(torch.zeros(3, 4, 4), 1, 0.0, 0)
    assert version_of(Custom("b", function)) == told[2]
    assert version_of(Custom("b", Called())) == told[3]
    endless: list[object] = []
    endless.append(endless)
    function.__defaults__ = (endless,)
    assert version_of(Custom("b", function)) not in told


SAID = """
from types import SimpleNamespace
from cvdvae.evaluation.versions import version_of
def function(y, kinds=frozenset("abcdef"), what=object()):
    return y in {"one", "two", "three"} or max
print(version_of(SimpleNamespace(function=function)))
"""


def test_what_tells_a_function_from_others_is_the_same_in_every_process() -> None:
    """Sets come in another order in each, and objects lie elsewhere."""
    said = [
        subprocess.check_output(
            [sys.executable, "-c", SAID], env=os.environ | {"PYTHONHASHSEED": s}
        )
        for s in "12"
    ]
    assert said[0] == said[1]
    assert len(said[0].strip()) == 16


class Counted:
    """A method that remembers which seeds it drew with: its images are of their colour."""

    name, stochastic, fingerprint = "counted", True, "v1"

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def draw(self, y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        self.seeds.append(seed)
        return torch.full((samples, 3, 16, 16), 0.1 * (seed + 1))


def counted(scale: int = 4) -> tuple[Counted, list[Comparison]]:
    method = Counted()
    return method, [Comparison(scale, BicubicDownscaling.of_scale((16, 16), scale), (method,))]


def test_a_folder_is_known_wherever_one_stands(
    plan: Plan, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was called from where one stood is not what it is."""
    photos, (_, tasks), out = plan.selection.folder, counted(), tmp_path / "out"
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        shutil.copytree(photos, tmp_path / place / "faces")
    here = replace(plan, selection=replace(plan.selection, folder=Path("faces")))
    there = replace(plan, selection=replace(plan.selection, folder=tmp_path / "a" / "faces"))
    monkeypatch.chdir(tmp_path / "a")
    records, _ = evaluate(here, tasks, judges, out)
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(ConfigError, match=r"another folder of images \(/.*/a/faces\): choose"):
        evaluate(here, tasks, judges, out)
    assert evaluate(there, tasks, judges, out)[0] == records
    settings = out / "settings.json"
    held = json.loads(settings.read_text()) | {"folder": "faces"}  # as it was told before
    settings.write_text(json.dumps(held))
    with pytest.raises(ConfigError, match="another folder of images"):
        evaluate(there, tasks, judges, out)
    monkeypatch.chdir(tmp_path / "a")
    assert evaluate(there, tasks, judges, out)[0] == records


def test_an_image_that_was_replaced_or_got_another_number_is_measured_anew(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    """What is measured then is what a fresh evaluation gives."""
    photos, out = plan.selection.folder, tmp_path / "out"

    def drawn() -> list[int]:
        (going_on, tasks), (_, others) = counted(), counted()
        found, failures = evaluate(plan, tasks, judges, out)
        fresh = evaluate(plan, others, judges, tmp_path / f"{len(list(tmp_path.iterdir()))}")
        assert failures == fresh[1] == {}
        assert list(found) == list(fresh[0])
        for key, scores in fresh[0].items():  # up to the order of sums in several threads
            assert found[key]["psnr"] == pytest.approx(scores["psnr"], rel=1e-4)
            assert found[key]["crps"] == pytest.approx(scores["crps"], rel=1e-4)
        return going_on.seeds

    assert drawn() == [0, 1, 2]
    assert drawn() == []
    Image.new("RGB", (20, 20), "teal").save(photos / "1.png")
    assert drawn() == [1]
    Image.new("RGB", (20, 20), "plum").save(photos / "0a.png")
    assert drawn() == [1, 2, 3]
    (photos / "0.png").unlink()
    assert drawn() == [0, 1, 2]
    assert drawn() == []


def test_a_measure_that_was_added_is_of_all_images(
    plan: Plan, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But of those that have no sample; what does not apply is not measured again."""

    def measured(images: int) -> tuple[Records, list[int]]:
        method, tasks = counted()
        few = replace(plan, selection=replace(plan.selection, count=images))
        return evaluate(few, tasks, judges, tmp_path)[0], method.seeds

    before, _ = measured(2)
    file = tmp_path / "records.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    gone = {"scores": {"psnr": None, "exploded": 100.0}}
    lines = [line | gone if line["image"] == "1.png" else line for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mine = Metric(Column("mine", "mine ↑"), lambda seen: float(seen.saved.mean()))
    monkeypatch.setitem(METRICS, "mine", mine)
    monkeypatch.setitem(METRICS, "none", Metric(Column("none", "none"), lambda seen: None))
    records, seeds = measured(3)
    assert seeds == [0, 2]
    assert list(records)[:1] == list(before)[:1]
    assert {key[1] for key, scores in records.items() if "mine" in scores} == {"0.png", "2.png"}
    for key, scores in before.items():
        if key[1] == "0.png":
            assert records[key]["psnr"] == pytest.approx(scores["psnr"], rel=1e-4)
    assert measured(3) == (records, [])


def test_records_from_before_images_were_told_apart_go_on(
    plan: Plan, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, _ = evaluate(plan, counted()[1], judges, tmp_path)
    file = tmp_path / "records.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.pop("number") for line in lines] == [0, 0, 1, 1, 2, 2]
    assert len({line.pop("digest") for line in lines}) == 3
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    method, tasks = counted()
    digests: list[Path] = []
    monkeypatch.setattr("cvdvae.evaluation.evaluate.digest_of", digests.append)
    assert evaluate(plan, tasks, judges, tmp_path)[0] == records
    assert method.seeds == []
    assert digests == []  # what is not told is not asked for


def test_a_file_of_any_size_is_told_from_others_a_piece_at_a_time(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as stream:
        stream.truncate(2**25)
    tracemalloc.start()
    try:
        assert digest_of(large) == hashlib.sha256(bytes(2**25)).hexdigest()[:16]
        tracemalloc.reset_peak()
        digest_of(large)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert digest_of(tmp_path) == digest_of(tmp_path / "nothing") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_records_that_cannot_be_written_are_one_sentence_that_names_them(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    """What was written goes on to the same numbers; an error of a method's own stays its own."""
    import resource

    whole, _ = evaluate(plan, comparisons, judges, tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            evaluate(plan, comparisons, judges, tmp_path / "cut")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    records = tmp_path / "cut" / "records.jsonl"
    assert str(caught.value) == f"cannot write {records}: File too large"
    assert 0 < len(read_records(records)) < len(whole)
    again, _ = evaluate(plan, comparisons, judges, tmp_path / "cut")
    assert list(again) == list(whole)

    def lost(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        raise OSError("a file of mine")

    task = Comparison(4, comparisons[0].degradation, (Custom("lost", lost),))
    with pytest.raises(OSError, match="a file of mine") as own:
        evaluate(plan, [task], judges, tmp_path / "own")
    assert not isinstance(own.value, OutputError)


def test_every_image_is_read_once_to_tell_it_from_others(
    plan: Plan, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(plan, counted(4)[1], judges, tmp_path)
    digests: list[str] = []

    def digest(path: Path) -> str:
        digests.append(path.name)
        return digest_of(path)

    monkeypatch.setattr("cvdvae.evaluation.evaluate.digest_of", digest)
    evaluate(plan, [*counted(4)[1], *counted(2)[1], *counted(8)[1]], judges, tmp_path)
    assert sorted(digests) == ["0.png", "1.png", "2.png"]


def test_settings_bind_nobody_while_nothing_is_held(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    """Nor those of a method or a scale that nothing is held of."""
    _, tasks = counted()
    wrong = replace(plan, selection=replace(plan.selection, crop=999))
    records, failures = evaluate(wrong, tasks, judges, tmp_path)
    assert not records
    assert len(failures) == 3
    right = replace(plan, selection=replace(plan.selection, crop=18))
    assert len(evaluate(right, tasks, judges, tmp_path)[0]) == 6
    with pytest.raises(ConfigError, match="another crop: choose"):
        evaluate(wrong, tasks, judges, tmp_path)

    def failing(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        raise InputError("no")

    H = tasks[0].degradation
    for text in ("v1", "v2"):
        none = Comparison(2, BicubicDownscaling.of_scale((16, 16), 2), (Custom("x", failing),))
        beside = Comparison(4, H, (*tasks[0].methods, Custom("y", failing, True, text)))
        assert evaluate(right, [replace(none, fingerprint=text)], judges, tmp_path)[1]
        assert evaluate(right, [beside], judges, tmp_path)[1]


@pytest.fixture
def two(models: Models, tmp_path: Path) -> Models:
    """Two models with other weights, one in the place of the flow."""
    saved_resolver(tmp_path / "other-x4", tiny_resolver(seed=5))
    return replace(models, hcflow=str(tmp_path / "other-x{scale}"))


def test_every_method_has_its_own_model(
    plan: Plan, two: Models, judges: Judges, tmp_path: Path
) -> None:
    """One may be added, left out, or stand elsewhere, but not be another."""
    out, one = tmp_path / "out", replace(plan, selection=replace(plan.selection, count=1))

    def measured(*names: str, models: Models = two) -> Records:
        return evaluate(one, [comparison(4, names, models)], judges, out)[0]

    alone = measured("cvdvae")
    both = measured("bicubic", "cvdvae", "hcflow")
    assert alone.items() <= both.items()
    assert measured("hcflow", "cvdvae", "bicubic") == both
    assert measured("hcflow").items() <= both.items()
    with pytest.raises(ConfigError, match="another model hcflow at x4: choose"):
        measured("hcflow", "cvdvae", models=replace(two, hcflow=two.cvdvae))


def test_an_evaluation_from_when_all_models_had_one_fingerprint_goes_on_or_is_refused(
    plan: Plan, two: Models, judges: Judges, tmp_path: Path
) -> None:
    out, one = tmp_path / "out", replace(plan, selection=replace(plan.selection, count=1))
    task = comparison(4, ["bicubic", "cvdvae", "hcflow"], two)
    records, _ = evaluate(one, [task], judges, out)
    settings = out / "settings.json"
    held = json.loads(settings.read_text())
    told = held["methods"]["x4"]
    assert held["models"] == {"x4": "16×16, channels: 3"}
    joined = {"x4": f"{told['cvdvae']} {told['hcflow']}"}
    unknown: tuple[dict[str, object], ...] = ({"x4": dict.fromkeys(told, "")}, {})
    for methods in unknown:
        older = held | {"methods": methods}
        settings.write_text(json.dumps(older | {"models": {"x4": "other weights"}}))
        with pytest.raises(ConfigError, match="another model at x4"):
            evaluate(one, [task], judges, out)
        settings.write_text(json.dumps(older | {"models": joined}))
        assert evaluate(one, [task], judges, out)[0] == records
        assert json.loads(settings.read_text()) == held


def test_what_has_no_model_goes_on_from_then_and_tells_nothing_of_models(
    plan: Plan, two: Models, judges: Judges, tmp_path: Path
) -> None:
    one = replace(plan, selection=replace(plan.selection, count=1))
    for methods in (["bicubic"], ["bicubic", "cvdvae"]):
        out = tmp_path / str(len(methods))
        task = comparison(4, methods, two)
        records, _ = evaluate(one, [task], judges, out)
        settings = out / "settings.json"
        held = json.loads(settings.read_text())
        weights = version_of(comparison(4, ["cvdvae"], two).methods[0])
        held |= {"models": {"x4": weights}, "methods": {"x4": dict.fromkeys(methods, "")}}
        settings.write_text(json.dumps(held))
        assert evaluate(one, [comparison(4, ["bicubic"], two)], judges, out)[0] == records
        kept = json.loads(settings.read_text())["models"] == held["models"]
        assert kept == (len(methods) == 2)  # what may be of a model stays told
    other = comparison(4, methods, replace(two, cvdvae=two.hcflow))
    with pytest.raises(ConfigError, match="another model at x4: choose"):
        evaluate(one, [other], judges, out)
    assert evaluate(one, [task], judges, out)[0] == records
    with pytest.raises(ConfigError, match="another model cvdvae at x4: choose"):
        evaluate(one, [other], judges, out)


def test_images_of_another_size_or_noise_are_not_called_another_model(two: Models) -> None:
    task = comparison(4, ["bicubic"], two)
    for earlier in ("32×32, channels: 3", "16×16, channels: 1, photons: 9.0, s: 1.0"):
        assert task.differences(earlier) == ["size, channels or noise of images"]
        assert replace(task, fingerprint="v1").differences(earlier) == ["model"]
    assert replace(task, fingerprint="v2").differences("v1") == ["model"]
    nameless = replace(task, methods=(Resolver(tiny_resolver(), "nameless"),))  # without weights
    assert nameless.differences("") == ["model"]


def test_a_model_that_was_told_nowhere_goes_on(plan: Plan, judges: Judges, tmp_path: Path) -> None:
    """In a comparison of one's own, whose methods had no text of their own either."""
    H, model = BicubicDownscaling((16, 16), (4, 4)), tiny_resolver()
    model.weights = "0123456789abcdef"
    task = Comparison(4, H, (Resolver(model, "mine"), Bicubic((16, 16))))
    records, _ = evaluate(plan, [task], judges, tmp_path)
    settings = tmp_path / "settings.json"
    held = json.loads(settings.read_text()) | {"methods": {"x4": {"mine": "", "bicubic": ""}}}
    settings.write_text(json.dumps(held))
    edited = replace(task, methods=(Custom("bicubic", nearest(), False),))
    with pytest.raises(ConfigError, match="another method bicubic at x4: choose"):
        evaluate(plan, [edited], judges, tmp_path)
    assert evaluate(plan, [task], judges, tmp_path)[0] == records


def test_few_images_at_another_temperature_take_none_from_the_table(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    (_, at4), (_, at2) = counted(4), counted(2)
    few = replace(plan, selection=replace(plan.selection, count=2), temperatures=(0.8,))
    first, _ = evaluate(plan, at4, judges, tmp_path)
    evaluate(few, at4, judges, tmp_path)
    both, _ = evaluate(plan, at2, judges, tmp_path)
    assert {key: scores for key, scores in both.items() if key[0].scale == 4} == first


def test_all_that_is_held_is_in_the_table(plan: Plan, judges: Judges, tmp_path: Path) -> None:
    """Of other scales and temperatures, as long as it is of the images that are there."""
    _, at4 = counted(4)
    _, at2 = counted(2)
    first, _ = evaluate(plan, at4, judges, tmp_path)
    both, _ = evaluate(plan, at2, judges, tmp_path)
    assert [row.scale for row in dict.fromkeys(row for row, _ in both)] == [2, 2, 4, 4]
    assert first.items() <= both.items()
    warmer, few = (replace(plan, temperatures=(0.8,)), replace(plan.selection, count=2))
    third, _ = evaluate(replace(warmer, selection=few), at4, judges, tmp_path)
    table = {task: part.images for task, part in by_task(third).items()}
    assert table == {"×4": 2, "×2": 3}
    assert {row.temperature for row, _ in third if row.scale == 4} == {0.8, 0.5}
    fourth, _ = evaluate(warmer, at2, judges, tmp_path)  # at ×4 and 0.8 one is not measured
    for image in ("0.png", "2.png"):
        assert {(row.scale, row.temperature) for row, name in fourth if name == image} == {
            (2, 0.8), (2, 0.5), (4, 0.5),
        }  # fmt: skip
    fifth, _ = evaluate(plan, at4, judges, tmp_path)
    assert {row.temperature for row, _ in fifth if row.scale == 4} == {0.5}  # 0.8 is of fewer
    Image.new("RGB", (20, 20), "teal").save(plan.selection.folder / "1.png")
    last, _ = evaluate(plan, at2, judges, tmp_path)
    assert {(row.temperature, name) for row, name in last if row.scale == 4} == {
        (0.5, "0.png"), (0.5, "2.png"),
    }  # fmt: skip
    failures = {"1.png": "it exploded at ×2, where it has a record"}
    assert unused(last, failures, at2) == {}
    assert unused(last, failures, at4) == failures


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (lambda n: torch.zeros(n, 3, 8, 8), r"float32 \(3, 3, 8, 8\)"),
        (lambda n: torch.zeros(n, 1, 16, 16), r"float32 \(3, 1, 16, 16\)"),
        (lambda n: torch.zeros(3, 16, 16), r"float32 \(3, 16, 16\)"),
        (lambda n: torch.zeros(n + 1, 3, 16, 16), r"float32 \(4, 3, 16, 16\)"),
        (lambda n: torch.zeros(1, 3, 16, 16), r"float32 \(1, 3, 16, 16\)"),
        (lambda n: torch.zeros(n, 3, 16, 16).byte(), r"uint8 \(3, 3, 16, 16\)"),
        (lambda n: np.zeros((n, 3, 16, 16), np.float32), "a ndarray, no tensor"),
        (lambda n: None, "a NoneType, no tensor"),
    ],
)
def test_a_function_that_draws_no_samples_is_told_what_it_drew(
    drawn: Any, said: str, plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    """No image is to blame, so that none is named."""
    mine = Custom("mine", lambda y, samples, temperature, seed: drawn(samples))
    tasks = [Comparison(4, BicubicDownscaling((16, 16), (4, 4)), (mine,))]
    wanted = rf"method mine at ×4 drew {said}, not floats \(3, 3, 16, 16\)$"
    with pytest.raises(ConfigError, match=wanted):
        evaluate(plan, tasks, judges, tmp_path)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_answer_may_be_given_once_or_as_often_as_asked(
    count: int, dtype: torch.dtype, plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    mine = Custom("mine", lambda *_: torch.full((count, 3, 16, 16), 0.5, dtype=dtype), False)
    tasks = [Comparison(4, BicubicDownscaling((16, 16), (4, 4)), (mine,))]
    assert len(evaluate(plan, tasks, judges, tmp_path / "a")[0]) == 3
    asked = [
        replace(tasks[0], methods=(replace(mine, function=lambda *_: torch.zeros(2, 3, 9, 9)),))
    ]
    with pytest.raises(ConfigError, match=r"not floats \(1, 3, 16, 16\) or \(3, 3, 16, 16\)"):
        evaluate(plan, asked, judges, tmp_path / "b")


def test_squares_at_random_places_and_whole_images_do_not_meet_in_one_folder(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    cut = replace(plan, selection=replace(plan.selection, random_crops=True))
    for first, second in ((cut, plan), (plan, cut)):
        out = tmp_path / str(first.selection.random_crops)
        evaluate(first, comparisons, judges, out)
        with pytest.raises(ConfigError, match=r"choice of squares \(--random-crops or --no"):
            evaluate(second, comparisons, judges, out)
    settings = out / "settings.json"
    held = json.loads(settings.read_text())
    del held["random_crops"]  # as of an evaluation from before there was the choice
    settings.write_text(json.dumps(held))
    evaluate(plan, comparisons, judges, out)


def test_records_of_an_unknown_plan_are_not_taken_over(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    evaluate(plan, comparisons, judges, tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match=r"remove it and records\.jsonl"):
        evaluate(plan, comparisons, judges, tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ConfigError, match=r"records without the settings\.json"):
        evaluate(plan, comparisons, judges, tmp_path)


def test_an_image_that_one_method_fails_at_is_left_out_of_that_task_alone(
    plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    def of(scale: int, worst: float) -> Comparison:
        def guess(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
            if seed == worst:
                raise InputError(f"no guess at ×{scale}")
            return torch.full((samples, 3, 16, 16), 0.5)

        degradation = BicubicDownscaling.of_scale((16, 16), scale)
        return Comparison(scale, degradation, (Bicubic((16, 16)), Custom("guess", guess)))

    tasks = [of(4, 1), of(2, -1)]
    records, failures = evaluate(plan, tasks, judges, tmp_path)
    assert list(failures) == ["1.png"]
    assert "×4" in failures["1.png"]
    seen = {(row.scale, image) for row, image in records}
    assert seen == {(4, "0.png"), (4, "2.png"), *((2, f"{i}.png") for i in range(3))}
    told = {task: table.images for task, table in by_task(records).items()}
    assert told == {"×4": 2, "×2": 3}
    write_tables(records, {}, tmp_path, plan.samples)
    for end in ("txt", "md"):
        text = (tmp_path / f"table.{end}").read_text()
        assert "×4: 2 images, 3 samples, mean ± standard error" in text
        assert "×2: 3 images, 3 samples, mean ± standard error" in text
    # What was measured before the failure is not measured again, and stays unused.
    held = read_records(tmp_path / "records.jsonl")
    assert {row.method for row, image in held if (row.scale, image) == (4, "1.png")} == {"bicubic"}
    assert evaluate(plan, tasks, judges, tmp_path) == (records, failures)
    # Nor is it what the others are measured by where another scale is asked for.
    beside, _ = evaluate(plan, tasks[1:], judges, tmp_path)
    assert beside == records


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_no_text_is_a_name_like_any_other(
    photos: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "1.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    models = str(model_folder).replace("-x4", "-x{scale}")
    asked = f"evaluate --data {photos} --models {models} --scales 4 -n 2 --methods cvdvae"
    asked += f" --temperatures 0.5 --out {tmp_path / 'out'}"
    assert run(*asked.split(), monkeypatch=monkeypatch) == 0
    assert len(read_records(tmp_path / "out" / "records.jsonl")) == 6


def test_an_unreadable_image_among_others_is_reported(
    plan: Plan, comparisons: list[Comparison], judges: Judges, photos: Path, tmp_path: Path
) -> None:
    (photos / "1.png").write_text("no image")
    records, failures = evaluate(plan, comparisons, judges, tmp_path / "out")
    assert {image for _, image in records} == {"0.png", "2.png"}
    (sentence,) = failures.values()
    assert "1.png is not an image" in sentence
    Image.new("RGB", (15, 40)).save(photos / "1.png")
    _, failures = evaluate(plan, comparisons, judges, tmp_path / "again")
    assert "an enlarged image is none" in failures["1.png"]


def test_anybodys_function_can_be_measured(
    plan: Plan, comparisons: list[Comparison], judges: Judges, tmp_path: Path
) -> None:
    def grey(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.5)

    def broken(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), float("nan"))

    H = BicubicDownscaling((16, 16), (4, 4))
    ours = Comparison(4, H, (Bicubic((16, 16)), Custom("grey", grey)))
    records, failures = evaluate(plan, [ours], judges, tmp_path / "a")
    assert not failures
    row = Row(4, "grey", 0.5, False)
    assert figures(records)[row]["apd_mse"].mean == 0
    assert figures(records)[row]["exploded"].mean == 0

    def partly(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        x = grey(y, samples, temperature, seed)
        x[0, 0, 0, 0] = torch.nan
        return x

    records, _ = evaluate(
        plan, [Comparison(4, H, (Custom("grey", partly),))], judges, tmp_path / "c"
    )
    assert figures(records)[row]["exploded"].mean == pytest.approx(100 / 3)
    bad = Comparison(4, H, (Custom("broken", broken),))
    records, failures = evaluate(plan, [bad], judges, tmp_path / "b")
    known = [{k: v for k, v in scores.items() if v is not None} for scores in records.values()]
    assert all(scores == {"exploded": 100} for scores in known)
    assert "broken ×4: every sample exploded" in failures["0.png"]
    assert len(records) == 2 * len(failures) == 6
    write_tables(records, {}, tmp_path / "b", plan.samples)
    text = (tmp_path / "b" / "table.txt").read_text()
    assert "exploded" in text
    assert "needs two samples" not in text


@pytest.mark.parametrize("samples", [1, 3])
def test_an_image_all_of_whose_samples_exploded_counts_as_exploded_and_is_named(
    samples: int, plan: Plan, judges: Judges, tmp_path: Path
) -> None:
    """It is in no other column of its row, and in all of the other methods'."""
    drawn = list[int]()

    def flow(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        drawn.append(seed)
        return torch.full((samples, 3, 16, 16), torch.nan if seed == 1 else 0.3 + 0.2 * seed)

    H = BicubicDownscaling((16, 16), (4, 4))
    tasks = [Comparison(4, H, (Custom("flow", flow), Bicubic((16, 16))))]
    asked = replace(plan, samples=samples)
    records, failures = evaluate(asked, tasks, judges, tmp_path)
    assert list(failures) == ["1.png"]
    assert f"{plan.selection.folder / '1.png'}, flow ×4: every sample exploded" in failures["1.png"]
    plain, projected, bicubic = figures(records)
    table = figures(records)
    for row in (plain, projected):
        assert table[row]["exploded"].mean == pytest.approx(100 / 3)
        values = [records[row, f"{i}.png"]["psnr"] for i in (0, 2)]
        assert table[row]["psnr"] == figure(values)
        assert records[row, "1.png"]["psnr"] is None
    assert all(records[bicubic, f"{i}.png"]["psnr"] is not None for i in range(3))
    assert {name: part.images for name, part in by_task(records).items()} == {"×4": 3}
    assert drawn == [0, 1, 2]
    assert evaluate(asked, tasks, judges, tmp_path) == (records, failures)
    assert drawn == [0, 1, 2]
    file = tmp_path / "records.jsonl"  # as of an evaluation from before it was kept
    kept = [line for line in file.read_text().splitlines() if '"image": "1.png"' not in line]
    file.write_text("\n".join(kept) + "\n")
    assert evaluate(asked, tasks, judges, tmp_path) == (records, failures)
    assert drawn == [0, 1, 2, 1]


def test_bad_plans_are_one_sentence(
    plan: Plan, comparisons: list[Comparison], models: Models
) -> None:
    with pytest.raises(InputError, match="no image from number 10"):
        replace(plan.selection, start=10).paths()
    with pytest.raises(InputError, match="leave crop out"):
        replace(plan.selection, crop=30, random_crops=True)
    for field, value, words in [
        ("samples", 0, "at least 1"),
        ("seed", -1, "not negative"),
        ("temperatures", (-1.0,), "temperature"),
        ("temperatures", (0.8, 0.8), "named twice"),
    ]:
        with pytest.raises(InputError, match=words):
            replace(plan, **{field: value})  # type: ignore[arg-type]
    for field, value in (("count", 0), ("crop", -5)):
        with pytest.raises(InputError, match="at least 1, and crop not negative"):
            replace(plan.selection, **{field: value})  # type: ignore[arg-type]
    for names in ([], ["bicubic", "bicubic"], ["magic"]):
        with pytest.raises(InputError, match="choose from bicubic, cvdvae, hcflow"):
            comparison(4, names, models)
    with pytest.raises(InputError, match="enlarges by 4, not by 8"):
        comparison(8, ["cvdvae"], Models(models.cvdvae.replace("{scale}", "4")))


def test_the_command(
    photos: Path,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {"LPIPS": "why"}))
    arguments = ["evaluate", "--data", str(photos), "--models", models.cvdvae, "--samples", "1"]
    out = ["--scales", "4", "--temperatures", "0.1", "0.8", "--methods", "bicubic", "cvdvae",
           "--out", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments, *out])
    with pytest.raises(SystemExit, match="0"):
        main()
    printed = capsys.readouterr()
    assert "×4: 3 images, 1 sample," in printed.out
    assert "LPIPS is not measured: why" in printed.err
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "cvdvae τ=0.8, projected" in text
    assert "cvdvae τ=0.1" in text
    assert "What compares samples: not measured, because it needs two samples" in text
    monkeypatch.setattr(sys, "argv", ["cvdvae", *arguments, *out, "--methods", "magic"])
    with pytest.raises(SystemExit):
        main()
    assert "choose from bicubic, cvdvae, hcflow" in capsys.readouterr().err


IMAGES = 40
LUCK = np.random.default_rng(0).normal(0, 1, (3, IMAGES))
HARDNESS = np.random.default_rng(1).normal(22, 4, IMAGES)
"""Images differ far more than methods do, as they really do."""


def scored(key: str, scale: int = 8, **values: np.ndarray) -> Records:
    """Records of one measure: an array over images for every method."""
    return {
        (Row(scale, method, None, False), f"{i}.png"): {key: float(v)}
        for method, each in values.items()
        for i, v in enumerate(each)
    }


def methods_of(rows: set[Row]) -> set[str]:
    return {row.method for row in rows}


@pytest.mark.parametrize(("ahead", "behind"), [("cvdvae", "hcflow"), ("hcflow", "cvdvae")])
def test_the_best_is_marked_whichever_method_it_is_and_wherever_better_is(
    ahead: str, behind: str
) -> None:
    """A lead of 0.5 on images that spread by 4: what counts is the difference on each image."""
    pair = {ahead: HARDNESS + 0.5 + 0.1 * LUCK[0], behind: HARDNESS + 0.1 * LUCK[1]}
    records = scored("psnr", **{name: pair[name] for name in ("cvdvae", "hcflow")})
    assert methods_of(best_rows(records, Column("psnr", "PSNR ↑"))) == {ahead}
    assert methods_of(best_rows(records, Column("psnr", "PSNR ↓"))) == {behind}
    assert best_rows(records, Column("psnr", "neither good nor bad")) == set()
    assert winners(records) == [f"×8, won by {ahead}: PSNR."]
    header, _, *lines = as_markdown(records).splitlines()
    assert header == "|  | PSNR ↑ |"
    assert [line.split("|")[1].strip() for line in lines if "**" in line] == [f"×8 {ahead}"]


def test_a_row_with_one_image_in_common_is_not_marked() -> None:
    records = scored("ssim", good=HARDNESS + 9, bad=HARDNESS, other=HARDNESS - 9)
    alone = next(image for row, image in records if row.method == "bad")
    records = {
        (row, image): scores
        for (row, image), scores in records.items()
        if row.method != "bad" or image == alone
    }
    assert methods_of(best_rows(records, Column("ssim", "SSIM ↑"))) == {"good"}


def test_every_column_says_where_better_is() -> None:
    lower = {c.key for c in columns() if c.sign < 0}
    assert lower == {"lpips", "brisque", "exploded", "crps", "energy_score"}
    assert {c.key for c in columns() if not c.sign} == {"misfit"}  # 1 is best


def test_what_cannot_be_told_from_the_best_is_marked_with_it() -> None:
    column = Column("psnr", "PSNR ↑")
    even = LUCK[1] - LUCK[1].mean()  # a difference of which nothing is left on average
    error = even.std(ddof=1) / IMAGES**0.5
    for lead, winning in ((1.9, {"a", "b"}), (2.1, {"a"})):
        records = scored("psnr", a=HARDNESS + lead * error, b=HARDNESS + even, c=HARDNESS - 9)
        assert methods_of(best_rows(records, column)) == winning
    records = scored("psnr", a=HARDNESS, b=HARDNESS + even)
    assert best_rows(records, column) == set()  # both: nobody wins
    assert winners(records) == ["×8, won by none: PSNR."]
    single = {key: scores for key, scores in records.items() if key[1] == "0.png"}
    assert best_rows(single, column) == set()  # one image says nothing


def test_rows_are_compared_on_the_images_that_both_have() -> None:
    """One that exploded is left out of the mean: it must not decide by the images it leaves."""
    records = scored("lr_psnr", a=HARDNESS + 1, b=HARDNESS, c=HARDNESS - 9)
    for i in np.flatnonzero(HARDNESS > 22):
        records[Row(8, "a", None, False), f"{i}.png"] = {"lr_psnr": None, "exploded": 100.0}
    column = Column("lr_psnr", "LR-PSNR ↑")
    assert figures(records)[Row(8, "b", None, False)]["lr_psnr"].mean == pytest.approx(
        HARDNESS.mean()
    )
    assert methods_of(best_rows(records, column)) == {"a", "b"}


def test_who_explodes_on_hard_images_is_not_the_best_by_what_is_left() -> None:
    """b is ahead of a on every image that both have, and alone has the hard ones, too."""
    hard = HARDNESS < 22
    records = scored("psnr", a=HARDNESS + 0.1 * LUCK[0], b=HARDNESS + 1, c=HARDNESS - 9)
    for i in np.flatnonzero(hard):
        records[Row(8, "a", None, False), f"{i}.png"] = {"psnr": None, "exploded": 100.0}
    means = {row.method: cells["psnr"].mean or 0 for row, cells in figures(records).items()}
    assert means["a"] > means["b"]
    assert methods_of(best_rows(records, columns()[0])) == {"b"}
    assert winners(records)[0].startswith("×8, won by b: PSNR;")


def test_a_method_alone_wins_nothing() -> None:
    records = scored("psnr", cvdvae=HARDNESS)
    assert best_rows(records, columns()[0]) == set()
    assert winners(records) == []
    assert "**" not in as_markdown(records)


def test_scales_do_not_compete_and_every_table_says_what_its_marks_mean(tmp_path: Path) -> None:
    at8 = scored("psnr", 8, bicubic=HARDNESS, cvdvae=HARDNESS + 1)
    at4 = scored("psnr", 4, bicubic=HARDNESS + 9, hcflow=HARDNESS + 8)
    write_tables(at8 | at4, {}, tmp_path, 2)
    text, markdown = ((tmp_path / f"table.{end}").read_text() for end in ("txt", "md"))
    for written in (text, markdown):
        assert LEGEND in written
        assert "×8, won by cvdvae: PSNR." in written
        assert "×4, won by bicubic: PSNR." in written
    table = markdown.split("\n\n")[0]
    assert [line.split("|")[1] for line in table.splitlines() if "**" in line] == [
        " ×8 cvdvae ", " ×4 bicubic ",
    ]  # fmt: skip
    assert sum(line.count("* ") for line in text.splitlines() if "PSNR ↑" in line) == 2


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run as it stands, on two photographs."""
    text = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "faces").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (70, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert "×8 nearest" in (tmp_path / "results" / "table.md").read_text()


class ByColour:
    """Stands for LPIPS: colours, and how much they vary, which tells enough here."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        colours = x.flatten(2)
        return 4 * torch.cat([colours.mean(2), colours.std(2)], 1)

    def maps(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x - y).square().mean(1)

    def distances(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.maps(x, y).mean((1, 2))

    def digest(self) -> str:
        return "by colour"


class ByContrast:
    """Stands for a detector: surest where there is most to see."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).std(1).double()


@pytest.fixture
def many(tmp_path: Path) -> Plan:
    folder, rng = tmp_path / "many", np.random.default_rng(1)
    folder.mkdir()
    for i in range(30):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16)).save(folder / f"{i:02d}.png")
    return Plan(Selection(folder), temperatures=(0.5,), samples=2)


def test_what_is_real_looks_real_and_what_is_grey_does_not(many: Plan, tmp_path: Path) -> None:
    H = BicubicDownscaling((16, 16), (4, 4))

    def grey(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), 0.5)

    def other(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        coarse = np.random.default_rng(seed + 100).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((16, 16)))
        return torch.from_numpy(image / 255).permute(2, 0, 1)[None].float()

    task = Comparison(4, H, (Custom("grey", grey, False), Custom("other", other, False)))
    names: list[str] = []
    judge: Any = ByColour()
    detector: Any = ByContrast()
    true, plain, alike = likenesses(many, [task], judge, detector, {"03.png": "x"}, names.append)
    assert len(names) == 30  # the one that failed before is counted, too
    assert [one.name for one in (true, plain, alike)] == [
        "×4 true images, by halves", "×4 grey", "×4 other",
    ]  # fmt: skip
    assert true.detected.mean == pytest.approx(100 * 13 / 15)  # as sure as the first 14 all are
    assert plain.detected.mean == 0
    assert (alike.detected.mean or 0) > 85
    for one in (true, alike):
        assert abs(one.distance.mean or 9) < 4 * (one.distance.standard_error or 0)
    assert (plain.distance.mean or 0) > 4 * (plain.distance.standard_error or 9)
    write_likenesses([true, plain, alike], "", tmp_path)
    lines = (tmp_path / "realism.md").read_text().splitlines()
    assert lines[0] == "|  | detected faces, % ↑ | kernel distance ×10³ ↓ |"
    assert lines[3].startswith("| ×4 grey | 0.0 ± 0.0 | ")
    assert lines[6] == "29 images, one sample of each, mean ± standard error."
    written = json.loads((tmp_path / "realism.json").read_text())
    assert [one["name"] for one in written] == [true.name, plain.name, alike.name]
    assert [one["images"] for one in written] == [29] * 3
    (first, *_) = likenesses(many, [task], judge, None, {})
    assert first.cells()[1] == "–"
    write_likenesses([first], "it is not here", tmp_path)
    assert "not measured, because it is not here." in (tmp_path / "realism.md").read_text()


def test_samples_that_exploded_show_no_face_and_have_no_distance(many: Plan) -> None:
    H = BicubicDownscaling((16, 16), (4, 4))

    def broken(y: torch.Tensor, samples: int, temperature: float, seed: int) -> torch.Tensor:
        return torch.full((samples, 3, 16, 16), float("nan"))

    judge: Any = ByColour()
    detector: Any = ByContrast()
    task = Comparison(4, H, (Custom("broken", broken, False), Bicubic((16, 16))))
    _, exploded, smooth = likenesses(many, [task], judge, detector, {})
    assert exploded.cells() == ["×4 broken", "0.0 ± 0.0", "–"]
    assert smooth.distance.mean is not None

    class Blind:
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1, dtype=torch.float64)

    blind: Any = Blind()
    (true, *_) = likenesses(many, [task], judge, blind, {})
    assert true.cells()[1] == "–"  # or everything would be a face


def test_too_few_images_to_tell_are_refused(plan: Plan) -> None:
    judge: Any = ByColour()
    with pytest.raises(InputError, match="at least 6 images, not 3"):
        judge_of(plan, Judges(judge, None, {}))
    unusable = dict.fromkeys(("0.png", "1.png", "2.png"), "it is no image")
    with pytest.raises(InputError, match="at least 6 images, not 0"):
        list(likenesses(plan, [], judge, None, unusable))


def test_the_command_judges_realism_where_it_is_asked_to(
    model_folder: Path,
    many: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["evaluate", "--data", str(many.selection.folder), "--scales", "4"]
    arguments += ["--methods", "bicubic", "cvdvae", "--temperatures", "0.5", "-n", "1"]
    arguments += ["--models", str(model_folder).replace("-x4", "-x{scale}"), "--images", "6"]
    nobody = Judges(None, None, {"LPIPS": "it is not here"})
    monkeypatch.setattr(Judges, "load", lambda path: nobody)
    out = ["--out", str(tmp_path / "a"), "--realism"]
    assert run(*arguments, *out, monkeypatch=monkeypatch) == 1
    assert "realism needs the network of LPIPS: it is not here" in capsys.readouterr().err
    assert not (tmp_path / "a" / "records.jsonl").exists()
    judge: Any = ByColour()
    monkeypatch.setattr(Judges, "load", lambda path: Judges(judge, None, {}))
    monkeypatch.setattr("cvdvae.metrics.realism.FaceDetector", refuse)
    out = ["--out", str(tmp_path / "b"), "--realism"]
    assert run(*arguments, *out, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr()
    assert "×4 true images, by halves" in said.out
    assert "Detected faces is not measured: no detector here" in said.err
    assert run(*arguments, *out, "--json", monkeypatch=monkeypatch) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [line["realism"]["name"] for line in lines if "realism" in line]
    assert names == [
        "×4 true images, by halves", "×4 bicubic", "×4 cvdvae τ=0.5", "×4 cvdvae τ=0.5, projected",
    ]  # fmt: skip


def test_where_too_few_can_be_judged_it_is_said_which_failed(
    model_folder: Path,
    many: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One is no image at all, and one explodes, which is judged as it is."""
    folder, out, judge = many.selection.folder, tmp_path / "out", cast(Any, ByColour())
    monkeypatch.setattr(Judges, "load", lambda path: Judges(judge, None, {}))
    monkeypatch.setattr("cvdvae.metrics.realism.FaceDetector", refuse)
    given = ["evaluate", "--data", str(folder), "--scales", "4", "--methods", "cvdvae", "-n", "1"]
    given += ["--models", str(model_folder).replace("-x4", "-x{scale}"), "--temperatures", "0.5"]
    given += ["--out", str(out), "--realism", "--images"]
    (folder / "02.png").write_text("no image")
    assert run(*given, "6", monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "02.png is not an image" in said
    assert "realism needs at least 6 images, not 5" in said
    draw = Resolver.draw

    def drawn(self: Resolver, y: torch.Tensor, *how: Any) -> torch.Tensor:
        return draw(self, y, *how) * (torch.nan if how[2] == 6 else 1)

    monkeypatch.setattr(Resolver, "draw", drawn)
    assert run(*given, "7", monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr()
    assert "6 images, one sample of each" in " ".join(printed.out.split())
    said = " ".join(printed.err.split())
    assert said.count("02.png is not an image") == said.count("06.png, cvdvae ×4: every") == 1


def refuse() -> None:
    raise InputError("no detector here")


def commands(data: Path, models: Models, out: Path) -> dict[str, list[str]]:
    """Those that look at a folder of images, with the tiny model."""
    model = models.cvdvae.replace("{scale}", "4")
    given = ["--data", str(data)]
    many = [*given, "--out", str(out), "--models", models.cvdvae, "--scales", "4"]
    return {
        "calibrate": ["calibrate", *given, "--model", model, "-n", "2"],
        "evaluate": ["evaluate", *many, "-n", "2"],
        "report": ["report", *many, "-n", "2"],
        "temperature": ["analyze", "temperature", *given, "--out", str(out), "--model", model],
        "calibration": ["analyze", "calibration", *many, "-n", "2"],
        "rate": ["analyze", "rate", *many],
    }


@pytest.mark.parametrize("command", ["evaluate", "report", "temperature", "calibration"])
def test_squares_at_random_places_are_measured_where_they_are_asked_for(
    command: str, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stop(*settings: object) -> Selection:
        asked.append(settings)
        raise InputError("enough")

    monkeypatch.setattr("cvdvae.evaluation.selection.Selection", stop)
    given = commands(tmp_path, models, tmp_path / "out")[command]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert run(*given, "--random-crops", monkeypatch=monkeypatch) == 1
    assert [settings[4] for settings in asked] == [None, True]


@pytest.mark.parametrize("command", ["report", "temperature", "calibration", "rate"])
def test_pictures_are_not_drawn_among_the_images(
    command: str,
    photos: Path,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The next analysis would take them for images."""
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    given = commands(photos, models, photos / ".." / "photos")[command]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert "choose another folder than --data for --out" in " ".join(
        capsys.readouterr().err.split()
    )
    assert sorted(path.name for path in photos.iterdir()) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("command", ["calibrate", "report", "temperature", "calibration", "rate"])
def test_where_no_image_can_be_used_it_is_said_why(
    command: str,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    (tmp_path / "small").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "small" / "tiny.png")
    given = commands(tmp_path / "small", models, tmp_path / "out")[command]
    assert run(*given, monkeypatch=monkeypatch) == 1
    errors = " ".join(capsys.readouterr().err.split())
    assert errors.count("tiny.png leaves 9×9 pixels, and the truth needs 16×16") == 1
    assert "there is no image to" in errors
    assert not (tmp_path / "out" / "rate.json").exists()


def test_the_report_is_on_the_images_that_it_used(
    photos: Path, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but one are used at ×4, and of them again all but one at ×2; at ×8 there was one more."""
    (photos / "0bad.png").write_text("no image")
    shutil.copy(photos / "2.png", photos / "3.png")
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    seen, shrunk = [], Comparison.pair

    def pair(self: Comparison, selection: Selection, path: Path) -> Pair:
        seen.append(path.name)
        if seen.count("0.png") == 3 and path.name == "0.png":
            raise InputError(f"{path} is not for this scale")
        return shrunk(self, selection, path)

    def sections(study: Any, plan: Plan, *_: object) -> list[Section]:
        before, *tasks = [
            Comparison(scale, BicubicDownscaling.of_scale((16, 16), scale), (Bicubic((16, 16)),))
            for scale in (8, 4, 2)
        ]
        more, judges = (
            replace(plan, selection=replace(plan.selection, count=None)),
            Judges.load(None),
        )
        assert len(evaluate(more, [before], judges, study.out)[0]) == 4
        return tables(study.tables(plan, tasks, judges), plan.samples)

    monkeypatch.setattr(Comparison, "pair", pair)
    monkeypatch.setattr("cvdvae.analysis.study.report_sections", sections)
    out = tmp_path / "out"
    asked = f"report --data {photos} --out {out} --models {models.cvdvae} --scales 4 --images 4"
    assert run(*asked.split(), monkeypatch=monkeypatch) == 1
    page = (out / "report.html").read_text()
    assert page.count(" on 3 images<") == 2  # in the title and in the heading
    for words in ("over 3 images, 8 samples of each", "over 2 images, 8 samples of each"):
        assert words in page


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("evaluate", ["--data", "small.png"], "small.png is not a folder"),
        ("evaluate", ["--realism"], "realism needs at least 6 images, not 3"),
        ("report", ["--data", "small.png"], "small.png is not a folder"),
        ("report", ["--methods", "magic"], "choose from bicubic, cvdvae, hcflow"),
        ("temperature", ["--data", "small.png"], "small.png is not a folder"),
        ("temperature", ["--model", "nothing"], "nothing"),
    ],
)
def test_weights_are_fetched_last(
    command: str,
    options: list[str],
    message: str,
    photos: Path,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fetched(path: Path | None) -> Judges:
        raise AssertionError("downloads")

    monkeypatch.setattr(Judges, "load", fetched)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save("small.png")
    given = commands(photos, models, tmp_path / "out")[command]
    assert run(*given, *options, monkeypatch=monkeypatch) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_weights_that_are_missing_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(features: Path | None) -> None:
        raise WeightsError("they cannot be fetched; a local file of them can be named")

    monkeypatch.setattr("cvdvae.evaluation.measure.LPIPS", missing)
    assert Judges.load(None).missing["LPIPS"].endswith("can be named, with --lpips")
