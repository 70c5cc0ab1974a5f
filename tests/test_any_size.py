"""Images of any size: whole, in tiles, and what is saved of them."""

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from tiny import FLOW, tiny_flow, tiny_photos

from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.degradations.strip import sees
from cvdvae.domains.photos import coffee
from cvdvae.errors import InputError, OutputError
from cvdvae.gaussian.noise import FieldNoise, Inside, Noise, Window
from cvdvae.imaging.io import to_bytes, to_tensor
from cvdvae.imaging.png import PNGWriter
from cvdvae.imaging.sheets import heat_map
from cvdvae.restoration import finish as finishing
from cvdvae.restoration import large as large_results
from cvdvae.restoration import tiles as tiling
from cvdvae.restoration.bands import Drawer
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import Blend, Edit, Moment, Resample, ResampleRegion, pack_region
from cvdvae.restoration.finish import finish, finish_in_strips
from cvdvae.restoration.flow import FlowResolver
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.large import LargeResult, draw_to_folder
from cvdvae.restoration.load import load
from cvdvae.restoration.part import PartDrawing, widened
from cvdvae.restoration.recipe import Recipe
from cvdvae.restoration.regions import most_uncertain
from cvdvae.restoration.round_trip import RoundTrip, misfit
from cvdvae.restoration.seams import mended
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.sums import FULL_HEAT, Sums
from cvdvae.restoration.tiles import Tile, tiles


@pytest.fixture
def photos() -> HVAEResolver:
    return tiny_photos(3)


@pytest.fixture
def cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles and strips of images of 150×90 pixels."""
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 48)
    monkeypatch.setattr(finishing, "STRIP_PIXELS", 4000)


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth, as images are: noise is the shadow of no image in range, and hard to project onto."""
    corners = torch.rand(1, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(corners, (height, width), mode="bilinear")[0]
    return torch.round(255 * (0.2 + 0.6 * smooth)) / 255


@pytest.mark.parametrize(("size", "core", "halo"), [((100, 37), 16, 8), ((16, 16), 64, 8)])
def test_cores_cover_the_image_once(size: tuple[int, int], core: int, halo: int) -> None:
    covered = torch.zeros(size, dtype=torch.int)
    for tile in tiles(size, 4, core, halo):
        top, left, height, width = tile.core
        covered[top : top + height, left : left + width] += 1
        window = tile.window
        assert window.top % 4 == window.left % 4 == 0
        assert all(s.start >= 0 for s in tile.inside)
        assert window.top + window.height in (size[0], 4 * ((window.top + window.height) // 4))
        for a, b, side in ((window[0], window[2], size[0]), (window[1], window[3], size[1])):
            assert a >= 0
            assert a + b <= side
    assert bool((covered == 1).all())


def test_a_tile_draws_what_the_whole_draws() -> None:
    """The noise of every group is a function of (seed, sample, group, position)."""
    shapes = [(5, 4), (3, 2), (3, 2)]  # channels and stride of every group
    whole = FieldNoise(3, [0, 7], Window(0, 0, 400, 400))
    fields = [whole.normal(torch.empty(2, c, 400 // s, 400 // s)) for c, s in shapes]
    part = FieldNoise(3, [7], Window(120, 60, 200, 320))
    for (c, s), field in zip(shapes, fields, strict=True):
        got = part.normal(torch.empty(1, c, 200 // s, 320 // s))
        assert torch.equal(got[0], field[1, :, 120 // s : 320 // s, 60 // s : 380 // s])
    flat = torch.cat([field.flatten() for field in fields])
    assert abs(float(flat.mean())) < 0.02
    assert abs(float(flat.std()) - 1) < 0.02
    assert abs(float((fields[1] * fields[2]).mean())) < 0.02  # groups are independent
    uniform = FieldNoise(3, [0], Window(0, 0, 64, 64)).uniform(torch.empty(1, 3, 64, 64))
    assert float(uniform.min()) > 0
    assert abs(float(uniform.mean()) - 0.5) < 0.02


def test_a_window_between_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="no 3×3 positions"):
        FieldNoise(0, [0], Window(0, 0, 8, 8)).normal(torch.empty(1, 1, 3, 3))


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (7, 5), (16, 11)])
def test_any_size_gives_exactly_the_scale(photos: HVAEResolver, size: tuple[int, int]) -> None:
    y = image(*size)
    result = photos.upscale(y, samples=2)
    assert result.pixels.shape == (2, 3, 3 * size[0], 3 * size[1])
    assert all(result.round_trip_exact)


def test_a_sample_depends_on_the_seed_and_its_number_alone(photos: HVAEResolver) -> None:
    y = image(9, 12)
    many, few = photos.upscale(y, samples=9, seed=4), photos.upscale(y, samples=2, seed=4)
    assert torch.equal(many.samples[:2], few.samples)
    assert not torch.equal(many.samples[0], many.samples[1])


STEPS: list[tuple[Edit, ...]] = [
    (),
    (Resample(0, 2, 5),),
    (Blend(0, 1),),
    (ResampleRegion(1, pack_region(torch.eye(96, 120) > 0), 3),),
]


@pytest.mark.parametrize("steps", STEPS)
def test_tiles_differ_from_the_whole_by_less_than_a_grey_level(
    photos: HVAEResolver, steps: tuple[Edit, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    y = image(32, 40)
    sampling = Sampling(samples=2, consistent=False, steps=steps)
    whole = photos.run(y, sampling).samples
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 48)
    top_down = photos.prior.top_down  # random blocks see further than trained ones
    top_down.reach = {stride: 3 * reach for stride, reach in top_down.reach.items()}
    tiled = photos.run(y, sampling).samples
    assert len(list(tiles((96, 120), photos.tile_step))) > 4
    assert float((whole - tiled).abs().max()) * 255 < 0.1
    monkeypatch.setattr(tiling, "HALO", 0)
    assert float((whole - photos.run(y, sampling).samples).abs().max()) * 255 > 0.1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_of_the_bundled_models_differ_from_the_whole_by_less_than_a_grey_level(
    scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A halo of 176 pixels is as much as the trained networks see; one of 48 is not."""
    model = load(f"photos-x{scale}")
    strip = coffee().crop((100, 180, 580, 252))
    y = to_tensor(strip.resize((480 // scale, 72 // scale), Image.Resampling.BICUBIC))
    sampling = model.sampling(samples=1, seed=1)
    (whole,) = Drawing(model, y, sampling).before_finish()
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 64)
    drawing = Drawing(model, y, sampling)
    assert len(drawing.tiles) == (5 if scale == 3 else 7)
    (tiled,) = drawing.before_finish()
    assert float((whole - tiled).abs().max()) * 255 < 0.1
    monkeypatch.setattr(tiling, "HALO", 48)
    (short,) = Drawing(model, y, sampling).before_finish()
    assert float((whole - short).abs().max()) * 255 > 0.2


def test_tiles_of_a_single_sample_are_drawn_side_by_side(
    photos: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 48)
    threads: set[int] = set()
    tile = Drawing.tile
    both = threading.Barrier(2)

    def watched(self: Drawing, indices: range, part: Tile) -> torch.Tensor:
        if self.workers == 2 and threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            both.wait(timeout=60)
        return tile(self, indices, part)

    monkeypatch.setattr(Drawing, "tile", watched)
    drawn = []
    for workers in (1, 2):
        drawing = Drawing(photos, image(50, 30), Sampling(1, seed=2))
        drawing.workers = workers
        drawn += list(drawing.before_finish())
    assert len(threads) == 2
    assert torch.equal(*drawn)


@pytest.mark.parametrize(
    ("core", "halo"), [(32, 8), (16, 40), (16, 0), (64, 16), (200, 8), (None, None)]
)
def test_cores_cover_an_image_once_and_windows_reach_beyond_them(
    core: int | None, halo: int | None
) -> None:
    height, width, step = 93, 154, 16
    covered = torch.zeros(height, width, dtype=torch.int)
    for tile in tiles((height, width), step, core=core, halo=halo):
        window, of = tile.window, tile.core
        covered[of.top : of.top + of.height, of.left : of.left + of.width] += 1
        for start, length, inner, inside, side in (
            (window.top, window.height, of.top, of.height, height),
            (window.left, window.width, of.left, of.width, width),
        ):
            assert start % step == 0
            assert start == max(0, inner - step * math.ceil((halo or 0) / step)) or halo is None
            assert inner + inside <= start + length <= side
    assert bool((covered == 1).all())


@pytest.mark.parametrize("scale", [2, 3])
def test_an_image_is_doubted_at_its_own_size_and_by_its_own_factor(scale: int) -> None:
    model = tiny_photos(scale)
    y = image(9, 15)[None]
    rate, error = model.evidence(torch.cat([y, y.flip(-1)]))
    assert rate.shape == (2,)
    assert error.shape == (2, 3, 9, 15)
    terms, read = [], model.encoder.terms

    def spy(y: torch.Tensor, scale: int | None = None) -> list[torch.Tensor]:
        terms.append(scale)
        return read(y, scale)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.encoder, "terms", spy)
        model.evidence(y)
    assert terms == [scale]


class WithoutFloat64(torch.Tensor):
    """As on Apple's GPUs, until it is fetched."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        asked = (*args, *(kwargs or {}).values())
        if func is torch.Tensor.double or any(one is torch.float64 for one in asked):
            raise TypeError("the device has no float64")
        result = super().__torch_function__(func, types, args, kwargs or {})
        return result.as_subclass(torch.Tensor) if func is torch.Tensor.cpu else result


def test_an_image_can_be_doubted_on_a_device_without_float64(photos: HVAEResolver) -> None:
    y = image(9, 15)[None]
    rate, error = photos.evidence(y.as_subclass(WithoutFloat64))
    assert {type(rate), type(error)} == {torch.Tensor}
    assert {rate.dtype, error.dtype} == {torch.float64}
    for one, same in zip((rate, error), photos.evidence(y), strict=True):
        assert torch.equal(one, same)


def test_a_walk_between_relatives_keeps_what_they_share() -> None:
    """Where two samples have one parent's noise, so have all between them: it stays N(0, 1)."""
    generator = torch.Generator().manual_seed(0)
    shared, own, other = (torch.randn(1, 4, 32, 32, generator=generator) for _ in range(3))
    inside = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    inside[..., :16] = True
    first, last = torch.where(inside, own, shared), torch.where(inside, other, shared)
    places, window = [0.0, 0.25, 0.5, 0.75, 1.0], Window(0, 0, 32, 32)
    moment = Moment(0, own, (first, last), places, window)
    walk = Blend(0, 1).epsilon(moment)
    assert torch.equal(walk[..., 16:], shared[..., 16:].expand(5, -1, -1, -1))
    torch.testing.assert_close(walk[..., :16].std((1, 2, 3)), torch.ones(5), atol=0.06, rtol=0)


def test_another_factor_is_refused() -> None:
    with pytest.raises(InputError, match="enlarges by 2, 3, not by 4"):
        tiny_photos(4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strips_meet_every_row_of_the_input(scale: int) -> None:
    """Bit for bit, in no more than a level from what the whole would be."""
    torch.manual_seed(scale)
    coarse = 0.15 + 0.7 * torch.rand(1, 3, 9, 7)
    truth = torch.nn.functional.interpolate(coarse, (60 * scale, 20 * scale), mode="bicubic")
    degradation = BicubicDownscaling((60 * scale, 20 * scale), (60, 20))
    y = shrink_to_8_bits(truth.clamp(0, 1), degradation)
    x = truth + 0.02 * torch.randn(2, *truth.shape[1:])
    whole = finish(x, y, degradation)
    parts = list(
        finish_in_strips(
            lambda a, b: x[:, :, a:b], y, degradation, strip_pixels=18 * scale * 20 * scale
        )
    )
    assert len(parts) == 3
    pixels = torch.cat([part.pixels for part in parts], 2)
    shrunk = degradation.A(pixels.double() / 255)
    assert torch.equal(to_bytes(shrunk), to_bytes(y).expand(2, -1, -1, -1))
    assert float((shrunk - y).abs().max()) * 255 < 0.5
    apart = (pixels.float() - whole.pixels.float()).abs()
    assert float(apart.mean()) < 0.3
    assert float((torch.cat([p.x for p in parts], 2) - whole.x).abs().max()) * 255 < 3


def hard(seed: int, size: tuple[int, int] = (192, 96)) -> torch.Tensor:
    """Blocks of three pixels, black or white."""
    coarse = torch.rand(1, 1, 64, 32, generator=torch.Generator().manual_seed(seed)) > 0.6
    return torch.nn.functional.interpolate(coarse.float(), size, mode="nearest")


def test_strips_of_black_and_white_meet_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    H = BicubicDownscaling.of_scale((192, 96), 2)
    y = shrink_to_8_bits(hard(1), H)
    x = torch.cat([upscale_bicubic(y, (192, 96)), torch.full((1, 1, 192, 96), 0.5)])

    def in_strips(x: torch.Tensor) -> torch.Tensor:
        parts = finish_in_strips(lambda a, b: x[:, :, a:b], y, H, strip_pixels=64 * 96)
        return torch.cat([part.pixels for part in parts], 2)

    def missed(pixels: torch.Tensor) -> int:
        return int((to_bytes(H.A(pixels.double() / 255).clamp(0, 1)) != to_bytes(y)).sum())

    assert missed(in_strips(x)) == 0
    monkeypatch.setattr("cvdvae.restoration.finish.mended", lambda x, *_: x)
    assert missed(in_strips(x)) > 10


@pytest.mark.parametrize("known", [True, False])
def test_a_seam_is_mended_only_where_it_is_missed_and_was_met_before(known: bool) -> None:
    H = BicubicDownscaling.of_scale((48, 32), 2)
    truth = hard(0, (48, 32))
    y = shrink_to_8_bits(truth, H)
    seen = {row: sees(H, row) for row in range(24)}
    seen = {row: rows for row, rows in seen.items() if rows.start >= 13}
    before = truth[:, :, 20:36] if known else 1 - truth[:, :, 20:36]
    x = truth[:, :, 13:].clone()
    assert mended(x, before, y, H, seen, 13, 20, 255) is x  # it meets y
    x[:, :, 7:12] = 0.5
    moved = mended(x, before, y, H, seen, 13, 20, 255)
    assert (moved is x) is not known
    whole = truth[:, :, 13:]
    aside = truth[:, :, 13:].clone()
    aside[:, :, 24:28] = 0.5  # beyond what was rounded: nobody has met that
    assert mended(aside, before, y, H, seen, 13, 20, 255) is aside
    assert mended(x, before, y + 0.3 / 255, H, seen, 13, 20, 255) is x  # y was not rounded
    pair = mended(torch.cat([whole, x]), before.expand(2, -1, -1, -1), y, H, seen, 13, 20, 255)
    assert torch.equal(pair, torch.cat([whole, moved]))  # each sample by itself
    changed = (moved != x).any(3).flatten().nonzero().flatten()
    assert not known or (int(changed.min()) >= 7 and int(changed.max()) < 23)
    again = truth.clone()
    again[:, :, 13:] = moved
    off = (H.A(again.double()).clamp(0, 1) - y).abs() * 255
    assert (float(off.max()) < 0.51) is known


def test_a_seam_is_mended_around_what_is_missed_and_nowhere_else() -> None:
    H = BicubicDownscaling.of_scale((48, 256), 2)
    truth = torch.nn.functional.interpolate(hard(3, (64, 256)), (48, 256)).repeat(1, 2, 1, 1)
    y = shrink_to_8_bits(truth, H)
    seen = {row: sees(H, row) for row in range(24)}
    seen = {row: rows for row, rows in seen.items() if rows.start >= 13}
    x = truth[:, :, 13:].clone()
    x[:, 1, 7:12, 100:104] = 0.5
    x[:, 1, 7:12, :3] = 0.5
    moved = mended(x, truth[:, :, 20:36], y, H, seen, 13, 20, 255)
    changed = (moved != x)[0].any(1)
    assert not changed[0].any()  # the other colour
    assert set(changed[1].nonzero().flatten().tolist()) <= {*range(22), *range(82, 122)}

    def missed(part: torch.Tensor) -> int:
        whole = torch.cat([truth[:, :, :13], part], 2).double()
        return int(((H.A(whole).clamp(0, 1) - y).abs() * 255 > 0.7).sum())

    assert missed(moved) == 0 < missed(x)


@pytest.mark.parametrize(("device", "beside"), [("cpu", range(4, 8)), ("meta", range(5, 6))])
def test_on_a_gpu_strips_are_of_one_sample_alone(
    device: str, beside: range, photos: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, drawn = Drawing(photos, image(8, 8), Sampling(8)), []
    assert drawing.batch == 4

    def tile(indices: range, tile: Tile) -> torch.Tensor:
        drawn.append(indices)
        return torch.full((len(indices), 3, *tile.core[2:]), 0.5)

    monkeypatch.setattr(drawing, "tile", tile)
    monkeypatch.setattr(HVAEResolver, "device", torch.device(device))
    (strip,) = drawing.strips(5)
    assert len(strip.pixels) == 1
    assert drawn == [beside]


def test_unprojected_strips_are_the_whole() -> None:
    x, y = torch.rand(1, 3, 80, 8), torch.rand(1, 3, 20, 2)
    degradation = BicubicDownscaling((80, 8), (20, 2))
    strips = finish_in_strips(lambda a, b: x[:, :, a:b], y, degradation, False, strip_pixels=320)
    parts = [part.x for part in strips]
    assert len(parts) == 2
    assert torch.equal(torch.cat(parts, 2), x)


def test_what_exploded_is_a_share_of_the_whole_image_wherever_it_lies() -> None:
    """Also where that is finished in strips: the last one is low."""
    H, y = BicubicDownscaling((200, 40), (50, 10)), torch.full((1, 3, 50, 10), 0.5)

    def exploded(x: torch.Tensor) -> list[list[bool]]:
        strips = finish_in_strips(lambda a, b: x[:, :, a:b], y, H, False, strip_pixels=40 * 80)
        return [strip.exploded.tolist() for strip in strips]

    for top in (0, 100, 190):
        few, many, far = (torch.full((1, 3, 200, 40), 0.5) for _ in range(3))
        few[:, :, top : top + 8, :10] = many[:, :, top : top + 9, :10] = 1.4  # of 8000 pixels
        far[:, :, top, 0] = 2.1
        found = exploded(torch.cat([few, many, far]))
        assert len(found) == 3
        assert found[-1] == [False, True, True]
        assert [any(of) for of in zip(*found, strict=True)] == [False, True, True]
        whole = finish(torch.cat([few, many, far]), y, H, False).exploded
        assert whole.tolist() == [False, True, True]
    spread = torch.full((1, 3, 200, 40), 0.5)
    spread[:, :, ::2, 0] = -0.4  # in every strip more than in one percent of the image above it
    assert exploded(spread) == [[False], [True], [True]]


def test_many_small_samples_that_go_into_files_are_what_few_in_memory_are(
    photos: HVAEResolver, tmp_path: Path
) -> None:
    """To the bit, where strips have another step of the projection than the whole."""
    y = image(50, 60, seed=1)
    held = photos.run(y, Sampling(2, seed=2)).pixels
    draw_to_folder(photos, y, Sampling(3, seed=2), tmp_path)
    for i, pixels in enumerate(held):
        saved = np.asarray(Image.open(tmp_path / f"sample_{i:02d}.png"))
        assert np.array_equal(saved, pixels.permute(1, 2, 0).numpy())


def test_what_goes_straight_into_files_is_what_memory_would_hold(
    photos: HVAEResolver, tmp_path: Path, cut_up: None
) -> None:
    y, sampling, counted = image(50, 30), Sampling(3, seed=2), list[float]()
    truth = (y + 0.01).repeat_interleave(3, 1).repeat_interleave(3, 2)
    result = draw_to_folder(photos, y, sampling, tmp_path, truth, on_pixels=counted.append)
    held = photos.run(y, sampling, truth)
    saved = [np.asarray(Image.open(tmp_path / f"sample_{i:02d}.png")) for i in range(3)]
    for one, pixels, trip in zip(saved, held.pixels, result.round_trips, strict=True):
        assert np.array_equal(one, pixels.permute(1, 2, 0).numpy())
        assert trip.exact
        assert trip.row == 50
    assert [trip.lr_psnr for trip in result.round_trips] == pytest.approx(held.lr_psnr, abs=1e-4)
    assert [t.largest for t in result.round_trips] == pytest.approx(held.largest_lr_error)
    mean = np.asarray(Image.open(tmp_path / "mean.png"))
    assert np.abs(mean - np.mean(saved, 0)).max() < 2
    again = photos.degradation_of((50, 30)).A(to_tensor(Image.fromarray(mean))[None].double())
    assert torch.equal(to_bytes(again[0]), to_bytes(y))
    assert Image.open(tmp_path / "std.png").size == (90, 150)
    assert sum(counted) == pytest.approx(3 * 150 * 90)
    assert max(counted) < 0.3 * sum(counted)  # by tiles and strips, not by samples
    theirs, ours = held.against_truth(), result.against_truth()
    assert ours is not None
    assert theirs is not None
    assert ours.bicubic_psnr == pytest.approx(theirs.bicubic_psnr, abs=1e-3)
    assert ours.sample_psnr == pytest.approx(theirs.sample_psnr, abs=1e-3)
    assert ours.mean_psnr == pytest.approx(theirs.mean_psnr, abs=0.05)  # of rounded samples
    same = {"weights", "dtype", "scale", "input", "samples", "seed", "round_trip_exact"}
    same.add("missed_share")
    assert {k: result.report()[k] for k in same} == {k: held.report()[k] for k in same}
    assert {p.name for p in tmp_path.iterdir()} == {*result.files, "result.json"}


@pytest.mark.parametrize("by", ["nearest", "box", "pillow-lanczos"])
def test_large_results_of_any_program_are_checked_as_small_ones_are(
    by: str, photos: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "STRIP_PIXELS", 1500)
    sampling = Sampling(1, shrunk_by=by)
    y = image(30, 20)
    result, held = draw_to_folder(photos, y, sampling, tmp_path), photos.run(y, sampling)
    assert result.round_trip_exact == held.round_trip_exact == [True]
    assert result.largest_lr_error == pytest.approx(held.largest_lr_error, abs=1e-6)
    loose = Sampling(1, shrunk_by=by, consistent=False)
    result, held = draw_to_folder(photos, image(30, 20), loose, tmp_path), photos.run(y, loose)
    assert result.missed_share == held.missed_share
    assert 0.1 < held.missed_share[0] <= 1


def test_rows_below_all_that_y_sees_change_nothing_and_are_not_kept() -> None:
    H = Downscaling((24, 20), (6, 5), by="nearest")
    x = torch.randint(0, 256, (1, 3, 24, 20), generator=torch.Generator().manual_seed(0)).byte()
    trip = RoundTrip(H.A(x.double() / 255), H)
    for row in x.split(1, 2):
        trip.add(row)
    assert (trip.row, trip.exact, trip.largest, trip.values) == (6, True, 0, 90)
    assert trip.seen.untyped_storage().nbytes() == 0


def corner(height: int, width: int) -> ResampleRegion:
    """A region around a place where four tiles of 48 pixels meet."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[30:70, 20:60] = True
    return ResampleRegion(1, pack_region(mask), seed=3)


@pytest.mark.parametrize("consistent", [True, False])
def test_a_region_of_a_large_result_varies_alone(
    consistent: bool, photos: HVAEResolver, tmp_path: Path, cut_up: None
) -> None:
    y, before = image(26, 24), Sampling(2, seed=2, consistent=consistent)
    varied = before.then(corner(78, 72))
    result = draw_to_folder(photos, y, varied, tmp_path)
    parent, held = photos.run(y, before).pixels[1], photos.run(y, varied).pixels
    outside = ~varied.steps[-1].mask.expand(3, -1, -1)  # type: ignore[union-attr]
    for name, wanted in zip(result.samples, held, strict=True):
        pixels = to_bytes(to_tensor(Image.open(tmp_path / name)))
        assert torch.equal(pixels, wanted)
        assert torch.equal(pixels[outside], parent[outside])
        assert not torch.equal(pixels, parent)


def test_the_command_draws_a_large_region_again_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, y = load("photos-x2"), image(48, 40)
    mask = torch.zeros(96, 80, dtype=torch.bool)
    mask[20:60, 30:] = True
    step = ResampleRegion(0, pack_region(mask), seed=3)
    model.run(y, model.sampling(2).then(step)).save(tmp_path / "first")
    monkeypatch.setattr("cvdvae.batch.files.IN_MEMORY", 0)
    recipe = str(tmp_path / "first" / "result.json")
    assert run("replay", recipe, "--out", str(tmp_path / "again"), monkeypatch=monkeypatch) == 0
    for name in ("sample_00.png", "sample_01.png"):
        first, again = (Image.open(tmp_path / one / name) for one in ("first", "again"))
        assert first.tobytes() == again.tobytes()


def test_what_does_not_fit_into_memory_is_refused_before_it_is_drawn_but_not_into_files(
    photos: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = image(10, 12)
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 3000)
    assert len(photos.upscale(y, samples=2).pixels) == 2
    monkeypatch.setattr(HVAEResolver, "drawer", lambda *_: pytest.fail("it was drawn"))
    sentence = "3 samples of 36×30 pixels do not fit into memory: ask for at most 2, or let cvdvae"
    for draw in (photos.run, lambda y, sampling: next(photos.stream(y, sampling))):
        with pytest.raises(InputError, match=sentence):
            draw(y, Sampling(3))
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="memory: let cvdvae upscale"):
        photos.upscale(y, samples=1)
    monkeypatch.undo()
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 1000)
    result = draw_to_folder(photos, y, Sampling(3), tmp_path)
    assert all((tmp_path / name).is_file() for name in result.samples)


def test_an_image_without_pixels_is_refused(photos: HVAEResolver, tmp_path: Path) -> None:
    draws = (photos.upscale, lambda y: draw_to_folder(photos, y, Sampling(1), tmp_path))
    for y in (torch.zeros(3, 0, 5), torch.zeros(1, 3, 5, 0)):
        for draw in draws:
            with pytest.raises(InputError, match="without pixels"):
                draw(y)


@pytest.mark.parametrize("size", [(1, 60), (60, 1), (2, 1)])
def test_a_large_result_may_be_a_strip(
    size: tuple[int, int], photos: HVAEResolver, tmp_path: Path
) -> None:
    y = image(*size)
    result = draw_to_folder(photos, y, Sampling(2, seed=2), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {*result.files, "result.json"}
    assert Image.open(tmp_path / "sample_00.png").size == (3 * size[1], 3 * size[0])
    assert Image.open(tmp_path / "grid.png").height > 3


def test_answers_are_what_would_be_saved_however_many_there_are() -> None:
    """As they are judged, so they are drawn."""
    photos, y = tiny_photos(2), image(50, 52)
    sampling = photos.sampling(5, seed=3)
    saved = photos.run(y, sampling).pixels
    assert torch.equal(photos.answers(y, sampling).pixels, saved)
    assert torch.equal(photos.answers(y, replace(sampling, samples=2)).pixels, saved[:2])


@pytest.mark.parametrize("level", [0, 253])
def test_sums_of_many_samples_are_exact(tmp_path: Path, level: int) -> None:
    """In float32 squares would be rounded from 256 samples on, and small spreads be lost."""
    samples = level + np.random.default_rng(0).integers(0, 2, (1000, 4, 5, 1)).astype(np.uint8)
    total = Sums(tmp_path, 4, 5, 1)
    for sample in samples:
        total.add(0, sample)
        total.next_sample()
    np.testing.assert_allclose(total.mean(0, 4), samples.mean(0), rtol=1e-6)
    np.testing.assert_allclose(total.std(0, 4), samples.std(0, ddof=1).mean(2), rtol=1e-6)
    total.leave_out([samples[0, :3], samples[0, 3:]])
    np.testing.assert_allclose(total.std(0, 4), samples[1:].std(0, ddof=1).mean(2), rtol=1e-6)
    total.close()


def test_sums_on_the_disk_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (3, 10, 7, 3), dtype=np.uint8)
    total = Sums(tmp_path, 10, 7)
    for i, sample in enumerate(samples):
        for top in (0, 4, 8):
            total.add(top, sample[top : top + 4])
        total.next_sample()
        if i == 0:
            assert not total.std(0, 10).any()
        if i == 1:
            two = np.sqrt(samples[:2].var(0, ddof=1).mean(2))
            np.testing.assert_allclose(total.std(0, 10), two, rtol=1e-6)
    std = np.sqrt(samples.var(0, ddof=1).mean(2))
    np.testing.assert_allclose(total.mean(2, 5), samples.mean(0)[2:7], rtol=1e-6)
    np.testing.assert_allclose(total.std(1, 9), std[1:], rtol=1e-6)
    coarse = std[:9, :6].reshape(3, 3, 2, 3).mean((1, 3))
    np.testing.assert_allclose(total.coarse_std(3), coarse, rtol=1e-6)
    assert total.coarse_std(5).shape == (2, 1)
    monkeypatch.setattr("cvdvae.restoration.sums.PIXELS", 20)  # two rows at a time
    total.write_std(tmp_path / "std.png")
    heat = np.asarray(heat_map(torch.from_numpy(total.std(0, 10) / 64)))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "std.png")), heat)
    total.leave_out(samples[1][top : top + 4] for top in (0, 4, 8))
    np.testing.assert_allclose(total.mean(0, 10), samples[::2].mean(0), rtol=1e-6)
    total.close()
    with pytest.raises(ValueError, match="closed"):
        total.read(0, 1)


def test_what_exploded_counts_in_no_statistic_of_a_large_result_either(
    photos: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, sampling, drawer = image(20, 10), Sampling(4, seed=2), photos.drawer
    corners = photos.draw(y, sampling)[:, 0, 0, 0]

    def exploding(y: torch.Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        draw = drawer(y, sampling, inside)

        def one_explodes(noise: Noise, n: int) -> torch.Tensor:
            x = draw(noise, n)
            return torch.where(x[:, :1, :1, :1] >= corners.max() - 1e-6, 1000 * x, x)

        return one_explodes

    monkeypatch.setattr(photos, "drawer", exploding)
    decode = PngImageFile.load
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("decoded as a whole"))
    large = draw_to_folder(photos, y, sampling, tmp_path)
    held = photos.run(y, sampling)
    monkeypatch.setattr(PngImageFile, "load", decode)
    assert sum(large.exploded) == 1
    assert large.exploded == held.exploded
    mean = np.asarray(Image.open(tmp_path / "mean.png")).astype(float)
    assert np.abs(mean - held.mean.permute(1, 2, 0).numpy() * 255).mean() < 0.6
    std = np.asarray(Image.open(tmp_path / "std.png"))
    wanted = np.asarray(heat_map(held.std * 255 / FULL_HEAT))
    assert np.abs(std.astype(float) - wanted.astype(float)).mean() < 2


def test_regions_to_look_at_are_the_largest_means_that_do_not_overlap() -> None:
    std = torch.zeros(64, 48)
    std[8:24, 16:32] = 2
    std[24:40, 16:32] = 1
    std[48:64, 0:16] = 0.5
    first, second, third = most_uncertain(std, side=16, count=3)
    assert (first.window, first.std) == (Window(8, 16, 16, 16), 2)
    assert (second.window, second.std) == (Window(24, 16, 16, 16), 1)
    assert (third.window, third.std) == (Window(48, 0, 16, 16), 0.5)
    assert torch.equal(first.of(std[None]), std[None, 8:24, 16:32])
    assert all(region.std > 0.01 for region in most_uncertain(std + 1e-6, 16, 100))
    for everywhere in (std + 1, 0 * std):
        found = most_uncertain(everywhere, 16, 100)
        assert 3 < len(found) < 13  # 64 · 48 / 16², when there is no room left
    (whole,) = most_uncertain(std, side=100, count=5)
    assert whole.window == Window(0, 0, 64, 48)
    assert whole.std == pytest.approx(float(std.mean()))


def test_a_full_disk_half_way_leaves_nothing(
    photos: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: PNGWriter, rows: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PNGWriter, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        draw_to_folder(photos, image(8, 8), Sampling(2), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_flow_takes_any_size_where_it_was_made_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    flow = tiny_flow().flow
    flow.config = replace(flow.config, any_size=True)
    model, y = FlowResolver(flow.eval(), "flow"), image(13, 22)
    whole = model.upscale(y, samples=2, temperature=0.3)
    assert whole.pixels.shape == (2, 3, 52, 88)
    assert all(whole.round_trip_exact)
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 100)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 40)
    tiled = model.upscale(y, samples=2, temperature=0.3)
    assert int((tiled.pixels.int() - whole.pixels.int()).abs().max()) <= 1


@pytest.mark.parametrize(("height", "width"), [(16, 24), (24, 16)])
def test_a_result_knows_its_factor_whichever_way_it_lies(height: int, width: int) -> None:
    model = tiny_photos(2)
    result = model.run(image(height, width), model.sampling(samples=1))
    assert result.scale == 2
    assert result.samples.shape[2:] == (2 * height, 2 * width)


@pytest.mark.parametrize(
    ("height", "strips"),
    [(100, [20] * 5), (96, [20] * 4 + [16]), (94, [20] * 3 + [34]), (30, [30]), (36, [20, 16])],
)
def test_strips_see_eight_rows_of_the_input_ahead_and_ask_for_none_twice(
    height: int, strips: list[int]
) -> None:
    H, asked = BicubicDownscaling((height, 10), (height // 2, 5)), list[tuple[int, int]]()
    x, y = torch.full((2, 3, height, 10), 0.5), torch.full((1, 3, height // 2, 5), 0.5)

    def rows(first: int, end: int) -> torch.Tensor:
        asked.append((first, end))
        return x[:, :, first:end]

    done = list(finish_in_strips(rows, y, H, strip_pixels=200))
    assert [strip.pixels.shape[2] for strip in done] == strips
    ends = [min(height, sum(strips[: i + 1]) + 16) for i in range(len(strips))]
    assert asked == list(zip([0, *ends], ends, strict=False))
    low = finish_in_strips(rows, y, H, strip_pixels=10)  # no strip is lower than its overlap
    assert {strip.pixels.shape[2] for strip in low} - set(range(16, 32)) <= {height}


def test_windows_of_a_part_are_as_wide_as_what_matters_to_it() -> None:
    model = tiny_photos(2)
    part = PartDrawing(model, image(300, 300), Sampling(1), Window(200, 208, 20, 40))
    assert part.framed == Window(184, 192, 52, 72)
    assert part.window == Window(24, 32, 376, 392)
    assert not part.grey
    corner = PartDrawing(model, image(300, 300)[:1].expand(3, -1, -1), Sampling(1),
                         Window(580, 0, 20, 590))  # fmt: skip
    assert corner.framed == Window(564, 0, 36, 600)
    assert corner.window == Window(400, 0, 200, 600)
    assert corner.grey
    assert widened(Window(3, 5, 4, 6), 0, 1, (9, 99)) == Window(3, 5, 4, 6)


def test_a_part_of_a_small_image_is_what_the_whole_has_there() -> None:
    model, y, core = tiny_photos(2), image(40, 12), Window(2, 4, 20, 12)
    first = Sampling(2, seed=2, consistent=False)
    mask = torch.zeros(80, 24, dtype=torch.bool)
    mask[4:20, 6:14] = True
    step = ResampleRegion(1, pack_region(mask), seed=7)
    for sampling in (first, first.then(step)):
        whole = model.run(y, sampling).pixels[:, :, *core.slices]
        part = list(PartDrawing(model, y, sampling, core).samples())
        for sample, pixels in zip(part, whole, strict=True):
            assert int((sample.pixels.int() - pixels.int()).abs().max()) <= 1
            assert not sample.exact
            assert not sample.exploded
    elsewhere, exact = Window(60, 0, 20, 24), replace(first, consistent=True)
    for window, changes in ((core, True), (elsewhere, False)):
        parent = PartDrawing(model, y, exact, window).sample(1)
        for sample in PartDrawing(model, y, exact.then(step), window).samples():
            moved = (sample.pixels != parent.pixels).any(0)
            assert sample.exact
            assert not bool(moved[~mask[window.slices]].any())
            assert bool(moved.any()) == changes


def test_a_part_at_a_large_factor_sees_more_than_its_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At ×16 the frame is 128 pixels wide."""
    monkeypatch.setattr("cvdvae.restoration.part.HALO", 96)
    of = replace(FLOW, image_size=32, scale=16, any_size=True)
    model, y, core = tiny_flow(config=of), image(3, 24), Window(0, 160, 48, 32)
    part = PartDrawing(model, y, Sampling(1, 0.3), core)
    assert part.framed == part.window == Window(0, 32, 48, 288)
    whole = model.upscale(y, samples=1, temperature=0.3).pixels[0][:, *core.slices]
    assert int((part.sample(0).pixels.int() - whole.int()).abs().max()) <= 2


def test_a_large_result_shows_its_regions_from_its_files(
    photos: HVAEResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []

    def noted(tiles: list[Any], footer: str) -> Image.Image:
        rows.extend(tiles)
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr(large_results, "labelled_sheet", noted)
    y, truth = image(50, 30), torch.full((3, 150, 90), 0.2)
    result = draw_to_folder(photos, y, Sampling(6, seed=2), tmp_path, truth)
    (row,) = rows
    names, tiles = zip(*row, strict=True)
    window = Window(0, 0, 144, 88)  # in whole blocks of 8
    saved = [np.asarray(Image.open(tmp_path / f"sample_0{i}.png")) for i in range(6)]
    std = np.sqrt(np.var(saved, 0, ddof=1).mean(2))[window.slices]
    assert list(names) == [
        "input, row 0, column 0",
        "bicubic",
        *(f"sample {i}" for i in range(5)),
        f"they differ by {std.mean():.0f} levels",
        "the real photo",
    ]
    for tile, pixels in zip(tiles[2:7], saved, strict=False):
        assert np.array_equal(np.asarray(tile), pixels[window.slices])
    blocks = std.reshape(18, 8, 11, 8).mean((1, 3))
    shown = np.asarray(tiles[7]).astype(int)
    wanted = np.asarray(heat_map(torch.from_numpy(std / blocks.max()))).astype(int)
    assert np.abs(shown - wanted).max() <= 1
    assert tiles[8].getpixel((143 // 2, 80)) == (51, 51, 51)
    told = replace(result, seconds=1.23456).report()
    assert (told["seconds"], told["noise"], told["misfit"], told["doubts"]) == (
        1.235,
        0,
        None,
        None,
    )
    assert told["files"] == [*(f"sample_0{i}.png" for i in range(6)),
                             "mean.png", "std.png", "grid.png"]  # fmt: skip
    assert told["exploded"] == [False] * 6
    assert 0 < result.seconds < 60


def test_a_large_result_of_which_nothing_is_known_says_so(tmp_path: Path) -> None:
    recipe = Recipe("tiny", torch.full((3, 2, 2), 0.5), Sampling(1), 2)
    empty = LargeResult(tmp_path, recipe)
    assert (empty.noise, empty.misfit, empty.against_truth()) == (0, None, None)
    assert (empty.samples, empty.seconds, empty.lr_psnr) == (["sample_00.png"], 0, [])
    known = replace(empty, truth=torch.full((3, 4, 4), 0.4))
    for name in ("sample_00.png", "mean.png"):
        for top in (0, 2):  # 0.4 is 102 levels
            known.compare(name, top, np.full((2, 4, 3), 102 if name == "mean.png" else 127.5))
    known.compare("bicubic", 0, np.full((4, 4, 3), 76.5))
    truth = known.against_truth()
    assert truth is not None
    assert truth.sample_psnr == pytest.approx([20])
    assert truth.bicubic_psnr == pytest.approx(20)
    assert truth.mean_psnr > 100


def test_a_round_trip_adds_up_what_counts() -> None:
    H = BicubicDownscaling((16, 8), (8, 4))
    counted = torch.ones(3, 8, 4, dtype=torch.bool)
    counted[:, 2] = False
    y = torch.full((1, 3, 8, 4), 100 / 255)
    y[:, :, 2], y[:, :, 5, 1] = 0.9, 103 / 255
    trip = RoundTrip(y, H, counted=counted, sigma=0.02)
    assert (trip.exact, trip.largest, trip.squares, trip.lr_psnr) == (True, 0, 0, math.inf)
    for rows in torch.full((1, 3, 16, 8), 100).byte().split(3, 2):
        trip.add(rows)
    squares = 3 * (3 / 255) ** 2
    assert (trip.exact, trip.row, trip.values) == (False, 8, 84)
    assert trip.largest == pytest.approx(3)
    assert trip.squares == pytest.approx(squares)
    assert trip.lr_psnr == pytest.approx(-10 * math.log10(squares / 84), abs=1e-5)
    assert misfit([trip]) == pytest.approx((squares / 84) ** 0.5 / 0.02)
    dark = RoundTrip(y, H)
    assert misfit([dark]) is None
    assert misfit([dark, trip]) == misfit([trip])
    coarse = RoundTrip(y, H, levels=None)
    coarse.add(torch.full((1, 3, 16, 8), 100 / 255))
    assert coarse.largest == pytest.approx(0.9 - 100 / 255)


def test_only_a_large_image_is_cut_and_its_rest_is_no_seam() -> None:
    assert [tile.core for tile in tiles((2000, 1000), 16)] == [Window(0, 0, 2000, 1000)]
    assert [tile.window for tile in tiles((2001, 1000), 16)] == [
        Window(0, 0, 1136, 1000),
        Window(784, 0, 1217, 1000),
    ]
    assert len(list(tiles((3, 666_667), 16))) > 1
    assert [tile.core for tile in tiles((1152, 1737), 16)] == [
        Window(0, 0, 1152, 960),
        Window(0, 960, 1152, 777),
    ]
    y = torch.arange(40).view(1, 1, 5, 8)
    tile = Tile(Window(2, 4, 6, 10), Window(4, 8, 2, 4))
    assert torch.equal(tile.of(y, 2), y[:, :, 1:4, 2:7])
    assert tile.inside == (slice(2, 4), slice(4, 8))


@pytest.mark.parametrize("after", [1, 9])
def test_a_large_draw_that_is_interrupted_leaves_the_earlier_result_as_it_was(
    after: int, photos: HVAEResolver, tmp_path: Path, cut_up: None
) -> None:
    draw_to_folder(photos, image(50, 30), Sampling(2, seed=1), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = list[float]()

    def interrupted(done: float) -> None:
        told.append(done)
        if len(told) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_to_folder(photos, image(50, 30), Sampling(2, seed=2), tmp_path, on_pixels=interrupted)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
