"""Geometric self-ensemble: orientations, noise that stays in its places, and their samples."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import (
    tiny_flow,
    tiny_photo_restorer,
    tiny_photos,
    tiny_resolver,
    tiny_restorer,
)
from torch import Tensor

import cvdvae.restoration.tiles as tiling
from cvdvae.batch.finding import NOTE
from cvdvae.batch.run import local, run_batch
from cvdvae.batch.settings import Settings
from cvdvae.batch.sources import open_source
from cvdvae.damage.described import parse
from cvdvae.degradations.mask import Mask
from cvdvae.errors import InputError
from cvdvae.gaussian.noise import FieldNoise, Window, noise_for
from cvdvae.restoration.believing import Belief
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import Resample
from cvdvae.restoration.part import PartDrawing
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import Seen, degraded
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.self_ensemble import EVERY, MIRRORED, Orientation, OrientedNoise
from cvdvae.restoration.settings import Restoring, Sampling

MODELS: dict[str, Callable[[], SuperResolver]] = {
    "hvae": tiny_resolver, "flow": tiny_flow, "photos": lambda: tiny_photos(2),
}  # fmt: skip
RESTORERS: dict[str, Callable[[], Restorer]] = {
    "bound": tiny_restorer, "any size": tiny_photo_restorer,
}  # fmt: skip


def image(height: int, width: int) -> Tensor:
    x = torch.rand(3, height, width, generator=torch.Generator().manual_seed(2))
    return torch.round((0.3 + 0.4 * x) * 255) / 255


def test_the_orientations_are_the_eight_of_a_square() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    seen = {(one.of(x).shape, tuple(one.of(x).flatten().tolist())) for one in EVERY}
    assert len(seen) == len(EVERY) == 8
    assert all(torch.equal(one.undone(one.of(x)), x) for one in EVERY)
    assert EVERY[0] == MIRRORED[0] == Orientation()
    assert torch.equal(Orientation().of(x), x)
    assert torch.equal(MIRRORED[1].of(x), x.flip(-1))


@pytest.mark.parametrize("one", EVERY)
def test_noise_stays_in_its_places(one: Orientation) -> None:
    window, upright = Window(32, 16, 16, 64), torch.empty(2, 3, 8, 32)
    turned = OrientedNoise(FieldNoise(0, [3, 4], window), one)
    field, like = FieldNoise(0, [3, 4], window), one.of(upright)
    assert torch.equal(one.undone(turned.normal(like)), field.normal(upright))
    assert torch.equal(one.undone(turned.uniform(like)), field.uniform(upright))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("one", [EVERY[1], EVERY[5]], ids=["mirrored", "turned"])
def test_the_mean_over_orientations_turns_with_the_input(kind: str, one: Orientation) -> None:
    """Σ T⁻¹ d(T y) knows no orientation, however little d cares: at temperature 0 there is nothing
    else in it."""
    model = MODELS[kind]()
    known = model.orientations
    if one not in known:
        assert known == MIRRORED
        return
    y = image(8, 16) if model.any_size else image(model.lr_size, model.lr_size)
    how = Sampling(len(known), 0.0, encoder_temperature=0.0, consistent=False, self_ensemble=True)

    def mean(y: Tensor, how: Sampling) -> Tensor:
        return model.draw(y, how).double().mean(0)

    off = one.of(mean(y, how)) - mean(one.of(y), how)
    assert float(off.abs().max()) < 1e-5
    alone = replace(how, self_ensemble=False)
    off = one.of(mean(y, alone)) - mean(one.of(y), alone)
    assert float(off.abs().max()) > 1e-3


@pytest.mark.parametrize("kind", RESTORERS)
def test_so_does_that_of_what_is_restored(kind: str) -> None:
    model = RESTORERS[kind]()
    one = MIRRORED[1] if model.side else EVERY[5]
    x = image(16, 16) if model.side else image(16, 24)
    hole = torch.ones(x.shape[1:], dtype=torch.bool)
    hole[3:9, 2:7] = False
    how = Restoring(len(EVERY), 0.0, self_ensemble=True)

    def mean(one: Orientation, how: Restoring) -> Tensor:
        H = Mask(one.of(hole))
        return model.run(Seen(H.A(one.of(x)[None]), H, 0.0), how).samples.double().mean(0)

    off = one.of(mean(Orientation(), how)) - mean(one, how)
    assert float(off.abs().max()) < 1e-4
    alone = replace(how, self_ensemble=False)
    assert float((one.of(mean(Orientation(), alone)) - mean(one, alone)).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_a_sample_depends_on_its_number_and_is_exact(kind: str) -> None:
    model = MODELS[kind]()
    y = image(7, 5) if model.any_size else image(model.lr_size, model.lr_size)
    alone = model.upscale(y, samples=3, temperature=0.5)
    few = model.upscale(y, samples=3, temperature=0.5, self_ensemble=True)
    many = model.upscale(y, samples=11, temperature=0.5, self_ensemble=True)
    assert torch.equal(many.pixels[:3], few.pixels)
    assert all(many.round_trip_exact)
    assert not few.samples[1].allclose(alone.samples[1], atol=1e-3)
    if not model.any_size:  # y is seen as it is, without rows that are repeated
        assert few.samples[0].allclose(alone.samples[0], atol=1e-4)
    pairs = model.upscale(y, samples=4, temperature=0.5, self_ensemble=True, antithetic=True)
    assert pairs.samples[::2].allclose(few.samples[:2], atol=1e-4)


def test_pairs_that_a_batch_cuts_and_grey_images() -> None:
    model, y = tiny_photos(2), image(24, 20)[:1].expand(3, -1, -1)
    how = Sampling(5, seed=3, antithetic=True, self_ensemble=True)
    result = model.run(y, how)
    assert all(result.round_trip_exact)
    assert bool((result.pixels == result.pixels[:, :1]).all())
    drawing = Drawing(model, y, how)
    drawing.batch = 3  # the second pair is cut by it
    assert result.samples.allclose(torch.cat([part.x for part in drawing.finished()]), atol=1e-4)
    assert len(drawing.turned) == 3  # each orientation is encoded once


def test_tiles_and_parts_draw_what_the_whole_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    model, y = tiny_photos(3), image(31, 37)
    how = Sampling(8, seed=1, self_ensemble=True)
    whole = model.draw(y, how)
    alone = replace(how, consistent=False)  # as the network gives it
    done = model.run(y, alone).pixels
    core = Window(30, 33, 24, 36)
    for i, part in enumerate(PartDrawing(model, y, alone, core).samples()):
        off = part.pixels.int() - done[i, :, 30:54, 33:69].int()
        assert int(off.abs().max()) <= 1
    assert all(part.exact for part in PartDrawing(model, y, how, core).samples())
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 48)
    drawing = Drawing(model, y, how)
    assert len(drawing.tiles) > 4
    assert float((whole - torch.cat(list(drawing.before_finish()))).abs().max()) * 255 < 0.1


def test_what_is_restored_in_tiles_is_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = tiny_photo_restorer(), image(93, 110)
    told = degraded(x, parse("noise"), 0.1)
    how = Restoring(8, 0.7, self_ensemble=True)
    whole = model.run(told, how).samples
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 48)
    assert float((whole - model.run(told, how).samples).abs().max()) * 255 < 0.1


def test_pixels_have_noise_of_their_own() -> None:
    """None of the numbers that the latents were drawn with comes again in the grain."""
    model, like = tiny_restorer(), torch.empty(2, 3, 16, 16)
    assert model.encoder is not None
    told = torch.rand(1, 9, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = noise_for(5, range(2)).normal(like)
    for antithetic in (False, True):
        how = Restoring(2, seed=5, antithetic=antithetic, self_ensemble=True)
        belief = Belief(model.prior, model.encoder, told, how)
        _, noise = belief.draw(range(2))
        of_pixels = noise.normal(like)
        drawn = torch.corrcoef(torch.stack([*of_pixels.flatten(1), *latents.flatten(1)]))
        assert float(drawn[0, 1]) == pytest.approx(-1.0 if antithetic else 0.0, abs=0.15)
        assert float(drawn[:2, 2:].abs().max()) < 0.15


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(InputError, match="no latent groups in common"):
        Sampling(4, self_ensemble=True).then(Resample(sample=1, groups=1, seed=5))
    with pytest.raises(InputError, match="leave self-ensemble or moves out"):
        Restoring(2, moves=2, self_ensemble=True)
    with pytest.raises(InputError, match="self ensemble"):
        Sampling(4, self_ensemble="yes")  # type: ignore[arg-type]


def test_a_folder_is_drawn_so_and_one_from_before_goes_on(
    model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(tmp_path / "in" / "a.png")
    source, engine = open_source(str(tmp_path / "in")), local(1)
    settings = Settings(samples=2, check=False)
    for name, how in (("alone", settings), ("turned", replace(settings, self_ensemble=True))):
        run_batch(source, tmp_path / name, str(model_folder), how, engine=engine)
    drawn = [
        np.asarray(Image.open(next((tmp_path / name).rglob("a/sample_01.png"))))
        for name in ("alone", "turned")
    ]
    assert (drawn[0] != drawn[1]).any()
    note = tmp_path / "alone" / NOTE
    before = json.loads(note.read_text())
    assert before.pop("self_ensemble") is False
    note.write_text(json.dumps(before))
    assert (
        run_batch(source, tmp_path / "alone", str(model_folder), settings, engine=engine).before
        == 1
    )
