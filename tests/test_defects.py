"""What a second look found, and what must not come back."""

import json
import os
import stat
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command import run
from PIL import Image
from safetensors.torch import load_file, save_file
from tifffile import imwrite
from tiny import saved_restorer, tiny_resolver

import cvdvae
from cvdvae.batch.files import plan
from cvdvae.checkpoints.folder import read_record
from cvdvae.checkpoints.loading import load_flow, load_prior
from cvdvae.checkpoints.records import Expected
from cvdvae.checkpoints.weights import WEIGHTS, digest, shared_networks
from cvdvae.configs import load_yaml, read_yaml
from cvdvae.data.folder import load_images
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.infeasible import violate_least
from cvdvae.degradations.spectrum import largest_eigenvalue
from cvdvae.degradations.within import Within
from cvdvae.errors import (
    ConfigError,
    CVDVAEError,
    InputError,
    OccupiedError,
    OutputError,
    WeightsError,
)
from cvdvae.evaluation.measure import Judges
from cvdvae.files import write_text
from cvdvae.imaging.io import load_image, read_photo
from cvdvae.metrics.diversity import apd_mse
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load, load_restorer, replay
from cvdvae.restoration.recipe import read_recipe, recipe_from_text
from cvdvae.restoration.result import SuperResolution
from cvdvae.restoration.saving import EARLIER, UNFINISHED, is_result, saved_files
from cvdvae.restoration.settings import Sampling
from cvdvae.training import PriorTraining, train_encoder

CONFIG = Path(__file__).parents[1] / "configs" / "celeba64.yaml"


@pytest.fixture
def y() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(40, 216, (3, 4, 4), generator=generator).float() / 255


def shake(folder: Path) -> None:
    """Other weights in a model folder, as after more training."""
    weights = load_file(folder / WEIGHTS)
    save_file({k: v + 0.01 for k, v in weights.items()}, folder / WEIGHTS)


def test_a_replay_gives_the_same_pixels_or_says_that_it_cannot(
    model_folder: Path, y: torch.Tensor, tmp_path: Path
) -> None:
    result = load(str(model_folder)).upscale(y, samples=2)
    result.save(tmp_path / "out")
    recipe = tmp_path / "out" / "result.json"
    assert torch.equal(replay(recipe, trust=True).pixels, result.pixels)
    shake(model_folder)
    with pytest.raises(InputError, match="has other weights than when this result was drawn"):
        replay(recipe, trust=True)


def test_a_replay_computes_in_the_dtype_of_the_result(tmp_path: Path) -> None:
    y = torch.full((3, 8, 8), 128 / 255)
    rough = load("celeba64-x8", dtype="bf16").upscale(y, samples=1)
    rough.save(tmp_path)
    again = replay(tmp_path / "result.json")
    assert again.dtype == "bf16"
    assert torch.equal(again.pixels, rough.pixels)
    assert not torch.equal(load("celeba64-x8").upscale(y, samples=1).pixels, rough.pixels)


def test_recipes_of_before_still_bring_their_results_back(tmp_path: Path) -> None:
    y = torch.full((3, 8, 8), 128 / 255)
    result = load("celeba64-x8").upscale(y, samples=1)
    result.save(tmp_path)
    path = tmp_path / "result.json"
    new = json.loads(path.read_text())
    kept = {k: v for k, v in new.items() if k not in ("weights", "dtype", "files", "scale")}
    path.write_text(json.dumps(kept))
    assert torch.equal(replay(path).pixels, result.pixels)
    link = recipe_from_text(result.recipe.to_text())
    assert (link.weights, link.dtype, link.scale) == (result.weights, "fp32", 8)
    assert len(result.weights) == 32


@pytest.mark.parametrize(
    "wrong", [{"weights": "../x"}, {"weights": 3}, {"dtype": "fp8"}, {"scale": 0}, {"scale": "8"}]
)
def test_damaged_recipes_are_refused(
    wrong: dict[str, object], resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    resolver.upscale(y, samples=1).save(tmp_path)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(InputError):
        read_recipe(path)


def test_a_recipe_cannot_have_a_model_loaded_that_nobody_asked_for(
    model_folder: Path,
    y: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(str(model_folder)).upscale(y, samples=1).save(tmp_path / "out")
    path = tmp_path / "out" / "result.json"
    arguments = ["replay", str(path), "--out", str(tmp_path / "again")]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert "say so with --trust-model" in capsys.readouterr().err
    assert run(*arguments, "--trust-model", monkeypatch=monkeypatch) == 0
    looked: list[str] = []
    monkeypatch.setattr("cvdvae.checkpoints.folder.download", looked.append)
    path.write_text(path.read_text().replace(str(model_folder), "somebody/evil"))
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert not looked


def test_saving_removes_only_what_an_earlier_result_wrote(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    mine = [tmp_path / "sample_of_my_thesis.png", tmp_path / "sample_17.png"]
    for path in mine:
        path.write_bytes(b"mine")
    resolver.upscale(y, samples=4).save(tmp_path)
    resolver.upscale(y, samples=2).save(tmp_path)
    assert all(path.read_bytes() == b"mine" for path in mine)
    assert not (tmp_path / "sample_03.png").exists()
    report = json.loads((tmp_path / "result.json").read_text())
    assert report["files"][:2] == ["sample_00.png", "sample_01.png"]
    held = {p.name for p in tmp_path.iterdir()}
    assert held == {*report["files"], "result.json", *(p.name for p in mine)}
    # A result of before this list, and one that lists what is not a result's.
    old = {k: v for k, v in report.items() if k != "files"}
    (tmp_path / "result.json").write_text(json.dumps(old))
    resolver.upscale(y, samples=1).save(tmp_path)
    assert not (tmp_path / "sample_01.png").exists()
    listed = ["../out.png", "sample_of_my_thesis.png", 3, *report["files"]]
    foreign = report | {"files": listed}
    (tmp_path / "result.json").write_text(json.dumps(foreign))
    resolver.upscale(y, samples=1).save(tmp_path)
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("most", [256, 9], ids=["input within", "input beside"])
def test_settings_alone_are_drawn_again_where_they_lie(
    model_folder: Path,
    y: torch.Tensor,
    most: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the page gives: a `result.json` that lists no picture, and a large input beside it."""
    monkeypatch.setattr("cvdvae.restoration.recipe.MAX_VALUES", most)
    result = cvdvae.load(str(model_folder)).upscale(y, samples=2)
    folder = tmp_path / "taken"
    result.save(folder)
    recipe = folder / "result.json"
    told = json.loads(recipe.read_text())
    for name in told["files"]:
        if name != told["input"]:
            (folder / name).unlink()
    recipe.write_text(json.dumps(told | {"files": []}))
    assert len(list(folder.glob("*.png"))) == (most == 9)
    arguments = ("replay", str(recipe), "--trust-model", "--out", str(folder))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert {path.name for path in folder.iterdir()} == {"result.json", *result.files}


def test_a_result_whose_replay_was_killed_in_its_place_can_be_replayed_there(
    model_folder: Path, y: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cvdvae.load(str(model_folder)).upscale(y, samples=2)
    folder = tmp_path / "out"
    result.save(folder)
    aside = folder / EARLIER
    aside.mkdir()
    for name in ("result.json", *result.files):
        (folder / name).rename(aside / name)
    (folder / UNFINISHED).write_text(json.dumps({"files": result.files}))
    (folder / "mean.png").write_bytes(b"half")
    arguments = ("replay", str(folder / "result.json"), "--trust-model", "--out", str(folder))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert {path.name for path in folder.iterdir()} == {"result.json", *result.files}


def test_a_report_that_lists_pictures_of_such_names_is_still_of_another_program(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    (tmp_path / "mean.png").write_bytes(b"theirs")
    (tmp_path / "result.json").write_text('{"files": ["mean.png"], "accuracy": 0.9}')
    with pytest.raises(OutputError, match="is there already, and no earlier result lists it"):
        resolver.upscale(y, samples=2).save(tmp_path)
    assert (tmp_path / "mean.png").read_bytes() == b"theirs"
    assert "accuracy" in (tmp_path / "result.json").read_text()


@pytest.mark.parametrize("name", ["sample_01.png", "grid.png", "result.json"])
def test_saving_writes_over_nothing_that_no_result_has_written(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    result = resolver.upscale(y, samples=2)
    with pytest.raises(OutputError, match=f"{name} is there already, and no earlier result lists"):
        result.save(tmp_path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"mine")]
    (tmp_path / name).unlink()
    result.save(tmp_path)
    result.save(tmp_path)


def test_an_input_is_not_written_over_by_its_result(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mean"
    folder.mkdir()
    Image.new("RGB", (4, 4), (9, 99, 199)).save(folder / "mean.png")
    before = (folder / "mean.png").read_bytes()
    asked = ("upscale", str(folder / "mean.png"), "--model", str(model_folder), "-n", "1")
    assert run(*asked, "--out", str(tmp_path), monkeypatch=monkeypatch) == 1
    assert (folder / "mean.png").read_bytes() == before


def test_a_name_of_dots_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("...png", "..png", ".png", "..."):
        ((_, folder),) = plan([str(tmp_path / name)], out)
        assert folder.resolve().parent == out.resolve()


def test_files_have_the_mode_that_the_umask_says_and_nobody_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to the process: another thread's file would be writable for all meanwhile."""
    asked: list[int] = []
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", asked.append)
            write_text(tmp_path / "new", "x")
            write_text(tmp_path / "new", "y")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert not asked


def test_results_can_be_compared_and_put_into_sets(resolver: HVAEResolver, y: torch.Tensor) -> None:
    one, other = (resolver.upscale(y, samples=1) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert one.recipe != other.recipe


def test_a_result_shows_itself_in_a_notebook(resolver: HVAEResolver, y: torch.Tensor) -> None:
    assert resolver.upscale(y, samples=1)._repr_png_().startswith(b"\x89PNG")


def test_the_pairwise_distance_needs_no_pairs() -> None:
    samples = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pairs = [(samples[i] - samples[j]).double() for i in range(5) for j in range(i)]
    expected = float(torch.stack([pair.square().mean() for pair in pairs]).mean())
    assert apd_mse(samples) == pytest.approx(expected, rel=1e-6)
    near = 0.5 + 1e-6 * samples.double()
    assert apd_mse(near) == pytest.approx(1e-12 * expected, rel=1e-6)
    many = torch.rand(32, 3, 256, 256)
    started = time.process_time()
    assert apd_mse(many) == pytest.approx(1 / 6, rel=1e-2)
    assert time.process_time() - started < 2


def test_reading_in_threads_leaves_the_warnings_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path)
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: [read_photo(path) for _ in range(25)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    changed = False
    while any(thread.is_alive() for thread in threads):
        changed = changed or list(warnings.filters) != before
    assert not changed


def test_no_description_makes_more_than_its_weights_hold(model_folder: Path) -> None:
    """Terabytes, by the widths and by the number of blocks."""
    prior = model_folder / "prior"
    plain = yaml.safe_load((prior / "config.yaml").read_text())
    for change in (
        {"width": 10**6, "widths": {}},
        {"width": 2**40, "widths": {}},
        {"z_channels": 10**9},
        {"bottleneck": 1e9},
        {"mixtures": 2**62},
        {"image_size": 2**30},
        {"top_down": plain["model"]["top_down"].replace("x1", "x1000000000")},
        {"bottom_up": "2x1000000000"},
        {"bottom_up": "2x99999999999999999999"},
    ):
        bad = {**plain, "model": plain["model"] | change}
        (prior / "config.yaml").write_text(yaml.safe_dump(bad))
        started = time.process_time()
        with pytest.raises((ConfigError, WeightsError)):
            load_prior(str(prior))
        assert time.process_time() - started < 5, change


def test_a_flow_of_a_billion_steps_is_refused(tmp_path: Path) -> None:
    model = {"image_size": 16, "scale": 4, "steps": 10**9}
    for change in ({}, {"steps": 1, "trunks": [1, 10**9]}, {"steps": 1, "scale": 2**40}):
        (tmp_path / "config.yaml").write_text(
            yaml.safe_dump({"kind": "hcflow", "model": model | change})
        )
        with pytest.raises(ConfigError):
            load_flow(str(tmp_path))


def test_weights_that_are_no_numbers_are_refused(model_folder: Path) -> None:
    weights = load_file(model_folder / WEIGHTS)
    name = sorted(weights)[3]
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, model_folder / WEIGHTS)
    with pytest.raises(WeightsError, match=rf"no number \(NaN or infinity\), in {name}"):
        load(str(model_folder))


@pytest.mark.parametrize("packed", [False, True])
def test_weights_of_a_kind_that_is_not_computed_with_are_refused(
    packed: bool, model_folder: Path
) -> None:
    weights = load_file(model_folder / WEIGHTS)
    name = next(k for k in sorted(weights) if weights[k].dim() == 4)
    if packed:  # in 8 bits, with steps of such a kind
        steps = torch.ones(len(weights[name])).to(torch.float8_e4m3fn)
        weights |= {name: weights[name].to(torch.int8), f"{name}.step": steps}
    else:
        weights[name] = weights[name].to(torch.float8_e4m3fn)
    save_file(weights, model_folder / WEIGHTS)
    with pytest.raises(WeightsError, match=rf"do not fit their configuration: {name}.* or kind\)"):
        load(str(model_folder))


EXPECTED = {
    "images": 20, "misfit": 2.0, "gains": {"smooth": 1.0}, "slope": 1.0,
    "typical": {"unlikely": 1.0}, "limits": {"unlikely": 2.0},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"gains": {}},
        {"typical": {}},
        {"limits": {"unlikely": float("nan")}},
        {"limits": {"unlikely": float("inf")}},
        {"misfit": 0.0},
        {"slope": float("nan")},
    ],
)
def test_what_is_expected_must_be_whole_numbers_included(
    change: dict[str, object], model_folder: Path
) -> None:
    assert Expected(**EXPECTED).images == 20  # type: ignore[arg-type]
    path = model_folder / "config.yaml"
    plain = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**plain, "expected": EXPECTED | change}))
    with pytest.raises(ConfigError):
        read_record(model_folder)


SETTINGS = [
    ("model", "width", ".nan"),
    ("model", "width", 2**40),
    ("model", "bottleneck", ".nan"),
    ("model", "bottleneck", 1e9),
    ("model", "input_mean", ".nan"),
    ("model", "input_std", "nan"),
    ("model", "pixel_std", ".nan"),
    ("model", "bottom_up", "1x1000000000"),
    ("data", "split_seed", 2**40),
    ("data", "workers", 100_000),
    ("optim", "batch_size", 10**9),
    ("optim", "batch_size", "1e9"),
    ("optim", "steps", 10**18),
    ("optim", "steps", "0x" + "f" * 5000),
    ("optim", "steps", "9" * 5000),
    ("optim", "learning_rate", ".nan"),
    ("optim", "learning_rate", ".inf"),
    ("optim", "seed", "2024-13-45"),
]


@pytest.mark.parametrize(("part", "name", "value"), SETTINGS)
def test_impossible_settings_of_a_training_are_one_sentence(
    part: str,
    name: str,
    value: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.new("RGB", (64, 64), (i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    plain["data"] = {"folder": str(tmp_path / "photos"), "validation": 1}
    plain[part][name] = "PLACE"
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(plain).replace("PLACE", str(value)))
    arguments = ["train", "prior", "--config", str(config), "--out", str(tmp_path / "out")]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("error:")
    assert len(said.splitlines()) == 1, said
    assert len(said) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "a: 2024-13-45",
        "[" * 500,
        "a: " + "[" * 60 + "]" * 60,
        "a: &a [*a]",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in
                    zip("abcdefgh", "bcdefghi", strict=True)),
        "a: " + "9" * 5000,
        "a: 0x" + "f" * 5000,
        "a: .nan",
    ],
)  # fmt: skip
def test_yaml_without_an_end_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("steps: 1\nseed: 2\nsteps: 1", "steps"),
        ("optim: {seed: 1, 'seed': 2}", "seed"),
        ("- widths:\n    4: 1\n    0x4: 2", "0x4"),
    ],
)
def test_a_key_that_stands_twice_is_named(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"x\.yaml: {name} stands twice"):
        read_yaml(path)


def test_a_key_may_replace_what_another_mapping_brings_along(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\nd: *b\n? [1]\n: 2\n"
    (tmp_path / "x.yaml").write_text(text[:-9])
    found = read_yaml(tmp_path / "x.yaml")
    assert found["b"] == found["d"] == {"x": 3, "y": 2}
    assert found["c"]["y"] == 4
    for odd in (text, "{!!map '': 1, !!map '': 2}"):
        (tmp_path / "x.yaml").write_text(odd)
        with pytest.raises(ConfigError, match="is not a YAML file"):
            read_yaml(tmp_path / "x.yaml")


def test_devices_and_pipes_are_no_files(tmp_path: Path, model_folder: Path) -> None:
    pipe, zero = tmp_path / "pipe", Path("/dev/zero")
    os.mkfifo(pipe)
    for path in (pipe, zero, tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            load_yaml(PriorTraining, path)
        with pytest.raises(InputError, match="cannot read"):
            replay(path)
        with pytest.raises(InputError, match="is no file"):
            load_image(path)
    (model_folder / WEIGHTS).unlink()
    os.mkfifo(model_folder / WEIGHTS)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        load(str(model_folder))


def test_nobody_means_a_hundred_million_samples(
    resolver: HVAEResolver, y: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at most 10000, not 100000000"):
        Sampling(samples=100_000_000)
    resolver.upscale(y, samples=1).save(tmp_path)
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace('"samples": 1', '"samples": 1000000000'))
    with pytest.raises(CVDVAEError, match="at most 10000"):
        read_recipe(path)


@pytest.mark.parametrize("device", ["meta", "nonesuch", "cuda:99", ""])
def test_a_device_that_computes_nothing_is_refused(device: str, model_folder: Path) -> None:
    with pytest.raises(InputError, match="cannot use the device"):
        load(str(model_folder), device)


@pytest.mark.parametrize("draws", ["0", "-3", "1000000000"])
def test_no_draws_are_one_sentence(
    draws: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    models = str(model_folder).replace("-x4", "-x{scale}")
    arguments = ["analyze", "consistency", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    arguments += ["--models", models, "--scales", "4", "--draws", draws]
    assert run(*arguments, monkeypatch=monkeypatch) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_analyses_say_which_images_they_left_out_and_exit_with_1(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        Image.new("RGB", (16, 16), (i, 90, 90)).save(photos / f"{i}.png")
    (photos / "2.png").write_text("no image")
    models = str(model_folder).replace("-x4", "-x{scale}")
    arguments = ["--data", str(photos), "--out", str(tmp_path / "o"), "--models", models]
    for command in (["consistency", "--draws", "1"], ["rate"], ["calibration", "-n", "2"]):
        code = run("analyze", *command, *arguments, "--scales", "4", monkeypatch=monkeypatch)
        assert code == 1, command
        assert "2.png is not an image" in capsys.readouterr().err


def test_values_below_zero_are_no_image(tmp_path: Path) -> None:
    values = np.linspace(-500, 60_000, 16, dtype=np.float32).reshape(4, 4)
    for name, mode in (("f.tif", np.float32), ("i.tif", np.int32)):
        Image.fromarray(values.astype(mode)).save(tmp_path / name)
        with pytest.raises(InputError, match=rf"^\S*{name}: values below 0"):
            read_photo(tmp_path / name)
    imwrite(tmp_path / "signed.tif", values.astype(np.int8))
    with pytest.raises(InputError, match=r"signed.tif: values below 0"):
        read_photo(tmp_path / "signed.tif")


def test_a_file_whose_values_have_no_range_is_named_once(tmp_path: Path) -> None:
    """Whoever reads it: among thousands nobody else could find it."""
    odd = tmp_path / "odd.tif"
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(odd)
    words = (
        f"{odd}: floating-point values have no known range: save 8 or 16 bits (cvdvae upscale "
        f"and restore take those of a TIFF, but for --jpeg, grey, bayer, restore --simulate, and "
        f"--simulate with --noise)"
    )
    for read in (read_photo, lambda path: load_images([path], 16)):
        with pytest.raises(InputError) as refused:
            read(odd)
        assert str(refused.value) == words


def test_the_lr_psnr_is_right_however_high_it_is() -> None:
    """Of a sample that is off by a millionth: float32 would round the input by 3e-8."""
    resolver = tiny_resolver()
    x = torch.full((1, 3, 16, 16), 77, dtype=torch.uint8)
    for level in (77, 79, 101):
        y = torch.full((3, 4, 4), level / 255)
        x.fill_(level)
        x[0, 0, 0, 0] = level - 1
        x[0, 1, 15, 15] = level + 1
        result = SuperResolution(
            y, x.float() / 255, x, resolver.degradation, "tiny", Sampling(1), 0.0
        )
        exact = resolver.degradation.A(x.double()) - float(level)
        expected = float(-10 * torch.log10((exact / 255).square().mean()))
        assert result.lr_psnr[0] == pytest.approx(expected, abs=1e-7)


def test_an_lr_psnr_without_any_error_is_null_in_json() -> None:
    resolver = tiny_resolver()
    y, x = torch.zeros(3, 4, 4), torch.zeros(2, 3, 16, 16)
    x[1, 0, 0, 0] = 1 / 255
    pixels = (255 * x).byte()
    result = SuperResolution(y, x, pixels, resolver.degradation, "tiny", Sampling(2), 0.0)
    assert result.lr_psnr[0] == float("inf")
    assert result.report()["lr_psnr"] == [None, result.lr_psnr[1]]
    json.dumps(result.report()["lr_psnr"], allow_nan=False)


def test_an_encoder_of_before_on_what_is_no_prior_is_refused_as_one_of_today(
    tmp_path: Path, model_folder: Path
) -> None:
    """Its description in pixels is read by the size of the prior's images."""
    old = "model: {lr_size: 4, encoder: '8x1', width: 4}\nprior: %s\n"
    config = tmp_path / "old.yaml"
    config.write_text(old % model_folder)
    with pytest.raises(ConfigError, match="is not a prior but a"):
        train_encoder(config, tmp_path / "out")
    config.write_text(old % (model_folder / "prior"))
    with pytest.raises(ConfigError, match=r"data|optim"):  # it is read, and lacks the rest
        train_encoder(config, tmp_path / "out")


def test_an_image_is_read_as_models_take_it(tmp_path: Path, resolver: HVAEResolver) -> None:
    Image.new("L", (4, 4), 51).save(tmp_path / "small.png")
    y, notes = cvdvae.load_image(str(tmp_path / "small.png"))
    assert torch.equal(y, torch.full((3, 4, 4), 51 / 255))
    assert notes == ["a greyscale image: so are its samples"]
    assert resolver.upscale(y, samples=1).round_trip_exact == [True]
    with pytest.raises(InputError, match="does not exist"):
        cvdvae.load_image(tmp_path / "none.png")


def test_scripts_get_json_and_may_have_silence(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    Image.new("RGB", (4, 4), (90, 120, 150)).save(inputs / "good.png")
    (inputs / "bad.png").write_text("no image")
    arguments = ["upscale", str(inputs), "--model", str(model_folder), "-n", "2"]
    arguments += ["--out", str(tmp_path / "out")]
    assert run(*arguments, "--json", monkeypatch=monkeypatch) == 1
    bad, good = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert bad["input"] == str(inputs / "bad.png")
    assert "is not an image" in bad["error"]
    assert good["folder"] == str(tmp_path / "out" / "good")
    assert good["round_trip_exact"] == [True, True]
    assert run(*arguments, "--quiet", monkeypatch=monkeypatch) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert all("error:" in line for line in said.err.strip().splitlines())


def test_an_evaluation_gives_an_object_for_every_image(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    photos.mkdir()
    for i in range(2):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")

    def judges(path: Path | None) -> Judges:
        print("Downloading: …")
        return Judges(None, None, {"LPIPS": "why"})

    monkeypatch.setattr(Judges, "load", judges)
    models = str(model_folder).replace("-x4", "-x{scale}")
    arguments = ["evaluate", "--data", str(photos), "--out", str(tmp_path / "o"), "-n", "2"]
    arguments += ["--models", models, "--scales", "4", "--temperatures", "0.8"]
    assert run(*arguments, "--json", monkeypatch=monkeypatch) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["image"] for one in found] == ["0.png", "1.png"]
    assert [row["method"] for row in found[0]["rows"]] == ["bicubic", "cvdvae", "cvdvae"]
    assert run(*arguments, "--quiet", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr() == ("", "")


def test_the_version_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--version", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == f"cvdvae {cvdvae.__version__}\n"


def test_a_digest_follows_its_file(model_folder: Path) -> None:
    before = digest(model_folder)
    assert digest(model_folder) == before
    shake(model_folder)
    assert digest(model_folder) != before


def test_models_share_the_networks_of_the_same_weights_where_they_are_to(
    model_folder: Path, y: torch.Tensor
) -> None:
    name = str(model_folder)
    alone = load(name)
    with shared_networks():
        first, second = load(name), load(name)
        shake(model_folder / "prior")
        with pytest.raises(WeightsError, match="other weights"):
            load(name)
        other = load_prior(model_folder / "prior")
    networks = [model.networks for model in (alone, first, second)]
    assert all(a is b for a, b in zip(networks[1], networks[2], strict=True))
    assert all(a is not b for a, b in zip(networks[0], networks[1], strict=True))
    assert other not in networks[1]
    assert torch.equal(*(model.upscale(y, samples=1).pixels for model in (alone, second)))


def test_the_lowest_numpy_that_is_declared_is_one_that_works() -> None:
    """Before 2.0, every draw raised a TypeError: there, a uint64 could not be shifted by an int."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert '"numpy>=2.' in text


def test_a_recipe_in_hand_is_drawn_again_as_its_file_is(
    model_folder: Path, y: torch.Tensor, tmp_path: Path
) -> None:
    result = load(str(model_folder)).upscale(y, samples=1)
    result.save(tmp_path / "out")
    path = tmp_path / "out" / "result.json"
    for told in (path, str(path), read_recipe(path)):
        assert torch.equal(replay(told, trust=True).pixels, result.pixels)
        with pytest.raises(InputError, match="none of the bundled ones"):
            replay(told)


def test_a_restoration_is_drawn_again_by_the_model_that_it_names(tmp_path: Path) -> None:
    model = load_restorer(str(saved_restorer(tmp_path / "tiny")))
    result = model.restore(torch.full((3, 16, 16), 0.5), "noise", samples=1, noise=0.1)
    result.save(tmp_path / "out")
    path = tmp_path / "out" / "result.json"
    assert torch.equal(replay(path, trust=True).pixels, result.pixels)
    with pytest.raises(InputError, match="none of the bundled ones"):
        replay(path)


def test_what_was_given_stays_where_its_result_goes(tmp_path: Path) -> None:
    """Also where an earlier result has written it, and where this one fails."""
    report = {"model": "tiny", "samples": 1, "seed": 0, "files": ["mean.png", "input.png"]}
    (tmp_path / "result.json").write_text(json.dumps(report))
    mean, given = tmp_path / "mean.png", tmp_path / "input.png"
    mean.write_bytes(b"old")
    given.write_bytes(b"given")

    def fail_half_way() -> None:
        names = ["mean.png", "input.png", "std.png"]
        with saved_files(tmp_path, names, lambda: report, (given,)):
            assert not mean.exists()
            mean.write_bytes(b"half")
            (tmp_path / "std.png").write_bytes(b"whole")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert (mean.read_bytes(), given.read_bytes()) == (b"old", b"given")
    assert not (tmp_path / "std.png").exists()
    with saved_files(tmp_path, ["mean.png"], lambda: report | {"seed": 1}, (given,)):
        assert given.read_bytes() == b"given"
        mean.write_bytes(b"new")
    assert (mean.read_bytes(), given.read_bytes()) == (b"new", b"given")
    assert json.loads((tmp_path / "result.json").read_text())["seed"] == 1
    again = saved_files(tmp_path, ["mean.png"], lambda: report, (mean,))
    with pytest.raises(OccupiedError, match=r"mean\.png is there already"), again:
        pytest.fail("it would be written over")
    assert mean.read_bytes() == b"new"


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path: Path) -> None:
    left = {"files": ["sample_07.png", "notes.png", "../sample_07.png"]}
    for name in ("sample_07.png", "notes.png"):
        (tmp_path / name).write_bytes(b"x")
    assert not is_result(tmp_path)
    (tmp_path / ".unfinished.json").write_text(json.dumps(left))
    assert is_result(tmp_path)
    told = {"model": "tiny", "samples": 1, "seed": 0}
    with saved_files(tmp_path, ["mean.png"], lambda: told):
        begun = json.loads((tmp_path / ".unfinished.json").read_text())
        assert begun == {"files": ["mean.png"]}
        (tmp_path / "mean.png").write_bytes(b"x")
    held = {path.name for path in tmp_path.iterdir()}
    assert held == {"notes.png", "mean.png", "result.json"}
    assert is_result(tmp_path)


@pytest.mark.parametrize(("samples", "goes"), [(10_000, True), (10_001, False)])
def test_a_result_of_before_the_list_has_as_many_pictures_as_it_may(
    samples: int, goes: bool, tmp_path: Path
) -> None:
    told = {"model": "tiny", "samples": samples, "seed": 0}
    (tmp_path / "result.json").write_text(json.dumps(told))
    last = tmp_path / "sample_9999.png"
    last.write_bytes(b"x")
    with saved_files(tmp_path, ["input.png"], lambda: told):
        pass
    assert last.exists() != goes


def test_four_pixels_of_one_value_are_made_to_violate_it_least() -> None:
    """Random signs of so few pixels have a mean of zero, from which no power method gets away."""
    H, start = BicubicDownscaling.of_scale((2, 2), 2), torch.full((1, 1, 2, 2), 0.5)
    assert float(H.A(start)) == pytest.approx(0.5)
    assert largest_eigenvalue(H, start) == pytest.approx(1.1 / 4, rel=1e-4)
    least = violate_least(H, start, torch.full((1, 1, 1, 1), 2.0), (2, 3))
    torch.testing.assert_close(least, torch.ones_like(start))
    still = Within(H, torch.zeros_like(start, dtype=torch.bool))
    assert torch.equal(violate_least(still, start, torch.ones(1, 1, 1, 1), (2, 3)), start)
