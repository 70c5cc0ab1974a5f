"""Samples in opposite pairs: each is a draw like any other, and their mean hardly errs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import saved_restorer, tiny_flow, tiny_photos, tiny_resolver, tiny_restorer

from cvdvae.analysis.calibration import calibration
from cvdvae.batch.finding import NOTE
from cvdvae.batch.run import local, run_batch
from cvdvae.batch.settings import Settings
from cvdvae.batch.sources import open_source
from cvdvae.errors import InputError
from cvdvae.gaussian.noise import (
    CELL,
    AntitheticNoise,
    FieldNoise,
    NoiseOfPart,
    SeededNoise,
    Window,
    noise_for,
)
from cvdvae.restoration.edits import Blend, Resample
from cvdvae.restoration.recipe import Recipe, recipe_from_text
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.settings import Sampling, ddof

MODELS: dict[str, Callable[[], SuperResolver]] = {
    "hvae": tiny_resolver, "flow": tiny_flow, "photos": lambda: tiny_photos(2),
}  # fmt: skip


def lr_image(model: SuperResolver) -> torch.Tensor:
    side = model.lr_size if not model.any_size else 6
    x = torch.rand(3, side, side, generator=torch.Generator().manual_seed(2))
    return torch.round((0.4 + 0.2 * x) * 255) / 255


def test_a_pair_draws_what_one_sample_would_and_its_negative() -> None:
    like = torch.empty(5, 3, 4, 4)
    pairs = AntitheticNoise(lambda indices: SeededNoise(3, indices), range(2, 7))
    alone = SeededNoise(3, [1, 2, 3])
    normal, uniform = pairs.normal(like), pairs.uniform(like)
    expected, share = alone.normal(like[:3]), alone.uniform(like[:3])
    assert torch.equal(normal[::2], expected)
    assert torch.equal(normal[1::2], -expected[:2])
    assert torch.equal(uniform[::2], share)
    assert torch.equal(uniform[1::2], 1 - share[:2])


def test_a_tile_draws_what_the_whole_would() -> None:
    def of(window: Window, indices: list[int]) -> AntitheticNoise:
        return AntitheticNoise(lambda pairs: FieldNoise(0, pairs, window), indices)

    whole = of(Window(0, 0, 80, 96), [3]).normal(torch.empty(1, 2, 40, 48))
    tile = of(Window(32, 16, 16, 64), [2, 3]).normal(torch.empty(2, 2, 8, 32))
    assert torch.equal(tile[1], whole[0, :, 16:24, 8:40])
    assert torch.equal(tile[0], -tile[1])


@pytest.mark.parametrize("antithetic", [False, True])
def test_a_part_of_a_field_is_drawn_without_the_rest(
    antithetic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = list[int]()

    class Counted(np.random.Philox):
        def __init__(self, key: np.ndarray, counter: list[int]) -> None:
            cells.append(counter[1])
            super().__init__(key=key, counter=counter)

    monkeypatch.setattr(np.random, "Philox", Counted)
    size, window = (CELL * 3, CELL * 2), Window(2 * CELL, 0, 2 * 3 * CELL, 2 * 2 * CELL)
    whole, field = (noise_for(5, [2, 3], window, antithetic) for _ in range(2))
    part = NoiseOfPart(field, size, (slice(CELL, CELL + 9), slice(3, CELL)))
    like = torch.empty(2, 4, 9, CELL - 3)
    for draw in ("normal", "uniform", "normal"):
        cells.clear()
        expected = getattr(whole, draw)(torch.empty(2, 4, *size))
        every = len(cells)
        cells.clear()
        got = getattr(part, draw)(like)
        assert torch.equal(got, expected[:, :, CELL : CELL + 9, 3:CELL])
        assert 6 * len(cells) == every  # one cell of six


def test_independent_noise_is_left_as_it_is() -> None:
    like = torch.empty(2, 3)
    noise = noise_for(0, [0, 1])
    assert torch.equal(noise.normal(like), SeededNoise(0, [0, 1]).normal(like))


@pytest.mark.parametrize("kind", MODELS)
def test_the_first_of_each_pair_is_an_independent_sample(kind: str, one_thread: None) -> None:
    model = MODELS[kind]()
    y = lr_image(model)
    alone = model.upscale(y, samples=2, temperature=0.5)
    assert not model.sampling(4).antithetic
    assert not tiny_restorer().restoring().antithetic
    pairs = model.upscale(y, samples=4, temperature=0.5, antithetic=True)
    assert torch.equal(pairs.samples[::2], alone.samples)
    assert all(pairs.round_trip_exact)
    assert len({one.numpy().tobytes() for one in pairs.pixels}) == 4


@pytest.mark.parametrize("kind", MODELS)
def test_the_mean_of_a_pair_errs_in_second_order_only(kind: str) -> None:
    model = MODELS[kind]()
    y = lr_image(model)

    def error(temperature: float, antithetic: bool) -> float:
        sampling = model.sampling(2, temperature, 0, temperature, False, antithetic=antithetic)
        middle = model.sampling(1, 0.0, 0, 0.0, consistent=False)
        mean = model.draw(y, sampling).double().mean(0)
        return float((mean - model.draw(y, middle)[0].double()).norm())

    # Halving τ halves the error of two independent samples, and quarters that of a pair.
    assert error(0.08, False) / error(0.04, False) == pytest.approx(2, rel=0.2)
    assert error(0.04, True) < max(error(0.08, True) / 2.5, 1e-5)  # a tiny flow is all but linear
    assert error(0.04, True) < error(0.04, False) / 10


def test_their_variance_is_estimated_without_bias() -> None:
    model = tiny_restorer()
    y = torch.full((3, 16, 16), 0.5)
    spread = {
        pairs: torch.stack(
            [
                model.restore(
                    y, "noise", 4, noise=0.5, temperature=0.05, seed=seed, antithetic=pairs
                ).std
                for seed in range(60)
            ]
        )
        .square()
        .mean()
        for pairs in (False, True)
    }
    assert spread[True] == pytest.approx(float(spread[False]), rel=0.05)


@pytest.mark.parametrize(
    ("kept", "antithetic", "expected"),
    [
        (range(4), True, 0),
        (range(5), True, 1 / 5),
        ([0, 2], True, 1),
        ([0, 2, 3], True, 1 / 3),
        ([1, 2], True, 1),
        (range(4), False, 1),
        ([0], False, 1),
    ],
)
def test_variance_is_unbiased_whichever_samples_are_kept(
    kept: list[int], antithetic: bool, expected: float
) -> None:
    assert ddof(kept, antithetic) == expected
    like = torch.empty(6, 200_000)
    noise = noise_for(0, range(6), antithetic=antithetic)
    drawn = noise.normal(like)[list(kept)]
    if len(kept) > 1:
        assert drawn.var(0, correction=expected).mean() == pytest.approx(1, abs=0.01)


def test_there_is_no_walk_between_the_two_of_a_pair() -> None:
    pairs = Sampling(samples=4, antithetic=True)
    with pytest.raises(InputError, match="samples 0 and 1 are opposite"):
        pairs.then(Blend(first=0, last=1))
    walk = pairs.then(Blend(first=0, last=3))
    assert pairs.pairs
    assert not walk.pairs  # what lies on a walk has no partner
    assert Sampling(samples=4).then(Blend(first=0, last=1)).ddof(range(4)) == 1
    further = walk.then(Blend(first=0, last=1))  # neighbours on a walk are not opposite
    with pytest.raises(InputError, match="samples 2 and 3 are opposite"):
        further.then(Resample(sample=0, groups=1, seed=0)).then(Blend(first=2, last=3))


def test_calibration_refuses_pairs(resolver: SuperResolver) -> None:
    with pytest.raises(InputError, match="independent samples"):
        calibration(resolver, [], Sampling(samples=4, antithetic=True))


def test_steered_samples_come_back_from_their_address(resolver: SuperResolver) -> None:
    y = lr_image(resolver)
    sampling = resolver.sampling(4, antithetic=True).then(Resample(sample=1, groups=1, seed=5))
    result = resolver.run(y, sampling)
    recipe = recipe_from_text(Recipe("tiny", y, sampling).to_text())
    assert recipe.sampling == sampling
    again = resolver.run(recipe.y, recipe.sampling)
    assert torch.equal(again.pixels, result.pixels)
    before = resolver.run(y, sampling.before())
    assert torch.equal(before.samples[::2], resolver.upscale(y, samples=2).samples)


def test_restored_pairs_are_opposite_and_chains_are_not_paired() -> None:
    model = tiny_restorer()
    y = torch.full((3, 16, 16), 0.5)
    alone = model.restore(y, "hole:side=6", 2)
    pairs = model.restore(y, "hole:side=6", 4, antithetic=True)
    assert torch.equal(pairs.samples[::2], alone.samples)
    assert not torch.equal(pairs.samples[1], pairs.samples[0])
    with pytest.raises(InputError, match="leave antithetic or moves out"):
        model.restore(y, "hole:side=6", 2, moves=2, antithetic=True)


@pytest.mark.parametrize("option", ["antithetic", "self_ensemble"])
def test_the_commands_draw_so_and_draw_it_again(
    option: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slope = np.linspace(40, 200, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    Image.fromarray(slope[::4, ::4].copy()).save(tmp_path / "y.png")
    Image.fromarray(slope).save(tmp_path / "x.png")
    flag = "--" + option.replace("_", "-")
    restorer = saved_restorer(tmp_path / "restorer")
    ways = {
        "upscale": ("y.png", "--model", str(model_folder)),
        "restore": ("x.png", "--model", str(restorer), "--degradation", "blur:sigma=1"),
    }
    for command, (file, *options) in ways.items():
        out, again = tmp_path / command, tmp_path / f"{command}-again"
        given = (str(tmp_path / file), flag, "--samples", "4", "--out", str(out))
        assert run(command, *given, *options, monkeypatch=monkeypatch) == 0
        (said,) = out.rglob("result.json")
        assert json.loads(said.read_text())[option] is True
        replay = ("replay", str(said), "--out", str(again), "--trust-model")
        assert run(*replay, monkeypatch=monkeypatch) == 0
        for i in range(4):
            name = f"sample_{i:02d}.png"
            assert (again / name).read_bytes() == (said.parent / name).read_bytes()


def test_a_folder_is_drawn_in_pairs_and_one_from_before_goes_on(
    model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(tmp_path / "in" / f"{name}.png")
    source, engine = open_source(str(tmp_path / "in")), local(1)
    settings = Settings(samples=4, check=False)
    for name, how in (("alone", settings), ("pairs", replace(settings, antithetic=True))):
        run_batch(source, tmp_path / name, str(model_folder), how, engine=engine)
    first, pairs = (
        [
            np.asarray(Image.open(next((tmp_path / name).rglob(f"a/sample_0{i}.png"))))
            for i in (0, 1)
        ]
        for name in ("alone", "pairs")
    )
    assert (first[0] == pairs[0]).all()
    assert (first[1] != pairs[1]).any()

    note = tmp_path / "alone" / NOTE
    before = json.loads(note.read_text())
    assert before.pop("antithetic") is False
    note.write_text(json.dumps(before))
    again = run_batch(source, tmp_path / "alone", str(model_folder), settings, engine=engine)
    assert again.before == 2
