"""Restoration: samples behind what any linear degradation has left."""

import base64
import io
import json
import math
import pickle
import re
import textwrap
import time
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command import run
from PIL import Image
from tiny import RESTORING, matrix_of, saved_restorer, tiny_photo_restorer, tiny_restorer

from cvdvae.checkpoints.records import Recommended
from cvdvae.damage.described import parse
from cvdvae.damage.jpeg_file import read_jpeg
from cvdvae.damage.packed import pack, pack_numbers
from cvdvae.degradations.base import LinearOperator, cut_as
from cvdvae.degradations.block_dct import ROUNDING, BlockDCT
from cvdvae.degradations.blur import Blur, gaussian
from cvdvae.degradations.composed import Composed, jpeg_at_end
from cvdvae.degradations.natural import natural_estimate
from cvdvae.domains import DOMAINS
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.errors import ConfigError, InputError, WeightsError
from cvdvae.evaluation.measure import Judges
from cvdvae.evaluation.measure import Seen as Judged
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import MAX_PIXELS, Loaded, to_bytes, to_pil, to_tensor
from cvdvae.restoration import restorer as restoring
from cvdvae.restoration import saving, sheet
from cvdvae.restoration.ending import Ending, GreyNoise
from cvdvae.restoration.evidence import (
    MOST_NOISE,
    NOISE_UNIT,
    _noise_of_a_pixel,
    _signs,
    conditions,
    evidence,
)
from cvdvae.restoration.finish import Finished
from cvdvae.restoration.load import load, load_restorer
from cvdvae.restoration.posterior.chains import PosteriorSamples, sample_posterior
from cvdvae.restoration.posterior.measurement import Measurement
from cvdvae.restoration.posterior.sweeps import proposal_by_sweeps
from cvdvae.restoration.recipe import read_recipe
from cvdvae.restoration.restored import packed, restoration_from_dict, unpacked
from cvdvae.restoration.restorer import Restorer, _ended
from cvdvae.restoration.restoring import Seen, seen, shown, usual_noise
from cvdvae.restoration.restoring import degraded as made_of
from cvdvae.restoration.result import psnr
from cvdvae.restoration.settings import Restoring
from cvdvae.restoration.tolerance import (
    Count,
    NoiseLevel,
    measured,
    misfit,
    nearest_explaining,
    within_noise,
)

SIDE = 16


def picture(seed: int = 0, side: int = SIDE) -> torch.Tensor:
    x = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(x, (side, side), mode="bicubic").clamp(0, 1)
    return torch.round(x * 255) / 255


def degraded(words: str, sigma: float = 0.0) -> torch.Tensor:
    H = parse(words).operator((SIDE, SIDE))
    y = H.A(picture())
    return y + sigma * torch.randn(y.shape, generator=torch.Generator().manual_seed(3))


WAYS = ["hole:side=6", "random:keep=0.5,seed=1", "downscale:scale=4", "grey", "bayer:pattern=RGGB"]


@pytest.mark.parametrize("words", WAYS)
def test_samples_give_back_exactly_what_was_exactly_seen(words: str) -> None:
    y = torch.round(degraded(words) * 255) / 255
    result = tiny_restorer().restore(y, words, samples=3)
    assert result.sigma == 0
    if words != "grey":  # a rounded luminance may be that of no 8-bit colours
        assert all(result.explains)
    assert result.samples.shape == (3, 3, SIDE, SIDE)
    assert result.samples.min() >= 0
    assert result.samples.max() <= 1


@pytest.mark.parametrize("words", ["blur:sigma=1.5", "downscale:scale=2", "hole:side=6", "noise"])
def test_samples_explain_noise_no_worse_than_the_truth(words: str) -> None:
    model = tiny_restorer()
    model.pixel_std = 200.0  # the network's image may be left freely, so y alone counts
    free = model.restore(degraded(words, 0.05), words, samples=4, noise=0.05)
    assert max(free.misfit) < 1.15  # above 1 by what [0, 1] takes away


@pytest.mark.parametrize("words", ["blur:sigma=1", "downscale:scale=2", "noise", "jpeg:quality=60"])
def test_a_network_that_is_too_sure_gives_way_to_what_was_seen(words: str) -> None:
    x = 0.3 + 0.4 * picture(side=32)
    told = made_of(x[0], parse(words), None if "jpeg" in words else 0.02, 3)
    wrong = x + 0.08 * picture(seed=5, side=32) - 0.04
    sure = Measurement(told.y, told.degradation, 0.2 / 255, told.sigma)
    near = torch.cat([x, wrong])
    count = int(measured(told.degradation, told.y).sum())

    def off(images: torch.Tensor) -> torch.Tensor:
        return misfit(told.degradation.A(images) - told.y, count, told.sigma)

    found = nearest_explaining(near, sure, count)
    assert not within_noise(off(sure.draw(near)), count)[1]
    assert within_noise(off(found), count).all()
    assert off(found)[1] > 0.7  # no nearer to y than it takes
    assert torch.equal(found[0], sure.draw(x)[0])  # what explains y stays


@pytest.mark.parametrize("level", [0.3, 0.5, 1.5 / 255])
def test_what_lies_between_two_levels_is_explained_by_either(level: float) -> None:
    result = tiny_photo_restorer().restore(torch.full((3, 16, 16), level), "hole:side=4", samples=2)
    assert result.explains == [True, True]


@pytest.mark.parametrize(
    "words", ["blur:sigma=1", "box:side=5", "motion:length=7", "jpeg:quality=98"]
)
def test_what_an_image_with_black_and_white_explains_is_explained(words: str) -> None:
    """Where pixels are clipped the widest p(x|z) does not reach y: steps within [0, 1] do."""
    x = torch.round((4 * picture(side=32) - 1.5).clamp(0, 1) * 255) / 255
    told = made_of(x[0], parse(words), None)
    count = told.count
    measurement = Measurement(told.y, told.degradation, 10 / 255, told.sigma)
    mean = x + 0.02 * torch.randn(2, *x.shape[1:], generator=torch.Generator().manual_seed(4))

    def off(images: torch.Tensor) -> torch.Tensor:
        saved = to_bytes(images).float() / 255
        return misfit(told.degradation.A(saved) - told.y, count, told.sigma)

    assert within_noise(off(x), count).all()
    assert within_noise(off(nearest_explaining(mean, measurement, count)), count).all()


def written_page(side: int) -> torch.Tensor:
    """Black on white, ``(1, 3, H, W)``: all of it is at a border of [0, 1]."""
    strokes = torch.rand(1, 1, side // 2, side // 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate((strokes > 0.3).float(), (side, side)).expand(1, 3, side, side)


@pytest.mark.parametrize(
    ("words", "sigma"),
    [("downscale:scale=2", 0.005), ("downscale:scale=4", 0.005), ("jpeg:quality=90", None),
     ("blur:sigma=1.5", 0.002), ("hole:side=12 + downscale:scale=4", None)],
)  # fmt: skip
def test_however_far_the_network_is_an_image_that_fits_is_found(
    words: str, sigma: float | None
) -> None:
    x = written_page(48)
    told = made_of(x[0], parse(words), sigma)
    measurement = Measurement(told.y, told.degradation, 10 / 255, told.sigma)
    for mean in (1 - x, torch.full_like(x, 0.5), Blur((48, 48), gaussian(2.0)).A(x)):
        saved = to_bytes(nearest_explaining(mean, measurement, told.count)).float() / 255
        shadow = cut_as(told.y, told.degradation.A(saved), told.sigma)
        assert within_noise(misfit(shadow - told.y, told.count, told.sigma), told.count).all()


@pytest.mark.parametrize(("words", "most"), [("blur:sigma=1", 200), ("motion:length=9", 150)])
def test_what_no_image_comes_near_to_is_soon_given_up(words: str, most: int) -> None:
    """A sharp and noisy picture, taken for a blurred one: no number of steps would do."""
    H, products = parse(words).operator((48, 48)), []

    class Counted:
        def A(self, x: torch.Tensor) -> torch.Tensor:
            products.append(1)
            return H.A(x)

        def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return H.A_adjoint(y)

    grain = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    y = (picture(side=48) + 0.05 * grain).clamp(0, 1)
    found = nearest_explaining(y, Measurement(y, Counted(), 10 / 255, 0.005), y.numel())
    off = misfit(H.A(to_bytes(found).float() / 255) - y, y.numel(), 0.005)
    assert not within_noise(off, y.numel())
    assert len(products) < most


def test_a_hole_is_filled_and_the_rest_stays() -> None:
    y = degraded("hole:side=6")
    result = tiny_restorer().restore(y, "hole:side=6", samples=4)
    inside = result.std[5:11, 5:11]
    assert inside.mean() > 0.01
    known = torch.ones(SIDE, SIDE, dtype=torch.bool)
    known[5:11, 5:11] = False
    assert result.std[known].max() < 1e-6


def test_a_sample_depends_on_the_seed_and_its_index_alone() -> None:
    model, y = tiny_restorer(), degraded("blur:sigma=1", 0.02)
    many = model.restore(y, "blur:sigma=1", samples=6, noise=0.02, seed=4)
    few = model.restore(y, "blur:sigma=1", samples=2, noise=0.02, seed=4)
    assert torch.equal(many.pixels[:2], few.pixels)
    other = model.restore(y, "blur:sigma=1", samples=2, noise=0.02, seed=5)
    assert not torch.equal(other.pixels, few.pixels)


def test_grain_adds_what_the_network_leaves_to_chance() -> None:
    model, y = tiny_restorer(), degraded("hole:side=10")
    model.pixel_std = 20.0
    smooth = model.restore(y, "hole:side=10", samples=24, noise=0.01, temperature=0.0)
    grainy = model.restore(y, "hole:side=10", samples=24, noise=0.01, temperature=0.0, grain=True)
    assert smooth.std.max() < 1e-6
    inside = grainy.samples[:, :, 5:11, 5:11]
    assert inside.std(0).mean() == pytest.approx(20 / 255, rel=0.2)


def test_grain_after_moves_is_independent_of_what_the_chains_began_with() -> None:
    """p(x|z, y) is drawn from with numbers of its own, also where z was drawn with the seed's."""
    mean = torch.zeros(2, 3, 8, 8)
    nothing = torch.zeros(2, 1)
    ends = PosteriorSamples([], mean, nothing, nothing > 0, nothing[:, 0], 0)
    _, noise = _ended(ends, 5, range(2))
    with_seed = SeededNoise(5, range(2)).normal(mean)
    assert torch.equal(_ended(ends, 5, range(1))[1].normal(mean[:1]), noise.normal(mean)[:1])
    assert abs(float((_ended(ends, 5, range(2))[1].normal(mean) * with_seed).mean())) < 0.2


def test_chains_measure_where_the_networks_compute() -> None:
    model, what = tiny_restorer(), seen(degraded("blur:sigma=1"), "blur:sigma=1", 0.02)
    model.to("meta", torch.float32)
    assert model._measurement(what).y.device.type == "meta"


class Dimmed(torch.nn.Module):
    """Of somebody else, with its numbers in a buffer; complex ones stay complex."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(0.5))
        self.register_buffer("phase", torch.tensor(1j))

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.get_buffer("factor")

    A_adjoint = A_dagger = A


def test_an_operator_of_others_goes_where_the_chains_move() -> None:
    model, what = tiny_restorer(), seen(degraded("noise"), Dimmed(), 0.02)
    theirs = what.degradation
    assert isinstance(theirs, Dimmed)
    assert model._measurement(what).degradation is theirs
    model.to("meta", torch.float32)
    moved = model._measurement(what).degradation
    assert isinstance(moved, Dimmed)
    assert {b.device.type for b in moved.buffers()} == {"meta"}
    assert moved.get_buffer("phase").is_complex()
    assert {b.device.type for b in theirs.buffers()} == {"cpu"}


def test_chains_are_refused_where_there_is_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Apple's GPUs, named here; samples without chains are drawn."""
    model, measurement = tiny_restorer(), Restorer._measurement

    def there(self: Restorer, what: Seen) -> Any:
        y = SimpleNamespace(device=torch.device("mps"))
        return SimpleNamespace(**vars(measurement(self, what)) | {"y": y})

    monkeypatch.setattr(Restorer, "_measurement", there)
    with pytest.raises(InputError, match=r"'mps' has no float64, .* cpu"):
        model.restore(degraded("noise"), "noise", samples=1, noise=0.1, moves=2)
    assert len(model.restore(degraded("noise"), "noise", samples=1, noise=0.1).pixels) == 1


def test_a_prior_alone_has_the_width_of_its_own_gaussian() -> None:
    """Where it has one: of a mixture no width is that of all pixels."""
    for name in ("photos", "nuclei", "celeba64"):
        model = load_restorer(name)
        assert model.pixel_std == (model.prior.likelihood.std or 10)
    assert load_restorer("photos").pixel_std == 2.5


def test_moves_bring_the_chains_nearer_to_what_was_seen() -> None:
    model, y = tiny_restorer(), degraded("downscale:scale=2", 0.02)
    result = model.restore(y, "downscale:scale=2", samples=4, noise=0.02, moves=30)
    assert result.diagnostics is not None
    assert result.diagnostics.log_w_gain > 0
    assert len(result.diagnostics.acceptance) == 4
    alone = type(model)(model.prior, None, "prior")
    assert alone.restore(y, "downscale:scale=2", noise=0.02, moves=5).samples.shape[0] == 8
    with pytest.raises(InputError, match="need moves"):
        alone.restore(y, "downscale:scale=2")


def test_a_result_is_drawn_again_from_its_file(tmp_path: Path) -> None:
    model, y = tiny_restorer(), degraded("blur:sigma=1", 0.03)
    result = model.restore(y, "blur:sigma=1 + random:keep=0.6,seed=2", noise=0.03, samples=3)
    result.save(tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == set(result.files)
    recipe = restoration_from_dict(json.loads((tmp_path / "result.json").read_text()), "there")
    assert torch.equal(model.run(recipe.seen, recipe.restoring).pixels, result.pixels)


def test_a_recipe_of_upscale_is_none_of_a_restoration(tmp_path: Path) -> None:
    tiny_restorer().restore(degraded("noise"), "noise", samples=1, noise=0.1).save(tmp_path)
    with pytest.raises(InputError, match=r"is of a restoration, which cvdvae\.replay draws again"):
        read_recipe(tmp_path / "result.json")


def test_a_jpeg_is_explained_by_its_own_rounding() -> None:
    x = picture()
    result = tiny_restorer().run(made_of(x[0], parse("jpeg:quality=40")), Restoring(2))
    assert isinstance(result.degradation, BlockDCT)
    assert result.sigma == ROUNDING
    assert (result.y[None] - result.degradation.A(x)).abs().max() <= 0.5 + 1e-3


def test_the_truth_behind_a_jpeg_has_the_misfit_of_the_documentation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Below 1: a coefficient that is rounded to 0 loses less than one that is rounded anywhere."""
    page = (Path(__file__).parents[1] / "docs" / "restore.md").read_text()
    promises = page.split("## What a sample promises")[1].split("\n## ")[0]
    told = promises.split("```python\n")[1].split("```")[0]
    exec(textwrap.dedent(told), {})
    found = dict(line.split() for line in capsys.readouterr().out.splitlines())
    said = re.findall(r"\d+(?:\.\d+)?", told.split("for quality in ")[1].split("\n")[0])
    assert [*found, *(f"{float(one):.2f}" for one in found.values())] == said


def test_the_usual_noise_is_nought_only_where_y_can_be_given_back() -> None:
    for words in WAYS:
        assert usual_noise(parse(words).operator((SIDE, SIDE))) == 0
    assert usual_noise(parse("blur:sigma=1").operator((SIDE, SIDE))) == pytest.approx(
        0.289 / 255, 1e-2
    )


def test_what_a_hole_left_of_a_shrunken_picture_does_not_wreck_the_truth() -> None:
    """Values that see little but the hole: their rounding would be multiplied by a thousand."""
    x = picture(side=64)
    told = made_of(x[0], parse("hole:side=18 + downscale:scale=4"))
    found = Ending(told, Restoring(), 10 / 255).of(x, SeededNoise(0, [0])).x
    assert told.sigma == pytest.approx(ROUNDING / 255)
    assert float((found - x).square().mean().sqrt()) * 255 < 10


@pytest.mark.parametrize("after", ["", " + downscale:scale=2"])
def test_what_a_valid_blur_kept_is_shown_in_its_place(after: str) -> None:
    """The image lies there as it is where a blur leaves it: on a slope."""
    x = torch.linspace(0.2, 0.8, SIDE).expand(1, 3, SIDE, SIDE)
    words = "box:side=5,boundary=valid" + after
    what = seen(parse(words).operator((SIDE, SIDE)).A(x), words, 0.01)
    before = shown(what)
    assert before.shape == (3, SIDE, SIDE)
    apart = (before - x[0]).abs()
    assert float(apart[:, 4:12, 4:12].max()) < 0.01
    assert float((before[:, :, [0, 1, -2, -1]] - 0.5).abs().max()) < 1e-6
    assert float((before[:, [0, 1, -2, -1]] - 0.5).abs().max()) < 1e-6


def test_a_hole_in_a_shrunken_picture_is_shown_grey() -> None:
    told = made_of(torch.full((3, 64, 64), 0.9), parse("downscale:scale=4 + hole:side=8"))
    picture = shown(told)
    assert picture.shape == (3, 64, 64)
    assert torch.allclose(picture[:, 28:36, 28:36], torch.tensor(128 / 255), atol=1e-6)
    assert float(picture.min()) > 0.4


@pytest.mark.parametrize(
    ("words", "as_it_is"),
    [("grey", True), ("grey + blur:sigma=1", True), ("downscale:scale=2 + grey", True),
     ("grey + jpeg:quality=40", True), ("grey + downscale:scale=2 + jpeg:quality=40", True),
     ("bayer", False), ("jpeg:quality=40", False)],
)  # fmt: skip
def test_what_only_the_luminance_is_left_of_is_shown_in_grey(words: str, as_it_is: bool) -> None:
    x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    told = made_of(x, parse(words))
    for what in (told, seen(told.y, told.degradation, told.sigma)):  # in words, and without any
        picture = shown(what)
        assert picture.shape == x.shape
        assert torch.equal(picture, picture[:1].expand(3, -1, -1)) == as_it_is
        if as_it_is and told.y.shape[2:] == x.shape[1:]:
            assert torch.allclose(picture[:1], told.y[0], atol=1e-6)


class Halved(LinearOperator):
    """Nothing is said of its colours."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return y / 2

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        return 2 * y


def test_colours_that_may_be_mixed_are_not_taken_for_grey() -> None:
    grey = torch.full((3, SIDE, SIDE), 0.25)
    assert seen(grey, Blur((SIDE, SIDE), gaussian(1.0))).is_grey
    for H in (Halved(), Composed(Halved(), Blur((SIDE, SIDE), gaussian(1.0)))):
        told = seen(grey, H)
        assert not told.is_grey
        assert told.sigma == ROUNDING / 255


@pytest.mark.parametrize("words", ["jpeg:quality=75", "downscale:scale=2 + jpeg:quality=75"])
def test_of_a_jpeg_less_noise_than_its_rounding_is_refused(words: str) -> None:
    """0.02 of a quantization step is not what anybody means by it; what is stiffer is free."""
    x = picture()[0]
    for noise in (0.0, 0.02, ROUNDING - 1e-9):
        with pytest.raises(InputError, match="the rounding of its coefficients: leave the noise"):
            seen(x, "jpeg:quality=75", noise)
    for noise in (0.02, 0.5):
        with pytest.raises(InputError, match="the rounding of its coefficients: leave the noise"):
            made_of(x, parse(words), noise)
    told = made_of(x, parse(words))
    assert told.sigma == ROUNDING
    for noise in (ROUNDING, 0.5):
        assert seen(told.y, told.degradation, noise).sigma == noise


def test_what_is_measured_is_what_a_mask_leaves() -> None:
    told = seen(torch.ones(3, SIDE, SIDE), "hole:side=6")
    assert measured(told.degradation, told.y).sum() == 3 * (SIDE**2 - 36)
    assert told.y[0, :, 7, 7].abs().max() == 0  # what a picture shows in its hole says nothing


@pytest.mark.parametrize(
    ("words", "side"), [("half:side=left + blur:sigma=1", 32), ("jpeg:quality=30", 17)]
)
def test_what_round_off_leaves_is_not_measured(words: str, side: int) -> None:
    H = parse(words).operator((side, side))
    truly = matrix_of(H, (3, side, side)).abs().amax(1) > 1e-9
    y = H.A(picture(side=side))
    told = seen(y, H)
    assert torch.equal(measured(H, y).flatten(), truly)
    assert told.y.flatten()[~truly].abs().max() == 0
    jpeg = jpeg_at_end(H)
    if jpeg is not None:
        held = seen(jpeg.rounded(picture(side=side)), H)
        again = unpacked(packed(held.y[0], jpeg), "there", jpeg)
        assert "jpeg" in packed(held.y[0], jpeg)
        assert torch.equal(seen(again[None], H).y, held.y)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0", "4:0:0"])
def test_chroma_that_a_grey_image_cannot_have_counts_nowhere(subsampling: str) -> None:
    """Its errors are 0: they would make every misfit smaller than it is."""
    grey = picture().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    words = f"jpeg:quality=75,subsampling={subsampling}"
    result = tiny_restorer().restore(grey, words, samples=2)
    told = seen(grey, words)
    assert told.is_grey
    assert result.measured == Ending(told, Restoring(), 10 / 255).count == SIDE**2
    finished = Finished(result.samples, result.pixels, torch.zeros(2, dtype=torch.bool))
    judges = Judges(None, None, {})
    level = NoiseLevel(result.sigma)
    judged = Judged(finished, result.y, grey[0], result.degradation, judges, level)
    assert judged.misfit.tolist() == pytest.approx(result.misfit, rel=1e-3)
    luma = result.degradation.A(result.pixels.float() / 255)[:, : SIDE**2] - result.y[: SIDE**2]
    assert luma.square().mean(1).sqrt() / told.sigma == pytest.approx(result.misfit, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "share"), [("noise", 1.0), ("blur:sigma=1", 1.0), ("half:side=left", 0.5)]
)
def test_what_stands_in_all_colours_of_a_grey_picture_was_measured_once(
    words: str, share: float
) -> None:
    """With one noise: three times as much would be known of it, and a true image ruled out."""
    model, sigma, times = tiny_restorer(), 0.05, 40
    x = (0.3 + 0.4 * picture()).mean(1, keepdim=True)
    H, m = parse(words).operator((SIDE, SIDE)), int(share * SIDE**2)
    noise = torch.randn(times, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    ys = H.A(x) + sigma * (H.A(noise) if words == "half:side=left" else noise)
    told = seen(ys[:1].expand(-1, 3, -1, -1), words, sigma)
    assert told.is_grey
    assert told.count == m
    true = x.expand(-1, 3, -1, -1)
    misfits = torch.cat([misfit(H.A(true) - y.expand(3, -1, -1), told.count, sigma) for y in ys])
    assert misfits[0] == pytest.approx(float(misfit(H.A(x) - ys[:1], m, sigma)), rel=1e-5)
    assert within_noise(misfits, told.count).all()
    result = model.run(told, Restoring(2))
    assert result.measured == m
    judges = Judges(None, None, {})
    finished = Finished(result.samples, result.pixels, torch.zeros(2, dtype=torch.bool))
    level = NoiseLevel(result.sigma)
    judged = Judged(finished, result.y, true[0], result.degradation, judges, level)
    assert judged.misfit.tolist() == pytest.approx(result.misfit, rel=1e-3)
    alone = H.A(result.pixels[:, :1].float() / 255) - told.y[:, :1]
    assert misfit(alone, m, sigma).tolist() == pytest.approx(result.misfit, rel=1e-3)


@pytest.mark.parametrize("words", ["noise", "blur:sigma=1", "downscale:scale=2"])
def test_chains_learn_a_grey_picture_once(words: str) -> None:
    model, s, sigma = tiny_restorer(), 10 / 255, 0.05
    x, mean = ((0.3 + 0.4 * picture(i)).mean(1, keepdim=True) for i in (0, 1))
    H = parse(words).operator((SIDE, SIDE))
    told = seen(H.A(x).expand(-1, 3, -1, -1), words, sigma)
    once = Measurement(told.y[:, :1], H, s, sigma).fit(mean)
    found = model._measurement(told).fit(mean.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found.log_likelihood, once.log_likelihood, rtol=1e-4, atol=0)
    slope = found.gradient.sum(1, keepdim=True)  # along what changes all colours alike
    torch.testing.assert_close(slope, once.gradient, rtol=1e-3, atol=1e-3)
    coloured = seen(H.A(picture()), words, sigma)
    direct = Measurement(coloured.y, H, s, sigma).fit(picture(1))
    assert torch.equal(model._measurement(coloured).fit(picture(1)).gradient, direct.gradient)


@pytest.mark.parametrize("size", [[-4, -4], [0, 16], [10**5, 10**5]])
def test_a_recipe_of_no_or_of_any_size_is_refused(size: list[int], tmp_path: Path) -> None:
    y = degraded("random:keep=0.5,seed=0")
    tiny_restorer().restore(y, "random:keep=0.5,seed=0", samples=1).save(tmp_path)
    report = json.loads((tmp_path / "result.json").read_text()) | {"size": size}
    with pytest.raises(InputError, match=f"of {size[1]}×{size[0]} pixels"):
        restoration_from_dict(report, "result.json")


def test_a_recipe_that_unpacks_more_than_its_image_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_restorer().restore(degraded("hole:side=4"), "hole:side=4", samples=1).save(tmp_path)
    report = json.loads((tmp_path / "result.json").read_text())
    stream = io.BytesIO()
    Image.new("1", (400, 400)).save(stream, "PNG")
    bomb = {"png": base64.b64encode(stream.getvalue()).decode()}
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="damaged input"):
        restoration_from_dict(report | {"input": bomb}, "result.json")
    mask = {"kind": "mask", "file": "m.png", "packed": pack(torch.ones(32, 32, dtype=torch.bool))}
    with pytest.raises(InputError, match="a mask is larger than the image"):
        restoration_from_dict(report | {"degradation": {"steps": [mask]}}, "result.json")


def test_what_was_seen_survives_as_text() -> None:
    for y in (picture()[0], picture()[0] + 0.001, torch.randn(100)):
        assert torch.equal(unpacked(packed(y), "there"), y)
    with pytest.raises(InputError, match="damaged"):
        unpacked({"npy": "AAAA"}, "there")


@pytest.mark.parametrize(
    "words", ["jpeg:quality=80,subsampling=4:4:4", "jpeg:quality=80", "grey + blur:sigma=1", "blur"]
)
def test_what_is_unpacked_has_as_many_values_as_was_seen_of_such_an_image(words: str) -> None:
    told = made_of(picture(side=64)[0], parse(words), in_8_bits=False)
    assert told.description is not None
    report = {"model": "tiny", "weights": "", "dtype": "fp32", **vars(Restoring())}
    report |= {"degradation": told.description.to_dict(), "noise": told.sigma, "size": [64, 64]}
    report["input"] = packed(told.y[0], jpeg_at_end(told.degradation))
    again = restoration_from_dict(report, "result.json")
    assert again is not None
    assert torch.equal(again.seen.y, told.y)
    report["input"] = packed(torch.full((3, 64, 80), 0.001))
    with pytest.raises(InputError, match="holds a damaged input"):
        restoration_from_dict(report, "result.json")
    assert 4 / 3 * 3 * 4 * MAX_PIXELS < saving.MAX_BYTES  # in base64


@pytest.mark.parametrize("quality", [30, 85, 90])
def test_what_a_jpeg_file_holds_takes_two_bytes_a_number(quality: int, tmp_path: Path) -> None:
    """Although y has the middle grey in it, which is no whole number of steps."""
    written(tmp_path / "a.jpg", picture(side=64), quality=quality)
    file = read_jpeg(tmp_path / "a.jpg")
    told = made_of(picture(side=64)[0], parse(f"jpeg:quality={quality}"))
    for y, H in ((file.y[0], file.operator), (told.y[0], jpeg_at_end(told.degradation))):
        held = packed(y, H)
        assert torch.equal(unpacked(held, "there", H), y)
        assert len(zlib.decompress(base64.b64decode(held["jpeg"]))) <= 2 * y.numel() + 128
    assert "npy" in packed(file.y[0] + 0.3, file.operator)


@pytest.mark.parametrize(
    ("subsampling", "padded"), [("4:2:0", (32, 48)), ("4:2:2", (24, 48)), ("4:4:4", (24, 40))]
)
def test_a_result_whose_luma_was_padded_as_chroma_is_read(
    subsampling: str, padded: tuple[int, int]
) -> None:
    """As results were written once: the blocks that no file holds are dropped."""
    words = f"jpeg:quality=50,subsampling={subsampling}"
    x = F.interpolate(picture(), (24, 40), mode="bicubic").clamp(0, 1)
    told = made_of(x[0], parse(words))
    jpeg = jpeg_at_end(told.degradation)
    assert jpeg is not None
    luma, *chroma = jpeg.in_file(told.y).split([h * w for h, w in jpeg.planes], 1)
    wide = torch.full((padded[0] // 8, padded[1] // 8, 64), 7.0, dtype=torch.float64)
    wide[:3, :5] = luma.view(3, 5, 64)
    before = torch.cat([wide.flatten(), *(part[0] for part in chroma)])
    report = tiny_photo_restorer().run(told, Restoring(1)).report()
    now = report["input"]
    report["input"] = {"jpeg": pack_numbers(before.numpy().astype(np.int16))}
    again = restoration_from_dict(report, "result.json").seen
    assert torch.equal(again.y, told.y)
    assert packed(again.y[0], jpeg) == now
    for wrong in (before[1:], torch.cat([before, before])):
        report["input"] = {"jpeg": pack_numbers(wrong.numpy().astype(np.int16))}
        with pytest.raises(InputError, match="damaged input"):
            restoration_from_dict(report, "result.json")


def test_evidence_says_what_is_known_where() -> None:
    told = seen(picture()[0], "hole:side=6")
    e = evidence(told.degradation, told.y, 0.0)
    assert e.shape[1] == 3 + conditions(3) == 3 + RESTORING.conditions
    constant, detail, noise = e[0, 6], e[0, 7], e[0, 8]
    assert constant[7, 7] == 0
    assert constant[0, 0] == pytest.approx(1, abs=1e-3)
    assert detail[0, 0] > detail[7, 7]
    assert noise.max() == 0
    assert (e[0, :3, 0, 0] - picture()[0, :, 0, 0]).abs().max() < 1e-3
    small = seen(degraded("downscale:scale=4")[0], "downscale:scale=4")
    assert evidence(small.degradation, small.y, 0.0)[0, 7].mean() == pytest.approx(1 / 16, rel=0.3)
    assert evidence(small.degradation, small.y, 0.1)[0, 8].max() > 1  # of a pixel, noise is more


def test_estimates_and_detail_of_a_mask_are_those_of_their_equations() -> None:
    """R is diagonal there: 1/(1 + λ) where a pixel is known, 0 where not."""
    told, sigma = seen(picture()[0], "hole:side=6"), 0.05
    known = (told.degradation.A_adjoint(torch.ones_like(told.y)) > 0).float()
    e = evidence(told.degradation, told.y, sigma, "tikhonov")
    x = told.degradation.A_adjoint(told.y)
    damping = [(sigma / tau) ** 2 + 1e-4 * float(known.mean()) for tau in (0.2, 1.0)]
    for i, of in enumerate(damping):
        wanted = 0.5 + known * (x - 0.5) / (1 + of)
        torch.testing.assert_close(e[:, 3 * i : 3 * i + 3], wanted, atol=2e-4, rtol=0)
    around = F.avg_pool2d(known[:, :1], 9, 1, 4, count_include_pad=False) / (1 + damping[0])
    torch.testing.assert_close(e[:, 7:8], around, atol=2e-4, rtol=0)
    torch.testing.assert_close(e[:, 8], torch.full((1, 16, 16), sigma / 0.1))
    natural = evidence(told.degradation, told.y, sigma)
    assert torch.equal(evidence(told.degradation, told.y, sigma, workers=2), natural)
    torch.testing.assert_close(natural[:, :3], e[:, :3])
    filled = natural_estimate(told.degradation, told.y, sigma)
    torch.testing.assert_close(natural[:, 3:6], filled)
    torch.testing.assert_close(natural[:, 6:], e[:, 6:])


def test_an_encoder_is_told_what_it_was_trained_with(tmp_path: Path) -> None:
    model = tiny_restorer()
    drawn = {}
    for second in ("tikhonov", "natural"):
        folder = saved_restorer(tmp_path / second, replace(model, second_estimate=second))
        loaded = load_restorer(str(folder))
        assert loaded.second_estimate == second
        drawn[second] = loaded.restore(picture()[0], "random:keep=0.5,seed=0", samples=1).samples
    assert not torch.equal(drawn["tikhonov"], drawn["natural"])
    config = tmp_path / "natural" / "config.yaml"
    config.write_text(config.read_text().replace("second_estimate: natural\n", ""))
    older = load_restorer(str(tmp_path / "natural"))  # from before there was a choice
    assert older.second_estimate == "tikhonov"


class Nothing(LinearOperator):
    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :3]

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self.A(y)

    A_dagger = A_adjoint


@pytest.mark.parametrize(
    ("y", "words", "noise", "message"),
    [
        (torch.rand(3, 16, 16), "blur:sigma=-1", None, "sigma"),
        (torch.rand(3, 16, 16), "blur:strength=1", None, "has no 'strength', but boundary, sigma$"),
        (torch.rand(3, 16, 16), "grey:strength=1", None, "has no 'strength', but no settings$"),
        (torch.rand(3, 16, 16), "spell:sigma=1", None, "no kind"),
        (torch.rand(3, 16, 16), "noise", -0.1, "noise"),
        (torch.rand(3, 16, 16), "noise", float("nan"), "noise"),
        (torch.rand(3, 15, 16), "noise", 0.1, "16×16"),
        (torch.rand(3, 16, 16) / 0, "noise", 0.1, "finite"),
        (torch.rand(3, 16, 16), "jpeg:quality=50", 0.0, "leave the noise out"),
        (torch.rand(2, 3, 16, 16), "noise", 0.1, "one image"),
        (torch.rand(3, 16, 16) * 255, "noise", 0.1, r"must be in \[0, 1\]"),
        (torch.rand(3, 16, 16) * 2 - 1, "jpeg:quality=50", None, r"must be in \[0, 1\]"),
        (torch.rand(1, 16, 16), "downscale:scale=4", None, "16×16"),
    ],
)
def test_bad_input_is_one_sentence(
    y: torch.Tensor, words: str, noise: float | None, message: str
) -> None:
    with pytest.raises((InputError, ConfigError), match=message) as caught:
        tiny_restorer().restore(y, words, noise=noise)
    assert "\n" not in str(caught.value)


def test_a_side_that_does_not_divide_is_the_model_s(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen pixels shrunk by 3 are five, and so are fifteen: the model makes sixteen."""
    model = tiny_restorer()
    y = torch.round(degraded("downscale:scale=3") * 255) / 255
    assert y.shape[2:] == (5, 5)
    result = model.restore(y, "downscale:scale=3", samples=2)
    assert result.pixels.shape == (2, 3, SIDE, SIDE)
    assert all(result.explains)
    again = restoration_from_dict(result.report(), "there")
    assert torch.equal(model.run(again.seen, again.restoring).pixels, result.pixels)
    of_jpeg = model.restore(y, "downscale:scale=3 + jpeg:quality=10", samples=1)
    assert of_jpeg.samples.shape[2:] == (SIDE, SIDE)
    for size in ((6, 6), (5, 6)):
        with pytest.raises(InputError, match=f"of 5×5 pixels here, not {size[1]}×{size[0]}"):
            model.restore(torch.rand(3, *size), "downscale:scale=3")
    whole, small = tmp_path / "a.png", tmp_path / "b.jpg"
    written(whole, picture())
    written(small, y, quality=30)  # whose noise even a random network soon explains
    shrunk = ["--degradation", "downscale:scale=3"]
    for name, said in (
        ("1", [str(whole), *shrunk, "--simulate", "--crop", "centre"]),
        ("2", [str(small), *shrunk, "--noise", "0.02"]),
        ("3", [str(small), *shrunk, "--jpeg", "auto"]),
    ):
        told = results_of(folder, tmp_path / name, *said, monkeypatch=monkeypatch)
        assert told["size"] == [SIDE, SIDE]
        assert all(told["explains"])


@pytest.mark.parametrize("y", [Loaded(torch.rand(3, 16, 16), []), np.zeros((3, 16, 16)), "a.png"])
def test_what_is_no_tensor_is_said_to_be_none(y: Any) -> None:
    with pytest.raises(InputError, match=rf"y is a {type(y).__name__}, no tensor: .*load_image"):
        tiny_restorer().restore(y, "blur:sigma=1")


class Pairs(LinearOperator):
    """Sums of two neighbours: no picture."""

    exact = True

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).view(len(x), -1, 2).sum(2)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return y.repeat_interleave(2, 1).view(len(y), 3, SIDE, SIDE)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        return self.A_adjoint(y) / 2


def test_what_is_no_picture_needs_a_noise() -> None:
    y = Pairs().A(picture())
    for noise in (0.0, None):
        with pytest.raises(InputError, match="no picture: name a noise σ above 0"):
            tiny_restorer().restore(y, Pairs(), noise=noise)
    assert len(tiny_restorer().restore(y, Pairs(), samples=2, noise=0.01).pixels) == 2


def test_noise_may_leave_the_range() -> None:
    assert seen(8 * torch.rand(3, 16, 16) - 3.5, "noise", 0.9).y.abs().max() > 3
    assert seen(255 * torch.rand(3, 16, 16), parse("noise").operator((16, 16)), 0.1).y.max() > 99


class InSinglePrecision(LinearOperator):
    def A(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x[:, :, :, 1:], torch.eye(3)[:, :, None, None])

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return F.pad(F.conv2d(y, torch.eye(3)[:, :, None, None]), (1, 0))

    A_dagger = A_adjoint


def test_an_operator_may_take_one_precision_alone() -> None:
    told = seen(torch.rand(3, 16, 15), InSinglePrecision(), 0.1)
    assert measured(told.degradation, told.y).all()
    assert all(tiny_restorer().run(told, Restoring(2)).explains)


def test_an_operator_that_makes_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="another size"):
        seen(torch.rand(3, 16, 16), Nothing())


def test_one_channel_of_a_jpeg_is_a_grey_picture() -> None:
    y = degraded("grey")
    grey, coloured = (seen(one, "jpeg:quality=50").y for one in (y, y.expand(-1, 3, -1, -1)))
    assert torch.equal(grey, coloured)


def test_what_is_seen_without_noise_is_explained_to_half_a_level() -> None:
    """A pixel that was seen and is off by one level is not explained; one that was not is."""
    y = torch.full((1, 3, SIDE, SIDE), 100 / 255)
    result = tiny_restorer().restore(y, "half:side=left", samples=3)
    assert result.sigma == 0
    pixels = result.pixels.clone()
    pixels[1, 0, 3, SIDE - 2] += 1
    pixels[2, 0, 3, 1] ^= 1
    assert replace(result, pixels=pixels).explains == [True, False, True]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder."""
    return saved_restorer(tmp_path / "model")


def written(path: Path, x: torch.Tensor, **options: object) -> Path:
    image = to_pil(to_bytes(x[0]))
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def results_of(folder: Path, out: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    options = ["--model", str(folder), "--out", str(out), "-n", "2"]
    assert run("restore", *arguments, *options, monkeypatch=monkeypatch) == 0
    return json.loads(next(out.glob("*/result.json")).read_text())


def test_the_command_restores_what_a_person_has(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told_of(name: str, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = results_of(
            folder, tmp_path / name, *arguments, monkeypatch=monkeypatch
        )
        return told

    file = written(tmp_path / "a.png", picture())
    hole = torch.zeros(1, 3, SIDE, SIDE)
    hole[..., 4:9, 4:9] = 1
    mask = written(tmp_path / "hole.png", hole)
    told = told_of("1", str(file), "--mask", str(mask))
    assert told["explains"] == [True, True]
    assert told["noise"] == 0
    told = told_of("2", str(file), "--degradation", "blur:sigma=1", "--noise", "auto")
    assert told["noise"] > 0
    compressed = written(tmp_path / "b.jpg", picture(), quality=60)
    told = told_of("3", str(compressed), "--jpeg", "auto")
    assert told["noise"] == pytest.approx(ROUNDING, rel=0.01)
    assert "quality 60" in capsys.readouterr().out
    grey = tmp_path / "grey.png"
    to_pil(to_bytes(picture()[0])).convert("L").save(grey)
    told = told_of("4", str(grey), "--degradation", "grey")
    assert told["degradation"]["steps"][0]["kind"] == "grey"


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("jpeg", ["75", "auto"])
def test_a_jpeg_of_what_was_made_grey_has_samples_in_colour(
    mode: str,
    jpeg: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grey = to_pil(to_bytes(0.3 + 0.4 * picture()[0])).convert("L").convert(mode)
    grey.save(tmp_path / "grey.jpg", quality=75)
    said = [str(tmp_path / "grey.jpg"), "--degradation", "grey", "--jpeg", jpeg]
    told = results_of(folder, tmp_path / "out", *said, monkeypatch=monkeypatch)
    assert told["explains"] == [True, True]
    assert [step["kind"] for step in told["degradation"]["steps"]] == ["grey", "jpeg"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "so are its samples" not in printed
    assert ("whose samples are in colour" in printed) == (mode == "L")
    drawn = to_tensor(Image.open(tmp_path / "out" / "grey" / "sample_00.png"))
    assert float((drawn[0] - drawn[1]).abs().max()) > 0.05
    again = ["replay", str(tmp_path / "out" / "grey" / "result.json"), "--trust-model"]
    assert run(*again, "--out", str(tmp_path / "again"), monkeypatch=monkeypatch) == 0
    assert torch.equal(to_tensor(Image.open(tmp_path / "again" / "sample_00.png")), drawn)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_chroma_that_nothing_can_be_seen_in_does_not_count_as_noise(subsampling: str) -> None:
    """Where grey lies before the JPEG it is a round-off of nought."""
    words = f"grey + jpeg:quality=50,subsampling={subsampling}"
    like, sigma = torch.zeros(1, 3, 16, 32), 0.01
    H = parse(words).operator((16, 32))
    luma = H.A(next(_signs(like, 1)))[:, : 16 * 32]
    expected = sigma / NOISE_UNIT / float(luma.square().mean()) ** 0.5
    assert expected < MOST_NOISE
    assert _noise_of_a_pixel(H, like, sigma) == pytest.approx(expected, rel=1e-3)


def test_the_command_degrades_an_intact_picture_and_compares(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "a.png", picture(side=40))
    told = results_of(
        folder, tmp_path / "1", str(file), "--simulate", "--crop", "centre", "--noise", "0.05",
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert told["truth"] is not None
    again = tmp_path / "again"
    recipe = next((tmp_path / "1").glob("*/result.json"))
    replayed = ["replay", str(recipe), "--out", str(again), "--trust-model"]
    assert run(*replayed, monkeypatch=monkeypatch) == 0
    for name in ("sample_00.png", "mean.png"):
        assert (again / name).read_bytes() == (recipe.parent / name).read_bytes()
    assert run(*replayed[:-1], monkeypatch=monkeypatch) == 1  # a model that is not bundled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what happened"),
        (["--noise", "loud"], "--noise is a number"),
        (["--noise", "-0.1"], "from 0 to 1"),
        (["--jpeg", "auto", "--noise", "0.1"], "leave --noise out"),
        (["--jpeg", "auto", "--mask", "hole.png"], "what lay in the hole went into the JPEG"),
        (["--degradation", "noise"], "say how noisy it is"),
        (["--noise", "0"], "say how noisy it is"),
        (["--degradation", "blur:sigma=1,sigma=2"], "'blur' is told its sigma twice"),
        (["--jpeg", "auto"], "JPEG"),
        (["--degradation", "blur:sigma=0"], "sigma"),
        (["--degradation", "blur:sigma=1", "--moves", "5", "-t", "0"], "cannot move"),
        (["--degradation", "steps.yaml"], "steps.yaml"),
        (["--mask", "nothing.png"], "nothing.png"),
        (["--degradation", "downscale:scale=4"], "16×16"),
        (["--noise", "auto", "--simulate"], "nothing can be estimated"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    folder: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = written(tmp_path / "a.png", picture())
    options = ["--model", str(folder), "--out", str(tmp_path / "out"), *arguments]
    assert run("restore", str(file), *options, monkeypatch=monkeypatch) == 1
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not list((tmp_path / "out").glob("*/*.png")) if (tmp_path / "out").exists() else True


def test_a_model_is_named_for_what_it_is(folder: Path, tmp_path: Path) -> None:
    assert load_restorer(str(folder)).encoder is not None
    assert load_restorer(str(folder / "prior")).encoder is None
    with pytest.raises(WeightsError, match="enlarges only"):
        load_restorer("celeba64-x8")
    with pytest.raises(WeightsError, match="restorer") as caught:
        load(str(folder))
    assert "cvdvae restore" in str(caught.value)
    assert "load_prior" not in str(caught.value)


def test_the_bundled_model_is_that_of_the_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, face = tmp_path / "photo.png", tmp_path / "face.png"
    to_pil(to_bytes(picture(side=48)[0, :, :33])).save(photo)
    crop_face(demo_photo()).resize((64, 64)).save(face)

    def told_of(name: str, path: Path, *options: str) -> dict[str, Any]:
        out = tmp_path / name
        given = ["restore", str(path), "--degradation", "hole:side=8", "--out", str(out), "-n", "2"]
        assert run(*given, *options, monkeypatch=monkeypatch) == 0
        found: dict[str, Any] = json.loads((out / path.stem / "result.json").read_text())
        return found

    calibrated = told_of("calibrated", photo)
    assert calibrated["model"] == "photos-restore"
    assert calibrated["size"] == [33, 48]
    assert calibrated["explains"] == [True, True]
    tame = told_of("tame", photo, "--look")
    assert tame["temperature"] == load_restorer("photos-restore").recommended.look
    assert tame["temperature"] < calibrated["temperature"]
    assert told_of("simulated", photo, "--simulate")["truth"] is not None  # all of it, no face
    of_face = told_of("face", face, "--domain", "faces")
    assert of_face["model"] == "celeba64-restore"
    assert of_face["explains"] == [True, True]
    capsys.readouterr()
    for options, words in (
        (["--look", "-t", "1"], "of its own"),
        (["--look", "--moves", "3"], "of its own"),
        (["--domain", "cats"], "unknown domain"),
    ):
        given = ["restore", str(photo), "--noise", "0.1", "--out", str(tmp_path / "no"), *options]
        assert run(*given, monkeypatch=monkeypatch) == 1
        assert words in capsys.readouterr().err.replace("\n", " ")


def test_a_domain_without_a_model_that_restores_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(DOMAINS, "cats", replace(DOMAINS["photos"], name="cats", restorer=""))
    given = ["restore", "cat.png", "--noise", "0.1", "--domain", "cats", "--out", str(tmp_path)]
    assert run(*given, monkeypatch=monkeypatch) == 1
    assert "no bundled model restores cats" in capsys.readouterr().err


def test_samples_that_exploded_are_said(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = written(tmp_path / "a.png", picture())
    monkeypatch.setattr("cvdvae.restoration.finish.FAR", -1.0)  # nothing is near enough
    options = ["--model", str(folder), "--out", str(tmp_path / "out"), "-n", "2", "--noise", "0.1"]
    assert run("restore", str(file), *options, monkeypatch=monkeypatch) == 0
    assert "2 of 2 samples exploded" in " ".join(capsys.readouterr().out.split())


def test_a_file_of_too_many_pixels_is_refused_by_upscale_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, options in (("a.png", ["--noise", "0.1"]), ("a.jpg", ["--jpeg", "auto"])):
        file = written(tmp_path / name, picture(side=200))
        given = ["upscale", str(file), "--out", str(tmp_path / "out"), "--max-megapixels", "0.01"]
        assert run(*given, *options, monkeypatch=monkeypatch) == 1
        assert "0.01 megapixels" in " ".join(capsys.readouterr().err.split())


def test_how_to_restore_is_taken_to_its_limits_and_not_beyond() -> None:
    assert tiny_restorer().restoring() == Restoring() == Restoring(8, 1.0, 0, 0, False, False)
    named = (2, 0.5, 3, 4, True, False)
    assert tiny_restorer().restoring(*named) == Restoring(*named)
    model = replace(tiny_restorer(), recommended=Recommended(0.3, 0.7))
    temperatures = [model.restoring(moves=moves).temperature for moves in (0, 5)]
    assert temperatures == [0.7, 1.0]
    assert Restoring(10_000, 0.0, 0, 0).samples == 10_000
    assert Restoring(moves=10_000, temperature=1e-9).moves == 10_000
    for wrong, words in [
        ({"samples": 0}, "at least 1"),
        ({"samples": 10_001}, "at most 10000"),
        ({"seed": -1}, "must not be negative"),
        ({"temperature": -0.1}, "from 0"),
        ({"temperature": math.inf}, "from 0"),
        ({"moves": -1}, "moves must be from 0 to 10000"),
        ({"moves": 10_001}, "moves must be from 0 to 10000"),
        ({"moves": 1, "temperature": 0.0}, "cannot move at temperature 0"),
        ({"moves": 1, "antithetic": True}, "independent of each other"),
        ({"grain": 1}, "grain must be True or False"),
    ]:
        with pytest.raises(InputError, match=words):
            Restoring(**wrong)  # type: ignore[arg-type]
    assert [Restoring(4, antithetic=way).ddof([0, 1, 2]) for way in (False, True)] == [1, 1 / 3]


@pytest.mark.parametrize(
    ("value", "noise", "words"),
    [
        (1.5, None, ""),
        (-0.5, None, ""),
        (1.51, None, r"must be in \[0, 1\]"),
        (-0.51, None, r"must be in \[0, 1\]"),
        (2.09, 0.1, ""),
        (2.11, 0.1, r"must be in \[0, 1\]"),
        (0.5, 1.0, ""),
        (0.5, 1.001, "must be a number from 0 to 1, not 1.001"),
        (0.5, True, "must be a number"),
    ],
)
def test_what_was_seen_lies_within_its_noise_of_an_image(
    value: float, noise: float | None, words: str
) -> None:
    y = torch.full((3, SIDE, SIDE), 0.5)
    y[1, 2, 3] = value
    if words:
        with pytest.raises(InputError, match=words):
            seen(y, "noise", noise)
        return
    told = seen(y, "noise", noise)
    assert torch.equal(told.y[0], y)
    assert told.sigma == (0 if noise is None else noise)
    assert torch.equal(seen(y[None].double(), "noise", noise).y, told.y)
    for wrong in (y[0, 0], y[None, None]):
        with pytest.raises(InputError, match=r"finite floats \(C, h, w\)"):
            seen(wrong, "noise", noise)
    with pytest.raises(InputError, match=r"of which a grey one has one: y\[None\]"):
        seen(y[0], "noise", noise)


@pytest.mark.parametrize("words", ["noise", "downscale:scale=2", "jpeg:quality=50", "grey"])
@pytest.mark.parametrize("size", [(3, 0, 0), (1, 0, 5), (0, 4, 4)])
def test_what_is_empty_is_refused_in_a_sentence(words: str, size: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match=r"finite floats \(C, h, w\), not torch\.float32"):
        seen(torch.rand(size), words)


def test_sizes_are_refused_before_anything_is_made() -> None:
    faces, photos = tiny_restorer(), tiny_photo_restorer()
    moved, drawn = Restoring(1, moves=1), Restoring(1)
    photos.check_size(moved, 500, 500)
    photos.check_size(drawn, 500, 501)
    with pytest.raises(InputError, match="up to 250000 pixels, not 501×500"):
        photos.check_size(moved, 500, 501)
    faces.check_size(moved, SIDE, SIDE)
    for size in ((SIDE, 15), (15, SIDE)):
        with pytest.raises(InputError, match=f"16×16 pixels, not {size[1]}×{size[0]}"):
            faces.check_size(drawn, *size)
    blurred = parse("blur:sigma=0.5,boundary=valid")
    assert photos.check_seen(drawn, blurred, (20, 30)) == blurred.hr_size((20, 30))
    assert faces.check_seen(drawn, blurred, blurred.lr_size((SIDE, SIDE))) == (SIDE, SIDE)
    for model in (faces, photos):
        alone = replace(model, encoder=None)
        assert alone.networks == (model.prior,)
        alone.check_moves(1)
        with pytest.raises(InputError, match="has no encoder: its samples need moves"):
            alone.check_moves(0)


def test_chains_take_an_exact_picture_for_one_that_was_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Any] = []

    def watched(*of: Any) -> PosteriorSamples:
        found.append(of)
        return sample_posterior(*of)

    monkeypatch.setattr(restoring, "sample_posterior", watched)
    y, model = picture()[0], replace(tiny_restorer(), pixel_std=20.0)
    for noise, sigma in ((None, 0.5 / 255), (0.1, 0.1)):
        result = model.restore(y, "hole:side=6", 2, noise, temperature=0.9, moves=2)
        _, propose, measurement, moves, samples, *_ = found.pop()
        assert (measurement.sigma, measurement.copies) == (sigma, 1)
        assert measurement.pixel_std == pytest.approx(20 / 255)
        assert (moves.moves, moves.temperature, moves.batch, samples) == (2, 0.9, 4, 2)
        assert propose().size == propose().crop == (SIDE, SIDE)
        assert result.diagnostics is not None
        assert len(result.diagnostics.acceptance) == 2
        assert result.report()["chains"]["r_hat"] is not None
    alone = replace(model, encoder=None).restore(y, "hole:side=6", 1, moves=5)
    assert alone.pixels.shape == (1, 3, SIDE, SIDE)
    decoder, propose, measurement, moves, *_ = found.pop()
    assert moves.moves == 3
    swept = proposal_by_sweeps(decoder, measurement, (SIDE, SIDE), (SIDE, SIDE), 1.0, 2)
    begun = [of(SeededNoise(0, [0]), 1, lambda: None).latents for of in (propose, swept)]
    assert all(torch.equal(*pair) for pair in zip(*begun, strict=True))
    assert alone.diagnostics is not None
    assert math.isfinite(gain := alone.diagnostics.log_w_gain)
    assert gain != 0


@pytest.mark.parametrize(("samples", "rows"), [(2, [2]), (8, [4, 4]), (9, [8, 1])])
def test_a_restoration_shows_and_tells_what_it_found(
    samples: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, y = picture(seed=5)[0], picture()[0]
    began = time.perf_counter()
    drawn = tiny_restorer().restore(y, "hole:side=6", samples, truth=truth, seed=3)
    assert 0 < drawn.seconds <= time.perf_counter() - began
    result, tiles = replace(drawn, seconds=2.34567), list[Any]()
    told = result.report()
    assert (told["seconds"], told["noise"], told["size"]) == (2.346, 0, [SIDE, SIDE])
    assert (told["samples"], told["seed"], told["chains"]) == (samples, 3, None)
    assert told["truth"]["mean_psnr"] == psnr(result.mean, truth)
    assert told["truth"]["bicubic_psnr"] == psnr(result.shown, truth)
    assert told["truth"]["sample_psnr"] == [
        psnr(one.double() / 255, truth) for one in result.pixels
    ]
    off = [(result.degradation.A(one[None] / 255) - result.y).square() for one in result.pixels]
    known = result.degradation.A(torch.ones(1, 3, SIDE, SIDE)).bool().sum()
    wanted = [float((one.sum() / known).sqrt()) for one in off]
    assert told["misfit"] == pytest.approx(wanted, rel=1e-3)
    assert told["files"] == [*(f"sample_0{i}.png" for i in range(samples)),
                             "mean.png", "std.png", "seen.png", "grid.png"]  # fmt: skip
    assert Image.open(io.BytesIO(result._repr_png_())).size == result.grid().size
    monkeypatch.setattr(sheet, "labelled_sheet", lambda found, footer: tiles.extend(found))
    result.grid()
    assert [name for name, _ in tiles[0]] == ["seen", "mean", "where they differ", "the real image"]
    assert [len(row) for row in tiles[1:]] == rows
    assert [row[0][0] for row in tiles[1:]] == ["sample 0", f"sample {rows[0]}"][: len(rows)]
    for (_, tile), image in zip(tiles[0][::3], (result.shown, truth), strict=True):
        assert np.array_equal(np.asarray(tile), to_bytes(image).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("grain", [False, True])
@pytest.mark.parametrize("noise", [None, 0.1])
def test_what_explodes_in_a_restoration_is_marked_and_stays_an_image(
    noise: float | None, grain: bool
) -> None:
    told = seen(picture()[0], "hole:side=6", noise)
    mean = picture(seed=1).repeat(3, 1, 1, 1)
    mean[1] = math.nan
    mean[2, 0, 5, 5] = 2.1
    done = Ending(told, Restoring(3, grain=grain), 5 / 255).of(mean, SeededNoise(0, range(3)))
    assert done.exploded.tolist() == [False, True, True]
    assert bool(((done.x >= 0) & (done.x <= 1)).all())
    assert done.pixels.dtype == torch.uint8
    hole = (slice(None), slice(5, 11), slice(5, 11))
    assert bool((done.x[1][hole] - 0.5).abs().mean() < 0.05)
    assert bool(((done.x[0] - mean[0])[hole].abs().mean() > 0.005) == grain)


def test_noise_in_grey_is_that_of_the_first_colour() -> None:
    like = torch.empty(2, 3, 4, 5)
    for kind in ("normal", "uniform"):
        grey = getattr(GreyNoise(SeededNoise(7, range(2))), kind)(like)
        first = getattr(SeededNoise(7, range(2)), kind)(like)[:, :1]
        assert torch.equal(grey, first.expand(-1, 3, -1, -1))


def test_a_sample_explains_noise_up_to_three_standard_deviations() -> None:
    assert within_noise(torch.tensor([0.0, 2.0, 2.001]), 2).tolist() == [True, True, False]
    error = torch.full((2, 3, 2, 1), 0.1)
    error[1] *= 2
    assert misfit(error, 6, 0.05).tolist() == pytest.approx([2, 4])
    assert misfit(error, Count(2, 6), 0.05).tolist() == pytest.approx([2, 4])
    assert misfit(torch.zeros(1, 3, 2, 1), 0, 0.05).tolist() == [0]


def test_a_result_that_was_judged_can_be_sent_to_another_process() -> None:
    found = tiny_restorer().run(made_of(picture()[0], parse("grey")), Restoring(samples=1))
    assert len(found.explains) == 1
    again = pickle.loads(pickle.dumps(found))
    assert (again.measured, vars(again.measured)) == (SIDE**2, {"numbers": SIDE**2})
    assert again.misfit == found.misfit


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AssertionError])
def test_what_an_operator_of_single_precision_measured_is_judged_in_it(
    error: type[Exception],
) -> None:
    """Its round-off, some 1e-8 where nothing was measured, is no measurement."""
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(1)))[0]
    half = (torch.arange(64) < 32).float()

    class Single:
        def A(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype != torch.float32:
                raise error("float32 alone")
            seen: torch.Tensor = (x.flatten(1) @ turn) @ turn.T * half
            return seen.view(x.shape)

        A_adjoint = A

    assert int(measured(Single(), torch.rand(1, 1, 8, 8)).sum()) == 32


def test_evidence_of_a_small_picture_has_the_neighbours_that_there_are() -> None:
    told = seen(picture()[0, :, :3, :9], "hole:top=0,left=5,height=2,width=3")
    known = torch.ones(1, 1, 3, 9)
    known[:, :, :2, 5:8] = 0
    e = evidence(told.degradation, told.y, 0.0)
    around = F.avg_pool2d(known, 5, 1, 2, count_include_pad=False)
    torch.testing.assert_close(e[:, 7:8], around, atol=2e-4, rtol=0)
    torch.testing.assert_close(e[:, 6:7], known, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("sigma", "found"), [(0.05, 0.5), (0.399, 3.99), (0.401, 4.0), (1.0, 4.0)])
def test_evidence_tells_the_noise_of_a_pixel_up_to_four_tenths(sigma: float, found: float) -> None:
    """Of what is seen alone: a hole says nothing of it."""
    hole = seen(picture()[0], "hole:side=6", 0.1)
    told = evidence(hole.degradation, hole.y, sigma)[0, 8]
    torch.testing.assert_close(told, torch.full((SIDE, SIDE), found))
    shrunk = parse("downscale:scale=2,by=box").operator((SIDE, SIDE))
    like = torch.empty(1, 3, SIDE, SIDE)
    signs = torch.randint(0, 2, like.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    means = F.avg_pool2d(signs, 2)
    power = float(means[means != 0].square().mean())
    wanted = min(4, sigma / 0.1 / power**0.5)
    assert evidence(shrunk, shrunk.A(like * 0 + 0.5), sigma)[0, 8, 0, 0] == pytest.approx(wanted)


def test_estimates_reach_half_beyond_an_image() -> None:
    y = picture()[0]
    y[:, 2:8, 2:8], y[:, 9:15, 9:15] = 3, -2
    told = seen(y, "noise", 0.5)
    e = evidence(told.degradation, told.y, 0.01)
    assert (float(e[0, :6].min()), float(e[0, :6].max())) == (-0.5, 1.5)
    assert e[0, 0, 4, 4] == e[0, 3, 4, 4] == 1.5
    pair = evidence(told.degradation, torch.cat([told.y, told.y.flip(3)]), 0.01)
    assert pair.shape == (2, 9, SIDE, SIDE)
    torch.testing.assert_close(pair[0, :3], e[0, :3])
    torch.testing.assert_close(pair[1, :3].flip(2), e[0, :3])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": [16]}, "its size or its noise is missing"),
        ({"size": [16, 16, 1]}, "its size or its noise is missing"),
        ({"size": [16, 16.0]}, "its size or its noise is missing"),
        ({"size": "16"}, "its size or its noise is missing"),
        ({"noise": None}, "its size or its noise is missing"),
        ({"noise": "0.1"}, "its size or its noise is missing"),
        ({"model": None}, "is damaged$"),
        ({"weights": 3}, "is damaged$"),
        ({"dtype": "fp8"}, "is damaged$"),
        ({"input": {"npy": "AAAA"}}, "holds a damaged input"),
        ({"input": None}, "holds a damaged input"),
        ({"input": packed(torch.full((3, 16, 16), math.nan))}, "holds a damaged input"),
        ({"input": packed(torch.rand(3, 16))}, "holds a damaged input"),
        ({"input": {"npy": pack_numbers(np.zeros((3, 16, 16)))}}, "holds a damaged input"),
        ({"degradation": None}, "of an operator that cannot be described"),
    ],
)
def test_a_damaged_report_of_a_restoration_is_refused(changed: dict[str, Any], words: str) -> None:
    y = torch.full((3, SIDE, SIDE), 0.4)
    result = tiny_restorer().restore(y, "noise", samples=1, noise=0.1)
    found = restoration_from_dict(result.report(), "there")
    assert torch.equal(found.seen.y[0], y)
    assert (found.model, found.weights, found.dtype) == ("tiny", "", "fp32")
    assert (found.seen.sigma, found.restoring) == (0.1, Restoring(1))
    with pytest.raises(InputError, match=words):
        restoration_from_dict(result.report() | changed, "there")


def test_a_sample_that_exploded_explains_nothing() -> None:
    result = tiny_restorer().restore(torch.full((3, 16, 16), 0.4), "noise", samples=2, noise=0.1)
    assert result.explains == [True, True]
    gone = replace(result, exploded=[True, False])
    assert gone.explains == gone.report()["explains"] == [False, True]
