"""Restoration of images of any size."""

import base64
import io
import json
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from test_app import numbered
from tiny import tiny_photo_restorer, tiny_photos, tiny_restorer
from torch import Tensor

from cvdvae.app.controls import UNCHANGED
from cvdvae.app.painter import Painting
from cvdvae.app.pictures import to_paint
from cvdvae.app.restoring.damage import KINDS, LARGEST, as_it_is, described, image_in
from cvdvae.app.restoring.handlers import RestoringHandlers
from cvdvae.damage.described import parse
from cvdvae.domains.photos import coffee
from cvdvae.errors import InputError
from cvdvae.gaussian.noise import Noise, SeededNoise, Window, noise_for
from cvdvae.imaging.io import to_bytes, to_pil, to_tensor
from cvdvae.imaging.sheets import TILE
from cvdvae.restoration import batches, workers
from cvdvae.restoration import believing as belief_of
from cvdvae.restoration import restorer as restoring
from cvdvae.restoration import tiles as tiling
from cvdvae.restoration.believing import Belief
from cvdvae.restoration.ending import BYTES, FEWER, Ending, growing
from cvdvae.restoration.evidence import evidence
from cvdvae.restoration.finish import Finished
from cvdvae.restoration.load import load_restorer
from cvdvae.restoration.restored import restoration_from_dict
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import Seen, degraded, seen
from cvdvae.restoration.saving import saved_files
from cvdvae.restoration.settings import Restoring


def seen_of(words: str, height: int, width: int, noise: float | None = None) -> Seen:
    """What is seen of a smooth picture."""
    corners = torch.rand(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(corners, (height, width), mode="bilinear", align_corners=True)[0]
    return degraded(0.2 + 0.6 * smooth, parse(words), noise)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 20)])
@pytest.mark.parametrize("words", ["random:keep=0.6,seed=1", "noise", "jpeg:quality=50"])
def test_an_image_of_any_size_keeps_it(words: str, size: tuple[int, int]) -> None:
    model, told = tiny_photo_restorer(), seen_of(words, *size)
    many, few = (model.run(told, model.restoring(n, seed=2)) for n in (3, 2))
    assert many.pixels.shape == (3, 3, *size)
    assert torch.equal(many.pixels[:2], few.pixels)
    if words.startswith("random"):
        assert told.sigma == 0
        assert all(many.explains)


def believing(model: Restorer, told: Seen) -> Callable[[], Belief]:
    """Makes its belief of what was seen, with the tiles that are wanted at that moment."""
    assert model.encoder is not None
    of_y = evidence(told.degradation, told.y, told.sigma)
    return partial(Belief, model.prior, model.encoder, of_y, Restoring(2, 1.0, seed=1))


@pytest.mark.parametrize("words", ["hole:side=20", "blur:sigma=1.5", "jpeg:quality=40"])
def test_tiles_differ_from_the_whole_by_less_than_a_grey_level(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe = believing(tiny_photo_restorer(), seen_of(words, 96, 120))
    whole = believe().draw(range(2))[0]
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 24)
    monkeypatch.setattr(tiling, "HALO", 48)
    belief = believe()
    assert len(belief.tiles) > 4
    one, two = (next(belief.draw_together([range(2)], workers))[0] for workers in (1, 2))
    assert torch.equal(one, two)
    assert float((whole - one).abs().max()) * 255 < 0.1
    monkeypatch.setattr(tiling, "HALO", 0)
    assert float((whole - next(believe().draw_together([range(2)]))[0]).abs().max()) * 255 > 0.1


def test_tiles_of_the_bundled_model_are_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    strip = to_tensor(coffee().crop((100, 180, 548, 244)))
    told = degraded(strip, parse("downscale:scale=4"))
    believe = believing(load_restorer("photos-restore"), told)
    whole = believe().draw(range(1))[0]
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CORE", 64)
    assert len(believe().tiles) == 7
    assert float((whole - next(believe().draw_together([range(1)]))[0]).abs().max()) * 255 < 0.1
    monkeypatch.setattr(tiling, "HALO", 32)
    assert float((whole - next(believe().draw_together([range(1)]))[0]).abs().max()) * 255 > 0.1


@pytest.mark.parametrize("words", ["hole:side=10", "jpeg:quality=50"])
def test_pixels_are_drawn_and_chains_move_at_any_size(words: str) -> None:
    model, told = tiny_photo_restorer(), seen_of(words, 21, 18)
    tame = model.restoring(24, temperature=0.0, seed=1, grain=True)
    grainy = model.run(told, tame).samples
    assert 3 < float(grainy[:, :, 7:13, 6:12].std(0).mean()) * 255 < 15  # s is 10 levels
    if told.sigma == 0:
        assert float(grainy[:, :, :4].std(0).max()) < 1e-6
    moved = model.run(told, model.restoring(2, moves=8)).diagnostics
    assert moved is not None
    assert moved.log_w_gain > 0


@pytest.mark.parametrize("name", ["photos-restore", "celeba64-restore"])
def test_a_chain_keeps_no_more_than_it_is_counted_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its gradient needs of a pixel."""
    model, kept, most = load_restorer(name), dict[int, Tensor](), [0]

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def gradient(*args: Any) -> Any:
        most.append(sum(one.untyped_storage().nbytes() for one in kept.values()))
        kept.clear()
        return gradient_of(*args)

    gradient_of = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", gradient)
    monkeypatch.setattr(restoring, "moved_at_once", lambda *_: 1)
    hooks, told = torch.autograd.graph.saved_tensors_hooks, seen_of("noise", 64, 64, 0.1)
    with workers.on_one_processor(), hooks(pack, lambda tensor: tensor):
        model.run(told, model.restoring(1, moves=1))
    assert 0.5 < max(most) / batches.PIXELS / batches.KEPT_BY_CHAINS < 1  # of all of a batch


def test_chains_move_beside_each_other_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, one = torch.device("cpu"), batches.KEPT_BY_CHAINS * 200_000
    monkeypatch.setattr(workers, "usable_processors", lambda: 8)
    for memory, at_once in ((math.inf, 8), (16 * one, 8), (6.5 * one, 3), (0.0, 1)):
        monkeypatch.setattr(batches, "usable_memory", lambda memory=memory: memory)
        assert batches.moved_at_once(cpu, 200_000) == at_once


def test_no_sample_is_drawn_with_the_noise_of_what_was_seen() -> None:
    """Although one seed makes both."""
    model, x = tiny_photo_restorer(), torch.full((3, 24, 32), 0.5)
    told = degraded(x, parse("noise"), 0.05, seed=4, in_8_bits=False)
    how = model.restoring(8, temperature=0.0, seed=4, grain=True)
    first, *others = model.run(told, how).samples
    grain = first - torch.stack(others).mean(0)
    both = torch.stack([grain.flatten(), (told.y[0] - x).flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.1


def test_what_does_not_fit_is_said_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model, told = tiny_photo_restorer(), seen_of("noise", 40, 50, 0.1)
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 5000)
    with pytest.raises(
        InputError, match="3 samples of 50×40 pixels do not fit into memory: ask for at most 2"
    ):
        model.run(told, model.restoring(3))
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="restore it in parts"):
        model.run(told, model.restoring(1))
    monkeypatch.setattr(restoring, "MOST_MOVED", 1000)
    with pytest.raises(InputError, match="chains move on images of up to"):
        model.run(told, model.restoring(1, moves=3))


def test_no_more_is_finished_at_a_time_than_fits_though_all_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To finish a sample takes many times the memory that it is held in."""
    model, told = tiny_photo_restorer(), seen_of("hole:side=6", 16, 24)
    how, finish, draw = model.restoring(16, seed=3), Ending.of, Belief.draw
    together, busy, most = threading.Barrier(2, timeout=20), list[int](), list[int]()

    def drawn(belief: Belief, indices: range) -> Any:
        if processors > 1:
            together.wait()  # two draw at a time, or this breaks
        return draw(belief, indices)

    def finished(ending: Ending, mean: torch.Tensor, noise: Noise) -> Finished:
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.02)
        done = finish(ending, mean, noise)
        busy.pop()
        return done

    monkeypatch.setattr(Belief, "draw", drawn)
    monkeypatch.setattr(Ending, "of", finished)
    results = []
    for processors, room, at_once in ((1, 1, 1), (4, 1, 1), (4, 2, 2), (2, 9, 2)):
        monkeypatch.setattr(workers, "usable_processors", lambda n=processors: n)
        monkeypatch.setattr(batches, "MOST_FINISHING", room * FEWER * 4 * 16 * 24 + 1)
        most.clear()
        results.append(model.run(told, how).pixels)
        assert max(most) <= at_once
        assert torch.equal(results[0], results[-1])


@pytest.mark.parametrize(
    ("words", "noise", "bytes_"),
    [("hole:side=6", None, FEWER), ("jpeg:quality=50", None, FEWER), ("grey", None, BYTES),
     ("blur:sigma=1", 0.02, BYTES), ("downscale:scale=2 + jpeg:quality=50", None, BYTES)],
)  # fmt: skip
def test_what_finishing_takes_is_a_matter_of_the_degradation(
    words: str, noise: float | None, bytes_: int
) -> None:
    told = seen_of(words, 16, 24, noise)
    assert Ending(told, Restoring(), 0.1).bytes_of_a_pixel == bytes_
    assert batches.finished_at_once(bytes_ * 12_000_000) == (2 if bytes_ == FEWER else 1)
    assert batches.finished_at_once(bytes_ * 100_000_000) == 1
    assert batches.finished_at_once(bytes_ * 100_000) > 100


def test_a_large_result_shows_where_its_samples_differ_most() -> None:
    model, told = tiny_photo_restorer(), seen_of("hole:side=60", 170, 500)
    result = model.run(told, model.restoring(2), truth=torch.full((3, 170, 500), 0.5))
    assert result.grid().width < 1.5 * 5 * TILE  # seen, two samples, where they differ, the truth
    again = restoration_from_dict(result.report(), "there")
    assert torch.equal(model.run(again.seen, again.restoring).pixels, result.pixels)


def test_the_page_shrinks_a_large_photograph_but_not_its_damage(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    to_pil(torch.zeros(3, 20, 30, dtype=torch.uint8)).save(small)
    to_pil(torch.zeros(3, 1500, 800, dtype=torch.uint8)).save(large)
    assert image_in(small, None).as_it_is
    given = image_in(large, None)
    assert not given.as_it_is
    assert 0.98 * LARGEST < given.pixels[0].numel() <= LARGEST
    assert given.x.shape[1] / given.x.shape[2] == pytest.approx(1500 / 800, rel=0.01)
    assert "800×1500" in given.note
    small_size = (given.x.shape[1], given.x.shape[2])
    for what in (parse("noise"), described("small", 4, [], small_size)):
        with pytest.raises(InputError, match="cut or shrunk"):
            as_it_is(given, large, what, 0.1)
    with pytest.raises(InputError, match="cut the picture to the face, or choose “A photograph”"):
        image_in(large, 64, "A face")
    size = (given.x.shape[1], given.x.shape[2])
    painted = described("hole", 0, [{"size": 9, "points": [[100, 100], [200, 150]]}], size)
    assert as_it_is(given, large, painted, 0.0)[0].sigma == 0  # it was painted after that
    with pytest.raises(InputError, match="which pixels of your image are missing"):
        as_it_is(image_in(small, None), small, described("pixels", 50, None, (20, 30)), 0.0)


def test_the_page_enlarges_a_small_photograph_within_its_noise(tmp_path: Path) -> None:
    """As `upscale --noise` and `--jpeg auto`: for what was sharpened or compressed since."""
    y, size = torch.rand(3, 12, 20, generator=torch.Generator().manual_seed(0)), (12, 20)
    png, jpg, large = (tmp_path / name for name in ("small.png", "small.jpg", "large.png"))
    to_pil(to_bytes(y)).save(png)
    to_pil(to_bytes(y)).save(jpg, quality=60)
    to_pil(torch.zeros(3, 500, 500, dtype=torch.uint8)).save(large)
    shrunk = described("small", 4, [], size)
    model = tiny_photo_restorer()
    told, _, _ = as_it_is(image_in(png, None), png, shrunk, 0.02)
    assert told.sigma == 0.02
    result = model.run(told, model.restoring(2))
    assert result.pixels.shape == (2, 3, 48, 80)
    told, notes, _ = as_it_is(image_in(jpg, None), jpg, shrunk, 0.0)
    assert "JPEG of quality 60" in notes[0]
    assert model.run(told, model.restoring(2)).pixels.shape == (2, 3, 48, 80)
    told, _, _ = as_it_is(
        image_in(jpg, None), jpg, shrunk, 0.05
    )  # the visitor says how noisy it is
    assert told.sigma == 0.05
    for path, noise, said in (
        (png, 0.0, "say here how noisy it is"),
        (large, 0.02, "becomes 2000×2000 pixels"),
    ):
        with pytest.raises(InputError, match=said):
            as_it_is(image_in(path, None), path, shrunk, noise)
    with pytest.raises(InputError, match="give the JPEG file itself, or use the command cvdvae"):
        as_it_is(image_in(png, None), png, described("jpeg", 30, [], size), 0.0)
    to_pil(to_bytes(y[..., :12])).save(png)
    with pytest.raises(InputError, match="tab of faces"):
        as_it_is(image_in(png, 12), png, shrunk, 0.02)


@pytest.mark.parametrize("size", [(3, 60_000), (60_000, 3), (300, 500), (1, 1)])
def test_what_is_painted_on_is_a_small_picture(size: tuple[int, int]) -> None:
    shown = to_paint(torch.zeros(3, *size, dtype=torch.uint8))
    assert (shown["height"], shown["width"]) == size
    with Image.open(io.BytesIO(base64.b64decode(shown["picture"].split(",")[1]))) as picture:
        assert max(picture.size) == 512
        assert min(picture.size) >= 1


def test_the_page_takes_the_noise_of_a_jpeg_from_its_file(tmp_path: Path) -> None:
    """Whatever the slider says, which was for another kind of damage."""
    path = tmp_path / "photo.png"
    to_pil(torch.full((3, 24, 30), 99, dtype=torch.uint8)).save(path)
    parts = numbered()
    on = RestoringHandlers({"A photograph": tiny_photo_restorer()}, parts)
    given = image_in(path, None, "A photograph")
    intact, damaged = KINDS
    found = list(
        on.draw(
            str(path), "A photograph", intact, "JPEG", 40, 0.1, 2, 1, "3", False, given, Painting()
        )
    )
    assert "2 of 2 answers explain" in found[-1][parts.shown[0]]
    held = image_in(path, None, "A face")  # what the page still held from before
    arrived = on.arrive(str(path), "A photograph", held)
    assert arrived[parts.given].subject == "A photograph"
    assert parts.kind not in arrived  # which the visitor says

    Image.open(path).save(tmp_path / "photo.jpg", quality=60)
    given = image_in(tmp_path / "photo.jpg", None, "A photograph")
    file = str(tmp_path / "photo.jpg")
    found = list(
        on.draw(file, "A photograph", damaged, "JPEG", 40, 0.0, 2, 1, "3", False, given, Painting())
    )
    assert "JPEG of quality 60, by its own tables" in found[-1][parts.shown[0]]


def test_an_image_that_arrives_again_loses_nothing(tmp_path: Path) -> None:
    """The page tells of an image and of its subject, and the second may come last: the visitor may
    have painted by then, or said that the image is to be damaged first."""
    for name in ("photo.png", "other.png"):
        to_pil(torch.full((3, 16, 16), 99, dtype=torch.uint8)).save(tmp_path / name)
    parts = numbered()
    on = RestoringHandlers({"A photograph": tiny_photo_restorer()}, parts)
    path = str(tmp_path / "photo.png")
    given = on.arrive(path, "A photograph", None)[parts.given]
    assert on.arrive(path, "A photograph", given) == UNCHANGED
    other = on.arrive(str(tmp_path / "other.png"), "A photograph", given)
    assert other[parts.given].path == tmp_path / "other.png"
    assert other[parts.strokes].strokes == []
    assert on.arrive(None, "A photograph", given)[parts.given] is None


def test_a_grey_photograph_stays_grey() -> None:
    model, x = tiny_photo_restorer(), torch.rand(1, 16, 24).expand(3, -1, -1)
    for words, noise in (("hole:side=6", None), ("blur:sigma=1", 0.0)):
        pixels = model.run(degraded(x, parse(words), noise), model.restoring(2)).pixels
        assert torch.equal(pixels, pixels[:, :1].expand_as(pixels))
    coloured = model.run(degraded(x, parse("grey")), model.restoring(2)).pixels
    assert not torch.equal(coloured, coloured[:, :1].expand_as(coloured))


def grey_photo(height: int = 40, width: int = 48) -> torch.Tensor:
    """Smooth, without any colour."""
    corners = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(corners, (height, width), mode="bilinear", align_corners=True)[0]
    return (0.2 + 0.6 * smooth).expand(3, -1, -1)


JPEGS = (
    "jpeg:quality=60",
    "jpeg:quality=60,subsampling=4:0:0",
    "blur:sigma=1 + jpeg:quality=75,subsampling=4:4:4",
    "downscale:scale=2 + jpeg:quality=80",
)


@pytest.mark.parametrize("words", JPEGS)
@pytest.mark.parametrize("grain", [False, True])
def test_a_grey_photograph_stays_grey_behind_a_jpeg(words: str, grain: bool) -> None:
    model, told = tiny_photo_restorer(), degraded(grey_photo(), parse(words))
    result = model.run(told, model.restoring(3, grain=grain))
    assert torch.equal(result.pixels, result.pixels[:, :1].expand_as(result.pixels))
    assert grain or all(result.explains)
    assert torch.equal(result.shown, result.shown[:1].expand_as(result.shown))


@pytest.mark.parametrize("words", JPEGS)
def test_a_coloured_photograph_stays_coloured_behind_a_jpeg(words: str) -> None:
    model, told = tiny_photo_restorer(), seen_of(words.replace("4:0:0", "4:4:4"), 40, 48)
    coloured = model.run(told, model.restoring(1)).pixels
    assert not torch.equal(coloured, coloured[:, :1].expand_as(coloured))


@pytest.mark.parametrize("words", ["jpeg:quality=10", "downscale:scale=2 + jpeg:quality=90"])
def test_the_grain_of_a_grey_jpeg_is_that_of_one_colour(words: str) -> None:
    """p(g | z, y) of the grey g, ``(H 1)ᵀ ((H 1)(H 1)ᵀ + λ I)⁻¹``, by its dense matrix."""
    told, s = degraded(grey_photo(8, 8), parse(words)), 10 / 255
    ending = Ending(told, Restoring(grain=True), s)
    mean = torch.full((400, 3, 8, 8), 0.5)
    drawn = ending.of(mean, SeededNoise(0, range(400))).x[:, 0].flatten(1).double()
    basis = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8).expand(-1, 3, -1, -1)
    H = told.degradation.A(basis).flatten(1).T
    precision = torch.eye(64) / s**2 + H.T @ H / told.sigma**2
    wanted = torch.linalg.inv(precision)
    centre = 0.5 + wanted @ H.T @ (told.y[0].double().flatten() - H.sum(1) * 0.5) / told.sigma**2
    assert float((drawn.mean(0) - centre).abs().max()) < 0.01
    assert float(drawn.var(0).mean()) == pytest.approx(float(wanted.diag().mean()), rel=0.1)


@pytest.mark.parametrize(("words", "noise"), [("hole:side=10", 0.0), ("noise", 0.5)])
def test_the_grain_of_a_grey_photograph_is_grey_and_as_strong(words: str, noise: float) -> None:
    model, x = tiny_photo_restorer(), torch.rand(1, 16, 24).expand(3, -1, -1)
    told = seen(degraded(x, parse(words)).y, words, noise)
    grainy = model.run(told, model.restoring(24, temperature=0.0, grain=True))
    assert torch.equal(grainy.pixels, grainy.pixels[:, :1].expand_as(grainy.pixels))
    inside = grainy.samples[:, 0, 3:13, 7:17] * 255
    assert 8 < float(inside.std(0).mean()) < 12  # s is 10 levels


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(InputError, match="restores images of 3 channels, not 1"):
        tiny_photo_restorer().restore(torch.rand(1, 16, 24), "noise", noise=0.1)


@pytest.mark.parametrize("samples", [1, 4, 6, 9])
def test_batches_are_put_together_in_their_order(samples: int) -> None:
    parts = torch.arange(12).view(3, 4)
    batches = (Finished(part.float(), part, part > 5) for part in parts)
    *so_far, whole = growing(batches, samples)
    assert whole.pixels.tolist() == list(range(samples))
    assert whole.exploded.tolist() == [i > 5 for i in range(samples)]
    for number, part in enumerate(so_far, 1):
        assert part.pixels.tolist() == list(range(min(4 * number, samples)))


def test_what_an_earlier_restoration_left_goes(tmp_path: Path) -> None:
    model, told = tiny_photo_restorer(), seen_of("noise", 40, 50, 0.1)
    model.run(told, model.restoring(3)).save(tmp_path)
    assert (tmp_path / "seen.png").exists()
    tiny_photos(2).upscale(torch.full((3, 8, 8), 0.5), samples=1).save(tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("sample_00.png", "mean.png", "std.png", "grid.png")
    }


def test_the_samples_of_a_result_with_a_large_input_go_too(tmp_path: Path) -> None:
    of_ours = {"model": "tiny", "samples": 2, "seed": 0}
    old = of_ours | {"files": ["sample_00.png", "sample_05.png"], "input": {"png": "A" * 5_000_000}}
    (tmp_path / "result.json").write_text(json.dumps(old))
    (tmp_path / "sample_05.png").write_bytes(b"old")
    with saved_files(tmp_path, ["sample_00.png"], lambda: {"files": ["sample_00.png"]}):
        pass
    assert not (tmp_path / "sample_05.png").exists()


def test_noise_belongs_to_places_only_where_images_may_have_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And that of the pixels follows that of the latents: none of its numbers comes twice."""
    windows: list[Window | None] = []

    def noted(seed: int, indices: range, window: Window | None, antithetic: bool) -> Noise:
        windows.append(window)
        return noise_for(seed, indices, window, antithetic)

    monkeypatch.setattr(belief_of, "noise_for", noted)
    bound = believing(tiny_restorer(), seen_of("noise", 16, 16, 0.1))()
    _, noise = bound.draw(range(2))
    like = torch.empty(2, 3, 1, 1)
    assert windows == [None]
    assert not torch.equal(noise.normal(like), SeededNoise(1, range(2)).normal(like))
    windows.clear()
    free = believing(tiny_photo_restorer(), seen_of("noise", 21, 18, 0.1))()
    _, noise = free.draw(range(2))
    assert windows == [Window(0, 0, 24, 24), None]
    assert torch.equal(noise.normal(like), SeededNoise(1, range(2)).normal(like))
    assert (bound.batch, free.batch) == (4, 4)
    large = believing(tiny_photo_restorer(), seen_of("noise", 70, 60, 0.1))()
    assert (large.batch, len(large.tiles), large.tiles[0].core) == (3, 1, Window(0, 0, 70, 60))


def test_limits_of_what_is_finished_at_a_time_are_met() -> None:
    """Eight gigabytes hold nine times a ninth of them, and not a byte more."""
    assert batches.finished_at_once(8_000_000_000 // 8) == 8
    assert batches.finished_at_once(888_888_889) == 8
    assert batches.finished_at_once(888_888_888) == 9
    assert batches.finished_at_once(10**12) == 1
