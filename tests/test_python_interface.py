"""What Python may hand over: results are their own, and what cannot be meant is refused at once."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import saved_resolver, saved_restorer, tiny_photos, tiny_resolver, tiny_restorer
from torch import Tensor

from cvdvae.batch import Upscaler
from cvdvae.batch.settings import Settings
from cvdvae.checkpoints.folder import find, name_of
from cvdvae.errors import InputError, WeightsError
from cvdvae.imaging.io import to_bytes
from cvdvae.restoration.large import draw_to_folder
from cvdvae.restoration.load import load, load_restorer, replay
from cvdvae.restoration.recipe import read_recipe, recipe_from_dict, recipe_from_text
from cvdvae.restoration.restoring import degraded, seen
from cvdvae.restoration.settings import Restoring, Sampling


@pytest.fixture
def y() -> Tensor:
    """Numbers that 8 bits do not hold."""
    return torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(3)) / 2


def test_a_result_does_not_change_with_what_it_was_made_of(y: Tensor) -> None:
    truth, kept = torch.full((3, 16, 16), 0.5), y.clone()
    result = tiny_resolver().upscale(y, samples=1, truth=truth)
    y.fill_(0.9)
    truth.fill_(0.1)
    assert torch.equal(result.y, kept)
    assert torch.equal(result.recipe.y, kept)
    assert float(result.truth.mean()) == 0.5  # type: ignore[union-attr]
    restored = tiny_restorer().restore(x := torch.full((3, 16, 16), 0.5), "noise", 1, 0.1, truth=x)
    x.fill_(0.9)
    assert float(restored.y.mean()) == float(restored.truth.mean()) == 0.5  # type: ignore[union-attr]


def test_what_needs_gradients_is_drawn_and_saved(y: Tensor, tmp_path: Path) -> None:
    result = tiny_resolver().upscale(y.requires_grad_(), samples=1)
    assert not result.y.requires_grad
    result.save(tmp_path / "x4")
    x = torch.full((3, 16, 16), 0.5, requires_grad=True)
    restored = tiny_restorer().restore(x, "noise", 1, 0.1)
    assert not restored.y.requires_grad
    restored.save(tmp_path / "restored")


def test_any_input_is_read_again(
    y: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tiny_resolver().upscale(y, samples=1)
    result.save(tmp_path)
    data = json.loads((tmp_path / "result.json").read_text())
    assert set(data["input"]) == {"npy"}
    assert torch.equal(read_recipe(tmp_path / "result.json").y, y)
    assert torch.equal(recipe_from_text(result.recipe.to_text()).y, y)
    with pytest.raises(InputError, match=r"8 bits.*cvdvae replay"):
        recipe_from_dict(data, "what the page is given")
    for broken in ({"npy": data["input"]["npy"][:-9]}, {"npy": 3}, {}, {"npy": ""}):
        with pytest.raises(InputError, match="damaged input"):
            recipe_from_dict({**data, "input": broken}, "it", numbers=True)
    monkeypatch.setattr("cvdvae.restoration.recipe.MAX_NUMBERS", 47)
    result.save(tmp_path)
    assert result.files[-1] == "input.npy"
    assert torch.equal(read_recipe(tmp_path / "result.json").y, y)
    (tmp_path / "input.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"says that .*input.npy holds its input"):
        read_recipe(tmp_path / "result.json")
    tiny_resolver().upscale(to_bytes(y).float() / 255, samples=1).save(tmp_path)
    assert not (tmp_path / "input.npy").exists()
    large = draw_to_folder(tiny_photos(2), y, Sampling(1), tmp_path / "large")
    assert "input.npy" in large.files
    assert torch.equal(read_recipe(tmp_path / "large/result.json").y, y)


def test_answers_are_those_of_a_result_at_any_size() -> None:
    model = tiny_photos(2)
    y = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0))
    for sampling in (Sampling(1), Sampling(1, shrunk_by="pillow-lanczos")):
        assert torch.equal(model.answers(y, sampling).pixels, model.run(y, sampling).pixels)


def test_a_folder_may_be_a_path_and_is_stored_absolute(
    y: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved_resolver(tmp_path / "x4")
    saved_restorer(tmp_path / "any")
    for folder in ("x4", Path("x4"), tmp_path / "x4"):
        assert load(folder).name == str(tmp_path / "x4")
    result = load(Path("x4")).upscale(y, samples=1)
    result.save("out")
    again = replay(Path("out/result.json"), trust=True)
    assert again.model == str(tmp_path / "x4")
    assert torch.equal(again.samples, result.samples)
    load_restorer(Path("any")).restore(torch.rand(3, 16, 16), "noise", 1, 0.1).save("any-out")
    assert replay("any-out/result.json", trust=True).model == str(tmp_path / "any")
    assert Upscaler(Path("x4"), Settings(samples=1)).model.name == str(tmp_path / "x4")
    assert name_of("celeba64-x4") == "celeba64-x4"
    assert name_of("user/repository") == "user/repository"
    for missing in (Path("celeba64-x4"), Path("user/repository"), tmp_path):
        with pytest.raises(WeightsError, match="unknown model"):
            find(missing)


WRONG: list[tuple[str, Any]] = [
    *(("samples", bad) for bad in (2.0, "2", None, True, torch.tensor([2]), torch.tensor(2.0))),
    *(("seed", bad) for bad in (1.5, None, "1", False, np.float64(1), torch.tensor([1, 2]))),
    *(("temperature", bad) for bad in ("0.7", None, True, torch.tensor([0.7]), 1j, 10**400)),
]


@pytest.mark.parametrize(("name", "bad"), WRONG)
@pytest.mark.parametrize("settings", [Sampling, Restoring])
def test_settings_of_another_type_are_refused(settings: Any, name: str, bad: Any) -> None:
    kind = "number" if name == "temperature" else "whole number"
    with pytest.raises(InputError, match=f"^{name} must be a {kind}, not "):
        settings(**{name: bad})


def test_flags_moves_and_noise_of_another_type_are_refused() -> None:
    for settings, name in (
        (Sampling, "consistent"),
        (Sampling, "self_ensemble"),
        (Restoring, "grain"),
        (Restoring, "antithetic"),
    ):
        for bad in ("no", 1, None):
            with pytest.raises(
                InputError, match=f"^{name.replace('_', ' ')} must be True or False, not "
            ):
                settings(**{name: bad})  # type: ignore[arg-type, operator]
    with pytest.raises(InputError, match=r"moves must be a whole number, not 2\.5"):
        tiny_restorer().restoring(moves=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="encoder temperature must be a number, not '1'"):
        Sampling(encoder_temperature="1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown way to shrink '3'"):
        Sampling(shrunk_by=3)  # type: ignore[arg-type]
    x = torch.full((3, 16, 16), 0.5)
    for noise in ("0.02", True, torch.tensor([0.02])):
        with pytest.raises(InputError, match="the noise σ must be a number, not "):
            seen(x, "noise", noise)  # type: ignore[arg-type]


def test_numbers_of_tensors_are_stored_as_plain_ones() -> None:
    one = Sampling(torch.tensor(3), torch.tensor(0.5), np.uint8(4), 1, np.bool_(False))  # type: ignore[arg-type]
    assert [type(v) for v in (one.samples, one.seed, one.consistent)] == [int, int, bool]
    assert (type(one.temperature), type(one.encoder_temperature)) == (float, float)
    assert one == Sampling(3, 0.5, 4, 1.0, False)
    how = Restoring(np.int64(2), np.float64(0.5), 1, torch.tensor(3))  # type: ignore[arg-type]
    assert (type(how.moves), type(how.temperature), how) == (int, float, Restoring(2, 0.5, 1, 3))
    told = seen(torch.full((3, 16, 16), 0.5), "noise", torch.tensor(0.25))  # type: ignore[arg-type]
    assert (type(told.sigma), told.sigma) == (float, 0.25)


def test_noise_of_a_simulation_is_a_number() -> None:
    x, described = torch.full((3, 16, 16), 0.5), seen(torch.rand(3, 16, 16), "noise").description
    assert described is not None
    with pytest.raises(InputError, match=r"the noise σ must be a number, not '0\.1'"):
        degraded(x, described, "0.1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (np.zeros((3, 16, 16)), "the truth is a ndarray, no tensor"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), r"float image of shape \(3, 16, 16\)"),
        (torch.zeros(3, 8, 8), r"float image of shape \(3, 16, 16\).*\(3, 8, 8\)"),
        (torch.full((3, 16, 16), 1.5), r"truth must be in \[0, 1\]"),
        (torch.full((3, 16, 16), math.nan), r"truth must be in \[0, 1\]"),
    ],
)
def test_a_truth_that_is_none_is_refused_before_anything_is_drawn(
    truth: Any, words: str, y: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any) -> None:
        raise AssertionError

    model, restorer = tiny_resolver(), tiny_restorer()
    monkeypatch.setattr("cvdvae.restoration.sampler.Drawing", draw)
    monkeypatch.setattr("cvdvae.restoration.large.Drawing", draw)
    monkeypatch.setattr("cvdvae.restoration.restorer.evidence", draw)
    with pytest.raises(InputError, match=words):
        model.upscale(y, samples=1, truth=truth)
    with pytest.raises(InputError, match=words):
        restorer.restore(torch.full((3, 16, 16), 0.5), "noise", 1, 0.1, truth=truth)
    with pytest.raises(InputError, match=words):
        draw_to_folder(model, y, Sampling(1), tmp_path / "out", truth)


def test_the_truth_is_compared_with(y: Tensor) -> None:
    truth = torch.full((3, 16, 16), 0.5, dtype=torch.float64)
    told = tiny_resolver().upscale(y, samples=2, truth=truth).against_truth()
    assert told is not None
    assert len(told.sample_psnr) == 2
