"""What the page does with photographs, without the page; and parts of images drawn alone."""

import os
import shutil
import threading
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from gradio.utils import get_upload_folder
from PIL import Image, ImageCms
from tiny import tiny_photo_restorer, tiny_restorer

from cvdvae.app import page
from cvdvae.app.controls import UNCHANGED
from cvdvae.app.faces.explorer import Explorer
from cvdvae.app.photos import text
from cvdvae.app.photos.album import Album
from cvdvae.app.photos.asked import Wanted
from cvdvae.app.photos.explorer import (
    MAX_PART,
    Photos,
    Session,
)
from cvdvae.app.photos.handlers import Parts, PhotoHandlers
from cvdvae.app.photos.strokes import MAX_POINTS, MAX_STROKES, region_of
from cvdvae.app.photos.whole import Whole
from cvdvae.app.photos.windows import interesting, smoothed, truth_in
from cvdvae.app.recipes import MAX_SEED, read_result
from cvdvae.app.restoring.damage import LARGEST, image_in
from cvdvae.app.text import label
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, downscaling, upscale_bicubic
from cvdvae.domains.photos import coffee
from cvdvae.errors import CVDVAEError, InputError
from cvdvae.gaussian.noise import Window
from cvdvae.imaging.io import read_photo, to_bytes, to_tensor
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import Blend, ResampleRegion, pack_region
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.part import PartDrawing
from cvdvae.restoration.recipe import MAX_BYTES
from cvdvae.restoration.sampler import SuperResolver


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos([load("photos-x3"), load("photos-x4")], threading.Lock())


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A small picture with much in it, and no pixel at the ends of the range."""
    small = coffee().resize((96, 64), Image.Resampling.LANCZOS)
    return small.point(lambda value: 40 + value * 2 // 3)


@pytest.fixture
def path(picture: Image.Image, tmp_path: Path) -> Path:
    picture.save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def little(picture: Image.Image, tmp_path: Path) -> Path:
    """30×20 pixels, drawn in a moment."""
    picture.resize((30, 20)).save(tmp_path / "little.png")
    return tmp_path / "little.png"


def started(photos: Photos, path: Path, scale: int = 4, samples: int = 2) -> Session:
    photo = photos.look(path, "enlarge", scale)
    return Session(photo, (photos.sampling(scale, samples, 0.85, 0, True),))


# Parts.


@pytest.mark.parametrize("scale", [3, 4])
def test_a_part_is_what_the_whole_has_there(
    photos: Photos, picture: Image.Image, scale: int
) -> None:
    model, y = photos.model(scale), to_tensor(picture)
    sampling = model.sampling(2)
    whole = torch.cat([batch.pixels for batch in Drawing(model, y, sampling).finished()])
    core = Window(10 * scale, 40 * scale, 24 * scale, 36 * scale)
    part = list(PartDrawing(model, y, sampling, core).samples())
    assert all(sample.exact and not sample.exploded for sample in part)
    for sample, there in zip(part, inside(whole, core), strict=True):
        off = (sample.pixels.int() - there.int()).abs()
        assert int(off.max()) <= 2
        assert float((off > 0).float().mean()) < 0.1
    alone = PartDrawing(model, y, sampling, core).sample(1)
    assert torch.equal(alone.pixels, part[1].pixels)


def inside(x: torch.Tensor, window: Window) -> torch.Tensor:
    top, left, height, width = window
    return x[..., top : top + height, left : left + width]


def test_a_part_at_the_corner_gives_the_input_back(photos: Photos, picture: Image.Image) -> None:
    model, y = photos.model(4), to_tensor(picture)
    for core in (Window(0, 0, 48, 48), Window(256 - 32, 384 - 64, 32, 64)):
        sample = PartDrawing(model, y, model.sampling(1), core).sample(0)
        assert sample.exact
        assert sample.pixels.shape == (3, core.height, core.width)


def test_what_varies_in_a_part_stays_in_its_region(photos: Photos, picture: Image.Image) -> None:
    model, y = photos.model(4), to_tensor(picture)
    mask = torch.zeros(256, 384, dtype=torch.bool)
    mask[100:140, 200:250] = True
    first = model.sampling(2)
    varied = first.then(ResampleRegion(1, pack_region(mask), seed=7))
    core = Window(80, 160, 96, 144)
    parent = PartDrawing(model, y, first, core).sample(1)
    for sample in PartDrawing(model, y, varied, core).samples():
        changed = (sample.pixels != parent.pixels).any(0)
        assert not bool(changed[~inside(mask, core)].any())
        assert float(changed[inside(mask, core)].float().mean()) > 0.5
        assert sample.exact
    elsewhere = Window(0, 0, 48, 48)
    kept = PartDrawing(model, y, varied, elsewhere).sample(0)
    assert torch.equal(kept.pixels, PartDrawing(model, y, first, elsewhere).sample(1).pixels)


# The page without the page.


def test_a_photograph_is_enlarged_or_shrunk_first(photos: Photos, path: Path) -> None:
    photo, truths = photos.look(path, "enlarge", 4), photos.truths
    assert photo.size == (256, 384)
    assert truth_in(photo, Window(0, 0, 8, 8), truths) is None
    shrunk = photos.look(path, "shrink", 4)
    assert shrunk.size == (64, 96)
    window = Window(8, 16, 40, 32)
    truth = truth_in(shrunk, window, truths)
    assert truth is not None
    assert torch.equal(truth, inside(to_bytes(to_tensor(Image.open(path))), window))
    os.utime(path, (0, 0))
    truth_in(shrunk, window, truths)
    assert path.stat().st_mtime > 0  # while it is looked at, it is kept
    path.unlink()
    assert truth_in(shrunk, window, truths) is None
    x, y = interesting(photo)
    assert 0 < x < 384
    assert 0 < y < 256


def test_what_was_shrunk_is_decoded_once_for_all_its_windows(
    photos: Photos, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes a third of a second of 25 megapixels; and it is kept in bounds."""
    read = []

    def reading(path: Path, most: int) -> Any:
        read.append(path)
        return read_photo(path, most)

    monkeypatch.setattr("cvdvae.app.photos.windows.read_photo", reading)
    other = Path(shutil.copy(path, tmp_path / "other.png"))
    first, second = (photos.look(one, "shrink", 4) for one in (path, other))
    one = Album(most=3 * 64 * 96)
    for photo in (first, first, second, second, first):
        for window in (Window(0, 0, 8, 8), Window(8, 16, 40, 32)):
            there = inside(to_bytes(to_tensor(Image.open(path))), window)
            assert torch.equal(truth_in(photo, window, one), there)  # type: ignore[arg-type]
    assert read == [path, other, path]


def test_a_photograph_that_is_shrunk_first_is_not_made_float_in_vain(
    photos: Photos, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 25 megapixels, that would be 300 MB."""
    monkeypatch.setattr("cvdvae.app.photos.explorer.to_tensor", None)
    assert photos.look(path, "shrink", 4).size == (64, 96)


@pytest.mark.parametrize("program", ["box", "pillow-lanczos", "matlab", "nearest", "canvas"])
def test_what_another_program_shrank_is_given_back_through_it(
    photos: Photos, path: Path, program: str
) -> None:
    shrunk = photos.look(path, "shrink", 4, program)
    assert not torch.equal(shrunk.y, photos.look(path, "shrink", 4).y)
    session = Session(shrunk, (photos.sampling(4, 1, 0.85, 0, True, program),))
    (sample,) = photos.draw(session, 0, Window(0, 0, *shrunk.size))
    degradation = downscaling(shrunk.size, shrunk.lr_size, program)
    assert torch.equal(to_bytes(degradation.A(sample.pixels[None] / 255)[0]), shrunk.y)
    assert sample.exact


def test_how_a_browser_shrinks_by_three_is_not_claimed_to_be_known(
    photos: Photos,
) -> None:
    with pytest.raises(InputError, match="known approximately only"):
        photos.sampling(3, 1, 0.85, 0, True, "canvas")


def test_smoothing_a_window_is_smoothing_the_whole(photos: Photos, path: Path) -> None:
    photo = photos.look(path, "enlarge", 4)
    whole = to_bytes(upscale_bicubic(photo.y[None].float() / 255, photo.size)[0])
    for window in (Window(48, 96, 48, 96), Window(0, 0, 48, 48), Window(208, 336, 48, 48)):
        assert int((smoothed(photo, window).int() - inside(whole, window).int()).abs().max()) <= 1


def test_large_ones_are_shrunk_unless_told_otherwise(photos: Photos, tmp_path: Path) -> None:
    for size, kind in (((1000, 700), "enlarge"), ((2000, 1500), "shrink")):
        Image.new("RGB", size).save(tmp_path / "a.png")
        assert photos.guess(tmp_path / "a.png") == kind
    Image.new("1", (3000, 2000)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="choose “Shrink it first”"):
        photos.look(tmp_path / "a.png", "enlarge", 4)
    Image.new("1", (6000, 5000)).save(tmp_path / "a.png")
    for kind in ("enlarge", "shrink"):
        with pytest.raises(InputError, match=r"megapixels.*use the command line"):
            photos.look(tmp_path / "a.png", kind, 4)  # type: ignore[arg-type]
    Image.new("1", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="too few"):
        photos.look(tmp_path / "a.png", "shrink", 4)


@pytest.mark.parametrize(
    "window",
    [(-4, 0, 8, 8), (0, 0, 8, 484), (0, 2, 8, 8), (0, 0, 0, 8), (0, 0, 4000, 8)],
)
def test_parts_that_are_none_are_refused(
    photos: Photos, path: Path, window: tuple[int, int, int, int]
) -> None:
    session = started(photos, path)
    with pytest.raises(InputError, match=r"no such part|zoom in"):
        next(photos.draw(session, 0, Window(*window)))


def test_too_large_a_part_is_refused(photos: Photos, tmp_path: Path) -> None:
    Image.new("RGB", (400, 400)).save(tmp_path / "a.png")
    session = started(photos, tmp_path / "a.png")
    assert MAX_PART < 1600 * 1600
    with pytest.raises(InputError, match="zoom in"):
        next(photos.draw(session, 0, Window(0, 0, 1600, 1600)))
    with pytest.raises(InputError, match="no such step"):
        next(photos.draw(session, 1, Window(0, 0, 48, 48)))


def test_strokes_become_a_region() -> None:
    mask = region_of([{"size": 5, "points": [[20, 10], [60, 10]]}], (40, 100))
    assert bool(mask[10, 16:64].all())
    assert not bool(mask[20:].any())
    dot = region_of([{"size": 3, "points": [[50, 20]]}], (40, 100))
    assert 20 < int(dot.sum()) < 60


@pytest.mark.parametrize(
    "strokes",
    [
        None,
        "x",
        [1],
        [{"size": 1}],
        [{"size": float("nan"), "points": [[1, 1]]}],
        [{"size": 1, "points": [[1, float("inf")]]}],
        [{"size": 1, "points": [[1, 2, 3]]}],
        [{"size": 10**400, "points": [[1, 1]]}],
        [{"size": 1, "points": [[1, 10**400]]}],
    ],
)
def test_strokes_that_are_none_are_refused(strokes: object) -> None:
    with pytest.raises(InputError, match="paint it again"):
        region_of(strokes, (40, 100))


@pytest.mark.parametrize(
    "strokes",
    [
        [{"size": 1, "points": [[1, 1]]}] * (MAX_STROKES + 1),
        [{"size": 1, "points": [[1, 1]] * (MAX_POINTS + 1)}],
        [{"size": 1, "points": [[1, 1]] * (MAX_POINTS // 2 + 1)}] * 2,
    ],
)
def test_what_is_too_much_painting_is_not_called_unreadable(strokes: object) -> None:
    with pytest.raises(InputError, match=r"more was painted than .* with a larger brush"):
        region_of(strokes, (40, 100))


@pytest.mark.parametrize("points", [[[0, 0], [4095, 4095]] * 5000, [[2048, 2048]] * MAX_POINTS])
def test_painting_that_takes_too_long_is_refused(points: list[list[int]]) -> None:
    """It would take a minute."""
    for half in (1000, 2048):
        with pytest.raises(InputError, match=r"more was painted than .* and paint less"):
            region_of([{"size": half, "points": points}], (4096, 4096))
    few = [{"size": 300, "points": points[:200]}, {"size": 2048, "points": points[:9]}]
    assert bool(region_of(few, (4096, 4096))[2048, 2048])


def test_colours_that_are_none_of_srgb_are_said_to_be_paler_here(
    photos: Photos, tmp_path: Path
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    names = ("sRGB built-in", "Wide built-in")
    before, after = (name.encode("utf-16-be") for name in names)
    renamed = srgb.replace(before, after)
    wide = renamed.replace(b"rXYZ", b"hold").replace(b"gXYZ", b"rXYZ").replace(b"hold", b"gXYZ")
    said = []
    for profile in (b"", srgb, wide, b"damaged", renamed):
        coffee().resize((48, 32)).save(tmp_path / "a.png", icc_profile=profile)
        look = photos.look(tmp_path / "a.png", "enlarge", 4)
        given = image_in(tmp_path / "a.png", None)
        assert look.notes == given.notes
        said.append([note for note in look.notes if "Wide built-in" in note])
    assert [len(notes) for notes in said] == [0, 0, 1, 0, 0]


def test_a_region_of_too_large_a_picture_is_refused() -> None:
    with pytest.raises(InputError, match="smaller factor"):
        region_of([], (5000, 100))


@dataclass(frozen=True)
class Taken:
    """A photograph whose second step varies a region, and what was taken away of both steps."""

    picture: Path
    session: Session
    mask: torch.Tensor
    first: list[torch.Tensor]
    varied: list[torch.Tensor]
    archive: Path


@pytest.fixture(scope="module")
def taken(photos: Photos, picture: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    folder = tmp_path_factory.mktemp("taken")
    path = folder / "picture.png"
    picture.resize((48, 32), Image.Resampling.LANCZOS).save(path)
    session = started(photos, path)
    mask = region_of([{"size": 6, "points": [[100, 50], [120, 60]]}], session.photo.size)
    session = photos.vary(session, 0, 1, pack_region(mask))
    first, varied = (drawn(photos, session, i, folder / str(i)) for i in range(2))
    return Taken(path, session, mask, first, varied, folder / "1" / "cvdvae_step_2.zip")


def test_the_whole_gives_the_photograph_back_also_where_it_was_varied(taken: Taken) -> None:
    degradation = BicubicDownscaling((128, 192), (32, 48))
    for pixels in (*taken.first, *taken.varied):
        shrunk = to_bytes(shrink_to_8_bits(pixels[None].float() / 255, degradation)[0])
        assert int((shrunk.int() - taken.session.photo.y.int()).abs().max()) <= 1
    for pixels in taken.varied:
        changed = (pixels != taken.first[1]).any(0)
        assert not bool(changed[~taken.mask].any())
        assert bool(changed[taken.mask].any())


def test_what_was_taken_away_is_brought_back_with_its_steps(
    photos: Photos, taken: Taken, tmp_path: Path
) -> None:
    session, archive, path = taken.session, taken.archive, taken.picture
    with zipfile.ZipFile(archive) as packed:
        packed.extract("result.json", tmp_path)
    for file in (archive, tmp_path / "result.json"):
        again = photos.reopen(read_result(file, 10**6))
        assert again.history == session.history
        assert torch.equal(again.photo.y, session.photo.y)
        assert again.photo.scale == 4
        assert again.photo.truth is None
        assert again.shows(path)
        assert not again.shows(file)
    assert not session.shows(path)  # it was not reopened
    recipe = read_result(archive, 10**6)
    for changed, words in [
        (replace(recipe, model="celeba64-x8"), "none of the models"),
        (replace(recipe, scale=2), "no model of photographs at ×2"),
        (replace(recipe, weights="0" * 64), "other weights"),
        (replace(recipe, dtype="bf16"), "computed in bf16"),
        (replace(recipe, y=recipe.y[:, :5]), "too small or too large"),
        (replace(recipe, sampling=recipe.sampling.before().then(Blend(0, 1))), "cvdvae replay"),
        (replace(recipe, sampling=replace(recipe.sampling, samples=17)), "at most 16"),
    ]:
        with pytest.raises(InputError, match=words):
            photos.reopen(changed)


def test_a_large_photograph_lies_beside_its_result_in_the_zip(
    photos: Photos, tmp_path: Path
) -> None:
    picture = coffee().resize((1100, 16))
    picture.save(tmp_path / "wide.png")
    session = started(photos, tmp_path / "wide.png")
    whole = Whole(photos, session, 0, [0, 1], tmp_path)
    y = session.photo.y
    photos.album._images.pop(session.photo.name)  # it had to make room while this was drawn
    with zipfile.ZipFile(tmp_path / "cvdvae.zip", "w") as packed:
        for file in whole.with_report():
            packed.write(file, file.name)
    again = photos.reopen(read_result(tmp_path / "cvdvae.zip", 10**6))
    assert torch.equal(again.photo.y, y)
    with pytest.raises(InputError, match="open the zip that it lay in"):
        read_result(tmp_path / "result.json", 10**6)


def test_the_settings_alone_are_enough(photos: Photos, path: Path, tmp_path: Path) -> None:
    session = started(photos, path)
    whole = Whole(photos, session, 0, [], tmp_path)
    assert list(whole.draw()) == []
    archive = whole.archive()
    assert archive.stat().st_size < 100_000
    assert archive.is_relative_to(get_upload_folder()), "or it is copied where everybody waits"
    assert photos.reopen(read_result(archive, 10**6)).history == session.history


def test_what_varies_from_the_largest_seed_can_be_opened_again(
    photos: Photos, little: Path, tmp_path: Path
) -> None:
    first = started(photos, little)
    first = replace(first, history=(replace(first.history[0], seed=MAX_SEED),))
    region = pack_region(torch.ones(first.photo.size, dtype=torch.bool))
    varied = photos.vary(photos.vary(first, 0, 1, region), 1, 0, region)
    assert [step.fresh_seed for step in varied.history[-1].steps] == [0, 1]
    archive = Whole(photos, varied, 2, [], tmp_path).archive()
    assert photos.reopen(read_result(archive, 10**6)).history == varied.history


def strides_of(photos: Photos) -> tuple[int, ...]:
    model = photos.model(4)
    assert isinstance(model, HVAEResolver)
    return tuple(model.prior.config.group_strides)


def test_a_result_in_several_orientations_is_opened_as_it_was(
    photos: Photos, little: Path, tmp_path: Path
) -> None:
    session = started(photos, little)
    how = replace(session.history[0], self_ensemble=True)
    turned = replace(session, history=(how,))
    shown = handlers(photos).reopen(None, str(Whole(photos, turned, 0, [], tmp_path).archive()))
    assert shown["session"].history == (how,)
    assert "in several orientations" in shown["notes"]
    plain = handlers(photos).reopen(None, str(Whole(photos, session, 0, [], tmp_path).archive()))
    assert "draw otherwise" not in plain["notes"]
    how = replace(session.history[0], profile=(0.5,) * len(set(strides_of(photos))))
    shaped = replace(session, history=(how,))
    opened = handlers(photos).reopen(None, str(Whole(photos, shaped, 0, [], tmp_path).archive()))
    assert opened["session"].history == (how,)
    assert "with other temperatures of coarse and fine groups; other settings" in opened["notes"]


def test_a_reopened_photograph_that_then_arrives_changes_nothing(
    photos: Photos, little: Path, tmp_path: Path
) -> None:
    """The page sets the picture, which counts as a new one for whoever listens to it."""
    session = started(photos, little)
    mask = region_of([{"size": 4, "points": [[60, 30]]}], session.photo.size)
    whole = Whole(photos, photos.vary(session, 0, 1, pack_region(mask)), 1, [], tmp_path)
    on = handlers(photos)
    shown = on.reopen(None, str(whole.archive()))
    reopened = shown["session"]
    assert len(reopened.history) == 2
    assert shown["viewer"]["step"] == 1
    assert (shown["scale"], shown["a"], shown["f"]) == ("×4", 2, "bicubic")
    shown["photo"].save(tmp_path / "picture.png")
    again = on.arrive(reopened, str(tmp_path / "picture.png"), "×4", *SETTINGS)
    assert again.keys() == {"kind"}
    little.write_bytes((tmp_path / "picture.png").read_bytes())
    fresh = on.arrive(None, str(little), "×4", *SETTINGS)
    assert len(fresh["session"].history) == 1
    Image.new("RGB", (40, 30), (9, 9, 9)).save(little)
    assert len(on.arrive(reopened, str(little), "×4", *SETTINGS)["session"].history) == 1
    (tmp_path / "wrong.json").write_text("{")
    wrong = on.reopen(fresh["session"], str(tmp_path / "wrong.json"))
    assert wrong.keys() == {"viewer"}
    assert wrong["viewer"]["kind"] == "wrong"
    assert wrong["viewer"]["text"].startswith("“wrong.json” is no result.json")
    assert not fresh["session"].left.is_set()


@pytest.mark.parametrize("seed", ["x", "-1", str(2**64)])
def test_a_wrong_setting_leaves_the_photograph_there(
    photos: Photos, little: Path, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    """It is told before the photograph is read once more; of another one, nothing stays."""
    on, wrong = handlers(photos), (*SETTINGS[:2], seed, *SETTINGS[3:])
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    kind = label(text.KINDS, "enlarge")
    with monkeypatch.context() as patch:
        patch.setattr(photos, "look", None)
        told = on.look(session, str(little), label(text.KINDS, "shrink"), "×4", *wrong)
        other = on.arrive(session, str(little), "×4", *wrong)
    assert told.keys() == {"viewer", "kind", "scale"}
    assert (told["kind"], told["scale"]) == (kind, "×4"), "as what is shown was drawn"
    assert told["viewer"]["kind"] == "wrong"
    assert "seed" in told["viewer"]["text"]
    assert other["session"] is None
    assert other["viewer"]["kind"] == "none"
    assert "seed" in other["viewer"]["text"]
    fresh = on.look(session, str(little), kind, "×4", *SETTINGS)
    assert fresh["session"].keys == session.keys


@pytest.mark.parametrize("by", ["another", "none", "settings", "a result"])
def test_what_there_is_to_take_is_of_what_is_shown(
    photos: Photos, little: Path, tmp_path: Path, by: str
) -> None:
    """Once something else is shown, by whatever way, a file of before is neither offered nor
    drawn on."""
    on, other, result = handlers(photos), tmp_path / "other.png", tmp_path / "result"
    Image.new("RGB", (40, 30), (9, 9, 9)).save(other)
    result.mkdir()
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    *_, ready = on.whole(session, wanted(session, "settings"))
    assert "Ready" in ready["said"]
    assert ready["file"]["visible"]
    drawing = on.whole(session, wanted(session, "all"))
    assert next(drawing)["stop"]["visible"]
    assert "of the whole is drawn" in next(drawing)["said"]
    if by == "settings":
        updates = on.look(session, str(little), label(text.KINDS, "enlarge"), "×4", *SETTINGS)
    elif by == "a result":
        archive = Whole(photos, session, 0, [], result).archive()
        updates = on.reopen(session, str(archive))
    else:
        given = str(other) if by == "another" else None
        updates = on.arrive(session, given, "×4", *SETTINGS)
    for last in (updates, *drawing):
        assert last["said"] == ""
        assert not last["file"]["visible"]
        assert not last["stop"]["visible"]


SETTINGS = (2, 0.85, 0, True, False, "bicubic")


def handlers(photos: Photos) -> PhotoHandlers:
    """Those of a page whose parts are called what they are."""
    named: dict[str, Any] = {field.name: field.name for field in fields(Parts)}
    return PhotoHandlers(photos, Parts(**named | {"settings": tuple("abcdef")}))


def wanted(session: Session, which: str) -> Wanted:
    """What the viewer tells when the whole is wanted."""
    return Wanted({"key": session.keys[0], "sample": 0, "which": which, "format": "png"})


@pytest.mark.parametrize("by", ["another", "settings", "a region"])
def test_a_whole_that_waited_is_of_what_was_shown_when_it_was_wanted(
    photos: Photos, little: Path, tmp_path: Path, by: str
) -> None:
    """The page reads the session when it is the drawing's turn."""
    on, other = handlers(photos), tmp_path / "other.png"
    Image.new("RGB", (40, 30), (9, 9, 9)).save(other)
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    event = gr.EventData(None, wanted(session, "settings").told)
    asked = on.want_whole(session, None, event)
    assert "waits for its turn" in asked["said"]
    assert asked["stop"]["visible"]
    assert on.want_whole(session, asked["wanted"], event) == UNCHANGED  # pressed again
    if by == "a region":
        mask = region_of([{"size": 4, "points": [[60, 30]]}], session.photo.size)
        session = photos.vary(session, 0, 1, pack_region(mask))
        assert "Ready" in list(on.whole(session, asked["wanted"]))[-1]["said"]
        assert list(on.whole(session, asked["wanted"])) == [UNCHANGED]  # the second press
        event._data["key"] = session.keys[1]
        asked = on.want_whole(session, asked["wanted"], event)
        session = photos.vary(session, 0, 0, pack_region(mask))
    else:
        settings = (*SETTINGS[:2], 9, *SETTINGS[3:]) if by == "settings" else SETTINGS
        given = little if by == "settings" else other
        session = on.arrive(session, str(given), "×4", *settings)["session"]
    (quiet,) = on.whole(session, asked["wanted"])
    assert quiet["said"] == ""
    assert not quiet["stop"]["visible"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_whole_that_is_stopped_ends(photos: Photos, little: Path, begun: bool) -> None:
    on = handlers(photos)
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    whole = wanted(session, "all")
    drawing = on.whole(session, whole)
    if begun:
        assert next(drawing)["stop"]["visible"]
    assert on.stopped(whole)["said"] == ""
    (last,) = drawing
    assert last == (on.nothing_to_take() if begun else UNCHANGED)


def test_a_whole_that_is_stopped_as_its_files_are_packed_is_not_offered(
    photos: Photos, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is packed after the last strip takes a while, in which Stop is still there."""
    on = handlers(photos)
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    whole, packed = wanted(session, "settings"), Whole.archive

    def stopped_meanwhile(files: Whole) -> Path:
        on.stopped(whole)
        return packed(files)

    monkeypatch.setattr(Whole, "archive", stopped_meanwhile)
    *_, last = on.whole(session, whole)
    assert last == on.nothing_to_take()


@pytest.mark.parametrize("by", ["stop", "another"])
def test_what_is_wanted_while_an_old_strip_ends_keeps_its_place(
    photos: Photos, little: Path, tmp_path: Path, by: str
) -> None:
    """The end of the old one is not what the page then shows."""
    on = handlers(photos)
    session = on.arrive(None, str(little), "×4", *SETTINGS)["session"]
    event = gr.EventData(None, wanted(session, "all").told)
    old = on.want_whole(session, None, event)["wanted"]
    drawing = on.whole(session, old)
    next(drawing)
    if by == "stop":
        on.stopped(old)
    else:
        Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "other.png")
        other = str(tmp_path / "other.png")
        session = on.arrive(session, other, "×4", *SETTINGS)["session"]
    asked = on.want_whole(session, old, event)
    assert "waits for its turn" in asked["said"]
    assert list(drawing) == [UNCHANGED]
    assert not asked["wanted"].over.is_set()


@pytest.mark.parametrize(
    ("most", "side", "scale", "kind", "explained"),
    [
        (57_600, 60, 4, "enlarge", True),
        (57_599, 60, 4, "enlarge", False),
        (0, 60, 4, "enlarge", False),  # nothing here restores photographs
        (57_600, 60, 4, "shrink", False),  # the visitor's file is not what was enlarged
    ],
)
def test_the_tab_restore_is_named_only_where_it_takes_the_photograph(
    photos: Photos, tmp_path: Path, most: int, side: int, scale: int, kind: str, explained: bool
) -> None:
    coffee().resize((side, side)).save(tmp_path / "a.png")
    on = PhotoHandlers(photos, handlers(photos).parts, most)
    what = (str(tmp_path / "a.png"), label(text.KINDS, kind), f"×{scale}")
    shown = on.look(None, *what, *SETTINGS)["viewer"]
    assert shown["explained"] == explained


@pytest.mark.parametrize("restores", [True, False])
def test_the_page_knows_whether_it_restores_photographs(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restores: bool
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(page, "photos_part", lambda *parts: told.extend(parts))
    restorers = [tiny_photo_restorer() if restores else tiny_restorer()]
    laid_out: list[Any] = [None, None, Explorer([]), photos, restorers, tmp_path]
    page.tabs_of(*laid_out)[0].lay_out()
    assert told == [photos, tmp_path, 3600, LARGEST if restores else 0, ["photos", "restore"]]


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    content = {
        "none.zip": {"other.txt": b"x"},
        "wrong.zip": {"result.json": b"{}"},
        "large.zip": {"result.json": b" " * (MAX_BYTES + 1)},
        "alone.zip": {"result.json": b'{"model": "photos-x4", "input": "input.png"}'},
        "setting.zip": {"result.json": b'{"model": "photos-x4", "input": "x", "samples": 0}'},
    }
    for name, files in content.items():
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as packed:
            for inside, data in files.items():
                packed.writestr(inside, data)
    with zipfile.ZipFile(tmp_path / "cut.zip", "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("result.json", b"{    }")
    whole = (tmp_path / "cut.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole.replace(b"{    }", b"{   !}"))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("result.json", b" " * 2**20)
    with zipfile.ZipFile(tmp_path / "many.zip", "w", zipfile.ZIP_STORED) as packed:
        for i in range(120):
            packed.writestr(f"{i:03d}" + "x" * 9000, b"")
    with zipfile.ZipFile(tmp_path / "huge.zip", "w") as packed:
        packed.writestr("result.json", b'{"model": "photos-x4", "input": "input.png"}')
        Image.new("RGB", (40, 30)).save(tmp_path / "input.png")
        packed.write(tmp_path / "input.png", "input.png")
    (tmp_path / "text.json").write_text("no result")
    (tmp_path / "list.json").write_text("[]")
    for name, words in [
        ("none.zip", "nor a zip of one"),
        ("wrong.zip", "no result.json of this program"),
        ("large.zip", "too large a result.json"),
        ("alone.zip", "without its photograph"),
        ("cut.zip", "damaged: download it once more"),
        ("text.json", "nor a zip of one"),
        ("packed.zip", "in a way that is not read here"),
        ("many.zip", "more files than a result has"),
        ("setting.zip", "samples"),
        ("huge.zip", "over 0 megapixels"),
        ("list.json", "no result.json of this program"),
    ]:
        with pytest.raises(CVDVAEError, match=words) as caught:
            read_result(tmp_path / name, 1000)
        assert name in str(caught.value)
        assert "cvdvae-" not in str(caught.value)  # no place of the server


def test_a_mark_within_the_last_record_of_a_zip_hides_no_table(tmp_path: Path) -> None:
    """`zipfile` does not look at how many files are said to be there."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for i in range(120):
            packed.writestr(f"{i:03d}" + "x" * 9000, b"")
    whole = path.read_bytes()
    path.write_bytes(whole[:-14] + b"PK\x05\x06" + whole[-10:])
    with zipfile.ZipFile(path) as packed:
        assert len(packed.namelist()) == 120
    with pytest.raises(InputError, match=r"more files than a result has"):
        read_result(path, 1000)


@pytest.mark.parametrize("comment", [b"", b"said"])
def test_a_zip_of_64_bits_is_not_read(tmp_path: Path, comment: bytes) -> None:
    """The size of its table stands elsewhere; with a mark in the last record, too."""
    path = tmp_path / "small.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = comment
        packed.writestr("result.json", b"{}")
    with pytest.raises(CVDVAEError, match=r"no result.json of this program"):
        read_result(path, 1000)
    whole = path.read_bytes()
    at = whole.rindex(b"PK\x05\x06")
    counts = whole[at + 8 : at + 12] if comment else b"PK\x05\x06"
    record = whole[at : at + 8] + counts + whole[at + 12 :]
    path.write_bytes(whole[:at] + b"PK\x06\x07" + bytes(16) + record)
    with pytest.raises(InputError, match=r"more files than a result has"):
        read_result(path, 1000)


def drawn(photos: Photos, session: Session, step: int, folder: Path) -> list[torch.Tensor]:
    folder.mkdir()
    whole = Whole(photos, session, step, [0, 1], folder)
    assert list(whole.draw())[-1] == 1
    assert whole.archive().suffix == ".zip"
    assert step == 1 or whole.exact == [True, True]
    return [torch.from_numpy(np.array(Image.open(f))).permute(2, 0, 1) for f in whole.files]


def test_an_album_keeps_so_much_and_no_more() -> None:
    album = Album(most=300)
    images = [torch.full((3, 5, 8), value, dtype=torch.uint8) for value in range(4)]
    names = [album.add(image) for image in images[:2]]
    assert album.add(images[0]) == names[0]
    names.append(album.add(images[2]))
    assert torch.equal(album.image(names[0]), images[0])
    with pytest.raises(InputError, match="upload it again"):
        album.image(names[1])
    large = album.add(torch.zeros(3, 20, 20, dtype=torch.uint8))
    assert album.image(large).shape == (3, 20, 20)


def test_models_of_the_same_scale_are_refused(photos: Photos) -> None:
    model: SuperResolver = photos.model(4)
    with pytest.raises(InputError, match="same scale"):
        Photos([model, load("photos-x4")], threading.Lock())
    with pytest.raises(InputError, match="no model of photographs at ×7"):
        photos.model(7)
